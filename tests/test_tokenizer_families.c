// Tokenizers configured as those of real model families: ids and decoded text equal to the tokenizers package
// (tools/fixtures/make_tokenizer_families.py); what a model's folder says besides; and parts that no family has.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/in_folder.h"
#include "tests/support/quant_fixtures.h"
#include "tests/support/tokenizer_lines.h"

#define FIXTURES "tests/fixtures/tokenizer/families"
#define SPACE "\xE2\x96\x81"

// -------------------------------------------------------------------------------------------------------- families

static void check_family(const cJSON *family, const cJSON *recipe, const cJSON *shared) {
    Tokenizer *tokenizer = family_tokenizer(cJSON_GetObjectItemCaseSensitive(family, "tokenizer"), shared);
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(family, "hashes");
    Random random = random_seeded(number_of(recipe, "seed"));
    Text text = {0};
    for (int line = 0; line < line_count(recipe); line++) {
        make_line(&random, recipe, &text);
        TokenIds ids = encoded(tokenizer, text.data, text.length, true);
        check_line(family->string, tokenizer, rows, line, &text, &ids);
        token_ids_free(&ids);
    }
    text_free(&text);
    tokenizer_free(tokenizer);
}

static void families(void **state) {
    (void)state;
    cJSON *recipe = fixture_json(FIXTURES "/lines.json"), *shared = fixture_json(FIXTURES "/shared.json");
    cJSON *all = fixture_json(FIXTURES "/families.json"), *family;
    assert_int_equal(cJSON_GetArraySize(all), 18);
    cJSON_ArrayForEach(family, all) check_family(family, recipe, shared);
    cJSON_Delete(all);
    cJSON_Delete(shared);
    cJSON_Delete(recipe);
}

// ----------------------------------------------------------------------------------------------------- what folders
// say

static Tokenizer *load_folder(void) {
    Tokenizer *tokenizer;
    Error err = {0};
    if (!tokenizer_load(folder, &tokenizer, &err)) fail_msg("%s", err.message);
    return tokenizer;
}

static void expect_ids(const Tokenizer *tokenizer, const char *text, const char *want) {
    TokenIds ids = encoded(tokenizer, text, strlen(text), true);
    Text got = {0};
    text_add(&got, "", 0);
    for (size_t i = 0; i < ids.count; i++) text_addf(&got, "%s%d", i ? " " : "", ids.ids[i]);
    assert_string_equal(got.data, want);
    text_free(&got);
    token_ids_free(&ids);
}

static void expect_loaded(const char *text, const char *want) {
    Tokenizer *tokenizer = load_folder();
    expect_ids(tokenizer, text, want);
    tokenizer_free(tokenizer);
}

static void expect_refused(const char *reason) {
    Tokenizer *tokenizer;
    Error err = {0};
    if (tokenizer_load(folder, &tokenizer, &err)) fail_msg("accepted, but expected: %s", reason);
    assert_null(tokenizer);
    if (!strstr(err.message, reason)) fail_msg("expected \"%s\", got \"%s\"", reason, err.message);
}

