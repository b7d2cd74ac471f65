#include "tui/help.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "tui/commands.h"
#include "tui/dials.h"
#include "tui/key_names.h"
#include "tui/panels.h"
#include "tui/screen.h"

#define SHOWN_COLS 22

typedef struct HelpLine {
    const char *left, *right; // right NULL: a heading; both NULL: a blank line
    size_t length;            // bytes of it that this line has
    const char *arguments;    // of a command
    Style style;              // of what stands at the left
    const char *name;         // of the action, for the file of settings
    const char *usual;        // keys that it would have without that; NULL: these
    const char *example;      // of a command; NULL: none
} HelpLine;

typedef struct HelpText {
    const Ui *ui;
    int room; // columns for what stands at the right
    HelpLine *lines;
    size_t count, capacity;
    char **made; // texts that lines point to
    size_t made_count, made_capacity;
    const char *filter;  // words that each line shown holds; "": everything
    const char *section; // that lines are of
    bool headed;         // its heading was added
} HelpText;

static void help_free(HelpText *text) {
    for (size_t i = 0; i < text->made_count; i++) free(text->made[i]);
    free(text->made);
    free(text->lines);
}

// Takes over a text; "" where memory is short.
static const char *help_keep(HelpText *text, Text *made) {
    if (!made->failed && array_grow(&text->made, text->made_count, &text->made_capacity, sizeof *text->made))
        return text->made[text->made_count++] = made->data;
    text_free(made);
    return "";
}

static void help_add(HelpText *text, HelpLine line) {
    if (array_grow(&text->lines, text->count, &text->capacity, sizeof *text->lines)) text->lines[text->count++] = line;
}

// A heading is only there with a line below it.
static void help_section(HelpText *text, const char *heading) {
    text->section = heading;
    text->headed = false;
}

// Bytes of the text that fit into a line, up to the end of a word.
static size_t fitting(const HelpText *text, const char *words) {
    int used = 0, width;
    size_t at = 0, end = 0, length;
    while ((length = canvas_character(&text->ui->canvas, words + at, &width)) > 0 && used + width <= text->room) {
        if (words[at] == ' ') end = at;
        used += width;
        at += length;
    }
    return words[at] && end ? end : at;
}

// In as many lines as it needs.
static void add_wrapped(HelpText *text, HelpLine line) {
    const char *usual = line.usual, *example = line.example, *rest;
    line.usual = line.example = NULL; // in lines of their own
    line.length = fitting(text, line.right);
    rest = line.right + line.length;
    if (*rest || usual) line.name = NULL;
    help_add(text, line);
    for (rest += *rest == ' '; *rest; rest += *rest == ' ') {
        const size_t length = fitting(text, rest);
        if (!length) return;
        help_add(text, (HelpLine){.left = "", .right = rest, .length = length});
        rest += length;
    }
    if (usual) help_add(text, (HelpLine){.left = "", .right = "", .usual = usual});
    if (example) help_add(text, (HelpLine){.left = "", .right = "", .example = example});
}

// ---- search -------------------------------------------------------------------------------------------------------

static bool holds(const char *text, const char *part) { return text && strcasestr(text, part); }

// A whole word of a heading stands for all below it.
static bool heads(const char *section, const char *part) {
    const size_t length = strlen(part);
    for (const char *at = section; *at; at += strspn(at, " :")) {
        const size_t word = strcspn(at, " :");
        if (word == length && strncasecmp(at, part, length) == 0) return true;
        at += word;
    }
    return false;
}

static bool line_holds(const HelpText *text, const HelpLine *line, const Binding *of, const char *part) {
    const char *const parts[] = {line->left, line->right, line->arguments, line->name, line->example};
    bool found = heads(text->section, part);
    found = found || (of && (holds(of->also, part) || holds(of->word, part) || command_takes(text->ui, of, part)));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) found = found || holds(parts[i], part);
    return found;
}

// All words of what is sought, wherever they stand. of: the row of the table; NULL: none.
static bool is_sought(const HelpText *text, const HelpLine *line, const Binding *of) {
    bool found = true;
    char part[64];
    for (const char *at = text->filter; found && *(at += strspn(at, " "));) {
        const size_t length = strcspn(at, " ");
        snprintf(part, sizeof part, "%.*s", (int)length, at);
        found = line_holds(text, line, of, part);
        at += length;
    }
    return found;
}

