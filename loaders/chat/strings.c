// What Python's str can do, on UTF-8.
#include <string.h>

#include <utf8proc.h>

#include "loaders/chat/jinja_parts.h"

// Texts are checked where they come in; a byte that is none of UTF-8 counts as a character all the same.
size_t utf8_next(String s, size_t at, uint32_t *code) {
    const size_t n = utf8_read(s.data + at, s.length - at, code);
    if (n) return n;
    *code = 0xFFFD;
    return at < s.length;
}

static size_t utf8_before(String s, size_t at) {
    while (at > 0 && ((unsigned char)s.data[--at] & 0xC0) == 0x80) continue;
    return at;
}

bool string_is(String s, const char *text) { return s.length == strlen(text) && memcmp(s.data, text, s.length) == 0; }

int64_t string_length(String s) {
    int64_t count = 0;
    uint32_t code;
    for (size_t at = 0; at < s.length; count++) at += utf8_next(s, at, &code);
    return count;
}

// ---- strip ----

static bool is_among(uint32_t code, const String *characters) {
    uint32_t other;
    if (!characters) return utf8_is_white(code);
    for (size_t at = 0; at < characters->length;) {
        at += utf8_next(*characters, at, &other);
        if (other == code) return true;
    }
    return false;
}

String string_strip(String s, const String *characters, int sides) {
    uint32_t code;
    size_t start = 0, end = s.length;
    while (sides & SIDE_LEFT && start < end) {
        const size_t n = utf8_next(s, start, &code);
        if (!is_among(code, characters)) break;
        start += n;
    }
    while (sides & SIDE_RIGHT && end > start) {
        const size_t before = utf8_before(s, end);
        utf8_next(s, before, &code);
        if (!is_among(code, characters)) break;
        end = before;
    }
    return (String){s.data + start, end - start};
}

bool string_stripped(Jinja *j, String s, const String *characters, int sides, Value *out) {
    if (!jinja_spend(j, s.length / 16 * (1 + (characters ? characters->length : 0)))) return false;
    s = string_strip(s, characters, sides);
    *out = value_string(s.data, s.length);
    return true;
}

// ---- find, replace, split ----

size_t string_find(String in, String what, size_t from) {
    if (!what.length) return from;
    const char *found = from < in.length ? memmem(in.data + from, in.length - from, what.data, what.length) : NULL;
    return found ? (size_t)(found - in.data) : SIZE_MAX;
}

// Nothing stands before every character and at the end.
static bool replace_nothing(Jinja *j, String s, String to, int64_t most, Buffer *out) {
    uint32_t code;
    for (size_t at = 0, n; at <= s.length; at += n) {
        if (most-- > 0 && !buffer_add(j, out, to.data, to.length)) return false;
        if (at == s.length) break;
        n = utf8_next(s, at, &code);
        if (!buffer_add(j, out, s.data + at, n)) return false;
    }
    return true;
}

static bool replace_each(Jinja *j, String s, String from, String to, int64_t most, Buffer *out) {
    size_t done = 0;
    for (size_t at; most-- > 0 && (at = string_find(s, from, done)) != SIZE_MAX; done = at + from.length) {
        if (!buffer_add(j, out, s.data + done, at - done) || !buffer_add(j, out, to.data, to.length)) return false;
    }
    return buffer_add(j, out, s.data + done, s.length - done);
}

bool string_replace(Jinja *j, String s, String from, String to, int64_t most, Value *out) {
    Buffer buffer = {0};
    if (most < 0) most = INT64_MAX;
    if (!jinja_spend(j, s.length / 16)) return false;
    if (!(from.length ? replace_each(j, s, from, to, most, &buffer) : replace_nothing(j, s, to, most, &buffer)))
        return false;
    *out = value_string(buffer.data, buffer.length);
    return true;
}

static bool list_push(Jinja *j, List *list, size_t *capacity, Value value) {
    if (list->count == *capacity) {
        const size_t wider = *capacity ? 2 * *capacity : 8;
        Value *grown = jinja_take(j, wider, sizeof *grown);
        if (!grown) return false;
        if (list->count) memcpy(grown, list->items, list->count * sizeof *grown);
        list->items = grown;
        *capacity = wider;
    }
    list->items[list->count++] = value;
    return true;
}

// The next white space from `at` on; SIZE_MAX when there is none. *length: of the run.
static size_t find_white(String s, size_t at, size_t *length) {
    uint32_t code;
    for (size_t n; at < s.length; at += n) {
        n = utf8_next(s, at, &code);
        if (!utf8_is_white(code)) continue;
        size_t end = at;
        while (end < s.length && (n = utf8_next(s, end, &code)) && utf8_is_white(code)) end += n;
        *length = end - at;
        return at;
    }
    return SIZE_MAX;
}

static size_t find_separator(String s, const String *separator, size_t at, size_t *length) {
    if (!separator) return find_white(s, at, length);
    *length = separator->length;
    return string_find(s, *separator, at);
}

