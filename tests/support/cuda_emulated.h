// A CUDA backend whose device is emulated on the host (simt_emulated.h): the same code, kernels included, but for the
// calls of the CUDA runtime.
#pragma once

#include "kernels/backend.h"

typedef struct EmulatedDevice {
    int capability;      // 75: without the tensor cores that the kernels use
    int multiprocessors; // few of them, so that small matrices are not all split
    size_t shared_bytes; // of a block
    size_t memory_bytes; // of the device
    bool library;        // dense products of many tokens by a "vendor's library"
    // When positive: that many launches succeed, then the device fails.
    int launches_left;
    bool unprepared; // kernels have the shared memory that a device gives unasked
} EmulatedDevice;

static const EmulatedDevice emulated_hopper = {90, 4, 227 << 10, (size_t)1 << 30, false, 0, false};

// False where the host cannot emulate: the test is to be skipped.
bool backend_emulated_new(const EmulatedDevice *device, Backend **out);

// On all emulated devices: recorded steps that were run, kernels, those of recorded steps included, and bytes that were
// copied back to the host.
extern size_t emulated_runs, emulated_kernels, emulated_downloaded;

// The next kernel from number *from on that no launch has run yet, *from behind it; or NULL.
const char *emulated_never_run(size_t *from);

// Launches that a device would have refused, as it would have: too much shared memory or too many threads for the
// kernel ("invalid argument"), an impossible grid ("invalid configuration argument"); and which one was the last.
extern size_t emulated_refusals;
extern char emulated_refusal[200];
