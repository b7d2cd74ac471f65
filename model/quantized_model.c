#include "model/quantized_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "quant/equalize.h"

// What one linear follows now.
typedef struct Following {
    Decision decision; // all zero: left in its own precision
    WeightError error;
    float *factors;  // [in], folded or divided at run time; NULL when its input is not equalized
    float *divisors; // [out], the factors of the next linear that are folded into its rows; NULL when there are none
    uint64_t factors_hash;  // 0 without factors
    uint64_t divisors_hash; // 0 without divisors
    bool folded;            // the factors are in the norm or the linear before it
} Following;

struct QuantizedModel {
    Transformer *transformer;
    const ModelStructure *structure;
    Following *linears;  // [linear_count]
    int *members;        // [linear_count]: linears sorted by their input
    int *group_start;    // [input_count + 1]: members of an input: group_start[input] … group_start[input + 1] − 1
    int *norm_of_input;  // [input_count]: the norm that feeds it, or −1
    uint64_t *norm_hash; // [norm_count]: of the factors its gain is divided by; 0 none
    bool small_cache;    // sequences made from now on have an int8 cache
};

static void following_free(Following *following) {
    free(following->factors);
    free(following->divisors);
    following->factors = following->divisors = NULL;
}

// ---- The linears that share an input ----

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
    for (int i = 0; model->linears && i < model->structure->linear_count; i++) following_free(&model->linears[i]);
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

const float *quantized_model_divisors(const QuantizedModel *model, int linear) {
    return model->linears[linear].divisors;
}

// ---- Following a plan ----

// One linear of a group on its way to the plan.
typedef struct Change {
    int linear;
    bool needed;
    Following wanted;
    Weight *weight; // NULL: back to the dense one
} Change;

// What must change together: linears that share an input, and linears whose rows or columns carry the same factors.
typedef struct Group {
    Change *changes; // [count], input after input
    int count;
    // The norm before one of the inputs, or −1. There is one at most: rows are folded into linears that stand behind a
    // norm, for readers that do not.
    int norm;
    const float *norm_factors; // what its gain is divided by; NULL nothing
    uint64_t norm_hash;
} Group;

typedef struct Follow {
    QuantizedModel *model;
    const Plan *plan;
    const Measured *measured;
    int *row_readers;  // [linear_count]: equalize_row_readers of the plan
    int *norm_readers; // [norm_count]: equalize_norm_readers of the plan
    int *together;     // [input_count]: an input before it of the same group, at last the group's first
    int *next;         // [input_count]: the next input of the same group, ascending; −1 behind the last
    Progress *progress;
    Error *err;
} Follow;

// ---- Which inputs belong together ----

// The input whose linears have the factors of linear `index` in their rows, now or by the plan; −1 when none.
static int row_input(const Follow *f, int index) {
    const Linear *linear = &f->model->structure->linears[index];
    if (!fold_has_rows(f->model->structure, linear)) return -1;
    const Decision *now = &f->model->linears[index].decision, *wanted = &f->plan->decisions[index];
    bool linked = (decision_equalizes(now) && now->fold == FOLD_LINEAR_ROWS) ||
                  (decision_equalizes(wanted) && wanted->fold == FOLD_LINEAR_ROWS);
    return linked ? f->model->structure->linears[linear->fold_index].input : -1;
}

static int first_together(int *together, int input) {
    while (together[input] != input) input = together[input] = together[together[input]];
    return input;
}

static bool gather_inputs(Follow *f) {
    const ModelStructure *structure = f->model->structure;
    int inputs = structure->input_count;
    f->together = array_new((size_t)inputs, sizeof *f->together);
    f->next = array_new((size_t)inputs, sizeof *f->next);
    int *last = array_new((size_t)inputs, sizeof *last);
    bool ok = f->together && f->next && last;
    for (int i = 0; ok && i < inputs; i++) f->together[i] = last[i] = i;
    for (int i = 0; ok && i < structure->linear_count; i++) {
        int source = row_input(f, i);
        if (source < 0) continue;
        int a = first_together(f->together, source), b = first_together(f->together, structure->linears[i].input);
        f->together[a > b ? a : b] = a < b ? a : b;
    }
    for (int i = 0; ok && i < inputs; i++) {
        int first = first_together(f->together, i);
        f->next[i] = -1;
        if (first != i) last[first] = f->next[last[first]] = i;
    }
    free(last);
    return ok || error_memory(f->err, "quantized model");
}

