#include "quant/vote_counts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

#define BINS (VOTE_STEPS + 2) // bin b: parents whose statistic exceeds exactly the b smallest thresholds

typedef struct Histogram {
    double threshold[VOTE_STEPS + 1]; // k / 1000, as a reader of the formula computes it
    uint32_t bins[2][BINS];           // [rule]
} Histogram;

int ladder_sizes(size_t in, uint32_t floor, uint32_t sizes[LADDER_MAX]) {
    int count = 0;
    sizes[count++] = (uint32_t)in;
    uint32_t power = 1u << 31;
    while (power >= in) power >>= 1;
    for (; power >= floor && power > 0 && count < LADDER_MAX; power >>= 1) {
        if (in % power == 0) sizes[count++] = power;
    }
    return count;
}

// How many thresholds the statistic exceeds. The product is a guess within one of the truth; comparing with the thresholds
// themselves makes it exact.
static size_t bin_of(const double *threshold, double statistic) {
    if (!(statistic > 0)) return 0;
    size_t bin = statistic < 1 ? (size_t)(statistic * VOTE_STEPS) : VOTE_STEPS;
    while (bin > 0 && !(statistic > threshold[bin - 1])) bin--;
    while (bin <= VOTE_STEPS && statistic > threshold[bin]) bin++;
    return bin;
}

// Parents whose statistics are computed side by side, in loops that compilers vectorize. Of each: its absmax and that of its narrowest part;
// its ends, and the spread (max − min) of its widest part.
#define BATCH 256

typedef struct Batch {
    float range[BATCH], narrowest[BATCH];
    float low[BATCH], high[BATCH], widest[BATCH];
    int bins[2][BATCH]; // [rule]; LOOK_CLOSER where float arithmetic cannot tell
} Batch;

#define LOOK_CLOSER (-1)

static inline float larger(float a, float b) { return a > b ? a : b; }
static inline float smaller(float a, float b) { return a < b ? a : b; }

// Two parts to a parent: every step but the first.
static void merge_pairs(const float *low, const float *high, size_t parents, Batch *restrict batch) {
    for (size_t p = 0; p < parents; p++) {
        float low0 = low[2 * p], low1 = low[2 * p + 1], high0 = high[2 * p], high1 = high[2 * p + 1];
        float absmax0 = larger(fabsf(low0), fabsf(high0)), absmax1 = larger(fabsf(low1), fabsf(high1));
        batch->low[p] = smaller(low0, low1);
        batch->high[p] = larger(high0, high1);
        float spread0 = high0 - low0, spread1 = high1 - low1;
        // What is not finite makes the product NaN, and the range with it.
        batch->range[p] = larger(absmax0, absmax1) + (spread0 + spread1) * 0;
        batch->narrowest[p] = smaller(absmax0, absmax1);
        batch->widest[p] = larger(spread0, spread1);
    }
}

static void merge_many(const float *low, const float *high, size_t parts, size_t parents, Batch *batch) {
    for (size_t p = 0; p < parents; p++, low += parts, high += parts) {
        float least = low[0], most = high[0], narrowest = INFINITY, widest = 0, spreads = 0;
        for (size_t i = 0; i < parts; i++) {
            least = smaller(low[i], least);
            most = larger(high[i], most);
            narrowest = smaller(larger(fabsf(low[i]), fabsf(high[i])), narrowest);
            widest = larger(high[i] - low[i], widest);
            spreads += high[i] - low[i];
        }
        batch->low[p] = least;
        batch->high[p] = most;
        batch->range[p] = larger(fabsf(least), fabsf(most)) + spreads * 0;
        batch->narrowest[p] = narrowest;
        batch->widest[p] = widest;
    }
}

// In float the statistic times VOTE_STEPS errs by less than 0.0005: farther than that from a whole number the bin is certain. A shrink of
// exactly 0, and a part as wide as its parent, are common and certain as well. Masks instead of conditions let compilers vectorize.
#define MARGIN (1.0f / 1024)

// Statistics times VOTE_STEPS → bins. NaN has been replaced before.
static void bins_of(const float *restrict statistic, size_t parents, int *restrict bins) {
    for (size_t p = 0; p < parents; p++) {
        float x = statistic[p], whole = (x + 12582912.0f) - 12582912.0f; // adding 1.5 · 2^23 rounds
        int unsure = -(fabsf(x - whole) < MARGIN);                       // all ones: LOOK_CLOSER
        bins[p] = ((int)x + 1) | unsure;
    }
}

static void guess_bins(size_t parents, Batch *restrict batch) {
    float statistic[BATCH];
    for (size_t p = 0; p < parents; p++) {
        float shrink = (1 - batch->narrowest[p] / batch->range[p]) * VOTE_STEPS;
        shrink = smaller(shrink, VOTE_STEPS); // NaN becomes a whole number: look closer
        statistic[p] = larger(shrink, 0.5f);  // below the first threshold, but above 0
    }
    bins_of(statistic, parents, batch->bins[RULE_SHRINK]);
    for (size_t p = 0; p < parents; p++) batch->bins[RULE_SHRINK][p] &= -(batch->narrowest[p] != batch->range[p]);
    for (size_t p = 0; p < parents; p++) {
        float literal = batch->widest[p] / (batch->high[p] - batch->low[p]) * VOTE_STEPS;
        statistic[p] = smaller(literal, VOTE_STEPS - 0.5f); // beyond the last threshold but one, and never above 1
    }
    bins_of(statistic, parents, batch->bins[RULE_LITERAL]);
    for (size_t p = 0; p < parents; p++) batch->bins[RULE_LITERAL][p] &= -(batch->high[p] != batch->low[p]);
}

