#ifdef QUANTDIAL_VTERM

#include "tests/support/screen.h"

#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

// Long, because a loaded machine under sanitizers is slow; a passing test does not wait for it.
#define TIME_LIMIT 60.0

static int on_property(VTermProp property, VTermValue *value, void *user) {
    Screen *s = user;
    if (property == VTERM_PROP_ALTSCREEN) s->alternate = value->boolean;
    if (property == VTERM_PROP_CURSORVISIBLE) s->cursor = value->boolean;
    if (property == VTERM_PROP_MOUSE) s->mouse = value->number;
    return 1;
}

static const VTermScreenCallbacks callbacks = {.settermprop = on_property};

static void start_emulator(Screen *s) {
    s->vterm = vterm_new(s->rows, s->cols);
    vterm_set_utf8(s->vterm, 1);
    s->screen = vterm_obtain_screen(s->vterm);
    vterm_screen_enable_altscreen(s->screen, 1);
    vterm_screen_set_callbacks(s->screen, &callbacks, s);
    vterm_screen_reset(s->screen, 1);
    s->cursor = true;
}

static void become(const char *const argv[], const char *const environment[], int slave) {
    setsid();
    ioctl(slave, TIOCSCTTY, 0);
    for (int fd = 0; fd < 3; fd++) dup2(slave, fd);
    if (slave > 2) close(slave);
    for (int i = 0; environment && environment[i]; i++) putenv(strdup(environment[i]));
    execv(argv[0], (char *const *)(uintptr_t)argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

Screen *screen_start(int rows, int cols, const char *const argv[], const char *const environment[]) {
    Screen *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->rows = rows;
    s->cols = cols;
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
    if (openpty(&s->master, &s->slave, NULL, NULL, &size) < 0) {
        free(s);
        return NULL;
    }
    tcgetattr(s->slave, &s->before);
    start_emulator(s);
    s->pid = fork();
    if (s->pid == 0) {
        close(s->master);
        become(argv, environment, s->slave);
    }
    return s;
}

void screen_free(Screen *s) {
    if (!s) return;
    if (!s->gone) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, &s->status, 0);
    }
    close(s->master);
    close(s->slave);
    vterm_free(s->vterm);
    free(s->shown);
    free(s);
}

// ---- to the program -----------------------------------------------------------------------------------------------

static void write_all(int fd, const char *bytes, size_t length) {
    while (length) {
        ssize_t n = write(fd, bytes, length);
        if (n < 0 && errno != EINTR) return;
        if (n > 0) {
            bytes += n;
            length -= (size_t)n;
        }
    }
}

void screen_send_bytes(Screen *s, const char *bytes, size_t length) { write_all(s->master, bytes, length); }

void screen_send(Screen *s, const char *bytes) { screen_send_bytes(s, bytes, strlen(bytes)); }

// In the form that modern terminals use (1006); row and column count from 0 here, from 1 there.
static void mouse(Screen *s, int button, int row, int col, char last) {
    char bytes[64];
    snprintf(bytes, sizeof bytes, "\033[<%d;%d;%d%c", button, col + 1, row + 1, last);
    screen_send(s, bytes);
}

void screen_click(Screen *s, int row, int col) {
    mouse(s, 0, row, col, 'M');
    mouse(s, 0, row, col, 'm');
}

void screen_drag(Screen *s, int row, int from, int to) {
    mouse(s, 0, row, from, 'M');
    mouse(s, 32, row, (from + to) / 2, 'M');
    mouse(s, 32, row, to, 'M');
    mouse(s, 0, row, to, 'm');
}

void screen_wheel(Screen *s, int row, int col, bool down) { mouse(s, down ? 65 : 64, row, col, 'M'); }

static void forget_shown(Screen *s) {
    free(s->shown);
    s->shown = NULL;
}

void screen_resize(Screen *s, int rows, int cols) {
    forget_shown(s);
    s->rows = rows;
    s->cols = cols;
    vterm_set_size(s->vterm, rows, cols < EMULATOR_LEAST_COLS ? EMULATOR_LEAST_COLS : cols);
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
    ioctl(s->master, TIOCSWINSZ, &size);
}

// ---- from the program ---------------------------------------------------------------------------------------------

static void answer(Screen *s) {
    char bytes[256];
    size_t n;
    while ((n = vterm_output_read(s->vterm, bytes, sizeof bytes)) > 0) write_all(s->master, bytes, n);
}

static const char *last_of(const Screen *s, const char *sequence) {
    const char *found = NULL;
    for (const char *at = s->sent; (at = strstr(at, sequence)); at++) found = at;
    return found;
}

// Half of what is there makes room for what comes.
static void remember(Screen *s, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (s->sent_length == sizeof s->sent - 1) {
            s->sent_length /= 2;
            memmove(s->sent, s->sent + sizeof s->sent - 1 - s->sent_length, s->sent_length);
        }
        if (bytes[i]) s->sent[s->sent_length++] = bytes[i];
        s->sent[s->sent_length] = '\0';
    }
    const char *on = last_of(s, "\033[?2004h"), *off = last_of(s, "\033[?2004l");
    if (on || off) s->pastes = on > off;
}

