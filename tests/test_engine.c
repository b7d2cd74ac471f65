// The engine: the way from a checkpoint to figures as engine.h shows it, and what it holds back until it is known.
#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "engine/engine.h"
#include "loaders/checkpoint.h"
#include "tests/support/folder.h"
#include "tests/support/in_folder.h"
#include "tests/support/slow_checks.h"
#include "tests/support/small_sample.h"

// Runs, and has no tokenizer.
#define WITHOUT_TEXT "tests/fixtures/families/llama-yarn"

static Engine *opened(EngineOptions options, double bits, double activations) {
    Engine *engine;
    Recipe recipe;
    Error err = {0};
    options.sequences = 2;
    options.length = 32;
    options.eval_tokens = 64;
    options.window = 32;
    options.threads = 2;
    options.no_cache = true;
    if (!engine_open(&options, &engine, &err) || !recipe_default(&recipe, &err)) fail_msg("%s", err.message);
    recipe.value[DIAL_BITS] = bits;
    recipe.value[DIAL_ACTIVATIONS] = activations;
    engine_set_recipe(engine, &recipe);
    return engine;
}

static void nothing_is_known_before_its_time(void **state) {
    (void)state;
    Engine *engine = opened((EngineOptions){0}, 4, POLICY_STATIC);
    Error err = {0};
    Accuracy accuracy = {0};
    assert_true(engine_can_run(engine, &err) && engine_base(engine));
    assert_false(engine_measured(engine) || engine_calibrated(engine));
    assert_int_equal(engine_calibration_tokens(engine), 0);
    assert_int_equal(engine_plan(engine)->linear_count, 0);
    assert_null(engine_quantized(engine));
    assert_int_equal(engine_positions(engine), 0);
    if (!engine_prepare(engine, false, NULL, &err)) fail_msg("%s", err.message);
    assert_true(engine_measured(engine) && engine_calibrated(engine));
    assert_int_equal(engine_calibration_tokens(engine), 64);
    assert_int_equal(engine_plan(engine)->linear_count, engine_structure(engine)->linear_count);
    assert_null(engine_quantized(engine));
    if (!engine_follow(engine, engine_plan(engine), NULL, NULL, &err) ||
        !engine_evaluate(engine, 0, NULL, NULL, &accuracy, NULL, &err))
        fail_msg("%s", err.message);
    assert_non_null(engine_quantized(engine));
    assert_int_equal(engine_positions(engine), 62);
    assert_true(accuracy.tokens == 62 && accuracy.kl_mean > 0);
    engine_close(engine);
}

// Its error is asked for before there is a quantized model, and after.
static void a_weight_has_one_error(void **state) {
    (void)state;
    Engine *engine = opened((EngineOptions){0}, 4, POLICY_NONE);
    Error err = {0};
    if (!engine_prepare(engine, false, NULL, &err)) fail_msg("%s", err.message);
    const Plan *plan = engine_plan(engine);
    double *before = calloc((size_t)plan->linear_count, sizeof *before), after;
    assert_non_null(before);
    for (int i = 0; i < plan->linear_count; i++)
        if (!engine_weight_sqnr(engine, plan, i, &before[i], &err)) fail_msg("%s", err.message);
    if (!engine_follow(engine, plan, NULL, NULL, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < plan->linear_count; i++) {
        assert_true(engine_weight_sqnr(engine, plan, i, &after, &err));
        assert_true(plan->decisions[i].quantized ? after > 10 && after == before[i] : isnan(after) && isnan(before[i]));
    }
    free(before);
    engine_close(engine);
}

static void a_new_recipe_takes_the_place_of_the_old_plan(void **state) {
    (void)state;
    Engine *engine = opened((EngineOptions){0}, 4, POLICY_NONE);
    Recipe recipe;
    Error err = {0};
    if (!engine_prepare(engine, false, NULL, &err)) fail_msg("%s", err.message);
    const size_t bytes = engine_plan(engine)->bytes;
    assert_true(recipe_copy(engine_recipe(engine), &recipe, &err));
    recipe.value[DIAL_BITS] = 8;
    engine_set_recipe(engine, &recipe);
    assert_int_equal(engine_plan(engine)->linear_count, 0);
    assert_null(recipe.overrides);
    if (!engine_prepare(engine, false, NULL, &err)) fail_msg("%s", err.message);
    assert_true(engine_plan(engine)->bytes > bytes);
    engine_close(engine);
}

// Neither weights alone nor scales taken while the model runs need ranges of inputs: nobody waits for a calibration.
static void what_needs_no_ranges_does_not_calibrate(void **state) {
    (void)state;
    const double policies[] = {POLICY_NONE, POLICY_TOKEN, POLICY_CHANNEL};
    Error err = {0};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        Engine *engine = opened((EngineOptions){.model = WITHOUT_TEXT}, 4, policies[i]);
        if (!engine_prepare(engine, false, NULL, &err)) fail_msg("%s", err.message);
        assert_false(engine_calibrated(engine));
        assert_true(engine_plan(engine)->calibrated && engine_plan(engine)->quantized_count > 0);
        assert_int_equal(engine_plan(engine)->decisions[0].activations, policies[i]);
        engine_close(engine);
    }
    Engine *engine = opened((EngineOptions){0}, 4, POLICY_NONE);
    if (!engine_prepare(engine, true, NULL, &err)) fail_msg("%s", err.message);
    assert_true(engine_calibrated(engine)); // asked for
    engine_close(engine);
}