static void help_line_of(HelpText *text, HelpLine line, const Binding *of) {
    if (!is_sought(text, &line, of)) return;
    if (!text->headed && text->count) help_add(text, (HelpLine){0});
    if (!text->headed) help_add(text, (HelpLine){.left = text->section});
    text->headed = true;
    add_wrapped(text, line);
}

static void help_line(HelpText *text, HelpLine line) { help_line_of(text, line, NULL); }

// ---- keys ---------------------------------------------------------------------------------------------------------

static const char *const place_titles[] = {
    [EVERYWHERE] = "Everywhere",
    [ON_LAYERS] = "Layers",
    [IN_LAYERS] = "Layers: the table",
    [IN_DIALS] = "Layers: the dials",
    [IN_TEXTS] = "Layers: the texts",
    [ON_OUTLIERS] = "Outliers",
    [ON_TRIALS] = "Trials",
    [ON_SWEEP] = "Sweep",
    [ON_SENSITIVITY] = "Sensitivity",
    [ON_CONVERT] = "Convert",
};
static_assert(sizeof place_titles / sizeof *place_titles == WHERE_COUNT, "a place of keys has no title");

// In the pane that has the keys, another row may have taken the key: both are shown elsewhere.
static bool is_taken(const Ui *ui, int row) {
    for (int i = 0; i < row && binding_counts(ui, &bindings[row]); i++) {
        if (binding_counts(ui, &bindings[i]) && binding_has_key(&ui->settings, &bindings[i], bindings[row].keys[0]))
            return true;
    }
    return false;
}

// Rows that the one before explains, too, are shown when their keys were changed.
static void add_keys(const Ui *ui, HelpText *text, Where where) {
    for (int i = 0; i < binding_count; i++) {
        const Binding *b = &bindings[i];
        bool changed;
        if (b->where != where || !b->shown || is_taken(ui, i)) continue;
        const char *shown = binding_shown(&ui->settings, b, &changed), *name = binding_name(b);
        if (b->help || changed)
            help_line_of(text,
                         (HelpLine){.left = shown,
                                    .right = b->help ? b->help : name,
                                    .style = changed ? MEANING_CHANGED : MEANING_ACCENT,
                                    .name = name,
                                    .usual = changed ? b->shown : NULL},
                         b);
    }
}

// Keys of the pane first, then those of the whole screen.
static void add_keys_here(const Ui *ui, HelpText *text) {
    static const Where of_pane[] = {[PANE_LAYERS] = IN_LAYERS, [PANE_DIALS] = IN_DIALS, [PANE_TEXTS] = IN_TEXTS};
    static_assert(sizeof of_pane / sizeof *of_pane == PANE_COUNT, "a pane has no keys");
    const bool layers = ui->screen == SCREEN_LAYERS;
    if (layers) help_section(text, place_titles[of_pane[ui->focus]]);
    if (layers) add_keys(ui, text, of_pane[ui->focus]);
    for (int where = ON_LAYERS; where < WHERE_COUNT; where++) {
        const bool whole = where != IN_LAYERS && where != IN_DIALS && where != IN_TEXTS;
        if (!whole || !binding_counts(ui, &(Binding){.where = (Where)where})) continue;
        help_section(text, layers ? "Layers: all panes" : place_titles[where]);
        add_keys(ui, text, (Where)where);
    }
}

static void add_keys_elsewhere(const Ui *ui, HelpText *text) {
    for (int where = 0; where < WHERE_COUNT; where++) {
        const Binding here = {.where = (Where)where};
        if (where > EVERYWHERE && binding_counts(ui, &here)) continue;
        help_section(text, place_titles[where]);
        add_keys(ui, text, (Where)where);
    }
}

static void add_commands(HelpText *text) {
    help_section(text, "Commands");
    for (int i = 0; i < binding_count; i++) {
        const Binding *b = &bindings[i];
        if (b->word)
            help_line_of(text,
                         (HelpLine){.left = b->word,
                                    .right = b->help,
                                    .arguments = b->text ? b->text : "",
                                    .style = MEANING_ACCENT,
                                    .example = b->example},
                         b);
    }
}

// ---- dials --------------------------------------------------------------------------------------------------------

