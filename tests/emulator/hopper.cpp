/* What the twins of compute 9.0a do: barriers in shared memory, tensor maps and copies, products of a
 * warpgroup. The layouts and descriptor bits are those that the head of kernels/cuda/ptx_hopper.cuh states.
 */
#include "tests/emulator/control.h"
#include "tests/emulator/emulator_internal.h"
#include "tests/emulator/include/cuda.h"
#include "tests/emulator/ptx_twins.h"

/* ---- tensor maps: our own contents in the 128 bytes ---- */

static const uint64_t MAP_MAGIC = 0x74656e736f726d70u;
enum { MOST_DIMS = 5 };

typedef struct Map {
    uint64_t magic;
    unsigned char *base;
    uint32_t rank, is_bf16;
    uint32_t dims[MOST_DIMS];
    uint32_t stride16[MOST_DIMS - 1]; /* in units of 16 bytes, of dimension 1 and on */
    uint32_t box[MOST_DIMS];
} Map;
static_assert(sizeof(Map) <= sizeof(CUtensorMap), "fits");

/* The limits that the driver states for an encoded map; ours are the types and the swizzle that we use. */
extern "C" CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank,
                                           void *address, const cuuint64_t *dims, const cuuint64_t *strides,
                                           const cuuint32_t *box, const cuuint32_t *steps,
                                           CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                           CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
    Map out = {MAP_MAGIC, (unsigned char *)address, rank, type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, {}, {},
               {}};
    bool is_good = (type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 || type == CU_TENSOR_MAP_DATA_TYPE_FLOAT16) &&
                   rank >= 3 && rank <= MOST_DIMS && (uintptr_t)address % 16 == 0 &&
                   (uintptr_t)map % 64 == 0 && interleave == CU_TENSOR_MAP_INTERLEAVE_NONE &&
                   swizzle == CU_TENSOR_MAP_SWIZZLE_128B;
    for (cuuint32_t i = 0; is_good && i < rank; i++) {
        is_good =
            dims[i] >= 1 && dims[i] <= (cuuint64_t)1 << 32 && box[i] >= 1 && box[i] <= 256 && steps[i] == 1;
        out.dims[i] = (uint32_t)(dims[i] > UINT32_MAX ? UINT32_MAX : dims[i]);
        out.box[i] = box[i];
        if (i > 0) {
            is_good = is_good && strides[i - 1] % 16 == 0 && strides[i - 1] < (cuuint64_t)1 << 40 &&
                      strides[i - 1] >> 4 <= UINT32_MAX;
            out.stride16[i - 1] = (uint32_t)(strides[i - 1] >> 4);
        }
    }
    if (!is_good || box[0] * 2 > 128 || box[0] * 2 % 16 != 0)
        return CUDA_ERROR_INVALID_VALUE;
    memset(map, 0, sizeof *map);
    memcpy(map, &out, sizeof out);
    return CUDA_SUCCESS;
}

static Map map_read(const void *at, const char *file, int line) {
    Map map;
    if ((uintptr_t)at % 64 != 0)
        emulated_fault(EMULATED_MISALIGNED, file, line, "tensor map not on a multiple of 64 bytes");
    memcpy(&map, at, sizeof map);
    if (map.magic != MAP_MAGIC)
        emulated_fault(EMULATED_ILLEGAL_ADDRESS, file, line, "no tensor map there");
    return map;
}

void emulated_map_prefetch(const void *map, const char *file, int line) {
    map_read(map, file, line);
}

/* ---- barriers ---- */

typedef struct Load {
    Map map;
    int coordinates[MOST_DIMS];
    unsigned char *to;
} Load;

enum { MOST_LOADS = 64 };
typedef struct SharedBarrier {
    bool is_live;
    int expected, missing;   /* arrivals of a phase, and those still to come */
    int64_t bytes;           /* expected in this phase */
    int64_t requested;       /* by loads of this phase */
    uint32_t phase;          /* that is under way, counted from 0 */
    EmulatedClock now, done; /* what happened before the end of this phase, and of the last one */
    int load_count;
    Load loads[MOST_LOADS];
} SharedBarrier;

