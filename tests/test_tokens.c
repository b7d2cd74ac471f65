// Tokens from files: text in blocks equals the whole text; JSONL; refusals.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "analysis/pairs.h"
#include "analysis/tokens.h"
#include "base/array.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "loaders/checkpoint.h"
#include "tests/support/in_folder.h"
#include "tests/support/quant_fixtures.h"
#include "tests/support/slow_checks.h"
#include "tests/support/tokenizer_lines.h"

#define FAMILIES "tests/fixtures/tokenizer/families"

static const char *const tokenizers[] = {"tests/fixtures/tokenizer/gpt2", "tests/fixtures/tokenizer/llama3"};

static Tokenizer *tokenizer_new(int which) {
    Tokenizer *tokenizer;
    Error err = {0};
    if (!tokenizer_load(tokenizers[which], &tokenizer, &err)) fail_msg("%s", err.message);
    return tokenizer;
}

static const char *write_text(const char *name, const char *data, size_t size) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return path;
}

static void tokens_of(const Tokenizer *tokenizer, const char *path, size_t most, TokenIds *out) {
    Error err = {0};
    if (!tokens_from_file(&(TextForm){tokenizer, NULL}, path, most, out, &err)) fail_msg("%s", err.message);
    unlink(path);
}

static void assert_prefix(const TokenIds *got, const TokenIds *whole, size_t count) {
    assert_int_equal(got->count, count);
    if (count) assert_memory_equal(got->ids, whole->ids, count * sizeof *got->ids);
}

static const char *const stories[] = {"the",          "rain",    "stopped.", "Mira's",
                                      "lantern",      "\"No,\"", "1234",     "caf\xC3\xA9",
                                      "\xE2\x80\x94", "(well)",  "...",      "\xE4\xBD\xA0\xE5\xA5\xBD"};
static const char *const gaps[] = {" ", " ", " ", " ", "  ", "\n", "\n\n", ".\n", "\t", "\r\n", " \n "};

static void random_text(uint64_t seed, bool lines, size_t length, Text *out) {
    Random random = random_seeded(seed);
    while (out->length < length) {
        const char *word = stories[random_below(&random, sizeof stories / sizeof *stories)];
        const char *gap = gaps[random_below(&random, lines ? sizeof gaps / sizeof *gaps : 4)];
        text_add(out, word, strlen(word));
        text_add(out, gap, strlen(gap));
    }
}

// Text files in several blocks of 64 KiB, against the text in one.
static void check_blocks(const Tokenizer *tokenizer, const char *name, uint64_t seeds, size_t length) {
    const bool brief = !slow_checks();
    for (uint64_t seed = 0; seed < (many_cases() ? seeds : 1); seed++) {
        Text text = {0};
        random_text(seed, seed % 2, brief ? 70000 : length, &text); // one long line every other time
        TokenIds whole = {0}, got = {0}, few = {0};
        Error err = {0};
        assert_true(tokenizer_encode(tokenizer, text.data, text.length, true, &whole, &err));
        tokens_of(tokenizer, write_text("text.txt", text.data, text.length), SIZE_MAX, &got);
        if (got.count != whole.count) fail_msg("%s: %zu ids, not %zu", name, got.count, whole.count);
        assert_prefix(&got, &whole, whole.count);
        if (!brief) {
            tokens_of(tokenizer, write_text("text.txt", text.data, text.length), 1000, &few);
            assert_prefix(&few, &whole, 1000);
            // Added to what is there.
            tokens_of(tokenizer, write_text("text.txt", text.data, text.length), 10, &few);
            assert_int_equal(few.count, 1010);
            assert_memory_equal(few.ids + 1000, whole.ids, 10 * sizeof *few.ids);
        }
        token_ids_free(&whole);
        token_ids_free(&got);
        token_ids_free(&few);
        text_free(&text);
    }
}

