#include "tui/layout.h"

static int layout_clamp(int value, int least, int most) { return value < least ? least : value > most ? most : value; }

int layout_scroll(int first, int at, int seen, int count) {
    if (first > at) first = at;
    if (first < at - seen + 1) first = at - seen + 1;
    return layout_clamp(first, 0, count > seen ? count - seen : 0);
}

bool rect_contains(Rect rect, int row, int col) {
    return row >= rect.row && row < rect.row + rect.rows && col >= rect.col && col < rect.col + rect.cols;
}

Rect rect_inset(Rect rect, int cols) {
    rect.col += cols;
    rect.cols = rect.cols > 2 * cols ? rect.cols - 2 * cols : 0;
    return rect;
}

static void layout_split_effect(Layout *l) {
    const int metric_rows = 4;
    const Rect pane = l->effect;
    l->metrics = (Rect){pane.row, pane.col, metric_rows, pane.cols};
    l->texts = (Rect){pane.row + metric_rows, pane.col, pane.rows - metric_rows, pane.cols};
}

// Header, four horizontal edges; what remains is shared: dials and texts grow slowly to all that they have, the rest is
// for looking at layers.
Layout layout_make(int rows, int cols) {
    if (rows < LAYOUT_LEAST_ROWS || cols < LAYOUT_LEAST_COLS) return (Layout){.fits = false};
    const int free_rows = rows - 5, inner = cols - 2;
    const bool roomy = rows >= 30;
    const int shown = layout_clamp(5 + (rows - 30) / 3, 5, DIAL_ROWS), dial_rows = shown + (roomy ? 1 : 0);
    const int effect_rows = layout_clamp(6 + (rows - 24) / 4, 6, 11);
    const int upper_rows = free_rows - dial_rows - effect_rows;
    const int left = 43 + (cols - 80) * 34 / 100;

    Layout l = {.fits = true, .dial_headings = roomy, .dial_rows = shown};
    l.header = (Rect){0, 0, 1, cols};
    l.frame = (Rect){1, 0, rows - 1, cols};
    l.layers = (Rect){2, 1, upper_rows, left};
    l.detail = (Rect){2, left + 2, upper_rows, inner - left - 1};
    l.dials = (Rect){l.layers.row + upper_rows + 1, 1, dial_rows, inner};
    l.effect = (Rect){l.dials.row + dial_rows + 1, 1, effect_rows, inner};
    layout_split_effect(&l);
    l.bottom = (Rect){rows - 1, 0, 1, cols};
    return l;
}

Layout layout_zoom(const Layout *layout, Zoom zoom) {
    Layout l = *layout;
    if (!l.fits || zoom == ZOOM_NONE) return l;
    const Rect whole = {l.frame.row + 1, 1, l.frame.rows - 2, l.frame.cols - 2};
    l.layers = l.detail = l.dials = l.effect = l.metrics = l.texts = (Rect){0};
    if (zoom == ZOOM_LAYERS) l.layers = whole;
    if (zoom == ZOOM_DETAIL) l.detail = whole;
    if (zoom == ZOOM_DIALS) l.dials = whole;
    if (zoom == ZOOM_EFFECT) l.effect = whole;
    if (zoom == ZOOM_EFFECT) layout_split_effect(&l);
    l.dial_headings = zoom == ZOOM_DIALS;
    l.dial_rows = zoom == ZOOM_DIALS ? DIAL_ROWS : 0;
    return l;
}

static Rect layout_take(Rect *rest, int rows) {
    if (rows > rest->rows) rows = rest->rows;
    Rect taken = {rest->row, rest->col, rows, rest->cols};
    rest->row += rows;
    rest->rows -= rows;
    return taken;
}

// Of little room findings get what is left, and at least two rows.
ConvertLayout layout_convert(const Layout *layout, int engines, int job, int needs) {
    Rect rest = {layout->frame.row + 1, 1, layout->frame.rows - 2, layout->frame.cols - 2};
    ConvertLayout l;
    const bool small = rest.rows < 30; // where a line counts
    const int form = 3 + layout_clamp(needs, small ? 1 : 2, 3), least = 2;
    job = layout_clamp(job, small ? 1 : 2, small ? 6 : 9);
    const int most = rest.rows - 3 - form - job - least;
    l.form = layout_take(&rest, form);
    layout_take(&rest, 1);
    l.engines = layout_take(&rest, layout_clamp(1 + engines, 1, most));
    layout_take(&rest, 1);
    l.findings = layout_take(&rest, rest.rows - job - 1);
    layout_take(&rest, 1);
    l.job = rest;
    return l;
}

