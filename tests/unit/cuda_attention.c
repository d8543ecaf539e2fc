#include "tests/unit/cuda_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef MUX_EMULATED
#include "tests/emulator/control.h"
#endif

/* What is attended to; sizes of 0 are chosen below. */
typedef struct Shape {
    DType type;
    int n, first; /* rows, position of the first */
    int heads, kv_heads, head_dim, value_dim;
    int window;
    float softcap;
    bool has_sinks;
    int page_rows; /* 0 = not paged */
} Shape;

typedef struct Fixture {
    Shape shape;
    Attend host, device; /* the same in host and in device memory; both outputs belong to the caller */
    int64_t out_count;
} Fixture;

static float uniform(float most) {
    return (float)((double)(test_random() >> 11) * 0x1p-53 * 2 - 1) * most;
}

/* Rows for positions up to the last; what no row may look at holds NaN in every type: the bytes are all ones.
 * Pages lie in random order, and entries of the table that no row may look at lead far away. */
static void make_rows(const Shape *s, int width, float size, KvRows *host, KvRows *device) {
    int64_t values = (int64_t)s->kv_heads * width;
    int end = s->first + s->n, begin = s->window > 0 && s->first >= s->window ? s->first - s->window + 1 : 0;
    *host = (KvRows){.type = s->type, .row_values = values, .row_bytes = kv_row_bytes(s->type, values)};
    int pages = 1, spare = 2;
    int32_t *table = NULL, *positions = host_new((size_t)end * sizeof *positions);
    size_t bytes = (size_t)(end + 3) * host->row_bytes;
    if (s->page_rows > 0) {
        pages = (end + s->page_rows - 1) / s->page_rows;
        host->page_rows = s->page_rows;
        host->page_bytes = (size_t)s->page_rows * host->row_bytes + 16 * (size_t)random_below(3);
        bytes = (size_t)(pages + spare) * host->page_bytes;
        table = host_new((size_t)(pages + 1) * sizeof *table);
        for (int i = 0; i < pages; i++)
            table[i] = i + spare;
        for (int i = pages - 1; i > 0; i--) {
            int other = random_below(i + 1);
            int32_t page = table[i];
            table[i] = table[other], table[other] = page;
        }
        table[pages] = 1 << 28;
        for (int i = 0; (i + 1) * s->page_rows <= begin; i++)
            table[i] = -(1 << 28);
    }
    host->base = host_new(bytes);
    memset(host->base, 0xFF, bytes);
    host->pages = table;
    Backend *ref = open_ref();
    float *x = host_new((size_t)values * sizeof *x);
    for (int p = begin; p < end; p++) {
        for (int64_t c = 0; c < values; c++)
            x[c] = uniform(random_below(16) ? size : 4 * size);
        positions[0] = p;
        backend_ops(ref)->kv_write(ref, *host, x, positions, 1);
    }
    backend_close(ref);
    *device = *host;
    device->base = device_put(host->base, bytes);
    device->pages = table ? device_put(table, (size_t)(pages + 1) * sizeof *table) : NULL;
}

static Fixture make_fixture(Shape s) {
    Fixture f = {.shape = s, .out_count = (int64_t)s.n * s.heads * s.value_dim};
    size_t q_count = (size_t)s.n * (size_t)s.heads * (size_t)s.head_dim;
    float *q = host_new(q_count * sizeof *q), *sinks = host_new((size_t)s.heads * sizeof *sinks);
    int32_t *positions = host_new((size_t)s.n * sizeof *positions);
    for (size_t i = 0; i < q_count; i++)
        q[i] = uniform(i / (size_t)s.head_dim % 5 == 0 ? 6 : 1.5f); /* some heads look at few keys */
    for (int h = 0; h < s.heads; h++)
        sinks[h] = uniform(3);
    for (int i = 0; i < s.n; i++)
        positions[i] = s.first + i;
    Attend a = {.q = q,
                .positions = positions,
                .n = s.n,
                .last_position = s.first + s.n - 1,
                .heads = s.heads,
                .kv_heads = s.kv_heads,
                .head_dim = s.head_dim,
                .value_dim = s.value_dim,
                .scale = 1 / sqrtf((float)s.head_dim),
                .window = s.window,
                .softcap = s.softcap,
                .sinks = s.has_sinks ? sinks : NULL};
    f.host = f.device = a;
    f.device.q = device_floats(q, (int64_t)q_count);
    f.device.sinks = s.has_sinks ? device_floats(sinks, s.heads) : NULL;
    f.device.positions = device_put(positions, (size_t)s.n * sizeof *positions);
    make_rows(&s, s.head_dim, 1, &f.host.keys, &f.device.keys);
    make_rows(&s, s.value_dim, 1, &f.host.values, &f.device.values);
    return f;
}

