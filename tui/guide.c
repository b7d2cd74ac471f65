#include "tui/guide.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "tui/key_names.h"
#include "tui/view.h"

// A file says that it was begun and not yet dismissed.
static char *guide_file(void) {
    char *state = folder_state(), *path = state ? path_join(state, "guide") : NULL;
    free(state);
    return path;
}

static void remember(bool open) {
    char *path = guide_file(), *folder = folder_state();
    if (path && open && folder_make(folder, NULL)) file_write(path, "", 0, NULL);
    if (path && !open) unlink(path);
    free(folder);
    free(path);
}

void guide_begin(Ui *ui, bool first) {
    char *path = guide_file();
    ui->guide.shown = path && (first || file_exists(path));
    ui->guide.changes = workbench_changes(ui->workbench);
    if (ui->guide.shown) remember(true);
    free(path);
}

void guide_toggle(Ui *ui, int unused) {
    (void)unused;
    const bool shown = !ui->guide.shown;
    ui->guide = (Guide){.shown = shown, .changes = workbench_changes(ui->workbench)};
    remember(shown);
    view_arrange(ui);
}

// What is done once stays done.
static void tick(Ui *ui) {
    const bool changed = workbench_changes(ui->workbench) != ui->guide.changes;
    const bool done[GUIDE_STEPS] = {ui->rows.moved, ui->pin.set, changed && ui->target.scope != SCOPE_ALL,
                                    changed && ui->recipe_path && workbench_saved(ui->workbench)};
    bool all = true;
    for (int i = 0; i < GUIDE_STEPS; i++) {
        ui->guide.done[i] = ui->guide.done[i] || done[i];
        all = all && ui->guide.done[i];
    }
    if (all && !ui->guide.finished) remember(false);
    ui->guide.finished = all;
}

static void step_text(const Ui *ui, int step, char *out, size_t size) {
    switch (step) {
    case 0: snprintf(out, size, "↑ ↓ choose a linear: the first has the largest input"); break;
    case 1:
        snprintf(out, size, "%s pins this state: from then on you see what gets better and worse",
                 action_keys(&ui->settings, "pin"));
        break;
    case 2:
        snprintf(out, size, "%s goes to the dials and sets this linear alone; ← → turn one: try bits 8",
                 action_keys(&ui->settings, "scope"));
        break;
    default:
        snprintf(out, size, "%s writes the recipe to a file; %s makes a checkpoint by it",
                 action_keys(&ui->settings, "w"), action_keys(&ui->settings, "convert"));
        break;
    }
}

int guide_rows(const Ui *ui, int rows) {
    if (!ui->guide.shown || ui->screen != SCREEN_LAYERS || rows <= LAYOUT_LEAST_ROWS) return 0;
    return rows - LAYOUT_LEAST_ROWS < GUIDE_STEPS ? rows - LAYOUT_LEAST_ROWS : GUIDE_STEPS;
}

static int next_step(const Ui *ui) {
    int step = 0;
    while (step < GUIDE_STEPS - 1 && ui->guide.done[step]) step++;
    return step;
}

static void draw_step(Ui *ui, Rect line, int step) {
    char text[200];
    const bool done = ui->guide.done[step], next = !done && step == next_step(ui);
    static const char end[] = " :guide closes ";
    step_text(ui, step, text, sizeof text);
    canvas_fill(&ui->canvas, line, MEANING_TEXT, " ");
    canvas_text(&ui->canvas, line.row, line.col + 1, 2, done ? MEANING_BETTER : MEANING_ACCENT,
                done   ? "✓"
                : next ? "▸"
                       : " ");
    canvas_fit(&ui->canvas, line.row, line.col + 3, line.cols - 4, next ? MEANING_TITLE | STYLE_BOLD : MEANING_FAINT,
               text);
    if (next && canvas_width(&ui->canvas, text) + 20 < line.cols)
        canvas_right(&ui->canvas, line.row, line.col, line.cols, MEANING_FAINT, end);
}

void guide_draw(Ui *ui) {
    if (!ui->guide.shown) return;
    tick(ui);
    if (ui->screen != SCREEN_LAYERS) return;
    const int rows = ui->canvas.rows - ui->layout.bottom.row - 1;
    const Rect strip = {ui->layout.bottom.row + 1, 0, rows, ui->canvas.cols};
    if (rows == 0) { // the header is needed for other things, too
        const bool begun = ui->convert.aimed || !workbench_saved(ui->workbench); // which the header tells
        if (!ui->guide.done[0] && !begun) draw_step(ui, ui->layout.header, 0);
        return;
    }
    int first = next_step(ui);
    if (first > GUIDE_STEPS - rows) first = GUIDE_STEPS - rows;
    for (int i = 0; i < rows; i++) draw_step(ui, (Rect){strip.row + i, 0, 1, strip.cols}, first + i);
    if (ui->guide.finished)
        canvas_right(&ui->canvas, strip.row + rows - 1, 0, strip.cols, MEANING_BETTER,
                     " done; :guide closes, ? explains more ");
}
