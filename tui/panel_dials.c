// The pane of dials: three columns of label, value and track; it scrolls where it has no room for all.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "tui/convert.h"
#include "tui/dials.h"
#include "tui/graph.h"
#include "tui/panels.h"
#include "tui/wrap.h"

#define LABEL_COLS 11
#define VALUE_COLS 8

static const char *const headings[] = {"weights", "adaptive group size; cache", "inputs"};
static_assert(sizeof headings / sizeof *headings == DIAL_COLUMNS, "a column of dials has no heading");

static void draw_track(Ui *ui, Rect track, Dial dial, bool matters) {
    const Style quiet = MEANING_TRACK;
    const Style filled = matters ? MEANING_WEIGHT : quiet, knob = matters ? MEANING_ACCENT : quiet;
    const double value = dials_value(ui, dial);
    double settings[DIAL_SETTINGS_MOST];
    const int count = dial_settings(dial, settings, DIAL_SETTINGS_MOST);
    int chosen = 0;
    for (int i = 0; i < count; i++) {
        if (settings[i] == value) chosen = i;
    }
    if (count == 0 || !graph_choice(&ui->canvas, track.row, track.col, track.cols, count, chosen, quiet, knob, quiet)) {
        graph_slider(&ui->canvas, track.row, track.col, track.cols, dial_share(dial, value), filled, knob, quiet);
    }
    ui_hit(ui, track, HIT_SLIDER, (int)dial);
}

static Style value_style(const Ui *ui, Dial dial, bool matters) {
    if (dials_overridden(ui, dial)) return MEANING_OVERRIDE | STYLE_BOLD;
    if (!matters) return MEANING_TRACK;
    return dials_value(ui, dial) == dial_table[dial].default_value ? MEANING_VALUE : MEANING_CHANGED;
}

static void draw_dial(Ui *ui, Rect cell, Dial dial) {
    Canvas *canvas = &ui->canvas;
    const bool matters = dials_matter(ui, dial), current = ui->dial == dial;
    char value[40];
    dial_format(dial, dials_value(ui, dial), value, sizeof value);
    if (dials_mixed(ui, dial)) snprintf(value, sizeof value, "mixed");
    ui_hit(ui, cell, HIT_DIAL, (int)dial);
    canvas_text(canvas, cell.row, cell.col, 1, MEANING_ACCENT, current ? "▸" : dials_overridden(ui, dial) ? "*" : " ");
    canvas_fit(canvas, cell.row, cell.col + 1, LABEL_COLS - 1, matters ? MEANING_TEXT : MEANING_TRACK,
               dial_table[dial].label);
    // A long value may begin where a short label ends.
    const int label = 2 + canvas_width(canvas, dial_table[dial].label);
    canvas_right(canvas, cell.row, cell.col + label, LABEL_COLS + VALUE_COLS - label, value_style(ui, dial, matters),
                 value);
    const int track_col = LABEL_COLS + VALUE_COLS + 1, most = 32;
    const int track = cell.cols - track_col - 1;
    if (track >= 4)
        draw_track(ui, (Rect){cell.row, cell.col + track_col, 1, track > most ? most : track}, dial, matters);
    if (current && ui->focus == PANE_DIALS)
        canvas_restyle(canvas, (Rect){cell.row, cell.col, 1, cell.cols - 1}, STYLE_SELECTED);
}

// "Dials of 6 marked", "Dials of 5.down_proj only".
static void describe_target(const Ui *ui, char *out, size_t size) {
    const DialTarget *target = &ui->target;
    char name[80];
    const int index = rows_index(&ui->rows);
    switch (target->scope) {
    case SCOPE_ALL: snprintf(out, size, "Dials"); break;
    case SCOPE_MARKED: snprintf(out, size, "Dials of %d marked", target->count); break;
    case SCOPE_SELECTED:
        if (index >= 0)
            rows_name(&ui->rows, index, 40, name, sizeof name);
        else
            snprintf(name, sizeof name, "nothing");
        snprintf(out, size, "Dials of %s only", name);
        break;
    }
}

// " · 1 of 43 linears changed by the last turn, 6 since the pin", whatever the dials set now.
static void describe_changes(const Ui *ui, char *out, size_t size) {
    const Changes *c = &ui->changes;
    *out = '\0';
    if (c->turned) snprintf(out, size, " · %d of %d linears changed by the last turn", c->turned, ui->rows.total);
    const size_t used = strlen(out);
    if (c->since_pin)
        snprintf(out + used, size - used, used ? ", %d since the pin" : " · %d linears changed since the pin",
                 c->since_pin);
}

static int dials_between(int first, int end) {
    int count = 0;
    for (int column = 0; column < DIAL_COLUMNS; column++)
        for (int row = first; row < end; row++) count += dial_places[column][row] != NO_DIAL;
    return count;
}

