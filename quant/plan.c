#include "quant/plan.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "kernels/quantized.h"
#include "quant/equalize.h"
#include "quant/lae.h"
#include "quant/linear_index.h"
#include "quant/noise.h"
#include "quant/recipe_set.h"
#include "quant/vote_counts.h"

typedef double Settings[DIAL_COUNT]; // what every dial says for one linear

enum { FEW_TOKENS = 32 }; // too few for a range

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

static const InputMeasure unknown_input;
static const WeightMeasure unknown_weight;

static const char note_ignored[] = "left alone by the recipe";
static const char note_not_quantizable[] = "head and routers stay unless an override names them";
static const char note_stored_type[] = "stored in a type that is not quantized";
static const char note_weights_not_finite[] = "holds weights that are infinite or NaN: stays as it is";
static const char note_group_too_large[] = "group size beyond the row: per channel";
static const char note_partial_group[] = "last group of each row smaller: some formats cannot hold it";
static const char note_no_votes[] = "weights not measured yet: per channel";
static const char note_floor[] = "min-group is above max-group: the floor counts";
static const char note_one_level[] = "one group per row: two levels are one";
static const char note_clip_tensor[] = "one scale for the whole matrix: not clipped";
static const char note_fused_group[] = "smallest group size of its fused set";
static const char note_fused_differs[] = "bits or activations differ within its fused set";
static const char note_tied[] = "shares its tensor with the embedding, which stays";
static const char note_uncalibrated[] = "activations not measured yet: left as they are";
static const char note_unreached[] = "calibration sent no token to this expert: per token";
static const char note_few_tokens[] = "calibration sent this expert few tokens: its range is a guess";
static const char note_not_finite[] = "activations were not finite: per token";
static const char note_no_norm[] = "no norm before it to fold the equalization into: per token";
static const char note_readers_differ[] = "its input is read by a linear not equalized alike: per token";
static const char note_other_rows[] = "its columns are not the rows of the linear before it: per token";
static const char note_rows_stay[] = "left as it is, the linear before takes no factors: per token";
static const char note_no_columns[] = "weights not measured yet: its input is left as it is";
static const char note_percentile_zero[] = "the percentile of its input is 0: whole range";
static const char note_channel[] = "scale per channel, for accuracy: no integer product does it";
static const char note_at_run_time[] = "equalized at run time: its factors fold nowhere";

const char *decision_input_text(const Decision *d) {
    static const char *const names[] = {
        [POLICY_NONE] = "16 bit", [POLICY_STATIC] = "static", [POLICY_TOKEN] = "token", [POLICY_CHANNEL] = "chan"};
    static_assert(sizeof names / sizeof *names == POLICY_COUNT, "a policy has no name");
    if (d->activations == POLICY_NONE && d->note == note_uncalibrated) return "?";
    return d->lae ? "LAE" : d->smooth ? "smooth" : names[d->activations];
}

const char *class_name(FptqClass class) {
    static const char *const names[] = {
        [CLASS_UNKNOWN] = "?", [CLASS_STATIC] = "static", [CLASS_LAE] = "LAE", [CLASS_TOKEN] = "token"};
    static_assert(sizeof names / sizeof *names == CLASS_TOKEN + 1, "a class has no name");
    return names[class];
}

static const InputMeasure *input_measure(const Planning *p, int linear) {
    int input = p->structure->linears[linear].input;
    bool there = p->measured && p->measured->inputs && input >= 0 && input < p->measured->input_count;
    return there ? &p->measured->inputs[input] : &unknown_input;
}

static const WeightMeasure *weight_measure(const Planning *p, int linear) {
    bool there = p->measured && p->measured->weights && linear < p->measured->linear_count;
    return there && p->measured->weights[linear].known ? &p->measured->weights[linear] : &unknown_weight;
}

// ---- What the recipe says for each linear ----

static bool resolve_settings(Planning *p) {
    NameTable names;
    const bool ok = name_table_new(p->structure, &names) && recipe_settings(p->recipe, &names, p->settings, NULL) &&
                    recipe_left_alone(p->recipe, &names, p->left, NULL);
    name_table_free(&names);
    return ok;
}

