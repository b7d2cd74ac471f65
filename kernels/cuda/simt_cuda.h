// The vocabulary of the kernels, for nvcc: what CUDA C itself lacks or says in assembler. Kernels are written in the
// part of CUDA C that is also C, and tests give them the same vocabulary on the host (tests/support/simt_emulated.h).
#pragma once

#include <stdint.h>

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "kernels/cuda/lane.h"

#define DEVICE static __device__ __forceinline__
// Kernels begin with what BEGINS says, and every thread of them waits for what was launched before (lane.h). Every
// device takes 4 KB of parameters.
#define KERNEL_KNOWN(NAME, BOUNDS, ARGUMENTS, DYNAMIC, BEGINS)                                  \
    static_assert(sizeof(ARGUMENTS) <= 4096, "too much for a kernel's parameters");             \
    DEVICE void NAME##_body(const ARGUMENTS &a);                                                \
    static __global__ void __launch_bounds__ BOUNDS NAME(const __grid_constant__ ARGUMENTS a) { \
        let_next_begin();                                                                       \
        BEGINS;                                                                                 \
        NAME##_body(a);                                                                         \
    }                                                                                           \
    static const KnownKernel NAME##_known(reinterpret_cast<const void *>(NAME), DYNAMIC);       \
    DEVICE void NAME##_body(const ARGUMENTS &a)
#define KERNEL(NAME, THREADS, ARGUMENTS) KERNEL_KNOWN(NAME, (THREADS), ARGUMENTS, false, wait_for_previous())
// One that calls wait_for_previous itself, as soon as it needs or changes anything but weights.
#define EARLY_KERNEL(NAME, THREADS, ARGUMENTS) KERNEL_KNOWN(NAME, (THREADS), ARGUMENTS, false, (void)0)
// Those with DYNAMIC_SHARED.
#define DYNAMIC_KERNEL(NAME, THREADS, ARGUMENTS) KERNEL_KNOWN(NAME, (THREADS), ARGUMENTS, true, wait_for_previous())
#define EARLY_DYNAMIC_KERNEL(NAME, THREADS, ARGUMENTS) KERNEL_KNOWN(NAME, (THREADS), ARGUMENTS, true, (void)0)
// So few registers that a multiprocessor has room for `BLOCKS` blocks.
#define CROWDED_KERNEL(NAME, THREADS, BLOCKS, ARGUMENTS) \
    KERNEL_KNOWN(NAME, (THREADS, BLOCKS), ARGUMENTS, true, wait_for_previous())
// One that is launched by LAUNCH_PAIRS.
#define PAIR_KERNEL(NAME, THREADS, BLOCKS, ARGUMENTS) CROWDED_KERNEL(NAME, THREADS, BLOCKS, ARGUMENTS)
#define SHARED(TYPE, NAME, COUNT) __shared__ __align__(16) TYPE NAME[COUNT]
#define DYNAMIC_SHARED(NAME) extern __shared__ __align__(16) unsigned char NAME[]
// Where rows may be swizzled; of a kernel without SHARED, which would come first.
#define SWIZZLED_SHARED(NAME) extern __shared__ __align__(1024) unsigned char NAME[]
#define UNROLL _Pragma("unroll")
#define UNROLL_BY_PRAGMA(TEXT) _Pragma(#TEXT)
#define UNROLL_BY(N) UNROLL_BY_PRAGMA(unroll N)

typedef struct Extent {
    unsigned x, y, z;
} Extent;

// The next kernel may begin as soon as every block of this one has said so …
DEVICE void let_next_begin(void) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
// … and goes on behind this when the one before has ended, and what it wrote is there.
DEVICE void wait_for_previous(void) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// All kernels of the program, listed before main begins.
struct KnownKernel {
    const void *kernel;
    bool dynamic;
    const KnownKernel *next;
    inline static const KnownKernel *first = nullptr;
    KnownKernel(const void *known, bool is_dynamic) : kernel(known), dynamic(is_dynamic), next(first) { first = this; }
};

