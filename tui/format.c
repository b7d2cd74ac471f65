#include "tui/format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PRINT(...)                                          \
    ({                                                      \
        Short out_;                                         \
        snprintf(out_.text, sizeof out_.text, __VA_ARGS__); \
        out_;                                               \
    })

static Short format_nothing(void) { return PRINT("–"); }

static Short with_unit(double value, const char *const *units, double factor, const char *space) {
    int unit = 0;
    while (fabs(value) >= factor * 0.9995 && units[unit + 1]) {
        value /= factor;
        unit++;
    }
    int decimals = unit == 0 || fabs(value) >= 99.95 ? 0 : 1;
    return PRINT("%.*f%s%s", decimals, value, *units[unit] ? space : "", units[unit]);
}

Short format_bytes(double bytes) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", NULL};
    return isnan(bytes) ? format_nothing() : with_unit(bytes, units, 1000, " ");
}

Short format_count(double count) {
    static const char *const units[] = {"", "k", "M", "G", "T", NULL};
    if (isnan(count)) return format_nothing();
    Short s = with_unit(count, units, 1000, "");
    char *zero = s.text; // "16.0k" says no more than "16k"
    while (*zero && *zero != '.') zero++;
    if (zero[0] == '.' && zero[1] == '0') return PRINT("%.*s%s", (int)(zero - s.text), s.text, zero + 2);
    return s;
}

Short format_figure(double value, int digits) {
    if (isnan(value)) return format_nothing();
    if (isinf(value)) return PRINT("%s∞", value < 0 ? "−" : "");
    double size = fabs(value);
    if (size != 0 && (size < 1e-3 || size >= 1e5)) return PRINT("%.*e", digits > 1 ? digits - 2 : 0, value);
    if (size >= 9999.5) return PRINT("%.*fk", size < 99950 ? 1 : 0, value / 1000);
    const int before = size > 0 ? (int)floor(log10(size)) + 1 : 1; // digits before the point
    const int decimals = digits - before;
    return PRINT("%.*f", decimals < 0 ? 0 : decimals, value);
}

Short format_fixed(double value, int decimals) {
    return isnan(value) ? format_nothing() : PRINT("%.*f", decimals, value);
}

int format_decimals(double value, int digits, int most) {
    const Short rounded = PRINT("%.*e", digits - 1, fabs(value)); // 0.096 is 0.1
    const double size = strtod(rounded.text, NULL);
    if (!(size >= 0.5 * pow(10, -most))) return 0;
    const int decimals = digits - 1 - (int)floor(log10(size) + 1e-9);
    return decimals < 0 ? 0 : decimals > most ? most : decimals;
}

Short format_ratio(double ratio) { return format_fixed(ratio, ratio < 9.995 ? 2 : ratio < 99.95 ? 1 : 0); }

Short format_percent(double share) {
    if (isnan(share)) return format_nothing();
    double percent = share * 100;
    if (percent > 0 && percent < 0.01) return PRINT("<0.01 %%");
    const int decimals = percent >= 99.95 || percent == 0 ? 0 : percent >= 0.95 ? 1 : 2;
    return PRINT("%.*f %%", decimals, percent);
}

Short format_change(double value, int decimals, const char *unit) {
    if (isnan(value)) return format_nothing();
    return PRINT("%s%.*f%s%s", value < 0 ? "−" : "+", decimals, fabs(value), *unit ? " " : "", unit);
}

Short format_seconds(double seconds) {
    if (isnan(seconds) || seconds < 0) return format_nothing();
    if (seconds < 60) return PRINT("%.0f s", ceil(seconds));
    long whole = lround(seconds);
    if (whole < 3600) return PRINT("%ld:%02ld", whole / 60, whole % 60);
    return PRINT("%ld:%02ld h", whole / 3600, whole / 60 % 60);
}

Short format_decibel(double db) {
    if (isnan(db)) return format_nothing();
    return isinf(db) ? PRINT("∞") : PRINT("%.1f", db);
}
