// Filters and patterns of names, apart from any screen.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tui/filter.h"
#include "tui/rows.h"

// Some linears as a filter sees them.
typedef struct Seen {
    const char *name, *shown, *class, *role;
    double layer, bits, group, out, range, outliers, size;
    bool marked, quantized;
} Seen;

static const Seen seen[] = {
    {"model.layers.2.self_attn.q_proj", "2 q_proj", "LAE", "q", 2, 4, 64, 21.5, 120, 0.0001, 2.5e6, true, true},
    {"model.layers.2.mlp.up_proj", "2 up_proj", "static", "up", 2, 4, 128, 14.9, 12, 0, 4e6, false, true},
    {"model.layers.12.mlp.up_proj", "12 up_proj", "token", "up", 12, 8, 128, NAN, 812, 0.0004, 8e6, true, true},
    {"model.layers.15.mlp.down_proj", "15 down_proj", "token", "down", 15, 4, 64, 12, 1286, 0.002, 4e6, false, true},
    {"lm_head", "head", "–", "head", NAN, NAN, NAN, NAN, 40, 0.001, 9e6, false, false},
};
enum { SEEN = sizeof seen / sizeof *seen };

static double number(const void *context, int linear, int field) {
    const Seen *s = &((const Seen *)context)[linear];
    switch (field) {
    case FIELD_LAYER: return s->layer;
    case COLUMN_BITS: return s->bits;
    case COLUMN_GROUP: return s->group;
    case COLUMN_SQNR: return s->out;
    case COLUMN_RANGE: return s->range;
    case COLUMN_OUTLIERS: return s->outliers;
    case COLUMN_SIZE: return s->size;
    case FIELD_MARKED: return s->marked;
    case FIELD_QUANTIZED: return s->quantized;
    default: return NAN;
    }
}

static void text(const void *context, int linear, int field, char *out, size_t size) {
    const Seen *s = &((const Seen *)context)[linear];
    snprintf(out, size, "%s", field == FIELD_ROLE ? s->role : s->class);
}

static bool matches(const void *context, int linear, const NamePattern *pattern) {
    const Seen *s = &((const Seen *)context)[linear];
    return name_pattern_matches(pattern, s->name) || name_pattern_matches(pattern, s->shown);
}

static bool is_glob(const void *context, const char *glob) {
    NamePattern pattern;
    bool any = false;
    assert_true(name_pattern_compile(glob, true, &pattern, NULL));
    for (int i = 0; i < SEEN; i++) any = any || matches(context, i, &pattern);
    return strpbrk(glob, "*?") && any;
}

static const FilterView view = {seen, number, text, matches, is_glob};

