// Progress of long work, and the request to stop it. Thread-safe: the worker reports, any thread may read or stop.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Progress {
    atomic_bool stop;                 // set to end the work
    _Atomic uint64_t done, total;     // in the unit of the current work; total 0 = unknown
    _Atomic uint64_t from;            // done before this piece of work began: it says nothing about its speed
    _Atomic(const char *) what;       // static text: "calibrating", "measuring weights"
    _Atomic double piece, rest, told; // of progress_expect, and when; told 0: nothing was said
    atomic_bool *also_stop;           // a second flag to obey (say, the program is quitting); may be NULL
    // Called by every thread that reports or asks whether to stop: it may wait in there while others need the
    // processors. NULL: nobody does. Set before the work begins.
    void (*pause)(void *context);
    void *pause_context;
} Progress;

// All functions accept progress == NULL, meaning nobody watches.

// Begins a piece of work: sets what and total, done to 0. `what` must be a string literal or live as long as the
// Progress.
void progress_begin(Progress *progress, const char *what, uint64_t total);

// The same for work that goes on where it was.
void progress_begin_at(Progress *progress, const char *what, uint64_t total, uint64_t done);

// Adds to done; returns false when the work should stop (use: if (!progress_add(p, 1)) return error_stopped(err);).
bool progress_add(Progress *progress, uint64_t more);

// The same for what need not be done: it says nothing about the speed of the rest.
void progress_skip(Progress *progress, uint64_t more);

// There is more to do than was said at the beginning.
void progress_extend(Progress *progress, uint64_t more);

// For work of unlike pieces, which knows better than their proportion how long they take: the seconds of the piece that
// begins, and of all that comes after it; NAN: not known yet. It holds until the next one, or the next progress_begin.
void progress_expect(Progress *progress, double piece, double rest);
// Seconds that are left, as was said, or in proportion to `seconds` of this piece of work so far; −1: not known.
double progress_left(const Progress *progress, double seconds);

bool progress_should_stop(const Progress *progress);
void progress_request_stop(Progress *progress);
