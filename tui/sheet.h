// A table on its way to a file or the clipboard, cell by cell. Its first row is the heading.
#pragma once

#include "base/array.h"

typedef enum SheetFormat { SHEET_CSV, SHEET_MARKDOWN, SHEET_TABS } SheetFormat;

typedef struct Sheet {
    SheetFormat format;
    Text text;
    int cells, cols; // of this row so far; of the heading
    size_t rows;     // finished ones, the heading among them
} Sheet;

void sheet_cell(Sheet *sheet, const char *text);
void sheet_number(Sheet *sheet, double value); // as exact as it is; nothing for NAN
void sheet_end_row(Sheet *sheet);
