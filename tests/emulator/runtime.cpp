/* The CUDA runtime on the emulated device. What is given to a stream is kept and runs, in order, when
 * somebody waits for it: results are stale until then, and host memory read too late is read too late here.
 */
#include "tests/emulator/runtime_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- streams ---- */

typedef enum WorkKind { WORK_LAUNCH, WORK_COPY, WORK_SET, WORK_RECORD, WORK_WAIT, WORK_LIBRARY } WorkKind;

typedef struct Work {
    struct Work *next;
    WorkKind kind;
    const EmulatedKernel *kernel; /* arguments lie in bytes */
    dim3 grid, block;
    size_t shared_bytes;
    void *to;
    const void *from; /* NULL: from bytes */
    size_t count;
    int value;
    cudaEvent_t event;
    uint64_t ticket; /* which record of the event */
    void (*library)(void *);
    void *argument;
    unsigned char *bytes;
} Work;

struct CUstream_st {
    struct CUstream_st *next;
    bool is_blocking; /* in step with the default stream */
    bool is_running;
    Work *first, *last;
};

struct CUevent_st {
    bool has_timing;
    uint64_t given, done; /* records */
    cudaStream_t stream;  /* of the last one */
    double at;
};

static struct CUstream_st default_stream = {NULL, true, false, NULL, NULL};
static cudaStream_t streams = &default_stream;

static cudaStream_t stream_of(cudaStream_t stream) {
    return stream ? stream : &default_stream;
}

static void lose(int error) {
    if (emulated_device.lost == cudaSuccess)
        emulated_device.lost = (cudaError_t)error;
}

static void run_kernel(const Work *work) {
    Device *device = &emulated_device;
    device->counters.launches++;
    if (device->fail_launch_error && device->fail_launch_after-- == 0) {
        int error = device->fail_launch_error;
        device->fail_launch_error = 0;
        lose(error);
        return;
    }
    int error = emulated_launch(work->kernel, work->bytes, {work->grid.x, work->grid.y, work->grid.z},
                                {work->block.x, work->block.y, work->block.z}, work->shared_bytes);
    if (error)
        lose(error);
}

static void stream_drain(cudaStream_t stream, cudaEvent_t until, uint64_t ticket);

static void run_work(Work *work) {
    switch (work->kind) {
    case WORK_LAUNCH: run_kernel(work); break;
    case WORK_COPY:
        memmove(work->to, work->from ? work->from : work->bytes, work->count);
        if (work->from && memory_covers(work->from, work->count))
            memory_copy_written(work->to, work->from, work->count);
        else
            memory_set_written(work->to, work->count);
        break;
    case WORK_SET:
        memset(work->to, work->value, work->count);
        memory_set_written(work->to, work->count);
        break;
    case WORK_RECORD:
        work->event->done = work->ticket;
        work->event->at = seconds();
        break;
    case WORK_WAIT:
        if (work->event->done < work->ticket)
            stream_drain(work->event->stream, work->event, work->ticket);
        break;
    case WORK_LIBRARY: work->library(work->argument); break;
    }
}

static void work_free(Work *work) {
    if (work->kind == WORK_LIBRARY)
        free(work->argument);
    free(work->bytes);
    free(work);
}

/* Runs what was given, all of it or until the event's record. */
static void stream_drain(cudaStream_t stream, cudaEvent_t until, uint64_t ticket) {
    if (stream->is_running) /* two streams that wait for each other */
        return;
    stream->is_running = true;
    while (stream->first && !(until && until->done >= ticket)) {
        Work *work = stream->first;
        stream->first = work->next;
        if (!stream->first)
            stream->last = NULL;
        if (emulated_device.lost == cudaSuccess)
            run_work(work);
        else if (work->kind == WORK_RECORD)
            work->event->done = work->ticket;
        work_free(work);
    }
    stream->is_running = false;
}

void device_drain(void) {
    for (cudaStream_t stream = streams; stream; stream = stream->next)
        stream_drain(stream, NULL, 0);
}

