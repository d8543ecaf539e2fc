/* The twin of cuBLASLt: what kernels/cuda/cublaslt.c finds instead of the library, and its controls for
 * tests. Products run in the stream's turn; wrong shapes, strides, alignments or a short workspace are
 * refused as the library does, addresses outside device memory and unwritten inputs are reports of the
 * emulator. One thread.
 */
#ifndef MUX_TESTS_EMULATOR_CUBLASLT_TWIN_H
#define MUX_TESTS_EMULATOR_CUBLASLT_TWIN_H

/* In the manner of dlsym; NULL for every name while the twin is missing. */
void *cublaslt_twin_symbol(void *library, const char *name);

typedef enum CublasLtTwinMode { TWIN_PRESENT, TWIN_MISSING, TWIN_REFUSING } CublasLtTwinMode;
/* TWIN_REFUSING: opens, but finds no way to do any product. */
void cublaslt_twin_set(CublasLtTwinMode mode);
int cublaslt_twin_objects(void);    /* handles, descriptors and so on alive now */
int cublaslt_twin_heuristics(void); /* choices asked for since the start */
int cublaslt_twin_products(void);   /* products given to a stream since the start */

#endif