// Who needs ranges and has no text is told what helps.
static void without_text_there_are_no_ranges(void **state) {
    (void)state;
    Error err = {0};
    Engine *engine = opened((EngineOptions){.model = WITHOUT_TEXT}, 4, POLICY_STATIC);
    assert_false(engine_prepare(engine, false, NULL, &err));
    assert_non_null(strstr(err.message, "tokenizer"));
    assert_non_null(strstr(err.message, "--random-tokens"));
    assert_int_equal(engine_plan(engine)->linear_count, 0);
    engine_close(engine);

    engine = opened((EngineOptions){.model = WITHOUT_TEXT, .random_tokens = true}, 4, POLICY_STATIC);
    if (!engine_prepare(engine, false, NULL, &err)) fail_msg("%s", err.message);
    assert_true(engine_calibrated(engine));
    engine_close(engine);
}

static Engine *opened_for_long(bool no_cache) {
    const EngineOptions options = {.sequences = 40, .length = 32, .threads = 2, .no_cache = no_cache};
    Engine *engine;
    Error err = {0};
    if (!engine_open(&options, &engine, &err)) fail_msg("%s", err.message);
    return engine;
}

static void files_named(const char *cache, const char *name, size_t count) {
    char pattern[512];
    glob_t found = {0};
    snprintf(pattern, sizeof pattern, "%s/quantdial/%s", cache, name);
    glob(pattern, 0, NULL, &found);
    assert_int_equal(found.gl_pathc, count);
    globfree(&found);
}

// As if the program had been ended after the first batch: the next start begins where it was, with what is known, and
// ends with the same numbers. Then the state gives way to the result.
static void a_calibration_goes_on_in_the_next_start(void **state) {
    (void)state;
    if (!slow_checks()) skip(); // test_calibrator does the same on a smaller model
    char *cache = folder_temporary();
    Error err = {0};
    setenv("XDG_CACHE_HOME", cache, 1);
    Engine *engine = opened_for_long(false);
    if (!engine_calibrate_on(engine, NULL, &err)) fail_msg("%s", err.message);
    assert_false(engine_calibrated(engine));
    assert_int_equal(engine_calibration_tokens(engine), 1024);
    engine_close(engine);
    files_named(cache, "calibration-*.stats", 1);

    engine = opened_for_long(false);
    Progress progress = {0};
    if (!engine_calibrate_on(engine, &progress, &err)) fail_msg("%s", err.message);
    assert_int_equal(engine_calibration_tokens(engine), 1024);
    assert_true(atomic_load(&progress.from) == 1024 && atomic_load(&progress.done) == 1024); // nothing was run again
    if (!engine_calibrate(engine, &progress, &err)) fail_msg("%s", err.message);
    assert_true(engine_calibrated(engine) && engine_calibration_tokens(engine) == 1280);
    files_named(cache, "calibration-*.stats", 0);
    files_named(cache, "inputs-*.stats", 1);

    Engine *other = opened_for_long(true);
    if (!engine_calibrate(other, NULL, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < engine_structure(engine)->input_count; i++) {
        const InputStats *a = &engine_stats(engine)->inputs[i], *b = &engine_stats(other)->inputs[i];
        assert_memory_equal(a->channel_absmax, b->channel_absmax, a->width * sizeof(float));
        assert_memory_equal(a->sample, b->sample, a->sample_rows * a->width * sizeof(float));
        assert_memory_equal(a->magnitude, b->magnitude, sizeof a->magnitude);
    }
    engine_close(other);
    engine_close(engine);
    unsetenv("XDG_CACHE_HOME");
    folder_remove(cache);
}

// ---- texts and prompts ----

// The sample in a folder of its own, where its template is what the test says: it is no sample any more.
static const char *chat_model(const char *template) {
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json"};
    char *sample = sample_path(NULL);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *from = path_join(sample, files[i]), *to = path_join(folder, files[i]);
        unlink(to);
        assert_int_equal(symlink(from, to), 0);
        free(from);
        free(to);
    }
    free(sample);
    folder_put_text(folder, "chat_template.jinja", template);
    return folder;
}

