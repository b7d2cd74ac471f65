// The Sensitivity screen: what each linear costs alone, and the budget below.
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "tui/convert.h"
#include "tui/format.h"
#include "tui/graph.h"
#include "tui/jobs.h"
#include "tui/panels.h"
#include "tui/screen.h"
#include "tui/sensitivity.h"
#include "tui/wrap.h"

#define BUDGET_ROWS 8

// ---- rows ---------------------------------------------------------------------------------------------------------

typedef struct CostColumns {
    int name, bar, kl, se, bits, more, fewer; // widths; more and fewer 0: no room
} CostColumns;

static CostColumns cost_columns(int room) {
    CostColumns c = {.name = room >= 110 ? 24 : 18, .kl = 9, .se = 10, .bits = 8};
    room -= 2 + c.name + c.kl + c.se + c.bits;
    if (room >= 20 + 44) c.more = c.fewer = 22;
    c.bar = room - c.more - c.fewer - 2;
    return c;
}

// "−0.01100 +31.2 kB", of one step of bits.
static void step_text(const SensitivityScreen *s, const CostRow *row, double kl, double bytes, char *out, size_t size) {
    if (bytes == 0)
        snprintf(out, size, "–");
    else if (s->scaled)
        snprintf(out, size, "%s %s%s", sensitivity_change_text(row, kl).text, bytes > 0 ? "+" : "−",
                 format_bytes(fabs(bytes)).text);
    else
        snprintf(out, size, "%s%s", bytes > 0 ? "+" : "−", format_bytes(fabs(bytes)).text);
}

static void draw_bar(Ui *ui, Rect place, const CostRow *row) {
    const double largest = ui->sensitivity.largest;
    const int length = largest > 0 && row->kl > 0 ? (int)ceil(row->kl / largest * place.cols) : 0;
    static const Style styles[] = {
        [COST_STATISTICS] = MEANING_FAINT, [COST_ESTIMATED] = MEANING_FAINT, [COST_MEASURED] = MEANING_WEIGHT};
    static const char *const signs[] = {[COST_STATISTICS] = "·", [COST_ESTIMATED] = "░", [COST_MEASURED] = "█"};
    for (int i = 0; i < length && i < place.cols; i++)
        canvas_text(&ui->canvas, place.row, place.col + i, 1, styles[row->source], signs[row->source]);
}

static void bits_text(const SensitivityScreen *s, const CostRow *row, char *out, size_t size) {
    const bool kept = row->held == row->count;
    char now[8] = "mix", then[8] = "mix";
    if (row->bits) snprintf(now, sizeof now, "%d", row->bits);
    if (row->chosen) snprintf(then, sizeof then, "%d", row->chosen);
    if (row->bits && row->bits == row->chosen && (s->tuned || s->choice.met))
        snprintf(out, size, "%s%s", now, kept ? " kept" : "");
    else
        snprintf(out, size, "%s → %s", now, then);
}

// Figures of few digits, too, have their points below one another.
static void draw_kl(Ui *ui, Rect line, int col, const CostColumns *c, const CostRow *row) {
    if (!ui->sensitivity.scaled) {
        canvas_right(&ui->canvas, line.row, col, c->kl, MEANING_FAINT, "–");
        return;
    }
    const int decimals = sensitivity_kl_decimals(row), after = KL_DECIMALS - decimals + (decimals == 0);
    char se[64] = "";
    if (!isnan(row->se)) snprintf(se, sizeof se, "±%s", format_fixed(row->se, decimals).text);
    canvas_right(&ui->canvas, line.row, col, c->kl - after,
                 row->source == COST_STATISTICS ? MEANING_FAINT : MEANING_VALUE, sensitivity_kl_text(row).text);
    canvas_right(&ui->canvas, line.row, col + c->kl, c->se - after, MEANING_FAINT, se);
}

static void draw_figures(Ui *ui, Rect line, int col, const CostColumns *c, const CostRow *row) {
    const SensitivityScreen *s = &ui->sensitivity;
    char bits[32], step[80];
    draw_kl(ui, line, col, c, row);
    col += c->kl + c->se;
    bits_text(s, row, bits, sizeof bits);
    const Style moved = row->bits == row->chosen  ? MEANING_VALUE
                        : row->chosen > row->bits ? MEANING_BETTER | STYLE_BOLD
                                                  : MEANING_WORSE | STYLE_BOLD;
    canvas_right(&ui->canvas, line.row, col, c->bits, moved, bits);
    col += c->bits;
    if (!c->more) return;
    step_text(s, row, row->more_kl, row->more_bytes, step, sizeof step);
    canvas_right(&ui->canvas, line.row, col, c->more, MEANING_TEXT, step);
    step_text(s, row, row->fewer_kl, row->fewer_bytes, step, sizeof step);
    canvas_right(&ui->canvas, line.row, col + c->more, c->fewer, MEANING_TEXT, step);
}

