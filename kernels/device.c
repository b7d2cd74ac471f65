#include "kernels/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/program.h"

#define DEVICE 0
#define PROOF_BYTES 64

// ---- What was proven before ----

// Of this very program: built anew, it proves itself anew.
static uint64_t hash_program(uint64_t hash) {
    char *file = program_file();
    struct stat info = {0};
    if (file && stat(file, &info) == 0) {
        hash = hash_bytes(hash, &info.st_size, sizeof info.st_size);
        hash = hash_bytes(hash, &info.st_mtim, sizeof info.st_mtim);
    }
    free(file);
    return hash;
}

// NULL: it is not kept.
static char *proof_path(const Backend *device, const char *cache_folder) {
    char *path = NULL;
    const uint64_t key = hash_program(hash_text(HASH_START, device->ops->describe(device)));
    if (!cache_folder || asprintf(&path, "%s/device-%016llx.proof", cache_folder, (unsigned long long)key) < 0)
        return NULL;
    return path;
}

// The file names what is avoided, and counts the families, so that one of a program with others is not believed.
static bool was_proven(const char *path, unsigned *avoid) {
    char *text = NULL;
    size_t length;
    unsigned families, avoided;
    const bool there = path && file_exists(path) && file_read(path, PROOF_BYTES, &text, &length, NULL);
    const bool read = there && sscanf(text, "quantdial proof %u avoid %u", &families, &avoided) == 2 &&
                      families == KERNEL_FAMILIES && avoided < 1U << KERNEL_FAMILIES;
    if (read) *avoid = avoided;
    free(text);
    return read;
}

static void keep_proof(const char *path, const char *cache_folder, unsigned avoid) {
    char text[PROOF_BYTES];
    Error err = {0};
    if (!path) return;
    const int length = snprintf(text, sizeof text, "quantdial proof %d avoid %u\n", KERNEL_FAMILIES, avoid);
    if (!folder_make(cache_folder, &err) || !file_write(path, text, (size_t)length, &err))
        log_line("the proof of the device is not kept: %s", err.message);
}

// ---- Proving ----

void device_families(unsigned families, char *out, size_t size) {
    size_t used = 0;
    *out = '\0';
    for (int f = 0; f < KERNEL_FAMILIES; f++) {
        if (!(families >> f & 1)) continue;
        const int put = snprintf(out + used, size - used, "%s%s", used ? ", " : "", kernel_family_names[f]);
        used = used + (size_t)put < size ? used + (size_t)put : size - 1;
    }
}

// err is not NULL.
static bool prove(Backend *device, unsigned *avoid, Error *err) {
    Backend *plain;
    if (!backend_cpu_new(0, &plain, err)) return false;
    const bool right = backend_prove(device, plain, avoid, err);
    plain->ops->destroy(plain);
    if (!right) log_line("%s", err->message);
    return right;
}

// A device that failed is of no more use: the next one avoids what it failed at.
bool device_open(DeviceMaker *make, const char *cache_folder, Backend **out, unsigned *avoided, Error *err) {
    Error reason = {0};
    *avoided = 0;
    for (;;) {
        if (!make(DEVICE, out, err)) return false;
        Backend *device = *out;
        if (!device->ops->avoid) return true;
        const unsigned before = *avoided;
        char *path = proof_path(device, cache_folder);
        const bool proven = was_proven(path, avoided);
        if (proven) device->ops->avoid(device, *avoided);
        const bool right = proven || prove(device, avoided, &reason);
        if (right && !proven) keep_proof(path, cache_folder, *avoided);
        free(path);
        if (right) return true;
        device->ops->destroy(device);
        *out = NULL;
        if (*avoided == before) return error_set(err, "%s; it is not used", reason.message);
    }
}
