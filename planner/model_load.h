/* Model load: a model comes into memory on a thread of its own, once for all sessions that wait for it.
 *
 *   planner->loads = model_loads_open(planner->engine);
 *   model_load_begin(session, model);          // chosen: told to the session's news
 *   model_load_wait(turn, model, &err);        // needed now: by the turn's thread, ends early when cancelled
 *   model_load_leave(session);                 // before the session goes
 *   model_loads_close(planner->loads);         // ends what is under way
 *
 * A loaded model stays in memory until the engine is closed.
 */
#ifndef MUX_PLANNER_MODEL_LOAD_H
#define MUX_PLANNER_MODEL_LOAD_H

#include "planner/planner.h"

typedef struct ModelLoads ModelLoads;
struct Turn;

/* What a session waits for; guarded by the ModelLoads' lock. */
typedef struct SessionLoad {
    struct ModelLoad *load; /* told of its end; NULL: none */
    Session *next;          /* of those who wait for the same */
    bool has_failed;
    char *failed_model;
    Err failure; /* of the last load; the next turn says it once more */
} SessionLoad;

ModelLoads *model_loads_open(Engine *engine); /* NULL: no memory */
void model_loads_close(ModelLoads *loads);    /* ends what is under way; NULL is fine */
void model_load_begin(Session *session, Str model);
void model_load_leave(Session *session);
/* False: *err is what it failed with, or ERR_CANCELLED. */
bool model_load_wait(struct Turn *turn, Str model, Err *err);

#endif
