// The Layers screen: marks, what the dials set, finding, filters, order, folding, columns, the list of overrides.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
// In place of the real one, in this program only.
#include "tests/fake/workbench.c" // NOLINT(bugprone-suspicious-include)
#include "tests/support/tui_session.h"

static Screen *start_mixture(int rows, int cols) {
    const char *const options[] = {NULL};
    const char *const environment[] = {"TERM=xterm-256color", "COLORFGBG=15;0", "FAKE_PACE=8", "FAKE_EXPERTS=4", NULL};
    Screen *s = start_as(rows, cols, options, environment);
    expect(s, "p99.9");
    settle(s);
    return s;
}

static bool is_written(Screen *s, const void *path) {
    (void)s;
    return file_exists(path);
}

static void assert_recipe(Screen *s, const char *expected) {
    char command[4300], *path = path_in_folder("written.json");
    unlink(path); // that of an earlier look
    snprintf(command, sizeof command, ":w! %s\r", path);
    key(s, command);
    if (!screen_wait(s, is_written, path)) fail_with_screen(s, path);
    Recipe recipe;
    assert_true(recipe_load(path, &recipe, NULL));
    char text[4096] = "";
    for (int i = 0; i < recipe.override_count; i++) {
        for (int dial = 0; dial < DIAL_COUNT; dial++) {
            const size_t used = strlen(text);
            if (recipe.overrides[i].set[dial])
                snprintf(text + used, sizeof text - used, "%s%s %s=%g", used ? "; " : "", recipe.overrides[i].match,
                         dial_table[dial].key, recipe.overrides[i].value[dial]);
        }
    }
    for (int i = 0; i < recipe.ignore_count; i++) {
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s ignore", used ? "; " : "", recipe.ignore[i]);
    }
    recipe_free(&recipe);
    assert_string_equal(text, expected);
}

// ---- marks and what dials set -------------------------------------------------------------------------------------

static void rows_are_marked_and_set_together(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, ":sort linear\rg  ");
    expect(s, "● 0.q_proj");
    expect(s, "● 0.k_proj");
    expect(s, "▸0.v_proj");
    expect(s, "2 marked · by linear");
    key(s, "k "); // unmarks, and goes on
    expect_gone_text(s, "● 0.k_proj");
    expect(s, "1 marked");
    key(s, "U");
    expect(s, "nothing is marked");
    key(s, "*down|up\r");
    expect(s, "12 of 43 marked");
    key(s, "o");
    expect(s, "Dials of 12 marked");
    key(s, ":set weight-bits 8\r");
    expect(s, "◉*0.up_proj");
    expect(s, "12 of 43 linears changed");
    expect_dial(s, DIAL_BITS, "8");
    key(s, "o");
    expect(s, "Dials of 0.v_proj only");
    expect_dial(s, DIAL_BITS, "4");
    key(s, "oo");
    expect(s, "Dials of 12 marked");
    assert_recipe(s, "model.layers.*.mlp.up_proj bits=8; model.layers.*.mlp.down_proj bits=8; lm_head ignore");
    key(s, ESCAPE); // the scope, then no more
    expect_gone_text(s, "Dials of 12 marked");
    expect(s, "dials set all linears again");
    key(s, ESCAPE);
    expect(s, "12 stay marked; U unmarks them");
    key(s, "U");
    expect_gone_text(s, "12 marked");
    expect(s, "○*0.up_proj"); // changed by the last turn
    key(s, "u");
    expect(s, "undid: up_proj, down_proj bits 4 → 8 (12 linears)");
    key(s, "\x12"); // Ctrl-R
    expect(s, "did again: up_proj, down_proj bits 4 → 8");
    key(s, "u");
    expect_gone_text(s, "*0.up_proj");
    expect_gone_text(s, "linears changed"); // everything is undone
    quit(s);
}

static void what_was_marked_since_comes_first(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, ":mark q_proj\ro");
    expect(s, "Dials of 6 marked");
    key(s, "o");
    expect(s, "Dials of 5.down_proj only");
    key(s, ":unmark\r:mark v_proj\ro"); // as many
    expect(s, "Dials of 6 marked");
    key(s, "oo");
    expect_gone_text(s, "Dials of");
    quit(s);
}

