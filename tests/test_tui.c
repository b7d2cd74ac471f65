// The interface on a pseudo-terminal, watched by a terminal emulator. This program is both sides: called with --screen
// it shows the interface with the workbench of tests/fake, whose figures are always the same.
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
#include "tests/fake/workbench.c" // NOLINT(bugprone-suspicious-include)
#include "tests/support/in_folder.h"
#include "tests/support/screen.h"
#include "tui/dials.h"
#include "tui/tui.h"

static char self[4096]; // this program

static int show(int argc, char **argv) {
    TuiOptions options = {0};
    WorkbenchOptions wanted = {0};
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--ascii") == 0)
            options.ascii = true;
        else if (strcmp(argv[i], "--mono") == 0)
            options.mono = true;
        else if (strcmp(argv[i], "--light") == 0)
            options.light = true;
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

// ---- running it ---------------------------------------------------------------------------------------------------

static Screen *start_with(int rows, int cols, const char *option, const char *variable) {
    const char *argv[] = {self, "--screen", option, NULL};
    const char *environment[] = {"TERM=xterm-256color", "COLORFGBG=15;0", variable, NULL};
    Screen *s = screen_start(rows, cols, argv, environment);
    assert_non_null(s);
    return s;
}

static void fail_with_screen(Screen *s, const char *expected) {
    char *text = screen_text(s);
    fprintf(stderr, "did not come: %s\n%s\n", expected, text ? text : "");
    free(text);
    fail();
}

static void expect(Screen *s, const char *text) {
    if (!screen_wait_text(s, text)) fail_with_screen(s, text);
}

static void expect_gone_text(Screen *s, const char *text) {
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

static void settle(Screen *s) {
    if (!screen_wait(s, settled, NULL)) fail_with_screen(s, "settled figures");
}

static Screen *start(int rows, int cols) {
    Screen *s = start_with(rows, cols, NULL, "FAKE_PACE=8");
    expect(s, "p99.9");
    settle(s);
    return s;
}

static void key(Screen *s, const char *bytes) { screen_send(s, bytes); }

static void quit(Screen *s) {
    key(s, ":q!\r");
    assert_true(screen_wait_gone(s));
    assert_true(WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0);
    assert_true(screen_modes_restored(s));
    assert_false(s->alternate);
    assert_true(s->cursor);
    assert_int_equal(s->mouse, 0);
    screen_free(s);
}

static char *path_in_folder(const char *name) {
    static char path[4200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

#define UP "\033OA"
#define DOWN "\033OB"
#define RIGHT "\033OC"
#define LEFT "\033OD"
#define SHIFT_LEFT "\033[1;2D"
#define SHIFT_RIGHT "\033[1;2C"
#define HOME "\033OH"
#define END "\033OF"
#define PAGE_DOWN "\033[6~"
#define ESCAPE "\033"

// ---- the first screen ---------------------------------------------------------------------------------------------

static void the_first_screen_shows_the_model(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    expect(s, "storyteller · llama · 6 layers · 43 linears");
    expect(s, "cpu avx512 ×2 · calibrated 16.4k tokens");
    expect(s, "▸5 down_proj"); // largest range first
    expect(s, "model.layers.5.mlp.down_proj  64 × 192");
    expect(s, "v0 15");
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
    key(s, "\tbbbbb=8\r"); // unknown keys do nothing
    settle(s);
    quit(s);
}

static void a_failed_job_is_told(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, "FAKE_FAILURE=1");
    expect(s, "calibrate: the calibration text is not there");
    expect(s, "not known: the calibration text is not there");
    quit(s);
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

static void expect_dial(Screen *s, Dial dial, const char *value) {
    if (!screen_wait(s, shows_setting, &(Setting){dial, value})) fail_with_screen(s, value);
}

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
        {DIAL_RULE, "shrink", "l", "literal"},
        {DIAL_QUORUM, "0.01", RIGHT, "0.011"},
        {DIAL_MIN_GROUP, "32", "l", "64"},
        {DIAL_MAX_GROUP, "channel", "h", "8192"},
        {DIAL_CACHE_BITS, "16", "h", "8"},
        {DIAL_ACTIVATIONS, "fptq", "h", "token"},
        {DIAL_V0, "15", "l", "16"},
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
    expect(s, "─ Dials ↓ ─");
    expect_dial(s, DIAL_BITS, "4");
    key(s, "\t[[[[[[[["); // round to the last one
    expect_dial(s, DIAL_PERCENTILE, "99.9");
    expect(s, "─ Dials ↑ ─");
    expect_gone_text(s, " bits             4");
    key(s, "[[[[");
    expect_dial(s, DIAL_FOLD, "norm");
    key(s, "l");
    expect_dial(s, DIAL_FOLD, "all");
    key(s, "[");
    expect_dial(s, DIAL_LAE_ALPHA, "1");
    expect(s, "─ Dials ↑↓ ─");
    settle(s);
    quit(s);
}

static void an_old_figure_is_never_shown_as_new(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, NULL); // at the pace of people
    settle(s);
    key(s, "\t[[[[[[[h");
    expect_dial(s, DIAL_BITS, "3");
    expect(s, " (9"); // the old share of equal tokens in brackets, while the new one is computed
    settle(s);
    quit(s);
}

static void values_are_typed_and_refused(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "\t0.55\r");
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

static void one_linear_gets_values_of_its_own(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "o");
    expect(s, "Dials of 5 down_proj only");
    key(s, ":set weight-bits 8\r");
    expect_dial(s, DIAL_BITS, "8");
    key(s, "o");
    expect(s, "─ Dials ↓ ─");
    expect_dial(s, DIAL_BITS, "4");
    expect(s, "*5 down_proj");
    key(s, "o");
    expect_dial(s, DIAL_BITS, "8");
    key(s, "\177");
    expect_dial(s, DIAL_BITS, "4");
    expect_gone_text(s, "*5 down_proj");
    key(s, ":set fused on\r");
    expect(s, "holds for the whole model");
    settle(s);
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
}

static void changes_since_the_pin_have_signs(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    expect(s, "2.0–2.3× "); // all timed, so that the pin has a speed
    key(s, "p");
    expect(s, "pinned");
    key(s, ":set weight-bits 8\r");
    expect(s, "since pin");
    expect(s, "kB ✗");    // larger
    expect(s, "% ✓");     // more tokens alike
    expect(s, "−0.0");    // less divergence
    expect(s, "0.77× ✗"); // slower, and the ranges lie apart
    key(s, "u:set weight-bits 3\r");
    expect(s, "1.06× ≈"); // somewhat faster, within the ranges
    key(s, "pp");         // pins anew, then takes the pin away
    expect_gone_text(s, "since pin");
    quit(s);
}

// ---- finding ------------------------------------------------------------------------------------------------------

static void linears_are_found_filtered_and_sorted(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "/2.self_attn.k\r");
    expect(s, "▸2 k_proj");
    key(s, "/v_proj\r");
    expect(s, "v_proj  64 × 64");
    key(s, "nnnnnn");
    expect(s, "v_proj  64 × 64");
    key(s, "/nothing here\r");
    expect(s, "no linear with “nothing here”");
    key(s, ESCAPE);
    key(s, "&mlp.up\r");
    expect(s, "& mlp.up: 6 of 43");
    expect_gone_text(s, " q_proj");
    key(s, "&\x15"
           "none\r");
    expect(s, "no linear matches");
    key(s, ESCAPE);
    expect(s, "by |x|max ▼");
    key(s, ":sort linear\r");
    expect(s, "by linear ▲");
    key(s, "g");
    expect(s, "▸0 q_proj");
    key(s, "G");
    expect(s, "lm_head  128 × 64");
    key(s, "S");
    expect(s, "by linear ▼");
    key(s, "s");
    expect(s, "by |w|max ▼");
    key(s, ":sort nonsense\r");
    expect(s, "no column “nonsense”");
    quit(s);
}

