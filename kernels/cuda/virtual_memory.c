#include "kernels/cuda/virtual_memory.h"

#include <cuda_runtime_api.h>
#include <string.h>

static CUmemAllocationProp properties(const VirtualMemory *memory) {
    CUmemAllocationProp prop;
    memset(&prop, 0, sizeof prop);
    prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    prop.location.id = memory->device;
    return prop;
}

static bool find(const char *name, void *function) {
    enum cudaDriverEntryPointQueryResult answer = cudaDriverEntryPointSymbolNotFound;
    void *found = NULL;
#if CUDART_VERSION >= 12050
    cudaError_t status = cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &answer);
#else
    cudaError_t status = cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &answer);
#endif
    memcpy(function, &found, sizeof found);
    if (status != cudaSuccess)
        cudaGetLastError();
    return status == cudaSuccess && answer == cudaDriverEntryPointSuccess && found;
}

bool virtual_open(VirtualMemory *memory, int device, KernelError *error) {
    memory->device = device;
    if (!find("cuMemAddressReserve", &memory->reserve) || !find("cuMemAddressFree", &memory->release_range) ||
        !find("cuMemCreate", &memory->create) || !find("cuMemRelease", &memory->release) ||
        !find("cuMemMap", &memory->map) || !find("cuMemUnmap", &memory->unmap) ||
        !find("cuMemSetAccess", &memory->set_access) ||
        !find("cuMemGetAllocationGranularity", &memory->get_granularity))
        return kernel_error_set(error, "the NVIDIA driver has no virtual memory functions");
    CUmemAllocationProp prop = properties(memory);
    if (memory->get_granularity(&memory->granularity, &prop, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED) !=
            CUDA_SUCCESS ||
        !memory->granularity)
        return kernel_error_set(error, "the NVIDIA driver cannot map memory on this GPU");
    return true;
}

void *virtual_reserve(const VirtualMemory *memory, size_t bytes) {
    CUdeviceptr base = 0;
    if (memory->reserve(&base, bytes, 0, 0, 0) != CUDA_SUCCESS)
        return NULL;
    return (void *)(uintptr_t)base;
}

/* The handle goes at once: the memory lives as long as it is mapped. */
bool virtual_map(const VirtualMemory *memory, void *at, size_t bytes) {
    CUmemAllocationProp prop = properties(memory);
    CUmemGenericAllocationHandle handle;
    CUdeviceptr address = (CUdeviceptr)(uintptr_t)at;
    if (memory->create(&handle, bytes, &prop, 0) != CUDA_SUCCESS)
        return false;
    bool ok = memory->map(address, bytes, 0, handle, 0) == CUDA_SUCCESS;
    memory->release(handle);
    if (!ok)
        return false;
    CUmemAccessDesc access;
    memset(&access, 0, sizeof access);
    access.location = prop.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    if (memory->set_access(address, bytes, &access, 1) == CUDA_SUCCESS)
        return true;
    memory->unmap(address, bytes);
    return false;
}

void virtual_free(const VirtualMemory *memory, void *base, size_t reserved, size_t mapped) {
    CUdeviceptr address = (CUdeviceptr)(uintptr_t)base;
    if (mapped)
        memory->unmap(address, mapped);
    memory->release_range(address, reserved);
}
