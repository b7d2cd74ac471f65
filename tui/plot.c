#include "tui/plot.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "tui/format.h"

#define MARGIN 0.06
#define LABEL_COLS 8

// ---- axes ---------------------------------------------------------------------------------------------------------

void plot_range(PlotAxis *axis, const double *values, int count) {
    double least = INFINITY, most = -INFINITY;
    for (int i = 0; i < count; i++) {
        if (!isfinite(values[i])) continue;
        least = fmin(least, values[i]);
        most = fmax(most, values[i]);
    }
    if (!(least <= most)) least = 0, most = 1;
    axis->logarithmic = axis->logarithmic && least > 0;
    if (axis->logarithmic) {
        const double margin = most > least ? pow(most / least, MARGIN) : 1.5;
        axis->from = least / margin;
        axis->to = most * margin;
    } else {
        const double margin = most > least ? (most - least) * MARGIN : fmax(fabs(most) / 2, 0.5);
        axis->from = least - margin;
        axis->to = most + margin;
    }
}

// 0 at its beginning, 1 at its end.
static double share(const PlotAxis *axis, double value) {
    if (axis->logarithmic) return log(value / axis->from) / log(axis->to / axis->from);
    return (value - axis->from) / (axis->to - axis->from);
}

static void add_tick(PlotAxis *axis, double at) {
    const double edge = 1e-9;
    if (axis->tick_count == PLOT_TICKS_MOST || share(axis, at) < -edge || share(axis, at) > 1 + edge) return;
    PlotTick *tick = &axis->ticks[axis->tick_count++];
    tick->at = fabs(at) < 1e-12 ? 0 : at;
    snprintf(tick->text, sizeof tick->text, "%.4g", tick->at);
}

// 1, 2 and 5 of each power of ten, as long as they are not too many.
static void logarithmic_ticks(PlotAxis *axis, int most) {
    static const double of_decade[] = {1, 2, 5};
    const int low = (int)floor(log10(axis->from)), high = (int)ceil(log10(axis->to));
    const int each = 3 * (high - low) <= 2 * most ? 3 : 1;
    for (int power = low; power <= high; power++)
        for (int i = 0; i < each; i++) add_tick(axis, of_decade[i] * pow(10, power));
}

static void linear_ticks(PlotAxis *axis, int most) {
    double step = pow(10, floor(log10((axis->to - axis->from) / most)));
    static const double steps[] = {2, 2.5, 2};
    for (int i = 0; (axis->to - axis->from) / step > most; i++) step *= steps[i % 3];
    const double first = ceil(axis->from / step), last = floor(axis->to / step + 1e-6);
    for (int i = 0; i <= (int)(last - first); i++) add_tick(axis, (first + i) * step);
}

static void make_ticks(PlotAxis *axis, int most) {
    if (axis->tick_count) return;
    if (most > PLOT_TICKS_MOST) most = PLOT_TICKS_MOST;
    if (most < 2) most = 2;
    if (axis->logarithmic && axis->to / axis->from > 4)
        logarithmic_ticks(axis, most);
    else
        linear_ticks(axis, most);
}

// ---- places -------------------------------------------------------------------------------------------------------

#define ACROSS 2 // dots of a braille cell
#define DOWN 4

// In dots, from the upper left corner.
static bool place(const Plot *plot, double x, double y, int *row, int *col) {
    const double sx = share(&plot->x, x), sy = share(&plot->y, y);
    if (!(sx >= 0 && sx <= 1 && sy >= 0 && sy <= 1)) return false;
    *col = (int)lround(sx * (plot->inside.cols * ACROSS - 1));
    *row = (int)lround((1 - sy) * (plot->inside.rows * DOWN - 1));
    return true;
}

// That of the dot, so that a mark lies on its line.
bool plot_cell(const Plot *plot, double x, double y, int *row, int *col) {
    if (!place(plot, x, y, row, col)) return false;
    *row = plot->inside.row + *row / DOWN;
    *col = plot->inside.col + *col / ACROSS;
    return true;
}

static void draw_y_axis(Plot *plot) {
    const Rect in = plot->inside;
    int above = in.row - 2;
    for (int row = 0; row < in.rows; row++) canvas_text(plot->canvas, in.row + row, in.col - 1, 1, MEANING_RULE, "│");
    for (int i = plot->y.tick_count - 1; i >= 0; i--) {
        const PlotTick *tick = &plot->y.ticks[i];
        int row, col;
        if (!plot_cell(plot, plot->x.from, tick->at, &row, &col) || row < above + 2) continue;
        above = row;
        canvas_right(plot->canvas, row, in.col - 1 - LABEL_COLS, LABEL_COLS - 1, MEANING_FAINT, tick->text);
        canvas_text(plot->canvas, row, in.col - 1, 1, MEANING_RULE, "┤");
    }
}

