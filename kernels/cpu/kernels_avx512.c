#include <math.h>

#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/kernels_template.h"

const CpuKernels cpu_kernels_avx512 = KERNELS("avx512", NULL);
