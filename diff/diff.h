/* diff: pure text in, text out. No files, no threads, no globals; every function is thread-safe.
 *
 * The room has four doors:
 *  diff.h   compare two texts, print unified diffs, rebuild a text from chosen hunks
 *  tree.h   two trees as a list of file diffs: what was added, removed, renamed, copied, changed
 *  patch.h  parse unified diffs and apply them, one file or a whole tree at a time
 *  edit.h   the edits of a model's reply: parsed, located, applied
 *
 * Calling sequence here: diff_lines -> Hunks -> diff_print_verified, or diff_keep for a subset of them.
 * Results live in the Arena given; Str fields may point into the inputs, which must outlive them.
 */
#ifndef MUX_DIFF_DIFF_H
#define MUX_DIFF_DIFF_H

#include "base/buf.h"
#include "base/err.h"

/* ---- compare ---- */

typedef struct Hunk {
    /* Changed lines only, no context. Line numbers count from 0; a pure insertion has old_count 0 and stands
     * before old_start. Byte ranges cover the same lines including their line ends. */
    size_t old_start, old_count, new_start, new_count;
    size_t old_begin, old_end, new_begin, new_end;
    uint64_t
        id; /* stable: hash of path, old range and both texts; a decision keyed by it survives a new diff */
} Hunk;

typedef struct Hunks {
    Str before, after; /* borrowed */
    Hunk *items;
    size_t count;
} Hunks;

/* Shortest line script (Myers 1986 in linear space, with trimming, anchors on rare lines and a cost cap);
 * lines are compared with their line ends, so CRLF and a missing final newline are differences. Hunks are
 * slid to where blocks begin and end. path only goes into the ids. Fails only with ERR_LIMIT (texts over 2^31
 * bytes). apply(diff(a,b), a) == b always. */
bool diff_lines(Str path, Str before, Str after, Arena *arena, Hunks *out, Err *err);

/* before with only the hunks whose keep[i] is true applied. */
bool diff_keep(const Hunks *hunks, const bool *keep, Arena *arena, Str *out, Err *err);

/* The last of the hunks that share one @@ section with hunks->items[first] when printed with `context` lines
 * around each. */
size_t diff_section_end(const Hunks *hunks, size_t first, int context);

typedef struct TextRange {
    size_t begin, end; /* bytes */
} TextRange;

/* What changed inside a hunk, for display: ranges of whole words, of hunks->before and hunks->after. */
typedef struct WordMarks {
    TextRange *old_marks, *new_marks; /* ascending, not touching */
    size_t old_count, new_count;
} WordMarks;

/* Words are runs of letters, digits and underscores (characters beyond ASCII count as letters); every other
 * character is one by itself. Marks with only blanks between them are one. Lines without a common word have
 * one mark each from end to end. No mark holds a "\n". Bounded work: a hunk of more than 64 KiB has a mark a
 * line. */
void diff_words(const Hunks *hunks, size_t index, Arena *arena, WordMarks *out);

/* ---- print ---- */

typedef struct FileDiff {
    Str old_path, new_path; /* relative, forward slashes; equal unless renamed or copied */
    bool is_new, is_deleted, is_copied;
    unsigned old_mode,
        new_mode;   /* git's: 0100644, 0100755, 0120000 (then the text is the link's target); 0 = 0100644 */
    bool is_binary; /* prints git's notice instead of hunks */
    bool carries_binary; /* prints "GIT binary patch" data instead of the notice, so that it can be applied */
    Hunks hunks;
} FileDiff;

/* Appends one file's section with git headers ("diff --git a/.. b/..", modes, similarity, rename and copy
 * lines, ---/+++, @@), context lines around each hunk (normally 3), "\ No newline at end of file", and
 * C-quoted names where git quotes. A change of type (file to link) prints as a deletion and a creation.
 * Nothing when equal. */
void diff_print(const FileDiff *file, int context, Buf *out);
/* The same, after reading the printed text back and applying it: ERR_INTERNAL, and nothing appended, unless
 * that gives file->hunks.after byte for byte (a bare notice of binary files carries nothing to check). What
 * users see comes from here. */
bool diff_print_verified(const FileDiff *file, int context, Buf *out, Err *err);

/* Lines added and removed by the hunks. */
void diff_count(const Hunks *hunks, size_t *added, size_t *removed);
/* NUL in the first 8000 bytes (git's rule). */
bool text_is_binary(Str text);

#endif
