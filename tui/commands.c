#include "tui/commands.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/expand.h"
#include "base/file.h"
#include "tui/actions.h"
#include "tui/dials.h"

// ---- what they do -------------------------------------------------------------------------------------------------

// The dial of an option or recipe key: "group-size", "group_size"; −1 when there is none.
static int dial_named(const char *name, size_t length) {
    for (int i = 0; i < DIAL_COUNT; i++) {
        const char *const names[] = {dial_table[i].option, dial_table[i].key, dial_table[i].label};
        for (size_t j = 0; j < sizeof names / sizeof *names; j++) {
            if (strlen(names[j]) == length && memcmp(names[j], name, length) == 0) return i;
        }
    }
    return -1;
}

static void run_set(Ui *ui, const char *argument) {
    const size_t length = strcspn(argument, " =");
    const int dial = dial_named(argument, length);
    const char *text = argument + length + strspn(argument + length, " =");
    Error err = {0};
    double value;
    if (dial < 0) {
        ui_fail(ui, "there is no dial “%.*s”; Tab lists them", (int)length, argument);
        return;
    }
    if (!ui_report(ui, dial_parse((Dial)dial, text, &value, &err), &err)) return;
    ui->dial = (Dial)dial;
    dials_set(ui, (Dial)dial, value);
}

static void run_reset(Ui *ui, const char *argument) {
    const int dial = *argument ? dial_named(argument, strlen(argument)) : (int)ui->dial;
    if (!*argument && ui->focus != PANE_DIALS)
        ui_fail(ui, "name a dial, or go to one with Tab");
    else if (dial < 0)
        ui_fail(ui, "there is no dial “%s”; Tab lists them", argument);
    else
        dials_reset(ui, (Dial)dial);
}

static void run_write(Ui *ui, const char *argument) {
    if (*argument)
        action_save(ui, argument);
    else if (ui->recipe_path)
        action_save(ui, ui->recipe_path);
    else
        action_prompt(ui, PROMPT_SAVE);
}

static void run_overwrite(Ui *ui, const char *argument) {
    if (*argument)
        action_overwrite(ui, argument);
    else
        run_write(ui, argument);
}

static void run_write_quit(Ui *ui, const char *argument) {
    ui->quit_after_save = true;
    run_write(ui, argument);
}

static void run_load(Ui *ui, const char *argument) {
    if (*argument)
        action_load(ui, argument);
    else
        action_prompt(ui, PROMPT_LOAD);
}

static void run_prompt(Ui *ui, const char *argument) {
    if (*argument)
        workbench_set_prompt(ui->workbench, argument);
    else
        action_prompt(ui, PROMPT_TEXT);
}

static void run_sort(Ui *ui, const char *argument) {
    const int column = rows_column_named(argument);
    if (column < 0)
        ui_fail(ui, "there is no column “%s”; Tab lists them", argument);
    else
        action_sort_by(ui, column);
}

static void run_find(Ui *ui, const char *argument) {
    snprintf(ui->rows.find, sizeof ui->rows.find, "%s", argument);
    action_find(ui, 1);
}

static void run_filter(Ui *ui, const char *argument) {
    snprintf(ui->rows.filter, sizeof ui->rows.filter, "%s", argument);
    rows_arrange(&ui->rows);
}

static void run_theme(Ui *ui, const char *argument) {
    for (int i = 0; i < SCHEME_COUNT; i++) {
        if (strcmp(scheme_names[i], argument) != 0) continue;
        if (ui->terminal) terminal_set_scheme(ui->terminal, (Scheme)i);
        return;
    }
    ui_fail(ui, "there is no theme “%s”; there are auto, dark, light and mono", argument);
}

