/* replay_compare: what an agent said once and what it says now, apart from what differs from run to run
 * anyway: ids, times, session and tool call names, folders, where text was cut into chunks, notices, how
 * often a terminal was looked at. Pure. */
#ifndef MUX_ACP_REPLAY_COMPARE_H
#define MUX_ACP_REPLAY_COMPARE_H

#include "acp/replay_log.h"

/* One side of the comparison. */
typedef struct ReplaySide {
    const ReplayLog *log;
    const Str *folders; /* absolute paths; the n-th of one side stands for the n-th of the other */
    size_t folder_count;
} ReplaySide;

typedef struct NameList {
    Str *items;
    size_t count, capacity;
} NameList;
/* The body of a message without what varies; the caller's. tools: tool call names seen so far, in order. */
Json *replay_plain_body(const ReplaySide *side, const LogMessage *message, NameList *tools, Arena *arena);

/* The folder of the side that path is in or below, the longest of several; STR_NONE: in none. */
size_t replay_folder_of(const Str *folders, size_t count, Str path);

/* Appends one sentence about the first difference in the order of the log (session, message, field, what the
 * log has, what is said now), then an account of all; their number. */
size_t replay_compare(const ReplaySide *recorded, const ReplaySide *now, Buf *out);

#endif
