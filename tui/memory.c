#include "tui/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "tui/convert.h"
#include "tui/screen.h"
#include "tui/trials.h"

#define VERSION 1
#define FILE_MOST (64 << 20)

static char *memory_path(const Ui *ui, bool make) {
    char *state = folder_state(), *folder = state ? path_join(state, "sessions") : NULL, *path = NULL;
    if (folder && ui->unsaved.name && (!make || folder_make(folder, NULL)) &&
        asprintf(&path, "%s/%s.json", folder, ui->unsaved.name) < 0)
        path = NULL;
    free(folder);
    free(state);
    return path;
}

static const char *linear_name(const Ui *ui, int linear) {
    return workbench_structure(ui->workbench)->linears[linear].name;
}

// ---- keeping ------------------------------------------------------------------------------------------------------

static void add_marks(const Ui *ui, cJSON *json) {
    cJSON *marks = cJSON_AddArrayToObject(json, "marks");
    for (int i = 0; ui->rows.marked_count && i < workbench_structure(ui->workbench)->linear_count; i++) {
        if (ui->rows.marked[i]) cJSON_AddItemToArray(marks, cJSON_CreateString(linear_name(ui, i)));
    }
}

// A number of JSON has too few digits for it.
static void add_hash(cJSON *json, const char *key, uint64_t hash) {
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    cJSON_AddStringToObject(json, key, text);
}

static void add_pin(const Ui *ui, cJSON *json) {
    const Pin *pin = &ui->pin;
    if (!pin->set) return;
    cJSON *out = cJSON_AddObjectToObject(json, "pin");
    cJSON_AddStringToObject(out, "text", workbench_text(ui->workbench, TEXT_EVALUATION));
    add_hash(out, "model", pin->measured);
    char *recipe = recipe_print(&pin->recipe);
    if (recipe) cJSON_AddRawToObject(out, "recipe", recipe);
    free(recipe);
    if (pin->accuracy_known) {
        cJSON_AddNumberToObject(out, "tokens", (double)pin->accuracy.tokens);
        cJSON_AddNumberToObject(out, "ppl", pin->accuracy.ppl);
        cJSON_AddNumberToObject(out, "kl", pin->accuracy.kl_mean);
        cJSON_AddNumberToObject(out, "top1", pin->accuracy.top1);
    }
    if (pin->speed_known) {
        cJSON_AddNumberToObject(out, "speed", pin->speed.median);
        cJSON_AddNumberToObject(out, "slowest", pin->speed.least);
        cJSON_AddNumberToObject(out, "fastest", pin->speed.most);
        cJSON_AddNumberToObject(out, "base_speed", pin->base_speed);
    }
}

// The program may be started in another folder.
static void add_path(cJSON *json, const char *key, const char *path) {
    char *here = *path == '/' ? NULL : realpath(".", NULL), *whole = here ? path_join(here, path) : NULL;
    cJSON_AddStringToObject(json, key, whole ? whole : path);
    free(here);
    free(whole);
}

static void add_recipe(const Ui *ui, cJSON *json) {
    if (!ui->recipe_path || !ui->recipe_hash) return; // a pipe does not come back
    cJSON *out = cJSON_AddObjectToObject(json, "recipe");
    add_path(out, "file", ui->recipe_path);
    add_hash(out, "hash", ui->recipe_hash);
}

static void add_convert(const Ui *ui, cJSON *json) {
    const Convert *convert = &ui->convert;
    const Target target = convert_target(ui);
    cJSON *out = cJSON_AddObjectToObject(json, "convert");
    cJSON_AddStringToObject(out, "format", export_format_names[convert->format]);
    if (target < TARGET_COUNT) cJSON_AddStringToObject(out, "engine", target_table[target].name);
    if (target < TARGET_COUNT)
        cJSON_AddStringToObject(out, "engine_format", export_format_names[convert->target_format]);
    if (convert->odd_bits) cJSON_AddBoolToObject(out, "odd_bits", true);
    if (convert->folder) add_path(out, "folder", convert->folder);
}

