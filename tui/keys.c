#include "tui/keys.h"

#include <assert.h>

#include "tui/actions.h"
#include "tui/guide.h"
#include "tui/handout.h"
#include "tui/jobs.h"
#include "tui/key_names.h"
#include "tui/view.h"

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
    {KEYS(KEY_TAB), "Tab", KEYS_PROGRAM, ON_LAYERS, view_next_pane, 1,
     "to the dials, the texts, the table; Shift-Tab the other way round", BAR("pane", 2)},
    {KEYS(KEY_BACK_TAB), "Shift-Tab", KEYS_PROGRAM, ON_LAYERS, view_next_pane, -1},
    {KEYS('1'), "1 … 6", KEYS_PROGRAM, OUT_OF_DIALS, action_screen, SCREEN_LAYERS,
     "another screen, as numbered on the upper edge; in the dials with F2 … F6", WORD("layers")},
    {KEYS('6'), "6", KEYS_PROGRAM, OUT_OF_DIALS, action_screen, SCREEN_CONVERT},
    {KEYS(KEY_FUNCTION(6)), "F6", KEYS_PROGRAM, EVERYWHERE, action_screen, SCREEN_CONVERT},
    {KEYS('v'), "v", KEYS_PROGRAM, ON_LAYERS, view_zoom, 0,
     "the pane on the whole frame, then the next one, then all again; Esc returns", BAR("view", 4), WORD("view")},

    {KEYS(KEY_ARROW_UP, 'k'), "↑ ↓", KEYS_RECIPE, IN_TEXTS, view_scroll, -1, "scroll both texts; also k j",
     BAR("scroll", 2)},
    {KEYS(KEY_ARROW_DOWN, 'j'), "↓", KEYS_RECIPE, IN_TEXTS, view_scroll, 1},
    {KEYS(KEY_PAGE_UP, KEY_CONTROL('b')), "PgUp PgDn", KEYS_RECIPE, IN_TEXTS, view_scroll_page, -1, "by pages"},
    {KEYS(KEY_PAGE_DOWN, KEY_CONTROL('f'), ' '), "PgDn", KEYS_RECIPE, IN_TEXTS, view_scroll_page, 1},
    {KEYS(KEY_TO_START, 'g'), "g G", KEYS_RECIPE, IN_TEXTS, view_scroll_end, -1, "to their beginning, to their end"},
    {KEYS(KEY_TO_END, 'G'), "G", KEYS_RECIPE, IN_TEXTS, view_scroll_end, 1},
    {KEYS('+'), "+ -", KEYS_RECIPE, IN_TEXTS, view_length, 1, "texts of twice as many tokens, of half as many",
     BAR("length", 3)},
    {KEYS('-'), "-", KEYS_RECIPE, IN_TEXTS, view_length, -1},
    {.help = "how many tokens both models write", WORD_WITH("tokens", "[N]", COMPLETE_NOTHING, view_tokens)},

    {KEYS(KEY_ARROW_UP, 'k'), "↑ k", KEYS_LAYERS, IN_LAYERS, action_move_row, -1, "the linear above"},
    {KEYS(KEY_ARROW_DOWN, 'j'), "↓ j", KEYS_LAYERS, IN_LAYERS, action_move_row, 1, "the linear below"},
    {KEYS(KEY_PAGE_UP, KEY_CONTROL('b')), "PgUp", KEYS_LAYERS, ON_LAYERS, action_move_page, -1, "a page up"},
    {KEYS(KEY_PAGE_DOWN, KEY_CONTROL('f')), "PgDn", KEYS_LAYERS, ON_LAYERS, action_move_page, 1, "a page down"},
    {KEYS('g'), "g", KEYS_LAYERS, ON_LAYERS, action_move_end, -1, "the first linear"},
    {KEYS('G'), "G", KEYS_LAYERS, ON_LAYERS, action_move_end, 1, "the last linear"},
    {KEYS(KEY_TO_START), "Home", KEYS_LAYERS, IN_LAYERS, action_move_end, -1},
    {KEYS(KEY_TO_END), "End", KEYS_LAYERS, IN_LAYERS, action_move_end, 1},
    {KEYS('/'), "/", KEYS_LAYERS, ON_LAYERS, action_prompt, PROMPT_FIND,
     "find a linear by part of its name, or with * and ?", BAR("find", 2),
     WORD_WITH("find", "TEXT", COMPLETE_NOTHING, action_find_text)},
    {KEYS('n'), "n N", KEYS_LAYERS, ON_LAYERS, action_find, 1, "next match, previous match"},
    {KEYS('N'), "N", KEYS_LAYERS, ON_LAYERS, action_find, -1},
    {KEYS('&'), "&", KEYS_LAYERS, ON_LAYERS, action_prompt, PROMPT_FILTER,
     "show only linears whose names contain a text", WORD_WITH("filter", "[TEXT]", COMPLETE_NOTHING, action_filter)},
    {KEYS('s'), "s", KEYS_LAYERS, ON_LAYERS, action_sort, 1, "sort by the next column", BAR("sort", 6)},
    {KEYS('S'), "S", KEYS_LAYERS, ON_LAYERS, action_reverse, 0, "reverse the order"},
    {.help = "sort the layers; again to reverse the order",
     WORD_WITH("sort", "COLUMN", COMPLETE_COLUMN, action_sort_named)},

    {KEYS(KEY_ARROW_UP, 'k'), "↑ k", KEYS_DIALS, IN_DIALS, action_move_dial, -1, "the dial above"},
    {KEYS(KEY_ARROW_DOWN, 'j'), "↓ j", KEYS_DIALS, IN_DIALS, action_move_dial, 1, "the dial below"},
    {KEYS(']'), "[ ]", KEYS_DIALS, ON_LAYERS, action_move_dial, 1, "previous dial, next dial, from any pane"},
    {KEYS('['), "[", KEYS_DIALS, ON_LAYERS, action_move_dial, -1},
    {KEYS(KEY_ARROW_RIGHT, 'l'), "← →", KEYS_DIALS, IN_DIALS, action_turn, 1, "turn the dial down, up; also h l",
     BAR("turn", 1)},
    {KEYS(KEY_ARROW_LEFT, 'h'), "←", KEYS_DIALS, IN_DIALS, action_turn, -1},
    {KEYS(KEY_SHIFT_LEFT, '<'), "Shift-← <", KEYS_DIALS, IN_DIALS, action_turn_coarse, -1, "in large steps"},
    {KEYS(KEY_SHIFT_RIGHT, '>'), "Shift-→ >", KEYS_DIALS, IN_DIALS, action_turn_coarse, 1},
    {KEYS(KEY_RETURN, '='), "Enter", KEYS_DIALS, IN_DIALS, action_edit_dial, 0,
     "type a value, also =; a digit starts it, too", BAR("type", 2)},
    {.help = "set a dial: set alpha 0.2, set granularity group",
     WORD_WITH("set", "DIAL VALUE", COMPLETE_DIAL, action_set)},
    {KEYS(KEY_ARROW_LEFT, KEY_ARROW_RIGHT), "←", KEYS_DIALS, IN_LAYERS, action_point_to_dials, 0},
    {KEYS('h', 'l', KEY_RETURN), "h", KEYS_DIALS, IN_LAYERS, action_point_to_dials, 0},
    {KEYS(KEY_TO_START), "Home", KEYS_DIALS, IN_DIALS, action_reset_dial, 0, "reset the dial to its default",
     BAR("reset", 4), WORD_WITH("reset", "[DIAL]", COMPLETE_DIAL, action_reset_named)},
    {KEYS('o'), "o", KEYS_DIALS, ON_LAYERS, action_one_linear, 0,
     "set dials for the selected linear only, or for all again", BAR("override", 5), WORD("override")},
    {KEYS(KEY_ERASE, KEY_FORWARD_ERASE), "Backspace", KEYS_DIALS, IN_DIALS, action_drop_override, 0,
     "remove this dial's override from the selected linear"},

    {KEYS('u'), "u", KEYS_RECIPE, EVERYWHERE, action_undo, 0, "undo", BAR("undo", 3), WORD("undo")},
    {KEYS(KEY_CONTROL('r')), "Ctrl-R", KEYS_RECIPE, EVERYWHERE, action_redo, 0, "redo", WORD("redo")},
    {KEYS('p'), "p", KEYS_RECIPE, EVERYWHERE, action_pin, 0, "compare with the current state; again to stop comparing",
     BAR("pin", 7), WORD("pin")},
    {KEYS('i'), "i", KEYS_RECIPE, ON_LAYERS, action_ignore, 0,
     "leave the selected linear in its own precision, or quantize it again", WORD("ignore")},
    {KEYS('r'), "r", KEYS_RECIPE, ON_LAYERS, action_prompt, PROMPT_TEXT, "edit the prompt that both models continue",
     WORD_WITH("prompt", "[TEXT]", COMPLETE_NOTHING, action_continue)},
    {KEYS('w'), "w", KEYS_RECIPE, EVERYWHERE, action_prompt, PROMPT_SAVE, "write the recipe to a file", BAR("write", 3),
     WORD_WITH("w", "[FILE]", COMPLETE_FILE, action_write)},
    {.help = "write the recipe, even over another file", WORD_WITH("w!", "[FILE]", COMPLETE_FILE, action_write_over)},
    {.help = "write the recipe and quit", WORD_WITH("wq", "[FILE]", COMPLETE_FILE, action_write_quit)},
    {KEYS('L'), "L", KEYS_RECIPE, EVERYWHERE, action_prompt, PROMPT_LOAD, "load a recipe",
     WORD_WITH("load", "[FILE]", COMPLETE_FILE, action_load_named)},

    {KEYS('y'), "y", KEYS_RECIPE, EVERYWHERE, handout_copy, 0,
     "copy what the keys are on: the row, among the dials the recipe, the texts, the verdict", BAR("copy", 8),
     WORD("copy")},
    {KEYS('Y'), "Y", KEYS_RECIPE, EVERYWHERE, handout_copy_table, 0, "copy the table as it is shown",
     WORD("copy-table")},
    {KEYS('X'), "X", KEYS_RECIPE, EVERYWHERE, handout_ask, 0,
     "write the table (.csv, .md) or the figure (.svg) to a file",
     WORD_WITH("export", "[FILE]", COMPLETE_FILE, handout_write)},
    {.help = "the same, even over another file", WORD_WITH("export!", "[FILE]", COMPLETE_FILE, handout_over)},

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
    {KEYS('J'), "J", KEYS_PROGRAM, EVERYWHERE, jobs_show, 0, "what is computed: each stopped, or going on, by itself",
     BAR("jobs", 9), WORD("jobs")},
    {.run = guide_toggle, .help = "four steps from an outlier to a recipe, or without them again", WORD("guide")},
    {KEYS(':'), ":", KEYS_PROGRAM, EVERYWHERE, action_prompt, PROMPT_COMMAND,
     "type a command; Tab completes, ↑ ↓ recall earlier ones"},
    {KEYS(KEY_CONTROL('l')), "Ctrl-L", KEYS_PROGRAM, EVERYWHERE, action_redraw, 0, "redraw the screen"},
    {KEYS(KEY_ESCAPE), "Esc", KEYS_PROGRAM, EVERYWHERE, action_back, 0, "close, cancel, or show all linears"},
    {.help = "colours: auto, dark, light, colorblind, mono", WORD_WITH("theme", "NAME", COMPLETE_SCHEME, action_theme)},
    {KEYS('q', KEY_CONTROL('c')), "q", KEYS_PROGRAM, EVERYWHERE, action_quit, 0,
     "back to the layers; there quit, which asks when the recipe is not saved", BAR("quit", 1), WORD("q")},
    {.run = action_quit_unsaved, .help = "quit without asking", WORD("q!")},
};
const int binding_count = sizeof bindings / sizeof *bindings;

