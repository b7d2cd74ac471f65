#include "kernels/cuda/simt_cuda.h"

#include "kernels/cuda/kernels_many.h"

extern "C" void cuda_fill_many_launches(CudaLaunches *launches) { fill_many_launches(launches); }
