// The pane of linears: a table, sorted and filtered by rows.c.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/format.h"
#include "tui/graph.h"
#include "tui/panels.h"
#include "tui/screen.h"

typedef struct LayersTable {
    bool shown[COLUMN_COUNT];
    int width[COLUMN_COUNT]; // of the text; one blank stands before each
    bool tight;
    int bar;  // columns of the bar beside |x|max; 0: none
    int last; // the last column that is shown
} LayersTable;

#define BAR_COLS 8
#define NAME_MOST 24
#define STATE_COLS 2 // before the name: the mark; the cursor or an override

// The figures that every size shows need so much; below it the bits are two columns wide.
static bool tight(int room) {
    int needed = column_table[COLUMN_LINEAR].width;
    for (int column = COLUMN_WEIGHT_MAX; column <= COLUMN_GROUP; column++) needed += column_table[column].width + 1;
    return room < needed;
}

// The name stays, so many of the others are behind the left edge.
static LayersTable arrange(int room, int scrolled) {
    LayersTable t = {.tight = scrolled == 0 && tight(room), .last = COLUMN_LINEAR};
    t.shown[COLUMN_LINEAR] = true;
    t.width[COLUMN_LINEAR] = column_table[COLUMN_LINEAR].width;
    room -= t.width[COLUMN_LINEAR];
    for (int column = COLUMN_LINEAR + 1 + scrolled; column < COLUMN_COUNT; column++) {
        const int width = t.tight && column == COLUMN_BITS ? 2 : column_table[column].width;
        if (width + 1 > room) break;
        t.shown[column] = true;
        t.width[column] = width;
        t.last = column;
        room -= width + 1;
        if (column == COLUMN_SQNR && t.shown[COLUMN_RANGE] && room >= BAR_COLS + 1) {
            t.bar = BAR_COLS;
            room -= BAR_COLS + 1;
        }
    }
    t.width[COLUMN_LINEAR] += room < NAME_MOST - t.width[COLUMN_LINEAR] ? room : NAME_MOST - t.width[COLUMN_LINEAR];
    return t;
}

