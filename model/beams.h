// What generate.c and beams.c share.
#pragma once

#include "model/generate.h"

// Tokens that a target [count] must not go on with: out has room for count + FORBIDDEN_ALWAYS.
enum { FORBIDDEN_ALWAYS = 17 };
size_t generate_forbidden(const ModelConfig *config, const int32_t *ids, size_t count, int32_t *out);

// Beam search behind a source, as transformers 5 does it. out is empty; most > 0.
bool generate_beams(Transformer *t, const int32_t *source, size_t source_count, size_t most, int beams, Generated *out,
                    Progress *progress, Error *err);
