/* Operations into launches, and what is remembered between them: activations already rounded to 8 bits, and
 * the choices that the host waits for. */
#include <string.h>

#include "kernels/cuda/cuda_internal.h"
#include "kernels/cuda/tensor_map.h"

bool ops_launched(CudaBackend *cuda, bool is_launched, const char *what) {
    if (!is_launched)
        queue_fail(cuda->queue, "there is no CUDA kernel for %s", what);
    return is_launched;
}

static bool is_stopped(const CudaBackend *cuda) {
    return queue_has_failed(cuda->queue);
}

/* ---- rounded activations ---- */

void ops_written(CudaBackend *cuda, const void *at, size_t bytes) {
    uintptr_t begin = (uintptr_t)at, end = begin + bytes;
    for (int i = 0; i < Q8_SLOTS; i++) {
        Q8Slot *slot = &cuda->q8[i];
        uintptr_t x = (uintptr_t)slot->x;
        size_t used = (size_t)((slot->n - 1) * slot->stride + slot->cols) * sizeof(float);
        if (slot->x && begin < x + used && x < end)
            slot->x = NULL;
    }
}

static void written_floats(CudaBackend *cuda, const float *at, int64_t count) {
    ops_written(cuda, at, (size_t)count * sizeof *at);
}

/* Slots are taken in turn, from the first at each step: the same step takes the same ones. */
static Q8Slot *take_q8(CudaBackend *cuda, int64_t cols, int64_t n) {
    int index = cuda->next_q8;
    size_t values = (size_t)(n * cols), scales = values / 32 * 2 * sizeof(float);
    size_t scales_at = (values + 255) / 256 * 256;
    char *space = work_space(cuda, (Work)(WORK_Q8 + index), scales_at + scales);
    if (!space)
        return NULL;
    cuda->next_q8 = (index + 1) % Q8_SLOTS;
    Q8Slot *slot = &cuda->q8[index];
    *slot =
        (Q8Slot){.cols = cols, .n = n, .rows = {(int8_t *)space, (float *)(void *)(space + scales_at), cols}};
    return slot;
}

static bool is_wished(const CudaBackend *cuda, const float *x, int64_t cols) {
    for (int i = 0; i < Q8_WANTED; i++)
        if (cuda->wishes[i].x == x && cuda->wishes[i].cols == cols)
            return true;
    return false;
}

Q8Rows q8_of(CudaBackend *cuda, const float *x, int64_t stride, int64_t cols, int64_t n) {
    for (int i = 0; i < Q8_SLOTS; i++) {
        const Q8Slot *slot = &cuda->q8[i];
        if (slot->x == x && slot->stride == stride && slot->cols == cols && slot->n >= n)
            return slot->rows;
    }
    if (stride == cols && !is_wished(cuda, x, cols)) {
        cuda->wishes[cuda->next_wish] = (Q8Wish){x, cols};
        cuda->next_wish = (cuda->next_wish + 1) % Q8_WANTED;
    }
    Q8Slot *slot = take_q8(cuda, cols, n);
    if (!slot ||
        !ops_launched(cuda, cuda_quantize(cuda->queue, slot->rows, x, stride, (int)n), "rounding to 8 bits"))
        return (Q8Rows){0};
    slot->x = x;
    slot->stride = stride;
    return slot->rows;
}

/* ---- steps ---- */

void ops_begin(CudaBackend *cuda) {
    memset(cuda->q8, 0, sizeof cuda->q8);
    cuda->next_q8 = 0;
}

/* ---- rows, norms, elements ---- */

static void op_embed(Backend *backend, float *out, Tensor table, const int32_t *ids, int n) {
    CudaBackend *cuda = (CudaBackend *)backend;
    if (is_stopped(cuda))
        return;
    EmbedArgs args;
    memset(&args, 0, sizeof args); /* recorded launches are compared with their gaps */
    args.table = table;
    args.ids = ids;
    args.out = out;
    args.n = n;
    ops_launched(cuda, cuda_embed(cuda->queue, &args), "rows of this type");
    written_floats(cuda, out, n * table.cols);
}

