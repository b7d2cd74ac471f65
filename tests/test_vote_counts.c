// FineQuant's votes: counted once for all alphas, they must be what the formula gives at each alpha.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/random.h"
#include "kernels/host/measure.h"
#include "quant/vote_counts.h"
#include "tests/support/slow_checks.h"

static void assert_ladder(size_t in, int count, const uint32_t *expected) {
    uint32_t sizes[LADDER_MAX];
    assert_int_equal(ladder_sizes(in, LADDER_FLOOR, sizes), count);
    for (int i = 0; i < count; i++) assert_int_equal(sizes[i], expected[i]);
}

static void ladders(void **state) {
    (void)state;
    assert_ladder(256, 5, (const uint32_t[]){256, 128, 64, 32, 16});
    assert_ladder(768, 6, (const uint32_t[]){768, 256, 128, 64, 32, 16});
    assert_ladder(11008, 6, (const uint32_t[]){11008, 256, 128, 64, 32, 16});
    assert_ladder(40, 1, (const uint32_t[]){40}); // 8 divides it, but that is below the floor
    assert_ladder(48, 2, (const uint32_t[]){48, 16});
    assert_ladder(16, 1, (const uint32_t[]){16});
    assert_ladder(1, 1, (const uint32_t[]){1});
    uint32_t sizes[LADDER_MAX];
    assert_int_equal(ladder_sizes((size_t)1 << 31, 16, sizes), 28 > LADDER_MAX ? LADDER_MAX : 28);
    assert_int_equal(ladder_sizes(256, 64, sizes), 3);
}

// What the formula of docs/methods.md compares with alpha, from the weights; −1 for a parent that never votes.
static void ratios_by_formula(const float *w, size_t parents, size_t size, size_t part, VoteRule rule, double *ratios) {
    for (size_t parent = 0; parent < parents; parent++) {
        double range = 0, narrowest = INFINITY, widest = 0;
        float low = INFINITY, high = -INFINITY;
        for (size_t p = 0; p < size / part; p++) {
            float least = INFINITY, most = -INFINITY;
            for (size_t j = 0; j < part; j++) {
                float x = w[parent * size + p * part + j];
                least = fminf(least, x);
                most = fmaxf(most, x);
            }
            double absmax = fmax(fabs((double)least), fabs((double)most));
            range = fmax(range, absmax);
            narrowest = fmin(narrowest, absmax);
            widest = fmax(widest, (double)most - (double)least);
            low = fminf(low, least);
            high = fmaxf(high, most);
        }
        double spread = (double)high - (double)low;
        if (rule == VOTES_SHRINK)
            ratios[parent] = range > 0 ? 1 - narrowest / range : -1;
        else
            ratios[parent] = spread > 0 ? widest / spread : -1;
    }
}

static uint64_t votes_at(const double *ratios, size_t parents, double alpha) {
    uint64_t votes = 0;
    for (size_t parent = 0; parent < parents; parent++) votes += ratios[parent] > alpha;
    return votes;
}

static VoteCounts counted(const float *w, size_t rows, size_t in) {
    size_t groups = (in + LADDER_FLOOR - 1) / LADDER_FLOOR;
    float *low = array_new(rows * groups, sizeof *low), *high = array_new(rows * groups, sizeof *high);
    group_ranges(DTYPE_F32, w, rows, in, LADDER_FLOOR, low, high);
    VoteCounts votes;
    Error err = {0};
    if (!vote_counts_build(low, high, rows, in, LADDER_FLOOR, &votes, &err)) fail_msg("%s", err.message);
    free(low);
    free(high);
    return votes;
}

static void assert_votes_follow_the_formula(const float *w, size_t rows, size_t in, int alpha_step) {
    VoteCounts votes = counted(w, rows, in);
    double *ratios = array_new(rows * in / LADDER_FLOOR + 1, sizeof *ratios);
    for (int s = 0; s + 1 < votes.sizes_count; s++) {
        const size_t parents = rows * in / votes.sizes[s];
        assert_int_equal(votes.parents[s], parents);
        for (int rule = 0; rule < 2; rule++) {
            ratios_by_formula(w, parents, votes.sizes[s], votes.sizes[s + 1], rule, ratios);
            for (int k = 0; k <= VOTE_STEPS; k += alpha_step) {
                uint64_t expected = votes_at(ratios, parents, k / 1000.0);
                uint64_t got = votes.votes[rule][(size_t)s * (VOTE_STEPS + 1) + (size_t)k];
                if (got != expected)
                    fail_msg("step %d rule %d alpha %d/1000: %d votes, not %d", s, rule, k, (int)got, (int)expected);
            }
        }
    }
    free(ratios);
    vote_counts_free(&votes);
}

