#include "tui/ui.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tui/actions.h"
#include "tui/dials.h"
#include "tui/keys.h"

static void offer_unsaved(Ui *ui) {
    Error err = {0};
    const Checkpoint *checkpoint = workbench_structure(ui->workbench)->checkpoint;
    ui_report(ui, unsaved_open(checkpoint && checkpoint->path ? checkpoint->path : "", &ui->unsaved, &err), &err);
    if (!ui->unsaved.there) return;
    if (recipe_equal(&ui->unsaved.kept, workbench_recipe(ui->workbench)))
        unsaved_forget(&ui->unsaved);
    else
        prompt_open(ui, PROMPT_RESTORE, "");
}

bool ui_init(Ui *ui, Workbench *workbench, const TuiOptions *options, Error *err) {
    *ui = (Ui){.workbench = workbench, .dial = DIAL_ALPHA, .dragged = NO_DIAL, .unsaved.lock = -1};
    if (options->recipe_path && !(ui->recipe_path = strdup(options->recipe_path)))
        return error_memory(err, "a file name");
    if (!rows_init(&ui->rows, workbench, err)) return false;
    offer_unsaved(ui);
    return true;
}

void ui_free(Ui *ui) {
    unsaved_close(&ui->unsaved);
    for (int i = 0; i < PROMPT_COUNT; i++) line_history_free(&ui->histories[i]);
    rows_free(&ui->rows);
    canvas_free(&ui->canvas);
    free(ui->recipe_path);
}

bool ui_resize(Ui *ui, int rows, int cols, Error *err) {
    ui->layout = layout_make(rows, cols);
    return canvas_resize(&ui->canvas, rows, cols, err);
}

// ---- what the parts share -----------------------------------------------------------------------------------------

int ui_linear(const Ui *ui) { return ui->rows.selected; }

int ui_target(const Ui *ui) { return ui->one_linear ? ui_linear(ui) : -1; }

void ui_say(Ui *ui, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(ui->message.text, sizeof ui->message.text, format, args);
    va_end(args);
    ui->message.failure = false;
}

void ui_fail(Ui *ui, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(ui->message.text, sizeof ui->message.text, format, args);
    va_end(args);
    ui->message.failure = true;
}

bool ui_report(Ui *ui, bool ok, const Error *err) {
    if (!ok) ui_fail(ui, "%s", err->message);
    return ok;
}

void ui_hit(Ui *ui, Rect rect, HitKind kind, int value) {
    if (ui->hit_count < HITS_MOST) ui->hits[ui->hit_count++] = (Hit){rect, kind, value};
}

const char *ui_spinner(const Ui *ui) {
    static const char *const frames[] = {"⠋", "⠙", "⠸", "⠴", "⠦", "⠇"};
    return frames[ui->tick % (int)(sizeof frames / sizeof *frames)];
}

// ---- keeping up with the workbench --------------------------------------------------------------------------------

// A pin taken before everything was computed gets the rest as long as nothing was turned.
static void complete_pin(Ui *ui) {
    const Effect *effect = workbench_effect(ui->workbench);
    if (!ui->pin.set || ui->pin.turn != workbench_turn(ui->workbench)) return;
    if (effect->accuracy_finished && effect->accuracy_turn == ui->pin.turn) {
        ui->pin.accuracy = effect->accuracy;
        ui->pin.accuracy_known = true;
    }
    if (effect->speed_finished && effect->speed_turn == ui->pin.turn) {
        ui->pin.speed = effect->speed.ratio;
        ui->pin.speed_known = true;
    }
}

static void tell_failures(Ui *ui) {
    for (int kind = 0; kind < JOB_COUNT; kind++) {
        JobView job;
        workbench_job(ui->workbench, (JobKind)kind, &job);
        const bool failed = job.state == JOB_FAILED;
        if (failed && !ui->failed[kind]) ui_fail(ui, "%s: %s", job.name, job.message);
        ui->failed[kind] = failed;
    }
}

void ui_update(Ui *ui) {
    rows_arrange(&ui->rows);
    complete_pin(ui);
    tell_failures(ui);
}

// A dial that is being turned passes many values: only where it comes to rest is written.
#define REST_SECONDS 0.5

double ui_keep_unsaved(Ui *ui, bool at_once) {
    const uint64_t turn = workbench_turn(ui->workbench);
    if (ui->prompt == PROMPT_RESTORE) return -1; // what was found is still to be decided about
    if (workbench_saved(ui->workbench)) {
        unsaved_forget(&ui->unsaved);
        ui->unsaved_turn = turn;
        return -1;
    }
    if (ui->unsaved_turn != turn) ui->unsaved_since = clock_seconds();
    ui->unsaved_turn = turn;
    if (ui->unsaved_since <= 0) return -1;
    const double wait = ui->unsaved_since + REST_SECONDS - clock_seconds();
    if (wait > 0 && !at_once) return wait;
    Error err = {0};
    ui->unsaved_since = 0;
    if (!unsaved_keep(&ui->unsaved, workbench_recipe(ui->workbench), &err) && !ui->unsaved_failed) {
        ui->unsaved_failed = true;
        ui_report(ui, false, &err);
    }
    return -1;
}