// ---- Weights ----

static DType scale_dtype(ScaleType scale, DType weight) {
    switch (scale) {
    case SCALE_F16: return DTYPE_F16;
    case SCALE_BF16: return DTYPE_BF16;
    case SCALE_F32: return DTYPE_F32;
    case SCALE_MODEL:
    case SCALE_TYPE_COUNT: break;
    }
    return weight == DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F16;
}

static const char *why_not_quantized(const Planning *p, int i) {
    const Linear *linear = &p->structure->linears[i];
    if (p->left[i]) return recipe_ignores(p->recipe, linear->name) ? note_ignored : note_not_quantizable;
    if (!dtype_is_float16_or_32(linear->weight->dtype)) return note_stored_type;
    if (weight_measure(p, i)->nonfinite) return note_weights_not_finite; // no scale fits, and zeros would hide it
    return NULL;
}

// The first size to try: the largest within max_group, but none below the floor.
static int first_size(const VoteCounts *votes, const double *settings, Decision *d) {
    double most = settings[DIAL_MAX_GROUP], floor = settings[DIAL_MIN_GROUP];
    int at = 0;
    while (most > 0 && at < votes->sizes_count - 1 && votes->sizes[at] > most) at++;
    while (at > 0 && votes->sizes[at] < floor) {
        at--;
        d->note = note_floor;
    }
    return at;
}

static void note_step(const VoteCounts *votes, int at, double share, Decision *d) {
    d->step_size[d->steps] = votes->sizes[at];
    d->step_share[d->steps++] = (float)share;
}

static bool has_smaller(const VoteCounts *votes, int at, const double *settings) {
    return at + 1 < votes->sizes_count && votes->sizes[at + 1] >= settings[DIAL_MIN_GROUP];
}

// FineQuant (docs/methods.md): to the next smaller size for as long as enough groups vote for it.
static int walk_by_votes(const VoteCounts *votes, int at, const double *settings, Decision *d) {
    const VoteRule rule = settings[DIAL_RULE] == RULE_LITERAL ? VOTES_LITERAL : VOTES_SHRINK;
    const double quorum = settings[DIAL_QUORUM];
    for (; has_smaller(votes, at, settings); at++) {
        double share = vote_share(votes, rule, at, settings[DIAL_ALPHA]);
        note_step(votes, at, share, d);
        if (!(quorum > 0 ? share >= quorum : share > 0)) break;
    }
    return at;
}

// To the next smaller size for as long as the noise is above the ceiling.
static int walk_by_noise(const WeightMeasure *weight, int at, const double *settings, Decision *d) {
    const Grid grid = (Grid)settings[DIAL_GRID];
    const double ceiling = noise_ceiling(settings[DIAL_ALPHA], grid, d->bits);
    d->noise_ceiling = (float)ceiling;
    for (;; at++) {
        double noise = weight_noise(weight, at, grid, d->bits);
        note_step(&weight->votes, at, noise, d);
        if (!(noise > ceiling) || !has_smaller(&weight->votes, at, settings)) return at;
    }
}

static void walk_ladder(const WeightMeasure *weight, const double *settings, Decision *d) {
    const VoteCounts *votes = &weight->votes;
    int at = first_size(votes, settings, d);
    if (settings[DIAL_RULE] != RULE_NOISE)
        at = walk_by_votes(votes, at, settings, d);
    else if (votes->sizes_count > 1)
        at = walk_by_noise(weight, at, settings, d);
    d->group = votes->sizes[at];
}

static void choose_group(const Planning *p, int i, Decision *d) {
    const Linear *linear = &p->structure->linears[i];
    const double *settings = p->settings[i];
    const WeightMeasure *weight = weight_measure(p, i);
    d->granularity = (Granularity)settings[DIAL_GRANULARITY];
    d->group = linear->in;
    if (d->granularity == GRANULARITY_GROUP) {
        size_t wanted = (size_t)settings[DIAL_GROUP_SIZE];
        d->group = wanted < linear->in ? wanted : linear->in;
        if (wanted > linear->in)
            d->note = note_group_too_large;
        else if (linear->in % wanted)
            d->note = note_partial_group;
    } else if (d->granularity == GRANULARITY_ADAPTIVE) {
        if (weight->votes.sizes_count > 0)
            walk_ladder(weight, settings, d);
        else
            d->note = note_no_votes;
    }
    if (d->granularity != GRANULARITY_TENSOR) {
        d->granularity = d->group < linear->in ? GRANULARITY_GROUP : GRANULARITY_CHANNEL;
    }
}

