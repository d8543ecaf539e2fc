/* edit: the edits of a model's reply.
 *
 * Calling sequence: edit_begin / edit_feed* / edit_finish -> for each Edit edit_locate on the text the model
 * saw -> edit_apply with all places of one file. Pure text, thread-safe, results in the Arena given; Str
 * fields may point into the inputs.
 *
 * Whatever form the model used, an edit ends as a Place: path, hash of the text it was located in, byte
 * range, new bytes. Nothing after edit_locate looks at the model's words again.
 */
#ifndef MUX_DIFF_EDIT_H
#define MUX_DIFF_EDIT_H

#include "diff/diff.h"

typedef enum EditFormat {
    EDIT_BLOCKS, /* path line, <<<<<<< SEARCH / ======= / >>>>>>> REPLACE only; fences tolerated */
    EDIT_LABELS, /* <|k|>new line, over one excerpt (mux-tiny) */
    EDIT_ANY,    /* every form below, recognised by its opening line; they may be mixed in one reply:
                  * search/replace blocks (with the variants that models write),
                  * a whole file in a fence with its path alone above it or on it (a fence without is
                  * something shown, not an edit),
                  * unified diffs, with or without line numbers, fenced or bare,
                  * *** Begin Patch / Update, Add, Delete File / Move to / *** End Patch,
                  * <<<<<<< SYMBOL name / >>>>>>> END: the definition of that name,
                  * <<<<<<< LINES 12:a1b2-15:c3d4 / >>>>>>> END: lines with their hashes (edit_line_hash) */
} EditFormat;

typedef enum EditKind {
    EDIT_REPLACE, /* old_text becomes new_text; empty old_text creates the file */
    EDIT_WHOLE,   /* new_text is the whole file, there or not */
    EDIT_DELETE,  /* the file goes */
    EDIT_MOVE,    /* the file becomes new_path; edits of its text stand beside it under the old path */
    EDIT_SYMBOL,  /* the definition of `symbol` becomes new_text (empty: it goes) */
    EDIT_LINES,   /* first_line..last_line, if they have these hashes, become new_text */
    EDIT_LABEL,   /* the line labelled `label` becomes new_text (may be empty: the line goes) */
} EditKind;

typedef struct Edit {
    EditKind kind;
    Str path;       /* as the model wrote it, trimmed; empty for EDIT_LABEL */
    Str other_path; /* the path was read out of a sentence and may be none: then the edit before is of this
                     * one. Empty: the path is sure */
    Str new_path;   /* EDIT_MOVE */
    Str symbol; /* EDIT_SYMBOL: a name ("f", "A.f"); EDIT_REPLACE: what the text behind @@ says it stands in,
                 * outermost first, a line each ("class A:\ndef f(self):"), or empty */
    Str old_text; /* whole lines with their "\n" */
    Str new_text;
    size_t line_hint; /* EDIT_REPLACE: where the model believes old_text begins, from 1; 0 unknown. Only ever
                       * chooses among several places, never replaces matching */
    bool is_at_end;   /* EDIT_REPLACE: old_text ends at the end of the file; empty old_text is put there */
    size_t first_line, last_line; /* EDIT_LINES: from 1 */
    uint16_t first_hash, last_hash;
    int label;
} Edit;

typedef struct EditList {
    Edit *items;
    size_t count;
    Str prose; /* the reply without its edits */
} EditList;

/* Incremental: any split of the stream gives the same result. The parser lives in the caller's storage. */
typedef struct EditParser {
    EditFormat format;
    Arena *arena;
    struct EditParserState *state;
} EditParser;

void edit_begin(EditParser *parser, EditFormat format, Arena *arena);
void edit_feed(EditParser *parser, Str piece);
/* The lines so far that are prose, for showing them while streaming. A line may still be taken back when an
 * edit begins below it and it turns out to carry its path or fence: at most the last three that are prose
 * (more where a fence shows itself to be a diff only by its text; all where a </think> that nothing opened
 * says that it was thinking). Borrowed until the next feed. */
