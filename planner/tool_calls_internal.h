/* From the text of one call to its name and arguments. Private to tool_calls. */
#ifndef MUX_PLANNER_TOOL_CALLS_INTERNAL_H
#define MUX_PLANNER_TOOL_CALLS_INTERNAL_H

#include "planner/tool_calls.h"

#define DSML                                                                                                 \
    "<\xef\xbd\x9c"                                                                                          \
    "DSML\xef\xbd\x9c"
#define DSML_END                                                                                             \
    "</\xef\xbd\x9c"                                                                                         \
    "DSML\xef\xbd\x9c"

typedef enum CallDialect {
    DIALECT_NONE,
    DIALECT_HERMES,
    DIALECT_FUNCTION,
    DIALECT_GLM,
    DIALECT_MISTRAL,
    DIALECT_HARMONY,
    DIALECT_DSML,
} CallDialect;

bool is_call_name_byte(char c);
/* The name that text begins with. */
Str call_name(Str text);
/* head: what stood before the JSON (holds the name in some dialects). json: to its end or where it was cut.
 */
void calls_read_json(ToolCallParser *parser, Str head, Str json, bool is_open);
/* text: from the opening of the call to its closer, without that. */
void calls_read_tags(ToolCallParser *parser, Str text, bool is_open);

#endif