void device_drop_work(void) {
    cudaError_t lost = emulated_device.lost;
    emulated_device.lost = cudaErrorUnknown;
    device_drain();
    emulated_device.lost = lost;
}

/* The default stream and the blocking ones wait for one another. */
static void order_with_default(cudaStream_t stream) {
    if (!stream->is_blocking)
        return;
    if (stream != &default_stream) {
        stream_drain(&default_stream, NULL, 0);
        return;
    }
    for (cudaStream_t other = streams; other; other = other->next)
        if (other != stream && other->is_blocking)
            stream_drain(other, NULL, 0);
}

static Work *work_new(cudaStream_t stream, WorkKind kind, const void *bytes, size_t count) {
    order_with_default(stream);
    Work *work = (Work *)calloc(1, sizeof *work);
    work->kind = kind;
    if (bytes) {
        work->bytes = (unsigned char *)malloc(count + 1);
        memcpy(work->bytes, bytes, count);
    }
    if (stream->last)
        stream->last->next = work;
    else
        stream->first = work;
    stream->last = work;
    return work;
}

/* The result of a call that waited: a failure found meanwhile. */
static cudaError_t waited(void) {
    return call_result(emulated_device.lost);
}

#define CALL(name)                                                                                           \
    Call call(#name);                                                                                        \
    if (call.error != cudaSuccess)                                                                           \
        return call_result(call.error);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned int flags) {
    CALL(cudaStreamCreateWithFlags)
    if (!out || flags > cudaStreamNonBlocking)
        return call_result(cudaErrorInvalidValue);
    cudaStream_t stream = (cudaStream_t)calloc(1, sizeof *stream);
    stream->is_blocking = !(flags & cudaStreamNonBlocking);
    stream->next = default_stream.next;
    default_stream.next = stream;
    emulated_device.counters.streams++;
    *out = stream;
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *out) {
    CALL(cudaStreamCreate)
    return cudaStreamCreateWithFlags(out, cudaStreamDefault);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    Call call("cudaStreamDestroy");
    if (!stream)
        return call_result(cudaErrorInvalidResourceHandle);
    stream_drain(stream, NULL, 0);
    for (cudaStream_t *at = &default_stream.next; *at; at = &(*at)->next)
        if (*at == stream) {
            *at = stream->next;
            free(stream);
            emulated_device.counters.streams--;
            return call_result(call.error);
        }
    return call_result(cudaErrorInvalidResourceHandle);
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    CALL(cudaStreamSynchronize)
    stream_drain(stream_of(stream), NULL, 0);
    return waited();
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
    CALL(cudaStreamQuery)
    stream_drain(stream_of(stream), NULL, 0);
    return waited();
}
cudaError_t cudaDeviceSynchronize(void) {
    CALL(cudaDeviceSynchronize)
    device_drain();
    return waited();
}

int emulator_enqueue(EmulatorStream stream, void (*work)(void *), void *argument) {
    Call call("");
    if (call.error != cudaSuccess) {
        free(argument);
        return call.error;
    }
    Work *entry = work_new(stream_of(stream), WORK_LIBRARY, NULL, 0);
    entry->library = work;
    entry->argument = argument;
    return cudaSuccess;
}

