/* Synthetic: models of known shapes with random weights, made on the device, so that speed can be measured
 * without carrying a file. Named "synthetic:SHAPE:TYPE", for example "synthetic:llama-8b:q4_k_m".
 *
 * They have no vocabulary: token ids go in and come out. Shapes are those published with the models.
 */
#ifndef MUX_ENGINE_SYNTHETIC_H
#define MUX_ENGINE_SYNTHETIC_H

#include "engine/arch.h"

#define SYNTHETIC_PREFIX "synthetic:"

typedef struct SyntheticModel {
    const Arch *arch;
    Shape shape;
    SyntheticWeights weights; /* points into this struct: keep it where it is */
    DType type;
    bool is_mixture; /* Q4_K_M: some matrices in Q6_K */
    char name[64];
} SyntheticModel;

/* Fills *out. ERR_INVALID naming the shapes and types there are. */
bool synthetic_model(Str name, SyntheticModel *out, Err *err);

#endif
