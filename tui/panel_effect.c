// The pane of what the recipe costs and buys: figures of base and quantized model, their change since the pin, and what
// both write.
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/statistics.h"
#include "base/array.h"
#include "tui/format.h"
#include "tui/panels.h"
#include "tui/prompt.h"
#include "tui/wrap.h"

// Of the labels at the left, "quantized" being the longest.
#define LABEL_COLS_NARROW 10
#define LABEL_COLS_ROOMY 12

// How fresh a figure is. A figure of an earlier setting is never shown as if it were today's.
typedef enum Freshness { FRESH, PARTIAL, STALE, UNKNOWN } Freshness;

typedef enum Metric { METRIC_SIZE, METRIC_BITS, METRIC_PPL, METRIC_KL, METRIC_TOP1, METRIC_SPEED, METRIC_COUNT } Metric;

static const struct {
    const char *title, *narrow;
    int width, wish; // columns: needed, and pleasant
    bool more_is_better;
} metrics[] = {
    [METRIC_SIZE] = {"size", "size", 11, 15, false},     [METRIC_BITS] = {"bits/weight", "bits/w", 8, 15, false},
    [METRIC_PPL] = {"perplexity", "ppl", 10, 16, false}, [METRIC_KL] = {"KL divergence", "KL", 16, 20, false},
    [METRIC_TOP1] = {"top-1", "top-1", 11, 16, true},    [METRIC_SPEED] = {"tokens/s", "tok/s", 11, 18, true},
};
static_assert(sizeof metrics / sizeof *metrics == METRIC_COUNT, "a metric has no row");

static Freshness accuracy_freshness(const Ui *ui) {
    const Effect *effect = workbench_effect(ui->workbench);
    if (!effect->accuracy_known) return UNKNOWN;
    if (effect->accuracy_turn != workbench_turn(ui->workbench)) return STALE;
    return effect->accuracy_finished ? FRESH : PARTIAL;
}

static Freshness speed_freshness(const Ui *ui) {
    const Effect *effect = workbench_effect(ui->workbench);
    if (!effect->speed.pairs) return UNKNOWN;
    if (effect->speed_turn != workbench_turn(ui->workbench)) return STALE;
    return effect->speed_finished ? FRESH : PARTIAL;
}

// Until weights are measured a size rests on what adaptive groups come to without that.
static Freshness plan_freshness(const Ui *ui) {
    JobView weights;
    workbench_job(ui->workbench, JOB_WEIGHTS, &weights);
    return weights.state == JOB_DONE || !recipe_needs_weights(workbench_recipe(ui->workbench)) ? FRESH : PARTIAL;
}

// What the first text of a model waits for, which takes long on a large one; "" where it is being written, or will not
// be. kind: what keeps it waiting.
static const char *text_waits_for(const Ui *ui, JobKind kind) {
    static const struct {
        JobKind kind;
        const char *what;
    } before[] = {{JOB_WEIGHTS, "weights are being measured"},
                  {JOB_CALIBRATE, "the first calibration tokens are being run"},
                  {JOB_QUANTIZE, "weights are being quantized"},
                  {JOB_ACCURACY, "the first tokens are being scored"}};
    JobView job;
    workbench_job(ui->workbench, kind, &job);
    if (job.state == JOB_STOPPED || job.state == JOB_FAILED) return "";
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        workbench_job(ui->workbench, before[i].kind, &job);
        const bool runs = job.state == JOB_RUNNING &&
                          (before[i].kind != JOB_CALIBRATE || !workbench_calibration_tokens(ui->workbench));
        if (runs) return before[i].what;
    }
    return "";
}

// ---- figures ------------------------------------------------------------------------------------------------------

static bool metrics_roomy(Rect pane) {
    int wished = LABEL_COLS_ROOMY + 1;
    for (int i = 0; i < METRIC_COUNT; i++) wished += metrics[i].wish;
    return pane.cols >= wished;
}

