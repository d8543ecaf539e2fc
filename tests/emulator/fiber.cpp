/* Fibers: stacks and switching between them, in assembly where it is known, by ucontext elsewhere. Under
 * AddressSanitizer and ThreadSanitizer every switch is announced. */
#include "tests/emulator/emulator_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#elif __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#endif
#if defined(WITH_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(WITH_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

#if defined(WITH_ASAN) || defined(WITH_TSAN)
static const size_t STACK_BYTES = 256 * 1024;
#else
static const size_t STACK_BYTES = 128 * 1024;
#endif
static const size_t GUARD_BYTES = 64 * 1024;     /* at least one page anywhere */
static const size_t ARGUMENT_BYTES = 128 * 1024; /* below the first guard */

static Fiber fibers[1024];
static Fiber scheduler;
static char *region;
static size_t region_bytes;

static void make_region(void) {
    region_bytes = ARGUMENT_BYTES + (size_t)MOST_THREADS * (STACK_BYTES + GUARD_BYTES);
    void *at = mmap(NULL, region_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED || mprotect(at, ARGUMENT_BYTES, PROT_READ | PROT_WRITE)) {
        fprintf(stderr, "emulator: no address space for the stacks\n");
        abort();
    }
    region = (char *)at;
}

char *fiber_region(size_t *bytes) {
    if (!region)
        make_region();
    *bytes = region_bytes;
    return region;
}

Fiber *fiber_get(int number) {
    Fiber *fiber = &fibers[number];
    if (!fiber->stack) {
        fiber->stack = region + ARGUMENT_BYTES + (size_t)number * (STACK_BYTES + GUARD_BYTES) + GUARD_BYTES;
        if (mprotect(fiber->stack, STACK_BYTES, PROT_READ | PROT_WRITE)) {
            fprintf(stderr, "emulator: no memory for a stack\n");
            abort();
        }
    }
    return fiber;
}

/* ---- the switch ---- */

#if defined(__x86_64__)

extern "C" void emulated_switch(void **from, void *to);
asm(R"(
.text
.type emulated_switch, @function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulated_switch, .-emulated_switch
)");

static void prepare(Fiber *fiber, void (*run)(void)) {
    void **top = (void **)(fiber->stack + STACK_BYTES);
    *--top = NULL;        /* where run would return to; keeps the stack aligned as at a call */
    *--top = (void *)run; /* what `ret` takes */
    for (int i = 0; i < 6; i++)
        *--top = NULL;
    fiber->stack_pointer = top;
}

#elif defined(__aarch64__)

extern "C" void emulated_switch(void **from, void *to);
asm(R"(
.text
.type emulated_switch, %function
emulated_switch:
    sub sp, sp, #176
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #176
    ret
.size emulated_switch, .-emulated_switch
)");

static void prepare(Fiber *fiber, void (*run)(void)) {
    void **top = (void **)(fiber->stack + STACK_BYTES - 16);
    top -= 176 / sizeof *top;
    memset(top, 0, 176);
    top[11] = (void *)run; /* x30 */
    fiber->stack_pointer = top;
}

#else

#include <ucontext.h>

static void emulated_switch(void **from, void *to) {
    swapcontext((ucontext_t *)*from, (ucontext_t *)to);
}
static void prepare(Fiber *fiber, void (*run)(void)) {
    if (!fiber->context)
        fiber->context = calloc(1, sizeof(ucontext_t));
    if (!scheduler.stack_pointer)
        scheduler.stack_pointer = calloc(1, sizeof(ucontext_t));
    ucontext_t *context = (ucontext_t *)fiber->context;
    getcontext(context);
    context->uc_stack.ss_sp = fiber->stack;
    context->uc_stack.ss_size = STACK_BYTES;
    context->uc_link = NULL;
    makecontext(context, run, 0);
    fiber->stack_pointer = context;
}

#endif

void fiber_start(Fiber *fiber, void (*run)(void)) {
    prepare(fiber, run);
    fiber->fake_stack = NULL;
#if defined(WITH_ASAN)
    __asan_unpoison_memory_region(fiber->stack, STACK_BYTES);
#endif
#if defined(WITH_TSAN)
    if (fiber->context && ++fiber->starts % 256 == 0) /* its list of callers grows, as threads never return */
        fiber_abandon(fiber);
    if (!fiber->context)
        fiber->context = __tsan_create_fiber(0);
#endif
}

#if defined(WITH_ASAN)
static const void *scheduler_stack;
static size_t scheduler_stack_bytes;
#endif

void fiber_begun(Fiber *fiber) {
    (void)fiber;
#if defined(WITH_ASAN)
    __sanitizer_finish_switch_fiber(fiber->fake_stack, &scheduler_stack, &scheduler_stack_bytes);
#endif
}

void fiber_enter(Fiber *fiber) {
#if defined(WITH_TSAN)
    scheduler.context = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber->context, 0);
#endif
#if defined(WITH_ASAN)
    __sanitizer_start_switch_fiber(&scheduler.fake_stack, fiber->stack, STACK_BYTES);
#endif
    emulated_switch(&scheduler.stack_pointer, fiber->stack_pointer);
#if defined(WITH_ASAN)
    __sanitizer_finish_switch_fiber(scheduler.fake_stack, NULL, NULL);
#endif
}

void fiber_leave(Fiber *fiber) {
#if defined(WITH_TSAN)
    __tsan_switch_to_fiber(scheduler.context, 0);
#endif
#if defined(WITH_ASAN)
    __sanitizer_start_switch_fiber(&fiber->fake_stack, scheduler_stack, scheduler_stack_bytes);
#endif
    emulated_switch(&fiber->stack_pointer, scheduler.stack_pointer);
#if defined(WITH_ASAN)
    __sanitizer_finish_switch_fiber(fiber->fake_stack, &scheduler_stack, &scheduler_stack_bytes);
#endif
}

void fiber_abandon(Fiber *fiber) {
    (void)fiber;
#if defined(WITH_TSAN)
    if (fiber->context)
        __tsan_destroy_fiber(fiber->context);
    fiber->context = NULL;
#endif
}
