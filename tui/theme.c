#include "tui/theme.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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
    unsigned always, mono;
} MeaningLook;

// The first colours of all terminals.
enum { RED = 1, GREEN, YELLOW, BLUE, MAGENTA, CYAN };

static const MeaningLook looks[] = {
    [MEANING_TEXT] = {NONE, NONE, NONE, NONE, NONE, 0, 0},
    [MEANING_FAINT] = {0x8A919C, 0x6B7280, 245, 243, NONE, 0, LOOK_DIM},
    [MEANING_RULE] = {0x454B57, 0xB4BAC4, 239, 249, NONE, 0, LOOK_DIM},
    [MEANING_FOCUS] = {0x6FB3D9, 0x1F6FA8, 74, 25, CYAN, 0, 0},
    [MEANING_TITLE] = {NONE, NONE, NONE, NONE, NONE, 0, LOOK_BOLD},
    [MEANING_VALUE] = {NONE, NONE, NONE, NONE, NONE, 0, 0},
    [MEANING_ACCENT] = {0x6CC7F5, 0x0B6BB0, 81, 25, CYAN, LOOK_BOLD, LOOK_BOLD},
    [MEANING_TRACK] = {0x565D6B, 0xA3AAB6, 240, 248, NONE, 0, LOOK_DIM},
    [MEANING_WEIGHT] = {0x5F9FCB, 0x3B82B8, 74, 67, BLUE, 0, 0},
    [MEANING_TAIL] = {0xF0A35E, 0xC2570C, 215, 166, YELLOW, 0, LOOK_BOLD},
    [MEANING_STATIC] = {0x86BF8B, 0x4B8B55, 108, 65, GREEN, 0, LOOK_DIM},
    [MEANING_LAE] = {0xE0B866, 0x9A6A00, 179, 136, YELLOW, 0, 0},
    [MEANING_TOKEN] = {0xE57F7F, 0xC0504D, 174, 131, RED, 0, LOOK_BOLD},
    [MEANING_BETTER] = {0x8FD694, 0x1F7A33, 114, 28, GREEN, 0, 0},
    [MEANING_WORSE] = {0xF28B82, 0xC0262D, 210, 160, RED, 0, LOOK_BOLD},
    [MEANING_OVERRIDE] = {0xCFA0E9, 0x7E3BA6, 176, 90, MAGENTA, 0, LOOK_BOLD},
    [MEANING_CHANGED] = {0xF3D48B, 0x8A5A00, 222, 94, YELLOW, LOOK_BOLD, LOOK_BOLD},
    [MEANING_DIFFERS] = {0xF0A35E, 0xC2570C, 215, 166, YELLOW, 0, 0},
    [MEANING_ERROR] = {0xF28B82, 0xC0262D, 210, 160, RED, LOOK_BOLD, LOOK_BOLD},
};
static_assert(sizeof looks / sizeof *looks == MEANING_COUNT, "a meaning has no look");

// Two colours that everybody tells apart, and for what lies between them grey.
#define BLUISH \
    { 0x5FAFFF, 0x005FAF, 75, 25, CYAN, 0, 0 }
#define ORANGE \
    { 0xFFAF5F, 0xAF5F00, 215, 130, YELLOW, 0, LOOK_BOLD }
static const struct {
    Meaning meaning;
    MeaningLook look;
} colorblind[] = {
    {MEANING_STATIC, BLUISH},  {MEANING_LAE, {0xD0D0D0, 0x585858, 252, 240, NONE, 0, 0}},
    {MEANING_TOKEN, ORANGE},   {MEANING_BETTER, BLUISH},
    {MEANING_WORSE, ORANGE},   {MEANING_TAIL, ORANGE},
    {MEANING_DIFFERS, ORANGE}, {MEANING_ERROR, {0xFFAF5F, 0xAF5F00, 215, 130, YELLOW, LOOK_BOLD, LOOK_BOLD}},
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

static ColorDepth depth_for(ColorScheme scheme, int colors) {
    const char *no_color = getenv("NO_COLOR");
    if (scheme == COLORS_MONO || (no_color && *no_color)) return DEPTH_MONO;
    if (colors > 256) return DEPTH_RGB;
    return colors == 256 ? DEPTH_256 : colors >= 8 ? DEPTH_FEW : DEPTH_MONO;
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
    return color == YELLOW ? NONE : color == CYAN ? BLUE : color;
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

Theme theme_make(ColorScheme scheme, Background background, int colors) {
    const ColorDepth depth = depth_for(scheme, colors);
    return (Theme){.scheme = scheme,
                   .depth = depth,
                   .background = background,
                   .reverses = depth < DEPTH_256 || background == BACKGROUND_UNKNOWN};
}

static int look_background(Theme theme, Style style) {
    if (!(style & STYLE_SELECTED) || theme.reverses) return NONE;
    const bool light = theme.background == BACKGROUND_LIGHT;
    return theme.depth == DEPTH_RGB ? selected_rgb[light] : selected_256[light];
}

static unsigned look_attributes(Theme theme, Style style, const MeaningLook *look) {
    const bool dim = style & STYLE_DIM, rich = theme.depth >= DEPTH_256;
    unsigned attributes = look->always | (theme.depth == DEPTH_MONO ? look->mono : 0);
    if (theme.depth == DEPTH_FEW && look->few == NONE) attributes |= look->mono & LOOK_DIM;
    if (style & STYLE_BOLD) attributes |= LOOK_BOLD;
    if (dim) attributes = (attributes & ~LOOK_BOLD) | (rich ? 0 : LOOK_DIM);
    if (style & STYLE_UNDERLINE) attributes |= LOOK_UNDERLINE;
    if (style & STYLE_REVERSE) attributes |= LOOK_REVERSE;
    if (style & STYLE_SELECTED && theme.reverses) attributes = (attributes & ~LOOK_DIM) | LOOK_REVERSE;
    return attributes;
}

// Few terminals show the dim attribute well: with enough colours, dim is a colour.
Look theme_look(Theme theme, Style style) {
    const bool rich = theme.depth >= DEPTH_256;
    const MeaningLook *look = look_of(theme.scheme, style & STYLE_DIM && rich ? MEANING_TRACK : style & STYLE_MEANING);
    const int color = theme.depth == DEPTH_MONO ? NONE : look_foreground(look, theme.depth, theme.background);
    return (Look){color, look_background(theme, style), look_attributes(theme, style, look)};
}
