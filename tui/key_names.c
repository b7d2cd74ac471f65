#include "tui/key_names.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "tui/actions.h"
#include "tui/menu.h"
#include "tui/outliers.h"
#include "tui/sensitivity.h"
#include "tui/sweep.h"
#include "tui/trials.h"
#include "tui/view.h"

// ---- keys ---------------------------------------------------------------------------------------------------------

static const struct {
    const char *name;
    int code;
} words[] = {
    {"space", ' '},
    {"tab", KEY_TAB},
    {"shift-tab", KEY_BACK_TAB},
    {"enter", KEY_RETURN},
    {"esc", KEY_ESCAPE},
    {"backspace", KEY_ERASE},
    {"delete", KEY_FORWARD_ERASE},
    {"up", KEY_ARROW_UP},
    {"down", KEY_ARROW_DOWN},
    {"left", KEY_ARROW_LEFT},
    {"right", KEY_ARROW_RIGHT},
    {"shift-left", KEY_SHIFT_LEFT},
    {"shift-right", KEY_SHIFT_RIGHT},
    {"pgup", KEY_PAGE_UP},
    {"pgdn", KEY_PAGE_DOWN},
    {"home", KEY_TO_START},
    {"end", KEY_TO_END},
};

const char *key_words(void) {
    return "space, tab, shift-tab, enter, esc, backspace, delete, up, down, left, right, shift-left, shift-right, "
           "pgup, pgdn, home, end";
}

const char *key_word(int code) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].code == code) return words[i].name;
    return NULL;
}

// Ctrl-H, I, J, M and [ are other keys to a terminal, and Ctrl-Z is its own.
static int control_named(const char *letter) {
    const int lower = tolower((unsigned char)*letter);
    return lower >= 'a' && lower <= 'z' && !letter[1] && !strchr("hijmz", lower) ? KEY_CONTROL(lower) : 0;
}

static int function_named(const char *number) {
    char *end;
    const long n = strtol(number, &end, 10);
    return *number && !*end && n >= 1 && n <= FUNCTION_KEYS ? KEY_FUNCTION((int)n) : 0;
}

int key_named(const char *text) {
    uint32_t code;
    const size_t length = utf8_read(text, strnlen(text, 4), &code);
    if (length && !text[length]) return code > ' ' && code != 0x7F ? (int)code : 0;
    if (strncasecmp(text, "ctrl-", 5) == 0) return control_named(text + 5);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(words[i].name, text) == 0) return words[i].code;
    }
    return tolower((unsigned char)*text) == 'f' ? function_named(text + 1) : 0;
}

// ---- what they do -------------------------------------------------------------------------------------------------