static int label_cols(Rect pane) { return metrics_roomy(pane) ? LABEL_COLS_ROOMY : LABEL_COLS_NARROW; }

// Why inputs are left as they are though the recipe quantizes them; "" where they are not, or ranges are to come.
static const char *why_weights_alone(const Ui *ui) {
    JobView calibrate, quantize;
    workbench_job(ui->workbench, JOB_CALIBRATE, &calibrate);
    workbench_job(ui->workbench, JOB_QUANTIZE, &quantize);
    const bool ranges = workbench_calibration_tokens(ui->workbench) > 0;
    if (ranges || quantize.state == JOB_FAILED || !recipe_needs_ranges(workbench_recipe(ui->workbench))) return "";
    return calibrate.state == JOB_FAILED    ? "weights alone: calibration failed"
           : calibrate.state == JOB_STOPPED ? "weights alone: calibration was stopped"
                                            : "";
}

// The quantized model's name, with a ~ while what becomes of some input rests on a range that has not settled.
static const char *quantized_label(const Ui *ui, Rect pane) {
    if (*why_weights_alone(ui)) return "weights";
    if (!workbench_plan(ui->workbench)->provisional) return "quantized";
    return label_cols(pane) > LABEL_COLS_NARROW ? "~quantized" : "~quant.";
}

static int metric_width(Rect pane, Metric metric) {
    if (!metrics_roomy(pane)) return metrics[metric].width;
    const int spare = (pane.cols - 112) / METRIC_COUNT, most = 10;
    return metrics[metric].wish + (spare < 0 ? 0 : spare > most ? most : spare);
}

static Rect metric_cell(Rect pane, Metric metric, int row) {
    int col = pane.col + 1 + label_cols(pane);
    for (Metric i = 0; i < metric; i++) col += metric_width(pane, i);
    return (Rect){pane.row + row, col, 1, metric_width(pane, metric) - 1};
}

static const char *job_share_text(const Ui *ui, JobKind kind, char *out, size_t size) {
    JobView job;
    workbench_job(ui->workbench, kind, &job);
    if (job.state == JOB_STOPPED)
        snprintf(out, size, "stopped");
    else if (job.state == JOB_FAILED)
        snprintf(out, size, "failed");
    else
        snprintf(out, size, "%s", ui_spinner(ui));
    return out;
}

// A figure with its freshness: computed figures plainly, partial ones with an ellipsis, stale ones dim in brackets
// behind a spinner.
static void draw_figure(Ui *ui, Rect cell, Freshness freshness, JobKind kind, const char *text) {
    char shown[96], state[32];
    if (freshness == FRESH) {
        canvas_fit(&ui->canvas, cell.row, cell.col, cell.cols, MEANING_VALUE | STYLE_BOLD, text);
        return;
    }
    job_share_text(ui, kind, state, sizeof state);
    if (freshness == UNKNOWN)
        snprintf(shown, sizeof shown, "%s", state);
    else if (freshness == PARTIAL)
        snprintf(shown, sizeof shown, "%s…", text);
    else
        snprintf(shown, sizeof shown, "%s (%s)", state, text);
    canvas_fit(&ui->canvas, cell.row, cell.col, cell.cols,
               freshness == PARTIAL ? MEANING_VALUE : MEANING_FAINT | STYLE_DIM, shown);
}

static void draw_known(Ui *ui, Rect cell, Style style, Short text) {
    canvas_fit(&ui->canvas, cell.row, cell.col, cell.cols, style, text.text);
}

// Bits per weight of a matrix as the checkpoint holds it.
static Short stored_bits(const Tensor *weight) {
    if (!weight->stored) return format_fixed((double)dtype_bytes(weight->dtype) * 8, 0);
    return format_fixed(8 * (double)weight->stored_bytes / (double)tensor_elements(weight), 2);
}

