#include "base/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

// The path given to exec: the kernel hands it to every program, whether /proc is mounted or not.
static const char *executed_path(void) {
    const unsigned long address = getauxval(AT_EXECFN);
    const char *path;
    memcpy(&path, &address, sizeof path);
    return path;
}

char *program_file(void) {
    char *file = realpath("/proc/self/exe", NULL);
    if (!file && executed_path()) file = realpath(executed_path(), NULL);
    // Started as "ld.so PROGRAM": both name the dynamic linker.
    if (!file || strncmp(strrchr(file, '/'), "/ld-", 4) == 0) {
        char *named = realpath(program_invocation_name, NULL);
        if (!named) return file;
        free(file);
        file = named;
    }
    return file;
}
