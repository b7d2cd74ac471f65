#include "tui/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loaders/mapping.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const int watched[] = {SIGWINCH, SIGTSTP, SIGCONT, SIGTERM, SIGHUP, SIGINT};
static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGQUIT};

// All that handlers touch; written before they are installed.
static int wake[2] = {-1, -1};
static struct sigaction before_watched[COUNT(watched)], before_crashes[COUNT(crashes)];
static struct {
    int terminal;
    struct termios modes;
    char farewell[256];
    size_t length;
} guard;

static void on_signal(int number) {
    int kept = errno;
    char byte = (char)number;
    // A full pipe holds what is needed already.
    if (write(wake[1], &byte, 1) < 0) errno = kept;
    errno = kept;
}

bool signals_start(Error *err) {
    if (pipe2(wake, O_CLOEXEC | O_NONBLOCK) < 0) return error_set(err, "no pipe for signals: %s", strerror(errno));
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < COUNT(watched); i++) sigaction(watched[i], &action, &before_watched[i]);
    return true;
}

void signals_stop(void) {
    for (size_t i = 0; i < COUNT(watched); i++) sigaction(watched[i], &before_watched[i], NULL);
    close(wake[0]);
    close(wake[1]);
    wake[0] = wake[1] = -1;
}

int signals_fd(void) { return wake[0]; }

Signals signals_take(void) {
    Signals s = {0};
    char bytes[64];
    for (ssize_t n; (n = read(wake[0], bytes, sizeof bytes)) > 0;) {
        for (ssize_t i = 0; i < n; i++) {
            switch (bytes[i]) {
            case SIGWINCH: s.resized = true; break;
            case SIGTSTP: s.suspend = true; break;
            case SIGCONT: s.resumed = true; break;
            default: s.quit = true; break;
            }
        }
    }
    return s;
}

void signals_stop_self(void) {
    struct sigaction ours, by_default = {.sa_handler = SIG_DFL};
    sigaction(SIGTSTP, &by_default, &ours);
    raise(SIGTSTP);
    sigaction(SIGTSTP, &ours, NULL);
}

// ---- crashes ------------------------------------------------------------------------------------------------------

// Only async-signal-safe calls. The previous handler, if any (a sanitizer's), gets the signal next.
static void on_crash(int number, siginfo_t *info, void *context) {
    (void)context;
    // A checkpoint that became shorter while it was read is not a crash: the work that reads it will report it.
    if (number == SIGBUS && info->si_code > 0 && mapping_repair(info->si_addr)) return;
    for (size_t done = 0; done < guard.length;) {
        ssize_t n = write(guard.terminal, guard.farewell + done, guard.length - done);
        if (n <= 0) break;
        done += (size_t)n;
    }
    tcsetattr(guard.terminal, TCSANOW, &guard.modes);
    for (size_t i = 0; i < COUNT(crashes); i++) {
        if (crashes[i] == number) sigaction(number, &before_crashes[i], NULL);
    }
    raise(number);
}

void crash_guard_start(int terminal, const struct termios *modes, const char *farewell, size_t length) {
    guard.terminal = terminal;
    guard.modes = *modes;
    guard.length = length < sizeof guard.farewell ? length : sizeof guard.farewell;
    memcpy(guard.farewell, farewell, guard.length);
    // Its own stack, for when the usual one is used up; where one is installed already (a sanitizer's), that one
    // serves.
    static char stack[32768];
    stack_t there;
    if (sigaltstack(NULL, &there) == 0 && there.ss_flags & SS_DISABLE) {
        sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    }
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_ONSTACK | SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < COUNT(crashes); i++) sigaction(crashes[i], &action, &before_crashes[i]);
}

void crash_guard_stop(void) {
    for (size_t i = 0; i < COUNT(crashes); i++) sigaction(crashes[i], &before_crashes[i], NULL);
}
