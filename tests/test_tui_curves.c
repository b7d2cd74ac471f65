// The Sweep and the Sensitivity screen, with the invented workbench; and plots by themselves.
#include <math.h>
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
#include "tui/plot.h"

// ---- sensitivity --------------------------------------------------------------------------------------------------

static Screen *on_sensitivity(int rows, int cols) {
    Screen *s = start(rows, cols);
    key(s, "5");
    expect(s, "all 42 are measured");
    return s;
}

static void costs_are_estimated_and_then_measured(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, "FAKE_HALF=1");
    expect(s, "p99.9");
    key(s, "5");
    expect(s, "21 of 42 measured");
    expect(s, "the others estimated on 128 tokens");
    expect(s, "░░");
    expect(s, "██");
    key(s, "x");
    expect(s, "stopped, x goes on: ");
    key(s, "x");
    expect(s, "all 42 are measured");
    expect_gone_text(s, "░░");
    expect(s, "the sum of all alone");
    expect(s, "▸ 5.down_proj"); // it costs most
    expect(s, "5.down_proj  a step more: ~−");
    key(s, "s");
    expect(s, "▸ 0.q_proj");
    key(s, "s");
    expect(s, "▸ 5.down_proj");
    key(s, DOWN DOWN);
    expect(s, "▸ 3.down_proj");
    key(s, ESCAPE);
    expect(s, "1 Layers");
    expect(s, "Dials");
    quit(s);
}

// Before linears are estimated the order is that of their noise, and Enter says so first.
static void guesses_are_said_to_be_provisional(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, NULL);
    key(s, "5");
    expect(s, "provisional: KL alone is a guess");
    expect(s, "~ its share by noise");
    key(s, ":budget 4\r");
    expect(s, "KL – (now ");
    expect(s, "estimates ");
    assert_false(screen_has(s, "about ~"));
    key(s, "\r");
    expect(s, "only the noise is known, and it takes bits from ");
    key(s, ":budget 4.5\r\r");
    expect(s, "of 42 of 42 linears only the noise is known");
    expect(s, "Enter again takes it");
    assert_false(screen_has(s, "recipe not saved"));
    key(s, "\r");
    expect(s, "the chosen bits are in the recipe");
    quit(s);
    s = on_sensitivity(36, 120);
    assert_false(screen_has(s, "provisional"));
    quit(s);
}

// No more digits than are known, an order that does not pretend to be one, and nothing guessed above what was measured.
static void a_guess_does_not_look_like_a_figure(void **state) {
    (void)state;
    Screen *s = start_with(24, 80, NULL, "FAKE_KEPT=0");
    key(s, "5");
    expect(s, "order is a guess ▼");
    expect(s, "· guessed, not measured yet   KL alone");
    expect(s, "· ~0.001                   4  │");
    expect(s, "a step more: ~−0.0005 KL");
    expect(s, "  0.q_proj "); // whose noise is among the least, in a layer that all others follow
    assert_false(screen_has(s, "░"));
    quit(s);
    s = start_with(36, 120, NULL, "FAKE_KEPT=0.5");
    key(s, "5");
    expect(s, "guesses come last ▼");
    expect(s, "█ meas. · guess");
    expect(s, "2.up_proj "); // the last of those that are measured, above what is guessed to cost more
    expect(s, "·           ~0.0002  ");
    quit(s);
    s = start_with(36, 120, NULL, "FAKE_LONG=1");
    key(s, "5f");
    expect(s, "by KL alone ▼");
    expect(s, "░  0.0035   ±0.0004  "); // of estimates two digits
    expect(s, "~−0.0026 +36.9 kB");
    quit(s);
}

