// Jumping between stacks is what this file does; the library's check would take it for a mistake.
#undef _FORTIFY_SOURCE
#include "tests/support/simt_emulated.h"

#ifdef EMULATES

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define ASAN_UNPOISON_MEMORY_REGION(FROM, BYTES) ((void)(FROM), (void)(BYTES))
#endif

enum { LANES = 32, MOST_THREADS = 1024, SITES = 8, MOST_COPIES = 512, GROUP_WARPS = 4, MOST_PENDING = 32 };
enum { PAIR = 2, MOST_ARRIVING = 64, PATIENCE = 8 };
// Of the distance only the stack is ever touched. Valgrind takes a jump of less than 2 MB for a large frame.
enum { STACK_BYTES = 96 << 10, STACK_DISTANCE = 4 << 20 };
// So far apart, stacks would all lie in the same lines of the caches: each begins a little further on.
enum { STACK_COLOURS = 64, STACK_COLOUR = 17 * 64 };
#define ARENA_BYTES ((size_t)256 << 10)

typedef enum State { READY, AT_WARP, AT_BLOCK, AT_PAIR, AT_ARRIVAL, DONE, STATES } State;
typedef enum Operation {
    SHUFFLE_32,
    SHUFFLE_64,
    LARGEST,
    FRAGMENTS,
    TF32,
    F16,
    MATRICES,
    GROUP_MULTIPLY,
    GROUP_MULTIPLY_INT8,
    GROUP_FENCE,
    GROUP_COMMIT,
    GROUP_WAIT
} Operation;

// What a lane brings to an operation of its warp, and what it gets back.
typedef struct Deposit {
    Operation operation;
    int mask; // or token blocks, or groups that may be under way
    uint64_t value;
    int32_t *c;
    float *f; // of floats instead of c
    const uint32_t *a, *b;
    const void *row;
    uint32_t *words;
    bool adds;
} Deposit;

// What a warpgroup multiplies in the background, as one of its warps sees it: its 16 rows.
typedef struct Pending {
    float *f[LANES];   // [nb][4]
    int32_t *c[LANES]; // of bytes instead
    const uint32_t *a[LANES];
    const unsigned char *b;
    int nb, group;
    bool bytes, adds;
} Pending;

typedef struct WarpQueue {
    Pending pending[MOST_PENDING];
    int count, committed;
    bool fenced;
    uint64_t said; // hash of what was asked for: the same by all warps of a warpgroup
} WarpQueue;

typedef struct Copy {
    void *to;
    const void *from;
    int group;
} Copy;

// What one block of a pair copies to both, as it is on its way to one of them.
typedef struct Arriving {
    void *to;
    const void *from;
    size_t bytes;
    struct Arrival *arrival;
} Arriving;

// What stands in the eight bytes of an arrival.
typedef struct Arrival {
    int32_t bytes; // that are expected, less those that came
    uint8_t made, count, waiting, phase;
} Arrival;
enum { ARRIVAL_MADE = 0xA7 };

typedef struct Fiber {
    ucontext_t context; // where it begins; from then on jumps, which need no system call
    void *place[5];     // of __builtin_setjmp
    bool begun, waited; // waited: for the kernel before
    char *stack;
    void *fake_stack; // of the address sanitizer: kept from launch to launch, for it is costly to make
    Copy copies[MOST_COPIES];
    int copy_count, committed;
} Fiber;

Emulated emulated;
bool emulated_backwards, emulated_pairs_alone, emulated_pairs_disordered;

static struct {
    Fiber *fibers[MOST_THREADS];
    uint8_t states[MOST_THREADS]; // a State; these two are looked at all the time, so they lie close together
    Deposit deposits[MOST_THREADS];
    unsigned threads, block_threads; // of all blocks that run side by side, and of one
    Extent block;                    // the first one
    Fiber *current;
    unsigned current_thread;
    void *scheduler[5];
    void *scheduler_fake_stack;
    const void *scheduler_stack;
    size_t scheduler_stack_bytes;
    const SimtKernel *kernel;
    int capability;
    WarpQueue queues[MOST_THREADS / LANES];
    const void *arguments;
    unsigned char *arena; // ARENA_BYTES for each block
    Arriving arriving[MOST_ARRIVING];
    int arriving_count;
    size_t progress;                               // counts what warps do together, and phases
    size_t arena_used, arena_bytes, dynamic_bytes; // arena_bytes: all that a block of this launch declares
    const SimtShared *sites[SITES];
    size_t site_offsets[SITES];
    int site_count;
    bool beginning; // threads end where they wait for the kernel before
    bool giving_up; // those that wait for an arrival go on without
} run;

// What was read before the kernel before had run.
typedef struct Read {
    const void *from;
    uint4 found;
} Read;

