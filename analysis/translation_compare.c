// The paired bootstrap of translation_score.h.
#include <math.h>
#include <stdlib.h>

#include "analysis/translation_score.h"

// ---- numpy's random numbers ----

__extension__ typedef unsigned __int128 Uint128;

// PCG XSL RR 128/64 (O'Neill 2014), whose 64 bits numpy spends in two halves, the lower first.
typedef struct Pcg {
    Uint128 state;
    uint64_t bits;
    bool half; // the upper one is left
} Pcg;

static Uint128 uint128(uint64_t high, uint64_t low) { return (Uint128)high << 64 | low; }

// As numpy.random.PCG64(BOOTSTRAP_SEED).state says.
static Pcg pcg_seeded(void) { return (Pcg){.state = uint128(0x1905E0335AAE9634u, 0x9199B0D09775ADD5u)}; }
#define PCG_STEP uint128(0xC9C7353E6E2B1F28u, 0x7D761F2D4027FAE7u)
#define PCG_FACTOR uint128(0x2360ED051FC65DA4u, 0x4385DF649FCCF645u)

static uint32_t pcg_next(Pcg *pcg) {
    pcg->half = !pcg->half;
    if (!pcg->half) return (uint32_t)(pcg->bits >> 32);
    pcg->state = pcg->state * PCG_FACTOR + PCG_STEP;
    const uint64_t mixed = (uint64_t)(pcg->state >> 64) ^ (uint64_t)pcg->state;
    const unsigned turn = (unsigned)(pcg->state >> 122);
    pcg->bits = mixed >> turn | mixed << (-turn & 63);
    return (uint32_t)pcg->bits;
}

// Below bound, each number equally likely (Lemire 2019).
static uint32_t pcg_below(Pcg *pcg, uint32_t bound) {
    uint64_t product = (uint64_t)pcg_next(pcg) * bound;
    while ((uint32_t)product < -bound % bound) product = (uint64_t)pcg_next(pcg) * bound;
    return (uint32_t)(product >> 32);
}

// ---- Resampling ----

typedef struct Resamples {
    double scores[2][BOOTSTRAP_RESAMPLES], differences[BOOTSTRAP_RESAMPLES];
} Resamples;

static void resample(TranslationMetric metric, const TranslationCounts *counts[2], size_t sentences, Resamples *out) {
    Pcg pcg = pcg_seeded();
    for (size_t r = 0; r < BOOTSTRAP_RESAMPLES; r++) {
        TranslationCounts sums[2] = {0};
        for (size_t i = 0; i < sentences; i++) {
            const uint32_t drawn = sentences > 1 ? pcg_below(&pcg, (uint32_t)sentences) : 0;
            for (int side = 0; side < 2; side++) translation_add(&sums[side], &counts[side][drawn]);
        }
        for (int side = 0; side < 2; side++) out->scores[side][r] = translation_score(metric, &sums[side]);
        out->differences[r] = out->scores[1][r] - out->scores[0][r];
    }
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double mean_of(const double *values) {
    double sum = 0;
    for (size_t r = 0; r < BOOTSTRAP_RESAMPLES; r++) sum += values[r];
    return sum / BOOTSTRAP_RESAMPLES;
}

// The middle 95 % of them; sorts the values.
static void middle_of(double *values, double *low, double *high) {
    const size_t beyond = BOOTSTRAP_RESAMPLES / 40;
    qsort(values, BOOTSTRAP_RESAMPLES, sizeof *values, compare_doubles);
    *low = values[beyond];
    *high = values[BOOTSTRAP_RESAMPLES - 1 - beyond];
}

static double p_of(const double *differences, double difference) {
    double mean = 0;
    size_t farther = 0;
    bool any = difference != 0;
    for (size_t r = 0; r < BOOTSTRAP_RESAMPLES; r++) mean += fabs(differences[r]) / BOOTSTRAP_RESAMPLES;
    for (size_t r = 0; r < BOOTSTRAP_RESAMPLES; r++) {
        farther += fabs(differences[r]) - mean > fabs(difference);
        any |= differences[r] != 0;
    }
    return any ? (double)(farther + 1) / (BOOTSTRAP_RESAMPLES + 1) : NAN;
}

static double score_of(TranslationMetric metric, const TranslationCounts *counts, size_t sentences) {
    TranslationCounts sum = {0};
    for (size_t i = 0; i < sentences; i++) translation_add(&sum, &counts[i]);
    return translation_score(metric, &sum);
}

bool translation_compare(TranslationMetric metric, const TranslationCounts *counts[2], size_t sentences,
                         TranslationComparison *out, Error *err) {
    Resamples *resamples = array_new(1, sizeof *resamples);
    if (!resamples) return error_memory(err, "resamples");
    *out = (TranslationComparison){0};
    resample(metric, counts, sentences, resamples);
    for (int side = 0; side < 2; side++) {
        double low, high;
        out->score[side] = score_of(metric, counts[side], sentences);
        out->mean[side] = mean_of(resamples->scores[side]);
        middle_of(resamples->scores[side], &low, &high);
        out->half[side] = (high - low) / 2;
    }
    out->difference = out->score[1] - out->score[0];
    out->p = p_of(resamples->differences, out->difference);
    middle_of(resamples->differences, &out->low, &out->high);
    free(resamples);
    return true;
}
