// The map of linears as SVG.
#include <math.h>

#include "analysis/linear_map.h"
#include "base/markup.h"

enum { LABEL = 76, ROW = 20, HEADING = 24, TOP = 18, WIDTH = 860, CELL_MOST = 64, CELL_WITH_FIGURE = 40 };
enum { KEY_COLS = 92, KEY_ROWS = 28 }; // of a shade below the map; of all of them
enum { MARGIN = 10 };                  // of a file

static const char style[] =
    "text{font:11px sans-serif;fill:#1c2128;text-anchor:middle}.axis{fill:#667080}.line{text-anchor:start}"
    ".s-1{fill:none;stroke:#dde1e6}.s0{fill:#edf0f3}.s1{fill:#fbe3b5}.s2{fill:#f7b565}.s3{fill:#e5713a}"
    ".s4{fill:#a9242c}.t4{fill:#fff}";

static void add_cell(const MapFigure *f, const MapCell *cell, double x, int y, double width, Text *out) {
    const int shade = shade_of(&f->map->scale, cell->value);
    char value[48];
    const char *shown = isnan(cell->value) ? f->unknown : f->format(cell->value, value, sizeof value);
    text_addf(out, "<rect class=\"s%d\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"><title>", shade, x, y,
              width - (width > 8 ? 1 : 0), ROW - 1);
    markup_text(out, f->structure->linears[cell->worst].name);
    text_addf(out, ": %s", shown);
    if (cell->linears > 1) text_addf(out, ", the worst of %d", cell->linears);
    text_addf(out, "</title></rect>");
    if (width >= CELL_WITH_FIGURE && shade >= 0)
        text_addf(out, "<text class=\"t%d\" x=\"%.1f\" y=\"%d\">%s</text>", shade, x + width / 2, y + 14, shown);
    text_addf(out, "\n");
}

// Numbers of layers, as far as they find room.
static void add_layers(const MapFigure *f, double width, int y, Text *out) {
    int step = 1;
    while (step * width < 26) step = step == 1 ? 2 : step == 2 ? 5 : step * 2;
    for (int i = 0; i < f->map->columns; i += step) {
        char name[16];
        layer_short_name(f->structure, i, name, sizeof name);
        text_addf(out, "<text class=\"axis\" x=\"%.1f\" y=\"%d\">%s</text>\n", LABEL + (i + 0.5) * width, y, name);
    }
}

static void add_key(const ShadeScale *scale, int y, Text *out) {
    for (int i = 0; i < SHADES; i++) {
        const bool last = i == SHADES - 1;
        text_addf(out, "<rect class=\"s%d\" x=\"%d\" y=\"%d\" width=\"12\" height=\"12\"/>", i, i * KEY_COLS, y);
        text_addf(out, "<text class=\"axis line\" x=\"%d\" y=\"%d\">%s %.3g</text>\n", i * KEY_COLS + 18, y + 10,
                  !last            ? scale->falling ? "from" : "to"
                  : scale->falling ? "below"
                                   : "above",
                  scale->edges[last ? i - 1 : i]);
    }
}

static void add_lines(const MapFigure *f, double width, int top, Text *out) {
    const LinearMap *map = f->map;
    for (int line = 0; line < map->line_count; line++) {
        const int y = top + line * ROW;
        text_addf(out, "<text class=\"line\" x=\"0\" y=\"%d\">%s</text>\n", y + 14, map->lines[line].title);
        for (int column = 0; column < map->columns; column++) {
            const MapCell *cell = &map->cells[line * map->columns + column];
            if (cell->linears) add_cell(f, cell, LABEL + column * width, y, width, out);
        }
    }
}

// What a page has already.
static void add_surroundings(const MapFigure *f, Text *out) {
    text_addf(out, "<style>%s</style>\n<rect x=\"%d\" y=\"%d\" width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
              style, -MARGIN, -MARGIN);
    text_addf(out, "<text class=\"line\" x=\"0\" y=\"12\">");
    markup_text(out, f->title);
    text_addf(out, "</text>\n");
}

void map_figure_svg(const MapFigure *f, Text *out) {
    const LinearMap *map = f->map;
    const double width = fmin((WIDTH - LABEL) / (double)map->columns, CELL_MOST);
    const double whole = fmax(LABEL + map->columns * width, SHADES * KEY_COLS);
    const int heading = f->alone ? HEADING : 0, top = heading + TOP, bottom = top + map->line_count * ROW,
              margin = f->alone ? MARGIN : 0;
    text_addf(out, "<svg%s viewBox=\"%d %d %.0f %d\" style=\"max-width:%.0fpx\" role=\"img\" aria-label=\"",
              f->alone ? " xmlns=\"http://www.w3.org/2000/svg\"" : "", -margin, -margin, whole + 2 * margin,
              bottom + KEY_ROWS + 2 * margin, whole + 2 * margin);
    markup_text(out, f->title);
    text_addf(out, "\">\n");
    if (f->alone) add_surroundings(f, out);
    add_layers(f, width, heading + 12, out);
    add_lines(f, width, top, out);
    add_key(&map->scale, bottom + 12, out);
    text_addf(out, "</svg>\n");
}
