/* One stream, one pinned ring for uploads, one pinned area for downloads, and the graphs of the step
 * sequences seen lately. */
#include "kernels/cuda/queue_internal.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RING_SLOTS = 4,
    DOWNLOADS = 64,   /* pending at one time */
    GRAPHS = 16,      /* sequences remembered, */
    ALIKE = 4,        /* and of those with the same kernels */
    WIDE_KERNELS = 64 /* kernels that may have more than 48 KB of shared memory */
};
static const size_t SMALL_SLOT = 256 << 10, LARGE_SLOT = 16 << 20, DOWNLOAD_BYTES = 8 << 20;

/* Pinned slots filled in turn; one is filled again when the device has read it. */
typedef struct Ring {
    unsigned char *bytes; /* NULL until first used */
    cudaEvent_t read[RING_SLOTS];
    size_t slot_bytes, used; /* used: of the current slot */
    int slot;
} Ring;

typedef struct Download {
    void *host;
    const unsigned char *pinned;
    size_t n;
} Download;

/* One collected launch, followed by its arguments; the whole record is compared byte for byte. */
typedef struct Launch {
    const char *name;
    const void *kernel;
    Extent grid, block;
    size_t shared_bytes, argument_bytes, record_bytes;
} Launch;
_Static_assert(sizeof(Launch) % 16 == 0, "the arguments behind it are aligned");

typedef struct Graph {
    unsigned char *records; /* NULL = free */
    size_t bytes;
    uint64_t hash, used;   /* used: when last, in sequences */
    cudaGraph_t chain;     /* its nodes name those of `ready` */
    cudaGraphExec_t ready; /* NULL: seen once, started plainly */
    cudaGraphNode_t *nodes;
} Graph;

struct CudaQueue {
    int device, capability, processors;
    size_t shared_limit;
    cudaStream_t stream;
    bool is_recording, has_failed, waits_each;
    atomic_bool is_lost; /* other threads ask */
    KernelError failure;
    const char *last_kernel; /* started most recently */
    unsigned char *records;
    size_t record_bytes, record_capacity;
    Graph graphs[GRAPHS];
    uint64_t sequence;
    const void *wide[WIDE_KERNELS];
    int wide_count;
    Ring small, large;
    unsigned char *download_area;
    size_t download_used;
    Download downloads[DOWNLOADS];
    int download_count;
    QueueCounters counters;
};

/* ---- failures ---- */

void queue_fail(CudaQueue *queue, const char *format, ...) {
    if (queue->has_failed)
        return;
    queue->has_failed = true;
    va_list args;
    va_start(args, format);
    vsnprintf(queue->failure.text, sizeof queue->failure.text, format, args);
    va_end(args);
}

/* After these the context is gone; every later call answers the same. */
static bool is_fatal(cudaError_t status) {
    switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorDevicesUnavailable:
#if CUDART_VERSION >= 13000
    case cudaErrorContained:
#endif
    case cudaErrorUnknown: return true;
    default: return false;
    }
}

bool queue_check(CudaQueue *queue, cudaError_t status, const char *what) {
    if (status == cudaSuccess)
        return true;
    cudaGetLastError(); /* what is not fatal is forgotten by the runtime here */
    if (is_fatal(status)) {
        queue->is_lost = true;
        queue_fail(queue, "the GPU stopped with \"%s\" while %s (last kernel: %.60s)",
                   cudaGetErrorString(status), what, queue->last_kernel);
    } else if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction ||
               status == cudaErrorUnsupportedPtxVersion || status == cudaErrorInvalidKernelImage) {
        queue_fail(queue, "this program has no code for this GPU (compute %d.%d): %s", queue->capability / 10,
                   queue->capability % 10, cudaGetErrorString(status));
    } else {
        queue_fail(queue, "CUDA failed while %s: %s", what, cudaGetErrorString(status));
    }
    return false;
}

bool queue_has_failed(const CudaQueue *queue) {
    return queue->has_failed;
}

bool queue_is_lost(const CudaQueue *queue) {
    return queue->is_lost;
}

/* ---- opening and closing ---- */

