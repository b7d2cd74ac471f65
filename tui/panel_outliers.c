// The Outliers screen: a map of all linears, what the one under the cursor suffers from, and channels that are outliers
// in many layers.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/standing_out.h"
#include "tui/format.h"
#include "tui/outliers.h"
#include "tui/panels.h"
#include "tui/screen.h"
#include "tui/wrap.h"

// Shades can be told without colours, and digits without shades.
static const char *const shades[SHADES] = {"·", "░", "▒", "▓", "█"};
static const char *const digits[SHADES] = {"1", "2", "3", "4", "5"};
static const Style level_styles[SHADES] = {MEANING_FAINT, MEANING_STATIC, MEANING_LAE, MEANING_TAIL, MEANING_TOKEN};

static const char *shade(const Ui *ui, int level) { return ui->canvas.ascii ? digits[level] : shades[level]; }

// A figure of an earlier setting.
static bool is_stale(const Ui *ui) {
    const uint64_t turn = workbench_turn(ui->workbench), study = workbench_sensitivity(ui->workbench)->turn;
    switch (ui->outliers.measure) {
    case HEAT_ERROR:
    case HEAT_CHANGE: return workbench_effect(ui->workbench)->sqnr_turn != turn;
    case HEAT_KL: return study && study != turn;
    case HEAT_RANGE:
    case HEAT_WEIGHT_MAX:
    case HEAT_MEASURES: break;
    }
    return false;
}

// ---- the map ------------------------------------------------------------------------------------------------------

// Where cells stand.
typedef struct CellGrid {
    Rect cells;         // of the map, all that are seen
    int label;          // columns of a label
    int width, height;  // of a cell
    int columns, lines; // that are seen
} CellGrid;

#define CELL_COLS_MOST 12
#define FIGURE_COLS 9       // of a cell, with a blank before, and mark and blank after
#define CELL_COLS_FIGURE 10 // from here on there is room for the figure beside the shade

static CellGrid grid_of(const Ui *ui, const OutliersLayout *l) {
    const HeatMap *heat = &ui->outliers.heat;
    CellGrid g = {.label = 6, .height = l->height, .lines = l->lines};
    for (int i = 0; i < heat->map.line_count; i++) {
        const int width = canvas_width(&ui->canvas, heat->map.lines[i].title);
        if (width > g.label) g.label = width;
    }
    g.label += 3;
    g.cells = (Rect){l->map.row + 2, l->map.col + g.label, l->lines * l->height, l->map.cols - g.label - 1};
    g.width = g.cells.cols / heat->map.columns;
    if (g.width > CELL_COLS_MOST) g.width = CELL_COLS_MOST;
    if (g.width < 1) g.width = 1;
    g.columns = g.cells.cols / g.width < heat->map.columns ? g.cells.cols / g.width : heat->map.columns;
    g.cells.cols = g.columns * g.width;
    return g;
}

static void scroll(Ui *ui, const CellGrid *g) {
    int line;
    const int column = outliers_column(ui, &line);
    ui->outliers.first_column =
        layout_scroll(ui->outliers.first_column, column, g->columns, ui->outliers.heat.map.columns);
    ui->outliers.first_line = layout_scroll(ui->outliers.first_line, line, g->lines, ui->outliers.heat.map.line_count);
}

static bool is_on_its_way(const Ui *ui, JobKind kind) {
    JobView job;
    workbench_job(ui->workbench, kind, &job);
    return job_is_on(job.state);
}

static void pen_stale(const Ui *ui, Pen *pen) {
    const bool waits = ui->outliers.measure != HEAT_KL || is_on_its_way(ui, JOB_SENSITIVITY);
    if (waits)
        pen_text(pen, MEANING_FAINT, "%s %s; this is of an earlier setting  ", ui_spinner(ui),
                 ui->outliers.measure == HEAT_KL ? "studying" : "measuring errors");
    else
        pen_text(pen, MEANING_CHANGED, "of an earlier setting; s studies this one  ");
}

static void draw_measures(Ui *ui, Rect line) {
    Pen pen = pen_at(&ui->canvas, rect_inset(line, 1));
    for (int i = 0; i < HEAT_MEASURES; i++) {
        const bool shown = i == (int)ui->outliers.measure;
        const int from = pen.col;
        pen_text(&pen, shown ? MEANING_FOCUS | STYLE_BOLD : MEANING_FAINT, shown ? "[%s]" : " %s ",
                 heat_table[i].title);
        ui_hit(ui, (Rect){line.row, from, 1, pen.col - from}, HIT_MEASURE, i);
        pen_text(&pen, MEANING_TEXT, " ");
    }
    if (is_stale(ui)) pen_stale(ui, &pen);
    pen_text(&pen, MEANING_FAINT, "  %s", heat_table[ui->outliers.measure].help);
}