static void op_rms_norm(Backend *backend, float *out, const float *x, const float *weight, int64_t rows,
                        int64_t d, float eps) {
    CudaBackend *cuda = (CudaBackend *)backend;
    if (is_stopped(cuda))
        return;
    NormArgs args;
    memset(&args, 0, sizeof args);
    args.out = out;
    args.x = x;
    args.weight = weight;
    args.rows = rows;
    args.d = d;
    args.eps = eps;
    written_floats(cuda, out, rows * d);
    Q8Slot *slot = NULL;
    if (d % 32 == 0 && rows <= TENSOR_CORE_ROWS && is_wished(cuda, out, d))
        slot = take_q8(cuda, d, rows);
    if (slot)
        args.q8 = slot->rows;
    if (ops_launched(cuda, cuda_rms_norm(cuda->queue, &args), "a norm of this width") && slot) {
        slot->x = out;
        slot->stride = d;
    }
}

static void op_add(Backend *backend, float *out, const float *x, int64_t count) {
    CudaBackend *cuda = (CudaBackend *)backend;
    if (is_stopped(cuda))
        return;
    ops_launched(cuda, cuda_add(cuda->queue, out, x, count), "a sum");
    written_floats(cuda, out, count);
}

static void op_swiglu(Backend *backend, float *out, const float *gate, const float *up, int64_t count) {
    CudaBackend *cuda = (CudaBackend *)backend;
    if (is_stopped(cuda))
        return;
    ops_launched(cuda, cuda_swiglu(cuda->queue, out, gate, up, count), "SwiGLU");
    written_floats(cuda, out, count);
}

/* ---- attention ---- */

static void op_rope(Backend *backend, float *x, const int32_t *positions, int n, int heads, int head_dim,
                    int n_rot, RopeKind kind, float base, const float *factors) {
    CudaBackend *cuda = (CudaBackend *)backend;
    if (is_stopped(cuda))
        return;
    RopeArgs args = {x, positions, n, heads, head_dim, n_rot, kind, base, factors};
    ops_launched(cuda, cuda_rope(cuda->queue, &args), "a rotation of this width");
    written_floats(cuda, x, (int64_t)n * heads * head_dim);
}

/* Recorded launches are compared byte for byte, and the gaps between the members of what a caller has on its
 * stack hold anything: what reaches a launch is copied member by member into zeroed memory. */
static void copy_rows(KvRows *out, const KvRows *rows) {
    out->base = rows->base;
    out->type = rows->type;
    out->row_values = rows->row_values;
    out->row_bytes = rows->row_bytes;
    out->pages = rows->pages;
    out->page_rows = rows->page_rows;
    out->page_bytes = rows->page_bytes;
}

static void copy_remember(Remember *out, const Remember *r) {
    memset(out, 0, sizeof *out);
    out->q = r->q, out->k = r->k, out->v = r->v;
    out->q_norm = r->q_norm, out->k_norm = r->k_norm;
    out->eps = r->eps;
    copy_rows(&out->keys, &r->keys);
    copy_rows(&out->values, &r->values);
    out->positions = r->positions;
    out->n = r->n, out->heads = r->heads, out->kv_heads = r->kv_heads;
    out->head_dim = r->head_dim, out->value_dim = r->value_dim, out->n_rot = r->n_rot;
    out->kind = r->kind;
    out->base = r->base;
    out->factors = r->factors;
}

static void copy_attend(Attend *out, const Attend *a) {
    memset(out, 0, sizeof *out);
    out->out = a->out;
    out->q = a->q;
    copy_rows(&out->keys, &a->keys);
    copy_rows(&out->values, &a->values);
    out->positions = a->positions;
    out->n = a->n, out->last_position = a->last_position;
    out->heads = a->heads, out->kv_heads = a->kv_heads;
    out->head_dim = a->head_dim, out->value_dim = a->value_dim;
    out->scale = a->scale;
    out->window = a->window;
    out->softcap = a->softcap;
    out->sinks = a->sinks;
}

