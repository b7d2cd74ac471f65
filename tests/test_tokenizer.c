// tokenizer.json: ids and decoded text equal to the tokenizers package, for three small tokenizers and 12,000 generated
// lines (tools/fixtures/make_tokenizer.py); and what is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loaders/tokenizer/tokenizer.h"
#include "tests/support/in_folder.h"
#include "tests/support/quant_fixtures.h"
#include "tests/support/tokenizer_lines.h"

#define FIXTURES "tests/fixtures/tokenizer"

static Tokenizer *loaded(const char *path) {
    Tokenizer *tokenizer;
    Error err = {0};
    if (!tokenizer_load(path, &tokenizer, &err)) fail_msg("%s", err.message);
    return tokenizer;
}

// ------------------------------------------------------------------------------------------------------- generated
// lines

static void check_first(const char *name, const cJSON *want, int line, const Text *text, const TokenIds *ids) {
    bool same = (size_t)cJSON_GetArraySize(want) == ids->count;
    for (int i = 0; same && i < (int)ids->count; i++) same = cJSON_GetArrayItem(want, i)->valueint == ids->ids[i];
    if (!same) fail_line(name, line, text, ids);
}

// Whether plain text comes back from its ids: with no normalizer and no added tokens that take spaces it must.
static void check_round_trip(const Tokenizer *tokenizer, const Text *text) {
    TokenIds ids = encoded(tokenizer, text->data, text->length, false);
    Text back = decoded(tokenizer, &ids, false);
    assert_int_equal(back.length, text->length);
    assert_memory_equal(back.data, text->data, text->length);
    text_free(&back);
    token_ids_free(&ids);
}

static void compare_lines(const char *name, bool round_trip) {
    char path[128];
    cJSON *recipe = fixture_json(FIXTURES "/lines.json");
    snprintf(path, sizeof path, FIXTURES "/%s/expected.json", name);
    cJSON *expected = fixture_json(path);
    const cJSON *first = cJSON_GetObjectItemCaseSensitive(expected, "first"),
                *rows = cJSON_GetObjectItemCaseSensitive(expected, "hashes");
    snprintf(path, sizeof path, FIXTURES "/%s", name);
    Tokenizer *tokenizer = loaded(path);
    Random random = random_seeded(number_of(recipe, "seed"));
    int lines = line_count(recipe);
    Text text = {0};
    for (int line = 0; line < lines; line++) {
        make_line(&random, recipe, &text);
        TokenIds ids = encoded(tokenizer, text.data, text.length, true);
        if (line < cJSON_GetArraySize(first)) check_first(name, cJSON_GetArrayItem(first, line), line, &text, &ids);
        check_line(name, tokenizer, rows, line, &text, &ids);
        if (round_trip) check_round_trip(tokenizer, &text);
        token_ids_free(&ids);
    }
    text_free(&text);
    tokenizer_free(tokenizer);
    cJSON_Delete(recipe);
    cJSON_Delete(expected);
}

static void gpt2(void **state) {
    (void)state;
    compare_lines("gpt2", true);
}

static void llama3(void **state) {
    (void)state;
    compare_lines("llama3", false);
}

static void normalized(void **state) {
    (void)state;
    compare_lines("normalized", false);
}

// -------------------------------------------------------------------------------------------------------- small
// documents

// A byte-level BPE of a, b, c, ab, abc with further members; NULL members: none.
static char *put(const char *members, const char *model_members) {
    Text text = {0};
    text_addf(&text,
              "{%s%s\"model\":{\"type\":\"BPE\"%s%s,\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"abc\":4,\"\xC4\xA0\":"
              "5},\"merges\":[\"a b\",[\"ab\",\"c\"]]}}",
              members ? members : "", members ? "," : "", model_members ? "," : "", model_members ? model_members : "");
    folder_put_text(folder, "tokenizer.json", text.data);
    text_free(&text);
    return folder;
}

