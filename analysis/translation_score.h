// How near translations are to references: BLEU and chrF as sacrebleu 2.6 computes them by default (BLEU: Papineni et
// al. 2002, tokenization 13a, exponential smoothing; chrF2: Popović 2015, characters without white space), and how sure
// a difference of two models is (paired bootstrap: Koehn 2004).
#pragma once

#include <stdint.h>

#include "base/array.h"

#define BLEU_ORDERS 4
#define CHRF_ORDERS 6

// n-grams of a translation, of its reference, and in both.
typedef struct NgramCounts {
    uint64_t translation, reference, common;
} NgramCounts;

// What both metrics need to know of one translation or, added up, of many. Of several references: for BLEU the length
// that is nearest to the translation's, the shorter of two, and the most that any has of an n-gram; for chrF that with
// the highest score, the first of equal ones.
typedef struct TranslationCounts {
    uint64_t words, reference_words;
    NgramCounts bleu[BLEU_ORDERS]; // without .reference
    NgramCounts chrf[CHRF_ORDERS];
} TranslationCounts;

// references: one or more; none of the texts need be there (length 0).
bool translation_count(const Text *translation, const Text *references, size_t count, TranslationCounts *out,
                       Error *err);
void translation_add(TranslationCounts *sum, const TranslationCounts *more);

typedef enum TranslationMetric { METRIC_BLEU, METRIC_CHRF, METRICS } TranslationMetric;

typedef struct Bleu {
    double score; // 0 … 100
    double precisions[BLEU_ORDERS], brevity_penalty;
} Bleu;

Bleu translation_bleu(const TranslationCounts *sum);
double translation_chrf(const TranslationCounts *sum); // 0 … 100
double translation_score(TranslationMetric metric, const TranslationCounts *sum);

// Of the same sentences, translated by two models [0] and [1].
typedef struct TranslationComparison {
    double score[2];
    double mean[2], half[2];      // over the resamples: mean, half of the width of the middle 95 %
    double difference, low, high; // score[1] − score[0]; the middle 95 % of it over the resamples
    double p;                     // that so large a difference comes by chance; NAN where there is none at all
} TranslationComparison;

// What sacrebleu --paired-bs does: 1,000 times as many sentences are drawn, by the same random numbers as there with
// its default seed (numpy's PCG64 of 12345), so that both draw the same sentences. p is the share of resamples in which
// the difference is farther from its mean than it is from 0 in truth. counts: [sentences] each.
#define BOOTSTRAP_RESAMPLES 1000
#define BOOTSTRAP_SEED 12345
bool translation_compare(TranslationMetric metric, const TranslationCounts *counts[2], size_t sentences,
                         TranslationComparison *out, Error *err);

// What was computed, as sacrebleu writes it: "nrefs:1|bs:1000|seed:12345|case:mixed|…". references: how many each
// sentence has, 0: not all as many.
void translation_signature(TranslationMetric metric, size_t references, char *out, size_t size);
