#include "workbench/decode_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

void decode_text_free(DecodeText *d) {
    free(d->text);
    free(d->ids);
    free(d->probabilities);
    free(d->ends);
    *d = (DecodeText){0};
}

static void *copy_of(const void *from, size_t count, size_t size) {
    void *copy = array_new(count + 1, size);
    if (copy && count) memcpy(copy, from, count * size);
    return copy;
}

bool decode_text_copy(const DecodeText *from, DecodeText *to) {
    DecodeText copy = *from;
    copy.text = strdup(from->text ? from->text : "");
    copy.ids = copy_of(from->ids, from->count, sizeof *copy.ids);
    copy.probabilities = copy_of(from->probabilities, from->count, sizeof *copy.probabilities);
    copy.ends = copy_of(from->ends, from->count, sizeof *copy.ends);
    if (!copy.text || !copy.ids || !copy.probabilities || !copy.ends) {
        decode_text_free(&copy);
        return false;
    }
    decode_text_free(to);
    *to = copy;
    return true;
}

size_t decode_text_difference(const DecodeText *a, const DecodeText *b) {
    size_t n = a->count < b->count ? a->count : b->count, i = 0;
    while (i < n && a->ids[i] == b->ids[i]) i++;
    return i;
}
