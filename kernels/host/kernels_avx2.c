#include <math.h>

#include "kernels/host/simd_avx2.h"

#include "kernels/host/kernels_template.h"

const HostKernels host_kernels_avx2 = KERNELS("avx2", &coding_kernels_avx2, &scan_kernels_avx2, NULL);
