// Layout of a file, in the byte order of the machine: SelfTextHeader, then the ids.
#include "analysis/self_text.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/cache_write.h"
#include "analysis/stats_cache.h"
#include "base/array.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/random.h"

#define SELF_VERSION 1u
#define FILE_LIMIT ((size_t)1 << 30)
#define TOGETHER 16 // sequences side by side: their cache is what takes memory

// ---- on disk ----

typedef struct SelfTextHeader {
    char magic[8];
    uint64_t key, count, hash;
} SelfTextHeader;
static_assert(sizeof(SelfTextHeader) == 32, "padding would reach the file");

static uint64_t self_text_key(const Transformer *t, const SelfTextOptions *o) {
    const char *backend = transformer_backend(t)->ops->name;
    uint64_t key = input_stats_key(transformer_structure(t), &o->prefix, 1, 1, transformer_precision(t), backend);
    const uint64_t rest[] = {SELF_VERSION, o->sequences, o->length, o->seed};
    return hash_bytes(key, rest, sizeof rest);
}

static SelfTextHeader self_text_header(uint64_t key, const TokenIds *ids) {
    return (SelfTextHeader){.magic = "qdself",
                            .key = key,
                            .count = ids->count,
                            .hash = hash_bytes(HASH_START, ids->ids, ids->count * sizeof *ids->ids)};
}

static char *path_in(const char *folder, uint64_t key) {
    char name[64];
    snprintf(name, sizeof name, "self-%016llx.ids", (unsigned long long)key);
    return folder ? path_join(folder, name) : NULL;
}

static bool are_in_vocabulary(const TokenIds *ids, int vocab) {
    for (size_t i = 0; i < ids->count; i++) {
        if (ids->ids[i] < 0 || ids->ids[i] >= vocab) return false;
    }
    return true;
}

// *out has room for what is expected.
static bool kept_take(const char *data, size_t size, uint64_t key, int vocab, TokenIds *out) {
    SelfTextHeader header;
    const size_t bytes = out->count * sizeof *out->ids;
    if (size != sizeof header + bytes) return false;
    memcpy(&header, data, sizeof header);
    memcpy(out->ids, data + sizeof header, bytes);
    const SelfTextHeader expected = self_text_header(key, out);
    return memcmp(&header, &expected, sizeof header) == 0 && are_in_vocabulary(out, vocab);
}

static bool kept_read(const char *path, uint64_t key, int vocab, TokenIds *out) {
    char *data;
    size_t size;
    if (!path || !file_read(path, FILE_LIMIT, &data, &size, NULL)) return false;
    const bool ok = kept_take(data, size, key, vocab, out);
    free(data);
    if (ok) log_line("cache: %s holds %zu sampled tokens", path, out->count);
    return ok;
}

static void kept_write(const char *folder, const char *path, uint64_t key, const TokenIds *ids) {
    Text file = {0};
    const SelfTextHeader header = self_text_header(key, ids);
    if (!path) return;
    text_add(&file, (const char *)&header, sizeof header);
    text_add(&file, (const char *)ids->ids, ids->count * sizeof *ids->ids);
    if (!file.failed) cache_write(folder, path, &file, NULL);
    text_free(&file);
}

// ---- sampling ----

typedef struct Writer {
    Transformer *t;
    const SelfTextOptions *options;
    Random randoms[TOGETHER];
    int32_t last[TOGETHER], next[TOGETHER];
    float probabilities[TOGETHER];
    double points[TOGETHER];
    Progress *progress;
    Error *err;
} Writer;

static bool is_end(const ModelConfig *config, int32_t id) {
    for (int i = 0; i < config->eos_count; i++) {
        if (config->eos_tokens[i] == id) return true;
    }
    return false;
}

// Whether a text ends here and the next one has to be begun. Where one token does both, nothing needs to be added.
static bool turns_over(const Writer *w, int32_t id) {
    return id != w->options->prefix && is_end(&transformer_structure(w->t)->config, id);
}

static int32_t first_token(Writer *w, size_t sequence) {
    if (w->options->prefix >= 0) return w->options->prefix;
    return (int32_t)random_below(&w->randoms[sequence], (uint32_t)transformer_structure(w->t)->config.vocab);
}

// One more token for each of `count` sequences, behind w->last.
static bool sample_step(Writer *w, Sequences *running, size_t count) {
    const Draw draw = {1, 1, w->points};
    for (size_t i = 0; i < count; i++) w->points[i] = random_uniform(&w->randoms[i]);
    if (!transformer_choose(w->t, running, w->last, count, &draw, w->next, w->probabilities, w->err)) return false;
    for (size_t i = 0; i < count; i++) {
        if (isnan(w->probabilities[i]))
            return error_set(w->err, "the model's logits are infinite or not a number: no text can be sampled");
        w->last[i] = turns_over(w, w->last[i]) ? first_token(w, i) : w->next[i];
    }
    return progress_add(w->progress, count) || error_stopped(w->err);
}

// Sequences first … first + count − 1 into ids [sequences, length].
static bool write_together(Writer *w, size_t first, size_t count, int32_t *ids) {
    const size_t length = w->options->length;
    Sequences *running;
    if (!sequences_new_many(w->t, length, count, &running, w->err)) return false;
    for (size_t i = 0; i < count; i++) {
        w->randoms[i] = random_seeded(w->options->seed + first + i);
        w->last[i] = first_token(w, i);
    }
    bool ok = true;
    for (size_t at = 0; ok && at < length; at++) {
        for (size_t i = 0; i < count; i++) ids[(first + i) * length + at] = w->last[i];
        if (at + 1 < length) ok = sample_step(w, running, count);
    }
    sequences_free(running);
    return ok;
}

static bool sample_ids(Transformer *t, const SelfTextOptions *o, TokenIds *out, Progress *progress, Error *err) {
    Writer w = {.t = t, .options = o, .progress = progress, .err = err};
    bool ok = true;
    progress_begin(progress, "sampling text", o->sequences * (o->length - 1));
    for (size_t first = 0; ok && first < o->sequences; first += TOGETHER) {
        const size_t left = o->sequences - first;
        ok = write_together(&w, first, left < TOGETHER ? left : TOGETHER, out->ids);
    }
    return ok;
}

bool self_text(Transformer *t, const SelfTextOptions *o, const char *folder, TokenIds *out, Progress *progress,
               Error *err) {
    const uint64_t key = self_text_key(t, o);
    char *path = path_in(folder, key);
    token_ids_free(out);
    out->count = out->capacity = o->sequences * o->length;
    out->ids = array_new(out->count, sizeof *out->ids);
    bool ok = out->ids || error_memory(err, "sampled text");
    if (ok && !kept_read(path, key, transformer_structure(t)->config.vocab, out)) {
        ok = sample_ids(t, o, out, progress, err);
        if (ok) kept_write(folder, path, key, out);
    }
    free(path);
    if (!ok) token_ids_free(out);
    return ok;
}