bool binding_counts(const Ui *ui, const Binding *binding) {
    const Pane pane = ui->screen == SCREEN_LAYERS ? ui->focus : PANE_COUNT;
    switch (binding->where) {
    case EVERYWHERE: return true;
    case OUT_OF_DIALS: return pane != PANE_DIALS;
    case ON_LAYERS: return ui->screen == SCREEN_LAYERS;
    case IN_LAYERS: return pane == PANE_LAYERS;
    case IN_DIALS: return pane == PANE_DIALS;
    case IN_TEXTS: return pane == PANE_TEXTS;
    case ON_OUTLIERS: return ui->screen == SCREEN_OUTLIERS;
    case ON_TRIALS: return ui->screen == SCREEN_TRIALS;
    case ON_SWEEP: return ui->screen == SCREEN_SWEEP;
    case ON_SENSITIVITY: return ui->screen == SCREEN_SENSITIVITY;
    case ON_CONVERT: return ui->screen == SCREEN_CONVERT;
    case WHERE_COUNT: break;
    }
    return false;
}

static bool table_has_key(const Binding *binding, int code) {
    for (size_t i = 0; i < sizeof binding->keys / sizeof *binding->keys; i++) {
        if (binding->keys[i] && binding->keys[i] == code) return true;
    }
    return false;
}

