// Checkpoints of which nothing is known but their tensors: every matrix that looks like the weight of a linear.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/structure_parts.h"

#define MOST_EXPERTS ((size_t)1 << 14) // of one tensor

static const struct {
    const char *name; // the last part of a tensor's name
    LinearRole role;
} roles[] = {
    {"q_proj", ROLE_Q},
    {"k_proj", ROLE_K},
    {"v_proj", ROLE_V},
    {"o_proj", ROLE_O},
    {"out_proj", ROLE_O},
    {"q", ROLE_Q},
    {"k", ROLE_K},
    {"v", ROLE_V},
    {"o", ROLE_O},
    {"query", ROLE_Q},
    {"key", ROLE_K},
    {"value", ROLE_V},
    {"gate_proj", ROLE_GATE},
    {"up_proj", ROLE_UP},
    {"down_proj", ROLE_DOWN},
    {"wi_0", ROLE_GATE},
    {"wi_1", ROLE_UP},
    {"wi", ROLE_FC1},
    {"wo", ROLE_FC2},
    {"fc1", ROLE_FC1},
    {"fc2", ROLE_FC2},
    {"lm_head", ROLE_HEAD},
    {"qkv_proj", ROLE_QKV},
    {"gate_up_proj", ROLE_GATE_UP},
    {"wq", ROLE_Q},
    {"wk", ROLE_K},
    {"wv", ROLE_V},
    {"w1", ROLE_GATE},
    {"v1", ROLE_UP},
    {"w3", ROLE_UP},
    {"w2", ROLE_DOWN},
    {"w13", ROLE_GATE_UP},
    {"input_linear", ROLE_GATE_UP},
    {"output_linear", ROLE_DOWN},
    {"Wqkv", ROLE_QKV},
    {"c_attn", ROLE_QKV},
    {"in_proj_weight", ROLE_QKV},
    {"query_key_value", ROLE_QKV},
    {"c_fc", ROLE_FC1},
    {"dense_h_to_4h", ROLE_FC1},
    {"dense_4h_to_h", ROLE_FC2},
    // Of GGUF; behind the first four there may be "_exps" and "_shexp" (experts).
    {"ffn_gate", ROLE_GATE},
    {"ffn_up", ROLE_UP},
    {"ffn_down", ROLE_DOWN},
    {"ffn_gate_up", ROLE_GATE_UP},
    {"attn_q", ROLE_Q},
    {"attn_k", ROLE_K},
    {"attn_v", ROLE_V},
    {"attn_qkv", ROLE_QKV},
    {"attn_output", ROLE_O},
};

typedef struct Listing {
    ModelStructure *out;
    size_t capacity;
    Error *err;
    Error unread; // the first reason why something that would be listed cannot be read
} Listing;

static LinearRole role_of(const char *name, TensorKind kind) {
    if (kind == TENSOR_ROUTER) return ROLE_ROUTER;
    if (kind == TENSOR_HEAD) return ROLE_HEAD;
    const char *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name, *ending = strstr(last, "_exps");
    if (!ending) ending = strstr(last, "_shexp");
    const size_t length = ending ? (size_t)(ending - last) : strlen(last);
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (strncmp(roles[i].name, last, length) == 0 && !roles[i].name[length]) return roles[i].role;
    }
    return ROLE_OTHER;
}

// The first part of the name that is a number, −1 when there is none.
static int layer_of(const char *name) {
    for (const char *part = name; part; part = strchr(part, '.')) {
        part += *part == '.';
        size_t digits = strspn(part, "0123456789");
        if (digits && digits < 6 && (part[digits] == '.' || !part[digits])) return atoi(part);
    }
    return -1;
}

// The number behind "experts", −1 when there is none.
static int expert_of(const char *name) {
    const char *found = strstr(name, "experts.");
    return found && isdigit((unsigned char)found[8]) ? atoi(found + 8) : -1;
}

// As people sort: numbers by their value.
static int compare_names(const char *a, const char *b) {
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            char *a_end, *b_end;
            unsigned long long x = strtoull(a, &a_end, 10), y = strtoull(b, &b_end, 10);
            if (x != y) return x < y ? -1 : 1;
            a = a_end;
            b = b_end;
        } else if (*a != *b) {
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        } else {
            a++;
            b++;
        }
    }
    return (*a != 0) - (*b != 0);
}

static int compare_linears(const void *a, const void *b) {
    return compare_names(((const Linear *)a)->name, ((const Linear *)b)->name);
}

// The tensor itself, or the matrix whose codes it holds; NULL for other parts of such a matrix, and for what cannot be
// read. That is no reason to leave out the rest; `reason` says why.
static const Tensor *whole_tensor(const ModelStructure *out, const Tensor *tensor, Error *reason) {
    char name[512];
    const Tensor *found = tensor;
    if (stored_is_part(out->checkpoint, tensor, name, sizeof name)) {
        if (!name[0]) return NULL;
    } else {
        snprintf(name, sizeof name, "%s", tensor->name);
    }
    return stored_find(out->stored, name, &found, reason) ? found : NULL;
}

