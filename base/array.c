#include "base/array.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *array_new(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - 64) return NULL;
    bytes = bytes ? (bytes + 63) / 64 * 64 : 64;
    void *data = aligned_alloc(64, bytes);
    if (data) memset(data, 0, bytes);
    return data;
}

bool array_grow(void *data_pointer, size_t length, size_t *capacity, size_t size) {
    assert(length <= *capacity);
    if (length < *capacity) return true;
    size_t wanted = *capacity ? *capacity * 2 : 16;
    size_t bytes;
    if (wanted < *capacity || __builtin_mul_overflow(wanted, size, &bytes)) return false;
    void *old;
    memcpy(&old, data_pointer, sizeof old);
    void *grown = realloc(old, bytes);
    if (!grown) return false;
    memcpy(data_pointer, &grown, sizeof grown);
    *capacity = wanted;
    return true;
}

static bool text_reserve(Text *text, size_t more) {
    if (text->failed) return false;
    size_t need;
    if (__builtin_add_overflow(text->length, more, &need) || need > SIZE_MAX / 2) return !(text->failed = true);
    if (need + 1 <= text->capacity) return true;
    size_t capacity = text->capacity ? text->capacity : 64;
    while (capacity < need + 1) capacity *= 2;
    char *data = realloc(text->data, capacity);
    if (!data) return !(text->failed = true);
    // Compiled patterns read whole vectors, and so beyond the end of the text; what is there should not be random.
    memset(data + text->capacity, 0, capacity - text->capacity);
    text->data = data;
    text->capacity = capacity;
    return true;
}

void text_add(Text *text, const char *bytes, size_t length) {
    if (!text_reserve(text, length)) return;
    if (length) memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

void text_addf(Text *text, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && text_reserve(text, (size_t)n)) {
        vsnprintf(text->data + text->length, (size_t)n + 1, format, again);
        text->length += (size_t)n;
    }
    va_end(again);
}

void text_clear(Text *text) {
    text->length = 0;
    if (text->data) text->data[0] = '\0';
}

void text_free(Text *text) {
    free(text->data);
    *text = (Text){0};
}

size_t utf8_read(const char *bytes, size_t left, uint32_t *code) {
    const unsigned char *s = (const unsigned char *)bytes;
    if (!left) return 0;
    if (s[0] < 0x80) return *code = s[0], 1;
    size_t n = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || n > left) return 0;
    uint32_t c = s[0] & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (s[i] & 0x3Fu);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return 0;
    *code = c;
    return n;
}

bool utf8_is_white(uint32_t code) {
    return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 || code == 0xA0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F ||
           code == 0x205F || code == 0x3000;
}

size_t utf8_stripped(const char *text, size_t length) {
    while (length) {
        size_t last = 1;
        uint32_t code;
        while (last < length && last < 4 && ((unsigned char)text[length - last] & 0xC0) == 0x80) last++;
        if (utf8_read(text + length - last, last, &code) != last || !utf8_is_white(code)) break;
        length -= last;
    }
    return length;
}

size_t utf8_write(uint32_t code, char *out) {
    if (code < 0x80) return out[0] = (char)code, 1;
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((0xF00u >> n & 0xF0u) | code);
    return n;
}

bool text_is_utf8(const char *bytes, size_t length) {
    uint32_t code;
    for (size_t i = 0; i < length;) {
        size_t n = utf8_read(bytes + i, length - i, &code);
        if (!n) return false;
        i += n;
    }
    return true;
}

char *text_printable(const char *text, size_t length, bool ascii) {
    Text out = {0};
    text_add(&out, "", 0);
    for (size_t i = 0; i < length;) {
        uint32_t code = 0;
        size_t n = utf8_read(text + i, length - i, &code);
        bool shown = n && code >= 0x20 && !(code >= 0x7F && code < 0xA0) && !(ascii && code > 0x7E);
        // Bidirectional controls can make a name look like another one.
        if ((code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069)) shown = false;
        if (shown)
            text_add(&out, text + i, n);
        else
            text_add(&out, ascii ? "?" : "\xEF\xBF\xBD", ascii ? 1 : 3);
        i += n ? n : 1;
    }
    if (out.failed) {
        text_free(&out);
        return NULL;
    }
    return out.data;
}

void text_mend(char *text) {
    uint32_t code;
    for (size_t left = strlen(text), n; left; text += n, left -= n) {
        n = utf8_read(text, left, &code);
        if (n) continue;
        *text = '?';
        n = 1;
    }
}
