// What is written for a frame: a terminal emulator that got only the differences, frame after frame, shows what was
// meant, in the looks that were meant, whatever the description of the terminal; and little is written for little.
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vterm.h>
#include <cmocka.h>

#include "base/random.h"
#include "tui/frame_writer.h"

// Last: their macros have names that others use.
#include <curses.h>
#include <term.h>

typedef struct Rig {
    FrameWriter *writer;
    Theme theme;
    Canvas canvas;
    VTerm *vterm;
    VTermScreen *screen;
    Text out;
    Random random;
} Rig;

static bool rig_open(Rig *r, const char *term, ColorScheme scheme, Background background) {
    Error err = {0};
    int status;
    *r = (Rig){.random = random_seeded(7)};
    if (setupterm(term, STDOUT_FILENO, &status) == ERR) return false;
    if (!frame_writer_open(&r->writer, &err) || !canvas_resize(&r->canvas, 24, 80, &err)) fail_msg("%s", err.message);
    frame_writer_feeds_straight(r->writer, true);
    r->theme = theme_make(scheme, background, frame_writer_colors(r->writer));
    r->vterm = vterm_new(24, 80);
    vterm_set_utf8(r->vterm, 1);
    r->screen = vterm_obtain_screen(r->vterm);
    vterm_screen_reset(r->screen, 1);
    return true;
}

static void rig_close(Rig *r) {
    frame_writer_close(r->writer);
    canvas_free(&r->canvas);
    vterm_free(r->vterm);
    text_free(&r->out);
    del_curterm(cur_term);
}

// Returns the bytes that were written.
static size_t show(Rig *r, bool whole) {
    text_clear(&r->out);
    frame_writer_add(r->writer, r->theme, &r->canvas, whole, &r->out);
    assert_false(r->out.failed);
    vterm_input_write(r->vterm, r->out.data ? r->out.data : "", r->out.length);
    return r->out.length;
}

// ---- what the emulator shows ---------------------------------------------------------------------------------------

static uint32_t first_code(const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    uint32_t code = *s < 0x80 ? *s : *s < 0xE0 ? *s & 0x1Fu : *s < 0xF0 ? *s & 0x0Fu : *s & 0x07u;
    for (s++; (*s & 0xC0) == 0x80; s++) code = code << 6 | (*s & 0x3Fu);
    return code;
}

static bool same_color(const VTermColor *shown, int meant) {
    if (meant < 0) return VTERM_COLOR_IS_DEFAULT_FG(shown) || VTERM_COLOR_IS_DEFAULT_BG(shown);
    return VTERM_COLOR_IS_INDEXED(shown) && shown->indexed.idx == meant;
}

// Some terminals show an attribute as a colour, and then not beside another.
static bool underlines(Look look) {
    const bool colored = look.foreground >= 0 || look.background >= 0;
    return look.attributes & LOOK_UNDERLINE && !(colored && tigetnum("ncv") > 0 && tigetnum("ncv") & 2);
}

static bool same_cell(Theme theme, const Cell *meant, const VTermScreenCell *shown) {
    const bool blank = strcmp(meant->text, " ") == 0;
    if (meant->width == 0) return shown->chars[0] == (uint32_t)-1;
    if (blank ? shown->chars[0] != 0 && shown->chars[0] != ' ' : shown->chars[0] != first_code(meant->text))
        return false;
    const Look look = theme_look(theme, meant->style);
    const bool reverse = look.attributes & LOOK_REVERSE, underline = underlines(look);
    if (!same_color(&shown->bg, look.background) || shown->attrs.reverse != reverse ||
        shown->attrs.underline != underline)
        return false;
    if (blank && !reverse && !underline) return true; // the rest is not seen
    return same_color(&shown->fg, look.foreground) && shown->attrs.bold == !!(look.attributes & LOOK_BOLD);
}

