#include "tui/actions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/expand.h"
#include "base/file.h"
#include "quant/difference.h"
#include "tui/convert.h"
#include "tui/dials.h"
#include "tui/find.h"
#include "tui/help.h"
#include "tui/key_names.h"
#include "tui/panels.h"
#include "tui/prompt.h"
#include "tui/screen.h"
#include "tui/trials.h"
#include "tui/view.h"

// ---- layers -------------------------------------------------------------------------------------------------------

void action_move_row(Ui *ui, int steps) { rows_move(&ui->rows, steps); }

void action_move_page(Ui *ui, int pages) {
    const int page = ui->layout.layers.rows - 2;
    rows_move(&ui->rows, pages * (page > 1 ? page : 1));
}

void action_move_end(Ui *ui, int direction) { rows_move_to(&ui->rows, direction < 0 ? 0 : ui->rows.count - 1); }

void action_find(Ui *ui, int direction) {
    int place, all;
    if (!*ui->rows.find)
        ui_say(ui, "nothing to find yet; / starts a search");
    else if (find_step(ui, direction, false) && find_count(ui, &place, &all))
        ui_say(ui, "%d/%d with “%s”", place, all, ui->rows.find);
    else
        ui_say(ui, "no %s with “%s”", find_rows(ui), ui->rows.find);
}

void action_find_text(Ui *ui, const char *text) {
    Error err = {0};
    if (ui_report(ui, find_set(ui, text, &err), &err)) action_find(ui, 1);
}

void action_filter(Ui *ui, const char *text) {
    Error err = {0};
    ui_report(ui, rows_set_filter(&ui->rows, text, &err), &err);
}

// ---- marks --------------------------------------------------------------------------------------------------------

// What was marked may be what is shown.
static void marks_changed(Ui *ui) {
    rows_arrange(&ui->rows);
    if (ui->rows.marked_count)
        ui_say(ui, "%d of %d marked; o lets the dials set them", ui->rows.marked_count, ui->rows.total);
    else
        ui_say(ui, "nothing is marked");
}

void action_mark_row(Ui *ui, int unused) {
    (void)unused;
    Rows *rows = &ui->rows;
    const int index = rows_index(rows);
    if (index < 0) return;
    const int *members = rows_members(rows, index), size = rows_size(rows, index);
    int marked = 0;
    for (int i = 0; i < size; i++) marked += rows->marked[members[i]];
    for (int i = 0; i < size; i++) rows_mark(rows, members[i], marked < size);
    rows_move(rows, 1);
    rows_arrange(rows);
}

static void mark_passing(Ui *ui, const char *text, bool on) {
    Rows *rows = &ui->rows;
    Error err = {0};
    bool *passes = array_new((size_t)rows->total, sizeof *passes);
    const bool ok = passes ? rows_passing(rows, text, passes, &err) : error_memory(&err, "the marks");
    for (int i = 0; ok && i < rows->total; i++) {
        if (passes[i] && rows->row_of[i] >= 0) rows_mark(rows, i, on);
    }
    free(passes);
    if (ui_report(ui, ok, &err)) marks_changed(ui);
}

void action_mark(Ui *ui, const char *text) { mark_passing(ui, text, true); }

void action_unmark(Ui *ui, const char *text) {
    if (*text)
        mark_passing(ui, text, false);
    else
        action_unmark_all(ui, 0);
}

void action_unmark_all(Ui *ui, int unused) {
    (void)unused;
    rows_unmark_all(&ui->rows);
    marks_changed(ui);
}

// ---- folding ------------------------------------------------------------------------------------------------------

void action_fold(Ui *ui, int fold) {
    if (rows_fold(&ui->rows, fold != 0)) return;
    ui_say(ui, fold ? "there is nothing more to fold" : "there is nothing to unfold");
}