static void random_matrices_vote_by_the_formula(void **state) {
    (void)state;
    static const size_t widths[] = {256, 768, 176, 48, 32, 16, 40};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        enum { ROWS = 6 };
        Random random = random_seeded(i);
        float *w = array_new(ROWS * widths[i], sizeof *w);
        for (size_t j = 0; j < ROWS * widths[i]; j++) w[j] = (float)random_normal(&random);
        assert_votes_follow_the_formula(w, ROWS, widths[i], 37);
        free(w);
    }
}

// Numbers of few bits, as 16-bit weights are: their ratios often lie on or beside a threshold. More rows than are
// counted at once.
static void coarse_weights_vote_by_the_formula(void **state) {
    (void)state;
    enum { ROWS = 40, IN = 2048 };
    static const char *const sets[] = {"scalar", "avx2"};
    const char *given = getenv("QUANTDIAL_CPU");
    float *w = array_new((size_t)ROWS * IN, sizeof *w);
    for (size_t s = 0; s < 2; s++) {
        Random random = random_seeded(s);
        if (!given) setenv("QUANTDIAL_CPU", sets[s], 1);
        for (size_t j = 0; j < (size_t)ROWS * IN; j++) {
            float value = (float)random_normal(&random) * (j % 7 ? 1 : 1e-20f);
            w[j] = s ? bf16_to_float(float_to_bf16(value)) : (float)((int)(value * 20)) / 20;
        }
        assert_votes_follow_the_formula(w, ROWS, IN, slow_checks() ? 1 : 97);
    }
    if (!given) unsetenv("QUANTDIAL_CPU");
    free(w);
}

// Statistics that fall on the thresholds exactly, where a count by multiplication would be off by one.
static void thresholds_are_exact(void **state) {
    (void)state;
    enum { IN = 32 };
    float *w = array_new((VOTE_STEPS + 1) * IN, sizeof *w);
    for (size_t row = 0; row <= VOTE_STEPS; row++) {
        w[row * IN] = 1000;
        w[row * IN + 16] = (float)(VOTE_STEPS - row);
    }
    assert_votes_follow_the_formula(w, VOTE_STEPS + 1, IN, 1);
    free(w);
}

static void zeros_and_signs(void **state) {
    (void)state;
    enum { IN = 64, ROWS = 4 };
    float w[ROWS * IN] = {0}; // row 0: zeros, which do not vote
    for (int j = 0; j < IN; j++) {
        w[IN + j] = -3; // absmax is even, max − min is 0: no vote by either rule
        w[2 * IN + j] = j < 16 ? -8 : 1;
        w[3 * IN + j] = j == 63 ? 1e-40f : 0; // subnormal, beside parts of range 0
    }
    assert_votes_follow_the_formula(w, ROWS, IN, 1);
}

static void values_that_are_not_finite_do_not_vote(void **state) {
    (void)state;
    const float low[4] = {-INFINITY, 1, NAN, 0}, high[4] = {1, INFINITY, 1, 2};
    VoteCounts votes;
    Error err = {0};
    assert_true(vote_counts_build(low, high, 2, 32, 16, &votes, &err));
    assert_int_equal(votes.votes[VOTES_SHRINK][0], 0);
    assert_true(vote_share(&votes, VOTES_LITERAL, 0, 0) <= 1); // whatever NaN compares to, nothing is out of bounds
    vote_counts_free(&votes);
}

// With range = absmax, the part that holds the maximum has ratio 1: taken literally, every group would vote at every
// alpha below 1. That is why the literal rule takes max − min, and why there is `shrink`.
static void the_literal_ratio_of_absmax_would_always_vote(void **state) {
    (void)state;
    enum { IN = 256, ROWS = 8 };
    Random random = random_seeded(5);
    float w[ROWS * IN];
    for (int i = 0; i < ROWS * IN; i++) w[i] = (float)random_normal(&random);
    int by_absmax = 0, parents = 0;
    for (int parent = 0; parent < ROWS * IN / 32; parent++) {
        double range = 0, parts[2] = {0};
        for (int j = 0; j < 32; j++) {
            double x = fabs((double)w[parent * 32 + j]);
            range = fmax(range, x);
            parts[j / 16] = fmax(parts[j / 16], x);
        }
        by_absmax += fmax(parts[0], parts[1]) / range > 0.999;
        parents++;
    }
    assert_int_equal(by_absmax, parents);
    VoteCounts votes = counted(w, ROWS, IN);
    int last = votes.sizes_count - 2;
    assert_true(vote_share(&votes, VOTES_LITERAL, last, 0.999) < 1); // max − min is split among the parts
    assert_true(vote_share(&votes, VOTES_SHRINK, last, 0.999) == 0);
    vote_counts_free(&votes);
}

