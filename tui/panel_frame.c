// What surrounds the panes: header, borders, and the line at the bottom with keys, jobs and messages.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "tui/actions.h"
#include "tui/convert.h"
#include "tui/format.h"
#include "tui/graph.h"
#include "tui/key_names.h"
#include "tui/panels.h"
#include "tui/trials.h"
#include "tui/view.h"
#include "tui/wrap.h"

// ---- header -------------------------------------------------------------------------------------------------------

const char *panel_model_name(const ModelStructure *structure) {
    return structure->checkpoint && structure->checkpoint->name ? structure->checkpoint->name : "";
}

#define HEADER_REST 52 // columns

static void draw_model(Ui *ui, Pen *pen) {
    const ModelStructure *s = workbench_structure(ui->workbench);
    pen_text(pen, MEANING_ACCENT, " quantdial");
    // At least the size and what is saved stand beside a long name.
    const int most = pen->end - pen->col - 2 - HEADER_REST;
    pen->col += 2;
    pen->col += canvas_fit(&ui->canvas, pen->row, pen->col, most, MEANING_TITLE | STYLE_BOLD, panel_model_name(s));
    pen_text(pen, MEANING_FAINT, " · %s", s->config.family);
    pen_text(pen, MEANING_FAINT, " · %d layers", s->config.layers);
    if (ui->canvas.cols >= 100) pen_text(pen, MEANING_FAINT, " · %d linears", s->linear_count);
    const char *stored = structure_stored(s);
    pen_text(pen, MEANING_FAINT, " · %s %s", stored ? stored : dtype_name(s->linears[0].weight->dtype),
             format_bytes((double)workbench_plan(ui->workbench)->base_bytes).text);
    // Norms and biases alone are nothing that anybody would look for.
    if (ui->canvas.cols >= 110 && s->unlisted_bytes > s->checkpoint->bytes / 100)
        pen_text(pen, MEANING_FAINT, " (%s not listed)", format_bytes((double)s->unlisted_bytes).text);
}

bool calibration_provisional(const Ui *ui) {
    return workbench_calibration_tokens(ui->workbench) < workbench_calibration_planned(ui->workbench);
}

void calibration_text(const Ui *ui, bool whole, char *out, size_t size) {
    const uint64_t tokens = workbench_calibration_tokens(ui->workbench);
    const Short count = format_count((double)tokens),
                planned = format_count((double)workbench_calibration_planned(ui->workbench));
    const bool more = calibration_provisional(ui);
    snprintf(out, size, "%s%s%s tokens%s%s", count.text, more ? " of " : "", more ? planned.text : "",
             whole ? " of " : "", whole ? workbench_text(ui->workbench, TEXT_CALIBRATION) : "");
}

// What stands at the right end: the longest form that fits.
static void draw_state(Ui *ui, Rect room) {
    const bool known = workbench_calibration_tokens(ui->workbench) > 0;
    const char *unsaved = workbench_saved(ui->workbench) ? "" : "recipe not saved";
    const char *dot = *unsaved ? " · " : "", *word = known ? "calibrated " : "not calibrated";
    char whole[128] = "", count[64] = "", forms[5][256];
    if (known) calibration_text(ui, true, whole, sizeof whole);
    if (known) calibration_text(ui, false, count, sizeof count);
    snprintf(forms[0], sizeof *forms, "%s%s%s · %s%s", unsaved, dot, workbench_backend(ui->workbench), word, whole);
    if (calibration_provisional(ui)) // on its way, the text tells more than the processor
        snprintf(forms[1], sizeof *forms, "%s%s%s%s", unsaved, dot, word, whole);
    else
        snprintf(forms[1], sizeof *forms, "%s%s%s · %s%s", unsaved, dot, workbench_backend(ui->workbench), word, count);
    snprintf(forms[2], sizeof *forms, "%s%s%s%s", unsaved, dot, word, count);
    snprintf(forms[3], sizeof *forms, "%s%s", *unsaved ? unsaved : word, *unsaved ? "" : count);
    snprintf(forms[4], sizeof *forms, "%s", *unsaved ? "not saved" : count);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (canvas_width(&ui->canvas, forms[i]) > room.cols) continue;
        canvas_right(&ui->canvas, room.row, room.col, room.cols, MEANING_FAINT, forms[i]);
        return;
    }
}

