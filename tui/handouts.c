#include "tui/handouts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/point_plot.h"
#include "base/array.h"
#include "tui/convert.h"
#include "tui/figure.h"
#include "tui/outliers.h"
#include "tui/panels.h"
#include "tui/sensitivity.h"
#include "tui/sweep.h"
#include "tui/trials.h"

// ---- what they share ----------------------------------------------------------------------------------------------

static void add_cells(Sheet *sheet, const char *const *texts, size_t count) {
    for (size_t i = 0; i < count; i++) sheet_cell(sheet, texts[i]);
}

// Columns have a name for programs and a title for people; without a title they are for programs alone.
typedef struct Heading {
    const char *name, *title;
} Heading;

static void add_headings(Sheet *sheet, const Heading *headings, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *text = sheet->format == SHEET_CSV ? headings[i].name : headings[i].title;
        if (text) sheet_cell(sheet, text);
    }
}

// For programs the figure itself, for people as it is shown.
static void add_figure(Sheet *sheet, double figure, const char *shown) {
    if (sheet->format == SHEET_CSV)
        sheet_number(sheet, figure);
    else
        sheet_cell(sheet, isnan(figure) ? "" : shown);
}

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

// ---- Layers -------------------------------------------------------------------------------------------------------

static void add_linear(const Ui *ui, Sheet *sheet, int linear) {
    const Decision *decision = &workbench_plan(ui->workbench)->decisions[linear];
    sheet_cell(sheet, workbench_structure(ui->workbench)->linears[linear].name);
    for (int column = COLUMN_LINEAR + 1; column < COLUMN_COUNT; column++) {
        const double figure = rows_figure(ui->workbench, linear, (Column)column);
        if (column == COLUMN_CLASS)
            sheet_cell(sheet, decision->quantized ? decision_input_text(decision) : "");
        else if (sheet->format == SHEET_CSV)
            sheet_number(sheet, isinf(figure) && column != COLUMN_WEIGHT_MAX && column != COLUMN_SQNR ? NAN : figure);
        else
            sheet_cell(sheet, panel_layers_cell(ui, linear, (Column)column).text);
    }
    sheet_end_row(sheet);
}

static void layers_sheet(Ui *ui, Sheet *sheet) {
    for (int column = 0; column < COLUMN_COUNT; column++)
        sheet_cell(sheet, sheet->format == SHEET_CSV ? column_table[column].name : column_table[column].title);
    sheet_end_row(sheet);
    for (int i = 0; i < ui->rows.count; i++) { // folded ones, too
        const int *members = rows_members(&ui->rows, i);
        for (int m = 0; m < rows_size(&ui->rows, i); m++) add_linear(ui, sheet, members[m]);
    }
}

static void copy_row(Ui *ui, Text *out, Text *what) {
    const int linear = ui_linear(ui);
    if (linear < 0) return;
    const char *name = workbench_structure(ui->workbench)->linears[linear].name;
    text_addf(out, "%s", name);
    for (int column = COLUMN_LINEAR + 1; column < COLUMN_COUNT; column++)
        text_addf(out, "  %s %s", column_table[column].title, panel_layers_cell(ui, linear, (Column)column).text);
    text_addf(what, "the row of %s", name);
}

static void copy_recipe(Ui *ui, Text *out, Text *what) {
    char *recipe = recipe_print(workbench_recipe(ui->workbench));
    if (recipe) text_addf(out, "%s", recipe);
    free(recipe);
    text_addf(what, "the recipe");
}

static void copy_texts(Ui *ui, Text *out, Text *what) {
    const Effect *effect = workbench_effect(ui->workbench);
    const bool stale = effect->decode_turn != workbench_turn(ui->workbench);
    text_addf(out, "prompt: %s\n", workbench_prompt(ui->workbench));
    if (effect->base.known && effect->base.text) text_addf(out, "base: %s\n", effect->base.text);
    if (effect->quantized.known && effect->quantized.text && !stale)
        text_addf(out, "quantized: %s\n", effect->quantized.text);
    text_addf(what, "%s", stale || !effect->quantized.known ? "the base's text" : "both texts");
}

