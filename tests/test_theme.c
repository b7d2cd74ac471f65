// Colours that can be read, and that everybody tells apart.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tui/theme.h"

typedef struct Linear3 {
    double c[3]; // red, green, blue, as light and not as bytes
} Linear3;

static Linear3 linear_of(int rgb) {
    Linear3 l;
    for (int i = 0; i < 3; i++) {
        const double share = (double)(rgb >> (16 - 8 * i) & 0xFF) / 255;
        l.c[i] = share <= 0.04045 ? share / 12.92 : pow((share + 0.055) / 1.055, 2.4);
    }
    return l;
}

static double luminance(int rgb) {
    const Linear3 l = linear_of(rgb);
    return 0.2126 * l.c[0] + 0.7152 * l.c[1] + 0.0722 * l.c[2];
}

// WCAG 2: 4.5 is what texts need.
static double contrast(int a, int b) {
    const double x = luminance(a), y = luminance(b);
    return (fmax(x, y) + 0.05) / (fmin(x, y) + 0.05);
}

static const Meaning read_as_text[] = {
    MEANING_FAINT, MEANING_FOCUS, MEANING_ACCENT,   MEANING_STATIC,  MEANING_LAE,     MEANING_TOKEN, MEANING_BETTER,
    MEANING_WORSE, MEANING_TAIL,  MEANING_OVERRIDE, MEANING_CHANGED, MEANING_DIFFERS, MEANING_ERROR};

static void texts_have_contrast(void **state) {
    (void)state;
    for (int scheme = 0; scheme < COLORS_MONO; scheme++) {
        for (size_t i = 0; i < sizeof read_as_text / sizeof *read_as_text; i++) {
            const double dark = contrast(theme_color((ColorScheme)scheme, read_as_text[i], false), 0x1E1E1E),
                         light = contrast(theme_color((ColorScheme)scheme, read_as_text[i], true), 0xFFFFFF);
            // What is large or marked by a sign, too, may have less: the classes are also a word.
            const double least = scheme == COLORS_COLORBLIND ? 4.5 : 3.9;
            if (dark < least || light < least)
                fail_msg("%s, meaning %zu: contrast %.2f on dark, %.2f on light", color_scheme_names[scheme], i, dark,
                         light);
        }
    }
}

// ---- seen without one of the three kinds of cones ------------------------------------------------------------------

// Machado, Oliveira and Fernandes, 2009, of full severity, on linear RGB: protanopia, deuteranopia, tritanopia.
static const double seen_by[][3][3] = {
    {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
    {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
    {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}},
};

static double lab_curve(double t) { return t > 216.0 / 24389 ? cbrt(t) : t * 24389 / 27 / 116 + 16.0 / 116; }

static void lab_of(Linear3 l, double *lab) {
    const double x = 0.4124 * l.c[0] + 0.3576 * l.c[1] + 0.1805 * l.c[2],
                 y = 0.2126 * l.c[0] + 0.7152 * l.c[1] + 0.0722 * l.c[2],
                 z = 0.0193 * l.c[0] + 0.1192 * l.c[1] + 0.9505 * l.c[2];
    const double fx = lab_curve(x / 0.9505), fy = lab_curve(y), fz = lab_curve(z / 1.089);
    lab[0] = 116 * fy - 16;
    lab[1] = 500 * (fx - fy);
    lab[2] = 200 * (fy - fz);
}

static Linear3 seen(int rgb, const double (*matrix)[3]) {
    const Linear3 l = linear_of(rgb);
    Linear3 out;
    for (int i = 0; i < 3; i++) {
        const double sum = matrix[i][0] * l.c[0] + matrix[i][1] * l.c[1] + matrix[i][2] * l.c[2];
        out.c[i] = fmin(fmax(sum, 0), 1);
    }
    return out;
}

static double distance(int a, int b, const double (*matrix)[3]) {
    double x[3], y[3];
    lab_of(seen(a, matrix), x);
    lab_of(seen(b, matrix), y);
    return sqrt((x[0] - y[0]) * (x[0] - y[0]) + (x[1] - y[1]) * (x[1] - y[1]) + (x[2] - y[2]) * (x[2] - y[2]));
}

static const Meaning opposites[][2] = {{MEANING_BETTER, MEANING_WORSE},
                                       {MEANING_STATIC, MEANING_LAE},
                                       {MEANING_LAE, MEANING_TOKEN},
                                       {MEANING_STATIC, MEANING_TOKEN}};

static double least_distance(ColorScheme scheme) {
    double least = INFINITY;
    for (size_t pair = 0; pair < sizeof opposites / sizeof *opposites; pair++) {
        for (size_t eyes = 0; eyes < sizeof seen_by / sizeof *seen_by; eyes++) {
            for (int light = 0; light < 2; light++)
                least = fmin(least, distance(theme_color(scheme, opposites[pair][0], light),
                                             theme_color(scheme, opposites[pair][1], light), seen_by[eyes]));
        }
    }
    return least;
}

// In CIELAB; 2 is what one can just see side by side. The usual colours are why there is this theme.
static void nobody_confuses_opposites(void **state) {
    (void)state;
    const double blind = least_distance(COLORS_COLORBLIND), usual = least_distance(COLORS_AUTO);
    if (blind < 20) fail_msg("opposites are %.1f apart", blind);
    assert_true(usual < 10);
}

static void themes_are_found_by_name(void **state) {
    (void)state;
    for (int i = 0; i < COLORS_COUNT; i++) assert_int_equal(color_scheme_named(color_scheme_names[i]), i);
    assert_int_equal(color_scheme_named("solarized"), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_have_contrast),
        cmocka_unit_test(nobody_confuses_opposites),
        cmocka_unit_test(themes_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
