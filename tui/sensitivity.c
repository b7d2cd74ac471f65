#include "tui/sensitivity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/number.h"
#include "quant/assign.h"
#include "quant/carry.h"
#include "quant/difference.h"
#include "quant/recipe_set.h"
#include "tui/convert.h"
#include "tui/format.h"
#include "tui/jobs.h"
#include "tui/screen.h"

#define BITS_STEP 0.05
#define KL_STEP 1.1
#define LEAST_KL 1e-6

// ---- coming and going ---------------------------------------------------------------------------------------------

static int linear_count(const Ui *ui) { return workbench_structure(ui->workbench)->linear_count; }

static bool has_experts(const Ui *ui) {
    for (int i = 0; i < linear_count(ui); i++) {
        if (workbench_structure(ui->workbench)->linears[i].expert >= 0) return true;
    }
    return false;
}

bool sensitivity_init(Ui *ui, Error *err) {
    SensitivityScreen *s = &ui->sensitivity;
    const size_t n = (size_t)linear_count(ui);
    s->selected = -1;
    s->search_seconds = (double)NAN;
    s->costs = array_new(n, sizeof *s->costs);
    s->sources = array_new(n, sizeof *s->sources);
    s->chosen = array_new(n, sizeof *s->chosen);
    s->rows = array_new(n, sizeof *s->rows);
    s->held = array_new(n, sizeof *s->held);
    // A mixture is read by roles of its layers, not by thousands of experts.
    if (has_experts(ui)) s->fold = COSTS_OF_EXPERTS;
    return (s->costs && s->sources && s->chosen && s->rows && s->held) || error_memory(err, "the screen");
}

void sensitivity_free(Ui *ui) {
    SensitivityScreen *s = &ui->sensitivity;
    budget_free(&s->budget);
    free(s->costs);
    free(s->sources);
    free(s->chosen);
    free(s->rows);
    free(s->held);
}

// Asks for the bounds of the engine that is chosen. False: the choices have those of another one, or are of a turn
// before.
static bool has_choices(Ui *ui) {
    const SensitivityView *v = workbench_sensitivity(ui->workbench);
    VerdictWish engine = {0};
    convert_wish(ui, &engine);
    workbench_bound_by(ui->workbench, &engine);
    return v->choices_turn == workbench_turn(ui->workbench) && verdict_wish_equal(&v->bound_by, &engine);
}

void sensitivity_open(Ui *ui) {
    has_choices(ui);
    workbench_look_at_sensitivity(ui->workbench, true);
    sensitivity_update(ui);
}

void sensitivity_close(Ui *ui) { workbench_look_at_sensitivity(ui->workbench, false); }

JobState sensitivity_job(const Ui *ui, JobKind kind) {
    JobView job;
    workbench_job(ui->workbench, kind, &job);
    return job.state;
}

// ---- what linears cost --------------------------------------------------------------------------------------------

double sensitivity_whole(const Ui *ui) {
    const Effect *e = workbench_effect(ui->workbench);
    return e->accuracy_known && e->accuracy_turn == workbench_turn(ui->workbench) ? e->accuracy.kl_mean : (double)NAN;
}

double sensitivity_together(const Ui *ui, double alone) {
    const SensitivityScreen *s = &ui->sensitivity;
    return s->scaled && s->budget.now > 0 ? alone * sensitivity_whole(ui) / s->budget.now : (double)NAN;
}

static double noise_at(const double *db, int linear) {
    return db && isfinite(db[linear]) ? pow(10, -db[linear] / 10) : (double)NAN;
}

// Noise over signal of its outputs, or of its weights where that is not measured yet.
static double noise_of(const Ui *ui, const BitChoices *choices, int linear) {
    const double output = noise_at(workbench_effect(ui->workbench)->output_sqnr_db, linear);
    return isfinite(output) ? output : choices->noise[choices->now];
}

// Weights carry their noise into the output as it was measured there, unless it is the input's for the most part.
static BitCost cost_of(const Ui *ui, const BitChoices *choices, int linear, double kl) {
    const Effect *e = workbench_effect(ui->workbench);
    const double output = noise_at(e->output_sqnr_db, linear), input = noise_at(e->input_sqnr_db, linear);
    BitCost cost = {.kl = kl, .input_noise = isnan(input) ? 0 : input, .carry = 1};
    if (e->sqnr_turn == workbench_turn(ui->workbench) && output > 2 * cost.input_noise)
        cost.carry = (output - cost.input_noise) / choices->noise[choices->now];
    return cost;
}

// A figure of another turn tells what to expect of this one, from the bits that it was measured with.
static double expected_now(const Ui *ui, const SensitivityView *v, int linear, double kl) {
    const BitCost cost = cost_of(ui, &v->choices[linear], linear, kl);
    BitChoices then = v->choices[linear];
    then.now = -1;
    for (int b = 0; b < BUDGET_BITS; b++)
        if (budget_bits[b] == v->bits[linear]) then.now = b;
    return then.now < 0 ? kl : bit_cost_expected(&cost, &then, v->choices[linear].now);
}

// NAN: nothing is known.
static double figure_of(const SensitivityView *v, int linear) {
    const Sensitivity *known = &v->linears[linear];
    return !v->turn ? (double)NAN : known->alone_known ? known->kl : known->estimate;
}

