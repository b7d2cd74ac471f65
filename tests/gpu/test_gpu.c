// The CUDA backend on a device, against the scalar CPU backend: every kernel over shapes, group sizes, numbers of
// tokens and odd tails, and whole models. Fails, and says so, where there is no device.
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

#include "tests/support/device_checks.h"
#include "tests/support/device_models.h"

static bool thorough = true; // not under compute-sanitizer

static Backend *device_new(void) {
    Backend *device;
    Error err = {0};
    setenv("QUANTDIAL_CPU", "scalar", 1);
    if (!backend_cuda_new(0, &device, &err)) fail_msg("%s", err.message);
    return device;
}

static void begin(Checks *c, uint64_t seed) {
    *c = (Checks){.random = random_seeded(seed), .device = device_new()};
    assert_true(backend_cpu_new(0, &c->reference, NULL));
}

static void end(Checks *c) {
    c->device->ops->destroy(c->device);
    c->reference->ops->destroy(c->reference);
}

static void test_dense(void **state) {
    (void)state;
    Checks c;
    begin(&c, 1);
    for (int i = 0; i < (thorough ? 150 : 12); i++) {
        size_t most = i % 4 ? 300 : 2100;
        check_dense(&c, (DType)(i % 3), (Precision)(i / 3 % 2), between(&c, 1, most), between(&c, 1, most),
                    i % 3 == 2 ? between(&c, 9, 150) : between(&c, 1, 8));
    }
    end(&c);
}

static const int all_bits[] = {2, 3, 4, 8};

static size_t group_for(Checks *c, size_t in) {
    static const size_t groups[] = {16, 32, 64, 128, 256, 5, 17, 33, 96, 512};
    size_t group = groups[between(c, 0, 9)];
    return group > in || between(c, 0, 3) == 0 ? in : group;
}

static void quantized_cases(uint64_t seed, int cases, size_t most, size_t most_tokens) {
    static const float outliers[] = {1, 1e4f, 0, 1e-20f, 1e25f};
    Checks c;
    begin(&c, seed);
    for (int i = 0; i < cases; i++) {
        size_t in = between(&c, 1, most);
        QuantizedCase q = {.grid = (Grid)(i / 4 % 4),
                           .bits = all_bits[i % 4],
                           .out = between(&c, 1, most),
                           .in = in,
                           .group = group_for(&c, in),
                           .tokens = between(&c, 1, i % 2 ? 8 : most_tokens),
                           .mode = (ActivationMode)(i / 16 % 4),
                           .scale_dtype = (DType)between(&c, 0, 2),
                           .outlier = outliers[i % 5],
                           .precision = (Precision)between(&c, 0, 1)};
        if (q.mode != ACTIVATION_NONE && q.outlier > 1e20f) q.outlier = 100; // steps of 8 bits hide everything else
        check_quantized(&c, &q);
    }
    end(&c);
}

static void test_quantized(void **state) {
    (void)state;
    quantized_cases(2, thorough ? 640 : 32, 300, 60);
}

