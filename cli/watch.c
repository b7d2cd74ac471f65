// Shows the progress of the running command on stderr, and turns SIGINT and SIGTERM into a request to stop.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"
#include "tui/tui.h"

#define BAR 30

static Progress progress;
static pthread_t thread;
static bool bar_runs;
static atomic_bool bar_ends;
static volatile sig_atomic_t stopped_by;

static void on_signal(int number) {
    stopped_by = number;
    progress_request_stop(&progress);
}

int watch_signal(void) { return (int)stopped_by; }
const char *watch_work(void) { return atomic_load(&progress.what); }

static void print_bar(double started) {
    uint64_t done = atomic_load(&progress.done), total = atomic_load(&progress.total);
    uint64_t from = atomic_load(&progress.from), here = done > from ? done - from : 0; // by this start of the program
    const char *what = atomic_load(&progress.what);
    if (!what || !total || done >= total) {
        fprintf(stderr, "\r\033[K");
        return;
    }
    double share = (double)done / (double)total, seconds = clock_seconds() - started;
    char bar[BAR + 1];
    for (int i = 0; i < BAR; i++) bar[i] = i < (int)(share * BAR) ? '#' : '.';
    bar[BAR] = '\0';
    fprintf(stderr, "\r\033[K%-18s [%s] %3.0f %%", what, bar, share * 100);
    const double left = progress_left(&progress, seconds);
    if (atomic_load(&progress.told) <= 0 && here && seconds > 0.5) fprintf(stderr, "  %.3g/s", (double)here / seconds);
    if (left >= 0 && seconds > 0.5)
        fprintf(stderr, "  %.0f:%02.0f left", (double)(int)(left / 60), (double)((int)left % 60));
}

static void *show(void *unused) {
    const char *what = NULL;
    double started = clock_seconds();
    (void)unused;
    while (!atomic_load(&bar_ends)) {
        nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
        if (what != atomic_load(&progress.what)) {
            what = atomic_load(&progress.what);
            started = clock_seconds();
        }
        print_bar(started);
    }
    fprintf(stderr, "\r\033[K");
    return NULL;
}

Progress *watch_start(const Options *options) {
    const struct sigaction stop = {.sa_handler = on_signal,
                                   .sa_flags = (int)SA_RESETHAND}; // a second one ends the program
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    if (options->quiet || log_on() || !isatty(STDERR_FILENO) || !tui_possible(NULL) || bar_runs) return &progress;
    bar_runs = pthread_create(&thread, NULL, show, NULL) == 0;
    return &progress;
}

void watch_end(void) {
    if (!bar_runs) return;
    atomic_store(&bar_ends, true);
    pthread_join(thread, NULL);
    bar_runs = false;
    atomic_store(&bar_ends, false);
}
