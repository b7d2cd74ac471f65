// Every screen at every size, from what is too small to more than a wall: with marks, folded and whole, with what lies
// over it. Whatever is shown, the frame stays whole, and what can be clicked lies inside.
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fake/workbench.c" // NOLINT(bugprone-suspicious-include)
#include "tests/support/in_folder.h"
#include "tui/screen.h"

static void begin(Ui *ui) {
    Error err = {0};
    Workbench *workbench = NULL;
    setenv("FAKE_PACE", "200", 1);
    setenv("XDG_STATE_HOME", folder, 1);
    if (fake_workbench_open(&(WorkbenchOptions){0}, &workbench, &err) && ui_init(ui, workbench, NULL, &err) &&
        ui_resize(ui, 24, 80, &err))
        return;
    fprintf(stderr, "%s\n", err.message);
    abort(); // which the analyzer knows not to come back, unlike fail_msg
}

static void end(Ui *ui) {
    Workbench *workbench = ui->workbench;
    ui_free(ui);
    workbench_close(workbench);
}

static void settle(Ui *ui) {
    do {
        usleep(1000);
        workbench_update(ui->workbench);
        ui_update(ui);
    } while (workbench_busy(ui->workbench));
}

static void press(Ui *ui, const char *keys) {
    for (; *keys; keys++)
        screen_key(ui, &(Key){.code = *keys == '\n' ? KEY_RETURN : *keys == '\033' ? KEY_ESCAPE : *keys});
}

static const Cell *cell_at(const Ui *ui, int row, int col) {
    return &ui->canvas.cells[(size_t)row * (size_t)ui->canvas.cols + (size_t)col];
}

static void fail_with(const Ui *ui, const char *what, const char *state) {
    for (int row = 0; row < ui->canvas.rows; row++) {
        for (int col = 0; col < ui->canvas.cols; col++) fprintf(stderr, "%s", cell_at(ui, row, col)->text);
        fprintf(stderr, "\n");
    }
    fail_msg("%s at %d x %d: %s", screen_table[ui->screen].title, ui->canvas.rows, ui->canvas.cols,
             what ? what : state);
}

// What tells how far a table is scrolled, and that it has more columns, stands on its right edge.
static bool is_edge(const Cell *cell) {
    static const char *const signs[] = {"┃", "#", "›", ">"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strcmp(cell->text, signs[i]) == 0) return true;
    return cell->edges != 0;
}

static void check(const Ui *ui, const char *state) {
    const int rows = ui->canvas.rows, cols = ui->canvas.cols;
    for (int row = 1; ui->layout.fits && row < rows; row++)
        if (!cell_at(ui, row, 0)->edges || !is_edge(cell_at(ui, row, cols - 1)))
            fail_with(ui, "a border is gone", state);
    for (int i = 0; i < ui->hit_count; i++) {
        const Rect r = ui->hits[i].rect;
        if (r.row < 0 || r.col < 0 || r.row + r.rows > rows || r.col + r.cols > cols)
            fail_with(ui, "what is clicked lies outside", state);
    }
    if (ui->canvas.cursor_row >= 0 && (ui->canvas.cursor_row >= rows || ui->canvas.cursor_col >= cols))
        fail_with(ui, "the cursor is outside", state);
}

// What lies over a screen, or changes how it is shown; and the keys that end it.
static const struct {
    const char *name, *keys, *back;
    bool of_layers;
} states[] = {
    {"as it is", "", "", false},
    {"help", "?", "\033", false},
    {"jobs", "J", "\033", false},
    {"speeds", "B", "\033", false},
    {"a command", ":export ", "\033", false},
    {"a name is asked for", "w", "\033", false},
    {"one pane", "v", "\033\033", true},
    {"another pane", "vvv", "\033\033", true},
    {"a menu", "s", "\033", true},
    {"overrides", "O", "\033", true},
};
enum { STATES = sizeof states / sizeof *states };

static void draw_at(Ui *ui, int rows, int cols, const char *state) {
    Error err = {0};
    if (!ui_resize(ui, rows, cols, &err)) fail_msg("%s", err.message);
    screen_draw(ui);
    check(ui, state);
}

// Steps that share no factor, so that sides meet in many ways; and both ends of what fits.
static void walk(Ui *ui, const char *state, int offset) {
    static const int edges[][2] = {
        {5, 20}, {LAYOUT_LEAST_ROWS, LAYOUT_LEAST_COLS}, {LAYOUT_LEAST_ROWS - 1, 300}, {100, 300}};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) draw_at(ui, edges[i][0], edges[i][1], state);
    for (int rows = 5 + offset % 19; rows <= 100; rows += 19)
        for (int cols = 20 + (offset * 7 + rows) % 53; cols <= 300; cols += 53) draw_at(ui, rows, cols, state);
}

static void walk_all(Ui *ui) {
    int offset = 0;
    for (int screen = 0; screen < SCREEN_COUNT; screen++) {
        draw_at(ui, 36, 120, "resting");
        screen_go(ui, (ScreenKind)screen);
        settle(ui);
        for (int i = 0; i < STATES; i++) {
            if (states[i].of_layers && screen != SCREEN_LAYERS) continue;
            draw_at(ui, 36, 120, "resting");
            press(ui, states[i].keys);
            walk(ui, states[i].name, offset++);
            draw_at(ui, 36, 120, "resting");
            press(ui, states[i].back);
            assert_true(ui->prompt == PROMPT_NONE && !ui->help.shown && !ui->jobs.shown && !ui->speeds_shown &&
                        !ui->overrides.shown);
        }
    }
}

static void every_screen_holds_at_every_size(void **state) {
    (void)state;
    Ui ui;
    begin(&ui);
    settle(&ui);
    press(&ui, "*down\no:set bits 8\n"); // marks, overrides, and a second trial
    settle(&ui);
    walk_all(&ui);
    ui.canvas.ascii = true;
    walk_all(&ui);
    end(&ui);
}

static void a_mixture_holds_at_every_size(void **state) {
    (void)state;
    Ui ui;
    setenv("FAKE_EXPERTS", "8", 1);
    begin(&ui);
    unsetenv("FAKE_EXPERTS");
    settle(&ui);
    press(&ui, "  Z*gate\n");
    walk_all(&ui);
    end(&ui);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(every_screen_holds_at_every_size),
        IN_FOLDER(a_mixture_holds_at_every_size),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
