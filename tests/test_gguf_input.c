// GGUF as a model: numbers equal to those of the gguf package (tools/fixtures/make_gguf.py), logits and token ids to
// those of the checkpoint that a file was written from, and what is wrong with a file named.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/file.h"
#include "export/gguf_head.h"
#include "export/gguf_tokenizer.h"
#include "loaders/chat/chat_template.h"
#include "loaders/documents.h"
#include "loaders/gguf.h"
#include "tests/support/edited_model.h"
#include "tests/support/export_model.h"
#include "tests/support/fixture_model.h"
#include "tests/support/folder.h"
#include "tests/support/in_folder.h"
#include "tests/support/quant_fixtures.h"
#include "tests/support/small_sample.h"
#include "tests/support/tokenizer_lines.h"

#define FIXTURES "tests/fixtures/gguf"
#define FAMILIES "tests/fixtures/families"

// A model that is written as it is; some quantize what they can.
#define DENSE "{\"quantdial_recipe\": 3, \"ignore\": [\"*\"]}"
#define FOUR_BITS                                                                                                      \
    "{\"quantdial_recipe\": 3, \"weights\": {\"bits\": 4, \"granularity\": \"group\", \"group_size\": 32, \"scale\": " \
    "\"f16\"}, \"activations\": {\"policy\": \"none\"}}"

static char *in_folder(const char *name) {
    char *path = path_join(folder, name);
    assert_non_null(path);
    return path;
}

// ---- Numbers ----

static void blocks_stand_for_the_numbers_of_the_package(void **state) {
    (void)state;
    static const char *const labels[] = {
        "GGUF Q4_0 4.5-bit",   "GGUF Q4_1 5-bit",      "GGUF Q5_0 5.5-bit",  "GGUF Q5_1 6-bit",   "GGUF Q8_0 8.5-bit",
        "GGUF Q2_K 2.62-bit",  "GGUF Q3_K 3.44-bit",   "GGUF Q4_K 4.5-bit",  "GGUF Q5_K 5.5-bit", "GGUF Q6_K 6.56-bit",
        "GGUF IQ4_NL 4.5-bit", "GGUF IQ4_XS 4.25-bit", "GGUF MXFP4 4.25-bit"};
    TensorFile wanted = fixture_tensors(FIXTURES "/blocks.safetensors");
    Checkpoint checkpoint;
    StoredSet *set;
    Error err = {0};
    if (!checkpoint_open(FIXTURES "/blocks.gguf", &checkpoint, &err)) fail_msg("%s", err.message);
    assert_true(stored_open(&checkpoint, &set, &err));
    assert_int_equal(wanted.tensor_count, sizeof labels / sizeof *labels);
    for (size_t i = 0; i < wanted.tensor_count; i++) {
        char name[16];
        const Tensor *tensor, *numbers;
        assert_int_equal(sscanf(labels[i], "GGUF %15s", name), 1);
        numbers = fixture_tensor(&wanted, name);
        if (!stored_find(set, name, &tensor, &err) || !tensor_hold(tensor, &err)) fail_msg("%s", err.message);
        assert_string_equal(tensor->stored, labels[i]);
        assert_int_equal(tensor->dtype, DTYPE_F32);
        assert_int_equal(tensor->shape[0], 2);
        assert_int_equal(tensor->shape[1], 512);
        if (memcmp(tensor->data, numbers->data, numbers->bytes) != 0) fail_msg("%s: other numbers", name);
        tensor_release(tensor);
    }
    stored_close(set);
    checkpoint_close(&checkpoint);
    tensor_file_close(&wanted);
}

// ---- Models ----

static ExportOptions dense_in(const char *path) {
    return (ExportOptions){.folder = path, .format = EXPORT_DENSE, .type = EXPORT_TYPE_F32};
}

static char *written(const char *model, const char *recipe) {
    char *path = in_folder("model.gguf");
    Engine *engine = export_engine(model, recipe);
    export_written(engine, &(ExportOptions){.folder = path, .format = EXPORT_GGUF, .overwrite = true, .verify = true});
    engine_close(engine);
    return path;
}

