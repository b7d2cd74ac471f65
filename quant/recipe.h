// A recipe: the setting of every dial, with exceptions for some linears. One table describes all dials; options, JSON
// files and the screen are driven by it.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

typedef enum Dial {
    DIAL_BITS,            // weights: 2, 3, 4, 8
    DIAL_GRID,            // Grid (kernels/quantized.h)
    DIAL_GRANULARITY,     // Granularity
    DIAL_GROUP_SIZE,      // granularity group: columns per scale; a size beyond the row is the whole channel
    DIAL_ALPHA,           // adaptive: how much a group size may cost, 0…1; votes round it to 0.001
    DIAL_RULE,            // AlphaRule
    DIAL_QUORUM,          // rules of votes: share of parents that must vote for going on; 0 = any single one
    DIAL_MIN_GROUP,       // adaptive: floor; wins over a smaller max_group
    DIAL_MAX_GROUP,       // adaptive: first size tried; 0 = whole channel
    DIAL_SCALE,           // ScaleType
    DIAL_CLIP,            // Clip
    DIAL_ACTIVATIONS,     // ActivationPolicy
    DIAL_ACTIVATION_BITS, // 8
    DIAL_V0,              // FPTQ: up to here static; wins over a smaller v1
    DIAL_V1,              // FPTQ: from here per token
    DIAL_LAE_ALPHA,       // exponent of the equalization, 0…1
    DIAL_FOLD,            // FoldReach: where factors of equalization may go
    DIAL_UNFOLDABLE,      // Unfoldable: an input whose factors cannot go there
    DIAL_SMOOTH_ALPHA,    // SmoothQuant's migration strength, 0…1
    DIAL_SMOOTH_SCALE,    // SmoothScale
    DIAL_PERCENTILE,      // 99, 99.9, 99.99: where policy percentile clips
    DIAL_CACHE_BITS,      // 16, or 8: int8 keys and values, a scale per head and token
    DIAL_FUSED,           // fused_together: q,k,v and gate,up share the smallest group size of the set
    DIAL_COUNT,
} Dial;

typedef enum Granularity {
    GRANULARITY_TENSOR,
    GRANULARITY_CHANNEL,
    GRANULARITY_GROUP,
    GRANULARITY_ADAPTIVE,
    GRANULARITY_COUNT,
} Granularity;
// NOISE stands between the two rules of votes, so that each is one turn away.
typedef enum AlphaRule { RULE_SHRINK, RULE_NOISE, RULE_LITERAL, ALPHA_RULE_COUNT } AlphaRule;
// What a scale covers: the largest weight, or the range that loses least in squares (quant/grids.h).
typedef enum Clip { CLIP_ABSMAX, CLIP_MSE, CLIP_COUNT } Clip;
// MODEL: the weight's own type, F16 for F32 weights.
typedef enum ScaleType { SCALE_MODEL, SCALE_F16, SCALE_BF16, SCALE_F32, SCALE_TYPE_COUNT } ScaleType;
typedef enum ActivationPolicy {
    POLICY_NONE,
    POLICY_STATIC,
    POLICY_TOKEN,
    POLICY_FPTQ,
    POLICY_SMOOTHQUANT, // every input equalized by the maxima of weights and activations, then one scale, or per token
    POLICY_PERCENTILE,  // one scale, of a range that leaves out the largest activations
    POLICY_CHANNEL,     // a scale per channel, over the tokens of one call: for measuring accuracy
    POLICY_COUNT,
} ActivationPolicy;
typedef enum SmoothScale { SMOOTH_STATIC, SMOOTH_TOKEN, SMOOTH_SCALE_COUNT } SmoothScale;

// NORM: into norms alone, as the paper does. ALL: also into the rows of the linear before (v → o, up → down).
typedef enum FoldReach { FOLDS_NORM, FOLDS_ALL, FOLD_REACH_COUNT } FoldReach;
typedef enum Unfoldable { UNFOLDABLE_TOKEN, UNFOLDABLE_RUNTIME, UNFOLDABLE_COUNT } Unfoldable;

typedef enum DialKind { DIAL_CHOICE, DIAL_NUMBER, DIAL_SWITCH } DialKind;

typedef struct DialInfo {
    const char *option;       // "weight-bits": the long option, and the name in messages
    const char *section;      // "weights", "activations", "cache" or NULL (top level) in the recipe file
    const char *key;          // "bits"
    const char *label;        // "bits": on the screen
    const char *help;         // one line
    const char *brief;        // the same in few words; NULL: help is short
    const char *const *names; // DIAL_CHOICE by name (value = index), NULL-terminated; NULL for numbers
    const double *choices;    // numbers from a list (bits, group sizes), choice_count long; NULL for a range
    DialKind kind;
    int choice_count;
    const char *zero;                 // the word for the value 0 ("any", "channel"), or NULL
    double least, most, step, coarse; // DIAL_NUMBER with a range
    double default_value;             // the paper's value, ours where it gives none
    bool per_linear;                  // may stand in an override
} DialInfo;

