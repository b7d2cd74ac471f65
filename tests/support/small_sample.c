#include "tests/support/small_sample.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/support/edited_model.h"
#include "tests/support/folder.h"

static char *small, *whole; // folders; what QUANTDIAL_SAMPLES was

static void link_all(const char *from, const char *to) {
    DIR *entries = opendir(from);
    assert_non_null(entries);
    for (const struct dirent *entry; (entry = readdir(entries));) {
        if (entry->d_name[0] == '.') continue;
        char *target = path_join(from, entry->d_name), *link = path_join(to, entry->d_name);
        assert_int_equal(symlink(target, link), 0);
        free(target);
        free(link);
    }
    closedir(entries);
}

int small_sample_make(void **state) {
    (void)state;
    const char *set = getenv("QUANTDIAL_SAMPLES");
    whole = realpath(set ? set : "samples", NULL);
    assert_non_null(whole);
    small = folder_temporary();
    char *from = path_join(whole, "storyteller"), *to = path_join(small, "storyteller"),
         *config = path_join(to, "config.json");
    link_all(whole, small);
    assert_int_equal(unlink(to), 0);
    assert_int_equal(mkdir(to, 0777), 0);
    link_all(from, to);
    assert_int_equal(unlink(config), 0);
    model_copy(to, from, "config.json");
    model_edit(to, "config.json", "\"num_hidden_layers\": 6", "\"num_hidden_layers\": 2");
    free(from);
    free(to);
    free(config);
    return setenv("QUANTDIAL_SAMPLES", small, 1);
}

int small_sample_drop(void **state) {
    (void)state;
    setenv("QUANTDIAL_SAMPLES", whole, 1);
    folder_remove(small);
    free(whole);
    return 0;
}
