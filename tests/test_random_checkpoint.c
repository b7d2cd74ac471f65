// Random checkpoints: readable, the same for the same seed, spread like trained weights, whole or not there.
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <dirent.h>
#include <omp.h>
#include <cmocka.h>

#include "base/file.h"
#include "export/random_checkpoint.h"
#include "loaders/tokenizer/tokenizer.h"
#include "tests/support/fixture_model.h"
#include "tests/support/in_folder.h"

static RandomOptions tiny(uint64_t seed) {
    return (RandomOptions){.shape = *random_shape_find("tiny"), .dtype = DTYPE_BF16, .seed = seed};
}

static char *write_model(const char *name, RandomOptions options) {
    char *path = path_join(folder, name);
    Error err = {0};
    if (!random_checkpoint_write(&options, path, NULL, &err)) fail_msg("%s", err.message);
    return path;
}

static void expect_refused(const char *name, Progress *progress, const char *reason) {
    RandomOptions options = tiny(1);
    char *path = path_join(folder, name);
    Error err = {0};
    assert_false(random_checkpoint_write(&options, path, progress, &err));
    if (progress)
        assert_true(err.stopped);
    else if (!strstr(err.message, reason))
        fail_msg("expected \"%s\", got \"%s\"", reason, err.message);
    free(path);
}

static Checkpoint opened(const char *path) {
    Checkpoint checkpoint;
    Error err = {0};
    if (!checkpoint_open(path, &checkpoint, &err)) fail_msg("%s", err.message);
    return checkpoint;
}

static int entries(void) {
    int count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void runs_as_a_model(void **state) {
    (void)state;
    char *path = write_model("made/here", tiny(1));
    FixtureModel model;
    fixture_model_open(path, PRECISION_NATIVE, &model);
    assert_string_equal(model.config.family, "llama");
    assert_int_equal(model.config.layers, 2);
    assert_int_equal(model.structure.linear_count, 2 * 7 + 1);
    const int32_t ids[] = {1, 2, 300, 511};
    float *logits = fixture_logits(model.base, ids, 4);
    double squares = 0;
    for (size_t i = 0; i < 4 * 512; i++) {
        assert_true(isfinite(logits[i]));
        squares += (double)logits[i] * logits[i] / (4 * 512);
    }
    assert_true(squares > 0.1 && squares < 100); // it has opinions, and is not certain
    free(logits);
    fixture_model_close(&model);

    Tokenizer *tokenizer;
    TokenIds text = {0};
    Text back = {0};
    const char *said = "\"Öl\\\n\t~\x7f";
    Error err = {0};
    assert_true(tokenizer_load(path, &tokenizer, &err));
    assert_true(tokenizer_encode(tokenizer, said, strlen(said), true, &text, &err));
    assert_int_equal(text.count, strlen(said));
    for (size_t i = 0; i < text.count; i++) assert_int_equal(text.ids[i], (unsigned char)said[i]);
    assert_true(tokenizer_decode(tokenizer, text.ids, text.count, true, &back, &err));
    assert_string_equal(back.data, said);
    assert_int_equal(tokenizer_vocab_size(tokenizer), 512);
    text_free(&back);
    token_ids_free(&text);
    tokenizer_free(tokenizer);
    free(path);
}

static void the_same_seed_gives_the_same_bytes(void **state) {
    (void)state;
    RandomOptions sharded = tiny(7);
    sharded.shard_bytes = 100000;
    int threads = omp_get_max_threads();
    char *one = write_model("one", tiny(7)), *other = write_model("other", tiny(8));
    omp_set_num_threads(1);
    char *parts = write_model("parts", sharded);
    omp_set_num_threads(threads);
    Checkpoint a = opened(one), b = opened(parts), c = opened(other);
    assert_int_equal(a.file_count, 1);
    assert_true(b.file_count > 2);
    assert_int_equal(a.tensor_count, 2 * 9 + 3);
    assert_int_equal(b.tensor_count, a.tensor_count);
    for (size_t i = 0; i < a.tensor_count; i++) {
        assert_string_equal(a.by_name[i]->name, b.by_name[i]->name);
        assert_int_equal(a.by_name[i]->bytes, b.by_name[i]->bytes);
        assert_memory_equal(a.by_name[i]->data, b.by_name[i]->data, a.by_name[i]->bytes);
        assert_memory_not_equal(a.by_name[i]->data, c.by_name[i]->data, a.by_name[i]->bytes);
    }
    checkpoint_close(&a), checkpoint_close(&b), checkpoint_close(&c);
    free(one), free(parts), free(other);
}

// The numbers that the figures of the screen depend on: spread, tails, columns that stand out.
static void weights_are_spread_like_trained_ones(void **state) {
    (void)state;
    RandomOptions options = {.shape = {"wide", 2048, 1, 4, 1, 64, 512, 64}, .dtype = DTYPE_F16, .seed = 3};
    char *path = write_model("wide", options);
    Checkpoint checkpoint = opened(path);
    const Tensor *w = checkpoint_find(&checkpoint, "model.layers.0.self_attn.q_proj.weight");
    const size_t n = (size_t)2048 * 2048;
    const uint16_t *halves = w->data; // aligned: the header is padded
    double second = 0, fourth = 0, columns[2048] = {0}, mean = 0;
    int wide = 0;
    for (size_t i = 0; i < n; i++) {
        double x = (double)f16_to_float(halves[i]) * sqrt(2048);
        second += x * x / (double)n;
        fourth += x * x * x * x / (double)n;
        columns[i % 2048] += x * x / 2048;
    }
    assert_true(second > 0.9 && second < 1.6);
    assert_true(fourth / (second * second) > 4 && fourth / (second * second) < 30); // normal: 3
    for (size_t j = 0; j < 2048; j++) mean += columns[j] / 2048;
    for (size_t j = 0; j < 2048; j++) wide += columns[j] > 6 * mean;
    assert_true(wide >= 1 && wide <= 2);
    checkpoint_close(&checkpoint);
    free(path);
}

static void what_cannot_be_finished_leaves_nothing(void **state) {
    (void)state;
    Progress progress = {0};
    atomic_store(&progress.stop, true);
    expect_refused("stopped", &progress, NULL);
    assert_int_equal(entries(), 0);

    struct rlimit old, small = {.rlim_cur = 200000, .rlim_max = RLIM_INFINITY};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    expect_refused("large", NULL, "nothing was kept");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(entries(), 0);

    folder_put_text(folder, "file", "x");
    expect_refused("file/model", NULL, "file");
    expect_refused("file", NULL, "file");
    free(write_model("there", tiny(1)));
    expect_refused("there", NULL, "not empty");
    assert_int_equal(entries(), 2);
}

static void an_empty_folder_is_filled(void **state) {
    (void)state;
    char *path = path_join(folder, "empty");
    assert_true(folder_make(path, NULL));
    free(write_model("empty/", tiny(1)));
    char *config = path_join(path, "config.json");
    assert_true(file_exists(config));
    assert_int_equal(entries(), 1);
    free(config);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(runs_as_a_model),
        IN_FOLDER(the_same_seed_gives_the_same_bytes),
        IN_FOLDER(weights_are_spread_like_trained_ones),
        IN_FOLDER(what_cannot_be_finished_leaves_nothing),
        IN_FOLDER(an_empty_folder_is_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
