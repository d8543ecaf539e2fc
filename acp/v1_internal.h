/* Pieces shared by the files of the v1 serialiser. */
#ifndef MUX_ACP_V1_INTERNAL_H
#define MUX_ACP_V1_INTERNAL_H

#include "acp/v1.h"

/* {"sessionId":..., "update":{"sessionUpdate":kind}}; *update is the inner object. */
Json *v1_update_begin(Str session_id, const char *kind, Json **update);
Json *v1_text_block(Str text);
/* All fields of a tool call, as session/request_permission wants them. */
void v1_put_tool(Json *call, const ToolEvent *tool);

#endif
