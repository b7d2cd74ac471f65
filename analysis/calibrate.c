// Calibration: text through the model, every linear input observed. Layer by layer, all tokens of a batch through one
// layer before the next, so that a checkpoint larger than memory is read once per batch and not once per sequence.
#include <stdlib.h>

#include "analysis/input_stats.h"
#include "analysis/publish.h"
#include "base/array.h"
#include "base/memory.h"

// Hidden states that wait for the next layer may take this much, or a quarter of the free memory if that is more: each
// further batch reads all weights once more.
#define BATCH_BYTES ((size_t)64 << 20)

typedef struct Calibration {
    Transformer *model;
    const ModelStructure *structure;
    Sequences *running;
    const int32_t *ids; // [sequences, length]
    size_t sequences, length;
    size_t hidden;         // width
    float **states;        // [sequences of a batch] → [length, hidden] in backend memory
    size_t batch;          // sequences
    InputGatherer *inputs; // [input_count]; width 0: not seen yet
    bool failed;           // an observation failed; err says why
    Error *err;
    Progress *progress;
    uint64_t steps; // layers × sequences done, for progress in tokens
} Calibration;

// The linear that stands for an input: the first that reads it. NULL when none does.
static const Linear *reader_of(const ModelStructure *structure, int input) {
    for (int i = 0; i < structure->linear_count; i++) {
        if (structure->linears[i].input == input) return &structure->linears[i];
    }
    return NULL;
}

// Tokens that will come by: an expert gets its share, as far as that can be known beforehand.
static uint64_t planned_tokens(const Calibration *c, int input) {
    const Linear *reader = reader_of(c->structure, input);
    const Experts *experts = &c->structure->config.experts;
    uint64_t all = (uint64_t)c->sequences * c->length;
    if (!reader || reader->expert < 0) return all;
    uint64_t share = all * (uint64_t)experts->per_token / (uint64_t)experts->count;
    return share ? share : 1;
}

static void observe(void *context, int input, const float *x, size_t tokens, size_t width) {
    Calibration *c = context;
    InputGatherer *gatherer = &c->inputs[input];
    if (c->failed) return;
    bool ok = gatherer->width || input_gatherer_new(width, planned_tokens(c, input), gatherer, c->err);
    if (ok && input_gatherer_add(gatherer, x, tokens, c->err)) return;
    c->failed = true;
    const Linear *reader = reader_of(c->structure, input);
    error_prefix(c->err, "input of %s", reader ? reader->name : "?");
}

// The same where the backend measures by itself.
static void observe_there(void *context, int input, Backend *backend, const float *x, size_t tokens, size_t width) {
    Calibration *c = context;
    InputGatherer *gatherer = &c->inputs[input];
    if (c->failed) return;
    bool ok = gatherer->width || input_gatherer_new(width, planned_tokens(c, input), gatherer, c->err);
    if (ok && input_gatherer_measure(gatherer, backend, x, tokens, c->err)) return;
    c->failed = true;
    const Linear *reader = reader_of(c->structure, input);
    error_prefix(c->err, "input of %s", reader ? reader->name : "?");
}

// Progress in tokens although the work is done layer by layer: a token counts when its share of layer passes is done.
static bool step_done(Calibration *c) {
    uint64_t passes = (uint64_t)c->structure->config.layers + 1;
    uint64_t before = c->steps * c->length / passes, after = ++c->steps * c->length / passes;
    return progress_add(c->progress, after - before) || error_stopped(c->err);
}

static bool sequences_pass(Calibration *c, int layer, size_t count) {
    const Observer observer = {.linear_input = observe, .context = c, .measured_input = observe_there};
    for (size_t s = 0; s < count; s++) {
        sequences_rewind(c->running, 0);
        bool ok =
            transformer_layers(c->model, c->running, layer, layer + 1, c->states[s], c->length, &observer, c->err);
        if (!ok || c->failed || !step_done(c)) return false;
    }
    return true;
}

static bool layer_pass(Calibration *c, int layer, size_t count) {
    if (!transformer_hold_layer(c->model, layer, c->err)) return false;
    bool ok = sequences_pass(c, layer, count);
    transformer_release_layer(c->model, layer);
    return ok;
}