// Layers as far as their numbers find room; that of the cursor always.
static void draw_axis(Ui *ui, const CellGrid *g, Rect line) {
    static const int steps[] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000};
    int cursor_line, step = 0;
    const int cursor = outliers_column(ui, &cursor_line);
    const ModelStructure *structure = workbench_structure(ui->workbench);
    char text[16];
    const int needed = layer_short_name(structure, ui->outliers.heat.map.columns, text, sizeof text) + 1;
    while (steps[step] * g->width < needed) step++;
    canvas_text(&ui->canvas, line.row, line.col + 3, g->label, MEANING_FAINT, "layer");
    const int here = (cursor - ui->outliers.first_column) * g->width;
    for (int i = 0; i < g->columns; i++) {
        const int column = ui->outliers.first_column + i, at = i * g->width;
        const bool under = at > here - needed && at < here + needed;
        if (column % steps[step] || (under && at != here)) continue;
        layer_short_name(structure, column, text, sizeof text);
        canvas_text(&ui->canvas, line.row, g->cells.col + at, line.col + line.cols - g->cells.col - at, MEANING_FAINT,
                    text);
    }
    layer_short_name(structure, cursor, text, sizeof text);
    int col = g->cells.col + here;
    if (col + needed > line.col + line.cols) col = line.col + line.cols - needed + 1;
    canvas_text(&ui->canvas, line.row, col, needed, MEANING_ACCENT, text);
}

static bool is_left_alone(const Ui *ui, int linear) {
    return !workbench_plan(ui->workbench)->decisions[linear].quantized;
}

// "·", "▒▒•", "█ 1286◂": shades, and where there is room the figure; the last column says marked, or cursor.
static void draw_cell(Ui *ui, const CellGrid *g, Rect place, int index, int marked) {
    const MapCell *cell = &ui->outliers.heat.map.cells[index];
    const int level = shade_of(&ui->outliers.heat.map.scale, cell->value);
    const bool cursor = index == ui->outliers.cell;
    if (!cell->linears) return;
    const bool alone = ui->outliers.measure >= HEAT_ERROR && is_left_alone(ui, cell->worst);
    const char *text = level >= 0 ? shade(ui, level) : alone ? "–" : "?";
    Style style = level >= 0 ? level_styles[level] : MEANING_FAINT;
    if (is_stale(ui)) style |= STYLE_DIM;
    if (g->width == 1) {
        if (marked) style |= STYLE_UNDERLINE;
        canvas_text(&ui->canvas, place.row, place.col, 1, cursor ? MEANING_ACCENT : style, cursor ? "◆" : text);
        return;
    }
    const bool figure = g->width >= CELL_COLS_FIGURE;
    const int tail = g->width - (figure ? 2 : 1);
    const int wide = ui->canvas.ascii || level < 0 ? 1 : figure ? g->width - FIGURE_COLS : tail;
    for (int i = 0; i < wide * place.rows; i++)
        canvas_text(&ui->canvas, place.row + i / wide, place.col + i % wide, 1, style, text);
    if (figure && level >= 0) {
        const Short value = heat_text(ui->outliers.measure, cell->value);
        canvas_right(&ui->canvas, place.row, place.col + tail - 6, 6, style, value.text);
    }
    if (cursor)
        canvas_text(&ui->canvas, place.row, place.col + tail, 1, MEANING_ACCENT, "◂");
    else if (marked)
        canvas_text(&ui->canvas, place.row, place.col + tail, 1, MEANING_CHANGED, "•");
}

static int marked_in(const Ui *ui, int index) {
    const HeatMap *heat = &ui->outliers.heat;
    const MapCell *cell = &heat->map.cells[index];
    if (cell->linears == 1) return ui->rows.marked[cell->first];
    int marked = 0, left = ui->rows.marked_count ? cell->linears : 0;
    for (int i = cell->first; left > 0; i++) {
        if (heat->map.cell_of[i] != index) continue;
        marked += ui->rows.marked[i];
        left--;
    }
    return marked;
}

static void draw_lines(Ui *ui, const CellGrid *g) {
    const HeatMap *heat = &ui->outliers.heat;
    int cursor_line;
    outliers_column(ui, &cursor_line);
    for (int y = 0; y < g->lines; y++) {
        const int line = ui->outliers.first_line + y, row = g->cells.row + y * g->height,
                  left = g->cells.col - g->label;
        const bool here = line == cursor_line;
        if (here) canvas_text(&ui->canvas, row, left + 1, 1, MEANING_ACCENT, "▸");
        canvas_text(&ui->canvas, row, left + 2, g->label - 2, here ? MEANING_ACCENT : MEANING_TEXT,
                    heat->map.lines[line].title);
        for (int x = 0; x < g->columns; x++) {
            const int index = line * heat->map.columns + ui->outliers.first_column + x;
            draw_cell(ui, g, (Rect){row, g->cells.col + x * g->width, g->height, g->width}, index,
                      marked_in(ui, index));
        }
    }
    const int left = g->cells.col - g->label, last = g->cells.row + (g->lines - 1) * g->height;
    if (ui->outliers.first_line > 0) canvas_text(&ui->canvas, g->cells.row, left, 1, MEANING_ACCENT, "▲");
    if (ui->outliers.first_line + g->lines < heat->map.line_count)
        canvas_text(&ui->canvas, last, left, 1, MEANING_ACCENT, "▼");
    if (ui->outliers.first_column > 0)
        canvas_text(&ui->canvas, g->cells.row - 1, g->cells.col - 1, 1, MEANING_ACCENT, "‹");
    if (ui->outliers.first_column + g->columns < heat->map.columns)
        canvas_text(&ui->canvas, g->cells.row - 1, g->cells.col + g->cells.cols, 1, MEANING_ACCENT, "›");
    ui_hit(ui, g->cells, HIT_CELLS, g->width);
}

