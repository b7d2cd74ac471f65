// The vocabulary of kernels/cuda/simt_cuda.h on the host: the kernels as they are, run thread by thread. A block's
// threads are fibers that take turns; whoever meets a barrier or an operation of the whole warp waits for the others,
// as on a device. So index arithmetic, fragment maps, barriers and tails are those of the real thing. What a device
// would only do by chance is done on purpose: shared memory begins as NaN, background copies arrive as late as they
// may, and warps run in an order that can be turned round.
//
// Needs the context functions of glibc; elsewhere EMULATES is not defined.
#pragma once

#include <features.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __GLIBC__
#define EMULATES
#endif

#include "kernels/dtype.h"

typedef struct Extent {
    unsigned x, y, z;
} Extent;
// Aligned as on a device, where a vector that is not is an error.
typedef struct uint2 {
    uint32_t x, y;
} __attribute__((aligned(8))) uint2;
typedef struct uint4 {
    uint32_t x, y, z, w;
} __attribute__((aligned(16))) uint4;
typedef struct float4 {
    float x, y, z, w;
} __attribute__((aligned(16))) float4;

// Of the thread that runs now.
typedef struct Emulated {
    Extent thread, block, block_size, grid_size;
} Emulated;
extern Emulated emulated;
#define threadIdx emulated.thread
#define blockIdx emulated.block
#define blockDim emulated.block_size
#define gridDim emulated.grid_size

// A kernel, and the shared memory that it declares, one entry for each SHARED. Both stand in sections of their own, so
// that what a kernel takes is known before it runs.
typedef struct SimtKernel {
    const char *name;
    unsigned most_threads; // launch bounds
    bool dynamic;          // it has DYNAMIC_SHARED
    bool early;            // it does something before it waits for the kernel before it
    bool pairs;            // its blocks run in pairs
    void (*entry)(const void *arguments);
} SimtKernel;
typedef struct SimtShared {
    const char *kernel;
    size_t bytes;
} SimtShared;
extern const SimtKernel __start_simt_kernels[], __stop_simt_kernels[];
size_t simt_static_shared(const SimtKernel *); // bytes

// What the launches of a table call: runs a kernel, or keeps it while a step is recorded (cuda_emulated.c). The
// runtime's error code when a device would refuse the launch.
int emulated_launch(void *stream, const SimtKernel *, Extent grid, unsigned threads, size_t shared,
                    const void *arguments, size_t bytes);

// As cudaFuncSetAttribute with the largest dynamic shared memory: remembered for this kernel on this device.
int emulated_allow_shared(void *stream, const SimtKernel *, size_t bytes);

// Runs all blocks. Ends the program with a message when threads wait for each other forever, or meet in different
// operations. capability: of the device, which decides what its tensor cores do.
void emulate(const SimtKernel *, int capability, Extent grid, unsigned threads, size_t shared, const void *arguments);

// What blocks of a kernel do before they wait for the one before, which has not run yet: nothing but to read. And, when
// that has run, whether all that was read, through load_once and copy_begin, is still the same.
void emulate_beginning(const SimtKernel *, int capability, Extent grid, unsigned threads, size_t shared,
                       const void *arguments);
bool emulated_beginning_holds(void);

// Turns the order of blocks, warps and lanes round: what depends on it is a race.
extern bool emulated_backwards;
// What pairs count on, and a device might not do: what one of a pair copies comes to both; and a pair begins no later
// than the next one.
extern bool emulated_pairs_alone, emulated_pairs_disordered;

#define DEVICE static inline __attribute__((unused))
// Its alignment is said, so that entries stand beside each other.
#define SIMT_ENTRY(SECTION) static const __attribute__((used, section(SECTION), aligned(sizeof(void *))))
#define KERNEL_KNOWN(NAME, THREADS, ARGUMENTS, DYNAMIC, EARLY, PAIRS)                                            \
    static void NAME(ARGUMENTS a);                                                                               \
    static void NAME##_entry(const void *arguments) {                                                            \
        if (!EARLY) wait_for_previous();                                                                         \
        NAME(*(const ARGUMENTS *)arguments);                                                                     \
    }                                                                                                            \
    SIMT_ENTRY("simt_kernels") SimtKernel NAME##_kernel = {#NAME, THREADS, DYNAMIC, EARLY, PAIRS, NAME##_entry}; \
    static void NAME(const ARGUMENTS a)
