/* replay: plays the client's side of a recorded conversation against the agent in this process, and compares
 * what the agent says with what the log holds. See replay_log.h for the formats. */
#ifndef MUX_ACP_REPLAY_H
#define MUX_ACP_REPLAY_H

#include "acp/config.h"

/* Prints the differences; the program's exit status: 0 same, 1 different, 2 not a log, 3 the agent cannot
 * start. */
int replay_run(const Settings *settings);

#endif
