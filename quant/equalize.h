// Equalization of a linear's input: channel factors s_j, x'_j = x_j / s_j, W'_{·j} = W_{·j} · s_j, and where the
// division happens: in the gain of the norm before, in the rows of the linear before, or at run time. Everything here
// follows from a plan and the measured ranges, so that whoever packs or exports a model computes the same factors.
#pragma once

#include "loaders/structure.h"
#include "quant/plan.h"

// True when the decision divides its input by factors.
bool decision_equalizes(const Decision *decision);

// Whether the factors of `linear`'s input can go into the rows of the linear that its fold names: each of its columns
// is one of those rows (which may be a part of a fused linear), or, behind grouped-query attention, several of them are
// the same row.
bool fold_has_rows(const ModelStructure *structure, const Linear *linear);

// columns [in] = max(columns, |w|) over the columns of all linears that read the input of linear `index`, which are in
// its layer; false where one is not measured.
bool reader_columns(const ModelStructure *structure, const Measured *measured, int index, float *columns);

// factors [in] of linear `index`. Where they are folded into rows, columns that read the same row share the largest of
// their factors. Errors: an input that was not measured; memory.
bool equalize_factors(const ModelStructure *structure, const Measured *measured, const Decision *decision, int index,
                      float *factors, Error *err);

// For each linear the one whose factors are folded into its rows (and its bias), or −1: only a quantized linear takes
// them. readers [linear_count].
void equalize_row_readers(const ModelStructure *structure, const Plan *plan, int *readers);
// For each norm the first of the linears whose factors its gain and bias are divided by, or −1. All that read a norm
// must be divided alike; else each divides at run time, which is the same function. readers [norm_count].
bool equalize_norm_readers(const ModelStructure *structure, const Plan *plan, int *readers, Error *err);
// Whether the factors of linear `index` are folded somewhere, by the two lists above. If it has factors and they are
// not, it divides its input at run time.
bool equalize_is_folded(const Plan *plan, const int *row_readers, const int *norm_readers, int index);
// The factors of linear `reader`, by row: rows [out] of the linear that its fold names are divided by them; 1 for rows
// that it does not read.
bool equalize_divisors(const ModelStructure *structure, const Measured *measured, const Plan *plan, int reader,
                       float *divisors, Error *err);
