// Trials in the workbench: turns become rows, what is known comes back at once, and rows outlive the program.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "workbench/workbench_parts.h"

#define FILES_BYTES ((size_t)64 << 20) // of all models together
#define SECONDS_BETWEEN_WRITES 1.0

const Trials *workbench_trials(const Workbench *w) { return &w->trials; }

const char *workbench_trials_unkept(const Workbench *w) {
    Workbench *shared = (Workbench *)w; // the lock is no part of what the caller sees
    pthread_mutex_lock(&shared->lock);
    const char *unkept = w->keeping.unkept;
    pthread_mutex_unlock(&shared->lock);
    return unkept;
}

void workbench_forget_trial(Workbench *w, uint32_t number) {
    if (number != w->trials.present) trials_forget(&w->trials, number);
    trials_update(w);
}

bool workbench_note_trial(Workbench *w, uint32_t number, const char *note, Error *err) {
    const bool ok = trials_note(&w->trials, number, note, err);
    trials_update(w);
    return ok;
}

void workbench_compare_trials(Workbench *w, uint32_t a, uint32_t b) { trials_compare(&w->trials, a, b); }

// ---- what is known ------------------------------------------------------------------------------------------------

static uint64_t model_now(const Workbench *w) { return trial_model(&w->plan, &w->measured); }

static void adopt_accuracy_locked(Workbench *w, const TrialFigures *known) {
    Findings *f = &w->findings;
    float *copy = known->by_position ? array_new(POSITION_FIGURES * known->positions, sizeof *copy) : NULL;
    if (copy) memcpy(copy, known->by_position, POSITION_FIGURES * known->positions * sizeof *copy);
    put_positions_locked(w, copy, known->positions);
    f->accuracy = known->accuracy;
    f->accuracy_turn = w->turn;
    f->accuracy_known = f->accuracy_finished = true;
    w->jobs[JOB_ACCURACY].state = JOB_DONE;
}

// A text that is known takes the place of the one that was written; the base's may still be on its way.
static void adopt_text_locked(Workbench *w, const TrialFigures *known) {
    if (!trial_text_is_whole(known, w->prompt, w->most_tokens) || known->text.count > w->most_tokens) return;
    if (!decode_text_copy(&known->text, &w->findings.quantized)) return;
    w->findings.decode_turn = w->turn;
    w->known.text = true;
    w->known.prompt_turn = w->prompt_turn;
    if (w->findings.base.known && w->findings.base.finished) w->jobs[JOB_DECODE].state = JOB_DONE;
}

static void adopt_speed_locked(Workbench *w, const TrialFigures *known) {
    if (!known->timed || known->timed_earlier) return;
    w->findings.speed = known->speed;
    w->findings.speed_turn = w->turn;
    w->findings.speed_finished = w->findings.speed_remembered = true;
    w->known.speed = true;
    w->jobs[JOB_SPEED].state = JOB_DONE;
}

void trials_adopt_locked(Workbench *w) {
    w->known.turn = 0;
    w->known.text = w->known.speed = false;
    if (!w->trials.count || !engine_can_run(w->engine, NULL)) return;
    const TrialFigures *known = trials_of_model(&w->trials, model_now(w));
    if (!known) return;
    w->known.turn = w->turn;
    adopt_accuracy_locked(w, known);
    adopt_text_locked(w, known);
    adopt_speed_locked(w, known);
}

bool trials_know_locked(const Workbench *w, JobKind kind) {
    if (w->known.turn != w->turn) return false;
    if (kind == JOB_DECODE)
        return w->known.text && w->known.prompt_turn == w->prompt_turn && w->findings.base.known &&
               w->findings.base.finished;
    return kind == JOB_ACCURACY || (kind == JOB_SPEED && w->known.speed);
}

// ---- turns become rows --------------------------------------------------------------------------------------------

static void record(Workbench *w) {
    const Effect *e = &w->effect;
    if (w->recorded.turn == w->turn && w->recorded.plan == w->plans) return;
    w->recorded.turn = w->turn;
    w->recorded.plan = w->plans;
    const TrialState state = {.recipe = history_now(&w->history),
                              .plan = &w->plan,
                              .model = model_now(w),
                              .accuracy = &e->accuracy,
                              .by_position = e->by_position,
                              .positions = e->positions};
    const uint32_t last = w->trials.last, number = trials_record(&w->trials, &state, engine_structure(w->engine));
    if (number > last) w->made_here = number;
}

// Rows of earlier sessions; what they know of the present model becomes its figures.
void trials_take_recalled(Workbench *w) {
    pthread_mutex_lock(&w->lock);
    char *data = w->keeping.data;
    if (data) {
        if (!trials_get(&w->keeping.reader, &w->trials)) log_line("trials: rows that cannot be true are left out");
        w->trials_handed = w->trials.changes;
        w->keeping.data = NULL;
        trials_follow(&w->trials, history_now(&w->history));
        trials_adopt_locked(w);
        wish_wakes_locked(w);
    }
    pthread_mutex_unlock(&w->lock);
    free(data);
}

