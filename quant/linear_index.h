// The linears of a model by name and by kind: which of them a rule of a recipe matches, and by which rules a set of
// them is named.
#pragma once

#include "loaders/structure.h"

// A hash table: a linear has its index + 1 in the slot that its hash names, or in the next free one; 0 ends a search.
typedef struct NameTable {
    const ModelStructure *structure;
    int *slots;
    size_t mask; // slots − 1; they are a power of two, at least twice the linears
} NameTable;

bool name_table_new(const ModelStructure *structure, NameTable *out); // false when memory is short
void name_table_free(NameTable *table);
// The linears that a glob matches, in order; returns how many. linears: room for all of the model. One without
// wildcards is looked up.
int name_table_match(const NameTable *table, const char *glob, int *linears);

// A name as the numbers in it: of "model.layers.3.mlp.experts.17.up_proj" they are 3 and 17. Names that differ in their
// numbers alone are of one kind.
#define NAME_NUMBERS_MOST 4
typedef struct NumberedName {
    int linear, count, numbers[NAME_NUMBERS_MOST];
    uint64_t kind;
} NumberedName;

typedef struct LinearIndex {
    NameTable table;
    NumberedName *by_kind; // [linear_count], those of a kind side by side, by their numbers
} LinearIndex;

bool linear_index_new(const ModelStructure *structure, LinearIndex *out, Error *err);
void linear_index_free(LinearIndex *index);

typedef struct Globs {
    char **texts; // [count]
    size_t count, capacity;
} Globs;

// Globs that together match exactly the linears of the set ([linear_count]), as few and as short as a person would
// write them: "model.layers.*.mlp.down_proj", "model.layers.1[5-9].mlp.down_proj". Free them in any case.
bool linear_index_globs(const LinearIndex *index, const bool *set, Globs *out, Error *err);
void globs_free(Globs *globs);
