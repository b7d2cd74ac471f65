// Keys and defaults: transformers, configuration_llama.py (4.57 and 5). A further family of the same layout is one more
// row.
#include "loaders/config.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"
#include "base/json.h"

#define CONFIG_LIMIT ((size_t)16 << 20)

typedef struct Family {
    const char *type;       // model_type
    const char *activation; // what hidden_act must say: the forward pass computes this one
    ModelConfig defaults;   // of keys that are missing; 0 heads or sizes: derived from others
} Family;

static const Family families[] = {
    {"llama",
     "silu",
     {.layers = 32,
      .hidden = 4096,
      .heads = 32,
      .ffn = 11008,
      .vocab = 32000,
      .max_positions = 2048,
      .norm_eps = 1e-6f,
      .rope_theta = 10000,
      .bos_token = 1,
      .eos_tokens = {2},
      .eos_count = 1}},
};

static const Family *find_family(const char *type, Error *err) {
    Text known = {0};
    const Family *found = NULL;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (type && strcmp(families[i].type, type) == 0) found = &families[i];
        text_addf(&known, "%s%s", i ? ", " : "", families[i].type);
    }
    if (!found) {
        char *shown = type ? text_printable(type, strlen(type), false) : NULL;
        if (type)
            error_set(err, "the model family \"%.60s\" is not supported; supported: %s", shown ? shown : "?",
                      known.data);
        else
            error_set(err, "\"model_type\" is missing; supported families: %s", known.data);
        free(shown);
    }
    text_free(&known);
    return found;
}

// --------------------------------------------------------------------------------------------------------------
// numbers

static bool read_count(const cJSON *config, const char *key, int missing, int most, int *out, Error *err) {
    int64_t value;
    if (!json_integer(config, key, missing, 1, most, &value, err)) return false;
    *out = (int)value;
    return true;
}

static bool read_positive(const cJSON *object, const char *key, double missing, double *out, Error *err) {
    if (!json_number(object, key, missing, out, err)) return false;
    return (*out > 0 && isfinite(*out)) || error_set(err, "\"%s\" must be a positive number", key);
}

// Limits far above every model there is keep products of two sizes within 64 bits, and of a size and a small factor
// within int.
static bool read_sizes(const cJSON *config, ModelConfig *out, Error *err) {
    const int most = 1 << 24;
    if (!read_count(config, "hidden_size", out->hidden, most, &out->hidden, err) ||
        !read_count(config, "num_hidden_layers", out->layers, 1 << 14, &out->layers, err) ||
        !read_count(config, "num_attention_heads", out->heads, 1 << 14, &out->heads, err) ||
        !read_count(config, "num_key_value_heads", out->heads, 1 << 14, &out->kv_heads, err) ||
        !read_count(config, "intermediate_size", out->ffn, most, &out->ffn, err) ||
        !read_count(config, "vocab_size", out->vocab, most, &out->vocab, err) ||
        !read_count(config, "max_position_embeddings", out->max_positions, INT_MAX, &out->max_positions, err)) {
        return false;
    }
    int head_dim = out->hidden / out->heads; // 0 when there are more heads than channels: then the key must be there
    if (!read_count(config, "head_dim", head_dim, 1 << 14, &out->head_dim, err)) return false;
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(config, "head_dim");
    if (!cJSON_IsNumber(given) && out->hidden % out->heads != 0) {
        return error_set(err, "hidden_size %d is not a multiple of num_attention_heads %d", out->hidden, out->heads);
    }
    if (out->heads % out->kv_heads != 0) {
        return error_set(err, "num_attention_heads %d is not a multiple of num_key_value_heads %d", out->heads,
                         out->kv_heads);
    }
    if (out->head_dim % 2 != 0)
        return error_set(err, "head_dim %d is odd; rotary positions need an even number", out->head_dim);
    return true;
}

// -----------------------------------------------------------------------------------------------------------------
// rope