// The engine that the recipe is for, if one was chosen: left of the state, which gives way to it but where it says that
// the recipe is not saved.
static Rect draw_aim(Ui *ui, Rect room) {
    const int state = workbench_saved(ui->workbench) ? 0 : (int)strlen("  not saved");
    char text[80];
    bool bad;
    convert_aim_text(ui, false, text, sizeof text, &bad);
    if (*text && canvas_width(&ui->canvas, text) + state > room.cols)
        convert_aim_text(ui, true, text, sizeof text, &bad);
    const int width = canvas_width(&ui->canvas, text);
    if (!width || width > room.cols) return room;
    const Rect place = {room.row, room.col, 1, width};
    canvas_text(&ui->canvas, place.row, place.col, place.cols, bad ? MEANING_ERROR : MEANING_FAINT, text);
    ui_hit(ui, place, HIT_SCREEN, SCREEN_CONVERT);
    return (Rect){room.row, room.col + width + 2, 1, room.cols - width - 2};
}

void panel_header_draw(Ui *ui) {
    const Rect line = ui->layout.header;
    Pen pen = pen_at(&ui->canvas, line);
    draw_model(ui, &pen);
    draw_state(ui, draw_aim(ui, (Rect){line.row, pen.col + 2, 1, line.cols - pen.col - 3}));
}

// ---- borders ------------------------------------------------------------------------------------------------------

void panel_title(Ui *ui, Rect pane, const char *title, Pane which) {
    char text[300];
    snprintf(text, sizeof text, " %s ", title);
    const bool focused = which != PANE_COUNT && ui->focus == which;
    canvas_fit(&ui->canvas, pane.row - 1, pane.col + 1, pane.cols - 2,
               focused ? MEANING_FOCUS | STYLE_BOLD : MEANING_TITLE, text);
}

void panel_borders_draw(Ui *ui) {
    const Layout *l = &ui->layout;
    const Rect panes[] = {l->layers, l->detail, l->dials, l->effect};
    for (size_t i = 0; i < sizeof panes / sizeof *panes; i++) {
        if (panes[i].rows) canvas_box(&ui->canvas, panes[i], MEANING_RULE);
    }
    const Style focus = ui->target.scope != SCOPE_ALL && ui->focus == PANE_DIALS ? MEANING_OVERRIDE : MEANING_FOCUS;
    const Rect focused[PANE_COUNT] = {[PANE_LAYERS] = l->layers, [PANE_DIALS] = l->dials, [PANE_TEXTS] = l->effect};
    if (focused[ui->focus].rows) canvas_box(&ui->canvas, focused[ui->focus], focus);
}

// ---- bottom -------------------------------------------------------------------------------------------------------

const char *job_doing(JobKind kind) {
    switch (kind) {
    case JOB_WEIGHTS: return "measuring weights";
    case JOB_CALIBRATE: return "calibrating";
    case JOB_QUANTIZE: return "quantizing";
    case JOB_ACCURACY: return "scoring";
    case JOB_DECODE: return "writing texts";
    case JOB_ERRORS: return "measuring errors";
    case JOB_SPEED: return "timing";
    case JOB_FORECAST: return "estimating";
    case JOB_SPEEDS: return "timing batches";
    case JOB_CHOICES: return "weighing bits";
    case JOB_SWEEP: return "sweeping";
    case JOB_TUNE: return "tuning";
    case JOB_SENSITIVITY: return "measuring alone";
    case JOB_EXPORT: return "converting";
    case JOB_COUNT: break;
    }
    return "";
}

static bool running_job(const Ui *ui, JobView *out) {
    const int most = ui->screen == SCREEN_CONVERT ? JOB_EXPORT : JOB_COUNT; // which has a pane of its own there
    for (int kind = 0; kind < most; kind++) {
        workbench_job(ui->workbench, (JobKind)kind, out);
        if (out->state == JOB_RUNNING) return true;
    }
    return false;
}

#define RANKS 10
#define RANK_COUNTS 2 // keys up to this rank are seen whatever else wants to stand here

static JobView studied(const Ui *ui) {
    JobView job;
    const bool sweeps = ui->screen == SCREEN_SWEEP;
    workbench_job(ui->workbench, sweeps ? JOB_SWEEP : JOB_TUNE, &job);
    if (!sweeps && !job_is_on(job.state) && job.state != JOB_STOPPED)
        workbench_job(ui->workbench, JOB_SENSITIVITY, &job);
    return job;
}

static bool is_put_off(const Ui *ui) {
    JobView job;
    workbench_job(ui->workbench, ui->screen == SCREEN_SWEEP ? JOB_SWEEP : JOB_SENSITIVITY, &job);
    return job.put_off > 0;
}

