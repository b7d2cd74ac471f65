// The list of linears: order, shapes, shared inputs, folds, and messages for checkpoints that do not fit their
// configuration.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "loaders/structure.h"
#include "tests/support/in_folder.h"

enum { HIDDEN = 8, HEADS = 2, KV_HEADS = 1, HEAD_DIM = 4, FFN = 12, VOCAB = 10, LAYERS = 2 };

// What a test changes about an otherwise whole checkpoint.
typedef struct Variant {
    const char *prefix;
    const char *leave_out;   // a tensor
    const char *misshape;    // a tensor that gets one row more
    const char *other_dtype; // a tensor that gets I16 elements
    bool biases, head;
    bool wide; // F64
} Variant;

typedef struct Header {
    const Variant *variant;
    Text text;
    size_t bytes;
} Header;

static void add(Header *header, const char *prefix, const char *name, size_t rows, size_t columns) {
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const Variant *variant = header->variant;
    if (variant->leave_out && strcmp(variant->leave_out, full) == 0) return;
    if (variant->misshape && strcmp(variant->misshape, full) == 0) rows++;
    const char *dtype = variant->other_dtype && strcmp(variant->other_dtype, full) == 0 ? "I16"
                        : variant->wide                                                 ? "F64"
                                                                                        : "BF16";
    size_t bytes = (variant->wide ? 8 : 2) * rows * (columns ? columns : 1);
    text_addf(&header->text, "%c\"%s\":{\"dtype\":\"%s\",\"shape\":[%zu", header->text.length ? ',' : '{', full, dtype,
              rows);
    if (columns) text_addf(&header->text, ",%zu", columns);
    text_addf(&header->text, "],\"data_offsets\":[%zu,%zu]}", header->bytes, header->bytes + bytes);
    header->bytes += bytes;
}

static void add_layer(Header *header, int layer) {
    static const struct {
        const char *name;
        size_t out, in;
    } linears[] = {
        {"self_attn.q_proj", HEADS * HEAD_DIM, HIDDEN},
        {"self_attn.k_proj", KV_HEADS * HEAD_DIM, HIDDEN},
        {"self_attn.v_proj", KV_HEADS * HEAD_DIM, HIDDEN},
        {"self_attn.o_proj", HIDDEN, HEADS * HEAD_DIM},
        {"mlp.gate_proj", FFN, HIDDEN},
        {"mlp.up_proj", FFN, HIDDEN},
        {"mlp.down_proj", HIDDEN, FFN},
    };
    char name[96];
    for (size_t i = 0; i < 7; i++) {
        snprintf(name, sizeof name, "layers.%d.%s.weight", layer, linears[i].name);
        add(header, header->variant->prefix, name, linears[i].out, linears[i].in);
        snprintf(name, sizeof name, "layers.%d.%s.bias", layer, linears[i].name);
        if (header->variant->biases) add(header, header->variant->prefix, name, linears[i].out, 0);
    }
    snprintf(name, sizeof name, "layers.%d.input_layernorm.weight", layer);
    add(header, header->variant->prefix, name, HIDDEN, 0);
    snprintf(name, sizeof name, "layers.%d.post_attention_layernorm.weight", layer);
    add(header, header->variant->prefix, name, HIDDEN, 0);
}

static Checkpoint open_variant(const Variant *variant) {
    Header header = {.variant = variant};
    add(&header, variant->prefix, "embed_tokens.weight", VOCAB, HIDDEN);
    for (int layer = 0; layer < LAYERS; layer++) add_layer(&header, layer);
    add(&header, variant->prefix, "norm.weight", HIDDEN, 0);
    if (variant->head) add(&header, "", "lm_head.weight", VOCAB, HIDDEN);
    text_addf(&header.text, "}");
    free(folder_put_safetensors(folder, "model.safetensors", header.text.data, header.bytes));
    text_free(&header.text);
    Checkpoint checkpoint;
    Error err = {0};
    if (!checkpoint_open(folder, &checkpoint, &err)) fail_msg("%s", err.message);
    return checkpoint;
}

static ModelConfig config_of(const Variant *variant) {
    return (ModelConfig){.family = "llama",
                         .layers = LAYERS,
                         .hidden = HIDDEN,
                         .heads = HEADS,
                         .kv_heads = KV_HEADS,
                         .head_dim = HEAD_DIM,
                         .ffn = FFN,
                         .vocab = VOCAB,
                         .tied_head = !variant->head,
                         .attention_bias = variant->biases,
                         .output_bias = variant->biases,
                         .mlp_bias = variant->biases};
}

static void build(const Variant *variant, Checkpoint *checkpoint, ModelStructure *out) {
    *checkpoint = open_variant(variant);
    ModelConfig config = config_of(variant);
    Error err = {0};
    if (!structure_build(checkpoint, &config, out, &err)) fail_msg("%s", err.message);
}

