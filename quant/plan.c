#include "quant/plan_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernels/quantized.h"
#include "quant/linear_index.h"
#include "quant/noise.h"
#include "quant/recipe_set.h"
#include "quant/vote_counts.h"

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

static const WeightMeasure unknown_weight;

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
    p->plan->cache_bits = (int)p->recipe->value[DIAL_CACHE_BITS];
    p->plan->cache_bytes = p->plan->cache_bits == 8 ? cache_bytes(c, 1, sizeof(float)) : cache_bytes(c, 2, 0);
}

// ---- The whole ----

static void decide_all(Planning *p) {
    int count = p->structure->linear_count;
    bool fused = p->recipe->value[DIAL_FUSED] != 0;
    p->plan->calibrated = true;
    for (int i = 0; i < count; i++) {
        decide_weight(p, i);
        plan_classify_input(p, i);
        plan_note_reader(p, i);
    }
    if (fused) share_groups(p);
    for (int i = 0; i < count; i++) {
        if (p->plan->decisions[i].quantized) choose_grid(p->settings[i], &p->plan->decisions[i]);
        plan_decide_activations(p, i);
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