// ---- What they should follow ----

// before: what is planned for the linear before it that reads the same input, or NULL.
static bool make_factors(const Follow *f, const Following *before, Change *change) {
    const Linear *linear = &f->model->structure->linears[change->linear];
    Following *wanted = &change->wanted;
    wanted->factors = array_new(linear->in, sizeof(float));
    if (!wanted->factors) return error_memory(f->err, linear->name);
    if (before && before->factors && decision_same_factors(&before->decision, &wanted->decision)) {
        memcpy(wanted->factors, before->factors, linear->in * sizeof(float));
        wanted->factors_hash = before->factors_hash;
        return true;
    }
    if (!equalize_factors(f->model->structure, f->measured, &wanted->decision, change->linear, wanted->factors, f->err))
        return false;
    wanted->factors_hash = hash_bytes(HASH_START, wanted->factors, linear->in * sizeof(float));
    return true;
}

static bool make_divisors(const Follow *f, Change *change) {
    const Linear *linear = &f->model->structure->linears[change->linear];
    Following *wanted = &change->wanted;
    wanted->divisors = array_new(linear->out, sizeof(float));
    if (!wanted->divisors) return error_memory(f->err, linear->name);
    if (!equalize_divisors(f->model->structure, f->measured, f->plan, f->row_readers[change->linear], wanted->divisors,
                           f->err))
        return false;
    wanted->divisors_hash = hash_bytes(HASH_START, wanted->divisors, linear->out * sizeof(float));
    return true;
}

static bool plan_change(const Follow *f, int index, const Following *before, Change *change) {
    const Decision *decision = &f->plan->decisions[index];
    change->linear = index;
    change->wanted.decision = *decision;
    if (decision_equalizes(decision) && !make_factors(f, before, change)) return false;
    if (f->row_readers[index] >= 0 && !make_divisors(f, change)) return false;
    change->wanted.folded = equalize_is_folded(f->plan, f->row_readers, f->norm_readers, index);
    return true;
}

static bool same_following(const Following *a, const Following *b) {
    if (!a->decision.quantized || !b->decision.quantized) return a->decision.quantized == b->decision.quantized;
    return a->factors_hash == b->factors_hash && a->divisors_hash == b->divisors_hash && a->folded == b->folded &&
           decision_equal(&a->decision, &b->decision);
}

static bool plan_input(const Follow *f, Group *group, int input) {
    const QuantizedModel *model = f->model;
    int first = group->count, norm = model->norm_of_input[input];
    for (int i = model->group_start[input]; i < model->group_start[input + 1]; i++) {
        Change *change = &group->changes[group->count];
        const Following *before = group->count++ > first ? &change[-1].wanted : NULL;
        if (!plan_change(f, model->members[i], before, change)) return false;
    }
    if (norm >= 0) {
        group->norm = norm;
        if (f->norm_readers[norm] >= 0) {
            group->norm_factors = group->changes[first].wanted.factors;
            group->norm_hash = group->changes[first].wanted.factors_hash;
        }
    }
    for (int i = first; i < group->count; i++) {
        Change *change = &group->changes[i];
        change->needed = !same_following(&model->linears[change->linear], &change->wanted);
    }
    return true;
}

static void group_free(const QuantizedModel *model, Group *group) {
    Backend *backend = transformer_backend(model->transformer);
    for (int i = 0; group->changes && i < group->count; i++) {
        if (group->changes[i].weight) backend->ops->weight_free(backend, group->changes[i].weight);
        following_free(&group->changes[i].wanted);
    }
    free(group->changes);
    *group = (Group){0};
}