static void layers_copy(Ui *ui, Text *out, Text *what) {
    switch (ui->focus) {
    case PANE_LAYERS: copy_row(ui, out, what); break;
    case PANE_DIALS: copy_recipe(ui, out, what); break;
    case PANE_TEXTS: copy_texts(ui, out, what); break;
    case PANE_COUNT: break;
    }
}

static void layers_figure(Ui *ui, Text *out) {
    if (ui_linear(ui) >= 0) figure_svg(ui, ui_linear(ui), figure_scheme(ui), out);
}

// ---- Outliers -----------------------------------------------------------------------------------------------------

static void outliers_sheet(Ui *ui, Sheet *sheet) {
    const HeatMap *heat = outliers_map(ui);
    const ModelStructure *structure = workbench_structure(ui->workbench);
    const char *const headings[] = {"linear", "layer", "role", heat_table[heat->measure].title};
    add_cells(sheet, headings, COUNT_OF(headings));
    sheet_end_row(sheet);
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *l = &structure->linears[i];
        const double value = heat_value(heat, ui->workbench, i);
        sheet_cell(sheet, l->name);
        sheet_number(sheet, l->layer < 0 ? (double)NAN : l->layer);
        sheet_cell(sheet, role_name(l->role));
        add_figure(sheet, value, heat_text(heat->measure, value).text);
        sheet_end_row(sheet);
    }
}

// All that is known of the linear under the cursor.
static void outliers_copy(Ui *ui, Text *out, Text *what) {
    const HeatMap *heat = outliers_map(ui);
    const int linear = outliers_cell(ui)->worst;
    const char *name = workbench_structure(ui->workbench)->linears[linear].name;
    text_addf(out, "%s", name);
    for (int measure = 0; measure < HEAT_MEASURES; measure++) {
        const double value = heat_measured(heat, ui->workbench, (HeatMeasure)measure, linear);
        if (!isnan(value))
            text_addf(out, "  %s %s", heat_table[measure].title, heat_text((HeatMeasure)measure, value).text);
    }
    text_addf(what, "the figures of %s", name);
}

static const char *map_value(double value, char *out, size_t size) {
    snprintf(out, size, "%s", format_figure(value, 3).text);
    return out;
}

static void outliers_figure(Ui *ui, Text *out) {
    const HeatMap *heat = outliers_map(ui);
    const HeatInfo *info = &heat_table[heat->measure];
    char title[160];
    snprintf(title, sizeof title, "%s by layer: %s", info->title, info->help);
    if (!heat->map.known) return;
    map_figure_svg(&(MapFigure){.map = &heat->map,
                                .structure = workbench_structure(ui->workbench),
                                .title = title,
                                .unknown = "not known",
                                .format = map_value,
                                .alone = true},
                   out);
}

// ---- Trials -------------------------------------------------------------------------------------------------------

static const Heading trial_headings[] = {{"number", "#"},
                                         {"what", "what changed"},
                                         {"note", "note"},
                                         {"compared", "A/B"},
                                         {"bits_per_weight", "bits/w"},
                                         {"bytes", "size"},
                                         {"kl", "KL"},
                                         {"kl_se", "±"},
                                         {"kl_against_a", "against A"},
                                         {"kl_against_a_se", "± against A"},
                                         {"ppl", "perplexity"},
                                         {"base_ppl", "base"},
                                         {"top1", "top-1"},
                                         {"tokens_per_second", "tok/s"},
                                         {"times_base", "× base"},
                                         {"kl_reverse", NULL},
                                         {"ppl_se", NULL},
                                         {"base_ppl_se", NULL},
                                         {"top1_se", NULL},
                                         {"tokens", NULL},
                                         {"tokens_per_second_least", NULL},
                                         {"tokens_per_second_most", NULL},
                                         {"times_base_least", NULL},
                                         {"times_base_most", NULL},
                                         {"base_tokens_per_second", NULL},
                                         {"busy", NULL},
                                         {"from", NULL},
                                         {"present", NULL},
                                         {"front", NULL},
                                         {"earlier", NULL}};

