/* What lanes compute together, and copies that run by themselves. */
#include "tests/emulator/emulator_internal.h"

#include <stdlib.h>

/* ---- lanes ---- */

typedef struct ShuffleOperand {
    uint32_t value, result;
    int source;
} ShuffleOperand;

static void shuffle_all(void **arguments, int count) {
    for (int lane = 0; lane < count; lane++) {
        ShuffleOperand *mine = (ShuffleOperand *)arguments[lane];
        mine->result = ((const ShuffleOperand *)arguments[mine->source & 31])->value;
    }
}
uint32_t emulated_shuffle(const char *name, uint32_t value, int source, const char *file, int line) {
    ShuffleOperand operand = {value, 0, source};
    emulated_meet_warp(name, &operand, shuffle_all, file, line);
    return operand.result;
}

static void ballot_all(void **arguments, int count) {
    uint32_t claims = 0;
    for (int lane = 0; lane < count; lane++)
        claims |= *(const uint32_t *)arguments[lane] << lane;
    for (int lane = 0; lane < count; lane++)
        *(uint32_t *)arguments[lane] = claims;
}
uint32_t emulated_ballot(bool claim, const char *file, int line) {
    uint32_t operand = claim;
    emulated_meet_warp("warp_ballot", &operand, ballot_all, file, line);
    return operand;
}

static void sync_all(void **, int) {
    emulated_order_warp();
}
void emulated_warp_sync(const char *file, int line) {
    emulated_meet_warp("warp_sync", NULL, sync_all, file, line);
}

/* ---- memory ---- */

uint4 emulated_load16(const void *at, const char *file, int line) {
    emulated_read(at, 16, 16, file, line);
    return *(const uint4 *)at;
}
uint4 emulated_load16_once(const void *at, const char *file, int line) {
    if (emulated_is_shared(at))
        emulated_fault(EMULATED_ILLEGAL_ADDRESS, file, line, "load16_once of shared memory");
    emulated_read(at, 16, 16, file, line);
    return *(const uint4 *)at;
}
void emulated_store16(void *at, uint4 value, const char *file, int line) {
    emulated_write(at, 16, 16, file, line);
    *(uint4 *)at = value;
}

int emulated_add_int(int *at, int value, const char *file, int line) {
    emulated_atomic(at, sizeof *at, file, line);
    int old = *at;
    *at = (int)((unsigned)old + (unsigned)value);
    return old;
}
float emulated_add_float(float *at, float value, const char *file, int line) {
    emulated_atomic(at, sizeof *at, file, line);
    float old = *at;
    *at = old + value;
    return old;
}
int emulated_max_int(int *at, int value, const char *file, int line) {
    emulated_atomic(at, sizeof *at, file, line);
    int old = *at;
    *at = value > old ? value : old;
    return old;
}
unsigned long long emulated_max_long(unsigned long long *at, unsigned long long value, const char *file,
                                     int line) {
    emulated_atomic(at, sizeof *at, file, line);
    unsigned long long old = *at;
    *at = value > old ? value : old;
    return old;
}

/* ---- copies that run by themselves ---- */

void emulated_copy_async(void *shared, const void *global, bool valid, const char *file, int line) {
    Thread *thread = emulated_run->now;
    if (!emulated_is_shared(shared))
        emulated_fault(EMULATED_ILLEGAL_ADDRESS, file, line, "copy_async16 to what is not shared memory");
    if (emulated_is_shared(global) || ((uintptr_t)global & 15))
        emulated_fault(EMULATED_MISALIGNED, file, line, "copy_async16 from %s",
                       emulated_is_shared(global) ? "shared memory" : "a misaligned address");
    if (valid)
        emulated_read(global, 16, 16, file, line);
    emulated_pending(shared, 16, 16, file, line);
    if (thread->copy_count == thread->copy_capacity) {
        thread->copy_capacity = thread->copy_capacity * 2 + 16;
        thread->copies =
            (Copy *)realloc(thread->copies, (size_t)thread->copy_capacity * sizeof *thread->copies);
    }
    thread->copies[thread->copy_count++] = {(unsigned char *)shared,
                                            valid ? (const unsigned char *)global : NULL, thread->group};
    thread->copy_site = {file, line};
}
void emulated_copy_commit(void) {
    emulated_run->now->group++;
}
/* Delivers the groups committed before the last `pending` ones. */
void emulated_copy_wait(int pending) {
    Thread *thread = emulated_run->now;
    int kept = 0;
    for (int i = 0; i < thread->copy_count; i++) {
        Copy copy = thread->copies[i];
        if (copy.group + (uint64_t)pending < thread->group)
            emulated_deliver(copy.to, copy.from, 16);
        else
            thread->copies[kept++] = copy;
    }
    thread->copy_count = kept;
}