// ← and → do something where there are folds, and else say where the keys are that somebody may look for.
void action_fold_or_point(Ui *ui, int fold) {
    const Rows *rows = &ui->rows;
    const bool folds = rows->selected >= 0 && (rows->group[FOLD_EXPERTS][rows->selected] != NO_GROUP ||
                                               rows_is_folded(rows, rows_index(rows)));
    if (folds)
        action_fold(ui, fold);
    else
        ui_say(ui, "press Tab to go to the dials first; - folds a layer");
}

void action_fold_turn(Ui *ui, int unused) {
    (void)unused;
    const int index = rows_index(&ui->rows);
    action_fold(ui, index >= 0 && !rows_is_folded(&ui->rows, index));
}

void action_fold_all(Ui *ui, int unused) {
    (void)unused;
    static const char *const levels[] = {"every linear has its row", "the experts of a layer share a row",
                                         "the linears of a layer share a row"};
    rows_fold_all(&ui->rows);
    ui_say(ui, "%s", levels[rows_fold_level(&ui->rows)]);
}

void action_scroll_columns(Ui *ui, int columns) {
    Rows *rows = &ui->rows;
    rows->scrolled += columns;
    if (rows->scrolled < 0) rows->scrolled = 0;
    if (rows->scrolled > COLUMN_COUNT - 2) rows->scrolled = COLUMN_COUNT - 2;
}

void action_row(Ui *ui, int number) { rows_move_to(&ui->rows, number - 1); }

// ---- order --------------------------------------------------------------------------------------------------------

static void sort_changed(Ui *ui) {
    rows_arrange(&ui->rows);
    const ColumnInfo *column = &column_table[ui->rows.sort];
    const bool falling = column->falling != ui->rows.reversed;
    ui_say(ui, "by %s (%s), %s first", column->title, column->help, falling ? "largest" : "smallest");
}

void action_sort(Ui *ui, int steps) {
    ui->rows.sort = (Column)(((int)ui->rows.sort + steps + COLUMN_COUNT) % COLUMN_COUNT);
    ui->rows.reversed = false;
    sort_changed(ui);
}

void action_sort_by(Ui *ui, int column) {
    ui->rows.reversed = ui->rows.sort == (Column)column ? !ui->rows.reversed : false;
    ui->rows.sort = (Column)column;
    sort_changed(ui);
}

void action_sort_named(Ui *ui, const char *name) {
    const int column = rows_column_named(name);
    if (column < 0)
        ui_fail(ui, "there is no column “%s”; Tab lists them", name);
    else
        action_sort_by(ui, column);
}

void action_reverse(Ui *ui, int unused) {
    (void)unused;
    action_sort_by(ui, (int)ui->rows.sort);
}

// ---- dials --------------------------------------------------------------------------------------------------------

void action_move_dial(Ui *ui, int steps) { ui->dial = dials_next(ui->dial, steps); }

void action_move_column(Ui *ui, int columns) { ui->dial = dials_beside(ui->dial, columns); }

void action_turn(Ui *ui, int steps) { dials_turn(ui, ui->dial, steps, false); }

void action_turn_coarse(Ui *ui, int steps) { dials_turn(ui, ui->dial, steps, true); }

void action_edit_dial(Ui *ui, int unused) {
    (void)unused;
    char value[64];
    dial_format(ui->dial, dials_value(ui, ui->dial), value, sizeof value);
    ui_ask(ui, PROMPT_DIAL, value);
    ui->editor.fresh = true;
}

void action_point_to_typing(Ui *ui) {
    ui_say(ui, "digits go to screens; %s types a value of %s", action_keys(&ui->settings, "type"),
           dial_table[ui->dial].label);
}

void action_reset_dial(Ui *ui, int unused) {
    (void)unused;
    dials_reset(ui, ui->dial);
}

void action_set(Ui *ui, const char *setting) {
    const size_t length = strcspn(setting, " =");
    const int dial = dials_named(setting, length);
    const char *text = setting + length + strspn(setting + length, " =");
    Error err = {0};
    double value;
    if (dial == NO_DIAL) {
        ui_fail(ui, "there is no dial “%.*s”; Tab lists them", (int)length, setting);
        return;
    }
    if (!ui_report(ui, dial_parse((Dial)dial, text, &value, &err), &err)) return;
    ui->dial = (Dial)dial;
    dials_set(ui, (Dial)dial, value);
}