static void draw_row(Ui *ui, Rect line, int index, bool selected) {
    const CostRow *row = &ui->sensitivity.rows[index];
    const CostColumns c = cost_columns(line.cols);
    const bool marked = row->marked == row->count;
    char name[160];
    sensitivity_row_name(ui, row, name, sizeof name);
    canvas_text(&ui->canvas, line.row, line.col, 1, MEANING_ACCENT, selected ? "▸" : " ");
    canvas_text(&ui->canvas, line.row, line.col + 1, 1, MEANING_CHANGED | STYLE_BOLD, marked ? "+" : " ");
    canvas_fit(&ui->canvas, line.row, line.col + 2, c.name,
               row->found ? MEANING_CHANGED | STYLE_UNDERLINE
               : marked   ? MEANING_CHANGED
                          : MEANING_TEXT,
               name);
    draw_bar(ui, (Rect){line.row, line.col + 2 + c.name, 1, c.bar}, row);
    draw_figures(ui, line, line.col + 2 + c.name + c.bar, &c, row);
    if (selected) canvas_restyle(&ui->canvas, line, STYLE_SELECTED);
    ui_hit(ui, line, HIT_COST, index);
}

// What the bars are made of, as far as they are there.
static const char *legend(const SensitivityScreen *s, int room) {
    if (s->guessed && s->guessed == s->priced) return room >= 28 ? "· guessed, not measured yet" : "· only guessed";
    if (s->guessed) return room >= 24 ? "█ measured  · guessed" : "█ meas. · guess";
    return room >= 24 ? "█ measured  ░ estimated" : "█ measured ░ est.";
}

static void draw_heading(Ui *ui, Rect line) {
    const CostColumns c = cost_columns(line.cols);
    Canvas *canvas = &ui->canvas;
    int col = line.col + 2;
    canvas_text(canvas, line.row, col, c.name, MEANING_FAINT, "linear");
    col += c.name;
    const SensitivityScreen *s = &ui->sensitivity;
    canvas_fit(canvas, line.row, col, c.bar, s->guessed ? MEANING_CHANGED : MEANING_FAINT, legend(s, c.bar));
    col += c.bar;
    canvas_right(canvas, line.row, col, c.kl, MEANING_FAINT, "KL alone");
    col += c.kl + c.se;
    canvas_right(canvas, line.row, col, c.bits, MEANING_FAINT, "bits");
    if (!c.more) return;
    canvas_right(canvas, line.row, col + c.bits, c.more, MEANING_FAINT, "one step more");
    canvas_right(canvas, line.row, col + c.bits + c.more, c.fewer, MEANING_FAINT, "one step fewer");
}

// Why there are no rows.
static const char *nothing_yet(const Ui *ui) {
    const ModelConfig *config = &workbench_structure(ui->workbench)->config;
    if (config->not_run[0]) return "the model cannot be run, so that nothing is known of what its linears cost";
    if (workbench_plan(ui->workbench)->quantized_count == 0) return "the recipe quantizes no linear";
    return "what other bits would be is being worked out";
}

static void draw_list(Ui *ui, Rect pane) {
    SensitivityScreen *s = &ui->sensitivity;
    const int selected = sensitivity_index(ui);
    const Rect list = {pane.row + 1, pane.col, pane.rows - 1, pane.cols};
    const char *title = s->in_order                ? " in the model's order "
                        : !s->guessed || !s->ready ? " by KL alone ▼ "
                        : s->guessed == s->priced  ? " order is a guess ▼ "
                                                   : " guesses come last ▼ ";
    const int after = screen_tabs_draw(ui, (Rect){pane.row - 1, pane.col, 1, pane.cols - 24});
    canvas_right(&ui->canvas, pane.row - 1, after, pane.col + pane.cols - after - 1, MEANING_FAINT, title);
    draw_heading(ui, (Rect){pane.row, pane.col, 1, pane.cols});
    if (selected < 0) canvas_fit(&ui->canvas, list.row, list.col + 2, list.cols - 3, MEANING_FAINT, nothing_yet(ui));
    s->top = layout_scroll(s->top, selected, list.rows, s->row_count);
    for (int i = 0; i < list.rows && s->top + i < s->row_count; i++)
        draw_row(ui, (Rect){list.row + i, list.col, 1, list.cols}, s->top + i, s->top + i == selected);
}