static bool is_of_now(const Ui *ui, const SensitivityView *v) { return v->turn == workbench_turn(ui->workbench); }

// Whether figures of another recipe are there for all.
static bool can_carry(const Ui *ui, const SensitivityView *v) {
    for (int i = 0; i < linear_count(ui); i++) {
        if (v->choices[i].now >= 0 && !isfinite(figure_of(v, i))) return false;
    }
    return v->turn && !is_of_now(ui, v);
}

// Noise reaches the stream as far as what the linear has a part in does.
static double noise_of_stream(const Ui *ui, const BitChoices *choices, int linear) {
    const double *shares = workbench_effect(ui->workbench)->stream_shares;
    const bool known = shares && isfinite(shares[linear]);
    return noise_of(ui, choices, linear) * (known ? shares[linear] : 1);
}

static double guess_of(const Ui *ui, const SensitivityView *v, int linear) {
    return ui->sensitivity.carried ? expected_now(ui, v, linear, figure_of(v, linear))
                                   : noise_of_stream(ui, &v->choices[linear], linear);
}

static double error_of(const Ui *ui, const SensitivityView *v, int linear) {
    if (v->turn != workbench_turn(ui->workbench)) return (double)NAN;
    switch (ui->sensitivity.sources[linear]) {
    case COST_MEASURED: return v->linears[linear].kl_se;
    case COST_ESTIMATED: return v->linears[linear].estimate_se;
    case COST_STATISTICS: break;
    }
    return (double)NAN;
}

// What a noise of the size of the signal costs on average.
static void share_noise(Ui *ui, const SensitivityView *v) {
    SensitivityScreen *s = &ui->sensitivity;
    double kl = 0, noise = 0;
    for (int i = 0; i < linear_count(ui); i++) {
        if (v->choices[i].now < 0) continue;
        kl += s->costs[i].kl;
        noise += noise_of(ui, &v->choices[i], i);
    }
    for (int i = 0; i < linear_count(ui); i++) s->costs[i].per_noise = noise > 0 ? kl / noise : 0;
}

// What is not known of the recipe as it is, is a share of the whole: in proportion to what the recipe before tells, or
// to the noise. So all figures on the screen are of one recipe, and guesses add up to the whole.
static void find_costs(Ui *ui, const SensitivityView *v) {
    SensitivityScreen *s = &ui->sensitivity;
    const bool now = is_of_now(ui, v);
    const double whole = sensitivity_whole(ui);
    double guesses = 0;
    s->scaled = true;
    s->guessed = s->priced = 0;
    s->carried = can_carry(ui, v);
    for (int i = 0; i < linear_count(ui); i++) {
        if (v->choices[i].now >= 0) guesses += guess_of(ui, v, i);
    }
    for (int i = 0; i < linear_count(ui); i++) {
        if (v->choices[i].now < 0) continue;
        const double known = now ? figure_of(v, i) : (double)NAN;
        s->sources[i] = isnan(known) ? COST_STATISTICS : v->linears[i].alone_known ? COST_MEASURED : COST_ESTIMATED;
        s->scaled = s->scaled && (isfinite(known) || isfinite(whole));
        s->guessed += isnan(known);
        s->priced++;
        const double guess = guess_of(ui, v, i) / guesses * (isfinite(whole) ? whole : 1);
        s->costs[i] = cost_of(ui, &v->choices[i], i, isnan(known) ? guess : known);
        s->costs[i].se = isnan(known) ? 0 : error_of(ui, v, i);
    }
    share_noise(ui, v);
}

// ---- rows ---------------------------------------------------------------------------------------------------------

static int place_of_row(const Ui *ui, int linear) {
    const Linear *l = &workbench_structure(ui->workbench)->linears[linear];
    const int linears = linear_count(ui), layer = l->layer + 1;
    switch (ui->sensitivity.fold) {
    case COSTS_OF_EXPERTS: return l->expert < 0 ? linear : linears + layer * ROLE_COUNT + (int)l->role;
    case COSTS_OF_ROLES: return (int)l->role;
    case COSTS_OF_LAYERS: return layer;
    case COSTS_OF_LINEARS:
    case COST_FOLDS: break;
    }
    return linear;
}

static void add_step(const Ui *ui, const BitChoices *c, int linear, int step, double *kl, double *bytes) {
    const int to = c->now + step;
    if (to < 0 || to >= BUDGET_BITS || !(c->bytes[to] > 0)) return;
    const BitCost *cost = &ui->sensitivity.costs[linear];
    *kl += bit_cost_expected(cost, c, to) - cost->kl;
    *bytes += c->bytes[to] - c->bytes[c->now];
}

