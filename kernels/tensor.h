/* Tensor: element types, their block layouts, and a view of a matrix in a backend's memory.
 *
 * Type ids and block layouts are those of GGUF (llama.cpp's ggml). Matrices are row-major: cols is the
 * contiguous length (GGUF dims[0], the input width), rows the number of rows (dims[1], the outputs).
 */
#ifndef MUX_KERNELS_TENSOR_H
#define MUX_KERNELS_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum DType {
    DTYPE_F32 = 0,
    DTYPE_F16 = 1,
    DTYPE_Q4_0 = 2, /* 32 values: half d, 16 bytes; low nibble j -> value j, high -> j+16; d*(q-8) */
    DTYPE_Q5_0 =
        6, /* 32 values: half d, 4 bytes of fifth bits (bit j: value j), 16 bytes as Q4_0; d*(q-16) */
    DTYPE_Q8_0 = 8, /* 32 values: half d, 32 int8; d*q */
    DTYPE_Q4_K =
        12, /* 256 values: half d, half dmin, 12 bytes of 6-bit scales and mins, 128 bytes of nibbles */
    DTYPE_Q5_K =
        13, /* 256 values: half d, half dmin, 12 bytes as Q4_K, 32 bytes of fifth bits, 128 of nibbles */
    DTYPE_Q6_K = 14, /* 256 values: 128 bytes low nibbles, 64 bytes high pairs, 16 int8 scales, half d */
    DTYPE_BF16 = 30,
    DTYPE_MXFP4 = 39, /* 32 values: exponent byte e, 16 bytes as Q4_0; 2^(e-127) * e2m1 (OCP MX 1.0) */
} DType;

typedef struct DTypeInfo {
    const char *name; /* "F32", "Q8_0", ... */
    int block_values; /* values in one block; cols must be a multiple */
    int block_bytes;
} DTypeInfo;

/* NULL for an id this build has no kernels for. */
const DTypeInfo *dtype_info(uint32_t ggml_type_id);
/* Name for any known GGUF id, also those without kernels ("Q4_K"); "type 77" style text is the caller's. NULL
 * if unknown. */
const char *dtype_name(uint32_t ggml_type_id);
/* Bytes of one row; 0 when cols is no multiple of the block or the product overflows. */
size_t dtype_row_bytes(DType type, int64_t cols);

typedef struct Tensor {
    void *data; /* address in the backend's memory: first byte of row 0 */
    DType type;
    int64_t rows, cols;
    size_t row_bytes; /* distance between rows; >= dtype_row_bytes, or what the device's own layout takes */
    bool is_planar;   /* rows in the layout of kernels/cuda/layout.h instead of GGUF's */
} Tensor;

/* A dense float matrix view. */
static inline Tensor tensor_f32(float *data, int64_t rows, int64_t cols) {
    Tensor tensor = {data, DTYPE_F32, rows, cols, (size_t)cols * sizeof(float), false};
    return tensor;
}

/* IEEE half and bfloat16 to float and back (round to nearest even; halves beyond range become infinities). */
float half_to_float(uint16_t half);
uint16_t half_from_float(float value);
float bf16_to_float(uint16_t value);
uint16_t bf16_from_float(float value);

#ifdef __cplusplus
}
#endif

#endif