static void draw_base_row(Ui *ui, Rect pane, int row) {
    const Effect *effect = workbench_effect(ui->workbench);
    const Plan *plan = workbench_plan(ui->workbench);
    const ModelStructure *structure = workbench_structure(ui->workbench);
    const Style style = MEANING_TEXT;
    draw_known(ui, metric_cell(pane, METRIC_SIZE, row), style, format_bytes((double)plan->base_bytes));
    draw_known(ui, metric_cell(pane, METRIC_BITS, row), style, stored_bits(structure->linears[0].weight));
    const bool scored = effect->accuracy_known && effect->accuracy.tokens > 0;
    Short ppl = format_figure(scored ? effect->accuracy.base_ppl : NAN, 4);
    const size_t used = strlen(ppl.text);
    if (scored && !effect->accuracy_finished) // of the tokens scored so far
        snprintf(ppl.text + used, sizeof ppl.text - used, "…");
    draw_known(ui, metric_cell(pane, METRIC_PPL, row), style, ppl);
    draw_known(ui, metric_cell(pane, METRIC_KL, row), MEANING_FAINT, format_fixed(0, 0));
    draw_known(ui, metric_cell(pane, METRIC_TOP1, row), MEANING_FAINT, format_percent(1));
    const DecodeSpeed *speed = &effect->speed;
    const Rect cell = metric_cell(pane, METRIC_SPEED, row);
    if (speed->pairs && effect->speed_remembered) // at another moment, when the base was as fast as it was then
        canvas_fit(&ui->canvas, cell.row, cell.col, cell.cols, style, "1×");
    else
        draw_known(ui, cell, style, format_figure(speed->pairs ? speed->first.median : NAN, 3));
}

int kl_decimals(double se) {
    if (!(se > 0)) return 4;
    const int decimals = (int)ceil(-log10(se));
    return decimals < 3 ? 3 : decimals > 6 ? 6 : decimals;
}

void ratio_text(const Spread *ratio, char *out, size_t size) {
    const bool narrow = ratio->most < ratio->least * 1.1;
    const Short least = narrow ? format_ratio(ratio->least) : format_figure(ratio->least, 2);
    const Short most = narrow ? format_ratio(ratio->most) : format_figure(ratio->most, 2);
    const bool same = strcmp(least.text, most.text) == 0;
    snprintf(out, size, "%s%s%s×", least.text, same ? "" : "–", same ? "" : most.text);
}

void speed_text(const DecodeSpeed *speed, bool roomy, char *out, size_t size) {
    char ratio[32];
    ratio_text(&speed->ratio, ratio, sizeof ratio);
    if (decode_speed_is_busy(speed)) // the range would tell of the machine, not of the models
        snprintf(ratio, sizeof ratio, "%s× busy", format_figure(speed->ratio.median, 2).text);
    snprintf(out, size, "%s%s%s", roomy ? format_figure(speed->second.median, 3).text : "", roomy ? " " : "", ratio);
}

// "0.0080 ±0.0002", and on a wide screen the other direction: "0.0080 ±0.0002 ← 0.0079".
static void divergence_text(const Accuracy *a, bool stale, int cols, char *out, size_t size) {
    const int decimals = kl_decimals(a->kl_se);
    const Short mean = format_fixed(a->kl_mean, decimals), se = format_fixed(a->kl_se, decimals),
                reverse = format_fixed(a->kl_reverse_mean, decimals);
    if (stale)
        snprintf(out, size, "%s", mean.text);
    else if (cols < 26)
        snprintf(out, size, "%s ±%s", mean.text, se.text);
    else
        snprintf(out, size, "%s ±%s ← %s", mean.text, se.text, reverse.text);
}

