// The CUDA backend with its kernels, thread by thread on the host: the list of tests/support/backend_checks.h, and what
// only devices have. What a device would compute, without a device: layouts, fragments, barriers, tails, recorded
// steps.
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/cuda/cuda.h"
#include "kernels/device.h"
#include "tests/support/backend_checks.h"
#include "tests/support/cuda_emulated.h"
#include "tests/support/device_models.h"
#include "tests/support/folder.h"
#include "tests/support/simt_emulated.h"
#include "tests/support/slow_checks.h"

static bool thorough = true; // not under valgrind or the sanitizers, where changing stacks takes long

static void begin(const EmulatedDevice *device, Checks *c) {
    *c = (Checks){.place = EMULATED,
                  .thorough = thorough,
                  .random = random_seeded(11),
                  .launches = &emulated_kernels,
                  .backwards = &emulated_backwards};
    setenv("QUANTDIAL_CPU", "scalar", 1);
    if (!backend_emulated_new(device, &c->b)) skip();
    assert_true(backend_cpu_new(1, &c->reference, NULL));
}

// Products of many tokens warp by warp in integers, as where nothing else is proven.
static void begin_in_integers(const EmulatedDevice *device, Checks *c) {
    begin(device, c);
    c->no_f16 = true;
    c->b->ops->avoid(c->b, 1U << KERNELS_F16 | 1U << KERNELS_INT8_WARPGROUPS);
}

static void end(Checks *c) {
    c->b->ops->destroy(c->b);
    c->reference->ops->destroy(c->reference);
    emulated_backwards = false;
}

// ---- Layout ----

static void layout_case(int bits, size_t out, size_t in, size_t group) {
    IntegerLayout l = integer_layout(out, in, group, bits);
    uint8_t *codes = calloc(codes_bytes(&l), 1);
    Random random = random_seeded(3);
    assert_non_null(codes);
    for (int pass = 0; pass < 2; pass++) { // every place is written once, and nothing else is
        random = random_seeded(3);
        for (int o = 0; o < l.out; o++) {
            for (int i = 0; i < l.in; i++) {
                int padded = padded_of(&l, i), code = (int)random_below(&random, 1u << bits) - (1 << (bits - 1));
                int unit = padded / UNIT_COLUMNS, row = o % UNIT_ROWS, column = padded % UNIT_COLUMNS;
                uint8_t *slab = codes + slab_offset(&l, o / UNIT_ROWS, unit / SLAB_UNITS);
                assert_int_equal(column_at(&l, padded), i);
                if (pass == 0)
                    put_code(bits, slab, unit % SLAB_UNITS, unit_lane(row, column), unit_slot(row, column), code);
                else
                    assert_int_equal(packed_code(&l, codes, o, padded), code);
            }
        }
    }
    for (int padded = 0; padded < l.units * UNIT_COLUMNS; padded++)
        if (column_at(&l, padded) < 0)
            for (int o = 0; o < l.row_blocks * UNIT_ROWS; o++) assert_int_equal(packed_code(&l, codes, o, padded), 0);
    free(codes);
}

static void test_layout(void **state) {
    (void)state;
    static const int bits[] = {2, 3, 4, 8};
    static const size_t groups[] = {5, 16, 17, 32, 33, 64, 100, 128, 130, 200};
    for (int b = 0; b < 4; b++)
        for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
            for (size_t in = 200; in < 203; in += 2) layout_case(bits[b], 19, in, groups[g]);
}

// A lane's registers, as the tensor cores read them, hold what the definition says (PTX ISA, m16n8k32).
static void test_fragments(void **state) {
    (void)state;
    static const int bits[] = {2, 3, 4, 8};
    for (int b = 0; b < 4; b++) {
        for (int unit = 0; unit < SLAB_UNITS; unit++) {
            uint8_t slab[2048] = {0};
            for (int row = 0; row < UNIT_ROWS; row++)
                for (int column = 0; column < UNIT_COLUMNS; column++)
                    put_code(bits[b], slab, unit, unit_lane(row, column), unit_slot(row, column),
                             (row * 37 + column * 11) % (1 << bits[b]) - (1 << (bits[b] - 1)));
            for (int lane = 0; lane < 32; lane++) {
                for (int r = 0; r < 4; r++) {
                    uint32_t low = 0;
                    uint16_t high = 0;
                    memcpy(&low, slab + code_place(bits[b], unit, lane, 4 * r, 0).byte, 4);
                    if (bits[b] == 3) memcpy(&high, slab + code_place(3, unit, lane, 0, 1).byte, 2);
                    uint32_t word = widened_codes(bits[b], low, high, r);
                    for (int j = 0; j < 4; j++) {
                        int row = lane / 4 + r % 2 * 8, column = lane % 4 * 4 + r / 2 * 16 + j;
                        int code = (row * 37 + column * 11) % (1 << bits[b]) - (1 << (bits[b] - 1));
                        assert_int_equal((int8_t)(word >> 8 * j & 0xFF), code * (1 << (8 - bits[b])));
                    }
                }
            }
        }
    }
}

// ---- Operations ----

static void run_on(const EmulatedDevice *device, const char *test) {
    Checks c;
    begin(device, &c);
    run_backend_checks(&c, test);
    end(&c);
}

// The usual device, with and without a library where dense products are computed; for several linears everything
// split, and nothing.
static void backend_test(void **state) {
    const bool linears = strcmp(*state, "test_linears") == 0;
    EmulatedDevice device = emulated_hopper;
    if (linears) device.multiprocessors = 2;
    run_on(&device, *state);
    if (!linears && strcmp(*state, "test_dense") != 0) return;
    if (linears) device.multiprocessors = 40;
    device.library = true;
    run_on(&device, *state);
}

// Those that the CPU has not. That needs no second look under valgrind or sanitizers.
static void every_operation_of_devices_has_cases(void **state) {
    (void)state;
    Checks c;
    if (!thorough) skip();
    begin(&emulated_hopper, &c);
    c.thorough = false;
    operations_are_covered(&c, c.reference->ops);
    end(&c);
}

static const int all_bits[] = {2, 3, 4, 8};

static void quantized_cases(const EmulatedDevice *device, int cases, size_t most_out, size_t most_tokens) {
    Checks c;
    begin(device, &c);
    check_quantized_mix(&c, &(QuantizedSizes){0, cases / 3, 40, 700, most_tokens});
    check_quantized_mix(&c, &(QuantizedSizes){cases / 3, cases, most_out, 200, most_tokens});
    end(&c);
}

static void test_quantized_without_tensor_cores(void **state) {
    (void)state;
    EmulatedDevice device = emulated_hopper;
    device.capability = 75;
    quantized_cases(&device, thorough ? 64 : 8, 40, 12); // a block has four outputs, so there are many of them
}

static void test_quantized_many_tokens(void **state) {
    (void)state;
    EmulatedDevice device = emulated_hopper;
    device.multiprocessors = 1; // large blocks
    quantized_cases(&device, thorough ? 64 : 4, 150, 100);
    device.multiprocessors = 16; // and everything split
    device.shared_bytes = 100 << 10;
    quantized_cases(&device, thorough ? 64 : 4, 150, 100);
}

