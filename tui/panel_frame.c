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

// The parts of the line, from left to right, and from longest to shortest form. What the recipe is for stands at the
// right with what its state is.
typedef enum HeaderPart {
    HEADER_PROGRAM,
    HEADER_NAME,
    HEADER_FAMILY,
    HEADER_LAYERS,
    HEADER_LINEARS,
    HEADER_SIZE,
    HEADER_UNLISTED,
    HEADER_AIM,
    HEADER_SAVED,
    HEADER_BACKEND,
    HEADER_CALIBRATION,
    HEADER_PARTS
} HeaderPart;
#define HEADER_RIGHT HEADER_AIM // from here on
#define HEADER_FORMS 4
#define HEADER_NAME_LEAST 12 // columns

typedef struct Header {
    const Canvas *canvas;
    struct {
        char forms[HEADER_FORMS][200]; // after the last one the part is gone
        int form;
        Style style;
    } parts[HEADER_PARTS];
    int name_cols;
} Header;

static const char *header_text(const Header *h, HeaderPart part) {
    return h->parts[part].form < HEADER_FORMS ? h->parts[part].forms[h->parts[part].form] : "";
}

static int header_part_width(const Header *h, HeaderPart part) {
    const int width = canvas_width(h->canvas, header_text(h, part));
    return part == HEADER_NAME && width > h->name_cols ? h->name_cols : width;
}

// From one part to the last before another; those at the right stand apart.
static int header_width(const Header *h, HeaderPart first, HeaderPart end) {
    int width = 0;
    for (HeaderPart part = first; part < end; part++) {
        const int own = header_part_width(h, part);
        width += own + (own && width && first == HEADER_RIGHT ? canvas_width(h->canvas, " · ") : 0);
    }
    return width;
}

static int header_missing(const Header *h, int cols) {
    return header_width(h, 0, HEADER_RIGHT) + 2 + header_width(h, HEADER_RIGHT, HEADER_PARTS) + 1 - cols;
}

// What matters least gives way first. What an engine refuses, and that the recipe is not saved, stay to the end.
static const HeaderPart header_steps[] = {HEADER_BACKEND, HEADER_UNLISTED,    HEADER_CALIBRATION, HEADER_LINEARS,
                                          HEADER_SAVED,   HEADER_CALIBRATION, HEADER_CALIBRATION, HEADER_FAMILY,
                                          HEADER_LAYERS,  HEADER_CALIBRATION, HEADER_SIZE,        HEADER_NAME,
                                          HEADER_PROGRAM, HEADER_AIM,         HEADER_SAVED};
#define HEADER_STEPS (int)(sizeof header_steps / sizeof *header_steps)

static void header_fit(Header *h, int cols) {
    int steps = 0;
    for (; steps < HEADER_STEPS && header_missing(h, cols) > 0; steps++) {
        const int width = header_part_width(h, HEADER_NAME) - header_missing(h, cols);
        if (header_steps[steps] == HEADER_NAME)
            h->name_cols = width > HEADER_NAME_LEAST ? width : HEADER_NAME_LEAST;
        else
            h->parts[header_steps[steps]].form++;
    }
    while (--steps >= 0) { // what finds room all the same comes back
        int *form = &h->parts[header_steps[steps]].form;
        if (header_steps[steps] == HEADER_NAME) continue;
        --*form;
        if (header_missing(h, cols) > 0) ++*form;
    }
}

#define HEADER_FORM(h, part, form, ...) \
    snprintf((h)->parts[part].forms[form], sizeof *(h)->parts[part].forms, __VA_ARGS__)

static void header_model(const Ui *ui, Header *h) {
    const ModelStructure *s = workbench_structure(ui->workbench);
    HEADER_FORM(h, HEADER_PROGRAM, 0, " quantdial");
    HEADER_FORM(h, HEADER_NAME, 0, "  %s", panel_model_name(s));
    HEADER_FORM(h, HEADER_FAMILY, 0, " · %s", s->config.family);
    HEADER_FORM(h, HEADER_LAYERS, 0, " · %d layers", s->config.layers);
    HEADER_FORM(h, HEADER_LINEARS, 0, " · %d linears", s->linear_count);
    HEADER_FORM(h, HEADER_SIZE, 0, " · %s %s", ui->stored ? ui->stored : dtype_name(s->linears[0].weight->dtype),
                format_bytes((double)workbench_plan(ui->workbench)->base_bytes).text);
    // Norms and biases alone are nothing that anybody would look for.
    if (s->unlisted_bytes > s->checkpoint->bytes / 100)
        HEADER_FORM(h, HEADER_UNLISTED, 0, " (%s not listed)", format_bytes((double)s->unlisted_bytes).text);
}

static void header_state(const Ui *ui, Header *h) {
    bool bad;
    for (int brief = 0; brief < 2; brief++)
        convert_aim_text(ui, brief, h->parts[HEADER_AIM].forms[brief], sizeof *h->parts[HEADER_AIM].forms, &bad);
    h->parts[HEADER_AIM].style = bad ? MEANING_ERROR : MEANING_FAINT;
    if (!workbench_saved(ui->workbench)) {
        HEADER_FORM(h, HEADER_SAVED, 0, "recipe not saved");
        HEADER_FORM(h, HEADER_SAVED, 1, "not saved");
    }
    HEADER_FORM(h, HEADER_BACKEND, 0, "%s", workbench_backend(ui->workbench));
    char whole[128], count[64];
    calibration_text(ui, true, whole, sizeof whole);
    calibration_text(ui, false, count, sizeof count);
    if (workbench_calibration_tokens(ui->workbench) > 0) {
        HEADER_FORM(h, HEADER_CALIBRATION, 0, "calibrated %s", whole);
        HEADER_FORM(h, HEADER_CALIBRATION, 1, "calibrated %s", count);
        HEADER_FORM(h, HEADER_CALIBRATION, 2, "%s", count);
        if (calibration_provisional(ui)) HEADER_FORM(h, HEADER_CALIBRATION, 3, "%s", count); // for longer
    } else {
        for (int form = 0; form < 2; form++) HEADER_FORM(h, HEADER_CALIBRATION, form, "not calibrated");
    }
}

void panel_header_draw(Ui *ui) {
    const Rect line = ui->layout.header;
    Canvas *canvas = &ui->canvas;
    Header h = {.canvas = canvas, .name_cols = line.cols};
    for (HeaderPart part = 0; part < HEADER_PARTS; part++) h.parts[part].style = MEANING_FAINT;
    h.parts[HEADER_PROGRAM].style = MEANING_ACCENT;
    h.parts[HEADER_NAME].style = MEANING_TITLE | STYLE_BOLD;
    header_model(ui, &h);
    header_state(ui, &h);
    header_fit(&h, line.cols);
    int col = line.col;
    for (HeaderPart part = 0; part < HEADER_PARTS; part++) {
        const int width = header_part_width(&h, part);
        if (part == HEADER_RIGHT) col = line.col + line.cols - 1 - header_width(&h, HEADER_RIGHT, HEADER_PARTS);
        if (width && part > HEADER_RIGHT && header_width(&h, HEADER_RIGHT, part))
            col += canvas_text(canvas, line.row, col, line.cols, MEANING_FAINT, " · ");
        canvas_fit(canvas, line.row, col, width, h.parts[part].style, header_text(&h, part));
        if (width && part == HEADER_AIM) ui_hit(ui, (Rect){line.row, col, 1, width}, HIT_SCREEN, SCREEN_CONVERT);
        col += width;
    }
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
    case JOB_PIN: return "scoring the pin";
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
