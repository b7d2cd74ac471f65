#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"

// Errors that no caller reports are followed by a fallback, such as another backend or an older file. The log has them.
static void log_unsaid(const char *format, va_list args) {
    char message[sizeof((Error *)NULL)->message];
    if (!log_on()) return;
    vsnprintf(message, sizeof message, format, args);
    log_line("passed over: %s", message);
}

bool(error_set)(Error *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (!err) {
        log_unsaid(format, args);
        va_end(args);
        return false;
    }
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    text_mend(err->message); // names may be cut within a character, and paths may be no text at all
    err->stopped = false;
    return false;
}

bool(error_prefix)(Error *err, const char *format, ...) {
    if (!err) return false;
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    const bool fits = n >= 0 && (size_t)n < sizeof err->message;
    if (fits && strncmp(old, err->message, (size_t)n) == 0 && old[n] == ':')
        memcpy(err->message, old, sizeof old); // it is there already
    // Cutting the end off is meant; looking at the result tells the compiler so.
    else if (fits && snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s", old) < 0)
        err->message[n] = '\0';
    text_mend(err->message);
    return false;
}

bool(error_memory)(Error *err, const char *what) {
    return error_set(err, "out of memory for %s; close other programs or open a smaller model", what);
}

bool(error_stopped)(Error *err) {
    if (!err) return false;
    error_set(err, "stopped");
    err->stopped = true;
    return false;
}
