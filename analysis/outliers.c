#include "analysis/outliers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/statistics.h"
#include "base/array.h"
#include "kernels/dtype.h"

typedef struct Finder {
    const ModelStructure *structure;
    const ModelStats *stats;
    Outliers *out;
    Progress *progress;
    Error *err;
} Finder;

// Where the median is 0 nothing stands out: there is no scale to compare with.
static double ratio_to(double value, float median) { return median > 0 ? value / (double)median : 0; }

// ---- Heads ----

// The head with the largest value, relative to the median head.
static bool top_of_heads(const float *heads, size_t count, int *top, double *ratio, Error *err) {
    float median;
    if (!median_of(heads, count, &median, err)) return false;
    *top = 0;
    for (size_t h = 1; h < count; h++) {
        if (heads[h] > heads[*top]) *top = (int)h;
    }
    *ratio = ratio_to((double)heads[*top], median);
    return true;
}

static size_t head_dim_of(const Finder *f, const Linear *linear) {
    return (size_t)layer_head_dim(&f->structure->config, linear->layer);
}

static bool heads_of_input(const Finder *f, const InputStats *input, InputOutliers *out) {
    const Linear *linear = &f->structure->linears[out->linear];
    size_t count = (size_t)f->structure->config.heads, dim = head_dim_of(f, linear);
    out->top_head = -1;
    const LinearRole role = linear->role;
    if ((role != ROLE_O && role != ROLE_CROSS_O) || count * dim != input->width) return true;
    float *heads = array_new(count, sizeof *heads);
    if (!heads) return error_memory(f->err, "heads");
    for (size_t j = 0; j < input->width; j++) heads[j / dim] = fmaxf(heads[j / dim], input->channel_absmax[j]);
    bool ok = top_of_heads(heads, count, &out->top_head, &out->top_head_ratio, f->err);
    free(heads);
    return ok;
}

// ---- Inputs ----

static bool find_channels(const Finder *f, const InputStats *input, InputOutliers *out) {
    float limit = (float)f->out->factor * out->median;
    uint32_t *order = array_new(input->width, sizeof *order);
    if (!order) return error_memory(f->err, "outliers");
    size_t n = input_top_channels(input, input->width, order);
    while (out->median > 0 && out->count < n && input->channel_absmax[order[out->count]] > limit) out->count++;
    out->channels = array_new(out->count, sizeof *out->channels);
    for (size_t i = 0; out->channels && i < out->count; i++) {
        float absmax = input->channel_absmax[order[i]];
        out->channels[i] = (OutlierChannel){order[i], absmax, ratio_to((double)absmax, out->median),
                                            (double)input->channel_tokens[order[i]] / (double)input->tokens};
    }
    free(order);
    return out->channels || error_memory(f->err, "outliers");
}

static bool find_inputs(const Finder *f) {
    for (int i = 0; i < f->structure->linear_count; i++) {
        int index = f->structure->linears[i].input;
        const InputStats *input = &f->stats->inputs[index];
        InputOutliers *out = &f->out->inputs[index];
        if (out->channels) continue;
        if (!input->known) return error_set(f->err, "the inputs of linears were not measured: calibrate first");
        out->linear = i;
        out->width = input->width;
        bool ok = median_of(input->channel_absmax, input->width, &out->median, f->err) &&
                  find_channels(f, input, out) && heads_of_input(f, input, out);
        if (!ok) return false;
    }
    return true;
}

// ---- Channels that recur ----

static int by_inputs(const void *a, const void *b) {
    const RecurringChannel *x = a, *y = b;
    if (x->inputs != y->inputs) return y->inputs - x->inputs;
    if (x->largest_ratio != y->largest_ratio) return x->largest_ratio < y->largest_ratio ? 1 : -1;
    return (x->channel > y->channel) - (x->channel < y->channel);
}

static void add_recurring(RecurringChannel *of, const OutlierChannel *channel) {
    of->channel = channel->channel;
    of->inputs++;
    of->largest_ratio = fmax(of->largest_ratio, channel->ratio);
    of->largest_token_share = fmax(of->largest_token_share, channel->token_share);
}

static bool find_recurring(const Finder *f) {
    size_t hidden = (size_t)f->structure->config.hidden;
    f->out->recurring = array_new(hidden, sizeof *f->out->recurring);
    if (!f->out->recurring) return error_memory(f->err, "outliers");
    for (int n = 0; n < f->structure->norm_count; n++) {
        if (f->structure->norms[n].input < 0) continue;
        const InputOutliers *input = &f->out->inputs[f->structure->norms[n].input];
        if (input->width != hidden) continue;
        f->out->norm_inputs++;
        for (size_t c = 0; c < input->count; c++)
            add_recurring(&f->out->recurring[input->channels[c].channel], &input->channels[c]);
    }
    qsort(f->out->recurring, hidden, sizeof *f->out->recurring, by_inputs);
    while (f->out->recurring_count < hidden && f->out->recurring[f->out->recurring_count].inputs)
        f->out->recurring_count++;
    return true;
}

