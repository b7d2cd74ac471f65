// Checkpoints: folders, shards, single files, the Hugging Face cache, and what is said when something is missing.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "loaders/checkpoint.h"
#include "tests/support/in_folder.h"

#define ENTRY(name) "\"" name "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}"

static void put(const char *name, const char *header) { free(folder_put_safetensors(folder, name, header, 4)); }

static void put_index(const char *map) {
    char text[1024];
    snprintf(text, sizeof text, "{\"metadata\":{\"total_size\":8},\"weight_map\":%s}", map);
    folder_put_text(folder, "model.safetensors.index.json", text);
}

static Checkpoint opened(const char *path) {
    Checkpoint checkpoint;
    Error err = {0};
    if (!checkpoint_open(path, &checkpoint, &err)) fail_msg("%s", err.message);
    return checkpoint;
}

static void expect_refused(const char *path, const char *reason) {
    Checkpoint checkpoint;
    Error err = {0};
    if (checkpoint_open(path, &checkpoint, &err)) {
        checkpoint_close(&checkpoint);
        fail_msg("accepted, but expected: %s", reason);
    }
    if (!strstr(err.message, reason)) fail_msg("expected \"%s\", got \"%s\"", reason, err.message);
    assert_null(checkpoint.path);
}

static void one_file(void **state) {
    (void)state;
    put("model.safetensors", "{" ENTRY("a") "}");
    put("model-extra.safetensors", "{" ENTRY("extra") "}");
    put_index("{\"b\":\"missing.safetensors\"}"); // the single file wins
    Checkpoint checkpoint = opened(folder);
    assert_string_equal(checkpoint.folder, folder);
    assert_string_equal(checkpoint.path, folder);
    assert_int_equal(checkpoint.file_count, 1);
    assert_int_equal(checkpoint.bytes, 4);
    assert_non_null(checkpoint_find(&checkpoint, "a"));
    assert_null(checkpoint_find(&checkpoint, "extra"));
    checkpoint_close(&checkpoint);
    checkpoint_close(&checkpoint);
}

static void only_file(void **state) {
    (void)state;
    put("weights.safetensors", "{" ENTRY("a") "}");
    Checkpoint checkpoint = opened(folder);
    assert_int_equal(checkpoint.tensor_count, 1);
    checkpoint_close(&checkpoint);
    put("weights2.safetensors", "{" ENTRY("b") "}");
    expect_refused(folder, "holds several safetensors files");
    char *path = path_join(folder, "weights2.safetensors");
    checkpoint = opened(path);
    assert_string_equal(checkpoint.folder, folder);
    assert_non_null(checkpoint_find(&checkpoint, "b"));
    checkpoint_close(&checkpoint);
    assert_int_equal(chdir(folder), 0);
    checkpoint = opened("weights2.safetensors");
    assert_string_equal(checkpoint.folder, ".");
    checkpoint_close(&checkpoint);
    assert_int_equal(chdir("/"), 0);
    free(path);
}

static void shards(void **state) {
    (void)state;
    put("m-1.safetensors", "{" ENTRY("b") "}");
    put("m-2.safetensors", "{" ENTRY("a") "}");
    put_index("{\"a\":\"m-2.safetensors\",\"b\":\"m-1.safetensors\"}");
    Checkpoint checkpoint = opened(folder);
    assert_int_equal(checkpoint.file_count, 2);
    assert_int_equal(checkpoint.tensor_count, 2);
    assert_int_equal(checkpoint.bytes, 8);
    assert_string_equal(checkpoint.by_name[0]->name, "a");
    assert_non_null(strstr(checkpoint_find(&checkpoint, "b")->file, "m-1.safetensors"));
    checkpoint_close(&checkpoint);
}

