// The interface with the invented workbench, on a pseudo-terminal. A test program is both sides: called with --screen
// it is the interface. It includes tests/fake/workbench.c itself, which takes the place of the real one in that program
// only, and asks session_is_screen first of all.
#pragma once

#include <stdlib.h>

#include "quant/recipe.h"
#include "tests/support/in_folder.h"
#include "tests/support/screen.h"

// Whether this process is the interface, which then has run and ended with *status. If not, it is the one that tests.
bool session_is_screen(int argc, char **argv, int *status);

// ---- running it ---------------------------------------------------------------------------------------------------

// Each begins without what is known of the last time, but with the option --remember. On an xterm with a dark
// background; option and variable ("NAME=value") may be NULL.
Screen *start_with(int rows, int cols, const char *option, const char *variable);
Screen *start_as(int rows, int cols, const char *const *options, const char *const *environment); // both end with NULL
Screen *start(int rows, int cols); // quickly, and all figures are there
void settle(Screen *s);            // until all figures are there and belong to the present turn
void quit(Screen *s);              // whatever is unsaved; the terminal must have been given back

void key(Screen *s, const char *bytes);
void click_on(Screen *s, const char *text); // on its second column

#define UP "\033OA"
#define DOWN "\033OB"
#define RIGHT "\033OC"
#define LEFT "\033OD"
#define SHIFT_LEFT "\033[1;2D"
#define SHIFT_RIGHT "\033[1;2C"
#define HOME "\033OH"
#define END "\033OF"
#define PAGE_UP "\033[5~"
#define PAGE_DOWN "\033[6~"
#define ESCAPE "\033"

// ---- what is seen -------------------------------------------------------------------------------------------------

void expect(Screen *s, const char *text); // waits for it, and fails with what is shown instead
void expect_gone_text(Screen *s, const char *text);
void expect_dial(Screen *s, Dial dial, const char *value);
bool all_ascii(Screen *s); // all that is shown
void fail_with_screen(Screen *s, const char *expected);

// ---- files --------------------------------------------------------------------------------------------------------

static inline char *path_in_folder(const char *name) {
    static char path[4200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

// The user's folders are those of the test.
static inline int make_home(void **state) {
    make_folder(state);
    setenv("HOME", folder, 1);
    static const char *const variables[] = {"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
    return 0;
}

#define IN_HOME(function) cmocka_unit_test_setup_teardown(function, make_home, drop_folder)
