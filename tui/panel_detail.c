// The pane about one linear: its weights, its input, its channels, and what was decided.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "quant/equalize.h"
#include "tui/dials.h"
#include "tui/format.h"
#include "tui/graph.h"
#include "tui/histogram.h"
#include "tui/panels.h"
#include "tui/wrap.h"

#define GRAPH_COLS_MOST 512

void panel_waiting_draw(Ui *ui, Rect rect, JobKind kind) {
    if (rect.rows < 1) return;
    JobView job;
    char text[400];
    workbench_job(ui->workbench, kind, &job);
    if (job.state == JOB_FAILED)
        snprintf(text, sizeof text, "not known: %s", job.message);
    else if (job.state == JOB_STOPPED)
        snprintf(text, sizeof text, "stopped; ! goes on");
    else if (job.state == JOB_RUNNING && job.share >= 0)
        snprintf(text, sizeof text, "%s %s %.0f %%", ui_spinner(ui), job_doing(kind), job.share * 100);
    else
        snprintf(text, sizeof text, "%s %s", ui_spinner(ui), job_doing(kind));
    canvas_fit(&ui->canvas, rect.row + rect.rows / 2, rect.col + 2, rect.cols - 2, MEANING_FAINT, text);
}

static void line_label(Pen *pen, const char *label) { pen_text(pen, MEANING_TITLE, "%-9s", label); }

// The first form for which there is room; the longest comes first.
static void pen_longest(Pen *pen, Style style, const char *const *forms, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (pen->col + canvas_width(pen->canvas, forms[i]) > pen->end) continue;
        pen_text(pen, style, "%s", forms[i]);
        return;
    }
}

// ---- weights ------------------------------------------------------------------------------------------------------

static void draw_weight_line(Ui *ui, Rect line, const WeightStats *w) {
    Pen pen = pen_at(&ui->canvas, line);
    line_label(&pen, "weights");
    if (!w) return;
    if (w->nonfinite) pen_field(&pen, "not finite", MEANING_ERROR, "%llu", (unsigned long long)w->nonfinite);
    pen_field(&pen, "absmax", MEANING_VALUE, "%s", format_figure(w->absmax, 3).text);
    pen_field(&pen, "σ", MEANING_VALUE, "%s", format_figure(w->std, 2).text);
    pen_field(&pen, "kurtosis", MEANING_VALUE, "%s", format_figure(w->kurtosis, 3).text);
    const double share = w->elements ? (double)w->outliers_6sigma / (double)w->elements : NAN;
    pen_field(&pen, ">6σ", w->outliers_6sigma ? MEANING_TAIL : MEANING_VALUE, "%s", format_percent(share).text);
}

static void draw_weight_graph(Ui *ui, Rect graph, const WeightStats *w) {
    const int n = graph.cols < GRAPH_COLS_MOST ? graph.cols : GRAPH_COLS_MOST;
    uint64_t bins[GRAPH_COLS_MOST];
    double counts[GRAPH_COLS_MOST], shares[GRAPH_COLS_MOST];
    Style styles[GRAPH_COLS_MOST];
    value_counts_bins(&w->counts, -w->absmax, w->absmax, n, bins);
    for (int i = 0; i < n; i++) {
        const double x = ((i + 0.5) / n * 2 - 1) * w->absmax;
        counts[i] = (double)bins[i];
        styles[i] = fabs(x - w->mean) > 6 * w->std ? MEANING_TAIL : MEANING_WEIGHT;
    }
    graph_log_shares(counts, n, shares);
    graph_columns(&ui->canvas, (Rect){graph.row, graph.col, graph.rows, n}, shares, styles, MEANING_WEIGHT);
}

static bool axis_free(const Ui *ui, Rect place) {
    for (int col = place.col; col < place.col + place.cols; col++) {
        const Cell *cell = &ui->canvas.cells[(size_t)place.row * (size_t)ui->canvas.cols + (size_t)col];
        if ((cell->style & STYLE_MEANING) != MEANING_TRACK) return false;
    }
    return true;
}

