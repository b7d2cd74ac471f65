#include <stdlib.h>

#include "analysis/statistics.h"
#include "cli/cli.h"

// Ranges of inputs are for recipes that quantize inputs. For others they are shown where they can be had.
static bool calibrate_if_needed(const Options *options, Opened *o, Progress *progress, Error *err) {
    Error reason = {0};
    if (!o->session.base || model_session_calibrate(&o->session, progress, &reason)) return true;
    if (err) *err = reason;
    if (reason.stopped) return false;
    if (recipe_quantizes_inputs(&o->recipe)) {
        return o->session.tokenizer || options->model.random_tokens
                   ? false
                   : error_set(err,
                               "%s: --activations none quantizes weights alone, and --random-tokens "
                               "calibrates without text",
                               reason.message);
    }
    watch_end();
    if (!options->quiet) fprintf(stderr, "quantdial: activation ranges are missing: %s\n", reason.message);
    return true;
}

bool match_finds(const Options *options, const ModelStructure *structure, Error *err) {
    bool found = !options->match;
    for (int i = 0; !found && i < structure->linear_count; i++)
        found = glob_matches(options->match, structure->linears[i].name);
    return found || error_set(err, "--match \"%.100s\": none of the %d linears matches; one of them is %s",
                              options->match, structure->linear_count, structure->linears[0].name);
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
           calibrate_if_needed(options, opened, progress, err) &&
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
    if (structure->head_untied && !options->quiet)
        fprintf(stderr,
                "quantdial: %s/config.json: \"tie_word_embeddings\" is true, but the head has numbers of its own; "
                "these are used (set the flag to false to silence this warning)\n",
                structure->checkpoint->folder);
}

void warn_nonfinite(const Options *options, const ModelSession *session) {
    int linears = 0, first = -1;
    uint64_t weights = 0;
    for (int i = 0; i < session->structure.linear_count; i++) {
        const uint64_t count = session->stats.weights[i].known ? session->stats.weights[i].nonfinite : 0;
        if (count && first < 0) first = i;
        linears += count > 0;
        weights += count;
    }
    if (first < 0 || options->quiet) return;
    fprintf(stderr,
            "quantdial: %llu weights in %d of the linears (first: %s) are infinite or NaN; these linears are not "
            "quantized, and the model's output cannot be trusted\n",
            (unsigned long long)weights, linears, session->structure.linears[first].name);
}

void warn_unmatched(const Options *options, const Opened *opened) {
    char *rules = recipe_unmatched(&opened->recipe, &opened->session.structure);
    if (rules && rules[0] && !options->quiet) fprintf(stderr, "quantdial: %s\n", rules);
    free(rules);
    warn_stored(options, &opened->session.structure);
    warn_nonfinite(options, &opened->session);
    uint64_t tokens = opened->session.calibration_tokens;
    if (opened->session.calibrated && tokens < FEWEST_TOKENS && !options->quiet)
        fprintf(stderr,
                "quantdial: calibrated on only %llu tokens; ranges from fewer than %d tokens are not reliable\n",
                (unsigned long long)tokens, FEWEST_TOKENS);
}
