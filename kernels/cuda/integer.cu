#include "kernels/cuda/simt_cuda.h"

#include "kernels/cuda/kernels_integer_bits.h"

extern "C" void cuda_fill_integer_launches(CudaLaunches *launches) { fill_integer_launches(launches); }
