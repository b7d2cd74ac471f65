#include "kernels/cuda/simt_cuda.h"

#include "kernels/cuda/kernels_f16.h"

extern "C" void cuda_fill_f16_launches(CudaLaunches *launches) { fill_f16_launches(launches); }
