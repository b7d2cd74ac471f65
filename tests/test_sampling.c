// Choosing a token from logits: by its definition in double, by frequencies, and where numbers end.
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/sampling.h"
#include "tests/support/cpu_sets.h"

// No set of kernels takes part: only the number of threads could matter.
static void for_threads(void (*body)(Backend *)) {
    for (int threads = 1; threads <= 3; threads += 2) {
        Backend *b;
        assert_true(backend_cpu_new(threads, &b, NULL));
        random_state = random_seeded(7);
        body(b);
        b->ops->destroy(b);
    }
}

typedef struct Chosen {
    int32_t id;
    float probability;
} Chosen;

static Chosen chosen(Backend *b, const float *logits, size_t vocab, float temperature, float top_p, double point) {
    Chosen c = {-1, -1};
    b->ops->choose(b, logits, 1, vocab, &(Draw){temperature, top_p, &point}, &c.id, &c.probability);
    assert_in_range(c.id, 0, vocab - 1);
    return c;
}

// ---- The arithmetic ----

static void weights_are_powers_of_two(void **state) {
    (void)state;
    for (uint32_t distance = 0; distance <= DISTANCE_FAR; distance += thorough ? 997 : 9973) {
        const double expected = exp2(WEIGHT_BITS - distance * 0x1p-24), own = (double)weight_of(distance);
        assert_true(fabs(own - expected) <= 1 + 2e-7 * expected);
    }
    assert_true(weight_of(0) == (uint64_t)1 << WEIGHT_BITS);
    assert_true(weight_of(DISTANCE_FAR - 1) == 0 && weight_of(DISTANCE_FAR) == 0);
}

static void distances_are_octaves(void **state) {
    (void)state;
    float logits[] = {3, 2.5f, 3, -7, nextafterf(3, 0), -INFINITY, NAN, -FLT_MAX};
    LogitRow row = {logits, 8, 3, distance_scale(0.5f)};
    const double octave = 16777216, log2e = 1.4426950408889634;
    assert_int_equal(distance_of(&row, logits[0]), 0);
    assert_int_equal(distance_of(&row, logits[2]), 0);
    assert_true(fabs(distance_of(&row, logits[1]) - log2e * octave) < 3);
    assert_true(fabs(distance_of(&row, logits[3]) / (20 * log2e * octave) - 1) < 2e-7);
    for (int i = 5; i < 8; i++) assert_int_equal(distance_of(&row, logits[i]), DISTANCE_FAR);
    row.scale = distance_scale(1e30f); // what is less probable is farther, however little
    assert_int_equal(distance_of(&row, logits[4]), 1);
    row.scale = distance_scale(1e-45f); // infinite
    assert_int_equal(distance_of(&row, logits[0]), 0);
    assert_int_equal(distance_of(&row, logits[4]), DISTANCE_FAR);
}

static void places_stay_within(void **state) {
    (void)state;
    static const uint64_t masses[] = {1, 2, 3, ((uint64_t)1 << 53) + 3, ((uint64_t)1 << 62) - 1, (uint64_t)1 << 62};
    for (size_t i = 0; i < sizeof masses / sizeof *masses; i++) {
        assert_true(place_at(0, masses[i]) == 0 && place_at(-1, masses[i]) == 0 && place_at(NAN, masses[i]) == 0);
        assert_true(place_at(1 - 0x1p-53, masses[i]) < masses[i]);
        assert_true(place_at(1, masses[i]) == masses[i] - 1 && place_at(INFINITY, masses[i]) == masses[i] - 1);
    }
    assert_true(place_at(0.5, 7) == 3);
}

// ---- By definition, in double ----

typedef struct Reference {
    double *weights;  // [vocab]: exp((logit − largest) / temperature)
    double mass, all; // of the nucleus at the temperature; of all at temperature 1
    bool *kept;       // [vocab]: in the nucleus
    int32_t last;     // of it
} Reference;

static const double *sorted_by;

static int more_probable_first(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (sorted_by[x] != sorted_by[y]) return sorted_by[x] > sorted_by[y] ? -1 : 1;
    return (x > y) - (x < y);
}

