// Files that people have in the place of a model, and what they are told. Formats are written as their first bytes.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "analysis/tokens.h"
#include "base/file.h"
#include "base/recognize.h"
#include "loaders/config.h"
#include "loaders/structure.h"
#include "tests/support/in_folder.h"

#define BYTES(text) text, sizeof(text) - 1
#define POINTER "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4976698672\n"
#define PAGE "\n <!DOCTYPE html><html><head><title>Sign in</title></head></html>"
#define ZIP(name, length) \
    "PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" length "\0\0\0" name "and then its content"
#define PLAIN "{\"w\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}"

static const struct {
    const char *bytes;
    size_t length;
    const char *what, *remedy;
} files[] = {
    {BYTES(POINTER), "git-lfs pointer, which stands for a file of 4.977 GB", "git lfs pull"},
    {BYTES(PAGE), "web page", "resolve"},
    {BYTES("\xEF\xBB\xBF<HTML lang=en>"), "web page", "download it again"},
    {BYTES("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"), "XML", "download it again"},
    {BYTES("Entry not found"), "is text (Entry not found)", "download it again"},
    {BYTES("{\"error\":\"Access to this model is restricted\"}"), "Access to this model", "download it again"},
    {BYTES(ZIP("archive/data.pkl", "\x10")), "PyTorch", "save_pretrained"},
    {BYTES(ZIP("a.npy", "\x05")), "NumPy archive", "safetensors"},
    {BYTES(ZIP("model.safetensors", "\x11")), "ZIP archive", "unpack"},
    {BYTES("PK\x05\x06\0\0\0\0"), "ZIP archive", "unpack"},
    {BYTES("\x80\x02}q\0X\x05"), "pickle", "save_pretrained"},
    {BYTES("GGUF\3\0\0\0"), "GGUF", "ends in .gguf"},
    {BYTES("\x89HDF\r\n\x1a\n\0\0"), "HDF5", "safetensors"},
    {BYTES("\x93NUMPY\1\0"), "NumPy array", "safetensors"},
    {BYTES("\x08\x08\x12\x07pytorch\x1a\x05"), "ONNX", "made from"},
    {BYTES("ftrt\0\0\0\0"), "TensorRT", "made from"},
    {BYTES("\x1f\x8b\x08\0\0"), "gzip", "unpack"},
    {BYTES("\x28\xb5\x2f\xfd\0\0"), "zstd", "unpack"},
    {BYTES("/annex/objects/MD5E-s1--0"), "git-annex", "git annex get"},
};
enum { FILES = sizeof files / sizeof *files };

static void expect_refused(const char *path, const char *file, const char *what, const char *remedy) {
    Checkpoint checkpoint;
    ModelConfig config;
    ModelStructure structure = {0};
    Error err = {0};
    if (checkpoint_open(path, &checkpoint, &err)) {
        bool ok =
            config_load(checkpoint.folder, &config, &err) && structure_build(&checkpoint, &config, &structure, &err);
        structure_free(&structure);
        checkpoint_close(&checkpoint);
        if (ok) fail_msg("%s was opened, but is %s", path, what);
    }
    const char *const parts[] = {file, what, remedy};
    for (int i = 0; i < 3; i++) {
        if (!strstr(err.message, parts[i])) fail_msg("\"%s\" is missing in: %s", parts[i], err.message);
    }
}

static char *inside(const char *name) { return path_join(folder, name); }

static void weights_that_are_something_else(void **state) {
    (void)state;
    for (size_t i = 0; i < FILES; i++) {
        char *path = folder_write(folder, "model.safetensors", files[i].bytes, files[i].length);
        expect_refused(folder, "/model.safetensors: ", files[i].what, files[i].remedy);
        expect_refused(path, "/model.safetensors: ", files[i].what, files[i].remedy);
        free(path);
    }
}

// Whatever it is called, named itself or alone in its folder.
static void files_of_any_name(void **state) {
    (void)state;
    for (size_t i = 0; i < FILES; i++) {
        char *path = folder_write(folder, "weights.x", files[i].bytes, files[i].length);
        expect_refused(path, "/weights.x: ", files[i].what, files[i].remedy);
        if (strncmp(files[i].what, "is text", 7) != 0 && files[i].bytes[0] != '{') // any folder has some text in it
            expect_refused(folder, "/weights.x: ", files[i].what, files[i].remedy);
        free(path);
    }
}

static void downloads_that_did_not_end(void **state) {
    (void)state;
    char zeros[5000] = {0}, *path = folder_write(folder, "model.safetensors", zeros, sizeof zeros);
    expect_refused(folder, "model.safetensors: ", "zeros", "download it again");
    free(path);
    free(folder_write(folder, "model.safetensors", "", 0));
    expect_refused(folder, "model.safetensors: ", "empty", "download it again");
    path = folder_put_safetensors(folder, "model.safetensors", PLAIN, 16);
    const off_t cuts[] = {4, 20, 70};
    for (size_t i = 3; i-- > 0;) {
        assert_int_equal(truncate(path, cuts[i]), 0);
        expect_refused(folder, "model.safetensors: ", cuts[i] == 4 ? "too small" : "cut off", "download it again");
    }
    unlink(path);
    free(path);
    folder_put_text(folder, "model.safetensors.part", "x");
    expect_refused(folder, "model.safetensors.part", "did not finish", "download the model again");
}