static void assert_prompt(Engine *engine, const char *prompt, const char *text, bool special) {
    const Tokenizer *tokenizer;
    TokenIds ids = {0}, expected = {0};
    Error err = {0};
    if (!engine_prompt(engine, prompt, &ids, &err)) fail_msg("%s", err.message);
    assert_true(engine_tokenizer(engine, &tokenizer, &err));
    assert_true(tokenizer_encode(tokenizer, text, strlen(text), special, &expected, &err));
    assert_int_equal(ids.count, expected.count);
    assert_memory_equal(ids.ids, expected.ids, ids.count * sizeof *ids.ids);
    token_ids_free(&expected);
    token_ids_free(&ids);
}

#define TURNS                                                                                                         \
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% " \
    "endif %}"

static void prompts_go_through_the_chat_template(void **state) {
    (void)state;
    const char *model = chat_model(TURNS);
    Engine *engine = opened((EngineOptions){.model = model}, 4, POLICY_NONE);
    assert_true(engine_is_chat(engine));
    assert_string_equal(engine_default_prompt(engine), DEFAULT_QUESTION);
    assert_prompt(engine, "the rain", "[user] the rain\n[assistant]", false);
    engine_close(engine);
    engine = opened((EngineOptions){.model = model, .chat = CHAT_OFF}, 4, POLICY_NONE);
    assert_false(engine_is_chat(engine));
    assert_string_equal(engine_default_prompt(engine), DEFAULT_PROMPT);
    assert_prompt(engine, "the rain", "the rain", true);
    engine_close(engine);
}

static void a_template_that_cannot_be_used_is_told_when_it_is_needed(void **state) {
    (void)state;
    Engine *engine = opened((EngineOptions){.model = chat_model("\n{% include 'x' %}")}, 4, POLICY_NONE);
    TokenIds ids = {0};
    Error err = {0};
    assert_false(engine_prompt(engine, "the rain", &ids, &err));
    assert_non_null(strstr(err.message, "chat_template.jinja: line 2: "));
    assert_non_null(strstr(err.message, "; --chat off leaves the template out"));
    engine_close(engine);
    assert_false(engine_open(&(EngineOptions){.chat = CHAT_ON}, &engine, &err));
    assert_non_null(strstr(err.message, "has no chat template"));
}

static void a_template_that_refuses_says_what_helps(void **state) {
    (void)state;
    Engine *engine = opened((EngineOptions){.model = chat_model("{{ raise_exception('no way') }}")}, 4, POLICY_NONE);
    TokenIds ids = {0};
    Error err = {0};
    assert_false(engine_prompt(engine, "the rain", &ids, &err));
    assert_non_null(strstr(err.message, "chat_template.jinja: line 1: the template refuses this conversation: no way"));
    assert_non_null(strstr(err.message, "; --chat off leaves the template out"));
    engine_close(engine);
}

