#include "tui/prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"
#include "tui/actions.h"
#include "tui/commands.h"
#include "tui/convert.h"
#include "tui/dials.h"
#include "tui/find.h"
#include "tui/handout.h"
#include "tui/menu.h"
#include "tui/panels.h"
#include "tui/sensitivity.h"
#include "tui/trials.h"

static void close_prompt(Ui *ui) {
    ui->prompt = PROMPT_NONE;
    ui->suggestions[0] = '\0';
}

// ---- what an answer does ------------------------------------------------------------------------------------------

static void accept_dial(Ui *ui, const char *text) {
    double value;
    Error err = {0};
    if (ui_report(ui, dial_parse(ui->dial, text, &value, &err), &err)) dials_set(ui, ui->dial, value);
}

// What was found is selected already.
static void accept_find(Ui *ui, const char *text) {
    Error err = {0};
    int place, all;
    if (!*text && *ui->preview.find) {
        find_set(ui, ui->preview.find, NULL);
        action_find(ui, 1);
    } else if (ui_report(ui, find_set(ui, text, &err), &err) && *text && !(find_count(ui, &place, &all) && all))
        ui_say(ui, "no %s with “%s”", find_rows(ui), text);
}

static void take_line(Ui *ui, PromptKind kind, const char *line) {
    switch (kind) {
    case PROMPT_COMMAND: command_run(ui, line); break;
    case PROMPT_FIND: accept_find(ui, line); break;
    case PROMPT_FILTER: action_filter(ui, line); break;
    case PROMPT_MARK: action_mark(ui, line); break;
    case PROMPT_RULE: overrides_accept(ui, line); break;
    case PROMPT_SAVE: action_save(ui, line); break;
    case PROMPT_LOAD: action_load(ui, line); break;
    case PROMPT_TEXT:
        ui->texts.scrolled = false;
        workbench_set_prompt(ui->workbench, line);
        break;
    case PROMPT_DIAL: accept_dial(ui, line); break;
    case PROMPT_FOLDER:
        if (*line) convert_name_folder(ui, line);
        break;
    case PROMPT_BUDGET: sensitivity_set_budget(ui, line); break;
    case PROMPT_NOTE: trials_take_note(ui, line); break;
    case PROMPT_EXPORT:
        if (*line) handout_write(ui, line);
        break;
    case PROMPT_SORT: // a key answers these (take_code)
    case PROMPT_SWEEP:
    case PROMPT_SWEEP_SECOND:
    case PROMPT_QUIT:
    case PROMPT_LEAVE:
    case PROMPT_REPLACE:
    case PROMPT_FIX:
    case PROMPT_REFUSED:
    case PROMPT_OVERWRITE:
    case PROMPT_RESTORE:
    case PROMPT_FORGET:
    case PROMPT_NONE:
    case PROMPT_COUNT: break;
    }
}

// What was refused stays on the line, under the error, for another try: keys typed on would act on the screen. A
// failure that is told after a change of the recipe is not about the line.
static void prompt_accept(Ui *ui) {
    const PromptKind kind = ui->prompt;
    const uint64_t changes = workbench_changes(ui->workbench);
    const bool quits = ui->quit_after_save;
    char line[sizeof ui->editor.text];
    memcpy(line, ui->editor.text, ui->editor.length + 1);
    line_history_add(&ui->histories[kind], line);
    close_prompt(ui);
    take_line(ui, kind, line);
    const bool failed = *ui->message.text && ui->message.failure;
    if (!failed || ui->prompt != PROMPT_NONE || ui->quit || workbench_changes(ui->workbench) != changes) return;
    ui->prompt = kind;
    ui->quit_after_save = quits;
}

// ---- while it is typed --------------------------------------------------------------------------------------------

// The linear, too: figures that came meanwhile may have moved its row.
static void return_to_start(Ui *ui) {
    find_return(ui, ui->preview.at);
    if (ui->screen == SCREEN_LAYERS && ui->preview.selected >= 0) rows_select(&ui->rows, ui->preview.selected);
}