static Short edge_text(const HeatMap *heat, int edge) {
    if (heat->measure == HEAT_CHANGE) return format_change(heat->map.scale.edges[edge], 1, "");
    Short out;
    snprintf(out.text, sizeof out.text, "%.3g", heat->map.scale.edges[edge]);
    return out;
}

// Nothing is known yet: what it waits for, be it the user.
static void draw_unknown(Ui *ui, Rect line) {
    static const JobKind finds[HEAT_MEASURES] = {[HEAT_RANGE] = JOB_CALIBRATE,
                                                 [HEAT_WEIGHT_MAX] = JOB_WEIGHTS,
                                                 [HEAT_ERROR] = JOB_ERRORS,
                                                 [HEAT_KL] = JOB_SENSITIVITY,
                                                 [HEAT_CHANGE] = JOB_ERRORS};
    const HeatMeasure measure = ui->outliers.measure;
    const char *key = NULL;
    if (measure == HEAT_CHANGE && !ui->pin.set) key = "nothing to compare with: p pins this state, then turn a dial";
    if (measure == HEAT_KL && !is_on_its_way(ui, JOB_SENSITIVITY))
        key = "s quantizes each linear alone; estimates come first";
    if (key)
        canvas_fit(&ui->canvas, line.row, line.col + 1, line.cols - 2, MEANING_CHANGED, key);
    else
        panel_waiting_draw(ui, line, finds[measure]);
}

// How much of what is shown is an estimate.
static void pen_study(const Ui *ui, Pen *pen) {
    const SensitivityView *study = workbench_sensitivity(ui->workbench);
    if (study->measured < study->count)
        pen_text(pen, MEANING_CHANGED,
                 study->estimate_tokens ? "%d of %d measured, else estimates   "
                                        : "%d of %d measured; s studies all   ",
                 study->measured, study->count);
}

// "· ≤2.4  ░ ≤8  …  █ >110".
static void draw_scale(Ui *ui, Rect line) {
    const HeatMap *heat = &ui->outliers.heat;
    Pen pen = pen_at(&ui->canvas, rect_inset(line, 1));
    if (!heat->map.known) {
        draw_unknown(ui, line);
        return;
    }
    const bool falling = heat_table[heat->measure].falling;
    for (int i = 0; i < SHADES; i++) {
        pen_text(&pen, level_styles[i], "%s ", shade(ui, i));
        if (i == SHADES - 1)
            pen_text(&pen, MEANING_FAINT, "%s%s  worst   ", falling ? "<" : ">", edge_text(heat, i - 1).text);
        else
            pen_text(&pen, MEANING_FAINT, "%s%s  ", falling ? "≥" : "≤", edge_text(heat, i).text);
    }
    if (heat->measure == HEAT_KL) pen_study(ui, &pen);
    if (ui->rows.marked_count) pen_text(&pen, MEANING_CHANGED, "• %d marked   ", ui->rows.marked_count);
    if (heat->measure != HEAT_WEIGHT_MAX && calibration_provisional(ui))
        pen_text(&pen, MEANING_CHANGED, "order may still change  ");
    if (heat->measure >= HEAT_ERROR) pen_text(&pen, MEANING_FAINT, "– not quantized");
}

static void draw_map(Ui *ui, const OutliersLayout *l) {
    const CellGrid g = grid_of(ui, l);
    ui->outliers.height = g.height;
    scroll(ui, &g);
    draw_measures(ui, (Rect){l->map.row, l->map.col, 1, l->map.cols});
    draw_axis(ui, &g, (Rect){l->map.row + 1, l->map.col, 1, l->map.cols});
    draw_lines(ui, &g);
    draw_scale(ui, (Rect){l->map.row + l->map.rows - 1, l->map.col, 1, l->map.cols});
}

// ---- the cell under the cursor --------------------------------------------------------------------------------------

static bool take_line(Rect *rest, Rect *line) {
    *line = (Rect){rest->row, rest->col, 1, rest->cols};
    if (rest->rows < 1) return false;
    rest->row++;
    rest->rows--;
    return true;
}

// Wrapped, in as many lines as it takes, the first bytes bold. What is of an earlier setting stands in brackets, all of
// it.
static void draw_sentence(Ui *ui, Rect *rest, const char *text, size_t bold, Style style, Style dim) {
    const WrapPiece pieces[] = {{dim ? "(" : "", SIZE_MAX, dim},
                                {text, bold, dim ? dim : style | STYLE_BOLD},
                                {text + bold, SIZE_MAX, dim ? dim : style},
                                {dim ? ")" : "", SIZE_MAX, dim}};
    const int needed = wrap_lines(&ui->canvas, rest->cols, pieces, 4), rows = needed < rest->rows ? needed : rest->rows;
    wrap_draw(&ui->canvas, (Rect){rest->row, rest->col, rows, rest->cols}, pieces, 4, 0);
    rest->row += rows;
    rest->rows -= rows;
}