// Every shape of tile at every number of bits: fewer multiprocessors take larger ones.
static void test_quantized_tiles(void **state) {
    (void)state;
    static const int multiprocessors[] = {1, 2, 8, 40};
    EmulatedDevice device = emulated_hopper;
    for (int m = 0; m < 4; m++) {
        Checks c;
        device.multiprocessors = multiprocessors[m];
        begin_in_integers(&device, &c);
        for (int i = 0; i < (thorough ? 24 : 2); i++) {
            const QuantizedCase q = {.grid = (Grid)(i % 2),
                                     .bits = all_bits[i % 4],
                                     .out = between(&c, 200, 256),
                                     .in = between(&c, 130, 300),
                                     .group = 64,
                                     .tokens = (size_t[]){16, 32, 60}[i / 4 % 3] - between(&c, 0, 7),
                                     .mode = i / 12 ? ACTIVATION_TOKEN : ACTIVATION_NONE,
                                     .scale_dtype = DTYPE_F16,
                                     .outlier = 1,
                                     .precision = (Precision)(m % 2)};
            emulated_backwards = i % 2;
            check_quantized(&c, &q);
        }
        end(&c);
    }
}

// Weights and activations become F16, and nothing else is lost: by warpgroups and warp by warp, every size of a block
// at every number of bits, split and whole, over several rounds of the stages.
static void test_f16_products(void **state) {
    (void)state;
    static const size_t groups[] = {64, 128, 32, 256}, tokens[] = {16, 32, 64, 128};
    static const float outliers[] = {1, 1e4f, 1e25f};
    const size_t launches = emulated_kernels;
    double most = 0;
    for (int n = 0; n < 4; n++) {
        EmulatedDevice device = emulated_hopper;
        Checks c;
        device.capability = n % 2 ? 80 : 90;
        device.multiprocessors = n / 2 ? 40 : 1;
        begin(&device, &c);
        for (int i = 0; i < (thorough ? 16 : 4); i++) {
            const QuantizedCase q = {.grid = (Grid)(i / 4 % 4),
                                     .bits = i / 4 % 4 == GRID_LOG2 ? 4 : all_bits[i % 4],
                                     .out = between(&c, 1, 150),
                                     .in = between(&c, 256, i % 8 == 0 ? 1500 : 400),
                                     .group = groups[(i + n) % 4],
                                     .tokens = tokens[(i / 4 + i + n / 2) % 4] - between(&c, 0, 7),
                                     .scale_dtype = (DType)(i / 2 % 3),
                                     .outlier = outliers[i % 3]};
            emulated_backwards = i % 2;
            most = fmax(most, check_f16_product(&c, &q, i % 5 != 4 ? 0 : q.scale_dtype == DTYPE_F16 ? 8 : 20));
        }
        end(&c);
    }
    assert_true(emulated_kernels > launches);
    if (!(most < 0x1p-10)) fail_msg("inputs of 16 bits cost %g of the largest result", most);
}

// Products of int8 activations by warpgroups, to the last bit: every size of a block at every number of bits on every
// grid, with groups shorter and longer than a slab; whole, and by blocks that share the columns.
static void test_int8_products(void **state) {
    (void)state;
    static const size_t groups[] = {64, 128, 32, 256, 0}, tokens[] = {16, 32, 64, 140};
    static const Grid grids[] = {GRID_SYMMETRIC, GRID_ASYMMETRIC, GRID_TWO_LEVEL};
    for (int n = 0; n < 2; n++) {
        EmulatedDevice device = emulated_hopper;
        Checks c;
        device.multiprocessors = n ? 40 : 1;
        begin(&device, &c);
        for (int i = 0; i < (thorough ? 30 : 3); i++) {
            const size_t in = between(&c, 256, i % 5 == 4 ? 2000 : 700), group = groups[i % 5];
            const QuantizedCase q = {.grid = grids[i % 3],
                                     .bits = all_bits[(i + i / 4) % 4],
                                     .out = between(&c, 1, 200),
                                     .in = in,
                                     .group = group ? group : in,
                                     .tokens = tokens[i % 4] - between(&c, 0, 7),
                                     .mode = i % 7 == 6 ? ACTIVATION_STATIC : ACTIVATION_TOKEN,
                                     .scale_dtype = (DType)(i / 2 % 3),
                                     .outlier = 1};
            emulated_backwards = i % 2;
            check_quantized(&c, &q);
        }
        end(&c);
    }
}

// The slabs of all tiles, in their order, belong to the pairs in theirs. A pair begins with what it leaves for the next
// one, and ends with what it takes.
static void chain_case(int tiles, int pairs, int steps, int step) {
    const IntegerArguments a = {
        .layout = {.slabs = steps * step}, .splits = 1, .chain = {.tiles = tiles, .pairs = pairs, .step = step}};
    const int slabs = a.layout.slabs;
    long long next = 0;
    for (int pair = 0; pair < pairs; pair++) {
        Pieces all = pieces_of(&a, pair, 0);
        long long from = all.end;
        Piece p = {.taken = false};
        assert_int_equal(all.from, next);
        next = all.end;
        for (int n = 0; next_piece(&a, &all, &p); n++) {
            assert_int_equal((long long)p.tile * slabs + p.end, from);
            from -= p.end - p.from;
            assert_true(p.from >= 0 && p.end > p.from && p.end <= slabs);
            assert_true(p.from % step == 0 && p.end % step == 0);
            assert_int_equal(p.left, p.end < slabs);
            assert_int_equal(p.taken, p.from > 0);
            assert_true(n == 0 || !p.left);
            assert_true(!p.taken || (!p.left && from == all.from));
        }
        assert_int_equal(from, all.from);
    }
    assert_int_equal(next, (long long)tiles * slabs);
}

static void test_chains(void **state) {
    (void)state;
    Random random = random_seeded(5);
    for (int i = 0; i < 2000; i++) {
        const int pairs = 1 + (int)random_below(&random, 80), tiles = pairs + 1 + (int)random_below(&random, 300);
        chain_case(tiles, pairs, 1 + (int)random_below(&random, 230), 1 + (int)random_below(&random, 4));
    }
}

// More tiles than pairs of blocks: two to four pairs share one tile more, so that each goes on where the one before
// ends, also within a group of several slabs. Up to 256 tokens for a block, and stages that go round.
static void test_chained_products(void **state) {
    (void)state;
    static const size_t groups[] = {64, 128, 32, 256};
    static const Grid grids[] = {GRID_SYMMETRIC, GRID_ASYMMETRIC, GRID_TWO_LEVEL};
    EmulatedDevice device = emulated_hopper;
    for (int i = thorough ? 0 : 1; i < (thorough ? 8 : 2); i++) {
        Checks c;
        const int pairs = 2 + (i + 1) / 2 % 3;
        device.multiprocessors = 2 * pairs;
        begin(&device, &c);
        const bool int8 = i % 2;
        const size_t rows = (size_t)pairs * PAIR_ROW_BLOCKS * UNIT_ROWS;
        const QuantizedCase q = {.grid = grids[i / 2 % (int8 ? 3 : 2)],
                                 .bits = all_bits[int8 ? (i / 2 + 1) % 4 : i / 2],
                                 .out = between(&c, rows + 1, rows + 18),
                                 .in = between(&c, int8 ? 520 : 130, int8 ? 630 : 250),
                                 .group = groups[int8 ? (i + i / 2) % 4 : i / 2 % 3],
                                 .tokens = int8 ? between(&c, 65, 128) : between(&c, 129, 200),
                                 .mode = int8 ? ACTIVATION_TOKEN : ACTIVATION_NONE,
                                 .scale_dtype = DTYPE_F16,
                                 .outlier = 1};
        emulated_backwards = i % 3 == 1;
        if (int8)
            check_quantized(&c, &q);
        else
            (void)check_f16_product(&c, &q, 0);
        const uint32_t *flags = cuda_of(c.b)->arrived.data;
        for (int n = 0; n < device.multiprocessors; n++) assert_int_equal(flags[n], 0);
        end(&c);
    }
}

