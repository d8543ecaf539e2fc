/* The emulated device's properties, names of errors, and the driver's virtual memory. */
#include "cuda.h"
#include "tests/emulator/runtime_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* ---- errors ---- */

typedef struct ErrorName {
    cudaError_t error;
    const char *name, *text;
} ErrorName;

static const ErrorName ERROR_NAMES[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidHostPointer, "cudaErrorInvalidHostPointer", "invalid host pointer"},
    {cudaErrorInvalidDevicePointer, "cudaErrorInvalidDevicePointer", "invalid device pointer"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver", "the driver is older than the runtime"},
    {cudaErrorCallRequiresNewerDriver, "cudaErrorCallRequiresNewerDriver",
     "the call requires a newer driver"},
    {cudaErrorDevicesUnavailable, "cudaErrorDevicesUnavailable", "the device is busy or unavailable"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidKernelImage, "cudaErrorInvalidKernelImage", "invalid kernel image"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice", "no kernel image for the device"},
    {cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error"},
    {cudaErrorNvlinkUncorrectable, "cudaErrorNvlinkUncorrectable", "uncorrectable NVLink error"},
    {cudaErrorUnsupportedPtxVersion, "cudaErrorUnsupportedPtxVersion", "PTX of an unsupported version"},
    {cudaErrorContained, "cudaErrorContained", "contained error"},
    {cudaErrorOperatingSystem, "cudaErrorOperatingSystem", "a call to the operating system failed"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorSymbolNotFound, "cudaErrorSymbolNotFound", "symbol not found"},
    {cudaErrorNotReady, "cudaErrorNotReady", "not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources for a launch"},
    {cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out"},
    {cudaErrorAssert, "cudaErrorAssert", "device-side assert"},
    {cudaErrorHardwareStackError, "cudaErrorHardwareStackError", "hardware stack error"},
    {cudaErrorIllegalInstruction, "cudaErrorIllegalInstruction", "an illegal instruction was encountered"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorInvalidAddressSpace, "cudaErrorInvalidAddressSpace", "wrong address space"},
    {cudaErrorInvalidPc, "cudaErrorInvalidPc", "invalid program counter"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotPermitted, "cudaErrorNotPermitted", "operation not permitted"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorSystemNotReady, "cudaErrorSystemNotReady", "system not ready"},
    {cudaErrorSystemDriverMismatch, "cudaErrorSystemDriverMismatch", "driver parts do not match"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

static const ErrorName *find_error(int error) {
    for (const ErrorName &entry : ERROR_NAMES)
        if ((int)entry.error == error)
            return &entry;
    return NULL;
}
const char *cudaGetErrorName(cudaError_t error) {
    const ErrorName *entry = find_error(error);
    return entry ? entry->name : "unrecognized error code";
}
const char *cudaGetErrorString(cudaError_t error) {
    const ErrorName *entry = find_error(error);
    return entry ? entry->text : "unrecognized error code";
}
CUresult cuGetErrorName(CUresult error, const char **out) {
    const ErrorName *entry = find_error((int)error);
    *out = entry ? entry->name : NULL;
    return entry ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuGetErrorString(CUresult error, const char **out) {
    const ErrorName *entry = find_error((int)error);
    *out = entry ? entry->text : NULL;
    return entry ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- the device ---- */

#define CALL(name)                                                                                           \
    Call call(#name);                                                                                        \
    if (call.error != cudaSuccess)                                                                           \
        return call_result(call.error);

/* What a program finds where there is no driver, an old one, or no device. */
static cudaError_t presence(void) {
    if (emulated_device.driver < 13000)
        return cudaErrorInsufficientDriver;
    return emulated_device.count ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaGetDeviceCount(int *count) {
    CALL(cudaGetDeviceCount)
    *count = 0;
    if (presence() != cudaSuccess)
        return call_result(presence());
    *count = emulated_device.count;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return call_result(presence());
}
cudaError_t cudaSetDevice(int device) {
    CALL(cudaSetDevice)
    if (presence() != cudaSuccess)
        return call_result(presence());
    return call_result(device >= 0 && device < emulated_device.count ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaInitDevice(int device, unsigned int device_flags, unsigned int flags) {
    CALL(cudaInitDevice)
    (void)device_flags;
    (void)flags;
    return cudaSetDevice(device);
}
cudaError_t cudaSetDeviceFlags(unsigned int) {
    return call_result(presence());
}
cudaError_t cudaDeviceReset(void) {
    Call call("");
    device_drop_work();
    emulated_device.lost = cudaSuccess;
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version) {
    *version = emulated_device.driver;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

static int attribute_of(enum cudaDeviceAttr attribute) {
    int capability = emulated_device.capability;
    int optin = capability == 80 ? 163 * 1024 : capability >= 90 && capability < 120 ? 227 * 1024 : 99 * 1024;
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: return MOST_THREADS;
    case cudaDevAttrMaxSharedMemoryPerBlock: return 48 * 1024;
    case cudaDevAttrWarpSize: return 32;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor: return 65536;
    case cudaDevAttrClockRate: return 1000000;
    case cudaDevAttrMultiProcessorCount: return 4;
    case cudaDevAttrIntegrated: return 0;
    case cudaDevAttrMemoryClockRate: return 1000000;
    case cudaDevAttrGlobalMemoryBusWidth: return 64;
    case cudaDevAttrL2CacheSize: return 4 << 20;
    case cudaDevAttrComputeCapabilityMajor: return capability / 10;
    case cudaDevAttrComputeCapabilityMinor: return capability % 10;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return optin + 1024;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: return optin;
    }
    return -1;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
    CALL(cudaDeviceGetAttribute)
    if (presence() != cudaSuccess)
        return call_result(presence());
    if (device != 0)
        return call_result(cudaErrorInvalidDevice);
    *value = attribute_of(attribute);
    return call_result(*value < 0 ? cudaErrorInvalidValue : cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *out, int device) {
    CALL(cudaGetDeviceProperties)
    if (presence() != cudaSuccess)
        return call_result(presence());
    if (device != 0)
        return call_result(cudaErrorInvalidDevice);
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "emulated");
    out->totalGlobalMem = emulated_device.memory;
    out->sharedMemPerBlock = 48 * 1024;
    out->regsPerBlock = out->regsPerMultiprocessor = 65536;
    out->warpSize = 32;
    out->maxThreadsPerBlock = MOST_THREADS;
    out->maxThreadsDim[0] = out->maxThreadsDim[1] = 1024;
    out->maxThreadsDim[2] = 64;
    out->maxGridSize[0] = 0x7FFFFFFF;
    out->maxGridSize[1] = out->maxGridSize[2] = 65535;
    out->major = emulated_device.capability / 10;
    out->minor = emulated_device.capability % 10;
    out->multiProcessorCount = attribute_of(cudaDevAttrMultiProcessorCount);
    out->asyncEngineCount = 1;
    out->unifiedAddressing = 1;
    out->memoryBusWidth = attribute_of(cudaDevAttrGlobalMemoryBusWidth);
    out->l2CacheSize = attribute_of(cudaDevAttrL2CacheSize);
    out->maxThreadsPerMultiProcessor = 2048;
    out->sharedMemPerBlockOptin = (size_t)attribute_of(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    out->sharedMemPerMultiprocessor = out->sharedMemPerBlockOptin + 1024;
    out->maxBlocksPerMultiProcessor = 32;
    out->reservedSharedMemPerBlock = 1024;
    return cudaSuccess;
}

/* ---- virtual memory ---- */

static const size_t GRANULARITY = (size_t)2 << 20;

typedef struct Physical {
    struct Physical *next;
    size_t bytes;
    bool is_mapped, is_released; /* gone when released and not mapped */
    CUdeviceptr at;
    bool is_open; /* cuMemSetAccess */
} Physical;
static Physical *physicals;

typedef struct Range {
    struct Range *next;
    CUdeviceptr at;
    size_t bytes;
} Range;
static Range *ranges;

#define DRIVER_CALL(name)                                                                                    \
    Call call(#name);                                                                                        \
    if (call.error != cudaSuccess)                                                                           \
        return (CUresult)call.error;

CUresult cuMemGetAllocationGranularity(size_t *granularity, const CUmemAllocationProp *prop,
                                       CUmemAllocationGranularity_flags option) {
    DRIVER_CALL(cuMemGetAllocationGranularity)
    (void)option;
    if (prop->type != CU_MEM_ALLOCATION_TYPE_PINNED || prop->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
        return CUDA_ERROR_INVALID_VALUE;
    *granularity = GRANULARITY;
    return CUDA_SUCCESS;
}

CUresult cuMemAddressReserve(CUdeviceptr *out, size_t size, size_t alignment, CUdeviceptr address,
                             unsigned long long flags) {
    DRIVER_CALL(cuMemAddressReserve)
    if (!size || size % GRANULARITY || flags || alignment > GRANULARITY || address)
        return CUDA_ERROR_INVALID_VALUE;
    size_t room = size + GRANULARITY;
    char *raw = (char *)mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    size_t skip = (GRANULARITY - (uintptr_t)raw % GRANULARITY) % GRANULARITY;
    if (skip)
        munmap(raw, skip);
    if (GRANULARITY - skip)
        munmap(raw + skip + size, GRANULARITY - skip);
    Range *range = (Range *)calloc(1, sizeof *range);
    range->at = (CUdeviceptr)(uintptr_t)(raw + skip);
    range->bytes = size;
    range->next = ranges;
    ranges = range;
    *out = range->at;
    return CUDA_SUCCESS;
}

static Range *range_holding(CUdeviceptr at, size_t bytes) {
    for (Range *range = ranges; range; range = range->next)
        if (at >= range->at && at + bytes <= range->at + range->bytes)
            return range;
    return NULL;
}

CUresult cuMemAddressFree(CUdeviceptr at, size_t size) {
    Call call("cuMemAddressFree");
    for (const Physical *physical = physicals; physical; physical = physical->next)
        if (physical->is_mapped && physical->at < at + size && physical->at + physical->bytes > at)
            return CUDA_ERROR_INVALID_VALUE; /* still mapped */
    for (Range **link = &ranges; *link; link = &(*link)->next)
        if ((*link)->at == at && (*link)->bytes == size) {
            Range *range = *link;
            *link = range->next;
            munmap((void *)(uintptr_t)at, size);
            free(range);
            return (CUresult)call.error;
        }
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *out, size_t size, const CUmemAllocationProp *prop,
                     unsigned long long flags) {
    DRIVER_CALL(cuMemCreate)
    if (!size || size % GRANULARITY || flags || prop->type != CU_MEM_ALLOCATION_TYPE_PINNED ||
        prop->location.type != CU_MEM_LOCATION_TYPE_DEVICE || prop->location.id != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_take(size))
        return CUDA_ERROR_OUT_OF_MEMORY;
    Physical *physical = (Physical *)calloc(1, sizeof *physical);
    physical->bytes = size;
    physical->next = physicals;
    physicals = physical;
    emulated_device.counters.allocations++;
    *out = (CUmemGenericAllocationHandle)(uintptr_t)physical;
    return CUDA_SUCCESS;
}

static Physical *physical_of(CUmemGenericAllocationHandle handle) {
    for (Physical *physical = physicals; physical; physical = physical->next)
        if ((uintptr_t)physical == handle && !physical->is_released)
            return physical;
    return NULL;
}

static void drop_physical(Physical *gone) {
    if (!gone->is_released || gone->is_mapped)
        return;
    for (Physical **link = &physicals; *link; link = &(*link)->next)
        if (*link == gone) {
            *link = gone->next;
            break;
        }
    device_give(gone->bytes);
    emulated_device.counters.allocations--;
    free(gone);
}

/* The memory lives on while it is mapped. */
CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
    Call call("cuMemRelease");
    Physical *physical = physical_of(handle);
    if (!physical)
        return CUDA_ERROR_INVALID_VALUE;
    physical->is_released = true;
    drop_physical(physical);
    return (CUresult)call.error;
}

CUresult cuMemMap(CUdeviceptr at, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
    DRIVER_CALL(cuMemMap)
    Physical *physical = physical_of(handle);
    if (!physical || physical->bytes != size || offset || flags || !range_holding(at, size) ||
        at % GRANULARITY)
        return CUDA_ERROR_INVALID_VALUE;
    if (physical->is_mapped) /* twice: the emulated device cannot */
        return CUDA_ERROR_NOT_SUPPORTED;
    for (const Physical *other = physicals; other; other = other->next)
        if (other->is_mapped && other->at < at + size && other->at + other->bytes > at)
            return CUDA_ERROR_INVALID_VALUE;
    physical->is_mapped = true;
    physical->is_open = false;
    physical->at = at;
    return CUDA_SUCCESS;
}

CUresult cuMemSetAccess(CUdeviceptr at, size_t size, const CUmemAccessDesc *desc, size_t count) {
    DRIVER_CALL(cuMemSetAccess)
    if (count != 1 || desc->location.type != CU_MEM_LOCATION_TYPE_DEVICE || desc->location.id != 0 ||
        desc->flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
        return CUDA_ERROR_INVALID_VALUE;
    size_t covered = 0;
    for (const Physical *physical = physicals; physical; physical = physical->next)
        if (physical->is_mapped && physical->at >= at && physical->at + physical->bytes <= at + size)
            covered += physical->bytes;
    if (covered != size)
        return CUDA_ERROR_INVALID_VALUE;
    for (Physical *physical = physicals; physical; physical = physical->next) {
        if (!physical->is_mapped || physical->is_open || physical->at < at || physical->at >= at + size)
            continue;
        void *base = (void *)(uintptr_t)physical->at;
        if (mprotect(base, physical->bytes, PROT_READ | PROT_WRITE))
            return CUDA_ERROR_OUT_OF_MEMORY;
        memset(base, 0xFF, physical->bytes);
        memory_add(base, physical->bytes, NULL);
        physical->is_open = true;
    }
    return CUDA_SUCCESS;
}

CUresult cuMemUnmap(CUdeviceptr at, size_t size) {
    Call call("cuMemUnmap");
    device_drain();
    size_t covered = 0;
    for (Physical *physical = physicals, *next; physical; physical = next) {
        next = physical->next;
        if (!physical->is_mapped || physical->at < at || physical->at + physical->bytes > at + size)
            continue;
        covered += physical->bytes;
        void *base = (void *)(uintptr_t)physical->at;
        if (physical->is_open)
            memory_remove(memory_at(base));
        mmap(base, physical->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
             0);
        physical->is_mapped = physical->is_open = false;
        drop_physical(physical);
    }
    return covered == size ? (CUresult)call.error : CUDA_ERROR_INVALID_VALUE;
}

/* ---- entry points ---- */

/* The twins of the tensor copies may not be there. */
extern "C" __attribute__((weak)) CUresult
cuTensorMapEncodeTiled(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                       const cuuint64_t *, const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave,
                       CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static void *entry_point(const char *symbol) {
    const struct {
        const char *name;
        void *function;
    } entries[] = {
        {"cuGetErrorName", (void *)cuGetErrorName},
        {"cuGetErrorString", (void *)cuGetErrorString},
        {"cuMemAddressReserve", (void *)cuMemAddressReserve},
        {"cuMemAddressFree", (void *)cuMemAddressFree},
        {"cuMemCreate", (void *)cuMemCreate},
        {"cuMemRelease", (void *)cuMemRelease},
        {"cuMemMap", (void *)cuMemMap},
        {"cuMemUnmap", (void *)cuMemUnmap},
        {"cuMemSetAccess", (void *)cuMemSetAccess},
        {"cuMemGetAllocationGranularity", (void *)cuMemGetAllocationGranularity},
        {"cuTensorMapEncodeTiled", (void *)cuTensorMapEncodeTiled},
    };
    for (const auto &entry : entries)
        if (strcmp(entry.name, symbol) == 0)
            return entry.function;
    return NULL;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned int version,
                                             unsigned long long flags,
                                             enum cudaDriverEntryPointQueryResult *status) {
    CALL(cudaGetDriverEntryPoint)
    (void)version;
    (void)flags;
    if (presence() != cudaSuccess)
        return call_result(presence());
    *function = entry_point(symbol);
    if (status)
        *status = *function ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}
cudaError_t cudaGetDriverEntryPoint(const char *symbol, void **function, unsigned long long flags,
                                    enum cudaDriverEntryPointQueryResult *status) {
    return cudaGetDriverEntryPointByVersion(symbol, function, CUDART_VERSION, flags, status);
}
