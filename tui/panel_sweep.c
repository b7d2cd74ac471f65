// The Sweep screen: a curve of one dial or a field of two, and the figures of the point under the cursor.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "tui/dials.h"
#include "tui/format.h"
#include "tui/jobs.h"
#include "tui/panels.h"
#include "tui/plot.h"
#include "tui/screen.h"
#include "tui/sweep.h"

#define POINT_ROWS 5
#define TABLE_COLS 46
#define ZOOMED_TABLE 2 // of Ui.zoomed; 1 is the curve or field

static bool is_knee(const Ui *ui, int point) {
    const SweepView *v = workbench_swept(ui->workbench);
    return v->knee >= 0 && sweep_stands_for(ui, v->knee) == sweep_stands_for(ui, point);
}

static const char *mark_of(const Ui *ui, int point) {
    const SweepPoint *p = &workbench_swept(ui->workbench)->points[point];
    if (p->older) return "·";
    if (sweep_is_here(ui, point)) return "●";
    if (sweep_stands_for(ui, point) != point) return "=";
    return is_knee(ui, point) ? "★" : p->point.pareto ? "◆" : "○";
}

static Style mark_style(const Ui *ui, int point) {
    const SweepPoint *p = &workbench_swept(ui->workbench)->points[point];
    if (p->older) return MEANING_FAINT | STYLE_DIM;
    if (sweep_is_here(ui, point)) return MEANING_ACCENT | STYLE_BOLD;
    if (sweep_stands_for(ui, point) != point) return MEANING_FAINT;
    return p->point.pareto ? MEANING_BETTER | STYLE_BOLD : MEANING_VALUE;
}

static void value_text(const SweepView *v, int point, int dial, char *out, size_t size) {
    dial_format(v->dials[dial].dial, sweep_view_value(v, point, dial), out, size);
}

// ---- the curve ----------------------------------------------------------------------------------------------------

// Numbers of a dial at their places on its track, so that settings are as far apart as on the dial.
static double across(const Ui *ui, const SweepView *v, int point) {
    if (ui->sweep.by_bits) return v->points[point].planned ? v->points[point].point.bits_per_weight : (double)NAN;
    return dial_share(v->dials[0].dial, sweep_view_value(v, point, 0));
}

static void dial_ticks(const SweepView *v, PlotAxis *axis) {
    const int step = (v->count + PLOT_TICKS_MOST - 1) / PLOT_TICKS_MOST;
    for (int i = 0; i < v->count; i += step) {
        PlotTick *tick = &axis->ticks[axis->tick_count++];
        tick->at = dial_share(v->dials[0].dial, sweep_view_value(v, i, 0));
        value_text(v, i, 0, tick->text, sizeof tick->text);
    }
}

static int by_x(const void *a, const void *b) {
    const PlotPoint *x = a, *y = b;
    return (x->x > y->x) - (x->x < y->x);
}

static void fit(PlotAxis *x, PlotAxis *y, const PlotPoint *points, int count) {
    double *values = array_new((size_t)count * 3, sizeof *values);
    if (!values) return;
    for (int i = 0; i < count; i++) values[i] = points[i].x;
    plot_range(x, values, count);
    int known = 0;
    for (int i = 0; i < count; i++) {
        if (isnan(points[i].y)) continue;
        values[known++] = points[i].y;
        values[known++] = points[i].y + points[i].error;
        if (points[i].y > points[i].error) values[known++] = points[i].y - points[i].error;
    }
    plot_range(y, values, known);
    free(values);
}

static void draw_cursor(const Ui *ui, const Plot *plot, const SweepView *v) {
    const int at = ui->sweep.cursor;
    if (at < 0) return;
    int row, col;
    const SweepPoint *p = &v->points[at];
    const double y = p->point.known ? p->point.accuracy.kl_mean : plot->y.from, x = across(ui, v, at);
    if (isnan(x) || !plot_cell(plot, x, y, &row, &col)) return;
    if (!p->point.known) canvas_text(plot->canvas, row, col, 1, MEANING_ACCENT, "▲");
    canvas_restyle(plot->canvas, (Rect){row, col, 1, 1}, STYLE_REVERSE);
    for (int r = row + 1; r < plot->inside.row + plot->inside.rows; r++)
        canvas_text(plot->canvas, r, col, 1, MEANING_ACCENT, "┊");
}

// Between settings that have names there is nothing that a line could show.
static bool has_between(const Ui *ui, const SweepView *v) {
    const DialInfo *dial = &dial_table[v->dials[0].dial];
    return ui->sweep.by_bits || (!dial->names && dial->kind != DIAL_SWITCH);
}