// Rows of many steps: more of them than are in shared memory at a time, for every warp.
static void test_quantized_long_rows(void **state) {
    (void)state;
    static const size_t groups[] = {32, 64, 96, 128, 160, 192, 256, 1152, 0};
    EmulatedDevice device = emulated_hopper;
    for (int shared = 0; shared < 2; shared++) {
        Checks c;
        device.multiprocessors = shared ? 1 : 32;
        device.shared_bytes = (shared ? 99u : 227u) << 10; // fewer stages
        begin(&device, &c);
        for (int i = 0; i < (thorough ? 36 : 3); i++) {
            const size_t in = between(&c, 4000, 7000), group = groups[i % 9];
            const QuantizedCase q = {.grid = (Grid)(i / 9 % 4),
                                     .bits = all_bits[i % 4],
                                     .out = between(&c, 1, 20),
                                     .in = in,
                                     .group = group ? group : in,
                                     .tokens = between(&c, 1, i % 5 ? 8 : 33),
                                     .mode = i % 2 ? ACTIVATION_TOKEN : ACTIVATION_NONE,
                                     .scale_dtype = (DType)between(&c, 0, 2),
                                     .outlier = 1,
                                     .precision = (Precision)(i / 2 % 2)};
            emulated_backwards = i % 2;
            check_quantized(&c, &q);
        }
        end(&c);
    }
}

// ---- What is wrong is avoided ----

static int nothing_at_all(void *stream, const void *arguments) {
    (void)stream;
    (void)arguments;
    return 0;
}

static int no_product(CudaRuntime *runtime, const LibraryProduct *p) {
    (void)runtime;
    (void)p;
    return 0;
}

static int no_run(CudaRuntime *runtime, void *recorded) {
    (void)runtime;
    (void)recorded;
    return 0;
}

static int fails(void *stream, const void *arguments) {
    (void)stream;
    (void)arguments;
    return 719;
}

// Writes no keys while kernels begin early.
static const CudaRuntime *careless;
static int (*careful_rope_write)(void *stream, const RopeWriteArguments *);

static int careless_rope_write(void *stream, const RopeWriteArguments *a) {
    return careless->early ? 0 : careful_rope_write(stream, a);
}

// Does nothing where sums are handed on.
static CudaLaunches unspoiled;

static int f16_unchained(void *stream, const IntegerArguments *a) {
    return a->chain.tiles ? 0 : unspoiled.f16_by_warpgroups(stream, a);
}
static int int8_unchained(void *stream, const IntegerArguments *a) {
    return a->chain.tiles ? 0 : unspoiled.int8_by_warpgroups(stream, a);
}

// Launches of one family that do nothing, or fail.
static void spoil(CudaBackend *c, CudaLaunches *launches, KernelFamily family, int (*with)(void *, const void *)) {
    void (*function)(void) = (void (*)(void))with;
    careless = c->runtime;
    careful_rope_write = c->runtime->launches->rope_write;
    *launches = unspoiled = *c->runtime->launches;
    c->runtime->launches = launches;
    switch (family) {
    case KERNELS_INTEGER: launches->integer_tiled = (int (*)(void *, const IntegerArguments *))function; break;
    case KERNELS_F16: launches->f16_activations = (int (*)(void *, const F16Arguments *))function; break;
    case KERNELS_WARPGROUPS: launches->f16_by_warpgroups = (int (*)(void *, const IntegerArguments *))function; break;
    case KERNELS_INT8_WARPGROUPS:
        launches->int8_by_warpgroups = (int (*)(void *, const IntegerArguments *))function;
        break;
    case KERNELS_CHAINS:
        launches->f16_by_warpgroups = f16_unchained;
        launches->int8_by_warpgroups = int8_unchained;
        break;
    case KERNELS_LIBRARY: c->runtime->product = no_product; break;
    case KERNELS_DENSE: launches->dense_tiled = (int (*)(void *, const DenseArguments *))function; break;
    case KERNELS_ATTENTION: launches->attention_tiles = (int (*)(void *, const AttentionArguments *))function; break;
    case KERNELS_FUSED: launches->rope_write = (int (*)(void *, const RopeWriteArguments *))function; break;
    case KERNELS_MIXTURE: launches->mix = (int (*)(void *, const MixArguments *))function; break;
    case KERNELS_STEP: c->runtime->run = no_run; break;
    case KERNELS_EARLY: launches->rope_write = careless_rope_write; break;
    case KERNELS_MEASURE: launches->measure = (int (*)(void *, const MeasureArguments *))function; break;
    case KERNEL_FAMILIES: launches->norm = (int (*)(void *, const NormArguments *))function; break;
    }
}

static int (*right_quantize)(void *stream, const QuantizeArguments *);

// Errors and scales are right, codes of the first unit are not.
static int quantize_wrong_codes(void *stream, const QuantizeArguments *a) {
    const int error = right_quantize(stream, a);
    memset(a->codes, 0, (size_t)unit_bytes(a->layout.bits));
    return error;
}

static void wrong_codes_are_found(void **state) {
    (void)state;
    CudaLaunches launches;
    unsigned avoid = 0;
    Error err = {0};
    Checks c;
    begin(&emulated_hopper, &c);
    CudaRuntime *runtime = cuda_of(c.b)->runtime;
    launches = *runtime->launches;
    right_quantize = launches.quantize;
    launches.quantize = quantize_wrong_codes;
    runtime->launches = &launches;
    assert_false(backend_prove(c.b, c.reference, &avoid, &err));
    assert_string_equal(err.message, "the device computes wrong numbers: quantizing");
    end(&c);
}

static int (*right_int8)(void *stream, const IntegerArguments *);
static int spoiled_side;

static int int8_but_one_side(void *stream, const IntegerArguments *a) {
    return a->tile.tokens == spoiled_side ? 0 : right_int8(stream, a);
}

// Blocks of every width are proven, on a device with many multiprocessors, too, which mostly takes narrow ones.
static void every_width_is_proven(void **state) {
    (void)state;
    EmulatedDevice device = emulated_hopper;
    device.multiprocessors = 132;
    for (spoiled_side = thorough ? 2 : INT8_MOST_TOKENS; spoiled_side <= INT8_MOST_TOKENS; spoiled_side *= 2) {
        CudaLaunches launches;
        unsigned avoid = 0;
        Error err = {0};
        Checks c;
        begin(&device, &c);
        CudaRuntime *runtime = cuda_of(c.b)->runtime;
        launches = *runtime->launches;
        right_int8 = launches.int8_by_warpgroups;
        launches.int8_by_warpgroups = int8_but_one_side;
        runtime->launches = &launches;
        if (!backend_prove(c.b, c.reference, &avoid, &err)) fail_msg("%s", err.message);
        assert_int_equal(avoid, 1U << KERNELS_INT8_WARPGROUPS);
        end(&c);
    }
}

static CudaLaunches watched;
static int rounds_by_f16, rounds_by_int8;

static int watch_f16(void *stream, const IntegerArguments *a) {
    if (a->splits == 1 && a->layout.slabs > a->stages) rounds_by_f16++;
    return watched.f16_by_warpgroups(stream, a);
}
static int watch_int8(void *stream, const IntegerArguments *a) {
    if (a->splits == 1 && a->layout.slabs > a->stages) rounds_by_int8++;
    return watched.int8_by_warpgroups(stream, a);
}

