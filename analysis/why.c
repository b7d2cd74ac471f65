#include "analysis/why.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared_channels.h"
#include "analysis/statistics.h"
#include "base/array.h"
#include "base/processors.h"
#include "kernels/host/row_coding.h"
#include "quant/equalize.h"
#include "quant/quantize.h"

typedef struct Inspection {
    const Linear *linear;
    const Decision *decision;
    const float *factors, *divisors;
    const InputStats *input;
    QuantizedWeight codes;
    float *bias;     // [out] or NULL
    float *changes;  // [sample_rows, in]: Δx
    double *columns; // [in]: Σ ΔW² of each
} Inspection;

double why_weights_share(const Why *why) {
    double sum = why->weights + why->input;
    return sum > 0 ? why->weights / sum : NAN;
}

double why_db(const Why *why) { return why->both > 0 ? 10 * log10(why->signal / why->both) : (double)INFINITY; }

double why_factors_share(const Why *why) {
    return why->weights > why->weights_plain ? 1 - why->weights_plain / why->weights : 0;
}

// ---- What stands out ----

#define TOKENS_SHARE_LEAST 0.01
#define COLUMN_SHARE_LEAST 0.1 // a column that has no more than its share is not worth a word
#define FACTORS_SHARE_LEAST 0.5

unsigned why_stands_out(const Why *why, const WeightStats *weights) {
    return (why->raw_ratio > OUTLIER_FACTOR ? STANDS_CHANNEL : 0u) |
           (why->raw_tokens >= TOKENS_SHARE_LEAST ? STANDS_TOKENS : 0u) |
           (weights && weights->outliers_6sigma > 0 ? STANDS_WEIGHTS : 0u) |
           (why->column_share >= COLUMN_SHARE_LEAST ? STANDS_COLUMN : 0u) |
           (why_factors_share(why) >= FACTORS_SHARE_LEAST ? STANDS_FACTORS : 0u);
}

WhyPlace why_place(const double *db, int count, int linear) {
    WhyPlace place = {0};
    for (int i = 0; db && !isnan(db[linear]) && i < count; i++) {
        place.count += !isnan(db[i]);
        place.worse += db[i] < db[linear];
    }
    return place;
}

// ---- In words ----

const char *why_percent(double share, char *out, size_t size) {
    const double percent = 100 * share;
    const bool all = percent > 99.5 && percent < 100;
    if (isnan(share))
        snprintf(out, size, "–");
    else
        snprintf(out, size, percent > 0 && percent < 0.5 ? "<1 %%" : all ? ">99 %%" : "%.0f %%", percent);
    return out;
}

const char *why_factors_name(const Decision *decision) { return decision->lae ? "LAE" : "smooth"; }

static void channel_text(const Why *why, const Decision *decision, unsigned stands, char *out, size_t size) {
    char moved[48] = "", share[16];
    if (stands & STANDS_FACTORS)
        snprintf(moved, sizeof moved, ", which %s moves into the weights,", why_factors_name(decision));
    if (stands & STANDS_CHANNEL)
        snprintf(out, size, "Input channel %u%s stands out (%.*f×)", why->raw_channel, moved, why->raw_ratio < 10,
                 why->raw_ratio);
    else
        snprintf(out, size, "Input channel %u%s stands out in %s of the tokens", why->raw_channel, moved,
                 why_percent(why->raw_tokens, share, sizeof share));
}

// Where no channel of the input stands out.
static void weights_cause(const Why *why, const WeightStats *weights, unsigned stands, char *out, size_t size) {
    if (stands & STANDS_WEIGHTS)
        snprintf(out, size, "%.2g %% of the weights stand out",
                 100 * (double)weights->outliers_6sigma / (double)weights->elements);
    else if (stands & STANDS_COLUMN)
        snprintf(out, size, "Column %u of the weights stands out", why->column);
    else if (why->raw_ratio > 0)
        snprintf(out, size, "No input channel is beyond %g× the median%s", OUTLIER_FACTOR,
                 weights ? ", no weight beyond 6σ" : "");
    else
        snprintf(out, size, "Half of the input channels are always 0");
}

