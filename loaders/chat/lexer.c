// A template as tokens. White space goes as transformers sets it: the line end behind a {% tag %} (trim_blocks), and
// the blanks before one that begins its line (lstrip_blocks).
#include <string.h>

#include "loaders/chat/jinja_parts.h"

#define OPEN_MOST 100 // brackets

typedef struct Lexer {
    Jinja *jinja;
    String source;
    size_t at;
    int line;
    bool line_starts; // the last tag took a line end with it
    char open[OPEN_MOST];
    int open_count;
    JinjaToken *tokens;
    size_t count, capacity;
} Lexer;

static bool add_token(Lexer *l, TokenKind kind, const char *data, size_t length) {
    if (l->count == l->capacity) {
        const size_t wider = l->capacity ? 2 * l->capacity : 64;
        JinjaToken *grown = jinja_take(l->jinja, wider, sizeof *grown);
        if (!grown) return false;
        if (l->count) memcpy(grown, l->tokens, l->count * sizeof *grown);
        l->tokens = grown;
        l->capacity = wider;
    }
    l->tokens[l->count++] = (JinjaToken){kind, l->line, {data, length}};
    return true;
}

static bool lexer_sees(const Lexer *l, const char *text) {
    const size_t n = strlen(text);
    return l->source.length - l->at >= n && memcmp(l->source.data + l->at, text, n) == 0;
}

static char byte_at(const Lexer *l, size_t at) { return at < l->source.length ? l->source.data[at] : '\0'; }

static bool lexer_refuse(Lexer *l, const char *message) {
    l->jinja->line = l->line;
    return jinja_refuse(l->jinja, "%s", message);
}

static void lexer_pass(Lexer *l, size_t count) {
    for (size_t i = 0; i < count && l->at < l->source.length; i++) l->line += l->source.data[l->at++] == '\n';
}

static void pass_white(Lexer *l) {
    uint32_t code;
    while (l->at < l->source.length) {
        const size_t n = utf8_next(l->source, l->at, &code);
        if (!utf8_is_white(code)) break;
        lexer_pass(l, n);
    }
}

// ---- between tags ----

static bool is_blank(String s) {
    const String left = string_strip(s, NULL, SIDE_LEFT);
    return s.length && !left.length;
}

// The text before a tag, without the white space that the tag takes along.
static String before_tag(const Lexer *l, String text, char tag, char sign) {
    if (sign == '-') return string_strip(text, NULL, SIDE_RIGHT);
    if (sign == '+' || tag == '{') return text;
    size_t line = text.length;
    while (line > 0 && text.data[line - 1] != '\n') line--;
    const String rest = {text.data + line, text.length - line};
    if ((line > 0 || l->line_starts) && is_blank(rest)) text.length = line;
    return text;
}

// Goes past the end of a tag: "-" in front takes the white space behind it along, and without "+" a line end goes.
static void pass_end(Lexer *l, bool signed_end, bool trims) {
    const char sign = signed_end ? byte_at(l, l->at) : '\0';
    lexer_pass(l, signed_end ? 3 : 2);
    if (sign == '-')
        pass_white(l);
    else if (trims && sign != '+' && lexer_sees(l, "\n"))
        lexer_pass(l, 1);
    l->line_starts = l->source.data[l->at - 1] == '\n';
}

static bool pass_comment(Lexer *l) {
    const size_t start = l->at;
    while (l->at < l->source.length && !lexer_sees(l, "#}")) lexer_pass(l, 1);
    if (l->at >= l->source.length) return lexer_refuse(l, "a comment {# has no end #}");
    const char sign = byte_at(l, l->at - 1);
    const bool is_signed = l->at > start && (sign == '-' || sign == '+');
    if (is_signed) l->at--;
    pass_end(l, is_signed, true);
    return true;
}

// The end of "{% raw %}" from behind its "{%" and sign, 0 when this is another tag.
static size_t raw_tag(const Lexer *l, size_t at, const char *name) {
    const size_t n = strlen(name);
    uint32_t code;
    while (at < l->source.length) {
        const size_t width = utf8_next(l->source, at, &code);
        if (!utf8_is_white(code)) break;
        at += width;
    }
    if (l->source.length - at < n || memcmp(l->source.data + at, name, n) != 0) return 0;
    for (at += n; at < l->source.length;) {
        const size_t width = utf8_next(l->source, at, &code);
        if (!utf8_is_white(code)) break;
        at += width;
    }
    const bool is_signed = byte_at(l, at) == '-' || byte_at(l, at) == '+';
    return byte_at(l, at + is_signed) == '%' && byte_at(l, at + is_signed + 1) == '}' ? at : 0;
}

