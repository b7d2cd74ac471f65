#include "kernels/backend.h"

bool backend_cuda_new(int device, Backend **out, Error *err) {
    (void)device;
    *out = NULL;
    return error_set(err, "this program was built without CUDA; --backend cpu computes on the processor");
}
