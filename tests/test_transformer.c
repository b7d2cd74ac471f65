// The forward pass against transformers (tools/fixtures/make_llama.py), whole, in parts and token by token.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/array.h"
#include "loaders/safetensors.h"
#include "tests/support/fixture_model.h"

static const char *const folders[] = {
    "tests/fixtures/llama-gqa-llama3-bf16",
    "tests/fixtures/llama-mha-linear-f32",
    "tests/fixtures/llama-mqa-plain-f16",
};
enum { FOLDERS = sizeof folders / sizeof *folders };

static const char *const sample = "samples/storyteller";
static const char *const sample_logits = "tests/fixtures/storyteller-logits.safetensors";

static Sequences *sequences_for(Transformer *t, size_t positions) {
    Sequences *sequences;
    Error err = {0};
    if (!sequences_new(t, positions, &sequences, &err)) fail_msg("%s", err.message);
    return sequences;
}

static void forward(Transformer *t, Sequences *sequences, const int32_t *ids, size_t tokens, bool all, float *logits) {
    Error err = {0};
    if (!transformer_forward(t, sequences, ids, tokens, all, logits, NULL, &err)) fail_msg("%s", err.message);
}

static float *logits_new(const FixtureModel *model) {
    float *logits = array_new(model->tokens * (size_t)model->config.vocab, sizeof *logits);
    assert_non_null(logits);
    return logits;
}

static void assert_close(const FixtureModel *model, const float *logits, double bound, const char *what) {
    double difference = relative_difference(logits, model->logits, model->tokens * (size_t)model->config.vocab);
    print_message("%s, %s: largest difference %.1e of the largest logit\n", model->checkpoint.folder, what, difference);
    if (!(difference <= bound)) fail_msg("%.2e is more than %.1e", difference, bound);
}

// In F32 the only differences are of the order of summation.
static void in_float_it_equals_transformers(void **state) {
    (void)state;
    for (int i = 0; i < FOLDERS; i++) {
        FixtureModel model;
        fixture_model_open(folders[i], PRECISION_F32, &model);
        float *logits = fixture_logits(model.base, model.ids, model.tokens);
        assert_close(&model, logits, 1e-5, "float");
        free(logits);
        fixture_model_close(&model);
    }
}

// 16-bit activations and cache: 2^−9 relative per rounding, over a few layers.
static void in_native_precision_it_is_near(void **state) {
    (void)state;
    for (int i = 0; i < FOLDERS; i++) {
        FixtureModel model;
        fixture_model_open(folders[i], PRECISION_NATIVE, &model);
        float *logits = fixture_logits(model.base, model.ids, model.tokens);
        assert_close(&model, logits, model.config.dtype == DTYPE_BF16 ? 6e-2 : 4e-3, "native");
        free(logits);
        fixture_model_close(&model);
    }
}

static void prefill_in_parts_is_the_same(void **state) {
    (void)state;
    for (int i = 0; i < FOLDERS; i++) {
        FixtureModel model;
        fixture_model_open(folders[i], PRECISION_F32, &model);
        size_t vocab = (size_t)model.config.vocab, first = 13;
        float *logits = logits_new(&model);
        Sequences *sequences = sequences_for(model.base, model.tokens);
        forward(model.base, sequences, model.ids, first, true, logits);
        assert_int_equal(sequences_length(sequences), first);
        forward(model.base, sequences, model.ids + first, model.tokens - first, true, logits + first * vocab);
        assert_close(&model, logits, 1e-5, "two parts");
        // Going back and on again gives the same rows.
        sequences_rewind(sequences, first);
        memset(logits + first * vocab, 0, (model.tokens - first) * vocab * sizeof *logits);
        forward(model.base, sequences, model.ids + first, model.tokens - first, true, logits + first * vocab);
        assert_close(&model, logits, 1e-5, "rewound");
        sequences_free(sequences);
        free(logits);
        fixture_model_close(&model);
    }
}

static void decoding_token_by_token_is_the_same(void **state) {
    (void)state;
    for (int i = 0; i < FOLDERS; i++) {
        FixtureModel model;
        fixture_model_open(folders[i], PRECISION_F32, &model);
        float *logits = logits_new(&model);
        Sequences *sequences = sequences_for(model.base, model.tokens);
        for (size_t t = 0; t < model.tokens; t++)
            forward(model.base, sequences, &model.ids[t], 1, false, logits + t * (size_t)model.config.vocab);
        assert_close(&model, logits, 1e-5, "token by token");
        sequences_free(sequences);
        free(logits);
        fixture_model_close(&model);
    }
}

