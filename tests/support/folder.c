#include "tests/support/folder.h"

#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"

static _Noreturn void give_up(const char *what) {
    perror(what);
    abort();
}

char *folder_temporary(void) {
    const char *base = getenv("TMPDIR");
    char *path = path_join(base && *base ? base : "/tmp", "quantdial-test.XXXXXX");
    if (!path || !mkdtemp(path)) give_up("temporary folder");
    return path;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *position) {
    (void)info;
    (void)type;
    (void)position;
    return remove(path);
}

void folder_remove(char *folder) {
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

bool folder_has(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    const bool there = path && file_exists(path);
    free(path);
    return there;
}

char *folder_write(const char *folder, const char *name, const void *data, size_t size) {
    char *path = path_join(folder, name);
    FILE *file = path ? fopen(path, "wb") : NULL;
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) give_up(name);
    return path;
}

void folder_put_text(const char *folder, const char *name, const char *text) {
    free(folder_write(folder, name, text, strlen(text)));
}

char *folder_put_safetensors(const char *folder, const char *name, const char *header, size_t data_bytes) {
    Text file = {0};
    uint64_t length = strlen(header);
    for (int i = 0; i < 8; i++) text_add(&file, &(char){(char)(length >> (8 * i))}, 1);
    text_add(&file, header, length);
    for (size_t i = 0; i < data_bytes; i++) text_add(&file, &(char){(char)i}, 1);
    if (file.failed) give_up(name);
    char *path = folder_write(folder, name, file.data, file.length);
    text_free(&file);
    return path;
}
