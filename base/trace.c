#include "base/trace.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/os.h"

#define METHOD_SHOWN 80

struct Span {
    Arena arena;
    const char *kind;
    Str method, id, session;
    double begun_ms;
};

static void tell(const Span *span, LogLevel level, const char *verb, const char *ms, Str outcome) {
    LogField fields[6] = {{"span", str_of(span->kind), false}, {"method", span->method, false}};
    size_t count = 2;
    if (span->id.len)
        fields[count++] = (LogField){"id", span->id, true};
    if (span->session.len)
        fields[count++] = (LogField){"session", span->session, false};
    if (ms) {
        fields[count++] = (LogField){"ms", str_of(ms), true};
        fields[count++] = (LogField){"outcome", outcome, false};
    }
    char msg[METHOD_SHOWN + 40];
    snprintf(msg, sizeof msg, "%.*s %s", STR_ARG(span->method), verb);
    log_fields(level, str_of(msg), fields, count);
}

Span *span_begin(const char *kind, Str method, Str id, Str session) {
    if (!log_is_on(LOG_INFO))
        return NULL;
    Span *span = calloc(1, sizeof *span);
    if (!span)
        return NULL;
    span->kind = kind;
    span->method = str_copy(&span->arena, str_slice(method, 0, METHOD_SHOWN));
    span->id = str_copy(&span->arena, id);
    span->session = str_copy(&span->arena, session);
    span->begun_ms = os_monotonic_ms();
    if (log_is_on(LOG_DEBUG))
        tell(span, LOG_DEBUG, "begins", NULL, S(""));
    return span;
}

void span_end(Span *span, Str outcome) {
    if (!span)
        return;
    char ms[32];
    snprintf(ms, sizeof ms, "%.3f", os_monotonic_ms() - span->begun_ms);
    tell(span, LOG_INFO, "ends", ms, outcome);
    arena_free(&span->arena);
    free(span);
}

bool span_has_id(const Span *span, Str id) {
    return str_eq(span->id, id);
}
