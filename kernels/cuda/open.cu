// The CUDA runtime behind kernels/cuda/runtime.h, and the CUDA backend on it.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <cuda_runtime.h>

#include "kernels/cuda/lane.h"

extern "C" {
#include "kernels/backend.h"
#include "kernels/cuda/library.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda_probe.h"

void cuda_fill_launches(CudaLaunches *launches);
int cuda_prepare_kernels(size_t shared_bytes);
int cuda_pairs_at_a_time(size_t shared_bytes, int *pairs);
bool backend_cuda_on(CudaRuntime *runtime, Backend **out, Error *err);
bool backend_cuda_new(int device, Backend **out, Error *err);
}

namespace {

// Copies to the device pass through memory that it can read by itself, so that they neither wait for it nor read the
// caller's memory later. Large ones through two buffers: while one is read the other is filled. Small ones through a
// buffer that is filled from its beginning to its end, and then again when the device has caught up.
enum { STAGES = 2, FEW_BYTES = 64 << 10 };
const size_t STAGE_BYTES = (size_t)8 << 20, FEW_ROOM = (size_t)1 << 20;
const size_t WORKSPACE_BYTES = (size_t)32 << 20; // for the library

struct Runtime {
    CudaRuntime base;
    CudaLaunches launches;
    int device;
    cudaStream_t stream;
    cudaMemPool_t pool; // of all memory; NULL: there is none
    Lane lane;
    void *stage[STAGES];
    cudaEvent_t read[STAGES]; // when a stage may be filled again
    int next;
    char *few; // [FEW_ROOM]
    size_t few_used;
    void *results; // [STAGE_BYTES] for downloads
    CudaLibrary *library;
    void *workspace;
};

Runtime *of(CudaRuntime *runtime) { return reinterpret_cast<Runtime *>(runtime); }

// The stream, for anything but a kernel of ours.
cudaStream_t stream_of(Runtime *r) {
    r->lane.after_kernel = false;
    return r->stream;
}

const char *message(int code) {
    if (code < 0) return "the library for dense products reports an error";
    return cudaGetErrorString(static_cast<cudaError_t>(code));
}

// What the pool holds and nobody uses is free, too.
int memory(CudaRuntime *runtime, size_t *free_bytes, size_t *total_bytes) {
    const cudaMemPool_t pool = of(runtime)->pool;
    uint64_t held = 0, used = 0;
    cudaError_t error = cudaMemGetInfo(free_bytes, total_bytes);
    if (error != cudaSuccess || !pool) return error;
    error = cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &held);
    if (error == cudaSuccess) error = cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used);
    if (error == cudaSuccess && held > used) *free_bytes += held - used;
    return error;
}

// Callers may be of several threads, each with a device of its own in the eyes of the runtime.
int enter(CudaRuntime *runtime) { return cudaSetDevice(of(runtime)->device); }

// A pool keeps what it is given back, so that quantizing a matrix again asks the driver for nothing. What is in pieces
// too small for what is wanted goes back to the driver first.
cudaError_t allocate_in_pool(Runtime *r, size_t bytes, void **out) {
    cudaError_t error = cudaMallocFromPoolAsync(out, bytes, r->pool, stream_of(r));
    if (error != cudaErrorMemoryAllocation) return error;
    (void)cudaGetLastError();
    error = cudaStreamSynchronize(r->stream);
    if (error == cudaSuccess) error = cudaMemPoolTrimTo(r->pool, 0);
    return error == cudaSuccess ? cudaMallocFromPoolAsync(out, bytes, r->pool, r->stream) : error;
}

int allocate(CudaRuntime *runtime, size_t bytes, void **out) {
    Runtime *r = of(runtime);
    const cudaError_t error = r->pool ? allocate_in_pool(r, bytes, out) : cudaMalloc(out, bytes);
    if (error == cudaSuccess) return error;
    (void)cudaGetLastError(); // told here: later calls did not fail
    *out = nullptr;
    return error;
}

void release(CudaRuntime *runtime, void *data) {
    Runtime *r = of(runtime);
    if (r->pool) {
        (void)cudaFreeAsync(data, stream_of(r));
        return;
    }
    (void)cudaStreamSynchronize(stream_of(r));
    (void)cudaFree(data);
}

