// The Trials screen.
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

// The text of the row of the table with this number; owned by the caller, NULL when it is not there.
static char *table_row(Screen *s, const char *words) {
    int row, col;
    return screen_find(s, words, &row, &col) ? screen_row(s, row) : NULL;
}

typedef struct RowHas {
    const char *row, *text;
} RowHas;

static bool row_has(Screen *s, const void *context) {
    const RowHas *wanted = context;
    char *row = table_row(s, wanted->row);
    const bool has = row && strstr(row, wanted->text);
    free(row);
    return has;
}

static void expect_row(Screen *s, const char *row, const char *text) {
    if (!screen_wait(s, row_has, &(RowHas){row, text})) fail_with_screen(s, text);
}

// Three states: the start, fewer bits, and from the start again more. A row has all that it will have once it has a
// speed, to which narrow tables scroll.
static Screen *start_with_rows(int rows, int cols, const char *option) {
    Screen *s = start_with(rows, cols, option, "FAKE_PACE=8");
    const char *times = option ? "x" : "×"; // of --ascii
    expect(s, "p99.9");
    key(s, "3>>>>");
    expect_row(s, "  #1 start", times);
    key(s, ":set weight-bits 3\r");
    expect_row(s, "  #2 bits 4", times);
    key(s, "u:set weight-bits 8\r");
    expect_row(s, "#3 ", times);
    key(s, "<<<<");
    return s;
}

static void every_state_is_a_row(void **state) {
    (void)state;
    Screen *s = start_with_rows(36, 120, NULL);
    expect_row(s, "from #1: bits 4 → 8", "▸ B●◆   #3 ");
    expect_row(s, "from #1: bits 4 → 8", "✓");
    expect_row(s, "  #2 bits 4 → 3", "✗");
    expect_row(s, "  #1 start", " A  ");
    expect_row(s, "  #1 start", "4.31");
    assert_true(screen_has(s, "against A"));
    quit(s);
}

static void two_are_compared_with_their_texts(void **state) {
    (void)state;
    Screen *s = start_with_rows(36, 120, NULL);
    expect(s, "A  #1: start");
    expect(s, "B  #3: bits 4 → 8");
    expect(s, "▸looked");
    assert_false(screen_has(s, "▸sang"));
    key(s, "jb"); // the row of three bits is B
    expect(s, "B  #2: bits 4 → 3");
    expect(s, "▸sang");
    expect(s, "A and B part at token 9");
    key(s, "ka");
    expect(s, "A  #3: bits 4 → 8");
    expect_row(s, "from #1: bits 4 → 8", "▸A ●◆");
    key(s, "d");
    expect(s, "From A to B");
    expect(s, "bits 8 → 3");
    expect(s, "bits/weight 8.");
    expect(s, "perplexity ");
    key(s, ESCAPE);
    expect_gone_text(s, "From A to B");
    key(s, "a"); // takes it back
    expect(s, "A  #1: start");
    quit(s);
}

// Below the table, where the line of the row has no room for them; and x leads to Convert here, too.
static void whole_words_of_the_chosen_row_are_seen(void **state) {
    (void)state;
    Screen *s = start_with_rows(36, 120, NULL);
    assert_false(screen_has(s, "#3  from")); // all of it is there
    key(s, "1*role = down layer >= 3\ro:set weight-bits 4\r:trials\r");
    expect(s, "#4  down_proj of layers 3–5 bits 8 → 4 (3 linears)");
    key(s, "x");
    expect(s, "by the recipe as it is now");
    quit(s);
}

static bool part_on_one_line(Screen *s, const void *unused) {
    (void)unused;
    int row, other, col;
    return screen_find(s, "waited for", &row, &col) && screen_find(s, "▸looked", &other, &col) && row == other;
}

// Also after a prompt that fills the pane.
static void texts_begin_with_the_same_line(void **state) {
    (void)state;
    Screen *s = start_with_rows(24, 120, NULL);
    char line[700] = ":prompt";
    for (int i = 0; i < 100; i++) strncat(line, " once", sizeof line - strlen(line) - 2);
    key(s, line);
    key(s, "\r");
    expect_gone_text(s, "upon a time"); // the texts after the prompt before
    if (!screen_wait(s, part_on_one_line, NULL)) fail_with_screen(s, "texts side by side");
    quit(s);
}

