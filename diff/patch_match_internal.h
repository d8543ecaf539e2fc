/* match: whether and where the old lines of a hunk stand in an image. Private to the patches. */
#ifndef MUX_DIFF_PATCH_MATCH_INTERNAL_H
#define MUX_DIFF_PATCH_MATCH_INTERNAL_H

#include "diff/patch_image_internal.h"
#include "diff/patch_internal.h"

/* Lines first..last-1 of a hunk; the outer context may be cut off. */
typedef struct Window {
    const PatchHunk *hunk;
    size_t first, last;
    size_t old_count, new_count;
    char left_out;      /* kind of the lines that are not looked for: '+', or '-' to look for the result */
    bool lacks_newline; /* some old line has none */
} Window;

Window window_of(const PatchHunk *hunk, size_t lead_dropped, size_t tail_dropped);

/* Whether it must stand at an end of the image. */
typedef struct Fit {
    bool match_beginning, match_end;
} Fit;

typedef struct Match {
    Window window;
    size_t line;
    bool is_fuzzy;             /* not byte for byte, or (told by the caller) with context dropped */
    bool takes_crlf, takes_lf; /* the file's line ends are these, the patch's are not */
    bool skips_mark;           /* a byte order mark stands before the first line */
    bool is_ambiguous;         /* tolerant: it fits elsewhere than expected, and at second_line as well */
    size_t second_line;
    size_t offset_down, offset_up; /* set by the caller */
} Match;

/* Whether the window's old lines stand at one place. */
bool match_window(const Image *image, const Window *window, Spot spot, Fit fit, const PatchOptions *options,
                  Match *out);
/* Looks from line `expected` outwards, the nearest first and forward before backward. */
bool match_find(Image *image, const Window *window, size_t expected, Fit fit, const PatchOptions *options,
                Match *out);
/* The text that takes the place of the window's old lines: context as it stands in the image. False without
 * memory. */
bool match_text(Image *image, const Match *match, const PatchOptions *options, Arena *arena, Str *text,
                size_t *lines);

#endif