static SharedBarrier *barrier_find(uint64_t *at, const char *name, const char *file, int line) {
    if (!emulated_is_shared(at) || (uintptr_t)at % 8 != 0)
        emulated_fault(EMULATED_MISALIGNED, file, line, "%s: not 8 aligned bytes of shared memory", name);
    return (SharedBarrier *)emulated_record((uintptr_t)at, sizeof(SharedBarrier));
}
static SharedBarrier *barrier_live(uint64_t *at, const char *name, const char *file, int line) {
    SharedBarrier *barrier = barrier_find(at, name, file, line);
    if (!barrier->is_live)
        emulated_fault(EMULATED_ILLEGAL_ADDRESS, file, line, "%s: this barrier was never initialised", name);
    emulated_atomic(at, 8, file, line);
    return barrier;
}

static size_t box_bytes(const Map *map) {
    size_t bytes = 2;
    for (uint32_t i = 0; i < map->rank; i++)
        bytes *= map->box[i];
    return bytes;
}

/* 16 bytes of the box from its value `at` on (at[0] a multiple of 8); zeros outside the tensor, NaNs where
 * device memory was never written. */
static void load_chunk(const Map *map, const int64_t *at, uint16_t out[8]) {
    memset(out, 0, 16);
    int64_t offset = at[0] * 2;
    bool is_inside = true;
    for (uint32_t i = 1; i < map->rank; i++) {
        is_inside = is_inside && at[i] >= 0 && at[i] < map->dims[i];
        offset += at[i] * (int64_t)map->stride16[i - 1] * 16;
    }
    for (int i = 0; is_inside && i < 8; i++) {
        if (at[0] + i < 0 || at[0] + i >= map->dims[0])
            continue;
        const unsigned char *from = map->base + offset + 2 * i;
        if (!emulator_is_device(from, 2))
            emulated_fault(EMULATED_ILLEGAL_ADDRESS, NULL, 0,
                           "tensor_load: the box reaches outside device memory at (%lld, %lld, %lld, %lld)",
                           (long long)at[0] + i, (long long)at[1], (long long)at[2],
                           map->rank > 3 ? (long long)at[3] : 0);
        out[i] = 0xFFFF;
        if (emulator_is_written(from, 2))
            memcpy(&out[i], from, 2);
    }
}

/* Who wrote here last, and when, as one number; 0 = nobody, or it is not known. */
static uint64_t last_writer(const void *at) {
    int thread;
    uint32_t epoch;
    return memory_last_writer(at, &thread, &epoch) ? (uint64_t)(thread + 1) << 32 | epoch : 0;
}
/* The same for 16 bytes of shared memory at the time a load landed there. */
static uint64_t *landing(const void *at) {
    uint64_t *all = (uint64_t *)emulated_record((uintptr_t)emulated_shared(), MOST_SHARED / 16 * sizeof *all);
    return &all[((const unsigned char *)at - emulated_shared()) / 16];
}

static void load_deliver(const Load *load) {
    const Map *map = &load->map;
    size_t chunks = map->box[0] / 8, lines = box_bytes(map) / (map->box[0] * 2);
    for (size_t l = 0; l < lines; l++) {
        int64_t at[MOST_DIMS];
        size_t rest = l;
        for (uint32_t i = 1; i < map->rank; i++) {
            at[i] = load->coordinates[i] + (int64_t)(rest % map->box[i]);
            rest /= map->box[i];
        }
        for (size_t c = 0; c < chunks; c++) {
            uint16_t values[8];
            at[0] = load->coordinates[0] + (int64_t)c * 8;
            load_chunk(map, at, values);
            size_t offset = l * 128 + c * 16;
            unsigned char *to = load->to + (offset ^ (offset >> 3 & 0x70));
            emulated_deliver(to, values, 16);
            *landing(to) = last_writer(to);
        }
    }
}