static void decide_weight(const Planning *p, int i) {
    const Linear *linear = &p->structure->linears[i];
    Decision *d = &p->plan->decisions[i];
    d->note = why_not_quantized(p, i);
    d->quantized = !d->note;
    d->group = linear->in;
    d->granularity = GRANULARITY_CHANNEL;
    if (!d->quantized) return;
    d->bits = (int)p->settings[i][DIAL_BITS];
    d->scale_dtype = scale_dtype((ScaleType)p->settings[i][DIAL_SCALE], linear->weight->dtype);
    if (linear->weight == p->structure->embedding) d->note = note_tied;
    choose_group(p, i, d);
}

static bool in_fused_set(const Planning *p, int i) {
    int set = p->structure->linears[i].fused_set;
    return set >= 0 && set < p->structure->linear_count && p->plan->decisions[i].quantized;
}

static void share_groups(const Planning *p) {
    const Linear *linears = p->structure->linears;
    for (int i = 0; i < p->structure->linear_count; i++) {
        if (!in_fused_set(p, i)) continue;
        size_t *group = &p->set_group[linears[i].fused_set];
        if (*group == 0 || p->plan->decisions[i].group < *group) *group = p->plan->decisions[i].group;
    }
    for (int i = 0; i < p->structure->linear_count; i++) {
        Decision *d = &p->plan->decisions[i];
        if (!in_fused_set(p, i) || p->set_group[linears[i].fused_set] == d->group) continue;
        d->group = p->set_group[linears[i].fused_set];
        d->granularity = GRANULARITY_GROUP;
        d->note = note_fused_group;
    }
}

// Once groups are final.
static void choose_grid(const double *settings, Decision *d) {
    d->clip = (Clip)settings[DIAL_CLIP];
    if (d->clip == CLIP_MSE && d->granularity == GRANULARITY_TENSOR) {
        d->clip = CLIP_ABSMAX;
        d->note = note_clip_tensor;
    }
    d->grid = (Grid)settings[DIAL_GRID];
    // With one group per row, two levels are one.
    if (grid_table[d->grid].factors && d->granularity != GRANULARITY_GROUP) {
        d->grid = GRID_SYMMETRIC;
        d->note = note_one_level;
    }
}

// ---- Activations ----

static FptqClass class_of(double range, const double *settings) {
    if (range <= settings[DIAL_V0]) return CLASS_STATIC;
    return range < settings[DIAL_V1] ? CLASS_LAE : CLASS_TOKEN;
}

// An input without range, or with one whose scale would not be a normal number, becomes zeros with any scale.
static float static_scale(float range) { return isnormal(range / 127) ? range / 127 : 1; }

static bool is_expert(const Planning *p, int i) { return p->structure->linears[i].expert >= 0; }

static bool is_unreached_expert(const Planning *p, int i) {
    const InputMeasure *input = input_measure(p, i);
    return is_expert(p, i) && input->known && input->tokens == 0;
}

static void classify_input(const Planning *p, int i) {
    const InputMeasure *input = input_measure(p, i);
    bool seen = input->known && !is_unreached_expert(p, i);
    p->plan->decisions[i].input_class = seen ? class_of((double)input->range, p->settings[i]) : CLASS_UNKNOWN;
}

// An equalized input must suit everyone who reads it: note where a reader wants something else.
static void note_reader(const Planning *p, int i) {
    const Decision *d = &p->plan->decisions[i];
    const double *settings = p->settings[i];
    InputUse *use = &p->inputs[p->structure->linears[i].input];
    Equalizer equalizer = EQUALIZER_NONE;
    if (d->quantized && settings[DIAL_ACTIVATIONS] == POLICY_FPTQ && d->input_class == CLASS_LAE)
        equalizer = EQUALIZER_LAE;
    if (d->quantized && settings[DIAL_ACTIVATIONS] == POLICY_SMOOTHQUANT) equalizer = EQUALIZER_SMOOTH;
    double alpha = settings[equalizer == EQUALIZER_SMOOTH ? DIAL_SMOOTH_ALPHA : DIAL_LAE_ALPHA];
    if (equalizer == EQUALIZER_NONE || (use->read && (use->equalizer != equalizer || use->alpha != alpha)))
        use->split = true;
    use->read = true;
    use->equalizer = equalizer;
    use->alpha = alpha;
}

