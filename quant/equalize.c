#include "quant/equalize.h"

#include <stdlib.h>

#include "base/array.h"
#include "quant/lae.h"

// A linear that keeps its input in floating point has nothing to equalize it for.
bool decision_equalizes(const Decision *decision) {
    return decision->quantized && (decision->lae || decision->smooth) && decision->activations != POLICY_NONE;
}

// ---- Which row a column reads ----

// Of a layer that remembers by a convolution: rows of b, c and x, of which c multiplies the result.
static bool multiplies(const Linear *linear, const Linear *source) {
    return source->role == ROLE_IN && source->out == 3 * linear->in;
}

// The linear before holds the rows of v, alone or behind those of q and k, and kv heads are shared by query heads.
static bool has_heads(const ModelConfig *c, const Linear *linear, const Linear *source) {
    if (linear->role != ROLE_O || c->kv_heads <= 0 || c->heads % c->kv_heads != 0) return false;
    size_t dim = (size_t)c->head_dim, q = (size_t)c->heads * dim, kv = (size_t)c->kv_heads * dim;
    return linear->in == q && source->out == (source->role == ROLE_QKV ? q + 2 * kv : kv);
}

bool fold_has_rows(const ModelStructure *structure, const Linear *linear) {
    if (linear->fold != FOLD_LINEAR_ROWS) return false;
    const Linear *source = &structure->linears[linear->fold_index];
    if (source->role == ROLE_GATE_UP) return source->out == 2 * linear->in;
    return source->out == linear->in || multiplies(linear, source) || has_heads(&structure->config, linear, source);
}

// The row of the linear before it that a column reads. Attention mixes tokens, not channels: channel d of a query head
// is channel d of the kv head that it shares. Fused linears have the rows of q, k and v one after the other, for each
// kv head its queries, key and value, or four times a quarter of each.
static size_t fold_row(const ModelStructure *structure, const Linear *linear, size_t column) {
    const ModelConfig *c = &structure->config;
    const Linear *source = &structure->linears[linear->fold_index];
    if (source->role == ROLE_GATE_UP || multiplies(linear, source)) return linear->in + column;
    if (source->out == linear->in) return column;
    size_t dim = (size_t)c->head_dim, per_kv = (size_t)(c->heads / c->kv_heads);
    size_t head = column / dim / per_kv, channel = column % dim;
    if (source->role != ROLE_QKV) return head * dim + channel;
    const size_t quarter = linear->in / 4;
    if (c->quartered_qkv && quarter > 0) return (column / quarter * 3 + 1) * quarter + column % quarter;
    if (c->grouped_qkv) return (head * (per_kv + 2) + per_kv + 1) * dim + channel;
    return ((size_t)(c->heads + c->kv_heads) + head) * dim + channel;
}

// ---- Factors ----

// The largest factor of the columns that read each row [out of the linear before].
static void largest_by_row(const ModelStructure *structure, const Linear *linear, const float *factors, float *rows) {
    for (size_t j = 0; j < linear->in; j++) {
        size_t row = fold_row(structure, linear, j);
        if (factors[j] > rows[row]) rows[row] = factors[j];
    }
}

static bool share_factors(const ModelStructure *structure, const Linear *linear, float *factors, Error *err) {
    size_t out = structure->linears[linear->fold_index].out;
    if (out == linear->in) return true;
    float *rows = array_new(out, sizeof *rows);
    if (!rows) return error_memory(err, linear->name);
    largest_by_row(structure, linear, factors, rows);
    for (size_t j = 0; j < linear->in; j++) factors[j] = rows[fold_row(structure, linear, j)];
    free(rows);
    return true;
}

static bool add_columns(const Measured *measured, int index, size_t in, float *columns) {
    const float *own =
        measured->weights && measured->weights[index].known ? measured->weights[index].column_absmax : NULL;
    for (size_t j = 0; own && j < in; j++) columns[j] = own[j] > columns[j] ? own[j] : columns[j];
    return own;
}

bool reader_columns(const ModelStructure *structure, const Measured *measured, int index, float *columns) {
    const Linear *linears = structure->linears, *linear = &linears[index];
    int first = index, end = index + 1; // linears stand in the order of layers
    while (first > 0 && linears[first - 1].layer == linear->layer) first--;
    while (end < structure->linear_count && linears[end].layer == linear->layer) end++;
    for (int i = first; i < end; i++) {
        if (linears[i].input == linear->input && !add_columns(measured, i, linear->in, columns)) return false;
    }
    return true;
}

