/* edit_parse: what the forms share. Private to the room.
 *
 * The reply is kept whole in the arena and read line by line as lines become complete; edits are byte ranges
 * of it until edit_finish, because the text may still move while it grows. Forms that need to look ahead
 * (diffs, envelopes, whole files) only note where they begin and are read when their last line is there; so
 * the way the stream is split can never matter.
 *
 * edit_any.c      prose and fences, and which form begins where
 * edit_blocks.c   search/replace blocks; SYMBOL and LINES blocks (with edit_special.c)
 * edit_unified.c  unified diffs       edit_envelope.c  *** Begin Patch       edit_hunk.c  what these share
 * edit_labels.c   labelled lines      edit_words.c     markers, fences, paths
 */
#ifndef MUX_DIFF_EDIT_PARSE_INTERNAL_H
#define MUX_DIFF_EDIT_PARSE_INTERNAL_H

#include "diff/edit.h"

typedef struct Span {
    size_t begin, end;
} Span;

/* Texts are spans of the reply unless has_texts: then they are in `edit`, composed line by line. */
typedef struct ParsedEdit {
    Edit edit;
    Span old_text, new_text;
    bool has_texts;
} ParsedEdit;

typedef struct ProseLine {
    Span span;
    bool is_fence;
} ProseLine;

typedef enum Part { PART_PROSE, PART_BLOCK, PART_FENCE, PART_DIFF, PART_ENVELOPE } Part;

/* The block between <<<<<<< and >>>>>>> being read. */
typedef struct OpenBlock {
    EditKind kind;
    size_t line, begin;   /* line number of the opening marker from 1; where the text after it begins */
    size_t signs, indent; /* how long the opening marker is, and how far in it stands */
    char closing;         /* the sign of the closing marker */
    bool is_merge;        /* opened like a merge conflict: any word may stand behind the closing marker */
    Span divider, loose;  /* the divider, and one of another length than the opening marker */
    size_t dividers, loose_dividers;
    Edit edit; /* path, symbol, lines and hint so far */
} OpenBlock;

/* The fence, bare diff or envelope being read: its text is read when it is complete. */
typedef struct OpenForm {
    size_t line, begin;  /* line number of its first line from 1; where its text begins */
    size_t prose;        /* prose lines before this do not belong to it */
    Str path;            /* named above or on the fence; empty: it has none */
    Str info;            /* what stands behind the fence */
    char sign;           /* of the fence */
    size_t signs, depth; /* its length; fences open inside (Markdown) */
    size_t lines;        /* that are not blank, so far */
    bool is_in_fence;    /* an envelope inside a fence */
    bool is_new;         /* a file that is not there yet, named in a sentence */
} OpenForm;

struct EditParserState {
    char *text;
    size_t len, capacity;
    size_t line_begin; /* the first byte not yet read as part of a line */
    size_t scanned;    /* no line end before this */
    size_t line_number;
    ParsedEdit *edits;
    size_t edit_count, edit_capacity, ready;
    ProseLine *prose;
    size_t prose_count, prose_capacity;
    Part part;
    OpenBlock block;
    OpenForm form;
    size_t prose_floor;  /* prose lines before this belong to an earlier block */
    bool is_fence_open;  /* a fence was opened above the last block */
    bool is_after_block; /* only blank lines since the last block */
    bool is_after_file;  /* the line before closed a whole file or a diff */
    bool has_started, has_thought;
    Str thinking_end;   /* what ends the thinking that is read; empty: none is */
    Str doubtful;       /* the path of a file whose fence may have been closed by a fence of its content */
    bool is_doubt_sure; /* another bare fence settles it */
    Err err;            /* the first thing wrong */
};

/* Each reads one line with its line end (the last one of a reply may lack it). */
void edit_any_line(EditParser *parser, Span line);
void edit_block_line(EditParser *parser, Span line);
void edit_label_line(EditParser *parser, Span line);
void edit_any_end(EditParser *parser);
/* "</think>" that nothing opened: what was read so far was thinking and is forgotten. */
void edit_drop_thinking(EditParser *parser, Span *line);
void edit_block_end(EditParser *parser);
void edit_label_end(EditParser *parser);