static void downloads_of_which_a_part_is_there(void **state) {
    (void)state;
    char *path = inside("model.safetensors");
    assert_int_equal(symlink("../../blobs/0123", path), 0);
    expect_refused(folder, "/model.safetensors: ", "link to ../../blobs/0123, which is not there", "download");
    expect_refused(path, "/model.safetensors: ", "link to ../../blobs/0123, which is not there", "download");
    unlink(path);
    free(path);
    free(folder_put_safetensors(folder, "model-00001-of-00003.safetensors", PLAIN, 16));
    expect_refused(folder, "model-00001-of-00003.safetensors", "one of 3 files", "download");
    free(folder_put_safetensors(folder, "model-00002-of-00003.safetensors", PLAIN, 16));
    expect_refused(folder, "model-00001-of-00003.safetensors", "not all of these are there, and no index", "download");
    char *last = inside("model-00003-of-00003.safetensors");
    assert_int_equal(symlink("../../blobs/0123", last), 0);
    expect_refused(folder, "model-00003-of-00003.safetensors", "link to ../../blobs/0123, which is not there",
                   "download");
    unlink(last);
    free(last);
    path = inside("model-00002-of-00003.safetensors");
    unlink(path);
    free(path);
    folder_put_text(folder, "model.safetensors.index.json",
                    "{\"weight_map\":{\"w\":\"model-00001-of-00003.safetensors\","
                    "\"v\":\"model-00002-of-00003.safetensors\",\"u\":\"model-00003-of-00003.safetensors\"}}");
    expect_refused(folder, "/model-00002-of-00003.safetensors: ", "of 3 files of the checkpoint 2 are not there",
                   "download");
}

static void places_of_models(void **state) {
    (void)state;
    char *model = inside("models--org--name"), *config, *snapshots = path_join(model, "snapshots/0123");
    assert_true(folder_make(snapshots, NULL));
    expect_refused(folder, folder, "is the Hugging Face cache", "such as org/name");
    expect_refused(model, snapshots, "the folder is empty", "holds no safetensors files");
    config = path_join(snapshots, "config.json");
    assert_int_equal(symlink("../../../config.json", config), 0); // as files of a snapshot are
    folder_put_text(folder, "config.json", "{}");
    expect_refused(model, snapshots, "there is a config.json, but no weights", "download the model again");
    free(config);
    expect_refused("https://example.org/name", "https://", "is an address", "download the model first");
    free(snapshots);
    free(model);
}

static void folders_without_weights(void **state) {
    (void)state;
    expect_refused(folder, folder, "the folder is empty", "no safetensors files");
    folder_put_text(folder, "config.json", "{}");
    expect_refused(folder, folder, "no weights", "download the model again");
    char *unet = inside("unet"), *cache = inside(".cache"), *place;
    mkdir(unet, 0777);
    free(folder_put_safetensors(unet, "diffusion_pytorch_model.safetensors", PLAIN, 16));
    expect_refused(folder, folder, "subfolders do (unet)", "name one");
    place = path_join(cache, "huggingface/download");
    assert_true(folder_make(place, NULL));
    folder_put_text(place, "0123.incomplete", "x");
    expect_refused(folder, "0123.incomplete", "did not finish", "download the model again");
    free(place);
    free(cache);
    free(unet);
}

// One tensor of each format: name, type, width in bytes.
static void put_tensors(const char *const (*tensors)[2], int count) {
    char header[2048] = "{";
    size_t at = 1, offset = 0;
    for (int i = 0; i < count; i++, offset += 16) {
        bool words = strcmp(tensors[i][1], "U8") != 0 && strcmp(tensors[i][1], "I8") != 0;
        at += (size_t)snprintf(header + at, sizeof header - at,
                               "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", i ? "," : "",
                               tensors[i][0], tensors[i][1], words ? "2,2" : "4,4", offset, offset + 16);
    }
    snprintf(header + at, sizeof header - at, "}");
    free(folder_put_safetensors(folder, "model.safetensors", header, offset));
}

