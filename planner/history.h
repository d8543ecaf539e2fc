/* History: the conversation that a full-style model is sent again each turn, oldest first, with the turn each
 * message belongs to; kept in the store as it grows. Used by the turn's thread (or none running).
 */
#ifndef MUX_PLANNER_HISTORY_H
#define MUX_PLANNER_HISTORY_H

#include "planner/store.h"

typedef struct History {
    Arena arena;
    StoredMessage *items;
    size_t count, capacity;
} History;

void history_free(History *history);
void history_push(Session *session, Role role, Str text);
/* Drops the oldest turn or, when only one is left, its oldest reply with the answer to it; false when there
 * is none. */
bool history_drop_oldest(Session *session);
/* Drops the last n turns (the running one is not counted); how many were there to drop. */
size_t history_rewind(Session *session, size_t turns);
/* Everything before the running turn becomes one pair of messages that holds the summary. */
void history_replace(Session *session, Str summary);
size_t history_turns(const Session *session);

#endif
