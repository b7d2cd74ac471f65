// What surrounds the panes: help, zoom, copies and exports, settings, themes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// In place of the real one, in this program only.
#include "tests/fake/workbench.c" // NOLINT(bugprone-suspicious-include)
#include "tests/support/tui_session.h"
#include "tui/theme.h"

static Screen *start_plainly(int rows, int cols) {
    Screen *s = start_with(rows, cols, NULL, "FAKE_PACE=8");
    expect(s, "p99.9");
    return s;
}

static int row_of(Screen *s, const char *text) {
    int row, col;
    expect(s, text);
    assert_true(screen_find(s, text, &row, &col));
    return row;
}

static VTermScreenCell cell_at_text(Screen *s, const char *text) {
    int row, col;
    VTermScreenCell cell = {0};
    assert_true(screen_find(s, text, &row, &col));
    vterm_screen_get_cell(s->screen, (VTermPos){.row = row, .col = col}, &cell);
    return cell;
}

// ---- help ---------------------------------------------------------------------------------------------------------

static void help_begins_with_what_counts_here(void **state) {
    (void)state;
    Screen *s = start_plainly(36, 120);
    key(s, "?");
    expect(s, "Layers: the table");
    assert_true(row_of(s, "the linear above") < row_of(s, "find a linear"));
    key(s, "q\t?");
    expect(s, "Layers: the dials");
    assert_true(row_of(s, "type a value") < row_of(s, "find a linear"));
    key(s, "q\033[Z6"); // back to the table, where a digit is a screen
    expect(s, "by the recipe as it is now");
    key(s, "?");
    expect(s, "name the folder to write");
    assert_true(row_of(s, "its next finding") < row_of(s, "Colours and signs"));
    key(s, "q");
    quit(s);
}

static void help_shows_colours_as_they_are(void **state) {
    (void)state;
    Screen *s = start_plainly(60, 120);
    key(s, "?/v0\r");
    expect(s, "inputs up to v0");
    key(s, ESCAPE);
    key(s, "/pin\r");
    expect(s, "better than the pin");
    const VTermScreenCell better = cell_at_text(s, "✓ "), worse = cell_at_text(s, "✗ ");
    assert_int_equal(better.fg.indexed.idx, 114);
    assert_int_equal(worse.fg.indexed.idx, 210);
    key(s, "q");
    quit(s);
}

static void help_is_searched(void **state) {
    (void)state;
    Screen *s = start_plainly(24, 80);
    key(s, "?/UNDO");
    expect(s, "/UNDO");
    expect_gone_text(s, "Layers: the table");
    expect(s, ":undo"); // whatever the case
    assert_false(screen_has(s, "find a linear"));
    key(s, "zzz");
    expect(s, "nothing here is called that");
    key(s, ESCAPE);
    expect(s, "Layers: the table");
    key(s, "G");
    expect(s, "quit without asking"); // the last line of all
    key(s, "/q\r"
           "q"); // after Enter, keys are keys again
    expect_gone_text(s, " Help ");
    quit(s);
}

static void the_bottom_line_names_the_keys_of_the_pane(void **state) {
    (void)state;
    Screen *s = start_plainly(36, 120);
    expect(s, "/ find");
    assert_false(screen_has(s, "← → turn"));
    key(s, "\t");
    expect(s, "← → turn");
    key(s, "\t");
    expect_gone_text(s, "← → turn");
    key(s, "\t");
    expect(s, "/ find");
    quit(s);
}

int main(int argc, char **argv) {
    int status;
    if (session_is_screen(argc, argv, &status)) return status;
    const struct CMUnitTest tests[] = {
        IN_HOME(help_begins_with_what_counts_here),
        IN_HOME(help_shows_colours_as_they_are),
        IN_HOME(help_is_searched),
        IN_HOME(the_bottom_line_names_the_keys_of_the_pane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
