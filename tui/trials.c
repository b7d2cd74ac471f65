#include "tui/trials.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "quant/difference.h"
#include "tui/format.h"
#include "tui/panels.h"

const TrialColumnInfo trial_column_table[] = {
    [TRIAL_NUMBER] = {"#", 5, true, 'n', "in the order in which they were tried"},
    [TRIAL_BITS] = {"bits", 6, false, 'b', "bits per quantized weight"},
    [TRIAL_SIZE] = {"size", 9, false, 'z', "of the whole model"},
    [TRIAL_KL] = {"KL", 8, false, 'k', "divergence from the base"},
    [TRIAL_AGAINST] = {"against A", 18, false, 'a', "divergence above that of A"},
    [TRIAL_PPL] = {"ppl", 7, false, 'p', "perplexity on the evaluation tokens"},
    [TRIAL_TOP1] = {"top-1", 8, true, '1', "share of tokens whose first choice stays"},
    [TRIAL_SPEED] = {"tok/s", 10, true, 't', "times the base's speed"},
};
static_assert(sizeof trial_column_table / sizeof *trial_column_table == TRIAL_COLUMN_COUNT, "a column has no row");

const char *const trial_side_names[] = {"base", "A", "B"};

static const Trials *all(const Ui *ui) { return workbench_trials(ui->workbench); }

// ---- order --------------------------------------------------------------------------------------------------------

static double figure_of(const TrialRow *row, TrialColumn column) {
    const TrialFigures *f = row->figures;
    switch (column) {
    case TRIAL_NUMBER: return row->number;
    case TRIAL_BITS: return f->bits_per_weight;
    case TRIAL_SIZE: return (double)f->bytes;
    case TRIAL_KL:
    case TRIAL_AGAINST: return f->accuracy.kl_mean;
    case TRIAL_PPL: return f->accuracy.ppl;
    case TRIAL_TOP1: return f->accuracy.top1;
    case TRIAL_SPEED: return f->timed ? f->speed.ratio.median : NAN;
    case TRIAL_COLUMN_COUNT: break;
    }
    return NAN;
}

// Unknown figures come last, whichever way round.
static bool comes_before(double a, double b, bool falling) {
    if (isnan(a) || isnan(b)) return !isnan(a) && isnan(b);
    return falling ? a > b : a < b;
}

void trials_order(const Ui *ui, TrialOrder *out) {
    const Trials *trials = all(ui);
    const TrialsView *view = &ui->trials;
    const bool falling = trial_column_table[view->sort].falling != view->reversed;
    double figures[TRIALS_SHOWN_MOST];
    out->count = 0;
    if (!trials->present) out->numbers[out->count++] = 0;
    const int first = out->count;
    for (size_t i = trials->count; i > 0 && out->count < TRIALS_SHOWN_MOST; i--) {
        const TrialRow *row = &trials->rows[i - 1];
        const double figure = figure_of(row, view->sort);
        int at = out->count++;
        for (; at > first && comes_before(figure, figures[at - 1], falling); at--) {
            out->numbers[at] = out->numbers[at - 1];
            figures[at] = figures[at - 1];
        }
        out->numbers[at] = row->number;
        figures[at] = figure;
    }
}

TrialName trials_name(const Ui *ui, uint32_t number) {
    const TrialRow *row = trials_row(all(ui), number);
    TrialName name;
    snprintf(name.text, sizeof name.text, "%s%u", row && row->earlier ? "e" : "#", number);
    return name;
}

int trials_place(const TrialOrder *order, uint32_t number) {
    for (int i = 0; i < order->count; i++)
        if (order->numbers[i] == number) return i;
    return -1;
}

uint32_t trials_selected(const Ui *ui) {
    const uint32_t number = ui->trials.selected;
    return number && trials_row(all(ui), number) ? number : all(ui)->present;
}

// ---- A and B ------------------------------------------------------------------------------------------------------