static void op_kv_write(Backend *backend, KvRows kv, const float *x, const int32_t *positions, int n) {
    CudaBackend *cuda = (CudaBackend *)backend;
    KvRows rows;
    memset(&rows, 0, sizeof rows);
    copy_rows(&rows, &kv);
    if (!is_stopped(cuda))
        ops_launched(cuda, cuda_kv_write(cuda->queue, rows, x, positions, n), "keys and values of this type");
}

static void op_remember(Backend *backend, const Remember *caller) {
    CudaBackend *cuda = (CudaBackend *)backend;
    Remember copy, *args = &copy;
    copy_remember(&copy, caller);
    if (is_stopped(cuda))
        return;
    ops_launched(cuda, cuda_remember(cuda->queue, args), "keys and values of this type");
    written_floats(cuda, args->q, (int64_t)args->n * args->heads * args->head_dim);
    written_floats(cuda, args->k, (int64_t)args->n * args->kv_heads * args->head_dim);
}

/* What is planned with grows in spans, so that the launches of many steps are the same. */
static int planned_position(int last_position) {
    enum { SPAN = 512 };
    return last_position > INT32_MAX - SPAN ? last_position : last_position / SPAN * SPAN + SPAN - 1;
}

static bool attend_few(CudaBackend *cuda, const Attend *attend) {
    Attend planned;
    copy_attend(&planned, attend);
    planned.last_position = planned_position(attend->last_position);
    size_t bytes =
        cuda_attend_partial_bytes(attend->n, attend->heads, attend->value_dim, planned.last_position);
    void *partial = NULL;
    if (bytes && !(partial = work_space(cuda, WORK_SPLITS, bytes)))
        return true; /* the failure is kept */
    return cuda_attend_decode(cuda->queue, &planned, partial);
}

static bool attend_many(CudaBackend *cuda, const Attend *attend) {
    TensorMap keys, values;
    if (cuda->uses_hopper_attention && queue_capability(cuda->queue) == 90 &&
        attend_tensor_maps(attend, &keys, &values) && cuda_attend_hopper(cuda->queue, attend, &keys, &values))
        return true;
    return cuda_attend_prefill(cuda->queue, attend);
}

static void op_attend(Backend *backend, const Attend *attend) {
    CudaBackend *cuda = (CudaBackend *)backend;
    if (is_stopped(cuda))
        return;
    bool ok = attend->n <= BACKEND_EXACT_ROWS && attend_few(cuda, attend);
    if (!ok && !is_stopped(cuda))
        ops_launched(cuda, attend_many(cuda, attend), "attention with heads of this width");
    written_floats(cuda, attend->out, (int64_t)attend->n * attend->heads * attend->value_dim);
}

/* ---- experts ---- */

static void op_route(Backend *backend, const Route *caller) {
    CudaBackend *cuda = (CudaBackend *)backend;
    Route route;
    memset(&route, 0, sizeof route);
    route.ids = caller->ids, route.weights = caller->weights, route.logits = caller->logits;
    route.n = caller->n, route.experts = caller->experts, route.used = caller->used;
    route.normalise = caller->normalise;
    if (!is_stopped(cuda))
        ops_launched(cuda, cuda_route(cuda->queue, &route), "so many experts");
}