static void preview_find(Ui *ui) {
    Error err = {0};
    int place, all;
    const bool understood = find_set(ui, ui->editor.text, &err), sought = understood && *ui->rows.find;
    return_to_start(ui);
    ui->preview.wrong = !understood;
    if (!understood)
        snprintf(ui->preview.text, sizeof ui->preview.text, "%s", err.message);
    else if (sought && find_step(ui, 1, true) && find_count(ui, &place, &all))
        snprintf(ui->preview.text, sizeof ui->preview.text, "%d/%d", place, all);
    else if (sought)
        snprintf(ui->preview.text, sizeof ui->preview.text, "no %s", find_rows(ui));
}

// What is wrong leaves the table as it was.
static void preview_filter(Ui *ui) {
    Error err = {0};
    Rows *rows = &ui->rows;
    ui->preview.wrong = !rows_set_filter(rows, ui->editor.text, &err);
    if (ui->preview.wrong)
        snprintf(ui->preview.text, sizeof ui->preview.text, "%s", err.message);
    else
        snprintf(ui->preview.text, sizeof ui->preview.text, "%d of %d", rows->first[rows->count], rows->total);
}

static void preview_mark(Ui *ui) {
    Error err = {0};
    const Rows *rows = &ui->rows;
    bool *passes = array_new((size_t)rows->total, sizeof *passes);
    int shown = 0;
    ui->preview.wrong = passes && !rows_passing(rows, ui->editor.text, passes, &err);
    for (int i = 0; passes && i < rows->total; i++) shown += passes[i] && rows->row_of[i] >= 0;
    free(passes);
    if (ui->preview.wrong)
        snprintf(ui->preview.text, sizeof ui->preview.text, "%s", err.message);
    else
        snprintf(ui->preview.text, sizeof ui->preview.text,
                 *ui->editor.text ? "%d of %d" : "all that is shown: %d of %d", shown, rows->total);
}

// What a command takes, as soon as its word is there.
static void preview_command(Ui *ui) {
    const char *example = command_example(ui->editor.text);
    if (example) snprintf(ui->preview.text, sizeof ui->preview.text, "like  %s", example);
}

void prompt_preview(Ui *ui) {
    ui->preview.text[0] = '\0';
    ui->preview.wrong = false;
    if (ui->prompt == PROMPT_COMMAND) preview_command(ui);
    if (ui->prompt == PROMPT_FIND) preview_find(ui);
    if (ui->prompt == PROMPT_FILTER) preview_filter(ui);
    if (ui->prompt == PROMPT_MARK) preview_mark(ui);
}

static void undo_preview(Ui *ui) {
    if (ui->prompt != PROMPT_FIND && ui->prompt != PROMPT_FILTER) return;
    if (ui->prompt == PROMPT_FIND) find_set(ui, ui->preview.find, NULL);
    if (ui->prompt == PROMPT_FILTER) rows_set_filter(&ui->rows, ui->preview.filter, NULL);
    return_to_start(ui);
    ui->rows.moved = ui->preview.moved;
}

// ---- keys that answer ---------------------------------------------------------------------------------------------

static bool is_cancel(int code) { return code == KEY_ESCAPE || code == KEY_CONTROL('c'); }

static bool is_yes_or_no(int code) { return code == 'y' || code == 'n' || is_cancel(code); }

// Only keys that are offered act, and those that leave everything as it is. Ctrl-C, which asked, may ask again.
static void answer_quit(Ui *ui, int code) {
    if (code == 'q' || code == KEY_CONTROL('c')) ui->quit = true;
    if (code == KEY_ESCAPE || code == 'n') close_prompt(ui);
    if (code != 'w' && !(code == 'o' && ui->recipe_path)) return;
    ui->quit_after_save = true;
    close_prompt(ui);
    if (code == 'w' && ui->recipe_path)
        action_save(ui, ui->recipe_path);
    else
        ui_ask(ui, PROMPT_SAVE, ui->recipe_path ? ui->recipe_path : "recipe.json");
}