/* ---- events ---- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned int flags) {
    CALL(cudaEventCreateWithFlags)
    cudaEvent_t event = (cudaEvent_t)calloc(1, sizeof *event);
    event->has_timing = !(flags & cudaEventDisableTiming);
    emulated_device.counters.events++;
    *out = event;
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *out) {
    CALL(cudaEventCreate)
    return cudaEventCreateWithFlags(out, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    Call call("cudaEventDestroy");
    if (!event)
        return call_result(cudaErrorInvalidResourceHandle);
    device_drain(); /* nobody names it any more */
    free(event);
    emulated_device.counters.events--;
    return call_result(call.error);
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    CALL(cudaEventRecord)
    Work *work = work_new(stream_of(stream), WORK_RECORD, NULL, 0);
    work->event = event;
    work->ticket = ++event->given;
    event->stream = stream_of(stream);
    return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags) {
    CALL(cudaStreamWaitEvent)
    if (!event || flags)
        return call_result(cudaErrorInvalidValue);
    if (event->done == event->given)
        return cudaSuccess;
    Work *work = work_new(stream_of(stream), WORK_WAIT, NULL, 0);
    work->event = event;
    work->ticket = event->given;
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    CALL(cudaEventSynchronize)
    if (event->done < event->given)
        stream_drain(event->stream, event, event->given);
    return waited();
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
    CALL(cudaEventQuery)
    return cudaEventSynchronize(event);
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end) {
    CALL(cudaEventElapsedTime)
    if (!start->has_timing || !end->has_timing || !start->given || !end->given)
        return call_result(cudaErrorInvalidResourceHandle);
    if (start->done < start->given || end->done < end->given)
        return cudaErrorNotReady;
    *ms = (float)((end->at - start->at) * 1e3);
    return cudaSuccess;
}

/* ---- memory ---- */

bool device_take(size_t bytes) {
    if (bytes > emulated_device.memory || emulated_device.used > emulated_device.memory - bytes)
        return false;
    emulated_device.used += bytes;
    return true;
}
void device_give(size_t bytes) {
    emulated_device.used -= bytes;
}

static size_t rounded(size_t bytes) {
    return (bytes + 511) / 512 * 512;
}

static const size_t RED_ZONE = 512; /* on both sides */

cudaError_t cudaMalloc(void **out, size_t size) {
    CALL(cudaMalloc)
    if (!out)
        return call_result(cudaErrorInvalidValue);
    *out = NULL;
    if (size == 0)
        return cudaSuccess;
    if (size > SIZE_MAX / 2 || !device_take(size))
        return call_result(cudaErrorMemoryAllocation);
    char *raw = (char *)aligned_alloc(256, rounded(size) + 2 * RED_ZONE);
    if (!raw) {
        device_give(size);
        return call_result(cudaErrorMemoryAllocation);
    }
    memset(raw, 0xFF, rounded(size) + 2 * RED_ZONE); /* NaN for whoever reads on */
    memory_add(raw + RED_ZONE, size, raw);
    emulated_device.counters.allocations++;
    *out = raw + RED_ZONE;
    return cudaSuccess;
}
cudaError_t cudaFree(void *pointer) {
    Call call("cudaFree");
    if (!pointer)
        return call_result(call.error);
    device_drain();
    Allocation *allocation = memory_at(pointer);
    if (!allocation || !allocation->raw)
        return call_result(cudaErrorInvalidValue);
    device_give(allocation->bytes);
    memory_remove(allocation);
    emulated_device.counters.allocations--;
    return call_result(call.error);
}
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
    CALL(cudaMemGetInfo)
    *total = emulated_device.memory;
    *free_bytes =
        emulated_device.memory < emulated_device.used ? 0 : emulated_device.memory - emulated_device.used;
    return cudaSuccess;
}

typedef struct Pinned {
    struct Pinned *next;
    char *base;
    size_t bytes;
} Pinned;
static Pinned *pinned;

bool memory_is_pinned(const void *at) {
    for (const Pinned *block = pinned; block; block = block->next)
        if ((uintptr_t)at - (uintptr_t)block->base < block->bytes)
            return true;
    return false;
}

cudaError_t cudaHostAlloc(void **out, size_t size, unsigned int flags) {
    CALL(cudaHostAlloc)
    (void)flags;
    Pinned *block = (Pinned *)calloc(1, sizeof *block);
    block->base = (char *)aligned_alloc(4096, (size + 4095) / 4096 * 4096 + 4096);
    block->bytes = size;
    memset(block->base, 0xFF, size);
    block->next = pinned;
    pinned = block;
    emulated_device.counters.pinned_bytes += size;
    *out = block->base;
    return cudaSuccess;
}
cudaError_t cudaMallocHost(void **out, size_t size) {
    CALL(cudaMallocHost)
    return cudaHostAlloc(out, size, cudaHostAllocDefault);
}
cudaError_t cudaFreeHost(void *pointer) {
    Call call("cudaFreeHost");
    if (!pointer)
        return call_result(call.error);
    device_drain();
    for (Pinned **at = &pinned; *at; at = &(*at)->next)
        if ((*at)->base == pointer) {
            Pinned *block = *at;
            *at = block->next;
            emulated_device.counters.pinned_bytes -= block->bytes;
            free(block->base);
            free(block);
            return call_result(call.error);
        }
    return call_result(cudaErrorInvalidValue);
}