static void blocks_equal_the_whole(void **state) {
    (void)state;
    for (int which = 0; which < 2; which++) {
        Tokenizer *tokenizer = tokenizer_new(which);
        check_blocks(tokenizer, tokenizers[which], 4, 300000);
        tokenizer_free(tokenizer);
    }
}

// Those of all families: some put a mark before the first word of a text, take its line ends away, or add a token at
// its end.
static void blocks_equal_the_whole_in_all_families(void **state) {
    (void)state;
    cJSON *shared = fixture_json(FAMILIES "/shared.json"), *all = fixture_json(FAMILIES "/families.json"), *family;
    cJSON_ArrayForEach(family, all) {
        Tokenizer *tokenizer = family_tokenizer(cJSON_GetObjectItemCaseSensitive(family, "tokenizer"), shared);
        check_blocks(tokenizer, family->string, 2, 140000); // one long line, and lines: two cuts each
        tokenizer_free(tokenizer);
    }
    cJSON_Delete(all);
    cJSON_Delete(shared);
}

// Tokens with a space in their middle leave line ends as places to cut; those with a line end in it, spaces.
static void tokens_that_reach_across_are_not_cut(void **state) {
    (void)state;
    static const char *const across[] = {"rain the", "stopped.\\nthe", "caf\xC3\xA9 caf"};
    for (size_t i = 0; i < sizeof across / sizeof *across; i++) {
        char json[512];
        Tokenizer *tokenizer;
        Error err = {0};
        snprintf(
            json, sizeof json,
            "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"?\",-9],[\"the\",-3],[\" \",-3],[\"rain\",-3],"
            "[\"\\n\",-3],[\"stopped\",-3],[\".\",-3],[\"caf\",-3],[\"%s\",-1]]}}",
            across[i]);
        if (!tokenizer_parse(json, strlen(json), &tokenizer, &err)) fail_msg("%s", err.message);
        check_blocks(tokenizer, across[i], 4, 300000);
        tokenizer_free(tokenizer);
    }
}

// No place to cut but between characters: the ids may differ there, the text may not.
static void endless_words_keep_their_text(void **state) {
    (void)state;
    Tokenizer *tokenizer = tokenizer_new(0);
    Text text = {0}, back = {0};
    for (int i = 0; i < 50000; i++) text_add(&text, i % 3 ? "\xC3\xA9" : "x", i % 3 ? 2 : 1);
    TokenIds got = {0};
    Error err = {0};
    tokens_of(tokenizer, write_text("text.txt", text.data, text.length), SIZE_MAX, &got);
    assert_true(tokenizer_decode(tokenizer, got.ids, got.count, true, &back, &err));
    assert_int_equal(back.length, text.length);
    assert_memory_equal(back.data, text.data, text.length);
    text_free(&text);
    text_free(&back);
    token_ids_free(&got);
    tokenizer_free(tokenizer);
}

static void json_lines(void **state) {
    (void)state;
    Tokenizer *tokenizer = tokenizer_new(0);
    static const char lines[] =
        "{\"text\": \"the rain\", \"id\": 1}\n\n{\"id\": 2, \"text\": \"caf\\u00e9\\n\"}"; // no line end at the end
    TokenIds expected = {0}, got = {0};
    Error err = {0};
    assert_true(tokenizer_encode(tokenizer, "the rain", 8, true, &expected, &err));
    assert_true(tokenizer_encode(tokenizer, "caf\xC3\xA9\n", 6, true, &expected, &err));
    tokens_of(tokenizer, write_text("lines.jsonl", lines, sizeof lines - 1), SIZE_MAX, &got);
    assert_prefix(&got, &expected, expected.count);
    got.count = 0;
    tokens_of(tokenizer, write_text("LINES.JSONL", lines, sizeof lines - 1), 2, &got);
    assert_prefix(&got, &expected, 2);
    token_ids_free(&expected);
    token_ids_free(&got);
    tokenizer_free(tokenizer);
}

