#include "kernels/host/scan_template.h"

#include "kernels/host/kernels.h"

static void scan_ranges(DType dtype, const void *data, size_t groups, float *minima, float *maxima) {
    for (size_t g = 0; g < groups; g++)
        host_kernels_scalar.range(dtype, (const char *)data + g * SCAN_GROUP * sizeof(uint16_t), SCAN_GROUP, &minima[g],
                                  &maxima[g]);
}

const ScanKernels scan_kernels_scalar = {scan_ranges, magnitudes, merge_pairs};