static void draw_curve(Ui *ui, Rect pane, const SweepView *v) {
    PlotPoint *points = array_new((size_t)v->count, sizeof *points), *line = array_new((size_t)v->count, sizeof *line);
    char title[96];
    if (points && line) {
        for (int i = 0; i < v->count; i++) {
            const SweepPoint *p = &v->points[i];
            const bool folded = ui->sweep.by_bits && sweep_stands_for(ui, i) != i;
            points[i] = (PlotPoint){.x = across(ui, v, i),
                                    .y = p->point.known ? p->point.accuracy.kl_mean : (double)NAN,
                                    .error = p->point.known ? p->point.accuracy.kl_se : 0,
                                    .mark = folded ? NULL : mark_of(ui, i),
                                    .style = mark_style(ui, i)};
        }
        snprintf(title, sizeof title, "%s", ui->sweep.by_bits ? "bits per weight" : dial_table[v->dials[0].dial].label);
        PlotAxis x = {.title = title}, y = {.title = "KL", .logarithmic = true};
        fit(&x, &y, points, v->count);
        if (y.logarithmic) y.title = "KL, logarithmic";
        if (!ui->sweep.by_bits) dial_ticks(v, &x);
        memcpy(line, points, (size_t)v->count * sizeof *line);
        qsort(line, (size_t)v->count, sizeof *line, by_x);
        const Plot plot = plot_begin(&ui->canvas, pane, &x, &y);
        if (has_between(ui, v)) plot_line(&plot, line, v->count, MEANING_WEIGHT);
        plot_points(&plot, points, v->count);
        if (ui->sweep.cursor >= 0 && points[ui->sweep.cursor].mark) plot_points(&plot, &points[ui->sweep.cursor], 1);
        for (int i = 0; i < v->count; i++) // never below another one
            if (sweep_is_here(ui, i)) plot_points(&plot, &points[i], 1);
        draw_cursor(ui, &plot, v);
        for (int i = 0; i < v->count; i++) {
            int row, col;
            if (plot_cell(&plot, points[i].x, points[i].y, &row, &col))
                ui_hit(ui, (Rect){row, col, 1, 1}, HIT_POINT, i);
        }
    }
    free(points);
    free(line);
}

// ---- the table beside it ------------------------------------------------------------------------------------------

static void draw_table_row(Ui *ui, Rect line, const SweepView *v, int point) {
    const SweepPoint *p = &v->points[point];
    char value[64], text[64];
    Canvas *canvas = &ui->canvas;
    value_text(v, point, 0, value, sizeof value);
    canvas_text(canvas, line.row, line.col, 1, mark_style(ui, point), p->point.known ? mark_of(ui, point) : " ");
    canvas_fit(canvas, line.row, line.col + 2, 14, MEANING_TEXT, value);
    if (p->planned)
        canvas_right(canvas, line.row, line.col + 16, 8, MEANING_VALUE, format_fixed(p->point.bits_per_weight, 2).text);
    if (p->point.known) {
        snprintf(text, sizeof text, p->older ? "(%s)" : "%s", format_figure(p->point.accuracy.kl_mean, 3).text);
        canvas_right(canvas, line.row, line.col + 24, 10, p->older ? MEANING_FAINT | STYLE_DIM : MEANING_VALUE, text);
        if (!p->older)
            canvas_right(canvas, line.row, line.col + 34, 10, MEANING_FAINT,
                         format_fixed(p->point.accuracy.kl_se, 5).text);
    }
    if (point == ui->sweep.cursor) canvas_restyle(canvas, line, STYLE_SELECTED);
    ui_hit(ui, line, HIT_POINT, point);
}

static void draw_table(Ui *ui, Rect pane, const SweepView *v) {
    canvas_fit(&ui->canvas, pane.row, pane.col + 2, 14, MEANING_FAINT, dial_table[v->dials[0].dial].label);
    canvas_right(&ui->canvas, pane.row, pane.col + 16, 8, MEANING_FAINT, "bits");
    canvas_right(&ui->canvas, pane.row, pane.col + 24, 10, MEANING_FAINT, "KL");
    canvas_right(&ui->canvas, pane.row, pane.col + 34, 10, MEANING_FAINT, "±");
    const int room = pane.rows - 1, cursor = ui->sweep.cursor;
    const int first = cursor < room ? 0 : cursor - room + 1;
    for (int i = first; i < v->count && i - first < room; i++)
        draw_table_row(ui, (Rect){pane.row + 1 + i - first, pane.col, 1, pane.cols - 1}, v, i);
}

// ---- the field ----------------------------------------------------------------------------------------------------

