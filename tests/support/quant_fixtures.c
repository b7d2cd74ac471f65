#include "tests/support/quant_fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"
#include "kernels/host/measure.h"
#include "quant/vote_counts.h"

static void needed(bool there, const char *what, const char *why) {
    if (there) return;
    fprintf(stderr, "%s: %s\n", what, why);
    abort();
}

cJSON *fixture_json(const char *path) {
    Error err = {0};
    char *text;
    size_t size;
    needed(file_read(path, (size_t)1 << 26, &text, &size, &err), path, err.message);
    cJSON *json = json_parse(text, size, &err);
    needed(json != NULL, path, err.message);
    free(text);
    return json;
}

TensorFile fixture_tensors(const char *path) {
    Error err = {0};
    TensorFile file;
    needed(safetensors_open(path, &file, &err), path, err.message);
    return file;
}

const Tensor *fixture_tensor(const TensorFile *file, const char *name) {
    for (size_t i = 0; i < file->tensor_count; i++) {
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    }
    needed(false, file->path, name);
    return NULL;
}

double fixture_number(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    needed(cJSON_IsNumber(item), "fixture", key);
    return item->valuedouble;
}

const char *fixture_text(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    needed(cJSON_IsString(item), "fixture", key);
    return item->valuestring;
}

VoteCounts fixture_votes(const Linear *linear) {
    size_t groups = (linear->in + LADDER_FLOOR - 1) / LADDER_FLOOR;
    float *low = array_new(linear->out * groups, sizeof *low), *high = array_new(linear->out * groups, sizeof *high);
    needed(low && high, linear->name, "out of memory");
    group_ranges(linear->weight->dtype, linear->weight->data, linear->out, linear->in, LADDER_FLOOR, low, high);
    VoteCounts votes;
    Error err = {0};
    needed(vote_counts_build(low, high, linear->out, linear->in, LADDER_FLOOR, &votes, &err), linear->name,
           err.message);
    free(low);
    free(high);
    return votes;
}

DType fixture_dtype(const char *name) {
    for (int i = 0; i < DTYPE_COUNT; i++) {
        if (strcmp(dtype_name((DType)i), name) == 0) return (DType)i;
    }
    needed(false, "no such type", name);
    return DTYPE_OTHER;
}