// Writes a label centred on a column of an axis, unless another one stands there already.
static void axis_label(Ui *ui, Rect axis, double share, Style style, const char *text) {
    const int width = canvas_width(&ui->canvas, text);
    int col = (int)lround(share * (axis.cols - 1)) - width / 2;
    if (col < 0) col = 0;
    if (col + width > axis.cols) col = axis.cols - width;
    if (axis_free(ui, (Rect){axis.row, axis.col + col, 1, width}))
        canvas_text(&ui->canvas, axis.row, axis.col + col, width, style, text);
}

// The same, but moved rather than left out: in the direction (1: to the right) if it can be, else in the other.
static void axis_label_somewhere(Ui *ui, Rect axis, double share, int direction, Style style, const char *text) {
    const int width = canvas_width(&ui->canvas, text), ideal = (int)lround(share * (axis.cols - 1)) - width / 2;
    for (int i = 0; i < 2 * axis.cols; i++) {
        const int col = ideal + direction * (i < axis.cols ? i : axis.cols - i);
        if (col < 0 || col + width > axis.cols || !axis_free(ui, (Rect){axis.row, axis.col + col, 1, width})) continue;
        canvas_text(&ui->canvas, axis.row, axis.col + col, width, style, text);
        return;
    }
}

static void draw_weight_axis(Ui *ui, Rect axis, const WeightStats *w) {
    if (axis.rows < 1 || w->absmax <= 0) return;
    char text[48];
    const double sigma = 6 * w->std / w->absmax / 2; // six sigma, as a share of the axis
    canvas_fill(&ui->canvas, axis, MEANING_TRACK, "─");
    if (sigma > 0.08 && sigma < 0.36) {
        axis_label(ui, axis, 0.5 - sigma, MEANING_FAINT, " −6σ ");
        axis_label(ui, axis, 0.5 + sigma, MEANING_FAINT, " 6σ ");
    }
    axis_label(ui, axis, 0.5, MEANING_FAINT, " 0 ");
    snprintf(text, sizeof text, "−%s ", format_figure(w->absmax, 3).text);
    axis_label(ui, axis, 0, MEANING_FAINT, text);
    snprintf(text, sizeof text, " %s", format_figure(w->absmax, 3).text);
    axis_label(ui, axis, 1, MEANING_FAINT, text);
}

static void draw_weights(Ui *ui, const DetailLayout *d, int linear) {
    const WeightStats *w = workbench_weight_stats(ui->workbench, linear);
    draw_weight_line(ui, d->weight_line, w);
    if (!w) {
        panel_waiting_draw(ui, d->weight_graph, JOB_WEIGHTS);
        return;
    }
    draw_weight_graph(ui, d->weight_graph, w);
    draw_weight_axis(ui, d->weight_axis, w);
}

// ---- input --------------------------------------------------------------------------------------------------------

static void draw_input_graph(Ui *ui, Rect graph, const InputStats *input, const LogAxis *axis, double v0, double v1) {
    const int n = graph.cols < GRAPH_COLS_MOST ? graph.cols : GRAPH_COLS_MOST;
    double counts[GRAPH_COLS_MOST], shares[GRAPH_COLS_MOST];
    Style styles[GRAPH_COLS_MOST];
    input_spread(input, axis, n, counts);
    for (int i = 0; i < n; i++) {
        styles[i] = zone_style(axis->low * exp2((i + 0.5) / n * log2(axis->high / axis->low)), v0, v1);
    }
    graph_log_shares(counts, n, shares);
    graph_columns(&ui->canvas, (Rect){graph.row, graph.col, graph.rows, n}, shares, styles, MEANING_STATIC);
}