// first: of its inputs.
static bool group_new(const Follow *f, int first, Group *out) {
    const QuantizedModel *model = f->model;
    *out = (Group){.norm = -1};
    size_t members = 0;
    for (int i = first; i >= 0; i = f->next[i]) members += (size_t)(model->group_start[i + 1] - model->group_start[i]);
    out->changes = array_new(members, sizeof *out->changes);
    if (!out->changes) return error_memory(f->err, "quantized model");
    bool ok = true;
    for (int i = first; ok && i >= 0; i = f->next[i]) ok = plan_input(f, out, i);
    if (!ok) group_free(model, out);
    return ok;
}

// ---- Packing ----

static ActivationScheme scheme_of(const Following *wanted) {
    ActivationScheme scheme = {.mode = ACTIVATION_NONE, .scale = wanted->decision.activation_scale};
    if (wanted->decision.activations == POLICY_STATIC) scheme.mode = ACTIVATION_STATIC;
    if (wanted->decision.activations == POLICY_TOKEN) scheme.mode = ACTIVATION_TOKEN;
    if (wanted->decision.activations == POLICY_CHANNEL) scheme.mode = ACTIVATION_CHANNEL;
    if (!wanted->folded) scheme.divisor = wanted->factors;
    return scheme;
}

static bool divided_bias(const Linear *linear, const float *divisors, float **bias, Error *err) {
    if (!linear_bias(linear, bias, err)) return false;
    for (size_t o = 0; *bias && divisors && o < linear->out; o++) (*bias)[o] /= divisors[o];
    return true;
}

// Backends quantize by themselves what they can: scales by absmax, for channels or groups.
static bool by_backend(const Decision *decision) {
    return decision->grid == GRID_SYMMETRIC && decision->clip != CLIP_MSE &&
           decision->granularity != GRANULARITY_TENSOR;
}

static bool pack_by_backend(const QuantizedModel *model, Change *change, const ActivationScheme *scheme,
                            const float *bias, Error *err) {
    Backend *backend = transformer_backend(model->transformer);
    const Linear *linear = &model->structure->linears[change->linear];
    const Following *wanted = &change->wanted;
    const WeightQuantizing how = {.bits = wanted->decision.bits,
                                  .group = wanted->decision.group,
                                  .scale_dtype = wanted->decision.scale_dtype,
                                  .factors = wanted->factors,
                                  .divisors = wanted->divisors};
    const bool in_place = backend->ops->dense_in_place;
    double *errors = array_new(2 * linear->out, sizeof *errors);
    if (!errors) return error_memory(err, linear->name);
    bool ok = !in_place || tensor_hold(linear->weight, err);
    if (ok) {
        ok = backend->ops->weight_from_dense(backend, transformer_dense(model->transformer, change->linear), &how,
                                             scheme, bias, errors, &change->weight, err);
        if (in_place) tensor_release(linear->weight);
        ok = ok && tensor_intact(model->structure->checkpoint, linear->weight, err);
    }
    change->wanted.error = (WeightError){0};
    for (size_t o = 0; ok && o < linear->out; o++) {
        change->wanted.error.signal += errors[2 * o];
        change->wanted.error.noise += errors[2 * o + 1];
    }
    free(errors);
    return ok || error_prefix(err, "%s", linear->weight->name);
}

// The codes live only in here: they are as large as the weight itself.
static bool pack_here(const QuantizedModel *model, Change *change, const ActivationScheme *scheme, const float *bias,
                      Error *err) {
    Backend *backend = transformer_backend(model->transformer);
    const Linear *linear = &model->structure->linears[change->linear];
    const Following *wanted = &change->wanted;
    QuantizedWeight quantized = {0};
    if (!quantize_linear(linear, &wanted->decision, wanted->factors, wanted->divisors, &quantized,
                         &change->wanted.error, err))
        return false;
    bool ok = tensor_intact(model->structure->checkpoint, linear->weight, err) &&
              backend->ops->weight_quantized(backend, &quantized, scheme, bias,
                                             transformer_precision(model->transformer), &change->weight, err);
    quantized_weight_free(&quantized);
    return ok || error_prefix(err, "%s", linear->name);
}