bool screen_sent(const Screen *s, const char *bytes) { return last_of(s, bytes) != NULL; }

// Takes over what the program has drawn, waiting for it if need be; false when there was nothing.
bool screen_take(Screen *s, int milliseconds) {
    struct pollfd fd = {.fd = s->master, .events = POLLIN};
    char bytes[16384];
    if (poll(&fd, 1, milliseconds) <= 0) return false;
    ssize_t n = read(s->master, bytes, sizeof bytes);
    if (n <= 0) return false;
    s->received += (size_t)n;
    if (memchr(bytes, '\033', (size_t)n)) s->escaped = true;
    forget_shown(s);
    vterm_input_write(s->vterm, bytes, (size_t)n);
    remember(s, bytes, (size_t)n);
    answer(s);
    return true;
}

bool screen_gone(Screen *s) {
    if (!s->gone && waitpid(s->pid, &s->status, WNOHANG) == s->pid) s->gone = true;
    return s->gone;
}

bool screen_wait(Screen *s, bool (*condition)(Screen *, const void *), const void *context) {
    const double end = clock_seconds() + TIME_LIMIT;
    while (clock_seconds() < end) {
        while (screen_take(s, 0)) {
        }
        if (condition(s, context)) return true;
        if (s->gone) return false;
        screen_take(s, 50);
        screen_gone(s);
    }
    return false;
}

static bool has_text(Screen *s, const void *text) { return screen_has(s, text); }
static bool has_not(Screen *s, const void *text) { return !screen_has(s, text); }
static bool is_gone(Screen *s, const void *unused) {
    (void)unused;
    return s->gone;
}

bool screen_wait_text(Screen *s, const char *text) { return screen_wait(s, has_text, text); }
bool screen_wait_without(Screen *s, const char *text) { return screen_wait(s, has_not, text); }

bool screen_wait_gone(Screen *s) {
    const bool gone = screen_wait(s, is_gone, NULL) || s->gone;
    while (screen_take(s, 0)) {
    }
    return gone;
}

static bool is_stopped(Screen *s, const void *unused) {
    (void)unused;
    int status;
    return waitpid(s->pid, &status, WNOHANG | WUNTRACED) == s->pid && WIFSTOPPED(status);
}

bool screen_wait_stopped(Screen *s) {
    const bool stopped = screen_wait(s, is_stopped, NULL);
    while (screen_take(s, 0)) {
    }
    return stopped;
}

void screen_settle(Screen *s, int milliseconds) {
    const double end = clock_seconds() + TIME_LIMIT;
    while (screen_take(s, milliseconds) && clock_seconds() < end) {
    }
}

// ---- looking ------------------------------------------------------------------------------------------------------

static size_t encode(uint32_t code, char *out) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    const size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((0xF0 << (4 - length) & 0xFF) | code);
    return length;
}

// starts (may be NULL): the byte at which each column begins.
static char *row_text(Screen *s, int row, size_t *starts) {
    char *text = malloc((size_t)s->cols * 24 + 1);
    size_t length = 0;
    for (int col = 0; text && col < s->cols; col++) {
        VTermScreenCell cell = {0};
        vterm_screen_get_cell(s->screen, (VTermPos){.row = row, .col = col}, &cell);
        if (starts) starts[col] = length;
        if (cell.chars[0] == (uint32_t)-1) continue; // the right half of a wide character
        if (cell.chars[0] == 0) text[length++] = ' ';
        for (int i = 0; i < VTERM_MAX_CHARS_PER_CELL && cell.chars[i]; i++)
            length += encode(cell.chars[i], text + length);
    }
    if (text) text[length] = '\0';
    return text;
}

char *screen_row(Screen *s, int row) { return row_text(s, row, NULL); }

char *screen_text(Screen *s) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (int row = 0; out && row < s->rows; row++) {
        char *line = screen_row(s, row);
        fprintf(out, "%s\n", line ? line : "");
        free(line);
    }
    if (out) fclose(out);
    return text;
}

bool screen_find(Screen *s, const char *text, int *row, int *col) {
    size_t *starts = malloc(((size_t)s->cols + 1) * sizeof *starts);
    bool found = false;
    for (int r = 0; starts && r < s->rows && !found; r++) {
        char *line = row_text(s, r, starts);
        const char *at = line ? strstr(line, text) : NULL;
        for (int c = 0; at && c < s->cols && !found; c++) {
            if (starts[c] != (size_t)(at - line)) continue;
            found = true;
            *row = r;
            *col = c;
        }
        free(line);
    }
    free(starts);
    return found;
}

bool screen_has(Screen *s, const char *text) {
    if (!s->shown) s->shown = screen_text(s);
    return s->shown && strstr(s->shown, text);
}

bool screen_modes_restored(const Screen *s) {
    struct termios now;
    if (tcgetattr(s->slave, &now) < 0) return false;
    return now.c_iflag == s->before.c_iflag && now.c_oflag == s->before.c_oflag && now.c_cflag == s->before.c_cflag &&
           now.c_lflag == s->before.c_lflag && memcmp(now.c_cc, s->before.c_cc, sizeof now.c_cc) == 0;
}

#else
typedef int no_libvterm_no_screen;
#endif