static void assert_squares(const VoteCounts *counts, const float *w, size_t rows, int s) {
    double absmaxes = 0, spreads = 0;
    const size_t size = counts->sizes[s];
    for (size_t group = 0; group < rows * counts->sizes[0] / size; group++) {
        double low = 0, high = 0;
        if (isinf(w[group * size / counts->sizes[0] * counts->sizes[0]])) continue; // such a row counts as 0
        for (size_t j = 0; j < size; j++) {
            const double x = (double)w[group * size + j];
            low = fmin(low, x); // fmin and fmax pass over NaN
            high = fmax(high, x);
        }
        absmaxes += fmax(-low, high) * fmax(-low, high);
        spreads += (high - low) * (high - low);
    }
    if (fabs(counts->squares[RANGE_ABSMAX][s] - absmaxes) > 1e-12 * absmaxes ||
        fabs(counts->squares[RANGE_SPREAD][s] - spreads) > 1e-12 * spreads)
        fail_msg("groups of %zu: %g and %g, not %g and %g", size, counts->squares[RANGE_ABSMAX][s],
                 counts->squares[RANGE_SPREAD][s], absmaxes, spreads);
}

static void squares_of_ranges_are_summed(void **state) {
    (void)state;
    static const size_t widths[] = {256, 768, 4096, 32, 40};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        enum { ROWS = 40 };
        Random random = random_seeded(i);
        float *w = array_new(ROWS * widths[i], sizeof *w);
        for (size_t j = 0; j < ROWS * widths[i]; j++)
            w[j] = (float)random_normal(&random) * (i % 2 ? 1e30f : 1) + (j < widths[i] ? 5 : 0);
        for (size_t j = 0; i == 0 && j < 17; j++) w[2 * widths[i] + j] = NAN; // a group of nothing else
        if (i == 0) w[3 * widths[i]] = -INFINITY;
        VoteCounts counts = counted(w, ROWS, widths[i]);
        for (int s = 0; s < counts.sizes_count && counts.sizes_count > 1; s++) assert_squares(&counts, w, ROWS, s);
        vote_counts_free(&counts);
        free(w);
    }
}

static void shares_round_alpha_to_a_thousandth(void **state) {
    (void)state;
    uint32_t steps[VOTE_STEPS + 1] = {0};
    for (uint32_t k = 0; k <= VOTE_STEPS; k++) steps[k] = VOTE_STEPS - k;
    VoteCounts votes = {.sizes_count = 2, .sizes = {32, 16}, .parents = {1000, 2000}, .votes = {steps, steps}};
    assert_true(vote_share(&votes, VOTES_SHRINK, 0, 0.3) == 0.7);
    assert_true(vote_share(&votes, VOTES_SHRINK, 0, 0.3004) == 0.7);
    assert_true(vote_share(&votes, VOTES_SHRINK, 0, 0.2996) == 0.7);
    assert_true(vote_share(&votes, VOTES_LITERAL, 0, 0) == 1);
    assert_true(vote_share(&votes, VOTES_LITERAL, 0, 2) == 0); // beyond the ends: the ends
    assert_true(vote_share(&votes, VOTES_LITERAL, 0, -1) == 1);
    VoteCounts empty = {.sizes_count = 2, .votes = {steps, steps}};
    assert_true(vote_share(&empty, VOTES_SHRINK, 0, 0.3) == 0);
}

static void groups_without_a_ladder_are_refused(void **state) {
    (void)state;
    VoteCounts votes;
    Error err = {0};
    assert_false(vote_counts_build(NULL, NULL, 1, 0, 16, &votes, &err));
    assert_false(vote_counts_build(NULL, NULL, 1, 64, 24, &votes, &err));
    assert_false(vote_counts_build(NULL, NULL, 1, 64, 8, &votes, &err));
    assert_false(vote_counts_build(NULL, NULL, 1, 64, 0, &votes, &err));
    assert_true(vote_counts_build(NULL, NULL, 5, 40, 16, &votes, &err)); // a ladder of one size reads nothing
    assert_int_equal(votes.sizes_count, 1);
    assert_null(votes.votes[0]);
    vote_counts_free(&votes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ladders),
        cmocka_unit_test(squares_of_ranges_are_summed),
        cmocka_unit_test(random_matrices_vote_by_the_formula),
        cmocka_unit_test(coarse_weights_vote_by_the_formula),
        cmocka_unit_test(thresholds_are_exact),
        cmocka_unit_test(zeros_and_signs),
        cmocka_unit_test(values_that_are_not_finite_do_not_vote),
        cmocka_unit_test(the_literal_ratio_of_absmax_would_always_vote),
        cmocka_unit_test(shares_round_alpha_to_a_thousandth),
        cmocka_unit_test(groups_without_a_ladder_are_refused),
    };
    return cmocka_run_group_tests_name("vote_counts", tests, NULL, NULL);
}
