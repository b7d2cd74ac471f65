// The vendor's library for dense products, cuBLAS. It is looked for when the program runs, not when it is linked: it is
// 500 MB and more, and the program must start where it is missing. Without it our own, slower, product takes over.
#ifndef QUANTDIAL_KERNELS_CUDA_LIBRARY_H
#define QUANTDIAL_KERNELS_CUDA_LIBRARY_H

#include "kernels/cuda/runtime.h"
#include "kernels/cuda_probe.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CudaLibrary CudaLibrary;

// NULL when it is not there; `note` [note_bytes] says what was found or why not. stream: where products run.
CudaLibrary *cuda_library_new(int runtime_version, void *stream, char *note, size_t note_bytes);
void cuda_library_free(CudaLibrary *library);
int cuda_library_product(CudaLibrary *library, const LibraryProduct *product); // 0, or −1 − the library's own code
// Working memory for products inside recorded steps, which must not allocate; the caller's, as long as the library
// lives.
void cuda_library_workspace(CudaLibrary *library, void *memory, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
