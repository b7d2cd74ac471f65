#include "tui/handout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/expand.h"
#include "base/file.h"
#include "tui/convert.h"
#include "tui/figure.h"
#include "tui/panels.h"
#include "tui/screen.h"
#include "tui/sheet.h"

// ---- Layers -------------------------------------------------------------------------------------------------------

// For programs the figures themselves, for people as they are shown.
static void add_linear(const Ui *ui, Sheet *sheet, int linear) {
    const Decision *decision = &workbench_plan(ui->workbench)->decisions[linear];
    sheet_cell(sheet, workbench_structure(ui->workbench)->linears[linear].name);
    for (int column = COLUMN_LINEAR + 1; column < COLUMN_COUNT; column++) {
        const double figure = rows_figure(ui->workbench, linear, (Column)column);
        if (column == COLUMN_CLASS)
            sheet_cell(sheet, decision->quantized ? decision_input_text(decision) : "");
        else if (sheet->format == SHEET_CSV)
            sheet_number(sheet, isinf(figure) && column != COLUMN_WEIGHT_MAX && column != COLUMN_SQNR ? NAN : figure);
        else
            sheet_cell(sheet, panel_layers_cell(ui, linear, (Column)column).text);
    }
    sheet_end_row(sheet);
}

static void layers_sheet(Ui *ui, Sheet *sheet) {
    for (int column = 0; column < COLUMN_COUNT; column++)
        sheet_cell(sheet, sheet->format == SHEET_CSV ? column_table[column].name : column_table[column].title);
    sheet_end_row(sheet);
    for (int i = 0; i < ui->rows.count; i++) { // folded ones, too
        const int *members = rows_members(&ui->rows, i);
        for (int m = 0; m < rows_size(&ui->rows, i); m++) add_linear(ui, sheet, members[m]);
    }
}

static void copy_row(Ui *ui, Text *out, Text *what) {
    const int linear = ui_linear(ui);
    if (linear < 0) return;
    const char *name = workbench_structure(ui->workbench)->linears[linear].name;
    text_addf(out, "%s", name);
    for (int column = COLUMN_LINEAR + 1; column < COLUMN_COUNT; column++)
        text_addf(out, "  %s %s", column_table[column].title, panel_layers_cell(ui, linear, (Column)column).text);
    text_addf(what, "the row of %s", name);
}

static void copy_recipe(Ui *ui, Text *out, Text *what) {
    char *recipe = recipe_print(workbench_recipe(ui->workbench));
    if (recipe) text_addf(out, "%s", recipe);
    free(recipe);
    text_addf(what, "the recipe");
}

static void copy_texts(Ui *ui, Text *out, Text *what) {
    const Effect *effect = workbench_effect(ui->workbench);
    const bool stale = effect->decode_turn != workbench_turn(ui->workbench);
    text_addf(out, "prompt: %s\n", workbench_prompt(ui->workbench));
    if (effect->base.known && effect->base.text) text_addf(out, "base: %s\n", effect->base.text);
    if (effect->quantized.known && effect->quantized.text && !stale)
        text_addf(out, "quantized: %s\n", effect->quantized.text);
    text_addf(what, "%s", stale || !effect->quantized.known ? "the base's text" : "both texts");
}

static void layers_copy(Ui *ui, Text *out, Text *what) {
    switch (ui->focus) {
    case PANE_LAYERS: copy_row(ui, out, what); break;
    case PANE_DIALS: copy_recipe(ui, out, what); break;
    case PANE_TEXTS: copy_texts(ui, out, what); break;
    case PANE_COUNT: break;
    }
}

static void layers_figure(Ui *ui, Text *out) {
    if (ui_linear(ui) >= 0)
        figure_svg(ui, ui_linear(ui), ui->colors == COLORS_COLORBLIND ? COLORS_COLORBLIND : COLORS_LIGHT, out);
}

// ---- Convert ------------------------------------------------------------------------------------------------------

static void add_findings(const Verdict *verdict, const VerdictRow *row, Sheet *sheet) {
    const TargetInfo *target = &target_table[row->target];
    if (!convert_findings(verdict, row)) {
        sheet_cell(sheet, target->title);
        sheet_cell(sheet, target->version);
        sheet_cell(sheet, row->loads ? "loads" : "does not load");
        sheet_end_row(sheet);
    }
    for (int i = 0; i < verdict->finding_count; i++) {
        const Finding *finding = &verdict->findings[i];
        if (!(finding->targets >> row->target & 1)) continue;
        sheet_cell(sheet, target->title);
        sheet_cell(sheet, target->version);
        sheet_cell(sheet, severity_names[finding->severity]);
        sheet_cell(sheet, finding->what);
        sheet_cell(sheet, finding->remedy ? finding->remedy : "");
        sheet_end_row(sheet);
    }
}

static void convert_sheet(Ui *ui, Sheet *sheet) {
    static const char *const headings[] = {"engine", "version", "verdict", "finding", "remedy"};
    const Verdict *verdict = workbench_verdict(ui->workbench, ui->convert.format);
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++) sheet_cell(sheet, headings[i]);
    sheet_end_row(sheet);
    for (int i = 0; verdict && i < verdict->row_count; i++) add_findings(verdict, &verdict->rows[i], sheet);
}

