// Methods of Python's str, dict and list that templates call. Those that change what they belong to are refused, as the
// sandbox of transformers does.
#include <string.h>

#include "loaders/chat/jinja_parts.h"

#define METHOD(name) static bool name(Jinja *j, const Value *self, const Value *given, Value *out)
#define UNUSED(x) (void)(x)

static bool text_argument(Jinja *j, const Value *given, String *out) {
    if (given->kind != STRING) return jinja_refuse(j, "a text is expected as argument, not %s", value_kind_name(given));
    *out = given->string;
    return true;
}

static bool given_at_all(const Value *given) { return given->kind != MISSING && given->kind != NONE; }

// ---- str ----

static bool strip_text(Jinja *j, const Value *self, const Value *given, int sides, Value *out) {
    String characters;
    if (given_at_all(&given[0]) && !text_argument(j, &given[0], &characters)) return false;
    if (!string_stripped(j, self->string, given_at_all(&given[0]) ? &characters : NULL, sides, out)) return false;
    out->safe = self->safe;
    return true;
}

METHOD(str_strip) { return strip_text(j, self, given, SIDE_LEFT | SIDE_RIGHT, out); }
METHOD(str_lstrip) { return strip_text(j, self, given, SIDE_LEFT, out); }
METHOD(str_rstrip) { return strip_text(j, self, given, SIDE_RIGHT, out); }

static bool split_text(Jinja *j, const Value *self, const Value *given, bool right, Value *out) {
    String separator;
    if (given_at_all(&given[0]) && !text_argument(j, &given[0], &separator)) return false;
    const int64_t most = given[1].kind == INTEGER ? given[1].integer : -1;
    return string_split(j, self->string, given_at_all(&given[0]) ? &separator : NULL, most, right, out);
}

METHOD(str_split) { return split_text(j, self, given, false, out); }
METHOD(str_rsplit) { return split_text(j, self, given, true, out); }
METHOD(str_splitlines) { return UNUSED(given), string_lines(j, self->string, out); }

// Whether the text begins or ends with an argument.
static bool find_affix(Jinja *j, String s, const Value *given, bool at_end, String *affix, bool *out) {
    if (!text_argument(j, given, affix) || !jinja_spend(j, affix->length / 64)) return false;
    *out = s.length >= affix->length &&
           memcmp(s.data + (at_end ? s.length - affix->length : 0), affix->data, affix->length) == 0;
    return true;
}

static bool has_affix(Jinja *j, const Value *self, const Value *given, bool at_end, Value *out) {
    const List one = {(Value *)given, 1}; // NOLINT(cast-qual): it is only read
    const List *list = given[0].kind == TUPLE ? given[0].list : &one;
    *out = value_boolean(false);
    for (size_t i = 0; i < list->count; i++) {
        String wanted;
        bool found;
        if (!find_affix(j, self->string, &list->items[i], at_end, &wanted, &found)) return false;
        if (found) *out = value_boolean(true);
    }
    return true;
}

METHOD(str_startswith) { return has_affix(j, self, given, false, out); }
METHOD(str_endswith) { return has_affix(j, self, given, true, out); }

METHOD(str_removeprefix) {
    String prefix, s = self->string;
    bool found;
    if (!find_affix(j, s, &given[0], false, &prefix, &found)) return false;
    const size_t cut = found ? prefix.length : 0;
    *out = value_string(s.data + cut, s.length - cut);
    return true;
}

METHOD(str_removesuffix) {
    String suffix, s = self->string;
    bool found;
    if (!find_affix(j, s, &given[0], true, &suffix, &found)) return false;
    *out = value_string(s.data, s.length - (found ? suffix.length : 0));
    return true;
}

METHOD(str_replace) {
    String from, to;
    const int64_t most = given[2].kind == INTEGER ? given[2].integer : -1;
    return text_argument(j, &given[0], &from) && text_argument(j, &given[1], &to) &&
           string_replace(j, self->string, from, to, most, out);
}

METHOD(str_upper) { return UNUSED(given), string_case(j, self->string, CASE_UPPER, out); }
METHOD(str_lower) { return UNUSED(given), string_case(j, self->string, CASE_LOWER, out); }
METHOD(str_title) { return UNUSED(given), string_case(j, self->string, CASE_TITLE, out); }
METHOD(str_capitalize) { return UNUSED(given), string_case(j, self->string, CASE_CAPITAL, out); }

METHOD(str_join) {
    List items;
    Buffer text = {0};
    if (!value_iterate(j, &given[0], &items)) return false;
    for (size_t i = 0; i < items.count; i++) {
        String piece;
        if (!text_argument(j, &items.items[i], &piece) ||
            (i && !buffer_add(j, &text, self->string.data, self->string.length)) ||
            !buffer_add(j, &text, piece.data, piece.length))
            return false;
    }
    *out = value_string(text.data, text.length);
    return true;
}

METHOD(str_find) {
    String what;
    if (!text_argument(j, &given[0], &what) || !jinja_spend(j, self->string.length / 16)) return false;
    const size_t at = string_find(self->string, what, 0);
    *out = value_integer(at == SIZE_MAX ? -1 : string_length((String){self->string.data, at}));
    return true;
}

METHOD(str_count) {
    String what;
    int64_t count = 0;
    if (!text_argument(j, &given[0], &what) || !jinja_spend(j, self->string.length / 16)) return false;
    if (!what.length) count = string_length(self->string) + 1;
    for (size_t at = 0; what.length && (at = string_find(self->string, what, at)) != SIZE_MAX; at += what.length)
        count++;
    *out = value_integer(count);
    return true;
}