static void kl_range(const SweepView *v, double *least, double *most) {
    *least = INFINITY;
    *most = 0;
    for (int i = 0; i < v->count; i++) {
        if (!v->points[i].point.known || !(v->points[i].point.accuracy.kl_mean > 0)) continue;
        *least = fmin(*least, v->points[i].point.accuracy.kl_mean);
        *most = fmax(*most, v->points[i].point.accuracy.kl_mean);
    }
}

// The darker, the more divergence: a quarter of the logarithmic range for each shade.
static const char *point_shade(const SweepPoint *p, double least, double most) {
    static const char *const shades[] = {" ", "░", "▒", "▓", "█"};
    if (!p->point.known || !(most > least)) return " ";
    const double share = log(p->point.accuracy.kl_mean / least) / log(most / least);
    const int at = (int)lround(share * 4);
    return shades[at < 0 ? 0 : at > 4 ? 4 : at];
}

static void draw_cell(Ui *ui, Rect cell, const SweepView *v, int point, double least, double most) {
    const SweepPoint *p = &v->points[point];
    const bool here = sweep_is_here(ui, point), same = sweep_stands_for(ui, point) != point;
    Canvas *canvas = &ui->canvas;
    char text[64];
    const int shade = cell.cols >= 13 ? 2 : 1;
    canvas_fill(canvas, (Rect){cell.row, cell.col, 1, shade}, p->older ? MEANING_FAINT | STYLE_DIM : MEANING_WEIGHT,
                point_shade(p, least, most));
    snprintf(text, sizeof text,
             !p->point.known ? "–"
             : p->older      ? "(%s)"
                             : "%s",
             format_figure(p->point.accuracy.kl_mean, 2).text);
    canvas_fit(canvas, cell.row, cell.col + 2 * shade - 1, cell.cols - 2 * shade - 1,
               p->older ? MEANING_FAINT | STYLE_DIM
               : here   ? MEANING_ACCENT | STYLE_BOLD
                        : MEANING_VALUE,
               text);
    if (p->point.known && (here || same || p->point.pareto))
        canvas_text(canvas, cell.row, cell.col + cell.cols - 2, 1, mark_style(ui, point), mark_of(ui, point));
    if (point == ui->sweep.cursor)
        canvas_restyle(canvas, (Rect){cell.row, cell.col, 1, cell.cols - 1}, STYLE_SELECTED | STYLE_BOLD);
    ui_hit(ui, cell, HIT_POINT, point);
}

static void draw_field(Ui *ui, Rect pane, const SweepView *v) {
    const int columns = v->dials[0].count, rows = v->dials[1].count, label = 14;
    int width = (pane.cols - label - 1) / columns;
    width = width > 16 ? 16 : width < 9 ? 9 : width;
    const int across_room = (pane.cols - label - 1) / width, down_room = pane.rows - 2;
    const int at = ui->sweep.cursor < 0 ? 0 : ui->sweep.cursor, x = at / rows, y = at % rows;
    const int first_x = x < across_room ? 0 : x - across_room + 1, first_y = y < down_room ? 0 : y - down_room + 1;
    double least, most;
    char text[64];
    kl_range(v, &least, &most);
    snprintf(text, sizeof text, "%s ↑", dial_table[v->dials[1].dial].label);
    canvas_fit(&ui->canvas, pane.row, pane.col + 1, label - 1, MEANING_TITLE, text);
    const int shown = rows - first_y < down_room ? rows - first_y : down_room;
    for (int j = 0; j < shown; j++) {
        const int row = pane.row + shown - 1 - j + 1;
        value_text(v, first_y + j, 1, text, sizeof text);
        canvas_right(&ui->canvas, row, pane.col, label - 2, MEANING_FAINT, text);
        for (int i = first_x; i < columns && i - first_x < across_room; i++)
            draw_cell(ui, (Rect){row, pane.col + label + (i - first_x) * width, 1, width}, v, i * rows + first_y + j,
                      least, most);
    }
    for (int i = first_x; i < columns && i - first_x < across_room; i++) {
        value_text(v, i * rows, 0, text, sizeof text);
        canvas_fit(&ui->canvas, pane.row + shown + 1, pane.col + label + (width >= 13 ? 3 : 1) + (i - first_x) * width,
                   width - 3, MEANING_FAINT, text);
    }
    if (first_x > 0) canvas_text(&ui->canvas, pane.row + shown + 1, pane.col + label - 1, 1, MEANING_ACCENT, "‹");
    if (first_x + across_room < columns)
        canvas_text(&ui->canvas, pane.row + shown + 1, pane.col + pane.cols - 1, 1, MEANING_ACCENT, "›");
    snprintf(text, sizeof text, "%s →", dial_table[v->dials[0].dial].label);
    canvas_right(&ui->canvas, pane.row + shown + 1, pane.col, label - 2, MEANING_TITLE, text);
}