static double kl_alone(const Sensitivity *s) { return s->alone_known ? s->kl : s->estimate; }

// What the model costs of it, as far as that is known of the present setting.
static double kl_known(const Ui *ui, int linear) {
    const SensitivityView *study = workbench_sensitivity(ui->workbench);
    const bool fresh = study->linears && study->turn == workbench_turn(ui->workbench);
    return fresh ? kl_alone(&study->linears[linear]) : (double)NAN;
}

#define KL_DIGITS 2
#define KL_DECIMALS_MOST 7

// "8 bits 24.8 dB +6.1 kB KL ~−0.0011": the size is that of the model, exactly. The divergence goes with the noise that
// is left of what the linear costs alone, and so it is an estimate.
static void add_remedy(Text *out, const Remedy *remedy, double kl) {
    const double change = -kl * remedy_noise_taken(remedy);
    text_addf(out, " %s %.1f dB ", remedy->text, remedy->db);
    if (remedy->bytes == 0) // NOLINT: whole numbers
        text_addf(out, "same size");
    else
        text_addf(out, "%s%s", remedy->bytes < 0 ? "−" : "+", format_bytes(fabs(remedy->bytes)).text);
    if (remedy->kind == REMEDY_INPUT) text_addf(out, ", no int8 products");
    if (!isnan(kl))
        text_addf(out, " KL ~%s", format_change(change, format_decimals(change, KL_DIGITS, KL_DECIMALS_MOST), "").text);
}

// What mends it. Returns the length of the first remedy, with what stands before it.
static size_t mends_text(const Ui *ui, const Remedies *remedies, int linear, Text *out) {
    char text[256];
    if (!remedies || !remedies->known || !remedies->count) {
        if (remedies && remedies->known) remedies_text(remedies, text, sizeof text);
        text_addf(out, "%s", remedies && remedies->known ? text : "mends it: being measured");
        return 0;
    }
    size_t first = 0;
    text_addf(out, "mends it:");
    for (int i = 0; i < remedies->count; i++) {
        text_addf(out, i ? " or" : "");
        add_remedy(out, &remedies->list[i], kl_known(ui, linear));
        if (i == 0) first = out->length;
    }
    return out->failed ? 0 : first;
}

static WhyPlace place_of(const Ui *ui, int linear) {
    const Effect *effect = workbench_effect(ui->workbench);
    const bool fresh = effect->sqnr_turn == workbench_turn(ui->workbench);
    return why_place(fresh ? effect->output_sqnr_db : NULL, ui->rows.total, linear);
}

// What stands out and what errs, then what mends that, the best in bold.
static void draw_verdict(Ui *ui, Rect *rest, const Why *why, const Decision *decision, int linear, Style dim) {
    const Remedies *remedies = workbench_effect(ui->workbench)->remedies;
    char text[400];
    Text mends = {0};
    why_text(why, workbench_weight_stats(ui->workbench, linear), decision, place_of(ui, linear), text, sizeof text);
    draw_sentence(ui, rest, text, strlen(text), MEANING_CHANGED, dim);
    if (isnan(why_weights_share(why))) return;
    const size_t first = mends_text(ui, remedies, linear, &mends);
    if (!mends.failed) draw_sentence(ui, rest, mends.data, first, MEANING_ACCENT, dim);
    text_free(&mends);
}

#define SHARE_COLS 8

// A bar whose last part may have a style of its own.
typedef struct Share {
    const char *label;
    double whole, part;
    Style style, part_style;
} Share;

static void draw_share(Ui *ui, Rect line, const Share *s) {
    char percent[16];
    canvas_text(&ui->canvas, line.row, line.col, line.cols, MEANING_TEXT, s->label);
    const int most = 40, room = line.cols - 9 - SHARE_COLS, width = room < most ? room : most;
    const int rounded = (int)lround(s->whole * width), filled = s->whole > 0 && rounded == 0 ? 1 : rounded;
    const int part = (int)lround(s->part * filled);
    for (int i = 0; i < width; i++)
        canvas_text(&ui->canvas, line.row, line.col + 9 + i, 1,
                    i >= filled          ? MEANING_TRACK
                    : i >= filled - part ? s->part_style
                                         : s->style,
                    i < filled ? "█" : "─");
    canvas_right(&ui->canvas, line.row, line.col + 9 + width, SHARE_COLS, MEANING_VALUE,
                 why_percent(s->whole, percent, sizeof percent));
}

static void draw_shares(Ui *ui, Rect *rest, const Why *why, Style dim) {
    const double weights = why_weights_share(why);
    const Share shares[] = {{"weights", weights, why_factors_share(why), MEANING_WEIGHT, MEANING_LAE},
                            {"input", 1 - weights, 0, MEANING_TAIL, MEANING_TAIL}};
    Rect line;
    for (int i = 0; i < 2 && take_line(rest, &line); i++) {
        Share share = shares[i];
        if (dim) share.style = share.part_style = dim;
        draw_share(ui, line, &share);
    }
}

