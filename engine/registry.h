/* Registry: which models there are and what their files say, without loading weights.
 *
 * registry_open scans names only; a file's header is read when its card is first asked for. Cards keep their
 * address until registry_close. The caller serialises calls (engine.c does, under its lock).
 */
#ifndef MUX_ENGINE_REGISTRY_H
#define MUX_ENGINE_REGISTRY_H

#include "engine/engine.h"

typedef struct Registry {
    Arena arena;
    Str default_model;
    ModelCard *cards; /* registered: fixed after opening */
    size_t count, capacity;
    Str *warnings; /* about the models file */
    size_t warning_count, warning_capacity;
    ModelCard **others; /* made for paths and scripts asked for later */
    size_t other_count, other_capacity;
} Registry;

void registry_open(Registry *registry, const EngineConfig *config);
void registry_close(Registry *registry);
/* All registered cards; those whose files can be read are filled in. */
size_t registry_all(Registry *registry, const ModelCard **out);
/* By registry name, path or script:PATH (empty = the default), filled in. NULL + sentence. */
const ModelCard *registry_find(Registry *registry, Str model, Err *err);

#endif