static const char *describe(const Shape *s) {
    static char text[256];
    snprintf(text, sizeof text,
             "type %d, %d rows from %d, heads %d/%d of %d/%d, window %d, cap %g, sinks %d, pages %d", s->type,
             s->n, s->first, s->heads, s->kv_heads, s->head_dim, s->value_dim, s->window, (double)s->softcap,
             s->has_sinks, s->page_rows);
    return text;
}

static double kv_value(const KvRows *kv, int position, int64_t column) {
    const char *row = (const char *)kv->base + (size_t)position * kv->row_bytes;
    if (kv->pages)
        row = (const char *)kv->base + (size_t)kv->pages[position / kv->page_rows] * kv->page_bytes +
              (size_t)(position % kv->page_rows) * kv->row_bytes;
    float value;
    uint16_t word;
    switch (kv->type) {
    case DTYPE_F32: memcpy(&value, row + column * 4, sizeof value); return value;
    case DTYPE_Q8_0:
        memcpy(&word, row + kv->row_values + column / 32 * 2, sizeof word);
        return (double)half_to_float(word) * ((const int8_t *)row)[column];
    default:
        memcpy(&word, row + column * 2, sizeof word);
        return kv->type == DTYPE_F16 ? half_to_float(word) : bf16_to_float(word);
    }
}

/* How far off one (row, head) may be when q, weights and 16-bit rows are rounded by `unit` relative: each
 * term of a score is off by its own random part of it, so a score by about unit * sqrt(sum of squares of its
 * terms), and six times that hardly ever; weights by as much relative, and by their own rounding; a weighted
 * mean of values by the largest value times it. Float sums add 2^-20 of the sizes, and a cap 2^-21 of itself.
 */
static double allowed_error(const Fixture *f, int i, int h, double unit) {
    const Attend *a = &f->host;
    int last = a->positions[i], first = a->window > 0 && last >= a->window ? last - a->window + 1 : 0;
    int64_t head = h / (a->heads / a->kv_heads);
    const float *q = a->q + ((int64_t)i * a->heads + h) * a->head_dim;
    double most = 0, deviation = 0, size = 0;
    for (int p = first; p <= last; p++) {
        double squares = 0, sum = 0;
        for (int c = 0; c < a->head_dim; c++) {
            double term = q[c] * kv_value(&a->keys, p, head * a->head_dim + c) * a->scale;
            squares += term * term;
            sum += fabs(term);
        }
        deviation = fmax(deviation, sqrt(squares));
        size = fmax(size, sum);
        for (int c = 0; c < a->value_dim; c++)
            most = fmax(most, fabs(kv_value(&a->values, p, head * a->value_dim + c)));
    }
    return most * (unit * (1 + 6 * deviation) + 0x1p-20 * (2 + size) + 0x1p-21 * a->softcap);
}

/* Rounding of the tensor core kernels: prefill rounds q and weights to the type of the rows, decode to twice
 * its bits; rows of Q8_0 become F16 in both. The general kernel computes in float. */