static float *logits_of(const char *model, const int32_t *ids, size_t tokens, size_t *count) {
    FixtureModel opened;
    fixture_model_open(model, PRECISION_F32, &opened);
    float *logits = fixture_logits(opened.base, ids, tokens);
    *count = tokens * (size_t)opened.config.vocab;
    fixture_model_close(&opened);
    return logits;
}

static void expect_same_logits(const char *model, const char *other) {
    enum { TOKENS = 24 };
    int32_t ids[TOKENS];
    size_t n, m;
    for (int i = 0; i < TOKENS; i++) ids[i] = (7 * i + 3) % 50;
    float *a = logits_of(model, ids, TOKENS, &n), *b = logits_of(other, ids, TOKENS, &m);
    assert_int_equal(n, m);
    if (memcmp(a, b, n * sizeof *a) != 0) fail_msg("%s: differs by %g", model, relative_difference(a, b, n));
    free(a);
    free(b);
}

// Llama 3's scaling comes back as factors, all else as it was: the same numbers give the same logits.
static void a_model_comes_back(void **state) {
    (void)state;
    static const char *const models[] = {
        "tests/fixtures/llama-gqa-llama3-bf16",
        "tests/fixtures/llama-mha-linear-f32",
        "tests/fixtures/llama-mqa-plain-f16",
        FAMILIES "/llama-yarn",
        FAMILIES "/qwen3-tied",
        FAMILIES "/gemma",
        FAMILIES "/phi3-longrope",
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char *path = written(models[i], DENSE);
        expect_same_logits(models[i], path);
        free(path);
    }
}

// Models, with a line of the configuration and what stands in its place.
static void expect_to_come_back(const char *const models[][3], size_t count) {
    for (size_t i = 0; i < count; i++) {
        model_copy(folder, models[i][0], "config.json");
        model_copy(folder, models[i][0], "model.safetensors");
        model_edit(folder, "config.json", models[i][1], models[i][2]);
        char *path = written(folder, DENSE);
        expect_same_logits(folder, path);
        free(path);
    }
}

// llama.cpp has one scale of attention, which the fixtures of later Gemmas have not.
static void later_gemmas_come_back(void **state) {
    (void)state;
    static const char *const models[][3] = {
        {FAMILIES "/gemma2", "\"query_pre_attn_scalar\": 20", "\"query_pre_attn_scalar\": 8"},
        {FAMILIES "/gemma3-text", "\"query_pre_attn_scalar\": 11", "\"query_pre_attn_scalar\": 8"},
    };
    expect_to_come_back(models, sizeof models / sizeof *models);
}