static void the_selection_moves(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, ":sort linear\rg");
    expect(s, "▸0 q_proj");
    key(s, "jj" DOWN UP);
    expect(s, "▸0 v_proj");
    key(s, PAGE_DOWN PAGE_DOWN PAGE_DOWN PAGE_DOWN);
    expect(s, "lm_head  128 × 64");
    key(s, HOME);
    expect(s, "▸0 q_proj");
    key(s, END "k");
    expect(s, "▸5 down_proj");
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
    key(s, ESCAPE);
    key(s, ":nonsense\r");
    expect(s, "no command “nonsense”");
    key(s, ":prompt One day\r");
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
    key(s, command);
    expect(s, "is there already");
    key(s, "n" ESCAPE);
    key(s, ":load /nowhere/at/all.json\r");
    expect(s, "/nowhere/at/all.json");
    quit(s);
}

static void quitting_asks_when_the_recipe_is_not_saved(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    char path[4300];
    key(s, "l");
    expect(s, "recipe not saved");
    key(s, "q");
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

static void help_lists_keys_and_commands(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "?");
    expect(s, " Help ");
    expect(s, "sort by the next column");
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

static void click_on(Screen *s, const char *text) {
    int row, col;
    if (!screen_find(s, text, &row, &col)) fail_with_screen(s, text);
    screen_click(s, row, col + 1);
}

static void the_mouse_chooses_turns_and_drags(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    click_on(s, "3 down_proj");
    expect(s, "▸3 down_proj");
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
        expect(s, "▸5 down_proj");
        screen_resize(s, 12, 50);
        expect(s, "quantdial needs 80 × 24");
        expect(s, "this terminal has 50 × 12");
    }
    screen_resize(s, 2, 9);
    expect_gone_text(s, "Layers");
    screen_resize(s, 24, 80);
    expect(s, "▸5 down_proj");
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
    expect(s, "▸5 down_proj");
    key(s, "j");
    expect_gone_text(s, "▸5 down_proj");
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

static bool all_ascii(Screen *s) {
    char *text = screen_text(s);
    bool ok = true;
    for (const char *at = text; *at; at++) ok = ok && (unsigned char)*at < 0x80;
    free(text);
    return ok;
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
    key(s, "q");
    quit(s);

    s = start_with(24, 80, "--mono", NULL);
    expect(s, "v1 150");
    for (int row = 0; row < 24; row++) {
        for (int col = 0; col < 80; col++) {
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
    Screen *s = start_with(24, 80, NULL, "TERM=no-such-terminal");
    assert_true(screen_wait_gone(s));
    assert_true(WIFEXITED(s->status) && WEXITSTATUS(s->status) != 0);
    assert_true(screen_has(s, "the terminal type \"no-such-terminal\" is not known here"));
    assert_true(screen_modes_restored(s));
    screen_free(s);
}

// ---- ---------------------------------------------------------------------------------------------------------------

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--screen") == 0) return show(argc, argv);
    setlocale(LC_CTYPE, "");
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_screen_shows_the_model),
        cmocka_unit_test(jobs_are_seen_while_they_run),
        cmocka_unit_test(a_failed_job_is_told),
        cmocka_unit_test(every_dial_turns_and_the_plan_follows),
        cmocka_unit_test(dials_scroll_where_the_room_is_small),
        cmocka_unit_test(an_old_figure_is_never_shown_as_new),
        cmocka_unit_test(values_are_typed_and_refused),
        cmocka_unit_test(one_linear_gets_values_of_its_own),
        cmocka_unit_test(a_linear_is_left_alone),
        cmocka_unit_test(changes_since_the_pin_have_signs),
        cmocka_unit_test(linears_are_found_filtered_and_sorted),
        cmocka_unit_test(the_selection_moves),
        cmocka_unit_test(commands_complete_and_are_remembered),
        cmocka_unit_test(recipes_are_written_and_loaded),
        cmocka_unit_test(quitting_asks_when_the_recipe_is_not_saved),
        cmocka_unit_test(help_lists_keys_and_commands),
        cmocka_unit_test(the_mouse_chooses_turns_and_drags),
        cmocka_unit_test(sizes_come_and_go),
        cmocka_unit_test(signals_end_it_in_order),
        cmocka_unit_test(it_stops_and_goes_on),
        cmocka_unit_test(it_survives_being_stopped_without_notice),
        cmocka_unit_test(a_crash_gives_the_terminal_back),
        cmocka_unit_test(a_lost_terminal_ends_it),
        cmocka_unit_test(ascii_mono_and_light_work),
        cmocka_unit_test(a_terminal_that_cannot_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
