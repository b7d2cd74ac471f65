#include "tui/keys.h"

#include <assert.h>

#include "tui/actions.h"

const char *const key_group_titles[] = {
    [KEYS_LAYERS] = "Layers",   [KEYS_DIALS] = "Dials",     [KEYS_RECIPE] = "Recipe and texts",
    [KEYS_CONVERT] = "Convert", [KEYS_PROGRAM] = "Program",
};
static_assert(sizeof key_group_titles / sizeof *key_group_titles == KEY_GROUPS, "a group of keys has no title");

// The parts of a row that not every row has.
#define KEYS(...) .keys = {__VA_ARGS__}
#define BAR(label, rank_there) .bar = (label), .rank = (rank_there)
#define WORD(name) .word = (name)
#define WORD_WITH(name, argument, completes, runs) \
    .word = (name), .text = (argument), .completion = (completes), .run_text = (runs)

const Binding bindings[] = {
    {KEYS(KEY_FUNCTION(1), '?'), "F1", KEYS_PROGRAM, EVERYWHERE, action_help, 0, "this help, also ?", BAR("help", 0),
     WORD("help")},
    {KEYS(KEY_TAB, KEY_BACK_TAB), "Tab", KEYS_PROGRAM, ON_LAYERS, action_next_pane, 0,
     "switch between layers and dials", BAR("pane", 2)},
    {KEYS('1'), "1 … 6", KEYS_PROGRAM, OUT_OF_DIALS, action_screen, SCREEN_LAYERS,
     "another screen, as numbered on the upper edge; in the dials with F2 … F6", WORD("layers")},
    {KEYS('6'), "6", KEYS_PROGRAM, OUT_OF_DIALS, action_screen, SCREEN_CONVERT},
    {KEYS(KEY_FUNCTION(6)), "F6", KEYS_PROGRAM, EVERYWHERE, action_screen, SCREEN_CONVERT},

    {KEYS(KEY_ARROW_UP, 'k'), "↑ k", KEYS_LAYERS, IN_LAYERS, action_move_row, -1, "the linear above"},
    {KEYS(KEY_ARROW_DOWN, 'j'), "↓ j", KEYS_LAYERS, IN_LAYERS, action_move_row, 1, "the linear below"},
    {KEYS(KEY_PAGE_UP, KEY_CONTROL('b')), "PgUp", KEYS_LAYERS, ON_LAYERS, action_move_page, -1, "a page up"},
    {KEYS(KEY_PAGE_DOWN, KEY_CONTROL('f')), "PgDn", KEYS_LAYERS, ON_LAYERS, action_move_page, 1, "a page down"},
    {KEYS('g'), "g", KEYS_LAYERS, ON_LAYERS, action_move_end, -1, "the first linear"},
    {KEYS('G'), "G", KEYS_LAYERS, ON_LAYERS, action_move_end, 1, "the last linear"},
    {KEYS(KEY_TO_START), "Home", KEYS_LAYERS, IN_LAYERS, action_move_end, -1},
    {KEYS(KEY_TO_END), "End", KEYS_LAYERS, IN_LAYERS, action_move_end, 1},
    {KEYS('/'), "/", KEYS_LAYERS, ON_LAYERS, action_prompt, PROMPT_FIND,
     "find a linear by its name, as shown or whole: a regular expression, or a glob of a whole name", BAR("find", 2),
     WORD_WITH("find", "TEXT", COMPLETE_NOTHING, action_find_text)},
    {KEYS('n'), "n N", KEYS_LAYERS, ON_LAYERS, action_find, 1, "next match, previous match"},
    {KEYS('N'), "N", KEYS_LAYERS, ON_LAYERS, action_find, -1},
    {KEYS('&'), "&", KEYS_LAYERS, ON_LAYERS, action_prompt, PROMPT_FILTER,
     "show only some: a name, bits<8, out < 15, class = token, layer >= 15, role = down, marked; ! or not turns round",
     BAR("filter", 8), WORD_WITH("filter", "[TEXT]", COMPLETE_FILTER, action_filter)},
    {KEYS(' '), "Space", KEYS_LAYERS, IN_LAYERS, action_mark_row, 0, "mark or unmark, and go on", BAR("mark", 4)},
    {KEYS('*'), "*", KEYS_LAYERS, ON_LAYERS, action_prompt, PROMPT_MARK,
     "mark by name or figures, as in a filter; Enter alone marks all that is shown",
     WORD_WITH("mark", "[TEXT]", COMPLETE_FILTER, action_mark)},
    {KEYS('U'), "U", KEYS_LAYERS, ON_LAYERS, action_unmark_all, 0, "unmark everything",
     WORD_WITH("unmark", "[TEXT]", COMPLETE_FILTER, action_unmark)},
    {KEYS('z'), "z", KEYS_LAYERS, IN_LAYERS, action_fold_turn, 0,
     "fold the experts of a layer, or its linears, into one row; or unfold it"},
    {KEYS('-'), "- +", KEYS_LAYERS, IN_LAYERS, action_fold, 1, "fold, unfold; of experts also ← →"},
    {KEYS('+'), "+", KEYS_LAYERS, IN_LAYERS, action_fold, 0},
    {KEYS(KEY_ARROW_LEFT, 'h'), "←", KEYS_LAYERS, IN_LAYERS, action_fold_or_point, 1},
    {KEYS(KEY_ARROW_RIGHT, 'l', KEY_RETURN), "→", KEYS_LAYERS, IN_LAYERS, action_fold_or_point, 0},
    {KEYS('Z'), "Z", KEYS_LAYERS, IN_LAYERS, action_fold_all, 0, "fold or unfold everything", WORD("fold")},
    {KEYS(KEY_SHIFT_RIGHT, '>'), "> <", KEYS_LAYERS, IN_LAYERS, action_scroll_columns, 1,
     "the columns to the right, to the left; also Shift-→"},
    {KEYS(KEY_SHIFT_LEFT, '<'), "<", KEYS_LAYERS, IN_LAYERS, action_scroll_columns, -1},
    {KEYS('s'), "s", KEYS_LAYERS, ON_LAYERS, action_prompt, PROMPT_SORT, "sort by a column, from a list of them",
     BAR("sort", 6)},
    {KEYS('S'), "S", KEYS_LAYERS, ON_LAYERS, action_reverse, 0, "reverse the order"},
    {.help = "sort the layers; again to reverse the order",
     WORD_WITH("sort", "COLUMN", COMPLETE_COLUMN, action_sort_named)},

    {KEYS(KEY_ARROW_UP, 'k'), "↑ k", KEYS_DIALS, IN_DIALS, action_move_dial, -1, "the dial above"},
    {KEYS(KEY_ARROW_DOWN, 'j'), "↓ j", KEYS_DIALS, IN_DIALS, action_move_dial, 1, "the dial below"},
    {KEYS(']'), "[ ]", KEYS_DIALS, ON_LAYERS, action_move_dial, 1, "previous dial, next dial, from any pane"},
    {KEYS('['), "[", KEYS_DIALS, ON_LAYERS, action_move_dial, -1},
    {KEYS(KEY_ARROW_LEFT, 'h'), "← h", KEYS_DIALS, IN_DIALS, action_turn, -1, "turn the dial down"},
    {KEYS(KEY_ARROW_RIGHT, 'l'), "→ l", KEYS_DIALS, IN_DIALS, action_turn, 1, "turn the dial up"},
    {KEYS(KEY_SHIFT_LEFT, '<'), "Shift-← <", KEYS_DIALS, IN_DIALS, action_turn_coarse, -1, "in large steps"},
    {KEYS(KEY_SHIFT_RIGHT, '>'), "Shift-→ >", KEYS_DIALS, IN_DIALS, action_turn_coarse, 1},
    {KEYS(KEY_RETURN, '='), "Enter =", KEYS_DIALS, IN_DIALS, action_edit_dial, 0,
     "type a value; a digit starts it, too"},
    {.help = "set a dial: set alpha 0.2, set granularity group",
     WORD_WITH("set", "DIAL VALUE", COMPLETE_DIAL, action_set)},
    {KEYS(KEY_TO_START), "Home", KEYS_DIALS, IN_DIALS, action_reset_dial, 0, "reset the dial to its default",
     WORD_WITH("reset", "[DIAL]", COMPLETE_DIAL, action_reset_named)},
    {KEYS('o'), "o", KEYS_DIALS, ON_LAYERS, action_scope, 0,
     "what the dials set: all linears, the marked ones, the selected one", BAR("scope", 5), WORD("scope")},
    {KEYS(KEY_ERASE, KEY_FORWARD_ERASE), "Backspace", KEYS_DIALS, IN_DIALS, action_drop_override, 0,
     "remove this dial's override from the marked linears, or from the selected one"},
    {KEYS('O'), "O", KEYS_DIALS, ON_LAYERS, action_overrides, 0, "the list of overrides: edit, add, remove, move",
     BAR("overrides", 9), WORD("overrides")},

    {KEYS('u'), "u", KEYS_RECIPE, EVERYWHERE, action_undo, 0, "undo", BAR("undo", 3), WORD("undo")},
    {KEYS(KEY_CONTROL('r')), "Ctrl-R", KEYS_RECIPE, EVERYWHERE, action_redo, 0, "redo", WORD("redo")},
    {KEYS('p'), "p", KEYS_RECIPE, EVERYWHERE, action_pin, 0, "compare with the current state; again to stop comparing",
     BAR("pin", 7), WORD("pin")},
    {KEYS('i'), "i", KEYS_RECIPE, ON_LAYERS, action_ignore, 0,
     "leave the selected linear in its own precision, or quantize it again; or the marked ones while dials set these",
     WORD("ignore")},
    {KEYS('r'), "r", KEYS_RECIPE, ON_LAYERS, action_prompt, PROMPT_TEXT, "edit the prompt that both models continue",
     WORD_WITH("prompt", "[TEXT]", COMPLETE_NOTHING, action_continue)},
    {KEYS('w'), "w", KEYS_RECIPE, EVERYWHERE, action_prompt, PROMPT_SAVE, "write the recipe to a file", BAR("write", 3),
     WORD_WITH("w", "[FILE]", COMPLETE_FILE, action_write)},
    {.help = "write the recipe, even over another file", WORD_WITH("w!", "[FILE]", COMPLETE_FILE, action_write_over)},
    {.help = "write the recipe and quit", WORD_WITH("wq", "[FILE]", COMPLETE_FILE, action_write_quit)},
    {KEYS('L'), "L", KEYS_RECIPE, EVERYWHERE, action_prompt, PROMPT_LOAD, "load a recipe",
     WORD_WITH("load", "[FILE]", COMPLETE_FILE, action_load_named)},

    {KEYS('x'), "x", KEYS_CONVERT, ON_LAYERS, action_screen, SCREEN_CONVERT,
     "write the model for other engines: the Convert screen", BAR("convert", 4), WORD("convert")},
    {KEYS(KEY_ARROW_UP, 'k'), "↑", KEYS_CONVERT, ON_CONVERT, action_engine, -1, "the engine above, also k"},
    {KEYS(KEY_ARROW_DOWN, 'j'), "↓", KEYS_CONVERT, ON_CONVERT, action_engine, 1, "the engine below, also j",
     BAR("engine", 4)},
    {KEYS(KEY_PAGE_UP, KEY_CONTROL('b')), "PgUp", KEYS_CONVERT, ON_CONVERT, action_finding, -1, "its finding before"},
    {KEYS(KEY_PAGE_DOWN, KEY_CONTROL('f')), "PgDn", KEYS_CONVERT, ON_CONVERT, action_finding, 1, "its next finding",
     BAR("findings", 5)},
    {KEYS(KEY_ARROW_LEFT, 'h'), "←", KEYS_CONVERT, ON_CONVERT, action_format, -1, "the format before, also h"},
    {KEYS(KEY_ARROW_RIGHT, 'l'), "→", KEYS_CONVERT, ON_CONVERT, action_format, 1, "the next format, also l",
     BAR("format", 2)},
    {KEYS('o'), "o", KEYS_CONVERT, ON_CONVERT, action_folder, 0, "name the folder to write", BAR("folder", 2),
     WORD_WITH("folder", "[FOLDER]", COMPLETE_FILE, action_folder_named)},
    {KEYS('f'), "f", KEYS_CONVERT, ON_CONVERT, action_fix, 0,
     "put what the chosen engine needs into the recipe, and pin what was before", BAR("fix", 2), WORD("fix")},
    {KEYS(KEY_RETURN), "Enter", KEYS_CONVERT, ON_CONVERT, action_export, 0,
     "write the model; go on with what was stopped", BAR("write it", 1)},
    {KEYS('O'), "O", KEYS_CONVERT, ON_CONVERT, action_export, 1, "write it over what the folder holds"},
    {KEYS('x'), "x", KEYS_CONVERT, ON_CONVERT, action_stop_export, 0, "stop writing; it goes on where it was",
     BAR("stop", 2)},

    {KEYS('!'), "!", KEYS_PROGRAM, EVERYWHERE, action_stop_jobs, 0, "stop or resume computing", WORD("stop")},
    {KEYS(':'), ":", KEYS_PROGRAM, EVERYWHERE, action_prompt, PROMPT_COMMAND,
     "type a command; Tab completes, ↑ ↓ recall earlier ones"},
    {KEYS(KEY_CONTROL('l')), "Ctrl-L", KEYS_PROGRAM, EVERYWHERE, action_redraw, 0, "redraw the screen"},
    {KEYS(KEY_ESCAPE), "Esc", KEYS_PROGRAM, EVERYWHERE, action_back, 0, "close, cancel, or show all linears"},
    {.help = "colours: auto, dark, light, mono", WORD_WITH("theme", "NAME", COMPLETE_SCHEME, action_theme)},
    {KEYS('q', KEY_CONTROL('c')), "q", KEYS_PROGRAM, EVERYWHERE, action_quit, 0,
     "back to the layers; there quit, which asks when the recipe is not saved", BAR("quit", 1), WORD("q")},
    {.run = action_quit_unsaved, .help = "quit without asking", WORD("q!")},
};
const int binding_count = sizeof bindings / sizeof *bindings;

