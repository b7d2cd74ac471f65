#include "tui/keys.h"

#include <string.h>

#include "tui/actions.h"

const char *const key_group_titles[KEY_GROUPS] = {"Layers", "Dials", "Recipe and texts", "Program"};

const Binding bindings[] = {
    {{KEY_HELP_F1, '?'}, "F1", KEYS_PROGRAM, EVERYWHERE, action_help, 0, "this help, also ?", "help", 0},
    {{KEY_TAB, KEY_BACK_TAB},
     "Tab",
     KEYS_PROGRAM,
     EVERYWHERE,
     action_next_pane,
     0,
     "switch between layers and dials",
     "pane",
     2},

    {{KEY_ARROW_UP, 'k'}, "↑ k", KEYS_LAYERS, IN_LAYERS, action_move_row, -1, "the linear above", NULL, 0},
    {{KEY_ARROW_DOWN, 'j'}, "↓ j", KEYS_LAYERS, IN_LAYERS, action_move_row, 1, "the linear below", NULL, 0},
    {{KEY_PAGE_UP, KEY_CONTROL('b')}, "PgUp", KEYS_LAYERS, EVERYWHERE, action_move_page, -1, "a page up", NULL, 0},
    {{KEY_PAGE_DOWN, KEY_CONTROL('f')}, "PgDn", KEYS_LAYERS, EVERYWHERE, action_move_page, 1, "a page down", NULL, 0},
    {{'g', 0}, "g", KEYS_LAYERS, EVERYWHERE, action_move_end, -1, "the first linear", NULL, 0},
    {{'G', 0}, "G", KEYS_LAYERS, EVERYWHERE, action_move_end, 1, "the last linear", NULL, 0},
    {{KEY_TO_START, 0}, "Home", KEYS_LAYERS, IN_LAYERS, action_move_end, -1, NULL, NULL, 0},
    {{KEY_TO_END, 0}, "End", KEYS_LAYERS, IN_LAYERS, action_move_end, 1, NULL, NULL, 0},
    {{'/', 0},
     "/",
     KEYS_LAYERS,
     EVERYWHERE,
     action_prompt,
     PROMPT_FIND,
     "find a linear by part of its name, or with * and ?",
     "find",
     2},
    {{'n', 0}, "n N", KEYS_LAYERS, EVERYWHERE, action_find, 1, "next match, previous match", NULL, 0},
    {{'N', 0}, "N", KEYS_LAYERS, EVERYWHERE, action_find, -1, NULL, NULL, 0},
    {{'&', 0},
     "&",
     KEYS_LAYERS,
     EVERYWHERE,
     action_prompt,
     PROMPT_FILTER,
     "show only linears whose names contain a text",
     NULL,
     0},
    {{'s', 0}, "s", KEYS_LAYERS, EVERYWHERE, action_sort, 1, "sort by the next column", "sort", 5},
    {{'S', 0}, "S", KEYS_LAYERS, EVERYWHERE, action_reverse, 0, "reverse the order", NULL, 0},

    {{KEY_ARROW_UP, 'k'}, "↑ k", KEYS_DIALS, IN_DIALS, action_move_dial, -1, "the dial above", NULL, 0},
    {{KEY_ARROW_DOWN, 'j'}, "↓ j", KEYS_DIALS, IN_DIALS, action_move_dial, 1, "the dial below", NULL, 0},
    {{']', 0}, "[ ]", KEYS_DIALS, EVERYWHERE, action_move_dial, 1, "previous dial, next dial, from any pane", NULL, 0},
    {{'[', 0}, "[", KEYS_DIALS, EVERYWHERE, action_move_dial, -1, NULL, NULL, 0},
    {{KEY_ARROW_LEFT, 'h'}, "← h", KEYS_DIALS, IN_DIALS, action_turn, -1, "turn the dial down", NULL, 0},
    {{KEY_ARROW_RIGHT, 'l'}, "→ l", KEYS_DIALS, IN_DIALS, action_turn, 1, "turn the dial up", NULL, 0},
    {{KEY_SHIFT_LEFT, '<'}, "Shift-← <", KEYS_DIALS, IN_DIALS, action_turn_coarse, -1, "in large steps", NULL, 0},
    {{KEY_SHIFT_RIGHT, '>'}, "Shift-→ >", KEYS_DIALS, IN_DIALS, action_turn_coarse, 1, NULL, NULL, 0},
    {{KEY_RETURN, '='},
     "Enter =",
     KEYS_DIALS,
     IN_DIALS,
     action_edit_dial,
     0,
     "type a value; a digit starts it, too",
     NULL,
     0},
    {{KEY_ARROW_LEFT, KEY_ARROW_RIGHT}, "←", KEYS_DIALS, IN_LAYERS, action_point_to_dials, 0, NULL, NULL, 0},
    {{'h', 'l', KEY_RETURN}, "h", KEYS_DIALS, IN_LAYERS, action_point_to_dials, 0, NULL, NULL, 0},
    {{KEY_TO_START, 0}, "Home", KEYS_DIALS, IN_DIALS, action_reset_dial, 0, "reset the dial to its default", NULL, 0},
    {{'o', 0},
     "o",
     KEYS_DIALS,
     EVERYWHERE,
     action_one_linear,
     0,
     "set dials for the selected linear only, or for all again",
     "override",
     4},
    {{KEY_ERASE, KEY_FORWARD_ERASE},
     "Backspace",
     KEYS_DIALS,
     IN_DIALS,
     action_drop_override,
     0,
     "remove this dial's override from the selected linear",
     NULL,
     0},

    {{'u', 0}, "u", KEYS_RECIPE, EVERYWHERE, action_undo, 0, "undo", "undo", 3},
    {{KEY_CONTROL('r'), 0}, "Ctrl-R", KEYS_RECIPE, EVERYWHERE, action_redo, 0, "redo", NULL, 0},
    {{'p', 0},
     "p",
     KEYS_RECIPE,
     EVERYWHERE,
     action_pin,
     0,
     "compare with the current state; again to stop comparing",
     "pin",
     6},
    {{'i', 0},
     "i",
     KEYS_RECIPE,
     EVERYWHERE,
     action_ignore,
     0,
     "leave the selected linear in its own precision, or quantize it again",
     NULL,
     0},
    {{'r', 0},
     "r",
     KEYS_RECIPE,
     EVERYWHERE,
     action_prompt,
     PROMPT_TEXT,
     "edit the prompt that both models continue",
     NULL,
     0},
    {{'w', 0}, "w", KEYS_RECIPE, EVERYWHERE, action_prompt, PROMPT_SAVE, "write the recipe to a file", "write", 3},
    {{'L', 0}, "L", KEYS_RECIPE, EVERYWHERE, action_prompt, PROMPT_LOAD, "load a recipe", NULL, 0},

    {{'!', 0}, "!", KEYS_PROGRAM, EVERYWHERE, action_stop_jobs, 0, "stop or resume computing", NULL, 0},
    {{':', 0},
     ":",
     KEYS_PROGRAM,
     EVERYWHERE,
     action_prompt,
     PROMPT_COMMAND,
     "type a command; Tab completes, ↑ ↓ recall earlier ones",
     NULL,
     0},
    {{KEY_CONTROL('l'), 0}, "Ctrl-L", KEYS_PROGRAM, EVERYWHERE, action_redraw, 0, "redraw the screen", NULL, 0},
    {{KEY_ESCAPE, 0}, "Esc", KEYS_PROGRAM, EVERYWHERE, action_back, 0, "close, cancel, or show all linears", NULL, 0},
    {{'q', KEY_CONTROL('c')},
     "q",
     KEYS_PROGRAM,
     EVERYWHERE,
     action_quit,
     0,
     "quit; asks when the recipe is not saved",
     "quit",
     1},
};
const int binding_count = sizeof bindings / sizeof *bindings;

static bool applies(const Ui *ui, const Binding *binding, int code) {
    if (binding->where == IN_LAYERS && ui->focus != PANE_LAYERS) return false;
    if (binding->where == IN_DIALS && ui->focus != PANE_DIALS) return false;
    for (size_t i = 0; i < sizeof binding->keys / sizeof *binding->keys; i++) {
        if (binding->keys[i] && binding->keys[i] == code) return true;
    }
    return false;
}

bool keys_dispatch(Ui *ui, int code) {
    for (int i = 0; i < binding_count; i++) {
        if (!applies(ui, &bindings[i], code)) continue;
        bindings[i].run(ui, bindings[i].argument);
        return true;
    }
    return ui->focus == PANE_DIALS && action_type_into_dial(ui, code);
}
