// The terminal: curses, signals and keys; given back in order whatever happens. One at a time.
#pragma once

#include "tui/canvas.h"

typedef struct Terminal Terminal;

// Takes over the terminal on stdout; keys come from stdin, or from /dev/tty when stdin is not a terminal.
bool terminal_open(ColorScheme scheme, Terminal **out, Error *err);
void terminal_close(Terminal *t);

bool terminal_draws(Error *err); // tui_possible

bool terminal_is_utf8(void); // the locale's encoding
void terminal_set_scheme(Terminal *t, ColorScheme scheme);

// Shows a frame: only what differs from the last one is sent.
void terminal_show(Terminal *t, const Canvas *canvas);
void terminal_redraw(Terminal *t); // the next frame is sent whole
void terminal_bell(void);
void terminal_title(Terminal *t, const char *title); // until the terminal is given back

// Puts text into the clipboard of whoever sits before the terminal, also over SSH (OSC 52), or inside tmux by tmux,
// which passes it on. Terminals do not say whether they took it.
bool terminal_copy(Terminal *t, const char *text, size_t length, Error *err);

// What happened while waiting.
typedef struct Wakeup {
    bool keys;    // read them with terminal_key
    bool other;   // other_fd is readable
    bool quit;    // told to end, or the terminal is lost
    bool resized; // or resumed: ask for the size and draw anew
} Wakeup;

// Waits for keys, signals, other_fd or until milliseconds (< 0: for ever) have passed. Suspends and resumes on its own.
Wakeup terminal_wait(Terminal *t, int other_fd, int milliseconds);
void terminal_size(Terminal *t, int *rows, int *cols);

// Keys beyond Unicode characters.
enum {
    KEY_NONE = 0x110000,
    KEY_MOUSE_EVENT,
    KEY_ARROW_UP,
    KEY_ARROW_DOWN,
    KEY_ARROW_LEFT,
    KEY_ARROW_RIGHT,
    KEY_SHIFT_LEFT,
    KEY_SHIFT_RIGHT,
    KEY_PAGE_UP,
    KEY_PAGE_DOWN,
    KEY_TO_START,
    KEY_TO_END,
    KEY_ERASE,
    KEY_FORWARD_ERASE,
    KEY_BACK_TAB,
    KEY_PASTED,
    KEY_FUNCTIONS, // the function keys follow
};
#define KEY_FUNCTION(number) (KEY_FUNCTIONS + (number))
#define FUNCTION_KEYS 12
#define KEY_TAB '\t'
#define KEY_RETURN '\r'
#define KEY_ESCAPE 0x1B
#define KEY_CONTROL(letter) ((letter)&0x1F)

typedef enum MouseAction { MOUSE_PRESS, MOUSE_DRAG, MOUSE_RELEASE, MOUSE_WHEEL_UP, MOUSE_WHEEL_DOWN } MouseAction;

typedef struct Key {
    int code;
    MouseAction action; // of KEY_MOUSE_EVENT
    int row, col;
    const char
        *text; // of KEY_PASTED: any bytes but NUL, all that was pasted or its beginning; until the next key is read
} Key;

bool terminal_key(Terminal *t, Key *out); // false: no more for now
