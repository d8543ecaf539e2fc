/* replay_folders: where a log's work was done, and where it is done again: in copies, so that a replay leaves
 * the folders alone. Private to replay. */
#ifndef MUX_ACP_REPLAY_FOLDERS_H
#define MUX_ACP_REPLAY_FOLDERS_H

#include "acp/replay_internal.h"

/* Fills the player's folders: those that the log names, the first of them mapped to `given` (empty: itself).
 * Copies what is there. ERR_INVALID when the log does not tell and `given` is empty. */
bool folders_open(Player *player, Str given, Err *err);
/* Removes the copies. */
void folders_close(Player *player);

#endif
