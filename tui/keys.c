#include "tui/keys.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "tui/actions.h"
#include "tui/guide.h"
#include "tui/handout.h"
#include "tui/jobs.h"
#include "tui/key_names.h"
#include "tui/menu.h"
#include "tui/outliers.h"
#include "tui/rebind.h"
#include "tui/sensitivity.h"
#include "tui/speeds.h"
#include "tui/sweep.h"
#include "tui/trials.h"
#include "tui/view.h"

const char *const key_group_titles[] = {
    [KEYS_LAYERS] = "Layers",           [KEYS_DIALS] = "Dials",     [KEYS_RECIPE] = "Recipe and texts",
    [KEYS_OUTLIERS] = "Outliers",       [KEYS_TRIALS] = "Trials",   [KEYS_SWEEP] = "Sweep",
    [KEYS_SENSITIVITY] = "Sensitivity", [KEYS_CONVERT] = "Convert", [KEYS_PROGRAM] = "Program",
};
static_assert(sizeof key_group_titles / sizeof *key_group_titles == KEY_GROUPS, "a group of keys has no title");

// The parts of a row that not every row has.
#define KEYS(...) .keys = {__VA_ARGS__}
#define BAR(label, rank_there) .bar = (label), .rank = (rank_there)
#define BAR_WHEN(when, label, rank_there) .bar = (label), .rank = (rank_there), .bar_when = (when)
#define WORD(name) .word = (name)
#define WORD_WITH(name, argument, completes, runs) \
    .word = (name), .text = (argument), .completion = (completes), .run_text = (runs)
#define LIKE(line) .example = (line)
#define ALSO(words) .also = (words)

