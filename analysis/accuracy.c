// The evaluator: windows of tokens through base and quantized model, the second from the first layer that changed.
#include "analysis/accuracy.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/divergence.h"
#include "analysis/kept_base.h"
#include "base/array.h"
#include "base/hash.h"
#include "base/log.h"

// The logits of a block of rows, three times: on the backend, and of both models on the host.
#define LOGITS_BYTES ((size_t)64 << 20)
// A window goes through the models in pieces of so many tokens, so that the first figure comes early; the last may have
// one more, since a token alone predicts nothing.
#define PIECE_TOKENS ((size_t)128)

// "Boundary b" is the place before layer b; boundary `layers` is the place before the final norm.

// What is kept of a piece of a window. A run that is stopped leaves some pieces further than others.
typedef struct Part {
    int valid;          // kept states at boundaries ≤ valid are those of the quantized model as it is now
    float *base_logits; // [positions, vocab], or NULL
    size_t base_rows;   // of them that are known
} Part;

typedef struct Window {
    const int32_t *ids; // [tokens]
    size_t tokens;
    Score *scores;     // [tokens − 1]
    size_t scored;     // how many by the quantized model as it is now: those of some pieces, or all
    float *base_state; // [tokens, hidden] of the base at boundary `layers`, or NULL
    bool base_known;   // all of it
    float **states;    // [layers + 1] → [tokens, stream] of the quantized model, NULL where not kept
    Part *parts;       // [piece_count]
} Window;

struct Evaluator {
    Transformer *base;
    const Transformer *last; // what the kept states belong to
    int layers;
    size_t hidden, stream, vocab; // floats of a token: its hidden state, all that it carries between layers
    int32_t *ids;
    Window *windows;
    size_t window_count, window_tokens;
    size_t source; // tokens of each window that are a source: they are not scored
    size_t piece_tokens;
    size_t piece_count; // of each window
    Score *scores;      // [planned]
    float *scratch;     // [planned]
    size_t planned;
    size_t base_kept;   // states of the base are kept for this many windows
    size_t logits_kept; // and its logits for this many pieces
    int stride;         // states of the quantized model are kept at multiples of this
    char *folder;       // where states of the base are kept on disk; NULL: nowhere
    uint64_t key;
    size_t windows_on_disk;
    EvaluatorWork work;
};

// What one run needs beside what is kept.
typedef struct Run {
    Evaluator *evaluator;
    Transformer *quantized;
    Backend *backend;
    Sequences *running;           // of the base
    Sequences *quantized_running; // its cache may have fewer bits
    float *base_hidden, *hidden;  // [piece, stream] in backend memory
    size_t rows;                  // of a block of logits
    float *logits;                // [rows, vocab] in backend memory
    float *base_host, *host;      // [rows, vocab]
    Progress *progress;
    Error *err;
} Run;

// ---- Windows and what is kept ----

static size_t smaller_size(size_t a, size_t b) { return a < b ? a : b; }

static size_t piece_most(const Evaluator *e) {
    return e->window_tokens <= e->piece_tokens ? e->window_tokens : e->piece_tokens + 1;
}

// Memory goes first to the base's states, which save running the base again, and to the logits of its first piece,
// which the first figure after every turn needs. Then to states of the quantized model, at as many boundaries as fit
// for all windows alike: a turn of any dial starts at most `stride` layers too early. The rest holds further logits of
// the base.
static void divide_budget(Evaluator *e, size_t budget) {
    size_t state = e->window_tokens * e->hidden * sizeof(float), logits = piece_most(e) * e->vocab * sizeof(float);
    e->base_kept = smaller_size(budget / state, e->window_count);
    budget -= e->base_kept * state;
    e->logits_kept = budget >= logits;
    budget -= e->logits_kept * logits;
    size_t boundary = e->window_count * e->window_tokens * e->stream * sizeof(float);
    e->stride = 1;
    while (e->stride <= e->layers && (size_t)(e->layers / e->stride) * boundary > budget) e->stride++;
    budget -= (size_t)(e->layers / e->stride) * boundary;
    e->logits_kept = smaller_size(e->logits_kept + budget / logits, e->window_count * e->piece_count);
}