static void op_experts(Backend *backend, const Experts *experts) {
    CudaBackend *cuda = (CudaBackend *)backend;
    if (is_stopped(cuda))
        return;
    int64_t width = experts->gate.cols, hidden = experts->down.cols;
    int64_t products = (int64_t)experts->n * experts->used;
    ExpertArgs args = {.experts = *experts};
    if (layout_is_planar(experts->gate.type) || layout_is_planar(experts->up.type)) {
        args.q8 = q8_of(cuda, experts->x, width, width, experts->n);
        if (!args.q8.q)
            return;
    }
    if (layout_is_planar(experts->down.type)) {
        size_t values = (size_t)(products * hidden), scales_at = (values + 255) / 256 * 256;
        char *space = work_space(cuda, WORK_HIDDEN, scales_at + values / 32 * 2 * sizeof(float));
        if (!space)
            return;
        args.hidden_q8 = (Q8Rows){(int8_t *)space, (float *)(void *)(space + scales_at), hidden};
    }
    args.order = work_space(cuda, WORK_ORDER, (size_t)(experts->experts + 1 + products) * sizeof(int32_t));
    size_t partial = cuda_experts_partial_bytes(experts);
    if (partial && !(args.partial = work_space(cuda, WORK_PARTIAL, partial)))
        return;
    if (args.order)
        ops_launched(cuda, cuda_experts(cuda->queue, &args), "experts of this type");
    written_floats(cuda, experts->hidden, products * hidden);
    written_floats(cuda, experts->out, (int64_t)experts->n * experts->down.rows);
}

/* ---- the choice of a token ---- */

/* What one choice reads and writes on the device: the draw, the id, then the mask. */
typedef struct PickSlot {
    double random;
    int32_t id;
    int32_t unused;
} PickSlot;

static size_t pick_bytes(size_t mask_bytes) {
    return PICKS * (sizeof(PickSlot) + mask_bytes);
}

void ops_flush(CudaBackend *cuda) {
    queue_replay(cuda->queue);
    const PickSlot *slots = cuda->work[WORK_PICK].address;
    for (int i = 0; i < cuda->pick_count; i++)
        queue_download(cuda->queue, cuda->picked[i], &slots[i].id, sizeof(int32_t));
    cuda->pick_count = 0;
}

static void op_pick(Backend *backend, int32_t *id, const Pick *pick) {
    CudaBackend *cuda = cuda_enter(backend);
    size_t mask_bytes = (size_t)((pick->count + 63) / 64) * sizeof(uint64_t);
    mask_bytes = (mask_bytes + 15) / 16 * 16;
    if (is_stopped(cuda))
        return;
    if (cuda->pick_count == PICKS || mask_bytes > cuda->pick_mask_bytes)
        ops_flush(cuda); /* the slots are free again once what reads them has been started */
    if (mask_bytes > cuda->pick_mask_bytes)
        cuda->pick_mask_bytes = mask_bytes;
    PickSlot *slots = work_space(cuda, WORK_PICK, pick_bytes(cuda->pick_mask_bytes));
    void *scratch = work_space(cuda, WORK_SELECT, cuda_pick_scratch_bytes(pick->count));
    if (!slots || !scratch)
        return;
    int index = cuda->pick_count++;
    cuda->picked[index] = id;
    char *mask = (char *)(slots + PICKS) + (size_t)index * cuda->pick_mask_bytes;
    queue_upload(cuda->queue, &slots[index].random, &pick->random, sizeof pick->random);
    if (pick->mask)
        queue_upload(cuda->queue, mask, pick->mask, (size_t)((pick->count + 63) / 64) * sizeof(uint64_t));
    PickArgs args = {.logits = pick->logits,
                     .count = pick->count,
                     .mask = pick->mask ? (const uint64_t *)(void *)mask : NULL,
                     .temperature = pick->temperature,
                     .top_k = pick->top_k,
                     .top_p = pick->top_p,
                     .min_p = pick->min_p,
                     .random = &slots[index].random,
                     .scratch = scratch,
                     .id = &slots[index].id};
    ops_launched(cuda, cuda_pick(cuda->queue, &args), "a choice among so many");
}

const Ops CUDA_OPS = {
    .embed = op_embed,
    .rms_norm = op_rms_norm,
    .matmul = cuda_op_matmul,
    .rope = op_rope,
    .kv_write = op_kv_write,
    .attend = op_attend,
    .swiglu = op_swiglu,
    .add = op_add,
    .route = op_route,
    .experts = op_experts,
    .remember = op_remember,
    .gated = cuda_op_gated,
    .pick = op_pick,
};
