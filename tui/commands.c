#include "tui/commands.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/expand.h"
#include "base/file.h"
#include "tui/actions.h"
#include "tui/dials.h"
#include "tui/key_names.h"
#include "tui/keys.h"

static const Binding *command_named(const char *word, size_t length) {
    for (int i = 0; i < binding_count; i++) {
        const char *own = bindings[i].word;
        if (own && strlen(own) == length && memcmp(own, word, length) == 0) return &bindings[i];
    }
    return NULL;
}

void command_run(Ui *ui, const char *line) {
    line += strspn(line, " :");
    const size_t length = strcspn(line, " ");
    if (length == 0) return;
    const Binding *command = command_named(line, length);
    const char *rest = line + length + strspn(line + length, " ");
    const bool number = strspn(line, "0123456789") == length;
    if (number && *rest)
        ui_fail(ui, "a row is one number, not “%.60s”", line);
    else if (number)
        action_row(ui, length > 9 ? INT_MAX : atoi(line));
    else if (!command)
        ui_fail(ui, "there is no command “%.*s”; :help lists them", (int)length, line);
    else if (command->run_text)
        command->run_text(ui, rest);
    else if (*rest)
        ui_fail(ui, "“%s” takes nothing after it, and got “%.60s”", command->word, rest);
    else
        command->run(ui, command->argument);
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

static bool begins(const Candidates *c, const char *word) { return strncmp(word, c->prefix, strlen(c->prefix)) == 0; }

static void candidate_take(Candidates *c, const char *word, const char *shown) {
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

static void candidate_add(Candidates *c, const char *word, const char *shown) {
    if (begins(c, word)) candidate_take(c, word, shown);
}

static bool names_file(Completion what) { return what == COMPLETE_FILE || what == COMPLETE_RECIPE; }

static bool is_offered(Completion what, const char *name, bool folder) {
    const char *ending = strrchr(name, '.');
    return folder || what == COMPLETE_FILE || (what == COMPLETE_RECIPE && ending && strcmp(ending, ".json") == 0);
}

// Folders in any case, to go on from.
static void offer_files(Candidates *c, Completion what) {
    const char *slash = strrchr(c->prefix, '/');
    char folder[512] = "."; // as it was typed: what is offered keeps its ~
    if (slash) snprintf(folder, sizeof folder, "%.*s", (int)(slash - c->prefix + 1), c->prefix);
    char *opened = home_expand(folder, NULL);
    struct dirent **entries = NULL;
    const int count = opened ? scandir(opened, &entries, NULL, alphasort) : 0;
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        const bool hidden = name[0] == '.' && !(slash ? slash[1] == '.' : c->prefix[0] == '.');
        char word[1024], *path = path_join(opened, name);
        const bool is_folder = path && folder_exists(path);
        snprintf(word, sizeof word, "%s%s%s", slash ? folder : "", name, is_folder ? "/" : "");
        if (!hidden && is_offered(what, name, is_folder)) candidate_add(c, word, word + (slash ? strlen(folder) : 0));
        free(path);
        free(entries[i]);
    }
    free(entries);
    free(opened);
}

static void offer_dial_values(Candidates *c, Dial dial) {
    double settings[DIAL_SETTINGS_MOST];
    const int count = dial_settings(dial, settings, DIAL_SETTINGS_MOST);
    for (int i = 0; i < count; i++) {
        char text[64];
        dial_format(dial, settings[i], text, sizeof text);
        candidate_add(c, text, text);
    }
}

// By its option, else by the label that the screen shows: as that where it is one word.
static void offer_dial(Candidates *c, const DialInfo *dial) {
    const bool labelled = !begins(c, dial->option) && begins(c, dial->label);
    const char *word = labelled && !strchr(dial->label, ' ') ? dial->label : dial->option;
    if (labelled || begins(c, dial->option)) candidate_take(c, word, word);
}

static void offer_dials(Candidates *c, const char *argument, size_t before) {
    const int dial = before > 0 ? dials_named(argument, strcspn(argument, " ")) : -1;
    if (dial >= 0)
        offer_dial_values(c, (Dial)dial);
    else if (before == 0) {
        for (int i = 0; i < DIAL_COUNT; i++) offer_dial(c, &dial_table[i]);
    }
}

// Those of vLLM also by their devices: "sm80", "a100".
static void offer_engines(Candidates *c) {
    static const char vllm[] = "vllm-sm";
    for (int i = 0; i < TARGET_COUNT; i++) candidate_add(c, target_table[i].name, target_table[i].name);
    for (int i = 0; i < TARGET_COUNT && *c->prefix == 's'; i++) {
        const char *name = target_table[i].name, *device = name + sizeof vllm - 3;
        if (strncmp(name, vllm, sizeof vllm - 1) == 0) candidate_add(c, device, device);
    }
    for (const CardInfo *card = card_table; card->name && *c->prefix; card++) candidate_add(c, card->name, card->name);
    candidate_add(c, "none", "none");
}

// Words that a filter compares with, of the model: "role = " d…
static void offer_words(Candidates *c, const Ui *ui, const char *field) {
    const ModelStructure *structure = workbench_structure(ui->workbench);
    bool has[ROLE_COUNT] = {false};
    for (int i = 0; i < structure->linear_count; i++) has[structure->linears[i].role] = true;
    const bool roles = strcmp(field, filter_field_name(FIELD_ROLE)) == 0;
    for (int role = 0; roles && role < ROLE_COUNT; role++)
        if (has[role]) candidate_add(c, role_name((LinearRole)role), role_name((LinearRole)role));
    for (FptqClass class = CLASS_STATIC; !roles && class <= CLASS_TOKEN; class ++)
        candidate_add(c, class_name(class), class_name(class));
}

// The field whose word is about to stand at the end of what was typed: "role" of "layer > 3 role =". NULL: none.
static const char *field_of_word(const char *typed, size_t length) {
    while (length && typed[length - 1] == ' ') length--;
    const size_t before = length;
    while (length && strchr("=!", typed[length - 1])) length--;
    if (length == before) return NULL;
    while (length && typed[length - 1] == ' ') length--;
    const char *const words[] = {filter_field_name(FIELD_ROLE), filter_field_name(COLUMN_CLASS)};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const size_t own = strlen(words[i]);
        if (length >= own && memcmp(typed + length - own, words[i], own) == 0) return words[i];
    }
    return NULL;
}