// No further than the last column needs.
static LayersTable arrange_scrolled(Rows *rows, int room) {
    while (rows->scrolled > 0 && arrange(room, rows->scrolled - 1).last == COLUMN_COUNT - 1) rows->scrolled--;
    return arrange(room, rows->scrolled);
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

// In three digits, or as many as there is room for: a number that is cut off is another one.
static Short uncut_figure(double figure, int width) {
    Short text = format_figure(figure, 3);
    for (int digits = 2; digits > 0 && strlen(text.text) > (size_t)width; digits--)
        text = format_figure(figure, digits);
    return text;
}

static Short figure_text(double figure, Column column) {
    switch (column) {
    case COLUMN_WEIGHT_MAX:
        return isinf(figure) ? short_text("nonfin") : uncut_figure(figure, column_table[column].width);
    case COLUMN_RANGE: return format_figure(figure, 3);
    case COLUMN_SQNR: return format_decibel(figure);
    case COLUMN_KURTOSIS: return format_figure(figure, 3);
    case COLUMN_OUTLIERS: return format_percent(figure);
    case COLUMN_SIZE: return format_bytes(figure);
    case COLUMN_LINEAR:
    case COLUMN_CLASS:
    case COLUMN_BITS:
    case COLUMN_GROUP:
    case COLUMN_COUNT: break;
    }
    return format_fixed(figure, 0);
}

// Of one linear, as the table would show it alone.
Short panel_layers_cell(const Ui *ui, int linear, Column column) {
    const Decision *d = &workbench_plan(ui->workbench)->decisions[linear];
    const bool of_codes =
        column == COLUMN_CLASS || column == COLUMN_BITS || column == COLUMN_GROUP || column == COLUMN_SQNR;
    if (of_codes && !d->quantized) return short_text("–");
    if (column == COLUMN_CLASS) return short_text(decision_input_text(d));
    return figure_text(rows_figure(ui->workbench, linear, column), column);
}

// What the linears of a row agree about, as far as they do.
typedef struct Shared {
    int size, quantized;
    const char *input;        // what becomes of it; "mixed"
    const Decision *one;      // of one that is quantized, or of any
    FptqClass class;          // the highest
    double least[2], most[2]; // of bits, group
    int marked, changed, unlike_pin, overridden;
    double figures[COLUMN_COUNT];
} Shared;

static Shared shared_by(const Ui *ui, int index) {
    const Rows *rows = &ui->rows;
    const int *members = rows_members(rows, index);
    Shared s = {.size = rows_size(rows, index)};
    int of[COLUMN_COUNT];
    rows_figures(rows, index, s.figures, of);
    for (int i = 0; i < s.size; i++) {
        const int linear = members[i];
        const Decision *d = &workbench_plan(ui->workbench)->decisions[linear];
        const double figures[] = {d->bits, (double)d->group};
        s.marked += rows->marked[linear];
        s.changed += rows->changed[linear];
        s.unlike_pin += rows->unlike_pin[linear];
        s.overridden += rows->overridden[linear];
        if (d->input_class > s.class) s.class = d->input_class;
        if (!s.one) s.one = d;
        if (!d->quantized) continue;
        const bool first = s.quantized++ == 0;
        if (first) s.one = d;
        const char *input = decision_input_text(d);
        s.input = first || strcmp(s.input, input) == 0 ? input : "mixed";
        for (int f = 0; f < 2; f++) {
            s.least[f] = first ? figures[f] : fmin(s.least[f], figures[f]);
            s.most[f] = first ? figures[f] : fmax(s.most[f], figures[f]);
        }
    }
    return s;
}

// "4", "4–8", and where that finds no room "4+".
static Short range_text(const Ui *ui, double least, double most, int width) {
    Short s = format_fixed(least, 0);
    if (least == most) return s;
    snprintf(s.text, sizeof s.text, "%.0f–%.0f", least, most);
    if (canvas_width(&ui->canvas, s.text) > width) snprintf(s.text, sizeof s.text, "%.0f+", least);
    return s;
}

static Short cell_text(const Ui *ui, const Shared *shared, Column column, int width) {
    const bool of_codes =
        column == COLUMN_CLASS || column == COLUMN_BITS || column == COLUMN_GROUP || column == COLUMN_SQNR;
    if (of_codes && !shared->quantized) return short_text("–");
    if (column == COLUMN_CLASS) return short_text(shared->input);
    if (column == COLUMN_BITS || column == COLUMN_GROUP) {
        const int f = column == COLUMN_GROUP;
        return range_text(ui, shared->least[f], shared->most[f], width);
    }
    return figure_text(shared->figures[column], column);
}

// The outputs' errors are those of an earlier turn.
static bool is_of_before(const Ui *ui) {
    const Effect *effect = workbench_effect(ui->workbench);
    return effect->output_sqnr_db && effect->sqnr_turn != workbench_turn(ui->workbench);
}

static Style cell_style(const Ui *ui, const Shared *shared, Column column) {
    if (column == COLUMN_RANGE) return class_style(shared->class);
    if (column == COLUMN_CLASS)
        return shared->input && strcmp(shared->input, "mixed") == 0 ? MEANING_VALUE : input_style(shared->one);
    if (column == COLUMN_SQNR && is_of_before(ui)) return MEANING_FAINT | STYLE_DIM;
    const double figure = shared->figures[column];
    if (column == COLUMN_WEIGHT_MAX && isinf(figure)) return MEANING_ERROR;
    return isnan(figure) || !shared->quantized ? MEANING_FAINT : MEANING_VALUE;
}

// Ranges span decades: the bar's length is a logarithm, from 1 to the largest range of all.
static double range_share(const Ui *ui, double range) {
    return isnan(range) ? 0 : log1p(range) / log1p(ui->rows.range_most);
}

// Marked, some of them, changed by the last turn, both, or unlike the pin.
static void draw_mark(Ui *ui, int row, int col, const Shared *s) {
    const char *sign = s->marked == s->size && s->changed ? "◉"
                       : s->marked == s->size             ? "●"
                       : s->marked                        ? "◐"
                       : s->changed                       ? "○"
                       : s->unlike_pin                    ? "·"
                                                          : " ";
    canvas_text(&ui->canvas, row, col, 1, s->marked ? MEANING_ACCENT | STYLE_BOLD : MEANING_CHANGED, sign);
}

static void draw_name(Ui *ui, Rect cell, int index, bool quantized) {
    char name[128];
    rows_name(&ui->rows, index, cell.cols, name, sizeof name);
    const bool found = rows_found(&ui->rows, index);
    canvas_fit(&ui->canvas, cell.row, cell.col, cell.cols,
               found       ? MEANING_CHANGED | STYLE_UNDERLINE
               : quantized ? MEANING_TEXT
                           : MEANING_FAINT,
               name);
}

static void draw_row(Ui *ui, const LayersTable *table, Rect line, int index) {
    Canvas *canvas = &ui->canvas;
    const bool selected = index == rows_index(&ui->rows);
    const Shared shared = shared_by(ui, index);
    draw_mark(ui, line.row, line.col, &shared);
    canvas_text(canvas, line.row, line.col + 1, 1, shared.overridden ? MEANING_OVERRIDE | STYLE_BOLD : MEANING_ACCENT,
                shared.overridden ? "*"
                : selected        ? "▸"
                                  : " ");
    int col = line.col + STATE_COLS;
    draw_name(ui, (Rect){line.row, col, 1, table->width[COLUMN_LINEAR]}, index, shared.quantized > 0);
    col += table->width[COLUMN_LINEAR];
    for (int column = COLUMN_LINEAR + 1; column < COLUMN_COUNT; column++) {
        if (!table->shown[column]) continue;
        const int width = table->width[column];
        canvas_right(canvas, line.row, col + 1, width, cell_style(ui, &shared, (Column)column),
                     cell_text(ui, &shared, (Column)column, width).text);
        col += width + 1;
        if (column == COLUMN_RANGE && table->bar) {
            graph_bar(canvas, line.row, col + 1, table->bar, range_share(ui, shared.figures[COLUMN_RANGE]),
                      class_style(shared.class));
            col += table->bar + 1;
        }
    }
    if (selected) canvas_restyle(canvas, line, STYLE_SELECTED);
    ui_hit(ui, line, HIT_ROW, ui->rows.linears[index]);
}

// ---- headings -----------------------------------------------------------------------------------------------------

// A ~ stands before what rests on ranges that have not settled; in brackets, as beside the table, is what a turn before
// left.
static const char *heading(const Ui *ui, Column column) {
    const bool provisional = workbench_plan(ui->workbench)->provisional;
    if (column == COLUMN_RANGE && calibration_provisional(ui)) return "~range";
    if (column == COLUMN_CLASS && provisional) return "~class";
    if (column == COLUMN_SQNR && is_of_before(ui)) return "(out)";
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

// ‹ and › say that there are more columns on that side.
static void draw_headings(Ui *ui, const LayersTable *table, Rect line) {
    int col = line.col + STATE_COLS;
    for (int column = 0; column < COLUMN_COUNT; column++) {
        if (!table->shown[column]) continue;
        const int gap = column == COLUMN_LINEAR ? 0 : 1;
        draw_heading(ui, (Rect){line.row, col + gap, 1, table->width[column]}, (Column)column);
        col += table->width[column] + gap;
        if (column == COLUMN_RANGE && table->bar) col += table->bar + 1;
    }
    if (ui->rows.scrolled) canvas_text(&ui->canvas, line.row, line.col, 1, MEANING_ACCENT, "‹");
    if (table->last < COLUMN_COUNT - 1)
        canvas_text(&ui->canvas, line.row, line.col + line.cols, 1, MEANING_ACCENT, "›");
}

// Of what calibration measures.
static bool is_of_inputs(Column column) {
    return column == COLUMN_RANGE || column == COLUMN_CLASS || column == COLUMN_SQNR;
}

// By a column that nothing is known of yet, rows stand as in the model.
static bool is_sorted(const Rows *rows) {
    for (int i = 0; i < rows->total; i++)
        if (!isnan(rows->figures[i])) return true;
    return false;
}

static void draw_layers_title(Ui *ui) {
    const Rect pane = ui->layout.layers;
    const Rows *rows = &ui->rows;
    char right[512], marked[48] = "";
    const bool provisional = calibration_provisional(ui) && is_of_inputs(rows->sort);
    const bool falling = column_table[rows->sort].falling != rows->reversed;
    const int after = screen_tabs_draw(ui, (Rect){pane.row - 1, pane.col, 1, pane.cols - 22});
    const int room = pane.col + pane.cols - after - 1;
    if (rows->marked_count) snprintf(marked, sizeof marked, " %d marked", rows->marked_count);
    if (*rows->filter)
        snprintf(right, sizeof right, "%s%s %d of %d & %s ", marked, *marked ? " ·" : "", rows->first[rows->count],
                 rows->total, rows->filter);
    else if (!is_sorted(rows))
        snprintf(right, sizeof right, "%s%s no %s yet ", marked, *marked ? " ·" : "", column_table[rows->sort].title);
    else
        snprintf(right, sizeof right, "%s%s by %s %s %s", marked, *marked ? " ·" : "", column_table[rows->sort].title,
                 falling ? "▼" : "▲", provisional ? "order may still change " : "");
    if (*marked && !*rows->filter && canvas_width(&ui->canvas, right) > room)
        snprintf(right, sizeof right, "%s ", marked);
    canvas_right(&ui->canvas, pane.row - 1, after, room, *rows->filter || *marked ? MEANING_CHANGED : MEANING_FAINT,
                 right);
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
    const LayersTable table = arrange_scrolled(&ui->rows, pane.cols - STATE_COLS);
    ui_hit(ui, pane, HIT_PANE, PANE_LAYERS);
    draw_layers_title(ui);
    draw_headings(ui, &table, (Rect){pane.row, pane.col, 1, pane.cols});
    rows_show(&ui->rows, list.rows);
    for (int i = 0; i < list.rows && ui->rows.top + i < ui->rows.count; i++)
        draw_row(ui, &table, (Rect){list.row + i, list.col, 1, list.cols}, ui->rows.top + i);
    if (ui->rows.count == 0)
        canvas_fit(&ui->canvas, list.row, list.col + STATE_COLS, list.cols - STATE_COLS, MEANING_FAINT,
                   "no linear matches the filter; Esc shows all");
    draw_scroll_thumb(ui, list);
}
