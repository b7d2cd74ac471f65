#include "kernels/cpu/coding_rows.h"

#include "kernels/cpu/kernels.h"

const CodingKernels coding_kernels_scalar = {row_absmax, row_codes, row_error};

const CodingKernels *coding_kernels_choose(void) {
#ifdef QUANTDIAL_X86
    const CpuKernels *kernels = cpu_kernels_choose(NULL);
    if (kernels == &cpu_kernels_avx512) return &coding_kernels_avx512;
    if (kernels == &cpu_kernels_avx2) return &coding_kernels_avx2;
#endif
    return &coding_kernels_scalar;
}
