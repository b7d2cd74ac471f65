#include <langinfo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/json.h"
#include "cli/cli.h"

void print_json(cJSON *object) {
    cJSON *version = cJSON_AddNumberToObject(object, "quantdial", JSON_VERSION);
    cJSON_InsertItemInArray(object, 0, cJSON_DetachItemViaPointer(object, version)); // it comes first
    char *text = json_print(object);
    if (text) puts(text);
    free(text);
    cJSON_Delete(object);
}

void json_add_number(cJSON *object, const char *key, double value) {
    if (isfinite(value))
        cJSON_AddNumberToObject(object, key, value);
    else
        cJSON_AddNullToObject(object, key);
}

const char *bits_text(double bits, char *out, size_t size) {
    if (bits > 0)
        snprintf(out, size, "%.3f bits per weight", bits);
    else
        snprintf(out, size, "nothing quantized");
    return out;
}

// A text that the model cannot expect has a perplexity of a hundred digits.
const char *ppl_text(double ppl, char *out, size_t size) {
    snprintf(out, size, ppl < 1e7 ? "%.4f" : "%.4e", ppl);
    return out;
}

void json_add_bits(cJSON *object, double bits) {
    json_add_number(object, "bits_per_weight", bits > 0 ? bits : (double)NAN);
}

const char *in_megabytes(double bytes, char *out, size_t size) {
    if (bytes >= 1e9)
        snprintf(out, size, "%.2f GB", bytes / 1e9);
    else if (bytes >= 1e6)
        snprintf(out, size, "%.1f MB", bytes / 1e6);
    else
        snprintf(out, size, "%.1f kB", bytes / 1e3);
    return out;
}

void json_add_text(cJSON *object, const char *key, const char *text) {
    if (text)
        cJSON_AddStringToObject(object, key, text);
    else
        cJSON_AddNullToObject(object, key);
}

void dtype_text(const ModelStructure *structure, char *out, size_t size) {
    const char *stored = structure_stored(structure), *dtype = dtype_name(structure_dtype(structure));
    if (stored)
        snprintf(out, size, "%s (%s)", dtype, stored);
    else
        snprintf(out, size, "%s", dtype);
}

bool output_is_utf8(void) { return strcmp(nl_langinfo(CODESET), "UTF-8") == 0; }

const char *ellipsis(void) { return output_is_utf8() ? "…" : "..."; }

const char *arrow(void) { return output_is_utf8() ? "→" : "->"; }

void decision_group_text(const Decision *decision, char *out, size_t size) {
    if (!decision->quantized)
        snprintf(out, size, "-");
    else if (decision->granularity == GRANULARITY_GROUP)
        snprintf(out, size, "%zu", decision->group);
    else
        snprintf(out, size, "%s", decision->granularity == GRANULARITY_TENSOR ? "tensor" : "channel");
}

void print_sparkline(const uint64_t *counts, int bins, FILE *file) {
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const letters[] = {" ", ".", ":", "-", "=", "+", "*", "#", "@"};
    const char *const *glyphs = output_is_utf8() ? blocks : letters;
    uint64_t most = 0;
    for (int i = 0; i < bins; i++) most = counts[i] > most ? counts[i] : most;
    for (int i = 0; i < bins; i++) {
        // A single outlier must stay visible beside millions: heights are logarithmic.
        double height = counts[i] ? 1 + 7 * log1p((double)counts[i] - 1) / fmax(log1p((double)most - 1), 1e-9) : 0;
        fputs(glyphs[(int)fmin(height, 8)], file);
    }
}

void print_name(const char *name, int width) {
    char *shown = text_printable(name, strlen(name), !output_is_utf8());
    printf("%-*s", width, shown ? shown : "?");
    free(shown);
}

void print_unlisted(const ModelStructure *structure) {
    char unlisted[32], all[32], *kinds = structure_unlisted_text(structure);
    const size_t bytes = structure->checkpoint->bytes;
    if (!structure->unlisted_bytes) {
        puts("the list covers every tensor");
    } else {
        printf("%s of %s (%.1f %%) are not in the list: %s\n",
               in_megabytes((double)structure->unlisted_bytes, unlisted, sizeof unlisted),
               in_megabytes((double)bytes, all, sizeof all), 100.0 * (double)structure->unlisted_bytes / (double)bytes,
               kinds ? kinds : "?");
    }
    if (structure->unread[0]) printf("not read: %s\n", structure->unread);
    free(kinds);
}

void json_add_unlisted(cJSON *object, const ModelStructure *structure) {
    cJSON_AddNumberToObject(object, "unlisted_bytes", (double)structure->unlisted_bytes);
    json_add_text(object, "unread", structure->unread[0] ? structure->unread : NULL);
    cJSON *kinds = cJSON_AddArrayToObject(object, "unlisted");
    for (int i = 0; i < TENSOR_KIND_COUNT; i++) {
        const Unlisted *unlisted = &structure->unlisted[i];
        if (!unlisted->tensors) continue;
        cJSON *kind = cJSON_CreateObject();
        cJSON_AddStringToObject(kind, "kind", tensor_kind_name((TensorKind)i));
        cJSON_AddNumberToObject(kind, "tensors", (double)unlisted->tensors);
        cJSON_AddNumberToObject(kind, "bytes", (double)unlisted->bytes);
        cJSON_AddStringToObject(kind, "largest", unlisted->largest->name);
        cJSON_AddItemToArray(kinds, kind);
    }
}

void print_not_run(const Engine *engine) {
    Error why = {0};
    engine_can_run(engine, &why);
    printf("%s; its linears are guessed from names and shapes\n", why.message);
}
