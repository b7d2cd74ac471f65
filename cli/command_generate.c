#include "cli/results.h"

bool command_generate(const Options *options, Error *err) {
    Opened o;
    Sides sides = {0};
    bool ok = opened_model(options, true, &o, err) && prompt_fits(options, &o.session, err) &&
              opened_measure(options, &o, err) &&
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
