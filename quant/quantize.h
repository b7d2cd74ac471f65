// Weights → integers, by a decision. Rounding half to even; scales are rounded to their stored type before codes are
// computed.
#pragma once

#include "kernels/quantized.h"
#include "loaders/structure.h"
#include "quant/plan.h"

typedef struct WeightError {
    double signal, noise; // Σ w², Σ (w − ŵ)² (of the equalized weight)
} WeightError;

// 10 log10(signal / noise); +infinity when nothing was lost.
double weight_sqnr_db(const WeightError *error);

// column_factors: [in] or NULL, multiplied into the columns (in float) before anything else; row_divisors: [out] or
// NULL, by which the rows are divided after that. `error` may be NULL, which saves its time. Errors: memory; an element
// type that is not a float of 16 or 32 bits; values that are not finite, with tensor and row.
bool quantize_linear(const Linear *linear, const Decision *decision, const float *column_factors,
                     const float *row_divisors, QuantizedWeight *out, WeightError *error, Error *err);

// What the codes stand for as floats [out, in]; out has out · in elements.
void dequantize(const QuantizedWeight *w, float *out);
