// Checkpoints: folders, shards, single files, the Hugging Face cache, and what is said when something is missing.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/array.h"
#include "base/file.h"
#include "loaders/checkpoint.h"
#include "tests/support/in_folder.h"

#define ENTRY(name) "\"" name "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}"

static void put(const char *name, const char *header) { free(folder_put_safetensors(folder, name, header, 4)); }

static void make(const char *name) {
    char *path = path_join(folder, name);
    assert_true(folder_make(path, NULL));
    free(path);
}

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
        {"{\"a\":\".\"}", "is not a file name"},
        {"{\"a\":\"b//c\"}", "is not a file name"},
        {"{\"a\":\"b/\"}", "is not a file name"},
        {"{\"a\":\"..\"}", "leads out of the folder"},
        {"{\"a\":\"../m-2.safetensors\"}", "leads out of the folder"},
        {"{\"a\":\"b/../../m-2.safetensors\"}", "leads out of the folder"},
        {"{\"a\":\"/etc/passwd\"}", "leads out of the folder"},
        {"{\"a\":\"x\\\\y\"}", "path separators"},
        {"{\"a\":\"x\\u001b[31m\"}", "control characters"},
        {"{\"a\":\"m-9.safetensors\"}", "m-9.safetensors: cannot be opened: it is missing"},
        {"{\"a\":\"m-9.safetensors\",\"b\":\"m-8.safetensors\"}", "of 2 files of the checkpoint 2 are not there"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put_index(wrong[i].map);
        expect_refused(folder, wrong[i].reason);
    }
    folder_put_text(folder, "model.safetensors.index.json", "{\"weight_map\":");
    expect_refused(folder, "JSON cannot be read");
}

static uint64_t numbers_now(void) {
    Checkpoint checkpoint = opened(folder);
    uint64_t numbers = checkpoint_numbers(&checkpoint);
    checkpoint_close(&checkpoint);
    return numbers;
}

static void put_byte(const char *path, off_t at, char byte) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(file >= 0 && pwrite(file, &byte, 1, at) == 1 && close(file) == 0);
}

// Names, sizes and times may all be the same: in a Nix store, an archive, a mounted share.
static void numbers_tell_checkpoints_apart(void **state) {
    (void)state;
    char *path = folder_put_safetensors(folder, "model.safetensors", "{" ENTRY("a") "}", 4);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    uint64_t before = numbers_now();
    assert_true(before == numbers_now());
    put_byte(path, info.st_size - 1, 99);
    assert_true(before != numbers_now());
    free(path);
}

// A layer has them in one tensor under the names of mlx-lm. What has another shape is left as it is.
static void experts_of_mlx_are_one_by_one(void **state) {
    (void)state;
    static const struct {
        const char *name, *shape;
        int bytes;
    } tensors[] = {{"l.0.mlp.switch_mlp.up_proj.scales", "2,1,3", 6},
                   {"l.0.block_sparse_moe.switch_mlp.up_proj.weight", "2,3,1", 6},
                   {"l.1.mlp.switch_mlp.up_proj.weight", "2,3", 6},
                   {"l.2.mlp.switch_mlp.gate.weight", "2,1,3", 6},
                   {"l.3.mlp.switch_mlp.up_proj.weight", "99999999,0,1", 0}};
    char longest[400];
    Text header = {0};
    Checkpoint c;
    Error err = {0};
    int at = 0;
    snprintf(longest, sizeof longest, "%0300d.switch_mlp.up_proj.weight", 0);
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; at += tensors[i++].bytes)
        text_addf(&header, "%s\"%s\":{\"dtype\":\"U8\",\"shape\":[%s],\"data_offsets\":[%d,%d]}", i ? "," : "{",
                  tensors[i].name, tensors[i].shape, at, at + tensors[i].bytes);
    text_addf(&header, ",\"%s\":{\"dtype\":\"U8\",\"shape\":[2,1,3],\"data_offsets\":[24,30]}}", longest);
    free(folder_put_safetensors(folder, "model.safetensors", header.data, 30));
    text_free(&header);
    assert_true(checkpoint_open(folder, &c, &err));
    const Tensor *first = checkpoint_find(&c, "l.0.mlp.experts.0.up_proj.scales");
    const Tensor *second = checkpoint_find(&c, "l.0.mlp.experts.1.up_proj.scales");
    assert_true(first && second && first->rank == 2 && second->rank == 2);
    assert_true(second->shape[0] == 1 && second->shape[1] == 3 && second->bytes == 3);
    assert_ptr_equal(second->data, (const char *)first->data + 3);
    assert_non_null(checkpoint_find(&c, "l.0.block_sparse_moe.experts.1.w3.weight"));
    assert_non_null(checkpoint_find(&c, "l.1.mlp.switch_mlp.up_proj.weight"));
    assert_non_null(checkpoint_find(&c, "l.2.mlp.switch_mlp.gate.weight"));
    assert_non_null(checkpoint_find(&c, "l.3.mlp.switch_mlp.up_proj.weight"));
    assert_non_null(checkpoint_find(&c, longest));
    assert_int_equal(c.tensor_count, 8);
    checkpoint_close(&c);
}

