#include "cli/results.h"

static bool evaluate_points(const Options *options, Engine *engine, Error *err) {
    Accuracy accuracy;
    bool ok = engine_evaluate(engine, 0, NULL, NULL, &accuracy, watch_start(options), err);
    watch_end();
    if (!ok) return false;
    if (options->json)
        print_json(accuracy_json(&accuracy, engine));
    else
        accuracy_print(&accuracy, engine);
    return true;
}

bool command_eval(const Options *options, Error *err) {
    Engine *engine;
    Task task = {0};
    bool ok = open_engine(options, true, &engine, err) &&
              (!options->task_file || task_open(options, engine, &task, err)) &&
              prepare_engine(options, engine, false, err) &&
              engine_follow(engine, engine_plan(engine), NULL, watch_start(options), err);
    watch_end();
    if (ok) warn_unmatched(options, engine);
    ok = ok && (options->task_file ? task_command(options, engine, &task, err) : evaluate_points(options, engine, err));
    task_free(&task);
    engine_close(engine);
    return ok;
}
