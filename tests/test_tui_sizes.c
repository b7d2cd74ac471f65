// Every screen at every size, from what is too small to more than a wall: with marks, folded and whole, with what lies
// over it. Whatever is shown, the frame stays whole, and what can be clicked lies inside.
#include <ctype.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fake/workbench.c" // NOLINT(bugprone-suspicious-include)
#include "tests/support/in_folder.h"
#include "tests/support/slow_checks.h"
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

// ---- texts over texts ---------------------------------------------------------------------------------------------

// A letter or digit that comes to where another one stands, with no blank drawn between them.
static struct {
    bool found;
    int row, col;
    char old, new;
    char text[80];
} overlap;

static bool is_letter(const Cell *cell) { return isalnum((unsigned char)cell->text[0]) && !cell->text[1]; }

static void look_below(const Canvas *canvas, int row, int col, int width, const char *text) {
    const char *at = text;
    int columns, end = col + width < canvas->cols ? col + width : canvas->cols;
    for (size_t length; (length = canvas_character(canvas, at, &columns)) > 0; at += length, col += columns) {
        if (overlap.found || row < 0 || row >= canvas->rows || col < 0 || col + columns > end) return;
        const Cell *cell = &canvas->cells[(size_t)row * (size_t)canvas->cols + (size_t)col];
        if (!isalnum((unsigned char)*at) || !is_letter(cell) || cell->text[0] == *at) continue;
        overlap.found = true;
        overlap.row = row;
        overlap.col = col;
        overlap.old = cell->text[0];
        overlap.new = *at;
        snprintf(overlap.text, sizeof overlap.text, "%s", text);
    }
}

