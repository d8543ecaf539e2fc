/* Portable kernels: what every processor can run. Lanes and blocks are plain loops that a compiler can widen.
 */
#include "kernels/cpu/cpu_internal.h"

#include <math.h>
#include <string.h>

enum { LANES = 16 };

static uint16_t load_u16(const uint8_t *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void quantize_c(QuantRows out, int64_t row, const float *x) {
    int64_t blocks = out.cols / QUANT_BLOCK;
    for (int64_t b = 0; b < blocks; b++, x += QUANT_BLOCK) {
        float largest = 0;
        for (int j = 0; j < QUANT_BLOCK; j++)
            largest = fmaxf(largest, fabsf(x[j]));
        float d = largest / 127, inverse = d > 0 ? 1 / d : 0;
        int8_t *q = out.q + row * out.cols + b * QUANT_BLOCK;
        int sum = 0;
        for (int j = 0; j < QUANT_BLOCK; j++) {
            float scaled =
                fminf(fmaxf(x[j] * inverse, -127), 127); /* a NaN becomes -127 here, never undefined */
            sum += q[j] = (int8_t)lrintf(scaled);
        }
        out.d[row * blocks + b] = d;
        out.offsets[row * blocks + b] = -128 * sum;
    }
}

static size_t pack_bytes_c(int64_t cols) {
    return (size_t)cols * 5;
} /* one row of bytes, or of floats */

static int dot_32(const int8_t *a, const int8_t *b) {
    int sum = 0;
    for (int j = 0; j < QUANT_BLOCK; j++)
        sum += a[j] * b[j];
    return sum;
}

/* One weight row as bytes and scales. */
static void unpack_row(const MatMul *job, int64_t row, int8_t *q, float *d) {
    const uint8_t *block = tensor_row(&job->weight, row);
    for (int64_t b = 0; b < job->weight.cols / QUANT_BLOCK; b++, q += QUANT_BLOCK) {
        d[b] = half_to_float(load_u16(block));
        if (job->weight.type == DTYPE_Q8_0) {
            memcpy(q, block + 2, QUANT_BLOCK);
            block += 34;
            continue;
        }
        for (int j = 0; j < 16; j++) {
            q[j] = (int8_t)((block[2 + j] & 15) - 8);
            q[j + 16] = (int8_t)((block[2 + j] >> 4) - 8);
        }
        block += 18;
    }
}

static void matmul_quant_c(const MatMul *job, int64_t row0, int64_t row1, QuantRows x, int n, void *pack) {
    int64_t blocks = x.cols / QUANT_BLOCK;
    float *d = pack;
    int8_t *q = (int8_t *)(d + blocks);
    for (int64_t r = row0; r < row1; r++) {
        unpack_row(job, r, q, d);
        for (int i = 0; i < n; i++) {
            float sum = 0;
            for (int64_t b = 0; b < blocks; b++)
                sum += (float)dot_32(q + b * QUANT_BLOCK, x.q + i * x.cols + b * QUANT_BLOCK) *
                       (d[b] * x.d[i * blocks + b]);
            matmul_store(job, r, i, sum);
        }
    }
}

/* Sixteen sums along the row, folded in halves. */
static float fold(const float *lanes) {
    float sums[8];
    for (int l = 0; l < 8; l++)
        sums[l] = lanes[l] + lanes[l + 8];
    for (int width = 4; width; width /= 2)
        for (int l = 0; l < width; l++)
            sums[l] += sums[l + width];
    return sums[0];
}

static float dot_floats(const float *a, const float *b, int64_t count) {
    float lanes[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int l = 0; l < LANES; l++)
            lanes[l] += a[i + l] * b[i + l];
    for (int l = 0; i + l < count; l++)
        lanes[l] += a[i + l] * b[i + l];
    return fold(lanes);
}

/* Converts pieces of a row, small enough for the stack, for a few tokens at a time. */
static void matmul_float_c(const MatMul *job, int64_t row0, int64_t row1, const float *x, int64_t x_stride,
                           int n) {
    enum { PIECE = 512 };
    const Tensor *weight = &job->weight;
    int64_t value_bytes = weight->type == DTYPE_F32 ? 4 : 2;
    float piece[PIECE];
    for (int64_t r = row0; r < row1; r++) {
        for (int i = 0; i < n; i++) {
            float sum = 0;
            for (int64_t c = 0; c < weight->cols; c += PIECE) {
                int64_t count = weight->cols - c < PIECE ? weight->cols - c : PIECE;
                dtype_to_floats(weight->type, tensor_row(weight, r) + c * value_bytes, count, piece);
                sum += dot_floats(piece, x + i * x_stride + c, count);
            }
            matmul_store(job, r, i, sum);
        }
    }
}

/* The weights of one row over one block of keys, and how much the earlier sums shrink. */
static float soften(AttendTile *tile, int row, float *scores, int count) {
    float largest = tile->largest[row], total = 0;
    for (int k = 0; k < count; k++)
        largest = fmaxf(largest, scores[k]);
    float shrink = exp2f(tile->largest[row] - largest);
    for (int k = 0; k < count; k++)
        total += scores[k] = exp2f(scores[k] - largest);
    tile->largest[row] = largest;
    tile->total[row] = tile->total[row] * shrink + total;
    return shrink;
}

static void kv_floats(KvRows kv, int key, int count, float *out) {
    int64_t at = key * kv.row_values;
    dtype_to_floats(kv.rows_f32 ? DTYPE_F32 : DTYPE_F16,
                    kv.rows_f32 ? (const void *)(kv.rows_f32 + at) : kv.rows + at, count, out);
}

static void attend_block_c(AttendTile *tile, KvRows keys, KvRows values, int start, int count) {
    int padded = tile->padded, head_dim = tile->head_dim;
    for (int k = 0; k < count; k++) {
        kv_floats(keys, k, head_dim, tile->keys + k * padded);
        kv_floats(values, k, head_dim, tile->values + k * padded);
    }
    for (int r = 0; r < tile->rows; r++) {
        int seen = tile->last[r] - start + 1 < count ? tile->last[r] - start + 1 : count;
        if (seen <= 0)
            continue;
        float *scores = tile->scores + r * KEY_BLOCK, *sum = tile->sum + (int64_t)r * padded;
        for (int k = 0; k < seen; k++)
            scores[k] = dot_floats(tile->q + (int64_t)r * padded, tile->keys + k * padded, head_dim);
        float shrink = soften(tile, r, scores, seen);
        for (int c = 0; c < head_dim; c++)
            sum[c] *= shrink;
        for (int k = 0; k < seen; k++)
            for (int c = 0; c < head_dim; c++)
                sum[c] += scores[k] * tile->values[k * padded + c];
    }
}

static void rms_norm_c(float *out, const float *x, const float *weight, int64_t d, float eps) {
    float factor = 1 / sqrtf(dot_floats(x, x, d) / (float)d + eps);
    for (int64_t c = 0; c < d; c++)
        out[c] = x[c] * factor * weight[c];
}

static void swiglu_c(float *out, const float *gate, const float *up, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        out[i] = gate[i] / (1 + expf(-gate[i])) * up[i];
}

static void add_c(float *out, const float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        out[i] += x[i];
}

static void halves_from_floats_c(uint16_t *out, const float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        out[i] = half_from_float(x[i]);
}

static uint64_t read_sum_c(const void *bytes, size_t n) {
    uint64_t lanes[4] = {0}, words[4];
    for (size_t i = 0; i + sizeof words <= n; i += sizeof words) {
        memcpy(words, (const char *)bytes + i, sizeof words);
        for (int l = 0; l < 4; l++)
            lanes[l] += words[l];
    }
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

void cpu_kernels_c(CpuKernels *kernels) {
    *kernels = (CpuKernels){.name = "c",
                            .quantize = quantize_c,
                            .matmul_quant = matmul_quant_c,
                            .matmul_float = matmul_float_c,
                            .pack_bytes = pack_bytes_c,
                            .attend_block = attend_block_c,
                            .rms_norm = rms_norm_c,
                            .swiglu = swiglu_c,
                            .add = add_c,
                            .halves_from_floats = halves_from_floats_c,
                            .to_floats = dtype_to_floats,
                            .read_sum = read_sum_c};
}