// Two sequences at once: what each of them gives alone.
static void sequences_side_by_side(void **state) {
    (void)state;
    const char *const models[] = {folders[0],
                                  "tests/fixtures/families/opt",
                                  "tests/fixtures/families/bloom",
                                  "tests/fixtures/families/lfm2",
                                  "tests/fixtures/families/qwen3-next",
                                  "tests/fixtures/families/falcon-h1"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        enum { FIRST = 3, TOKENS = 6 };
        FixtureModel model;
        Error err = {0};
        fixture_model_open(models[m], PRECISION_F32, &model);
        const size_t vocab = (size_t)model.config.vocab;
        int32_t both[2][TOKENS], start[2 * FIRST];
        for (int t = 0; t < TOKENS; t++) {
            both[0][t] = t + 1;
            both[1][t] = model.config.vocab - 1 - 2 * t;
        }
        for (int t = 0; t < 2 * FIRST; t++) start[t] = both[t / FIRST][t % FIRST];
        float *logits = array_new(2 * FIRST * vocab, sizeof *logits);
        float *alone[2] = {fixture_logits(model.base, both[0], TOKENS), fixture_logits(model.base, both[1], TOKENS)};
        Sequences *sequences;
        assert_true(sequences_new_many(model.base, TOKENS, 2, &sequences, &err));
        forward(model.base, sequences, start, 2 * FIRST, true, logits);
        for (size_t s = 0; s < 2; s++)
            assert_true(relative_difference(logits + s * FIRST * vocab, alone[s], FIRST * vocab) <= 1e-5);
        for (size_t t = FIRST; t < TOKENS; t++) {
            assert_int_equal(sequences_length(sequences), t);
            forward(model.base, sequences, (const int32_t[]){both[0][t], both[1][t]}, 2, true, logits);
            for (size_t s = 0; s < 2; s++)
                assert_true(relative_difference(logits + s * vocab, alone[s] + t * vocab, vocab) <= 1e-5);
        }
        sequences_rewind(sequences, 0);
        assert_false(transformer_forward(model.base, sequences, start, 3, true, logits, NULL, &err));
        assert_non_null(strstr(err.message, "2 sequences"));
        sequences_free(sequences);
        free(logits), free(alone[0]), free(alone[1]);
        fixture_model_close(&model);
    }
}

// What layers remember at a position is known where it was kept, and at the beginning.
static void what_is_remembered_can_be_gone_back_to(void **state) {
    (void)state;
    enum { FIRST = 5, REST = 6, TOKENS = FIRST + REST };
    FixtureModel model;
    Error err = {0};
    fixture_model_open("tests/fixtures/families/falcon-h1", PRECISION_F32, &model);
    const size_t vocab = (size_t)model.config.vocab;
    float *expected = fixture_logits(model.base, model.ids, TOKENS), *logits = logits_new(&model);
    Sequences *sequences = sequences_for(model.base, TOKENS);
    forward(model.base, sequences, model.ids, FIRST, true, logits);
    assert_true(sequences_keep(sequences, &err));
    for (size_t back = 0; back < 3; back++) {
        forward(model.base, sequences, model.ids + FIRST, REST, true, logits);
        assert_true(relative_difference(logits, expected + FIRST * vocab, REST * vocab) <= 1e-5);
        sequences_rewind(sequences, FIRST + back); // it is not known there, but before
        assert_int_equal(sequences_length(sequences), FIRST);
    }
    sequences_rewind(sequences, FIRST - 1);
    assert_int_equal(sequences_length(sequences), 0);
    forward(model.base, sequences, model.ids, TOKENS, true, logits);
    assert_true(relative_difference(logits, expected, TOKENS * vocab) <= 1e-5);
    sequences_rewind(sequences, FIRST); // what was kept was of the text before
    assert_int_equal(sequences_length(sequences), 0);
    sequences_free(sequences);
    free(expected), free(logits);
    fixture_model_close(&model);
}

