// Arguments put where the parameters of a filter, test, method or function want them; and the functions.
#include <locale.h>
#include <string.h>

#include "loaders/chat/jinja_parts.h"

#define RANGE_MOST 100000

// ---- functions ----

static bool raise_exception(Jinja *j, const Value *self, const Value *given, Value *out) {
    String message;
    (void)self;
    (void)out;
    if (!value_string_of(j, &given[0], &message)) return false;
    return jinja_refuse(j, "the template refuses this conversation: %.*s",
                        (int)(message.length > 400 ? 400 : message.length), message.data);
}

static bool strftime_now(Jinja *j, const Value *self, const Value *given, Value *out) {
    char format[200], text[400];
    (void)self;
    if (given[0].kind != STRING || given[0].string.length >= sizeof format)
        return jinja_refuse(j, "strftime_now needs a format");
    memcpy(format, given[0].string.data, given[0].string.length);
    format[given[0].string.length] = '\0';
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    const size_t n = strftime_l(text, sizeof text, format, j->now, c);
    freelocale(c);
    return value_copied(j, text, n, out);
}

static bool whole_argument(Jinja *j, const Value *given, int64_t missing, int64_t *out) {
    *out = given->kind == MISSING ? missing : given->integer;
    return given->kind == MISSING || given->kind == INTEGER || given->kind == BOOLEAN ||
           jinja_refuse(j, "%s is no whole number", value_kind_name(given));
}

static bool run_range(Jinja *j, const Value *self, const Value *given, Value *out) {
    int64_t first, second, step, span;
    (void)self;
    if (!whole_argument(j, &given[0], 0, &first) || !whole_argument(j, &given[1], 0, &second) ||
        !whole_argument(j, &given[2], 1, &step))
        return false;
    const int64_t start = given[1].kind == MISSING ? 0 : first, stop = given[1].kind == MISSING ? first : second;
    if (!step) return jinja_refuse(j, "the step of a range is not 0");
    if (__builtin_sub_overflow(step > 0 ? stop : start, step > 0 ? start : stop, &span))
        return jinja_refuse(j, "the range is too large");
    const uint64_t width = step > 0 ? (uint64_t)step : -(uint64_t)step;
    const uint64_t count = span > 0 ? ((uint64_t)span - 1) / width + 1 : 0;
    if (count > RANGE_MOST) return jinja_refuse(j, "the range has more than %d numbers", RANGE_MOST);
    if (!value_list(j, LIST, count, out)) return false;
    for (uint64_t i = 0; i < count; i++) out->list->items[i] = value_integer(start + (int64_t)i * step);
    return true;
}

static bool copy_mapping(Jinja *j, ValueKind kind, const Value *from, Value *out) {
    if (!value_dict(j, kind, 4, out)) return false;
    if (from->kind == MISSING) return true;
    if (from->kind != DICT) return jinja_refuse(j, "%s is no mapping", value_kind_name(from));
    for (size_t i = 0; i < from->dict->count; i++) {
        if (!dict_set(j, out->dict, from->dict->keys[i], from->dict->values[i])) return false;
    }
    return true;
}

static bool new_namespace(Jinja *j, const Value *self, const Value *given, Value *out) {
    (void)self;
    return copy_mapping(j, NAMESPACE, &given[0], out);
}

static bool new_dict(Jinja *j, const Value *self, const Value *given, Value *out) {
    (void)self;
    return copy_mapping(j, DICT, &given[0], out);
}

static const Builtin functions[] = {
    {"raise_exception", "message", 1, raise_exception},
    {"strftime_now", "format", 1, strftime_now},
    {"range", "start stop step", 1, run_range},
    {"namespace", "mapping", 0, new_namespace},
    {"dict", "mapping", 0, new_dict},
};

const Builtin *function_find(const char *name) {
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (strcmp(functions[i].name, name) == 0) return &functions[i];
    }
    return NULL;
}

// ---- arguments ----

// The place of a parameter in "width first blank"; −1 when there is none of that name.
static int parameter_index(const char *parameters, const char *name) {
    const size_t length = strlen(name);
    int index = 0;
    for (const char *at = parameters; *at; index++) {
        const size_t n = strcspn(at, " ");
        if (n == length && memcmp(at, name, n) == 0) return index;
        at += n + (at[n] == ' ');
    }
    return -1;
}

static int parameter_count(const char *parameters) {
    int count = *parameters != '\0';
    for (; *parameters; parameters++) count += *parameters == ' ';
    return count;
}

// namespace and dict: arguments by any name are their fields.
static bool takes_fields(const Builtin *builtin) { return builtin->run == new_namespace || builtin->run == new_dict; }

static bool add_fields(Jinja *j, const Value *args, const char *const *names, size_t count, Value *into) {
    for (size_t i = 0; i < count; i++) {
        if (!names[i]) continue;
        if (into->kind == NAMESPACE && names[i][0] == '_')
            return jinja_refuse(j, "a field of a namespace may not begin with _");
        if (!dict_set(j, into->dict, value_text(names[i]), args[i])) return false;
    }
    return true;
}

static bool place_arguments(Jinja *j, const Builtin *builtin, const Value *args, const char *const *names, size_t count,
                            Value given[BUILTIN_MOST]) {
    const int most = parameter_count(builtin->parameters);
    for (size_t i = 0; i < count; i++) {
        const char *name = names ? names[i] : NULL;
        if (name && takes_fields(builtin)) continue;
        const int at = name ? parameter_index(builtin->parameters, name) : i < (size_t)most ? (int)i : -1;
        if (at < 0 && name) return jinja_refuse(j, "%s has no argument %.40s", builtin->name, name);
        if (at < 0) return jinja_refuse(j, "%s takes at most %d arguments", builtin->name, most);
        given[at] = args[i];
    }
    for (int i = 0; i < builtin->least; i++) {
        if (given[i].kind == MISSING) return jinja_refuse(j, "%s needs %d arguments", builtin->name, builtin->least);
    }
    return true;
}

bool builtin_call(Jinja *j, const Builtin *builtin, const Value *self, const Value *args, const char *const *names,
                  size_t count, Value *out) {
    Value given[BUILTIN_MOST] = {{0}};
    *out = value_none();
    if (!place_arguments(j, builtin, args, names, count, given) || !jinja_enter(j)) return false;
    const bool ok = builtin->run(j, self, given, out) &&
                    (!names || !takes_fields(builtin) || add_fields(j, args, names, count, out));
    j->depth--;
    return ok;
}
