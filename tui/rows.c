#include "tui/rows.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

const ColumnInfo column_table[] = {
    [COLUMN_LINEAR] = {"linear", "linear", 'l', 11, false, "order of execution"},
    [COLUMN_WEIGHT_MAX] = {"|w|max", "wmax", 'w', 6, true, "largest weight"},
    [COLUMN_RANGE] = {"|x|max", "range", 'x', 6, true, "largest input over the calibration tokens"},
    [COLUMN_CLASS] = {"class", "class", 'c', 6, true, "what becomes of the input: static, LAE, token"},
    [COLUMN_BITS] = {"bits", "bits", 'b', 4, false, "bits per weight code"},
    [COLUMN_GROUP] = {"g", "group", 'g', 5, false, "columns that share a scale"},
    [COLUMN_SQNR] = {"out dB", "sqnr", 'o', 6, false, "signal to quantization noise of the output"},
    [COLUMN_KURTOSIS] = {"kurt", "kurtosis", 'k', 6, true, "kurtosis of the weights; 3 for a normal distribution"},
    [COLUMN_OUTLIERS] = {">6σ", "outliers", '6', 7, true, "share of weights beyond six standard deviations"},
    [COLUMN_SIZE] = {"size", "size", 'z', 7, true, "bytes of the quantized weight"},
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

static double weight_figure(const WeightStats *weights, Column column) {
    if (!weights) return NAN;
    if (column == COLUMN_WEIGHT_MAX) return weights->nonfinite ? INFINITY : weights->absmax;
    if (column == COLUMN_KURTOSIS) return weights->kurtosis;
    return weights->elements ? (double)weights->outliers_6sigma / (double)weights->elements : NAN;
}

static double range_of(const Workbench *workbench, int linear) {
    const InputStats *input = workbench_input_stats(workbench, linear);
    return input ? (double)input->range : NAN;
}

static double decision_figure(const Decision *decision, Column column) {
    if (column == COLUMN_CLASS) return input_rank(decision);
    if (column == COLUMN_SIZE) return (double)decision->bytes;
    if (!decision->quantized) return INFINITY;
    return column == COLUMN_BITS ? (double)decision->bits : (double)decision->group;
}

// Looks at nothing but what the column shows: of a model of many experts the table asks ten thousands of times.
double rows_figure(const Workbench *workbench, int linear, Column column) {
    const double *sqnr = workbench_effect(workbench)->output_sqnr_db;
    switch (column) {
    case COLUMN_LINEAR: return linear;
    case COLUMN_WEIGHT_MAX:
    case COLUMN_KURTOSIS:
    case COLUMN_OUTLIERS: return weight_figure(workbench_weight_stats(workbench, linear), column);
    case COLUMN_RANGE: return range_of(workbench, linear);
    case COLUMN_SQNR: return sqnr ? sqnr[linear] : NAN;
    case COLUMN_CLASS:
    case COLUMN_BITS:
    case COLUMN_GROUP:
    case COLUMN_SIZE: return decision_figure(&workbench_plan(workbench)->decisions[linear], column);
    case COLUMN_COUNT: break;
    }
    return NAN;
}

static bool is_worse(Column column, double figure, double than) {
    return isnan(than) || (column_table[column].falling ? figure > than : figure < than);
}

void rows_figures(const Rows *rows, int index, double out[COLUMN_COUNT], int of[COLUMN_COUNT]) {
    const int *members = rows_members(rows, index), size = rows_size(rows, index);
    double sum = 0;
    for (int column = 0; column < COLUMN_COUNT; column++) {
        out[column] = NAN;
        of[column] = members[0];
    }
    for (int i = 0; i < size; i++) {
        for (int column = 0; column < COLUMN_COUNT; column++) {
            const double figure = rows_figure(rows->workbench, members[i], (Column)column);
            if (is_worse((Column)column, figure, out[column])) {
                out[column] = figure;
                of[column] = members[i];
            }
            if (column == COLUMN_SIZE) sum += figure;
        }
    }
    out[COLUMN_SIZE] = sum;
}

// ---- making it ----------------------------------------------------------------------------------------------------

// Experts of a layer whose names end alike are one group.
static void group_experts(Rows *rows) {
    const Linear *linears = workbench_structure(rows->workbench)->linears;
    enum { KINDS = 8 };
    int groups[KINDS] = {0}, kinds = 0, layer = -1;
    const char *ends[KINDS];
    for (int i = 0; i < rows->total; i++) {
        const Linear *l = &linears[i];
        const char *dot = strrchr(l->name, '.'), *end = dot ? dot : l->name;
        if (l->expert < 0) continue;
        if (l->layer != layer) kinds = 0;
        layer = l->layer;
        int kind = 0;
        while (kind < kinds && strcmp(ends[kind], end) != 0) kind++;
        if (kind == KINDS) continue;
        if (kind == kinds) {
            ends[kinds] = end;
            groups[kinds++] = rows->groups++;
        }
        rows->group[FOLD_EXPERTS][i] = groups[kind];
    }
}

// What stands side by side: a layer of the encoder is none of the decoder.
static void group_layers(Rows *rows) {
    const Linear *linears = workbench_structure(rows->workbench)->linears;
    for (int i = 0; i < rows->total; i++) {
        if (linears[i].layer < 0) continue;
        const bool begins = i == 0 || linears[i - 1].layer != linears[i].layer;
        rows->group[FOLD_LAYER][i] = begins ? rows->groups++ : rows->groups - 1;
    }
}

static bool make_groups(Rows *rows) {
    const size_t total = (size_t)rows->total;
    for (int fold = 0; fold < FOLD_COUNT; fold++) {
        if (!(rows->group[fold] = array_new(total, sizeof **rows->group))) return false;
        for (size_t i = 0; i < total; i++) rows->group[fold][i] = NO_GROUP;
    }
    group_experts(rows);
    const int experts = rows->groups;
    group_layers(rows);
    rows->folded = array_new((size_t)rows->groups + 1, sizeof *rows->folded);
    rows->group_size = array_new((size_t)rows->groups + 1, sizeof *rows->group_size);
    if (!rows->folded || !rows->group_size) return false;
    for (int fold = 0; fold < FOLD_COUNT; fold++) {
        for (size_t i = 0; i < total; i++)
            if (rows->group[fold][i] != NO_GROUP) rows->group_size[rows->group[fold][i]]++;
    }
    for (int group = 0; group < experts; group++) rows->folded[group] = rows->group_size[group] > 1;
    return true;
}

// As it is typed with spaces: "3 down_proj", "3 down_proj 17".
static void spaced_name(const Linear *l, const char *shown, char *out, size_t size) {
    const char *dot = strchr(shown, '.'), *last = dot && l->expert >= 0 ? strchr(dot + 1, '.') : dot;
    char expert[16] = "";
    if (l->expert >= 0) snprintf(expert, sizeof expert, " %d", l->expert);
    if (last)
        snprintf(out, size, "%.*s %s%s", (int)(dot - shown), shown, last + 1, expert);
    else
        snprintf(out, size, "%s", shown);
}

// Of a model of many experts they are asked for ten thousands of times for each letter that is typed.
static bool make_names(Rows *rows) {
    char shown[128], spaced[160];
    if (!(rows->name_at = array_new((size_t)rows->total + 1, sizeof *rows->name_at))) return false;
    for (int i = 0; i < rows->total; i++) {
        const Linear *l = &workbench_structure(rows->workbench)->linears[i];
        linear_short_name(l, shown, sizeof shown);
        spaced_name(l, shown, spaced, sizeof spaced);
        rows->name_at[i] = rows->names.length;
        text_add(&rows->names, shown, strlen(shown) + 1);
        text_add(&rows->names, spaced, strlen(spaced) + 1);
    }
    return !rows->names.failed;
}

bool rows_init(Rows *rows, const Workbench *workbench, Error *err) {
    const int total = workbench_structure(workbench)->linear_count;
    *rows = (Rows){.workbench = workbench, .total = total, .selected = -1, .sort = COLUMN_RANGE, .stale = true};
    rows->range_most = 1;
    const size_t room = (size_t)total + 1;
    RowMaking *m = &rows->making;
    int **const numbers[] = {&rows->linears, &rows->first, &rows->members, &rows->row_of,
                             &m->worst,      &m->order,    &m->scratch,    &m->size};
    bool **const flags[] = {&rows->passes,     &rows->passed,     &rows->marked, &rows->changed,
                            &rows->unlike_pin, &rows->overridden, &rows->found};
    rows->figures = array_new(room, sizeof *rows->figures);
    m->figures = array_new(room, sizeof *m->figures);
    bool ok = rows->figures && m->figures;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        ok = (*numbers[i] = array_new(room, sizeof **numbers[i])) != NULL && ok;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        ok = (*flags[i] = array_new(room, sizeof **flags[i])) != NULL && ok;
    ok = ok && make_names(rows) && make_groups(rows) &&
         (m->row_of_group = array_new((size_t)rows->groups + 1, sizeof *m->row_of_group));
    if (!ok) return error_memory(err, "the table of linears");
    rows_arrange(rows);
    return true;
}

void rows_free(Rows *rows) {
    RowMaking *m = &rows->making;
    void *const all[] = {rows->linears,    rows->first,  rows->members, rows->row_of,
                         rows->passes,     rows->passed, rows->marked,  rows->changed,
                         rows->unlike_pin, rows->found,  rows->figures, rows->overridden,
                         rows->group_size, rows->folded, m->figures,    rows->group[FOLD_EXPERTS],
                         m->row_of_group,  m->worst,     m->order,      rows->group[FOLD_LAYER],
                         m->scratch,       m->size,      rows->name_at};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    text_free(&rows->names);
    filter_free(&rows->passing);
}

// ---- what a filter asks -------------------------------------------------------------------------------------------

static double view_number(const void *context, int linear, int field) {
    const Rows *rows = context;
    const Linear *l = &workbench_structure(rows->workbench)->linears[linear];
    const bool quantized = workbench_plan(rows->workbench)->decisions[linear].quantized;
    switch (field) {
    case FIELD_LAYER: return l->layer < 0 ? (double)NAN : l->layer;
    case FIELD_EXPERT: return l->expert < 0 ? (double)NAN : l->expert;
    case FIELD_MARKED: return rows->marked[linear];
    case FIELD_CHANGED: return rows->changed[linear] || rows->unlike_pin[linear];
    case FIELD_OVERRIDDEN: return rows->overridden[linear];
    case FIELD_QUANTIZED: return quantized;
    case COLUMN_BITS:
    case COLUMN_GROUP:
        if (!quantized) return NAN; // it has none
        break;
    default: break;
    }
    return rows_figure(rows->workbench, linear, (Column)field);
}

static void view_text(const void *context, int linear, int field, char *out, size_t size) {
    const Rows *rows = context;
    const Decision *decision = &workbench_plan(rows->workbench)->decisions[linear];
    const char *class = decision->quantized ? decision_input_text(decision) : "–";
    snprintf(out, size, "%s",
             field == FIELD_ROLE ? role_name(workbench_structure(rows->workbench)->linears[linear].role) : class);
}

// By its full name or by the one that is shown.
static bool view_matches(const void *context, int linear, const NamePattern *pattern) {
    const Rows *rows = context;
    const char *shown = rows->names.data + rows->name_at[linear];
    return name_pattern_matches(pattern, workbench_structure(rows->workbench)->linears[linear].name) ||
           name_pattern_matches(pattern, shown) || name_pattern_matches(pattern, shown + strlen(shown) + 1);
}

static bool view_is_glob(const void *context, const char *text) {
    const Rows *rows = context;
    if (!strpbrk(text, "*?")) return false;
    if (strlen(text) >= NAME_PATTERN_ROOM) return false;
    NamePattern glob;
    bool matches = false;
    name_pattern_compile(text, true, &glob, NULL);
    for (int i = 0; i < rows->total && !matches; i++) matches = view_matches(rows, i, &glob);
    return matches;
}

static FilterView view_of(const Rows *rows) {
    return (FilterView){rows, view_number, view_text, view_matches, view_is_glob};
}

bool rows_passing(const Rows *rows, const char *text, bool *passes, Error *err) {
    const FilterView view = view_of(rows);
    Filter filter;
    if (!filter_parse(text, &view, &filter, err)) return false;
    for (int i = 0; i < rows->total; i++) passes[i] = filter_passes(&filter, &view, i);
    filter_free(&filter);
    return true;
}

bool rows_set_filter(Rows *rows, const char *text, Error *err) {
    const FilterView view = view_of(rows);
    Filter filter;
    if (strlen(text) >= sizeof rows->filter) return error_set(err, "the filter is too long");
    if (!filter_parse(text, &view, &filter, err)) return false;
    filter_free(&rows->passing);
    rows->passing = filter;
    snprintf(rows->filter, sizeof rows->filter, "%s", text + strspn(text, " "));
    rows_arrange(rows);
    return true;
}

// ---- arranging ----------------------------------------------------------------------------------------------------

// What is unknown stands last either way; equal figures stay in the model's order, in which rows are made.
static bool stands_before(const Rows *rows, const double *figures, int a, int b) {
    const double x = figures[a], y = figures[b];
    if (isnan(x) || isnan(y) || x == y) return isnan(x) == isnan(y) ? a < b : !isnan(x);
    return (x > y) == (column_table[rows->sort].falling != rows->reversed);
}

static void sort_rows(const Rows *rows, const double *figures, int *order, int *scratch, int count) {
    if (count < 2) return;
    const int half = count / 2;
    sort_rows(rows, figures, order, scratch, half);
    sort_rows(rows, figures, order + half, scratch, count - half);
    memcpy(scratch, order, (size_t)count * sizeof *order);
    for (int i = 0, j = half, k = 0; k < count; k++) {
        const bool first = j == count || (i < half && stands_before(rows, figures, scratch[i], scratch[j]));
        order[k] = first ? scratch[i++] : scratch[j++];
    }
}

// The group that hides a linear, the outermost; NO_GROUP: it has a row of its own.
static int hidden_by(const Rows *rows, int linear) {
    for (int fold = FOLD_COUNT - 1; fold >= 0; fold--) {
        const int group = rows->group[fold][linear];
        if (group != NO_GROUP && rows->folded[group]) return group;
    }
    return NO_GROUP;
}

// The bars' scale changes with the ranges alone.
static void find_largest_range(Rows *rows) {
    const uint64_t tokens = workbench_calibration_tokens(rows->workbench);
    if (rows->range_tokens == tokens) return;
    rows->range_tokens = tokens;
    rows->range_most = 1;
    for (int i = 0; i < rows->total; i++) rows->range_most = fmax(rows->range_most, range_of(rows->workbench, i));
}

// True when rows must be made anew: an O(linears) look, so that a report of the background costs no more.
static bool look_again(Rows *rows) {
    const FilterView view = view_of(rows);
    const size_t total = (size_t)rows->total;
    bool differs = rows->stale || rows->sorted_by != rows->sort || rows->sorted_reversed != rows->reversed;
    rows->sorted_by = rows->sort;
    rows->sorted_reversed = rows->reversed;
    find_largest_range(rows);
    for (int i = 0; i < rows->total; i++) {
        const double figure = rows_figure(rows->workbench, i, rows->sort);
        const double before = rows->figures[i];
        differs = differs || !(figure == before || (isnan(figure) && isnan(before)));
        rows->figures[i] = figure;
        rows->passes[i] = filter_passes(&rows->passing, &view, i);
    }
    differs = differs || memcmp(rows->passes, rows->passed, total * sizeof *rows->passes) != 0;
    memcpy(rows->passed, rows->passes, total * sizeof *rows->passes);
    rows->stale = false;
    return differs;
}

// One row after the other as the model has them, each with its figure; row_of[linear] is of this order.
static int make_rows(Rows *rows) {
    RowMaking *m = &rows->making;
    int count = 0;
    for (int group = 0; group < rows->groups; group++) m->row_of_group[group] = -1;
    for (int i = 0; i < rows->total; i++) {
        rows->row_of[i] = -1;
        if (!rows->passes[i]) continue;
        const int group = hidden_by(rows, i);
        int row = group == NO_GROUP ? -1 : m->row_of_group[group];
        if (row < 0) {
            row = count++;
            m->worst[row] = i;
            m->figures[row] = rows->figures[i];
            m->size[row] = 0;
            if (group != NO_GROUP) m->row_of_group[group] = row;
        }
        const double figure = rows->figures[i];
        if (is_worse(rows->sort, figure, rows->figures[m->worst[row]])) m->worst[row] = i;
        if (rows->sort != COLUMN_SIZE)
            m->figures[row] = rows->figures[m->worst[row]];
        else if (m->size[row])
            m->figures[row] += figure;
        m->size[row]++;
        rows->row_of[i] = row;
    }
    return count;
}

static void arrange(Rows *rows) {
    RowMaking *m = &rows->making;
    rows->count = make_rows(rows);
    for (int i = 0; i < rows->count; i++) m->order[i] = i;
    sort_rows(rows, m->figures, m->order, m->scratch, rows->count);
    int *place = m->scratch, at = 0; // of each row in the model's order
    for (int i = 0; i < rows->count; i++) {
        place[m->order[i]] = i;
        rows->linears[i] = m->worst[m->order[i]];
        rows->first[i] = at;
        at += m->size[m->order[i]];
    }
    rows->first[rows->count] = at;
    for (int i = 0; i < rows->count; i++) m->size[i] = 0; // filled so far
    for (int i = 0; i < rows->total; i++) {
        if (rows->row_of[i] < 0) continue;
        const int row = place[rows->row_of[i]];
        rows->row_of[i] = row;
        rows->members[rows->first[row] + m->size[row]++] = i;
    }
}

// Of a folded row whose chosen linear the filter leaves out, another one; else the first row.
static int nearest(const Rows *rows) {
    const int group = rows->moved && rows->selected >= 0 ? hidden_by(rows, rows->selected) : NO_GROUP;
    for (int i = 0; group != NO_GROUP && i < rows->count; i++) {
        if (hidden_by(rows, rows->linears[i]) == group) return rows->linears[i];
    }
    return rows->count ? rows->linears[0] : -1;
}

// Whoever looks at the worst of a row goes on doing so, whichever that is.
void rows_arrange(Rows *rows) {
    const int before = rows_index(rows);
    const bool worst = before >= 0 && rows->selected == rows->linears[before];
    if (look_again(rows)) arrange(rows);
    const int index = rows_index(rows);
    if (worst && rows_is_folded(rows, index)) rows->selected = rows->linears[index];
    if (!rows->moved || rows_index(rows) < 0) rows->selected = nearest(rows);
}

// ---- selection ----------------------------------------------------------------------------------------------------

int rows_index(const Rows *rows) { return rows->selected < 0 ? -1 : rows->row_of[rows->selected]; }

int rows_size(const Rows *rows, int index) { return rows->first[index + 1] - rows->first[index]; }

const int *rows_members(const Rows *rows, int index) { return rows->members + rows->first[index]; }

void rows_select(Rows *rows, int linear) {
    if (rows->row_of[linear] < 0) return;
    rows->selected = linear;
    rows->moved = true;
}

void rows_move_to(Rows *rows, int index) {
    if (rows->count == 0) return;
    if (index >= rows->count) index = rows->count - 1;
    rows_select(rows, rows->linears[index < 0 ? 0 : index]);
}

void rows_move(Rows *rows, int steps) { rows_move_to(rows, rows_index(rows) + steps); }

void rows_show(Rows *rows, int height) { rows->top = layout_scroll(rows->top, rows_index(rows), height, rows->count); }

// ---- marks --------------------------------------------------------------------------------------------------------

void rows_mark(Rows *rows, int linear, bool on) {
    rows->marked_count += (int)on - (int)rows->marked[linear];
    rows->marked[linear] = on;
    rows->marks++;
}

void rows_unmark_all(Rows *rows) {
    for (int i = 0; i < rows->total; i++) rows->marked[i] = false;
    rows->marked_count = 0;
    rows->marks++;
}

// ---- finding ------------------------------------------------------------------------------------------------------

bool rows_set_find(Rows *rows, const char *text, Error *err) {
    NamePattern pattern;
    if (strlen(text) >= sizeof rows->find) return error_set(err, "the text is too long");
    if (!name_pattern_compile(text, view_is_glob(rows, text), &pattern, err)) return false;
    snprintf(rows->find, sizeof rows->find, "%s", text);
    for (int i = 0; i < rows->total; i++) rows->found[i] = *text && view_matches(rows, i, &pattern);
    name_pattern_free(&pattern);
    return true;
}

int rows_found_in(const Rows *rows, int index) {
    const int *members = rows_members(rows, index), size = rows_size(rows, index);
    if (rows->found[rows->linears[index]]) return rows->linears[index];
    for (int i = 0; i < size; i++) {
        if (rows->found[members[i]]) return members[i];
    }
    return -1;
}

bool rows_found(const Rows *rows, int index) { return *rows->find && rows_found_in(rows, index) >= 0; }

// ---- folding ------------------------------------------------------------------------------------------------------

bool rows_is_folded(const Rows *rows, int index) {
    return index >= 0 && hidden_by(rows, rows->linears[index]) != NO_GROUP;
}

// Folds the innermost group of the selection that is not folded, or unfolds the outermost that is.
bool rows_fold(Rows *rows, bool fold) {
    if (rows->selected < 0) return false;
    const int hidden = hidden_by(rows, rows->selected);
    int group = fold ? NO_GROUP : hidden;
    for (int f = FOLD_COUNT - 1; fold && f >= 0; f--) {
        const int outer = rows->group[f][rows->selected];
        if (outer != NO_GROUP && outer == hidden) break;
        if (outer != NO_GROUP && rows->group_size[outer] > 1) group = outer;
    }
    if (group == NO_GROUP) return false;
    rows->folded[group] = fold;
    rows->stale = rows->moved = true; // the row is where it was
    rows_arrange(rows);
    return true;
}

int rows_fold_level(const Rows *rows) {
    bool any[FOLD_COUNT] = {false};
    for (int i = 0; i < rows->total; i++) {
        for (int fold = 0; fold < FOLD_COUNT; fold++)
            any[fold] = any[fold] || (rows->group[fold][i] != NO_GROUP && rows->folded[rows->group[fold][i]]);
    }
    return any[FOLD_LAYER] ? 2 : any[FOLD_EXPERTS] ? 1 : 0;
}

void rows_fold_all(Rows *rows) {
    bool experts = false;
    for (int i = 0; i < rows->total; i++) experts = experts || rows->group[FOLD_EXPERTS][i] != NO_GROUP;
    int level = (rows_fold_level(rows) + 1) % 3;
    if (level == 1 && !experts) level = 2;
    for (int i = 0; i < rows->total; i++) {
        for (int fold = 0; fold < FOLD_COUNT; fold++) {
            const int group = rows->group[fold][i];
            if (group != NO_GROUP) rows->folded[group] = level > fold && rows->group_size[group] > 1;
        }
    }
    rows->stale = true;
    rows_arrange(rows);
}

// ---- a folded row and the pane beside it --------------------------------------------------------------------------

void rows_shown_text(const Rows *rows, bool whole, char *out, size_t size) {
    const int index = rows_index(rows), count = index < 0 ? 0 : rows_size(rows, index);
    *out = 0;
    if (count < 2) return;
    const bool worst = rows->selected == rows->linears[index] && !isnan(rows->figures[rows->selected]);
    if (worst && rows->sort != COLUMN_LINEAR)
        snprintf(out, size, "worst of %d%s%s: ", count, whole ? " by " : "",
                 whole ? column_table[rows->sort].title : "");
    else
        snprintf(out, size, "1 of %d: ", count);
}

static void add_member_name(const Rows *rows, int linear, bool first, char *out, size_t size) {
    const Linear *l = &workbench_structure(rows->workbench)->linears[linear];
    const int group = hidden_by(rows, linear);
    const size_t used = strlen(out);
    if (group == rows->group[FOLD_EXPERTS][linear])
        snprintf(out + used, size - used, first ? "expert %d" : "%d", l->expert);
    else
        linear_short_name(l, out + used, size - used);
}

void rows_others_text(const Rows *rows, char *out, size_t size) {
    static const Column told[] = {COLUMN_RANGE, COLUMN_WEIGHT_MAX, COLUMN_SQNR, COLUMN_KURTOSIS, COLUMN_OUTLIERS};
    const int index = rows_index(rows);
    double figures[COLUMN_COUNT];
    int of[COLUMN_COUNT];
    *out = 0;
    if (index < 0 || rows_size(rows, index) < 2) return;
    rows_figures(rows, index, figures, of);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        const Column column = told[i];
        const double here = rows_figure(rows->workbench, rows->selected, column);
        if (isnan(figures[column]) || figures[column] == here) continue;
        const bool first = !*out;
        const size_t used = strlen(out);
        snprintf(out + used, size - used, first ? "in the row: %s of " : ", %s of ", column_table[column].title);
        add_member_name(rows, of[column], first, out, size);
    }
}

