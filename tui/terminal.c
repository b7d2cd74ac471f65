#include "tui/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <curses.h>
#include <term.h>

#include "base/array.h"
#include "base/clock.h"
#include "tui/clipboard.h"
#include "tui/signals.h"

struct Terminal {
    SCREEN *screen;
    FILE *keys; // where keys come from when it is not stdin
    int key_fd;
    struct termios before;
    ColorScheme scheme;
    Theme theme;
    bool mouse, ansi, redraw, titles;
    Cell *shown; // [rows, cols]: the last frame
    int rows, cols;
    struct { // bytes that come as keys do and are none
        enum { GATHER_NOTHING, GATHER_PASTE, GATHER_ANSWER } what;
        char text[4096];        // their beginning
        size_t length, matched; // matched: of the sequence that ends them
        double last;            // when a byte came
    } gather;
    Background background; // as the terminal answered
    double asked;          // when it was; 0: not, or it has answered
};

bool terminal_is_utf8(void) { return strcasecmp(nl_langinfo(CODESET), "UTF-8") == 0; }

// ---- background --------------------------------------------------------------------------------------------------

void terminal_set_scheme(Terminal *t, ColorScheme scheme) {
    const Background known = theme_background(scheme);
    t->scheme = scheme;
    t->theme = theme_start(scheme, known == BACKGROUND_UNKNOWN ? t->background : known);
    t->redraw = true;
}

// OSC 11 with a question mark asks for the colour of the background. Terminals of before xterm would print some of it.
static bool may_be_asked(void) {
    static const char *const old[] = {"linux", "dumb", "vt1", "vt2",   "vt3",   "vt4",    "vt5", "ansi",
                                      "cons",  "sun",  "bsd", "eterm", "emacs", "cygwin", "wy",  "hp"};
    const char *term = getenv("TERM");
    for (size_t i = 0; term && i < sizeof old / sizeof *old; i++) {
        if (strncmp(term, old[i], strlen(old[i])) == 0) return false;
    }
    return term != NULL;
}

// The answer may come late or never, and the program does not wait for it. Until then Escape waits a little longer, so
// that an answer that comes in pieces is not taken for that key.
#define ANSWER_SECONDS 3.0
#define ESCAPE_MILLISECONDS 25
#define ESCAPE_OR_ANSWER_MILLISECONDS 200

static void ask_background(Terminal *t) {
    if (t->theme.depth == DEPTH_MONO || theme_background(t->scheme) != BACKGROUND_UNKNOWN) return;
    if (!t->ansi || !may_be_asked()) return;
    putp("\033]11;?\033\\");
    fflush(stdout);
    t->asked = clock_seconds();
    set_escdelay(ESCAPE_OR_ANSWER_MILLISECONDS);
}

static void stop_expecting_answer(Terminal *t) {
    t->asked = 0;
    set_escdelay(ESCAPE_MILLISECONDS);
}

// One to four hexadecimal digits as a share of the largest such number; −1 when there are none.
static double color_share(const char **text) {
    char *end;
    const char *start = *text;
    const unsigned long value = strtoul(start, &end, 16);
    const long digits = end - start;
    *text = *end == '/' ? end + 1 : end;
    return digits < 1 || digits > 4 ? -1 : (double)value / (double)((1ul << (4 * digits)) - 1);
}

// "rgb:ffff/ffff/ffff", or rgba: with the share that shines through at the end.
static void take_answer(Terminal *t, const char *answer) {
    const char *at = strchr(answer, ':');
    stop_expecting_answer(t);
    if (!at++ || strncmp(answer, "rgb", 3) != 0) return;
    const double red = color_share(&at), green = color_share(&at), blue = color_share(&at);
    if (red < 0 || green < 0 || blue < 0) return;
    t->background = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 ? BACKGROUND_LIGHT : BACKGROUND_DARK;
    terminal_set_scheme(t, t->scheme);
}

// An answer that is still on its way would be typed into the shell.
static void discard_answer(Terminal *t) {
    if (t->asked <= 0) return;
    struct pollfd keys = {.fd = t->key_fd, .events = POLLIN};
    for (int pieces = 0; pieces < 8 && poll(&keys, 1, pieces ? ESCAPE_MILLISECONDS : ESCAPE_OR_ANSWER_MILLISECONDS) > 0;
         pieces++)
        tcflush(t->key_fd, TCIFLUSH);
    stop_expecting_answer(t);
}

// ---- opening and closing ------------------------------------------------------------------------------------------

