// Beam search: of the targets that are most probable so far each is continued by every token, and the best of all of
// these are kept. Beams that end stand aside, with their log-probability divided by a power of their length; the search
// goes on while a beam may still be better. What is decided when, and in float, is as in transformers 5, so that the
// same logits give the same target.
#include "model/beams.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

#define NEVER (-1e9F) // added to the score of what must not be chosen

typedef struct Beam {
    float score;
    bool ended;
    int32_t from; // the sequence that it goes on from
    size_t count;
    int32_t *ids;         // [most]
    float *probabilities; // [most]: of each of them
} Beam;

typedef struct Search {
    Transformer *t;
    const ModelConfig *config;
    Sequences *running;
    size_t beams, kept, most, vocab; // kept: continuations of all beams that are looked at
    Beam *pool;                      // all of the following
    Beam *live, *done, *next;        // [beams], [beams], [kept]
    Beam *merged;                    // [beams + kept]
    float *logits;                   // [beams, vocab]
    int32_t *ids;                    // [source + beams]
    int32_t *room;                   // of the beams' tokens
    int32_t *forbidden;              // [most + FORBIDDEN_ALWAYS]
    float *shares;                   // and of their probabilities
    size_t length;                   // of the live beams
    bool may_improve;
    Error *err;
} Search;

// ---- Scores of tokens ----

static void to_log_probabilities(float *row, size_t n) {
    float most = row[0];
    double sum = 0;
    for (size_t i = 1; i < n; i++) most = fmaxf(most, row[i]);
    for (size_t i = 0; i < n; i++) sum += exp((double)(row[i] - most));
    const float log_sum = (float)log(sum);
    for (size_t i = 0; i < n; i++) row[i] = row[i] - most - log_sum;
}

static void only_token(float *row, size_t n, int token) {
    for (size_t i = 0; i < n; i++) row[i] = -INFINITY;
    row[token] = 0;
}

static void obey(const Search *s, const Beam *beam, float *row) {
    const EncoderDecoder *pair = &s->config->pair;
    const size_t forbidden = generate_forbidden(s->config, beam->ids, beam->count, s->forbidden);
    for (size_t i = 0; i < forbidden; i++) row[s->forbidden[i]] = -INFINITY;
    if (s->length == 0 && pair->first_token >= 0) only_token(row, s->vocab, pair->first_token);
    if (s->length + 1 == s->most && pair->last_token >= 0) only_token(row, s->vocab, pair->last_token);
}

// ---- Continuations ----

typedef struct Choice {
    float score;
    size_t beam, token;
} Choice;

// Keeps the best, of equals those that came first.
static void offer(Choice *best, size_t *count, size_t most, Choice choice) {
    if (*count == most && !(choice.score > best[most - 1].score)) return;
    size_t at = *count < most ? (*count)++ : most - 1;
    while (at > 0 && choice.score > best[at - 1].score) best[at] = best[at - 1], at--;
    best[at] = choice;
}

static void copy_beam(Beam *to, const Beam *from) {
    const Beam own = *to;
    memcpy(own.ids, from->ids, from->count * sizeof *own.ids);
    memcpy(own.probabilities, from->probabilities, from->count * sizeof *own.probabilities);
    *to = *from;
    to->ids = own.ids;
    to->probabilities = own.probabilities;
}

static void continue_beams(Search *s, Choice *best) {
    size_t count = 0;
    for (size_t b = 0; b < s->beams; b++) {
        float *row = s->logits + b * s->vocab;
        to_log_probabilities(row, s->vocab);
        obey(s, &s->live[b], row);
        for (size_t i = 0; i < s->vocab; i++) offer(best, &count, s->kept, (Choice){row[i] + s->live[b].score, b, i});
    }
    for (size_t k = 0; k < count; k++) {
        Beam *beam = &s->next[k];
        copy_beam(beam, &s->live[best[k].beam]);
        beam->score = best[k].score;
        beam->from = (int32_t)best[k].beam;
        beam->probabilities[beam->count] = expf(s->logits[best[k].beam * s->vocab + best[k].token]);
        beam->ids[beam->count++] = (int32_t)best[k].token;
        beam->ended = beam->count == s->most || generate_is_end(s->config, beam->ids[beam->count - 1]);
    }
}

