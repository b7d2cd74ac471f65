#include "tui/outliers.h"

#include <math.h>

#include "tui/screen.h"

const HeatMap *outliers_map(Ui *ui) {
    HeatScreen *h = &ui->outliers;
    if (!h->filled) {
        const double *before = ui->pin.set ? ui->pin.output_sqnr_db : NULL;
        const bool fresh = workbench_effect(ui->workbench)->sqnr_turn == workbench_turn(ui->workbench);
        heat_fill(&h->heat, ui->workbench, h->measure, fresh ? before : NULL);
        if (!h->moved) h->cell = heat_worst(&h->heat);
    }
    h->filled = true;
    return &h->heat;
}

const MapCell *outliers_cell(const Ui *ui) { return &ui->outliers.heat.map.cells[ui->outliers.cell]; }

int outliers_column(const Ui *ui, int *line) {
    *line = ui->outliers.cell / ui->outliers.heat.map.columns;
    return ui->outliers.cell % ui->outliers.heat.map.columns;
}

void outliers_open(Ui *ui) {
    workbench_look_at_kept_sensitivity(ui->workbench, true);
    ui->outliers.filled = false;
    ui->outliers.moved = ui->rows.moved && ui_linear(ui) >= 0;
    if (ui->outliers.moved) ui->outliers.cell = ui->outliers.heat.map.cell_of[ui_linear(ui)];
}

void outliers_close(Ui *ui) { workbench_look_at_kept_sensitivity(ui->workbench, false); }

// ---- the cursor ---------------------------------------------------------------------------------------------------

static bool stands_on(Ui *ui, int line, int column) {
    const HeatMap *heat = &ui->outliers.heat;
    if (line < 0 || line >= heat->map.line_count || column < 0 || column >= heat->map.columns) return false;
    const int cell = line * heat->map.columns + column;
    if (!heat->map.cells[cell].linears) return false;
    ui->outliers.cell = cell;
    ui->outliers.moved = true;
    return true;
}

void outliers_move_column(Ui *ui, int steps) {
    int line, column = outliers_column(ui, &line);
    for (int to = column + steps; to >= 0 && to < ui->outliers.heat.map.columns; to += steps) {
        if (stands_on(ui, line, to)) return;
    }
}

// In a line that has nothing in this column, to what is nearest there.
static bool stands_near(Ui *ui, int line, int column) {
    for (int away = 0; away < ui->outliers.heat.map.columns; away++) {
        if (stands_on(ui, line, column - away) || stands_on(ui, line, column + away)) return true;
    }
    return false;
}

void outliers_move_line(Ui *ui, int steps) {
    int line, column = outliers_column(ui, &line);
    for (int to = line + steps; to >= 0 && to < ui->outliers.heat.map.line_count; to += steps) {
        if (stands_near(ui, to, column)) return;
    }
}

void outliers_move_end(Ui *ui, int direction) {
    int line;
    outliers_column(ui, &line);
    stands_near(ui, line, direction < 0 ? 0 : ui->outliers.heat.map.columns - 1);
}

void outliers_point(Ui *ui, int line, int column) {
    stands_on(ui, ui->outliers.first_line + line, ui->outliers.first_column + column);
}

void outliers_next(Ui *ui, int steps) {
    const HeatMap *heat = outliers_map(ui);
    const int next = heat_next(heat, ui->outliers.cell, steps);
    if (!heat->map.known)
        ui_say(ui, "nothing is known yet");
    else if (next == ui->outliers.cell)
        ui_say(ui, steps > 0 ? "this is the least of all" : "this is the worst of all");
    ui->outliers.cell = next;
    ui->outliers.moved = true;
}

void outliers_worst(Ui *ui, int unused) {
    (void)unused;
    ui->outliers.moved = false;
    ui->outliers.filled = false;
    if (!outliers_map(ui)->map.known) ui_say(ui, "nothing is known yet");
}

// ---- what is shown ------------------------------------------------------------------------------------------------

// The cursor stays where it is.
void outliers_measure(Ui *ui, HeatMeasure measure) {
    ui->outliers.moved = ui->outliers.moved || ui->outliers.heat.map.known;
    ui->outliers.measure = measure;
    ui->outliers.filled = false;
}

void outliers_turn_measure(Ui *ui, int steps) {
    outliers_measure(ui, (HeatMeasure)(((int)ui->outliers.measure + HEAT_MEASURES + steps) % HEAT_MEASURES));
}

// It comes to its end, or to the next turn.
void outliers_study(Ui *ui, int unused) {
    (void)unused;
    workbench_look_at_sensitivity(ui->workbench, true);
    workbench_look_at_sensitivity(ui->workbench, false);
    workbench_resume_study(ui->workbench, JOB_SENSITIVITY); // it is asked for
    outliers_measure(ui, HEAT_KL);
}

// ---- rows ---------------------------------------------------------------------------------------------------------

void outliers_mark(Ui *ui, int unused) {
    (void)unused;
    const HeatMap *heat = &ui->outliers.heat;
    int marked = 0;
    for (int i = 0; i < heat->map.linear_count; i++)
        marked += heat->map.cell_of[i] == ui->outliers.cell && ui->rows.marked[i];
    const bool on = marked < outliers_cell(ui)->linears;
    ui->outliers.moved = true;
    for (int i = 0; i < heat->map.linear_count; i++) {
        if (heat->map.cell_of[i] == ui->outliers.cell) rows_mark(&ui->rows, i, on);
    }
    ui_say(ui, "%d %s", ui->rows.marked_count, ui->rows.marked_count == 1 ? "linear marked" : "linears marked");
}

// A filter must not hide what was chosen here.
void outliers_enter(Ui *ui, int unused) {
    (void)unused;
    const int linear = outliers_cell(ui)->worst;
    if (ui->rows.row_of[linear] < 0) rows_set_filter(&ui->rows, "", NULL);
    rows_select(&ui->rows, linear);
    ui->focus = PANE_LAYERS;
    screen_go(ui, SCREEN_LAYERS);
}
