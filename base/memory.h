// How much memory the machine has left for this process.
#pragma once

#include <stddef.h>

// Bytes that can be allocated without pushing others out: what the kernel calls available, or less where a control
// group or a process limit (ulimit -d, -v) says so. An estimate, out of date as soon as it is returned. Without /proc:
// 1 GB.
size_t memory_available(void);