// The place of a {} or {0} that begins here, and where it ends; −1 for what is neither.
static int format_field(String s, size_t at, int next, size_t *end) {
    const char digit = at + 1 < s.length ? s.data[at + 1] : '\0';
    *end = at + 2;
    if (digit == '}') return next;
    if (digit < '0' || digit > '9' || at + 2 >= s.length || s.data[at + 2] != '}') return -1;
    *end = at + 3;
    return digit - '0';
}

// {}, {0} and doubled braces: all that templates use of it.
METHOD(str_format) {
    const String s = self->string;
    Buffer text = {0};
    int next = 0;
    for (size_t at = 0, end; at < s.length; at = end) {
        const char c = s.data[at];
        end = at + 1;
        if ((c == '{' || c == '}') && end < s.length && s.data[end] == c)
            end++;
        else if (c == '{' || c == '}') {
            const int place = c == '{' ? format_field(s, at, next++, &end) : -1;
            if (place < 0 || place >= BUILTIN_MOST || given[place].kind == MISSING)
                return jinja_refuse(j, "of format, only {} and {0} with an argument for each are supported");
            if (!show_plain(j, &given[place], &text)) return false;
            continue;
        }
        if (!buffer_add(j, &text, &c, 1)) return false;
    }
    *out = value_string(text.data, text.length);
    return true;
}

// ---- dict, namespace ----

METHOD(dict_get_method) {
    if (!dict_find(j, self->dict, given[0], out)) return false;
    if (out->kind == MISSING) *out = given[1].kind == MISSING ? value_none() : given[1];
    return true;
}

METHOD(dict_items) { return UNUSED(given), dict_pairs(j, self->dict, VIEW, out); }

static bool dict_view(Jinja *j, const Value *items, size_t count, Value *out) {
    if (!value_list(j, VIEW, count, out)) return false;
    if (count) memcpy(out->list->items, items, count * sizeof *items);
    return true;
}

METHOD(dict_keys) { return UNUSED(given), dict_view(j, self->dict->keys, self->dict->count, out); }
METHOD(dict_values) { return UNUSED(given), dict_view(j, self->dict->values, self->dict->count, out); }

// ---- list ----

METHOD(list_index) {
    for (size_t i = 0; i < self->list->count; i++) {
        bool same;
        if (!value_equal(j, &self->list->items[i], &given[0], &same)) return false;
        if (same) return *out = value_integer((int64_t)i), true;
    }
    return jinja_refuse(j, "the list has no such element");
}

METHOD(list_count) {
    int64_t count = 0;
    for (size_t i = 0; i < self->list->count; i++) {
        bool same;
        if (!value_equal(j, &self->list->items[i], &given[0], &same)) return false;
        count += same;
    }
    *out = value_integer(count);
    return true;
}

METHOD(changes) {
    UNUSED(given);
    UNUSED(out);
    return jinja_refuse(j, "templates may not change %s in its place", value_kind_name(self));
}

typedef struct ValueMethod {
    ValueKind of;
    Builtin builtin;
} ValueMethod;

static const ValueMethod methods[] = {
    {STRING, {"strip", "chars", 0, str_strip}},
    {STRING, {"lstrip", "chars", 0, str_lstrip}},
    {STRING, {"rstrip", "chars", 0, str_rstrip}},
    {STRING, {"split", "sep maxsplit", 0, str_split}},
    {STRING, {"rsplit", "sep maxsplit", 0, str_rsplit}},
    {STRING, {"splitlines", "", 0, str_splitlines}},
    {STRING, {"startswith", "prefix", 1, str_startswith}},
    {STRING, {"endswith", "suffix", 1, str_endswith}},
    {STRING, {"removeprefix", "prefix", 1, str_removeprefix}},
    {STRING, {"removesuffix", "suffix", 1, str_removesuffix}},
    {STRING, {"replace", "old new count", 2, str_replace}},
    {STRING, {"upper", "", 0, str_upper}},
    {STRING, {"lower", "", 0, str_lower}},
    {STRING, {"title", "", 0, str_title}},
    {STRING, {"capitalize", "", 0, str_capitalize}},
    {STRING, {"join", "iterable", 1, str_join}},
    {STRING, {"find", "sub", 1, str_find}},
    {STRING, {"count", "sub", 1, str_count}},
    {STRING, {"format", "1 2 3 4 5", 0, str_format}},
    {DICT, {"get", "key default", 1, dict_get_method}},
    {DICT, {"items", "", 0, dict_items}},
    {DICT, {"keys", "", 0, dict_keys}},
    {DICT, {"values", "", 0, dict_values}},
    {DICT, {"pop", "key default", 0, changes}},
    {DICT, {"update", "other", 0, changes}},
    {DICT, {"setdefault", "key default", 0, changes}},
    {DICT, {"clear", "", 0, changes}},
    {LIST, {"index", "value", 1, list_index}},
    {LIST, {"count", "value", 1, list_count}},
    {TUPLE, {"index", "value", 1, list_index}},
    {TUPLE, {"count", "value", 1, list_count}},
    {LIST, {"append", "object", 0, changes}},
    {LIST, {"extend", "iterable", 0, changes}},
    {LIST, {"insert", "index object", 0, changes}},
    {LIST, {"pop", "index", 0, changes}},
    {LIST, {"remove", "value", 0, changes}},
    {LIST, {"sort", "key reverse", 0, changes}},
    {LIST, {"reverse", "", 0, changes}},
    {LIST, {"clear", "", 0, changes}},
};

const Builtin *method_find(ValueKind kind, const char *name) {
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (methods[i].of == kind && strcmp(methods[i].builtin.name, name) == 0) return &methods[i].builtin;
    }
    return NULL;
}
