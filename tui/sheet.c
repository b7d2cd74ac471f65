#include "tui/sheet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// RFC 4180: quotation marks around what could be taken for the table's own signs, and twice inside.
static void add_csv(Text *out, const char *text) {
    if (!text[strcspn(text, ",\"\r\n")]) {
        text_add(out, text, strlen(text));
        return;
    }
    text_add(out, "\"", 1);
    for (; *text; text++) text_add(out, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
    text_add(out, "\"", 1);
}

// A bar would end the cell, and lines end rows.
static void add_plain(Text *out, const char *text, bool escape_bars) {
    for (; *text; text++) {
        if (*text == '|' && escape_bars) text_add(out, "\\", 1);
        text_add(out, strchr("\t\r\n", *text) ? " " : text, 1);
    }
}

void sheet_cell(Sheet *sheet, const char *text) {
    const bool first = sheet->cells++ == 0;
    switch (sheet->format) {
    case SHEET_CSV:
        if (!first) text_add(&sheet->text, ",", 1);
        add_csv(&sheet->text, text);
        break;
    case SHEET_MARKDOWN:
        text_addf(&sheet->text, "%s", first ? "| " : " | ");
        add_plain(&sheet->text, text, true);
        break;
    case SHEET_TABS:
        if (!first) text_add(&sheet->text, "\t", 1);
        add_plain(&sheet->text, text, false);
        break;
    }
}

void sheet_number(Sheet *sheet, double value) {
    char text[40] = "";
    if (!isnan(value)) snprintf(text, sizeof text, "%.9g", value);
    sheet_cell(sheet, text);
}

void sheet_end_row(Sheet *sheet) {
    const bool heading = sheet->rows++ == 0;
    if (heading) sheet->cols = sheet->cells;
    for (; sheet->cells < sheet->cols;) sheet_cell(sheet, "");
    text_addf(&sheet->text, sheet->format == SHEET_MARKDOWN ? " |\n" : sheet->format == SHEET_CSV ? "\r\n" : "\n");
    for (int i = 0; heading && sheet->format == SHEET_MARKDOWN && i < sheet->cols; i++)
        text_addf(&sheet->text, i + 1 < sheet->cols ? "| --- " : "| --- |\n");
    sheet->cells = 0;
}