extern const DialInfo dial_table[DIAL_COUNT];

typedef struct Override {
    char *match; // glob over linear names: * ? [..]; * also matches dots
    bool set[DIAL_COUNT];
    double value[DIAL_COUNT];
    bool tuned; // chosen by a search or a budget: another one may choose again. What people write is kept (recipe_held)
} Override;

typedef struct Recipe {
    double value[DIAL_COUNT];
    // Globs: linears left in their own precision, whatever the overrides say.
    char **ignore;
    int ignore_count;
    // Later ones win. One that names a head or router exactly and sets a weights dial quantizes it.
    Override *overrides;
    int override_count;
} Recipe;

#define RECIPE_DEFAULT_IGNORE "lm_head"
bool recipe_default(Recipe *out, Error *err); // every dial at its default, ignore = ["lm_head"]
bool recipe_copy(const Recipe *recipe, Recipe *out, Error *err);
void recipe_free(Recipe *recipe);
bool recipe_equal(const Recipe *a, const Recipe *b);
// One more rule at the end; `match` is copied. The new override sets nothing yet; NULL when memory is short.
bool recipe_ignore(Recipe *recipe, const char *match, Error *err);
Override *recipe_add_override(Recipe *recipe, const char *match, Error *err);
// Takes out the overrides that set nothing.
void recipe_drop_empty(Recipe *recipe);

// Files. Unknown keys are refused with their path, values out of range with what is allowed.
bool recipe_parse(const char *json, size_t length, Recipe *out, Error *err);
bool recipe_load(const char *path, Recipe *out, Error *err); // messages begin with the path
char *recipe_print(const Recipe *recipe); // JSON text, owned by the caller; NULL when memory is short
bool recipe_save(const Recipe *recipe, const char *path, Error *err);

// Text ↔ value of one dial: "adaptive", "0.3", "any", "channel", "on". Refuses what the table does not allow.
bool dial_parse(Dial dial, const char *text, double *out, Error *err);
bool dial_allows(Dial dial, double value);
// What it may be: "0 to 1", or its choices with `between` between them.
#define DIAL_ALLOWED_ROOM 256
void dial_allowed(Dial dial, const char *between, char *out, size_t size);
bool dial_refuse(Dial dial, const char *text, Error *err); // "x" is not allowed; allowed: …; returns false
void dial_format(Dial dial, double value, char *out, size_t size);
// The next setting: steps > 0 up, < 0 down, in coarse steps if asked; stays within the range.
double dial_turn(Dial dial, double value, int steps, bool coarse);
int dial_find(const char *option); // −1 when unknown
bool dial_is_of_scheme(Dial dial); // bits of weights, and which of them share a scale: what searches choose
// The dial by which another has no effect as all of them stand; −1: it has one.
int dial_idle_by(Dial dial, const double value[DIAL_COUNT]);

// The value of a dial for one linear: overrides applied in order.
double recipe_value(const Recipe *recipe, Dial dial, const char *linear_name);
// Whether a plan by it takes measured ranges of inputs. Scales per token or channel are taken while the model runs.
bool recipe_needs_ranges(const Recipe *recipe);
// Whether it takes what is measured of weights, beside that they are finite.
bool recipe_needs_weights(const Recipe *recipe);

bool recipe_ignores(const Recipe *recipe, const char *linear_name);
// Sets or clears (value == NULL) one dial in the override whose match is exactly this text, adding or removing the
// override as needed. What is set takes effect: where a later override sets the same dial, it is set in a new one
// behind that, and the rest of the one that was there stays in its place. It is a person's: what was tuned stays apart.
bool recipe_override(Recipe *recipe, const char *match, Dial dial, const double *value, Error *err);
// Sets it for a program that keeps the recipe to something: it is tuned, and not a person's any more.
bool recipe_mend(Recipe *recipe, const char *match, Dial dial, double value, Error *err);
// Turns a dial for all, also where an override sets it: the override stays, so that what it names stays quantized.
void recipe_set_everywhere(Recipe *recipe, Dial dial, double value);
void recipe_set_scheme(Recipe *recipe, int bits, size_t group); // everywhere; group 0: whole channels
// ? stands for one character, * for any number of them (dots too), [a-z] and [!x] for one of a set of bytes. An
// unclosed [ stands for itself, and a text always matches itself. Time is bounded by the product of the lengths.
bool glob_matches(const char *glob, const char *name);
