#include <string.h>

#include "quant/recipe.h"

// Bytes of the character at s: names are UTF-8, and ? should not stop inside a character.
static size_t character_bytes(const char *s) {
    size_t n = 1;
    while (((unsigned char)s[n] & 0xC0) == 0x80) n++;
    return n;
}

// The bracket that closes the set opened at glob[0], or NULL: then [ stands for itself. A ] in first place belongs to
// the set.
static const char *set_end(const char *glob) {
    const char *first = glob + 1 + (glob[1] == '!');
    return *first ? strchr(first + 1, ']') : NULL;
}

static bool set_holds(const char *glob, const char *end, unsigned char c) {
    bool inverted = glob[1] == '!', found = false;
    for (const char *p = glob + 1 + inverted; p < end; p++) {
        unsigned char low = (unsigned char)p[0], high = low;
        if (p[1] == '-' && p + 2 < end) {
            high = (unsigned char)p[2];
            p += 2;
        }
        found |= low <= c && c <= high;
    }
    return found != inverted;
}

// Does the one-character pattern at *glob match the character at name? Moves *glob behind the pattern.
static bool character_matches(const char **glob, const char *name) {
    const char *at = *glob, *end = *at == '[' ? set_end(at) : NULL;
    *glob = end ? end + 1 : at + 1;
    if (end) return set_holds(at, end, (unsigned char)*name);
    if (*at == '?') return true;
    return *at == *name;
}

bool glob_matches(const char *glob, const char *name) {
    if (strcmp(glob, name) == 0) return true;
    // Only the latest * is ever tried again: what an earlier one could take over, the later one takes as well. That
    // keeps the time below length × length for any pattern.
    const char *after_star = NULL, *retry = NULL;
    while (*name) {
        if (*glob == '*') {
            after_star = ++glob;
            retry = name;
            continue;
        }
        bool wide = *glob == '?' || *glob == '[';
        if (*glob && character_matches(&glob, name)) {
            name += wide ? character_bytes(name) : 1;
            continue;
        }
        if (!after_star) return false;
        glob = after_star;
        name = ++retry;
    }
    while (*glob == '*') glob++;
    return *glob == '\0';
}
