// Whether a test may take its time. Under valgrind and compute-sanitizer, where QUANTDIAL_SLOW_CHECKS=0, a step costs a
// hundred times as much: there a few of its cases, or a small model, must do.
#pragma once

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline bool slow_checks(void) {
    const char *set = getenv("QUANTDIAL_SLOW_CHECKS");
    return !set || strcmp(set, "0") != 0;
}

// Whether to try what differs in numbers alone: the sanitizers, for which each step costs ten times as much, see in a
// few cases what there is to see.
static inline bool many_cases(void) {
#ifdef __SANITIZE_ADDRESS__
    return false;
#else
    return slow_checks();
#endif
}
