#include "quant/vote_counts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernels/host/kernels.h"

#define BINS (VOTE_STEPS + 2) // bin b: parents whose statistic exceeds exactly the b smallest thresholds

typedef uint32_t Bins[VOTE_RULES][BINS];

// One level of the ladder: the ranges of some rows' groups, and what their parents say.
typedef struct Level {
    float *low, *high;        // [BATCH / 2]
    int32_t *bin[VOTE_RULES]; // [BATCH / 2]: −1 where it has to be looked at more closely
} Level;

struct VoteTally {
    int sizes_count;
    uint32_t sizes[LADDER_MAX];
    uint64_t rows, columns, groups;   // groups: per row
    uint64_t rows_at_once;            // whose groups lie in the cache on all levels
    double threshold[VOTE_STEPS + 1]; // k / 1000, as a reader of the formula computes it
    Level levels[2];
    Bins *bins; // [steps]
};

#define BATCH ((size_t)4096) // groups

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

size_t vote_tally_squares(const VoteTally *t) { return RANGE_KINDS * (size_t)t->sizes_count; }

static inline float absmax_of(float low, float high) {
    float a = fabsf(low), b = fabsf(high);
    return a > b ? a : b;
}

// How many thresholds a statistic from 0 to 1 exceeds; none if it is NaN. bin / 1000 is either just below or just above
// the statistic, because multiplying and dividing round in order; comparing with the threshold itself tells which.
static size_t bin_of(const double *threshold, double statistic) {
    statistic = statistic > 0 ? statistic : 0;
    statistic = statistic < 1 ? statistic : 1;
    size_t bin = (size_t)(int)(statistic * VOTE_STEPS);
    return bin + (statistic > threshold[bin]);
}

// What one parent of these children says, by the formula.
static void ask_parent(const double *threshold, const float *low, const float *high, size_t parts,
                       size_t bins[VOTE_RULES]) {
    float least = low[0], most = high[0], narrowest = absmax_of(low[0], high[0]);
    double widest = (double)high[0] - (double)low[0];
    for (size_t i = 1; i < parts; i++) {
        float absmax = absmax_of(low[i], high[i]);
        double spread = (double)high[i] - (double)low[i];
        least = low[i] < least ? low[i] : least;
        most = high[i] > most ? high[i] : most;
        narrowest = absmax < narrowest ? absmax : narrowest;
        widest = spread > widest ? spread : widest;
    }
    double range = (double)absmax_of(least, most), spread = (double)most - (double)least;
    double finite = spread - spread; // 0, or NaN where a value is not finite
    bins[VOTES_SHRINK] = bin_of(threshold, 1 - (double)narrowest / range + finite); // NaN too where there is no range
    bins[VOTES_LITERAL] = bin_of(threshold, widest / spread + finite);
}

// The usual step: two children each. Float arithmetic answers for nearly all of them.
static void tally_halves(const VoteTally *t, const float *low, const float *high, size_t parents, Level *up,
                         Bins *bins) {
    const ScanKernels *scan = host_kernels()->scan;
    const int32_t *shrink = up->bin[VOTES_SHRINK], *literal = up->bin[VOTES_LITERAL];
    scan->merge_pairs(low, high, parents, VOTE_STEPS, up->low, up->high, up->bin[VOTES_SHRINK], up->bin[VOTES_LITERAL]);
    for (size_t p = 0; p < parents; p++) {
        if (shrink[p] >= 0 && literal[p] >= 0) {
            (*bins)[VOTES_SHRINK][shrink[p]]++;
            (*bins)[VOTES_LITERAL][literal[p]]++;
        } else {
            size_t exact[VOTE_RULES];
            ask_parent(t->threshold, low + 2 * p, high + 2 * p, 2, exact);
            for (int rule = 0; rule < VOTE_RULES; rule++) (*bins)[rule][exact[rule]]++;
        }
    }
}

