/* Weights: the tensors of a model file by name, checked against the shape the architecture expects.
 *
 * Calling sequence: weights_open -> (weights_matrix / weights_vector ...) -> weights_place -> (the same calls
 * again) -> weights_ok -> ... -> weights_close. The first round only checks and counts: its views have no
 * data; weights_place then takes the device memory they need, all of it in one piece, and the second round
 * fills it (a backend that computes in host memory uses the file's mapped bytes as they are). Errors are
 * sticky: the first failure is kept and reported by weights_ok; later calls answer empty views. So that
 * binding a layer reads as a list. Names are built as printf does from (format, layer); global tensors ignore
 * the layer. Views borrow from the file and the backend and live until weights_close. One thread.
 */
#ifndef MUX_ENGINE_WEIGHTS_H
#define MUX_ENGINE_WEIGHTS_H

#include <stdatomic.h>

#include "engine/gguf.h"
#include "kernels/backend.h"

/* Weights that come from nowhere, for measuring: the type that a tensor of this name has. */
typedef struct SyntheticWeights {
    const char *name; /* "llama-8b:q4_k_m" */
    DType (*type_of)(const char *tensor, int layer, int layers, int64_t cols, const void *ctx);
    const void *ctx;
    int layers;
} SyntheticWeights;

typedef struct Weights {
    const Gguf *file; /* or */
    const SyntheticWeights *synthetic;
    Backend *backend;
    Arena arena;
    Mem data;                  /* on the device; empty where the host's bytes are used */
    size_t at;                 /* of it, given out so far */
    bool is_placed;            /* second round */
    size_t matrix_bytes;       /* of all matrices handed out */
    size_t values;             /* parameters handed out */
    size_t expert_bytes;       /* of matrix_bytes, those of stacked experts */
    bool is_all_f32;           /* every matrix so far */
    const atomic_bool *cancel; /* set after opening; true: what is handed out next fails; NULL = never */
    Err error;
} Weights;

void weights_open(Weights *weights, const Gguf *file, Backend *backend);
void weights_open_synthetic(Weights *weights, const SyntheticWeights *synthetic, Backend *backend);
/* False: the first round failed, or there is no room; says how much is needed and how much is free. */
bool weights_place(Weights *weights, Err *err);
void weights_close(Weights *weights); /* a zeroed one is fine */
bool weights_ok(const Weights *weights, Err *err);

/* rows x cols, any type with kernels. */
Tensor weights_matrix(Weights *weights, const char *format, int layer, int64_t rows, int64_t cols);
/* experts matrices of rows x cols each, one behind the other: a view of experts * rows rows. */
Tensor weights_experts(Weights *weights, const char *format, int layer, int experts, int64_t rows,
                       int64_t cols);
/* length floats; F16 and BF16 vectors are widened. */
const float *weights_vector(Weights *weights, const char *format, int layer, int64_t length);
/* As weights_vector, but NULL without failure when the file has no such tensor. */
const float *weights_optional_vector(Weights *weights, const char *format, int layer, int64_t length);
/* The values of a vector that exists, on the host. */
bool weights_read_vector(const Weights *weights, const char *name, float *out, int64_t length, Err *err);
bool weights_has(const Weights *weights, const char *format, int layer);

#endif