static void choose_token(Decision *d, const char *note) {
    d->activations = POLICY_TOKEN;
    if (note) d->note = note;
}

static void choose_static(Decision *d, float range) {
    d->activations = POLICY_STATIC;
    d->activation_scale = static_scale(range);
}

// Why the factors of an input cannot be folded where the recipe allows; NULL when they can.
static const char *why_not_folded(const Planning *p, int i) {
    const Linear *linear = &p->structure->linears[i];
    bool wanted = p->settings[i][DIAL_FOLD] == FOLDS_ALL && linear->fold == FOLD_LINEAR_ROWS;
    bool rows = wanted && fold_has_rows(p->structure, linear);
    if (linear->fold != FOLD_NORM && !rows) return wanted ? note_other_rows : note_no_norm;
    if (rows && !p->plan->decisions[linear->fold_index].quantized) return note_rows_stay;
    return p->inputs[linear->input].split ? note_readers_differ : NULL;
}

static void set_fold(const Linear *linear, Decision *d, const char *why_not) {
    d->fold = why_not ? FOLD_NONE : linear->fold;
    d->fold_index = why_not ? 0 : linear->fold_index;
    if (why_not) d->note = note_at_run_time;
}

static void choose_lae(const Planning *p, int i, float range) {
    Decision *d = &p->plan->decisions[i];
    double alpha = p->settings[i][DIAL_LAE_ALPHA];
    const char *why_not = why_not_folded(p, i);
    if (alpha == 0) { // every factor would be 1
        choose_static(d, range);
    } else if (why_not && p->settings[i][DIAL_UNFOLDABLE] == UNFOLDABLE_TOKEN) {
        choose_token(d, why_not);
    } else {
        choose_static(d, lae_range(range, alpha));
        d->lae = true;
        d->lae_alpha = (float)alpha;
        set_fold(&p->structure->linears[i], d, why_not);
    }
}

static bool smooth_room(Planning *p) {
    if (p->columns && p->factors) return true;
    size_t widest = 1;
    for (int i = 0; i < p->structure->linear_count; i++)
        widest = p->structure->linears[i].in > widest ? p->structure->linears[i].in : widest;
    if (!p->columns) p->columns = array_new(widest, sizeof *p->columns);
    if (!p->factors) p->factors = array_new(widest, sizeof *p->factors);
    p->failed = !p->columns || !p->factors;
    return !p->failed;
}

// The range of a smoothed input follows from the columns of all its readers, and is computed for the first of them.
// False: a weight is not measured yet.
static bool smooth_input(const Planning *p, int i, float alpha) {
    size_t in = p->structure->linears[i].in;
    InputUse *use = &p->inputs[p->structure->linears[i].input];
    if (use->smoothed && use->smooth_alpha == alpha) return true;
    memset(p->columns, 0, in * sizeof *p->columns);
    if (!reader_columns(p->structure, p->measured, i, p->columns)) return false;
    use->smooth_range = smooth_range(input_measure(p, i)->channel_absmax, p->columns, in, (double)alpha);
    use->smooth_alpha = alpha;
    return use->smoothed = true;
}

// The range of a smoothed input. Where columns share factors, it follows from the factors alone.
static float smoothed_range(Planning *p, int i) {
    const Linear *linear = &p->structure->linears[i];
    const Decision *d = &p->plan->decisions[i];
    const float *absmax = input_measure(p, i)->channel_absmax;
    if (d->fold != FOLD_LINEAR_ROWS) return p->inputs[linear->input].smooth_range;
    float range = 0;
    if (!equalize_factors(p->structure, p->measured, d, i, p->factors, NULL)) p->failed = true;
    for (size_t j = 0; !p->failed && j < linear->in; j++) range = fmaxf(range, absmax[j] / p->factors[j]);
    return range;
}