// Sequences that go on where others were remember what those did.
static void what_is_remembered_follows(void **state) {
    (void)state;
    enum { FIRST = 4, TOKENS = 6 };
    static const char *const models[] = {"tests/fixtures/families/lfm2", "tests/fixtures/families/qwen3-next",
                                         "tests/fixtures/families/nemotron-h"};
    for (size_t m = 0; m < 3; m++) {
        FixtureModel model;
        Error err = {0};
        fixture_model_open(models[m], PRECISION_F32, &model);
        const size_t vocab = (size_t)model.config.vocab;
        int32_t ids[3][TOKENS], start[3 * FIRST], next[3];
        for (int i = 0; i < 3 * TOKENS; i++) ids[i / TOKENS][i % TOKENS] = (i * 7 + i / TOKENS) % model.config.vocab;
        for (int i = 0; i < 3 * FIRST; i++) start[i] = ids[i / FIRST][i % FIRST];
        static const int32_t from[3] = {2, 0, 2};
        float *logits = array_new(3 * FIRST * vocab, sizeof *logits);
        Sequences *sequences;
        assert_non_null(logits);
        assert_true(sequences_new_many(model.base, TOKENS, 3, &sequences, &err));
        forward(model.base, sequences, start, 3 * FIRST, true, logits);
        sequences_follow(sequences, from);
        for (size_t t = FIRST; t < TOKENS; t++) {
            for (int s = 0; s < 3; s++) next[s] = ids[from[s]][t];
            forward(model.base, sequences, next, 3, true, logits);
            for (size_t s = 0; s < 3; s++) {
                float *alone = fixture_logits(model.base, ids[from[s]], t + 1);
                assert_true(relative_difference(logits + s * vocab, alone + t * vocab, vocab) <= 1e-5);
                free(alone);
            }
        }
        sequences_free(sequences);
        free(logits);
        fixture_model_close(&model);
    }
}

// A pass that failed has spoiled what layers remember: the sequence begins again.
static void a_failed_pass_begins_again(void **state) {
    (void)state;
    FixtureModel model;
    Error err = {0};
    fixture_model_open("tests/fixtures/families/lfm2", PRECISION_F32, &model);
    float *logits = logits_new(&model), *hidden = array_new((size_t)model.config.hidden * 9, sizeof *hidden);
    Sequences *sequences = sequences_for(model.base, 8);
    forward(model.base, sequences, model.ids, 4, true, logits);
    assert_true(hidden && sequences_keep(sequences, &err));
    assert_false(transformer_layers(model.base, sequences, 0, 1, hidden, 9, NULL, &err));
    assert_int_equal(sequences_length(sequences), 0);
    forward(model.base, sequences, model.ids, 8, true, logits);
    assert_true(relative_difference(logits, model.logits, 8 * (size_t)model.config.vocab) <= 1e-5);
    sequences_free(sequences);
    free(logits), free(hidden);
    fixture_model_close(&model);
}

static void the_last_row_is_the_last_token(void **state) {
    (void)state;
    FixtureModel model;
    fixture_model_open(folders[0], PRECISION_F32, &model);
    size_t vocab = (size_t)model.config.vocab;
    float *logits = logits_new(&model);
    Sequences *sequences = sequences_for(model.base, model.tokens);
    forward(model.base, sequences, model.ids, model.tokens, false, logits);
    const float *expected = model.logits + (model.tokens - 1) * vocab;
    assert_true(relative_difference(logits, expected, vocab) <= 1e-5);
    sequences_free(sequences);
    free(logits);
    fixture_model_close(&model);
}

// As an evaluation does that keeps hidden states and starts in the middle.
static void layers_can_be_run_one_by_one(void **state) {
    (void)state;
    FixtureModel model;
    Error err = {0};
    fixture_model_open(folders[0], PRECISION_F32, &model);
    const BackendOps *ops = model.backend->ops;
    size_t tokens = model.tokens, vocab = (size_t)model.config.vocab;
    float *hidden = ops->memory_new(model.backend, tokens * (size_t)model.config.hidden * sizeof *hidden, &err);
    float *device = ops->memory_new(model.backend, tokens * vocab * sizeof *device, &err);
    float *logits = logits_new(&model);
    Sequences *sequences = sequences_for(model.base, tokens);
    assert_true(transformer_embed(model.base, model.ids, tokens, hidden, &err));
    for (int layer = 0; layer < model.config.layers; layer++)
        assert_true(transformer_layers(model.base, sequences, layer, layer + 1, hidden, tokens, NULL, &err));
    assert_int_equal(sequences_length(sequences), 0);
    sequences_advance(sequences, tokens);
    assert_true(transformer_head(model.base, sequences, hidden, tokens, device, NULL, &err));
    ops->download(model.backend, logits, device, tokens * vocab * sizeof *logits);
    assert_close(&model, logits, 1e-5, "layer by layer");
    ops->memory_free(model.backend, hidden);
    ops->memory_free(model.backend, device);
    sequences_free(sequences);
    free(logits);
    fixture_model_close(&model);
}

