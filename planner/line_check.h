/* line_check: is one line's edit, as a model wrote it, what the request asks for? Exact checks only; nothing
 * is ever written here. Pure; borrowed results. */
#ifndef MUX_PLANNER_LINE_CHECK_H
#define MUX_PLANNER_LINE_CHECK_H

#include "planner/request.h"

typedef struct LineEdit {
    Str old_line;    /* without line end */
    Str new_text;    /* lines joined by "\n", without a final one */
    bool is_deleted; /* no line is left */
} LineEdit;

/* For INTENT_OTHER: whether the edit is plausible at all (it differs, its brackets balance as before). */
bool line_edit_is_right(const Request *request, const LineEdit *edit);

/* Next whole-word occurrence of word at or behind `from`; STR_NONE when none. Word characters are letters,
 * digits, '_'; for words that start or end in other characters only the ends that are word characters are
 * guarded. */
size_t find_word(Str text, Str word, size_t from);
/* Next call of the callee ("callee("); STR_NONE when none. */
size_t find_call(Str text, Str callee, size_t from);
/* The name is part of a quoted path or file name, which a rename must not touch: no file moves. */
bool mention_is_path(Str text, size_t at, Str name);
/* A mention of the name in a place that must follow a rename: code, or prose that clearly means the name.
 * Judged from the text around it. */
bool mention_is_code(Str text, size_t at, Str name);
/* Whether a line gives `name` a value: "name = ", "name: ", "#define name". *value_at is the byte behind the
 * sign. */
bool line_assigns(Str line, Str name, size_t *value_at);
bool line_is_removable(const Request *request, Str line);
/* Opening minus closing brackets of each kind outside of nothing: a cheap balance, equal before and after. */
bool brackets_match(Str before, Str after);

#endif
