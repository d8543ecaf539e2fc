/* Diagnostics on stderr: quiet by default, MUX_LOG=error|warn|info|debug raises the level,
 * MUX_LOG_FORMAT=json makes each line one JSON object.
 *
 * One line a call, written at once and whole, from any thread; control characters are escaped, secrets are
 * replaced (redact.h), what is longer than LOG_LINE_MAX is cut. Text of the user is logged at debug only.
 *
 *   text: mux-acp: warn: the old backup 7 could not be removed: ... (request 3, session mux-1)
 *   json: {"t":seconds since 1970,"level":"warn","msg":"...","request":3,"session":"mux-1"}
 */
#ifndef MUX_BASE_LOG_H
#define MUX_BASE_LOG_H

#include "base/str.h"

#define LOG_LINE_MAX 4000 /* below PIPE_BUF, so that lines of several processes do not mix */

typedef enum LogLevel { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG } LogLevel;

void log_init(const char *level_name); /* NULL or unknown: warn */
/* "text" or "json"; NULL: text. False for any other name, which changes nothing. */
bool log_set_format(const char *name);
bool log_is_on(LogLevel level);
void log_line(LogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What this thread works on from here on: its lines say so. The raw JSON of a request's id and a session's
 * id, copied, cut to 80 bytes; empty: nothing. */
void log_scope(Str request, Str session);

/* One more member of a line: text, or a value that is JSON already. */
typedef struct LogField {
    const char *key;
    Str value;
    bool is_json;
} LogField;
/* A line with members of its own behind msg, in place of the thread's scope; the text format shows msg and
 * the members as key=value. */
void log_fields(LogLevel level, Str msg, const LogField *fields, size_t count);

#endif