// "bits per weight code: 2, 3, 4, 8; usually 4".
static void add_dial(HelpText *text, Dial dial) {
    const DialInfo *info = &dial_table[dial];
    double settings[DIAL_SETTINGS_MOST];
    char value[64];
    Text words = {0};
    text_addf(&words, "%s", info->help);
    const int count = info->kind == DIAL_NUMBER ? 0 : dial_settings(dial, settings, DIAL_SETTINGS_MOST);
    for (int i = 0; i < count; i++) {
        dial_format(dial, settings[i], value, sizeof value);
        text_addf(&words, "%s%s", i ? ", " : ": ", value);
    }
    if (info->kind == DIAL_NUMBER) text_addf(&words, ": %g to %g", info->least, info->most);
    dial_format(dial, info->default_value, value, sizeof value);
    text_addf(&words, "; usually %s", value);
    help_line(text, (HelpLine){.left = info->label,
                               .right = help_keep(text, &words),
                               .style = MEANING_ACCENT,
                               .name = info->option});
}

static void add_dials(HelpText *text) {
    help_section(text, "Dials");
    for (int dial = 0; dial < DIAL_COUNT; dial++) add_dial(text, (Dial)dial);
}

// ---- words --------------------------------------------------------------------------------------------------------

// What the screen says without explaining it, and what people call it.
static const struct {
    const char *word, *meaning;
} words[] = {
    {"KL", "KL divergence: how far the quantized model's probabilities are from the base's, 0 being the same; the main "
           "figure of quality"},
    {"perplexity, ppl", "how much a text surprises the model; the accuracy that is lost shows in how far it rises"},
    {"top-1", "share of tokens where both models say the same"},
    {"dB", "signal to noise of a linear's output: 20 dB errs by 10 %, 40 dB by 1 %; larger is better"},
    {"bits/weight", "with scales and what else is stored; smaller is a smaller model"},
    {"tokens/s, 1.6×", "how fast it decodes, and how many times as fast as the base, measured here by this program"},
    {"linear", "a matrix of weights; each layer has several: q, k, v, o, gate, up, down"},
    {"recipe", "what all dials say, and the overrides: the file that w writes"},
    {"override", "a rule that sets a dial for some linears, or for one layer only"},
    {"pin", "the state that figures are compared with"},
    {"calibration", "tokens that are run to measure the inputs of linears, of the text that the header names"},
    {"scale, group", "weights that share a scale are a group; smaller groups err less and take more room"},
    {"outlier", "a value far beyond the others, which makes the steps of all that share its scale large"},
    {"KV cache",
     "keys and values of earlier tokens, kept while a text is written; the dial cache says how they are kept"},
    {"int8, W4A8", "a policy other than none rounds inputs to 8 bits; with 4 bits in weights that is W4A8"},
};

static void add_words(HelpText *text) {
    help_section(text, "Words");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        help_line(text, (HelpLine){.left = words[i].word, .right = words[i].meaning, .style = MEANING_TITLE});
}

// ---- colours and signs --------------------------------------------------------------------------------------------

