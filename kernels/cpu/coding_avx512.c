#include "kernels/cpu/coding_rows.h"

const CodingKernels coding_kernels_avx512 = {row_absmax, row_codes, row_error};