static void add_to_row(Ui *ui, const SensitivityView *v, CostRow *row, int linear) {
    SensitivityScreen *s = &ui->sensitivity;
    const BitChoices *c = &v->choices[linear];
    const int bits = budget_bits[c->now], chosen = s->chosen[linear] < 0 ? 0 : budget_bits[s->chosen[linear]];
    const bool first = row->count++ == 0;
    if (first) row->first = linear;
    row->source = first || s->sources[linear] < row->source ? s->sources[linear] : row->source;
    row->bits = first || row->bits == bits ? bits : 0;
    row->chosen = first || row->chosen == chosen ? chosen : 0;
    row->marked += ui->rows.marked[linear];
    row->found += *ui->rows.find && ui->rows.found[linear];
    row->held += sensitivity_kept(ui) && s->held[linear];
    row->kl += s->costs[linear].kl;
    row->se = hypot(row->se, error_of(ui, v, linear));
    add_step(ui, c, linear, 1, &row->more_kl, &row->more_bytes);
    add_step(ui, c, linear, -1, &row->fewer_kl, &row->fewer_bytes);
}

// Guesses come last: where they belong among what is measured is not known.
static int by_kl(const void *a, const void *b) {
    const CostRow *x = a, *y = b;
    const int guessed = (x->source == COST_STATISTICS) - (y->source == COST_STATISTICS);
    if (guessed) return guessed;
    return x->kl < y->kl ? 1 : x->kl > y->kl ? -1 : x->first - y->first;
}

static void make_rows(Ui *ui, const SensitivityView *v) {
    SensitivityScreen *s = &ui->sensitivity;
    const int linears = linear_count(ui);
    const size_t layers = (size_t)workbench_structure(ui->workbench)->config.layers + 1;
    int *row_at = array_new((size_t)linears + layers * ROLE_COUNT, sizeof *row_at);
    s->row_count = 0;
    s->largest = 0;
    for (int i = 0; row_at && i < linears; i++) {
        if (v->choices[i].now < 0) continue;
        int *at = &row_at[place_of_row(ui, i)]; // its number + 1
        if (!*at) {
            s->rows[s->row_count] = (CostRow){0};
            *at = ++s->row_count;
        }
        add_to_row(ui, v, &s->rows[*at - 1], i);
    }
    free(row_at);
    for (int i = 0; i < s->row_count; i++) s->largest = fmax(s->largest, s->rows[i].kl);
    if (!s->in_order) qsort(s->rows, (size_t)s->row_count, sizeof *s->rows, by_kl);
}

void sensitivity_row_name(const Ui *ui, const CostRow *row, char *out, size_t size) {
    const Linear *l = &workbench_structure(ui->workbench)->linears[row->first];
    const char *dot = strrchr(l->name, '.');
    char name[128];
    linear_short_name(l, name, sizeof name);
    if (row->count == 1 && ui->sensitivity.fold != COSTS_OF_LAYERS)
        snprintf(out, size, "%s", name);
    else if (ui->sensitivity.fold == COSTS_OF_LAYERS && l->layer < 0)
        snprintf(out, size, "outside layers");
    else if (ui->sensitivity.fold == COSTS_OF_LAYERS)
        snprintf(out, size, "layer %d, %d linears", l->layer, row->count);
    else if (ui->sensitivity.fold == COSTS_OF_ROLES)
        snprintf(out, size, "%s × %d", role_name(l->role), row->count);
    else
        snprintf(out, size, "%d.%s × %d", l->layer, dot ? dot + 1 : l->name, row->count);
}

static int decimals_known(const CostRow *row, double kl) {
    static const int digits[] = {[COST_STATISTICS] = 1, [COST_ESTIMATED] = 2};
    return row->source == COST_MEASURED ? KL_DECIMALS : format_decimals(kl, digits[row->source], KL_DECIMALS);
}

int sensitivity_kl_decimals(const CostRow *row) { return decimals_known(row, row->kl); }

static Short marked_text(const CostRow *row, const Short *figure) {
    Short out;
    snprintf(out.text, sizeof out.text, "%s%.30s", row->source == COST_STATISTICS ? "~" : "", figure->text);
    return out;
}

Short sensitivity_kl_text(const CostRow *row) {
    const Short figure = format_fixed(row->kl, sensitivity_kl_decimals(row));
    return marked_text(row, &figure);
}

// A step was not measured: it is expected from the cost, of which no more is known.
Short sensitivity_change_text(const CostRow *row, double kl) {
    const Short figure =
        format_change(kl, format_decimals(kl, row->source == COST_STATISTICS ? 1 : 2, KL_DECIMALS), "");
    Short out;
    snprintf(out.text, sizeof out.text, "~%.30s", figure.text);
    return out;
}

int sensitivity_index(const Ui *ui) {
    const SensitivityScreen *s = &ui->sensitivity;
    for (int i = 0; i < s->row_count; i++) {
        if (s->rows[i].first == s->selected) return i;
    }
    return s->row_count ? 0 : -1;
}

// ---- the budget ---------------------------------------------------------------------------------------------------

// As it is, where a bound on the divergence cannot be told from shares.
static void choose_nothing(Ui *ui, const SensitivityView *v) {
    SensitivityScreen *s = &ui->sensitivity;
    s->choice = (BudgetChoice){.kl = s->budget.now, .bits_per_weight = workbench_plan(ui->workbench)->bits_per_weight};
    for (int i = 0; i < linear_count(ui); i++) s->chosen[i] = v->choices[i].now;
}

