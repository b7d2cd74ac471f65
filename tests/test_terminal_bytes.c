// How much a terminal is sent for a small change: the next row, a turn of a dial, a point, a cell, on every screen,
// with what descriptions of terminals offer. Lines to where the models are may be slow.
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fake/workbench.c" // NOLINT(bugprone-suspicious-include)
#include "tests/support/in_folder.h"
#include "tui/frame_writer.h"
#include "tui/screen.h"

// Last: their macros have names that others use.
#include <curses.h>
#include <term.h>

#define SMALL_CHANGE 2048 // bytes

typedef struct Rig {
    Ui ui;
    FrameWriter *writer;
    Theme theme;
    Text out;
} Rig;

static bool rig_open(Rig *r, const char *term, int rows, int cols) {
    Error err = {0};
    Workbench *workbench = NULL;
    int status;
    *r = (Rig){0};
    setenv("FAKE_PACE", "500", 1);
    setenv("XDG_STATE_HOME", folder, 1);
    if (setupterm(term, STDOUT_FILENO, &status) == ERR) return false;
    if (!fake_workbench_open(&(WorkbenchOptions){0}, &workbench, &err) || !ui_init(&r->ui, workbench, NULL, &err) ||
        !ui_resize(&r->ui, rows, cols, &err) || !frame_writer_open(&r->writer, &err)) {
        fprintf(stderr, "%s\n", err.message);
        abort(); // which the analyzer knows not to come back, unlike fail_msg
    }
    frame_writer_feeds_straight(r->writer, true);
    r->theme = theme_make(COLORS_AUTO, BACKGROUND_DARK, frame_writer_colors(r->writer));
    return true;
}

static void rig_close(Rig *r) {
    Workbench *workbench = r->ui.workbench;
    frame_writer_close(r->writer);
    text_free(&r->out);
    ui_free(&r->ui);
    workbench_close(workbench);
    del_curterm(cur_term);
}

static size_t show(Rig *r) {
    screen_draw(&r->ui);
    text_clear(&r->out);
    frame_writer_add(r->writer, r->theme, &r->ui.canvas, false, &r->out);
    assert_false(r->out.failed);
    return r->out.length;
}

static void settle(Rig *r) {
    do {
        usleep(1000);
        workbench_update(r->ui.workbench);
        ui_update(&r->ui);
    } while (workbench_busy(r->ui.workbench));
    show(r);
}

static size_t press(Rig *r, char key) {
    screen_key(&r->ui, &(Key){.code = key == '\n' ? KEY_RETURN : key});
    return show(r);
}

// Small changes of each screen. wide: bytes at 60 × 200, where the next linear has two histograms and its channels
// drawn.
static const struct {
    ScreenKind screen;
    const char *what, *before, *keys;
    size_t wide;
} changes[] = {
    {SCREEN_LAYERS, "the next row", "", "jjjjjjjjkkkkjjj", SMALL_CHANGE},
    {SCREEN_LAYERS, "a mark", "", "   ", SMALL_CHANGE},
    {SCREEN_LAYERS, "a dial", "\t", "lhlhlhlh", SMALL_CHANGE},
    {SCREEN_OUTLIERS, "the next cell", "", "jlhkjljlh", 3 * SMALL_CHANGE / 2},
    {SCREEN_TRIALS, "the next trial", "", "jkjk", SMALL_CHANGE},
    {SCREEN_SWEEP, "the next point", "", "hlhlhhh", SMALL_CHANGE},
    {SCREEN_SENSITIVITY, "the next row", "", "jjjkjjjk", SMALL_CHANGE},
    {SCREEN_SENSITIVITY, "the budget", "", "lhlhllhh", SMALL_CHANGE},
    {SCREEN_CONVERT, "the next engine", "", "jkjkllh", SMALL_CHANGE},
};
enum { CHANGES = sizeof changes / sizeof *changes, KEYS_MOST = 32 };

static int by_size(const void *a, const void *b) {
    return (*(const size_t *)a > *(const size_t *)b) - (*(const size_t *)a < *(const size_t *)b);
}

static void check_change(Rig *r, const char *term, int i) {
    size_t bytes[KEYS_MOST] = {0};
    int count = 0;
    const size_t most = r->ui.canvas.cols == 200 ? changes[i].wide : SMALL_CHANGE;
    screen_go(&r->ui, changes[i].screen);
    r->ui.focus = PANE_LAYERS;
    settle(r);
    for (const char *key = changes[i].before; *key; key++) press(r, *key);
    for (const char *key = changes[i].keys; *key; key++) bytes[count++] = press(r, *key);
    assert_true(bytes[0] > 0 || bytes[1] > 0);
    settle(r);
    assert_int_equal(show(r), 0);
    qsort(bytes, (size_t)count, sizeof *bytes, by_size);
    if (bytes[count / 2] > most)
        fail_msg("%s, %d x %d, %s: %s takes %zu bytes", term, r->ui.canvas.rows, r->ui.canvas.cols,
                 screen_table[changes[i].screen].title, changes[i].what, bytes[count / 2]);
}

static void little_is_sent_for_little(void **state) {
    (void)state;
    static const char *const terms[] = {"xterm-256color", "tmux-256color", "screen", "linux", "vt100"};
    static const int sizes[][2] = {{24, 80}, {60, 200}};
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            Rig r;
            if (!rig_open(&r, terms[i], sizes[k][0], sizes[k][1])) {
                print_message("%s is not described here\n", terms[i]);
                continue;
            }
            settle(&r);
            for (const char *key = "*down\no:set bits 8\n\033"; *key; key++) press(&r, *key); // another trial
            for (int change = 0; change < CHANGES; change++) check_change(&r, terms[i], change);
            rig_close(&r);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(little_is_sent_for_little),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    unsetenv("NO_COLOR");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
