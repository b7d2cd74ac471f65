// The whole program on a pseudo-terminal with the model that ships: what a newcomer does first. The interface in detail
// is the business of test_tui, which shows it with figures that are always the same.
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

#include "base/array.h"
#include "base/file.h"
#include "tests/support/folder.h"
#include "tests/support/program.h"
#include "tests/support/screen.h"
#include "tests/support/small_sample.h"

#define SHIFT_RIGHT "\033[1;2C"
#define SHIFT_LEFT "\033[1;2D"

static Screen *start(int rows, int cols) {
    // Speeds are timed for a while, on whatever: with two threads that would be twice the work.
    const char *argv[] = {program_path(),         "--fresh", "--quiet",  "--threads", "1",
                          "--calibration-tokens", "1024",    "--tokens", "512",       NULL};
    const char *environment[] = {"TERM=xterm-256color", "COLORFGBG=15;0", NULL};
    Screen *s = screen_start(rows, cols, argv, environment);
    assert_non_null(s);
    return s;
}

static void expect(Screen *s, const char *text) {
    if (screen_wait_text(s, text)) return;
    char *shown = screen_text(s);
    fprintf(stderr, "did not come: %s\n%s\n", text, shown ? shown : "");
    free(shown);
    fail();
}

// The row of the quantized model's figures; owned by the caller.
static char *figures(Screen *s) {
    int row, col;
    return screen_find(s, "top-1", &row, &col) ? screen_row(s, row + 2) : NULL;
}

// All tokens scored and both texts there: nothing is marked as being computed ("…", an old figure in brackets).
static bool settled(Screen *s, const void *unused) {
    (void)unused;
    char *row = figures(s);
    bool done = row && strstr(row, "×") && strstr(row, "±") && !strstr(row, "…") && !strchr(row, '(');
    free(row);
    return done;
}

// A frame comes in pieces: the dial may be there before the figures.
static bool figures_have(Screen *s, const void *text) {
    char *row = figures(s);
    bool have = row && strstr(row, text);
    free(row);
    return have;
}

static void settle(Screen *s) {
    if (screen_wait(s, settled, NULL)) return;
    char *shown = screen_text(s);
    fprintf(stderr, "did not settle\n%s\n", shown ? shown : "");
    free(shown);
    fail();
}

static void assert_terminal_given_back(const Screen *s) {
    assert_true(screen_modes_restored(s));
    assert_false(s->alternate);
    assert_true(s->cursor);
    assert_int_equal(s->mouse, 0);
}

static void quit(Screen *s) {
    screen_send(s, ":q!\r");
    assert_true(screen_wait_gone(s));
    assert_true(WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0);
    assert_terminal_given_back(s);
    screen_free(s);
}

static void it_shows_the_sample_in_every_size(void **state) {
    (void)state;
    static const int sizes[][2] = {{24, 80}, {36, 120}, {60, 200}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        Screen *s = start(sizes[i][0], sizes[i][1]);
        expect(s, "storyteller");
        settle(s);
        expect(s, "down_proj");
        quit(s);
    }
}

// No cursor to place (an editor's shell, a log): the overview as text, ended by itself, without one escape sequence.
static void a_terminal_without_a_cursor_gets_text(void **state) {
    (void)state;
    static const char *const terminals[] = {"TERM=dumb", "TERM=", "TERM=unknown"};
    const char *argv[] = {program_path(), "--calibration-tokens", "1024", "--tokens", "512", NULL};
    for (size_t i = 0; i < sizeof terminals / sizeof *terminals; i++) {
        const char *environment[] = {terminals[i], NULL};
        Screen *s = screen_start(400, 120, argv, environment);
        assert_non_null(s);
        assert_true(screen_wait_gone(s));
        assert_true(WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0);
        expect(s, "printing the same as text");
        expect(s, "linears quantized");
        assert_false(s->escaped); // nor does a bar of progress
        screen_free(s);
    }
}

