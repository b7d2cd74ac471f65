#include "kernels/cuda/simt_cuda.h"

#include "kernels/cuda/kernels_many.h"

extern "C" int cuda_pairs_at_a_time(size_t shared_bytes, int *pairs) {
    return pairs_at_a_time(warpgroups_4_32, SLAB_WARPS * WARP, shared_bytes, pairs);
}

extern "C" void cuda_fill_many_launches(CudaLaunches *launches) { fill_many_launches(launches); }