static Reference reference_of(const float *logits, size_t vocab, float temperature, float top_p) {
    Reference r = {.weights = array_new(vocab, sizeof *r.weights), .kept = array_new(vocab, sizeof *r.kept)};
    int32_t *ids = array_new(vocab, sizeof *ids);
    double largest = -INFINITY, mass = 0;
    assert_true(r.weights && r.kept && ids);
    for (size_t i = 0; i < vocab; i++) largest = fmax(largest, (double)logits[i]);
    for (size_t i = 0; i < vocab; i++) {
        r.weights[i] = exp(((double)logits[i] - largest) / (double)temperature);
        r.all += exp((double)logits[i] - largest);
        ids[i] = (int32_t)i;
        mass += r.weights[i];
    }
    sorted_by = r.weights;
    qsort(ids, vocab, sizeof *ids, more_probable_first);
    for (size_t n = 0; n == 0 || (n < vocab && r.mass < (double)top_p * mass); n++) {
        r.last = ids[n];
        r.kept[r.last] = true;
        r.mass += r.weights[r.last];
    }
    free(ids);
    return r;
}

// The place of the point must be the token's, but for what rounding moves: sums by 1e-5, and the nucleus by its last
// token.
static void compare_with_reference(const float *logits, size_t vocab, float temperature, float top_p, double point,
                                   Chosen c) {
    Reference r = reference_of(logits, vocab, temperature, top_p);
    const double last = r.weights[r.last], slack = 1e-5 + 2 * last / r.mass, own = r.weights[c.id];
    double before = 0, largest = 0;
    for (size_t i = 0; i < vocab; i++) largest = r.weights[i] == 1 ? (double)logits[i] : largest;
    for (int32_t i = 0; i < c.id; i++) before += r.kept[i] ? r.weights[i] : 0;
    if (!(own >= last * (1 - 1e-5) && before / r.mass <= point + slack && (before + own) / r.mass >= point - slack))
        fail_msg("%zu logits, temperature %g, top_p %g, point %g: %d is wrong", vocab, (double)temperature,
                 (double)top_p, point, (int)c.id);
    const double expected = exp((double)logits[c.id] - largest) / r.all;
    assert_true(fabs((double)c.probability - expected) <= 1e-6 * expected);
    free(r.weights), free(r.kept);
}

static void definition_case(Backend *b) {
    static const float temperatures[] = {0.7f, 1, 0.05f, 2, 30, 1e-3f}, top_ps[] = {1, 0.9f, 0.5f, 0.99f, 0.1f, 0.999f};
    for (size_t i = 0; i < (thorough ? 120 : 12); i++) {
        const size_t vocab = 1 + random_below(&random_state, i % 5 ? 300 : 5000);
        const float temperature = temperatures[i % 6], top_p = top_ps[i / 6 % 6];
        const double point = random_uniform(&random_state);
        float *logits = normal_floats(vocab, i % 7 ? 3 : 0.2);
        for (size_t k = 0; k < vocab; k++) // ties
            if (i % 3 == 0) logits[k] = rintf(logits[k]);
        Chosen c = chosen(b, logits, vocab, temperature, top_p, point);
        compare_with_reference(logits, vocab, temperature, top_p, point, c);
        free(logits);
    }
}

static void it_follows_its_definition(void **state) {
    (void)state;
    for_threads(definition_case);
}

// A place ends where the next one begins: equal weights to the last bit, others within the rounding of weights.
static void boundaries_are_exact(void **state) {
    (void)state;
    Backend *b;
    const float equal[] = {2, 2, 2, 2}, two[] = {0, 1};
    assert_true(backend_cpu_new(1, &b, NULL));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(chosen(b, equal, 4, 1, 1, i / 4.0).id, i);
        assert_int_equal(chosen(b, equal, 4, 1, 1, nextafter((i + 1) / 4.0, 0)).id, i);
    }
    const double edge = 1 / (1 + exp(1)); // the end of the first of two
    assert_int_equal(chosen(b, two, 2, 1, 1, edge - 1e-6).id, 0);
    assert_int_equal(chosen(b, two, 2, 1, 1, edge + 1e-6).id, 1);
    const float whole = (float)(exp(1) * edge); // what the likelier one has
    assert_int_equal(chosen(b, two, 2, 1, whole - 1e-6f, 0).id, 1);
    assert_int_equal(chosen(b, two, 2, 1, whole + 1e-6f, 0).id, 0);
    b->ops->destroy(b);
}

