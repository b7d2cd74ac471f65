// Each draws one pane of the layout onto ui->canvas.
#pragma once

#include "tui/format.h"
#include "tui/ui.h"

void panel_header_draw(Ui *ui);
void panel_borders_draw(Ui *ui);
void panel_layers_draw(Ui *ui);
void panel_detail_draw(Ui *ui);
void panel_dials_draw(Ui *ui);
void panel_effect_draw(Ui *ui);
void panel_convert_draw(Ui *ui);
void panel_engines_draw(Ui *ui); // of the Convert screen: all engines and formats
void panel_outliers_draw(Ui *ui);
void panel_sweep_draw(Ui *ui);
void panel_sensitivity_draw(Ui *ui);
void panel_trials_draw(Ui *ui);
void panel_bottom_draw(Ui *ui); // keys, the job that runs, messages

// ---- what they share ----

void panel_title(Ui *ui, Rect pane, const char *title, Pane which); // which PANE_COUNT: has no keys of its own
void panel_box_draw(Ui *ui, Rect inside, const char *title);        // empty, over what is there
// A box in the middle of the frame, while the rest is dim; keys: on its lower edge. Returns what lies inside.
Rect panel_overlay_draw(Ui *ui, int rows, int cols, const char *title, const char *keys);
// Text in as many lines as it needs, the last of them in `last`, over what is there.
void panel_message_draw(Ui *ui, Rect last, Style style, const char *text);
int kl_decimals(double se); // as many as show one or two digits of the standard error
// "2210 4.4–5.1×": the range is the figure, for a single number would differ from one start to the next.
void ratio_text(const Spread *ratio, char *out, size_t size); // "1.6–1.9×"
void speed_text(const DecodeSpeed *speed, bool roomy, char *out, size_t size);
void panel_figures_line(Ui *ui, Rect line); // what the recipe costs and buys, as the pane of the effect has it
void panel_graphs_draw(Ui *ui, Rect rect, int linear); // weights, input, channels; 10 rows or more
// "45.0× median, 3.10× after LAE", or "45.0×, LAE 3.10×": how far raw_channel reaches, and where factors are taken out,
// what is left.
void panel_times(const Why *why, const Decision *decision, bool whole, char *out, size_t size);
void panel_waiting_draw(Ui *ui, Rect rect, JobKind kind); // what is shown there as soon as this job has found it
const char *panel_model_name(const ModelStructure *structure);
const char *job_doing(JobKind kind);        // "calibrating"
bool calibration_provisional(const Ui *ui); // more tokens are to come, and ranges may grow
// "1.0k of 65.5k tokens", or "65.5k tokens" once it has settled; whole: and of which text, "… of mixed".
void calibration_text(const Ui *ui, bool whole, char *out, size_t size);
Short panel_layers_cell(const Ui *ui, int linear, Column column); // as the table shows it
Style class_style(FptqClass class);
Style input_style(const Decision *decision);
