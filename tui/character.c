#include "tui/character.h"

#include <stdint.h>
#include <string.h>
#include <wchar.h>

#include <utf8proc.h>

#include "base/array.h"

// Languages that are written with marks need two (vowel and tone in Thai); towers of them leave their cell.
#define MARKS_MOST 2

// What has a width of its own, but not everywhere: joined with its neighbours into one picture or syllable, or widened
// by a later version of Unicode (16) than many terminals know.
static const struct {
    uint32_t first, last;
} disputed[] = {
    {0x1100, 0x11FF},   {0xA960, 0xA97F},   {0xD7B0, 0xD7FF}, // Hangul jamo: three of them are one syllable
    {0x1F1E6, 0x1F1FF}, {0x1F3FB, 0x1F3FF},                   // halves of flags, skin tones
    {0x2630, 0x2637},   {0x268A, 0x268F},   {0x4DC0, 0x4DFF}, // signs of the I Ching
    {0x1D300, 0x1D37F}, {0x3248, 0x324F},   {0x2E3A, 0x2E3B}, // Tai Xuan Jing, circled tens, long dashes
};

static bool is_disputed(uint32_t code) {
    for (size_t i = 0; i < sizeof disputed / sizeof *disputed; i++) {
        if (code >= disputed[i].first && code <= disputed[i].last) return true;
    }
    return false;
}

// The C library and utf8proc know different versions of Unicode: what is assigned in one alone, or has two widths, some
// terminals do not know either. -1: no agreement.
static int agreed_width(uint32_t code) {
    if (code < 0x7F) return code < 0x20 ? -1 : 1;
    const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)code);
    const int width = wcwidth((wchar_t)code);
    return property->ignorable || is_disputed(code) || width != utf8proc_charwidth((utf8proc_int32_t)code) ? -1 : width;
}

static bool is_character(uint32_t code) {
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_CN: // unassigned, private, surrogates; controls and formats; what only combines
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return false;
    default: return agreed_width(code) > 0;
    }
}

static bool is_mark(uint32_t code) {
    return code >= 0x300 && utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_MN &&
           agreed_width(code) == 0 && code != 0x34F; // the joiner of graphemes looks like nothing
}

size_t character_length(const char *text, int *width, bool *agreed) {
    *width = *text ? 1 : 0;
    *agreed = false;
    if (!*text) return 0;
    uint32_t code;
    size_t length = utf8_read(text, strnlen(text, 4), &code);
    if (!length || !is_character(code)) return length ? length : 1;
    *agreed = true;
    *width = agreed_width(code);
    for (int marks = 0; marks < MARKS_MOST; marks++) {
        const char *next = text + length;
        const size_t more = (unsigned char)*next >= 0x80 ? utf8_read(next, strnlen(next, 4), &code) : 0;
        if (!more || length + more > CHARACTER_MOST || !is_mark(code)) break;
        length += more;
    }
    return length;
}
