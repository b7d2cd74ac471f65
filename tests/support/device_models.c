#include "tests/support/device_models.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/quantized_model.h"
#include "tests/support/study.h"

// A fixture on the device beside the same one on the CPU.
typedef struct Models {
    FixtureModel cpu, device;
} Models;

// For models whose logits are not among the fixtures, so that no tokens come with them.
static const int32_t some_ids[] = {1, 40, 7, 300, 12, 99, 3, 250, 31, 18, 64, 5};
enum { SOME_IDS = sizeof some_ids / sizeof *some_ids };

static const int32_t *ids_of(const Models *m, size_t *tokens) {
    *tokens = m->cpu.ids ? m->cpu.tokens : SOME_IDS;
    return m->cpu.ids ? m->cpu.ids : some_ids;
}

static void models_open(const char *folder, Backend *device, Models *m) {
    fixture_model_open(folder, PRECISION_F32, &m->cpu);
    fixture_model_open_on(folder, PRECISION_F32, device, &m->device);
}

static void models_close(Models *m) {
    fixture_model_close(&m->cpu);
    fixture_model_close(&m->device);
}

static void compare_logits(const char *what, const float *logits, const float *expected, size_t n, double most) {
    double difference = relative_difference(logits, expected, n);
    if (!(difference < most)) fail_msg("%s: logits differ by %g", what, difference);
}

void check_model_logits(const char *folder, Backend *device, size_t most_tokens) {
    Models m;
    models_open(folder, device, &m);
    size_t tokens;
    const int32_t *ids = ids_of(&m, &tokens);
    if (tokens > most_tokens) tokens = most_tokens;
    float *expected = fixture_logits(m.cpu.base, ids, tokens);
    float *logits = fixture_logits(m.device.base, ids, tokens);
    const size_t rows = tokens - source_share(&m.cpu.config, tokens);
    compare_logits(folder, logits, expected, rows * (size_t)m.cpu.config.vocab, 2e-5);
    free(expected), free(logits);
    models_close(&m);
}

void check_recorded_steps(const char *folder, Backend *device, size_t tokens) {
    Models m;
    Sequences *sequences = NULL;
    models_open(folder, device, &m);
    const size_t vocab = (size_t)m.cpu.config.vocab;
    float *expected = fixture_logits(m.cpu.base, m.cpu.ids, tokens), *row = calloc(vocab, sizeof *row);
    const size_t source = source_share(&m.cpu.config, tokens);
    assert_true(row && sequences_new_pair(m.device.base, source, tokens + 8, 1, &sequences, NULL));
    for (int round = 0; round < 2; round++) { // the second time the step is there already
        for (size_t t = source; t < tokens; t++) {
            const size_t before = t == source ? source : 0; // the source comes with the first token of the target
            assert_true(transformer_forward(m.device.base, sequences, m.cpu.ids + t - before, 1 + before, false, row,
                                            NULL, NULL));
            compare_logits("a recorded step", row, expected + (t - source) * vocab, vocab, 2e-5);
        }
        sequences_rewind(sequences, 0);
    }
    sequences_free(sequences);
    free(expected), free(row);
    models_close(&m);
}

static void check_chosen(const int32_t *chosen, const float *logits, size_t batch, size_t vocab) {
    for (size_t s = 0; s < batch; s++) {
        size_t best = 0;
        for (size_t i = 1; i < vocab; i++) best = logits[s * vocab + i] > logits[s * vocab + best] ? i : best;
        assert_int_equal(chosen[s], (int32_t)best);
    }
}

void check_recorded_batch(const char *folder, Backend *device, size_t batch, size_t tokens) {
    enum { MOST = 4, MOST_TOKENS = 8 };
    Models m;
    Sequences *sequences = NULL;
    models_open(folder, device, &m);
    const size_t vocab = (size_t)m.cpu.config.vocab;
    int32_t ids[MOST][MOST_TOKENS], now[MOST], chosen[MOST];
    float *expected[MOST], *rows = calloc(batch * vocab, sizeof *rows), probabilities[MOST];
    assert_true(rows && batch <= MOST && tokens <= MOST_TOKENS);
    for (size_t s = 0; s < batch; s++) {
        for (size_t t = 0; t < tokens; t++) ids[s][t] = (int32_t)((7 + 31 * s + 13 * t) % vocab);
        expected[s] = fixture_logits(m.cpu.base, ids[s], tokens);
    }
    assert_true(sequences_new_many(m.device.base, tokens, batch, &sequences, NULL));
    for (size_t round = 0; round < 2; round++) { // the second time the step is there already
        for (size_t t = 0; t < tokens; t++) {
            for (size_t s = 0; s < batch; s++) now[s] = ids[s][t];
            if (t == tokens - 1) assert_true(sequences_keep(sequences, NULL)); // for what layers remember
            assert_true(transformer_forward(m.device.base, sequences, now, batch, true, rows, NULL, NULL));
            for (size_t s = 0; s < batch; s++)
                compare_logits("a recorded batch", rows + s * vocab, expected[s] + t * vocab, vocab, 2e-5);
        }
        sequences_rewind(sequences, tokens - 1);
        assert_true(transformer_choose(m.device.base, sequences, now, batch, &(Draw){0}, chosen, probabilities, NULL));
        check_chosen(chosen, rows, batch, vocab);
        sequences_rewind(sequences, 0);
    }
    sequences_free(sequences);
    for (size_t s = 0; s < batch; s++) free(expected[s]);
    free(rows);
    models_close(&m);
}

