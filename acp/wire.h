/* wire: typed reading of request parameters. The first thing that does not fit is remembered; the caller asks
 * once and refuses the request with it (-32602, data names the field).
 *
 *   Wire w = {0}; Str cwd = wire_text(&w, params, "cwd"); ... if (w.problem) { wire_refuse(peer, id, &w);
 * return; }
 */
#ifndef MUX_ACP_WIRE_H
#define MUX_ACP_WIRE_H

#include "acp/rpc.h"

typedef struct Wire {
    const char *problem; /* NULL: all fits so far; a literal */
    char field[96];
} Wire;

void wire_fail(Wire *wire, const char *problem, const char *field_format, ...)
    __attribute__((format(printf, 3, 4)));
/* Required members. Borrowed from the message. */
Str wire_text(Wire *wire, const Json *object, const char *key);
const Json *wire_array(Wire *wire, const Json *object, const char *key);
/* An absolute path; empty and failed otherwise. */
Str wire_absolute_path(Wire *wire, const Json *object, const char *key);
void wire_refuse(Peer *peer, RpcId id, const Wire *wire);

/* file:///a%20b -> /a b; other texts are copied as they are. A fragment stays. */
Str wire_path_of_uri(Str uri, Arena *arena);
/* The lines that a URI's fragment names (#L10, #L10:20, #L10-L20), from 1; false when it names none. */
bool wire_lines_of_uri(Str uri, size_t *first, size_t *last);

#endif