static void expect_ids(const Tokenizer *tokenizer, const char *text, bool add_special, const char *want) {
    TokenIds ids = encoded(tokenizer, text, strlen(text), add_special);
    Text got = {0};
    text_add(&got, "", 0);
    for (size_t i = 0; i < ids.count; i++) text_addf(&got, "%s%d", i ? " " : "", ids.ids[i]);
    assert_string_equal(got.data, want);
    text_free(&got);
    token_ids_free(&ids);
}

static void merging(void **state) {
    (void)state;
    Tokenizer *tokenizer = loaded(put("\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}", NULL));
    assert_int_equal(tokenizer_vocab_size(tokenizer), 6);
    expect_ids(tokenizer, "", true, "");
    expect_ids(tokenizer, "abcab", true, "4 3");
    expect_ids(tokenizer, "aabbcc abc", true, "0 3 1 2 2 5 4");
    expect_ids(tokenizer, "xay", true, "0"); // unknown bytes without unk_token are dropped
    assert_string_equal(tokenizer_token(tokenizer, 4, NULL), "abc");
    assert_string_equal(tokenizer_token(tokenizer, -1, NULL), "");
    assert_string_equal(tokenizer_token(tokenizer, 6, NULL), "");
    tokenizer_free(tokenizer);
}

// A megabyte without a place to cut: merging must not be quadratic, and the pattern must not run out of stack.
static void long_words(void **state) {
    (void)state;
    Tokenizer *tokenizer = loaded(put(
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":\"ByteLevel\"}",
        NULL));
    size_t length = 1 << 20;
    char *text = malloc(length);
    for (size_t i = 0; i < length; i++) text[i] = "abc"[i % 3];
    TokenIds ids = encoded(tokenizer, text, length, true);
    assert_int_equal(ids.count, length / 3 + 1);
    token_ids_free(&ids);
    memset(text, ' ', length);
    ids = encoded(tokenizer, text, length, true);
    assert_int_equal(ids.count, length);
    token_ids_free(&ids);
    free(text);
    tokenizer_free(tokenizer);
}

static void special_tokens(void **state) {
    (void)state;
    Tokenizer *tokenizer = loaded(put(
        "\"added_tokens\":[{\"id\":6,\"content\":\"<s>\",\"special\":true},{\"id\":7,\"content\":\"<s>a\","
        "\"normalized\":"
        "false},"
        "{\"id\":8,\"content\":\"<e>\",\"special\":true,\"lstrip\":true,\"rstrip\":true}],"
        "\"decoder\":{\"type\":\"ByteLevel\"},\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
        "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":"
        "\"TemplateProcessing\","
        "\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{"
        "\"SpecialToken\":{\"id\":\"<e>\",\"type_id\":0}}],"
        "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[6],\"tokens\":[\"<s>\"]},\"<e>\":{\"id\":\"<e>\",\"ids\":"
        "[8,6],\"tokens\":[\"<e>\",\"<s>\"]}}}]}",
        NULL));
    assert_int_equal(tokenizer_vocab_size(tokenizer), 9);
    expect_ids(tokenizer, "ab", true, "6 3 8 6");
    expect_ids(tokenizer, "", true, "6 8 6");
    expect_ids(tokenizer, "a<s>b<s>a", false, "0 6 1 7"); // the longest wins
    expect_ids(tokenizer, "a \t<e>\xC2\xA0 b", false, "0 8 1");
    TokenIds ids = encoded(tokenizer, "a<s>b<s>a", 9, false);
    Text text = decoded(tokenizer, &ids, false);
    assert_string_equal(text.data, "a<s>b<s>a");
    text_free(&text);
    text = decoded(tokenizer, &ids, true);
    assert_string_equal(text.data, "ab<s>a");
    text_free(&text);
    token_ids_free(&ids);
    tokenizer_free(tokenizer);
}

