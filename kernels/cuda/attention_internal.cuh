/* Attention, what its kernels share: which keys a row sees, scores in powers of two, tiles of keys or values
 * on their way to shared memory, and the pieces of a row's result.
 *
 * Scores: s = q . k * scale * log2(e), so that exp(x) is one instruction (2^s). A running softmax keeps the
 * largest score m, the sum l of 2^(s - m) and the vector o of sums of 2^(s - m) v; two of them join by
 * scaling both to the larger m.
 *
 * Tiles: `ROWS` consecutive positions of one KV head as 16-bit values, each row 16 bytes longer than its
 * values: the eight rows that ldmatrix reads at a time then lie in eight different groups of four banks (any
 * width that is a multiple of 16). Rows travel by copy_async16; those of Q8_0 to a place of their
 * own, from where each thread multiplies what it fetched out to F16: 8 bits times an 11-bit scale, rounded
 * once, 2^-12 relative (beyond 65504 infinite, as F16 rows would be). Positions outside what the block sees
 * become zeros and are never read.
 */
#ifndef MUX_KERNELS_CUDA_ATTENTION_INTERNAL_CUH
#define MUX_KERNELS_CUDA_ATTENTION_INTERNAL_CUH

#include "kernels/cuda/common.cuh"

#include <math.h>
#include <string.h>

#define LOG2_E 1.44269504088896341f
#define NEGATIVE_INFINITY (-INFINITY)

/* Head sizes of the tensor core kernels, keys and values: everything else goes to attend_any. */
#define ATTENTION_WIDTHS(USE) USE(64, 64) USE(80, 80) USE(96, 96) USE(128, 128) USE(256, 256) USE(192, 128)

LAYOUT_FUNCTION int first_key(int position, int window) {
    return window > 0 && position >= window ? position - window + 1 : 0;
}

/* ---- splits of the keys (decode) ---- */

/* At most this many splits of a power of two of keys, at least SPLIT_LEAST, counted from position 0: the
 * splits of a row depend on its own position and the window, on nothing else. */
enum { SPLIT_LEAST = 128, SPLIT_COUNT = 64 };

LAYOUT_FUNCTION int split_size(int visible) {
    int size = SPLIT_LEAST;
    while (visible > size * SPLIT_COUNT)
        size *= 2;
    return size;
}

typedef struct SplitRange {
    int begin, end; /* first and last key */
    int start;      /* where the split begins, maybe before begin */
    int size;
} SplitRange;

/* Split `index` of a row at `position`; false when the row has fewer. */
DEVICE bool split_range(SplitRange &range, int position, int window, int index) {
    int first = first_key(position, window);
    range.size = split_size(position - first + 1);
    range.start = (first / range.size + index) * range.size;
    range.begin = range.start > first ? range.start : first;
    range.end = range.start + range.size - 1 < position ? range.start + range.size - 1 : position;
    return range.start <= position;
}
DEVICE int split_count(int position, int window) {
    int first = first_key(position, window), size = split_size(position - first + 1);
    return position / size - first / size + 1;
}

/* Partial results: [n, heads, splits, value_dim] vectors o, then [n, heads, splits] pairs (m, l). NULL: one
 * split holds all keys, and the result is written at once. */
typedef struct SplitArgs {
    Attend a;
    float *partial;
    int splits;                          /* room for so many in partial */
    int head_groups;                     /* blocks along the heads of one KV head */
    int depth;                           /* tiles on their way at a time */
    bool keys_in_pages, values_in_pages; /* a tile may cross pages */
} SplitArgs;

DEVICE float *partial_vector(const SplitArgs &args, int i, int head, int split) {
    const Attend &a = args.a;
    return args.partial + (((size_t)i * a.heads + head) * args.splits + split) * a.value_dim;
}
DEVICE float *partial_pair(const SplitArgs &args, int i, int head, int split) {
    const Attend &a = args.a;
    return args.partial + (size_t)a.n * a.heads * args.splits * a.value_dim +
           (((size_t)i * a.heads + head) * args.splits + split) * 2;
}