// The linker puts the first of each in the place of the second. NOLINTBEGIN(bugprone-reserved-identifier)
int __wrap_canvas_text(Canvas *canvas, int row, int col, int width, Style style, const char *text);
int __real_canvas_text(Canvas *canvas, int row, int col, int width, Style style, const char *text);
int __wrap_canvas_fit(Canvas *canvas, int row, int col, int width, Style style, const char *text);
int __real_canvas_fit(Canvas *canvas, int row, int col, int width, Style style, const char *text);
void __wrap_canvas_right(Canvas *canvas, int row, int col, int width, Style style, const char *text);
void __real_canvas_right(Canvas *canvas, int row, int col, int width, Style style, const char *text);
void __wrap_pen_text(Pen *pen, Style style, const char *format, ...) __attribute__((format(printf, 3, 4)));
void __real_pen_text(Pen *pen, Style style, const char *format, ...) __attribute__((format(printf, 3, 4)));
void __wrap_pen_field(Pen *pen, const char *label, Style style, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void __real_pen_field(Pen *pen, const char *label, Style style, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

int __wrap_canvas_text(Canvas *canvas, int row, int col, int width, Style style, const char *text) {
    look_below(canvas, row, col, width, text);
    return __real_canvas_text(canvas, row, col, width, style, text);
}

int __wrap_canvas_fit(Canvas *canvas, int row, int col, int width, Style style, const char *text) {
    look_below(canvas, row, col, canvas_width(canvas, text) > width ? width - 1 : width, text);
    return __real_canvas_fit(canvas, row, col, width, style, text);
}

void __wrap_canvas_right(Canvas *canvas, int row, int col, int width, Style style, const char *text) {
    const int needed = canvas_width(canvas, text);
    if (needed > width)
        look_below(canvas, row, col, width - 1, text);
    else
        look_below(canvas, row, col + width - needed, needed, text);
    __real_canvas_right(canvas, row, col, width, style, text);
}

static void look_below_pen(const Pen *pen, const char *text) {
    const int width = canvas_width(pen->canvas, text);
    if (!pen->full && pen->col + width <= pen->end) look_below(pen->canvas, pen->row, pen->col, width, text);
}

void __wrap_pen_text(Pen *pen, Style style, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    look_below_pen(pen, text);
    __real_pen_text(pen, style, "%s", text);
}

void __wrap_pen_field(Pen *pen, const char *label, Style style, const char *format, ...) {
    char text[256], both[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(both, sizeof both, "%s %s", label, text);
    look_below_pen(pen, both);
    __real_pen_field(pen, label, style, "%s", text);
}
// NOLINTEND(bugprone-reserved-identifier)

// ---- frames -------------------------------------------------------------------------------------------------------

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
#define EVERY (-1)
static const struct {
    const char *name, *keys, *back;
    int screen; // or EVERY
} states[] = {
    {"as it is", "", "", EVERY},
    {"help", "?", "\033", EVERY},
    {"jobs", "J", "\033", EVERY},
    {"speeds", "B", "\033", EVERY},
    {"a command", ":export ", "\033", EVERY},
    {"a name is asked for", "w", "\033", EVERY},
    {"a search", "/down", "\033", EVERY},
    {"an error", ":set bits 99\n", "\033", EVERY},
    {"one pane", "v", "\033\033", SCREEN_LAYERS},
    {"another pane", "vvv", "\033\033", SCREEN_LAYERS},
    {"a menu", "s", "\033", SCREEN_LAYERS},
    {"overrides", "O", "\033", SCREEN_LAYERS},
    {"one pane", "v", "\033", SCREEN_OUTLIERS},
    {"another pane", "vv", "\033", SCREEN_OUTLIERS},
    {"one pane", "v", "\033", SCREEN_TRIALS},
    {"another pane", "vv", "\033", SCREEN_TRIALS},
    {"the difference", "d", "d", SCREEN_TRIALS},
    {"a menu", "s", "\033", SCREEN_TRIALS},
    {"one pane", "v", "\033", SCREEN_SWEEP},
    {"another pane", "vv", "\033", SCREEN_SWEEP},
    {"a list of dials", "d", "\033", SCREEN_SWEEP},
};
enum { STATES = sizeof states / sizeof *states };

static void draw_at(Ui *ui, int rows, int cols, const char *state) {
    Error err = {0};
    if (!ui_resize(ui, rows, cols, &err)) fail_msg("%s", err.message);
    overlap.found = false;
    screen_draw(ui);
    if (overlap.found) {
        fprintf(stderr, "%s: row %d, column %d: \"%c\" over \"%c\", of \"%s\"\n", state, overlap.row, overlap.col,
                overlap.new, overlap.old, overlap.text);
        fail_with(ui, "a text lies over another", state);
    }
    check(ui, state);
}

// Steps that share no factor, so that sides meet in many ways; and both ends of what fits.
static void walk(Ui *ui, const char *state, int offset) {
    static const int edges[][2] = {
        {5, 20}, {LAYOUT_LEAST_ROWS, LAYOUT_LEAST_COLS}, {LAYOUT_LEAST_ROWS - 1, 300}, {100, 300}};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) draw_at(ui, edges[i][0], edges[i][1], state);
    const int step = many_cases() ? 1 : 3;
    for (int rows = 5 + offset % 19; rows <= 100; rows += 19 * step)
        for (int cols = 20 + (offset * 7 + rows) % 53; cols <= 300; cols += 53 * step) draw_at(ui, rows, cols, state);
}

static void walk_all(Ui *ui) {
    int offset = 0;
    for (int screen = 0; screen < SCREEN_COUNT; screen++) {
        draw_at(ui, 36, 120, "resting");
        screen_go(ui, (ScreenKind)screen);
        settle(ui);
        for (int i = 0; i < STATES; i++) {
            if (states[i].screen != EVERY && states[i].screen != screen) continue;
            draw_at(ui, 36, 120, "resting");
            press(ui, states[i].keys);
            walk(ui, states[i].name, offset++);
            draw_at(ui, 36, 120, "resting");
            press(ui, states[i].back);
            assert_true((int)ui->screen == screen && !ui->zoomed && ui->prompt == PROMPT_NONE && !ui->help.shown &&
                        !ui->jobs.shown && !ui->speeds_shown && !ui->overrides.shown);
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