// How far its input and its weights reach.
static void draw_figures(Ui *ui, Rect line, int linear) {
    const Decision *decision = &workbench_plan(ui->workbench)->decisions[linear];
    Pen pen = pen_at(&ui->canvas, line);
    pen_field(&pen, "|x|max", class_style(decision->input_class), "%s%s", calibration_provisional(ui) ? "~" : "",
              heat_text(HEAT_RANGE, rows_figure(ui->workbench, linear, COLUMN_RANGE)).text);
    pen_field(&pen, "|w|max", MEANING_VALUE, "%s",
              heat_text(HEAT_WEIGHT_MAX, rows_figure(ui->workbench, linear, COLUMN_WEIGHT_MAX)).text);
}

// What the measure of the map says of it. Its error is told in any case.
static void pen_measure(const Ui *ui, Pen *pen, int linear) {
    static const char *const labels[HEAT_MEASURES] = {
        [HEAT_RANGE] = "|x|max", [HEAT_WEIGHT_MAX] = "|w|max", [HEAT_CHANGE] = "since pin"};
    const HeatMeasure measure = ui->outliers.measure;
    const double value = heat_value(&ui->outliers.heat, ui->workbench, linear);
    if (!labels[measure] || isnan(value)) return;
    if (is_stale(ui))
        pen_field(pen, labels[measure], MEANING_FAINT | STYLE_DIM, "(%s)", heat_text(measure, value).text);
    else
        pen_field(pen, labels[measure], MEANING_VALUE, "%s%s",
                  measure == HEAT_RANGE && calibration_provisional(ui) ? "~" : "", heat_text(measure, value).text);
}

// What the errors come to. What is on the map comes first, since it may be all that finds room.
static void draw_error(Ui *ui, Rect line, int linear) {
    const Effect *effect = workbench_effect(ui->workbench);
    const double db = effect->output_sqnr_db ? effect->output_sqnr_db[linear] : (double)NAN;
    const bool fresh = effect->sqnr_turn == workbench_turn(ui->workbench);
    Pen pen = pen_at(&ui->canvas, line);
    pen_measure(ui, &pen, linear);
    if (isfinite(db))
        pen_field(&pen, fresh ? "output errs by" : "(output errs by", fresh ? MEANING_VALUE : MEANING_FAINT | STYLE_DIM,
                  fresh ? "%s, %s dB" : "%s, %s dB)", format_percent(pow(10, -db / 20)).text, format_decibel(db).text);
}

// What it costs the model, and how many cost more, as far as that is known.
static void draw_cost(Ui *ui, Rect *rest, int linear) {
    const SensitivityView *study = workbench_sensitivity(ui->workbench);
    if (!study->linears || !study->turn) return;
    const double kl = kl_alone(&study->linears[linear]);
    const bool fresh = study->turn == workbench_turn(ui->workbench);
    int rank = 1;
    Rect line;
    if (isnan(kl) || !take_line(rest, &line)) return;
    const Sensitivity *s = &study->linears[linear];
    for (int i = 0; i < ui->rows.total; i++) rank += kl_alone(&study->linears[i]) > kl;
    Pen pen = pen_at(&ui->canvas, line);
    pen_text(&pen, MEANING_FAINT, fresh ? "costs the model KL " : "(cost the model KL ");
    const double error = s->alone_known ? s->kl_se : s->estimate_se;
    const int decimals = format_decimals(error > 0 ? error : kl, KL_DIGITS, KL_DECIMALS_MOST);
    pen_text(&pen, fresh ? MEANING_VALUE : MEANING_FAINT | STYLE_DIM, "%s%.*f ±%.*f", s->alone_known ? "" : "~",
             decimals, kl, decimals, error);
    pen_text(&pen, MEANING_FAINT, fresh ? ", rank %d" : ", rank %d)", rank);
}

static void draw_channel(Ui *ui, Rect line, const Why *why, const Decision *decision, Style style) {
    char times[64];
    Pen pen = pen_at(&ui->canvas, line);
    panel_times(why, decision, true, times, sizeof times);
    const bool stale = style & STYLE_DIM;
    pen_text(&pen, MEANING_FAINT, stale ? "(channel " : "channel ");
    pen_text(&pen, style, "%u", why->raw_channel);
    pen_text(&pen, MEANING_FAINT, "  ");
    pen_text(&pen, style, stale ? "%s)" : "%s", times);
}

static void draw_tokens(Ui *ui, Rect line, const Why *why, int linear, Style style) {
    const InputStats *input = workbench_input_stats(ui->workbench, linear);
    if (!input || !input->tokens || why->raw_channel >= input->width) return;
    Pen pen = pen_at(&ui->canvas, line);
    pen_text(&pen, MEANING_FAINT, "  >%d× its token's mean in ", STANDS_OUT);
    pen_text(&pen, style, "%s",
             format_percent((double)input->channel_tokens[why->raw_channel] / (double)input->tokens).text);
    pen_text(&pen, MEANING_FAINT, " of tokens");
}

