#include <math.h>

#include "kernels/host/simd_avx512.h"

#include "kernels/host/kernels_template.h"

const HostKernels host_kernels_avx512 = KERNELS("avx512", &coding_kernels_avx512, &scan_kernels_avx2, NULL);
