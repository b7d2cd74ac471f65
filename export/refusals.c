// What a format cannot hold, said before anything is written.
#include <stdio.h>
#include <string.h>

#include "export/export_parts.h"

bool refuses_transposed(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)d;
    return linear->transposed && !tensor_is_slice(linear->weight);
}

bool refuses_stack(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)d;
    return tensor_is_slice(linear->weight);
}

bool refuses_partial_group(const Export *x, const Linear *linear, const Decision *d) {
    (void)x;
    return linear->in % d->group != 0;
}

bool refuses_all_but_symmetric(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)linear;
    return d->grid != GRID_SYMMETRIC;
}

bool refuse_linears(const Export *x, const Refusal *refusals, size_t count, Error *err) {
    const ModelStructure *s = x->model->structure;
    const Decision *decisions = x->model->plan->decisions;
    for (size_t r = 0; r < count; r++) {
        int found = 0, first = -1;
        for (int i = 0; i < s->linear_count; i++) {
            if (!decisions[i].quantized || !refusals[r].is(x, &s->linears[i], &decisions[i])) continue;
            if (!found++) first = i;
        }
        if (found)
            return error_set(err, "%s: %s (%d linear%s)", s->linears[first].name, refusals[r].what, found,
                             found == 1 ? "" : "s");
    }
    return true;
}

// What stays is copied from the file. Codes of experts in one tensor cannot be, beside those of this format, and as
// numbers they would be matrices that no engine asks for.
bool refuse_stored_stacks(const Export *x, Error *err) {
    const ModelStructure *s = x->model->structure;
    int count = 0, first = -1;
    for (int i = 0; i < s->linear_count && !x->format->stacks; i++) {
        const Linear *linear = &s->linears[i];
        const bool codes = tensor_is_slice(linear->weight) && linear->weight->stored;
        if (!codes || x->model->plan->decisions[i].quantized) continue;
        if (!count++) first = i;
    }
    return !count || error_set(err,
                               "%s: is an expert stored as %s in one tensor with others, which the format %s does not "
                               "hold; write the model with --format dense, and quantize what that gives (%d linears)",
                               s->linears[first].name, s->linears[first].weight->stored,
                               export_format_names[x->options->format], count);
}

bool refuse_sets(const Export *x, bool (*alike)(const Decision *a, const Decision *b), Error *err) {
    const ModelStructure *s = x->model->structure;
    const Decision *d = x->model->plan->decisions;
    int first = 0;
    for (int i = 1; i < s->linear_count; i++) {
        if (s->linears[i].fused_set < 0 || s->linears[i].fused_set != s->linears[first].fused_set) first = i;
        if (d[first].quantized == d[i].quantized && (!d[i].quantized || alike(&d[first], &d[i]))) continue;
        return error_set(err,
                         "%s and %s: engines fuse them, so their bits, group size and inputs must agree; use "
                         "--fused-together on, or set them alike in the recipe",
                         s->linears[first].name, s->linears[i].name);
    }
    return true;
}

bool refuse_experts(const Export *x, bool by_role, bool (*alike)(const Decision *a, const Decision *b), Error *err) {
    const ModelStructure *s = x->model->structure;
    const Decision *d = x->model->plan->decisions;
    int firsts[ROLE_COUNT], layer = -1; // of the layer
    memset(firsts, -1, sizeof firsts);
    for (int i = 0; i < s->linear_count; i++) {
        const Linear *linear = &s->linears[i];
        if (linear->expert < 0) continue;
        if (linear->layer != layer) memset(firsts, -1, sizeof firsts);
        layer = linear->layer;
        int *first = &firsts[by_role ? linear->role : 0];
        if (*first < 0) *first = i;
        if (d[*first].quantized == d[i].quantized && (!d[i].quantized || alike(&d[*first], &d[i]))) continue;
        return error_set(err,
                         "%s and %s: engines store the experts of a layer as one, so their bits and group size must "
                         "agree; set them alike in the recipe",
                         s->linears[*first].name, linear->name);
    }
    return true;
}

void warn_inputs(Export *x) {
    const Plan *plan = x->model->plan;
    int count = 0;
    for (int i = 0; i < plan->linear_count; i++)
        count += plan->decisions[i].quantized && plan->decisions[i].activations != POLICY_NONE;
    if (count)
        snprintf(x->warning, sizeof x->warning,
                 "inputs stay in 16 bits: the format %s does not say that %d linears have inputs of 8 bits",
                 export_format_names[x->options->format], count);
    else if (plan->cache_bits == 8)
        snprintf(x->warning, sizeof x->warning, "the cache of 8 bits is not written: the format has no such cache");
}