// Tokens of a window that are predicted.
static size_t scored_tokens(const Evaluator *e) { return e->window_tokens - e->source - 1; }

static bool windows_new(Evaluator *e, size_t count, Error *err) {
    e->window_count = count < e->window_tokens ? 1 : count / e->window_tokens;
    if (e->window_tokens > count) e->window_tokens = count;
    e->source = source_share(&transformer_structure(e->base)->config, e->window_tokens);
    e->planned = e->window_count * scored_tokens(e);
    e->piece_tokens = e->source ? e->window_tokens : PIECE_TOKENS; // a source is read whole
    e->piece_count = 1 + (e->window_tokens - 2) / e->piece_tokens;
    e->windows = array_new(e->window_count, sizeof *e->windows);
    e->scores = array_new(e->planned, sizeof *e->scores);
    e->scratch = array_new(e->planned, sizeof *e->scratch);
    if (!e->windows || !e->scores || !e->scratch) return error_memory(err, "evaluation");
    for (size_t w = 0; w < e->window_count; w++) {
        Window *window = &e->windows[w];
        window->ids = e->ids + w * e->window_tokens;
        window->tokens = e->window_tokens;
        window->scores = e->scores + w * scored_tokens(e);
        window->states = array_new((size_t)e->layers + 1, sizeof *window->states);
        window->parts = array_new(e->piece_count, sizeof *window->parts);
        if (!window->states || !window->parts) return error_memory(err, "evaluation");
    }
    return true;
}

bool evaluator_new(Transformer *base, const int32_t *ids, size_t count, size_t window, size_t budget, Evaluator **out,
                   Error *err) {
    const ModelConfig *config = &transformer_structure(base)->config;
    const size_t least = config->pair.encoder_layers ? 3 : 2;
    if (count < least || window < least) {
        return error_set(err, "%zu tokens in windows of %zu: nothing to predict; give a longer text", count, window);
    }
    const size_t most = most_positions(config);
    if (window > most && count > most) {
        return error_set(err, "windows of %zu tokens are longer than the %zu positions of the model; use shorter ones",
                         window, most);
    }
    Evaluator *e = calloc(1, sizeof *e);
    if (!e) return error_memory(err, "evaluation");
    e->base = base;
    e->layers = config->layers;
    e->hidden = (size_t)config->hidden;
    e->stream = stream_width(config);
    e->vocab = (size_t)config->vocab;
    e->window_tokens = window;
    e->ids = array_new(count, sizeof *e->ids);
    if (e->ids) memcpy(e->ids, ids, count * sizeof *ids);
    if (!e->ids || !windows_new(e, count, err)) {
        evaluator_free(e);
        return error_memory(err, "evaluation");
    }
    divide_budget(e, budget);
    *out = e;
    return true;
}

// ---- The base on disk ----

static size_t known_windows(const Evaluator *e) {
    size_t known = 0;
    for (size_t w = 0; w < e->window_count; w++) known += e->windows[w].base_known;
    return known;
}

static float **base_states_known(const Evaluator *e) {
    float **states = array_new(e->window_count, sizeof *states);
    for (size_t w = 0; states && w < e->window_count; w++)
        if (e->windows[w].base_known) states[w] = e->windows[w].base_state;
    return states;
}

// Writes again only once the known states have doubled, so that all writing together is at most twice the states.
static void keep_base(Evaluator *e, bool last) {
    const size_t known = known_windows(e);
    if (!e->folder || known == e->windows_on_disk) return;
    if (!last && known < e->base_kept && known < 2 * e->windows_on_disk) return;
    float **states = base_states_known(e);
    if (states) kept_states_write(e->folder, e->key, states, e->window_count, e->window_tokens * e->hidden, NULL);
    free(states);
    e->windows_on_disk = known; // where it failed, too: not tried again for each window
}

