/* Rotary positions, and what goes into the rows of keys and values (RoFormer, Su et al. 2021).
 *
 * turn_heads does everything between projection and attention in one pass: a warp takes one head of q, k or v
 * of one token into shared memory, normalises it (when there is a weight), rotates it, and writes it back,
 * and for k and v into the row of the sequence in the row's type. write_rows only does the last of it.
 *
 * Angles: position * base^(-2j/n_rot) / factor must be right to 1e-7 of a turn even at position 100,000,
 * where float has 2^-7 left. The host passes base^(-2j/n_rot) / 2 pi in double; the device multiplies in
 * double, drops whole quarter turns, and goes on in float with at most an eighth of a turn: four double
 * operations for a pair, cheap also where double has 1/64 of the rate. Error of sine and cosine about 1e-7.
 *
 * Napkin, one token, 32 + 2 x 8 heads of 128: 41 KB of q and k in and out, 4 KB of v, 4 KB of rows in F16; a
 * token of decode is all latency (one launch instead of five); 2048 tokens 100 MB, 25 us at 4 TB/s.
 *
 * Q8_0: d = amax / 127 in float, q = x * (1 / d) to nearest even, d stored as half. Heads that are no
 * multiple of 32 wide share blocks of Q8_0: then k is rotated first and write_rows follows.
 *
 * Twins: ref rope, rms_norm, kv_write.
 */
#include "kernels/cuda/common.cuh"

#include <math.h>
#include <string.h>

enum { WARPS = 4, THREADS = 32 * WARPS, WIDEST = 256, PAIRS = WIDEST / 2 };

typedef struct TurnArgs {
    Remember r;
    bool writes_rows;   /* k and v go to their rows */
    double turn[PAIRS]; /* turns of pair j for each position, before its factor */
} TurnArgs;

/* Sine and cosine of `turns` whole turns. */
DEVICE float2 sine_and_cosine(double turns) {
    double quarters = rint(turns * 4);
    float x = (float)((turns * 4 - quarters) * 1.5707963267948966), y = x * x;
    int quarter = (int)(quarters - 4 * floor(quarters * 0.25));
    /* Taylor; |x| <= pi/4: the terms left out are below 2e-9. */
    float s = x + x * y * (-1.0f / 6 + y * (1.0f / 120 + y * (-1.0f / 5040 + y * (1.0f / 362880))));
    float c =
        1 + y * (-0.5f + y * (1.0f / 24 + y * (-1.0f / 720 + y * (1.0f / 40320 - y * (1.0f / 3628800)))));
    float sine = quarter % 2 == 0 ? s : c, cosine = quarter % 2 == 0 ? c : s;
    if (quarter >= 2)
        sine = -sine;
    if (quarter == 1 || quarter == 2)
        cosine = -cosine;
    return make_float2(sine, cosine);
}

/* Value number `column` of a row; the warp's lanes hold 32 consecutive ones that begin at a multiple of 32
 * when the type has blocks. All lanes call it. */
DEVICE void write_value(const KvRows &kv, char *row, int64_t column, float value, bool valid) {
    switch (kv.type) {
    case DTYPE_F32:
        if (valid)
            ((float *)row)[column] = value;
        break;
    case DTYPE_F16:
        if (valid)
            ((uint16_t *)row)[column] = half_bits(value);
        break;
    case DTYPE_BF16:
        if (valid)
            ((uint16_t *)row)[column] = bf16_bits(value);
        break;
    default: {
        float d = warp_max(valid ? fabsf(value) : 0.0f) / 127, inverse = d > 0 ? 1 / d : 0.0f;
        if (valid) {
            ((int8_t *)row)[column] = (int8_t)round_to_int(fminf(fmaxf(value * inverse, -127.0f), 127.0f));
            if (column % 32 == 0)
                ((uint16_t *)(row + kv.row_values))[column / 32] = half_bits(d);
        }
    }
    }
}

/* Rotates the pairs of a head; nobody but this lane touches its pairs. turn: of each pair, in shared memory.
 */
