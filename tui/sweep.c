#include "tui/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "tui/dials.h"
#include "tui/jobs.h"
#include "tui/screen.h"

#define VALUES_OF_ONE 11
#define VALUES_OF_TWO 6

// ---- which values -------------------------------------------------------------------------------------------------

static void add_value(SweepDial *dial, double value) {
    int at = dial->count;
    for (int i = 0; i < dial->count; i++) {
        if (dial->values[i] == value) return;
    }
    for (; at > 0 && dial->values[at - 1] > value; at--) dial->values[at] = dial->values[at - 1];
    dial->values[at] = value;
    dial->count++;
}

static int widest(const Ui *ui) {
    const ModelStructure *structure = workbench_structure(ui->workbench);
    int cols = 0;
    for (int i = 0; i < structure->linear_count; i++)
        if (structure->linears[i].in > (size_t)cols) cols = (int)structure->linears[i].in;
    return cols;
}

// A group larger than the widest matrix is the whole channel, which is a setting of its own.
static bool is_beyond(const Ui *ui, Dial dial, double value) {
    const bool group = dial == DIAL_GROUP_SIZE || dial == DIAL_MIN_GROUP || dial == DIAL_MAX_GROUP;
    return group && value > widest(ui) && value != workbench_recipe(ui->workbench)->value[dial];
}

// All settings of a dial, or values at even distances of its track, and in any case the recipe's own.
static bool values_of(const Ui *ui, Dial dial, int count, SweepDial *out, Error *err) {
    double settings[DIAL_SETTINGS_MOST];
    const int known = dial_settings(dial, settings, DIAL_SETTINGS_MOST);
    *out = (SweepDial){.dial = dial, .values = array_new(DIAL_SETTINGS_MOST + VALUES_OF_ONE + 1, sizeof(double))};
    if (!out->values) return error_memory(err, "a sweep");
    for (int i = 0; i < known; i++)
        if (!is_beyond(ui, dial, settings[i])) add_value(out, settings[i]);
    for (int i = 0; known == 0 && i < count; i++) add_value(out, dial_at_share(dial, (double)i / (count - 1)));
    if (known == 0) add_value(out, workbench_recipe(ui->workbench)->value[dial]);
    return true;
}

static int dial_count(const Ui *ui) { return ui->sweep.dials[1] == NO_DIAL ? 1 : 2; }

// ok and err: of reading the dials, which are taken over in any case.
static void start(Ui *ui, SweepDial *dials, int count, bool asked, bool ok, Error *err) {
    int chosen[SWEEP_DIALS] = {NO_DIAL, NO_DIAL};
    for (int d = 0; d < count; d++) chosen[d] = (int)dials[d].dial;
    if (!ok) {
        for (int d = 0; d < SWEEP_DIALS; d++) sweep_dial_free(&dials[d]);
    }
    if (!ui_report(ui, ok && workbench_sweep(ui->workbench, dials, count, asked, err), err)) return;
    memcpy(ui->sweep.dials, chosen, sizeof chosen);
    ui->sweep.cursor = -1;
    sweep_update(ui);
}

static void start_chosen(Ui *ui, bool asked) {
    SweepDial dials[SWEEP_DIALS] = {0};
    Error err = {0};
    const int count = dial_count(ui);
    bool ok = true;
    for (int d = 0; ok && d < count; d++)
        ok = values_of(ui, (Dial)ui->sweep.dials[d], count == 1 ? VALUES_OF_ONE : VALUES_OF_TWO, &dials[d], &err);
    ok = ok && sweep_matters(workbench_recipe(ui->workbench), dials, count, &err);
    start(ui, dials, count, asked, ok, &err);
}

// ---- coming and going ---------------------------------------------------------------------------------------------

void sweep_init(Ui *ui) { ui->sweep = (SweepScreen){.dials = {NO_DIAL, NO_DIAL}, .offered = NO_DIAL, .cursor = -1}; }

// The dial that was last turned, unless it was seen before: then what is there stays.
void sweep_open(Ui *ui) {
    SweepScreen *s = &ui->sweep;
    workbench_look_at_sweep(ui->workbench, true);
    if (workbench_structure(ui->workbench)->config.not_run[0]) return;
    const bool other = s->offered != (int)ui->dial;
    s->offered = (int)ui->dial;
    if (s->dials[0] == NO_DIAL || (other && s->dials[0] != (int)ui->dial)) {
        s->dials[0] = (int)ui->dial;
        s->dials[1] = NO_DIAL;
        start_chosen(ui, false);
    }
    sweep_update(ui);
}

