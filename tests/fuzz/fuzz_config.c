// Any bytes as config.json: refused with a message, or read as a configuration whose numbers can be relied on.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/config.h"
#include "loaders/stored/stored_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_numbers(const ModelConfig *c) {
    bool sizes =
        c->layers > 0 && c->layers <= LAYERS_MAX && c->hidden > 0 && c->heads > 0 && c->ffn > 0 && c->vocab > 0;
    bool heads = c->kv_heads > 0 && c->heads % c->kv_heads == 0 && c->head_dim > 0 && c->max_positions > 0;
    const int largest = c->full_head_dim > 0 ? c->full_head_dim : c->head_dim;
    bool full = c->full_head_dim == 0 || (c->full_kv_heads > 0 && c->heads % c->full_kv_heads == 0);
    for (int layer = 0; layer < c->layers; layer++)
        full = full && layer_ffn(c, layer) > 0 &&
               (!layer_shares(c, layer) || shared_layer(c, layer_is_in(&c->windowed, layer)) >= 0);
    bool rope = c->positions != POSITIONS_ROPE ||
                (rope_dims(c) > 0 && rope_dims(c) % 2 == 0 && rope_dims(c) <= largest && c->rope_theta > 0);
    bool experts = c->experts.count == 0 || (c->experts.per_token > 0 && c->experts.per_token <= c->experts.count);
    if (!sizes || !heads || !full || !rope || !experts || c->window < 0 || !(c->norm_eps >= 0)) abort();
}

static void check_text(const char *text) {
    if (!text_is_utf8(text, strlen(text))) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ModelConfig config;
    StoredConfig stored;
    Error err = {0};
    if (config_parse((const char *)data, size, &config, &err)) {
        if (!config.not_run[0]) check_numbers(&config);
        check_text(config.family);
        check_text(config.not_run);
    } else if (!err.message[0]) {
        abort();
    }
    check_text(err.message);
    err.message[0] = '\0';
    if (stored_config_parse((const char *)data, size, &stored, &err)) {
        if (!stored.block[0] || !stored.block[1]) abort();
        check_text(stored.refusal);
    } else if (!err.message[0]) {
        abort();
    }
    stored_config_free(&stored);
    check_text(err.message);
    return 0;
}