/* Ends the phase when its arrivals have come and its loads can land. */
static void barrier_try(SharedBarrier *barrier) {
    if (barrier->missing > 0 || barrier->requested != barrier->bytes)
        return;
    if (barrier->load_count > 0) {
        emulated_acquire(&barrier->now);
        for (int i = 0; i < barrier->load_count; i++)
            load_deliver(&barrier->loads[i]);
        emulated_release(&barrier->now);
    }
    barrier->done = barrier->now;
    memset(&barrier->now, 0, sizeof barrier->now);
    barrier->load_count = 0;
    barrier->bytes = barrier->requested = 0;
    barrier->missing = barrier->expected;
    barrier->phase++;
}

void emulated_barrier_init(uint64_t *at, int arrivals, const char *file, int line) {
    SharedBarrier *barrier = barrier_find(at, "barrier_init", file, line);
    emulated_write(at, 8, 8, file, line);
    if (barrier->is_live || arrivals < 1 || arrivals >= 1 << 20)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line, "barrier_init: %s",
                       barrier->is_live ? "initialised twice" : "arrivals from 1 to 2^20 - 1");
    memset(at, 0, 8);
    barrier->is_live = true;
    barrier->expected = barrier->missing = arrivals;
}

void emulated_barrier_init_fence(void) {}

void emulated_barrier_arrive(uint64_t *at, int bytes, const char *file, int line) {
    SharedBarrier *barrier = barrier_live(at, "barrier_arrive", file, line);
    if (barrier->missing == 0)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line,
                       "barrier_arrive: more arrivals than the %d of phase %u", barrier->expected,
                       barrier->phase);
    if (barrier->missing == 1 && barrier->requested > barrier->bytes + bytes)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line,
                       "barrier_arrive: %lld bytes were loaded and the phase expects %lld",
                       (long long)barrier->requested, (long long)(barrier->bytes + bytes));
    if (bytes < 0 || bytes >= 1 << 20 || barrier->bytes + bytes >= 1 << 20)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line, "barrier_arrive_expect: %d bytes", bytes);
    emulated_release(&barrier->now);
    barrier->missing--;
    barrier->bytes += bytes;
    if (barrier->missing == 0 && barrier->bytes == 0 && barrier->requested == 0)
        barrier_try(barrier);
}

typedef struct BarrierWait {
    SharedBarrier *barrier;
    int parity;
} BarrierWait;

static bool barrier_ready(void *argument) {
    BarrierWait *wait = (BarrierWait *)argument;
    if ((wait->barrier->phase & 1) == (uint32_t)wait->parity)
        barrier_try(wait->barrier);
    return (wait->barrier->phase & 1) != (uint32_t)wait->parity;
}

void emulated_barrier_wait(uint64_t *at, int parity, const char *file, int line) {
    BarrierWait wait = {barrier_live(at, "barrier_wait", file, line), parity};
    if (parity != 0 && parity != 1)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line, "barrier_wait: parity %d", parity);
    emulated_wait_until("barrier_wait", barrier_ready, &wait, file, line);
    emulated_acquire(&wait.barrier->done);
}

/* What a thread stored up to this epoch of its warp is for the tensor units to see. */
typedef struct AsyncFence {
    uint32_t epoch; /* 0 = none yet */
} AsyncFence;
static AsyncFence *async_fence_of(int thread) {
    return (AsyncFence *)emulated_record((uintptr_t)thread + 1, sizeof(AsyncFence));
}

void emulated_async_fence(void) {
    const Warp *warp = emulated_run->now->warp;
    async_fence_of(emulated_thread_number())->epoch = warp->clock.epoch[warp->number];
}

/* 16 bytes that a product reads were brought by a load, or their writer fenced. */
static void check_fenced(const unsigned char *at, const char *file, int line) {
    uint64_t writer = last_writer(at);
    if (writer == 0 || *landing(at) == writer)
        return;
    int thread = (int)(writer >> 32) - 1;
    if (async_fence_of(thread)->epoch < (uint32_t)writer)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line,
                       "wgmma: reads shared memory that warp %d lane %d stored without async_fence since",
                       thread / 32, thread % 32);
}

