// Tokens to calibrate on and to evaluate with.
#pragma once

#include "loaders/tokenizer/tokenizer.h"

// Appends the first `most` token ids of a text file, or of a .jsonl file with a "text" field per line (a damaged line
// is refused with its number). The ids are those of the whole text, but no more of the file is read than they take:
// text is tokenized in blocks that end where no token of this tokenizer can reach across. A text without such a place
// for 64 MB is cut there all the same. What the tokenizer puts around a text (BOS, EOS) is put once around a text file,
// and around each line's text of a .jsonl file. A file without any text is refused. On failure *out is as it was.
bool tokens_from_file(const Tokenizer *tokenizer, const char *path, size_t most, TokenIds *out, Error *err);
// Uniformly random vocabulary ids, special ones included as they come: FPTQ's data-free calibration.
bool tokens_random(size_t vocab, size_t count, uint64_t seed, TokenIds *out, Error *err);
