// The interface on a pseudo-terminal, watched by a terminal emulator. This program is both sides: called with --screen
// it shows the interface with the workbench of tests/fake, whose figures are always the same.
#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

// In place of the real one, in this program only.
#include "base/file.h"
#include "tests/fake/workbench.c" // NOLINT(bugprone-suspicious-include)
#include "tests/support/tui_session.h"

// ---- the first screen ---------------------------------------------------------------------------------------------

static void the_first_screen_shows_the_model(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    expect(s, "storyteller · llama · 6 layers · 43 linears");
    expect(s, "cpu avx512 ×2 · calibrated 16.4k tokens");
    expect(s, "▸5.down_proj"); // largest range first
    expect(s, "model.layers.5.mlp.down_proj  64 × 192");
    expect(s, "v0 1.0");
    expect(s, "v1 150");
    expect(s, "perplexity");
    expect(s, "2.412");
    expect(s, "▸waited");
    expect(s, "▸looked");
    expect(s, "F1 help");
    assert_true(s->alternate);
    assert_true(s->mouse != 0);
    quit(s);
}

static void jobs_are_seen_while_they_run(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, NULL);
    expect(s, "calibrating");
    expect(s, "not calibrated");
    expect(s, "scoring");
    settle(s);
    key(s, "\tbbbbb=0.38\r"); // unknown keys do nothing
    settle(s);
    quit(s);
}

// What rests on ranges that may still grow is marked, and how many tokens of which text are behind it is said.
static void provisional_ranges_are_marked(void **state) {
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        Screen *s = start_with(wide ? 36 : 24, wide ? 120 : 80, NULL, "FAKE_PROVISIONAL=1");
        expect(s, "~range ~class");
        expect(s, "range ~1286");
        if (wide) expect(s, "class ~token");
        expect(s, wide ? "~quantized" : "~quant.");
        expect(s, wide ? "calibrated 1k of 16.4k tokens" : "1k of 16.4k tokens");
        if (wide) expect(s, "1k of 16.4k tokens of mixed");
        key(s, ":set activations none\r");
        expect_gone_text(s, "~class");
        expect(s, "~range"); // the input's own figures may still grow
        expect_gone_text(s, "~quant");
        quit(s);
    }
    Screen *s = start(36, 120);
    assert_false(screen_has(s, "~class") || screen_has(s, "~range") || screen_has(s, "~quant"));
    quit(s);
    s = start(36, 200);
    expect(s, "calibrated 16.4k tokens of mixed");
    quit(s);
}

// On a large model that takes minutes.
static void it_is_said_what_the_first_text_waits_for(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, "FAKE_PACE=0.5");
    expect(s, "the first calibration tokens are being run");
    expect(s, "the first tokens are being scored");
    quit(s);
}

static void a_failed_job_is_told(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, "FAKE_FAILURE=1");
    expect(s, "calibrate: the calibration text is not there");
    expect(s, "not known: the calibration text is not there");
    expect(s, "no |x|max yet"); // by which rows could stand in an order
    expect(s, "Effect on mixed · weights alone: calibration failed");
    expect(s, "│ weights   ");          // and not "quantized"
    key(s, ":set activations token\r"); // needs no ranges
    expect_gone_text(s, "weights alone");
    quit(s);
}

static void a_full_disk_is_told_once(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, "FAKE_FULL_DISK=1");
    expect(s, "measurements are not kept: /proc/no-folder");
    key(s, "j");
    expect_gone_text(s, "not kept");
    key(s, ":set weight-bits 8\r");
    expect(s, "recipe not saved");
    assert_false(screen_has(s, "not kept"));
    quit(s);
}

// A model with an encoder reads a source and writes a target.
static void a_source_has_a_target(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, "FAKE_PAIR=1");
    expect(s, "Once upon a time \xE2\x86\x92 ");
    key(s, "r");
    expect(s, "source Once upon a time");
    key(s, ESCAPE "2"); // layers are called as their linears are
    expect(s, "layer e0 ");
    expect(s, " d4 ");
    key(s, "1:sort linear\rgz"); // by ranges another row is the first as soon as they are there
    expect(s, "layer e0 ×7");
    quit(s);
}

// A chat model answers what a user says, and the figures are those of a text.
static void a_chat_model_is_asked(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, "FAKE_CHAT=1");
    expect(s, "Effect on mixed, chat");
    expect(s, "user: Once upon a time assistant: ");
    key(s, "r");
    expect(s, "ask Once upon a time");
    key(s, ESCAPE);
    quit(s);
}

// ---- dials --------------------------------------------------------------------------------------------------------

static void every_dial_turns_and_the_plan_follows(void **state) {
    (void)state;
    static const struct {
        Dial dial;
        const char *before, *keys, *after;
    } turns[] = {
        {DIAL_BITS, "4", "l", "8"},
        {DIAL_GRANULARITY, "adaptive", "h", "group"},
        {DIAL_GROUP_SIZE, "128", "l", "256"},
        {DIAL_GRID, "symmetric", "l", "asymmetric"},
        {DIAL_CLIP, "absmax", "l", "mse"},
        {DIAL_SCALE, "model", "l", "f16"},
        {DIAL_FUSED, "off", "l", "on"},
        {DIAL_ALPHA, "0.3", SHIFT_RIGHT, "0.4"},
        {DIAL_RULE, "noise", "l", "literal"},
        {DIAL_QUORUM, "0.01", RIGHT, "0.011"},
        {DIAL_MIN_GROUP, "32", "l", "64"},
        {DIAL_MAX_GROUP, "channel", "h", "8192"},
        {DIAL_CACHE_BITS, "16", "h", "8"},
        {DIAL_ACTIVATIONS, "fptq", "h", "token"},
        {DIAL_V0, "1", "l", "2"},
        {DIAL_V1, "150", SHIFT_LEFT, "140"},
        {DIAL_LAE_ALPHA, "1", LEFT, "0.95"},
        {DIAL_FOLD, "norm", "l", "all"},
        {DIAL_UNFOLDABLE, "token", "l", "runtime"},
        {DIAL_SMOOTH_ALPHA, "0.5", "l", "0.55"},
        {DIAL_SMOOTH_SCALE, "static", "l", "token"},
        {DIAL_PERCENTILE, "99.9", "l", "99.99"},
    };
    Screen *s = start(45, 120); // all rows of dials
    key(s, "\t[[[[[[[");
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        expect_dial(s, turns[i].dial, turns[i].before);
        key(s, turns[i].keys);
        expect_dial(s, turns[i].dial, turns[i].after);
        key(s, "]");
    }
    settle(s);
    expect(s, "8.32"); // bits per weight of 8-bit codes, scales and zero points
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) key(s, "u");
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) expect_dial(s, turns[i].dial, turns[i].before);
    settle(s);
    quit(s);
}

// Five rows of nine: the current dial is always among them.
static void dials_scroll_where_the_room_is_small(void **state) {
    (void)state;
    Screen *s = start(24, 80);
    expect(s, "─ Dials ↓ 7 more ─");
    expect_dial(s, DIAL_BITS, "4");
    key(s, "\t[[[[[[[["); // round to the last one
    expect_dial(s, DIAL_PERCENTILE, "99.9");
    expect(s, "─ Dials ↑ 12 more ─");
    expect_gone_text(s, " bits             4");
    key(s, "[[[[");
    expect_dial(s, DIAL_FOLD, "norm");
    key(s, "l");
    expect_dial(s, DIAL_FOLD, "all");
    key(s, "[");
    expect_dial(s, DIAL_LAE_ALPHA, "1");
    expect(s, "─ Dials ↑ 9 ↓ 1 more ─");
    key(s, "\033[6~"); // PgDn: round to the first column, in the same row
    expect(s, "▸grid");
    key(s, "{{"); // and back, to where there is one
    expect(s, "▸min");
    settle(s);
    quit(s);
}

static void an_old_figure_is_never_shown_as_new(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, NULL); // at the pace of people
    settle(s);
    key(s, "\t[[[[[[[h");
    expect_dial(s, DIAL_BITS, "3");
    expect(s, "(out)"); // the table's
    expect(s, " (9");   // the old share of equal tokens in brackets, while the new one is computed
    settle(s);
    quit(s);
}

// Whatever has the keys: a value is typed after = or Enter, in the place of the old one.
static void digits_go_to_screens_from_a_dial_too(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "\t4");
    expect(s, "This point");
    key(s, "1=5");
    expect(s, "alpha 5");
    key(s, ESCAPE "8");
    expect(s, "digits go to screens; = types a value of alpha");
    key(s, "=\177.4\r");
    expect_dial(s, DIAL_ALPHA, "0.4");
    key(s, "=\033OD9\r"); // ← edits what is there: 0.94
    expect_dial(s, DIAL_ALPHA, "0.94");
    settle(s);
    quit(s);
}

static void values_are_typed_and_refused(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "\t=0.55\r");
    expect_dial(s, DIAL_ALPHA, "0.55");
    key(s, "=\x15"
           "7\r");
    expect(s, "not allowed");
    key(s, ESCAPE);
    expect_dial(s, DIAL_ALPHA, "0.55");
    key(s, HOME);
    expect_dial(s, DIAL_ALPHA, "0.3");
    key(s, "=\x15"
           "lots\r");
    expect(s, "lots");
    key(s, "\x15"
           "0.25\r");
    expect_dial(s, DIAL_ALPHA, "0.25");
    settle(s);
    quit(s);
}

