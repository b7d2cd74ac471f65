#include "loaders/structure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

// What a layer of the Llama layout holds, in execution order. Other layouts become further tables.
typedef enum Size { SIZE_HIDDEN, SIZE_QUERIES, SIZE_KEYS, SIZE_FFN } Size;
typedef enum Bias { BIAS_ATTENTION, BIAS_OUTPUT, BIAS_MLP } Bias;

typedef struct LinearRow {
    const char *name;
    LinearRole role;
    Size out, in;
    Bias bias;
    int input; // 0: attention norm, 1: attention's result, 2: MLP norm, 3: the gated product
    int fused; // 0: q, k, v; 1: gate, up; −1 alone
} LinearRow;

static const LinearRow llama_rows[] = {
    {"self_attn.q_proj", ROLE_Q, SIZE_QUERIES, SIZE_HIDDEN, BIAS_ATTENTION, 0, 0},
    {"self_attn.k_proj", ROLE_K, SIZE_KEYS, SIZE_HIDDEN, BIAS_ATTENTION, 0, 0},
    {"self_attn.v_proj", ROLE_V, SIZE_KEYS, SIZE_HIDDEN, BIAS_ATTENTION, 0, 0},
    {"self_attn.o_proj", ROLE_O, SIZE_HIDDEN, SIZE_QUERIES, BIAS_OUTPUT, 1, -1},
    {"mlp.gate_proj", ROLE_GATE, SIZE_FFN, SIZE_HIDDEN, BIAS_MLP, 2, 1},
    {"mlp.up_proj", ROLE_UP, SIZE_FFN, SIZE_HIDDEN, BIAS_MLP, 2, 1},
    {"mlp.down_proj", ROLE_DOWN, SIZE_HIDDEN, SIZE_FFN, BIAS_MLP, 3, -1},
};
enum {
    LINEARS_PER_LAYER = sizeof llama_rows / sizeof *llama_rows,
    INPUTS_PER_LAYER = 4,
    FUSED_PER_LAYER = 2,
    NORMS_PER_LAYER = 2
};

typedef struct Builder {
    ModelStructure *out;
    const char *prefix; // "model." or ""
    Error *err;
} Builder;

const char *role_name(LinearRole role) {
    static const char *const names[] = {"q",    "k",   "v",   "o",      "gate", "up",
                                        "down", "fc1", "fc2", "router", "head", "other"};
    return (unsigned)role < sizeof names / sizeof *names ? names[role] : "other";
}

// ---------------------------------------------------------------------------------------------------------------
// tensors

static void print_shape(Text *text, const uint64_t *shape, int rank) {
    text_addf(text, "[");
    for (int i = 0; i < rank; i++) text_addf(text, "%s%llu", i ? ", " : "", (unsigned long long)shape[i]);
    text_addf(text, "]");
}

static bool check_tensor(const Tensor *tensor, const uint64_t *shape, int rank, Error *err) {
    if (!dtype_is_float16_or_32(tensor->dtype)) {
        return error_set(
            err,
            "%s: tensor %s: elements of type %s cannot be used as weights; supported: F32, F16, BF16, F64, "
            "and matrices of F8_E4M3, F8_E5M2, I8 and U8",
            tensor->file, tensor->name, dtype_name(tensor->dtype));
    }
    bool same = tensor->rank == rank;
    for (int i = 0; same && i < rank; i++) same = tensor->shape[i] == shape[i];
    if (same) return true;
    Text text = {0};
    print_shape(&text, tensor->shape, tensor->rank);
    text_addf(&text, ", but config.json makes it ");
    print_shape(&text, shape, rank);
    error_set(err, "%s: tensor %s: its shape is %s", tensor->file, tensor->name, text.data ? text.data : "wrong");
    text_free(&text);
    return false;
}

// The tensor "<name><ending>" of the given shape, counted as parameters. `rank` 1: only shape[0].
static bool take_tensor(const Builder *builder, const char *name, const char *ending, const uint64_t *shape, int rank,
                        const Tensor **out) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", name, ending);
    if (!stored_find(builder->out->stored, full, out, builder->err)) return false;
    if (!*out) return error_set(builder->err, "%s: tensor %s is missing", builder->out->checkpoint->folder, full);
    builder->out->parameters += tensor_elements(*out);
    return check_tensor(*out, shape, rank, builder->err);
}

// ---------------------------------------------------------------------------------------------------------------
// building

