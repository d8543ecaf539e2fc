/* patch: what the two halves of the parser share. Private to the room. */
#ifndef MUX_DIFF_PATCH_INTERNAL_H
#define MUX_DIFF_PATCH_INTERNAL_H

#include "base/buf.h"
#include "diff/patch.h"

/* Where the parser stands: rest is what follows, line the number (from 1) of its first line. */
typedef struct PatchReader {
    const PatchOptions *options;
    Arena *arena;
    Str rest;
    size_t line;
    int strip;           /* of this section: tolerant, names may come without a/ and b/ */
    bool strips_nothing; /* guessed */
    size_t binary_bytes; /* inflated so far */
} PatchReader;

typedef enum Maybe { MAYBE_NO, MAYBE_YES, MAYBE_UNKNOWN } Maybe;

/* A section's headers; a Str with ptr NULL is a name not given. */
typedef struct PatchHead {
    Str common, old_name, new_name;
    Maybe is_new, is_deleted;
    bool is_renamed, is_copied;
    unsigned old_mode, new_mode;
    Str old_id, new_id;
} PatchHead;

Str patch_peek(const PatchReader *r); /* the next line with its line end; empty at the end */
void patch_skip(PatchReader *r);

/* Moves to the next section, past its headers. *found is false at the end of the text. */
bool patch_find_head(PatchReader *r, PatchHead *head, size_t *line, bool *found, Err *err);
/* One "@@" section; old and new as printed. */
bool patch_read_hunk(PatchReader *r, PatchHunk *hunk, Err *err);
/* "@@ -a,b +c,d @@": false when the line is not that. */
bool patch_hunk_head(Str line, PatchHunk *hunk);

/* Old and new exchanged, in place. */
void patch_reverse_file(PatchFile *file);

/* ---- binary data ---- */

enum { PATCH_ID_HEX = 40 };

/* git's id of a text: SHA-1 of "blob <length>", a zero byte and the text. */
void patch_blob_id(Str text, char hex[PATCH_ID_HEX + 1]);
bool patch_id_is_full(Str id);
bool patch_id_is_null(Str id); /* "0000...": there is no such file */
/* From the line "GIT binary patch" on: the data forwards and, when it is there, backwards. */
bool patch_read_binary(PatchReader *r, PatchFile *file, Err *err);
/* file->forward on old_text; both ids of the index line must agree with the texts. */
bool patch_apply_binary(const PatchFile *file, Str old_text, Arena *arena, Str *new_text, Err *err);
/* "GIT binary patch" in both directions, as literals or deltas, whichever is smaller; an index line with both
 * full ids must stand above it. False (and nothing appended) without memory. */
bool patch_binary_print(Str before, Str after, Buf *out);

/* ---- names ---- */

bool patch_is_space(char c); /* to git: a blank, \t, \n or \r, nothing else */
/* git's rule for names in a work tree: no empty, ".", ".." or ".git" part, no leading slash, no link in place
 * of what git itself reads from the tree. mode: of what has the name, 0 when not known. */
bool patch_is_safe_name(Str name, unsigned mode);
/* A name that opens with a quote and does not close it on its line. */
bool patch_quote_is_open(Str text);
/* Where a name without quotes ends, besides the end of the line: at "\r" also, or before that at a tab. */
typedef enum NameEnd { NAME_ENDS_AT_TAB, NAME_ENDS_AT_CR, NAME_ENDS_NOWHERE } NameEnd;
Str patch_name(Str text, Str otherwise, int strip, NameEnd ends, Arena *arena);
Str patch_common_name(Str text, int strip, Arena *arena);
bool patch_is_null_name(Str text);
bool patch_epoch_name(Str text);
Str patch_traditional_name(Str text, Str otherwise, int strip, Arena *arena);

#endif