// What it does in words that fit, and why it does nothing where it does not.
static void a_dial_says_what_it_does_or_why_not(void **state) {
    (void)state;
    Screen *s = start(24, 80);
    key(s, ":set alpha 0.31\r");
    expect(s, "─ what a group size may cost ─");
    key(s, ":set group-size 64\r");
    expect(s, "─ not used: group is adaptive ─");
    key(s, ":set smooth-alpha 0.6\r");
    expect(s, "─ not used: policy is fptq ─");
    quit(s);
}

static void one_linear_gets_values_of_its_own(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "o");
    expect(s, "Dials of 5.down_proj only");
    key(s, ":set weight-bits 8\r");
    expect_dial(s, DIAL_BITS, "8");
    key(s, "o");
    expect(s, "─ Dials ↓ 2 more · 1 of 43 linears changed by the last turn ─");
    expect_dial(s, DIAL_BITS, "4");
    expect(s, "*5.down_proj");
    key(s, "o");
    expect_dial(s, DIAL_BITS, "8");
    key(s, "\177");
    expect_dial(s, DIAL_BITS, "4");
    expect_gone_text(s, "*5.down_proj");
    key(s, ":scope selected\r");
    expect(s, "dials now set the selected linear only");
    key(s, ":set fused on\r"); // which has no other meaning
    expect(s, "fused on: all linears, as it has one value for the model");
    key(s, ":scope m\t\r");
    expect(s, "no linear is marked");
    key(s, ESCAPE ":mark down\r:scope marked\r");
    expect(s, "dials now set the 6 marked linears");
    key(s, ":set alpha 0.2\r");
    expect_dial(s, DIAL_ALPHA, "0.2");
    key(s, ":scope all\r:set alpha 0.35\r"); // others have no override
    expect_dial(s, DIAL_ALPHA, "0.35");
    assert_false(screen_has(s, "reaches none"));
    key(s, "O");
    key(s, "a* alpha=0.25\r");
    expect(s, "alpha 0.25");
    key(s, ESCAPE ":set alpha 0.4\r");
    expect(s, "all 42 linears have an override of alpha; this reaches none (O lists them)");
    key(s, ":scope some\r");
    expect(s, "the dials set all, marked or selected linears");
    key(s, ESCAPE ":scope all\r");
    expect(s, "dials set all linears again");
    expect_dial(s, DIAL_FUSED, "on");
    quit(s);
}

static void a_linear_is_left_alone(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "i");
    expect(s, "left in its own precision");
    expect(s, "recipe not saved");
    key(s, "i");
    expect_gone_text(s, "left in its own precision");
    quit(s);
    s = start(24, 80); // where that has no room
    key(s, "i");
    expect(s, "decided  left as it is");
    quit(s);
}

// Whatever is pressed, clicked or turned outside of the dials' pane turns no dial.
static void only_the_pane_of_the_dials_turns_them(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    int row, col;
    static const char *const keys[] = {LEFT, RIGHT, "h",    "l",       SHIFT_LEFT, SHIFT_RIGHT, "<",    ">",
                                       "=",  "\r",  "\177", "\033[3~", HOME,       END,         "0.\r", "-+"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) key(s, keys[i]);
    expect(s, "alpha          0.3");
    assert_true(screen_find(s, "alpha          0.3", &row, &col));
    for (int c = col - 1; c < col + 36; c += 4) {
        screen_wheel(s, row, c, true);
        screen_wheel(s, row, c, false);
        screen_wheel(s, row, c, false);
    }
    key(s, ":reset\r");
    expect(s, "name a dial");
    key(s, ESCAPE "h");
    expect(s, "press Tab to go to the dials");
    key(s, "f");
    expect(s, "f does nothing here; it acts on Sensitivity, Convert");
    key(s, "\033[3~");
    expect(s, "delete does nothing here; it acts on the dials, Trials");
    key(s, "Q"); // no key of any place
    expect_gone_text(s, "does nothing here");
    key(s, "f");
    expect(s, "f does nothing here");
    key(s, "7"); // nor is this
    expect_gone_text(s, "does nothing here");
    assert_false(screen_has(s, "recipe not saved"));
    key(s, "go"); // the dials of one linear, and from there back to the layers
    key(s, ":set alpha 0.7\r");
    expect(s, "*5.down_proj");
    key(s, "\t\177" HOME "k");
    expect(s, "*5.down_proj");
    key(s, "o");
    // A drag whose end a prompt hid does not go on with the next one.
    expect(s, "alpha          0.3");
    assert_true(screen_find(s, "alpha          0.3", &row, &col));
    char bytes[64];
    snprintf(bytes, sizeof bytes, "\033[<0;%d;%dM:", col + 26, row + 1);
    key(s, bytes);
    snprintf(bytes, sizeof bytes, "\033[<0;%d;%dm" ESCAPE, col + 26, row + 1);
    key(s, bytes);
    expect(s, "alpha         0.35"); // where it was pressed
    settle(s);
    char *before = screen_row(s, row), *after;
    screen_drag(s, 5, 5, 60); // over the layers
    key(s, "jk");
    settle(s);
    after = screen_row(s, row);
    assert_string_equal(before, after);
    free(before);
    free(after);
    quit(s);
}

// The inputs of down, whose ranges ask for LAE, go token by token: the table and the note say so at every size.
static void what_the_plan_does_is_said_at_every_size(void **state) {
    (void)state;
    static const int sizes[][2] = {{24, 80},  {24, 100}, {30, 80},  {30, 100},
                                   {36, 120}, {36, 130}, {60, 200}, {24, 200}};
    Screen *s = start(24, 80);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        screen_resize(s, sizes[i][0], sizes[i][1]);
        key(s, "/1.mlp.down\r");
        expect(s, "▸1.down_proj");
        expect(s, "no norm before it to fold");
        expect(s, "per token");
        int row, col;
        assert_true(screen_find(s, "▸1.down_proj", &row, &col));
        char *line = screen_row(s, row), *end = strstr(line + 3, "│") ? strstr(line + 3, "│") : strstr(line + 3, "┃");
        *end = '\0';
        assert_non_null(strstr(line, "token"));
        assert_null(strstr(line, "LAE"));
        free(line);
        key(s, "g");
        expect(s, "▸5.down_proj");
        expect_gone_text(s, "no norm before it to fold"); // 1286.5 goes token by token anyway
    }
    key(s, ":set activations none\r");
    expect(s, "16 bit");
    expect_gone_text(s, " LAE  "); // what the ranges ask for is not what is done
    quit(s);
}

static bool base_is_partial(Screen *s, const void *unused) {
    (void)unused;
    int row, col;
    if (!screen_find(s, "base  ", &row, &col)) return false;
    char *line = screen_row(s, row);
    const bool partial = strstr(line, "2.412…") != NULL;
    free(line);
    return partial;
}

static void a_partial_score_of_the_base_is_marked(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, NULL);
    assert_true(screen_wait(s, base_is_partial, NULL));
    settle(s);
    assert_false(base_is_partial(s, NULL));
    quit(s);
}

// Messages that one line cannot hold take more; answers stand beside however long a question.
static void long_texts_are_read_to_their_end(void **state) {
    (void)state;
    Screen *s = start(24, 80);
    char name[200], command[4300];
    memset(name, 'x', 150);
    snprintf(name + 150, sizeof name - 150, ".json");
    folder_put_text(folder, name, "{");
    snprintf(command, sizeof command, ":w %s\r", path_in_folder(name));
    key(s, command);
    expect(s, "y overwrite  n another name");
    key(s, "n" ESCAPE);
    snprintf(command, sizeof command, ":load %s\r", path_in_folder(name));
    key(s, command);
    expect(s, "xxx");
    expect(s, "at line 1, column 1"); // where the fault is, at the end of the message
    key(s, ":set nonsense " ESCAPE ":set activations nonsense\r");
    expect(s, "channel"); // the last of what is allowed
    quit(s);
}

// Why a linear got its group size: the noise of each against the ceiling, or the votes against the quorum.
static void the_ladder_shows_what_decided(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    expect(s, "ladder      192 ▸     64 ▸     32");
    expect(s, "of the ceiling");
    key(s, ":set alpha-rule shrink\r");
    expect(s, "quorum 1.0 %");
    expect_gone_text(s, "of the ceiling");
    quit(s);
}

static void changes_since_the_pin_have_signs(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    expect(s, "2.1–2.3× "); // all timed, so that the pin has a speed
    key(s, "p");
    expect(s, "pinned");
    key(s, ":set weight-bits 8\r");
    expect(s, "since pin");
    expect(s, "kB ✗");    // larger
    expect(s, "pp ✓");    // more tokens alike
    expect(s, "−0.0");    // less divergence
    expect(s, "0.78× ✗"); // slower, and the ranges lie apart
    key(s, "u:set weight-bits 3\r");
    expect(s, "1.06× ≈"); // somewhat faster, within the ranges
    key(s, "p");          // anew
    expect(s, "pinned in the place of #1");
    key(s, "p");
    expect(s, "this state is pinned already; P removes the pin");
    expect(s, "since pin");
    key(s, "P");
    expect(s, "pin removed; P brings it back");
    expect_gone_text(s, "since pin");
    key(s, ":set weight-bits 8\rP");
    expect(s, "the pin is back");
    expect(s, "since pin");
    expect(s, "kB ✗"); // with its figures
    key(s, ":unpin\rpP");
    expect_gone_text(s, "since pin");
    quit(s);
}

