#include "kernels/cuda/simt_cuda.h"

#include "kernels/cuda/kernels_integer_bits.h"

extern "C" int cuda_integer_few(void *stream, const IntegerArguments *a) { return launch_integer_few(stream, a); }
extern "C" int cuda_integer_tiled(void *stream, const IntegerArguments *a) { return launch_integer_tiled(stream, a); }
