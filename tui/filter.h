// Which linears are shown, or marked: an expression like
//
//   bits < 8 and class = token      out<15 !down_proj      layer >= 15 role = down      not quantized
//
// Terms stand side by side, with or without "and"; ! or not turns one round. A term compares a column (column_table:
// its name or its title) or one of the fields below with a value, or is a text that the name must match (NamePattern);
// in quotation marks it may hold blanks. A figure that is not known fulfils no comparison.
#pragma once

#include <stddef.h>

#include "tui/name_pattern.h"
#include "tui/rows_columns.h"

// Fields beside the columns.
typedef enum Field {
    FIELD_LAYER = COLUMN_COUNT,
    FIELD_EXPERT,
    FIELD_ROLE,
    FIELD_MARKED, // from here on they stand alone
    FIELD_CHANGED,
    FIELD_OVERRIDDEN,
    FIELD_QUANTIZED,
    FIELD_COUNT
} Field;

// What a filter asks of the linears.
typedef struct FilterView {
    const void *context;
    double (*number)(const void *context, int linear, int field); // NAN: unknown; 0 or 1 of what stands alone
    void (*text)(const void *context, int linear, int field, char *out, size_t size); // of class and role
    bool (*matches)(const void *context, int linear, const NamePattern *pattern);     // one of its names
    bool (*is_glob)(const void *context, const char *text); // it matches some whole name as a glob
} FilterView;

typedef enum Comparison {
    COMPARE_MATCH, // the name with the pattern
    COMPARE_IS,    // a field that stands alone
    COMPARE_EQUAL,
    COMPARE_UNEQUAL,
    COMPARE_LESS,
    COMPARE_AT_MOST,
    COMPARE_MORE,
    COMPARE_AT_LEAST,
} Comparison;

typedef struct FilterTerm {
    bool inverted;
    int field;
    Comparison comparison;
    double value;
    char word[32]; // that class or role is compared with
    NamePattern pattern;
} FilterTerm;

#define FILTER_TERMS_MOST 16
typedef struct Filter {
    FilterTerm terms[FILTER_TERMS_MOST]; // all must hold
    int count;                           // 0: everything passes
} Filter;

const char *filter_field_name(int field); // as it is typed: of a column or a Field
bool filter_parse(const char *text, const FilterView *view, Filter *out, Error *err); // says what is wrong
void filter_free(Filter *filter);
bool filter_passes(const Filter *filter, const FilterView *view, int linear);