DEVICE void turn_pairs(float *head, const Remember &r, const double *turn, int position) {
    int pairs = r.n_rot / 2;
    for (int j = lane_id(); j < pairs; j += 32) {
        float2 by = sine_and_cosine(position * turn[j]);
        int first = r.kind == ROPE_NORM ? 2 * j : j, second = r.kind == ROPE_NORM ? first + 1 : j + pairs;
        float a = head[first], b = head[second];
        head[first] = a * by.y - b * by.x;
        head[second] = a * by.x + b * by.y;
    }
}

/* 1 / factor to 4e-15: a quotient in float and a step of Newton's. A division in double would be a call, with
 * registers put aside for it. */
DEVICE double exact_reciprocal(float factor) {
    double r = (double)(1.0f / factor);
    return r * (2.0 - (double)factor * r);
}

static __global__ void __launch_bounds__(THREADS) turn_heads(const TurnArgs args) {
    const Remember &r = args.r;
    int slot = (int)blockIdx.x * WARPS + warp_id(), i = (int)blockIdx.y, lane = lane_id();
    int slots = r.heads + r.kv_heads + (args.writes_rows ? r.kv_heads : 0);
    bool is_query = slot < r.heads, is_value = slot >= r.heads + r.kv_heads;
    int head = is_query ? slot : is_value ? slot - r.heads - r.kv_heads : slot - r.heads;
    int width = slot >= slots ? 0 : is_value ? r.value_dim : r.head_dim, position = r.positions[i];
    size_t at = ((size_t)i * (is_query ? r.heads : r.kv_heads) + head) * width;
    const float *from = (is_query ? r.q : is_value ? r.v : r.k) + at;
    const float *weight = is_query ? r.q_norm : is_value ? (const float *)0 : r.k_norm;

    double *turn = (double *)block_shared();
    float *shared = (float *)(turn + PAIRS) + warp_id() * WIDEST, squares = 0, value[WIDEST / 32];
    UNROLL for (int k = 0; k < WIDEST / 32; k++) {
        int c = lane + 32 * k;
        value[k] = c < width ? from[c] : 0.0f;
        squares += value[k] * value[k];
    }
    /* Arguments serve one address at a time: a warp reads each turn once, for the block. */
    for (int j = (int)threadIdx.x; j < r.n_rot / 2; j += THREADS)
        turn[j] = r.factors ? args.turn[j] * exact_reciprocal(r.factors[j]) : args.turn[j];
    block_sync();
    if (slot >= slots)
        return;
    if (weight) {
        float factor = 1 / sqrtf(warp_sum(squares) / width + r.eps);
        UNROLL for (int k = 0; k < WIDEST / 32; k++) {
            int c = lane + 32 * k;
            if (c < width)
                value[k] *= factor * weight[c];
        }
    }
    UNROLL for (int k = 0; k < WIDEST / 32; k++) {
        if (lane + 32 * k < width)
            shared[lane + 32 * k] = value[k];
    }
    warp_sync();
    if (!is_value)
        turn_pairs(shared, r, turn, position);
    warp_sync();

    float *to = is_query ? r.q + at : r.k + at;
    const KvRows &kv = is_value ? r.values : r.keys;
    char *row = args.writes_rows && !is_query ? (char *)kv_row(kv, position) : (char *)0;
    UNROLL for (int k = 0; k < WIDEST / 32; k++) {
        int c = lane + 32 * k;
        if (32 * k < width) {
            float result = c < width ? shared[c] : 0.0f;
            if (!is_value && c < width)
                to[c] = result;
            if (row)
                write_value(kv, row, (int64_t)head * width + c, result, c < width);
        }
    }
}

typedef struct WriteArgs {
    KvRows kv;
    const float *x;
    const int32_t *positions;
} WriteArgs;

enum { WRITE_EACH = 4 };