void evaluator_keep_base(Evaluator *e, const char *folder, uint64_t model_key) {
    const size_t piece = PIECE_TOKENS; // other pieces, other sums
    float **states = array_new(e->window_count, sizeof *states);
    e->folder = strdup(folder);
    e->key = evaluator_hash(e, hash_bytes(hash_bytes(HASH_START, &model_key, sizeof model_key), &piece, sizeof piece));
    if (states && kept_states_read(folder, e->key, states, e->base_kept, e->window_tokens * e->hidden)) {
        for (size_t w = 0; w < e->window_count; w++) {
            if (!states[w] || e->windows[w].base_known) {
                free(states[w]);
                continue;
            }
            free(e->windows[w].base_state);
            e->windows[w].base_state = states[w];
            e->windows[w].base_known = true;
        }
        e->windows_on_disk = known_windows(e);
    }
    free(states);
}

void evaluator_free(Evaluator *e) {
    if (!e) return;
    if (e->windows) keep_base(e, true);
    free(e->folder);
    for (size_t w = 0; e->windows && w < e->window_count; w++) {
        Window *window = &e->windows[w];
        for (int b = 0; window->states && b <= e->layers; b++) free(window->states[b]);
        for (size_t p = 0; window->parts && p < e->piece_count; p++) free(window->parts[p].base_logits);
        free(window->states);
        free(window->parts);
        free(window->base_state);
    }
    free(e->windows);
    free(e->scores);
    free(e->scratch);
    free(e->ids);
    free(e);
}

static void invalidate_states(Evaluator *e, const Transformer *quantized, int first_changed) {
    if (quantized != e->last) first_changed = 0;
    e->last = quantized;
    for (size_t w = 0; w < e->window_count; w++) {
        Window *window = &e->windows[w];
        if (first_changed < e->layers) window->scored = 0;
        for (size_t p = 0; p < e->piece_count; p++) {
            int *valid = &window->parts[p].valid;
            if (first_changed < *valid) *valid = first_changed < 0 ? 0 : first_changed;
        }
    }
}

// ---- Hidden states ----

static bool keep_going(const Run *run) { return !progress_should_stop(run->progress) || error_stopped(run->err); }

// Some tokens of a window on their way through both models; the pieces before them are in the sequences.
typedef struct WindowPiece {
    Window *window;
    size_t first, tokens;
} WindowPiece;

static bool is_last(const WindowPiece *piece) { return piece->first + piece->tokens == piece->window->tokens; }
static Part *part_of(const WindowPiece *piece) { return &piece->window->parts[piece->first / PIECE_TOKENS]; }

static WindowPiece piece_at(const Evaluator *e, Window *window, size_t first) {
    size_t left = window->tokens - first;
    return (WindowPiece){window, first, left <= e->piece_tokens + 1 ? left : e->piece_tokens};
}

static bool is_scored(const Evaluator *e, const Window *window) { return window->scored == scored_tokens(e); }

// What cannot be kept for want of memory is computed anew next time.
static void keep_state(const Run *run, const WindowPiece *piece, size_t width, float **kept, const float *state) {
    if (!*kept && piece->first == 0) *kept = array_new(piece->window->tokens * width, sizeof(float));
    if (!*kept) return;
    run->backend->ops->download(run->backend, *kept + piece->first * width, state,
                                piece->tokens * width * sizeof(float));
}

static void restore_state(const Run *run, const WindowPiece *piece, size_t width, float *state, const float *kept) {
    run->backend->ops->upload(run->backend, state, kept + piece->first * width, piece->tokens * width * sizeof(float));
}

static bool embed_piece(const Run *run, Transformer *t, const WindowPiece *piece, float *hidden) {
    return transformer_embed(t, piece->window->ids + piece->first, piece->tokens, hidden, run->err);
}

static bool layer_of(const Run *run, Transformer *t, Sequences *running, int layer, const WindowPiece *piece,
                     float *hidden) {
    run->evaluator->work.layers += (double)piece->tokens;
    return keep_going(run) && transformer_layers(t, running, layer, layer + 1, hidden, piece->tokens, NULL, run->err);
}

