/* The operating system behind a few functions: clocks, whole files, mapped files, environment.
 * Every function is thread-safe. Sizes are bytes, times are as named. */
#ifndef MUX_BASE_OS_H
#define MUX_BASE_OS_H

#include "base/err.h"
#include "base/str.h"

double os_monotonic_ms(void);
double os_unix_seconds(void);
int os_cpu_count(void); /* processors this process may run on, at least 1 */
/* Resident set of this process in bytes (0 when /proc is not there). */
size_t os_resident_bytes(void);

/* The calling thread does little and should be let in at once when it is woken, also while others compute on
 * all processors (Linux 6.12 and newer: a short slice; elsewhere nothing happens). */
void os_prefer_thread(void);

/* A file mapped read-only. bytes stays valid until os_unmap. Empty files have ptr "" and len 0. */
typedef struct MappedFile {
    Str bytes;
    void *mapping; /* NULL when nothing is mapped */
} MappedFile;
bool os_map(const char *path, MappedFile *out, Err *err);
void os_unmap(MappedFile *file);

/* Whole file into the arena; refuses what is not a regular file and what exceeds max_bytes (ERR_LIMIT). */
bool os_read_file(const char *path, size_t max_bytes, Arena *arena, Str *out, Err *err);
/* Writes in place (not atomic, for logs and results, never for the user's files). */
bool os_write_file(const char *path, Str bytes, Err *err);
/* Whole buffer to a descriptor, restarting on EINTR and short writes. */
bool os_write_all(int fd, Str bytes, Err *err);
bool os_make_dirs(const char *path, Err *err); /* mkdir -p, mode 0700 */
/* Directory of the running program, without a final slash. */
Str os_program_dir(Arena *arena);

#endif
