/* Where kernels/cuda/cublaslt.c finds the twin of the library when it is compiled for the emulator. */
#include "tests/emulator/cublaslt_twin.h"