/* Any head sizes (multiples of 8 up to 256) and any type of rows, in float arithmetic: decode with partial
 * results, or all rows at once when partial is NULL (attention_decode.cu). */
bool attend_any(CudaQueue *queue, const Attend *a, float *partial, int splits);

/* ---- scores ---- */

/* limit = softcap * log2(e): limit * tanh(score / limit), absolute error some 1e-7 * limit. */
DEVICE float cap_score(float score, float limit) {
    float e = fast_exp2(score * (2 * LOG2_E / limit));
    return limit - 2 * limit * fast_reciprocal(e + 1);
}

/* 2^(m - to), 0 for an empty m (to may be empty too). */
DEVICE float power_between(float m, float to) {
    return m == NEGATIVE_INFINITY ? 0.0f : fast_exp2(m - to);
}

template <DType TYPE> DEVICE uint32_t pack2(float low, float high) {
    return TYPE == DTYPE_BF16 ? pack_bf16x2(low, high) : pack_half2(low, high);
}
template <DType TYPE> DEVICE float2 unpack2(uint32_t packed) {
    return TYPE == DTYPE_BF16 ? unpack_bf16x2(packed) : unpack_half2(packed);
}
template <DType TYPE> DEVICE void mma16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    if (TYPE == DTYPE_BF16)
        mma_bf16(d, a, b);
    else
        mma_f16(d, a, b);
}

/* ---- tiles ---- */

/* In shared memory: the rows, then for Q8_0 the bytes as they arrive. */
template <DType TYPE, int WIDTH, int ROWS, int THREADS> struct Tile {
    enum {
        PITCH = WIDTH * 2 + 16,                         /* bytes of a row */
        CHUNK_VALUES = TYPE == DTYPE_Q8_0 ? 16 : 8,     /* in 16 bytes of the source */
        CHUNKS = WIDTH / CHUNK_VALUES,                  /* of a row */
        EACH = (ROWS * CHUNKS + THREADS - 1) / THREADS, /* chunks of one thread */
        RAW_AT = ROWS * PITCH,
        BYTES = RAW_AT + (TYPE == DTYPE_Q8_0 ? ROWS * WIDTH : 0)
    };
    uint16_t scale[TYPE == DTYPE_Q8_0 ? (int)EACH : 1]; /* of the chunks on their way */
};

/* Chunk i of thread `me`: its row and place in the row. */
template <int CHUNKS, int THREADS> DEVICE void chunk_place(int me, int i, int &row, int &chunk) {
    if (THREADS % CHUNKS == 0) {
        row = me / CHUNKS + i * (THREADS / CHUNKS);
        chunk = me % CHUNKS;
    } else {
        row = (me + i * THREADS) / CHUNKS;
        chunk = (me + i * THREADS) % CHUNKS;
    }
}

/* Starts the way of the tile at position p0 (a multiple of ROWS; it holds at least one of begin..end) of the
 * head whose first value in a row is number `column`. */
template <DType TYPE, int WIDTH, int ROWS, int THREADS>
DEVICE void tile_fetch(Tile<TYPE, WIDTH, ROWS, THREADS> &tile, unsigned char *shared, const KvRows &kv,
                       bool crosses_pages, int column, int p0, int begin, int end, int me) {
    typedef Tile<TYPE, WIDTH, ROWS, THREADS> Shape;
    const char *base = crosses_pages ? (const char *)0 : kv_row(kv, p0);
    /* Copies to shared memory hold no registers (scales do): a rolled loop leaves them to the sums. */
    _Pragma("unroll(TYPE == DTYPE_Q8_0 ? (int)Shape::EACH : 1)") for (int i = 0; i < Shape::EACH; i++) {
        int row, chunk;
        chunk_place<Shape::CHUNKS, THREADS>(me, i, row, chunk);
        if (ROWS * Shape::CHUNKS % THREADS != 0 && row >= ROWS)
            break;
        int p = p0 + row, seen = p < begin ? begin : p > end ? end : p;
        const char *from = crosses_pages ? kv_row(kv, seen) : base + (size_t)(seen - p0) * kv.row_bytes;
        if constexpr (TYPE == DTYPE_Q8_0) {
            int value = column + chunk * 16;
            copy_async16(shared + Shape::RAW_AT + (row * Shape::CHUNKS + chunk) * 16, from + value,
                         p == seen);
            tile.scale[i] = p == seen ? load2(from + kv.row_values + value / 32 * 2) : (uint16_t)0;
        } else {
            copy_async16(shared + row * Shape::PITCH + chunk * 16, from + (column + chunk * 8) * 2,
                         p == seen);
        }
    }
}