// A pair goes through all its stages and begins again, on a large device, too, where rows are shared among blocks.
static void stages_go_round_in_the_proof(void **state) {
    (void)state;
    EmulatedDevice device = emulated_hopper;
    unsigned avoid = 0;
    Checks c;
    device.multiprocessors = 132;
    begin(&device, &c);
    CudaRuntime *runtime = cuda_of(c.b)->runtime;
    CudaLaunches launches = watched = *runtime->launches;
    launches.f16_by_warpgroups = watch_f16;
    launches.int8_by_warpgroups = watch_int8;
    runtime->launches = &launches;
    rounds_by_f16 = rounds_by_int8 = 0;
    assert_true(backend_prove(c.b, c.reference, &avoid, NULL));
    assert_int_equal(avoid, 0);
    assert_true(rounds_by_f16 > 0 && rounds_by_int8 > 0);
    end(&c);
}

// A family that computes nothing is found and avoided, and all is right without it; no other is blamed. What nothing
// can take the place of makes the device useless.
static void what_is_wrong_is_avoided(void **state) {
    (void)state;
    for (KernelFamily family = 0; family <= KERNEL_FAMILIES; family++) {
        EmulatedDevice device = emulated_hopper;
        CudaLaunches launches;
        unsigned avoid = 0;
        Error err = {0};
        Checks c;
        device.library = true;
        begin(&device, &c);
        spoil(cuda_of(c.b), &launches, family, nothing_at_all);
        const bool right = backend_prove(c.b, c.reference, &avoid, &err);
        if (right != (family < KERNEL_FAMILIES)) fail_msg("family %d: %s", (int)family, err.message);
        assert_int_equal(avoid, family < KERNEL_FAMILIES ? 1U << family : 0);
        if (!right) assert_string_equal(err.message, "the device computes wrong numbers: norms");
        end(&c);
        if (!thorough && family < KERNEL_FAMILIES) family = KERNEL_FAMILIES - 1; // the first and none
    }
}

// A device on which pairs of blocks are not what they count on: what they wait for never comes. They give up, nothing
// of it stays behind, and others compute in their place.
static void who_waits_in_vain_gives_up(void **state) {
    (void)state;
    bool *const faults[] = {&emulated_pairs_disordered, &emulated_pairs_alone};
    static const unsigned avoided[] = {1U << KERNELS_CHAINS, 1U << KERNELS_WARPGROUPS | 1U << KERNELS_INT8_WARPGROUPS};
    for (int i = 0; i < (thorough ? 2 : 1); i++) {
        EmulatedDevice device = emulated_hopper;
        unsigned avoid = 0;
        Error err = {0};
        Checks c;
        device.multiprocessors = 132;
        begin(&device, &c);
        *faults[i] = true;
        const bool right = backend_prove(c.b, c.reference, &avoid, &err);
        *faults[i] = false;
        if (!right) fail_msg("%s", err.message);
        assert_int_equal(avoid, avoided[i]);
        const uint32_t *flags = cuda_of(c.b)->arrived.data;
        for (int n = 0; n < device.multiprocessors; n++) assert_int_equal(flags[n], 0);
        end(&c);
    }
}

// A family whose kernels fail takes the device with it: the next one avoids them from the beginning.
static void what_fails_is_avoided_by_the_next(void **state) {
    (void)state;
    unsigned avoid = 0;
    for (int attempt = 0; attempt < 2; attempt++) {
        CudaLaunches launches;
        Error err = {0};
        Checks c;
        begin(&emulated_hopper, &c);
        spoil(cuda_of(c.b), &launches, KERNELS_ATTENTION, fails);
        assert_int_equal(backend_prove(c.b, c.reference, &avoid, &err), attempt == 1);
        assert_int_equal(avoid, 1U << KERNELS_ATTENTION);
        if (attempt == 0) assert_non_null(strstr(err.message, "the device fails at attention of many tokens"));
        end(&c);
    }
}

static CudaLaunches spoiled;
static int devices_made;

static bool spoiled_device(int device, Backend **out, Error *err) {
    (void)device;
    (void)err;
    assert_true(backend_emulated_new(&emulated_hopper, out));
    spoil(cuda_of(*out), &spoiled, KERNELS_ATTENTION, fails);
    devices_made++;
    return true;
}

static bool useless_device(int device, Backend **out, Error *err) {
    (void)device;
    (void)err;
    assert_true(backend_emulated_new(&emulated_hopper, out));
    spoil(cuda_of(*out), &spoiled, KERNEL_FAMILIES, nothing_at_all);
    return true;
}

// Proven once, it is not asked again.
static void a_proof_is_kept(void **state) {
    (void)state;
    Backend *probe, *device;
    Error err = {0};
    if (!backend_emulated_new(&emulated_hopper, &probe)) skip();
    probe->ops->destroy(probe);
    char *folder = folder_temporary();
    devices_made = 0;
    for (int start = 0; start < 2; start++) {
        const size_t kernels = emulated_kernels;
        unsigned avoided;
        if (!device_open(spoiled_device, folder, &device, &avoided, &err)) fail_msg("%s", err.message);
        device->ops->destroy(device);
        assert_int_equal(avoided, 1U << KERNELS_ATTENTION);
        assert_int_equal(devices_made, start == 0 ? 2 : 3);
        assert_int_equal(emulated_kernels > kernels, start == 0);
    }
    unsigned avoided;
    assert_false(device_open(useless_device, NULL, &device, &avoided, &err));
    assert_string_equal(err.message, "the device computes wrong numbers: norms; it is not used");
    folder_remove(folder);
}

// ---- What devices take ----

// Largest blocks that devices of these capabilities allow.
static const struct {
    int capability;
    size_t shared_bytes;
} limits[] = {{75, 64 << 10}, {80, 163 << 10}, {86, 99 << 10}, {90, 227 << 10}, {120, 99 << 10}};
enum { LIMITS = sizeof limits / sizeof *limits };

static EmulatedDevice device_within(int i) {
    EmulatedDevice device = emulated_hopper;
    device.capability = limits[i].capability;
    device.shared_bytes = limits[i].shared_bytes;
    return device;
}

// Stages, pieces and tiles are cut to the device's shared memory: every format fits every device. Launches are only
// recorded, so all of them are looked at. n: which format.
static void record_format(Checks *c, size_t n) {
    static const size_t groups[] = {16, 32, 64, 96, 128, 256, 300};
    const QuantizedCase q = {.grid = (Grid)(n % 4),
                             .bits = all_bits[n / 4 % 4],
                             .out = 64,
                             .in = 300,
                             .group = groups[n / 16 % 7],
                             .mode = n / 112 % 2 ? ACTIVATION_TOKEN : ACTIVATION_NONE,
                             .scale_dtype = n / 224 % 2 ? DTYPE_F32 : DTYPE_F16,
                             .precision = (Precision)(n / 448)};
    check_recorded_products(c, &q);
}

static void test_products_fit(void **state) {
    (void)state;
    enum { FORMATS = 2 * 448 };
    static const int multiprocessors[] = {1, 2, 8, 132}; // large tiles, and small ones
    for (int i = 0; i < LIMITS; i++) {
        for (int m = 0; m < 4; m++) {
            EmulatedDevice device = device_within(i);
            Checks c;
            device.multiprocessors = multiprocessors[m];
            begin(&device, &c);
            for (size_t n = (size_t)m; n < FORMATS; n += thorough ? 4 : 61) record_format(&c, n);
            end(&c);
        }
    }
}

typedef struct RecordedAttention {
    Cache *cache;
    AttentionShape shape;
    const float *q;
    size_t first, tokens;
    float *y;
} RecordedAttention;

static void run_attention(Backend *b, const void *context) {
    const RecordedAttention *a = context;
    b->ops->cache_write(b, a->cache, 0, a->first, a->tokens, a->q, a->q);
    b->ops->attention(b, a->cache, 0, &a->shape, a->q, a->first, a->tokens, a->y);
}

