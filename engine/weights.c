#include "engine/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 96

/* Tensors begin at multiples of this in device memory. */
#define PLACE_UNIT 256

void weights_open(Weights *weights, const Gguf *file, Backend *backend) {
    *weights = (Weights){.file = file, .backend = backend, .is_all_f32 = true};
}

void weights_open_synthetic(Weights *weights, const SyntheticWeights *synthetic, Backend *backend) {
    *weights = (Weights){.synthetic = synthetic, .backend = backend, .is_all_f32 = true};
}

void weights_close(Weights *weights) {
    if (!weights->backend)
        return;
    backend_free(weights->backend, &weights->data);
    arena_free(&weights->arena);
    *weights = (Weights){0};
}

static Str source_name(const Weights *weights) {
    return weights->file ? gguf_name(weights->file) : str_of(weights->synthetic->name);
}

bool weights_place(Weights *weights, Err *err) {
    if (!weights_ok(weights, err))
        return false;
    if (weights->at && !backend_alloc(weights->backend, weights->at, &weights->data)) {
        KernelError why;
        backend_no_room(weights->backend, weights->at, &why);
        return err_set(err, ERR_NO_MEMORY, "%.*s does not fit: %s", STR_ARG(source_name(weights)), why.text);
    }
    weights->at = weights->matrix_bytes = weights->values = weights->expert_bytes = 0;
    weights->is_placed = true;
    return true;
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
        err_set(&weights->error, code, "%.*s cannot be used: tensor %s %s", STR_ARG(source_name(weights)),
                name, what);
}

