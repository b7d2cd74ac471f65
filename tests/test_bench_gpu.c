// The benchmark for devices, at toy sizes on an emulated one: it runs to its end and writes what it promises.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "tests/support/folder.h"
#include "tests/support/program.h"
#include "tests/support/slow_checks.h"

static char *text_of(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

static int entries_with(const cJSON *root, const char *array, const char *number) {
    const cJSON *entry;
    int count = 0;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(root, array)) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(entry, number);
        count += cJSON_IsNumber(value) && value->valuedouble > 0;
    }
    return count;
}

static cJSON *results_of(const char *folder) {
    char *text = text_of(folder, "emulated-device.json");
    cJSON *root = cJSON_Parse(text);
    free(text);
    assert_non_null(root);
    return root;
}

static void it_measures_all_that_goals_name(void **state) {
    (void)state;
    if (!many_cases()) skip(); // the next one does less of the same
    char *folder = folder_temporary();
    Ran ran = program_run((const char *const[]){"--emulated", folder, NULL}, NULL, NULL);
#ifdef __GLIBC__
    if (ran.status != 0) fail_msg("%d: %s", ran.status, ran.err);
    cJSON *root = results_of(folder);
    // Seven matrices, three batches: the library, ten schemes, of which fp16 is our own for one token only.
    assert_int_equal(entries_with(root, "products", "microseconds"), 7 * (3 + 9 * 3 + 1));
    assert_int_equal(entries_with(root, "products", "times_cublas_fp16"), 7 * (3 + 9 * 3 + 1));
    assert_int_equal(entries_with(root, "choose", "microseconds"), 4 * 2);
    assert_int_equal(entries_with(root, "decode", "tokens_per_second"), 6 * 9);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "goals")), 14);
    assert_int_equal(entries_with(root, "quantize", "times_bytes"), 2 * 3 * 2);
    assert_true(entries_with(root, "goals", "lowest") >= 8); // toy sizes have no batches of 32, 128 and 256
    assert_non_null(strstr(ran.out, "int4 g64, batch 64, times cuBLAS fp16"));
    cJSON_Delete(root);
#else
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "emulate"));
#endif
    ran_free(&ran);
    folder_remove(folder);
}

// Nothing of an option needs a device.
static void it_says_what_can_be_asked_for(void **state) {
    (void)state;
    static const char *const wrong[][3] = {{"--only", "decoding"}, {"--scheme", "int5"}, {"--only"}, {"--fast"}};
    Ran ran = program_run((const char *const[]){"--help", NULL}, NULL, NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "products quantize attention choose decode"));
    assert_non_null(strstr(ran.out, "begin so: int4 g64, W4A8 g128, W4A8 channel, fp16,"));
    ran_free(&ran);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ran = program_run((const char *const[]){wrong[i][0], wrong[i][1], NULL}, NULL, NULL);
        assert_int_equal(ran.status, 2);
        assert_non_null(strstr(ran.err, wrong[i][1] ? wrong[i][1] : wrong[i][0]));
        assert_non_null(strstr(ran.err, "usage"));
        ran_free(&ran);
    }
}

#ifdef __GLIBC__

static void it_measures_what_is_asked_for(void **state) {
    (void)state;
    char *folder = folder_temporary();
    Ran ran = program_run(
        (const char *const[]){"--emulated", "--only", "decode", "--only", "quantize", "--scheme", "int4", folder, NULL},
        NULL, NULL);
    if (ran.status != 0) fail_msg("%d: %s", ran.status, ran.err);
    cJSON *root = results_of(folder);
    assert_int_equal(entries_with(root, "decode", "tokens_per_second"), 2 * 9); // with caches of 16 and of 8 bits
    assert_false(cJSON_HasObjectItem(root, "products") || cJSON_HasObjectItem(root, "choose"));
    assert_true(cJSON_HasObjectItem(root, "quantize"));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "goals")), 1);
    cJSON_Delete(root);
    ran_free(&ran);
    folder_remove(folder);
}

// Killed at any time, it leaves the cases that were measured.
static void it_keeps_what_it_has(void **state) {
    (void)state;
    char *folder = folder_temporary(), *path = path_join(folder, "emulated-device.json");
    const pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stdout)) _exit(126);
        execl(program_path(), program_path(), "--emulated", folder, (char *)NULL);
        _exit(127);
    }
    int cases = 0, status = 0;
    for (double until = clock_seconds() + 120; cases < 3 && clock_seconds() < until; usleep(2000)) {
        if (!file_exists(path)) continue;
        cJSON *root = results_of(folder);
        cases = entries_with(root, "products", "microseconds");
        cJSON_Delete(root);
    }
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status)); // it was not done yet
    cJSON *root = results_of(folder);
    assert_true(entries_with(root, "products", "microseconds") >= 3);
    assert_false(cJSON_HasObjectItem(root, "goals"));
    cJSON_Delete(root);
    free(path);
    folder_remove(folder);
}

#endif

// The benchmark lies beside the program that tests are given.
static int name_program(void **state) {
    (void)state;
    char path[4096];
    snprintf(path, sizeof path, "%s", program_path());
    char *name = strrchr(path, '/');
    if (!name) return 1;
    snprintf(name, sizeof path - (size_t)(name - path), "/bench/gpu/bench_gpu");
    return setenv("QUANTDIAL_PROGRAM", path, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_measures_all_that_goals_name), cmocka_unit_test(it_says_what_can_be_asked_for),
#ifdef __GLIBC__
        cmocka_unit_test(it_measures_what_is_asked_for), cmocka_unit_test(it_keeps_what_it_has)
#endif
    };
    return cmocka_run_group_tests(tests, name_program, NULL);
}