static void draw_quantized_row(Ui *ui, Rect pane, int row) {
    const Effect *effect = workbench_effect(ui->workbench);
    const Plan *plan = workbench_plan(ui->workbench);
    const Accuracy *a = &effect->accuracy;
    const Freshness accuracy = accuracy_freshness(ui), speed = speed_freshness(ui);
    char text[96];
    draw_figure(ui, metric_cell(pane, METRIC_SIZE, row), plan_freshness(ui), JOB_WEIGHTS,
                format_bytes((double)plan->bytes).text);
    draw_figure(ui, metric_cell(pane, METRIC_BITS, row), plan_freshness(ui), JOB_WEIGHTS,
                plan->quantized_count ? format_fixed(plan->bits_per_weight, 2).text : "–");
    draw_figure(ui, metric_cell(pane, METRIC_PPL, row), accuracy, JOB_ACCURACY, format_figure(a->ppl, 4).text);
    const Rect divergence = metric_cell(pane, METRIC_KL, row);
    divergence_text(a, accuracy == STALE, divergence.cols, text, sizeof text);
    draw_figure(ui, divergence, accuracy, JOB_ACCURACY, text);
    draw_figure(ui, metric_cell(pane, METRIC_TOP1, row), accuracy, JOB_ACCURACY, format_percent(a->top1).text);
    if (speed == STALE)
        snprintf(text, sizeof text, "%s×", format_ratio(effect->speed.ratio.median).text);
    else
        speed_text(&effect->speed, metrics_roomy(pane) && !effect->speed_remembered, text, sizeof text);
    draw_figure(ui, metric_cell(pane, METRIC_SPEED, row), speed, JOB_SPEED, text);
}

// ---- since the pin ------------------------------------------------------------------------------------------------

#define NEARLY_SAME 0.1 // of a speed
#define NOISE_COLS 14   // that a word for it needs

// noise: a change smaller than this says nothing; for accuracies their standard error.
static void draw_change(Ui *ui, Rect cell, Metric metric, double change, double noise, const char *text) {
    if (isnan(change)) {
        canvas_text(&ui->canvas, cell.row, cell.col, cell.cols, MEANING_FAINT, "–");
        return;
    }
    char shown[64];
    const bool same = fabs(change) <= noise, better = (change > 0) == metrics[metric].more_is_better;
    // A speed may look like a change and yet say nothing; that is not the same as hardly any.
    const char *doubt = cell.cols >= NOISE_COLS ? "noise?" : "?";
    const char *unsure = metric == METRIC_SPEED && fabs(change) > NEARLY_SAME ? doubt : "≈";
    if (change == 0)
        snprintf(shown, sizeof shown, "=");
    else
        snprintf(shown, sizeof shown, "%s %s", text, same ? unsure : better ? "✓" : "✗");
    canvas_fit(&ui->canvas, cell.row, cell.col, cell.cols,
               same     ? MEANING_FAINT
               : better ? MEANING_BETTER
                        : MEANING_WORSE,
               shown);
}

static double change_bytes(const Ui *ui) { return (double)workbench_plan(ui->workbench)->bytes - ui->pin.bytes; }

// What a difference to the pin has to exceed to mean anything: twice the standard error, by positions where these are
// known.
typedef struct PinNoise {
    double ppl, kl, top1;
} PinNoise;

static PinNoise noise_since_pin(const Ui *ui) {
    const Effect *effect = workbench_effect(ui->workbench);
    const Accuracy *now = &effect->accuracy;
    const Pin *pin = &ui->pin;
    if (!pin->by_position || !effect->by_position || pin->positions != effect->positions)
        return (PinNoise){2 * now->ppl * now->ppl_ratio_se, 2 * now->kl_se, 2 * now->top1_se};
    const Differences d = paired_differences(effect->by_position, pin->by_position, pin->positions);
    return (PinNoise){2 * now->ppl * d.nll.se, 2 * d.kl.se, 2 * d.top1.se};
}

#define DRIFT_MOST 0.22 // of the base's speed, a fourth: the machine was at something else

// Whether one speed can be told from the other: their ranges lie apart, and since the pin was timed the base, which no
// recipe touches, kept its speed better than that.
static bool speeds_lie_apart(const Ui *ui) {
    const DecodeSpeed *now = &workbench_effect(ui->workbench)->speed;
    const Spread *ratio = &now->ratio, *before = &ui->pin.speed;
    const double drift = fabs(log(now->first.median / ui->pin.base_speed));
    if (ratio->least <= before->most && ratio->most >= before->least) return false;
    return drift < DRIFT_MOST && fabs(log(ratio->median / before->median)) > drift;
}

