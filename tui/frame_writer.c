#include "tui/frame_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curses.h>
#include <term.h>

enum { SEQUENCE_MOST = 64 };
typedef struct Sequence {
    char text[SEQUENCE_MOST]; // empty: the terminal has none
    int length;
} Sequence;

struct FrameWriter {
    const char *place, *row, *column, *up, *down, *left, *right, *erase, *foreground, *background; // with parameters
    Sequence right_once, whole_region, clear, erase_line, plain, own_colors, bold, dim, underline, reverse;
    int colors, colors_exclude; // attributes that are not to be mixed with colours: no_color_video
    bool erases_in_color, own_each, wraps_at_once, feeds_straight;
    Cell *shown; // [rows, cols]
    int rows, cols;
    int at_row, at_col; // the cursor; row −1: anywhere
    Theme theme;
    Look look; // of what is written next
    Text *out;
};

// Nothing is repeated by REP, though descriptions of xterm offer it: mosh passes for an xterm and does not know it, and
// others that do repeat ASCII only.

// ---- what the terminal can do -------------------------------------------------------------------------------------

static const char *string_of(const char *name) {
    const char *value = tigetstr(name);
    return value && value != (char *)-1 ? value : NULL;
}

static int number_of(const char *name) {
    const int value = tigetnum(name);
    return value > 0 ? value : 0;
}

// Without the pauses that only real terminals of old needed: $<5>.
static Sequence without_pauses(const char *value) {
    Sequence s = {0};
    while (value && *value) {
        const char *end = value[0] == '$' && value[1] == '<' ? strchr(value, '>') : NULL;
        if (end)
            value = end + 1;
        else if (s.length + 1 == SEQUENCE_MOST)
            return (Sequence){0};
        else
            s.text[s.length++] = *value++;
    }
    s.text[s.length] = '\0';
    return s;
}

static Sequence with_number(const char *format, int number) {
    return format ? without_pauses(tiparm(format, number)) : (Sequence){0};
}

#define PARAMETERS "\033["

// The parameters of ESC [ 1 ; 2 m; 0 when it is no such sequence.
static int parameters(const char *text, int length) {
    if (length < 3 || strncmp(text, PARAMETERS, 2) != 0 || text[length - 1] != 'm') return 0;
    const int inner = (int)strspn(text + 2, "0123456789;:");
    return inner == length - 3 ? inner : 0;
}

// What makes attributes plain often also goes back to a character set that is never left here.
static Sequence plain_of(const char *value) {
    Sequence s = without_pauses(value);
    const char *found = strstr(s.text, "\033[m");
    if (!found) found = strstr(s.text, "\033[0m");
    return found ? (Sequence){"\033[0m", 4} : s;
}

static void learn(FrameWriter *w) {
    w->place = string_of("cup");
    w->row = string_of("vpa");
    w->column = string_of("hpa");
    w->up = string_of("cuu");
    w->down = string_of("cud");
    w->left = string_of("cub");
    w->right = string_of("cuf");
    w->erase = string_of("ech");
    w->foreground = string_of("setaf");
    w->background = string_of("setab");
    w->right_once = without_pauses(string_of("cuf1"));
    const char *region = string_of("csr");
    if (region && strncmp(region, "\033[%i%p1%d;%p2%dr", 17) == 0) w->whole_region = without_pauses("\033[r");
    w->clear = without_pauses(string_of("clear"));
    w->erase_line = without_pauses(string_of("el"));
    w->plain = plain_of(string_of("sgr0"));
    w->own_colors = without_pauses(string_of("op"));
    if (w->plain.length && number_of("xmc") == 0) { // those that leave a blank where they change are not used
        w->bold = without_pauses(string_of("bold"));
        w->dim = without_pauses(string_of("dim"));
        w->underline = without_pauses(string_of("smul"));
        w->reverse = without_pauses(string_of("rev"));
    }
    if (w->foreground && w->background && w->own_colors.length) w->colors = number_of("colors");
    w->colors_exclude = number_of("ncv");
    w->erases_in_color = tigetflag("bce") > 0;
    w->own_each = tigetflag("AX") > 0; // 39 and 49
    w->wraps_at_once = tigetflag("am") > 0 && tigetflag("xenl") <= 0;
}

bool frame_writer_open(FrameWriter **out, Error *err) {
    FrameWriter *w = array_new(1, sizeof *w);
    if (!w) return error_memory(err, "the screen");
    learn(w);
    *out = w;
    return true;
}

void frame_writer_close(FrameWriter *w) {
    if (w) free(w->shown);
    free(w);
}