// Some classes make the template themselves, whatever tokenizer.json has for one.
static void templates(void **state) {
    (void)state;
    static const struct {
        const char *config, *want;
    } cases[] = {
        {"{}", "9 0"}, // tokenizer.json's own
        {"{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"add_bos_token\":false}", "9 0"},
        {"{\"tokenizer_class\":\"LlamaTokenizer\"}", "1 0"},
        {"{\"tokenizer_class\":\"LlamaTokenizerFast\",\"add_bos_token\":false}", "0"},
        {"{\"tokenizer_class\":\"LlamaTokenizerFast\",\"add_eos_token\":true,\"eos_token\":{\"content\":\"<e>\"}}",
         "1 0 4"},
        {"{\"tokenizer_class\":\"LlamaTokenizerFast\",\"bos_token\":null}", "9 0"},
        {"{\"tokenizer_class\":\"GemmaTokenizer\",\"bos_token\":\"<e>\"}", "4 0"},
        {"{\"tokenizer_class\":\"CohereTokenizerFast\",\"bos_token\":\"b\"}", "2 0"},
        {"{\"tokenizer_class\":\"GPTNeoXTokenizer\"}", "0"},
        {"{\"tokenizer_class\":\"GPTNeoXTokenizerFast\",\"add_bos_token\":true,\"bos_token\":\"<e>\"}", "4 0"},
        {"{\"tokenizer_class\":\"GPT2Tokenizer\",\"add_bos_token\":true}", "9 0"},
    };
    folder_put_text(folder, "tokenizer.json",
                    "{\"model\":{\"vocab\":{\"a\":0,\"<s>\":1,\"b\":2},\"merges\":[]},\"added_tokens\":["
                    "{\"content\":\"</s>\"},{\"content\":\"<e>\"}],\"post_processor\":{\"type\":\"TemplateProcessing\","
                    "\"single\":[{\"SpecialToken\":{\"id\":\"x\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{"
                    "\"x\":{\"ids\":[9]}}}}");
    expect_loaded("a", "9 0");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        folder_put_text(folder, "tokenizer_config.json", cases[i].config);
        expect_loaded("a", cases[i].want);
    }
    folder_put_text(folder, "tokenizer_config.json", "{\"tokenizer_class\":\"LlamaTokenizer\",\"bos_token\":\"<q>\"}");
    expect_loaded("a", "5 0"); // behind <e>, as the first of the special tokens that the vocabulary lacks
    folder_put_text(folder, "tokenizer_config.json", "{\"tokenizer_class\":\"LlamaTokenizer\",\"add_bos_token\":1}");
    expect_refused("\"add_bos_token\" must be true or false");
    folder_put_text(folder, "tokenizer_config.json", "{");
    expect_refused("tokenizer_config.json: JSON cannot be read");
    folder_put_text(folder, "tokenizer_config.json", "{\"tokenizer_class\":\"LlamaTokenizer\"}");
    folder_put_text(folder, "special_tokens_map.json", "{\"bos_token\":{\"content\":\"b\"}}");
    expect_loaded("a", "2 0");
}

// GPT-2's files without a tokenizer.json, as OPT has them.
static void vocabulary_and_merges(void **state) {
    (void)state;
    folder_put_text(folder, "vocab.json",
                    "{\"<s>\":0,\"<pad>\":1,\"</s>\":2,\"a\":3,\"b\":4,\"ab\":5,\"\xC4\xA0\":6,\"\xC4\xA0"
                    "ab\":7}");
    expect_refused(TOKENIZER_MISSING);
    folder_put_text(folder, "merges.txt", "#version: 0.2\na b\r\n\xC4\xA0 ab\n\n");
    expect_loaded("ab ab<pad><|endoftext|>", "5 7 3 8"); // only <|endoftext|> is special without a configuration
}

static void opt(void **state) {
    (void)state;
    folder_put_text(folder, "vocab.json",
                    "{\"<s>\":0,\"<pad>\":1,\"</s>\":2,\"a\":3,\"b\":4,\"ab\":5,\"\xC4\xA0\":6,\"\xC4\xA0"
                    "ab\":7}");
    folder_put_text(folder, "merges.txt", "#version: 0.2\na b\n\xC4\xA0 ab");
    folder_put_text(folder, "added_tokens.json", "{\"<late>\":9,\"<early>\":8}");
    folder_put_text(folder, "special_tokens_map.json", "{\"pad_token\":\"<pad>\"}");
    folder_put_text(folder, "tokenizer_config.json",
                    "{\"tokenizer_class\":\"GPT2Tokenizer\",\"add_bos_token\":true,\"bos_token\":{\"__type\":"
                    "\"AddedToken\",\"content\":\"</s>\",\"normalized\":true},\"eos_token\":\"</s>\",\"unk_token\":"
                    "\"</s>\"}");
    Tokenizer *tokenizer = load_folder();
    expect_ids(tokenizer, "ab ab<pad></s><late><early>", "2 5 7 1 2 9 8");
    TokenIds ids = encoded(tokenizer, "ab ab<pad><late>", 16, true);
    Text text = decoded(tokenizer, &ids, true);
    assert_string_equal(text.data, "ab ab<late>");
    text_free(&text);
    token_ids_free(&ids);
    tokenizer_free(tokenizer);
    folder_put_text(folder, "tokenizer_config.json", "{\"tokenizer_class\":\"RobertaTokenizer\"}");
    expect_refused("the tokenizer class \"RobertaTokenizer\" is not supported");
    folder_put_text(folder, "tokenizer_config.json", "{}");
    folder_put_text(folder, "added_tokens.json", "[1");
    expect_refused("added_tokens.json: JSON cannot be read");
    folder_put_text(folder, "vocab.json", "{\"a\":-1}");
    folder_put_text(folder, "added_tokens.json", "{}");
    expect_refused("vocab.json: the id of the token");
}