static void offer_filter(Candidates *c, const Ui *ui, const char *argument, size_t before) {
    const char *field = field_of_word(argument, before);
    if (field) offer_words(c, ui, field);
    for (int i = COLUMN_LINEAR + 1; !field && i < FIELD_COUNT; i++)
        candidate_add(c, filter_field_name(i), filter_field_name(i));
}

// The name first, then keys.
static void offer_actions(Candidates *c, const Ui *ui, bool changed, size_t before) {
    char words[256];
    snprintf(words, sizeof words, "%s", key_words());
    for (char *rest = words, *key; before && !changed && (key = strtok_r(rest, ", ", &rest));)
        candidate_add(c, key, key);
    for (int i = 0; !before && i < binding_count; i++) {
        const char *name = binding_name(&bindings[i]);
        if (name && action_named(name) == i && (!changed || settings_keys(&ui->settings, name)))
            candidate_add(c, name, name);
    }
}

static void offer_arguments(Candidates *c, const Ui *ui, const Binding *command, const char *argument, size_t before) {
    switch (command->completion) {
    case COMPLETE_DIAL: offer_dials(c, argument, before); break;
    case COMPLETE_FILE:
    case COMPLETE_RECIPE: offer_files(c, command->completion); break;
    case COMPLETE_COLUMN:
        for (int i = 0; i < COLUMN_COUNT; i++) candidate_add(c, column_table[i].name, column_table[i].name);
        break;
    case COMPLETE_FILTER: offer_filter(c, ui, argument, before); break;
    case COMPLETE_SCHEME:
        for (int i = 0; i < COLORS_COUNT; i++) candidate_add(c, color_scheme_names[i], color_scheme_names[i]);
        break;
    case COMPLETE_SCOPE:
        for (int i = 0; i < SCOPES; i++) candidate_add(c, scope_names[i], scope_names[i]);
        break;
    case COMPLETE_ENGINE: offer_engines(c); break;
    case COMPLETE_BUDGET: candidate_add(c, "kl", "kl"); break;
    case COMPLETE_ACTION:
    case COMPLETE_CHANGED: offer_actions(c, ui, command->completion == COMPLETE_CHANGED, before); break;
    case COMPLETE_NOTHING: break;
    }
}

bool command_takes(const Ui *ui, const Binding *command, const char *part) {
    char all[1024] = "";
    Candidates c = {.prefix = "", .list = all, .list_size = sizeof all};
    if (!command->text || names_file(command->completion) || command->completion == COMPLETE_ACTION) return false;
    offer_arguments(&c, ui, command, "", 0);
    return strcasestr(all, part) != NULL;
}

const char *command_example(const char *line) {
    const size_t length = strcspn(line, " ");
    const Binding *command = line[length] ? command_named(line, length) : NULL;
    return command && !line[length + strspn(line + length, " ")] ? command->example : NULL;
}

// Where the word begins that is to be completed. In a filter a sign parts it from what stands before, too.
static const char *last_word(const char *line, const Binding *command, const char *argument) {
    if (command && names_file(command->completion)) return argument;
    const char *word = line;
    for (const char *at = line; *at; at++) {
        if (*at == ' ' || (command && command->completion == COMPLETE_FILTER && *at == '=')) word = at + 1;
    }
    return word;
}

static bool takes_more(Completion what) { return what == COMPLETE_DIAL || what == COMPLETE_ACTION; }

void command_complete(Ui *ui, const char *line, char *out, size_t size) {
    const size_t name_length = strcspn(line, " ");
    const char *argument = line + name_length + strspn(line + name_length, " ");
    const Binding *command = line[name_length] ? command_named(line, name_length) : NULL;
    const char *word = last_word(line, command, argument);
    ui->suggestions[0] = '\0';
    Candidates c = {.prefix = word, .list = ui->suggestions, .list_size = sizeof ui->suggestions};
    if (command)
        offer_arguments(&c, ui, command, argument, word > argument ? (size_t)(word - argument) : 0);
    else if (!line[name_length]) {
        for (int i = 0; i < binding_count; i++) {
            if (bindings[i].word) candidate_add(&c, bindings[i].word, bindings[i].word);
        }
    }
    const char *shared = c.count && strlen(c.shared) >= strlen(word) ? c.shared : word;
    if (!c.count && *word && (!command || command->completion != COMPLETE_NOTHING))
        ui_fail(ui, "nothing completes “%s”", word);
    const bool whole = c.count == 1 && *shared && shared[strlen(shared) - 1] != '/';
    snprintf(out, size, "%.*s%s%s", (int)(word - line), line, shared,
             whole && !command                                              ? " "
             : whole && word == argument && takes_more(command->completion) ? " "
                                                                            : "");
    if (c.count < 2) ui->suggestions[0] = '\0';
}