// In how many layers the channel is one. Wide inputs are not among the channels of the residual stream.
static void draw_others(Ui *ui, Rect line, const Why *why, int linear, Style style) {
    const char *role = role_name(workbench_structure(ui->workbench)->linears[linear].role);
    Pen pen = pen_at(&ui->canvas, line);
    if (why->others && why->others_beyond)
        pen_text(&pen, style, "  >%g× the median in %d of %d other %s", OUTLIER_FACTOR, why->others_beyond, why->others,
                 role);
    else if (why->others)
        pen_text(&pen, style, "  in no other %s >%g× the median", role, OUTLIER_FACTOR);
}

static void draw_column(Ui *ui, Rect line, const Why *why, Style style) {
    Pen pen = pen_at(&ui->canvas, line);
    const bool stale = style & STYLE_DIM;
    char share[16];
    pen_text(&pen, MEANING_FAINT, stale ? "(column " : "column ");
    pen_text(&pen, style, "%u", why->column);
    pen_text(&pen, MEANING_FAINT, "  ");
    pen_text(&pen, style, "%s", why_percent(why->column_share, share, sizeof share));
    pen_text(&pen, MEANING_FAINT, stale ? " of what weights err)" : " of what weights err");
}

#define BARS_ROWS_LEAST 11 // lower panes have no room for bars, whose figures the sentences have

static void draw_why(Ui *ui, Rect *rest, const Decision *decision, int linear) {
    const Effect *effect = workbench_effect(ui->workbench);
    Rect line;
    if (!effect->why || effect->why_linear != linear) {
        const bool calibrated = workbench_input_stats(ui->workbench, linear) != NULL;
        take_line(rest, &line);
        panel_waiting_draw(ui, line, calibrated ? JOB_ERRORS : JOB_CALIBRATE);
        if (take_line(rest, &line)) draw_error(ui, line, linear);
        draw_cost(ui, rest, linear);
        if (take_line(rest, &line)) draw_figures(ui, line, linear);
        return;
    }
    const Why *why = effect->why;
    const Style dim = effect->why_turn == workbench_turn(ui->workbench) ? 0 : MEANING_FAINT | STYLE_DIM;
    const bool bars = rest->rows >= BARS_ROWS_LEAST;
    const Style value = dim ? dim : MEANING_VALUE;
    draw_verdict(ui, rest, why, decision, linear, dim);
    if (take_line(rest, &line)) draw_error(ui, line, linear);
    draw_cost(ui, rest, linear);
    if (isnan(why_weights_share(why))) return;
    if (bars) draw_shares(ui, rest, why, dim);
    if (take_line(rest, &line)) draw_channel(ui, line, why, decision, value);
    if (take_line(rest, &line)) draw_tokens(ui, line, why, linear, MEANING_VALUE);
    if (take_line(rest, &line)) draw_others(ui, line, why, linear, MEANING_FAINT);
    if (take_line(rest, &line)) draw_column(ui, line, why, value);
    if (take_line(rest, &line)) draw_figures(ui, line, linear);
}

#define CELL_STRIP_MOST 256

// The linears of a cell, mostly experts, in a strip, as many as share a column folded to the worst of them.
static void draw_experts(Ui *ui, Rect line, const MapCell *cell) {
    const HeatMap *heat = &ui->outliers.heat;
    const int width = cell->linears < line.cols - 9 ? cell->linears : line.cols - 9;
    int worst[CELL_STRIP_MOST], nth = 0;
    if (width < 1 || width > CELL_STRIP_MOST) return;
    for (int i = 0; i < width; i++) worst[i] = -1;
    for (int i = cell->first; i < heat->map.linear_count && nth < cell->linears; i++) {
        if (&heat->map.cells[heat->map.cell_of[i]] != cell) continue;
        const int level = shade_of(&heat->map.scale, heat_value(heat, ui->workbench, i));
        int *at = &worst[nth++ * width / cell->linears];
        if (level > *at) *at = level;
    }
    const bool experts = workbench_structure(ui->workbench)->linears[cell->first].expert >= 0;
    canvas_text(&ui->canvas, line.row, line.col, 8, MEANING_FAINT, experts ? "experts" : "linears");
    for (int i = 0; i < width; i++)
        canvas_text(&ui->canvas, line.row, line.col + 9 + i, 1, worst[i] < 0 ? MEANING_FAINT : level_styles[worst[i]],
                    worst[i] < 0 ? "?" : shade(ui, worst[i]));
}

static void draw_cell_title(Ui *ui, Rect pane, const MapCell *cell) {
    const Linear *l = &workbench_structure(ui->workbench)->linears[cell->worst];
    char title[256], folded[32] = "", name[128];
    if (cell->linears > 1) snprintf(folded, sizeof folded, "worst of %d: ", cell->linears);
    snprintf(title, sizeof title, "%s%.160s  %zu × %zu", folded, l->name, l->out, l->in);
    if (canvas_width(&ui->canvas, title) > pane.cols - 4) {
        linear_short_name(l, name, sizeof name);
        snprintf(title, sizeof title, "%s%s  %zu × %zu", folded, name, l->out, l->in);
    }
    panel_title(ui, pane, title, PANE_COUNT);
}

