// Where panes stand, at every size; and the drawing that does not need a terminal.
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "tui/canvas.h"
#include "tui/dials.h"
#include "tui/format.h"
#include "tui/graph.h"
#include "tui/layout.h"
#include "tui/line_editor.h"
#include "tui/wrap.h"

static bool overlap(Rect a, Rect b) {
    if (!a.rows || !b.rows || !a.cols || !b.cols) return false;
    return a.row < b.row + b.rows && b.row < a.row + a.rows && a.col < b.col + b.cols && b.col < a.col + a.cols;
}

static bool inside(Rect inner, Rect outer) {
    return inner.row >= outer.row && inner.col >= outer.col && inner.row + inner.rows <= outer.row + outer.rows &&
           inner.col + inner.cols <= outer.col + outer.cols;
}

static void check_apart(const Rect *rects, size_t count, Rect whole) {
    for (size_t i = 0; i < count; i++) {
        assert_true(rects[i].rows >= 0 && rects[i].cols > 0);
        assert_true(inside(rects[i], whole));
        for (size_t j = 0; j < i; j++) assert_false(overlap(rects[i], rects[j]));
    }
}

static void check_detail(Rect pane, int note_rows) {
    const DetailLayout d = layout_detail(pane, note_rows);
    const Rect parts[] = {d.weight_line,  d.weight_graph,  d.weight_axis, d.input_line, d.input_graph, d.input_axis,
                          d.channel_line, d.channel_graph, d.why,         d.decision,   d.note};
    int rows = 0;
    check_apart(parts, sizeof parts / sizeof *parts, pane);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) rows += parts[i].rows;
    assert_int_equal(rows, pane.rows);
    assert_true(d.weight_graph.rows >= 1 && d.input_graph.rows >= 1 && d.decision.rows >= 1);
    assert_true(d.channel_graph.rows >= (note_rows ? 0 : 1) && d.channel_line.rows == (d.channel_graph.rows > 0));
    assert_int_equal(d.note.rows, note_rows);
}

static void check_dials(const Layout *l) {
    Rect cells[DIAL_COLUMNS * DIAL_ROWS];
    const int count = DIAL_COLUMNS * l->dial_rows;
    assert_true(l->dial_rows >= 5 && l->dial_rows <= DIAL_ROWS);
    for (int i = 0; i < count; i++) cells[i] = layout_dial(l, i / l->dial_rows, i % l->dial_rows);
    check_apart(cells, (size_t)count, l->dials);
}

static void check_convert(const Layout *l, int engines, int job, int needs) {
    const ConvertLayout c = layout_convert(l, engines, job, needs);
    const Rect panes[] = {c.form, c.engines, c.findings, c.job};
    check_apart(panes, sizeof panes / sizeof *panes, (Rect){2, 1, l->frame.rows - 2, l->frame.cols - 2});
    for (size_t i = 0; i + 1 < sizeof panes / sizeof *panes; i++)
        assert_int_equal(panes[i].row + panes[i].rows + 1, panes[i + 1].row);
    assert_int_equal(c.job.row + c.job.rows, l->bottom.row);
    const bool small = l->frame.rows < 32;
    assert_int_equal(c.form.rows, 3 + (needs == 1 && !small ? 2 : needs));
    assert_true(c.findings.rows >= 2 && c.job.rows >= job && c.job.rows <= (job < 2 && !small ? 2 : job));
    assert_true(c.engines.rows == 1 + engines || (c.engines.rows >= 7 && c.findings.rows == 2));
}

static void check_trials(const Layout *l) {
    const TrialsLayout t = layout_trials(l, 0);
    const Rect whole = {2, 1, l->frame.rows - 2, l->frame.cols - 2}, panes[] = {t.table, t.texts, t.plot};
    check_apart(panes, t.plot.rows ? 3 : 2, whole);
    assert_true(t.table.rows >= 6 && t.table.cols >= 78 && (t.text_count == 2 || t.text_count == 3));
    assert_int_equal(t.texts.row + t.texts.rows, l->bottom.row);
    Rect parts[4] = {t.note};
    for (int i = 0; i < t.text_count; i++) {
        parts[1 + i] = t.text[i];
        assert_true(t.text[i].cols >= 29 && t.text[i].rows >= 8);
        if (i) assert_int_equal(t.text[i - 1].col + t.text[i - 1].cols + 1, t.text[i].col);
    }
    check_apart(parts, (size_t)t.text_count + 1, t.texts);
}