// A threshold as a dotted line through the empty part of the graph, with its value on the axis below.
static void draw_threshold(Ui *ui, Rect graph, Rect labels, const LogAxis *axis, const char *name, double value,
                           int direction, Style style) {
    const double share = log_axis_share(axis, value);
    char text[48];
    if (share > 1 || share < 0) {
        snprintf(text, sizeof text, share > 1 ? " %s %s → " : " ← %s %s ", name, format_figure(value, 3).text);
        axis_label_somewhere(ui, labels, share > 1 ? 1 : 0, direction, style, text);
        return;
    }
    const int col = graph.col + (int)lround(share * (graph.cols - 1));
    for (int y = 0; y < graph.rows; y++) {
        const size_t at = (size_t)(graph.row + y) * (size_t)ui->canvas.cols + (size_t)col;
        if (strcmp(ui->canvas.cells[at].text, " ") == 0)
            canvas_text(&ui->canvas, graph.row + y, col, 1, style, style == MEANING_LAE ? "┊" : "┋");
    }
    snprintf(text, sizeof text, " %s %s ", name, format_figure(value, value < 10 ? 2 : value < 100 ? 2 : 3).text);
    axis_label_somewhere(ui, labels, share, direction, style, text);
}

// The axis shows the zone by its line, too, for terminals without colours.
static void draw_zones(Ui *ui, Rect line, const LogAxis *axis, double v0, double v1) {
    for (int i = 0; i < line.cols; i++) {
        const double value = axis->low * exp2((i + 0.5) / line.cols * log2(axis->high / axis->low));
        const Style zone = zone_style(value, v0, v1);
        canvas_text(&ui->canvas, line.row, line.col + i, 1, MEANING_TRACK,
                    zone == MEANING_STATIC ? "─"
                    : zone == MEANING_LAE  ? "╌"
                                           : "━");
    }
}

static void draw_ticks(Ui *ui, Rect line, const LogAxis *axis) {
    for (int power = -6; power <= 6; power++) {
        const double value = pow(10, power), share = log_axis_share(axis, value);
        char text[32];
        if (share < 0.02 || share > 0.98) continue;
        snprintf(text, sizeof text, " %g ", value);
        axis_label(ui, line, share, MEANING_FAINT, text);
    }
}

static void draw_input_line(Ui *ui, Rect line, const InputStats *input, const Decision *decision) {
    Pen pen = pen_at(&ui->canvas, line);
    line_label(&pen, "input");
    if (!input) return;
    const Style style = class_style(decision->input_class);
    const char *mark = calibration_provisional(ui) ? "~" : ""; // more tokens are to come
    pen_field(&pen, "range", style, "%s%s", mark, format_figure(input->range, 3).text);
    pen_field(&pen, "p99.9", MEANING_VALUE, "%s%s", mark, format_figure(input->p99_9, 3).text);
    const char *class = class_name(decision->input_class), *done = decision_input_text(decision);
    if (decision->quantized && strcmp(class, done) != 0) // the note says why
        pen_field(&pen, "class", input_style(decision), "%s%s → %s", mark, class, done);
    else
        pen_field(&pen, "class", style, "%s%s", mark, class);
    if (decision->lae && decision->activation_scale > 0) {
        pen_field(&pen, "equalized to", MEANING_VALUE, "%s%s", mark,
                  format_figure(decision->activation_scale * 127.0, 3).text);
    }
    char text[128];
    calibration_text(ui, true, text, sizeof text);
    const char *forms[] = {text, workbench_text(ui->workbench, TEXT_CALIBRATION)};
    pen_longest(&pen, MEANING_FAINT, forms, 2);
}

