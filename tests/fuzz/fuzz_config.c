// Any bytes as config.json: refused with a message, or numbers that make sense together.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"
#include "loaders/config.h"
#include "loaders/stored_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char config_folder[64], config_path[96];

static void remove_config(void) {
    unlink(config_path);
    rmdir(config_folder);
}

// In memory where the system has such a place.
static void make_config_folder(void) {
    snprintf(config_folder, sizeof config_folder, "%s/quantdial-fuzz.XXXXXX",
             folder_exists("/dev/shm") ? "/dev/shm" : "/tmp");
    if (!mkdtemp(config_folder)) abort();
    snprintf(config_path, sizeof config_path, "%s/config.json", config_folder);
    atexit(remove_config);
}

static void write_config(const uint8_t *data, size_t size) {
    FILE *file = fopen(config_path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) abort();
}

static void check_config_message(const Error *err) {
    if (!err->message[0] || !text_is_utf8(err->message, strlen(err->message))) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ModelConfig config;
    StoredConfig stored;
    Error err = {0};
    if (!config_folder[0]) make_config_folder();
    write_config(data, size);
    if (!config_load(config_folder, &config, &err)) {
        check_config_message(&err);
    } else {
        if (config.layers < 1 || config.hidden < 1 || config.vocab < 1 || config.heads < 1) abort();
        if (config.kv_heads < 1 || config.heads % config.kv_heads != 0) abort();
    }
    if (!stored_config_read(config_folder, &stored, &err))
        check_config_message(&err);
    else if (!stored.block[0] || !stored.block[1])
        abort();
    return 0;
}