// Loads every kernel to the device, which could be impossible while a step is recorded. Those with dynamic shared
// memory may have all of a block's (`shared_bytes`) that they do not declare themselves; a device that is not told
// gives 48 KB, what they declare included. Said once, and not with each launch: it would hold for recorded launches,
// too.
static inline int prepare_kernels(size_t shared_bytes) {
    for (const KnownKernel *k = KnownKernel::first; k; k = k->next) {
        cudaFuncAttributes attributes;
        cudaError_t error = cudaFuncGetAttributes(&attributes, k->kernel);
        if (error == cudaSuccess && k->dynamic)
            error = cudaFuncSetAttribute(k->kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         (int)(shared_bytes - attributes.sharedSizeBytes));
        if (error != cudaSuccess) return (int)error;
    }
    return 0;
}

// side: blocks that are neighbours along x and run at the same time, on multiprocessors that see each other's shared
// memory. Recorded steps of kernels that begin early need CUDA 12.3.
template <typename A>
static int launch(void (*kernel)(A), Extent grid, unsigned threads, size_t shared, void *to, const A *a,
                  unsigned side = 1) {
    Lane *lane = static_cast<Lane *>(to);
    cudaLaunchAttribute attributes[2];
    cudaLaunchConfig_t how = {};
    how.gridDim = dim3(grid.x, grid.y, grid.z);
    how.blockDim = dim3(threads);
    how.dynamicSmemBytes = shared;
    how.stream = lane->stream;
    how.attrs = attributes;
#if CUDART_VERSION >= 12030
    if (*lane->early && lane->after_kernel) {
        attributes[how.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attributes[how.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
    }
#endif
    if (side > 1) {
        attributes[how.numAttrs].id = cudaLaunchAttributeClusterDimension;
        attributes[how.numAttrs].val.clusterDim.x = side;
        attributes[how.numAttrs].val.clusterDim.y = attributes[how.numAttrs].val.clusterDim.z = 1;
        how.numAttrs++;
    }
    (void)cudaLaunchKernelEx(&how, kernel, *a);
    const cudaError_t error = cudaGetLastError();
    lane->after_kernel = error == cudaSuccess;
    return (int)error;
}
// How many pairs run at a time that have so much dynamic shared memory for each block.
template <typename A> static int pairs_at_a_time(void (*kernel)(A), unsigned threads, size_t shared, int *pairs) {
    cudaLaunchAttribute pair = {};
    cudaLaunchConfig_t how = {};
    pair.id = cudaLaunchAttributeClusterDimension;
    pair.val.clusterDim.x = 2;
    pair.val.clusterDim.y = pair.val.clusterDim.z = 1;
    how.gridDim = dim3(2);
    how.blockDim = dim3(threads);
    how.dynamicSmemBytes = shared;
    how.attrs = &pair;
    how.numAttrs = 1;
    return (int)cudaOccupancyMaxActiveClusters(pairs, kernel, &how);
}

#define LAUNCH(KERNEL_NAME, GRID, THREADS, SHARED_BYTES, STREAM, ARGUMENTS) \
    launch(KERNEL_NAME, GRID, THREADS, SHARED_BYTES, STREAM, ARGUMENTS)
#define LAUNCH_PAIRS(KERNEL_NAME, GRID, THREADS, SHARED_BYTES, STREAM, ARGUMENTS) \
    launch(KERNEL_NAME, GRID, THREADS, SHARED_BYTES, STREAM, ARGUMENTS, 2)

// ---- Within a warp ----

#define ALL_LANES 0xFFFFFFFFu
DEVICE float shuffle_float(float v, int mask) { return __shfl_xor_sync(ALL_LANES, v, mask); }
DEVICE int32_t shuffle_int(int32_t v, int mask) { return __shfl_xor_sync(ALL_LANES, v, mask); }
DEVICE uint64_t shuffle_wide(uint64_t v, int mask) { return __shfl_xor_sync(ALL_LANES, (unsigned long long)v, mask); }
DEVICE double shuffle_double(double v, int mask) { return __shfl_xor_sync(ALL_LANES, v, mask); }

// The largest of the lanes' numbers.
DEVICE uint32_t warp_largest(uint32_t v) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    return __reduce_max_sync(ALL_LANES, v);
#else
    for (int mask = 16; mask > 0; mask /= 2) {
        const uint32_t other = __shfl_xor_sync(ALL_LANES, v, mask);
        v = other > v ? other : v;
    }
    return v;
#endif
}

// What the lanes wrote before is seen by all of them behind it.
DEVICE void warp_barrier(void) { __syncwarp(); }

// ---- Products of a warp, in fragments ----

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define MULTIPLY_WARP(SHAPE, HELD)                                                                  \
    asm volatile("mma.sync.aligned." SHAPE " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
                 : HELD(c[0]), HELD(c[1]), HELD(c[2]), HELD(c[3])                                   \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#else
#define MULTIPLY_WARP(SHAPE, HELD) ((void)c, (void)a, (void)b, __trap()) // never launched there
#endif

// c [16, 8] += a [16, 32] · b [32, 8] of int8 (integer_layout.h); c0, c1: row lane / 4, tokens 2 (lane % 4) and the
// next; c2, c3: row + 8.
DEVICE void multiply_fragments(int32_t *c, const uint32_t *a, const uint32_t *b) {
    MULTIPLY_WARP("m16n8k32.row.col.s32.s8.s8.s32", "+r");
}

// c [16, 8] += a [16, 8] · b [8, 8], of whose floats the upper 19 bits are read: a0: row lane / 4, column lane % 4; a1:
// row + 8; a2, a3: column + 4; b0: column lane / 4 and row lane % 4, b1: row + 4; c as above.
DEVICE void multiply_tf32(float *c, const uint32_t *a, const uint32_t *b) {
    MULTIPLY_WARP("m16n8k8.row.col.f32.tf32.tf32.f32", "+f");
}

// c [16, 8] += a [16, 16] · b [16, 8], of 16-bit floats, two to a word; a0: row lane / 4, columns 2 (lane % 4) and the
// next; a1: row + 8; a2, a3: columns + 8; b0: column lane / 4, rows 2 (lane % 4) and the next, b1: rows + 8; c as
// above.
DEVICE void multiply_f16(float *c, const uint32_t *a, const uint32_t *b) {
    MULTIPLY_WARP("m16n8k16.row.col.f32.f16.f16.f32", "+f");
}

// Four matrices of 8 rows of 16 bytes in shared memory; row: of matrix lane / 8 the row lane % 8. Of each matrix a lane
// gets word lane % 4 of row lane / 4.
DEVICE void load_matrices(uint32_t *words, const void *row) {
    unsigned at = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(at)
                 : "memory");
}

// ---- Within a warpgroup: four warps, of whom the first one's number is divisible by four ----
//
// c [64, 8 nb] += a [64, 16] · b [16, 8 nb] in the background. Each warp has 16 rows of a and c in its registers, as
// multiply_f16 does; b is read from shared memory. Neither may be touched until the group of multiplications is waited
// for, and whatever was done to them before needs a fence between. Only code for 9.0 itself (sm_90a) has these.

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
// A kernel that needs them says so first.
#define NEEDS_WARPGROUPS() ((void)0)
#define WARPGROUP_FENCE() asm volatile("wgmma.fence.sync.aligned;" ::: "memory")
#define WARPGROUP_COMMIT() asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory")
// Until at most N of this warpgroup's groups are under way.
#define WARPGROUP_WAIT(N) asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory")
#else
#define NEEDS_WARPGROUPS() \
    do {                   \
        __trap();          \
        return;            \
    } while (0) // never launched there
#define WARPGROUP_FENCE() ((void)0)
#define WARPGROUP_COMMIT() ((void)0)
#define WARPGROUP_WAIT(N) ((void)0)
#endif

// Of b: rows of 128 bytes, one for each column, swizzled; eight of them are 1,024 bytes, at a multiple of which the
// first begins. b: where the 32 bytes of a multiplication begin in the first row. The exchange says that all lanes have
// the same, which saves moving it to uniform registers for each multiplication.
DEVICE uint64_t matrix_descriptor(const void *b) {
    const uint32_t at = __shfl_sync(ALL_LANES, (uint32_t)__cvta_generic_to_shared(b), 0);
    return (uint64_t)((at & 0x3FFFFu) >> 4) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}
// So many bytes further on.
DEVICE uint64_t matrix_behind(uint64_t descriptor, int bytes) {
    return (descriptor & 0xFFFFFFFF00000000u) | ((uint32_t)descriptor + (uint32_t)bytes / 16);
}

#define EIGHT_TOTALS(C, B)                                                                            \
    "+f"(C[B][0]), "+f"(C[B][1]), "+f"(C[B][2]), "+f"(C[B][3]), "+f"(C[B + 1][0]), "+f"(C[B + 1][1]), \
        "+f"(C[B + 1][2]), "+f"(C[B + 1][3])
#define THIRTY_TWO_TOTALS(C, B) \
    EIGHT_TOTALS(C, B), EIGHT_TOTALS(C, B + 2), EIGHT_TOTALS(C, B + 4), EIGHT_TOTALS(C, B + 6)
#define SIXTY_FOUR_TOTALS(C, B) THIRTY_TWO_TOTALS(C, B), THIRTY_TWO_TOTALS(C, B + 8)
#define WARPGROUP_MULTIPLY(SHAPE, TOTALS, A0, A1, A2, A3, B, ...)                                                     \
    asm volatile("wgmma.mma_async.sync.aligned." SHAPE ".f32.f16.f16 {" TOTALS "}, {%" #A0 ",%" #A1 ",%" #A2 ",%" #A3 \
                 "}, %" #B ", 1, 1, 1, 0;"                                                                            \
                 : __VA_ARGS__                                                                                        \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
DEVICE void warpgroup_multiply(const int nb, float (*c)[4], const uint32_t *a, uint64_t b) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define TOTALS_8 "%0,%1,%2,%3,%4,%5,%6,%7"
#define TOTALS_16 TOTALS_8 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define TOTALS_32 TOTALS_16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define TOTALS_64                                                                                                 \
    TOTALS_32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55," \
              "%56,%57,%58,%59,%60,%61,%62,%63"
#define TOTALS_128                                                                           \
    TOTALS_64 ","                                                                            \
              "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,"             \
              "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,"             \
              "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111," \
              "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
    if (nb == 2)
        WARPGROUP_MULTIPLY("m64n16k16", TOTALS_8, 8, 9, 10, 11, 12, EIGHT_TOTALS(c, 0));
    else if (nb == 4)
        WARPGROUP_MULTIPLY("m64n32k16", TOTALS_16, 16, 17, 18, 19, 20, EIGHT_TOTALS(c, 0), EIGHT_TOTALS(c, 2));
    else if (nb == 8)
        WARPGROUP_MULTIPLY("m64n64k16", TOTALS_32, 32, 33, 34, 35, 36, THIRTY_TWO_TOTALS(c, 0));
    else if (nb == 16)
        WARPGROUP_MULTIPLY("m64n128k16", TOTALS_64, 64, 65, 66, 67, 68, SIXTY_FOUR_TOTALS(c, 0));
    else
        WARPGROUP_MULTIPLY("m64n256k16", TOTALS_128, 128, 129, 130, 131, 132, SIXTY_FOUR_TOTALS(c, 0),
                           SIXTY_FOUR_TOTALS(c, 16));
#else
    (void)nb, (void)c, (void)a, (void)b;
#endif
}

// The same of bytes with their signs: c [64, 8 nb] += a [64, 32] · b [32, 8 nb], registers as in multiply_fragments.
// adds false: what c was is forgotten.
#define EIGHT_SUMS(C, B)                                                                              \
    "+r"(C[B][0]), "+r"(C[B][1]), "+r"(C[B][2]), "+r"(C[B][3]), "+r"(C[B + 1][0]), "+r"(C[B + 1][1]), \
        "+r"(C[B + 1][2]), "+r"(C[B + 1][3])
#define THIRTY_TWO_SUMS(C, B) EIGHT_SUMS(C, B), EIGHT_SUMS(C, B + 2), EIGHT_SUMS(C, B + 4), EIGHT_SUMS(C, B + 6)
#define WARPGROUP_INT8(SHAPE, SUMS, A0, A1, A2, A3, B, ADDS, ...)                                         \
    asm volatile("{.reg .pred adds; setp.ne.b32 adds, %" #ADDS ", 0; wgmma.mma_async.sync.aligned." SHAPE \
                 ".s32.s8.s8 {" SUMS "}, {%" #A0 ",%" #A1 ",%" #A2 ",%" #A3 "}, %" #B ", adds;}"          \
                 : __VA_ARGS__                                                                            \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)adds))