static void numbers_of_large_ones_are_sampled(void **state) {
    (void)state;
    const off_t half = 20 << 20;
    char *path =
        folder_put_safetensors(folder, "model.safetensors",
                               "{\"a\":{\"dtype\":\"U8\",\"shape\":[20971520],\"data_offsets\":[0,20971520]},"
                               "\"b\":{\"dtype\":\"U8\",\"shape\":[20971520],\"data_offsets\":[20971520,41943040]}}",
                               0);
    struct stat info;
    assert_true(stat(path, &info) == 0 && truncate(path, info.st_size + 2 * half) == 0);
    uint64_t before = numbers_now();
    put_byte(path, info.st_size + half / 2, 1);
    uint64_t first = numbers_now();
    assert_true(first != before);
    put_byte(path, info.st_size + half + half / 2, 1);
    assert_true(numbers_now() != first);
    free(path);
}

// Where the index and the files disagree.
static void the_index_decides(void **state) {
    (void)state;
    make("below");
    put("m-1.safetensors", "{" ENTRY("a") "}");
    put("m-2.safetensors", "{" ENTRY("a") ",\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,4]}}");
    put("below/m-3.safetensors", "{" ENTRY("c") "}");
    static const struct {
        const char *map, *file_of_a;
        size_t tensors, bytes;
    } cases[] = {
        {"{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}", "m-1.safetensors", 2, 4},
        {"{\"a\":\"m-2.safetensors\",\"b\":\"m-1.safetensors\"}", "m-2.safetensors", 2, 4}, // b is elsewhere
        {"{\"b\":\"m-1.safetensors\",\"x\":\"m-2.safetensors\"}", "m-2.safetensors", 2, 4}, // not named: the last
        {"{\"a\":\"m-2.safetensors\",\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}", "m-1.safetensors", 2, 4},
        {"{\"a\":\"m-1.safetensors\",\"c\":\"below/m-3.safetensors\"}", "m-1.safetensors", 2, 8},
        {"{\"a\":\"m-1.safetensors\",\"c\":\"./below/m-3.safetensors\"}", "m-1.safetensors", 2, 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_index(cases[i].map);
        Checkpoint checkpoint = opened(folder);
        assert_non_null(strstr(checkpoint_find(&checkpoint, "a")->file, cases[i].file_of_a));
        assert_null(checkpoint_find(&checkpoint, "x"));
        assert_int_equal(checkpoint.tensor_count, cases[i].tensors);
        assert_int_equal(checkpoint.bytes, cases[i].bytes);
        assert_true(checkpoint_whole(&checkpoint, NULL));
        checkpoint_close(&checkpoint);
    }
    uint64_t identities[2]; // another copy is another model
    for (int i = 0; i < 2; i++) {
        put_index(cases[i].map);
        Checkpoint checkpoint = opened(folder);
        identities[i] = checkpoint.identity;
        checkpoint_close(&checkpoint);
    }
    assert_true(identities[0] != identities[1]);
    put_index("{\"a\":\"m-1.safetensors\",\"z\":\"m-9.safetensors\"}"); // missed when somebody asks for z
    Checkpoint checkpoint = opened(folder);
    Error err = {0};
    assert_false(checkpoint_whole(&checkpoint, &err));
    assert_non_null(strstr(err.message, "/m-9.safetensors: cannot be opened: it is missing"));
    checkpoint_close(&checkpoint);
}

// Indices of other names, sets without an index, and what is beside them.
static void other_names(void **state) {
    (void)state;
    put("consolidated.safetensors", "{" ENTRY("wrong") "}");
    put("diffusion-00001-of-00002.safetensors", "{" ENTRY("a") "}");
    expect_refused(folder, "is one of 2 files of a checkpoint, but not all of these are there");
    put("diffusion-00002-of-00002.safetensors", "{" ENTRY("b") "}");
    Checkpoint checkpoint = opened(folder);
    assert_int_equal(checkpoint.tensor_count, 2);
    assert_null(checkpoint_find(&checkpoint, "wrong"));
    checkpoint_close(&checkpoint);
    put("model-00001-of-00001.safetensors", "{" ENTRY("c") "}");
    expect_refused(folder, "holds several safetensors files"); // two sets
    folder_put_text(folder, "model.safetensors.index.fp16.json",
                    "{\"weight_map\":{\"c\":\"model-00001-of-00001.safetensors\"}}");
    checkpoint = opened(folder);
    assert_non_null(checkpoint_find(&checkpoint, "c"));
    assert_int_equal(checkpoint.tensor_count, 1);
    checkpoint_close(&checkpoint);
    folder_put_text(folder, "diffusion.safetensors.index.json",
                    "{\"weight_map\":{\"b\":\"diffusion-00002-of-00002.safetensors\"}}");
    expect_refused(folder, "holds several safetensors files");
    char *path = path_join(folder, "diffusion.safetensors.index.json");
    checkpoint = opened(path);
    assert_string_equal(checkpoint.folder, folder);
    assert_non_null(checkpoint_find(&checkpoint, "b"));
    checkpoint_close(&checkpoint);
    free(path);
    put("model.safetensors", "{" ENTRY("d") "}"); // one file wins over all of them
    checkpoint = opened(folder);
    assert_int_equal(checkpoint.tensor_count, 1);
    checkpoint_close(&checkpoint);
}

// More files than a program may have open.
static void many_files(void **state) {
    (void)state;
    enum { FILES = 300 };
    Text map = {0};
    struct rlimit before, few = {.rlim_cur = 64, .rlim_max = 64};
    for (int i = 0; i < FILES; i++) {
        char name[64], header[128];
        snprintf(name, sizeof name, "m-%d.safetensors", i);
        snprintf(header, sizeof header, "{\"t%d\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", i);
        put(name, header);
        text_addf(&map, "%c\"t%d\":\"%s\"", i ? ',' : '{', i, name);
    }
    text_addf(&map, "}}");
    Text index = {0};
    text_addf(&index, "{\"weight_map\":%s", map.data);
    folder_put_text(folder, "model.safetensors.index.json", index.data);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    Checkpoint checkpoint = opened(folder);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(checkpoint.file_count, FILES);
    assert_int_equal(checkpoint.tensor_count, FILES);
    checkpoint_close(&checkpoint);
    text_free(&map);
    text_free(&index);
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
    expect_refused("folder/model.gguf", "no such file or folder; give a checkpoint folder"); // no name of a model
    expect_refused(folder, "holds no safetensors files");
    folder_put_text(folder, "pytorch_model.bin", "x");
    expect_refused(folder, "PyTorch .bin");
    folder_put_text(folder, "model.gguf", "x");
    expect_refused(folder, "model.gguf: the file ends in its first bytes");
    char *path = path_join(folder, "model.gguf");
    expect_refused(path, "model.gguf: the file ends in its first bytes");
    free(path);
    path = path_join(folder, "pytorch_model.bin");
    expect_refused(path, "neither a folder nor");
    free(path);
    folder_put_text(folder, "model.safetensors", "x");
    expect_refused(folder, "model.safetensors: 1 bytes are too small");
}

static void hub_names(void **state) {
    (void)state;
    setenv("HF_HUB_CACHE", folder, 1);
    make("models--org--a.b-c/refs");
    make("models--org--a.b-c/snapshots/0123abc");
    make("models--org--a.b-c/snapshots/other");
    expect_refused("org/a.b-c", "holds 2 snapshots");
    put("models--org--a.b-c/snapshots/0123abc/model.safetensors", "{" ENTRY("x") "}");
    folder_put_text(folder, "models--org--a.b-c/refs/main", "0123abc\n");
    Checkpoint checkpoint = opened("org/a.b-c");
    assert_non_null(strstr(checkpoint.folder, "/models--org--a.b-c/snapshots/0123abc"));
    assert_string_equal(checkpoint.path, "org/a.b-c");
    checkpoint_close(&checkpoint);
    folder_put_text(folder, "models--org--a.b-c/refs/main", "../../../etc");
    expect_refused("org/a.b-c", "no complete snapshot");
    make("models--of-mine/one");
    make("models--of-mine/models--Org--Other/snapshots/1");
    put("models--of-mine/one/model.safetensors", "{" ENTRY("x") "}");
    put("models--of-mine/models--Org--Other/snapshots/1/model.safetensors", "{" ENTRY("x") "}");
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

// The documented variables, in the order in which huggingface_hub asks them; each folder holds another model.
static void hub_folders(void **state) {
    (void)state;
    static const char *const variables[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"};
    static const char *const values[] = {"$QD_ROOT/1", "${QD_ROOT}/2", "~/3", "~/4"};
    static const char *const folders[] = {"1", "2", "3/hub", "4/huggingface/hub", ".cache/huggingface/hub"};
    enum { VARIABLES = sizeof variables / sizeof *variables };
    char *kept[VARIABLES], *home = strdup(getenv("HOME") ? getenv("HOME") : "");
    setenv("QD_ROOT", folder, 1);
    setenv("HOME", folder, 1);
    for (int i = 0; i < VARIABLES; i++) {
        kept[i] = getenv(variables[i]) ? strdup(getenv(variables[i])) : NULL;
        setenv(variables[i], values[i], 1);
    }
    for (int i = 0; i <= VARIABLES; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/models--org--name/snapshots/1", folders[i]);
        make(path);
        snprintf(path, sizeof path, "%s/models--org--name/snapshots/1/model.safetensors", folders[i]);
        put(path, "{" ENTRY("x") "}");
    }
    for (int i = 0; i <= VARIABLES; i++) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "/%s/models--org--name/", folders[i]);
        Checkpoint checkpoint = opened("org/name");
        if (!strstr(checkpoint.folder, wanted)) fail_msg("%s is not in %s", checkpoint.folder, wanted);
        checkpoint_close(&checkpoint);
        if (i < VARIABLES) setenv(variables[i], i % 2 ? "" : values[i], 1); // empty says as little as none
        if (i < VARIABLES && i % 2 == 0) unsetenv(variables[i]);
    }
    for (int i = 0; i < VARIABLES; i++) {
        if (kept[i]) setenv(variables[i], kept[i], 1);
        if (!kept[i]) unsetenv(variables[i]);
        free(kept[i]);
    }
    setenv("HOME", home, 1);
    unsetenv("QD_ROOT");
    free(home);
}

static void expect_snapshot(const char *name, const char *commit) {
    Checkpoint checkpoint = opened(name);
    if (!strstr(checkpoint.folder, commit)) fail_msg("%s: %s", name, checkpoint.folder);
    checkpoint_close(&checkpoint);
}

static void hub_revisions(void **state) {
    (void)state;
    setenv("HF_HUB_CACHE", folder, 1);
    make("models--Org--Name/refs/refs/pr");
    make("models--Org--Name/snapshots/aaa");
    make("models--Org--Name/snapshots/bbb");
    put("models--Org--Name/snapshots/aaa/model.safetensors", "{" ENTRY("x") "}");
    put("models--Org--Name/snapshots/bbb/model.safetensors", "{" ENTRY("x") "}");
    expect_refused("Org/Name", "holds 2 snapshots, and no refs/main that says which; name one: Org/Name@");
    folder_put_text(folder, "models--Org--Name/refs/main", "aaa");
    folder_put_text(folder, "models--Org--Name/refs/v1.0", "bbb\n");
    folder_put_text(folder, "models--Org--Name/refs/refs/pr/1", "bbb");
    expect_snapshot("Org/Name", "/aaa");
    expect_snapshot("Org/Name@bbb", "/bbb");
    expect_snapshot("Org/Name@v1.0", "/bbb");
    expect_snapshot("Org/Name@refs/pr/1", "/bbb");
    expect_snapshot("org/name@main", "/models--Org--Name/snapshots/aaa"); // names there differ in more than case
    expect_refused("Org/Name@v2", "no snapshot of the revision v2");
    expect_refused("Org/Name@../aaa", "no such file or folder");
    expect_refused("Org/Name@", "no such file or folder");
    unsetenv("HF_HUB_CACHE");
}

// Of several snapshots one is named, as it can be opened.
static void expect_advice_opens(const char *path) {
    Checkpoint checkpoint;
    Error err = {0};
    assert_false(checkpoint_open(path, &checkpoint, &err));
    const char *advice = strstr(err.message, "name one: ");
    if (!advice) fail_msg("no advice: %s", err.message);
    expect_snapshot(advice + strlen("name one: "), "models--Org--Name/snapshots/");
}

// As people write the name of a model, or point to it.
static void hub_spellings(void **state) {
    (void)state;
    setenv("HF_HUB_CACHE", folder, 1);
    make("models--Org--Name/refs");
    make("models--Org--Name/snapshots/aaa");
    make("models--Org--Name/snapshots/bbb");
    put("models--Org--Name/snapshots/aaa/model.safetensors", "{" ENTRY("x") "}");
    put("models--Org--Name/snapshots/bbb/model.safetensors", "{" ENTRY("x") "}");
    folder_put_text(folder, "models--Org--Name/refs/main", "aaa");
    expect_snapshot("Org/Name/", "/aaa");
    expect_snapshot("https://huggingface.co/Org/Name", "/aaa");
    expect_snapshot("https://huggingface.co/Org/Name/tree/bbb/", "/bbb");
    expect_snapshot("hf://Org/Name", "/aaa");
    expect_refused("https://huggingface.co/Org/Other", "hf download Org/Other");
    expect_refused("https://huggingface.co/Org/Other/tree/v2", "hf download Org/Other --revision v2");
    expect_snapshot("models--Org--Name", "/aaa");
    expect_refused("models--Org--Other", "hf download Org/Other");
    expect_refused("models--Org--Other@v2", "hf download Org/Other --revision v2");
    expect_refused("https://example.org/Org/Name", "is an address");
    char *model = path_join(folder, "models--Org--Name/");
    expect_snapshot(model, "/aaa");
    free(model);
    folder_put_text(folder, "models--Org--Name/refs/main", "ccc");
    model = path_join(folder, "models--Org--Name");
    expect_refused(model, "holds no complete snapshot");
    char *ref = path_join(model, "refs/main");
    assert_int_equal(unlink(ref), 0);
    expect_advice_opens(model);
    expect_advice_opens("Org/Name");
    free(ref);
    free(model);
    unsetenv("HF_HUB_CACHE");
}

static void expect_name(const char *path, const char *name, const char *hub) {
    Checkpoint checkpoint = opened(path);
    char *known = checkpoint_hub_name(&checkpoint);
    if (strcmp(checkpoint.name, name) != 0) fail_msg("%s is called %s", path, checkpoint.name);
    if (hub ? !known || strcmp(known, hub) != 0 : known != NULL) fail_msg("%s: on the Hub %s", path, known);
    free(known);
    checkpoint_close(&checkpoint);
}

// What is shown of a model, and written into what is made of it.
static void names(void **state) {
    (void)state;
    setenv("HF_HUB_CACHE", folder, 1);
    make("models--Org--Name/snapshots/0123abc");
    make("new\nline");
    make("plain");
    make("models--of-mine/one");
    make("models--of-mine/models--Org--Other/snapshots/1");
    put("models--of-mine/one/model.safetensors", "{" ENTRY("x") "}");
    put("models--of-mine/models--Org--Other/snapshots/1/model.safetensors", "{" ENTRY("x") "}");
    make("models--plain/snapshots/1");
    put("models--plain/snapshots/1/model.safetensors", "{" ENTRY("x") "}");
    put("models--Org--Name/snapshots/0123abc/model.safetensors", "{" ENTRY("x") "}");
    put("new\nline/other.safetensors", "{" ENTRY("x") "}");
    put("plain/model.safetensors", "{" ENTRY("x") "}");
    char *before = getcwd(NULL, 0), *plain = path_join(folder, "plain");
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(symlink("plain", "link"), 0);
    expect_name("Org/Name", "Name", "Org/Name");
    expect_name("Org/Name@0123abc", "Name", "Org/Name");
    expect_name("hf://org/NAME", "Name", "Org/Name"); // as the Hub spells it
    make("elsewhere/snapshots/1");
    put("elsewhere/snapshots/1/model.safetensors", "{" ENTRY("x") "}");
    assert_int_equal(symlink("elsewhere", "models--Org--Moved"), 0);
    expect_name("Org/Moved@1", "Moved", "Org/Moved");
    expect_name("models--Org--Name", "Name", "Org/Name");
    expect_name("models--Org--Name/snapshots/0123abc/", "Name", "Org/Name");
    expect_name("models--Org--Name/snapshots/0123abc/model.safetensors", "Name", "Org/Name");
    expect_name("models--plain/snapshots/1", "plain", NULL);
    expect_name("models--of-mine/one", "one", NULL); // is no cache
    expect_name("models--of-mine/models--Org--Other", "Other", "Org/Other");
    expect_name("new\nline", "new\uFFFDline", NULL);
    expect_name("new\nline/other.safetensors", "other", NULL);
    expect_name("plain/model.safetensors", "plain", NULL);
    expect_name("link//", "link", NULL);
    assert_int_equal(chdir("plain"), 0);
    expect_name(".", "plain", NULL);
    expect_name("model.safetensors", "plain", NULL);
    expect_name("../link/.", "plain", NULL);
    expect_name(plain, "plain", NULL);
    assert_int_equal(chdir(before), 0);
    free(before);
    free(plain);
    unsetenv("HF_HUB_CACHE");
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
        IN_FOLDER(one_file),
        IN_FOLDER(only_file),
        IN_FOLDER(shards),
        IN_FOLDER(wrong_indices),
        IN_FOLDER(identity),
        IN_FOLDER(numbers_tell_checkpoints_apart),
        IN_FOLDER(numbers_of_large_ones_are_sampled),
        IN_FOLDER(experts_of_mlx_are_one_by_one),
        IN_FOLDER(missing),
        IN_FOLDER(hub_names),
        IN_FOLDER(sample),
        IN_FOLDER(the_index_decides),
        IN_FOLDER(other_names),
        IN_FOLDER(many_files),
        IN_FOLDER(hub_folders),
        IN_FOLDER(hub_revisions),
        IN_FOLDER(hub_spellings),
        IN_FOLDER(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
