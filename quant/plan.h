// recipe + measured ranges → plan: what happens to each linear and what it costs in size. A pure function, fast enough
// to be called on every turn of a dial (80 layers × 7 linears within a millisecond): it reads ranges and vote counts,
// never weights.
#pragma once

#include "kernels/quantized.h"
#include "loaders/structure.h"
#include "quant/measured.h"
#include "quant/recipe.h"

typedef enum FptqClass { CLASS_UNKNOWN, CLASS_STATIC, CLASS_LAE, CLASS_TOKEN } FptqClass;

const char *class_name(FptqClass class); // "?", "static", "LAE", "token"

typedef struct Decision {
    bool quantized; // false: left in its own precision
    int bits;
    Granularity granularity; // never ADAPTIVE: resolved to channel or group
    Grid grid;               // two-level only with more than one group in a row
    Clip clip;               // never MSE for a tensor
    DType scale_dtype;
    size_t group;                 // columns per scale; in for tensor and channel
    FptqClass input_class;        // of its input's range under v0 and v1, whatever the policy
    ActivationPolicy activations; // resolved to none, static, token or channel
    // Its input is equalized, by LAE or by SmoothQuant; the weight's columns are multiplied by the factors.
    bool lae, smooth;
    bool provisional; // what becomes of its input rests on a range that may still grow
    float lae_alpha, smooth_alpha;
    float activation_scale; // static: range (after equalization) / 127
    FoldKind fold;          // where the factors went (FOLD_NONE: nowhere, the linear divides, or there are none)
    int fold_index;
    int steps;                      // adaptive: steps of the ladder that were looked at
    float noise_ceiling;            // adaptive by noise: what it may be at most; 0: by votes
    double bits_per_weight;         // scales included
    size_t bytes;                   // weight and scales
    uint32_t step_size[LADDER_MAX]; // the size before the step; by noise the chosen one always stands last
    float step_share[LADDER_MAX];   // share of parents that voted for going on; by noise: its share of Σ w² (noise.h)
    // NULL, or why it is not what the recipe asked for ("per channel: weights not measured yet"); static text.
    const char *note;
} Decision;

typedef struct Plan {
    Decision *decisions; // [linear_count]
    int linear_count;
    // False: policies that need ranges could not be decided; such linears have activations none and a note.
    bool calibrated;
    bool provisional; // some decision is
    size_t bytes;     // the whole model: quantized linears, the rest as it is
    size_t base_bytes;
    int cache_bits;                     // 16 or 8; 0 counts as 16
    size_t cache_bytes;                 // keys and values of one position, all layers, scales included
    double bits_per_weight;             // over the quantized linears' weights
    int quantized_count, refined_count; // refined: group smaller than in
    int class_count[CLASS_TOKEN + 1];   // linears by FptqClass
} Plan;

// How its input is quantized, in a word: "static", "LAE", "smooth", "token", "chan"; "16 bit" when it is not, "?" while
// its range is not known.
const char *decision_input_text(const Decision *decision);

// Values that make no sense together (v0 > v1, a group larger than the row) are resolved as recipe.h says at the dial.
// measured may be NULL or partly filled: what was not measured yet is decided without it and noted.
bool plan_make(const Recipe *recipe, const ModelStructure *structure, const Measured *measured, Plan *out, Error *err);
void plan_free(Plan *plan);

// True when two decisions lead to the same packed weight and input treatment, so that nothing need be packed again.
bool decision_equal(const Decision *a, const Decision *b);
uint64_t decision_hash(const Decision *decision); // of what that compares
// True when both make the same model, whatever was measured in between: equal decisions, none of which takes factors
// from the maxima of channels.
bool plan_same_model(const Plan *a, const Plan *b);
// True when the factors of one input, if there are any, are the same under both.
bool decision_same_factors(const Decision *a, const Decision *b);

// A hash of everything that decision_equal compares, over all linears, and of the cache: plans with equal hashes make
// the same model of the same weights and measured inputs.
uint64_t plan_hash(const Plan *plan);

// True when scales of some input are taken over the tokens of a call (policy channel): what a token gives depends then
// on the tokens that it is computed with.
bool plan_mixes_tokens(const Plan *plan);

// Rules of the recipe that match no linear, as one line for a person ("" when all match); owned by the caller. The
// default rule for the head is not counted.
char *recipe_unmatched(const Recipe *recipe, const ModelStructure *structure);