// ---- what the row says --------------------------------------------------------------------------------------------

// "5.down_proj: more bits save 0.01100 for +31.2 kB; fewer cost 0.04300 and save 15.6 kB".
static void draw_steps(Ui *ui, Rect line) {
    const SensitivityScreen *s = &ui->sensitivity;
    const int index = sensitivity_index(ui);
    if (index < 0) return;
    const CostRow *row = &s->rows[index];
    char name[160];
    Pen pen = pen_at(&ui->canvas, line);
    sensitivity_row_name(ui, row, name, sizeof name);
    pen_text(&pen, MEANING_TITLE | STYLE_BOLD, "%s", name);
    pen_text(&pen, MEANING_FAINT, "  ");
    if (row->more_bytes > 0 && s->scaled)
        pen_text(&pen, MEANING_TEXT, "a step more: %s KL for %s", sensitivity_change_text(row, row->more_kl).text,
                 format_change(row->more_bytes / 1000, 1, "kB").text);
    if (row->fewer_bytes < 0 && s->scaled)
        pen_text(&pen, MEANING_TEXT, "%sfewer: %s KL for %s", row->more_bytes > 0 ? "   " : "",
                 sensitivity_change_text(row, row->fewer_kl).text,
                 format_change(row->fewer_bytes / 1000, 1, "kB").text);
}

// ---- the budget ---------------------------------------------------------------------------------------------------

static Rect labelled(Ui *ui, Rect pane, int row, const char *label) {
    const int cols = 10;
    canvas_text(&ui->canvas, pane.row + row, pane.col, cols, MEANING_FAINT, label);
    return (Rect){pane.row + row, pane.col + cols, 1, pane.cols - cols};
}

static void draw_budget(Ui *ui, Rect line) {
    const SensitivityScreen *s = &ui->sensitivity;
    Canvas *canvas = &ui->canvas;
    Pen pen = pen_at(canvas, line);
    char value[64];
    if (!(s->bits > 0)) return; // nothing is known yet
    if (s->by_kl)
        snprintf(value, sizeof value, " %s ", format_figure(s->kl, 3).text);
    else
        snprintf(value, sizeof value, " %.2f ", s->bits);
    pen_text(&pen, MEANING_ACCENT, "◂");
    ui_hit(ui, (Rect){line.row, pen.col - 1, 1, 1}, HIT_KEY, KEY_ARROW_LEFT);
    pen_text(&pen, MEANING_VALUE | STYLE_BOLD, "%s", value);
    pen_text(&pen, MEANING_ACCENT, "▸");
    ui_hit(ui, (Rect){line.row, pen.col - 1, 1, 1}, HIT_KEY, KEY_ARROW_RIGHT);
    pen_text(&pen, MEANING_TEXT, s->by_kl ? " KL at most, all together  " : " bits per weight at most  ");
    if (s->by_kl || !s->ready) return;
    const double least = 8 * s->budget.allocation.least_bytes / s->budget.elements;
    const double most = 8 * s->budget.allocation.most_bytes / s->budget.elements;
    char low[32], high[32];
    snprintf(low, sizeof low, "%.2f ", least);
    snprintf(high, sizeof high, " %.2f", most);
    const int room = pen.end - pen.col - canvas_width(canvas, low) - canvas_width(canvas, high);
    if (room < 8) return;
    pen_text(&pen, MEANING_FAINT, "%s", low);
    graph_slider(canvas, line.row, pen.col, room < 40 ? room : 40, (s->bits - least) / (most - least), MEANING_ACCENT,
                 MEANING_ACCENT | STYLE_BOLD, MEANING_TRACK);
    pen.col += room < 40 ? room : 40;
    pen_text(&pen, MEANING_FAINT, "%s", high);
}

// Whether the bits in the list are those that were tuned.
static bool shows_tuned(const Ui *ui) {
    TuneView tuned;
    workbench_tuned(ui->workbench, &tuned);
    return ui->sensitivity.tuned && tuned.done;
}