void sweep_close(Ui *ui) { workbench_look_at_sweep(ui->workbench, false); }

bool sweep_is_here(const Ui *ui, int point) {
    const SweepView *v = workbench_swept(ui->workbench);
    for (int d = 0; d < v->dial_count; d++) {
        if (sweep_view_value(v, point, d) != workbench_recipe(ui->workbench)->value[v->dials[d].dial]) return false;
    }
    return v->dial_count > 0;
}

static bool same_model(const SweepPoint *a, const SweepPoint *b) {
    const Accuracy *x = &a->point.accuracy, *y = &b->point.accuracy;
    return a->point.known && b->point.known && !a->older && !b->older && a->point.bytes == b->point.bytes &&
           x->kl_mean == y->kl_mean && x->ppl == y->ppl;
}

int sweep_stands_for(const Ui *ui, int point) {
    const SweepView *v = workbench_swept(ui->workbench);
    int first = point;
    for (int i = v->count - 1; i >= 0; i--) {
        if (i != point && !same_model(&v->points[i], &v->points[point])) continue;
        if (sweep_is_here(ui, i)) return i;
        first = i;
    }
    return first;
}

void sweep_update(Ui *ui) {
    const SweepView *v = workbench_swept(ui->workbench);
    if (ui->sweep.cursor >= 0 && ui->sweep.cursor < v->count) return;
    ui->sweep.cursor = v->count ? 0 : -1;
    for (int i = 0; i < v->count; i++) {
        if (sweep_is_here(ui, i)) ui->sweep.cursor = i;
    }
}

bool sweep_above_now(const Ui *ui, const SweepPoint *point, Difference *out) {
    const Effect *e = workbench_effect(ui->workbench);
    const bool now = e->accuracy_finished && e->accuracy_turn == workbench_turn(ui->workbench) && e->by_position;
    if (!now || !point->divergences || point->older || point->point.accuracy.tokens != e->positions) return false;
    *out = paired_difference(point->divergences, e->by_position, e->positions);
    return true;
}

// ---- keys ---------------------------------------------------------------------------------------------------------

void sweep_choose(Ui *ui, int point) {
    if (point >= 0 && point < workbench_swept(ui->workbench)->count) ui->sweep.cursor = point;
}

static int clamp(int value, int count) { return value < 0 ? 0 : value >= count ? count - 1 : value; }

static void move(Ui *ui, int dial, int steps) {
    const SweepView *v = workbench_swept(ui->workbench);
    if (ui->sweep.cursor < 0 || dial >= v->dial_count) return;
    const int last = v->dial_count == 2 ? v->dials[1].count : 1;
    int at[SWEEP_DIALS] = {ui->sweep.cursor / last, ui->sweep.cursor % last};
    at[dial] = clamp(at[dial] + steps, v->dials[dial].count);
    ui->sweep.cursor = at[0] * last + at[1];
}

// Over bits per weight a curve goes from one point to the next larger one, and past those of the same model.
static void move_by_bits(Ui *ui, int steps) {
    const SweepView *v = workbench_swept(ui->workbench);
    for (int i = 0; i < abs(steps) && i < v->count; i++) {
        const SweepPoint *at = &v->points[ui->sweep.cursor];
        int next = -1;
        for (int k = 0; k < v->count; k++) {
            const double bits = v->points[k].point.bits_per_weight, from = at->point.bits_per_weight;
            const bool beyond = steps > 0 ? bits > from || (bits == from && k > ui->sweep.cursor)
                                          : bits < from || (bits == from && k < ui->sweep.cursor);
            if (!beyond || !v->points[k].planned || sweep_stands_for(ui, k) != k) continue;
            const double best = next < 0 ? 0 : v->points[next].point.bits_per_weight;
            if (next < 0 || (steps > 0 ? bits < best : bits > best) || (bits == best && steps < 0)) next = k;
        }
        if (next < 0) return;
        ui->sweep.cursor = next;
    }
}

void sweep_move_across(Ui *ui, int steps) {
    if (ui->sweep.by_bits && workbench_swept(ui->workbench)->dial_count == 1)
        move_by_bits(ui, steps);
    else
        move(ui, 0, steps);
}

void sweep_move_up(Ui *ui, int steps) { move(ui, 1, steps); }

