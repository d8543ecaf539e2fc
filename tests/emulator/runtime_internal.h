/* The emulated device as the runtime and the driver calls share it. Everything under one lock. */
#ifndef MUX_TESTS_EMULATOR_RUNTIME_INTERNAL_H
#define MUX_TESTS_EMULATOR_RUNTIME_INTERNAL_H

#include "cuda_runtime_api.h"
#include "tests/emulator/control.h"
#include "tests/emulator/emulator_internal.h"

typedef struct Device {
    int capability, count, driver;
    size_t memory, used;
    cudaError_t lost; /* the failure after which nothing works */
    uint64_t seed;
    EmulatorCounters counters;
    int fail_launch_after, fail_launch_error; /* error 0: none */
} Device;
extern Device emulated_device;

/* Begins a call: takes the lock (released at the end of the scope), and says whether the call shall fail. */
typedef struct Call {
    cudaError_t error; /* planted, or of a lost device */
    explicit Call(const char *name);
    ~Call();
} Call;

/* Remembers the error for cudaGetLastError. */
cudaError_t call_result(cudaError_t error);
/* Takes or gives back device memory; false when there is not that much. */
bool device_take(size_t bytes);
void device_give(size_t bytes);
/* Everything given to any stream runs. */
void device_drain(void);
void device_drop_work(void);

#endif