static void draw_input(Ui *ui, const DetailLayout *d, const InputStats *input, const Decision *decision,
                       const char *name) {
    const Recipe *recipe = workbench_recipe(ui->workbench);
    const double v0 = recipe_value(recipe, DIAL_V0, name), v1 = recipe_value(recipe, DIAL_V1, name);
    draw_input_line(ui, d->input_line, input, decision);
    if (!input) {
        panel_waiting_draw(ui, d->input_graph, JOB_CALIBRATE);
        return;
    }
    const LogAxis axis = input_log_axis(input, v0, v1);
    draw_input_graph(ui, d->input_graph, input, &axis, v0, v1);
    draw_zones(ui, d->input_axis, &axis, v0, v1);
    draw_threshold(ui, d->input_graph, d->input_axis, &axis, "v1", v1, 1, MEANING_TOKEN);
    draw_threshold(ui, d->input_graph, d->input_axis, &axis, "v0", v0, -1, MEANING_LAE); // to the left of it
    draw_ticks(ui, d->input_axis, &axis);
}

// ---- channels -----------------------------------------------------------------------------------------------------

static void draw_channel_graph(Ui *ui, Rect graph, const InputStats *input, double v0, double v1) {
    const int n = graph.cols < GRAPH_COLS_MOST ? graph.cols : GRAPH_COLS_MOST;
    double shares[GRAPH_COLS_MOST];
    Style styles[GRAPH_COLS_MOST];
    const size_t width = input->width;
    const int columns = (size_t)n < width ? n : (int)width;
    for (int i = 0; i < columns; i++) {
        float largest = 0;
        const size_t from = width * (size_t)i / (size_t)columns, to = width * (size_t)(i + 1) / (size_t)columns;
        for (size_t j = from; j < to; j++) largest = fmaxf(largest, input->channel_absmax[j]);
        shares[i] = input->range > 0 ? log1p((double)largest) / log1p((double)input->range)
                                     : 0; // an outlier must not flatten all others
        styles[i] = zone_style(largest, v0, v1);
    }
    graph_columns(&ui->canvas, (Rect){graph.row, graph.col, graph.rows, columns}, shares, styles, MEANING_STATIC);
}

static void draw_channels(Ui *ui, const DetailLayout *d, const InputStats *input, const char *name) {
    if (!input) return;
    const Recipe *recipe = workbench_recipe(ui->workbench);
    const double v0 = recipe_value(recipe, DIAL_V0, name), v1 = recipe_value(recipe, DIAL_V1, name);
    Pen pen = pen_at(&ui->canvas, d->channel_line);
    line_label(&pen, "channels");
    uint32_t top[16];
    const size_t count = input_top_channels(input, 16, top);
    pen_text(&pen, MEANING_FAINT, "top ");
    for (size_t i = 0; i < count; i++) {
        const double value = (double)input->channel_absmax[top[i]];
        char one[64];
        snprintf(one, sizeof one, "%u (%s)", top[i], format_figure(value, 3).text);
        if (pen.col + canvas_width(&ui->canvas, one) > pen.end) break;
        pen_text(&pen, zone_style(value, v0, v1), "%s", one);
        pen_text(&pen, MEANING_TEXT, "  ");
    }
    draw_channel_graph(ui, d->channel_graph, input, v0, v1);
}

// ---- decision -----------------------------------------------------------------------------------------------------

static void pen_decibel(Pen *pen, const char *label, const double *values, int linear, bool fresh) {
    if (!values || isnan(values[linear])) return;
    pen_field(pen, label, fresh ? MEANING_VALUE : MEANING_FAINT | STYLE_DIM, fresh ? "%s dB" : "(%s dB)",
              format_decibel(values[linear]).text);
}