static struct {
    Read *reads;
    size_t count, capacity;
} early;

static _Noreturn void give_up(const char *what) {
    fprintf(stderr, "emulated %s, block %u %u %u, thread %u: %s\n", run.kernel->name, emulated.block.x,
            emulated.block.y, emulated.block.z, run.current_thread, what);
    abort();
}

// ---- Switching ----

static void switch_begins(void **fake_stack, const void *stack, size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
#else
    (void)fake_stack, (void)stack, (void)bytes;
#endif
}

static void switch_ends(void *fake_stack, const void **stack, size_t *bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack, stack, bytes);
#else
    (void)fake_stack, (void)stack, (void)bytes;
#endif
}

// The compiler's jumps: the address sanitizer takes those of the C library for an end of functions, and asks the system
// for the signal stack each time. While a function has switched others run: callers may take nothing for granted.
#ifdef __clang__
#define SWITCHES __attribute__((noinline, no_sanitize("address")))
#else
#define SWITCHES __attribute__((noipa, no_sanitize("address")))
#endif

SWITCHES static void jump(void **place) { __builtin_longjmp(place, 1); }

// The next thread of the warp when it can go on: straight to it is half the way by the scheduler.
static Fiber *next_fiber(void) {
    const unsigned next = emulated_backwards ? run.current_thread - 1 : run.current_thread + 1;
    const bool there = next / LANES == run.current_thread / LANES && next < run.threads && run.states[next] == READY;
    return there && run.fibers[next]->begun ? run.fibers[next] : NULL;
}

static void become_current(Fiber *fiber, unsigned thread) {
    run.current = fiber;
    run.current_thread = thread;
    const unsigned rank = thread < run.block_threads ? 0 : 1;
    emulated.thread = (Extent){thread - rank * run.block_threads, 0, 0};
    emulated.block.x = run.block.x + rank;
}

static unsigned char *arena_of(unsigned thread) { return run.arena + thread / run.block_threads * ARENA_BYTES; }

SWITCHES static void leave(State state) {
    Fiber *const fiber = run.current;
    run.states[run.current_thread] = (uint8_t)state;
    Fiber *const next = next_fiber();
    switch_begins(&fiber->fake_stack, next ? next->stack : run.scheduler_stack,
                  next ? STACK_BYTES : run.scheduler_stack_bytes);
    if (next) become_current(next, emulated_backwards ? run.current_thread - 1 : run.current_thread + 1);
    if (__builtin_setjmp(fiber->place) == 0) jump(next ? next->place : run.scheduler);
    switch_ends(fiber->fake_stack, NULL, NULL);
}

SWITCHES static void resume(unsigned thread) {
    become_current(run.fibers[thread], thread);
    switch_begins(&run.scheduler_fake_stack, run.current->stack, STACK_BYTES);
    if (__builtin_setjmp(run.scheduler) == 0) {
        if (run.current->begun) jump(run.current->place);
        run.current->begun = true;
        ASAN_UNPOISON_MEMORY_REGION(run.current->stack, STACK_BYTES); // of functions that were left (beginnings)
        setcontext(&run.current->context);
    }
    switch_ends(run.scheduler_fake_stack, NULL, NULL);
}

// A fiber never ends: it runs one thread of a block after the other. It begins with a switch from the scheduler.
static void fiber_main(void) {
    switch_ends(NULL, &run.scheduler_stack, &run.scheduler_stack_bytes);
    for (;;) {
        run.current->waited = false;
        run.kernel->entry(run.arguments);
        if (!run.current->waited) give_up("a thread ends that has not waited for the kernel before");
        emulated_copy_wait(0);
        run.current->copy_count = run.current->committed = 0;
        leave(DONE);
    }
}

static void make_fiber(unsigned thread) {
    if (run.fibers[thread]) return;
    Fiber *const fiber = run.fibers[thread] = calloc(1, sizeof *fiber);
    if (!fiber) give_up("no memory");
    char *room = mmap(NULL, STACK_DISTANCE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) give_up("no memory");
    fiber->stack = room + thread % STACK_COLOURS * STACK_COLOUR;
    getcontext(&fiber->context);
    fiber->context.uc_stack = (stack_t){.ss_sp = fiber->stack, .ss_size = STACK_BYTES};
    fiber->context.uc_link = NULL;
    makecontext(&fiber->context, fiber_main, 0);
}

// ---- What a warp does together ----

static const Deposit *deposit_of(unsigned first, int lane) { return &run.deposits[first + (unsigned)lane]; }

static int32_t byte_at(uint32_t word, int j) { return (int32_t)((word >> 8 * j & 0xFF) ^ 0x80) - 0x80; } // signed

