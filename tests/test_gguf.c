// GGUF: bytes equal to those of the gguf package (tools/fixtures/make_gguf.py), names, what the file says of a model
// and of its tokenizer as another reader finds it, and what the format cannot hold.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "export/export.h"
#include "export/gguf_blocks.h"
#include "export/gguf_can_run.h"
#include "export/gguf_keys.h"
#include "export/gguf_tokenizer.h"
#include "export/random_checkpoint.h"
#include "quant/quantize.h"
#include "tests/support/fixture_model.h"
#include "tests/support/gguf_reader.h"
#include "tests/support/in_folder.h"
#include "tests/support/quant_fixtures.h"
#include "tests/support/tiny_experts.h"
#include "tests/support/tokenizer_lines.h"

#define FIXTURES "tests/fixtures/gguf"
#define FAMILIES "tests/fixtures/families"

// ---- Bytes ----

enum { ROWS = 6, COLUMNS = 128, GROUP = 64 };

static QuantizedWeight sample_weight(const TensorFile *file, const char *type, Grid grid, int bits) {
    QuantizedWeight w;
    char name[32];
    size_t count;
    assert_true(quantized_weight_on_grid(grid, ROWS, COLUMNS, GROUP, bits, DTYPE_F16, &w, NULL));
    snprintf(name, sizeof name, "%s.codes", type);
    memcpy(w.codes, fixture_tensor(file, name)->data, (size_t)ROWS * COLUMNS);
    float *scales = fixture_floats(file, "scales", &count);
    memcpy(w.scales, scales, count * sizeof *scales);
    free(scales);
    snprintf(name, sizeof name, "%s.zeros", type);
    if (w.zeros) memcpy(w.zeros, fixture_tensor(file, name)->data, count);
    return w;
}