/* Four int8 times d, as F16. With 2^15 + 128 + q as a float made of q's bits, minus the same of 0, all exact.
 */
DEVICE uint2 scale_bytes(uint32_t bytes, float d) {
    uint32_t biased = bytes ^ 0x80808080u;
    float zero = -32896.0f * d, value[4];
    UNROLL for (int i = 0; i < 4; i++) value[i] =
        fmaf(float_from_bits(pick_bytes(biased, 0x47000000u, 0x7404u + 0x10u * (unsigned)i)), d, zero);
    return make_uint2(pack_half2(value[0], value[1]), pack_half2(value[2], value[3]));
}

/* After copy_async_wait: what this thread fetched is in shared memory; others see it after a barrier. */
template <DType TYPE, int WIDTH, int ROWS, int THREADS>
DEVICE void tile_arrive(const Tile<TYPE, WIDTH, ROWS, THREADS> &tile, unsigned char *shared, int me) {
    typedef Tile<TYPE, WIDTH, ROWS, THREADS> Shape;
    if constexpr (TYPE == DTYPE_Q8_0) {
        UNROLL for (int i = 0; i < Shape::EACH; i++) {
            int row, chunk;
            chunk_place<Shape::CHUNKS, THREADS>(me, i, row, chunk);
            if (ROWS * Shape::CHUNKS % THREADS != 0 && row >= ROWS)
                break;
            float d = half_value(tile.scale[i]);
            uint4 raw = load16(shared + Shape::RAW_AT + (row * Shape::CHUNKS + chunk) * 16);
            uint2 a = scale_bytes(raw.x, d), b = scale_bytes(raw.y, d);
            uint2 c = scale_bytes(raw.z, d), e = scale_bytes(raw.w, d);
            unsigned char *to = shared + row * Shape::PITCH + chunk * 32;
            store16(to, make_uint4(a.x, a.y, b.x, b.y));
            store16(to + 16, make_uint4(c.x, c.y, e.x, e.y));
        }
    }
}

/* B fragments of keys: 16 keys from row `key` on, 16 dims from `dim` on; b[0..1] for the first 8 keys. */
template <int PITCH>
DEVICE void load_key_fragments(uint32_t b[4], const unsigned char *tile, int key, int dim) {
    int lane = lane_id();
    ldmatrix_x4(b, tile + (key + (lane & 7) + (lane >> 4) * 8) * PITCH + (dim + ((lane >> 3) & 1) * 8) * 2);
}
/* B fragments of values: 16 keys from row `key` on, 16 columns from `dim` on; b[0..1] for the first 8. */
template <int PITCH>
DEVICE void load_value_fragments(uint32_t b[4], const unsigned char *tile, int key, int dim) {
    int lane = lane_id();
    ldmatrix_x4_trans(b, tile + (key + (lane & 15)) * PITCH + (dim + (lane >> 4) * 8) * 2);
}

/* Whether tiles of `rows` positions may cross pages. */
static inline bool crosses_pages(const KvRows *kv, int rows) {
    return kv->pages && kv->page_rows % rows != 0;
}

#endif