static const char *compared_as(const Ui *ui, const TrialRow *row) {
    const bool a = row == trials_compared(ui, SIDE_A), b = row == trials_compared(ui, SIDE_B);
    return a && b ? "A B" : a ? "A" : b ? "B" : "";
}

static void add_trial_figures(const Ui *ui, Sheet *sheet, const TrialRow *row) {
    const TrialFigures *f = row->figures;
    const TrialRow *a = trials_compared(ui, SIDE_A);
    TrialDifference to_a = {(double)NAN, (double)NAN, false};
    if (a && a->figures != f) to_a = trial_difference(a->figures, f);
    const DecodeSpeed *speed = &f->speed;
    const double unknown = (double)NAN, rate = f->timed ? speed->second.median : unknown,
                 times = f->timed ? speed->ratio.median : unknown;
    add_figure(sheet, f->bits_per_weight, format_fixed(f->bits_per_weight, 2).text);
    add_figure(sheet, (double)f->bytes, format_bytes((double)f->bytes).text);
    add_figure(sheet, f->accuracy.kl_mean, format_fixed(f->accuracy.kl_mean, 5).text);
    add_figure(sheet, f->accuracy.kl_se, format_fixed(f->accuracy.kl_se, 5).text);
    add_figure(sheet, to_a.mean, format_change(to_a.mean, 5, "").text);
    add_figure(sheet, to_a.se, format_fixed(to_a.se, 5).text);
    add_figure(sheet, f->accuracy.ppl, format_figure(f->accuracy.ppl, 4).text);
    add_figure(sheet, f->accuracy.base_ppl, format_figure(f->accuracy.base_ppl, 4).text);
    add_figure(sheet, f->accuracy.top1, format_percent(f->accuracy.top1).text);
    add_figure(sheet, rate, format_figure(rate, 3).text);
    char shown[32];
    snprintf(shown, sizeof shown, "%s%s", format_ratio(times).text, decode_speed_is_busy(speed) ? " busy" : "");
    add_figure(sheet, times, shown);
}

// What nobody reads and a plot needs.
static void add_trial_numbers(Sheet *sheet, const Trials *trials, const TrialRow *row) {
    const Accuracy *a = &row->figures->accuracy;
    const DecodeSpeed *speed = &row->figures->speed;
    const double numbers[] = {a->kl_reverse_mean, a->ppl_se, a->base_ppl_se, a->top1_se, (double)a->tokens},
                 speeds[] = {speed->second.least, speed->second.most, speed->ratio.least, speed->ratio.most,
                             speed->first.median};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) sheet_number(sheet, numbers[i]);
    for (size_t i = 0; i < COUNT_OF(speeds); i++) sheet_number(sheet, row->figures->timed ? speeds[i] : (double)NAN);
    sheet_number(sheet, row->figures->timed ? decode_speed_is_busy(speed) : (double)NAN);
    sheet_number(sheet, row->from ? row->from : (double)NAN);
    sheet_number(sheet, row->number == trials->present);
    sheet_number(sheet, trial_is_best(trials, row));
    sheet_number(sheet, row->earlier);
}

