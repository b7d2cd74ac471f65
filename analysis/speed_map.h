// How many times as fast as the base a variant decodes, over sequences side by side and length of context: where it
// stops to pay.
#pragma once

#include "analysis/speed.h"

#define SPEED_MAP_MOST 8

typedef struct SpeedMap {
    int batch_count, context_count;
    size_t batches[SPEED_MAP_MOST], contexts[SPEED_MAP_MOST]; // rising
    Spread ratio[SPEED_MAP_MOST][SPEED_MAP_MOST]; // [batch][context]; a median of 0: not measured; < 0: cannot be
} SpeedMap;

// Nothing is measured yet. The lists, of at most SPEED_MAP_MOST, may be in any order and name a number twice.
SpeedMap speed_map_of(const size_t *batches, int batch_count, const size_t *contexts, int context_count);
// Batches of 1, 8, 32 and contexts of 128, 1024, 2048, as far as the model has positions for them.
SpeedMap speed_map_usual(const ModelConfig *config);
Spread *speed_map_at(SpeedMap *map, size_t batch, size_t context);

// A cell pays when its median lies above 1; it is not sure when its range holds 1.
bool speed_pays(const Spread *ratio);
bool speed_is_sure(const Spread *ratio);
// Up to which batch the variant pays, and the first at which it does not, for contexts that agree in that: "up to batch
// 8, not at 32, at context 128, 1024; up to 64, the largest timed, at context 2048". Empty while nothing is known.
void speed_map_words(const SpeedMap *map, char *out, size_t size);

// Measures the cells that are not, the cheap ones first, and goes on with twice the batch while that pays at some
// context, up to SPEED_MAP_MOST batches and where there is memory. seconds: of each, as in decode_speed. partial (may
// be NULL) is called after each cell. Cells that were measured stay when it is stopped or fails.
bool speed_map_measure(Transformer *first, Transformer *second, double seconds, SpeedMap *map,
                       void (*partial)(void *context, const SpeedMap *so_far), void *context, Progress *progress,
                       Error *err);