int frame_writer_colors(const FrameWriter *w) { return w->colors; }

void frame_writer_feeds_straight(FrameWriter *w, bool straight) { w->feeds_straight = straight; }

// ---- the look of what is written ----------------------------------------------------------------------------------

// Sequences ESC [ … m that follow each other become one.
typedef struct Change {
    FrameWriter *w;
    Sequence joined; // its parameters
} Change;

static void change_end(Change *c) {
    if (c->joined.length) text_addf(c->w->out, PARAMETERS "%sm", c->joined.text);
    c->joined.length = 0;
}

static void change_add(Change *c, const Sequence *s) {
    const int inner = parameters(s->text, s->length);
    if (!inner || c->joined.length + inner + 2 > SEQUENCE_MOST) change_end(c);
    if (!inner) {
        text_add(c->w->out, s->text, (size_t)s->length);
        return;
    }
    c->joined.length += snprintf(c->joined.text + c->joined.length, (size_t)(SEQUENCE_MOST - c->joined.length),
                                 "%s%.*s", c->joined.length ? ";" : "", inner, s->text + 2);
}

static void change_color(Change *c, const char *format, int color, const char *own) {
    Sequence s = {0};
    if (color < 0)
        s.length = snprintf(s.text, sizeof s.text, PARAMETERS "%sm", own);
    else
        s = with_number(format, color);
    change_add(c, &s);
}

static void change_colors(Change *c, Look wanted) {
    Look *now = &c->w->look;
    const bool loses =
        (wanted.foreground < 0 && now->foreground >= 0) || (wanted.background < 0 && now->background >= 0);
    if (loses && !c->w->own_each) {
        change_add(c, &c->w->own_colors);
        now->foreground = now->background = -1;
    }
    if (wanted.foreground != now->foreground) change_color(c, c->w->foreground, wanted.foreground, "39");
    if (wanted.background != now->background) change_color(c, c->w->background, wanted.background, "49");
    now->foreground = wanted.foreground;
    now->background = wanted.background;
}

static void set_look(FrameWriter *w, Look wanted) {
    Change c = {.w = w};
    if (w->look.attributes & ~wanted.attributes) {
        change_add(&c, &w->plain);
        w->look = (Look){-1, -1, 0};
    }
    const unsigned more = wanted.attributes & ~w->look.attributes;
    if (more & LOOK_BOLD) change_add(&c, &w->bold);
    if (more & LOOK_DIM) change_add(&c, &w->dim);
    if (more & LOOK_UNDERLINE) change_add(&c, &w->underline);
    if (more & LOOK_REVERSE) change_add(&c, &w->reverse);
    w->look.attributes = wanted.attributes;
    change_colors(&c, wanted);
    change_end(&c);
}

// As far as this terminal goes.
static Look look_of(const FrameWriter *w, Style style) {
    static const struct {
        unsigned attribute;
        int excluded; // its bit of no_color_video
    } bits[] = {{LOOK_UNDERLINE, 2}, {LOOK_REVERSE, 4}, {LOOK_DIM, 16}, {LOOK_BOLD, 32}};
    Look look = theme_look(w->theme, style);
    if (!w->bold.length) look.attributes &= ~LOOK_BOLD;
    if (!w->dim.length) look.attributes &= ~LOOK_DIM;
    if (!w->underline.length) look.attributes &= ~LOOK_UNDERLINE;
    if (!w->reverse.length) look.attributes &= ~LOOK_REVERSE;
    for (size_t i = 0; i < sizeof bits / sizeof *bits && (look.foreground >= 0 || look.background >= 0); i++)
        if (w->colors_exclude & bits[i].excluded) look.attributes &= ~bits[i].attribute;
    return look;
}

#define LOOK_SEEN (LOOK_UNDERLINE | LOOK_REVERSE) // in a blank, too

static bool same_look(Look a, Look b) {
    return a.foreground == b.foreground && a.background == b.background && a.attributes == b.attributes;
}

// Of blanks the colour of letters is not seen.
static bool looks_same(Look a, Look b, bool blank) {
    return same_look(a, b) || (blank && a.background == b.background && !((a.attributes | b.attributes) & LOOK_SEEN));
}

// ---- cells --------------------------------------------------------------------------------------------------------

static bool is_blank(const Cell *cell) { return cell->text[0] == ' ' && !cell->text[1]; }