static void count_moves(const Ui *ui, int *more, int *fewer, int *same) {
    const SensitivityScreen *s = &ui->sensitivity;
    const SensitivityView *v = workbench_sensitivity(ui->workbench);
    *more = *fewer = *same = 0;
    for (int i = 0; i < workbench_structure(ui->workbench)->linear_count; i++) {
        if (v->choices[i].now < 0 || s->chosen[i] < 0) continue;
        *more += s->chosen[i] > v->choices[i].now;
        *fewer += s->chosen[i] < v->choices[i].now;
        *same += s->chosen[i] == v->choices[i].now;
    }
}

// Of what is kept, bits that the chosen engine does not take.
static int count_refused(const Ui *ui) {
    const SensitivityScreen *s = &ui->sensitivity;
    const SensitivityView *v = workbench_sensitivity(ui->workbench);
    int count = 0;
    for (int i = 0; v->refused && i < workbench_structure(ui->workbench)->linear_count; i++)
        count += s->held[i] && v->choices[i].now >= 0 && v->refused[i] >> v->choices[i].now & 1;
    return count;
}

static void draw_kept(const Ui *ui, Pen *pen) {
    const int refused = count_refused(ui), kept = sensitivity_kept(ui) - refused;
    if (kept) pen_text(pen, MEANING_TEXT, ", %d of these set by hand", kept);
    if (refused) pen_text(pen, MEANING_CHANGED, ", not %d that the engine refuses", refused);
}

// What Enter would do, before it does.
static void draw_moves(Ui *ui, Rect line) {
    const SensitivityScreen *s = &ui->sensitivity;
    int more, fewer, same;
    Pen pen = pen_at(&ui->canvas, line);
    if (!s->ready) return;
    if (!s->choice.met && !shows_tuned(ui)) {
        char why[160];
        sensitivity_unmet_text(ui, why, sizeof why);
        pen_text(&pen, MEANING_ERROR, "%s", why);
        return;
    }
    count_moves(ui, &more, &fewer, &same);
    if (more + fewer)
        pen_text(&pen, MEANING_TEXT, "%d up, %d down, %d as they are", more, fewer, same);
    else if (shows_tuned(ui))
        pen_text(&pen, MEANING_TEXT, "all bits stay; groups and clipping become those that were tuned");
    else
        pen_text(&pen, MEANING_TEXT, "all %d linears have these bits already", same);
    if (sensitivity_kept(ui) && !shows_tuned(ui)) draw_kept(ui, &pen);
    if (s->guessed && !shows_tuned(ui)) pen_text(&pen, MEANING_CHANGED, "   provisional: KL alone is a guess");
}

// The divergence of all together, marked as on Layers while it is not the last word.
static Short whole_text(const Ui *ui) {
    const Effect *effect = workbench_effect(ui->workbench);
    const Short figure = format_figure(sensitivity_whole(ui), 3);
    Short out;
    if (isnan(sensitivity_whole(ui))) return figure;
    snprintf(out.text, sizeof out.text, "%s%.20s%s", workbench_plan(ui->workbench)->provisional ? "~" : "", figure.text,
             effect->accuracy_finished ? "" : "…");
    return out;
}

static void draw_figures_of(Ui *ui, Pen *pen, double bits, const char *about, double kl) {
    pen_text(pen, MEANING_VALUE | STYLE_BOLD, "%.2f bits per weight", bits);
    pen_text(pen, MEANING_FAINT, " (now %.2f)", workbench_plan(ui->workbench)->bits_per_weight);
    pen_text(pen, MEANING_TEXT, "   KL %s", about);
    pen_text(pen, MEANING_VALUE | STYLE_BOLD, "%s", format_figure(kl, 3).text);
    pen_text(pen, MEANING_FAINT, " (now %s)", whole_text(ui).text);
}

// Noise alone does not say what a choice costs.
static void draw_unpromised(Ui *ui, Pen *pen) {
    char wait[64];
    draw_figures_of(ui, pen, ui->sensitivity.choice.bits_per_weight, "", (double)NAN);
    sensitivity_wait_text(ui, wait, sizeof wait);
    pen_text(pen, MEANING_CHANGED, "  %s", wait);
}

