/* Which kernel multiplies what:
 *   n <= 8            gemv: the weights are read once, each row's sum in one order (8-bit x for quantised
 * ones) n <= 64           quantised weights: int8 tensor cores on the weights as they lie more half
 * precision: cuBLASLt where it is loaded, else our own product; quantised weights are multiplied out in slabs
 * of rows F32 weights       float32 throughout Quantised weights and their x become BF16 and not F16: hidden
 * values of some models exceed 65504.
 */
#include "kernels/cuda/cuda_internal.h"

static const size_t SLAB_BYTES = (size_t)64 << 20, UP_BYTES = (size_t)128 << 20,
                    LIBRARY_BYTES = (size_t)32 << 20;

static bool is_quantised(DType type) {
    return layout_is_planar(type);
}

/* ---- up to 8 rows, and quantised weights up to TENSOR_CORE_ROWS ---- */

static void advance(GemvArgs *args, int by) {
    for (int i = 0; i < args->job_count; i++)
        args->jobs[i].out += (int64_t)by * args->jobs[i].out_stride;
    args->x += (int64_t)by * args->x_stride;
    if (args->q8.q) {
        args->q8.q += (int64_t)by * args->q8.cols;
        args->q8.scale += (int64_t)by * args->q8.cols / 32 * 2;
    }
}

/* Any n, BACKEND_EXACT_ROWS rows at a time. */
static void gemv(CudaBackend *cuda, GemvArgs args) {
    bool is_planar = is_quantised(args.jobs[0].weight.type), ok = true;
    for (int left = args.n; ok && left > 0; left -= BACKEND_EXACT_ROWS) {
        args.n = left < BACKEND_EXACT_ROWS ? left : BACKEND_EXACT_ROWS;
        ok = is_planar ? cuda_gemv_quant(cuda->queue, &args) : cuda_gemv_float(cuda->queue, &args);
        advance(&args, BACKEND_EXACT_ROWS);
    }
    ops_launched(cuda, ok, "a product with weights of this type");
}

/* ---- many rows ---- */

static void half_product(CudaBackend *cuda, const GemmArgs *args) {
    if (cuda->library && args->n > BACKEND_EXACT_ROWS) {
        void *space = work_space(cuda, WORK_LIBRARY, LIBRARY_BYTES);
        queue_replay(cuda->queue); /* the library puts its work on the stream by itself */
        if (!space || cublaslt_gemm(cuda->library, queue_stream(cuda->queue), args, space, LIBRARY_BYTES))
            return;
    }
    ops_launched(cuda, cuda_gemm(cuda->queue, args), "a product of many rows");
}

static void float_product(CudaBackend *cuda, const MatMul *job, const float *x, int64_t x_stride, int n) {
    size_t row_bytes = (size_t)x_stride * sizeof(float);
    if (((uintptr_t)x | row_bytes | job->weight.row_bytes) % 16 != 0) {
        gemv(cuda, (GemvArgs){.jobs = {*job}, .job_count = 1, .x = x, .x_stride = x_stride, .n = n});
        return;
    }
    half_product(cuda, &(GemmArgs){.weight = job->weight,
                                   .x = x,
                                   .x_row_bytes = (int64_t)row_bytes,
                                   .bias = job->bias,
                                   .out = job->out,
                                   .out_stride = job->out_stride,
                                   .accumulate = job->accumulate,
                                   .n = n});
}

/* x in half precision, or NULL with the failure kept. */
static void *to_half(CudaBackend *cuda, DType type, const float *x, int64_t x_stride, int64_t cols, int n) {
    void *half = work_space(cuda, WORK_HALF, (size_t)n * (size_t)layout_round16(2 * cols));
    if (!half || !ops_launched(cuda, cuda_to_half(cuda->queue, half, type, x, x_stride, cols, n),
                               "rounding to halves"))
        return NULL;
    return half;
}

static void dequantised_product(CudaBackend *cuda, const MatMul *job, const void *half, int n) {
    int64_t cols = job->weight.cols, row_bytes = layout_round16(2 * cols);
    int64_t slab_rows = (int64_t)SLAB_BYTES / row_bytes / 128 * 128;
    if (slab_rows < 128)
        slab_rows = 128;
    if (slab_rows > job->weight.rows)
        slab_rows = job->weight.rows;
    void *slab = work_space(cuda, WORK_WEIGHTS, (size_t)(slab_rows * row_bytes));
    for (int64_t row = 0; slab && row < job->weight.rows && !queue_has_failed(cuda->queue);
         row += slab_rows) {
        int64_t rows = job->weight.rows - row < slab_rows ? job->weight.rows - row : slab_rows;
        if (!ops_launched(cuda,
                          cuda_dequantize(cuda->queue, job->weight, row, rows, slab, DTYPE_BF16, row_bytes),
                          "multiplying out weights of this type"))
            return;
        half_product(cuda, &(GemmArgs){.weight = {slab, DTYPE_BF16, rows, cols, (size_t)row_bytes, false},
                                       .x = half,
                                       .x_row_bytes = row_bytes,
                                       .bias = job->bias ? job->bias + row : NULL,
                                       .out = job->out + row,
                                       .out_stride = job->out_stride,
                                       .accumulate = job->accumulate,
                                       .n = n});
    }
}