// Each expert is a matrix of the tensor that a layer has of all. llama.cpp has no windows here, nor a layer without
// experts, as the second of this Qwen 2.
static void mixtures_of_experts_come_back(void **state) {
    (void)state;
    static const char *const models[][3] = {
        {FAMILIES "/mixtral", "\"sliding_window\": 9", "\"sliding_window\": null"},
        {FAMILIES "/qwen3-moe", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 2"},
        {FAMILIES "/qwen2-moe", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 1"},
    };
    expect_to_come_back(models, sizeof models / sizeof *models);
}

static void experts_of_a_gguf_file_become_a_checkpoint(void **state) {
    (void)state;
    char *path = written(FAMILIES "/qwen3-moe", DENSE), *out = in_folder("out");
    Engine *engine = export_engine(path, DENSE);
    const ExportOptions options = dense_in(out);
    export_written(engine, &options);
    engine_close(engine);
    expect_same_logits(FAMILIES "/qwen3-moe", out);
    free(out), free(path);
}

// What is quantized, by the codes: the same model in F32.
static void quantized_weights_come_back(void **state) {
    (void)state;
    char *sample = sample_path(NULL), *dense = in_folder("dense");
    char *path = written(sample, FOUR_BITS);
    Engine *engine = export_engine(sample, FOUR_BITS);
    const ExportOptions options = dense_in(dense);
    export_written(engine, &options);
    engine_close(engine);
    expect_same_logits(dense, path);

    FixtureModel model;
    fixture_model_open(path, PRECISION_F32, &model);
    assert_string_equal(structure_stored(&model.structure), "GGUF Q4_0 4.5-bit");
    assert_int_equal(tensor_stored_bytes(model.structure.linears[0].weight), 256 * 256 / 32 * 18);
    fixture_model_close(&model);
    free(dense);
    free(path);
    free(sample);
}

// Zero points become minima that are rounded; a byte that changed is noticed.
static void what_is_written_is_read_back(void **state) {
    (void)state;
    char *sample = sample_path(NULL), *out = in_folder("out");
    Engine *engine = export_engine(sample, "{\"quantdial_recipe\": 3, \"weights\": {\"bits\": 4, \"grid\": "
                                           "\"asymmetric\", \"min_group\": 32}, \"activations\": {\"policy\": "
                                           "\"none\"}}");
    const ExportOptions options = {.folder = out, .format = EXPORT_GGUF, .verify = true};
    export_written(engine, &options);
    Checkpoint checkpoint;
    assert_true(checkpoint_open(out, &checkpoint, NULL));
    char *path = strdup(checkpoint.documents);
    checkpoint_close(&checkpoint);
    char *bytes;
    size_t size;
    assert_true(file_read(path, 1 << 28, &bytes, &size, NULL));
    bytes[size - 100] ^= 1;
    assert_true(file_write(path, bytes, size, NULL));
    export_refused(engine, &options, "is not what was written");
    engine_close(engine);
    free(bytes), free(path), free(out), free(sample);
}

// For transformers, with what stands beside the weights; the file itself is not replaced.
static void a_gguf_file_becomes_a_checkpoint(void **state) {
    (void)state;
    char *sample = sample_path(NULL), *path = written(sample, FOUR_BITS), *out = in_folder("out");
    Engine *engine = export_engine(path, DENSE);
    ExportOptions options = dense_in(out);
    export_written(engine, &options);
    expect_same_logits(path, out);
    Tokenizer *a = NULL, *b = NULL;
    assert_true(tokenizer_load(path, &a, NULL) && tokenizer_load(out, &b, NULL));
    static const char text[] = "Once upon a time <|endoftext|> 42";
    TokenIds x = encoded(a, text, sizeof text - 1, true), y = encoded(b, text, sizeof text - 1, true);
    assert_true(x.count == y.count && memcmp(x.ids, y.ids, x.count * sizeof *x.ids) == 0);
    token_ids_free(&x), token_ids_free(&y);
    tokenizer_free(a), tokenizer_free(b);
    options = (ExportOptions){.folder = path, .format = EXPORT_GGUF, .overwrite = true};
    export_refused(engine, &options, "model.gguf: is the model itself");
    engine_close(engine);
    free(out), free(path), free(sample);
}

// ---- Tokenizers ----

static char *written_tokenizer(const char *source, size_t vocab) {
    GgufHead head = {0};
    char note[256];
    Error err = {0};
    gguf_key_string(&head, "general.architecture", "llama");
    if (!gguf_add_tokenizer(&head, source, vocab, note, sizeof note, &err)) fail_msg("%s", err.message);
    assert_true(gguf_head_end(&head, NULL));
    char *path = folder_write(folder, "tokenizer.gguf", head.text.data, head.text.length);
    gguf_head_free(&head);
    return path;
}

static void expect_same_ids(const char *source) {
    static const char *const texts[] = {"",
                                        " ",
                                        "Once upon a time there was a cat.",
                                        "  two spaces,\ttabs\n\n\nand 12345 lines 3.14",
                                        "I've DON'T you'll we're",
                                        "def f(x):\n    return x ** 2  # square\n",
                                        "Grüße aus Köln, naïve café — „Zitat“…",
                                        "Привет, мир! 你好，世界。 こんにちは 안녕",
                                        "مرحبا بالعالم",
                                        "🚀🦙 emoji 👨‍👩‍👧",
                                        "a\r\nb\rc",
                                        "<|im_start|>user\nHi<|im_end|>\n",
                                        "<s>[INST] x [/INST]</s>"};
    Tokenizer *tokenizer, *read;
    Error err = {0};
    if (!tokenizer_load(source, &tokenizer, &err)) fail_msg("%s", err.message);
    char *path = written_tokenizer(source, tokenizer_vocab_size(tokenizer) + 3);
    if (!tokenizer_load(path, &read, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        TokenIds a = encoded(tokenizer, texts[i], strlen(texts[i]), true),
                 b = encoded(read, texts[i], strlen(texts[i]), true);
        if (a.count != b.count || (a.count && memcmp(a.ids, b.ids, a.count * sizeof *a.ids) != 0))
            fail_msg("%s: other ids of \"%s\"", source, texts[i]);
        Text x = decoded(tokenizer, &a, false), y = decoded(read, &b, false);
        assert_true(x.length == y.length && (!x.length || memcmp(x.data, y.data, x.length) == 0));
        text_free(&x);
        text_free(&y);
        token_ids_free(&a);
        token_ids_free(&b);
    }
    assert_int_equal(tokenizer_prefix(tokenizer), tokenizer_prefix(read));
    free(path);
    tokenizer_free(read);
    tokenizer_free(tokenizer);
}

static void byte_level_tokenizers_come_back(void **state) {
    (void)state;
    char *sample = sample_path(NULL);
    expect_same_ids(sample);
    expect_same_ids("tests/fixtures/tokenizer/gpt2");
    expect_same_ids("tests/fixtures/tokenizer/llama3"); // begins with a token that has no name
    free(sample);
}

#define SPECIALS "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"unk_token\": \"<unk>\""

static void put_family(const char *name, const char *config) {
    cJSON *all = fixture_json("tests/fixtures/tokenizer/families/families.json");
    cJSON *shared = fixture_json("tests/fixtures/tokenizer/families/shared.json");
    cJSON *document = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(all, name), "tokenizer");
    tokenizer_free(family_tokenizer(document, shared));
    char *text = json_print(document);
    folder_put_text(folder, "tokenizer.json", text);
    folder_put_text(folder, "tokenizer_config.json", config);
    free(text);
    cJSON_Delete(all);
    cJSON_Delete(shared);
}

static void families_of_tokenizers_come_back(void **state) {
    (void)state;
    static const char *const names[] = {"qwen", "pythia", "gpt4o", "starcoder", "falcon"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        put_family(names[i], "{\"bos_token\": null}");
        expect_same_ids(folder);
    }
    put_family("phi3", SPECIALS "}");
    expect_same_ids(folder);
    put_family("llama-legacy", SPECIALS "}");
    expect_same_ids(folder);
}

// What begins a conversation, and how one is written, is in the file.
static void special_tokens_and_the_chat_template_come_back(void **state) {
    (void)state;
    ChatTemplate *chat;
    Tokenizer *tokenizer;
    put_family("llama-legacy", SPECIALS ", \"chat_template\": \"{{ bos_token }}{{ messages[0]['content'] }} ▁\"}");
    char *path = written_tokenizer(folder, 2000);
    assert_true(chat_template_load(path, &chat, NULL) && chat);
    assert_string_equal(chat_template_source(chat), "{{ bos_token }}{{ messages[0]['content'] }} ▁");
    chat_template_free(chat);
    assert_true(tokenizer_load(path, &tokenizer, NULL));
    const cJSON *special = tokenizer_special(tokenizer);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(special, "bos_token")), "<s>");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(special, "unk_token")), "<unk>");
    tokenizer_free(tokenizer);
    free(path);
}