static void draw_decision_line(Ui *ui, Rect line, const Decision *decision, int linear) {
    const Effect *effect = workbench_effect(ui->workbench);
    const bool fresh = effect->sqnr_turn == workbench_turn(ui->workbench);
    Pen pen = pen_at(&ui->canvas, line);
    line_label(&pen, "decided");
    if (!decision->quantized) {
        char text[64];
        snprintf(text, sizeof text, "left in its own precision, %s", format_bytes((double)decision->bytes).text);
        const char *forms[] = {text, "left in its own precision", "left as it is"};
        pen_longest(&pen, MEANING_VALUE, forms, 3);
        return;
    }
    if (decision->granularity < GRANULARITY_GROUP)
        pen_text(&pen, MEANING_VALUE, "%d bits %s   ", decision->bits,
                 decision->granularity == GRANULARITY_TENSOR ? "one scale" : "per channel");
    else
        pen_text(&pen, MEANING_VALUE, "%d bits g %zu   ", decision->bits, decision->group);
    pen_decibel(&pen, "weights", effect->weight_sqnr_db, linear, fresh);
    pen_decibel(&pen, "out", effect->output_sqnr_db, linear, fresh);
    pen_field(&pen, "bits/weight", MEANING_VALUE, "%.2f", decision->bits_per_weight);
}

// The largest of another channel may be left.
void panel_times(const Why *why, const Decision *decision, bool whole, char *out, size_t size) {
    const char *by = why_factors_name(decision), *most = why->channel == why->raw_channel ? "" : "≤";
    const Short left = format_figure(why->channel_ratio, 3);
    char after[64] = "";
    if (decision_equalizes(decision) && whole)
        snprintf(after, sizeof after, ", %s%s× after %s", most, left.text, by);
    else if (decision_equalizes(decision))
        snprintf(after, sizeof after, ", %s %s%s×", by, most, left.text);
    snprintf(out, size, "%s×%s%s", format_figure(why->raw_ratio, 3).text, whole ? " median" : "", after);
}

// Shares of the errors that weights and input bring, first: they are read in the narrowest pane; the channel of the
// input that stands out; the column. In brackets of the turn before, as in the line above.
static void draw_why(Ui *ui, Rect line, const Decision *decision, int linear) {
    const Effect *effect = workbench_effect(ui->workbench);
    if (line.rows < 1 || !decision->quantized) return;
    Pen pen = pen_at(&ui->canvas, line);
    line_label(&pen, "why");
    if (!effect->why || effect->why_linear != linear) return;
    const Why *why = effect->why;
    const Style style = effect->why_turn == workbench_turn(ui->workbench) ? MEANING_VALUE : MEANING_FAINT | STYLE_DIM;
    const double weights = why_weights_share(why), factors = why_factors_share(why);
    char times[64], of_weights[64], part[16], by_factors[16], of_input[16], column[16];
    const bool stale = style != MEANING_VALUE;
    why_percent(weights, part, sizeof part);
    snprintf(of_weights, sizeof of_weights, "%s", part);
    if (why_stands_out(why, NULL) & STANDS_FACTORS)
        snprintf(of_weights, sizeof of_weights, "%s, %s of that by %s", part,
                 why_percent(factors, by_factors, sizeof by_factors), why_factors_name(decision));
    panel_times(why, decision, false, times, sizeof times);
    pen_field(&pen, "weights", style, stale ? "(%s)" : "%s", of_weights);
    pen_field(&pen, "input", style, stale ? "(%s)" : "%s", why_percent(1 - weights, of_input, sizeof of_input));
    pen_field(&pen, "channel", style, stale ? "(%u, %s)" : "%u (%s)", why->raw_channel, times);
    pen_field(&pen, "column", style, stale ? "(%u, %s)" : "%u (%s)", why->column,
              why_percent(why->column_share, column, sizeof column));
}

#define RUNG_COLS 9

// Which rung was chosen, counted from the largest size; one that nothing voted about stands behind those looked at.
static int ladder_chosen(const Decision *decision) {
    int i = 0;
    while (i < decision->steps && decision->step_size[i] != decision->group) i++;
    return i;
}

static int ladder_rungs(const Decision *decision) {
    return ladder_chosen(decision) == decision->steps ? decision->steps + 1 : decision->steps;
}