// Of the worst tenth nobody should read that nothing is wrong.
static void place_text(WhyPlace place, char *out, size_t size) {
    if (place.count < 2 || 10 * place.worse >= place.count) return;
    if (place.worse)
        snprintf(out, size, "; only %d of %d other linears %s more", place.worse, place.count - 1,
                 place.worse == 1 ? "errs" : "err");
    else
        snprintf(out, size, "; no other linear errs more");
}

static void cause_text(const Why *why, const WeightStats *weights, const Decision *decision, WhyPlace place, char *out,
                       size_t size) {
    const unsigned stands = why_stands_out(why, weights);
    if (!(stands & (STANDS_CHANNEL | STANDS_TOKENS))) {
        weights_cause(why, weights, stands, out, size);
        if (!(stands & (STANDS_WEIGHTS | STANDS_COLUMN))) place_text(place, out + strlen(out), size - strlen(out));
        return;
    }
    channel_text(why, decision, stands, out, size);
    if (stands & STANDS_WEIGHTS)
        snprintf(out + strlen(out), size - strlen(out), ", and %.2g %% of the weights do",
                 100 * (double)weights->outliers_6sigma / (double)weights->elements);
}

#define FACTORS_SHARE_TOLD 0.1

static void weights_text(const Why *why, const WeightStats *weights, const Decision *decision, const char *share,
                         char *out, size_t size) {
    const unsigned stands = why_stands_out(why, weights);
    const bool same = why->column == why->raw_channel && stands & STANDS_CHANNEL;
    char widened[64] = "", column[64] = "", percent[16];
    if (why_factors_share(why) >= FACTORS_SHARE_TOLD)
        snprintf(widened, sizeof widened, " (%s of that since %s widens them)",
                 why_percent(why_factors_share(why), percent, sizeof percent), why_factors_name(decision));
    if (stands & STANDS_COLUMN)
        snprintf(column, sizeof column, ", worst in column %u%s", why->column,
                 same ? ", which that channel multiplies" : "");
    snprintf(out, size, "%s weights%s%s", share, widened, column);
}

static void effect_text(const Why *why, const WeightStats *stats, const Decision *decision, char *out, size_t size) {
    const double share = why_weights_share(why);
    char percent[16], weights[160], input[32];
    if (isnan(share)) {
        snprintf(out, size, "Nothing errs here.");
        return;
    }
    const bool all = decision->activations == POLICY_NONE;
    weights_text(why, stats, decision, all ? "all of" : why_percent(share, percent, sizeof percent), weights,
                 sizeof weights);
    snprintf(input, sizeof input, "%s input", why_percent(1 - share, percent, sizeof percent));
    if (all)
        snprintf(out, size, "Error: %s.", weights);
    else
        snprintf(out, size, "Error: %s; %s.", share >= 0.5 ? weights : input, share >= 0.5 ? input : weights);
}

void why_text(const Why *why, const WeightStats *weights, const Decision *decision, WhyPlace place, char *out,
              size_t size) {
    char cause[160], effect[240];
    const WeightStats *known = weights && weights->elements ? weights : NULL;
    cause_text(why, known, decision, place, cause, sizeof cause);
    effect_text(why, known, decision, effect, sizeof effect);
    snprintf(out, size, "%s. %s", cause, effect);
}

// ---- The input ----

static float factor_of(const Inspection *w, size_t j) { return w->factors ? w->factors[j] : 1; }

static void change_by_scale(const Inspection *w, const float *x, float scale, const int8_t *codes, float *change) {
    for (size_t j = 0; j < w->linear->in; j++) change[j] = (float)codes[j] * scale * factor_of(w, j) - x[j];
}

// One scale per channel over all sample rows, as over the tokens of a call.
static void change_by_channel(const Inspection *w, size_t j) {
    const size_t in = w->linear->in, rows = w->input->sample_rows;
    const float *x = w->input->sample + j;
    float range = 0, factor = factor_of(w, j);
    for (size_t r = 0; r < rows; r++) range = fmaxf(range, fabsf(x[r * in] / factor));
    const float scale = range / 127;
    for (size_t r = 0; isnormal(scale) && r < rows; r++)
        w->changes[r * in + j] = rintf(x[r * in] / factor * (1 / scale)) * scale * factor - x[r * in];
}