static void look_away(void *context, int input, const float *x, size_t tokens, size_t width) {
    (void)context, (void)input, (void)x, (void)tokens, (void)width;
}

static void replace_experts(Transformer *t, int bits) {
    const ModelStructure *structure = transformer_structure(t);
    Backend *b = transformer_backend(t);
    const ActivationScheme scheme = {.mode = ACTIVATION_TOKEN};
    for (int i = 0; i < structure->linear_count; i++) {
        const size_t in = structure->linears[i].in, group = i % 2 && in > 20 ? 20 : in;
        const WeightQuantizing how = {.bits = bits, .group = group, .scale_dtype = DTYPE_F16};
        Weight *weight = NULL;
        Error err = {0};
        if (structure->linears[i].expert < 0 || structure->linears[i].expert % 3 == 2) continue; // some stay dense
        if (bits && !b->ops->weight_from_dense(b, transformer_dense(t, i), &how, &scheme, NULL, NULL, &weight, &err))
            fail_msg("%s: %s", structure->linears[i].name, err.message);
        transformer_set_linear(t, i, weight);
    }
}

void check_changed_experts(const char *folder, Backend *device, size_t tokens) {
    static const Observer observer = {look_away, NULL, NULL};
    static const int bits[] = {0, 4, 2, 0};
    FixtureModel m;
    Sequences *sequences = NULL;
    fixture_model_open_on(folder, PRECISION_F32, device, &m);
    const size_t vocab = (size_t)m.config.vocab;
    float *rows = calloc(3 * vocab, sizeof *rows), *before = rows + 2 * vocab;
    assert_true(rows && sequences_new(m.base, tokens + 1, &sequences, NULL));
    for (int change = 0; change < 4; change++) {
        replace_experts(m.base, bits[change]);
        for (size_t t = 0; t < tokens; t++) {
            const int32_t id = some_ids[t] % (int32_t)vocab;
            for (int looking = 0; looking < 2; looking++) {
                sequences_rewind(sequences, t);
                assert_true(transformer_forward(m.base, sequences, &id, 1, false, rows + (size_t)looking * vocab,
                                                looking ? &observer : NULL, NULL));
            }
            compare_logits(folder, rows, rows + vocab, vocab, 2e-3); // a code of eight bits may fall to the other side
        }
        if (change) assert_true(relative_difference(rows, before, vocab) > 1e-2);
        memcpy(before, rows, vocab * sizeof *before);
    }
    sequences_free(sequences);
    free(rows);
    fixture_model_close(&m);
}

const Sampling check_samplings[3] = {{0, 1, 0, 0}, {1.3f, 1, 5, 0}, {0.9f, 0.8f, 6, 0}};

void check_generated(const char *folder, Backend *device, const Sampling *sampling, size_t most,
                     const size_t *downloaded) {
    Models m;
    Generated cpu = {0}, other = {0};
    size_t count;
    models_open(folder, device, &m);
    const int32_t *ids = ids_of(&m, &count);
    assert_true(count >= 4 && generate(m.cpu.base, ids, 4, most, sampling, NULL, NULL, &cpu, NULL, NULL));
    const size_t before = downloaded ? *downloaded : 0;
    assert_true(generate(m.device.base, ids, 4, most, sampling, NULL, NULL, &other, NULL, NULL));
    if (downloaded) // an id and its probability for each token, the one that ends the text included
        assert_int_equal(*downloaded - before, (other.count + other.ended) * (sizeof(int32_t) + sizeof(float)));
    assert_true(cpu.count == other.count && cpu.ended == other.ended);
    assert_memory_equal(cpu.ids, other.ids, cpu.count * sizeof *cpu.ids);
    for (size_t i = 0; i < cpu.count; i++)
        assert_true(fabs((double)cpu.probabilities[i] / (double)other.probabilities[i] - 1) < 1e-3);
    generated_free(&cpu), generated_free(&other);
    models_close(&m);
}