void action_reset_named(Ui *ui, const char *name) {
    const int dial = *name ? dials_named(name, strlen(name)) : (int)ui->dial;
    if (!*name && ui->focus != PANE_DIALS)
        ui_fail(ui, "name a dial, or go to one with Tab");
    else if (dial == NO_DIAL)
        ui_fail(ui, "there is no dial “%s”; Tab lists them", name);
    else
        dials_reset(ui, (Dial)dial);
}

static void take_scope(Ui *ui, Scope scope) {
    ui->target.scope = scope;
    ui->target.offered = ui->rows.marks;
    target_refresh(&ui->target, &ui->rows);
    switch (ui->target.scope) {
    case SCOPE_ALL: ui_say(ui, "dials set all linears again"); return;
    case SCOPE_MARKED:
        ui_say(ui, "dials now set the %d marked linears; o goes on to the selected one", ui->target.count);
        break;
    case SCOPE_SELECTED:
        ui_say(ui,
               ui->target.count > 1
                   ? "dials now set the %d linears of this row; o returns to all, Backspace removes a value"
                   : "dials now set the selected linear only; o returns to all, Backspace removes a value",
               ui->target.count);
        break;
    }
    if (ui->focus != PANE_DIALS) ui->dial = DIAL_BITS;
    ui->focus = PANE_DIALS;
}

void action_scope(Ui *ui, int unused) {
    (void)unused;
    if (ui->target.scope != SCOPE_SELECTED && !ui->rows.marked_count && ui_linear(ui) < 0) return;
    take_scope(ui, target_next_scope(&ui->target, &ui->rows));
}

void action_scope_named(Ui *ui, const char *name) {
    int scope = 0;
    while (scope < SCOPES && strcmp(scope_names[scope], name) != 0) scope++;
    if (!*name)
        action_scope(ui, 0);
    else if (scope == SCOPES)
        ui_fail(ui, "the dials set all, marked or selected linears, not “%.40s”", name);
    else if (scope == SCOPE_MARKED && !ui->rows.marked_count)
        ui_fail(ui, "no linear is marked");
    else if (scope == SCOPE_SELECTED && ui_linear(ui) < 0)
        ui_fail(ui, "no linear is selected");
    else
        take_scope(ui, (Scope)scope);
}

void action_drop_override(Ui *ui, int unused) {
    (void)unused;
    if (ui->target.scope != SCOPE_ALL && dial_table[ui->dial].per_linear)
        dials_reset(ui, ui->dial);
    else if (ui->target.scope != SCOPE_ALL)
        ui_say(ui, "nothing to remove: %s has one value for the model", dial_table[ui->dial].label);
    else
        ui_say(ui,
               "nothing to remove: dials set all linears; press o to set some only, O to see what was set for some");
}

void action_overrides(Ui *ui, int unused) {
    (void)unused;
    overrides_open(ui);
}

// ---- recipe -------------------------------------------------------------------------------------------------------

// "undid: bits 4 → 8": what the step was, which is the same both ways.
static void say_step(Ui *ui, const char *did, const Recipe *from, const Recipe *to) {
    Text words = {0};
    recipe_difference(from, to, workbench_structure(ui->workbench), ", ", &words);
    ui_say(ui, "%s: %s", did, words.length ? words.data : "a step that changes no linear");
    text_free(&words);
}

static void step_back(Ui *ui, bool undo) {
    Error err = {0};
    Recipe before;
    if (!ui_report(ui, recipe_copy(workbench_recipe(ui->workbench), &before, &err), &err)) return;
    const bool did = undo ? workbench_undo(ui->workbench) : workbench_redo(ui->workbench);
    const Recipe *after = workbench_recipe(ui->workbench);
    if (!did)
        ui_say(ui, undo ? "nothing to undo" : "nothing to redo");
    else if (undo)
        say_step(ui, "undid", after, &before);
    else
        say_step(ui, "did again", &before, after);
    recipe_free(&before);
    if (did) ui_update(ui);
}

