// The tour that plays by itself.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/file.h"

// In place of the real one, in this program only.
#include "tests/fake/workbench.c" // NOLINT(bugprone-suspicious-include)
#include "tests/support/tui_session.h"

static Screen *start_tour(int rows, int cols) { return start_with(rows, cols, "--demo", "FAKE_PACE=8"); }

// What was told was done: every state of the tour is a row.
static void it_plays_to_its_end(void **state) {
    (void)state;
    Screen *s = start_tour(36, 120);
    expect(s, "the tour is over");
    expect(s, "perplexity"); // on the first screen
    expect(s, "by |x|max");  // no key of another screen came here
    key(s, "3");
    expect(s, "start");
    expect(s, "group adaptive → channel");
    expect(s, "clip absmax → mse");
    expect(s, "0.down_proj bits 4 → 8");
    key(s, ":q!\r");
    assert_true(screen_wait_gone(s));
    screen_free(s);
}

static void it_fits_into_the_smallest_terminal(void **state) {
    (void)state;
    Screen *s = start_tour(24, 80);
    expect(s, "the tour is over");
    quit(s);
}

static void any_key_takes_over(void **state) {
    (void)state;
    Screen *s = start_tour(36, 120);
    expect(s, "any key takes over");
    key(s, "?");
    expect(s, "Layers");
    expect(s, "Help");
    key(s, "q");
    screen_settle(s, 300); // many steps of the tour
    assert_false(screen_has(s, "takes over") || screen_has(s, "the tour is over"));
    quit(s);
}

// Nothing that it turned is asked about, or kept.
static void q_ends_it(void **state) {
    (void)state;
    Screen *s = start_tour(36, 120);
    expect(s, "since pin"); // something was turned soon after
    expect(s, "recipe not saved");
    key(s, "q");
    assert_true(screen_wait_gone(s));
    assert_true(WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0);
    assert_true(screen_modes_restored(s));
    screen_free(s);
    char command[4400];
    snprintf(command, sizeof command, "! find '%s' -name '*.json' | grep .", folder);
    assert_int_equal(system(command), 0); // NOLINT(bugprone-command-processor)
}

int main(int argc, char **argv) {
    int status;
    if (session_is_screen(argc, argv, &status)) return status;
    const struct CMUnitTest tests[] = {
        IN_HOME(it_plays_to_its_end),
        IN_HOME(it_fits_into_the_smallest_terminal),
        IN_HOME(any_key_takes_over),
        IN_HOME(q_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