// The base became slower, too: something else was at work.
static void speeds_of_a_busy_machine_are_not_judged(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, "FAKE_BUSY=1");
    expect(s, "2.1–2.3× ");
    key(s, "p");
    expect(s, "pinned");
    key(s, ":set weight-bits 8\r");
    expect(s, "0.78× noise?");
    quit(s);
    s = start_with(36, 120, NULL, "FAKE_BUSY=some"); // by less than the ratio changed, and by too much all the same
    expect(s, "2.1–2.3× ");
    key(s, "p");
    expect(s, "pinned");
    key(s, ":set weight-bits 8\r");
    expect(s, "0.78× noise?");
    quit(s);
}

// A range of ratios would tell of the machine.
static void a_speed_that_was_uneven_is_marked(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, "FAKE_BUSY=uneven");
    expect(s, "2.1–2.3× ");
    key(s, ":set weight-bits 8\r");
    expect(s, "1.7× busy");
    key(s, "3");
    expect(s, "1.7× busy");
    expect(s, "2.1–2.3×");
    key(s, "?/busy\r");
    expect(s, "something else was at work");
    key(s, "q");
    screen_resize(s, 24, 80);
    key(s, "1");
    expect(s, "1.7× busy");
    quit(s);
}

// Of a change this small either figure's own error says nothing; position by position it is sure.
static void small_changes_are_told_by_positions(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "p");
    expect(s, "pinned");
    key(s, "i");
    expect(s, "−0.0002 ✓");
    expect(s, "−0.0005 ✓"); // of perplexity
    expect(s, "+0.04 pp ✓");
    quit(s);
}

static void it_is_said_why_a_linear_hurts(void **state) {
    (void)state;
    Screen *s = start(36, 130);
    expect(s, "why      weights 25 %   input 75 %");
    screen_resize(s, 36, 200);
    expect(s, "weights 25 %   input 75 %   channel 17 (61.5×)   column 7 (42 %)");
    expect(s, "0.0105 ±0.0002 ← 0.0094"); // KL, and the other direction
    key(s, "i");                          // left in its own precision it does not
    expect_gone_text(s, "why  ");
    quit(s);
}

// ---- finding ------------------------------------------------------------------------------------------------------

static void linears_are_found_filtered_and_sorted(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "/2.self_attn.k\r");
    expect(s, "▸2.k_proj");
    key(s, "/v_proj\r");
    expect(s, "v_proj  64 × 64");
    key(s, "nnnnnn");
    expect(s, "v_proj  64 × 64");
    key(s, "/nothing here\r");
    expect(s, "no linear with “nothing here”");
    key(s, ESCAPE);
    key(s, "&mlp.up\r");
    expect(s, "6 of 43 & mlp.up");
    expect_gone_text(s, " q_proj");
    key(s, "&\x15"
           "none\r");
    expect(s, "no linear matches");
    key(s, ESCAPE);
    expect(s, "by |x|max ▼");
    key(s, ":sort linear\r");
    expect(s, "by linear ▲");
    key(s, "g");
    expect(s, "▸0.q_proj");
    key(s, "G");
    expect(s, "lm_head  128 × 64");
    key(s, "S");
    expect(s, "by linear ▼");
    key(s, "sw");
    expect(s, "by |w|max ▼");
    key(s, ":sort nonsense\r");
    expect(s, "no column “nonsense”");
    quit(s);
}

static void the_selection_moves(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, ":sort linear\rg");
    expect(s, "▸0.q_proj");
    key(s, "jj" DOWN UP);
    expect(s, "▸0.v_proj");
    key(s, PAGE_DOWN PAGE_DOWN PAGE_DOWN PAGE_DOWN);
    expect(s, "lm_head  128 × 64");
    key(s, HOME);
    expect(s, "▸0.q_proj");
    key(s, END "k");
    expect(s, "▸5.down_proj");
    quit(s);
}

// ---- commands and files -------------------------------------------------------------------------------------------

static void commands_complete_and_are_remembered(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, ":set g\t");
    expect(s, "grid  granularity  group-size");
    key(s, "an\t");
    expect(s, ":set granularity ");
    key(s, "c\t\r");
    expect_dial(s, DIAL_GRANULARITY, "channel");
    key(s, ":" UP);
    expect(s, ":set granularity channel");
    key(s, "\x15set pol\t"); // as the screen calls it
    expect(s, ":set policy ");
    key(s, "\x15sweep ma\t");
    expect(s, ":sweep max-group ");
    key(s, "\x15set unheard\t");
    expect(s, "nothing completes “unheard”");
    key(s, ESCAPE);
    key(s, ":nonsense\r");
    expect(s, "no command “nonsense”");
    expect(s, " :nonsense"); // it stays to be mended
    key(s, "\x15set alpha 7\r");
    expect(s, " :set alpha 7");
    key(s, "\1770.4\r");
    expect_dial(s, DIAL_ALPHA, "0.4");
    key(s, ESCAPE ":prompt One day\r");
    expect(s, "One day");
    key(s, "r, long ago\r");
    expect(s, "One day, long ago");
    quit(s);
}

static void recipes_are_written_and_loaded(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    char command[4300];
    snprintf(command, sizeof command, "w\x15%s\r", path_in_folder("one.json"));
    key(s, ":set alpha 0.45\r");
    expect_dial(s, DIAL_ALPHA, "0.45");
    expect(s, "recipe not saved");
    key(s, command);
    expect(s, "recipe written to");
    expect_gone_text(s, "recipe not saved");
    key(s, ":reset alpha\r");
    expect_dial(s, DIAL_ALPHA, "0.3");
    folder_put_text(folder, "one.txt", ""); // no recipe, so that it is not offered
    snprintf(command, sizeof command, ":load %s\r", path_in_folder("on\t"));
    key(s, command);
    expect_dial(s, DIAL_ALPHA, "0.45");
    key(s, "u");
    expect_dial(s, DIAL_ALPHA, "0.3");
    key(s, "\x12"); // Ctrl-R
    expect_dial(s, DIAL_ALPHA, "0.45");
    folder_put_text(folder, "other.json", "{\"quantdial_recipe\": 1, \"nonsense\": 2}");
    snprintf(command, sizeof command, ":load %s\r", path_in_folder("other.json"));
    key(s, command);
    expect(s, "nonsense");
    snprintf(command, sizeof command, "w\x15%s\r", path_in_folder("other.json"));
    key(s, ESCAPE);
    key(s, command);
    expect(s, "already exists");
    key(s, "n" ESCAPE);
    snprintf(command, sizeof command, ":load %s\r", nowhere());
    key(s, command);
    expect(s, "/no-such-folder/file");
    quit(s);
}

// A key that answers a question is not typed into what follows, and what is written is written twice.
static void the_key_of_an_answer_ends_there(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "ioqw");
    expect(s, "write recipe to recipe.json ");
    key(s, ESCAPE);
    folder_put_text(folder, "there.json", "mine");
    char command[4300];
    snprintf(command, sizeof command, "w\x15%s\r", path_in_folder("there.json"));
    key(s, command);
    expect(s, "there.json already exists");
    key(s, "\r");
    expect(s, "there.json already exists");
    key(s, "n");
    expect(s, "there.json ");
    key(s, "\x15"
           "~/again.json\r");
    expect(s, "recipe written to");
    for (int i = 0; i < 3; i++) {
        key(s, "j:w\r");
        snprintf(command, sizeof command, "recipe written to %s", path_in_folder("again.json"));
        expect(s, command);
    }
    quit(s);
}

static void assert_text_of(const char *name, const char *text) {
    char *data;
    size_t size;
    assert_true(file_read(path_in_folder(name), 1 << 20, &data, &size, NULL));
    assert_string_equal(data, text);
    free(data);
}

static void another_file_is_overwritten_only_when_told(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    folder_put_text(folder, "theirs.json", "precious");
    key(s, ":w ~/theirs.json\r");
    expect(s, "~/theirs.json already exists.");
    key(s, "n" ESCAPE ":wq ~/theirs.json\r");
    expect(s, "already exists.");
    key(s, "n");
    expect(s, "write recipe to ~/theirs.json");
    assert_text_of("theirs.json", "precious");
    key(s, ESCAPE ":w! ~/thei\t\r");
    expect(s, "recipe written to");
    key(s, ":w ~nobody-of-this-name/x.json\r");
    expect(s, "no home of nobody-of-this-name");
    key(s, ESCAPE ":load ~/theirs.json\r");
    expect(s, "recipe loaded from");
    folder_put_text(folder, "theirs.json", "precious"); // ours by now: overwritten without a question
    key(s, ":wq ~/theirs.json\r");
    assert_true(screen_wait_gone(s));
    assert_true(WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0);
    Recipe recipe;
    assert_true(recipe_load(path_in_folder("theirs.json"), &recipe, NULL));
    recipe_free(&recipe);
    screen_free(s);
}

static void quitting_asks_when_the_recipe_is_not_saved(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    char path[4300];
    key(s, "\tl");
    expect(s, "recipe not saved");
    key(s, "q");
    expect(s, "The recipe is not saved.");
    key(s, "yY\r/"); // not offered: no answers
    expect(s, "The recipe is not saved.");
    key(s, ESCAPE);
    expect_gone_text(s, "The recipe is not saved.");
    key(s, "qw");
    expect(s, "write recipe to recipe.json");
    snprintf(path, sizeof path, "\x15%s\r", path_in_folder("last.json"));
    key(s, path);
    assert_true(screen_wait_gone(s));
    assert_true(WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0);
    assert_true(screen_modes_restored(s));
    assert_int_equal(access(path_in_folder("last.json"), R_OK), 0);
    screen_free(s);
}

