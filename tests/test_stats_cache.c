// Statistics on disk: what was written is read back whole; whatever is wrong with a file, it is not used and nothing
// breaks.
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "analysis/input_stats.h"
#include "analysis/publish.h"
#include "analysis/stats_cache.h"
#include "base/array.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"
#include "tests/support/in_folder.h"
#include "tests/support/slow_checks.h"

enum { LINEARS = 2, HASH_AT = 40, PAYLOAD_AT = 48 };
static const size_t widths[LINEARS] = {32, 24}; // with a ladder of two sizes, and with none

typedef struct Model {
    uint16_t data[LINEARS][3 * 32];
    Tensor tensors[LINEARS];
    Linear linears[LINEARS];
    Checkpoint checkpoint;
    ModelStructure structure;
    ModelStats stats;
} Model;

static void fill_inputs(Model *m) {
    Random random = random_seeded(2);
    for (int i = 0; i < LINEARS; i++) {
        InputGatherer gatherer;
        float x[5 * 32];
        for (size_t j = 0; j < 5 * widths[i]; j++) x[j] = (float)random_normal(&random);
        Error err = {0};
        assert_true(input_gatherer_new(widths[i], (InputPlan){.planned = 5}, &gatherer, &err) &&
                    input_gatherer_add(&gatherer, x, 5, &err));
        assert_true(input_gatherer_look(&gatherer, true, &m->stats.inputs[i], &err));
        input_gatherer_free(&gatherer);
        input_set_publish(m->stats.set, i);
    }
}

static void model_new(Model *m) {
    *m = (Model){.checkpoint.identity = 77};
    Random random = random_seeded(1);
    for (int i = 0; i < LINEARS; i++) {
        for (size_t j = 0; j < 3 * widths[i]; j++) m->data[i][j] = float_to_bf16((float)random_normal(&random));
        const float unusual[] = {0, 100, INFINITY}; // so that no figure is zero, as one that was forgotten would be
        for (size_t j = 0; j < 3; j++) m->data[i][j] = float_to_bf16(unusual[j]);
        m->tensors[i] = (Tensor){.name = "w", .dtype = DTYPE_BF16, .data = m->data[i], .bytes = 6 * widths[i]};
        m->linears[i] = (Linear){.name = (char *)"w", .out = 3, .in = widths[i], .input = i, .weight = &m->tensors[i]};
    }
    m->structure = (ModelStructure){.config = {.family = "llama", .layers = 1},
                                    .checkpoint = &m->checkpoint,
                                    .linears = m->linears,
                                    .linear_count = LINEARS,
                                    .input_count = LINEARS};
    Error err = {0};
    assert_true(model_stats_new(&m->structure, &m->stats, &err));
    for (int i = 0; i < LINEARS; i++) assert_true(weight_stats_measure(&m->structure, i, &m->stats, &err));
    fill_inputs(m);
}

typedef bool (*Reader)(const char *, uint64_t, const ModelStructure *, ModelStats *);
static const Reader readers[2] = {stats_cache_read_weights, stats_cache_read_inputs};
static const char *const names[2] = {"weights", "inputs"};

// Reads into fresh statistics; when `out` is NULL they are freed again.
static bool read_back(const Model *m, int kind, uint64_t key, ModelStats *out) {
    ModelStats stats;
    assert_true(model_stats_new(&m->structure, &stats, NULL));
    bool ok = readers[kind](folder, key, &m->structure, &stats);
    for (int i = 0; i < LINEARS; i++) {
        assert_int_equal(kind ? stats.inputs[i].known : stats.weights[i].known, ok);
        assert_int_equal(kind ? stats.measured.inputs[i].known : stats.measured.weights[i].known, ok);
    }
    if (out)
        *out = stats;
    else
        model_stats_free(&stats);
    return ok;
}

