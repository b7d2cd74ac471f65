#include "kernels/host/row_coding.h"

#include "kernels/quantized.h"

void load_equalized_row(const HostKernels *kernels, DType dtype, const void *data, size_t in, size_t index,
                        const float *factors, const float *divisors, float *row) {
    kernels->widen(dtype, (const char *)data + index * in * dtype_bytes(dtype), in, row);
    for (size_t j = 0; factors && j < in; j++) row[j] *= factors[j];
    for (size_t j = 0; divisors && j < in; j++) row[j] /= divisors[index];
}

bool code_symmetric_row(const HostKernels *kernels, const RowCoding *how, const float *row, float *scales,
                        int8_t *codes, double *errors) {
    const float qmax = (float)((1 << (how->bits - 1)) - 1);
    const CodingKernels *coding = kernels->coding;
    const size_t groups = group_count(how->in, how->group);
    if (!coding->absmax(row, how->in, how->group, scales)) return false;
    if (how->scale > 0)
        for (size_t g = 0; g < groups; g++) scales[g] = how->scale;
    else
        coding->scales(scales, groups, qmax, how->scale_dtype);
    coding->codes(row, how->in, how->group, scales, qmax, codes);
    if (errors) coding->error(row, codes, how->in, how->group, scales, 0, &errors[0], &errors[1]);
    return true;
}
