// Any bytes as a GGUF file: refused with a message, or tensors that lie within the bytes, matrices that can be made
// from them, and documents that their readers accept or refuse.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/config.h"
#include "loaders/gguf_documents.h"
#include "loaders/stored/stored_parts.h"
#include "loaders/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_MADE ((size_t)1 << 20)

static void check_gguf_message(bool ok, const Error *err) {
    if (!ok && (!err->message[0] || !text_is_utf8(err->message, strlen(err->message)))) abort();
}

static void check_gguf_place(const Tensor *tensor, const uint8_t *data, size_t size) {
    const uint8_t *at = tensor->data;
    if (at < data || at > data + size || tensor->bytes > (size_t)(data + size - at)) abort();
    if (tensor->rank < 0 || tensor->rank > TENSOR_MAX_RANK || !text_is_utf8(tensor->name, strlen(tensor->name)))
        abort();
}

static int compare_gguf_tensors(const void *a, const void *b) {
    return strcmp((*(const Tensor *const *)a)->name, (*(const Tensor *const *)b)->name);
}

static void make_gguf_tensors(const TensorFile *file) {
    const Tensor **by_name = array_new(file->tensor_count, sizeof(void *)), *tensor;
    const Checkpoint checkpoint = {.by_name = by_name, .tensor_count = file->tensor_count};
    const StoredConfig config = {.block = {1, 1}};
    StoredSet *set;
    for (size_t i = 0; by_name && i < file->tensor_count; i++) by_name[i] = &file->tensors[i];
    if (by_name && file->tensor_count) qsort(by_name, file->tensor_count, sizeof(void *), compare_gguf_tensors);
    if (by_name && stored_open_with(&checkpoint, &config, &set, NULL)) {
        for (size_t i = 0; i < file->tensor_count && i < 64; i++) {
            Error err = {0};
            const bool ok = stored_find(set, by_name[i]->name, &tensor, &err);
            check_gguf_message(ok, &err);
            if (ok && tensor && tensor->bytes <= MOST_MADE && tensor_hold(tensor, NULL)) tensor_release(tensor);
        }
        stored_close(set);
    }
    free(by_name);
}

static void read_gguf_config(const GgufSet *set) {
    cJSON *json;
    ModelConfig config;
    Error err = {0};
    const bool ok = gguf_config(set, &json, &err);
    check_gguf_message(ok, &err);
    char *text = json ? json_print(json) : NULL;
    if (ok && text) {
        const bool parsed = config_parse(text, strlen(text), &config, &err);
        check_gguf_message(parsed, &err);
    }
    free(text);
    cJSON_Delete(json);
}

static void read_gguf_tokenizer(const GgufSet *set) {
    cJSON *json;
    Tokenizer *tokenizer;
    TokenIds ids = {0};
    Error err = {0};
    const bool ok = gguf_tokenizer(set, &json, &err);
    check_gguf_message(ok, &err);
    char *text = json ? json_print(json) : NULL;
    if (ok && text) {
        const bool parsed = tokenizer_parse(text, strlen(text), &tokenizer, &err);
        check_gguf_message(parsed, &err);
        if (parsed) tokenizer_encode(tokenizer, "ab  c1", 6, true, &ids, NULL);
        tokenizer_free(tokenizer);
    }
    token_ids_free(&ids);
    free(text);
    cJSON_Delete(json);
    if (gguf_tokenizer_config(set, &json, NULL)) cJSON_Delete(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Gguf gguf;
    Error err = {0};
    const bool ok = gguf_parse("file", data, size, &gguf, &err);
    check_gguf_message(ok, &err);
    if (!ok) return 0;
    GgufSet set = {.files = &gguf, .count = 1};
    for (size_t i = 0; i < gguf.file.tensor_count; i++) check_gguf_place(&gguf.file.tensors[i], data, size);
    read_gguf_config(&set);
    read_gguf_tokenizer(&set);
    if (gguf_set_rename(&set, NULL)) make_gguf_tensors(&gguf.file);
    gguf_close(&gguf);
    return 0;
}