const TrialRow *trials_compared(const Ui *ui, TrialSide side) {
    const Trials *trials = all(ui);
    const TrialsView *view = &ui->trials;
    const TrialRow *row = trials_row(trials, side == SIDE_A ? view->a : view->b);
    if (row || side == SIDE_B) return row ? row : trials_row(trials, trials->present);
    row = ui->pin.set ? trials_row(trials, ui->pin.trial) : NULL;
    return row ? row : trials_row(trials, trials->start);
}

// Whether B is the present state, measured or not.
static bool b_is_present(const Ui *ui) { return !trials_row(all(ui), ui->trials.b); }

const char *trials_present_words(Ui *ui) {
    TrialsView *view = &ui->trials;
    const uint64_t changes = workbench_changes(ui->workbench) + 1;
    if (view->words_of == changes) return view->words;
    char *words = trials_difference(all(ui), workbench_recipe(ui->workbench), workbench_structure(ui->workbench));
    snprintf(view->words, sizeof view->words, "%s", words ? words : "");
    text_mend(view->words);
    free(words);
    view->words_of = changes;
    return view->words;
}

// ---- the difference of two recipes --------------------------------------------------------------------------------

static const char *sign_of(double change, double noise) { return fabs(change) <= noise ? "≈" : change < 0 ? "✓" : "✗"; }

void trials_against_text(const TrialDifference *d, int most, bool ascii, char *out, size_t size) {
    const int wished = kl_decimals(d->se), decimals = wished < most ? wished : most;
    const char *blank = ascii ? "" : " "; // "±" takes two columns there
    snprintf(out, size, d->paired ? "%s%s±%s %s" : "%s%s(±%s) %s", format_change(d->mean, decimals, "").text, blank,
             format_fixed(d->se, decimals).text, sign_of(d->mean, 2 * d->se));
}

static void add_comparison(Text *out, bool ascii, const TrialFigures *a, const TrialFigures *b) {
    const TrialDifference kl = trial_difference(a, b);
    const double bytes = (double)b->bytes - (double)a->bytes;
    char text[96];
    trials_against_text(&kl, 6, ascii, text, sizeof text);
    text_addf(out, "\nsize %s → %s (%s%s)\n", format_bytes((double)a->bytes).text, format_bytes((double)b->bytes).text,
              bytes < 0 ? "−" : "+", format_bytes(fabs(bytes)).text);
    text_addf(out, "bits/weight %.2f → %.2f\n", a->bits_per_weight, b->bits_per_weight);
    text_addf(out, "KL %s → %s, %s\n", format_fixed(a->accuracy.kl_mean, 4).text,
              format_fixed(b->accuracy.kl_mean, 4).text, text);
    text_addf(out, "perplexity %s → %s\n", format_figure(a->accuracy.ppl, 4).text,
              format_figure(b->accuracy.ppl, 4).text);
    text_addf(out, "top-1 %s → %s", format_percent(a->accuracy.top1).text, format_percent(b->accuracy.top1).text);
}

const char *trials_compared_words(Ui *ui) {
    const TrialRow *a = trials_compared(ui, SIDE_A), *b = trials_compared(ui, SIDE_B);
    TrialsView *view = &ui->trials;
    if (!a || !b) return "both have to be measured first";
    const uint64_t of[] = {a->recipe_key, b->recipe_key, a->figures->model, b->figures->model};
    if (view->difference_words.data && memcmp(of, view->difference_of, sizeof of) == 0)
        return view->difference_words.data;
    Text text = {0};
    if (!recipe_difference(&a->recipe, &b->recipe, workbench_structure(ui->workbench), "\n", &text) && !text.failed)
        text_addf(&text, "A and B do the same to every linear");
    add_comparison(&text, ui->canvas.ascii, a->figures, b->figures);
    text_free(&view->difference_words);
    if (text.failed) text_free(&text);
    view->difference_words = text;
    memcpy(view->difference_of, of, sizeof of);
    return text.data;
}

// ---- texts --------------------------------------------------------------------------------------------------------