static void add_trial(Ui *ui, Sheet *sheet, const TrialRow *row) {
    const Plan *plan = workbench_plan(ui->workbench);
    sheet_number(sheet, row ? row->number : (double)NAN);
    sheet_cell(sheet, row ? row->what : trials_present_words(ui));
    sheet_cell(sheet, row ? row->note : "");
    sheet_cell(sheet, row ? compared_as(ui, row) : "");
    if (row) {
        add_trial_figures(ui, sheet, row);
        if (sheet->format == SHEET_CSV) add_trial_numbers(sheet, workbench_trials(ui->workbench), row);
    } else { // not measured yet
        add_figure(sheet, plan->quantized_count ? plan->bits_per_weight : (double)NAN,
                   format_fixed(plan->bits_per_weight, 2).text);
        add_figure(sheet, (double)plan->bytes, format_bytes((double)plan->bytes).text);
    }
    sheet_end_row(sheet);
}

static void trials_sheet(Ui *ui, Sheet *sheet) {
    TrialOrder order;
    add_headings(sheet, trial_headings, COUNT_OF(trial_headings));
    sheet_end_row(sheet);
    trials_order(ui, &order);
    for (int i = 0; i < order.count; i++)
        add_trial(ui, sheet, trials_row(workbench_trials(ui->workbench), order.numbers[i]));
}

static void copy_trial_texts(Ui *ui, Text *out, Text *what) {
    for (int side = 0; side < SIDE_COUNT; side++) {
        const TrialText text = trials_text(ui, (TrialSide)side);
        const TrialRow *row = side == SIDE_BASE ? NULL : trials_compared(ui, (TrialSide)side);
        if (!text.text) continue;
        if (side == SIDE_BASE) text_addf(out, "prompt: %s\n", text.prompt);
        text_addf(out, "%s", trial_side_names[side]);
        if (row) text_addf(out, ", %s %s", trials_name(ui, row->number).text, *row->note ? row->note : row->what);
        text_addf(out, ": %s\n", text.text->text);
    }
    text_addf(what, "the texts of base, A and B");
}

static void copy_trial(Ui *ui, const TrialRow *row, Text *out, Text *what) {
    const Plan *plan = workbench_plan(ui->workbench);
    if (!row) {
        text_addf(out, "%s  bits/w %s  size %s", trials_present_words(ui), format_fixed(plan->bits_per_weight, 2).text,
                  format_bytes((double)plan->bytes).text);
        text_addf(what, "the present state");
        return;
    }
    const TrialFigures *f = row->figures;
    text_addf(out, "%s: %s%s%s  bits/w %s  size %s  KL %s ±%s  perplexity %s (base %s)  top-1 %s",
              trials_name(ui, row->number).text, row->what, *row->note ? "  " : "", row->note,
              format_fixed(f->bits_per_weight, 2).text, format_bytes((double)f->bytes).text,
              format_fixed(f->accuracy.kl_mean, 5).text, format_fixed(f->accuracy.kl_se, 5).text,
              format_figure(f->accuracy.ppl, 4).text, format_figure(f->accuracy.base_ppl, 4).text,
              format_percent(f->accuracy.top1).text);
    if (f->timed) {
        char speed[48];
        speed_text(&f->speed, true, speed, sizeof speed);
        text_addf(out, "  tok/s %s", speed);
    }
    text_addf(what, "%s", trials_name(ui, row->number).text);
}

static void trials_copy(Ui *ui, Text *out, Text *what) {
    if (ui->trials.difference) {
        const char *words = trials_compared_words(ui);
        if (words) text_addf(out, "%s\n", words);
        text_addf(what, "what A and B do differently");
    } else if (ui->trials.pane)
        copy_trial_texts(ui, out, what);
    else
        copy_trial(ui, trials_row(workbench_trials(ui->workbench), trials_selected(ui)), out, what);
}

