#include "tui/rows.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

const ColumnInfo column_table[] = {
    [COLUMN_LINEAR] = {"linear", "linear", 11, false, "order of execution"},
    [COLUMN_WEIGHT_MAX] = {"|w|max", "wmax", 6, true, "largest weight"},
    [COLUMN_RANGE] = {"|x|max", "range", 6, true, "largest input over the calibration tokens"},
    [COLUMN_CLASS] = {"class", "class", 6, true, "what becomes of the input: static, LAE, token"},
    [COLUMN_BITS] = {"bits", "bits", 4, false, "bits per weight code"},
    [COLUMN_GROUP] = {"g", "group", 5, false, "columns that share a scale"},
    [COLUMN_SQNR] = {"out dB", "sqnr", 6, false, "signal to quantization noise of the output"},
    [COLUMN_KURTOSIS] = {"kurt", "kurtosis", 6, true, "kurtosis of the weights; 3 for a normal distribution"},
    [COLUMN_OUTLIERS] = {">6σ", "outliers", 7, true, "share of weights beyond six standard deviations"},
    [COLUMN_SIZE] = {"size", "size", 7, true, "bytes of the quantized weight"},
};
static_assert(sizeof column_table / sizeof *column_table == COLUMN_COUNT, "a column has no row");

int rows_column_named(const char *name) {
    for (int i = 0; i < COLUMN_COUNT; i++) {
        if (strcmp(column_table[i].name, name) == 0) return i;
    }
    return -1;
}

// From what costs nothing to what costs most while the model runs.
static double input_rank(const Decision *d) {
    if (!d->quantized) return NAN;
    if (d->lae) return 2;
    if (d->smooth) return 3;
    switch (d->activations) {
    case POLICY_STATIC: return 1;
    case POLICY_TOKEN: return 4;
    case POLICY_CHANNEL: return 5;
    case POLICY_NONE:
    case POLICY_FPTQ: // what recipes ask for: decisions hold what it comes to
    case POLICY_SMOOTHQUANT:
    case POLICY_PERCENTILE:
    case POLICY_COUNT: break;
    }
    return 0;
}

double rows_figure(const Workbench *workbench, int linear, Column column) {
    const Decision *decision = &workbench_plan(workbench)->decisions[linear];
    const WeightStats *weights = workbench_weight_stats(workbench, linear);
    const InputStats *input = workbench_input_stats(workbench, linear);
    const double *sqnr = workbench_effect(workbench)->output_sqnr_db;
    switch (column) {
    case COLUMN_LINEAR: return linear;
    case COLUMN_WEIGHT_MAX: return !weights ? NAN : weights->nonfinite ? INFINITY : weights->absmax;
    case COLUMN_RANGE: return input ? (double)input->range : NAN;
    case COLUMN_CLASS: return input_rank(decision);
    case COLUMN_BITS: return decision->quantized ? (double)decision->bits : INFINITY;
    case COLUMN_GROUP: return decision->quantized ? (double)decision->group : INFINITY;
    case COLUMN_SQNR: return sqnr ? sqnr[linear] : NAN;
    case COLUMN_KURTOSIS: return weights ? weights->kurtosis : NAN;
    case COLUMN_OUTLIERS:
        return weights && weights->elements ? (double)weights->outliers_6sigma / (double)weights->elements : NAN;
    case COLUMN_SIZE: return (double)decision->bytes;
    case COLUMN_COUNT: break;
    }
    return NAN;
}

// ---- order --------------------------------------------------------------------------------------------------------

bool rows_init(Rows *rows, const Workbench *workbench, Error *err) {
    const int count = workbench_structure(workbench)->linear_count;
    *rows = (Rows){.workbench = workbench, .selected = -1, .sort = COLUMN_RANGE};
    rows->linears = array_new((size_t)count, sizeof *rows->linears);
    rows->marked = array_new((size_t)count, sizeof *rows->marked);
    if (!rows->linears || !rows->marked) return error_memory(err, "the table of linears");
    rows_arrange(rows);
    return true;
}

