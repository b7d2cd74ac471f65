// Values as Python has them: what is true, equal, less, contained, an attribute, an element.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "loaders/chat/jinja_parts.h"

Value value_none(void) { return (Value){.kind = NONE}; }
Value value_boolean(bool truth) { return (Value){.kind = BOOLEAN, .integer = truth}; }
Value value_integer(int64_t integer) { return (Value){.kind = INTEGER, .integer = integer}; }
Value value_undefined(const char *name) { return (Value){.kind = UNDEFINED, .name = name}; }

Value value_string(const char *data, size_t length) {
    return (Value){.kind = STRING, .string = {data ? data : "", length}};
}

Value value_text(const char *text) { return value_string(text, strlen(text)); }

bool value_copied(Jinja *j, const char *data, size_t length, Value *out) {
    char *copy = jinja_take(j, length + 1, 1);
    if (!copy) return false;
    if (length) memcpy(copy, data, length);
    *out = value_string(copy, length);
    return true;
}

bool value_list(Jinja *j, ValueKind kind, size_t count, Value *out) {
    List *list = jinja_take(j, 1, sizeof *list);
    if (!list || !(list->items = jinja_take(j, count, sizeof *list->items))) return false;
    list->count = count;
    *out = (Value){.kind = kind, .list = list};
    return true;
}

bool value_dict(Jinja *j, ValueKind kind, size_t capacity, Value *out) {
    Dict *dict = jinja_take(j, 1, sizeof *dict);
    if (!dict) return false;
    dict->keys = jinja_take(j, capacity, sizeof *dict->keys);
    dict->values = jinja_take(j, capacity, sizeof *dict->values);
    dict->capacity = capacity;
    *out = (Value){.kind = kind, .dict = dict};
    return dict->keys && dict->values;
}

// ---- what kind ----

const char *value_kind_name(const Value *value) {
    static const char *const names[] = {
        "nothing", "undefined", "none",        "a boolean", "a number",    "a number", "a text",     "a list",
        "a tuple", "a view",    "an iterator", "a mapping", "a namespace", "a macro",  "a function", "the loop"};
    static_assert(sizeof names / sizeof *names == LOOP + 1, "one name for each kind");
    return names[value->kind];
}

bool is_number(const Value *value) { return value->kind == INTEGER || value->kind == BOOLEAN || value->kind == REAL; }

bool is_text(const Value *value, const char *text) { return value->kind == STRING && string_is(value->string, text); }

double as_real(const Value *value) { return value->kind == REAL ? value->real : (double)value->integer; }

bool value_truth(const Value *value) {
    switch (value->kind) {
    case MISSING:
    case UNDEFINED:
    case NONE: return false;
    case BOOLEAN:
    case INTEGER: return value->integer != 0;
    case REAL: return value->real != 0;
    case STRING: return value->string.length != 0;
    case LIST:
    case TUPLE:
    case VIEW: return value->list->count != 0;
    case DICT: return value->dict->count != 0;
    case GENERATOR:
    case NAMESPACE:
    case MACRO:
    case BUILTIN:
    case LOOP: return true;
    }
    return false;
}

// ---- equal, less ----

static int compare_strings(String a, String b) { // bytes of UTF-8 are in the order of code points
    const int order = memcmp(a.data, b.data, a.length < b.length ? a.length : b.length);
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

static bool lists_equal(Jinja *j, const List *a, const List *b, bool *out) {
    *out = a->count == b->count;
    for (size_t i = 0; *out && i < a->count; i++) {
        if (!value_equal(j, &a->items[i], &b->items[i], out)) return false;
    }
    return true;
}

static bool dicts_equal(Jinja *j, const Dict *a, const Dict *b, bool *out) {
    *out = a->count == b->count;
    for (size_t i = 0; *out && i < a->count; i++) {
        Value other;
        if (!dict_find(j, b, a->keys[i], &other)) return false;
        *out = other.kind != MISSING;
        if (*out && !value_equal(j, &a->values[i], &other, out)) return false;
    }
    return true;
}

static bool same_kind_equal(Jinja *j, const Value *a, const Value *b, bool *out) {
    switch (a->kind) {
    case STRING: *out = compare_strings(a->string, b->string) == 0; return jinja_spend(j, a->string.length / 64);
    case LIST:
    case TUPLE: return lists_equal(j, a->list, b->list, out);
    case DICT: return dicts_equal(j, a->dict, b->dict, out);
    case MISSING:
    case UNDEFINED:
    case NONE: *out = true; return true;
    case VIEW:
    case GENERATOR: *out = a->list == b->list; return true;
    case NAMESPACE: *out = a->dict == b->dict; return true;
    case MACRO:
    case BUILTIN:
    case LOOP: *out = a->loop == b->loop; return true;
    case BOOLEAN:
    case INTEGER:
    case REAL: break;
    }
    return true;
}

bool value_equal(Jinja *j, const Value *a, const Value *b, bool *out) {
    *out = false;
    if (!jinja_enter(j)) return false;
    bool ok = true;
    if (is_number(a) && is_number(b))
        *out = a->kind == REAL || b->kind == REAL ? as_real(a) == as_real(b) : a->integer == b->integer;
    else if (a->kind == b->kind)
        ok = same_kind_equal(j, a, b, out);
    j->depth--;
    return ok;
}

static bool order_strings(Jinja *j, String a, String b, int *out) {
    *out = compare_strings(a, b);
    return jinja_spend(j, (a.length < b.length ? a.length : b.length) / 64);
}

static bool order_lists(Jinja *j, const List *a, const List *b, int *out) {
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        bool same;
        if (!value_equal(j, &a->items[i], &b->items[i], &same)) return false;
        if (!same) return value_order(j, &a->items[i], &b->items[i], out);
    }
    *out = (a->count > b->count) - (a->count < b->count);
    return true;
}

