/* trace: how long a piece of work took and what came of it, one line of the log each.
 *
 *   Span *span = span_begin("request", method, id, session); ... span_end(span, S("ok"));
 * The line is logged at its end at level info, with "span" (the kind), "method", "id" (raw JSON), "session",
 * "ms" and "outcome"; at debug also at its beginning. When info is not logged, span_begin answers NULL and
 * nothing is done. A span may end on another thread.
 */
#ifndef MUX_BASE_TRACE_H
#define MUX_BASE_TRACE_H

#include "base/str.h"

typedef struct Span Span;

/* All copied. id and session may be empty. kind: a literal. */
Span *span_begin(const char *kind, Str method, Str id, Str session);
void span_end(Span *span, Str outcome); /* NULL is fine; frees it */
bool span_has_id(const Span *span, Str id);

#endif