static void add_trial(const Ui *ui, cJSON *json, const char *key, uint32_t number, uint64_t wanted) {
    const TrialRow *row = trials_row(workbench_trials(ui->workbench), number);
    if (row || wanted) add_hash(json, key, row ? row->recipe_key : wanted);
}

static void add_trials(const Ui *ui, cJSON *json) {
    cJSON *out = cJSON_AddObjectToObject(json, "trials");
    add_trial(ui, out, "a", ui->trials.a, ui->trials.wanted[0]);
    add_trial(ui, out, "b", ui->trials.b, ui->trials.wanted[1]);
    cJSON_AddStringToObject(out, "sort", trial_column_table[ui->trials.sort].title);
    cJSON_AddBoolToObject(out, "reverse", ui->trials.reversed);
}

static void add_guide(const Ui *ui, cJSON *json) {
    cJSON *done = cJSON_AddArrayToObject(json, "guide");
    for (int i = 0; i < GUIDE_STEPS; i++) cJSON_AddItemToArray(done, cJSON_CreateBool(ui->guide.done[i]));
}

bool memory_keep(const Ui *ui, Error *err) {
    char *path = memory_path(ui, true);
    cJSON *json = path ? cJSON_CreateObject() : NULL;
    if (!json) return error_set(err, "how the screen was left cannot be kept");
    cJSON_AddNumberToObject(json, "quantdial_session", VERSION);
    cJSON_AddStringToObject(json, "screen", screen_table[ui->screen].title);
    cJSON_AddStringToObject(json, "sort", column_table[ui->rows.sort].name);
    cJSON_AddBoolToObject(json, "reverse", ui->rows.reversed);
    cJSON_AddStringToObject(json, "filter", ui->rows.filter);
    if (ui->rows.moved && ui_linear(ui) >= 0) cJSON_AddStringToObject(json, "selected", linear_name(ui, ui_linear(ui)));
    cJSON_AddStringToObject(json, "dial", dial_table[ui->dial].option);
    cJSON_AddStringToObject(json, "prompt", workbench_prompt(ui->workbench));
    cJSON_AddNumberToObject(json, "tokens", (double)workbench_tokens(ui->workbench));
    cJSON_AddStringToObject(json, "scope", scope_names[ui->target.scope]);
    add_guide(ui, json);
    add_marks(ui, json);
    add_recipe(ui, json);
    add_convert(ui, json);
    add_trials(ui, json);
    add_pin(ui, json);
    char *text = json_print(json);
    const bool ok = text ? file_write(path, text, strlen(text), err) : error_memory(err, "how the screen was left");
    cJSON_Delete(json);
    free(text);
    free(path);
    return ok;
}

// ---- restoring ----------------------------------------------------------------------------------------------------

static const char *word_of(const cJSON *json, const char *key) {
    const char *text = NULL;
    return json_string(json, key, NULL, &text, NULL) && text ? text : "";
}

static double number_of(const cJSON *json, const char *key) {
    double number = NAN;
    return json_number(json, key, NAN, &number, NULL) ? number : NAN;
}

static uint64_t hash_of(const cJSON *json, const char *key) { return strtoull(word_of(json, key), NULL, 16); }

// Names stand in the model's order, so one walk finds them all.
static int find_linear(const Ui *ui, const char *name, int from) {
    const int count = workbench_structure(ui->workbench)->linear_count;
    while (from < count && strcmp(linear_name(ui, from), name) != 0) from++;
    return from;
}