int allocate_host(CudaRuntime *, size_t bytes, void **out) {
    cudaError_t error = cudaMallocHost(out, bytes);
    if (error != cudaSuccess) (void)cudaGetLastError();
    return error;
}

void release_host(CudaRuntime *runtime, void *data) {
    (void)cudaStreamSynchronize(stream_of(of(runtime))); // which may read it
    (void)cudaFreeHost(data);
}

int clear_memory(CudaRuntime *runtime, void *data, size_t bytes) {
    return cudaMemsetAsync(data, 0, bytes, stream_of(of(runtime)));
}

// rows × width bytes, side by side on the host, `stride` apart on the device.
int upload_rows(CudaRuntime *runtime, void *device, size_t stride, const void *host, size_t width, size_t rows) {
    Runtime *r = of(runtime);
    const size_t most = width < STAGE_BYTES ? STAGE_BYTES / width : 0;
    if (most == 0) { // a row that fits no stage; the driver copies it by itself, in its own time
        cudaError_t error =
            cudaMemcpy2DAsync(device, stride, host, width, width, rows, cudaMemcpyHostToDevice, stream_of(r));
        return error == cudaSuccess ? cudaStreamSynchronize(stream_of(r)) : error;
    }
    for (size_t done = 0; done < rows;) {
        const size_t now = rows - done < most ? rows - done : most;
        const int stage = r->next;
        r->next = (r->next + 1) % STAGES;
        cudaError_t error = cudaEventSynchronize(r->read[stage]);
        if (error != cudaSuccess) return error;
        memcpy(r->stage[stage], static_cast<const char *>(host) + done * width, now * width);
        error = cudaMemcpy2DAsync(static_cast<char *>(device) + done * stride, stride, r->stage[stage], width, width,
                                  now, cudaMemcpyHostToDevice, stream_of(r));
        if (error == cudaSuccess) error = cudaEventRecord(r->read[stage], stream_of(r));
        if (error != cudaSuccess) return error;
        done += now;
    }
    return cudaSuccess;
}

int upload_few(Runtime *r, void *device, const void *host, size_t bytes) {
    if (r->few_used + bytes > FEW_ROOM) {
        cudaError_t error = cudaStreamSynchronize(stream_of(r));
        if (error != cudaSuccess) return error;
        r->few_used = 0;
    }
    char *stage = r->few + r->few_used;
    r->few_used += (bytes + 15) / 16 * 16;
    memcpy(stage, host, bytes);
    return cudaMemcpyAsync(device, stage, bytes, cudaMemcpyHostToDevice, stream_of(r));
}

int upload(CudaRuntime *runtime, void *device, const void *host, size_t bytes) {
    const size_t width = FEW_BYTES, rows = bytes / width, rest = bytes % width;
    int error = rows ? upload_rows(runtime, device, width, host, width, rows) : (int)cudaSuccess;
    if (error != cudaSuccess || rest == 0) return error;
    return upload_few(of(runtime), static_cast<char *>(device) + rows * width,
                      static_cast<const char *>(host) + rows * width, rest);
}

int download(CudaRuntime *runtime, void *host, const void *device, size_t bytes) {
    Runtime *r = of(runtime);
    for (size_t done = 0; done < bytes;) {
        const size_t now = bytes - done < STAGE_BYTES ? bytes - done : STAGE_BYTES;
        cudaError_t error = cudaMemcpyAsync(r->results, static_cast<const char *>(device) + done, now,
                                            cudaMemcpyDeviceToHost, stream_of(r));
        if (error == cudaSuccess) error = cudaStreamSynchronize(stream_of(r));
        if (error != cudaSuccess) return error;
        memcpy(static_cast<char *>(host) + done, r->results, now);
        done += now;
    }
    return cudaSuccess;
}

int copy_memory(CudaRuntime *runtime, void *to, const void *from, size_t bytes) {
    return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_of(of(runtime)));
}

int synchronize(CudaRuntime *runtime) { return cudaStreamSynchronize(stream_of(of(runtime))); }