static double rounding(const Shape *s, bool is_decode) {
    bool has_tiles = s->head_dim >= 64 && s->type != DTYPE_F32;
    if (!has_tiles)
        return 0;
    if (s->type == DTYPE_Q8_0)
        return 0x1p-11;
    return s->type == DTYPE_BF16 ? (is_decode ? 0x1p-16 : 0x1p-8) : (is_decode ? 0 : 0x1p-11);
}

static double worst; /* share of the allowed error that was used */

static void check_close(const Fixture *f, const float *out, double unit) {
    const Attend *a = &f->host;
    for (int i = 0; i < a->n; i++)
        for (int h = 0; h < a->heads; h++) {
            double allowed = allowed_error(f, i, h, unit);
            for (int c = 0; c < a->value_dim; c++) {
                int64_t at = ((int64_t)i * a->heads + h) * a->value_dim + c;
                double error = fabs((double)out[at] - (double)a->out[at]);
                worst = fmax(worst, error / allowed);
                CHECK_MSG(error <= allowed, "%s: row %d, head %d, value %d is %g, ref %g, allowed %g",
                          describe(&f->shape), i, h, c, (double)out[at], (double)a->out[at], allowed);
            }
        }
}

static void attend_ref(Fixture *f) {
    Backend *ref = open_ref();
    f->host.out = host_new((size_t)f->out_count * sizeof(float));
    backend_ops(ref)->attend(ref, &f->host);
    backend_close(ref);
}

/* Rows from..from + n - 1 by the decode kernels, `last_position` as the host plans with. */
static float *decode(CudaQueue *queue, const Fixture *f, int from, int n, int last_position) {
    Attend a = f->device;
    int64_t count = (int64_t)n * a.heads * a.value_dim;
    a.out = device_poisoned(1, count);
    a.q += (int64_t)from * a.heads * a.head_dim;
    a.positions += from;
    a.n = n;
    a.last_position = last_position;
    void *partial = device_new(cuda_attend_partial_bytes(n, a.heads, a.value_dim, last_position));
    CHECK_MSG(cuda_attend_decode(queue, &a, partial), "%s", describe(&f->shape));
    device_wait();
    return device_result(a.out, 1, count);
}

static void check_decode(Shape s) {
    CudaQueue *queue = device_open();
    Fixture f = make_fixture(s);
    attend_ref(&f);
    float *out = decode(queue, &f, 0, s.n, s.first + s.n - 1);
    check_close(&f, out, rounding(&s, true));
    int64_t width = (int64_t)s.heads * s.value_dim;
    for (int i = 0; i < s.n; i += 3) { /* alone, and with more room to grow */
        float *alone = decode(queue, &f, i, 1, i % 2 ? s.first + i : s.first + i + 700);
        CHECK_MSG(same_bits(out + i * width, alone, width), "%s: row %d alone differs", describe(&s), i);
    }
    device_close();
}

static void check_prefill(Shape s) {
    CudaQueue *queue = device_open();
    Fixture f = make_fixture(s);
    attend_ref(&f);
    f.device.out = device_poisoned(1, f.out_count);
    CHECK_MSG(cuda_attend_prefill(queue, &f.device), "%s", describe(&s));
    device_wait();
    check_close(&f, device_result(f.device.out, 1, f.out_count), rounding(&s, false));
    device_close();
}

static const DType ROW_TYPES[] = {DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_F32};
static const int WIDTHS[][2] = {{64, 64}, {80, 80}, {96, 96}, {128, 128}, {256, 256}, {192, 128}};
static const int SMALL_WIDTHS[] = {8, 32, 48, 24};

/* Heads of Q8_0 rows together must fill blocks of 32. */
static int kv_heads_for(DType type, int width, int at_least) {
    int heads = at_least;
    while (type == DTYPE_Q8_0 && heads * width % 32 != 0)
        heads++;
    return heads;
}