static void draw_x_axis(Plot *plot) {
    const Rect in = plot->inside;
    const int line = in.row + in.rows;
    int used = in.col - LABEL_COLS;
    canvas_text(plot->canvas, line, in.col - 1, 1, MEANING_RULE, "╰");
    for (int col = 0; col < in.cols; col++) canvas_text(plot->canvas, line, in.col + col, 1, MEANING_RULE, "─");
    for (int i = 0; i < plot->x.tick_count; i++) {
        const PlotTick *tick = &plot->x.ticks[i];
        const int width = canvas_width(plot->canvas, tick->text);
        int row, col;
        if (!plot_cell(plot, tick->at, plot->y.from, &row, &col)) continue;
        canvas_text(plot->canvas, line, col, 1, MEANING_RULE, "┬");
        int from = col - width / 2;
        if (from + width > in.col + in.cols) from = in.col + in.cols - width;
        if (from <= used) continue;
        canvas_text(plot->canvas, line + 1, from, width, MEANING_FAINT, tick->text);
        used = from + width;
    }
}

Plot plot_begin(Canvas *canvas, Rect rect, const PlotAxis *x, const PlotAxis *y) {
    Plot plot = {canvas, *x, *y, {rect.row + 1, rect.col + LABEL_COLS + 1, rect.rows - 3, rect.cols - LABEL_COLS - 2}};
    if (plot.inside.rows < 2 || plot.inside.cols < 2) return plot;
    make_ticks(&plot.x, plot.inside.cols / 10);
    make_ticks(&plot.y, plot.inside.rows / 2);
    draw_y_axis(&plot);
    draw_x_axis(&plot);
    canvas_fit(canvas, rect.row, rect.col + 1, rect.cols, MEANING_TITLE, y->title);
    // At the right end, where no tick stands below the line.
    const int width = canvas_width(canvas, x->title) + 2;
    if (width < plot.inside.cols) {
        canvas_text(canvas, rect.row, rect.col + rect.cols - width, width, MEANING_TITLE, x->title);
        canvas_text(canvas, rect.row, rect.col + rect.cols - 1, 1, MEANING_TITLE, "→");
    }
    return plot;
}

// ---- lines --------------------------------------------------------------------------------------------------------

typedef struct Dots {
    uint8_t *cells; // [rows, cols]: bits of U+2800
    int rows, cols;
} Dots;

static void dot(Dots *dots, int row, int col) {
    static const uint8_t bits[DOWN][ACROSS] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    dots->cells[(size_t)(row / DOWN) * (size_t)dots->cols + (size_t)(col / ACROSS)] |= bits[row % DOWN][col % ACROSS];
}

static void stretch(Dots *dots, int row, int col, int to_row, int to_col) {
    const int steps = abs(to_row - row) > abs(to_col - col) ? abs(to_row - row) : abs(to_col - col);
    for (int i = 0; i <= steps; i++) {
        const double part = steps ? (double)i / steps : 0;
        dot(dots, (int)lround(row + part * (to_row - row)), (int)lround(col + part * (to_col - col)));
    }
}

static void show_dots(const Plot *plot, const Dots *dots, Style style) {
    for (int row = 0; row < dots->rows; row++) {
        for (int col = 0; col < dots->cols; col++) {
            const uint8_t bits = dots->cells[(size_t)row * (size_t)dots->cols + (size_t)col];
            if (!bits) continue;
            const char text[] = {'\xE2', (char)(0xA0 | bits >> 6), (char)(0x80 | (bits & 0x3F)), '\0'};
            canvas_text(plot->canvas, plot->inside.row + row, plot->inside.col + col, 1, style,
                        plot->canvas->ascii ? "." : text);
        }
    }
}

void plot_line(const Plot *plot, const PlotPoint *points, int count, Style style) {
    Dots dots = {NULL, plot->inside.rows, plot->inside.cols};
    bool drawn = false;
    int row = 0, col = 0;
    if (dots.rows < 1 || dots.cols < 1 || !(dots.cells = array_new((size_t)dots.rows * (size_t)dots.cols, 1))) return;
    for (int i = 0; i < count; i++) {
        int to_row, to_col;
        if (isnan(points[i].x) || isnan(points[i].y)) continue;
        const bool inside = place(plot, points[i].x, points[i].y, &to_row, &to_col);
        if (inside && drawn) stretch(&dots, row, col, to_row, to_col);
        drawn = inside;
        if (inside) row = to_row, col = to_col;
    }
    show_dots(plot, &dots, style);
    free(dots.cells);
}

// ---- points -------------------------------------------------------------------------------------------------------

// Only as far as it is longer than the mark.
static void draw_error(const Plot *plot, const PlotPoint *p) {
    int low, high, row, col;
    const double below = fmax(p->y - p->error, plot->y.from), above = fmin(p->y + p->error, plot->y.to);
    if (!plot_cell(plot, p->x, below, &low, &col) || !plot_cell(plot, p->x, above, &high, &col)) return;
    for (row = high; row <= low; row++) canvas_text(plot->canvas, row, col, 1, MEANING_FAINT, "│");
}

void plot_points(const Plot *plot, const PlotPoint *points, int count) {
    for (int i = 0; i < count; i++) {
        int row, col;
        if (isnan(points[i].x) || isnan(points[i].y)) continue;
        if (!plot_cell(plot, points[i].x, points[i].y, &row, &col)) continue;
        if (points[i].error > 0) draw_error(plot, &points[i]);
        if (points[i].mark) canvas_text(plot->canvas, row, col, 1, points[i].style, points[i].mark);
    }
}
