// What a list of linears leaves out, so that it is not taken for the whole model.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/structure_parts.h"

static int compare_tensors(const void *a, const void *b) {
    return strcmp((*(const Tensor *const *)a)->name, (*(const Tensor *const *)b)->name);
}

// Sorted by name: what the linears are made from.
static const Tensor **listed_tensors(const ModelStructure *s) {
    const Tensor **list = array_new((size_t)s->linear_count, sizeof(void *));
    for (int i = 0; list && i < s->linear_count; i++) list[i] = tensor_in_file(s->linears[i].weight);
    if (list && s->linear_count) qsort(list, (size_t)s->linear_count, sizeof(void *), compare_tensors);
    return list;
}

// Scales are listed with what they scale; so are scales of scales.
static bool is_listed(const ModelStructure *s, const Tensor **list, const Tensor *tensor) {
    for (int step = 0; tensor && step < 3; step++) {
        if (s->linear_count && bsearch(&tensor, list, (size_t)s->linear_count, sizeof(void *), compare_tensors))
            return true;
        tensor = stored_companion(s->checkpoint, tensor);
    }
    return false;
}

bool structure_count_rest(ModelStructure *out, Error *err) {
    const Tensor **list = listed_tensors(out);
    out->rest = array_new(out->checkpoint->tensor_count, sizeof(void *));
    if (!list || !out->rest) {
        free(list);
        return error_memory(err, "the list of linears");
    }
    for (size_t i = 0; i < out->checkpoint->tensor_count; i++) {
        const Tensor *tensor = out->checkpoint->by_name[i];
        if (is_listed(out, list, tensor)) continue;
        Unlisted *kind = &out->unlisted[tensor_kind(out->checkpoint, tensor)];
        out->rest[out->rest_count++] = tensor;
        kind->tensors++;
        kind->bytes += tensor->bytes;
        if (!kind->largest || tensor->bytes > kind->largest->bytes) kind->largest = tensor;
        out->unlisted_bytes += tensor->bytes;
    }
    free(list);
    return true;
}

static void add_size(Text *text, size_t bytes) {
    const double unit = bytes >= 1000000000 ? 1e9 : bytes >= 1000000 ? 1e6 : 1e3;
    if (bytes < 1000)
        text_addf(text, "%zu bytes", bytes);
    else
        text_addf(text, "%.1f %s", (double)bytes / unit, unit == 1e9 ? "GB" : unit == 1e6 ? "MB" : "kB");
}

// The largest kinds first. The largest matrix and the largest unknown tensor are named, since they may be missed.
char *structure_unlisted_text(const ModelStructure *s) {
    bool said[TENSOR_KIND_COUNT] = {false};
    Text text = {0};
    text_add(&text, "", 0);
    for (;;) {
        int most = -1;
        for (int kind = 0; kind < TENSOR_KIND_COUNT; kind++) {
            if (said[kind] || !s->unlisted[kind].bytes) continue;
            if (most < 0 || s->unlisted[kind].bytes > s->unlisted[most].bytes) most = kind;
        }
        if (most < 0) break;
        const Unlisted *unlisted = &s->unlisted[most];
        text_addf(&text, "%s%s ", text.length ? ", " : "", tensor_kind_name((TensorKind)most));
        add_size(&text, unlisted->bytes);
        if (tensor_kind_is_linear((TensorKind)most) || most == TENSOR_OTHER) {
            char *name = text_printable(unlisted->largest->name, strlen(unlisted->largest->name), false);
            text_addf(&text, " (%s %.80s)", unlisted->tensors > 1 ? "the largest:" : "only", name ? name : "?");
            free(name);
        }
        said[most] = true;
    }
    if (!text.failed) return text.data;
    text_free(&text);
    return NULL;
}
