#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/number.h"
#include "kernels/quantized.h"
#include "quant/recipe.h"

// Names of enumerators, NULL-terminated: a new enumerator needs one.
static const char *const clip_names[] = {"absmax", "mse", NULL};
static const char *const granularity_names[] = {"tensor", "channel", "group", "adaptive", NULL};
static const char *const rule_names[] = {"shrink", "noise", "literal", NULL};
static const char *const scale_names[] = {"model", "f16", "bf16", "f32", NULL};
static const char *const fold_names[] = {"norm", "all", NULL};
static const char *const unfoldable_names[] = {"token", "runtime", NULL};
static const char *const policy_names[] = {"none",        "static",     "token",   "fptq",
                                           "smoothquant", "percentile", "channel", NULL};
static const char *const smooth_names[] = {"static", "token", NULL};

static const double weight_bits[] = {2, 3, 4, 8};
static const double activation_bits[] = {8};
static const double cache_bits[] = {8, 16};
static const double percentiles[] = {99, 99.9, 99.99};
// Powers of two: what kernels and engines take. The whole channel comes last, being the coarsest.
static const double group_sizes[] = {16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 0};

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
#define ALL_NAMED(names, count) static_assert(COUNT(names) == (count) + 1, #names " and its enumerators differ")
ALL_NAMED(clip_names, CLIP_COUNT);
ALL_NAMED(granularity_names, GRANULARITY_COUNT);
ALL_NAMED(rule_names, ALPHA_RULE_COUNT);
ALL_NAMED(scale_names, SCALE_TYPE_COUNT);
ALL_NAMED(fold_names, FOLD_REACH_COUNT);
ALL_NAMED(unfoldable_names, UNFOLDABLE_COUNT);
ALL_NAMED(policy_names, POLICY_COUNT);
ALL_NAMED(smooth_names, SMOOTH_SCALE_COUNT);

// Thresholds beyond this are meaningless: 16-bit activations end at 65,504.
#define THRESHOLD_MOST 1e6