typedef struct SincePin {
    double ppl, kl, top1; // NAN: cannot be told
    PinNoise noise;
    uint64_t part; // of the first tokens alone; 0: of all
} SincePin;

static double mean(const float *figures, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)figures[i];
    return sum / (double)count;
}

// The figures of the present state on as many tokens from the beginning; false: they are not there.
static bool figures_of_first(const Ui *ui, size_t tokens, Accuracy *out) {
    const Effect *effect = workbench_effect(ui->workbench);
    const Freshness fresh = accuracy_freshness(ui);
    *out = effect->accuracy;
    if (fresh == PARTIAL && out->tokens == tokens) return true;
    if (fresh != FRESH || !effect->by_position || tokens > effect->positions) return false;
    out->kl_mean = mean(effect->by_position + POSITION_KL * effect->positions, tokens);
    out->ppl = exp(mean(effect->by_position + POSITION_NLL * effect->positions, tokens));
    out->top1 = mean(effect->by_position + POSITION_TOP1 * effect->positions, tokens);
    return true;
}

static SincePin difference_of(const Accuracy *now, const Accuracy *then, PinNoise noise) {
    return (SincePin){now->ppl - then->ppl, now->kl_mean - then->kl_mean, now->top1 - then->top1, noise, 0};
}

// A pin of another day may be of another number of tokens.
static SincePin since_pin(const Ui *ui) {
    const Pin *pin = &ui->pin;
    const Accuracy *now = &workbench_effect(ui->workbench)->accuracy, *part = &pin->part;
    Accuracy first;
    if (accuracy_freshness(ui) == FRESH && pin_is_known(pin) && now->tokens == pin->accuracy.tokens)
        return difference_of(now, &pin->accuracy, noise_since_pin(ui));
    SincePin out = {.ppl = (double)NAN, .kl = (double)NAN, .top1 = (double)NAN};
    if (pin_is_known(pin) || pin->here || !part->tokens || !figures_of_first(ui, part->tokens, &first)) return out;
    const double both = 2 * M_SQRT2; // each has an error of its own
    out = difference_of(&first, part,
                        (PinNoise){both * part->ppl * part->ppl_ratio_se, both * part->kl_se, both * part->top1_se});
    out.part = part->tokens;
    return out;
}

static void why_pin_is_not_known(const Ui *ui, char *out, size_t size) {
    JobView job;
    workbench_job(ui->workbench, JOB_PIN, &job);
    if (!ui->pin.here && job.state == JOB_RUNNING && job.share >= 0)
        snprintf(out, size, "pin is scored: %.0f %%", job.share * 100);
    else
        snprintf(out, size, "%s",
                 ui->pin.here               ? "pin is being measured"
                 : job.state == JOB_FAILED  ? "pin cannot be scored"
                 : job.state == JOB_STOPPED ? "pin: stopped, ! goes on"
                                            : "pin is scored later");
}