static void wrong_indices(void **state) {
    (void)state;
    put("m-1.safetensors", "{" ENTRY("b") "}");
    put("m-2.safetensors", "{" ENTRY("a") "}");
    put("m-3.safetensors", "{" ENTRY("a") "}");
    static const struct {
        const char *map, *reason;
    } wrong[] = {
        {"[]", "weight_map"},
        {"{}", "names no tensors"},
        {"{\"a\":1}", "must be a string"},
        {"{\"a\":\"\"}", "is not a file name"},
        {"{\"a\":\"..\"}", "is not a file name"},
        {"{\"a\":\"../m-2.safetensors\"}", "path separators"},
        {"{\"a\":\"/etc/passwd\"}", "path separators"},
        {"{\"a\":\"x\\\\y\"}", "path separators"},
        {"{\"a\":\"x\\u001b[31m\"}", "control characters"},
        {"{\"a\":\"m-9.safetensors\"}", "m-9.safetensors: cannot be opened"},
        {"{\"c\":\"m-1.safetensors\"}", "tensor \"c\": is in none of the files"},
        {"{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}", "is not in the file that the index names"},
        {"{\"a\":\"m-2.safetensors\",\"b\":\"m-3.safetensors\"}", "tensor \"a\": is in two files"},
        {"{\"a\":\"m-2.safetensors\",\"a\":\"m-3.safetensors\"}", "is in two files"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put_index(wrong[i].map);
        expect_refused(folder, wrong[i].reason);
    }
    folder_put_text(folder, "model.safetensors.index.json", "{\"weight_map\":");
    expect_refused(folder, "JSON cannot be read");
}

static void identity(void **state) {
    (void)state;
    put("model.safetensors", "{" ENTRY("a") "}");
    Checkpoint checkpoint = opened(folder);
    uint64_t before = checkpoint.identity;
    checkpoint_close(&checkpoint);
    checkpoint = opened(folder);
    assert_true(checkpoint.identity == before);
    checkpoint_close(&checkpoint);
    put("model.safetensors", "{" ENTRY("b") "}");
    checkpoint = opened(folder);
    assert_true(checkpoint.identity != before);
    checkpoint_close(&checkpoint);
}

static void missing(void **state) {
    (void)state;
    expect_refused(nowhere(), "no such file or folder");
    expect_refused("", "no such file or folder");
    expect_refused("no-org/no-model", "download it first");
    expect_refused(folder, "holds no safetensors files");
    folder_put_text(folder, "pytorch_model.bin", "x");
    expect_refused(folder, "PyTorch .bin");
    folder_put_text(folder, "model.gguf", "x");
    expect_refused(folder, "GGUF");
    char *path = path_join(folder, "model.gguf");
    expect_refused(path, "GGUF");
    free(path);
    path = path_join(folder, "pytorch_model.bin");
    expect_refused(path, "neither a folder nor");
    free(path);
    folder_put_text(folder, "model.safetensors", "x");
    expect_refused(folder, "model.safetensors: 1 bytes are too small");
}

static void make(const char *name) {
    char *path = path_join(folder, name);
    assert_true(folder_make(path, NULL));
    free(path);
}

static void hub_names(void **state) {
    (void)state;
    setenv("HF_HUB_CACHE", folder, 1);
    make("models--org--a.b-c/refs");
    make("models--org--a.b-c/snapshots/0123abc");
    make("models--org--a.b-c/snapshots/other");
    expect_refused("org/a.b-c", "no complete snapshot");
    put("models--org--a.b-c/snapshots/0123abc/model.safetensors", "{" ENTRY("x") "}");
    folder_put_text(folder, "models--org--a.b-c/refs/main", "0123abc\n");
    Checkpoint checkpoint = opened("org/a.b-c");
    assert_non_null(strstr(checkpoint.folder, "/models--org--a.b-c/snapshots/0123abc"));
    assert_string_equal(checkpoint.path, "org/a.b-c");
    checkpoint_close(&checkpoint);
    folder_put_text(folder, "models--org--a.b-c/refs/main", "../../../etc");
    expect_refused("org/a.b-c", "no complete snapshot");
    make("models--plain/snapshots/1");
    put("models--plain/snapshots/1/model.safetensors", "{" ENTRY("x") "}");
    checkpoint = opened("plain"); // no refs: the only snapshot
    checkpoint_close(&checkpoint);
    expect_refused("org/../x", "no such file or folder");
    unsetenv("HF_HUB_CACHE");
    make("hub");
    setenv("HF_HOME", folder, 1);
    expect_refused("org/a.b-c", "/hub)");
    unsetenv("HF_HOME");
}

static void sample(void **state) {
    (void)state;
    Error err = {0};
    setenv("QUANTDIAL_SAMPLES", folder, 1);
    assert_null(sample_path(&err));
    assert_non_null(strstr(err.message, "QUANTDIAL_SAMPLES"));
    make("storyteller");
    char *path = sample_path(&err);
    assert_non_null(strstr(path, "/storyteller"));
    free(path);
    unsetenv("QUANTDIAL_SAMPLES");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(one_file), IN_FOLDER(only_file), IN_FOLDER(shards),    IN_FOLDER(wrong_indices),
        IN_FOLDER(identity), IN_FOLDER(missing),   IN_FOLDER(hub_names), IN_FOLDER(sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