#define KERNEL(NAME, THREADS, ARGUMENTS) KERNEL_KNOWN(NAME, THREADS, ARGUMENTS, false, false, false)
#define EARLY_KERNEL(NAME, THREADS, ARGUMENTS) KERNEL_KNOWN(NAME, THREADS, ARGUMENTS, false, true, false)
#define DYNAMIC_KERNEL(NAME, THREADS, ARGUMENTS) KERNEL_KNOWN(NAME, THREADS, ARGUMENTS, true, false, false)
#define EARLY_DYNAMIC_KERNEL(NAME, THREADS, ARGUMENTS) KERNEL_KNOWN(NAME, THREADS, ARGUMENTS, true, true, false)
#define CROWDED_KERNEL(NAME, THREADS, BLOCKS, ARGUMENTS) KERNEL_KNOWN(NAME, THREADS, ARGUMENTS, true, false, false)
#define PAIR_KERNEL(NAME, THREADS, BLOCKS, ARGUMENTS) KERNEL_KNOWN(NAME, THREADS, ARGUMENTS, true, false, true)
#define LAUNCH(KERNEL_NAME, GRID, THREADS, SHARED_BYTES, STREAM, ARGUMENTS) \
    emulated_launch(STREAM, &KERNEL_NAME##_kernel, GRID, THREADS, SHARED_BYTES, ARGUMENTS, sizeof *(ARGUMENTS))
#define LAUNCH_PAIRS LAUNCH
#define UNROLL
#define UNROLL_BY(N)

// The same place for all threads of a block; the entry's address is what tells two of them apart.
#define SHARED(TYPE, NAME, COUNT)                                                            \
    SIMT_ENTRY("simt_shared") SimtShared NAME##_shared = {__func__, sizeof(TYPE) * (COUNT)}; \
    TYPE *NAME = (TYPE *)emulated_shared(&NAME##_shared)
#define DYNAMIC_SHARED(NAME) unsigned char *NAME = emulated_dynamic_shared()
#define SWIZZLED_SHARED(NAME) unsigned char *NAME = emulated_dynamic_shared()
void *emulated_shared(const SimtShared *);
unsigned char *emulated_dynamic_shared(void);

void wait_for_previous(void);
void __syncthreads(void);
float shuffle_float(float v, int mask);
int32_t shuffle_int(int32_t v, int mask);
uint64_t shuffle_wide(uint64_t v, int mask);
double shuffle_double(double v, int mask);
uint32_t warp_largest(uint32_t v);
void multiply_fragments(int32_t *c, const uint32_t *a, const uint32_t *b);
void multiply_tf32(float *c, const uint32_t *a, const uint32_t *b);
void multiply_f16(float *c, const uint32_t *a, const uint32_t *b);
void load_matrices(uint32_t *words, const void *row);
void copy_begin(void *shared, const void *global);
void emulated_copy_commit(void);
void emulated_copy_wait(int under_way);
#define COPY_COMMIT() emulated_copy_commit()
#define COPY_WAIT(N) emulated_copy_wait(N)

// A warpgroup's multiplications happen when they are waited for, and read what is in registers and shared memory then.
void emulated_warpgroup_fence(void);
void emulated_warpgroup_commit(void);
void emulated_warpgroup_wait(int under_way);
uint64_t matrix_descriptor(const void *b);
static inline __attribute__((unused)) uint64_t matrix_behind(uint64_t descriptor, int bytes) {
    return descriptor + (uint64_t)bytes / 16;
}
void warpgroup_multiply(int nb, float (*c)[4], const uint32_t *a, uint64_t b);
void warpgroup_multiply_int8(int nb, int32_t (*c)[4], const uint32_t *a, uint64_t b, bool adds);
#define NEEDS_WARPGROUPS() ((void)0)
#define WARPGROUP_FENCE() emulated_warpgroup_fence()
#define WARPGROUP_COMMIT() emulated_warpgroup_commit()
#define WARPGROUP_WAIT(N) emulated_warpgroup_wait(N)

// What is copied to a pair arrives when it is waited for. Threads of both blocks take turns. Where nobody can go on,
// those that wait give up, as on a device after a second.
void pair_barrier(void);
void arrival_begin(uint64_t *arrival, int count);
void arrival_expect(uint64_t *arrival, int bytes);
void arrival_tell(uint64_t *arrival, int rank);
void arrival_wait(uint64_t *arrival, int phase, uint32_t *late);
void copy_to_pair(void *shared, const void *global, int bytes, uint64_t *arrival);
void flag_set(uint32_t *flag);
void flag_take(uint32_t *flag, uint32_t *late);
static inline __attribute__((unused)) bool is_set(const uint32_t *word) { return *word != 0; }

uint4 load_once(const void *p);
static inline __attribute__((unused)) void copy_begin_shared(void *shared, const void *global) {
    copy_begin(shared, global);
}
static inline __attribute__((unused)) void device_fence(void) {} // blocks run one after the other
static inline __attribute__((unused)) void warp_barrier(void) { shuffle_int(0, 0); }

// Bytes of b (4 … 7) and a (0 … 3), one for each of the lower four nibbles of `which`.
static inline __attribute__((unused)) uint32_t __byte_perm(uint32_t a, uint32_t b, uint32_t which) {
    const uint64_t both = (uint64_t)b << 32 | a;
    uint32_t bytes = 0;
    for (int i = 0; i < 4; i++) bytes |= (uint32_t)(both >> (which >> 4 * i & 7) * 8 & 0xFF) << 8 * i;
    return bytes;
}

static inline __attribute__((unused)) float __uint_as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline __attribute__((unused)) uint32_t __float_as_uint(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
static inline __attribute__((unused)) float __int_as_float(int32_t bits) { return __uint_as_float((uint32_t)bits); }
static inline __attribute__((unused)) int32_t __float_as_int(float value) { return (int32_t)__float_as_uint(value); }
static inline __attribute__((unused)) float larger_or_nan(float a, float b) { return !(a < b) && b == b ? a : b; }
static inline __attribute__((unused)) float f16_value(uint16_t bits) { return f16_to_float(bits); }
static inline __attribute__((unused)) uint16_t f16_bits(float value) { return float_to_f16(value); }
static inline __attribute__((unused)) uint32_t both_f16(float value) { return (uint32_t)f16_bits(value) * 0x10001u; }
static inline __attribute__((unused)) uint32_t multiply_add_f16(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t both = 0;
    for (int shift = 0; shift < 32; shift += 16) { // of F16 what is in the float is exact, but for what cannot count
        const float sum = fmaf(f16_value((uint16_t)(a >> shift)), f16_value((uint16_t)(b >> shift)),
                               f16_value((uint16_t)(c >> shift)));
        both |= (uint32_t)f16_bits(sum) << shift;
    }
    return both;
}
static inline __attribute__((unused)) uint32_t atomicAdd(uint32_t *p, uint32_t v) { return (*p += v) - v; }
static inline __attribute__((unused)) int32_t atomicMin(int32_t *p, int32_t v) {
    int32_t before = *p;
    if (v < before) *p = v;
    return before;
}
