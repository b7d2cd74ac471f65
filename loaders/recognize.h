// Why something that was given as a model is none: which files people really have, told by what they are.
#pragma once

#include "loaders/checkpoint_index.h"

// A folder in which there are no safetensors files to open. Always refuses.
bool recognize_folder(const char *folder, Error *err);

// A file whose name is not that of a safetensors file: true when it is one all the same. Otherwise refuses.
bool recognize_model_file(const char *path, Error *err);

// Of the files of a checkpoint one, files->items[failed], cannot be opened: true when that is because it is not there,
// never downloaded, or a link that leads nowhere. Then the message says so.
bool recognize_missing(const char *folder, const Names *files, size_t failed, Error *err);

// Refuses links that lead nowhere in the place of files that the checkpoint cannot do without.
bool recognize_links(const char *folder, Error *err);

// Refuses a single file that is one of several by its name, model-00002-of-00003.safetensors.
bool recognize_lone_shard(const char *folder, const char *name, Error *err);

// An adapter, found at `path`; names the model that it belongs to, as far as folder/adapter_config.json tells. Always
// refuses.
bool recognize_adapter(const char *folder, const char *path, Error *err);