void action_undo(Ui *ui, int unused) {
    (void)unused;
    step_back(ui, true);
}

void action_redo(Ui *ui, int unused) {
    (void)unused;
    step_back(ui, false);
}

// What is known of a pin as soon as it is there.
static void say_pinned(Ui *ui, const char *did) {
    const Pin *pin = &ui->pin;
    const char *keys = action_keys(&ui->settings, "unpin");
    if (calibration_provisional(ui))
        ui_say(ui, "%s this recipe; calibration goes on, for it and for what you turn; %s removes it", did, keys);
    else if (!pin->accuracy_known && pin->part.tokens)
        ui_say(ui,
               "%s: %" PRIu64 " of %" PRIu64
               " tokens are scored, figures are compared on these, marked ~; %s removes it",
               did, pin->part.tokens, pin->part.planned, keys);
    else
        ui_say(ui, "%s: figures are compared with this state; %s removes it", did, keys);
}

// Twice in a row does no more than once: nobody loses a pin by it.
void action_pin(Ui *ui, int unused) {
    (void)unused;
    Error err = {0};
    Recipe recipe;
    if (ui->pin.set && ui->pin.here) {
        ui_say(ui, "this state is pinned already; %s removes the pin", action_keys(&ui->settings, "unpin"));
        return;
    }
    const uint32_t before = ui->pin.set ? ui->pin.trial : 0;
    char did[64] = "pinned";
    if (before) snprintf(did, sizeof did, "pinned in the place of %s", trials_name(ui, before).text);
    if (!ui_report(ui,
                   recipe_copy(workbench_recipe(ui->workbench), &recipe, &err) &&
                       pin_set(&ui->pin, &ui->changes, &ui->rows, &recipe, 0, &err),
                   &err))
        return;
    ui_update(ui);
    say_pinned(ui, did);
}

void action_unpin(Ui *ui, int unused) {
    (void)unused;
    Error err = {0};
    const char *pins = action_keys(&ui->settings, "pin"), *keys = action_keys(&ui->settings, "unpin");
    if (ui->pin.set) {
        pin_remove(&ui->pin, &ui->pin_removed, &ui->changes, &ui->rows);
        ui_update(ui);
        ui_say(ui, "pin removed; %s brings it back, %s pins the present state", keys, pins);
    } else if (!ui->pin_removed.set)
        ui_say(ui, "nothing is pinned; %s pins the present state", pins);
    else if (ui_report(ui, pin_bring_back(&ui->pin, &ui->pin_removed, &ui->changes, &ui->rows, &err), &err)) {
        ui_update(ui);
        ui_say(ui, "the pin is back; %s removes it", keys);
    }
}

// The marked ones while the dials set these, else the selected row.
void action_ignore(Ui *ui, int unused) {
    (void)unused;
    Error err = {0};
    const Rows *rows = &ui->rows;
    const DialTarget *target = &ui->target;
    const int index = rows_index(rows);
    bool ok;
    if (target->scope == SCOPE_MARKED)
        ok = workbench_toggle_ignore(ui->workbench, target->linears, target->count, &err);
    else if (index >= 0)
        ok = workbench_toggle_ignore(ui->workbench, rows_members(rows, index), rows_size(rows, index), &err);
    else
        return;
    if (ui_report(ui, ok, &err)) ui_update(ui);
}

// The file that was named, with ~ expanded, owned by the caller; NULL, after a message, when there is none.
static char *file_asked_for(Ui *ui, const char *path) {
    Error err = {0};
    char *file = *path ? home_expand(path, &err) : NULL;
    if (*path) ui_report(ui, file != NULL, &err);
    return file;
}

// Takes over `file`.
static void write_recipe(Ui *ui, char *file) {
    Error err = {0};
    const bool quit = ui->quit_after_save;
    ui->quit_after_save = false;
    if (!ui_report(ui, workbench_save(ui->workbench, file, &err), &err)) {
        free(file);
        return;
    }
    ui_name_recipe(ui, file);
    ui_say(ui, "recipe written to %s", file);
    ui->quit = quit;
}

