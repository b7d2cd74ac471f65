#include "tools/terminal_svg.h"

#include <stdint.h>

// The grid of DejaVu Sans Mono at this size; texts are stretched to it, so that any font gives the same picture.
#define CELL_WIDTH 8.4
#define CELL_HEIGHT 17.0
#define FONT_SIZE 14
#define MARGIN 14.0

struct SvgColors {
    unsigned background, foreground, border, first[16];
};

const SvgColors svg_dark = {0x15191F,
                            0xD5D9E0,
                            0x343B46,
                            {0x15191F, 0xE06C75, 0x7FBF7F, 0xD9B45B, 0x61AFEF, 0xC58AE0, 0x56B6C2, 0xC8CDD5, 0x5C6370,
                             0xF28B82, 0x98D498, 0xF0CC7A, 0x82C4FF, 0xD9A9F0, 0x74D0DB, 0xFFFFFF}};
const SvgColors svg_light = {0xFCFCFB,
                             0x24292F,
                             0xD5D9DF,
                             {0x24292F, 0xB3261E, 0x1F7A33, 0x8A5A00, 0x0B5CAD, 0x7E3BA6, 0x0F7480, 0x6B7280, 0x57606A,
                              0xC0262D, 0x2F8F46, 0x9A6A00, 0x1F6FBF, 0x9250BF, 0x1B8C99, 0xFFFFFF}};

static unsigned rgb_of(const SvgColors *colors, VTermColor color, unsigned otherwise) {
    static const unsigned steps[6] = {0, 95, 135, 175, 215, 255};
    if (VTERM_COLOR_IS_DEFAULT_FG(&color) || VTERM_COLOR_IS_DEFAULT_BG(&color)) return otherwise;
    if (VTERM_COLOR_IS_RGB(&color))
        return (unsigned)color.rgb.red << 16 | (unsigned)color.rgb.green << 8 | color.rgb.blue;
    const unsigned i = color.indexed.idx;
    if (i < 16) return colors->first[i];
    if (i >= 232) return (8 + 10 * (i - 232)) * 0x010101u;
    return steps[(i - 16) / 36] << 16 | steps[(i - 16) / 6 % 6] << 8 | steps[(i - 16) % 6];
}

typedef struct CellLook {
    unsigned foreground, background;
    bool bold, underline;
} CellLook;

static CellLook look_of(const SvgColors *colors, const VTermScreenCell *cell) {
    CellLook look = {rgb_of(colors, cell->fg, colors->foreground), rgb_of(colors, cell->bg, colors->background),
                     cell->attrs.bold, cell->attrs.underline};
    if (cell->attrs.reverse) {
        const unsigned swapped = look.foreground;
        look.foreground = look.background;
        look.background = swapped;
    }
    return look;
}

static void rectangle(FILE *out, double x, double y, double width, double height, unsigned color) {
    fprintf(out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"#%06x\"/>\n", x, y, width, height,
            color);
}

static void line(FILE *out, const char *path, double width, unsigned color) {
    fprintf(out, "<path d=\"%s\" fill=\"none\" stroke=\"#%06x\" stroke-width=\"%.1f\"/>\n", path, color, width);
}

// Which halves of a box character are drawn: 1 up, 2 right, 4 down, 8 left; 16: round corner.
static int box_edges(uint32_t code) {
    switch (code) {
    case 0x2500: return 10;
    case 0x2502: return 5;
    case 0x256D: return 6 | 16;
    case 0x256E: return 12 | 16;
    case 0x256F: return 9 | 16;
    case 0x2570: return 3 | 16;
    case 0x251C: return 7;
    case 0x2524: return 13;
    case 0x252C: return 14;
    case 0x2534: return 11;
    case 0x253C: return 15;
    default: return 0;
    }
}

