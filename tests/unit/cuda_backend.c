/* The CUDA backend as the engine uses it: memory, weights, steps, failures. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda_internal.h"
#include "tests/unit/kernels_support.h"

static Backend *open_cuda(void) {
    KernelError error;
    Backend *cuda = backend_open(&(BackendConfig){.name = "cuda"}, &error);
    CHECK_MSG(cuda != NULL, "%s", error.text);
    return cuda;
}

static void wait_for(Backend *backend) {
    KernelError error;
    CHECK_MSG(backend_wait(backend, &error), "%s", error.text);
}

static void info_names_the_device(void) {
    Backend *cuda = open_cuda();
    DeviceInfo info;
    backend_info(cuda, &info);
    CHECK(strcmp(info.name, "cuda") == 0);
    CHECK(!info.is_host);
    CHECK(info.compute_capability >= 80);
    CHECK(info.processors > 0);
    CHECK(info.memory_free > 0 && info.memory_free <= info.memory_bytes);
    CHECK(info.kv_page_rows > 0);
    backend_close(cuda);
}

static void copies_come_back(void) {
    Backend *cuda = open_cuda();
    enum { BYTES = 700001 };
    uint8_t *sent = malloc(BYTES), *back = malloc(BYTES);
    CHECK(sent && back);
    for (int i = 0; i < BYTES; i++)
        sent[i] = (uint8_t)test_random();
    Mem mem;
    CHECK(backend_alloc(cuda, BYTES, &mem));
    CHECK((uintptr_t)mem.address % 256 == 0);
    backend_get(cuda, back, mem, 0, BYTES);
    wait_for(cuda);
    for (int i = 0; i < BYTES; i++)
        CHECK(back[i] == 0);
    for (int at = 0, n = 1; at < BYTES; at += n, n = n * 7 % 300000 + 1) {
        if (n > BYTES - at)
            n = BYTES - at;
        backend_put(cuda, mem, (size_t)at, sent + at, (size_t)n);
    }
    backend_get(cuda, back, mem, 0, BYTES);
    wait_for(cuda);
    CHECK(memcmp(sent, back, BYTES) == 0);
    backend_free(cuda, &mem);
    backend_close(cuda);
    free(sent);
    free(back);
}

static const TestCase CASES[] = {
    {"info names the device", info_names_the_device},
    {"copies come back", copies_come_back},
};
TEST_SUITE(CUDA_BACKEND_SUITE, "backend", CASES);