// Mouse reports are read here and not by curses, which loses a press whose release comes with it. 1002: also motion
// while a button is held; 1006: reports of the form ESC [ < button ; column ; row M, in which any size of screen can be
// told. Terminals that do not know them ignore them.
static const char *const mouse_on = "\033[?1002h\033[?1006h", *const mouse_off = "\033[?1006l\033[?1002l";
// 2004: what is pasted comes between two sequences, so that it can be told from keys.
static const char *const paste_on = "\033[?2004h", *const paste_off = "\033[?2004l", *const paste_end = "\033[201~";
enum { KEY_REPORT = KEY_MAX + 1, KEY_PASTE, KEY_PASTE_END, KEY_ANSWER };

// The title of the window is put on a stack, and taken from it at the end.
static const char *const title_keep = "\033[22;2t", *const title_restore = "\033[23;2t";

static void add_capability(Text *text, const char *name) {
    const char *value = tigetstr(name);
    if (!value || value == (char *)-1) return;
    while (*value) {
        if (value[0] == '$' && value[1] == '<') { // a pause that only real terminals of old needed
            const char *end = strchr(value, '>');
            if (!end) return;
            value = end + 1;
        } else
            text_add(text, value++, 1);
    }
}

static void guard_against_crashes(const Terminal *t) {
    Text farewell = {0};
    if (t->mouse) text_addf(&farewell, "%s", mouse_off);
    if (t->ansi) text_addf(&farewell, "%s", paste_off);
    if (t->titles) text_addf(&farewell, "%s", title_restore);
    add_capability(&farewell, "sgr0");
    add_capability(&farewell, "rmkx");
    add_capability(&farewell, "rmcup");
    add_capability(&farewell, "cnorm");
    crash_guard_start(STDOUT_FILENO, &t->before, farewell.failed ? "" : farewell.data,
                      farewell.failed ? 0 : farewell.length);
    text_free(&farewell);
}

typedef enum Described { NOT_DESCRIBED, CANNOT_PLACE, DESCRIBED } Described;

// What the installed descriptions say of a terminal; CANNOT_PLACE: the cursor, as on paper.
static Described terminal_describe(const char *name) {
    int status;
    if (setupterm(name, STDOUT_FILENO, &status) == ERR) return status == 1 ? CANNOT_PLACE : NOT_DESCRIBED;
    const char *place = tigetstr("cup");
    const bool places = place && place != (char *)-1;
    del_curterm(cur_term);
    return places ? DESCRIBED : CANNOT_PLACE;
}

// The name of the description to go by. Terminals that are younger than what is installed here do what xterm does.
static const char *terminal_description(Error *err) {
    static const char *const stand_ins[] = {"xterm-256color", "xterm", "screen", "linux", "vt100", "ansi"};
    const char *term = getenv("TERM");
    if (!term || !*term || strcmp(term, "unknown") == 0) {
        error_set(err, "TERM does not name your terminal; set it, for example TERM=xterm-256color");
        return NULL;
    }
    Described described = terminal_describe(term);
    const char *name = term;
    for (size_t i = 0; described == NOT_DESCRIBED && i < sizeof stand_ins / sizeof *stand_ins; i++)
        described = terminal_describe(name = stand_ins[i]);
    if (described == DESCRIBED) return name;
    if (described == CANNOT_PLACE)
        error_set(err, "a terminal of the type \"%s\" cannot place the cursor; is TERM right?", term);
    else
        error_set(err, "no description of the terminal \"%s\" or any other is installed (Debian: ncurses-base)", term);
    return NULL;
}

bool terminal_draws(Error *err) { return terminal_description(err) != NULL; }

// The same with millions of colours when the terminal says that it has them and such a description is installed.
static const char *direct_color_term(const char *term, char *name, size_t size) {
    const char *says = getenv("COLORTERM");
    if (!says || (strcmp(says, "truecolor") != 0 && strcmp(says, "24bit") != 0)) return term;
    const char *suffix = strstr(term, "-256color");
    int base = suffix ? (int)(suffix - term) : (int)strlen(term);
    if (strstr(term, "-direct") || snprintf(name, size, "%.*s-direct", base, term) >= (int)size) return term;
    return terminal_describe(name) == DESCRIBED ? name : term;
}