static void draw_box(FILE *out, int edges, double x, double y, unsigned color) {
    const double mx = x + CELL_WIDTH / 2, my = y + CELL_HEIGHT / 2, radius = 4;
    char path[256];
    if (edges & 16) {
        const double vertical = edges & 1 ? y : y + CELL_HEIGHT, horizontal = edges & 2 ? x + CELL_WIDTH : x;
        snprintf(path, sizeof path, "M%.2f %.2fV%.2fQ%.2f %.2f %.2f %.2fH%.2f", mx, vertical,
                 edges & 1 ? my - radius : my + radius, mx, my, edges & 2 ? mx + radius : mx - radius, my, horizontal);
        line(out, path, 1, color);
        return;
    }
    if (edges & 5) {
        snprintf(path, sizeof path, "M%.2f %.2fV%.2f", mx, edges & 1 ? y : my, edges & 4 ? y + CELL_HEIGHT : my);
        line(out, path, 1, color);
    }
    if (edges & 10) {
        snprintf(path, sizeof path, "M%.2f %.2fH%.2f", edges & 8 ? x : mx, my, edges & 2 ? x + CELL_WIDTH : mx);
        line(out, path, 1, color);
    }
}

// Characters that reach from edge to edge: a row of them is one shape.
static bool is_seamless(uint32_t code) {
    return code == 0x2500 || code == 0x2501 || (code >= 0x2581 && code <= 0x2588);
}

// Characters that make pictures are drawn as shapes: fonts leave gaps between them. cells: so many times, of what is
// seamless. False for all others.
static bool draw_shape(FILE *out, uint32_t code, int cells, double x, double y, unsigned color) {
    const double width = cells * CELL_WIDTH;
    const double mx = x + CELL_WIDTH / 2, my = y + CELL_HEIGHT / 2;
    char path[128];
    if (code == 0x2500) {
        snprintf(path, sizeof path, "M%.2f %.2fH%.2f", x, my, x + width);
        line(out, path, 1, color);
    } else if (box_edges(code))
        draw_box(out, box_edges(code), x, y, color);
    else if (code >= 0x2581 && code <= 0x2588) {
        const double height = CELL_HEIGHT * (code - 0x2580) / 8;
        rectangle(out, x, y + CELL_HEIGHT - height, width + 0.05, height, color);
    } else if (code >= 0x2589 && code <= 0x258F)
        rectangle(out, x, y + 3, CELL_WIDTH * (0x2590 - code) / 8, CELL_HEIGHT - 6, color);
    else if (code == 0x2501)
        rectangle(out, x, my - 1.2, width + 0.05, 2.4, color);
    else if (code == 0x2503)
        rectangle(out, mx - 1.5, y, 3, CELL_HEIGHT, color);
    else if (code == 0x25CF)
        fprintf(out, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"4\" fill=\"#%06x\"/>\n", mx, my, color);
    else if (code == 0x25CB)
        fprintf(out, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"2.6\" fill=\"none\" stroke=\"#%06x\"/>\n", mx, my, color);
    else if (code == 0x250A) {
        snprintf(path, sizeof path, "M%.2f %.2fv2.5m0 2v2.5m0 2v2.5m0 2v2.5", mx, y + 0.5);
        line(out, path, 1.2, color);
    } else
        return false;
    return true;
}

static void put_character(FILE *out, uint32_t code) {
    if (code == '&')
        fputs("&amp;", out);
    else if (code == '<')
        fputs("&lt;", out);
    else if (code == '>')
        fputs("&gt;", out);
    else if (code < 0x80)
        fputc((int)code, out);
    else
        fprintf(out, "&#%u;", code);
}

static bool same_look(CellLook a, CellLook b) {
    return a.foreground == b.foreground && a.background == b.background && a.bold == b.bold &&
           a.underline == b.underline;
}

static VTermScreenCell cell_at(Screen *s, int row, int col) {
    VTermScreenCell cell = {0};
    vterm_screen_get_cell(s->screen, (VTermPos){.row = row, .col = col}, &cell);
    return cell;
}

