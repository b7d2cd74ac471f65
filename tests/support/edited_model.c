#include "tests/support/edited_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/file.h"
#include "loaders/safetensors.h"
#include "tests/support/folder.h"

static char *read_whole(const char *from, const char *name, size_t *size) {
    char *path = path_join(from, name), *data;
    Error err = {0};
    if (!file_read(path, 64 << 20, &data, size, &err)) fail_msg("%s", err.message);
    free(path);
    return data;
}

void model_copy(const char *folder, const char *from, const char *name) {
    size_t size;
    char *data = read_whole(from, name, &size);
    free(folder_write(folder, name, data, size));
    free(data);
}

void model_poke(const char *folder, const char *tensor, float value, size_t count) {
    size_t size;
    char *bytes = read_whole(folder, "model.safetensors", &size);
    TensorFile file;
    Error err = {0};
    if (!safetensors_read("x", bytes, size, &file, &err)) fail_msg("%s", err.message);
    size_t i = 0;
    while (i < file.tensor_count && strcmp(file.tensors[i].name, tensor) != 0) i++;
    if (i == file.tensor_count) fail_msg("there is no %s", tensor);
    char *data = bytes + ((const char *)file.tensors[i].data - bytes);
    if (!count) count = (size_t)tensor_elements(&file.tensors[i]);
    for (size_t k = 0; k < count; k++) memcpy(data + k * sizeof value, &value, sizeof value);
    tensor_file_close(&file);
    free(folder_write(folder, "model.safetensors", bytes, size));
    free(bytes);
}

void model_edit(const char *folder, const char *name, const char *from, const char *to) {
    size_t size;
    char *data = read_whole(folder, name, &size), *place = strstr(data, from);
    if (!place) fail_msg("%s has no %s", name, from);
    Text text = {0};
    text_addf(&text, "%.*s%s%s", (int)(place - data), data, to, place + strlen(from));
    folder_put_text(folder, name, text.data);
    text_free(&text);
    free(data);
}