// ---- What goes on, what stands aside ----

// The best `count` of the beams, by scores that may differ from their own.
static void choose_beams(Beam *to, size_t count, const Beam *from, const float *scores, size_t n, Choice *best) {
    size_t found = 0;
    for (size_t i = 0; i < n; i++) offer(best, &found, count, (Choice){scores[i], i, 0});
    for (size_t i = 0; i < count; i++) {
        copy_beam(&to[i], &from[best[i].beam]);
        to[i].score = best[i].score;
    }
}

static bool all_ended(const Search *s) {
    for (size_t b = 0; b < s->beams; b++)
        if (!s->done[b].ended) return false;
    return true;
}

static float by_length(float score, size_t length, float penalty) { return score / powf((float)length, penalty); }

// Only what ends among the first counts as ended.
static void put_aside(Search *s, float *scores, Choice *best) {
    const bool full = s->config->pair.early_stopping && all_ended(s);
    for (size_t b = 0; b < s->beams; b++) {
        copy_beam(&s->merged[b], &s->done[b]);
        scores[b] = s->done[b].score;
    }
    for (size_t k = 0; k < s->kept; k++) {
        Beam *beam = &s->merged[s->beams + k];
        float *score = &scores[s->beams + k];
        copy_beam(beam, &s->next[k]);
        beam->ended = beam->ended && k < s->beams;
        *score = by_length(beam->score, s->length + 1, s->config->pair.length_penalty);
        if (full) *score += NEVER;
        if (!s->may_improve) *score += NEVER;
        if (!beam->ended) *score += NEVER;
    }
    choose_beams(s->done, s->beams, s->merged, scores, s->beams + s->kept, best);
}

static void go_on(Search *s, float *scores, Choice *best) {
    for (size_t k = 0; k < s->kept; k++) scores[k] = s->next[k].score + (s->next[k].ended ? NEVER : 0);
    choose_beams(s->live, s->beams, s->next, scores, s->kept, best);
}

static bool can_improve(const Search *s) {
    const EncoderDecoder *pair = &s->config->pair;
    const size_t length = pair->never_stopping && pair->length_penalty > 0 ? s->most : s->length;
    const float hope = by_length(s->live[0].score, length, pair->length_penalty);
    float worst = INFINITY;
    for (size_t b = 0; b < s->beams; b++) worst = fminf(worst, s->done[b].score);
    for (size_t b = 0; b < s->beams; b++)
        if (hope > (s->done[b].ended ? worst : NEVER)) return true;
    return false;
}

// False: the search is over.
static bool step(Search *s, Choice *best, float *scores) {
    bool open = false;
    continue_beams(s, best);
    for (size_t k = 0; k < s->kept; k++) open |= !s->next[k].ended;
    put_aside(s, scores, best);
    go_on(s, scores, best);
    s->length++;
    s->may_improve = s->may_improve && can_improve(s);
    return open && s->may_improve && !(s->config->pair.early_stopping && all_ended(s));
}

// ---- Its life ----

static bool run(Search *s, size_t source) {
    int32_t from[BEAMS_MOST];
    for (size_t b = 0; b < s->beams; b++) {
        const Beam *beam = &s->live[b];
        s->ids[source + b] = beam->count ? beam->ids[beam->count - 1] : s->config->pair.start_token;
        from[b] = beam->from;
    }
    if (s->length > 0) sequences_follow(s->running, from);
    if (!transformer_forward(s->t, s->running, s->ids, source + s->beams, true, s->logits, NULL, s->err)) return false;
    for (size_t i = 0; i < s->beams * s->vocab; i++)
        if (!(s->logits[i] < INFINITY))
            return error_set(s->err, "the model's logits are infinite or not a number: no token can be chosen");
    return true;
}

