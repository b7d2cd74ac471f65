#include "model/generate.h"

#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"

// ---- Sampling ----

static int32_t greedy_token(const float *logits, size_t vocab) {
    size_t best = 0;
    for (size_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

// Σ exp((logits_i − top) / temperature)
static double mass_of(const float *logits, size_t vocab, float top, float temperature) {
    double mass = 0;
    for (size_t i = 0; i < vocab; i++) mass += (double)expf((logits[i] - top) / temperature);
    return mass;
}

typedef struct Candidate {
    int32_t id;
    double mass; // unnormalized probability
} Candidate;

static int more_probable_first(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    if (x->mass != y->mass) return x->mass > y->mass ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

// The candidate at `point` of the way through the masses, 0 ≤ point < their sum.
static int32_t candidate_at(const Candidate *candidates, size_t count, double point) {
    for (size_t i = 0; i < count; i++) {
        point -= candidates[i].mass;
        if (point < 0) return candidates[i].id;
    }
    return candidates[count - 1].id; // rounding
}

// Keeps tokens that can belong to the most probable top_p: all those below (1 − top_p) / vocab together weigh less than
// what is cut.
static size_t gather(const float *logits, size_t vocab, float top, const Sampling *sampling, double mass,
                     Candidate *candidates) {
    double least = sampling->top_p < 1 ? (1 - (double)sampling->top_p) / (double)vocab * mass : 0;
    size_t count = 0;
    for (size_t i = 0; i < vocab; i++) {
        double own = (double)expf((logits[i] - top) / sampling->temperature);
        if (own >= least) candidates[count++] = (Candidate){(int32_t)i, own};
    }
    return count;
}

// Cuts the sorted candidates to the most probable ones that reach `wanted`; returns their mass.
static double cut_nucleus(const Candidate *candidates, size_t *count, double wanted) {
    double mass = 0;
    for (size_t i = 0; i < *count; i++) {
        mass += candidates[i].mass;
        if (mass >= wanted) *count = i + 1;
    }
    return mass;
}

static int32_t random_token(const float *logits, size_t vocab, int32_t best, const Sampling *sampling, Random *random) {
    Candidate *candidates = array_new(vocab, sizeof *candidates);
    if (!candidates) return best;
    float top = logits[best];
    double mass = mass_of(logits, vocab, top, sampling->temperature);
    size_t count = gather(logits, vocab, top, sampling, mass, candidates);
    if (sampling->top_p < 1) {
        qsort(candidates, count, sizeof *candidates, more_probable_first);
        mass = cut_nucleus(candidates, &count, mass * (double)sampling->top_p);
    }
    int32_t id = count ? candidate_at(candidates, count, random_uniform(random) * mass) : best;
    free(candidates);
    return id;
}

int32_t sample_token(const float *logits, size_t vocab, const Sampling *sampling, Random *random, float *probability) {
    int32_t best = greedy_token(logits, vocab), id = best;
    if (sampling->temperature > 0) id = random_token(logits, vocab, best, sampling, random);
    if (probability) *probability = expf(logits[id] - logits[best]) / (float)mass_of(logits, vocab, logits[best], 1);
    return id;
}

// ---- Generation ----

double generated_tokens_per_second(const Generated *g) {
    return g->count < 2 || g->decode_seconds <= 0 ? 0 : (double)(g->count - 1) / g->decode_seconds;
}

void generated_free(Generated *g) {
    free(g->ids);
    free(g->probabilities);
    *g = (Generated){0};
}

typedef struct Generation {
    Transformer *t;
    Session *session;
    float *logits; // [vocab]
    // Greedy tokens are chosen by the backend where it can: the one behind what was run last.
    bool by_backend;
    int32_t next;
    float next_probability;
    const Sampling *sampling;
    Random random;
    Generated *out;
    Progress *progress;
    Error *err;
} Generation;

static bool run(Generation *g, const int32_t *ids, size_t count) {
    if (g->by_backend) return transformer_choose(g->t, g->session, ids, count, &g->next, &g->next_probability, g->err);
    return transformer_forward(g->t, g->session, ids, count, false, g->logits, NULL, g->err);
}

// In parts, so that a stop need not wait for a long prompt.
static bool prefill(Generation *g, const int32_t *prompt, size_t count) {
    const size_t part = 512;
    for (size_t done = 0; done < count;) {
        if (progress_should_stop(g->progress)) return error_stopped(g->err);
        size_t now = count - done < part ? count - done : part;
        if (!run(g, prompt + done, now)) return false;
        done += now;
    }
    return true;
}

static bool is_end(const ModelConfig *config, int32_t id) {
    for (int i = 0; i < config->eos_count; i++)
        if (config->eos_tokens[i] == id) return true;
    return false;
}

// Picks a token from the logits and keeps it, unless it ends the text.
static void pick(Generation *g) {
    const ModelConfig *config = &transformer_structure(g->t)->config;
    float probability = g->next_probability;
    int32_t id =
        g->by_backend ? g->next : sample_token(g->logits, (size_t)config->vocab, g->sampling, &g->random, &probability);
    g->out->ended = is_end(config, id);
    if (g->out->ended) return;
    g->out->probabilities[g->out->count] = probability;
    g->out->ids[g->out->count++] = id;
}

static bool decode(Generation *g, void (*token)(void *context, const Generated *so_far), void *context) {
    Generated *out = g->out;
    pick(g);
    while (!out->ended) {
        if (token) token(context, out);
        if (!progress_add(g->progress, 1)) return error_stopped(g->err);
        if (out->count == out->capacity) break;
        double start = clock_seconds(); // what the caller does with a token does not count
        if (!run(g, &out->ids[out->count - 1], 1)) return false;
        pick(g);
        if (!out->ended) out->decode_seconds += clock_seconds() - start;
    }
    return true;
}

static bool check_prompt(const ModelConfig *config, size_t count, Error *err) {
    if (count == 0) return error_set(err, "the prompt is empty: there is nothing to go on from");
    if (count <= (size_t)config->max_positions) return true;
    return error_set(err, "the prompt has %zu tokens, more than the %d positions of the model", count,
                     config->max_positions);
}

static bool make_room(Generation *g, size_t positions, size_t most) {
    const ModelConfig *config = &transformer_structure(g->t)->config;
    g->out->ids = array_new(most, sizeof *g->out->ids);
    g->out->probabilities = array_new(most, sizeof *g->out->probabilities);
    g->logits = array_new((size_t)config->vocab, sizeof *g->logits);
    if (!g->out->ids || !g->out->probabilities || !g->logits) return error_memory(g->err, "generated tokens");
    g->out->capacity = most;
    return session_new(g->t, positions, &g->session, g->err);
}

bool generate(Transformer *t, const int32_t *prompt, size_t prompt_count, size_t most, const Sampling *sampling,
              void (*token)(void *context, const Generated *so_far), void *context, Generated *out, Progress *progress,
              Error *err) {
    *out = (Generated){0};
    const ModelConfig *config = &transformer_structure(t)->config;
    if (!check_prompt(config, prompt_count, err)) return false;
    size_t room = (size_t)config->max_positions - prompt_count;
    if (most > room) most = room;
    Generation g = {.t = t,
                    .by_backend = sampling->temperature <= 0 && transformer_can_choose(t),
                    .sampling = sampling,
                    .random = random_seeded(sampling->seed),
                    .out = out,
                    .progress = progress,
                    .err = err};
    progress_begin(progress, "generating", most);
    double start = clock_seconds();
    bool ok = make_room(&g, prompt_count + most, most) && prefill(&g, prompt, prompt_count);
    out->prefill_seconds = clock_seconds() - start;
    if (ok && most > 0) ok = decode(&g, token, context);
    session_free(g.session);
    free(g.logits);
    return ok;
}
