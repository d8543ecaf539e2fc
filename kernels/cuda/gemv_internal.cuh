/* Dot products of weight rows with activations, by a team of lanes: what gemv_float.cu, gemv_quant.cu and the
 * experts are made of.
 *
 * A row is a sequence of chunks: the 16 bytes of its low plane that one lane loads at once, and what of the
 * other planes belongs to them. Lane `first` of a team of `lanes` takes chunks first, first + lanes, ... and
 * adds them up in that order, whatever R (rows at once), N (activation rows at once) and U (chunks in flight
 * per row) are: the sums of a row have the same bits in every instance. Products and sums are written as
 * fmaf, never as a * b + c, so that no compiler fuses them in one instance and not in another.
 *
 *   format      chunk                              activations of a chunk
 *   floats      8 (F32: 4) values                  the same values, 2 (1) x 16 bytes
 *   Q8_0        16 values, half a block            16 bytes
 *   Q4_0 MXFP4  a block of 32                      32 bytes
 *   Q4_K Q5_K   16 values each of two sub-blocks   2 x 16 bytes, 32 apart
 *   Q6_K        16 values each of two quarters     2 x 16 bytes, 64 apart
 *
 * Weights go past the L1 (each is used once); activations come through it (every warp of a processor reads
 * the same ones), which needs neither staging nor a barrier.
 */
#ifndef MUX_KERNELS_CUDA_GEMV_INTERNAL_CUH
#define MUX_KERNELS_CUDA_GEMV_INTERNAL_CUH

#include "kernels/cuda/common.cuh"

/* Where things lie in a row of cols values. */
typedef struct GemvPlanes {
    int high, scales, deltas, end;
    int chunks; /* whole ones */
    int tail;   /* values behind the last whole chunk (floats only) */
} GemvPlanes;

/* Rows of activations: floats, or int8 with {d, d * sum} for each 32. */
typedef struct GemvX {
    const char *base;
    int64_t stride;     /* bytes from row to row */
    const float *scale; /* NULL for floats */
    int64_t scale_stride;
} GemvX;

/* ---- on the host ---- */

static inline GemvPlanes gemv_planes(DType type, int64_t cols) {
    GemvPlanes planes = {0, 0, 0, 0, 0, 0};
    if (layout_is_planar(type)) {
        PlanarRow row = planar_row(type, cols);
        planes.high = (int)row.high;
        planes.scales = (int)row.scales;
        planes.deltas = (int)row.deltas;
        planes.end = (int)row.row_bytes;
        planes.chunks = (int)(type == DTYPE_Q8_0 ? cols / 16 : cols / 32);
    } else {
        int values = type == DTYPE_F32 ? 4 : 8;
        planes.chunks = (int)(cols / values);
        planes.tail = (int)(cols % values);
    }
    return planes;
}

static inline GemvX gemv_x_float(const float *x, int64_t x_stride) {
    GemvX view = {(const char *)x, x_stride * 4, NULL, 0};
    return view;
}

static inline GemvX gemv_x_q8(Q8Rows rows) {
    GemvX view = {(const char *)rows.q, rows.cols, rows.scale, rows.cols / 32 * 2};
    return view;
}

/* ---- formats ----
 * Raw: a chunk as loaded. Weight: unpacked, ready for several activations. X: the activations it meets.
 * REST, rest, fetch: for the stream below, the bytes of the other planes that a step of 32 chunks has, where
 * in the row each 16 of them lie, and a chunk read from the copies of the step.
 * VALUES: values of a chunk where rows may end within one; 0 = they never do.
 * place = chunk % 8, the same for all chunks of a lane, which is why a team has a multiple of 8 lanes. */