static void fail_type(Weights *weights, const char *name, uint32_t type) {
    char what[160];
    const char *known = dtype_name(type);
    if (known)
        snprintf(what, sizeof what,
                 "has type %s, which cannot be computed with; take a file in F32, F16, BF16, Q8_0, Q4_K_M or "
                 "another common type",
                 known);
    else
        snprintf(what, sizeof what,
                 "has the unknown type %" PRIu32
                 "; take a file in F32, F16, BF16, Q8_0, Q4_K_M or another common type",
                 type);
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
static const GgufTensor *find(Weights *weights, const char *name, int experts, int64_t rows, int64_t cols) {
    const GgufTensor *tensor = gguf_find_tensor(weights->file, str_of(name));
    if (!tensor) {
        fail(weights, ERR_INVALID, name, "is missing");
        return NULL;
    }
    if (!dtype_info(tensor->type)) {
        fail_type(weights, name, tensor->type);
        return NULL;
    }
    if (tensor->dimensions[0] != cols || tensor->dimensions[1] != rows || tensor->dimensions[2] != experts ||
        tensor->dimensions[3] != 1) {
        fail_shape(weights, tensor, name, rows, cols);
        return NULL;
    }
    return tensor;
}

/* Counts in the first round, hands over in the second. host NULL: random values. */
static Tensor place(Weights *weights, const char *name, const void *host, DType type, int64_t rows,
                    int64_t cols) {
    size_t bytes = backend_matrix_bytes(weights->backend, type, rows, cols);
    if (!host && !bytes)
        bytes = (size_t)rows * dtype_row_bytes(type, cols);
    size_t at = weights->at;
    weights->at += (bytes + PLACE_UNIT - 1) / PLACE_UNIT * PLACE_UNIT;
    if (!weights->is_placed)
        return (Tensor){.type = type, .rows = rows, .cols = cols, .row_bytes = dtype_row_bytes(type, cols)};
    if (host)
        return backend_matrix(weights->backend, weights->data, at, host, type, rows, cols);
    return backend_random_matrix(weights->backend, weights->data, at, type, rows, cols,
                                 str_hash(str_of(name)));
}

static Tensor matrix(Weights *weights, const char *format, int layer, int experts, int64_t rows,
                     int64_t cols) {
    char name[NAME_BYTES];
    make_name(name, format, layer);
    if (weights->cancel && atomic_load_explicit(weights->cancel, memory_order_relaxed)) {
        fail(weights, ERR_CANCELLED, name, "was not loaded: the program ends");
        return (Tensor){0};
    }
    const void *host = NULL;
    DType type;
    if (weights->file) {
        const GgufTensor *tensor = find(weights, name, experts, rows, cols);
        if (!tensor)
            return (Tensor){0};
        type = (DType)tensor->type;
        host = gguf_data(weights->file).ptr + tensor->offset;
    } else {
        const SyntheticWeights *source = weights->synthetic;
        type = source->type_of(name, layer, source->layers, cols, source->ctx);
    }
    size_t bytes = (size_t)experts * (size_t)rows * dtype_row_bytes(type, cols);
    weights->matrix_bytes += bytes;
    weights->expert_bytes += experts > 1 ? bytes : 0;
    weights->values += (size_t)experts * (size_t)(rows * cols);
    weights->is_all_f32 = weights->is_all_f32 && type == DTYPE_F32;
    return place(weights, name, host, type, experts * rows, cols);
}

Tensor weights_matrix(Weights *weights, const char *format, int layer, int64_t rows, int64_t cols) {
    return matrix(weights, format, layer, 1, rows, cols);
}

Tensor weights_experts(Weights *weights, const char *format, int layer, int experts, int64_t rows,
                       int64_t cols) {
    return matrix(weights, format, layer, experts, rows, cols);
}

static void floats_of(const Weights *weights, const GgufTensor *tensor, float *out) {
    const char *data = gguf_data(weights->file).ptr + tensor->offset;
    const uint16_t *halves = (const uint16_t *)data;
    size_t length = (size_t)tensor->dimensions[0];
    if (tensor->type == DTYPE_F32)
        memcpy(out, data, length * sizeof *out);
    for (size_t i = 0; i < length && tensor->type != DTYPE_F32; i++)
        out[i] = tensor->type == DTYPE_F16 ? half_to_float(halves[i]) : bf16_to_float(halves[i]);
}

bool weights_read_vector(const Weights *weights, const char *name, float *out, int64_t length, Err *err) {
    const GgufTensor *tensor = weights->file ? gguf_find_tensor(weights->file, str_of(name)) : NULL;
    if (!tensor || tensor->dimensions[0] != length ||
        (tensor->type != DTYPE_F32 && tensor->type != DTYPE_F16 && tensor->type != DTYPE_BF16))
        return err_set(err, ERR_INVALID, "%.*s: tensor %s cannot be read", STR_ARG(source_name(weights)),
                       name);
    floats_of(weights, tensor, out);
    return true;
}

/* A float copy of a half precision vector, kept until weights_close. */
static const float *widen(Weights *weights, const GgufTensor *tensor) {
    float *floats = ARENA_ARRAY(&weights->arena, float, (size_t)tensor->dimensions[0]);
    floats_of(weights, tensor, floats);
    return floats;
}

/* Norms of ones and biases of zero leave random activations as they are. */
static const float *neutral(Weights *weights, const char *name, int64_t length) {
    float *floats = ARENA_ARRAY(&weights->arena, float, (size_t)length);
    for (int64_t i = 0; i < length; i++)
        floats[i] = strstr(name, ".bias") ? 0 : 1;
    return floats;
}

const float *weights_vector(Weights *weights, const char *format, int layer, int64_t length) {
    char name[NAME_BYTES];
    make_name(name, format, layer);
    const float *host;
    if (weights->file) {
        const GgufTensor *tensor = find(weights, name, 1, 1, length);
        if (!tensor)
            return NULL;
        if (tensor->type != DTYPE_F32 && tensor->type != DTYPE_F16 && tensor->type != DTYPE_BF16) {
            fail(weights, ERR_UNSUPPORTED, name, "is a quantised vector; vectors must be F32, F16 or BF16");
            return NULL;
        }
        host = tensor->type == DTYPE_F32 ? (const float *)(gguf_data(weights->file).ptr + tensor->offset)
                                         : widen(weights, tensor);
    } else {
        host = neutral(weights, name, length);
    }
    weights->values += (size_t)length;
    return place(weights, name, host, DTYPE_F32, 1, length).data;
}

const float *weights_optional_vector(Weights *weights, const char *format, int layer, int64_t length) {
    return weights_has(weights, format, layer) ? weights_vector(weights, format, layer, length) : NULL;
}

bool weights_has(const Weights *weights, const char *format, int layer) {
    char name[NAME_BYTES];
    make_name(name, format, layer);
    return weights->file && gguf_find_tensor(weights->file, str_of(name)) != NULL;
}
