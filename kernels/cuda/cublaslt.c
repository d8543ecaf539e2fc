#include "kernels/cuda/cublaslt.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef MUX_EMULATED
#include <cublaslt_twin.h>
#endif

#define FUNCTIONS(F)                                                                                         \
    F(cublasLtCreate)                                                                                        \
    F(cublasLtDestroy)                                                                                       \
    F(cublasLtGetVersion)                                                                                    \
    F(cublasLtMatmul)                                                                                        \
    F(cublasLtMatmulAlgoGetHeuristic)                                                                        \
    F(cublasLtMatmulDescCreate)                                                                              \
    F(cublasLtMatmulDescDestroy)                                                                             \
    F(cublasLtMatmulDescSetAttribute)                                                                        \
    F(cublasLtMatmulPreferenceCreate)                                                                        \
    F(cublasLtMatmulPreferenceDestroy)                                                                       \
    F(cublasLtMatmulPreferenceSetAttribute)                                                                  \
    F(cublasLtMatrixLayoutCreate)                                                                            \
    F(cublasLtMatrixLayoutDestroy)

/* What a choice of the library depends on. */
typedef struct ShapeKey {
    int64_t rows, cols, n, weight_ld, x_ld, out_ld;
    uint64_t workspace_bytes;
    uint32_t weight_alignment, x_alignment, out_alignment, bias_alignment; /* 0: no bias */
    int32_t type;
    int32_t accumulate;
} ShapeKey;

typedef struct Shape {
    ShapeKey key;
    uint64_t last_use; /* 0 = the place is free */
    bool is_refused;   /* the library has nothing for it */
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t weight, x, out;
    cublasLtMatmulAlgo_t algo;
} Shape;

enum { SHAPES = 128 };

struct CublasLt {
#define DECLARE(name) __typeof__(&name) name;
    FUNCTIONS(DECLARE)
#undef DECLARE
    cublasLtHandle_t handle;
    uint64_t uses;
    Shape shapes[SHAPES];
};

/* ---- finding the library ---- */

typedef void *(*FindSymbol)(void *library, const char *name);

static bool load_functions(CublasLt *lt, void *library, FindSymbol find, const char **missing) {
#define LOAD(name)                                                                                           \
    {                                                                                                        \
        void *found = find(library, #name);                                                                  \
        memcpy(&lt->name, &found, sizeof found);                                                             \
        if (!found && !*missing)                                                                             \
            *missing = #name;                                                                                \
    }
    *missing = NULL;
    FUNCTIONS(LOAD)
#undef LOAD
    return !*missing;
}

#ifdef MUX_EMULATED
static bool find_library(CublasLt *lt, char *why, size_t why_bytes) {
    const char *missing;
    if (load_functions(lt, NULL, cublaslt_twin_symbol, &missing))
        return true;
    snprintf(why, why_bytes, "cuBLASLt is not here: the emulated machine has no %s.", missing);
    return false;
}
#else
/* The library stays loaded until the process ends: it does not bear being unloaded. */
static bool find_library(CublasLt *lt, char *why, size_t why_bytes) {
    static const char *const NAMES[] = {"libcublasLt.so.13", "libcublasLt.so.12",
                                        "/usr/local/cuda/lib64/libcublasLt.so.13",
                                        "/usr/local/cuda/lib64/libcublasLt.so.12"};
    void *library = NULL;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES && !library; i++)
        library = dlopen(NAMES[i], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(why, why_bytes, "cuBLASLt is not here: neither libcublasLt.so.13 nor libcublasLt.so.12.");
        return false;
    }
    const char *missing;
    if (load_functions(lt, library, dlsym, &missing))
        return true;
    snprintf(why, why_bytes, "This cuBLASLt lacks %s.", missing);
    return false;
}
#endif

CublasLt *cublaslt_open(char *why, size_t why_bytes) {
    CublasLt *lt = calloc(1, sizeof *lt);
    if (!lt) {
        snprintf(why, why_bytes, "There is no host memory for cuBLASLt.");
        return NULL;
    }
    if (!find_library(lt, why, why_bytes)) {
        free(lt);
        return NULL;
    }
    cublasStatus_t status = lt->cublasLtCreate(&lt->handle);
    if (status != CUBLAS_STATUS_SUCCESS) {
        snprintf(why, why_bytes, "cuBLASLt %d does not start on this device (status %d).",
                 cublaslt_version(lt), (int)status);
        free(lt);
        return NULL;
    }
    return lt;
}