static void run_pin(Ui *ui, const char *argument) { (void)argument, action_pin(ui, 0); }
static void run_override(Ui *ui, const char *argument) { (void)argument, action_one_linear(ui, 0); }
static void run_ignore(Ui *ui, const char *argument) { (void)argument, action_ignore(ui, 0); }
static void run_undo(Ui *ui, const char *argument) { (void)argument, action_undo(ui, 0); }
static void run_redo(Ui *ui, const char *argument) { (void)argument, action_redo(ui, 0); }
static void run_stop(Ui *ui, const char *argument) { (void)argument, action_stop_jobs(ui, 0); }
static void run_help(Ui *ui, const char *argument) { (void)argument, action_help(ui, 0); }
static void run_quit(Ui *ui, const char *argument) { (void)argument, action_quit(ui, 0); }
static void run_quit_unsaved(Ui *ui, const char *argument) { (void)argument, ui->quit = true; }

const Command screen_commands[] = {
    {"set", "DIAL VALUE", COMPLETE_DIAL, run_set, "set a dial: set alpha 0.2, set granularity group"},
    {"reset", "[DIAL]", COMPLETE_DIAL, run_reset, "reset a dial to its default"},
    {"w", "[FILE]", COMPLETE_FILE, run_write, "write the recipe; asks before it overwrites another file"},
    {"w!", "[FILE]", COMPLETE_FILE, run_overwrite, "write the recipe without asking"},
    {"load", "FILE", COMPLETE_FILE, run_load, "load a recipe"},
    {"prompt", "[TEXT]", COMPLETE_NOTHING, run_prompt, "set the prompt that both models continue"},
    {"sort", "COLUMN", COMPLETE_COLUMN, run_sort, "sort the layers; again to reverse the order"},
    {"find", "TEXT", COMPLETE_NOTHING, run_find, "go to the next linear whose name contains TEXT"},
    {"filter", "[TEXT]", COMPLETE_NOTHING, run_filter, "show only linears whose names contain TEXT"},
    {"override", "", COMPLETE_NOTHING, run_override, "set dials for the selected linear only, or for all again"},
    {"ignore", "", COMPLETE_NOTHING, run_ignore, "leave the selected linear in its own precision"},
    {"pin", "", COMPLETE_NOTHING, run_pin, "compare with the current state"},
    {"undo", "", COMPLETE_NOTHING, run_undo, "undo the last change"},
    {"redo", "", COMPLETE_NOTHING, run_redo, "redo it"},
    {"stop", "", COMPLETE_NOTHING, run_stop, "stop or resume computing"},
    {"theme", "NAME", COMPLETE_SCHEME, run_theme, "colours: auto, dark, light, mono"},
    {"help", "", COMPLETE_NOTHING, run_help, "show keys and commands"},
    {"wq", "[FILE]", COMPLETE_FILE, run_write_quit, "write the recipe and quit"},
    {"q", "", COMPLETE_NOTHING, run_quit, "quit"},
    {"q!", "", COMPLETE_NOTHING, run_quit_unsaved, "quit without asking"},
};
const int screen_command_count = sizeof screen_commands / sizeof *screen_commands;

static const Command *command_named(const char *name, size_t length) {
    for (int i = 0; i < screen_command_count; i++) {
        if (strlen(screen_commands[i].name) == length && memcmp(screen_commands[i].name, name, length) == 0)
            return &screen_commands[i];
    }
    return NULL;
}

void command_run(Ui *ui, const char *line) {
    line += strspn(line, " :");
    const size_t length = strcspn(line, " ");
    if (length == 0) return;
    const Command *command = command_named(line, length);
    if (command)
        command->run(ui, line + length + strspn(line + length, " "));
    else
        ui_fail(ui, "there is no command “%.*s”; :help lists them", (int)length, line);
}

// ---- completion ---------------------------------------------------------------------------------------------------

// Gathers candidates that begin with a prefix, and what they share.
typedef struct Candidates {
    const char *prefix;
    char shared[1024]; // as much as an edited line holds
    int count;
    char *list; // of all, side by side
    size_t list_size;
} Candidates;

