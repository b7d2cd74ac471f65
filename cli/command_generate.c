#include "cli/results.h"

bool command_generate(const Options *options, Error *err) {
    Opened o;
    Sides sides = {0};
    bool ok = opened_model(options, true, &o, err) && prompt_fits(options, &o.engine, err) &&
              opened_measure(options, &o, err) && engine_follow(&o.engine, &o.plan, NULL, watch_start(options), err) &&
              sides_generate(options, &o.engine, &sides, err);
    watch_end();
    if (ok) {
        warn_unmatched(options, &o);
        if (options->json)
            print_json(sides_json(&sides, &o.engine, options_prompt(options)));
        else
            sides_print(&sides, &o.engine, options_prompt(options));
    }
    sides_free(&sides);
    opened_close(&o);
    return ok;
}