// What terminals send beside what their descriptions say.
static void add_sequences(void) {
    static const struct {
        const char *sequence;
        int key;
    } more[] = {
        {"\033[A", KEY_UP},     {"\033[B", KEY_DOWN},     {"\033[C", KEY_RIGHT},        {"\033[D", KEY_LEFT},
        {"\033[H", KEY_HOME},   {"\033[F", KEY_END},      {"\033[1~", KEY_HOME},        {"\033[4~", KEY_END},
        {"\033[7~", KEY_HOME},  {"\033[8~", KEY_END},     {"\033[1;2D", KEY_SLEFT},     {"\033[1;2C", KEY_SRIGHT},
        {"\033[d", KEY_SLEFT},  {"\033[c", KEY_SRIGHT},   {"\033[11~", KEY_F(1)},       {"\033[12~", KEY_F(2)},
        {"\033[13~", KEY_F(3)}, {"\033[14~", KEY_F(4)},   {"\033[15~", KEY_F(5)},       {"\033[17~", KEY_F(6)},
        {"\033[<", KEY_REPORT}, {"\033[200~", KEY_PASTE}, {"\033[201~", KEY_PASTE_END}, {"\033]11;", KEY_ANSWER},
    };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        define_key(more[i].sequence, 0); // what curses would make of it
        define_key(more[i].sequence, more[i].key);
    }
}

static void enable_reports(const Terminal *t) {
    if (t->mouse) putp(mouse_on);
    if (t->ansi) putp(paste_on);
    if (t->titles) putp(title_keep);
}

static void terminal_enter(Terminal *t) {
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    add_sequences(); // after keypad, which reads the description
    nodelay(stdscr, TRUE);
    intrflush(stdscr, FALSE);
    // Ctrl-C, Ctrl-S and Ctrl-Q are keys here; Ctrl-Z stays the terminal's.
    struct termios modes;
    if (tcgetattr(STDOUT_FILENO, &modes) == 0) {
        modes.c_cc[VINTR] = _POSIX_VDISABLE;
        modes.c_iflag &= (tcflag_t)~IXON;
        tcsetattr(STDOUT_FILENO, TCSANOW, &modes);
        def_prog_mode();
    }
    // Reports of the older form cannot be told from keys: only where the description promises the newer one.
    const char *reports = tigetstr("kmous");
    t->mouse = reports && reports != (char *)-1 && strcmp(reports, "\033[<") == 0;
    const char *address = tigetstr("cup");
    t->ansi = address && address != (char *)-1 && strncmp(address, "\033[", 2) == 0;
    t->titles = t->ansi && may_be_asked();
    enable_reports(t);
    fflush(stdout);
}

static bool open_keys(Terminal *t, Error *err) {
    if (!isatty(STDOUT_FILENO))
        return error_set(err, "stdout is not a terminal; use a subcommand such as plan or eval in scripts");
    t->key_fd = STDIN_FILENO;
    if (isatty(STDIN_FILENO)) return true;
    t->keys = fopen("/dev/tty", "re");
    if (!t->keys) return error_set(err, "stdin is not a terminal and /dev/tty cannot be opened: %s", strerror(errno));
    t->key_fd = fileno(t->keys);
    return true;
}

static bool terminal_start(Terminal *t, ColorScheme scheme, Error *err) {
    if (!open_keys(t, err)) return false;
    if (tcgetattr(STDOUT_FILENO, &t->before) < 0)
        return error_set(err, "the terminal does not tell its modes: %s", strerror(errno));
    const char *term = terminal_description(err);
    if (!term) return false;
    char direct[64];
    set_escdelay(ESCAPE_MILLISECONDS);
    t->screen = newterm(direct_color_term(term, direct, sizeof direct), stdout, t->keys ? t->keys : stdin);
    if (!t->screen) return error_set(err, "the terminal cannot be set up as \"%s\"; try TERM=xterm-256color", term);
    if (!signals_start(err)) {
        endwin();
        return false;
    }
    terminal_enter(t);
    guard_against_crashes(t);
    terminal_set_scheme(t, scheme);
    ask_background(t);
    return true;
}

static void terminal_free(Terminal *t) {
    if (t->screen) delscreen(t->screen);
    if (t->keys) fclose(t->keys);
    free(t->shown);
    free(t);
}

bool terminal_open(ColorScheme scheme, Terminal **out, Error *err) {
    Terminal *t = array_new(1, sizeof *t);
    if (!t) return error_memory(err, "the terminal");
    if (!terminal_start(t, scheme, err)) {
        terminal_free(t);
        return false;
    }
    *out = t;
    return true;
}