static Shape shape_of(DType type, int n, int first, int group, int kv_heads, const int width[2]) {
    kv_heads = kv_heads_for(type, width[1], kv_heads_for(type, width[0], kv_heads));
    return (Shape){.type = type,
                   .n = n,
                   .first = first,
                   .heads = group * kv_heads,
                   .kv_heads = kv_heads,
                   .head_dim = width[0],
                   .value_dim = width[1]};
}

/* ---- decode ---- */

static void test_decode_widths(void) {
    for (int t = 0; t < 4; t++)
        for (int w = 0; w < 6; w++)
            check_decode(shape_of(ROW_TYPES[t], 1 + random_below(2), 20 + random_below(150), w % 2 ? 4 : 7, 1,
                                  WIDTHS[w]));
}

static void test_decode_small_widths(void) {
    for (int t = 0; t < 4; t++)
        for (int w = 0; w < 4; w++)
            check_decode(shape_of(ROW_TYPES[t], 1 + random_below(3), random_below(200), 1 + w, 2,
                                  (int[]){SMALL_WIDTHS[w], SMALL_WIDTHS[w]}));
}

/* Around the edges of tiles of 16 and splits of 128, with 1 to 8 rows. */
static void test_decode_lengths(void) {
    static const int FIRST[] = {0, 1, 14, 15, 16, 63, 120, 126, 127, 128, 250, 255, 256, 511, 512};
    for (int i = 0; i < 15; i++) {
        Shape s = shape_of(ROW_TYPES[i % 3], 1 + (i + random_below(2)) % 8, FIRST[i], 2, 1, WIDTHS[0]);
        s.page_rows = i % 2 ? 32 : 0;
        check_decode(s);
    }
}

/* Groups of more heads than one block takes. */
static void test_decode_groups(void) {
    static const int GROUPS[] = {1, 7, 8, 9, 16, 20};
    for (int i = 0; i < 6; i++)
        check_decode(shape_of(ROW_TYPES[i % 3], 1, 30 + random_below(120), GROUPS[i], 2, WIDTHS[0]));
}

static void test_decode_windows(void) {
    static const int WINDOWS[] = {1, 2, 16, 33, 128, 129, 200, 1000};
    for (int i = 0; i < 8; i++) {
        Shape s = shape_of(ROW_TYPES[i % 4], 3, 200 + random_below(120), 2, 1, WIDTHS[0]);
        s.window = WINDOWS[i];
        s.page_rows = i % 3 == 0 ? 0 : i % 3 == 1 ? 64 : 24; /* 24: tiles cross pages */
        s.has_sinks = i % 2;
        check_decode(s);
    }
}

static void test_decode_caps_and_sinks(void) {
    for (int t = 0; t < 4; t++) {
        Shape s = shape_of(ROW_TYPES[t], 2, 140 + random_below(20), 3, 1, WIDTHS[t % 2]);
        s.softcap = t % 2 ? 5 : 30;
        s.has_sinks = true;
        s.page_rows = 16 * t;
        check_decode(s);
    }
}

/* Past 8192 keys splits become larger: the rows on both sides of it in one batch. */
static void test_decode_long(void) {
    Shape s = shape_of(DTYPE_F16, 2, 8191, 2, 1, WIDTHS[0]);
    s.page_rows = 64;
    check_decode(s);
}

/* ---- prefill ---- */

static void test_prefill_widths(void) {
    for (int t = 0; t < 4; t++)
        for (int w = 0; w < 6; w++)
            check_prefill(
                shape_of(ROW_TYPES[t], 9 + random_below(30), random_below(70), w % 2 ? 4 : 1, 1, WIDTHS[w]));
}

static void test_prefill_small_widths(void) {
    for (int t = 0; t < 4; t++)
        for (int w = 0; w < 4; w++)
            check_prefill(shape_of(ROW_TYPES[t], 9 + random_below(20), random_below(80), 1 + w, 1,
                                   (int[]){SMALL_WIDTHS[w], SMALL_WIDTHS[w]}));
}