int cublaslt_version(const CublasLt *library) {
    return (int)library->cublasLtGetVersion();
}

/* ---- what it chose for a shape ---- */

static void forget(CublasLt *lt, Shape *shape) {
    if (shape->desc)
        lt->cublasLtMatmulDescDestroy(shape->desc);
    if (shape->weight)
        lt->cublasLtMatrixLayoutDestroy(shape->weight);
    if (shape->x)
        lt->cublasLtMatrixLayoutDestroy(shape->x);
    if (shape->out)
        lt->cublasLtMatrixLayoutDestroy(shape->out);
    memset(shape, 0, sizeof *shape);
}

void cublaslt_close(CublasLt *library) {
    if (!library)
        return;
    for (int i = 0; i < SHAPES; i++)
        forget(library, &library->shapes[i]);
    library->cublasLtDestroy(library->handle);
    free(library);
}

static uint32_t alignment_of(const void *address) {
    uint32_t alignment = 1;
    while (alignment < 256 && (uintptr_t)address % (2 * alignment) == 0)
        alignment *= 2;
    return alignment;
}

static size_t value_bytes(DType type) {
    return type == DTYPE_F32 ? 4 : 2;
}

static cudaDataType_t library_type(DType type) {
    return type == DTYPE_F32 ? CUDA_R_32F : type == DTYPE_F16 ? CUDA_R_16F : CUDA_R_16BF;
}

/* The library counts by columns: a row-major matrix is its transpose there. out^T[rows, n] = weight x^T, so
 * the weight (cols x rows to the library) is read transposed and x (cols x n) as it is. */
static bool describe(CublasLt *lt, Shape *shape, const float *bias) {
    const ShapeKey *key = &shape->key;
    cublasOperation_t transposed = CUBLAS_OP_T, plain = CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    cudaDataType_t type = library_type((DType)key->type);
    bool ok =
        lt->cublasLtMatmulDescCreate(&shape->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
        lt->cublasLtMatmulDescSetAttribute(shape->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                           sizeof transposed) == CUBLAS_STATUS_SUCCESS &&
        lt->cublasLtMatmulDescSetAttribute(shape->desc, CUBLASLT_MATMUL_DESC_TRANSB, &plain, sizeof plain) ==
            CUBLAS_STATUS_SUCCESS;
    if (ok && bias) /* its address tells the library how it is aligned */
        ok = lt->cublasLtMatmulDescSetAttribute(shape->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                                sizeof epilogue) == CUBLAS_STATUS_SUCCESS &&
             lt->cublasLtMatmulDescSetAttribute(shape->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                                sizeof bias) == CUBLAS_STATUS_SUCCESS;
    return ok &&
           lt->cublasLtMatrixLayoutCreate(&shape->weight, type, (uint64_t)key->cols, (uint64_t)key->rows,
                                          key->weight_ld) == CUBLAS_STATUS_SUCCESS &&
           lt->cublasLtMatrixLayoutCreate(&shape->x, type, (uint64_t)key->cols, (uint64_t)key->n,
                                          key->x_ld) == CUBLAS_STATUS_SUCCESS &&
           lt->cublasLtMatrixLayoutCreate(&shape->out, CUDA_R_32F, (uint64_t)key->rows, (uint64_t)key->n,
                                          key->out_ld) == CUBLAS_STATUS_SUCCESS;
}

static bool choose(CublasLt *lt, Shape *shape) {
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        uint32_t value;
    } ALIGNMENTS[] = {
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, shape->key.weight_alignment},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, shape->key.x_alignment},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, shape->key.out_alignment},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, shape->key.out_alignment},
    };
    cublasLtMatmulPreference_t preference;
    if (lt->cublasLtMatmulPreferenceCreate(&preference) != CUBLAS_STATUS_SUCCESS)
        return false;
    bool ok = lt->cublasLtMatmulPreferenceSetAttribute(
                  preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &shape->key.workspace_bytes,
                  sizeof shape->key.workspace_bytes) == CUBLAS_STATUS_SUCCESS;
    for (size_t i = 0; i < sizeof ALIGNMENTS / sizeof *ALIGNMENTS; i++)
        ok = ok &&
             lt->cublasLtMatmulPreferenceSetAttribute(preference, ALIGNMENTS[i].name, &ALIGNMENTS[i].value,
                                                      sizeof ALIGNMENTS[i].value) == CUBLAS_STATUS_SUCCESS;
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    ok = ok &&
         lt->cublasLtMatmulAlgoGetHeuristic(lt->handle, shape->desc, shape->weight, shape->x, shape->out,
                                            shape->out, preference, 1, &result,
                                            &found) == CUBLAS_STATUS_SUCCESS &&
         found == 1 && result.state == CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize <= shape->key.workspace_bytes;
    if (ok)
        shape->algo = result.algo;
    lt->cublasLtMatmulPreferenceDestroy(preference);
    return ok;
}

