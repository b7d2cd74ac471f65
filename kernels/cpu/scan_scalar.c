#include "kernels/cpu/scan_template.h"

#include "kernels/cpu/kernels.h"

static void ranges(DType dtype, const void *data, size_t groups, float *minima, float *maxima) {
    for (size_t g = 0; g < groups; g++)
        cpu_kernels_scalar.range(dtype, (const char *)data + g * SCAN_GROUP * sizeof(uint16_t), SCAN_GROUP, &minima[g],
                                 &maxima[g]);
}

const ScanKernels scan_kernels_scalar = {ranges, magnitudes, merge_pairs};

const ScanKernels *scan_kernels_choose(void) {
#ifdef QUANTDIAL_X86
    const CpuKernels *kernels = cpu_kernels_choose(NULL);
    if (kernels && kernels != &cpu_kernels_scalar) return &scan_kernels_avx2;
#endif
    return &scan_kernels_scalar;
}