// ---- Recorded steps: CUDA graphs ----

// Relaxed: a kernel that is launched for the first time is loaded then, for which the driver may allocate. Of ours only
// the stream's own work happens in between (backend_cuda.c refuses the rest).
int record_begin(CudaRuntime *runtime) {
    cudaError_t error = cudaStreamBeginCapture(stream_of(of(runtime)), cudaStreamCaptureModeRelaxed);
    if (error != cudaSuccess) (void)cudaGetLastError(); // or the next launch would seem to have failed
    return error;
}

int record_upload(CudaRuntime *runtime, void *device, const void *host, size_t bytes) {
    return cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_of(of(runtime)));
}

int record_end(CudaRuntime *runtime, void **recorded) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    *recorded = nullptr;
    cudaError_t error = cudaStreamEndCapture(stream_of(of(runtime)), &graph);
    if (error == cudaSuccess) error = cudaGraphInstantiateWithFlags(&executable, graph, 0);
    if (graph) (void)cudaGraphDestroy(graph);
    if (error != cudaSuccess) (void)cudaGetLastError(); // what cannot be recorded is run as usual
    *recorded = executable;
    return error;
}

int run_recorded(CudaRuntime *runtime, void *recorded) {
    return cudaGraphLaunch(static_cast<cudaGraphExec_t>(recorded), stream_of(of(runtime)));
}

void forget(CudaRuntime *, void *recorded) { (void)cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(recorded)); }

int product(CudaRuntime *runtime, const LibraryProduct *p) {
    (void)stream_of(of(runtime));
    return cuda_library_product(of(runtime)->library, p);
}

// ---- Opening and closing ----

void close_runtime(CudaRuntime *runtime) {
    Runtime *r = of(runtime);
    if (r->stream) (void)cudaStreamSynchronize(r->stream);
    cuda_library_free(r->library);
    for (int i = 0; i < STAGES; i++) {
        if (r->stage[i]) (void)cudaFreeHost(r->stage[i]);
        if (r->read[i]) (void)cudaEventDestroy(r->read[i]);
    }
    if (r->few) (void)cudaFreeHost(r->few);
    if (r->results) (void)cudaFreeHost(r->results);
    if (r->workspace) (void)cudaFree(r->workspace);
    if (r->stream) (void)cudaStreamSynchronize(r->stream);
    if (r->pool) (void)cudaMemPoolDestroy(r->pool);
    if (r->stream) (void)cudaStreamDestroy(r->stream);
    free(r);
}

void fill_functions(CudaRuntime *base) {
    base->close = close_runtime;
    base->message = message;
    base->enter = enter;
    base->memory = memory;
    base->allocate = allocate;
    base->release = release;
    base->allocate_host = allocate_host;
    base->release_host = release_host;
    base->clear = clear_memory;
    base->upload = upload;
    base->upload_rows = upload_rows;
    base->download = download;
    base->copy = copy_memory;
    base->synchronize = synchronize;
    base->record_begin = record_begin;
    base->record_upload = record_upload;
    base->record_end = record_end;
    base->run = run_recorded;
    base->forget = forget;
}

__global__ void nothing() {}

cudaError_t read_facts(int device, CudaFacts *facts) {
    cudaDeviceProp properties;
    cudaFuncAttributes code;
    cudaError_t error = cudaGetDeviceProperties(&properties, device);
    if (error == cudaSuccess) error = cudaFuncGetAttributes(&code, nothing);
    if (error != cudaSuccess) return error;
    snprintf(facts->name, sizeof facts->name, "%s", properties.name);
    // Code of an older generation that the driver translated for this device does not use what is new in it.
    const int device_has = properties.major * 10 + properties.minor;
    facts->capability = code.ptxVersion < device_has ? code.ptxVersion : device_has;
    // Code for 9.0 itself, not translated for another device.
    facts->warpgroups = device_has == 90 && code.binaryVersion == 90 && facts->capability == 90;
    facts->multiprocessors = properties.multiProcessorCount;
    facts->shared_bytes = properties.sharedMemPerBlockOptin;
    return cudaSuccess;
}