static void restore_rows(Ui *ui, const cJSON *json) {
    Rows *rows = &ui->rows;
    const int column = rows_column_named(word_of(json, "sort")),
              count = workbench_structure(ui->workbench)->linear_count;
    if (column >= 0) {
        rows->sort = (Column)column;
        rows->reversed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "reverse"));
    }
    rows_set_filter(rows, word_of(json, "filter"), NULL);
    int at = 0;
    const cJSON *marks = cJSON_GetObjectItemCaseSensitive(json, "marks");
    for (const cJSON *mark = cJSON_IsArray(marks) ? marks->child : NULL; mark; mark = mark->next) {
        const int linear = cJSON_IsString(mark) ? find_linear(ui, mark->valuestring, at) : count;
        if (linear < count) rows_mark(rows, at = linear, true);
    }
    rows_arrange(rows);
    const int selected = find_linear(ui, word_of(json, "selected"), 0);
    if (selected < count) { // though a filter of figures may leave it out until these are there
        rows->selected = selected;
        rows->moved = true;
    }
    rows_arrange(rows);
}

// Of rows that are there; without marks the scope of these is that of all.
static void restore_scope(Ui *ui, const char *name) {
    for (int scope = 0; scope <= SCOPE_SELECTED; scope++)
        if (strcmp(scope_names[scope], name) == 0) ui->target.scope = (Scope)scope;
    target_refresh(&ui->target, &ui->rows);
}

static void restore_guide(Ui *ui, const cJSON *done) {
    for (int i = 0; i < GUIDE_STEPS; i++) ui->guide.done[i] = cJSON_IsTrue(cJSON_GetArrayItem(done, i));
}

static void say_not_loaded(Ui *ui, const char *path) {
    if (ui->prompt != PROMPT_NONE || *ui->message.text) return;
    if (file_exists(path))
        ui_say(ui, "%s was changed since and is not loaded; L loads it", path);
    else
        ui_say(ui, "%s is not there any more", path);
}

// True when it holds. What was named when the program was started goes before it, and so do dials that were.
static bool restore_recipe(Ui *ui, const cJSON *json) {
    const char *path = word_of(json, "file");
    char *copy = *path && !ui->recipe_path && workbench_saved(ui->workbench) ? strdup(path) : NULL;
    if (!copy) return false;
    Error err = {0};
    Recipe recipe;
    if (recipe_file_hash(path) != hash_of(json, "hash")) {
        ui->recipe_offered = copy;
        say_not_loaded(ui, path);
        return false;
    }
    if (!ui_report(ui, recipe_load(path, &recipe, &err) && workbench_begin(ui->workbench, &recipe, &err), &err)) {
        free(copy);
        return false;
    }
    ui_name_recipe(ui, copy);
    changes_begin(&ui->changes, &ui->rows);
    ui_update(ui);
    return true;
}

static bool format_of(const cJSON *json, const char *key, ExportFormat *out) {
    for (int i = 0; i < EXPORT_FORMAT_COUNT; i++) {
        if (strcmp(export_format_names[i], word_of(json, key)) != 0) continue;
        *out = (ExportFormat)i;
        return true;
    }
    return false;
}

static void restore_convert(Ui *ui, const cJSON *json) {
    Convert *convert = &ui->convert;
    ExportFormat format = convert->format;
    format_of(json, "format", &convert->format);
    if (!format_of(json, "engine_format", &format)) format = convert->format; // of an earlier version
    for (int i = 0; i < TARGET_COUNT; i++)
        if (strcmp(target_table[i].name, word_of(json, "engine")) == 0 && targets_of_format(format) >> i & 1)
            convert_set_target(ui, (Target)i, format);
    convert_look_at_target(ui);
    convert->odd_bits = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "odd_bits"));
    workbench_allow_odd_bits(ui->workbench, convert->odd_bits);
    if (*word_of(json, "folder")) convert->folder = strdup(word_of(json, "folder"));
}

static void restore_trials(Ui *ui, const cJSON *json) {
    if (!cJSON_IsObject(json)) return;
    for (int i = 0; i < TRIAL_COLUMN_COUNT; i++)
        if (strcmp(trial_column_table[i].title, word_of(json, "sort")) == 0) ui->trials.sort = (TrialColumn)i;
    ui->trials.reversed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "reverse"));
    ui->trials.wanted[0] = hash_of(json, "a");
    ui->trials.wanted[1] = hash_of(json, "b");
}

