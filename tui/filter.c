#include "tui/filter.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/number.h"

static const char *const field_names[] = {
    [FIELD_LAYER - COLUMN_COUNT] = "layer",         [FIELD_EXPERT - COLUMN_COUNT] = "expert",
    [FIELD_ROLE - COLUMN_COUNT] = "role",           [FIELD_MARKED - COLUMN_COUNT] = "marked",
    [FIELD_CHANGED - COLUMN_COUNT] = "changed",     [FIELD_OVERRIDDEN - COLUMN_COUNT] = "overridden",
    [FIELD_QUANTIZED - COLUMN_COUNT] = "quantized",
};
static_assert(sizeof field_names / sizeof *field_names == FIELD_COUNT - COLUMN_COUNT, "a field has no name");

static bool is_text(int field) { return field == COLUMN_CLASS || field == FIELD_ROLE; }

// ---- reading ------------------------------------------------------------------------------------------------------

typedef struct Reading {
    const char *at;
    const FilterView *view;
    Filter *filter;
    Error *err;
} Reading;

static void skip_blanks(Reading *r) { r->at += strspn(r->at, " "); }

// Takes a word that ends there; a letter behind it would make it another.
static bool take_word(Reading *r, const char *word) {
    const size_t length = strlen(word);
    if (strncasecmp(r->at, word, length) != 0 || !strchr(" &", r->at[length])) return false;
    r->at += length;
    return true;
}

// "and", "&", "&&" between two terms.
static bool take_and(Reading *r) {
    const size_t signs = strspn(r->at, "&");
    r->at += signs;
    return signs > 0 || take_word(r, "and");
}

static const struct {
    const char *sign;
    Comparison comparison;
} comparisons[] = {
    {"<=", COMPARE_AT_MOST}, {">=", COMPARE_AT_LEAST}, {"!=", COMPARE_UNEQUAL}, {"==", COMPARE_EQUAL},
    {"<", COMPARE_LESS},     {">", COMPARE_MORE},      {"=", COMPARE_EQUAL},
};

// Length of the sign at `at` with the blanks before it; 0: none.
static size_t comparison_at(const char *at, Comparison *out) {
    const size_t blanks = strspn(at, " ");
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++) {
        const size_t length = strlen(comparisons[i].sign);
        if (strncmp(at + blanks, comparisons[i].sign, length) != 0) continue;
        *out = comparisons[i].comparison;
        return blanks + length;
    }
    return 0;
}

// Length of `name` when the text begins with it, whatever the case.
static size_t begins_with(const char *text, const char *name, size_t length) {
    return length && strncasecmp(text, name, length) == 0 ? length : 0;
}

// A column goes by its name, its title, and the first word of that: "sqnr", "out dB", "out".
static size_t field_at(const char *text, int field) {
    if (field >= COLUMN_COUNT)
        return begins_with(text, field_names[field - COLUMN_COUNT], strlen(field_names[field - COLUMN_COUNT]));
    const ColumnInfo *column = &column_table[field];
    const size_t name = begins_with(text, column->name, strlen(column->name)),
                 title = begins_with(text, column->title, strlen(column->title)),
                 word = begins_with(text, column->title, strcspn(column->title, " "));
    const size_t longest = name > title ? name : title;
    return longest > word ? longest : word;
}

// "bits <": a field with a sign behind it. The longest name of those that fit.
static int take_compared(Reading *r, Comparison *comparison) {
    int found = -1;
    size_t longest = 0;
    for (int field = COLUMN_LINEAR + 1; field < FIELD_MARKED; field++) {
        Comparison there;
        const size_t length = field_at(r->at, field);
        if (length <= longest || !comparison_at(r->at + length, &there)) continue;
        longest = length;
        found = field;
    }
    if (found < 0) return -1;
    r->at += longest;
    r->at += comparison_at(r->at, comparison);
    skip_blanks(r);
    return found;
}

const char *filter_field_name(int field) {
    return field < COLUMN_COUNT ? column_table[field].name : field_names[field - COLUMN_COUNT];
}

// As figures are shown: shares as percentages, sizes with a unit.
static bool scaled(int field, double number, const char *unit, double *out) {
    static const struct {
        const char *unit;
        double factor;
    } sizes[] = {{"", 1}, {"b", 1}, {"k", 1e3}, {"kb", 1e3}, {"m", 1e6}, {"mb", 1e6}, {"g", 1e9}, {"gb", 1e9}};
    *out = field == COLUMN_OUTLIERS ? number / 100 : number;
    if (field == COLUMN_OUTLIERS && strcmp(unit, "%") == 0) return true;
    for (size_t i = 0; field == COLUMN_SIZE && i < sizeof sizes / sizeof *sizes; i++) {
        if (strcasecmp(unit, sizes[i].unit) != 0) continue;
        *out = number * sizes[i].factor;
        return true;
    }
    return !*unit;
}

static bool read_number(Reading *r, FilterTerm *term) {
    char text[64];
    double number;
    const size_t length = strcspn(r->at, " &"), digits = strspn(r->at, "0123456789.+-");
    if (length == 0) return error_set(r->err, "%s is compared with a number", filter_field_name(term->field));
    snprintf(text, sizeof text, "%.*s", (int)digits, r->at);
    char unit[8];
    snprintf(unit, sizeof unit, "%.*s", (int)(length - digits), r->at + digits);
    if (!number_parse(text, &number) || length - digits >= sizeof unit ||
        !scaled(term->field, number, unit, &term->value))
        return error_set(r->err, "%s is compared with a number, which “%.*s” is not", filter_field_name(term->field),
                         (int)length, r->at);
    r->at += length;
    // "0.04 %", as it is shown
    const size_t blanks = strspn(r->at, " ");
    if (term->field == COLUMN_OUTLIERS && r->at[blanks] == '%') r->at += blanks + 1;
    return true;
}

