#include "tests/support/export_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"

Engine *export_engine(const char *model, const char *recipe_text) {
    Engine *engine;
    Recipe recipe;
    Error err = {0};
    const EngineOptions options = {.model = model,
                                   .random_tokens = true,
                                   .sequences = 4,
                                   .length = 32,
                                   .backend = BACKEND_CPU,
                                   .threads = 2,
                                   .precision = PRECISION_F32,
                                   .no_cache = true};
    if (!recipe_parse(recipe_text, strlen(recipe_text), &recipe, &err)) fail_msg("%s", err.message);
    if (!engine_open(&options, &engine, &err)) fail_msg("%s", err.message);
    engine_set_recipe(engine, &recipe);
    if (!engine_prepare(engine, false, NULL, &err)) fail_msg("%s", err.message);
    return engine;
}

ExportResult export_written(Engine *engine, const ExportOptions *options) {
    ExportResult result;
    Error err = {0};
    if (!engine_export(engine, options, NULL, &result, NULL, &err)) fail_msg("%s", err.message);
    return result;
}

void export_refused(Engine *engine, const ExportOptions *options, const char *reason) {
    ExportResult result;
    Error err = {0};
    assert_false(engine_export(engine, options, NULL, &result, NULL, &err));
    if (!strstr(err.message, reason)) fail_msg("expected \"%s\", got \"%s\"", reason, err.message);
}

char *export_file(const char *path, const char *name, size_t *size) {
    char *file = path_join(path, name), *text;
    Error err = {0};
    if (!file_read(file, 1 << 28, &text, size, &err)) fail_msg("%s", err.message);
    free(file);
    return text;
}
