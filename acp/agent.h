/* agent: the protocol on stdin and stdout, until the client goes away. */
#ifndef MUX_ACP_AGENT_H
#define MUX_ACP_AGENT_H

#include "acp/house.h"

#define OPTIONS_AGENT                                                                                        \
    (OPTIONS_ENGINE | OPTION(REVIEW) | OPTION(RECORD) | OPTION(REPLAY) | OPTION(CWD) | OPTION(SEED) |        \
     OPTION(STATE_DIR) | OPTION(CLIENT_TIMEOUT) | OPTION(GRAIN) | OPTION(NO_THINKING) |                      \
     OPTION(MAX_REQUESTS) | OPTIONS_BACKUP)

int agent_run(const Settings *settings); /* the program's exit status */

#endif