// The same on Trials and Outliers; three texts have room side by side.
static void check_alone(const Layout *l) {
    for (int zoomed = 1; zoomed <= 3; zoomed++) {
        const TrialsLayout t = layout_trials(l, zoomed);
        const OutliersLayout o = layout_outliers(l, 8, zoomed);
        const Rect panes[2][3] = {{t.table, t.texts, t.plot}, {o.map, o.cell, o.channels}};
        for (int i = 0; i < 6; i++) {
            assert_int_equal(panes[i / 3][i % 3].rows, i % 3 == zoomed - 1 ? l->frame.rows - 2 : 0);
            assert_int_equal(panes[i / 3][i % 3].cols, i % 3 == zoomed - 1 ? l->frame.cols - 2 : 0);
        }
        assert_true(o.lines == 8 && o.lines * o.height + 3 <= l->frame.rows - 2);
        for (int i = 0; zoomed == 2 && i < 3; i++) assert_true(t.text[i].cols >= 25 && inside(t.text[i], t.texts));
    }
}

static void a_cursor_stays_in_sight(void **state) {
    (void)state;
    assert_int_equal(layout_scroll(0, 4, 5, 9), 0);
    assert_int_equal(layout_scroll(0, 5, 5, 9), 1);
    assert_int_equal(layout_scroll(4, 2, 5, 9), 2);
    assert_int_equal(layout_scroll(7, 8, 5, 9), 4); // nothing lies below the last
    assert_int_equal(layout_scroll(3, 1, 5, 3), 0); // all are seen
}

// One pane has everything between header and bottom, and the others nothing.
static void check_zoomed(const Layout *l) {
    for (int zoom = ZOOM_NONE + 1; zoom < ZOOM_COUNT; zoom++) {
        const Layout z = layout_zoom(l, (Zoom)zoom);
        const Rect panes[] = {
            [ZOOM_LAYERS] = z.layers, [ZOOM_DETAIL] = z.detail, [ZOOM_DIALS] = z.dials, [ZOOM_EFFECT] = z.effect};
        for (int i = ZOOM_NONE + 1; i < ZOOM_COUNT; i++) {
            assert_int_equal(panes[i].rows, i == zoom ? l->frame.rows - 2 : 0);
            assert_int_equal(panes[i].cols, i == zoom ? l->frame.cols - 2 : 0);
        }
        assert_int_equal(panes[zoom].row + panes[zoom].rows, l->bottom.row);
        assert_true(z.metrics.rows + z.texts.rows == z.effect.rows && !overlap(z.metrics, z.texts));
        if (zoom == ZOOM_DIALS) check_dials(&z);
    }
}

static void panes_stay_apart_at_every_size(void **state) {
    (void)state;
    for (int rows = LAYOUT_LEAST_ROWS; rows <= 80; rows++) {
        for (int cols = LAYOUT_LEAST_COLS; cols <= 250; cols++) {
            const Layout l = layout_make(rows, cols);
            const Rect whole = {0, 0, rows, cols},
                       panes[] = {l.header, l.layers, l.detail, l.dials, l.effect, l.bottom};
            assert_true(l.fits);
            check_apart(panes, sizeof panes / sizeof *panes, whole);
            // Panes share borders: exactly one row or column lies between neighbours.
            assert_int_equal(l.layers.col + l.layers.cols + 1, l.detail.col);
            assert_int_equal(l.layers.row + l.layers.rows + 1, l.dials.row);
            assert_int_equal(l.dials.row + l.dials.rows + 1, l.effect.row);
            assert_int_equal(l.effect.row + l.effect.rows, l.bottom.row);
            assert_true(l.layers.rows >= 8 && l.texts.rows >= 2 && l.detail.cols >= 34);
            assert_true(inside(l.metrics, l.effect) && inside(l.texts, l.effect) && !overlap(l.metrics, l.texts));
            for (int note = 0; note <= NOTE_ROWS_MOST; note++) check_detail(rect_inset(l.detail, 1), note);
            check_dials(&l);
            check_trials(&l);
            check_zoomed(&l);
            check_alone(&l);
            for (int engines = 0; engines <= 7; engines++)
                for (int job = 1; job <= 4; job++) check_convert(&l, engines, job, 1 + job % 3);
        }
    }
}