static const struct {
    const char *name;
    GgufType type;
    Grid grid;
    int bits;
} kinds[] = {
    {"q4_0", GGUF_Q4_0, GRID_SYMMETRIC, 4},
    {"q8_0", GGUF_Q8_0, GRID_SYMMETRIC, 8},
    {"q4_1", GGUF_Q4_1, GRID_ASYMMETRIC, 4},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

// The file that the package wrote, written again from what is in it.
static void the_same_file_as_the_package(void **state) {
    (void)state;
    static const uint64_t small[] = {3, 5}, large[] = {ROWS, COLUMNS};
    TensorFile file = fixture_tensors(FIXTURES "/vectors.safetensors");
    GgufHead head = {.prefix = "llama"};
    gguf_key_string(&head, "general.architecture", "llama");
    gguf_key_u32(&head, ".block_count", 2);
    gguf_key_f32(&head, ".attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_key_bool(&head, "tokenizer.ggml.add_bos_token", true);
    gguf_key_string(&head, "general.name", "ein Bär");
    gguf_key_list(&head, "tokenizer.ggml.tokens", GGUF_ITEMS_STRING, 3);
    gguf_item_string(&head, "a", 1);
    gguf_item_string(&head, "", 0);
    gguf_item_string(&head, "Ġb", 3);
    gguf_key_list(&head, "tokenizer.ggml.token_type", GGUF_ITEMS_I32, 3);
    for (int i = 1; i <= 5; i += 2) gguf_item_i32(&head, i);
    gguf_key_list(&head, "tokenizer.ggml.scores", GGUF_ITEMS_F32, 3);
    for (int i = 0; i < 3; i++) gguf_item_f32(&head, (float[]){0.5f, -1, 0}[i]);
    gguf_key_list(&head, ".attention.sliding_window_pattern", GGUF_ITEMS_BOOL, 2);
    gguf_item_bool(&head, true);
    gguf_item_bool(&head, false);
    gguf_head_add(&head, "f32", GGUF_F32, 2, small);
    gguf_head_add(&head, "f16", GGUF_F16, 2, small);
    gguf_head_add(&head, "bf16", GGUF_BF16, 2, small);
    uint64_t at[KINDS];
    for (int k = 0; k < KINDS; k++) at[k] = gguf_head_add(&head, kinds[k].name, kinds[k].type, 2, large);
    assert_true(gguf_head_end(&head, NULL));

    char *wanted;
    size_t size;
    assert_true(file_read(FIXTURES "/sample.gguf", 1 << 20, &wanted, &size, NULL));
    assert_int_equal(size, head.text.length + head.data_bytes);
    assert_memory_equal(wanted, head.text.data, head.text.length);
    for (int k = 0; k < KINDS; k++) {
        QuantizedWeight w = sample_weight(&file, kinds[k].name, kinds[k].grid, kinds[k].bits);
        uint8_t *bytes = calloc(ROWS, gguf_bytes(kinds[k].type, COLUMNS));
        gguf_pack(&w, kinds[k].type, 0, 0, ROWS, bytes);
        assert_memory_equal(wanted + head.text.length + at[k], bytes, ROWS * gguf_bytes(kinds[k].type, COLUMNS));
        free(bytes);
        quantized_weight_free(&w);
    }
    free(wanted);
    gguf_head_free(&head);
    tensor_file_close(&file);
}

// What the package reads is what the codes stand for; with a minimum in F16, nearly.
static void the_package_reads_the_same_numbers(void **state) {
    (void)state;
    TensorFile file = fixture_tensors(FIXTURES "/vectors.safetensors");
    for (int k = 0; k < KINDS; k++) {
        char name[32];
        size_t count;
        QuantizedWeight w = sample_weight(&file, kinds[k].name, kinds[k].grid, kinds[k].bits);
        float *values = calloc((size_t)ROWS * COLUMNS, sizeof *values);
        snprintf(name, sizeof name, "%s.values", kinds[k].name);
        float *wanted = fixture_floats(&file, name, &count);
        dequantize(&w, values);
        const double most = kinds[k].type == GGUF_Q4_1 ? 0x1p-11 * 15 * 0x1p-4 : 0;
        for (size_t i = 0; i < count; i++) assert_true(fabs((double)values[i] - (double)wanted[i]) <= most);
        free(wanted);
        free(values);
        quantized_weight_free(&w);
    }
    tensor_file_close(&file);
}

// [heads, 2, half] → [heads, half, 2].
static void rows_of_a_head_are_paired(void **state) {
    (void)state;
    static const size_t wanted[] = {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11};
    for (size_t row = 0; row < 12; row++) {
        assert_int_equal(gguf_source_row(row, 6), wanted[row]);
        assert_int_equal(gguf_source_row(row, 0), row);
    }
}

// Pieces of a matrix are the same bytes as all of it.
static void pieces_are_packed_alike(void **state) {
    (void)state;
    TensorFile file = fixture_tensors(FIXTURES "/vectors.safetensors");
    QuantizedWeight w = sample_weight(&file, "q8_0", GRID_SYMMETRIC, 8);
    const size_t row = gguf_bytes(GGUF_Q8_0, COLUMNS);
    uint8_t whole[ROWS * 136], piece[2 * 136];
    assert_int_equal(row, 136);
    gguf_pack(&w, GGUF_Q8_0, ROWS, 0, ROWS, whole);
    gguf_pack(&w, GGUF_Q8_0, ROWS, 2, 2, piece);
    assert_memory_equal(piece, whole + 2 * row, sizeof piece);
    assert_memory_equal(whole + row + 2, w.codes + 3 * COLUMNS, 32); // row 1 was row 3 of the head
    quantized_weight_free(&w);
    tensor_file_close(&file);
}

// ---- What can be held ----

static void what_cannot_be_held_is_said(void **state) {
    (void)state;
    const Tensor weight = {.name = "x.weight", .dtype = DTYPE_BF16, .rank = 2, .shape = {8, 96}};
    char x[] = "x", thin[] = "narrow", gate[] = "gate";
    const Linear linear = {.name = x, .out = 8, .in = 96, .weight = &weight};
    const Linear narrow = {.name = thin, .out = 8, .in = 48, .weight = &weight};
    const Linear router = {.name = gate, .out = 8, .in = 96, .weight = &weight, .role = ROLE_ROUTER};
    static const struct {
        Decision decision;
        GgufType type;
        const char *refused;
    } cases[] = {
        {{.quantized = false, .bits = 3}, GGUF_BF16, NULL},
        {{.quantized = true, .bits = 4, .group = 32}, GGUF_Q4_0, NULL},
        {{.quantized = true, .bits = 4, .group = 64}, GGUF_Q4_0, NULL}, // the last group is half as long
        {{.quantized = true, .bits = 8, .group = 96}, GGUF_Q8_0, NULL},
        {{.quantized = true, .bits = 4, .group = 96, .grid = GRID_ASYMMETRIC}, GGUF_Q4_1, NULL},
        {{.quantized = true, .bits = 3, .group = 32},
         0,
         "x: GGUF cannot hold 3 bits on the symmetric grid; set its bits"},
        {{.quantized = true, .bits = 8, .group = 32, .grid = GRID_ASYMMETRIC}, 0, "8 bits on the asymmetric grid"},
        {{.quantized = true, .bits = 4, .group = 32, .grid = GRID_LOG2}, 0, "4 bits on the log2 grid"},
        {{.quantized = true, .bits = 4, .group = 32, .grid = GRID_TWO_LEVEL}, 0, "4 bits on the two-level grid"},
        {{.quantized = true, .bits = 4, .group = 16}, 0, "groups of 16 weights in blocks of 32; set its group size"},
    };
    Error err;
    GgufType type;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err = (Error){0};
        const bool held = gguf_can_hold(&linear, &cases[i].decision, &type, &err);
        if (held != !cases[i].refused) fail_msg("case %zu: %s", i, err.message);
        if (held)
            assert_int_equal(type, cases[i].type);
        else if (!strstr(err.message, cases[i].refused))
            fail_msg("case %zu: %s", i, err.message);
    }
    const Decision four = {.quantized = true, .bits = 4, .group = 32};
    assert_false(gguf_can_hold(&narrow, &four, &type, &err));
    assert_string_equal(err.message,
                        "narrow: GGUF cannot hold rows of 48 weights in blocks of 32; leave it out with \"ignore\"");
    assert_false(gguf_can_hold(&router, &four, &type, &err));
}

static void scales_that_f16_cannot_hold_are_said(void **state) {
    (void)state;
    QuantizedWeight w;
    GgufScales scales = {0};
    char note[256];
    assert_true(quantized_weight_new(2, 64, 32, 4, DTYPE_F32, &w, NULL));
    for (int i = 0; i < 4; i++) w.scales[i] = 0.5f;
    gguf_count_scales(&w, &scales);
    gguf_scales_note(&scales, note, sizeof note);
    assert_string_equal(note, "");
    w.scales[1] = 3e-8f; // the smallest of F16 is 6e-8
    w.scales[2] = 1e6f;
    gguf_count_scales(&w, &scales);
    assert_int_equal(scales.all, 8);
    assert_int_equal(scales.changed, 2);
    gguf_scales_note(&scales, note, sizeof note);
    assert_non_null(strstr(note, "of 8 scales are rounded to F16"));
    uint8_t bytes[2 * 36];
    gguf_pack(&w, GGUF_Q4_0, 0, 0, 2, bytes);
    assert_int_equal(bytes[36] | bytes[37] << 8, 0x7BFF); // the largest, not infinity
    quantized_weight_free(&w);
}

// ---- Names ----

static const char *wanted_name(const cJSON *names, const char *tensor, const char *ending) {
    char name[128];
    snprintf(name, sizeof name, "%s%s", tensor, ending);
    return fixture_text(names, name);
}

static void check_names(const cJSON *names) {
    char path[128], name[GGUF_NAME_ROOM];
    FixtureModel model;
    snprintf(path, sizeof path, FAMILIES "/%s", names->string);
    fixture_model_open(path, PRECISION_F32, &model);
    const ModelStructure *s = &model.structure;
    for (int i = 0; i < s->linear_count; i++) {
        if (s->linears[i].weight == s->embedding) continue;
        assert_true(gguf_linear_name(s, i, false, name));
        assert_string_equal(name, wanted_name(names, s->linears[i].name, ".weight"));
        if (!s->linears[i].bias) continue;
        assert_true(gguf_linear_name(s, i, true, name));
        assert_string_equal(name, wanted_name(names, s->linears[i].name, ".bias"));
    }
    for (int i = 0; i < s->norm_count; i++) {
        assert_true(gguf_norm_name(s, i, false, name));
        assert_string_equal(name, wanted_name(names, s->norms[i].name, ".weight"));
    }
    fixture_model_close(&model);
}

static void names_are_those_of_the_package(void **state) {
    (void)state;
    cJSON *json = fixture_json(FIXTURES "/names.json"), *names;
    cJSON_ArrayForEach(names, cJSON_GetObjectItemCaseSensitive(json, "names")) check_names(names);
    cJSON_Delete(json);
}

// ---- The model ----

static void expect_model(const char *name, const char *refused, const char *noted) {
    FixtureModel model;
    char path[128], note[256];
    Error err = {0};
    snprintf(path, sizeof path, "tests/fixtures/%s", name);
    fixture_model_open(path, PRECISION_F32, &model);
    const bool can = gguf_can_run(&model.structure, note, sizeof note, &err);
    if (can != !refused || (refused && !strstr(err.message, refused))) fail_msg("%s: %s", name, err.message);
    if (can && (*noted ? !strstr(note, noted) : *note)) fail_msg("%s: %s", name, note);
    fixture_model_close(&model);
}

static void models_that_llama_cpp_does_not_compute(void **state) {
    (void)state;
    expect_model("llama-mqa-plain-f16", NULL, "");
    expect_model("llama-gqa-llama3-bf16", NULL, "");
    expect_model("families/gemma", NULL, "");
    expect_model("families/gemma3-text", "does not have its scale of attention", "");
    expect_model("families/mistral-window", NULL, "beyond the model's window of");
    expect_model("families/qwen3-bias", "does not have a bias of the output projection", "");
    expect_model("families/gpt2", "not written for models of type gpt2", "");
    expect_model("families/olmoe", "not written for models of type olmoe", "");
    expect_model("families/mixtral", NULL, "beyond the model's window of");
    expect_model("families/qwen3-moe", NULL, "");
    expect_model("families/qwen2-moe", "does not have its way of choosing experts", ""); // not in every layer
    expect_model("families/qwen2-moe-normed", "does not have its way of choosing experts", "");
}

static void what_the_file_says_of_a_model(void **state) {
    (void)state;
    FixtureModel model;
    fixture_model_open("tests/fixtures/llama-gqa-llama3-bf16", PRECISION_F32, &model);
    GgufHead head = {0};
    Text data = {0};
    gguf_add_keys(&head, &model.structure, GGUF_Q4_0);
    gguf_add_rope(&head, &model.config, &data);
    assert_true(gguf_head_end(&head, NULL));
    GgufFile file;
    gguf_read(head.text.data, head.text.length, &file);
    assert_string_equal(gguf_text(&file, "general.architecture"), "llama");
    assert_string_equal(gguf_text(&file, "general.name"), "llama-gqa-llama3-bf16");
    static const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"general.file_type", 2},
        {"general.alignment", 32},
        {"general.quantization_version", 2},
        {"llama.vocab_size", 120},
        {"llama.context_length", 64},
        {"llama.embedding_length", 48},
        {"llama.block_count", 2},
        {"llama.feed_forward_length", 80},
        {"llama.attention.head_count", 4},
        {"llama.attention.head_count_kv", 2},
        {"llama.attention.key_length", 24},
        {"llama.attention.value_length", 24},
        {"llama.attention.layer_norm_rms_epsilon", (double)1e-5f},
        {"llama.rope.dimension_count", 24},
        {"llama.rope.freq_base", 10000},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        assert_true(gguf_number(&file, numbers[i].key) == numbers[i].value);
    assert_null(gguf_find(&file, "llama.rope.scaling.type"));
    assert_int_equal(file.tensor_count, 1);
    assert_string_equal(file.tensors[0].name, "rope_freqs.weight");
    assert_int_equal(file.tensors[0].shape[0], 12);
    cJSON *json = fixture_json(FIXTURES "/names.json"), *wanted = cJSON_GetObjectItemCaseSensitive(json, "llama3");
    for (int i = 0; i < 12; i++) {
        const double divisor = (double)((const float *)(const void *)data.data)[i];
        const double right = cJSON_GetArrayItem(wanted, i)->valuedouble;
        assert_true(fabs(divisor - right) <= 1e-5 * right);
    }
    cJSON_Delete(json);
    text_free(&data);
    gguf_free(&file);
    gguf_head_free(&head);
    fixture_model_close(&model);
}