void rows_free(Rows *rows) {
    free(rows->linears);
    free(rows->marked);
}

// What is unknown stands last either way; equal figures stay in the model's order.
static bool stands_before(const Rows *rows, const double *figures, int a, int b) {
    const double x = figures[a], y = figures[b];
    if (isnan(x) || isnan(y) || x == y) return isnan(x) == isnan(y) ? a < b : !isnan(x);
    return (x > y) == (column_table[rows->sort].falling != rows->reversed);
}

static void sort_linears(const Rows *rows, const double *figures, int *linears, int *scratch, int count) {
    if (count < 2) return;
    const int half = count / 2;
    sort_linears(rows, figures, linears, scratch, half);
    sort_linears(rows, figures, linears + half, scratch, count - half);
    memcpy(scratch, linears, (size_t)count * sizeof *linears);
    for (int i = 0, j = half, k = 0; k < count; k++) {
        const bool first = j == count || (i < half && stands_before(rows, figures, scratch[i], scratch[j]));
        linears[k] = first ? scratch[i++] : scratch[j++];
    }
}

void rows_arrange(Rows *rows) {
    const ModelStructure *structure = workbench_structure(rows->workbench);
    const size_t total = (size_t)structure->linear_count;
    double *figures = array_new(total, sizeof *figures);
    int *scratch = array_new(total, sizeof *scratch);
    rows->count = 0;
    for (int i = 0; i < structure->linear_count; i++) {
        if (*rows->filter && !rows_text_matches(structure->linears[i].name, rows->filter)) continue;
        rows->linears[rows->count++] = i;
        if (figures) figures[i] = rows_figure(rows->workbench, i, rows->sort);
    }
    if (figures && scratch) sort_linears(rows, figures, rows->linears, scratch, rows->count);
    free(figures);
    free(scratch);
    if (!rows->moved || rows_index(rows) < 0) rows->selected = rows->count ? rows->linears[0] : -1;
}

// ---- selection ----------------------------------------------------------------------------------------------------

int rows_index(const Rows *rows) {
    for (int i = 0; i < rows->count; i++) {
        if (rows->linears[i] == rows->selected) return i;
    }
    return -1;
}

void rows_move_to(Rows *rows, int index) {
    if (rows->count == 0) return;
    if (index >= rows->count) index = rows->count - 1;
    rows->selected = rows->linears[index < 0 ? 0 : index];
    rows->moved = true;
}

void rows_move(Rows *rows, int steps) { rows_move_to(rows, rows_index(rows) + steps); }

void rows_mark(Rows *rows, int linear, bool on) {
    rows->marked_count += (int)on - (int)rows->marked[linear];
    rows->marked[linear] = on;
}

void rows_show(Rows *rows, int height) {
    const int index = rows_index(rows);
    if (index >= 0 && index < rows->top) rows->top = index;
    if (index >= rows->top + height) rows->top = index - height + 1;
    if (rows->top > rows->count - height) rows->top = rows->count - height;
    if (rows->top < 0) rows->top = 0;
}

bool rows_text_matches(const char *name, const char *text) {
    return strpbrk(text, "*?[") ? glob_matches(text, name) : strcasestr(name, text) != NULL;
}

bool rows_find(Rows *rows, int direction, bool here) {
    if (!*rows->find || rows->count == 0) return false;
    const ModelStructure *structure = workbench_structure(rows->workbench);
    const int start = rows_index(rows);
    for (int i = here ? 0 : 1; i <= rows->count; i++) {
        const int index = ((start + direction * i) % rows->count + rows->count) % rows->count;
        if (!rows_text_matches(structure->linears[rows->linears[index]].name, rows->find)) continue;
        rows_move_to(rows, index);
        return true;
    }
    return false;
}