size_t edit_prose_count(const EditParser *parser);
Str edit_prose_line(const EditParser *parser, size_t i);
/* Whether the line that comes next stands outside of every edit and fence. */
bool edit_is_outside(const EditParser *parser);
/* How many edits are complete so far (for progress while streaming). */
size_t edit_ready(const EditParser *parser);
/* False with one sentence (quotable to the model) for a malformed reply: an open block, a marker out of
 * place, no path. */
bool edit_finish(EditParser *parser, EditList *out, Err *err);

/* What ends the thinking that a reply's first line opens ("<think>", or a channel before the final one);
 * empty: it opens none. *begin is where the thinking's text begins in the line. */
Str edit_thinking_end(Str line, size_t *begin);

/* Whether this is surely meant as a file's path by its ending or name ("a.py", "Makefile"); "os.path" is not.
 * Asked where a file would be made that nobody has seen. */
bool edit_names_file(Str path);

/* The hash that stands behind a line's number in EDIT_LINES: 16 bits of FNV-1a over the line without its
 * outer blanks and line end. */
uint16_t edit_line_hash(Str line);

/* What the caller knows of the file beyond its text. All may be zero. */
typedef struct EditHelp {
    void *ctx;
    /* The whole lines of every definition of `name` ("f", "Class.method", "Class::method"): fills at most
     * `most` and answers how many there are. NULL: no symbols are known for this file. */
    size_t (*find_symbol)(void *ctx, Str text, Str name, TextRange *out, size_t most);
    bool may_shrink; /* a whole file may lose more than half of its lines */
    bool may_remove; /* a whole file may lose more than a quarter of its lines with nothing instead */
} EditHelp;

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

/* The internal form: where an edit goes, and the bytes that go there (re-indented, line ends as the file's).
 */
typedef struct Place {
    Str path;           /* as in the edit */
    uint64_t text_hash; /* str_hash of the text it was located in */
    size_t begin, end;  /* byte range of that text */
    Str new_text;
    MatchLevel level;
    bool already_applied; /* the new text is there and the old is not: nothing to do */
} Place;

/* Strict to loose, stops at the first level with a hit. All hits are counted: two are ERR_AMBIGUOUS naming
 * the lines, unless the edit's hints leave exactly one: is_at_end the one at the end of the file; symbol the
 * one inside the definition it names (found by help, or as a line with what is indented below it); line_hint
 * the one at that very line with no other within 3 lines, or the one within 3 lines with no other within 20.
 * Hints never make a place where the text does not match, and a symbol without any of the hits makes the line
 * hint worthless. None is ERR_NOT_FOUND quoting the closest real lines. EDIT_WHOLE becomes the smallest range
 * of lines that differs; EDIT_SYMBOL's text is indented like the definition it replaces, blank lines behind
 * that stay. Text between unresolved merge markers is ERR_INVALID. ERR_INVALID: a placeholder ("rest of the
 * code") in new_text, a whole file that shrinks by more than half (two thirds below 10 lines) or that lacks
 * more than a quarter of its lines with nothing instead, line numbers or hashes that are not the
 * file's (the real ones are told). help may be NULL. EDIT_DELETE and EDIT_MOVE have no place in the text:
 * ERR_INVALID. */
bool edit_locate(Str file, const Edit *edit, const EditHelp *help, Arena *arena, Place *out, Err *err);

/* The file with all places replaced; ERR_CONFLICT when two overlap or one was located in another text (by
 * text_hash; the paths are the caller's to sort, since two spellings may name one file). */
bool edit_apply(Str file, const Place *places, size_t count, Arena *arena, Str *out, Err *err);

/* EDIT_LABELS: the excerpt's new lines. excerpt = lines joined by "\n" without a final "\n"; labels count
 * from first_label. The result has the same form; *deleted_all says that no line is left. Refuses labels
 * outside, falling or repeated. */
bool edit_apply_labels(Str excerpt, int first_label, const EditList *edits, Arena *arena, Str *out,
                       bool *deleted_all, Err *err);

#endif