static void draw_backgrounds(FILE *out, Screen *s, const SvgColors *colors, int row) {
    for (int col = 0; col < s->cols;) {
        const VTermScreenCell first = cell_at(s, row, col);
        const unsigned color = look_of(colors, &first).background;
        int end = col + 1;
        for (; end < s->cols; end++) {
            const VTermScreenCell cell = cell_at(s, row, end);
            if (look_of(colors, &cell).background != color) break;
        }
        if (color != colors->background)
            rectangle(out, MARGIN + col * CELL_WIDTH, MARGIN + row * CELL_HEIGHT, (end - col) * CELL_WIDTH, CELL_HEIGHT,
                      color);
        col = end;
    }
}

// A run of text of one look, up to a blank pair or a shape.
static int draw_run(FILE *out, Screen *s, const SvgColors *colors, int row, int col) {
    const VTermScreenCell first = cell_at(s, row, col);
    const CellLook look = look_of(colors, &first);
    const double x = MARGIN + col * CELL_WIDTH, y = MARGIN + row * CELL_HEIGHT;
    if (first.chars[0] == 0 || (first.chars[0] == ' ' && !look.underline)) return col + 1;
    int cells = 1;
    while (is_seamless(first.chars[0]) && col + cells < s->cols) {
        const VTermScreenCell next = cell_at(s, row, col + cells);
        if (next.chars[0] != first.chars[0] || !same_look(look_of(colors, &next), look)) break;
        cells++;
    }
    if (draw_shape(out, first.chars[0], cells, x, y, look.foreground)) return col + cells;
    uint32_t codes[1024];
    int count = 0, end = col;
    while (end < s->cols && count < 1000) {
        const VTermScreenCell cell = cell_at(s, row, end);
        const uint32_t code = cell.chars[0] ? cell.chars[0] : ' ';
        if (!same_look(look_of(colors, &cell), look) || box_edges(code) || (code >= 0x2581 && code <= 0x258F) ||
            code == 0x25CF || code == 0x25CB || code == 0x2501 || code == 0x2503 || code == 0x250A)
            break;
        codes[count++] = code;
        end += cell.width > 1 ? cell.width : 1;
    }
    while (count > 1 && codes[count - 1] == ' ' && !look.underline) {
        count--;
        end--;
    }
    fprintf(out, "<text x=\"%.2f\" y=\"%.2f\" textLength=\"%.2f\" fill=\"#%06x\"%s%s>", x, y + 13,
            (end - col) * CELL_WIDTH, look.foreground, look.bold ? " font-weight=\"bold\"" : "",
            look.underline ? " text-decoration=\"underline\"" : "");
    for (int i = 0; i < count; i++) put_character(out, codes[i]);
    fputs("</text>\n", out);
    return end;
}

void svg_row(FILE *out, Screen *s, const SvgColors *colors, int row) {
    draw_backgrounds(out, s, colors, row);
    for (int col = 0; col < s->cols;) col = draw_run(out, s, colors, row, col);
}

void svg_begin(FILE *out, const Screen *s, const SvgColors *colors) {
    const double width = s->cols * CELL_WIDTH + 2 * MARGIN, height = s->rows * CELL_HEIGHT + 2 * MARGIN;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\">\n",
            width, height, width, height);
    fprintf(out,
            "<rect x=\"0.5\" y=\"0.5\" width=\"%.0f\" height=\"%.0f\" rx=\"9\" fill=\"#%06x\" stroke=\"#%06x\"/>\n",
            width - 1, height - 1, colors->background, colors->border);
    fprintf(out,
            "<g font-family=\"'DejaVu Sans Mono','SF Mono',Menlo,Consolas,monospace\" font-size=\"%d\" "
            "xml:space=\"preserve\" lengthAdjust=\"spacingAndGlyphs\">\n",
            FONT_SIZE);
}

void svg_end(FILE *out) { fputs("</g>\n</svg>\n", out); }
