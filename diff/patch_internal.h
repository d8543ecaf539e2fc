/* patch: what the two halves of the parser share. Private to the room. */
#ifndef MUX_DIFF_PATCH_INTERNAL_H
#define MUX_DIFF_PATCH_INTERNAL_H

#include "diff/patch.h"

/* Where the parser stands: rest is what follows, line the number (from 1) of its first line. */
typedef struct PatchReader {
    const PatchOptions *options;
    Arena *arena;
    Str rest;
    size_t line;
} PatchReader;

typedef enum Maybe { MAYBE_NO, MAYBE_YES, MAYBE_UNKNOWN } Maybe;

/* A section's headers; a Str with ptr NULL is a name not given. */
typedef struct PatchHead {
    Str common, old_name, new_name;
    Maybe is_new, is_deleted;
    bool is_renamed, is_copied;
    unsigned old_mode, new_mode;
} PatchHead;

Str patch_peek(const PatchReader *r); /* the next line with its line end; empty at the end */
void patch_skip(PatchReader *r);

/* Moves to the next section, past its headers. *found is false at the end of the text. */
bool patch_find_head(PatchReader *r, PatchHead *head, size_t *line, bool *found, Err *err);
/* One "@@" section; old and new as printed. */
bool patch_read_hunk(PatchReader *r, PatchHunk *hunk, Err *err);
/* "@@ -a,b +c,d @@": false when the line is not that. */
bool patch_hunk_head(Str line, PatchHunk *hunk);

/* Names. */
Str patch_name(Str text, Str otherwise, int strip, bool ends_at_tab, Arena *arena);
Str patch_common_name(Str text, int strip, Arena *arena);
bool patch_is_null_name(Str text);
bool patch_epoch_name(Str text);
Str patch_traditional_name(Str text, Str otherwise, int strip, Arena *arena);

#endif
