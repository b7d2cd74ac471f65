// Texts for models with an encoder: each sequence a source and a target.
#pragma once

#include "analysis/tokens.h"
#include "loaders/config.h"

// Makes sequences of `length` tokens, `most` tokens at most, of the ids of a text: source_share of them are the source,
// with what the tokenizer puts around a text, the others its target, which is how the text goes on, behind the tokens
// that targets begin with. What stood around texts before is left out. A text that is too short for one sequence makes
// a shorter one; one that is too short for that is refused.
bool tokens_into_pairs(const Tokenizer *tokenizer, const ModelConfig *config, size_t length, size_t most, TokenIds *ids,
                       Error *err);
// The same of a file, into *ids, which must be empty. A .jsonl file of lines {"source", "reference"} makes other
// sequences: sources of some lines, one behind the other, and as the target what these lines have for a reference, each
// with its end, both cut where their half is full. Lines that fill no whole sequence are left out, or refused if there
// are no others.
bool pairs_from_file(const TextForm *form, const ModelConfig *config, const char *path, size_t length, size_t most,
                     TokenIds *ids, Error *err);
