// A temporary folder of its own for each test (IN_FOLDER in the list of tests), or for all of a program (make_folder
// and drop_folder given to cmocka_run_group_tests).
#pragma once

#include <stdio.h>

#include "tests/support/folder.h"

static char *folder;

static inline int make_folder(void **state) {
    (void)state;
    folder = folder_temporary();
    return 0;
}

static inline int drop_folder(void **state) {
    (void)state;
    folder_remove(folder);
    folder = NULL;
    return 0;
}

// A path in it at which there is nothing, nor a folder that could hold it.
static inline const char *nowhere(void) {
    static char path[4200];
    snprintf(path, sizeof path, "%s/no-such-folder/file", folder);
    return path;
}

#define IN_FOLDER(function) cmocka_unit_test_setup_teardown(function, make_folder, drop_folder)