// Heads of every size, one token and a prompt, at the end of a long text.
static void test_attention_fits(void **state) {
    (void)state;
    enum { POSITIONS = 40000, HEADS = 8, MOST = 300 };
    static const int dims[] = {64, 80, 128, 192, 256, 512};
    for (int i = 0; i < LIMITS; i++) {
        EmulatedDevice device = device_within(i);
        Checks c;
        begin(&device, &c);
        const BackendOps *ops = c.b->ops;
        for (int n = 0; n < 6 * 4; n++) {
            const DType dtype = (const DType[]){DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I8}[n % 4];
            const int dim = dims[n / 4], kv_heads = n % 3 ? 1 : 2;
            const size_t tokens = n % 2 ? 1 : MOST, floats = tokens * HEADS * (size_t)dim;
            RecordedAttention a = {.shape = {.heads = HEADS, .kv_heads = kv_heads, .head_dim = dim, .scale = 1},
                                   .first = POSITIONS - tokens,
                                   .tokens = tokens};
            assert_true(ops->cache_new(c.b, 1, 1, kv_heads, dim, POSITIONS, dtype, &a.cache, NULL));
            float *memory = ops->memory_new(c.b, 2 * floats * sizeof *memory, NULL);
            a.q = memory, a.y = memory + floats;
            check_recorded(&c, "attention", run_attention, &a);
            ops->memory_free(c.b, memory);
            ops->cache_free(c.b, a.cache);
        }
        end(&c);
    }
}

// Nothing to do is done without a launch: one of no blocks is an error.
static void test_no_tokens(void **state) {
    (void)state;
    static const size_t widths[] = {3, 4};
    const int32_t nobody = 0;
    const float factor = 1;
    Checks c;
    Error err = {0};
    begin(&emulated_hopper, &c);
    Backend *b = c.b;
    const BackendOps *ops = b->ops;
    float *x = ops->memory_new(b, 64, &err), *y = ops->memory_new(b, 64, &err), f = 0;
    uint64_t pattern = 0; // nothing is counted
    uint32_t count = 0;
    Weight *w = NULL;
    Cache *cache = NULL;
    assert_true(ops->weight_dense(b, DTYPE_F32, (const float[16]){0}, 4, 4, NULL, PRECISION_F32, &w, &err));
    assert_true(ops->cache_new(b, 1, 1, 1, 4, 4, DTYPE_F32, &cache, &err));
    const size_t launches = emulated_kernels;
    ops->linear(b, w, x, 0, y);
    ops->embed(b, DTYPE_F32, &factor, 1, &nobody, 0, x);
    ops->rms_norm(b, x, x, 1e-5f, 0, 4, y);
    ops->layer_norm(b, x, x, x, 1, 1e-5f, 0, 4, y);
    ops->add(b, x, y, 0);
    ops->silu_times(b, x, x, 0, y);
    ops->scale(b, x, 2, 0);
    ops->softcap(b, x, 2, 0);
    ops->clamp(b, x, 2, 0);
    ops->xielu(b, &(Xielu){1, 1, 1}, x, 0, y);
    ops->rope(b, x, 0, 1, 4, 4, false, x, x, 0);
    ops->split(b, x, 0, 1, widths, 2, (float *const[]){x, y});
    ops->gather(b, x, 4, &nobody, 0, y);
    ops->scatter_add(b, x, 4, &nobody, &factor, 0, y);
    ops->gated_add(b, x, x, 0, 4, y);
    ops->blend_add(b, x, x, 1, 0, 4, y, 1);
    ops->match_size(b, x, y, 1, 0, 4);
    ops->cut_below(b, x, 1, 0, 4);
    ops->choose(b, x, 0, 4, &(Draw){0}, (int32_t[1]){0}, &f);
    ops->cache_write(b, cache, 0, 0, 0, x, x);
    ops->attention(b, cache, 0, &(AttentionShape){.heads = 1, .kv_heads = 1, .head_dim = 4, .scale = 1}, x, 0, 0, y);
    ops->convolve(b, &(ConvolutionShape){.sequences = 1, .channels = 4, .taps = 1, .weight = x}, x, 0, 0, NULL, y);
    ops->recur(b, &(RecurrenceShape){1, 1, 1, 2, 2, .decay = x, .offset = x}, x, x, x, x, NULL, 0, 0, x, y);
    assert_true(ops->measure(b, x, 0, 4, &(ActivationCounts){&pattern, &f, &count, &f}, &err));
    if (!ops->healthy(b, &err)) fail_msg("%s", err.message);
    assert_int_equal(emulated_kernels, launches);
    ops->weight_free(b, w);
    ops->cache_free(b, cache);
    ops->memory_free(b, x), ops->memory_free(b, y);
    end(&c);
}

// What would run at once, or come back to the host, ends the recording and nothing else.
static void test_what_cannot_be_recorded(void **state) {
    (void)state;
    static const float table[4] = {0};
    const int32_t id = 0;
    Checks c;
    Error err = {0};
    begin(&emulated_hopper, &c);
    Backend *b = c.b;
    float *x = b->ops->memory_new(b, 64, &err), f[4] = {0};
    uint32_t counted[4] = {0};
    Weight *w = NULL;
    uint64_t *patterns = calloc(65536, sizeof *patterns);
    assert_true(x && patterns);
    for (int what = 0; what < 6; what++) {
        assert_true(b->ops->step_begin(b));
        b->ops->embed(b, DTYPE_F32, table, 4, &id, 1, x);
        switch (what) {
        case 0: assert_null(b->ops->memory_new(b, 64, &err)); break;
        case 1: assert_false(b->ops->weight_dense(b, DTYPE_F32, f, 2, 2, f, PRECISION_F32, &w, &err)); break;
        case 2: assert_false(b->ops->measure(b, x, 1, 4, &(ActivationCounts){patterns, f, counted, f}, &err)); break;
        case 3: b->ops->upload(b, x, f, sizeof f); break;
        case 4: b->ops->download(b, f, x, sizeof f); break;
        default: b->ops->gather(b, x, 4, &id, 1, x + 4); break;
        }
        assert_null(b->ops->step_end(b));
        if (!b->ops->healthy(b, &err)) fail_msg("%d: %s", what, err.message);
    }
    b->ops->memory_free(b, x);
    free(patterns);
    end(&c);
}

// ---- The emulation itself ----

#ifdef EMULATES

typedef struct TrialArguments {
    float *y;
} TrialArguments;

DYNAMIC_KERNEL(trial_kernel, 64, TrialArguments) {
    DYNAMIC_SHARED(memory);
    SHARED(float, own, 512); // 2,048 bytes
    own[threadIdx.x] = (float)threadIdx.x;
    memory[threadIdx.x] = 1;
    __syncthreads();
    a.y[threadIdx.x] = own[63 - threadIdx.x] + (float)memory[threadIdx.x];
}

KERNEL(trial_tf32_kernel, 32, TrialArguments) {
    float c[4] = {0};
    uint32_t w[4], x[2] = {0};
    for (int i = 0; i < 4; i++) w[i] = __float_as_uint(1 + 0x1p-11f); // of which the last bit is not read
    if (threadIdx.x == 0) x[0] = __float_as_uint(1 + 0x1.8p-10f);
    if (threadIdx.x == 4) x[0] = __float_as_uint(0x1p24f), x[1] = __float_as_uint(-0x1p24f);
    if (threadIdx.x == 5) x[0] = __float_as_uint(0.75f); // in the same column
    multiply_tf32(c, w, x);
    for (int i = 0; i < 2; i++) a.y[threadIdx.x * 2 + i] = c[i];
}

