// quantization_config of config.json, or quantize_config.json of older GPTQ checkpoints, as far as the tensors do not
// tell by themselves.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/json.h"
#include "loaders/documents.h"
#include "loaders/stored/stored_parts.h"

static bool refuse_text(const char *what, const char *text, const char *supported, Error *err) {
    char *shown = text_printable(text, strlen(text), false);
    error_set(err, "%s \"%.60s\" is not read; read are %s", what, shown ? shown : "?", supported);
    free(shown);
    return false;
}

static bool is_one_of(const char *text, const char *const *list) {
    while (*list && strcmp(*list, text) != 0) list++;
    return *list != NULL;
}

// ---- compressed-tensors ----

static bool read_group(const cJSON *group, StoredConfig *out, Error *err) {
    const cJSON *weights = cJSON_GetObjectItemCaseSensitive(group, "weights");
    const cJSON *block = cJSON_GetObjectItemCaseSensitive(weights, "block_structure");
    int64_t bits = 0;
    if (!cJSON_IsObject(weights)) return true;
    if (!json_integer(weights, "num_bits", 8, 1, 16, &bits, err)) return false;
    if (bits <= 8) out->bit_widths |= 1u << (bits - 1);
    if (cJSON_GetArraySize(block) != 2) return true;
    for (int i = 0; i < 2; i++) {
        double size = cJSON_GetNumberValue(cJSON_GetArrayItem(block, i));
        if (!(size >= 1 && size <= 1 << 24)) return error_set(err, "\"block_structure\" must hold two sizes");
        out->block[i] = (size_t)size;
    }
    return true;
}

// The packing changed in 0.18. Development versions of 0.18 are taken for it.
static bool is_before_0_18(const char *version) {
    int major = 0, minor = 0;
    return sscanf(version, "%d.%d", &major, &minor) == 2 && major == 0 && minor < 18;
}

static bool read_compressed_tensors(const cJSON *json, StoredConfig *out, Error *err) {
    static const char *const formats[] = {
        "dense", "pack-quantized", "int-quantized", "naive-quantized", "float-quantized", "mixed-precision", NULL};
    const char *format, *version;
    if (!json_string(json, "format", "dense", &format, err) || !json_string(json, "version", "", &version, err))
        return false;
    if (!is_one_of(format, formats))
        return refuse_text("the format", format, "pack-, int-, naive- and float-quantized", err);
    out->whole_words = is_before_0_18(version);
    const cJSON *groups = cJSON_GetObjectItemCaseSensitive(json, "config_groups"), *group;
    cJSON_ArrayForEach(group, groups) {
        if (!read_group(group, out, err)) return error_prefix(err, "config_groups");
    }
    return true;
}

// ---- GPTQ, AWQ, F8 ----

static bool read_gptq(const cJSON *json, StoredConfig *out, Error *err) {
    static const char *const formats[] = {"gptq", "gptq_v2", "", NULL};
    const char *format;
    int64_t group;
    if (!json_string(json, "checkpoint_format", "", &format, err) ||
        !json_integer(json, "group_size", -1, -1, 1 << 24, &group, err) ||
        !json_bool(json, "sym", false, &out->symmetric, err))
        return false;
    if (!is_one_of(format, formats)) return refuse_text("checkpoint_format", format, "gptq and gptq_v2", err);
    out->group_size = group > 0 ? (size_t)group : 0;
    out->gptq_v2 = strcmp(format, "gptq_v2") == 0;
    return true;
}

static bool read_awq(const cJSON *json, StoredConfig *out, Error *err) {
    static const char *const versions[] = {"gemm", "GEMM", NULL};
    const char *version;
    (void)out;
    return json_string(json, "version", "gemm", &version, err) &&
           (is_one_of(version, versions) || refuse_text("the AWQ version", version, "gemm", err));
}