// The map has three lines beside its own: what it shows, the layers, and what shades mean.
OutliersLayout layout_outliers(const Layout *layout, int lines, int zoomed) {
    Rect rest = {layout->frame.row + 1, 1, layout->frame.rows - 2, layout->frame.cols - 2};
    OutliersLayout l = {.height = 1};
    const int least = 8, roomy = 12, around = 3;
    if (zoomed) {
        Rect *const panes[] = {&l.map, &l.cell, &l.channels};
        *panes[zoomed - 1] = rest;
        l.lines = layout_clamp(lines, 1, rest.rows - around);
        l.height = layout_clamp((rest.rows - around) / l.lines, 1, 2);
        return l;
    }
    l.lines = layout_clamp(lines, 1, rest.rows - 1 - least - around);
    l.height = rest.rows >= 2 * l.lines + around + 1 + roomy ? 2 : 1;
    l.map = layout_take(&rest, l.height * l.lines + around);
    layout_take(&rest, 1);
    l.cell = l.channels = rest;
    l.cell.cols = rest.cols < 100 ? rest.cols * 58 / 100 : rest.cols / 2;
    l.channels.col += l.cell.cols + 1;
    l.channels.cols -= l.cell.cols + 1;
    return l;
}

// On the whole frame there are three in any case.
static void split_texts(TrialsLayout *l, bool whole) {
    Rect rest = l->texts;
    l->note = (Rect){rest.row + rest.rows - 1, rest.col, 1, rest.cols};
    l->text_count = whole || rest.cols >= 90 ? 3 : 2;
    int col = rest.col;
    for (int i = 0; i < l->text_count; i++) { // one column lies between two
        const int left = rest.col + rest.cols - col, cols = (left - (l->text_count - 1 - i)) / (l->text_count - i);
        l->text[i] = (Rect){rest.row, col, rest.rows - 1, cols};
        col += cols + 1;
    }
}

TrialsLayout layout_trials(const Layout *layout, int zoomed) {
    Rect rest = {layout->frame.row + 1, 1, layout->frame.rows - 2, layout->frame.cols - 2};
    TrialsLayout l = {.text_count = 0};
    if (zoomed) {
        Rect *const panes[] = {&l.table, &l.texts, &l.plot};
        *panes[zoomed - 1] = rest;
    } else if (rest.cols >= 158) {
        const int left = 82 + (rest.cols - 158) / 2;
        l.texts = (Rect){rest.row, rest.col + left + 1, rest.rows, rest.cols - left - 1};
        l.table = (Rect){rest.row, rest.col, rest.rows, left};
        if (rest.rows >= 30) {
            const int plot = layout_clamp(rest.rows * 2 / 5, 12, 24);
            l.plot = (Rect){rest.row + rest.rows - plot, rest.col, plot, left};
            l.table.rows -= plot + 1;
        }
    } else {
        l.table = layout_take(&rest, layout_clamp(rest.rows * 2 / 5, 7, 16));
        layout_take(&rest, 1);
        l.texts = rest;
    }
    if (l.texts.rows) split_texts(&l, zoomed != 0);
    return l;
}

// Lines of figures come first; graphs share what remains. Without the height for it there is no axis under the weights,
// and channels make room for a note.
DetailLayout layout_detail(Rect pane, int note_rows) {
    DetailLayout d = {0};
    const int decision = pane.rows >= 14 ? 3 : 1;
    const int weight_axis = pane.rows >= 12 ? 1 : 0;
    const int why = pane.rows >= 13 ? 1 : 0;
    const int room = pane.rows - 4 - weight_axis - why - decision - note_rows;
    const bool channels = room >= 3;
    const int graphs = channels ? room : room + 1;
    const int channel = channels ? layout_clamp(graphs / 4, 1, 6) : 0;
    const int input = (graphs - channel) / 2;
    d.weight_line = layout_take(&pane, 1);
    d.weight_graph = layout_take(&pane, graphs - channel - input);
    d.weight_axis = layout_take(&pane, weight_axis);
    d.input_line = layout_take(&pane, 1);
    d.input_graph = layout_take(&pane, input);
    d.input_axis = layout_take(&pane, 1);
    d.channel_line = layout_take(&pane, channels ? 1 : 0);
    d.channel_graph = layout_take(&pane, channel);
    d.why = layout_take(&pane, why);
    d.decision = layout_take(&pane, decision);
    d.note = layout_take(&pane, note_rows);
    return d;
}

Rect layout_dial(const Layout *layout, int column, int row) {
    const Rect pane = layout->dials;
    const int heading = layout->dial_headings ? 1 : 0;
    const int width = pane.cols / DIAL_COLUMNS;
    const int extra = pane.cols % DIAL_COLUMNS; // to the last column
    return (Rect){pane.row + heading + row, pane.col + column * width, 1,
                  width + (column == DIAL_COLUMNS - 1 ? extra : 0)};
}
