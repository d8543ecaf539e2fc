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

extern const SlashCommand *const SLASH_COMMANDS[];
extern const size_t SLASH_COUNT;

/* The command a prompt begins with; NULL: it is a request ("/usr/bin is wrong"). */
const SlashCommand *slash_find(Str prompt, Str *rest);

#endif
