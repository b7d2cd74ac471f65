// Time for pictures: linked into the program in place of base/clock.c, and between it and the CPU's backend
// (--wrap=backend_cpu_new). Where the model is computed, time goes on with the bytes of weights that products read, as
// it would with a memory of a fixed bandwidth. So a picture shows speeds, and shows the same each time it is made.
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "kernels/backend.h"

#define BYTES_PER_SECOND 5e9

static BackendOps timed;
static const BackendOps *real;
static _Thread_local double spent;

// The screen, which is the first thread's, lives in real time: it draws so and so often.
double clock_seconds(void) {
    struct timespec now;
    if (syscall(SYS_gettid) != getpid()) return spent;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void linear(Backend *backend, const Weight *weight, const float *x, size_t tokens, float *y) {
    spent += (double)real->weight_bytes(weight) / BYTES_PER_SECOND;
    real->linear(backend, weight, x, tokens, y);
}

static void linears(Backend *backend, const Weight *const *weights, size_t count, const float *x, size_t tokens,
                    float *const *y) {
    for (size_t i = 0; i < count; i++) spent += (double)real->weight_bytes(weights[i]) / BYTES_PER_SECOND;
    real->linears(backend, weights, count, x, tokens, y);
}

// In place of the C library's: a disk that always has the same room.
int statvfs(const char *restrict path, struct statvfs *restrict out) {
    (void)path;
    *out = (struct statvfs){.f_frsize = 4096, .f_bavail = 30000000};
    return 0;
}

bool __real_backend_cpu_new(int threads, Backend **out, Error *err);
bool __wrap_backend_cpu_new(int threads, Backend **out, Error *err);

bool __wrap_backend_cpu_new(int threads, Backend **out, Error *err) {
    if (!__real_backend_cpu_new(threads, out, err)) return false;
    real = (*out)->ops;
    timed = *real;
    timed.linear = linear;
    timed.linears = linears;
    (*out)->ops = &timed;
    return true;
}