static bool change_input(const Inspection *w, Error *err) {
    const size_t in = w->linear->in;
    const ActivationPolicy policy = w->decision->activations;
    if (policy == POLICY_NONE) return true;
    if (policy == POLICY_CHANNEL) {
        for (size_t j = 0; j < in; j++) change_by_channel(w, j);
        return true;
    }
    int8_t *codes = array_new(in, 1);
    if (!codes) return error_memory(err, w->linear->name);
    const float constant = policy == POLICY_STATIC ? w->decision->activation_scale : 0;
    for (size_t r = 0; r < w->input->sample_rows; r++) {
        const float *x = w->input->sample + r * in;
        const float scale = host_kernels()->quantize_row(x, w->factors, in, constant, codes);
        change_by_scale(w, x, scale, codes, w->changes + r * in);
    }
    free(codes);
    return true;
}

bool why_input_changes(const Linear *linear, const Decision *decision, const float *factors, const InputStats *input,
                       float *changes, Error *err) {
    const Inspection inspection = {
        .linear = linear, .decision = decision, .factors = factors, .input = input, .changes = changes};
    return change_input(&inspection, err);
}

// The channel that reaches furthest when divided by factors (NULL: none), and how many times the median that is; 0
// where the median is 0. reach [in]: room.
static bool furthest(const InputStats *input, size_t in, const float *factors, float *reach, uint32_t *channel,
                     double *ratio, Error *err) {
    float median;
    *channel = 0;
    for (size_t j = 0; j < in; j++) {
        reach[j] = input->channel_absmax[j] / (factors ? factors[j] : 1);
        if (reach[j] > reach[*channel]) *channel = (uint32_t)j;
    }
    if (!median_of(reach, in, &median, err)) return false;
    *ratio = median > 0 ? (double)reach[*channel] / (double)median : 0;
    return true;
}

static bool find_channel(const Inspection *w, Why *out, Error *err) {
    const size_t in = w->linear->in;
    float *reach = array_new(in, sizeof *reach);
    if (!reach) return error_memory(err, w->linear->name);
    const bool ok = furthest(w->input, in, NULL, reach, &out->raw_channel, &out->raw_ratio, err) &&
                    furthest(w->input, in, w->factors, reach, &out->channel, &out->channel_ratio, err);
    out->channel_absmax = reach[out->channel];
    if (w->input->tokens && w->input->channel_tokens)
        out->raw_tokens = (double)w->input->channel_tokens[out->raw_channel] / (double)w->input->tokens;
    free(reach);
    return ok;
}

// ---- The weights ----

// row, change [in]: a row of W and of ΔW.
static void load_rows(const Inspection *w, size_t o, float *row, float *change) {
    const Tensor *tensor = w->linear->weight;
    const float divisor = w->divisors ? w->divisors[o] : 1;
    load_equalized_row(host_kernels(), tensor->dtype, tensor->data, w->linear->in, o, NULL, NULL, row);
    quantized_row(&w->codes, o, change);
    for (size_t j = 0; j < w->linear->in; j++) change[j] = change[j] * divisor / factor_of(w, j) - row[j];
}

typedef struct Products {
    float exact, weights, input, both; // W x, ΔW x, W Δx, ΔW Δx
} Products;

FOR_EVERY_PROCESSOR
static Products products_of(const float *row, const float *change, const float *x, const float *dx, size_t n) {
    float exact = 0, weights = 0, input = 0, both = 0;
#pragma omp simd reduction(+ : exact, weights, input, both)
    for (size_t j = 0; j < n; j++) {
        exact += row[j] * x[j];
        weights += change[j] * x[j];
        input += row[j] * dx[j];
        both += change[j] * dx[j];
    }
    return (Products){exact, weights, input, both};
}

static double square(double x) { return x * x; }