static void a_row_is_found_as_on_the_layers(void **state) {
    (void)state;
    Screen *s = on_sensitivity(36, 120);
    expect(s, "▸ 5.down_proj");
    key(s, "/[12] up");
    expect(s, "1/2");
    expect(s, "▸ 1.up_proj");
    key(s, "\rn");
    expect(s, "▸ 2.up_proj");
    expect(s, "2/2 with “[12] up”");
    key(s, "/nobody");
    expect(s, "no linear");
    key(s, ESCAPE);
    expect(s, "▸ 2.up_proj");
    key(s, "ffN"); // rows of layers have those of what was sought
    expect(s, "▸ layer 1");
    key(s, "1n");
    expect(s, "up_proj");
    quit(s);
}

static void a_budget_moves_the_bits_and_is_taken_as_one_step(void **state) {
    (void)state;
    Screen *s = on_sensitivity(36, 120);
    expect(s, "bits per weight at most");
    expect_gone_text(s, "4 → 8");
    expect(s, "all 42 linears have these bits already");
    for (int i = 0; i < 4; i++) key(s, SHIFT_RIGHT);
    expect(s, "4 → 8");
    expect(s, " up, 0 down, ");
    key(s, "=");
    expect(s, "bits per weight, or kl and a bound:");
    key(s, "\0251.5\r"); // Ctrl-U
    expect(s, "cannot be met: the least is 2.");
    key(s, "\r");
    expect(s, "this budget cannot be met");
    key(s, ":budget 5.5\r");
    expect(s, "◂ 5.50 ▸");
    key(s, ":budget some\r");
    expect(s, "a budget is bits per weight (4.25)");
    key(s, ESCAPE "=\025some\r");
    expect(s, "a budget is bits per weight (4.25)");
    key(s, "\0255.5\r"); // the line was kept
    expect(s, "◂ 5.50 ▸");
    key(s, "\r");
    expect(s, "the chosen bits are in the recipe");
    expect(s, "recipe not saved");
    expect_gone_text(s, "4 → 8");
    key(s, "\r");
    expect(s, "the recipe has these bits already");
    key(s, "u");
    expect_gone_text(s, "recipe not saved");
    key(s, "u");
    expect(s, "nothing to undo");
    key(s, ":budget kl 0.02\r");
    expect(s, "KL at most, all together");
    expect(s, "KL about");
    key(s, "\r");
    expect(s, "the chosen bits are in the recipe");
    key(s, ":budget kl 0.00000001\r");
    expect(s, "cannot be met: the least expected is");
    key(s, "b");
    expect(s, "◂ 5.50 ▸");
    quit(s);
}

static void a_budget_for_an_engine_is_taken_by_it(void **state) {
    (void)state;
    Screen *s = on_sensitivity(36, 120);
    key(s, ":set activations none\r:set granularity group\r:set group-size 32\r:target vllm-sm80\r");
    expect(s, "for vllm-sm80");
    key(s, ":budget 4.9\r");
    expect(s, "4 → 8");
    expect(s, "all 42 are measured");
    key(s, "\r");
    expect(s, "the chosen bits are in the recipe");
    expect(s, "for vllm-sm80"); // sets agree, though costs within them do not
    expect_gone_text(s, "vllm-sm80 refuses");
    key(s, ":set group-size 16\r:target sglang\r:budget 5.6\r");
    expect(s, "sglang refuses group");
    expect(s, "all 42 are measured");
    key(s, "\r");
    expect(s, "the remedies for sglang leave nothing quantized in compressed-tensors");
    expect(s, "(now 5.36)"); // and nothing was taken
    quit(s);
}

// Who is to blame for a least that is out of reach is named.
static void a_budget_out_of_reach_names_why(void **state) {
    (void)state;
    Screen *s = on_sensitivity(24, 80);
    key(s, ":set activations none\r:target vllm-sm80\r:budget 3.5\r");
    expect(s, "cannot be met: the least is 4.");
    expect(s, "vllm-sm80 takes no fewer than 4 bits");
    key(s, "\r");
    expect(s, "this budget cannot be met: vllm-sm80 takes no fewer than 4 bits");
    key(s, "1*role = q\ro:set weight-bits 8\r5");
    expect(s, "no fewer than 4 bits; 6 set by hand stay (K)");
    key(s, ":target none\r:budget 2\r");
    expect(s, "Enter     6 set by hand stay (K)");
    quit(s);
}