/* Opens the block whose opening marker this is; false when it is none. */
bool edit_open_block(EditParser *parser, Span line);
bool edit_closes_nothing(EditParser *parser, Str line);
/* Whether a fence line closes the fence around the last blocks. */
bool edit_take_closing_fence(EditParser *parser, Str line);
/* The path that the last prose line gives, and whether it says nothing else; *at is that line. */
Str edit_path_above(const EditParser *parser, bool *is_alone, size_t *at);

/* The complete text of a diff or an envelope, whose first line has this number. path: for hunks without a
 * file; what is prose in a bare diff goes to the prose. */
void edit_read_diff(EditParser *parser, Span text, Str path, size_t line, bool is_bare);
void edit_read_envelope(EditParser *parser, Span text, size_t line);
bool edit_is_diff_fence(Str info);
bool is_envelope_opening(Str line);
bool is_envelope_closing(Str line);

void edit_add_prose(EditParser *parser, Span line, bool is_fence);
/* Notes the edit and that it is complete. */
void edit_push(EditParser *parser, ParsedEdit edit);
Str edit_span(const EditParser *parser, Span span);
/* The first error stays: "block N (line L of the reply): what". */
void edit_wrong(EditParser *parser, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- hunks (edit_hunk.c) ---- */

typedef struct HunkText {
    Str path, scope;
    size_t line_hint; /* 0 unknown */
    bool is_at_end;
    Buf old_text, new_text;
    size_t changed, trailing; /* lines added or removed; blank context lines held back at the end */
    char last;                /* the sign of the last line; 0: the hunk has none */
} HunkText;

/* Takes a line of the body: its sign decides; one without a sign is context whose blank was lost. */
void hunk_line(HunkText *hunk, Str line);
/* "\ No newline at end of file" after the last line. */
void hunk_no_newline(HunkText *hunk);
/* "@@ -1,2 +3,4 @@ scope", "@@ scope" or "@@": sets the hint, adds to the scope (one line each). */
void hunk_head(EditParser *parser, HunkText *hunk, Str line);
/* Pushes the edit unless nothing changes; empties the hunk. True when there was a change. */
bool hunk_end(EditParser *parser, HunkText *hunk);

void hunk_drop(HunkText *hunk);
void hunk_free(HunkText *hunk);

/* ---- words (edit_words.c) ---- */

typedef struct Marker {
    size_t indent, signs;
    Str word; /* what follows the signs, trimmed */
} Marker;

bool marker_read(Str line, char sign, Marker *out);
/* The line is a fence; *info is what follows its signs. */
bool fence_read(Str line, Str *info);
bool looks_like_path(Str s);
/* A path, or a name that only files have ("Makefile"); no call, address or "a.py:12". */
bool is_file_name(Str s);
/* "a.py:12-20" is a.py. */
Str path_without_lines(Str path);
bool is_markdown(Str path);
Str strip_ends(Str s, const char *front, const char *back);
/* The path that a line above a block gives; empty for none. *is_alone: the line says nothing else. */
Str path_in_line(Str line, bool *is_alone);
/* "python src/a.py", "python:src/a.py" or "src/a.py" after the fence. */
Str path_in_fence(Str info);
/* Decimal digits at *at, at most six. */
bool number_read(Str s, size_t *at, size_t *out);
bool contains_nocase(Str s, Str needle);

/* ---- special blocks (edit_special.c) ---- */

/* What stands behind <<<<<<< for a block by symbol or by lines ("SYMBOL name", "LINES 1:ab12-3:cd34"); false
 * when neither. *is_bad: the word is there, but not what must follow it. */
bool special_read(Str word, Edit *edit, bool *is_bad);

#endif
