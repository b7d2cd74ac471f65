// Checkpoints of which nothing is known but their tensors: every matrix that looks like the weight of a linear.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/structure_parts.h"

// Parts of names of matrices that are looked up rather than multiplied, or belong to norms.
static const char *const not_linears[] = {"embed", "norm",     "wte",           "wpe",
                                          "ln_",   "position", "shared.weight", "relative_attention_bias"};

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
};

static bool looks_like_linear(const Tensor *tensor) {
    if (tensor->rank != 2 || !dtype_is_float16_or_32(tensor->dtype)) return false;
    if (tensor->shape[0] < 2 || tensor->shape[1] < 2) return false;
    for (size_t i = 0; i < sizeof not_linears / sizeof *not_linears; i++) {
        if (strstr(tensor->name, not_linears[i])) return false;
    }
    return true;
}

static LinearRole role_of(const char *name) {
    const char *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (strcmp(roles[i].name, last) == 0) return roles[i].role;
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
// read, which is no reason to leave out all the rest: `reason` tells.
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

static bool set_linear(const Tensor *tensor, Linear *out) {
    const char *ending = ".weight";
    size_t length = strlen(tensor->name), cut = strlen(ending);
    if (length > cut && strcmp(tensor->name + length - cut, ending) == 0) length -= cut;
    char *name = strndup(tensor->name, length);
    if (!name) return false;
    LinearRole role = role_of(name);
    *out = (Linear){.name = name,
                    .role = role,
                    .layer = layer_of(name),
                    .expert = -1,
                    .out = (size_t)tensor->shape[0],
                    .in = (size_t)tensor->shape[1],
                    .weight = tensor,
                    .fused_set = -1,
                    .quantizable = role != ROLE_HEAD};
    return true;
}

bool structure_list(ModelStructure *out, Error *err) {
    const Checkpoint *checkpoint = out->checkpoint;
    Error unread = {0};
    out->linears = array_new(checkpoint->tensor_count, sizeof *out->linears);
    if (!out->linears) return error_memory(err, "the list of linears");
    out->config.layers = 0;
    for (size_t i = 0; i < checkpoint->tensor_count; i++) {
        const Tensor *tensor = whole_tensor(out, checkpoint->by_name[i], &unread);
        if (!tensor) continue;
        out->parameters += tensor_elements(tensor);
        if (!looks_like_linear(tensor)) continue;
        Linear *linear = &out->linears[out->linear_count];
        if (!set_linear(tensor, linear)) return error_memory(err, tensor->name);
        out->linear_count++;
        if (linear->layer >= out->config.layers) out->config.layers = linear->layer + 1;
    }
    if (out->linear_count == 0 && unread.message[0]) return error_set(err, "%s", unread.message);
    if (out->linear_count == 0)
        return error_set(err, "%s: holds no matrices of F32, F16 or BF16 that could be quantized (%s)",
                         checkpoint->folder, out->config.not_run);
    qsort(out->linears, (size_t)out->linear_count, sizeof *out->linears, compare_linears);
    for (int i = 0; i < out->linear_count; i++) out->linears[i].input = i;
    out->input_count = out->linear_count;
    return true;
}
