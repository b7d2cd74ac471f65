// Generation against repeated forward passes.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/generate.h"
#include "tests/support/edited_model.h"
#include "tests/support/fixture_model.h"
#include "tests/support/folder.h"

static const char folder[] = "tests/fixtures/llama-mqa-plain-f16"; // 40 positions
static const Sampling greedy = {0, 1, 0, 0};

static Generated generated(FixtureModel *model, size_t prompt, size_t most, Sampling sampling) {
    Generated out;
    Error err = {0};
    if (!generate(model->base, model->ids, prompt, most, &sampling, NULL, NULL, &out, NULL, &err))
        fail_msg("%s", err.message);
    return out;
}

static int32_t largest(const float *logits, size_t vocab) {
    size_t best = 0;
    for (size_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

// The end token of these models would come at random; most tests want none.
static void open_without_end(FixtureModel *model) {
    fixture_model_open(folder, PRECISION_F32, model);
    model->structure.config.eos_count = 0;
}

static void greedy_equals_repeated_forward_passes(void **state) {
    (void)state;
    enum { PROMPT = 6, MOST = 12 };
    FixtureModel model;
    open_without_end(&model);
    size_t vocab = (size_t)model.config.vocab;
    Generated out = generated(&model, PROMPT, MOST, greedy);
    assert_int_equal(out.count, MOST);
    assert_false(out.ended);
    int32_t ids[PROMPT + MOST];
    memcpy(ids, model.ids, PROMPT * sizeof *ids);
    for (size_t i = 0; i < MOST; i++) {
        float *logits = fixture_logits(model.base, ids, PROMPT + i);
        const float *last = logits + (PROMPT + i - 1) * vocab;
        double sum = 0;
        ids[PROMPT + i] = largest(last, vocab);
        for (size_t k = 0; k < vocab; k++) sum += exp((double)(last[k] - last[ids[PROMPT + i]]));
        assert_int_equal(out.ids[i], ids[PROMPT + i]);
        assert_float_equal(out.probabilities[i], 1 / sum, 1e-4);
        free(logits);
    }
    generated_free(&out);
    fixture_model_close(&model);
}

static void the_seed_decides(void **state) {
    (void)state;
    FixtureModel model;
    open_without_end(&model);
    Generated a = generated(&model, 4, 30, (Sampling){1.5f, 0.95f, 7, 0});
    Generated b = generated(&model, 4, 30, (Sampling){1.5f, 0.95f, 7, 0});
    Generated c = generated(&model, 4, 30, (Sampling){1.5f, 0.95f, 8, 0});
    assert_memory_equal(a.ids, b.ids, 30 * sizeof *a.ids);
    assert_memory_equal(a.probabilities, b.probabilities, 30 * sizeof *a.probabilities);
    assert_memory_not_equal(a.ids, c.ids, 30 * sizeof *a.ids);
    generated_free(&a);
    generated_free(&b);
    generated_free(&c);
    fixture_model_close(&model);
}

static void it_stops_before_an_end_token(void **state) {
    (void)state;
    FixtureModel model;
    open_without_end(&model);
    Generated free_run = generated(&model, 6, 12, greedy);
    size_t end = 3; // the first place of the token that is now made an end
    for (size_t i = 0; i < end; i++)
        if (free_run.ids[i] == free_run.ids[end]) end = i;
    model.structure.config.eos_count = 2;
    model.structure.config.eos_tokens[0] = -5;
    model.structure.config.eos_tokens[1] = free_run.ids[end];
    Generated out = generated(&model, 6, 12, greedy);
    assert_true(out.ended);
    assert_int_equal(out.count, end);
    assert_memory_equal(out.ids, free_run.ids, end * sizeof *out.ids);
    generated_free(&out);
    model.structure.config.eos_tokens[0] = free_run.ids[0];
    out = generated(&model, 6, 12, greedy);
    assert_true(out.ended);
    assert_int_equal(out.count, 0);
    generated_free(&out);
    generated_free(&free_run);
    fixture_model_close(&model);
}

typedef struct Watch {
    size_t calls;
    Progress *progress;
} Watch;

static void stop_at_three(void *context, const Generated *so_far) {
    Watch *watch = context;
    assert_int_equal(so_far->count, ++watch->calls);
    if (so_far->count == 3) progress_request_stop(watch->progress);
}

static void it_stops_when_asked(void **state) {
    (void)state;
    FixtureModel model;
    Progress progress = {0};
    Watch watch = {0, &progress};
    Generated out;
    Error err = {0};
    open_without_end(&model);
    assert_false(generate(model.base, model.ids, 6, 12, &greedy, stop_at_three, &watch, &out, &progress, &err));
    assert_true(err.stopped);
    assert_int_equal(out.count, 3);
    assert_int_equal(watch.calls, 3);
    generated_free(&out);
    // Already asked before it began: nothing is computed.
    err = (Error){0};
    assert_false(generate(model.base, model.ids, 6, 12, &greedy, NULL, NULL, &out, &progress, &err));
    assert_true(err.stopped);
    assert_int_equal(out.count, 0);
    generated_free(&out);
    fixture_model_close(&model);
}

static void assert_prompt_refused(FixtureModel *model, const int32_t *prompt, size_t count, const char *part) {
    Generated out;
    Error err = {0};
    assert_false(generate(model->base, prompt, count, 4, &greedy, NULL, NULL, &out, NULL, &err));
    if (!strstr(err.message, part)) fail_msg("\"%s\" does not say \"%s\"", err.message, part);
    generated_free(&out);
}

static void the_prompt_must_fit_and_the_rest_is_cut(void **state) {
    (void)state;
    FixtureModel model;
    int32_t long_prompt[41] = {0};
    open_without_end(&model);
    assert_prompt_refused(&model, NULL, 0, "empty");
    assert_prompt_refused(&model, long_prompt, 41, "41 tokens, more than the 40");
    assert_prompt_refused(&model, (const int32_t[]){3, 104}, 2, "id 104");
    Generated out = generated(&model, 36, 1000, greedy);
    assert_int_equal(out.count, 4);
    generated_free(&out);
    out = generated(&model, 5, 0, greedy);
    assert_int_equal(out.count, 0);
    generated_free(&out);
    fixture_model_close(&model);
}

// Not as an empty text.
static void logits_that_are_no_numbers_are_told(void **state) {
    (void)state;
    FixtureModel model;
    Generated out;
    Error err = {0};
    const int32_t ids[] = {1, 2, 3};
    char *damaged = folder_temporary();
    model_copy(damaged, "tests/fixtures/llama-mha-linear-f32", "config.json");
    model_copy(damaged, "tests/fixtures/llama-mha-linear-f32", "model.safetensors");
    model_poke(damaged, "model.norm.weight", NAN, 1);
    fixture_model_open(damaged, PRECISION_F32, &model);
    assert_false(generate(model.base, ids, 3, 4, &greedy, NULL, NULL, &out, NULL, &err));
    assert_non_null(strstr(err.message, "no token can be chosen"));
    generated_free(&out);
    fixture_model_close(&model);
    folder_remove(damaged);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_equals_repeated_forward_passes),
        cmocka_unit_test(the_seed_decides),
        cmocka_unit_test(it_stops_before_an_end_token),
        cmocka_unit_test(it_stops_when_asked),
        cmocka_unit_test(the_prompt_must_fit_and_the_rest_is_cut),
        cmocka_unit_test(logits_that_are_no_numbers_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