/* A warp writes 128 values of a row. */
static __global__ void __launch_bounds__(THREADS) write_rows(const WriteArgs args) {
    int i = (int)blockIdx.y;
    int64_t first = ((int64_t)blockIdx.x * WARPS + warp_id()) * (32 * WRITE_EACH), width = args.kv.row_values;
    const float *x = args.x + i * width;
    char *row = (char *)kv_row(args.kv, args.positions[i]);
    float value[WRITE_EACH];
    UNROLL for (int k = 0; k < WRITE_EACH; k++) {
        int64_t c = first + 32 * k + lane_id();
        value[k] = c < width ? x[c] : 0.0f;
    }
    UNROLL for (int k = 0; k < WRITE_EACH; k++) {
        int64_t c = first + 32 * k + lane_id();
        if (first + 32 * k < width)
            write_value(args.kv, row, c, value[k], c < width);
    }
}

/* Fills in the turns of each pair; by repeated products, 1e-14 relative. */
static bool launch_turns(CudaQueue *queue, const Remember *r, bool writes_rows) {
    if (r->head_dim > WIDEST || r->value_dim > WIDEST || r->n_rot > r->head_dim || r->n_rot % 2 != 0)
        return false;
    TurnArgs args;
    memset(&args, 0, sizeof args); /* recorded launches are compared byte for byte */
    args.r = *r;
    args.writes_rows = writes_rows;
    double ratio = r->n_rot > 0 ? pow((double)r->base, -2.0 / r->n_rot) : 0;
    double turn = 0.15915494309189535; /* 1 / 2 pi */
    for (int j = 0; j < r->n_rot / 2; j++, turn *= ratio)
        args.turn[j] = turn;
    int slots = r->heads + (writes_rows ? 2 : 1) * r->kv_heads;
    Extent grid = {(unsigned)((slots + WARPS - 1) / WARPS), (unsigned)r->n, 1}, block = {THREADS, 1, 1};
    LAUNCH(queue, grid, block, PAIRS * sizeof(double) + WARPS * WIDEST * sizeof(float), args, turn_heads);
    return true;
}

static bool has_rows_of(DType type) {
    return type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16 || type == DTYPE_Q8_0;
}

extern "C" bool cuda_rope(CudaQueue *queue, const RopeArgs *a) {
    Remember r;
    memset(&r, 0, sizeof r);
    r.q = a->x;
    r.positions = a->positions;
    r.n = a->n;
    r.heads = a->heads;
    r.head_dim = a->head_dim;
    r.n_rot = a->n_rot;
    r.kind = a->kind;
    r.base = a->base;
    r.factors = a->factors;
    return launch_turns(queue, &r, false);
}

extern "C" bool cuda_kv_write(CudaQueue *queue, KvRows kv, const float *x, const int32_t *positions, int n) {
    if (!has_rows_of(kv.type) || (kv.type == DTYPE_Q8_0 && kv.row_values % 32 != 0))
        return false;
    WriteArgs args;
    memset(&args, 0, sizeof args);
    args.kv = kv;
    args.x = x;
    args.positions = positions;
    const int64_t each = 32 * WRITE_EACH * WARPS;
    Extent grid = {(unsigned)((kv.row_values + each - 1) / each), (unsigned)n, 1}, block = {THREADS, 1, 1};
    LAUNCH(queue, grid, block, 0, args, write_rows);
    return true;
}

extern "C" bool cuda_remember(CudaQueue *queue, const Remember *r) {
    bool shares_blocks = (r->keys.type == DTYPE_Q8_0 && r->head_dim % 32 != 0) ||
                         (r->values.type == DTYPE_Q8_0 && r->value_dim % 32 != 0);
    if (!has_rows_of(r->keys.type) || !has_rows_of(r->values.type))
        return false;
    if (!shares_blocks)
        return launch_turns(queue, r, true);
    if (r->keys.row_values % 32 != 0 || r->values.row_values % 32 != 0)
        return false;
    return launch_turns(queue, r, false) && cuda_kv_write(queue, r->keys, r->k, r->positions, r->n) &&
           cuda_kv_write(queue, r->values, r->v, r->positions, r->n);
}
