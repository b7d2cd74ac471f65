#include "export/safetensors_writer.h"

#include <inttypes.h>
#include <string.h>

#include "base/json.h"

enum { LENGTH_BYTES = 8, ALIGNMENT = 8 };

void safetensors_head_begin(SafetensorsHead *head) {
    *head = (SafetensorsHead){0};
    text_add(&head->text, "\0\0\0\0\0\0\0\0", LENGTH_BYTES);
    text_addf(&head->text, "{\"__metadata__\":{\"format\":\"pt\"}"); // transformers refuses files without it
}

void safetensors_head_add(SafetensorsHead *head, const char *name, DType dtype, int rank, const uint64_t *shape) {
    const uint64_t begin = head->data_bytes;
    uint64_t bytes = dtype_bytes(dtype);
    text_addf(&head->text, ",");
    json_quote(&head->text, name);
    text_addf(&head->text, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(dtype));
    for (int i = 0; i < rank; i++) {
        text_addf(&head->text, "%s%" PRIu64, i ? "," : "", shape[i]);
        bytes *= shape[i];
    }
    head->data_bytes += bytes;
    text_addf(&head->text, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin, head->data_bytes);
}

bool safetensors_head_end(SafetensorsHead *head, Error *err) {
    text_addf(&head->text, "}");
    while (head->text.length % ALIGNMENT) text_addf(&head->text, " ");
    if (head->text.failed) return error_memory(err, "the header of a safetensors file");
    const uint64_t length = head->text.length - LENGTH_BYTES; // little-endian, as every machine this is built for
    memcpy(head->text.data, &length, sizeof length);
    return true;
}
