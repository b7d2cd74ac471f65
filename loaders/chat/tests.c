// Tests: value is name(argument), as Jinja's tests.py has them.
#include <string.h>

#include "loaders/chat/jinja_parts.h"

#define IS(name, condition)                                                              \
    static bool is_##name(Jinja *j, const Value *self, const Value *given, Value *out) { \
        (void)j;                                                                         \
        (void)given;                                                                     \
        *out = value_boolean(condition);                                                 \
        return true;                                                                     \
    }

IS(defined, self->kind != UNDEFINED)
IS(undefined, self->kind == UNDEFINED)
IS(none, self->kind == NONE)
IS(string, self->kind == STRING)
IS(mapping, self->kind == DICT)
IS(boolean, self->kind == BOOLEAN)
IS(true, self->kind == BOOLEAN && self->integer)
IS(false, self->kind == BOOLEAN && !self->integer)
IS(integer, self->kind == INTEGER)
IS(float, self->kind == REAL)
IS(any_number, is_number(self))
IS(sequence,
   self->kind == STRING || self->kind == LIST || self->kind == TUPLE || self->kind == DICT || self->kind == UNDEFINED)
IS(iterable,
   self->kind == STRING || self->kind == UNDEFINED || self->kind == LOOP || (self->kind >= LIST && self->kind <= DICT))
IS(callable, self->kind == MACRO || self->kind == BUILTIN || self->kind == UNDEFINED)

static bool remainder_is(Jinja *j, const Value *self, int64_t by, int64_t wanted, Value *out) {
    if (self->kind != INTEGER && self->kind != BOOLEAN)
        return jinja_refuse(j, "a whole number is tested, nothing else");
    if (!by) return jinja_refuse(j, "division by zero");
    *out = value_boolean(by == -1 ? !wanted : (self->integer % by + by) % by == wanted);
    return true;
}

static bool is_odd(Jinja *j, const Value *self, const Value *given, Value *out) {
    (void)given;
    return remainder_is(j, self, 2, 1, out);
}

static bool is_even(Jinja *j, const Value *self, const Value *given, Value *out) {
    (void)given;
    return remainder_is(j, self, 2, 0, out);
}

static bool is_divisible(Jinja *j, const Value *self, const Value *given, Value *out) {
    if (given[0].kind != INTEGER || given[0].integer > INT32_MAX || given[0].integer < -INT32_MAX)
        return jinja_refuse(j, "divisibleby needs a whole number");
    return remainder_is(j, self, given[0].integer, 0, out);
}

static bool cased(Jinja *j, const Value *self, Case wanted, Value *out) {
    String s;
    Value changed, original;
    bool same;
    if (!value_string_of(j, self, &s) || !string_case(j, s, wanted, &changed)) return false;
    original = value_string(s.data, s.length);
    if (!value_equal(j, &original, &changed, &same)) return false;
    *out = value_boolean(same && s.length);
    return true;
}

static bool is_lower(Jinja *j, const Value *self, const Value *given, Value *out) {
    (void)given;
    return cased(j, self, CASE_LOWER, out);
}

static bool is_upper(Jinja *j, const Value *self, const Value *given, Value *out) {
    (void)given;
    return cased(j, self, CASE_UPPER, out);
}

static bool is_equal(Jinja *j, const Value *self, const Value *given, Value *out) {
    bool same;
    if (!value_equal(j, self, &given[0], &same)) return false;
    *out = value_boolean(same);
    return true;
}

static bool is_unequal(Jinja *j, const Value *self, const Value *given, Value *out) {
    if (!is_equal(j, self, given, out)) return false;
    out->integer = !out->integer;
    return true;
}

static bool is_in(Jinja *j, const Value *self, const Value *given, Value *out) {
    bool found;
    if (!value_contains(j, &given[0], self, &found)) return false;
    *out = value_boolean(found);
    return true;
}

static bool is_ordered(Jinja *j, const Value *self, const Value *given, bool less, bool equal, Value *out) {
    int order;
    if (!value_order(j, self, &given[0], &order)) return false;
    *out = value_boolean(order ? (order < 0) == less : equal);
    return true;
}

static bool is_less(Jinja *j, const Value *self, const Value *given, Value *out) {
    return is_ordered(j, self, given, true, false, out);
}
static bool is_at_most(Jinja *j, const Value *self, const Value *given, Value *out) {
    return is_ordered(j, self, given, true, true, out);
}
static bool is_greater(Jinja *j, const Value *self, const Value *given, Value *out) {
    return is_ordered(j, self, given, false, false, out);
}
static bool is_at_least(Jinja *j, const Value *self, const Value *given, Value *out) {
    return is_ordered(j, self, given, false, true, out);
}

static const Builtin tests[] = {
    {"defined", "", 0, is_defined},
    {"undefined", "", 0, is_undefined},
    {"none", "", 0, is_none},
    {"string", "", 0, is_string},
    {"mapping", "", 0, is_mapping},
    {"boolean", "", 0, is_boolean},
    {"true", "", 0, is_true},
    {"false", "", 0, is_false},
    {"integer", "", 0, is_integer},
    {"float", "", 0, is_float},
    {"number", "", 0, is_any_number},
    {"sequence", "", 0, is_sequence},
    {"iterable", "", 0, is_iterable},
    {"callable", "", 0, is_callable},
    {"odd", "", 0, is_odd},
    {"even", "", 0, is_even},
    {"divisibleby", "num", 1, is_divisible},
    {"lower", "", 0, is_lower},
    {"upper", "", 0, is_upper},
    {"equalto", "other", 1, is_equal},
    {"eq", "other", 1, is_equal},
    {"==", "other", 1, is_equal},
    {"ne", "other", 1, is_unequal},
    {"!=", "other", 1, is_unequal},
    {"in", "seq", 1, is_in},
    {"lt", "other", 1, is_less},
    {"lessthan", "other", 1, is_less},
    {"<", "other", 1, is_less},
    {"le", "other", 1, is_at_most},
    {"<=", "other", 1, is_at_most},
    {"gt", "other", 1, is_greater},
    {"greaterthan", "other", 1, is_greater},
    {">", "other", 1, is_greater},
    {"ge", "other", 1, is_at_least},
    {">=", "other", 1, is_at_least},
};

const Builtin *test_find(const char *name) {
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (strcmp(tests[i].name, name) == 0) return &tests[i];
    }
    return NULL;
}
