/* Control: how tests set up the emulated device and ask it what happened. Any thread.
 *
 * The device: one (or none) named "emulated". Work given to a stream runs when somebody waits for it, so that
 * results read too early are stale. After a failed launch every call answers the same error until
 * emulator_reset.
 */
#ifndef MUX_TESTS_EMULATOR_CONTROL_H
#define MUX_TESTS_EMULATOR_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Settings back to the defaults, faults, report and counters cleared, the device healthy. Memory, streams and
 * the like stay; what was not yet run is dropped. */
void emulator_reset(void);

/* What decides the order of blocks, warps and lanes: MUX_EMULATOR_SEED in the environment, or 1. */
void emulator_set_seed(uint64_t seed);
uint64_t emulator_seed(void);
void emulator_set_capability(int capability); /* 90 = 9.0, the default; 80 */
void emulator_set_memory(size_t bytes);       /* of the device; default 4 GiB */
void emulator_set_devices(int count);         /* 0 or 1 */
void emulator_set_driver(int version);        /* 13000 = 13.0, 0 = no driver */

/* The call of this name (cudaMalloc, cuMemCreate, ...) fails with `error` after `after` more good ones, once.
 * A name that is no call of the emulator is a mistake and ends the program. */
void emulator_fail_next(const char *name, int after, int error);
/* The launch that comes after `after` others fails while it runs, as an illegal address would. */
void emulator_fail_launch(int after, int error);

/* The first report since the last emulator_clear_report, one line; "" when there is none. Also written to
 * stderr when `loud`, the default. The text lives until the next clear or reset. */
const char *emulator_report(void);
void emulator_clear_report(void); /* and the device's error with it */
void emulator_set_loud(bool loud);

/* False in a build with a sanitizer of its own: accesses of kernels are then that one's to see. */
bool emulator_sees_memory(void);

typedef struct EmulatorCounters {
    uint64_t launches; /* kernels run, those of graphs included */
    uint64_t graph_launches, graphs_instantiated;
    uint64_t copies;
    size_t bytes;                             /* of device memory taken now */
    size_t pinned_bytes;                      /* of host memory */
    int allocations, streams, events, graphs; /* alive now */
} EmulatorCounters;
void emulator_counters(EmulatorCounters *out);

/* Marks device memory as written, or asks whether all of it was: for twins of libraries. False also when it
 * is no device memory. */
void emulator_mark_written(const void *at, size_t bytes);
bool emulator_is_written(const void *at, size_t bytes);
bool emulator_is_device(const void *at, size_t bytes);
/* Runs `work` in its turn in a stream, for twins of libraries; argument is freed with free() afterwards.
 * It may call emulator_library_fault. */
typedef struct CUstream_st *EmulatorStream;
int emulator_enqueue(EmulatorStream stream, void (*work)(void *argument), void *argument);
void emulator_library_fault(const char *text);

#ifdef __cplusplus
}
#endif
#endif
