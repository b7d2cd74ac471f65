// What a GGUF file says of a model beside its tensors and its tokenizer.
#pragma once

#include "export/gguf_head.h"
#include "loaders/structure.h"

// Adds architecture, name, sizes and constants. gguf_can_run said yes. most: the element type that most weights of
// linears have, of which the file's own type follows.
void gguf_add_keys(GgufHead *head, const ModelStructure *structure, GgufType most);

// Adds what scaled rotary positions are divided by, as tensors whose data are the first: it is appended to `data`. None
// where a key says it all.
void gguf_add_rope(GgufHead *head, const ModelConfig *config, Text *data);

// "Llama-3.2-1B": the last part of the path that the user named, or of the folder behind it; fit for a file's name.
void gguf_model_name(const ModelStructure *structure, char *out, size_t size);
