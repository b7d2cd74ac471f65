// The Outliers screen: what is chosen on it, and what its keys do. panel_outliers.c draws it.
#pragma once

#include "tui/ui.h"

void outliers_open(Ui *ui); // the cursor goes to the linear that was chosen, or to the worst
void outliers_close(Ui *ui);
const HeatMap *outliers_map(Ui *ui);          // with the figures of now
const MapCell *outliers_cell(const Ui *ui);   // under the cursor
int outliers_column(const Ui *ui, int *line); // where the cursor is

void outliers_move_column(Ui *ui, int steps); // to the next cell with linears in that direction
void outliers_move_line(Ui *ui, int steps);
void outliers_move_end(Ui *ui, int direction);
void outliers_point(Ui *ui, int line, int column); // as they are seen
void outliers_next(Ui *ui, int steps);
void outliers_worst(Ui *ui, int unused); // of the measure
void outliers_turn_measure(Ui *ui, int steps);
void outliers_measure(Ui *ui, HeatMeasure measure);
void outliers_study(Ui *ui, int unused); // finds out what each linear costs alone
void outliers_mark(Ui *ui, int unused);
void outliers_enter(Ui *ui, int unused);
