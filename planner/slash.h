/* slash: commands that a prompt may begin with. One const record a command; they run as turns, without a
 * model unless they say so. Private to the planner.
 */
#ifndef MUX_PLANNER_SLASH_H
#define MUX_PLANNER_SLASH_H

#include "planner/planner_internal.h"

typedef struct SlashCommand {
    CommandInfo info;
    /* rest: what follows the name, trimmed. Says its result with turn_text. */
    bool (*run)(Turn *turn, Str rest, Err *err);
} SlashCommand;

extern const SlashCommand SLASH_UNDO, SLASH_DIFF, SLASH_MAP, SLASH_SEARCH, SLASH_FILES, SLASH_MODEL,
    SLASH_COMPACT, SLASH_REWIND, SLASH_STATUS, SLASH_HELP;
extern const SlashCommand *const SLASH_COMMANDS[];
extern const size_t SLASH_COUNT;

/* The command a prompt begins with; NULL: it is a request ("/usr/bin is wrong"). A "/word" that stands alone
 * and is none is answered with what there is. */
const SlashCommand *slash_find(Str prompt, Str *rest);

/* ---- for the commands ---- */

/* Opens turn->ws for this command; read_only as in WorkspaceConfig. */
bool slash_open(Turn *turn, bool read_only, Err *err);
/* Says the text and frees it. */
bool slash_say(Turn *turn, Buf *text);
/* A fenced block that no line of text can close. */
void slash_fence(Buf *out, const char *language, Str text);
/* What follows the name must be empty or one whole number; false with a sentence in err. */
bool slash_number(Str rest, size_t otherwise, size_t *out, Err *err);

#endif
