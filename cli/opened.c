#include <stdlib.h>

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
    if (!options->quiet) fprintf(stderr, "quantdial: without ranges of inputs: %s\n", reason.message);
    return true;
}

bool opened_plan(const Options *options, bool must_run, Opened *out, Error *err) {
    *out = (Opened){0};
    if (!options_recipe(options, &out->recipe, err)) return false;
    Progress *progress = watch_start(options);
    return model_session_open(&options->model, &out->session, err) &&
           (!must_run || model_session_can_run(&out->session, err)) &&
           model_session_measure_weights(&out->session, progress, err) &&
           calibrate_if_needed(options, out, progress, err) &&
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
            "quantized, and what the model gives cannot be trusted\n",
            (unsigned long long)weights, linears, session->structure.linears[first].name);
}

void warn_unmatched(const Options *options, const Opened *opened) {
    char *rules = recipe_unmatched(&opened->recipe, &opened->session.structure);
    if (rules && rules[0] && !options->quiet) fprintf(stderr, "quantdial: %s\n", rules);
    free(rules);
    warn_stored(options, &opened->session.structure);
    warn_nonfinite(options, &opened->session);
}
