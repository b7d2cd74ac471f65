#include <math.h>

#include "kernels/cpu/simd_avx2.h"

#include "kernels/cpu/kernels_template.h"

const CpuKernels cpu_kernels_avx2 = KERNELS("avx2", NULL);