static void other_tokenizers(void **state) {
    (void)state;
    expect_refused(TOKENIZER_MISSING " (or vocab.json with merges.txt); without it only token ids work");
    folder_put_text(folder, "tokenizer.model", "");
    expect_refused(TOKENIZER_MISSING ", and tokenizer.model is not read; transformers makes one");
    folder_put_text(folder, "vocab.json", "{}"); // Marian's, without merges
    folder_put_text(folder, "source.spm", "");
    expect_refused(TOKENIZER_MISSING
                   ", and source.spm is not read; put a tokenizer.json beside it that has the pieces");
}

// Expected ids: transformers 5.
static void tokens_that_only_other_files_name(void **state) {
    (void)state;
    static const struct {
        const char *config, *map, *added, *want;
    } cases[] = {
        {"{\"added_tokens_decoder\":{\"3\":{\"content\":\"<x>\",\"lstrip\":true,\"rstrip\":true,\"special\":true}}}",
         NULL, NULL, "0 3 1 2 2 0"},
        {"{\"added_tokens_decoder\":{\"9\":{\"content\":\"<z>\"},\"4\":{\"content\":\"<y>\"},\"3\":{\"content\":\"<x>"
         "\"}},\"pad_token\":\"<w>\"}",
         "{\"mask_token\":\"<m>\"}", "{\"<k>\":4}", "0 2 3 2 1 2 4 2 0 5"},
        {"{\"pad_token\":\"<y>\",\"sep_token\":{\"__type\":\"AddedToken\",\"content\":\"<y>\",\"lstrip\":true},\"image_"
         "token\":\"<z>\"}",
         NULL, NULL, "0 2 3 2 1 2 4 2 0 5"},
        {"{\"pad_token\":\"<y>\"}", "{\"pad_token\":\"<z>\"}", NULL, "0 2 3 2 1 2 2 0 4"},
        {"{}", "{\"pad_token\":{\"content\":\"<y>\",\"rstrip\":true}}", "{\"<z>\":7,\"<y>\":5}", "0 2 3 2 1 2 4 2 0 5"},
        {"{\"additional_special_tokens\":[\"<y>\"],\"extra_special_tokens\":[\"<z>\"]}", NULL, NULL,
         "0 2 3 2 1 2 2 0 4"},
        {"{\"additional_special_tokens\":[\"<y>\"],\"extra_special_tokens\":{\"u\":\"<z>\"}}", NULL, NULL,
         "0 2 3 2 1 2 5 2 0 4"},
        {"{\"additional_special_tokens\":[\"<y>\"]}", "{\"additional_special_tokens\":[\"<z>\"]}", NULL,
         "0 2 3 2 1 2 4 2 0"},
        {"{\"unk_token\":\"<y>\",\"pad_token\":{\"__type\":\"AddedToken\",\"content\":\" <y>\",\"normalized\":true},"
         "\"additional_special_tokens\":[{\"__type\":\"AddedToken\",\"content\":\"<y>\"}]}",
         NULL, NULL, "0 2 3 2 1 2 4 2 0"},
        {"{\"bos_token\":null,\"eos_token\":\"a\",\"unk_token\":\"<y>\"}", "{\"unk_token\":\"<y>\"}", NULL,
         "0 2 3 2 1 2 4 2 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        folder_put_text(folder, "tokenizer.json",
                        "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false},"
                        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"\\u0120\":2},\"merges\":[]},"
                        "\"added_tokens\":[{\"id\":3,\"content\":\"<x>\",\"special\":true}]}");
        folder_put_text(folder, "tokenizer_config.json", cases[i].config);
        folder_put_text(folder, "special_tokens_map.json", cases[i].map ? cases[i].map : "{}");
        folder_put_text(folder, "added_tokens.json", cases[i].added ? cases[i].added : "{}");
        expect_loaded("a <x> b <y> a<z>", cases[i].want);
    }
    folder_put_text(folder, "tokenizer_config.json", "{\"pad_token\":5}");
    expect_refused("\"pad_token\": a special token must be a string or an object");
    folder_put_text(folder, "tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{\"content\":\"y\"}}}");
    expect_refused("its keys must be ids");
    folder_put_text(folder, "tokenizer_config.json", "{\"added_tokens_decoder\":[1]}");
    expect_refused("\"added_tokens_decoder\" must be an object");
    folder_put_text(folder, "tokenizer_config.json", "[]");
    expect_refused("tokenizer_config.json: must hold a JSON object");
    folder_put_text(folder, "tokenizer_config.json", "{}");
    folder_put_text(folder, "special_tokens_map.json", "[1]");
    expect_refused("special_tokens_map.json must hold an object");
    folder_put_text(folder, "special_tokens_map.json", "{\"additional_special_tokens\":{\"a\":1},\"x_token\":{}}");
    expect_refused("a special token has no \"content\"");
    folder_put_text(folder, "special_tokens_map.json", "{\"extra_special_tokens\":[[1]]}");
    expect_refused("a special token must be a string or an object");
    folder_put_text(folder, "special_tokens_map.json", "{}");
    folder_put_text(folder, "added_tokens.json", "[1]");
    expect_refused("added_tokens.json must hold an object");
    folder_put_text(folder, "added_tokens.json", "{\"a\":\"b\"}");
    expect_refused("the ids must be numbers");
}