/* ---- records ---- */

typedef struct Record {
    struct Record *next;
    uintptr_t key;
    size_t bytes;
} Record;
static Record *records[64];

void *emulated_record(uintptr_t key, size_t bytes) {
    Record **list = &records[(key ^ key >> 6) & 63];
    for (Record *record = *list; record; record = record->next)
        if (record->key == key && record->bytes == bytes)
            return record + 1;
    Record *record = (Record *)calloc(1, sizeof *record + bytes);
    record->next = *list;
    record->key = key;
    record->bytes = bytes;
    *list = record;
    return record + 1;
}
void emulated_clear_records(void) {
    for (int i = 0; i < 64; i++)
        while (records[i]) {
            Record *next = records[i]->next;
            free(records[i]);
            records[i] = next;
        }
}

/* ---- numbers ---- */

static uint32_t float_bits(float value) {
    return __builtin_bit_cast(uint32_t, value);
}

float emulated_half_value(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3FF;
    if (exponent == 31)
        return __builtin_bit_cast(float, sign | 0x7F800000u | fraction << 13);
    if (exponent)
        return __builtin_bit_cast(float, sign | (exponent + 112) << 23 | fraction << 13);
    float small = (float)fraction * 0x1p-24f;
    return sign ? -small : small;
}

uint16_t emulated_half_bits(float value) {
    uint32_t bits = float_bits(value), sign = bits >> 16 & 0x8000, size = bits & 0x7FFFFFFF;
    if (size > 0x7F800000)
        return 0x7FFF;
    if (size >= 0x477FF000) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7C00);
    if (size < 0x38800000) { /* a subnormal half: a multiple of 2^-24 */
        float magnitude = __builtin_bit_cast(float, size);
        return (uint16_t)(sign | (uint32_t)rintf(magnitude * 0x1p24f));
    }
    size += 0xFFF + (size >> 13 & 1);
    return (uint16_t)(sign | (size - 0x38000000) >> 13);
}