static void expect_no_tokenizer(const char *model, const char *pre, const char *reason) {
    GgufHead head = {0};
    Tokenizer *tokenizer;
    Error err = {0};
    gguf_key_string(&head, "tokenizer.ggml.model", model);
    gguf_key_string(&head, "tokenizer.ggml.pre", pre);
    gguf_key_list(&head, "tokenizer.ggml.tokens", GGUF_ITEMS_STRING, 1);
    gguf_item_string(&head, "a", 1);
    assert_true(gguf_head_end(&head, NULL));
    char *path = folder_write(folder, "none.gguf", head.text.data, head.text.length);
    assert_false(tokenizer_load(path, &tokenizer, &err));
    if (!strstr(err.message, reason) || !strstr(err.message, "none.gguf")) fail_msg("%s", err.message);
    gguf_head_free(&head);
    free(path);
}

static void tokenizers_that_are_not_read(void **state) {
    (void)state;
    expect_no_tokenizer("none", "", TOKENIZER_MISSING);
    expect_no_tokenizer("t5", "", "\"t5\" is not supported");
    expect_no_tokenizer("gpt2", "moon", "\"moon\" is not supported");
    expect_no_tokenizer("gpt2", "deepseek-llm", "\"deepseek-llm\" is not supported");
}

// ---- Files ----

enum { HIDDEN = 32 };