static void draw_pin_row(Ui *ui, Rect pane, int row) {
    const Effect *effect = workbench_effect(ui->workbench);
    const SincePin since = since_pin(ui);
    const double bytes = change_bytes(ui),
                 bits = workbench_plan(ui->workbench)->bits_per_weight - ui->pin.bits_per_weight;
    const bool timed = speed_freshness(ui) == FRESH && pin_is_timed(&ui->pin);
    const double change = timed ? effect->speed.ratio.median / ui->pin.speed.median : NAN;
    const bool apart = timed && speeds_lie_apart(ui);
    const double ppl = since.ppl, kl = since.kl, top1 = since.top1 * 100;
    const PinNoise noise = since.noise;
    char text[64];
    snprintf(text, sizeof text, "%s%s", bytes < 0 ? "−" : "+", format_bytes(fabs(bytes)).text);
    draw_change(ui, metric_cell(pane, METRIC_SIZE, row), METRIC_SIZE, bytes, 0, text);
    draw_change(ui, metric_cell(pane, METRIC_BITS, row), METRIC_BITS, bits, 0.0005, format_change(bits, 2, "").text);
    const char *settled = since.part || !pin_is_settled(&ui->pin) ? "~" : "";
    char part[32] = "";
    if (since.part) snprintf(part, sizeof part, " of %" PRIu64, since.part);
    snprintf(text, sizeof text, "%s%s", settled, format_change(ppl, fabs(ppl) < 0.01 ? 4 : 3, "").text);
    draw_change(ui, metric_cell(pane, METRIC_PPL, row), METRIC_PPL, ppl, noise.ppl, text);
    snprintf(text, sizeof text, "%s%s%s", settled, format_change(kl, 4, "").text, part);
    draw_change(ui, metric_cell(pane, METRIC_KL, row), METRIC_KL, kl, noise.kl, text);
    snprintf(text, sizeof text, "%s%s", settled, format_change(top1, fabs(top1) < 9.995 ? 2 : 1, "pp").text);
    draw_change(ui, metric_cell(pane, METRIC_TOP1, row), METRIC_TOP1, top1, noise.top1 * 100, text);
    if (!pin_is_known(&ui->pin) && !since.part) { // in the place of both
        const Rect first = metric_cell(pane, METRIC_PPL, row), second = metric_cell(pane, METRIC_KL, row);
        why_pin_is_not_known(ui, text, sizeof text);
        canvas_fit(&ui->canvas, row + pane.row, first.col, second.col + second.cols - first.col, MEANING_FAINT, text);
    }
    snprintf(text, sizeof text, "%s×", format_ratio(change).text);
    draw_change(ui, metric_cell(pane, METRIC_SPEED, row), METRIC_SPEED, change - 1, apart ? 0 : INFINITY, text);
}

static void draw_figures(Ui *ui, Rect pane) {
    Canvas *canvas = &ui->canvas;
    for (Metric i = 0; i < METRIC_COUNT; i++) {
        const Rect cell = metric_cell(pane, i, 0);
        canvas_fit(canvas, cell.row, cell.col, cell.cols, MEANING_FAINT,
                   metrics_roomy(pane) ? metrics[i].title : metrics[i].narrow);
    }
    canvas_text(canvas, pane.row + 1, pane.col + 1, label_cols(pane), MEANING_TITLE, "base");
    canvas_text(canvas, pane.row + 2, pane.col + 1, label_cols(pane), MEANING_TITLE, quantized_label(ui, pane));
    draw_base_row(ui, pane, 1);
    draw_quantized_row(ui, pane, 2);
    if (!ui->pin.set) return;
    canvas_text(canvas, pane.row + 3, pane.col + 1, label_cols(pane), MEANING_TITLE, "since pin");
    draw_pin_row(ui, pane, 3);
}

