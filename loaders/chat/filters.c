// Filters: value | name(arguments), as Jinja's filters.py has them, and transformers' tojson.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "loaders/chat/jinja_parts.h"

#define FILTER(name) static bool name(Jinja *j, const Value *self, const Value *given, Value *out)
#define UNUSED(x) (void)(x)

static bool truth_of(const Value *given) { return given->kind != MISSING && value_truth(given); }

// ---- text ----

static bool keep_safe(const Value *self, bool ok, Value *out) {
    if (ok && self->kind == STRING) out->safe = self->safe;
    return ok;
}

FILTER(filter_trim) {
    String s, characters;
    const bool given_characters = given[0].kind != MISSING && given[0].kind != NONE;
    if (!value_string_of(j, self, &s) || (given_characters && !value_string_of(j, &given[0], &characters)))
        return false;
    const String *only = given_characters ? &characters : NULL;
    return keep_safe(self, string_stripped(j, s, only, SIDE_LEFT | SIDE_RIGHT, out), out);
}

static bool in_case(Jinja *j, const Value *self, Case wanted, Value *out) {
    String s;
    return value_string_of(j, self, &s) && keep_safe(self, string_case(j, s, wanted, out), out);
}

FILTER(filter_upper) { return UNUSED(given), in_case(j, self, CASE_UPPER, out); }
FILTER(filter_lower) { return UNUSED(given), in_case(j, self, CASE_LOWER, out); }
FILTER(filter_title) { return UNUSED(given), in_case(j, self, CASE_WORDS, out); }
FILTER(filter_capitalize) { return UNUSED(given), in_case(j, self, CASE_CAPITAL, out); }

FILTER(filter_string) {
    String s;
    UNUSED(given);
    if (!value_string_of(j, self, &s)) return false;
    *out = value_string(s.data, s.length);
    return keep_safe(self, true, out);
}

FILTER(filter_safe) {
    if (!filter_string(j, self, given, out)) return false;
    return out->safe = true;
}

FILTER(filter_escape) {
    String s;
    UNUSED(given);
    *out = *self;
    if (self->kind == STRING && self->safe) return true;
    return value_string_of(j, self, &s) && string_escape(j, s, out);
}

FILTER(filter_replace) {
    String s, from, to;
    const int64_t most = given[2].kind == INTEGER ? given[2].integer : -1;
    return value_string_of(j, self, &s) && value_string_of(j, &given[0], &from) && value_string_of(j, &given[1], &to) &&
           string_replace(j, s, from, to, most, out);
}

static bool indent_width(Jinja *j, const Value *given, String *out) {
    const bool whole = given->kind == INTEGER || given->kind == BOOLEAN;
    const int64_t width = given->kind == MISSING ? 4 : given->integer;
    if (given->kind == STRING) return *out = given->string, true;
    if ((given->kind != MISSING && !whole) || width > 1000)
        return jinja_refuse(j, "an indent is a text or a small number");
    const size_t length = width > 0 ? (size_t)width : 0;
    char *spaces = jinja_take(j, length + 1, 1);
    if (!spaces) return false;
    memset(spaces, ' ', length);
    *out = (String){spaces, length};
    return true;
}

FILTER(filter_indent) {
    String s, indent;
    Value lines;
    Buffer text = {0};
    if (!value_string_of(j, self, &s) || !indent_width(j, &given[0], &indent) ||
        !buffer_add(j, &text, s.data, s.length) || !buffer_add(j, &text, "\n", 1) ||
        !string_lines(j, (String){text.data, text.length}, &lines))
        return false;
    Buffer result = {0};
    const bool first = truth_of(&given[1]), blank = truth_of(&given[2]);
    for (size_t i = 0; i < lines.list->count; i++) {
        const String line = lines.list->items[i].string;
        const bool indented = i ? blank || line.length : first;
        if ((i && !buffer_add(j, &result, "\n", 1)) ||
            (indented && !buffer_add(j, &result, indent.data, indent.length)) ||
            !buffer_add(j, &result, line.data, line.length))
            return false;
    }
    *out = value_string(result.data, result.length);
    return true;
}

