/* patch: unified diffs as text, parsed and applied to texts in memory (the files are the workspace room's).
 *
 * Calling sequence: patch_parse -> patch_plan (a whole tree, seen through a PatchSource) or patch_apply (one
 * section on one text). Accepts what git prints and what `git apply` accepts: git's accept/refuse is the
 * oracle, with the deliberate differences of docs/decisions/patches.md. Strict unless asked otherwise: offset
 * search, no fuzz, all or nothing. Str fields borrow from the patch text or live in the arena. Thread-safe.
 */
#ifndef MUX_DIFF_PATCH_H
#define MUX_DIFF_PATCH_H

#include "base/err.h"
#include "base/str.h"

typedef struct PatchOptions {
    int strip;          /* -pN: leading path components to drop; normally 1 */
    bool guesses_strip; /* -p was not given: as in git 0 from the first section on that has no git headers and
                         * no slash in its new name */
    bool reverse;
    bool recount;           /* distrust the @@ counts */
    bool unidiff_zero;      /* hunks without context are allowed */
    bool ignore_whitespace; /* context and removed lines may differ in blanks; context keeps the file's bytes
                             */
    bool
        is_tolerant; /* for patches that a model or a mailer wrote: recounts, takes LF context for CRLF files
                      * (added lines get the file's line ends), a truncated last hunk that is whole by its
                      * own counts, names without a/ and b/. Implies recount. Ambiguous places are refused. */
    int fuzz;        /* outer context lines that may be dropped at each end of a hunk, at most; 0 */
    bool has_least_context; /* -CN was given; else all context must match */
    int least_context;      /* context lines that must match at each end */
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
    bool has_void_line; /* among its context was an empty line without a line end, nothing at all: not in
                           lines */
} PatchHunk;

typedef enum PatchKind { PATCH_MODIFY, PATCH_CREATE, PATCH_DELETE, PATCH_RENAME, PATCH_COPY } PatchKind;

typedef enum BinaryKind { BINARY_NONE, BINARY_LITERAL, BINARY_DELTA } BinaryKind;

/* One half of a "GIT binary patch", inflated. */
typedef struct PatchBinary {
    BinaryKind kind;
    Str data; /* the new bytes, or a delta (git's pack delta format) from the old ones */
} PatchBinary;

typedef struct PatchFile {
    PatchKind kind;
    Str old_path, new_path;      /* stripped and unquoted; empty for /dev/null */
    unsigned old_mode, new_mode; /* 0 when the patch does not say */
    PatchHunk *hunks;
    size_t hunk_count;
    bool may_create; /* PATCH_MODIFY of a patch without git's headers, from no lines at all: the file may be
                      * missing */
    bool is_binary;
    PatchBinary forward, backward; /* backward: to undo it, BINARY_NONE when not given */
    Str old_id, new_id;            /* hex of the "index" line; empty when not given */
    size_t line;                   /* where the section starts in the patch, from 1 */
} PatchFile;

typedef struct Patch {
    PatchFile *files;
    size_t count;
} Patch;

/* options->reverse swaps old and new already here, and the order of the files. Refuses
 * (ERR_INVALID/ERR_UNSUPPORTED with the line) corrupt hunks, binary sections without data, submodules, paths
 * that leave the folder, no section at all. Every allocation is bounded by the size of the text (inflated
 * binary data by PATCH_BINARY_MAX). */
bool patch_parse(Str text, const PatchOptions *options, Arena *arena, Patch *out, Err *err);
#define PATCH_BINARY_MAX ((size_t)256 << 20)

/* How a section went on, for the user. */
typedef struct PatchReport {
    size_t offset_hunks,
        fuzzy_hunks; /* found elsewhere than said; found with context dropped or blanks ignored */
} PatchReport;

/* One section on its old text (empty for PATCH_CREATE). ERR_CONFLICT names file, hunk and the first line that
 * differs, or says that the result is there already. report may be NULL. */
bool patch_apply(const PatchFile *file, Str old_text, const PatchOptions *options, Arena *arena,
                 Str *new_text, PatchReport *report, Err *err);

/* ---- a whole tree ---- */

typedef struct PatchEntry {
    bool exists;
    bool is_folder; /* nothing else is set then */
    unsigned mode;  /* 0100644, 0100755, or 0120000: a link, text is its target */
    Str text;
    const void *tag; /* the source's own; comes back in PatchStep.before */
} PatchEntry;

typedef struct PatchSource {
    void *ctx;
    /* What stands at a path (relative, no "." or "..", never through a link: ERR_DENIED for a path beyond
     * one). A missing file is exists false. */
    bool (*look)(void *ctx, Str path, Arena *arena, PatchEntry *out, Err *err);
    /* The names in a folder that look told of, without "." and "..". NULL: a file never takes the place of a
     * folder; else it does when the folder is empty or the patch empties it. */
    bool (*list)(void *ctx, Str folder, Arena *arena, Str **names, size_t *count, Err *err);
} PatchSource;

typedef struct PatchStep {
    Str path;
    PatchEntry before, after; /* before: as the source told it */
} PatchStep;

typedef struct PatchPlan {
    PatchStep *items; /* each path once, in order of first sight; unchanged ones are left out */
    size_t count;
    PatchReport report;
    bool is_applied_already; /* of a refused plan: the patch applies in reverse to every file */
} PatchPlan;

/* All sections as git-apply takes them, nothing written: changes, creations and deletions in order, each on
 * what the ones before left; renames and copies read their source as it was before the patch, so that chains
 * and swaps do not depend on the order. A name that the patch frees (a deletion, a rename, also a later one)
 * may be taken; a folder emptied by it may become a file. Nothing on disk is replaced or removed that no
 * section has read. Paths beyond links are refused, also beyond those that the patch makes. On failure *out
 * tells only is_applied_already. ERR_LIMIT when the new texts together exceed PATCH_PLAN_MAX. */
bool patch_plan(const Patch *patch, const PatchOptions *options, PatchSource source, Arena *arena,
                PatchPlan *out, Err *err);
#define PATCH_PLAN_MAX ((size_t)8 << 30)

#endif
