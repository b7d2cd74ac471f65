#include "tui/theme.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <curses.h>

const char *const color_scheme_names[] = {[COLORS_AUTO] = "auto",
                                          [COLORS_DARK] = "dark",
                                          [COLORS_LIGHT] = "light",
                                          [COLORS_COLORBLIND] = "colorblind",
                                          [COLORS_MONO] = "mono"};
static_assert(sizeof color_scheme_names / sizeof *color_scheme_names == COLORS_COUNT, "a scheme has no name");

int color_scheme_named(const char *name) {
    for (int i = 0; i < COLORS_COUNT; i++) {
        if (strcmp(color_scheme_names[i], name) == 0) return i;
    }
    return -1;
}

// One line per meaning: colours for dark and light backgrounds as 0xRRGGBB, from the 256-colour palette and from the
// first eight (NONE: the terminal's own); then the attributes that stand in for colour when there is none. Texts and
// figures have the terminal's own colour, and those for light backgrounds are dark enough for white and light enough
// for black, so that they serve where nothing is known.
#define NONE (-1)
typedef struct MeaningLook {
    int dark_rgb, light_rgb;
    short dark, light, few;
    attr_t always, mono;
} MeaningLook;

static const MeaningLook looks[] = {
    [MEANING_TEXT] = {NONE, NONE, NONE, NONE, NONE, 0, 0},
    [MEANING_FAINT] = {0x8A919C, 0x6B7280, 245, 243, NONE, 0, A_DIM},
    [MEANING_RULE] = {0x454B57, 0xB4BAC4, 239, 249, NONE, 0, A_DIM},
    [MEANING_FOCUS] = {0x6FB3D9, 0x1F6FA8, 74, 25, COLOR_CYAN, 0, 0},
    [MEANING_TITLE] = {NONE, NONE, NONE, NONE, NONE, 0, A_BOLD},
    [MEANING_VALUE] = {NONE, NONE, NONE, NONE, NONE, 0, 0},
    [MEANING_ACCENT] = {0x6CC7F5, 0x0B6BB0, 81, 25, COLOR_CYAN, A_BOLD, A_BOLD},
    [MEANING_TRACK] = {0x565D6B, 0xA3AAB6, 240, 248, NONE, 0, A_DIM},
    [MEANING_WEIGHT] = {0x5F9FCB, 0x3B82B8, 74, 67, COLOR_BLUE, 0, 0},
    [MEANING_TAIL] = {0xF0A35E, 0xC2570C, 215, 166, COLOR_YELLOW, 0, A_BOLD},
    [MEANING_STATIC] = {0x86BF8B, 0x4B8B55, 108, 65, COLOR_GREEN, 0, A_DIM},
    [MEANING_LAE] = {0xE0B866, 0x9A6A00, 179, 136, COLOR_YELLOW, 0, 0},
    [MEANING_TOKEN] = {0xE57F7F, 0xC0504D, 174, 131, COLOR_RED, 0, A_BOLD},
    [MEANING_BETTER] = {0x8FD694, 0x1F7A33, 114, 28, COLOR_GREEN, 0, 0},
    [MEANING_WORSE] = {0xF28B82, 0xC0262D, 210, 160, COLOR_RED, 0, A_BOLD},
    [MEANING_OVERRIDE] = {0xCFA0E9, 0x7E3BA6, 176, 90, COLOR_MAGENTA, 0, A_BOLD},
    [MEANING_CHANGED] = {0xF3D48B, 0x8A5A00, 222, 94, COLOR_YELLOW, A_BOLD, A_BOLD},
    [MEANING_DIFFERS] = {0xF0A35E, 0xC2570C, 215, 166, COLOR_YELLOW, 0, 0},
    [MEANING_ERROR] = {0xF28B82, 0xC0262D, 210, 160, COLOR_RED, A_BOLD, A_BOLD},
};
static_assert(sizeof looks / sizeof *looks == MEANING_COUNT, "a meaning has no look");

// Two colours that everybody tells apart, and for what lies between them grey.
#define BLUE \
    { 0x5FAFFF, 0x005FAF, 75, 25, COLOR_CYAN, 0, 0 }
#define ORANGE \
    { 0xFFAF5F, 0xAF5F00, 215, 130, COLOR_YELLOW, 0, A_BOLD }
static const struct {
    Meaning meaning;
    MeaningLook look;
} colorblind[] = {
    {MEANING_STATIC, BLUE},    {MEANING_LAE, {0xD0D0D0, 0x585858, 252, 240, NONE, 0, 0}},
    {MEANING_TOKEN, ORANGE},   {MEANING_BETTER, BLUE},
    {MEANING_WORSE, ORANGE},   {MEANING_TAIL, ORANGE},
    {MEANING_DIFFERS, ORANGE}, {MEANING_ERROR, {0xFFAF5F, 0xAF5F00, 215, 130, COLOR_YELLOW, A_BOLD, A_BOLD}},
};

