/* schema_check: is a line that the agent wrote what the protocol's JSON Schema says?
 *
 * With the published schema file (optional, large) every message is checked against the entry that carries
 * its method; without it against a small table of required members. Understands $ref, type, properties,
 * required, enum, const, oneOf, anyOf, allOf, not, items, additionalProperties, minimum, maximum, minLength,
 * minItems; formats are ignored.
 */
#ifndef MUX_TESTS_SCHEMA_CHECK_H
#define MUX_TESTS_SCHEMA_CHECK_H

#include "base/json.h"

typedef struct SchemaCheck SchemaCheck;

/* schema_path NULL: the small table. schema.unstable.json beside it serves for methods that it lacks. */
SchemaCheck *schema_open(const char *schema_path, Err *err);
void schema_close(SchemaCheck *schema);
/* What the client sent, so that answers can be told apart. */
void schema_note_sent(SchemaCheck *schema, const Json *message);
/* False with the place and the reason. */
bool schema_check(SchemaCheck *schema, const Json *message, Err *err);
/* One value against one $defs entry, for the checker's own tests. */
bool schema_check_value(SchemaCheck *schema, const char *definition, const Json *value, Err *err);

#endif