// As they are drawn. screens: a bit for each where they are seen; 0: all.
#define ON(screen) (1u << (screen))
static const struct {
    const char *sign, *meaning;
    Style style;
    unsigned screens;
} legend[] = {
    {"─── static", "inputs up to v0: one scale for all tokens", MEANING_STATIC, ON(SCREEN_LAYERS)},
    {"╌╌╌ LAE", "inputs between v0 and v1: channels are equalized", MEANING_LAE, ON(SCREEN_LAYERS)},
    {"━━━ token", "inputs beyond v1: a scale for each token", MEANING_TOKEN, ON(SCREEN_LAYERS)},
    {"▂▅▇", "how many weights have a value; counts are logarithmic", MEANING_WEIGHT, ON(SCREEN_LAYERS)},
    {"▁▂▁", "weights beyond six standard deviations", MEANING_TAIL, ON(SCREEN_LAYERS)},
    {"▸ ━━●", "the selected row, the current dial, a knob", MEANING_ACCENT, ON(SCREEN_LAYERS)},
    {"● ◐", "marked; some of the row's linears are", MEANING_ACCENT | STYLE_BOLD, ON(SCREEN_LAYERS)},
    {"○ ◉ ·", "changed by the last turn; marked and changed; unlike the pin", MEANING_CHANGED, ON(SCREEN_LAYERS)},
    {"*", "overridden for this linear", MEANING_OVERRIDE | STYLE_BOLD, ON(SCREEN_LAYERS)},
    {"0.4", "a dial off its default", MEANING_CHANGED, ON(SCREEN_LAYERS)},
    {"▸looked for", "from here on the text differs from the base's", MEANING_DIFFERS,
     ON(SCREEN_LAYERS) | ON(SCREEN_TRIALS)},
    {"✓", "better than the pin", MEANING_BETTER, 0},
    {"✗", "worse than the pin", MEANING_WORSE, 0},
    {"≈", "the same as the pin within the error", MEANING_FAINT, 0},
    {"0.78× ?  noise?", "times the pin's speed, but it may be noise: ranges overlap, or the base's changed as much",
     MEANING_FAINT, ON(SCREEN_LAYERS)},
    {"(2.41)", "of an earlier setting; the new figure is on its way", MEANING_FAINT | STYLE_DIM, 0},
    {"2.41…", "not all tokens scored or timed yet", MEANING_VALUE, 0},
    {"~", "rests on ranges that may still grow: calibration goes on", MEANING_VALUE, 0},
    {"0.42 ±0.01 ← 0.51", "KL of the quantized model from the base, its error, and the other direction", MEANING_VALUE,
     ON(SCREEN_LAYERS)},
    {"1.6–1.9×", "times the base's speed, timed in turn, outermost tenths left out", MEANING_VALUE, ON(SCREEN_LAYERS)},
    {"why",
     "the channel of the input that reaches furthest, times the median channel; shares of weights and input in the "
     "error of a linear's output; the column of weights that can err most, its share among all",
     MEANING_TITLE, ON(SCREEN_LAYERS)},
    {"· ░ ▒ ▓ █", "on the map: the better half, then ever worse; the line below it says from where on", MEANING_TAIL,
     ON(SCREEN_OUTLIERS)},
    {"◂ ◆ •", "the cell under the cursor, narrow cells; marked", MEANING_ACCENT, ON(SCREEN_OUTLIERS)},
    {"–  ?", "not quantized; not known yet", MEANING_FAINT, ON(SCREEN_OUTLIERS)},
    {"The outlier is",
     "in the input: a channel beyond six times the median channel, in any token; in weights: beyond six standard "
     "deviations",
     MEANING_CHANGED | STYLE_BOLD, ON(SCREEN_OUTLIERS)},
    {"of the error", "of the output, by rounding weights alone and the input alone", MEANING_TEXT | STYLE_BOLD,
     ON(SCREEN_OUTLIERS)},
    {"mends it",
     "what would, on this linear: signal to noise with it, by how much the model grows, and ~ how far KL would fall, "
     "estimated from what the linear costs alone (s) and the noise that is left",
     MEANING_ACCENT, ON(SCREEN_OUTLIERS)},
    {"channel",
     "of the input, as it comes: how far it reaches, times the median channel; after LAE or smooth, what is left",
     MEANING_VALUE, ON(SCREEN_OUTLIERS)},
    {"of tokens", "in which the channel is above six times the mean magnitude of the token", MEANING_VALUE,
     ON(SCREEN_OUTLIERS)},
    {"column", "of weights that can err most, at the largest input of its channel; its share among all", MEANING_VALUE,
     ON(SCREEN_OUTLIERS)},
    {"errs by", "the error of the output as a share of its size: 20 dB are 10 %", MEANING_VALUE, ON(SCREEN_OUTLIERS)},
    {"▒ ▓ █",
     "of channels that stay outliers: beyond 6, 12 and 48 times the median, in the worst input of a layer; h: of "
     "the head",
     MEANING_TAIL, ON(SCREEN_OUTLIERS)},
    {"6/13", "in 6 of the 13 inputs that a norm feeds the channel is beyond six times the median", MEANING_VALUE,
     ON(SCREEN_OUTLIERS)},
    {"● ◆", "the recipe as it is; the Pareto front: no other point is as small and as close to the base",
     MEANING_BETTER, ON(SCREEN_SWEEP)},
    {"★",
     "the knee: of the front the furthest below the line from its smallest to its largest point, in log KL over size",
     MEANING_BETTER, ON(SCREEN_SWEEP)},
    {"=", "the same model as another point, which stands for both", MEANING_FAINT, ON(SCREEN_SWEEP)},
    {"█ ░ ·",
     "measured; estimated, the same on a few tokens; guessed from noise or from the recipe before, not measured",
     MEANING_WEIGHT, ON(SCREEN_SENSITIVITY)},
    {"~0.01", "a guess: no more digits are known, and not where it belongs in the order", MEANING_FAINT,
     ON(SCREEN_SENSITIVITY)},
    {"A B ●", "rows that are compared; the present state", MEANING_ACCENT, ON(SCREEN_TRIALS)},
    {"◆", "no other row has both fewer bits and less KL", MEANING_BETTER, ON(SCREEN_TRIALS)},
    {"e3", "a row of an earlier session", MEANING_FAINT, ON(SCREEN_TRIALS)},
    {"from #2:  (#2)", "the row that was turned to make this one, where it is not the row before", MEANING_FAINT,
     ON(SCREEN_TRIALS)},
    {"+2", "so many more changes; the whole words of the chosen row stand below the table", MEANING_TEXT,
     ON(SCREEN_TRIALS)},
    {"−0.01 ±0.002", "KL less that of A, position by position, and its standard error", MEANING_VALUE,
     ON(SCREEN_TRIALS)},
    {"−0.01 (±0.01)", "the same where positions are not kept: by the two standard errors", MEANING_VALUE,
     ON(SCREEN_TRIALS)},
    {"underlined", "a token that the model gave less than 50 %", MEANING_TEXT | STYLE_UNDERLINE, ON(SCREEN_TRIALS)},
    {"nonfin", "refused, failed, or not finite", MEANING_ERROR, 0},
};

