// Every screen as it is meant to look, at three sizes, in UTF-8 and ASCII: tests/fixtures/screens. After a change that
// is meant, `make golden` records them again; look at the difference before it is kept.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/file.h"
#include "tests/fake/workbench.c" // NOLINT(bugprone-suspicious-include)
#include "tests/support/tui_session.h"
#include "tui/clipboard.h"

static bool records; // instead of comparing

// What says that all is there.
static const struct {
    const char *name, *keys, *ready;
} screens[] = {
    {"layers", "1", "Dials"},           {"outliers", "2", "Channels that stay outliers"},
    {"trials", "3", "against A"},       {"sweep", "4", "you are here"},
    {"sensitivity", "5", "all 42 are"}, {"convert", "6", "Writing it"},
};
enum { SCREENS = sizeof screens / sizeof *screens };

static const struct { int rows, cols; } sizes[] = {{24, 80}, {36, 120}, {60, 200}};
enum { SIZES = sizeof sizes / sizeof *sizes };

// ---- comparing ----------------------------------------------------------------------------------------------------

// As a file: without blanks at the ends of lines.
static char *screen_file(Screen *s) {
    Text text = {0};
    for (int row = 0; row < s->rows; row++) {
        char *line = screen_row(s, row);
        size_t length = strlen(line);
        while (length && line[length - 1] == ' ') length--;
        text_add(&text, line, length);
        text_add(&text, "\n", 1);
        free(line);
    }
    assert_false(text.failed);
    return text.data;
}

static bool is_as_meant(Screen *s, const void *meant) {
    char *shown = screen_file(s);
    const bool same = strcmp(shown, meant) == 0;
    free(shown);
    return same;
}

static void tell_difference(const char *path, const char *meant, const char *shown) {
    fprintf(stderr, "%s is not what is shown:\n", path);
    while (*meant || *shown) {
        const int a = (int)strcspn(meant, "\n"), b = (int)strcspn(shown, "\n");
        if (a != b || memcmp(meant, shown, (size_t)a) != 0) fprintf(stderr, "- %.*s\n+ %.*s\n", a, meant, b, shown);
        meant += a + (meant[a] == '\n');
        shown += b + (shown[b] == '\n');
    }
}

static void keep_screen(Screen *s, const char *path) {
    Error err = {0};
    screen_settle(s, 400);
    char *shown = screen_file(s);
    if (!file_write(path, shown, strlen(shown), &err)) fail_msg("%s", err.message);
    free(shown);
}

// Once one has differed, the others are not waited for.
static bool compare(Screen *s, const char *path, bool waits) {
    char *meant;
    size_t size;
    Error err = {0};
    if (!file_read(path, 1 << 20, &meant, &size, &err)) fail_msg("%s; make golden records it", err.message);
    if (!waits) screen_settle(s, 200);
    const bool same = waits ? screen_wait(s, is_as_meant, meant) : is_as_meant(s, meant);
    if (!same) {
        char *shown = screen_file(s);
        tell_difference(path, meant, shown);
        free(shown);
    }
    free(meant);
    return same;
}

// ---- the screens --------------------------------------------------------------------------------------------------

// Two trials, and the recipe that it began with.
static Screen *prepared(const char *option) {
    Screen *s = start_with(36, 120, option, "FAKE_PACE=8");
    key(s, "3");
    expect(s, "B  #1: start");
    key(s, ":set bits 3\r");
    expect(s, "B  #2: bits 4");
    expect(s, option ? "2.2-2.5x" : "2.2–2.5×"); // what is known last
    key(s, "u1");
    expect(s, option ? "1779 2.1-2.3x" : "1779 2.1–2.3×");
    return s;
}

static void look_as_meant(const char *option, const char *charset) {
    Screen *s = prepared(option);
    bool same = true;
    for (int i = 0; i < SCREENS; i++) {
        key(s, screens[i].keys);
        expect(s, screens[i].ready);
        for (int size = 0; size < SIZES; size++) {
            char path[128];
            snprintf(path, sizeof path, "tests/fixtures/screens/%s-%dx%d-%s.txt", screens[i].name, sizes[size].cols,
                     sizes[size].rows, charset);
            screen_resize(s, sizes[size].rows, sizes[size].cols);
            if (records)
                keep_screen(s, path);
            else
                same = compare(s, path, same) && same;
        }
        screen_resize(s, 36, 120);
    }
    assert_true(same);
    quit(s);
}