static void convert_copy(Ui *ui, Text *out, Text *what) {
    const Verdict *verdict = workbench_verdict(ui->workbench, ui->convert.format);
    const VerdictRow *row = verdict ? convert_row(ui, verdict) : NULL;
    if (!row) return;
    const char *title = target_table[row->target].title;
    text_addf(out, "%s: %s\n", title, row->loads ? "loads" : "does not load");
    for (int i = 0; i < verdict->finding_count; i++) {
        if (verdict->findings[i].targets >> row->target & 1) text_addf(out, "%s\n", verdict->findings[i].what);
    }
    text_addf(what, "the verdict for %s", title);
}

// ---- which screen has what ----------------------------------------------------------------------------------------

static const struct {
    void (*copy)(Ui *ui, Text *out, Text *what); // nothing in `out`: there is nothing to copy
    void (*sheet)(Ui *ui, Sheet *sheet);
    void (*figure)(Ui *ui, Text *out); // SVG
} handouts[SCREEN_COUNT] = {
    [SCREEN_LAYERS] = {layers_copy, layers_sheet, layers_figure},
    [SCREEN_CONVERT] = {convert_copy, convert_sheet, NULL},
};

// ---- copying ------------------------------------------------------------------------------------------------------

static size_t characters(const char *text) {
    size_t count = 0;
    for (; *text; text++) count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

static void copy(Ui *ui, const Text *text, const char *what) {
    Error err = {0};
    if (!text->length)
        ui_say(ui, "there is nothing to copy here");
    else if (text->failed)
        ui_fail(ui, "not copied: memory is short");
    else if (ui->terminal && ui_report(ui, terminal_copy(ui->terminal, text->data, text->length, &err), &err))
        ui_say(ui, "copied %s, %zu characters", what, characters(text->data));
}

void handout_copy(Ui *ui, int unused) {
    (void)unused;
    Text text = {0}, what = {0};
    if (handouts[ui->screen].copy) handouts[ui->screen].copy(ui, &text, &what);
    copy(ui, &text, what.length ? what.data : "");
    text_free(&text);
    text_free(&what);
}

void handout_copy_table(Ui *ui, int unused) {
    (void)unused;
    Sheet sheet = {.format = SHEET_TABS};
    char what[64];
    if (handouts[ui->screen].sheet) handouts[ui->screen].sheet(ui, &sheet);
    snprintf(what, sizeof what, "the table, %zu rows", sheet.rows ? sheet.rows - 1 : 0);
    copy(ui, &sheet.text, what);
    text_free(&sheet.text);
}

// ---- files --------------------------------------------------------------------------------------------------------

static bool ends_with(const char *path, const char *ending) {
    const size_t length = strlen(path), less = strlen(ending);
    return length > less && strcasecmp(path + length - less, ending) == 0;
}

// What a file of this name should hold. False, after a message, when this screen has nothing of the kind.
static bool make_content(Ui *ui, const char *path, Sheet *out) {
    const bool svg = ends_with(path, ".svg"), csv = ends_with(path, ".csv"), markdown = ends_with(path, ".md");
    if (!svg && !csv && !markdown) {
        ui_fail(ui, "%s: the ending says what is written: .csv or .md for the table, .svg for the figure", path);
        return false;
    }
    *out = (Sheet){.format = csv ? SHEET_CSV : SHEET_MARKDOWN};
    if (svg && handouts[ui->screen].figure) handouts[ui->screen].figure(ui, &out->text);
    if (!svg && handouts[ui->screen].sheet) handouts[ui->screen].sheet(ui, out);
    if (!out->text.length) ui_fail(ui, "this screen has no %s to write", svg ? "figure" : "table");
    return out->text.length > 0;
}

static void write_file(Ui *ui, const char *path, bool over) {
    Error err = {0};
    Sheet content = {0};
    char *file = home_expand(path, &err);
    if (!file) {
        ui_report(ui, false, &err);
        return;
    }
    if (!over && file_exists(file))
        ui_fail(ui, "%s already exists; :export! %s writes over it", file, path);
    else if (make_content(ui, file, &content)) {
        const bool ok = content.text.failed ? error_memory(&err, "the file")
                                            : file_write(file, content.text.data, content.text.length, &err);
        if (ui_report(ui, ok, &err) && content.rows)
            ui_say(ui, "%zu rows written to %s", content.rows - 1, file);
        else if (ok)
            ui_say(ui, "figure written to %s", file);
    }
    text_free(&content.text);
    free(file);
}

void handout_ask(Ui *ui, int unused) {
    (void)unused;
    char name[64];
    snprintf(name, sizeof name, "%s.csv", screen_table[ui->screen].title);
    if (*name >= 'A' && *name <= 'Z') *name = (char)(*name - 'A' + 'a');
    ui_ask(ui, PROMPT_EXPORT, name);
}

void handout_write(Ui *ui, const char *path) {
    if (*path)
        write_file(ui, path, false);
    else
        handout_ask(ui, 0);
}

void handout_over(Ui *ui, const char *path) {
    if (*path)
        write_file(ui, path, true);
    else
        handout_ask(ui, 0);
}
