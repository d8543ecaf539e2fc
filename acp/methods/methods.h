/* The methods this agent answers, one file each, and their list. */
#ifndef MUX_ACP_METHODS_H
#define MUX_ACP_METHODS_H

#include "acp/rpc.h"

extern const Method METHOD_INITIALIZE, METHOD_AUTHENTICATE, METHOD_SESSION_NEW, METHOD_SESSION_PROMPT,
    METHOD_SESSION_CANCEL, METHOD_SESSION_CLOSE, METHOD_SET_MODE, METHOD_SET_CONFIG_OPTION,
    METHOD_CANCEL_REQUEST;

extern const Method *const ACP_METHODS[];
extern const size_t ACP_METHOD_COUNT;

#endif