DEVICE int dot16(uint4 a, uint4 b, int sum) {
    sum = dot4((int)a.x, (int)b.x, sum);
    sum = dot4((int)a.y, (int)b.y, sum);
    sum = dot4((int)a.z, (int)b.z, sum);
    return dot4((int)a.w, (int)b.w, sum);
}
DEVICE uint4 low_nibbles(uint4 a) {
    return make_uint4(a.x & 0x0F0F0F0Fu, a.y & 0x0F0F0F0Fu, a.z & 0x0F0F0F0Fu, a.w & 0x0F0F0F0Fu);
}
DEVICE uint4 high_nibbles(uint4 a) {
    return make_uint4(a.x >> 4 & 0x0F0F0F0Fu, a.y >> 4 & 0x0F0F0F0Fu, a.z >> 4 & 0x0F0F0F0Fu,
                      a.w >> 4 & 0x0F0F0F0Fu);
}
DEVICE uint4 shift_right(uint4 a, int by) {
    return make_uint4(a.x >> by, a.y >> by, a.z >> by, a.w >> by);
}
/* a with the bits of mask taken from b << by. */
DEVICE uint4 join_bits(uint4 a, uint4 b, int by, uint32_t mask) {
    return make_uint4(a.x | (b.x << by & mask), a.y | (b.y << by & mask), a.z | (b.z << by & mask),
                      a.w | (b.w << by & mask));
}

/* value[i] * x[i] added to sum one after the other. */
DEVICE float add_products(const float (&value)[4], uint4 x, float sum) {
    sum = fmaf(value[0], float_from_bits(x.x), sum);
    sum = fmaf(value[1], float_from_bits(x.y), sum);
    sum = fmaf(value[2], float_from_bits(x.z), sum);
    return fmaf(value[3], float_from_bits(x.w), sum);
}
/* Four floats at any address, or at one of 16 bytes. */
template <bool is_aligned> DEVICE uint4 load_floats(const char *at) {
    if (is_aligned)
        return load16(at);
    return make_uint4(load4(at), load4(at + 4), load4(at + 8), load4(at + 12));
}

template <bool is_aligned> struct FormatF32 {
    static const int VALUES = 4;
    static const bool IS_K = false;
    typedef uint4 Raw;
    struct Weight {
        float value[4];
    };
    typedef uint4 X;
    DEVICE Raw load(const char *row, const GemvPlanes &, int chunk, int) {
        return load16_once(row + (int64_t)chunk * 16);
    }
    static const int REST = 0;
    DEVICE int rest(const GemvPlanes &, int, int) { return 0; }
    DEVICE Raw fetch(const char *low, const char *, int) { return load16(low); }
    DEVICE Weight unpack(const Raw &raw, int) {
        Weight w = {
            {float_from_bits(raw.x), float_from_bits(raw.y), float_from_bits(raw.z), float_from_bits(raw.w)}};
        return w;
    }
    DEVICE X load_x(const char *base, const float *, int chunk, int) {
        return load_floats<is_aligned>(base + (int64_t)chunk * 16);
    }
    DEVICE float add(const Weight &w, const X &x, float sum) { return add_products(w.value, x, sum); }
    DEVICE float one(const char *row, int i) { return float_from_bits(load4(row + (int64_t)i * 4)); }
};

struct X8 {
    uint4 low, high;
};

template <bool is_bf16, bool is_aligned> struct Format16 {
    static const int VALUES = 8;
    static const bool IS_K = false;
    typedef uint4 Raw;
    struct Weight {
        float low[4], high[4];
    };
    typedef X8 X;
    DEVICE float2 pair(uint32_t packed) { return is_bf16 ? unpack_bf16x2(packed) : unpack_half2(packed); }
    DEVICE Raw load(const char *row, const GemvPlanes &, int chunk, int) {
        return load16_once(row + (int64_t)chunk * 16);
    }
    static const int REST = 0;
    DEVICE int rest(const GemvPlanes &, int, int) { return 0; }
    DEVICE Raw fetch(const char *low, const char *, int) { return load16(low); }
    DEVICE Weight unpack(const Raw &raw, int) {
        float2 a = pair(raw.x), b = pair(raw.y), c = pair(raw.z), d = pair(raw.w);
        Weight w = {{a.x, a.y, b.x, b.y}, {c.x, c.y, d.x, d.y}};
        return w;
    }
    DEVICE X load_x(const char *base, const float *, int chunk, int) {
        const char *at = base + (int64_t)chunk * 32;
        X x = {load_floats<is_aligned>(at), load_floats<is_aligned>(at + 16)};
        return x;
    }
    DEVICE float add(const Weight &w, const X &x, float sum) {
        return add_products(w.high, x.high, add_products(w.low, x.low, sum));
    }
    DEVICE float one(const char *row, int i) {
        uint16_t bits = load2(row + (int64_t)i * 2);
        return is_bf16 ? bf16_value(bits) : half_value(bits);
    }
};

