// The benchmark for devices, at toy sizes on an emulated one: it runs to its end and writes what it promises.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "tests/support/folder.h"
#include "tests/support/program.h"

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

static void it_measures_all_that_goals_name(void **state) {
    (void)state;
    char path[4096], *folder = folder_temporary();
    snprintf(path, sizeof path, "%s", program_path());
    char *name = strrchr(path, '/');
    assert_non_null(name);
    snprintf(name, sizeof path - (size_t)(name - path), "/bench/gpu/bench_gpu");
    setenv("QUANTDIAL_PROGRAM", path, 1);
    Ran ran = program_run((const char *const[]){"--emulated", folder, NULL}, NULL, NULL);
#ifdef __GLIBC__
    if (ran.status != 0) fail_msg("%d: %s", ran.status, ran.err);
    char *text = text_of(folder, "emulated-device.json");
    cJSON *root = cJSON_Parse(text);
    assert_non_null(root);
    // Seven matrices, three batches: the library, ten schemes, of which fp16 is our own for one token only.
    assert_int_equal(entries_with(root, "products", "microseconds"), 7 * (3 + 9 * 3 + 1));
    assert_int_equal(entries_with(root, "products", "times_cublas_fp16"), 7 * (3 + 9 * 3 + 1));
    assert_int_equal(entries_with(root, "choose", "microseconds"), 4 * 2);
    assert_int_equal(entries_with(root, "decode", "tokens_per_second"), 6 * 9);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "goals")), 13);
    assert_true(entries_with(root, "goals", "lowest") >= 8); // toy sizes have no batches of 32, 128 and 256
    assert_non_null(strstr(ran.out, "int4 g64, batch 64, times cuBLAS fp16"));
    cJSON_Delete(root);
    free(text);
#else
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "emulate"));
#endif
    ran_free(&ran);
    folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_measures_all_that_goals_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