static void rows_are_marked_and_folded(void **state) {
    (void)state;
    Screen *s = on_sensitivity(36, 120);
    key(s, " ");
    expect(s, "+5.down_proj");
    expect(s, "▸ 4.down_proj");
    key(s, "f");
    expect(s, "down × 6");
    expect(s, "one row for each role");
    key(s, " ");
    expect(s, "+down × 6");
    key(s, "f");
    expect(s, "layer 5, 7 linears");
    key(s, "f");
    expect(s, "+3.down_proj");
    key(s, "k ");
    expect(s, "│  5.down_proj"); // in the list, where it is no longer marked
    quit(s);
}

static void tune_shows_its_best_and_enter_takes_it(void **state) {
    (void)state;
    Screen *s = on_sensitivity(36, 120);
    key(s, "T");
    expect(s, "tuned: KL 0.0103 at 5.10 bits per weight");
    expect(s, "tuned     5.10 bits per weight (now 4.31)   KL 0.0103");
    expect(s, "4 → 8");
    key(s, RIGHT);
    expect(s, "T shows it");
    key(s, LEFT "T");
    expect(s, "Enter takes it");
    key(s, "\r");
    expect(s, "what was tuned is in the recipe");
    expect(s, "T searches bits and groups within this budget");
    key(s, "u");
    expect_gone_text(s, "recipe not saved");
    key(s, "u");
    expect(s, "nothing to undo");
    quit(s);
}

// Where nothing better is found, the recipe stays.
static void a_search_may_find_nothing_better(void **state) {
    (void)state;
    static const char *const halves[] = {"FAKE_HALF=1", "FAKE_HALF=2"};
    for (int half = 0; half < 2; half++) {
        const char *const environment[] = {"TERM=xterm-256color", "FAKE_STAYS=1", halves[half], NULL};
        Screen *s = start_as(36, 120, (const char *const[]){NULL}, environment);
        expect(s, "p99.9");
        key(s, "5");
        expect(s, "within this budget, about 2:30");
        key(s, "T");
        if (half == 0) expect(s, "so far nothing is better than the recipe as it was");
        if (half == 0) key(s, "x");
        expect(s, half == 0 ? "nothing better found yet: KL 0.0105" : "nothing better found: KL 0.0105");
        key(s, "\r");
        expect(s, "the recipe stays as it is: the search found nothing better");
        expect(s, "T searches bits and groups within this budget");
        quit(s);
    }
}

// Chosen after the search, the engine is kept to all the same.
static void what_was_tuned_is_kept_to_the_engine_of_now(void **state) {
    (void)state;
    Screen *s = on_sensitivity(36, 120);
    key(s, "T");
    expect(s, "Enter takes it");
    key(s, ":target vllm-sm80\r\r"); // static inputs with 4 bits
    expect(s, "what was tuned is in the recipe, and for vllm-sm80 policy fptq → none");
    expect(s, " for vllm-sm80 ");
    quit(s);
}

// Whatever was changed after T was pressed is there when the result is taken, in one step.
static void what_was_changed_since_stays(void **state) {
    (void)state;
    Screen *s = on_sensitivity(36, 140);
    key(s, "T");
    expect(s, "Enter takes it");
    key(s, ":set activations none\r1*role = q\ro:set weight-bits 3\r5");
    expect(s, "measured before your last changes, which stay");
    key(s, "\r");
    expect(s, "what was tuned is in the recipe, with what was changed since: policy fptq → none, q_proj bits 4 → 3");
    key(s, "1O");
    expect(s, "q_proj");
    expect(s, "(tuned)");
    key(s, ESCAPE "u");
    expect(s, "undid: down_proj bits 4 → 8 (6 linears)");
    quit(s);
}

