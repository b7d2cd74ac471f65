#include "analysis/task_lines.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/recognize.h"

#define FILE_LIMIT ((size_t)1 << 30)

typedef struct Taker {
    bool (*take)(void *context, const cJSON *line, Error *err);
    void *context;
    Error *err;
} Taker;

static bool take_line(const Taker *taker, const char *text, size_t length) {
    cJSON *line = json_parse(text, length, taker->err);
    if (!line) return false;
    const bool ok = (cJSON_IsObject(line) || error_set(taker->err, "is not a JSON object")) &&
                    taker->take(taker->context, line, taker->err);
    cJSON_Delete(line);
    return ok;
}

static bool take_lines(const Taker *taker, const char *data) {
    size_t number = 1, taken = 0;
    for (const char *line = data; *line; number++) {
        const size_t length = strcspn(line, "\n"), blank = strspn(line, " \t\r");
        if (blank < length && !take_line(taker, line, length)) return error_prefix(taker->err, "line %zu", number);
        taken += blank < length;
        line += length + (line[length] == '\n');
    }
    return taken > 0 || error_set(taker->err, "the file is empty");
}

bool task_lines(const char *path, bool (*take)(void *, const cJSON *, Error *), void *context, Error *err) {
    char *data;
    size_t size;
    if (!file_read(path, FILE_LIMIT, &data, &size, err)) return false;
    const Taker taker = {take, context, err};
    const bool ok = !recognize_bytes(data, size, EXPECTED_TEXT, err) &&
                    (strlen(data) == size || error_set(err, "contains a zero byte, so it is not text")) &&
                    take_lines(&taker, data);
    free(data);
    return ok || error_prefix(err, "%s", path);
}
