// Tasks on the sample model: requests as lm-evaluation-harness makes them, scores against whole forward passes.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/tasks.h"
#include "base/array.h"
#include "base/file.h"
#include "model/quantized_model.h"
#include "tests/support/fixture_model.h"
#include "tests/support/folder.h"
#include "tests/support/quant_fixtures.h"
#include "tests/support/slow_checks.h"
#include "tests/support/small_sample.h"

typedef struct Sample {
    bool there;
    FixtureModel model;
    Tokenizer *tokenizer;
} Sample;

static Sample sample;

static int setup(void **state) {
    (void)state;
    const char *folder = getenv("QUANTDIAL_SAMPLES");
    char *path = path_join(folder ? folder : "samples", "storyteller");
    sample.there = folder_exists(path);
    if (sample.there) {
        fixture_model_open(path, PRECISION_F32, &sample.model);
        sample.there = tokenizer_load(path, &sample.tokenizer, NULL);
    }
    free(path);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    if (!sample.there) return 0;
    tokenizer_free(sample.tokenizer);
    fixture_model_close(&sample.model);
    return 0;
}

static bool load(TaskKind kind, const char *lines, Task *task, Error *err) {
    char *folder = folder_temporary(), *path = folder_write(folder, "task.jsonl", lines, strlen(lines));
    bool ok = task_load(sample.tokenizer, &sample.model.config, kind, path, task, err);
    free(path);
    folder_remove(folder);
    return ok;
}

// Sum of log probabilities of ids[first …], computed from one forward pass over everything.
static double log_likelihood(const int32_t *ids, size_t count, size_t first, bool *greedy) {
    size_t vocab = (size_t)sample.model.config.vocab;
    float *logits = fixture_logits(sample.model.base, ids, count - 1);
    double sum = 0;
    *greedy = true;
    for (size_t i = first; i < count; i++) {
        const float *row = logits + (i - 1) * vocab;
        double total = 0;
        size_t top = 0;
        for (size_t v = 0; v < vocab; v++) {
            total += exp((double)row[v]);
            if (row[v] > row[top]) top = v;
        }
        sum += (double)row[ids[i]] - log(total);
        *greedy &= top == (size_t)ids[i];
    }
    free(logits);
    return sum;
}

#define LAMBADA                                                                    \
    "{\"text\": \"Once upon a time there was a little girl\"}\n\n"                 \
    "{\"text\": \"The cat sat by the door and waited  xylophone\", \"more\": 1}\n" \
    "{\"text\": \"Mira walked down to the harbour in the rain and then she went home\"}"

static void last_words(void **state) {
    (void)state;
    if (!sample.there) skip();
    Task task;
    Error err = {0};
    TaskAnswer answers[3];
    if (!load(TASK_LAMBADA, LAMBADA, &task, &err)) fail_msg("%s", err.message);
    assert_int_equal(task.item_count, 3);
    assert_true(task_answer(sample.model.base, &task, false, answers, NULL, &err));
    double mean = 0, right = 0;
    for (int i = 0; i < 3; i++) {
        const TaskRequest *r = &task.requests[i];
        bool greedy;
        double expected = log_likelihood(r->ids, r->count, r->first, &greedy);
        assert_true(fabs(answers[i].log_likelihood - expected) < 1e-3 * (1 + fabs(expected)));
        assert_int_equal(answers[i].right, greedy);
        mean += answers[i].log_likelihood / 3;
        right += greedy / 3.0;
        Text word = {0};
        assert_true(tokenizer_decode(sample.tokenizer, r->ids + r->first, r->count - r->first, true, &word, NULL));
        assert_string_equal(word.data, i == 0 ? " girl" : i == 1 ? "  xylophone" : " home");
        text_free(&word);
    }
    TaskScore score = task_score(answers, 3);
    assert_true(fabs(score.perplexity - exp(-mean)) < 1e-9 * score.perplexity);
    assert_true(fabs(score.accuracy - right) < 1e-6);
    task_free(&task);
}

