// Any set of tensors as the parts of a matrix that is quantized already: refused, or made without reading beyond them.
// The bytes are: flags, block sizes, then for each part 2 bytes for name and type and 4 for its shape; the rest fills
// the tensors.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/stored/stored_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_PARTS 6
#define MOST_BYTES ((size_t)1 << 16)

static const char *const part_names[] = {"m.g_idx",        "m.qweight",          "m.qzeros",        "m.scales",
                                         "m.weight",       "m.weight_g_idx",     "m.weight_packed", "m.weight_scale",
                                         "m.weight_shape", "m.weight_zero_point"};
#define PART_NAMES (sizeof part_names / sizeof *part_names)

typedef struct FuzzInput {
    const uint8_t *at;
    size_t left;
} FuzzInput;

static unsigned take(FuzzInput *bytes) {
    if (!bytes->left) return 0;
    bytes->left--;
    return *bytes->at++;
}

// Its data has exactly the bytes that it says, so that one byte beyond is noticed.
static bool take_part(FuzzInput *bytes, Tensor *tensor) {
    *tensor = (Tensor){.name = part_names[take(bytes) % PART_NAMES], .dtype = (DType)(take(bytes) % DTYPE_OTHER)};
    tensor->file = "file";
    tensor->rank = (int)(take(bytes) % 4);
    size_t elements = 1;
    for (int i = 0; i < 3; i++) {
        unsigned length = take(bytes);
        if (i < tensor->rank) elements *= tensor->shape[i] = length;
    }
    tensor->bytes = elements * dtype_bytes(tensor->dtype);
    if (tensor->bytes > MOST_BYTES) return false;
    tensor->data = malloc(tensor->bytes ? tensor->bytes : 1);
    return tensor->data != NULL;
}

static void fill_part(FuzzInput *bytes, const Tensor *tensor) {
    uint8_t *to = (uint8_t *)(uintptr_t)tensor->data;
    for (size_t i = 0; i < tensor->bytes; i++) to[i] = bytes->left ? (uint8_t)take(bytes) : (uint8_t)(i * 37);
}

static int compare_parts(const void *a, const void *b) {
    return strcmp((*(const Tensor *const *)a)->name, (*(const Tensor *const *)b)->name);
}

static void find_and_make(const Checkpoint *checkpoint, const StoredConfig *config) {
    StoredSet *set;
    const Tensor *tensor;
    Error err = {0};
    if (!stored_open_with(checkpoint, config, &set, &err)) return;
    bool ok = stored_find(set, "m.weight", &tensor, &err);
    if (!ok && !err.message[0]) abort();
    if (ok && tensor && tensor->stored) {
        if (!dtype_is_float16_or_32(tensor->dtype)) abort();
        if (tensor_elements(tensor) * dtype_bytes(tensor->dtype) != tensor->bytes) abort();
        if (tensor->bytes <= MOST_BYTES * 64 && tensor_hold(tensor, &err)) tensor_release(tensor);
    }
    stored_close(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    FuzzInput bytes = {data, size};
    Tensor parts[MOST_PARTS];
    const Tensor *by_name[MOST_PARTS];
    unsigned flags = take(&bytes);
    StoredConfig config = {.gptq_v2 = flags & 1, .symmetric = flags & 2, .whole_words = flags & 4};
    if (flags & 8) strcpy(config.refusal, "is not read");
    config.bit_widths = take(&bytes);
    config.group_size = take(&bytes);
    for (int i = 0; i < 2; i++) config.block[i] = 1 + take(&bytes);
    config.mlx = cJSON_CreateObject(); // the set's
    cJSON_AddNumberToObject(config.mlx, "bits", 2 + config.bit_widths % 7);
    cJSON_AddNumberToObject(config.mlx, "group_size", (double)config.group_size);
    size_t count = 0, wanted = 1 + flags / 16 % MOST_PARTS;
    while (count < wanted && bytes.left && take_part(&bytes, &parts[count])) count++;
    for (size_t i = 0; i < count; i++) {
        fill_part(&bytes, &parts[i]);
        by_name[i] = &parts[i];
    }
    if (count) qsort(by_name, count, sizeof *by_name, compare_parts);
    Checkpoint checkpoint = {.by_name = by_name, .tensor_count = count};
    find_and_make(&checkpoint, &config);
    for (size_t i = 0; i < count; i++) free((void *)(uintptr_t)parts[i].data);
    return 0;
}
