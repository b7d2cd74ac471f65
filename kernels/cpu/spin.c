#include <stdlib.h>
#include <unistd.h>

#include "base/program.h"
#include "kernels/backend.h"

void backend_cpu_shorten_spin(char **argv) {
    // Read by GNU OpenMP before main, hence the second start. The default is 5 ms or so of turning round for each
    // thread that waits; on a busy machine the thread that is waited for does not run during that time. 1000
    // rounds are some 30 µs, enough for the gap between two linears.
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    char *file = program_file();
    if (file && setenv("GOMP_SPINCOUNT", "1000", 1) == 0) execv(file, argv);
    free(file);
}
