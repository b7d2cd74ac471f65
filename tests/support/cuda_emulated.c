#include "tests/support/cuda_emulated.h"

#include "tests/support/simt_emulated.h"

size_t emulated_runs, emulated_kernels, emulated_downloaded, emulated_refusals;
char emulated_refusal[200];

#ifdef EMULATES

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(FROM, BYTES) ((void)(FROM), (void)(BYTES))
#define ASAN_UNPOISON_MEMORY_REGION(FROM, BYTES) ((void)(FROM), (void)(BYTES))
#endif

#include "base/array.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/kernels_integer_bits.h"
#include "kernels/cuda/kernels_many.h"
#include "kernels/cuda/kernels_table.h"

typedef struct Kept { // a launch or a copy of a recorded step
    const SimtKernel *kernel;
    Extent grid;
    unsigned threads;
    size_t shared, bytes;
    void *arguments; // owned; of a copy NULL
    void *to;
    const void *from;
} Kept;

typedef struct Recorded {
    Kept *kept;
    size_t count, capacity;
} Recorded;

typedef struct GuardedMemory { // every piece of device memory, with NaN around it that the address sanitizer guards
    void *whole;
    size_t whole_bytes;
    unsigned char *data;
    size_t bytes;
} GuardedMemory;

typedef struct EmulatedRuntime {
    CudaRuntime base;
    CudaLaunches launches;
    EmulatedDevice device;
    Recorded *recording;
    size_t *most_dynamic; // of each kernel: bytes of dynamic shared memory that a launch may ask for
    GuardedMemory *memories;
    size_t memory_count, memory_capacity, used;
} EmulatedRuntime;

enum { MARGIN = 256, ALIGNMENT = 256 };
enum { INVALID_VALUE = 1, NO_MEMORY = 2, INVALID_CONFIGURATION = 9, FAILED = 719 }; // as the runtime's codes
enum { UNASKED_SHARED = 48 << 10, MOST_BLOCK_THREADS = 1024, MOST_GRID_YZ = 65535 };

static EmulatedRuntime *of(CudaRuntime *runtime) { return (EmulatedRuntime *)(void *)runtime; }

static void keep(Recorded *recorded, Kept kept) {
    if (!array_grow(&recorded->kept, recorded->count, &recorded->capacity, sizeof kept)) abort();
    recorded->kept[recorded->count++] = kept;
}

// ---- What a device refuses ----

static size_t kernel_count(void) { return (size_t)(__stop_simt_kernels - __start_simt_kernels); }

int emulated_allow_shared(void *stream, const SimtKernel *kernel, size_t bytes) {
    EmulatedRuntime *r = stream;
    if (bytes + simt_static_shared(kernel) > r->device.shared_bytes) return INVALID_VALUE;
    r->most_dynamic[kernel - __start_simt_kernels] = bytes;
    return 0;
}

// As a device has it in the beginning, and then what the backend tells it when it opens (simt_cuda.h).
static void prepare_kernels(EmulatedRuntime *r) {
    r->most_dynamic = calloc(kernel_count(), sizeof *r->most_dynamic);
    if (!r->most_dynamic) abort();
    for (size_t i = 0; i < kernel_count(); i++) {
        const SimtKernel *kernel = &__start_simt_kernels[i];
        const size_t own = simt_static_shared(kernel);
        r->most_dynamic[i] = UNASKED_SHARED - own;
        if (r->device.unprepared || !kernel->dynamic) continue;
        if (emulated_allow_shared(r, kernel, r->device.shared_bytes - own) != 0) abort();
    }
}