// ---- names --------------------------------------------------------------------------------------------------------

// "3.down_proj", of several "3.down_proj ×128", "3.down ×128"; of a whole layer "layer 3 ×7". Where a filter leaves
// some out: "×5 of 128".
void rows_name(const Rows *rows, int index, int room, char *out, size_t size) {
    const ModelStructure *structure = workbench_structure(rows->workbench);
    const Linear *l = &structure->linears[rows->linears[index]];
    const int group = hidden_by(rows, rows->linears[index]);
    if (group == NO_GROUP) {
        linear_short_name(l, out, size);
        return;
    }
    const bool layer = group == rows->group[FOLD_LAYER][rows->linears[index]];
    const char *dot = strrchr(l->name, '.');
    const int shown = rows_size(rows, index), all = rows->group_size[group];
    char of[24] = "", number[16], whole[128], shorter[64];
    if (shown < all) snprintf(of, sizeof of, " of %d", all);
    layer_short_name(structure, l->layer, number, sizeof number);
    if (layer)
        snprintf(whole, sizeof whole, "layer %s", number);
    else
        snprintf(whole, sizeof whole, "%s.%.100s", number, dot ? dot + 1 : l->name);
    if (layer || l->role == ROLE_OTHER)
        snprintf(shorter, sizeof shorter, "%.60s", whole);
    else
        snprintf(shorter, sizeof shorter, "%s.%s", number, role_name(l->role));
    snprintf(out, size, "%s ×%d%s", whole, shown, of);
    if ((int)strlen(out) - 1 > room) snprintf(out, size, "%s ×%d%s", shorter, shown, of);
    if ((int)strlen(out) - 1 > room) snprintf(out, size, "%s×%d", shorter, shown);
}
