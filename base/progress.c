#include "base/progress.h"

#include <stddef.h>

#include "base/log.h"

void progress_begin(Progress *progress, const char *what, uint64_t total) {
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

bool progress_should_stop(const Progress *progress) {
    if (!progress) return false;
    if (progress->pause) progress->pause(progress->pause_context);
    return atomic_load(&progress->stop) || (progress->also_stop && atomic_load(progress->also_stop));
}

void progress_request_stop(Progress *progress) {
    if (progress) atomic_store(&progress->stop, true);
}
