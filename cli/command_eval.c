#include "cli/results.h"

bool command_eval(const Options *options, Error *err) {
    Opened o;
    Accuracy accuracy;
    Progress *progress = watch_start(options);
    bool ok = opened_plan(options, true, &o, err) && model_session_follow(&o.session, &o.plan, NULL, progress, err) &&
              model_session_evaluate(&o.session, 0, NULL, NULL, &accuracy, progress, err);
    watch_end();
    if (ok) {
        warn_unmatched(options, &o);
        if (options->json)
            print_json(accuracy_json(&accuracy, &o.plan));
        else
            accuracy_print(&accuracy, &o.plan);
    }
    opened_close(&o);
    return ok;
}
