// What the files that make a plan share; nobody else includes it.
#pragma once

#include "quant/plan.h"

typedef double Settings[DIAL_COUNT]; // what every dial says for one linear

typedef enum Equalizer { EQUALIZER_NONE, EQUALIZER_LAE, EQUALIZER_SMOOTH } Equalizer;

// How the linears that read one input agree about its equalization.
typedef struct InputUse {
    bool read, split; // somebody reads it; its readers differ, so that no factor is right for all of them
    Equalizer equalizer;
    double alpha;
    bool smoothed; // smooth_range is known, for smooth_alpha
    float smooth_alpha, smooth_range;
} InputUse;

typedef struct Planning {
    const Recipe *recipe;
    const ModelStructure *structure;
    const Measured *measured; // NULL: nothing yet
    Settings *settings;       // [linear_count]
    bool *left;               // [linear_count]: by the recipe, or as a head or router that it does not name
    InputUse *inputs;         // [input_count]
    size_t *set_group;        // [linear_count], by fused set: smallest group size among its members, 0 = none seen
    float *columns, *factors; // [widest input]: made when an input is smoothed
    Plan *plan;
    bool failed; // memory was short
} Planning;

// Of linear i, in this order (plan_inputs.c). Before the last, all readers are noted, and groups are shared in sets.
void plan_classify_input(const Planning *p, int i);
void plan_note_reader(const Planning *p, int i); // whether its weights are quantized is decided: how it wants its input
void plan_decide_activations(Planning *p, int i);
