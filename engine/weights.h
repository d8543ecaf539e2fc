/* Weights: the tensors of a model file by name, checked against the shape the architecture expects.
 *
 * Calling sequence: weights_open -> weights_matrix / weights_vector ... -> weights_ok -> ... ->
 * weights_close. Errors are sticky: the first failure is kept and reported by weights_ok; later calls answer
 * empty views. So that binding a layer reads as a list. Names are built as printf does from (format, layer);
 * global tensors ignore the layer. Views borrow from the file and the backend and live until weights_close.
 * One thread.
 */
#ifndef MUX_ENGINE_WEIGHTS_H
#define MUX_ENGINE_WEIGHTS_H

#include "engine/gguf.h"
#include "kernels/backend.h"

typedef struct Weights {
    const Gguf *file;
    Backend *backend;
    Arena arena;
    Mem data;    /* the file's tensor data as the backend sees it */
    Mem *copies; /* vectors that were no float32 in the file */
    size_t copy_count, copy_capacity;
    size_t matrix_bytes; /* of all matrices handed out */
    size_t values;       /* parameters handed out */
    bool is_all_f32;     /* every matrix so far */
    Err error;
} Weights;

bool weights_open(Weights *weights, const Gguf *file, Backend *backend, Err *err);
void weights_close(Weights *weights); /* a zeroed one is fine */
bool weights_ok(const Weights *weights, Err *err);

/* rows x cols, any type with kernels. */
Tensor weights_matrix(Weights *weights, const char *format, int layer, int64_t rows, int64_t cols);
/* length floats; F16 and BF16 vectors are widened. */
const float *weights_vector(Weights *weights, const char *format, int layer, int64_t length);
/* As weights_vector, but NULL without failure when the file has no such tensor. */
const float *weights_optional_vector(Weights *weights, const char *format, int layer, int64_t length);
bool weights_has(const Weights *weights, const char *format, int layer);

#endif