TrialText trials_text(const Ui *ui, TrialSide side) {
    const Effect *effect = workbench_effect(ui->workbench);
    const char *prompt = workbench_prompt(ui->workbench);
    const size_t most = workbench_tokens(ui->workbench);
    if (side == SIDE_BASE) {
        const DecodeText *base = effect->base.known ? &effect->base : NULL;
        return (TrialText){base, prompt, !effect->base.finished, base && base->count >= most};
    }
    const TrialRow *row = trials_compared(ui, side);
    const bool present = side == SIDE_B && b_is_present(ui);
    if (present || (row && row->number == all(ui)->present)) {
        const bool now = effect->quantized.known && effect->decode_turn == workbench_turn(ui->workbench);
        if (now || !row || !row->figures->prompt)
            return (TrialText){now ? &effect->quantized : NULL, prompt, !now || !effect->quantized.finished,
                               now && effect->quantized.count >= most};
    }
    const bool waits = row && workbench_writes_text(ui->workbench, row->number);
    if (!row || !row->figures->prompt) return (TrialText){NULL, "", waits, false};
    const TrialFigures *f = row->figures;
    return (TrialText){&f->text, f->prompt, waits, f->asked <= f->text.count};
}

static bool goes_on(const TrialText *text) { return text->waits || text->cut; }

size_t trials_parting(const TrialText *text, const TrialText *other) {
    if (!text->text || !other->text || strcmp(text->prompt, other->prompt) != 0) return SIZE_MAX;
    const size_t at = decode_text_difference(text->text, other->text);
    const bool a_ends = at == text->text->count, b_ends = at == other->text->count;
    if (a_ends && b_ends) return SIZE_MAX;
    if ((a_ends && goes_on(text)) || (b_ends && goes_on(other))) return SIZE_MAX; // more would be the same, or not
    return at;
}

TrialSide trials_text_shown(const Ui *ui, int column) {
    const TrialsLayout l = layout_trials(&ui->layout, ui->zoomed);
    if (l.text_count == SIDE_COUNT) return (TrialSide)column;
    if (column) return SIDE_B;
    // The base takes the place of A where A says nothing that B does not.
    const TrialRow *a = trials_compared(ui, SIDE_A);
    return a && a != trials_compared(ui, SIDE_B) ? SIDE_A : SIDE_BASE;
}

size_t trials_token(const Ui *ui) {
    const TrialText text = trials_text(ui, (TrialSide)(ui->trials.pane - 1));
    const size_t count = text.text ? text.text->count : 0;
    return ui->trials.token < count ? ui->trials.token : count ? count - 1 : 0;
}

static bool is_shown(const Ui *ui, TrialSide side) {
    const TrialsLayout l = layout_trials(&ui->layout, ui->zoomed);
    for (int i = 0; i < l.text_count; i++)
        if (trials_text_shown(ui, i) == side) return true;
    return false;
}

// Where one of the texts parts from another one; their beginning where none does.
static size_t first_difference(const Ui *ui) {
    const TrialText base = trials_text(ui, SIDE_BASE), a = trials_text(ui, SIDE_A), b = trials_text(ui, SIDE_B);
    const size_t at[] = {trials_parting(&a, &base), trials_parting(&b, &base), trials_parting(&b, &a)};
    size_t first = SIZE_MAX;
    for (int i = 0; i < 3; i++) first = at[i] < first ? at[i] : first;
    return first == SIZE_MAX ? 0 : first;
}

void trials_settle(Ui *ui) {
    TrialsView *view = &ui->trials;
    if (!view->pane) return;
    if (!is_shown(ui, (TrialSide)(view->pane - 1))) view->pane = 1 + (int)trials_text_shown(ui, 0);
    const TrialRow *rows[] = {trials_compared(ui, SIDE_A), trials_compared(ui, SIDE_B)};
    const uint32_t pair[] = {rows[0] ? rows[0]->number : 0, rows[1] ? rows[1]->number : 0};
    if (memcmp(pair, view->pair, sizeof pair) != 0) view->token = first_difference(ui);
    memcpy(view->pair, pair, sizeof pair);
}

static void move_token(Ui *ui, long steps) {
    const TrialText text = trials_text(ui, (TrialSide)(ui->trials.pane - 1));
    const long last = text.text ? (long)text.text->count - 1 : 0, to = (long)trials_token(ui) + steps;
    ui->trials.token = (size_t)(to < 0 ? 0 : to > last ? (last < 0 ? 0 : last) : to);
}