static void the_second_half_of_the_down_projections_gets_eight_bits(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "p*role = down layer >= 3");
    expect(s, "3 of 43");
    key(s, "\ro:set weight-bits 8\r");
    expect(s, "3 of 43 linears changed by the last turn, 3 since the pin");
    key(s, ":set alpha 0.5\r"); // which changes nothing more
    expect(s, " · 3 linears changed since the pin");
    assert_recipe(s, "model.layers.[3-5].mlp.down_proj bits=8; model.layers.[3-5].mlp.down_proj alpha=0.5; "
                     "lm_head ignore");
    quit(s);
}

static void values_that_differ_are_mixed(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "*5 down\ro:set weight-bits 8\r");
    expect_dial(s, DIAL_BITS, "8");
    key(s, "*4 down\r");
    expect(s, "Dials of 2 marked");
    expect_dial(s, DIAL_BITS, "mixed");
    key(s, ":set weight-bits 3\r");
    expect_dial(s, DIAL_BITS, "3");
    key(s, "\177"); // the current dial's override goes from both
    expect_dial(s, DIAL_BITS, "4");
    expect_gone_text(s, "*5.down_proj");
    quit(s);
}

static void what_is_left_alone_follows_the_marks(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "*v_proj\roi");
    expect(s, "6 of 43 linears changed");
    key(s, ESCAPE ESCAPE);
    assert_recipe(s, "lm_head ignore; model.layers.*.self_attn.v_proj ignore");
    key(s, "/3 v\ri"); // taken back for the selected one alone
    expect(s, "1 of 43 linears changed");
    assert_recipe(s, "lm_head ignore; model.layers.[0-245].self_attn.v_proj ignore");
    quit(s);
}

static void marks_go_by_what_is_shown(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "&up\r");
    expect(s, "6 of 43 & up");
    key(s, "*");
    expect(s, "all that is shown: 6 of 43");
    key(s, "\r");
    expect(s, "6 of 43 marked");
    key(s, ":unmark 0 up\r");
    expect(s, "5 of 43 marked");
    key(s, "&\x15"
           "marked\r");
    expect(s, "5 of 43 & marked");
    expect_gone_text(s, "0.up_proj");
    key(s, "*up[");
    expect(s, "missing terminating ]");
    key(s, "\r");
    expect(s, "mark up["); // another try
    key(s, ESCAPE "g ");   // what is unmarked is not shown any more
    expect(s, "4 of 43 & marked");
    quit(s);
}

// ---- finding ------------------------------------------------------------------------------------------------------

static void names_are_found_while_they_are_typed(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, ":sort linear\rg/2 up");
    expect(s, "▸2.up_proj");
    expect(s, "1/1");
    key(s, "\x15"
           "down");
    expect(s, "▸0.down_proj");
    expect(s, "1/6");
    key(s, "[");
    expect(s, "missing terminating ]");
    expect(s, "▸0.q_proj"); // where it began
    key(s, ESCAPE);
    expect(s, "▸0.q_proj");
    expect_gone_text(s, "find /");
    key(s, "/^[34] (q|k)\r");
    expect(s, "▸3.q_proj");
    key(s, "nn");
    expect(s, "3/4 with “^[34] (q|k)”");
    key(s, "N");
    expect(s, "2/4 with");
    key(s, "/\r"); // the same again
    expect(s, "3/4 with");
    key(s, "/model.layers.?.mlp.gate_proj\r"); // a glob
    expect(s, "▸4.gate_proj");
    key(s, ":7\r");
    expect(s, "▸0.down_proj");
    key(s, ":99999999999\r");
    expect(s, "lm_head  128 × 64");
    key(s, "/DOWN\r");
    expect(s, "no linear with “DOWN”"); // a capital: case counts
    quit(s);
}

static void figures_are_filtered(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "&g = 32");
    expect(s, "7 of 43 & g = 32"); // while it is typed
    key(s, " bits <");
    expect(s, "bits is compared with a number");
    key(s, " 8\r");
    expect(s, "& g = 32 bits < 8");
    key(s, "&\x15"
           "width < 3\r");
    expect(s, "there is no column “width”");
    key(s, ESCAPE); // as it was
    expect(s, "& g = 32 bits < 8");
    key(s, ":set weight-bits 8\r");
    expect(s, "no linear matches the filter");
    key(s, "u");
    expect(s, "5.down_proj");
    quit(s);
}

static void a_menu_sorts(void **state) {
    (void)state;
    Screen *s = start(24, 80);
    key(s, "s");
    expect(s, "Sort by");
    expect(s, "order of execution");
    key(s, "o");
    expect_gone_text(s, "Sort by");
    expect(s, "by out dB");
    key(s, "x"); // no menu: the Convert screen
    expect(s, "by the recipe as it is");
    key(s, "q");
    expect(s, "by out dB ▲");
    key(s, "so");
    expect(s, "by out dB ▼");
    key(s, "s" DOWN "\r");
    expect(s, "by kurt");
    key(s, "sx");
    expect(s, "by |x|max ▼");
    quit(s);
}

