#include "engine/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 96

bool weights_open(Weights *weights, const Gguf *file, Backend *backend, Err *err) {
    *weights = (Weights){.file = file, .backend = backend, .is_all_f32 = true};
    Str data = gguf_data(file);
    if (data.len && !backend_weights(backend, data.ptr, data.len, &weights->data))
        return err_set(err, ERR_NO_MEMORY, "%.*s: no room for its %zu MB of weights",
                       STR_ARG(gguf_name(file)), data.len >> 20);
    return true;
}

void weights_close(Weights *weights) {
    if (!weights->backend)
        return;
    for (size_t i = 0; i < weights->copy_count; i++)
        backend_free(weights->backend, &weights->copies[i]);
    backend_free(weights->backend, &weights->data);
    arena_free(&weights->arena);
    *weights = (Weights){0};
}

bool weights_ok(const Weights *weights, Err *err) {
    if (weights->error.code == ERR_NONE)
        return true;
    if (err)
        *err = weights->error;
    return false;
}

static void fail(Weights *weights, ErrCode code, const char *name, const char *what) {
    if (weights->error.code == ERR_NONE)
        err_set(&weights->error, code, "%.*s cannot be used: tensor %s %s", STR_ARG(gguf_name(weights->file)),
                name, what);
}

static void fail_type(Weights *weights, const char *name, uint32_t type) {
    char what[160];
    const char *known = dtype_name(type);
    if (known)
        snprintf(what, sizeof what,
                 "has type %s, which cannot be computed with; take a file in F32, F16, BF16, Q8_0 or Q4_0",
                 known);
    else
        snprintf(what, sizeof what,
                 "has the unknown type %" PRIu32 "; take a file in F32, F16, BF16, Q8_0 or Q4_0", type);
    fail(weights, ERR_UNSUPPORTED, name, what);
}

static void fail_shape(Weights *weights, const GgufTensor *tensor, const char *name, int64_t rows,
                       int64_t cols) {
    char what[200];
    snprintf(what, sizeof what,
             "is %" PRId64 " x %" PRId64 " x %" PRId64 " x %" PRId64 ", expected %" PRId64 " x %" PRId64,
             tensor->dimensions[0], tensor->dimensions[1], tensor->dimensions[2], tensor->dimensions[3], cols,
             rows);
    fail(weights, ERR_INVALID, name, what);
}

__attribute__((format(printf, 2, 0))) static void make_name(char *name, const char *format, int layer) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
    snprintf(name, NAME_BYTES, format, layer);
#pragma GCC diagnostic pop
}

/* NULL, with the failure noted, unless the tensor is there with this shape and a type that has kernels. */
static const GgufTensor *find(Weights *weights, const char *name, int64_t rows, int64_t cols) {
    const GgufTensor *tensor = gguf_find_tensor(weights->file, str_of(name));
    if (!tensor) {
        fail(weights, ERR_INVALID, name, "is missing");
        return NULL;
    }
    if (!dtype_info(tensor->type)) {
        fail_type(weights, name, tensor->type);
        return NULL;
    }
    if (tensor->dimensions[0] != cols || tensor->dimensions[1] != rows || tensor->dimensions[2] != 1 ||
        tensor->dimensions[3] != 1) {
        fail_shape(weights, tensor, name, rows, cols);
        return NULL;
    }
    return tensor;
}

Tensor weights_matrix(Weights *weights, const char *format, int layer, int64_t rows, int64_t cols) {
    char name[NAME_BYTES];
    make_name(name, format, layer);
    const GgufTensor *tensor = find(weights, name, rows, cols);
    if (!tensor)
        return (Tensor){0};
    weights->matrix_bytes += tensor->bytes;
    weights->values += (size_t)(rows * cols);
    weights->is_all_f32 = weights->is_all_f32 && tensor->type == DTYPE_F32;
    return (Tensor){.data = (uint8_t *)weights->data.address + tensor->offset,
                    .type = (DType)tensor->type,
                    .rows = rows,
                    .cols = cols,
                    .row_bytes = dtype_row_bytes((DType)tensor->type, cols)};
}

/* A float copy of a half precision vector, kept until weights_close. */
static const float *widen(Weights *weights, const char *name, const GgufTensor *tensor) {
    const uint16_t *halves = (const uint16_t *)(gguf_data(weights->file).ptr + tensor->offset);
    size_t length = (size_t)tensor->dimensions[0];
    Mem copy;
    float *floats = malloc(length * sizeof(float));
    bool ok = floats && backend_alloc(weights->backend, length * sizeof(float), &copy);
    if (ok) {
        for (size_t i = 0; i < length; i++)
            floats[i] = tensor->type == DTYPE_F16 ? half_to_float(halves[i]) : bf16_to_float(halves[i]);
        backend_put(weights->backend, copy, 0, floats, length * sizeof(float));
        LIST_PUSH(&weights->arena, weights->copies, weights->copy_count, weights->copy_capacity, copy);
    } else {
        fail(weights, ERR_NO_MEMORY, name, "does not fit in memory");
    }
    free(floats);
    return ok ? copy.address : NULL;
}

const float *weights_vector(Weights *weights, const char *format, int layer, int64_t length) {
    char name[NAME_BYTES];
    make_name(name, format, layer);
    const GgufTensor *tensor = find(weights, name, 1, length);
    if (!tensor)
        return NULL;
    weights->values += (size_t)length;
    if (tensor->type == DTYPE_F16 || tensor->type == DTYPE_BF16)
        return widen(weights, name, tensor);
    if (tensor->type != DTYPE_F32) {
        fail(weights, ERR_UNSUPPORTED, name, "is a quantised vector; vectors must be F32, F16 or BF16");
        return NULL;
    }
    return (const float *)((uint8_t *)weights->data.address + tensor->offset);
}

const float *weights_optional_vector(Weights *weights, const char *format, int layer, int64_t length) {
    return weights_has(weights, format, layer) ? weights_vector(weights, format, layer, length) : NULL;
}

bool weights_has(const Weights *weights, const char *format, int layer) {
    char name[NAME_BYTES];
    make_name(name, format, layer);
    return gguf_find_tensor(weights->file, str_of(name)) != NULL;
}
