// What was exported while the program runs: each folder with what it holds, as it was when it was finished.
#pragma once

#include "export/verdict.h"
#include "workbench/workbench.h"

typedef struct FinishedExport {
    ExportFormat format;
    char *folder;
    uint64_t bytes;
    Targets loads; // the engines that do, as it is meant
} FinishedExport;

// Newest last.
typedef struct Finished {
    FinishedExport *items;
    size_t count, capacity;
    bool awaited; // an export is on its way
} Finished;

// Takes up the export that is on its way when it ends, and lets go of what its folder held once it writes there.
void finished_follow(Finished *finished, const ExportView *view);
void finished_free(Finished *finished);
