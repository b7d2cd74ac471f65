// The pane of linears: a table, sorted and filtered by rows.c.
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/format.h"
#include "tui/graph.h"
#include "tui/panels.h"
#include "tui/screen.h"

// In which order columns are given up when there is no room.
static const Column by_importance[] = {
    COLUMN_WEIGHT_MAX, COLUMN_RANGE,    COLUMN_CLASS,    COLUMN_BITS, COLUMN_GROUP,
    COLUMN_SQNR,       COLUMN_KURTOSIS, COLUMN_OUTLIERS, COLUMN_SIZE,
};
static_assert(sizeof by_importance / sizeof *by_importance == COLUMN_COUNT - 1, "a column would never be shown");

typedef struct LayersTable {
    bool shown[COLUMN_COUNT];
    int width[COLUMN_COUNT]; // of the text; one blank stands before each
    bool tight;
    int bar; // columns of the bar beside |x|max; 0: none
} LayersTable;

#define BAR_COLS 8
#define NAME_MOST 24

// The figures that every size shows need so much; below it the bits are two columns wide.
static bool tight(int room) {
    int needed = column_table[COLUMN_LINEAR].width;
    for (int column = COLUMN_WEIGHT_MAX; column <= COLUMN_GROUP; column++) needed += column_table[column].width + 1;
    return room < needed;
}

static LayersTable arrange(int room) {
    LayersTable t = {.tight = tight(room)};
    t.shown[COLUMN_LINEAR] = true;
    t.width[COLUMN_LINEAR] = column_table[COLUMN_LINEAR].width;
    room -= t.width[COLUMN_LINEAR];
    for (size_t i = 0; i < sizeof by_importance / sizeof *by_importance; i++) {
        const Column column = by_importance[i];
        const int width = t.tight && column == COLUMN_BITS ? 2 : column_table[column].width;
        if (width + 1 > room) break;
        t.shown[column] = true;
        t.width[column] = width;
        room -= width + 1;
        if (column == COLUMN_SQNR && room >= BAR_COLS + 1) {
            t.bar = BAR_COLS;
            room -= BAR_COLS + 1;
        }
    }
    t.width[COLUMN_LINEAR] += room < NAME_MOST - t.width[COLUMN_LINEAR] ? room : NAME_MOST - t.width[COLUMN_LINEAR];
    return t;
}

Style class_style(FptqClass class) {
    switch (class) {
    case CLASS_STATIC: return MEANING_STATIC;
    case CLASS_LAE: return MEANING_LAE;
    case CLASS_TOKEN: return MEANING_TOKEN;
    case CLASS_UNKNOWN: break;
    }
    return MEANING_FAINT;
}

// Of what becomes of the input, which need not be what its range asks for.
Style input_style(const Decision *d) {
    if (d->lae) return MEANING_LAE;
    if (!d->quantized || d->smooth) return d->quantized ? MEANING_VALUE : MEANING_FAINT;
    return d->activations == POLICY_STATIC  ? MEANING_STATIC
           : d->activations == POLICY_TOKEN ? MEANING_TOKEN
                                            : MEANING_VALUE;
}

// ---- cells --------------------------------------------------------------------------------------------------------

static Short short_text(const char *text) {
    Short s;
    snprintf(s.text, sizeof s.text, "%s", text);
    return s;
}

Short panel_layers_cell(const Ui *ui, int linear, Column column) {
    const Decision *d = &workbench_plan(ui->workbench)->decisions[linear];
    const double figure = rows_figure(ui->workbench, linear, column);
    if (!d->quantized &&
        (column == COLUMN_CLASS || column == COLUMN_BITS || column == COLUMN_GROUP || column == COLUMN_SQNR))
        return short_text("–");
    switch (column) {
    case COLUMN_WEIGHT_MAX: return isinf(figure) ? short_text("nonfin") : format_figure(figure, 3);
    case COLUMN_RANGE: return figure < 1 ? format_figure(figure, 3) : format_fixed(figure, figure < 10000 ? 1 : 0);
    case COLUMN_CLASS: return short_text(decision_input_text(d));
    case COLUMN_SQNR: return format_decibel(figure);
    case COLUMN_KURTOSIS: return format_figure(figure, 3);
    case COLUMN_OUTLIERS: return format_percent(figure);
    case COLUMN_SIZE: return format_bytes(figure);
    case COLUMN_LINEAR:
    case COLUMN_BITS:
    case COLUMN_GROUP:
    case COLUMN_COUNT: break;
    }
    return format_fixed(figure, 0);
}

