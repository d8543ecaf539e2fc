/* Shared by the tests of the CUDA kernels: the device and its memory, random weights in every type with the
 * values they stand for, activations rounded to 8 bits.
 *
 * Calling sequence: device_open -> device_new / device_put / weights_random -> a launcher of
 * kernels/cuda/kernels.h -> device_wait -> device_floats / device_read -> device_close. Everything that was
 * taken from the device or the host through these functions goes with device_close; a test that failed half
 * way is cleaned up by the next device_open. One thread.
 *
 * Device memory is taken block by block, exactly as long as asked for and never zeroed, so that the emulator
 * sees reads beyond the end and reads of what nobody wrote.
 */
#ifndef MUX_TESTS_CUDA_SUPPORT_H
#define MUX_TESTS_CUDA_SUPPORT_H

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/layout.h"
#include "tests/runner.h"
#include "tests/unit/kernels_support.h" /* random_below, random_float, random_floats, same_bits, GUARD */

/* ---- the device ---- */

CudaQueue *device_open(void);
/* Waits for what was launched; a failure of any launch or a report of the emulator fails the test. */
void device_wait(void);
void device_close(void); /* waits, too */

/* `bytes` of device memory, unwritten. 256-byte aligned. */
void *device_new(size_t bytes);
/* The same with a copy of host bytes in it. */
void *device_put(const void *host, size_t bytes);
/* Host memory that lives until device_close. */
void *host_new(size_t bytes);
void device_write(void *device, const void *host, size_t bytes); /* waits before and after */
void device_read(void *host, const void *device, size_t bytes);  /* waits before and after */

/* n rows of width floats and GUARD poisoned floats behind each, all poison (see poisoned of
 * kernels_support.h): the stride is width + GUARD. */
float *device_poisoned(int64_t n, int64_t width);
float *device_floats(const float *host, int64_t count);
/* The host's copy of n rows made by device_poisoned, guards included, after device_wait. Fails the test when
 * a guard was touched or a value not written. */
float *device_result(const float *device, int64_t n, int64_t width);
/* A host copy of `count` floats on the device. */
float *device_values(const float *device, int64_t count);

/* ---- weights ---- */

/* Every type that a file may have for a matrix. */
extern const DType WEIGHT_TYPES[];
enum { WEIGHT_TYPE_COUNT = 10 };

typedef struct Weights {
    DType type; /* of the file: Q5_0 is Q8_0 on the device */
    int64_t rows, cols;
    const uint8_t *gguf; /* host: rows in GGUF's layout, one behind the other */
    size_t gguf_row_bytes;
    const float *values; /* host: [rows, cols] what they stand for */
    Tensor host;         /* the rows as a device holds them, in host memory */
    Tensor device;       /* in device memory */
} Weights;

/* Random rows of any type: blocks of usual size, some of zeros, extremes and subnormal scales. Device rows
 * lie at their usual stride, or, one time in two, further apart. */
Weights weights_random(DType type, int64_t rows, int64_t cols);
/* The same rows from given GGUF bytes (copied). */
Weights weights_from_gguf(DType type, const void *gguf, int64_t rows, int64_t cols);
/* Random GGUF rows alone. */
uint8_t *random_gguf(DType type, int64_t rows, int64_t cols);
size_t gguf_row_bytes(DType type, int64_t cols);

/* The values of one row in the device's layout, read on the host plane by plane. `row` is host memory. */
void planar_to_floats(DType type, const uint8_t *row, int64_t cols, float *out);
/* The values of one GGUF row, read independently of kernels/dtype.c. */
void gguf_to_floats(DType type, const uint8_t *row, int64_t cols, float *out);
/* One GGUF row cut into planes. Unused bytes between planes stay as they are. */
void gguf_to_planar(DType type, const uint8_t *gguf, int64_t cols, uint8_t *row);

/* ---- activations rounded to 8 bits ---- */

typedef struct Activations {
    int64_t n, cols;
    const float *x;      /* host: [n, cols], as given */
    const int8_t *q;     /* host: as kernels.h says of Q8Rows */
    const float *scale;  /* host: [n, cols / 32, 2] */
    const float *values; /* host: [n, cols], d * q: what quantised products see */
    Q8Rows device;
    const float *device_x; /* x on the device, [n, cols] without gaps */
} Activations;

/* cols a multiple of 32 for the 8-bit form; otherwise only x and device_x are there. */
Activations activations_random(int64_t n, int64_t cols);
Activations activations_from(const float *x, int64_t n, int64_t cols);
/* The first n rows of them. */
Activations activations_first(Activations all, int64_t n);

#endif