// A file that was written or loaded is not written over unseen.
static void quitting_names_the_file_that_would_be_written_over(void **state) {
    (void)state;
    Screen *s = start(24, 80);
    char path[4300];
    snprintf(path, sizeof path, "\tlw\x15%s\r", path_in_folder("mine.json"));
    key(s, path);
    expect(s, "recipe written to");
    key(s, "lq");
    expect(s, "mine.json differs.  w overwrite  o another file  q quit without");
    key(s, "o");
    expect(s, "write recipe to ");
    snprintf(path, sizeof path, "\x15%s\r", path_in_folder("other.json"));
    key(s, path);
    assert_true(screen_wait_gone(s));
    Recipe mine, other;
    assert_true(recipe_load(path_in_folder("mine.json"), &mine, NULL));
    assert_true(recipe_load(path_in_folder("other.json"), &other, NULL));
    assert_false(recipe_equal(&mine, &other));
    recipe_free(&mine);
    recipe_free(&other);
    screen_free(s);
}

static void help_lists_keys_and_commands(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "?");
    expect(s, " Help ");
    expect(s, "sort by a column, from a list of them");
    key(s, "G");
    expect(s, ":theme NAME");
    key(s, ESCAPE);
    expect_gone_text(s, " Help ");
    key(s, "\033OP"); // F1
    expect(s, " Help ");
    key(s, "q");
    expect_gone_text(s, " Help ");
    quit(s);
}

// ---- mouse --------------------------------------------------------------------------------------------------------

static void the_mouse_chooses_turns_and_drags(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    click_on(s, "3.down_proj");
    expect(s, "▸3.down_proj");
    click_on(s, "class bits");
    expect(s, "by class ▼");
    int row, col;
    assert_true(screen_find(s, "alpha          0.3", &row, &col));
    screen_drag(s, row, col + 25, col + 70); // beyond the right end
    expect_dial(s, DIAL_ALPHA, "1");
    screen_wheel(s, row, col + 3, true);
    expect_dial(s, DIAL_ALPHA, "0.99");
    assert_true(screen_find(s, "policy", &row, &col));
    screen_click(s, row, col + 20);
    expect_dial(s, DIAL_ACTIVATIONS, "none");
    click_on(s, "F1 help");
    expect(s, " Help ");
    screen_click(s, 10, 60);
    expect_gone_text(s, " Help ");
    click_on(s, "u undo");
    expect_dial(s, DIAL_ACTIVATIONS, "fptq");
    quit(s);
}

#define PASTE "\033[200~"
#define PASTE_END "\033[201~"

// ---- convert ------------------------------------------------------------------------------------------------------

static Screen *start_converting(int rows, int cols, const char *pace) {
    Screen *s = start_with(rows, cols, NULL, pace);
    settle(s);
    key(s, "x");
    expect(s, "by the recipe as it is now");
    return s;
}

static void the_convert_screen_says_what_engines_do(void **state) {
    (void)state;
    static const int sizes[][2] = {{24, 80}, {36, 120}, {60, 200}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const bool wide = sizes[i][1] > 80;
        Screen *s = start_converting(sizes[i][0], sizes[i][1], "FAKE_PACE=8");
        expect(s, "◂ compressed-tensors ▸   for vllm, sglang, transformers");
        expect(s, "storyteller-compressed-tensors   offered; o names another");
        expect(s, "disk has 12.3 GB   computing 3 s");
        expect(s, wide ? "▸ vLLM on T4, RTX 20 (SM75)         no" : "▸ vllm-sm75    no");
        expect(s, "refused fused-bits");
        expect(s, "Enter writes it, though vllm-sm75 refuses it; f mends the recipe");
        expect(s, wide ? "f fix  Enter write it" : "Enter write it");
        assert_false(screen_has(s, "Dials"));
        key(s, "jjjjjj");
        expect(s, wide ? "▸ transformers                      yes" : "▸ transformers yes");
        expect(s, "transformers: nothing found");
        assert_false(screen_has(s, "for transformers ")); // it is only looked at
        key(s, RIGHT);
        expect(s, "◂ gguf ▸   for llama.cpp");
        expect(s, "storyteller-gguf");
        assert_false(screen_has(s, "by the recipe 4.31"));
        key(s, RIGHT);
        expect(s, "4.81 bits/weight there, by the recipe 4.31: each group has a scale");
        key(s, "hhh");
        expect(s, "◂ dense ▸   for all that read the model as it was");
        expect(s, "nothing is quantized in this format");
        key(s, "q");
        expect(s, "Dials");
        key(s, ":convert\r");
        expect(s, "◂ dense ▸");
        key(s, ESCAPE);
        expect(s, "Dials");
        quit(s);
    }
}

// What is not known yet is not promised.
static void until_sizes_are_known_nothing_is_promised(void **state) {
    (void)state;
    Screen *s = start_converting(24, 80, "FAKE_FORECAST=2");
    key(s, "jjjjjj"); // which transformers loads
    expect(s, " working out sizes…");
    expect(s, "it is not known yet whether it can be written; Enter tries at once");
    assert_false(screen_has(s, "Enter writes it"));
    expect(s, "Enter writes it, reads it back");
    assert_false(screen_has(s, "not known yet"));
    quit(s);
}

// The remedy is a turn like any other: it is seen in the figures, compared with before, and undone at once.
static void a_remedy_is_one_turn(void **state) {
    (void)state;
    Screen *s = start_converting(36, 120, "FAKE_PACE=8");
    expect(s, "finding 1 of 2");
    expect(s, "group, group size 32.");
    key(s, "\033[6~"); // page down: the second one is the first that is shown
    expect(s, "finding 2 of 2");
    key(s, "f");
    expect(s, "for vllm-sm75: ");
    expect(s, "policy fptq → none");
    expect(s, "undoes it");
    expect_gone_text(s, "stay 16 bit!");
    expect_gone_text(s, "misread inputs-dropped");
    expect(s, "since pin");
    expect(s, "not saved");
    key(s, "f");
    expect(s, "nothing that the recipe could mend for vllm-sm75");
    key(s, "u");
    expect(s, "refused fused-bits");
    expect_gone_text(s, "recipe not saved");
    quit(s);
}

// Nothing that somebody set goes without a question.
static void a_remedy_asks_before_it_takes_an_override_back(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "o:set weight-bits 8\rx");
    expect(s, "by the recipe as it is now");
    key(s, "jjjj");
    expect(s, "▸ vLLM on x86");
    key(s, "f");
    expect(s, "For vllm-cpu: ");
    expect(s, " bits/weight, KL ");
    expect(s, "measured after. It sets: ");
    expect(s, "It takes back what overrides set: 5.down_proj bits 8 → 4.");
    expect(s, "Do that?  y do it  n leave the recipe");
    key(s, "n");
    expect_gone_text(s, "takes back");
    key(s, "q");
    expect_dial(s, DIAL_BITS, "8");
    key(s, "xfy");
    expect(s, "for vllm-cpu: ");
    expect(s, "measured after; u undoes it");
    key(s, "uq");
    expect_dial(s, DIAL_BITS, "8");
    quit(s);
}

// Who tunes for an engine learns beside the dials what it does not take; who named none hears nothing of engines.
static void what_an_engine_takes_is_said_while_dials_are_turned(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    assert_false(screen_has(s, "vllm"));
    key(s, ":target nonsense\r");
    expect(s, "\"nonsense\" is no engine that is known");
    key(s, ESCAPE ":target vllm-s\t80\r:set policy static\r"); // the message names it, too
    expect(s, "vllm-sm80 refuses policy");
    expect(s, "vllm-sm80 refuses this: it takes policy none ─");
    key(s, ":set policy none\r:set granularity group\r"); // 128 does not divide the columns of down_proj
    expect(s, "vllm-sm80 refuses group size");
    key(s, ":set group-size 32\r");
    expect(s, " for vllm-sm80 ");
    expect_gone_text(s, "refuses");
    key(s, ":set weight-bits 3\r");
    expect(s, "vllm-sm80 refuses bits");
    key(s, "6");
    expect(s, "▸●vLLM on A100");
    expect(s, "refused odd-bits, layers 0–5 (42 linears): Weights of 2 and 3 bits");
    expect(s, "or press b.");
    key(s, "b");
    expect(s, "2, 3 bits: b");
    expect_gone_text(s, "odd-bits");
    key(s, "q:target\r");
    expect(s, "for vllm-sm80 in compressed-tensors; :target none");
    key(s, ":target no\t\r");
    expect(s, "the recipe is for no engine");
    key(s, ":target vllm\r"); // which of them is not for the program to choose
    expect(s, "vllm is several; name one: vllm-sm75, vllm-sm80, vllm-sm90, vllm-sm100");
    key(s, ESCAPE ":target all\r");
    expect(s, "all is several; name one: vllm-sm75");
    key(s, ESCAPE ":target 8.6\r");
    expect(s, "for vllm-sm80 in compressed-tensors: the first line");
    key(s, ":target sm1\t\r");
    expect(s, "for vllm-sm100 in");
    key(s, ":target a80\t\r");
    expect(s, "for vllm-sm80 in");
    key(s, ":target V100\r");
    expect(s, "V100");
    expect(s, "has compute capability 7.0");
    key(s, ESCAPE ":target none\r");
    expect(s, "the recipe is for no engine");
    key(s, ESCAPE);
    expect_gone_text(s, "vllm");
    quit(s);
}