static void too_small_is_said(void **state) {
    (void)state;
    assert_false(layout_make(23, 80).fits);
    assert_false(layout_make(24, 79).fits);
    assert_false(layout_make(1, 1).fits);
    assert_true(layout_make(24, 80).fits);
    assert_int_equal(layout_make(60, 200).dial_rows, DIAL_ROWS);
}

// ---- dials --------------------------------------------------------------------------------------------------------

static void every_dial_with_a_choice_has_its_place(void **state) {
    (void)state;
    for (int dial = 0; dial < DIAL_COUNT; dial++) {
        const double preset = dial_table[dial].default_value;
        const bool turns =
            dial_turn((Dial)dial, preset, 1, false) != preset || dial_turn((Dial)dial, preset, -1, false) != preset;
        int places = 0;
        for (int i = 0; i < DIAL_COLUMNS * DIAL_ROWS; i++) places += dial_places[i / DIAL_ROWS][i % DIAL_ROWS] == dial;
        assert_int_equal(places, turns ? 1 : 0);
    }
}

static void a_place_on_the_track_is_a_value_and_back(void **state) {
    (void)state;
    for (int i = 0; i < DIAL_COLUMNS * DIAL_ROWS; i++) {
        if (dial_places[i / DIAL_ROWS][i % DIAL_ROWS] == NO_DIAL) continue;
        const Dial dial = (Dial)dial_places[i / DIAL_ROWS][i % DIAL_ROWS];
        for (int step = 0; step <= 20; step++) {
            const double value = dial_at_share(dial, step / 20.0), share = dial_share(dial, value);
            char text[64];
            double parsed;
            Error err;
            dial_format(dial, value, text, sizeof text);
            assert_true(dial_parse(dial, text, &parsed, &err));
            assert_true(dial_at_share(dial, share) == value);
        }
        assert_true(dial_at_share(dial, dial_share(dial, dial_table[dial].default_value)) ==
                    dial_table[dial].default_value);
    }
}

static void next_dial_goes_round(void **state) {
    (void)state;
    Dial dial = DIAL_BITS;
    int steps = 0, dials = 0;
    for (int i = 0; i < DIAL_COLUMNS * DIAL_ROWS; i++) dials += dial_places[i / DIAL_ROWS][i % DIAL_ROWS] != NO_DIAL;
    do {
        const Dial next = dials_next(dial, 1);
        assert_int_equal(dials_next(next, -1), dial);
        dial = next;
    } while (dial != DIAL_BITS && ++steps < 100);
    assert_int_equal(steps + 1, dials);
}

// ---- canvas -------------------------------------------------------------------------------------------------------

static Canvas canvas_new(int rows, int cols, bool ascii) {
    Canvas canvas = {.ascii = ascii};
    assert_true(canvas_resize(&canvas, rows, cols, NULL));
    return canvas;
}

static void assert_row(const Canvas *canvas, int row, const char *expected) {
    Text text = {0};
    for (int col = 0; col < canvas->cols; col++) text_addf(&text, "%s", canvas->cells[row * canvas->cols + col].text);
    assert_string_equal(text.data, expected);
    text_free(&text);
}

static void text_is_cut_at_columns_not_bytes(void **state) {
    (void)state;
    Canvas canvas = canvas_new(3, 8, false);
    assert_int_equal(canvas_text(&canvas, 0, 0, 5, 0, "größer"), 5);
    assert_row(&canvas, 0, "größe   ");
    assert_int_equal(canvas_text(&canvas, 1, 0, 3, 0, "日本語"), 2); // no half of a wide character
    assert_row(&canvas, 1, "日      ");
    canvas_text(&canvas, 1, 1, 1, 0, "x"); // overwrites its right half
    assert_row(&canvas, 1, " x      ");
    canvas_fit(&canvas, 2, 0, 5, 0, "abcdefgh");
    assert_row(&canvas, 2, "abcd…   ");
    canvas_text(&canvas, 2, 6, 10, 0, "beyond"); // cut off at the edge
    assert_row(&canvas, 2, "abcd… be");
    canvas_free(&canvas);
}