// PTX ISA, "Matrix fragments for mma.m16n8k32" with s8: A registers 0 … 3: (row lane / 4, columns 4 (lane % 4) …), row
// + 8, column + 16, both; B registers 0, 1: (column as A, token lane / 4), column + 16; C: row lane / 4 and + 8, tokens
// 2 (lane % 4) and the next.
// The same of a warp's rows for wgmma.m64nNk32.
static void byte_rows(int16_t (*rows)[32], int lane, const uint32_t *a) {
    for (int j = 0; j < 4; j++)
        for (int r = 0; r < 4; r++)
            rows[lane / 4 + r % 2 * 8][lane % 4 * 4 + j + r / 2 * 16] = (int16_t)byte_at(a[r], j);
}

static void add_bytes(int32_t *c, int lane, int16_t (*a)[32], int16_t (*columns)[32]) {
    for (int i = 0; i < 4; i++) {
        const int16_t *row = a[lane / 4 + i / 2 * 8], *column = columns[lane % 4 * 2 + i % 2];
        int32_t sum = 0;
        for (int k = 0; k < 32; k++) sum += row[k] * column[k];
        c[i] = (int32_t)((uint32_t)c[i] + (uint32_t)sum);
    }
}

static void multiply_warp(unsigned first) {
    static int16_t a[16][32], b[8][32]; // [row][column], [token][column]: what compilers make few instructions of
    for (int lane = 0; lane < LANES; lane++) {
        const Deposit *d = deposit_of(first, lane);
        byte_rows(a, lane, d->a);
        for (int j = 0; j < 4; j++)
            for (int r = 0; r < 2; r++) b[lane / 4][lane % 4 * 4 + j + r * 16] = (int16_t)byte_at(d->b[r], j);
    }
    for (int lane = 0; lane < LANES; lane++) add_bytes(run.deposits[first + (unsigned)lane].c, lane, a, b);
}

// As frexp and ldexp have it, of normal numbers, and without a call.
static int exponent_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (int)(bits >> 52 & 0x7FF) - 1022;
}