// Looking at an engine changes nothing; Space does, says so, and takes it back.
static void the_engine_that_the_recipe_is_for_is_chosen(void **state) {
    (void)state;
    Screen *s = start_converting(36, 120, "FAKE_PACE=8");
    key(s, "j");
    expect(s, "▸ vLLM on A100");
    expect(s, "Enter writes it, though vllm-sm80 refuses it");
    assert_false(screen_has(s, "vllm-sm80 refuses group"));
    key(s, " ");
    expect(s, "the recipe is for vllm-sm80 now; Space again: for no engine");
    expect(s, "▸●vLLM on A100");
    expect(s, "vllm-sm80 refuses group");
    key(s, "j" RIGHT); // nor does another engine or format that is looked at
    expect(s, "◂ gguf ▸");
    expect(s, "vllm-sm80 refuses group");
    key(s, LEFT "j ");
    expect(s, "the recipe is for vllm-sm90 now, no more for vllm-sm80; Space again");
    key(s, " ");
    expect(s, "the recipe is for no engine now; Space again: for vllm-sm90");
    expect_gone_text(s, "●");
    key(s, " ");
    expect(s, "for vllm-sm90 now;");
    key(s, "f");
    expect(s, " for vllm-sm90 ·");
    key(s, "q:set granularity tensor\r"); // a turn that it does not take is told with it
    expect(s, "vllm-sm90 refuses group now; f on Convert (6) mends it");
    quit(s);
}

// What an engine does not take is written after a question, which names the way out.
static void what_is_refused_is_asked_about_before_it_is_written(void **state) {
    (void)state;
    Screen *s = start_converting(36, 120, "FAKE_PACE=8");
    char command[4300];
    snprintf(command, sizeof command, "\x15%s\r", path_in_folder("asked"));
    key(s, "\r");
    expect(s, "Refused by vllm");
    expect(s, "Loaded by transformers.");
    expect(s, "Write it all the same?  f fix the recipe  y write it  n leave");
    key(s, "n");
    expect_gone_text(s, "all the same");
    key(s, "j \r");
    expect(s, "vllm-sm80 refuses this: q, k, v or gate, up are one matrix there");
    key(s, "y");
    expect(s, "write the model to");
    key(s, command);
    expect(s, "no difference: /");
    expect(s, "vllm-sm80 refuses it: fused-bits   loaded by transformers");
    expect(s, "load it  from transformers import");
    assert_false(screen_has(s, "vllm serve"));
    key(s, "\r"); // it was accepted for this recipe
    expect(s, "writing ━");
    expect(s, "no difference: /");
    key(s, ":set alpha 0.4\rO");
    expect(s, "The folder holds something else.");
    key(s, "y");
    expect(s, "vllm-sm80 refuses this: "); // and not for another
    key(s, "f");
    expect(s, "for vllm-sm80: ");
    expect(s, "policy fptq → none");
    key(s, "Oy");
    expect(s, "vllm-sm80 loads it   also loaded by vllm-sm75, ");
    expect(s, "vllm serve /");
    quit(s);
}

// What is turned meanwhile is not in it, and that is said.
static void a_model_is_written_stopped_and_goes_on(void **state) {
    (void)state;
    Screen *s = start_converting(24, 80, "FAKE_PACE=4");
    char command[4300];
    snprintf(command, sizeof command, "\x15%s\r", path_in_folder("slow"));
    key(s, "jjjjjj\r");
    expect(s, "write the model to storyteller-compressed-tensors");
    key(s, command);
    expect(s, "the recipe as it is now, 4.31 bits/weight, to /");
    expect(s, "   120 MB/s   1 s left");
    key(s, ":set weight-bits 8\r");
    expect(s, "the recipe of 1 change ago, 4.31 bits/weight, without later ones");
    key(s, "\r");
    expect(s, "a model is being written; x stops it");
    key(s, "x");
    expect(s, "stopped; Enter goes on where it was");
    key(s, "\r");
    expect(s, "An earlier recipe began it.  g go on  y replace  o another  n leave");
    key(s, "g");
    expect(s, "348 kB written, read back and compared, no difference: /");
    expect(s, "transformers loads it");
    expect(s, "load it  from transformers import");
    expect(s, "/slow");
    expect(s, "all of it is there");
    quit(s);
}

// A result does not go with the format that is looked at.
static void what_was_written_stays_in_sight(void **state) {
    (void)state;
    static const int sizes[][2] = {{24, 80}, {36, 120}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        Screen *s = start_converting(sizes[i][0], sizes[i][1], "FAKE_PACE=8");
        key(s, ":set policy none\r:set granularity group\r:set group-size 32\r");
        key(s, "\r\x15/one\r"); // the folder is only a name here
        expect(s, "no difference: /one");
        assert_false(screen_has(s, "✓ compressed-tensors"));
        key(s, RIGHT);
        expect(s, "◂ gguf ▸");
        expect(s, "Enter writes it, reads it back");
        expect(s, "✓ compressed-tensors 196 kB read back, loaded by vllm, vllm-cpu, ");
        key(s, "q6"); // nor with the screen
        expect(s, "✓ compressed-tensors 196 kB read back, loaded by vllm, vllm-cpu, ");
        key(s, "o\x15/two\r\r");
        expect(s, "no difference: /two");
        expect(s, "✓ compressed-tensors 196 kB");
        key(s, RIGHT);
        expect(s, "✓ gguf 196 kB read back, loaded by llama.cpp: /two");
        if (sizes[i][0] > 24) expect(s, "✓ compressed-tensors 196 kB");
        key(s, LEFT);
        expect(s, "no difference: /two");
        key(s, LEFT);
        expect(s, "✓ compressed-tensors 196 kB"); // that of the format is the first
        quit(s);
    }
}

static void what_cannot_be_written_says_what_to_do(void **state) {
    (void)state;
    Screen *s = start_converting(36, 120, NULL);
    char command[4300];
    snprintf(command, sizeof command, ":folder %s\r", path_in_folder("full"));
    key(s, command);
    key(s, "jjjjjj\r"); // which transformers loads
    expect(s, "No space left on device");
    expect(s, "press Enter, it goes on where it was");
    key(s, "\r");
    expect(s, "no difference: /");
    snprintf(command, sizeof command, "o\x15%s\r", path_in_folder("taken"));
    key(s, command);
    expect(s, "is not empty; name");
    expect(s, "holds with O");
    expect(s, "Enter asks before it replaces what the folder holds");
    assert_false(screen_has(s, "Enter writes it"));
    key(s, "\r");
    expect(s, "The folder holds something else.  y replace  o another  n leave");
    key(s, "n");
    expect_gone_text(s, "something else");
    key(s, "O");
    expect(s, "something else");
    key(s, "y");
    expect(s, "writing ━");
    quit(s);
}

// Of another folder, format or recipe an old error says nothing.
static void an_error_stays_with_what_it_is_of(void **state) {
    (void)state;
    Screen *s = start_converting(36, 120, NULL);
    char command[4300];
    snprintf(command, sizeof command, ":folder %s\r", path_in_folder("full"));
    key(s, command);
    key(s, "jjjjjj\r"); // which transformers loads
    expect(s, "No space left on device");
    key(s, RIGHT);
    expect_gone_text(s, "No space left on device");
    expect(s, "Enter writes it");
    key(s, LEFT);
    expect(s, "No space left on device");
    key(s, "o" PASTE "/elsewhere" PASTE_END); // a path in place of that which was there
    expect(s, "write the model to /elsewhere ");
    key(s, "\r");
    expect_gone_text(s, "No space left on device");
    expect(s, "folder   /elsewhere");
    quit(s);
}

static void quitting_asks_while_a_model_is_written(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, NULL);
    char command[4300];
    expect(s, "not calibrated");
    snprintf(command, sizeof command, ":folder %s\r", path_in_folder("out"));
    key(s, command);
    key(s, "\r");
    expect(s, "waits until inputs and weights are measured");
    expect(s, "calibrating ━");
    key(s, "q");
    expect(s, "Dials");
    key(s, "q");
    expect(s, "A model is being written; it goes on the next time.");
    key(s, "y\r");
    expect(s, "A model is being written; it goes on the next time.");
    key(s, ESCAPE);
    expect_gone_text(s, "A model is being written");
    expect(s, "converting");
    key(s, "qq");
    assert_true(screen_wait_gone(s));
    assert_true(WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0);
    expect(s, "/out is not finished: the same recipe");
    screen_free(s);
}

// A name that was only offered is that of the format.
static void an_offered_folder_follows_the_format(void **state) {
    (void)state;
    Screen *s = start_converting(36, 120, NULL);
    key(s, "o");
    expect(s, "write the model to storyteller-compressed-tensors");
    key(s, "\r");
    expect_gone_text(s, "offered; o names another");
    expect(s, "folder   storyteller-compressed-tensors");
    key(s, RIGHT);
    expect(s, "folder   storyteller-gguf   offered; o names another");
    key(s, ":folder /mine\r" RIGHT);
    expect(s, "folder   /mine");
    expect(s, "◂ mlx ▸");
    quit(s);
}

static void what_no_folder_changes_is_said_at_once(void **state) {
    (void)state;
    Screen *s = start_converting(36, 120, "FAKE_PAIR=1");
    expect(s, "refused encoder-decoder");
    key(s, RIGHT);
    expect(s, "files    GGUF is not written for models of type t5");
    expect(s, "▸ llama.cpp                         no");
    expect(s, "refused gguf-model");
    key(s, "\r");
    expect_gone_text(s, "write the model to");
    quit(s);
}