static void weights_in_formats_that_are_not_read(void **state) {
    (void)state;
    static const struct {
        const char *tensors[3][2];
        const char *what, *remedy;
    } cases[] = {
        {{{"m.q.weight", "U8"}, {"m.q.weight.quant_state.bitsandbytes__nf4", "U8"}, {"m.q.weight.absmax", "F32"}},
         "bitsandbytes",
         "dequantize()"},
        {{{"m.q.weight", "I8"}, {"m.q.SCB", "F32"}, {"m.n.weight", "F32"}}, "bitsandbytes", "dequantize()"},
        {{{"m.q.q_weight", "U32"}, {"m.q.q_scale", "U32"}, {"m.q.q_scale_max", "F32"}}, "EXL2", "made from"},
        {{{"m.q.W_q", "U8"}, {"m.q.scale", "F32"}, {"m.q.zero", "F32"}}, "HQQ", "made from"},
        {{{"m.q.weight", "U8"}, {"m.q.weight_scale", "U8"}, {"m.q.weight_scale_2", "F32"}}, "NVFP4", "made from"},
        {{{"l.q.lora_A.weight", "F32"}, {"l.q.lora_B.weight", "F32"}, {"base_model.model.head.weight", "F32"}},
         "adapter (LoRA) of \"org/base\"",
         "merge"},
    };
    folder_put_text(folder, "adapter_config.json", "{\"base_model_name_or_path\":\"org/base\"}");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_tensors(cases[i].tensors, 3);
        expect_refused(folder, folder, cases[i].what, cases[i].remedy);
    }
    char *path = inside("model.safetensors");
    unlink(path);
    free(path);
    folder_put_text(folder, "adapter_model.bin", "x");
    expect_refused(folder, folder, "adapter (LoRA) of \"org/base\"", "merge");
}

// What only looks like one of these is opened.
static void others_are_left_in_peace(void **state) {
    (void)state;
    static const char *const cases[][3][2] = {
        {{"m.W_q.weight", "F32"}, {"m.q.biases", "F32"}, {"m.trellis.weight", "F32"}},
        {{"m.q.weight", "F32"}, {"m.q.lora_A.speech.weight", "F32"}, {"m.q.lora_B.speech.weight", "F32"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Checkpoint checkpoint;
        Error err = {0};
        put_tensors(cases[i], 3);
        assert_true(checkpoint_open(folder, &checkpoint, &err));
        ModelConfig config;
        ModelStructure structure = {0};
        if (!config_load(folder, &config, &err) || !structure_build(&checkpoint, &config, &structure, &err))
            fail_msg("%s", err.message);
        assert_true(structure.linear_count >= 1);
        structure_free(&structure);
        checkpoint_close(&checkpoint);
    }
    // A file of the Hugging Face cache under its own name.
    Checkpoint blob;
    char *path = folder_put_safetensors(folder, "0123abcd", PLAIN, 16);
    assert_true(checkpoint_open(path, &blob, NULL));
    checkpoint_close(&blob);
    free(path);
}

static void configurations_that_are_something_else(void **state) {
    (void)state;
    free(folder_put_safetensors(folder, "model.safetensors", PLAIN, 16));
    folder_put_text(folder, "config.json", POINTER);
    expect_refused(folder, "/config.json: ", "git-lfs pointer", "git lfs pull");
    folder_put_text(folder, "config.json", PAGE);
    expect_refused(folder, "/config.json: ", "web page", "download it again");
    free(folder_write(folder, "config.json", BYTES("\xff\xfe{\0}\0")));
    expect_refused(folder, "/config.json: ", "UTF-16", "UTF-8");
    char *path = inside("config.json");
    unlink(path);
    assert_int_equal(symlink("nowhere", path), 0);
    expect_refused(folder, "/config.json: ", "which is not there", "download");
    free(path);
}

static void tokenizers_that_are_links_to_nothing(void **state) {
    (void)state;
    Tokenizer *tokenizer;
    Error err = {0};
    char *path = inside("tokenizer.json");
    assert_int_equal(symlink("../../blobs/0123", path), 0);
    assert_false(tokenizer_load(folder, &tokenizer, &err));
    assert_non_null(strstr(err.message, "/tokenizer.json: cannot be opened: it is a link to ../../blobs/0123"));
    free(path);
}

static void texts_that_are_something_else(void **state) {
    (void)state;
    char *sample = sample_path(NULL);
    if (!sample) skip();
    Tokenizer *tokenizer;
    assert_true(tokenizer_load(sample, &tokenizer, NULL));
    TokenIds ids = {0};
    Error err = {0};
    for (size_t i = 0; i < FILES; i++) {
        const bool welcome = strstr("web page XML is text (Entry not found) Access to this model", files[i].what);
        char *path = folder_write(folder, "text.txt", files[i].bytes, files[i].length);
        if (tokens_from_file(&(TextForm){tokenizer, NULL}, path, 100, &ids, &err) != welcome)
            fail_msg("%s: %s", files[i].what, welcome ? err.message : "was taken for a text");
        if (!welcome && !strstr(err.message, files[i].remedy)) fail_msg("%s: %s", files[i].what, err.message);
        free(path);
    }
    token_ids_free(&ids);
    tokenizer_free(tokenizer);
    free(sample);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(weights_that_are_something_else),
        IN_FOLDER(files_of_any_name),
        IN_FOLDER(downloads_that_did_not_end),
        IN_FOLDER(downloads_of_which_a_part_is_there),
        IN_FOLDER(folders_without_weights),
        IN_FOLDER(places_of_models),
        IN_FOLDER(weights_in_formats_that_are_not_read),
        IN_FOLDER(others_are_left_in_peace),
        IN_FOLDER(configurations_that_are_something_else),
        IN_FOLDER(tokenizers_that_are_links_to_nothing),
        IN_FOLDER(texts_that_are_something_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