static int refused(const EmulatedRuntime *r, const SimtKernel *kernel, Extent grid, unsigned threads, size_t shared) {
    const size_t most = r->most_dynamic[kernel - __start_simt_kernels];
    const bool cut = grid.x == 0 || grid.y == 0 || grid.z == 0 || threads == 0 || grid.x > INT32_MAX ||
                     grid.y > MOST_GRID_YZ || grid.z > MOST_GRID_YZ || threads > MOST_BLOCK_THREADS ||
                     (kernel->pairs && grid.x % 2);
    if (!cut && threads <= kernel->most_threads && shared <= most) return 0;
    emulated_refusals++;
    snprintf(emulated_refusal, sizeof emulated_refusal,
             "%s: %u x %u x %u blocks of %u threads (%u), shared memory %zu (%zu) dynamic and %zu static", kernel->name,
             grid.x, grid.y, grid.z, threads, kernel->most_threads, shared, most, simt_static_shared(kernel));
    return cut ? INVALID_CONFIGURATION : INVALID_VALUE;
}

// ---- Launches ----

static bool *has_run; // of each kernel, on any device

const char *emulated_never_run(size_t *from) {
    for (; *from < kernel_count(); ++*from)
        if (!has_run || !has_run[*from]) return __start_simt_kernels[(*from)++].name;
    return NULL;
}

static void run_kernel(const EmulatedRuntime *r, const SimtKernel *kernel, Extent grid, unsigned threads, size_t shared,
                       const void *arguments) {
    if (!has_run) has_run = calloc(kernel_count(), sizeof *has_run);
    if (!has_run) abort();
    has_run[kernel - __start_simt_kernels] = true;
    emulate(kernel, r->device.capability, grid, threads, shared, arguments);
}

int emulated_launch(void *stream, const SimtKernel *kernel, Extent grid, unsigned threads, size_t shared,
                    const void *arguments, size_t bytes) {
    EmulatedRuntime *r = stream;
    const int code = refused(r, kernel, grid, threads, shared);
    if (code != 0) return code;
    if (r->device.launches_left > 0 && --r->device.launches_left == 0) r->device.launches_left = -1;
    if (r->device.launches_left < 0) return FAILED;
    if (!r->recording) {
        emulated_kernels++;
        run_kernel(r, kernel, grid, threads, shared, arguments);
        return 0;
    }
    void *copy = malloc(bytes);
    if (!copy) abort();
    memcpy(copy, arguments, bytes);
    keep(r->recording, (Kept){kernel, grid, threads, shared, bytes, copy, NULL, NULL});
    return 0;
}

static const char *message(int code) {
    switch (code) {
    case INVALID_VALUE: return "invalid argument";
    case NO_MEMORY: return "out of memory";
    case INVALID_CONFIGURATION: return "invalid configuration argument";
    default: return "the emulated device fails";
    }
}

static int enter(CudaRuntime *runtime) {
    (void)runtime;
    return 0;
}

static int memory(CudaRuntime *runtime, size_t *free_bytes, size_t *total_bytes) {
    *total_bytes = of(runtime)->device.memory_bytes;
    *free_bytes = *total_bytes - of(runtime)->used;
    return 0;
}

// A device refuses what would have to run at once, or keeps it for every run of the step.
static void must_not_record(const EmulatedRuntime *r) {
    if (!r->recording) return;
    fprintf(stderr, "a recorded step holds what cannot be recorded\n");
    abort();
}

// Memory begins as NaN. Of large pieces pages that nobody touches cost nothing: these begin as zeros.
enum { LARGE = 1 << 20 };

static void *zeroed(size_t bytes) {
    void *memory = bytes < LARGE ? calloc(1, bytes)
                                 : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!memory || memory == MAP_FAILED) abort();
    return memory;
}

static void give_back(void *memory, size_t bytes) {
    if (bytes < LARGE) {
        free(memory);
    } else {
        munmap(memory, bytes);
    }
}

