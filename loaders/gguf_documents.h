// The keys of a GGUF file as the documents of a checkpoint. *out is the caller's (cJSON_Delete), also after a failure.
#pragma once

#include "base/json.h"
#include "loaders/gguf_set.h"

// The width of a head, which not all files say. False: nor what it follows from.
bool gguf_head_dim(const Gguf *gguf, const char *architecture, int *out);

// The architecture whose tensors are known, in *name what the file calls it; NULL: not known. Files of 2023 have
// experts one by one, under names that are not.
const struct GgufArchitecture *gguf_known_architecture(const GgufSet *set, char *name, size_t size);

// config.json. Of an architecture that is not known it says only its name.
bool gguf_config(const GgufSet *set, cJSON **out, Error *err);

// tokenizer.json (gguf_tokenizer.c). Refuses kinds of tokenizers that are not read.
bool gguf_tokenizer(const GgufSet *set, cJSON **out, Error *err);
// tokenizer_config.json: the named special tokens and the chat template.
bool gguf_tokenizer_config(const GgufSet *set, cJSON **out, Error *err);