static void answer_leave(Ui *ui, int code) {
    if (code != 'q' && code != 'n' && !is_cancel(code)) return;
    close_prompt(ui);
    if (code == 'q' || code == KEY_CONTROL('c')) action_leave(ui);
}

static void answer_replace(Ui *ui, int code) {
    const bool goes_on = code == 'g' && ui->convert.can_go_on, names = code == 'o';
    if (!goes_on && !names && !is_yes_or_no(code)) return;
    close_prompt(ui);
    if (goes_on) convert_go_on(ui);
    if (names) convert_name_folder(ui, "");
    if (code == 'y') convert_replace(ui);
}

static void answer_fix(Ui *ui, int code) {
    if (!is_yes_or_no(code)) return;
    close_prompt(ui);
    if (code == 'y') convert_fix_asked(ui, true);
}

static void answer_refused(Ui *ui, int code) {
    const bool fixes = code == 'f' && ui->convert.can_fix, writes = code == 'y' && ui->convert.can_write;
    if (!fixes && !writes && code != 'n' && !is_cancel(code)) return;
    close_prompt(ui);
    if (fixes) convert_fix_asked(ui, false);
    if (writes) convert_accept(ui);
}

static void answer_overwrite(Ui *ui, int code) {
    char path[sizeof ui->editor.text];
    memcpy(path, ui->editor.text, sizeof path);
    if (code == 'y') {
        close_prompt(ui);
        action_overwrite(ui, path);
    } else if (is_yes_or_no(code))
        ui_ask(ui, PROMPT_SAVE, path);
}

static void answer_restore(Ui *ui, int code) {
    Error err = {0};
    if (code == 'y') {
        close_prompt(ui);
        if (!ui_report(ui, workbench_restore(ui->workbench, &ui->unsaved.kept, &err), &err)) return;
        ui_say(ui, "unsaved changes are restored; w writes them to a file, u undoes them");
        ui_update(ui);
    } else if (code == 'n') {
        unsaved_forget(&ui->unsaved);
        close_prompt(ui);
    } else if (is_cancel(code)) {
        unsaved_set_aside(&ui->unsaved);
        close_prompt(ui);
    }
}

static void answer_forget(Ui *ui, int code) {
    if (!is_yes_or_no(code)) return;
    close_prompt(ui);
    if (code == 'y') trials_drop(ui);
}

// "granularity=ad" is completed as "set granularity ad" is.
static void complete_rule(Ui *ui) {
    char whole[sizeof ui->editor.text + 8], line[sizeof ui->editor.text];
    char *blank = strrchr(ui->editor.text, ' '), *end;
    if (!blank) return; // names have no completion
    const size_t before = (size_t)(blank + 1 - ui->editor.text);
    snprintf(whole, sizeof whole, "set %s", blank + 1);
    if ((end = strchr(whole, '='))) *end = ' ';
    command_complete(ui, whole, line, sizeof line);
    if ((end = strchr(line + 4, ' '))) *end = '=';
    snprintf(whole, sizeof ui->editor.text, "%.*s%s", (int)before, ui->editor.text, line + 4);
    line_editor_set(&ui->editor, whole);
}

static void prompt_complete(Ui *ui) {
    char line[sizeof ui->editor.text], prefix[80] = "";
    if (ui->prompt == PROMPT_RULE) {
        complete_rule(ui);
        return;
    }
    // Elsewhere than on the command line, completion works as in the command of the same meaning.
    if (ui->prompt == PROMPT_DIAL) snprintf(prefix, sizeof prefix, "set %s ", dial_table[ui->dial].option);
    if (ui->prompt == PROMPT_SAVE) snprintf(prefix, sizeof prefix, "w ");
    if (ui->prompt == PROMPT_FOLDER) snprintf(prefix, sizeof prefix, "folder ");
    if (ui->prompt == PROMPT_EXPORT) snprintf(prefix, sizeof prefix, "export ");
    if (ui->prompt == PROMPT_LOAD) snprintf(prefix, sizeof prefix, "load ");
    if (ui->prompt == PROMPT_FILTER || ui->prompt == PROMPT_MARK) snprintf(prefix, sizeof prefix, "filter ");
    if (!*prefix && ui->prompt != PROMPT_COMMAND) return;
    char whole[sizeof line + sizeof prefix];
    snprintf(whole, sizeof whole, "%s%s", prefix, ui->editor.text);
    command_complete(ui, whole, line, sizeof line);
    line_editor_set(&ui->editor, line + strlen(prefix));
}

