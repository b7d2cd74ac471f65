#include "loaders/header_json.h"

#include <string.h>

#include "base/array.h"

#define DEEPEST 127 // serde_json refuses the 128th level

bool header_refuse(const HeaderText *header, const char *reason) {
    error_set(header->err, "%s: header, byte %zu: %s", header->path, (size_t)(header->at - header->text), reason);
    return false;
}

static bool is_one_of(char c, const char *set) { return c && strchr(set, c); }

void header_skip_space(HeaderText *header) {
    while (header->at < header->end && is_one_of(*header->at, " \t\r\n")) header->at++;
}

char header_peek(HeaderText *header) {
    header_skip_space(header);
    return header->at < header->end ? *header->at : '\0';
}

bool header_accept(HeaderText *header, char wanted) {
    if (header_peek(header) != wanted) return false;
    header->at++;
    return true;
}

bool header_expect(HeaderText *header, char wanted, const char *reason) {
    return header_accept(header, wanted) || header_refuse(header, reason);
}

bool header_another(HeaderText *header, char closing, bool *ok) {
    if (header_accept(header, ',')) return true;
    *ok = header_expect(header, closing, closing == '}' ? "expected , or }" : "expected , or ]");
    return false;
}

static bool read_hex4(HeaderText *header, uint32_t *out) {
    if (header->end - header->at < 4) return header_refuse(header, "unfinished \\u escape");
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
        char c = *header->at;
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A' + 10);
        else
            return header_refuse(header, "\\u needs four hexadecimal digits");
        code = code << 4 | digit;
        header->at++;
    }
    *out = code;
    return true;
}

static bool read_unicode_escape(HeaderText *header, uint32_t *code) {
    if (!read_hex4(header, code)) return false;
    if (*code < 0xD800 || *code > 0xDFFF) return true;
    uint32_t low;
    if (*code >= 0xDC00 || header->end - header->at < 2 || header->at[0] != '\\' || header->at[1] != 'u') {
        return header_refuse(header, "lone surrogate");
    }
    header->at += 2;
    if (!read_hex4(header, &low)) return false;
    if (low < 0xDC00 || low > 0xDFFF) return header_refuse(header, "lone surrogate");
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

static bool read_escape(HeaderText *header, char *out, size_t *length) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = header->at < header->end ? *header->at++ : '\0';
    const char *known = c ? strchr(from, c) : NULL;
    uint32_t code;
    if (known)
        code = (unsigned char)to[known - from];
    else if (c != 'u')
        return header_refuse(header, "unknown escape in a string");
    else if (!read_unicode_escape(header, &code))
        return false;
    *length += utf8_write(code, out + *length);
    return true;
}

bool header_string(HeaderText *header, char **out, size_t *length) {
    if (!header_expect(header, '"', "expected a string")) return false;
    char *to = header->strings + header->strings_used;
    size_t n = 0;
    while (header->at < header->end && *header->at != '"') {
        unsigned char c = (unsigned char)*header->at;
        if (c < 0x20) return header_refuse(header, "control character in a string");
        header->at++;
        if (c != '\\')
            to[n++] = (char)c;
        else if (!read_escape(header, to, &n))
            return false;
    }
    if (header->at >= header->end) return header_refuse(header, "unfinished string");
    header->at++;
    to[n] = '\0';
    *out = to;
    *length = n;
    return true;
}

void header_keep(HeaderText *header, size_t length) { header->strings_used += length + 1; }

static bool is_digit(const HeaderText *header) {
    return header->at < header->end && *header->at >= '0' && *header->at <= '9';
}

bool header_u64(HeaderText *header, uint64_t *out) {
    header_skip_space(header);
    if (!is_digit(header)) return header_refuse(header, "expected a whole number that is not negative");
    uint64_t value = 0;
    const char *first = header->at;
    for (; is_digit(header); header->at++) {
        uint64_t digit = (uint64_t)(*header->at - '0');
        if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, digit, &value)) {
            return header_refuse(header, "number does not fit into 64 bits");
        }
    }
    if (*first == '0' && header->at - first > 1) return header_refuse(header, "number with a leading zero");
    if (header->at < header->end && is_one_of(*header->at, ".eE"))
        return header_refuse(header, "expected a whole number");
    *out = value;
    return true;
}

static bool skip_digits(HeaderText *header) {
    if (!is_digit(header)) return header_refuse(header, "malformed number");
    while (is_digit(header)) header->at++;
    return true;
}

static bool skip_number(HeaderText *header) {
    if (*header->at == '-') header->at++;
    if (header->at < header->end && *header->at == '0')
        header->at++;
    else if (!skip_digits(header))
        return false;
    if (header->at < header->end && *header->at == '.') {
        header->at++;
        if (!skip_digits(header)) return false;
    }
    if (header->at < header->end && (*header->at == 'e' || *header->at == 'E')) {
        header->at++;
        if (header->at < header->end && (*header->at == '+' || *header->at == '-')) header->at++;
        if (!skip_digits(header)) return false;
    }
    return true;
}

bool header_word(HeaderText *header, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(header->end - header->at) < n || memcmp(header->at, word, n) != 0)
        return header_refuse(header, "unknown word");
    header->at += n;
    return true;
}

static bool skip_nested(HeaderText *header, int depth) {
    if (depth > DEEPEST) return header_refuse(header, "nested too deep");
    char closing = *header->at++ == '{' ? '}' : ']';
    if (header_accept(header, closing)) return true;
    bool ok = true;
    do {
        if (closing == '}') {
            char *key;
            size_t length;
            if (!header_string(header, &key, &length) || !header_expect(header, ':', "expected :")) return false;
        }
        if (!header_skip_value(header, depth + 1)) return false;
    } while (header_another(header, closing, &ok));
    return ok;
}

bool header_skip_value(HeaderText *header, int depth) {
    char *string;
    size_t length;
    switch (header_peek(header)) {
    case '{':
    case '[': return skip_nested(header, depth);
    case '"': return header_string(header, &string, &length);
    case 't': return header_word(header, "true");
    case 'f': return header_word(header, "false");
    case 'n': return header_word(header, "null");
    default:
        if (header->at >= header->end) return header_refuse(header, "expected a value");
        return skip_number(header);
    }
}