struct FormatQ8 {
    static const int VALUES = 0;
    static const bool IS_K = false;
    struct Raw {
        uint4 low;
        uint16_t delta;
    };
    struct Weight {
        uint4 q;
        float d;
    };
    struct X {
        uint4 q;
        float d;
    };
    DEVICE Raw load(const char *row, const GemvPlanes &planes, int chunk, int) {
        Raw raw = {load16_once(row + (int64_t)chunk * 16), load2(row + planes.deltas + (chunk & ~1))};
        return raw;
    }
    static const int REST = 32;
    DEVICE int rest(const GemvPlanes &planes, int chunk, int piece) {
        return planes.deltas + chunk + piece * 16;
    }
    DEVICE Raw fetch(const char *low, const char *rest, int chunk) {
        Raw raw = {load16(low), load2(rest + (chunk & 30))};
        return raw;
    }
    DEVICE Weight unpack(const Raw &raw, int) {
        Weight w = {raw.low, half_value(raw.delta)};
        return w;
    }
    DEVICE X load_x(const char *base, const float *scale, int chunk, int) {
        X x = {load16(base + (int64_t)chunk * 16), scale[chunk & ~1]};
        return x;
    }
    DEVICE float add(const Weight &w, const X &x, float sum) {
        return fmaf(w.d, x.d * (float)dot16(w.q, x.q, 0), sum);
    }
};

/* Blocks of 32 nibbles: bytes hold values j and j + 16. */
struct XBlock {
    uint4 low, high;
    float d, sum; /* sum = d * (sum of the int8) */
};
DEVICE XBlock load_x_block(const char *base, const float *scale, int block) {
    const char *at = base + (int64_t)block * 32;
    uint2 pair = load8(scale + (int64_t)block * 2);
    XBlock x = {load16(at), load16(at + 16), float_from_bits(pair.x), float_from_bits(pair.y)};
    return x;
}

struct FormatQ4 {
    static const int VALUES = 0;
    static const bool IS_K = false;
    struct Raw {
        uint4 low;
        uint16_t delta;
    };
    struct Weight {
        uint4 low, high;
        float d;
    };
    typedef XBlock X;
    DEVICE Raw load(const char *row, const GemvPlanes &planes, int chunk, int) {
        Raw raw = {load16_once(row + (int64_t)chunk * 16), load2(row + planes.deltas + chunk * 2)};
        return raw;
    }
    static const int REST = 64;
    DEVICE int rest(const GemvPlanes &planes, int chunk, int piece) {
        return planes.deltas + chunk * 2 + piece * 16;
    }
    DEVICE Raw fetch(const char *low, const char *rest, int chunk) {
        Raw raw = {load16(low), load2(rest + (chunk & 31) * 2)};
        return raw;
    }
    DEVICE Weight unpack(const Raw &raw, int) {
        Weight w = {low_nibbles(raw.low), high_nibbles(raw.low), half_value(raw.delta)};
        return w;
    }
    DEVICE X load_x(const char *base, const float *scale, int chunk, int) {
        return load_x_block(base, scale, chunk);
    }
    DEVICE float add(const Weight &w, const X &x, float sum) {
        int dot = dot16(w.high, x.high, dot16(w.low, x.low, 0));
        return fmaf(w.d, fmaf(x.d, (float)dot, -8.0f * x.sum), sum);
    }
};

/* Twice the values of the nibbles: the low three bits look up both signs, the top bits choose between them.
 * Bytes come out in the order of the nibbles, which are values 0, 16, 1, 17 of a block. */