KERNEL(trial_copy_kernel, 32, TrialArguments) {
    SHARED(float, place, 4 * 32);
    float *own = place + threadIdx.x * 4, *y = a.y + threadIdx.x * 4;
    own[0] = 1;
    copy_begin(own, y);
    COPY_COMMIT();
    const float early = own[0];
    COPY_WAIT(0);
    y[1] = early;
    y[2] = own[0];
}

static int launch_trial(void *stream, Extent grid, unsigned threads, size_t shared, float *y) {
    const TrialArguments a = {y};
    return LAUNCH(trial_kernel, grid, threads, shared, stream, &a);
}

// What a device refuses is refused: the kernel's own shared memory counts, what was allowed last holds, and grids and
// blocks have their limits.
static void test_refusals(void **state) {
    (void)state;
    enum { INVALID_VALUE = 1, INVALID_CONFIGURATION = 9, OWN = 2048, UNASKED = 48 << 10 };
    const Extent one = {1, 1, 1};
    EmulatedDevice device = emulated_hopper;
    Checks c;
    device.unprepared = true;
    begin(&device, &c);
    CudaRuntime *r = cuda_of(c.b)->runtime;
    float *y = c.b->ops->memory_new(c.b, 64 * sizeof *y, NULL);
    const size_t before = emulated_refusals;
    assert_int_equal(simt_static_shared(&trial_kernel_kernel), OWN);
    assert_int_equal(launch_trial(r->stream, one, 64, UNASKED - OWN, y), 0);
    assert_true(y[0] == 64 && y[63] == 1);
    assert_int_equal(launch_trial(r->stream, one, 64, UNASKED, y), INVALID_VALUE);
    assert_string_equal(r->message(INVALID_VALUE), "invalid argument");
    assert_non_null(strstr(emulated_refusal, "trial_kernel: 1 x 1 x 1 blocks of 64 threads (64), shared memory 49152"));
    // Asked for: no more than the device has besides, and no less than a recorded step needs later.
    assert_int_equal(emulated_allow_shared(r->stream, &trial_kernel_kernel, (227 << 10) - OWN + 1), INVALID_VALUE);
    assert_int_equal(emulated_allow_shared(r->stream, &trial_kernel_kernel, (227 << 10) - OWN), 0);
    void *recorded = NULL;
    assert_int_equal(r->record_begin(r), 0);
    assert_int_equal(launch_trial(r->stream, one, 64, UNASKED, y), 0);
    assert_int_equal(r->record_end(r, &recorded), 0);
    assert_int_equal(r->run(r, recorded), 0);
    assert_int_equal(emulated_allow_shared(r->stream, &trial_kernel_kernel, UNASKED - OWN), 0);
    assert_int_equal(r->run(r, recorded), INVALID_VALUE);
    r->forget(r, recorded);
    assert_int_equal(launch_trial(r->stream, one, 96, 64, y), INVALID_VALUE); // more threads than its bounds
    assert_int_equal(launch_trial(r->stream, one, 1056, 64, y), INVALID_CONFIGURATION);
    assert_int_equal(launch_trial(r->stream, (Extent){1, 65536, 1}, 64, 64, y), INVALID_CONFIGURATION);
    assert_int_equal(launch_trial(r->stream, (Extent){1, 1, 65536}, 64, 64, y), INVALID_CONFIGURATION);
    assert_int_equal(launch_trial(r->stream, (Extent){1, 0, 1}, 64, 64, y), INVALID_CONFIGURATION);
    assert_int_equal(emulated_refusals - before, 7);
    c.b->ops->memory_free(c.b, y);
    end(&c);
}

// A device that nobody told how much kernels may have: the first token in 4 bits and groups of 32 fails in the
// runtime's words, and the launch is named.
static void test_unprepared_kernels(void **state) {
    (void)state;
    EmulatedDevice device = emulated_hopper;
    Checks c;
    Error err = {0};
    device.unprepared = true;
    begin(&device, &c);
    Backend *b = c.b;
    Weight *w = NULL;
    QuantizedWeight codes;
    float *x = b->ops->memory_new(b, 300 * sizeof *x, NULL), *y = b->ops->memory_new(b, 40 * sizeof *y, NULL);
    assert_true(quantized_weight_on_grid(GRID_SYMMETRIC, 40, 300, 32, 4, DTYPE_F16, &codes, NULL));
    assert_true(b->ops->weight_quantized(b, &codes, &(ActivationScheme){.mode = ACTIVATION_NONE}, NULL,
                                         PRECISION_NATIVE, &w, NULL));
    b->ops->linear(b, w, x, 1, y);
    assert_false(b->ops->healthy(b, &err));
    assert_non_null(strstr(err.message, "invalid argument"));
    assert_non_null(strstr(emulated_refusal, "few_free_4"));
    b->ops->weight_free(b, w);
    b->ops->memory_free(b, x), b->ops->memory_free(b, y);
    quantized_weight_free(&codes);
    end(&c);
}

typedef struct BeginsArguments {
    const uint4 *weights;
    uint4 *y;
} BeginsArguments;

EARLY_KERNEL(begins_early, 32, BeginsArguments) {
    const uint4 w = load_once(a.weights);
    wait_for_previous();
    a.y[threadIdx.x] = w;
}

// What a kernel reads before it waits must not be what the one before writes; nor does it write.
static void test_beginnings(void **state) {
    (void)state;
    uint4 weights = {1, 2, 3, 4}, y[32] = {{0, 0, 0, 0}};
    const BeginsArguments a = {&weights, y};
    for (int change = 0; change < 2; change++) {
        emulate_beginning(&begins_early_kernel, 90, (Extent){2, 1, 1}, 32, 0, &a);
        assert_int_equal(y[5].y, 0);
        weights.z += (uint32_t)change;
        assert_int_equal(emulated_beginning_holds(), !change);
    }
    emulate(&begins_early_kernel, 90, (Extent){2, 1, 1}, 32, 0, &a);
    assert_int_equal(y[31].z, 4);
}

// Tensor cores do not read the last 13 bits of a number, nothing is rounded, and what is small beside the largest
// addend is lost.
static void test_tf32(void **state) {
    (void)state;
    Checks c;
    begin(&emulated_hopper, &c);
    float *y = c.b->ops->memory_new(c.b, 64 * sizeof *y, NULL);
    const TrialArguments a = {y};
    assert_int_equal(LAUNCH(trial_tf32_kernel, ((Extent){1, 1, 1}), 32, 0, cuda_of(c.b)->runtime->stream, &a), 0);
    for (int n = 0; n < 64; n++) assert_true(y[n] == (n % 8 ? 0 : 1 + 0x1p-10f));
    c.b->ops->memory_free(c.b, y);
    end(&c);
}

// What is copied in the background is not there before it is waited for, nor is what it replaces.
static void test_copies(void **state) {
    (void)state;
    Checks c;
    begin(&emulated_hopper, &c);
    float *y = c.b->ops->memory_new(c.b, 4 * 32 * sizeof *y, NULL);
    const TrialArguments a = {y};
    for (int n = 0; n < 4 * 32; n++) y[n] = (float)n;
    assert_int_equal(LAUNCH(trial_copy_kernel, ((Extent){1, 1, 1}), 32, 0, cuda_of(c.b)->runtime->stream, &a), 0);
    for (int n = 0; n < 4 * 32; n += 4) assert_true(isnan(y[n + 1]) && y[n + 2] == (float)n);
    c.b->ops->memory_free(c.b, y);
    end(&c);
}

