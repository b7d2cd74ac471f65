#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/host/kernels.h"

#ifdef QUANTDIAL_X86
// Every processor with AVX2 has F16C, which came before it; not every compiler knows its name here.
static bool has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16") &&
           __builtin_cpu_supports("avx512vbmi");
}
#endif

static bool always(void) { return true; }

const HostKernels *host_kernels_choose(Error *err) {
    // Best first. Objects of a set may use all that its compiler flags allow, so all of it is asked for.
    static const struct {
        const HostKernels *kernels;
        bool (*supported)(void);
    } sets[] = {
#ifdef QUANTDIAL_X86
        {&host_kernels_avx512, has_avx512},
        {&host_kernels_avx2, has_avx2},
#endif
        {&host_kernels_scalar, always},
    };
    const char *wanted = getenv("QUANTDIAL_CPU");
    if (wanted && !*wanted) wanted = NULL;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (wanted && strcmp(wanted, sets[i].kernels->name) != 0) continue;
        if (sets[i].supported()) return sets[i].kernels;
        if (!wanted) continue;
        error_set(err, "QUANTDIAL_CPU=%s, but this processor lacks those instructions; unset it to use the best it has",
                  wanted);
        return NULL;
    }
    error_set(err, "QUANTDIAL_CPU=%s is not a set of instructions known here; known are scalar, avx2 and avx512",
              wanted);
    return NULL;
}

const HostKernels *host_kernels(void) {
    const HostKernels *kernels = host_kernels_choose(NULL);
    return kernels ? kernels : &host_kernels_scalar;
}

int host_cores(void) { return omp_get_num_procs(); }