static void drop(Checkpoint *checkpoint, ModelStructure *structure) {
    structure_free(structure);
    checkpoint_close(checkpoint);
}

static void order(void **state) {
    (void)state;
    Checkpoint checkpoint;
    ModelStructure s;
    build(&(Variant){.prefix = "model.", .head = true}, &checkpoint, &s);
    assert_int_equal(s.linear_count, 7 * LAYERS + 1);
    assert_int_equal(s.norm_count, 2 * LAYERS + 1);
    assert_int_equal(s.input_count, 4 * LAYERS + 1);
    static const LinearRole roles[] = {ROLE_Q, ROLE_K, ROLE_V, ROLE_O, ROLE_GATE, ROLE_UP, ROLE_DOWN};
    static const int inputs[] = {0, 0, 0, 1, 2, 2, 3}, fused[] = {0, 0, 0, -1, 1, 1, -1};
    for (int i = 0; i < 7 * LAYERS; i++) {
        const Linear *linear = &s.linears[i];
        int layer = i / 7;
        assert_int_equal(linear->role, roles[i % 7]);
        assert_int_equal(linear->layer, layer);
        assert_int_equal(linear->expert, -1);
        assert_int_equal(linear->input, 4 * layer + inputs[i % 7]);
        assert_int_equal(linear->fused_set, fused[i % 7] < 0 ? -1 : 2 * layer + fused[i % 7]);
        assert_true(linear->quantizable && !linear->bias);
        assert_true(linear->weight->shape[0] == linear->out && linear->weight->shape[1] == linear->in);
    }
    assert_string_equal(s.linears[8].name, "model.layers.1.self_attn.k_proj");
    assert_int_equal(s.head, 14);
    assert_int_equal(s.linears[14].role, ROLE_HEAD);
    assert_int_equal(s.linears[14].layer, -1);
    assert_false(s.linears[14].quantizable);
    assert_string_equal(s.linears[14].weight->name, "lm_head.weight");
    assert_int_equal(s.embedding->shape[0], VOCAB);
    size_t layer_size =
        2 * HEADS * HEAD_DIM * HIDDEN + 2 * KV_HEADS * HEAD_DIM * HIDDEN + 3 * FFN * HIDDEN + 2 * HIDDEN;
    assert_int_equal(s.parameters, 2 * VOCAB * HIDDEN + LAYERS * layer_size + HIDDEN);
    drop(&checkpoint, &s);
}

static void folds(void **state) {
    (void)state;
    Checkpoint checkpoint;
    ModelStructure s;
    build(&(Variant){.prefix = "model.", .head = true}, &checkpoint, &s);
    for (int layer = 0; layer < LAYERS; layer++) {
        const LayerMap *map = &s.layers[layer];
        const int by_norm[] = {map->q, map->k, map->v, map->gate, map->up};
        for (int i = 0; i < 5; i++) {
            const Linear *linear = &s.linears[by_norm[i]];
            assert_int_equal(linear->fold, FOLD_NORM);
            assert_int_equal(linear->fold_index, i < 3 ? map->attention_norm : map->mlp_norm);
            assert_int_equal(s.norms[linear->fold_index].input, linear->input);
            assert_int_equal(s.norms[linear->fold_index].layer, layer);
        }
        assert_int_equal(s.linears[map->o].fold, FOLD_LINEAR_ROWS);
        assert_int_equal(s.linears[map->o].fold_index, map->v);
        assert_int_equal(s.linears[map->down].fold, FOLD_LINEAR_ROWS);
        assert_int_equal(s.linears[map->down].fold_index, map->up);
        assert_int_equal(s.linears[map->down].role, ROLE_DOWN);
    }
    assert_int_equal(s.linears[s.head].fold, FOLD_NONE);
    assert_int_equal(s.norms[s.ends.final_norm].layer, -1);
    assert_int_equal(s.norms[s.ends.final_norm].input, s.linears[s.head].input);
    assert_string_equal(s.norms[s.ends.final_norm].name, "model.norm");
    drop(&checkpoint, &s);
}

static void variants(void **state) {
    (void)state;
    Checkpoint checkpoint;
    ModelStructure s;
    build(&(Variant){.prefix = "", .biases = true}, &checkpoint, &s);
    assert_string_equal(s.linears[0].name, "layers.0.self_attn.q_proj");
    for (int i = 0; i < 14; i++) assert_int_equal(s.linears[i].bias->shape[0], s.linears[i].out);
    assert_true(s.linears[s.head].weight == s.embedding); // tied
    assert_string_equal(s.linears[s.head].name, "lm_head");
    drop(&checkpoint, &s);
}

