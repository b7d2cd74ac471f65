// What launches are given as their stream.
//
// Where `early` says so, a kernel begins as soon as all blocks of the one before are under way: its launch is over, it
// asks for its first weights, and then waits until the other has ended. What came before must be one of our kernels,
// not a copy.
#pragma once

#include <cuda_runtime.h>

struct Lane {
    cudaStream_t stream;
    const bool *early;
    bool after_kernel;
};