static bool split_left(Jinja *j, String s, const String *separator, int64_t most, List *out) {
    size_t capacity = 0, at = 0, length;
    if (!separator) s = string_strip(s, NULL, SIDE_LEFT);
    for (size_t found; most-- > 0 && (found = find_separator(s, separator, at, &length)) != SIZE_MAX;) {
        if (!separator && found + length == s.length) break;
        if (!list_push(j, out, &capacity, value_string(s.data + at, found - at))) return false;
        at = found + length;
    }
    String rest = {s.data + at, s.length - at};
    if (!separator && (most >= 0 || !rest.length)) rest = string_strip(rest, NULL, SIDE_RIGHT);
    return (!separator && !rest.length) || list_push(j, out, &capacity, value_string(rest.data, rest.length));
}

// The last pieces of a full split, with the rest of the text as the first.
static bool split_right(Jinja *j, String s, const String *separator, int64_t most, List *out) {
    List all = {0};
    if (!split_left(j, s, separator, INT64_MAX, &all)) return false;
    *out = all;
    if ((int64_t)all.count - 1 <= most) return true;
    const size_t kept = (size_t)most, merged = all.count - kept;
    String first = all.items[0].string, last = all.items[merged - 1].string;
    const char *from = separator ? first.data : s.data;
    String front = {from, (size_t)(last.data + last.length - from)};
    out->items = all.items + merged - 1;
    out->items[0] = value_string(front.data, front.length);
    out->count = kept + 1;
    return true;
}

bool string_split(Jinja *j, String s, const String *separator, int64_t most, bool from_right, Value *out) {
    if (separator && !separator->length) return jinja_refuse(j, "split needs a separator that is not empty");
    if (most < 0) most = INT64_MAX;
    return jinja_spend(j, s.length / 16) && value_list(j, LIST, 0, out) &&
           (from_right ? split_right : split_left)(j, s, separator, most, out->list);
}

static bool ends_line(uint32_t code) {
    return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 || code == 0x2028 ||
           code == 0x2029;
}

bool string_lines(Jinja *j, String s, Value *out) {
    size_t capacity = 0, start = 0;
    uint32_t code;
    if (!jinja_spend(j, s.length / 16) || !value_list(j, LIST, 0, out)) return false;
    for (size_t at = 0; at < s.length;) {
        const size_t n = utf8_next(s, at, &code);
        if (!ends_line(code)) {
            at += n;
            continue;
        }
        if (!list_push(j, out->list, &capacity, value_string(s.data + start, at - start))) return false;
        at += n + (code == '\r' && at + 1 < s.length && s.data[at + 1] == '\n');
        start = at;
    }
    return start == s.length || list_push(j, out->list, &capacity, value_string(s.data + start, s.length - start));
}

// ---- case ----

static bool is_cased(uint32_t code) {
    const utf8proc_int32_t c = (utf8proc_int32_t)code;
    const utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
}

static bool add_case(Jinja *j, uint32_t code, bool upper, bool title, Buffer *out) {
    char bytes[8];
    const utf8proc_int32_t c = (utf8proc_int32_t)code;
    if (code == 0xDF && (upper || title)) return buffer_add(j, out, title ? "Ss" : "SS", 2);
    const utf8proc_int32_t changed = title ? utf8proc_totitle(c) : upper ? utf8proc_toupper(c) : utf8proc_tolower(c);
    return buffer_add(j, out, bytes, utf8_write((uint32_t)changed, bytes));
}

// Whether a word begins behind this character, as Jinja's filter `title` sees it.
static bool parts_words(uint32_t code) {
    return utf8_is_white(code) || code == '-' || code == '(' || code == '{' || code == '[' || code == '<';
}

bool string_case(Jinja *j, String s, Case wanted, Value *out) {
    Buffer buffer = {0};
    uint32_t code;
    bool begins = true;
    for (size_t at = 0; at < s.length;) {
        at += utf8_next(s, at, &code);
        const bool first = begins && wanted >= CASE_TITLE;
        const bool upper = wanted == CASE_UPPER || (wanted == CASE_WORDS && first);
        if (!add_case(j, code, upper, first && wanted != CASE_WORDS, &buffer)) return false;
        if (wanted == CASE_TITLE)
            begins = !is_cased(code);
        else
            begins = wanted == CASE_WORDS && parts_words(code);
    }
    *out = value_string(buffer.data, buffer.length);
    return true;
}

bool string_escape(Jinja *j, String s, Value *out) {
    Buffer buffer = {0};
    for (size_t i = 0; i < s.length; i++) {
        const char c = s.data[i];
        const char *to = c == '&'    ? "&amp;"
                         : c == '<'  ? "&lt;"
                         : c == '>'  ? "&gt;"
                         : c == '"'  ? "&#34;"
                         : c == '\'' ? "&#39;"
                                     : NULL;
        if (!buffer_add(j, &buffer, to ? to : s.data + i, to ? strlen(to) : 1)) return false;
    }
    *out = value_string(buffer.data, buffer.length);
    out->safe = true;
    return true;
}