// GPT-2's class and its relatives take it from tokenizer_config.json, where missing means false; others do not.
static void space_before_the_text(void **state) {
    (void)state;
    static const struct {
        const char *here, *config, *want;
    } cases[] = {
        {"true", "{\"tokenizer_class\":\"GPT2Tokenizer\"}", "0"},
        {"false", "{\"tokenizer_class\":\"GPT2TokenizerFast\",\"add_prefix_space\":true}", "2 0"},
        {"true", "{\"tokenizer_class\":\"GPTNeoXTokenizerFast\",\"add_prefix_space\":false}", "0"},
        {"true", "{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"add_prefix_space\":false}", "2 0"},
        {"false", "{\"add_prefix_space\":true}", "0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":%s},"
                 "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"\\u0120\":2},\"merges\":[]}}",
                 cases[i].here);
        folder_put_text(folder, "tokenizer.json", text);
        folder_put_text(folder, "tokenizer_config.json", cases[i].config);
        expect_loaded("a", cases[i].want);
    }
}

// U+0000 is a character like others, wherever it stands.
static void nul_in_all_parts(void **state) {
    (void)state;
    folder_put_text(folder, "tokenizer.json",
                    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["
                    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\\u0000y\"},\"content\":\"z\\u0000\"},"
                    "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\u0000q+\"},\"content\":\"a\"}]},"
                    "\"model\":{\"vocab\":{\"a\":0,\"\\u0000\":1,\"a\\u0000\":2,\"z\":3,\"\\\\u0000\":4},"
                    "\"merges\":[\"a \\u0000\"]},\"added_tokens\":[{\"content\":\"<\\u0000>\"}]}");
    Tokenizer *tokenizer = load_folder();
    static const char text[] = "a\0z\0<\0>x\0y\0qq";
    TokenIds ids = encoded(tokenizer, text, sizeof text - 1, false);
    static const int32_t want[] = {2, 3, 1, 5, 3, 1, 0};
    assert_int_equal(ids.count, sizeof want / sizeof *want);
    assert_memory_equal(ids.ids, want, sizeof want);
    Text back = decoded(tokenizer, &ids, false);
    assert_int_equal(back.length, sizeof "a\0 z \0 <\0> z \0 a" - 1);
    assert_memory_equal(back.data, "a\0 z \0 <\0> z \0 a", back.length);
    text_free(&back);
    token_ids_free(&ids);
    tokenizer_free(tokenizer);
}

// ------------------------------------------------------------------------------------------------------ single parts

static Tokenizer *parsed(const char *format, ...) __attribute__((format(printf, 1, 2)));
static Tokenizer *parsed(const char *format, ...) {
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    Tokenizer *tokenizer;
    Error err = {0};
    if (!tokenizer_parse(text, strlen(text), &tokenizer, &err)) fail_msg("%s: %s", text, err.message);
    return tokenizer;
}

static void unigram(void **state) {
    (void)state;
    // The example of the package's own documentation, then equal scores (the first way wins), and a doubled text.
    Tokenizer *tokenizer = parsed("{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",0],"
                                  "[\"b\",0],[\"c\",0],[\"d\",0],[\"cd\",1],[\"ab\",2],[\"abc\",5],[\"abcd\",10]]}}");
    expect_ids(tokenizer, "abcdacdxx", "8 1 5 0");
    expect_ids(tokenizer, "xaxx<unk>x", "0 1 0");
    tokenizer_free(tokenizer);
    tokenizer = parsed("{\"model\":{\"vocab\":[[\"\",5],[\"a\",-1],[\"aa\",-2],[\"a\",-1.5]]}}");
    assert_int_equal(tokenizer_vocab_size(tokenizer), 4);
    expect_ids(tokenizer, "aaa", "3 2"); // equal sums: the way that was found first
    assert_string_equal(tokenizer_token(tokenizer, 1, NULL), "a");
    TokenIds ids = {0};
    Error err = {0};
    assert_false(tokenizer_encode(tokenizer, "ab", 2, false, &ids, &err));
    assert_non_null(strstr(err.message, "there is no unk_id"));
    token_ids_free(&ids);
    tokenizer_free(tokenizer);
}

