/* Which GPUs there are, what they are, and why there is none. */
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/cuda_internal.h"

static int attribute(int device, enum cudaDeviceAttr which) {
    int value = 0;
    if (cudaDeviceGetAttribute(&value, which, device) != cudaSuccess) {
        cudaGetLastError();
        return 0;
    }
    return value;
}

static bool explain(cudaError_t status, KernelError *why) {
    int driver = 0;
    cudaGetLastError();
    if (cudaDriverGetVersion(&driver) != cudaSuccess)
        driver = 0;
    cudaGetLastError();
    switch (status) {
    case cudaErrorNoDevice: return kernel_error_set(why, "there is no NVIDIA GPU that this program may use");
    case cudaErrorInsufficientDriver:
        if (driver)
            return kernel_error_set(
                why, "the NVIDIA driver is too old: it serves CUDA %d.%d, this program needs %d.%d",
                driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
        return kernel_error_set(why, "there is no NVIDIA driver on this machine");
    default: return kernel_error_set(why, "CUDA does not start: %s", cudaGetErrorString(status));
    }
}

bool device_facts(int device, DeviceInfo *out, char *name, size_t name_bytes, KernelError *why) {
    struct cudaDeviceProp properties;
    cudaError_t status = cudaGetDeviceProperties(&properties, device);
    if (status != cudaSuccess)
        return explain(status, why);
    int major = attribute(device, cudaDevAttrComputeCapabilityMajor);
    int minor = attribute(device, cudaDevAttrComputeCapabilityMinor);
    *out = (DeviceInfo){
        .name = "cuda",
        .memory_bytes = properties.totalGlobalMem,
        .kv_types = UINT64_C(1) << DTYPE_F32 | UINT64_C(1) << DTYPE_F16 | UINT64_C(1) << DTYPE_BF16 |
                    UINT64_C(1) << DTYPE_Q8_0,
        .kv_page_rows = 64,
        .compute_capability = major * 10 + minor,
        .processors = attribute(device, cudaDevAttrMultiProcessorCount),
        .clock_mhz = attribute(device, cudaDevAttrClockRate) / 1000,
        .memory_clock_mhz = attribute(device, cudaDevAttrMemoryClockRate) / 1000,
    };
    snprintf(name, name_bytes, "%s", properties.name);
    snprintf(out->description, sizeof out->description, "cuda, %.70s, compute %d.%d, %d SMs", name, major,
             minor, out->processors);
    return true;
}

/* Asking wakes the device: some tenths of a second, which those pay who ask for facts. */
static void read_free_memory(int device, DeviceInfo *out) {
    int before = 0;
    size_t available, total;
    if (cudaGetDevice(&before) == cudaSuccess && cudaSetDevice(device) == cudaSuccess) {
        if (cudaMemGetInfo(&available, &total) == cudaSuccess)
            out->memory_free = available;
        cudaSetDevice(before);
    }
    cudaGetLastError();
}

int cuda_devices(DeviceInfo *out, int capacity, KernelError *why) {
    int count = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count == 0) {
        explain(status == cudaSuccess ? cudaErrorNoDevice : status, why);
        return 0;
    }
    char name[96];
    for (int i = 0; i < count && i < capacity; i++) {
        if (!device_facts(i, &out[i], name, sizeof name, why))
            return i;
        read_free_memory(i, &out[i]);
    }
    return count;
}

/* Copies a buffer that no cache holds, within the device: every byte is read once and written once. */
double device_bandwidth(Backend *backend) {
    enum { ROUNDS = 8 };
    CudaBackend *cuda = cuda_enter(backend);
    size_t bytes = (size_t)1 << 30, available = 0, total = 0;
    if (cudaMemGetInfo(&available, &total) != cudaSuccess || available < 64)
        return 0;
    if (bytes > available / 8)
        bytes = available / 8 / 256 * 256;
    void *buffers[2] = {NULL, NULL};
    cudaEvent_t events[2] = {NULL, NULL};
    cudaStream_t stream = queue_stream(cuda->queue);
    bool ok = cudaMalloc(&buffers[0], bytes) == cudaSuccess &&
              cudaMalloc(&buffers[1], bytes) == cudaSuccess &&
              cudaEventCreateWithFlags(&events[0], cudaEventDefault) == cudaSuccess &&
              cudaEventCreateWithFlags(&events[1], cudaEventDefault) == cudaSuccess &&
              cudaMemsetAsync(buffers[0], 1, bytes, stream) == cudaSuccess;
    double best = 0;
    for (int i = 0; ok && i < ROUNDS; i++) {
        float milliseconds = 0;
        ok =
            cudaEventRecord(events[0], stream) == cudaSuccess &&
            cudaMemcpyAsync(buffers[1], buffers[0], bytes, cudaMemcpyDeviceToDevice, stream) == cudaSuccess &&
            cudaEventRecord(events[1], stream) == cudaSuccess &&
            cudaEventSynchronize(events[1]) == cudaSuccess &&
            cudaEventElapsedTime(&milliseconds, events[0], events[1]) == cudaSuccess;
        double rate = milliseconds > 0 ? 2e3 * (double)bytes / (double)milliseconds : 0;
        if (i > 0 && rate > best) /* the first round wakes the clocks */
            best = rate;
    }
    for (int i = 0; i < 2; i++) {
        if (events[i])
            cudaEventDestroy(events[i]);
        cudaFree(buffers[i]);
    }
    cudaGetLastError();
    return ok ? best : 0;
}
