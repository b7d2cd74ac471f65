#include "quant/vote_counts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

#define RULES 2
#define BINS (VOTE_STEPS + 2) // bin b: parents whose statistic exceeds exactly the b smallest thresholds

typedef uint32_t Bins[RULES][BINS];

typedef struct Counting {
    const float *minima, *maxima; // [rows, groups]
    size_t rows, groups;
    const VoteCounts *ladder;
    double threshold[VOTE_STEPS + 1]; // k / 1000, as a reader of the formula computes it
    Bins *bins;                       // [steps]
} Counting;

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

// One row on one level of the ladder: the ranges of its groups, and what its parents say.
typedef struct Level {
    float *low, *high;         // [groups]
    double *statistics[RULES]; // [groups]: NaN where there is no vote
} Level;

static inline float absmax_of(float low, float high) {
    float a = fabsf(low), b = fabsf(high);
    return a > b ? a : b;
}

// Merges each `parts` children into one parent, and asks it. A loop without branches over separate arrays, so that it
// becomes vector code: the two divisions are most of the work.
static inline void merge(const float *restrict low, const float *restrict high, size_t parts, size_t parents,
                         float *restrict parent_low, float *restrict parent_high, double *restrict shrink,
                         double *restrict literal) {
    for (size_t p = 0; p < parents; p++) {
        const float *l = low + p * parts, *h = high + p * parts;
        float least = l[0], most = h[0], narrowest = absmax_of(l[0], h[0]);
        double widest = (double)h[0] - (double)l[0];
        for (size_t i = 1; i < parts; i++) {
            float absmax = absmax_of(l[i], h[i]);
            double spread = (double)h[i] - (double)l[i];
            least = l[i] < least ? l[i] : least;
            most = h[i] > most ? h[i] : most;
            narrowest = absmax < narrowest ? absmax : narrowest;
            widest = spread > widest ? spread : widest;
        }
        double range = (double)absmax_of(least, most), spread = (double)most - (double)least;
        double finite = spread - spread; // 0, or NaN where a value is not finite
        parent_low[p] = least;
        parent_high[p] = most;
        shrink[p] = 1 - (double)narrowest / range + finite; // NaN too where there is no range
        literal[p] = widest / spread + finite;
    }
}

// How many thresholds a statistic from 0 to 1 exceeds; none if it is NaN. bin / 1000 is either just below or just above
// the statistic, because multiplying and dividing round in order; comparing with the threshold itself tells which.
static inline size_t bin_of(const double *threshold, double statistic) {
    statistic = statistic > 0 ? statistic : 0;
    statistic = statistic < 1 ? statistic : 1;
    size_t bin = (size_t)(int)(statistic * VOTE_STEPS);
    return bin + (statistic > threshold[bin]);
}

static void tally(const double *threshold, const Level *level, size_t parents, Bins *bins) {
    for (int rule = 0; rule < RULES; rule++) {
        const double *statistics = level->statistics[rule];
        for (size_t p = 0; p < parents; p++) (*bins)[rule][bin_of(threshold, statistics[p])]++;
    }
}

// Climbs the ladder with one row.
static void count_row(const Counting *c, size_t row, Level levels[2], Bins *bins) {
    const float *low = c->minima + row * c->groups, *high = c->maxima + row * c->groups;
    size_t children = c->groups;
    for (int step = c->ladder->sizes_count - 2; step >= 0; step--) {
        size_t parts = c->ladder->sizes[step] / c->ladder->sizes[step + 1], parents = children / parts;
        Level *up = &levels[step & 1];
        double *shrink = up->statistics[RULE_SHRINK], *literal = up->statistics[RULE_LITERAL];
        if (parts == 2)
            merge(low, high, 2, parents, up->low, up->high, shrink, literal); // a constant is quicker
        else
            merge(low, high, parts, parents, up->low, up->high, shrink, literal);
        tally(c->threshold, up, parents, &bins[step]);
        low = up->low;
        high = up->high;
        children = parents;
    }
}

