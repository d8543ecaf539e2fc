/* What the backend takes from the device and gives back. Every block of the user's memory is in one list, so
 * that the counts are exact and closing returns also what was forgotten.
 */
#include <stdlib.h>

#include "kernels/cuda/cuda_internal.h"

struct Block {
    Block *next, *before;
    void *base;
    size_t taken;    /* bytes of device memory */
    size_t reserved; /* addresses of a range that grows; 0 = a plain block */
};

static size_t round_up(size_t bytes, size_t step) {
    return (bytes + step - 1) / step * step;
}

bool memory_open(CudaBackend *cuda, KernelError *error) {
    cudaError_t status = cudaStreamCreateWithFlags(&cuda->memory_stream, cudaStreamNonBlocking);
    if (status != cudaSuccess)
        return kernel_error_set(error, "CUDA failed while opening a stream: %s", cudaGetErrorString(status));
    return virtual_open(&cuda->virtual_memory, queue_device(cuda->queue), error);
}

/* ---- blocks ---- */

static void link_block(CudaBackend *cuda, Block *block) {
    block->next = cuda->blocks;
    if (block->next)
        block->next->before = block;
    cuda->blocks = block;
    cuda->held += block->taken;
}

static void unlink_block(CudaBackend *cuda, Block *block) {
    if (block->before)
        block->before->next = block->next;
    else
        cuda->blocks = block->next;
    if (block->next)
        block->next->before = block->before;
    cuda->held -= block->taken;
}

static void release_block(CudaBackend *cuda, Block *block) {
    if (block->reserved) {
        cudaStreamSynchronize(queue_stream(cuda->queue)); /* unmapping does not wait for kernels by itself */
        virtual_free(&cuda->virtual_memory, block->base, block->reserved, block->taken);
    } else {
        cudaFree(block->base);
    }
    cudaGetLastError(); /* a lost device refuses, and took everything with it */
    free(block);
}

void memory_close(CudaBackend *cuda) {
    while (cuda->blocks) {
        Block *block = cuda->blocks;
        unlink_block(cuda, block);
        release_block(cuda, block);
    }
    for (int i = 0; i < WORK_COUNT; i++)
        if (cuda->work[i].address)
            cudaFree(cuda->work[i].address);
    if (cuda->memory_stream)
        cudaStreamDestroy(cuda->memory_stream);
    cudaGetLastError();
}

/* On a stream of its own: the step that may be running is not waited for. */
static bool fill_with_zeros(CudaBackend *cuda, void *at, size_t bytes) {
    bool ok = cudaMemsetAsync(at, 0, bytes, cuda->memory_stream) == cudaSuccess &&
              cudaStreamSynchronize(cuda->memory_stream) == cudaSuccess;
    if (!ok)
        cudaGetLastError();
    return ok;
}

bool memory_alloc(Backend *backend, size_t bytes, Mem *out) {
    CudaBackend *cuda = cuda_enter(backend);
    Block *block = calloc(1, sizeof *block);
    if (!block)
        return false;
    block->taken = round_up(bytes ? bytes : 1, 512);
    if (cudaMalloc(&block->base, block->taken) != cudaSuccess) {
        cudaGetLastError();
        free(block);
        return false;
    }
    pthread_mutex_lock(&cuda->lock);
    bool ok = fill_with_zeros(cuda, block->base, block->taken);
    if (ok)
        link_block(cuda, block);
    pthread_mutex_unlock(&cuda->lock);
    if (!ok) {
        release_block(cuda, block);
        return false;
    }
    *out = (Mem){block->base, bytes, block};
    return true;
}

bool memory_reserve(Backend *backend, size_t most, Mem *out) {
    CudaBackend *cuda = cuda_enter(backend);
    Block *block = calloc(1, sizeof *block);
    if (!block)
        return false;
    block->reserved = round_up(most ? most : 1, cuda->virtual_memory.granularity);
    block->base = virtual_reserve(&cuda->virtual_memory, block->reserved);
    if (!block->base) {
        free(block);
        return false;
    }
    pthread_mutex_lock(&cuda->lock);
    link_block(cuda, block);
    pthread_mutex_unlock(&cuda->lock);
    *out = (Mem){block->base, 0, block};
    return true;
}

bool memory_commit(Backend *backend, Mem *mem, size_t bytes) {
    CudaBackend *cuda = cuda_enter(backend);
    Block *block = mem->owner;
    if (bytes > block->reserved)
        return false;
    pthread_mutex_lock(&cuda->lock);
    size_t wanted = round_up(bytes, cuda->virtual_memory.granularity), more = 0;
    bool ok = true;
    if (wanted > block->taken) {
        more = wanted - block->taken;
        void *at = (char *)block->base + block->taken;
        ok = virtual_map(&cuda->virtual_memory, at, more);
        if (ok) { /* what is mapped stays, even when it could not be cleared: it goes with the range */
            block->taken = wanted;
            cuda->held += more;
            ok = fill_with_zeros(cuda, at, more);
        }
    }
    if (ok)
        mem->bytes = bytes;
    pthread_mutex_unlock(&cuda->lock);
    return ok;
}

void memory_free(Backend *backend, Mem *mem) {
    CudaBackend *cuda = cuda_enter(backend);
    Block *block = mem->owner;
    pthread_mutex_lock(&cuda->lock);
    unlink_block(cuda, block);
    pthread_mutex_unlock(&cuda->lock);
    release_block(cuda, block);
}

void memory_no_room(Backend *backend, size_t bytes, KernelError *out) {
    CudaBackend *cuda = cuda_enter(backend);
    size_t available = 0, total = 0;
    if (cudaMemGetInfo(&available, &total) != cudaSuccess)
        cudaGetLastError();
    kernel_error_room(out, bytes, available, cuda->device_name);
}

void memory_counts(const Backend *backend, size_t *held, size_t *own) {
    CudaBackend *cuda = (CudaBackend *)(uintptr_t)backend;
    pthread_mutex_lock(&cuda->lock);
    *held = cuda->held;
    pthread_mutex_unlock(&cuda->lock);
    *own = atomic_load(&cuda->own);
}

/* ---- working space ---- */

/* The old buffer may be in use by what was started or collected: both are waited for. */
static bool let_go(CudaBackend *cuda, WorkSpace *space) {
    queue_replay(cuda->queue);
    if (!queue_check(cuda->queue, cudaStreamSynchronize(queue_stream(cuda->queue)), "growing a workspace"))
        return false;
    cudaFree(space->address);
    atomic_fetch_sub(&cuda->own, space->bytes);
    *space = (WorkSpace){0};
    return true;
}

void *work_space(CudaBackend *cuda, Work work, size_t bytes) {
    WorkSpace *space = &cuda->work[work];
    if (bytes <= space->bytes)
        return space->address;
    if (queue_has_failed(cuda->queue) || (space->address && !let_go(cuda, space)))
        return NULL;
    bytes = round_up(bytes, bytes < 1 << 20 ? 4096 : 1 << 20);
    if (cudaMalloc(&space->address, bytes) != cudaSuccess) {
        cudaGetLastError();
        KernelError room;
        memory_no_room(&cuda->base, bytes, &room);
        queue_fail(cuda->queue, "no room to work in: %s", room.text);
        space->address = NULL;
        return NULL;
    }
    space->bytes = bytes;
    atomic_fetch_add(&cuda->own, bytes);
    return space->address;
}