const Binding bindings[] = {
    {KEYS(KEY_FUNCTION(1), '?'), "F1", KEYS_PROGRAM, EVERYWHERE, action_help, 0, "this help, also ?", BAR("help", 0),
     WORD_WITH("help", "[WORD]", COMPLETE_NOTHING, action_help_on), LIKE("help undo"), ALSO("manual documentation")},
    {KEYS(KEY_TAB), "Tab", KEYS_PROGRAM, ON_LAYERS, view_next_pane, 1,
     "to the dials, the texts, the table; Shift-Tab the other way round", BAR("pane", 2)},
    {KEYS(KEY_BACK_TAB), "Shift-Tab", KEYS_PROGRAM, ON_LAYERS, view_next_pane, -1},
    {KEYS('1'), "1 … 6", KEYS_PROGRAM, EVERYWHERE, action_screen, SCREEN_LAYERS,
     "another screen, as numbered on the upper edge, also F2 … F6", WORD("layers")},
    {KEYS('2', KEY_FUNCTION(2)), "2", KEYS_PROGRAM, EVERYWHERE, action_screen, SCREEN_OUTLIERS,
     "the map of outliers over layers and roles", WORD("outliers"), ALSO("heat map channels")},
    {KEYS('3', KEY_FUNCTION(3)), "3", KEYS_PROGRAM, EVERYWHERE, action_screen, SCREEN_TRIALS,
     "Trials: what was tried, compared", WORD("trials"), ALSO("history results experiments comparison")},
    {KEYS('4', KEY_FUNCTION(4)), "4", KEYS_PROGRAM, EVERYWHERE, action_screen, SCREEN_SWEEP,
     "Sweep: KL divergence over a dial"},
    {KEYS('5', KEY_FUNCTION(5)), "5", KEYS_PROGRAM, EVERYWHERE, action_screen, SCREEN_SENSITIVITY,
     "Sensitivity: what each linear costs alone", WORD("sensitivity"), ALSO("important worst layer")},
    {KEYS('6', KEY_FUNCTION(6)), "6", KEYS_PROGRAM, EVERYWHERE, action_screen, SCREEN_CONVERT,
     "Convert: the model for other engines"},
    {KEYS('/'), "/", KEYS_PROGRAM, EVERYWHERE, action_prompt, PROMPT_FIND,
     "find a row by what it shows, a linear also by its whole name: a regular expression, or a glob of a whole name",
     BAR("find", 4), WORD_WITH("find", "TEXT", COMPLETE_NOTHING, action_find_text), LIKE("find 11.down_proj"),
     ALSO("search look for")},
    {KEYS('n'), "n N", KEYS_PROGRAM, EVERYWHERE, action_find, 1, "next match, previous match"},
    {KEYS('N'), "N", KEYS_PROGRAM, EVERYWHERE, action_find, -1},
    {KEYS('v'), "v", KEYS_PROGRAM, EVERYWHERE, view_zoom, 0,
     "the pane on the whole frame, then the next one, then all again; Esc returns", BAR("view", 4), WORD("view"),
     ALSO("zoom full screen maximize larger bigger")},

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
    {.help = "how many tokens both models write",
     WORD_WITH("tokens", "[N]", COMPLETE_NOTHING, view_tokens),
     LIKE("tokens 200"),
     ALSO("length long")},

    {KEYS(KEY_PAGE_UP), "PgUp PgDn", KEYS_DIALS, IN_DIALS, action_move_column, -1,
     "the column of dials to the left, to the right; also { }", BAR("column", 6)},
    {KEYS(KEY_PAGE_DOWN), "PgDn", KEYS_DIALS, IN_DIALS, action_move_column, 1},

    {KEYS(KEY_ARROW_UP, 'k'), "↑ k", KEYS_LAYERS, IN_LAYERS, action_move_row, -1, "the linear above"},
    {KEYS(KEY_ARROW_DOWN, 'j'), "↓ j", KEYS_LAYERS, IN_LAYERS, action_move_row, 1, "the linear below"},
    {KEYS(KEY_PAGE_UP, KEY_CONTROL('b')), "PgUp", KEYS_LAYERS, ON_LAYERS, action_move_page, -1, "a page up"},
    {KEYS(KEY_PAGE_DOWN, KEY_CONTROL('f')), "PgDn", KEYS_LAYERS, ON_LAYERS, action_move_page, 1, "a page down"},
    {KEYS('g'), "g", KEYS_LAYERS, ON_LAYERS, action_move_end, -1, "the first linear"},
    {KEYS('G'), "G", KEYS_LAYERS, ON_LAYERS, action_move_end, 1, "the last linear"},
    {KEYS(KEY_TO_START), "Home", KEYS_LAYERS, IN_LAYERS, action_move_end, -1},
    {KEYS(KEY_TO_END), "End", KEYS_LAYERS, IN_LAYERS, action_move_end, 1},
    {KEYS('&'), "&", KEYS_LAYERS, ON_LAYERS, action_prompt, PROMPT_FILTER,
     "show only some: a name, bits<8, out < 15, class = token, layer >= 15, role = down, marked; with several all must "
     "hold, also with & or and between them; ! or not turns round",
     BAR("filter", 8), WORD_WITH("filter", "[TEXT]", COMPLETE_FILTER, action_filter),
     LIKE("filter class = token layer >= 15"), ALSO("hide only where")},
    {KEYS(' '), "Space", KEYS_LAYERS, IN_LAYERS, action_mark_row, 0, "mark or unmark, and go on", BAR("mark", 4)},
    {KEYS('*'), "*", KEYS_LAYERS, ON_LAYERS, action_prompt, PROMPT_MARK,
     "mark by name or figures, as in a filter; Enter alone marks all that is shown",
     WORD_WITH("mark", "[TEXT]", COMPLETE_FILTER, action_mark), LIKE("mark role = down"),
     ALSO("select tag several many all")},
    {KEYS('U'), "U", KEYS_LAYERS, ON_LAYERS, action_unmark_all, 0, "unmark everything",
     WORD_WITH("unmark", "[TEXT]", COMPLETE_FILTER, action_unmark), LIKE("unmark layer < 15"), ALSO("select untag")},
    {KEYS('z'), "z", KEYS_LAYERS, IN_LAYERS, action_fold_turn, 0,
     "fold the experts of a layer, or its linears, into one row; or unfold it"},
    {KEYS('-'), "- +", KEYS_LAYERS, IN_LAYERS, action_fold, 1, "fold, unfold; of experts also ← →"},
    {KEYS('+'), "+", KEYS_LAYERS, IN_LAYERS, action_fold, 0},
    {KEYS(KEY_ARROW_LEFT, 'h'), "←", KEYS_LAYERS, IN_LAYERS, action_fold_or_point, 1},
    {KEYS(KEY_ARROW_RIGHT, 'l', KEY_RETURN), "→", KEYS_LAYERS, IN_LAYERS, action_fold_or_point, 0},
    {KEYS('Z'), "Z", KEYS_LAYERS, IN_LAYERS, action_fold_all, 0, "fold or unfold everything", WORD("fold"),
     ALSO("collapse expand group experts")},
    {KEYS(KEY_SHIFT_RIGHT, '>'), "> <", KEYS_LAYERS, IN_LAYERS, action_scroll_columns, 1,
     "the columns to the right, to the left; also Shift-→"},
    {KEYS(KEY_SHIFT_LEFT, '<'), "<", KEYS_LAYERS, IN_LAYERS, action_scroll_columns, -1},
    {KEYS('s'), "s", KEYS_LAYERS, ON_LAYERS, menu_open, PROMPT_SORT, "sort by a column, from a list of them",
     BAR("sort", 6)},
    {KEYS('S'), "S", KEYS_LAYERS, ON_LAYERS, action_reverse, 0, "reverse the order"},
    {.help = "sort the layers; again to reverse the order",
     WORD_WITH("sort", "COLUMN", COMPLETE_COLUMN, action_sort_named),
     LIKE("sort kurtosis"),
     ALSO("order")},

    {KEYS(KEY_ARROW_UP, 'k'), "↑ k", KEYS_DIALS, IN_DIALS, action_move_dial, -1, "the dial above"},
    {KEYS(KEY_ARROW_DOWN, 'j'), "↓ j", KEYS_DIALS, IN_DIALS, action_move_dial, 1, "the dial below"},
    {KEYS('}'), "{ }", KEYS_DIALS, ON_LAYERS, action_move_column, 1,
     "from any pane: the column of dials to the left, to the right"},
    {KEYS('{'), "{", KEYS_DIALS, ON_LAYERS, action_move_column, -1},
    {KEYS(']'), "[ ]", KEYS_DIALS, ON_LAYERS, action_move_dial, 1, "previous dial, next dial, from any pane"},
    {KEYS('['), "[", KEYS_DIALS, ON_LAYERS, action_move_dial, -1},
    {KEYS(KEY_ARROW_RIGHT, 'l'), "← →", KEYS_DIALS, IN_DIALS, action_turn, 1, "turn the dial down, up; also h l",
     BAR("turn", 1)},
    {KEYS(KEY_ARROW_LEFT, 'h'), "←", KEYS_DIALS, IN_DIALS, action_turn, -1},
    {KEYS(KEY_SHIFT_LEFT, '<'), "Shift-← <", KEYS_DIALS, IN_DIALS, action_turn_coarse, -1, "in large steps"},
    {KEYS(KEY_SHIFT_RIGHT, '>'), "Shift-→ >", KEYS_DIALS, IN_DIALS, action_turn_coarse, 1},
    {KEYS('=', KEY_RETURN), "=", KEYS_DIALS, IN_DIALS, action_edit_dial, 0,
     "type a value, also Enter; what is typed takes the place of the old one", BAR("type", 2)},
    {.help = "set a dial: set alpha 0.2, set granularity group",
     WORD_WITH("set", "DIAL VALUE", COMPLETE_DIAL, action_set),
     LIKE("set bits 8"),
     ALSO("change value")},
    {KEYS(KEY_TO_START), "Home", KEYS_DIALS, IN_DIALS, action_reset_dial, 0, "reset the dial to its default",
     BAR("reset", 4), WORD_WITH("reset", "[DIAL]", COMPLETE_DIAL, action_reset_named), LIKE("reset alpha"),
     ALSO("default usual")},
    {KEYS('o'), "o", KEYS_DIALS, ON_LAYERS, action_scope, 0,
     "what the dials set: all linears, the marked ones, the selected one", BAR("scope", 5),
     WORD_WITH("scope", "[all|marked|selected]", COMPLETE_SCOPE, action_scope_named), LIKE("scope marked"),
     ALSO("one layer single some only")},
    {KEYS(KEY_ERASE, KEY_FORWARD_ERASE), "Backspace", KEYS_DIALS, IN_DIALS, action_drop_override, 0,
     "remove this dial's override from the marked linears, or from the selected one"},
    {KEYS('O'), "O", KEYS_DIALS, ON_LAYERS, action_overrides, 0, "the list of overrides: edit, add, remove, move",
     BAR("overrides", 9), WORD("overrides"), ALSO("rules exceptions list")},

    {KEYS('u'), "u", KEYS_RECIPE, EVERYWHERE, action_undo, 0, "undo", BAR("undo", 3), WORD("undo"),
     ALSO("back revert history")},
    {KEYS(KEY_CONTROL('r')), "Ctrl-R", KEYS_RECIPE, EVERYWHERE, action_redo, 0, "redo", WORD("redo"),
     ALSO("again history")},
    {KEYS('p'), "p", KEYS_RECIPE, EVERYWHERE, action_pin, 0, "pin: from then on figures are compared with this state",
     BAR("pin", 7), WORD("pin"), ALSO("before after baseline")},
    {KEYS('P'), "P", KEYS_RECIPE, EVERYWHERE, action_unpin, 0, "remove the pin; again: bring it back", WORD("unpin"),
     ALSO("stop comparing")},
    {KEYS('i'), "i", KEYS_RECIPE, ON_LAYERS, action_ignore, 0,
     "leave the selected linear in its own precision, or quantize it again; or the marked ones while dials set these",
     WORD("ignore"), ALSO("skip exclude keep unquantized")},
    {KEYS('r'), "r", KEYS_RECIPE, ON_LAYERS, action_prompt, PROMPT_TEXT, "edit the prompt that both models continue",
     WORD_WITH("prompt", "[TEXT]", COMPLETE_NOTHING, action_continue), LIKE("prompt The sea is"),
     ALSO("question chat ask generate write")},
    {KEYS('w'), "w", KEYS_RECIPE, EVERYWHERE, action_prompt, PROMPT_SAVE, "write the recipe to a file", BAR("write", 3),
     WORD_WITH("w", "[FILE]", COMPLETE_RECIPE, action_write), LIKE("w mine.json"), ALSO("save store")},
    {.help = "write the recipe, even over another file",
     WORD_WITH("w!", "[FILE]", COMPLETE_RECIPE, action_write_over),
     LIKE("w! mine.json"),
     ALSO("save overwrite")},
    {.help = "write the recipe and quit",
     WORD_WITH("wq", "[FILE]", COMPLETE_RECIPE, action_write_quit),
     LIKE("wq mine.json"),
     ALSO("save exit leave")},
    {KEYS('L'), "L", KEYS_RECIPE, EVERYWHERE, action_prompt, PROMPT_LOAD, "load a recipe",
     WORD_WITH("load", "[FILE]", COMPLETE_RECIPE, action_load_named), LIKE("load mine.json"), ALSO("open read")},

    {KEYS(KEY_ARROW_LEFT, 'h'), "←", KEYS_OUTLIERS, ON_OUTLIERS, outliers_move_column, -1, "the layer before, also h"},
    {KEYS(KEY_ARROW_RIGHT, 'l'), "→", KEYS_OUTLIERS, ON_OUTLIERS, outliers_move_column, 1, "the next layer, also l"},
    {KEYS(KEY_ARROW_UP, 'k'), "↑", KEYS_OUTLIERS, ON_OUTLIERS, outliers_move_line, -1, "the line above, also k"},
    {KEYS(KEY_ARROW_DOWN, 'j'), "↓", KEYS_OUTLIERS, ON_OUTLIERS, outliers_move_line, 1, "the line below, also j"},
    {KEYS(KEY_TO_START, 'g'), "Home g", KEYS_OUTLIERS, ON_OUTLIERS, outliers_move_end, -1, "the first layer"},
    {KEYS(KEY_TO_END, 'G'), "End G", KEYS_OUTLIERS, ON_OUTLIERS, outliers_move_end, 1, "the last layer"},
    {KEYS(']'), "]", KEYS_OUTLIERS, ON_OUTLIERS, outliers_next, 1, "the next worst", BAR("next worst", 2)},
    {KEYS('['), "[", KEYS_OUTLIERS, ON_OUTLIERS, outliers_next, -1, "the one that is worse than this"},
    {KEYS('W'), "W", KEYS_OUTLIERS, ON_OUTLIERS, outliers_worst, 0, "the worst of this measure"},
    {KEYS('m', KEY_TAB), "m", KEYS_OUTLIERS, ON_OUTLIERS, outliers_turn_measure, 1, "the next measure, also Tab",
     BAR("measure", 2)},
    {KEYS('M', KEY_BACK_TAB), "M", KEYS_OUTLIERS, ON_OUTLIERS, outliers_turn_measure, -1, "the measure before"},
    {KEYS('s'), "s", KEYS_OUTLIERS, ON_OUTLIERS, outliers_study, 0,
     "study: quantize each linear alone, for KL alone; estimates come first", BAR("study KL", 3), ALSO("sensitivity")},
    {KEYS(' '), "Space", KEYS_OUTLIERS, ON_OUTLIERS, outliers_mark, 0,
     "mark what the cursor is on, all experts of a cell; again to unmark", BAR("mark", 3)},
    {KEYS(KEY_RETURN), "Enter", KEYS_OUTLIERS, ON_OUTLIERS, outliers_enter, 0,
     "go to the linear on the Layers screen, where dials are set", BAR("open", 1)},
    {KEYS(KEY_ARROW_LEFT, 'h'), "←", KEYS_SWEEP, ON_SWEEP, sweep_move_across, -1, "the point to the left, also h"},
    {KEYS(KEY_ARROW_RIGHT, 'l'), "→", KEYS_SWEEP, ON_SWEEP, sweep_move_across, 1, "the point to the right, also l",
     BAR("point", 2)},
    {KEYS(KEY_ARROW_UP, 'k'), "↑", KEYS_SWEEP, ON_SWEEP, sweep_move_up, 1, "the next point of the second dial, also k"},
    {KEYS(KEY_ARROW_DOWN, 'j'), "↓", KEYS_SWEEP, ON_SWEEP, sweep_move_up, -1, "the point before, also j"},
    {KEYS('g', KEY_TO_START), "g", KEYS_SWEEP, ON_SWEEP, sweep_move_across, -SWEEP_POINTS,
     "the first point, also Home"},
    {KEYS('G', KEY_TO_END), "G", KEYS_SWEEP, ON_SWEEP, sweep_move_across, SWEEP_POINTS, "the last point, also End"},
    {KEYS(KEY_RETURN), "Enter", KEYS_SWEEP, ON_SWEEP, sweep_take, 0, "set the dials as at this point", BAR("take", 1)},
    {KEYS('d'), "d", KEYS_SWEEP, ON_SWEEP, menu_open, PROMPT_SWEEP, "sweep another dial, from a list", BAR("dial", 2)},
    {KEYS('D'), "D", KEYS_SWEEP, ON_SWEEP, menu_open, PROMPT_SWEEP_SECOND,
     "add a second dial, from a list, or none again", BAR("second dial", 3)},
    {KEYS('b'), "b", KEYS_SWEEP, ON_SWEEP, sweep_turn_axis, 0, "the curve over bits per weight, or over the dial",
     BAR("axis", 4)},
    {KEYS('x'), "x", KEYS_SWEEP, ON_SWEEP, sweep_stop, 0, "stop measuring, or go on",
     BAR_WHEN(BAR_ON_STUDY, "stop", 3)},
    {KEYS('m'), "m", KEYS_SWEEP, ON_SWEEP, sweep_measure, 0,
     "measure what would take more than half a minute, and so does not begin by itself",
     BAR_WHEN(BAR_PUT_OFF, "measure", 1)},
    {.help = "sweep one dial or two: sweep alpha, sweep alpha=0.1:0.5:0.1 weight-bits=3,4",
     WORD_WITH("sweep", "[DIAL[=VALUES] [DIAL[=VALUES]]]", COMPLETE_DIAL, sweep_named),
     LIKE("sweep alpha=0.1:0.5:0.1"),
     ALSO("try values range curve pareto best")},

    {KEYS(KEY_ARROW_UP, 'k'), "↑ k", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_move, -1, "the row above"},
    {KEYS(KEY_ARROW_DOWN, 'j'), "↓ j", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_move, 1, "the row below"},
    {KEYS(KEY_PAGE_UP, KEY_CONTROL('b')), "PgUp", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_move_page, -1,
     "a page up"},
    {KEYS(KEY_PAGE_DOWN, KEY_CONTROL('f')), "PgDn", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_move_page, 1,
     "a page down"},
    {KEYS('g', KEY_TO_START), "g", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_move, -SENSITIVITY_ROWS,
     "the first row"},
    {KEYS('G', KEY_TO_END), "G", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_move, SENSITIVITY_ROWS, "the last row"},
    {KEYS(KEY_ARROW_LEFT, 'h'), "←", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_turn, -1,
     "a smaller budget, also h"},
    {KEYS(KEY_ARROW_RIGHT, 'l'), "→", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_turn, 1, "a larger budget, also l",
     BAR("budget", 1)},
    {KEYS(KEY_SHIFT_LEFT, '<'), "Shift-← <", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_turn, -10, "in large steps"},
    {KEYS(KEY_SHIFT_RIGHT, '>'), "Shift-→ >", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_turn, 10},
    {KEYS('='), "=", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_type_budget, 0,
     "type the budget; what is typed takes the place of the old one", BAR("type", 5),
     WORD_WITH("budget", "[BITS | kl BOUND]", COMPLETE_BUDGET, sensitivity_set_budget), LIKE("budget 4.25"),
     ALSO("size limit smaller memory")},
    {KEYS('b'), "b", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_turn_kind, 0,
     "the budget bounds bits per weight, or KL divergence", BAR("bits or KL", 4)},
    {KEYS(KEY_RETURN), "Enter", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_take, 0,
     "put the chosen bits into the recipe, or what was tuned", BAR("take", 1)},
    {KEYS('T'), "T", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_tune, 0, "let tune search within the budget",
     BAR("tune", 2), WORD("tune"), ALSO("auto automatic optimize best search recipe smaller")},
    {KEYS('K'), "K", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_keep, 0,
     "keep bits and groups that overrides give by hand when a budget or tune chooses, or let these choose there, too",
     WORD("keep")},
    {KEYS('m'), "m", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_measure_on, 0,
     "measure what would take more than half a minute, and so does not begin by itself",
     BAR_WHEN(BAR_PUT_OFF, "measure", 1), WORD("measure")},
    {KEYS(' '), "Space", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_mark, 0, "mark the linears of the row, or not",
     BAR("mark", 3)},
    {KEYS('f'), "f", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_fold, 1, "a row for each linear, role or layer",
     BAR("fold", 3)},
    {KEYS('s'), "s", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_sort, 0, "largest first, or in the model's order",
     BAR("sort", 6)},
    {KEYS('x'), "x", KEYS_SENSITIVITY, ON_SENSITIVITY, sensitivity_stop, 0, "stop tuning or measuring, or go on",
     BAR_WHEN(BAR_ON_STUDY, "stop", 3)},
    {KEYS(KEY_ARROW_UP, 'k'), "↑ k", KEYS_TRIALS, ON_TRIALS, trials_move, -1, "the row above; in a text a line up",
     BAR_WHEN(BAR_IN_TEXTS, "scroll", 2)},
    {KEYS(KEY_ARROW_DOWN, 'j'), "↓ j", KEYS_TRIALS, ON_TRIALS, trials_move, 1, "the row below; in a text a line down"},
    {KEYS(KEY_PAGE_UP, KEY_CONTROL('b')), "PgUp", KEYS_TRIALS, ON_TRIALS, trials_page, -1, "a page up"},
    {KEYS(KEY_PAGE_DOWN, KEY_CONTROL('f')), "PgDn", KEYS_TRIALS, ON_TRIALS, trials_page, 1, "a page down"},
    {KEYS('>', KEY_SHIFT_RIGHT), "> <", KEYS_TRIALS, ON_TRIALS, trials_scroll, 1,
     "the columns to the right, to the left; in the table also → ←"},
    {KEYS('<', KEY_SHIFT_LEFT), "<", KEYS_TRIALS, ON_TRIALS, trials_scroll, -1},
    {KEYS('+'), "+ -", KEYS_TRIALS, ON_TRIALS, view_length, 1,
     "texts of twice as many tokens, of half as many; those of both rows go on", BAR_WHEN(BAR_IN_TEXTS, "length", 1)},
    {KEYS('-'), "-", KEYS_TRIALS, ON_TRIALS, view_length, -1},
    {KEYS('r'), "r", KEYS_TRIALS, ON_TRIALS, action_prompt, PROMPT_TEXT, "edit the prompt of all texts",
     BAR_WHEN(BAR_IN_TEXTS, "prompt", 3)},
    {KEYS('g', KEY_TO_START), "g", KEYS_TRIALS, ON_TRIALS, trials_end, -1, "the first row, the first token"},
    {KEYS('G', KEY_TO_END), "G", KEYS_TRIALS, ON_TRIALS, trials_end, 1, "the last row, the last token"},
    {KEYS(KEY_RETURN), "Enter", KEYS_TRIALS, ON_TRIALS, trials_take, 0, "take the recipe of the row; u undoes it",
     BAR_WHEN(BAR_IN_TABLE, "take", 1)},
    {KEYS('a'), "a", KEYS_TRIALS, ON_TRIALS, trials_compare_with, 1,
     "compare: this row is A; again: the pin or the start", BAR_WHEN(BAR_IN_TABLE, "A", 2)},
    {KEYS('b'), "b", KEYS_TRIALS, ON_TRIALS, trials_compare_with, 2, "compare: this row is B; again: the present state",
     BAR_WHEN(BAR_IN_TABLE, "B", 2)},
    {KEYS('d'), "d", KEYS_TRIALS, ON_TRIALS, trials_toggle_difference, 0,
     "what A and B do differently, in place of the texts", BAR("difference", 2)},
    {KEYS(KEY_TAB), "Tab", KEYS_TRIALS, ON_TRIALS, trials_next_pane, 1,
     "to the texts of base, A and B, and back; there ← → go from token to token", BAR("texts", 1)},
    {KEYS(KEY_BACK_TAB), "Shift-Tab", KEYS_TRIALS, ON_TRIALS, trials_next_pane, -1},
    {KEYS(KEY_ARROW_RIGHT, 'l'), "→ l", KEYS_TRIALS, ON_TRIALS, trials_move_sideways, 1, "in a text: the next token",
     BAR_WHEN(BAR_IN_TEXTS, "token", 1)},
    {KEYS(KEY_ARROW_LEFT, 'h'), "← h", KEYS_TRIALS, ON_TRIALS, trials_move_sideways, -1},
    {KEYS('e'), "e", KEYS_TRIALS, ON_TRIALS, trials_ask_note, 0, "write a note to the row, or edit it",
     BAR_WHEN(BAR_IN_TABLE, "note", 5)},
    {KEYS('D', KEY_FORWARD_ERASE), "D", KEYS_TRIALS, ON_TRIALS, trials_ask_drop, 0,
     "forget the row with its note, texts and figures, also Delete; asks first", BAR_WHEN(BAR_IN_TABLE, "forget", 6)},
    {KEYS('s'), "s", KEYS_TRIALS, ON_TRIALS, menu_open, PROMPT_SORT, "sort by a column, from a list of them",
     BAR_WHEN(BAR_IN_TABLE, "sort", 5)},
    {KEYS('S'), "S", KEYS_TRIALS, ON_TRIALS, trials_reverse, 0, "reverse the order"},
    {KEYS('y'), "y", KEYS_RECIPE, EVERYWHERE, handout_copy, 0,
     "copy what the keys are on: the row, the cell, the point, among the dials the recipe, the texts, the verdict",
     BAR("copy", 8), WORD("copy"), ALSO("clipboard yank")},
    {KEYS('Y'), "Y", KEYS_RECIPE, EVERYWHERE, handout_copy_table, 0, "copy the table as it is shown",
     WORD("copy-table"), ALSO("clipboard yank")},
    {KEYS('X'), "X", KEYS_RECIPE, EVERYWHERE, handout_ask, 0,
     "write the table (.csv, .md) or the figure (.svg) to a file",
     WORD_WITH("export", "[FILE]", COMPLETE_FILE, handout_write), LIKE("export table.csv"),
     ALSO("save markdown picture screenshot spreadsheet")},
    {.help = "the same, even over another file",
     WORD_WITH("export!", "[FILE]", COMPLETE_FILE, handout_over),
     LIKE("export! table.csv"),
     ALSO("overwrite")},

    {KEYS('x'), "x", KEYS_CONVERT, ON_LAYERS, action_screen, SCREEN_CONVERT,
     "write the model for other engines: the Convert screen", BAR("convert", 4), WORD("convert"),
     ALSO("export save checkpoint quantize gguf gptq mlx vllm llama.cpp")},
    {KEYS('x'), "x", KEYS_CONVERT, ON_OUTLIERS, action_screen, SCREEN_CONVERT},
    {KEYS('x'), "x", KEYS_CONVERT, ON_TRIALS, action_screen, SCREEN_CONVERT},
    {KEYS(KEY_ARROW_UP, 'k'), "↑", KEYS_CONVERT, ON_CONVERT, action_engine, -1, "look at the engine above, also k"},
    {KEYS(KEY_ARROW_DOWN, 'j'), "↓", KEYS_CONVERT, ON_CONVERT, action_engine, 1, "look at the engine below, also j",
     BAR("engine", 4), ALSO("vllm sglang llama.cpp mlx transformers")},
    {KEYS(' '), "Space", KEYS_CONVERT, ON_CONVERT, action_keep, 0,
     "make the recipe for this engine: dials say what it refuses, budget and T keep to it; again: for none",
     BAR("target", 2)},
    {KEYS(KEY_PAGE_UP, KEY_CONTROL('b')), "PgUp", KEYS_CONVERT, ON_CONVERT, action_finding, -1, "its finding before"},
    {KEYS(KEY_PAGE_DOWN, KEY_CONTROL('f')), "PgDn", KEYS_CONVERT, ON_CONVERT, action_finding, 1, "its next finding",
     BAR("findings", 5)},
    {KEYS(KEY_ARROW_LEFT, 'h'), "←", KEYS_CONVERT, ON_CONVERT, action_format, -1, "the format before, also h"},
    {KEYS(KEY_ARROW_RIGHT, 'l'), "→", KEYS_CONVERT, ON_CONVERT, action_format, 1, "the next format, also l",
     BAR("format", 2), ALSO("gguf gptq mlx dense compressed-tensors safetensors")},
    {KEYS('o'), "o", KEYS_CONVERT, ON_CONVERT, action_folder, 0, "name the folder to write", BAR("folder", 2),
     WORD_WITH("folder", "[FOLDER]", COMPLETE_FILE, action_folder_named), LIKE("folder my-model"),
     ALSO("directory output path where")},
    {KEYS('f'), "f", KEYS_CONVERT, ON_CONVERT, action_fix, 0,
     "put what this engine needs into the recipe; pins what was before, if nothing is pinned", BAR("fix", 2),
     WORD("fix")},
    {KEYS('b'), "b", KEYS_CONVERT, ON_CONVERT, action_odd_bits, 0,
     "write weights of 2 and 3 bits, too, which versions of engines read differently; again: no more"},
    {.help = "the engine that the recipe is for, as Space on Convert; none: no engine",
     WORD_WITH("target", "[ENGINE]", COMPLETE_ENGINE, action_target),
     LIKE("target vllm-sm90"),
     ALSO("run serve inference compatible device vllm")},
    {KEYS(KEY_RETURN), "Enter", KEYS_CONVERT, ON_CONVERT, action_export, 0,
     "write the model; go on with what was stopped", BAR("write it", 1), ALSO("save quantize export start checkpoint")},
    {KEYS('O'), "O", KEYS_CONVERT, ON_CONVERT, action_export, 1, "write it over what the folder holds"},
    {KEYS('x'), "x", KEYS_CONVERT, ON_CONVERT, action_stop_export, 0, "stop writing; it goes on where it was",
     BAR_WHEN(BAR_ON_EXPORT, "stop", 2)},

    {KEYS('!'), "!", KEYS_PROGRAM, EVERYWHERE, action_stop_jobs, 0, "stop or resume computing", WORD("stop"),
     ALSO("pause cancel abort interrupt job")},
    {KEYS('J'), "J", KEYS_PROGRAM, EVERYWHERE, jobs_show, 0, "what is computed: each stopped, or going on, by itself",
     BAR("jobs", 9), WORD("jobs"), ALSO("progress running busy pause cancel")},
    {KEYS('B'), "B", KEYS_PROGRAM, EVERYWHERE, speeds_show, 0,
     "time batches: how many times as fast as the base it decodes, over sequences side by side and context",
     WORD("speeds"), ALSO("fast faster slow batch batches throughput benchmark")},
    {.run = guide_toggle,
     .help = "four steps from an outlier to a recipe, or without them again",
     WORD("guide"),
     ALSO("tutorial start learn")},
    {KEYS(':'), ":", KEYS_PROGRAM, EVERYWHERE, action_prompt, PROMPT_COMMAND,
     "type a command; Tab completes, ↑ ↓ recall earlier ones"},
    {KEYS(KEY_CONTROL('l')), "Ctrl-L", KEYS_PROGRAM, EVERYWHERE, action_redraw, 0, "redraw the screen"},
    {KEYS(KEY_ESCAPE), "Esc", KEYS_PROGRAM, EVERYWHERE, action_back, 0,
     "close, cancel, end the search or the filter; marks stay"},
    {.help = "colours: auto, dark, light, colorblind, mono",
     WORD_WITH("theme", "NAME", COMPLETE_SCHEME, action_theme),
     LIKE("theme light"),
     ALSO("color background")},
    {.help = "give an action other keys, at once and from then on; the help names actions at the right",
     WORD_WITH("bind", "NAME KEY", COMPLETE_ACTION, rebind),
     LIKE("bind undo f9"),
     ALSO("change rebind remap map keys shortcut keybinding customize configure hotkey")},
    {.help = "the usual keys of an action again",
     WORD_WITH("unbind", "NAME", COMPLETE_CHANGED, rebind_back),
     LIKE("unbind undo"),
     ALSO("rebind remap map keys shortcut keybinding reset")},
    {.run = settings_show,
     .help = "the file of settings: where it is, what it may say, what of it is not used",
     WORD("settings"),
     ALSO("preferences options configuration config.json")},
    {KEYS('q', KEY_CONTROL('c')), "q", KEYS_PROGRAM, EVERYWHERE, action_quit, 0,
     "back to the layers; there quit, which asks when the recipe is not saved", BAR("quit", 1), WORD("q"),
     ALSO("exit leave close")},
    {.run = action_quit_unsaved, .help = "quit without asking", WORD("q!"), ALSO("exit leave discard")},
};
const int binding_count = sizeof bindings / sizeof *bindings;

