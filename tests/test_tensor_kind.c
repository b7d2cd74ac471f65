// What tensors of unknown models are: by torch's own account of its modules, and by names that files have and torch has
// not.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/file.h"
#include "loaders/structure.h"
#include "tests/support/in_folder.h"

enum { MOST_TENSORS = 512 };

// A checkpoint of names and shapes alone.
typedef struct TensorNames {
    Tensor tensors[MOST_TENSORS];
    const Tensor *by_name[MOST_TENSORS];
    char expected[MOST_TENSORS];
    Checkpoint checkpoint;
} TensorNames;

static int compare_tensors(const void *a, const void *b) {
    return strcmp((*(const Tensor *const *)a)->name, (*(const Tensor *const *)b)->name);
}

static Tensor *add(TensorNames *names, const char *name, const char *shape) {
    assert_true(names->checkpoint.tensor_count < MOST_TENSORS);
    Tensor *tensor = &names->tensors[names->checkpoint.tensor_count];
    *tensor = (Tensor){.name = name, .dtype = DTYPE_BF16};
    for (char *end; *shape; shape = *end ? end + 1 : end) tensor->shape[tensor->rank++] = strtoull(shape, &end, 10);
    names->by_name[names->checkpoint.tensor_count++] = tensor;
    names->checkpoint.by_name = names->by_name;
    return tensor;
}

static void sort(TensorNames *names) {
    qsort(names->by_name, names->checkpoint.tensor_count, sizeof *names->by_name, compare_tensors);
}

static bool as_expected(TensorKind kind, char expected) {
    switch (expected) {
    case 'L': return kind == TENSOR_LINEAR || kind == TENSOR_ROUTER || kind == TENSOR_HEAD;
    case 'T': return kind == TENSOR_LINEAR_TRANSPOSED;
    case 'E': return kind == TENSOR_EXPERTS;
    default: return !tensor_kind_is_linear(kind);
    }
}

static int wrong_in_family(TensorNames *names, const char *family) {
    int wrong = 0;
    sort(names);
    for (size_t i = 0; i < names->checkpoint.tensor_count; i++) {
        const Tensor *tensor = &names->tensors[i];
        TensorKind kind = tensor_kind(&names->checkpoint, tensor);
        if (as_expected(kind, names->expected[i])) continue;
        wrong++;
        print_error("%s: %s is taken for %s, but is %c\n", family, tensor->name, tensor_kind_name(kind),
                    names->expected[i]);
    }
    names->checkpoint.tensor_count = 0;
    return wrong;
}

static void linears_are_those_of_torch(void **state) {
    (void)state;
    static TensorNames names;
    char *text, family[64] = "";
    size_t size;
    int wrong = 0, families = 0;
    Error err = {0};
    if (!file_read("tests/fixtures/kinds/names.tsv", 1 << 20, &text, &size, &err)) fail_msg("%s", err.message);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (line[0] == '#') {
            wrong += wrong_in_family(&names, family);
            snprintf(family, sizeof family, "%s", line + 2);
            families++;
            continue;
        }
        char *shape = strchr(line, '\t'), *kind = strrchr(line, '\t');
        names.expected[names.checkpoint.tensor_count] = kind[1];
        *shape = *kind = '\0';
        add(&names, line, shape + 1);
    }
    wrong += wrong_in_family(&names, family);
    free(text);
    assert_true(families > 50);
    assert_int_equal(wrong, 0);
}

typedef struct Named {
    const char *name, *shape;
    TensorKind kind;
} Named;

static void check(const Named *rows, size_t count) {
    static TensorNames names;
    names.checkpoint.tensor_count = 0;
    for (size_t i = 0; i < count; i++) add(&names, rows[i].name, rows[i].shape);
    sort(&names);
    for (size_t i = 0; i < count; i++) {
        TensorKind kind = tensor_kind(&names.checkpoint, &names.tensors[i]);
        if (kind != rows[i].kind)
            fail_msg("%s: %s, expected %s", rows[i].name, tensor_kind_name(kind), tensor_kind_name(rows[i].kind));
    }
}
#define CHECK(rows) check(rows, sizeof(rows) / sizeof *(rows))

