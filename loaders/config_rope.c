#include "loaders/config_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/json.h"

static bool read_llama3(const cJSON *rope, ModelConfig *out, Error *err) {
    if (!json_positive(rope, "low_freq_factor", NAN, &out->rope_low_freq_factor, err) ||
        !json_positive(rope, "high_freq_factor", NAN, &out->rope_high_freq_factor, err)) {
        return false;
    }
    return out->rope_high_freq_factor > out->rope_low_freq_factor ||
           error_set(err, "high_freq_factor must be above low_freq_factor");
}

static double yarn_scale(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1; }

static bool read_yarn(const cJSON *rope, ModelConfig *out, Error *err) {
    double mscale, all;
    bool truncate;
    if (!json_positive(rope, "beta_fast", 32, &out->rope_beta_fast, err) ||
        !json_positive(rope, "beta_slow", 1, &out->rope_beta_slow, err) ||
        !json_number(rope, "mscale", 0, &mscale, err) || !json_number(rope, "mscale_all_dim", 0, &all, err) ||
        !json_bool(rope, "truncate", true, &truncate, err)) {
        return false;
    }
    out->rope_untruncated = !truncate;
    const double more = out->latent.kv_rank > 0 && all != 0 ? yarn_scale(out->rope_factor, all) : 1; // DeepSeek
    out->attention_scale *= (float)(more * more);
    bool both = mscale != 0 && all != 0;
    double missing = both ? yarn_scale(out->rope_factor, mscale) / yarn_scale(out->rope_factor, all)
                          : yarn_scale(out->rope_factor, 1);
    return json_positive(rope, "attention_factor", missing, &out->rope_attention_factor, err);
}

static bool read_factors(const cJSON *rope, const char *key, const ModelConfig *config, float *factors, Error *err) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(rope, key), *item;
    int pairs = rope_dims(config) / 2, count = 0;
    if (pairs > ROPE_PAIRS_MAX || !cJSON_IsArray(list) || cJSON_GetArraySize(list) != pairs)
        return error_set(err, "\"%s\" must list %d numbers, one for each rotated pair of dimensions (%d at most)", key,
                         pairs, ROPE_PAIRS_MAX);
    cJSON_ArrayForEach(item, list) {
        double factor = cJSON_GetNumberValue(item);
        if (!(factor > 0 && isfinite(factor))) return error_set(err, "\"%s\" must hold positive numbers", key);
        factors[count++] = (float)factor;
    }
    return true;
}

static bool read_longrope(const cJSON *rope, ModelConfig *out, Error *err) {
    double original = out->rope_original_positions, stretch = (double)out->max_positions / original;
    if (!json_positive(rope, "factor", stretch, &out->rope_factor, err) ||
        !read_factors(rope, "short_factor", out, out->rope_short_factors, err) ||
        !read_factors(rope, "long_factor", out, out->rope_long_factors, err)) {
        return false;
    }
    double missing = out->rope_factor <= 1 ? 1 : sqrt(1 + log(out->rope_factor) / log(original));
    return json_positive(rope, "attention_factor", missing, &out->rope_attention_factor, err);
}

// Beyond its positions the model can go on, up to `factor` times as many.
static bool read_dynamic(const cJSON *rope, ModelConfig *out, Error *err) {
    (void)rope;
    (void)err;
    out->rope_original_positions = out->max_positions;
    double most = floor((double)out->max_positions * fmax(out->rope_factor, 1));
    out->max_positions = (int)fmin(most, 1 << 30);
    return true;
}

static bool read_proportional(const cJSON *rope, ModelConfig *out, Error *err) {
    if (!json_positive(rope, "factor", 1, &out->rope_factor, err) ||
        !json_positive(rope, "partial_rotary_factor", 1, &out->rope_share, err))
        return false;
    return out->rope_share <= 1 || error_set(err, "\"partial_rotary_factor\" must be at most 1");
}

static bool nothing_more(const cJSON *rope, ModelConfig *out, Error *err) {
    (void)rope;
    (void)out;
    (void)err;
    return true;
}

