/* Virtual memory: ranges of device addresses that get memory bit by bit, so that what grows never moves
 * (CUDA driver API, "Virtual Memory Management"). The driver's functions are looked up when a device is
 * opened; nothing is linked.
 */
#ifndef MUX_KERNELS_CUDA_VIRTUAL_MEMORY_H
#define MUX_KERNELS_CUDA_VIRTUAL_MEMORY_H

#include <cuda.h>

#include "kernels/backend_internal.h"

typedef struct VirtualMemory {
    int device;
    size_t granularity; /* memory comes in multiples of this, 2 MiB usually */
    CUresult(CUDAAPI *reserve)(CUdeviceptr *, size_t, size_t, CUdeviceptr, unsigned long long);
    CUresult(CUDAAPI *release_range)(CUdeviceptr, size_t);
    CUresult(CUDAAPI *create)(CUmemGenericAllocationHandle *, size_t, const CUmemAllocationProp *,
                              unsigned long long);
    CUresult(CUDAAPI *release)(CUmemGenericAllocationHandle);
    CUresult(CUDAAPI *map)(CUdeviceptr, size_t, size_t, CUmemGenericAllocationHandle, unsigned long long);
    CUresult(CUDAAPI *unmap)(CUdeviceptr, size_t);
    CUresult(CUDAAPI *set_access)(CUdeviceptr, size_t, const CUmemAccessDesc *, size_t);
    CUresult(CUDAAPI *get_granularity)(size_t *, const CUmemAllocationProp *,
                                       CUmemAllocationGranularity_flags);
} VirtualMemory;

bool virtual_open(VirtualMemory *memory, int device, KernelError *error);
/* bytes: a multiple of the granularity, here and below. NULL: no room among the addresses. */
void *virtual_reserve(const VirtualMemory *memory, size_t bytes);
/* Memory for [at, at + bytes). False: none is left. */
bool virtual_map(const VirtualMemory *memory, void *at, size_t bytes);
/* Gives back a range and the memory of its first `mapped` bytes. Nothing on the device may still use it. */
void virtual_free(const VirtualMemory *memory, void *base, size_t reserved, size_t mapped);

#endif