static void nothing_that_moves_a_cursor_reaches_the_terminal(void **state) {
    (void)state;
    Canvas canvas = canvas_new(2, 8, false);
    canvas_text(&canvas, 0, 0, 8, 0, "a\033[2J\x7f");
    assert_row(&canvas, 0, "a\xEF\xBF\xBD[2J\xEF\xBF\xBD  ");
    canvas_text(&canvas, 1, 0, 8, 0, "a\xff\xC2\x9b\xC0\x80z");
    assert_row(&canvas, 1, "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz  ");
    canvas_free(&canvas);
}

// Every character of the text is one cell of U+FFFD.
static void check_not_sent(const char *text, int characters) {
    Canvas canvas = canvas_new(1, 12, false);
    Text expected = {0};
    char between[64];
    snprintf(between, sizeof between, "a%sz", text);
    text_addf(&expected, "a");
    for (int i = 0; i < characters; i++) text_addf(&expected, "\xEF\xBF\xBD");
    text_addf(&expected, "z%*s", 10 - characters, "");
    assert_int_equal(canvas_width(&canvas, between), characters + 2);
    assert_int_equal(canvas_text(&canvas, 0, 0, 12, 0, between), characters + 2);
    assert_row(&canvas, 0, expected.data);
    text_free(&expected);
    canvas_free(&canvas);
}

static void check_sent(const char *text, int columns) {
    Canvas canvas = canvas_new(1, 12, false);
    Text drawn = {0};
    assert_int_equal(canvas_text(&canvas, 0, 0, 12, 0, text), columns);
    for (int col = 0; col < columns; col++) text_addf(&drawn, "%s", canvas.cells[col].text);
    assert_string_equal(drawn.data, text);
    text_free(&drawn);
    canvas_free(&canvas);
}

static void nothing_goes_out_whose_width_is_disputed(void **state) {
    (void)state;
    check_not_sent("\u200D", 1); // zero-width joiner, non-joiner, space
    check_not_sent("\u200C\u200B", 2);
    check_not_sent("\u200E\u200F\u061C", 3);         // bidi marks, embeddings, isolates
    check_not_sent("\u202A\u202E\u2066\u2069", 4);   // NOLINT(misc-misleading-bidirectional)
    check_not_sent("\u2060\u00AD\uFEFF", 3);         // word joiner, soft hyphen, byte order mark
    check_not_sent("\uFE0E\uFE0F\U000E0100", 3);     // variation selectors
    check_not_sent("\u20DD\u20E3\u0903", 3);         // marks that enclose or take room
    check_not_sent("\uE000\U000F0000\U00100000", 3); // private use
    check_not_sent("\u0378\U000E0FFF\uFFFE", 3);     // unassigned
    check_not_sent("\u1100\u1161\u11A8\u115F", 4);   // jamo and their filler
    check_not_sent("\u3164\uFFA0\u034F\u180B", 4);
    check_not_sent("\U0001F1E9\U0001F1EA", 2); // a flag
    check_not_sent("\U0001F3FD", 1);           // a skin tone
    check_not_sent("\U000E0067\U000E007F", 2); // tags
    check_not_sent("\u2028\u2029\uFFF9", 3);
    check_not_sent("\xED\xA0\x80", 3); // a surrogate is no character in UTF-8
    check_not_sent("\u2630\u4DC0", 2);
    check_sent("größer ελ Ж", 11);
    check_sent("e\u0301x", 2);
    check_sent("\u0E17\u0E35\u0E48", 1); // Thai: vowel and tone
    check_sent("日本한", 6);
    check_sent("\U0001F600─█", 4);
    Canvas canvas = canvas_new(1, 8, false);
    canvas_text(&canvas, 0, 0, 8, 0, "a\u0301\u0301\u0301z"); // a tower of marks
    assert_row(&canvas, 0, "a\u0301\u0301\uFFFDz     ");
    canvas_clear(&canvas);
    canvas_text(&canvas, 0, 0, 8, 0, "\U0001F468\u200D\U0001F469!"); // two people, not a couple
    assert_row(&canvas, 0, "\U0001F468\uFFFD\U0001F469!  ");
    canvas_free(&canvas);
}

