// Tokens to calibrate on and to evaluate with.
#pragma once

#include "loaders/tokenizer.h"

// Appends the first `most` token ids of a text file, or of a .jsonl file with a "text" field per line (a damaged line
// is refused with its number). No more of the file is read than that takes: text is tokenized in blocks of 64 KB that
// end at a line end or before a word. With a pre-tokenizer (byte-level tokenizers have one) the ids are those of the
// whole text; others (SentencePiece style) treat the first word of a block as the first word of a text. What the
// tokenizer puts before a text (BOS) is put once before a text file, and before each line's text of a .jsonl file. A
// file without any text is refused. On failure *out is as it was.
bool tokens_from_file(const Tokenizer *tokenizer, const char *path, size_t most, TokenIds *out, Error *err);
// Uniformly random vocabulary ids, special ones included as they come: FPTQ's data-free calibration.
bool tokens_random(size_t vocab, size_t count, uint64_t seed, TokenIds *out, Error *err);
