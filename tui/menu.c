#include "tui/menu.h"

#include <stdio.h>
#include <string.h>

#include "tui/actions.h"
#include "tui/dials.h"
#include "tui/panels.h"
#include "tui/sweep.h"
#include "tui/trials.h"

typedef struct MenuItem {
    int value;
    char key; // chooses it; '\0': letters go into the search
    const char *title, *mark, *help;
} MenuItem;

typedef struct Menu {
    MenuItem items[DIAL_COUNT + 1];
    int count;
    int chosen; // item
} Menu;

static const char *arrow(bool falling) { return falling ? "▼" : "▲"; }

static void add(Menu *menu, bool chosen, MenuItem item) {
    if (!chosen) item.mark = "";
    if (chosen) menu->chosen = menu->count;
    menu->items[menu->count++] = item;
}

static void columns_of_layers(const Ui *ui, Menu *menu) {
    for (int i = 0; i < COLUMN_COUNT; i++) {
        const ColumnInfo *info = &column_table[i];
        add(menu, (int)ui->rows.sort == i,
            (MenuItem){i, info->key, info->title, arrow(info->falling != ui->rows.reversed), info->help});
    }
}

static void columns_of_trials(const Ui *ui, Menu *menu) {
    for (int i = 0; i < TRIAL_COLUMN_COUNT; i++) {
        const TrialColumnInfo *info = &trial_column_table[i];
        add(menu, (int)ui->trials.sort == i,
            (MenuItem){i, info->key, info->title, arrow(info->falling != ui->trials.reversed), info->help});
    }
}

// Those that make a difference as the other dials stand, and what is swept already.
static void dials_to_sweep(const Ui *ui, Menu *menu, int which) {
    const int swept = ui->sweep.dials[which];
    if (which) add(menu, swept == NO_DIAL, (MenuItem){NO_DIAL, '\0', "none", "●", "a curve over one dial"});
    for (int place = 0; place < DIAL_COLUMNS * DIAL_ROWS; place++) {
        const int dial = dial_places[place / DIAL_ROWS][place % DIAL_ROWS];
        if (dial == NO_DIAL || (which && dial == ui->sweep.dials[0])) continue;
        if (dial != swept && !dials_matter(ui, (Dial)dial)) continue;
        add(menu, dial == swept, (MenuItem){dial, '\0', dial_table[dial].label, "●", dial_table[dial].help});
    }
}

static Menu menu_of(const Ui *ui) {
    Menu menu = {.count = 0};
    if (ui->prompt != PROMPT_SORT)
        dials_to_sweep(ui, &menu, ui->prompt == PROMPT_SWEEP_SECOND);
    else if (ui->screen == SCREEN_TRIALS)
        columns_of_trials(ui, &menu);
    else
        columns_of_layers(ui, &menu);
    return menu;
}

void menu_open(Ui *ui, int prompt) {
    ui_ask(ui, (PromptKind)prompt, "");
    ui->menu.at = menu_of(ui).chosen;
    ui->menu.top = 0;
    ui->menu.sought[0] = '\0';
    ui->menu.searching = prompt != PROMPT_SORT; // whose items have keys
}

// ---- keys ---------------------------------------------------------------------------------------------------------

static void sort_by(Ui *ui, int column) { (ui->screen == SCREEN_TRIALS ? trials_sort_by : action_sort_by)(ui, column); }

static void choose(Ui *ui, const Menu *menu, int item) {
    const PromptKind prompt = ui->prompt;
    ui->prompt = PROMPT_NONE;
    if (prompt == PROMPT_SORT)
        sort_by(ui, menu->items[item].value);
    else
        sweep_choose_dial(ui, prompt == PROMPT_SWEEP_SECOND, menu->items[item].value);
}

// −1: none.
static int item_of_key(const Menu *menu, int code) {
    for (int i = 0; i < menu->count; i++) {
        if (menu->items[i].key && menu->items[i].key == code) return i;
    }
    return -1;
}

// Titles that begin with it go before others that contain it, and these before the words beside them.
static int item_sought(const Ui *ui, const Menu *menu) {
    const char *text = ui->menu.sought;
    for (int place = 0; *text && place < 3; place++)
        for (int i = 0; i < menu->count; i++) {
            const MenuItem *item = &menu->items[i];
            const char *found = strcasestr(place < 2 ? item->title : item->help, text);
            if (found && (place || found == item->title)) return i;
        }
    return -1;
}

// Keys of the search; false for others.
static bool search_key(Ui *ui, const Menu *menu, int code) {
    char *sought = ui->menu.sought;
    const size_t length = strlen(sought);
    if (!ui->menu.searching && code == '/')
        ui->menu.searching = true;
    else if (!ui->menu.searching)
        return false;
    else if (code == KEY_ERASE && length)
        sought[length - 1] = '\0';
    else if (code == KEY_ESCAPE && length)
        sought[0] = '\0';
    else if ((code > ' ' || (code == ' ' && length)) && code < 0x7F && code != '/' &&
             length + 1 < sizeof ui->menu.sought)
        memcpy(sought + length, (char[]){(char)code, '\0'}, 2);
    else
        return false;
    const int item = item_sought(ui, menu);
    if (item >= 0) ui->menu.at = item;
    return true;
}

