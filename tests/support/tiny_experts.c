#include "tests/support/tiny_experts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "export/safetensors_writer.h"
#include "tests/support/folder.h"

static void add_matrix(SafetensorsHead *head, Text *data, const char *name, uint64_t rows, uint64_t columns) {
    const int rank = rows ? 2 : 1;
    const uint64_t shape[] = {rows, columns};
    safetensors_head_add(head, name, DTYPE_F32, rank, shape + 2 - rank);
    for (uint64_t i = 0; i < (rows ? rows : 1) * columns; i++) {
        const float value = sinf((float)(i * 7 + data->length % 1000)) / 4;
        text_add(data, (const char *)&value, sizeof value);
    }
}

// In the order of a checkpoint: expert after expert, each with its three matrices.
static void add_layer(SafetensorsHead *head, Text *data) {
    static const struct {
        const char *name;
        uint64_t rows, columns;
    } all[] = {{"w1", TINY_FFN, TINY_HIDDEN}, {"w2", TINY_HIDDEN, TINY_FFN}, {"w3", TINY_FFN, TINY_HIDDEN}};
    static const char *const attention[] = {"q_proj", "k_proj", "v_proj", "o_proj"};
    char name[96];
    for (int e = 0; e < TINY_EXPERTS; e++)
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "model.layers.0.block_sparse_moe.experts.%d.%s.weight", e, all[i].name);
            add_matrix(head, data, name, all[i].rows, all[i].columns);
        }
    add_matrix(head, data, "model.layers.0.block_sparse_moe.gate.weight", TINY_EXPERTS, TINY_HIDDEN);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "model.layers.0.self_attn.%s.weight", attention[i]);
        add_matrix(head, data, name, TINY_HIDDEN, TINY_HIDDEN);
    }
    add_matrix(head, data, "model.layers.0.input_layernorm.weight", 0, TINY_HIDDEN);
    add_matrix(head, data, "model.layers.0.post_attention_layernorm.weight", 0, TINY_HIDDEN);
}

char *tiny_experts_put(const char *folder) {
    SafetensorsHead head;
    Text data = {0};
    char *source = path_join(folder, "source");
    assert_int_equal(mkdir(source, 0777), 0);
    safetensors_head_begin(&head);
    add_matrix(&head, &data, "model.embed_tokens.weight", 8, TINY_HIDDEN);
    add_layer(&head, &data);
    add_matrix(&head, &data, "model.norm.weight", 0, TINY_HIDDEN);
    add_matrix(&head, &data, "lm_head.weight", 8, TINY_HIDDEN);
    assert_true(safetensors_head_end(&head, NULL));
    text_add(&head.text, data.data, data.length);
    free(folder_write(source, "model.safetensors", head.text.data, head.text.length));
    text_free(&head.text);
    text_free(&data);
    folder_put_text(
        source, "config.json",
        "{\"model_type\": \"mixtral\", \"hidden_size\": 32, \"intermediate_size\": 64, \"num_hidden_layers\": "
        "1, \"num_attention_heads\": 2, \"num_key_value_heads\": 2, \"vocab_size\": 8, "
        "\"max_position_embeddings\": 64, \"num_local_experts\": 3, \"num_experts_per_tok\": 2, "
        "\"rms_norm_eps\": 1e-5, \"sliding_window\": null, \"tie_word_embeddings\": false}");
    return source;
}