// One line: size and accuracy, and after the pin what changed, signs and all. What is not of this turn is marked as in
// the table.
void panel_figures_line(Ui *ui, Rect line) {
    const Effect *effect = workbench_effect(ui->workbench);
    const Plan *plan = workbench_plan(ui->workbench);
    const Accuracy *a = &effect->accuracy;
    const Freshness fresh = accuracy_freshness(ui);
    const char *kl = *why_weights_alone(ui) ? "KL of weights" : "KL";
    Pen pen = pen_at(&ui->canvas, line);
    char text[96], state[32];
    pen_text(&pen, MEANING_TEXT, "%s → ", format_bytes((double)plan->base_bytes).text);
    pen_text(&pen, MEANING_VALUE | STYLE_BOLD, "%s   ", format_bytes((double)plan->bytes).text);
    pen_field(&pen, "bits/weight", MEANING_VALUE | STYLE_BOLD, "%s",
              format_fixed(plan->quantized_count ? plan->bits_per_weight : NAN, 2).text);
    divergence_text(a, fresh == STALE, 16, text, sizeof text);
    if (fresh == FRESH)
        pen_field(&pen, kl, MEANING_VALUE | STYLE_BOLD, "%s", text);
    else if (fresh == PARTIAL)
        pen_field(&pen, kl, MEANING_VALUE, "%s…", text);
    else
        pen_field(&pen, kl, MEANING_FAINT | STYLE_DIM, fresh == STALE ? "%s (%s)" : "%s",
                  job_share_text(ui, JOB_ACCURACY, state, sizeof state), text);
    if (!ui->pin.set || ui->pin.here) return;
    const SincePin since = since_pin(ui);
    const double bytes = change_bytes(ui), change = since.kl;
    if (bytes == 0)
        snprintf(text, sizeof text, "=");
    else
        snprintf(text, sizeof text, "%s%s %s", bytes < 0 ? "−" : "+", format_bytes(fabs(bytes)).text,
                 bytes < 0 ? "✓" : "✗");
    pen_field(&pen, "since pin", bytes == 0 ? MEANING_FAINT : bytes > 0 ? MEANING_WORSE : MEANING_BETTER, "%s", text);
    if (!pin_is_known(&ui->pin) && !since.part) {
        why_pin_is_not_known(ui, text, sizeof text);
        pen_text(&pen, MEANING_FAINT, "%s", text);
        return;
    }
    if (isnan(change)) return;
    const bool same = fabs(change) <= since.noise.kl;
    pen_text(&pen,
             same         ? MEANING_FAINT
             : change < 0 ? MEANING_BETTER
                          : MEANING_WORSE,
             "KL %s%s %s", since.part || !pin_is_settled(&ui->pin) ? "~" : "", format_change(change, 4, "").text,
             same         ? "≈"
             : change < 0 ? "✓"
                          : "✗");
}

// ---- texts --------------------------------------------------------------------------------------------------------

typedef struct TextSample {
    const char *label;
    const DecodeText *text;
    bool stale;
    JobKind kind; // what keeps it waiting
} TextSample;

// Where two texts part: the bytes before the first word that differs, as on Trials. SIZE_MAX while they do not part.
static size_t parting(const DecodeText *a, const DecodeText *b) {
    if (!a->known || !b->known || !a->text || !b->text) return SIZE_MAX;
    const size_t at = decode_text_difference(a, b);
    const bool a_ends = at == a->count, b_ends = at == b->count;
    if (a_ends && b_ends) return SIZE_MAX;
    if ((a_ends && !a->finished) || (b_ends && !b->finished)) return SIZE_MAX; // still being written
    const size_t start = at ? a->ends[at - 1] : 0;
    const bool blanks = !a_ends && !b_ends && a->text[start] == ' ' && b->text[start] == ' ';
    return start + (blanks ? 1 : 0);
}

// Both texts scroll as one: the longer of them says how far.
static void draw_scrolled(Ui *ui, Rect room, const WrapPiece *pieces, size_t count, size_t keep) {
    Texts *texts = &ui->texts;
    const int lines = wrap_lines(&ui->canvas, room.cols, pieces, count);
    if (lines - room.rows > texts->last) texts->last = lines - room.rows;
    texts->rows = room.rows;
    if (!texts->scrolled) texts->top = wrap_first(&ui->canvas, room, pieces, count, keep);
    wrap_draw_from(&ui->canvas, room, pieces, count, texts->top);
}