// Takes `name` over.
static Linear *listing_add(Listing *listing, char *name, const Tensor *weight, TensorKind kind) {
    ModelStructure *out = listing->out;
    if (!name || !array_grow(&out->linears, (size_t)out->linear_count, &listing->capacity, sizeof *out->linears)) {
        free(name);
        error_memory(listing->err, "the list of linears");
        return NULL;
    }
    const LinearRole role = role_of(name, kind);
    Linear *linear = &out->linears[out->linear_count++];
    *linear = (Linear){.name = name,
                       .role = role,
                       .layer = layer_of(name),
                       .expert = expert_of(name),
                       .out = (size_t)weight->shape[0],
                       .in = (size_t)weight->shape[1],
                       .weight = weight,
                       .transposed = kind == TENSOR_LINEAR_TRANSPOSED,
                       .fused_set = -1,
                       .quantizable = role != ROLE_HEAD && role != ROLE_ROUTER};
    if (linear->layer >= out->config.layers) out->config.layers = linear->layer + 1;
    return linear;
}

static bool add_matrix(Listing *listing, const Tensor *tensor, TensorKind kind) {
    const TensorName name = tensor_name_parts(tensor->name);
    if (kind == TENSOR_LINEAR_TRANSPOSED && !stored_transposed(listing->out->stored, tensor, &tensor, listing->err))
        return false;
    return listing_add(listing, strndup(name.full, (size_t)name.end), tensor, kind);
}

// "mlp.experts.gate_up_proj" → "mlp.experts.7.gate_up_proj".
static char *name_of_expert(const Tensor *tensor, const ExpertLayout *layout, size_t expert) {
    const TensorName parts = tensor_name_parts(tensor->name);
    const int end = layout->mxfp4 ? parts.end - (int)strlen("_blocks") : parts.end;
    char *name;
    int n =
        asprintf(&name, "%.*s%zu.%.*s", parts.begin, parts.full, expert, end - parts.begin, parts.full + parts.begin);
    return n < 0 ? NULL : name;
}

static bool add_experts(Listing *listing, const Tensor *tensor) {
    ExpertLayout layout;
    if (!tensor_experts(listing->out->checkpoint, tensor, &layout)) return true;
    if (layout.count > MOST_EXPERTS) return true;
    Error reason = {0};
    if (!stored_experts_known(listing->out->stored, tensor, &layout, &reason)) {
        if (!listing->unread.message[0]) listing->unread = reason;
        return true;
    }
    for (size_t expert = 0; expert < layout.count; expert++) {
        char *name = name_of_expert(tensor, &layout, expert);
        const Tensor *weight;
        if (!name) return error_memory(listing->err, tensor->name);
        if (!stored_expert(listing->out->stored, tensor, &layout, expert, name, &weight, listing->err)) {
            free(name);
            return false;
        }
        Linear *linear = listing_add(listing, name, weight, TENSOR_EXPERTS);
        if (!linear) return false;
        linear->expert = (int)expert;
        linear->transposed = layout.transposed;
    }
    return true;
}

static bool add_tensor(Listing *listing, const Tensor *in_file) {
    ModelStructure *out = listing->out;
    Error reason = {0};
    const Tensor *tensor = whole_tensor(out, in_file, &reason);
    if (!listing->unread.message[0]) listing->unread = reason;
    if (!tensor) return true;
    const TensorKind kind = tensor_kind(out->checkpoint, tensor);
    out->parameters += tensor_elements(tensor) * (kind == TENSOR_EXPERTS && tensor->rank == 4 ? 2 : 1);
    if (kind == TENSOR_EXPERTS) return add_experts(listing, tensor);
    if (tensor->rank != 2 || !dtype_is_float16_or_32(tensor->dtype) || !tensor_elements(tensor)) return true;
    return !tensor_kind_is_linear(kind) || add_matrix(listing, tensor, kind);
}

bool structure_list(ModelStructure *out, Error *err) {
    const Checkpoint *checkpoint = out->checkpoint;
    Listing listing = {.out = out, .err = err};
    if (!checkpoint_whole(checkpoint, err)) return false;
    out->config.layers = 0;
    for (size_t i = 0; i < checkpoint->tensor_count; i++) {
        if (!add_tensor(&listing, checkpoint->by_name[i])) return false;
    }
    snprintf(out->unread, sizeof out->unread, "%.*s", (int)sizeof out->unread - 1, listing.unread.message);
    text_mend(out->unread);
    if (out->linear_count == 0 && listing.unread.message[0]) return error_set(err, "%s", listing.unread.message);
    if (out->linear_count == 0)
        return error_set(err, "%s: holds no matrices of F32, F16 or BF16 that could be quantized (%s)",
                         checkpoint->path, out->config.not_run);
    qsort(out->linears, (size_t)out->linear_count, sizeof *out->linears, compare_linears);
    for (int i = 0; i < out->linear_count; i++) out->linears[i].input = i;
    out->input_count = out->linear_count;
    return true;
}