static bool json_separators(Jinja *j, const Value *given, JsonStyle *style) {
    if (style->indented) style->between = (String){",", 1};
    if (given->kind == MISSING || given->kind == NONE) return true;
    const bool pair = (given->kind == LIST || given->kind == TUPLE) && given->list->count == 2 &&
                      given->list->items[0].kind == STRING && given->list->items[1].kind == STRING;
    if (!pair) return jinja_refuse(j, "separators are two texts");
    style->between = given->list->items[0].string;
    style->after_key = given->list->items[1].string;
    return true;
}

FILTER(filter_tojson) {
    Buffer text = {0};
    JsonStyle style = {.between = {", ", 2}, .after_key = {": ", 2}};
    style.ascii = truth_of(&given[0]);
    style.indented = given[1].kind != MISSING && given[1].kind != NONE;
    style.sorted = truth_of(&given[3]);
    if ((style.indented && !indent_width(j, &given[1], &style.indent)) || !json_separators(j, &given[2], &style) ||
        !show_json(j, self, &style, 0, &text))
        return false;
    *out = value_string(text.data, text.length);
    return true;
}

// ---- numbers ----

static bool number_of_text(String s, double *out, bool *whole) {
    char digits[64];
    s = string_strip(s, NULL, SIDE_LEFT | SIDE_RIGHT);
    if (!s.length || s.length >= sizeof digits) return false;
    memcpy(digits, s.data, s.length);
    digits[s.length] = '\0';
    *whole = strspn(digits + (digits[0] == '-' || digits[0] == '+'), "0123456789") + 1 >= s.length &&
             digits[s.length - 1] >= '0';
    return number_parse(digits, out);
}

FILTER(filter_int) {
    double real = 0;
    bool whole;
    UNUSED(j);
    *out = given[0].kind == MISSING ? value_integer(0) : given[0];
    if (self->kind == UNDEFINED) return jinja_refuse(j, "\"%.60s\" is undefined", self->name);
    if (is_number(self))
        real = as_real(self);
    else if (self->kind != STRING || !number_of_text(self->string, &real, &whole))
        return true;
    if (self->kind == INTEGER) return *out = *self, true;
    if (real < 9e18 && real > -9e18) *out = value_integer((int64_t)real);
    return true;
}

FILTER(filter_float) {
    double real = 0;
    bool whole;
    *out = given[0].kind == MISSING ? (Value){.kind = REAL} : given[0];
    if (self->kind == UNDEFINED) return jinja_refuse(j, "\"%.60s\" is undefined", self->name);
    if (is_number(self))
        real = as_real(self);
    else if (self->kind != STRING || !number_of_text(self->string, &real, &whole))
        return true;
    *out = (Value){.kind = REAL, .real = real};
    return true;
}

FILTER(filter_abs) {
    UNUSED(given);
    if (!is_number(self) || self->integer == INT64_MIN) return jinja_refuse(j, "abs needs a number");
    *out = *self;
    if (self->kind == REAL && self->real < 0) out->real = -self->real;
    if (self->kind != REAL) *out = value_integer(self->integer < 0 ? -self->integer : self->integer);
    return true;
}

// ---- sequences ----

FILTER(filter_length) {
    UNUSED(given);
    *out = value_integer(0);
    return value_length(j, self, &out->integer);
}

FILTER(filter_list) {
    List items;
    UNUSED(given);
    if (!value_iterate(j, self, &items) || !value_list(j, LIST, items.count, out)) return false;
    if (items.count) memcpy(out->list->items, items.items, items.count * sizeof *items.items);
    return jinja_spend(j, items.count);
}

