/* compaction: a long conversation becomes a summary that the model itself writes, so that there is room
 * again. What was said stays in the transcript; only what is sent to the model gets shorter. Private to the
 * planner.
 */
#ifndef MUX_PLANNER_COMPACTION_H
#define MUX_PLANNER_COMPACTION_H

#include "planner/planner_internal.h"

typedef struct CompactionReport {
    Str summary; /* lives as long as the turn */
    size_t turns, tokens_before, tokens_after;
} CompactionReport;

/* Asks the model for a summary of all turns before this one and lets it take their place; TURN_COMPACTION
 * tells of it. On a failure or a cancel the conversation stays as it was. ERR_UNSUPPORTED: the model reads
 * each request by itself. */
bool compaction_run(Turn *turn, CompactionReport *out, Err *err);
/* Before a prompt of the turn is made, with its chat open: compacts when what was said takes most of a
 * prompt's budget. False only when the turn is cancelled; a compaction that failed is told and leaves it to
 * the caller to drop the oldest turns. */
bool history_make_room(Turn *turn, Err *err);

#endif
