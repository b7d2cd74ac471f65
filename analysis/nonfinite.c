#include "analysis/nonfinite.h"

#include <math.h>
#include <string.h>

#define PIECE ((size_t)4096)

static bool may_hold_them(DType dtype) {
    return dtype_is_float16_or_32(dtype) || dtype == DTYPE_F64 || dtype == DTYPE_F8_E4M3 || dtype == DTYPE_F8_E5M2 ||
           dtype == DTYPE_F8_E8M0;
}

static uint64_t count_piece(const Tensor *tensor, size_t at, size_t n) {
    float values[PIECE];
    double wide[PIECE];
    const char *data = (const char *)tensor->data + at * dtype_bytes(tensor->dtype);
    uint64_t count = 0;
    if (tensor->dtype == DTYPE_F64) { // as a float a large one would be infinite
        memcpy(wide, data, n * sizeof *wide);
        for (size_t i = 0; i < n; i++) count += isfinite(wide[i]) ? 0 : 1;
        return count;
    }
    floats_from(tensor->dtype, data, n, values);
    for (size_t i = 0; i < n; i++) count += isfinite(values[i]) ? 0 : 1;
    return count;
}

static uint64_t count_in(const Tensor *tensor) {
    const size_t n = (size_t)tensor_elements(tensor);
    uint64_t count = 0;
#pragma omp parallel for schedule(static) reduction(+ : count) if (n > 16 * PIECE)
    for (size_t at = 0; at < n; at += PIECE) count += count_piece(tensor, at, n - at < PIECE ? n - at : PIECE);
    return count;
}

bool nonfinite_rest(const ModelStructure *structure, Nonfinite *out, Error *err) {
    *out = (Nonfinite){0};
    for (size_t i = 0; i < structure->rest_count; i++) {
        const Tensor *tensor = structure->rest[i];
        if (!may_hold_them(tensor->dtype)) continue;
        const uint64_t count = count_in(tensor);
        tensor_drop_pages(tensor);
        if (!count) continue;
        if (!out->first) out->first = tensor;
        out->values += count;
        out->tensors++;
    }
    return checkpoint_intact(structure->checkpoint, err);
}
