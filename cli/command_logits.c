#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"
#include "cli/cli.h"

static bool parse_ids(const char *text, int vocab, TokenIds *out, Error *err) {
    for (const char *p = text; *p;) {
        char *end;
        errno = 0;
        long id = strtol(p, &end, 10);
        if (errno || end == p || (*end && *end != ',') || id < 0 || id >= vocab) {
            return error_set(err, "--ids wants numbers from 0 to %d with commas between, not \"%.20s\"", vocab - 1, p);
        }
        if (!array_grow(&out->ids, out->count, &out->capacity, sizeof *out->ids)) return error_memory(err, "token ids");
        out->ids[out->count++] = (int32_t)id;
        p = *end ? end + 1 : end;
    }
    return out->count || error_set(err, "--ids wants at least one token id");
}

// A safetensors file with the one tensor `logits`.
static bool write_logits(const char *path, const float *logits, size_t tokens, size_t vocab, Error *err) {
    char header[256];
    size_t bytes = tokens * vocab * sizeof *logits;
    int length =
        snprintf(header, sizeof header, "{\"logits\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[0,%zu]}}",
                 tokens, vocab, bytes);
    uint64_t padded = ((uint64_t)length + 7) / 8 * 8;
    char *file = malloc(8 + padded + bytes);
    if (!file) return error_memory(err, "the file of logits");
    memcpy(file, &padded, 8); // little-endian, as every machine that this is built for
    memset(file + 8, ' ', padded);
    memcpy(file + 8, header, (size_t)length);
    memcpy(file + 8 + padded, logits, bytes);
    bool ok = file_write(path, file, 8 + padded + bytes, err);
    free(file);
    return ok;
}

static bool run(const Options *options, Transformer *t, const TokenIds *ids, Error *err) {
    Session *session = NULL;
    size_t vocab = (size_t)transformer_structure(t)->config.vocab;
    float *logits = array_new(ids->count, vocab * sizeof *logits);
    bool ok = logits ? session_new(t, ids->count, &session, err) : error_memory(err, "logits");
    ok = ok && transformer_forward(t, session, ids->ids, ids->count, true, logits, NULL, err) &&
         write_logits(options->output, logits, ids->count, vocab, err);
    session_free(session);
    free(logits);
    return ok;
}

static bool quantized(const Options *options, Opened *o, Error *err) {
    return opened_measure(options, o, err) &&
           model_session_follow(&o->session, &o->plan, NULL, watch_start(options), err);
}

bool command_logits(const Options *options, Error *err) {
    Opened o;
    TokenIds ids = {0};
    const bool base = options->base_only;
    bool ok = opened_model(options, true, &o, err) && parse_ids(options->ids, o.session.config.vocab, &ids, err) &&
              (base || quantized(options, &o, err)) &&
              run(options, base ? o.session.base : quantized_model_transformer(o.session.quantized), &ids, err);
    token_ids_free(&ids);
    opened_close(&o);
    return ok;
}