static void tokens_say_how_sure_they_were(void **state) {
    (void)state;
    Screen *s = start_with_rows(36, 120, NULL);
    key(s, "\t\t\t"); // base, A, B
    expect(s, "token 9 of 21: B “ looked” 92.0 % · base “ waited” 92.0 % · A “ looked”");
    key(s, "l");
    expect(s, "token 10 of 21: B “ for” 37.0 % · A “ for” 37.0 %");
    key(s, "G");
    expect(s, "token 21 of 21");
    key(s, "gh");
    expect(s, "token 1 of 21: B “ Mira” 92");
    key(s, ESCAPE "ja\t"); // another pair begins where its texts part
    expect(s, "token 9 of 21");
    key(s, ESCAPE);
    expect(s, "underlined: less than 50 % sure");
    quit(s);
}

static void a_row_gives_its_recipe_back(void **state) {
    (void)state;
    Screen *s = start_with_rows(36, 120, NULL);
    key(s, "j\r");
    expect(s, "the recipe of #2; u undoes it");
    expect_row(s, "  #2 bits 4 → 3", "▸ B●");
    key(s, "u");
    expect_row(s, "from #1: bits 4 → 8", "B●");
    key(s, "\r");
    expect(s, "this is the present recipe");
    quit(s);
}

static void a_state_on_its_way_is_shown_as_such(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, NULL); // at the pace of people
    settle(s);
    key(s, "3");
    expect_row(s, "start", "×");
    key(s, ":set weight-bits 2\r");
    expect(s, "B  now, not measured yet");
    expect_row(s, "bits 4 → 2", "…");
    expect_row(s, "  #2 bits 4 → 2", "✗");
    quit(s);
}

// The invented workbench forgets its rows: what begins anew is measured again, and is what was compared.
static void what_is_compared_comes_back(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, "--remember", "FAKE_PACE=8");
    expect(s, "p99.9");
    key(s, "3");
    expect_row(s, "#1 start", "AB");
    key(s, ":set weight-bits 3\r");
    expect_row(s, "  #2 bits 4", "✗");
    key(s, "jb");
    expect(s, "#1 is B; b again takes that back");
    key(s, "sb");
    expect(s, "by bits");
    quit(s);
    s = start_with(36, 120, "--remember", "FAKE_PACE=8");
    expect(s, "bits▲");
    expect_row(s, "#1 start", "AB");
    key(s, ":set weight-bits 3\r");
    expect_row(s, "  #2 bits 4", "✗");
    expect_row(s, "#1 start", "AB");
    quit(s);
}

static void rows_are_named_and_forgotten(void **state) {
    (void)state;
    Screen *s = start_with_rows(36, 120, NULL);
    key(s, "jefor Monday\r");
    expect(s, "“for Monday” bits 4 → 3");
    key(s, "e");
    expect(s, "note to #2: for Monday");
    key(s, "\r");
    key(s, "D");
    expect(s, "Forget #2 with its note, texts and figures?");
    key(s, "jn"); // j is no answer, n keeps it
    expect_gone_text(s, "Forget #2");
    assert_true(screen_has(s, "“for Monday” bits 4 → 3"));
    key(s, "e\x15\r");
    expect_gone_text(s, "“for Monday”");
    key(s, "D");
    expect(s, "Forget #2 with its texts");
    key(s, "y");
    expect(s, "#2 is forgotten");
    expect_gone_text(s, "#2 bits 4 → 3");
    key(s, "gD");
    expect(s, "the present state stays");
    quit(s);
}

static bool first_is(Screen *s, const void *words) {
    char *row = screen_row(s, 3);
    const bool is = row && strstr(row, words);
    free(row);
    return is;
}

static void expect_first(Screen *s, const char *words) {
    if (!screen_wait(s, first_is, words)) fail_with_screen(s, words);
}

static void rows_are_sorted_by_any_column(void **state) {
    (void)state;
    Screen *s = start_with_rows(36, 120, NULL);
    expect_first(s, "bits 4 → 8");
    key(s, "s");
    expect(s, "Sort by");
    key(s, "b");
    expect(s, "by bits (bits per");
    expect_first(s, "bits 4 → 3");
    key(s, "S");
    expect(s, "largest first");
    expect_first(s, "bits 4 → 8");
    click_on(s, " top-1");
    expect(s, "by top-1");
    expect_first(s, "bits 4 → 8");
    click_on(s, "KL");
    expect(s, "by KL");
    expect_first(s, "bits 4 → 8");
    quit(s);
}

