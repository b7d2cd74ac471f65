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

static double absmax_of(float low, float high) { return fmax(fabs((double)low), fabs((double)high)); }

// Merges `parts` children into one parent and lets it vote. The parent may overwrite its first child.
static void merge_and_vote(const float *low, const float *high, size_t parts, float *parent_low, float *parent_high,
                           Histogram *histogram) {
    float least = low[0], most = high[0];
    double narrowest = absmax_of(low[0], high[0]), widest_spread = (double)high[0] - (double)low[0];
    for (size_t i = 1; i < parts; i++) {
        double absmax = absmax_of(low[i], high[i]), spread = (double)high[i] - (double)low[i];
        if (low[i] < least) least = low[i];
        if (high[i] > most) most = high[i];
        if (absmax < narrowest) narrowest = absmax;
        if (spread > widest_spread) widest_spread = spread;
    }
    double range = absmax_of(least, most), spread = (double)most - (double)least;
    *parent_low = least;
    *parent_high = most;
    if (!isfinite(spread)) return;
    if (range > 0) histogram->bins[RULE_SHRINK][bin_of(histogram->threshold, 1 - narrowest / range)]++;
    if (spread > 0) histogram->bins[RULE_LITERAL][bin_of(histogram->threshold, widest_spread / spread)]++;
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
    for (int step = out->sizes_count - 2; step >= 0; step--) {
        size_t parts = out->sizes[step] / out->sizes[step + 1];
        memset(histogram->bins, 0, sizeof histogram->bins);
        for (size_t p = 0; p < out->parents[step]; p++) {
            merge_and_vote(minima + p * parts, maxima + p * parts, parts, low + p, high + p, histogram);
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