/* The remembered shape of this key; a new one takes the place of the one unused for longest. */
static Shape *find_shape(CublasLt *lt, const ShapeKey *key, const float *bias) {
    Shape *shape = &lt->shapes[0];
    for (int i = 0; i < SHAPES; i++) {
        if (lt->shapes[i].last_use && memcmp(&lt->shapes[i].key, key, sizeof *key) == 0) {
            lt->shapes[i].last_use = ++lt->uses;
            return &lt->shapes[i];
        }
        if (lt->shapes[i].last_use < shape->last_use)
            shape = &lt->shapes[i];
    }
    forget(lt, shape);
    shape->key = *key;
    shape->last_use = ++lt->uses;
    shape->is_refused = !describe(lt, shape, bias) || !choose(lt, shape);
    return shape;
}

static bool make_key(ShapeKey *key, const GemmArgs *args, size_t workspace_bytes) {
    DType type = args->weight.type;
    int64_t bytes = (int64_t)value_bytes(type);
    memset(key, 0, sizeof *key); /* compared as bytes */
    key->rows = args->weight.rows;
    key->cols = args->weight.cols;
    key->n = args->n;
    key->weight_ld = (int64_t)args->weight.row_bytes / bytes;
    key->x_ld = args->x_row_bytes / bytes;
    key->out_ld = args->out_stride;
    key->workspace_bytes = workspace_bytes;
    key->weight_alignment = alignment_of(args->weight.data);
    key->x_alignment = alignment_of(args->x);
    key->out_alignment = alignment_of(args->out);
    key->type = (int32_t)type;
    key->accumulate = args->accumulate;
    key->bias_alignment = args->bias ? alignment_of(args->bias) : 0;
    return (type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16) && args->n > 0 && key->rows > 0 &&
           key->cols > 0 && (int64_t)args->weight.row_bytes % bytes == 0 && args->x_row_bytes % bytes == 0 &&
           key->weight_alignment >= 16 && key->x_alignment >= 16 &&
           (!args->bias || key->bias_alignment >= 16);
}

bool cublaslt_gemm(CublasLt *library, void *cuda_stream, const GemmArgs *args, void *workspace,
                   size_t workspace_bytes) {
    ShapeKey key;
    if (!make_key(&key, args, workspace_bytes))
        return false;
    Shape *shape = find_shape(library, &key, args->bias);
    if (shape->is_refused)
        return false;
    if (args->bias &&
        library->cublasLtMatmulDescSetAttribute(shape->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &args->bias,
                                                sizeof args->bias) != CUBLAS_STATUS_SUCCESS)
        return false;
    float one = 1, old = args->accumulate ? 1 : 0;
    return library->cublasLtMatmul(library->handle, shape->desc, &one, args->weight.data, shape->weight,
                                   args->x, shape->x, &old, args->out, shape->out, args->out, shape->out,
                                   &shape->algo, workspace, workspace_bytes,
                                   (cudaStream_t)cuda_stream) == CUBLAS_STATUS_SUCCESS;
}