static void terminal_leave(Terminal *t) {
    discard_answer(t);
    if (t->mouse) putp(mouse_off);
    if (t->ansi) putp(paste_off);
    if (t->titles) putp(title_restore);
    curs_set(1);
    endwin();
    // Once more: leaving the alternate screen may bring back a hidden one, which curses takes for visible.
    const char *visible = tigetstr("cnorm");
    if (visible && visible != (char *)-1) putp(visible);
    fflush(stdout);
}

void terminal_close(Terminal *t) {
    terminal_leave(t);
    tcsetattr(STDOUT_FILENO, TCSADRAIN, &t->before);
    crash_guard_stop();
    signals_stop();
    terminal_free(t);
}

static void terminal_resume(Terminal *t) {
    reset_prog_mode();
    enable_reports(t);
    t->gather.what = GATHER_NOTHING;
    t->redraw = true;
}

static void suspend(Terminal *t) {
    terminal_leave(t);
    signals_stop_self();
    terminal_resume(t);
}

// ---- what comes as keys do ------------------------------------------------------------------------------------

// A paste or an answer whose end does not come ends when nothing has come for so long.
#define GATHER_SECONDS 1.0

static double gather_left(const Terminal *t) { return t->gather.last + GATHER_SECONDS - clock_seconds(); }

// ---- waiting ------------------------------------------------------------------------------------------------------

static void take_signals(Terminal *t, Wakeup *wakeup) {
    Signals signals = signals_take();
    if (signals.quit) wakeup->quit = true;
    if (signals.suspend)
        suspend(t);
    else if (signals.resumed)
        terminal_resume(t); // stopped by a signal that cannot be caught
    if (signals.resized || signals.suspend || signals.resumed) wakeup->resized = true;
}

Wakeup terminal_wait(Terminal *t, int other_fd, int milliseconds) {
    if (t->asked > 0 && clock_seconds() - t->asked > ANSWER_SECONDS) stop_expecting_answer(t);
    if (t->gather.what) {
        const int left = (int)(fmax(gather_left(t), 0) * 1000) + 1;
        if (milliseconds < 0 || milliseconds > left) milliseconds = left;
    }
    struct pollfd fds[] = {{.fd = t->key_fd, .events = POLLIN},
                           {.fd = signals_fd(), .events = POLLIN},
                           {.fd = other_fd, .events = POLLIN}};
    Wakeup wakeup = {0};
    if (poll(fds, 3, milliseconds) < 0) {
        wakeup.quit = errno != EINTR && errno != EAGAIN;
        return wakeup;
    }
    if (fds[1].revents) take_signals(t, &wakeup);
    wakeup.keys = fds[0].revents & POLLIN || (t->gather.what && gather_left(t) <= 0);
    wakeup.other = fds[2].revents & POLLIN;
    if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) wakeup.quit = true;
    return wakeup;
}

// Curses names the region that scrolls when it has used another. Where that comes after the terminal grew, it stays,
// and some shift no characters below it: the lower right corner, which is put there so, stayed empty.
static void resize(int rows, int cols) {
    resizeterm(rows, cols);
    if (change_scroll_region) putp(tiparm(change_scroll_region, 0, LINES - 1));
    fflush(stdout);
}

void terminal_size(Terminal *t, int *rows, int *cols) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        if (size.ws_row != LINES || size.ws_col != COLS) resize(size.ws_row, size.ws_col);
    }
    *rows = LINES;
    *cols = COLS;
    t->redraw = true;
}

// ---- showing ------------------------------------------------------------------------------------------------------

void terminal_redraw(Terminal *t) { t->redraw = true; }

void terminal_bell(void) { beep(); }

// OSC 2. What it was before is on the terminal's stack.
void terminal_title(Terminal *t, const char *title) {
    if (!t->titles) return;
    char *clean = text_printable(title, strlen(title), !terminal_is_utf8());
    if (clean) printf("\033]2;%s\033\\", clean);
    fflush(stdout);
    free(clean);
}

#define COPY_MOST 74994 // bytes: terminals that have a limit take 100,000 characters in all

bool terminal_copy(Terminal *t, const char *text, size_t length, Error *err) {
    if (clipboard_tmux(text, length)) return true;
    if (!t->ansi || !may_be_asked())
        return error_set(err, "this terminal has no clipboard that can be written to; :export FILE writes a file");
    if (length > COPY_MOST)
        return error_set(err, "%zu bytes are too much for the clipboard of a terminal; :export FILE writes a file",
                         length);
    Text sequence = {0};
    clipboard_sequence(text, length, &sequence);
    const bool ok = !sequence.failed || error_memory(err, "the text to copy");
    if (ok) fwrite(sequence.data, 1, sequence.length, stdout);
    fflush(stdout);
    text_free(&sequence);
    return ok;
}