static void assert_refused(const Tokenizer *tokenizer, const char *name, const char *data, size_t size,
                           const char *why) {
    int32_t there = 42;
    TokenIds ids = {.ids = malloc(sizeof there), .count = 1, .capacity = 1};
    memcpy(ids.ids, &there, sizeof there);
    Error err = {0};
    const char *path = write_text(name, data, size);
    assert_false(tokens_from_file(&(TextForm){tokenizer, NULL}, path, 100, &ids, &err));
    if (!strstr(err.message, path) || !strstr(err.message, why)) fail_msg("\"%s\" does not say: %s", err.message, why);
    assert_true(ids.count == 1 && ids.ids[0] == 42);
    unlink(path);
    token_ids_free(&ids);
}

static void expect_tokens(const Tokenizer *tokenizer, const char *name, const char *data, size_t size, const char *text,
                          size_t length, bool add_special) {
    TokenIds expected = {0}, got = {0};
    Error err = {0};
    assert_true(tokenizer_encode(tokenizer, text, length, add_special, &expected, &err));
    tokens_of(tokenizer, write_text(name, data, size), SIZE_MAX, &got);
    assert_int_equal(got.count, expected.count);
    assert_prefix(&got, &expected, expected.count);
    token_ids_free(&expected);
    token_ids_free(&got);
}

static void a_nul_does_not_end_a_text(void **state) {
    (void)state;
    Tokenizer *tokenizer = tokenizer_new(0);
    static const char line[] = "{\"text\": \"the\\u0000 rain\"}";
    expect_tokens(tokenizer, "nul.jsonl", line, sizeof line - 1, "the\0 rain", 9, true);
    expect_tokens(tokenizer, "nul.txt", "the\0 rain", 9, "the\0 rain", 9, true);
    tokenizer_free(tokenizer);
}

static void a_text_with_its_own_beginning_gets_no_second(void **state) {
    (void)state;
    Tokenizer *tokenizer = tokenizer_new(1);
    static const char text[] = "<|begin|>the rain", line[] = "{\"text\": \"<|begin|>the rain\"}";
    assert_int_equal(tokenizer_prefix(tokenizer), 1500);
    expect_tokens(tokenizer, "own.txt", text, sizeof text - 1, text, sizeof text - 1, false);
    expect_tokens(tokenizer, "own.jsonl", line, sizeof line - 1, text, sizeof text - 1, false);
    expect_tokens(tokenizer, "other.txt", "the<|begin|>", 12, "the<|begin|>", 12, true);
    tokenizer_free(tokenizer);
}

#define TALK                                                                                               \
    "{\"messages\": [{\"role\": \"system\", \"content\": \"be calm\"}, {\"role\": \"user\", \"content\": " \
    "\"the rain\"}, {\"role\": \"assistant\", \"content\": \"stopped\"}]}\n"

static void conversations_are_transcripts_without_a_template(void **state) {
    (void)state;
    Tokenizer *tokenizer = tokenizer_new(1);
    static const char line[] = TALK, text[] = "be calm\n\nUser: the rain\n\nAssistant: stopped";
    expect_tokens(tokenizer, "talk.jsonl", line, sizeof line - 1, text, sizeof text - 1, true);
    tokenizer_free(tokenizer);
}

