#include "tui/ui.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/cache_write.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "tui/convert.h"
#include "tui/sensitivity.h"
#include "tui/sweep.h"
#include "tui/trials.h"
#include "tui/view.h"

#define RECIPE_BYTES_MOST (64 << 20)

static void offer_unsaved(Ui *ui) {
    Error err = {0};
    const Checkpoint *checkpoint = workbench_structure(ui->workbench)->checkpoint;
    ui_report(ui, unsaved_open(checkpoint && checkpoint->path ? checkpoint->path : "", &ui->unsaved, &err), &err);
    if (!ui->unsaved.there) return;
    if (recipe_equal(&ui->unsaved.kept, workbench_recipe(ui->workbench)))
        unsaved_forget(&ui->unsaved);
    else
        ui_ask(ui, PROMPT_RESTORE, "");
}

bool ui_init(Ui *ui, Workbench *workbench, const char *recipe_path, Error *err) {
    *ui = (Ui){.workbench = workbench,
               .stored = structure_stored(workbench_structure(workbench)),
               .dial = DIAL_ALPHA,
               .dragged = NO_DIAL,
               .settings = settings_default(),
               .unsaved.lock = -1};
    char *path = recipe_path ? strdup(recipe_path) : NULL;
    if (recipe_path && !path) return error_memory(err, "a file name");
    if (path) ui_name_recipe(ui, path);
    if (!rows_init(&ui->rows, workbench, err) || !changes_init(&ui->changes, &ui->rows, err) ||
        !target_init(&ui->target, &ui->rows, err) || !sensitivity_init(ui, err) ||
        !heat_init(workbench_structure(workbench), &ui->outliers.heat, err))
        return false;
    sweep_init(ui);
    offer_unsaved(ui);
    return true;
}

void ui_free(Ui *ui) {
    unsaved_close(&ui->unsaved);
    for (int i = 0; i < PROMPT_COUNT; i++) line_history_free(&ui->histories[i]);
    pin_free(&ui->pin);
    pin_free(&ui->pin_removed);
    overrides_free(&ui->overrides);
    target_free(&ui->target);
    changes_free(&ui->changes);
    rows_free(&ui->rows);
    heat_free(&ui->outliers.heat);
    settings_free(&ui->settings);
    canvas_free(&ui->canvas);
    convert_free(ui);
    sensitivity_free(ui);
    text_free(&ui->trials.difference_words);
    free(ui->recipe_path);
    free(ui->recipe_offered);
}

bool ui_resize(Ui *ui, int rows, int cols, Error *err) {
    if (!canvas_resize(&ui->canvas, rows, cols, err)) return false;
    view_arrange(ui);
    return true;
}

// ---- what the parts share -----------------------------------------------------------------------------------------

uint64_t recipe_file_hash(const char *path) {
    char *data = NULL;
    size_t size = 0;
    const bool read = file_read(path, RECIPE_BYTES_MOST, &data, &size, NULL);
    const uint64_t hash = read ? hash_bytes(HASH_START, data, size) : 0;
    free(data);
    return hash;
}

void ui_name_recipe(Ui *ui, char *path) {
    free(ui->recipe_path);
    free(ui->recipe_offered);
    ui->recipe_path = path;
    ui->recipe_hash = recipe_file_hash(path);
    ui->recipe_offered = NULL;
}

int ui_linear(const Ui *ui) { return ui->rows.selected; }

void ui_say(Ui *ui, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(ui->message.text, sizeof ui->message.text, format, args);
    va_end(args);
    ui->message.failure = false;
}

void ui_fail(Ui *ui, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(ui->message.text, sizeof ui->message.text, format, args);
    va_end(args);
    ui->message.failure = true;
}

bool ui_report(Ui *ui, bool ok, const Error *err) {
    if (!ok) ui_fail(ui, "%s", err->message);
    return ok;
}

void ui_ask(Ui *ui, PromptKind kind, const char *text) {
    ui->prompt = kind;
    ui->message.text[0] = ui->suggestions[0] = ui->preview.text[0] = '\0';
    ui->histories[kind].at = ui->histories[kind].count;
    line_editor_set(&ui->editor, text);
}

