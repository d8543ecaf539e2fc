#include "kernels/ref/ref_internal.h"

void ref_embed(Backend *backend, float *out, Tensor table, const int32_t *ids, int n) {
    (void)backend;
    for (int i = 0; i < n; i++)
        dtype_to_floats(table.type, ref_tensor_row(table, ids[i]), table.cols, out + i * table.cols);
}

static void ref_product(const MatMul *job, const float *x, int64_t x_stride, int n, float *row) {
    int64_t cols = job->weight.cols;
    for (int64_t r = 0; r < job->weight.rows; r++) {
        dtype_to_floats(job->weight.type, ref_tensor_row(job->weight, r), cols, row);
        for (int i = 0; i < n; i++) {
            const float *xi = x + i * x_stride;
            double sum = job->bias ? job->bias[r] : 0;
            for (int64_t c = 0; c < cols; c++)
                sum += (double)row[c] * xi[c];
            float *out = job->out + i * job->out_stride + r;
            *out = (float)(job->accumulate ? *out + sum : sum);
        }
    }
}

void ref_matmul(Backend *backend, const MatMul *jobs, int job_count, const float *x, int64_t x_stride,
                int n) {
    RefBackend *ref = (RefBackend *)backend;
    for (int j = 0; j < job_count; j++) {
        float *row = scratch_reserve(&ref->host, &ref->scratch, (size_t)jobs[j].weight.cols * sizeof *row);
        if (!row)
            return;
        ref_product(&jobs[j], x, x_stride, n, row);
    }
}
