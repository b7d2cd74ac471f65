// Calibration: text through the model, every linear input observed. Layer by layer, all tokens of a batch through one
// layer before the next, so that a checkpoint larger than memory is read once per batch and not once per sequence.
#include "analysis/calibrator_parts.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/publish.h"
#include "base/array.h"
#include "base/log.h"
#include "base/memory.h"

// The first batch is small, so that something is known soon. Later ones grow to MOST_TOKENS and no further, because a
// crash loses one batch and states are written between batches.
#define FIRST_TOKENS 1024
#define MOST_TOKENS 2048
// A checkpoint that is larger than free memory is read from disk in every batch. Batches are larger there: their hidden
// states may take this much, or a quarter of free memory if that is more.
#define BATCH_BYTES ((size_t)64 << 20)
// Beyond this the oldest states of other models and texts are removed.
#define KEPT_TOTAL ((size_t)1 << 30)

// The linear that stands for an input: the first that reads it. NULL when none does.
static const Linear *input_reader(const ModelStructure *structure, int input) {
    for (int i = 0; i < structure->linear_count; i++) {
        if (structure->linears[i].input == input) return &structure->linears[i];
    }
    return NULL;
}

// How many of so many tokens of a sequence come by a linear: those of the source, or those of the target; all where
// there is no encoder.
static size_t input_tokens(const ModelStructure *structure, const Linear *reader, size_t tokens) {
    const size_t source = source_share(&structure->config, tokens);
    return reader && linear_reads_source(reader) ? source : tokens - source;
}

static InputPlan input_plan(const ModelStructure *structure, int input, const Share *share) {
    const Linear *reader = input_reader(structure, input);
    const size_t length = input_tokens(structure, reader, share->length);
    return (InputPlan){.planned = (uint64_t)share->all * length,
                       .before = (uint64_t)share->first * length,
                       .routed = reader && reader->expert >= 0};
}

// ---- Observing ----

// True when these tokens were seen before a stop. A batch that runs again makes the same calls, so a call was seen
// whole or not at all.
static bool gathering_skips(Gathering *g, size_t tokens) {
    if (g->skip < tokens) return false;
    g->skip -= tokens;
    return true;
}

// No early rows for experts: there are too many of them, and each sees few tokens early.
static bool begin_input(const Calibrator *c, int input, size_t width, InputGatherer *out) {
    const InputPlan plan = input_plan(c->structure, input, &c->share);
    return input_gatherer_new(width, plan, out, c->err) && (plan.routed || input_gatherer_sample_early(out, c->err));
}

// An expert does not know its tokens by their places in the text, but which sequence they are of.
static void choose_slots(const Calibrator *c, InputGatherer *g) {
    const size_t sequence = c->share.first + c->done + c->passed;
    g->next_slot = SAMPLE_ROWS * sequence / c->share.all;
    g->slots_end = SAMPLE_ROWS * (sequence + 1) / c->share.all;
}

// backend: where x lies and is measured; NULL: on the host.
static void observe_input(Calibrator *c, int input, Backend *backend, const float *x, size_t tokens, size_t width) {
    Gathering *g = &c->inputs[input];
    if (c->failed || gathering_skips(g, tokens)) return;
    bool ok = g->gatherer.width || begin_input(c, input, width, &g->gatherer);
    choose_slots(c, &g->gatherer);
    if (ok && (backend ? input_gatherer_measure(&g->gatherer, backend, x, tokens, c->err)
                       : input_gatherer_add(&g->gatherer, x, tokens, c->err)))
        return;
    c->failed = true;
    const Linear *reader = input_reader(c->structure, input);
    error_prefix(c->err, "input of %s", reader ? reader->name : "?");
}

static void observe_here(void *context, int input, const float *x, size_t tokens, size_t width) {
    observe_input(context, input, NULL, x, tokens, width);
}

static void observe_there(void *context, int input, Backend *backend, const float *x, size_t tokens, size_t width) {
    observe_input(context, input, backend, x, tokens, width);
}

// ---- Passing ----