static Style cell_style(const Ui *ui, int linear, Column column) {
    const Effect *effect = workbench_effect(ui->workbench);
    const Decision *d = &workbench_plan(ui->workbench)->decisions[linear];
    if (column == COLUMN_WEIGHT_MAX && isinf(rows_figure(ui->workbench, linear, column))) return MEANING_ERROR;
    if (column == COLUMN_SQNR && effect->sqnr_turn != workbench_turn(ui->workbench)) return MEANING_FAINT | STYLE_DIM;
    if (column == COLUMN_RANGE) return class_style(d->input_class);
    if (column == COLUMN_CLASS) return input_style(d);
    return isnan(rows_figure(ui->workbench, linear, column)) || !d->quantized ? MEANING_FAINT : MEANING_VALUE;
}

static bool has_override(const Ui *ui, const char *name) {
    const Recipe *recipe = workbench_recipe(ui->workbench);
    for (int i = 0; i < recipe->override_count; i++) {
        if (glob_matches(recipe->overrides[i].match, name)) return true;
    }
    return false;
}

// Ranges span decades: the bar's length is a logarithm, from 1 to the largest range of all.
static double range_share(const Ui *ui, int linear) {
    double largest = 1;
    for (int i = 0; i < workbench_structure(ui->workbench)->linear_count; i++) {
        const InputStats *input = workbench_input_stats(ui->workbench, i);
        if (input) largest = fmax(largest, (double)input->range);
    }
    const InputStats *input = workbench_input_stats(ui->workbench, linear);
    return input ? log1p((double)input->range) / log1p(largest) : 0;
}

static void draw_row(Ui *ui, const LayersTable *table, Rect line, int linear) {
    Canvas *canvas = &ui->canvas;
    const Linear *l = &workbench_structure(ui->workbench)->linears[linear];
    const bool selected = linear == ui->rows.selected, overridden = has_override(ui, l->name);
    char name[128];
    linear_short_name(l, name, sizeof name);
    canvas_text(canvas, line.row, line.col, 1, overridden ? MEANING_OVERRIDE | STYLE_BOLD : MEANING_ACCENT,
                overridden ? "*"
                : selected ? "▸"
                           : " ");
    const bool found = *ui->rows.find && rows_text_matches(l->name, ui->rows.find);
    const Style name_style = workbench_plan(ui->workbench)->decisions[linear].quantized ? MEANING_TEXT : MEANING_FAINT;
    canvas_fit(canvas, line.row, line.col + 1, table->width[COLUMN_LINEAR],
               found ? MEANING_CHANGED | STYLE_UNDERLINE : name_style, name);
    int col = line.col + 1 + table->width[COLUMN_LINEAR];
    for (int column = COLUMN_LINEAR + 1; column < COLUMN_COUNT; column++) {
        if (!table->shown[column]) continue;
        canvas_right(canvas, line.row, col + 1, table->width[column], cell_style(ui, linear, (Column)column),
                     panel_layers_cell(ui, linear, (Column)column).text);
        col += table->width[column] + 1;
        if (column == COLUMN_RANGE && table->bar) {
            graph_bar(canvas, line.row, col + 1, table->bar, range_share(ui, linear),
                      cell_style(ui, linear, COLUMN_RANGE));
            col += table->bar + 1;
        }
    }
    if (selected) canvas_restyle(canvas, line, STYLE_SELECTED);
    ui_hit(ui, line, HIT_ROW, linear);
}

// ---- headings -----------------------------------------------------------------------------------------------------