DEVICE void warpgroup_multiply_int8(const int nb, int32_t (*c)[4], const uint32_t *a, uint64_t b, bool adds) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    if (nb == 2)
        WARPGROUP_INT8("m64n16k32", TOTALS_8, 8, 9, 10, 11, 12, 13, EIGHT_SUMS(c, 0));
    else if (nb == 4)
        WARPGROUP_INT8("m64n32k32", TOTALS_16, 16, 17, 18, 19, 20, 21, EIGHT_SUMS(c, 0), EIGHT_SUMS(c, 2));
    else if (nb == 8)
        WARPGROUP_INT8("m64n64k32", TOTALS_32, 32, 33, 34, 35, 36, 37, THIRTY_TWO_SUMS(c, 0));
    else
        WARPGROUP_INT8("m64n128k32", TOTALS_64, 64, 65, 66, 67, 68, 69, THIRTY_TWO_SUMS(c, 0), THIRTY_TWO_SUMS(c, 8));
#else
    (void)nb, (void)c, (void)a, (void)b, (void)adds;
#endif
}

// ---- Memory ----

// What this thread wrote before is seen by the whole device before what it writes behind; likewise what it reads.
DEVICE void device_fence(void) { __threadfence(); }

// 16 bytes that are read once: they need not stay in the first-level cache.
DEVICE uint4 load_once(const void *p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}

