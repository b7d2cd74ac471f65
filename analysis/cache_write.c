#include "analysis/cache_write.h"

#include <dirent.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

#define TEMPORARY "*-????????????????.*.??????" // KIND-KEY.EXTENSION, and what makes it a file beside that
#define LEFT_BEHIND 3600                        // seconds; nobody writes for so long

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Error first;
static void (*tell)(const Error *);

void cache_tell(void (*told)(const Error *)) { tell = told; }

static void remember(const Error *failed) {
    log_line("cache: %s", failed->message);
    pthread_mutex_lock(&lock);
    const bool is_first = !first.message[0];
    if (is_first) first = *failed;
    pthread_mutex_unlock(&lock);
    if (is_first && tell) tell(failed);
}

// A writer that was killed leaves up to a gigabyte that nobody reads or counts.
static void sweep_up(const char *folder) {
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
        struct stat info;
        char *path = fnmatch(TEMPORARY, entry->d_name, 0) == 0 ? path_join(folder, entry->d_name) : NULL;
        if (path && lstat(path, &info) == 0 && S_ISREG(info.st_mode) && time(NULL) - info.st_mtime > LEFT_BEHIND &&
            unlink(path) == 0)
            log_line("cache: %s was left behind and is removed", path);
        free(path);
    }
    if (dir) closedir(dir);
}

bool cache_write(const char *folder, const char *path, const Text *file, Error *err) {
    Error failed = {0};
    sweep_up(folder);
    if (folder_make(folder, &failed) && file_write(path, file->data, file->length, &failed)) return true;
    remember(&failed);
    if (err) *err = failed;
    return false;
}

bool cache_refused(Error *why) {
    pthread_mutex_lock(&lock);
    *why = first;
    pthread_mutex_unlock(&lock);
    return why->message[0] != '\0';
}