static void one_table_has_all_engines_and_formats(void **state) {
    (void)state;
    Screen *s = start_converting(24, 80, NULL);
    key(s, "v");
    expect(s, "compressed-tensors  gguf        mlx         gptq        dense");
    expect(s, "▸vllm-sm75     f mends it");
    expect(s, " transformers  ✓ loads             ·           ·           f mends it");
    click_on(s, "? misreads"); // the legend
    for (int i = 0; i < 7; i++) key(s, DOWN);
    expect(s, "▸llama.cpp     ·                   ✓ loads ");
    key(s, DOWN);
    expect(s, "▸mlx ");
    key(s, "vv" UP);
    expect(s, "▸llama.cpp ");
    key(s, RIGHT RIGHT);
    expect(s, "▸vllm-sm75 ");
    key(s, "v");
    expect(s, "◂ gptq ▸");
    quit(s);
}

static void one_table_of_a_pair_has_nobody(void **state) {
    (void)state;
    Screen *s = start_converting(24, 80, "FAKE_PAIR=1");
    key(s, "v");
    expect(s, "▸vllm-sm75     ✗ refuses           ·           ·           ✗ refuses");
    expect(s, " llama.cpp     ·                   ✗ refuses");
    quit(s);
}

static void the_convert_screen_takes_the_mouse_and_completes(void **state) {
    (void)state;
    Screen *s = start_converting(36, 120, "FAKE_PACE=8");
    click_on(s, "vLLM on H100, H200");
    expect(s, "▸ vLLM on H100, H200");
    expect(s, "vLLM on H100, H200 (SM90): finding");
    int row, col;
    assert_true(screen_find(s, "vLLM on H100, H200 (SM90)  ", &row, &col));
    screen_wheel(s, row, col, true);
    expect(s, "▸ vLLM on B200, RTX 50");
    screen_wheel(s, 24, 20, true);
    expect(s, "finding 2 of 2");
    assert_true(screen_find(s, "tensors ▸", &row, &col));
    screen_click(s, row, col + 8);
    expect(s, "◂ gguf ▸");
    screen_click(s, row, 10);
    assert_true(screen_find(s, "◂ gguf", &row, &col));
    screen_click(s, row, col);
    expect(s, "◂ compressed-tensors ▸");
    click_on(s, "offered; o names");
    expect(s, "write the model to");
    char command[4300];
    folder_put_text(folder, "apart.txt", "");
    snprintf(command, sizeof command, "\x15%s/apa\t", folder);
    key(s, command);
    expect(s, "apart.txt");
    key(s, ESCAPE);
    expect(s, "Enter write it");
    click_on(s, "floats");
    click_on(s, "Enter write it");
    expect(s, "write the model to");
    key(s, ESCAPE);
    quit(s);
}

// ---- pasting ------------------------------------------------------------------------------------------------------

static void what_is_pasted_is_text_and_no_keys(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    assert_true(s->pastes);
    key(s, PASTE "ii:set alpha 0.9\rq\033[Cl" PASTE_END "j"); // elsewhere than in a prompt
    expect_gone_text(s, "▸5.down_proj");                      // the key behind it counts
    key(s, PASTE "i" PASTE_END);
    expect(s, "pasting works only in prompts");
    expect_dial(s, DIAL_ALPHA, "0.3");
    assert_false(screen_has(s, "recipe not saved"));
    key(s, ":prompt " PASTE "Zwei\tWörter\r\nund\x01\x1b\x7f\xC2\x9b\xff mehr\n" PASTE_END LEFT LEFT "x");
    expect(s, ":prompt Zwei Wörter und mexhr ");
    key(s, ESCAPE "i");
    expect(s, "recipe not saved");
    key(s, "q" PASTE "q" PASTE_END); // a question wants a key
    expect(s, "pasting works only in prompts");
    expect(s, "The recipe is not saved.");
    key(s, ESCAPE "?" PASTE "q" PASTE_END);
    expect(s, " Help ");
    key(s, "q");
    expect_gone_text(s, " Help ");
    quit(s);
}

// Both borders of every row between the first and the last stand where they belong.
static bool framed(Screen *s, const void *unused) {
    (void)unused;
    for (int row = 2; row < s->rows - 1; row++) {
        for (int side = 0; side < 2; side++) {
            VTermScreenCell cell = {0};
            vterm_screen_get_cell(s->screen, (VTermPos){.row = row, .col = side ? s->cols - 1 : 0}, &cell);
            const uint32_t c = cell.chars[0];
            if (c != 0x2502 && c != (side ? 0x2524 : 0x251C)) return false; // │ ┤ ├
        }
    }
    return true;
}

static void no_text_breaks_the_frame(void **state) {
    (void)state;
    static const char *const texts[] = {
        "a\u200Db\u200Cc\u200Bd\u2060e",
        "\u202Eright to left\u202C \u2067isolated\u2069 \u200F",
        ("\U0001F468\u200D\U0001F469\u200D\U0001F467 \U0001F1E9\U0001F1EA \U0001F44D\U0001F3FD \u2764\uFE0F "
         "1\uFE0F\u20E3"),
        "Z\u0351\u036B\u0343\u036A\u0302\u036B\u033D\u034F\u0334\u0319\u0324\u031E\u0349\u035A\u032F",
        "\u1100\u1161\u11A8\u1112\u1161\u11AB \u3164\u115F\u1160",
        "\u00AD\uFEFF\uFFF9\uFFFC\u2028\uE000\U000F0000\u0378\U000E0041",
        "\u0928\u092E\u0938\u094D\u0924\u0947 \u0E17\u0E35\u0E48 日本語 \u05E9\u05DC\u05D5\u05DD",
    };
    Screen *s = start(36, 120);
    char command[1024];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(command, sizeof command, ":prompt " PASTE "%s %s %s %s" PASTE_END "\r", texts[i], texts[i], texts[i],
                 texts[i]);
        key(s, command);
        settle(s);
        if (!screen_wait(s, framed, NULL)) fail_with_screen(s, texts[i]);
        snprintf(command, sizeof command, ":find " PASTE "%s" PASTE_END "\r", texts[i]); // in a message
        key(s, command);
        expect(s, "no linear with");
        if (!screen_wait(s, framed, NULL)) fail_with_screen(s, texts[i]);
        snprintf(command, sizeof command, "&" PASTE "%s" PASTE_END "\r", texts[i]); // in a title
        key(s, command);
        expect(s, "0 of 43");
        if (!screen_wait(s, framed, NULL)) fail_with_screen(s, texts[i]);
        key(s, ":filter\r");
        expect(s, "▸5.down_proj");
    }
    quit(s);
}

static void a_paste_without_end_or_bounds_does_no_harm(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, ":prompt " PASTE "endless\033[20"); // and then nothing: it ends by itself
    expect(s, ":prompt endless");
    key(s, "!" ESCAPE PASTE_END "j"); // an end without a beginning is nothing
    expect_gone_text(s, "▸5.down_proj");
    key(s, "k:prompt " PASTE);
    char lines[4097];
    memset(lines, 'y', sizeof lines - 1);
    lines[sizeof lines - 1] = '\0';
    for (int i = 0; i < 500; i++) { // two megabytes
        key(s, lines);
        screen_settle(s, 0);
    }
    key(s, PASTE_END);
    expect(s, "the pasted text was cut");
    key(s, ESCAPE ":set alpha 0.4\r");
    expect_dial(s, DIAL_ALPHA, "0.4");
    key(s, ":" PASTE "x"); // told to end in the middle of one
    kill(s->pid, SIGTERM);
    assert_true(screen_wait_gone(s));
    assert_false(s->pastes);
    screen_free(s);
    s = start_with(24, 80, NULL, NULL);
    expect(s, "were not saved.");
    key(s, "n");
    expect_gone_text(s, "were not saved.");
    kill(s->pid, SIGSEGV);
    assert_true(screen_wait_gone(s));
    assert_false(s->pastes);
    screen_free(s);
}

// ---- the colour of the background -----------------------------------------------------------------------------------

typedef struct Look {
    const char *text;
    int color; // of the 256; −1: the terminal's own
    bool reverse;
} Look;

static bool has_look(Screen *s, const void *context) {
    const Look *look = context;
    int row, col;
    VTermScreenCell cell = {0};
    if (!screen_find(s, look->text, &row, &col)) return false;
    vterm_screen_get_cell(s->screen, (VTermPos){.row = row, .col = col}, &cell);
    const int color = VTERM_COLOR_IS_DEFAULT_FG(&cell.fg) ? -1
                      : VTERM_COLOR_IS_INDEXED(&cell.fg)  ? cell.fg.indexed.idx
                                                          : -2;
    return color == look->color && cell.attrs.reverse == look->reverse;
}

static void expect_look(Screen *s, const char *text, int color, bool reverse) {
    if (!screen_wait(s, has_look, &(Look){text, color, reverse})) fail_with_screen(s, text);
}

static Screen *start_unknown(const char *term) {
    const char *const options[] = {NULL};
    const char *const environment[] = {term, "COLORFGBG=", "FAKE_PACE=8", NULL};
    Screen *s = start_as(36, 120, options, environment);
    expect(s, "p99.9");
    return s;
}

