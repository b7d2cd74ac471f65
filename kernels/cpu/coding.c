#include "kernels/cpu/coding.h"

#include "kernels/cpu/kernels.h"
#include "kernels/quantized.h"

const CodingKernels *coding_kernels_choose(void) {
#ifdef QUANTDIAL_X86
    const CpuKernels *kernels = cpu_kernels_choose(NULL);
    if (kernels == &cpu_kernels_avx512) return &coding_kernels_avx512;
    if (kernels == &cpu_kernels_avx2) return &coding_kernels_avx2;
#endif
    return &coding_kernels_scalar;
}

void load_equalized_row(const CpuKernels *kernels, DType dtype, const void *data, size_t in, size_t index,
                        const float *factors, const float *divisors, float *row) {
    kernels->widen(dtype, (const char *)data + index * in * dtype_bytes(dtype), in, row);
    for (size_t j = 0; factors && j < in; j++) row[j] *= factors[j];
    for (size_t j = 0; divisors && j < in; j++) row[j] /= divisors[index];
}

bool code_symmetric_row(const CodingKernels *kernels, const RowCoding *how, const float *row, float *scales,
                        int8_t *codes, double *errors) {
    const float qmax = (float)((1 << (how->bits - 1)) - 1);
    const size_t groups = group_count(how->in, how->group);
    if (!kernels->absmax(row, how->in, how->group, scales)) return false;
    if (how->scale > 0)
        for (size_t g = 0; g < groups; g++) scales[g] = how->scale;
    else
        kernels->scales(scales, groups, qmax, how->scale_dtype);
    kernels->codes(row, how->in, how->group, scales, qmax, codes);
    if (errors) kernels->error(row, codes, how->in, how->group, scales, 0, &errors[0], &errors[1]);
    return true;
}
