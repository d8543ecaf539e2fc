/* kept: what a session leaves in the store, and how it is taken up again. Private to the planner.
 *
 * kept_put after every change of what was chosen; kept_turn_begins, then kept_event for each event of a turn,
 * on the turn's thread. With nothing kept (no store) these only count and give the title.
 */
#ifndef MUX_PLANNER_KEPT_H
#define MUX_PLANNER_KEPT_H

#include "planner/planner_internal.h"

#define TITLE_CHARACTERS 60      /* of a title made from the first prompt */
#define TITLE_CHARACTERS_MAX 200 /* of one that was given */

/* planner.c: a session in memory, of which the store does not know yet. */
Session *session_make(Planner *planner, const SessionConfig *config, FileIo io, Err *err);

void kept_put(Session *session);
/* What the user said goes into the store; the title goes out where this prompt gives it. */
void kept_turn_begins(Turn *turn);
void kept_event(Session *session, const TurnEvent *event);

#endif