// ---- the point ----------------------------------------------------------------------------------------------------

static void draw_values(Ui *ui, Rect line, const SweepView *v, int point) {
    Pen pen = pen_at(&ui->canvas, line);
    char value[64];
    for (int d = 0; d < v->dial_count; d++) {
        value_text(v, point, d, value, sizeof value);
        pen_field(&pen, dial_table[v->dials[d].dial].label, MEANING_VALUE | STYLE_BOLD, "%s", value);
    }
    if (sweep_is_here(ui, point)) pen_text(&pen, MEANING_ACCENT, "● you are here   ");
    const int same = sweep_stands_for(ui, point);
    if (same != point) {
        value_text(v, same, 0, value, sizeof value);
        pen_text(&pen, MEANING_FAINT, "= the same model as %s %s", dial_table[v->dials[0].dial].label, value);
    } else if (is_knee(ui, point))
        pen_text(&pen, MEANING_BETTER, "★ knee: larger ones gain less for their size");
    else if (v->points[point].point.pareto)
        pen_text(&pen, MEANING_BETTER, "◆ no other is as small and as close to the base");
}

static void draw_size(Ui *ui, Rect line, const SweepPoint *p) {
    Pen pen = pen_at(&ui->canvas, line);
    const Plan *now = workbench_plan(ui->workbench);
    if (!p->planned) return;
    pen_text(&pen, MEANING_FAINT, "size ");
    pen_text(&pen, MEANING_VALUE | STYLE_BOLD, "%s", format_bytes((double)p->point.bytes).text);
    pen_text(&pen, MEANING_FAINT, " (now %s)", format_bytes((double)now->bytes).text);
    pen_text(&pen, MEANING_FAINT, "   bits per weight ");
    pen_text(&pen, MEANING_VALUE | STYLE_BOLD, "%.2f", p->point.bits_per_weight);
    pen_text(&pen, MEANING_FAINT, " (now %.2f)", now->bits_per_weight);
}

static void draw_accuracy(Ui *ui, Rect line, const SweepPoint *p, const JobView *job) {
    const Accuracy *a = &p->point.accuracy;
    Difference d;
    Pen pen = pen_at(&ui->canvas, line);
    if (!p->point.known) {
        pen_text(&pen, MEANING_FAINT,
                 job->put_off > 0            ? "not measured; m measures"
                 : job->state == JOB_STOPPED ? "not measured; x goes on"
                                             : "not measured yet");
        return;
    }
    if (p->older) {
        pen_text(&pen, MEANING_FAINT | STYLE_DIM, "KL (%s), by the recipe before other dials were turned",
                 format_figure(a->kl_mean, 3).text);
        return;
    }
    pen_text(&pen, MEANING_FAINT, "KL ");
    pen_text(&pen, MEANING_VALUE | STYLE_BOLD, "%s ±%s", format_fixed(a->kl_mean, 5).text,
             format_fixed(a->kl_se, 5).text);
    if (sweep_above_now(ui, p, &d) && d.se > 0) {
        const bool sure = fabs(d.mean) > 2 * d.se;
        pen_text(&pen,
                 !sure        ? MEANING_TEXT
                 : d.mean < 0 ? MEANING_BETTER
                              : MEANING_WORSE,
                 "   %s ±%s to now", format_change(d.mean, 5, "").text, format_fixed(d.se, 5).text);
        if (!sure) pen_text(&pen, MEANING_FAINT, " (within chance)");
    }
    pen_text(&pen, MEANING_FAINT, "   top-1 ");
    pen_text(&pen, MEANING_VALUE | STYLE_BOLD, "%s", format_percent(a->top1).text);
}

// Where to look first, whatever the cursor is on.
static void draw_knee(Ui *ui, Rect line, const SweepView *v) {
    Pen pen = pen_at(&ui->canvas, line);
    char value[64];
    if (v->knee < 0 || is_knee(ui, ui->sweep.cursor)) return;
    const int knee = sweep_stands_for(ui, v->knee);
    const Point *p = &v->points[knee].point;
    pen_text(&pen, MEANING_BETTER, "★ knee: ");
    for (int d = 0; d < v->dial_count; d++) {
        value_text(v, knee, d, value, sizeof value);
        pen_text(&pen, MEANING_VALUE, "%s %s, ", dial_table[v->dials[d].dial].label, value);
    }
    pen_text(&pen, MEANING_TEXT, "KL %s at %.2f bits; larger ones gain less",
             format_figure(p->accuracy.kl_mean, 3).text, p->bits_per_weight);
}

