// What the CUDA backend needs from a device: memory, copies, recorded steps, and the kernels' launches. open.cu gives
// the real one; tests give one that computes on the host (tests/support/cuda_emulated.h).
//
// Functions that return int return 0, or a code that `message` explains. Everything runs in the order of the calls.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "kernels/cuda/arguments.h"

typedef struct CudaFacts {
    char name[256];
    int capability;  // 90 for an H100
    bool warpgroups; // it multiplies by warpgroups, and there is code for that
    int multiprocessors;
    int pairs;           // of blocks by warpgroups, each with all the room of two multiprocessors, that run at a time
    size_t shared_bytes; // of one block, at most
} CudaFacts;

// y [tokens, out] float = x [tokens, in] · W', W [out, in]; both of one element type, rows `stride` apart.
typedef struct LibraryProduct {
    int dtype;
    const void *w, *x;
    size_t out, in, tokens, w_stride, x_stride;
    float *y;
} LibraryProduct;

typedef struct CudaRuntime CudaRuntime;
struct CudaRuntime {
    CudaFacts facts;
    const CudaLaunches *launches;
    void *stream;      // for the launches
    bool early;        // a kernel may begin before the one before it has ended, and waits for that as soon as it must
    char library[160]; // the vendor's library for dense products, or why it is not used

    void (*close)(CudaRuntime *);
    const char *(*message)(int code);
    int (*enter)(CudaRuntime *); // what this thread calls from now on is about this device
    int (*memory)(CudaRuntime *, size_t *free_bytes, size_t *total_bytes);
    int (*allocate)(CudaRuntime *, size_t bytes, void **);      // holds anything
    void (*release)(CudaRuntime *, void *);                     // after all work that uses it
    int (*allocate_host)(CudaRuntime *, size_t bytes, void **); // host memory that a recorded copy may read from
    void (*release_host)(CudaRuntime *, void *);
    int (*clear)(CudaRuntime *, void *, size_t bytes);
    // The host's memory may be changed as soon as upload returns.
    int (*upload)(CudaRuntime *, void *device, const void *host, size_t bytes);
    // Rows of `width` bytes to rows `stride` bytes apart.
    int (*upload_rows)(CudaRuntime *, void *device, size_t stride, const void *host, size_t width, size_t rows);
    int (*download)(CudaRuntime *, void *host, const void *device, size_t bytes); // returns when it is there
    int (*copy)(CudaRuntime *, void *to, const void *from, size_t bytes);         // within the device
    int (*synchronize)(CudaRuntime *);

    // Between begin and end nothing runs; all of it is kept and runs again and again.
    int (*record_begin)(CudaRuntime *);
    int (*record_upload)(CudaRuntime *, void *device, const void *host, size_t bytes); // reads `host` at every run
    int (*record_end)(CudaRuntime *, void **recorded);
    int (*run)(CudaRuntime *, void *recorded);
    void (*forget)(CudaRuntime *, void *recorded);

    int (*product)(CudaRuntime *, const LibraryProduct *); // NULL without the library
};
