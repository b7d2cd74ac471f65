// Kernels that have not proven themselves on this device are not used: what a device computes on small cases is
// compared with the plain backend, family by family.
#pragma once

#include "kernels/backend.h"

// Those that a device can do without: what takes their place is slower.
typedef enum KernelFamily {
    KERNELS_INTEGER,         // integer products on tensor cores; else code by code
    KERNELS_F16,             // weight-only products of many tokens in 16-bit floats; else in integers
    KERNELS_WARPGROUPS,      // those by warpgroups; else warp by warp
    KERNELS_INT8_WARPGROUPS, // products of int8 activations and many tokens by warpgroups; else warp by warp
    KERNELS_CHAINS,          // of both, where blocks go on with the sums of others; else each has its own
    KERNELS_LIBRARY,         // dense products by the vendor's library; else by tiles
    KERNELS_DENSE,           // dense products of many tokens by tiles; else of few at a time
    KERNELS_ATTENTION,       // attention of many tokens by tiles; else of each alone
    KERNELS_FUSED,           // operations that wait for the next one; else one by one
    KERNELS_MIXTURE,         // experts chosen on the device; else on the host
    KERNELS_STEP,            // recorded steps; else each operation is asked for
    KERNELS_EARLY,           // kernels that begin before the last one has ended; else one after the other
    KERNELS_MEASURE,         // statistics of activations; else on the host
    KERNEL_FAMILIES,
} KernelFamily;

// Not a family: where it is avoided the device has two pairs of blocks at a time, so that small products are chained.
enum { MANY_PAIRS = KERNEL_FAMILIES };

extern const char *const kernel_family_names[KERNEL_FAMILIES]; // "integer products"

// Avoids (ops->avoid) every family that differs from the plain backend, and adds it to *avoid (bits by KernelFamily),
// whose families are avoided from the beginning. True when everything else is right. False when the device cannot be
// used as it is: err says what differs. If *avoid has grown, a new backend that avoids those may do; else nothing can
// take the place of what differs.
bool backend_prove(Backend *device, Backend *plain, unsigned *avoid, Error *err);