// What a step says: its noise as a share of the ceiling, which is the same at any number of bits, or its votes.
static double step_share(const Decision *decision, int step) {
    const double share = (double)decision->step_share[step];
    return decision->noise_ceiling > 0 ? share / (double)decision->noise_ceiling : share;
}

// Each step of the ladder: the size, and below it the noise that it brings, or the share of groups that voted for going
// on to the next.
static void draw_ladder(Ui *ui, Rect rect, const Decision *decision, double quorum) {
    Canvas *canvas = &ui->canvas;
    const bool by_noise = decision->noise_ceiling > 0;
    int col = rect.col + RUNG_COLS;
    const int chosen = ladder_chosen(decision), fit = (rect.cols - RUNG_COLS + 1) / RUNG_COLS;
    const int first = chosen < fit ? 0 : chosen - fit + 1; // the chosen one is always seen
    canvas_text(canvas, rect.row, rect.col, RUNG_COLS, MEANING_TITLE, "ladder");
    canvas_text(canvas, rect.row + 1, rect.col, RUNG_COLS, MEANING_FAINT, by_noise ? "noise" : "voted on");
    if (first > 0) canvas_text(canvas, rect.row, rect.col + RUNG_COLS - 1, 1, MEANING_TRACK, "…");
    for (int i = first; i < first + fit && i < ladder_rungs(decision); i++, col += RUNG_COLS) {
        char size[32];
        snprintf(size, sizeof size, "%zu", i < decision->steps ? (size_t)decision->step_size[i] : decision->group);
        canvas_right(canvas, rect.row, col, 6, i == chosen ? MEANING_ACCENT : MEANING_FAINT, size);
        canvas_text(canvas, rect.row, col + 7, 1, MEANING_TRACK, i == chosen ? " " : "▸");
        if (i == decision->steps) continue; // the floor: nothing voted about it
        const double share = step_share(decision, i);
        canvas_right(canvas, rect.row + 1, col - 1, 7, share > (by_noise ? 1 : quorum) ? MEANING_LAE : MEANING_FAINT,
                     format_percent(share).text);
    }
    char text[64] = "of the ceiling";
    if (!by_noise) snprintf(text, sizeof text, "quorum %s", quorum > 0 ? format_percent(quorum).text : "any");
    if (col + 20 < rect.col + rect.cols)
        canvas_right(canvas, rect.row + 1, col + 7, rect.col + rect.cols - col - 7, MEANING_FAINT, text);
}

// The size that was chosen, and from where, with votes or noise: "64 97.1 % ◂ 192 133 %", as far as there is room.
static void draw_short_ladder(Ui *ui, Rect line, const Decision *decision) {
    Pen pen = pen_at(&ui->canvas, line);
    line_label(&pen, "ladder");
    pen_text(&pen, MEANING_ACCENT, "%zu", decision->group);
    for (int i = decision->steps - 1; i >= 0; i--) {
        const Short share = format_percent(step_share(decision, i));
        char step[64];
        if (decision->step_size[i] == decision->group)
            snprintf(step, sizeof step, " %s", share.text);
        else
            snprintf(step, sizeof step, " ◂ %u %s", decision->step_size[i], share.text);
        const bool fits = pen.col + canvas_width(&ui->canvas, step) + (i > 0 ? 2 : 0) <= pen.end;
        pen_text(&pen, MEANING_FAINT, "%s", fits ? step : " …");
        if (!fits) return;
    }
    const char *of = decision->noise_ceiling > 0 ? " of the ceiling" : " of votes";
    if (decision->steps && pen.col + canvas_width(&ui->canvas, of) <= pen.end) pen_text(&pen, MEANING_FAINT, "%s", of);
}

