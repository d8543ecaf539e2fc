/* edit_parse: what the two formats share. Private to the room.
 *
 * The reply is kept whole in the arena and read line by line as lines become complete; edits are byte ranges
 * of it until edit_finish, because the text may still move while it grows. */
#ifndef MUX_DIFF_EDIT_PARSE_INTERNAL_H
#define MUX_DIFF_EDIT_PARSE_INTERNAL_H

#include "diff/edit.h"

typedef struct Span {
    size_t begin, end;
} Span;

typedef struct ParsedEdit {
    Str path;
    Span old_text, new_text;
    int label;
} ParsedEdit;

typedef struct ProseLine {
    Span span;
    bool is_fence;
} ProseLine;

typedef enum BlockPart { PART_PROSE, PART_BLOCK } BlockPart;

/* The search/replace block being read. */
typedef struct OpenBlock {
    size_t line, begin;   /* line number of the opening marker from 1; where the text after it begins */
    size_t signs, indent; /* how long the opening marker is, and how far in it stands */
    Span divider, loose;  /* the divider, and one of another length than the opening marker */
    size_t dividers, loose_dividers;
    Str path;
} OpenBlock;

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
    BlockPart part;
    OpenBlock block;
    size_t prose_floor;  /* prose lines before this belong to an earlier block */
    bool is_fence_open;  /* a fence was opened above the last block */
    bool is_after_block; /* only blank lines since the last block */
    Err err;             /* the first thing wrong */
};

/* Reads one line with its line end (the last one of a reply may lack it). */
void edit_block_line(EditParser *parser, Span line);
void edit_block_end(EditParser *parser);
void edit_label_line(EditParser *parser, Span line);
void edit_label_end(EditParser *parser);

void edit_add_prose(EditParser *parser, Span line, bool is_fence);
Str edit_span(const EditParser *parser, Span span);

#endif
