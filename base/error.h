// Errors: what was wrong, where, and what to do about it, in one line for a person.
#pragma once

#include <stdbool.h>

typedef struct Error {
    char message[1024]; // UTF-8; empty when nothing went wrong
    bool stopped;       // true when the work ended because Progress asked it to, which is no failure to report
} Error;

// Sets the message and returns false, so that a failing function can `return error_set(err, …)`. err may be NULL.
bool error_set(Error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Puts "prefix: " before a message that is already there, unless it begins so; returns false. For adding the file or
// tensor name on the way up: several levels may know it.
bool error_prefix(Error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The message for memory that could not be had; returns false.
bool error_memory(Error *err, const char *what);

// Marks the work as stopped on request; returns false.
bool error_stopped(Error *err);

// Each of these returns false. The macros tell that to compilers and analyzers, which read one file at a time.
static inline bool error_is_false(bool ignored) {
    (void)ignored;
    return false;
}
#define error_set(...) error_is_false(error_set(__VA_ARGS__))
#define error_prefix(...) error_is_false(error_prefix(__VA_ARGS__))
#define error_memory(err, what) error_is_false(error_memory(err, what))
#define error_stopped(err) error_is_false(error_stopped(err))