/* Whether [at, at + count) is device memory (1), host memory (0), or partly outside an allocation (-1). */
static int place_of(const void *at, size_t count) {
    if (memory_covers(at, count))
        return 1;
    return memory_covers(at, 1) ? -1 : 0;
}

static cudaError_t check_copy(const void *to, const void *from, size_t count, enum cudaMemcpyKind kind) {
    if (!to || !from)
        return cudaErrorInvalidValue;
    int to_device = place_of(to, count), from_device = place_of(from, count);
    if (to_device < 0 || from_device < 0)
        return cudaErrorInvalidValue;
    if (kind == cudaMemcpyDefault)
        return cudaSuccess;
    bool wants_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool wants_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    return wants_to == (to_device == 1) && wants_from == (from_device == 1) ? cudaSuccess
                                                                            : cudaErrorInvalidValue;
}

static cudaError_t copy(void *to, const void *from, size_t count, enum cudaMemcpyKind kind,
                        cudaStream_t stream, bool wait) {
    if (count == 0)
        return cudaSuccess;
    cudaError_t error = check_copy(to, from, count, kind);
    if (error != cudaSuccess)
        return call_result(error);
    emulated_device.counters.copies++;
    bool from_host = place_of(from, count) == 0, to_host = place_of(to, count) == 0;
    bool is_staged = from_host && !memory_is_pinned(from); /* pageable: taken at the call */
    Work *work = work_new(stream, WORK_COPY, is_staged ? from : NULL, count);
    work->to = to;
    work->from = is_staged ? NULL : from;
    work->count = count;
    if (wait || (to_host && !memory_is_pinned(to))) {
        stream_drain(stream, NULL, 0);
        return waited();
    }
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t count, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    CALL(cudaMemcpyAsync)
    return copy(to, from, count, kind, stream_of(stream), false);
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t count, enum cudaMemcpyKind kind) {
    CALL(cudaMemcpy)
    return copy(to, from, count, kind, &default_stream, true);
}

static cudaError_t set(void *to, int value, size_t count, cudaStream_t stream) {
    if (count == 0)
        return cudaSuccess;
    if (place_of(to, count) != 1)
        return call_result(cudaErrorInvalidValue);
    Work *work = work_new(stream, WORK_SET, NULL, 0);
    work->to = to;
    work->value = value;
    work->count = count;
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t count, cudaStream_t stream) {
    CALL(cudaMemsetAsync)
    return set(to, value, count, stream_of(stream));
}
cudaError_t cudaMemset(void *to, int value, size_t count) {
    CALL(cudaMemset)
    return set(to, value, count, &default_stream);
}

/* ---- kernels ---- */

static size_t shared_limit(void) {
    int capability = emulated_device.capability;
    if (capability == 80 || capability == 87)
        return 163 * 1024;
    if (capability >= 90 && capability < 120)
        return 227 * 1024;
    return 99 * 1024;
}

static EmulatedKernel *kernel_of(const void *function) {
    EmulatedKernel *kernel = (EmulatedKernel *)(uintptr_t)function;
    return kernel && kernel->magic == EMULATED_KERNEL_MAGIC ? kernel : NULL;
}

