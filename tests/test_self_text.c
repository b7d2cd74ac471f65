// Text that a model samples: token by token what `generate` gives for the same seed, and kept on disk.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <cmocka.h>

#include "analysis/self_text.h"
#include "base/file.h"
#include "model/generate.h"
#include "tests/support/fixture_model.h"
#include "tests/support/in_folder.h"

static const char model_folder[] = "tests/fixtures/llama-mqa-plain-f16"; // 40 positions
enum { LENGTH = 24, SEQUENCES = 18, PREFIX = 3 };                        // more than are sampled side by side

static TokenIds sampled(FixtureModel *model, const SelfTextOptions *options, const char *where, Progress *progress) {
    TokenIds ids = {0};
    Error err = {0};
    if (!self_text(model->base, options, where, &ids, progress, &err)) fail_msg("%s", err.message);
    assert_int_equal(ids.count, options->sequences * options->length);
    return ids;
}

static void open_without_end(FixtureModel *model) {
    fixture_model_open(model_folder, PRECISION_F32, model);
    model->structure.config.eos_count = 0;
}

static void sequences_are_those_of_their_seeds(void **state) {
    (void)state;
    FixtureModel model;
    open_without_end(&model);
    const SelfTextOptions options = {SEQUENCES, LENGTH, PREFIX, 5};
    TokenIds ids = sampled(&model, &options, NULL, NULL);
    for (size_t i = 0; i < SEQUENCES; i++) {
        const Sampling sampling = {1, 1, 5 + i, 0};
        const int32_t prefix = PREFIX;
        Generated alone;
        Error err = {0};
        assert_true(generate(model.base, &prefix, 1, LENGTH - 1, &sampling, NULL, NULL, &alone, NULL, &err));
        assert_int_equal(ids.ids[i * LENGTH], PREFIX);
        assert_memory_equal(ids.ids + i * LENGTH + 1, alone.ids, (LENGTH - 1) * sizeof *alone.ids);
        generated_free(&alone);
    }
    token_ids_free(&ids);
    fixture_model_close(&model);
}

// Behind an end stands a beginning, unless one token is both.
static void texts_begin_anew_where_they_end(void **state) {
    (void)state;
    FixtureModel model;
    open_without_end(&model);
    for (int32_t i = 0; i < 8; i++) model.structure.config.eos_tokens[i] = i; // so that they come
    model.structure.config.eos_count = 8;
    const SelfTextOptions options = {SEQUENCES, LENGTH, PREFIX, 1};
    TokenIds ids = sampled(&model, &options, NULL, NULL);
    int ends = 0, after_both = 0;
    for (size_t i = 0; i + 1 < ids.count; i++) {
        if ((i + 1) % LENGTH == 0 || ids.ids[i] >= 8) continue;
        if (ids.ids[i] == PREFIX)
            after_both += ids.ids[i + 1] != PREFIX;
        else
            assert_int_equal(ids.ids[i + 1], PREFIX);
        ends++;
    }
    assert_true(ends > SEQUENCES && after_both > 0);
    token_ids_free(&ids);
    fixture_model_close(&model);
}

static void without_a_beginning_any_token_is_one(void **state) {
    (void)state;
    FixtureModel model;
    open_without_end(&model);
    const SelfTextOptions options = {SEQUENCES, 4, -1, 1};
    TokenIds ids = sampled(&model, &options, NULL, NULL);
    bool differ = false;
    for (size_t i = 1; i < SEQUENCES; i++) differ |= ids.ids[i * 4] != ids.ids[0];
    assert_true(differ);
    token_ids_free(&ids);
    fixture_model_close(&model);
}

// With a progress that asks to stop, only what needs no sampling succeeds.
static bool comes_from_disk(FixtureModel *model, const SelfTextOptions *options, const TokenIds *expected) {
    Progress stopped = {0};
    TokenIds ids = {0};
    Error err = {0};
    progress_request_stop(&stopped);
    const bool ok = self_text(model->base, options, folder, &ids, &stopped, &err);
    if (ok) assert_memory_equal(ids.ids, expected->ids, expected->count * sizeof *ids.ids);
    assert_true(ok != err.stopped);
    token_ids_free(&ids);
    return ok;
}

static char *kept_file(void) {
    DIR *listing = opendir(folder);
    char *path = NULL;
    for (struct dirent *item; (item = readdir(listing));)
        if (strncmp(item->d_name, "self-", 5) == 0) path = path_join(folder, item->d_name);
    closedir(listing);
    assert_non_null(path);
    return path;
}

static void it_is_sampled_once(void **state) {
    (void)state;
    FixtureModel model;
    open_without_end(&model);
    SelfTextOptions options = {2, LENGTH, PREFIX, 9};
    TokenIds ids = {0};
    assert_false(comes_from_disk(&model, &options, &ids));
    ids = sampled(&model, &options, folder, NULL);
    assert_true(comes_from_disk(&model, &options, &ids));
    options.seed++;
    assert_false(comes_from_disk(&model, &options, &ids));
    options.seed--;
    char *path = kept_file(), *data;
    size_t size;
    assert_true(file_read(path, 1 << 20, &data, &size, NULL));
    data[size - 3] ^= 1;
    assert_true(file_write(path, data, size, NULL));
    assert_false(comes_from_disk(&model, &options, &ids));
    data[size - 3] ^= 1;
    assert_true(file_write(path, data, size - 4, NULL));
    assert_false(comes_from_disk(&model, &options, &ids));
    free(data);
    free(path);
    token_ids_free(&ids);
    fixture_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_are_those_of_their_seeds),
        cmocka_unit_test(texts_begin_anew_where_they_end),
        cmocka_unit_test(without_a_beginning_any_token_is_one),
        IN_FOLDER(it_is_sampled_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