static void a_search_and_a_study_are_stopped(void **state) {
    (void)state;
    Screen *s = start_with(24, 80, NULL, "FAKE_HALF=1");
    expect(s, "p99.9");
    key(s, "5");
    expect(s, "of 42 measured");
    key(s, "x");
    expect(s, "stopped, x goes on: ");
    key(s, "x");
    expect(s, "all 42 are measured");
    key(s, "T");
    expect(s, "4.32 bits: 3 of 5, measuring linears; ");
    expect(s, "so far KL ");
    expect(s, "% below one scheme for all, at 4.30 bits");
    key(s, "x");
    expect(s, "cut short: KL 0.0103 at 5.10 bits");
    expect(s, "Enter takes it, x goes on");
    key(s, "x");
    expect(s, "tuned: KL 0.0103");
    key(s, "x");
    expect(s, "nothing is being measured");
    quit(s);
}

// x stays with the search, though the study goes on beside it.
static void a_search_that_is_stopped_early_goes_on(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, "FAKE_HALF=0.4");
    expect(s, "p99.9");
    key(s, "5");
    expect(s, "of 42 measured");
    key(s, "T");
    expect(s, "one scheme for all: KL");
    key(s, "x");
    expect(s, "tuning stopped; x goes on");
    expect(s, "stopped, x goes on: ");
    key(s, "\r");
    expect(s, "nothing was tuned; x goes on with it");
    key(s, "x");
    expect(s, "tuned: KL 0.0103");
    key(s, "\r");
    expect(s, "what was tuned is in the recipe");
    quit(s);
}

// While nothing is measured of a new recipe, all that is shown is shares of its KL.
static void figures_of_an_older_turn_are_shares_of_the_new(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, NULL);
    expect(s, "p99.9");
    key(s, "5");
    expect(s, "all 42 are measured");
    key(s, ":set activations none\r");
    expect(s, "the KL of this recipe is being measured");
    assert_false(screen_has(s, "about 0"));
    expect(s, "~ its share by the recipe before");
    expect(s, "~0.0");
    expect(s, "all 42 are measured");
    expect_gone_text(s, "~0.0");
    quit(s);
}

// What was set by hand is kept by a budget and by tune, which say so, until K takes it back.
static void what_was_set_by_hand_is_kept(void **state) {
    (void)state;
    Screen *s = on_sensitivity(36, 120);
    key(s, "1*role = q\ro:set weight-bits 8\r");
    expect(s, "6 of 43 linears changed by the last turn");
    key(s, "5s:budget 4\r");
    expect(s, "6 that overrides set by hand stay as they are; K takes these back");
    expect(s, "8 kept");
    expect(s, ", 6 of these set by hand");
    expect(s, "all 42 are measured");
    key(s, "\r");
    expect(s, "the chosen bits are in the recipe");
    expect(s, "8 kept");
    key(s, "1O");
    expect(s, "(tuned)");
    key(s, ESCAPE "5T");
    expect(s, "6 linears set by hand stay; K, and T anew, searches there, too");
    key(s, "K");
    expect(s, "6 linears set by hand may get other bits and groups");
    expect_gone_text(s, "8 kept");
    quit(s);
}

// Of what was set by hand, what the engine does not take is changed with the rest, and said.
static void what_is_kept_gives_way_to_an_engine(void **state) {
    (void)state;
    Screen *s = on_sensitivity(36, 140);
    key(s, ":set activations none\r:target vllm-sm80\r1*role = q\ro:set weight-bits 3\r");
    expect(s, "vllm-sm80 refuses bits");
    key(s, "5s:budget 4.9\r");
    expect(s, "6 that overrides set by hand stay as they are");
    expect(s, " as they are, not 6 that the engine refuses");
    expect(s, "all 42 are measured");
    key(s, "\r");
    expect(s, "6 set by hand changed, which vllm-sm80 does not take");
    expect_gone_text(s, "vllm-sm80 refuses");
    quit(s);
}

static void a_rule_without_effect_says_so(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "Oa*.q_proj weight-bits=8\ra* weight-bits=2\r");
    expect(s, "(overruled: no effect)");
    key(s, "d");
    expect_gone_text(s, "no effect");
    key(s, ESCAPE "u");
    quit(s);
}