// The template brings its own special tokens: none are added to them, and texts on other lines keep theirs.
static void conversations_go_through_the_template(void **state) {
    (void)state;
    Tokenizer *tokenizer = tokenizer_new(1);
    ChatTemplate *chat;
    Error err = {0};
    TokenIds expected = {0}, got = {0};
    static const char source[] = "<|begin|>{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"
                                 "{{ strftime_now('%Y') if add_generation_prompt }}";
    static const char lines[] = TALK "{\"text\": \"the rain\"}", first[] = "<|begin|>system:be calm;user:the rain;"
                                                                           "assistant:stopped;";
    assert_true(chat_template_parse("t", source, sizeof source - 1, &chat, &err));
    assert_true(tokenizer_encode(tokenizer, first, sizeof first - 1, false, &expected, &err));
    assert_true(tokenizer_encode(tokenizer, "the rain", 8, true, &expected, &err));
    const TextForm form = {tokenizer, chat};
    if (!tokens_from_file(&form, write_text("talk.jsonl", lines, sizeof lines - 1), 100, &got, &err))
        fail_msg("%s", err.message);
    assert_prefix(&got, &expected, expected.count);
    expected.count = got.count = 0;
    cJSON *messages = cJSON_Parse("[{\"role\": \"user\", \"content\": \"hi\"}]");
    assert_true(tokenizer_encode(tokenizer, "<|begin|>user:hi;2026", 21, false, &expected, &err));
    assert_true(tokens_of_conversation(&form, messages, true, &got, &err));
    assert_prefix(&got, &expected, expected.count);
    cJSON_Delete(messages);
    token_ids_free(&expected);
    token_ids_free(&got);
    chat_template_free(chat);
    tokenizer_free(tokenizer);
}

// As Gemma's does: the system message goes to the user's, and what else is refused stays refused.
static void a_system_message_that_is_refused_is_the_users(void **state) {
    (void)state;
    Tokenizer *tokenizer = tokenizer_new(1);
    ChatTemplate *chat;
    Error err = {0};
    TokenIds expected = {0}, got = {0};
    static const char source[] = "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}"
                                 "{{ raise_exception('no ' ~ m.role) }}{% endif %}{{ m.content }};{% endfor %}";
    static const char text[] = "be calm\n\nthe rain;stopped;";
    assert_true(chat_template_parse("t", source, sizeof source - 1, &chat, &err));
    const TextForm form = {tokenizer, chat};
    assert_true(tokenizer_encode(tokenizer, text, sizeof text - 1, false, &expected, &err));
    if (!tokens_from_file(&form, write_text("talk.jsonl", TALK, sizeof TALK - 1), 100, &got, &err))
        fail_msg("%s", err.message);
    assert_prefix(&got, &expected, expected.count);
    cJSON *tool = cJSON_Parse("[{\"role\": \"tool\", \"content\": \"x\"}, {\"role\": \"user\", \"content\": \"y\"}]");
    assert_false(tokens_of_conversation(&form, tool, false, &got, &err));
    assert_non_null(strstr(err.message, "no tool"));
    cJSON_Delete(tool);
    token_ids_free(&expected);
    token_ids_free(&got);
    chat_template_free(chat);
    tokenizer_free(tokenizer);
}

// Strict templates refuse others: a system message if any, then user and assistant in turn.
static void check_turns(const cJSON *messages) {
    const cJSON *message;
    int turn = 0;
    cJSON_ArrayForEach(message, messages) {
        const char *role = cJSON_GetStringValue(cJSON_GetObjectItem(message, "role"));
        if (turn == 0 && strcmp(role, "system") == 0) continue;
        assert_string_equal(role, turn++ % 2 ? "assistant" : "user");
    }
    assert_true(!messages || turn > 1);
}

// The texts that ship: every line can be read, each half has every kind, and no sentence stands in both.
static void count_kinds(const char *name, int kinds[5], Text *all) {
    static const char *const known[] = {"prose", "dialogue", "question", "code", "list"};
    char *path = shipped_path(name, NULL), *text;
    size_t size;
    Error err = {0};
    assert_non_null(path);
    if (!file_read(path, 1 << 20, &text, &size, &err)) fail_msg("%s", err.message);
    for (char *line = text, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        cJSON *item = json_parse(line, (size_t)(end - line), &err);
        if (!item) fail_msg("%s", err.message);
        const char *kind = cJSON_GetStringValue(cJSON_GetObjectItem(item, "kind"));
        for (int i = 0; i < 5; i++) kinds[i] += strcmp(kind, known[i]) == 0;
        assert_non_null(cJSON_GetStringValue(cJSON_GetObjectItem(item, "language")));
        assert_true(cJSON_HasObjectItem(item, "text") != cJSON_HasObjectItem(item, "messages"));
        check_turns(cJSON_GetObjectItem(item, "messages"));
        cJSON_Delete(item);
    }
    text_add(all, text, size);
    free(text);
    free(path);
}