// ---- Frequencies ----

// Four standard errors of a share, and a bit: 0.015 of 20,000 draws.
static int draws(void) { return thorough ? 20000 : 2000; }
static double share_slack(void) { return 2.12 / sqrt(draws()); }

static void shares_of(Backend *b, const float *logits, size_t vocab, float temperature, float top_p, double *shares) {
    memset(shares, 0, vocab * sizeof *shares);
    for (int i = 0; i < draws(); i++)
        shares[chosen(b, logits, vocab, temperature, top_p, random_uniform(&random_state)).id] += 1.0 / draws();
}

static void temperature_case(Backend *b) {
    const float logits[] = {2, 0, 1, -3}, temperatures[] = {0.5f, 1, 2};
    for (int i = 0; i < 3; i++) {
        double shares[4], sum = 0;
        shares_of(b, logits, 4, temperatures[i], 1, shares);
        for (int k = 0; k < 4; k++) sum += exp((double)(logits[k] / temperatures[i]));
        for (int k = 0; k < 4; k++)
            assert_float_equal(shares[k], exp((double)(logits[k] / temperatures[i])) / sum, share_slack());
    }
}

static void temperature_follows_the_softmax(void **state) {
    (void)state;
    for_threads(temperature_case);
}

static void top_p_case(Backend *b) {
    const float logits[] = {logf(0.1f), logf(0.4f), logf(0.05f), logf(0.3f), logf(0.15f)};
    double shares[5];
    shares_of(b, logits, 5, 1, 0.65f, shares); // 0.4 + 0.3
    assert_float_equal(shares[1], 4.0 / 7, share_slack());
    assert_float_equal(shares[3], 3.0 / 7, share_slack());
    shares_of(b, logits, 5, 1, 0.75f, shares); // and 0.15
    assert_float_equal(shares[4], 0.15 / 0.85, share_slack());
    assert_float_equal(shares[0] + shares[2], 0, 0);
    shares_of(b, logits, 5, 1, 0, shares); // always at least one
    assert_float_equal(shares[1], 1, 1e-9);
    const float equal[] = {1, 1, 1, 1};
    shares_of(b, equal, 4, 1, 0.5f, shares); // of equal ones the lowest ids
    assert_float_equal(shares[0] + shares[1], 1, 1e-9);
}

static void top_p_keeps_the_fewest_that_reach_it(void **state) {
    (void)state;
    for_threads(top_p_case);
}

// ---- Where numbers end ----

static void greedy_case(Backend *b) {
    const float logits[] = {-1, 3, 0, 3, 2};
    const double sum = exp(-4) + 1 + exp(-3) + 1 + exp(-1);
    const float temperatures[] = {0, -1, NAN};
    for (int i = 0; i < 3; i++) {
        Chosen c = chosen(b, logits, 5, temperatures[i], 1, 0.99);
        assert_int_equal(c.id, 1);
        assert_float_equal(c.probability, 1 / sum, 1e-6);
    }
    int32_t id;
    float probability;
    b->ops->choose(b, logits, 1, 5, &(Draw){0}, &id, &probability); // no points
    assert_int_equal(id, 1);
    const float large[] = {1e30f, -1e30f, 0};
    assert_int_equal(chosen(b, large, 3, 0, 1, 0).id, 0);
    assert_float_equal(chosen(b, large, 3, 0, 1, 0).probability, 1, 0);
}

static void greedy_takes_the_first_largest(void **state) {
    (void)state;
    for_threads(greedy_case);
}

