#include "model/quantized_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "quant/lae.h"

// What one linear follows now.
typedef struct Following {
    Decision decision; // all zero: left in its own precision
    WeightError error;
    float *factors;        // [in], folded or divided at run time; NULL when its input is not equalized
    uint64_t factors_hash; // 0 without factors
    bool folded;           // the factors are in the gain of the norm before it
} Following;

struct QuantizedModel {
    Transformer *transformer;
    const ModelStructure *structure;
    Following *linears;  // [linear_count]
    int *members;        // [linear_count]: linears sorted by their input
    int *group_start;    // [input_count + 1]: members of an input: group_start[input] … group_start[input + 1] − 1
    int *norm_of_input;  // [input_count]: the norm that feeds it, or −1
    uint64_t *norm_hash; // [norm_count]: of the factors its gain is divided by; 0 none
};

// ---- The groups of linears that share an input ----

static bool make_groups(QuantizedModel *model, Error *err) {
    const ModelStructure *structure = model->structure;
    size_t inputs = (size_t)structure->input_count;
    model->members = array_new((size_t)structure->linear_count, sizeof *model->members);
    model->group_start = array_new(inputs + 1, sizeof *model->group_start);
    model->norm_of_input = array_new(inputs, sizeof *model->norm_of_input);
    int *next = array_new(inputs, sizeof *next);
    bool ok = model->members && model->group_start && model->norm_of_input && next;
    if (!ok) {
        free(next);
        return error_memory(err, "quantized model");
    }
    for (int i = 0; i < structure->linear_count; i++) model->group_start[structure->linears[i].input + 1]++;
    for (size_t i = 0; i < inputs; i++) {
        model->group_start[i + 1] += model->group_start[i];
        next[i] = model->group_start[i];
        model->norm_of_input[i] = -1;
    }
    for (int i = 0; i < structure->linear_count; i++) model->members[next[structure->linears[i].input]++] = i;
    for (int i = 0; i < structure->norm_count; i++)
        if (structure->norms[i].input >= 0) model->norm_of_input[structure->norms[i].input] = i;
    free(next);
    return true;
}

bool quantized_model_new(const Transformer *base, QuantizedModel **out, Error *err) {
    *out = NULL;
    QuantizedModel *model = array_new(1, sizeof *model);
    if (!model) return error_memory(err, "quantized model");
    model->structure = transformer_structure(base);
    model->linears = array_new((size_t)model->structure->linear_count, sizeof *model->linears);
    model->norm_hash = array_new((size_t)model->structure->norm_count, sizeof *model->norm_hash);
    bool ok = model->linears && model->norm_hash;
    if (!ok) error_memory(err, "quantized model");
    if (!ok || !make_groups(model, err) || !transformer_variant(base, &model->transformer, err)) {
        quantized_model_free(model);
        return false;
    }
    *out = model;
    return true;
}

void quantized_model_free(QuantizedModel *model) {
    if (!model) return;
    for (int i = 0; model->linears && i < model->structure->linear_count; i++) free(model->linears[i].factors);
    transformer_free(model->transformer);
    free(model->linears);
    free(model->members);
    free(model->group_start);
    free(model->norm_of_input);
    free(model->norm_hash);
    free(model);
}

Transformer *quantized_model_transformer(QuantizedModel *model) { return model->transformer; }

const WeightError *quantized_model_weight_error(const QuantizedModel *model, int linear) {
    const Following *following = &model->linears[linear];
    return following->decision.quantized ? &following->error : NULL;
}

const float *quantized_model_factors(const QuantizedModel *model, int linear) {
    const Following *following = &model->linears[linear];
    return following->folded ? following->factors : NULL;
}

// ---- Following a plan ----

// One linear of a group on its way to the plan.
typedef struct Change {
    int linear;
    bool needed;
    Following wanted;
    Weight *weight; // NULL: back to the dense one
} Change;

typedef struct Group {
    int input;
    Change *changes; // [count]
    int count;
    int norm;  // the norm before the input, or −1
    bool fold; // the factors go into its gain
    uint64_t norm_hash;
} Group;

