#include "base/number.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// printf and strtod follow the locale's decimal comma. The C locale costs nothing to ask for: it is a constant of the
// C library, and freeing it does nothing.
static double parse_in_c_locale(const char *text, char **end) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    double value = strtod_l(text, end, c);
    freelocale(c);
    return value;
}

static void shortest_digits(double value, char *out, size_t size) {
    if (fabs(value) < 1e15 && value == floor(value)) {
        snprintf(out, size, "%.0f", value == 0 ? 0.0 : value); // no "-0", and no exponent for round numbers
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        char *end;
        snprintf(out, size, "%.*g", digits, value);
        if (strtod(out, &end) == value) return;
    }
}

void number_format(double value, char *out, size_t size) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t before = uselocale(c);
    shortest_digits(value, out, size);
    uselocale(before);
    freelocale(c);
}

bool number_parse(const char *text, double *out) {
    if (!*text || strspn(text, "0123456789+-.eE") != strlen(text)) return false;
    char *end;
    double value = parse_in_c_locale(text, &end);
    if (*end || !isfinite(value)) return false;
    *out = value;
    return true;
}