// ---- The tokenizer ----

static void the_way_of_cutting_has_a_name(void **state) {
    (void)state;
    static const char *const wanted[][2] = {
        {"qwen", "qwen2"},    {"pythia", "gpt-2"}, {"gpt4o", "gpt-4o"},    {"starcoder", "smollm"},
        {"falcon", "falcon"}, {"bloom", NULL},     {"llama-legacy", NULL},
    };
    cJSON *shared = fixture_json("tests/fixtures/tokenizer/families/shared.json");
    cJSON *all = fixture_json("tests/fixtures/tokenizer/families/families.json");
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const cJSON *family = cJSON_GetObjectItemCaseSensitive(all, wanted[i][0]);
        Tokenizer *tokenizer = family_tokenizer(cJSON_GetObjectItemCaseSensitive(family, "tokenizer"), shared);
        const char *name = gguf_pre_tokenizer(tokenizer);
        if (!name != !wanted[i][1] || (name && strcmp(name, wanted[i][1]) != 0))
            fail_msg("%s: %s", wanted[i][0], name ? name : "none");
        tokenizer_free(tokenizer);
    }
    cJSON_Delete(all);
    cJSON_Delete(shared);
}

// Of models that have no fixture, as their files have them.
static void more_ways_of_cutting(void **state) {
    (void)state;
#define SPLIT(pattern) "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"" pattern "\"}, \"behavior\": \"Isolated\"},"
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    static const struct {
        const char *name, *splits;
        bool whole_words;
    } rules[] = {
        {"llama-bpe",
         SPLIT(CONTRACTIONS
               "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*"
               "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"),
         true},
        {"dbrx",
         SPLIT(CONTRACTIONS
               "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*"
               "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"),
         false},
        {"qwen35",
         SPLIT(CONTRACTIONS
               "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{L}\\\\p{M}]+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{M}\\\\p{N}]+"
               "[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"),
         false},
        {"tekken",
         SPLIT("[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*[\\\\p{Ll}\\\\p{Lm}\\\\p{"
               "Lo}\\\\p{M}]+"
               "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+[\\\\p{Ll}\\\\p{Lm}\\\\p{"
               "Lo}\\\\p{M}]*"
               "|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"),
         true},
        {"deepseek-v3",
         SPLIT("\\\\p{N}{1,3}") SPLIT("[一-龥぀-ゟ゠-ヿ]+") SPLIT(
             "[!\\\"#$%&'()*+,\\\\-./:;<=>?@\\\\[\\\\\\\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\\\p{L}\\\\p{P}\\\\p{S}]?"
             "[\\\\p{L}\\\\p{M}]+| ?[\\\\p{P}\\\\p{S}]+[\\r\\n]*|\\\\s*[\\r\\n]+|\\\\s+(?!\\\\S)|\\\\s+"),
         false},
        {"deepseek-llm",
         SPLIT("[\\r\\n]") SPLIT("\\\\s?[A-Za-z]+") SPLIT("\\\\s?[!-/:-~]+") SPLIT("\\\\s+$")
             SPLIT("[一-龥ࠀ-一가-퟿]+") SPLIT("\\\\p{N}"),
         false},
        {NULL, SPLIT("\\\\p{N}"), false},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        char text[4096];
        Error err = {0};
        Tokenizer *tokenizer;
        snprintf(
            text, sizeof text,
            "{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": [], \"ignore_merges\": %s}, \"pre_tokenizer\": "
            "{\"type\": \"Sequence\", \"pretokenizers\": [%s {\"type\": \"ByteLevel\", \"use_regex\": false, "
            "\"add_prefix_space\": false}]}}",
            rules[i].whole_words ? "true" : "false", rules[i].splits);
        if (!tokenizer_parse(text, strlen(text), &tokenizer, &err)) fail_msg("%s", err.message);
        const char *name = gguf_pre_tokenizer(tokenizer);
        if (!name != !rules[i].name || (name && strcmp(name, rules[i].name) != 0)) fail_msg("%zu: %s", i, name);
        tokenizer_free(tokenizer);
    }
}

