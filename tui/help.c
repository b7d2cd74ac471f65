#include "tui/help.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "base/file.h"
#include "tui/commands.h"
#include "tui/dials.h"
#include "tui/help_words.h"
#include "tui/key_names.h"
#include "tui/panels.h"
#include "tui/screen.h"

#define SHOWN_COLS 22

typedef struct HelpLine {
    const char *left, *right; // right NULL: a heading; both NULL: a blank line
    size_t length;            // bytes of it that this line has
    const char *arguments;    // of a command
    Style style;              // of what stands at the left
    const char *name;         // of the action, for :bind and the file of settings
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

// Bytes of the text that fit into a line, up to the end of a word. *cols: of it all, when it fits.
static size_t fitting(const HelpText *text, const char *words, int *cols) {
    int used = 0, width;
    size_t at = 0, end = 0, length;
    while ((length = canvas_character(&text->ui->canvas, words + at, &width)) > 0 && used + width <= text->room) {
        if (words[at] == ' ') end = at;
        used += width;
        at += length;
    }
    *cols = used;
    return words[at] && end ? end : at;
}

// In as many lines as it needs. The name stands at the end of the last one, or below it.
static void add_wrapped(HelpText *text, HelpLine line) {
    const HelpLine whole = line;
    int cols;
    line.usual = line.example = line.name = NULL;
    for (const char *rest = line.right;;) {
        line.right = rest;
        line.length = fitting(text, rest, &cols);
        rest += line.length;
        rest += *rest == ' ';
        if (!*rest || !line.length) break;
        help_add(text, line);
        line = (HelpLine){.left = ""};
    }
    const bool beside = whole.name && cols + 2 + canvas_width(&text->ui->canvas, whole.name) <= text->room;
    if (beside) line.name = whole.name;
    help_add(text, line);
    if (whole.usual || (whole.name && !beside))
        help_add(text, (HelpLine){.left = "", .right = "", .usual = whole.usual, .name = beside ? NULL : whole.name});
    if (whole.example) help_add(text, (HelpLine){.left = "", .right = "", .example = whole.example});
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

static bool is_explained_by(const Binding *row, const Binding *first) {
    return !row->help && row->where == first->where;
}

// Of a row, and of those that it explains, too: "find-next find-previous".
static const char *names_from(const Ui *ui, HelpText *text, int row) {
    const Binding *first = &bindings[row];
    Text names = {0};
    for (const Binding *b = first; b < bindings + binding_count && (b == first || is_explained_by(b, first)); b++) {
        const Binding *same = first; // rows that do the same share a name
        while (same < b && strcmp(binding_name(same), binding_name(b)) != 0) same++;
        if (same == b && (b == first || !settings_keys(&ui->settings, binding_name(b))))
            text_addf(&names, "%s%s", b == first ? "" : " ", binding_name(b));
    }
    return help_keep(text, &names);
}

// Rows that the one before explains, too, are shown when their keys were changed.
static void add_keys(const Ui *ui, HelpText *text, Where where) {
    for (int i = 0; i < binding_count; i++) {
        const Binding *b = &bindings[i];
        bool changed;
        if (b->where != where || !b->shown || is_taken(ui, i)) continue;
        const char *shown = binding_shown(&ui->settings, b, &changed);
        if (b->help || changed)
            help_line_of(text,
                         (HelpLine){.left = shown,
                                    .right = b->help ? b->help : binding_name(b),
                                    .style = changed ? MEANING_CHANGED : MEANING_ACCENT,
                                    .name = b->help ? names_from(ui, text, i) : binding_name(b),
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

// ---- settings -----------------------------------------------------------------------------------------------------

static void add_settings(HelpText *text) {
    const Settings *settings = &text->ui->settings;
    char *path = settings_path(), value[160];
    Text file = {0}, faults = {0};
    help_section(text, "Settings");
    text_addf(&file, "%s%s", path ? path : "neither XDG_CONFIG_HOME nor HOME is set",
              path && !file_exists(path) ? ": not there yet; :bind makes it, or an editor" : "");
    help_line(text, (HelpLine){.left = "file", .right = help_keep(text, &file), .style = MEANING_TITLE});
    free(path);
    text_addf(&faults, "%s", settings->fault_count ? settings->faults.data : "");
    for (char *rest = (char *)help_keep(text, &faults), *fault; (fault = strtok_r(rest, "\n", &rest));)
        help_line(text, (HelpLine){.left = "not used", .right = fault, .style = MEANING_ERROR});
    for (int i = 0; i < setting_count; i++) {
        Text words = {0};
        setting_table[i].show(settings, value, sizeof value);
        text_addf(&words, "%s; now %s", setting_table[i].help, value);
        help_line(text,
                  (HelpLine){.left = setting_table[i].key, .right = help_keep(text, &words), .style = MEANING_ACCENT});
    }
}

// ---- dials --------------------------------------------------------------------------------------------------------

// "bits per weight code: 2, 3, 4, 8; default 4".
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
    text_addf(&words, "; default %s", value);
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

static void add_words(HelpText *text, const char *heading, const HelpWord *words, int count) {
    help_section(text, heading);
    for (int i = 0; i < count; i++)
        help_line_of(text, (HelpLine){.left = words[i].word, .right = words[i].meaning, .style = MEANING_TITLE},
                     &(Binding){.also = words[i].also});
}

// ---- colours and signs --------------------------------------------------------------------------------------------

static void add_legend(const Ui *ui, HelpText *text) {
    help_section(text, "Colours and signs");
    for (int i = 0; i < help_sign_count; i++) {
        const HelpSign *sign = &help_signs[i];
        const bool seen = !sign->screens || sign->screens >> ui->screen & 1;
        if (seen || *text->filter) // what is sought may be seen elsewhere
            help_line(text, (HelpLine){.left = sign->sign, .right = sign->meaning, .style = sign->style});
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
    add_words(&text, "Words", help_words, help_word_count);
    add_words(&text, "Elsewhere", help_elsewhere, help_elsewhere_count);
    add_settings(&text);
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
    const bool sought = help->searching || help->filter.length;
    if (!sought)
        canvas_fit(canvas, line.row, line.col, line.cols - canvas_width(canvas, keys) - 1, MEANING_FAINT,
                   " :bind NAME KEY, names at the right ");
    if (!sought) return;
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