static void names(void **state) {
    (void)state;
    Checkpoint checkpoint;
    ModelStructure s;
    build(&(Variant){.prefix = "model."}, &checkpoint, &s);
    assert_int_equal(structure_find(&s, "model.layers.1.mlp.down_proj"), 13);
    assert_int_equal(structure_find(&s, "lm_head"), 14);
    assert_int_equal(structure_find(&s, "model.layers.2.mlp.down_proj"), -1);
    char name[32];
    linear_short_name(&s.linears[13], name, sizeof name);
    assert_string_equal(name, "1.down_proj");
    linear_short_name(&s.linears[14], name, sizeof name);
    assert_string_equal(name, "head");
    assert_string_equal(role_name(ROLE_GATE), "gate");
    drop(&checkpoint, &s);
}

static void misfits(void **state) {
    (void)state;
    static const struct {
        Variant variant;
        const char *reason;
    } wrong[] = {
        {{.prefix = "model.", .leave_out = "model.layers.1.mlp.up_proj.weight"},
         "tensor model.layers.1.mlp.up_proj.weight is missing"},
        {{.prefix = "model.", .leave_out = "model.norm.weight"}, "tensor model.norm.weight is missing"},
        {{.prefix = "model.", .head = true, .leave_out = "lm_head.weight"}, "tensor lm_head.weight is missing"},
        {{.prefix = "bert."}, "not a checkpoint of a llama model"},
        {{.prefix = "model.", .misshape = "model.layers.0.self_attn.k_proj.weight"},
         "shape is [5, 8], but config.json makes it [4, 8]"},
        {{.prefix = "model.", .misshape = "model.embed_tokens.weight"},
         "shape is [11, 8], but config.json makes it [10, 8]"},
        {{.prefix = "model.", .misshape = "model.layers.0.input_layernorm.weight"},
         "shape is [9], but config.json makes it [8]"},
        {{.prefix = "model.", .other_dtype = "model.layers.0.mlp.gate_proj.weight"},
         "type I16 cannot be used as weights; supported: F32, F16, BF16"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Checkpoint checkpoint = open_variant(&wrong[i].variant);
        ModelConfig config = config_of(&wrong[i].variant);
        ModelStructure s;
        Error err = {0};
        if (structure_build(&checkpoint, &config, &s, &err)) fail_msg("accepted, but expected: %s", wrong[i].reason);
        if (!strstr(err.message, wrong[i].reason))
            fail_msg("expected \"%s\", got \"%s\"", wrong[i].reason, err.message);
        checkpoint_close(&checkpoint);
    }
}

static void build_tied(const Variant *variant, Checkpoint *checkpoint, ModelStructure *out) {
    ModelConfig config = config_of(variant);
    Error err = {0};
    config.tied_head = true;
    if (!structure_build(checkpoint, &config, out, &err)) fail_msg("%s", err.message);
}

// The flag says that the head is the embedding. The file is believed: it may hold both, with other numbers or the same.
static void both_of_tied(bool wide) {
    Variant variant = {.prefix = "model.", .head = true, .wide = wide};
    Checkpoint checkpoint = open_variant(&variant);
    ModelStructure structure;
    build_tied(&variant, &checkpoint, &structure);
    const Tensor *embedding = checkpoint_find(&checkpoint, "model.embed_tokens.weight"),
                 *head = checkpoint_find(&checkpoint, "lm_head.weight");
    assert_true(structure.head_untied);
    assert_ptr_equal(tensor_in_file(structure.linears[structure.head].weight), head);
    assert_ptr_equal(tensor_in_file(structure.embedding), embedding);
    structure_free(&structure);
    // The same numbers: one tensor serves as both.
    char path[512];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    FILE *file = fopen(path, "r+be");
    assert_true(file && fseek(file, -(long)head->bytes, SEEK_END) == 0);
    assert_int_equal(fwrite(embedding->data, 1, head->bytes, file), head->bytes);
    fclose(file);
    checkpoint_close(&checkpoint);
    Error err = {0};
    assert_true(checkpoint_open(folder, &checkpoint, &err));
    build_tied(&variant, &checkpoint, &structure);
    assert_false(structure.head_untied);
    assert_ptr_equal(structure.linears[structure.head].weight, structure.embedding);
    structure_free(&structure);
    checkpoint_close(&checkpoint);
}

static void tied_heads(void **state) {
    (void)state;
    both_of_tied(false);
    both_of_tied(true);
    // The head alone.
    const Variant variant = {.prefix = "model.", .head = true, .leave_out = "model.embed_tokens.weight"};
    Checkpoint checkpoint = open_variant(&variant);
    ModelStructure structure;
    build_tied(&variant, &checkpoint, &structure);
    assert_string_equal(structure.embedding->name, "lm_head.weight");
    assert_ptr_equal(structure.linears[structure.head].weight, structure.embedding);
    structure_free(&structure);
    checkpoint_close(&checkpoint);
}

int main(void) {
    const struct CMUnitTest tests[] = {IN_FOLDER(tied_heads), IN_FOLDER(order), IN_FOLDER(folds),
                                       IN_FOLDER(variants),   IN_FOLDER(names), IN_FOLDER(misfits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