// What stands for a character may be longer: lines wrap as they are drawn.
static void ascii_wraps_as_it_is_drawn(void **state) {
    (void)state;
    Canvas canvas = canvas_new(2, 8, true);
    const WrapPiece pieces[] = {{"a→b ∞c d", SIZE_MAX, 0}};
    wrap_draw(&canvas, (Rect){0, 0, 2, 8}, pieces, 1, 0);
    assert_row(&canvas, 0, "a->b    ");
    assert_row(&canvas, 1, "infc d  ");
    canvas_free(&canvas);
}

static void ascii_stands_in(void **state) {
    (void)state;
    Canvas canvas = canvas_new(4, 12, true);
    canvas_text(&canvas, 0, 0, 12, 0, "1 ±2 → σ 日");
    assert_row(&canvas, 0, "1 +-2 -> sd ");
    assert_int_equal(canvas_width(&canvas, "±σ"), 4);
    canvas_box(&canvas, (Rect){2, 1, 1, 3}, 0);
    assert_row(&canvas, 1, "+---+       ");
    for (int i = 0; i < 48; i++) assert_true((unsigned char)canvas.cells[i].text[0] < 0x80);
    canvas_free(&canvas);
}

static void borders_join(void **state) {
    (void)state;
    Canvas canvas = canvas_new(3, 7, false);
    canvas_box(&canvas, (Rect){1, 1, 1, 2}, 0);
    canvas_box(&canvas, (Rect){1, 4, 1, 2}, 0);
    assert_row(&canvas, 0, "╭──┬──╮");
    assert_row(&canvas, 1, "│  │  │");
    assert_row(&canvas, 2, "╰──┴──╯");
    canvas_free(&canvas);
}

static void a_pen_leaves_out_what_does_not_fit(void **state) {
    (void)state;
    Canvas canvas = canvas_new(1, 20, false);
    Pen pen = pen_at(&canvas, (Rect){0, 0, 1, 20});
    pen_field(&pen, "one", 0, "%d", 1);
    pen_field(&pen, "a long label", 0, "%d", 2);
    pen_field(&pen, "3", 0, "%d", 3);
    assert_row(&canvas, 0, "one 1               ");
    canvas_free(&canvas);
}

// ---- graphs, texts, figures ---------------------------------------------------------------------------------------

static void even_the_smallest_share_is_seen(void **state) {
    (void)state;
    Canvas canvas = canvas_new(2, 4, false);
    const double shares[] = {0, 1e-9, 0.5, 1};
    graph_columns(&canvas, (Rect){0, 0, 2, 4}, shares, NULL, 0);
    assert_row(&canvas, 0, "   █");
    assert_row(&canvas, 1, " ▁██");
    const double counts[] = {0, 1, 999};
    double logs[3];
    graph_log_shares(counts, 3, logs);
    assert_true(logs[0] == 0 && logs[2] == 1);
    assert_true(fabs(logs[1] - 0.1) < 0.01);
    canvas_free(&canvas);
}

static void words_wrap_and_the_kept_piece_is_shown(void **state) {
    (void)state;
    Canvas canvas = canvas_new(2, 12, false);
    const WrapPiece pieces[] = {{"one two three four ", SIZE_MAX, 0}, {"five", SIZE_MAX, 0}, {" six", SIZE_MAX, 0}};
    wrap_draw(&canvas, (Rect){0, 1, 2, 10}, pieces, 3, 0);
    assert_row(&canvas, 0, " one two    ");
    assert_row(&canvas, 1, " three four…");
    canvas_clear(&canvas);
    wrap_draw(&canvas, (Rect){0, 1, 2, 10}, pieces, 3, 1);
    assert_row(&canvas, 0, " …hree four ");
    assert_row(&canvas, 1, " five six   ");
    canvas_free(&canvas);
}