static void draw_dials_title(Ui *ui) {
    const Rect pane = ui->layout.dials;
    Canvas *canvas = &ui->canvas;
    const int above = dials_between(0, ui->dial_first),
              below = dials_between(ui->dial_first + ui->layout.dial_rows, DIAL_ROWS);
    char title[340], target[120], changes[100], more[48] = "";
    if (above) snprintf(more, sizeof more, " ↑ %d%s", above, below ? "" : " more");
    if (below) snprintf(more + strlen(more), sizeof more - strlen(more), " ↓ %d more", below);
    describe_target(ui, target, sizeof target);
    describe_changes(ui, changes, sizeof changes);
    snprintf(title, sizeof title, "%s%s%s", target, more, changes);
    panel_title(ui, pane, title, PANE_DIALS);
    if (ui->target.scope != SCOPE_ALL)
        canvas_fit(canvas, pane.row - 1, pane.col + 2, pane.cols - 3, MEANING_OVERRIDE | STYLE_BOLD, title);
    const int used = canvas_width(canvas, title) + 5, room = pane.cols - used - 3;
    char help[256], about[250];
    const bool v0_wins =
        (ui->dial == DIAL_V0 || ui->dial == DIAL_V1) && dials_value(ui, DIAL_V0) > dials_value(ui, DIAL_V1);
    dials_about(ui, ui->dial, false, about, sizeof about);
    if (canvas_width(canvas, about) > room) dials_about(ui, ui->dial, true, about, sizeof about);
    const bool blamed = convert_blames(ui, ui->dial, about, sizeof about);
    snprintf(help, sizeof help, " %s ", v0_wins && !blamed ? "v0 wins over v1: no input is equalized" : about);
    if (room >= 16)
        canvas_right(canvas, pane.row - 1, pane.col + used, room + 2, blamed ? MEANING_ERROR : MEANING_FAINT, help);
}

// The row of the current dial is always in sight.
static void scroll(Ui *ui) {
    ui->dial_first = layout_scroll(ui->dial_first, dials_row(ui->dial), ui->layout.dial_rows, DIAL_ROWS);
}

#define ABOUT_COLS 12

// What the current dial is, where the pane has the whole frame.
static void draw_about(Ui *ui, Rect room) {
    const DialInfo *dial = &dial_table[ui->dial];
    char values[5][DIAL_ALLOWED_ROOM + 64], preset[64];
    dial_format(ui->dial, dial->default_value, preset, sizeof preset);
    dials_about(ui, ui->dial, false, values[0], sizeof *values);
    dial_allowed(ui->dial, ", ", values[1], sizeof *values);
    snprintf(values[2], sizeof *values, "%s", preset);
    snprintf(values[3], sizeof *values, "--%s", dial->option);
    snprintf(values[4], sizeof *values, "%s%s%s%s", dial->section ? dial->section : "", dial->section ? "." : "",
             dial->key, dial->per_linear ? "" : ", for the whole model only");
    static const char *const labels[] = {"", "allowed", "default", "option", "recipe"};
    canvas_fit(&ui->canvas, room.row, room.col, room.cols, MEANING_TITLE | STYLE_BOLD, dial->label);
    const WrapPiece help = {values[0], SIZE_MAX, MEANING_TEXT};
    wrap_draw(&ui->canvas, (Rect){room.row, room.col + ABOUT_COLS, 2, room.cols - ABOUT_COLS}, &help, 1, 0);
    for (int i = 1; i < 5 && i + 1 < room.rows; i++) {
        const int row = room.row + i + 1;
        canvas_fit(&ui->canvas, row, room.col, ABOUT_COLS, MEANING_FAINT, labels[i]);
        canvas_fit(&ui->canvas, row, room.col + ABOUT_COLS, room.cols - ABOUT_COLS, MEANING_TEXT, values[i]);
    }
}

void panel_dials_draw(Ui *ui) {
    const Rect pane = ui->layout.dials;
    const int used = ui->layout.dial_rows + (ui->layout.dial_headings ? 1 : 0) + 1;
    scroll(ui);
    if (pane.rows > used) draw_about(ui, (Rect){pane.row + used, pane.col + 1, pane.rows - used, pane.cols - 2});
    draw_dials_title(ui);
    for (int column = 0; column < DIAL_COLUMNS; column++) {
        const Rect first = layout_dial(&ui->layout, column, 0);
        if (ui->layout.dial_headings)
            canvas_fit(&ui->canvas, first.row - 1, first.col + 1, first.cols - 2, MEANING_FAINT, headings[column]);
        for (int row = 0; row < ui->layout.dial_rows; row++) {
            const int dial = dial_places[column][ui->dial_first + row];
            if (dial != NO_DIAL) draw_dial(ui, layout_dial(&ui->layout, column, row), (Dial)dial);
        }
    }
}