static GgufFile written_tokenizer(const char *path, size_t vocab, GgufHead *head, const char *noted) {
    char note[256];
    Error err = {0};
    GgufFile file;
    *head = (GgufHead){0};
    if (!gguf_add_tokenizer(head, path, vocab, note, sizeof note, &err)) fail_msg("%s", err.message);
    if (*noted ? !strstr(note, noted) : *note) fail_msg("note: %s", note);
    assert_true(gguf_head_end(head, NULL));
    gguf_read(head->text.data, head->text.length, &file);
    return file;
}

static void a_byte_level_tokenizer_is_inside(void **state) {
    (void)state;
    static const char path[] = "tests/fixtures/tokenizer/llama3";
    Tokenizer *tokenizer;
    assert_true(tokenizer_load(path, &tokenizer, NULL));
    const size_t known = tokenizer_vocab_size(tokenizer), vocab = known + 2;
    GgufHead head;
    GgufFile file = written_tokenizer(path, vocab, &head, "");
    assert_string_equal(gguf_text(&file, "tokenizer.ggml.model"), "gpt2");
    assert_string_equal(gguf_text(&file, "tokenizer.ggml.pre"), "llama-bpe");
    for (size_t id = 0; id < vocab; id++) {
        size_t length, want;
        TokenKind kind;
        const char *text = gguf_item(&file, "tokenizer.ggml.tokens", id, &length);
        const char *content = tokenizer_content(tokenizer, (int32_t)id, &want, &kind);
        const int type = (int)gguf_item_number(&file, "tokenizer.ggml.token_type", id);
        if (id < known) assert_true(length == want && memcmp(text, content, want) == 0);
        assert_int_equal(type, id >= known                                       ? 5
                               : kind == TOKEN_SPECIAL                           ? 3
                               : kind == TOKEN_ADDED || kind == TOKEN_NORMALIZED ? 4
                                                                                 : 1);
    }
    // The first merge of the file, and how many there are.
    cJSON *json = fixture_json("tests/fixtures/tokenizer/llama3/tokenizer.json");
    const cJSON *merges = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, "model"), "merges");
    const int count = cJSON_GetArraySize(merges);
    assert_int_equal(gguf_find(&file, "tokenizer.ggml.merges")->count, count);
    for (int i = 0; i < count; i++) {
        size_t length;
        char line[256];
        const cJSON *merge = cJSON_GetArrayItem(merges, i);
        const char *text = gguf_item(&file, "tokenizer.ggml.merges", (size_t)i, &length);
        if (cJSON_IsString(merge))
            snprintf(line, sizeof line, "%s", merge->valuestring);
        else
            snprintf(line, sizeof line, "%s %s", cJSON_GetArrayItem(merge, 0)->valuestring,
                     cJSON_GetArrayItem(merge, 1)->valuestring);
        assert_true(strlen(line) == length && memcmp(line, text, length) == 0);
    }
    cJSON_Delete(json);
    gguf_free(&file);
    gguf_head_free(&head);
    tokenizer_free(tokenizer);
}