static void check(Rig *r, const char *term, int frame) {
    const bool wraps_at_once = tigetflag("am") > 0 && tigetflag("xenl") <= 0; // its last place would scroll it
    for (int row = 0; row < r->canvas.rows; row++) {
        for (int col = 0; col < r->canvas.cols; col++) {
            VTermScreenCell shown = {0};
            const Cell *meant = &r->canvas.cells[row * r->canvas.cols + col];
            if (row + 1 == r->canvas.rows && col + 1 == r->canvas.cols && wraps_at_once) continue;
            vterm_screen_get_cell(r->screen, (VTermPos){.row = row, .col = col}, &shown);
            if (!same_cell(r->theme, meant, &shown))
                fail_msg("%s, frame %d, row %d, column %d: U+%04X, bold %d, underlined %d, reversed %d, background %d "
                         "instead of \"%s\", style %x",
                         term, frame, row, col, shown.chars[0], shown.attrs.bold, shown.attrs.underline,
                         shown.attrs.reverse, shown.bg.indexed.idx, meant->text, meant->style);
        }
    }
}

// ---- frames that nobody would draw --------------------------------------------------------------------------------

static Style any_style(Random *random) {
    static const Style flags[] = {0, 0, 0, STYLE_BOLD, STYLE_UNDERLINE, STYLE_SELECTED, STYLE_REVERSE, STYLE_DIM};
    return (Style)(random_below(random, MEANING_COUNT) | flags[random_below(random, 8)] |
                   flags[random_below(random, 8)]);
}

static void scribble(Rig *r) {
    static const char *const texts[] = {"x",   "ab  cd", "▁▂▃█████", "漢字",      " ", "e\xCC\x81",
                                        "😀 y", "━━━━",   "        ", "0.12 ±0.3", "█", "a                    b"};
    Random *random = &r->random;
    for (uint32_t n = random_below(random, 12); n > 0; n--) {
        const int row = (int)random_below(random, (uint32_t)r->canvas.rows),
                  col = (int)random_below(random, (uint32_t)r->canvas.cols);
        const Rect rect = {row, col, 1 + (int)random_below(random, 4), 1 + (int)random_below(random, 60)};
        const Style style = any_style(random);
        switch (random_below(random, 5)) {
        case 0: canvas_fill(&r->canvas, rect, style, " "); break;
        case 1: canvas_fill(&r->canvas, rect, style, "█"); break;
        case 2: canvas_restyle(&r->canvas, rect, style & ~STYLE_MEANING); break;
        default: canvas_text(&r->canvas, row, col, 80, style, texts[random_below(random, 12)]); break;
        }
    }
    if (random_below(random, 40) == 0) canvas_clear(&r->canvas);
}

static void resize_at_random(Rig *r) {
    Error err = {0};
    const int rows = 2 + (int)random_below(&r->random, 40), cols = 2 + (int)random_below(&r->random, 150);
    if (!canvas_resize(&r->canvas, rows, cols, &err)) fail_msg("%s", err.message);
    vterm_set_size(r->vterm, rows, cols);
}

static void frames_hold(const char *term, ColorScheme scheme, Background background) {
    Rig r;
    if (!rig_open(&r, term, scheme, background)) {
        print_message("%s is not described here\n", term);
        return;
    }
    for (int frame = 0; frame < 150; frame++) {
        const bool resized = random_below(&r.random, 20) == 0;
        if (resized) resize_at_random(&r);
        scribble(&r);
        const bool shows_cursor = random_below(&r.random, 2);
        r.canvas.cursor_row = shows_cursor ? (int)random_below(&r.random, (uint32_t)r.canvas.rows) : -1;
        r.canvas.cursor_col = (int)random_below(&r.random, (uint32_t)r.canvas.cols);
        show(&r, random_below(&r.random, 30) == 0);
        check(&r, term, frame);
        VTermPos at;
        vterm_state_get_cursorpos(vterm_obtain_state(r.vterm), &at);
        if (shows_cursor) assert_true(at.row == r.canvas.cursor_row && at.col == r.canvas.cursor_col);
    }
    rig_close(&r);
}

static void what_differs_makes_the_whole_frame(void **state) {
    (void)state;
    static const char *const terms[] = {"xterm-256color", "xterm", "tmux-256color", "tmux", "screen", "screen-256color",
                                        "linux",          "vt100", "vt220",         "ansi", "rxvt"};
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        frames_hold(terms[i], COLORS_AUTO, BACKGROUND_DARK);
        frames_hold(terms[i], COLORS_AUTO, BACKGROUND_UNKNOWN);
        frames_hold(terms[i], COLORS_MONO, BACKGROUND_LIGHT);
    }
}