// A bound on the divergence of the whole bounds the sum by as much more or less as they differ now.
static bool choose(Ui *ui, Error *err) {
    SensitivityScreen *s = &ui->sensitivity;
    const double together = sensitivity_together(ui, 1);
    if (!s->by_kl) return budget_within_bits(&s->budget, s->bits + 1e-9, s->chosen, &s->choice, err);
    if (!isnan(together)) return budget_within_kl(&s->budget, s->kl / together, s->chosen, &s->choice, err);
    choose_nothing(ui, workbench_sensitivity(ui->workbench));
    return true;
}

// Of what was tuned, its bits are shown as the chosen ones.
static void show_tuned(Ui *ui, const SensitivityView *v) {
    TuneView tuned;
    workbench_tuned(ui->workbench, &tuned);
    if (!ui->sensitivity.tuned || !tuned.done) return;
    for (int i = 0; i < linear_count(ui); i++) {
        const double bits = recipe_value(tuned.recipe, DIAL_BITS, workbench_structure(ui->workbench)->linears[i].name);
        for (int b = 0; v->choices[i].now >= 0 && b < BUDGET_BITS; b++)
            if (budget_bits[b] == (int)bits) ui->sensitivity.chosen[i] = b;
    }
}

static TuneGoal goal_of(const Ui *ui) {
    const SensitivityScreen *s = &ui->sensitivity;
    TuneGoal goal = {
        .max_bits = s->by_kl ? 0 : s->bits, .max_kl = s->by_kl ? s->kl : 0, .kept = s->takes_back ? NULL : s->held};
    memcpy(goal.bits, budget_bits, sizeof goal.bits);
    return goal;
}

static bool time_search(Ui *ui, Error *err) {
    const TuneGoal goal = goal_of(ui);
    VerdictWish engine;
    const bool aimed = convert_wish(ui, &engine);
    return workbench_tune_seconds(ui->workbench, &goal, aimed ? &engine : NULL, &ui->sensitivity.search_seconds, err);
}

// From the costs that are known: what a budget or another order of rows changes.
static void choose_again(Ui *ui) {
    SensitivityScreen *s = &ui->sensitivity;
    const SensitivityView *v = workbench_sensitivity(ui->workbench);
    Error err = {0};
    if (!s->ready) return;
    s->ready = choose(ui, &err) && time_search(ui, &err);
    if (!ui_report(ui, s->ready, &err)) return;
    show_tuned(ui, v);
    make_rows(ui, v);
    if ((s->selected < 0 || !s->moved) && s->row_count) s->selected = s->rows[0].first;
}

int sensitivity_kept(const Ui *ui) { return ui->sensitivity.takes_back ? 0 : ui->sensitivity.held_count; }

static bool find_held(Ui *ui, Error *err) {
    SensitivityScreen *s = &ui->sensitivity;
    const uint64_t change = workbench_changes(ui->workbench) + 1;
    if (s->held_change == change) return true;
    if (!recipe_held(workbench_recipe(ui->workbench), &workbench_index(ui->workbench)->table, s->held, err))
        return false;
    s->held_change = change;
    s->held_count = 0;
    for (int i = 0; i < linear_count(ui); i++) {
        s->held[i] = s->held[i] && workbench_plan(ui->workbench)->decisions[i].quantized;
        s->held_count += s->held[i];
    }
    return true;
}

void sensitivity_update(Ui *ui) {
    SensitivityScreen *s = &ui->sensitivity;
    const SensitivityView *v = workbench_sensitivity(ui->workbench);
    const Plan *plan = workbench_plan(ui->workbench);
    Error err = {0};
    s->ready = has_choices(ui) && plan->quantized_count > 0;
    if (!s->ready) {
        if (plan->quantized_count == 0) s->row_count = 0;
        return;
    }
    if (s->bits <= 0) s->bits = ceil(plan->bits_per_weight * 100 - 1e-6) / 100; // as now
    if (s->kl <= 0) s->kl = sensitivity_whole(ui) > 0 ? sensitivity_whole(ui) : 0;
    find_costs(ui, v);
    budget_free(&s->budget);
    const bool fused = workbench_recipe(ui->workbench)->value[DIAL_FUSED] != 0;
    const BudgetBounds bounds = {.unit = v->unit, .refused = v->refused, .kept = s->takes_back ? NULL : s->held};
    s->ready = find_held(ui, &err) &&
               budget_make(workbench_structure(ui->workbench), fused, &bounds, v->choices, s->costs, &s->budget, &err);
    if (ui_report(ui, s->ready, &err)) choose_again(ui);
}

// ---- keys: rows ---------------------------------------------------------------------------------------------------

void sensitivity_choose(Ui *ui, int row) {
    SensitivityScreen *s = &ui->sensitivity;
    if (!s->row_count) return;
    row = row < 0 ? 0 : row >= s->row_count ? s->row_count - 1 : row;
    s->selected = s->rows[row].first;
    s->moved = true;
}

void sensitivity_move(Ui *ui, int rows) { sensitivity_choose(ui, sensitivity_index(ui) + rows); }

void sensitivity_move_page(Ui *ui, int pages) {
    const int page = ui->layout.frame.rows - 14;
    sensitivity_move(ui, pages * (page > 1 ? page : 1));
}

void sensitivity_find(Ui *ui) {
    if (ui->sensitivity.ready) make_rows(ui, workbench_sensitivity(ui->workbench));
}