bool value_order(Jinja *j, const Value *a, const Value *b, int *out) {
    if (!jinja_enter(j)) return false;
    bool ok = true;
    if (is_number(a) && is_number(b)) {
        const double x = as_real(a), y = as_real(b);
        *out = (x > y) - (x < y);
    } else if (a->kind == STRING && b->kind == STRING)
        ok = order_strings(j, a->string, b->string, out);
    else if ((a->kind == LIST || a->kind == TUPLE) && a->kind == b->kind)
        ok = order_lists(j, a->list, b->list, out);
    else
        ok = jinja_refuse(j, "%s and %s have no order", value_kind_name(a), value_kind_name(b));
    j->depth--;
    return ok;
}

// ---- mappings ----

// Where the key is; dict->count: nowhere.
static bool dict_index(Jinja *j, const Dict *dict, Value key, size_t *out) {
    bool same = false;
    if (key.kind == LIST || key.kind == DICT) return jinja_refuse(j, "%s is no key", value_kind_name(&key));
    for (*out = 0; *out < dict->count; ++*out) {
        if (!value_equal(j, &dict->keys[*out], &key, &same)) return false;
        if (same) break;
    }
    return true;
}

bool dict_pairs(Jinja *j, const Dict *dict, ValueKind kind, Value *out) {
    if (!value_list(j, kind, dict->count, out)) return false;
    for (size_t i = 0; i < dict->count; i++) {
        Value *pair = &out->list->items[i];
        if (!value_list(j, TUPLE, 2, pair)) return false;
        pair->list->items[0] = dict->keys[i];
        pair->list->items[1] = dict->values[i];
    }
    return true;
}

bool dict_find(Jinja *j, const Dict *dict, Value key, Value *out) {
    size_t at;
    *out = (Value){0};
    if (!dict_index(j, dict, key, &at)) return false;
    if (at < dict->count) *out = dict->values[at];
    return true;
}

static bool dict_widen(Jinja *j, Dict *dict) {
    const size_t capacity = dict->capacity ? 2 * dict->capacity : 4;
    Value *keys = jinja_take(j, capacity, sizeof *keys), *values = jinja_take(j, capacity, sizeof *values);
    if (!keys || !values) return false;
    if (dict->count) {
        memcpy(keys, dict->keys, dict->count * sizeof *keys);
        memcpy(values, dict->values, dict->count * sizeof *values);
    }
    dict->keys = keys;
    dict->values = values;
    dict->capacity = capacity;
    return true;
}

bool dict_set(Jinja *j, Dict *dict, Value key, Value value) {
    size_t at;
    if (!dict_index(j, dict, key, &at)) return false;
    if (at < dict->count) return dict->values[at] = value, true;
    if (dict->count == dict->capacity && !dict_widen(j, dict)) return false;
    dict->keys[dict->count] = key;
    dict->values[dict->count++] = value;
    return true;
}

// ---- containers ----

static bool list_contains(Jinja *j, const List *list, const Value *what, bool *out) {
    *out = false;
    for (size_t i = 0; !*out && i < list->count; i++) {
        if (!value_equal(j, &list->items[i], what, out)) return false;
    }
    return true;
}