static void screens_look_as_meant(void **state) {
    (void)state;
    look_as_meant(NULL, "utf8");
}

static void screens_look_as_meant_in_ascii(void **state) {
    (void)state;
    look_as_meant("--ascii", "ascii");
}

// ---- terminals ----------------------------------------------------------------------------------------------------

static void every_terminal_shows_every_screen(void **state) {
    (void)state;
    static const char *const environments[][4] = {
        {"TERM=xterm-256color", "COLORFGBG=15;0"},
        {"TERM=xterm-256color", "COLORFGBG=0;15"},
        {"TERM=xterm-256color", "NO_COLOR=1"},
        {"TERM=xterm-256color", "LC_ALL=C"},
        {"TERM=tmux-256color", "COLORFGBG=15;0"},
        {"TERM=tmux", "COLORFGBG=15;0"},
        {"TERM=screen", "COLORFGBG=15;0"},
        {"TERM=screen-256color", "COLORFGBG=15;0"},
        {"TERM=linux", "COLORFGBG="},
        {"TERM=vt100", "COLORFGBG="},
    };
    static const char *const none[] = {NULL};
    for (size_t i = 0; i < sizeof environments / sizeof *environments; i++) {
        const char *environment[4] = {environments[i][0], environments[i][1], "FAKE_PACE=50", NULL};
        Screen *s = start_as(24, 80, none, environment);
        for (int screen = 0; screen < SCREENS; screen++) {
            key(s, screens[screen].keys);
            expect(s, screens[screen].ready);
        }
        quit(s);
    }
}

// ---- bytes --------------------------------------------------------------------------------------------------------

#define SMALL_CHANGE 2048 // bytes at most

static size_t sent_for(Screen *s, const char *keys) {
    s->sent_length = 0;
    key(s, keys);
    screen_settle(s, 150);
    return s->sent_length;
}

static void little_is_written_for_little_and_nothing_for_nothing(void **state) {
    (void)state;
    Screen *s = start_with(24, 80, NULL, "FAKE_PACE=50");
    for (int i = 0; i < SCREENS; i++) {
        key(s, screens[i].keys);
        expect(s, screens[i].ready);
        int looks = 0; // on a slow machine something may still be on its way
        while (sent_for(s, "") > 0) assert_true(looks++ < 20);
        const size_t bytes = sent_for(s, "j");
        if (bytes > SMALL_CHANGE) fail_msg("%s: %zu bytes", screens[i].name, bytes);
    }
    quit(s);
}

// ---- what goes to the clipboard -----------------------------------------------------------------------------------

static const char *sequence_of(const char *text) {
    static Text sequence;
    text_clear(&sequence);
    clipboard_sequence(text, strlen(text), &sequence);
    return sequence.data;
}

static void copies_are_sent_as_the_terminal_passes_them_on(void **state) {
    (void)state;
    unsetenv("STY");
    assert_string_equal(sequence_of("f\xC3\xBC"), "\033]52;c;ZsO8\a");
    setenv("STY", "1.pts-0.host", 1);
    // screen passes on what stands between ESC P and ESC \.
    assert_string_equal(sequence_of("f\xC3\xBC"), "\033P\033]52;c;ZsO8\a\033\\");
    // It holds 768 bytes of a string at most: longer ones come in pieces.
    char text[1201];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    const char *sequence = sequence_of(text);
    size_t whole = 0, pieces = 0;
    char joined[2000];
    for (const char *at = sequence; *at; pieces++) {
        assert_memory_equal(at, "\033P", 2);
        const char *end = strstr(at + 2, "\033\\");
        assert_non_null(end);
        assert_true(end - at - 2 <= 700);
        memcpy(joined + whole, at + 2, (size_t)(end - at - 2));
        whole += (size_t)(end - at - 2);
        at = end + 2;
    }
    joined[whole] = '\0';
    unsetenv("STY");
    assert_true(pieces == 3);
    assert_string_equal(joined, sequence_of(text));
}

int main(int argc, char **argv) {
    int status;
    if (session_is_screen(argc, argv, &status)) return status;
    records = argc > 1 && strcmp(argv[1], "--record") == 0;
    const struct CMUnitTest tests[] = {
        IN_HOME(screens_look_as_meant),
        IN_HOME(screens_look_as_meant_in_ascii),
        IN_HOME(every_terminal_shows_every_screen),
        IN_HOME(little_is_written_for_little_and_nothing_for_nothing),
        cmocka_unit_test(copies_are_sent_as_the_terminal_passes_them_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