static void figures_are_short(void **state) {
    (void)state;
    assert_string_equal(format_bytes(10.4e6).text, "10.4 MB");
    assert_string_equal(format_bytes(999).text, "999 B");
    assert_string_equal(format_count(16384).text, "16.4k");
    assert_string_equal(format_count(16000).text, "16k");
    assert_string_equal(format_figure(412, 3).text, "412");
    assert_string_equal(format_figure(9.71, 3).text, "9.71");
    assert_string_equal(format_figure(9999.4, 3).text, "9999");
    assert_string_equal(format_figure(13085, 3).text, "13.1k"); // five digits are never known
    assert_string_equal(format_figure(-99999, 3).text, "-100k");
    assert_string_equal(format_figure(0.0413, 2).text, "0.041");
    assert_string_equal(format_figure(NAN, 3).text, "–");
    assert_int_equal(format_decimals(0.0964, 1, 5), 1); // 0.1
    assert_int_equal(format_decimals(0.0412, 1, 5), 2);
    assert_int_equal(format_decimals(-0.0412, 2, 5), 3);
    assert_int_equal(format_decimals(0.0000412, 2, 5), 5);
    assert_int_equal(format_decimals(0.0000042, 1, 5), 0);
    assert_int_equal(format_decimals(41, 1, 5), 0);
    assert_string_equal(format_percent(0.976).text, "97.6 %");
    assert_string_equal(format_percent(0.00004).text, "<0.01 %");
    assert_string_equal(format_percent(1).text, "100 %");
    assert_string_equal(format_change(-0.012, 3, "MB").text, "−0.012 MB");
    assert_string_equal(format_seconds(2.1).text, "3 s");
    assert_string_equal(format_seconds(80).text, "1:20");
    assert_string_equal(format_decibel(INFINITY).text, "∞");
    assert_string_equal(format_ratio(3.4249).text, "3.42");
    assert_string_equal(format_ratio(9.996).text, "10.0");
    assert_string_equal(format_ratio(120.4).text, "120");
}

// ---- the line editor ----------------------------------------------------------------------------------------------

static void type(LineEditor *editor, const int *codes, size_t count) {
    for (size_t i = 0; i < count; i++) assert_true(line_editor_key(editor, codes[i]));
}

static void lines_are_edited_by_characters(void **state) {
    (void)state;
    LineEditor editor;
    line_editor_set(&editor, "aß");
    const int codes[] = {0x65E5, KEY_ARROW_LEFT, KEY_ERASE, 'x', KEY_TO_END, '!', KEY_TO_START, KEY_FORWARD_ERASE};
    type(&editor, codes, sizeof codes / sizeof *codes);
    assert_string_equal(editor.text, "x日!");
    line_editor_set(&editor, "set alpha 0.2");
    assert_true(line_editor_key(&editor, KEY_CONTROL('w')));
    assert_string_equal(editor.text, "set alpha ");
    assert_false(line_editor_key(&editor, KEY_PAGE_UP));
    for (int i = 0; i < 3000; i++) line_editor_key(&editor, 'y');
    assert_true(editor.length < sizeof editor.text);
}

static void earlier_lines_come_back(void **state) {
    (void)state;
    LineHistory history = {.count = 0};
    LineEditor editor;
    line_history_add(&history, "one");
    line_history_add(&history, "two");
    line_history_add(&history, "two");
    assert_int_equal(history.count, 2);
    line_editor_set(&editor, "draft");
    line_history_step(&history, &editor, -1);
    assert_string_equal(editor.text, "two");
    line_history_step(&history, &editor, -1);
    line_history_step(&history, &editor, -1);
    assert_string_equal(editor.text, "one");
    line_history_step(&history, &editor, 1);
    line_history_step(&history, &editor, 1);
    assert_string_equal(editor.text, "draft");
    line_history_free(&history);
}

int main(void) {
    setlocale(LC_CTYPE, "");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cursor_stays_in_sight),
        cmocka_unit_test(panes_stay_apart_at_every_size),
        cmocka_unit_test(too_small_is_said),
        cmocka_unit_test(every_dial_with_a_choice_has_its_place),
        cmocka_unit_test(a_place_on_the_track_is_a_value_and_back),
        cmocka_unit_test(next_dial_goes_round),
        cmocka_unit_test(text_is_cut_at_columns_not_bytes),
        cmocka_unit_test(nothing_that_moves_a_cursor_reaches_the_terminal),
        cmocka_unit_test(nothing_goes_out_whose_width_is_disputed),
        cmocka_unit_test(ascii_stands_in),
        cmocka_unit_test(ascii_wraps_as_it_is_drawn),
        cmocka_unit_test(borders_join),
        cmocka_unit_test(a_pen_leaves_out_what_does_not_fit),
        cmocka_unit_test(even_the_smallest_share_is_seen),
        cmocka_unit_test(words_wrap_and_the_kept_piece_is_shown),
        cmocka_unit_test(figures_are_short),
        cmocka_unit_test(lines_are_edited_by_characters),
        cmocka_unit_test(earlier_lines_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