static void edit_line(Ui *ui, int code) {
    ui->message.text[0] = '\0';
    if (code != KEY_TAB) ui->suggestions[0] = '\0';
    const bool empty = ui->editor.length == 0;
    if (code == KEY_ESCAPE || code == KEY_CONTROL('c') ||
        (code == KEY_ERASE && empty && ui->prompt != PROMPT_TEXT && ui->prompt != PROMPT_NOTE)) {
        ui->quit_after_save = ui->convert.start_when_named = false;
        undo_preview(ui);
        close_prompt(ui);
    } else if (code == KEY_RETURN)
        prompt_accept(ui);
    else if (code == KEY_TAB)
        prompt_complete(ui);
    else if (code == KEY_ARROW_UP)
        line_history_step(&ui->histories[ui->prompt], &ui->editor, -1);
    else if (code == KEY_ARROW_DOWN)
        line_history_step(&ui->histories[ui->prompt], &ui->editor, 1);
    else
        line_editor_key(&ui->editor, code);
    prompt_preview(ui);
}

static void take_code(Ui *ui, int code) {
    switch (ui->prompt) {
    case PROMPT_SORT:
    case PROMPT_SWEEP:
    case PROMPT_SWEEP_SECOND: menu_key(ui, code); break;
    case PROMPT_QUIT: answer_quit(ui, code); break;
    case PROMPT_LEAVE: answer_leave(ui, code); break;
    case PROMPT_REPLACE: answer_replace(ui, code); break;
    case PROMPT_FIX: answer_fix(ui, code); break;
    case PROMPT_REFUSED: answer_refused(ui, code); break;
    case PROMPT_OVERWRITE: answer_overwrite(ui, code); break;
    case PROMPT_RESTORE: answer_restore(ui, code); break;
    case PROMPT_FORGET: answer_forget(ui, code); break;
    case PROMPT_COMMAND:
    case PROMPT_FIND:
    case PROMPT_FILTER:
    case PROMPT_MARK:
    case PROMPT_RULE:
    case PROMPT_SAVE:
    case PROMPT_LOAD:
    case PROMPT_TEXT:
    case PROMPT_DIAL:
    case PROMPT_NOTE:
    case PROMPT_FOLDER:
    case PROMPT_EXPORT:
    case PROMPT_BUDGET: edit_line(ui, code); break;
    case PROMPT_NONE:
    case PROMPT_COUNT: break;
    }
}

// On an answer, as if its key was pressed.
static void take_click(Ui *ui, const Key *key) {
    const Hit *hit = key->action == MOUSE_PRESS ? ui_hit_at(ui, key->row, key->col) : NULL;
    if (hit && hit->kind == HIT_ITEM) menu_click(ui, hit->value);
    if (hit && hit->kind == HIT_KEY) take_code(ui, hit->value);
}

void prompt_key(Ui *ui, const Key *key) {
    if (key->code == KEY_MOUSE_EVENT)
        take_click(ui, key);
    else
        take_code(ui, key->code);
}

static bool asks_for_a_key(const Ui *ui) {
    return ui->prompt == PROMPT_SORT || ui->prompt == PROMPT_SWEEP || ui->prompt == PROMPT_SWEEP_SECOND ||
           ui->prompt == PROMPT_QUIT || ui->prompt == PROMPT_OVERWRITE || ui->prompt == PROMPT_RESTORE ||
           ui->prompt == PROMPT_LEAVE || ui->prompt == PROMPT_REPLACE || ui->prompt == PROMPT_FIX ||
           ui->prompt == PROMPT_REFUSED || ui->prompt == PROMPT_FORGET;
}