static bool read_device(CudaQueue *queue) {
    int major = 0, minor = 0, shared = 0;
    if (!queue_check(queue, cudaSetDevice(queue->device), "choosing the GPU") ||
        !queue_check(queue, cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, queue->device),
                     "reading its properties") ||
        !queue_check(queue, cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, queue->device),
                     "reading its properties") ||
        !queue_check(queue,
                     cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, queue->device),
                     "reading its properties") ||
        !queue_check(
            queue, cudaDeviceGetAttribute(&queue->processors, cudaDevAttrMultiProcessorCount, queue->device),
            "reading its properties"))
        return false;
    queue->capability = major * 10 + minor;
    queue->shared_limit = (size_t)shared;
    return queue_check(queue, cudaStreamCreateWithFlags(&queue->stream, cudaStreamNonBlocking),
                       "opening a stream");
}

CudaQueue *queue_open(int device, KernelError *error) {
    CudaQueue *queue = calloc(1, sizeof *queue);
    if (!queue) {
        kernel_error_set(error, "no memory for a queue");
        return NULL;
    }
    queue->device = device;
    queue->last_kernel = "none";
    queue->small.slot_bytes = SMALL_SLOT;
    queue->large.slot_bytes = LARGE_SLOT;
    if (!read_device(queue)) {
        *error = queue->failure;
        queue_close(queue);
        return NULL;
    }
    return queue;
}

void queue_wait_each(CudaQueue *queue) {
    queue->waits_each = true;
}

static void close_ring(Ring *ring) {
    if (!ring->bytes)
        return;
    cudaFreeHost(ring->bytes);
    for (int i = 0; i < RING_SLOTS; i++)
        if (ring->read[i])
            cudaEventDestroy(ring->read[i]);
    *ring = (Ring){.slot_bytes = ring->slot_bytes};
}

static void drop_exec(Graph *graph) {
    if (graph->ready)
        cudaGraphExecDestroy(graph->ready);
    if (graph->chain)
        cudaGraphDestroy(graph->chain);
    free(graph->nodes);
    graph->ready = NULL;
    graph->chain = NULL;
    graph->nodes = NULL;
}

static void forget_graph(Graph *graph) {
    drop_exec(graph);
    free(graph->records);
    *graph = (Graph){0};
}

void queue_close(CudaQueue *queue) {
    if (!queue)
        return;
    cudaSetDevice(queue->device);
    if (queue->stream)
        cudaStreamSynchronize(queue->stream);
    for (int i = 0; i < GRAPHS; i++)
        forget_graph(&queue->graphs[i]);
    close_ring(&queue->small);
    close_ring(&queue->large);
    if (queue->download_area)
        cudaFreeHost(queue->download_area);
    if (queue->stream)
        cudaStreamDestroy(queue->stream);
    cudaGetLastError();
    free(queue->records);
    free(queue);
}

/* ---- launches ---- */

static unsigned at_least_1(unsigned count) {
    return count ? count : 1;
}

static dim3 to_dim3(Extent extent) {
    dim3 out = {at_least_1(extent.x), at_least_1(extent.y), at_least_1(extent.z)};
    return out;
}

/* More than 48 KB of shared memory has to be asked for once per kernel. It is a property of the kernel on
 * this device, for all queues: each asks for the most there is, so that none takes it from another. */
static bool allow_shared(CudaQueue *queue, const char *name, const void *kernel, size_t bytes) {
    if (bytes <= 48 << 10)
        return true;
    if (bytes > queue->shared_limit) {
        queue_fail(queue, "the kernel %.80s wants %zu bytes of shared memory, this GPU gives a block %zu",
                   name, bytes, queue->shared_limit);
        return false;
    }
    for (int i = 0; i < queue->wide_count; i++)
        if (queue->wide[i] == kernel)
            return true;
    if (!queue_check(queue,
                     cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          (int)queue->shared_limit),
                     "asking for shared memory"))
        return false;
    if (queue->wide_count < WIDE_KERNELS)
        queue->wide[queue->wide_count++] = kernel;
    return true;
}

static void start(CudaQueue *queue, const Launch *launch, const void *arguments) {
    void *parameters[1] = {(void *)(uintptr_t)arguments};
    queue->last_kernel = launch->name;
    char what[128];
    cudaError_t status = cudaLaunchKernel(launch->kernel, to_dim3(launch->grid), to_dim3(launch->block),
                                          parameters, launch->shared_bytes, queue->stream);
    if (status == cudaSuccess && queue->waits_each)
        status = cudaStreamSynchronize(queue->stream);
    queue->counters.launches++;
    if (status != cudaSuccess) {
        snprintf(what, sizeof what, "starting %.100s", launch->name);
        queue_check(queue, status, what);
    }
}