bool binding_on_screen(const Ui *ui, const Binding *binding) {
    switch (binding->where) {
    case EVERYWHERE:
    case OUT_OF_DIALS: return true;
    case ON_LAYERS:
    case IN_LAYERS:
    case IN_DIALS: return ui->screen == SCREEN_LAYERS;
    case ON_OUTLIERS: return ui->screen == SCREEN_OUTLIERS;
    case ON_TRIALS: return ui->screen == SCREEN_TRIALS;
    case ON_SWEEP: return ui->screen == SCREEN_SWEEP;
    case ON_SENSITIVITY: return ui->screen == SCREEN_SENSITIVITY;
    case ON_CONVERT: return ui->screen == SCREEN_CONVERT;
    }
    return false;
}

static bool binding_holds(const Ui *ui, const Binding *binding, int code) {
    if (!binding_on_screen(ui, binding)) return false;
    if (binding->where == IN_LAYERS && ui->focus != PANE_LAYERS) return false;
    if (binding->where == IN_DIALS && ui->focus != PANE_DIALS) return false;
    const bool in_dials = ui->screen == SCREEN_LAYERS && ui->focus == PANE_DIALS;
    if (binding->where == OUT_OF_DIALS && in_dials) return false;
    for (size_t i = 0; i < sizeof binding->keys / sizeof *binding->keys; i++) {
        if (binding->keys[i] && binding->keys[i] == code) return true;
    }
    return false;
}

bool keys_dispatch(Ui *ui, int code) {
    for (int i = 0; i < binding_count; i++) {
        if (!binding_holds(ui, &bindings[i], code)) continue;
        bindings[i].run(ui, bindings[i].argument);
        return true;
    }
    return ui->screen == SCREEN_LAYERS && ui->focus == PANE_DIALS && action_type_into_dial(ui, code);
}