static bool base_states(const Run *run, const WindowPiece *piece) {
    Evaluator *e = run->evaluator;
    Window *window = piece->window;
    if (window->base_known) {
        restore_state(run, piece, e->hidden, run->base_hidden, window->base_state);
        return true;
    }
    if (!embed_piece(run, e->base, piece, run->base_hidden)) return false;
    for (int layer = 0; layer < e->layers; layer++)
        if (!layer_of(run, e->base, run->running, layer, piece, run->base_hidden)) return false;
    sequences_advance(run->running, piece->tokens);
    if ((size_t)(window - e->windows) < e->base_kept) {
        keep_state(run, piece, e->hidden, &window->base_state, run->base_hidden);
        window->base_known = window->base_state && is_last(piece);
    }
    return true;
}

// The last boundary up to `valid` at which there is a kept state.
static int start_boundary(const Window *window, int valid) {
    while (valid > 0 && !window->states[valid]) valid--;
    return valid;
}

// Runs a piece through the quantized model from layer `start`; `running` holds the pieces before it from that layer on.
static bool states_from(const Run *run, const WindowPiece *piece, int start) {
    const Evaluator *e = run->evaluator;
    Window *window = piece->window;
    int *valid = &part_of(piece)->valid;
    if (start > 0)
        restore_state(run, piece, e->stream, run->hidden, window->states[start]);
    else if (!embed_piece(run, run->quantized, piece, run->hidden))
        return false;
    for (int boundary = start; boundary < e->layers; boundary++) {
        if (!layer_of(run, run->quantized, run->quantized_running, boundary, piece, run->hidden)) return false;
        int reached = boundary + 1;
        if (reached % e->stride == 0) keep_state(run, piece, e->stream, &window->states[reached], run->hidden);
        if (reached > *valid) *valid = reached;
    }
    sequences_advance(run->quantized_running, piece->tokens);
    return true;
}

// The first piece starts as late as it can. When a later piece must start earlier than those in `running` did, all
// pieces before it go through the missing layers first.
static bool quantized_states(const Run *run, const WindowPiece *piece, int *start) {
    const Evaluator *e = run->evaluator;
    Window *window = piece->window;
    int own = start_boundary(window, part_of(piece)->valid);
    if (own >= *start) return states_from(run, piece, *start);
    *start = own;
    for (size_t p = 0; piece->first > 0 && p < e->piece_count; p++) {
        int other = start_boundary(window, window->parts[p].valid);
        if (other < *start) *start = other;
    }
    sequences_rewind(run->quantized_running, 0);
    for (WindowPiece before = piece_at(e, window, 0); before.first < piece->first;
         before = piece_at(e, window, before.first + before.tokens)) {
        if (!states_from(run, &before, *start)) return false;
    }
    return states_from(run, piece, *start);
}

// ---- Logits and scores ----

static bool logits_of(const Run *run, Transformer *t, Sequences *running, const float *hidden, size_t row, size_t rows,
                      float *host) {
    Evaluator *e = run->evaluator;
    const float *targets = hidden + e->source * e->hidden;
    e->work.heads += (double)rows;
    if (!transformer_head(t, running, targets + row * e->hidden, rows, run->logits, NULL, run->err)) return false;
    run->backend->ops->download(run->backend, host, run->logits, rows * e->vocab * sizeof(float));
    return transformer_healthy(t, run->err);
}

// The base's logits of `rows` positions of the piece from `row` on; NULL: failed.
static const float *base_logits(const Run *run, const WindowPiece *piece, size_t row, size_t rows) {
    const Evaluator *e = run->evaluator;
    Part *part = part_of(piece);
    size_t index = (size_t)(piece->window - e->windows) * e->piece_count + piece->first / PIECE_TOKENS;
    if (row + rows <= part->base_rows) return part->base_logits + row * e->vocab;
    if (!part->base_logits && index < e->logits_kept)
        part->base_logits = array_new(piece->tokens * e->vocab, sizeof(float));
    float *host = part->base_logits ? part->base_logits + row * e->vocab : run->base_host;
    if (!logits_of(run, e->base, run->running, run->base_hidden, row, rows, host)) return NULL;
    if (part->base_logits) part->base_rows = row + rows;
    return host;
}