static void trials_figure(Ui *ui, Text *out) {
    const Trials *trials = workbench_trials(ui->workbench);
    PlottedPoint *points = array_new(trials->count + 1, sizeof *points);
    for (size_t i = 0; points && i < trials->count; i++) {
        const TrialRow *row = &trials->rows[i];
        points[i] = (PlottedPoint){.x = row->figures->bits_per_weight,
                                   .y = row->figures->accuracy.kl_mean,
                                   .error = row->figures->accuracy.kl_se,
                                   .family = row->number == trials->present,
                                   .front = trial_is_best(trials, row),
                                   .words = *row->note ? row->note : row->what};
        snprintf(points[i].label, sizeof points[i].label, "%s%s", trials_name(ui, row->number).text,
                 points[i].family ? " now" : "");
    }
    static const char families[][48] = {"tried", "now"};
    const PointPlot plot = {.title = "Trials, by their numbers",
                            .x_label = "bits per weight",
                            .y_label = "KL divergence from the base, nats",
                            .points = points,
                            .count = (int)trials->count,
                            .families = families,
                            .family_count = trials->present ? 2 : 1,
                            .apart = true};
    if (points && trials->count) point_plot_svg(&plot, out);
    out->failed = out->failed || !points;
    free(points);
}

// ---- Sweep --------------------------------------------------------------------------------------------------------

static const Heading point_headings[] = {
    {"bits_per_weight", "bits/w"}, {"bytes", "size"}, {"kl", "KL"},      {"kl_se", "±"},
    {"ppl", "perplexity"},         {"top1", "top-1"}, {"state", "state"}};

static const char *point_state(const Ui *ui, const SweepView *v, int point) {
    const SweepPoint *p = &v->points[point];
    return !p->point.known            ? "not measured"
           : p->older                 ? "of an earlier setting"
           : sweep_is_here(ui, point) ? "now"
           : p->point.pareto          ? "front"
                                      : "";
}

static void add_point(const Ui *ui, Sheet *sheet, const SweepView *v, int point) {
    const SweepPoint *p = &v->points[point];
    const Accuracy *a = &p->point.accuracy;
    const double unknown = (double)NAN;
    char value[64];
    for (int d = 0; d < v->dial_count; d++) {
        dial_format(v->dials[d].dial, sweep_view_value(v, point, d), value, sizeof value);
        sheet_cell(sheet, value);
    }
    add_figure(sheet, p->planned ? p->point.bits_per_weight : unknown, format_fixed(p->point.bits_per_weight, 2).text);
    add_figure(sheet, p->planned ? (double)p->point.bytes : unknown, format_bytes((double)p->point.bytes).text);
    add_figure(sheet, p->point.known ? a->kl_mean : unknown, format_fixed(a->kl_mean, 5).text);
    add_figure(sheet, p->point.known ? a->kl_se : unknown, format_fixed(a->kl_se, 5).text);
    add_figure(sheet, p->point.known ? a->ppl : unknown, format_figure(a->ppl, 4).text);
    add_figure(sheet, p->point.known ? a->top1 : unknown, format_percent(a->top1).text);
    sheet_cell(sheet, point_state(ui, v, point));
    sheet_end_row(sheet);
}

static void sweep_sheet(Ui *ui, Sheet *sheet) {
    const SweepView *v = workbench_swept(ui->workbench);
    if (!v->dial_count) return;
    for (int d = 0; d < v->dial_count; d++) {
        const DialInfo *dial = &dial_table[v->dials[d].dial];
        sheet_cell(sheet, sheet->format == SHEET_CSV ? dial->option : dial->label);
    }
    add_headings(sheet, point_headings, COUNT_OF(point_headings));
    sheet_end_row(sheet);
    for (int i = 0; i < v->count; i++) add_point(ui, sheet, v, i);
}

