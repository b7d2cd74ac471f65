// A checkpoint: a folder with config.json and one safetensors file or an index of shards; a single .safetensors
// file or index; or a model in GGUF, whose keys say what config.json would (loaders/documents.h).
#pragma once

#include "base/error.h"
#include "loaders/tensor_file.h"

typedef struct Checkpoint {
    char *path;      // what the user named
    char *name;      // what people call it, in one line: the last part of "org/model", of a folder, of a GGUF file
    char *folder;    // the folder that holds the files
    char *documents; // where config.json, tokenizer.json … are: that folder, or the GGUF file
    TensorFile *files;
    size_t file_count;
    const Tensor **by_name; // all tensors, each name once, sorted by name (strcmp)
    size_t tensor_count;
    size_t bytes;  // of all tensor data
    char *missing; // what to say about files that the index names and that are not there (checkpoint_whole); or NULL
    uint64_t identity; // hash of names, sizes, times, inodes, headers and samples of the numbers: the key of caches
    uint64_t content;  // the same of any copy: hash of headers and of samples of the numbers
} Checkpoint;

// `path`: folder, file (any of a GGUF that is split), or a name "org/model" of the local Hugging Face cache. Close with
// checkpoint_close. Where an index and its files disagree, the index chooses among copies of a tensor, and a tensor
// that is elsewhere is taken from there.
bool checkpoint_open(const char *path, Checkpoint *out, Error *err);
void checkpoint_close(Checkpoint *checkpoint);

// "org/model", where the user named it so or it lies in the Hugging Face cache; else NULL. The caller's.
char *checkpoint_hub_name(const Checkpoint *checkpoint);

// Whether checkpoint_open would find something at this path, whatever it is.
bool checkpoint_is_there(const char *path);

// False when a file became shorter or was written to, or a part of it could not be read, while it was open: what was
// read since then may be zeros, or numbers of another model. Ask after every piece of long work, and
// tensor_intact (loaders/stored/stored.h) after every matrix. `checkpoint` may be NULL.
bool checkpoint_intact(const Checkpoint *checkpoint, Error *err);

// A hash of what the tensors hold, part of the identity: of all bytes of a small checkpoint, of a page of each tensor
// (of a thousand at most) of a large one.
uint64_t checkpoint_numbers(const Checkpoint *checkpoint);
// False when the index names files that are not there. Opening does not check this, because their tensors may not be
// needed.
bool checkpoint_whole(const Checkpoint *checkpoint, Error *err);

// NULL when there is none of that name.
const Tensor *checkpoint_find(const Checkpoint *checkpoint, const char *name);

// What ships with the program: $QUANTDIAL_SAMPLES/NAME, ../samples/NAME or ../share/quantdial/samples/NAME as seen from
// the executable. Owned by the caller.
char *shipped_path(const char *name, Error *err);
char *sample_path(Error *err); // of the sample model: "storyteller"
