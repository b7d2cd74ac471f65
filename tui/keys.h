// One table of what the user can ask for, by a key, by a command after the colon, or by both: it dispatches keys, runs
// and completes commands, and fills the line at the bottom and the help.
#pragma once

#include "tui/ui.h"

typedef enum KeyGroup {
    KEYS_LAYERS,
    KEYS_DIALS,
    KEYS_RECIPE,
    KEYS_OUTLIERS,
    KEYS_SWEEP,
    KEYS_SENSITIVITY,
    KEYS_TRIALS,
    KEYS_CONVERT,
    KEYS_PROGRAM,
    KEY_GROUPS
} KeyGroup;
// On which screen, or of the first one in which pane.
typedef enum Where {
    EVERYWHERE,
    ON_LAYERS,
    IN_LAYERS,
    IN_DIALS,
    IN_TEXTS,
    ON_OUTLIERS,
    ON_TRIALS,
    ON_SWEEP,
    ON_SENSITIVITY,
    ON_CONVERT,
    WHERE_COUNT
} Where;
typedef enum Completion {
    COMPLETE_NOTHING,
    COMPLETE_DIAL,
    COMPLETE_FILE,
    COMPLETE_RECIPE, // a .json file
    COMPLETE_COLUMN,
    COMPLETE_FILTER,
    COMPLETE_SCHEME,
    COMPLETE_ENGINE,
    COMPLETE_SCOPE,
    COMPLETE_BUDGET,
    COMPLETE_ACTION, // what has keys, and these
    COMPLETE_CHANGED // what has others than usual
} Completion;

// When the line at the bottom names a key.
typedef enum BarWhen {
    BAR_ALWAYS,
    BAR_IN_TABLE, // of Trials, and
    BAR_IN_TEXTS,
    BAR_ON_STUDY, // there is one to stop, or to go on with
    BAR_PUT_OFF,  // one waits to be asked for
    BAR_ON_EXPORT,
} BarWhen;

typedef struct Binding {
    int keys[3];       // 0: none; a row without keys is only a command
    const char *shown; // "↑ k"
    KeyGroup group;
    Where where; // which screen must be shown, and which pane have the keys
    void (*run)(Ui *ui, int argument);
    int argument;
    const char *help; // NULL: the line before says it too
    const char *bar;  // label in the line at the bottom; NULL: not there
    BarWhen bar_when;
    int rank;         // the larger, the sooner it leaves that line when there is no room
    const char *word; // its command; NULL: only keys
    const char *text; // what the command takes, as the help shows it; NULL: nothing, it does what the key does
    Completion completion;
    void (*run_text)(Ui *ui, const char *text); // of a command that takes something; "" when nothing follows the word
    const char *example;                        // of such a command, without the colon
    const char *also; // words that people look for it by, beside those of the help; NULL: none
} Binding;

extern const Binding bindings[];
extern const int binding_count;
extern const char *const key_group_titles[KEY_GROUPS];

bool binding_counts(const Ui *ui, const Binding *binding); // on the screen and in the pane that has the keys
bool binding_has_key(const Settings *settings, const Binding *binding, int code);
// How its keys are shown, and whether they are others than the table says.
const char *binding_shown(const Settings *settings, const Binding *binding, bool *changed);
bool keys_dispatch(Ui *ui, int code); // false: no such key here
bool keys_click(Ui *ui, int code);    // the same for a key of the table, whatever the settings made of it