static bool is_shown(const FrameWriter *w, const Cell *cell, const Cell *shown) {
    if (cell->width != shown->width || strcmp(cell->text, shown->text) != 0) return false;
    return cell->style == shown->style || looks_same(look_of(w, cell->style), look_of(w, shown->style), is_blank(cell));
}

// A row on its way: what is wanted, and what the terminal shows. end: the column behind what can be written.
typedef struct Row {
    const Cell *cells;
    Cell *shown;
    int row, end;
} Row;

static int next_changed(const FrameWriter *w, const Row *r, int col) {
    while (col < r->end && is_shown(w, &r->cells[col], &r->shown[col])) col++;
    return col;
}

// ---- the cursor ---------------------------------------------------------------------------------------------------

static void keep_shorter(Sequence *best, Sequence other) {
    if (other.length && (!best->length || other.length < best->length)) *best = other;
}

// Along the row; empty when it stays.
static Sequence move_along(const FrameWriter *w, int from, int to) {
    Sequence best = {0};
    if (to == from) return best;
    keep_shorter(&best, with_number(w->column, to));
    if (to == from + 1) keep_shorter(&best, w->right_once);
    if (to > from) keep_shorter(&best, with_number(w->right, to - from));
    if (to < from) keep_shorter(&best, with_number(w->left, from - to));
    if (to == 0) keep_shorter(&best, (Sequence){"\r", 1});
    if (to < from && from - to < 4) keep_shorter(&best, (Sequence){.text = "\b\b\b", .length = from - to});
    best.text[best.length] = '\0';
    return best;
}

static Sequence move_across(const FrameWriter *w, int from, int to) {
    Sequence best = {0};
    if (to == from) return best;
    keep_shorter(&best, with_number(w->row, to));
    keep_shorter(&best, with_number(to > from ? w->down : w->up, abs(to - from)));
    if (w->feeds_straight && to > from && to - from < 4)
        keep_shorter(&best, (Sequence){.text = "\n\n\n", .length = to - from});
    best.text[best.length] = '\0';
    return best;
}

static Sequence move_to(const FrameWriter *w, int row, int col) {
    Sequence best = without_pauses(tiparm(w->place, row, col));
    if (w->at_row < 0) return best;
    const Sequence across = move_across(w, w->at_row, row), along = move_along(w, w->at_col, col);
    const bool can = (across.length || row == w->at_row) && (along.length || col == w->at_col);
    if (!can || across.length + along.length >= best.length) return best;
    best.length = snprintf(best.text, sizeof best.text, "%s%s", across.text, along.text);
    return best;
}

static void write_cell(FrameWriter *w, Row *r, int col) {
    const Cell *cell = &r->cells[col];
    text_add(w->out, cell->text, strlen(cell->text));
    w->at_row = r->row;
    w->at_col = col + cell->width;
    // Behind the last column, and behind what terminals do not agree on, the cursor may be anywhere.
    if (w->at_col >= w->cols || cell->width != 1) w->at_row = -1;
    r->shown[col] = *cell;
    if (cell->width == 2) r->shown[col + 1] = r->cells[col + 1];
}

// Cells that stay between the cursor and a column, written once more where that takes fewer bytes than going past them.
static bool write_across(FrameWriter *w, Row *r, int to, int most) {
    int bytes = 0;
    if (w->at_row != r->row || w->at_col > to) return false;
    for (int col = w->at_col; col < to; col++) {
        const Cell *cell = &r->cells[col];
        bytes += (int)strlen(cell->text);
        if (bytes > most || cell->width != 1 || !looks_same(look_of(w, cell->style), w->look, is_blank(cell)))
            return false;
    }
    while (w->at_row == r->row && w->at_col < to) write_cell(w, r, w->at_col);
    return true;
}

static void go_to(FrameWriter *w, Row *r, int col) {
    if (w->at_row == r->row && w->at_col == col) return;
    const Sequence move = move_to(w, r->row, col);
    if (write_across(w, r, col, move.length)) return;
    text_add(w->out, move.text, (size_t)move.length);
    w->at_row = r->row;
    w->at_col = col;
}

// ---- rows ---------------------------------------------------------------------------------------------------------

// A blank takes the look of the letters behind it, if that is the same to the eye.
static Look look_at(const FrameWriter *w, const Row *r, int col) {
    const Look look = look_of(w, r->cells[col].style);
    if (!is_blank(&r->cells[col])) return look;
    if (looks_same(look, w->look, true)) return w->look;
    int next = col;
    while (next < r->end && is_blank(&r->cells[next])) next++;
    const Look behind = next < r->end ? look_of(w, r->cells[next].style) : look;
    return looks_same(look, behind, true) ? behind : look;
}

