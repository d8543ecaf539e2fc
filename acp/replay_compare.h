/* replay_compare: what an agent said once and what it says now, apart from what differs from run to run
 * anyway: ids, times, session and tool call names, the folder, where text was cut into chunks. Pure. */
#ifndef MUX_ACP_REPLAY_COMPARE_H
#define MUX_ACP_REPLAY_COMPARE_H

#include "acp/replay_log.h"

/* One side of the comparison. */
typedef struct ReplaySide {
    const ReplayLog *log;
    Str folder; /* absolute path that stands for the working folder; empty = none */
} ReplaySide;

/* The body of a message without what varies; the caller's. ids: tool call names seen so far, in order. */
typedef struct NameList {
    Str *items;
    size_t count, capacity;
} NameList;
Json *replay_plain_body(const ReplaySide *side, const LogMessage *message, NameList *tools, Arena *arena);
/* The sessions in the order in which the agent made them. */
void replay_sessions(const ReplayLog *log, Arena *arena, NameList *out);

/* Appends a readable account of all differences; their number. */
size_t replay_compare(const ReplaySide *recorded, const ReplaySide *now, Buf *out);

#endif