static bool smooth_input(const ModelStructure *structure, const Measured *measured, const Decision *decision, int index,
                         const InputMeasure *input, float *factors, Error *err) {
    const Linear *linear = &structure->linears[index];
    float *columns = array_new(linear->in, sizeof *columns);
    if (!columns) return error_memory(err, linear->name);
    bool ok = reader_columns(structure, measured, index, columns);
    if (ok)
        smooth_factors(input->channel_absmax, columns, linear->in, (double)decision->smooth_alpha, factors);
    else
        error_set(err, "%s: the plan smooths its input, but not all weights that read it were measured", linear->name);
    free(columns);
    return ok;
}

bool equalize_factors(const ModelStructure *structure, const Measured *measured, const Decision *decision, int index,
                      float *factors, Error *err) {
    const Linear *linear = &structure->linears[index];
    const InputMeasure *input = measured ? &measured->inputs[linear->input] : NULL;
    if (!input || !input->known)
        return error_set(err, "%s: the plan equalizes its input, but the input was not measured: calibrate first",
                         linear->name);
    if (decision->smooth) {
        if (!smooth_input(structure, measured, decision, index, input, factors, err)) return false;
    } else {
        lae_factors(input->channel_absmax, linear->in, (double)decision->lae_alpha, factors);
    }
    return decision->fold != FOLD_LINEAR_ROWS || share_factors(structure, linear, factors, err);
}

// ---- Rows of the linear before ----

void equalize_row_readers(const ModelStructure *structure, const Plan *plan, int *readers) {
    for (int i = 0; i < plan->linear_count; i++) readers[i] = -1;
    for (int i = plan->linear_count - 1; i >= 0; i--) {
        const Decision *d = &plan->decisions[i];
        const Linear *linear = &structure->linears[i];
        if (d->fold != FOLD_LINEAR_ROWS || d->fold_index != linear->fold_index || !decision_equalizes(d)) continue;
        if (plan->decisions[d->fold_index].quantized && fold_has_rows(structure, linear)) readers[d->fold_index] = i;
    }
}

bool equalize_is_folded(const Plan *plan, const int *row_readers, const int *norm_readers, int index) {
    const Decision *d = &plan->decisions[index];
    if (!decision_equalizes(d) || d->fold == FOLD_NONE) return false;
    return d->fold == FOLD_NORM ? norm_readers[d->fold_index] >= 0 : row_readers[d->fold_index] == index;
}

bool equalize_divisors(const ModelStructure *structure, const Measured *measured, const Plan *plan, int reader,
                       float *divisors, Error *err) {
    const Linear *linear = &structure->linears[reader];
    size_t rows = structure->linears[linear->fold_index].out;
    float *factors = array_new(linear->in, sizeof *factors);
    if (!factors) return error_memory(err, linear->name);
    bool ok = equalize_factors(structure, measured, &plan->decisions[reader], reader, factors, err);
    for (size_t o = 0; o < rows; o++) divisors[o] = 1; // rows of q, k and gate
    for (size_t j = 0; ok && j < linear->in; j++) divisors[fold_row(structure, linear, j)] = factors[j];
    free(factors);
    return ok;
}

// ---- The norm before ----

enum { READERS_DIFFER = -2 };

static void note_norm_reader(const Plan *plan, int norm, int linear, int *reader) {
    const Decision *d = &plan->decisions[linear];
    const bool folds = decision_equalizes(d) && d->fold == FOLD_NORM && d->fold_index == norm;
    if (*reader == -1 && folds)
        *reader = linear;
    else if (!folds || *reader == READERS_DIFFER || !decision_same_factors(&plan->decisions[*reader], d))
        *reader = READERS_DIFFER;
}

bool equalize_norm_readers(const ModelStructure *structure, const Plan *plan, int *readers, Error *err) {
    int *norm_of_input = array_new((size_t)structure->input_count, sizeof *norm_of_input); // plus one
    if (!norm_of_input) return error_memory(err, "the plan");
    for (int i = 0; i < structure->norm_count; i++) {
        readers[i] = -1;
        if (structure->norms[i].input >= 0) norm_of_input[structure->norms[i].input] = i + 1;
    }
    for (int i = 0; i < plan->linear_count; i++) {
        const int norm = norm_of_input[structure->linears[i].input] - 1;
        if (norm >= 0) note_norm_reader(plan, norm, i, &readers[norm]);
    }
    for (int i = 0; i < structure->norm_count; i++) readers[i] = readers[i] < 0 ? -1 : readers[i];
    free(norm_of_input);
    return true;
}