void sensitivity_mark(Ui *ui, int unused) {
    (void)unused;
    SensitivityScreen *s = &ui->sensitivity;
    const int index = sensitivity_index(ui);
    if (index < 0 || !s->ready) return;
    const CostRow row = s->rows[index];
    const int place = place_of_row(ui, row.first);
    for (int i = 0; i < linear_count(ui); i++) {
        if (workbench_sensitivity(ui->workbench)->choices[i].now >= 0 && place_of_row(ui, i) == place)
            rows_mark(&ui->rows, i, row.marked < row.count);
    }
    choose_again(ui);
    sensitivity_move(ui, 1);
}

void sensitivity_fold(Ui *ui, int steps) {
    static const char *const words[] = {"one row for each linear", "experts of a layer are one row",
                                        "one row for each role", "one row for each layer"};
    SensitivityScreen *s = &ui->sensitivity;
    s->fold = (CostFold)(((int)s->fold + steps) % COST_FOLDS);
    if (s->fold == COSTS_OF_EXPERTS && !has_experts(ui)) s->fold = COSTS_OF_ROLES;
    s->selected = -1;
    s->moved = false;
    s->top = 0;
    choose_again(ui);
    ui_say(ui, "%s", words[s->fold]);
}

void sensitivity_sort(Ui *ui, int unused) {
    (void)unused;
    ui->sensitivity.in_order = !ui->sensitivity.in_order;
    choose_again(ui);
    ui_say(ui, ui->sensitivity.in_order ? "in the order of the model" : "by KL alone, largest first");
}

// ---- keys: the budget ---------------------------------------------------------------------------------------------

// Of another budget; what was tuned, and what was said of the choice before, is not of it.
static void choose_anew(Ui *ui) {
    ui->sensitivity.tuned = ui->sensitivity.told_long = false;
    ui->sensitivity.warned = 0;
    choose_again(ui);
}

void sensitivity_turn(Ui *ui, int steps) {
    SensitivityScreen *s = &ui->sensitivity;
    if (s->by_kl)
        s->kl = fmax(s->kl * pow(KL_STEP, steps), LEAST_KL);
    else
        s->bits = fmax(round(s->bits / BITS_STEP + steps) * BITS_STEP, BITS_STEP); // on multiples of the step
    choose_anew(ui);
}

void sensitivity_turn_kind(Ui *ui, int unused) {
    (void)unused;
    SensitivityScreen *s = &ui->sensitivity;
    if (!s->by_kl && !(s->kl > 0)) {
        ui_say(ui, "the divergence of the recipe is not known yet; = types a bound");
        return;
    }
    s->by_kl = !s->by_kl;
    choose_anew(ui);
}

void sensitivity_type_budget(Ui *ui, int unused) {
    (void)unused;
    char text[40];
    const SensitivityScreen *s = &ui->sensitivity;
    snprintf(text, sizeof text, s->by_kl ? "kl %.4g" : "%.4g", s->by_kl ? s->kl : s->bits);
    ui_ask(ui, PROMPT_BUDGET, text);
    ui->editor.fresh = true;
}

void sensitivity_set_budget(Ui *ui, const char *text) {
    SensitivityScreen *s = &ui->sensitivity;
    double value;
    const bool by_kl = strncmp(text, "kl", 2) == 0 || strncmp(text, "KL", 2) == 0;
    screen_go(ui, SCREEN_SENSITIVITY);
    if (!*text) {
        sensitivity_type_budget(ui, 0);
        return;
    }
    const char *number = by_kl ? text + 2 + strspn(text + 2, " =") : text;
    if (!number_parse(number, &value) || !(value > 0) || value > 1e6) {
        ui_fail(ui, "a budget is bits per weight (4.25), or kl and a bound (kl 0.01), not “%.60s”", text);
        return;
    }
    s->by_kl = by_kl;
    *(by_kl ? &s->kl : &s->bits) = value;
    choose_anew(ui);
}

// What the engine that the recipe is for refuses of these bits is mended.
static bool keep_to_engine(const Ui *ui, Recipe *recipe, Error *err) {
    VerdictWish engine;
    return !convert_wish(ui, &engine) || workbench_keep(ui->workbench, &engine, recipe, err);
}

static bool chosen_recipe(const Ui *ui, Recipe *out, Error *err) {
    const SensitivityScreen *s = &ui->sensitivity;
    double *bits = array_new((size_t)linear_count(ui), sizeof *bits);
    bool ok = bits ? recipe_copy(workbench_recipe(ui->workbench), out, err) : error_memory(err, "the recipe");
    for (int i = 0; ok && i < linear_count(ui); i++)
        bits[i] = s->budget.unit_of[i] < 0 ? (double)NAN : budget_bits[s->chosen[i]];
    if (ok && !(ok = recipe_assign(out, workbench_structure(ui->workbench), DIAL_BITS, bits, err) &&
                     keep_to_engine(ui, out, err)))
        recipe_free(out);
    free(bits);
    return ok;
}