void emulated_tensor_load(void *shared, const void *map_at, const int *coordinates, int rank, uint64_t *at,
                          const char *file, int line) {
    SharedBarrier *barrier = barrier_live(at, "tensor_load", file, line);
    Map map = map_read(map_at, file, line);
    size_t bytes = box_bytes(&map);
    if (map.rank != (uint32_t)rank)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line, "tensor_load: the map has %u dimensions",
                       map.rank);
    if (map.box[0] != 64 || emulated_shared_address(shared, file, line) % 1024 != 0 || bytes % 1024 != 0)
        emulated_fault(EMULATED_MISALIGNED, file, line,
                       "tensor_load: boxes are whole patterns of 1024 bytes with lines of 128");
    if (barrier->load_count == MOST_LOADS)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line, "tensor_load: more than %d in one phase",
                       MOST_LOADS);
    emulated_pending(shared, bytes, 128, file, line);
    emulated_release(&barrier->now);
    Load *load = &barrier->loads[barrier->load_count++];
    load->map = map;
    load->to = (unsigned char *)shared;
    for (int i = 0; i < rank; i++)
        load->coordinates[i] = coordinates[i];
    barrier->requested += (int64_t)bytes;
    if (barrier->missing == 0 && barrier->requested > barrier->bytes)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line,
                       "tensor_load: %lld bytes at a barrier that expects %lld",
                       (long long)barrier->requested, (long long)barrier->bytes);
}

/* ---- registers ---- */

static void registers_meet(void **arguments, int count) {
    for (int i = 1; i < count; i++)
        if (*(int *)arguments[i] != *(int *)arguments[0])
            emulated_fault(EMULATED_LAUNCH_FAILURE, NULL, 0,
                           "setmaxnreg: warps of one warpgroup ask for %d and %d", *(int *)arguments[0],
                           *(int *)arguments[i]);
}

void emulated_set_registers(const char *name, int count, const char *file, int line) {
    if (count < 24 || count > 256 || count % 8 != 0)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line, "%s: %d registers", name, count);
    emulated_meet_warpgroup(name, &count, registers_meet, file, line);
}

/* ---- products of a warpgroup ---- */

static const uint32_t UNDER_WAY = 0xFFFFDEADu; /* a NaN in every register of an accumulator */
enum { MOST_PRODUCTS = 96, MOST_ACCUMULATORS = 4, MOST_REGISTERS = 128 };

typedef struct Product {
    WgmmaOperands operands;
    uint32_t a[4]; /* the registers as they were */
    int accumulator, group;
    const char *file;
    int line;
} Product;

typedef struct Accumulator {
    float *d; /* NULL: free */
    int columns, pending;
    float value[MOST_REGISTERS];
} Accumulator;

typedef struct ProductQueue { /* of one thread */
    bool is_fenced;
    int first_group, group; /* the oldest that is not done; the one that the next product joins */
    int count;
    Product products[MOST_PRODUCTS];
    Accumulator accumulators[MOST_ACCUMULATORS];
} ProductQueue;

static ProductQueue *product_queue(void) {
    return (ProductQueue *)emulated_record((uintptr_t)emulated_thread_number() + 1, sizeof(ProductQueue));
}

void emulated_wgmma_fence(void) {
    product_queue()->is_fenced = true;
}

void emulated_wgmma_commit(void) {
    product_queue()->group++;
}

static int accumulator_take(ProductQueue *queue, const WgmmaOperands *operands, const char *file, int line) {
    int empty = -1;
    for (int i = 0; i < MOST_ACCUMULATORS; i++) {
        if (queue->accumulators[i].d == operands->d && queue->accumulators[i].columns == operands->columns)
            return i;
        if (!queue->accumulators[i].d)
            empty = i;
    }
    if (empty < 0)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line, "wgmma: more than %d accumulators under way",
                       MOST_ACCUMULATORS);
    Accumulator *accumulator = &queue->accumulators[empty];
    accumulator->d = operands->d;
    accumulator->columns = operands->columns;
    size_t bytes = (size_t)operands->columns / 2 * sizeof(float);
    memcpy(accumulator->value, operands->d, bytes);
    for (int i = 0; i < operands->columns / 2; i++)
        memcpy(&operands->d[i], &UNDER_WAY, 4);
    return empty;
}

