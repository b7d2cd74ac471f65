#include "tui/outliers.h"

#include <math.h>

#include "tui/screen.h"

const HeatMap *outliers_map(Ui *ui) {
    HeatScreen *h = &ui->heat;
    if (!h->filled) {
        const double *before = ui->pin.set ? ui->pin.output_sqnr_db : NULL;
        const bool fresh = workbench_effect(ui->workbench)->sqnr_turn == workbench_turn(ui->workbench);
        heat_fill(&h->map, ui->workbench, h->measure, fresh || h->measure != HEAT_CHANGE ? before : NULL);
    }
    h->filled = true;
    return &h->map;
}

const HeatCell *outliers_cell(const Ui *ui) { return &ui->heat.map.cells[ui->heat.cell]; }

int outliers_column(const Ui *ui, int *line) {
    *line = ui->heat.cell / ui->heat.map.columns;
    return ui->heat.cell % ui->heat.map.columns;
}

void outliers_open(Ui *ui) {
    const bool chosen = ui->rows.moved && ui_linear(ui) >= 0;
    ui->heat.filled = false;
    ui->heat.cell = chosen ? ui->heat.map.cell_of[ui_linear(ui)] : heat_worst(outliers_map(ui));
}

// ---- the cursor ---------------------------------------------------------------------------------------------------

static bool stands_on(Ui *ui, int line, int column) {
    const HeatMap *map = &ui->heat.map;
    if (line < 0 || line >= map->line_count || column < 0 || column >= map->columns) return false;
    const int cell = line * map->columns + column;
    if (!map->cells[cell].linears) return false;
    ui->heat.cell = cell;
    return true;
}

void outliers_move_column(Ui *ui, int steps) {
    int line, column = outliers_column(ui, &line);
    for (int to = column + steps; to >= 0 && to < ui->heat.map.columns; to += steps) {
        if (stands_on(ui, line, to)) return;
    }
}

// In a line that has nothing in this column, to what is nearest there.
static bool stands_near(Ui *ui, int line, int column) {
    for (int away = 0; away < ui->heat.map.columns; away++) {
        if (stands_on(ui, line, column - away) || stands_on(ui, line, column + away)) return true;
    }
    return false;
}

void outliers_move_line(Ui *ui, int steps) {
    int line, column = outliers_column(ui, &line);
    for (int to = line + steps; to >= 0 && to < ui->heat.map.line_count; to += steps) {
        if (stands_near(ui, to, column)) return;
    }
}

void outliers_move_end(Ui *ui, int direction) {
    int line;
    outliers_column(ui, &line);
    stands_near(ui, line, direction < 0 ? 0 : ui->heat.map.columns - 1);
}

void outliers_point(Ui *ui, int line, int column) {
    stands_on(ui, ui->heat.first_line + line, ui->heat.first_column + column);
}

void outliers_next(Ui *ui, int steps) {
    const HeatMap *map = outliers_map(ui);
    const int next = heat_next(map, ui->heat.cell, steps);
    if (!map->known)
        ui_say(ui, "nothing is known yet");
    else if (next == ui->heat.cell)
        ui_say(ui, steps > 0 ? "this is the least of all" : "this is the worst of all");
    ui->heat.cell = next;
}

// ---- what is shown ------------------------------------------------------------------------------------------------

void outliers_measure(Ui *ui, HeatMeasure measure) {
    ui->heat.measure = measure;
    ui->heat.filled = false;
}

void outliers_turn_measure(Ui *ui, int steps) {
    outliers_measure(ui, (HeatMeasure)(((int)ui->heat.measure + HEAT_MEASURES + steps) % HEAT_MEASURES));
}

// ---- rows ---------------------------------------------------------------------------------------------------------

void outliers_mark(Ui *ui, int unused) {
    (void)unused;
    const HeatMap *map = &ui->heat.map;
    int marked = 0;
    for (int i = 0; i < map->linear_count; i++) marked += map->cell_of[i] == ui->heat.cell && ui->rows.marked[i];
    const bool on = marked < outliers_cell(ui)->linears;
    for (int i = 0; i < map->linear_count; i++) {
        if (map->cell_of[i] == ui->heat.cell) rows_mark(&ui->rows, i, on);
    }
    ui_say(ui, "%d %s", ui->rows.marked_count, ui->rows.marked_count == 1 ? "linear marked" : "linears marked");
}

// A filter must not hide what was chosen here.
void outliers_enter(Ui *ui, int unused) {
    (void)unused;
    ui->rows.selected = outliers_cell(ui)->worst;
    ui->rows.moved = true;
    if (rows_index(&ui->rows) < 0) {
        *ui->rows.filter = '\0';
        rows_arrange(&ui->rows);
    }
    ui->focus = PANE_LAYERS;
    screen_go(ui, SCREEN_LAYERS);
}
