#include "loaders/mlx_names.h"

#include <stdio.h>
#include <string.h>

#define EXPERTS ".experts."
#define STACK ".switch_mlp."

// Mixtral and those after it call them by number, in block_sparse_moe.
static const char *const projections[][2] = {{"w1", "gate_proj"}, {"w2", "down_proj"}, {"w3", "up_proj"}};
enum { PROJECTIONS = sizeof projections / sizeof *projections, LONGEST = 160 }; // of names that are taken apart

bool mlx_stacks_experts(const ModelConfig *config) {
    static const char *const families[] = {"mixtral", "qwen2_moe", "qwen3_moe", "olmoe"};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(config->family, families[i]) == 0) return config->experts.count > 0;
    return false;
}

bool mlx_experts_name(const char *linear, char *out, size_t size) {
    const char *experts = strstr(linear, EXPERTS), *dot = strrchr(linear, '.');
    if (!experts || dot < experts + strlen(EXPERTS)) return false;
    const char *last = dot + 1;
    for (size_t i = 0; i < PROJECTIONS; i++)
        if (strcmp(last, projections[i][0]) == 0) last = projections[i][1];
    snprintf(out, size, "%.*s" STACK "%s", (int)(experts - linear), linear, last);
    return true;
}

static bool ends_with_block(const char *name, const char *end) {
    static const char block[] = "block_sparse_moe";
    const size_t length = sizeof block - 1;
    return (size_t)(end - name) >= length && memcmp(end - length, block, length) == 0;
}

static void name_apart(const void *context, size_t index, const Tensor *tensor, MatrixName *out) {
    const char *stack = strstr(tensor->name, STACK), *ending = strrchr(tensor->name, '.');
    (void)context, (void)index;
    if (strlen(tensor->name) > LONGEST) return;
    for (size_t i = 0; stack && i < PROJECTIONS; i++) {
        const char *name = stack + strlen(STACK), *projection = projections[i][1];
        const size_t length = strlen(projection);
        if (name + length != ending || memcmp(name, projection, length) != 0) continue;
        const int at = snprintf(out->text, sizeof out->text, "%.*s" EXPERTS, (int)(stack - tensor->name), tensor->name);
        out->expert_at = (size_t)at;
        snprintf(out->text + at, sizeof out->text - (size_t)at, ".%s%s",
                 ends_with_block(tensor->name, stack) ? projections[i][0] : projection, ending);
    }
}

bool mlx_take_apart(TensorFile *file, Error *err) {
    bool any = false;
    for (size_t i = 0; i < file->tensor_count; i++) any = any || strstr(file->tensors[i].name, STACK);
    return !any || tensor_file_rename(file, name_apart, NULL, err);
}