// Progress in tokens although the work is done layer by layer: a token counts when its share of layer passes is done.
static uint64_t tokens_passed(const Calibrator *c) {
    const uint64_t passes = (uint64_t)c->structure->config.layers + 1;
    const uint64_t steps = c->done * passes + (c->layer < 0 ? 0 : (uint64_t)c->layer * c->count + c->passed);
    return steps * c->share.length / passes;
}

// The rows of a target alone.
static bool head_step(const Calibrator *c, const float *state, const Observer *observer) {
    const size_t source = source_share(&c->structure->config, c->share.length);
    return transformer_head(c->model, c->running, state + source * c->hidden, c->share.length - source, NULL, observer,
                            c->err);
}

// One sequence through one layer. Of the head only the input is wanted, no logits.
static bool layer_step(Calibrator *c) {
    const Observer observer = {.linear_input = observe_here, .context = c, .measured_input = observe_there};
    float *state = c->states[c->passed];
    uint64_t before = tokens_passed(c);
    if (progress_should_stop(c->progress)) return error_stopped(c->err);
    sequences_rewind(c->running, 0);
    bool ok = c->layer < c->structure->config.layers ? transformer_layers(c->model, c->running, c->layer, c->layer + 1,
                                                                          state, c->share.length, &observer, c->err)
                                                     : head_step(c, state, &observer);
    if (!ok || c->failed) return false;
    c->passed++;
    progress_add(c->progress, tokens_passed(c) - before);
    return true;
}

static bool layer_pass(Calibrator *c) {
    const bool held = c->layer < c->structure->config.layers;
    if (held && !transformer_hold_layer(c->model, c->layer, c->err)) return false;
    bool ok = true;
    while (ok && c->passed < c->count) ok = layer_step(c);
    if (held) transformer_release_layer(c->model, c->layer);
    if (!ok) return false;
    c->layer++;
    c->passed = 0;
    return true;
}

static bool begin_batch(Calibrator *c) {
    size_t left = c->share.count - c->done;
    c->count = c->grown < left ? c->grown : left;
    for (size_t s = 0; s < c->count; s++) {
        const int32_t *ids = c->ids + (c->done + s) * c->share.length;
        if (!transformer_embed(c->model, ids, c->share.length, c->states[s], c->err)) return false;
    }
    c->layer = 0;
    c->passed = 0;
    return true;
}

static void end_batch(Calibrator *c) {
    c->done += c->count;
    c->layer = -1;
    c->count = c->passed = 0;
    c->grown = 2 * c->grown < c->most ? 2 * c->grown : c->most;
    for (int i = 0; i < c->structure->input_count; i++)
        c->inputs[i].before = c->inputs[i].gatherer.tokens - c->inputs[i].skip;
}

bool calibrator_batch(Calibrator *c, Progress *progress, Error *err) {
    Error own = {0};
    c->progress = progress;
    c->err = err ? err : &own;
    if (c->layer < 0 && !begin_batch(c)) return false;
    while (c->layer <= c->structure->config.layers) {
        if (!layer_pass(c)) return false;
    }
    end_batch(c);
    return true;
}

// ---- Its life ----

static bool check_tokens(const Transformer *t, size_t sequences, size_t length, Error *err) {
    const size_t most = most_positions(&transformer_structure(t)->config);
    if (!sequences || !length) return error_set(err, "there are no tokens to calibrate on; give a longer text");
    if (length <= most) return true;
    return error_set(err, "sequences of %zu tokens are longer than the %zu positions of the model; use shorter ones",
                     length, most);
}

static size_t clamped_size(size_t value, size_t least, size_t most) {
    return value < least ? least : value > most ? most : value;
}

static void choose_batches(Calibrator *c) {
    size_t bytes = c->share.length * c->stream * sizeof(float), room = memory_available();
    const bool from_disk = c->structure->checkpoint->bytes > room;
    room = room / 4 < BATCH_BYTES ? BATCH_BYTES : room / 4;
    size_t most = from_disk ? room / bytes : MOST_TOKENS / c->share.length;
    c->most = clamped_size(most, 1, c->share.count);
    c->grown =
        clamped_size(from_disk ? c->most : (FIRST_TOKENS + c->share.length - 1) / c->share.length, 1, c->share.count);
    if (c->most < c->grown) c->most = c->grown;
}