static size_t size_of(const ModelConfig *config, Size size) {
    switch (size) {
    case SIZE_QUERIES: return (size_t)config->heads * (size_t)config->head_dim;
    case SIZE_KEYS: return (size_t)config->kv_heads * (size_t)config->head_dim;
    case SIZE_FFN: return (size_t)config->ffn;
    case SIZE_HIDDEN: break;
    }
    return (size_t)config->hidden;
}

static bool has_bias(const ModelConfig *config, Bias bias) {
    return bias == BIAS_ATTENTION ? config->attention_bias
           : bias == BIAS_OUTPUT  ? config->output_bias
                                  : config->mlp_bias;
}

static bool add_norm(Builder *builder, int layer, const char *name, int input) {
    ModelStructure *out = builder->out;
    Norm *norm = &out->norms[out->norm_count];
    *norm = (Norm){.name = strdup(name), .layer = layer, .input = input};
    if (!norm->name) return error_memory(builder->err, name);
    out->norm_count++;
    uint64_t shape[] = {(uint64_t)out->config.hidden};
    return take_tensor(builder, name, ".weight", shape, 1, &norm->gain);
}

static bool add_layer_norm(Builder *builder, int layer, const char *name, int input) {
    char full[128];
    snprintf(full, sizeof full, "%slayers.%d.%s", builder->prefix, layer, name);
    return add_norm(builder, layer, full, input);
}

static bool take_weights(const Builder *builder, Linear *linear, bool bias) {
    uint64_t shape[] = {linear->out, linear->in};
    return take_tensor(builder, linear->name, ".weight", shape, 2, &linear->weight) &&
           (!bias || take_tensor(builder, linear->name, ".bias", shape, 1, &linear->bias));
}

static bool add_row(Builder *builder, int layer, const LinearRow *row) {
    ModelStructure *out = builder->out;
    char name[128];
    snprintf(name, sizeof name, "%slayers.%d.%s", builder->prefix, layer, row->name);
    Linear *linear = &out->linears[out->linear_count];
    *linear = (Linear){
        .name = strdup(name),
        .role = row->role,
        .layer = layer,
        .expert = -1,
        .out = size_of(&out->config, row->out),
        .in = size_of(&out->config, row->in),
        .input = layer * INPUTS_PER_LAYER + row->input,
        .fused_set = row->fused < 0 ? -1 : layer * FUSED_PER_LAYER + row->fused,
        .quantizable = true,
    };
    if (!linear->name) return error_memory(builder->err, name);
    out->linear_count++;
    return take_weights(builder, linear, has_bias(&out->config, row->bias));
}

static LayerMap layer_map(int layer) {
    int linear = layer * LINEARS_PER_LAYER, norm = layer * NORMS_PER_LAYER;
    return (LayerMap){.q = linear,
                      .k = linear + 1,
                      .v = linear + 2,
                      .o = linear + 3,
                      .gate = linear + 4,
                      .up = linear + 5,
                      .down = linear + 6,
                      .attention_norm = norm,
                      .mlp_norm = norm + 1};
}

// Where the scales of each input go (methods.md section 3).
static void set_folds(ModelStructure *out, const LayerMap *map) {
    const struct {
        int linear;
        FoldKind fold;
        int index;
    } folds[] = {
        {map->q, FOLD_NORM, map->attention_norm}, {map->k, FOLD_NORM, map->attention_norm},
        {map->v, FOLD_NORM, map->attention_norm}, {map->o, FOLD_LINEAR_ROWS, map->v},
        {map->gate, FOLD_NORM, map->mlp_norm},    {map->up, FOLD_NORM, map->mlp_norm},
        {map->down, FOLD_LINEAR_ROWS, map->up},
    };
    for (size_t i = 0; i < sizeof folds / sizeof *folds; i++) {
        out->linears[folds[i].linear].fold = folds[i].fold;
        out->linears[folds[i].linear].fold_index = folds[i].index;
    }
}

static bool add_layer(Builder *builder, int layer) {
    ModelStructure *out = builder->out;
    for (size_t i = 0; i < LINEARS_PER_LAYER; i++) {
        if (!add_row(builder, layer, &llama_rows[i])) return false;
    }
    out->layers[layer] = layer_map(layer);
    set_folds(out, &out->layers[layer]);
    return add_layer_norm(builder, layer, "input_layernorm", out->linears[out->layers[layer].q].input) &&
           add_layer_norm(builder, layer, "post_attention_layernorm", out->linears[out->layers[layer].gate].input);
}