const DialInfo dial_table[DIAL_COUNT] = {
    [DIAL_BITS] = {.option = "weight-bits",
                   .section = "weights",
                   .key = "bits",
                   .label = "bits",
                   .help = "bits per weight code",
                   .kind = DIAL_CHOICE,
                   .choices = weight_bits,
                   .choice_count = COUNT(weight_bits),
                   .default_value = 4,
                   .per_linear = true},
    [DIAL_GRID] = {.option = "grid",
                   .section = "weights",
                   .key = "grid",
                   .label = "grid",
                   .help =
                       "spacing of the codes; asymmetric adds a zero point, two-level adds integer scales per group",
                   .brief = "spacing of the codes",
                   .kind = DIAL_CHOICE,
                   .names = grid_names,
                   .default_value = 0,
                   .per_linear = true},
    [DIAL_GRANULARITY] = {.option = "granularity",
                          .section = "weights",
                          .key = "granularity",
                          .label = "group",
                          .help = "which weights share a scale; adaptive chooses a group size for each matrix",
                          .brief = "which weights share a scale",
                          .kind = DIAL_CHOICE,
                          .names = granularity_names,
                          .default_value = GRANULARITY_ADAPTIVE,
                          .per_linear = true},
    [DIAL_GROUP_SIZE] = {.option = "group-size",
                         .section = "weights",
                         .key = "group_size",
                         .label = "group size",
                         .help = "columns that share a scale with granularity group",
                         .brief = "columns that share a scale",
                         .kind = DIAL_CHOICE,
                         .choices = group_sizes,
                         .choice_count = COUNT(group_sizes) - 1,
                         .default_value = 128,
                         .per_linear = true},
    [DIAL_ALPHA] = {.option = "alpha",
                    .section = "weights",
                    .key = "alpha",
                    .label = "alpha",
                    .help = "how much a group size may cost; with rule noise, 0.3 gives normal weights groups of 64",
                    .brief = "what a group size may cost",
                    .kind = DIAL_NUMBER,
                    .least = 0,
                    .most = 1,
                    .step = 0.01,
                    .coarse = 0.1,
                    .default_value = 0.3,
                    .per_linear = true},
    [DIAL_RULE] =
        {.option = "alpha-rule",
         .section = "weights",
         .key = "rule",
         .label = "rule",
         .help =
             "what alpha bounds: the noise of the matrix, how much narrower a part is, or FineQuant's ratio as printed",
         .brief = "what alpha bounds",
         .kind = DIAL_CHOICE,
         .names = rule_names,
         .default_value = RULE_NOISE,
         .per_linear = true},
    [DIAL_QUORUM] =
        {.option = "quorum",
         .section = "weights",
         .key = "quorum",
         .label = "quorum",
         .help =
             "rules shrink and literal: share of groups that must vote for smaller ones; any: a single vote is enough",
         .brief = "votes it takes for smaller ones",
         .kind = DIAL_NUMBER,
         .zero = "any",
         .least = 0,
         .most = 1,
         .step = 0.001,
         .coarse = 0.01,
         .default_value = 0.01,
         .per_linear = true},
    [DIAL_MIN_GROUP] = {.option = "min-group",
                        .section = "weights",
                        .key = "min_group",
                        .label = "min",
                        .help = "smallest group size that adaptive may choose",
                        .brief = "smallest that adaptive takes",
                        .kind = DIAL_CHOICE,
                        .choices = group_sizes,
                        .choice_count = COUNT(group_sizes) - 1,
                        .default_value = 32,
                        .per_linear = true},
    [DIAL_MAX_GROUP] = {.option = "max-group",
                        .section = "weights",
                        .key = "max_group",
                        .label = "max",
                        .help = "group size that adaptive starts from",
                        .brief = "where adaptive starts",
                        .kind = DIAL_CHOICE,
                        .zero = "channel",
                        .choices = group_sizes,
                        .choice_count = COUNT(group_sizes),
                        .default_value = 0,
                        .per_linear = true},
    [DIAL_SCALE] = {.option = "scale",
                    .section = "weights",
                    .key = "scale",
                    .label = "scale",
                    .help = "type of the stored scales; model takes the type of the weights, and f16 for f32 weights",
                    .brief = "type of the stored scales",
                    .kind = DIAL_CHOICE,
                    .names = scale_names,
                    .default_value = SCALE_MODEL,
                    .per_linear = true},
    [DIAL_CLIP] = {.option = "clip",
                   .section = "weights",
                   .key = "clip",
                   .label = "clip",
                   .help = "what scales cover: the largest weight, or the range with the least squared error",
                   .brief = "what scales cover",
                   .kind = DIAL_CHOICE,
                   .names = clip_names,
                   .default_value = CLIP_ABSMAX,
                   .per_linear = true},
    [DIAL_ACTIVATIONS] =
        {.option = "activations",
         .section = "activations",
         .key = "policy",
         .label = "policy",
         .help = "how the input of a linear is quantized; fptq decides by its range, channel is for studies only",
         .brief = "how inputs are quantized",
         .kind = DIAL_CHOICE,
         .names = policy_names,
         .default_value = POLICY_FPTQ,
         .per_linear = true},
    [DIAL_ACTIVATION_BITS] = {.option = "activation-bits",
                              .section = "activations",
                              .key = "bits",
                              .label = "A bits",
                              .help = "bits per activation code",
                              .kind = DIAL_CHOICE,
                              .choices = activation_bits,
                              .choice_count = COUNT(activation_bits),
                              .default_value = 8,
                              .per_linear = true},
    [DIAL_V0] = {.option = "v0",
                 .section = "activations",
                 .key = "v0",
                 .label = "v0",
                 .help = "FPTQ: inputs with ranges up to this value get one constant scale; wins over a smaller v1",
                 .brief = "up to here one constant scale",
                 .kind = DIAL_NUMBER,
                 .least = 0,
                 .most = THRESHOLD_MOST,
                 .step = 1,
                 .coarse = 10,
                 .default_value = 1,
                 .per_linear = true},
    [DIAL_V1] =
        {.option = "v1",
         .section = "activations",
         .key = "v1",
         .label = "v1",
         .help =
             "FPTQ: inputs with ranges from this value on get a scale per token; between v0 and v1 they are equalized",
         .brief = "from here a scale per token",
         .kind = DIAL_NUMBER,
         .least = 0,
         .most = THRESHOLD_MOST,
         .step = 1,
         .coarse = 10,
         .default_value = 150,
         .per_linear = true},
    [DIAL_LAE_ALPHA] = {.option = "lae-alpha",
                        .section = "activations",
                        .key = "lae_alpha",
                        .label = "LAE alpha",
                        .help = "exponent of the logarithmic equalization; 1 is as published, 0 is none",
                        .brief = "1 is as published, 0 none",
                        .kind = DIAL_NUMBER,
                        .least = 0,
                        .most = 1,
                        .step = 0.05,
                        .coarse = 0.25,
                        .default_value = 1,
                        .per_linear = true},
    [DIAL_FOLD] = {.option = "fold",
                   .section = "activations",
                   .key = "fold",
                   .label = "fold",
                   .help = "where equalization is folded: into norms, or also into rows of the linear before it (v for "
                           "o, up for down)",
                   .brief = "where equalization is folded",
                   .kind = DIAL_CHOICE,
                   .names = fold_names,
                   .default_value = FOLDS_NORM,
                   .per_linear = true},
    [DIAL_UNFOLDABLE] =
        {.option = "unfoldable",
         .section = "activations",
         .key = "unfoldable",
         .label = "unfoldable",
         .help = "what to do where equalization cannot be folded: use a scale per token, or divide at run time",
         .brief = "instead, where it cannot fold",
         .kind = DIAL_CHOICE,
         .names = unfoldable_names,
         .default_value = UNFOLDABLE_TOKEN,
         .per_linear = true},
    [DIAL_SMOOTH_ALPHA] =
        {.option = "smooth-alpha",
         .section = "activations",
         .key = "smooth_alpha",
         .label = "smooth",
         .help = "SmoothQuant's migration strength; 0 leaves outliers in activations, 1 moves them to weights",
         .brief = "how much goes to weights",
         .kind = DIAL_NUMBER,
         .least = 0,
         .most = 1,
         .step = 0.05,
         .coarse = 0.25,
         .default_value = 0.5,
         .per_linear = true},
    [DIAL_SMOOTH_SCALE] = {.option = "smooth-scale",
                           .section = "activations",
                           .key = "smooth_scale",
                           .label = "smooth A8",
                           .help = "SmoothQuant: one constant scale, or one per token",
                           .brief = "one scale, or one per token",
                           .kind = DIAL_CHOICE,
                           .names = smooth_names,
                           .default_value = SMOOTH_STATIC,
                           .per_linear = true},
    [DIAL_PERCENTILE] = {.option = "percentile",
                         .section = "activations",
                         .key = "percentile",
                         .label = "percentile",
                         .help = "percentile: how many percent of the activations the scale covers",
                         .brief = "share that the scale covers",
                         .kind = DIAL_CHOICE,
                         .choices = percentiles,
                         .choice_count = COUNT(percentiles),
                         .default_value = 99.9,
                         .per_linear = true},
    [DIAL_CACHE_BITS] = {.option = "cache-bits",
                         .section = "cache",
                         .key = "bits",
                         .label = "cache",
                         .help = "bits per cached key and value; 8 uses a scale per head and token",
                         .brief = "bits per cached key and value",
                         .kind = DIAL_CHOICE,
                         .choices = cache_bits,
                         .choice_count = COUNT(cache_bits),
                         .default_value = 16},
    [DIAL_FUSED] = {.option = "fused-together",
                    .key = "fused_together",
                    .label = "fused",
                    .help =
                        "give q, k, v and gate, up the smallest group size of their set, for engines that fuse them",
                    .brief = "one group size for fused sets",
                    .kind = DIAL_SWITCH,
                    .default_value = 0},
};