static bool calibrator_make(Calibrator *c, const int32_t *ids, Error *err) {
    Backend *backend = transformer_backend(c->model);
    choose_batches(c);
    c->inputs = array_new((size_t)c->structure->input_count, sizeof *c->inputs);
    c->states = array_new(c->most, sizeof *c->states);
    c->ids = array_new(c->share.count, c->share.length * sizeof *c->ids);
    if (!c->inputs || !c->states || !c->ids) return error_memory(err, "calibration");
    memcpy(c->ids, ids, c->share.count * c->share.length * sizeof *c->ids);
    for (size_t s = 0; s < c->most; s++) {
        c->states[s] = backend->ops->memory_new(backend, c->share.length * c->stream * sizeof(float), err);
        if (!c->states[s]) return false;
    }
    return sequences_new(c->model, c->share.length, &c->running, err);
}

Share part_share(size_t sequences, size_t length, int part, int parts) {
    const size_t first = sequences * (size_t)(part - 1) / (size_t)parts;
    return (Share){part, parts, sequences, length, first, sequences * (size_t)part / (size_t)parts - first};
}

bool calibrator_new_part(Transformer *t, const int32_t *ids, size_t sequences, size_t length, int part, int parts,
                         Calibrator **out, Error *err) {
    *out = NULL;
    if (!check_tokens(t, sequences, length, err)) return false;
    if ((size_t)parts > sequences)
        return error_set(err, "there are only %zu sequences of %zu tokens to calibrate on; take at most so many parts",
                         sequences, length);
    const Share share = part_share(sequences, length, part, parts);
    Calibrator *c = array_new(1, sizeof *c);
    if (!c) return error_memory(err, "calibration");
    c->model = t;
    c->structure = transformer_structure(t);
    c->hidden = (size_t)c->structure->config.hidden;
    c->stream = stream_width(&c->structure->config);
    c->share = share;
    c->layer = -1;
    if (!calibrator_make(c, ids + share.first * length, err)) {
        calibrator_free(c);
        return false;
    }
    *out = c;
    return true;
}

bool calibrator_new(Transformer *t, const int32_t *ids, size_t sequences, size_t length, Calibrator **out, Error *err) {
    return calibrator_new_part(t, ids, sequences, length, 1, 1, out, err);
}

void calibrator_free(Calibrator *c) {
    if (!c) return;
    Backend *backend = transformer_backend(c->model);
    for (size_t s = 0; c->states && s < c->most; s++) {
        if (c->states[s]) backend->ops->memory_free(backend, c->states[s]);
    }
    for (int i = 0; c->inputs && i < c->structure->input_count; i++) input_gatherer_free(&c->inputs[i].gatherer);
    if (c->running) sequences_free(c->running);
    free(c->states);
    free(c->inputs);
    free(c->ids);
    free(c);
}

// ---- What is known ----

void calibrator_begin(const Calibrator *c, Progress *progress) {
    progress_begin_at(progress, "calibrating", (uint64_t)c->share.count * c->share.length, tokens_passed(c));
}

uint64_t calibrator_tokens(const Calibrator *c) { return (uint64_t)c->done * c->share.length; }
uint64_t calibrator_planned(const Calibrator *c) { return (uint64_t)c->share.count * c->share.length; }
bool calibrator_done(const Calibrator *c) { return c->done == c->share.count; }

bool input_look(const ModelStructure *structure, int input, const InputGatherer *gatherer, bool final, InputSet *out,
                Error *err) {
    const Linear *reader = gatherer->width ? NULL : input_reader(structure, input);
    InputGatherer nothing = {0};
    bool ok = gatherer->width ? input_gatherer_look(gatherer, final, &out->inputs[input], err)
                              : !reader || (input_gatherer_new(reader->in, (InputPlan){1, 0, false}, &nothing, err) &&
                                            input_gatherer_look(&nothing, true, &out->inputs[input], err));
    input_gatherer_free(&nothing);
    if (ok) input_set_publish(out, input);
    return ok;
}

