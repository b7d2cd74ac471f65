#include "kernels/cuda_probe.h"

#include <cstdio>
#include <cstring>

#include <cuda_runtime.h>

// Why a device cannot be used, in words for a person who does not know the runtime's error names.
static void explain(CudaProbe *out, cudaError_t error) {
    const int needs_major = out->runtime_version / 1000, needs_minor = out->runtime_version % 1000 / 10;
    if (out->driver_version == 0)
        snprintf(out->reason, sizeof out->reason, "no NVIDIA driver was found");
    else if (error == cudaErrorInsufficientDriver)
        snprintf(out->reason, sizeof out->reason,
                 "the driver serves CUDA %d.%d, this program needs %d.%d: update the driver",
                 out->driver_version / 1000, out->driver_version % 1000 / 10, needs_major, needs_minor);
    else if (error == cudaErrorNoDevice)
        snprintf(out->reason, sizeof out->reason,
                 "the NVIDIA driver is there, but no device (is CUDA_VISIBLE_DEVICES empty?)");
    else
        snprintf(out->reason, sizeof out->reason, "CUDA does not start: %.120s", cudaGetErrorString(error));
}

// A kernel that does nothing: whether it loads tells whether this program holds code for the device.
static __global__ void nothing() {}

bool cuda_probe(CudaProbe *out) {
    memset(out, 0, sizeof *out);
    out->compiled = true;
    (void)cudaRuntimeGetVersion(&out->runtime_version);
    (void)cudaDriverGetVersion(&out->driver_version);

    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count == 0) error = cudaErrorNoDevice;
    if (error != cudaSuccess) {
        (void)cudaGetLastError(); // the failure is reported here, not to the next caller of the runtime
        explain(out, error);
        return false;
    }

    out->device_count = count;
    bool usable = false;
    for (int index = 0; index < count && index < CUDA_PROBE_DEVICES; index++) {
        cudaDeviceProp properties;
        error = cudaGetDeviceProperties(&properties, index);
        if (error != cudaSuccess) {
            (void)cudaGetLastError();
            continue;
        }
        CudaProbeDevice *device = &out->devices[index];
        snprintf(device->name, sizeof device->name, "%s", properties.name);
        device->major = properties.major;
        device->minor = properties.minor;
        device->total_bytes = properties.totalGlobalMem;

        // Asked without launching: this neither fills device memory nor disturbs who else computes there.
        if (!usable && cudaSetDevice(index) == cudaSuccess) {
            cudaFuncAttributes attributes;
            error = cudaFuncGetAttributes(&attributes, nothing);
            usable = error == cudaSuccess;
        }
    }
    if (usable) {
        (void)cudaSetDevice(0);
    } else if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction) {
        snprintf(out->reason, sizeof out->reason, "this program holds no code for %.60s (compute capability %d.%d)",
                 out->devices[0].name, out->devices[0].major, out->devices[0].minor);
    } else {
        explain(out, error);
    }
    (void)cudaGetLastError();
    return usable;
}
