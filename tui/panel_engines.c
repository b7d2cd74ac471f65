// The Convert screen with v: which engine loads which format of the recipe.
#include <string.h>

#include "tui/convert.h"
#include "tui/panels.h"
#include "tui/screen.h"

#define CELL_COLS 12 // at least
#define NAME_COLS 15

static const struct {
    const char *sign, *words;
    Style style;
} signs[] = {
    [STANDING_UNREAD] = {"·", "", MEANING_FAINT},
    [STANDING_LOADS] = {"✓ loads", "as it is meant", MEANING_BETTER},
    [STANDING_MENDED] = {"f mends it", "f changes the recipe, then it loads", MEANING_CHANGED},
    [STANDING_MISREADS] = {"? misreads", "it runs, and computes something else", MEANING_WORSE},
    [STANDING_REFUSES] = {"✗ refuses", "no recipe mends it", MEANING_ERROR},
};

static int cell_cols(int format) {
    const int name = (int)strlen(export_format_names[format]) + 2;
    return name > CELL_COLS ? name : CELL_COLS;
}

static Rect cell_at(Rect line, int format) {
    int col = line.col + NAME_COLS;
    for (int i = 0; i < format; i++) col += cell_cols(i);
    const int left = line.col + line.cols - col, cols = cell_cols(format) - 1;
    return (Rect){line.row, col, 1, left < 0 ? 0 : left < cols ? left : cols};
}

static void draw_heads(Ui *ui, Rect line) {
    for (ExportFormat format = 0; format < EXPORT_FORMAT_COUNT; format++) {
        const Rect cell = cell_at(line, (int)format);
        const Style style = format == ui->convert.format ? MEANING_VALUE | STYLE_BOLD : MEANING_FAINT;
        canvas_fit(&ui->canvas, cell.row, cell.col, cell.cols, style, export_format_names[format]);
    }
}

static void draw_cell(Ui *ui, Rect cell, Standing standing) {
    if (standing == STANDING_COUNT)
        canvas_fit(&ui->canvas, cell.row, cell.col, cell.cols, MEANING_FAINT, ui_spinner(ui));
    else
        canvas_fit(&ui->canvas, cell.row, cell.col, cell.cols, signs[standing].style, signs[standing].sign);
}

static void draw_engine(Ui *ui, Rect line, Target target, Target chosen,
                        const Standing standings[EXPORT_FORMAT_COUNT][TARGET_COUNT]) {
    canvas_text(&ui->canvas, line.row, line.col, 1, MEANING_ACCENT, target == chosen ? "▸" : " ");
    canvas_fit(&ui->canvas, line.row, line.col + 1, NAME_COLS - 2, MEANING_TEXT, target_table[target].name);
    for (ExportFormat format = 0; format < EXPORT_DENSE; format++) {
        const Rect cell = cell_at(line, (int)format);
        const bool reads = targets_of_format(format) >> target & 1;
        draw_cell(ui, cell, reads ? standings[format][target] : STANDING_UNREAD);
        if (!reads) continue;
        ui_hit(ui, cell, HIT_STANDING, (int)format * TARGET_COUNT + (int)target);
        if (target == chosen && format == ui->convert.format) canvas_restyle(&ui->canvas, cell, STYLE_SELECTED);
    }
}

static void draw_words(Ui *ui, Rect rest) {
    for (int i = STANDING_LOADS; i <= STANDING_REFUSES && rest.rows > 0; i++, rest.row++, rest.rows--) {
        Pen pen = pen_at(&ui->canvas, (Rect){rest.row, rest.col, 1, rest.cols});
        pen_text(&pen, signs[i].style, "%s", signs[i].sign);
        pen_text(&pen, MEANING_FAINT, "  %s", signs[i].words);
    }
    if (rest.rows > 0)
        canvas_fit(&ui->canvas, rest.row, rest.col, rest.cols, MEANING_FAINT,
                   "dense: whatever reads the model as it was reads it");
}

void panel_engines_draw(Ui *ui) {
    const Rect frame = ui->layout.frame;
    const Rect pane = {frame.row + 1, 1, frame.rows - 2, frame.cols - 2};
    const VerdictRow *row = convert_row(ui, workbench_verdict(ui->workbench, ui->convert.format));
    const Target chosen = row ? row->target : TARGET_COUNT;
    Rect rest = {pane.row, pane.col + 1, pane.rows, pane.cols - 2};
    Standing standings[EXPORT_FORMAT_COUNT][TARGET_COUNT];
    workbench_standings(ui->workbench, standings);
    canvas_box(&ui->canvas, pane, MEANING_RULE);
    screen_tabs_draw(ui, (Rect){pane.row - 1, pane.col, 1, pane.cols});
    draw_heads(ui, rest);
    for (Target target = 0; target < TARGET_COUNT && rest.rows > 1; target++, rest.rows--)
        draw_engine(ui, (Rect){++rest.row, rest.col, 1, rest.cols}, target, chosen, standings);
    rest.row += 2;
    rest.rows -= 3;
    draw_words(ui, rest);
}