// As SentencePiece has them: no merges in the file, a score per token instead.
static const char spaces[] =
    "{\"added_tokens\": [{\"id\": 0, \"content\": \"<unk>\", \"special\": true, \"normalized\": false},"
    "{\"id\": 1, \"content\": \"<s>\", \"special\": true, \"normalized\": false},"
    "{\"id\": 9, \"content\": \" end\", \"special\": false, \"normalized\": true},"
    "{\"id\": 10, \"content\": \"▁▁\", \"special\": false, \"normalized\": false}],"
    "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \"▁\"},"
    "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"▁\"}]},"
    "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\"}},"
    "{\"Sequence\": {\"id\": \"A\"}}], \"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [1]}}},"
    "\"model\": {\"type\": \"BPE\", \"byte_fallback\": true, \"unk_token\": \"<unk>\", \"vocab\": {\"<unk>\": 0,"
    "\"<s>\": 1, \"<0x41>\": 2, \"▁\": 3, \"a\": 4, \"b\": 5, \"ab\": 6, \"▁a\": 7, \"▁ab\": 8},"
    "\"merges\": [\"a b\", \"▁ a\", \"▁ ab\", \"▁a b\"%s]}}";

static void put_spaces(const char *more) {
    char text[4096];
    snprintf(text, sizeof text, spaces, more);
    folder_put_text(folder, "tokenizer.json", text);
    folder_put_text(
        folder, "tokenizer_config.json",
        "{\"bos_token\": \"<s>\", \"unk_token\": \"<unk>\", \"chat_template\": \"{{ messages[0]['role'] }}\"}");
}

static void a_tokenizer_of_spaces_is_inside(void **state) {
    (void)state;
    static const char *const texts[] = {"<unk>", "<s>", "<0x41>", "▁",     "a",  "b",
                                        "ab",    "▁a",  "▁ab",    "  end", "▁▁", "[PAD11]"};
    static const int types[] = {2, 3, 6, 1, 1, 1, 1, 1, 1, 4, 4, 5},
                     scores[] = {-5, -5, -5, -5, -5, -5, -1, -2, -3, -5, -5, -5};
    put_spaces("");
    GgufHead head;
    GgufFile file = written_tokenizer(folder, 12, &head, "");
    assert_string_equal(gguf_text(&file, "tokenizer.ggml.model"), "llama");
    assert_string_equal(gguf_text(&file, "tokenizer.chat_template"), "{{ messages[0]['role'] }}");
    for (size_t id = 0; id < 12; id++) {
        size_t length;
        const char *text = gguf_item(&file, "tokenizer.ggml.tokens", id, &length);
        assert_true(length == strlen(texts[id]) && memcmp(text, texts[id], length) == 0);
        assert_int_equal(gguf_item_number(&file, "tokenizer.ggml.token_type", id), types[id]);
        assert_int_equal(gguf_item_number(&file, "tokenizer.ggml.scores", id), scores[id]);
    }
    assert_null(gguf_find(&file, "tokenizer.ggml.merges"));
    assert_int_equal(gguf_number(&file, "tokenizer.ggml.bos_token_id"), 1);
    assert_int_equal(gguf_number(&file, "tokenizer.ggml.unknown_token_id"), 0);
    assert_int_equal(gguf_number(&file, "tokenizer.ggml.add_bos_token"), 1);
    assert_int_equal(gguf_number(&file, "tokenizer.ggml.add_eos_token"), 0);
    assert_int_equal(gguf_number(&file, "tokenizer.ggml.add_space_prefix"), 1);
    gguf_free(&file);
    gguf_head_free(&head);
}

static void what_a_tokenizer_loses_is_said(void **state) {
    (void)state;
    GgufHead head;
    put_spaces(", \"b b\", \"a bb\", \"ab b\", \"b a\", \"▁ b\"");
    Error err = {0};
    Tokenizer *tokenizer;
    assert_false(tokenizer_load(folder, &tokenizer, &err)); // "bb" is not in the vocabulary
    GgufFile file = written_tokenizer(folder, 11, &head, "without a tokenizer: ");
    assert_string_equal(gguf_text(&file, "tokenizer.ggml.model"), "none");
    gguf_free(&file);
    gguf_head_free(&head);

    // ▁ab is made by two merges, with another between them.
    folder_put_text(
        folder, "tokenizer.json",
        "{\"model\": {\"type\": \"BPE\", \"byte_fallback\": true, \"vocab\": {\"▁\": 0, \"a\": 1, \"b\": 2, "
        "\"ab\": 3, \"▁a\": 4, \"▁ab\": 5}, \"merges\": [\"▁ a\", \"▁a b\", \"a b\", \"▁ ab\"]},"
        "\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"▁\"}}");
    file = written_tokenizer(folder, 6, &head, "no score per token");
    assert_int_equal(gguf_number(&file, "tokenizer.ggml.add_space_prefix"), 1);
    gguf_free(&file);
    gguf_head_free(&head);

    folder_put_text(
        folder, "tokenizer.json",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}, \"pre_tokenizer\": {\"type\": "
        "\"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\"}, {\"type\": \"ByteLevel\"}]}}");
    file = written_tokenizer(folder, 1, &head, "llama.cpp has no name for the way");
    assert_string_equal(gguf_text(&file, "tokenizer.ggml.pre"), "default");
    gguf_free(&file);
    gguf_head_free(&head);

    // The added token keeps a text that stands twice.
    folder_put_text(
        folder, "tokenizer.json",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": []}, \"added_tokens\": "
        "[{\"id\": 2, \"content\": \"B\", \"special\": false, \"normalized\": true}], \"normalizer\": {\"type\": "
        "\"Lowercase\"}, \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}}");
    file = written_tokenizer(folder, 3, &head, "llama.cpp does not normalize");
    assert_string_equal(gguf_text(&file, "tokenizer.ggml.pre"), "gpt-2");
    assert_int_equal(gguf_item_number(&file, "tokenizer.ggml.token_type", 1), 5);
    assert_int_equal(gguf_item_number(&file, "tokenizer.ggml.token_type", 2), 4);
    gguf_free(&file);
    gguf_head_free(&head);
}