static void small_and_plain_terminals_show_it_all(void **state) {
    (void)state;
    Screen *s = start_with_rows(24, 80, "--ascii");
    expect_row(s, "(#1) bits", "o@");
    expect_row(s, "  #1 start", "189 kB  0.0105"); // size, KL
    expect_row(s, "  #1 start", "2.437");          // perplexity
    assert_true(screen_has(s, "ppl>"));
    assert_false(screen_has(s, "tok/s"));
    key(s, ">");
    expect(s, "<    size");
    expect_gone_text(s, "4.31"); // bits
    expect_row(s, "  #1 start", "97.9 %");
    expect_row(s, "(#1) bits", "-0.0104+-0.0001 *");
    key(s, ">");
    expect(s, "tok/s");
    assert_false(screen_has(s, "size"));
    key(s, "<<");
    expect(s, "4.31");
    expect_row(s, "  #1 start", " A  ");
    expect(s, "A  #1: start");
    expect(s, "B  #3: bits 4 -> 8");
    expect(s, ">looked"); // where it parts
    key(s, "\t");         // A and B stay
    expect(s, "v shows base, A and B");
    expect(s, "token 9 of 21: A");
    expect(s, "Tab next text");
    assert_false(screen_has(s, "Enter take"));
    assert_true(screen_has(s, "A  #1: start") && screen_has(s, "B  #3: bits 4 -> 8"));
    key(s, "\t");
    expect(s, "token 9 of 21: B");
    key(s, "1"); // and back: the keys are in the table
    expect(s, "Dials");
    key(s, "3");
    expect(s, "Enter take");
    quit(s);
}

static void the_base_stands_in_for_what_is_not_there(void **state) {
    (void)state;
    Screen *s = start_with(24, 80, NULL, "FAKE_PACE=8");
    expect(s, "p99.9");
    key(s, "3");
    expect_row(s, "  #1 start", "2.437");
    expect(s, "base");
    expect(s, "B  #1: start");
    key(s, "\t");
    expect(s, "token 9 of 21: base");
    key(s, "\t");
    expect(s, "token 9 of 21: B");
    quit(s);
}

// Each pane has the frame in turn, and the texts stand there side by side, all three of them.
static void small_terminals_show_one_pane_at_a_time(void **state) {
    (void)state;
    Screen *s = start_with_rows(24, 80, NULL);
    key(s, "v");
    expect_gone_text(s, "Texts after");
    expect(s, "v next pane");
    expect(s, "  #1 start");
    key(s, "v");
    expect_gone_text(s, "what changed");
    expect(s, "─ Texts after the same prompt ─");
    expect(s, "token 9 of 21: base"); // the keys are there
    int row = 0, col = 0, row_b = 0, col_b = 0;
    assert_true(screen_find(s, "│ A  #1: start", &row, &col) && screen_find(s, "│ B  #3: bits 4 → 8", &row_b, &col_b));
    assert_true(row == row_b && col == 26 && col_b > col + 20);
    char *first = screen_row(s, row);
    assert_non_null(strstr(first, "│ base "));
    free(first);
    key(s, "v");
    expect(s, "KL against bits per weight");
    expect(s, "standard error of KL");
    key(s, "v");
    expect(s, "what changed");
    expect(s, "Texts after");
    key(s, "v\t");                    // the texts take the place of the table
    expect(s, "token 9 of 21: base"); // where the others part from it
    expect_gone_text(s, "what changed");
    key(s, ESCAPE);
    expect(s, "what changed");
    expect(s, "token 9 of 21: A"); // which Esc closes then; the base is not seen there
    quit(s);
}

