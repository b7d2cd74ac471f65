// The tensor-core products for every number of bits.
#pragma once

#include "kernels/cuda/kernels_integer.h"

INTEGER_KERNELS(2)
INTEGER_KERNELS(3)
INTEGER_KERNELS(4)
INTEGER_KERNELS(8)

static int launch_integer_few(void *stream, const IntegerArguments *a) {
    switch (a->layout.bits) {
    case 2: return launch_few_2(stream, a);
    case 3: return launch_few_3(stream, a);
    case 4: return launch_few_4(stream, a);
    default: return launch_few_8(stream, a);
    }
}

static int launch_integer_tiled(void *stream, const IntegerArguments *a) {
    switch (a->layout.bits) {
    case 2: return launch_tiled_2(stream, a);
    case 3: return launch_tiled_3(stream, a);
    case 4: return launch_tiled_4(stream, a);
    default: return launch_tiled_8(stream, a);
    }
}

static void fill_integer_launches(CudaLaunches *l) {
    l->integer_few = launch_integer_few;
    l->integer_tiled = launch_integer_tiled;
}