static bool read_llama3_rope(const cJSON *rope, ModelConfig *out, Error *err) {
    if (!read_positive(rope, "factor", NAN, &out->rope_factor, err) ||
        !read_positive(rope, "low_freq_factor", NAN, &out->rope_low_freq_factor, err) ||
        !read_positive(rope, "high_freq_factor", NAN, &out->rope_high_freq_factor, err) ||
        !read_positive(rope, "original_max_position_embeddings", out->max_positions, &out->rope_original_positions,
                       err)) {
        return false;
    }
    return out->rope_high_freq_factor > out->rope_low_freq_factor ||
           error_set(err, "high_freq_factor must be above low_freq_factor");
}

static bool read_rope_kind(const cJSON *rope, ModelConfig *out, Error *err) {
    const char *old = NULL, *type = NULL;
    if (!json_string(rope, "type", "default", &old, err) || !json_string(rope, "rope_type", old, &type, err))
        return false;
    if (strcmp(type, "default") == 0) return true;
    if (strcmp(type, "linear") == 0) {
        out->rope_scaling = ROPE_LINEAR;
        return read_positive(rope, "factor", NAN, &out->rope_factor, err);
    }
    if (strcmp(type, "llama3") == 0) {
        out->rope_scaling = ROPE_LLAMA3;
        return read_llama3_rope(rope, out, err);
    }
    char *shown = text_printable(type, strlen(type), false);
    error_set(err, "rope_type \"%.60s\" is not supported; supported: default, linear, llama3", shown ? shown : "?");
    free(shown);
    return false;
}

// Older files have rope_theta and rope_scaling, newer ones rope_parameters with everything inside.
static bool read_rope(const cJSON *config, ModelConfig *out, Error *err) {
    double partial;
    if (!read_positive(config, "rope_theta", out->rope_theta, &out->rope_theta, err) ||
        !read_positive(config, "partial_rotary_factor", 1, &partial, err)) {
        return false;
    }
    out->rope_factor = 1;
    const char *key = "rope_scaling";
    const cJSON *rope = cJSON_GetObjectItemCaseSensitive(config, key);
    if (!rope || cJSON_IsNull(rope)) rope = cJSON_GetObjectItemCaseSensitive(config, key = "rope_parameters");
    if (rope && !cJSON_IsNull(rope)) {
        if (!cJSON_IsObject(rope)) return error_set(err, "\"%s\" must be an object", key);
        if (!read_positive(rope, "rope_theta", out->rope_theta, &out->rope_theta, err) ||
            !read_positive(rope, "partial_rotary_factor", partial, &partial, err) || !read_rope_kind(rope, out, err)) {
            return error_prefix(err, "%s", key);
        }
    }
    return partial == 1 || error_set(err, "partial_rotary_factor %g is not supported", partial);
}

// ------------------------------------------------------------------------------------------------------- tokens and
// types

static bool add_eos(const cJSON *item, ModelConfig *out, Error *err) {
    double id = cJSON_GetNumberValue(item);
    if (!(id >= 0 && id <= INT_MAX && id == floor(id)))
        return error_set(err, "\"eos_token_id\" must be a token id or an array of them");
    for (int i = 0; i < out->eos_count; i++) {
        if (out->eos_tokens[i] == (int)id) return true;
    }
    int room = sizeof out->eos_tokens / sizeof *out->eos_tokens;
    if (out->eos_count == room)
        return error_set(err, "\"eos_token_id\" names more than %d tokens, which is not supported", room);
    out->eos_tokens[out->eos_count++] = (int)id;
    return true;
}

// One id, an array of ids, or null for none; what is there is added.
static bool add_eos_tokens(const cJSON *object, ModelConfig *out, Error *err) {
    const cJSON *eos = cJSON_GetObjectItemCaseSensitive(object, "eos_token_id"), *item;
    if (!eos || cJSON_IsNull(eos)) return true;
    if (!cJSON_IsArray(eos)) return add_eos(eos, out, err);
    cJSON_ArrayForEach(item, eos) {
        if (!add_eos(item, out, err)) return false;
    }
    return true;
}