// 16 bytes from global to shared memory in the background, past the first-level cache …
DEVICE void copy_begin(void *shared, const void *global) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    unsigned at = (unsigned)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(global) : "memory");
#else
    *(uint4 *)shared = *(const uint4 *)global;
#endif
}
// … or through it: for what other blocks of the multiprocessor will read, too.
DEVICE void copy_begin_shared(void *shared, const void *global) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    unsigned at = (unsigned)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(at), "l"(global) : "memory");
#else
    *(uint4 *)shared = *(const uint4 *)global;
#endif
}
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define COPY_COMMIT() asm volatile("cp.async.commit_group;" ::: "memory")
// Until at most N of this thread's groups are under way.
#define COPY_WAIT(N) asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory")
#else
#define COPY_COMMIT() ((void)0)
#define COPY_WAIT(N) ((void)0)
#endif

// ---- A pair of blocks ----
//
// Blocks 2 n and 2 n + 1 of LAUNCH_PAIRS. What one of them copies comes to the shared memory of both, at the same
// place, and an *arrival* there knows of it. That has phases: one ends when as many as it was begun with have told it
// something, and the bytes that they made it expect have come.

// No wait is for ever, whatever a device does: then the result is wrong, and says so (spoil_if_late).
enum { WAIT_TRIES = 1 << 20 };
DEVICE bool is_set(const uint32_t *word) { return *(const volatile uint32_t *)word != 0; }

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
DEVICE uint32_t shared_place(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
// Of all threads of both.
DEVICE void pair_barrier(void) {
    asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
// By one thread, before a barrier of the pair.
DEVICE void arrival_begin(uint64_t *arrival, int count) {
    asm volatile(
        "mbarrier.init.shared::cta.b64 [%0], %1; fence.mbarrier_init.release.cluster;" ::"r"(shared_place(arrival)),
        "r"(count)
        : "memory");
}
// So many bytes, from both of them.
DEVICE void arrival_expect(uint64_t *arrival, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_place(arrival)), "r"(bytes)
                 : "memory");
}
// Tells the one at the same place of block 2 n + rank.
DEVICE void arrival_tell(uint64_t *arrival, int rank) {
    asm volatile("{.reg .b32 there; mapa.shared::cluster.u32 there, %0, %1; "
                 "mbarrier.arrive.shared::cluster.b64 _, [there];}" ::"r"(shared_place(arrival)),
                 "r"(rank)
                 : "memory");
}
// Whether a phase is over: 0, 1, 0, 1 …; 1 is at first. Waits for a while, as long as the device likes, or a
// microsecond.
#define ARRIVAL_OVER(HINT)                                                                             \
    asm volatile("{.reg .pred over; mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2" HINT "; " \
                 "selp.u32 %0, 1, 0, over;}"                                                           \
                 : "=r"(over)                                                                          \
                 : "r"(shared_place(arrival)), "r"(phase)                                              \
                 : "memory")