static void extremes_case(Backend *b) {
    const float logits[] = {5, 9, 9, -3, 8.999f};
    for (int i = 0; i < 20; i++) {
        const double point = (i + 0.5) / 20;
        assert_int_equal(chosen(b, logits, 5, 1e-45f, 1, point).id, 1 + i / 10); // the two largest
        assert_int_equal(chosen(b, logits, 5, 1e-45f, 0.5f, point).id, 1);
        assert_int_equal(chosen(b, logits, 5, INFINITY, 1, point).id, i / 4);
        assert_int_equal(chosen(b, logits, 5, 1e30f, 0, point).id, 1);
        assert_int_equal(chosen(b, logits, 5, 1, -1, point).id, 1);
        assert_int_equal(chosen(b, logits, 1, 1, 0.5f, point).id, 0);
        assert_int_equal(chosen(b, logits, 5, 1, 2, point).id, chosen(b, logits, 5, 1, 1, point).id);
    }
    assert_int_equal(chosen(b, logits, 5, 1e-45f, 1, 0.6).id, 2);
    assert_float_equal(chosen(b, logits, 1, 1, 1, 0.3).probability, 1, 0);
}

static void temperatures_and_shares_may_be_extreme(void **state) {
    (void)state;
    for_threads(extremes_case);
}

static void bad_logits_case(Backend *b) {
    const float none[] = {NAN, NAN, NAN}, lowest[] = {NAN, -INFINITY, -INFINITY}, holes[] = {NAN, 1, NAN, -INFINITY, 1},
                highest[] = {3, INFINITY, NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 8; i++) {
        const float temperature = i % 2 ? 0.8f : 0, top_p = i % 4 < 2 ? 1 : 0.4f;
        const double point = i < 4 ? 0.2 : 0.9;
        const bool second = i % 2 && i >= 4 && top_p == 1; // of two equal ones
        assert_int_equal(chosen(b, none, 3, temperature, top_p, point).id, 0);
        assert_true(isnan(chosen(b, none, 3, temperature, top_p, point).probability));
        assert_int_equal(chosen(b, lowest, 3, temperature, top_p, point).id, second ? 2 : 1);
        assert_int_equal(chosen(b, holes, 5, temperature, top_p, point).id, second ? 4 : 1);
        assert_float_equal(chosen(b, holes, 5, temperature, top_p, point).probability, 0.5, 0);
        assert_int_equal(chosen(b, highest, 5, temperature, top_p, point).id, second ? 3 : 1);
        assert_float_equal(chosen(b, highest, 5, temperature, top_p, point).probability, 0.5, 0);
    }
}

static void what_is_no_number_is_never_chosen(void **state) {
    (void)state;
    for_threads(bad_logits_case);
}

static void rows_case(Backend *b) {
    enum { ROWS = 6, VOCAB = 900 };
    float *logits = normal_floats(ROWS * VOCAB, 2), probabilities[ROWS];
    double points[ROWS];
    int32_t ids[ROWS];
    for (int r = 0; r < ROWS; r++) points[r] = random_uniform(&random_state);
    b->ops->choose(b, logits, ROWS, VOCAB, &(Draw){0.9f, 0.8f, points}, ids, probabilities);
    for (int r = 0; r < ROWS; r++) {
        Chosen c = chosen(b, logits + r * VOCAB, VOCAB, 0.9f, 0.8f, points[r]);
        assert_int_equal(ids[r], c.id);
        assert_float_equal(probabilities[r], c.probability, 0);
    }
    free(logits);
}

static void rows_have_points_of_their_own(void **state) {
    (void)state;
    for_threads(rows_case);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_powers_of_two),
        cmocka_unit_test(distances_are_octaves),
        cmocka_unit_test(places_stay_within),
        cmocka_unit_test(it_follows_its_definition),
        cmocka_unit_test(boundaries_are_exact),
        cmocka_unit_test(temperature_follows_the_softmax),
        cmocka_unit_test(top_p_keeps_the_fewest_that_reach_it),
        cmocka_unit_test(greedy_takes_the_first_largest),
        cmocka_unit_test(temperatures_and_shares_may_be_extreme),
        cmocka_unit_test(what_is_no_number_is_never_chosen),
        cmocka_unit_test(rows_have_points_of_their_own),
    };
    cpu_sets_begin();
    return cpu_sets_end(cmocka_run_group_tests(tests, NULL, NULL));
}
