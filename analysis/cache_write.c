#include "analysis/cache_write.h"

#include <pthread.h>

#include "base/file.h"
#include "base/log.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Error first;

static void remember(const Error *failed) {
    log_line("cache: %s", failed->message);
    pthread_mutex_lock(&lock);
    if (!first.message[0]) first = *failed;
    pthread_mutex_unlock(&lock);
}

bool cache_write(const char *folder, const char *path, const Text *file, Error *err) {
    Error failed = {0};
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
