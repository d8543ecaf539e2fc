/* patch: unified diffs as text, parsed and applied to texts in memory (the files are the workspace room's).
 *
 * Accepts what git prints and what `git apply` accepts: git's accept/refuse is the oracle. Strict: offset
 * search, no fuzz, all or nothing. Str fields borrow from the patch text or live in the arena.
 */
#ifndef MUX_DIFF_PATCH_H
#define MUX_DIFF_PATCH_H

#include "base/err.h"
#include "base/str.h"

typedef struct PatchOptions {
    int strip; /* -pN: leading path components to drop; normally 1 */
    bool reverse;
    bool recount;      /* distrust the @@ counts */
    bool unidiff_zero; /* hunks without context are allowed */
} PatchOptions;

typedef struct PatchLine {
    char kind;       /* ' ', '-', '+' */
    bool no_newline; /* followed by "\ No newline at end of file" */
    Str text;        /* without the line end "\n" (a "\r" stays) */
} PatchLine;

typedef struct PatchHunk {
    size_t old_start, old_count, new_start, new_count; /* as printed: lines from 1 */
    PatchLine *lines;
    size_t line_count;
} PatchHunk;

typedef enum PatchKind { PATCH_MODIFY, PATCH_CREATE, PATCH_DELETE, PATCH_RENAME, PATCH_COPY } PatchKind;

typedef struct PatchFile {
    PatchKind kind;
    Str old_path, new_path;      /* stripped and unquoted; empty for /dev/null */
    unsigned old_mode, new_mode; /* 0 when the patch does not say */
    PatchHunk *hunks;
    size_t hunk_count;
    size_t line; /* where the section starts in the patch, from 1 */
} PatchFile;

typedef struct Patch {
    PatchFile *files;
    size_t count;
} Patch;

/* options->reverse swaps old and new already here, and the order of the files. Refuses
 * (ERR_INVALID/ERR_UNSUPPORTED with the line) corrupt hunks, binary sections, paths that leave the folder, no
 * section at all. Every allocation is bounded by the size of the text. A file that the patch changes from
 * nothing (one hunk, no old lines, PATCH_MODIFY) may be missing. */
bool patch_parse(Str text, const PatchOptions *options, Arena *arena, Patch *out, Err *err);

/* One section on its old text (empty for PATCH_CREATE). ERR_CONFLICT names file, hunk and the first line that
 * differs. */
bool patch_apply(const PatchFile *file, Str old_text, const PatchOptions *options, Arena *arena,
                 Str *new_text, Err *err);

#endif