static void filters_let_pass_what_they_say(void **state) {
    (void)state;
    static const struct {
        const char *filter, *passing; // one letter for each of `seen`, x: passes
    } cases[] = {
        {"", "xxxxx"},
        {"  ", "xxxxx"},
        {"up", ".xx.."},
        {"2 up_proj", ".xx.."}, // two texts
        {"\"2 up_proj\"", ".xx.."},
        {"\"^2 up_proj\"", ".x..."},
        {"model.layers.*.mlp.up_proj", ".xx.."},
        {"model.layers.?.*", "xx..."}, // a glob
        {"^(q|up)|2 u", ".xx.."},
        {"up|down", ".xxx."},
        {"UP", "....."}, // case counts when there is a capital
        {"bits < 8", "xx.x."},
        {"bits<8", "xx.x."},
        {"Bits <= 8", "xxxx."},
        {"bits = 8", "..x.."},
        {"bits == 8", "..x.."},
        {"bits != 4", "..x.."}, // what has none is not unlike
        {"!bits=4", "..x.x"},
        {"not bits = 4", "..x.x"},
        {"g >= 128", ".xx.."},
        {"group>=128", ".xx.."},
        {"out < 15", ".x.x."},
        {"out dB < 15", ".x.x."},
        {"sqnr<15", ".x.x."},
        {"not out < 15", "x.x.x"},
        {"|x|max > 100", "x.xx."},
        {"range>100 and bits=4", "x..x."},
        {"range>100 bits=4 !down", "x...."},
        {"class = token", "..xx."},
        {"class=TOKEN", "..xx."},
        {"class != token", "xx..x"},
        {"class = –", "....x"},
        {"role = up", ".xx.."},
        {"role=up layer>=10", "..x.."},
        {"layer >= 10 role = down", "...x."},
        {"role = down, layer >= 10", "...x."}, // as the help lists them
        {"outliers >= 0.04", "..xxx"},
        {">6σ >= 0.04 %", "..xxx"},
        {"outliers>=0.04% bits=8", "..x.."},
        {"size > 3MB", ".xxxx"},
        {"size <= 4000k", "xx.x."},
        {"size = 4000000", ".x.x."},
        {"marked", "x.x.."},
        {"!marked", ".x.xx"},
        {"not quantized", "....x"},
        {"not not quantized", "xxxx."},
        {"marked and up", "..x.."},
        {"layer=2", "xx..."},
        {"range>100 & bits=4", "x..x."},
        {"range>100&&bits=4&!down", "x...."},
        {"marked & up", "..x.."},
        {"up&role=up&layer>=10", "..x.."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Filter filter;
        Error err;
        char passing[SEEN + 1] = "";
        if (!filter_parse(cases[i].filter, &view, &filter, &err)) fail_msg("%s: %s", cases[i].filter, err.message);
        for (int j = 0; j < SEEN; j++) passing[j] = filter_passes(&filter, &view, j) ? 'x' : '.';
        if (strcmp(passing, cases[i].passing) != 0) fail_msg("%s: %s", cases[i].filter, passing);
        filter_free(&filter);
    }
}

static void what_is_wrong_with_a_filter_is_said(void **state) {
    (void)state;
    static const struct {
        const char *filter, *message;
    } cases[] = {
        {"bits <", "bits is compared with a number"},
        {"bits < four", "“four” is not"},
        {"bits < 4k", "“4k” is not"},
        {"bits < 4 and", "“and” what?"},
        {"bits < 4 &", "“and” what?"},
        {"& up", "a text is missing"},
        {"bits < 4 | up", "up|down"},
        {"class < token", "compare it with = or !="},
        {"class =", "compared with a word"},
        {"up[", "character 4"},
        {"up(", "character 4"},
        {"*up", "character 1"},
        {"!", "a text is missing"},
        {"not ", "a text is missing"},
        {"\"up", "closing"},
        {"width<3", "no column “width”"},
        {"width < 3", "no column “width”"},
        {"up or down", "up|down"},
        {"a a a a a a a a a a a a a a a a a", "at most 16 terms"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Filter filter;
        Error err = {0};
        if (filter_parse(cases[i].filter, &view, &filter, &err)) fail_msg("%s was understood", cases[i].filter);
        if (!strstr(err.message, cases[i].message)) fail_msg("%s: %s", cases[i].filter, err.message);
    }
}

// Whatever is typed on the way to a filter does no harm.
static void every_beginning_of_a_filter_is_understood_or_refused(void **state) {
    (void)state;
    static const char whole[] = "!bits<=8 and not \"2 up_(proj)\" class != token >6σ > 0.04 % [a-z]+\\.(q|k)";
    for (size_t length = 0; length < sizeof whole; length++) {
        char part[sizeof whole];
        Filter filter;
        Error err = {0};
        snprintf(part, sizeof part, "%.*s", (int)length, whole);
        const bool ok = filter_parse(part, &view, &filter, &err);
        assert_true(ok || *err.message);
        if (ok) filter_free(&filter);
    }
}

static void an_expression_that_would_never_end_matches_nothing(void **state) {
    (void)state;
    NamePattern pattern;
    assert_true(name_pattern_compile("(a+)+$", false, &pattern, NULL));
    const clock_t start = clock();
    assert_false(name_pattern_matches(&pattern, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"));
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 2);
    assert_true(name_pattern_matches(&pattern, "aaa"));
    assert_false(name_pattern_matches(&pattern, "\xff\xfe")); // no UTF-8
    name_pattern_free(&pattern);
}

static void every_column_has_a_key_of_its_own(void **state) {
    (void)state;
    for (int i = 0; i < COLUMN_COUNT; i++) {
        assert_true(column_table[i].key && column_table[i].key != 'q' && column_table[i].key != 's');
        for (int j = 0; j < i; j++) assert_int_not_equal(column_table[i].key, column_table[j].key);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_let_pass_what_they_say),
        cmocka_unit_test(what_is_wrong_with_a_filter_is_said),
        cmocka_unit_test(every_beginning_of_a_filter_is_understood_or_refused),
        cmocka_unit_test(an_expression_that_would_never_end_matches_nothing),
        cmocka_unit_test(every_column_has_a_key_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