static bool names_a_file(const Ui *ui) {
    return ui->prompt == PROMPT_FOLDER || ui->prompt == PROMPT_SAVE || ui->prompt == PROMPT_LOAD ||
           ui->prompt == PROMPT_EXPORT;
}

// A whole path stands for itself: behind another one, or behind a name that was offered, it would mean nothing.
static bool replaces_line(const Ui *ui, const char *text) {
    return names_a_file(ui) && ui->editor.cursor == ui->editor.length && (*text == '/' || *text == '~');
}

// Pasted text is never keys: it goes into a line that is being edited, or nowhere.
void prompt_paste(Ui *ui, const char *text) {
    const bool takes = ui->prompt != PROMPT_NONE && !asks_for_a_key(ui);
    if (takes && replaces_line(ui, text)) line_editor_set(&ui->editor, "");
    if (!takes)
        ui_fail(ui, "pasting works only in prompts and on the command line (:)");
    else if (!line_editor_paste(&ui->editor, text))
        ui_fail(ui, "the pasted text was cut: a line has at most %zu bytes", sizeof ui->editor.text - 1);
    else
        ui->message.text[0] = '\0';
    prompt_preview(ui);
}

// ---- drawing ------------------------------------------------------------------------------------------------------

static bool reads_source(const Ui *ui) { return workbench_structure(ui->workbench)->config.pair.encoder_layers > 0; }

const char *prompt_mark(const Ui *ui) {
    return workbench_is_chat(ui->workbench) ? " assistant: " : reads_source(ui) ? " → " : "";
}

static const char *what_prompts_do(const Ui *ui) {
    return workbench_is_chat(ui->workbench) ? "ask" : reads_source(ui) ? "source" : "continue";
}

static void label_of(const Ui *ui, char *out, size_t size) {
    switch (ui->prompt) {
    case PROMPT_COMMAND: snprintf(out, size, ":"); break;
    case PROMPT_FIND: snprintf(out, size, "find /"); break;
    case PROMPT_FILTER: snprintf(out, size, "show only &"); break;
    case PROMPT_MARK: snprintf(out, size, "mark "); break;
    case PROMPT_RULE: snprintf(out, size, "names dial=value … "); break;
    case PROMPT_SAVE: snprintf(out, size, "write recipe to "); break;
    case PROMPT_LOAD: snprintf(out, size, "load recipe from "); break;
    case PROMPT_TEXT: snprintf(out, size, "%s ", what_prompts_do(ui)); break;
    case PROMPT_DIAL: snprintf(out, size, "%s ", dial_table[ui->dial].label); break;
    case PROMPT_FOLDER: snprintf(out, size, "write the model to "); break;
    case PROMPT_BUDGET: snprintf(out, size, "bits per weight, or kl and a bound: "); break;
    case PROMPT_NOTE: snprintf(out, size, "note to %s: ", trials_name(ui, ui->trials.asked).text); break;
    case PROMPT_EXPORT: snprintf(out, size, "write .csv, .md or .svg to "); break;
    case PROMPT_SORT:
    case PROMPT_SWEEP:
    case PROMPT_SWEEP_SECOND:
    case PROMPT_QUIT:
    case PROMPT_LEAVE:
    case PROMPT_REPLACE:
    case PROMPT_FIX:
    case PROMPT_REFUSED:
    case PROMPT_OVERWRITE:
    case PROMPT_RESTORE:
    case PROMPT_FORGET:
    case PROMPT_NONE:
    case PROMPT_COUNT: *out = '\0'; break;
    }
}

