#include "tests/support/tui_session.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "quant/recipe.h"
#include "tests/fake/workbench.h"
#include "tui/layout.h"
#include "tui/tui.h"

static char self[4096]; // this program

static int show(int argc, char **argv) {
    TuiOptions options = {.fresh = true};
    WorkbenchOptions wanted = {0};
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--ascii") == 0)
            options.ascii = true;
        else if (strcmp(argv[i], "--mono") == 0)
            options.mono = true;
        else if (strcmp(argv[i], "--light") == 0)
            options.light = true;
        else if (strcmp(argv[i], "--demo") == 0)
            options.tour = 0.05;
        else if (strcmp(argv[i], "--remember") == 0)
            options.fresh = false;
        else if (strcmp(argv[i], "--theme") == 0 && i + 1 < argc)
            options.theme = argv[++i];
    }
    Workbench *workbench;
    Error err = {0};
    bool ok = fake_workbench_open(&wanted, &workbench, &err);
    if (ok) {
        ok = tui_run(workbench, &options, &err);
        workbench_close(workbench);
    }
    if (!ok) fprintf(stderr, "%s\n", err.message);
    return ok ? 0 : 1;
}

bool session_is_screen(int argc, char **argv, int *status) {
    if (argc > 1 && strcmp(argv[1], "--screen") == 0) {
        *status = show(argc, argv);
        return true;
    }
    setlocale(LC_CTYPE, "");
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) abort();
    return false;
}

// ---- running it ---------------------------------------------------------------------------------------------------

#define OPTIONS_MOST 8

Screen *start_as(int rows, int cols, const char *const *options, const char *const *environment) {
    const char *argv[OPTIONS_MOST + 3] = {self, "--screen"};
    for (int i = 0; options[i]; i++) {
        assert_true(i < OPTIONS_MOST);
        argv[i + 2] = options[i];
    }
    Screen *s = screen_start(rows, cols, argv, environment);
    assert_non_null(s);
    return s;
}

Screen *start_with(int rows, int cols, const char *option, const char *variable) {
    const char *const options[] = {option, NULL};
    const char *const environment[] = {"TERM=xterm-256color", "COLORFGBG=15;0", variable, NULL};
    return start_as(rows, cols, options, environment);
}

void fail_with_screen(Screen *s, const char *expected) {
    char *text = screen_text(s);
    fprintf(stderr, "did not come: %s\n%s\n", expected, text ? text : "");
    free(text);
    fail();
}

void expect(Screen *s, const char *text) {
    if (!screen_wait_text(s, text)) fail_with_screen(s, text);
}

void expect_gone_text(Screen *s, const char *text) {
    if (!screen_wait_without(s, text)) fail_with_screen(s, text);
}

// "2.17×": a speed beside that of the base, known last. Shapes ("64 × 192") have a blank there.
static bool shows_ratio(Screen *s) {
    char *text = screen_text(s);
    bool found = false;
    for (const char *at = text; !found && (at = strstr(at, "×")) != NULL; at++)
        found = at > text && at[-1] >= '0' && at[-1] <= '9';
    free(text);
    return found;
}

// All figures are there and belong to the present turn.
static bool settled(Screen *s, const void *unused) {
    (void)unused;
    return screen_has(s, "±0.0") && shows_ratio(s) && !screen_has(s, "scoring") && !screen_has(s, " (0.0") &&
           !screen_has(s, "calibrating");
}

void settle(Screen *s) {
    if (!screen_wait(s, settled, NULL)) fail_with_screen(s, "settled figures");
}

Screen *start(int rows, int cols) {
    Screen *s = start_with(rows, cols, NULL, "FAKE_PACE=8");
    expect(s, "p99.9");
    settle(s);
    return s;
}

void key(Screen *s, const char *bytes) { screen_send(s, bytes); }

void quit(Screen *s) {
    key(s, "\x15:q!\r"); // Ctrl-U: a command that was refused is still there
    assert_true(screen_wait_gone(s));
    assert_false(s->pastes);
    assert_true(WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0);
    assert_true(screen_modes_restored(s));
    assert_false(s->alternate);
    assert_true(s->cursor);
    assert_int_equal(s->mouse, 0);
    screen_free(s);
}

bool all_ascii(Screen *s) {
    char *text = screen_text(s);
    bool ok = true;
    for (const char *at = text; *at; at++) ok = ok && (unsigned char)*at < 0x80;
    free(text);
    return ok;
}

void click_on(Screen *s, const char *text) {
    int row, col;
    expect(s, text); // it may be on its way
    assert_true(screen_find(s, text, &row, &col));
    screen_click(s, row, col + 1);
}

// ---- dials --------------------------------------------------------------------------------------------------------

typedef struct Setting {
    Dial dial;
    const char *value;
} Setting;

// The label, whatever row of the pane it has been scrolled to, and behind it the value, right-aligned.
static bool shows_setting(Screen *s, const void *context) {
    const Setting *setting = context;
    const Layout layout = layout_make(s->rows, s->cols);
    const char *label = dial_table[setting->dial].label;
    const size_t length = strlen(label);
    for (int i = 0; i < DIAL_COLUMNS * layout.dial_rows; i++) {
        const Rect cell = layout_dial(&layout, i / layout.dial_rows, i % layout.dial_rows);
        char text[19] = "";
        for (int col = 0; col < 18; col++) {
            VTermScreenCell c = {0};
            vterm_screen_get_cell(s->screen, (VTermPos){.row = cell.row, .col = cell.col + 1 + col}, &c);
            text[col] = c.chars[0] && c.chars[0] < 0x80 ? (char)c.chars[0] : ' ';
        }
        if (strncmp(text, label, length) == 0 && text[length] == ' ' &&
            strcmp(text + length + strspn(text + length, " "), setting->value) == 0)
            return true;
    }
    return false;
}

void expect_dial(Screen *s, Dial dial, const char *value) {
    if (!screen_wait(s, shows_setting, &(Setting){dial, value})) fail_with_screen(s, value);
}