static void broken_bytes(void **state) {
    (void)state;
    Tokenizer *tokenizer = loaded(FIXTURES "/gpt2");
    static const struct {
        const char *bytes, *want;
    } cases[] = {
        {"\xC3", "\xEF\xBF\xBD"},
        {"a\xE2\x82z", "a\xEF\xBF\xBDz"}, // one mark for the beginning of a character
        {"\xE2\x28\xA1", "\xEF\xBF\xBD(\xEF\xBF\xBD"},
        {"\xF0\x9F\x98", "\xEF\xBF\xBD"},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, // a surrogate is three broken bytes
        {"\xF0\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF4\x90", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xC3\xA9", "\xC3\xA9"},
    };
    int32_t by_byte[256] = {0};
    for (int32_t id = (int32_t)tokenizer_vocab_size(tokenizer) - 1; id >= 0; id--) {
        const char *token = tokenizer_token(tokenizer, id, NULL);
        if (token[0] && !token[1]) by_byte[(unsigned char)token[0]] = id;
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TokenIds ids = {0};
        int32_t list[8];
        ids.ids = list;
        for (const char *p = cases[i].bytes; *p; p++) list[ids.count++] = by_byte[(unsigned char)*p];
        Text text = decoded(tokenizer, &ids, false);
        assert_string_equal(text.data, cases[i].want);
        text_free(&text);
    }
    TokenIds unknown = {.ids = (int32_t[]){-1, 1 << 30, by_byte['a'], INT32_MAX}, .count = 4};
    Text text = decoded(tokenizer, &unknown, false);
    assert_string_equal(text.data, "a");
    text_free(&text);
    TokenIds ids = {0};
    Error err = {0};
    assert_false(tokenizer_encode(tokenizer, "a\xff", 2, true, &ids, &err));
    assert_non_null(strstr(err.message, "not UTF-8"));
    token_ids_free(&ids);
    tokenizer_free(tokenizer);
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *members, *model, *reason;
    } wrong[] = {
        {"\"normalizer\":{\"type\":\"BertNormalizer\"}", NULL,
         "the normalizer \"BertNormalizer\" is not supported; supported: Sequence, NFC"},
        {"\"normalizer\":{\"type\":\"Replace\",\"pattern\":{},\"content\":\"\"}", NULL,
         "\"pattern\" of Replace must be a Regex or a String"},
        {"\"normalizer\":{\"type\":\"Precompiled\"}", NULL, "the charsmap of Precompiled is damaged"},
        {"\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAA\"}", NULL, "is not base64"},
        {"\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"A=AA\"}", NULL, "is not base64"},
        {"\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"/////wAAAAA=\"}", NULL, "damaged"},
        {"\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAAAAD/\"}", NULL, "not UTF-8"},
        {"\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Odd\"}]}", NULL, "the normalizer \"Odd\""},
        {"\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}", NULL, "the pre-tokenizer \"UnicodeScripts\""},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}", NULL, "must be one character"},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"prepend_scheme\":\"last\"}", NULL,
         "prepend_scheme of Metaspace \"last\""},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"add_prefix_space\":false,\"prepend_scheme\":\"first\"}", NULL,
         "contradict"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}", NULL,
         "cannot be compiled"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Odd\"}", NULL,
         "\"Odd\" is not supported"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{},\"behavior\":\"Isolated\"}", NULL,
         "must be a Regex or a String"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{N}{1,3}+\"},\"behavior\":\"Isolated\"}",
         NULL, "{n,m}+"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a&&b]\"},\"behavior\":\"Isolated\"}", NULL,
         "intersection"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a[^b]]\"},\"behavior\":\"Isolated\"}", NULL,
         "negated class inside"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\h\"},\"behavior\":\"Isolated\"}", NULL,
         "\\h"},
        {"\"post_processor\":{\"type\":\"Odd\"}", NULL, "the post-processor \"Odd\""},
        {"\"post_processor\":{\"type\":\"BertProcessing\"}", NULL, "an id of the special token"},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}],\"special_"
         "tokens\":{}}",
         NULL, "special token \"x\""},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[],\"special_tokens\":{}}", NULL,
         "the text once"},
        {"\"decoder\":{\"type\":\"WordPiece\"}", NULL, "the decoder \"WordPiece\""},
        {"\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"CTC\"}]}", NULL, "the decoder \"CTC\""},
        {"\"decoder\":{\"type\":\"Strip\",\"content\":\"\"}", NULL, "must be one character"},
        {"\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":1e99}", NULL, "\"start\" must be a whole number"},
        {"\"added_tokens\":{}", NULL, "must be an array"},
        {"\"added_tokens\":[{\"id\":1}]", NULL, "no \"content\""},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Tokenizer *tokenizer;
        Error err = {0};
        if (tokenizer_load(put(wrong[i].members, wrong[i].model), &tokenizer, &err))
            fail_msg("accepted, but expected: %s", wrong[i].reason);
        assert_null(tokenizer);
        if (!strstr(err.message, wrong[i].reason))
            fail_msg("expected \"%s\", got \"%s\"", wrong[i].reason, err.message);
        assert_non_null(strstr(err.message, "tokenizer.json"));
    }
}

