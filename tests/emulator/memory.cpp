/* Memory: which device memory there is, and what every access of a kernel is checked for. The compiler's
 * instrumentation for ThreadSanitizer tells of each access; the functions it calls are defined here.
 *
 * Shared memory: each four bytes know their last writer and their last readers of two warps, with the epoch
 * of their warp then. An access of another thread that no barrier orders after it is a race. Device memory
 * written by the launch knows its last writer: of another block or unordered in this one.
 */
#include "tests/emulator/control.h"
#include "tests/emulator/emulator_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the registry: allocations in the order of their addresses ---- */

static Allocation **allocations;
static int allocation_count, allocation_capacity;
static Allocation *recent[256]; /* by page: the last one found there */

static const size_t PAGE = 4096;

/* The number of allocations that begin at or below `at`. */
static int count_below(uintptr_t at) {
    int low = 0, high = allocation_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (allocations[middle]->base <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

Allocation *memory_add(void *base, size_t bytes, void *raw) {
    if (allocation_count == allocation_capacity) {
        allocation_capacity = allocation_capacity * 2 + 64;
        allocations = (Allocation **)realloc(allocations, (size_t)allocation_capacity * sizeof *allocations);
    }
    Allocation *allocation = (Allocation *)calloc(1, sizeof *allocation);
    allocation->base = (uintptr_t)base;
    allocation->bytes = bytes;
    allocation->raw = raw;
    allocation->is_set = (uint8_t *)calloc(bytes / 8 + 16, 1);
    allocation->pages = (Written **)calloc(bytes / PAGE + 2, sizeof *allocation->pages);
    int at = count_below(allocation->base);
    memmove(allocations + at + 1, allocations + at, (size_t)(allocation_count - at) * sizeof *allocations);
    allocations[at] = allocation;
    allocation_count++;
    return allocation;
}

/* Freed memory is kept for a while, so that late accesses find no other allocation in its place. */
static void quarantine(void *raw, size_t bytes) {
    static struct {
        void *raw;
        size_t bytes;
    } kept[256];
    static int next;
    static size_t total;
    if (!raw || bytes > ((size_t)16 << 20)) {
        free(raw);
        return;
    }
    for (int i = 0; i < 256 && (i == 0 || total + bytes > ((size_t)64 << 20)); i++) {
        int oldest = (next + i) % 256;
        free(kept[oldest].raw);
        total -= kept[oldest].bytes;
        kept[oldest] = {NULL, 0};
    }
    kept[next] = {raw, bytes};
    total += bytes;
    next = (next + 1) % 256;
}

void memory_remove(Allocation *allocation) {
    int at = count_below(allocation->base) - 1;
    memmove(allocations + at, allocations + at + 1,
            (size_t)(allocation_count - at - 1) * sizeof *allocations);
    allocation_count--;
    memset(recent, 0, sizeof recent);
    for (size_t page = 0; page <= allocation->bytes / PAGE; page++)
        free(allocation->pages[page]);
    free(allocation->pages);
    free(allocation->is_set);
    quarantine(allocation->raw, allocation->bytes);
    free(allocation);
}

static bool holds(const Allocation *allocation, uintptr_t at, size_t bytes) {
    return at - allocation->base < allocation->bytes && bytes <= allocation->bytes - (at - allocation->base);
}

static inline Allocation *find(uintptr_t at, size_t bytes) {
    Allocation **slot = &recent[(at >> 12) & 255];
    if (*slot && holds(*slot, at, bytes))
        return *slot;
    int below = count_below(at);
    if (!below || !holds(allocations[below - 1], at, bytes))
        return NULL;
    return *slot = allocations[below - 1];
}

Allocation *memory_find(const void *at, size_t bytes) {
    return find((uintptr_t)at, bytes);
}

/* The part of [at, at + bytes) that the allocation at its beginning holds; 0 when there is none. Mapped
 * memory may lie in several allocations that follow one another. */
static size_t piece(uintptr_t at, size_t bytes, Allocation **out) {
    *out = find(at, 1);
    if (!*out)
        return 0;
    size_t room = (*out)->bytes - (at - (*out)->base);
    return room < bytes ? room : bytes;
}

bool memory_covers(const void *at, size_t bytes) {
    Allocation *allocation;
    for (size_t done = 0, part; done < bytes; done += part)
        if (!(part = piece((uintptr_t)at + done, bytes - done, &allocation)))
            return false;
    return true;
}
Allocation *memory_at(const void *base) {
    int below = count_below((uintptr_t)base);
    return below && allocations[below - 1]->base == (uintptr_t)base ? allocations[below - 1] : NULL;
}

/* ---- bits: which bytes were written ---- */

static void set_bits(uint8_t *bits, size_t at, size_t count, bool value) {
    for (; count && at % 8; at++, count--)
        bits[at / 8] = (uint8_t)(value ? bits[at / 8] | 1u << at % 8 : bits[at / 8] & ~(1u << at % 8));
    memset(bits + at / 8, value ? 0xFF : 0, count / 8);
    for (at += count / 8 * 8, count %= 8; count; at++, count--)
        bits[at / 8] = (uint8_t)(value ? bits[at / 8] | 1u << at % 8 : bits[at / 8] & ~(1u << at % 8));
}

static bool all_bits(const uint8_t *bits, size_t at, size_t count) {
    for (; count && at % 8; at++, count--)
        if (!(bits[at / 8] >> at % 8 & 1))
            return false;
    for (; count >= 8; at += 8, count -= 8)
        if (bits[at / 8] != 0xFF)
            return false;
    for (; count; at++, count--)
        if (!(bits[at / 8] >> at % 8 & 1))
            return false;
    return true;
}

/* The usual accesses: 1 to 16 bytes, aligned to their size. */
static inline bool are_set(const uint8_t *bits, size_t at, size_t bytes) {
    if (bytes == 16 && !(at & 15)) {
        uint16_t word;
        memcpy(&word, bits + at / 8, 2);
        return word == 0xFFFF;
    }
    if (bytes == 4 && !(at & 3))
        return (bits[at / 8] >> (at & 4) & 15) == 15;
    return all_bits(bits, at, bytes);
}

void memory_set_written(const void *at, size_t bytes) {
    Allocation *allocation;
    for (size_t part; bytes; bytes -= part, at = (const char *)at + part) {
        if (!(part = piece((uintptr_t)at, bytes, &allocation)))
            return;
        set_bits(allocation->is_set, (uintptr_t)at - allocation->base, part, true);
    }
}
bool memory_is_written(const void *at, size_t bytes) {
    Allocation *allocation;
    for (size_t part; bytes; bytes -= part, at = (const char *)at + part) {
        part = piece((uintptr_t)at, bytes, &allocation);
        if (!part || !all_bits(allocation->is_set, (uintptr_t)at - allocation->base, part))
            return false;
    }
    return true;
}
void memory_copy_written(const void *to, const void *from, size_t bytes) {
    if (memory_is_written(from, bytes)) {
        memory_set_written(to, bytes);
        return;
    }
    for (size_t i = 0; i < bytes; i++) {
        Allocation *target;
        bool is_set = memory_is_written((const char *)from + i, 1);
        if (piece((uintptr_t)to + i, 1, &target))
            set_bits(target->is_set, (uintptr_t)to + i - target->base, 1, is_set);
    }
}

/* ---- reports ---- */

typedef struct Where {
    const void *instruction;
    Site site;
} Where;

static const size_t NEAR = 2048; /* bytes from an allocation that still are a slip */

static const char *access_word(Access access) {
    return access == ACCESS_READ ? "reads" : access == ACCESS_WRITE ? "writes" : "changes atomically";
}

[[noreturn]] static void fault_outside(uintptr_t at, size_t bytes, Access access, Where where) {
    int below = count_below(at);
    const Allocation *before = below ? allocations[below - 1] : NULL;
    const Allocation *after = below < allocation_count ? allocations[below] : NULL;
    const char *word = access_word(access);
    if (at < PAGE)
        emulated_fault_at(EMULATED_ILLEGAL_ADDRESS, where.instruction, where.site,
                          "%s %zu bytes at the null pointer + %zu", word, bytes, (size_t)at);
    bool is_pinned = memory_is_pinned((const void *)at);
    size_t end = before ? before->base + before->bytes : 0;
    size_t past = !before ? SIZE_MAX : at < end ? 0 : at - end;
    size_t ahead = after ? after->base - at : SIZE_MAX;
    if (!is_pinned && past <= NEAR && past <= ahead)
        emulated_fault_at(EMULATED_ILLEGAL_ADDRESS, where.instruction, where.site,
                          "%s %zu bytes out of bounds: they begin at byte %zu of an allocation of %zu bytes",
                          word, bytes, (size_t)(at - before->base), before->bytes);
    if (!is_pinned && ahead <= NEAR)
        emulated_fault_at(
            EMULATED_ILLEGAL_ADDRESS, where.instruction, where.site,
            "%s %zu bytes out of bounds: they begin %zu bytes before an allocation of %zu bytes", word, bytes,
            ahead, after->bytes);
    emulated_fault_at(EMULATED_ILLEGAL_ADDRESS, where.instruction, where.site,
                      "%s host memory%s: no allocation holds the %zu bytes at %p; the one before them begins "
                      "%zu bytes before and has %zu",
                      word, is_pinned ? " (pinned)" : "", bytes, (void *)at,
                      before ? (size_t)(at - before->base) : 0, before ? before->bytes : 0);
}

#ifndef MUX_EMULATOR_UNCHECKED

/* ---- shared memory ---- */

/* One access as a number: block 20 bits, warp 5, thread 11, epoch 24, bytes of the four 4. */
static uint64_t *writers, *readers, *other_readers; /* by four bytes */
static uint8_t *shared_set, *shared_pending;        /* by byte */
static uint32_t block_stamp;

static const unsigned MANY = 0x7FF;   /* thread: several lanes of the warp */
static const unsigned ATOMIC = 0x7FE; /* thread: an atomic operation of some lane */

static inline uint64_t stamp_of(uint64_t warp, uint64_t thread, uint64_t epoch, uint64_t mask) {
    return (uint64_t)block_stamp << 44 | warp << 39 | thread << 28 | (epoch & 0xFFFFFF) << 4 | mask;
}
static inline unsigned stamp_warp(uint64_t stamp) {
    return (unsigned)(stamp >> 39) & 31;
}
static inline unsigned stamp_thread(uint64_t stamp) {
    return (unsigned)(stamp >> 28) & 0x7FF;
}
static inline uint32_t stamp_epoch(uint64_t stamp) {
    return (uint32_t)(stamp >> 4) & 0xFFFFFF;
}

static void clear_stamps(void) {
    size_t cells = MOST_SHARED / 4;
    if (!writers) {
        writers = (uint64_t *)malloc(3 * cells * sizeof *writers);
        readers = writers + cells;
        other_readers = readers + cells;
        shared_set = (uint8_t *)calloc(MOST_SHARED / 8 + 16, 2);
        shared_pending = shared_set + MOST_SHARED / 8 + 16;
    }
    memset(writers, 0, 3 * cells * sizeof *writers);
}

void memory_begin_block(Run *run) {
    block_stamp = (block_stamp + 1) & 0xFFFFF;
    if (!writers || !block_stamp) {
        clear_stamps();
        block_stamp = 1;
    }
    memset(shared_set, 0, run->shared_bytes / 8 + 1);
    memset(shared_pending, 0, run->shared_bytes / 8 + 1);
    memset(run->shared, 0xFF, run->shared_bytes);
}

[[noreturn]] static void fault_race(Run *run, size_t at, Access access, uint64_t other, bool other_wrote,
                                    Where where) {
    unsigned thread = stamp_thread(other);
    char who[40];
    if (thread == MANY || thread == ATOMIC)
        snprintf(who, sizeof who, "lanes of warp %u", stamp_warp(other));
    else
        snprintf(who, sizeof who, "warp %u lane %u", thread / 32, thread % 32);
    (void)run;
    emulated_fault_at(EMULATED_LAUNCH_FAILURE, where.instruction, where.site,
                      "race: %s shared memory at byte %zu that %s %s with no barrier between",
                      access_word(access), at, who,
                      other_wrote ? thread == ATOMIC ? "changed atomically" : "wrote" : "read");
}

/* Whether the access `other` happened before now, or shares no byte, or is this thread's own. */
static inline bool is_ordered(const Thread *thread, uint64_t other, unsigned mask) {
    if (other >> 44 != block_stamp || !(other & mask))
        return true;
    if (stamp_thread(other) == (unsigned)thread->number)
        return true;
    return stamp_epoch(other) < thread->warp->clock.epoch[stamp_warp(other)];
}

static inline void note_reader(const Thread *thread, size_t cell, uint64_t mine) {
    uint64_t last = readers[cell];
    if (last == mine)
        return;
    if (last >> 44 == block_stamp) {
        if (stamp_warp(last) != (unsigned)thread->warp->number)
            other_readers[cell] = last;
        else if (stamp_epoch(last) == stamp_epoch(mine)) {
            if (stamp_thread(last) != (unsigned)thread->number)
                mine |= (uint64_t)MANY << 28;
            mine |= last & 15;
        }
    }
    readers[cell] = mine;
}

static inline void check_cell(Run *run, size_t cell, unsigned mask, Access access, Where where) {
    Thread *thread = run->now;
    uint64_t mine = stamp_of((uint64_t)thread->warp->number, (uint64_t)thread->number,
                             thread->warp->clock.epoch[thread->warp->number], mask);
    uint64_t writer = writers[cell];
    if (!is_ordered(thread, writer, mask) && !(access == ACCESS_ATOMIC && stamp_thread(writer) == ATOMIC))
        fault_race(run, cell * 4, access, writer, true, where);
    if (access == ACCESS_READ) {
        note_reader(thread, cell, mine);
        return;
    }
    if (!is_ordered(thread, readers[cell], mask))
        fault_race(run, cell * 4, access, readers[cell], false, where);
    if (!is_ordered(thread, other_readers[cell], mask))
        fault_race(run, cell * 4, access, other_readers[cell], false, where);
    if (access == ACCESS_ATOMIC)
        mine = (mine & ~((uint64_t)0x7FF << 28)) | (uint64_t)ATOMIC << 28;
    writers[cell] = mine;
}

static void check_shared(Run *run, size_t at, size_t bytes, Access access, Where where) {
    if (at + bytes > run->shared_bytes)
        emulated_fault_at(EMULATED_ILLEGAL_ADDRESS, where.instruction, where.site,
                          "%s %zu bytes out of bounds: byte %zu of %zu bytes of shared memory",
                          access_word(access), bytes, at, run->shared_bytes);
    if (access != ACCESS_WRITE && !are_set(shared_set, at, bytes)) {
        bool pending = false;
        for (size_t i = at; i < at + bytes; i++)
            pending = pending || (shared_pending[i / 8] >> i % 8 & 1);
        emulated_fault_at(EMULATED_LAUNCH_FAILURE, where.instruction, where.site,
                          pending
                              ? "%s %zu bytes of shared memory at byte %zu that a copy under way will write"
                              : "%s %zu unwritten bytes of shared memory at byte %zu",
                          access_word(access), bytes, at);
    }
    size_t first = at / 4, last = (at + bytes - 1) / 4;
    for (size_t cell = first; cell <= last; cell++) {
        unsigned mask = 15;
        if (cell == first)
            mask &= 15u << at % 4;
        if (cell == last)
            mask &= 15u >> (3 - (at + bytes - 1) % 4);
        check_cell(run, cell, mask, access, where);
    }
    if (access == ACCESS_WRITE)
        set_bits(shared_set, at, bytes, true);
}

/* ---- device memory ---- */

static void check_written_by(Run *run, const Written *written, unsigned mask, Access access, Where where) {
    const Thread *thread = run->now;
    if (written->launch != run->launch || !(written->mask & mask))
        return;
    if (written->is_atomic && access == ACCESS_ATOMIC)
        return;
    if (written->block != run->block_number) {
        if (!run->did_atomics) /* an atomic counter may have told the block that the other one is done */
            emulated_fault_at(EMULATED_LAUNCH_FAILURE, where.instruction, where.site,
                              "race: %s device memory that block %u of the same launch %s",
                              access_word(access), written->block,
                              written->is_atomic ? "changed atomically" : "wrote");
        return;
    }
    int warp = written->thread / 32;
    if (written->thread != thread->number && written->epoch >= thread->warp->clock.epoch[warp])
        emulated_fault_at(EMULATED_LAUNCH_FAILURE, where.instruction, where.site,
                          "race: %s device memory that warp %d lane %d %s with no barrier between",
                          access_word(access), warp, written->thread % 32,
                          written->is_atomic ? "changed atomically" : "wrote");
}

static void check_writers(Run *run, Allocation *allocation, size_t at, size_t bytes, Access access,
                          Where where) {
    const Thread *thread = run->now;
    size_t first = at / 4, last = (at + bytes - 1) / 4;
    for (size_t cell = first; cell <= last; cell++) {
        Written **page = &allocation->pages[cell / (PAGE / 4)];
        unsigned mask = 15;
        if (cell == first)
            mask &= 15u << at % 4;
        if (cell == last)
            mask &= 15u >> (3 - (at + bytes - 1) % 4);
        if (!*page && access == ACCESS_READ)
            continue;
        if (!*page)
            *page = (Written *)calloc(PAGE / 4, sizeof **page);
        Written *written = *page + cell % (PAGE / 4);
        check_written_by(run, written, mask, access, where);
        if (access != ACCESS_READ)
            *written = {run->launch,
                        run->block_number,
                        thread->warp->clock.epoch[thread->warp->number],
                        (uint16_t)thread->number,
                        (uint8_t)mask,
                        access == ACCESS_ATOMIC};
    }
}

static void check_device(Run *run, uintptr_t address, size_t bytes, Access access, Where where) {
    Allocation *allocation = find(address, bytes);
    if (!allocation)
        fault_outside(address, bytes, access, where);
    size_t at = address - allocation->base;
    if (access == ACCESS_READ) {
        if (!are_set(allocation->is_set, at, bytes))
            emulated_fault_at(EMULATED_LAUNCH_FAILURE, where.instruction, where.site,
                              "reads %zu unwritten bytes at byte %zu of an allocation of %zu bytes", bytes,
                              at, allocation->bytes);
        if (allocation->last_launch == run->launch)
            check_writers(run, allocation, at, bytes, access, where);
        return;
    }
    if (access == ACCESS_ATOMIC) {
        if (!are_set(allocation->is_set, at, bytes))
            emulated_fault_at(EMULATED_LAUNCH_FAILURE, where.instruction, where.site,
                              "changes %zu unwritten bytes atomically", bytes);
        run->did_atomics = true;
    }
    allocation->last_launch = run->launch;
    check_writers(run, allocation, at, bytes, access, where);
    set_bits(allocation->is_set, at, bytes, true);
}

void emulated_pending(void *at, size_t bytes, size_t alignment, const char *file, int line) {
    memory_check(emulated_run, (uintptr_t)at, bytes, alignment, ACCESS_WRITE, NULL, {file, line});
    size_t offset = (size_t)((unsigned char *)at - emulated_run->shared);
    set_bits(shared_set, offset, bytes, false);
    set_bits(shared_pending, offset, bytes, true);
    memset(at, 0xFF, bytes);
}

/* Bytes that somebody wrote over meanwhile, or read, show in the stamps as any other race would. */
void emulated_deliver(void *at, const void *from, size_t bytes) {
    size_t offset = (size_t)((unsigned char *)at - emulated_run->shared);
    check_shared(emulated_run, offset, bytes, ACCESS_WRITE, {NULL, {"a copy to shared memory", 0}});
    set_bits(shared_pending, offset, bytes, false);
    if (from)
        memcpy(at, from, bytes);
    else
        memset(at, 0, bytes);
}

bool memory_last_writer(const void *at, int *thread, uint32_t *epoch) {
    uint64_t writer = writers[(size_t)((const unsigned char *)at - emulated_run->shared) / 4];
    *thread = (int)stamp_thread(writer);
    *epoch = stamp_epoch(writer);
    return writer >> 44 == block_stamp && stamp_thread(writer) < ATOMIC;
}

#else

void memory_begin_block(Run *run) {
    memset(run->shared, 0xFF, run->shared_bytes);
}

/* Only bounds: what kernels read and write by themselves is not seen in this build. */
static void check_shared(Run *run, size_t at, size_t bytes, Access access, Where where) {
    if (at + bytes > run->shared_bytes)
        emulated_fault_at(EMULATED_ILLEGAL_ADDRESS, where.instruction, where.site,
                          "%s %zu bytes out of bounds: byte %zu of %zu bytes of shared memory",
                          access_word(access), bytes, at, run->shared_bytes);
}
static void check_device(Run *run, uintptr_t address, size_t bytes, Access access, Where where) {
    (void)run;
    if (!find(address, bytes))
        fault_outside(address, bytes, access, where);
}

void emulated_pending(void *at, size_t bytes, size_t alignment, const char *file, int line) {
    memory_check(emulated_run, (uintptr_t)at, bytes, alignment, ACCESS_WRITE, NULL, {file, line});
    memset(at, 0xFF, bytes);
}
void emulated_deliver(void *at, const void *from, size_t bytes) {
    if (from)
        memcpy(at, from, bytes);
    else
        memset(at, 0, bytes);
}

bool memory_last_writer(const void *, int *, uint32_t *) {
    return false;
}

#endif

void memory_check(Run *run, uintptr_t at, size_t bytes, size_t alignment, Access access,
                  const void *instruction, Site site) {
    if (at - run->stacks < run->stacks_bytes)
        return;
    Where where = {instruction, site};
    if (at & (alignment - 1))
        emulated_fault_at(EMULATED_MISALIGNED, instruction, site,
                          "%s %zu bytes misaligned: the address is %zu past a multiple of %zu",
                          access_word(access), bytes, (size_t)(at & (alignment - 1)), alignment);
    if (at - (uintptr_t)run->shared < MOST_SHARED)
        check_shared(run, at - (uintptr_t)run->shared, bytes, access, where);
    else
        check_device(run, at, bytes, access, where);
}

void emulated_read(const void *at, size_t bytes, size_t alignment, const char *file, int line) {
    memory_check(emulated_run, (uintptr_t)at, bytes, alignment, ACCESS_READ, NULL, {file, line});
}
void emulated_write(void *at, size_t bytes, size_t alignment, const char *file, int line) {
    memory_check(emulated_run, (uintptr_t)at, bytes, alignment, ACCESS_WRITE, NULL, {file, line});
}
void emulated_atomic(void *at, size_t bytes, const char *file, int line) {
    memory_check(emulated_run, (uintptr_t)at, bytes, bytes, ACCESS_ATOMIC, NULL, {file, line});
}

/* ---- what the compiler calls ---- */

#ifndef MUX_EMULATOR_UNCHECKED

#define ACCESS_ENTRY(name, size, alignment, access)                                                          \
    void __tsan_##name(void *at) {                                                                           \
        Run *run = emulated_run;                                                                             \
        if (run && (uintptr_t)at - run->stacks >= run->stacks_bytes)                                         \
            memory_check(run, (uintptr_t)at, size, alignment, access, __builtin_return_address(0),           \
                         {NULL, 0});                                                                         \
    }
#define ACCESS_ENTRIES(size)                                                                                 \
    ACCESS_ENTRY(read##size, size, size, ACCESS_READ)                                                        \
    ACCESS_ENTRY(write##size, size, size, ACCESS_WRITE)                                                      \
    ACCESS_ENTRY(volatile_read##size, size, size, ACCESS_READ)                                               \
    ACCESS_ENTRY(volatile_write##size, size, size, ACCESS_WRITE)                                             \
    ACCESS_ENTRY(unaligned_read##size, size, 1, ACCESS_READ)                                                 \
    ACCESS_ENTRY(unaligned_write##size, size, 1, ACCESS_WRITE)

extern "C" {
ACCESS_ENTRIES(1)
ACCESS_ENTRIES(2)
ACCESS_ENTRIES(4)
ACCESS_ENTRIES(8)
ACCESS_ENTRIES(16)
void __tsan_read_range(void *at, size_t bytes) {
    Run *run = emulated_run;
    if (run && bytes)
        memory_check(run, (uintptr_t)at, bytes, 1, ACCESS_READ, __builtin_return_address(0), {NULL, 0});
}
void __tsan_write_range(void *at, size_t bytes) {
    Run *run = emulated_run;
    if (run && bytes)
        memory_check(run, (uintptr_t)at, bytes, 1, ACCESS_WRITE, __builtin_return_address(0), {NULL, 0});
}
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void) {}
void __tsan_init(void) {}
}

#endif

bool emulator_sees_memory(void) {
#ifdef MUX_EMULATOR_UNCHECKED
    return false;
#else
    return true;
#endif
}

/* ---- for the twins of libraries ---- */

void emulator_mark_written(const void *at, size_t bytes) {
    memory_set_written(at, bytes);
}
bool emulator_is_written(const void *at, size_t bytes) { /* what kernels write is not seen unchecked */
    return emulator_sees_memory() ? memory_is_written(at, bytes) : memory_covers(at, bytes);
}
bool emulator_is_device(const void *at, size_t bytes) {
    return memory_covers(at, bytes);
}