// ---- The file ----

typedef struct Written {
    FixtureModel model;
    Recipe recipe;
    Plan plan;
    char *path, *bytes;
    size_t size;
    GgufFile file;
} Written;

static void set_dial(Written *w, const char *match, Dial dial, double value) {
    if (match)
        assert_true(recipe_override(&w->recipe, match, dial, &value, NULL));
    else
        w->recipe.value[dial] = value;
}

static void open_random(Written *w) {
    RandomOptions options = {.shape = *random_shape_find("tiny"), .dtype = DTYPE_BF16, .seed = 1};
    char *source = path_join(folder, "source");
    options.shape.layers = 1;
    assert_true(random_checkpoint_write(&options, source, NULL, NULL));
    fixture_model_open(source, PRECISION_F32, &w->model);
    free(source);
    assert_true(recipe_default(&w->recipe, NULL));
    set_dial(w, NULL, DIAL_ACTIVATIONS, POLICY_NONE);
    set_dial(w, NULL, DIAL_GRANULARITY, GRANULARITY_GROUP);
    set_dial(w, NULL, DIAL_GROUP_SIZE, 32);
    set_dial(w, "*k_proj", DIAL_GRANULARITY, GRANULARITY_TENSOR);
    set_dial(w, "*down_proj", DIAL_BITS, 8);
    set_dial(w, "*up_proj", DIAL_GRID, GRID_ASYMMETRIC);
    assert_true(recipe_ignore(&w->recipe, "*v_proj", NULL));
    assert_true(plan_make(&w->recipe, &w->model.structure, NULL, &w->plan, NULL));
    w->path = path_join(folder, "out.gguf");
}

static bool write_with(Written *w, bool overwrite, ExportResult *result, Error *err) {
    const ExportModel model = {.structure = &w->model.structure, .recipe = &w->recipe, .plan = &w->plan};
    const ExportOptions options = {.format = EXPORT_GGUF, .folder = w->path, .overwrite = overwrite, .verify = true};
    return export_run(&model, &options, result, NULL, err);
}

static bool write_file(Written *w, bool overwrite, Error *err) {
    ExportResult result;
    return write_with(w, overwrite, &result, err);
}

static void close_written(Written *w) {
    free(w->path);
    plan_free(&w->plan);
    recipe_free(&w->recipe);
    fixture_model_close(&w->model);
}

// A value as llama.cpp's documentation of blocks has it.
static float value_of(const uint8_t *row, uint32_t type, size_t i) {
    const size_t bytes = type == GGUF_Q4_0 ? 18 : type == GGUF_Q4_1 ? 20 : 34;
    const uint8_t *block = row + i / 32 * bytes;
    uint16_t bits[2];
    memcpy(bits, block, sizeof bits);
    const float d = f16_to_float(bits[0]);
    if (type == GGUF_Q8_0) return d * (float)(int8_t)block[2 + i % 32];
    const uint8_t byte = block[(type == GGUF_Q4_0 ? 2 : 4) + i % 16];
    const int code = i % 32 < 16 ? byte & 15 : byte >> 4;
    return type == GGUF_Q4_0 ? d * (float)(code - 8) : d * (float)code + f16_to_float(bits[1]);
}

static size_t place_of(const ModelStructure *s, int linear, size_t row) {
    const LinearRole role = s->linears[linear].role;
    const size_t dim = (size_t)s->config.head_dim, half = dim / 2, in_head = row % dim;
    return role == ROLE_Q || role == ROLE_K ? row - in_head + in_head % half * 2 + in_head / half : row;
}

static void check_quantized(const Written *w, int i, const GgufTensor *tensor) {
    const ModelStructure *s = &w->model.structure;
    const Linear *linear = &s->linears[i];
    QuantizedWeight q;
    assert_true(quantize_linear(linear, &w->plan.decisions[i], NULL, NULL, &q, NULL, NULL));
    float *values = calloc(linear->out * linear->in, sizeof *values);
    dequantize(&q, values);
    const size_t row = gguf_bytes((GgufType)tensor->type, linear->in);
    for (size_t o = 0; o < linear->out; o++) {
        const uint8_t *bytes = w->file.data + tensor->at + place_of(s, i, o) * row;
        for (size_t k = 0; k < linear->in; k++) {
            const float found = value_of(bytes, tensor->type, k), wanted = values[o * linear->in + k];
            // A minimum in F16 is off by 2^−11 of up to 15 scales.
            const float most = tensor->type == GGUF_Q4_1 ? 0x1p-11f * 15 * q.scales[o * 2 + k / 32] : 0;
            if (!(fabsf(found - wanted) <= most)) fail_msg("%s: row %zu, column %zu", linear->name, o, k);
        }
    }
    free(values);
    quantized_weight_free(&q);
}

static void check_linear(const Written *w, int i) {
    static const uint32_t types[ROLE_COUNT] = {
        [ROLE_Q] = GGUF_Q4_0,    [ROLE_K] = GGUF_Q4_0,  [ROLE_V] = GGUF_BF16,    [ROLE_O] = GGUF_Q4_0,
        [ROLE_GATE] = GGUF_Q4_0, [ROLE_UP] = GGUF_Q4_1, [ROLE_DOWN] = GGUF_Q8_0, [ROLE_HEAD] = GGUF_BF16};
    const Linear *linear = &w->model.structure.linears[i];
    char name[GGUF_NAME_ROOM];
    assert_true(gguf_linear_name(&w->model.structure, i, false, name));
    const GgufTensor *tensor = gguf_tensor(&w->file, name);
    assert_int_equal(tensor->type, types[linear->role]);
    assert_int_equal(tensor->shape[0], linear->in);
    assert_int_equal(tensor->shape[1], linear->out);
    if (tensor->type != GGUF_BF16)
        check_quantized(w, i, tensor);
    else
        assert_memory_equal(w->file.data + tensor->at, linear->weight->data, linear->weight->bytes);
}

