// Translations: prompts, what the model writes after them, and what is kept of it on disk.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>
#include <cmocka.h>

#include "analysis/translate.h"
#include "analysis/translation_score.h"
#include "base/file.h"
#include "engine/engine.h"
#include "tests/support/fixture_model.h"
#include "tests/support/in_folder.h"
#include "tests/support/quant_fixtures.h"
#include "tests/support/slow_checks.h"
#include "tests/support/small_sample.h"

static FixtureModel model;
static TextForm form;

static int setup(void **state) {
    if (small_sample_make(state)) return 1;
    char *path = path_join(getenv("QUANTDIAL_SAMPLES"), "storyteller");
    Tokenizer *tokenizer;
    fixture_model_open(path, PRECISION_F32, &model);
    const bool ok = tokenizer_load(path, &tokenizer, NULL);
    form = (TextForm){.tokenizer = tokenizer};
    free(path);
    return !ok;
}

static int teardown(void **state) {
    tokenizer_free((Tokenizer *)form.tokenizer);
    fixture_model_close(&model);
    return small_sample_drop(state);
}

// ---- Prompts ----

static bool load_as(const TextForm *as, const char *lines, TranslationOptions options, TranslationTask *task,
                    Error *err) {
    char *path = folder_write(folder, "pairs.jsonl", lines, strlen(lines));
    options.path = path;
    const bool ok = translation_task_load(as, &model.config, &options, task, err);
    free(path);
    return ok;
}

static TranslationTask loaded(const TextForm *as, const char *lines, TranslationOptions options) {
    TranslationTask task;
    Error err = {0};
    if (!load_as(as, lines, options, &task, &err)) fail_msg("%s", err.message);
    return task;
}

static void expect_prompt(const TranslationItem *item, const char *text, bool special) {
    TokenIds ids = {0};
    assert_true(tokenizer_encode(form.tokenizer, text, strlen(text), special, &ids, NULL));
    assert_int_equal(item->prompt.count, ids.count);
    assert_memory_equal(item->prompt.ids, ids.ids, ids.count * sizeof *ids.ids);
    token_ids_free(&ids);
}

#define LINES                                                                      \
    "{\"source\": \"ein Hund\", \"reference\": \"a dog\"}\n\n"                     \
    "{\"source\": \" eine\\nKatze \", \"references\": [\"a cat\", \"one cat\"]}\n" \
    "{\"source\": \"\", \"reference\": \"\", \"more\": 1}"

static void prompts_show_examples(void **state) {
    (void)state;
    TranslationTask task = loaded(&form, LINES, (TranslationOptions){.shots = 1, .most = 9});
    assert_int_equal(task.count, 2);
    assert_int_equal(task.references, 0); // two and one
    assert_int_equal(task.items[0].reference_count, 2);
    assert_string_equal(task.items[0].references[1].data, "one cat");
    assert_string_equal(task.items[0].source.data, " eine\nKatze ");
#define SHOT "Source: ein Hund\nTranslation: a dog\n\n"
    expect_prompt(&task.items[0], SHOT "Source: eine Katze\nTranslation:", true);
    expect_prompt(&task.items[1], SHOT "Source: \nTranslation:", true);
    assert_true(task.by_line && task.most == 9);
    assert_true(task.shared > 10 && task.shared < task.items[1].prompt.count);
    assert_memory_equal(task.items[0].prompt.ids, task.items[1].prompt.ids, task.shared * sizeof(int32_t));
    translation_task_free(&task);
    task = loaded(&form, LINES, (TranslationOptions){.instruction = "To English:", .most = 9});
    assert_int_equal(task.count, 3);
    expect_prompt(&task.items[0], "To English:\n\nSource: ein Hund\nTranslation:", true);
    translation_task_free(&task);
}

static void examples_may_come_from_another_file(void **state) {
    (void)state;
    static const char examples[] = "{\"source\": \"rot\", \"reference\": \"red\"}\n{\"source\": 1}";
    char *path = folder_write(folder, "examples.jsonl", examples, strlen(examples));
    Error err = {0};
    TranslationTask task = loaded(&form, LINES, (TranslationOptions){.shots = 1, .shots_path = path, .most = 9});
    assert_int_equal(task.count, 3);
    expect_prompt(&task.items[0], "Source: rot\nTranslation: red\n\nSource: ein Hund\nTranslation:", true);
    translation_task_free(&task);
    folder_put_text(folder, "examples.jsonl", "{\"source\": \"rot\", \"reference\": \"red\"}\n");
    assert_false(load_as(&form, LINES, (TranslationOptions){.shots = 2, .shots_path = path, .most = 9}, &task, &err));
    assert_non_null(strstr(err.message, "examples.jsonl: has only 1 of 2 examples"));
    free(path);
}

