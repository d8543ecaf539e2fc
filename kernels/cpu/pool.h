/* Pool: threads that share the items of one job after another. pool_run returns when every item is done.
 *
 * Items are handed out one by one and a round closes when none is left: a thread that the system holds up
 * delays the others by one item at most, one that comes too late not at all. Workers that find no job spin
 * for a fraction of a millisecond, since the next operation of a model usually follows at once, then sleep.
 */
#ifndef MUX_KERNELS_CPU_POOL_H
#define MUX_KERNELS_CPU_POOL_H

#include "kernels/backend.h"

typedef struct Pool Pool;
typedef void (*PoolTask)(void *context, int item, int worker); /* worker: 0 .. threads - 1 */

Pool *pool_open(int threads); /* the caller counts as one; NULL when threads or memory run out */
void pool_close(Pool *pool);  /* NULL is fine */
int pool_threads(const Pool *pool);
/* Items that nobody has begun are left out once a stop is wanted. */
void pool_set_stop(Pool *pool, BackendStop stop);
/* One caller at a time; task must not call pool_run. */
void pool_run(Pool *pool, PoolTask task, void *context, int items);

#endif
