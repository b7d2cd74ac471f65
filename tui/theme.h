// Colours by meaning. A Style is a meaning with flags; what it looks like is decided here alone.
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum Meaning {
    MEANING_TEXT,
    MEANING_FAINT, // labels and what matters less
    MEANING_RULE,  // borders
    MEANING_FOCUS, // the border and title of the pane that has the keys
    MEANING_TITLE,
    MEANING_VALUE,  // figures
    MEANING_ACCENT, // knobs, the row cursor, keys
    MEANING_TRACK,  // the empty part of sliders and bars
    MEANING_WEIGHT, // bars of the weight histogram
    MEANING_TAIL,   // weights beyond six sigma
    MEANING_STATIC, // FPTQ's three classes
    MEANING_LAE,
    MEANING_TOKEN,
    MEANING_BETTER,
    MEANING_WORSE,
    MEANING_OVERRIDE, // set for one linear only
    MEANING_CHANGED,  // a dial off its default
    MEANING_DIFFERS,  // text after the first differing token
    MEANING_ERROR,
    MEANING_COUNT,
} Meaning;

typedef uint16_t Style;
#define STYLE_BOLD 0x100
#define STYLE_UNDERLINE 0x200
#define STYLE_SELECTED 0x400
#define STYLE_REVERSE 0x800
#define STYLE_DIM 0x1000
#define STYLE_MEANING 0xFF

// COLORBLIND: as AUTO, with blue and orange where others have green and red.
typedef enum ColorScheme {
    COLORS_AUTO,
    COLORS_DARK,
    COLORS_LIGHT,
    COLORS_COLORBLIND,
    COLORS_MONO,
    COLORS_COUNT
} ColorScheme;

extern const char *const color_scheme_names[COLORS_COUNT];
int color_scheme_named(const char *name); // −1: there is none of this name

typedef enum ColorDepth { DEPTH_MONO, DEPTH_FEW, DEPTH_256, DEPTH_RGB } ColorDepth;

typedef enum Background { BACKGROUND_UNKNOWN, BACKGROUND_DARK, BACKGROUND_LIGHT } Background;

typedef struct Theme {
    ColorScheme scheme;
    ColorDepth depth;
    bool reverses; // what is selected is shown reversed, since a background colour could look like the terminal's
} Theme;

// What can be known without asking the terminal: as the scheme says; of AUTO, what COLORFGBG says.
Background theme_background(ColorScheme scheme);
// 0xRRGGBB; −1: the terminal's own colour of texts.
int theme_color(ColorScheme scheme, Meaning meaning, bool light);
// Sets up the colours of the running curses screen as far as the terminal can: millions, 256, 16, 8 or none. On an
// unknown background they can be read whether it is dark or light.
Theme theme_start(ColorScheme scheme, Background background);
void theme_apply(Theme theme, Style style); // for what is drawn next on stdscr