static void add_legend(const Ui *ui, HelpText *text) {
    help_section(text, "Colours and signs");
    for (size_t i = 0; i < sizeof legend / sizeof *legend; i++) {
        const bool seen = !legend[i].screens || legend[i].screens & ON(ui->screen);
        if (seen || *text->filter) // what is sought may be seen elsewhere
            help_line(text, (HelpLine){.left = legend[i].sign, .right = legend[i].meaning, .style = legend[i].style});
    }
}

// ---- the whole ----------------------------------------------------------------------------------------------------

// What holds here comes first. Lines are freed by the caller.
static HelpText whole_text(const Ui *ui, int cols, const char *filter) {
    HelpText text = {.ui = ui, .room = cols - SHOWN_COLS, .filter = filter};
    add_keys_here(ui, &text);
    add_legend(ui, &text);
    add_keys_elsewhere(ui, &text);
    help_section(&text, "Mouse");
    help_line(&text, (HelpLine){.left = "click",
                                .right = "select a linear or dial, sort by a column, press a key of the bottom line",
                                .style = MEANING_ACCENT});
    help_line(&text, (HelpLine){.left = "drag, wheel",
                                .right = "move a slider; turn a dial once it is focused; scroll",
                                .style = MEANING_ACCENT});
    add_dials(&text);
    add_words(&text);
    add_commands(&text);
    return text;
}

bool help_knows(const Ui *ui, const char *word) {
    HelpText text = whole_text(ui, 96, word);
    const bool knows = text.count > 0;
    help_free(&text);
    return knows;
}

static void draw_line(Ui *ui, Rect line, const HelpLine *help) {
    Canvas *canvas = &ui->canvas;
    if (!help->left) return;
    if (!help->right) {
        canvas_text(canvas, line.row, line.col, line.cols, MEANING_FOCUS | STYLE_BOLD, help->left);
        return;
    }
    char left[64];
    snprintf(left, sizeof left, "%s%s %s", help->arguments ? ":" : "", help->left,
             help->arguments ? help->arguments : "");
    canvas_fit(canvas, line.row, line.col + 1, SHOWN_COLS - 2, help->style, left);
    const int col = line.col + SHOWN_COLS, room = line.cols - SHOWN_COLS;
    char right[400];
    snprintf(right, sizeof right, "%.*s", (int)help->length, help->right);
    const int used = canvas_fit(canvas, line.row, col, room, MEANING_TEXT, right);
    char more[80] = "";
    if (help->usual) snprintf(more, sizeof more, "changed, usually %s", help->usual);
    if (help->example) snprintf(more, sizeof more, "like  :%s", help->example);
    canvas_fit(canvas, line.row, col, room - used, help->usual ? MEANING_CHANGED : MEANING_FAINT, more);
    if (help->name && used + canvas_width(canvas, help->name) + 2 <= room)
        canvas_right(canvas, line.row, col + used, room - used, MEANING_TRACK, help->name);
}

