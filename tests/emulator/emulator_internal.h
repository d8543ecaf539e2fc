/* What the parts of the emulator share: the running launch, its threads and warps, device memory. */
#ifndef MUX_TESTS_EMULATOR_EMULATOR_INTERNAL_H
#define MUX_TESTS_EMULATOR_EMULATOR_INTERNAL_H

#include "tests/emulator/emulator.h"

#include <stdarg.h>

/* The emulator itself uses these names for fields. */
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

static const int MOST_THREADS = 1024;
static const int MOST_WARPS = 32;
static const unsigned ALL_LANES = 0xFFFFFFFFu;
static const size_t MOST_SHARED = 228 * 1024;

/* ---- fibers (fiber.cpp) ---- */

typedef struct Fiber {
    void *stack_pointer; /* where it was left */
    char *stack;         /* lowest address above the guard page */
    void *context;       /* ucontext or the fiber of a sanitizer */
    void *fake_stack;
    unsigned starts;
} Fiber;

/* One region holds every stack, so that "is it on a stack" is one comparison. */
char *fiber_region(size_t *bytes);
Fiber *fiber_get(int number); /* of MOST_THREADS */
/* Makes the fiber start `run` (which never returns) at the next switch to it. */
void fiber_start(Fiber *fiber, void (*run)(void));
void fiber_enter(Fiber *fiber); /* from the scheduler */
void fiber_leave(Fiber *fiber); /* back to the scheduler */
void fiber_begun(Fiber *fiber); /* first thing on the new stack */
/* After a launch whose threads were abandoned where they stood. */
void fiber_abandon(Fiber *fiber);

/* ---- the running block ---- */

typedef struct Site {
    const char *file;
    int line;
} Site;

typedef enum Gathering {
    GATHER_WARP,
    GATHER_WARPGROUP,
    GATHER_BLOCK,
    GATHER_NAMED_SYNC,
    GATHER_NAMED_ARRIVE
} Gathering;

/* What the lanes of a warp came for. */
typedef struct Purpose {
    const char *name;
    Gathering kind;
    EmulatedMeeting *all;
    int id, threads; /* of a named barrier */
    Site site;
} Purpose;

typedef struct Copy {
    unsigned char *to;
    const unsigned char *from; /* NULL: zeros */
    uint64_t group;
} Copy;

typedef enum ThreadState { THREAD_RUNS, THREAD_GATHERS, THREAD_WAITS, THREAD_EXITED } ThreadState;

typedef struct Warp Warp;
typedef struct Thread {
    Fiber *fiber;
    Warp *warp;
    uint3 index;
    int number, lane;
    ThreadState state;
    const char *waits_for; /* THREAD_GATHERS, THREAD_WAITS */
    Site waits_at;
    Copy *copies;
    int copy_count, copy_capacity;
    uint64_t group; /* of the copies issued now */
    Site copy_site;
} Thread;

struct Warp {
    int number;
    unsigned exists, ready, arrived, exited; /* lanes */
    bool is_blocked;                         /* all lanes came; waits for other warps */
    Purpose purpose;
    void *arguments[32];
    EmulatedClock clock; /* [w]: epochs of warp w below this one happened before now; [own]: now */
};

typedef struct Barrier {
    int arrived, expected;
    Purpose purpose;
    EmulatedClock clock; /* of those who came */
} Barrier;

typedef struct Run {
    const EmulatedKernel *kernel;
    uint3 grid, block, block_index;
    uint32_t block_number;
    uint32_t launch; /* counts launches */
    int thread_count, warp_count, live_threads, waiting_threads;
    size_t shared_bytes;
    uintptr_t stacks; /* with the copy of the arguments */
    size_t stacks_bytes;
    unsigned char *shared;
    bool did_atomics; /* this block */
    bool has_failed;
    int error;
    Thread *now;
    Thread threads[MOST_THREADS];
    Warp warps[MOST_WARPS];
    Barrier barriers[16]; /* 0 is block_sync */
    Barrier warpgroups[MOST_WARPS / 4];
} Run;

/* The launch that this host thread executes; NULL outside kernels. */
extern __thread Run *emulated_run __attribute__((tls_model("initial-exec")));

/* Runs a whole launch; 0 or the cudaError it ended with. One at a time (the runtime's lock). */
int emulated_launch(const EmulatedKernel *kernel, const void *arguments, uint3 grid, uint3 block,
                    size_t shared_bytes);
uint64_t emulated_random(void);
/* Ends the launch from the scheduler, which has no thread of its own to stop. */
void emulated_note(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A fault whose place is the address of the instruction. */
[[noreturn]] void emulated_fault_at(int error, const void *instruction, Site site, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void emulated_clear_records(void);

/* ---- the report (control.cpp) ---- */

void report_set(const char *text);

/* ---- memory (memory.cpp) ---- */

typedef struct Written { /* who wrote four bytes of device memory last */
    uint32_t launch, block, epoch;
    uint16_t thread;
    uint8_t mask;
    bool is_atomic;
} Written;

typedef struct Allocation {
    uintptr_t base;
    size_t bytes;
    void *raw;       /* NULL: the range is the owner's (mapped memory) */
    uint8_t *is_set; /* one bit a byte: was written */
    Written **pages; /* of 4096 bytes, made when a kernel writes there */
    uint32_t last_launch;
} Allocation;

/* Registers [base, base + bytes): unwritten. */
Allocation *memory_add(void *base, size_t bytes, void *raw);
void memory_remove(Allocation *allocation);
Allocation *memory_find(const void *at, size_t bytes); /* one that holds all of it, or NULL */
bool memory_covers(const void *at, size_t bytes);      /* also by several that follow one another */
Allocation *memory_at(const void *base);               /* beginning there */
void memory_set_written(const void *at, size_t bytes);
bool memory_is_written(const void *at, size_t bytes);
/* Written-ness of a copy follows the bytes. */
void memory_copy_written(const void *to, const void *from, size_t bytes);
/* A new block begins: its shared memory is unwritten. */
void memory_begin_block(Run *run);

bool memory_is_pinned(const void *at); /* cudaMallocHost; in runtime.cpp */

/* Which thread of this block wrote four bytes of shared memory last, in which epoch of its warp. False: none,
 * or nobody looks (MUX_EMULATOR_UNCHECKED). */
bool memory_last_writer(const void *at, int *thread, uint32_t *epoch);

typedef enum Access { ACCESS_READ, ACCESS_WRITE, ACCESS_ATOMIC } Access;
void memory_check(Run *run, uintptr_t at, size_t bytes, size_t alignment, Access access,
                  const void *instruction, Site site);

#endif