static void write_both(const Model *m, uint64_t key) {
    Error err = {0};
    if (!stats_cache_write_weights(folder, key, &m->stats, &err) ||
        !stats_cache_write_inputs(folder, key, &m->stats, &err))
        fail_msg("%s", err.message);
}

static void file_name(int kind, uint64_t key, char *path, size_t size) {
    snprintf(path, size, "%s/%s-%016llx.stats", folder, names[kind], (unsigned long long)key);
}

// Over what is there: emptying a file first makes some file systems wait for the disk, and this is done thousands of
// times.
static void write_plain(const char *path, const char *data, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, size, 0), size);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(close(fd), 0);
}

static void remove_files(uint64_t key) {
    for (int kind = 0; kind < 2; kind++) {
        char path[256];
        file_name(kind, key, path, sizeof path);
        unlink(path);
    }
}

static void what_was_written_comes_back(void **state) {
    (void)state;
    Model m;
    model_new(&m);
    char *parent = folder;
    folder = path_join(parent, "made/when/missing");
    write_both(&m, 5);
    ModelStats weights, inputs;
    assert_true(read_back(&m, 0, 5, &weights));
    assert_true(read_back(&m, 1, 5, &inputs));
    for (int i = 0; i < LINEARS; i++) {
        const WeightStats *w = &m.stats.weights[i], *v = &weights.weights[i];
        assert_int_equal(w->elements, v->elements);
        assert_true(w->mean == v->mean && w->std == v->std && w->kurtosis == v->kurtosis && w->absmax == v->absmax);
        assert_true(w->min == v->min && w->max == v->max && w->zeros == v->zeros && v->zeros);
        assert_true(w->nonfinite == v->nonfinite && v->nonfinite);
        assert_true(w->outliers_6sigma == v->outliers_6sigma && v->outliers_6sigma);
        assert_int_equal(w->counts.length, v->counts.length);
        assert_memory_equal(w->counts.values, v->counts.values, w->counts.length * sizeof(float));
        assert_memory_equal(w->counts.counts, v->counts.counts, w->counts.length * sizeof(uint64_t));
        assert_int_equal(w->votes.sizes_count, v->votes.sizes_count);
        assert_memory_equal(w->votes.squares, v->votes.squares, sizeof w->votes.squares);
        size_t bytes = (size_t)(w->votes.sizes_count - 1) * (VOTE_STEPS + 1) * sizeof(uint32_t);
        for (int rule = 0; rule < 2 && bytes; rule++)
            assert_memory_equal(w->votes.votes[rule], v->votes.votes[rule], bytes);
        assert_int_equal(w->columns, v->columns);
        assert_memory_equal(w->column_absmax, v->column_absmax, w->columns * sizeof(float));
        const InputStats *a = &m.stats.inputs[i], *b = &inputs.inputs[i];
        assert_true(a->width == b->width && a->tokens == b->tokens);
        assert_true(a->range == b->range && a->p99 == b->p99 && a->p99_9 == b->p99_9 && a->p99_99 == b->p99_99);
        assert_memory_equal(a->channel_absmax, b->channel_absmax, a->width * sizeof(float));
        assert_memory_equal(a->magnitude, b->magnitude, sizeof a->magnitude);
        assert_memory_equal(a->token_magnitude, b->token_magnitude, sizeof a->token_magnitude);
        assert_int_equal(a->sample_rows, b->sample_rows);
        assert_memory_equal(a->channel_tokens, b->channel_tokens, a->width * sizeof(uint32_t));
        assert_memory_equal(a->sample, b->sample, a->sample_rows * a->width * sizeof(float));
        assert_true(inputs.measured.inputs[i].range == a->range && inputs.measured.inputs[i].tokens == 5);
    }
    model_stats_free(&weights);
    model_stats_free(&inputs);
    model_stats_free(&m.stats);
    remove_files(5);
    free(folder);
    folder = parent;
}