static void add_row(const Inspection *w, size_t o, const float *row, const float *change, Why *sum, double *columns) {
    const size_t in = w->linear->in;
    const double bias = w->bias ? (double)w->bias[o] : 0;
    for (size_t r = 0; r < w->input->sample_rows; r++) {
        const Products p = products_of(row, change, w->input->sample + r * in, w->changes + r * in, in);
        sum->signal += square((double)p.exact + bias);
        sum->weights += square((double)p.weights);
        sum->input += square((double)p.input);
        sum->both += square((double)p.weights + (double)p.input + (double)p.both);
    }
    for (size_t j = 0; j < in; j++) columns[j] += square((double)change[j]);
}

// Rows are shared among threads in blocks, and the sums of blocks added in order, so that the figures do not depend on
// the number of threads.
enum { BLOCKS = 64 };

static void add_block(const Inspection *w, size_t block, float *rows, Why *sum, double *columns) {
    const size_t out = w->linear->out;
    for (size_t o = out * block / BLOCKS; o < out * (block + 1) / BLOCKS; o++) {
        load_rows(w, o, rows, rows + w->linear->in);
        add_row(w, o, rows, rows + w->linear->in, sum, columns);
    }
}

static bool add_rows(const Inspection *w, Why *out, Error *err) {
    const size_t in = w->linear->in;
    Why sums[BLOCKS] = {0};
    double *columns = array_new(BLOCKS * in, sizeof *columns);
    float *rows = array_new(BLOCKS * 2 * in, sizeof *rows);
    const bool ok = columns && rows;
#pragma omp parallel for schedule(dynamic)
    for (size_t b = 0; b < (ok ? BLOCKS : 0); b++) add_block(w, b, rows + b * 2 * in, &sums[b], columns + b * in);
    for (size_t b = 0; ok && b < BLOCKS; b++) {
        out->signal += sums[b].signal;
        out->weights += sums[b].weights;
        out->input += sums[b].input;
        out->both += sums[b].both;
        for (size_t j = 0; j < in; j++) w->columns[j] += columns[b * in + j];
    }
    free(columns);
    free(rows);
    return ok || error_memory(err, w->linear->name);
}

static void find_column(const Inspection *w, Why *out) {
    const size_t in = w->linear->in;
    double all = 0, most = 0;
    for (size_t j = 0; j < in; j++) {
        const double energy = w->columns[j] * square((double)w->input->channel_absmax[j]);
        all += energy;
        if (energy > most) {
            most = energy;
            out->column = (uint32_t)j;
        }
    }
    out->column_share = all > 0 ? most / all : 0;
}

static bool inspect_linear(Inspection *w, Why *out, Error *err) {
    const Linear *linear = w->linear;
    w->changes = array_new(w->input->sample_rows * linear->in, sizeof *w->changes);
    w->columns = array_new(linear->in, sizeof *w->columns);
    if (!w->changes || !w->columns) return error_memory(err, linear->name);
    if (!linear_bias(linear, &w->bias, err) ||
        !quantize_linear(linear, w->decision, w->factors, w->divisors, &w->codes, NULL, err))
        return false;
    const bool ok = change_input(w, err) && find_channel(w, out, err) && add_rows(w, out, err);
    if (ok) find_column(w, out);
    out->weights_plain = out->weights;
    quantized_weight_free(&w->codes);
    return ok;
}

bool why_linear(const Linear *linear, const Decision *decision, const float *factors, const float *divisors,
                const InputStats *input, Why *out, Error *err) {
    *out = (Why){0};
    if (!input->sample_rows) return error_set(err, "%s: no sample rows of its input; calibrate first", linear->name);
    Inspection inspection = {
        .linear = linear, .decision = decision, .factors = factors, .divisors = divisors, .input = input};
    if (!tensor_hold(linear->weight, err)) return false;
    const bool ok = inspect_linear(&inspection, out, err);
    tensor_release(linear->weight);
    free(inspection.changes);
    free(inspection.columns);
    free(inspection.bias);
    return ok;
}

// ---- By a plan ----

