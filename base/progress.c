#include "base/progress.h"

#include <math.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/log.h"

void progress_begin(Progress *progress, const char *what, uint64_t total) {
    if (progress) atomic_store(&progress->told, 0);
    progress_begin_at(progress, what, total, 0);
}

void progress_begin_at(Progress *progress, const char *what, uint64_t total, uint64_t done) {
    log_line("%s begins", what);
    if (!progress) return;
    atomic_store(&progress->what, what);
    atomic_store(&progress->from, done);
    atomic_store(&progress->done, done);
    atomic_store(&progress->total, total);
}

bool progress_add(Progress *progress, uint64_t more) {
    if (!progress) return true;
    atomic_fetch_add(&progress->done, more);
    return !progress_should_stop(progress);
}

void progress_skip(Progress *progress, uint64_t more) {
    if (progress) atomic_fetch_add(&progress->from, more);
    progress_add(progress, more);
}

void progress_extend(Progress *progress, uint64_t more) {
    if (progress) atomic_fetch_add(&progress->total, more);
}

void progress_expect(Progress *progress, double piece, double rest) {
    if (!progress) return;
    atomic_store(&progress->piece, piece);
    atomic_store(&progress->rest, rest);
    atomic_store(&progress->told, clock_seconds());
}

// A piece that takes longer than was expected leaves what comes after it.
static double left_as_told(const Progress *progress) {
    const double since = clock_seconds() - atomic_load(&progress->told), piece = atomic_load(&progress->piece);
    return isnan(piece) ? -1 : atomic_load(&progress->rest) + fmax(piece - since, 0);
}

double progress_left(const Progress *progress, double seconds) {
    const uint64_t done = atomic_load(&progress->done), total = atomic_load(&progress->total),
                   from = atomic_load(&progress->from);
    if (atomic_load(&progress->told) > 0) return left_as_told(progress);
    if (!total || done <= from) return -1;
    return done >= total ? 0 : seconds * (double)(total - done) / (double)(done - from);
}

bool progress_should_stop(const Progress *progress) {
    if (!progress) return false;
    if (progress->pause) progress->pause(progress->pause_context);
    return atomic_load(&progress->stop) || (progress->also_stop && atomic_load(progress->also_stop));
}

void progress_request_stop(Progress *progress) {
    if (progress) atomic_store(&progress->stop, true);
}
