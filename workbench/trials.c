#include "workbench/trials.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "quant/difference.h"

// ---- finding ------------------------------------------------------------------------------------------------------

static size_t index_of(const Trials *trials, uint32_t number) {
    size_t i = 0;
    while (i < trials->count && trials->rows[i].number != number) i++;
    return i;
}

static TrialRow *row_of(Trials *trials, uint32_t number) {
    const size_t i = index_of(trials, number);
    return i < trials->count ? &trials->rows[i] : NULL;
}

const TrialRow *trials_row(const Trials *trials, uint32_t number) {
    const size_t i = index_of(trials, number);
    return i < trials->count ? &trials->rows[i] : NULL;
}

// Comparing recipes of thousands of rules with each row would take too long for a dial that is held down.
uint64_t trial_recipe_key(const Recipe *recipe) {
    uint64_t hash = hash_bytes(HASH_START, recipe->value, sizeof recipe->value);
    for (int i = 0; i < recipe->ignore_count; i++) hash = hash_text(hash, recipe->ignore[i]);
    for (int i = 0; i < recipe->override_count; i++) {
        const Override *override = &recipe->overrides[i];
        hash = hash_text(hash, override->match);
        for (int dial = 0; dial < DIAL_COUNT; dial++)
            if (override->set[dial]) hash = hash_bytes(hash, &override->value[dial], sizeof override->value[dial]);
    }
    return hash;
}

const TrialRow *trials_of_recipe(const Trials *trials, const Recipe *recipe) {
    const uint64_t key = trial_recipe_key(recipe);
    for (size_t i = trials->count; i > 0; i--) {
        const TrialRow *row = &trials->rows[i - 1];
        if (row->recipe_key == key && recipe_equal(&row->recipe, recipe)) return row;
    }
    return NULL;
}

const TrialFigures *trials_of_model(const Trials *trials, uint64_t model) {
    for (size_t i = 0; i < trials->count; i++)
        if (trials->rows[i].figures->model == model) return trials->rows[i].figures;
    return NULL;
}

const TrialRow *trials_row_for(const Trials *trials, const Recipe *recipe, uint64_t model) {
    const TrialRow *row = trials_of_recipe(trials, recipe), *before = trials_row(trials, trials->before);
    if (row) return row;
    if (before && before->figures->model == model) return before;
    for (size_t i = 0; trials->rows && i < trials->count; i++)
        if (trials->rows[i].figures->model == model) return &trials->rows[i];
    return NULL;
}

// A plan holds ranges, but not the maxima of channels, which equalization takes its factors from. Other tokens would
// show in these figures of the inputs, too.
static uint64_t hash_inputs(uint64_t hash, const Measured *measured) {
    for (int i = 0; i < measured->input_count; i++) {
        const InputMeasure *input = &measured->inputs[i];
        const double figures[] = {(double)input->tokens, input->known ? input->range : 0,
                                  input->known ? input->p99_9 : 0};
        hash = hash_bytes(hash, figures, sizeof figures);
    }
    return hash;
}

uint64_t trial_model(const Plan *plan, const Measured *measured) {
    const uint64_t hash = plan_hash(plan);
    for (int i = 0; i < plan->linear_count; i++) {
        const Decision *d = &plan->decisions[i];
        if (d->quantized && (d->lae || d->smooth)) return hash_inputs(hash, measured);
    }
    return hash;
}

// ---- figures ------------------------------------------------------------------------------------------------------

static void figures_release(TrialFigures *figures) {
    if (!figures || --figures->rows > 0) return;
    free(figures->by_position);
    free(figures->prompt);
    decode_text_free(&figures->text);
    free(figures);
}

static float *positions_copy(const float *from, size_t n) {
    float *copy = from ? array_new(POSITION_FIGURES * n + 1, sizeof *copy) : NULL;
    if (copy) memcpy(copy, from, POSITION_FIGURES * n * sizeof *copy);
    return copy;
}

// Those of this model, which some row has already, or new ones; NULL when memory is short.
static TrialFigures *figures_take(const Trials *trials, const TrialState *state) {
    TrialFigures *figures = (TrialFigures *)trials_of_model(trials, state->model);
    if (!figures) figures = calloc(1, sizeof *figures);
    if (!figures) return NULL;
    figures->rows++;
    figures->model = state->model;
    figures->provisional = state->plan->provisional;
    figures->bits_per_weight = state->plan->bits_per_weight;
    figures->bytes = state->plan->bytes;
    figures->accuracy = *state->accuracy;
    if (!figures->by_position) {
        figures->by_position = positions_copy(state->by_position, state->positions);
        figures->positions = figures->by_position ? state->positions : 0;
    }
    return figures;
}

// ---- rows ---------------------------------------------------------------------------------------------------------

