// What fuzzing starts from and what it once found, run through every target (make fuzz searches for more). The targets
// are named alike, as libFuzzer wants it, so each is included under a name of its own.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <cmocka.h>

#include "base/file.h"

#define LLVMFuzzerTestOneInput fuzz_chat_template
#include "tests/fuzz/fuzz_chat_template.c" // NOLINT(bugprone-suspicious-include)
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_config
#include "tests/fuzz/fuzz_config.c" // NOLINT(bugprone-suspicious-include)
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_gguf
#include "tests/fuzz/fuzz_gguf.c" // NOLINT(bugprone-suspicious-include)
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_index
#include "tests/fuzz/fuzz_index.c" // NOLINT(bugprone-suspicious-include)
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_lines
#include "tests/fuzz/fuzz_lines.c" // NOLINT(bugprone-suspicious-include)
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_recipe
#include "tests/fuzz/fuzz_recipe.c" // NOLINT(bugprone-suspicious-include)
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_safetensors
#include "tests/fuzz/fuzz_safetensors.c" // NOLINT(bugprone-suspicious-include)
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_stored
#include "tests/fuzz/fuzz_stored.c" // NOLINT(bugprone-suspicious-include)
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_tokenizer
#include "tests/fuzz/fuzz_tokenizer.c" // NOLINT(bugprone-suspicious-include)
#undef LLVMFuzzerTestOneInput

#define CORPUS "tests/fuzz/corpus"

typedef int Target(const uint8_t *data, size_t size);

static const struct {
    const char *name;
    Target *run;
} targets[] = {
    {"fuzz_chat_template", fuzz_chat_template},
    {"fuzz_config", fuzz_config},
    {"fuzz_gguf", fuzz_gguf},
    {"fuzz_index", fuzz_index},
    {"fuzz_lines", fuzz_lines},
    {"fuzz_recipe", fuzz_recipe},
    {"fuzz_safetensors", fuzz_safetensors},
    {"fuzz_stored", fuzz_stored},
    {"fuzz_tokenizer", fuzz_tokenizer},
};
#define TARGETS (sizeof targets / sizeof *targets)

static void run_file(Target *run, const char *path) {
    char *data;
    size_t size;
    Error err = {0};
    if (!file_read(path, 1 << 24, &data, &size, &err)) fail_msg("%s", err.message);
    uint8_t *exact = malloc(size ? size : 1); // without the NUL behind, so that a sanitizer sees every byte too many
    assert_non_null(exact);
    memcpy(exact, data, size);
    free(data);
    printf("%s\n", path);
    run(exact, size);
    free(exact);
}

static int run_folder(size_t target) {
    char folder[128];
    snprintf(folder, sizeof folder, CORPUS "/%s", targets[target].name);
    DIR *listing = opendir(folder);
    if (!listing) return 0;
    int count = 0;
    for (struct dirent *item; (item = readdir(listing));) {
        if (item->d_name[0] == '.') continue;
        char *path = path_join(folder, item->d_name);
        run_file(targets[target].run, path);
        free(path);
        count++;
    }
    closedir(listing);
    return count;
}

static void every_corpus_runs(void **state) {
    (void)state;
    for (size_t i = 0; i < TARGETS; i++) {
        targets[i].run((const uint8_t *)"", 0);
        if (!run_folder(i)) fail_msg("%s has no corpus", targets[i].name);
    }
}

// A new target belongs in the table above.
static void every_target_is_run(void **state) {
    (void)state;
    DIR *listing = opendir(CORPUS);
    assert_non_null(listing);
    for (struct dirent *item; (item = readdir(listing));) {
        bool known = item->d_name[0] == '.';
        for (size_t i = 0; i < TARGETS; i++) known = known || strcmp(item->d_name, targets[i].name) == 0;
        if (!known) fail_msg("%s/%s belongs to no target here", CORPUS, item->d_name);
    }
    closedir(listing);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_corpus_runs), cmocka_unit_test(every_target_is_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