// ---- Weights ----

typedef struct MatrixScan {
    float *row, *columns; // [in]: a row, and the absmax of the columns
    float *heads;         // [out]: sum of squares of each head's rows
} MatrixScan;

static void scan_rows(const Linear *linear, size_t head_dim, MatrixScan *m) {
    const Tensor *tensor = linear->weight;
    for (size_t o = 0; o < linear->out; o++) {
        floats_from(tensor->dtype, (const char *)tensor->data + o * linear->in * dtype_bytes(tensor->dtype), linear->in,
                    m->row);
        for (size_t j = 0; j < linear->in; j++) {
            m->columns[j] = fmaxf(m->columns[j], fabsf(m->row[j]));
            m->heads[o / head_dim] += m->row[j] * m->row[j];
        }
    }
}

static bool has_heads(const Finder *f, const Linear *linear) {
    const LinearRole r = linear->role;
    bool role = r == ROLE_Q || r == ROLE_K || r == ROLE_V || (r >= ROLE_CROSS_Q && r <= ROLE_CROSS_V);
    return role && linear->out % head_dim_of(f, linear) == 0;
}

static bool summarize_matrix(const Finder *f, const Linear *linear, MatrixScan *m, WeightOutliers *out) {
    size_t head_dim = head_dim_of(f, linear), heads = linear->out / head_dim;
    out->top_head = -1;
    if (!median_of(m->columns, linear->in, &out->median, f->err)) return false;
    for (size_t j = 0; j < linear->in; j++) {
        out->columns += ratio_to((double)m->columns[j], out->median) > f->out->factor;
        if (m->columns[j] > m->columns[out->top_column]) out->top_column = (uint32_t)j;
    }
    out->top_ratio = ratio_to((double)m->columns[out->top_column], out->median);
    if (!has_heads(f, linear)) return true;
    for (size_t h = 0; h < heads; h++) m->heads[h] = sqrtf(m->heads[h]);
    return top_of_heads(m->heads, heads, &out->top_head, &out->top_head_ratio, f->err);
}

static bool scan_matrix(const Finder *f, int index) {
    const Linear *linear = &f->structure->linears[index];
    if (!dtype_is_float16_or_32(linear->weight->dtype)) return true;
    MatrixScan m = {array_new(linear->in, sizeof(float)), array_new(linear->in, sizeof(float)),
                    array_new(linear->out, sizeof(float))};
    bool ok = (m.row && m.columns && m.heads) || error_memory(f->err, linear->name);
    ok = ok && tensor_hold(linear->weight, f->err);
    if (ok) {
        scan_rows(linear, has_heads(f, linear) ? head_dim_of(f, linear) : linear->out, &m);
        tensor_release(linear->weight);
        tensor_drop_pages(linear->weight);
        ok = tensor_intact(f->structure->checkpoint, linear->weight, f->err) &&
             summarize_matrix(f, linear, &m, &f->out->weights[index]);
    }
    free(m.row);
    free(m.columns);
    free(m.heads);
    return ok;
}

static bool scan_matrices(const Finder *f) {
    progress_begin(f->progress, "looking at columns", (uint64_t)f->structure->linear_count);
    for (int i = 0; i < f->structure->linear_count; i++) {
        if (!scan_matrix(f, i)) return false;
        if (!progress_add(f->progress, 1)) return error_stopped(f->err);
    }
    return true;
}

bool outliers_find(const ModelStructure *structure, const ModelStats *stats, double factor, Outliers *out,
                   Progress *progress, Error *err) {
    *out = (Outliers){.factor = factor,
                      .tokens = stats->set->tokens,
                      .input_count = structure->input_count,
                      .linear_count = structure->linear_count};
    out->inputs = array_new((size_t)structure->input_count, sizeof *out->inputs);
    out->weights = array_new((size_t)structure->linear_count, sizeof *out->weights);
    if (!out->inputs || !out->weights) return error_memory(err, "outliers");
    Finder f = {.structure = structure, .stats = stats, .out = out, .progress = progress, .err = err};
    return find_inputs(&f) && find_recurring(&f) && scan_matrices(&f) && checkpoint_intact(structure->checkpoint, err);
}

void outliers_free(Outliers *out) {
    for (int i = 0; out->inputs && i < out->input_count; i++) free(out->inputs[i].channels);
    free(out->inputs);
    free(out->weights);
    free(out->recurring);
    *out = (Outliers){0};
}
