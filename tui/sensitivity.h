// The Sensitivity screen: what linears cost alone, a budget that is turned like a dial, and what its keys do.
// panel_sensitivity.c draws it.
#pragma once

#include "tui/format.h"
#include "tui/ui.h"

#define KL_DECIMALS 5 // of what is measured

bool sensitivity_init(Ui *ui, Error *err);
void sensitivity_free(Ui *ui);
void sensitivity_open(Ui *ui);
void sensitivity_close(Ui *ui);
void sensitivity_update(Ui *ui); // after a change of the figures or the recipe, while the screen is shown

// What the whole would cost, from the sum of what linears cost alone: as the sum of now compares with the whole of now.
// NAN while that is not known.
double sensitivity_together(const Ui *ui, double alone);
// All linears together under the recipe as it is; NAN while unknown.
double sensitivity_whole(const Ui *ui);
void sensitivity_row_name(const Ui *ui, const CostRow *row, char *out, size_t size);
// As many digits as are known of it: one of a guess, "~0.001", two of an estimate.
Short sensitivity_kl_text(const CostRow *row);
Short sensitivity_change_text(const CostRow *row, double kl); // of one of its steps: "−0.011", "~−0.01"
int sensitivity_kl_decimals(const CostRow *row);
int sensitivity_index(const Ui *ui); // of the selected row, −1: there is none
// When more than noise will be known of what linears cost: "estimates in about 1:24".
void sensitivity_wait_text(const Ui *ui, char *out, size_t size);
// Why a budget cannot be met: "vllm-sm80 takes no fewer than 4 bits"; "": only the bits that there are.
void sensitivity_unmet_text(const Ui *ui, char *out, size_t size);
// How many linears stay as they were set by hand, whatever is chosen; 0 where the user wants none to.
int sensitivity_kept(const Ui *ui);
JobState sensitivity_job(const Ui *ui, JobKind kind);

#define SENSITIVITY_ROWS 1000000 // more than there are: to the end
void sensitivity_move(Ui *ui, int rows);
void sensitivity_move_page(Ui *ui, int pages);
void sensitivity_choose(Ui *ui, int row);
void sensitivity_find(Ui *ui); // after what is sought was changed
void sensitivity_mark(Ui *ui, int unused);
void sensitivity_fold(Ui *ui, int steps);
void sensitivity_sort(Ui *ui, int unused);
void sensitivity_turn(Ui *ui, int steps);
void sensitivity_turn_kind(Ui *ui, int unused);
void sensitivity_type_budget(Ui *ui, int unused);
void sensitivity_set_budget(Ui *ui, const char *text); // "4.25", "kl 0.01"; "": a prompt asks
void sensitivity_take(Ui *ui, int unused);
void sensitivity_tune(Ui *ui, int unused);
void sensitivity_stop(Ui *ui, int unused);
void sensitivity_keep(Ui *ui, int unused);       // what was set by hand, or no longer
void sensitivity_measure_on(Ui *ui, int unused); // what was put off
