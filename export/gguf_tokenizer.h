// The tokenizer and the chat template as llama.cpp reads them from a GGUF file.
#pragma once

#include "export/gguf_head.h"
#include "loaders/tokenizer/tokenizer.h"

// What llama.cpp calls the rule by which a byte-level tokenizer cuts texts into pieces, before merges: "llama-bpe". It
// knows such rules by name only. NULL: the rule has none that is known here.
const char *gguf_pre_tokenizer(const Tokenizer *tokenizer);

// Adds the keys of the tokenizer and the chat template of `folder`. vocab: rows of the embedding, to which the list of
// tokens is cut or filled up. Without a tokenizer, or with one that llama.cpp has no kind for, the file works with ids
// alone. `note` gets a sentence on that, and on anything else that llama.cpp would do otherwise; "" nothing.
bool gguf_add_tokenizer(GgufHead *head, const char *folder, size_t vocab, char *note, size_t size, Error *err);