static double power_of_two(int exponent) {
    const uint64_t bits = (uint64_t)(exponent + 1023) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// A sum as tensor cores add: of each addend what lies below the last bit of the largest one, but for one bit, is cut
// off, and so is what a float has no room for.
enum { TF32_ADDENDS = 9, F16_ADDENDS = 17, ADDEND_BITS = 25 };
static float cut_sum(const double *addends, int count) {
    double most = 0, sum = 0;
    for (int i = 0; i < count; i++) {
        const double size = fabs(addends[i]);
        most = size > most ? size : most;
        sum += addends[i];
    }
    if (!isfinite(sum)) return (float)sum;
    if (most == 0) return 0;
    const int exponent = exponent_of(most);
    const double scale = power_of_two(ADDEND_BITS - exponent), back = power_of_two(exponent - ADDEND_BITS);
    sum = 0;
    for (int i = 0; i < count; i++) sum += (double)(int64_t)(addends[i] * scale);
    sum *= back;
    const float nearest = (float)sum;
    return fabs((double)nearest) > fabs(sum) && isfinite(nearest) ? nextafterf(nearest, 0) : nearest;
}

static double tf32_value(uint32_t bits) { return (double)__uint_as_float(bits & ~0x1FFFu); }

// PTX ISA, "Matrix fragments for mma.m16n8k8" with tf32: A registers 0 … 3: (row lane / 4, column lane % 4), row + 8,
// column + 4, both; B registers 0, 1: (row lane % 4, column lane / 4), row + 4; C as above.
static void multiply_warp_tf32(unsigned first) {
    static double a[16][8], b[8][8];
    for (int lane = 0; lane < LANES; lane++) {
        const Deposit *d = deposit_of(first, lane);
        for (int r = 0; r < 4; r++) a[lane / 4 + r % 2 * 8][lane % 4 + r / 2 * 4] = tf32_value(d->a[r]);
        for (int r = 0; r < 2; r++) b[lane % 4 + r * 4][lane / 4] = tf32_value(d->b[r]);
    }
    for (int lane = 0; lane < LANES; lane++) {
        for (int i = 0; i < 4; i++) {
            float *c = &run.deposits[first + (unsigned)lane].f[i];
            double addends[TF32_ADDENDS] = {(double)*c};
            for (int k = 0; k < 8; k++) addends[k + 1] = a[lane / 4 + i / 2 * 8][k] * b[k][lane % 4 * 2 + i % 2];
            *c = cut_sum(addends, TF32_ADDENDS);
        }
    }
}

static double f16_part(uint32_t word, int i) { return (double)f16_to_float((uint16_t)(word >> 16 * i)); }

// PTX ISA, "Matrix fragments for mma.m16n8k16" with f16, and the same of a warp's rows for wgmma.m64nNk16: A registers
// 0 … 3: (row lane / 4, columns 2 (lane % 4) and the next), row + 8, columns + 8, both.
static void f16_rows(double (*rows)[16], int lane, const uint32_t *a) {
    for (int r = 0; r < 4; r++)
        for (int i = 0; i < 2; i++) rows[lane / 4 + r % 2 * 8][lane % 4 * 2 + i + r / 2 * 8] = f16_part(a[r], i);
}

static void add_f16(float *c, int lane, double (*a)[16], double (*columns)[16]) {
    for (int i = 0; i < 4; i++) {
        const double *row = a[lane / 4 + i / 2 * 8], *column = columns[lane % 4 * 2 + i % 2];
        double addends[F16_ADDENDS] = {(double)c[i]};
        for (int k = 0; k < 16; k++) addends[k + 1] = row[k] * column[k];
        c[i] = cut_sum(addends, F16_ADDENDS);
    }
}

// B registers 0, 1: (rows 2 (lane % 4) and the next, column lane / 4), rows + 8.
static void multiply_warp_f16(unsigned first) {
    static double a[16][16], b[8][16];
    for (int lane = 0; lane < LANES; lane++) {
        const Deposit *d = deposit_of(first, lane);
        f16_rows(a, lane, d->a);
        for (int r = 0; r < 2; r++)
            for (int i = 0; i < 2; i++) b[lane / 4][lane % 4 * 2 + i + r * 8] = f16_part(d->b[r], i);
    }
    for (int lane = 0; lane < LANES; lane++) add_f16(run.deposits[first + (unsigned)lane].f, lane, a, b);
}

static void load_warp_matrices(unsigned first) {
    for (int lane = 0; lane < LANES; lane++)
        if ((uintptr_t)deposit_of(first, lane)->row % 16) give_up("a row of a matrix is not aligned");
    for (int lane = 0; lane < LANES; lane++)
        for (int m = 0; m < 4; m++)
            memcpy(&run.deposits[first + (unsigned)lane].words[m],
                   (const char *)deposit_of(first, m * 8 + lane / 4)->row + lane % 4 * 4, 4);
}

// ---- What a warpgroup does in the background ----

// PTX ISA, "Asynchronous warpgroup level matrix shared memory layout": K-major with a swizzle of 128 bytes. Eight rows,
// one for each column of B, are 1,024 bytes; the 16 bytes n of row r stand at n ^ r, by the address itself.
static const unsigned char *swizzled(const unsigned char *b, int column, int byte) {
    size_t at = (size_t)(b - run.arena) + (size_t)column * 128 + (size_t)byte;
    at ^= (at >> 7 & 7) << 4;
    if (at % ARENA_BYTES + 2 > run.arena_bytes) give_up("a matrix ends behind shared memory");
    return run.arena + at;
}

static double swizzled_f16(const unsigned char *b, int column, int k) {
    uint16_t half;
    memcpy(&half, swizzled(b, column, k * 2), sizeof half);
    return (double)f16_to_float(half);
}

static void multiply_pending_f16(const Pending *p) {
    static double a[16][16], b[8][16];
    for (int lane = 0; lane < LANES; lane++) f16_rows(a, lane, p->a[lane]);
    for (int n = 0; n < p->nb; n++) {
        for (int column = 0; column < 8; column++)
            for (int k = 0; k < 16; k++) b[column][k] = swizzled_f16(p->b, n * 8 + column, k);
        for (int lane = 0; lane < LANES; lane++) add_f16(p->f[lane] + n * 4, lane, a, b);
    }
}

static void multiply_pending_bytes(const Pending *p) {
    static int16_t a[16][32], b[8][32];
    for (int lane = 0; lane < LANES; lane++) byte_rows(a, lane, p->a[lane]);
    for (int n = 0; n < p->nb; n++) {
        for (int column = 0; column < 8; column++)
            for (int k = 0; k < 32; k++) b[column][k] = (int16_t)byte_at(*swizzled(p->b, n * 8 + column, k), 0);
        for (int lane = 0; lane < LANES; lane++) {
            if (!p->adds) memset(p->c[lane] + n * 4, 0, 4 * sizeof(int32_t));
            add_bytes(p->c[lane] + n * 4, lane, a, b);
        }
    }
}

// Bits as matrix_descriptor of kernels/cuda/simt_cuda.h puts them.
static const unsigned char *described(uint64_t descriptor, unsigned thread) {
    const size_t at = (size_t)(descriptor & 0x3FFF) << 4;
    if (descriptor >> 62 != 1 || (descriptor >> 32 & 0x3FFF) != 1024 >> 4 || (descriptor >> 49 & 7) != 0)
        give_up("a matrix is described in a way that is not emulated");
    if (at % 1024 >= 128) give_up("a swizzled matrix does not begin at a multiple of 1,024 bytes");
    return arena_of(thread) + at;
}

static void queue_multiply(unsigned first) {
    WarpQueue *q = &run.queues[first / LANES];
    const Deposit *one = deposit_of(first, 0);
    Pending *p = &q->pending[q->count];
    if (run.capability != 90) give_up("the device has no warpgroups");
    if (run.block_threads % (GROUP_WARPS * LANES)) give_up("a warpgroup is not whole");
    if (!q->fenced) give_up("registers are multiplied without a fence");
    if (q->count++ == MOST_PENDING) give_up("too many multiplications under way");
    p->nb = one->mask;
    p->group = q->committed;
    p->b = described(one->value, first);
    p->bytes = one->operation == GROUP_MULTIPLY_INT8;
    p->adds = one->adds;
    for (int lane = 0; lane < LANES; lane++) {
        const Deposit *d = deposit_of(first, lane);
        if (d->value != one->value) give_up("lanes of a warp describe different matrices");
        p->f[lane] = d->f;
        p->c[lane] = d->c;
        p->a[lane] = d->a;
    }
    q->said = (q->said * 31 + one->value) * 31 + (uint64_t)p->nb;
}

static void finish_groups(unsigned first, int under_way) {
    WarpQueue *q = &run.queues[first / LANES];
    int kept = 0;
    for (int i = 0; i < q->count; i++) {
        const Pending p = q->pending[i];
        if (p.group < q->committed - under_way)
            (p.bytes ? multiply_pending_bytes : multiply_pending_f16)(&p);
        else
            q->pending[kept++] = p;
    }
    q->count = kept;
}

static void operate_in_background(unsigned first, const Deposit *one) {
    WarpQueue *q = &run.queues[first / LANES];
    if (one->operation == GROUP_MULTIPLY || one->operation == GROUP_MULTIPLY_INT8) {
        queue_multiply(first);
    } else if (one->operation == GROUP_FENCE) {
        q->fenced = true;
    } else if (one->operation == GROUP_COMMIT) {
        q->committed++;
        q->fenced = false; // what comes next reads registers that were written since
    } else {
        finish_groups(first, one->mask);
    }
}

// Of the warps of a block, when it ends.
static void warpgroups_agree(void) {
    const unsigned warps = run.threads / LANES;
    for (unsigned w = 0; w < warps; w++) {
        if (run.queues[w].count) give_up("multiplications are never waited for");
        if (run.queues[w].said != run.queues[w / GROUP_WARPS * GROUP_WARPS].said)
            give_up("warps of a warpgroup multiply different things");
    }
}

static void operate(unsigned first) {
    uint64_t values[LANES], most = 0;
    const Deposit *one = deposit_of(first, 0);
    for (int lane = 0; lane < LANES; lane++) {
        const Deposit *d = deposit_of(first, lane);
        values[lane] = d->value;
        most = d->value > most ? d->value : most;
        if (d->operation != one->operation || d->mask != one->mask) give_up("lanes of a warp meet in different places");
    }
    if ((one->operation == FRAGMENTS || one->operation == TF32 || one->operation == F16) && run.capability < 80)
        give_up("the device has no such tensor cores");
    if (one->operation == FRAGMENTS) {
        multiply_warp(first);
    } else if (one->operation == TF32) {
        multiply_warp_tf32(first);
    } else if (one->operation == F16) {
        multiply_warp_f16(first);
    } else if (one->operation == MATRICES) {
        load_warp_matrices(first);
    } else if (one->operation >= GROUP_MULTIPLY) {
        operate_in_background(first, one);
    } else {
        for (int lane = 0; lane < LANES; lane++)
            run.deposits[first + (unsigned)lane].value = one->operation == LARGEST ? most : values[lane ^ one->mask];
    }
}

static uint64_t shuffle(Operation operation, uint64_t value, int mask) {
    Deposit *d = &run.deposits[run.current_thread];
    *d = (Deposit){.operation = operation, .mask = mask, .value = value};
    leave(AT_WARP);
    return d->value;
}

float shuffle_float(float v, int mask) {
    return __uint_as_float((uint32_t)shuffle(SHUFFLE_32, __float_as_uint(v), mask));
}

int32_t shuffle_int(int32_t v, int mask) { return (int32_t)(uint32_t)shuffle(SHUFFLE_32, (uint32_t)v, mask); }

uint64_t shuffle_wide(uint64_t v, int mask) { return shuffle(SHUFFLE_64, v, mask); }

double shuffle_double(double v, int mask) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits = shuffle_wide(bits, mask);
    memcpy(&v, &bits, sizeof v);
    return v;
}

