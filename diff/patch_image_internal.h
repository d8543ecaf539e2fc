/* image: a text while hunks are put into it. Private to the patches.
 *
 * The old text is never copied: the image is a list of pieces, stretches of it and what hunks wrote between.
 * A line index with one entry for many lines finds a line; everything else walks. Lines are counted from 0 in
 * the image as it stands.
 */
#ifndef MUX_DIFF_PATCH_IMAGE_INTERNAL_H
#define MUX_DIFF_PATCH_IMAGE_INTERNAL_H

#include "base/str.h"

typedef struct Piece {
    struct Piece *prev, *next;
    Str text;
    size_t lines;      /* 0 only in an empty image */
    size_t first_line; /* of the old text; for what a hunk wrote, the old line that follows it */
    bool is_patched;
} Piece;

typedef struct Image {
    Arena *arena;
    Str old_text;
    size_t *index; /* byte where every INDEX_LINES-th old line begins */
    size_t index_count;
    Piece *first;
    size_t lines;
    Piece *hint; /* where the last search ended, and the number of its first line */
    size_t hint_line;
    uint64_t
        *names; /* of all old lines: hash without blanks, then the line's number; sorted, made when asked */
    size_t name_count;
    size_t walked; /* lines that searches went over */
} Image;

/* The beginning of a line, or the end of the image (then at is the end of the last piece). */
typedef struct Spot {
    Piece *piece;
    size_t piece_line; /* number of the piece's first line */
    size_t line, at;   /* at: byte in the piece */
} Spot;

/* What it allocates lives in the arena; text is borrowed. */
void image_init(Image *image, Str text, Arena *arena);
Spot image_seek(Image *image, size_t line);
/* The line that begins here with its line end; empty at the end of the image. */
Str spot_line(const Spot *spot);
bool spot_next(Spot *spot); /* false at the end */
bool spot_prev(Spot *spot); /* false at the beginning */
/* `count` lines from spot on give way to text, which holds `lines` lines and is borrowed. */
void image_replace(Image *image, Spot spot, size_t count, Str text, size_t lines);
/* Where an old line stands now, *near being a place to begin at; false when it was replaced. */
bool image_find_old(Spot *near, const Image *image, size_t old_line);
/* The old lines that have the hash of `line` (as if blanks were not there): names[*begin..*end). */
void image_names(Image *image, Str line, size_t *begin, size_t *end);
#define NAME_LINE(name) ((size_t)((name)&UINT32_MAX))
Str image_join(const Image *image, Arena *arena);

#endif