// Memory in the order of the stream. The pool keeps all that it had until it is closed. Without one memory comes from
// the driver.
void open_pool(Runtime *r) {
    int supported = 0;
    uint64_t all = UINT64_MAX;
    cudaMemPoolProps how = {};
    how.allocType = cudaMemAllocationTypePinned;
    how.location.type = cudaMemLocationTypeDevice;
    how.location.id = r->device;
    cudaError_t error = cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported, r->device);
    if (error == cudaSuccess && supported) error = cudaMemPoolCreate(&r->pool, &how);
    if (error == cudaSuccess && r->pool)
        error = cudaMemPoolSetAttribute(r->pool, cudaMemPoolAttrReleaseThreshold, &all);
    if (error != cudaSuccess) (void)cudaGetLastError();
}

// Pairs wait for those before them (kernels_slabs.h), so the driver has to say how many run at the same time.
void count_pairs(CudaFacts *facts) {
    if (!facts->warpgroups || cuda_pairs_at_a_time(facts->shared_bytes, &facts->pairs) == cudaSuccess) return;
    (void)cudaGetLastError();
    facts->pairs = 0;
}

cudaError_t open_runtime(Runtime *r, int device) {
    r->device = device;
    cudaError_t error = cudaSetDevice(device);
    if (error == cudaSuccess) error = read_facts(device, &r->base.facts);
    if (error == cudaSuccess) error = static_cast<cudaError_t>(cuda_prepare_kernels(r->base.facts.shared_bytes));
    if (error == cudaSuccess) count_pairs(&r->base.facts);
    if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&r->stream, cudaStreamNonBlocking);
    if (error == cudaSuccess) open_pool(r);
    for (int i = 0; i < STAGES && error == cudaSuccess; i++) {
        error = cudaMallocHost(&r->stage[i], STAGE_BYTES);
        if (error == cudaSuccess) error = cudaEventCreateWithFlags(&r->read[i], cudaEventDisableTiming);
    }
    if (error == cudaSuccess) error = cudaMallocHost(&r->few, FEW_ROOM);
    if (error == cudaSuccess) error = cudaMallocHost(&r->results, STAGE_BYTES);
    return error;
}

// A library without working memory of its own would ask for some while a step is recorded.
void open_library(Runtime *r) {
    int version = 0;
    (void)cudaRuntimeGetVersion(&version);
    r->library = cuda_library_new(version, r->stream, r->base.library, sizeof r->base.library);
    if (!r->library) return;
    if (cudaMalloc(&r->workspace, WORKSPACE_BYTES) != cudaSuccess) {
        (void)cudaGetLastError();
        r->workspace = nullptr;
        cuda_library_free(r->library);
        r->library = nullptr;
        snprintf(r->base.library, sizeof r->base.library, "no device memory for cuBLAS");
        return;
    }
    cuda_library_workspace(r->library, r->workspace, WORKSPACE_BYTES);
    r->base.product = product;
}

} // namespace

bool backend_cuda_new(int device, Backend **out, Error *err) {
    CudaProbe probe;
    *out = nullptr;
    if (!cuda_probe(&probe))
        return error_set(err, "CUDA cannot be used: %s; --backend cpu computes on the processor", probe.reason);
    if (device < 0 || device >= probe.device_count)
        return error_set(err, "there is no CUDA device %d; this machine has %d", device, probe.device_count);
    Runtime *r = static_cast<Runtime *>(calloc(1, sizeof(Runtime)));
    if (!r) return error_memory(err, "the CUDA backend");
    fill_functions(&r->base);
    cuda_fill_launches(&r->launches);
    r->base.launches = &r->launches;
    cudaError_t error = open_runtime(r, device);
    if (error != cudaSuccess) {
        (void)cudaGetLastError();
        close_runtime(&r->base);
        return error_set(err, "device %d does not start: %s; --backend cpu computes on the processor", device,
                         cudaGetErrorString(error));
    }
    r->lane.stream = r->stream;
    r->lane.early = &r->base.early;
    r->base.stream = &r->lane;
    open_library(r);
    return backend_cuda_on(&r->base, out, err);
}
