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
        int sums[2] = {0, 0};
        for (int j = 0; j < QUANT_BLOCK; j++) {
            float scaled =
                fminf(fmaxf(x[j] * inverse, -127), 127); /* a NaN becomes -127 here, never undefined */
            sums[j / 16] += q[j] = (int8_t)lrintf(scaled);
        }
        out.d[row * blocks + b] = d;
        out.offsets[row * blocks + b] = -128 * (sums[0] + sums[1]);
        out.half_offsets[2 * (row * blocks + b)] = -128 * sums[0];
        out.half_offsets[2 * (row * blocks + b) + 1] = -128 * sums[1];
    }
}

/* One row of bytes with up to two scales and a min for each 32. */
static size_t pack_bytes_c(int64_t cols) {
    return (size_t)cols + (size_t)cols / QUANT_BLOCK * 3 * sizeof(float);
}

static int dot_16(const int8_t *a, const int8_t *b) {
    int sum = 0;
    for (int j = 0; j < 16; j++)
        sum += a[j] * b[j];
    return sum;
}

/* One weight row as bytes, and for each 32 of them: value = q * d[0] (the second half: d[1]) - min. */
typedef struct UnpackedRow {
    int8_t *q;
    float *d, *mins;
} UnpackedRow;

static void unpack_nibbles(int8_t *q, const uint8_t *nibbles, int zero) {
    for (int j = 0; j < 16; j++) {
        q[j] = (int8_t)((nibbles[j] & 15) - zero);
        q[j + 16] = (int8_t)((nibbles[j] >> 4) - zero);
    }
}

/* Types whose block is 32 values with one scale. */
static void unpack_short(DType type, const uint8_t *block, UnpackedRow row) {
    int8_t *q = row.q;
    row.d[0] = row.d[1] = type == DTYPE_MXFP4 ? mxfp4_half_scale(block[0]) : half_to_float(load_u16(block));
    switch (type) {
    case DTYPE_Q8_0: memcpy(q, block + 2, QUANT_BLOCK); break;
    case DTYPE_Q4_0: unpack_nibbles(q, block + 2, 8); break;
    case DTYPE_Q5_0:
        unpack_nibbles(q, block + 6, 16);
        for (int j = 0; j < QUANT_BLOCK; j++)
            q[j] = (int8_t)(q[j] + (block[2 + j / 8] >> j % 8 & 1) * 16);
        break;
    default: /* MXFP4 */
        for (int j = 0; j < 16; j++) {
            q[j] = E2M1_DOUBLED[block[1 + j] & 15];
            q[j + 16] = E2M1_DOUBLED[block[1 + j] >> 4];
        }
    }
}

/* Part s (of eight) of a block of 256. */
static void unpack_part(DType type, const uint8_t *block, int s, UnpackedRow row) {
    if (type == DTYPE_Q6_K) {
        const uint8_t *low = block + s / 4 * 64 + (s & 1) * 32, *high = block + 128 + s / 4 * 32;
        int low_shift = s % 4 / 2 * 4, high_shift = s % 4 * 2;
        for (int j = 0; j < QUANT_BLOCK; j++)
            row.q[j] = (int8_t)(((low[j] >> low_shift & 15) | (high[j] >> high_shift & 3) << 4) - 32);
        float d = half_to_float(load_u16(block + 208));
        row.d[0] = d * (float)(int8_t)block[192 + 2 * s];
        row.d[1] = d * (float)(int8_t)block[193 + 2 * s];
        return;
    }
    const uint8_t *nibbles = block + (type == DTYPE_Q5_K ? 48 : 16) + s / 2 * 32;
    for (int j = 0; j < QUANT_BLOCK; j++)
        row.q[j] = (int8_t)(nibbles[j] >> (s & 1) * 4 & 15);
    for (int j = 0; j < QUANT_BLOCK && type == DTYPE_Q5_K; j++)
        row.q[j] = (int8_t)(row.q[j] | (block[16 + j] >> s & 1) << 4);
    int scale, min;
    k_scale_and_min(block + 4, s, &scale, &min);
    row.d[0] = row.d[1] = half_to_float(load_u16(block)) * (float)scale;
    row.mins[0] = half_to_float(load_u16(block + 2)) * (float)min;
}