// Linears that are kept, but for an engine that does not take them so.
static int kept_changed(const Ui *ui, const Recipe *recipe) {
    int count = 0;
    for (int i = 0; sensitivity_kept(ui) && i < linear_count(ui); i++) {
        const char *name = workbench_structure(ui->workbench)->linears[i].name;
        bool same = true;
        for (Dial dial = 0; ui->sensitivity.held[i] && dial < DIAL_COUNT; dial++)
            same &= !dial_is_of_scheme(dial) || recipe_value(recipe, dial, name) == // NOLINT: the same number or not
                                                    recipe_value(workbench_recipe(ui->workbench), dial, name);
        count += !same;
    }
    return count;
}

// ", and for vllm-sm80 policy token → none (12 linears)": what it does not take with these bits, and of what is kept.
static void what_came_with_it(const Ui *ui, const Recipe *recipe, Text *out) {
    const Target target = convert_target(ui);
    Text changes = {0};
    if (target < TARGET_COUNT &&
        recipe_difference_beside(workbench_recipe(ui->workbench), recipe, workbench_structure(ui->workbench), ", ",
                                 &changes) &&
        changes.data)
        text_addf(out, ", and for %s %s", target_table[target].name, changes.data);
    text_free(&changes);
    const int changed = target < TARGET_COUNT ? kept_changed(ui, recipe) : 0;
    if (changed)
        text_addf(out, ", and %d set by hand changed, which %s does not take", changed, target_table[target].name);
}

// What was tuned, with what was changed since T was pressed, and kept to the engine, which may be another one since.
static bool result_of(const Ui *ui, const TuneView *tuned, Recipe *out, Text *beside, Error *err) {
    Text changes = {0};
    if (!recipe_copy(tuned->recipe, out, err) ||
        !recipe_carry(tuned->began, workbench_recipe(ui->workbench), workbench_index(ui->workbench), out, err))
        return false;
    if (recipe_difference(tuned->recipe, out, workbench_structure(ui->workbench), ", ", &changes) && changes.data)
        text_addf(beside, ", with what was changed since: %s", changes.data);
    text_free(&changes);
    if (!keep_to_engine(ui, out, err)) return false;
    what_came_with_it(ui, out, beside);
    return true;
}

static void put_tuned(Ui *ui, const Recipe *recipe, const char *beside) {
    Error err = {0};
    const bool same = recipe_equal(recipe, workbench_recipe(ui->workbench));
    if (!same && !ui_report(ui, workbench_restore(ui->workbench, recipe, &err), &err)) return;
    ui->sensitivity.tuned = false;
    workbench_forget_tuned(ui->workbench);
    if (same)
        ui_say(ui, "the recipe stays as it is: the search found nothing better");
    else
        ui_say(ui, "what was tuned is in the recipe%s; u undoes it", beside);
    ui_update(ui);
}

static void take_tuned(Ui *ui) {
    TuneView tuned;
    Error err = {0};
    workbench_tuned(ui->workbench, &tuned);
    if (!tuned.done) {
        const JobState state = sensitivity_job(ui, JOB_TUNE);
        ui->sensitivity.tuned = job_is_on(state);
        ui_say(ui, state == JOB_STOPPED ? "nothing was tuned; x goes on with it, Enter takes the budget's choice"
                   : !job_is_on(state)  ? "nothing was tuned; Enter takes the budget's choice"
                   : tuned.ends         ? "the search ends with the best so far: a moment"
                                        : "the search is not done; x ends it with the best so far");
        return;
    }
    Text beside = {0};
    Recipe recipe = {0};
    if (ui_report(ui, result_of(ui, &tuned, &recipe, &beside, &err), &err))
        put_tuned(ui, &recipe, beside.data ? beside.data : "");
    recipe_free(&recipe);
    text_free(&beside);
}

// Linears of which only the noise is known, and which the budget takes bits from.
static int guessed_to_lose(const Ui *ui) {
    const SensitivityScreen *s = &ui->sensitivity;
    const SensitivityView *v = workbench_sensitivity(ui->workbench);
    int count = 0;
    for (int i = 0; i < linear_count(ui); i++)
        count += v->choices[i].now >= 0 && s->sources[i] == COST_STATISTICS && s->chosen[i] < v->choices[i].now;
    return count;
}

void sensitivity_wait_text(const Ui *ui, char *out, size_t size) {
    JobView job;
    workbench_job(ui->workbench, JOB_SENSITIVITY, &job);
    if (job.put_off > 0)
        snprintf(out, size, "m measures, which takes %s", jobs_put_off_text(&job).text);
    else if (job.state == JOB_STOPPED)
        snprintf(out, size, "estimates are stopped, x goes on");
    else if (job.state == JOB_RUNNING && job.seconds_left >= 0)
        snprintf(out, size, "estimates in about %s", format_seconds(job.seconds_left).text);
    else
        snprintf(out, size, "estimates are to come");
}

// The linears that cost most are not told by their noise alone.
static bool guesses_need_a_word(Ui *ui) {
    SensitivityScreen *s = &ui->sensitivity;
    const uint64_t now = workbench_turn(ui->workbench) + 1;
    const int lose = guessed_to_lose(ui);
    char losers[64] = "", wait[64];
    if (!s->guessed || s->warned == now) return false;
    s->warned = now;
    sensitivity_wait_text(ui, wait, sizeof wait);
    if (lose) snprintf(losers, sizeof losers, ", and it takes bits from %d of these", lose);
    ui_say(ui, "provisional: of %d of %d linears only %s known%s; %s; Enter again takes it all the same", s->guessed,
           s->priced, s->carried ? "figures of the recipe before are" : "the noise is", losers, wait);
    return true;
}