// One parent in double, as the formulas are written.
static void exact_bins(const float *low, const float *high, size_t parts, const double *threshold, Batch *batch,
                       size_t p) {
    double spread = (double)batch->high[p] - (double)batch->low[p], range = 0, widest = 0;
    batch->bins[RULE_SHRINK][p] = batch->bins[RULE_LITERAL][p] = 0;
    for (size_t i = 0; i < parts; i++) {
        if (!isfinite(low[i]) || !isfinite(high[i])) {
            batch->low[p] = batch->high[p] = NAN; // larger groups around it do not vote either
            return;
        }
        range = fmax(range, fmax(fabs((double)low[i]), fabs((double)high[i])));
        widest = fmax(widest, (double)high[i] - (double)low[i]);
    }
    if (range > 0) batch->bins[RULE_SHRINK][p] = (int)bin_of(threshold, 1 - (double)batch->narrowest[p] / range);
    if (spread > 0) batch->bins[RULE_LITERAL][p] = (int)bin_of(threshold, widest / spread);
}

static void count_batch(const float *low, const float *high, size_t parts, size_t parents, Batch *batch,
                        Histogram *histogram) {
    if (parts == 2)
        merge_pairs(low, high, parents, batch);
    else
        merge_many(low, high, parts, parents, batch);
    guess_bins(parents, batch);
    for (size_t p = 0; p < parents; p++) {
        if ((batch->bins[0][p] | batch->bins[1][p]) < 0) {
            exact_bins(low + p * parts, high + p * parts, parts, histogram->threshold, batch, p);
        }
        histogram->bins[0][batch->bins[0][p]]++;
        histogram->bins[1][batch->bins[1][p]]++;
    }
}

// votes[k] = parents in the bins above k.
static void sum_from_above(const uint32_t *bins, uint32_t *votes) {
    uint32_t sum = 0;
    for (size_t k = VOTE_STEPS + 1; k-- > 0;) {
        sum += bins[k + 1];
        votes[k] = sum;
    }
}

// Goes from the smallest groups up. Each level is written over the one below it, except that the first leaves the caller's
// arrays as they are.
static void count_votes(const float *minima, const float *maxima, float *low, float *high, Histogram *histogram,
                        VoteCounts *out) {
    Batch batch;
    for (int step = out->sizes_count - 2; step >= 0; step--) {
        size_t parts = out->sizes[step] / out->sizes[step + 1], parents = (size_t)out->parents[step];
        memset(histogram->bins, 0, sizeof histogram->bins);
        for (size_t p = 0; p < parents; p += BATCH) {
            size_t count = parents - p < BATCH ? parents - p : BATCH;
            count_batch(minima + p * parts, maxima + p * parts, parts, count, &batch, histogram);
            memcpy(low + p, batch.low, count * sizeof *low);
            memcpy(high + p, batch.high, count * sizeof *high);
        }
        for (int rule = 0; rule < 2; rule++) {
            sum_from_above(histogram->bins[rule], out->votes[rule] + (size_t)step * (VOTE_STEPS + 1));
        }
        minima = low;
        maxima = high;
    }
}

bool vote_counts_build(const float *minima, const float *maxima, size_t rows, size_t columns, uint32_t base_group,
                       VoteCounts *out, Error *err) {
    *out = (VoteCounts){0};
    if (columns == 0 || columns > UINT32_MAX || base_group < LADDER_FLOOR || (base_group & (base_group - 1))) {
        return error_set(err, "groups of %u among %zu columns: no ladder of group sizes", base_group, columns);
    }
    out->sizes_count = ladder_sizes(columns, base_group, out->sizes);
    for (int s = 0; s < out->sizes_count; s++) out->parents[s] = (uint64_t)rows * (columns / out->sizes[s]);
    size_t steps = (size_t)out->sizes_count - 1;
    if (steps == 0) return true;

    Histogram *histogram = array_new(1, sizeof *histogram);
    float *low = array_new(out->parents[steps - 1], sizeof *low);
    float *high = array_new(out->parents[steps - 1], sizeof *high);
    out->votes[0] = array_new(steps * (VOTE_STEPS + 1), sizeof *out->votes[0]);
    out->votes[1] = array_new(steps * (VOTE_STEPS + 1), sizeof *out->votes[1]);
    bool ok = histogram && low && high && out->votes[0] && out->votes[1];
    if (ok) {
        for (int k = 0; k <= VOTE_STEPS; k++) histogram->threshold[k] = k / (double)VOTE_STEPS;
        count_votes(minima, maxima, low, high, histogram, out);
    } else {
        vote_counts_free(out);
        error_memory(err, "the votes of a matrix");
    }
    free(histogram);
    free(low);
    free(high);
    return ok;
}

void vote_counts_add(VoteCounts *sum, const VoteCounts *more) {
    for (int s = 0; s < sum->sizes_count; s++) sum->parents[s] += more->parents[s];
    size_t length = (size_t)(sum->sizes_count - 1) * (VOTE_STEPS + 1);
    for (int rule = 0; rule < 2; rule++) {
        for (size_t i = 0; i < length; i++) sum->votes[rule][i] += more->votes[rule][i];
    }
}

void vote_counts_free(VoteCounts *counts) {
    free(counts->votes[0]);
    free(counts->votes[1]);
    *counts = (VoteCounts){0};
}

double vote_share(const VoteCounts *counts, AlphaRule rule, int step, double alpha) {
    size_t k = (size_t)lround(fmin(fmax(alpha, 0), 1) * VOTE_STEPS);
    uint32_t votes = counts->votes[rule][(size_t)step * (VOTE_STEPS + 1) + k];
    return counts->parents[step] ? (double)votes / (double)counts->parents[step] : 0;
}