static void draw_choice(Ui *ui, Rect line, const char *question, const char *const *keys, const char *const *labels,
                        int count) {
    int needed = 0; // by the answers: they are seen in any case
    for (int i = 0; i < count; i++)
        needed += canvas_width(&ui->canvas, keys[i]) + canvas_width(&ui->canvas, labels[i]) + 3;
    line.col += canvas_fit(&ui->canvas, line.row, line.col, line.cols - needed, MEANING_CHANGED, question);
    Pen pen = pen_at(&ui->canvas, line);
    for (int i = 0; i < count; i++) {
        pen_text(&pen, MEANING_TEXT, "  ");
        const int from = pen.col;
        pen_text(&pen, MEANING_ACCENT, "%s", keys[i]);
        pen_text(&pen, MEANING_TEXT, " %s", labels[i]);
        ui_hit(ui, (Rect){line.row, from, 1, pen.col - from}, HIT_KEY,
               strcmp(keys[i], "Esc") == 0 ? KEY_ESCAPE : keys[i][0]);
    }
}

static void draw_editor(Ui *ui, Rect line) {
    Canvas *canvas = &ui->canvas;
    char label[96];
    label_of(ui, label, sizeof label);
    int col = line.col + canvas_text(canvas, line.row, line.col, line.cols, MEANING_ACCENT, label);
    const int note = ui->preview.wrong || !*ui->preview.text ? 0 : canvas_width(canvas, ui->preview.text) + 2;
    canvas_right(canvas, line.row, line.col, line.cols, MEANING_TITLE, note ? ui->preview.text : "");
    line.cols -= note;
    const int room = line.col + line.cols - col - 1;
    // What stands before the cursor scrolls out at the left when there is no room.
    const char *text = ui->editor.text;
    char head[sizeof ui->editor.text];
    snprintf(head, sizeof head, "%.*s", (int)ui->editor.cursor, text);
    while (canvas_width(canvas, head + (text - ui->editor.text)) > room) {
        int width;
        text += canvas_character(canvas, text, &width);
    }
    canvas_text(canvas, line.row, col, room, MEANING_TEXT | (ui->editor.fresh ? STYLE_SELECTED : 0), text);
    canvas->cursor_row = line.row;
    canvas->cursor_col = col + canvas_width(canvas, head + (text - ui->editor.text));
}

// Refusals and completions stand above the line that is being edited.
static void draw_above(Ui *ui, Rect line) {
    const char *wrong = ui->preview.wrong ? ui->preview.text : "";
    const char *refusal = *ui->message.text ? ui->message.text : wrong, *text = *refusal ? refusal : ui->suggestions;
    if (!*text) return;
    line.row--;
    panel_message_draw(ui, line, (*refusal ? MEANING_ERROR : MEANING_TEXT) | STYLE_SELECTED, text);
}

static void draw_quit(Ui *ui, Rect line) {
    static const char *const keys[] = {"w", "q", "Esc"}, *const labels[] = {"write and quit", "quit without saving",
                                                                            "stay"};
    static const char *const file_keys[] = {"w", "o", "q", "Esc"}, *const file_labels[] = {"overwrite", "another file",
                                                                                           "quit without", "stay"};
    char question[sizeof ui->editor.text + 32];
    if (!ui->recipe_path) {
        draw_choice(ui, line, "The recipe is not saved.", keys, labels, 3);
        return;
    }
    const char *slash = strrchr(ui->recipe_path, '/');
    snprintf(question, sizeof question, "%s differs.", slash ? slash + 1 : ui->recipe_path);
    draw_choice(ui, line, question, file_keys, file_labels, 4);
}

static void draw_overwrite(Ui *ui, Rect line) {
    static const char *const keys[] = {"y", "n"}, *const labels[] = {"overwrite", "another name"};
    char question[sizeof ui->editor.text + 32];
    snprintf(question, sizeof question, "%s already exists.", ui->editor.text);
    draw_choice(ui, line, question, keys, labels, 2);
}

static void draw_leave(Ui *ui, Rect line) {
    static const char *const keys[] = {"q", "Esc"}, *const labels[] = {"quit", "stay"};
    draw_choice(ui, line, "A model is being written; it goes on the next time.", keys, labels, 2);
}