/* Around the edges of tiles of 64 rows and keys; a group of 7 lets a token's heads fall into two blocks. */
static void test_prefill_lengths(void) {
    static const int SIZES[][3] = {{1, 0, 1},   {9, 0, 1},   {64, 0, 1},   {65, 0, 1},
                                   {63, 1, 1},  {10, 54, 7}, {11, 63, 7},  {16, 64, 4},
                                   {17, 47, 4}, {130, 0, 1}, {20, 118, 8}, {33, 127, 2}};
    for (int i = 0; i < 12; i++) {
        Shape s = shape_of(ROW_TYPES[i % 3], SIZES[i][0], SIZES[i][1], SIZES[i][2], 1 + i % 2, WIDTHS[0]);
        s.page_rows = i % 3 == 0 ? 64 : i % 3 == 1 ? 40 : 0;
        check_prefill(s);
    }
}

static void test_prefill_windows(void) {
    static const int WINDOWS[] = {1, 2, 31, 64, 65, 100, 129};
    for (int i = 0; i < 7; i++) {
        Shape s = shape_of(ROW_TYPES[i % 4], 40 + random_below(60), 60 + random_below(140), 1, 1, WIDTHS[0]);
        s.window = WINDOWS[i];
        s.has_sinks = i % 2;
        s.page_rows = i % 3 == 0 ? 0 : i % 3 == 1 ? 64 : 24;
        check_prefill(s);
    }
}

static void test_prefill_caps_and_sinks(void) {
    for (int t = 0; t < 4; t++) {
        Shape s = shape_of(ROW_TYPES[t], 20, 50 + random_below(20), 3, 1, WIDTHS[t % 2]);
        s.softcap = t % 2 ? 5 : 30;
        s.has_sinks = true;
        s.page_rows = 16 * t;
        check_prefill(s);
    }
}

/* Enough rows for the blocks of 128 rows, where the device has room for them. */
static void test_prefill_large_blocks(void) {
    for (int w = 0; w < 4; w += 3)
        for (int t = 0; t < 2; t++) {
            CudaQueue *queue = device_open();
            int group = 8, kv_heads = 2, each = queue_processors(queue) / kv_heads + 1;
            Shape s = shape_of(ROW_TYPES[t], each * 128 / group + 3, 30, group, kv_heads, WIDTHS[w]);
            s.window = w ? 90 : 50;
            device_close();
            check_prefill(s);
        }
}

/* Equal keys weigh the same: a value that is 1 at one position and 0 elsewhere comes out as one part of the
 * keys a row sees, or as nothing at all. Nothing hides a key too many or too few. */
static void check_exact_masks(bool is_decode, DType type, int n, int first, int window, int width) {
    CudaQueue *queue = device_open();
    Shape s = shape_of(type, n, first, 2, 1, (int[]){width, width});
    s.window = window;
    Fixture f = make_fixture(s);
    int end = first + n, begin = window > 0 && first >= window ? first - window + 1 : 0;
    Backend *ref = open_ref();
    for (int p = begin; p < end; p++) {
        float k[256] = {0}, v[256] = {0};
        v[p % width] = 127; /* d = 1 in Q8_0 */
        backend_ops(ref)->kv_write(ref, f.host.keys, k, &(int32_t){p}, 1);
        backend_ops(ref)->kv_write(ref, f.host.values, v, &(int32_t){p}, 1);
    }
    backend_close(ref);
    device_write(f.device.keys.base, f.host.keys.base, (size_t)end * f.host.keys.row_bytes);
    device_write(f.device.values.base, f.host.values.base, (size_t)end * f.host.values.row_bytes);
    f.device.out = device_poisoned(1, f.out_count);
    if (is_decode)
        CHECK(cuda_attend_decode(queue, &f.device,
                                 device_new(cuda_attend_partial_bytes(n, s.heads, width, end - 1))));
    else
        CHECK(cuda_attend_prefill(queue, &f.device));
    device_wait();
    const float *out = device_result(f.device.out, 1, f.out_count);
    for (int i = 0; i < n; i++) {
        int last = first + i, from = window > 0 && last >= window ? last - window + 1 : 0;
        for (int c = 0; c < width; c++) {
            int seen = 0;
            for (int p = from; p <= last; p++)
                seen += p % width == c;
            double truth = 127.0 * seen / (last - from + 1);
            for (int h = 0; h < s.heads; h++) {
                double value = (double)out[((int64_t)i * s.heads + h) * width + c];
                CHECK_MSG(fabs(value - truth) <= truth * 1e-6, "%s: row %d, column %d: %g, not %g",
                          describe(&s), i, c, value, truth);
            }
        }
    }
    device_close();
}