// ---- little for little --------------------------------------------------------------------------------------------

static void nothing_is_written_for_nothing(void **state) {
    (void)state;
    Rig r;
    assert_true(rig_open(&r, "xterm-256color", COLORS_AUTO, BACKGROUND_DARK));
    r.canvas.cursor_row = -1;
    for (int i = 0; i < 20; i++) scribble(&r);
    show(&r, true);
    assert_int_equal(show(&r, false), 0);
    canvas_fill(&r.canvas, (Rect){3, 3, 1, 9}, MEANING_TEXT, " ");
    show(&r, false);
    canvas_fill(&r.canvas, (Rect){3, 3, 1, 9}, MEANING_ERROR | STYLE_BOLD, " "); // not to be seen
    assert_int_equal(show(&r, false), 0);
    rig_close(&r);
}

// Curses may have left one, of a size that the terminal had before.
static void a_region_that_scrolls_is_ended(void **state) {
    (void)state;
    Rig r;
    assert_true(rig_open(&r, "tmux-256color", COLORS_AUTO, BACKGROUND_DARK));
    r.canvas.cursor_row = -1;
    vterm_input_write(r.vterm, "\033[1;6r", 6);
    canvas_fill(&r.canvas, (Rect){0, 0, 24, 40}, MEANING_TEXT, "x");
    show(&r, true);
    canvas_fill(&r.canvas, (Rect){0, 0, 24, 2}, MEANING_TEXT, "y");
    show(&r, false);
    check(&r, "tmux-256color", 0);
    rig_close(&r);
}

// How many bytes a change takes, of which the others are the text itself.
static void little_is_written_for_little(void **state) {
    (void)state;
    Rig r;
    assert_true(rig_open(&r, "xterm-256color", COLORS_AUTO, BACKGROUND_DARK));
    r.canvas.cursor_row = -1;
    show(&r, true);
    canvas_text(&r.canvas, 5, 10, 80, MEANING_TEXT, "here");
    assert_string_equal((show(&r, false), r.out.data), "\033[6;11Hhere");
    // Of one look after the other: one sequence, and no colour for blanks.
    canvas_text(&r.canvas, 7, 10, 80, MEANING_ACCENT, "a");
    canvas_text(&r.canvas, 7, 11, 80, MEANING_TEXT, " ");
    canvas_text(&r.canvas, 7, 12, 80, MEANING_ERROR, "b");
    canvas_text(&r.canvas, 7, 13, 80, MEANING_TOKEN, "c");
    assert_string_equal((show(&r, false), r.out.data),
                        "\033[8;11H\033[1;38;5;81ma \033[38;5;210mb\033[0;38;5;174mc\033[39m");
    // Rows that follow each other, columns that stay, blanks.
    canvas_text(&r.canvas, 5, 10, 80, MEANING_TEXT, "herb");
    canvas_text(&r.canvas, 6, 14, 80, MEANING_TEXT, "!");
    assert_string_equal((show(&r, false), r.out.data), "\033[6;14Hb\n!");
    canvas_fill(&r.canvas, (Rect){0, 0, 1, 80}, MEANING_TEXT, "x");
    show(&r, false);
    canvas_fill(&r.canvas, (Rect){0, 40, 1, 30}, MEANING_TEXT, " ");
    assert_string_equal((show(&r, false), r.out.data), "\033[1;41H\033[30X");
    canvas_fill(&r.canvas, (Rect){0, 20, 1, 60}, MEANING_FAINT, " ");
    assert_string_equal((show(&r, false), r.out.data), "\033[1;21H\033[K");
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_differs_makes_the_whole_frame),
        cmocka_unit_test(a_region_that_scrolls_is_ended),
        cmocka_unit_test(nothing_is_written_for_nothing),
        cmocka_unit_test(little_is_written_for_little),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    unsetenv("NO_COLOR");
    unsetenv("COLORFGBG");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
