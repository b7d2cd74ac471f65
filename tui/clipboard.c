#include "tui/clipboard.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void add_base64(Text *out, const unsigned char *bytes, size_t length) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        const size_t left = length - i;
        const unsigned three =
            (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
        const char four[] = {digits[three >> 18], digits[three >> 12 & 63], left > 1 ? digits[three >> 6 & 63] : '=',
                             left > 2 ? digits[three & 63] : '='};
        text_add(out, four, 4);
    }
}

// screen passes on what stands between ESC P and ESC \, of which it takes 768 bytes at a time.
#define SCREEN_PIECE 700

static void add_for_screen(Text *out, const char *bytes, size_t length) {
    for (size_t at = 0; at < length; at += SCREEN_PIECE) {
        text_addf(out, "\033P");
        text_add(out, bytes + at, length - at < SCREEN_PIECE ? length - at : SCREEN_PIECE);
        text_addf(out, "\033\\");
    }
}

void clipboard_sequence(const char *text, size_t length, Text *out) {
    Text sequence = {0};
    text_addf(&sequence, "\033]52;c;");
    add_base64(&sequence, (const unsigned char *)text, length);
    text_add(&sequence, "\a", 1);
    if (getenv("STY"))
        add_for_screen(out, sequence.data, sequence.length);
    else
        text_add(out, sequence.data, sequence.length);
    out->failed = out->failed || sequence.failed;
    text_free(&sequence);
}

// ---- tmux ---------------------------------------------------------------------------------------------------------

#define TMUX_MILLISECONDS 500
#define STEP_MILLISECONDS 2

// What does not answer soon is not waited for: the screen has to go on.
static bool ends_well(pid_t child) {
    int status;
    for (int waited = 0; waited < TMUX_MILLISECONDS; waited += STEP_MILLISECONDS) {
        if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        nanosleep(&(struct timespec){.tv_nsec = STEP_MILLISECONDS * 1000000L}, NULL);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return false;
}

static bool run_tmux(int input) {
    char name[] = "tmux", what[] = "load-buffer", also[] = "-w", from[] = "-";
    char *const argv[] = {name, what, also, from, NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    if (posix_spawn_file_actions_init(&actions) != 0) return false;
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const bool started = posix_spawnp(&child, "tmux", &actions, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    return started && ends_well(child);
}

bool clipboard_tmux(const char *text, size_t length) {
    if (!getenv("TMUX")) return false;
    const int input = memfd_create("clipboard", MFD_CLOEXEC);
    const bool ok = input >= 0 && write(input, text, length) == (ssize_t)length && lseek(input, 0, SEEK_SET) == 0 &&
                    run_tmux(input);
    if (input >= 0) close(input);
    return ok;
}
