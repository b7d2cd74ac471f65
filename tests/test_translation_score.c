// BLEU, chrF and the paired bootstrap against sacrebleu (tools/reference/make_translation_fixtures.py).
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/translation_score.h"
#include "base/file.h"
#include "base/json.h"
#include "tests/support/quant_fixtures.h"
#include "tests/support/slow_checks.h"

#define FOLDER "tests/fixtures/translation/"
enum { PAIRS = 1000, MOST_REFERENCES = 3 };

typedef struct Pair {
    Text translations[2], references[MOST_REFERENCES];
    size_t count;
} Pair;

static Pair pairs[PAIRS];
static cJSON *expected;

static void take_pair(const cJSON *line, Pair *out) {
    const cJSON *references = cJSON_GetObjectItemCaseSensitive(line, "references"), *reference;
    for (int side = 0; side < 2; side++)
        json_bytes(cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(line, "translations"), side)->valuestring,
                   &out->translations[side]);
    cJSON_ArrayForEach(reference, references) {
        assert_true(out->count < MOST_REFERENCES);
        json_bytes(reference->valuestring, &out->references[out->count++]);
    }
}

static int setup(void **state) {
    (void)state;
    char *data, *line;
    size_t size, count = 0;
    expected = fixture_json(FOLDER "expected.json");
    if (!file_read(FOLDER "pairs.jsonl", 1 << 24, &data, &size, NULL)) return 1;
    for (line = data; *line && count < PAIRS; count++) {
        const size_t length = strcspn(line, "\n");
        cJSON *object = json_parse(line, length, NULL);
        if (!object) return 1;
        take_pair(object, &pairs[count]);
        cJSON_Delete(object);
        line += length + 1;
    }
    free(data);
    return count != PAIRS;
}

static int teardown(void **state) {
    (void)state;
    for (size_t i = 0; i < PAIRS; i++) {
        for (int side = 0; side < 2; side++) text_free(&pairs[i].translations[side]);
        for (size_t r = 0; r < pairs[i].count; r++) text_free(&pairs[i].references[r]);
    }
    cJSON_Delete(expected);
    return 0;
}

static TranslationCounts count_of(const Pair *pair, int side, size_t references) {
    TranslationCounts counts;
    Error err = {0};
    if (!translation_count(&pair->translations[side], pair->references, references, &counts, &err))
        fail_msg("%s", err.message);
    return counts;
}

static double item(const cJSON *list, int index) { return cJSON_GetArrayItem(list, index)->valuedouble; }
static double part(const cJSON *object, const char *key, int index) {
    return item(cJSON_GetObjectItemCaseSensitive(object, key), index);
}

static void expect_near(const char *what, double found, double wanted, double most) {
    if (!(fabs(found - wanted) <= most)) fail_msg("%s: %.12g, not %.12g", what, found, wanted);
}

// sacrebleu resamples in float.
static void check_comparison(const char *key, size_t count, size_t references) {
    static const char *const names[METRICS] = {"bleu", "chrf"};
    TranslationCounts *counts[2] = {calloc(count, sizeof *counts[0]), calloc(count, sizeof *counts[1])};
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < count; i++)
            counts[side][i] = count_of(&pairs[i], side, references < pairs[i].count ? references : pairs[i].count);
    for (int metric = 0; metric < METRICS; metric++) {
        const cJSON *wanted =
            cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(expected, key), names[metric]);
        TranslationComparison found;
        assert_true(translation_compare((TranslationMetric)metric, (const TranslationCounts *[2]){counts[0], counts[1]},
                                        count, &found, NULL));
        for (int side = 0; side < 2; side++) {
            expect_near(key, found.score[side], part(wanted, "score", side), 1e-10);
            expect_near(key, found.mean[side], part(wanted, "mean", side), 1e-4);
            expect_near(key, found.half[side], part(wanted, "half", side), 1e-4);
        }
        expect_near("p", found.p, fixture_number(wanted, "p"), 1e-12);
        assert_true(found.difference == found.score[1] - found.score[0]);
        assert_true(found.low < found.high);
    }
    free(counts[0]);
    free(counts[1]);
}

static void a_thousand_pairs_score_as_in_sacrebleu(void **state) {
    (void)state;
    check_comparison("few", 7, 1);
    if (slow_checks()) check_comparison("one", PAIRS, 1);
}