static void draw_choice(Ui *ui, Rect line) {
    const SensitivityScreen *s = &ui->sensitivity;
    Pen pen = pen_at(&ui->canvas, line);
    if (!s->ready) return;
    if (shows_tuned(ui)) {
        TuneView tuned;
        workbench_tuned(ui->workbench, &tuned);
        draw_figures_of(ui, &pen, tuned.tuned.point.bits_per_weight, "", tuned.tuned.point.accuracy.kl_mean);
        return;
    }
    if (s->by_kl && isnan(sensitivity_together(ui, 1))) {
        pen_text(&pen, MEANING_FAINT, "not before the KL of this recipe is known");
        return;
    }
    if (!s->choice.met) {
        if (s->by_kl)
            pen_text(&pen, MEANING_ERROR, "cannot be met: the least expected is %s, with %.2f bits per weight",
                     format_figure(fmax(sensitivity_together(ui, s->choice.kl), 0), 3).text, s->choice.bits_per_weight);
        else
            pen_text(&pen, MEANING_ERROR, "cannot be met: the least is %.2f bits per weight",
                     ceil(s->choice.bits_per_weight * 100) / 100);
        return;
    }
    if (s->guessed)
        draw_unpromised(ui, &pen);
    else
        draw_figures_of(ui, &pen, s->choice.bits_per_weight, "about ", sensitivity_together(ui, s->choice.kl));
}

// What guesses rest on.
static void draw_guessed(Ui *ui, Pen *pen) {
    const SensitivityScreen *s = &ui->sensitivity;
    const char *by = s->carried ? "by the recipe before" : "by noise";
    if (s->guessed == s->priced)
        pen_text(pen, MEANING_FAINT, "   ~ its share %s", by);
    else
        pen_text(pen, MEANING_FAINT, "   ~ for %d of %d: its share %s", s->guessed, s->priced, by);
}

// Whether costs add up, in words.
static void draw_additivity(Ui *ui, Rect line) {
    const SensitivityScreen *s = &ui->sensitivity;
    const SensitivityView *v = workbench_sensitivity(ui->workbench);
    const double whole = sensitivity_whole(ui);
    Pen pen = pen_at(&ui->canvas, line);
    if (!s->ready) return;
    if (isnan(whole)) {
        pen_text(&pen, MEANING_FAINT, "the KL of this recipe is being measured");
        return;
    }
    pen_text(&pen, MEANING_TEXT, "KL of all together ");
    pen_text(&pen, MEANING_VALUE | STYLE_BOLD, "%s", whole_text(ui).text);
    if (s->guessed) {
        draw_guessed(ui, &pen);
        return;
    }
    const double ratio = s->budget.now / whole;
    pen_text(&pen, MEANING_TEXT, ", the sum of all alone ");
    pen_text(&pen, MEANING_VALUE | STYLE_BOLD, "%s", format_figure(s->budget.now, 3).text);
    if (!(whole > 0)) return;
    pen_text(&pen, MEANING_FAINT, "  %s",
             ratio > 1.25  ? "together they cost less than their sum"
             : ratio < 0.8 ? "together they cost more than their sum"
                           : "costs add up");
    if (!v->finished) pen_text(&pen, MEANING_FAINT, ", as far as is measured");
}

// ---- jobs ---------------------------------------------------------------------------------------------------------

static void left_text(const JobView *job, char *out, size_t size) {
    *out = '\0';
    if (job->state == JOB_RUNNING && job->seconds_left >= 0 && job->seconds > 0.5)
        snprintf(out, size, ", %s left", format_seconds(job->seconds_left).text);
}

static void draw_study(Ui *ui, Rect line) {
    const SensitivityView *v = workbench_sensitivity(ui->workbench);
    const bool known = v->turn == workbench_turn(ui->workbench);
    JobView job;
    char left[64];
    Pen pen = pen_at(&ui->canvas, line);
    workbench_job(ui->workbench, JOB_SENSITIVITY, &job);
    left_text(&job, left, sizeof left);
    switch (job.state) {
    case JOB_RUNNING: pen_text(&pen, MEANING_ACCENT, "%s ", ui_spinner(ui)); break;
    case JOB_STOPPED:
        if (job.put_off > 0)
            pen_text(&pen, MEANING_CHANGED, "m %s, which takes %s: ",
                     known && v->estimate_tokens ? "measures the rest" : "estimates and measures",
                     jobs_put_off_text(&job).text);
        else
            pen_text(&pen, MEANING_CHANGED, "stopped, x goes on: ");
        break;
    case JOB_WAITING:
        pen_text(&pen, MEANING_FAINT, "waits for %s",
                 sensitivity_job(ui, JOB_TUNE) == JOB_RUNNING ? "the search" : "the figures of the recipe");
        return;
    case JOB_FAILED: pen_text(&pen, MEANING_ERROR, "failed: "); break;
    case JOB_DONE: break;
    }
    if (known && v->finished)
        pen_text(&pen, MEANING_TEXT, "all %d are measured", v->count);
    else if (known && v->estimate_tokens)
        pen_text(&pen, MEANING_TEXT, "%d of %d measured%s", v->measured, v->count, left);
    else if (job.state == JOB_RUNNING)
        pen_text(&pen, MEANING_TEXT, "estimating on a few tokens%s", left);
    if (known && v->estimate_tokens && v->measured < v->count)
        pen_text(&pen, MEANING_FAINT, "   the others estimated on %zu tokens", v->estimate_tokens);
}

