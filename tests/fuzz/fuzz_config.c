// Any bytes as config.json: refused, or read as a configuration whose numbers can be relied on.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "loaders/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const ModelConfig *c) {
    bool sizes =
        c->layers > 0 && c->layers <= LAYERS_MAX && c->hidden > 0 && c->heads > 0 && c->ffn > 0 && c->vocab > 0;
    bool heads = c->kv_heads > 0 && c->heads % c->kv_heads == 0 && c->head_dim > 0 && c->max_positions > 0;
    bool rope = c->positions != POSITIONS_ROPE ||
                (rope_dims(c) > 0 && rope_dims(c) % 2 == 0 && rope_dims(c) <= c->head_dim && c->rope_theta > 0);
    bool experts = c->experts.count == 0 || (c->experts.per_token > 0 && c->experts.per_token <= c->experts.count);
    if (!sizes || !heads || !rope || !experts || c->window < 0 || !(c->norm_eps >= 0)) abort();
}

static char folder[] = "/tmp/fuzz-config-XXXXXX", path[sizeof folder + sizeof "/config.json"];

static void drop_folder(void) {
    unlink(path);
    rmdir(folder);
}

static void make_folder(void) {
    if (!mkdtemp(folder)) abort();
    snprintf(path, sizeof path, "%s/config.json", folder);
    atexit(drop_folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool made;
    ModelConfig config;
    if (!made) make_folder();
    made = true;
    if (!file_write(path, data, size, NULL)) abort();
    if (config_load(folder, &config, NULL) && !config.not_run[0]) check(&config);
    return 0;
}