void menu_key(Ui *ui, int code) {
    const Menu menu = menu_of(ui);
    if (search_key(ui, &menu, code)) return;
    const int page = code == KEY_PAGE_UP || code == KEY_PAGE_DOWN ? 8 : 1,
              steps = code == KEY_ARROW_UP || code == KEY_PAGE_UP       ? -page
                      : code == KEY_ARROW_DOWN || code == KEY_PAGE_DOWN ? page
                                                                        : 0;
    const int named = item_of_key(&menu, code), to = ui->menu.at + steps;
    const bool sorts = ui->prompt == PROMPT_SORT;
    if (steps) {
        ui->menu.at = to < 0 ? 0 : to >= menu.count ? menu.count - 1 : to;
        if (sorts && menu.items[ui->menu.at].value != menu.items[menu.chosen].value)
            sort_by(ui, menu.items[ui->menu.at].value);
    } else if (named >= 0)
        choose(ui, &menu, named);
    else if (sorts && code == 'S')
        sort_by(ui, menu.items[menu.chosen].value);
    else if (code == KEY_RETURN && (!sorts || *ui->menu.sought))
        choose(ui, &menu, ui->menu.at);
    else if (code == KEY_ESCAPE || code == KEY_CONTROL('c') || code == KEY_RETURN || code == 'q' || code == 's')
        ui->prompt = PROMPT_NONE;
}

void menu_click(Ui *ui, int item) {
    const Menu menu = menu_of(ui);
    if (item < menu.count) choose(ui, &menu, item);
}

// ---- drawing ------------------------------------------------------------------------------------------------------

static const char *title_of(const Ui *ui) {
    return ui->prompt == PROMPT_SORT    ? " Sort by "
           : ui->prompt == PROMPT_SWEEP ? " Sweep this dial "
                                        : " and this one ";
}

#define TITLE_COLS 12

// As many whole words as fit.
static void draw_words(Canvas *canvas, int row, int col, int room, const char *words) {
    char text[300];
    snprintf(text, sizeof text, "%s", words);
    for (char *end; canvas_width(canvas, text) > room && (end = strrchr(text, ' '));)
        snprintf(end, sizeof text - (size_t)(end - text), "…");
    canvas_text(canvas, row, col, room, MEANING_FAINT, text);
}

static void draw_item(Ui *ui, Rect row, const MenuItem *item, bool at) {
    Canvas *canvas = &ui->canvas;
    const char key[2] = {item->key, '\0'};
    const int col = row.col + (item->key ? 4 : 3), help = col + TITLE_COLS + 2;
    canvas_text(canvas, row.row, row.col + 1, 1, MEANING_ACCENT, item->key ? key : at ? "▸" : " ");
    canvas_fit(canvas, row.row, col, TITLE_COLS - 1, *item->mark ? MEANING_TITLE | STYLE_BOLD : MEANING_TEXT,
               item->title);
    canvas_text(canvas, row.row, col + TITLE_COLS - 1, 1, MEANING_ACCENT, item->mark);
    draw_words(canvas, row.row, help, row.col + row.cols - 1 - help, item->help);
    if (at) canvas_restyle(canvas, row, STYLE_SELECTED);
}

// What is sought, or what keys do.
static void draw_below(Ui *ui, Rect line, const Menu *menu) {
    Pen pen = pen_at(&ui->canvas, line);
    const bool sorts = ui->prompt == PROMPT_SORT;
    if (!ui->menu.searching || (!sorts && !*ui->menu.sought)) {
        pen_text(&pen, MEANING_TITLE, "%s",
                 sorts ? "sort by the column with this key; the same again turns the order round; / finds; Esc closes"
                       : "↑ ↓ or letters of its name go to a dial, Enter sweeps it, Esc closes");
        return;
    }
    pen_text(&pen, MEANING_ACCENT, "find /");
    pen_text(&pen, MEANING_TEXT, "%s", ui->menu.sought);
    ui->canvas.cursor_row = line.row;
    ui->canvas.cursor_col = pen.col;
    if (*ui->menu.sought && item_sought(ui, menu) < 0) pen_text(&pen, MEANING_ERROR, "   there is none");
    pen_text(&pen, MEANING_FAINT, sorts ? "   Enter sorts by it" : "   Enter sweeps it");
}

void menu_draw(Ui *ui, Rect line) {
    const Menu menu = menu_of(ui);
    const Rect frame = ui->layout.frame;
    const int most = frame.rows - 4, rows = menu.count < most ? menu.count : most;
    const Rect box = {frame.row + 2, frame.col + 2, rows, frame.cols - 4 < 72 ? frame.cols - 4 : 72};
    panel_box_draw(ui, box, title_of(ui));
    ui->menu.top = layout_scroll(ui->menu.top, ui->menu.at, rows, menu.count);
    for (int i = 0; i < rows; i++) {
        const Rect row = {box.row + i, box.col, 1, box.cols};
        draw_item(ui, row, &menu.items[ui->menu.top + i], ui->menu.top + i == ui->menu.at);
        ui_hit(ui, row, HIT_ITEM, ui->menu.top + i);
    }
    draw_below(ui, line, &menu);
}
