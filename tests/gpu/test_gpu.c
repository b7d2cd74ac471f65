// The CUDA backend on a device: the list of tests/support/backend_checks.h, over larger shapes than elsewhere, what
// takes a device of its size, and whole models. Fails, and says so, where there is no device.
//
// usage: test_gpu [PATTERN]     PATTERN: only tests of this name, in which * and ? stand for anything; so that each can
// have a process of its own, and one that fails takes no other along.
#include <fnmatch.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/backend_checks.h"
#include "tests/support/device_models.h"
#include "tests/support/slow_checks.h"

static bool thorough = true; // not under compute-sanitizer

static Backend *device_new(void) {
    Backend *device;
    Error err = {0};
    setenv("QUANTDIAL_CPU", "scalar", 1);
    if (!backend_cuda_new(0, &device, &err)) fail_msg("%s", err.message);
    return device;
}

static void begin(Checks *c, uint64_t seed) {
    *c = (Checks){.b = device_new(), .place = ON_DEVICE, .thorough = thorough, .random = random_seeded(seed)};
    assert_true(backend_cpu_new(0, &c->reference, NULL));
}

static void end(Checks *c) {
    c->b->ops->destroy(c->b);
    c->reference->ops->destroy(c->reference);
}

static void backend_test(void **state) {
    Checks c;
    begin(&c, 1);
    run_backend_checks(&c, *state);
    end(&c);
}

static const int all_bits[] = {2, 3, 4, 8};

static void test_quantized_large(void **state) {
    (void)state;
    const size_t most = thorough ? 1500 : 400;
    Checks c;
    begin(&c, 3);
    check_quantized_mix(&c, &(QuantizedSizes){0, thorough ? 96 : 4, most, most, 200});
    end(&c);
}

// More tiles than pairs of blocks, so that pairs hand sums to the next one: no small product has so many.
static void test_chained_products(void **state) {
    (void)state;
    Checks c;
    begin(&c, 6);
    check_quantized(&c, &(QuantizedCase){GRID_SYMMETRIC, 4, 18000, 384, 64, 140, ACTIVATION_NONE, DTYPE_F16, 1,
                                         PRECISION_NATIVE, 1});
    check_quantized(&c, &(QuantizedCase){GRID_ASYMMETRIC, 4, 7000, 640, 256, 280, ACTIVATION_TOKEN, DTYPE_F16, 1,
                                         PRECISION_NATIVE, 1});
    end(&c);
}

// The shapes that models have, exactly divided.
static void test_quantized_shapes(void **state) {
    (void)state;
    static const size_t tokens[] = {1, 2, 3, 8, 9, 16, 33, 64, 130};
    Checks c;
    begin(&c, 4);
    for (int b = 0; b < 4; b++) {
        for (size_t t = 0; t < (thorough ? 9u : 2u); t++) {
            for (int mode = 0; mode <= ACTIVATION_TOKEN; mode += ACTIVATION_TOKEN) {
                const QuantizedCase q = {GRID_SYMMETRIC,
                                         all_bits[b],
                                         512,
                                         1024,
                                         64,
                                         tokens[t],
                                         (ActivationMode)mode,
                                         DTYPE_BF16,
                                         1,
                                         (Precision)(t % 2),
                                         1};
                check_quantized(&c, &q);
            }
        }
    }
    end(&c);
}

// Every shape of tile on a device with some 100 multiprocessors or more, and rows of many steps for few tokens.
static void test_quantized_tiles(void **state) {
    (void)state;
    static const struct {
        size_t out, in, tokens;
    } shapes[] = {{12800, 256, 128}, {6400, 300, 120}, {3200, 256, 128}, {1600, 500, 60}, {3200, 400, 30},
                  {3200, 256, 14},   {1000, 700, 14},  {40, 20000, 1},   {40, 20000, 3},  {33, 11008, 8}};
    Checks c;
    begin(&c, 9);
    for (int b = 0; b < 4; b++) {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            for (int mode = 0; mode <= ACTIVATION_TOKEN; mode += ACTIVATION_TOKEN) {
                const QuantizedCase q = {.grid = (Grid)(i % 2),
                                         .bits = all_bits[b],
                                         .out = thorough ? shapes[i].out : shapes[i].out / 10,
                                         .in = shapes[i].in,
                                         .group = (size_t[]){64, 128, 32, shapes[i].in}[(i + (size_t)b) % 4],
                                         .tokens = shapes[i].tokens,
                                         .mode = (ActivationMode)mode,
                                         .scale_dtype = DTYPE_F16,
                                         .outlier = 1,
                                         .precision = PRECISION_NATIVE};
                check_quantized(&c, &q);
            }
        }
    }
    end(&c);
}