DEVICE uint32_t mxfp4_bytes(uint32_t places, uint32_t choice) {
    return pick_bytes(pick_bytes(0x03020100u, 0x0C080604u, places),
                      pick_bytes(0xFDFEFF00u, 0xF4F8FAFCu, places), choice);
}
/* 2^(e - 128), subnormal for e = 0 and 1. */
DEVICE float mxfp4_half_scale(uint8_t e) {
    return float_from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

struct FormatMxfp4 {
    static const int VALUES = 0;
    static const bool IS_K = false;
    struct Raw {
        uint4 low;
        uint8_t exponent;
    };
    struct Weight {
        uint4 low, high;
        float d;
    };
    typedef XBlock X;
    DEVICE Raw load(const char *row, const GemvPlanes &planes, int chunk, int) {
        Raw raw = {load16_once(row + (int64_t)chunk * 16), (uint8_t)row[planes.scales + chunk]};
        return raw;
    }
    static const int REST = 32;
    DEVICE int rest(const GemvPlanes &planes, int chunk, int piece) {
        return planes.scales + chunk + piece * 16;
    }
    DEVICE Raw fetch(const char *low, const char *rest, int chunk) {
        Raw raw = {load16(low), (uint8_t)rest[chunk & 31]};
        return raw;
    }
    DEVICE void unpack_word(uint32_t word, uint32_t *low, uint32_t *high) {
        uint32_t places = word & 0x77777777u, choice = (word & 0x88888888u) >> 1 | 0x32103210u;
        uint32_t a = mxfp4_bytes(places & 0xFFFFu, choice & 0xFFFFu);
        uint32_t b = mxfp4_bytes(places >> 16, choice >> 16);
        *low = pick_bytes(a, b, 0x6420);
        *high = pick_bytes(a, b, 0x7531);
    }
    DEVICE Weight unpack(const Raw &raw, int) {
        Weight w;
        unpack_word(raw.low.x, &w.low.x, &w.high.x);
        unpack_word(raw.low.y, &w.low.y, &w.high.y);
        unpack_word(raw.low.z, &w.low.z, &w.high.z);
        unpack_word(raw.low.w, &w.low.w, &w.high.w);
        w.d = mxfp4_half_scale(raw.exponent);
        return w;
    }
    DEVICE X load_x(const char *base, const float *scale, int chunk, int) {
        return load_x_block(base, scale, chunk);
    }
    DEVICE float add(const Weight &w, const X &x, float sum) {
        return fmaf(w.d, x.d * (float)dot16(w.high, x.high, dot16(w.low, x.low, 0)), sum);
    }
};

/* Q4_K and Q5_K. place = 2 * pair + half: low nibbles are 16 values of sub-block 2 pair, high nibbles 16 of
 * the next. The sub-block's min meets the sum of its 32 activations, of which each half takes one half. */
template <bool has_fifth> struct FormatK {
    static const int VALUES = 0;
    static const bool IS_K = true;
    struct Raw {
        uint4 low, high;
        uint16_t first, second, third; /* the pair's bytes of each third of the packed scales */
        uint32_t deltas;
    };
    struct Weight {
        uint4 low, high;
        float low_scale, high_scale, low_min, high_min; /* mins: times -1/2 */
    };
    struct X {
        uint4 low, high;
        float low_d, low_sum, high_d, high_sum;
    };
    DEVICE Raw load(const char *row, const GemvPlanes &planes, int chunk, int place) {
        int block = chunk >> 3;
        const char *packed = row + planes.scales + block * 12 + (place & 2);
        Raw raw;
        raw.low = load16_once(row + (int64_t)chunk * 16);
        if (has_fifth)
            raw.high = load16_once(row + planes.high + block * 32 + (place & 1) * 16);
        raw.first = load2(packed);
        raw.second = load2(packed + 4);
        raw.third = load2(packed + 8);
        raw.deltas = load4(row + planes.deltas + block * 4);
        return raw;
    }
    /* fifth bits, packed scales, deltas of four blocks */
    static const int SCALES = has_fifth ? 128 : 0, DELTAS = SCALES + 48, REST = DELTAS + 16;
    DEVICE int rest(const GemvPlanes &planes, int chunk, int piece) {
        int at = piece * 16, block = chunk >> 3;
        if (at < SCALES)
            return planes.high + block * 32 + at;
        return at < DELTAS ? planes.scales + block * 12 + at - SCALES
                           : planes.deltas + block * 4 + at - DELTAS;
    }
    DEVICE Raw fetch(const char *low, const char *rest, int chunk) {
        int block = chunk >> 3 & 3;
        const char *packed = rest + SCALES + block * 12 + (chunk & 2);
        Raw raw;
        raw.low = load16(low);
        if (has_fifth)
            raw.high = load16(rest + block * 32 + (chunk & 1) * 16);
        raw.first = load2(packed);
        raw.second = load2(packed + 4);
        raw.third = load2(packed + 8);
        raw.deltas = load4(rest + DELTAS + block * 4);
        return raw;
    }
    DEVICE Weight unpack(const Raw &raw, int place) {
        uint32_t first = raw.first, second = raw.second, third = raw.third;
        bool is_late = place >= 4; /* sub-blocks 4 to 7: low bits in the last third, high bits above */
        uint32_t scales =
            is_late ? (third & 0x0F0Fu) | (first >> 2 & 0x3030u) : first & 0x3F3Fu; /* two bytes */
        uint32_t mins = is_late ? (third >> 4 & 0x0F0Fu) | (second >> 2 & 0x3030u) : second & 0x3F3Fu;
        float2 deltas = unpack_half2(raw.deltas);
        float d = deltas.x, half_min = -0.5f * deltas.y;
        Weight w;
        w.low = low_nibbles(raw.low);
        w.high = high_nibbles(raw.low);
        if (has_fifth) {
            uint4 bits = shift_right(raw.high, place & 6);
            w.low = join_bits(w.low, bits, 4, 0x10101010u);
            w.high = join_bits(w.high, bits, 3, 0x10101010u);
        }
        w.low_scale = d * (float)(scales & 0xFF);
        w.high_scale = d * (float)(scales >> 8);
        w.low_min = half_min * (float)(mins & 0xFF);
        w.high_min = half_min * (float)(mins >> 8);
        return w;
    }
    DEVICE X load_x(const char *base, const float *scale, int chunk, int place) {
        int pair = chunk >> 1;
        const char *at = base + (int64_t)pair * 64 + (place & 1) * 16;
        uint4 scales = load16(scale + (int64_t)pair * 4);
        X x = {load16(at),
               load16(at + 32),
               float_from_bits(scales.x),
               float_from_bits(scales.y),
               float_from_bits(scales.z),
               float_from_bits(scales.w)};
        return x;
    }
    DEVICE float add(const Weight &w, const X &x, float sum) {
        sum = fmaf(w.low_scale, x.low_d * (float)dot16(w.low, x.low, 0), sum);
        sum = fmaf(w.high_scale, x.high_d * (float)dot16(w.high, x.high, 0), sum);
        sum = fmaf(w.low_min, x.low_sum, sum);
        return fmaf(w.high_min, x.high_sum, sum);
    }
};

/* place = 4 * half + 2 * quarter + sixteen: low nibbles are 16 values of that quarter (0 or 1) of the half of
 * 128, high nibbles 16 of the quarter after next. The 32 that every value is less by meets the activations
 * as four products with -32, which all rows of the warp share. */
struct FormatQ6 {
    static const int VALUES = 0;
    static const bool IS_K = true;
    struct Raw {
        uint4 low, high;
        int8_t low_scale, high_scale;
        uint16_t delta;
    };
    struct Weight {
        uint4 low, high;
        float low_scale, high_scale;
    };
    struct X {
        uint4 low, high;
        int low_less, high_less;
        float low_d, high_d;
    };
    DEVICE Raw load(const char *row, const GemvPlanes &planes, int chunk, int place) {
        int block = chunk >> 3;
        const char *scales = row + planes.scales + block * 16 + (place & 4) * 2 + (place & 3);
        Raw raw;
        raw.low = load16_once(row + (int64_t)chunk * 16);
        raw.high = load16_once(row + planes.high + block * 64 + (place & 4) * 8 + (place & 1) * 16);
        raw.low_scale = (int8_t)scales[0];
        raw.high_scale = (int8_t)scales[4];
        raw.delta = load2(row + planes.deltas + block * 2);
        return raw;
    }
    /* high pairs, scales and deltas of four blocks; deltas are half of their piece */
    static const int SCALES = 256, DELTAS = SCALES + 64, REST = DELTAS + 16;
    DEVICE int rest(const GemvPlanes &planes, int chunk, int piece) {
        int at = piece * 16, block = chunk >> 3;
        if (at < SCALES)
            return planes.high + block * 64 + at;
        return at < DELTAS ? planes.scales + block * 16 + at - SCALES : planes.deltas + (block * 2 & ~15);
    }
    DEVICE Raw fetch(const char *low, const char *rest, int chunk) {
        int block = chunk >> 3 & 3, place = chunk & 7;
        const char *scales = rest + SCALES + block * 16 + (place & 4) * 2 + (place & 3);
        Raw raw;
        raw.low = load16(low);
        raw.high = load16(rest + block * 64 + (place & 4) * 8 + (place & 1) * 16);
        raw.low_scale = (int8_t)scales[0];
        raw.high_scale = (int8_t)scales[4];
        raw.delta = load2(rest + DELTAS + (chunk >> 2 & 14));
        return raw;
    }
    DEVICE Weight unpack(const Raw &raw, int place) {
        float d = half_value(raw.delta);
        uint4 bits = shift_right(raw.high, place & 2);
        Weight w;
        w.low = join_bits(low_nibbles(raw.low), bits, 4, 0x30303030u);
        w.high = join_bits(high_nibbles(raw.low), bits, 0, 0x30303030u);
        w.low_scale = d * (float)raw.low_scale;
        w.high_scale = d * (float)raw.high_scale;
        return w;
    }
    DEVICE X load_x(const char *base, const float *scale, int chunk, int place) {
        int block32 = (chunk >> 2) * 4 + (place >> 1 & 1); /* of 32 activations */
        const char *at = base + (int64_t)block32 * 32 + (place & 1) * 16;
        const uint4 less = make_uint4(0xE0E0E0E0u, 0xE0E0E0E0u, 0xE0E0E0E0u, 0xE0E0E0E0u);
        X x;
        x.low = load16(at);
        x.high = load16(at + 64);
        x.low_d = scale[(int64_t)block32 * 2];
        x.high_d = scale[(int64_t)block32 * 2 + 4];
        x.low_less = dot16(less, x.low, 0);
        x.high_less = dot16(less, x.high, 0);
        return x;
    }
    DEVICE float add(const Weight &w, const X &x, float sum) {
        sum = fmaf(w.low_scale, x.low_d * (float)dot16(w.low, x.low, x.low_less), sum);
        return fmaf(w.high_scale, x.high_d * (float)dot16(w.high, x.high, x.high_less), sum);
    }
};

/* ---- the loop ---- */

/* Activation rows beyond n are computed as row n - 1 again; nobody looks at them. */
template <typename Format, int R, int N, int U, bool is_last>
DEVICE void gemv_group(float (&sum)[R][N], const char *const (&row)[R], const GemvPlanes &planes,
                       const GemvX &x, int n, int chunk, int lanes, int place) {
    typename Format::Raw raw[U][R];
    UNROLL for (int u = 0; u < U; u++) {
        int at = chunk + u * lanes;
        if (is_last && at >= planes.chunks)
            at = planes.chunks - 1; /* loaded for nothing, which costs less than a branch */
        UNROLL for (int r = 0; r < R; r++) raw[u][r] =
            Format::load(row[r], planes, at, is_last ? at & 7 : place);
    }
    UNROLL for (int u = 0; u < U; u++) {
        int at = chunk + u * lanes;
        if (is_last && at >= planes.chunks)
            continue;
        typename Format::Weight weight[R];
        UNROLL for (int r = 0; r < R; r++) weight[r] = Format::unpack(raw[u][r], place);
        UNROLL for (int i = 0; i < N; i++) {
            int64_t which = i < n ? i : n - 1;
            typename Format::X one =
                Format::load_x(x.base + which * x.stride, x.scale + which * x.scale_stride, at, place);
            UNROLL for (int r = 0; r < R; r++) sum[r][i] = Format::add(weight[r], one, sum[r][i]);
        }
    }
}

/* What is behind the last whole chunk: the lane whose turn it is adds it value by value. */
template <typename Format, int R, int N>
DEVICE void gemv_tail(float (&sum)[R][N], const char *const (&row)[R], const GemvPlanes &planes,
                      const GemvX &x, int n, int first, int lanes) {
    if constexpr (Format::VALUES > 0) {
        if (planes.tail == 0 || first != planes.chunks % lanes)
            return;
        for (int j = 0; j < planes.tail; j++) {
            int at = planes.chunks * Format::VALUES + j;
            UNROLL for (int i = 0; i < N; i++) {
                int64_t which = i < n ? i : n - 1;
                float value = float_from_bits(load4(x.base + which * x.stride + (int64_t)at * 4));
                UNROLL for (int r = 0; r < R; r++) sum[r][i] =
                    fmaf(Format::one(row[r], at), value, sum[r][i]);
            }
        }
    }
}

/* This lane's part of the dot products of R rows (addresses of their first bytes) with N activation rows, of
 * which n exist; to be summed over the team. lanes: a multiple of 32. */
template <typename Format, int R, int N, int U>
DEVICE void gemv_partial(float (&sum)[R][N], const char *const (&row)[R], const GemvPlanes &planes,
                         const GemvX &x, int n, int first, int lanes) {
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int i = 0; i < N; i++) sum[r][i] = 0;
    int base = 0, place = first & 7;
    for (; base + U * lanes <= planes.chunks; base += U * lanes)
        gemv_group<Format, R, N, U, false>(sum, row, planes, x, n, base + first, lanes, place);
    if (base < planes.chunks)
        gemv_group<Format, R, N, U, true>(sum, row, planes, x, n, base + first, lanes, place);
    gemv_tail<Format, R, N>(sum, row, planes, x, n, first, lanes);
}