// What takes long waits for a key, here and on Sweep.
static void a_long_study_waits_to_be_asked_for(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, "FAKE_LONG=1");
    expect(s, "p99.9");
    key(s, "5");
    expect(s, "m measures the rest, which takes about 6:20");
    expect(s, "m measure");
    key(s, "J");
    expect(s, "not asked for: about 6:20");
    key(s, ESCAPE "m");
    expect(s, "all 42 are measured");
    key(s, "m");
    expect(s, "everything is measured");
    key(s, "4");
    expect(s, "m measures, which takes about 6:20");
    key(s, "m");
    expect(s, "11 of 11 points");
    quit(s);
}

// How long a search takes is said before it begins, and where it is long, T asks.
static void a_search_says_before_how_long_it_takes(void **state) {
    (void)state;
    Screen *s = on_sensitivity(36, 120);
    expect(s, "T searches bits and groups within this budget, about 2:30");
    quit(s);
    s = start_with(36, 120, NULL, "FAKE_LONG=1");
    expect(s, "p99.9");
    key(s, "5");
    expect(s, "within this budget, about 1:20 h");
    key(s, "T");
    expect(s, "a search takes about 1:20 h; T again begins it, and x ends it with the best so far");
    key(s, LEFT "T"); // of another budget it is said again
    expect(s, "within this budget, about 1:20 h");
    key(s, "T");
    expect(s, "tuned: KL 0.0103");
    quit(s);
}

// ---- sweep --------------------------------------------------------------------------------------------------------

static void a_curve_of_the_chosen_dial(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, ":set alpha 0.3\r");
    key(s, "4");
    expect(s, "alpha →");
    expect(s, "11 of 11 points");
    expect(s, "● you are here");
    expect(s, "alpha 0.3");
    key(s, RIGHT);
    expect(s, "alpha 0.4");
    expect_gone_text(s, "● you are here");
    key(s, "\r");
    expect(s, "set as at this point; u undoes it");
    expect(s, "● you are here");
    key(s, "u");
    expect_gone_text(s, "● you are here");
    key(s, "g");
    expect(s, "alpha 0 ");
    key(s, "b");
    expect(s, "bits per weight →");
    expect(s, "KL, logarithmic");
    key(s, "G");
    expect(s, "alpha 0 "); // which stands for three that are the same
    key(s, LEFT);
    expect(s, "alpha 0.3 ");
    expect(s, "● you are here");
    key(s, "b" RIGHT);
    expect(s, "= the same model as alpha 0.3");
    key(s, "g" RIGHT);
    expect(s, "= the same model as alpha 0 ");
    assert_false(screen_has(s, "x stop"));
    key(s, ESCAPE);
    expect(s, "Dials");
    quit(s);
}

static void points_come_and_can_be_stopped(void **state) {
    (void)state;
    Screen *s = start_with(24, 80, NULL, "FAKE_HALF=1");
    expect(s, "p99.9");
    key(s, ":sweep weight-bits\r");
    expect(s, "2 of 4 points");
    key(s, "x");
    expect(s, "stopped, x goes on");
    key(s, "G");
    expect(s, "not measured; x goes on");
    key(s, "x");
    expect(s, "4 of 4 points");
    expect(s, "bits 8");
    expect(s, "to now");
    quit(s);
}

