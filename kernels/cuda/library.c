#include "kernels/cuda/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/dtype.h"

// From cublas_api.h and library_types.h, which need not be there when we are built.
enum { OP_N = 0, OP_T = 1, R_32F = 0, R_16F = 2, R_16BF = 14, COMPUTE_32F = 68, GEMM_DEFAULT = -1 };

typedef struct Functions {
    int (*create)(void **handle);
    int (*destroy)(void *handle);
    int (*set_stream)(void *handle, void *stream);
    int (*set_workspace)(void *handle, void *memory, size_t bytes);
    int (*product)(void *handle, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *a, int a_type,
                   int a_stride, const void *b, int b_type, int b_stride, const void *beta, void *c, int c_type,
                   int c_stride, int compute, int algorithm);
} Functions;

struct CudaLibrary {
    void *object, *handle;
    Functions call;
};

// Once there it stays, also when it is closed: its kernels are known to the driver then, and loading it takes long.
static void *open_object(int runtime_version, char *name, size_t name_bytes) {
    const int flags = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
    // The version that goes with the runtime in this program, then whatever the machine calls cuBLAS.
    snprintf(name, name_bytes, "libcublas.so.%d", runtime_version / 1000);
    void *object = dlopen(name, flags);
    if (object) return object;
    snprintf(name, name_bytes, "libcublas.so");
    return dlopen(name, flags);
}

static bool find_symbol(void *object, const char *name, void *pointer) {
    *(void **)pointer = dlsym(object, name); // POSIX lets a function's address be carried by void *
    return *(void **)pointer != NULL;
}

static bool find_all(void *object, Functions *f) {
    return find_symbol(object, "cublasCreate_v2", (void *)&f->create) &&
           find_symbol(object, "cublasDestroy_v2", (void *)&f->destroy) &&
           find_symbol(object, "cublasSetStream_v2", (void *)&f->set_stream) &&
           find_symbol(object, "cublasSetWorkspace_v2", (void *)&f->set_workspace) &&
           find_symbol(object, "cublasGemmEx", (void *)&f->product);
}

// The library with its functions, not started; NULL when it is not there.
static CudaLibrary *load_library(int runtime_version, char *note, size_t note_bytes) {
    char name[64];
    CudaLibrary *library = calloc(1, sizeof *library);
    if (!library) {
        snprintf(note, note_bytes, "no memory for cuBLAS");
        return NULL;
    }
    library->object = open_object(runtime_version, name, sizeof name);
    if (library->object && find_all(library->object, &library->call)) {
        snprintf(note, note_bytes, "%s", name);
        return library;
    }
    if (library->object)
        snprintf(note, note_bytes, "%s lacks functions: dense products of many tokens are slower", name);
    else
        snprintf(note, note_bytes, "libcublas.so.%d was not found: dense products of many tokens are slower",
                 runtime_version / 1000);
    cuda_library_free(library);
    return NULL;
}

void cuda_library_note(int runtime_version, char *note, size_t note_bytes) {
    cuda_library_free(load_library(runtime_version, note, note_bytes));
}

CudaLibrary *cuda_library_new(int runtime_version, void *stream, char *note, size_t note_bytes) {
    CudaLibrary *library = load_library(runtime_version, note, note_bytes);
    if (!library) return NULL;
    if (library->call.create(&library->handle) == 0 && library->call.set_stream(library->handle, stream) == 0)
        return library;
    snprintf(note, note_bytes, "cuBLAS does not start: dense products of many tokens are slower");
    cuda_library_free(library);
    return NULL;
}

void cuda_library_free(CudaLibrary *library) {
    if (!library) return;
    if (library->handle) library->call.destroy(library->handle);
    if (library->object) dlclose(library->object);
    free(library);
}

void cuda_library_workspace(CudaLibrary *library, void *memory, size_t bytes) {
    library->call.set_workspace(library->handle, memory, bytes);
}

static int type_of(int dtype) { return dtype == DTYPE_F32 ? R_32F : dtype == DTYPE_F16 ? R_16F : R_16BF; }

int cuda_library_product(CudaLibrary *library, const LibraryProduct *p) {
    const float one = 1, zero = 0;
    const int type = type_of(p->dtype);
    // The library stores columns: our rows of W, x and y are columns of W', x' and y', and y' = (W')' x'.
    int status = library->call.product(library->handle, OP_T, OP_N, (int)p->out, (int)p->tokens, (int)p->in, &one, p->w,
                                       type, (int)p->w_stride, p->x, type, (int)p->x_stride, &zero, p->y, R_32F,
                                       (int)p->out, COMPUTE_32F, GEMM_DEFAULT);
    return status == 0 ? 0 : -1 - status;
}
