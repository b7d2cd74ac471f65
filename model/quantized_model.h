// The quantized twin of a transformer: follows a plan, packing again only the linears whose decision changed.
#pragma once

#include "base/progress.h"
#include "model/transformer.h"
#include "quant/plan.h"
#include "quant/quantize.h"

typedef struct QuantizedModel QuantizedModel;

bool quantized_model_new(const Transformer *base, QuantizedModel **out, Error *err);
void quantized_model_free(QuantizedModel *model);

// Makes the model follow the plan. measured: for the channel maxima behind LAE factors. When it is stopped or fails it
// is still whole: linears that share an input or a fold follow either the old or the new plan, and the next call
// finishes the work. Another cache counts as a change of every layer; sequences keep the one they have. *first_changed
// (may be NULL; set on stop and failure too): the first layer whose arithmetic changed by this call, or the layer count
// when none did. The head counts as part of the last layer. Linears are packed again when their decision or their
// factors changed.
bool quantized_model_follow(QuantizedModel *model, const Plan *plan, const Measured *measured, int *first_changed,
                            Progress *progress, Error *err);

Transformer *quantized_model_transformer(QuantizedModel *model);
// What rounding the weights of one linear cost; NULL while it is not quantized.
const WeightError *quantized_model_weight_error(const QuantizedModel *model, int linear);
// The channel factors that were folded into the norm or the linear before a linear, so that its input arrives divided
// by them, [in]; NULL when there are none or when the linear itself divides.
const float *quantized_model_factors(const QuantizedModel *model, int linear);
// The factors by which the rows of a linear are divided, and so its output, [out]; NULL when there are none.
const float *quantized_model_divisors(const QuantizedModel *model, int linear);
