#include <stdlib.h>

#include "analysis/statistics.h"
#include "cli/cli.h"

bool match_finds(const Options *options, const ModelStructure *structure, Error *err) {
    bool found = !options->match;
    for (int i = 0; !found && i < structure->linear_count; i++)
        found = glob_matches(options->match, structure->linears[i].name);
    return found || error_set(err, "--match \"%.100s\": none of the %d linears is called so; one is %s", options->match,
                              structure->linear_count, structure->linears[0].name);
}

bool opened_model(const Options *options, bool must_run, Opened *out, Error *err) {
    *out = (Opened){0};
    return options_recipe(options, &out->recipe, err) && model_session_open(&options->model, &out->session, err) &&
           (!must_run || model_session_can_run(&out->session, err)) &&
           match_finds(options, &out->session.structure, err);
}

bool opened_measure(const Options *options, Opened *opened, Error *err) {
    ModelSession *session = &opened->session;
    Progress *progress = watch_start(options);
    return model_session_measure_weights(session, progress, err) &&
           (!session->base || model_session_calibrate(session, progress, err)) &&
           model_session_plan(session, &opened->recipe, &opened->plan, err);
}

bool opened_plan(const Options *options, bool must_run, Opened *out, Error *err) {
    return opened_model(options, must_run, out, err) && opened_measure(options, out, err);
}

void opened_close(Opened *opened) {
    watch_end();
    plan_free(&opened->plan);
    recipe_free(&opened->recipe);
    if (opened->session.backend) model_session_close(&opened->session);
}

void warn_stored(const Options *options, const ModelStructure *structure) {
    const char *warning = structure->stored ? stored_warning(structure->stored) : "";
    if (*warning && !options->quiet) fprintf(stderr, "quantdial: %s\n", warning);
}

void warn_unmatched(const Options *options, const Opened *opened) {
    char *rules = recipe_unmatched(&opened->recipe, &opened->session.structure);
    if (rules && rules[0] && !options->quiet) fprintf(stderr, "quantdial: %s\n", rules);
    free(rules);
    warn_stored(options, &opened->session.structure);
    uint64_t tokens = opened->session.calibration_tokens;
    if (opened->session.calibrated && tokens < FEWEST_TOKENS && !options->quiet)
        fprintf(
            stderr,
            "quantdial: calibrated on only %llu tokens; with fewer than %d the ranges of activations mean nothing\n",
            (unsigned long long)tokens, FEWEST_TOKENS);
}