static void goal_text(const TuneGoal *goal, char *out, size_t size) {
    if (goal->max_kl > 0)
        snprintf(out, size, "KL %s", format_figure(goal->max_kl, 3).text);
    else
        snprintf(out, size, "%.2f bits", goal->max_bits);
}

static void draw_tuned(Ui *ui, Rect lines, const TuneView *view) {
    const Tuned *t = &view->tuned;
    const Point *p = &t->point;
    Pen pen = pen_at(&ui->canvas, lines), below = pen_at(&ui->canvas, (Rect){lines.row + 1, lines.col, 1, lines.cols});
    const bool stopped = t->cut == TUNE_STOPPED;
    if (t->stays)
        pen_text(&pen, MEANING_TEXT, "nothing better found%s: ", stopped ? " yet" : "");
    else
        pen_text(&pen, MEANING_BETTER, "%s", stopped ? "cut short: " : "tuned: ");
    pen_text(&pen, MEANING_VALUE | STYLE_BOLD, "KL %s at %.2f bits%s", format_figure(p->accuracy.kl_mean, 3).text,
             p->bits_per_weight, stopped ? "" : " per weight");
    pen_text(&pen, MEANING_ACCENT, "   %s%s", ui->sensitivity.tuned ? "Enter takes it" : "T shows it",
             stopped && ui->sensitivity.tuned ? ", x goes on" : "");
    if (view->changes) pen_text(&below, MEANING_CHANGED, "measured before your last changes, which stay   ");
    if (p->accuracy.kl_mean > sensitivity_whole(ui))
        pen_text(&below, MEANING_WORSE, "farther from the base than the recipe as it is, KL %s   ",
                 whole_text(ui).text);
    if (t->uniform.known && t->difference.kl.se > 0)
        pen_text(&below, MEANING_FAINT, "%s ±%s to one scheme for all   ",
                 format_change(t->difference.kl.mean, 5, "").text, format_fixed(t->difference.kl.se, 5).text);
    if (t->kept_mended)
        pen_text(&below, MEANING_CHANGED, "%d of %d kept changed for the engine   ", t->kept_mended, t->kept);
}

// Recipes are compared on other tokens than those of the figures on the screen, so that only what they save of their
// first one is told; for a bound, the size.
static void draw_so_far(Ui *ui, Rect line, const TuneView *view) {
    const Tuned *t = &view->tuned;
    Pen pen = pen_at(&ui->canvas, line);
    if (view->goal.max_kl > 0 && isfinite(t->best_kl))
        pen_text(&pen, MEANING_VALUE | STYLE_BOLD, "so far %.2f bits at KL %s", t->best_bits,
                 format_figure(t->best_kl, 3).text);
    else if (isfinite(t->best_kl) && t->best_kl < 0.995 * t->first_kl)
        pen_text(&pen, MEANING_VALUE | STYLE_BOLD, "so far KL %.0f %% below one scheme for all, at %.2f bits",
                 100 * (1 - t->best_kl / t->first_kl), t->best_bits);
    else if (isfinite(t->best_kl) && t->given.known && t->given.accuracy.kl_mean <= t->uniform.accuracy.kl_mean)
        pen_text(&pen, MEANING_TEXT, "so far nothing is better than the recipe as it was");
    else if (isfinite(t->best_kl) && isfinite(t->first_kl))
        pen_text(&pen, MEANING_TEXT, "so far one scheme for all is the best, at %.2f bits", t->best_bits);
    else if (isfinite(t->best_kl))
        pen_text(&pen, MEANING_VALUE | STYLE_BOLD, "so far %.2f bits; no one scheme for all reaches that",
                 t->best_bits);
    else if (t->uniform.known)
        pen_text(&pen, MEANING_TEXT, "one scheme for all: KL %s at %.2f bits (now KL %s)",
                 format_figure(t->uniform.accuracy.kl_mean, 3).text, t->uniform.bits_per_weight, whole_text(ui).text);
    else if (t->units)
        pen_text(&pen, MEANING_FAINT, "first schemes for all, then %d linears and fused sets alone", t->units);
}