void sweep_take(Ui *ui, int unused) {
    (void)unused;
    const SweepView *v = workbench_swept(ui->workbench);
    Recipe recipe;
    Error err = {0};
    if (ui->sweep.cursor < 0) return;
    if (sweep_is_here(ui, ui->sweep.cursor)) {
        ui_say(ui, "the recipe is as at this point");
        return;
    }
    if (!ui_report(ui, recipe_copy(workbench_recipe(ui->workbench), &recipe, &err), &err)) return;
    for (int d = 0; d < v->dial_count; d++) recipe.value[v->dials[d].dial] = sweep_view_value(v, ui->sweep.cursor, d);
    const bool ok = workbench_restore(ui->workbench, &recipe, &err);
    recipe_free(&recipe);
    if (!ui_report(ui, ok, &err)) return;
    ui_say(ui, "set as at this point; u undoes it");
    ui_update(ui);
}

void sweep_choose_dial(Ui *ui, int which, int dial) {
    SweepScreen *s = &ui->sweep;
    if (which && s->dials[0] == NO_DIAL) return;
    s->dials[which] = dial;
    if (s->dials[1] == s->dials[0]) s->dials[1] = NO_DIAL;
    start_chosen(ui, true);
}

void sweep_turn_axis(Ui *ui, int unused) {
    (void)unused;
    if (workbench_swept(ui->workbench)->dial_count == 2)
        ui_say(ui, "a field of two dials has no other axis; D, none goes back to one");
    else
        ui->sweep.by_bits = !ui->sweep.by_bits;
    if (ui->sweep.by_bits && ui->sweep.cursor >= 0) ui->sweep.cursor = sweep_stands_for(ui, ui->sweep.cursor);
}

void sweep_stop(Ui *ui, int unused) {
    (void)unused;
    JobView job;
    workbench_job(ui->workbench, JOB_SWEEP, &job);
    if (job_is_on(job.state)) {
        char rest[96];
        workbench_stop_job(ui->workbench, JOB_SWEEP);
        jobs_rest_text(ui, JOB_SWEEP, rest, sizeof rest);
        ui_say(ui, "stopped; x goes on%s", rest);
    } else if (job.state == JOB_STOPPED)
        workbench_resume_study(ui->workbench, JOB_SWEEP);
    else
        ui_say(ui, "nothing is being measured; 6 goes to Convert");
}

void sweep_measure(Ui *ui, int unused) {
    (void)unused;
    jobs_measure(ui, JOB_SWEEP);
}

// A dial as on the screen, alone or with values as the command takes them.
static bool read_dial(const Ui *ui, const char *text, size_t length, int count, SweepDial *out, Error *err) {
    char one[256];
    if (length >= sizeof one) return error_set(err, "too many values");
    snprintf(one, sizeof one, "%.*s", (int)length, text);
    const int dial = dials_named(one, strcspn(one, "="));
    if (dial == NO_DIAL) return error_set(err, "there is no dial “%.*s”; Tab lists them", (int)strcspn(one, "="), one);
    if (!strchr(one, '=')) return values_of(ui, (Dial)dial, count, out, err);
    char whole[320];
    snprintf(whole, sizeof whole, "%s%s", dial_table[dial].option, strchr(one, '='));
    return sweep_dial_parse(whole, out, err);
}

void sweep_named(Ui *ui, const char *text) {
    SweepDial dials[SWEEP_DIALS] = {0};
    Error err = {0};
    const char *second = text + strcspn(text, " ");
    second += strspn(second, " ");
    const int count = !*text ? 0 : *second ? 2 : 1, values = count == 1 ? VALUES_OF_ONE : VALUES_OF_TWO;
    if (!count) {
        screen_go(ui, SCREEN_SWEEP);
        return;
    }
    bool ok = read_dial(ui, text, strcspn(text, " "), values, &dials[0], &err) &&
              (count == 1 || read_dial(ui, second, strcspn(second, " "), values, &dials[1], &err));
    ok = ok && sweep_matters(workbench_recipe(ui->workbench), dials, count, &err);
    if (ok) {
        ui->sweep.offered = (int)ui->dial; // not that one, too
        if (ui->sweep.dials[0] == NO_DIAL) ui->sweep.dials[0] = (int)dials[0].dial;
        screen_go(ui, SCREEN_SWEEP);
    }
    start(ui, dials, count, true, ok, &err);
}