// ---- keys ---------------------------------------------------------------------------------------------------------

void trials_open(Ui *ui) {
    ui->trials.selected = 0;
    ui->trials.pane = 0;
}

void trials_leave(Ui *ui) { workbench_look_at_texts(ui->workbench, 0, 0); }

enum { ZOOMED_TABLE = 1, ZOOMED_TEXTS };

void trials_follow_zoom(Ui *ui) {
    TrialsView *view = &ui->trials;
    if (ui->zoomed == ZOOMED_TEXTS && !view->difference && !view->pane) view->pane = 1 + SIDE_BASE;
    if (ui->zoomed && ui->zoomed != ZOOMED_TEXTS) view->pane = 0;
    trials_settle(ui);
}

void trials_scroll(Ui *ui, int columns) {
    const int most = TRIAL_COLUMN_COUNT - TRIAL_BITS - 1, to = ui->trials.scrolled + columns;
    ui->trials.scrolled = to < 0 ? 0 : to > most ? most : to;
}

void trials_choose(Ui *ui, uint32_t number) {
    ui->trials.selected = number == all(ui)->present ? 0 : number;
    ui->trials.pane = 0;
}

static void choose_at(Ui *ui, int place) {
    TrialOrder order;
    trials_order(ui, &order);
    if (!order.count) return;
    const int last = order.count - 1;
    trials_choose(ui, order.numbers[place < 0 ? 0 : place > last ? last : place]);
}

static int place_now(const Ui *ui) {
    TrialOrder order;
    trials_order(ui, &order);
    return trials_place(&order, trials_selected(ui));
}

#define TOKENS_OF_LINE 8 // about so many

void trials_move(Ui *ui, int steps) {
    if (ui->trials.pane)
        move_token(ui, steps * TOKENS_OF_LINE);
    else
        choose_at(ui, place_now(ui) + steps);
}

void trials_move_sideways(Ui *ui, int steps) {
    if (ui->trials.pane)
        move_token(ui, steps);
    else
        trials_scroll(ui, steps);
}

void trials_page(Ui *ui, int pages) {
    const TrialsLayout l = layout_trials(&ui->layout, ui->zoomed);
    trials_move(ui, pages * (ui->trials.pane ? l.text[0].rows - 1 : l.table.rows > 2 ? l.table.rows - 2 : 1));
}

void trials_end(Ui *ui, int direction) {
    if (ui->trials.pane)
        move_token(ui, direction < 0 ? -1000000000L : 1000000000L);
    else
        choose_at(ui, direction < 0 ? 0 : TRIALS_SHOWN_MOST);
}

void trials_next_pane(Ui *ui, int steps) {
    ui->trials.difference = false;
    const TrialsLayout l = layout_trials(&ui->layout, ui->zoomed);
    do ui->trials.pane = (ui->trials.pane + 1 + SIDE_COUNT + steps) % (1 + SIDE_COUNT);
    while (l.texts.rows && ui->trials.pane && !is_shown(ui, (TrialSide)(ui->trials.pane - 1)));
    if (ui->zoomed) ui->zoomed = ui->trials.pane ? ZOOMED_TEXTS : ZOOMED_TABLE;
    trials_settle(ui);
}

void trials_take(Ui *ui, int unused) {
    (void)unused;
    const uint32_t number = trials_selected(ui);
    const TrialRow *row = trials_row(all(ui), number);
    Error err = {0};
    if (!row || number == all(ui)->present) {
        ui_say(ui, "this is the present recipe; choose another row");
        return;
    }
    if (!ui_report(ui, workbench_restore(ui->workbench, &row->recipe, &err), &err)) return;
    const TrialName name = trials_name(ui, number); // it may get another by being come back to
    ui->trials.selected = 0;
    ui_update(ui); // first: that it is the model of this row need not be told
    ui_say(ui, "the recipe of %s; u undoes it", name.text);
}

