// How much a terminal is sent for a small change: over a slow line a key is answered at once, too.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/workbench.c" // NOLINT(bugprone-suspicious-include)
#include "tests/support/tui_session.h"

#define SMALL_CHANGE 2048 // bytes
#define QUIET 40          // milliseconds; then a frame is whole

// Keys that each change a little, on the screen that is shown after those before.
// wide: bytes on more than 80 columns, where that is more. A turn of a dial changes its linear, all figures and the
// text, and says what it was.
static const struct {
    const char *what, *before, *shown, *keys;
    size_t wide;
} changes[] = {
    {"the next row", "", "by |x|max", "jjkjk", 0},
    {"a mark, and the next row", "", "by |x|max", "     ", 0},
    {"a dial of one linear, between states that were measured", "Uo:set weight-bits 8\r", "not saved", "u\022u\022u",
     SMALL_CHANGE + 256},
    {"the next cell", ESCAPE ESCAPE "2", "mends it", "hkjlh", 0},
    {"the next trial", "3", "#2 ", "kjkjk", 0},
    {"the next linear by cost", "5", "all 42 are measured", "jjkjk", 0},
    {"the budget", "", "all 42 are measured", "lhlhl", 0},
    {"the next engine", "6", "disk has", "jjkjk", 0},
};
enum { CHANGES = sizeof changes / sizeof *changes, KEYS_MOST = 8 };

static bool has_received(Screen *s, const void *before) { return s->received > *(const size_t *)before; }

static size_t bytes_for(Screen *s, char what) {
    const size_t before = s->received;
    screen_send_bytes(s, &what, 1);
    if (!screen_wait(s, has_received, &before)) fail_with_screen(s, "an answer to a key");
    screen_settle(s, QUIET);
    return s->received - before;
}

static int by_size(const void *a, const void *b) {
    return (*(const size_t *)a > *(const size_t *)b) - (*(const size_t *)a < *(const size_t *)b);
}

// The middle one of the keys: a row may have a histogram that is all different.
static void check_change(Screen *s, int i) {
    size_t bytes[KEYS_MOST] = {0};
    int count = 0;
    key(s, changes[i].before);
    expect(s, changes[i].shown);
    screen_settle(s, 2 * QUIET);
    for (const char *at = changes[i].keys; *at; at++) bytes[count++] = bytes_for(s, *at);
    qsort(bytes, (size_t)count, sizeof *bytes, by_size);
    if (bytes[count / 2] > (s->cols > 80 && changes[i].wide ? changes[i].wide : SMALL_CHANGE))
        fail_msg("%s takes %zu bytes at %d x %d", changes[i].what, bytes[count / 2], s->rows, s->cols);
}

static void little_is_sent_for_little(void **state) {
    (void)state;
    for (int small = 0; small < 2; small++) {
        Screen *s = small ? start(24, 80) : start(36, 120);
        for (int i = 0; i < CHANGES; i++) check_change(s, i);
        quit(s);
    }
}

int main(int argc, char **argv) {
    int status;
    if (session_is_screen(argc, argv, &status)) return status;
    const struct CMUnitTest tests[] = {
        IN_HOME(little_is_sent_for_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
