#include "cli/results.h"

static bool evaluate(const Options *options, Opened *o, Error *err) {
    Accuracy accuracy;
    bool ok = engine_evaluate(&o->engine, 0, NULL, NULL, &accuracy, watch_start(options), err);
    watch_end();
    if (!ok) return false;
    if (options->json)
        print_json(accuracy_json(&accuracy, &o->plan));
    else
        accuracy_print(&accuracy, &o->plan);
    return true;
}

bool command_eval(const Options *options, Error *err) {
    Opened o;
    Task task = {0};
    bool ok = opened_model(options, true, &o, err) &&
              (!options->task_file || task_open(options, &o.engine, &task, err)) && opened_measure(options, &o, err) &&
              engine_follow(&o.engine, &o.plan, NULL, watch_start(options), err);
    watch_end();
    if (ok) warn_unmatched(options, &o);
    ok = ok && (options->task_file ? task_command(options, &o, &task, err) : evaluate(options, &o, err));
    task_free(&task);
    opened_close(&o);
    return ok;
}