static void texts_have_names(void **state) {
    (void)state;
    Engine *engine = opened((EngineOptions){.evaluation = "some/where/mine.jsonl"}, 4, POLICY_NONE);
    assert_string_equal(engine_text_name(engine, TEXT_CALIBRATION), "stories");
    assert_string_equal(engine_text_name(engine, TEXT_EVALUATION), "mine.jsonl");
    engine_close(engine);
    engine = opened((EngineOptions){.model = chat_model(TURNS), .random_tokens = true}, 4, POLICY_NONE);
    assert_string_equal(engine_text_name(engine, TEXT_CALIBRATION), "random tokens");
    assert_string_equal(engine_text_name(engine, TEXT_EVALUATION), "mixed");
    assert_false(engine_text_is_chat(engine, TEXT_CALIBRATION)); // no conversations in it
    assert_true(engine_text_is_chat(engine, TEXT_EVALUATION));
    engine_close(engine);
    engine = opened((EngineOptions){.model = chat_model(TURNS), .calibration = "self", .evaluation = "stories"}, 4,
                    POLICY_NONE);
    assert_true(engine_is_chat(engine));
    assert_false(engine_text_is_chat(engine, TEXT_CALIBRATION) || engine_text_is_chat(engine, TEXT_EVALUATION));
    engine_close(engine);
    engine = opened((EngineOptions){.model = chat_model(TURNS), .calibration = "a.txt", .evaluation = "a.jsonl"}, 4,
                    POLICY_NONE);
    assert_false(engine_text_is_chat(engine, TEXT_CALIBRATION));
    assert_true(engine_text_is_chat(engine, TEXT_EVALUATION));
    engine_close(engine);
    assert_true(engine_text_is_named(TEXT_EVALUATION, "mixed") && engine_text_is_named(TEXT_CALIBRATION, "self"));
    assert_false(engine_text_is_named(TEXT_EVALUATION, "self") || engine_text_is_named(TEXT_EVALUATION, "./mixed"));
}

// A prompt that it can translate, and sentences with their translations: of any other text its figures say nothing.
static void the_sample_translator_has_a_text_of_its_own(void **state) {
    (void)state;
    char *path = shipped_path("translator", NULL);
    Engine *engine = opened((EngineOptions){.model = path}, 8, POLICY_NONE);
    Accuracy accuracy = {0};
    Error err = {0};
    assert_string_equal(engine_text_name(engine, TEXT_CALIBRATION), "pairs");
    assert_string_equal(engine_text_name(engine, TEXT_EVALUATION), "pairs");
    assert_string_equal(engine_default_prompt(engine), "Too Mon larat los sipo tibres al mi.");
    if (!engine_prepare(engine, false, NULL, &err) || !engine_follow(engine, engine_plan(engine), NULL, NULL, &err) ||
        !engine_evaluate(engine, 0, NULL, NULL, &accuracy, NULL, &err))
        fail_msg("%s", err.message);
    assert_true(accuracy.base_ppl > 1 && accuracy.base_ppl < 40); // far from a guess among 768 tokens
    engine_close(engine);
    engine = opened((EngineOptions){.model = path, .evaluation = "mixed"}, 8, POLICY_NONE);
    assert_string_equal(engine_text_name(engine, TEXT_EVALUATION), "mixed");
    engine_close(engine);
    free(path);
}

static void what_cannot_be_opened_leaves_nothing(void **state) {
    (void)state;
    Engine *engine;
    Error err = {0};
    assert_false(engine_open(&(EngineOptions){.model = "not/there"}, &engine, &err));
    assert_null(engine);
    assert_non_null(strstr(err.message, "not/there"));
    engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_before_its_time),
        cmocka_unit_test(a_weight_has_one_error),
        cmocka_unit_test(a_new_recipe_takes_the_place_of_the_old_plan),
        cmocka_unit_test(what_needs_no_ranges_does_not_calibrate),
        cmocka_unit_test(without_text_there_are_no_ranges),
        cmocka_unit_test(a_calibration_goes_on_in_the_next_start),
        IN_FOLDER(prompts_go_through_the_chat_template),
        IN_FOLDER(a_template_that_cannot_be_used_is_told_when_it_is_needed),
        IN_FOLDER(a_template_that_refuses_says_what_helps),
        IN_FOLDER(texts_have_names),
        cmocka_unit_test(the_sample_translator_has_a_text_of_its_own),
        cmocka_unit_test(what_cannot_be_opened_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, small_sample_make, small_sample_drop);
}