/* ---- the stream: the same sums, with the weights under way to shared memory instead of to registers ----
 * A warp's step is 32 chunks of each of its rows. S - 1 steps are under way while one is added up, which no
 * compiler can undo by moving loads to their first use, and which costs no registers. A warp reads only what
 * it copied itself: no barrier of the block. */

template <typename Format, int R> DEVICE constexpr int gemv_step_bytes() {
    return R * (512 + Format::REST);
}

/* Starts the copies of the step that begins with `chunk` (a multiple of 32). */
template <typename Format, int R>
DEVICE void gemv_copy(char *to, const char *const (&row)[R], const GemvPlanes &planes, int chunk) {
    int lane = lane_id(), low = chunk + lane, rest = Format::rest(planes, chunk, lane);
    bool has_low = low < planes.chunks, has_rest = rest < planes.end;
    int64_t low_at = has_low ? (int64_t)low * 16 : 0;
    int rest_at = has_rest ? rest : 0;
    UNROLL for (int r = 0; r < R; r++) {
        char *at = to + r * (512 + Format::REST);
        copy_async16(at + lane * 16, row[r] + low_at, has_low);
        if (lane < Format::REST / 16)
            copy_async16(at + 512 + lane * 16, row[r] + rest_at, has_rest);
    }
}