static cudaError_t check_launch(const EmulatedKernel *kernel, dim3 grid, dim3 block, size_t shared_bytes) {
    if (!kernel)
        return cudaErrorInvalidDeviceFunction;
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    if (threads == 0 || threads > (uint64_t)MOST_THREADS || block.x > 1024 || block.y > 1024 || block.z > 64)
        return cudaErrorInvalidConfiguration;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7FFFFFFF || grid.y > 65535 || grid.z > 65535)
        return cudaErrorInvalidConfiguration;
    size_t allowed = kernel->shared_allowed ? (size_t)kernel->shared_allowed : 48 * 1024;
    if (allowed > shared_limit())
        allowed = shared_limit();
    if (shared_bytes > allowed)
        return cudaErrorInvalidValue;
    return kernel->argument_bytes > 4096 ? cudaErrorInvalidValue : cudaSuccess;
}

static void give_launch(cudaStream_t stream, const EmulatedKernel *kernel, dim3 grid, dim3 block,
                        const void *arguments, size_t shared_bytes) {
    Work *work = work_new(stream, WORK_LAUNCH, arguments, kernel->argument_bytes);
    work->kernel = kernel;
    work->grid = grid;
    work->block = block;
    work->shared_bytes = shared_bytes;
}

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments,
                             size_t shared_bytes, cudaStream_t stream) {
    CALL(cudaLaunchKernel)
    const EmulatedKernel *kernel = kernel_of(function);
    cudaError_t error = check_launch(kernel, grid, block, shared_bytes);
    if (error != cudaSuccess)
        return call_result(error);
    give_launch(stream_of(stream), kernel, grid, block, arguments[0], shared_bytes);
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value) {
    CALL(cudaFuncSetAttribute)
    EmulatedKernel *kernel = kernel_of(function);
    if (!kernel)
        return call_result(cudaErrorInvalidDeviceFunction);
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize)
        return cudaSuccess;
    if (value < 0 || (size_t)value > shared_limit())
        return call_result(cudaErrorInvalidValue);
    kernel->shared_allowed = value;
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *out, const void *function) {
    CALL(cudaFuncGetAttributes)
    const EmulatedKernel *kernel = kernel_of(function);
    if (!kernel)
        return call_result(cudaErrorInvalidDeviceFunction);
    memset(out, 0, sizeof *out);
    out->maxThreadsPerBlock = MOST_THREADS;
    out->binaryVersion = out->ptxVersion = emulated_device.capability;
    out->maxDynamicSharedSizeBytes = kernel->shared_allowed ? kernel->shared_allowed : 48 * 1024;
    return cudaSuccess;
}

/* ---- graphs: kernel nodes alone ---- */

struct CUgraphNode_st {
    const EmulatedKernel *kernel;
    dim3 grid, block;
    size_t shared_bytes;
    unsigned char *arguments;
    int *after; /* numbers of the nodes it depends on */
    int after_count;
    int number;
};
struct CUgraph_st {
    cudaGraphNode_t *nodes;
    int count, capacity;
};
struct CUgraphExec_st {
    struct CUgraph_st graph; /* a copy */
};

static void *copy_bytes(const void *from, size_t count) {
    void *to = malloc(count + 1);
    if (count)
        memcpy(to, from, count);
    return to;
}

static void graph_clear(cudaGraph_t graph) {
    for (int i = 0; i < graph->count; i++) {
        free(graph->nodes[i]->arguments);
        free(graph->nodes[i]->after);
        free(graph->nodes[i]);
    }
    free(graph->nodes);
}

static cudaError_t fill_node(cudaGraphNode_t node, const struct cudaKernelNodeParams *params) {
    const EmulatedKernel *kernel = kernel_of(params->func);
    cudaError_t error = check_launch(kernel, params->gridDim, params->blockDim, params->sharedMemBytes);
    if (error != cudaSuccess)
        return error;
    free(node->arguments);
    node->kernel = kernel;
    node->grid = params->gridDim;
    node->block = params->blockDim;
    node->shared_bytes = params->sharedMemBytes;
    node->arguments = (unsigned char *)copy_bytes(params->kernelParams[0], kernel->argument_bytes);
    return cudaSuccess;
}