static void choose_smooth(Planning *p, int i) {
    const Linear *linear = &p->structure->linears[i];
    Decision *d = &p->plan->decisions[i];
    const char *why_not = why_not_folded(p, i);
    if (why_not && p->settings[i][DIAL_UNFOLDABLE] == UNFOLDABLE_TOKEN) {
        choose_token(d, why_not);
        return;
    }
    if (!smooth_room(p)) return;
    float alpha = (float)p->settings[i][DIAL_SMOOTH_ALPHA];
    if (!smooth_input(p, i, alpha)) {
        d->note = note_no_columns;
        p->plan->calibrated = false;
        return;
    }
    d->smooth = true;
    d->smooth_alpha = alpha;
    set_fold(linear, d, why_not);
    if (p->settings[i][DIAL_SMOOTH_SCALE] == SMOOTH_TOKEN)
        choose_token(d, NULL);
    else
        choose_static(d, smoothed_range(p, i));
}

// Activations beyond the percentile are clipped. One that is 0 would clip them all.
static void choose_percentile(const Planning *p, int i) {
    const InputMeasure *input = input_measure(p, i);
    Decision *d = &p->plan->decisions[i];
    double wanted = p->settings[i][DIAL_PERCENTILE];
    float range = wanted < 99.5 ? input->p99 : wanted < 99.95 ? input->p99_9 : input->p99_99;
    if (!(range > 0)) d->note = note_percentile_zero;
    choose_static(d, range > 0 ? range : input->range);
}

static void decide_activations(Planning *p, int i) {
    Decision *d = &p->plan->decisions[i];
    const InputMeasure *input = input_measure(p, i);
    ActivationPolicy policy = (ActivationPolicy)p->settings[i][DIAL_ACTIVATIONS];
    if (!d->quantized || policy == POLICY_NONE) return;
    bool by_range = policy != POLICY_TOKEN && policy != POLICY_CHANNEL;
    if (by_range && !input->known) {
        d->note = note_uncalibrated;
        p->plan->calibrated = false;
    } else if (by_range && is_unreached_expert(p, i)) {
        choose_token(d, note_unreached);
    } else if (by_range && !isfinite(input->range)) {
        choose_token(d, note_not_finite);
    } else if (policy == POLICY_TOKEN || (policy == POLICY_FPTQ && d->input_class == CLASS_TOKEN)) {
        choose_token(d, NULL);
    } else if (policy == POLICY_CHANNEL) {
        d->activations = POLICY_CHANNEL;
        d->note = note_channel;
    } else if (policy == POLICY_SMOOTHQUANT) {
        choose_smooth(p, i);
    } else if (policy == POLICY_PERCENTILE) {
        choose_percentile(p, i);
    } else if (policy == POLICY_STATIC || d->input_class == CLASS_STATIC) {
        choose_static(d, input->range);
    } else {
        choose_lae(p, i, input->range);
    }
    d->provisional = by_range && input->known && input->provisional;
    if (d->provisional) p->plan->provisional = true;
    if (is_expert(p, i) && d->activations == POLICY_STATIC && input->tokens < FEW_TOKENS && !d->note)
        d->note = note_few_tokens;
}

// Engines that fuse a set store one number of bits and one policy for it; the recipe is followed all the same.
static void note_differences_in_sets(const Planning *p) {
    const Linear *linears = p->structure->linears;
    for (int i = 1; i < p->structure->linear_count; i++) {
        Decision *a = &p->plan->decisions[i - 1], *b = &p->plan->decisions[i];
        bool together =
            in_fused_set(p, i) && in_fused_set(p, i - 1) && linears[i].fused_set == linears[i - 1].fused_set;
        if (together && (a->bits != b->bits || a->activations != b->activations)) b->note = note_fused_differs;
    }
}

// ---- Size ----