static void the_terminal_is_asked_for_its_background(void **state) {
    (void)state;
    static const struct {
        const char *answer;
        int accent;
        bool known;
    } answers[] = {
        {"\033]11;rgb:ffff/ffff/dddd\033\\", 25, true},
        {"\033]11;rgb:fe/fe/fe\a", 25, true},
        {"\033]11;rgb:1515/1919/1f1f\a", 81, true},
        {"\033]11;rgba:0000/0000/0000/ffff\033\\", 81, true},
        {"\033]11;purple\a", 25, false},
        {"\033]11;rgb:\a", 25, false},
        {"\033]11;rgb:ffff", 25, false}, // and nothing more
        {"", 25, false},
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        Screen *s = start_unknown("TERM=xterm-256color");
        assert_true(screen_sent(s, "\033]11;?"));
        expect_look(s, "▸5.down_proj", 25, true); // readable whatever it is
        expect_look(s, "2.412", -1, false);
        key(s, answers[i].answer);
        expect_look(s, "▸5.down_proj", answers[i].accent, !answers[i].known);
        expect_look(s, "2.412", -1, false);
        settle(s);
        if (!answers[i].known) usleep(1200000); // one without an end takes what comes within a second
        key(s, "j");                            // and nothing of it was taken for a key
        expect_look(s, "▸4.down_proj", answers[i].accent, !answers[i].known);
        assert_false(screen_has(s, "recipe not saved"));
        key(s, ":theme dark\r");
        expect_look(s, "▸4.down_proj", 81, false);
        key(s, ":theme auto\r");
        expect_look(s, "▸4.down_proj", answers[i].accent, !answers[i].known);
        quit(s);
    }
}

static void an_answer_in_pieces_is_no_keys(void **state) {
    (void)state;
    Screen *s = start_unknown("TERM=xterm-256color");
    static const char *const pieces[] = {"\033", "]1", "1;rgb:0000/00", "00/0000\033", "\\"};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        key(s, pieces[i]);
        usleep(60000);
    }
    expect_look(s, "▸5.down_proj", 81, false);
    settle(s);
    assert_false(screen_has(s, "recipe not saved"));
    quit(s);
}

static void terminals_of_old_and_those_that_said_it_are_not_asked(void **state) {
    (void)state;
    Screen *s = start_unknown("TERM=vt100");
    assert_false(screen_sent(s, "\033]11"));
    quit(s);
    s = start(36, 120); // COLORFGBG
    assert_false(screen_sent(s, "\033]11"));
    expect_look(s, "▸5.down_proj", 81, false);
    quit(s);
}

// ---- the terminal -------------------------------------------------------------------------------------------------

static bool bottom_right_corner(Screen *s, const void *unused) {
    (void)unused;
    VTermScreenCell cell = {0};
    vterm_screen_get_cell(s->screen, (VTermPos){.row = s->rows - 1, .col = s->cols - 1}, &cell);
    return cell.chars[0] == 0x256F;
}

static void sizes_come_and_go(void **state) {
    (void)state;
    static const int sizes[][2] = {{24, 80}, {60, 200}, {36, 120}, {24, 80}};
    Screen *s = start(36, 120);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        screen_resize(s, sizes[i][0], sizes[i][1]);
        if (!screen_wait(s, bottom_right_corner, NULL)) fail_with_screen(s, "the corner");
        expect(s, "▸5.down_proj");
        screen_resize(s, 12, 50);
        expect(s, "quantdial needs 80 × 24");
        expect(s, "this terminal has 50 × 12");
    }
    screen_resize(s, 2, 9);
    expect_gone_text(s, "Layers");
    screen_resize(s, 24, 80);
    expect(s, "▸5.down_proj");
    quit(s);
}

// What was written for the old size may come when the terminal has the new one.
static void a_region_of_the_old_size_is_forgotten(void **state) {
    (void)state;
    const char late[] = "\033[1;20r";
    Screen *s = start_with(24, 80, NULL, "TERM=screen");
    expect(s, "▸5.down_proj");
    vterm_input_write(s->vterm, late, sizeof late - 1);
    screen_resize(s, 40, 100);
    if (!screen_wait(s, bottom_right_corner, NULL)) fail_with_screen(s, "the corner");
    quit(s);
}

static void check_quits_on(int number) {
    Screen *s = start(24, 80);
    kill(s->pid, number);
    assert_true(screen_wait_gone(s));
    assert_true(WIFEXITED(s->status));
    assert_true(screen_modes_restored(s));
    assert_false(s->alternate);
    assert_true(s->cursor);
    screen_free(s);
}

static void signals_end_it_in_order(void **state) {
    (void)state;
    check_quits_on(SIGTERM);
    check_quits_on(SIGHUP);
    check_quits_on(SIGINT);
}

static bool on_alternate(Screen *s, const void *unused) {
    (void)unused;
    return s->alternate;
}

static void it_stops_and_goes_on(void **state) {
    (void)state;
    Screen *s = start(24, 80);
    kill(s->pid, SIGTSTP);
    // It leads a session, so its process group is orphaned, and the terminal's signals do not stop it (POSIX, 11.1.4):
    // it must simply go on.
    expect(s, "▸5.down_proj");
    key(s, "j");
    expect_gone_text(s, "▸5.down_proj");
    assert_true(screen_wait(s, on_alternate, NULL));
    quit(s);
}

static void it_survives_being_stopped_without_notice(void **state) {
    (void)state;
    Screen *s = start(24, 80);
    kill(s->pid, SIGSTOP);
    assert_true(screen_wait_stopped(s));
    screen_resize(s, 36, 120);
    kill(s->pid, SIGCONT);
    if (!screen_wait(s, bottom_right_corner, NULL)) fail_with_screen(s, "the corner");
    quit(s);
}

static void a_crash_gives_the_terminal_back(void **state) {
    (void)state;
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) {
        Screen *s = start(24, 80);
        kill(s->pid, crashes[i]);
        assert_true(screen_wait_gone(s));
        // Sanitizers report a crash and exit; otherwise the signal ends the program.
        assert_true(WIFSIGNALED(s->status) ? WTERMSIG(s->status) == crashes[i] : WEXITSTATUS(s->status) != 0);
        assert_true(screen_modes_restored(s));
        assert_false(s->alternate);
        assert_true(s->cursor);
        assert_int_equal(s->mouse, 0);
        screen_free(s);
    }
}

// ---- unsaved changes ----------------------------------------------------------------------------------------------

static char *kept_folder(void) { return path_in_folder(".local/state/quantdial/unsaved"); }

// Not one that is being written beside it.
static bool ends_with_json(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && strcmp(dot, ".json") == 0;
}

static int kept_count(void) {
    int count = 0;
    DIR *stream = opendir(kept_folder());
    for (const struct dirent *entry; stream && (entry = readdir(stream));) count += ends_with_json(entry->d_name);
    if (stream) closedir(stream);
    return count;
}

static bool kept_are(Screen *s, const void *count) {
    (void)s;
    return kept_count() == *(const int *)count;
}

static void expect_kept(Screen *s, int count) {
    if (!screen_wait(s, kept_are, &count)) fail_msg("%d files of unsaved changes, not %d", kept_count(), count);
}

static Screen *start_anew(void) {
    Screen *s = start_with(24, 80, NULL, "FAKE_PACE=8");
    expect(s, "down_proj");
    return s;
}

static void end_by(Screen *s, int number) {
    if (number)
        kill(s->pid, number);
    else { // the terminal goes
        close(s->slave);
        close(s->master);
        s->slave = open("/dev/null", O_RDWR);
        s->master = dup(s->slave);
        waitpid(s->pid, &s->status, 0);
        s->gone = true;
    }
    assert_true(screen_wait_gone(s));
    screen_free(s);
}

static void unsaved_changes_outlive_whatever_ends_it(void **state) {
    (void)state;
    static const int ends[] = {SIGTERM, SIGHUP, SIGINT, 0, SIGSEGV, SIGKILL};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        Screen *s = start_anew();
        key(s, ":set alpha 0.45\r");
        expect_dial(s, DIAL_ALPHA, "0.45");
        if (ends[i] == SIGSEGV || ends[i] == SIGKILL) expect_kept(s, 1); // nothing can be written then
        end_by(s, ends[i]);
        assert_int_equal(kept_count(), 1);
        s = start_anew();
        expect(s, "were not saved.");
        expect_dial(s, DIAL_ALPHA, "0.3");
        key(s, "qjl\t\r"); // no answers
        expect(s, "were not saved.");
        key(s, "y");
        expect_dial(s, DIAL_ALPHA, "0.45");
        expect(s, "unsaved changes are restored");
        key(s, "u");
        expect_dial(s, DIAL_ALPHA, "0.3");
        expect_kept(s, 0); // back where it was: nothing is unsaved
        key(s, "\x12");    // Ctrl-R
        expect_kept(s, 1);
        quit(s); // without saving, said the user
        assert_int_equal(kept_count(), 0);
    }
}

static void unsaved_changes_are_forgotten_when_decided_about(void **state) {
    (void)state;
    Screen *s = start_anew();
    key(s, ":set alpha 0.45\r");
    expect_kept(s, 1);
    key(s, ":w! ~/kept.json\r"); // saved
    expect_kept(s, 0);
    key(s, ":set alpha 0.46\r");
    expect_kept(s, 1);
    end_by(s, SIGTERM);
    s = start_anew();
    expect(s, "were not saved.");
    end_by(s, SIGTERM); // before an answer: it is asked again
    s = start_anew();
    expect(s, "were not saved.");
    key(s, "n");
    expect_gone_text(s, "were not saved.");
    assert_int_equal(kept_count(), 0);
    quit(s);
    s = start_anew();
    assert_false(screen_has(s, "were not saved."));
    quit(s);
}