static void row_free(TrialRow *row) {
    recipe_free(&row->recipe);
    figures_release(row->figures);
    free(row->what);
    free(row->note);
    *row = (TrialRow){0};
}

void trials_free(Trials *trials) {
    for (size_t i = 0; i < trials->count; i++) row_free(&trials->rows[i]);
    free(trials->rows);
    recipe_free(&trials->first);
    *trials = (Trials){0};
}

bool trials_begin(Trials *trials, const Recipe *recipe, Error *err) {
    Recipe copy;
    if (!recipe_copy(recipe, &copy, err)) return false;
    recipe_free(&trials->first);
    trials->first = copy;
    trials->begun = true;
    const TrialRow *row = trials_of_recipe(trials, recipe);
    trials->start = row && !row->earlier ? row->number : 0;
    return true;
}

static bool is_needed(const Trials *trials, uint32_t number) {
    return number == trials->present || number == trials->compared[0] || number == trials->compared[1];
}

static void remove_at(Trials *trials, size_t i) {
    row_free(&trials->rows[i]);
    trials->count--;
    memmove(&trials->rows[i], &trials->rows[i + 1], (trials->count - i) * sizeof *trials->rows);
    trials->changes++;
}

// The oldest that nobody named, or of those with names, but not one that is looked at.
static bool drop_one(Trials *trials) {
    for (int named = 0; named < 2; named++) {
        for (size_t i = 0; i < trials->count; i++) {
            const TrialRow *row = &trials->rows[i];
            if (is_needed(trials, row->number) || (*row->note && !named)) continue;
            remove_at(trials, i);
            return true;
        }
    }
    return false;
}

static size_t positions_bytes(const Trials *trials) {
    size_t bytes = 0;
    for (size_t i = 0; i < trials->count; i++) {
        const TrialFigures *f = trials->rows[i].figures;
        bool counted = false;
        for (size_t j = 0; j < i && !counted; j++) counted = trials->rows[j].figures == f;
        if (!counted) bytes += POSITION_FIGURES * f->positions * sizeof *f->by_position;
    }
    return bytes;
}

static bool figures_needed(const Trials *trials, const TrialFigures *figures) {
    for (size_t i = 0; i < trials->count; i++)
        if (trials->rows[i].figures == figures && is_needed(trials, trials->rows[i].number)) return true;
    return false;
}

static void drop_positions(Trials *trials) {
    size_t bytes = positions_bytes(trials);
    for (size_t i = 0; i < trials->count && bytes > TRIALS_POSITIONS_BYTES; i++) {
        TrialFigures *f = trials->rows[i].figures;
        if (!f->positions || figures_needed(trials, f)) continue;
        bytes -= POSITION_FIGURES * f->positions * sizeof *f->by_position;
        free(f->by_position);
        f->by_position = NULL;
        f->positions = 0;
    }
}

static void keep_bounds(Trials *trials) {
    while (trials->count > TRIALS_MOST && drop_one(trials)) {
    }
    drop_positions(trials);
}

static bool is_first(const Trials *trials, const Recipe *recipe) {
    return trials->begun && recipe_equal(recipe, &trials->first);
}

char *trials_difference(const Trials *trials, const Recipe *recipe, const ModelStructure *structure) {
    const TrialRow *before = trials_row(trials, trials->before);
    const Recipe *from = before ? &before->recipe : trials->begun ? &trials->first : NULL;
    Text text = {0};
    if (!from || is_first(trials, recipe)) return strdup("start");
    if (!recipe_difference(from, recipe, structure, ", ", &text) && !text.failed)
        text_addf(&text, "other rules for the same");
    if (!text.failed) return text.data;
    text_free(&text);
    return NULL;
}

static TrialRow *row_new(Trials *trials, const TrialState *state, const ModelStructure *structure) {
    TrialRow row = {.number = trials->last + 1, .from = trials->before, .recipe_key = trial_recipe_key(state->recipe)};
    if (!array_grow(&trials->rows, trials->count, &trials->capacity, sizeof row)) return NULL;
    if (is_first(trials, state->recipe)) row.from = 0;
    row.what = trials_difference(trials, state->recipe, structure);
    row.note = strdup("");
    if (!row.what || !row.note || !recipe_copy(state->recipe, &row.recipe, NULL) ||
        !(row.figures = figures_take(trials, state))) {
        row_free(&row);
        return NULL;
    }
    trials->rows[trials->count] = row;
    trials->last = row.number;
    return &trials->rows[trials->count++];
}

static void make_present(Trials *trials, TrialRow *row) {
    trials->present = trials->before = row->number;
    if ((!trials->begun || is_first(trials, &row->recipe)) && !trials_row(trials, trials->start))
        trials->start = row->number;
    if (row->earlier) trials->changes++;
    row->earlier = false;
}

