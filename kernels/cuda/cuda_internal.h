/* The CUDA backend's state, shared by its files: cuda.c (opening, steps, weights), memory.c (what is taken
 * and given back), device.c (which GPUs there are), ops.c and matmul.c (operations into launches).
 */
#ifndef MUX_KERNELS_CUDA_CUDA_INTERNAL_H
#define MUX_KERNELS_CUDA_CUDA_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/layout.h"
#include "kernels/cuda/queue_internal.h"
#include "kernels/cuda/virtual_memory.h"

/* ---- working space ---- */

/* Buffers that only grow. What is in them holds within one operation, the rounded activations excepted. */
typedef enum Work {
    WORK_INPUTS,  /* ids and positions of a step */
    WORK_STAGED,  /* rows of a file on their way into the layout of the device */
    WORK_HALF,    /* activations in half precision */
    WORK_WEIGHTS, /* dequantised rows */
    WORK_UP,      /* the other half of a gated product */
    WORK_SPLITS,  /* partial attention */
    WORK_HIDDEN,  /* experts: rounded hidden values */
    WORK_ORDER,   /* experts: rows by expert */
    WORK_PARTIAL, /* experts: products to be joined */
    WORK_PICK,    /* draws, chosen ids, masks */
    WORK_SELECT,  /* scratch of the choice */
    WORK_LIBRARY, /* what cuBLASLt asks for */
    WORK_Q8,      /* rounded activations, Q8_SLOTS of them */
} Work;
enum { Q8_SLOTS = 4, WORK_COUNT = WORK_Q8 + Q8_SLOTS, Q8_WANTED = 64, PICKS = 8 };
/* Up to so many rows of x quantised weights are multiplied as they lie, with x in 8 bits. */
enum { TENSOR_CORE_ROWS = 64 };

typedef struct WorkSpace {
    void *address;
    size_t bytes;
} WorkSpace;

/* Activations rounded to 8 bits, good until their source is written. */
typedef struct Q8Slot {
    const float *x; /* NULL = empty */
    int64_t stride, cols, n;
    Q8Rows rows;
} Q8Slot;

/* A vector that a product wanted rounded: the norm that makes it next time rounds it in the same pass. */
typedef struct Q8Wish {
    const float *x;
    int64_t cols;
} Q8Wish;

typedef struct Block Block; /* of the user's memory, memory.c */

typedef struct CudaBackend {
    Backend base;
    CudaQueue *queue;
    DeviceInfo info;
    char device_name[96];
    CublasLt *library;          /* NULL: our own products do it all */
    bool uses_hopper_attention; /* the option "wgmma": until it is measured against the other */

    pthread_mutex_t lock; /* the list and the counts: chats open and close on other threads */
    Block *blocks;
    size_t held;
    atomic_size_t own;
    cudaStream_t memory_stream; /* zeroes new memory, under the lock */
    VirtualMemory virtual_memory;

    WorkSpace work[WORK_COUNT];
    Q8Slot q8[Q8_SLOTS];
    int next_q8;
    Q8Wish wishes[Q8_WANTED];
    int next_wish;
    int32_t *picked[PICKS]; /* where the host wants the choices of this step */
    int pick_count;
    size_t pick_mask_bytes;
} CudaBackend;

/* The calling thread's runtime calls go to this backend's device. */
static inline CudaBackend *cuda_enter(Backend *backend) {
    CudaBackend *cuda = (CudaBackend *)backend;
    cudaSetDevice(queue_device(cuda->queue));
    return cuda;
}

/* ---- memory.c ---- */
bool memory_open(CudaBackend *cuda, KernelError *error);
void memory_close(CudaBackend *cuda); /* gives everything back, also what its user forgot */
bool memory_alloc(Backend *backend, size_t bytes, Mem *out);
bool memory_reserve(Backend *backend, size_t most, Mem *out);
bool memory_commit(Backend *backend, Mem *mem, size_t bytes);
void memory_free(Backend *backend, Mem *mem);
void memory_no_room(Backend *backend, size_t bytes, KernelError *out);
void memory_counts(const Backend *backend, size_t *held, size_t *own);
/* At least `bytes` of working space, 256-byte aligned; NULL with the failure kept. Growing waits for the
 * device and drops the old contents. */
void *work_space(CudaBackend *cuda, Work work, size_t bytes);

/* ---- device.c ---- */
/* Reads what there is to know of a device without opening it. */
bool device_facts(int device, DeviceInfo *out, char *name, size_t name_bytes, KernelError *why);
double device_bandwidth(Backend *backend);

/* ---- ops.c, matmul.c ---- */
extern const Ops CUDA_OPS;
/* Whatever is kept of what lies in [at, at + bytes) is forgotten: it was written. */
void ops_written(CudaBackend *cuda, const void *at, size_t bytes);
/* A step begins: rounded activations are empty, choices are numbered anew. */
void ops_begin(CudaBackend *cuda);
/* Starts what is recorded and has the chosen ids copied to the host. */
void ops_flush(CudaBackend *cuda);
/* x rounded to 8 bits: what is there, or made now. q NULL with the failure kept. */
Q8Rows q8_of(CudaBackend *cuda, const float *x, int64_t stride, int64_t cols, int64_t n);
/* A launcher's answer: keeps "no CUDA kernel for WHAT" when false. */
bool ops_launched(CudaBackend *cuda, bool is_launched, const char *what);

void cuda_op_matmul(Backend *backend, const MatMul *jobs, int job_count, const float *x, int64_t x_stride,
                    int n);
void cuda_op_gated(Backend *backend, const Gated *gated, const float *x, int64_t x_stride, int n);

#endif
