// Values as text: Python's str(), repr() and json.dumps().
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <utf8proc.h>

#include "base/number.h"
#include "loaders/chat/jinja_parts.h"

#define TEXT_LIMIT ((size_t)8 << 20)

bool buffer_add(Jinja *j, Buffer *buffer, const char *data, size_t length) {
    if (length > TEXT_LIMIT - buffer->length)
        return jinja_refuse(j, "the template makes a text of more than %zu MB", TEXT_LIMIT >> 20);
    if (buffer->length + length > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 64;
        while (capacity < buffer->length + length) capacity *= 2;
        char *grown = jinja_take(j, capacity, 1);
        if (!grown) return false;
        if (buffer->length) memcpy(grown, buffer->data, buffer->length);
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    if (length) memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
    return jinja_spend(j, length / 64);
}

static bool add_text(Jinja *j, Buffer *out, const char *text) { return buffer_add(j, out, text, strlen(text)); }

// ---- numbers ----

// The shortest digits that read back as the same number, with an exponent where Python writes one.
static void real_text(double value, char out[64]) {
    char digits[40], sign = '-';
    int exponent = 0, count = 0;
    if (!isfinite(value)) {
        snprintf(out, 64, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    for (int precision = 0; precision < 17; precision++) {
        double back;
        snprintf(digits, sizeof digits, "%.*e", precision, value);
        char *comma = strchr(digits, ',');
        if (comma) *comma = '.';
        if (number_parse(digits, &back) && back == value) break;
    }
    sscanf(strchr(digits, 'e') + 1, "%d", &exponent); // NOLINT(cert-err34-c): printf wrote it
    char plain[40] = "";
    for (const char *c = digits; *c != 'e'; c++) {
        if (*c >= '0' && *c <= '9') plain[count++] = *c;
    }
    const char *minus = digits[0] == sign ? "-" : "";
    if (exponent < -4 || exponent >= 16)
        snprintf(out, 64, "%s%c%s%.*se%+03d", minus, plain[0], count > 1 ? "." : "", count - 1, plain + 1, exponent);
    else if (exponent < 0)
        snprintf(out, 64, "%s0.%0*d%.*s", minus, -exponent - 1, 0, count, plain);
    else if (exponent + 1 >= count)
        snprintf(out, 64, "%s%.*s%.*s.0", minus, count, plain, exponent + 1 - count, "0000000000000000");
    else
        snprintf(out, 64, "%s%.*s.%.*s", minus, exponent + 1, plain, count - exponent - 1, plain + exponent + 1);
    if (exponent == -1) snprintf(out, 64, "%s0.%.*s", minus, count, plain);
}

static bool show_number(Jinja *j, const Value *value, Buffer *out) {
    char text[64];
    if (value->kind == REAL)
        real_text(value->real, text);
    else
        snprintf(text, sizeof text, "%lld", (long long)value->integer);
    return add_text(j, out, text);
}

// ---- repr ----

static bool is_printable(uint32_t code) {
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return false;
    case UTF8PROC_CATEGORY_ZS: return code == ' ';
    default: return true;
    }
}

static void escape_code(uint32_t code, char quote, char out[16]) {
    const char *const short_form = code == '\n' ? "\\n" : code == '\r' ? "\\r" : code == '\t' ? "\\t" : NULL;
    if (short_form)
        snprintf(out, 16, "%s", short_form);
    else if (code == '\\' || code == (unsigned char)quote)
        snprintf(out, 16, "\\%c", (int)code);
    else if (is_printable(code))
        out[utf8_write(code, out)] = '\0';
    else
        snprintf(out, 16, code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
}

static bool show_quoted(Jinja *j, String s, Buffer *out) {
    const bool single = s.length && memchr(s.data, '\'', s.length), twice = s.length && memchr(s.data, '"', s.length);
    const char quote[] = {single && !twice ? '"' : '\'', '\0'};
    uint32_t code;
    char text[16];
    bool ok = add_text(j, out, quote);
    for (size_t at = 0; ok && at < s.length;) {
        at += utf8_next(s, at, &code);
        escape_code(code, quote[0], text);
        ok = add_text(j, out, text);
    }
    return ok && add_text(j, out, quote);
}

static bool show_items(Jinja *j, const List *list, const char *open, const char *close, Buffer *out) {
    bool ok = add_text(j, out, open);
    for (size_t i = 0; ok && i < list->count; i++)
        ok = (!i || add_text(j, out, ", ")) && show_repr(j, &list->items[i], out);
    return ok && (!(close[0] == ')' && list->count == 1) || add_text(j, out, ",")) && add_text(j, out, close);
}

static bool show_dict(Jinja *j, const Dict *dict, Buffer *out) {
    bool ok = add_text(j, out, "{");
    for (size_t i = 0; ok && i < dict->count; i++) {
        ok = (!i || add_text(j, out, ", ")) && show_repr(j, &dict->keys[i], out) && add_text(j, out, ": ") &&
             show_repr(j, &dict->values[i], out);
    }
    return ok && add_text(j, out, "}");
}

static bool show_value(Jinja *j, const Value *value, bool quoted, Buffer *out) {
    switch (value->kind) {
    case UNDEFINED: return !quoted || add_text(j, out, "Undefined");
    case NONE: return add_text(j, out, "None");
    case BOOLEAN: return add_text(j, out, value->integer ? "True" : "False");
    case INTEGER:
    case REAL: return show_number(j, value, out);
    case STRING:
        return quoted ? show_quoted(j, value->string, out)
                      : buffer_add(j, out, value->string.data, value->string.length);
    case LIST: return show_items(j, value->list, "[", "]", out);
    case TUPLE: return show_items(j, value->list, "(", ")", out);
    case DICT: return show_dict(j, value->dict, out);
    case MISSING:
    case VIEW:
    case GENERATOR:
    case NAMESPACE:
    case MACRO:
    case BUILTIN:
    case LOOP: break;
    }
    return jinja_refuse(j, "%s cannot be printed", value_kind_name(value));
}

bool show_repr(Jinja *j, const Value *value, Buffer *out) {
    if (!jinja_enter(j)) return false;
    const bool ok = show_value(j, value, true, out);
    j->depth--;
    return ok;
}

bool show_plain(Jinja *j, const Value *value, Buffer *out) {
    if (!jinja_enter(j)) return false;
    const bool ok = show_value(j, value, false, out);
    j->depth--;
    return ok;
}

bool value_string_of(Jinja *j, const Value *value, String *out) {
    Buffer buffer = {0};
    if (value->kind == STRING) {
        *out = value->string;
        return true;
    }
    if (!show_plain(j, value, &buffer)) return false;
    *out = (String){buffer.length ? buffer.data : "", buffer.length};
    return true;
}

// ---- JSON ----

static void escape_json(uint32_t code, bool ascii, char out[16]) {
    static const char short_forms[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = code && code < 0x80 ? strchr(short_forms, (int)code) : NULL;
    if (found)
        snprintf(out, 16, "\\%c", letters[found - short_forms]);
    else if (code < 0x20 || (ascii && code > 0x7E && code < 0x10000))
        snprintf(out, 16, code == 0x7F ? "\x7F" : "\\u%04x", code);
    else if (ascii && code >= 0x10000)
        snprintf(out, 16, "\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF));
    else
        out[utf8_write(code, out)] = '\0';
}

static bool json_text(Jinja *j, String s, const JsonStyle *style, Buffer *out) {
    uint32_t code;
    char text[16];
    bool ok = add_text(j, out, "\"");
    for (size_t at = 0; ok && at < s.length;) {
        at += utf8_next(s, at, &code);
        escape_json(code, style->ascii, text);
        ok = add_text(j, out, text);
    }
    return ok && add_text(j, out, "\"");
}

static bool json_number(Jinja *j, const Value *value, Buffer *out) {
    if (value->kind != REAL || isfinite(value->real)) return show_number(j, value, out);
    return add_text(j, out, isnan(value->real) ? "NaN" : value->real < 0 ? "-Infinity" : "Infinity");
}

static bool json_line(Jinja *j, const JsonStyle *style, int level, Buffer *out) {
    if (!style->indented) return true;
    bool ok = add_text(j, out, "\n");
    for (int i = 0; ok && i < level; i++) ok = buffer_add(j, out, style->indent.data, style->indent.length);
    return ok;
}

static bool json_between(Jinja *j, const JsonStyle *style, size_t index, int level, Buffer *out) {
    return (!index || buffer_add(j, out, style->between.data, style->between.length)) &&
           json_line(j, style, level, out);
}

static bool json_list(Jinja *j, const List *list, const JsonStyle *style, int level, Buffer *out) {
    if (!list->count) return add_text(j, out, "[]");
    bool ok = add_text(j, out, "[");
    for (size_t i = 0; ok && i < list->count; i++) {
        ok = json_between(j, style, i, level + 1, out) && show_json(j, &list->items[i], style, level + 1, out);
    }
    return ok && json_line(j, style, level, out) && add_text(j, out, "]");
}

static bool json_key(Jinja *j, const Value *key, const JsonStyle *style, Buffer *out) {
    if (key->kind == STRING) return json_text(j, key->string, style, out);
    if (key->kind != NONE && !is_number(key)) return jinja_refuse(j, "%s is no key in JSON", value_kind_name(key));
    return add_text(j, out, "\"") && show_json(j, key, style, 0, out) && add_text(j, out, "\"");
}

// The entry with the least key above the last one, when they are sorted: few templates sort, and little.
static bool json_sorted_order(Jinja *j, const Dict *dict, size_t *order) {
    for (size_t i = 0; i < dict->count; i++) {
        size_t at = i;
        for (; at > 0; at--) {
            int less;
            if (!value_order(j, &dict->keys[order[at - 1]], &dict->keys[i], &less)) return false;
            if (less <= 0) break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    return true;
}

static bool json_dict(Jinja *j, const Dict *dict, const JsonStyle *style, int level, Buffer *out) {
    if (!dict->count) return add_text(j, out, "{}");
    size_t *order = jinja_take(j, dict->count, sizeof *order);
    if (!order) return false;
    for (size_t i = 0; i < dict->count; i++) order[i] = i;
    bool ok = (!style->sorted || json_sorted_order(j, dict, order)) && add_text(j, out, "{");
    for (size_t i = 0; ok && i < dict->count; i++) {
        ok = json_between(j, style, i, level + 1, out) && json_key(j, &dict->keys[order[i]], style, out) &&
             buffer_add(j, out, style->after_key.data, style->after_key.length) &&
             show_json(j, &dict->values[order[i]], style, level + 1, out);
    }
    return ok && json_line(j, style, level, out) && add_text(j, out, "}");
}

bool show_json(Jinja *j, const Value *value, const JsonStyle *style, int level, Buffer *out) {
    if (!jinja_enter(j)) return false;
    bool ok;
    if (value->kind == NONE)
        ok = add_text(j, out, "null");
    else if (value->kind == BOOLEAN)
        ok = add_text(j, out, value->integer ? "true" : "false");
    else if (is_number(value))
        ok = json_number(j, value, out);
    else if (value->kind == STRING)
        ok = json_text(j, value->string, style, out);
    else if (value->kind == LIST || value->kind == TUPLE)
        ok = json_list(j, value->list, style, level, out);
    else if (value->kind == DICT)
        ok = json_dict(j, value->dict, style, level, out);
    else
        ok = jinja_refuse(j, "%s cannot be written as JSON", value_kind_name(value));
    j->depth--;
    return ok;
}
