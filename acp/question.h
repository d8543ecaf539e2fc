/* question: one question of a turn on its way to the user: as one session/request_permission; or, where a
 * file is reviewed hunk by hunk, as forms with a tick a hunk (elicitation/create) or one permission request a
 * hunk.
 *
 *   OpenQuestion *q = question_new(...);  question_ask(q);  ... question_withdraw(q) or question_release(q)
 *
 * No thread waits: each answer of the client brings the next call. `end` is called at most once, on the
 * protocol thread (or inside question_ask when the client is gone). A withdrawn question ends without a word,
 * or as cancelled when an answer was being taken that moment. Who made it lets it go with one of the two,
 * from any thread, also inside `end`.
 */
#ifndef MUX_ACP_QUESTION_H
#define MUX_ACP_QUESTION_H

#include "acp/rpc.h"
#include "planner/planner.h"

typedef struct OpenQuestion OpenQuestion;

typedef struct QuestionClient {
    Peer *peer;
    Str session_id; /* outlives the question */
    bool has_forms;
    void *ctx;
    void (*end)(void *ctx, OpenQuestion *question, uint64_t id, const Decision *decision);
} QuestionClient;

OpenQuestion *question_new(const QuestionClient *client, const QuestionEvent *event); /* copies event */
void question_ask(OpenQuestion *question);
void question_release(OpenQuestion *question);
void question_withdraw(OpenQuestion *question); /* releases it, too */

#endif