// ---- drawing ------------------------------------------------------------------------------------------------------

static void draw_too_small(Ui *ui) {
    Canvas *canvas = &ui->canvas;
    char needed[64], here[64];
    snprintf(needed, sizeof needed, "quantdial needs %d × %d", LAYOUT_LEAST_COLS, LAYOUT_LEAST_ROWS);
    snprintf(here, sizeof here, "this terminal has %d × %d", canvas->cols, canvas->rows);
    const int row = canvas->rows / 2 - (canvas->rows > 2 ? 1 : 0);
    const int left = (canvas->cols - canvas_width(canvas, needed)) / 2,
              below = (canvas->cols - canvas_width(canvas, here)) / 2;
    canvas_fit(canvas, row, left > 0 ? left : 0, canvas->cols, MEANING_ACCENT, needed);
    canvas_fit(canvas, row + 1, below > 0 ? below : 0, canvas->cols, MEANING_FAINT, here);
    canvas_fit(canvas, row + 3, below > 0 ? below : 0, canvas->cols, MEANING_FAINT, "make it larger, or q to quit");
}

static void draw_layers_screen(Ui *ui) {
    panel_header_draw(ui);
    panel_borders_draw(ui);
    panel_layers_draw(ui);
    panel_detail_draw(ui);
    panel_dials_draw(ui);
    panel_effect_draw(ui);
}

// The screens of the program; one so far.
static void (*const screens[])(Ui *ui) = {draw_layers_screen};

void ui_draw(Ui *ui) {
    canvas_clear(&ui->canvas);
    ui->hit_count = 0;
    if (!ui->layout.fits) {
        draw_too_small(ui);
        return;
    }
    screens[ui->screen](ui);
    panel_bottom_draw(ui);
    if (ui->help) help_draw(ui);
}

// ---- keys ---------------------------------------------------------------------------------------------------------

static void help_key(Ui *ui, const Key *key) {
    const int page = ui->layout.frame.rows - 6;
    switch (key->code) {
    case KEY_ARROW_UP:
    case 'k': ui->help_top--; break;
    case KEY_ARROW_DOWN:
    case 'j': ui->help_top++; break;
    case KEY_PAGE_UP: ui->help_top -= page; break;
    case KEY_PAGE_DOWN:
    case ' ': ui->help_top += page; break;
    case KEY_TO_START:
    case 'g': ui->help_top = 0; break;
    case KEY_TO_END:
    case 'G': ui->help_top = ui->help_rows; break;
    case KEY_MOUSE_EVENT:
        if (key->action == MOUSE_WHEEL_UP)
            ui->help_top -= 3;
        else if (key->action == MOUSE_WHEEL_DOWN)
            ui->help_top += 3;
        else if (key->action == MOUSE_PRESS)
            ui->help = false;
        break;
    case KEY_ESCAPE:
    case 'q':
    case '?':
    case KEY_HELP_F1:
    case KEY_CONTROL('c'): ui->help = false; break;
    default: break;
    }
}

static void mouse_in_prompt(Ui *ui, const Key *key) {
    if (key->action != MOUSE_PRESS) return;
    for (int i = ui->hit_count - 1; i >= 0; i--) {
        const Hit *hit = &ui->hits[i];
        if (hit->kind != HIT_KEY || !rect_contains(hit->rect, key->row, key->col)) continue;
        prompt_key(ui, &(Key){.code = hit->value});
        return;
    }
}

void ui_key(Ui *ui, const Key *key) {
    if (key->code == KEY_NONE) return;
    const bool mouse = key->code == KEY_MOUSE_EVENT;
    if (key->code == KEY_PASTED)
        prompt_paste(ui, key->text);
    else if (!ui->layout.fits) {
        if (key->code == 'q' || key->code == KEY_CONTROL('c')) ui->quit = true;
    } else if (ui->help)
        help_key(ui, key);
    else if (ui->prompt != PROMPT_NONE && mouse)
        mouse_in_prompt(ui, key);
    else if (ui->prompt != PROMPT_NONE)
        prompt_key(ui, key);
    else {
        if (!mouse || key->action == MOUSE_PRESS) ui->message.text[0] = '\0';
        if (mouse)
            mouse_event(ui, key);
        else
            keys_dispatch(ui, key->code);
    }
}