#define TEMPLATE                                                                                                    \
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant] " \
    "{% endif %}"

static void a_chat_model_is_asked_as_a_user(void **state) {
    (void)state;
    ChatTemplate *chat;
    assert_true(chat_template_parse("test", TEMPLATE, strlen(TEMPLATE), &chat, NULL));
    const TextForm as = {.tokenizer = form.tokenizer, .chat = chat};
    TranslationTask task =
        loaded(&as, LINES, (TranslationOptions){.shots = 1, .instruction = "To English:", .most = 9});
    assert_false(task.by_line);
    expect_prompt(
        &task.items[0],
        "[user] To English:\n\nein Hund\n[assistant] a dog\n[user] To English:\n\n eine\nKatze \n[assistant] ", false);
    translation_task_free(&task);
    chat_template_free(chat);
}

static void bad_lines_are_named(void **state) {
    (void)state;
    Text longer = {0};
    text_addf(&longer, "{\"source\": \"a\", \"reference\": \"b\"}\n{\"source\": \"");
    for (int i = 0; i < 1100; i++) text_addf(&longer, "cat ");
    text_addf(&longer, "\", \"reference\": \"b\"}");
    const struct {
        const char *lines;
        size_t shots;
        const char *message;
    } cases[] = {
        {"", 1, "pairs.jsonl: the file is empty"},
        {LINES, 3, "no line is left to be scored after 3 examples"},
        {LINES, 0, "--instruction"},
        {LINES "\n{\"source\": \"a\"}", 1, "pairs.jsonl: line 5: expects the fields"},
        {LINES "\n{\"reference\": \"a\"}", 1, "line 5: has no field \"source\""},
        {LINES "\n{\"source\": \"a\", \"reference\": \"b\", \"references\": [\"c\"]}", 1, "line 5: expects"},
        {LINES "\n{\"source\": \"a\", \"references\": []}", 1, "line 5: \"references\" must be a list"},
        {LINES "\n{\"source\": \"a\", \"references\": [\"b\", 1]}", 1, "line 5: \"references\" must be a text"},
        {"{\"source\": 7, \"reference\": \"b\"}", 1, "line 1: \"source\" must be a text"},
        {"[1]", 1, "line 1: is not a JSON object"},
        {longer.data, 1, "line 2: the prompt has"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TranslationTask task;
        Error err = {0};
        if (load_as(&form, cases[i].lines, (TranslationOptions){.shots = cases[i].shots, .most = 9}, &task, &err))
            fail_msg("case %zu was taken", i);
        if (!strstr(err.message, cases[i].message)) fail_msg("case %zu: %s", i, err.message);
    }
    text_free(&longer);
}

// ---- Translating ----

enum { MOST = 12, COUNT = 3 };

#define STORIES                                                                         \
    "{\"source\": \"The fox\", \"reference\": \"Once upon a time there was a fox.\"}\n" \
    "{\"source\": \"The cat\", \"reference\": \"a\"}\n"                                 \
    "{\"source\": \"The old mill\", \"reference\": \"b\"}\n"                            \
    "{\"source\": \"Rain\", \"reference\": \"c\"}\n"

static void texts_free(Text *texts) {
    for (int i = 0; i < COUNT; i++) text_free(&texts[i]);
}

// The whole prompt at once, without anything shared; then what is before the line end, without white space around it.
static void generated(const TranslationTask *task, size_t item, Text *out) {
    const TokenIds *prompt = &task->items[item].prompt;
    const Sampling greedy = {.temperature = 0, .top_p = 1};
    Generated g;
    Text text = {0};
    assert_true(generate(model.base, prompt->ids, prompt->count, MOST, &greedy, NULL, NULL, &g, NULL, NULL));
    assert_true(tokenizer_decode(form.tokenizer, g.ids, g.count, true, &text, NULL));
    const char *from = text.data + strspn(text.data, " ");
    if (text.data[0] == '\n') from = "";
    text_add(out, from, utf8_stripped(from, strcspn(from, "\n")));
    text_free(&text);
    generated_free(&g);
}

static void a_translation_is_what_the_model_generates(void **state) {
    (void)state;
    TranslationTask task = loaded(&form, STORIES, (TranslationOptions){.shots = 1, .most = MOST});
    Text texts[COUNT] = {0}, mixed[COUNT] = {0}, wanted[COUNT] = {0};
    Error err = {0};
    assert_int_equal(task.count, COUNT);
    if (!translate(model.base, form.tokenizer, &task, false, texts, NULL, NULL, NULL, &err) ||
        !translate(model.base, form.tokenizer, &task, true, mixed, NULL, NULL, NULL, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < COUNT; i++) {
        generated(&task, (size_t)i, &wanted[i]);
        assert_string_equal(texts[i].data, wanted[i].data);
        assert_string_equal(mixed[i].data, wanted[i].data);
    }
    assert_true(wanted[0].length > 0);
    texts_free(texts);
    texts_free(mixed);
    texts_free(wanted);
    translation_task_free(&task);
}

static void stop_after_the_first(void *context) { progress_request_stop(context); }

static void what_was_stopped_goes_on(void **state) {
    (void)state;
    TranslationTask task = loaded(&form, STORIES, (TranslationOptions){.shots = 1, .most = MOST});
    Text texts[COUNT] = {0}, whole[COUNT] = {0};
    Progress progress = {0};
    Error err = {0};
    assert_false(
        translate(model.base, form.tokenizer, &task, false, texts, stop_after_the_first, &progress, &progress, &err));
    assert_true(err.stopped && texts[0].data && !texts[1].data);
    text_clear(&texts[0]);
    text_addf(&texts[0], "as it was"); // and not made again
    Progress again = {0};
    assert_true(translate(model.base, form.tokenizer, &task, false, texts, NULL, NULL, &again, &err));
    assert_true(translate(model.base, form.tokenizer, &task, false, whole, NULL, NULL, NULL, &err));
    assert_int_equal(atomic_load(&again.from), 1);
    assert_int_equal(atomic_load(&again.done), COUNT);
    assert_string_equal(texts[0].data, "as it was");
    for (int i = 1; i < COUNT; i++) assert_string_equal(texts[i].data, whole[i].data);
    texts_free(texts);
    texts_free(whole);
    translation_task_free(&task);
}

// A model with an encoder: the sample translator, against transformers (tools/reference/make_translation_fixtures.py).
#define TRANSLATOR "samples/translator"

static void take_pairs(const TranslationTask *task, const Text *texts, const cJSON *wanted) {
    TranslationCounts sum = {0}, one;
    for (size_t i = 0; i < task->count; i++) {
        const TranslationItem *item = &task->items[i];
        assert_string_equal(texts[i].data,
                            cJSON_GetArrayItem(cJSON_GetObjectItem(wanted, "translations"), (int)i)->valuestring);
        assert_true(translation_count(&texts[i], item->references, item->reference_count, &one, NULL));
        translation_add(&sum, &one);
    }
    if (task->count < (size_t)cJSON_GetArraySize(cJSON_GetObjectItem(wanted, "translations"))) return;
    assert_true(fabs(translation_bleu(&sum).score - fixture_number(wanted, "bleu")) < 1e-10);
    assert_true(fabs(translation_chrf(&sum) - fixture_number(wanted, "chrf")) < 1e-10);
}

static void expect_translations(FixtureModel *t5, const Tokenizer *tokenizer, const TranslationTask *task,
                                const cJSON *wanted) {
    Text *texts = array_new(task->count, sizeof *texts);
    Progress progress = {0};
    Error err = {0};
    if (!translate(t5->base, tokenizer, task, false, texts, NULL, NULL, &progress, &err)) fail_msg("%s", err.message);
    assert_int_equal(atomic_load(&progress.done), task->count); // sentences, not tokens
    take_pairs(task, texts, wanted);
    for (size_t i = 0; i < task->count; i++) text_free(&texts[i]);
    free(texts);
}

static void an_encoder_reads_the_source(void **state) {
    (void)state;
    FixtureModel t5;
    Tokenizer *tokenizer;
    TranslationTask task;
    Error err = {0};
    fixture_model_open(TRANSLATOR, PRECISION_F32, &t5);
    if (!tokenizer_load(TRANSLATOR, &tokenizer, &err)) fail_msg("%s", err.message);
    const TextForm as = {.tokenizer = tokenizer};
    TranslationOptions options = {.path = TRANSLATOR "/pairs.jsonl", .shots = 1, .most = 100};
    assert_false(translation_task_load(&as, &t5.config, &options, &task, &err));
    assert_non_null(strstr(err.message, "leave out --shots"));
    options.shots = 0;
    if (!translation_task_load(&as, &t5.config, &options, &task, &err)) fail_msg("%s", err.message);
    assert_true(task.count == 200 && !task.by_line && task.references == 1);
    const size_t all = task.count;
    if (!slow_checks()) task.count = 2;
    cJSON *wanted = fixture_json("tests/fixtures/translation/translator.json");
    expect_translations(&t5, tokenizer, &task, wanted);
    const uint64_t greedy = translation_task_hash(&task);
    task.beams = 4; // which write the first one otherwise
    assert_true(translation_task_hash(&task) != greedy);
    if (!many_cases()) task.count = 2;
    expect_translations(&t5, tokenizer, &task, cJSON_GetObjectItem(wanted, "beams"));
    cJSON_Delete(wanted);
    task.count = all;
    translation_task_free(&task);
    tokenizer_free(tokenizer);
    fixture_model_close(&t5);
}

// ---- On disk ----

static void what_is_kept_comes_back(void **state) {
    (void)state;
    Text texts[COUNT] = {0}, back[COUNT] = {0};
    text_addf(&texts[0], "ein Hund");
    text_addf(&texts[2], "%s", ""); // an empty translation is one
    assert_true(kept_translations_write(folder, 7, texts, COUNT, NULL));
    assert_false(kept_translations_read(folder, 8, back, COUNT));
    assert_true(kept_translations_read(folder, 7, back, COUNT));
    assert_string_equal(back[0].data, "ein Hund");
    assert_true(!back[1].data && back[2].data && back[2].length == 0);
    texts_free(back);
    assert_false(kept_translations_read(folder, 7, back, 2)); // of more sentences than there are
    assert_true(!back[0].data && !back[1].data);
    texts_free(texts);
}

static Engine *opened(TranslationTask *task) {
    Engine *engine;
    Recipe recipe;
    Error err = {0};
    char *path = folder_write(folder, "pairs.jsonl", STORIES, strlen(STORIES));
    if (!engine_open(&(EngineOptions){.threads = 2}, &engine, &err) || !recipe_default(&recipe, &err))
        fail_msg("%s", err.message);
    recipe.value[DIAL_BITS] = 2;
    recipe.value[DIAL_ACTIVATIONS] = POLICY_NONE;
    engine_set_recipe(engine, &recipe);
    if (!engine_prepare(engine, false, NULL, &err) || !engine_follow(engine, engine_plan(engine), NULL, NULL, &err) ||
        !engine_translations(engine, &(TranslationOptions){.path = path, .shots = 1, .most = MOST}, task, &err))
        fail_msg("%s", err.message);
    free(path);
    return engine;
}

static void translated(Engine *engine, const TranslationTask *task, bool quantized, Text *texts, uint64_t known) {
    Progress progress = {0};
    Error err = {0};
    if (!engine_translate(engine, task, quantized, texts, &progress, &err)) fail_msg("%s", err.message);
    assert_int_equal(atomic_load(&progress.from), known);
}

// Also by another start, and of the base whatever the recipe is.
static void the_engine_translates_once(void **state) {
    (void)state;
    char *before = getenv("XDG_CACHE_HOME") ? strdup(getenv("XDG_CACHE_HOME")) : NULL;
    setenv("XDG_CACHE_HOME", folder, 1);
    Text base[COUNT] = {0}, quantized[COUNT] = {0}, again[COUNT] = {0};
    TranslationTask task, task_of_beams;
    Error err = {0};
    Engine *engine = opened(&task);
    translated(engine, &task, false, base, 0);
    translated(engine, &task, true, quantized, 0);
    bool differs = false;
    for (int i = 0; i < COUNT; i++) differs |= strcmp(base[i].data, quantized[i].data) != 0;
    assert_true(differs); // two bits do harm
    assert_false(engine_translations(engine, &(TranslationOptions){.beams = 2, .shots = 1}, &task_of_beams, &err));
    assert_non_null(strstr(err.message, "leave out --beams"));
    translation_task_free(&task);
    engine_close(engine);
    engine = opened(&task);
    translated(engine, &task, false, again, COUNT);
    for (int i = 0; i < COUNT; i++) assert_string_equal(again[i].data, base[i].data);
    texts_free(again);
    texts_free(again);
    task.most--; // another task
    translated(engine, &task, false, again, 0);
    texts_free(again);
    translation_task_free(&task);
    engine_close(engine);
    char *sample = path_join(getenv("QUANTDIAL_SAMPLES"), "storyteller"),
         *path = path_join(sample, "generation_config.json");
    assert_int_equal(unlink(path), 0); // a link into the samples
    folder_put_text(sample, "generation_config.json", "{\"eos_token_id\": 5}");
    engine = opened(&task);
    translated(engine, &task, false, again, 0); // other tokens end a translation
    free(path);
    free(sample);
    translation_task_free(&task);
    engine_close(engine);
    texts_free(base);
    texts_free(quantized);
    texts_free(again);
    if (before)
        setenv("XDG_CACHE_HOME", before, 1);
    else
        unsetenv("XDG_CACHE_HOME");
    free(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(prompts_show_examples),
        IN_FOLDER(examples_may_come_from_another_file),
        IN_FOLDER(a_chat_model_is_asked_as_a_user),
        IN_FOLDER(bad_lines_are_named),
        IN_FOLDER(a_translation_is_what_the_model_generates),
        IN_FOLDER(what_was_stopped_goes_on),
        cmocka_unit_test(an_encoder_reads_the_source),
        IN_FOLDER(what_is_kept_comes_back),
        IN_FOLDER(the_engine_translates_once),
    };
    return cmocka_run_group_tests_name("translations", tests, setup, teardown);
}