static void shipped_texts_are_mixed_and_apart(void **state) {
    (void)state;
    Text halves[2] = {{0}};
    int kinds[2][5] = {{0}};
    count_kinds("texts/calibration.jsonl", kinds[0], &halves[0]);
    count_kinds("texts/evaluation.jsonl", kinds[1], &halves[1]);
    for (int i = 0; i < 10; i++) assert_true(kinds[i / 5][i % 5] >= 3);
    for (size_t at = 0; at + 120 < halves[0].length; at += 60)
        if (memmem(halves[1].data, halves[1].length, halves[0].data + at, 120)) fail_msg("%.120s", halves[0].data + at);
    text_free(&halves[0]);
    text_free(&halves[1]);
}

static void damaged_files_are_refused(void **state) {
    (void)state;
    Tokenizer *tokenizer = tokenizer_new(0);
    assert_refused(tokenizer, "empty.txt", "", 0, "the file is empty");
    assert_refused(tokenizer, "mark.txt", "\xEF\xBB\xBF", 3, "the file is empty");
    assert_refused(tokenizer, "latin.txt", "caf\xE9!", 5, "bytes 0 to 5");
    assert_refused(tokenizer, "empty.jsonl", "\n \n", 3, "the file is empty");
    assert_refused(tokenizer, "textless.jsonl", "{\"text\": \"\"}\n", 13, "no line holds any text");
    assert_refused(tokenizer, "broken.jsonl", "{\"text\": \"a\"}\n{\"text\": \n", 24, "line 2");
    assert_refused(tokenizer, "list.jsonl", "[1]\n", 4, "line 1: is not a JSON object");
    assert_refused(tokenizer, "other.jsonl", "{\"texts\": \"a\"}\n", 15,
                   "line 1: has neither \"text\" nor \"messages\"");
    assert_refused(tokenizer, "number.jsonl", "{\"text\": 3}\n", 12, "line 1");
    static const char nobody[] = "{\"messages\": []}\n", half[] = "{\"messages\": [{\"role\": \"user\"}]}\n",
                      role[] = "{\"messages\": [{\"role\": \"x\", \"content\": \"a\"}]}\n";
    assert_refused(tokenizer, "nobody.jsonl", nobody, sizeof nobody - 1, "line 1: \"messages\" must be a list");
    assert_refused(tokenizer, "role.jsonl", role, sizeof role - 1,
                   "line 1: the role \"x\" is none of system, user, assistant");
    assert_refused(tokenizer, "half.jsonl", half, sizeof half - 1, "line 1: a message needs \"role\" and \"content\"");
    TokenIds ids = {0};
    Error err = {0};
    assert_false(tokens_from_file(&(TextForm){tokenizer, NULL}, nowhere(), 1, &ids, &err));
    assert_non_null(strstr(err.message, "/no-such-folder/file: cannot be opened"));
    assert_false(tokens_from_file(&(TextForm){tokenizer, NULL}, folder, 1, &ids, &err));
    assert_non_null(strstr(err.message, ": cannot be read"));
    tokenizer_free(tokenizer);
}

static void a_byte_order_mark_is_no_text(void **state) {
    (void)state;
    Tokenizer *tokenizer = tokenizer_new(0);
    TokenIds plain = {0}, marked = {0};
    tokens_of(tokenizer, write_text("a.txt", "the rain", 8), 100, &plain);
    tokens_of(tokenizer, write_text("a.txt", "\xEF\xBB\xBFthe rain", 11), 100, &marked);
    assert_prefix(&marked, &plain, plain.count);
    token_ids_free(&plain);
    token_ids_free(&marked);
    tokenizer_free(tokenizer);
}

