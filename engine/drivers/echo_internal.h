/* The reply of the built-in model "echo" to a request. Pure. */
#ifndef MUX_ENGINE_DRIVERS_ECHO_INTERNAL_H
#define MUX_ENGINE_DRIVERS_ECHO_INTERNAL_H

#include "base/buf.h"

/* One search/replace block that puts a comment behind the first line of the first file shown (a line with its
 * path, then a fenced block); a sentence when none is shown. */
void echo_reply(Str request, Buf *out);

#endif