static const MeaningLook *look_of(ColorScheme scheme, unsigned meaning) {
    for (size_t i = 0; scheme == COLORS_COLORBLIND && i < sizeof colorblind / sizeof *colorblind; i++) {
        if (colorblind[i].meaning == meaning) return &colorblind[i].look;
    }
    return &looks[meaning];
}

int theme_color(ColorScheme scheme, Meaning meaning, bool light) {
    const MeaningLook *look = look_of(scheme, meaning);
    return light ? look->light_rgb : look->dark_rgb;
}

static const int selected_rgb[2] = {0x2B3240, 0xE3EAF3};
static const int selected_256[2] = {237, 254};

static ColorDepth depth_found(ColorScheme scheme) {
    const char *no_color = getenv("NO_COLOR");
    if (scheme == COLORS_MONO || (no_color && *no_color) || !has_colors() || start_color() == ERR) return DEPTH_MONO;
    if (use_default_colors() == ERR) return DEPTH_MONO; // an assumed background would be wrong half of the time
    if (COLORS > 256) return DEPTH_RGB;
    return COLORS >= 256 ? DEPTH_256 : COLORS >= 8 ? DEPTH_FEW : DEPTH_MONO;
}

// COLORFGBG is "foreground;background" or "foreground;other;background" in ANSI numbers, of which 7 and 15 are the
// light ones, or "default", which says nothing.
Background theme_background(ColorScheme scheme) {
    if (scheme == COLORS_LIGHT) return BACKGROUND_LIGHT;
    if (scheme == COLORS_DARK) return BACKGROUND_DARK;
    const char *value = getenv("COLORFGBG");
    const char *last = value ? strrchr(value, ';') : NULL;
    if (!last || last[1] < '0' || last[1] > '9') return BACKGROUND_UNKNOWN;
    const int background = atoi(last + 1);
    return background == 7 || background == 15 ? BACKGROUND_LIGHT : BACKGROUND_DARK;
}

// The pure yellow and cyan of the first colours cannot be read on white.
static int few_foreground(short color, Background background) {
    if (background != BACKGROUND_LIGHT) return color;
    return color == COLOR_YELLOW ? NONE : color == COLOR_CYAN ? COLOR_BLUE : color;
}

static int look_foreground(const MeaningLook *look, ColorDepth depth, Background background) {
    const bool dark = background == BACKGROUND_DARK;
    switch (depth) {
    case DEPTH_RGB: return dark ? look->dark_rgb : look->light_rgb;
    case DEPTH_256: return dark ? look->dark : look->light;
    case DEPTH_FEW:
    case DEPTH_MONO: break;
    }
    return few_foreground(look->few, background);
}

Theme theme_start(ColorScheme scheme, Background background) {
    const ColorDepth depth = depth_found(scheme);
    const Theme theme = {
        .scheme = scheme, .depth = depth, .reverses = depth < DEPTH_256 || background == BACKGROUND_UNKNOWN};
    if (depth == DEPTH_MONO) return theme;
    const bool light = background == BACKGROUND_LIGHT;
    const int selected = theme.reverses ? NONE : depth == DEPTH_RGB ? selected_rgb[light] : selected_256[light];
    for (int i = 0; i < MEANING_COUNT; i++) {
        const int color = look_foreground(look_of(scheme, (unsigned)i), depth, background);
        init_extended_pair(i + 1, color, NONE);
        init_extended_pair(MEANING_COUNT + i + 1, color, selected);
    }
    return theme;
}

// Few terminals show the dim attribute well: with enough colours, dim is a colour.
void theme_apply(Theme theme, Style style) {
    const ColorDepth depth = theme.depth;
    const bool dim = style & STYLE_DIM, selected = style & STYLE_SELECTED, rich = depth >= DEPTH_256;
    const unsigned meaning = dim && rich ? MEANING_TRACK : style & STYLE_MEANING;
    const MeaningLook *look = look_of(theme.scheme, meaning);
    attr_t attributes = look->always | (depth == DEPTH_MONO ? look->mono : 0);
    if (depth == DEPTH_FEW && look->few == NONE) attributes |= look->mono & A_DIM;
    if (style & STYLE_BOLD) attributes |= A_BOLD;
    if (dim) attributes = (attributes & ~A_BOLD) | (rich ? 0 : A_DIM);
    if (style & STYLE_UNDERLINE) attributes |= A_UNDERLINE;
    if (style & STYLE_REVERSE) attributes |= A_REVERSE;
    if (selected && theme.reverses) attributes = (attributes & ~A_DIM) | A_REVERSE;
    int pair = depth == DEPTH_MONO ? 0 : (int)meaning + 1 + (selected ? MEANING_COUNT : 0);
    attr_set(attributes, 0, &pair);
}
