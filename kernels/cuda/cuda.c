/* The CUDA backend's table: opening and closing, steps, weights. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda_internal.h"

static const size_t STAGED_BYTES = (size_t)16 << 20;

/* Backends open on each device. When the last one of a lost device closes, the device is reset, so that it
 * can be opened again. */
enum { DEVICES = 16 };
static atomic_int open_count[DEVICES];

static void cuda_close(Backend *backend) {
    CudaBackend *cuda = (CudaBackend *)backend;
    int device = cuda->queue ? queue_device(cuda->queue) : -1;
    bool is_lost = cuda->queue && queue_is_lost(cuda->queue);
    if (device >= 0)
        cudaSetDevice(device);
    if (cuda->queue)
        cudaStreamSynchronize(queue_stream(cuda->queue));
    cublaslt_close(cuda->library);
    memory_close(cuda);
    queue_close(cuda->queue);
    if (device >= 0 && device < DEVICES && atomic_fetch_sub(&open_count[device], 1) == 1 && is_lost)
        cudaDeviceReset();
    cudaGetLastError();
    pthread_mutex_destroy(&cuda->lock);
    free(cuda);
}

/* A first kernel: loads the program's code, or learns that there is none for this GPU. */
static bool try_kernel(CudaBackend *cuda, KernelError *error) {
    float *values = work_space(cuda, WORK_INPUTS, 2 * BACKEND_STEP_ROWS * sizeof(int32_t));
    float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1}, back[8] = {0};
    if (values) {
        queue_upload(cuda->queue, values, ones, sizeof ones);
        ops_launched(cuda, cuda_add(cuda->queue, values, values, 8), "a sum");
        queue_download(cuda->queue, back, values, sizeof back);
    }
    if (!queue_wait(cuda->queue, error))
        return false;
    for (int i = 0; i < 8; i++)
        if (back[i] != 2.0f)
            return kernel_error_set(error, "the GPU computes wrong results: 1 + 1 is %g", (double)back[i]);
    return true;
}

static bool choose_device(CudaBackend *cuda, int device, KernelError *error) {
    int count = cuda_devices(NULL, 0, error);
    if (count == 0)
        return false;
    if (device < 0 || device >= count)
        return kernel_error_set(error, "there is no CUDA device %d: this machine has %d, counted from 0",
                                device, count);
    if (!device_facts(device, &cuda->info, cuda->device_name, sizeof cuda->device_name, error))
        return false;
    if (cuda->info.compute_capability < 80)
        return kernel_error_set(error, "%.90s has compute capability %d.%d, 8.0 is needed", cuda->device_name,
                                cuda->info.compute_capability / 10, cuda->info.compute_capability % 10);
    cuda->queue = queue_open(device, error);
    if (cuda->queue && device < DEVICES)
        atomic_fetch_add(&open_count[device], 1);
    return cuda->queue != NULL;
}

/* Without cuBLASLt everything works, large batches more slowly; the description tells. */
static void open_library(CudaBackend *cuda) {
    char *text = cuda->info.description;
    size_t used = strlen(text), room = sizeof cuda->info.description - used;
    char missing[160];
    cuda->library = cublaslt_open(missing, sizeof missing);
    if (cuda->library)
        snprintf(text + used, room, ", cuBLASLt %d.%d", cublaslt_version(cuda->library) / 10000,
                 cublaslt_version(cuda->library) / 100 % 100);
    else
        snprintf(text + used, room, ", without cuBLASLt");
}

static bool read_options(CudaBackend *cuda, const char *words, KernelError *error) {
    while (words && *words) {
        size_t n = strcspn(words, ",");
        if (n == 5 && memcmp(words, "wgmma", n) == 0)
            cuda->uses_hopper_attention = true;
        else if (n == 9 && memcmp(words, "wait-each", n) == 0)
            queue_wait_each(cuda->queue);
        else
            return kernel_error_set(error, "there is no GPU option \"%.*s\"; choose among: wgmma, wait-each",
                                    (int)(n < 40 ? n : 40), words);
        words += n + (words[n] == ',');
    }
    return true;
}

static Backend *cuda_open(const BackendConfig *config, KernelError *error) {
    CudaBackend *cuda = calloc(1, sizeof *cuda);
    if (!cuda) {
        kernel_error_set(error, "no memory for a backend");
        return NULL;
    }
    cuda->base.kind = &CUDA_BACKEND;
    cuda->base.ops = CUDA_OPS;
    pthread_mutex_init(&cuda->lock, NULL);
    if (choose_device(cuda, config->device, error) && read_options(cuda, config->gpu_options, error) &&
        memory_open(cuda, error) && try_kernel(cuda, error)) {
        open_library(cuda);
        return &cuda->base;
    }
    cuda_close(&cuda->base);
    return NULL;
}

static void cuda_info(const Backend *backend, DeviceInfo *out) {
    CudaBackend *cuda = cuda_enter((Backend *)(uintptr_t)backend);
    *out = cuda->info;
    size_t total = 0;
    if (cudaMemGetInfo(&out->memory_free, &total) != cudaSuccess)
        cudaGetLastError();
}

/* ---- copies ---- */

static void cuda_put(Backend *backend, Mem mem, size_t at, const void *bytes, size_t n) {
    CudaBackend *cuda = cuda_enter(backend);
    char *device = (char *)mem.address + at;
    queue_replay(cuda->queue); /* a copy overtakes what is only recorded */
    queue_upload(cuda->queue, device, bytes, n);
    ops_written(cuda, device, n);
}

static void cuda_get(Backend *backend, void *bytes, Mem mem, size_t at, size_t n) {
    CudaBackend *cuda = cuda_enter(backend);
    queue_download(cuda->queue, bytes, (const char *)mem.address + at, n);
}

