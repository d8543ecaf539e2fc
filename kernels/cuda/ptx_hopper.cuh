/* PTX of compute 9.0a: barriers in shared memory, bulk tensor copies, warpgroup products. Included by
 * ptx.cuh. Elsewhere the functions exist so that the same sources compile, and stop the kernel. */
#ifndef MUX_KERNELS_CUDA_PTX_HOPPER_CUH
#define MUX_KERNELS_CUDA_PTX_HOPPER_CUH

#endif