FILTER(filter_items) {
    UNUSED(given);
    if (self->kind == UNDEFINED) return value_list(j, GENERATOR, 0, out);
    if (self->kind != DICT) return jinja_refuse(j, "items needs a mapping, not %s", value_kind_name(self));
    return dict_pairs(j, self->dict, GENERATOR, out);
}

FILTER(filter_first) {
    List items;
    UNUSED(given);
    *out = value_undefined("the first of nothing");
    if (self->kind == GENERATOR) {
        List *rest = self->list;
        if (!rest->count) return true;
        *out = *rest->items++;
        rest->count--;
        return true;
    }
    if (!value_iterate(j, self, &items)) return false;
    if (items.count) *out = items.items[0];
    return true;
}

FILTER(filter_last) {
    List items;
    UNUSED(given);
    *out = value_undefined("the last of nothing");
    if (self->kind == GENERATOR) return jinja_refuse(j, "an iterator has no last element");
    if (!value_iterate(j, self, &items)) return false;
    if (items.count) *out = items.items[items.count - 1];
    return true;
}

FILTER(filter_reverse) {
    Value all;
    if (!filter_list(j, self, given, &all)) return false;
    const List *list = all.list;
    for (size_t i = 0; i < list->count / 2; i++) {
        const Value kept = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = kept;
    }
    *out = (Value){.kind = GENERATOR, .list = all.list};
    if (self->kind != STRING) return true;
    Buffer text = {0};
    for (size_t i = 0; i < list->count; i++) {
        if (!buffer_add(j, &text, list->items[i].string.data, list->items[i].string.length)) return false;
    }
    *out = value_string(text.data, text.length);
    return true;
}

// ---- by an attribute ----

// What map and select go through. What counts as false, none included, is empty.
static bool elements_of(Jinja *j, const Value *self, List *out) {
    *out = (List){0};
    return !value_truth(self) || value_iterate(j, self, out);
}

// "a.b.0": what is found step by step.
static bool follow_path(Jinja *j, const Value *item, const Value *path, Value *out) {
    *out = *item;
    if (path->kind == INTEGER) return value_item(j, item, path, out);
    if (path->kind != STRING) return jinja_refuse(j, "an attribute is a text");
    const char *at = path->string.data, *end = at + path->string.length;
    while (true) {
        const char *dot = at < end ? memchr(at, '.', (size_t)(end - at)) : NULL;
        const size_t n = (size_t)((dot ? dot : end) - at);
        Value key = value_string(at, n), of = *out;
        if (n && n < 10 && strspn(at, "0123456789") >= n) {
            key = value_integer(0);
            for (size_t i = 0; i < n; i++) key.integer = key.integer * 10 + (at[i] - '0');
        }
        if (!value_item(j, &of, &key, out)) return false;
        if (!dot) return true;
        at = dot + 1;
    }
}

FILTER(filter_map) { // filter, up to two arguments of it; or attribute and default
    List items;
    if (!elements_of(j, self, &items) || !value_list(j, GENERATOR, items.count, out)) return false;
    const bool by_attribute = given[3].kind != MISSING;
    Value name = {0};
    if (!by_attribute &&
        (given[0].kind != STRING || !value_copied(j, given[0].string.data, given[0].string.length, &name)))
        return jinja_refuse(j, "map needs a filter or an attribute");
    const Builtin *filter = by_attribute ? NULL : filter_find(name.string.data);
    if (!by_attribute && !filter) return jinja_refuse(j, "the filter \"%.40s\" is not supported", name.string.data);
    const size_t count = (given[1].kind != MISSING) + (size_t)(given[2].kind != MISSING);
    for (size_t i = 0; i < items.count; i++) {
        Value *to = &out->list->items[i];
        if (!(by_attribute ? follow_path(j, &items.items[i], &given[3], to)
                           : builtin_call(j, filter, &items.items[i], given + 1, NULL, count, to)))
            return false;
        if (by_attribute && to->kind == UNDEFINED && given[4].kind != MISSING) *to = given[4];
    }
    return true;
}