static bool read_raw(Lexer *l, size_t tag_end) {
    lexer_pass(l, tag_end - l->at);
    pass_end(l, byte_at(l, l->at) != '%', false);
    const size_t start = l->at;
    for (; l->at < l->source.length; lexer_pass(l, 1)) {
        if (!lexer_sees(l, "{%")) continue;
        const char sign = byte_at(l, l->at + 2);
        const bool is_signed = sign == '-' || sign == '+';
        const size_t end = raw_tag(l, l->at + 2 + is_signed, "endraw");
        if (!end) continue;
        const String text = before_tag(l, (String){l->source.data + start, l->at - start}, '%', is_signed ? sign : ' ');
        if (!add_token(l, TOKEN_TEXT, text.data, text.length)) return false;
        lexer_pass(l, end - l->at);
        pass_end(l, byte_at(l, l->at) != '%', true);
        return true;
    }
    return lexer_refuse(l, "{% raw %} has no {% endraw %}");
}

// ---- in a tag ----

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool begins_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool read_name(Lexer *l) {
    size_t end = l->at;
    while (begins_name(byte_at(l, end)) || is_digit(byte_at(l, end))) end++;
    if (!add_token(l, TOKEN_NAME, l->source.data + l->at, end - l->at)) return false;
    l->at = end;
    return true;
}

static size_t digits_end(const Lexer *l, size_t at) {
    while (is_digit(byte_at(l, at)) || (byte_at(l, at) == '_' && is_digit(byte_at(l, at + 1)))) at++;
    return at;
}

static size_t exponent_end(const Lexer *l, size_t at) {
    if (byte_at(l, at) != 'e' && byte_at(l, at) != 'E') return at;
    const size_t digits = at + 1 + (byte_at(l, at + 1) == '+' || byte_at(l, at + 1) == '-');
    return is_digit(byte_at(l, digits)) ? digits_end(l, digits) : at;
}

// After "." digits are an index: messages.0.content
static bool read_number(Lexer *l) {
    const bool index = l->at > 0 && byte_at(l, l->at - 1) == '.';
    size_t end = digits_end(l, l->at);
    const size_t whole = end;
    if (!index && byte_at(l, end) == '.' && is_digit(byte_at(l, end + 1))) end = digits_end(l, end + 1);
    if (!index) end = exponent_end(l, end);
    if (!add_token(l, end == whole ? TOKEN_INTEGER : TOKEN_REAL, l->source.data + l->at, end - l->at)) return false;
    l->at = end;
    return true;
}

static int hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// \xHH, \uHHHH, \UHHHHHHHH from behind the letter.
static bool decode_hex(Lexer *l, size_t at, int digits, uint32_t *code) {
    *code = 0;
    for (int i = 0; i < digits; i++) {
        const int value = hex_digit(byte_at(l, at + (size_t)i));
        if (value < 0) return lexer_refuse(l, "an escape in a text is not finished");
        *code = *code << 4 | (uint32_t)value;
    }
    return (*code <= 0x10FFFF && (*code < 0xD800 || *code > 0xDFFF)) ||
           lexer_refuse(l, "an escape in a text is no character");
}

static bool decode_escape(Lexer *l, size_t *at, Buffer *out) {
    static const char letters[] = "abfnrtv\\'\"", meaning[] = "\a\b\f\n\r\t\v\\'\"";
    const char c = byte_at(l, *at + 1), *found = c ? strchr(letters, c) : NULL;
    char bytes[8];
    uint32_t code;
    if (c == '\n') return *at += 2, true;
    if (found) return *at += 2, buffer_add(l->jinja, out, meaning + (found - letters), 1);
    if (c == 'N') return lexer_refuse(l, "\\N{...} in a text is not supported");
    if (c >= '0' && c <= '7') {
        size_t n = 1;
        for (code = 0; n <= 3 && byte_at(l, *at + n) >= '0' && byte_at(l, *at + n) <= '7'; n++)
            code = code * 8 + (uint32_t)(byte_at(l, *at + n) - '0');
        return *at += n, buffer_add(l->jinja, out, bytes, utf8_write(code, bytes));
    }
    const int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (!digits) return *at += 1, buffer_add(l->jinja, out, "\\", 1);
    if (!decode_hex(l, *at + 2, digits, &code)) return false;
    return *at += 2 + (size_t)digits, buffer_add(l->jinja, out, bytes, utf8_write(code, bytes));
}

static bool read_string(Lexer *l) {
    const char quote = byte_at(l, l->at);
    Buffer text = {0};
    size_t at = l->at + 1;
    while (at < l->source.length && byte_at(l, at) != quote) {
        if (byte_at(l, at) == '\\') {
            if (!decode_escape(l, &at, &text)) return false;
        } else if (!buffer_add(l->jinja, &text, l->source.data + at++, 1))
            return false;
    }
    if (at >= l->source.length) return lexer_refuse(l, "a text in quotes has no end");
    if (!add_token(l, TOKEN_STRING, text.length ? text.data : "", text.length)) return false;
    lexer_pass(l, at + 1 - l->at);
    return true;
}