// A model of one layer that is the same in every tensor of ones, as one file or as the halves of two.
static void put_file(const char *name, const char *architecture, bool keys, bool layer, bool outside) {
    static const struct {
        const char *name;
        int rank;
        bool outside;
    } tensors[] = {{"token_embd.weight", 2, true},         {"blk.0.attn_norm.weight", 1, false},
                   {"blk.0.attn_q.weight", 2, false},      {"blk.0.attn_k.weight", 2, false},
                   {"blk.0.attn_v.weight", 2, false},      {"blk.0.attn_output.weight", 2, false},
                   {"blk.0.ffn_norm.weight", 1, false},    {"blk.0.ffn_gate.weight", 2, false},
                   {"blk.0.ffn_up.weight", 2, false},      {"blk.0.ffn_down.weight", 2, false},
                   {"output_norm.weight", 1, true},        {"blk.0.ffn_gate_exps.weight", 3, false},
                   {"blk.0.ffn_gate_inp.weight", 2, false}};
    const bool llama = strcmp(architecture, "llama") == 0;
    GgufHead head = {0};
    Text data = {0};
    snprintf(head.prefix, sizeof head.prefix, "%s", architecture);
    if (keys) {
        gguf_key_string(&head, "general.architecture", architecture);
        gguf_key_u32(&head, ".embedding_length", HIDDEN);
        gguf_key_u32(&head, ".block_count", 1);
        gguf_key_u32(&head, ".feed_forward_length", HIDDEN);
        gguf_key_u32(&head, ".attention.head_count", 2);
    }
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors - (llama ? 2 : 0); i++) {
        if (tensors[i].outside ? !outside : !layer) continue;
        const uint64_t shape[] = {2, HIDDEN, HIDDEN};
        const int rank = tensors[i].rank;
        const GgufType type = rank == 3 ? GGUF_Q8_0 : GGUF_F32;
        gguf_head_add(&head, tensors[i].name, type, rank, shape + 3 - rank);
        uint64_t elements = 1;
        for (int d = 0; d < rank; d++) elements *= shape[2 - d];
        for (uint64_t b = 0; b < gguf_bytes(type, elements); b++) text_add(&data, b % 4 == 3 ? "\x3c" : "", 1);
    }
    assert_true(gguf_head_end(&head, NULL));
    text_add(&head.text, data.data, data.length);
    free(folder_write(folder, name, head.text.data, head.text.length));
    text_free(&data);
    gguf_head_free(&head);
}

static void expect_opened(const char *path, size_t tensors, size_t files) {
    Checkpoint checkpoint;
    Error err = {0};
    if (!checkpoint_open(path, &checkpoint, &err)) fail_msg("%s", err.message);
    assert_int_equal(checkpoint.tensor_count, tensors);
    assert_int_equal(checkpoint.file_count, files);
    assert_non_null(checkpoint_find(&checkpoint, "model.layers.0.self_attn.q_proj.weight"));
    assert_non_null(checkpoint_find(&checkpoint, "model.norm.weight"));
    checkpoint_close(&checkpoint);
}

static void expect_refused(const char *path, const char *reason) {
    Checkpoint checkpoint;
    Error err = {0};
    assert_false(checkpoint_open(path, &checkpoint, &err));
    if (!strstr(err.message, reason)) fail_msg("expected \"%s\", got \"%s\"", reason, err.message);
}

// In a folder there is one model, whatever else lies there; of a split one any file will do.
static void files_are_found(void **state) {
    (void)state;
    char *path = in_folder("one.gguf");
    put_file("one.gguf", "llama", true, true, true);
    put_file("mmproj-one.gguf", "clip", true, false, true);
    folder_put_text(folder, "._model.safetensors", "what macOS leaves beside a file");
    expect_opened(path, 11, 1);
    expect_opened(folder, 11, 1);
    put_file("two.gguf", "llama", true, true, true);
    expect_refused(folder, "several GGUF files (one.gguf, two.gguf, …); name one of them");
    free(path);
}