void action_overwrite(Ui *ui, const char *path) {
    char *file = file_asked_for(ui, path);
    if (file)
        write_recipe(ui, file);
    else
        ui->quit_after_save = false;
}

void action_save(Ui *ui, const char *path) {
    char *file = file_asked_for(ui, path);
    const bool ours = file && ui->recipe_path && strcmp(ui->recipe_path, file) == 0;
    if (file && !ours && file_exists(file))
        ui_ask(ui, PROMPT_OVERWRITE, path);
    else
        action_overwrite(ui, path);
    free(file);
}

void action_load(Ui *ui, const char *path) {
    Error err = {0};
    char *file = file_asked_for(ui, path);
    if (!file || !ui_report(ui, workbench_load(ui->workbench, file, &err), &err)) {
        free(file);
        return;
    }
    ui_name_recipe(ui, file);
    ui_say(ui, "recipe loaded from %s; u undoes it", file);
    ui_update(ui);
}

void action_write(Ui *ui, const char *path) {
    if (*path)
        action_save(ui, path);
    else if (ui->recipe_path)
        action_save(ui, ui->recipe_path);
    else
        action_prompt(ui, PROMPT_SAVE);
}

void action_write_over(Ui *ui, const char *path) {
    if (*path)
        action_overwrite(ui, path);
    else
        action_write(ui, path);
}

void action_write_quit(Ui *ui, const char *path) {
    ui->quit_after_save = true;
    action_write(ui, path);
}

void action_load_named(Ui *ui, const char *path) {
    if (*path)
        action_load(ui, path);
    else
        action_prompt(ui, PROMPT_LOAD);
}

void action_continue(Ui *ui, const char *text) {
    ui->texts.scrolled = false;
    if (*text)
        workbench_set_prompt(ui->workbench, text);
    else
        action_prompt(ui, PROMPT_TEXT);
}

// ---- screens ------------------------------------------------------------------------------------------------------

void action_screen(Ui *ui, int kind) { screen_go(ui, (ScreenKind)kind); }

// ---- convert ------------------------------------------------------------------------------------------------------

void action_engine(Ui *ui, int rows) { convert_move(ui, rows); }

void action_finding(Ui *ui, int findings) { convert_scroll(ui, findings); }

void action_format(Ui *ui, int steps) { convert_turn_format(ui, steps); }

void action_folder(Ui *ui, int unused) {
    (void)unused;
    convert_name_folder(ui, "");
}

void action_folder_named(Ui *ui, const char *path) { convert_name_folder(ui, path); }

void action_fix(Ui *ui, int unused) {
    (void)unused;
    convert_fix(ui);
}

void action_keep(Ui *ui, int unused) {
    (void)unused;
    convert_toggle_target(ui);
}

void action_odd_bits(Ui *ui, int unused) {
    (void)unused;
    convert_toggle_odd_bits(ui);
}

void action_target(Ui *ui, const char *name) { convert_aim(ui, name); }

void action_export(Ui *ui, int over) { convert_start(ui, over != 0); }

void action_stop_export(Ui *ui, int unused) {
    (void)unused;
    convert_stop(ui);
}

// ---- program ------------------------------------------------------------------------------------------------------

void action_prompt(Ui *ui, int kind) {
    const char *text = "";
    if (kind == PROMPT_SAVE) text = ui->recipe_path ? ui->recipe_path : "recipe.json";
    if (kind == PROMPT_LOAD && ui->recipe_path) text = ui->recipe_path;
    if (kind == PROMPT_LOAD && ui->recipe_offered) text = ui->recipe_offered;
    if (kind == PROMPT_TEXT) text = workbench_prompt(ui->workbench);
    ui->preview.selected = ui->rows.selected;
    ui->preview.at = kind == PROMPT_FIND ? find_at(ui) : -1;
    ui->preview.moved = ui->rows.moved;
    memcpy(ui->preview.find, ui->rows.find, sizeof ui->preview.find);
    memcpy(ui->preview.filter, ui->rows.filter, sizeof ui->preview.filter);
    ui_ask(ui, (PromptKind)kind, text);
    prompt_preview(ui);
}