#define CHOICES                                                                                                       \
    "{\"query\": \"Once upon a time\", \"choices\": [\"there was a girl\", \"purple the of\", \"there\"], \"gold\": " \
    "0}\n"                                                                                                            \
    "{\"query\": \"Once upon a time \", \"choices\": [\"ünder\", \"there\"], \"gold\": 1}\n"                         \
    "{\"query\": \"\", \"choices\": [\"The\", \"Once upon a time\"], \"gold\": 1}\n"

static void choices(void **state) {
    (void)state;
    if (!sample.there) skip();
    Task task;
    Error err = {0};
    TaskAnswer answers[3];
    if (!load(TASK_CHOICES, CHOICES, &task, &err)) fail_msg("%s", err.message);
    assert_int_equal(task.request_count, 7);
    assert_int_equal(task.requests[3].characters, 5); // ünder
    assert_true(task_answer(sample.model.base, &task, false, answers, NULL, &err));
    for (int i = 0; i < 3; i++) {
        double ll[3] = {-INFINITY, -INFINITY, -INFINITY}, norm[3] = {-INFINITY, -INFINITY, -INFINITY};
        size_t best = 0, best_norm = 0;
        bool greedy;
        for (size_t c = 0; c < task.items[i].count; c++) {
            const TaskRequest *r = &task.requests[task.items[i].first + c];
            ll[c] = log_likelihood(r->ids, r->count, r->first, &greedy);
            norm[c] = ll[c] / (double)r->characters;
            if (ll[c] > ll[best]) best = c;
            if (norm[c] > norm[best_norm]) best_norm = c;
        }
        assert_int_equal(answers[i].right, best == task.items[i].gold);
        assert_int_equal(answers[i].right_norm, best_norm == task.items[i].gold);
        double expected = ll[task.items[i].gold];
        assert_true(fabs(answers[i].log_likelihood - expected) < 1e-3 * (1 + fabs(expected)));
    }
    // An empty context is the token for the beginning of a text.
    assert_int_equal(task.requests[5].ids[0], sample.model.config.bos_token);
    assert_int_equal(task.requests[5].first, 1);
    task_free(&task);
}

#define CHOICES_TURNED                                                                                      \
    "{\"query\": \"\", \"choices\": [\"Once upon a time\", \"The\"], \"gold\": 0}\n"                        \
    "{\"query\": \"Once upon a time\", \"choices\": [\"there\", \"purple the of\", \"there was a girl\"], " \
    "\"gold\": 2}\n"                                                                                        \
    "{\"query\": \"Once upon a time \", \"choices\": [\"there\", \"ünder\"], \"gold\": 0}\n"

static void answer(QuantizedModel *model, const char *lines, bool tokens_mix, TaskAnswer answers[3]) {
    Task task;
    Error err = {0};
    if (!load(TASK_CHOICES, lines, &task, &err) ||
        !task_answer(quantized_model_transformer(model), &task, tokens_mix, answers, NULL, &err))
        fail_msg("%s", err.message);
    task_free(&task);
}

// Scales over the tokens of a call: an item's score must not depend on what was asked before it.
static void the_order_of_items_and_choices_does_not_matter(void **state) {
    (void)state;
    if (!sample.there) skip();
    Recipe recipe;
    Plan plan;
    QuantizedModel *model = NULL;
    Error err = {0};
    assert_true(recipe_default(&recipe, &err));
    assert_true(plan_make(&recipe, &sample.model.structure, NULL, &plan, &err));
    assert_false(plan_mixes_tokens(&plan));
    plan_free(&plan);
    recipe.value[DIAL_ACTIVATIONS] = POLICY_CHANNEL;
    if (!plan_make(&recipe, &sample.model.structure, NULL, &plan, &err) ||
        !quantized_model_new(sample.model.base, &model, &err) ||
        !quantized_model_follow(model, &plan, NULL, NULL, NULL, &err))
        fail_msg("%s", err.message);
    assert_true(plan_mixes_tokens(&plan));
    TaskAnswer answers[3] = {0}, turned[3] = {0}, shared[3] = {0}, shared_turned[3] = {0};
    answer(model, CHOICES, true, answers);
    answer(model, CHOICES_TURNED, true, turned);
    const bool brief = !slow_checks();
    if (!brief) {
        answer(model, CHOICES, false, shared);
        answer(model, CHOICES_TURNED, false, shared_turned);
    }
    bool differs = brief;
    for (int i = 0; i < 3; i++) {
        const int at = (i + 1) % 3;
        assert_true(answers[i].log_likelihood == turned[at].log_likelihood);
        assert_true(answers[i].right == turned[at].right && answers[i].right_norm == turned[at].right_norm);
        differs |= shared[i].log_likelihood != shared_turned[at].log_likelihood;
    }
    assert_true(differs); // with a shared beginning it would
    quantized_model_free(model);
    plan_free(&plan);
    recipe_free(&recipe);
}

