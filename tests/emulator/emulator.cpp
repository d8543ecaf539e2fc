/* The running of launches: blocks in random order, their threads as fibers, warps and lanes in random order,
 * and the places where threads meet. */
#include "tests/emulator/control.h"
#include "tests/emulator/emulator_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__thread Run *emulated_run __attribute__((tls_model("initial-exec")));

static Run the_run;
static uint64_t random_state;

/* splitmix64 */
uint64_t emulated_random(void) {
    uint64_t z = random_state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* ---- where a thread is ---- */

uint3 emulated_thread_index(void) {
    return emulated_run->now->index;
}
uint3 emulated_block_index(void) {
    return emulated_run->block_index;
}
uint3 emulated_block_extent(void) {
    return emulated_run->block;
}
uint3 emulated_grid_extent(void) {
    return emulated_run->grid;
}
int emulated_thread_number(void) {
    return emulated_run->now->number;
}
unsigned char *emulated_shared(void) {
    return emulated_run->shared;
}
bool emulated_is_shared(const void *pointer) {
    return (uintptr_t)pointer - (uintptr_t)emulated_run->shared < MOST_SHARED;
}
/* The first 1024 bytes of the window are the system's, as on compute 9.0. */
uint32_t emulated_shared_address(const void *pointer, const char *file, int line) {
    if (!emulated_is_shared(pointer))
        emulated_fault(EMULATED_ILLEGAL_ADDRESS, file, line, "the address is not in shared memory");
    return (uint32_t)((const unsigned char *)pointer - emulated_run->shared) + 1024;
}
void *emulated_shared_pointer(uint32_t address) {
    return address - 1024u < emulated_run->shared_bytes ? emulated_run->shared + (address - 1024u) : NULL;
}

/* ---- faults ---- */

/* The line of a code address, asked of addr2line; "" when it does not know. */
static void source_line(const void *instruction, char *out, size_t capacity) {
    extern char __executable_start;
    char command[200], answer[400] = "";
    snprintf(command, sizeof command, "addr2line -e /proc/%d/exe 0x%zx 2>/dev/null", (int)getpid(),
             (size_t)((const char *)instruction - 1 - &__executable_start));
    FILE *pipe = popen(command, "r");
    if (!pipe)
        return;
    if (!fgets(answer, sizeof answer, pipe))
        answer[0] = 0;
    pclose(pipe);
    answer[strcspn(answer, "\n")] = 0;
    const char *name = strrchr(answer, '/');
    snprintf(out, capacity, "%s", answer[0] == '?' ? "" : name ? name + 1 : answer);
}

static const char *short_name(const char *file) {
    const char *slash = file ? strrchr(file, '/') : NULL;
    return slash ? slash + 1 : file ? file : "?";
}

static void take_note(Run *run, int error, const Thread *thread, const char *place, const char *what) {
    char text[1600], who[120] = "";
    if (thread)
        snprintf(who, sizeof who, ", thread (%u, %u, %u) (warp %d lane %d)", thread->index.x, thread->index.y,
                 thread->index.z, thread->warp->number, thread->lane);
    snprintf(text, sizeof text, "emulator: %s, block (%u, %u, %u)%s: %s%s%s", run->kernel->name,
             run->block_index.x, run->block_index.y, run->block_index.z, who, place, *place ? ": " : "",
             what);
    run->has_failed = true;
    run->error = error;
    report_set(text);
}

/* Out of the fiber; it is never entered again. */
[[noreturn]] static void leave_for_good(Run *run) {
    for (;;)
        fiber_leave(run->now->fiber);
}

void emulated_fault_at(int error, const void *instruction, Site site, const char *format, ...) {
    Run *run = emulated_run;
    char what[1200], place[300] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (site.file)
        snprintf(place, sizeof place, "%s:%d", short_name(site.file), site.line);
    else if (instruction)
        source_line(instruction, place, sizeof place);
    if (!run->has_failed)
        take_note(run, error, run->now, place, what);
    leave_for_good(run);
}

void emulated_fault(int error, const char *file, int line, const char *format, ...) {
    char what[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    emulated_fault_at(error, NULL, {file, line}, "%s", what);
}

void emulated_note(int error, const char *format, ...) {
    char what[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    take_note(emulated_run, error, NULL, "", what);
}

/* "lanes 0-3 5 31", or the mask when that is shorter. */
static void describe_lanes(unsigned lanes, char *out, size_t capacity) {
    size_t at = (size_t)snprintf(out, capacity, lanes & (lanes - 1) ? "lanes" : "lane");
    for (int lane = 0; lane < 32; lane++) {
        if (!(lanes >> lane & 1))
            continue;
        int last = lane;
        while (last < 31 && lanes >> (last + 1) & 1)
            last++;
        if (at > 20) {
            snprintf(out, capacity, "lanes 0x%08x", lanes);
            return;
        }
        at += (size_t)snprintf(out + at, capacity - at, last > lane ? " %d-%d" : " %d", lane, last);
        lane = last;
    }
}

static bool same_place(const Thread *a, const Thread *b) {
    bool is_waiting = a->state == THREAD_GATHERS || a->state == THREAD_WAITS;
    return a->state == b->state &&
           (!is_waiting || (a->waits_for == b->waits_for && a->waits_at.line == b->waits_at.line));
}

/* "warp 0: lanes 0-15 at block_sync (a.cu:12), lanes 16-31 exited" */
static void describe_warp(const Warp *warp, char *out, size_t capacity) {
    size_t at = (size_t)snprintf(out, capacity, "warp %d:", warp->number);
    const Thread *lanes = &the_run.threads[warp->number * 32];
    unsigned told = 0;
    for (int lane = 0; lane < 32 && at < capacity; lane++) {
        const Thread *first = &lanes[lane];
        unsigned same = 0;
        char who[40], what[160];
        for (int other = lane; other < 32; other++)
            if ((warp->exists & ~told) >> other & 1 && same_place(first, &lanes[other]))
                same |= 1u << other;
        if (!(same >> lane & 1))
            continue;
        if (first->state == THREAD_EXITED || first->state == THREAD_RUNS)
            snprintf(what, sizeof what, first->state == THREAD_RUNS ? "running" : "exited");
        else
            snprintf(what, sizeof what, "at %s (%s:%d)", first->waits_for, short_name(first->waits_at.file),
                     first->waits_at.line);
        describe_lanes(same, who, sizeof who);
        at += (size_t)snprintf(out + at, capacity - at, "%s %s %s", told ? "," : "", who, what);
        told |= same;
    }
}

/* ---- order ---- */

static void next_epoch(Warp *warp) {
    warp->clock.epoch[warp->number]++;
}
static void join(EmulatedClock *into, const EmulatedClock *other) {
    for (int w = 0; w < MOST_WARPS; w++)
        if (other->epoch[w] > into->epoch[w])
            into->epoch[w] = other->epoch[w];
}
void emulated_order_warp(void) {
    next_epoch(emulated_run->now->warp);
}
/* After the release the warp is in a new epoch, so what the clock holds is everything before. */
void emulated_release(EmulatedClock *clock) {
    Warp *warp = emulated_run->now->warp;
    next_epoch(warp);
    join(clock, &warp->clock);
}
void emulated_acquire(const EmulatedClock *clock) {
    join(&emulated_run->now->warp->clock, clock);
}

/* ---- meeting ---- */

static void release_warp(Run *run, Warp *warp) {
    warp->arrived = 0;
    warp->is_blocked = false;
    warp->ready = warp->exists & ~warp->exited;
    for (int lane = 0; lane < 32; lane++)
        if (warp->ready >> lane & 1)
            run->threads[warp->number * 32 + lane].state = THREAD_RUNS;
}

/* The barrier is complete: everybody who waits at it has all that came before. */
static void release_barrier(Run *run, int id) {
    Barrier *barrier = &run->barriers[id];
    for (int w = 0; w < run->warp_count; w++) {
        Warp *warp = &run->warps[w];
        bool waits_here =
            warp->is_blocked && (id ? warp->purpose.kind == GATHER_NAMED_SYNC && warp->purpose.id == id
                                    : warp->purpose.kind == GATHER_BLOCK);
        if (!waits_here)
            continue;
        join(&warp->clock, &barrier->clock);
        release_warp(run, warp);
    }
    memset(barrier, 0, sizeof *barrier);
}

static void arrive_at_block(Run *run, Warp *warp) {
    Barrier *barrier = &run->barriers[0];
    next_epoch(warp);
    join(&barrier->clock, &warp->clock);
    barrier->arrived += __builtin_popcount(warp->exists);
    warp->is_blocked = true;
    if (barrier->arrived == run->live_threads)
        release_barrier(run, 0);
}

static void arrive_at_named(Run *run, Warp *warp) {
    const Purpose *purpose = &warp->purpose;
    Barrier *barrier = &run->barriers[purpose->id];
    if (barrier->expected && barrier->expected != purpose->threads)
        emulated_fault(
            EMULATED_LAUNCH_FAILURE, purpose->site.file, purpose->site.line,
            "divergence: barrier %d is used with %d threads by %s and with %d threads by %s (%s:%d)",
            purpose->id, purpose->threads, purpose->name, barrier->expected, barrier->purpose.name,
            short_name(barrier->purpose.site.file), barrier->purpose.site.line);
    if (!barrier->expected)
        barrier->purpose = *purpose;
    barrier->expected = purpose->threads;
    barrier->arrived += 32;
    next_epoch(warp);
    join(&barrier->clock, &warp->clock);
    if (purpose->kind == GATHER_NAMED_SYNC)
        warp->is_blocked = true;
    else
        release_warp(run, warp);
    if (barrier->arrived == barrier->expected)
        release_barrier(run, purpose->id);
}

static inline bool same_text(const char *a, const char *b) {
    return a == b || strcmp(a, b) == 0;
}
static inline bool same_purpose(const Purpose *a, const Purpose *b) {
    return a->kind == b->kind && a->all == b->all && a->site.line == b->site.line && a->id == b->id &&
           a->threads == b->threads && same_text(a->name, b->name) && same_text(a->site.file, b->site.file);
}

static void arrive_at_warpgroup(Run *run, Warp *warp) {
    int first = warp->number & ~3;
    Barrier *group = &run->warpgroups[warp->number / 4];
    const Purpose *purpose = &warp->purpose;
    if (first + 4 > run->warp_count)
        emulated_fault(EMULATED_LAUNCH_FAILURE, purpose->site.file, purpose->site.line,
                       "divergence: %s by a warpgroup of which warps are missing", purpose->name);
    if (group->arrived && !same_purpose(&group->purpose, purpose))
        emulated_fault(EMULATED_LAUNCH_FAILURE, purpose->site.file, purpose->site.line,
                       "divergence: a warpgroup meets at %s and at %s (%s:%d)", purpose->name,
                       group->purpose.name, short_name(group->purpose.site.file), group->purpose.site.line);
    group->purpose = *purpose;
    warp->is_blocked = true;
    if (++group->arrived < 4)
        return;
    void *arguments[128];
    for (int w = 0; w < 4; w++)
        memcpy(arguments + 32 * w, run->warps[first + w].arguments, sizeof run->warps[0].arguments);
    purpose->all(arguments, 128);
    memset(group, 0, sizeof *group);
    for (int w = 0; w < 4; w++)
        release_warp(run, &run->warps[first + w]);
}

/* The last lane of the warp has come. */
static void warp_complete(Run *run, Warp *warp) {
    const Purpose *purpose = &warp->purpose;
    if (purpose->kind != GATHER_BLOCK && warp->exists != ALL_LANES)
        emulated_fault(EMULATED_LAUNCH_FAILURE, purpose->site.file, purpose->site.line,
                       "divergence: %s by a warp of %d lanes", purpose->name,
                       __builtin_popcount(warp->exists));
    switch (purpose->kind) {
    case GATHER_WARP:
        purpose->all(warp->arguments, 32);
        release_warp(run, warp);
        break;
    case GATHER_WARPGROUP: arrive_at_warpgroup(run, warp); break;
    case GATHER_BLOCK: arrive_at_block(run, warp); break;
    default: arrive_at_named(run, warp);
    }
}

static void diverged(Run *run, Warp *warp, const Purpose *purpose) {
    char text[800];
    (void)run;
    describe_warp(warp, text, sizeof text);
    emulated_fault(EMULATED_LAUNCH_FAILURE, purpose->site.file, purpose->site.line,
                   "divergence: lanes of one warp are at different places: %s", text);
}

static void gather(const Purpose *purpose, void *argument) {
    Run *run = emulated_run;
    Thread *thread = run->now;
    Warp *warp = thread->warp;
    unsigned bit = 1u << thread->lane;
    thread->state = THREAD_GATHERS;
    thread->waits_for = purpose->name;
    thread->waits_at = purpose->site;
    if (warp->exited || (warp->arrived && !same_purpose(&warp->purpose, purpose)))
        diverged(run, warp, purpose);
    if (!warp->arrived)
        warp->purpose = *purpose;
    warp->arguments[thread->lane] = argument;
    warp->arrived |= bit;
    warp->ready &= ~bit;
    if (warp->arrived == warp->exists)
        warp_complete(run, warp);
    if (!(warp->ready & bit))
        fiber_leave(thread->fiber);
}

void emulated_meet_warp(const char *name, void *argument, EmulatedMeeting *all, const char *file, int line) {
    Purpose purpose = {name, GATHER_WARP, all, 0, 0, {file, line}};
    gather(&purpose, argument);
}
void emulated_meet_warpgroup(const char *name, void *argument, EmulatedMeeting *all, const char *file,
                             int line) {
    Purpose purpose = {name, GATHER_WARPGROUP, all, 0, 0, {file, line}};
    gather(&purpose, argument);
}
void emulated_block_sync(const char *file, int line) {
    Purpose purpose = {"block_sync", GATHER_BLOCK, NULL, 0, 0, {file, line}};
    gather(&purpose, NULL);
}
void emulated_named_barrier(const char *name, int id, int threads, bool wait, const char *file, int line) {
    Purpose purpose = {name, wait ? GATHER_NAMED_SYNC : GATHER_NAMED_ARRIVE, NULL, id, threads, {file, line}};
    if (id < 1 || id > 15 || threads < 32 || threads % 32 || threads > MOST_THREADS)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line, "%s: no barrier %d of %d threads", name, id,
                       threads);
    gather(&purpose, NULL);
}

static bool has_woken; /* somebody found what he waited for; he may wait for something else by now */

void emulated_wait_until(const char *name, bool (*ready)(void *), void *argument, const char *file,
                         int line) {
    Run *run = emulated_run;
    Thread *thread = run->now;
    unsigned bit = 1u << thread->lane;
    if (ready(argument))
        return;
    thread->state = THREAD_WAITS;
    thread->waits_for = name;
    thread->waits_at = {file, line};
    thread->warp->ready &= ~bit;
    run->waiting_threads++;
    do
        fiber_leave(thread->fiber);
    while (!ready(argument));
    has_woken = true;
    thread->state = THREAD_RUNS;
    thread->warp->ready |= bit;
    run->waiting_threads--;
}

/* ---- threads ---- */

static void thread_exits(Run *run, Thread *thread) {
    Warp *warp = thread->warp;
    thread->state = THREAD_EXITED;
    warp->exited |= 1u << thread->lane;
    warp->ready &= ~(1u << thread->lane);
    if (thread->copy_count)
        emulated_fault(EMULATED_LAUNCH_FAILURE, thread->copy_site.file, thread->copy_site.line,
                       "the thread exits with %d copies of copy_async16 never waited for",
                       thread->copy_count);
    if (warp->arrived)
        diverged(run, warp, &warp->purpose);
    run->live_threads--;
    Barrier *barrier = &run->barriers[0];
    if (warp->exited == warp->exists) {
        next_epoch(warp);
        join(&barrier->clock, &warp->clock);
        if (barrier->arrived && barrier->arrived == run->live_threads)
            release_barrier(run, 0);
    }
}

static void thread_main(void) {
    Run *run = emulated_run;
    fiber_begun(run->now->fiber);
    run->kernel->run((const void *)run->stacks);
    thread_exits(run, run->now);
    leave_for_good(run);
}

static void begin_block(Run *run) {
    memset(run->barriers, 0, sizeof run->barriers);
    memset(run->warpgroups, 0, sizeof run->warpgroups);
    memset(run->warps, 0, sizeof run->warps);
    run->live_threads = run->thread_count;
    run->waiting_threads = 0;
    run->did_atomics = false;
    for (int w = 0; w < run->warp_count; w++) {
        Warp *warp = &run->warps[w];
        warp->number = w;
        warp->clock.epoch[w] = 1;
    }
    for (int i = 0; i < run->thread_count; i++) {
        Thread *thread = &run->threads[i];
        unsigned x = (unsigned)i % run->block.x, rest = (unsigned)i / run->block.x;
        thread->number = i;
        thread->index = {x, rest % run->block.y, rest / run->block.y};
        thread->lane = i & 31;
        thread->warp = &run->warps[i / 32];
        thread->warp->exists |= 1u << thread->lane;
        thread->warp->ready |= 1u << thread->lane;
        thread->state = THREAD_RUNS;
        thread->waits_for = NULL;
        thread->waits_at = {NULL, 0};
        thread->copy_count = 0;
        thread->group = 1;
        thread->fiber = fiber_get(i);
        fiber_start(thread->fiber, thread_main);
    }
    memory_begin_block(run);
    emulated_clear_records();
}

/* Lets every waiting thread look whether it may go on. */
static bool poll_waiting(Run *run) {
    has_woken = false;
    int start = (int)(emulated_random() % (unsigned)run->thread_count);
    for (int i = 0; i < run->thread_count && !run->has_failed; i++) {
        Thread *thread = &run->threads[(start + i) % run->thread_count];
        if (thread->state != THREAD_WAITS)
            continue;
        run->now = thread;
        fiber_enter(thread->fiber);
    }
    return has_woken || run->has_failed;
}

static Warp *pick_warp(Run *run) {
    int start = (int)(emulated_random() % (unsigned)run->warp_count);
    for (int i = 0; i < run->warp_count; i++) {
        Warp *warp = &run->warps[(start + i) % run->warp_count];
        if (warp->ready)
            return warp;
    }
    return NULL;
}

static void run_lanes(Run *run, Warp *warp) {
    unsigned order = (unsigned)emulated_random(), step = (order >> 8) | 1;
    unsigned begun = warp->ready;
    for (unsigned i = 0; i < 32 && !run->has_failed; i++) {
        unsigned lane = (order + i * step) & 31;
        if (!(warp->ready & begun & 1u << lane))
            continue;
        run->now = &run->threads[warp->number * 32 + (int)lane];
        fiber_enter(run->now->fiber);
    }
}

static void report_deadlock(Run *run) {
    char text[1000];
    size_t at = 0;
    for (int w = 0; w < run->warp_count && at + 200 < sizeof text; w++)
        if (run->warps[w].exited != run->warps[w].exists) {
            at += (size_t)snprintf(text + at, sizeof text - at, "%s", at ? "; " : "");
            describe_warp(&run->warps[w], text + at, sizeof text - at);
            at += strlen(text + at);
        }
    emulated_note(EMULATED_LAUNCH_FAILURE, "deadlock, nothing can go on: %s", text);
}

static void run_block(Run *run) {
    begin_block(run);
    while (run->live_threads > 0 && !run->has_failed) {
        if (run->waiting_threads > 0 && emulated_random() % 4 == 0)
            poll_waiting(run);
        Warp *warp = run->has_failed ? NULL : pick_warp(run);
        if (warp)
            run_lanes(run, warp);
        else if (!run->has_failed && !poll_waiting(run))
            report_deadlock(run);
    }
    for (int id = 1; id < 16 && !run->has_failed; id++)
        if (run->barriers[id].arrived)
            emulated_note(EMULATED_LAUNCH_FAILURE,
                          "divergence: the block ends while barrier %d has %d of %d threads", id,
                          run->barriers[id].arrived, run->barriers[id].expected);
    if (run->has_failed)
        for (int i = 0; i < run->thread_count; i++)
            fiber_abandon(run->threads[i].fiber);
}

/* Every block once, in an order that is none: from a random one on, by a step without a common factor. */
static void run_blocks(Run *run) {
    uint64_t count = (uint64_t)run->grid.x * run->grid.y * run->grid.z;
    uint64_t step = emulated_random() % count + 1, at = emulated_random() % count;
    for (;; step++) {
        uint64_t a = step, b = count;
        while (b) {
            uint64_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1)
            break;
    }
    for (uint64_t i = 0; i < count && !run->has_failed; i++, at = (at + step) % count) {
        run->block_number = (uint32_t)at;
        run->block_index = {(unsigned)(at % run->grid.x), (unsigned)(at / run->grid.x % run->grid.y),
                            (unsigned)(at / run->grid.x / run->grid.y)};
        run_block(run);
    }
}

int emulated_launch(const EmulatedKernel *kernel, const void *arguments, uint3 grid, uint3 block,
                    size_t shared_bytes) {
    static uint32_t launches;
    static unsigned char *shared;
    Run *run = &the_run;
    if (!shared)
        shared = (unsigned char *)aligned_alloc(1024, MOST_SHARED);
    run->kernel = kernel;
    run->grid = grid;
    run->block = block;
    run->launch = ++launches;
    run->thread_count = (int)(block.x * block.y * block.z);
    run->warp_count = (run->thread_count + 31) / 32;
    run->shared_bytes = shared_bytes;
    run->shared = shared;
    run->has_failed = false;
    run->error = 0;
    run->stacks = (uintptr_t)fiber_region(&run->stacks_bytes);
    memcpy((void *)run->stacks, arguments, kernel->argument_bytes);
    random_state = emulator_seed() + run->launch * 0xD1B54A32D192ED03u;
    emulated_run = run;
    run_blocks(run);
    emulated_run = NULL;
    return run->error;
}