static void say_what_was_taken(Ui *ui, bool same, int rules, const char *beside) {
    if (same)
        ui_say(ui, "the recipe has these bits already");
    else
        ui_say(ui, "the chosen bits are in the recipe, with %d override%s%s; u undoes it", rules, rules == 1 ? "" : "s",
               beside);
}

// The fewest bits that the chosen engine takes for a linear, as a place in budget_bits.
static int fewest_taken(const Ui *ui, int linear) {
    int fewest = 0;
    while (fewest + 1 < BUDGET_BITS && workbench_sensitivity(ui->workbench)->refused[linear] >> fewest & 1) fewest++;
    return fewest;
}

// "vllm-sm80 takes no fewer than 4 bits": of all that are quantized, or of so many.
static void engine_text(const Ui *ui, Text *out) {
    const BitChoices *choices = workbench_sensitivity(ui->workbench)->choices;
    int most = 0, count = 0, all = 0;
    for (int i = 0; i < linear_count(ui); i++) {
        if (choices[i].now < 0) continue;
        const int fewest = fewest_taken(ui, i);
        count = fewest > most ? 1 : count + (fewest == most);
        most = fewest > most ? fewest : most;
        all++;
    }
    if (!most) return;
    text_addf(out, "%s takes no fewer than %d bits", target_table[convert_target(ui)].name, budget_bits[most]);
    if (count < all) text_addf(out, " for %d of %d linears", count, all);
}

void sensitivity_unmet_text(const Ui *ui, char *out, size_t size) {
    const SensitivityScreen *s = &ui->sensitivity;
    Text why = {0};
    if (workbench_sensitivity(ui->workbench)->bound_by.targets) engine_text(ui, &why);
    if (sensitivity_kept(ui))
        text_addf(&why, "%s%d set by hand stay%s (K)", why.data ? "; " : "", s->held_count,
                  s->held_count == 1 ? "s" : "");
    snprintf(out, size, "%s", why.data ? why.data : "");
    text_free(&why);
}

static void refuse_budget(Ui *ui) {
    char why[160];
    sensitivity_unmet_text(ui, why, sizeof why);
    ui_fail(ui, "this budget cannot be met%s%s", *why ? ": " : "", why);
}

void sensitivity_take(Ui *ui, int unused) {
    (void)unused;
    SensitivityScreen *s = &ui->sensitivity;
    Recipe recipe = {0};
    Error err = {0};
    if (s->tuned) {
        take_tuned(ui);
        return;
    }
    if (!s->ready) {
        ui_say(ui, "what other bits would cost is being worked out");
        return;
    }
    if (s->by_kl && isnan(sensitivity_together(ui, 1))) {
        ui_say(ui, "the divergence of the recipe is not known yet");
        return;
    }
    if (!s->choice.met) {
        refuse_budget(ui);
        return;
    }
    if (!ui_report(ui, chosen_recipe(ui, &recipe, &err), &err)) return;
    const int rules = recipe.override_count;
    const bool same = recipe_equal(&recipe, workbench_recipe(ui->workbench));
    if (!same && guesses_need_a_word(ui)) {
        recipe_free(&recipe);
        return;
    }
    Text beside = {0};
    what_came_with_it(ui, &recipe, &beside);
    const bool ok = same || workbench_restore(ui->workbench, &recipe, &err);
    recipe_free(&recipe);
    if (ui_report(ui, ok, &err)) {
        say_what_was_taken(ui, same, rules, beside.data ? beside.data : "");
        ui_update(ui);
    }
    text_free(&beside);
}

// ---- keys: jobs ---------------------------------------------------------------------------------------------------

static bool runs(const Ui *ui, JobKind kind) {
    const JobState state = sensitivity_job(ui, kind);
    return job_is_on(state);
}

// What a search keeps, and takes back.
static void say_what_is_kept(Ui *ui, const char *of_engine) {
    const SensitivityScreen *s = &ui->sensitivity;
    const int held = s->held_count;
    char kept[128] = "";
    if (held && s->takes_back)
        snprintf(kept, sizeof kept, "also %d linear%s set by hand may get other bits and groups; K keeps %s", held,
                 held == 1 ? "" : "s", held == 1 ? "it" : "them");
    else if (held)
        snprintf(kept, sizeof kept, "%d linear%s set by hand stay%s; K, and T anew, searches there, too", held,
                 held == 1 ? "" : "s", held == 1 ? "s" : "");
    if (*kept || *of_engine) ui_say(ui, "%s%s%s", kept, *kept && *of_engine ? "; " : "", of_engine);
}

