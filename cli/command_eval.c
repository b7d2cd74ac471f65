#include "cli/results.h"

static void print_accuracy(const Options *options, const Engine *engine, const Accuracy *accuracy, ModelSize size) {
    if (options->json)
        print_json(accuracy_json(accuracy, &size, engine));
    else
        accuracy_print(accuracy, &size, engine);
}

static bool evaluate_points(const Options *options, Engine *engine, Error *err) {
    Accuracy accuracy;
    const bool ok = engine_evaluate(engine, 0, NULL, NULL, &accuracy, watch_start(options), err);
    watch_end();
    if (ok) print_accuracy(options, engine, &accuracy, planned_size(engine));
    return ok;
}

// The other way round: the model of the command line is what is compared with its base.
static bool evaluate_stored(const Options *options, Error *err) {
    Engine *engine;
    Accuracy accuracy;
    EngineOptions base = options->model;
    size_t bytes;
    base.model = options->base;
    bool ok = engine_open(&base, &engine, err) &&
              engine_evaluate_stored(engine, options->model.model, &accuracy, &bytes, watch_start(options), err);
    watch_end();
    if (ok)
        print_accuracy(options, engine, &accuracy,
                       (ModelSize){engine_structure(engine)->checkpoint->bytes, bytes, 0, true});
    engine_close(engine);
    return ok;
}

// What is asked of the model beside perplexity: at most one of the two.
typedef struct Asked {
    Task task;
    TranslationTask translations;
} Asked;

static bool asked_open(const Options *options, Engine *engine, Asked *out, Error *err) {
    if (!options->task_file) return true;
    return options->task == TASK_TRANSLATE ? translation_open(options, engine, &out->translations, err)
                                           : task_open(options, engine, &out->task, err);
}

static bool asked_answer(const Options *options, Engine *engine, const Asked *asked, Error *err) {
    if (!options->task_file) return evaluate_points(options, engine, err);
    return options->task == TASK_TRANSLATE ? translation_command(options, engine, &asked->translations, err)
                                           : task_command(options, engine, &asked->task, err);
}

bool command_eval(const Options *options, Error *err) {
    if (options->base) return evaluate_stored(options, err);
    Engine *engine;
    Asked asked = {0};
    bool ok = open_engine(options, true, &engine, err) && asked_open(options, engine, &asked, err) &&
              prepare_engine(options, engine, false, err) &&
              engine_follow(engine, engine_plan(engine), NULL, watch_start(options), err);
    watch_end();
    if (ok) warn_unmatched(options, engine);
    ok = ok && asked_answer(options, engine, &asked, err);
    task_free(&asked.task);
    translation_task_free(&asked.translations);
    engine_close(engine);
    return ok;
}
