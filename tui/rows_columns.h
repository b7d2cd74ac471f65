// The columns of the table of linears.
#pragma once

#include <stdbool.h>

typedef enum Column {
    COLUMN_LINEAR,
    COLUMN_WEIGHT_MAX,
    COLUMN_RANGE,
    COLUMN_CLASS,
    COLUMN_BITS,
    COLUMN_GROUP,
    COLUMN_SQNR,
    COLUMN_KURTOSIS,
    COLUMN_OUTLIERS,
    COLUMN_SIZE,
    COLUMN_COUNT,
} Column;

typedef struct ColumnInfo {
    const char *title;
    const char *name; // for :sort and filters
    char key;         // in the menu of columns
    int width;
    bool falling; // sorts with the largest first
    const char *help;
} ColumnInfo;

extern const ColumnInfo column_table[COLUMN_COUNT];
