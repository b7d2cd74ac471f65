#include "cli/results.h"

bool command_generate(const Options *options, Error *err) {
    Opened o;
    Sides sides = {0};
    bool ok = opened_plan(options, true, &o, err) &&
              model_session_follow(&o.session, &o.plan, NULL, watch_start(options), err) &&
              sides_generate(options, &o.session, &sides, err);
    watch_end();
    if (ok) {
        warn_unmatched(options, &o);
        if (options->json)
            print_json(sides_json(&sides, &o.session, options_prompt(options)));
        else
            sides_print(&sides, &o.session, options_prompt(options));
    }
    sides_free(&sides);
    opened_close(&o);
    return ok;
}