// ---- folding and columns ------------------------------------------------------------------------------------------

static void experts_are_folded_at_first(void **state) {
    (void)state;
    Screen *s = start_mixture(36, 120);
    expect(s, "▸5.down_proj ×4");
    expect_gone_text(s, "5.2.down_proj");
    key(s, " ");
    expect(s, "4 marked");
    expect(s, "● 5.down_proj ×4");
    key(s, "g" RIGHT);
    expect(s, "●▸5.0.down_proj");
    expect(s, "● 5.1.down_proj");
    expect(s, "5.3.down_proj");
    key(s, "U*5 down_proj 2\r");
    expect(s, "● 5.2.down_proj");
    key(s, LEFT);
    expect(s, "◐▸5.down_proj ×4");
    key(s, "o:set weight-bits 8\r");
    expect(s, "◐*5.down_proj ×4");
    expect(s, "4–8");
    key(s, ESCAPE "Uo:set weight-bits 3\r"); // the row
    expect(s, "Dials of 5.down_proj ×4 only");
    expect(s, "○*5.down_proj ×4");
    assert_recipe(s, "model.layers.5.mlp.experts.*.down_proj bits=3; lm_head ignore");
    key(s, ESCAPE "\t/2 up_proj 3\r"); // found where it is folded
    expect(s, "▸2.up_proj ×4");
    expect(s, "model.layers.2.mlp.experts.3.up_proj");
    key(s, "&expert = 1\r");
    expect(s, "2.up ×1 of 4"); // the row stays selected
    quit(s);
}

// A click where a row was when the frame was drawn, behind keys that have taken it away.
static void a_click_on_what_is_gone_does_nothing(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    int row, col;
    expect(s, " 4.gate_proj");
    assert_true(screen_find(s, " 4.gate_proj", &row, &col));
    char bytes[64];
    snprintf(bytes, sizeof bytes, "&up\r\033[<0;%d;%dM", col + 4, row + 1);
    key(s, bytes);
    key(s, RIGHT "+z ");
    expect(s, "1 marked");
    expect(s, "6 of 43 & up");
    quit(s);
}

static void layers_fold(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "-");
    expect(s, "▸layer 5 ×7");
    expect_gone_text(s, " 5.q_proj");
    key(s, "-");
    expect(s, "nothing more to fold");
    key(s, "+");
    expect(s, "▸5.down_proj");
    key(s, "z");
    expect(s, "▸layer 5 ×7");
    key(s, "zZ");
    expect(s, "layer 0 ×7");
    expect(s, "layer 4 ×7        2.62    646  token    4 32–64"); // the largest, and what they have in common
    key(s, "o:set weight-bits 8\r");
    expect(s, "7 of 43 linears changed");
    assert_recipe(s, "model.layers.5.* bits=8; lm_head ignore");
    key(s, ESCAPE "\033[ZZ");
    expect(s, "*5.down_proj");
    quit(s);
    s = start_mixture(24, 80);
    key(s, "--");
    expect(s, "▸layer 5 ×16");
    key(s, "*5 q_proj\ro:set weight-bits 8\r" ESCAPE "\t");
    expect(s, "◐*layer 5 ×16");
    expect(s, " 4+ "); // where the column has no room for 4–8
    key(s, RIGHT);
    expect(s, "5.0.down_proj");
    quit(s);
}

// A row of several shows the worst of each column, the pane beside it one of them: which, and whose the others are, is
// said there.
static void it_is_said_whose_figures_a_folded_row_shows(void **state) {
    (void)state;
    Screen *s = start_mixture(36, 120);
    key(s, "sw");
    expect(s, "worst of 4 by |w|max: 5.0.down_proj");
    expect(s, "in the row: out dB of expert 1");
    key(s, "jkso"); // of the row that was chosen, the worst is another one then
    expect(s, "worst of 4 by out dB: 5.1.down_proj");
    expect(s, "in the row: |w|max of expert 0");
    key(s, "/5 down_proj 2\r");
    expect(s, "1 of 4: model.layers.5.mlp.experts.2.down_proj");
    key(s, RIGHT);
    expect(s, "▸5.2.down_proj");
    expect_gone_text(s, "1 of 4");
    expect_gone_text(s, "in the row");
    quit(s);
}

