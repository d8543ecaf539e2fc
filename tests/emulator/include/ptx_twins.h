/* Where kernels/cuda/ptx.cuh finds the twins of its functions when it is compiled for the emulator. */
#include "tests/emulator/ptx_twins.h"
