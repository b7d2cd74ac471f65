#include "tui/find.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "tui/convert.h"
#include "tui/name_pattern.h"
#include "tui/sensitivity.h"
#include "tui/sweep.h"
#include "tui/trials.h"

// Rows of linears match when one of these does (found); others by their text (name).
typedef struct FindList {
    const char *rows;
    int (*count)(Ui *ui);
    int (*at)(Ui *ui);
    void (*choose)(Ui *ui, int row);
    void (*found)(Ui *ui, bool *out);
    void (*name)(Ui *ui, int row, char *out, size_t size);
} FindList;

// ---- rows of linears ----------------------------------------------------------------------------------------------

static int layers_count(Ui *ui) { return ui->rows.count; }
static int layers_at(Ui *ui) { return rows_index(&ui->rows); }

static void layers_choose(Ui *ui, int row) {
    const int found = rows_found_in(&ui->rows, row);
    rows_select(&ui->rows, found < 0 ? ui->rows.linears[row] : found);
}

static void layers_found(Ui *ui, bool *out) {
    for (int i = 0; i < ui->rows.count; i++) out[i] = rows_found(&ui->rows, i);
}

static int cells_count(Ui *ui) { return ui->outliers.heat.map.line_count * ui->outliers.heat.map.columns; }
static int cells_at(Ui *ui) { return ui->outliers.cell; }

static void cells_choose(Ui *ui, int cell) {
    ui->outliers.cell = cell;
    ui->outliers.moved = true;
}

static void cells_found(Ui *ui, bool *out) {
    for (int i = 0; i < ui->rows.total; i++)
        if (ui->rows.found[i]) out[ui->outliers.heat.map.cell_of[i]] = true;
}

static int costs_count(Ui *ui) { return ui->sensitivity.row_count; }
static int costs_at(Ui *ui) { return sensitivity_index(ui); }

static void costs_found(Ui *ui, bool *out) {
    for (int i = 0; i < ui->sensitivity.row_count; i++) out[i] = ui->sensitivity.rows[i].found > 0;
}

// ---- rows of texts ------------------------------------------------------------------------------------------------

static int trials_count(Ui *ui) {
    TrialOrder order;
    trials_order(ui, &order);
    return order.count;
}

static int trials_at(Ui *ui) {
    TrialOrder order;
    trials_order(ui, &order);
    return trials_place(&order, trials_selected(ui));
}

static void trials_choose_at(Ui *ui, int row) {
    TrialOrder order;
    trials_order(ui, &order);
    if (row < order.count) trials_choose(ui, order.numbers[row]);
}

static void trials_words(Ui *ui, int row, char *out, size_t size) {
    TrialOrder order;
    trials_order(ui, &order);
    const TrialRow *trial = trials_row(workbench_trials(ui->workbench), order.numbers[row]);
    if (trial)
        snprintf(out, size, "%s %s %s", trials_name(ui, trial->number).text, trial->note, trial->what);
    else
        snprintf(out, size, "%s", trials_present_words(ui));
}

static int points_count(Ui *ui) { return workbench_swept(ui->workbench)->count; }
static int points_at(Ui *ui) { return ui->sweep.cursor; }

static void points_name(Ui *ui, int point, char *out, size_t size) {
    const SweepView *v = workbench_swept(ui->workbench);
    size_t used = 0;
    *out = '\0';
    for (int d = 0; d < v->dial_count && used < size; d++) {
        char value[64];
        dial_format(v->dials[d].dial, sweep_view_value(v, point, d), value, sizeof value);
        used += (size_t)snprintf(out + used, size - used, "%s%s %s", d ? " " : "", dial_table[v->dials[d].dial].label,
                                 value);
    }
}

static const Verdict *verdict(Ui *ui) { return workbench_verdict(ui->workbench, ui->convert.format); }
static int engines_count(Ui *ui) { return verdict(ui) ? verdict(ui)->row_count : 0; }
static int engines_at(Ui *ui) { return ui->convert.engine; }
static void engines_choose(Ui *ui, int row) { convert_move(ui, row - ui->convert.engine); }

