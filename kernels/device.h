// A device that is used with the kernels that were proven on it (kernels/prove.h).
#pragma once

#include "kernels/prove.h"

// Makes a backend of a device, as backend_cuda_new.
typedef bool DeviceMaker(int device, Backend **out, Error *err);

// Opens it, and proves it on the first use by this program: a kernel that computes wrong numbers there, or fails, is
// avoided. The proof is kept in the cache folder under the device's name, for this very build (NULL: it is not kept).
// *avoided: bits by KernelFamily. False when there is no device, or one that computes wrong numbers whatever is
// avoided.
bool device_open(DeviceMaker *make, const char *cache_folder, Backend **out, unsigned *avoided, Error *err);

// "integer products, mixtures of experts": the names of these families.
void device_families(unsigned families, char *out, size_t size);