static bool is_blank(const Cell *cell) { return cell->text[0] == ' ' && !cell->text[1]; }

#define SHORT_GAP 8 // blanks; for more of them terminals have shorter ways

// Columns from here on that can go out in this style: those that have it, and short gaps after them, in which no colour
// of letters is seen. Where colours are few, attributes stand for them, which may be.
static int same_style(const Terminal *t, const Cell *cells, int count, Style style) {
    const Style seen = STYLE_UNDERLINE | STYLE_REVERSE | STYLE_SELECTED;
    int end = 0;
    while (end < count) {
        int gap = end;
        while (gap < count && cells[gap].style == style) gap++;
        if (gap > end) {
            end = gap;
            continue;
        }
        while (gap < count && is_blank(&cells[gap]) && !((cells[gap].style ^ style) & seen)) gap++;
        const bool hidden = t->theme.depth >= DEPTH_256 && !(style & (STYLE_UNDERLINE | STYLE_REVERSE));
        if (gap == end || gap - end > SHORT_GAP || !hidden) break;
        end = gap;
    }
    return end;
}

// Neighbours of one style go out as one string: changing attributes is what costs.
static void show_row(const Terminal *t, const Canvas *canvas, int row) {
    const Cell *cells = &canvas->cells[(size_t)row * (size_t)canvas->cols];
    char run[2048];
    move(row, 0);
    for (int col = 0; col < canvas->cols;) {
        const Style style = cells[col].style;
        const int end = col + same_style(t, &cells[col], canvas->cols - col, style);
        size_t length = 0;
        while (col < end && length + sizeof cells->text < sizeof run) {
            size_t more = strlen(cells[col].text);
            memcpy(run + length, cells[col].text, more);
            length += more;
            col++;
        }
        theme_apply(t->theme, style);
        addnstr(run, (int)length);
    }
}

static bool terminal_prepare(Terminal *t, const Canvas *canvas) {
    if (canvas->rows != t->rows || canvas->cols != t->cols) {
        Cell *shown = array_new((size_t)canvas->rows * (size_t)canvas->cols, sizeof *shown);
        if (!shown) return false;
        free(t->shown);
        t->shown = shown;
        t->rows = canvas->rows;
        t->cols = canvas->cols;
        t->redraw = true;
    }
    if (t->redraw) {
        clearok(curscr, TRUE);
        erase();
    }
    return true;
}

void terminal_show(Terminal *t, const Canvas *canvas) {
    if (!terminal_prepare(t, canvas)) return;
    for (int row = 0; row < canvas->rows && row < LINES; row++) {
        const size_t at = (size_t)row * (size_t)canvas->cols, bytes = (size_t)canvas->cols * sizeof(Cell);
        if (!t->redraw && memcmp(&canvas->cells[at], &t->shown[at], bytes) == 0) continue;
        show_row(t, canvas, row);
        memcpy(&t->shown[at], &canvas->cells[at], bytes);
    }
    t->redraw = false;
    if (canvas->cursor_row >= 0) move(canvas->cursor_row, canvas->cursor_col);
    wnoutrefresh(stdscr);
    doupdate();
    curs_set(canvas->cursor_row >= 0); // last: some terminals save its state when the alternate screen is entered
    fflush(stdout);
}

// ---- keys ---------------------------------------------------------------------------------------------------------

static int function_key(wint_t code) {
    switch (code) {
    case KEY_UP: return KEY_ARROW_UP;
    case KEY_DOWN: return KEY_ARROW_DOWN;
    case KEY_LEFT: return KEY_ARROW_LEFT;
    case KEY_RIGHT: return KEY_ARROW_RIGHT;
    case KEY_SLEFT: return KEY_SHIFT_LEFT;
    case KEY_SRIGHT: return KEY_SHIFT_RIGHT;
    case KEY_PPAGE: return KEY_PAGE_UP;
    case KEY_NPAGE: return KEY_PAGE_DOWN;
    case KEY_HOME: return KEY_TO_START;
    case KEY_END: return KEY_TO_END;
    case KEY_BACKSPACE: return KEY_ERASE;
    case KEY_DC: return KEY_FORWARD_ERASE;
    case KEY_BTAB: return KEY_BACK_TAB;
    case KEY_ENTER: return KEY_RETURN;
    default: break;
    }
    for (int number = 1; number <= FUNCTION_KEYS; number++) {
        if (code == (wint_t)KEY_F(number)) return KEY_FUNCTION(number);
    }
    return KEY_NONE;
}