// Codes, scales, and what else the grid stores: zero points of as many bits as the codes, factors of 8.
static size_t quantized_bytes(const Linear *linear, const Decision *d) {
    size_t groups = d->granularity == GRANULARITY_TENSOR ? 1 : linear->out * group_count(linear->in, d->group);
    size_t bits = (size_t)d->bits, codes = (linear->out * linear->in * bits + 7) / 8;
    const GridInfo *grid = &grid_table[d->grid];
    size_t scales = grid->factors ? linear->out : groups;
    size_t others = (grid->factors ? groups : 0) + (grid->zeros ? (groups * bits + 7) / 8 : 0);
    return codes + scales * dtype_bytes(d->scale_dtype) + others;
}

static void add_up(const Planning *p) {
    Plan *plan = p->plan;
    double bits = 0, elements = 0;
    plan->base_bytes = p->structure->checkpoint ? p->structure->checkpoint->bytes : 0;
    plan->bytes = plan->base_bytes;
    for (int i = 0; i < plan->linear_count; i++) {
        const Linear *linear = &p->structure->linears[i];
        Decision *d = &plan->decisions[i];
        size_t count = linear->out * linear->in;
        d->bytes = tensor_stored_bytes(linear->weight);
        if (d->quantized) {
            d->bytes = quantized_bytes(linear, d);
            plan->bytes += d->bytes;
            if (linear->weight != p->structure->embedding) plan->bytes -= tensor_stored_bytes(linear->weight);
            plan->quantized_count++;
            plan->refined_count += d->group < linear->in;
            bits += 8 * (double)d->bytes;
            elements += (double)count;
        }
        d->bits_per_weight = count ? 8 * (double)d->bytes / (double)count : 0;
        plan->class_count[d->input_class]++;
    }
    plan->bits_per_weight = elements > 0 ? bits / elements : 0;
}

static void size_cache(const Planning *p) {
    const ModelConfig *c = &p->structure->config;
    size_t rows = 2 * (size_t)attending_layers(c) * (size_t)c->kv_heads, dim = (size_t)c->head_dim;
    p->plan->cache_bits = (int)p->recipe->value[DIAL_CACHE_BITS];
    p->plan->cache_bytes = rows * (p->plan->cache_bits == 8 ? dim + sizeof(float) : 2 * dim);
}

// ---- The whole ----

static void decide_all(Planning *p) {
    int count = p->structure->linear_count;
    bool fused = p->recipe->value[DIAL_FUSED] != 0;
    p->plan->calibrated = true;
    for (int i = 0; i < count; i++) {
        decide_weight(p, i);
        classify_input(p, i);
        note_reader(p, i);
    }
    if (fused) share_groups(p);
    for (int i = 0; i < count; i++) {
        if (p->plan->decisions[i].quantized) choose_grid(p->settings[i], &p->plan->decisions[i]);
        decide_activations(p, i);
    }
    if (fused) note_differences_in_sets(p);
    add_up(p);
    size_cache(p);
}

bool plan_make(const Recipe *recipe, const ModelStructure *structure, const Measured *measured, Plan *out, Error *err) {
    size_t linears = (size_t)structure->linear_count, inputs = (size_t)structure->input_count;
    *out = (Plan){.linear_count = structure->linear_count};
    out->decisions = array_new(linears, sizeof *out->decisions);
    Planning p = {
        .recipe = recipe,
        .structure = structure,
        .measured = measured,
        .settings = array_new(linears, sizeof(Settings)),
        .left = array_new(linears, sizeof(bool)),
        .inputs = array_new(inputs, sizeof(InputUse)),
        .set_group = array_new(linears, sizeof(size_t)),
        .plan = out,
    };
    bool ok = out->decisions && p.settings && p.left && p.inputs && p.set_group && resolve_settings(&p);
    if (ok) decide_all(&p);
    ok = ok && !p.failed;
    if (!ok) error_memory(err, "the plan");
    free(p.columns);
    free(p.factors);
    free(p.settings);
    free(p.left);
    free(p.inputs);
    free(p.set_group);
    if (!ok) plan_free(out);
    return ok;
}

void plan_free(Plan *plan) {
    free(plan->decisions);
    *plan = (Plan){0};
}