static void several_references_count_as_in_sacrebleu(void **state) {
    (void)state;
    if (slow_checks()) check_comparison("several", PAIRS, MOST_REFERENCES);
    const cJSON *sentences = cJSON_GetObjectItemCaseSensitive(expected, "sentences");
    for (int i = 0; i < PAIRS; i += slow_checks() ? 1 : 10) {
        const TranslationCounts counts = count_of(&pairs[i], 0, pairs[i].count);
        const cJSON *wanted = cJSON_GetArrayItem(sentences, i);
        char what[40];
        snprintf(what, sizeof what, "line %d", i + 1);
        expect_near(what, translation_bleu(&counts).score, item(wanted, 0), 1e-6);
        expect_near(what, translation_chrf(&counts), item(wanted, 1), 1e-6);
    }
}

static void precisions_and_brevity_penalty(void **state) {
    (void)state;
    TranslationCounts sum = {0};
    if (!slow_checks()) return;
    for (size_t i = 0; i < PAIRS; i++) {
        const TranslationCounts one = count_of(&pairs[i], 0, 1);
        translation_add(&sum, &one);
    }
    const Bleu bleu = translation_bleu(&sum);
    for (int n = 0; n < BLEU_ORDERS; n++)
        expect_near("precision", bleu.precisions[n], part(expected, "precisions", n), 1e-10);
    expect_near("brevity penalty", bleu.brevity_penalty, fixture_number(expected, "brevity_penalty"), 1e-12);
    assert_int_equal(sum.words, part(expected, "lengths", 0));
    assert_int_equal(sum.reference_words, part(expected, "lengths", 1));
}

static TranslationCounts counts_of(const char *translation, const char *reference) {
    TranslationCounts counts;
    Text texts[2] = {0};
    text_addf(&texts[0], "%s", translation);
    text_addf(&texts[1], "%s", reference);
    assert_true(translation_count(&texts[0], &texts[1], 1, &counts, NULL));
    text_free(&texts[0]);
    text_free(&texts[1]);
    return counts;
}

static void equal_and_empty_texts(void **state) {
    (void)state;
    TranslationCounts counts = counts_of("One two, three four!", "One two, three four!");
    expect_near("equal", translation_bleu(&counts).score, 100, 1e-9);
    expect_near("equal", translation_chrf(&counts), 100, 1e-9);
    counts = counts_of("", "One two three four");
    assert_true(translation_bleu(&counts).score == 0 && translation_bleu(&counts).brevity_penalty == 0);
    assert_true(translation_chrf(&counts) == 0);
    counts = counts_of("", "");
    assert_true(translation_bleu(&counts).score == 0 && translation_chrf(&counts) == 0);
}

// The same translations twice: no chance at all, where the formula would say p = 1/1001.
static void no_difference_has_no_p(void **state) {
    (void)state;
    TranslationCounts counts[3];
    TranslationComparison found;
    for (int i = 0; i < 3; i++) counts[i] = count_of(&pairs[i], 0, 1);
    assert_true(translation_compare(METRIC_BLEU, (const TranslationCounts *[2]){counts, counts}, 3, &found, NULL));
    assert_true(found.difference == 0 && found.low == 0 && found.high == 0 && isnan(found.p));
    assert_true(translation_compare(METRIC_CHRF, (const TranslationCounts *[2]){counts, counts + 1}, 1, &found, NULL));
    assert_true(found.low == found.high && found.low == found.difference); // one sentence is always drawn
}

// As sacrebleu's, but for who computed it and, since it is about one of several systems, the bootstrap.
static void signatures(void **state) {
    (void)state;
    for (int metric = 0; metric < METRICS; metric++) {
        char found[160], wanted[160];
        const char *theirs =
            cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(expected, "signatures"), metric)->valuestring;
        assert_true(strncmp(theirs, "nrefs:1|", 8) == 0);
        const int end = (int)(strstr(theirs, "version:") - theirs);
        snprintf(wanted, sizeof wanted, "nrefs:1|bs:1000|seed:12345|%.*sversion:quantdial-%s", end - 8, theirs + 8,
                 QUANTDIAL_VERSION);
        translation_signature((TranslationMetric)metric, 1, found, sizeof found);
        assert_string_equal(found, wanted);
        translation_signature((TranslationMetric)metric, 0, found, sizeof found);
        assert_true(strncmp(found, "nrefs:var|", 10) == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_pairs_score_as_in_sacrebleu),
        cmocka_unit_test(several_references_count_as_in_sacrebleu),
        cmocka_unit_test(precisions_and_brevity_penalty),
        cmocka_unit_test(equal_and_empty_texts),
        cmocka_unit_test(no_difference_has_no_p),
        cmocka_unit_test(signatures),
    };
    return cmocka_run_group_tests_name("translation scores", tests, setup, teardown);
}
