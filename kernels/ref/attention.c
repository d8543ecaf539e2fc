#include "kernels/ref/ref_internal.h"

#include <math.h>

void ref_rope(Backend *backend, float *x, const int32_t *positions, int n, int heads, int head_dim, int n_rot,
              RopeKind kind, float base, const float *factors) {
    (void)backend;
    int pairs = n_rot / 2;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < pairs; j++) {
            double angle = positions[i] * pow(base, -2.0 * j / n_rot) / (factors ? factors[j] : 1);
            double cosine = cos(angle), sine = sin(angle);
            int first = kind == ROPE_NORM ? 2 * j : j, second = kind == ROPE_NORM ? 2 * j + 1 : j + pairs;
            for (int h = 0; h < heads; h++) {
                float *head = x + ((int64_t)i * heads + h) * head_dim;
                double a = head[first], b = head[second];
                head[first] = (float)(a * cosine - b * sine);
                head[second] = (float)(a * sine + b * cosine);
            }
        }
    }
}

void ref_kv_write(Backend *backend, KvRows kv, const float *x, const int32_t *positions, int n) {
    (void)backend;
    for (int i = 0; i < n; i++) {
        for (int64_t c = 0; c < kv.row_values; c++) {
            int64_t at = positions[i] * kv.row_values + c;
            if (kv.rows_f32)
                kv.rows_f32[at] = x[i * kv.row_values + c];
            else
                kv.rows[at] = half_from_float(x[i * kv.row_values + c]);
        }
    }
}

static double kv_value(KvRows kv, int position, int64_t column) {
    int64_t at = position * kv.row_values + column;
    return kv.rows_f32 ? (double)kv.rows_f32[at] : (double)half_to_float(kv.rows[at]);
}

/* One query head against the key head that starts at column `first`: softmax(q . k * scale) * v over
 * positions 0..last; scores holds last + 1 values. */
static void attend_head(float *out, const float *q, KvRows keys, KvRows values, int64_t first, int last,
                        int head_dim, float scale, double *scores) {
    double largest = -INFINITY;
    for (int p = 0; p <= last; p++) {
        double dot = 0;
        for (int c = 0; c < head_dim; c++)
            dot += (double)q[c] * kv_value(keys, p, first + c);
        scores[p] = dot * scale;
        largest = fmax(largest, scores[p]);
    }
    double total = 0;
    for (int p = 0; p <= last; p++)
        total += scores[p] = exp(scores[p] - largest);
    for (int c = 0; c < head_dim; c++) {
        double sum = 0;
        for (int p = 0; p <= last; p++)
            sum += scores[p] * kv_value(values, p, first + c);
        out[c] = (float)(sum / total);
    }
}

void ref_attend(Backend *backend, float *out, const float *q, KvRows keys, KvRows values,
                const int32_t *positions, int n, int heads, int kv_heads, int head_dim, float scale) {
    RefBackend *ref = (RefBackend *)backend;
    int group = heads / kv_heads;
    for (int i = 0; i < n; i++) {
        double *scores = scratch_reserve(backend, &ref->scratch, ((size_t)positions[i] + 1) * sizeof *scores);
        if (!scores)
            return;
        for (int h = 0; h < heads; h++) {
            int64_t at = ((int64_t)i * heads + h) * head_dim, kv_at = (int64_t)(h / group) * head_dim;
            attend_head(out + at, q + at, keys, values, kv_at, positions[i], head_dim, scale, scores);
        }
    }
}
