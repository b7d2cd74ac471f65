// What stands beside the weights of a model and says what they mean: config.json, tokenizer.json … A GGUF file says it
// in its keys, and is read as if it had those documents.
#pragma once

#include "base/json.h"

// `source`: a folder, or a GGUF file (Checkpoint.documents).
bool document_is_there(const char *source, const char *name);
bool source_is_gguf(const char *source);

// *out (cJSON_Delete) is NULL when the document is not there. Messages begin with its path.
bool document_read(const char *source, const char *name, cJSON **out, Error *err);
