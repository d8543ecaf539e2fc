/* Controls, the report, planted failures. */
#include "tests/emulator/runtime_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

Device emulated_device = {90, 1, 13000, (size_t)4 << 30, 0, cudaSuccess, 0, {}, 0, 0};

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char report[2048];
static bool is_quiet;
static __thread cudaError_t last_error;

/* ---- planted failures ---- */

typedef struct Planted {
    const char *name;
    int after, error; /* error 0: none */
} Planted;

static Planted planted[] = {
    {"cudaMalloc", 0, 0},
    {"cudaMallocHost", 0, 0},
    {"cudaHostAlloc", 0, 0},
    {"cudaFree", 0, 0},
    {"cudaFreeHost", 0, 0},
    {"cudaGetDeviceCount", 0, 0},
    {"cudaSetDevice", 0, 0},
    {"cudaInitDevice", 0, 0},
    {"cudaGetDeviceProperties", 0, 0},
    {"cudaDeviceGetAttribute", 0, 0},
    {"cudaDeviceSynchronize", 0, 0},
    {"cudaMemGetInfo", 0, 0},
    {"cudaMemcpy", 0, 0},
    {"cudaMemcpyAsync", 0, 0},
    {"cudaMemset", 0, 0},
    {"cudaMemsetAsync", 0, 0},
    {"cudaStreamCreateWithFlags", 0, 0},
    {"cudaStreamCreate", 0, 0},
    {"cudaStreamDestroy", 0, 0},
    {"cudaStreamSynchronize", 0, 0},
    {"cudaStreamQuery", 0, 0},
    {"cudaStreamWaitEvent", 0, 0},
    {"cudaEventCreate", 0, 0},
    {"cudaEventCreateWithFlags", 0, 0},
    {"cudaEventDestroy", 0, 0},
    {"cudaEventRecord", 0, 0},
    {"cudaEventSynchronize", 0, 0},
    {"cudaEventQuery", 0, 0},
    {"cudaEventElapsedTime", 0, 0},
    {"cudaLaunchKernel", 0, 0},
    {"cudaFuncSetAttribute", 0, 0},
    {"cudaFuncGetAttributes", 0, 0},
    {"cudaGraphCreate", 0, 0},
    {"cudaGraphAddKernelNode", 0, 0},
    {"cudaGraphInstantiate", 0, 0},
    {"cudaGraphUpload", 0, 0},
    {"cudaGraphExecKernelNodeSetParams", 0, 0},
    {"cudaGraphLaunch", 0, 0},
    {"cudaGetDriverEntryPoint", 0, 0},
    {"cuMemAddressReserve", 0, 0},
    {"cuMemAddressFree", 0, 0},
    {"cuMemCreate", 0, 0},
    {"cuMemRelease", 0, 0},
    {"cuMemMap", 0, 0},
    {"cuMemUnmap", 0, 0},
    {"cuMemSetAccess", 0, 0},
    {"cuMemGetAllocationGranularity", 0, 0},
};
static const size_t planted_count = sizeof planted / sizeof *planted;

static Planted *find_planted(const char *name) {
    for (size_t i = 0; i < planted_count; i++)
        if (strcmp(planted[i].name, name) == 0)
            return &planted[i];
    return NULL;
}

static cudaError_t take_planted(const char *name) {
    Planted *entry = find_planted(name);
    if (!entry || !entry->error || entry->after-- > 0)
        return cudaSuccess;
    cudaError_t error = (cudaError_t)entry->error;
    entry->error = 0;
    return error;
}

Call::Call(const char *name) {
    pthread_mutex_lock(&lock);
    error = emulated_device.lost != cudaSuccess ? emulated_device.lost : take_planted(name);
}
Call::~Call() {
    pthread_mutex_unlock(&lock);
}

cudaError_t call_result(cudaError_t error) {
    if (error != cudaSuccess && error != cudaErrorNotReady)
        last_error = error;
    return error;
}

cudaError_t cudaPeekAtLastError(void) {
    return emulated_device.lost != cudaSuccess ? emulated_device.lost : last_error;
}
cudaError_t cudaGetLastError(void) {
    cudaError_t error = cudaPeekAtLastError();
    last_error = cudaSuccess;
    return error;
}

void emulator_fail_next(const char *name, int after, int error) {
    Call call("");
    Planted *entry = find_planted(name);
    if (!entry) {
        fprintf(stderr, "emulator: nothing is called %s\n", name);
        abort();
    }
    entry->after = after;
    entry->error = error;
}

void emulator_fail_launch(int after, int error) {
    Call call("");
    emulated_device.fail_launch_after = after;
    emulated_device.fail_launch_error = error;
}

/* ---- settings ---- */

void emulator_set_seed(uint64_t seed) {
    Call call("");
    emulated_device.seed = seed;
}
uint64_t emulator_seed(void) {
    if (!emulated_device.seed) {
        const char *text = getenv("MUX_EMULATOR_SEED");
        emulated_device.seed = text && *text ? strtoull(text, NULL, 0) : 1;
    }
    return emulated_device.seed;
}
void emulator_set_capability(int capability) {
    Call call("");
    emulated_device.capability = capability;
}
int emulated_capability(void) {
    return emulated_device.capability;
}
void emulator_set_memory(size_t bytes) {
    Call call("");
    emulated_device.memory = bytes;
}
void emulator_set_devices(int count) {
    Call call("");
    emulated_device.count = count;
}
void emulator_set_driver(int version) {
    Call call("");
    emulated_device.driver = version;
}
void emulator_counters(EmulatorCounters *out) {
    Call call("");
    *out = emulated_device.counters;
    out->bytes = emulated_device.used;
}

void emulator_reset(void) {
    Call call("");
    device_drop_work();
    Device *device = &emulated_device;
    EmulatorCounters *counters = &device->counters;
    device->capability = 90;
    device->count = 1;
    device->driver = 13000;
    device->memory = (size_t)4 << 30;
    device->seed = 0;
    counters->launches = counters->graph_launches = counters->graphs_instantiated = counters->copies = 0;
    device->fail_launch_error = 0;
    for (size_t i = 0; i < planted_count; i++)
        planted[i].error = 0;
    is_quiet = false;
    emulator_clear_report();
}

/* ---- the report ---- */

void report_set(const char *text) {
    if (!*report)
        snprintf(report, sizeof report, "%s", text);
    if (!is_quiet)
        fprintf(stderr, "%s\n", text);
}
const char *emulator_report(void) {
    return report;
}
void emulator_clear_report(void) {
    Call call("");
    report[0] = 0;
    emulated_device.lost = cudaSuccess;
    last_error = cudaSuccess;
}
void emulator_set_loud(bool loud) {
    is_quiet = !loud;
}
void emulator_library_fault(const char *text) {
    Call call("");
    report_set(text);
    emulated_device.lost = cudaErrorLaunchFailure;
}
