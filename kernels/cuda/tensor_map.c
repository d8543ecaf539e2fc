#include "kernels/cuda/tensor_map.h"

#include <cuda.h>
#include <cuda_runtime_api.h>
#include <string.h>

_Static_assert(sizeof(TensorMap) == sizeof(CUtensorMap), "the kernel's map is the driver's");

typedef CUresult (*Encode)(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address,
                           const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,
                           const cuuint32_t *element_strides, CUtensorMapInterleave interleave,
                           CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                           CUtensorMapFloatOOBfill fill);

/* The driver is opened by the runtime alone, so its functions are asked for by name. Asking is cheap and the
 * runtime keeps the answer. */
static Encode find_encode(void) {
    void *address = NULL;
    enum cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
    cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &address, 12000,
                                                          cudaEnableDefault, &result);
#else
    cudaError_t status =
        cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &address, cudaEnableDefault, &result);
#endif
    if (status != cudaSuccess)
        cudaGetLastError();
    if (status != cudaSuccess || result != cudaDriverEntryPointSuccess)
        return NULL;
    Encode encode;
    memcpy(&encode, &address, sizeof encode);
    return encode;
}

/* Pages are numbered within one range of addresses; this many of them cover any device (1 TiB). The copy
 * engine never goes where no page number leads. */
static cuuint64_t page_bound(size_t page_bytes) {
    cuuint64_t pages = ((cuuint64_t)1 << 40) / page_bytes + 1;
    return pages < ((cuuint64_t)1 << 31) ? pages : ((cuuint64_t)1 << 31) - 1;
}

static bool encode_rows(Encode encode, const KvRows *rows, int kv_heads, int head_dim, int box_rows,
                        int last_position, TensorMap *out) {
    size_t page_bytes = rows->pages ? rows->page_bytes : (size_t)(last_position + 1) * rows->row_bytes;
    cuuint64_t dims[4] = {(cuuint64_t)head_dim, (cuuint64_t)kv_heads,
                          rows->pages ? (cuuint64_t)rows->page_rows : (cuuint64_t)last_position + 1,
                          rows->pages ? page_bound(page_bytes) : 1};
    cuuint64_t strides[3] = {(cuuint64_t)head_dim * 2, rows->row_bytes, page_bytes};
    cuuint32_t box[4] = {64, 1, (cuuint32_t)box_rows, 1}, steps[4] = {1, 1, 1, 1};
    for (int i = 0; i < 3; i++)
        if (strides[i] == 0 || strides[i] % 16 != 0 || strides[i] >> 40)
            return false;
    if ((uintptr_t)rows->base % 16 != 0)
        return false;
    CUtensorMap map;
    CUresult result = encode(
        &map, rows->type == DTYPE_F16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4,
        rows->base, dims, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    memcpy(out, &map, sizeof map);
    return result == CUDA_SUCCESS;
}

bool attend_tensor_maps(const Attend *args, TensorMap *keys, TensorMap *values) {
    if (args->keys.type != args->values.type ||
        (args->keys.type != DTYPE_F16 && args->keys.type != DTYPE_BF16))
        return false;
    int key_box = attend_hopper_box_rows(&args->keys, args->head_dim);
    int value_box = attend_hopper_box_rows(&args->values, args->head_dim);
    Encode encode = key_box && value_box ? find_encode() : NULL;
    return encode &&
           encode_rows(encode, &args->keys, args->kv_heads, args->head_dim, key_box, args->last_position,
                       keys) &&
           encode_rows(encode, &args->values, args->kv_heads, args->value_dim, value_box, args->last_position,
                       values);
}

bool attend_kernel_takes(const void *kernel, int threads) {
    struct cudaFuncAttributes attributes;
    if (cudaFuncGetAttributes(&attributes, kernel) != cudaSuccess) {
        cudaGetLastError(); /* no code for this device is an answer, not a failure of what comes next */
        return false;
    }
    return attributes.maxThreadsPerBlock >= threads;
}