void emulated_wgmma(const WgmmaOperands *operands, const char *file, int line) {
    ProductQueue *queue = product_queue();
    if (emulated_capability() != 90)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line, "wgmma: only on compute 9.0");
    if (!queue->is_fenced)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line,
                       "wgmma: no wgmma_fence since registers were last free to use");
    if (queue->count == MOST_PRODUCTS || operands->columns > 2 * MOST_REGISTERS || operands->columns % 8 != 0)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line, "wgmma: %d products under way, N = %d",
                       queue->count, operands->columns);
    Product *product = &queue->products[queue->count++];
    product->operands = *operands;
    product->file = file;
    product->line = line;
    product->group = queue->group;
    for (int i = 0; operands->a_registers && i < 4; i++)
        product->a[i] = operands->a_registers[i];
    product->accumulator = accumulator_take(queue, operands, file, line);
    queue->accumulators[product->accumulator].pending++;
}

static float value16(const unsigned char *at, bool is_bf16) {
    uint16_t bits;
    memcpy(&bits, at, 2);
    return is_bf16 ? bf16_value(bits) : half_value(bits);
}

/* 8 values: 16 bytes at an address before swizzling. */
static void read_chunk(const Product *product, uint32_t address, float out[8]) {
    address ^= address >> 3 & 0x70;
    const unsigned char *at = (const unsigned char *)emulated_shared_pointer(address);
    if (!at)
        emulated_fault(EMULATED_ILLEGAL_ADDRESS, product->file, product->line,
                       "wgmma: reads shared memory at %u, outside", address);
    emulated_read(at, 16, 16, product->file, product->line);
    check_fenced(at, product->file, product->line);
    for (int i = 0; i < 8; i++)
        out[i] = value16(at + 2 * i, product->operands.is_bf16);
}

typedef struct Descriptor {
    uint32_t start, leading, stride;
} Descriptor;

static Descriptor descriptor_read(const Product *product, uint64_t bits) {
    Descriptor out = {(uint32_t)(bits & 0x3FFF) << 4, (uint32_t)(bits >> 16 & 0x3FFF) << 4,
                      (uint32_t)(bits >> 32 & 0x3FFF) << 4};
    if (bits >> 62 != 1 || (bits >> 49 & 7) != 0)
        emulated_fault(EMULATED_LAUNCH_FAILURE, product->file, product->line,
                       "wgmma: descriptor %016llx has not the 128-byte swizzle on patterns at 1024",
                       (unsigned long long)bits);
    return out;
}

/* out[line][k]: `lines` rows of A or columns of B, 16 values along k. */
static void read_k_major(const Product *product, uint64_t bits, int lines, float (*out)[16]) {
    Descriptor d = descriptor_read(product, bits);
    for (int l = 0; l < lines; l++)
        for (uint32_t c = 0; c < 2; c++)
            read_chunk(product, d.start + (uint32_t)(l / 8) * d.stride + (uint32_t)(l % 8) * 128 + c * 16,
                       &out[l][8 * c]);
}

/* The same of an operand whose lines run along n. */
static void read_mn_major(const Product *product, uint64_t bits, int columns, float (*out)[16]) {
    Descriptor d = descriptor_read(product, bits);
    for (int k = 0; k < 16; k++) {
        for (int n = 0; n < columns; n += 8) {
            float values[8];
            read_chunk(product,
                       d.start + (uint32_t)(k / 8) * d.stride + (uint32_t)(k % 8) * 128 +
                           (uint32_t)(n / 64) * d.leading + (uint32_t)(n % 64) * 2,
                       values);
            for (int i = 0; i < 8; i++)
                out[n + i][k] = values[i];
        }
    }
}

/* A from the registers of 128 threads. */
static void read_registers(ProductQueue **queues, int index, float (*out)[16]) {
    for (int thread = 0; thread < 128; thread++) {
        const Product *product = &queues[thread]->products[index];
        if (memcmp(product->operands.a_registers, product->a, sizeof product->a) != 0)
            emulated_fault(EMULATED_LAUNCH_FAILURE, product->file, product->line,
                           "wgmma: registers of A changed while the product was under way");
        int row = thread / 32 * 16 + thread % 32 / 4, k = thread % 4 * 2;
        for (int i = 0; i < 8; i++) {
            uint16_t bits = (uint16_t)(product->a[i / 2] >> 16 * (i % 2));
            out[row + i / 2 % 2 * 8][k + i / 4 * 8 + i % 2] =
                value16((const unsigned char *)&bits, product->operands.is_bf16);
        }
    }
}

