#include "tui/screen.h"

#include <assert.h>
#include <stdio.h>

#include "tui/help.h"
#include "tui/keys.h"
#include "tui/mouse.h"
#include "tui/panels.h"
#include "tui/prompt.h"

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

static void draw_convert_screen(Ui *ui) {
    panel_header_draw(ui);
    panel_convert_draw(ui);
}

static void (*const screens[])(Ui *ui) = {[SCREEN_LAYERS] = draw_layers_screen, [SCREEN_CONVERT] = draw_convert_screen};
static_assert(sizeof screens / sizeof *screens == SCREEN_COUNT, "a screen has no drawing");

void screen_draw(Ui *ui) {
    canvas_clear(&ui->canvas);
    ui->hit_count = 0;
    if (!ui->layout.fits) {
        draw_too_small(ui);
        return;
    }
    screens[ui->screen](ui);
    if (ui->prompt != PROMPT_NONE)
        prompt_draw(ui);
    else
        panel_bottom_draw(ui);
    if (ui->help) help_draw(ui);
}

// ---- keys ---------------------------------------------------------------------------------------------------------

void screen_key(Ui *ui, const Key *key) {
    if (key->code == KEY_NONE) return;
    const bool mouse = key->code == KEY_MOUSE_EVENT;
    if (key->code == KEY_PASTED)
        prompt_paste(ui, key->text);
    else if (!ui->layout.fits) {
        if (key->code == 'q' || key->code == KEY_CONTROL('c')) ui->quit = true;
    } else if (ui->help)
        help_key(ui, key);
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