void ui_hit(Ui *ui, Rect rect, HitKind kind, int value) {
    if (ui->hit_count < HITS_MOST) ui->hits[ui->hit_count++] = (Hit){rect, kind, value};
}

const Hit *ui_hit_at(const Ui *ui, int row, int col) {
    for (int i = ui->hit_count - 1; i >= 0; i--) {
        if (rect_contains(ui->hits[i].rect, row, col)) return &ui->hits[i];
    }
    return NULL;
}

const char *ui_spinner(const Ui *ui) {
    static const char *const frames[] = {"⠋", "⠙", "⠸", "⠴", "⠦", "⠇"};
    return frames[ui->tick % (int)(sizeof frames / sizeof *frames)];
}

// ---- keeping up with the workbench --------------------------------------------------------------------------------

static void tell_failures(Ui *ui) {
    for (int kind = 0; kind < JOB_COUNT; kind++) {
        JobView job;
        workbench_job(ui->workbench, (JobKind)kind, &job);
        const bool failed = job.state == JOB_FAILED;
        char message[sizeof job.message];
        convert_words(job.message, message, sizeof message);
        const bool seen = kind == JOB_EXPORT && ui->screen == SCREEN_CONVERT; // in its pane
        if (failed && !ui->failed[kind] && message[0] && !seen) ui_fail(ui, "%s: %s", job.name, message);
        ui->failed[kind] = failed;
    }
}

static void tell_unkept(Ui *ui) {
    Error why;
    if (ui->told_unkept || !cache_refused(&why)) return;
    ui->told_unkept = true;
    ui_fail(ui, "measurements are not kept: %s", why.message);
}

// Where a turn comes to the model of a row that is there, which makes no other one.
static void tell_same(Ui *ui) {
    const Trials *trials = workbench_trials(ui->workbench);
    const uint64_t changes = workbench_changes(ui->workbench);
    const bool turned = changes != ui->same.changes, known = trials->present && trials->present <= ui->same.last;
    if (turned && !trials->present) return;
    ui->same.changes = changes;
    ui->same.last = trials->last;
    if (!turned || !known || ui->message.failure) return;
    char said[sizeof ui->message.text];
    snprintf(said, sizeof said, "%s", ui->message.text);
    if (strstr(said, "the same model as ")) *said = '\0'; // of the turn before
    ui_say(ui, "%s%sthe same model as %s", said, *said ? " · " : "", trials_name(ui, trials->present).text);
}

void ui_update(Ui *ui) {
    changes_follow(&ui->changes, &ui->rows);
    pin_follow(&ui->pin, &ui->changes, &ui->rows);
    workbench_pin(ui->workbench, pin_to_score(&ui->pin));
    rows_arrange(&ui->rows);
    ui->outliers.filled = false;
    target_refresh(&ui->target, &ui->rows);
    if (ui->screen == SCREEN_SENSITIVITY) sensitivity_update(ui);
    if (ui->screen == SCREEN_SWEEP) sweep_update(ui);
    trials_recompare(ui);
    tell_same(ui);
    convert_follow(ui);
    convert_tell(ui);
    tell_failures(ui);
    tell_unkept(ui);
}

// A dial that is being turned passes many values: only where it comes to rest is written.
#define REST_SECONDS 0.5

double ui_keep_unsaved(Ui *ui, bool at_once) {
    const uint64_t change = workbench_changes(ui->workbench);
    if (ui->demo.forgetful) return -1;
    if (ui->prompt == PROMPT_RESTORE) return -1; // what was found is still to be decided about
    if (workbench_saved(ui->workbench)) {
        unsaved_forget(&ui->unsaved);
        ui->unsaved_change = change;
        return -1;
    }
    if (ui->unsaved_change != change) ui->unsaved_since = clock_seconds();
    ui->unsaved_change = change;
    if (ui->unsaved_since <= 0) return -1;
    const double wait = ui->unsaved_since + REST_SECONDS - clock_seconds();
    if (wait > 0 && !at_once) return wait;
    Error err = {0};
    ui->unsaved_since = 0;
    if (!unsaved_keep(&ui->unsaved, workbench_recipe(ui->workbench), &err) && !ui->unsaved_failed) {
        ui->unsaved_failed = true;
        ui_report(ui, false, &err);
    }
    return -1;
}
