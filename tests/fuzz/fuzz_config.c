// Any bytes as config.json: refused with a message, or read as a configuration whose numbers can be relied on.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/config.h"
#include "loaders/stored/stored_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_pair(const ModelConfig *c) {
    const EncoderDecoder *pair = &c->pair;
    const bool tokens = pair->start_token >= -1 && pair->first_token >= -1 && pair->last_token >= -1;
    if (pair->encoder_layers < 0 || pair->encoder_layers >= c->layers || pair->encoder_ffn <= 0 || !tokens) abort();
    if (pair->never_count < 0 || pair->never_count > (int)(sizeof pair->never_tokens / sizeof(int))) abort();
    for (int i = 0; i < pair->never_count; i++)
        if (pair->never_tokens[i] < 0) abort();
    if (pair->least_length < 0 || pair->no_repeat < 0 || !isfinite(pair->length_penalty)) abort();
    if (c->positions == POSITIONS_RELATIVE && (pair->relative_buckets < 4 || pair->relative_distance < 1)) abort();
}

static void check_latent(const ModelConfig *c) {
    const Latent *latent = &c->latent;
    if (latent->q_rank < 0 || latent->plain <= 0 || latent->rotated <= 0 || latent->value <= 0) abort();
    if (latent->plain + latent->rotated != c->head_dim || latent->rotated != rope_dims(c)) abort();
}

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
    bool groups = c->experts.groups == 0 ||
                  (c->experts.chosen_groups > 0 && c->experts.chosen_groups <= c->experts.groups &&
                   c->experts.count % c->experts.groups == 0 &&
                   c->experts.count / c->experts.groups * c->experts.chosen_groups >= c->experts.per_token);
    if (!sizes || !heads || !full || !rope || !experts || !groups || c->window < 0 || !(c->norm_eps >= 0)) abort();
    if (c->pair.encoder_layers) check_pair(c);
    if (c->latent.kv_rank) check_latent(c);
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
