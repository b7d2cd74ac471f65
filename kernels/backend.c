#include "kernels/backend.h"

#include <stddef.h>
#include <string.h>

typedef void (*Operation)(void);

// How many of the operations from `first` to before `end` (offsets) are there.
static size_t present(const BackendOps *ops, size_t first, size_t end) {
    size_t count = 0;
    for (size_t at = first; at < end; at += sizeof(Operation)) {
        Operation operation;
        memcpy(&operation, (const char *)ops + at, sizeof operation);
        count += operation != NULL;
    }
    return count;
}

bool backend_is_complete(const BackendOps *ops) {
    const size_t first = offsetof(BackendOps, destroy), healthy = offsetof(BackendOps, healthy),
                 mixtures = offsetof(BackendOps, mixture_new), steps = offsetof(BackendOps, step_begin),
                 measure = offsetof(BackendOps, measure);
    const size_t mixed = present(ops, mixtures, steps), recorded = present(ops, steps, measure);
    return present(ops, first, healthy) == (healthy - first) / sizeof(Operation) &&
           (mixed == 0 || mixed == (steps - mixtures) / sizeof(Operation)) &&
           (recorded == 0 || recorded == (measure - steps) / sizeof(Operation));
}