static void refused_models(void **state) {
    (void)state;
    static const struct {
        const char *text, *reason;
    } wrong[] = {
        {"", "JSON cannot be read"},
        {"[]", "must hold a JSON object"},
        {"{}", "\"model\" is missing"},
        {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":[]}}",
         "the tokenizer model \"WordPiece\" is not supported; supported: BPE, Unigram, WordLevel"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":{}}}", "must be an array"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", "token 0 of \"vocab\" must be a text and a score"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0],[\"b\",1e999]]}}", "token 1 of \"vocab\""},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]],\"unk_id\":1}}", "the vocabulary has 1 tokens"},
        {"{\"model\":{\"type\":\"WordLevel\",\"vocab\":[]}}", "must be an object"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"continuing_subword_prefix\":\"##\",\"merges\":[\"a a\"]}}",
         "lacks the subword prefix"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":[],\"merges\":[]}}", "\"vocab\" must be an object"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "id of the token \"a\""},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1e9},\"merges\":[]}}", "id of the token \"a\""},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0.5},\"merges\":[]}}", "id of the token \"a\""},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"aa\"]}}", "merge 0 must be two parts"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", "merge 0 must be a pair"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a \\u001b\"]}}",
         "merge 0: \"\xEF\xBF\xBD\" is not in the vocabulary"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}}", "merge 0: \"aa\" is not in the vocabulary"},
    };
    Tokenizer *tokenizer;
    Error err = {0};
    assert_false(tokenizer_load(folder, &tokenizer, &err));
    assert_non_null(strstr(err.message, TOKENIZER_MISSING));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        folder_put_text(folder, "tokenizer.json", wrong[i].text);
        if (tokenizer_load(folder, &tokenizer, &err)) fail_msg("accepted, but expected: %s", wrong[i].reason);
        if (!strstr(err.message, wrong[i].reason))
            fail_msg("expected \"%s\", got \"%s\"", wrong[i].reason, err.message);
    }
    // A tokenizer without any tokens is odd, but no reason to fail.
    folder_put_text(folder, "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}");
    tokenizer = loaded(folder);
    expect_ids(tokenizer, "abc", true, "");
    tokenizer_free(tokenizer);
    tokenizer_free(NULL);
}

static void unknown_characters(void **state) {
    (void)state;
    Tokenizer *tokenizer = loaded(put(NULL, "\"unk_token\":\"c\""));
    expect_ids(tokenizer, "axyb", false, "0 2 2 1");
    tokenizer_free(tokenizer);
    tokenizer = loaded(put(NULL, "\"unk_token\":\"c\",\"fuse_unk\":true"));
    expect_ids(tokenizer, "axyb", false, "0 2 1");
    tokenizer_free(tokenizer);
    tokenizer = loaded(put(NULL, "\"unk_token\":\"missing\""));
    expect_ids(tokenizer, "ab", false, "3");
    TokenIds ids = {0};
    Error err = {0};
    assert_false(tokenizer_encode(tokenizer, "x", 1, false, &ids, &err));
    assert_non_null(strstr(err.message, "unk_token is not in the vocabulary"));
    token_ids_free(&ids);
    tokenizer_free(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2),    cmocka_unit_test(llama3),      cmocka_unit_test(normalized),   IN_FOLDER(merging),
        IN_FOLDER(long_words),     IN_FOLDER(special_tokens),     cmocka_unit_test(broken_bytes), IN_FOLDER(refused),
        IN_FOLDER(refused_models), IN_FOLDER(unknown_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
