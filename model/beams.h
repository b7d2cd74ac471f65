// What generate.c and beams.c share.
#pragma once

#include "model/generate.h"

// Beam search behind a source, as transformers 5 does it. out is empty; most > 0.
bool generate_beams(Transformer *t, const int32_t *source, size_t source_count, size_t most, int beams, Generated *out,
                    Progress *progress, Error *err);
