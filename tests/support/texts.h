// What a text says.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static inline void assert_contains(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("\"%s\" is missing in: %s", part, text);
}

static inline int count_of(const char *text, const char *part) {
    int count = 0;
    for (const char *at = text; at && (at = strstr(at, part)) != NULL; at += strlen(part)) count++;
    return count;
}