#define GRAPH_ROWS_LEAST 10

static void draw_cell_pane(Ui *ui, Rect pane) {
    const MapCell *cell = outliers_cell(ui);
    const int linear = cell->worst;
    const Decision *decision = &workbench_plan(ui->workbench)->decisions[linear];
    Rect rest = rect_inset(pane, 1), line;
    workbench_look(ui->workbench, linear); // what is shown is what more is found out about
    draw_cell_title(ui, pane, cell);
    if (decision->quantized) {
        draw_why(ui, &rest, decision, linear);
    } else {
        take_line(&rest, &line);
        canvas_fit(&ui->canvas, line.row, line.col, line.cols, MEANING_TEXT, "Not quantized: nothing errs here.");
        take_line(&rest, &line);
        draw_figures(ui, line, linear);
    }
    if (cell->linears > 1 && take_line(&rest, &line)) draw_experts(ui, line, cell);
    take_line(&rest, &line);
    if (rest.rows >= GRAPH_ROWS_LEAST) panel_graphs_draw(ui, rest, linear);
}

// ---- channels -----------------------------------------------------------------------------------------------------

static const struct {
    double beyond; // times the factor from which a channel is an outlier
    const char *shade, *ascii;
    Style style;
} ratio_levels[] = {{0, "·", ".", MEANING_FAINT},
                    {1, "▒", "+", MEANING_LAE},
                    {2, "▓", "x", MEANING_TAIL},
                    {8, "█", "#", MEANING_TOKEN}};
#define RATIO_LEVELS ((int)(sizeof ratio_levels / sizeof *ratio_levels))

// One sign per layer, or per `each` layers where they are too many, and one for the head.
typedef struct Strip {
    int layers, each, signs;
    bool head;
} Strip;

#define HEAD_COLS 2 // with a blank before it
#define STRIP_MOST 256

static Strip strip_of(const SharedChannels *found, int cols) {
    Strip s = {.each = 1};
    for (int i = 0; i < found->input_count; i++) {
        if (found->layers[i] >= s.layers) s.layers = found->layers[i] + 1;
        if (found->layers[i] < 0) s.head = true;
    }
    const int room = cols - (s.head ? HEAD_COLS : 0), most = room < STRIP_MOST ? room : STRIP_MOST;
    while (most > 0 && (s.layers + s.each - 1) / s.each > most) s.each++;
    s.signs = most > 0 ? (s.layers + s.each - 1) / s.each : 0;
    return s;
}

static int ratio_level(const SharedChannels *found, double ratio) {
    int level = 0;
    while (level + 1 < RATIO_LEVELS && ratio > ratio_levels[level + 1].beyond * found->factor) level++;
    return level;
}

static const char *ratio_sign(const Ui *ui, int level) {
    return ui->canvas.ascii ? ratio_levels[level].ascii : ratio_levels[level].shade;
}

// Each sign is that of the worst of its inputs.
static void draw_strip(Ui *ui, Rect place, const SharedChannels *found, const Strip *strip, int channel) {
    const float *ratios = found->ratios + (size_t)channel * (size_t)found->input_count;
    int worst[STRIP_MOST + 1] = {0};
    for (int i = 0; i < found->input_count; i++) {
        const int level = ratio_level(found, (double)ratios[i]);
        int *at = &worst[found->layers[i] < 0 ? strip->signs : found->layers[i] / strip->each];
        if (level > *at) *at = level;
    }
    for (int i = 0; strip->signs && i < strip->signs + strip->head; i++)
        canvas_text(&ui->canvas, place.row, place.col + i + (i == strip->signs), 1, ratio_levels[worst[i]].style,
                    ratio_sign(ui, worst[i]));
}

// The layers that signs stand for, as far as their numbers find room.
static void draw_strip_axis(Ui *ui, Rect place, const Strip *strip) {
    const int step = strip->layers <= 10 ? 2 : strip->layers <= 100 ? 5 : 10;
    for (int i = 0; i < strip->signs; i += step) {
        char text[16];
        const int width = layer_short_name(workbench_structure(ui->workbench), i * strip->each, text, sizeof text);
        if (i + width <= strip->signs) canvas_text(&ui->canvas, place.row, place.col + i, width, MEANING_FAINT, text);
    }
    if (strip->head && strip->signs)
        canvas_text(&ui->canvas, place.row, place.col + strip->signs + 1, 1, MEANING_FAINT, "h");
}

#define CHANNEL_COLS 7
#define TOKENS_COLS 8

typedef struct ChannelColumns {
    Rect strip, inputs, tokens; // their columns, from the first line on
} ChannelColumns;

// "inputs" over "13/13".
static ChannelColumns channel_columns(Rect rest, const SharedChannels *found) {
    const int inputs = found->input_count < 100 ? 7 : 9;
    const int tail = rest.col + rest.cols - inputs - TOKENS_COLS;
    return (ChannelColumns){
        .strip = {rest.row, rest.col + CHANNEL_COLS, 1, tail - rest.col - CHANNEL_COLS},
        .inputs = {rest.row, tail, 1, inputs},
        .tokens = {rest.row, tail + inputs, 1, TOKENS_COLS},
    };
}