// present: it is the state of now.
static uint32_t record(Trials *trials, const TrialState *state, const ModelStructure *structure, bool present) {
    TrialRow *row = (TrialRow *)trials_row_for(trials, state->recipe, state->model);
    const bool known = row && row->figures->model == state->model &&
                       row->figures->provisional == state->plan->provisional && row->figures->accuracy.tokens;
    if (row && !known) {
        TrialFigures *figures = figures_take(trials, state);
        if (!figures) return 0;
        figures_release(row->figures);
        row->figures = figures;
    }
    if (!row) row = row_new(trials, state, structure);
    if (!row) return 0;
    const uint32_t number = row->number;
    if (present) make_present(trials, row);
    if (is_first(trials, state->recipe) && !trials_row(trials, trials->start)) trials->start = number;
    if (known) return number;
    trials->changes++;
    keep_bounds(trials);
    return number;
}

uint32_t trials_record(Trials *trials, const TrialState *state, const ModelStructure *structure) {
    return record(trials, state, structure, true);
}

uint32_t trials_record_other(Trials *trials, const TrialState *state, const ModelStructure *structure) {
    return record(trials, state, structure, false);
}

static TrialFigures *present_figures(Trials *trials) {
    TrialRow *row = row_of(trials, trials->present);
    return row ? row->figures : NULL;
}

static bool is_after(const TrialFigures *f, const char *prompt) { return f->prompt && strcmp(f->prompt, prompt) == 0; }

// One that is written again from its beginning is the same: the longer one stays.
void trials_add_text(Trials *trials, uint64_t model, const char *prompt, const DecodeText *text, size_t asked) {
    TrialFigures *f = (TrialFigures *)trials_of_model(trials, model);
    const bool after = f && is_after(f, prompt), longer = after && f->text.count >= text->count;
    if (!f || (longer && (!text->finished || (f->text.finished && f->asked >= asked)))) return;
    char *copy = strdup(prompt);
    if (!copy || !decode_text_copy(text, &f->text)) {
        free(copy);
        return;
    }
    free(f->prompt);
    f->prompt = copy;
    f->asked = text->finished ? asked : 0;
    trials->changes += text->finished;
}

bool trial_text_is_whole(const TrialFigures *f, const char *prompt, size_t most) {
    return is_after(f, prompt) && f->text.finished && (f->text.count >= most || f->asked >= most);
}

void trials_add_speed(Trials *trials, const DecodeSpeed *speed) {
    TrialFigures *f = present_figures(trials);
    if (!f || (f->timed && !f->timed_earlier)) return;
    f->speed = *speed;
    f->timed = true;
    f->timed_earlier = false;
    trials->changes++;
}

void trials_follow(Trials *trials, const Recipe *recipe) {
    TrialRow *row = (TrialRow *)trials_of_recipe(trials, recipe);
    trials->present = 0;
    if (row) make_present(trials, row);
}

void trials_forget(Trials *trials, uint32_t number) {
    const size_t i = index_of(trials, number);
    if (i == trials->count) return;
    const uint32_t from = trials->rows[i].from;
    if (trials->present == number) trials->present = 0;
    if (trials->before == number) trials->before = from;
    for (int k = 0; k < 2; k++)
        if (trials->compared[k] == number) trials->compared[k] = 0;
    remove_at(trials, i);
}

bool trials_note(Trials *trials, uint32_t number, const char *note, Error *err) {
    TrialRow *row = row_of(trials, number);
    if (!row) return true;
    char *copy = strndup(note, TRIAL_NOTE_MOST);
    if (!copy) return error_memory(err, "a note");
    text_mend(copy);
    free(row->note);
    row->note = copy;
    trials->changes++;
    return true;
}

void trials_compare(Trials *trials, uint32_t a, uint32_t b) {
    trials->compared[0] = a;
    trials->compared[1] = b;
}

// ---- comparing ----------------------------------------------------------------------------------------------------

TrialDifference trial_difference(const TrialFigures *a, const TrialFigures *b) {
    if (a->by_position && b->by_position && a->positions == b->positions) {
        const Difference d = paired_difference(b->by_position, a->by_position, a->positions);
        return (TrialDifference){d.mean, d.se, true};
    }
    return (TrialDifference){b->accuracy.kl_mean - a->accuracy.kl_mean, hypot(a->accuracy.kl_se, b->accuracy.kl_se),
                             false};
}

bool trial_is_best(const Trials *trials, const TrialRow *row) {
    const double bits = row->figures->bits_per_weight, kl = row->figures->accuracy.kl_mean;
    for (size_t i = 0; i < trials->count; i++) {
        const TrialFigures *f = trials->rows[i].figures;
        const double b = f->bits_per_weight, k = f->accuracy.kl_mean;
        if (b <= bits && k <= kl && (b < bits || k < kl)) return false;
    }
    return true;
}
