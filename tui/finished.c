#include "tui/finished.h"

#include <stdlib.h>
#include <string.h>

static void forget(Finished *finished, const char *folder) {
    for (size_t i = 0; i < finished->count; i++) {
        if (strcmp(finished->items[i].folder, folder) != 0) continue;
        free(finished->items[i].folder);
        finished->count--;
        memmove(&finished->items[i], &finished->items[i + 1], (finished->count - i) * sizeof *finished->items);
        return;
    }
}

static void add(Finished *finished, const ExportView *view) {
    char *folder = strdup(view->folder);
    if (!folder || !array_grow(&finished->items, finished->count, &finished->capacity, sizeof *finished->items)) {
        free(folder);
        return;
    }
    FinishedExport *added = &finished->items[finished->count++];
    *added = (FinishedExport){.format = view->format, .folder = folder, .bytes = view->result.bytes};
    for (int r = 0; r < view->verdict->row_count; r++) {
        const VerdictRow *row = &view->verdict->rows[r];
        const bool bad = row->worst >= 0 && view->verdict->findings[row->worst].severity >= SEVERITY_MISREAD;
        if (!bad) added->loads |= 1U << row->target;
    }
}

void finished_follow(Finished *finished, const ExportView *view) {
    const bool done = view->job.state == JOB_DONE;
    if (!finished->awaited || view->job.state == JOB_WAITING) return;
    if (done || (view->done > 0 && !view->result.occupied)) forget(finished, view->folder);
    if (done) add(finished, view);
    finished->awaited = job_is_on(view->job.state);
}

void finished_free(Finished *finished) {
    for (size_t i = 0; i < finished->count; i++) free(finished->items[i].folder);
    free(finished->items);
    *finished = (Finished){0};
}
