/* Diagnostics on stderr: quiet by default, MUX_LOG=error|warn|info|debug raises the level. Thread-safe, one
 * line a call. */
#ifndef MUX_BASE_LOG_H
#define MUX_BASE_LOG_H

typedef enum LogLevel { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG } LogLevel;

void log_init(const char *level_name); /* NULL or unknown: warn */
void log_line(LogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