bool value_contains(Jinja *j, const Value *in, const Value *what, bool *out) {
    Value found;
    List list;
    if (in->kind == STRING && what->kind != STRING)
        return jinja_refuse(j, "a text contains texts, not %s", value_kind_name(what));
    if (in->kind == STRING) {
        const size_t at = string_find(in->string, what->string, 0);
        *out = at != SIZE_MAX;
        return jinja_spend(j, in->string.length / 16);
    }
    if (in->kind == DICT) {
        if (!dict_find(j, in->dict, *what, &found)) return false;
        *out = found.kind != MISSING;
        return true;
    }
    return value_iterate(j, in, &list) && list_contains(j, &list, what, out);
}

bool value_length(Jinja *j, const Value *value, int64_t *out) {
    switch (value->kind) {
    case STRING: *out = string_length(value->string); return jinja_spend(j, value->string.length / 64);
    case LIST:
    case TUPLE:
    case VIEW: *out = (int64_t)value->list->count; return true;
    case DICT: *out = (int64_t)value->dict->count; return true;
    case UNDEFINED: *out = 0; return true;
    case LOOP: *out = (int64_t)value->loop->count; return true;
    case MISSING:
    case NONE:
    case BOOLEAN:
    case INTEGER:
    case REAL:
    case GENERATOR:
    case NAMESPACE:
    case MACRO:
    case BUILTIN: break;
    }
    return jinja_refuse(j, "%s has no length", value_kind_name(value));
}

static bool characters_of(Jinja *j, String s, List *out) {
    Value list;
    uint32_t code;
    if (!value_list(j, LIST, (size_t)string_length(s), &list)) return false;
    *out = *list.list;
    for (size_t i = 0, at = 0; i < out->count; i++) {
        const size_t n = utf8_next(s, at, &code);
        out->items[i] = value_string(s.data + at, n);
        at += n;
    }
    return true;
}

bool value_iterate(Jinja *j, const Value *value, List *out) {
    switch (value->kind) {
    case STRING: return characters_of(j, value->string, out);
    case LIST:
    case TUPLE:
    case VIEW: *out = *value->list; return true;
    case GENERATOR:
        *out = *value->list;
        value->list->count = 0;
        return true;
    case DICT: *out = (List){value->dict->keys, value->dict->count}; return true;
    case UNDEFINED: *out = (List){0}; return true;
    case LOOP: // the loop that runs is itself gone through: nothing that templates do
    case MISSING:
    case NONE:
    case BOOLEAN:
    case INTEGER:
    case REAL:
    case NAMESPACE:
    case MACRO:
    case BUILTIN: break;
    }
    return jinja_refuse(j, "%s cannot be gone through element by element", value_kind_name(value));
}

// ---- attributes and elements ----

static bool refuse_undefined(Jinja *j, const Value *value) {
    return jinja_refuse(j, "\"%.60s\" is undefined", value->name ? value->name : "?");
}

static Value of_loop(const JinjaLoop *loop, const char *name) {
    const int64_t index = (int64_t)loop->index, count = (int64_t)loop->count;
    if (strcmp(name, "index") == 0) return value_integer(index + 1);
    if (strcmp(name, "index0") == 0) return value_integer(index);
    if (strcmp(name, "revindex") == 0) return value_integer(count - index);
    if (strcmp(name, "revindex0") == 0) return value_integer(count - index - 1);
    if (strcmp(name, "length") == 0) return value_integer(count);
    if (strcmp(name, "first") == 0) return value_boolean(index == 0);
    if (strcmp(name, "last") == 0) return value_boolean(index == count - 1);
    if (strcmp(name, "depth") == 0) return value_integer(loop->depth);
    if (strcmp(name, "depth0") == 0) return value_integer(loop->depth - 1);
    if (strcmp(name, "previtem") == 0 && index > 0) return loop->items[index - 1];
    if (strcmp(name, "nextitem") == 0 && index < count - 1) return loop->items[index + 1];
    return value_undefined(name);
}

static bool bind_method(Jinja *j, const Value *of, const char *name, Value *out) {
    const Builtin *builtin = method_find(of->kind, name);
    if (!builtin) return true;
    Bound *bound = jinja_take(j, 1, sizeof *bound);
    if (!bound) return false;
    *bound = (Bound){builtin, *of};
    *out = (Value){.kind = BUILTIN, .bound = bound};
    return true;
}

bool value_attribute(Jinja *j, const Value *of, const char *name, Value *out) {
    *out = value_undefined(name);
    if (of->kind == UNDEFINED) return refuse_undefined(j, of);
    if (of->kind == LOOP) *out = of_loop(of->loop, name);
    if (!bind_method(j, of, name, out)) return false;
    if (out->kind == UNDEFINED && (of->kind == DICT || of->kind == NAMESPACE)) {
        Value found;
        if (!dict_find(j, of->dict, value_text(name), &found)) return false;
        if (found.kind != MISSING) *out = found;
    }
    return true;
}