static void engines_name(Ui *ui, int row, char *out, size_t size) {
    snprintf(out, size, "%s", target_table[verdict(ui)->rows[row].target].title);
}

static int rules_at(Ui *ui) { return ui->overrides.selected; }

// ---- one way for all ----------------------------------------------------------------------------------------------

static const FindList lists[] = {
    [SCREEN_LAYERS] = {"linear", layers_count, layers_at, layers_choose, layers_found, NULL},
    [SCREEN_OUTLIERS] = {"linear", cells_count, cells_at, cells_choose, cells_found, NULL},
    [SCREEN_TRIALS] = {"row", trials_count, trials_at, trials_choose_at, NULL, trials_words},
    [SCREEN_SWEEP] = {"point", points_count, points_at, sweep_choose, NULL, points_name},
    [SCREEN_SENSITIVITY] = {"linear", costs_count, costs_at, sensitivity_choose, costs_found, NULL},
    [SCREEN_CONVERT] = {"engine", engines_count, engines_at, engines_choose, NULL, engines_name},
};
static_assert(sizeof lists / sizeof *lists == SCREEN_COUNT, "a screen has no rows to find");

static const FindList *list_of(const Ui *ui) {
    static const FindList rules = {"override", overrides_count, rules_at, overrides_choose, NULL, overrides_name};
    return ui->overrides.shown ? &rules : &lists[ui->screen];
}

const char *find_rows(const Ui *ui) { return list_of(ui)->rows; }

int find_at(Ui *ui) { return list_of(ui)->at(ui); }

void find_return(Ui *ui, int row) {
    const FindList *list = list_of(ui);
    if (row >= 0 && row < list->count(ui) && row != find_at(ui)) list->choose(ui, row);
}

bool find_set(Ui *ui, const char *text, Error *err) {
    if (!rows_set_find(&ui->rows, text, err)) return false;
    if (ui->screen == SCREEN_SENSITIVITY) sensitivity_find(ui);
    return true;
}

static void match_names(Ui *ui, const FindList *list, int count, bool *out) {
    NamePattern pattern;
    char name[1024];
    if (!name_pattern_compile(ui->rows.find, false, &pattern, NULL)) return;
    for (int i = 0; i < count; i++) {
        list->name(ui, i, name, sizeof name);
        out[i] = name_pattern_matches(&pattern, name);
    }
    name_pattern_free(&pattern);
}

// Which rows match, owned by the caller; NULL: memory is short, or there are no rows.
static bool *find_all(Ui *ui, int *count) {
    const FindList *list = list_of(ui);
    *count = list->count(ui);
    bool *found = *count > 0 ? array_new((size_t)*count, sizeof *found) : NULL;
    if (!found || !*ui->rows.find) return found;
    if (list->found)
        list->found(ui, found);
    else
        match_names(ui, list, *count, found);
    return found;
}

bool find_step(Ui *ui, int direction, bool here) {
    int count, to = -1;
    bool *found = find_all(ui, &count);
    const int from = find_at(ui) < 0 ? 0 : find_at(ui);
    for (int i = here ? 0 : 1; found && to < 0 && i <= count; i++) {
        const int row = ((from + direction * i) % count + count) % count;
        if (found[row]) to = row;
    }
    free(found);
    if (to >= 0) list_of(ui)->choose(ui, to);
    return to >= 0;
}

bool find_count(Ui *ui, int *up_to_here, int *all) {
    int count;
    bool *found = find_all(ui, &count);
    const int at = find_at(ui);
    *up_to_here = *all = 0;
    for (int i = 0; found && i < count; i++) {
        *all += found[i];
        *up_to_here += found[i] && i <= at;
    }
    free(found);
    return found != NULL;
}