// The head's input is wanted, its logits are not.
static bool head_pass(Calibration *c, size_t count) {
    const Observer observer = {.linear_input = observe, .context = c, .measured_input = observe_there};
    for (size_t s = 0; s < count; s++) {
        sequences_rewind(c->running, 0);
        bool ok = transformer_head(c->model, c->running, c->states[s], c->length, NULL, &observer, c->err);
        if (!ok || c->failed || !step_done(c)) return false;
    }
    return true;
}

static bool batch_pass(Calibration *c, size_t first, size_t count) {
    for (size_t s = 0; s < count; s++) {
        const int32_t *ids = c->ids + (first + s) * c->length;
        if (!transformer_embed(c->model, ids, c->length, c->states[s], c->err)) return false;
    }
    for (int layer = 0; layer < c->structure->config.layers; layer++) {
        if (!layer_pass(c, layer, count)) return false;
    }
    return head_pass(c, count);
}

static bool calibration_new(Calibration *c) {
    Backend *backend = transformer_backend(c->model);
    size_t bytes = c->length * c->hidden * sizeof(float);
    size_t most = memory_available() / 4;
    if (most < BATCH_BYTES) most = BATCH_BYTES;
    c->batch = bytes ? most / bytes : 1;
    c->batch = c->batch < 1 ? 1 : c->batch > c->sequences ? c->sequences : c->batch;
    c->inputs = array_new((size_t)c->structure->input_count, sizeof *c->inputs);
    c->states = array_new(c->batch, sizeof *c->states);
    if (!c->inputs || !c->states) return error_memory(c->err, "calibration");
    for (size_t s = 0; s < c->batch; s++) {
        if (!(c->states[s] = backend->ops->memory_new(backend, bytes, c->err))) return false;
    }
    return sequences_new(c->model, c->length, &c->running, c->err);
}

static void calibration_free(Calibration *c) {
    Backend *backend = transformer_backend(c->model);
    for (size_t s = 0; c->states && s < c->batch; s++) {
        if (c->states[s]) backend->ops->memory_free(backend, c->states[s]);
    }
    for (int i = 0; c->inputs && i < c->structure->input_count; i++) input_gatherer_free(&c->inputs[i]);
    if (c->running) sequences_free(c->running);
    free(c->states);
    free(c->inputs);
}

// An expert that no token was sent to is known to have seen none.
static bool publish(Calibration *c, ModelStats *stats) {
    for (int i = 0; i < c->structure->input_count; i++) {
        const Linear *reader = c->inputs[i].width ? NULL : reader_of(c->structure, i);
        if (reader && !input_gatherer_new(reader->in, 1, &c->inputs[i], c->err)) return false;
    }
    for (int i = 0; i < c->structure->input_count; i++) {
        input_gatherer_finish(&c->inputs[i], &stats->inputs[i]);
        model_stats_publish_input(stats, i);
    }
    return true;
}

static bool check_tokens(const Calibration *c) {
    int most = c->structure->config.max_positions;
    if (!c->sequences || !c->length)
        return error_set(c->err, "there are no tokens to calibrate on; give a longer text");
    if (c->length <= (size_t)most) return true;
    return error_set(c->err, "sequences of %zu tokens are longer than the %d positions of the model; use shorter ones",
                     c->length, most);
}

bool calibrate(Transformer *t, const int32_t *ids, size_t sequences, size_t length, ModelStats *stats,
               Progress *progress, Error *err) {
    const ModelStructure *structure = transformer_structure(t);
    Error own = {0};
    Calibration c = {.model = t,
                     .structure = structure,
                     .ids = ids,
                     .sequences = sequences,
                     .length = length,
                     .hidden = (size_t)structure->config.hidden,
                     .err = err ? err : &own,
                     .progress = progress};
    if (!check_tokens(&c)) return false;
    progress_begin(progress, "calibrating", (uint64_t)sequences * length);
    bool ok = calibration_new(&c);
    for (size_t first = 0; ok && first < sequences; first += c.batch) {
        ok = batch_pass(&c, first, sequences - first < c.batch ? sequences - first : c.batch);
    }
    ok = ok && publish(&c, stats);
    calibration_free(&c);
    return ok;
}