// Of the row that is compared, too, though it is not the present one.
static void texts_go_on_when_more_tokens_are_asked_for(void **state) {
    (void)state;
    Screen *s = start_with_rows(36, 120, NULL);
    key(s, "\t\tG"); // A
    expect(s, "token 21 of 21: A");
    key(s, "+");
    expect(s, "base, A and B write up to 128 tokens");
    expect(s, "token 21 of 42: A");
    key(s, "G");
    expect(s, "token 42 of 42: A");
    key(s, "-");
    expect(s, "up to 64 tokens");
    key(s, ESCAPE);
    expect(s, "underlined: less");
    key(s, "r");
    expect(s, "continue ");
    key(s, "\x15Later\r");
    expect(s, "Later Mira put the lantern on");
    expect_gone_text(s, "Once upon a time");
    quit(s);
}

static void a_turn_without_effect_is_no_row(void **state) {
    (void)state;
    Screen *s = start_with_rows(36, 120, NULL);
    key(s, ":set quorum 0.5\r"); // the rule noise does not ask for it
    settle(s);
    expect_row(s, "from #1: bits 4 → 8", "B●◆   #3 ");
    assert_false(screen_has(s, "#4 "));
    key(s, ":set quorum 0.6\r");
    expect(s, "the same model as #3");
    quit(s);
}

static bool bottom_has_keys_and_job(Screen *s, const void *unused) {
    (void)unused;
    char *bottom = screen_row(s, 23);
    const bool has = bottom && strstr(bottom, "Enter take  a A  b B  d difference  Tab texts") &&
                     strstr(bottom, "q back") && strstr(bottom, " % ");
    free(bottom);
    return has;
}

static void a_job_takes_no_room_from_the_keys(void **state) {
    (void)state;
    Screen *s = start_with(24, 80, NULL, NULL); // at the pace of people
    settle(s);
    key(s, ":set weight-bits 2\r3");
    if (!screen_wait(s, bottom_has_keys_and_job, NULL)) fail_with_screen(s, "keys beside a job");
    quit(s);
}

static void a_large_terminal_has_a_plot(void **state) {
    (void)state;
    Screen *s = start_with_rows(60, 200, NULL);
    expect(s, "KL against bits per weight");
    expect(s, "● now");
    int top = 0, col = 0, bottom = 0;
    assert_true(screen_find(s, "KL against", &top, &col) && screen_find(s, "standard error of KL", &bottom, &col));
    assert_true(bottom > top + 10);
    expect(s, "base");
    expect(s, "A  #1: start");
    expect(s, "B  #3: bits");
    quit(s);
}

// Rows that begin alike are told apart by their values, on a small terminal, too.
static void rows_that_begin_alike_are_told_apart(void **state) {
    (void)state;
    Screen *s = start(24, 80);
    key(s, "*5 down\ro:set weight-bits 8\r3");
    expect(s, "#2 5.down_proj bits 4 → 8");
    key(s, "1:set weight-bits 3\r3");
    expect(s, "#3 5.down_proj bits 8 → 3");
    key(s, "1:set alpha 0.4\r:set clip mse\r3");
    expect(s, "5.down alpha 0.3→0.4 +1");
    key(s, "jk");
    expect(s, "5.down_proj alpha 0.3 → 0.4, 5.down_proj clip absmax → mse"); // whole, below the table
    quit(s);
}

int main(int argc, char **argv) {
    int status;
    if (session_is_screen(argc, argv, &status)) return status;
    const struct CMUnitTest tests[] = {
        IN_HOME(every_state_is_a_row),
        IN_HOME(two_are_compared_with_their_texts),
        IN_HOME(whole_words_of_the_chosen_row_are_seen),
        IN_HOME(texts_begin_with_the_same_line),
        IN_HOME(tokens_say_how_sure_they_were),
        IN_HOME(a_row_gives_its_recipe_back),
        IN_HOME(a_state_on_its_way_is_shown_as_such),
        IN_HOME(what_is_compared_comes_back),
        IN_HOME(rows_are_named_and_forgotten),
        IN_HOME(rows_are_sorted_by_any_column),
        IN_HOME(small_and_plain_terminals_show_it_all),
        IN_HOME(the_base_stands_in_for_what_is_not_there),
        IN_HOME(small_terminals_show_one_pane_at_a_time),
        IN_HOME(texts_go_on_when_more_tokens_are_asked_for),
        IN_HOME(a_turn_without_effect_is_no_row),
        IN_HOME(a_job_takes_no_room_from_the_keys),
        IN_HOME(a_large_terminal_has_a_plot),
        IN_HOME(rows_that_begin_alike_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
