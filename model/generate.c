#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "model/beams.h"

void generated_free(Generated *g) {
    free(g->ids);
    free(g->probabilities);
    *g = (Generated){0};
}

// ---- What a target must not go on with ----

static int32_t token_of(const EncoderDecoder *pair, const int32_t *ids, size_t at) {
    return at == 0 ? pair->start_token : ids[at - 1];
}

static bool same_run(const EncoderDecoder *pair, const int32_t *ids, size_t a, size_t b, size_t run) {
    for (size_t i = 0; i < run; i++)
        if (token_of(pair, ids, a + i) != token_of(pair, ids, b + i)) return false;
    return true;
}

// What followed the last tokens where they stood before.
static size_t repeats(const EncoderDecoder *pair, const int32_t *ids, size_t length, int32_t *out) {
    const size_t run = (size_t)pair->no_repeat - 1;
    size_t n = 0;
    for (size_t at = 0; at + run < length; at++)
        if (same_run(pair, ids, at, length - run, run)) out[n++] = token_of(pair, ids, at + run);
    return n;
}

static_assert(FORBIDDEN_ALWAYS > sizeof((EncoderDecoder *)0)->never_tokens / sizeof(int) +
                                     sizeof((ModelConfig *)0)->eos_tokens / sizeof(int),
              "a target may be forbidden more tokens than there is room for");
size_t generate_forbidden(const ModelConfig *config, const int32_t *ids, size_t count, int32_t *out) {
    const EncoderDecoder *pair = &config->pair;
    const size_t length = count + 1; // with the start token
    size_t n = 0;
    if (pair->encoder_layers == 0) return 0;
    for (int i = 0; i < pair->never_count; i++) out[n++] = pair->never_tokens[i];
    for (int i = 0; i < config->eos_count && length < (size_t)pair->least_length; i++) out[n++] = config->eos_tokens[i];
    return pair->no_repeat > 0 ? n + repeats(pair, ids, length, out + n) : n;
}

typedef struct Generation {
    Transformer *t;
    Sequences *running;
    const Sampling *sampling;
    Random random;
    double point; // of the token that is chosen next
    int32_t next; // chosen behind what was run last
    float probability;
    Generated *out;
    int32_t *forbidden; // room for those of generate_forbidden
    Progress *progress;
    Error *err;
} Generation;

static bool generation_run(Generation *g, const int32_t *ids, size_t count) {
    const Draw draw = {g->sampling->temperature, g->sampling->top_p, &g->point};
    const size_t forbidden =
        generate_forbidden(&transformer_structure(g->t)->config, g->out->ids, g->out->count, g->forbidden);
    if (!transformer_choose_other(g->t, g->running, ids, count, &draw, g->forbidden, forbidden, &g->next,
                                  &g->probability, g->err))
        return false;
    return !isnan(g->probability) ||
           error_set(g->err, "the model's logits are infinite or not a number: no token can be chosen");
}

// A source, which must come whole, and the beginning of the target.
static bool generation_encode(Generation *g, const int32_t *source, size_t count) {
    const EncoderDecoder *pair = &transformer_structure(g->t)->config.pair;
    int32_t *ids = array_new(count + 2, sizeof *ids);
    if (!ids) return error_memory(g->err, "the source");
    memcpy(ids, source, count * sizeof *ids);
    ids[count] = pair->start_token;
    ids[count + 1] = pair->first_token;
    const bool first = pair->first_token >= 0 && g->out->capacity > 1;
    if (first) {
        g->out->probabilities[g->out->count] = 1;
        g->out->ids[g->out->count++] = pair->first_token;
    }
    const bool ok = generation_run(g, ids, count + 1 + first);
    free(ids);
    return ok;
}

// In parts, so that a stop need not wait for a long prompt.
static bool generation_prefill(Generation *g, const int32_t *prompt, size_t count) {
    const size_t part = 512;
    if (transformer_structure(g->t)->config.pair.encoder_layers) return generation_encode(g, prompt, count);
    for (size_t done = 0; done < count;) {
        if (progress_should_stop(g->progress)) return error_stopped(g->err);
        size_t now = count - done < part ? count - done : part;
        if (!generation_run(g, prompt + done, now)) return false;
        done += now;
    }
    return true;
}

bool generate_is_end(const ModelConfig *config, int32_t id) {
    for (int i = 0; i < config->eos_count; i++)
        if (config->eos_tokens[i] == id) return true;
    return false;
}