static void a_split_model_is_one(void **state) {
    (void)state;
    char *path = in_folder("x-00002-of-00002.gguf");
    ModelConfig config = config_unknown;
    Checkpoint checkpoint = {0};
    put_file("x-00001-of-00002.gguf", "llama", true, true, false);
    expect_refused(folder, "x-00002-of-00002.gguf: is missing: the model is in 2 files");
    put_file("x-00002-of-00002.gguf", "llama", false, false, true);
    expect_opened(path, 11, 2);
    expect_opened(folder, 11, 2);
    assert_true(checkpoint_open(path, &checkpoint, NULL) && config_load(checkpoint.documents, &config, NULL));
    assert_int_equal(config.vocab, HIDDEN); // of the embedding, in the other file than the keys
    assert_string_equal(config.family, "llama");
    assert_string_equal(checkpoint.name, "x"); // of all its files
    checkpoint_close(&checkpoint);
    free(path);
}

// Architectures that are not run are listed under the names of the file, experts one by one.
static void unknown_architectures_are_listed(void **state) {
    (void)state;
    char *path = in_folder("moe.gguf");
    Checkpoint checkpoint;
    ModelConfig config;
    ModelStructure s;
    Error err = {0};
    put_file("moe.gguf", "moon", true, true, true);
    assert_true(checkpoint_open(path, &checkpoint, &err) && config_load(checkpoint.documents, &config, &err));
    assert_non_null(strstr(config.not_run, "\"moon (GGUF)\" is not one of those that are run"));
    if (!structure_build(&checkpoint, &config, &s, &err)) fail_msg("%s", err.message);
    assert_int_equal(s.linear_count, 7 + 2 + 1);
    const int q = structure_find(&s, "blk.0.attn_q"), expert = structure_find(&s, "blk.0.1.ffn_gate_exps");
    const int router = structure_find(&s, "blk.0.ffn_gate_inp");
    assert_true(q >= 0 && expert >= 0 && router >= 0);
    assert_int_equal(s.linears[q].role, ROLE_Q);
    assert_int_equal(s.linears[expert].role, ROLE_GATE);
    assert_int_equal(s.linears[expert].expert, 1);
    assert_string_equal(s.linears[expert].weight->stored, "GGUF Q8_0 8.5-bit");
    assert_int_equal(tensor_stored_bytes(s.linears[expert].weight), HIDDEN * 34);
    assert_int_equal(s.linears[router].role, ROLE_ROUTER);
    assert_int_equal(s.unlisted[TENSOR_EMBEDDING].tensors, 1);
    structure_free(&s);
    checkpoint_close(&checkpoint);
    free(path);
}

// ---- Damage ----

static char *sample_bytes(size_t *size) {
    char *bytes;
    assert_true(file_read(FIXTURES "/sample.gguf", 1 << 20, &bytes, size, NULL));
    return bytes;
}

static void expect_bytes_refused(const char *bytes, size_t size, const char *reason) {
    Gguf gguf;
    Error err = {0};
    assert_false(gguf_parse("x.gguf", bytes, size, &gguf, &err));
    if (!strstr(err.message, reason) || strncmp(err.message, "x.gguf: ", 8) != 0)
        fail_msg("expected \"%s\", got \"%s\"", reason, err.message);
}

// Wherever it ends: nothing is read beyond, and the message says that it is cut.
static void files_that_are_cut_off(void **state) {
    (void)state;
    size_t size;
    char *bytes = sample_bytes(&size);
    for (size_t end = 4; end < size - 32; end += end < 1200 ? 7 : 61) {
        char *exact = malloc(end);
        assert_non_null(exact);
        memcpy(exact, bytes, end);
        expect_bytes_refused(exact, end, "cut off: download it again");
        free(exact);
    }
    expect_bytes_refused("PK\3\4\0\0\0\0", 8, "archive");
    expect_bytes_refused("GGUX\3\0\0\0", 8, "does not begin with \"GGUF\"");
    free(bytes);
}

static char *find_bytes(char *bytes, size_t size, const char *wanted) {
    char *at = memmem(bytes, size, wanted, strlen(wanted));
    assert_non_null(at);
    return at;
}

