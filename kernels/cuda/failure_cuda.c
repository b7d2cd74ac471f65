// The first failure of a device is kept. Nothing runs after it.
#include "kernels/cuda/cuda.h"

bool cuda_check(CudaBackend *c, int code, const char *doing) {
    if (code == 0) return true;
    if (c->recording) { // what cannot be recorded can still be run
        c->recording->broken = true;
        return false;
    }
    if (!c->failed)
        error_set(&c->failure, "%s failed on %s: %s; try again with --backend cpu", doing, c->runtime->facts.name,
                  c->runtime->message(code));
    c->failed = true;
    return false;
}