// Of rows that are no commands.
static const struct {
    Where where;
    void (*run)(Ui *ui, int argument);
    int argument;
    const char *name;
} names[] = {
    {ON_LAYERS, view_next_pane, 1, "next-pane"},
    {ON_LAYERS, view_next_pane, -1, "previous-pane"},
    {IN_LAYERS, action_move_row, -1, "up"},
    {IN_LAYERS, action_move_row, 1, "down"},
    {IN_DIALS, action_move_dial, -1, "up"},
    {IN_DIALS, action_move_dial, 1, "down"},
    {IN_TEXTS, view_scroll, -1, "up"},
    {IN_TEXTS, view_scroll, 1, "down"},
    {ON_CONVERT, action_engine, -1, "up"},
    {ON_CONVERT, action_engine, 1, "down"},
    {ON_LAYERS, action_move_page, -1, "page-up"},
    {ON_LAYERS, action_move_page, 1, "page-down"},
    {IN_TEXTS, view_scroll_page, -1, "page-up"},
    {IN_TEXTS, view_scroll_page, 1, "page-down"},
    {ON_CONVERT, action_finding, -1, "page-up"},
    {ON_CONVERT, action_finding, 1, "page-down"},
    {EVERYWHERE, action_find, 1, "find-next"},
    {EVERYWHERE, action_find, -1, "find-previous"},
    {ON_LAYERS, action_reverse, 0, "reverse"},
    {ON_LAYERS, action_move_dial, 1, "next-dial"},
    {ON_LAYERS, action_move_dial, -1, "previous-dial"},
    {IN_DIALS, action_move_column, -1, "page-up"},
    {IN_DIALS, action_move_column, 1, "page-down"},
    {ON_LAYERS, action_move_column, -1, "dials-left"},
    {ON_LAYERS, action_move_column, 1, "dials-right"},
    {IN_DIALS, action_turn, -1, "turn-down"},
    {IN_DIALS, action_turn, 1, "turn-up"},
    {IN_DIALS, action_turn_coarse, -1, "turn-far-down"},
    {IN_DIALS, action_turn_coarse, 1, "turn-far-up"},
    {IN_DIALS, action_edit_dial, 0, "type"},
    {IN_DIALS, action_drop_override, 0, "drop-override"},
    {IN_TEXTS, view_length, 1, "longer"},
    {IN_TEXTS, view_length, -1, "shorter"},
    {ON_CONVERT, action_format, -1, "format-before"},
    {ON_CONVERT, action_format, 1, "format-next"},
    {ON_CONVERT, action_keep, 0, "keep-to-engine"},
    {ON_CONVERT, action_odd_bits, 0, "odd-bits"},
    {ON_CONVERT, action_export, 0, "write-model"},
    {ON_CONVERT, action_export, 1, "write-model-over"},
    {ON_CONVERT, action_stop_export, 0, "stop-writing"},
    {IN_LAYERS, action_mark_row, 0, "mark"},
    {IN_LAYERS, action_fold_turn, 0, "fold-row"},
    {ON_OUTLIERS, outliers_move_column, -1, "left"},
    {ON_OUTLIERS, outliers_move_column, 1, "right"},
    {ON_OUTLIERS, outliers_move_line, -1, "up"},
    {ON_OUTLIERS, outliers_move_line, 1, "down"},
    {ON_OUTLIERS, outliers_next, 1, "next-worst"},
    {ON_OUTLIERS, outliers_next, -1, "worse-before"},
    {ON_OUTLIERS, outliers_worst, 0, "worst"},
    {ON_OUTLIERS, outliers_turn_measure, 1, "measure-next"},
    {ON_OUTLIERS, outliers_turn_measure, -1, "measure-before"},
    {ON_OUTLIERS, outliers_study, 0, "study"},
    {ON_OUTLIERS, outliers_mark, 0, "mark"},
    {ON_OUTLIERS, outliers_enter, 0, "open"},
    {ON_TRIALS, trials_move, -1, "up"},
    {ON_TRIALS, trials_move, 1, "down"},
    {ON_TRIALS, trials_page, -1, "page-up"},
    {ON_TRIALS, trials_page, 1, "page-down"},
    {ON_TRIALS, trials_take, 0, "take"},
    {ON_TRIALS, trials_compare_with, 1, "side-a"},
    {ON_TRIALS, trials_compare_with, 2, "side-b"},
    {ON_TRIALS, trials_toggle_difference, 0, "difference"},
    {ON_TRIALS, trials_ask_note, 0, "note"},
    {ON_TRIALS, trials_ask_drop, 0, "forget"},
    {ON_TRIALS, menu_open, PROMPT_SORT, "sort-list"},
    {ON_TRIALS, trials_reverse, 0, "reverse"},
    {ON_TRIALS, trials_scroll, 1, "columns-right"},
    {ON_TRIALS, trials_scroll, -1, "columns-left"},
    {ON_TRIALS, view_length, 1, "longer"},
    {ON_TRIALS, view_length, -1, "shorter"},
    {ON_SWEEP, sweep_move_across, -1, "left"},
    {ON_SWEEP, sweep_move_across, 1, "right"},
    {ON_SWEEP, sweep_move_up, 1, "up"},
    {ON_SWEEP, sweep_move_up, -1, "down"},
    {ON_SWEEP, sweep_take, 0, "take"},
    {ON_SWEEP, menu_open, PROMPT_SWEEP, "sweep-dial"},
    {ON_SWEEP, menu_open, PROMPT_SWEEP_SECOND, "second-dial"},
    {ON_SWEEP, sweep_turn_axis, 0, "axis"},
    {ON_SWEEP, sweep_stop, 0, "stop-study"},
    {ON_SWEEP, sweep_measure, 0, "measure"},
    {ON_SENSITIVITY, sensitivity_move, -1, "up"},
    {ON_SENSITIVITY, sensitivity_move, 1, "down"},
    {ON_SENSITIVITY, sensitivity_move_page, -1, "page-up"},
    {ON_SENSITIVITY, sensitivity_move_page, 1, "page-down"},
    {ON_SENSITIVITY, sensitivity_turn, -1, "turn-down"},
    {ON_SENSITIVITY, sensitivity_turn, 1, "turn-up"},
    {ON_SENSITIVITY, sensitivity_turn_kind, 0, "budget-kind"},
    {ON_SENSITIVITY, sensitivity_take, 0, "take"},
    {ON_SENSITIVITY, sensitivity_mark, 0, "mark"},
    {ON_SENSITIVITY, sensitivity_fold, 1, "fold-row"},
    {ON_SENSITIVITY, sensitivity_sort, 0, "sort-next"},
    {ON_SENSITIVITY, sensitivity_stop, 0, "stop-study"},
    {ON_LAYERS, action_move_end, -1, "first"},
    {ON_LAYERS, action_move_end, 1, "last"},
    {IN_LAYERS, action_move_end, -1, "first"},
    {IN_LAYERS, action_move_end, 1, "last"},
    {IN_TEXTS, view_scroll_end, -1, "first"},
    {IN_TEXTS, view_scroll_end, 1, "last"},
    {ON_OUTLIERS, outliers_move_end, -1, "first"},
    {ON_OUTLIERS, outliers_move_end, 1, "last"},
    {ON_TRIALS, trials_end, -1, "first"},
    {ON_TRIALS, trials_end, 1, "last"},
    {ON_SWEEP, sweep_move_across, -SWEEP_POINTS, "first"},
    {ON_SWEEP, sweep_move_across, SWEEP_POINTS, "last"},
    {ON_SENSITIVITY, sensitivity_move, -SENSITIVITY_ROWS, "first"},
    {ON_SENSITIVITY, sensitivity_move, SENSITIVITY_ROWS, "last"},
    {ON_SENSITIVITY, sensitivity_turn, -10, "turn-far-down"},
    {ON_SENSITIVITY, sensitivity_turn, 10, "turn-far-up"},
    {IN_LAYERS, action_fold, 1, "fold-more"},
    {IN_LAYERS, action_fold, 0, "unfold"},
    {IN_LAYERS, action_fold_or_point, 1, "fold-more"},
    {IN_LAYERS, action_fold_or_point, 0, "unfold"},
    {IN_LAYERS, action_scroll_columns, 1, "columns-right"},
    {IN_LAYERS, action_scroll_columns, -1, "columns-left"},
    {ON_LAYERS, menu_open, PROMPT_SORT, "sort-list"},
    {ON_TRIALS, action_prompt, PROMPT_TEXT, "prompt"},
    {ON_TRIALS, trials_next_pane, 1, "next-pane"},
    {ON_TRIALS, trials_next_pane, -1, "previous-pane"},
    {ON_TRIALS, trials_move_sideways, 1, "right"},
    {ON_TRIALS, trials_move_sideways, -1, "left"},
    {ON_OUTLIERS, action_screen, SCREEN_CONVERT, "convert"},
    {ON_TRIALS, action_screen, SCREEN_CONVERT, "convert"},
    {EVERYWHERE, action_screen, SCREEN_SWEEP, "sweep"},
    {EVERYWHERE, action_screen, SCREEN_CONVERT, "convert-screen"},
    {EVERYWHERE, action_prompt, PROMPT_COMMAND, "command-line"},
    {EVERYWHERE, action_redraw, 0, "redraw"},
    {EVERYWHERE, action_back, 0, "back"},
};