// ---- Observer ----

typedef struct Seen {
    int calls[64];
    size_t tokens[64], widths[64];
    float norm[48]; // the first token's input of the first input
} Seen;

static void see(void *context, int input, const float *x, size_t tokens, size_t width) {
    Seen *seen = context;
    assert_in_range(input, 0, 63);
    seen->calls[input]++;
    seen->tokens[input] += tokens;
    seen->widths[input] = width;
    for (size_t i = 0; i < tokens * width; i++) assert_true(isfinite(x[i]));
    if (input == 0 && seen->calls[0] == 1) memcpy(seen->norm, x, sizeof seen->norm);
}

// RMSNorm of the embedding, from the formula.
static void assert_first_norm(const FixtureModel *model, const float *seen) {
    enum { HIDDEN = 48 };
    float x[HIDDEN], gain[HIDDEN];
    double squares = 0;
    const Tensor *embedding = model->structure.embedding;
    const Norm *norm = &model->structure.norms[model->structure.layers[0].attention_norm];
    floats_from(embedding->dtype, (const uint16_t *)embedding->data + model->ids[0] * HIDDEN, HIDDEN, x);
    floats_from(norm->gain->dtype, norm->gain->data, HIDDEN, gain);
    for (int i = 0; i < HIDDEN; i++) squares += (double)x[i] * (double)x[i];
    double scale = 1 / sqrt(squares / HIDDEN + (double)model->config.norm_eps);
    for (int i = 0; i < HIDDEN; i++) assert_float_equal(seen[i], (double)x[i] * scale * (double)gain[i], 1e-5);
}

static void the_observer_sees_every_input_once(void **state) {
    (void)state;
    FixtureModel model;
    Error err = {0};
    fixture_model_open(folders[0], PRECISION_F32, &model);
    Seen seen = {0};
    Observer observer = {.linear_input = see, .context = &seen};
    float *logits = logits_new(&model);
    Sequences *sequences = sequences_for(model.base, model.tokens);
    assert_true(transformer_forward(model.base, sequences, model.ids, 10, true, logits, &observer, &err));
    assert_true(transformer_forward(model.base, sequences, model.ids + 10, 26, true, logits, &observer, &err));
    assert_in_range(model.structure.input_count, 1, 64);
    for (int i = 0; i < model.structure.linear_count; i++) {
        const Linear *linear = &model.structure.linears[i];
        assert_int_equal(seen.widths[linear->input], linear->in);
        assert_int_equal(seen.calls[linear->input], 2);
        assert_int_equal(seen.tokens[linear->input], 36);
    }
    assert_first_norm(&model, seen.norm);
    sequences_free(sequences);
    free(logits);
    fixture_model_close(&model);
}

// ---- Refusals ----

static void assert_refused(const FixtureModel *model, Sequences *sequences, const int32_t *ids, size_t tokens,
                           const char *part) {
    Error err = {0};
    size_t length = sequences_length(sequences);
    float *logits = array_new(tokens * (size_t)model->config.vocab, sizeof *logits);
    if (transformer_forward(model->base, sequences, ids, tokens, true, logits, NULL, &err)) fail_msg("accepted");
    if (!strstr(err.message, part)) fail_msg("\"%s\" does not say \"%s\"", err.message, part);
    assert_int_equal(sequences_length(sequences), length);
    free(logits);
}

static void ids_outside_the_vocabulary_are_refused(void **state) {
    (void)state;
    FixtureModel model;
    fixture_model_open(folders[0], PRECISION_F32, &model);
    Sequences *sequences = sequences_for(model.base, 8);
    assert_refused(&model, sequences, (const int32_t[]){1, model.config.vocab, 2}, 3, "token 1 has the id 120");
    assert_refused(&model, sequences, (const int32_t[]){-1}, 1, "-1");
    assert_refused(&model, sequences, NULL, 0, "no tokens");
    sequences_free(sequences);
    fixture_model_close(&model);
}

static void more_positions_than_there_are_are_refused(void **state) {
    (void)state;
    FixtureModel model;
    Error err = {0};
    fixture_model_open(folders[0], PRECISION_F32, &model);
    Sequences *sequences;
    assert_false(sequences_new(model.base, (size_t)model.config.max_positions + 1, &sequences, &err));
    assert_null(sequences);
    assert_non_null(strstr(err.message, "65 positions are more than the 64"));
    assert_false(sequences_new(model.base, 0, &sequences, &err));
    sequences = sequences_for(model.base, 8);
    float logits[120];
    assert_refused(&model, sequences, model.ids, 9, "9 tokens after 0");
    forward(model.base, sequences, model.ids, 8, false, logits);
    assert_refused(&model, sequences, model.ids, 1, "1 tokens after 8");
    sequences_free(sequences);
    fixture_model_close(&model);
}