static void names_of_files(void **state) {
    (void)state;
    static const Named dbrx[] = {
        {"transformer.blocks.0.norm_attn_norm.attn.Wqkv.weight", "96,64", TENSOR_LINEAR},
        {"transformer.blocks.0.norm_attn_norm.norm_1.weight", "64", TENSOR_NORM},
        {"transformer.blocks.0.ffn.router.layer.weight", "4,64", TENSOR_ROUTER},
        {"transformer.blocks.0.ffn.experts.mlp.w1", "192,64", TENSOR_EXPERTS},
        {"transformer.blocks.0.ffn.experts.mlp.w2", "192,64", TENSOR_EXPERTS},
        {"transformer.wte.weight", "100,64", TENSOR_EMBEDDING},
    };
    static const Named step3[] = {
        {"model.layers.4.moe.gate.weight", "8,64", TENSOR_ROUTER},
        {"model.layers.4.moe.gate_proj.weight", "8,48,64", TENSOR_EXPERTS},
        {"model.layers.4.moe.router_bias", "8", TENSOR_BIAS},
        {"model.layers.4.self_attn.inter_norm.weight", "64", TENSOR_NORM},
    };
    static const Named gpt2[] = {
        {"h.0.attn.c_attn.weight", "64,192", TENSOR_LINEAR_TRANSPOSED},
        {"h.0.attn.c_attn.bias", "192", TENSOR_BIAS},
        {"h.0.attn.c_proj.weight", "64,64", TENSOR_LINEAR_TRANSPOSED}, // square: its neighbours tell
        {"h.0.attn.c_proj.bias", "64", TENSOR_BIAS},
        {"h.0.attn.bias", "1,1,128,128", TENSOR_BIAS},
        {"h.0.mlp.c_proj.weight", "256,64", TENSOR_LINEAR_TRANSPOSED},
        {"h.0.mlp.c_proj.bias", "64", TENSOR_BIAS},
        {"wpe.weight", "128,64", TENSOR_EMBEDDING},
    };
    static const Named starcoder[] = {
        // Linears with GPT-2's names
        {"transformer.h.0.attn.c_attn.weight", "192,64", TENSOR_LINEAR},
        {"transformer.h.0.attn.c_attn.bias", "192", TENSOR_BIAS},
        {"transformer.h.0.attn.c_proj.weight", "64,64", TENSOR_LINEAR},
        {"transformer.h.0.attn.c_proj.bias", "64", TENSOR_BIAS},
    };
    static const Named mistral[] = {
        {"layers.0.attention.wq.weight", "64,64", TENSOR_LINEAR},
        {"layers.0.feed_forward.w2.weight", "64,96", TENSOR_LINEAR},
        {"output.weight", "100,64", TENSOR_HEAD},
        {"tok_embeddings.weight", "100,64", TENSOR_EMBEDDING},
        {"layers.0.feed_forward.gate.weight", "8,64", TENSOR_ROUTER},
        {"layers.0.feed_forward.experts.0.w1.weight", "96,64", TENSOR_LINEAR},
    };
    static const Named flux[] = {
        {"transformer_blocks.0.norm1.linear.weight", "384,64", TENSOR_LINEAR},
        {"transformer_blocks.0.attn.norm_q.weight", "16", TENSOR_NORM},
        {"x_embedder.weight", "64,16", TENSOR_LINEAR},
        {"time_text_embed.timestep_embedder.linear_1.weight", "64,32", TENSOR_LINEAR},
        {"scale_shift_table", "6,64", TENSOR_OTHER},
        {"down_blocks.0.resnets.0.conv1.weight", "32,16,3,3", TENSOR_CONVOLUTION},
        {"down_blocks.0.proj_in.weight", "32,16,1,1", TENSOR_CONVOLUTION},
    };
    static const Named states[] = {
        {"backbone.layers.0.mixer.A_log", "128,16", TENSOR_OTHER},
        {"backbone.layers.0.mixer.D", "8,16", TENSOR_OTHER},
        {"backbone.layers.0.mixer.dt_bias", "8,16", TENSOR_BIAS},
        {"backbone.layers.0.mixer.conv1d.weight", "128,1,4", TENSOR_CONVOLUTION},
        {"backbone.layers.0.mixer.dt_proj.weight", "128,8", TENSOR_LINEAR},
        {"model.blocks.0.attention.time_decay", "8,8", TENSOR_OTHER},
        {"model.blocks.0.attention.gate.weight", "64,64", TENSOR_LINEAR}, // no experts: no router
        {"model.layers.0.self_attn.q_norm.weight", "8,16", TENSOR_NORM},
        {"model.layers.0.mlp.experts.gate_up_proj_bias", "8,96", TENSOR_BIAS},
        {"model.layers.0.mlp.gate.e_score_correction_bias", "8", TENSOR_BIAS},
        {"model.rotary_emb.cos_cached", "128,16", TENSOR_OTHER},
        {"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", "32,8", TENSOR_BIAS},
        {"cls.predictions.decoder.weight", "100,64", TENSOR_HEAD},
        {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "8,64", TENSOR_LINEAR},
        {"visual.proj", "64,32", TENSOR_LINEAR_TRANSPOSED},
        {"visual.transformer.resblocks.0.attn.in_proj_weight", "192,64", TENSOR_LINEAR},
    };
    CHECK(dbrx);
    CHECK(step3);
    CHECK(gpt2);
    CHECK(starcoder);
    CHECK(mistral);
    CHECK(flux);
    CHECK(states);
}