const char *binding_name(const Binding *binding) {
    if (!binding->keys[0]) return NULL;
    for (size_t i = 0; !binding->word && i < sizeof names / sizeof *names; i++) {
        if (names[i].where == binding->where && names[i].run == binding->run && names[i].argument == binding->argument)
            return names[i].name;
    }
    return binding->word;
}

int action_named(const char *name) {
    for (int i = 0; i < binding_count; i++) {
        const char *own = binding_name(&bindings[i]);
        if (own && strcmp(own, name) == 0) return i;
    }
    return -1;
}

bool action_exists(const char *name) { return action_named(name) >= 0; }

const char *action_keys(const Settings *settings, const char *name) {
    bool changed;
    const int row = action_named(name);
    return row < 0 ? "" : binding_shown(settings, &bindings[row], &changed);
}

// ---- agreement ----------------------------------------------------------------------------------------------------

static bool in_pane(Where where) { return where == IN_LAYERS || where == IN_DIALS || where == IN_TEXTS; }

// Whether both count at the same time somewhere.
static bool places_meet(Where a, Where b) {
    if (a == b || a == EVERYWHERE || b == EVERYWHERE) return true;
    return (a == ON_LAYERS && in_pane(b)) || (b == ON_LAYERS && in_pane(a));
}

// Another row that has this key where the first one counts; NULL: none.
static const Binding *other_user(const Settings *settings, const Binding *binding, int code) {
    for (int i = 0; i < binding_count; i++) {
        const Binding *other = &bindings[i];
        const char *name = binding_name(other);
        if (other == binding || !places_meet(other->where, binding->where)) continue;
        if (name && strcmp(name, binding_name(binding)) == 0) continue;
        if (binding_has_key(settings, other, code)) return other;
    }
    return NULL;
}

// The name of one of its keys.
static void key_name(const KeyChange *change, int at, char *out, size_t size) {
    const char *name = change->shown;
    while (at-- > 0) name += strcspn(name, " ") + 1;
    snprintf(out, size, "%.*s", (int)strcspn(name, " "), name);
}

static bool key_agrees(const Settings *settings, const KeyChange *change, const Binding *binding, Error *err) {
    for (int i = 0; i < KEYS_OF_ACTION && change->codes[i]; i++) {
        const Binding *other = other_user(settings, binding, change->codes[i]);
        const char *name = other ? binding_name(other) : NULL;
        char key[sizeof change->shown];
        key_name(change, i, key, sizeof key);
        if (other)
            return error_set(err, "\"%s\" is a key of %s already%s%s%s", key,
                             name ? name : "something that keeps its keys", name ? "; give " : "", name ? name : "",
                             name ? " another one first" : "");
    }
    return true;
}

int keys_disagree(const Settings *settings, Error *err) {
    for (int change = 0; change < settings->key_count; change++) {
        const KeyChange *keys = &settings->keys[change];
        for (int i = 0; i < binding_count; i++) {
            const char *name = binding_name(&bindings[i]);
            if (name && strcmp(name, keys->action) == 0 && !key_agrees(settings, keys, &bindings[i], err))
                return change;
        }
    }
    return -1;
}
