/* written: what earlier turns wrote, beside what stands there now: which changes the user took back or
 * edited, and what a formatter made of them. The editor does not tell; the texts do. Private to the planner.
 */
#ifndef MUX_PLANNER_WRITTEN_H
#define MUX_PLANNER_WRITTEN_H

#include "planner/planner_internal.h"

/* After a commit: remembers before, sent and found of every file of the report. */
void written_remember(Turn *turn, const ChangeReport *report);
/* In a review: remembers for the model what the user left out of a file's diff (file->hunks); keep[i] is
 * false for those, NULL: all. */
void written_left_out(Turn *turn, const FileWork *file, const bool *keep);
/* Before the next edit: reads the remembered files through the workspace and appends to *news one paragraph a
 * file whose changes are not all there any more (empty when they are), with the hunks that are gone. What was
 * told is not told again. The user gets one thought. False only when the turn is cancelled. */
bool written_compare(Turn *turn, Buf *news, Err *err);
void written_free(Session *session);

#endif