// A linear that keeps its input in floating point has nothing to equalize it for.
static bool equalized(const Decision *decision) {
    return decision->quantized && decision->lae && decision->activations != POLICY_NONE;
}

// The gain of a norm is read by all linears behind it: factors can only be folded into it when all of them take part
// with the same ones. Else each divides at run time, which is the same function.
static bool can_fold(const QuantizedModel *model, const Group *group, const Plan *plan) {
    const int *members = model->members + model->group_start[group->input];
    const Decision *first = &plan->decisions[members[0]];
    for (int i = 0; i < group->count; i++) {
        const Decision *decision = &plan->decisions[members[i]];
        if (!equalized(decision) || decision->lae_alpha != first->lae_alpha) return false;
        if (decision->fold != FOLD_NORM || decision->fold_index != group->norm) return false;
    }
    return group->norm >= 0;
}

static bool make_factors(const Linear *linear, const Decision *decision, const Measured *measured, Following *out,
                         Error *err) {
    const InputMeasure *input = measured ? &measured->inputs[linear->input] : NULL;
    if (!input || !input->known)
        return error_set(err, "%s: the plan equalizes its input, but the input was not measured: calibrate first",
                         linear->name);
    out->factors = array_new(linear->in, sizeof(float));
    if (!out->factors) return error_memory(err, linear->name);
    lae_factors(input->channel_absmax, linear->in, (double)decision->lae_alpha, out->factors);
    out->factors_hash = hash_bytes(HASH_START, out->factors, linear->in * sizeof(float));
    return true;
}

static bool same(const Following *a, const Following *b) {
    if (!a->decision.quantized || !b->decision.quantized) return a->decision.quantized == b->decision.quantized;
    return a->factors_hash == b->factors_hash && a->folded == b->folded && decision_equal(&a->decision, &b->decision);
}

static void group_free(const QuantizedModel *model, Group *group) {
    Backend *backend = transformer_backend(model->transformer);
    for (int i = 0; i < group->count; i++) {
        if (group->changes[i].weight) backend->ops->weight_free(backend, group->changes[i].weight);
        free(group->changes[i].wanted.factors);
    }
    free(group->changes);
    group->changes = NULL;
}

// What every linear of the group should follow, and whether it does already.
static bool group_plan(const QuantizedModel *model, Group *group, const Plan *plan, const Measured *measured,
                       Error *err) {
    const int *members = model->members + model->group_start[group->input];
    for (int i = 0; i < group->count; i++) {
        Change *change = &group->changes[i];
        const Decision *decision = &plan->decisions[members[i]];
        change->linear = members[i];
        change->wanted.decision = *decision;
        change->wanted.folded = group->fold;
        if (equalized(decision) &&
            !make_factors(&model->structure->linears[members[i]], decision, measured, &change->wanted, err))
            return false;
        if (group->fold) group->norm_hash = change->wanted.factors_hash;
        change->needed = !same(&model->linears[members[i]], &change->wanted);
    }
    return true;
}

static bool group_new(const QuantizedModel *model, int input, const Plan *plan, const Measured *measured, Group *out,
                      Error *err) {
    *out = (Group){.input = input, .norm = model->norm_of_input[input]};
    out->count = model->group_start[input + 1] - model->group_start[input];
    out->changes = array_new((size_t)out->count, sizeof *out->changes);
    if (!out->changes) {
        out->count = 0;
        return error_memory(err, "quantized model");
    }
    out->fold = out->count > 0 && can_fold(model, out, plan);
    if (group_plan(model, out, plan, measured, err)) return true;
    group_free(model, out);
    return false;
}

static ActivationScheme scheme_of(const Following *wanted) {
    ActivationScheme scheme = {.mode = ACTIVATION_NONE, .scale = wanted->decision.activation_scale};
    if (wanted->decision.activations == POLICY_STATIC) scheme.mode = ACTIVATION_STATIC;
    if (wanted->decision.activations == POLICY_TOKEN) scheme.mode = ACTIVATION_TOKEN;
    if (!wanted->folded) scheme.divisor = wanted->factors;
    return scheme;
}

