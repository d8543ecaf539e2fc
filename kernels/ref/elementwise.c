#include "kernels/ref/ref_internal.h"

#include <math.h>

void ref_rms_norm(Backend *backend, float *out, const float *x, const float *weight, int64_t rows, int64_t d,
                  float eps) {
    (void)backend;
    for (int64_t r = 0; r < rows; r++) {
        double squares = 0;
        for (int64_t c = 0; c < d; c++)
            squares += (double)x[r * d + c] * x[r * d + c];
        double factor = 1 / sqrt(squares / (double)d + eps);
        for (int64_t c = 0; c < d; c++)
            out[r * d + c] = (float)(x[r * d + c] * factor * weight[c]);
    }
}

void ref_swiglu(Backend *backend, float *out, const float *gate, const float *up, int64_t count) {
    (void)backend;
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)(gate[i] / (1 + exp(-(double)gate[i])) * up[i]);
}

void ref_add(Backend *backend, float *out, const float *x, int64_t count) {
    (void)backend;
    for (int64_t i = 0; i < count; i++)
        out[i] += x[i];
}
