#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

// A program has one log, as it has one stderr: hence this global.
static struct {
    pthread_mutex_t lock;
    pthread_once_t once;
    bool on;
    double start;
    FILE *file; // NULL: stderr
} the_log = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static void log_begin(void) {
    const char *wanted = getenv("QUANTDIAL_LOG");
    the_log.on = wanted && *wanted && strcmp(wanted, "0") != 0;
    the_log.start = clock_seconds();
}

bool log_on(void) {
    pthread_once(&the_log.once, log_begin);
    return the_log.on;
}

void log_line(const char *format, ...) {
    char line[1200];
    va_list arguments;
    if (!log_on()) return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&the_log.lock);
    FILE *out = the_log.file ? the_log.file : stderr;
    fprintf(out, "quantdial %.3f %s\n", clock_seconds() - the_log.start, line);
    fflush(out);
    pthread_mutex_unlock(&the_log.lock);
}

static FILE *open_file(void) {
    char *folder = folder_state(), *path = folder && folder_make(folder, NULL) ? path_join(folder, "log") : NULL;
    FILE *file = path ? fopen(path, "ae") : NULL;
    free(path);
    free(folder);
    return file;
}

void log_screen(bool up) {
    if (!log_on() || !isatty(STDERR_FILENO)) return;
    FILE *file = up ? open_file() : NULL;
    pthread_mutex_lock(&the_log.lock);
    FILE *before = the_log.file;
    the_log.file = file;
    // Without a file nothing may be written over the screen either.
    if (up && !file) the_log.on = false;
    pthread_mutex_unlock(&the_log.lock);
    if (before) fclose(before);
}