static void compare_inputs(const InputStats *a, const InputStats *b) {
    assert_true(a->tokens == b->tokens && a->sample_rows == b->sample_rows);
    assert_true(fabs((double)a->range / (double)b->range - 1) < 1e-4);
    assert_true(fabs((double)a->p99_9 / (double)b->p99_9 - 1) < 0.02);
    for (size_t j = 0; j < a->width; j++)
        assert_true(fabsf(a->channel_absmax[j] - b->channel_absmax[j]) <= 1e-4f * a->range);
    for (size_t j = 0; j < a->width; j++) // few tokens lie so near the limit that rounding moves them over it
        assert_true(fabs((double)a->channel_tokens[j] - b->channel_tokens[j]) <= 2 + 0.01 * (double)a->tokens);
    for (size_t j = 0; j < a->sample_rows * a->width; j++)
        assert_true(fabsf(a->sample[j] - b->sample[j]) <= 1e-4f * a->range);
}

void check_calibration(const char *folder, Backend *device, size_t length) {
    Models m;
    ModelStats cpu, other;
    models_open(folder, device, &m);
    assert_true(model_stats_new(&m.cpu.structure, &cpu, NULL) && model_stats_new(&m.cpu.structure, &other, NULL));
    assert_true(calibrate(m.cpu.base, m.cpu.ids, 1, length, &cpu, NULL, NULL));
    assert_true(calibrate(m.device.base, m.cpu.ids, 1, length, &other, NULL, NULL));
    for (int i = 0; i < m.cpu.structure.input_count; i++) compare_inputs(&cpu.inputs[i], &other.inputs[i]);
    model_stats_free(&cpu), model_stats_free(&other);
    models_close(&m);
}

void check_quantized_model(Backend *device, const char *dials) {
    enum { TOKENS = 6 };
    StudyFixture study;
    FixtureModel other;
    QuantizedModel *quantized;
    study_open(NULL, &study);
    fixture_model_open_on(STUDY_MODEL, PRECISION_F32, device, &other);
    Plan plan = study_plan(&study, dials);
    Error err = {0};
    if (!quantized_model_new(other.base, &quantized, &err) ||
        !quantized_model_follow(quantized, &plan, &study.stats.measured, NULL, NULL, &err) ||
        !quantized_model_follow(study.quantized, &plan, &study.stats.measured, NULL, NULL, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < plan.linear_count; i++) {
        const WeightError *a = quantized_model_weight_error(study.quantized, i);
        const WeightError *b = quantized_model_weight_error(quantized, i);
        assert_true((a != NULL) == (b != NULL));
        if (a)
            assert_true(fabs(a->noise - b->noise) <= 1e-6 * a->noise &&
                        fabs(a->signal - b->signal) <= 1e-6 * a->signal);
    }
    float *expected = fixture_logits(quantized_model_transformer(study.quantized), other.ids, TOKENS);
    float *logits = fixture_logits(quantized_model_transformer(quantized), other.ids, TOKENS);
    // The study computes with the precision of its checkpoint, and a code of eight bits may fall to the other side.
    compare_logits(dials, logits, expected, TOKENS * (size_t)other.config.vocab, 0.05);
    free(expected), free(logits);
    plan_free(&plan);
    quantized_model_free(quantized);
    fixture_model_close(&other);
    study_close(&study);
}

void check_fused_model(Backend *device, const char *dials, const size_t *launches) {
    static const Observer observer = {look_away, NULL, NULL};
    StudyFixture study;
    FixtureModel model;
    QuantizedModel *quantized;
    Sequences *sequences;
    study_open(NULL, &study);
    fixture_model_open_on(STUDY_MODEL, PRECISION_F32, device, &model);
    Plan plan = study_plan(&study, dials);
    Error err = {0};
    if (!quantized_model_new(model.base, &quantized, &err) ||
        !quantized_model_follow(quantized, &plan, &study.stats.measured, NULL, NULL, &err))
        fail_msg("%s", err.message);
    Transformer *t = quantized_model_transformer(quantized);
    const size_t vocab = (size_t)model.config.vocab, layers = (size_t)model.config.layers;
    float *rows[3];
    size_t counts[3] = {0};
    assert_true(sequences_new(t, 4, &sequences, NULL));
    assert_true((rows[0] = calloc(3 * vocab, sizeof(float))) != NULL);
    for (int i = 0; i < 3; i++) { // the first time, observed, recorded
        size_t before = launches ? *launches : 0;
        rows[i] = rows[0] + (size_t)i * vocab;
        assert_true(transformer_forward(t, sequences, model.ids, 1, false, rows[i], i == 1 ? &observer : NULL, NULL));
        counts[i] = launches ? *launches - before : 0;
        sequences_rewind(sequences, 0);
    }
    for (int i = 1; i < 3; i++) assert_memory_equal(rows[i], rows[0], vocab * sizeof(float));
    // Of every layer two norms and an activation function come together with the codes of a product, unless somebody
    // looks in between. The head stays dense, and the norm before it alone.
    if (launches) assert_int_equal(counts[2] + 3 * layers, counts[1]);
    sequences_free(sequences);
    free(rows[0]);
    plan_free(&plan);
    quantized_model_free(quantized);
    fixture_model_close(&model);
    study_close(&study);
}