static const struct {
    const char *name;
    RopeScaling scaling;
    bool has_factor; // which must be there
    bool (*read)(const cJSON *rope, ModelConfig *out, Error *err);
} kinds[] = {
    {"default", ROPE_DEFAULT, false, nothing_more},
    {"linear", ROPE_LINEAR, true, nothing_more},
    {"dynamic", ROPE_DYNAMIC, true, read_dynamic},
    {"llama3", ROPE_LLAMA3, true, read_llama3},
    {"yarn", ROPE_YARN, true, read_yarn},
    {"longrope", ROPE_LONG, false, read_longrope},
    {"su", ROPE_LONG, false, read_longrope},      // the name in the first files of Phi 3
    {"mrope", ROPE_DEFAULT, false, nothing_more}, // of text alone, its three positions are one
    {"proportional", ROPE_PROPORTIONAL, false, read_proportional},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool read_kind(const cJSON *rope, ModelConfig *out, Error *err) {
    const char *old = NULL, *type = NULL;
    if (!json_string(rope, "type", "default", &old, err) || !json_string(rope, "rope_type", old, &type, err))
        return false;
    if (out->layout == LAYOUT_PHI3 && strcmp(type, "yarn") == 0) type = "longrope"; // the name in its very first files
    int kind = 0;
    while (kind < KINDS && strcmp(kinds[kind].name, type) != 0) kind++;
    if (kind == KINDS) {
        char *shown = text_printable(type, strlen(type), false);
        config_not_run(out, "rope_type \"%.40s\" is not supported", shown ? shown : "?");
        free(shown);
        return true;
    }
    out->rope_scaling = kinds[kind].scaling;
    return (!kinds[kind].has_factor || json_positive(rope, "factor", NAN, &out->rope_factor, err)) &&
           kinds[kind].read(rope, out, err);
}

static bool set_rotated(int dims, ModelConfig *out, Error *err) {
    out->rotated_dims = dims;
    if (dims > 0 && dims % 2 == 0) return true;
    return error_set(err, "head_dim %d is odd, or its rotated part %d is; rotary positions need an even number",
                     out->head_dim, dims);
}

static bool find_object(const cJSON *config, const char *key, const cJSON **out, Error *err) {
    *out = cJSON_GetObjectItemCaseSensitive(config, key);
    if (*out && !cJSON_IsNull(*out) && !cJSON_IsObject(*out)) return error_set(err, "\"%s\" must be an object", key);
    if (!*out || !cJSON_IsObject(*out) || !(*out)->child) *out = NULL;
    return true;
}

// Windowed layers have a theta of their own, and what scales the others does not scale them.
static bool read_window_rope(const cJSON *config, const cJSON *rope, ModelConfig *out, Error *err) {
    const char *type = NULL, *old = NULL;
    if (!json_positive(config, "rope_local_base_freq", out->rope_window_theta, &out->rope_window_theta, err) ||
        !json_positive(rope, "rope_theta", out->rope_window_theta, &out->rope_window_theta, err) ||
        !json_string(rope, "type", "default", &old, err) || !json_string(rope, "rope_type", old, &type, err))
        return false;
    if (strcmp(type, "default") != 0)
        config_not_run(out, "scaled rotary positions of windowed layers are not supported");
    return true;
}

// The object that scales, or NULL. The older key goes first. Gemma 3 has an object for each kind of layer.
static bool find_rope(const cJSON *config, const cJSON **rope, ModelConfig *out, Error *err) {
    const cJSON *old, *now;
    if (!find_object(config, "rope_scaling", &old, err) || !find_object(config, "rope_parameters", &now, err))
        return false;
    *rope = old ? old : now;
    if (out->rope_window_theta == 0) return true;
    const cJSON *full = cJSON_GetObjectItemCaseSensitive(now, "full_attention");
    *rope = old ? old : full;
    return json_positive(full, "rope_theta", out->rope_theta, &out->rope_theta, err) &&
           read_window_rope(config, cJSON_GetObjectItemCaseSensitive(now, "sliding_attention"), out, err);
}

// How much of every head is rotated. Most families rotate all of it, whatever the file says.
static bool read_partial(const cJSON *config, const cJSON *rope, const Family *family, ModelConfig *out, Error *err) {
    static const char *const keys[] = {"partial_rotary_factor", "rotary_pct", NULL};
    double partial = family->partial_rotary > 0 ? family->partial_rotary : 1;
    int64_t dims = out->latent.rotated;
    const bool counted = family_reads(family, "rotary_dim") && !cJSON_HasObjectItem(rope, "partial_rotary_factor");
    if (counted &&
        !json_integer(config, "rotary_dim", family->partial_rotary > 0 ? 0 : 64, 0, out->head_dim, &dims, err))
        return false;
    if (dims > 0) return set_rotated((int)dims, out, err);
    if ((family_reads(family, keys[0]) || family_reads(family, keys[1])) &&
        (!json_number(config, json_first_key(config, keys), partial, &partial, err) ||
         !json_number(rope, "partial_rotary_factor", partial, &partial, err)))
        return false;
    if (!(partial > 0 && partial <= 1))
        return error_set(err, "\"partial_rotary_factor\" must be above 0 and at most 1");
    return set_rotated((int)((double)out->head_dim * partial), out, err);
}

// Hunyuan's "dynamic" positions: alpha^(d / (d − 2)) times the theta, whatever the length. Then nothing else scales.
static bool read_alpha(const Family *family, const cJSON **rope, ModelConfig *out, Error *err) {
    const double dims = rope_dims(out);
    double alpha;
    if (!family->rope_alpha || !cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(*rope, "alpha"))) return true;
    if (!json_positive(*rope, "alpha", 1, &alpha, err)) return false;
    if (dims > 2) out->rope_theta *= pow(alpha, dims / (dims - 2));
    *rope = NULL;
    return true;
}