bool calibrator_inputs(const Calibrator *c, InputSet **out, Error *err) {
    InputSet *set = *out = input_set_new(c->structure->input_count);
    if (!set) return error_memory(err, "activation statistics");
    set->tokens = calibrator_tokens(c);
    set->planned = calibrator_planned(c);
    bool ok = true;
    for (int i = 0; ok && i < set->count; i++)
        ok = input_look(c->structure, i, &c->inputs[i].gatherer, calibrator_done(c), set, err);
    if (ok) return true;
    input_set_release(set);
    *out = NULL;
    return false;
}

// ---- On disk ----

// In the middle of a batch some inputs have seen more of it than others. Each stores how many tokens it had before, and
// when the batch runs again it skips those that it has seen since.
void calibrator_put(const Calibrator *c, Text *file) {
    stats_put_number(file, c->done);
    for (int i = 0; i < c->structure->input_count; i++) {
        const Gathering *g = &c->inputs[i];
        stats_put_number(file, g->gatherer.width);
        if (!g->gatherer.width) continue;
        stats_put_number(file, g->before);
        input_gatherer_put(&g->gatherer, file);
    }
}

bool calibrator_keep(const Calibrator *c, const char *folder, uint64_t key, Error *err) {
    Text file = {0};
    stats_file_begin(&file);
    calibrator_put(c, &file);
    bool ok = stats_file_write(folder, STATS_CALIBRATION, key, &file, err);
    if (ok) stats_file_prune(folder, STATS_CALIBRATION, key, KEPT_TOTAL);
    text_free(&file);
    return ok;
}

bool gathering_get(const ModelStructure *structure, int input, const Share *share, size_t done, StatsReader *r,
                   Gathering *out) {
    const Linear *reader = input_reader(structure, input);
    const InputPlan plan = input_plan(structure, input, share);
    size_t width = (size_t)stats_get_number(r);
    if (r->bad || !width) return !r->bad;
    out->before = stats_get_number(r);
    if (!reader || width != reader->in || !input_gatherer_get(r, width, plan, &out->gatherer) ||
        out->before > out->gatherer.tokens)
        return false;
    out->skip = out->gatherer.tokens - out->before;
    // All tokens come by each linear, but experts share them.
    return plan.routed || out->before == done * input_tokens(structure, reader, share->length);
}

static bool get_state(const Calibrator *c, StatsReader *r, size_t *done, Gathering *inputs) {
    *done = (size_t)stats_get_number(r);
    bool ok = !r->bad && *done < c->share.count;
    for (int i = 0; ok && i < c->structure->input_count; i++)
        ok = gathering_get(c->structure, i, &c->share, *done, r, &inputs[i]);
    return ok && r->left == 0;
}

bool calibrator_resume(Calibrator *c, const char *folder, uint64_t key) {
    StatsReader reader;
    char *data = stats_file_read(folder, STATS_CALIBRATION, key, &reader);
    if (!data) return false;
    const int count = c->structure->input_count;
    Gathering *inputs = array_new((size_t)count, sizeof *inputs);
    size_t done;
    bool ok = inputs && get_state(c, &reader, &done, inputs);
    if (ok) {
        memcpy(c->inputs, inputs, (size_t)count * sizeof *inputs);
        c->done = done;
        c->grown = done ? c->most : c->grown;
        log_line("calibration goes on after %llu tokens", (unsigned long long)calibrator_tokens(c));
    }
    for (int i = 0; !ok && inputs && i < count; i++) input_gatherer_free(&inputs[i].gatherer);
    free(inputs);
    free(data);
    return ok;
}

void calibrator_forget(const char *folder, uint64_t key) { stats_file_remove(folder, STATS_CALIBRATION, key); }

// ---- All at once ----

bool calibrate(Transformer *t, const int32_t *ids, size_t sequences, size_t length, ModelStats *stats,
               Progress *progress, Error *err) {
    Calibrator *c;
    InputSet *set;
    bool ok = calibrator_new(t, ids, sequences, length, &c, err);
    if (ok) calibrator_begin(c, progress);
    while (ok && !calibrator_done(c)) ok = calibrator_batch(c, progress, err);
    ok = ok && calibrator_inputs(c, &set, err);
    if (ok) model_stats_take_inputs(stats, set);
    calibrator_free(c);
    return ok;
}