static void offer(Candidates *c, const char *word, const char *shown) {
    const size_t length = strlen(c->prefix);
    if (strncmp(word, c->prefix, length) != 0) return;
    size_t same = 0;
    while (c->count && c->shared[same] && c->shared[same] == word[same]) same++;
    if (c->count)
        c->shared[same] = '\0';
    else
        snprintf(c->shared, sizeof c->shared, "%s", word);
    const size_t used = strlen(c->list);
    snprintf(c->list + used, c->list_size - used, "%s%s", used ? "  " : "", shown);
    c->count++;
}

static void offer_files(Candidates *c) {
    const char *slash = strrchr(c->prefix, '/');
    char folder[512] = "."; // as it was typed: what is offered keeps its ~
    if (slash) snprintf(folder, sizeof folder, "%.*s", (int)(slash - c->prefix + 1), c->prefix);
    char *opened = home_expand(folder, NULL);
    DIR *stream = opened ? opendir(opened) : NULL;
    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        if (entry->d_name[0] == '.' && !(slash ? slash[1] == '.' : c->prefix[0] == '.')) continue;
        char word[1024], *path = path_join(opened, entry->d_name);
        snprintf(word, sizeof word, "%s%s%s", slash ? folder : "", entry->d_name,
                 path && folder_exists(path) ? "/" : "");
        offer(c, word, word + (slash ? strlen(folder) : 0));
        free(path);
    }
    if (stream) closedir(stream);
    free(opened);
}

static void offer_dial_values(Candidates *c, Dial dial) {
    double settings[DIAL_SETTINGS_MOST];
    const int count = dial_settings(dial, settings, DIAL_SETTINGS_MOST);
    for (int i = 0; i < count; i++) {
        char text[64];
        dial_format(dial, settings[i], text, sizeof text);
        offer(c, text, text);
    }
}

static void offer_dials(Candidates *c, const char *argument, size_t before) {
    const int dial = before > 0 ? dial_named(argument, strcspn(argument, " ")) : -1;
    if (dial >= 0)
        offer_dial_values(c, (Dial)dial);
    else if (before == 0) {
        for (int i = 0; i < DIAL_COUNT; i++) offer(c, dial_table[i].option, dial_table[i].option);
    }
}

static void offer_arguments(Candidates *c, const Command *command, const char *argument, size_t before) {
    switch (command->completion) {
    case COMPLETE_DIAL: offer_dials(c, argument, before); break;
    case COMPLETE_FILE: offer_files(c); break;
    case COMPLETE_COLUMN:
        for (int i = 0; i < COLUMN_COUNT; i++) offer(c, column_table[i].name, column_table[i].name);
        break;
    case COMPLETE_SCHEME:
        for (int i = 0; i < SCHEME_COUNT; i++) offer(c, scheme_names[i], scheme_names[i]);
        break;
    default: break;
    }
}

void command_complete(Ui *ui, const char *line, char *out, size_t size) {
    const size_t name_length = strcspn(line, " ");
    const char *argument = line + name_length + strspn(line + name_length, " ");
    const Command *command = line[name_length] ? command_named(line, name_length) : NULL;
    const char *last = strrchr(line, ' ');
    const char *word = command && command->completion == COMPLETE_FILE ? argument : last ? last + 1 : line;
    ui->suggestions[0] = '\0';
    Candidates c = {.prefix = word, .list = ui->suggestions, .list_size = sizeof ui->suggestions};
    if (command)
        offer_arguments(&c, command, argument, word > argument ? (size_t)(word - argument) : 0);
    else if (!line[name_length]) {
        for (int i = 0; i < screen_command_count; i++) offer(&c, screen_commands[i].name, screen_commands[i].name);
    }
    const char *shared = c.count ? c.shared : word;
    const bool whole = c.count == 1 && *shared && shared[strlen(shared) - 1] != '/';
    snprintf(out, size, "%.*s%s%s", (int)(word - line), line, shared,
             whole && !command                                                   ? " "
             : whole && command->completion == COMPLETE_DIAL && word == argument ? " "
                                                                                 : "");
    if (c.count < 2) ui->suggestions[0] = '\0';
}