uint32_t warp_largest(uint32_t v) { return (uint32_t)shuffle(LARGEST, v, 0); }

void multiply_fragments(int32_t *c, const uint32_t *a, const uint32_t *b) {
    run.deposits[run.current_thread] = (Deposit){.operation = FRAGMENTS, .c = c, .a = a, .b = b};
    leave(AT_WARP);
}

void multiply_tf32(float *c, const uint32_t *a, const uint32_t *b) {
    run.deposits[run.current_thread] = (Deposit){.operation = TF32, .f = c, .a = a, .b = b};
    leave(AT_WARP);
}

void multiply_f16(float *c, const uint32_t *a, const uint32_t *b) {
    run.deposits[run.current_thread] = (Deposit){.operation = F16, .f = c, .a = a, .b = b};
    leave(AT_WARP);
}

void load_matrices(uint32_t *words, const void *row) {
    run.deposits[run.current_thread] = (Deposit){.operation = MATRICES, .row = row, .words = words};
    leave(AT_WARP);
}

void warpgroup_multiply(int nb, float (*c)[4], const uint32_t *a, uint64_t b) {
    run.deposits[run.current_thread] =
        (Deposit){.operation = GROUP_MULTIPLY, .mask = nb, .value = b, .f = c[0], .a = a};
    leave(AT_WARP);
}