// Keeps the token that was chosen, unless it ends the text. Some models end a target that gets too long.
static void generation_keep(Generation *g) {
    const ModelConfig *config = &transformer_structure(g->t)->config;
    const bool last = config->pair.encoder_layers && g->out->count + 1 >= g->out->capacity;
    if (last && config->pair.last_token >= 0) g->next = config->pair.last_token;
    g->out->ended = generate_is_end(config, g->next);
    if (g->out->ended) return;
    g->out->probabilities[g->out->count] = g->probability;
    g->out->ids[g->out->count++] = g->next;
    g->point = random_uniform(&g->random);
}

static bool generation_decode(Generation *g, void (*token)(void *context, const Generated *so_far), void *context) {
    Generated *out = g->out;
    generation_keep(g);
    while (!out->ended) {
        if (token) token(context, out);
        if (!progress_add(g->progress, 1)) return error_stopped(g->err);
        if (out->count == out->capacity) break;
        if (!generation_run(g, &out->ids[out->count - 1], 1)) return false;
        generation_keep(g);
    }
    return true;
}

// Positions that what is generated may take up.
static size_t room_for(const ModelConfig *config, size_t prompt_count) {
    const size_t positions = (size_t)config->max_positions;
    return config->pair.encoder_layers ? positions - 1 : positions - prompt_count;
}

static bool tokens_known(const ModelConfig *config, Error *err) {
    const EncoderDecoder *pair = &config->pair;
    if (pair->start_token < 0)
        return error_set(err, "config.json does not say with which token a target begins (decoder_start_token_id)");
    bool known =
        pair->start_token < config->vocab && pair->first_token < config->vocab && pair->last_token < config->vocab;
    for (int i = 0; i < pair->never_count; i++) known = known && pair->never_tokens[i] < config->vocab;
    for (int i = 0; i < config->eos_count; i++) known = known && config->eos_tokens[i] < config->vocab;
    return known || error_set(err, "the tokens with which targets begin and end are outside the vocabulary of %d",
                              config->vocab);
}

bool generate_fits(const ModelConfig *config, size_t count, Error *err) {
    if (count == 0) return error_set(err, "the prompt is empty: there is nothing to continue");
    if (config->pair.encoder_layers && !tokens_known(config, err)) return false;
    if (count <= (size_t)config->max_positions) return true;
    return error_set(err, "the prompt has %zu tokens, more than the %d positions of the model", count,
                     config->max_positions);
}

static bool make_room(Generation *g, size_t prompt_count, size_t most) {
    const size_t source = transformer_structure(g->t)->config.pair.encoder_layers ? prompt_count : 0;
    g->out->ids = array_new(most, sizeof *g->out->ids);
    g->out->probabilities = array_new(most, sizeof *g->out->probabilities);
    g->forbidden = array_new(most + FORBIDDEN_ALWAYS, sizeof *g->forbidden);
    if (!g->out->ids || !g->out->probabilities || !g->forbidden) return error_memory(g->err, "generated tokens");
    g->out->capacity = most;
    return sequences_new_pair(g->t, source, prompt_count + most + (source > 0), 1, &g->running, g->err);
}

bool generate(Transformer *t, const int32_t *prompt, size_t prompt_count, size_t most, const Sampling *sampling,
              void (*token)(void *context, const Generated *so_far), void *context, Generated *out, Progress *progress,
              Error *err) {
    *out = (Generated){0};
    const ModelConfig *config = &transformer_structure(t)->config;
    if (!generate_fits(config, prompt_count, err)) return false;
    const size_t room = room_for(config, prompt_count);
    if (most > room) most = room;
    Generation g = {.t = t,
                    .sampling = sampling,
                    .random = random_seeded(sampling->seed),
                    .out = out,
                    .progress = progress,
                    .err = err};
    g.point = random_uniform(&g.random);
    progress_begin(progress, "generating", most);
    if (sampling->beams > 1 && most > 0) {
        const bool found = generate_beams(t, prompt, prompt_count, most, sampling->beams, out, progress, err);
        if (found && token) token(context, out);
        return found;
    }
    bool ok = make_room(&g, prompt_count, most) && generation_prefill(&g, prompt, prompt_count);
    if (ok && most > 0) ok = generation_decode(&g, token, context);
    sequences_free(g.running);
    free(g.forbidden);
    return ok;
}