void action_stop_jobs(Ui *ui, int unused) {
    (void)unused;
    bool stopped = false, going = false;
    for (int kind = 0; kind < JOB_COUNT; kind++) {
        JobView job;
        workbench_job(ui->workbench, (JobKind)kind, &job);
        if ((job.state == JOB_STOPPED || job.state == JOB_FAILED) && kind != JOB_EXPORT)
            stopped = true; // an export goes on where it was started
        if (!job_is_on(job.state)) continue;
        workbench_stop_job(ui->workbench, (JobKind)kind);
        going = true;
    }
    if (going)
        ui_say(ui, "stopped; ! or the next turn of a dial resumes");
    else if (stopped)
        workbench_restart_jobs(ui->workbench);
    else
        ui_say(ui, "nothing is being computed");
}

void action_redraw(Ui *ui, int unused) {
    (void)unused;
    if (ui->terminal) terminal_redraw(ui->terminal);
}

// One thing at a time, and says which. Marks are work: they stay.
static void back_on_layers(Ui *ui) {
    Rows *rows = &ui->rows;
    if (ui->target.scope != SCOPE_ALL) {
        ui->target.scope = SCOPE_ALL;
        ui_say(ui, "dials set all linears again");
    } else if (*rows->find) {
        rows_set_find(rows, "", NULL);
        ui_say(ui, "search gone");
    } else if (*rows->filter) {
        rows_set_filter(rows, "", NULL);
        ui_say(ui, "filter gone; all %d shown", rows->total);
    } else {
        ui->focus = PANE_LAYERS;
        if (rows->marked_count) ui_say(ui, "%d stay marked; U unmarks them", rows->marked_count);
    }
}

void action_back(Ui *ui, int unused) {
    (void)unused;
    if (ui->zoomed) {
        ui->zoomed = 0;
        return;
    }
    if (ui->screen == SCREEN_TRIALS && trials_close_view(ui)) return;
    if (ui->screen != SCREEN_LAYERS)
        screen_go(ui, SCREEN_LAYERS);
    else if (ui->zoom != ZOOM_NONE)
        view_whole(ui);
    else if (ui->texts.scrolled && ui->focus == PANE_TEXTS)
        ui->texts.scrolled = false;
    else
        back_on_layers(ui);
}

void action_help(Ui *ui, int unused) {
    (void)unused;
    ui->help = (Help){.shown = true};
}

void action_help_on(Ui *ui, const char *word) {
    if (!help_knows(ui, word)) {
        ui_fail(ui, "the help does not know “%.60s”; :help alone shows all of it", word);
        return;
    }
    action_help(ui, 0);
    line_editor_set(&ui->help.filter, word);
}

void action_theme(Ui *ui, const char *name) {
    const int scheme = color_scheme_named(name);
    if (scheme < 0)
        ui_fail(ui, "there is no theme “%s”; there are auto, dark, light, colorblind and mono", name);
    else
        ui->colors = (ColorScheme)scheme;
    if (scheme >= 0 && ui->terminal) terminal_set_scheme(ui->terminal, ui->colors);
}

void action_quit(Ui *ui, int unused) {
    (void)unused;
    if (ui->screen != SCREEN_LAYERS)
        screen_go(ui, SCREEN_LAYERS);
    else if (convert_runs(ui))
        ui_ask(ui, PROMPT_LEAVE, "");
    else
        action_leave(ui);
}

void action_leave(Ui *ui) {
    if (workbench_saved(ui->workbench))
        ui->quit = true;
    else
        ui_ask(ui, PROMPT_QUIT, "");
}

void action_quit_unsaved(Ui *ui, int unused) {
    (void)unused;
    ui->quit = true;
}