// A ~ stands before what rests on ranges that have not settled.
static const char *heading(const Ui *ui, Column column) {
    const bool provisional = workbench_plan(ui->workbench)->provisional;
    if (column == COLUMN_RANGE && calibration_provisional(ui)) return "~range";
    if (column == COLUMN_CLASS && provisional) return "~class";
    if (column == COLUMN_SQNR && provisional) return "~out";
    return column_table[column].title;
}

static void draw_heading(Ui *ui, Rect cell, Column column) {
    const char *title = cell.cols < 3 ? "b" : heading(ui, column);
    const bool sorted = ui->rows.sort == column;
    const Style style = sorted ? MEANING_TITLE | STYLE_BOLD | STYLE_UNDERLINE : MEANING_FAINT;
    if (column == COLUMN_LINEAR)
        canvas_text(&ui->canvas, cell.row, cell.col, cell.cols, style, title);
    else
        canvas_right(&ui->canvas, cell.row, cell.col, cell.cols, style, title);
    ui_hit(ui, cell, HIT_COLUMN, (int)column);
}

static void draw_headings(Ui *ui, const LayersTable *table, Rect line) {
    int col = line.col + 1;
    for (int column = 0; column < COLUMN_COUNT; column++) {
        if (!table->shown[column]) continue;
        const int gap = column == COLUMN_LINEAR ? 0 : 1;
        draw_heading(ui, (Rect){line.row, col + gap, 1, table->width[column]}, (Column)column);
        col += table->width[column] + gap;
        if (column == COLUMN_RANGE && table->bar) col += table->bar + 1;
    }
}

static void draw_layers_title(Ui *ui) {
    const Rect pane = ui->layout.layers;
    const Rows *rows = &ui->rows;
    char right[256];
    const bool falling = column_table[rows->sort].falling != rows->reversed;
    const int after = screen_tabs_draw(ui, (Rect){pane.row - 1, pane.col, 1, pane.cols - 22});
    const int total = workbench_structure(ui->workbench)->linear_count;
    if (*rows->filter)
        snprintf(right, sizeof right, " %d of %d & %s ", rows->count, total, rows->filter);
    else
        snprintf(right, sizeof right, " by %s %s ", column_table[rows->sort].title, falling ? "▼" : "▲");
    canvas_right(&ui->canvas, pane.row - 1, after, pane.col + pane.cols - after - 1,
                 *rows->filter ? MEANING_CHANGED : MEANING_FAINT, right);
}

// A thumb on the right border says which part of the table is seen.
static void draw_scroll_thumb(Ui *ui, Rect list) {
    const Rows *rows = &ui->rows;
    if (rows->count <= list.rows) return;
    int length = list.rows * list.rows / rows->count;
    if (length < 1) length = 1;
    const int room = list.rows - length, most = rows->count - list.rows;
    const int at = (rows->top * room + most / 2) / most;
    for (int i = 0; i < length; i++)
        canvas_text(&ui->canvas, list.row + at + i, list.col + list.cols, 1, MEANING_ACCENT, "┃");
}

void panel_layers_draw(Ui *ui) {
    const Rect pane = ui->layout.layers;
    const Rect list = {pane.row + 1, pane.col, pane.rows - 1, pane.cols};
    const LayersTable table = arrange(pane.cols - 2);
    ui_hit(ui, pane, HIT_PANE, PANE_LAYERS);
    draw_layers_title(ui);
    draw_headings(ui, &table, (Rect){pane.row, pane.col, 1, pane.cols});
    rows_show(&ui->rows, list.rows);
    for (int i = 0; i < list.rows && ui->rows.top + i < ui->rows.count; i++) {
        draw_row(ui, &table, (Rect){list.row + i, list.col, 1, list.cols}, ui->rows.linears[ui->rows.top + i]);
    }
    if (ui->rows.count == 0)
        canvas_fit(&ui->canvas, list.row, list.col + 2, list.cols - 3, MEANING_FAINT,
                   "no linear matches the filter; Esc shows all");
    draw_scroll_thumb(ui, list);
}
