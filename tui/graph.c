#include "tui/graph.h"

#include <math.h>

static const char *const lower_eighths[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

static int eighths_of(double share, int cells) {
    if (!(share > 0)) return 0;
    int eighths = (int)lround(share * cells * 8);
    if (eighths < 1) eighths = 1;
    return eighths > cells * 8 ? cells * 8 : eighths;
}

void graph_columns(Canvas *canvas, Rect rect, const double *shares, const Style *styles, Style style) {
    for (int x = 0; x < rect.cols; x++) {
        int eighths = eighths_of(shares[x], rect.rows);
        for (int y = rect.rows - 1; y >= 0 && eighths > 0; y--, eighths -= 8) {
            canvas_text(canvas, rect.row + y, rect.col + x, 1, styles ? styles[x] : style,
                        lower_eighths[eighths > 8 ? 8 : eighths]);
        }
    }
}

void graph_bar(Canvas *canvas, int row, int col, int width, double share, Style style) {
    const int filled = share > 0 ? (int)lround(share * width) : 0;
    for (int x = 0; x < width && x < (filled > 0 || !(share > 0) ? filled : 1); x++)
        canvas_text(canvas, row, col + x, 1, style, "━");
}

void graph_slider(Canvas *canvas, int row, int col, int width, double share, Style filled, Style knob, Style track) {
    if (width < 2) return;
    int at = (int)lround((share < 0 ? 0 : share > 1 ? 1 : share) * (width - 1));
    for (int x = 0; x < width; x++) {
        canvas_text(canvas, row, col + x, 1,
                    x < at    ? filled
                    : x == at ? knob
                              : track,
                    x < at    ? "━"
                    : x == at ? "●"
                              : "─");
    }
}

int graph_choice(Canvas *canvas, int row, int col, int width, int n, int chosen, Style style, Style knob, Style track) {
    int distance = n * 2 - 1 <= width ? 2 : 1;
    if (n > width) return 0;
    for (int i = 0; i < n; i++) {
        canvas_text(canvas, row, col + i * distance, 1, i == chosen ? knob : style, i == chosen ? "●" : "○");
        if (distance == 2 && i + 1 < n) canvas_text(canvas, row, col + i * 2 + 1, 1, track, "─");
    }
    return distance;
}

void graph_log_shares(const double *counts, int n, double *shares) {
    double largest = 0;
    for (int i = 0; i < n; i++) largest = fmax(largest, counts[i]);
    for (int i = 0; i < n; i++) shares[i] = largest > 0 && counts[i] > 0 ? log1p(counts[i]) / log1p(largest) : 0;
}