static bool keeps(Workbench *w) {
    pthread_mutex_lock(&w->lock);
    const bool keeps = w->keeping.recalled && w->keeping.key && !w->keeping.unkept;
    pthread_mutex_unlock(&w->lock);
    return keeps;
}

static void hand_over(Workbench *w) {
    const double now = clock_seconds();
    if (w->trials.changes == w->trials_handed || now - w->trials_handed_at < SECONDS_BETWEEN_WRITES || !keeps(w))
        return;
    Text file = {0};
    stats_file_begin(&file);
    trials_put(&w->trials, &file);
    w->trials_handed = w->trials.changes;
    w->trials_handed_at = now;
    pthread_mutex_lock(&w->lock);
    const Text old = w->keeping.file;
    w->keeping.file = file;
    file = old;
    wish_wakes_locked(w);
    pthread_mutex_unlock(&w->lock);
    text_free(&file);
}

// ---- texts of rows that are looked at -----------------------------------------------------------------------------

// The present one has its text from the turn. What would not be this model any more, since more was measured, is none.
static bool wants_text(const Workbench *w, uint32_t number, RowText *out) {
    const TrialRow *row = trials_row(&w->trials, number);
    const bool wants = row && number != w->trials.present && engine_can_run(w->engine, NULL) &&
                       !trial_text_is_whole(row->figures, w->prompt, w->most_tokens);
    *out = (RowText){0};
    if (!wants || !workbench_plan_of(w, &row->recipe, &out->plan, &out->model, NULL)) return false;
    if (out->model == row->figures->model) return true;
    plan_free(&out->plan);
    return false;
}

// In the place of what was wanted there.
static void ask_text_locked(Workbench *w, int place, const RowText *wanted) {
    plan_free(&w->row_texts[place].plan);
    w->row_texts[place] = *wanted;
    if (!wanted->wanted) return;
    Job *job = &w->jobs[JOB_DECODE];
    if (job->state == JOB_DONE) job->state = JOB_WAITING;
    studies_interrupt_locked(w);
    wish_wakes_locked(w);
}

void workbench_look_at_texts(Workbench *w, uint32_t a, uint32_t b) {
    const uint64_t looks[] = {a, b, w->trials.changes, w->trials.present, w->plans, w->prompt_turn};
    const uint64_t hash = hash_bytes(HASH_START, looks, sizeof looks);
    const uint32_t numbers[LOOKED_TEXTS] = {a, b == a ? 0 : b};
    if (w->row_texts_looked == hash) return;
    w->row_texts_looked = hash;
    RowText wanted[LOOKED_TEXTS];
    for (int i = 0; i < LOOKED_TEXTS; i++) wanted[i].wanted = wants_text(w, numbers[i], &wanted[i]);
    pthread_mutex_lock(&w->lock);
    for (int i = 0; i < LOOKED_TEXTS; i++) ask_text_locked(w, i, &wanted[i]);
    pthread_mutex_unlock(&w->lock);
}

// ---- the pin ------------------------------------------------------------------------------------------------------

// One that was measured, but not by these ranges, is measured again.
static bool wants_score(const Workbench *w, PinWish *out) {
    *out = (PinWish){0};
    if (!engine_can_run(w->engine, NULL) || !workbench_plan_of(w, &w->pin, &out->plan, &out->model, NULL)) return false;
    return out->wanted = !trials_of_model(&w->trials, out->model);
}

// What nobody looks at is only written once.
static bool wants_first_text(const Workbench *w, uint64_t model, RowText *out) {
    const TrialRow *row = trials_row_for(&w->trials, &w->pin, model);
    *out = (RowText){0};
    return row && !row->figures->prompt && wants_text(w, row->number, out);
}

void workbench_pin(Workbench *w, const Recipe *recipe) {
    const uint64_t looks[] = {recipe ? trial_recipe_key(recipe) : 0, w->trials.changes, w->trials.present, w->plans,
                              w->prompt_turn};
    const uint64_t hash = hash_bytes(HASH_START, looks, sizeof looks);
    PinWish wish = {0};
    RowText text = {0};
    if (w->pin_looked == hash) return;
    w->pin_looked = hash;
    recipe_free(&w->pin);
    if (recipe && recipe_copy(recipe, &w->pin, NULL) && !wants_score(w, &wish))
        text.wanted = wants_first_text(w, wish.model, &text);
    pthread_mutex_lock(&w->lock);
    const bool other = wish.wanted != w->pin_wish.wanted || wish.model != w->pin_wish.model;
    plan_free(&w->pin_wish.plan);
    w->pin_wish = wish;
    if (other) study_pin_locked(w);
    ask_text_locked(w, ROW_TEXTS - 1, &text);
    pthread_mutex_unlock(&w->lock);
}