// Two programs with the same model, and an offer that is put off: nobody's changes are lost or taken for another's.
static void unsaved_changes_of_several_programs_stay_apart(void **state) {
    (void)state;
    Screen *first = start_anew();
    key(first, ":set alpha 0.41\r");
    expect_kept(first, 1);
    Screen *second = start_anew();
    assert_false(screen_has(second, "were not saved.")); // the first one still has them
    key(second, ":set alpha 0.42\r");
    expect_kept(second, 2);
    end_by(first, SIGTERM);
    quit(second);
    assert_int_equal(kept_count(), 1);
    second = start_anew();
    expect(second, "were not saved.");
    key(second, ESCAPE); // later
    expect_gone_text(second, "were not saved.");
    key(second, ":set alpha 0.43\r");
    expect_kept(second, 2);
    quit(second);
    second = start_anew();
    expect(second, "were not saved.");
    key(second, "y");
    expect_dial(second, DIAL_ALPHA, "0.41");
    quit(second);
    assert_int_equal(kept_count(), 0);
}

static void unsaved_changes_that_cannot_be_kept_or_read_are_told(void **state) {
    (void)state;
    Screen *s = start_anew();
    key(s, ":set alpha 0.45\r");
    expect_kept(s, 1);
    end_by(s, SIGTERM);
    DIR *stream = opendir(kept_folder());
    char name[512] = "";
    for (const struct dirent *entry; (entry = readdir(stream));) {
        if (ends_with_json(entry->d_name))
            snprintf(name, sizeof name, ".local/state/quantdial/unsaved/%s", entry->d_name);
    }
    closedir(stream);
    folder_put_text(folder, name, "{");
    s = start_with(24, 200, NULL, "FAKE_PACE=8");
    expect(s, "unsaved changes cannot be read: ");
    key(s, ":set alpha 0.45\r");
    expect_kept(s, 2); // the one that cannot be read stays
    quit(s);
    unlink(path_in_folder(name));
    s = start_with(24, 200, NULL, "HOME=");
    expect(s, "down_proj");
    key(s, ":set alpha 0.45\r");
    expect(s, "unsaved changes are not kept: ");
    quit(s);
}

static void a_lost_terminal_ends_it(void **state) {
    (void)state;
    Screen *s = start(24, 80);
    const pid_t pid = s->pid;
    s->gone = true; // nobody kills it
    screen_free(s);
    int status = 0;
    for (int i = 0; i < 600 && waitpid(pid, &status, WNOHANG) != pid; i++) usleep(100000);
    assert_true(WIFEXITED(status) || WIFSIGNALED(status));
}

static void ascii_mono_and_light_work(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, "--ascii", NULL);
    expect(s, "calibrated 16.4k tokens");
    expect(s, "+-0.0");
    expect(s, ">looked");
    assert_true(all_ascii(s));
    key(s, "?");
    expect(s, " Help ");
    assert_true(all_ascii(s));
    key(s, "qx");
    expect(s, "by the recipe as it is");
    assert_true(all_ascii(s));
    key(s, "q");
    quit(s);

    s = start_with(36, 120, "--mono", NULL);
    expect(s, "╌ v1 150 ━"); // the zones differ in more than colour
    key(s, "x");
    expect(s, "by the recipe as it is");
    for (int row = 0; row < 36; row++) {
        for (int col = 0; col < 120; col++) {
            VTermScreenCell cell;
            vterm_screen_get_cell(s->screen, (VTermPos){.row = row, .col = col}, &cell);
            assert_true(VTERM_COLOR_IS_DEFAULT_FG(&cell.fg) && VTERM_COLOR_IS_DEFAULT_BG(&cell.bg));
        }
    }
    quit(s);

    s = start_with(24, 80, "--light", "LC_ALL=C"); // not UTF-8: ASCII on its own
    expect(s, "v1 150");
    assert_true(all_ascii(s));
    quit(s);
}

static void a_terminal_that_cannot_is_refused(void **state) {
    (void)state;
    static const char *const refused[][2] = {{"TERM=dumb", "cannot place the cursor"},
                                             {"TERM=", "TERM does not name"},
                                             {"TERM=unknown", "TERM does not name"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        Screen *s = start_with(24, 80, NULL, refused[i][0]);
        assert_true(screen_wait_gone(s));
        assert_true(WIFEXITED(s->status) && WEXITSTATUS(s->status) != 0);
        assert_true(screen_has(s, refused[i][1]));
        assert_true(screen_modes_restored(s));
        assert_false(s->alternate);
        screen_free(s);
    }
}

static void a_terminal_nobody_described_is_taken_for_an_xterm(void **state) {
    (void)state;
    Screen *s = start_with(24, 80, NULL, "TERM=no-such-terminal");
    expect(s, "v1 150");
    assert_true(s->alternate);
    quit(s);
}

// ---- ---------------------------------------------------------------------------------------------------------------

int main(int argc, char **argv) {
    int status;
    if (session_is_screen(argc, argv, &status)) return status;
    const struct CMUnitTest tests[] = {
        IN_HOME(the_first_screen_shows_the_model),
        IN_HOME(jobs_are_seen_while_they_run),
        IN_HOME(provisional_ranges_are_marked),
        IN_HOME(it_is_said_what_the_first_text_waits_for),
        IN_HOME(a_failed_job_is_told),
        IN_HOME(a_full_disk_is_told_once),
        IN_HOME(a_chat_model_is_asked),
        IN_HOME(a_source_has_a_target),
        IN_HOME(every_dial_turns_and_the_plan_follows),
        IN_HOME(dials_scroll_where_the_room_is_small),
        IN_HOME(an_old_figure_is_never_shown_as_new),
        IN_HOME(digits_go_to_screens_from_a_dial_too),
        IN_HOME(values_are_typed_and_refused),
        IN_HOME(one_linear_gets_values_of_its_own),
        IN_HOME(a_dial_says_what_it_does_or_why_not),
        IN_HOME(a_linear_is_left_alone),
        IN_HOME(only_the_pane_of_the_dials_turns_them),
        IN_HOME(what_the_plan_does_is_said_at_every_size),
        IN_HOME(a_partial_score_of_the_base_is_marked),
        IN_HOME(long_texts_are_read_to_their_end),
        IN_HOME(the_ladder_shows_what_decided),
        IN_HOME(changes_since_the_pin_have_signs),
        IN_HOME(speeds_of_a_busy_machine_are_not_judged),
        IN_HOME(a_speed_that_was_uneven_is_marked),
        IN_HOME(small_changes_are_told_by_positions),
        IN_HOME(it_is_said_why_a_linear_hurts),
        IN_HOME(linears_are_found_filtered_and_sorted),
        IN_HOME(the_selection_moves),
        IN_HOME(commands_complete_and_are_remembered),
        IN_HOME(recipes_are_written_and_loaded),
        IN_HOME(the_key_of_an_answer_ends_there),
        IN_HOME(another_file_is_overwritten_only_when_told),
        IN_HOME(quitting_asks_when_the_recipe_is_not_saved),
        IN_HOME(quitting_names_the_file_that_would_be_written_over),
        IN_HOME(help_lists_keys_and_commands),
        IN_HOME(the_mouse_chooses_turns_and_drags),
        IN_HOME(the_convert_screen_says_what_engines_do),
        IN_HOME(until_sizes_are_known_nothing_is_promised),
        IN_HOME(the_engine_that_the_recipe_is_for_is_chosen),
        IN_HOME(what_is_refused_is_asked_about_before_it_is_written),
        IN_HOME(a_remedy_is_one_turn),
        IN_HOME(a_remedy_asks_before_it_takes_an_override_back),
        IN_HOME(a_model_is_written_stopped_and_goes_on),
        IN_HOME(what_was_written_stays_in_sight),
        IN_HOME(what_cannot_be_written_says_what_to_do),
        IN_HOME(quitting_asks_while_a_model_is_written),
        IN_HOME(an_offered_folder_follows_the_format),
        IN_HOME(what_no_folder_changes_is_said_at_once),
        IN_HOME(one_table_has_all_engines_and_formats),
        IN_HOME(one_table_of_a_pair_has_nobody),
        IN_HOME(the_convert_screen_takes_the_mouse_and_completes),
        IN_HOME(an_error_stays_with_what_it_is_of),
        IN_HOME(what_an_engine_takes_is_said_while_dials_are_turned),
        IN_HOME(what_is_pasted_is_text_and_no_keys),
        IN_HOME(no_text_breaks_the_frame),
        IN_HOME(a_paste_without_end_or_bounds_does_no_harm),
        IN_HOME(the_terminal_is_asked_for_its_background),
        IN_HOME(an_answer_in_pieces_is_no_keys),
        IN_HOME(terminals_of_old_and_those_that_said_it_are_not_asked),
        IN_HOME(sizes_come_and_go),
        IN_HOME(a_region_of_the_old_size_is_forgotten),
        IN_HOME(signals_end_it_in_order),
        IN_HOME(it_stops_and_goes_on),
        IN_HOME(it_survives_being_stopped_without_notice),
        IN_HOME(a_crash_gives_the_terminal_back),
        IN_HOME(a_lost_terminal_ends_it),
        IN_HOME(unsaved_changes_outlive_whatever_ends_it),
        IN_HOME(unsaved_changes_are_forgotten_when_decided_about),
        IN_HOME(unsaved_changes_of_several_programs_stay_apart),
        IN_HOME(unsaved_changes_that_cannot_be_kept_or_read_are_told),
        IN_HOME(ascii_mono_and_light_work),
        IN_HOME(a_terminal_that_cannot_is_refused),
        IN_HOME(a_terminal_nobody_described_is_taken_for_an_xterm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
