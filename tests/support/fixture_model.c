#include "tests/support/fixture_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/array.h"
#include "loaders/safetensors.h"

static const Tensor *tensor_of(const TensorFile *file, const char *name, DType dtype) {
    for (size_t i = 0; i < file->tensor_count; i++)
        if (strcmp(file->tensors[i].name, name) == 0 && file->tensors[i].dtype == dtype) return &file->tensors[i];
    fail_msg("%s has no tensor %s of type %s", file->path, name, dtype_name(dtype));
    return NULL;
}

static void *elements_of(const Tensor *tensor, size_t *count) {
    *count = (size_t)tensor_elements(tensor);
    void *data = array_new(tensor->bytes, 1);
    assert_non_null(data);
    memcpy(data, tensor->data, tensor->bytes);
    return data;
}

int32_t *fixture_integers(const TensorFile *file, const char *name, size_t *count) {
    return elements_of(tensor_of(file, name, DTYPE_I32), count);
}

float *fixture_floats(const TensorFile *file, const char *name, size_t *count) {
    return elements_of(tensor_of(file, name, DTYPE_F32), count);
}

static void read_expected(const char *folder, FixtureModel *out) {
    char path[512];
    TensorFile file;
    Error err = {0};
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    if (access(path, R_OK) != 0) return;
    if (!safetensors_open(path, &file, &err)) fail_msg("%s", err.message);
    size_t count;
    out->ids = fixture_integers(&file, "ids", &out->tokens);
    out->logits = fixture_floats(&file, "logits", &count);
    out->source = source_share(&out->config, out->tokens);
    assert_int_equal(count, (out->tokens - out->source) * (size_t)out->config.vocab);
    tensor_file_close(&file);
}

void fixture_model_open(const char *folder, Precision precision, FixtureModel *out) {
    Error err = {0};
    Backend *backend;
    if (!backend_cpu_new(2, &backend, &err)) fail_msg("%s", err.message);
    fixture_model_open_on(folder, precision, backend, out);
}

void fixture_model_open_on(const char *folder, Precision precision, Backend *backend, FixtureModel *out) {
    Error err = {0};
    *out = (FixtureModel){.backend = backend};
    if (!checkpoint_open(folder, &out->checkpoint, &err) ||
        !config_load(out->checkpoint.documents, &out->config, &err) ||
        !structure_build(&out->checkpoint, &out->config, &out->structure, &err) ||
        !transformer_new(&out->structure, out->backend, precision, &out->base, &err))
        fail_msg("%s: %s", folder, err.message);
    read_expected(folder, out);
}

void fixture_model_close(FixtureModel *model) {
    transformer_free(model->base);
    model->backend->ops->destroy(model->backend);
    structure_free(&model->structure);
    checkpoint_close(&model->checkpoint);
    free(model->ids);
    free(model->logits);
}

float *fixture_logits(Transformer *t, const int32_t *ids, size_t tokens) {
    Sequences *sequences;
    Error err = {0};
    float *logits = array_new(tokens * (size_t)transformer_structure(t)->config.vocab, sizeof *logits);
    assert_non_null(logits);
    if (!sequences_new(t, tokens, &sequences, &err) ||
        !transformer_forward(t, sequences, ids, tokens, true, logits, NULL, &err))
        fail_msg("%s", err.message);
    sequences_free(sequences);
    return logits;
}

double relative_difference(const float *a, const float *b, size_t n) {
    double difference = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= difference)) difference = d; // NaN stays
        if (fabs((double)b[i]) > largest) largest = fabs((double)b[i]);
    }
    return difference / largest;
}
