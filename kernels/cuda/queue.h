/* Queue: one CUDA stream, and the launches that go to it.
 *
 * A launch is a kernel, its grid and one struct of arguments, copied. Between queue_record and queue_replay
 * launches are collected instead of started; queue_replay then starts a CUDA graph of them: the one captured
 * earlier when the launches are the same byte for byte, else one whose arguments are changed first, which
 * costs about a microsecond per kernel. What changes from step to step (ids, positions) therefore lies in
 * device memory, never in arguments. One thread.
 */
#ifndef MUX_KERNELS_CUDA_QUEUE_H
#define MUX_KERNELS_CUDA_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CudaQueue CudaQueue;

typedef struct Extent {
    unsigned x, y, z; /* y and z: 0 means 1 */
} Extent;

/* Shared memory above 48 KB is asked for here; failures are kept and surface at backend_wait. */
void queue_launch(CudaQueue *queue, const char *name, const void *kernel, Extent grid, Extent block,
                  size_t shared_bytes, const void *arguments, size_t argument_bytes);

int queue_capability(const CudaQueue *queue); /* 90 = compute 9.0 */
int queue_processors(const CudaQueue *queue);
size_t queue_shared_limit(const CudaQueue *queue); /* bytes of shared memory one block may have */

#ifdef __cplusplus
}
#endif
#endif
