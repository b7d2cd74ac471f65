// Inside analysis/: task files, a JSON object on each line.
#pragma once

#include "base/json.h"

// Hands every line that is not blank to `take`, in order, until it fails. Errors name file and line; a file without any
// line is refused.
bool task_lines(const char *path, bool (*take)(void *context, const cJSON *line, Error *err), void *context,
                Error *err);