// A search keeps to the bits and groups that the chosen engine takes, binds what it stores as one, and mends what it
// refuses of other dials. It keeps linears that were set by hand.
static void start_tuning(Ui *ui, const TuneGoal *goal) {
    SensitivityScreen *s = &ui->sensitivity;
    VerdictWish engine;
    TuneGoal whole = *goal;
    Error err = {0};
    char aim[80], text[160] = "";
    bool bad;
    const bool aimed = convert_wish(ui, &engine);
    if (!ui_report(ui, find_held(ui, &err), &err)) return;
    whole.kept = s->takes_back ? NULL : s->held;
    if (!ui_report(ui, workbench_tune(ui->workbench, &whole, aimed ? &engine : NULL, &err), &err)) return;
    s->tuned = true;
    s->told_long = false;
    convert_aim_text(ui, false, aim, sizeof aim, &bad);
    if (aimed && bad)
        snprintf(text, sizeof text, "%s now; the search keeps to what it takes, and ends with that mended", aim);
    else if (aimed)
        snprintf(text, sizeof text, "%s: bits and groups that it takes, and what it stores as one (q, k, v) agrees",
                 aim);
    say_what_is_kept(ui, text);
}

void sensitivity_keep(Ui *ui, int unused) {
    (void)unused;
    SensitivityScreen *s = &ui->sensitivity;
    screen_go(ui, SCREEN_SENSITIVITY);
    s->takes_back = !s->takes_back;
    s->warned = 0;
    sensitivity_update(ui);
    if (!s->held_count)
        ui_say(ui, "no override gives bits or groups by hand; what does is %s", s->takes_back ? "taken back" : "kept");
    else
        ui_say(ui, "%d linear%s set by hand %s", s->held_count, s->held_count == 1 ? "" : "s",
               s->takes_back ? "may get other bits and groups" : "stay as they are");
}

static bool is_for_engine(const Ui *ui, const TuneGoal *goal) {
    VerdictWish engine;
    if (!convert_wish(ui, &engine)) return goal->engines.count == 0;
    return goal->engines.count == 1 && verdict_wish_equal(&goal->engines.wishes[0], &engine);
}

#define LONG_SECONDS 600

// A long search begins when it is asked for again.
static bool length_needs_a_word(Ui *ui) {
    SensitivityScreen *s = &ui->sensitivity;
    if (!(s->search_seconds > LONG_SECONDS) || s->told_long || runs(ui, JOB_TUNE)) return false;
    s->told_long = true;
    ui_say(ui, "a search takes about %s; T again begins it, and x ends it with the best so far",
           format_seconds(s->search_seconds).text);
    return true;
}

void sensitivity_tune(Ui *ui, int unused) {
    (void)unused;
    SensitivityScreen *s = &ui->sensitivity;
    screen_go(ui, SCREEN_SENSITIVITY);
    const TuneGoal goal = goal_of(ui);
    if (!(goal.max_bits > 0 || goal.max_kl > 0)) {
        ui_say(ui, "set a budget first: = types it");
        return;
    }
    TuneView view;
    workbench_tuned(ui->workbench, &view);
    if (view.done && !s->tuned && is_for_engine(ui, &view.goal) && view.goal.max_bits == goal.max_bits &&
        view.goal.max_kl == goal.max_kl) {
        s->tuned = true; // it is there already
        choose_again(ui);
        return;
    }
    if (!length_needs_a_word(ui)) start_tuning(ui, &goal);
}

// Ends a search, or goes on with one that was stopped or cut short. False: none is there.
static bool stop_tuning(Ui *ui) {
    TuneView view;
    workbench_tuned(ui->workbench, &view);
    const bool best = isfinite(view.tuned.best_kl);
    if (runs(ui, JOB_TUNE)) {
        char rest[96];
        workbench_stop_job(ui->workbench, JOB_TUNE);
        jobs_rest_text(ui, JOB_TUNE, rest, sizeof rest);
        if (best && !view.ends) // which it still works at
            ui_say(ui, "tuning ends with the best so far");
        else
            ui_say(ui, "tuning stopped; x goes on%s", rest);
    } else if (sensitivity_job(ui, JOB_TUNE) == JOB_STOPPED) {
        workbench_resume_study(ui->workbench, JOB_TUNE);
        ui->sensitivity.tuned = true;
        ui_say(ui, "tuning goes on");
    } else if (view.done && view.tuned.cut == TUNE_STOPPED && ui->sensitivity.tuned && !view.changes) {
        ui_say(ui, "tuning goes on");
        start_tuning(ui, &view.goal);
    } else {
        return false;
    }
    return true;
}

void sensitivity_measure_on(Ui *ui, int unused) {
    (void)unused;
    screen_go(ui, SCREEN_SENSITIVITY);
    jobs_measure(ui, JOB_SENSITIVITY);
}

void sensitivity_stop(Ui *ui, int unused) {
    (void)unused;
    if (stop_tuning(ui)) return;
    if (runs(ui, JOB_SENSITIVITY)) {
        char rest[96];
        workbench_stop_job(ui->workbench, JOB_SENSITIVITY);
        jobs_rest_text(ui, JOB_SENSITIVITY, rest, sizeof rest);
        ui_say(ui, "measuring stopped; x goes on%s", rest);
    } else if (sensitivity_job(ui, JOB_SENSITIVITY) == JOB_STOPPED) {
        workbench_resume_study(ui->workbench, JOB_SENSITIVITY);
    } else {
        ui_say(ui, "nothing is being measured; 6 goes to Convert");
    }
}