static int allocate(CudaRuntime *runtime, size_t bytes, void **out) {
    EmulatedRuntime *r = of(runtime);
    must_not_record(r);
    if (bytes > r->device.memory_bytes - r->used) return NO_MEMORY;
    const size_t all = bytes + 2 * MARGIN + ALIGNMENT;
    unsigned char *whole = zeroed(all);
    if (!array_grow(&r->memories, r->memory_count, &r->memory_capacity, sizeof *r->memories)) abort();
    unsigned char *data = whole + MARGIN + (ALIGNMENT - (uintptr_t)(whole + MARGIN) % ALIGNMENT) % ALIGNMENT;
    memset(data - MARGIN, 0xFF, bytes < LARGE ? bytes + 2 * MARGIN : MARGIN);
    memset(data + bytes, 0xFF, MARGIN);
    ASAN_POISON_MEMORY_REGION(data - MARGIN, MARGIN);
    ASAN_POISON_MEMORY_REGION(data + bytes, MARGIN);
    r->memories[r->memory_count++] = (GuardedMemory){whole, all, data, bytes};
    r->used += bytes;
    *out = data;
    return 0;
}

static void release(CudaRuntime *runtime, void *data) {
    EmulatedRuntime *r = of(runtime);
    must_not_record(r);
    for (size_t i = 0; i < r->memory_count; i++) {
        GuardedMemory memory = r->memories[i];
        if (memory.data != data) continue;
        ASAN_UNPOISON_MEMORY_REGION(memory.data - MARGIN, memory.bytes + 2 * MARGIN);
        for (size_t j = 0; j < MARGIN; j++) {
            if (memory.data[j - MARGIN] == 0xFF && memory.data[memory.bytes + j] == 0xFF) continue;
            fprintf(stderr, "a kernel wrote outside of %zu bytes of device memory\n", memory.bytes);
            abort();
        }
        give_back(memory.whole, memory.whole_bytes);
        r->used -= memory.bytes;
        r->memories[i] = r->memories[--r->memory_count];
        return;
    }
    fprintf(stderr, "what is released was never allocated\n");
    abort();
}

static void close_runtime(CudaRuntime *runtime) {
    EmulatedRuntime *r = of(runtime);
    if (r->memory_count) {
        fprintf(stderr, "%zu pieces of device memory were not released\n", r->memory_count);
        abort();
    }
    free(r->memories);
    free(r->most_dynamic);
    free(r);
}

static int allocate_host(CudaRuntime *runtime, size_t bytes, void **out) {
    (void)runtime;
    *out = calloc(1, bytes);
    return *out ? 0 : NO_MEMORY;
}

static void release_host(CudaRuntime *runtime, void *data) {
    (void)runtime;
    free(data);
}

static int failing(EmulatedRuntime *r) {
    must_not_record(r);
    return r->device.launches_left < 0 ? FAILED : 0;
}

// What nobody touched still costs nothing.
static int clear_memory(CudaRuntime *runtime, void *data, size_t bytes) {
    enum { PAGE = 4096 };
    char *from = data, *end = from + bytes, *page = from + (PAGE - (uintptr_t)from % PAGE) % PAGE;
    char *last = end - (uintptr_t)end % PAGE;
    if (bytes < LARGE || madvise(page, (size_t)(last - page), MADV_DONTNEED) != 0) page = last = end;
    memset(from, 0, (size_t)(page - from));
    memset(last, 0, (size_t)(end - last));
    return failing(of(runtime));
}

static int copy_memory(CudaRuntime *runtime, void *to, const void *from, size_t bytes) {
    memcpy(to, from, bytes);
    return failing(of(runtime));
}

static int download(CudaRuntime *runtime, void *host, const void *device, size_t bytes) {
    emulated_downloaded += bytes;
    return copy_memory(runtime, host, device, bytes);
}

static int upload_rows(CudaRuntime *runtime, void *device, size_t stride, const void *host, size_t width, size_t rows) {
    for (size_t i = 0; i < rows; i++) memcpy((char *)device + i * stride, (const char *)host + i * width, width);
    return failing(of(runtime));
}

static int synchronize(CudaRuntime *runtime) { return failing(of(runtime)); }

static int record_begin(CudaRuntime *runtime) {
    of(runtime)->recording = calloc(1, sizeof(Recorded));
    return 0;
}