static void draw_sample(Ui *ui, Rect place, Rect room, const TextSample *sample, size_t parts_at) {
    canvas_text(&ui->canvas, place.row, place.col + 1, place.cols, MEANING_TITLE, sample->label);
    const DecodeText *text = sample->text;
    char state[32], shown[96];
    if (!text->known) {
        snprintf(shown, sizeof shown, "%s %s", job_share_text(ui, sample->kind, state, sizeof state),
                 text_waits_for(ui, sample->kind));
        canvas_text(&ui->canvas, room.row, room.col, room.cols, MEANING_FAINT, shown);
        return;
    }
    const Style plain = sample->stale ? MEANING_FAINT | STYLE_DIM : MEANING_TEXT;
    const bool parted = parts_at != SIZE_MAX && !sample->stale;
    const char *tail = sample->stale ? " …" : text->finished ? "" : ui_spinner(ui);
    const bool chat = workbench_is_chat(ui->workbench);
    const WrapPiece pieces[] = {
        {chat ? "user: " : "", SIZE_MAX, MEANING_TITLE},
        {workbench_prompt(ui->workbench), SIZE_MAX, MEANING_FAINT},
        {prompt_mark(ui), SIZE_MAX, MEANING_TITLE},
        {text->text, parted ? parts_at : SIZE_MAX, plain},
        {parted ? "▸" : "", SIZE_MAX, MEANING_ERROR},
        {parted ? text->text + parts_at : "", SIZE_MAX, MEANING_DIFFERS},
        {tail, SIZE_MAX, MEANING_FAINT},
    };
    draw_scrolled(ui, room, pieces, sizeof pieces / sizeof *pieces, parted ? 4 : text->finished ? 0 : 6);
}

#define SIDE_BY_SIDE_ROWS 8
#define SIDE_BY_SIDE_COLS 100

// Where one of the texts stands, and in it the text without its label: side by side where there is height and width for
// it, else one above the other behind their labels.
static Rect sample_place(Rect rect, int which, Rect *room) {
    if (rect.rows >= SIDE_BY_SIDE_ROWS && rect.cols >= SIDE_BY_SIDE_COLS) {
        const int half = rect.cols / 2;
        const Rect place = {rect.row + 1, rect.col + which * half, rect.rows - 1, half};
        *room = (Rect){place.row + 1, place.col + 1, place.rows - 1, place.cols - 4};
        return place;
    }
    const int each = rect.rows / 2, spare = rect.rows % 2, labels = label_cols(rect); // a blank row before the texts
    const Rect place = {rect.row + spare + which * each, rect.col, each, rect.cols};
    *room = (Rect){place.row, rect.col + 1 + labels, each, rect.cols - labels - 2};
    return place;
}

static void draw_texts(Ui *ui, Rect rect) {
    const Effect *effect = workbench_effect(ui->workbench);
    const bool stale = effect->decode_turn != workbench_turn(ui->workbench);
    JobView quantize;
    workbench_job(ui->workbench, JOB_QUANTIZE, &quantize);
    const TextSample samples[] = {
        {"base", &effect->base, false, JOB_DECODE},
        {quantized_label(ui, rect), &effect->quantized, stale,
         quantize.state == JOB_FAILED ? JOB_QUANTIZE : JOB_DECODE},
    };
    const size_t parts_at = stale ? SIZE_MAX : parting(&effect->base, &effect->quantized);
    ui->texts.last = 0;
    ui_hit(ui, rect, HIT_PANE, PANE_TEXTS);
    for (int i = 0; i < 2; i++) {
        Rect room;
        const Rect place = sample_place(rect, i, &room);
        draw_sample(ui, place, room, &samples[i], parts_at);
    }
    if (ui->texts.top > ui->texts.last) ui->texts.top = ui->texts.last; // they became shorter
}

void panel_effect_draw(Ui *ui) {
    char title[160];
    const char *alone = why_weights_alone(ui);
    snprintf(title, sizeof title, "Effect on %.80s%s%s%s", workbench_text(ui->workbench, TEXT_EVALUATION),
             workbench_text_is_chat(ui->workbench, TEXT_EVALUATION) ? ", chat" : "", *alone ? " · " : "", alone);
    panel_title(ui, ui->layout.effect, title, PANE_TEXTS);
    draw_figures(ui, ui->layout.metrics);
    draw_texts(ui, ui->layout.texts);
}
