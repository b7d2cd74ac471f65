// Explains why something given as a model is not one, by what its files are.
#pragma once

#include "loaders/checkpoint_index.h"

// A folder in which there are no safetensors files to open. Always refuses.
bool recognize_folder(const char *folder, Error *err);

// A file whose name is not that of a safetensors file: true when it is one nevertheless. Otherwise refuses.
bool recognize_model_file(const char *path, Error *err);

// files->items[failed] of a checkpoint cannot be opened. True, with a message, when it is missing, was never
// downloaded, or is a broken link.
bool recognize_missing(const char *folder, const Names *files, size_t failed, Error *err);

// Refuses broken links in place of files that the checkpoint needs.
bool recognize_links(const char *folder, Error *err);

// Refuses a folder in which `quantdial quantize` is not finished, by its journal.
bool recognize_export(const char *folder, Error *err);

// Refuses a set of numbered files, of which `name` is one, that has not all `of` of them.
bool recognize_part_of_set(const char *folder, const char *name, int of, Error *err);

// True when this path, or a name in a folder, is a link to what is not there; the message then says so.
bool recognize_link_to_nothing(const char *path, Error *err);
bool recognize_broken_link(const char *folder, const char *name, Error *err);

// Refuses the adapter found at `path`, and names the model it belongs to if folder/adapter_config.json says so.
bool recognize_adapter(const char *folder, const char *path, Error *err);