static bool read_value(Reading *r, FilterTerm *term) {
    if (!is_text(term->field)) return read_number(r, term);
    const size_t length = strcspn(r->at, " &");
    if (term->comparison != COMPARE_EQUAL && term->comparison != COMPARE_UNEQUAL)
        return error_set(r->err, "%s is a word: compare it with = or !=", filter_field_name(term->field));
    if (length == 0) return error_set(r->err, "%s is compared with a word", filter_field_name(term->field));
    snprintf(term->word, sizeof term->word, "%.*s", (int)length, r->at);
    r->at += length;
    return true;
}

// "foo<3": nobody looks for a name with that in it.
static bool looks_like_a_comparison(const char *word, size_t length) {
    const size_t letters = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ|_");
    return letters > 0 && letters < length && strchr("<>=", word[letters]);
}

static bool read_pattern(Reading *r, FilterTerm *term) {
    char text[256];
    const bool quoted = *r->at == '"';
    const char *from = r->at + quoted;
    const size_t length = strcspn(from, quoted ? "\"" : " &");
    Comparison unused;
    if (length == 0) return error_set(r->err, "a text is missing%s", quoted ? " in \"\"" : "");
    if (length >= sizeof text) return error_set(r->err, "a text has at most %zu bytes", sizeof text - 1);
    if (quoted && !from[length]) return error_set(r->err, "the closing \" is missing");
    const bool unknown = !quoted && (looks_like_a_comparison(from, length) ||
                                     (from[length] == ' ' && comparison_at(from + length, &unused)));
    if (unknown)
        return error_set(r->err, "there is no column “%.*s” to compare",
                         (int)strcspn(from, from[length] ? " " : "<>=!"), from);
    snprintf(text, sizeof text, "%.*s", (int)length, from);
    r->at = from + length + quoted;
    term->comparison = COMPARE_MATCH;
    return name_pattern_compile(text, r->view->is_glob(r->view->context, text), &term->pattern, r->err);
}

static bool read_term(Reading *r) {
    if (r->filter->count == FILTER_TERMS_MOST) return error_set(r->err, "at most %d terms", FILTER_TERMS_MOST);
    FilterTerm term = {0};
    while (*r->at == '!' || strncasecmp(r->at, "not ", 4) == 0) {
        term.inverted = !term.inverted;
        r->at += *r->at == '!' ? 1 : 4;
        skip_blanks(r);
    }
    if (take_word(r, "or") || take_word(r, "|") || take_word(r, "||"))
        return error_set(r->err, "“or” works in a text alone: up|down");
    for (int field = FIELD_MARKED; field < FIELD_COUNT; field++) {
        if (!take_word(r, filter_field_name(field))) continue;
        term.field = field;
        term.comparison = COMPARE_IS;
        r->filter->terms[r->filter->count++] = term;
        return true;
    }
    const int field = take_compared(r, &term.comparison);
    if (field >= 0) term.field = field;
    if (!(field >= 0 ? read_value(r, &term) : read_pattern(r, &term))) return false;
    r->filter->terms[r->filter->count++] = term;
    return true;
}

// A comma with a blank behind it stands between terms, as in a list.
static char *without_commas(const char *text) {
    char *copy = strdup(text);
    bool quoted = false;
    for (char *at = copy; at && *at; at++) {
        if (*at == '"') quoted = !quoted;
        if (!quoted && at[0] == ',' && at[1] == ' ') *at = '&';
    }
    return copy;
}

static bool read_terms(Reading *r) {
    for (skip_blanks(r); *r->at; skip_blanks(r)) {
        if (r->filter->count && take_and(r)) {
            skip_blanks(r);
            if (!*r->at) return error_set(r->err, "“and” what?");
        }
        if (!read_term(r)) return false;
    }
    return true;
}

bool filter_parse(const char *text, const FilterView *view, Filter *out, Error *err) {
    char *copy = without_commas(text);
    Reading r = {.at = copy, .view = view, .filter = out, .err = err};
    *out = (Filter){0};
    const bool ok = (copy || error_memory(err, "the filter")) && read_terms(&r);
    if (!ok) filter_free(out);
    free(copy);
    return ok;
}

void filter_free(Filter *filter) {
    for (int i = 0; i < filter->count; i++) name_pattern_free(&filter->terms[i].pattern);
    *filter = (Filter){0};
}

// ---- asking -------------------------------------------------------------------------------------------------------

static bool compare(Comparison comparison, double a, double b) {
    switch (comparison) {
    case COMPARE_EQUAL: return a == b;
    case COMPARE_UNEQUAL: return a != b && !isnan(a);
    case COMPARE_LESS: return a < b;
    case COMPARE_AT_MOST: return a <= b;
    case COMPARE_MORE: return a > b;
    case COMPARE_AT_LEAST: return a >= b;
    case COMPARE_IS: return a > 0;
    case COMPARE_MATCH: break;
    }
    return false;
}

static bool term_holds(const FilterTerm *term, const FilterView *view, int linear) {
    if (term->comparison == COMPARE_MATCH) return view->matches(view->context, linear, &term->pattern);
    if (!is_text(term->field))
        return compare(term->comparison, view->number(view->context, linear, term->field), term->value);
    char word[sizeof term->word];
    view->text(view->context, linear, term->field, word, sizeof word);
    return (strcasecmp(word, term->word) == 0) == (term->comparison == COMPARE_EQUAL);
}

bool filter_passes(const Filter *filter, const FilterView *view, int linear) {
    for (int i = 0; i < filter->count; i++) {
        if (term_holds(&filter->terms[i], view, linear) == filter->terms[i].inverted) return false;
    }
    return true;
}