static void draw_decision(Ui *ui, Rect rect, const Decision *decision, int linear, const char *name) {
    const Recipe *recipe = workbench_recipe(ui->workbench);
    const bool adaptive = decision->quantized && recipe_value(recipe, DIAL_GRANULARITY, name) == GRANULARITY_ADAPTIVE &&
                          decision->steps > 0;
    if (rect.rows >= 3) {
        draw_decision_line(ui, rect, decision, linear);
        if (adaptive)
            draw_ladder(ui, (Rect){rect.row + 1, rect.col, 2, rect.cols}, decision,
                        recipe_value(recipe, DIAL_QUORUM, name));
    } else if (adaptive)
        draw_short_ladder(ui, rect, decision);
    else
        draw_decision_line(ui, rect, decision, linear);
}

#define BELOW_GRAPHS 4 // rows that a large pane of one linear has for the reason and the decision

void panel_graphs_draw(Ui *ui, Rect rect, int linear) {
    const Linear *l = &workbench_structure(ui->workbench)->linears[linear];
    const InputStats *input = workbench_input_stats(ui->workbench, linear);
    rect.rows += BELOW_GRAPHS;
    const DetailLayout d = layout_detail(rect, 0);
    draw_weights(ui, &d, linear);
    draw_input(ui, &d, input, &workbench_plan(ui->workbench)->decisions[linear], l->name);
    draw_channels(ui, &d, input, l->name);
}

// As much as there is room for.
static void draw_detail_title(Ui *ui, Rect pane, const Linear *l) {
    char shown[64], brief[32], name[128], forms[4][320];
    const char *stored = l->weight->stored;
    rows_shown_text(&ui->rows, true, shown, sizeof shown);
    rows_shown_text(&ui->rows, false, brief, sizeof brief);
    linear_short_name(l, name, sizeof name);
    snprintf(forms[0], sizeof *forms, "%s%.160s  %zu × %zu%s%s", shown, l->name, l->out, l->in, stored ? "  " : "",
             stored ? stored : "");
    snprintf(forms[1], sizeof *forms, "%s%s  %zu × %zu", shown, name, l->out, l->in);
    snprintf(forms[2], sizeof *forms, "%s%s  %zu × %zu", brief, name, l->out, l->in);
    snprintf(forms[3], sizeof *forms, "%s%s", brief, name);
    int form = 0;
    while (form < 3 && canvas_width(&ui->canvas, forms[form]) > pane.cols - 4) form++;
    panel_title(ui, pane, forms[form], PANE_COUNT);
}

// Why it is not as the recipe asks, and whose figures are beside it in the table.
static void note_text(const Ui *ui, const Decision *decision, char *out, size_t size) {
    char others[192];
    rows_others_text(&ui->rows, others, sizeof others);
    snprintf(out, size, "%s%s%s", decision->note ? decision->note : "", decision->note && *others ? ". " : "", others);
}

void panel_detail_draw(Ui *ui) {
    const Rect pane = ui->layout.detail, inside = rect_inset(pane, 1);
    const int linear = ui_linear(ui);
    workbench_look(ui->workbench, linear); // what is shown is what more is found out about
    if (linear < 0) return;
    const Linear *l = &workbench_structure(ui->workbench)->linears[linear];
    const Decision *decision = &workbench_plan(ui->workbench)->decisions[linear];
    const InputStats *input = workbench_input_stats(ui->workbench, linear);
    draw_detail_title(ui, pane, l);
    char about[256];
    note_text(ui, decision, about, sizeof about);
    const WrapPiece note = {about, SIZE_MAX, MEANING_CHANGED};
    const int note_rows = wrap_lines(&ui->canvas, inside.cols, &note, 1);
    const DetailLayout d = layout_detail(inside, note_rows < NOTE_ROWS_MOST ? note_rows : NOTE_ROWS_MOST);
    draw_weights(ui, &d, linear);
    draw_input(ui, &d, input, decision, l->name);
    draw_channels(ui, &d, input, l->name);
    draw_why(ui, d.why, decision, linear);
    draw_decision(ui, d.decision, decision, linear, l->name);
    wrap_draw(&ui->canvas, d.note, &note, 1, 0);
}