// ---- lm-evaluation-harness on the same files (tools/reference/make_task_fixtures.py) ----

#define FOLDER "tests/fixtures/tasks/"

// The log likelihoods of all choices of the first items, each as a word to be predicted: scoring says that of the right
// choice only.
static void check_likelihoods(const Task *task, size_t items, const cJSON *expected) {
    Task words = *task;
    Error err = {0};
    words.kind = TASK_LAMBADA;
    words.item_count = words.request_count = task->items[items - 1].first + task->items[items - 1].count;
    words.items = array_new(words.item_count, sizeof *words.items);
    TaskAnswer *answers = array_new(words.item_count, sizeof *answers);
    for (size_t i = 0; i < words.item_count; i++) words.items[i] = (TaskItem){.first = i, .count = 1};
    if (!task_answer(sample.model.base, &words, false, answers, NULL, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < items; i++) {
        const cJSON *item = cJSON_GetArrayItem(expected, (int)i);
        assert_int_equal(cJSON_GetArraySize(item), task->items[i].count);
        for (size_t c = 0; c < task->items[i].count; c++) {
            double ll = cJSON_GetArrayItem(item, (int)c)->valuedouble;
            double got = answers[task->items[i].first + c].log_likelihood;
            if (!(fabs(got - ll) < 1e-4)) fail_msg("item %zu, choice %zu: %.6f, not %.6f", i, c, got, ll);
        }
    }
    free(words.items);
    free(answers);
}

static void check_task(TaskKind kind, const char *path, const cJSON *expected) {
    Task task;
    Error err = {0};
    const cJSON *likelihoods = cJSON_GetObjectItemCaseSensitive(expected, "log_likelihoods");
    if (!task_load(sample.tokenizer, &sample.model.config, kind, path, &task, &err)) fail_msg("%s", err.message);
    if (!many_cases()) { // one item must do
        check_likelihoods(&task, 1, likelihoods);
        task_free(&task);
        return;
    }
    TaskAnswer *answers = array_new(task.item_count, sizeof *answers);
    assert_true(task_answer(sample.model.base, &task, false, answers, NULL, &err));
    TaskScore score = task_score(answers, task.item_count);
    assert_true(fabs(score.accuracy - fixture_number(expected, "accuracy")) < 1e-12);
    assert_true(fabs(score.accuracy_se - fixture_number(expected, "accuracy_se")) < 1e-9);
    if (kind == TASK_LAMBADA) {
        double perplexity = fixture_number(expected, "perplexity");
        assert_true(fabs(score.perplexity - perplexity) < 1e-4 * perplexity);
    } else {
        assert_true(fabs(score.accuracy_norm - fixture_number(expected, "accuracy_norm")) < 1e-12);
        assert_true(fabs(score.accuracy_norm_se - fixture_number(expected, "accuracy_norm_se")) < 1e-9);
    }
    check_likelihoods(&task, task.item_count, likelihoods);
    free(answers);
    task_free(&task);
}

static void the_harness_scores_the_same(void **state) {
    (void)state;
    if (!sample.there) skip();
    cJSON *expected = fixture_json(FOLDER "expected.json");
    check_task(TASK_LAMBADA, FOLDER "lambada.jsonl", cJSON_GetObjectItemCaseSensitive(expected, "lambada"));
    check_task(TASK_CHOICES, FOLDER "choices.jsonl", cJSON_GetObjectItemCaseSensitive(expected, "choices"));
    cJSON_Delete(expected);
}

static void long_contexts_lose_their_beginning(void **state) {
    (void)state;
    if (!sample.there) skip();
    Text line = {0};
    Task task;
    Error err = {0};
    text_addf(&line, "{\"text\": \"");
    for (int i = 0; i < 1500; i++) text_addf(&line, "the cat ");
    text_addf(&line, "end\"}");
    if (!load(TASK_LAMBADA, line.data, &task, &err)) fail_msg("%s", err.message);
    assert_int_equal(task.requests[0].count, sample.model.config.max_positions + 1);
    assert_true(task.requests[0].first < task.requests[0].count);
    task_free(&task);
    text_free(&line);
}

static void bad_lines_are_named(void **state) {
    (void)state;
    if (!sample.there) skip();
    const struct {
        TaskKind kind;
        const char *lines, *message;
    } cases[] = {
        {TASK_LAMBADA, "", "the file is empty"},
        {TASK_LAMBADA, "{\"text\": \"a b\"}\n{\"txt\": 1}", "line 2"},
        {TASK_LAMBADA, "{\"text\": \"word\"}", "a space and a word"},
        {TASK_LAMBADA, "{\"text\": \"a word \"}", "a space and a word"},
        {TASK_LAMBADA, "{\"text\": 3}", "text"},
        {TASK_LAMBADA, "[1]", "object"},
        {TASK_LAMBADA, "{\"text\": \"a b\"", "line 1"},
        {TASK_CHOICES, "{\"query\": \"a\", \"choices\": [\"b\"], \"gold\": 0}", "two or more"},
        {TASK_CHOICES, "{\"query\": \"a\", \"choices\": [\"b\", \"c\"], \"gold\": 2}", "gold"},
        {TASK_CHOICES, "{\"query\": \"a\", \"choices\": [\"b\", \"c\"]}", "gold"},
        {TASK_CHOICES, "{\"query\": \"a\", \"choices\": [\"b\", \"\"], \"gold\": 0}", "not empty"},
        {TASK_CHOICES, "{\"query\": \"a\", \"choices\": 4, \"gold\": 0}", "choices"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Task task;
        Error err = {0};
        if (load(cases[i].kind, cases[i].lines, &task, &err)) fail_msg("case %zu was taken", i);
        if (!strstr(err.message, cases[i].message)) fail_msg("case %zu: %s", i, err.message);
    }
}

// The ids of each request are those of this text, and the continuation begins where it says.
static void expect_request(const TaskRequest *request, const char *text, size_t length, bool add_special,
                           const char *continuation) {
    TokenIds ids = {0};
    Text word = {0};
    assert_true(tokenizer_encode(sample.tokenizer, text, length, add_special, &ids, NULL));
    assert_int_equal(request->count, ids.count);
    assert_memory_equal(request->ids, ids.ids, ids.count * sizeof *ids.ids);
    assert_true(
        tokenizer_decode(sample.tokenizer, ids.ids + request->first, ids.count - request->first, true, &word, NULL));
    assert_string_equal(word.data, continuation);
    text_free(&word);
    token_ids_free(&ids);
}

static void a_text_with_its_own_beginning_gets_no_second(void **state) {
    (void)state;
    if (!sample.there) skip();
    Task task;
    Error err = {0};
    if (!load(TASK_LAMBADA, "{\"text\": \"<|endoftext|>The cat sat\"}\n{\"text\": \"<|endoftext|> sat\"}", &task, &err))
        fail_msg("%s", err.message);
    expect_request(&task.requests[0], "<|endoftext|>The cat sat", 24, false, " sat");
    expect_request(&task.requests[1], "<|endoftext|> sat", 17, false, " sat");
    task_free(&task);
    if (!load(TASK_CHOICES, "{\"query\": \"\", \"choices\": [\"a\", \"b\"], \"gold\": 0}", &task, &err))
        fail_msg("%s", err.message);
    expect_request(&task.requests[1], "<|endoftext|> b", 15, false,
                   " b"); // nothing before it: it follows the beginning
    task_free(&task);
}

static void a_nul_does_not_end_a_text(void **state) {
    (void)state;
    if (!sample.there) skip();
    Task task;
    Error err = {0};
    if (!load(TASK_LAMBADA, "{\"text\": \"The old man\\u0000 went home\"}", &task, &err)) fail_msg("%s", err.message);
    expect_request(&task.requests[0], "The old man\0 went home", 22, true, " home");
    task_free(&task);
    if (!load(TASK_CHOICES, "{\"query\": \"The\\u0000 old\", \"choices\": [\"m\\u0000n\", \"b\"], \"gold\": 0}", &task,
              &err))
        fail_msg("%s", err.message);
    expect_request(&task.requests[1], "The\0 old b", 10, true, " b");
    assert_int_equal(task.requests[0].characters, 3);
    task_free(&task);
}

// A model whose layers remember goes back to where its query ended, and scores as if it had begun anew.
static void choices_behind_what_is_remembered(void **state) {
    (void)state;
    int32_t ids[4][9] = {{3, 9, 4, 1, 5, 12, 7}, {3, 9, 4, 1, 5, 8}, {3, 9, 4, 1, 5, 30, 2, 6, 11}, {9, 9, 20, 1, 4}};
    TaskRequest requests[] = {{ids[0], 7, 5, 1}, {ids[1], 6, 5, 1}, {ids[2], 9, 5, 1}, {ids[3], 5, 1, 1}};
    TaskItem items[] = {{0, 3, 1}, {0, 3, 2}, {3, 1, 0}};
    const Task task = {.kind = TASK_CHOICES, .requests = requests, .items = items, .request_count = 4, .item_count = 3};
    TaskAnswer shared[3], alone[3];
    FixtureModel model;
    Error err = {0};
    fixture_model_open("tests/fixtures/families/qwen3-next", PRECISION_F32, &model);
    assert_true(task_answer(model.base, &task, false, shared, NULL, &err));
    assert_true(task_answer(model.base, &task, true, alone, NULL, &err));
    for (int i = 0; i < 3; i++) assert_true(fabs(shared[i].log_likelihood - alone[i].log_likelihood) < 1e-4);
    assert_true(fabs(alone[0].log_likelihood - alone[1].log_likelihood) > 1e-2);
    fixture_model_close(&model);
}

static void scores_and_their_errors(void **state) {
    (void)state;
    TaskAnswer answers[] = {{1, 1, -1}, {0, 1, -2}, {1, 0, -3}, {1, 1, -2}};
    TaskScore score = task_score(answers, 4);
    assert_true(fabs(score.accuracy - 0.75) < 1e-12);
    assert_true(fabs(score.accuracy_se - 0.25) < 1e-12); // sample deviation 0.5, / √4
    assert_true(fabs(score.perplexity - exp(2)) < 1e-9);
    assert_true(fabs(score.perplexity_se - exp(2) * sqrt(2.0 / 3) / 2) < 1e-9);
    assert_true(task_score(answers, 1).accuracy_se == 0);
    assert_int_equal(task_score(answers, 0).items, 0);
}

static int setup_small(void **state) { return small_sample_make(state) || setup(state); }
static int teardown_small(void **state) { return teardown(state) || small_sample_drop(state); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_words),
        cmocka_unit_test(choices),
        cmocka_unit_test(the_order_of_items_and_choices_does_not_matter),
        cmocka_unit_test(long_contexts_lose_their_beginning),
        cmocka_unit_test(bad_lines_are_named),
        cmocka_unit_test(a_text_with_its_own_beginning_gets_no_second),
        cmocka_unit_test(a_nul_does_not_end_a_text),
        cmocka_unit_test(choices_behind_what_is_remembered),
        cmocka_unit_test(scores_and_their_errors),
    };
    const struct CMUnitTest figures[] = {
        cmocka_unit_test(the_harness_scores_the_same),
    };
    return cmocka_run_group_tests_name("tasks", tests, setup_small, teardown_small) +
           cmocka_run_group_tests_name("figures of tasks", figures, setup, teardown);
}
