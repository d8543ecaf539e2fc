/* agent: the protocol on stdin and stdout, until the client goes away. */
#ifndef MUX_ACP_AGENT_H
#define MUX_ACP_AGENT_H

#include "acp/config.h"

#define OPTIONS_AGENT                                                                                        \
    (OPTIONS_ENGINE | OPTION(REVIEW) | OPTION(RECORD) | OPTION(REPLAY) | OPTION(CWD) | OPTION(SEED))

int agent_run(const Settings *settings); /* the program's exit status */

#endif
