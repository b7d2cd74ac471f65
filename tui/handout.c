#include "tui/handout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/expand.h"
#include "base/file.h"
#include "tui/handouts.h"
#include "tui/screen.h"

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

static const char *why_empty(const Ui *ui) {
    if (ui->screen == SCREEN_LAYERS) return "that passes the filter";
    return ui->screen == SCREEN_CONVERT ? "while there is no verdict on this recipe and format" : "yet";
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
    const bool empty = out->rows == 1; // the headings
    if (empty) ui_fail(ui, "nothing to write: the table has no row %s", why_empty(ui));
    return out->text.length > 0 && !empty;
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
        if (ok) snprintf(ui->exported, sizeof ui->exported, "%s", strrchr(path, '.'));
    }
    text_free(&content.text);
    free(file);
}

void handout_ask(Ui *ui, int unused) {
    (void)unused;
    char name[64];
    const char *ending = ui->exported;
    if (!*ending || (strcasecmp(ending, ".svg") == 0 && !handouts[ui->screen].figure)) ending = ".csv";
    snprintf(name, sizeof name, "%s%s", screen_table[ui->screen].title, ending);
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
