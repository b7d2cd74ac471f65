#include "kernels/cuda/simt_cuda.h"

#include "kernels/cuda/kernels_table.h"

extern "C" int cuda_integer_few(void *stream, const IntegerArguments *a);
extern "C" int cuda_integer_tiled(void *stream, const IntegerArguments *a);
extern "C" void cuda_fill_many_launches(CudaLaunches *launches);

extern "C" int cuda_prepare_kernels(size_t shared_bytes) { return prepare_kernels(shared_bytes); }

extern "C" void cuda_fill_launches(CudaLaunches *launches) {
    fill_launches(launches);
    launches->integer_few = cuda_integer_few;
    launches->integer_tiled = cuda_integer_tiled;
    cuda_fill_many_launches(launches);
}
