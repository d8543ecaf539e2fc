#include "tests/emulator/cublaslt_twin.h"

#include <cublasLt.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/tensor.h"
#include "tests/emulator/control.h"

struct cublasLtContext {
    int unused;
};

struct cublasLtMatmulDescOpaque {
    cublasComputeType_t compute;
    cudaDataType scale;
    cublasOperation_t transpose_a, transpose_b;
    cublasLtEpilogue_t epilogue;
    const float *bias;
};

struct cublasLtMatrixLayoutOpaque {
    cudaDataType type;
    int64_t rows, cols, ld; /* ld: from one column to the next */
};

struct cublasLtMatmulPreferenceOpaque {
    uint64_t workspace_bytes;
    uint32_t alignments[4]; /* a, b, c, d */
};

static CublasLtTwinMode mode;
static int objects, heuristics, products;

void cublaslt_twin_set(CublasLtTwinMode wanted) {
    mode = wanted;
}
int cublaslt_twin_objects(void) {
    return objects;
}
int cublaslt_twin_heuristics(void) {
    return heuristics;
}
int cublaslt_twin_products(void) {
    return products;
}

void *cublaslt_twin_symbol(void *library, const char *name) {
    (void)library;
#define ENTRY(function)                                                                                      \
    { #function, (void (*)(void))function }
    static const struct {
        const char *name;
        void (*function)(void);
    } ENTRIES[] = {
        ENTRY(cublasLtCreate),
        ENTRY(cublasLtDestroy),
        ENTRY(cublasLtGetVersion),
        ENTRY(cublasLtMatmul),
        ENTRY(cublasLtMatmulAlgoGetHeuristic),
        ENTRY(cublasLtMatmulDescCreate),
        ENTRY(cublasLtMatmulDescDestroy),
        ENTRY(cublasLtMatmulDescSetAttribute),
        ENTRY(cublasLtMatmulPreferenceCreate),
        ENTRY(cublasLtMatmulPreferenceDestroy),
        ENTRY(cublasLtMatmulPreferenceSetAttribute),
        ENTRY(cublasLtMatrixLayoutCreate),
        ENTRY(cublasLtMatrixLayoutDestroy),
    };
#undef ENTRY
    for (size_t i = 0; i < sizeof ENTRIES / sizeof *ENTRIES && mode != TWIN_MISSING; i++) {
        if (strcmp(ENTRIES[i].name, name) == 0) {
            void *found;
            memcpy(&found, &ENTRIES[i].function, sizeof found);
            return found;
        }
    }
    return NULL;
}

/* ---- objects ---- */

static cublasStatus_t create(void **object, size_t bytes) {
    *object = calloc(1, bytes);
    if (!*object)
        return CUBLAS_STATUS_ALLOC_FAILED;
    objects++;
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t destroy(void *object) {
    if (!object)
        return CUBLAS_STATUS_INVALID_VALUE;
    objects--;
    free(object);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    return create((void **)handle, sizeof **handle);
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    return destroy(handle);
}
size_t cublasLtGetVersion(void) {
    return 130000;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
    cublasStatus_t status = create((void **)desc, sizeof **desc);
    if (status == CUBLAS_STATUS_SUCCESS) {
        (*desc)->compute = compute;
        (*desc)->scale = scale;
        (*desc)->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    }
    return status;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
    return destroy(desc);
}

/* Every attribute has one size; another one is a mistake of the caller. */
static cublasStatus_t set(void *to, size_t own_bytes, const void *value, size_t bytes) {
    if (!to || !value || bytes != own_bytes)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t name,
                                              const void *value, size_t bytes) {
    switch (name) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return set(&desc->transpose_a, sizeof desc->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return set(&desc->transpose_b, sizeof desc->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return set(&desc->epilogue, sizeof desc->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return set(&desc->bias, sizeof desc->bias, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
    cublasStatus_t status = create((void **)layout, sizeof **layout);
    if (status == CUBLAS_STATUS_SUCCESS)
        **layout = (struct cublasLtMatrixLayoutOpaque){type, (int64_t)rows, (int64_t)cols, ld};
    return status;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    return destroy(layout);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
    cublasStatus_t status = create((void **)preference, sizeof **preference);
    for (int i = 0; i < 4 && status == CUBLAS_STATUS_SUCCESS; i++)
        (*preference)->alignments[i] = 256;
    return status;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    return destroy(preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    const void *value, size_t bytes) {
    if (name == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return set(&preference->workspace_bytes, sizeof preference->workspace_bytes, value, bytes);
    if (name < CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES ||
        name > CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES)
        return CUBLAS_STATUS_INVALID_VALUE;
    return set(&preference->alignments[name - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], sizeof(uint32_t),
               value, bytes);
}

/* ---- the choice ---- */

/* What a product is, and what the choice made for it relies on. Fills the opaque algorithm. */
typedef struct Plan {
    int64_t ld_a, ld_b, ld_d;
    int32_t rows, cols, n, type; /* d[rows, n] = a[cols, rows]^T b[cols, n], all by columns */
    uint16_t alignments[4], bias_alignment, needs_workspace;
    uint32_t has_bias;
} Plan;
_Static_assert(sizeof(Plan) <= sizeof(cublasLtMatmulAlgo_t), "a plan fits into an algorithm");

static size_t type_bytes(cudaDataType type) {
    return type == CUDA_R_32F ? 4 : 2;
}

/* Whether the descriptions fit together; what they say. */
static bool make_plan(Plan *plan, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                      cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
    memset(plan, 0, sizeof *plan);
    if (!desc || !a || !b || !c || !d || desc->compute != CUBLAS_COMPUTE_32F || desc->scale != CUDA_R_32F ||
        desc->transpose_a != CUBLAS_OP_T || desc->transpose_b != CUBLAS_OP_N)
        return false;
    if (a->type != b->type || c->type != CUDA_R_32F || memcmp(c, d, sizeof *d) != 0)
        return false;
    if (a->rows != b->rows || a->cols != d->rows || b->cols != d->cols || a->ld < a->rows ||
        b->ld < b->rows || d->ld < d->rows)
        return false;
    plan->ld_a = a->ld, plan->ld_b = b->ld, plan->ld_d = d->ld;
    plan->rows = (int32_t)d->rows, plan->n = (int32_t)d->cols, plan->cols = (int32_t)a->rows;
    plan->type = (int32_t)a->type;
    plan->has_bias = desc->epilogue == CUBLASLT_EPILOGUE_BIAS;
    return true;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t results[], int *count) {
    Plan plan;
    *count = 0;
    heuristics++;
    if (!handle || !preference || most < 1 || !make_plan(&plan, desc, a, b, c, d))
        return CUBLAS_STATUS_INVALID_VALUE;
    size_t bytes = type_bytes(a->type);
    for (int i = 0; i < 4; i++)
        plan.alignments[i] = (uint16_t)preference->alignments[i];
    plan.bias_alignment = 16;
    plan.needs_workspace = plan.cols >= 512 && preference->workspace_bytes >= 4096 ? 4096 : 0;
    /* The tensor cores' rule: inputs and their columns begin at multiples of 16 bytes. */
    bool is_possible =
        plan.alignments[0] >= 16 && plan.alignments[1] >= 16 && plan.alignments[3] >= 4 &&
        (a->type == CUDA_R_32F || ((size_t)a->ld * bytes % 16 == 0 && (size_t)b->ld * bytes % 16 == 0)) &&
        (!plan.has_bias || (desc->bias && (uintptr_t)desc->bias % 16 == 0));
    if (!is_possible || mode == TWIN_REFUSING)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    memset(results, 0, sizeof *results);
    memcpy(&results->algo, &plan, sizeof plan);
    results->workspaceSize = plan.needs_workspace;
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- the product ---- */

typedef struct Product {
    Plan plan;
    const char *a, *b;
    const float *bias;
    float *d;
    bool adds;
} Product;

static float value_at(const char *column, int type, int64_t i) {
    uint16_t half;
    float value;
    if (type == CUDA_R_32F) {
        memcpy(&value, column + 4 * i, sizeof value);
        return value;
    }
    memcpy(&half, column + 2 * i, sizeof half);
    return type == CUDA_R_16F ? half_to_float(half) : bf16_to_float(half);
}

static bool check_input(const char *what, const void *at, size_t bytes) {
    char text[128];
    if (emulator_is_written(at, bytes))
        return true;
    snprintf(text, sizeof text, "cublasLtMatmul reads %s %s", what,
             emulator_is_device(at, bytes) ? "that nobody wrote" : "outside device memory");
    emulator_library_fault(text);
    return false;
}

static bool check_product(const Product *p) {
    size_t bytes = type_bytes((cudaDataType)p->plan.type), column = (size_t)p->plan.cols * bytes;
    for (int64_t r = 0; r < p->plan.rows; r++)
        if (!check_input("A", p->a + (size_t)(r * p->plan.ld_a) * bytes, column))
            return false;
    for (int64_t i = 0; i < p->plan.n; i++) {
        const float *out = p->d + i * p->plan.ld_d;
        size_t out_bytes = (size_t)p->plan.rows * sizeof *out;
        if (!check_input("B", p->b + (size_t)(i * p->plan.ld_b) * bytes, column) ||
            (p->adds && !check_input("C", out, out_bytes)))
            return false;
        if (!emulator_is_device(out, out_bytes)) {
            emulator_library_fault("cublasLtMatmul writes D outside device memory");
            return false;
        }
    }
    return !p->plan.has_bias || check_input("the bias", p->bias, (size_t)p->plan.rows * sizeof(float));
}

static void run_product(void *argument) {
    const Product *p = argument;
    if (!check_product(p))
        return;
    size_t bytes = type_bytes((cudaDataType)p->plan.type);
    for (int64_t i = 0; i < p->plan.n; i++) {
        float *out = p->d + i * p->plan.ld_d;
        const char *b = p->b + (size_t)(i * p->plan.ld_b) * bytes;
        for (int64_t r = 0; r < p->plan.rows; r++) {
            const char *a = p->a + (size_t)(r * p->plan.ld_a) * bytes;
            float sum = 0;
            for (int64_t c = 0; c < p->plan.cols; c++)
                sum += value_at(a, p->plan.type, c) * value_at(b, p->plan.type, c);
            sum += p->adds ? out[r] : 0;
            out[r] = sum + (p->plan.has_bias ? p->bias[r] : 0);
        }
        emulator_mark_written(out, (size_t)p->plan.rows * sizeof *out);
    }
}

static bool is_aligned(const void *address, unsigned alignment) {
    return (uintptr_t)address % alignment == 0;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_bytes,
                              cudaStream_t stream) {
    Plan chosen, asked;
    float one, old;
    if (!handle || !alpha || !beta || !algo || c != d ||
        !make_plan(&asked, desc, a_layout, b_layout, c_layout, d_layout))
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&chosen, algo, sizeof chosen);
    memcpy(&one, alpha, sizeof one);
    memcpy(&old, beta, sizeof old);
    memcpy(asked.alignments, chosen.alignments, sizeof asked.alignments);
    asked.bias_alignment = chosen.bias_alignment;
    asked.needs_workspace = chosen.needs_workspace;
    if (memcmp(&asked, &chosen, sizeof asked) != 0 || one != 1 || (old != 0 && old != 1))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!is_aligned(a, chosen.alignments[0]) || !is_aligned(b, chosen.alignments[1]) ||
        !is_aligned(d, chosen.alignments[3]) ||
        (chosen.has_bias && !is_aligned(desc->bias, chosen.bias_alignment)))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (chosen.needs_workspace > workspace_bytes ||
        (chosen.needs_workspace && !emulator_is_device(workspace, chosen.needs_workspace)))
        return CUBLAS_STATUS_INVALID_VALUE;
    Product *product = malloc(sizeof *product);
    if (!product)
        return CUBLAS_STATUS_ALLOC_FAILED;
    *product = (Product){chosen, a, b, desc->bias, d, old != 0};
    products++;
    return emulator_enqueue(stream, run_product, product) == 0 ? CUBLAS_STATUS_SUCCESS
                                                               : CUBLAS_STATUS_EXECUTION_FAILED;
}