// Of a text a source and, as its target, how it goes on, with what belongs around both.
static void texts_become_pairs(void **state) {
    (void)state;
    enum { END = 2, START = 3, FIRST = 4, WORDS = 20 }; // letters, and a mark before each word
    Tokenizer *tokenizer;
    Error err = {0};
    ModelConfig config = config_unknown;
    config.pair = (EncoderDecoder){.encoder_layers = 1, .start_token = START, .first_token = FIRST};
    if (!tokenizer_load("tests/fixtures/families/t5", &tokenizer, &err)) fail_msg("%s", err.message);
    TokenIds text = {0}, ids = {0};
    assert_true(tokenizer_encode(tokenizer, "the fox and the hen", 19, true, &text, &err));
    assert_int_equal(text.ids[text.count - 1], END);
    for (size_t i = 0; i < text.count - 1; i++) assert_int_not_equal(text.ids[i], END);
    for (int i = 0; i < 2; i++) assert_true(tokenizer_encode(tokenizer, "the fox and the hen", 19, true, &ids, &err));
    assert_int_equal(text.count, WORDS + 1);
    assert_true(tokens_into_pairs(tokenizer, &config, 12, 30, &ids, &err));
    assert_int_equal(ids.count, 24); // two sequences in 30 tokens
    for (size_t s = 0, at = 0; s < 2; s++) {
        const int32_t *pair = ids.ids + 12 * s;
        for (int i = 0; i < 5; i++) assert_int_equal(pair[i], text.ids[at++ % WORDS]);
        assert_int_equal(pair[5], END);
        assert_int_equal(pair[6], START);
        assert_int_equal(pair[7], FIRST);
        for (int i = 8; i < 12; i++) assert_int_equal(pair[i], text.ids[at++ % WORDS]);
    }
    ids.count = 0; // a short text makes a short sequence
    assert_true(tokenizer_encode(tokenizer, "the fox", 7, true, &ids, &err));
    const size_t few = ids.count - 1;
    assert_true(tokens_into_pairs(tokenizer, &config, 4000, 4000, &ids, &err));
    assert_int_equal(ids.count, few + 3);
    ids.count = 2;
    assert_false(tokens_into_pairs(tokenizer, &config, 4000, 4000, &ids, &err));
    assert_non_null(strstr(err.message, "too few for a source and a target"));
    token_ids_free(&text), token_ids_free(&ids);
    tokenizer_free(tokenizer);
}

