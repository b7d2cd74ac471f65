#include "base/recognize.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"

typedef struct Bytes {
    const char *data; // NUL-terminated behind `length`
    size_t length;
    Expected expected;
} Bytes;

static bool begins_with(const Bytes *b, size_t offset, const char *with, size_t length) {
    return b->length >= offset + length && memcmp(b->data + offset, with, length) == 0;
}

// ---- Kinds with a signature of their own ----

static const char to_safetensors[] = "load it with the library that wrote it, and save it as safetensors";
static const char from_torch[] =
    "load the model in transformers and save it with save_pretrained, which writes safetensors";
static const char original[] = "open the checkpoint that it was made from";
static const char again[] = "download it again";
static const char unpack[] = "unpack it first";

#define SIGNATURE(at, text) (at), (text), sizeof(text) - 1
static const struct {
    size_t offset;
    const char *text;
    size_t length;
    const char *what, *remedy;
} signatures[] = {
    {SIGNATURE(0, "GGUF"), "a GGUF file of llama.cpp", "give it a name that ends in .gguf"},
    {SIGNATURE(0, "lmgg"), "a GGML file of llama.cpp", original},
    {SIGNATURE(0, "tjgg"), "a GGML file of llama.cpp", original},
    {SIGNATURE(0, "fmgg"), "a GGML file of llama.cpp", original},
    {SIGNATURE(0, "MZqFpD"), "a llamafile", original},
    {SIGNATURE(0, "\x89HDF\r\n\x1a\n"), "an HDF5 file of TensorFlow or Keras", to_safetensors},
    {SIGNATURE(0, "\x93NUMPY"), "a NumPy array", to_safetensors},
    {SIGNATURE(4, "TFL3"), "a TensorFlow Lite model", original},
    {SIGNATURE(0, "ftrt"), "a TensorRT engine", original},
    {SIGNATURE(0, "ptrt"), "a TensorRT engine", original},
    {SIGNATURE(257, "ustar"), "a tar archive", unpack},
    {SIGNATURE(0, "\x1f\x8b"), "compressed by gzip", unpack},
    {SIGNATURE(0, "\x28\xb5\x2f\xfd"), "compressed by zstd", unpack},
    {SIGNATURE(0, "\xfd"
                  "7zXZ\0"),
     "compressed by xz", unpack},
    {SIGNATURE(0, "BZh"), "compressed by bzip2", unpack},
    {SIGNATURE(0, "7z\xbc\xaf\x27\x1c"), "a 7-Zip archive", unpack},
    {SIGNATURE(0, "Rar!\x1a\x07"), "a RAR archive", unpack},
    {SIGNATURE(0, "PAR1"), "a Parquet file", "write its texts to a .txt or .jsonl file"},
    {SIGNATURE(0, "ARROW1"), "an Arrow file", "write its texts to a .txt or .jsonl file"},
    {SIGNATURE(0, "%PDF-"), "a PDF", "give plain text"},
    {SIGNATURE(0, "\xff\xfe"), "UTF-16 text", "save it as UTF-8"},
    {SIGNATURE(0, "\xfe\xff"), "UTF-16 text", "save it as UTF-8"},
    {SIGNATURE(0, "/annex/objects/"), "a pointer of git-annex, not the file itself", "fetch it with git annex get"},
    {SIGNATURE(0, "# xet version"), "a pointer of git-xet, not the file itself", "fetch the file with git xet"},
};

static bool by_signature(const Bytes *b, Error *err) {
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        if (!begins_with(b, signatures[i].offset, signatures[i].text, signatures[i].length)) continue;
        error_set(err, "is %s; %s", signatures[i].what, signatures[i].remedy);
        return true;
    }
    return false;
}

// ---- Kinds that take a closer look ----

static bool is_nothing(const Bytes *b, Error *err) {
    if (b->length || b->expected != EXPECTED_WEIGHTS) return false;
    error_set(err, "is empty; %s", again);
    return true;
}

// Downloaders make the file as large as it will be, and fill it.
static bool is_zeros(const Bytes *b, Error *err) {
    if (b->length < 512) return false;
    for (size_t i = 0; i < b->length; i++) {
        if (b->data[i]) return false;
    }
    error_set(err, "begins with nothing but zeros: a download that did not finish; %s", again);
    return true;
}

static bool is_lfs_pointer(const Bytes *b, Error *err) {
    static const char version[] = "version https://git-lfs.github.com/spec/";
    if (!begins_with(b, 0, version, sizeof version - 1)) return false;
    const char *size = strstr(b->data, "\nsize ");
    double bytes = size ? strtod(size + 6, NULL) : 0;
    error_set(err,
              "is a git-lfs pointer, which stands for a file of %.4g %s; fetch that with git lfs pull in its folder",
              bytes / (bytes < 1e6   ? 1e3
                       : bytes < 1e9 ? 1e6
                                     : 1e9),
              bytes < 1e6   ? "kB"
              : bytes < 1e9 ? "MB"
                            : "GB");
    return true;
}

