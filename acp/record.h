/* record: a log of both directions, one {"t":seconds,"dir":"in"|"out","msg":{...}} a line; "in" is to the
 * agent. A line that is no JSON object is kept as "raw" instead of "msg". */
#ifndef MUX_ACP_RECORD_H
#define MUX_ACP_RECORD_H

#include "acp/rpc.h"

typedef struct Record Record;

Record *record_open(const char *path, Err *err);
/* NULL is fine. False when the log could not be written whole. */
bool record_close(Record *record, Err *err);
PeerTap record_tap(Record *record); /* an empty tap for NULL */

#endif