static void tally_parts(const VoteTally *t, const float *low, const float *high, size_t parts, size_t parents,
                        Level *up, Bins *bins) {
    for (size_t p = 0; p < parents; p++) {
        size_t exact[VOTE_RULES];
        float least = low[p * parts], most = high[p * parts];
        for (size_t i = 1; i < parts; i++) {
            least = low[p * parts + i] < least ? low[p * parts + i] : least;
            most = high[p * parts + i] > most ? high[p * parts + i] : most;
        }
        up->low[p] = least;
        up->high[p] = most;
        ask_parent(t->threshold, low + p * parts, high + p * parts, parts, exact);
        for (int rule = 0; rule < VOTE_RULES; rule++) (*bins)[rule][exact[rule]]++;
    }
}

// Each row has a sum of its own, so that it does not matter how rows are divided among threads.
static void square_rows(const VoteTally *t, int s, const float *low, const float *high, size_t rows, double *squares) {
    const ScanKernels *scan = host_kernels()->scan;
    const size_t groups = t->columns / t->sizes[s];
    for (size_t row = 0; row < rows; row++, squares += vote_tally_squares(t))
        scan->squares(low + row * groups, high + row * groups, groups, squares + s, squares + t->sizes_count + s);
}

// Climbs the ladder with some rows. Groups lie row after row and a parent's children side by side, so it does not
// matter where a row ends.
static void tally_climb(VoteTally *t, const float *low, const float *high, size_t rows, double *squares) {
    size_t children = rows * t->groups;
    square_rows(t, t->sizes_count - 1, low, high, rows, squares);
    for (int step = t->sizes_count - 2; step >= 0; step--) {
        size_t parts = t->sizes[step] / t->sizes[step + 1], parents = children / parts;
        Level *up = &t->levels[step & 1];
        if (parts == 2)
            tally_halves(t, low, high, parents, up, &t->bins[step]);
        else
            tally_parts(t, low, high, parts, parents, up, &t->bins[step]);
        square_rows(t, step, up->low, up->high, rows, squares);
        low = up->low;
        high = up->high;
        children = parents;
    }
}

static bool level_new(size_t parents, Level *level) {
    level->low = array_new(parents, sizeof *level->low);
    level->high = array_new(parents, sizeof *level->high);
    for (int rule = 0; rule < VOTE_RULES; rule++) level->bin[rule] = array_new(parents, sizeof *level->bin[rule]);
    return level->low && level->high && level->bin[VOTES_SHRINK] && level->bin[VOTES_LITERAL];
}

static void level_free(Level *level) {
    free(level->low);
    free(level->high);
    for (int rule = 0; rule < VOTE_RULES; rule++) free(level->bin[rule]);
}

bool vote_tally_new(size_t columns, uint32_t base_group, VoteTally **out, Error *err) {
    *out = NULL;
    if (columns == 0 || columns > UINT32_MAX || base_group < LADDER_FLOOR || (base_group & (base_group - 1))) {
        return error_set(err, "groups of %u among %zu columns: no ladder of group sizes", base_group, columns);
    }
    VoteTally *t = array_new(1, sizeof *t);
    if (!t) return error_memory(err, "the votes of a matrix");
    t->sizes_count = ladder_sizes(columns, base_group, t->sizes);
    t->columns = columns;
    t->groups = columns / base_group;
    t->rows_at_once = t->groups < BATCH ? BATCH / (t->groups + !t->groups) : 1;
    for (int k = 0; k <= VOTE_STEPS; k++) t->threshold[k] = k / (double)VOTE_STEPS;
    size_t parents = t->rows_at_once * t->groups / 2;
    t->bins = array_new((size_t)t->sizes_count, sizeof *t->bins);
    if (!t->bins || (t->sizes_count > 1 && !(level_new(parents, &t->levels[0]) && level_new(parents, &t->levels[1])))) {
        vote_tally_free(t);
        return error_memory(err, "the votes of a matrix");
    }
    *out = t;
    return true;
}

