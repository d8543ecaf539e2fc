/* task: requests whose work waits for files, done beside the protocol thread: a thread each, few at once.
 *
 *   Task *t = task_begin(&tasks, peer, id, owner);     // NULL: too many; the caller refuses
 *   ... what the work needs goes into t->arena ...
 *   task_run(t, work, ctx);                            // work must answer t->id, on the task's thread
 *   tasks_wait(&tasks, owner);                         // joins the owner's
 *
 * All but the work are called on the protocol thread.
 */
#ifndef MUX_ACP_TASK_H
#define MUX_ACP_TASK_H

#include <pthread.h>
#include <stdatomic.h>

#include "acp/rpc.h"

#define TASKS_MOST 8

typedef struct Task {
    struct Task *next;
    struct Tasks *tasks;
    const void *owner;
    Peer *peer;
    Arena arena; /* the task's own; freed at its end */
    RpcId id;    /* lives in the arena */
    void (*work)(struct Task *task, void *ctx);
    void *ctx;
    pthread_t thread;
    atomic_bool is_over, is_done;
} Task;

typedef struct Tasks {
    Task *first;
} Tasks;

/* owner: what the work uses, for tasks_wait. NULL when TASKS_MOST are running. */
Task *task_begin(Tasks *tasks, Peer *peer, RpcId id, const void *owner);
/* Starts it, or frees it and answers false. */
bool task_run(Task *task, void (*work)(Task *task, void *ctx), void *ctx);
/* On the task's thread, before its answer: from here on it does nothing else, so that who hears the answer
 * may ask for the next. */
void task_over(Task *task);
/* Whether one of the owner's is at work; with_thread: or still has to answer. */
bool tasks_has(Tasks *tasks, const void *owner, bool with_thread);
/* The owner of the running task that answers this request; NULL: none does. */
const void *tasks_owner_of(Tasks *tasks, Str raw_id);
/* Waits for the owner's; NULL: for all. What they wait for themselves must have been cancelled. */
void tasks_wait(Tasks *tasks, const void *owner);

#endif
