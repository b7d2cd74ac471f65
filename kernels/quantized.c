#include "kernels/quantized.h"

#include <stdlib.h>

#include "base/array.h"

bool quantized_weight_new(size_t out, size_t in, size_t group, int bits, DType scale_dtype, QuantizedWeight *w,
                          Error *err) {
    *w = (QuantizedWeight){.out = out, .in = in, .group = group, .bits = bits, .scale_dtype = scale_dtype};
    size_t elements, groups;
    if (group == 0) return error_set(err, "a group of 0 weights was asked for");
    if (__builtin_mul_overflow(out, in, &elements) || __builtin_mul_overflow(out, group_count(in, group), &groups))
        return error_set(err, "a matrix of %zu × %zu is too large", out, in);
    w->codes = array_new(elements, sizeof *w->codes);
    w->scales = array_new(groups, sizeof *w->scales);
    if (w->codes && w->scales) return true;
    quantized_weight_free(w);
    return error_memory(err, "quantized weights");
}

void quantized_weight_free(QuantizedWeight *w) {
    free(w->codes);
    free(w->scales);
    *w = (QuantizedWeight){0};
}