void vote_tally_free(VoteTally *t) {
    if (!t) return;
    for (int i = 0; i < 2; i++) level_free(&t->levels[i]);
    free(t->bins);
    free(t);
}

void vote_tally_add(VoteTally *t, const float *minima, const float *maxima, size_t rows, double *squares) {
    t->rows += rows;
    for (size_t row = 0; row < rows && t->sizes_count > 1; row += t->rows_at_once) {
        size_t at_once = rows - row < t->rows_at_once ? rows - row : t->rows_at_once;
        tally_climb(t, minima + row * t->groups, maxima + row * t->groups, at_once,
                    squares + row * vote_tally_squares(t));
    }
}

void vote_tally_merge(VoteTally *sum, const VoteTally *more) {
    sum->rows += more->rows;
    const uint32_t *source = &more->bins[0][0][0];
    uint32_t *target = &sum->bins[0][0][0];
    for (size_t i = 0; i < (size_t)sum->sizes_count * VOTE_RULES * BINS; i++) target[i] += source[i];
}

// votes[k] = parents in the bins above k.
static void sum_from_above(const uint32_t *bins, uint32_t *votes) {
    uint32_t sum = 0;
    for (size_t k = VOTE_STEPS + 1; k-- > 0;) {
        sum += bins[k + 1];
        votes[k] = sum;
    }
}

static void sum_squares(const VoteTally *t, const double *squares, VoteCounts *out) {
    for (uint64_t row = 0; row < t->rows && t->sizes_count > 1; row++) {
        for (int kind = 0; kind < RANGE_KINDS; kind++) {
            for (int s = 0; s < t->sizes_count; s++, squares++)
                out->squares[kind][s] += isfinite(*squares) ? *squares : 0;
        }
    }
}

bool vote_tally_counts(const VoteTally *t, const double *squares, VoteCounts *out, Error *err) {
    size_t steps = (size_t)t->sizes_count - 1;
    *out = (VoteCounts){.sizes_count = t->sizes_count};
    for (int s = 0; s < t->sizes_count; s++) {
        out->sizes[s] = t->sizes[s];
        out->parents[s] = t->rows * (t->columns / t->sizes[s]);
    }
    sum_squares(t, squares, out);
    for (int rule = 0; steps && rule < VOTE_RULES; rule++) {
        out->votes[rule] = array_new(steps * (VOTE_STEPS + 1), sizeof *out->votes[rule]);
        if (!out->votes[rule]) {
            vote_counts_free(out);
            return error_memory(err, "the votes of a matrix");
        }
        for (size_t s = 0; s < steps; s++) sum_from_above(t->bins[s][rule], out->votes[rule] + s * (VOTE_STEPS + 1));
    }
    return true;
}

bool vote_counts_build(const float *minima, const float *maxima, size_t rows, size_t columns, uint32_t base_group,
                       VoteCounts *out, Error *err) {
    VoteTally *tally;
    *out = (VoteCounts){0};
    if (!vote_tally_new(columns, base_group, &tally, err)) return false;
    double *squares = array_new(rows * vote_tally_squares(tally), sizeof *squares);
    bool ok = squares || error_memory(err, "the votes of a matrix");
    if (ok) vote_tally_add(tally, minima, maxima, rows, squares);
    ok = ok && vote_tally_counts(tally, squares, out, err);
    free(squares);
    vote_tally_free(tally);
    return ok;
}

void vote_counts_free(VoteCounts *counts) {
    free(counts->votes[0]);
    free(counts->votes[1]);
    *counts = (VoteCounts){0};
}

double vote_share(const VoteCounts *counts, VoteRule rule, int step, double alpha) {
    size_t k = (size_t)lround(fmin(fmax(alpha, 0), 1) * VOTE_STEPS);
    uint32_t votes = counts->votes[rule][(size_t)step * (VOTE_STEPS + 1) + k];
    return counts->parents[step] ? (double)votes / (double)counts->parents[step] : 0;
}