static void every_dial_turns_and_the_plan_follows_at_once(void **state) {
    (void)state;
    // Keys, what the dial then shows, and what the plan then says (bits per weight are those of the next frame).
    static const struct {
        const char *keys, *dial, *plan;
    } turns[] = {
        {"l", "bits             8", " 8.1"},
        {"]h", "group        group", " 8.12"}, // 16 bits of scale for each group
        {"]l", "group size     256", " 8.06"},
        {"]l", "grid    asymmetric", " 8.09"},
        {"]l", "clip           mse", " 8.09"},
        {"]l", "scale          f16", " 8.09"},
        {"]l", "fused           on", " 8.09"},
        {"[[[[[l", "group     adaptive", " 8."},
        {"]]]]]]" SHIFT_RIGHT, "alpha          0.4", " 8."},
        {"]l", "rule       literal", " 8."},
        {"]" SHIFT_RIGHT, "quorum        0.02", " 8."},
        {"]l", "min             64", " 8."},
        {"]h", "max           8192", " 8."},
        {"]h", "cache            8", " 8."},
        {"]h", "policy       token", " 8."},
        {"l]l", "v0               2", " 8."},
        {"]" SHIFT_LEFT, "v1             140", " 8."},
        {"]h", "LAE alpha     0.95", " 8."},
        {"]l", "fold           all", " 8."},
        {"]l", "unfoldable runtime", " 8."},
        {"]l", "smooth        0.55", " 8."},
        {"]l", "smooth A8    token", " 8."},
        {"]l", "percentile   99.99", " 8."},
    };
    Screen *s = start(45, 120); // all rows of dials
    settle(s);
    char *before = figures(s);
    assert_non_null(strstr(before, " 4."));
    screen_send(s, "\t[[[[[[[");
    expect(s, "▸bits             4");
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        screen_send(s, turns[i].keys);
        expect(s, turns[i].dial);
        if (!screen_wait(s, figures_have, turns[i].plan)) fail_msg("turn %zu: no %s", i, turns[i].plan);
    }
    settle(s);
    char *after = figures(s);
    assert_string_not_equal(before, after);
    for (size_t i = 0; i < sizeof turns / sizeof *turns + 4; i++) screen_send(s, "u");
    expect(s, "bits             4");
    settle(s);
    free(before);
    free(after);
    quit(s);
}

// Five rungs, of which not all have room: the last one was chosen.
static void the_chosen_rung_is_seen_at_every_width(void **state) {
    (void)state;
    Screen *s = start(36, 100);
    settle(s);
    screen_send(s, "/3.mlp.down\r");
    expect(s, "▸3.down_proj");
    for (int cols = 100; cols <= 200; cols += 10) {
        int row, col;
        screen_resize(s, 36, cols);
        screen_settle(s, 200);
        expect(s, "▸3.down_proj");
        assert_true(screen_find(s, "ladder", &row, &col));
        char *line = screen_row(s, row);
        assert_non_null(strstr(strstr(line, "ladder"), " 32 "));
        free(line);
    }
    quit(s);
}

static void it_ends_in_order_whatever_ends_it(void **state) {
    (void)state;
    static const int signals[] = {SIGTERM, SIGHUP, SIGSEGV, SIGABRT};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        Screen *s = start(24, 80);
        expect(s, "down_proj"); // and in the middle of calibrating
        kill(s->pid, signals[i]);
        assert_true(screen_wait_gone(s));
        if (signals[i] == SIGSEGV || signals[i] == SIGABRT) // sanitizers report a crash and exit
            assert_true(WIFSIGNALED(s->status) || WEXITSTATUS(s->status) != 0);
        assert_terminal_given_back(s);
        screen_free(s);
    }
}

static void copy_sample(const char *folder, const char *name) {
    char *from = path_join("samples/storyteller", name), *data;
    size_t size;
    Error err = {0};
    if (!file_read(from, 1 << 26, &data, &size, &err)) fail_msg("%s", err.message);
    free(folder_write(folder, name, data, size));
    free(data);
    free(from);
}

// Cut off while the model is being measured or after all is done: one message, and the program goes on until it is told
// to end.
static void a_file_that_shrinks_is_told_and_the_screen_stays(void **state) {
    (void)state;
    for (int late = 0; late < 2; late++) {
        char *folder = folder_temporary();
        const char *const names[] = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) copy_sample(folder, names[i]);
        const char *argv[] = {
            program_path(), "--no-cache", "--calibration-tokens", late ? "1024" : "65536", "--tokens", "512",
            folder,         NULL};
        const char *environment[] = {"TERM=xterm-256color", "COLORFGBG=15;0", NULL};
        char *path = path_join(folder, "model.safetensors");
        Screen *s = screen_start(36, 120, argv, environment);
        expect(s, "down_proj");
        if (late) settle(s);
        assert_int_equal(truncate(path, 500000), 0);
        if (late) screen_send(s, "\t[[[[[[[l"); // the bits: what is packed anew is read from the file
        expect(s, "became");                    // one word: the line is broken somewhere
        quit(s);
        free(path);
        folder_remove(folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_SMALL_SAMPLE(a_terminal_without_a_cursor_gets_text),
        cmocka_unit_test(it_shows_the_sample_in_every_size),
        ON_SMALL_SAMPLE(every_dial_turns_and_the_plan_follows_at_once),
        cmocka_unit_test(the_chosen_rung_is_seen_at_every_width),
        ON_SMALL_SAMPLE(it_ends_in_order_whatever_ends_it),
        cmocka_unit_test(a_file_that_shrinks_is_told_and_the_screen_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