static int name_count(const DialInfo *info) {
    int n = 0;
    while (info->names[n]) n++;
    return n;
}

// Settings of a dial that is turned by index: names, a list of numbers, or off and on.
static int setting_count(const DialInfo *info) {
    if (info->kind == DIAL_SWITCH) return 2;
    return info->choices ? info->choice_count : name_count(info);
}

static double dial_setting(const DialInfo *info, int index) { return info->choices ? info->choices[index] : index; }

static int setting_index(const DialInfo *info, double value) {
    for (int i = 0; i < setting_count(info); i++) {
        if (dial_setting(info, i) == value) return i;
    }
    return -1;
}

void dial_allowed(Dial dial, const char *between, char *out, size_t size) {
    const DialInfo *info = &dial_table[dial];
    char least[NUMBER_ROOM], most[NUMBER_ROOM];
    if (info->kind == DIAL_NUMBER) {
        number_format(info->least, least, sizeof least);
        number_format(info->most, most, sizeof most);
        snprintf(out, size, "%s%s%s to %s", info->zero ? info->zero : "", info->zero ? ", or a number from " : "",
                 least, most);
        return;
    }
    size_t used = 0;
    for (int i = 0; i < setting_count(info) && used < size; i++) {
        char one[NUMBER_ROOM];
        dial_format(dial, dial_setting(info, i), one, sizeof one);
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? between : "", one);
    }
}

bool dial_allows(Dial dial, double value) {
    const DialInfo *info = &dial_table[dial];
    if (info->kind == DIAL_NUMBER) return value >= info->least && value <= info->most;
    return setting_index(info, value) >= 0;
}

bool dial_refuse(Dial dial, const char *text, Error *err) {
    char allowed[DIAL_ALLOWED_ROOM];
    dial_allowed(dial, ", ", allowed, sizeof allowed);
    char *shown = text_printable(text, strnlen(text, 40), false);
    error_set(err, "\"%s\" is not allowed; allowed: %s", shown ? shown : "", allowed);
    free(shown);
    return false;
}

static bool parse_word(const DialInfo *info, const char *text, double *out) {
    if (info->zero && strcmp(text, info->zero) == 0) return *out = 0, true;
    if (info->kind == DIAL_SWITCH) {
        bool on = strcmp(text, "on") == 0;
        return *out = on, on || strcmp(text, "off") == 0;
    }
    for (int i = 0; info->names && info->names[i]; i++) {
        if (strcmp(text, info->names[i]) == 0) return *out = i, true;
    }
    return false;
}

