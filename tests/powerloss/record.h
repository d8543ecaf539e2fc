/* System calls that a program made, read back from the log of strace -f -xx (every string in hex, whole).
 *
 *   for (Call call; call_next(&log, &arena, &call);) ...
 * Calls of one thread only: a log in which calls overlap is refused by test_fail.
 */
#ifndef MUX_TESTS_POWERLOSS_RECORD_H
#define MUX_TESTS_POWERLOSS_RECORD_H

#include "tests/runner.h"

enum { CALL_ARGS_MAX = 8 };

typedef struct Call {
    Str name;
    Str args[CALL_ARGS_MAX]; /* as printed; strings with their quotes */
    size_t arg_count;
    long result;
    bool has_failed;  /* result is -1 */
    bool is_injected; /* the tracer answered instead of the kernel */
} Call;

/* False at the end of the log. */
bool call_next(Str *log, Arena *arena, Call *out);
Str call_string(const Call *call, size_t index, Arena *arena); /* decoded; fails when it was cut short */
/* AT_FDCWD is -100; octal and hex as in C. */
long call_number(const Call *call, size_t index);

/* The words before a program's own that run it under strace, with everything that disk.h knows, into a log.
 * swallow > 0: the N-th fsync answers success without being made. */
const char *const *record_front(Arena *arena, const char *log, int swallow);

#endif
