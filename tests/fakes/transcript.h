/* Recorded conversations as text: a person can read and write them.
 *
 *   # comment
 *   > {"jsonrpc":...}      sent to the agent; $name stands for what was captured, $CWD for the test's folder
 *   > text                 anything else is sent as it is (broken lines)
 *   < {...}                the next message must hold at least these members; "*" fits anything, "$name"
 * captures a text or must equal what was captured; an array must have the same length
 *   <* {...}               the same, but session/update messages before it are passed over
 *   ! exit N               end of input; the agent must end with this status (a program) or end at all (in
 * process) ! kill NAME            sends the program a signal (TERM) instead
 */
#ifndef MUX_TESTS_TRANSCRIPT_H
#define MUX_TESTS_TRANSCRIPT_H

#include "tests/fakes/client.h"

/* Fails the test with the line number when the conversation goes another way. Ends the client. */
void transcript_run(TestClient *client, const char *path, const char *cwd);

#endif
