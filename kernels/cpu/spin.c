#include <stdlib.h>
#include <unistd.h>

#include "base/program.h"
#include "kernels/backend.h"

void backend_cpu_shorten_spin(char **argv) {
    // GNU OpenMP reads this before main, hence the second start. By default a waiting thread spins for 5 ms or so, and
    // on a busy machine that keeps the thread it waits for from running. 1000 rounds are some 30 µs, enough for the gap
    // between two linears.
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    char *file = program_file();
    if (file && setenv("GOMP_SPINCOUNT", "1000", 1) == 0) execv(file, argv);
    free(file);
}