// ---- Variants ----

static void a_variant_shares_weights_and_keeps_changes_to_itself(void **state) {
    (void)state;
    FixtureModel model;
    Transformer *variant;
    Error err = {0};
    fixture_model_open(folders[0], PRECISION_F32, &model);
    assert_true(transformer_variant(model.base, &variant, &err));
    size_t n = model.tokens * (size_t)model.config.vocab, hidden = (size_t)model.config.hidden;
    int head = model.structure.head;
    assert_ptr_equal(transformer_linear(variant, head), transformer_linear(model.base, head));
    assert_int_equal(transformer_bytes_per_token(variant), transformer_bytes_per_token(model.base));
    float *before = fixture_logits(model.base, model.ids, model.tokens), *twos = array_new(hidden, sizeof *twos);
    for (size_t i = 0; i < hidden; i++) twos[i] = 2;
    // Half the final gain is half the logits, exactly; setting it twice does not halve twice.
    for (int i = 0; i < 2; i++)
        assert_true(transformer_set_norm_divisor(variant, model.structure.ends.final_norm, twos, &err));
    float *halved = fixture_logits(variant, model.ids, model.tokens);
    for (size_t i = 0; i < n; i++) assert_float_equal(halved[i], before[i] / 2, 0);
    float *base_again = fixture_logits(model.base, model.ids, model.tokens);
    assert_memory_equal(base_again, before, n * sizeof *before);
    assert_true(transformer_set_norm_divisor(variant, model.structure.ends.final_norm, NULL, &err));
    float *restored = fixture_logits(variant, model.ids, model.tokens);
    assert_memory_equal(restored, before, n * sizeof *before);
    free(before);
    free(twos);
    free(halved);
    free(base_again);
    free(restored);
    transformer_free(variant);
    fixture_model_close(&model);
}

// ---- The sample ----

static void the_sample_equals_transformers(void **state) {
    (void)state;
    if (access(sample, R_OK) != 0 || access(sample_logits, R_OK) != 0) {
        print_message("left out: %s or %s is not there\n", sample, sample_logits);
        skip();
    }
    FixtureModel model;
    TensorFile file;
    Error err = {0};
    size_t count, rows, floats;
    fixture_model_open(sample, PRECISION_F32, &model);
    if (!safetensors_open(sample_logits, &file, &err)) fail_msg("%s", err.message);
    int32_t *ids = fixture_integers(&file, "ids", &count), *row = fixture_integers(&file, "rows", &rows);
    float *expected = fixture_floats(&file, "logits", &floats), *logits = fixture_logits(model.base, ids, count);
    size_t vocab = (size_t)model.config.vocab;
    assert_int_equal(floats, rows * vocab);
    for (size_t i = 0; i < rows; i++) // keeps the rows that are known
        memmove(logits + i * vocab, logits + (size_t)row[i] * vocab, vocab * sizeof *logits);
    double difference = relative_difference(logits, expected, floats);
    print_message("%s: largest difference %.1e of the largest logit\n", sample, difference);
    assert_true(difference <= 1e-4);
    tensor_file_close(&file);
    free(ids);
    free(row);
    free(expected);
    free(logits);
    fixture_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_float_it_equals_transformers),
        cmocka_unit_test(in_native_precision_it_is_near),
        cmocka_unit_test(prefill_in_parts_is_the_same),
        cmocka_unit_test(decoding_token_by_token_is_the_same),
        cmocka_unit_test(sequences_side_by_side),
        cmocka_unit_test(what_is_remembered_can_be_gone_back_to),
        cmocka_unit_test(what_is_remembered_follows),
        cmocka_unit_test(a_failed_pass_begins_again),
        cmocka_unit_test(the_last_row_is_the_last_token),
        cmocka_unit_test(layers_can_be_run_one_by_one),
        cmocka_unit_test(the_observer_sees_every_input_once),
        cmocka_unit_test(ids_outside_the_vocabulary_are_refused),
        cmocka_unit_test(more_positions_than_there_are_are_refused),
        cmocka_unit_test(a_variant_shares_weights_and_keeps_changes_to_itself),
        cmocka_unit_test(the_sample_equals_transformers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