// Blanks of one look from here on, as far as any of them has to be written; whole: the row ends with them.
static int blanks(const FrameWriter *w, const Row *r, int col, bool *whole) {
    const Look look = look_of(w, r->cells[col].style);
    int end = col, last = col;
    while (end < w->cols && is_blank(&r->cells[end]) && looks_same(look, look_of(w, r->cells[end].style), true)) {
        if (end < r->end && !is_shown(w, &r->cells[end], &r->shown[end])) last = end + 1;
        end++;
    }
    *whole = end == w->cols;
    return last;
}

// Where the terminal erases in fewer bytes than blanks are: how many it has erased from here on, else 0.
static int erase_blanks(FrameWriter *w, Row *r, int col) {
    const Look look = look_of(w, r->cells[col].style);
    bool whole;
    if (!is_blank(&r->cells[col]) || look.attributes & LOOK_SEEN || (look.background >= 0 && !w->erases_in_color))
        return 0;
    const int end = blanks(w, r, col, &whole), count = end - col;
    Sequence s = with_number(w->erase, count);
    const int then = next_changed(w, r, end) < r->end ? 4 : 0; // to go behind them
    if (whole && w->erase_line.length && (!s.length || w->erase_line.length <= s.length + then))
        s = w->erase_line;
    else if (s.length)
        s.length += then;
    if (!s.length || s.length >= count) return 0;
    set_look(w, look_at(w, r, col));
    text_addf(w->out, "%s", s.text);
    memcpy(&r->shown[col], &r->cells[col], (size_t)count * sizeof *r->shown);
    return count;
}

// The last place of a terminal that wraps at once would scroll it, and stays empty.
static int row_end(const FrameWriter *w, int row) {
    return row == w->rows - 1 && w->wraps_at_once ? w->cols - 1 : w->cols;
}

static void add_row(FrameWriter *w, const Canvas *canvas, int row) {
    const size_t at = (size_t)row * (size_t)canvas->cols;
    Row r = {.cells = &canvas->cells[at], .shown = &w->shown[at], .row = row, .end = row_end(w, row)};
    if (memcmp(r.cells, r.shown, (size_t)canvas->cols * sizeof *r.cells) == 0) return;
    for (int col = 0; (col = next_changed(w, &r, col)) < r.end;) {
        if (col > 0 && r.cells[col].width == 0) col--; // the wide character whose right half this is
        go_to(w, &r, col);
        const int erased = erase_blanks(w, &r, col);
        if (!erased) {
            set_look(w, look_at(w, &r, col));
            write_cell(w, &r, col);
        }
        col += erased ? erased : r.cells[col].width;
    }
    memcpy(r.shown, r.cells, (size_t)r.end * sizeof *r.shown);
}

// ---- frames -------------------------------------------------------------------------------------------------------

static bool fit(FrameWriter *w, const Canvas *canvas) {
    if (canvas->rows == w->rows && canvas->cols == w->cols) return true;
    Cell *shown = array_new((size_t)canvas->rows * (size_t)canvas->cols, sizeof *shown);
    if (!shown) return false;
    free(w->shown);
    w->shown = shown;
    w->rows = canvas->rows;
    w->cols = canvas->cols;
    return true;
}

// Curses lets only so many rows scroll as there were when it began, and when it goes on after a stop: at the end of
// them a line feed would scroll.
static void begin_empty(FrameWriter *w) {
    text_addf(w->out, "%s%s%s", w->plain.text, w->whole_region.text, w->clear.text);
    for (size_t i = 0; i < (size_t)w->rows * (size_t)w->cols; i++) w->shown[i] = (Cell){.text = " ", .width = 1};
}

void frame_writer_add(FrameWriter *w, Theme theme, const Canvas *canvas, bool whole, Text *out) {
    const bool resized = canvas->rows != w->rows || canvas->cols != w->cols;
    w->out = out;
    if (!fit(w, canvas)) {
        out->failed = true;
        return;
    }
    w->theme = theme;
    w->look = (Look){-1, -1, 0};
    w->at_row = -1;
    if (whole || resized) begin_empty(w);
    for (int row = 0; row < canvas->rows; row++) add_row(w, canvas, row);
    set_look(w, (Look){-1, -1, 0});
    if (canvas->cursor_row < 0) return;
    const Sequence move = move_to(w, canvas->cursor_row, canvas->cursor_col);
    if (w->at_row != canvas->cursor_row || w->at_col != canvas->cursor_col)
        text_add(out, move.text, (size_t)move.length);
}