// Of lines whole sentences and their translations; each sequence begins with a line of its own.
static void lines_become_pairs(void **state) {
    (void)state;
    enum { END = 2, START = 3, LENGTH = 24 };
    static const char lines[] = "{\"source\": \"the fox\", \"reference\": \"a hen\"}\n\n"
                                "{\"source\": \"and the hen\", \"reference\": \"and a fox\"}\n"
                                "{\"source\": \"a hen and a fox\", \"reference\": \"the fox and the hen\"}\n";
    static const char *const sources[] = {"the fox", "and the hen", "a hen and a fox"};
    static const char *const targets[] = {"a hen", "and a fox", "the fox and the hen"};
    Tokenizer *tokenizer;
    Error err = {0};
    ModelConfig config = config_unknown;
    config.pair = (EncoderDecoder){.encoder_layers = 1, .start_token = START, .first_token = -1};
    if (!tokenizer_load("tests/fixtures/families/t5", &tokenizer, &err)) fail_msg("%s", err.message);
    const TextForm form = {.tokenizer = tokenizer};
    const char *path = write_text("pairs.jsonl", lines, sizeof lines - 1);
    TokenIds ids = {0}, source = {0}, target = {0};
    if (!pairs_from_file(&form, &config, path, LENGTH, 3 * LENGTH, &ids, &err)) fail_msg("%s", err.message);
    assert_int_equal(ids.count, 2 * LENGTH); // the first two lines, and the third
    for (int line = 0, s = 0; s < 2; s++) {
        const int32_t *pair = ids.ids + s * LENGTH;
        source.count = target.count = 0;
        while (line < 3 && (source.count < LENGTH / 2 - 1 || target.count < LENGTH / 2 - 1)) {
            assert_true(tokenizer_encode(tokenizer, sources[line], strlen(sources[line]), true, &source, &err));
            assert_true(tokenizer_encode(tokenizer, targets[line], strlen(targets[line]), true, &target, &err));
            line++;
        }
        assert_true(source.count >= LENGTH / 2 - 1 && target.count >= LENGTH / 2 - 1);
        assert_memory_equal(pair, source.ids, (LENGTH / 2 - 1) * sizeof *pair);
        assert_int_equal(pair[LENGTH / 2 - 1], END);
        assert_int_equal(pair[LENGTH / 2], START);
        assert_memory_equal(pair + LENGTH / 2 + 1, target.ids, (LENGTH / 2 - 1) * sizeof *pair);
    }
    token_ids_free(&ids), token_ids_free(&source), token_ids_free(&target);
    assert_false(pairs_from_file(&form, &config, path, 4000, 4000, &ids, &err));
    assert_non_null(strstr(err.message, "fill no sequence of 4000"));
    path = write_text("half.jsonl", "{\"source\": \"the fox\"}", 21);
    assert_false(pairs_from_file(&form, &config, path, LENGTH, LENGTH, &ids, &err));
    assert_non_null(strstr(err.message, "line 1: has no field \"reference\""));
    token_ids_free(&ids);
    path = write_text("text.jsonl", "{\"text\": \"the fox and the hen and the fox\"}", 43);
    assert_true(pairs_from_file(&form, &config, path, LENGTH, LENGTH, &ids, &err)); // as before
    assert_int_equal(ids.count, LENGTH);
    token_ids_free(&ids);
    tokenizer_free(tokenizer);
}

static void random_tokens_are_uniform(void **state) {
    (void)state;
    TokenIds a = {0}, b = {0};
    Error err = {0};
    assert_true(tokens_random(50, 50000, 9, &a, &err));
    assert_true(tokens_random(50, 50000, 9, &b, &err));
    assert_prefix(&a, &b, 50000);
    int counts[50] = {0};
    for (size_t i = 0; i < a.count; i++) {
        assert_true(a.ids[i] >= 0 && a.ids[i] < 50);
        counts[a.ids[i]]++;
    }
    for (int i = 0; i < 50; i++) assert_true(counts[i] > 850 && counts[i] < 1150); // 1000 ± 5 σ
    assert_false(tokens_random(0, 5, 1, &a, &err));
    token_ids_free(&a);
    token_ids_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_equal_the_whole),
        cmocka_unit_test(blocks_equal_the_whole_in_all_families),
        cmocka_unit_test(tokens_that_reach_across_are_not_cut),
        cmocka_unit_test(endless_words_keep_their_text),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(a_nul_does_not_end_a_text),
        cmocka_unit_test(a_text_with_its_own_beginning_gets_no_second),
        cmocka_unit_test(conversations_are_transcripts_without_a_template),
        cmocka_unit_test(conversations_go_through_the_template),
        cmocka_unit_test(a_system_message_that_is_refused_is_the_users),
        cmocka_unit_test(shipped_texts_are_mixed_and_apart),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(a_byte_order_mark_is_no_text),
        cmocka_unit_test(texts_become_pairs),
        cmocka_unit_test(lines_become_pairs),
        cmocka_unit_test(random_tokens_are_uniform),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