static void draw_replace(Ui *ui, Rect line) {
    static const char *const keys[] = {"g", "y", "o", "n"}, *const labels[] = {"go on", "replace", "another", "leave"};
    const int first = ui->convert.can_go_on ? 0 : 1;
    draw_choice(ui, line, first ? "The folder holds something else." : "An earlier recipe began it.", keys + first,
                labels + first, 4 - first);
}

// Read whole, above the line with the answers.
static void draw_question(Ui *ui, Rect line) {
    panel_message_draw(ui, (Rect){line.row - 1, line.col - 1, 1, line.cols + 2}, MEANING_CHANGED | STYLE_SELECTED,
                       ui->editor.text);
}

static void draw_fix(Ui *ui, Rect line) {
    static const char *const keys[] = {"y", "n"}, *const labels[] = {"do it", "leave the recipe"};
    draw_question(ui, line);
    draw_choice(ui, line, "Do that?", keys, labels, 2);
}

static void draw_refused(Ui *ui, Rect line) {
    const char *keys[3], *labels[3];
    int count = 0;
    draw_question(ui, line);
    if (ui->convert.can_fix) keys[count] = "f", labels[count++] = "fix the recipe";
    if (ui->convert.can_write) keys[count] = "y", labels[count++] = "write it";
    keys[count] = "n", labels[count++] = "leave";
    draw_choice(ui, line, ui->convert.can_write ? "Write it all the same?" : "Mend it?", keys, labels, count);
}

static void draw_restore(Ui *ui, Rect line) {
    static const char *const keys[] = {"y", "n", "Esc"}, *const labels[] = {"restore", "discard", "later"};
    char question[80];
    struct tm when;
    const bool known = ui->unsaved.when && localtime_r(&ui->unsaved.when, &when);
    if (!known || !strftime(question, sizeof question, "Changes of %Y-%m-%d %H:%M were not saved.", &when))
        snprintf(question, sizeof question, "Earlier changes were not saved.");
    draw_choice(ui, line, question, keys, labels, 3);
}

static void draw_forget(Ui *ui, Rect line) {
    static const char *const keys[] = {"y", "n"}, *const labels[] = {"forget it", "keep it"};
    const TrialRow *row = trials_row(workbench_trials(ui->workbench), ui->trials.asked);
    char question[160];
    snprintf(question, sizeof question, "Forget %s with its %stexts and figures? u does not bring them back.",
             trials_name(ui, ui->trials.asked).text, row && *row->note ? "note, " : "");
    draw_choice(ui, line, question, keys, labels, 2);
}

void prompt_draw(Ui *ui) {
    const Rect line = rect_inset(ui->layout.bottom, 1);
    canvas_fill(&ui->canvas, line, MEANING_TEXT, " ");
    const Rect inside = rect_inset(line, 1);
    switch (ui->prompt) {
    case PROMPT_SORT:
    case PROMPT_SWEEP:
    case PROMPT_SWEEP_SECOND: menu_draw(ui, inside); break;
    case PROMPT_QUIT: draw_quit(ui, inside); break;
    case PROMPT_LEAVE: draw_leave(ui, inside); break;
    case PROMPT_REPLACE: draw_replace(ui, inside); break;
    case PROMPT_FIX: draw_fix(ui, inside); break;
    case PROMPT_REFUSED: draw_refused(ui, inside); break;
    case PROMPT_OVERWRITE: draw_overwrite(ui, inside); break;
    case PROMPT_RESTORE: draw_restore(ui, inside); break;
    case PROMPT_FORGET: draw_forget(ui, inside); break;
    case PROMPT_COMMAND:
    case PROMPT_FIND:
    case PROMPT_FILTER:
    case PROMPT_MARK:
    case PROMPT_RULE:
    case PROMPT_SAVE:
    case PROMPT_LOAD:
    case PROMPT_TEXT:
    case PROMPT_DIAL:
    case PROMPT_NOTE:
    case PROMPT_FOLDER:
    case PROMPT_EXPORT:
    case PROMPT_BUDGET: draw_editor(ui, inside); break;
    case PROMPT_NONE:
    case PROMPT_COUNT: break;
    }
    draw_above(ui, line);
}