static void check_same(ProductQueue **queues, int index) {
    const Product *first = &queues[0]->products[index];
    for (int thread = 1; thread < 128; thread++) {
        const Product *other = &queues[thread]->products[index];
        if (index >= queues[thread]->count || other->line != first->line || other->group != first->group ||
            other->accumulator != first->accumulator || other->operands.a != first->operands.a ||
            other->operands.b != first->operands.b || other->operands.columns != first->operands.columns ||
            other->operands.accumulate != first->operands.accumulate)
            emulated_fault(EMULATED_LAUNCH_FAILURE, first->file, first->line,
                           "wgmma: thread %d of the warpgroup issued another product", thread);
    }
}

static void compute_product(ProductQueue **queues, int index) {
    static __thread float a[64][16], b[2 * MOST_REGISTERS][16];
    check_same(queues, index);
    const Product *first = &queues[0]->products[index];
    if (first->operands.a_registers) {
        read_registers(queues, index, a);
        read_mn_major(first, first->operands.b, first->operands.columns, b);
    } else {
        read_k_major(first, first->operands.a, 64, a);
        read_k_major(first, first->operands.b, first->operands.columns, b);
    }
    for (int thread = 0; thread < 128; thread++) {
        float *value = queues[thread]->accumulators[first->accumulator].value;
        for (int i = 0; i < first->operands.columns / 2; i++) {
            int row = thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8;
            int column = i / 4 * 8 + thread % 4 * 2 + i % 2;
            float sum = first->operands.accumulate ? value[i] : 0;
            for (int k = 0; k < 16; k++)
                sum += a[row][k] * b[column][k];
            value[i] = sum;
        }
    }
}

/* The registers of accumulators without products under way get their values. */
static void settle(ProductQueue *queue, const Product *product) {
    Accumulator *accumulator = &queue->accumulators[product->accumulator];
    if (--accumulator->pending > 0)
        return;
    for (int i = 0; i < accumulator->columns / 2; i++) {
        if (memcmp(&accumulator->d[i], &UNDER_WAY, 4) != 0)
            emulated_fault(EMULATED_LAUNCH_FAILURE, product->file, product->line,
                           "wgmma: accumulator register %d changed while the product was under way", i);
        accumulator->d[i] = accumulator->value[i];
    }
    accumulator->d = NULL;
}

typedef struct ProductWait {
    ProductQueue *queue;
    int pending; /* groups that may stay under way */
} ProductWait;

static void compute_products(void **arguments, int count) {
    ProductQueue *queues[128];
    int pending = ((ProductWait *)arguments[0])->pending, done = 0;
    for (int i = 0; i < count; i++)
        queues[i] = ((ProductWait *)arguments[i])->queue;
    for (int i = 1; i < count; i++)
        if (queues[i]->count != queues[0]->count || queues[i]->group != queues[0]->group)
            emulated_fault(EMULATED_LAUNCH_FAILURE, NULL, 0,
                           "wgmma_wait: thread %d of the warpgroup issued %d products and thread 0 issued %d",
                           i, queues[i]->count, queues[0]->count);
    while (done < queues[0]->count && queues[0]->products[done].group < queues[0]->group - pending)
        compute_product(queues, done++);
    for (int i = 0; i < count; i++) {
        ProductQueue *queue = queues[i];
        for (int p = 0; p < done; p++)
            settle(queue, &queue->products[p]);
        queue->count -= done;
        memmove(queue->products, queue->products + done, (size_t)queue->count * sizeof(Product));
        queue->is_fenced = false;
    }
}

void emulated_wgmma_wait(int pending, const char *file, int line) {
    ProductWait wait = {product_queue(), pending};
    emulated_meet_warpgroup("wgmma_wait", &wait, compute_products, file, line);
}