static bool planned_divisors(const ModelStructure *structure, const Measured *measured, const Plan *plan, int linear,
                             float **divisors, Error *err) {
    int *readers = array_new((size_t)plan->linear_count, sizeof *readers);
    if (!readers) return error_memory(err, "the plan");
    equalize_row_readers(structure, plan, readers);
    const int reader = readers[linear];
    free(readers);
    if (reader < 0) return true;
    *divisors = array_new(structure->linears[linear].out, sizeof **divisors);
    return *divisors ? equalize_divisors(structure, measured, plan, reader, *divisors, err)
                     : error_memory(err, structure->linears[linear].name);
}

static bool planned_factors(const ModelStructure *structure, const Measured *measured, const Plan *plan, int linear,
                            float **factors, Error *err) {
    const Decision *decision = &plan->decisions[linear];
    if (!decision_equalizes(decision)) return true;
    *factors = array_new(structure->linears[linear].in, sizeof **factors);
    return *factors ? equalize_factors(structure, measured, decision, linear, *factors, err)
                    : error_memory(err, structure->linears[linear].name);
}

// Inputs that several linears read count once, with the first of them.
static bool look_at_others(const ModelStructure *structure, const ModelStats *stats, int linear, Why *out, Error *err) {
    const Linear *of = &structure->linears[linear];
    int last = of->input;
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *other = &structure->linears[i];
        const InputStats *input = &stats->inputs[other->input];
        float median;
        if (other->role != of->role || other->in != of->in || other->input == of->input || other->input == last)
            continue;
        last = other->input;
        if (!input->known || !input->tokens) continue;
        if (!median_of(input->channel_absmax, of->in, &median, err)) return false;
        out->others++;
        out->others_beyond += input->channel_absmax[out->raw_channel] > (float)OUTLIER_FACTOR * median && median > 0;
    }
    return true;
}

typedef struct PlannedFactors {
    float *factors, *divisors; // each may be NULL
} PlannedFactors;

static void free_planned(PlannedFactors *p) {
    free(p->factors);
    free(p->divisors);
}

static bool find_planned(const ModelStructure *structure, const ModelStats *stats, const Plan *plan, int linear,
                         PlannedFactors *p, Error *err) {
    return planned_factors(structure, &stats->measured, plan, linear, &p->factors, err) &&
           planned_divisors(structure, &stats->measured, plan, linear, &p->divisors, err);
}

static bool errors_by(const ModelStructure *structure, const ModelStats *stats, const Plan *plan, int linear,
                      const PlannedFactors *p, Why *out, Error *err) {
    const Linear *of = &structure->linears[linear];
    return why_linear(of, &plan->decisions[linear], p->factors, p->divisors, &stats->inputs[of->input], out, err);
}

bool why_errors(const ModelStructure *structure, const ModelStats *stats, const Plan *plan, int linear, Why *out,
                Error *err) {
    PlannedFactors p = {0};
    const bool ok = find_planned(structure, stats, plan, linear, &p, err) &&
                    errors_by(structure, stats, plan, linear, &p, out, err);
    free_planned(&p);
    return ok;
}

// The weights rounded once more, as wide as they are.
static bool measure_plain(const ModelStructure *structure, const ModelStats *stats, const Plan *plan, int linear,
                          const PlannedFactors *p, Why *out, Error *err) {
    const Linear *of = &structure->linears[linear];
    Decision plain = plan->decisions[linear];
    Why without;
    if (!p->factors) return true;
    plain.activations = POLICY_NONE;
    if (!why_linear(of, &plain, NULL, p->divisors, &stats->inputs[of->input], &without, err)) return false;
    out->weights_plain = without.weights;
    return true;
}

bool why_planned(const ModelStructure *structure, const ModelStats *stats, const Plan *plan, int linear, Why *out,
                 Error *err) {
    PlannedFactors p = {0};
    const bool ok = find_planned(structure, stats, plan, linear, &p, err) &&
                    errors_by(structure, stats, plan, linear, &p, out, err) &&
                    measure_plain(structure, stats, plan, linear, &p, out, err) &&
                    look_at_others(structure, stats, linear, out, err);
    free_planned(&p);
    return ok;
}
