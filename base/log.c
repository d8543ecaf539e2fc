#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const LEVELS[] = {"error", "warn", "info", "debug"};
static _Atomic int current_level = LOG_WARN;

void log_init(const char *level_name) {
    atomic_store(&current_level, LOG_WARN);
    for (int i = 0; level_name && i < 4; i++)
        if (strcmp(level_name, LEVELS[i]) == 0)
            atomic_store(&current_level, i);
}

void log_line(LogLevel level, const char *format, ...) {
    if ((int)level > atomic_load(&current_level))
        return;
    char line[1024];
    int n = snprintf(line, sizeof line, "mux-acp: %s: ", LEVELS[level]);
    va_list args;
    va_start(args, format);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    va_end(args);
    size_t len = (size_t)n + (m < 0 ? 0 : (size_t)m);
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        return; /* nowhere left to complain */
}
