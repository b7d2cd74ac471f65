// Lines of text that tools/fixtures/make_tokenizer.py makes, too, and what a tokenizer makes of them.
#pragma once

#include "base/array.h"
#include "base/json.h"
#include "base/random.h"
#include "loaders/tokenizer/tokenizer.h"

uint32_t number_of(const cJSON *object, const char *key);

// As make_line of make_tokenizer.py; replaces *out.
void make_line(Random *random, const cJSON *recipe, Text *out);

// How many of the recipe's lines to look at: under valgrind a tenth says as much about memory.
int line_count(const cJSON *recipe);

TokenIds encoded(const Tokenizer *tokenizer, const char *text, size_t length, bool add_special);
Text decoded(const Tokenizer *tokenizer, const TokenIds *ids, bool skip_special);

// Fails the test unless the ids (with what the post-processor adds) and their text have the hash of this line in rows
// of hexadecimal digits. The ids are left to the caller.
void check_line(const char *name, const Tokenizer *tokenizer, const cJSON *rows, int line, const Text *text,
                const TokenIds *ids);

// Fails the test and shows the line and its ids.
void fail_line(const char *name, int line, const Text *text, const TokenIds *ids);

// A tokenizer of tests/fixtures/tokenizer/families/families.json; `document` gets back what it shares with others.
Tokenizer *family_tokenizer(cJSON *document, const cJSON *shared);
