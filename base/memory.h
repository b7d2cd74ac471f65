// How much memory the machine has left for this process.
#pragma once

#include <stddef.h>

// Bytes that can be taken without pressing others out: what the kernel calls available, or less where a control group
// or a limit of the process (ulimit -d, -v) says so. An estimate that is out of date when it returns. Without /proc: 1
// GB.
size_t memory_available(void);