// Quantizes and packs one linear.
static bool pack_change(const QuantizedModel *model, Change *change, Error *err) {
    const Linear *linear = &model->structure->linears[change->linear];
    const ActivationScheme scheme = scheme_of(&change->wanted);
    const bool theirs = by_backend(&change->wanted.decision);
    float *bias = NULL;
    bool ok = divided_bias(linear, change->wanted.divisors, &bias, err) &&
              (theirs ? pack_by_backend : pack_here)(model, change, &scheme, bias, err);
    free(bias);
    return ok;
}

static bool prepare_group(const Follow *f, Group *group) {
    for (int i = 0; i < group->count; i++) {
        Change *change = &group->changes[i];
        if (progress_should_stop(f->progress)) return error_stopped(f->err);
        if (change->needed && change->wanted.decision.quantized && !pack_change(f->model, change, f->err)) return false;
        progress_add(f->progress, 1);
    }
    return true;
}

// ---- Switching ----

// Sets the gain first: that alone can fail, and nothing has changed then.
static bool switch_norm(QuantizedModel *model, const Group *group, bool *changed, Error *err) {
    if (group->norm < 0 || model->norm_hash[group->norm] == group->norm_hash) return true;
    if (!transformer_set_norm_divisor(model->transformer, group->norm, group->norm_factors, err)) return false;
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
        following_free(following);
        *following = change->wanted;
        change->wanted.factors = change->wanted.divisors = NULL;
        *changed = true;
    }
    return true;
}

// The head counts as part of the last layer, so that callers who keep hidden states run it again. The norm behind an
// encoder stands before what reads it.
static int layer_of_input(const QuantizedModel *model, int input) {
    const ModelStructure *structure = model->structure;
    int layer = structure->linears[model->members[model->group_start[input]]].layer;
    const int norm = model->norm_of_input[input];
    if (norm >= 0 && structure->norms[norm].layer >= 0) return structure->norms[norm].layer;
    return layer < 0 ? structure->config.layers - 1 : layer;
}

// Lowers *first to the first layer that changed.
static bool follow_group(const Follow *f, int input, int *first) {
    Group group;
    bool changed = false;
    if (!group_new(f, input, &group)) return false;
    bool ok = prepare_group(f, &group) && switch_group(f->model, &group, &changed, f->err);
    int layer = layer_of_input(f->model, input);
    if (changed && layer < *first) *first = layer;
    group_free(f->model, &group);
    return ok;
}

bool quantized_model_follow(QuantizedModel *model, const Plan *plan, const Measured *measured, int *first_changed,
                            Progress *progress, Error *err) {
    const ModelStructure *structure = model->structure;
    int first = structure->config.layers;
    if (first_changed) *first_changed = first;
    if (plan->linear_count != structure->linear_count)
        return error_set(err, "the plan is for another model: %d linears instead of %d", plan->linear_count,
                         structure->linear_count);
    Follow f = {.model = model, .plan = plan, .measured = measured, .progress = progress, .err = err};
    f.row_readers = array_new((size_t)structure->linear_count, sizeof *f.row_readers);
    f.norm_readers = array_new((size_t)structure->norm_count, sizeof *f.norm_readers);
    bool ok = (f.row_readers && f.norm_readers) || error_memory(err, "quantized model");
    ok = ok && gather_inputs(&f) && equalize_norm_readers(structure, plan, f.norm_readers, err);
    if (ok) equalize_row_readers(structure, plan, f.row_readers);
    if (ok && model->small_cache != (plan->cache_bits == 8)) {
        model->small_cache = !model->small_cache;
        transformer_set_cache_bits(model->transformer, plan->cache_bits);
        first = 0; // attention sees other keys and values in every layer
    }
    progress_begin(progress, "packing weights", (uint64_t)structure->linear_count);
    for (int input = 0; ok && input < structure->input_count; input++) {
        if (f.together[input] != input || model->group_start[input] == model->group_start[input + 1]) continue;
        ok = follow_group(&f, input, &first);
    }
    free(f.row_readers);
    free(f.norm_readers);
    free(f.together);
    free(f.next);
    if (first_changed) *first_changed = first;
    return ok;
}