bool binding_counts(const Ui *ui, const Binding *binding) {
    const Pane pane = ui->screen == SCREEN_LAYERS ? ui->focus : PANE_COUNT;
    switch (binding->where) {
    case EVERYWHERE: return true;
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

// What begins a number is meant for the dial.
static bool is_typed_at_dial(const Ui *ui, int code) {
    const bool number = (code >= '0' && code <= '9') || code == '.' || code == '-';
    return number && ui->screen == SCREEN_LAYERS && ui->focus == PANE_DIALS;
}

// Where a key that does nothing here acts, in the order of the screens.
static void point_to_key(Ui *ui, int code) {
    static const char *const places[] = {
        [ON_LAYERS] = "Layers",   [IN_LAYERS] = "the table of Layers", [IN_DIALS] = "the dials",
        [IN_TEXTS] = "the texts", [ON_OUTLIERS] = "Outliers",          [ON_TRIALS] = "Trials",
        [ON_SWEEP] = "Sweep",     [ON_SENSITIVITY] = "Sensitivity",    [ON_CONVERT] = "Convert",
    };
    bool acts[WHERE_COUNT] = {false};
    const char *shown = NULL;
    bool changed;
    for (int i = binding_count - 1; i >= 0; i--) {
        if (!binding_has_key(&ui->settings, &bindings[i], code)) continue;
        acts[bindings[i].where] = true;
        shown = binding_shown(&ui->settings, &bindings[i], &changed);
    }
    char letter[2] = {code > ' ' && code < 127 ? (char)code : '\0'}, where[160] = "";
    const char *name = *letter ? letter : key_word(code) ? key_word(code) : shown;
    for (int i = ON_LAYERS; i < WHERE_COUNT; i++) {
        const size_t used = strlen(where);
        if (acts[i]) snprintf(where + used, sizeof where - used, "%s%s", used ? ", " : "", places[i]);
    }
    if (*where) ui_say(ui, "%s does nothing here; it acts on %s", name, where);
}

bool keys_dispatch(Ui *ui, int code) {
    for (int i = 0; i < binding_count; i++) {
        if (!binding_counts(ui, &bindings[i]) || !binding_has_key(&ui->settings, &bindings[i], code)) continue;
        bindings[i].run(ui, bindings[i].argument);
        return true;
    }
    if (is_typed_at_dial(ui, code))
        action_point_to_typing(ui);
    else
        point_to_key(ui, code);
    return false;
}