// Positions first … first + rows − 1 of the window, behind its source; base: its logits.
static bool score_rows(const Run *run, Window *window, size_t first, size_t rows, const float *base) {
    const Evaluator *e = run->evaluator;
    size_t bad_row = SIZE_MAX;
    bool base_is_bad = false;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        size_t position = first + r;
        Score *score = &window->scores[position];
        bool base_is_finite = true;
        score->second_half = position >= (window->tokens - e->source) / 2;
        if (score_logits(base + r * e->vocab, run->host + r * e->vocab, e->vocab, window->ids[e->source + position + 1],
                         score, &base_is_finite)) {
            continue;
        }
#pragma omp critical(bad_logits)
        if (position < bad_row) {
            bad_row = position;
            base_is_bad = !base_is_finite;
        }
    }
    if (bad_row == SIZE_MAX) return true;
    size_t token = (size_t)(window->ids - e->ids) + e->source + bad_row + 1;
    if (base_is_bad) {
        return error_set(run->err,
                         "the base model's logits are infinite or not a number at token %zu; it overflows in its "
                         "own precision: try --precision f32, or check the checkpoint for damaged weights",
                         token);
    }
    return error_set(run->err,
                     "the quantized model's logits are infinite or not a number at token %zu; scales may overflow "
                     "their type: try another scale type or more bits",
                     token);
}

// The last token of a window predicts nothing.
static bool score_piece(const Run *run, const WindowPiece *piece) {
    size_t positions = piece->tokens - run->evaluator->source - is_last(piece);
    for (size_t row = 0; row < positions; row += run->rows) {
        size_t rows = smaller_size(positions - row, run->rows);
        const float *base = keep_going(run) ? base_logits(run, piece, row, rows) : NULL;
        bool ok = base && logits_of(run, run->quantized, run->quantized_running, run->hidden, row, rows, run->host) &&
                  score_rows(run, piece->window, piece->first + row, rows, base);
        if (!ok) return false;
    }
    piece->window->scored = piece->first + positions;
    return true;
}

// ---- A run ----

static bool run_new(Run *run) {
    const Evaluator *e = run->evaluator;
    const BackendOps *ops = run->backend->ops;
    size_t most = LOGITS_BYTES / (3 * e->vocab * sizeof(float));
    size_t piece = piece_most(e);
    run->rows = most < 1 ? 1 : most > piece ? piece : most;
    run->base_host = array_new(run->rows * e->vocab, sizeof(float));
    run->host = array_new(run->rows * e->vocab, sizeof(float));
    if (!run->base_host || !run->host) return error_memory(run->err, "logits");
    return (run->base_hidden = ops->memory_new(run->backend, piece * e->stream * sizeof(float), run->err)) &&
           (run->hidden = ops->memory_new(run->backend, piece * e->stream * sizeof(float), run->err)) &&
           (run->logits = ops->memory_new(run->backend, run->rows * e->vocab * sizeof(float), run->err)) &&
           sequences_new(e->base, e->window_tokens, &run->running, run->err) &&
           sequences_new(run->quantized, e->window_tokens, &run->quantized_running, run->err);
}

static void run_free(Run *run) {
    const BackendOps *ops = run->backend->ops;
    sequences_free(run->running);
    sequences_free(run->quantized_running);
    if (run->base_hidden) ops->memory_free(run->backend, run->base_hidden);
    if (run->hidden) ops->memory_free(run->backend, run->hidden);
    if (run->logits) ops->memory_free(run->backend, run->logits);
    free(run->base_host);
    free(run->host);
}

// Windows are scored in order, but after a stop some later ones may still be good: the figures are over all that are.
static void summarize_scores(const Evaluator *e, Score *gathered, Accuracy *out) {
    size_t count = 0;
    for (size_t w = 0; w < e->window_count; w++) {
        const Window *window = &e->windows[w];
        memcpy(gathered + count, window->scores, window->scored * sizeof *gathered);
        count += window->scored;
    }
    out->planned = e->planned;
    scores_summarize(gathered, count, e->scratch, out);
}

