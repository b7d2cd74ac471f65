#include "cli/results.h"

bool command_generate(const Options *options, Error *err) {
    Engine *engine;
    Sides sides = {0};
    bool ok = open_engine(options, true, &engine, err) && prompt_fits(options, engine, err) &&
              prepare_engine(options, engine, false, err) &&
              engine_follow(engine, engine_plan(engine), NULL, watch_start(options), err) &&
              sides_generate(options, engine, &sides, err);
    watch_end();
    if (ok) {
        warn_unmatched(options, engine);
        if (options->json)
            print_json(sides_json(&sides));
        else
            sides_print(&sides);
    }
    sides_free(&sides);
    engine_close(engine);
    return ok;
}