static void columns_scroll(void **state) {
    (void)state;
    Screen *s = start(24, 80);
    int row, col;
    assert_true(screen_find(s, "linear", &row, &col));
    char *headings = screen_row(s, row);
    assert_non_null(strstr(headings, "class"));
    assert_non_null(strstr(headings, "›"));
    assert_null(strstr(headings, "size"));
    free(headings);
    key(s, ">>>>" SHIFT_RIGHT ">>>>>>");
    expect(s, "‹ linear");
    expect(s, ">6σ    size");
    expect(s, "▸5.down_proj");
    headings = screen_row(s, row);
    assert_null(strstr(headings, "|x|max"));
    assert_null(strstr(headings, "›"));
    free(headings);
    key(s, "<<" SHIFT_LEFT "<<<<");
    expect(s, "|w|max");
    expect_gone_text(s, "‹");
    screen_resize(s, 36, 230); // where all fit
    expect(s, ">6σ    size");
    expect_gone_text(s, "›");
    quit(s);
}

// ---- the list of overrides ----------------------------------------------------------------------------------------

static void overrides_are_listed_edited_and_removed(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "O");
    expect(s, "Overrides: the last one wins");
    expect(s, "left as it is"); // the head
    key(s, "amodel.layers.*.mlp.down_proj weight-bits=8\r");
    expect(s, "weight-bits 8");
    expect(s, "*5.down_proj");
    key(s, "a*.5.* weight-bits=3 alpha=0.1\r");
    expect(s, "weight-bits 3, alpha 0.1");
    expect(s, "○*5.gate_proj");
    key(s, "K"); // before the other: that wins
    expect(s, "○*5.down_proj");
    expect_gone_text(s, "○*5.gate_proj");
    key(s, "\r");
    expect(s, "names dial=value … *.5.* weight-bits=3 alpha=0.1");
    key(s, " alpha\r");
    expect(s, "write DIAL=VALUE");
    key(s, "=2\r");
    expect(s, "alpha: \"2\" is not allowed");
    key(s, ESCAPE);
    key(s, "j\r\x15*.down_proj ignore\r");
    expect_gone_text(s, "weight-bits 8");
    key(s, "Gk ");
    expect(s, "marked");
    key(s, "gd");
    expect(s, "removed; u undoes it");
    expect_gone_text(s, "weight-bits 3");
    key(s, "u");
    expect(s, "weight-bits 3, alpha 0.1");
    screen_click(s, 0, 0); // beside it, where nothing else is clicked
    expect_gone_text(s, "Overrides: the");
    key(s, "O");
    expect(s, "Overrides: the");
    key(s, ESCAPE);
    expect_gone_text(s, "Overrides: the");
    assert_recipe(s, "*.5.* bits=3; *.5.* alpha=0.1; lm_head ignore; *.down_proj ignore");
    quit(s);
}

static void marks_and_menus_work_in_ascii(void **state) {
    (void)state;
    Screen *s = start_with(24, 80, "--ascii", "FAKE_PACE=8");
    expect(s, "+-0.0");
    key(s, "  *down\ro:set weight-bits 8\r");
    expect(s, "@*5.down_proj");
    key(s, ESCAPE "s");
    expect(s, "Sort by");
    assert_true(all_ascii(s));
    key(s, ESCAPE "O");
    expect(s, "Overrides");
    assert_true(all_ascii(s));
    key(s, ESCAPE "U");
    expect(s, ".*5.down_proj");
    quit(s);
}

int main(int argc, char **argv) {
    int status;
    if (session_is_screen(argc, argv, &status)) return status;
    const struct CMUnitTest tests[] = {
        IN_HOME(rows_are_marked_and_set_together),
        IN_HOME(what_was_marked_since_comes_first),
        IN_HOME(the_second_half_of_the_down_projections_gets_eight_bits),
        IN_HOME(values_that_differ_are_mixed),
        IN_HOME(what_is_left_alone_follows_the_marks),
        IN_HOME(marks_go_by_what_is_shown),
        IN_HOME(names_are_found_while_they_are_typed),
        IN_HOME(figures_are_filtered),
        IN_HOME(a_menu_sorts),
        IN_HOME(experts_are_folded_at_first),
        IN_HOME(a_click_on_what_is_gone_does_nothing),
        IN_HOME(layers_fold),
        IN_HOME(it_is_said_whose_figures_a_folded_row_shows),
        IN_HOME(columns_scroll),
        IN_HOME(overrides_are_listed_edited_and_removed),
        IN_HOME(marks_and_menus_work_in_ascii),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
