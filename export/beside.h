// Modules of a checkpoint that are not those of the model that is written: what sees or hears, what joins it to text.
// Engines ask for them, too, and call some as those of the text: "vision_tower.encoder.layers.0.self_attn.q_proj".
#pragma once

#include "loaders/checkpoint_index.h"
#include "loaders/structure.h"

// The words that begin the names of such modules, and are in the name of no linear: "vision_tower". Free with
// names_free in any case.
bool beside_words(const ModelStructure *structure, Names *out, Error *err);

// What matches all below such a word, whatever stands before it.
void beside_pattern(const char *word, Text *out);
