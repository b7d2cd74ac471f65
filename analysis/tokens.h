// Tokens to calibrate on and to evaluate with.
#pragma once

#include "loaders/tokenizer.h"

// Token ids of a text file, or of a .jsonl file with a "text" field per line (a damaged line is refused with its number), up to `most` ids.
bool tokens_from_file(const Tokenizer *tokenizer, const char *path, size_t most, TokenIds *out, Error *err);
// Uniformly random vocabulary ids, special ones included as they come: FPTQ's data-free calibration.
bool tokens_random(size_t vocab, size_t count, uint64_t seed, TokenIds *out, Error *err);
