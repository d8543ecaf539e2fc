/* The CUDA backend of a program that was built without one: it says so. */
#include "kernels/backend_internal.h"

static const char WHY[] = "this program was built without CUDA";

static Backend *absent_open(const BackendConfig *config, KernelError *error) {
    (void)config;
    kernel_error_set(error, "%s", WHY);
    return NULL;
}

const BackendKind CUDA_BACKEND = {.name = "cuda", .open = absent_open};

int cuda_devices(DeviceInfo *out, int capacity, KernelError *why) {
    (void)out;
    (void)capacity;
    kernel_error_set(why, "%s", WHY);
    return 0;
}
