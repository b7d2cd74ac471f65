#include "loaders/structure_parts.h"

#include <stddef.h>
#include <stdio.h>

// One linear of one expert, without its weight. Its input is its own: only the tokens that the router sends there.
static Linear *add_expert_linear(Builder *builder, int layer, int expert, const char *name, LinearRole role,
                                 int input) {
    const bool down = role == ROLE_DOWN;
    const Width inner = role == ROLE_GATE_UP ? WIDTH_TWO_EXPERT_FFN : WIDTH_EXPERT_FFN;
    char full[160], within[128];
    snprintf(within, sizeof within, "%s.%d.%s", builder->table->experts->experts, expert, name);
    builder_name(builder, layer, within, full, sizeof full);
    Linear *linear =
        builder_add_linear(builder, layer, full, role, down ? WIDTH_HIDDEN : inner, down ? inner : WIDTH_HIDDEN);
    if (!linear) return NULL;
    linear->number = layer;
    linear->expert = expert;
    linear->input = input;
    return linear;
}

static bool add_own_linear(Builder *builder, int layer, int expert, const char *name, LinearRole role, int input,
                           int fused) {
    Linear *linear = add_expert_linear(builder, layer, expert, name, role, input);
    if (!linear) return false;
    linear->fused_set = fused;
    return builder_take_weights(builder, linear, false);
}

static bool add_expert(Builder *builder, int layer, int expert) {
    const ExpertNames *names = builder->table->experts;
    int input = builder->out->input_count, fused = names->gate ? builder->fused_count++ : -1;
    builder->out->input_count += 2;
    return (!names->gate || add_own_linear(builder, layer, expert, names->gate, ROLE_GATE, input, fused)) &&
           add_own_linear(builder, layer, expert, names->up, ROLE_UP, input, fused) &&
           add_own_linear(builder, layer, expert, names->down, ROLE_DOWN, input + 1, -1);
}

// The tensor of all experts: a parameter, the weight of a module, or blocks of MXFP4.
static const Tensor *stacked_tensor(const Checkpoint *checkpoint, const char *name) {
    static const char *const endings[] = {"", ".weight", "_blocks"};
    const Tensor *found = NULL;
    for (size_t i = 0; !found && i < sizeof endings / sizeof *endings; i++) {
        char full[160];
        snprintf(full, sizeof full, "%s%s", name, endings[i]);
        found = checkpoint_find(checkpoint, full);
    }
    return found;
}

// The row of a stacked bias that belongs to this expert.
static bool take_stacked_bias(Builder *builder, const char *name, Linear *linear) {
    const uint64_t shape[] = {(uint64_t)builder->out->config.experts.count, linear->out};
    char full[160];
    const Tensor *bias;
    if (!builder->out->config.mlp_bias) return true;
    snprintf(full, sizeof full, "%s_bias", name);
    return builder_take(builder, full, "", shape, 2, &bias) &&
           stored_row(builder->out->stored, bias, (size_t)linear->expert, &linear->bias, builder->err);
}

// The matrix of a stacked tensor that belongs to this expert.
static bool take_stacked(Builder *builder, const char *name, Linear *linear) {
    const ModelStructure *out = builder->out;
    const Tensor *tensor = stacked_tensor(out->checkpoint, name);
    ExpertLayout layout;
    if (!tensor)
        return checkpoint_whole(out->checkpoint, builder->err) &&
               error_set(builder->err, "%s: tensor %s is missing", out->checkpoint->folder, name);
    if (!tensor_experts(out->checkpoint, tensor, &layout) || layout.count != (size_t)out->config.experts.count ||
        layout.out != linear->out || layout.in != linear->in)
        return error_set(builder->err, "%s: tensor %s: its shape is not that of %d experts, each [%zu, %zu]",
                         tensor->file, tensor->name, out->config.experts.count, linear->out, linear->in);
    linear->transposed = layout.transposed;
    builder->out->parameters += linear->out * linear->in;
    return stored_experts_known(out->stored, tensor, &layout, builder->err) &&
           stored_expert(out->stored, tensor, &layout, (size_t)linear->expert, linear->name, &linear->weight,
                         builder->err) &&
           take_stacked_bias(builder, name, linear);
}

static bool add_stacked_linear(Builder *builder, int layer, int expert, const char *name, LinearRole role, int input) {
    char stacked[160], within[128];
    snprintf(within, sizeof within, "%s.%s", builder->table->experts->experts, name);
    builder_name(builder, layer, within, stacked, sizeof stacked);
    Linear *linear = add_expert_linear(builder, layer, expert, name, role, input);
    return linear && take_stacked(builder, stacked, linear);
}

static bool add_stacked_expert(Builder *builder, int layer, int expert) {
    const ExpertNames *names = builder->table->experts;
    const int input = builder->out->input_count;
    builder->out->input_count += 2;
    return add_stacked_linear(builder, layer, expert, names->gate_up, ROLE_GATE_UP, input) &&
           add_stacked_linear(builder, layer, expert, names->down, ROLE_DOWN, input + 1);
}

static bool take_router_bias(Builder *builder, int layer) {
    const Experts *experts = &builder->out->config.experts;
    const ExpertNames *names = builder->table->experts;
    const uint64_t row[] = {1, (uint64_t)experts->count}, *shape = names->bias_is_row ? row : row + 1;
    return !experts->biased || builder_take_in_layer(builder, layer, names->bias, "", shape, names->bias_is_row ? 2 : 1,
                                                     &builder->out->layers[layer].router_bias);
}

// Some files have what others stack.
static void find_stacked(Builder *builder, int layer) {
    const ExpertNames *names = builder->table->experts;
    Experts *experts = &builder->out->config.experts;
    char name[160], full[200];
    builder_name(builder, layer, names->experts, name, sizeof name);
    snprintf(full, sizeof full, "%s.%s", name, names->gate_up ? names->gate_up : "");
    if (names->gate_up && names->gate && checkpoint_find(builder->out->checkpoint, full))
        experts->stacked = experts->halves = true;
}

bool builder_add_experts(Builder *builder, int layer) {
    const ExpertNames *names = builder->table->experts;
    const Experts *experts = &builder->out->config.experts;
    const Slot slot = experts->beside ? SLOT_ROUTER : SLOT_MLP;
    const LinearRow router = {names->router,      ROLE_ROUTER, WIDTH_EXPERTS, WIDTH_HIDDEN,
                              names->router_bias, slot,        FUSED_ALONE,   offsetof(LayerMap, router)};
    if (experts->beside && !builder_add_rows(builder, layer, builder->table->mlp)) return false;
    if (!builder_add_row(builder, layer, &router) || !take_router_bias(builder, layer) ||
        !builder_take_vector(builder, layer, names->scale, (size_t)experts->count,
                             &builder->out->layers[layer].expert_scale))
        return false;
    find_stacked(builder, layer);
    builder->out->layers[layer].first_expert = builder->out->linear_count;
    for (int expert = 0; expert < experts->count; expert++) {
        if (!(experts->stacked ? add_stacked_expert : add_expert)(builder, layer, expert)) return false;
    }
    return !names->shared || !experts->shared_ffn || builder_add_rows(builder, layer, names->shared);
}