static bool bar_counts(const Ui *ui, const Binding *binding) {
    if (!binding->bar || !binding_counts(ui, binding)) return false;
    if (binding->run == view_zoom && !view_can_zoom(ui)) return false;
    switch (binding->bar_when) {
    case BAR_ALWAYS: break;
    case BAR_IN_TABLE: return !ui->trials.pane;
    case BAR_IN_TEXTS: return ui->trials.pane;
    case BAR_ON_EXPORT: return convert_runs(ui);
    case BAR_ON_STUDY: {
        const JobState state = studied(ui).state;
        return (job_is_on(state) || state == JOB_STOPPED) && !(studied(ui).put_off > 0);
    }
    case BAR_PUT_OFF: return is_put_off(ui);
    }
    return true;
}

static const char *bar_text(const Ui *ui, const Binding *binding) {
    if (binding->bar_when == BAR_ON_STUDY && studied(ui).state == JOB_STOPPED) return "go on";
    if (ui->screen == SCREEN_TRIALS && ui->trials.pane && binding->run == trials_next_pane) return "next text";
    return binding->run == action_quit && ui->screen != SCREEN_LAYERS ? "back" : binding->bar;
}

static int bar_width(const Ui *ui, const Binding *binding) {
    char text[96];
    bool changed;
    snprintf(text, sizeof text, "%s %s  ", binding_shown(&ui->settings, binding, &changed), bar_text(ui, binding));
    return canvas_width(&ui->canvas, text);
}

// Columns of the keys that find room, those of low rank first; shown [binding_count], or NULL.
static int choose_keys(const Ui *ui, int most_rank, int room, bool *shown) {
    int used = 1;
    for (int order = 0; order < 2 * (most_rank + 1); order++) { // of each rank those of the screen before the others
        for (int i = 0; i < binding_count; i++) {
            const bool general = bindings[i].where == EVERYWHERE;
            if (2 * bindings[i].rank + general != order || !bar_counts(ui, &bindings[i])) continue;
            const int width = bar_width(ui, &bindings[i]);
            if (used + width > room) continue;
            used += width;
            if (shown) shown[i] = true;
        }
    }
    return used;
}

#define JOB_FORMS 4

// " scoring ━━━━──── 43 %  2 s left ", and as form rises without the bar, the time left, the name.
static int job_text(const Ui *ui, const JobView *job, int form, char *before, char *after, size_t size) {
    const bool known = job->share >= 0, left = form < 2 && known && job->seconds_left >= 0 && job->seconds > 0.5;
    snprintf(before, size, " %s %s%s", ui_spinner(ui), form < 3 ? job_doing(job->kind) : "", form < 3 ? " " : "");
    *after = '\0';
    if (left)
        snprintf(after, size, " %3.0f %%  %s left ", job->share * 100, format_seconds(job->seconds_left).text);
    else if (known)
        snprintf(after, size, " %3.0f %% ", job->share * 100);
    return known && form == 0 ? (ui->canvas.cols >= 100 ? 12 : 6) : 0;
}

// Against the right end, as long as the message or the keys that count leave room for; returns the columns used.
static int draw_job(Ui *ui, Rect line) {
    JobView job;
    char before[96], after[96];
    if (!running_job(ui, &job)) return 0;
    const int others = *ui->message.text ? canvas_width(&ui->canvas, ui->message.text) + 2
                                         : choose_keys(ui, RANK_COUNTS, line.cols, NULL),
              room = line.cols - 1 - others;
    int form = 0, bar, width;
    do {
        bar = job_text(ui, &job, form, before, after, sizeof before);
        width = canvas_width(&ui->canvas, before) + bar + canvas_width(&ui->canvas, after);
    } while (width > room && ++form < JOB_FORMS);
    int col = line.col + line.cols - width;
    col += canvas_text(&ui->canvas, line.row, col, width, MEANING_TITLE, before);
    const int filled = (int)lround(job.share * bar);
    for (int i = 0; i < bar; i++)
        canvas_text(&ui->canvas, line.row, col + i, 1, i < filled ? MEANING_ACCENT : MEANING_TRACK,
                    i < filled ? "━" : "─");
    canvas_text(&ui->canvas, line.row, col + bar, width, MEANING_TITLE, after);
    return width + 1;
}

