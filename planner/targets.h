/* Targets: the lines of the repository that a mechanical request is about. Where to look, not what to write.
 */
#ifndef MUX_PLANNER_TARGETS_H
#define MUX_PLANNER_TARGETS_H

#include "planner/planner_internal.h"

/* A file cut into lines; an edit replaces one entry. */
typedef struct LineText {
    Str text; /* without line end; after an edit it may hold several lines joined by "\n" */
    Str end;  /* "\n", "\r\n" or "" */
    bool is_deleted, is_edited;
} LineText;

typedef struct Target {
    size_t line; /* index into lines */
    bool is_done;
    Str question; /* how to ask for this one; empty: as for all */
    bool is_code; /* RENAME: more than a mention in a comment or a string */
} Target;

typedef struct FileTargets {
    FileWork *file;
    LineText *lines;
    size_t line_count;
    Target *items; /* rising lines */
    size_t count;
} FileTargets;

/* Files with at least one target, in path order. No target at all, or too many to choose from, is told
 * through turn_problem and gives an empty list. */
bool targets_find(Turn *turn, FileTargets **out, size_t *count, Err *err);

/* The file's text from its lines as they are now. */
Str targets_join(const FileTargets *targets, Arena *arena);

#endif