static void keep_compared(Ui *ui) {
    const TrialRow *a = trials_compared(ui, SIDE_A), *b = trials_compared(ui, SIDE_B);
    workbench_compare_trials(ui->workbench, a ? a->number : 0, b ? b->number : 0);
}

// The newest row of this recipe: measured anew it has another number. 0: none.
static uint32_t row_of_recipe(const Trials *trials, uint64_t recipe) {
    uint32_t number = 0;
    for (size_t i = 0; i < trials->count; i++)
        if (trials->rows[i].recipe_key == recipe) number = trials->rows[i].number;
    return number;
}

void trials_recompare(Ui *ui) {
    TrialsView *view = &ui->trials;
    for (int side = 0; side < 2; side++) {
        const uint32_t number = view->wanted[side] ? row_of_recipe(all(ui), view->wanted[side]) : 0;
        if (!number) continue;
        *(side ? &view->b : &view->a) = number;
        view->wanted[side] = 0;
        keep_compared(ui);
    }
}

void trials_compare_with(Ui *ui, int side) {
    uint32_t *chosen = side == SIDE_A ? &ui->trials.a : &ui->trials.b;
    const uint32_t number = trials_selected(ui);
    if (!number) {
        ui_say(ui, "this state is not measured yet");
        return;
    }
    *chosen = *chosen == number ? 0 : number;
    ui->trials.wanted[side == SIDE_A ? 0 : 1] = 0;
    keep_compared(ui);
    if (*chosen)
        ui_say(ui, "%s is %s; %s again takes that back", trials_name(ui, number).text, side == SIDE_A ? "A" : "B",
               side == SIDE_A ? "a" : "b");
    else
        ui_say(ui, side == SIDE_A ? "A is the pin, or what the program started with" : "B is the present state");
}

void trials_toggle_difference(Ui *ui, int unused) {
    (void)unused;
    ui->trials.difference = !ui->trials.difference;
    ui->trials.pane = 0;
    if (ui->zoomed) ui->zoomed = ui->trials.difference ? ZOOMED_TEXTS : ZOOMED_TABLE;
}

void trials_ask_drop(Ui *ui, int unused) {
    (void)unused;
    const uint32_t number = trials_selected(ui);
    if (!number || number == all(ui)->present) {
        ui_say(ui, "the present state stays; other rows can be forgotten");
        return;
    }
    ui->trials.asked = number;
    ui_ask(ui, PROMPT_FORGET, "");
}

void trials_drop(Ui *ui) {
    const TrialName name = trials_name(ui, ui->trials.asked);
    const int place = place_now(ui);
    workbench_forget_trial(ui->workbench, ui->trials.asked);
    choose_at(ui, place);
    keep_compared(ui);
    ui_say(ui, "%s is forgotten", name.text);
}

void trials_ask_note(Ui *ui, int unused) {
    (void)unused;
    const TrialRow *row = trials_row(all(ui), trials_selected(ui));
    if (!row) {
        ui_say(ui, "this state is not measured yet");
        return;
    }
    ui->trials.asked = row->number;
    ui_ask(ui, PROMPT_NOTE, row->note);
}

void trials_take_note(Ui *ui, const char *note) {
    Error err = {0};
    ui_report(ui, workbench_note_trial(ui->workbench, ui->trials.asked, note, &err), &err);
}

static void say_order(Ui *ui) {
    const TrialColumnInfo *column = &trial_column_table[ui->trials.sort];
    ui_say(ui, "by %s (%s), %s first", column->title, column->help,
           column->falling != ui->trials.reversed ? "largest" : "smallest");
}

void trials_sort_by(Ui *ui, int column) {
    ui->trials.reversed = ui->trials.sort == (TrialColumn)column ? !ui->trials.reversed : false;
    ui->trials.sort = (TrialColumn)column;
    say_order(ui);
}

void trials_reverse(Ui *ui, int unused) {
    (void)unused;
    trials_sort_by(ui, (int)ui->trials.sort);
}

bool trials_close_view(Ui *ui) {
    const bool open = ui->trials.difference || ui->trials.pane;
    ui->trials.difference = false;
    ui->trials.pane = 0;
    return open;
}