static void sweep_copy(Ui *ui, Text *out, Text *what) {
    const SweepView *v = workbench_swept(ui->workbench);
    const int at = ui->sweep.cursor;
    if (at < 0 || at >= v->count) return;
    const Point *p = &v->points[at].point;
    for (int d = 0; d < v->dial_count; d++) {
        char value[64];
        dial_format(v->dials[d].dial, sweep_view_value(v, at, d), value, sizeof value);
        text_addf(out, "%s%s %s", d ? "  " : "", dial_table[v->dials[d].dial].option, value);
    }
    if (v->points[at].planned)
        text_addf(out, "  bits/w %s  size %s", format_fixed(p->bits_per_weight, 2).text,
                  format_bytes((double)p->bytes).text);
    if (p->known && !v->points[at].older)
        text_addf(out, "  KL %s ±%s  top-1 %s", format_fixed(p->accuracy.kl_mean, 5).text,
                  format_fixed(p->accuracy.kl_se, 5).text, format_percent(p->accuracy.top1).text);
    text_addf(what, "the point");
}

static void sweep_figure(Ui *ui, Text *out) {
    const SweepView *v = workbench_swept(ui->workbench);
    if (!v->dial_count) return;
    Sweep sweep = {.dials = {v->dials[0], v->dials[1]},
                   .dial_count = v->dial_count,
                   .count = v->count,
                   .points = array_new((size_t)v->count, sizeof *sweep.points)};
    for (int i = 0; sweep.points && i < v->count; i++) {
        sweep.points[i] = v->points[i].point;
        sweep.points[i].known = sweep.points[i].known && !v->points[i].older;
    }
    if (sweep.points) sweep_svg(&sweep, out);
    out->failed = out->failed || !sweep.points;
    free(sweep.points);
}

// ---- Sensitivity --------------------------------------------------------------------------------------------------

static const Heading cost_headings[] = {{"linear", "linear"},
                                        {"linears", "linears"},
                                        {"kl", "KL alone"},
                                        {"kl_se", "±"},
                                        {"known", "known"},
                                        {"bits", "bits"},
                                        {"chosen_bits", "chosen"},
                                        {"more_kl", "a step more: KL"},
                                        {"more_bytes", "a step more: size"},
                                        {"fewer_kl", "a step fewer: KL"},
                                        {"fewer_bytes", "a step fewer: size"}};

static const char *const source_names[] = {
    [COST_STATISTICS] = "guessed", [COST_ESTIMATED] = "estimated", [COST_MEASURED] = "measured"};

static void add_step(Sheet *sheet, bool scaled, const CostRow *row, double kl, double bytes) {
    const bool there = bytes != 0;
    add_figure(sheet, there && scaled ? kl : (double)NAN, sensitivity_change_text(row, kl).text);
    add_figure(sheet, there ? bytes : (double)NAN, format_change(bytes / 1000, 1, "kB").text);
}

static void add_cost(const Ui *ui, Sheet *sheet, const CostRow *row) {
    const SensitivityScreen *s = &ui->sensitivity;
    const double unknown = (double)NAN;
    char name[160], bits[16], chosen[16];
    sensitivity_row_name(ui, row, name, sizeof name);
    snprintf(bits, sizeof bits, "%d", row->bits);
    snprintf(chosen, sizeof chosen, "%d", row->chosen);
    sheet_cell(sheet, name);
    sheet_number(sheet, row->count);
    add_figure(sheet, s->scaled ? row->kl : unknown, sensitivity_kl_text(row).text);
    add_figure(sheet, s->scaled ? row->se : unknown, format_fixed(row->se, sensitivity_kl_decimals(row)).text);
    sheet_cell(sheet, source_names[row->source]);
    add_figure(sheet, row->bits ? row->bits : unknown, bits);
    add_figure(sheet, row->chosen ? row->chosen : unknown, chosen);
    add_step(sheet, s->scaled, row, row->more_kl, row->more_bytes);
    add_step(sheet, s->scaled, row, row->fewer_kl, row->fewer_bytes);
    sheet_end_row(sheet);
}

static void sensitivity_sheet(Ui *ui, Sheet *sheet) {
    if (!ui->sensitivity.row_count) return;
    add_headings(sheet, cost_headings, COUNT_OF(cost_headings));
    sheet_end_row(sheet);
    for (int i = 0; i < ui->sensitivity.row_count; i++) add_cost(ui, sheet, &ui->sensitivity.rows[i]);
}