uint16_t emulated_bf16_bits(float value) {
    uint32_t bits = float_bits(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        return 0x7FFF;
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static const float *half_table(void) {
    static float *table;
    if (!table) {
        table = (float *)malloc(65536 * sizeof *table);
        for (int i = 0; i < 65536; i++)
            table[i] = emulated_half_value((uint16_t)i);
    }
    return table;
}

/* ---- matrices ---- */

typedef struct MatrixOperand {
    uint32_t *out;
    const void *row;
    int matrices;
    bool transposed;
    Site site;
} MatrixOperand;

static void ldmatrix_all(void **arguments, int count) {
    const MatrixOperand *first = (const MatrixOperand *)arguments[0];
    Run *run = emulated_run;
    Thread *last = run->now;
    uint16_t values[4][8][8];
    for (int lane = 0; lane < first->matrices * 8; lane++) {
        const MatrixOperand *operand = (const MatrixOperand *)arguments[lane];
        run->now = &run->threads[last->warp->number * 32 + lane]; /* whose access it is */
        bool is_shared = emulated_is_shared(operand->row);
        if (is_shared)
            emulated_read(operand->row, 16, 16, operand->site.file, operand->site.line);
        run->now = last;
        if (!is_shared)
            emulated_fault(EMULATED_ILLEGAL_ADDRESS, operand->site.file, operand->site.line,
                           "ldmatrix: the row of lane %d is not in shared memory", lane);
        memcpy(values[lane / 8][lane % 8], operand->row, 16);
    }
    for (int lane = 0; lane < count; lane++)
        for (int i = 0; i < first->matrices; i++) {
            int row = lane / 4, column = 2 * (lane % 4);
            bool flip = first->transposed;
            uint32_t low = flip ? values[i][column][row] : values[i][row][column];
            uint32_t high = flip ? values[i][column + 1][row] : values[i][row][column + 1];
            ((const MatrixOperand *)arguments[lane])->out[i] = high << 16 | low;
        }
}
void emulated_ldmatrix(const char *name, uint32_t *out, int matrices, bool transposed, const void *row,
                       const char *file, int line) {
    MatrixOperand operand = {out, row, matrices, transposed, {file, line}};
    emulated_meet_warp(name, &operand, ldmatrix_all, file, line);
}

typedef struct ProductOperand {
    EmulatedProduct kind;
    void *d;
    const uint32_t *a, *b;
} ProductOperand;

/* The operands as the 16 x 16 and 16 x 8 numbers they stand for; b by columns. */
static void gather_halves(void **arguments, float a[16][16], float b[8][16], bool is_half) {
    const float *table = half_table();
    for (int lane = 0; lane < 32; lane++) {
        const ProductOperand *operand = (const ProductOperand *)arguments[lane];
        int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 6; i++) {
            uint32_t pair = i < 4 ? operand->a[i] : operand->b[i - 4];
            float low = is_half ? table[pair & 0xFFFF] : __builtin_bit_cast(float, pair << 16);
            float high = is_half ? table[pair >> 16] : __builtin_bit_cast(float, pair & 0xFFFF0000u);
            float *row = i < 4 ? a[g + i % 2 * 8] + i / 2 * 8 : b[g] + (i - 4) * 8;
            row[2 * t] = low;
            row[2 * t + 1] = high;
        }
    }
}

static void mma_halves(void **arguments, bool is_half) {
    float a[16][16], b[8][16];
    gather_halves(arguments, a, b, is_half);
    for (int lane = 0; lane < 32; lane++) {
        float *d = (float *)((const ProductOperand *)arguments[lane])->d;
        for (int i = 0; i < 4; i++) {
            const float *row = a[lane / 4 + i / 2 * 8], *column = b[2 * (lane % 4) + i % 2];
            double sum = (double)d[i];
            for (int k = 0; k < 16; k++)
                sum += (double)row[k] * (double)column[k];
            d[i] = (float)sum;
        }
    }
}

static void mma_bytes(void **arguments) {
    int8_t a[16][32], b[8][32];
    for (int lane = 0; lane < 32; lane++) {
        const ProductOperand *operand = (const ProductOperand *)arguments[lane];
        int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++)
            memcpy(a[g + i % 2 * 8] + i / 2 * 16 + 4 * t, &operand->a[i], 4);
        for (int i = 0; i < 2; i++)
            memcpy(b[g] + i * 16 + 4 * t, &operand->b[i], 4);
    }
    for (int lane = 0; lane < 32; lane++) {
        int *d = (int *)((const ProductOperand *)arguments[lane])->d;
        for (int i = 0; i < 4; i++) {
            const int8_t *row = a[lane / 4 + i / 2 * 8], *column = b[2 * (lane % 4) + i % 2];
            uint32_t sum = (uint32_t)d[i];
            for (int k = 0; k < 32; k++)
                sum += (uint32_t)(row[k] * column[k]);
            d[i] = (int)sum;
        }
    }
}

static void mma_all(void **arguments, int) {
    EmulatedProduct kind = ((const ProductOperand *)arguments[0])->kind;
    if (kind == EMULATED_S8)
        mma_bytes(arguments);
    else
        mma_halves(arguments, kind == EMULATED_F16);
}
void emulated_mma(const char *name, EmulatedProduct kind, void *d, const uint32_t *a, const uint32_t *b,
                  const char *file, int line) {
    ProductOperand operand = {kind, d, a, b};
    emulated_meet_warp(name, &operand, mma_all, file, line);
}
