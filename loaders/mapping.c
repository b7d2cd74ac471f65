#include "loaders/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// A handler may walk the list at any moment, in any thread. So entries are never taken out of it: a closed one has the
// address 0 and serves the next file.
struct Mapping {
    _Atomic uintptr_t start;
    _Atomic size_t bytes;
    atomic_bool damaged, used;
    dev_t device;   // which file it was: a model may have more shards than a program may have open files, so none stays
    ino_t number;   // open
    time_t written; // in seconds, since some shares round what is finer after a while
    Mapping *next;
};

static _Atomic(Mapping *) mappings;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of adding and of installing
static struct sigaction before;                          // who handled SIGBUS when ours was installed

// ---- The handler ----

static Mapping *mapping_find(uintptr_t address) {
    for (Mapping *m = atomic_load(&mappings); m; m = m->next) {
        uintptr_t start = atomic_load(&m->start);
        if (start && address >= start && address - start < atomic_load(&m->bytes)) return m;
    }
    return NULL;
}

bool mapping_repair(const void *address) {
    Mapping *m = mapping_find((uintptr_t)address);
    if (!m) return false;
    // Everything behind it too: a file that was cut off has nothing there, and one fault is enough.
    uintptr_t page = (uintptr_t)address & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
    size_t left = atomic_load(&m->start) + atomic_load(&m->bytes) - page;
    if (mmap((void *)page, left, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) return false;
    atomic_store(&m->damaged, true);
    return true;
}

// Only once: the previous handler may reinstall ours and raise the signal again.
static void hand_on(int number, siginfo_t *info, void *context) {
    static atomic_bool handed;
    bool again = atomic_exchange(&handed, true);
    if (!again && before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else if (!again && before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    } else { // the default is to end the program: of the next fault, or of the signal sent again
        signal(number, SIG_DFL);
        if (info->si_code <= 0) raise(number);
    }
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
    int kept = errno;
    if (info->si_code <= 0 || !mapping_repair(info->si_addr)) hand_on(number, info, context);
    errno = kept;
}

// Checks each time, since the previous handler may have been reinstalled.
static void mapping_install_handler(void) {
    struct sigaction now, ours = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGBUS, NULL, &now) != 0) return;
    if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_bus_error) return;
    before = now;
    sigaction(SIGBUS, &ours, NULL);
}

// ---- Mappings ----

static Mapping *free_entry(void) {
    for (Mapping *m = atomic_load(&mappings); m; m = m->next) {
        if (!atomic_load(&m->used)) return m;
    }
    Mapping *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->next = atomic_load(&mappings);
    atomic_store(&mappings, m);
    return m;
}

static Mapping *mapping_enter(void *data, const struct stat *info) {
    pthread_mutex_lock(&lock);
    Mapping *m = free_entry();
    if (m) {
        m->device = info->st_dev;
        m->number = info->st_ino;
        m->written = info->st_mtime;
        atomic_store(&m->used, true);
        atomic_store(&m->damaged, false);
        atomic_store(&m->bytes, (size_t)info->st_size);
        atomic_store(&m->start, (uintptr_t)data);
        mapping_install_handler();
    }
    pthread_mutex_unlock(&lock);
    return m;
}

static bool mapping_make(const char *path, int file, Mapping **out, Error *err) {
    struct stat info;
    if (fstat(file, &info) != 0) return error_set(err, "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return error_set(err, "%s: is not a regular file", path);
    if (info.st_size == 0)
        return error_set(err, "%s: is empty, which is too small for any tensor file; download it again", path);
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) return error_set(err, "%s: cannot be mapped into memory: %s", path, strerror(errno));
    *out = mapping_enter(data, &info);
    if (*out) return true;
    munmap(data, (size_t)info.st_size);
    return error_memory(err, path);
}

bool mapping_open(const char *path, Mapping **out, Error *err) {
    *out = NULL;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return error_set(err, "%s: cannot be opened: %s", path, strerror(errno));
    bool ok = mapping_make(path, file, out, err);
    close(file);
    return ok;
}

void mapping_close(Mapping *mapping) {
    if (!mapping) return;
    uintptr_t start = atomic_exchange(&mapping->start, 0);
    munmap((void *)start, mapping->bytes);
    atomic_store(&mapping->used, false);
}

const uint8_t *mapping_data(const Mapping *mapping) { return (const uint8_t *)mapping->start; }

size_t mapping_bytes(const Mapping *mapping) { return mapping->bytes; }

// Size and time tell of what the handler cannot see: bytes that are gone within the last page read as zeros, and
// others may be new numbers. A file that was put in the place of ours does not matter: what is mapped stays.
bool mapping_intact(const Mapping *mapping, const char *path, Error *err) {
    struct stat info;
    const bool ours = stat(path, &info) == 0 && info.st_dev == mapping->device && info.st_ino == mapping->number,
               shorter = ours && (uint64_t)info.st_size < mapping->bytes,
               written = ours && info.st_mtime != mapping->written;
    if (!shorter && !written && !atomic_load(&mapping->damaged)) return true;
    return error_set(err, "%s: %s while it was open; open it again when the file is complete", path,
                     shorter                          ? "the file became shorter"
                     : atomic_load(&mapping->damaged) ? "a part of the file could not be read"
                                                      : "the file was written to");
}

void mapping_drop(const void *data, size_t bytes) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)data + page - 1) & ~(page - 1), end = ((uintptr_t)data + bytes) & ~(page - 1);
    // Of other memory this would throw away what it holds.
    if (end > first && mapping_find(first) && mapping_find(first) == mapping_find(end - 1))
        madvise((void *)first, end - first, MADV_DONTNEED);
}

void mapping_want(const void *data, size_t bytes) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)data & ~(page - 1);
    if (bytes) madvise((void *)first, (uintptr_t)data + bytes - first, MADV_WILLNEED);
}
