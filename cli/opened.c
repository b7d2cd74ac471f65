#include <stdlib.h>

#include "cli/cli.h"

bool opened_plan(const Options *options, bool must_run, Opened *out, Error *err) {
    *out = (Opened){0};
    if (!options_recipe(options, &out->recipe, err)) return false;
    Progress *progress = watch_start(options);
    return model_session_open(&options->model, &out->session, err) &&
           (!must_run || model_session_can_run(&out->session, err)) &&
           model_session_measure_weights(&out->session, progress, err) &&
           (!out->session.base || model_session_calibrate(&out->session, progress, err)) &&
           model_session_plan(&out->session, &out->recipe, &out->plan, err);
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
                "they are used (say false to silence this)\n",
                structure->checkpoint->folder);
}

void warn_unmatched(const Options *options, const Opened *opened) {
    char *rules = recipe_unmatched(&opened->recipe, &opened->session.structure);
    if (rules && rules[0] && !options->quiet) fprintf(stderr, "quantdial: %s\n", rules);
    free(rules);
    warn_stored(options, &opened->session.structure);
}