static void a_field_of_two_dials(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, ":sweep alpha=0.1:0.3:0.1 bits\r");
    expect(s, "12 of 12 points");
    expect(s, "bits ↑");
    expect(s, "alpha 0.3   bits 4");
    key(s, UP);
    expect(s, "alpha 0.3   bits 8");
    key(s, LEFT DOWN DOWN);
    expect(s, "alpha 0.2   bits 3");
    key(s, "\r");
    expect(s, "set as at this point");
    key(s, ":set activations none\r");
    expect(s, "by the recipe before other dials were turned");
    key(s, ":sweep nothing\r");
    expect(s, "there is no dial “nothing”");
    key(s, "\x15sweep alpha group-size\r");
    expect(s, "group size is not used while group is adaptive; sweep min-group or max-group");
    key(s, "\x15sweep max-group\r");
    expect(s, "5 of 5 points"); // up to the widest matrix of 192 columns, and the channel
    key(s, ":sweep alpha=0.1:0.3:0.1 bits\r");
    expect(s, "alpha and bits");
    key(s, ":sweep bits bits\r");
    expect(s, "swept twice");
    expect(s, "alpha and bits");
    key(s, ESCAPE "d");
    expect(s, "Sweep this dial");
    key(s, "ca");
    expect(s, "▸ cache");
    key(s, "\177");
    expect(s, "▸ clip"); // the first of them
    key(s, "l");
    expect(s, "find /cl");
    key(s, "x");
    expect(s, "there is none");
    key(s, "\177\r");
    expect(s, "clip and bits");
    key(s, "D");
    expect(s, "and this one");
    key(s, "none\r");
    expect_gone_text(s, "clip and bits");
    expect(s, "clip →");
    key(s, "d" ESCAPE);
    expect_gone_text(s, "Sweep this dial");
    expect(s, "clip →");
    quit(s);
}

static void both_screens_fit_and_speak_ascii(void **state) {
    (void)state;
    static const int sizes[][2] = {{24, 80}, {36, 120}, {60, 200}};
    for (int i = 0; i < 3; i++) {
        Screen *s = start_with(sizes[i][0], sizes[i][1], i == 1 ? "--mono" : "--ascii", "FAKE_PACE=8");
        expect(s, "p99.9");
        key(s, "4");
        expect(s, "11 of 11 points");
        key(s, "5");
        expect(s, "all 42 are measured");
        expect(s, i == 1 ? "█" : "#");
        char *text = screen_text(s);
        for (const char *at = text; i != 1 && *at; at++) assert_true((unsigned char)*at < 0x80);
        free(text);
        key(s, "4");
        expect(s, "This point");
        expect(s, i == 1 ? "● you are here" : "o you are here");
        quit(s);
    }
}

// ---- plots --------------------------------------------------------------------------------------------------------

static const char *cell(const Canvas *c, int row, int col) { return c->cells[row * c->cols + col].text; }

static void a_plot_has_its_points_where_the_axes_say(void **state) {
    (void)state;
    Canvas canvas = {0};
    assert_true(canvas_resize(&canvas, 20, 60, NULL));
    const double ys[] = {0.01, 0.1, 1, (double)NAN};
    PlotAxis x = {.from = 0, .to = 4, .title = "bits"}, y = {.logarithmic = true, .title = "KL"};
    plot_range(&y, ys, 4);
    assert_true(y.logarithmic && y.from < 0.01 && y.from > 0.005 && y.to > 1 && y.to < 2);
    const Plot plot = plot_begin(&canvas, (Rect){0, 0, 20, 60}, &x, &y);
    const PlotPoint points[] = {{.x = 1, .y = 0.01, .mark = "A"},
                                {.x = 2, .y = 0.1, .mark = "B", .error = 0.08},
                                {.x = 3, .y = 1, .mark = "C"},
                                {.x = 9, .y = 1, .mark = "D"},
                                {.x = 2, .y = (double)NAN, .mark = "E"}};
    plot_line(&plot, points, 5, MEANING_WEIGHT);
    plot_points(&plot, points, 5);
    int row[3], col[3];
    for (int i = 0; i < 3; i++) {
        assert_true(plot_cell(&plot, points[i].x, points[i].y, &row[i], &col[i]));
        assert_string_equal(cell(&canvas, row[i], col[i]), points[i].mark);
    }
    // Decades are as far apart.
    assert_true(abs((row[0] - row[1]) - (row[1] - row[2])) <= 1 && abs(col[1] - col[0] - (col[2] - col[1])) <= 1);
    int braille = 0; // in every column from A to C
    for (int i = 0; i < 20 * 60; i++)
        braille += memcmp(canvas.cells[i].text, "\xE2\xA0", 2) >= 0 && memcmp(canvas.cells[i].text, "\xE2\xA4", 2) < 0;
    assert_true(braille >= col[2] - col[0] - 2);
    assert_string_equal(cell(&canvas, row[1] + 1, col[1]), "│"); // the error bar
    for (int i = 0; i < 20 * 60; i++) assert_true(*canvas.cells[i].text != 'D' && *canvas.cells[i].text != 'E');
    int ignored;
    assert_false(plot_cell(&plot, 5, 0.1, &ignored, &ignored) || plot_cell(&plot, 1, 5, &ignored, &ignored));
    canvas_free(&canvas);
}

