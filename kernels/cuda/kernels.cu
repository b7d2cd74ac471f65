#include "kernels/cuda/simt_cuda.h"

#include "kernels/cuda/kernels_table.h"

extern "C" void cuda_fill_integer_launches(CudaLaunches *launches);
extern "C" void cuda_fill_many_launches(CudaLaunches *launches);

extern "C" int cuda_prepare_kernels(size_t shared_bytes) { return prepare_kernels(shared_bytes); }

extern "C" void cuda_fill_launches(CudaLaunches *launches) {
    fill_launches(launches);
    cuda_fill_integer_launches(launches);
    cuda_fill_many_launches(launches);
}