static bool level_new(size_t groups, Level *level) {
    level->low = array_new(groups, sizeof *level->low);
    level->high = array_new(groups, sizeof *level->high);
    bool ok = level->low && level->high;
    for (int rule = 0; rule < RULES; rule++) {
        level->statistics[rule] = array_new(groups, sizeof *level->statistics[rule]);
        ok = ok && level->statistics[rule];
    }
    return ok;
}

static void level_free(Level *level) {
    free(level->low);
    free(level->high);
    for (int rule = 0; rule < RULES; rule++) free(level->statistics[rule]);
}

static void add_bins(const Bins *from, size_t steps, Bins *to) {
    const uint32_t *source = &from[0][0][0];
    uint32_t *target = &to[0][0][0];
    for (size_t i = 0; i < steps * RULES * BINS; i++) target[i] += source[i];
}

static bool count_rows(Counting *c) {
    size_t steps = (size_t)c->ladder->sizes_count - 1;
    bool short_of_memory = false;
#pragma omp parallel reduction(|| : short_of_memory) if (c->rows * c->groups > 1 << 14)
    {
        Bins *bins = array_new(steps, sizeof *bins);
        Level levels[2];
        size_t parents = c->groups / 2;
        bool ready = level_new(parents, &levels[0]) & level_new(parents, &levels[1]) & (bins != NULL);
        short_of_memory = !ready;
#pragma omp for schedule(static)
        for (size_t row = 0; row < c->rows; row++) {
            if (ready) count_row(c, row, levels, bins);
        }
#pragma omp critical(votes)
        if (ready) add_bins(bins, steps, c->bins);
        free(bins);
        level_free(&levels[0]);
        level_free(&levels[1]);
    }
    return !short_of_memory;
}

// votes[k] = parents in the bins above k.
static void sum_from_above(const uint32_t *bins, uint32_t *votes) {
    uint32_t sum = 0;
    for (size_t k = VOTE_STEPS + 1; k-- > 0;) {
        sum += bins[k + 1];
        votes[k] = sum;
    }
}

static bool count_votes(Counting *c, VoteCounts *out) {
    size_t steps = (size_t)out->sizes_count - 1;
    for (int k = 0; k <= VOTE_STEPS; k++) c->threshold[k] = k / (double)VOTE_STEPS;
    c->bins = array_new(steps, sizeof *c->bins);
    bool ok = c->bins && count_rows(c);
    for (int rule = 0; ok && rule < RULES; rule++) {
        out->votes[rule] = array_new(steps * (VOTE_STEPS + 1), sizeof *out->votes[rule]);
        ok = out->votes[rule] != NULL;
        for (size_t s = 0; ok && s < steps; s++)
            sum_from_above(c->bins[s][rule], out->votes[rule] + s * (VOTE_STEPS + 1));
    }
    free(c->bins);
    return ok;
}

bool vote_counts_build(const float *minima, const float *maxima, size_t rows, size_t columns, uint32_t base_group,
                       VoteCounts *out, Error *err) {
    *out = (VoteCounts){0};
    if (columns == 0 || columns > UINT32_MAX || base_group < LADDER_FLOOR || (base_group & (base_group - 1))) {
        return error_set(err, "groups of %u among %zu columns: no ladder of group sizes", base_group, columns);
    }
    out->sizes_count = ladder_sizes(columns, base_group, out->sizes);
    for (int s = 0; s < out->sizes_count; s++) out->parents[s] = (uint64_t)rows * (columns / out->sizes[s]);
    if (out->sizes_count == 1) return true;
    Counting counting = {
        .minima = minima, .maxima = maxima, .rows = rows, .groups = columns / base_group, .ladder = out};
    if (count_votes(&counting, out)) return true;
    vote_counts_free(out);
    return error_memory(err, "the votes of a matrix");
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