static void unpack_row(const MatMul *job, int64_t r, UnpackedRow row) {
    DType type = job->weight.type;
    const DTypeInfo *info = dtype_info((uint32_t)type);
    const uint8_t *bytes = tensor_row(&job->weight, r);
    int parts = info->block_values / QUANT_BLOCK;
    for (int64_t b = 0; b < job->weight.cols / QUANT_BLOCK; b++) {
        const uint8_t *block = bytes + b / parts * info->block_bytes;
        if (parts == 1)
            unpack_short(type, block, row);
        else
            unpack_part(type, block, (int)(b % parts), row);
        row.q += QUANT_BLOCK, row.d += 2, row.mins++;
    }
}

static float dot_quant(UnpackedRow row, DType type, const int8_t *q, const float *d, const int32_t *offsets,
                       int64_t blocks) {
    float sum = 0;
    for (int64_t b = 0; b < blocks; b++, q += QUANT_BLOCK, row.q += QUANT_BLOCK) {
        int first = dot_16(row.q, q), second = dot_16(row.q + 16, q + 16);
        if (type == DTYPE_Q6_K) {
            sum += (float)first * (row.d[2 * b] * d[b]);
            sum += (float)second * (row.d[2 * b + 1] * d[b]);
        } else {
            sum += (float)(first + second) * (row.d[2 * b] * d[b]);
        }
        if (type == DTYPE_Q4_K || type == DTYPE_Q5_K) /* offsets are -128 times the sum that mins multiply */
            sum += row.mins[b] * ((float)offsets[b] * d[b] * 0x1p-7f);
    }
    return sum;
}

static void matmul_quant_c(const MatMul *job, int64_t row0, int64_t row1, QuantRows x, int n, void *pack) {
    int64_t blocks = x.cols / QUANT_BLOCK;
    float *d = pack;
    UnpackedRow row = {(int8_t *)(d + 3 * blocks), d, d + 2 * blocks};
    for (int64_t r = row0; r < row1; r++) {
        unpack_row(job, r, row);
        for (int i = 0; i < n; i++)
            matmul_store(job, r, i,
                         dot_quant(row, job->weight.type, x.q + i * x.cols, x.d + i * blocks,
                                   x.offsets + i * blocks, blocks));
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

static void attend_block_c(AttendTile *tile, KvBlock keys, KvBlock values, int start, int count) {
    int padded = tile->padded, value_padded = tile->value_padded;
    for (int k = 0; k < count; k++) {
        dtype_to_floats(keys.is_f32 ? DTYPE_F32 : DTYPE_F16, keys.at + (size_t)k * keys.row_bytes,
                        tile->head_dim, tile->keys + k * padded);
        dtype_to_floats(values.is_f32 ? DTYPE_F32 : DTYPE_F16, values.at + (size_t)k * values.row_bytes,
                        tile->value_dim, tile->values + k * value_padded);
    }
    for (int r = 0; r < tile->rows; r++) {
        KeySpan span = keys_seen(tile, r, start, count);
        if (span.from >= span.to)
            continue;
        float *scores = tile->scores + r * KEY_BLOCK, *sum = tile->sum + (int64_t)r * value_padded;
        for (int k = span.from; k < span.to; k++)
            scores[k] = dot_floats(tile->q + (int64_t)r * padded, tile->keys + k * padded, tile->head_dim);
        attend_limit_scores(tile, r, span);
        float shrink = soften(tile, r, scores, span.to);
        for (int c = 0; c < tile->value_dim; c++)
            sum[c] *= shrink;
        for (int k = span.from; k < span.to; k++)
            for (int c = 0; c < tile->value_dim; c++)
                sum[c] += scores[k] * tile->values[k * value_padded + c];
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