static void many_rows(CudaBackend *cuda, const GemvArgs *args) {
    DType type = args->jobs[0].weight.type;
    int64_t cols = args->jobs[0].weight.cols, row_bytes = layout_round16(2 * cols);
    if (type == DTYPE_F32) {
        for (int i = 0; i < args->job_count; i++)
            float_product(cuda, &args->jobs[i], args->x, args->x_stride, args->n);
        return;
    }
    DType half_type = is_quantised(type) ? DTYPE_BF16 : type;
    void *half = to_half(cuda, half_type, args->x, args->x_stride, cols, args->n);
    for (int i = 0; half && i < args->job_count; i++) {
        const MatMul *job = &args->jobs[i];
        if (is_quantised(type))
            dequantised_product(cuda, job, half, args->n);
        else
            half_product(cuda, &(GemmArgs){.weight = job->weight,
                                           .x = half,
                                           .x_row_bytes = row_bytes,
                                           .bias = job->bias,
                                           .out = job->out,
                                           .out_stride = job->out_stride,
                                           .accumulate = job->accumulate,
                                           .n = args->n});
    }
}

/* ---- the operations ---- */

/* The jobs of one weight type; a gated product too, while n is small. */
static void product(CudaBackend *cuda, GemvArgs *args) {
    const Tensor *weight = &args->jobs[0].weight;
    if (is_quantised(weight->type) && args->n <= TENSOR_CORE_ROWS) {
        args->q8 = q8_of(cuda, args->x, args->x_stride, weight->cols, args->n);
        if (!args->q8.q || (args->n > BACKEND_EXACT_ROWS && cuda_mma_quant(cuda->queue, args)))
            return;
        if (args->n <= BACKEND_EXACT_ROWS || args->up.data) {
            gemv(cuda, *args);
            return;
        }
    }
    if (args->n <= BACKEND_EXACT_ROWS)
        gemv(cuda, *args);
    else
        many_rows(cuda, args);
}

static void written(CudaBackend *cuda, const float *out, int64_t stride, int64_t width, int n) {
    ops_written(cuda, out, ((size_t)(n - 1) * (size_t)stride + (size_t)width) * sizeof *out);
}

void cuda_op_matmul(Backend *backend, const MatMul *jobs, int job_count, const float *x, int64_t x_stride,
                    int n) {
    CudaBackend *cuda = (CudaBackend *)backend;
    bool is_done[8] = {false};
    for (int first = 0; first < job_count && !queue_has_failed(cuda->queue); first++) {
        if (is_done[first])
            continue;
        GemvArgs args = {.x = x, .x_stride = x_stride, .n = n};
        for (int i = first; i < job_count; i++) {
            if (jobs[i].weight.type != jobs[first].weight.type)
                continue;
            args.jobs[args.job_count++] = jobs[i];
            is_done[i] = true;
        }
        product(cuda, &args);
    }
    for (int i = 0; i < job_count; i++)
        written(cuda, jobs[i].out, jobs[i].out_stride, jobs[i].weight.rows, n);
}

static void gated_in_parts(Backend *backend, const Gated *gated, const float *x, int64_t x_stride, int n) {
    CudaBackend *cuda = (CudaBackend *)backend;
    int64_t rows = gated->gate.rows;
    int most = (int)((int64_t)UP_BYTES / (rows * (int64_t)sizeof(float)));
    if (most < 1)
        most = 1;
    float *up = work_space(cuda, WORK_UP, (size_t)(n < most ? n : most) * (size_t)rows * sizeof *up);
    for (int row = 0; up && row < n && !queue_has_failed(cuda->queue); row += most) {
        int part = n - row < most ? n - row : most;
        float *out = gated->out + row * rows;
        MatMul jobs[] = {{.weight = gated->gate, .out = out, .out_stride = rows},
                         {.weight = gated->up, .out = up, .out_stride = rows}};
        cuda_op_matmul(backend, jobs, 2, x + row * x_stride, x_stride, part);
        ops_launched(cuda, cuda_swiglu(cuda->queue, out, out, up, part * rows), "SwiGLU");
    }
}

void cuda_op_gated(Backend *backend, const Gated *gated, const float *x, int64_t x_stride, int n) {
    CudaBackend *cuda = (CudaBackend *)backend;
    bool is_alike = gated->gate.type == gated->up.type;
    int most = is_quantised(gated->gate.type) ? TENSOR_CORE_ROWS : BACKEND_EXACT_ROWS;
    if (queue_has_failed(cuda->queue))
        return;
    if (is_alike && n <= most) {
        GemvArgs args = {.jobs = {{.weight = gated->gate, .out = gated->out, .out_stride = gated->gate.rows}},
                         .job_count = 1,
                         .up = gated->up,
                         .x = x,
                         .x_stride = x_stride,
                         .n = n};
        product(cuda, &args);
    } else {
        gated_in_parts(backend, gated, x, x_stride, n);
    }
    written(cuda, gated->out, gated->gate.rows, gated->gate.rows, n);
}
