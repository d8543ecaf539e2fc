#define _GNU_SOURCE
#include "kernels/cpu/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define SPIN_PAUSE() _mm_pause()
#else
#define SPIN_PAUSE() ((void)0)
#endif

enum { SPIN_NANOSECONDS = 300000, POLITE_NANOSECONDS = 30000, PAUSES_PER_LOOK = 16, LINE = 64 };

#define OPEN 0x80000000u

typedef struct Worker {
    Pool *pool;
    pthread_t thread;
    int index;
} Worker;

/* What all threads write often lies on lines of its own. */
struct Pool {
    /* Round number (upper half), whether workers may still join it (OPEN), how many have joined and not left.
     */
    _Alignas(LINE) atomic_ullong gate;
    _Alignas(LINE) atomic_int next; /* first item nobody has taken */
    _Alignas(LINE) atomic_int sleepers;
    atomic_bool caller_sleeps, stop;
    BackendStop end;
    PoolTask task;
    void *context;
    int items, threads;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    Worker *workers; /* threads - 1 */
};

static long long nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static unsigned round_of(unsigned long long gate) {
    return (unsigned)(gate >> 32);
}

static bool has_joined(unsigned long long gate) {
    return ((unsigned)gate & ~OPEN) != 0;
}

/* Spins until the round is another than `seen` (a worker) or nobody is in it (the caller); false when the
 * time is up. */
static bool spin(const Pool *pool, bool is_worker, unsigned seen) {
    long long start = 0;
    for (;;) {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            unsigned long long gate = atomic_load_explicit(&pool->gate, memory_order_acquire);
            if (is_worker ? round_of(gate) != seen : !has_joined(gate))
                return true;
            SPIN_PAUSE();
        }
        long long now = nanoseconds();
        if (!start)
            start = now;
        if (now - start > SPIN_NANOSECONDS)
            return false;
        if (now - start > POLITE_NANOSECONDS)
            sched_yield(); /* the thread we wait for may need this processor */
    }
}

static bool is_over(const Pool *pool) {
    return pool->end.is_wanted && pool->end.is_wanted(pool->end.ctx);
}

void pool_set_stop(Pool *pool, BackendStop stop) {
    pool->end = stop;
}

static void take_items(Pool *pool, int worker) {
    for (;;) {
        int item = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (item >= pool->items || is_over(pool))
            return;
        pool->task(pool->context, item, worker);
    }
}

static void wait_for_work(Pool *pool, unsigned seen) {
    if (spin(pool, true, seen))
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (round_of(atomic_load(&pool->gate)) == seen)
        pthread_cond_wait(&pool->work, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
}

/* False when the round is over already: who comes late neither helps nor delays. */
static bool join_round(Pool *pool, unsigned *round) {
    unsigned long long gate = atomic_load(&pool->gate);
    do {
        *round = round_of(gate);
        if (!(gate & OPEN))
            return false;
    } while (!atomic_compare_exchange_weak(&pool->gate, &gate, gate + 1));
    return true;
}

static void *work(void *argument) {
    Worker *worker = argument;
    Pool *pool = worker->pool;
    for (unsigned seen = 0;;) {
        wait_for_work(pool, seen);
        bool is_in = join_round(pool, &seen);
        if (atomic_load(&pool->stop)) /* asked after the round is known: no other follows the one that ends */
            return NULL;
        if (!is_in)
            continue;
        take_items(pool, worker->index);
        unsigned long long gate = atomic_fetch_sub(&pool->gate, 1) - 1;
        if (!has_joined(gate) && atomic_load(&pool->caller_sleeps)) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

/* Sequentially consistent on both sides: either the sleeper sees the new round or we see the sleeper. Nobody
 * is in the old round any more. */
static void call_workers(Pool *pool) {
    unsigned long long round = round_of(atomic_load(&pool->gate)) + 1u;
    atomic_store(&pool->gate, round << 32 | OPEN);
    if (atomic_load(&pool->sleepers) == 0)
        return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

/* Closes the round and waits for those who are in the middle of an item. */
static void wait_for_workers(Pool *pool) {
    atomic_fetch_and(&pool->gate, ~(unsigned long long)OPEN);
    if (spin(pool, false, 0))
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_sleeps, true);
    while (has_joined(atomic_load(&pool->gate)))
        pthread_cond_wait(&pool->done, &pool->lock);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->lock);
}

void pool_run(Pool *pool, PoolTask task, void *context, int items) {
    if (pool->threads == 1 || items <= 1) {
        for (int i = 0; i < items && !is_over(pool); i++)
            task(context, i, 0);
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->items = items;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    call_workers(pool);
    take_items(pool, 0);
    wait_for_workers(pool);
}

int pool_threads(const Pool *pool) {
    return pool->threads;
}

/* Joins the first `started` workers and frees everything. */
static void pool_end(Pool *pool, int started) {
    atomic_store(&pool->stop, true);
    call_workers(pool);
    for (int i = 0; i < started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
}

Pool *pool_open(int threads) {
    Pool *pool = aligned_alloc(LINE, sizeof *pool);
    Worker *workers = calloc((size_t)threads, sizeof *workers);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        return NULL;
    }
    *pool = (Pool){.threads = threads, .workers = workers};
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (int i = 0; i < threads - 1; i++) {
        workers[i] = (Worker){.pool = pool, .index = i + 1};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            pool_end(pool, i);
            return NULL;
        }
    }
    return pool;
}

void pool_close(Pool *pool) {
    if (pool)
        pool_end(pool, pool->threads - 1);
}