// Tokens one by one: bytes need not make characters, and no space is taken off.
static void tokens_alone(void **state) {
    (void)state;
    Tokenizer *tokenizer = parsed(
        "{\"model\":{\"vocab\":{\"" SPACE "a\":0,\"<0xE2>\":1,\"<0x0a>\":2,\"<0x+A>\":3,\"<0xG0>\":4},\"merges\":[]},"
        "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" SPACE "\"},"
        "\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \","
        "\"start\":1,\"stop\":0}]}}");
    static const char *const want[] = {" a", "\xE2", "\n", "\n", "<0xG0>"};
    for (int32_t i = 0; i < 5; i++) assert_string_equal(tokenizer_token(tokenizer, i, NULL), want[i]);
    TokenIds ids = {.ids = (int32_t[]){0, 0, 1, 1, 2, 4}, .count = 6};
    Text text = decoded(tokenizer, &ids, false);
    assert_string_equal(text.data, "a a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD<0xG0>"); // one mark for each byte of a run
    text_free(&text);
    ids = (TokenIds){.ids = (int32_t[]){0, 2}, .count = 2};
    text = decoded(tokenizer, &ids, false);
    assert_string_equal(text.data, "a\n");
    text_free(&text);
    ids.count = 0;
    text = decoded(tokenizer, &ids, false);
    assert_string_equal(text.data, "");
    text_free(&text);
    tokenizer_free(tokenizer);
}

// "First" is where the original text begins, not where what is left of it does.
static void first_piece(void **state) {
    (void)state;
#define FIRST                                                                                                \
    "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"" SPACE "\",\"prepend_scheme\":\"first\"}," \
    "\"model\":{\"vocab\":{\"" SPACE                                                                         \
    "\":0,\"a\":1,\" \":2,\"b\":3},\"merges\":[]},\"added_tokens\":[{\"content\":\"<s>\"}]"
    Tokenizer *tokenizer = parsed("{" FIRST "}");
    expect_ids(tokenizer, "a a", "0 1 0 1");
    expect_ids(tokenizer, "a<s>a", "0 1 4 1");
    expect_ids(tokenizer, "<s>a", "4 1");
    expect_ids(tokenizer, "", "");
    tokenizer_free(tokenizer);
    tokenizer = parsed("{\"normalizer\":{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}," FIRST "}");
    expect_ids(tokenizer, "a ", "0 1");
    expect_ids(tokenizer, " a ", "1");
    expect_ids(tokenizer, "  ", "");
    tokenizer_free(tokenizer);
    tokenizer =
        parsed("{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"b+\"},\"content\":\"a\"}," FIRST "}");
    expect_ids(tokenizer, "b", "0 1");
    expect_ids(tokenizer, "bb", "1");
    tokenizer_free(tokenizer);
}