static void take_pin(Workbench *w) {
    pthread_mutex_lock(&w->lock);
    const PinScore score = w->findings.pin;
    w->findings.pin = (PinScore){0};
    pthread_mutex_unlock(&w->lock);
    const TrialState state = {.recipe = &w->pin,
                              .plan = &w->pin_wish.plan,
                              .model = score.model,
                              .accuracy = &score.accuracy,
                              .by_position = score.by_position,
                              .positions = score.positions};
    if (score.model && score.model == w->pin_wish.model)
        trials_record_other(&w->trials, &state, engine_structure(w->engine));
    free(score.by_position);
}

bool workbench_writes_text(const Workbench *w, uint32_t number) {
    const TrialRow *row = trials_row(&w->trials, number);
    Workbench *shared = (Workbench *)w;
    bool writes = false;
    pthread_mutex_lock(&shared->lock);
    for (int i = 0; row && i < ROW_TEXTS; i++)
        writes = writes || (w->row_texts[i].wanted && w->row_texts[i].model == row->figures->model);
    pthread_mutex_unlock(&shared->lock);
    return writes;
}

// Of one that is being written as much as there is.
static void take_row_texts(Workbench *w) {
    for (int i = 0; i < ROW_TEXTS; i++) {
        pthread_mutex_lock(&w->lock);
        const RowText row = w->findings.row_texts[i];
        w->findings.row_texts[i].text = (DecodeText){0};
        if (row.text.finished) wish_wakes_locked(w); // there is room for another one
        pthread_mutex_unlock(&w->lock);
        if (row.text.known && row.prompt_turn == w->prompt_turn)
            trials_add_text(&w->trials, row.model, w->prompt, &row.text, row.asked);
        DecodeText taken = row.text;
        decode_text_free(&taken);
    }
}

void trials_update(Workbench *w) {
    const Effect *e = &w->effect;
    if (e->accuracy_finished && e->accuracy_turn == w->turn) record(w);
    if (w->trials.present && e->decode_turn == w->turn && e->quantized.known && e->quantized.finished)
        trials_add_text(&w->trials, trials_row(&w->trials, w->trials.present)->figures->model, w->prompt, &e->quantized,
                        w->most_tokens);
    take_row_texts(w);
    take_pin(w);
    if (w->trials.present && e->speed_turn == w->turn && e->speed_finished) trials_add_speed(&w->trials, &e->speed);
    hand_over(w);
}

// ---- on disk ------------------------------------------------------------------------------------------------------

// A lock that ends with the program, on one byte for each model. Where the file system has none, nobody else has it.
static bool lock_rows(Keeping *k) {
    char *path = folder_make(k->folder, NULL) ? path_join(k->folder, "trials.lock") : NULL;
    k->lock = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    free(path);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)(k->key >> 2), .l_len = 1};
    return k->lock < 0 || fcntl(k->lock, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES);
}

void trials_recall(Workbench *w) {
    Keeping *k = &w->keeping;
    StatsReader reader = {0};
    char *data = NULL;
    if (!k->unkept) {
        k->key = engine_figures_key(w->engine);
        k->folder = k->key ? folder_state() : NULL;
        data = k->folder ? stats_file_read(k->folder, STATS_TRIALS, k->key, &reader) : NULL;
    }
    const bool ours = k->folder && lock_rows(k);
    pthread_mutex_lock(&w->lock);
    if (!k->unkept && !k->folder) k->unkept = "neither XDG_STATE_HOME nor HOME is set";
    if (!k->unkept && !ours) k->unkept = "another program has this model open";
    k->data = data;
    k->reader = reader;
    k->recalled = true;
    pthread_mutex_unlock(&w->lock);
    if (data) signal_screen(w);
}

void trials_write(Workbench *w) {
    Keeping *k = &w->keeping;
    Error err = {0};
    pthread_mutex_lock(&w->lock);
    Text file = k->file;
    k->file = (Text){0};
    pthread_mutex_unlock(&w->lock);
    if (!file.length) return;
    if (stats_file_write(k->folder, STATS_TRIALS, k->key, &file, &err))
        stats_file_prune(k->folder, STATS_TRIALS, k->key, FILES_BYTES);
    else
        log_line("trials: not kept: %s", err.message);
    text_free(&file);
}

void trials_close(Workbench *w) {
    if (w->thread_runs) {
        w->trials_handed_at = -SECONDS_BETWEEN_WRITES;
        hand_over(w);
        trials_write(w);
    }
    if (w->keeping.lock >= 0) close(w->keeping.lock);
    free(w->keeping.folder);
    free(w->keeping.data);
    text_free(&w->keeping.file);
    trials_free(&w->trials);
}
