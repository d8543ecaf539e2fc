/* redact: secrets out of a text that is about to be logged. Pure and thread-safe.
 *
 * Replaced by REDACTED are: what follows a name that holds key, token, secret, password, passwd, credential
 * or authorization (NAME=value, "name": "value", --name value, a {"name":...,"value":...} pair); what follows
 * Bearer or Basic; tokens with a well-known beginning (sk-, ghp_, github_pat_, glpat-, xoxb-, hf_, AKIA, a
 * JSON web token); the password of a URL; PEM blocks. Counts (12 tokens, "tokens": 12) stay.
 */
#ifndef MUX_BASE_REDACT_H
#define MUX_BASE_REDACT_H

#include "base/buf.h"

#define REDACTED "[redacted]"

void redact(Str text, Buf *out); /* appended to out */

#endif