static bool is_markup(const Bytes *b, Error *err) {
    static const struct {
        const char *begin, *what;
    } kinds[] = {{"<!doctype html", "a web page"},
                 {"<html", "a web page"},
                 {"<head", "a web page"},
                 {"<?xml", "an XML message"},
                 {"<error", "an XML message"}};
    const char *at = b->data + (begins_with(b, 0, "\xEF\xBB\xBF", 3) ? 3 : 0);
    at += strspn(at, " \t\r\n");
    for (size_t i = 0; b->expected != EXPECTED_TEXT && i < sizeof kinds / sizeof *kinds; i++) {
        if (strncasecmp(at, kinds[i].begin, strlen(kinds[i].begin)) != 0) continue;
        error_set(err,
                  "is %s, not the file that was to be downloaded; download it again, with the link of the file itself "
                  "(\"resolve\", not \"blob\") and with your access token where one is needed",
                  kinds[i].what);
        return true;
    }
    return false;
}

// Archives of PyTorch, NumPy and Keras are known by the name of their first entry.
static bool is_zip(const Bytes *b, Error *err) {
    static const struct {
        const char *part, *what, *remedy;
    } kinds[] = {
        {"data.pkl", "a PyTorch file (.pt, .pth, .bin)", from_torch},
        {"/version", "a PyTorch file (.pt, .pth, .bin)", from_torch},
        {"constants.pkl", "a PyTorch file (.pt, .pth, .bin)", from_torch},
        {".npy", "a NumPy archive (.npz)", to_safetensors},
        {"metadata.json", "a Keras model", to_safetensors},
    };
    char name[256];
    if (!begins_with(b, 0, "PK\x03\x04", 4) && !begins_with(b, 0, "PK\x05\x06", 4)) return false;
    size_t room = b->length > 30 ? b->length - 30 : 0, length = room ? (unsigned char)b->data[26] : 0;
    snprintf(name, sizeof name, "%.*s", (int)(length < room ? length : room), b->data + (room ? 30 : 0));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!strstr(name, kinds[i].part)) continue;
        error_set(err, "is %s; %s", kinds[i].what, kinds[i].remedy);
        return true;
    }
    error_set(err, "is a ZIP archive; %s", unpack);
    return true;
}

// Protocol 2 to 5.
static bool is_pickle(const Bytes *b, Error *err) {
    if (b->length < 3 || b->data[0] != '\x80' || b->data[1] < 2 || b->data[1] > 5) return false;
    error_set(err, "is a pickle, as PyTorch writes them (.pt, .pth, .bin); %s", from_torch);
    return true;
}

// No signature: a version, then the name of the program that wrote it.
static bool is_onnx(const Bytes *b, Error *err) {
    if (b->length < 5 || b->data[0] != 8 || b->data[1] < 1 || b->data[1] > 20 || b->data[2] != 0x12) return false;
    size_t length = (unsigned char)b->data[3];
    if (!length || length > 64 || 4 + length > b->length) return false;
    for (size_t i = 0; i < length; i++) {
        if (!isprint((unsigned char)b->data[4 + i])) return false;
    }
    error_set(err, "is an ONNX model; %s", original);
    return true;
}

// "Entry not found", {"error": …}
static bool is_text(const Bytes *b, Error *err) {
    size_t length = b->length < 200 ? b->length : 200, line = 0;
    if (b->expected != EXPECTED_WEIGHTS || length < 10) return false;
    for (size_t i = 0; i < length; i++) {
        if (!isprint((unsigned char)b->data[i]) && !isspace((unsigned char)b->data[i])) return false;
    }
    while (line < length && line < 60 && b->data[line] != '\n' && b->data[line] != '\r') line++;
    error_set(err, "is text (%.*s%s), not weights; %s", (int)line, b->data, line < b->length ? " …" : "", again);
    return true;
}

static bool (*const kinds[])(const Bytes *b, Error *err) = {is_nothing, is_zeros, is_lfs_pointer, is_markup, is_zip,
                                                            is_pickle,  is_onnx,  by_signature,   is_text};

bool recognize_bytes(const void *bytes, size_t length, Expected expected, Error *err) {
    char data[RECOGNIZE_BYTES + 1];
    Bytes b = {.data = data, .length = length < RECOGNIZE_BYTES ? length : RECOGNIZE_BYTES, .expected = expected};
    if (b.length) memcpy(data, bytes, b.length);
    data[b.length] = '\0';
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i](&b, err)) return true;
    }
    return false;
}

size_t file_first_bytes(const char *path, char bytes[RECOGNIZE_BYTES]) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    ssize_t n = -1;
    if (fd < 0) return 0;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) n = read(fd, bytes, RECOGNIZE_BYTES);
    close(fd);
    return n > 0 ? (size_t)n : 0;
}

bool recognize_file(const char *path, Expected expected, Error *err) {
    char bytes[RECOGNIZE_BYTES];
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return false;
    size_t length = file_first_bytes(path, bytes);
    if (!length && info.st_size) return false; // it cannot be read
    if (!recognize_bytes(bytes, length, expected, err)) return false;
    error_prefix(err, "%s", path);
    return true;
}