static void another_key_or_kind_is_not_used(void **state) {
    (void)state;
    Model m;
    model_new(&m);
    write_both(&m, 5);
    for (int kind = 0; kind < 2; kind++) {
        char from[256], to[256], *data;
        size_t size;
        Error err = {0};
        assert_false(read_back(&m, kind, 6, NULL));
        file_name(kind, 5, from, sizeof from);
        file_name(kind, 6, to, sizeof to);
        assert_true(file_read(from, 1 << 20, &data, &size, &err));
        write_plain(to, data, size); // under the name of another key
        assert_false(read_back(&m, kind, 6, NULL));
        file_name(!kind, 6, to, sizeof to);
        write_plain(to, data, size); // under the name of the other kind
        assert_false(read_back(&m, !kind, 6, NULL));
        free(data);
    }
    remove_files(5);
    remove_files(6);
    model_stats_free(&m.stats);
}

static void another_shape_is_not_used(void **state) {
    (void)state;
    Model m;
    model_new(&m);
    write_both(&m, 5);
    m.linears[1].in = 23;
    assert_false(read_back(&m, 0, 5, NULL));
    assert_false(read_back(&m, 1, 5, NULL));
    m.linears[1].in = 24;
    m.linears[0].out = 4;
    assert_false(read_back(&m, 0, 5, NULL));
    m.linears[0].out = 3;
    m.structure.linear_count = m.structure.input_count = 1;
    ModelStats stats;
    assert_true(model_stats_new(&m.structure, &stats, NULL));
    for (int kind = 0; kind < 2; kind++) assert_false(readers[kind](folder, 5, &m.structure, &stats));
    model_stats_free(&stats);
    m.structure.linear_count = m.structure.input_count = LINEARS;
    assert_true(read_back(&m, 0, 5, NULL));
    assert_true(read_back(&m, 1, 5, NULL));
    remove_files(5);
    model_stats_free(&m.stats);
}

static void set_hash(char *data, size_t size) {
    uint64_t hash = hash_bytes(HASH_START, data + PAYLOAD_AT, size - PAYLOAD_AT);
    memcpy(data + HASH_AT, &hash, sizeof hash);
}

// Damage at every byte, noticed by the hash; then the same damage with a hash that fits, as someone might forge it: it
// may be taken for true where it could be, but never breaks anything (run under the sanitizers).
static void damage_anywhere_is_noticed(void **state) {
    (void)state;
    size_t step = slow_checks() ? 1 : 97;
    Model m;
    model_new(&m);
    write_both(&m, 5);
    for (int kind = 0; kind < 2; kind++) {
        char path[256], *data;
        size_t size;
        Error err = {0};
        file_name(kind, 5, path, sizeof path);
        assert_true(file_read(path, 1 << 20, &data, &size, &err));
        for (size_t at = 0; at < size; at += step) {
            char hash[8], old = data[at];
            memcpy(hash, data + HASH_AT, sizeof hash);
            data[at] = (char)(old ^ (1 << at % 8));
            write_plain(path, data, size);
            if (read_back(&m, kind, 5, NULL)) fail_msg("%s: damage at byte %zu was not noticed", names[kind], at);
            if (at >= PAYLOAD_AT) {
                data[at] = (char)(at % 3 ? ~old : old ^ 0x7F);
                set_hash(data, size);
                write_plain(path, data, size);
                read_back(&m, kind, 5, NULL);
            }
            data[at] = old;
            memcpy(data + HASH_AT, hash, sizeof hash);
        }
        write_plain(path, data, size);
        assert_true(read_back(&m, kind, 5, NULL));
        free(data);
    }
    remove_files(5);
    model_stats_free(&m.stats);
}