/* ---- weights ---- */

static Tensor device_tensor(Mem mem, size_t at, DType type, int64_t rows, int64_t cols) {
    type = device_type(type);
    bool is_planar = layout_is_planar(type);
    int64_t row_bytes =
        is_planar ? planar_row(type, cols).row_bytes : layout_round16((int64_t)dtype_row_bytes(type, cols));
    return (Tensor){(char *)mem.address + at, type, rows, cols, (size_t)row_bytes, is_planar};
}

static size_t cuda_matrix_bytes(const Backend *backend, DType type, int64_t rows, int64_t cols) {
    (void)backend;
    Tensor tensor = device_tensor((Mem){0}, 0, type, rows, cols);
    return ((size_t)rows * tensor.row_bytes + 255) / 256 * 256;
}

static bool fits(Backend *backend, Mem mem, size_t at, const Tensor *tensor) {
    size_t bytes = (size_t)tensor->rows * tensor->row_bytes;
    if (at <= mem.bytes && bytes <= mem.bytes - at)
        return true;
    backend_fail(backend, "a matrix of %zu bytes at %zu does not fit memory of %zu bytes", bytes, at,
                 mem.bytes);
    return false;
}

/* Rows as in the file go to the device and are laid out anew there. */
static void upload_rows(CudaBackend *cuda, const Tensor *tensor, const char *host, DType type) {
    size_t file_row = dtype_row_bytes(type, tensor->cols);
    int64_t most = (int64_t)(STAGED_BYTES / file_row);
    if (most < 1)
        most = 1;
    if (most > tensor->rows)
        most = tensor->rows;
    void *staged = work_space(cuda, WORK_STAGED, (size_t)most * file_row);
    for (int64_t row = 0; staged && row < tensor->rows && !queue_has_failed(cuda->queue); row += most) {
        int64_t rows = tensor->rows - row < most ? tensor->rows - row : most;
        queue_upload(cuda->queue, staged, host + (size_t)row * file_row, (size_t)rows * file_row);
        ops_launched(cuda, cuda_repack(cuda->queue, *tensor, staged, type, row, rows),
                     "weights of this type");
    }
}

static Tensor cuda_matrix(Backend *backend, Mem mem, size_t at, const void *host, DType type, int64_t rows,
                          int64_t cols) {
    CudaBackend *cuda = cuda_enter(backend);
    Tensor tensor = device_tensor(mem, at, type, rows, cols);
    if (!fits(backend, mem, at, &tensor))
        return tensor;
    size_t file_row = dtype_row_bytes(type, cols);
    queue_finish(cuda->queue); /* the next rows would overtake a layout that is only recorded */
    if (!tensor.is_planar && (rows == 1 || file_row == tensor.row_bytes))
        queue_upload(cuda->queue, tensor.data, host, (size_t)rows * file_row);
    else
        upload_rows(cuda, &tensor, host, type);
    return tensor;
}

static Tensor cuda_random_matrix(Backend *backend, Mem mem, size_t at, DType type, int64_t rows, int64_t cols,
                                 uint64_t seed) {
    CudaBackend *cuda = cuda_enter(backend);
    Tensor tensor = device_tensor(mem, at, type, rows, cols);
    if (fits(backend, mem, at, &tensor))
        ops_launched(cuda, cuda_fill_random(cuda->queue, tensor, seed), "random weights of this type");
    return tensor;
}

/* ---- steps ---- */

static StepInputs cuda_begin(Backend *backend, const int32_t *ids, const int32_t *positions, int n) {
    CudaBackend *cuda = cuda_enter(backend);
    ops_flush(cuda);
    int32_t inputs[2 * BACKEND_STEP_ROWS], *space = cuda->work[WORK_INPUTS].address;
    int behind = (n + 3) / 4 * 4; /* positions at a multiple of 16 bytes */
    memset(inputs, 0, sizeof *inputs * 2 * (size_t)behind);
    memcpy(inputs, ids, sizeof *ids * (size_t)n);
    memcpy(inputs + behind, positions, sizeof *positions * (size_t)n);
    queue_finish(cuda->queue);
    queue_upload(cuda->queue, space, inputs, sizeof *inputs * 2 * (size_t)behind);
    ops_begin(cuda);
    if (n <= BACKEND_EXACT_ROWS)
        queue_record(cuda->queue);
    return (StepInputs){space, space + behind};
}

static void cuda_flush(Backend *backend) {
    ops_flush(cuda_enter(backend));
}

static void cuda_wait(Backend *backend) {
    CudaBackend *cuda = cuda_enter(backend);
    KernelError error;
    ops_flush(cuda);
    queue_finish(cuda->queue);
    if (!queue_wait(cuda->queue, &error))
        backend_fail(backend, "%s", error.text);
    ops_begin(cuda);
}

static bool cuda_is_lost(const Backend *backend) {
    return queue_is_lost(((const CudaBackend *)backend)->queue);
}

const BackendKind CUDA_BACKEND = {
    .name = "cuda",
    .open = cuda_open,
    .close = cuda_close,
    .info = cuda_info,
    .alloc = memory_alloc,
    .reserve = memory_reserve,
    .commit = memory_commit,
    .free = memory_free,
    .no_room = memory_no_room,
    .memory = memory_counts,
    .put = cuda_put,
    .get = cuda_get,
    .matrix_bytes = cuda_matrix_bytes,
    .matrix = cuda_matrix,
    .random_matrix = cuda_random_matrix,
    .begin = cuda_begin,
    .flush = cuda_flush,
    .wait = cuda_wait,
    .is_lost = cuda_is_lost,
    .read_bandwidth = device_bandwidth,
};