// The test "name(argument)" of a value, or whether it is true where no test is named.
static bool passes_test(Jinja *j, const Value *value, const Value *test, const Value *argument, bool *out) {
    Value name, result;
    *out = value_truth(value);
    if (test->kind == MISSING) return true;
    if (test->kind != STRING || !value_copied(j, test->string.data, test->string.length, &name))
        return jinja_refuse(j, "a test is named by a text");
    const Builtin *builtin = test_find(name.string.data);
    if (!builtin) return jinja_refuse(j, "the test \"%.40s\" is not supported", name.string.data);
    if (!builtin_call(j, builtin, value, argument, NULL, argument->kind != MISSING, &result)) return false;
    *out = value_truth(&result);
    return true;
}

// given: [attribute,] test, argument
static bool select_where(Jinja *j, const Value *self, const Value *given, bool by_attribute, bool wanted, Value *out) {
    List items;
    size_t count = 0;
    if (!elements_of(j, self, &items) || !value_list(j, GENERATOR, items.count, out)) return false;
    for (size_t i = 0; i < items.count; i++) {
        Value looked_at = items.items[i];
        bool holds;
        if (by_attribute && !follow_path(j, &items.items[i], &given[0], &looked_at)) return false;
        if (!passes_test(j, &looked_at, &given[by_attribute], &given[by_attribute + 1], &holds)) return false;
        if (holds == wanted) out->list->items[count++] = items.items[i];
    }
    out->list->count = count;
    return true;
}

FILTER(filter_select) { return select_where(j, self, given, false, true, out); }
FILTER(filter_reject) { return select_where(j, self, given, false, false, out); }
FILTER(filter_selectattr) { return select_where(j, self, given, true, true, out); }
FILTER(filter_rejectattr) { return select_where(j, self, given, true, false, out); }

FILTER(filter_join) {
    List items;
    String separator = {"", 0};
    Buffer text = {0};
    if ((given[0].kind != MISSING && !value_string_of(j, &given[0], &separator)) || !value_iterate(j, self, &items))
        return false;
    for (size_t i = 0; i < items.count; i++) {
        Value piece = items.items[i];
        if (given[1].kind != MISSING && given[1].kind != NONE && !follow_path(j, &items.items[i], &given[1], &piece))
            return false;
        if ((i && !buffer_add(j, &text, separator.data, separator.length)) || !show_plain(j, &piece, &text))
            return false;
    }
    *out = value_string(text.data, text.length);
    return true;
}

// ---- order ----

// What two elements are compared by: an attribute, or one of a pair, and texts without regard to case.
static bool sort_key(Jinja *j, const Value *item, const Value *attribute, bool by_case, Value *out) {
    *out = *item;
    if (attribute->kind != MISSING && attribute->kind != NONE && !follow_path(j, item, attribute, out)) return false;
    return by_case || out->kind != STRING || string_case(j, out->string, CASE_LOWER, out);
}

static bool sort_items(Jinja *j, List *list, const Value *attribute, bool by_case, bool reverse) {
    Value *keys = jinja_take(j, list->count, sizeof *keys);
    if (!keys) return false;
    for (size_t i = 0; i < list->count; i++) {
        const Value item = list->items[i];
        Value key;
        size_t at = i;
        if (!sort_key(j, &item, attribute, by_case, &key)) return false;
        for (; at > 0; at--) {
            int order;
            if (!value_order(j, &keys[at - 1], &key, &order)) return false;
            if (reverse ? order >= 0 : order <= 0) break;
            keys[at] = keys[at - 1];
            list->items[at] = list->items[at - 1];
        }
        keys[at] = key;
        list->items[at] = item;
    }
    return true;
}

FILTER(filter_sort) {
    return filter_list(j, self, given, out) &&
           sort_items(j, out->list, &given[2], truth_of(&given[1]), truth_of(&given[0]));
}