static void draw_keys(Ui *ui, Rect line) {
    bool *shown = array_new((size_t)binding_count, sizeof *shown);
    if (shown) choose_keys(ui, RANKS, line.cols, shown);
    int col = line.col + canvas_text(&ui->canvas, line.row, line.col, 1, MEANING_TEXT, " ");
    for (int i = 0; shown && i < binding_count; i++) {
        const Binding *b = &bindings[i];
        bool changed;
        const int from = col;
        if (!shown[i]) continue;
        col += canvas_text(&ui->canvas, line.row, col, line.cols, MEANING_ACCENT,
                           binding_shown(&ui->settings, b, &changed));
        col += canvas_text(&ui->canvas, line.row, col, line.cols, MEANING_TEXT, " ");
        col += canvas_text(&ui->canvas, line.row, col, line.cols, MEANING_FAINT, bar_text(ui, b));
        ui_hit(ui, (Rect){line.row, from, 1, col - from}, HIT_KEY, b->keys[0]);
        col += canvas_text(&ui->canvas, line.row, col, 2, MEANING_TEXT, "  ");
    }
    canvas_text(&ui->canvas, line.row, col - 1, 1, MEANING_TEXT, " ");
    free(shown);
}

void panel_box_draw(Ui *ui, Rect inside, const char *title) {
    canvas_fill(&ui->canvas, (Rect){inside.row - 1, inside.col - 1, inside.rows + 2, inside.cols + 2}, MEANING_TEXT,
                " ");
    canvas_box(&ui->canvas, inside, MEANING_FOCUS);
    canvas_text(&ui->canvas, inside.row - 1, inside.col + 2, inside.cols, MEANING_FOCUS | STYLE_BOLD, title);
}

Rect panel_overlay_draw(Ui *ui, int rows, int cols, const char *title, const char *keys) {
    const Rect frame = ui->layout.frame;
    const Rect inside = {frame.row + (frame.rows - rows) / 2, frame.col + (frame.cols - cols) / 2, rows, cols};
    canvas_restyle(&ui->canvas, (Rect){0, 0, ui->canvas.rows, ui->canvas.cols}, STYLE_DIM);
    panel_box_draw(ui, inside, title);
    canvas_right(&ui->canvas, inside.row + rows, inside.col, cols - 1, MEANING_FAINT, keys);
    return inside;
}

#define MESSAGE_ROWS_MOST 14 // a message of the longest

void panel_message_draw(Ui *ui, Rect last, Style style, const char *text) {
    const WrapPiece piece = {text, SIZE_MAX, style};
    const Rect inside = rect_inset(last, 1);
    const int lines = wrap_lines(&ui->canvas, inside.cols, &piece, 1);
    const int rows = lines < MESSAGE_ROWS_MOST ? lines : MESSAGE_ROWS_MOST;
    const Rect over = {last.row - rows + 1, last.col, rows, last.cols};
    canvas_fill(&ui->canvas, over, style & STYLE_SELECTED, " ");
    wrap_draw(&ui->canvas, rect_inset(over, 1), &piece, 1, 0);
}

static void draw_message(Ui *ui, Rect line) {
    const Style style = ui->message.failure ? MEANING_ERROR : MEANING_TITLE;
    const int needed = canvas_width(&ui->canvas, ui->message.text) + 2;
    if (needed > line.cols)
        panel_message_draw(ui, rect_inset(ui->layout.bottom, 1), style | STYLE_SELECTED, ui->message.text);
    else
        panel_message_draw(ui, (Rect){line.row, line.col, 1, needed}, style, ui->message.text);
}

// How one leaves a pane that has the whole frame; returns the columns used.
static int draw_zoom(Ui *ui, Rect line) {
    char text[96];
    if (!(ui->screen == SCREEN_LAYERS ? ui->zoom != ZOOM_NONE : ui->zoomed)) return 0;
    snprintf(text, sizeof text, " %s next pane  %s all ", action_keys(&ui->settings, "view"),
             action_keys(&ui->settings, "back"));
    const int width = canvas_width(&ui->canvas, text);
    canvas_right(&ui->canvas, line.row, line.col, line.cols, MEANING_FOCUS, text);
    return width + 1;
}

void panel_bottom_draw(Ui *ui) {
    Rect line = rect_inset(ui->layout.bottom, 2);
    if (!*ui->message.text) line.cols -= draw_zoom(ui, line);
    if (!*ui->message.text || !ui->message.failure) line.cols -= draw_job(ui, line);
    if (*ui->message.text)
        draw_message(ui, line);
    else
        draw_keys(ui, line);
}