static void test_exact_masks(void) {
    for (int t = 0; t < 4; t++) {
        check_exact_masks(false, ROW_TYPES[t], 70, 3 + random_below(90), 0, 64);
        check_exact_masks(false, ROW_TYPES[t], 70, 60 + random_below(90), 1 + random_below(100), 64);
        check_exact_masks(true, ROW_TYPES[t], 8, 100 + random_below(200), 0, t % 2 ? 64 : 128);
        check_exact_masks(true, ROW_TYPES[t], 8, 100 + random_below(200), 1 + random_below(200), 64);
    }
}

#ifdef MUX_EMULATED
/* A GPU whose blocks may have only 99 KB of shared memory: smaller blocks, fewer tiles on their way, and the
 * general kernel where not even that fits. */
static void test_less_shared_memory(void) {
    emulator_set_capability(89);
    test_decode_widths();
    test_prefill_widths();
    test_prefill_large_blocks();
    emulator_set_capability(90);
}
#endif

/* What there is no kernel for is refused, not computed wrongly. */
static void test_refusals(void) {
    CudaQueue *queue = device_open();
    Fixture f = make_fixture(shape_of(DTYPE_F16, 1, 3, 1, 1, (int[]){20, 20}));
    f.device.out = device_poisoned(1, f.out_count);
    void *partial = device_new(cuda_attend_partial_bytes(1, 1, 20, 3));
    CHECK(!cuda_attend_decode(queue, &f.device, partial));
    CHECK(!cuda_attend_prefill(queue, &f.device));
    Fixture wide = make_fixture(shape_of(DTYPE_F32, 1, 3, 1, 1, (int[]){264, 264}));
    wide.device.out = device_poisoned(1, wide.out_count);
    CHECK(!cuda_attend_prefill(queue, &wide.device));
    device_close();
}

/* After the others: bounds that nothing comes near would catch nothing. */
static void test_bounds(void) {
    if (worst == 0)
        SKIP("no comparison was made");
    CHECK_MSG(worst > 0.05, "at most %g of an allowed error was used", worst);
}

static const TestCase CASES[] = {{"decode_widths", test_decode_widths},
                                 {"decode_small_widths", test_decode_small_widths},
                                 {"decode_lengths", test_decode_lengths},
                                 {"decode_groups", test_decode_groups},
                                 {"decode_windows", test_decode_windows},
                                 {"decode_caps_and_sinks", test_decode_caps_and_sinks},
                                 {"decode_long", test_decode_long},
                                 {"prefill_widths", test_prefill_widths},
                                 {"prefill_small_widths", test_prefill_small_widths},
                                 {"prefill_lengths", test_prefill_lengths},
                                 {"prefill_windows", test_prefill_windows},
                                 {"prefill_caps_and_sinks", test_prefill_caps_and_sinks},
                                 {"prefill_large_blocks", test_prefill_large_blocks},
                                 {"exact_masks", test_exact_masks},
#ifdef MUX_EMULATED
                                 {"less_shared_memory", test_less_shared_memory},
#endif
                                 {"refusals", test_refusals},
                                 {"bounds", test_bounds}};
TEST_SUITE(CUDA_ATTENTION_SUITE, "cuda_attention", CASES);
