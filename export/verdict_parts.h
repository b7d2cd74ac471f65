// How a verdict is made, for the files of this folder alone. verdict_facts.c holds what is known, as two tables:
//
//     rules     what can be found: a condition, or facts that name the rule; the words; what mends it
//     facts     which kernel takes a scheme in an engine, the first row that fits; a row may name a rule
//
// verdict.c applies both to every linear, verdict_fix.c applies what mends, verdict_keep.c is what a search keeps to.
#pragma once

#include "export/verdict.h"

// Group sizes as engines tell them apart, one bit each.
enum {
    GROUP_TENSOR = 1,
    GROUP_CHANNEL = 2,
    GROUP_16 = 4,
    GROUP_32 = 8,
    GROUP_64 = 16,
    GROUP_128 = 32,
    GROUP_256 = 64,
    GROUP_LARGER = 128,
    GROUP_ANY = 255,
};

// How members of a set that an engine stores as one disagree.
enum {
    DIFFER_BITS = 1,    // bits, grid, granularity or group size, as the format holds them
    DIFFER_INPUTS = 2,  // how activations are quantized
    DIFFER_IGNORED = 4, // some are quantized and some are not
    DIFFER_MISSING = 8, // q without k or v
    // Of experts of one layer: engines that stack them.
    DIFFER_EXPERTS = 16,
    DIFFER_STACKED = 32, // the same projection of experts
};

// What all members of a set can have without a loss: the most bits, the smallest group.
typedef struct SetWish {
    int bits;
    Grid grid;
    size_t group; // 0: whole channels
    bool finer;   // some have more than one scale for the matrix
    bool token;   // some quantize their inputs
    bool ignored; // some stay as they are
} SetWish;

typedef struct Fact Fact;

typedef struct Case {
    const ModelStructure *structure;
    const Measured *measured; // or NULL
    const Plan *plan;
    ExportFormat format;
    Targets targets;    // asked for, of those that read the format
    bool odd_bits;      // asked for
    uint8_t *differ;    // [linear_count]: DIFFER_…
    SetWish *wish;      // [linear_count]: of the set of the linear
    size_t *fused_out;  // [linear_count]: rows of the fused matrix
    const Fact **facts; // [linear_count]: what the target at hand does; NULL where nothing is quantized
} Case;

typedef enum RuleId {
    RULE_NONE,
    // The whole model: nothing else counts then.
    RULE_PAIR,
    RULE_T5,
    RULE_FAMILY,
    RULE_GGUF_MODEL,
    // What no engine of the format can be given.
    RULE_GRID,
    RULE_ODD_BITS,
    RULE_RUNTIME_FACTORS,
    RULE_CHANNEL_INPUTS,
    RULE_ASYMMETRIC_INPUTS,
    RULE_CONV1D,
    RULE_STACK,
    RULE_FALCON,
    RULE_PARTIAL_GROUP,
    RULE_WORDS,
    RULE_WIDE_SCALES,
    // Sets.
    RULE_FUSED_BITS,
    RULE_FUSED_INPUTS,
    RULE_FUSED_IGNORED,
    RULE_FUSED_WITHOUT_V,
    RULE_EXPERTS_DIFFER,
    RULE_EXPERTS_STACKED,
    RULE_MLX_EXPERTS,
    RULE_EXPERTS_INT8,
    RULE_EXPERT_SCHEME,
    RULE_EXPERT_INPUTS,
    RULE_CPU_EXPERTS,
    RULE_ROUTER,
    RULE_ROUTER_REFUSED,
    // Schemes.
    RULE_THREE_BITS,
    RULE_BITS,
    RULE_CPU_BITS,
    RULE_GROUP_SIZE,
    RULE_TENSOR_SCALE,
    RULE_ASYMMETRIC,
    RULE_ZERO_POINTS,
    RULE_SHAPE,
    RULE_SLOW_GROUP,
    RULE_STATIC_INPUTS,
    RULE_INPUTS_DROPPED,
    RULE_INPUTS_REFUSED,
    RULE_EXPERT_INPUTS_DROPPED,
    RULE_INT8_BLACKWELL,
    RULE_F32_SCALES,
    // Formats of other engines.
    RULE_NO_INPUTS,
    RULE_BLOCK_INPUTS,
    RULE_BLOCK_32,
    RULE_BLOCK_BITS,
    RULE_SMALL_SCALES,
    RULE_MLX_GROUP,
    RULE_FAMILY_UNTRIED,
    RULE_TIED_HEAD,
    RULE_CACHE,
    RULE_COUNT,
} RuleId;

// What to do about a finding, linear by linear.
typedef enum Mend {
    MEND_NOT,
    MEND_DIAL,   // rule->dial = rule->value
    MEND_MODEL,  // the same for the whole model
    MEND_INPUTS, // activations token where every engine quantizes them, else none
    MEND_GROUP,  // the largest group size that every engine takes and that divides the columns, else whole channels
    MEND_SET,    // what the whole set can have
    MEND_IGNORE, // the linear stays as it is
} Mend;

typedef struct Rule {
    const char *name;
    Severity severity;
    Evidence evidence;
    Targets targets;                           // for rules with a condition
    unsigned formats;                          // bit per ExportFormat
    bool (*linear)(const Case *c, int linear); // of a quantized linear
    bool (*model)(const Case *c);              // of the whole model
    const char *what, *remedy;
    Mend mend;
    Dial dial;
    double value;
} Rule;

// Whether the format says how inputs are quantized.
static inline bool format_holds_inputs(ExportFormat format) { return format == EXPORT_COMPRESSED_TENSORS; }

extern const Rule verdict_rules[RULE_COUNT];

typedef enum Place { PLACE_LINEAR = 1, PLACE_EXPERT = 2, PLACE_ANY = 3 } Place;

struct Fact {
    Targets targets;
    unsigned formats;           // bit per ExportFormat
    unsigned places;            // Place
    unsigned bits;              // bit per number of bits
    unsigned grids;             // bit per Grid
    unsigned groups;            // GROUP_…
    unsigned inputs;            // bit per ActivationPolicy
    unsigned in_step, out_step; // columns and rows are multiples of these; 0: any
    const char *kernel;         // NULL: none
    const char *gives;          // what activations are there, whatever the plan says; NULL: as it says
    RuleId rule;
};

const Fact *fact_of(const Case *c, Target target, int linear); // of a quantized linear
// Whether every target rounds the inputs of a quantized linear per token, were it told to.
bool takes_tokens(const Case *c, int linear);

enum { CHANGES_MOST = 5 };
// What mends a rule for one linear: so many changes.
int changes_of(const Case *c, const Rule *rule, int linear, VerdictChange *out);

// Fills differ, wish and fused_out.
bool sets_find(Case *c, Error *err);

// verdict_fix without the words, and where nothing is left, too. asked: NULL; or, where it has no decisions yet, takes
// the plan of the recipe as it is if anything is mended, which is the caller's then.
bool verdict_mend(const Recipe *recipe, const ModelStructure *structure, const Measured *measured,
                  const VerdictWish *wish, VerdictFix *out, Plan *asked, Error *err);
// False where remedies took everything that was quantized: a model as it was is no remedy.
bool verdict_leaves_something(const VerdictWish *wish, const Plan *plan, const Plan *asked, Error *err);