cudaError_t cudaGraphCreate(cudaGraph_t *out, unsigned int flags) {
    CALL(cudaGraphCreate)
    if (flags)
        return call_result(cudaErrorInvalidValue);
    *out = (cudaGraph_t)calloc(1, sizeof **out);
    emulated_device.counters.graphs++;
    return cudaSuccess;
}

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t *out, cudaGraph_t graph, const cudaGraphNode_t *after,
                                   size_t after_count, const struct cudaKernelNodeParams *params) {
    CALL(cudaGraphAddKernelNode)
    cudaGraphNode_t node = (cudaGraphNode_t)calloc(1, sizeof *node);
    cudaError_t error = fill_node(node, params);
    if (error != cudaSuccess) {
        free(node);
        return call_result(error);
    }
    node->number = graph->count;
    node->after = (int *)malloc((after_count + 1) * sizeof *node->after);
    for (size_t i = 0; i < after_count; i++)
        node->after[node->after_count++] = after[i]->number;
    if (graph->count == graph->capacity) {
        graph->capacity = graph->capacity * 2 + 32;
        graph->nodes =
            (cudaGraphNode_t *)realloc(graph->nodes, (size_t)graph->capacity * sizeof *graph->nodes);
    }
    graph->nodes[graph->count++] = node;
    *out = node;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags) {
    CALL(cudaGraphInstantiate)
    (void)flags;
    cudaGraphExec_t exec = (cudaGraphExec_t)calloc(1, sizeof *exec);
    exec->graph.count = graph->count;
    exec->graph.nodes = (cudaGraphNode_t *)calloc((size_t)graph->count + 1, sizeof *exec->graph.nodes);
    for (int i = 0; i < graph->count; i++) {
        const struct CUgraphNode_st *node = graph->nodes[i];
        cudaGraphNode_t twin = (cudaGraphNode_t)copy_bytes(node, sizeof *node);
        twin->arguments = (unsigned char *)copy_bytes(node->arguments, node->kernel->argument_bytes);
        twin->after = (int *)copy_bytes(node->after, (size_t)node->after_count * sizeof *node->after);
        exec->graph.nodes[i] = twin;
    }
    emulated_device.counters.graphs++;
    emulated_device.counters.graphs_instantiated++;
    *out = exec;
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
    CALL(cudaGraphUpload)
    (void)stream;
    return exec ? cudaSuccess : call_result(cudaErrorInvalidValue);
}

/* The node is one of the graph that was instantiated. */
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const struct cudaKernelNodeParams *params) {
    CALL(cudaGraphExecKernelNodeSetParams)
    if (node->number >= exec->graph.count)
        return call_result(cudaErrorInvalidValue);
    return call_result(fill_node(exec->graph.nodes[node->number], params));
}

/* Nodes run when all they depend on have run; among those, any. */
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    CALL(cudaGraphLaunch)
    int count = exec->graph.count;
    bool *is_given = (bool *)calloc((size_t)count + 1, sizeof *is_given);
    emulated_device.counters.graph_launches++;
    for (int given = 0; given < count; given++) {
        int start = (int)(emulated_random() % (unsigned)count), next = -1;
        for (int i = 0; i < count && next < 0; i++) {
            int number = (start + i) % count;
            const struct CUgraphNode_st *node = exec->graph.nodes[number];
            bool is_free = !is_given[number];
            for (int a = 0; a < node->after_count; a++)
                is_free = is_free && is_given[node->after[a]];
            if (is_free)
                next = number;
        }
        const struct CUgraphNode_st *node = exec->graph.nodes[next];
        is_given[next] = true;
        give_launch(stream_of(stream), node->kernel, node->grid, node->block, node->arguments,
                    node->shared_bytes);
    }
    free(is_given);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    Call call("");
    if (!exec)
        return call_result(cudaErrorInvalidValue);
    graph_clear(&exec->graph);
    free(exec);
    emulated_device.counters.graphs--;
    return call_result(call.error);
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    Call call("");
    if (!graph)
        return call_result(cudaErrorInvalidValue);
    graph_clear(graph);
    free(graph);
    emulated_device.counters.graphs--;
    return call_result(call.error);
}
