#include <math.h>

#include "kernels/cpu/simd_scalar.h"

#include "kernels/cpu/kernels_template.h"

const CpuKernels cpu_kernels_scalar = KERNELS("scalar");