// One number of the head is changed at a time.
static void heads_that_are_wrong(void **state) {
    (void)state;
    static const struct {
        const char *name; // of the tensor or key behind which it stands; NULL: at the beginning
        size_t behind;
        const char *bytes;
        size_t count;
        const char *reason;
    } cases[] = {
        {NULL, 4, "\1\0\0\0", 4, "GGUF version 1 is not read"},
        {NULL, 4, "\0\0\0\3", 4, "is big-endian"},
        {NULL, 8, "\377\377\377\377\377\377\377\177", 8, "tensors do not fit into the file"},
        {NULL, 16, "\377\377\377\377\377\377\377\177", 8, "keys do not fit into the file"},
        {"llama.block_count", 0, "\15\0\0\0", 4, "key llama.block_count: its kind of value is not known"},
        {"llama.block_count", 0, "\11\0\0\0\11\0\0\0", 8, "lists of lists"},
        {"q4_0", 0, "\5\0\0\0", 4, "tensor q4_0: 5 dimensions are too many"},
        {"q4_0", 4, "\0\0\0\0", 4, "tensor q4_0: a dimension is 0"},
        {"q4_0", 4, "\20\0\0\0", 4, "tensor q4_0: rows of 16 elements in blocks of 32 (Q4_0)"},
        {"q4_0", 12, "\377\377\377\377\377\377\377\177", 8, "tensor q4_0: its shape is too large"},
        {"q4_0", 12, "\0\0\1\0", 4, "tensor q4_0: its data ends behind the end of the file"},
        {"q4_0", 20, "\143\0\0\0", 4, "tensor q4_0: its element type has the number 99"},
        {"q4_0", 24, "\1\0\0\0", 4, "is not a multiple of 32"},
        {"q4_0", 24, "\0\0\0\0\0\0\0\100", 8, "tensor q4_0: its data ends behind the end of the file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        char *bytes = sample_bytes(&size);
        char *at = cases[i].name ? find_bytes(bytes, size, cases[i].name) + strlen(cases[i].name) : bytes;
        memcpy(at + cases[i].behind, cases[i].bytes, cases[i].count);
        expect_bytes_refused(bytes, size, cases[i].reason);
        free(bytes);
    }
}

// A type that is known but not read costs the matrix, not the file.
static void types_that_are_not_read(void **state) {
    (void)state;
    GgufHead head = {0};
    Checkpoint checkpoint;
    StoredSet *set;
    const Tensor *tensor;
    Error err = {0};
    gguf_head_add(&head, "m.weight", (GgufType)16, 2, (uint64_t[]){1, 256}); // IQ2_XXS
    assert_true(gguf_head_end(&head, NULL));
    char *path = folder_write(folder, "iq2.gguf", head.text.data, head.text.length);
    expect_refused(path, "tensor m.weight: its data ends behind the end of the file");
    free(path);
    for (int i = 0; i < 96; i++) text_add(&head.text, "", 1);
    path = folder_write(folder, "iq2.gguf", head.text.data, head.text.length);
    assert_true(checkpoint_open(path, &checkpoint, NULL));
    assert_true(stored_open(&checkpoint, &set, NULL));
    assert_false(stored_find(set, "m.weight", &tensor, &err));
    assert_non_null(strstr(err.message, "iq2.gguf: tensor m.weight: elements of type IQ2_XXS are not read"));
    stored_close(set);
    checkpoint_close(&checkpoint);
    gguf_head_free(&head);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(blocks_stand_for_the_numbers_of_the_package),
        IN_FOLDER(a_model_comes_back),
        IN_FOLDER(later_gemmas_come_back),
        IN_FOLDER(mixtures_of_experts_come_back),
        IN_FOLDER(experts_of_a_gguf_file_become_a_checkpoint),
        IN_FOLDER(quantized_weights_come_back),
        IN_FOLDER(what_is_written_is_read_back),
        IN_FOLDER(a_gguf_file_becomes_a_checkpoint),
        IN_FOLDER(byte_level_tokenizers_come_back),
        IN_FOLDER(families_of_tokenizers_come_back),
        IN_FOLDER(special_tokens_and_the_chat_template_come_back),
        IN_FOLDER(tokenizers_that_are_not_read),
        IN_FOLDER(files_are_found),
        IN_FOLDER(a_split_model_is_one),
        IN_FOLDER(unknown_architectures_are_listed),
        IN_FOLDER(files_that_are_cut_off),
        IN_FOLDER(heads_that_are_wrong),
        IN_FOLDER(types_that_are_not_read),
    };
    return cmocka_run_group_tests(tests, small_sample_make, small_sample_drop);
}
