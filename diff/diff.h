/* diff: pure text in, text out. No files, no threads, no globals; every function is thread-safe.
 *
 * Three stories:
 *  1. compare:  diff_lines -> Hunks -> diff_print (unified text that `git apply` takes) / diff_keep (rebuild
 * from chosen hunks)
 *  2. patches:  patch_parse (unified diff text) -> patch_apply_file on each section's old text (see
 * diff/patch.h)
 *  3. model edits: edit_begin / edit_feed* / edit_finish -> edit_locate -> edit_apply on the text the model
 * saw Results live in the Arena given; Str fields may point into the inputs, which must outlive them.
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
    uint64_t id; /* stable: hash of path (0 if unset), old range and both texts */
} Hunk;

typedef struct Hunks {
    Str before, after; /* borrowed */
    Hunk *items;
    size_t count;
} Hunks;

/* Shortest line script (Myers 1986 with trimming and a cost cap); lines are compared with their line ends, so
 * CRLF and a missing final newline are differences. Fails only with ERR_LIMIT (texts over 2^31 bytes).
 * apply(diff(a,b), a) == b always. */
bool diff_lines(Str before, Str after, Arena *arena, Hunks *out, Err *err);

/* before with only the hunks whose keep[i] is true applied. */
bool diff_keep(const Hunks *hunks, const bool *keep, Arena *arena, Str *out, Err *err);

typedef struct FileDiff {
    Str old_path, new_path; /* relative, forward slashes; equal unless renamed */
    bool is_new, is_deleted;
    unsigned old_mode, new_mode; /* 0100644 style; 0 = 0100644 */
    bool is_binary;              /* prints git's notice instead of hunks */
    Hunks hunks;
} FileDiff;

/* Appends one file's section with git headers ("diff --git a/.. b/..", new/deleted file mode, ---/+++, @@),
 * context lines around each hunk (normally 3), "\ No newline at end of file", and C-quoted names where git
 * quotes. Nothing when equal. */
void diff_print(const FileDiff *file, int context, Buf *out);
/* Lines added and removed by the hunks. */
void diff_count(const Hunks *hunks, size_t *added, size_t *removed);
/* NUL in the first 8000 bytes (git's rule). */
bool text_is_binary(Str text);

/* ---- model edits ---- */

typedef enum EditFormat {
    EDIT_BLOCKS, /* path line, <<<<<<< SEARCH / ======= / >>>>>>> REPLACE; fences tolerated */
    EDIT_LABELS, /* <|k|>new line, over one excerpt (mux-tiny) */
} EditFormat;

/* One edit in the internal form. For EDIT_BLOCKS: old_text is replaced by new_text; empty old_text creates
 * the file. For EDIT_LABELS: the line labelled first_line (label number) becomes new_text (may be empty: the
 * line goes). */
typedef struct Edit {
    Str path;     /* as the model wrote it, trimmed; empty for EDIT_LABELS */
    Str old_text; /* whole lines with their "\n" */
    Str new_text;
    int label; /* EDIT_LABELS */
} Edit;

typedef struct EditList {
    Edit *items;
    size_t count;
    Str prose; /* the reply without its edit blocks */
} EditList;

/* Incremental: any split of the stream gives the same result. The parser lives in the caller's storage. */
typedef struct EditParser {
    EditFormat format;
    Arena *arena;
    struct EditParserState *state;
} EditParser;

void edit_begin(EditParser *parser, EditFormat format, Arena *arena);
void edit_feed(EditParser *parser, Str piece);
/* How many edits are complete so far (for progress while streaming). */
size_t edit_ready(const EditParser *parser);
/* False with one sentence (quotable to the model) for a malformed reply: an open block, a marker out of
 * place, no path. */
bool edit_finish(EditParser *parser, EditList *out, Err *err);

typedef enum MatchLevel {
    MATCH_EXACT,
    MATCH_LINE_ENDINGS,
    MATCH_TRAILING_BLANKS,
    MATCH_INDENT,
    MATCH_BLANK_LINES,
    MATCH_PUNCTUATION,
    MATCH_SIMILAR,
    MATCH_LEVELS
} MatchLevel;

/* Where an edit goes, and the bytes that go there (re-indented, line ends as the file's). */
typedef struct Place {
    size_t begin, end; /* byte range of the file */
    Str new_text;
    MatchLevel level;
    bool already_applied; /* the new text is there and the old is not: nothing to do */
} Place;

/* Strict to loose, stops at the first level with a hit; two hits are ERR_AMBIGUOUS naming the lines; none is
 * ERR_NOT_FOUND quoting the closest real lines; a placeholder ("rest of the code") in new_text is
 * ERR_INVALID. */
bool edit_locate(Str file, const Edit *edit, Arena *arena, Place *out, Err *err);

/* The file with all places replaced; ERR_CONFLICT when two overlap. */
bool edit_apply(Str file, const Place *places, size_t count, Arena *arena, Str *out, Err *err);

/* EDIT_LABELS: the excerpt's new lines. excerpt = lines joined by "\n" without a final "\n"; labels count
 * from first_label. The result has the same form; *deleted_all says that no line is left. Refuses labels
 * outside, falling or repeated. */
bool edit_apply_labels(Str excerpt, int first_label, const EditList *edits, Arena *arena, Str *out,
                       bool *deleted_all, Err *err);

#endif
