// Is there a CUDA device, and can this program use it?
//
// Asked once at start and by `quantdial doctor`. Safe on machines without driver or device, and in programs built
// without CUDA: then the answer is a reason in words.
#ifndef QUANTDIAL_KERNELS_PROBE_H
#define QUANTDIAL_KERNELS_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CUDA_PROBE_DEVICES = 8 };

typedef struct {
    char name[256];
    int major, minor;   // compute capability, 9.0 for an H100
    size_t total_bytes; // device memory
} CudaProbeDevice;

typedef struct {
    bool compiled;       // was CUDA compiled into this program
    int driver_version;  // newest CUDA version the driver serves, 1000 × major + 10 × minor; 0 without a driver
    int runtime_version; // the runtime linked in, same scale; 0 when built without CUDA
    int device_count;    // all devices, also those beyond CUDA_PROBE_DEVICES
    CudaProbeDevice devices[CUDA_PROBE_DEVICES];
    char reason[161]; // why no device can be used; empty when one can
} CudaProbe;

// Fills *out completely. True when at least one device can be used.
bool cuda_probe(CudaProbe *out);

// note [note_bytes] = what was found of cuBLAS, or why it was not.
void cuda_library_note(int runtime_version, char *note, size_t note_bytes);

#ifdef __cplusplus
}
#endif

#endif
