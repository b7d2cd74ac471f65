#include "base/expand.h"

#include <ctype.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"

// NULL when the user is not known. `length` 0: who runs the program.
static const char *home_of(const char *user, size_t length) {
    const char *home = length ? NULL : getenv("HOME");
    if (home && *home) return home;
    char *name = strndup(user, length);
    struct passwd *entry = length ? name ? getpwnam(name) : NULL : getpwuid(getuid());
    free(name);
    return entry ? entry->pw_dir : NULL;
}

char *home_expand(const char *path, Error *err) {
    const size_t user = *path == '~' ? strcspn(path + 1, "/") : 0;
    const char *home = *path == '~' ? home_of(path + 1, user) : "";
    char *expanded = NULL;
    if (!home) {
        error_set(err, "%s: there is no home of %.*s; ./%s names a file of that name", path, user ? (int)user : 5,
                  user ? path + 1 : "yours", path);
    } else if (asprintf(&expanded, "%s%s", home, path + (*path == '~') + user) < 0) {
        expanded = NULL;
        error_memory(err, path);
    }
    return expanded;
}

static size_t name_length(const char *text) {
    size_t length = 0;
    while (isalnum((unsigned char)text[length]) || text[length] == '_') length++;
    return length;
}

// Adds what stands for the variable at `text` ("$NAME" or "${NAME}"); returns how much of the text that was.
static size_t add_variable(Text *out, const char *text) {
    const bool braces = text[1] == '{';
    const char *name = text + 1 + braces, *end = braces ? strchr(name, '}') : name + name_length(name);
    char *key = end && end > name ? strndup(name, (size_t)(end - name)) : NULL;
    const char *value = key ? getenv(key) : NULL;
    size_t length = value ? (size_t)(end - text) + braces : 1;
    text_add(out, value ? value : text, value ? strlen(value) : length);
    free(key);
    return length;
}

char *path_expand(const char *path) {
    Text out = {0};
    text_add(&out, "", 0);
    if (*path == '~') {
        size_t user = strcspn(path + 1, "/");
        const char *home = home_of(path + 1, user);
        if (home) {
            text_add(&out, home, strlen(home));
            path += 1 + user;
        }
    }
    while (*path) {
        size_t plain = *path == '$' ? add_variable(&out, path) : strcspn(path, "$");
        if (*path != '$') text_add(&out, path, plain);
        path += plain;
    }
    if (!out.failed) return out.data;
    text_free(&out);
    return NULL;
}