static void write_and_read(Written *w) {
    Error err = {0};
    if (!write_file(w, false, &err)) fail_msg("%s", err.message);
    assert_true(file_read(w->path, 1 << 24, &w->bytes, &w->size, NULL));
    gguf_read(w->bytes, w->size, &w->file);
}

static void the_file_holds_what_was_planned(void **state) {
    (void)state;
    Written w = {0};
    open_random(&w);
    write_and_read(&w);
    assert_int_equal((w.size - (size_t)(w.file.data - (const uint8_t *)w.bytes)) % 32, 0);
    const ModelStructure *s = &w.model.structure;
    for (int i = 0; i < s->linear_count; i++) check_linear(&w, i);
    for (int i = 0; i < s->norm_count; i++) {
        char name[GGUF_NAME_ROOM];
        assert_true(gguf_norm_name(s, i, false, name));
        const GgufTensor *tensor = gguf_tensor(&w.file, name);
        float gain;
        assert_int_equal(tensor->type, GGUF_F32);
        for (size_t k = 0; k < tensor->shape[0]; k++) {
            memcpy(&gain, w.file.data + tensor->at + k * sizeof gain, sizeof gain);
            assert_true(gain == bf16_to_float(((const uint16_t *)s->norms[i].gain->data)[k]));
        }
    }
    const GgufTensor *table = gguf_tensor(&w.file, "token_embd.weight");
    assert_memory_equal(w.file.data + table->at, s->embedding->data, s->embedding->bytes);
    assert_int_equal(w.file.tensor_count, (size_t)(s->linear_count + s->norm_count + 1));
    assert_string_equal(gguf_text(&w.file, "general.name"), "source");
    gguf_free(&w.file);
    free(w.bytes);
    close_written(&w);
}

// ---- Experts ----

static void open_experts(Written *w) {
    char *source = tiny_experts_put(folder);
    fixture_model_open(source, PRECISION_F32, &w->model);
    free(source);
    assert_true(recipe_default(&w->recipe, NULL));
    set_dial(w, NULL, DIAL_ACTIVATIONS, POLICY_NONE);
    set_dial(w, NULL, DIAL_GRANULARITY, GRANULARITY_GROUP);
    set_dial(w, NULL, DIAL_GROUP_SIZE, 32);
    set_dial(w, "*.w2", DIAL_BITS, 8);
    assert_true(recipe_ignore(&w->recipe, "*.w3", NULL));
    assert_true(plan_make(&w->recipe, &w->model.structure, NULL, &w->plan, NULL));
    w->path = path_join(folder, "out.gguf");
}

// Where the bytes of a linear begin in its tensor; what stays has the numbers of the checkpoint.
static void check_expert(const Written *w, int i) {
    const ModelStructure *s = &w->model.structure;
    const Linear *linear = &s->linears[i];
    char name[GGUF_NAME_ROOM];
    assert_true(gguf_linear_name(s, i, false, name));
    GgufTensor tensor = *gguf_tensor(&w->file, name);
    const size_t bytes = linear->out * (size_t)gguf_bytes((GgufType)tensor.type, linear->in);
    assert_int_equal(tensor.rank, linear->expert < 0 ? 2 : 3);
    assert_int_equal(tensor.shape[0], linear->in);
    assert_int_equal(tensor.shape[1], linear->out);
    if (linear->expert >= 0) assert_int_equal(tensor.shape[2], TINY_EXPERTS);
    if (linear->expert > 0) tensor.at += (size_t)linear->expert * bytes;
    if (w->plan.decisions[i].quantized)
        check_quantized(w, i, &tensor);
    else
        assert_memory_equal(w->file.data + tensor.at, linear->weight->data, bytes);
}

// Under their names, with the numbers that the codes of each stand for.
static void check_experts_read_again(const Written *w) {
    const ModelStructure *s = &w->model.structure;
    FixtureModel again;
    fixture_model_open(w->path, PRECISION_F32, &again);
    assert_string_equal(again.config.family, "mixtral");
    assert_int_equal(again.structure.linear_count, s->linear_count);
    for (int i = 0; i < s->linear_count; i++) {
        const Linear *linear = &s->linears[i];
        const Tensor *read = again.structure.linears[i].weight;
        QuantizedWeight q;
        if (!w->plan.decisions[i].quantized || linear->expert < 0) continue;
        assert_string_equal(again.structure.linears[i].name, linear->name);
        assert_true(quantize_linear(linear, &w->plan.decisions[i], NULL, NULL, &q, NULL, NULL));
        float *values = calloc(linear->out * linear->in, sizeof *values);
        dequantize(&q, values);
        assert_true(tensor_hold(read, NULL));
        assert_memory_equal(read->data, values, linear->out * linear->in * sizeof *values);
        tensor_release(read);
        free(values);
        quantized_weight_free(&q);
    }
    fixture_model_close(&again);
}

static void experts_of_a_layer_are_one_tensor(void **state) {
    (void)state;
    Written w = {0};
    Error err = {0};
    open_experts(&w);
    write_and_read(&w);
    assert_int_equal(w.file.tensor_count, 3 + 3 + 1 + 4 + 2); // outside, of experts, router, attention, norms
    assert_int_equal(gguf_tensor(&w.file, "blk.0.ffn_gate_exps.weight")->type, GGUF_Q4_0);
    assert_int_equal(gguf_tensor(&w.file, "blk.0.ffn_down_exps.weight")->type, GGUF_Q8_0);
    assert_int_equal(gguf_tensor(&w.file, "blk.0.ffn_up_exps.weight")->type, GGUF_F32);
    assert_int_equal(gguf_tensor(&w.file, "blk.0.ffn_gate_inp.weight")->shape[1], TINY_EXPERTS);
    assert_string_equal(gguf_text(&w.file, "general.architecture"), "llama");
    assert_true(gguf_number(&w.file, "llama.expert_count") == TINY_EXPERTS);
    assert_true(gguf_number(&w.file, "llama.expert_used_count") == 2);
    assert_null(gguf_find(&w.file, "llama.expert_feed_forward_length"));
    for (int i = 0; i < w.model.structure.linear_count; i++)
        if (w.model.structure.linears[i].layer >= 0 && w.model.structure.linears[i].role != ROLE_Q &&
            w.model.structure.linears[i].role != ROLE_K)
            check_expert(&w, i);
    check_experts_read_again(&w);
    gguf_free(&w.file);
    free(w.bytes);
    set_dial(&w, "*.experts.1.w1", DIAL_BITS, 8);
    plan_free(&w.plan);
    assert_true(plan_make(&w.recipe, &w.model.structure, NULL, &w.plan, NULL));
    assert_false(write_file(&w, true, &err));
    assert_non_null(strstr(err.message, "engines store the experts of a layer as one"));
    close_written(&w);
}

