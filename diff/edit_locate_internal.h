/* edit_locate: the parts of finding the place of a search/replace edit. Private to the room. */
#ifndef MUX_DIFF_EDIT_LOCATE_INTERNAL_H
#define MUX_DIFF_EDIT_LOCATE_INTERNAL_H

#include "diff/edit.h"
#include "diff/lines_internal.h"

enum { HITS_NAMED = 6 };
#define NO_LINE SIZE_MAX

/* Where a run of lines was found: all hits are counted, the first few are named. */
typedef struct Hits {
    size_t count; /* stops at HITS_NAMED + 1 */
    size_t lines[HITS_NAMED];
} Hits;

/* Old lines, first and last blank ones perhaps dropped, on file lines. */
typedef struct Match {
    MatchLevel level;
    size_t first, count; /* the part of the old lines that is looked for */
    size_t file_first, file_count;
    size_t *file_line; /* per old line of the part: its file line, or NO_LINE */
} Match;

typedef struct Locate {
    LineTable file, old;
    Arena *scratch;
} Locate;

/* All places of `lines` (the part first..first+count of the old lines) at one of the levels up to
 * MATCH_PUNCTUATION. */
Hits match_lines(const Locate *locate, const LineTable *lines, size_t first, size_t count, MatchLevel level);

/* MATCH_SIMILAR: 0, 1 (filled in) or 2 places that cannot be told apart. */
Hits match_similar(const Locate *locate, Match *match);

/* 2 * (common subsequence) / (both lengths) of two lines without their outer blanks; 0 when surely below
 * `least`. */
double line_similarity(Str a, Str b, double least);

/* The bytes that go to the place: unchanged lines keep the file's bytes, changed ones get its indentation and
 * line ends. False when lines of the file that the edit does not show would be lost. */
bool place_text(const Locate *locate, const Match *match, Str new_text, Arena *arena, Str *out);

/* Typographic quotes, dashes and blanks as ASCII. */
Str fold_punctuation(Str line, Arena *arena);

/* Whether text holds a line that stands for text left out ("... rest of the code") and is not in old_text. */
bool find_placeholder(Str text, Str old_text, Str *line);

#endif