// What T would do, before it does.
static void draw_offer(Ui *ui, Rect lines) {
    const int held = ui->sensitivity.held_count;
    const double seconds = ui->sensitivity.search_seconds;
    Pen pen = pen_at(&ui->canvas, lines), below = pen_at(&ui->canvas, (Rect){lines.row + 1, lines.col, 1, lines.cols});
    pen_text(&pen, MEANING_FAINT, "T searches bits and groups within this budget%s", isnan(seconds) ? "" : ", ");
    if (!isnan(seconds)) pen_text(&pen, MEANING_TEXT, "about %s", format_seconds(seconds).text);
    if (held && ui->sensitivity.takes_back)
        pen_text(&below, MEANING_CHANGED, "also of %d that overrides set by hand; K keeps these", held);
    else if (held)
        pen_text(&below, MEANING_TEXT, "%d that overrides set by hand stay as they are; K takes these back", held);
}

static void draw_tune(Ui *ui, Rect lines) {
    TuneView tuned;
    JobView job;
    char goal[64], left[64];
    Pen pen = pen_at(&ui->canvas, lines);
    const Rect below = {lines.row + 1, lines.col, 1, lines.cols};
    workbench_tuned(ui->workbench, &tuned);
    workbench_job(ui->workbench, JOB_TUNE, &job);
    if (!tuned.asked) {
        draw_offer(ui, lines);
        return;
    }
    if (tuned.done) {
        draw_tuned(ui, lines, &tuned);
        return;
    }
    if (job.state == JOB_FAILED) {
        char message[sizeof job.message];
        convert_words(job.message, message, sizeof message);
        const WrapPiece words = {message, SIZE_MAX, MEANING_ERROR};
        wrap_draw(&ui->canvas, lines, &words, 1, 0);
        return;
    }
    goal_text(&tuned.goal, goal, sizeof goal);
    left_text(&job, left, sizeof left);
    pen_text(&pen, MEANING_ACCENT, "%s ", job.state == JOB_STOPPED ? "stopped, x goes on:" : ui_spinner(ui));
    pen_text(&pen, MEANING_TEXT, "%s: ", goal);
    if (job.state == JOB_WAITING)
        pen_text(&pen, MEANING_FAINT, "waits for the figures of the recipe");
    else if (job.what && job.share >= 0)
        pen_text(&pen, MEANING_TEXT, "%s; search %.0f %%%s", job.what, job.share * 100, left);
    draw_so_far(ui, below, &tuned);
}

// ---- the screen ---------------------------------------------------------------------------------------------------

void panel_sensitivity_draw(Ui *ui) {
    const Rect frame = ui->layout.frame;
    const int rows = frame.rows - 3 - BUDGET_ROWS;
    const Rect list = {frame.row + 1, 1, rows, frame.cols - 2};
    const Rect below = {list.row + rows + 1, 1, BUDGET_ROWS, frame.cols - 2};
    canvas_box(&ui->canvas, list, MEANING_RULE);
    canvas_box(&ui->canvas, below, MEANING_RULE);
    draw_list(ui, list);
    panel_title(ui, below, "Budget", PANE_COUNT);
    const Rect pane = rect_inset(below, 1);
    draw_steps(ui, (Rect){pane.row, pane.col, 1, pane.cols});
    draw_budget(ui, labelled(ui, pane, 1, "budget"));
    draw_choice(ui, labelled(ui, pane, 2, shows_tuned(ui) ? "tuned" : "chosen"));
    draw_moves(ui, labelled(ui, pane, 3, "Enter"));
    draw_additivity(ui, labelled(ui, pane, 4, "alone"));
    draw_study(ui, labelled(ui, pane, 5, "study"));
    Rect tune = labelled(ui, pane, 6, "tune");
    tune.rows = 2;
    draw_tune(ui, tune);
}
