// A program on a pseudo-terminal, watched by a terminal emulator: for tests of the screen and for pictures of it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <termios.h>

#include <vterm.h>

// The emulator crashes when a wide character meets a terminal of one column; it keeps two then, and what it shows is
// not to be looked at.
#define EMULATOR_LEAST_COLS 2

typedef struct Screen {
    pid_t pid;
    int master, slave; // the slave side stays open, so that its modes can be looked at after the program has gone
    int rows, cols;
    VTerm *vterm;
    VTermScreen *screen;
    bool alternate, cursor; // what the program asked for
    int mouse;              // VTERM_PROP_MOUSE_…
    bool escaped;           // it sent an escape sequence
    bool gone;
    int status; // of waitpid, when gone
    struct termios before;
    char sent[65536];             // the last bytes that the program sent, NUL-terminated
    size_t sent_length, received; // received: bytes, of all that it sent
    bool pastes;                  // it asked for pasted text to be marked
    char *shown;                  // all rows, for screen_has; NULL: something was drawn since
} Screen;

// Environment entries are "NAME=value"; they are added to the present environment. NULL when it cannot be started.
Screen *screen_start(int rows, int cols, const char *const argv[], const char *const environment[]);
void screen_free(Screen *s); // ends the program if it still runs

void screen_send(Screen *s, const char *bytes);
void screen_send_bytes(Screen *s, const char *bytes, size_t length);
void screen_click(Screen *s, int row, int col);
void screen_drag(Screen *s, int row, int from, int to);
void screen_wheel(Screen *s, int row, int col, bool down);
void screen_resize(Screen *s, int rows, int cols);

// Takes over what the program has drawn, waiting for it if need be; false when there was nothing. And whether it has
// gone, looked up anew.
bool screen_take(Screen *s, int milliseconds);
bool screen_gone(Screen *s);

// Lets the program run until the condition holds; false when it does not within the time limit or the program has gone.
bool screen_wait(Screen *s, bool (*condition)(Screen *s, const void *context), const void *context);
bool screen_wait_text(Screen *s, const char *text);
bool screen_wait_without(Screen *s, const char *text);
bool screen_wait_gone(Screen *s);
bool screen_wait_stopped(Screen *s);
void screen_settle(Screen *s, int milliseconds); // until nothing was drawn for so long

char *screen_row(Screen *s, int row); // UTF-8, owned by the caller
char *screen_text(Screen *s);         // all rows
bool screen_has(Screen *s, const char *text);
bool screen_find(Screen *s, const char *text, int *row, int *col); // columns, not bytes
bool screen_sent(const Screen *s, const char *bytes);              // among the last tens of thousands of bytes
bool screen_modes_restored(const Screen *s);
