#include "kernels/ref/ref_internal.h"

#include <math.h>
#include <string.h>

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

/* 32 values to int8 and their half scale: d = amax / 127, q = x / d to the nearest even, by floats. */
static void write_q8_0(int8_t *q, char *scale, const float *x) {
    float largest = 0;
    for (int j = 0; j < 32; j++)
        largest = fmaxf(largest, fabsf(x[j]));
    float d = largest / 127, inverse = d > 0 ? 1 / d : 0;
    for (int j = 0; j < 32; j++)
        q[j] = (int8_t)lrintf(fminf(fmaxf(x[j] * inverse, -127), 127));
    uint16_t half = half_from_float(d);
    memcpy(scale, &half, sizeof half);
}

static void write_row(const KvRows *kv, char *row, const float *x) {
    for (int64_t c = 0; c < kv->row_values; c++) {
        uint16_t word = kv->type == DTYPE_F16 ? half_from_float(x[c]) : bf16_from_float(x[c]);
        if (kv->type == DTYPE_F32)
            memcpy(row + 4 * c, &x[c], sizeof x[c]);
        else if (kv->type != DTYPE_Q8_0)
            memcpy(row + 2 * c, &word, sizeof word);
        else if (c % 32 == 0)
            write_q8_0((int8_t *)row + c, row + kv->row_values + c / 32 * 2, x + c);
    }
}

void ref_kv_write(Backend *backend, KvRows kv, const float *x, const int32_t *positions, int n) {
    (void)backend;
    for (int i = 0; i < n; i++)
        write_row(&kv, kv_row(&kv, positions[i]), x + i * kv.row_values);
}

static double kv_value(const KvRows *kv, int position, int64_t column) {
    const char *row = kv_row(kv, position);
    uint16_t word;
    float value;
    switch (kv->type) {
    case DTYPE_F32: memcpy(&value, row + 4 * column, sizeof value); return value;
    case DTYPE_Q8_0:
        memcpy(&word, row + kv->row_values + column / 32 * 2, sizeof word);
        return (double)half_to_float(word) * ((const int8_t *)row)[column];
    default:
        memcpy(&word, row + 2 * column, sizeof word);
        return kv->type == DTYPE_F16 ? half_to_float(word) : bf16_to_float(word);
    }
}

/* Row i, head h. scores holds one value for each position up to the last. */
static void attend_head(const Attend *a, int i, int h, double *scores) {
    int last = a->positions[i], first = a->window > 0 && last >= a->window ? last - a->window + 1 : 0;
    int64_t at = (int64_t)i * a->heads + h, kv_head = h / (a->heads / a->kv_heads);
    const float *q = a->q + at * a->head_dim;
    float *out = a->out + at * a->value_dim;
    double largest = a->sinks ? a->sinks[h] : -INFINITY;
    for (int p = first; p <= last; p++) {
        double dot = 0;
        for (int c = 0; c < a->head_dim; c++)
            dot += (double)q[c] * kv_value(&a->keys, p, kv_head * a->head_dim + c);
        scores[p] = dot * a->scale;
        if (a->softcap > 0)
            scores[p] = a->softcap * tanh(scores[p] / a->softcap);
        largest = fmax(largest, scores[p]);
    }
    double total = a->sinks ? exp(a->sinks[h] - largest) : 0;
    for (int p = first; p <= last; p++)
        total += scores[p] = exp(scores[p] - largest);
    for (int c = 0; c < a->value_dim; c++) {
        double sum = 0;
        for (int p = first; p <= last; p++)
            sum += scores[p] * kv_value(&a->values, p, kv_head * a->value_dim + c);
        out[c] = (float)(sum / total);
    }
}

void ref_attend(Backend *backend, const Attend *attend) {
    RefBackend *ref = (RefBackend *)backend;
    for (int i = 0; i < attend->n; i++) {
        size_t count = (size_t)attend->positions[i] + 1;
        double *scores = scratch_reserve(&ref->host, &ref->scratch, count * sizeof *scores);
        if (!scores)
            return;
        for (int h = 0; h < attend->heads; h++)
            attend_head(attend, i, h, scores);
    }
}