static bool read_tokens(const cJSON *config, ModelConfig *out, Error *err) {
    const cJSON *bos = cJSON_GetObjectItemCaseSensitive(config, "bos_token_id");
    int64_t id;
    if (!json_integer(config, "bos_token_id", cJSON_IsNull(bos) ? -1 : out->bos_token, -1, INT_MAX, &id, err))
        return false;
    out->bos_token = (int)id;
    if (cJSON_GetObjectItemCaseSensitive(config, "eos_token_id"))
        out->eos_count = 0; // the default is for files that do not say
    return add_eos_tokens(config, out, err);
}

static bool read_dtype(const cJSON *config, ModelConfig *out, Error *err) {
    static const struct {
        const char *name;
        DType dtype;
    } names[] = {{"float32", DTYPE_F32}, {"float16", DTYPE_F16}, {"bfloat16", DTYPE_BF16}, {"float64", DTYPE_F64}};
    const char *old, *name;
    if (!json_string(config, "torch_dtype", "", &old, err) || !json_string(config, "dtype", old, &name, err))
        return false;
    if (strncmp(name, "torch.", 6) == 0) name += 6;
    out->dtype = DTYPE_OTHER;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, name) == 0) out->dtype = names[i].dtype;
    }
    return true;
}

static bool read_flags(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    const char *activation;
    double eps;
    if (!json_string(config, "hidden_act", family->activation, &activation, err)) return false;
    if (strcmp(activation, family->activation) != 0) {
        char *shown = text_printable(activation, strlen(activation), false);
        error_set(err, "hidden_act \"%.60s\" is not supported for %s; supported: %s", shown ? shown : "?", family->type,
                  family->activation);
        free(shown);
        return false;
    }
    if (!json_bool(config, "tie_word_embeddings", out->tied_head, &out->tied_head, err) ||
        !json_bool(config, "attention_bias", out->attention_bias, &out->attention_bias, err) ||
        !json_bool(config, "mlp_bias", out->mlp_bias, &out->mlp_bias, err) ||
        !read_positive(config, "rms_norm_eps", (double)out->norm_eps, &eps, err)) {
        return false;
    }
    out->output_bias = out->attention_bias; // Llama has one flag for all four
    out->norm_eps = (float)eps;
    return true;
}

// -----------------------------------------------------------------------------------------------------------------
// files

static bool read_config(const cJSON *config, ModelConfig *out, Error *err) {
    const char *type;
    if (!cJSON_IsObject(config)) return error_set(err, "must hold a JSON object");
    if (!json_string(config, "model_type", NULL, &type, err)) return false;
    const Family *family = find_family(type, err);
    if (!family) return false;
    *out = family->defaults;
    snprintf(out->family, sizeof out->family, "%s", family->type);
    return read_sizes(config, out, err) && read_flags(config, family, out, err) && read_rope(config, out, err) &&
           read_tokens(config, out, err) && read_dtype(config, out, err);
}

// Parses FOLDER/NAME; NULL with a message that names the file.
static cJSON *parse_file(const char *folder, const char *name, char **path, Error *err) {
    char *text = NULL;
    size_t length;
    cJSON *document = NULL;
    *path = path_join(folder, name);
    if (!*path)
        error_memory(err, name);
    else if (file_read(*path, CONFIG_LIMIT, &text, &length, err) && !(document = json_parse(text, length, err)))
        error_prefix(err, "%s", *path);
    free(text);
    return document;
}

// generation_config.json may name further tokens that end a text.
static bool read_generation_config(const char *folder, ModelConfig *out, Error *err) {
    char *path = path_join(folder, "generation_config.json");
    if (!path) return error_memory(err, folder);
    bool there = file_exists(path);
    free(path);
    if (!there) return true;
    cJSON *document = parse_file(folder, "generation_config.json", &path, err);
    bool ok = document && (add_eos_tokens(document, out, err) || error_prefix(err, "%s", path));
    cJSON_Delete(document);
    free(path);
    return ok;
}

bool config_load(const char *folder, ModelConfig *out, Error *err) {
    char *path;
    cJSON *document = parse_file(folder, "config.json", &path, err);
    bool ok = document && (read_config(document, out, err) || error_prefix(err, "%s", path));
    cJSON_Delete(document);
    free(path);
    return ok && read_generation_config(folder, out, err);
}