static void draw_channel_row(Ui *ui, Rect line, const SharedChannels *found, const ChannelColumns *at,
                             const Strip *strip, int channel) {
    const SharedChannel *c = &found->channels[channel];
    const char *mark = calibration_provisional(ui) ? "~" : "";
    char text[64];
    snprintf(text, sizeof text, "%u", c->channel);
    canvas_right(&ui->canvas, line.row, line.col, CHANNEL_COLS - 1, MEANING_VALUE, text);
    draw_strip(ui, (Rect){line.row, at->strip.col, 1, at->strip.cols}, found, strip, channel);
    snprintf(text, sizeof text, "%d/%d", c->inputs, found->input_count);
    canvas_right(&ui->canvas, line.row, at->inputs.col, at->inputs.cols, MEANING_VALUE, text);
    snprintf(text, sizeof text, "%s%s", mark, format_percent(c->token_share).text);
    canvas_right(&ui->canvas, line.row, at->tokens.col, TOKENS_COLS, MEANING_VALUE, text);
}

// What signs and columns mean, below them; the shades of the map are others.
static int draw_channels_key(Ui *ui, Rect rest, const SharedChannels *found, const Strip *strip) {
    char beyond[RATIO_LEVELS][16], more[96] = "";
    WrapPiece pieces[2 * RATIO_LEVELS];
    size_t count = 0;
    for (int i = 1; i < RATIO_LEVELS; i++) {
        snprintf(beyond[i], sizeof beyond[i], " >%g×%s", ratio_levels[i].beyond * found->factor,
                 i + 1 < RATIO_LEVELS ? "  " : "");
        pieces[count++] = (WrapPiece){ratio_sign(ui, i), SIZE_MAX, ratio_levels[i].style};
        pieces[count++] = (WrapPiece){beyond[i], SIZE_MAX, MEANING_FAINT};
    }
    if (strip->each > 1) snprintf(more, sizeof more, "\na sign: the worst of %d layers", strip->each);
    char text[400];
    snprintf(text, sizeof text,
             " median\ntokens: above %d× token's mean%s\nInputs of q k v, gate and up, at most in one of them; "
             "not those of o and down. In most tokens: factors (LAE, smooth) take it out. In few: a scale per token.",
             STANDS_OUT, more);
    pieces[count++] = (WrapPiece){text, SIZE_MAX, MEANING_FAINT};
    const int needed = wrap_lines(&ui->canvas, rest.cols, pieces, count),
              most = rest.rows < 10 ? 2 + (strip->each > 1) : rest.rows - 5, rows = needed < most ? needed : most;
    wrap_draw(&ui->canvas, (Rect){rest.row + rest.rows - rows, rest.col, rows, rest.cols}, pieces, count, 0);
    return rows;
}

static void draw_channels_pane(Ui *ui, Rect pane) {
    const SharedChannels *found = workbench_channels(ui->workbench);
    Rect rest = rect_inset(pane, 1), line;
    panel_title(ui, pane, "Channels that stay outliers", PANE_COUNT);
    if (!found->input_count) {
        panel_waiting_draw(ui, (Rect){rest.row, rest.col, 1, rest.cols}, JOB_CALIBRATE);
        return;
    }
    if (!found->count) {
        const WrapPiece none = {"None reaches six times the median channel in two inputs or more.", SIZE_MAX,
                                MEANING_FAINT};
        wrap_draw(&ui->canvas, rest, &none, 1, 0);
        return;
    }
    const ChannelColumns at = channel_columns(rest, found);
    const Strip strip = strip_of(found, at.strip.cols);
    rest.rows -= draw_channels_key(ui, rest, found, &strip);
    take_line(&rest, &line);
    canvas_text(&ui->canvas, line.row, line.col, CHANNEL_COLS - 1, MEANING_FAINT, strip.signs ? "layer" : "channel");
    draw_strip_axis(ui, at.strip, &strip);
    canvas_right(&ui->canvas, line.row, at.inputs.col, at.inputs.cols, MEANING_FAINT, "inputs");
    canvas_right(&ui->canvas, line.row, at.tokens.col, TOKENS_COLS, MEANING_FAINT, "tokens");
    for (int c = 0; c < found->count && take_line(&rest, &line); c++) draw_channel_row(ui, line, found, &at, &strip, c);
}

void panel_outliers_draw(Ui *ui) {
    const OutliersLayout l = layout_outliers(&ui->layout, ui->outliers.heat.map.line_count, ui->zoomed);
    const Rect panes[] = {l.map, l.cell, l.channels};
    for (size_t i = 0; i < sizeof panes / sizeof *panes; i++) {
        if (panes[i].rows) canvas_box(&ui->canvas, panes[i], MEANING_RULE);
    }
    outliers_map(ui);
    if (l.map.rows) screen_tabs_draw(ui, (Rect){l.map.row - 1, l.map.col, 1, l.map.cols});
    if (l.map.rows) draw_map(ui, &l);
    if (l.cell.rows) draw_cell_pane(ui, l.cell);
    if (l.channels.rows) draw_channels_pane(ui, l.channels);
}