static bool track_brackets(Lexer *l, char c) {
    const char *found = strchr("([{", c);
    if (found) {
        if (l->open_count == OPEN_MOST) return lexer_refuse(l, "brackets are nested too deep");
        l->open[l->open_count++] = ")]}"[found - "([{"];
    } else if (strchr(")]}", c) && (!l->open_count || l->open[--l->open_count] != c))
        return lexer_refuse(l, "a bracket is closed that was not opened");
    return true;
}

static bool read_operator(Lexer *l) {
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                            "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!lexer_sees(l, operators[i])) continue;
        if (!operators[i][1] && strchr("()[]{}", operators[i][0]) && !track_brackets(l, operators[i][0])) return false;
        l->at += strlen(operators[i]);
        return add_token(l, TOKEN_OPERATOR, operators[i], strlen(operators[i]));
    }
    return lexer_refuse(l, "a character that means nothing in a tag");
}

// Whether the tag ends here; `closing` is "}}" or "%}".
static bool at_end(const Lexer *l, const char *closing, bool *is_signed) {
    const char sign = byte_at(l, l->at);
    *is_signed = sign == '-' || (sign == '+' && closing[0] == '%');
    if (l->open_count) return false;
    return byte_at(l, l->at + *is_signed) == closing[0] && byte_at(l, l->at + *is_signed + 1) == closing[1];
}

static bool read_word(Lexer *l) {
    const char c = byte_at(l, l->at);
    if (begins_name(c)) return read_name(l);
    if (is_digit(c)) return read_number(l);
    if (c == '"' || c == '\'') return read_string(l);
    return read_operator(l);
}

static bool read_tag(Lexer *l, bool output) {
    const char *closing = output ? "}}" : "%}";
    const int begun = l->line;
    bool is_signed;
    l->open_count = 0;
    if (!add_token(l, output ? TOKEN_OUTPUT : TOKEN_BLOCK, "", 0)) return false;
    for (pass_white(l); !at_end(l, closing, &is_signed); pass_white(l)) {
        if (l->at >= l->source.length) {
            l->line = begun;
            return lexer_refuse(l, output ? "{{ has no }}" : "{% has no %}");
        }
        if (!read_word(l)) return false;
    }
    if (!add_token(l, output ? TOKEN_OUTPUT_END : TOKEN_BLOCK_END, closing, 2)) return false;
    pass_end(l, is_signed, !output);
    return true;
}

// ---- the whole ----

// The next "{{", "{%" or "{#" from here on, or the end.
static size_t next_tag(const Lexer *l) {
    for (size_t at = l->at; at + 1 < l->source.length; at++) {
        if (l->source.data[at] == '{' && strchr("{%#", l->source.data[at + 1]) && l->source.data[at + 1]) return at;
    }
    return l->source.length;
}

static bool read_next(Lexer *l) {
    const size_t end = next_tag(l);
    String text = {l->source.data + l->at, end - l->at};
    const char tag = byte_at(l, end + 1), sign = byte_at(l, end + 2);
    const bool is_signed = sign == '-' || sign == '+';
    if (end < l->source.length) text = before_tag(l, text, tag, sign);
    if (text.length && !add_token(l, TOKEN_TEXT, text.data, text.length)) return false;
    lexer_pass(l, end - l->at);
    if (end == l->source.length) return true;
    lexer_pass(l, is_signed ? 3 : 2);
    if (tag == '#') return pass_comment(l);
    const size_t raw = tag == '%' ? raw_tag(l, l->at, "raw") : 0;
    return raw ? read_raw(l, raw) : read_tag(l, tag == '{');
}

// Line ends become \n, and one at the end of the file is dropped.
static bool normalize_source(Jinja *j, const char *source, size_t length, String *out) {
    char *copy = jinja_take(j, length + 1, 1);
    size_t n = 0;
    if (!copy) return false;
    for (size_t i = 0; i < length; i++) {
        if (source[i] == '\r' && i + 1 < length && source[i + 1] == '\n') continue;
        copy[n++] = (char)(source[i] == '\r' ? '\n' : source[i]);
    }
    if (n && copy[n - 1] == '\n') n--;
    *out = (String){copy, n};
    return true;
}

bool jinja_tokens(Jinja *j, const char *source, size_t length, JinjaToken **out) {
    Lexer l = {.jinja = j, .line = 1, .line_starts = true};
    bool ok = normalize_source(j, source, length, &l.source);
    while (ok && l.at < l.source.length) ok = read_next(&l);
    ok = ok && add_token(&l, TOKEN_END, "", 0);
    *out = l.tokens;
    return ok;
}