bool dial_parse(Dial dial, const char *text, double *out, Error *err) {
    const DialInfo *info = &dial_table[dial];
    double value;
    bool numeric = info->kind != DIAL_SWITCH && !info->names;
    bool known = parse_word(info, text, &value) || (numeric && number_parse(text, &value) && dial_allows(dial, value));
    if (!known) {
        dial_refuse(dial, text, err);
        return error_prefix(err, "%s", info->option);
    }
    *out = value;
    return true;
}

void dial_format(Dial dial, double value, char *out, size_t size) {
    const DialInfo *info = &dial_table[dial];
    int index = info->names ? setting_index(info, value) : -1;
    if (index >= 0)
        snprintf(out, size, "%s", info->names[index]);
    else if (info->kind == DIAL_SWITCH)
        snprintf(out, size, "%s", value != 0 ? "on" : "off");
    else if (info->zero && value == 0)
        snprintf(out, size, "%s", info->zero);
    else
        number_format(value, out, size);
}

// A multiple of the step, computed so that it is the double nearest to its decimal text: 0.3, not 0.30000000000000004.
static double on_scale(double count, double step) { return step < 1 ? count / round(1 / step) : count * step; }

static double turn_number(const DialInfo *info, double value, int steps, double step) {
    // A value between two marks goes to the next mark first; the tolerance keeps 0.3 / 0.01 from counting as 29.99….
    double at = value / step, near = round(at);
    bool on_mark = fabs(at - near) < 1e-6;
    double from = on_mark ? near : steps > 0 ? floor(at) : ceil(at);
    return fmin(fmax(on_scale(from + steps, step), info->least), info->most);
}

double dial_turn(Dial dial, double value, int steps, bool coarse) {
    const DialInfo *info = &dial_table[dial];
    if (steps == 0) return value;
    if (info->kind == DIAL_NUMBER) return turn_number(info, value, steps, coarse ? info->coarse : info->step);
    int last = setting_count(info) - 1, index = setting_index(info, value);
    double to = fmin(fmax((double)index + steps, 0), last);
    return dial_setting(info, (int)to);
}

int dial_find(const char *option) {
    for (int i = 0; i < DIAL_COUNT; i++) {
        if (strcmp(dial_table[i].option, option) == 0) return i;
    }
    return -1;
}

bool dial_is_of_scheme(Dial dial) { return dial == DIAL_BITS || dial == DIAL_GRANULARITY || dial == DIAL_GROUP_SIZE; }

int dial_idle_by(Dial dial, const double value[DIAL_COUNT]) {
    const Granularity granularity = (Granularity)value[DIAL_GRANULARITY];
    const ActivationPolicy policy = (ActivationPolicy)value[DIAL_ACTIVATIONS];
    enum { NONE = -1 };
    const int by_group = granularity == GRANULARITY_ADAPTIVE ? NONE : DIAL_GRANULARITY;
    switch (dial) {
    case DIAL_GROUP_SIZE: return granularity == GRANULARITY_GROUP ? NONE : DIAL_GRANULARITY;
    case DIAL_QUORUM: return by_group == NONE && value[DIAL_RULE] == RULE_NOISE ? DIAL_RULE : by_group;
    case DIAL_ALPHA:
    case DIAL_RULE:
    case DIAL_MIN_GROUP:
    case DIAL_MAX_GROUP: return by_group;
    case DIAL_FUSED: return granularity >= GRANULARITY_GROUP ? NONE : DIAL_GRANULARITY;
    case DIAL_V0:
    case DIAL_V1:
    case DIAL_LAE_ALPHA: return policy == POLICY_FPTQ ? NONE : DIAL_ACTIVATIONS;
    case DIAL_FOLD:
    case DIAL_UNFOLDABLE: return policy == POLICY_FPTQ || policy == POLICY_SMOOTHQUANT ? NONE : DIAL_ACTIVATIONS;
    case DIAL_SMOOTH_ALPHA:
    case DIAL_SMOOTH_SCALE: return policy == POLICY_SMOOTHQUANT ? NONE : DIAL_ACTIVATIONS;
    case DIAL_PERCENTILE: return policy == POLICY_PERCENTILE ? NONE : DIAL_ACTIVATIONS;
    case DIAL_CLIP: return granularity != GRANULARITY_TENSOR ? NONE : DIAL_GRANULARITY;
    case DIAL_BITS:
    case DIAL_GRID:
    case DIAL_GRANULARITY:
    case DIAL_SCALE:
    case DIAL_ACTIVATIONS:
    case DIAL_ACTIVATION_BITS:
    case DIAL_CACHE_BITS:
    case DIAL_COUNT: break;
    }
    return NONE;
}
