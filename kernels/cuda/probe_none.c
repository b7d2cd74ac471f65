#include "kernels/cuda_probe.h"

#include <stdio.h>

bool cuda_probe(CudaProbe *out) {
    *out = (CudaProbe){.compiled = false};
    snprintf(out->reason, sizeof out->reason, "built without CUDA");
    return false;
}