static void a_plot_is_drawn_at_any_size_and_in_ascii(void **state) {
    (void)state;
    const PlotPoint points[] = {{.x = 0, .y = 0, .mark = "*"}, {.x = 1, .y = 1, .mark = "*", .error = 5}};
    for (int rows = 1; rows < 30; rows += 3) {
        for (int cols = 1; cols < 90; cols += 7) {
            Canvas canvas = {.ascii = true};
            assert_true(canvas_resize(&canvas, rows + 1, cols + 1, NULL));
            PlotAxis x = {.from = 0, .to = 1, .title = "across"}, y = {.from = 0, .to = 1, .title = "up"};
            const Plot plot = plot_begin(&canvas, (Rect){0, 0, rows, cols}, &x, &y);
            plot_line(&plot, points, 2, MEANING_WEIGHT);
            plot_points(&plot, points, 2);
            for (int r = 0; r <= rows; r++) {
                assert_string_equal(cell(&canvas, r, cols), " "); // nothing beyond its rectangle
                for (int c = 0; c <= cols; c++) assert_true((unsigned char)*cell(&canvas, r, c) < 0x80);
            }
            canvas_free(&canvas);
        }
    }
    double same[] = {3, 3};
    PlotAxis axis = {.logarithmic = true};
    plot_range(&axis, same, 2);
    assert_true(axis.from < 3 && axis.to > 3);
    same[0] = 0;
    plot_range(&axis, same, 2);
    assert_true(!axis.logarithmic && axis.from < 0 && axis.to > 3);
}

int main(int argc, char **argv) {
    int status;
    if (session_is_screen(argc, argv, &status)) return status;
    const struct CMUnitTest tests[] = {
        IN_HOME(costs_are_estimated_and_then_measured),
        IN_HOME(guesses_are_said_to_be_provisional),
        IN_HOME(a_guess_does_not_look_like_a_figure),
        IN_HOME(a_row_is_found_as_on_the_layers),
        IN_HOME(a_budget_moves_the_bits_and_is_taken_as_one_step),
        IN_HOME(a_budget_for_an_engine_is_taken_by_it),
        IN_HOME(a_budget_out_of_reach_names_why),
        IN_HOME(rows_are_marked_and_folded),
        IN_HOME(tune_shows_its_best_and_enter_takes_it),
        IN_HOME(a_search_may_find_nothing_better),
        IN_HOME(what_was_tuned_is_kept_to_the_engine_of_now),
        IN_HOME(what_was_changed_since_stays),
        IN_HOME(a_search_and_a_study_are_stopped),
        IN_HOME(a_search_that_is_stopped_early_goes_on),
        IN_HOME(figures_of_an_older_turn_are_shares_of_the_new),
        IN_HOME(what_was_set_by_hand_is_kept),
        IN_HOME(what_is_kept_gives_way_to_an_engine),
        IN_HOME(a_rule_without_effect_says_so),
        IN_HOME(a_long_study_waits_to_be_asked_for),
        IN_HOME(a_search_says_before_how_long_it_takes),
        IN_HOME(a_curve_of_the_chosen_dial),
        IN_HOME(points_come_and_can_be_stopped),
        IN_HOME(a_field_of_two_dials),
        IN_HOME(both_screens_fit_and_speak_ascii),
        cmocka_unit_test(a_plot_has_its_points_where_the_axes_say),
        cmocka_unit_test(a_plot_is_drawn_at_any_size_and_in_ascii),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