/* gemv_partial for a team of `warps` warps, of which this is number `warp`. stages: this warp's own
 * S * gemv_step_bytes of shared memory, 16-byte aligned. All lanes of the warp call it. */
template <typename Format, int R, int N, int S>
DEVICE void gemv_stream(float (&sum)[R][N], const char *const (&row)[R], const GemvPlanes &planes,
                        const GemvX &x, int n, int warp, int warps, char *stages) {
    enum { STEP = gemv_step_bytes<Format, R>() };
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int i = 0; i < N; i++) sum[r][i] = 0;
    int lane = lane_id(), place = lane & 7, lanes = 32 * warps;
    int steps = (planes.chunks + lanes - 1) / lanes, begin = warp * 32;
    UNROLL for (int s = 0; s < S - 1; s++) {
        if (s < steps)
            gemv_copy<Format, R>(stages + s * STEP, row, planes, begin + s * lanes);
        copy_async_commit();
    }
    int slot = 0, free_slot = S - 1, stride = (int)x.stride, scale_stride = (int)x.scale_stride;
    for (int step = 0; step < steps; step++) {
        copy_async_wait<S - 2>();
        warp_sync(); /* this step's bytes are there for all lanes, and nobody reads the last step's */
        if (step + S - 1 < steps)
            gemv_copy<Format, R>(stages + free_slot * STEP, row, planes, begin + (step + S - 1) * lanes);
        copy_async_commit();
        int chunk = begin + step * lanes + lane;
        const char *from = stages + slot * STEP;
        if (chunk < planes.chunks) {
            typename Format::Weight weight[R];
            UNROLL for (int r = 0; r < R; r++) {
                const char *at = from + r * (512 + Format::REST);
                weight[r] = Format::unpack(Format::fetch(at + lane * 16, at + 512, chunk), place);
            }
            UNROLL for (int i = 0; i < N; i++) {
                int which = i < n ? i : n - 1;
                typename Format::X one =
                    Format::load_x(x.base + which * stride, x.scale + which * scale_stride, chunk, place);
                UNROLL for (int r = 0; r < R; r++) sum[r][i] = Format::add(weight[r], one, sum[r][i]);
            }
        }
        slot = slot + 1 == S ? 0 : slot + 1;
        free_slot = free_slot + 1 == S ? 0 : free_slot + 1;
    }
    gemv_tail<Format, R, N>(sum, row, planes, x, n, begin + lane, lanes);
}

#endif