// ---- Experts ----

static void check_layout(const Named *rows, size_t count, const ExpertLayout *expected) {
    static TensorNames names;
    names.checkpoint.tensor_count = 0;
    for (size_t i = 0; i < count; i++) add(&names, rows[i].name, rows[i].shape);
    sort(&names);
    for (size_t i = 0; i < count; i++) {
        ExpertLayout layout;
        if (rows[i].kind != TENSOR_EXPERTS) continue;
        assert_int_equal(tensor_kind(&names.checkpoint, &names.tensors[i]), TENSOR_EXPERTS);
        assert_true(tensor_experts(&names.checkpoint, &names.tensors[i], &layout));
        const ExpertLayout *e = &expected[i];
        if (layout.count != e->count || layout.out != e->out || layout.in != e->in ||
            layout.transposed != e->transposed || layout.mxfp4 != e->mxfp4)
            fail_msg("%s: %zu × [%zu, %zu]%s", rows[i].name, layout.count, layout.out, layout.in,
                     layout.transposed ? " transposed" : "");
    }
}
#define CHECK_LAYOUT(rows, ...) check_layout(rows, sizeof(rows) / sizeof *(rows), (const ExpertLayout[]){__VA_ARGS__})

static void axes_of_experts(void **state) {
    (void)state;
    static const Named transposed[] = {{"l.0.experts.gate_up_proj", "8,64,192", TENSOR_EXPERTS},
                                       {"l.0.experts.down_proj", "8,96,64", TENSOR_EXPERTS}};
    CHECK_LAYOUT(transposed, {8, 192, 64, true, false}, {8, 64, 96, true, false});
    static const Named torch[] = {{"l.0.moe.input_linear.weight", "8,192,64", TENSOR_EXPERTS},
                                  {"l.0.moe.output_linear.weight", "8,64,96", TENSOR_EXPERTS}};
    CHECK_LAYOUT(torch, {8, 192, 64, false, false}, {8, 64, 96, false, false});
    static const Named square[] = {{"l.0.experts.gate_up_proj", "8,64,128", TENSOR_EXPERTS}, // f = h
                                   {"l.0.experts.down_proj", "8,64,64", TENSOR_EXPERTS}};
    CHECK_LAYOUT(square, {8, 128, 64, true, false}, {8, 64, 64, true, false});
    static const Named apart[] = {{"l.0.moe.gate.weight", "8,64", TENSOR_ROUTER}, // the router's width tells
                                  {"l.0.moe.gate_proj.weight", "8,48,64", TENSOR_EXPERTS},
                                  {"l.0.moe.down_proj.weight", "8,64,48", TENSOR_EXPERTS}};
    CHECK_LAYOUT(apart, {0}, {8, 48, 64, false, false}, {8, 64, 48, false, false});
    static const Named apart_transposed[] = {{"l.0.mlp.router.weight", "8,64", TENSOR_ROUTER},
                                             {"l.0.mlp.experts.up_proj", "8,64,48", TENSOR_EXPERTS},
                                             {"l.0.mlp.experts.down_proj", "8,48,64", TENSOR_EXPERTS}};
    CHECK_LAYOUT(apart_transposed, {0}, {8, 48, 64, true, false}, {8, 64, 48, true, false});
    static const Named dbrx[] = {{"b.0.ffn.router.layer.weight", "4,64", TENSOR_ROUTER},
                                 {"b.0.ffn.experts.mlp.v1", "192,64", TENSOR_EXPERTS},
                                 {"b.0.ffn.experts.mlp.w2", "192,64", TENSOR_EXPERTS}};
    CHECK_LAYOUT(dbrx, {0}, {4, 48, 64, false, false}, {4, 64, 48, true, false});
}