// Whom to tell about figures so far.
typedef struct Listener {
    void (*partial)(void *, const Accuracy *);
    void *context;
    Score *gathered; // [planned]
    Accuracy *out;
} Listener;

static bool run_window(const Run *run, Window *window, const Listener *listener) {
    Evaluator *e = run->evaluator;
    int start = e->layers; // nothing is in the quantized model's sequences yet
    sequences_rewind(run->running, 0);
    sequences_rewind(run->quantized_running, 0);
    WindowPiece piece = piece_at(e, window, 0);
    for (; piece.first < window->tokens; piece = piece_at(e, window, piece.first + piece.tokens)) {
        size_t before = window->scored;
        if (!base_states(run, &piece)) return false;
        if (piece.first < before) continue; // by a run that was stopped
        if (!quantized_states(run, &piece, &start) || !score_piece(run, &piece)) return false;
        progress_add(run->progress, window->scored - before);
        summarize_scores(e, listener->gathered, listener->out);
        if (listener->partial) listener->partial(listener->context, listener->out);
        bool end = is_last(&piece) && window + 1 == e->windows + e->window_count;
        if (!end && !keep_going(run)) return false;
    }
    return true;
}

static bool run_windows(const Run *run, const Listener *listener) {
    Evaluator *e = run->evaluator;
    for (size_t w = 0; w < e->window_count; w++) {
        if (!is_scored(e, &e->windows[w]) && !run_window(run, &e->windows[w], listener)) return false;
    }
    summarize_scores(e, listener->gathered, listener->out);
    return true;
}

bool evaluator_run(Evaluator *e, Transformer *quantized, int first_changed, void (*partial)(void *, const Accuracy *),
                   void *context, Accuracy *out, Progress *progress, Error *err) {
    log_line("evaluation: layers from %d of %d are computed anew", first_changed, e->layers);
    invalidate_states(e, quantized, first_changed);
    *out = (Accuracy){.planned = e->planned};
    uint64_t scored = 0;
    for (size_t w = 0; w < e->window_count; w++) scored += e->windows[w].scored;
    progress_begin_at(progress, "evaluating", e->planned, scored);
    Run run = {.evaluator = e,
               .quantized = quantized,
               .backend = transformer_backend(e->base),
               .progress = progress,
               .err = err};
    Score *gathered = array_new(e->planned, sizeof *gathered);
    if (!gathered) return error_memory(err, "evaluation");
    Listener listener = {partial, context, gathered, out};
    bool ok = run_new(&run) && run_windows(&run, &listener);
    keep_base(e, false);
    run_free(&run);
    free(gathered);
    return ok;
}

// ---- Looking back at a run ----

EvaluatorWork evaluator_work(const Evaluator *e) { return e->work; }

size_t evaluator_positions(const Evaluator *e) { return e->planned; }

bool evaluator_by_position(const Evaluator *e, float *by_position) {
    for (size_t w = 0; w < e->window_count; w++) {
        if (!is_scored(e, &e->windows[w])) return false;
    }
    for (size_t i = 0; i < e->planned; i++) {
        const Score *score = &e->scores[i];
        by_position[POSITION_KL * e->planned + i] = score->kl;
        by_position[POSITION_NLL * e->planned + i] = (float)score->nll;
        by_position[POSITION_TOP1 * e->planned + i] = score->same_top;
    }
    return true;
}

const int32_t *evaluator_ids(const Evaluator *e, size_t *count, size_t *window) {
    *count = e->window_count * e->window_tokens;
    *window = e->window_tokens;
    return e->ids;
}

uint64_t evaluator_hash(const Evaluator *e, uint64_t hash) {
    hash = hash_bytes(hash, &e->window_tokens, sizeof e->window_tokens);
    return hash_bytes(hash, e->ids, e->window_count * e->window_tokens * sizeof *e->ids);
}