// A number of a mouse report; *end is the character behind it. False when the report is cut off.
static bool report_number(const Terminal *t, int *number, wint_t *end) {
    *number = 0;
    for (int digits = 0; digits < 6; digits++) {
        if (get_wch(end) == ERR &&
            (poll(&(struct pollfd){.fd = t->key_fd, .events = POLLIN}, 1, 50) <= 0 || get_wch(end) == ERR))
            return false;
        if (*end < '0' || *end > '9') return true;
        *number = *number * 10 + (int)(*end - '0');
    }
    return false;
}

static void mouse_report(const Terminal *t, Key *key) {
    int button, col, row;
    wint_t end;
    if (!report_number(t, &button, &end) || end != ';' || !report_number(t, &col, &end) || end != ';' ||
        !report_number(t, &row, &end))
        return;
    key->row = row - 1;
    key->col = col - 1;
    const int action = button & ~(4 | 8 | 16); // Shift, Alt and Control do not matter
    if (action == 64)
        key->action = MOUSE_WHEEL_UP;
    else if (action == 65)
        key->action = MOUSE_WHEEL_DOWN;
    else if (action == 32)
        key->action = MOUSE_DRAG;
    else if (action == 0)
        key->action = end == 'M' ? MOUSE_PRESS : MOUSE_RELEASE;
    else
        return;
    key->code = KEY_MOUSE_EVENT;
}

static int character_key(wint_t code) {
    if (code == '\n' || code == '\r') return KEY_RETURN;
    if (code == 0x7F || code == '\b') return KEY_ERASE;
    return (int)code;
}

static void gather_begin(Terminal *t, int what) {
    t->gather.what = what;
    t->gather.length = t->gather.matched = 0;
    t->gather.last = clock_seconds();
}

// True when the byte is the last one.
static bool gather_byte(Terminal *t, char byte) {
    const char *end = t->gather.what == GATHER_PASTE ? paste_end : "\033\\";
    if (t->gather.what == GATHER_ANSWER && byte == '\a') return true; // the other way to end it
    t->gather.matched = byte == end[t->gather.matched] ? t->gather.matched + 1 : byte == *end;
    if (byte && t->gather.length < sizeof t->gather.text - 1) t->gather.text[t->gather.length++] = byte;
    return !end[t->gather.matched];
}

// Past what curses has read, byte for byte: what comes behind the end are keys again. No more at a time than the
// terminal holds for us, so that a large paste does not keep the rest waiting. True when it is complete.
static bool gather_more(Terminal *t) {
    int available = 0;
    char byte;
    if (ioctl(t->key_fd, FIONREAD, &available) < 0) available = 0;
    for (; available > 0; available--) {
        if (read(t->key_fd, &byte, 1) != 1) return false;
        t->gather.last = clock_seconds();
        if (gather_byte(t, byte)) return true;
    }
    return gather_left(t) <= 0;
}

// What was gathered as a key, or as none.
static void gather_end(Terminal *t, Key *out) {
    const size_t end = t->gather.matched; // of the ending, if it is in the text
    if (t->gather.length >= end && t->gather.length < sizeof t->gather.text - 1) t->gather.length -= end;
    t->gather.text[t->gather.length] = '\0';
    if (t->gather.what == GATHER_ANSWER)
        take_answer(t, t->gather.text);
    else
        *out = (Key){.code = KEY_PASTED, .text = t->gather.text};
    t->gather.what = GATHER_NOTHING;
}

bool terminal_key(Terminal *t, Key *out) {
    wint_t code = 0;
    *out = (Key){.code = KEY_NONE};
    const int kind = t->gather.what ? OK : get_wch(&code);
    if (kind == ERR) return false;
    if (kind == KEY_CODE_YES && (code == KEY_PASTE || code == KEY_ANSWER))
        gather_begin(t, code == KEY_PASTE ? GATHER_PASTE : GATHER_ANSWER);
    if (t->gather.what) {
        if (!gather_more(t)) return false;
        gather_end(t, out);
    } else if (kind != KEY_CODE_YES)
        out->code = character_key(code);
    else if (code == KEY_REPORT)
        mouse_report(t, out);
    else
        out->code = function_key(code);
    return true;
}
