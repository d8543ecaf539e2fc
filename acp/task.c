#include "acp/task.h"

#include <stdlib.h>

static void free_task(Task *task) {
    arena_free(&task->arena);
    free(task);
}

/* Joins and frees those of the owner (NULL: of all), or only those that are done. How many are at work. */
static size_t reap(Tasks *tasks, const void *owner, bool only_done) {
    size_t left = 0;
    for (Task **place = &tasks->first; *place;) {
        Task *task = *place;
        if ((owner && task->owner != owner) || (only_done && !atomic_load(&task->is_done))) {
            left += !atomic_load(&task->is_over);
            place = &task->next;
            continue;
        }
        *place = task->next;
        pthread_join(task->thread, NULL);
        free_task(task);
    }
    return left;
}

Task *task_begin(Tasks *tasks, Peer *peer, RpcId id, const void *owner) {
    if (reap(tasks, NULL, true) >= TASKS_MOST)
        return NULL;
    Task *task = calloc(1, sizeof *task);
    if (!task)
        abort();
    task->tasks = tasks;
    task->owner = owner;
    task->peer = peer;
    task->id.raw = str_copy(&task->arena, id.raw);
    return task;
}

static void *task_main(void *argument) {
    Task *task = argument;
    task->work(task, task->ctx);
    atomic_store(&task->is_over, true);
    atomic_store(&task->is_done, true);
    return NULL;
}

bool task_run(Task *task, void (*work)(Task *task, void *ctx), void *ctx) {
    task->work = work;
    task->ctx = ctx;
    if (pthread_create(&task->thread, NULL, task_main, task) != 0) {
        free_task(task);
        return false;
    }
    task->next = task->tasks->first;
    task->tasks->first = task;
    return true;
}

void task_over(Task *task) {
    atomic_store(&task->is_over, true);
}

bool tasks_has(Tasks *tasks, const void *owner, bool with_thread) {
    for (const Task *task = tasks->first; task; task = task->next)
        if (task->owner == owner && !atomic_load(with_thread ? &task->is_done : &task->is_over))
            return true;
    return false;
}

const void *tasks_owner_of(Tasks *tasks, Str raw_id) {
    for (const Task *task = tasks->first; task; task = task->next)
        if (str_eq(task->id.raw, raw_id) && !atomic_load(&task->is_over))
            return task->owner;
    return NULL;
}

void tasks_wait(Tasks *tasks, const void *owner) {
    reap(tasks, owner, false);
}
