// A temporary folder of its own for each test (IN_FOLDER in the list of tests), or for all of a program (make_folder
// and drop_folder given to cmocka_run_group_tests).
#pragma once

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

#define IN_FOLDER(function) cmocka_unit_test_setup_teardown(function, make_folder, drop_folder)
