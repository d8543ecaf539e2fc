/* The C part is all that the backend uses. */
#ifndef MUX_TESTS_EMULATOR_CUDA_RUNTIME_H
#define MUX_TESTS_EMULATOR_CUDA_RUNTIME_H
#include "cuda_runtime_api.h"
#endif