// Parts that each double the text must not take all memory.
static void growing(void **state) {
    (void)state;
    Text text = {0};
    text_addf(&text,
              "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    for (int i = 0; i < 64; i++)
        text_addf(&text, "%s{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aa\"}", i ? "," : "");
    text_addf(&text, "]}}");
    Tokenizer *tokenizer;
    TokenIds ids = {0};
    Error err = {0};
    assert_true(tokenizer_parse(text.data, text.length, &tokenizer, &err));
    assert_false(tokenizer_encode(tokenizer, "aaaa", 4, false, &ids, &err));
    assert_non_null(strstr(err.message, "makes a text 64 times longer"));
    token_ids_free(&ids);
    tokenizer_free(tokenizer);
    text_free(&text);
    tokenizer = parsed("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"decoder\":{\"type\":\"Replace\",\"pattern\":{"
                       "\"String\":\"\"},\"content\":\"aa\"}}");
    assert_string_equal(tokenizer_token(tokenizer, 0, NULL), "aaaaa");
    tokenizer_free(tokenizer);
}

static void nested(void **state) {
    (void)state;
    static const char *const parts[][2] = {{"normalizer", "normalizers"},
                                           {"pre_tokenizer", "pretokenizers"},
                                           {"decoder", "decoders"},
                                           {"post_processor", "processors"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        Text text = {0};
        text_addf(&text, "{\"model\":{\"vocab\":{},\"merges\":[]},\"%s\":", parts[i][0]);
        for (int k = 0; k < 20; k++) text_addf(&text, "{\"type\":\"Sequence\",\"%s\":[", parts[i][1]);
        for (int k = 0; k < 20; k++) text_addf(&text, "]}");
        text_addf(&text, "}");
        Tokenizer *tokenizer;
        Error err = {0};
        assert_false(tokenizer_parse(text.data, text.length, &tokenizer, &err));
        assert_non_null(strstr(err.message, "nested too deep"));
        text_free(&text);
    }
}

// A trie whose way leads out of it, or to replacements that are not there, replaces nothing.
static void damaged_charsmap(void **state) {
    (void)state;
    Random random = random_seeded(3);
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int round = 0; round < 300; round++) {
        char base64[4 * 90 + 1] = "AAEA"; // 256 bytes of trie
        for (size_t i = 4; i < sizeof base64 - 1; i++) {
            bool replacement = i >= (4 + 256) / 3 * 4; // ASCII, so that it is UTF-8
            base64[i] = replacement ? "YWJj"[i % 4] : digits[random_below(&random, 64)];
        }
        memcpy(base64 + 4, "AA", 2);
        Tokenizer *tokenizer;
        Error err = {0};
        char text[1024];
        int n = snprintf(text, sizeof text,
                         "{\"model\":{\"vocab\":{\"a\":0,\"<unk>\":1},\"unk_token\":\"<unk>\",\"merges\":[]},"
                         "\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"%s\"}}",
                         base64);
        if (!tokenizer_parse(text, (size_t)n, &tokenizer, &err)) {
            assert_non_null(strstr(err.message, "UTF-8"));
            continue;
        }
        for (int byte = 1; byte < 128; byte++) {
            TokenIds ids = encoded(tokenizer, (char[]){(char)byte, 'a', (char)byte}, 3, false);
            token_ids_free(&ids);
        }
        tokenizer_free(tokenizer);
    }
}

// cJSON ends a text at NUL: "a\0" must not become "a".
static void nul(void **state) {
    (void)state;
    Tokenizer *tokenizer = parsed("{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0,\"a\\u0000\":1,\"<unk>\":2,"
                                  "\"\\\\u0000\":3}}}");
    expect_ids(tokenizer, "a", "0");
    expect_ids(tokenizer, "\\u0000", "3");
    tokenizer_free(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families),         IN_FOLDER(templates),
        IN_FOLDER(vocabulary_and_merges),   IN_FOLDER(opt),
        IN_FOLDER(other_tokenizers),        IN_FOLDER(tokens_that_only_other_files_name),
        IN_FOLDER(space_before_the_text),   IN_FOLDER(nul_in_all_parts),
        cmocka_unit_test(unigram),          cmocka_unit_test(tokens_alone),
        cmocka_unit_test(first_piece),      cmocka_unit_test(growing),
        cmocka_unit_test(nested),           cmocka_unit_test(nul),
        cmocka_unit_test(damaged_charsmap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
