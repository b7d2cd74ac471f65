// Trials on disk: all figures first, each once, then rows, which name theirs by index.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "workbench/trials.h"

// Counts up whenever the layout, or what the figures mean, changes.
#define TRIALS_VERSION 2u
#define TOKENS_MOST ((uint64_t)1 << 24) // of a text

static void put_text(Text *file, const char *text) {
    const size_t length = strlen(text);
    stats_put_number(file, length);
    stats_put(file, text, length);
}

static void put_figures(Text *file, const TrialFigures *f) {
    const DecodeText *t = &f->text;
    stats_put_number(file, f->model);
    stats_put_number(file, f->provisional);
    stats_put(file, &f->bits_per_weight, sizeof f->bits_per_weight);
    stats_put_number(file, f->bytes);
    stats_put(file, &f->accuracy, sizeof f->accuracy);
    stats_put_number(file, f->positions);
    stats_put(file, f->by_position, POSITION_FIGURES * f->positions * sizeof *f->by_position);
    stats_put_number(file, f->timed);
    const double speed[] = {f->speed.first.median,  f->speed.first.least,  f->speed.first.most,
                            f->speed.second.median, f->speed.second.least, f->speed.second.most,
                            f->speed.ratio.median,  f->speed.ratio.least,  f->speed.ratio.most};
    stats_put(file, speed, sizeof speed);
    stats_put_number(file, (uint64_t)f->speed.pairs);
    stats_put_number(file, f->prompt != NULL);
    if (!f->prompt) return;
    put_text(file, f->prompt);
    put_text(file, t->text);
    stats_put_number(file, t->count);
    stats_put(file, t->ids, t->count * sizeof *t->ids);
    stats_put(file, t->probabilities, t->count * sizeof *t->probabilities);
    stats_put(file, t->ends, t->count * sizeof *t->ends);
}

// The place of the first row with the same figures.
static size_t first_with(const Trials *trials, size_t row) {
    size_t i = 0;
    while (trials->rows[i].figures != trials->rows[row].figures) i++;
    return i;
}

void trials_put(const Trials *trials, Text *file) {
    stats_put_number(file, TRIALS_VERSION);
    stats_put_number(file, sizeof(Accuracy));
    stats_put_number(file, trials->count);
    for (size_t i = 0; i < trials->count; i++) {
        const TrialRow *row = &trials->rows[i];
        char *recipe = recipe_print(&row->recipe);
        if (!recipe) file->failed = true;
        stats_put_number(file, row->number);
        stats_put_number(file, row->from);
        put_text(file, recipe ? recipe : "");
        put_text(file, row->what);
        put_text(file, row->note);
        free(recipe);
        const size_t first = first_with(trials, i);
        stats_put_number(file, first);
        if (first == i) put_figures(file, row->figures);
    }
}

// ---- Reading ----

// Owned by the caller; NULL, and the reader bad, when it is not there or no text.
static char *get_text(StatsReader *r) {
    const uint64_t length = stats_get_number(r);
    if (r->bad || length > r->left) {
        r->bad = true;
        return NULL;
    }
    char *text = strndup(r->at, length);
    r->bad = !text || strlen(text) != length || !text_is_utf8(text, length);
    r->at += length;
    r->left -= length;
    if (!r->bad) return text;
    free(text);
    return NULL;
}

static bool is_share(float p) { return p >= 0 && p <= 1; }

static void get_decoded(StatsReader *r, DecodeText *t) {
    *t = (DecodeText){.known = true, .finished = true, .text = get_text(r)};
    const uint64_t count = stats_get_number(r);
    r->bad = r->bad || !t->text || count > TOKENS_MOST;
    if (r->bad) return;
    t->ids = stats_get_array(r, count, sizeof *t->ids);
    t->probabilities = stats_get_array(r, count, sizeof *t->probabilities);
    t->ends = stats_get_array(r, count, sizeof *t->ends);
    if (r->bad) return;
    t->count = count;
    const size_t length = strlen(t->text);
    for (size_t i = 0; i < count; i++)
        r->bad = r->bad || !is_share(t->probabilities[i]) || t->ends[i] > length || (i && t->ends[i] < t->ends[i - 1]);
}