FILTER(filter_dictsort) {
    Value pairs, by = value_integer(is_text(&given[1], "value"));
    if (!filter_items(j, self, given, &pairs)) return false;
    *out = (Value){.kind = LIST, .list = pairs.list};
    return sort_items(j, out->list, &by, truth_of(&given[0]), truth_of(&given[2]));
}

static bool extreme_item(Jinja *j, const Value *self, const Value *given, bool most, Value *out) {
    if (!filter_list(j, self, given, out) || !sort_items(j, out->list, &given[1], truth_of(&given[0]), most))
        return false;
    *out = out->list->count ? out->list->items[0] : value_undefined("the least or most of nothing");
    return true;
}

FILTER(filter_min) { return extreme_item(j, self, given, false, out); }
FILTER(filter_max) { return extreme_item(j, self, given, true, out); }

FILTER(filter_unique) {
    List items;
    size_t count = 0;
    if (!value_iterate(j, self, &items) || !value_list(j, GENERATOR, items.count, out)) return false;
    Value *keys = jinja_take(j, items.count, sizeof *keys);
    if (!keys) return false;
    for (size_t i = 0; i < items.count; i++) {
        bool known = false;
        if (!sort_key(j, &items.items[i], &given[1], truth_of(&given[0]), &keys[count])) return false;
        for (size_t k = 0; k < count && !known; k++) {
            if (!value_equal(j, &keys[k], &keys[count], &known)) return false;
        }
        if (!known) out->list->items[count++] = items.items[i];
    }
    out->list->count = count;
    return true;
}

FILTER(filter_default) {
    UNUSED(j);
    const bool missing = self->kind == UNDEFINED || (truth_of(&given[1]) && !value_truth(self));
    *out = !missing ? *self : given[0].kind == MISSING ? value_text("") : given[0];
    return true;
}

static const Builtin filters[] = {
    {"trim", "chars", 0, filter_trim},
    {"upper", "", 0, filter_upper},
    {"lower", "", 0, filter_lower},
    {"title", "", 0, filter_title},
    {"capitalize", "", 0, filter_capitalize},
    {"string", "", 0, filter_string},
    {"safe", "", 0, filter_safe},
    {"escape", "", 0, filter_escape},
    {"e", "", 0, filter_escape},
    {"replace", "old new count", 2, filter_replace},
    {"indent", "width first blank", 0, filter_indent},
    {"tojson", "ensure_ascii indent separators sort_keys", 0, filter_tojson},
    {"int", "default", 0, filter_int},
    {"float", "default", 0, filter_float},
    {"abs", "", 0, filter_abs},
    {"length", "", 0, filter_length},
    {"count", "", 0, filter_length},
    {"list", "", 0, filter_list},
    {"items", "", 0, filter_items},
    {"first", "", 0, filter_first},
    {"last", "", 0, filter_last},
    {"reverse", "", 0, filter_reverse},
    {"map", "filter 1 2 attribute default", 0, filter_map},
    {"select", "test 1", 0, filter_select},
    {"reject", "test 1", 0, filter_reject},
    {"selectattr", "attribute test 1", 1, filter_selectattr},
    {"rejectattr", "attribute test 1", 1, filter_rejectattr},
    {"join", "d attribute", 0, filter_join},
    {"sort", "reverse case_sensitive attribute", 0, filter_sort},
    {"dictsort", "case_sensitive by reverse", 0, filter_dictsort},
    {"min", "case_sensitive attribute", 0, filter_min},
    {"max", "case_sensitive attribute", 0, filter_max},
    {"unique", "case_sensitive attribute", 0, filter_unique},
    {"default", "default_value boolean", 0, filter_default},
    {"d", "default_value boolean", 0, filter_default},
};

const Builtin *filter_find(const char *name) {
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        if (strcmp(filters[i].name, name) == 0) return &filters[i];
    }
    return NULL;
}