static bool recipe_in(const cJSON *json, Recipe *out) {
    char *text = cJSON_IsObject(json) ? json_print(json) : NULL;
    const bool ok = text && recipe_parse(text, strlen(text), out, NULL);
    free(text);
    return ok;
}

// Figures on another text cannot be compared; those on fewer tokens are not, either (panel_effect.c).
static void restore_pin(Ui *ui, const cJSON *json) {
    Pin *pin = &ui->pin;
    Recipe recipe;
    if (!cJSON_IsObject(json) || !recipe_in(cJSON_GetObjectItemCaseSensitive(json, "recipe"), &recipe)) return;
    if (!pin_set(pin, &ui->changes, &ui->rows, &recipe, hash_of(json, "model"), NULL)) return;
    pin->accuracy = (Accuracy){.tokens = (uint64_t)fmax(number_of(json, "tokens"), 0),
                               .ppl = number_of(json, "ppl"),
                               .kl_mean = number_of(json, "kl"),
                               .top1 = number_of(json, "top1")};
    pin->speed = (Spread){number_of(json, "speed"), number_of(json, "slowest"), number_of(json, "fastest")};
    pin->base_speed = number_of(json, "base_speed");
    pin->speed_known = pin->speed.median > 0;
    pin->accuracy_known = pin->accuracy.tokens > 0 && pin->accuracy.kl_mean >= 0 &&
                          strcmp(word_of(json, "text"), workbench_text(ui->workbench, TEXT_EVALUATION)) == 0;
}

static void restore_texts(Ui *ui, const cJSON *json, bool prompt, bool tokens) {
    const double count = number_of(json, "tokens");
    const char *text = word_of(json, "prompt");
    if (prompt && *text && strcmp(text, workbench_prompt(ui->workbench)) != 0)
        workbench_set_prompt(ui->workbench, text);
    if (tokens && count >= 1 && count <= TEXT_TOKENS_MOST && (size_t)count != workbench_tokens(ui->workbench))
        workbench_set_tokens(ui->workbench, (size_t)count);
}

static void restore_all(Ui *ui, const cJSON *json, bool prompt, bool tokens) {
    if (number_of(json, "quantdial_session") != VERSION) return;
    const int dial = dial_find(word_of(json, "dial"));
    if (dial >= 0) ui->dial = (Dial)dial;
    const bool recipe = restore_recipe(ui, cJSON_GetObjectItemCaseSensitive(json, "recipe"));
    restore_convert(ui, cJSON_GetObjectItemCaseSensitive(json, "convert"));
    restore_rows(ui, json);
    restore_scope(ui, word_of(json, "scope"));
    restore_guide(ui, cJSON_GetObjectItemCaseSensitive(json, "guide"));
    restore_texts(ui, json, prompt, tokens);
    restore_pin(ui, cJSON_GetObjectItemCaseSensitive(json, "pin"));
    restore_trials(ui, cJSON_GetObjectItemCaseSensitive(json, "trials"));
    for (int kind = 0; kind < SCREEN_COUNT; kind++) {
        if (strcmp(screen_table[kind].title, word_of(json, "screen")) == 0) screen_go(ui, (ScreenKind)kind);
    }
    if (ui->prompt != PROMPT_NONE || *ui->message.text) return;
    if (recipe)
        ui_say(ui, "as you left it, recipe %s; --fresh starts without it", ui->recipe_path);
    else if (*ui->rows.filter || ui->rows.marked_count || ui->pin.set || ui->screen != SCREEN_LAYERS)
        ui_say(ui, "the screen is as you left it; --fresh starts without filter, marks and pin");
}

void memory_restore(Ui *ui, bool prompt, bool tokens) {
    char *path = memory_path(ui, false), *text = NULL;
    size_t size = 0;
    const bool there = path && file_exists(path) && file_read(path, FILE_MOST, &text, &size, NULL);
    cJSON *json = there ? json_parse(text, size, NULL) : NULL;
    if (json) restore_all(ui, json, prompt, tokens);
    cJSON_Delete(json);
    free(text);
    free(path);
}