static void a_path_that_ends_so_is_a_file(void **state) {
    (void)state;
    Written w = {0};
    Error err = {0};
    char *unfinished = path_join(folder, "out.gguf.unfinished");
    open_random(&w);
    folder_put_text(folder, "out.gguf", "something else");
    assert_false(write_file(&w, false, &err));
    assert_non_null(strstr(err.message, "out.gguf: is there already, and is not what this recipe makes"));
    if (!write_file(&w, true, &err)) fail_msg("%s", err.message);
    assert_true(file_read(w.path, 1 << 24, &w.bytes, &w.size, NULL));
    assert_memory_equal(w.bytes, "GGUF", 4);
    assert_false(folder_exists(unfinished));
    // Without that ending a folder is meant.
    free(w.path);
    w.path = path_join(folder, "out");
    if (!write_file(&w, false, &err)) fail_msg("%s", err.message);
    char *path = path_join(folder, "out/source-Q4_0.gguf"), *bytes;
    size_t size;
    assert_true(file_read(path, 1 << 24, &bytes, &size, NULL));
    assert_int_equal(size, w.size);
    assert_memory_equal(bytes, w.bytes, size);
    free(bytes);
    free(path);
    free(w.bytes);
    free(unfinished);
    close_written(&w);
}

// The file says from what it was made and how: the same work finds it done, another refuses it.
static void a_finished_file_is_known(void **state) {
    (void)state;
    Written w = {0};
    Error err = {0};
    ExportResult result;
    ExportForecast forecast;
    size_t size;
    char *bytes;
    open_random(&w);
    if (!write_file(&w, false, &err)) fail_msg("%s", err.message);
    if (!write_with(&w, false, &result, &err)) fail_msg("%s", err.message);
    assert_true(result.was_complete && result.files == 1 && result.written == 0);
    assert_int_equal(result.verified, result.bytes);
    const ExportModel model = {.structure = &w.model.structure, .recipe = &w.recipe, .plan = &w.plan};
    const ExportOptions options = {.format = EXPORT_GGUF, .folder = w.path};
    assert_true(export_forecast(&model, &options, &forecast, NULL));
    assert_int_equal(forecast.left, 0);

    assert_true(file_read(w.path, 1 << 24, &bytes, &size, NULL));
    bytes[size - 100] ^= 1;
    assert_true(file_write(w.path, bytes, size, NULL));
    assert_false(write_file(&w, false, &err));
    assert_non_null(strstr(err.message, "is not what was written"));
    bytes[size - 100] ^= 1;
    assert_true(file_write(w.path, bytes, size, NULL));
    free(bytes);

    // Another size of groups gives a file of the same size with the same tensors.
    set_dial(&w, "*o_proj", DIAL_GROUP_SIZE, 64);
    plan_free(&w.plan);
    assert_true(plan_make(&w.recipe, &w.model.structure, NULL, &w.plan, NULL));
    assert_false(write_file(&w, false, &err));
    assert_non_null(strstr(err.message, "replace it with --overwrite"));
    if (!write_file(&w, true, &err)) fail_msg("%s", err.message);
    close_written(&w);
}

static void what_the_plan_asks_too_much_is_refused(void **state) {
    (void)state;
    Written w = {0};
    Error err = {0};
    open_random(&w);
    set_dial(&w, "*q_proj", DIAL_BITS, 3);
    set_dial(&w, "*o_proj", DIAL_GROUP_SIZE, 16);
    plan_free(&w.plan);
    assert_true(plan_make(&w.recipe, &w.model.structure, NULL, &w.plan, NULL));
    assert_false(write_file(&w, false, &err));
    assert_string_equal(err.message,
                        "model.layers.0.self_attn.q_proj: GGUF cannot hold 3 bits on the symmetric grid; set "
                        "its bits to 4 or 8 and its grid to symmetric (and 1 more)");
    assert_false(file_exists(w.path));
    close_written(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_file_as_the_package),
        cmocka_unit_test(the_package_reads_the_same_numbers),
        cmocka_unit_test(rows_of_a_head_are_paired),
        cmocka_unit_test(pieces_are_packed_alike),
        cmocka_unit_test(what_cannot_be_held_is_said),
        cmocka_unit_test(scales_that_f16_cannot_hold_are_said),
        cmocka_unit_test(names_are_those_of_the_package),
        cmocka_unit_test(models_that_llama_cpp_does_not_compute),
        cmocka_unit_test(what_the_file_says_of_a_model),
        cmocka_unit_test(the_way_of_cutting_has_a_name),
        cmocka_unit_test(more_ways_of_cutting),
        cmocka_unit_test(a_byte_level_tokenizer_is_inside),
        IN_FOLDER(a_tokenizer_of_spaces_is_inside),
        IN_FOLDER(what_a_tokenizer_loses_is_said),
        IN_FOLDER(the_file_holds_what_was_planned),
        IN_FOLDER(experts_of_a_layer_are_one_tensor),
        IN_FOLDER(a_path_that_ends_so_is_a_file),
        IN_FOLDER(a_finished_file_is_known),
        IN_FOLDER(what_the_plan_asks_too_much_is_refused),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