void warpgroup_multiply_int8(int nb, int32_t (*c)[4], const uint32_t *a, uint64_t b, bool adds) {
    run.deposits[run.current_thread] =
        (Deposit){.operation = GROUP_MULTIPLY_INT8, .mask = nb, .value = b, .c = c[0], .a = a, .adds = adds};
    leave(AT_WARP);
}

static void group_operation(Operation operation, int mask) {
    run.deposits[run.current_thread] = (Deposit){.operation = operation, .mask = mask};
    leave(AT_WARP);
}

void emulated_warpgroup_fence(void) { group_operation(GROUP_FENCE, 0); }
void emulated_warpgroup_commit(void) { group_operation(GROUP_COMMIT, 0); }
void emulated_warpgroup_wait(int under_way) { group_operation(GROUP_WAIT, under_way); }

uint64_t matrix_descriptor(const void *b) {
    const size_t at = (size_t)((const unsigned char *)b - arena_of(run.current_thread));
    if (at % 16) give_up("a matrix is not aligned");
    return (uint64_t)((at & 0x3FFFF) >> 4) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

void __syncthreads(void) { leave(AT_BLOCK); }

// ---- The kernel before ----

// In a beginning this is the end: the fiber is left where it is, and begins anew next time.
void wait_for_previous(void) {
    run.current->waited = true;
    if (!run.beginning) return;
    run.current->begun = false;
    run.current->copy_count = run.current->committed = 0;
    leave(DONE);
}

static void note_read(const void *from) {
    if (!run.beginning) return;
    if (early.count == early.capacity) {
        early.capacity = early.capacity ? 2 * early.capacity : 256;
        early.reads = realloc(early.reads, early.capacity * sizeof *early.reads);
        if (!early.reads) give_up("no memory");
    }
    early.reads[early.count++] = (Read){from, *(const uint4 *)from};
}

bool emulated_beginning_holds(void) {
    bool holds = true;
    for (size_t i = 0; i < early.count; i++)
        holds &= memcmp(early.reads[i].from, &early.reads[i].found, sizeof(uint4)) == 0;
    early.count = 0;
    return holds;
}

uint4 load_once(const void *p) {
    note_read(p);
    return *(const uint4 *)p;
}

// ---- Copies in the background ----

// Until it is waited for nothing may be where it goes to.
void copy_begin(void *shared, const void *global) {
    Fiber *fiber = run.current;
    if (fiber->copy_count == MOST_COPIES) give_up("too many copies under way");
    if ((uintptr_t)shared % 16 || (uintptr_t)global % 16) give_up("a copy of 16 bytes is not aligned");
    note_read(global);
    fiber->copies[fiber->copy_count++] = (Copy){shared, global, fiber->committed};
    memset(shared, 0xFF, 16);
}

void emulated_copy_commit(void) { run.current->committed++; }

void emulated_copy_wait(int under_way) {
    Fiber *fiber = run.current;
    int kept = 0;
    for (int i = 0; i < fiber->copy_count; i++) {
        const Copy *copy = &fiber->copies[i];
        if (copy->group < fiber->committed - under_way) {
            memcpy(copy->to, copy->from, 16);
        } else {
            fiber->copies[kept++] = *copy;
        }
    }
    fiber->copy_count = kept;
}

// ---- A pair of blocks ----

void pair_barrier(void) {
    if (!run.kernel->pairs) give_up("a barrier of a pair in a kernel without pairs");
    leave(AT_PAIR);
}

static Arrival *arrival_at(uint64_t *arrival) {
    Arrival *a = (Arrival *)(void *)arrival;
    static_assert(sizeof *a == sizeof *arrival, "an arrival has eight bytes");
    if (a->made != ARRIVAL_MADE) give_up("an arrival has not begun");
    return a;
}

static void end_phase(Arrival *a) {
    if (a->waiting || a->bytes) return;
    a->phase ^= 1;
    a->waiting = a->count;
    run.progress++;
}

void arrival_begin(uint64_t *arrival, int count) {
    *(Arrival *)(void *)arrival = (Arrival){.made = ARRIVAL_MADE, .count = (uint8_t)count, .waiting = (uint8_t)count};
}

static void tell(Arrival *a, int bytes) {
    if (a->waiting-- == 0) give_up("an arrival is told more than it waits for");
    a->bytes += bytes;
    end_phase(a);
}

void arrival_expect(uint64_t *arrival, int bytes) { tell(arrival_at(arrival), bytes); }

static void *of_rank(void *shared, int rank) {
    return run.arena + (size_t)rank * ARENA_BYTES + ((unsigned char *)shared - arena_of(run.current_thread));
}

void arrival_tell(uint64_t *arrival, int rank) { tell(arrival_at(of_rank(arrival, rank)), 0); }

// Each block's copy comes when that block waits for it. Until then nothing may be where it goes to.
void copy_to_pair(void *shared, const void *global, int bytes, uint64_t *arrival) {
    if ((uintptr_t)shared % 16 || (uintptr_t)global % 16 || bytes <= 0 || bytes % 16)
        give_up("a copy to a pair is not aligned");
    for (int rank = 0; rank < PAIR; rank++) {
        if (emulated_pairs_alone && of_rank(shared, rank) != shared) continue;
        if (run.arriving_count == MOST_ARRIVING) give_up("too many copies under way");
        Arriving *a = &run.arriving[run.arriving_count++];
        *a = (Arriving){of_rank(shared, rank), global, (size_t)bytes, (Arrival *)of_rank(arrival, rank)};
        memset(a->to, 0xFF, a->bytes);
    }
}

static void let_arrive(Arrival *arrival) {
    int kept = 0;
    for (int i = 0; i < run.arriving_count; i++) {
        const Arriving *a = &run.arriving[i];
        if (a->arrival != arrival) {
            run.arriving[kept++] = *a;
            continue;
        }
        memcpy(a->to, a->from, a->bytes);
        arrival->bytes -= (int32_t)a->bytes;
    }
    run.arriving_count = kept;
    end_phase(arrival);
}

void arrival_wait(uint64_t *arrival, int phase, uint32_t *late) {
    for (Arrival *a = arrival_at(arrival); a->phase == phase; leave(AT_ARRIVAL)) {
        let_arrive(a);
        if (a->phase != phase) return;
        *late |= run.giving_up;
        if (*late) return;
    }
}

void flag_set(uint32_t *flag) { ++*flag; }

void flag_take(uint32_t *flag, uint32_t *late) {
    *late |= *flag == 0;
    --*flag;
}

// ---- Shared memory ----

extern const SimtShared __start_simt_shared[], __stop_simt_shared[];

static size_t in_words(size_t bytes) { return (bytes + 15) / 16 * 16; }

size_t simt_static_shared(const SimtKernel *kernel) {
    size_t bytes = 0;
    for (const SimtShared *s = __start_simt_shared; s < __stop_simt_shared; s++)
        bytes += strcmp(s->kernel, kernel->name) == 0 ? in_words(s->bytes) : 0;
    return bytes;
}

void *emulated_shared(const SimtShared *site) {
    for (int i = 0; i < run.site_count; i++)
        if (run.sites[i] == site) return run.arena + run.site_offsets[i];
    if (run.site_count == SITES || run.arena_used + site->bytes > run.arena_bytes) give_up("too much shared memory");
    run.sites[run.site_count] = site;
    run.site_offsets[run.site_count] = run.arena_used;
    run.arena_used = in_words(run.arena_used + site->bytes);
    return run.arena + run.site_offsets[run.site_count++];
}

unsigned char *emulated_dynamic_shared(void) {
    if (!run.kernel->dynamic) give_up("a kernel with dynamic shared memory is none by its declaration");
    return arena_of(run.current_thread);
}

// ---- Scheduling ----

static unsigned in_order(unsigned i, unsigned n) { return emulated_backwards ? n - 1 - i : i; }

static void warp_runs(unsigned first, unsigned lanes) {
    for (;;) {
        unsigned counts[STATES] = {0};
        for (unsigned i = 0; i < lanes; i++) {
            unsigned thread = first + in_order(i, lanes);
            if (run.states[thread] == READY) resume(thread);
            counts[run.states[thread]]++;
        }
        if (counts[AT_WARP] == 0) return;
        if (counts[AT_ARRIVAL]) { // what others of the warp have waited for
            for (unsigned i = 0; i < lanes; i++)
                if (run.states[first + i] == AT_ARRIVAL) run.states[first + i] = READY;
            continue;
        }
        if (counts[AT_WARP] != LANES) give_up("only some lanes of a warp take part in what is for all");
        operate(first);
        run.progress++;
        memset(run.states + first, READY, lanes);
    }
}

static void begin_block(void) {
    const unsigned warps = (run.threads + LANES - 1) / LANES;
    for (unsigned block = 0; block < run.threads / run.block_threads; block++)
        memset(run.arena + block * ARENA_BYTES, 0xFF, run.arena_bytes);
    run.arena_used = in_words(run.dynamic_bytes);
    run.site_count = run.arriving_count = 0;
    run.giving_up = false;
    memset(run.states, READY, run.threads);
    for (unsigned w = 0; w < warps; w++) {
        WarpQueue *q = &run.queues[w];
        q->count = q->committed = 0;
        q->fenced = false;
        q->said = 0;
    }
}

// Threads of `count` that all wait for each other; whether they did.
static bool let_go(unsigned first, unsigned count, State state) {
    for (unsigned i = first; i < first + count; i++)
        if (run.states[i] != state) return false;
    memset(run.states + first, READY, count);
    run.progress++;
    return true;
}

static void look_again(void) {
    for (unsigned i = 0; i < run.threads; i++)
        if (run.states[i] == AT_ARRIVAL) run.states[i] = READY;
}

static bool all_done(void) {
    for (unsigned i = 0; i < run.threads; i++)
        if (run.states[i] != DONE) return false;
    return true;
}

// Both blocks of a pair, where there are pairs.
static void run_block(void) {
    const unsigned warps = (run.threads + LANES - 1) / LANES;
    begin_block();
    for (int patience = PATIENCE; !all_done();) {
        const size_t before = run.progress;
        for (unsigned i = 0; i < warps; i++) {
            unsigned first = in_order(i, warps) * LANES;
            warp_runs(first, run.threads - first < LANES ? run.threads - first : LANES);
        }
        for (unsigned block = 0; block < run.threads; block += run.block_threads)
            (void)let_go(block, run.block_threads, AT_BLOCK);
        (void)let_go(0, run.threads, AT_PAIR);
        look_again();
        patience = run.progress == before ? patience - 1 : PATIENCE;
        run.giving_up = patience <= PATIENCE / 2;
        if (patience == 0 && !all_done()) give_up("some threads wait for what others never do");
    }
    if (run.arriving_count) give_up("a block ends before what is copied to it has come");
    warpgroups_agree();
}

static void prepare_run(const SimtKernel *kernel, int capability, Extent grid, unsigned threads, size_t shared,
                        const void *arguments) {
    run.kernel = kernel;
    run.capability = capability;
    if (!run.arena) run.arena = aligned_alloc(1024, PAIR * ARENA_BYTES);
    run.arena_bytes = in_words(shared) + simt_static_shared(kernel);
    run.block_threads = threads;
    run.threads = threads * (kernel->pairs ? PAIR : 1);
    if (!run.arena || run.threads > MOST_THREADS || run.arena_bytes > ARENA_BYTES) give_up("the launch is too large");
    for (unsigned i = 0; i < run.threads; i++) make_fiber(i);
    run.arguments = arguments;
    run.dynamic_bytes = shared;
    emulated.grid_size = grid;
    emulated.block_size = (Extent){threads, 1, 1};
}

static void run_block_of(size_t n) {
    const Extent grid = emulated.grid_size;
    run.block = (Extent){(unsigned)(n % grid.x), (unsigned)(n / grid.x % grid.y), (unsigned)(n / grid.x / grid.y)};
    emulated.block = run.block;
    run_block();
}

// Pairs in their order, for they may wait for one that comes before.
void emulate(const SimtKernel *kernel, int capability, Extent grid, unsigned threads, size_t shared,
             const void *arguments) {
    prepare_run(kernel, capability, grid, threads, shared, arguments);
    const size_t blocks = (size_t)grid.x * grid.y * grid.z;
    if (kernel->pairs)
        for (size_t i = 0; i < blocks; i += PAIR) run_block_of(emulated_pairs_disordered ? blocks - PAIR - i : i);
    else
        for (size_t i = 0; i < blocks; i++) run_block_of(emulated_backwards ? blocks - 1 - i : i);
}

// The first block and the last are enough.
void emulate_beginning(const SimtKernel *kernel, int capability, Extent grid, unsigned threads, size_t shared,
                       const void *arguments) {
    const size_t blocks = (size_t)grid.x * grid.y * grid.z;
    prepare_run(kernel, capability, grid, threads, shared, arguments);
    run.beginning = true;
    run_block_of(0);
    run_block_of(blocks - 1);
    run.beginning = false;
}

#endif