static int record_upload(CudaRuntime *runtime, void *device, const void *host, size_t bytes) {
    keep(of(runtime)->recording, (Kept){.to = device, .from = host, .bytes = bytes});
    return 0;
}

static int record_end(CudaRuntime *runtime, void **recorded) {
    *recorded = of(runtime)->recording;
    of(runtime)->recording = NULL;
    return 0;
}

// A kernel behind a kernel begins before that has run.
static void begin_early(const EmulatedRuntime *r, const Kept *next) {
    if (r->base.early && next->arguments && next->kernel->early)
        emulate_beginning(next->kernel, r->device.capability, next->grid, next->threads, next->shared, next->arguments);
}

static int run_recorded(CudaRuntime *runtime, void *recorded) {
    const Recorded *r = recorded;
    emulated_runs++;
    for (size_t i = 0; i < r->count; i++) {
        const Kept *k = &r->kept[i];
        if (!k->arguments) {
            memcpy(k->to, k->from, k->bytes);
            continue;
        }
        const int code = refused(of(runtime), k->kernel, k->grid, k->threads, k->shared);
        if (code != 0) return code;
        emulated_kernels++;
        if (i + 1 < r->count) begin_early(of(runtime), &r->kept[i + 1]);
        run_kernel(of(runtime), k->kernel, k->grid, k->threads, k->shared, k->arguments);
        if (emulated_beginning_holds()) continue;
        fprintf(stderr, "emulated %s reads before it waits what %s has yet to write\n", r->kept[i + 1].kernel->name,
                k->kernel->name);
        abort();
    }
    return failing(of(runtime));
}

static void forget(CudaRuntime *runtime, void *recorded) {
    Recorded *r = recorded;
    (void)runtime;
    for (size_t i = 0; i < r->count; i++) free(r->kept[i].arguments);
    free(r->kept);
    free(r);
}

// In double, rounded once.
static int product(CudaRuntime *runtime, const LibraryProduct *p) {
    (void)runtime;
    for (size_t t = 0; t < p->tokens; t++) {
        for (size_t o = 0; o < p->out; o++) {
            double sum = 0;
            for (size_t i = 0; i < p->in; i++)
                sum += (double)element_at(p->dtype, p->w, o * p->w_stride + i) *
                       (double)element_at(p->dtype, p->x, t * p->x_stride + i);
            p->y[t * p->out + o] = (float)sum;
        }
    }
    return 0;
}

bool backend_emulated_new(const EmulatedDevice *device, Backend **out) {
    EmulatedRuntime *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->device = *device;
    prepare_kernels(r);
    fill_launches(&r->launches);
    fill_integer_launches(&r->launches);
    fill_many_launches(&r->launches);
    r->base = (CudaRuntime){.facts = {.name = "emulated device",
                                      .capability = device->capability,
                                      .warpgroups = device->capability == 90,
                                      .multiprocessors = device->multiprocessors,
                                      .pairs = device->multiprocessors / 2,
                                      .shared_bytes = device->shared_bytes},
                            .launches = &r->launches,
                            .stream = r,
                            .close = close_runtime,
                            .message = message,
                            .enter = enter,
                            .memory = memory,
                            .allocate = allocate,
                            .release = release,
                            .allocate_host = allocate_host,
                            .release_host = release_host,
                            .clear = clear_memory,
                            .upload = copy_memory,
                            .upload_rows = upload_rows,
                            .download = download,
                            .copy = copy_memory,
                            .synchronize = synchronize,
                            .record_begin = record_begin,
                            .record_upload = record_upload,
                            .record_end = record_end,
                            .run = run_recorded,
                            .forget = forget,
                            .product = device->library ? product : NULL};
    return backend_cuda_on(&r->base, out, NULL);
}

#else

bool backend_emulated_new(const EmulatedDevice *device, Backend **out) {
    (void)device;
    *out = NULL;
    return false;
}

const char *emulated_never_run(size_t *from) {
    (void)from;
    return NULL;
}

#endif
