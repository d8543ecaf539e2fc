/* replay_lines: a conversation as the list of what the agent said, one entry a message, neighbouring pieces
 * of one text joined. Private to replay_compare. */
#ifndef MUX_ACP_REPLAY_LINES_H
#define MUX_ACP_REPLAY_LINES_H

#include "acp/replay_compare.h"

typedef struct Line {
    const char *kind; /* of a text chunk; NULL for the rest */
    Str method;
    LogKind message_kind;
    bool is_error;
    Json *body;     /* plain; NULL for chunks */
    Buf text;       /* of a chunk: its text so far; else the whole line */
    size_t session; /* from 1; 0: none */
    size_t number;  /* of the (first) message in the log */
    bool is_cancel; /* the answer of a cancelled prompt */
} Line;

typedef struct LineList {
    Arena arena;
    Line *items;
    size_t count, capacity;
    size_t sessions;
} LineList;

void lines_gather(const ReplaySide *side, LineList *list);
void lines_free(LineList *list);
/* Makes equal what time alone decides: how far a cancelled answer got, and what came after the log's end. */
void lines_forgive(const ReplaySide *recorded, LineList *before, LineList *now);
/* The lines of one session as text. */
void lines_print(const LineList *list, size_t session, Buf *out);
/* The n-th line of a session; NULL. */
const Line *lines_at(const LineList *list, size_t session, size_t n);
/* One sentence about two lines that differ; either may be NULL. */
void lines_explain(const Line *was, const Line *is, size_t last_number, Buf *out);

#endif