// On the lower edge: the text that is searched for, or what can be done.
static void draw_edge(Ui *ui, Rect line, bool scrolls) {
    Canvas *canvas = &ui->canvas;
    const Help *help = &ui->help;
    char keys[96];
    snprintf(keys, sizeof keys, "%s%s Esc %s ", scrolls ? " ↑ ↓ scroll " : "", help->searching ? "" : " / search ",
             help->filter.length || help->searching ? "shows all" : "closes");
    canvas_right(canvas, line.row, line.col, line.cols, MEANING_FAINT, keys);
    if (!help->searching && !help->filter.length) return;
    int col = line.col + canvas_text(canvas, line.row, line.col, line.cols, MEANING_ACCENT, " /");
    const int room = line.cols - canvas_width(canvas, keys) - 4;
    const int used = canvas_fit(canvas, line.row, col, room, MEANING_CHANGED, help->filter.text);
    canvas_text(canvas, line.row, col + used, 1, MEANING_TEXT, " ");
    if (!help->searching) return;
    canvas->cursor_row = line.row;
    canvas->cursor_col = col + used;
}

void help_draw(Ui *ui) {
    const Layout *l = &ui->layout;
    const int cols = l->frame.cols - 8 < 96 ? l->frame.cols - 8 : 96, most = l->frame.rows - 4;
    HelpText text = whole_text(ui, cols - 2, ui->help.filter.text);
    // It does not jump while one types.
    const int count = (int)text.count, rows = count < most && !ui->help.filter.length ? count : most;
    const Rect inside = rect_inset(panel_overlay_draw(ui, rows, cols + 2, " Help ", ""), 1); // draw_edge has its keys
    draw_edge(ui, (Rect){inside.row + rows, inside.col, 1, cols}, rows < count);
    ui->help.rows = count;
    if (ui->help.top > count - rows) ui->help.top = count - rows;
    if (ui->help.top < 0) ui->help.top = 0;
    for (int i = 0; i < rows && ui->help.top + i < count; i++)
        draw_line(ui, (Rect){inside.row + i, inside.col + 1, 1, cols - 2}, &text.lines[ui->help.top + i]);
    if (count == 0)
        canvas_text(&ui->canvas, inside.row, inside.col + 2, cols - 3, MEANING_FAINT, "nothing here is called that");
    help_free(&text);
}

// ---- keys of the help itself --------------------------------------------------------------------------------------

static void search_key(Help *help, int code) {
    help->top = 0;
    if (code == KEY_RETURN)
        help->searching = false;
    else if (code == KEY_ESCAPE || code == KEY_CONTROL('c') || (code == KEY_ERASE && !help->filter.length)) {
        help->searching = false;
        line_editor_set(&help->filter, "");
    } else
        line_editor_key(&help->filter, code);
}

static void help_close(Help *help) {
    if (help->filter.length)
        line_editor_set(&help->filter, "");
    else
        help->shown = false;
}

static void scroll_key(Ui *ui, int code) {
    Help *help = &ui->help;
    const int page = ui->layout.frame.rows - 6;
    switch (code) {
    case KEY_ARROW_UP:
    case 'k': help->top--; break;
    case KEY_ARROW_DOWN:
    case 'j': help->top++; break;
    case KEY_PAGE_UP: help->top -= page; break;
    case KEY_PAGE_DOWN:
    case ' ': help->top += page; break;
    case KEY_TO_START:
    case 'g': help->top = 0; break;
    case KEY_TO_END:
    case 'G': help->top = help->rows; break;
    case '/':
        help->searching = true;
        line_editor_set(&help->filter, "");
        help->top = 0;
        break;
    case KEY_ESCAPE: help_close(help); break;
    case 'q':
    case '?':
    case KEY_FUNCTION(1):
    case KEY_CONTROL('c'): help->shown = false; break;
    default: break;
    }
}

void help_key(Ui *ui, const Key *key) {
    Help *help = &ui->help;
    const bool typed = key->code < KEY_NONE || key->code == KEY_ERASE || key->code == KEY_FORWARD_ERASE ||
                       key->code == KEY_ARROW_LEFT || key->code == KEY_ARROW_RIGHT;
    if (key->code == KEY_MOUSE_EVENT) {
        if (key->action == MOUSE_PRESS) help->shown = false;
        if (key->action == MOUSE_WHEEL_UP || key->action == MOUSE_WHEEL_DOWN)
            help->top += key->action == MOUSE_WHEEL_UP ? -3 : 3;
    } else if (help->searching && typed)
        search_key(help, key->code);
    else
        scroll_key(ui, key->code);
}