DEVICE bool arrival_over(uint64_t *arrival, int phase) {
    uint32_t over;
    ARRIVAL_OVER("");
    return over;
}
DEVICE bool arrival_over_soon(uint64_t *arrival, int phase) {
    uint32_t over;
    ARRIVAL_OVER(", 1000");
    return over;
}
// Until a phase is over, or for about a second, or until another thread of the block has waited for so long: *late.
DEVICE void arrival_wait(uint64_t *arrival, int phase, uint32_t *late) {
    if (arrival_over(arrival, phase)) return;
    UNROLL_BY(1)
    for (int tries = 0; !arrival_over_soon(arrival, phase) && !is_set(late); tries++)
        if (tries == WAIT_TRIES) *late = 1;
}
// A multiple of 16 bytes, in the background.
DEVICE void copy_to_pair(void *shared, const void *global, int bytes, uint64_t *arrival) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, "
                 "[%3], %4;" ::"r"(shared_place(shared)),
                 "l"(global), "r"(bytes), "r"(shared_place(arrival)), "h"((uint16_t)3)
                 : "memory");
}
#else
DEVICE void pair_barrier(void) {}
DEVICE void arrival_begin(uint64_t *, int) {}
DEVICE void arrival_expect(uint64_t *, int) {}
DEVICE void arrival_tell(uint64_t *, int) {}
DEVICE void arrival_wait(uint64_t *, int, uint32_t *) {}
DEVICE void copy_to_pair(void *, const void *, int, uint64_t *) {}
#endif