static void get_speed(StatsReader *r, TrialFigures *f) {
    double v[9];
    f->timed = f->timed_earlier = stats_get_number(r) != 0;
    stats_get(r, v, sizeof v);
    f->speed = (DecodeSpeed){{v[0], v[1], v[2]}, {v[3], v[4], v[5]}, {v[6], v[7], v[8]}, 0};
    const uint64_t pairs = stats_get_number(r);
    f->speed.pairs = pairs < 1000000 ? (int)pairs : 0;
    for (size_t i = 0; i < 9; i++) r->bad = r->bad || !(v[i] >= 0) || isinf(v[i]);
}

static bool plausible(const TrialFigures *f) {
    const Accuracy *a = &f->accuracy;
    bool ok = f->bits_per_weight >= 0 && f->bits_per_weight < 1e6 && a->tokens > 0 && a->tokens == a->planned &&
              isfinite(a->kl_mean) && a->kl_mean >= 0 && a->kl_se >= 0 && a->ppl > 0 && a->top1 >= 0 && a->top1 <= 1;
    for (size_t i = 0; ok && i < f->positions; i++) ok = f->by_position[POSITION_KL * f->positions + i] >= 0;
    return ok && (!f->positions || floats_finite(f->by_position, POSITION_FIGURES * f->positions));
}

static TrialFigures *get_figures(StatsReader *r) {
    TrialFigures *f = calloc(1, sizeof *f);
    if (!f) return NULL;
    f->model = stats_get_number(r);
    f->provisional = stats_get_number(r) != 0;
    stats_get(r, &f->bits_per_weight, sizeof f->bits_per_weight);
    f->bytes = stats_get_number(r);
    stats_get(r, &f->accuracy, sizeof f->accuracy);
    const uint64_t positions = stats_get_number(r);
    r->bad = r->bad || positions > r->left; // before it is multiplied
    f->by_position = positions ? stats_get_array(r, POSITION_FIGURES * positions, sizeof *f->by_position) : NULL;
    f->positions = f->by_position ? positions : 0;
    get_speed(r, f);
    if (stats_get_number(r) && !r->bad) {
        f->prompt = get_text(r);
        get_decoded(r, &f->text);
    }
    r->bad = r->bad || !plausible(f);
    return f;
}

static void get_row(StatsReader *r, Trials *found) {
    TrialRow row = {.earlier = true};
    if (!array_grow(&found->rows, found->count, &found->capacity, sizeof row)) r->bad = true;
    if (r->bad) return;
    row.number = (uint32_t)stats_get_number(r);
    row.from = (uint32_t)stats_get_number(r);
    char *recipe = get_text(r);
    row.what = get_text(r);
    row.note = get_text(r);
    const uint64_t first = stats_get_number(r);
    r->bad = r->bad || row.number <= found->last || !recipe_parse(recipe, strlen(recipe), &row.recipe, NULL);
    if (!r->bad && first < found->count)
        row.figures = found->rows[first].figures;
    else if (!r->bad && first == found->count)
        row.figures = get_figures(r);
    r->bad = r->bad || !row.figures;
    if (!r->bad) row.recipe_key = trial_recipe_key(&row.recipe);
    if (row.figures) row.figures->rows++;
    free(recipe);
    found->rows[found->count++] = row;
    found->last = row.number;
}

// Rows of this session follow: their numbers, and those that they refer to, move on.
static void move_behind(Trials *trials, uint32_t by) {
    uint32_t *const numbers[] = {&trials->present,     &trials->before,      &trials->start,
                                 &trials->compared[0], &trials->compared[1], &trials->last};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (*numbers[i]) *numbers[i] += by;
    for (size_t i = 0; i < trials->count; i++) {
        trials->rows[i].number += by;
        if (trials->rows[i].from) trials->rows[i].from += by;
    }
}

bool trials_get(StatsReader *reader, Trials *trials) {
    Trials found = {0};
    reader->bad =
        reader->bad || stats_get_number(reader) != TRIALS_VERSION || stats_get_number(reader) != sizeof(Accuracy);
    const uint64_t count = stats_get_number(reader);
    for (uint64_t i = 0; i < count && !reader->bad; i++) get_row(reader, &found);
    bool ok = !reader->bad && reader->left == 0;
    TrialRow *rows = ok ? reallocarray(found.rows, found.count + trials->count + 1, sizeof *rows) : NULL;
    if (!rows) {
        trials_free(&found);
        return false;
    }
    move_behind(trials, found.last);
    if (trials->count) memcpy(rows + found.count, trials->rows, trials->count * sizeof *rows);
    free(trials->rows);
    trials->rows = rows;
    trials->count += found.count;
    trials->capacity = trials->count + 1;
    if (!trials->last) trials->last = found.last;
    trials->changes++;
    return true;
}