enum { GROUP_TOKENS = 16, GROUP_COLUMNS = 16 };
typedef enum Fault {
    NO_FAULT,
    NOT_EXPECTED,
    NO_ARRIVAL,
    LATER_BLOCK,
    NO_FENCE,
    NO_WAIT,
    ODD_MATRIX,
    EARLY_WRITE,
    EARLY_READ
} Fault;

typedef struct GroupArguments {
    const uint8_t *x; // [tokens][128 bytes], swizzled
    float *y;         // [blocks, 64, tokens]
    uint32_t *flag;
    Fault fault;
} GroupArguments;

static float group_weight(int row, int column) { return (float)(row % 7 - 3 + column * 2); }
static float group_value(int token, int column) { return (float)(token - column % 5); }

static uint32_t group_pair(int row, int column) {
    return f16_bits(group_weight(row, column)) | (uint32_t)f16_bits(group_weight(row, column + 1)) << 16;
}

// Each block of the pair brings half of the tokens.
PAIR_KERNEL(trial_group_kernel, 128, 1, GroupArguments) {
    SWIZZLED_SHARED(memory);
    const int thread = (int)threadIdx.x, row = thread / 32 * 16 + thread % 32 / 4, column = thread % 4 * 2,
              bytes = GROUP_TOKENS * X_ROW_BYTES, half = (int)blockIdx.x * bytes / 2;
    float c[GROUP_TOKENS / 8][4] = {{0}}, *y = a.y + blockIdx.x * 64 * GROUP_TOKENS;
    uint32_t w[4];
    uint8_t *x = memory + (a.fault == ODD_MATRIX ? 128 : 0);
    uint64_t *arrival = (uint64_t *)(void *)(memory + 4096);
    uint32_t *late = (uint32_t *)(void *)(arrival + 1);
    if (thread == 0) arrival_begin(arrival, 1), *late = 0;
    pair_barrier();
    if (thread == 0 && a.fault != NOT_EXPECTED) arrival_expect(arrival, bytes);
    if (thread == 0) copy_to_pair(x + half, a.x + half, bytes / 2, arrival);
    if (a.fault != NO_ARRIVAL) arrival_wait(arrival, 0, late);
    if (a.fault == LATER_BLOCK && thread == 0) flag_take(a.flag, late);
    pair_barrier();
    for (int i = 0; i < 4; i++) w[i] = group_pair(row + i % 2 * 8, column + i / 2 * 8);
    if (a.fault != NO_FENCE) WARPGROUP_FENCE();
    warpgroup_multiply(GROUP_TOKENS / 8, c, w, matrix_descriptor(x));
    WARPGROUP_COMMIT();
    if (a.fault == EARLY_WRITE) w[0] = 0;
    if (a.fault != NO_WAIT && a.fault != EARLY_READ) WARPGROUP_WAIT(0);
    for (int n = 0; n < GROUP_TOKENS / 8 * 4; n++)
        y[(row + n % 4 / 2 * 8) * GROUP_TOKENS + n / 4 * 8 + column + n % 2] = *late ? NAN : c[n / 4][n % 4];
    if (a.fault == EARLY_READ) WARPGROUP_WAIT(0);
}

// How many of the 2 × 64 × 16 results are not what the definition says.
static int wrong_results(Checks *c, Fault fault) {
    uint8_t host[GROUP_TOKENS * X_ROW_BYTES] = {0};
    int wrong = 0;
    for (int t = 0; t < GROUP_TOKENS; t++) {
        for (int k = 0; k < GROUP_COLUMNS; k++) {
            const uint16_t half = f16_bits(group_value(t, k));
            memcpy(host + t * X_ROW_BYTES + x_swizzled(t, k * 2), &half, sizeof half);
        }
    }
    uint8_t *x = c->b->ops->memory_new(c->b, sizeof host, NULL);
    float *y = c->b->ops->memory_new(c->b, 128 * GROUP_TOKENS * sizeof *y, NULL);
    memcpy(x, host, sizeof host);
    uint32_t flag = 0;
    const GroupArguments a = {x, y, &flag, fault};
    const Extent pair = {2, 1, 1};
    assert_int_equal(LAUNCH_PAIRS(trial_group_kernel, pair, 128, 8192, cuda_of(c->b)->runtime->stream, &a), 0);
    for (int row = 0; row < 128; row++) {
        for (int t = 0; t < GROUP_TOKENS; t++) {
            float sum = 0;
            for (int k = 0; k < GROUP_COLUMNS; k++) sum += group_weight(row % 64, k) * group_value(t, k);
            wrong += y[row * GROUP_TOKENS + t] != sum;
        }
    }
    c->b->ops->memory_free(c->b, x);
    c->b->ops->memory_free(c->b, y);
    return wrong;
}

// What a device would leave to chance is wrong, or ends the program, in a child here.
static bool ends(Checks *c, Fault fault) {
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) _exit(1);
        signal(SIGABRT, SIG_DFL);
        (void)wrong_results(c, fault);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void test_warpgroups(void **state) {
    (void)state;
    EmulatedDevice device = emulated_hopper;
    Checks c;
    begin(&device, &c);
    for (int order = 0; order < 2; order++) {
        emulated_backwards = order == 1;
        assert_int_equal(wrong_results(&c, NO_FAULT), 0);
        assert_true(wrong_results(&c, EARLY_WRITE) > 0);
        assert_true(wrong_results(&c, EARLY_READ) > 0);
        assert_true(wrong_results(&c, NOT_EXPECTED) > 0); // is waited for in vain, as what comes later
        assert_true(wrong_results(&c, LATER_BLOCK) > 0);
    }
    static const Fault fatal[] = {NO_ARRIVAL, NO_FENCE, NO_WAIT, ODD_MATRIX};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        if (!ends(&c, fatal[i])) fail_msg("fault %d is not seen", (int)fatal[i]);
    end(&c);
    device.capability = 80;
    begin(&device, &c);
    assert_true(ends(&c, NO_FAULT));
    end(&c);
}

#endif

// ---- Whole models ----

static Backend *model_device(void) {
    Backend *backend;
    setenv("QUANTDIAL_CPU", "scalar", 1);
    if (!backend_emulated_new(&emulated_hopper, &backend)) skip();
    return backend;
}

static const char *const folders[] = {"tests/fixtures/llama-mha-linear-f32", "tests/fixtures/llama-mqa-plain-f16",
                                      "tests/fixtures/llama-gqa-llama3-bf16"};

static void test_model_logits(void **state) {
    (void)state;
    for (int i = 0; i < (thorough ? 3 : 1); i++) check_model_logits(folders[i], model_device(), 12);
}

// Orders of a layer, positions, norms and experts of other families, at once and token by token.
static void test_families(void **state) {
    (void)state;
    static const char *const families[] = {"opt",
                                           "opt-post-norm",
                                           "bloom",
                                           "falcon-alibi",
                                           "falcon-groups-one-norm",
                                           "gemma2",
                                           "gemma3-text",
                                           "gpt2",
                                           "gpt-neox",
                                           "gpt-neo",
                                           "mistral-window",
                                           "mixtral",
                                           "phi3",
                                           "qwen2-moe",
                                           "qwen3-tied",
                                           "apertus",
                                           "llama4",
                                           "ministral3-grown",
                                           "olmo",
                                           "cohere-heads",
                                           "gemma4-shared",
                                           "gemma4-experts",
                                           "gemma3n"};
    for (size_t i = 0; i < (thorough ? sizeof families / sizeof *families : 1); i++) {
        char folder[100];
        snprintf(folder, sizeof folder, "tests/fixtures/families/%s", families[i]);
        check_model_logits(folder, model_device(), 5);
        check_recorded_steps(folder, model_device(), 4);
    }
}

