#include <stdlib.h>

#include "analysis/statistics.h"
#include "cli/cli.h"

// Ranges of inputs are for recipes that quantize inputs. For others they are shown where they can be had.
static bool calibrate_if_needed(const Options *options, Opened *o, Progress *progress, Error *err) {
    Error reason = {0};
    if (!o->engine.base || engine_calibrate(&o->engine, progress, &reason)) return true;
    if (err) *err = reason;
    if (reason.stopped) return false;
    if (recipe_quantizes_inputs(&o->recipe)) {
        return o->engine.tokenizer || options->model.random_tokens
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

bool match_finds(const Options *options, const ModelStructure *structure, Error *err) {
    bool found = !options->match;
    for (int i = 0; !found && i < structure->linear_count; i++)
        found = glob_matches(options->match, structure->linears[i].name);
    return found || error_set(err, "--match \"%.100s\": none of the %d linears is called so; one is %s", options->match,
                              structure->linear_count, structure->linears[0].name);
}

bool opened_model(const Options *options, bool must_run, Opened *out, Error *err) {
    *out = (Opened){0};
    return options_recipe(options, &out->recipe, err) && engine_open(&options->model, &out->engine, err) &&
           (!must_run || engine_can_run(&out->engine, err)) && match_finds(options, &out->engine.structure, err);
}

bool opened_measure(const Options *options, Opened *opened, Error *err) {
    Engine *engine = &opened->engine;
    Progress *progress = watch_start(options);
    return engine_measure_weights(engine, progress, err) && calibrate_if_needed(options, opened, progress, err) &&
           engine_plan(engine, &opened->recipe, &opened->plan, err);
}

bool opened_plan(const Options *options, bool must_run, Opened *out, Error *err) {
    return opened_model(options, must_run, out, err) && opened_measure(options, out, err);
}

void opened_close(Opened *opened) {
    watch_end();
    plan_free(&opened->plan);
    recipe_free(&opened->recipe);
    if (opened->engine.backend) engine_close(&opened->engine);
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

void warn_nonfinite(const Options *options, const Engine *engine) {
    int linears = 0, first = -1;
    uint64_t weights = 0;
    for (int i = 0; i < engine->structure.linear_count; i++) {
        const uint64_t count = engine->stats.weights[i].known ? engine->stats.weights[i].nonfinite : 0;
        if (count && first < 0) first = i;
        linears += count > 0;
        weights += count;
    }
    if (first < 0 || options->quiet) return;
    fprintf(stderr,
            "quantdial: %llu weights in %d of the linears (first: %s) are infinite or NaN; these linears are not "
            "quantized, and what the model gives cannot be trusted\n",
            (unsigned long long)weights, linears, engine->structure.linears[first].name);
}

void warn_unmatched(const Options *options, const Opened *opened) {
    char *rules = recipe_unmatched(&opened->recipe, &opened->engine.structure);
    if (rules && rules[0] && !options->quiet) fprintf(stderr, "quantdial: %s\n", rules);
    free(rules);
    warn_stored(options, &opened->engine.structure);
    warn_nonfinite(options, &opened->engine);
    uint64_t tokens = opened->engine.calibration_tokens;
    if (opened->engine.calibrated && tokens < FEWEST_TOKENS && !options->quiet)
        fprintf(
            stderr,
            "quantdial: calibrated on only %llu tokens; with fewer than %d the ranges of activations mean nothing\n",
            (unsigned long long)tokens, FEWEST_TOKENS);
}