static void collect(CudaQueue *queue, const Launch *launch, const void *arguments) {
    size_t needed = queue->record_bytes + launch->record_bytes;
    if (needed > queue->record_capacity) {
        size_t capacity = needed * 2;
        unsigned char *grown = realloc(queue->records, capacity);
        if (!grown) {
            queue_fail(queue, "no memory to collect the kernels of a step");
            return;
        }
        queue->records = grown;
        queue->record_capacity = capacity;
    }
    unsigned char *at = queue->records + queue->record_bytes;
    memset(at, 0, launch->record_bytes);
    memcpy(at, launch, sizeof *launch);
    memcpy(at + sizeof *launch, arguments, launch->argument_bytes);
    queue->record_bytes = needed;
}

void queue_launch(CudaQueue *queue, const char *name, const void *kernel, Extent grid, Extent block,
                  size_t shared_bytes, const void *arguments, size_t argument_bytes) {
    if (queue->has_failed || !allow_shared(queue, name, kernel, shared_bytes))
        return;
    Launch launch;
    memset(&launch, 0, sizeof launch); /* records are compared with their gaps */
    launch.name = name;
    launch.kernel = kernel;
    launch.grid = grid;
    launch.block = block;
    launch.shared_bytes = shared_bytes;
    launch.argument_bytes = argument_bytes;
    launch.record_bytes = (sizeof launch + argument_bytes + 15) / 16 * 16;
    if (queue->is_recording)
        collect(queue, &launch, arguments);
    else
        start(queue, &launch, arguments);
}

int queue_capability(const CudaQueue *queue) {
    return queue->capability;
}

int queue_processors(const CudaQueue *queue) {
    return queue->processors;
}

size_t queue_shared_limit(const CudaQueue *queue) {
    return queue->shared_limit;
}

cudaStream_t queue_stream(CudaQueue *queue) {
    return queue->stream;
}

int queue_device(const CudaQueue *queue) {
    return queue->device;
}

QueueCounters queue_counters(const CudaQueue *queue) {
    return queue->counters;
}

/* ---- recording and graphs ---- */

void queue_record(CudaQueue *queue) {
    queue_replay(queue);
    queue->is_recording = true;
}

void queue_finish(CudaQueue *queue) {
    queue_replay(queue);
    queue->is_recording = false;
}