static bool search(Search *s, size_t source, Progress *progress) {
    Choice *best = array_new(s->beams + s->kept, sizeof *best);
    float *scores = array_new(s->beams + s->kept, sizeof *scores);
    bool ok = (best && scores) || error_memory(s->err, "beams"), on = true;
    for (size_t b = 0; b < s->beams; b++) {
        s->live[b].score = b ? NEVER : 0;
        s->done[b].score = NEVER;
    }
    while (ok && on) {
        ok = run(s, source);
        source = 0;
        if (ok) on = step(s, best, scores);
        if (ok && on && !progress_add(progress, 1)) ok = error_stopped(s->err);
    }
    free(best);
    free(scores);
    return ok;
}

static bool search_new(Search *s, const int32_t *source, size_t count) {
    const size_t beams = 3 * s->beams + 2 * s->kept;
    s->pool = array_new(beams, sizeof *s->pool);
    s->room = array_new(beams * s->most, sizeof *s->room);
    s->shares = array_new(beams * s->most, sizeof *s->shares);
    s->forbidden = array_new(s->most + FORBIDDEN_ALWAYS, sizeof *s->forbidden);
    s->logits = array_new(s->beams * s->vocab, sizeof *s->logits);
    s->ids = array_new(count + s->beams, sizeof *s->ids);
    if (!s->pool || !s->room || !s->shares || !s->forbidden || !s->logits || !s->ids)
        return error_memory(s->err, "beams");
    for (size_t i = 0; i < beams; i++)
        s->pool[i] = (Beam){.ids = s->room + i * s->most, .probabilities = s->shares + i * s->most};
    s->live = s->pool;
    s->done = s->live + s->beams;
    s->next = s->done + s->beams;
    s->merged = s->next + s->kept;
    memcpy(s->ids, source, count * sizeof *source);
    return sequences_new_pair(s->t, count, count + 1 + s->most, s->beams, &s->running, s->err);
}

static void search_free(Search *s) {
    sequences_free(s->running);
    free(s->pool);
    free(s->room);
    free(s->shares);
    free(s->forbidden);
    free(s->logits);
    free(s->ids);
}

// The end token is not part of what was generated.
static bool take_best(const Search *s, Generated *out) {
    const Beam *best = &s->done[0];
    out->ids = array_new(s->most, sizeof *out->ids);
    out->probabilities = array_new(s->most, sizeof *out->probabilities);
    if (!out->ids || !out->probabilities) return error_memory(s->err, "generated tokens");
    out->capacity = s->most;
    out->ended = best->count > 0 && generate_is_end(s->config, best->ids[best->count - 1]);
    out->count = best->count - out->ended;
    memcpy(out->ids, best->ids, out->count * sizeof *out->ids);
    memcpy(out->probabilities, best->probabilities, out->count * sizeof *out->probabilities);
    return true;
}

bool generate_beams(Transformer *t, const int32_t *source, size_t source_count, size_t most, int beams, Generated *out,
                    Progress *progress, Error *err) {
    const ModelConfig *config = &transformer_structure(t)->config;
    if (!config->pair.encoder_layers)
        return error_set(err, "beams are for models with an encoder, and this %s model has none", config->family);
    if (beams > BEAMS_MOST) return error_set(err, "%d beams are more than %d", beams, BEAMS_MOST);
    const size_t ends = (size_t)config->eos_count;
    Search s = {.t = t,
                .config = config,
                .beams = (size_t)beams,
                .kept = (size_t)beams * (ends > 1 ? 1 + ends : 2),
                .most = most,
                .vocab = (size_t)config->vocab,
                .may_improve = true,
                .err = err};
    if (s.kept > s.vocab) return error_set(err, "%d beams are too many for a vocabulary of %zu", beams, s.vocab);
    const bool ok = search_new(&s, source, source_count) && search(&s, source_count, progress) && take_best(&s, out);
    search_free(&s);
    return ok;
}
