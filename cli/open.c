// The model that the command line names, opened and made ready.
#include "cli/cli.h"

bool match_shows(const Options *options, const Linear *linear) {
    return !options->match || glob_matches(options->match, linear->name);
}

bool match_finds(const Options *options, const ModelStructure *structure, Error *err) {
    bool found = !options->match;
    for (int i = 0; !found && i < structure->linear_count; i++) found = match_shows(options, &structure->linears[i]);
    return found || error_set(err, "--match \"%.100s\": none of the %d linears matches; one of them is %s",
                              options->match, structure->linear_count, structure->linears[0].name);
}

bool open_engine(const Options *options, bool must_run, Engine **out, Error *err) {
    Recipe recipe;
    *out = NULL;
    if (!options_recipe(options, &recipe, err)) return false;
    bool ok = engine_open(&options->model, out, err) && (!must_run || engine_can_run(*out, err)) &&
              match_finds(options, engine_structure(*out), err);
    if (*out) engine_set_recipe(*out, &recipe);
    recipe_free(&recipe);
    return ok;
}

bool prepare_engine(const Options *options, Engine *engine, bool inputs, Error *err) {
    return engine_prepare(engine, inputs, watch_start(options), err);
}

bool open_prepared(const Options *options, bool must_run, bool inputs, Engine **out, Error *err) {
    return open_engine(options, must_run, out, err) && prepare_engine(options, *out, inputs, err);
}