// What this block wrote is there: by one thread, behind a barrier of the block.
DEVICE void flag_set(uint32_t *flag) {
    device_fence();
    (void)atomicAdd(flag, 1u);
}
// Until a block before this one has set the flag, or for about a second: *late. By one thread, before a barrier of the
// block. The flag is 0 again for the next launch, even if it is set after that second.
DEVICE void flag_take(uint32_t *flag, uint32_t *late) {
    UNROLL_BY(1)
    for (int tries = 0; !is_set(flag) && !is_set(late); tries++)
        if (tries == WAIT_TRIES) *late = 1;
    (void)atomicSub(flag, 1u);
    device_fence();
}

// ---- Numbers ----

// The larger one; NaN if either is.
DEVICE float larger_or_nan(float a, float b) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    float larger;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(b));
    return larger;
#else
    return !(a < b) && b == b ? a : b;
#endif
}
DEVICE float f16_value(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
DEVICE uint16_t f16_bits(float value) { return __half_as_ushort(__float2half_rn(value)); }
// Two 16-bit floats to a word.
DEVICE uint32_t both_f16(float value) {
    const __half2 both = __float2half2_rn(value);
    return (uint32_t)__half_as_ushort(__high2half(both)) << 16 | __half_as_ushort(__low2half(both));
}
DEVICE uint32_t multiply_add_f16(uint32_t a, uint32_t b, uint32_t c) { // a · b + c, rounded once
    uint32_t d;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}