// What a decision comes to, as numbers; what has no effect counts as 0. The factors of its input follow from the first
// FACTOR_NUMBERS of them.
enum { FACTOR_NUMBERS = 6, DECISION_NUMBERS = 15 };
typedef struct DecisionKey {
    double numbers[DECISION_NUMBERS];
} DecisionKey;

// Whoever adds a field to Decision decides here whether it belongs in the key.
static_assert(sizeof(void *) != 8 || sizeof(Decision) == 288, "does decision_key know the new field?");

static DecisionKey decision_key(const Decision *d) {
    if (!d->quantized) return (DecisionKey){0};
    const bool equalized = d->lae || d->smooth;
    return (DecisionKey){{d->lae, d->smooth, d->lae ? (double)d->lae_alpha : 0, d->smooth ? (double)d->smooth_alpha : 0,
                          equalized ? d->fold : 0,
                          equalized ? d->fold_index : 0,                                                     //
                          d->activations, d->activations == POLICY_STATIC ? (double)d->activation_scale : 0, //
                          1, d->bits, d->granularity, (double)d->group, d->scale_dtype, d->grid, d->clip}};
}

static bool keys_equal(const Decision *a, const Decision *b, int numbers) {
    const DecisionKey key = decision_key(a), other = decision_key(b);
    for (int i = 0; i < numbers; i++)
        if (key.numbers[i] != other.numbers[i]) return false;
    return true;
}

uint64_t decision_hash(const Decision *decision) {
    const DecisionKey key = decision_key(decision);
    return hash_bytes(HASH_START, &key, sizeof key);
}

bool decision_equal(const Decision *a, const Decision *b) { return keys_equal(a, b, DECISION_NUMBERS); }

bool decision_same_factors(const Decision *a, const Decision *b) { return keys_equal(a, b, FACTOR_NUMBERS); }

uint64_t plan_hash(const Plan *plan) {
    const int cache_bits = plan->cache_bits == 8 ? 8 : 16;
    uint64_t hash = hash_bytes(HASH_START, &cache_bits, sizeof cache_bits);
    for (uint64_t i = 0; i < (uint64_t)plan->linear_count; i++) {
        if (!plan->decisions[i].quantized) continue; // as nearly all are when one of thousands is measured alone
        const DecisionKey key = decision_key(&plan->decisions[i]);
        hash = hash_bytes(hash_bytes(hash, &i, sizeof i), &key, sizeof key);
    }
    return hash;
}

bool plan_same_model(const Plan *a, const Plan *b) {
    if (a->linear_count != b->linear_count || a->cache_bits != b->cache_bits) return false;
    for (int i = 0; i < a->linear_count; i++) {
        if (!decision_equal(&a->decisions[i], &b->decisions[i]) || decision_equalizes(&a->decisions[i])) return false;
    }
    return true;
}

bool plan_mixes_tokens(const Plan *plan) {
    for (int i = 0; i < plan->linear_count; i++) {
        if (plan->decisions[i].quantized && plan->decisions[i].activations == POLICY_CHANNEL) return true;
    }
    return false;
}

static bool matches_any(const char *match, const ModelStructure *structure) {
    for (int i = 0; i < structure->linear_count; i++) {
        if (glob_matches(match, structure->linears[i].name)) return true;
    }
    return false;
}

static void list_unmatched(Text *text, const char *kind, const char *match, const ModelStructure *structure) {
    if (matches_any(match, structure)) return;
    char *shown = text_printable(match, strlen(match), false);
    text_addf(text, "%s%s \"%s\"", text->length ? ", " : "matching no linear: ", kind, shown ? shown : "");
    free(shown);
}

char *recipe_unmatched(const Recipe *recipe, const ModelStructure *structure) {
    Text text = {0};
    text_add(&text, "", 0);
    for (int i = 0; i < recipe->ignore_count; i++) {
        // The default rule is for every model: one without a head of that name needs no warning.
        if (strcmp(recipe->ignore[i], RECIPE_DEFAULT_IGNORE) != 0)
            list_unmatched(&text, "ignore", recipe->ignore[i], structure);
    }
    for (int i = 0; i < recipe->override_count; i++)
        list_unmatched(&text, "override", recipe->overrides[i].match, structure);
    if (text.failed) text_free(&text);
    return text.data;
}