static const char *const folders[] = {"tests/fixtures/llama-mha-linear-f32", "tests/fixtures/llama-mqa-plain-f16",
                                      "tests/fixtures/llama-gqa-llama3-bf16"};

static void test_models(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        check_model_logits(folders[i], device_new(), 100);
        check_recorded_steps(folders[i], device_new(), 8);
        for (int k = 0; k < 3; k++)
            check_generated(folders[i], device_new(), &check_samplings[k], thorough ? 24 : 4, NULL);
        check_calibration(folders[i], device_new(), 12);
    }
    check_recorded_batch("tests/fixtures/llama-gqa-llama3-bf16", device_new(), 4, 8);
    check_recorded_batch("tests/fixtures/families/opt", device_new(), 4, 8);
    check_recorded_batch("tests/fixtures/families/mixtral", device_new(), 4, 8);
    check_changed_experts("tests/fixtures/families/qwen2-moe", device_new(), 6);
    check_recorded_batch("tests/fixtures/families/bloom", device_new(), 4, 8);
    check_recorded_batch("tests/fixtures/families/qwen3-5", device_new(), 4, 8);
    check_recorded_batch("tests/fixtures/families/falcon-h1", device_new(), 4, 8);
    check_recorded_batch("tests/fixtures/families/lfm2", device_new(), 4, 8);
    check_model_logits("samples/storyteller", device_new(), 12);
    for (int k = 0; k < 3; k++)
        check_generated("samples/storyteller", device_new(), &check_samplings[k], thorough ? 48 : 4, NULL);
}

static void test_quantized_models(void **state) {
    (void)state;
    check_quantized_model(device_new(), "weight-bits=4 granularity=group group-size=32 activations=none");
    check_quantized_model(device_new(), "weight-bits=4 granularity=channel activations=token");
    check_quantized_model(device_new(), "weight-bits=8 granularity=group group-size=16 activations=fptq");
    check_fused_model(device_new(), "weight-bits=4 granularity=group group-size=32 activations=token", NULL);
    check_fused_model(device_new(), "weight-bits=4 granularity=group group-size=32 activations=none", NULL);
}

// False, with the names on stderr, when no test is called so.
static bool choose_tests(const char *pattern, const struct CMUnitTest *tests, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (fnmatch(pattern, tests[i].name, 0) != 0) continue;
        cmocka_set_test_filter(pattern);
        return true;
    }
    fprintf(stderr, "No test is called \"%s\"; there are:", pattern);
    for (size_t i = 0; i < count; i++) fprintf(stderr, " %s", tests[i].name);
    fprintf(stderr, "\n");
    return false;
}

int main(int argc, char **argv) {
    Backend *device;
    Error err = {0};
    enum { ROOM = 24 };
    struct CMUnitTest tests[ROOM] = {
        cmocka_unit_test(test_quantized_large),  cmocka_unit_test(test_quantized_shapes),
        cmocka_unit_test(test_chained_products), cmocka_unit_test(test_quantized_tiles),
        cmocka_unit_test(test_models),           cmocka_unit_test(test_quantized_models),
    };
    const size_t count = add_backend_tests(tests, ROOM, backend_test);
    if (argc > 1 && !choose_tests(argv[1], tests, count)) return 2;
    thorough = slow_checks();
    if (!backend_cuda_new(0, &device, &err)) {
        fprintf(stderr, "No test was run: %s.\n", err.message);
        return 1;
    }
    fprintf(stderr, "On %s.\n", device->ops->describe(device));
    device->ops->destroy(device);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
