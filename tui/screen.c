#include "tui/screen.h"

#include <assert.h>
#include <stdio.h>

#include "tui/convert.h"
#include "tui/demo.h"
#include "tui/guide.h"
#include "tui/help.h"
#include "tui/jobs.h"
#include "tui/keys.h"
#include "tui/mouse.h"
#include "tui/outliers.h"
#include "tui/panels.h"
#include "tui/prompt.h"
#include "tui/sensitivity.h"
#include "tui/speeds.h"
#include "tui/sweep.h"
#include "tui/trials.h"
#include "tui/view.h"

// ---- drawing ------------------------------------------------------------------------------------------------------

static void draw_too_small(Ui *ui) {
    Canvas *canvas = &ui->canvas;
    char needed[64], here[64];
    const bool narrow = canvas->cols < 30;
    snprintf(needed, sizeof needed, "%sneeds %d × %d", narrow ? "" : "quantdial ", LAYOUT_LEAST_COLS,
             LAYOUT_LEAST_ROWS);
    snprintf(here, sizeof here, "%s %d × %d", narrow ? "here:" : "this terminal has", canvas->cols, canvas->rows);
    const int row = canvas->rows / 2 - (canvas->rows > 2 ? 1 : 0);
    const int left = (canvas->cols - canvas_width(canvas, needed)) / 2,
              below = (canvas->cols - canvas_width(canvas, here)) / 2;
    canvas_fit(canvas, row, left > 0 ? left : 0, canvas->cols, MEANING_ACCENT, needed);
    canvas_fit(canvas, row + 1, below > 0 ? below : 0, canvas->cols, MEANING_FAINT, here);
    canvas_fit(canvas, row + 3, below > 0 ? below : 0, canvas->cols, MEANING_FAINT,
               narrow ? "q quits" : "make it larger, or q to quit");
}

static void draw_layers_screen(Ui *ui) {
    const Layout *l = &ui->layout;
    panel_borders_draw(ui);
    if (l->layers.rows) panel_layers_draw(ui);
    if (l->detail.rows) panel_detail_draw(ui);
    if (l->dials.rows) panel_dials_draw(ui);
    if (l->effect.rows) panel_effect_draw(ui);
}

const ScreenInfo screen_table[] = {
    [SCREEN_LAYERS] = {"Layers", draw_layers_screen, NULL, NULL, 0},
    [SCREEN_OUTLIERS] = {"Outliers", panel_outliers_draw, outliers_open, outliers_close, 3},
    [SCREEN_TRIALS] = {"Trials", panel_trials_draw, trials_open, trials_leave, 3},
    [SCREEN_SWEEP] = {"Sweep", panel_sweep_draw, sweep_open, sweep_close, 2},
    [SCREEN_SENSITIVITY] = {"Sensitivity", panel_sensitivity_draw, sensitivity_open, sensitivity_close, 0},
    [SCREEN_CONVERT] = {"Convert", panel_convert_draw, convert_open, convert_close, 1},
};
static_assert(sizeof screen_table / sizeof *screen_table == SCREEN_COUNT, "a screen has no row");

void screen_go(Ui *ui, ScreenKind kind) {
    if (kind == ui->screen) return;
    if (screen_table[ui->screen].close) screen_table[ui->screen].close(ui);
    ui->screen = kind;
    ui->zoomed = 0;
    view_arrange(ui);
    if (screen_table[kind].open) screen_table[kind].open(ui);
}

// "1 Layers", or of all but the screen that is shown only the number; as the key that goes there.
static void tab_text(const Ui *ui, int kind, bool whole, char *out, size_t size) {
    const bool shown = kind == (int)ui->screen, titled = whole || shown;
    snprintf(out, size, "%d%s%s", kind + 1, titled ? " " : "", titled ? screen_table[kind].title : "");
}

static int tabs_width(const Ui *ui, int gap) {
    char text[32];
    int width = 1;
    for (int kind = 0; kind < SCREEN_COUNT; kind++) {
        tab_text(ui, kind, true, text, sizeof text);
        width += canvas_width(&ui->canvas, text) + gap;
    }
    return width;
}

int screen_tabs_draw(Ui *ui, Rect line) {
    char text[32];
    int col = line.col;
    const bool whole = tabs_width(ui, 1) <= line.cols;
    const int gap = tabs_width(ui, 2) <= line.cols ? 2 : 1;
    col += canvas_text(&ui->canvas, line.row, col, 1, MEANING_RULE, " ");
    for (int kind = 0; kind < SCREEN_COUNT; kind++) {
        const bool shown = kind == (int)ui->screen;
        const int from = col;
        tab_text(ui, kind, whole, text, sizeof text);
        col += canvas_text(&ui->canvas, line.row, col, line.cols, shown ? MEANING_FOCUS | STYLE_BOLD : MEANING_FAINT,
                           text);
        ui_hit(ui, (Rect){line.row, from, 1, col - from}, HIT_SCREEN, kind);
        col += canvas_text(&ui->canvas, line.row, col, gap, MEANING_RULE, "  ");
    }
    return col;
}

void screen_draw(Ui *ui) {
    canvas_clear(&ui->canvas);
    ui->hit_count = 0;
    if (!ui->layout.fits) {
        draw_too_small(ui);
        return;
    }
    panel_header_draw(ui);
    screen_table[ui->screen].draw(ui);
    guide_draw(ui);
    if (ui->overrides.shown) overrides_draw(ui);
    if (ui->prompt != PROMPT_NONE)
        prompt_draw(ui);
    else
        panel_bottom_draw(ui);
    if (ui->jobs.shown) jobs_draw(ui);
    if (ui->speeds_shown) speeds_draw(ui);
    demo_draw(ui);
    if (ui->help.shown) help_draw(ui);
}

// ---- keys ---------------------------------------------------------------------------------------------------------

void screen_key(Ui *ui, const Key *key) {
    if (key->code == KEY_NONE) return;
    const bool mouse = key->code == KEY_MOUSE_EVENT;
    if (key->code == KEY_PASTED)
        prompt_paste(ui, key->text);
    else if (!ui->layout.fits) {
        if (key->code == 'q' || key->code == KEY_CONTROL('c')) ui->quit = true;
    } else if (ui->help.shown)
        help_key(ui, key);
    else if (ui->jobs.shown && ui->prompt == PROMPT_NONE)
        jobs_key(ui, key);
    else if (ui->speeds_shown && ui->prompt == PROMPT_NONE)
        speeds_key(ui, key);
    else if (ui->prompt != PROMPT_NONE)
        prompt_key(ui, key);
    else if (ui->overrides.shown)
        overrides_key(ui, key);
    else {
        if (!mouse || key->action == MOUSE_PRESS) ui->message.text[0] = '\0';
        if (mouse)
            mouse_event(ui, key);
        else
            keys_dispatch(ui, key->code);
    }
    target_refresh(&ui->target, &ui->rows);
}