static bool read_fp8(const cJSON *json, StoredConfig *out, Error *err) {
    const cJSON *block = cJSON_GetObjectItemCaseSensitive(json, "weight_block_size");
    if (!block || cJSON_IsNull(block)) return true;
    for (int i = 0; i < 2; i++) {
        double size = cJSON_GetNumberValue(cJSON_GetArrayItem(block, i));
        if (!(size >= 1 && size <= 1 << 24)) return error_set(err, "\"weight_block_size\" must hold two sizes");
        out->block[i] = (size_t)size;
    }
    return true;
}

static bool read_nothing(const cJSON *json, StoredConfig *out, Error *err) {
    (void)json;
    (void)out;
    (void)err;
    return true;
}

static const struct {
    const char *method;
    bool (*read)(const cJSON *json, StoredConfig *out, Error *err);
} methods[] = {
    {"gptq", read_gptq},
    {"awq", read_awq},
    {"fp8", read_fp8},
    {"fbgemm_fp8", read_nothing},
    {"compressed-tensors", read_compressed_tensors},
};
#define METHODS_READ "gptq, awq, fp8, fbgemm_fp8, compressed-tensors, and MLX"

static bool read_quantization(const cJSON *json, const char *method, StoredConfig *out, Error *err) {
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(methods[i].method, method) == 0) return methods[i].read(json, out, err);
    }
    // Its plain tensors can still be read.
    Error reason = {0};
    refuse_text("quant_method", method, METHODS_READ "; open the checkpoint that it was made from", &reason);
    snprintf(out->refusal, sizeof out->refusal, "%s", reason.message);
    return true;
}

// ---- MLX ----

// "quantization", which mlx-lm repeats as "quantization_config": no method is named there.
static bool read_mlx(cJSON *document, StoredConfig *out) {
    const cJSON *said = cJSON_GetObjectItemCaseSensitive(document, "quantization_config");
    if (cJSON_IsObject(said) && cJSON_GetObjectItemCaseSensitive(said, "quant_method")) return false;
    cJSON *own = cJSON_GetObjectItemCaseSensitive(document, "quantization");
    if (!cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(own, "bits"))) return false;
    out->mlx = cJSON_DetachItemViaPointer(document, own);
    return true;
}

void stored_config_free(StoredConfig *config) {
    cJSON_Delete(config->mlx);
    config->mlx = NULL;
}

// ---- The files ----

static const StoredConfig nothing_said = {.block = {128, 128}};

static bool read_document(cJSON *document, StoredConfig *out, Error *err) {
    if (read_mlx(document, out)) return true;
    const cJSON *json = cJSON_GetObjectItemCaseSensitive(document, "quantization_config");
    const char *method = "";
    return !cJSON_IsObject(json) || (json_string(json, "quant_method", "", &method, err) &&
                                     (!*method || read_quantization(json, method, out, err)));
}

bool stored_config_parse(const char *text, size_t length, StoredConfig *out, Error *err) {
    *out = nothing_said;
    cJSON *document = json_parse(text, length, err);
    bool ok = document && read_document(document, out, err);
    cJSON_Delete(document);
    return ok;
}

bool stored_config_read(const char *source, StoredConfig *out, Error *err) {
    const char *name = "config.json";
    cJSON *document;
    *out = nothing_said;
    if (source_is_gguf(source)) return true; // its types are those of its tensors
    bool ok = document_read(source, name, &document, err);
    if (ok && (cJSON_GetObjectItemCaseSensitive(document, "quantization_config") ||
               cJSON_GetObjectItemCaseSensitive(document, "quantization"))) {
        ok = read_document(document, out, err);
    } else if (ok) { // written beside config.json by the first GPTQ tools
        cJSON_Delete(document);
        ok = document_read(source, name = "quantize_config.json", &document, err);
        if (document) ok = read_quantization(document, "gptq", out, err);
    }
    cJSON_Delete(document);
    return ok || error_prefix(err, "%s/%s", source, name);
}