// Quantizes and packs one linear. The plain codes live only in here: they are as large as the weight itself.
static bool pack(const QuantizedModel *model, Change *change, Error *err) {
    Backend *backend = transformer_backend(model->transformer);
    const Linear *linear = &model->structure->linears[change->linear];
    const Following *wanted = &change->wanted;
    QuantizedWeight plain = {0};
    float *bias = NULL;
    if (!quantize_linear(linear, &wanted->decision, wanted->factors, &plain, &change->wanted.error, err)) return false;
    ActivationScheme scheme = scheme_of(wanted);
    bool ok = checkpoint_intact(model->structure->checkpoint, err) && linear_bias(linear, &bias, err) &&
              backend->ops->weight_quantized(backend, &plain, &scheme, bias, &change->weight, err);
    quantized_weight_free(&plain);
    free(bias);
    return ok || error_prefix(err, "%s", linear->name);
}

static bool prepare(const QuantizedModel *model, Group *group, Progress *progress, Error *err) {
    for (int i = 0; i < group->count; i++) {
        Change *change = &group->changes[i];
        if (progress_should_stop(progress)) return error_stopped(err);
        if (change->needed && change->wanted.decision.quantized && !pack(model, change, err)) return false;
        progress_add(progress, 1);
    }
    return true;
}

// Sets the gain first: that alone can fail, and nothing has changed then.
static bool switch_norm(QuantizedModel *model, const Group *group, bool *changed, Error *err) {
    if (group->norm < 0 || model->norm_hash[group->norm] == group->norm_hash) return true;
    const float *factors = group->fold ? group->changes[0].wanted.factors : NULL;
    if (!transformer_set_norm_divisor(model->transformer, group->norm, factors, err)) return false;
    model->norm_hash[group->norm] = group->norm_hash;
    *changed = true;
    return true;
}

static bool switch_group(QuantizedModel *model, Group *group, bool *changed, Error *err) {
    if (!switch_norm(model, group, changed, err)) return false;
    for (int i = 0; i < group->count; i++) {
        Change *change = &group->changes[i];
        if (!change->needed) continue;
        Following *following = &model->linears[change->linear];
        transformer_set_linear(model->transformer, change->linear, change->weight);
        change->weight = NULL;
        free(following->factors);
        *following = change->wanted;
        change->wanted.factors = NULL;
        *changed = true;
    }
    return true;
}

static bool follow_group(QuantizedModel *model, int input, const Plan *plan, const Measured *measured, bool *changed,
                         Progress *progress, Error *err) {
    Group group;
    if (!group_new(model, input, plan, measured, &group, err)) return false;
    bool ok = prepare(model, &group, progress, err) && switch_group(model, &group, changed, err);
    group_free(model, &group);
    return ok;
}

// The head counts as part of the last layer, so that whoever keeps hidden states runs it again.
static int layer_of_input(const QuantizedModel *model, int input) {
    const ModelStructure *structure = model->structure;
    int layer = structure->linears[model->members[model->group_start[input]]].layer;
    return layer < 0 ? structure->config.layers - 1 : layer;
}

bool quantized_model_follow(QuantizedModel *model, const Plan *plan, const Measured *measured, int *first_changed,
                            Progress *progress, Error *err) {
    int first = model->structure->config.layers;
    bool ok = true;
    if (first_changed) *first_changed = first;
    if (plan->linear_count != model->structure->linear_count)
        return error_set(err, "the plan is for another model: %d linears instead of %d", plan->linear_count,
                         model->structure->linear_count);
    progress_begin(progress, "packing weights", (uint64_t)model->structure->linear_count);
    for (int input = 0; ok && input < model->structure->input_count; input++) {
        bool changed = false;
        if (model->group_start[input] == model->group_start[input + 1]) continue;
        ok = follow_group(model, input, plan, measured, &changed, progress, err);
        if (changed && layer_of_input(model, input) < first) first = layer_of_input(model, input);
    }
    if (first_changed) *first_changed = first;
    return ok;
}