static void test_quantized_large(void **state) {
    (void)state;
    quantized_cases(3, thorough ? 96 : 4, thorough ? 1500 : 400, 200);
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
                const QuantizedCase q = {GRID_SYMMETRIC, all_bits[b],          512,        1024, 64,
                                         tokens[t],      (ActivationMode)mode, DTYPE_BF16, 1,    (Precision)(t % 2)};
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

static void test_linears(void **state) {
    (void)state;
    Checks c;
    begin(&c, 10);
    for (int i = 0; i < (thorough ? 24 : 4); i++)
        check_linears(&c, i % 4 == 3 ? between(&c, 9, 70) : between(&c, 1, 8), between(&c, 8, i % 2 ? 5000 : 500));
    end(&c);
}

static void test_mixture(void **state) {
    (void)state;
    static const ActivationMode modes[] = {ACTIVATION_NONE, ACTIVATION_TOKEN, ACTIVATION_STATIC};
    Checks c;
    begin(&c, 11);
    for (int i = 0; i < (thorough ? 36 : 6); i++) {
        const int experts = (int)between(&c, 1, i % 4 == 3 ? 140 : 9);
        const MixtureCase m = {.experts = experts,
                               .per_token = (int)between(&c, 1, experts < 8 ? (size_t)experts : 8),
                               .tokens = i % 3 ? between(&c, 1, 64) : 1,
                               .hidden = between(&c, 3, thorough ? 900 : 200),
                               .inner = between(&c, 3, thorough ? 700 : 200),
                               .normalized = i % 2,
                               .mixed = i % 4 == 2,
                               .mode = modes[i % 3],
                               .dense = i % 6 == 5};
        check_mixture(&c, &m);
    }
    end(&c);
}

static void test_not_finite(void **state) {
    (void)state;
    Checks c;
    begin(&c, 5);
    check_not_finite(&c);
    end(&c);
}

static void test_between(void **state) {
    (void)state;
    Checks c;
    begin(&c, 6);
    for (int i = 0; i < (thorough ? 30 : 3); i++) {
        check_elementwise(&c, between(&c, 1, 70000));
        check_rows(&c, between(&c, 1, 40), between(&c, 3, 5000));
        check_rope(&c, between(&c, 1, 40), 5, 2 * (int)between(&c, 5, 70), 2 * (int)between(&c, 1, 5));
        check_embed(&c, (DType)(i % 3), between(&c, 1, 5000), between(&c, 1, 40));
        for (int k = 0; k < 10; k++) check_choose(&c, between(&c, 1, 40), between(&c, 1, k ? 5000 : 160000));
        check_measure(&c, between(&c, 1, 100), between(&c, 1, 3000));
        const ActivationMode modes[] = {ACTIVATION_TOKEN, ACTIVATION_NONE, ACTIVATION_STATIC};
        check_fused(&c, modes[i % 3], between(&c, 1, 20), between(&c, 3, 5000), between(&c, 1, 300));
        check_fused_ropes(&c, (const DType[]){DTYPE_F16, DTYPE_I8}[i % 2], between(&c, 1, 9), 12, 1 + i % 3,
                          4 * (int)between(&c, 1, 60));
    }
    end(&c);
}

static void test_attention(void **state) {
    (void)state;
    static const int ratios[] = {1, 2, 4, 3, 9, 8};
    Checks c;
    begin(&c, 7);
    for (int i = 0; i < (thorough ? 240 : 8); i++) {
        int kv = (int)between(&c, 1, 4);
        const AttentionCase a = {.heads = kv * ratios[i % 6],
                                 .kv_heads = kv,
                                 .head_dim =
                                     i % 3 ? 8 * (int)between(&c, 1, i % 7 ? 17 : 64) : (int)between(&c, 1, 150),
                                 .sequences = i % 3 == 0 ? between(&c, 1, 9) : 1,
                                 .tokens = i % 2 ? 1 : between(&c, 1, 40),
                                 .before = between(&c, 0, i % 6 ? 100 : 3000),
                                 .dtype = (const DType[]){DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I8}[i % 4],
                                 .window = i % 4 == 1 ? (int)between(&c, 1, 200) : 0,
                                 .softcap = i % 5 == 2 ? 3.0f : 0,
                                 .biased = i % 5 == 1};
        check_attention(&c, &a);
    }
    end(&c);
}

static void test_attention_of_many_tokens(void **state) {
    (void)state;
    static const int ratios[] = {1, 3, 8, 2, 40}, dims[] = {64, 24, 128, 17, 130, 256, 80};
    Checks c;
    begin(&c, 9);
    for (int i = 0; i < (thorough ? 140 : 8); i++) {
        const int kv = (int)between(&c, 1, 4);
        const AttentionCase a = {.heads = kv * ratios[i % 5],
                                 .kv_heads = kv,
                                 .head_dim = dims[i % 7],
                                 .sequences = i % 4 == 3 ? 3 : 1,
                                 .tokens = between(&c, 16, i % 6 ? 100 : 400),
                                 .before = i % 3 ? between(&c, 0, 300) : 0,
                                 .dtype = (const DType[]){DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I8}[i % 4],
                                 .window = i % 3 == 1 ? (int)between(&c, 1, 200) : 0,
                                 .softcap = i % 5 == 2 ? 3.0f : 0,
                                 .biased = i % 5 == 1};
        check_attention(&c, &a);
        if (i % 8 == 0) check_attention_not_finite(&c, between(&c, 2, 70), (DType)(i / 8 % 3), i % 3 ? NAN : INFINITY);
    }
    end(&c);
}

static void test_from_dense(void **state) {
    (void)state;
    Checks c;
    begin(&c, 8);
    for (int i = 0; i < (thorough ? 120 : 6); i++) {
        size_t in = between(&c, 3, i % 5 ? 300 : 3000);
        check_weight_from_dense(&c, (DType)(i % 3), all_bits[i / 3 % 4], between(&c, 1, 200), in, group_for(&c, in),
                                i % 2);
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
    const char *slow = getenv("QUANTDIAL_SLOW_CHECKS");
    Backend *device;
    Error err = {0};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_quantized),
        cmocka_unit_test(test_quantized_large),
        cmocka_unit_test(test_quantized_shapes),
        cmocka_unit_test(test_quantized_tiles),
        cmocka_unit_test(test_linears),
        cmocka_unit_test(test_mixture),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_between),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_of_many_tokens),
        cmocka_unit_test(test_from_dense),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_quantized_models),
    };
    if (argc > 1 && !choose_tests(argv[1], tests, sizeof tests / sizeof *tests)) return 2;
    thorough = !(slow && strcmp(slow, "0") == 0);
    if (!backend_cuda_new(0, &device, &err)) {
        fprintf(stderr, "No test was run: %s.\n", err.message);
        return 1;
    }
    fprintf(stderr, "On %s.\n", device->ops->describe(device));
    device->ops->destroy(device);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