static uint64_t hash_bytes(const unsigned char *bytes, size_t n) {
    uint64_t hash = n;
    for (size_t i = 0; i + 8 <= n; i += 8) { /* records are multiples of 16 */
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    return hash;
}

static Launch launch_at(const unsigned char *record) {
    Launch launch;
    memcpy(&launch, record, sizeof launch);
    return launch;
}

/* The same kernels in the same order; grids and arguments may differ. */
static bool is_alike(const Graph *graph, const unsigned char *records, size_t bytes) {
    if (!graph->records || graph->bytes != bytes)
        return false;
    for (size_t at = 0; at < bytes;) {
        Launch old = launch_at(graph->records + at), new = launch_at(records + at);
        if (old.kernel != new.kernel || old.record_bytes != new.record_bytes)
            return false;
        at += new.record_bytes;
    }
    return true;
}

static const Graph *older(const Graph *a, const Graph *b) {
    return !a || b->used < a->used ? b : a;
}

/* The remembered sequence equal to the collected one; else the oldest of ALIKE sequences that are alike, to
 * be changed; else NULL, and in *room where a new one may be remembered. */
static Graph *find_graph(CudaQueue *queue, uint64_t hash, Graph **room) {
    const Graph *oldest = NULL, *oldest_alike = NULL;
    int alike = 0;
    for (int i = 0; i < GRAPHS; i++) {
        Graph *graph = &queue->graphs[i];
        if (graph->records && graph->hash == hash && graph->bytes == queue->record_bytes &&
            memcmp(graph->records, queue->records, graph->bytes) == 0)
            return graph;
        oldest = older(oldest, graph);
        if (is_alike(graph, queue->records, queue->record_bytes)) {
            oldest_alike = older(oldest_alike, graph);
            alike++;
        }
    }
    *room = &queue->graphs[oldest - queue->graphs];
    return alike >= ALIKE ? &queue->graphs[oldest_alike - queue->graphs] : NULL;
}

/* What a node is made of; parameters has room for one pointer and is pointed to. */
static struct cudaKernelNodeParams node_of(const Launch *launch, unsigned char *record, void **parameters) {
    struct cudaKernelNodeParams node;
    memset(&node, 0, sizeof node);
    parameters[0] = record + sizeof *launch;
    node.func = (void *)(uintptr_t)launch->kernel;
    node.gridDim = to_dim3(launch->grid);
    node.blockDim = to_dim3(launch->block);
    node.sharedMemBytes = (unsigned)launch->shared_bytes;
    node.kernelParams = parameters;
    return node;
}

/* A chain: each kernel waits for the one before it. */
static bool build_graph(CudaQueue *queue, Graph *graph) {
    size_t count = 0;
    for (size_t at = 0; at < graph->bytes; at += launch_at(graph->records + at).record_bytes)
        count++;
    graph->nodes = calloc(count, sizeof *graph->nodes);
    bool ok = graph->nodes && queue_check(queue, cudaGraphCreate(&graph->chain, 0), "making a graph");
    size_t at = 0;
    for (size_t i = 0; ok && i < count; i++) {
        Launch launch = launch_at(graph->records + at);
        void *parameters[1];
        struct cudaKernelNodeParams node = node_of(&launch, graph->records + at, parameters);
        ok = queue_check(queue,
                         cudaGraphAddKernelNode(&graph->nodes[i], graph->chain,
                                                i ? &graph->nodes[i - 1] : NULL, i ? 1 : 0, &node),
                         "adding a kernel to a graph");
        at += launch.record_bytes;
    }
    ok = ok &&
         queue_check(queue, cudaGraphInstantiate(&graph->ready, graph->chain, 0), "making a graph ready");
    if (ok)
        queue->counters.graphs_built++;
    else
        drop_exec(graph);
    return ok;
}

/* Gives an alike graph the grids and arguments of the collected launches. */
static bool change_graph(CudaQueue *queue, Graph *graph, uint64_t hash) {
    size_t i = 0;
    bool ok = true;
    for (size_t at = 0; ok && at < graph->bytes; i++) {
        unsigned char *record = graph->records + at;
        Launch launch = launch_at(queue->records + at);
        if (memcmp(record, queue->records + at, launch.record_bytes) != 0) {
            memcpy(record, queue->records + at, launch.record_bytes);
            void *parameters[1];
            struct cudaKernelNodeParams node = node_of(&launch, record, parameters);
            if (graph->ready)
                ok =
                    queue_check(queue, cudaGraphExecKernelNodeSetParams(graph->ready, graph->nodes[i], &node),
                                "changing a graph");
        }
        at += launch.record_bytes;
    }
    graph->hash = hash;
    queue->counters.graphs_changed += graph->ready != NULL;
    if (!ok) /* its records say more than its nodes */
        forget_graph(graph);
    return ok;
}

static void start_each(CudaQueue *queue) {
    for (size_t at = 0; at < queue->record_bytes && !queue->has_failed;) {
        Launch launch = launch_at(queue->records + at);
        start(queue, &launch, queue->records + at + sizeof launch);
        at += launch.record_bytes;
    }
}

static void keep_sequence(CudaQueue *queue, Graph *graph, uint64_t hash) {
    forget_graph(graph);
    graph->records = malloc(queue->record_bytes);
    if (!graph->records)
        return;
    memcpy(graph->records, queue->records, queue->record_bytes);
    graph->bytes = queue->record_bytes;
    graph->hash = hash;
    graph->used = queue->sequence;
}

/* A sequence seen for the first time is started kernel by kernel: most are never seen again. When only
 * arguments differ again and again, a graph is changed for it each time. */
static void start_sequence(CudaQueue *queue) {
    uint64_t hash = hash_bytes(queue->records, queue->record_bytes);
    Graph *room = NULL, *graph = find_graph(queue, hash, &room);
    queue->sequence++;
    if (!graph) {
        keep_sequence(queue, room, hash);
        start_each(queue);
        return;
    }
    graph->used = queue->sequence;
    if ((graph->hash != hash || memcmp(graph->records, queue->records, graph->bytes) != 0) &&
        !change_graph(queue, graph, hash))
        return;
    if (!graph->ready && !build_graph(queue, graph))
        return;
    queue->last_kernel = launch_at(graph->records).name;
    queue->counters.graphs_started++;
    queue_check(queue, cudaGraphLaunch(graph->ready, queue->stream), "starting a graph");
}

void queue_replay(CudaQueue *queue) {
    if (queue->record_bytes && !queue->has_failed) {
        if (queue->waits_each)
            start_each(queue);
        else
            start_sequence(queue);
    }
    queue->record_bytes = 0;
}

/* ---- copies ---- */

static bool open_ring(CudaQueue *queue, Ring *ring) {
    if (ring->bytes)
        return true;
    void *bytes = NULL;
    if (!queue_check(queue, cudaMallocHost(&bytes, RING_SLOTS * ring->slot_bytes),
                     "taking pinned host memory"))
        return false;
    ring->bytes = bytes;
    for (int i = 0; i < RING_SLOTS; i++)
        if (!queue_check(queue, cudaEventCreateWithFlags(&ring->read[i], cudaEventDisableTiming),
                         "making an event")) {
            close_ring(ring);
            return false;
        }
    queue->counters.pinned_bytes += RING_SLOTS * ring->slot_bytes;
    return true;
}

void queue_upload(CudaQueue *queue, void *device, const void *host, size_t n) {
    Ring *ring = n > SMALL_SLOT ? &queue->large : &queue->small;
    if (queue->has_failed || !open_ring(queue, ring))
        return;
    for (size_t done = 0; done < n && !queue->has_failed;) {
        if (ring->used == ring->slot_bytes) { /* the next slot was marked when it was left */
            queue_check(queue, cudaEventRecord(ring->read[ring->slot], queue->stream),
                        "copying to the device");
            ring->slot = (ring->slot + 1) % RING_SLOTS;
            ring->used = 0;
            queue_check(queue, cudaEventSynchronize(ring->read[ring->slot]), "copying to the device");
        }
        size_t part = ring->slot_bytes - ring->used < n - done ? ring->slot_bytes - ring->used : n - done;
        unsigned char *pinned = ring->bytes + (size_t)ring->slot * ring->slot_bytes + ring->used;
        memcpy(pinned, (const unsigned char *)host + done, part);
        queue_check(queue,
                    cudaMemcpyAsync((unsigned char *)device + done, pinned, part, cudaMemcpyHostToDevice,
                                    queue->stream),
                    "copying to the device");
        done += part;
        ring->used += (part + 15) / 16 * 16; /* slot sizes are multiples of 16 */
    }
}

/* Small results land in pinned memory and reach the host's own at the wait; large ones go straight there. */
void queue_download(CudaQueue *queue, void *host, const void *device, size_t n) {
    queue_replay(queue);
    if (queue->has_failed)
        return;
    if (!queue->download_area && n <= DOWNLOAD_BYTES) {
        void *area = NULL;
        if (!queue_check(queue, cudaMallocHost(&area, DOWNLOAD_BYTES), "taking pinned host memory"))
            return;
        queue->download_area = area;
        queue->counters.pinned_bytes += DOWNLOAD_BYTES;
    }
    if (queue->download_count == DOWNLOADS || n > DOWNLOAD_BYTES - queue->download_used) {
        queue_check(queue, cudaMemcpyAsync(host, device, n, cudaMemcpyDeviceToHost, queue->stream),
                    "copying from the device");
        return;
    }
    unsigned char *pinned = queue->download_area + queue->download_used;
    if (!queue_check(queue, cudaMemcpyAsync(pinned, device, n, cudaMemcpyDeviceToHost, queue->stream),
                     "copying from the device"))
        return;
    queue->downloads[queue->download_count++] = (Download){host, pinned, n};
    queue->download_used += (n + 15) / 16 * 16;
    if (queue->download_used > DOWNLOAD_BYTES)
        queue->download_used = DOWNLOAD_BYTES;
}

bool queue_wait(CudaQueue *queue, KernelError *error) {
    queue_replay(queue);
    if (!queue->is_lost)
        queue_check(queue, cudaStreamSynchronize(queue->stream), "finishing a step");
    for (int i = 0; i < queue->download_count && !queue->has_failed; i++)
        memcpy(queue->downloads[i].host, queue->downloads[i].pinned, queue->downloads[i].n);
    queue->download_count = 0;
    queue->download_used = 0;
    *error = queue->failure;
    bool ok = !queue->has_failed;
    if (!queue->is_lost) { /* on a lost device nothing more is started, and every wait says why */
        queue->failure.text[0] = 0;
        queue->has_failed = false;
    }
    return ok;
}