static void draw_state(Ui *ui, Rect line, const SweepView *v, const JobView *job) {
    Pen pen = pen_at(&ui->canvas, line);
    switch (job->state) {
    case JOB_RUNNING: pen_text(&pen, MEANING_ACCENT, "%s ", ui_spinner(ui)); break;
    case JOB_WAITING: pen_text(&pen, MEANING_FAINT, "waits for the figures of the recipe   "); break;
    case JOB_STOPPED:
        if (job->put_off > 0)
            pen_text(&pen, MEANING_CHANGED, "m measures, which takes %s   ", jobs_put_off_text(job).text);
        else
            pen_text(&pen, MEANING_CHANGED, "stopped, x goes on   ");
        break;
    case JOB_FAILED: pen_text(&pen, MEANING_ERROR, "failed: %.200s   ", job->message); break;
    case JOB_DONE: break;
    }
    pen_text(&pen, MEANING_TEXT, "%d of %d points", v->known, v->count);
    if (job->state == JOB_RUNNING && job->seconds_left >= 0 && job->seconds > 0.5)
        pen_text(&pen, MEANING_TEXT, ", %s left", format_seconds(job->seconds_left).text);
    static const char *const signs[] = {"   ● now", "  ◆ best at its size", "  ★ knee: beyond it size buys less",
                                        "  = same model", "  ○ others"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) pen_text(&pen, MEANING_FAINT, "%s", signs[i]);
}

static void draw_point(Ui *ui, Rect pane, const SweepView *v) {
    JobView job;
    const int at = ui->sweep.cursor;
    workbench_job(ui->workbench, JOB_SWEEP, &job);
    draw_state(ui, (Rect){pane.row + 4, pane.col, 1, pane.cols}, v, &job);
    if (at < 0 || at >= v->count) return;
    draw_values(ui, (Rect){pane.row, pane.col, 1, pane.cols}, v, at);
    draw_accuracy(ui, (Rect){pane.row + 1, pane.col, 1, pane.cols}, &v->points[at], &job);
    draw_size(ui, (Rect){pane.row + 2, pane.col, 1, pane.cols}, &v->points[at]);
    draw_knee(ui, (Rect){pane.row + 3, pane.col, 1, pane.cols}, v);
}

// ---- the screen ---------------------------------------------------------------------------------------------------

static void draw_title(Ui *ui, Rect pane, const SweepView *v) {
    char title[128] = "";
    const int after = screen_tabs_draw(ui, (Rect){pane.row - 1, pane.col, 1, pane.cols - 30});
    if (v->dial_count == 2)
        snprintf(title, sizeof title, " %s and %s ", dial_table[v->dials[0].dial].label,
                 dial_table[v->dials[1].dial].label);
    else if (v->dial_count == 1)
        snprintf(title, sizeof title, " %s ", dial_table[v->dials[0].dial].label);
    canvas_right(&ui->canvas, pane.row - 1, after, pane.col + pane.cols - after - 1, MEANING_TITLE, title);
}

void panel_sweep_draw(Ui *ui) {
    const Rect frame = ui->layout.frame;
    const SweepView *v = workbench_swept(ui->workbench);
    const int rows = ui->zoomed ? frame.rows - 2 : frame.rows - 3 - POINT_ROWS;
    Rect upper = {frame.row + 1, 1, rows, frame.cols - 2};
    const Rect below = {upper.row + rows + 1, 1, POINT_ROWS, frame.cols - 2};
    canvas_box(&ui->canvas, upper, MEANING_RULE);
    if (!ui->zoomed) canvas_box(&ui->canvas, below, MEANING_RULE);
    draw_title(ui, upper, v);
    if (!ui->zoomed) panel_title(ui, below, "This point", PANE_COUNT);
    if (!v->dial_count) {
        canvas_fit(&ui->canvas, upper.row, upper.col + 2, upper.cols - 3, MEANING_FAINT,
                   "the model cannot be run, so that points cannot be measured");
        return;
    }
    if (v->dial_count == 2)
        draw_field(ui, upper, v);
    else if (ui->zoomed == ZOOMED_TABLE)
        draw_table(ui, upper, v);
    else {
        if (upper.cols >= 2 * TABLE_COLS + 10) {
            upper.cols -= TABLE_COLS;
            draw_table(ui, (Rect){upper.row, upper.col + upper.cols, upper.rows, TABLE_COLS}, v);
        }
        draw_curve(ui, upper, v);
    }
    if (!ui->zoomed) draw_point(ui, rect_inset(below, 1), v);
}