// The positions before they were scaled. Beside the object goes before inside (transformers 5), except with an object
// for each kind of layer; and where the family has a number of its own, inside does not count.
static bool read_original(const cJSON *config, const cJSON *rope, ModelConfig *out, Error *err) {
    static const char key[] = "original_max_position_embeddings";
    double original = out->rope_original_positions, inner = out->max_positions;
    if (original > 0) return json_positive(config, key, original, &out->rope_original_positions, err);
    if (!json_positive(rope, key, inner, &inner, err)) return false;
    if (out->rope_window_theta > 0) config = NULL;
    return json_positive(config, key, inner, &out->rope_original_positions, err);
}

// Behind the original positions queries grow with the position (Ministral 3); Llama 4 says elsewhere how.
static bool read_query_growth(const cJSON *rope, ModelConfig *out, Error *err) {
    QueryGrowth *growth = &out->query_growth;
    double beta;
    if (growth->unrotated) return true;
    growth->step = out->rope_original_positions;
    if (!json_number(rope, "llama_4_scaling_beta", 0, &beta, err)) return false;
    growth->rate = (float)beta;
    if (beta != 0 && rope_dims(out) != out->head_dim)
        config_not_run(out, "queries that grow and are rotated in part are not supported");
    return (beta >= 0 && isfinite(beta)) || error_set(err, "\"llama_4_scaling_beta\" must be a positive number or 0");
}

static bool read_mscales(const cJSON *rope, const Family *family, ModelConfig *out, Error *err) {
    if (!rope || !family->rope_mscales || out->rope_scaling != ROPE_LONG) return true;
    return json_positive(rope, "short_mscale", NAN, &out->rope_attention_factor, err) &&
           json_positive(rope, "long_mscale", NAN, &out->rope_long_factor, err);
}

bool config_read_rope(const cJSON *config, const Family *family, ModelConfig *out, Error *err) {
    static const char *const theta_keys[] = {"rope_theta", "rotary_emb_base", NULL};
    const cJSON *rope;
    out->rope_factor = 1;
    if (!json_positive(config, json_first_key(config, theta_keys), out->rope_theta, &out->rope_theta, err))
        return false;
    const bool own = family_reads(family, "rope_local_base_freq");
    if (out->rope_window_theta > 0 && !own) out->rope_window_theta = out->rope_theta;
    return find_rope(config, &rope, out, err) &&
           json_positive(rope, "rope_theta", out->rope_theta, &out->rope_theta, err) &&
           read_partial(config, rope, family, out, err) && read_original(config, rope, out, err) &&
           read_alpha(family, &rope, out, err) &&
           (!rope || read_kind(rope, out, err) || error_prefix(err, "rope_scaling or rope_parameters")) &&
           read_mscales(rope, family, out, err) && read_query_growth(rope, out, err);
}
