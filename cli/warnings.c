// One line each on stderr about what makes figures doubtful.
#include <stdlib.h>

#include "analysis/statistics.h"
#include "cli/cli.h"

void warn_stored(const Options *options, const ModelStructure *structure) {
    const char *warning = structure->stored ? stored_warning(structure->stored) : "";
    if (*warning && !options->quiet) fprintf(stderr, "quantdial: %s\n", warning);
    if (structure->head_untied && !options->quiet)
        fprintf(stderr,
                "quantdial: %s/config.json: \"tie_word_embeddings\" is true, but the head has numbers of its own; "
                "these are used (set the flag to false to silence this warning)\n",
                structure->checkpoint->folder);
}

void warn_nonfinite(const Options *options, const Engine *engine) {
    const ModelStructure *structure = engine_structure(engine);
    const WeightStats *weights = engine_stats(engine)->weights;
    int linears = 0, first = -1;
    uint64_t values = 0;
    for (int i = 0; i < structure->linear_count; i++) {
        const uint64_t count = weights[i].known ? weights[i].nonfinite : 0;
        if (count && first < 0) first = i;
        linears += count > 0;
        values += count;
    }
    if (first < 0 || options->quiet) return;
    fprintf(stderr,
            "quantdial: %llu weight%s in %d of the linears (first: %s) %s infinite or NaN; %s not quantized, and the "
            "model's output cannot be trusted\n",
            (unsigned long long)values, values == 1 ? "" : "s", linears, structure->linears[first].name,
            values == 1 ? "is" : "are", linears == 1 ? "that linear is" : "these linears are");
}

void warn_unmatched(const Options *options, const Engine *engine) {
    const ModelStructure *structure = engine_structure(engine);
    char *rules = recipe_unmatched(engine_recipe(engine), structure);
    if (rules && rules[0] && !options->quiet) fprintf(stderr, "quantdial: %s\n", rules);
    free(rules);
    warn_stored(options, structure);
    warn_nonfinite(options, engine);
    uint64_t tokens = engine_calibration_tokens(engine);
    if (tokens && tokens < FEWEST_TOKENS && !options->quiet)
        fprintf(stderr,
                "quantdial: calibrated on only %llu tokens; ranges from fewer than %d tokens are not reliable\n",
                (unsigned long long)tokens, FEWEST_TOKENS);
}