// Sources, what targets see of them, and beams.
static void test_encoder_decoders(void **state) {
    (void)state;
    static const char *const families[] = {"t5", "bart", "mbart", "marian"};
    for (size_t i = 0; i < (thorough ? 4u : 1u); i++) {
        char folder[100];
        snprintf(folder, sizeof folder, "tests/fixtures/families/%s", families[i]);
        const size_t runs = emulated_runs;
        check_model_logits(folder, model_device(), thorough ? 24 : 8);
        check_recorded_steps(folder, model_device(), 12);
        if (emulated_runs - runs < 8) fail_msg("%s: only %zu recorded steps were run", folder, emulated_runs - runs);
        check_generated(folder, model_device(), &(Sampling){.beams = 4}, 6, NULL);
        if (thorough) check_calibration(folder, model_device(), 8);
    }
}

static void test_recorded_steps(void **state) {
    (void)state;
    check_recorded_steps(folders[2], model_device(), thorough ? 8 : 3);
    if (emulated_runs < (thorough ? 14u : 4u)) fail_msg("only %zu recorded steps were run", emulated_runs);
}

// Rotated, learned and biased positions, experts, and what layers remember.
static void test_recorded_batches(void **state) {
    (void)state;
    static const char *const models[] = {
        "tests/fixtures/llama-gqa-llama3-bf16",  "tests/fixtures/families/mixtral",
        "tests/fixtures/families/qwen3-5",       "tests/fixtures/families/falcon-h1",
        "tests/fixtures/families/lfm2",          "tests/fixtures/families/qwen3-next",
        "tests/fixtures/families/opt",           "tests/fixtures/families/bloom",
        "tests/fixtures/families/gpt2",          "tests/fixtures/families/qwen2-moe",
        "tests/fixtures/families/gemma4-shared", "tests/fixtures/families/gemma3n-nested"};
    for (size_t i = 0; i < (thorough ? 12u : 3u); i++) {
        const size_t runs = emulated_runs, tokens = thorough ? 5 : 3;
        check_recorded_batch(models[i], model_device(), 3, tokens);
        if (emulated_runs - runs < 2 * tokens) fail_msg("%zu recorded steps were run", emulated_runs - runs);
    }
}

static void test_changed_experts(void **state) {
    (void)state;
    const size_t runs = emulated_runs, tokens = thorough ? 4 : 2;
    check_changed_experts("tests/fixtures/families/mixtral", model_device(), tokens);
    check_changed_experts("tests/fixtures/families/qwen2-moe", model_device(), tokens);
    assert_int_equal(emulated_runs - runs, 2 * 4 * (tokens - 1)); // the first after a change runs as ever
}

static void test_generated(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++)
        check_generated(folders[i], model_device(), &check_samplings[i], thorough ? 12 : 3, &emulated_downloaded);
}

static void test_calibration(void **state) {
    (void)state;
    check_calibration(folders[0], model_device(), thorough ? 12 : 4);
}

static void test_quantized_model(void **state) {
    (void)state;
    static const char *const dials[] = {"weight-bits=4 granularity=group group-size=32 activations=none",
                                        "weight-bits=4 granularity=channel activations=token",
                                        "weight-bits=8 granularity=group group-size=16 activations=fptq"};
    for (int i = 0; i < (thorough ? 3 : 1); i++) check_quantized_model(model_device(), dials[i]);
}

static void test_fused_model(void **state) {
    (void)state;
    check_fused_model(model_device(), "weight-bits=4 granularity=group group-size=32 activations=token",
                      &emulated_kernels);
    check_fused_model(model_device(), "weight-bits=4 granularity=group group-size=32 activations=none",
                      &emulated_kernels);
}

// ---- Failing ----

static void test_failures(void **state) {
    (void)state;
    EmulatedDevice device = emulated_hopper;
    Checks c;
    Error err = {0};
    device.memory_bytes = 1 << 20;
    begin(&device, &c);
    Backend *b = c.b;
    assert_true(b->ops->has_room(b, 1000, &err));
    assert_false(b->ops->has_room(b, (size_t)7 << 30, &err));
    assert_true(strstr(err.message, "7.5 GB") && strstr(err.message, "--backend cpu"));
    assert_null(b->ops->memory_new(b, 2 << 20, &err));
    assert_true(strstr(err.message, "GB free") != NULL);
    end(&c);
    device = emulated_hopper;
    device.launches_left = 1;
    begin(&device, &c);
    b = c.b;
    float *x = b->ops->memory_new(b, 64, &err), host[4] = {1, 2, 3, 4};
    assert_non_null(x);
    assert_true(b->ops->healthy(b, &err));
    b->ops->scale(b, x, 2, 4);
    b->ops->activate(b, NONLINEARITY_RELU, x, NULL, 4, x); // is not even tried
    assert_false(b->ops->healthy(b, &err));
    assert_true(strstr(err.message, "emulated device fails") != NULL);
    b->ops->download(b, host, x, sizeof host);
    for (int i = 0; i < 4; i++) assert_true(isnan(host[i]));
    assert_null(b->ops->memory_new(b, 4, &err));
    b->ops->memory_free(b, x);
    end(&c);
}

// Behind all the others. The kernels of this file are no part of the device's.
static void every_kernel_has_run(void **state) {
    (void)state;
    size_t from = 0, missing = 0;
    const char *name;
    while ((name = emulated_never_run(&from))) {
        if (strcmp(name, "begins_early") == 0) continue;
        print_error("no test runs %s\n", name);
        missing++;
    }
    assert_int_equal(missing, 0);
}

int main(void) {
    thorough = many_cases();
    enum { ROOM = 64 };
    struct CMUnitTest tests[ROOM] = {
        cmocka_unit_test(every_operation_of_devices_has_cases),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_quantized_without_tensor_cores),
        cmocka_unit_test(test_quantized_many_tokens),
        cmocka_unit_test(test_quantized_tiles),
        cmocka_unit_test(test_f16_products),
        cmocka_unit_test(test_int8_products),
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_chained_products),
        cmocka_unit_test(test_quantized_long_rows),
        cmocka_unit_test(what_is_wrong_is_avoided),
        cmocka_unit_test(who_waits_in_vain_gives_up),
        cmocka_unit_test(what_fails_is_avoided_by_the_next),
        cmocka_unit_test(wrong_codes_are_found),
        cmocka_unit_test(every_width_is_proven),
        cmocka_unit_test(stages_go_round_in_the_proof),
        cmocka_unit_test(a_proof_is_kept),
        cmocka_unit_test(test_products_fit),
        cmocka_unit_test(test_attention_fits),
        cmocka_unit_test(test_no_tokens),
        cmocka_unit_test(test_what_cannot_be_recorded),
#ifdef EMULATES
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_unprepared_kernels),
        cmocka_unit_test(test_beginnings),
        cmocka_unit_test(test_tf32),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_warpgroups),
#endif
        cmocka_unit_test(test_model_logits),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_encoder_decoders),
        cmocka_unit_test(test_recorded_steps),
        cmocka_unit_test(test_recorded_batches),
        cmocka_unit_test(test_changed_experts),
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_calibration),
        cmocka_unit_test(test_quantized_model),
        cmocka_unit_test(test_fused_model),
        cmocka_unit_test(test_failures),
    };
    add_backend_tests(tests, ROOM, backend_test);
    const struct CMUnitTest last[] = {cmocka_unit_test(every_kernel_has_run)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return thorough ? failed + cmocka_run_group_tests_name("kernels", last, NULL, NULL) : failed;
}