static void sensitivity_copy(Ui *ui, Text *out, Text *what) {
    const int index = sensitivity_index(ui);
    if (index < 0) return;
    const CostRow *row = &ui->sensitivity.rows[index];
    char name[160];
    sensitivity_row_name(ui, row, name, sizeof name);
    text_addf(out, "%s", row->count == 1 ? workbench_structure(ui->workbench)->linears[row->first].name : name);
    if (ui->sensitivity.scaled)
        text_addf(out, "  KL alone %s, %s", sensitivity_kl_text(row).text, source_names[row->source]);
    if (row->bits) text_addf(out, "  bits %d", row->bits);
    if (row->chosen) text_addf(out, "  chosen %d", row->chosen);
    text_addf(what, "the row of %s", name);
}

static void sensitivity_figure(Ui *ui, Text *out) {
    if (ui->sensitivity.row_count && ui->sensitivity.scaled) figure_costs(ui, figure_scheme(ui), out);
}

// ---- Convert ------------------------------------------------------------------------------------------------------

static void add_findings(const Verdict *verdict, const VerdictRow *row, Sheet *sheet) {
    const TargetInfo *target = &target_table[row->target];
    if (!convert_findings(verdict, row)) {
        sheet_cell(sheet, target->title);
        sheet_cell(sheet, target->version);
        sheet_cell(sheet, row->loads ? "loads" : "does not load");
        sheet_end_row(sheet);
    }
    for (int i = 0; i < verdict->finding_count; i++) {
        const Finding *finding = &verdict->findings[i];
        if (!(finding->targets >> row->target & 1)) continue;
        sheet_cell(sheet, target->title);
        sheet_cell(sheet, target->version);
        sheet_cell(sheet, severity_names[finding->severity]);
        sheet_cell(sheet, finding->what);
        sheet_cell(sheet, finding->remedy ? finding->remedy : "");
        sheet_end_row(sheet);
    }
}

static void convert_sheet(Ui *ui, Sheet *sheet) {
    static const char *const headings[] = {"engine", "version", "verdict", "finding", "remedy"};
    const Verdict *verdict = workbench_verdict(ui->workbench, ui->convert.format);
    add_cells(sheet, headings, COUNT_OF(headings));
    sheet_end_row(sheet);
    for (int i = 0; verdict && i < verdict->row_count; i++) add_findings(verdict, &verdict->rows[i], sheet);
}

static void convert_copy(Ui *ui, Text *out, Text *what) {
    const Verdict *verdict = workbench_verdict(ui->workbench, ui->convert.format);
    const VerdictRow *row = verdict ? convert_row(ui, verdict) : NULL;
    if (!row) return;
    const char *title = target_table[row->target].title;
    text_addf(out, "%s: %s\n", title, row->loads ? "loads" : "does not load");
    for (int i = 0; i < verdict->finding_count; i++) {
        if (verdict->findings[i].targets >> row->target & 1) text_addf(out, "%s\n", verdict->findings[i].what);
    }
    text_addf(what, "the verdict for %s", title);
}

// ---- which screen has what ----------------------------------------------------------------------------------------

const Handouts handouts[SCREEN_COUNT] = {
    [SCREEN_LAYERS] = {layers_copy, layers_sheet, layers_figure},
    [SCREEN_OUTLIERS] = {outliers_copy, outliers_sheet, outliers_figure},
    [SCREEN_TRIALS] = {trials_copy, trials_sheet, trials_figure},
    [SCREEN_SWEEP] = {sweep_copy, sweep_sheet, sweep_figure},
    [SCREEN_SENSITIVITY] = {sensitivity_copy, sensitivity_sheet, sensitivity_figure},
    [SCREEN_CONVERT] = {convert_copy, convert_sheet, NULL},
};