// 0 … count − 1; false when there is no such element.
static bool element_index(const Value *key, int64_t count, size_t *out) {
    int64_t index = key->integer;
    if (key->kind != INTEGER && key->kind != BOOLEAN) return false;
    if (index < 0) index += count;
    *out = (size_t)index;
    return index >= 0 && index < count;
}

static Value character_at(String s, size_t index) {
    uint32_t code;
    size_t at = 0;
    for (size_t i = 0; i < index; i++) at += utf8_next(s, at, &code);
    return value_string(s.data + at, utf8_next(s, at, &code));
}

bool value_item(Jinja *j, const Value *of, const Value *key, Value *out) {
    size_t index;
    *out = value_undefined("element");
    if (of->kind == UNDEFINED) return refuse_undefined(j, of);
    if (of->kind == DICT && key->kind != LIST && key->kind != DICT) {
        Value found;
        if (!dict_find(j, of->dict, *key, &found)) return false;
        if (found.kind != MISSING) return *out = found, true;
    } else if (of->kind == LIST || of->kind == TUPLE) {
        if (element_index(key, (int64_t)of->list->count, &index)) *out = of->list->items[index];
    } else if (of->kind == STRING && key->kind != STRING) {
        if (!jinja_spend(j, of->string.length / 16)) return false;
        if (element_index(key, string_length(of->string), &index)) *out = character_at(of->string, index);
    }
    if (key->kind != STRING || out->kind != UNDEFINED) return true;
    Value name; // texts are not ended by a NUL
    return value_copied(j, key->string.data, key->string.length, &name) &&
           value_attribute(j, of, name.string.data, out);
}

// ---- slices ----

static bool slice_bound(Jinja *j, const Value *given, int64_t missing, int64_t count, bool back, int64_t *out) {
    *out = missing;
    if (given->kind == MISSING || given->kind == NONE) return true;
    if (given->kind != INTEGER && given->kind != BOOLEAN)
        return jinja_refuse(j, "%s cannot bound a slice", value_kind_name(given));
    int64_t at = given->integer < 0 ? given->integer + count : given->integer;
    if (at < 0) at = back ? -1 : 0;
    if (at > count - back) at = count - back;
    *out = at;
    return true;
}

typedef struct Slice {
    int64_t start, step;
    size_t count;
} Slice;

static bool slice_of(Jinja *j, int64_t count, const Value *start, const Value *stop, const Value *step, Slice *out) {
    int64_t end;
    const bool given = step->kind != MISSING && step->kind != NONE;
    out->step = given ? step->integer : 1;
    if ((given && step->kind != INTEGER) || !out->step)
        return jinja_refuse(j, "the step of a slice is a whole number, and not 0");
    const bool back = out->step < 0;
    if (!slice_bound(j, start, back ? count - 1 : 0, count, back, &out->start) ||
        !slice_bound(j, stop, back ? -1 : count, count, back, &end))
        return false;
    const int64_t span = back ? out->start - end : end - out->start;
    const uint64_t width = back ? -(uint64_t)out->step : (uint64_t)out->step;
    out->count = span > 0 ? ((uint64_t)span - 1) / width + 1 : 0;
    return true;
}

static bool slice_list(Jinja *j, const List *list, const Slice *slice, ValueKind kind, Value *out) {
    if (!value_list(j, kind, slice->count, out)) return false;
    for (size_t i = 0; i < slice->count; i++)
        out->list->items[i] = list->items[slice->start + (int64_t)i * slice->step];
    return true;
}

static bool join_characters(Jinja *j, const List *list, Value *out) {
    Buffer buffer = {0};
    for (size_t i = 0; i < list->count; i++) {
        if (!buffer_add(j, &buffer, list->items[i].string.data, list->items[i].string.length)) return false;
    }
    *out = value_string(buffer.data, buffer.length);
    return true;
}

bool value_slice(Jinja *j, const Value *of, const Value *start, const Value *stop, const Value *step, Value *out) {
    Slice slice;
    List list;
    Value part;
    if (of->kind == UNDEFINED) return refuse_undefined(j, of);
    *out = value_undefined("slice");
    if (of->kind != STRING && of->kind != LIST && of->kind != TUPLE) return true;
    if (!value_iterate(j, of, &list) || !slice_of(j, (int64_t)list.count, start, stop, step, &slice) ||
        !slice_list(j, &list, &slice, of->kind == STRING ? LIST : of->kind, &part))
        return false;
    if (of->kind == STRING) return join_characters(j, part.list, out);
    *out = part;
    return true;
}
