// Texts for models with an encoder: each sequence a source, and as its target how the text goes on.
#pragma once

#include "loaders/config.h"
#include "loaders/tokenizer/tokenizer.h"

// Makes sequences of `length` tokens, `most` tokens at most, of the ids of a text: source_share of them are the source,
// with what the tokenizer puts around a text, the others its target, behind the tokens that targets begin with. What
// stood around texts before is left out. A text that is too short for one sequence makes a shorter one; one that is too
// short for that is refused.
bool tokens_into_pairs(const Tokenizer *tokenizer, const ModelConfig *config, size_t length, size_t most, TokenIds *ids,
                       Error *err);
