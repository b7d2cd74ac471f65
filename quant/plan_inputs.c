// How the input of each linear is quantized: its class by the range that was measured, the policy, and where the
// factors of an equalization go.
#include "quant/plan_parts.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "quant/equalize.h"
#include "quant/lae.h"

enum { FEW_TOKENS = 32 }; // too few for a range

static const InputMeasure unknown_input;

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

void plan_classify_input(const Planning *p, int i) {
    const InputMeasure *input = input_measure(p, i);
    bool seen = input->known && !is_unreached_expert(p, i);
    p->plan->decisions[i].input_class = seen ? class_of((double)input->range, p->settings[i]) : CLASS_UNKNOWN;
}

// An equalized input must suit everyone who reads it: note where a reader wants something else.
void plan_note_reader(const Planning *p, int i) {
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

void plan_decide_activations(Planning *p, int i) {
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