static void open_experts(const char *header, size_t bytes, Checkpoint *checkpoint, ModelStructure *s) {
    Error err = {0};
    const ModelConfig config = {.family = "x", .not_run = "no", .layout = LAYOUT_OTHER};
    free(folder_put_safetensors(folder, "model.safetensors", header, bytes));
    if (!checkpoint_open(folder, checkpoint, &err) || !structure_build(checkpoint, &config, s, &err))
        fail_msg("%s", err.message);
}

static void close_experts(Checkpoint *checkpoint, ModelStructure *s) {
    structure_free(s);
    checkpoint_close(checkpoint);
}

static float number_at(const Tensor *tensor, size_t at) {
    float value;
    floats_from(tensor->dtype, (const char *)tensor->data + at * dtype_bytes(tensor->dtype), 1, &value);
    return value;
}

static void check_numbers_of(const Linear *linear) {
    const Tensor *in_file = tensor_in_file(linear->weight);
    Error err = {0};
    assert_true(tensor_hold(linear->weight, &err));
    for (size_t o = 0; o < linear->out; o++) {
        for (size_t c = 0; c < linear->in; c++) {
            size_t place = linear->transposed ? c * linear->out + o : o * linear->in + c;
            place += (size_t)linear->expert * linear->out * linear->in;
            const float is = number_at(linear->weight, o * linear->in + c), expected = number_at(in_file, place);
            if (is != expected && !(isnan(is) && isnan(expected)))
                fail_msg("%s [%zu, %zu]: %g, not %g", linear->name, o, c, (double)is, (double)expected);
        }
    }
    tensor_release(linear->weight);
}

