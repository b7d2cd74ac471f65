#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"
#include "cli/cli.h"
#include "export/safetensors_writer.h"

static bool parse_ids(const char *text, int vocab, TokenIds *out, Error *err) {
    for (const char *p = text; *p;) {
        char *end;
        errno = 0;
        long id = strtol(p, &end, 10);
        if (errno || end == p || (*end && *end != ',') || id < 0 || id >= vocab) {
            return error_set(err, "--ids expects numbers from 0 to %d with commas between, not \"%.20s\"", vocab - 1,
                             p);
        }
        if (!array_grow(&out->ids, out->count, &out->capacity, sizeof *out->ids)) return error_memory(err, "token ids");
        out->ids[out->count++] = (int32_t)id;
        p = *end ? end + 1 : end;
    }
    return out->count || error_set(err, "--ids expects at least one token id");
}

// A safetensors file with the one tensor `logits`.
static bool write_logits(const char *path, const float *logits, size_t tokens, size_t vocab, Error *err) {
    SafetensorsHead head;
    safetensors_head_begin(&head);
    safetensors_head_add(&head, "logits", DTYPE_F32, 2, (uint64_t[]){tokens, vocab});
    bool ok = safetensors_head_end(&head, err);
    text_add(&head.text, (const char *)logits, tokens * vocab * sizeof *logits);
    ok = ok && (!head.text.failed || error_memory(err, "the file of logits")) &&
         file_write(path, head.text.data, head.text.length, err);
    text_free(&head.text);
    return ok;
}

// They are written as they are: who asks for logits may want to see where they break.
static void warn_logits(const Options *options, const float *logits, size_t count) {
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) wrong += isfinite(logits[i]) ? 0 : 1;
    if (wrong && !options->quiet)
        fprintf(stderr, "quantdial: %zu of %zu logits are infinite or NaN; quantdial inspect names damaged weights\n",
                wrong, count);
}

static bool run_logits(const Options *options, Transformer *t, const TokenIds *ids, Error *err) {
    Sequences *sequences = NULL;
    size_t vocab = (size_t)transformer_structure(t)->config.vocab;
    float *logits = array_new(ids->count, vocab * sizeof *logits);
    bool ok = logits ? sequences_new(t, ids->count, &sequences, err) : error_memory(err, "logits");
    const size_t rows = ids->count - source_share(&transformer_structure(t)->config, ids->count); // a source has none
    ok = ok && transformer_forward(t, sequences, ids->ids, ids->count, true, logits, NULL, err) &&
         write_logits(options->output, logits, rows, vocab, err);
    if (ok) warn_logits(options, logits, rows * vocab);
    sequences_free(sequences);
    free(logits);
    return ok;
}

static bool quantized_logits(const Options *options, Engine *engine, Error *err) {
    return prepare_engine(options, engine, false, err) &&
           engine_follow(engine, engine_plan(engine), NULL, watch_start(options), err);
}

bool command_logits(const Options *options, Error *err) {
    Engine *engine;
    TokenIds ids = {0};
    const bool base = options->base_only;
    bool ok = open_engine(options, true, &engine, err) &&
              parse_ids(options->ids, engine_structure(engine)->config.vocab, &ids, err) &&
              (base || quantized_logits(options, engine, err)) &&
              run_logits(options, base ? engine_base(engine) : engine_quantized(engine), &ids, err);
    watch_end();
    if (ok && !base) warn_unmatched(options, engine);
    token_ids_free(&ids);
    engine_close(engine);
    return ok;
}
