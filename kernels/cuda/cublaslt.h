/* cuBLASLt: dense products by NVIDIA's library, where this machine has it.
 *
 * Calling sequence: cublaslt_open (with a device current) -> cublaslt_gemm* -> cublaslt_close. The library is
 * looked for at run time (libcublasLt.so.13, then .12, first where the loader looks, then in
 * /usr/local/cuda/lib64); that it is not there is normal, and cuda_gemm does the same products. It is half a
 * gigabyte of file: the first open of a process takes some tenths of a second. One thread.
 */
#ifndef MUX_KERNELS_CUDA_CUBLASLT_H
#define MUX_KERNELS_CUDA_CUBLASLT_H

#include "kernels/cuda/kernels.h"

typedef struct CublasLt CublasLt;

/* NULL, and one sentence in why, when the library is absent or refuses this device. */
CublasLt *cublaslt_open(char *why, size_t why_bytes);
void cublaslt_close(CublasLt *library); /* NULL is fine; the stream's work must be done */
/* major * 10000 + minor * 100 + patch. */
int cublaslt_version(const CublasLt *library);

/* Enqueues the product on a cudaStream_t: float32 sums, F32 without tf32. weight.data and x must be at
 * multiples of 16 bytes, bias too where given; the workspace (256-byte aligned) belongs to the product until
 * it is done. What the library chooses for a shape is remembered. False: nothing was enqueued, the caller
 * takes cuda_gemm. */
bool cublaslt_gemm(CublasLt *library, void *cuda_stream, const GemmArgs *args, void *workspace,
                   size_t workspace_bytes);

#endif
