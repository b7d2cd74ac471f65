#include "tests/support/settle.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

#define PATIENCE 120.0 // seconds

void wait_until(Workbench *w, bool (*settled)(Workbench *)) {
    const double end = clock_seconds() + PATIENCE;
    while (!settled(w)) {
        struct pollfd fd = {.fd = workbench_fd(w), .events = POLLIN};
        if (clock_seconds() > end) fail_msg("the workbench did not settle");
        poll(&fd, 1, 1000);
        workbench_update(w);
    }
}
