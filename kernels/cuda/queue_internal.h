/* Queue, for the rest of the host side: opening, waiting, copies, recording and replay.
 *
 * Calling sequence: queue_open -> (queue_copy_* | launches | queue_record, launches, queue_replay)*
 * -> queue_wait -> ... -> queue_close. Everything is in order on one stream. The first failure is kept, with
 * what was being done, until queue_wait reports it; until then nothing more is started.
 */
#ifndef MUX_KERNELS_CUDA_QUEUE_INTERNAL_H
#define MUX_KERNELS_CUDA_QUEUE_INTERNAL_H

#include <cuda_runtime_api.h>

#include "kernels/backend_internal.h"
#include "kernels/cuda/queue.h"

#ifdef __cplusplus
extern "C" {
#endif

CudaQueue *queue_open(int device, KernelError *error); /* NULL + sentence */
void queue_close(CudaQueue *queue);                    /* waits first; NULL is fine */

/* From now on waits after every launch, to learn which kernel it is that fails. */
void queue_wait_each(CudaQueue *queue);
/* Starts what was recorded and waits for everything. False: the first failure since the last wait. */
bool queue_wait(CudaQueue *queue, KernelError *error);
bool queue_has_failed(const CudaQueue *queue);
/* A failure after which nothing on this device works any more until every queue of it is closed. */
bool queue_is_lost(const CudaQueue *queue);
/* Keeps the failure of a runtime call; true when there is none. `what` reads like "copying to the device". */
bool queue_check(CudaQueue *queue, cudaError_t status, const char *what);
/* Keeps a failure that is no runtime call's. */
void queue_fail(CudaQueue *queue, const char *format, ...) __attribute__((format(printf, 2, 3)));

cudaStream_t queue_stream(CudaQueue *queue);
int queue_device(const CudaQueue *queue);

/* From queue_record to queue_finish launches are collected; queue_replay starts those collected so far, as
 * one graph when the same ones were started before, or others of the same kernels often enough. What goes to
 * the stream by other ways calls queue_replay first, so that the order stays. */
void queue_record(CudaQueue *queue);
void queue_replay(CudaQueue *queue);
void queue_finish(CudaQueue *queue); /* replays and stops recording */

/* Copies n bytes of any host memory to the device, in order with what follows but not with what is recorded:
 * it overtakes that. The host bytes may be dropped at once. */
void queue_upload(CudaQueue *queue, void *device, const void *host, size_t n);
/* Replays, then copies back; the bytes are in `host` after queue_wait. */
void queue_download(CudaQueue *queue, void *host, const void *device, size_t n);

typedef struct QueueCounters {
    uint64_t launches; /* kernels started one by one */
    uint64_t graphs_built, graphs_changed, graphs_started;
    size_t pinned_bytes; /* host memory this queue holds for copies */
} QueueCounters;
QueueCounters queue_counters(const CudaQueue *queue);

#ifdef __cplusplus
}
#endif
#endif