// The head keeps FOLD_NONE: scaling the final norm is exact too, but the head is left alone.
static bool add_head(Builder *builder) {
    ModelStructure *out = builder->out;
    char name[64];
    snprintf(name, sizeof name, "%snorm", builder->prefix);
    out->final_norm = out->norm_count;
    int input = out->config.layers * INPUTS_PER_LAYER;
    out->input_count = input + 1;
    if (!add_norm(builder, -1, name, input)) return false;
    out->head = out->linear_count;
    Linear *head = &out->linears[out->linear_count];
    *head = (Linear){.name = strdup("lm_head"),
                     .role = ROLE_HEAD,
                     .layer = -1,
                     .expert = -1,
                     .out = (size_t)out->config.vocab,
                     .in = (size_t)out->config.hidden,
                     .input = input,
                     .fused_set = -1};
    if (!head->name) return error_memory(builder->err, "lm_head");
    out->linear_count++;
    if (!out->config.tied_head) return take_weights(builder, head, false);
    head->weight = out->embedding;
    return true;
}

// Some files were saved from the model without its head, and then lack the prefix.
static bool find_prefix(Builder *builder) {
    static const char *const prefixes[] = {"model.", ""};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        char name[64];
        snprintf(name, sizeof name, "%sembed_tokens.weight", prefixes[i]);
        builder->prefix = prefixes[i];
        if (stored_has(builder->out->checkpoint, name)) return true;
    }
    return error_set(builder->err,
                     "%s: tensor model.embed_tokens.weight is missing: this is not a checkpoint of a %s model",
                     builder->out->checkpoint->folder, builder->out->config.family);
}

static bool build(Builder *builder) {
    ModelStructure *out = builder->out;
    const ModelConfig *config = &out->config;
    if (!stored_open(out->checkpoint, &out->stored, builder->err) || !find_prefix(builder)) return false;
    size_t layers = (size_t)config->layers;
    out->linears = array_new(layers * LINEARS_PER_LAYER + 1, sizeof *out->linears);
    out->norms = array_new(layers * NORMS_PER_LAYER + 1, sizeof *out->norms);
    out->layers = array_new(layers, sizeof *out->layers);
    if (!out->linears || !out->norms || !out->layers) return error_memory(builder->err, "the list of linears");
    char name[64];
    snprintf(name, sizeof name, "%sembed_tokens", builder->prefix);
    uint64_t shape[] = {(uint64_t)config->vocab, (uint64_t)config->hidden};
    if (!take_tensor(builder, name, ".weight", shape, 2, &out->embedding)) return false;
    for (int layer = 0; layer < config->layers; layer++) {
        if (!add_layer(builder, layer)) return false;
    }
    return add_head(builder);
}

bool structure_build(const Checkpoint *checkpoint, const ModelConfig *config, ModelStructure *out, Error *err) {
    *out = (ModelStructure){.config = *config, .checkpoint = checkpoint};
    Builder builder = {.out = out, .err = err};
    if (build(&builder)) return true;
    structure_free(out);
    return false;
}

void structure_free(ModelStructure *structure) {
    for (int i = 0; i < structure->linear_count; i++) free(structure->linears[i].name);
    for (int i = 0; i < structure->norm_count; i++) free(structure->norms[i].name);
    free(structure->linears);
    free(structure->norms);
    free(structure->layers);
    stored_close(structure->stored);
    *structure = (ModelStructure){0};
}

int structure_find(const ModelStructure *structure, const char *linear_name) {
    for (int i = 0; i < structure->linear_count; i++) {
        if (strcmp(structure->linears[i].name, linear_name) == 0) return i;
    }
    return -1;
}

const char *structure_stored(const ModelStructure *structure) {
    const char *found = NULL;
    for (int i = 0; i < structure->linear_count; i++) {
        const char *stored = structure->linears[i].weight->stored;
        if (found && stored && strcmp(found, stored) != 0) return "quantized in several ways";
        if (stored) found = stored;
    }
    return found;
}

void linear_short_name(const Linear *linear, char *out, size_t size) {
    if (linear->layer < 0) {
        snprintf(out, size, "%s", role_name(linear->role));
        return;
    }
    const char *dot = strrchr(linear->name, '.');
    if (linear->expert >= 0)
        snprintf(out, size, "%d %s %d", linear->layer, dot ? dot + 1 : linear->name, linear->expert);
    else
        snprintf(out, size, "%d %s", linear->layer, dot ? dot + 1 : linear->name);
}