// Every number of every expert, as [out, in], is the one that the file has for it, whatever type they are stored in.
static void numbers_of_experts(void **state) {
    (void)state;
    enum { EXPERTS = 3, HIDDEN = 4, FFN = 3 };
    static const struct {
        const char *dtype;
        int bytes;
    } types[] = {{"BF16", 2}, {"F16", 2}, {"F32", 4}, {"F64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const char *dtype = types[t].dtype;
        const int bytes = types[t].bytes;
        char header[512];
        snprintf(header, sizeof header,
                 "{\"l.0.experts.down_proj\":{\"dtype\":\"%s\",\"shape\":[3,4,3],\"data_offsets\":[0,%d]},"
                 "\"l.1.experts.gate_up_proj\":{\"dtype\":\"%s\",\"shape\":[3,4,6],\"data_offsets\":[%d,%d]},"
                 "\"l.1.experts.down_proj\":{\"dtype\":\"%s\",\"shape\":[3,3,4],\"data_offsets\":[%d,%d]}}",
                 dtype, 36 * bytes, dtype, 36 * bytes, 108 * bytes, dtype, 108 * bytes, 144 * bytes);
        Checkpoint checkpoint = {0};
        ModelStructure s = {0};
        open_experts(header, (size_t)(144 * bytes), &checkpoint, &s);
        assert_int_equal(s.linear_count, 3 * EXPERTS);
        assert_int_equal(s.config.layers, 2);
        assert_int_equal(s.parameters, 144);
        for (int i = 0; i < s.linear_count; i++) {
            const Linear *linear = &s.linears[i];
            const bool down = linear->role == ROLE_DOWN;
            char name[64];
            snprintf(name, sizeof name, "l.%d.experts.%d.%s", linear->layer, linear->expert,
                     down ? "down_proj" : "gate_up_proj");
            assert_string_equal(linear->name, name);
            assert_int_equal(linear->out, down ? HIDDEN : 2 * FFN);
            assert_int_equal(linear->in, down ? FFN : HIDDEN);
            assert_int_equal(linear->transposed, linear->layer == 1);
            check_numbers_of(linear);
        }
        assert_int_equal(s.unlisted_bytes, 0);
        close_experts(&checkpoint, &s);
    }
}

// Bytes whose scales are not understood, and integers, are no numbers: they are left out, and it is said.
static void experts_that_cannot_be_read_are_named(void **state) {
    (void)state;
    static const struct {
        const char *tensor, *reason;
    } cases[] = {
        {"\"l.0.experts.down_proj\":{\"dtype\":\"F8_E4M3\",\"shape\":[2,4,4],\"data_offsets\":[64,96]},"
         "\"l.0.experts.down_proj_scale\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[96,104]}",
         "down_proj: experts of type F8_E4M3 with scales are not read"},
        {"\"l.0.experts.down_proj\":{\"dtype\":\"I8\",\"shape\":[2,4,4],\"data_offsets\":[64,96]},"
         "\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[96,104]}",
         "down_proj: experts of type I8 are not read"},
        {"\"l.0.ffn.experts.mlp.w1\":{\"dtype\":\"F8_E4M3\",\"shape\":[8,4],\"data_offsets\":[64,96]},"
         "\"l.0.ffn.router.layer.weight\":{\"dtype\":\"F8_E4M3\",\"shape\":[2,4],\"data_offsets\":[96,104]}",
         "w1: experts that share a quantized matrix are not read"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[512];
        snprintf(header, sizeof header,
                 "{\"l.0.q_proj.weight\":{\"dtype\":\"F32\",\"shape\":[4,4],\"data_offsets\":[0,64]},%s}",
                 cases[i].tensor);
        Checkpoint checkpoint = {0};
        ModelStructure s = {0};
        open_experts(header, 104, &checkpoint, &s);
        for (int l = 0; l < s.linear_count; l++) assert_null(strstr(s.linears[l].name, "experts"));
        if (!strstr(s.unread, cases[i].reason)) fail_msg("\"%s\" does not say \"%s\"", s.unread, cases[i].reason);
        close_experts(&checkpoint, &s);
    }
}

// 16 bytes are 32 numbers, the lower half of a byte first; the scale is 2^(byte − 127).
static void numbers_of_mxfp4(void **state) {
    (void)state;
    static const float e2m1[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};
    free(folder_put_safetensors(
        folder, "model.safetensors",
        "{\"l.0.experts.down_proj_blocks\":{\"dtype\":\"U8\",\"shape\":[2,3,2,16],\"data_offsets\":[0,192]},"
        "\"l.0.experts.down_proj_scales\":{\"dtype\":\"U8\",\"shape\":[2,3,2],\"data_offsets\":[192,204]},"
        "\"l.0.experts.down_proj_bias\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[204,216]}}",
        216));
    Checkpoint checkpoint = {0};
    ModelStructure s = {0};
    Error err = {0};
    const ModelConfig config = {.family = "x", .not_run = "no", .layout = LAYOUT_OTHER};
    if (!checkpoint_open(folder, &checkpoint, &err) || !structure_build(&checkpoint, &config, &s, &err))
        fail_msg("%s", err.message);
    assert_int_equal(s.linear_count, 2);
    assert_int_equal(s.parameters, 2 * 3 * 64 + 6);
    for (int i = 0; i < 2; i++) {
        const Linear *linear = &s.linears[i];
        assert_int_equal(linear->out, 3);
        assert_int_equal(linear->in, 64);
        assert_string_equal(linear->weight->stored, "MXFP4");
        assert_int_equal(linear->weight->dtype, DTYPE_BF16);
        assert_int_equal(tensor_stored_bytes(linear->weight), 96 + 6);
        assert_true(tensor_hold(linear->weight, &err));
        for (size_t j = 0; j < 3 * 64; j++) { // bytes of the file count 0, 1, 2, …
            unsigned byte = (unsigned)((size_t)i * 96 + j / 2), scale = (unsigned)(192 + i * 6 + (int)(j / 32));
            float expected = e2m1[j % 2 ? byte >> 4 : byte & 15];
            for (unsigned k = 127; k < scale; k++) expected *= 2;
            if (number_at(linear->weight, j) != expected) fail_msg("%s: number %zu", linear->name, j);
        }
        tensor_release(linear->weight);
    }
    assert_int_equal(s.unlisted_bytes, 12); // the bias: scales belong to what they scale
    assert_int_equal(s.unlisted[TENSOR_BIAS].tensors, 1);
    structure_free(&s);
    checkpoint_close(&checkpoint);
}

// Of each kind how much, and which is the largest.
static void the_rest_is_counted(void **state) {
    (void)state;
    free(folder_put_safetensors(folder, "model.safetensors",
                                "{\"l.0.q_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[4,4],\"data_offsets\":[0,32]},"
                                "\"l.0.q_proj.bias\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[32,40]},"
                                "\"embed.weight\":{\"dtype\":\"BF16\",\"shape\":[600,4],\"data_offsets\":[40,4840]},"
                                "\"odd.small\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[4840,4848]},"
                                "\"odd.large\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[4848,4864]},"
                                "\"l.0.norm.weight\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[4864,4872]}}",
                                4872));
    Checkpoint checkpoint = {0};
    ModelStructure s = {0};
    Error err = {0};
    const ModelConfig config = {.family = "x", .not_run = "no", .layout = LAYOUT_OTHER};
    if (!checkpoint_open(folder, &checkpoint, &err) || !structure_build(&checkpoint, &config, &s, &err))
        fail_msg("%s", err.message);
    assert_int_equal(s.linear_count, 1);
    assert_int_equal(s.unlisted_bytes, 4872 - 32);
    assert_int_equal(s.rest_count, 5);
    assert_int_equal(s.unlisted[TENSOR_EMBEDDING].bytes, 4800);
    assert_int_equal(s.unlisted[TENSOR_OTHER].tensors, 2);
    assert_string_equal(s.unlisted[TENSOR_OTHER].largest->name, "odd.large");
    char *text = structure_unlisted_text(&s);
    assert_string_equal(text,
                        "embeddings 4.8 kB, others 24 bytes (the largest: odd.large), norms 8 bytes, biases 8 bytes");
    free(text);
    structure_free(&s);
    checkpoint_close(&checkpoint);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linears_are_those_of_torch),
        cmocka_unit_test(names_of_files),
        cmocka_unit_test(axes_of_experts),
        IN_FOLDER(numbers_of_experts),
        IN_FOLDER(experts_that_cannot_be_read_are_named),
        IN_FOLDER(numbers_of_mxfp4),
        IN_FOLDER(the_rest_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
