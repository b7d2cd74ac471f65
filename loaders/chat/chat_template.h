// Chat templates: a conversation as the text that a chat model was trained on. The template comes with the model, as a
// program in Jinja; what it prints is byte for byte what transformers 5 makes of it (apply_chat_template).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "base/array.h"
#include "base/error.h"

typedef struct ChatTemplate ChatTemplate;

// Reads chat_template.jinja of a folder, else "chat_template" of tokenizer_config.json (a text, or a list of named
// ones, of which "default" counts), else that of chat_template.json; of a GGUF file its own. *out = NULL, and no error,
// when there is none: the model is no chat model. A template that cannot be read is refused, with file and line.
bool chat_template_load(const char *source, ChatTemplate **out, Error *err);
// The same of a source; `name` is what messages call it.
bool chat_template_parse(const char *name, const char *source, size_t length, ChatTemplate **out, Error *err);
void chat_template_free(ChatTemplate *chat);

const char *chat_template_source(const ChatTemplate *chat); // as it was read; owned by the template

// Appends the text of a conversation: a JSON list of {"role", "content"}. add_generation_prompt: with the beginning of
// the assistant's answer. special: an object with the texts of bos_token, eos_token …, as the tokenizer has them. now:
// for templates that print the date. Refused, with file and line: what the template itself refuses (roles in an order
// that the model does not know), what this interpreter does not know, and what takes more than a second or 64 MB.
// Thread-safe on one template.
bool chat_template_apply(const ChatTemplate *chat, const cJSON *messages, bool add_generation_prompt,
                         const cJSON *special, const struct tm *now, Text *out, Error *err);