static void cut_or_extended_is_not_used(void **state) {
    (void)state;
    Model m;
    model_new(&m);
    write_both(&m, 5);
    for (int kind = 0; kind < 2; kind++) {
        char path[256], *data;
        size_t size;
        Error err = {0};
        file_name(kind, 5, path, sizeof path);
        assert_true(file_read(path, 1 << 20, &data, &size, &err)); // one more byte is there: the terminating 0
        for (size_t cut = 0; cut <= size + 1; cut += cut < 200 || cut + 20 > size ? 1 : 31) {
            if (cut == size) continue;
            write_plain(path, data, cut);
            assert_false(read_back(&m, kind, 5, NULL));
            if (cut <= PAYLOAD_AT || cut > size) continue;
            // With size and hash that fit what is left.
            char header[PAYLOAD_AT];
            memcpy(header, data, sizeof header);
            uint64_t left = cut - PAYLOAD_AT;
            memcpy(data + 32, &left, sizeof left);
            set_hash(data, cut);
            write_plain(path, data, cut);
            assert_false(read_back(&m, kind, 5, NULL));
            memcpy(data, header, sizeof header);
        }
        free(data);
    }
    remove_files(5);
    model_stats_free(&m.stats);
}

static void keys_tell_models_and_tokens_apart(void **state) {
    (void)state;
    Model m;
    model_new(&m);
    int32_t ids[6] = {1, 2, 3, 4, 5, 6};
    uint64_t weights = weight_stats_key(&m.structure);
    uint64_t inputs = input_stats_key(&m.structure, ids, 2, 3, PRECISION_NATIVE, "cpu");
    assert_int_equal(weights, weight_stats_key(&m.structure));
    assert_true(inputs != weights);
    assert_true(inputs != input_stats_key(&m.structure, ids, 3, 2, PRECISION_NATIVE, "cpu"));
    assert_true(inputs != input_stats_key(&m.structure, ids, 2, 3, PRECISION_F32, "cpu"));
    assert_true(inputs != input_stats_key(&m.structure, ids, 2, 3, PRECISION_NATIVE, "cuda"));
    ids[5] = 7;
    assert_true(inputs != input_stats_key(&m.structure, ids, 2, 3, PRECISION_NATIVE, "cpu"));
    ids[5] = 6;
    m.structure.config.identity++;
    assert_true(inputs != input_stats_key(&m.structure, ids, 2, 3, PRECISION_NATIVE, "cpu"));
    assert_true(weights != weight_stats_key(&m.structure));
    m.structure.config.identity--;
    assert_int_equal(weights, weight_stats_key(&m.structure));
    m.checkpoint.identity++;
    assert_true(weights != weight_stats_key(&m.structure));
    model_stats_free(&m.stats);
}

static void what_is_not_known_or_cannot_be_written(void **state) {
    (void)state;
    Model m;
    model_new(&m);
    Error err = {0};
    ModelStats unknown;
    assert_true(model_stats_new(&m.structure, &unknown, &err));
    assert_false(stats_cache_write_weights(folder, 5, &unknown, &err));
    assert_false(stats_cache_write_inputs(folder, 5, &unknown, &err));
    model_stats_free(&unknown);
    char *file = folder_write(folder, "file", "", 0), *under = path_join(file, "none");
    assert_false(stats_cache_write_weights(under, 5, &m.stats, &err));
    assert_non_null(strstr(err.message, file));
    unlink(file);
    free(under);
    free(file);
    // What is known already stays where it is: others may be reading it.
    write_both(&m, 5);
    const float *before = m.stats.weights[0].counts.values;
    assert_true(stats_cache_read_weights(folder, 5, &m.structure, &m.stats));
    assert_ptr_equal(m.stats.weights[0].counts.values, before);
    remove_files(5);
    model_stats_free(&m.stats);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_comes_back),
        cmocka_unit_test(another_key_or_kind_is_not_used),
        cmocka_unit_test(another_shape_is_not_used),
        cmocka_unit_test(damage_anywhere_is_noticed),
        cmocka_unit_test(cut_or_extended_is_not_used),
        cmocka_unit_test(keys_tell_models_and_tokens_apart),
        cmocka_unit_test(what_is_not_known_or_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