bool binding_has_key(const Settings *settings, const Binding *binding, int code) {
    const KeyChange *change = settings_keys(settings, binding_name(binding));
    for (int i = 0; change && i < KEYS_OF_ACTION; i++) {
        if (change->codes[i] && change->codes[i] == code) return true;
    }
    return !change && table_has_key(binding, code);
}

const char *binding_shown(const Settings *settings, const Binding *binding, bool *changed) {
    const KeyChange *change = settings_keys(settings, binding_name(binding));
    *changed = change != NULL;
    return change ? change->shown : binding->shown;
}

bool keys_click(Ui *ui, int code) {
    for (int i = 0; i < binding_count; i++) {
        if (!table_has_key(&bindings[i], code) || !binding_counts(ui, &bindings[i])) continue;
        bindings[i].run(ui, bindings[i].argument);
        return true;
    }
    return false;
}

bool keys_dispatch(Ui *ui, int code) {
    for (int i = 0; i < binding_count; i++) {
        if (!binding_counts(ui, &bindings[i]) || !binding_has_key(&ui->settings, &bindings[i], code)) continue;
        bindings[i].run(ui, bindings[i].argument);
        return true;
    }
    return ui->screen == SCREEN_LAYERS && ui->focus == PANE_DIALS && action_type_into_dial(ui, code);
}
