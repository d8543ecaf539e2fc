/* edit_locate: the parts of finding the place of an edit. Private to the room.
 *
 * edit_locate.c  the door, and search/replace     edit_match.c    the levels up to punctuation
 * edit_hints.c   choosing among several hits      edit_similar.c  the loosest level
 * edit_place.c   the bytes that go to a match     edit_whole.c    a file given whole
 * edit_named.c   by symbol, by line numbers       edit_fail.c     sentences, closest lines
 * edit_apply.c   all places of a file at once     edit_guard.c    placeholders
 * edit_window.c  the part of a file most alike
 */
#ifndef MUX_DIFF_EDIT_LOCATE_INTERNAL_H
#define MUX_DIFF_EDIT_LOCATE_INTERNAL_H

#include "diff/edit.h"
#include "diff/lines_internal.h"

#define NO_LINE SIZE_MAX

/* Where a run of lines was found, rising: all hits. */
typedef struct Hits {
    size_t *lines;
    size_t count, capacity;
    bool is_exhausted; /* given up: the comparison would take too long */
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

/* Every pair of equal lines votes for the window of the file in which both would stand. */
typedef struct Window {
    size_t line;          /* the first line of the window with most votes; NO_LINE: none has more than one */
    size_t votes, others; /* most votes; most votes of a window that does not overlap it */
} Window;
Window shared_window(const Locate *locate);

/* Leaves the one hit that the edit's hints select among several runs of `count` lines, or all of them. */
void hits_choose(const Locate *locate, const Edit *edit, const EditHelp *help, size_t count, Hits *hits);

/* 2 * (common subsequence) / (both lengths) of two lines without their outer blanks; 0 when surely below
 * `least`. */
double line_similarity(Str a, Str b, double least);

/* Whether an old line that is similar to a file line shows all of its words, so that replacing it loses
 * nothing unseen. */
bool shows_line(Str old, Str file);

/* The bytes that go to the place: unchanged lines keep the file's bytes, changed ones get its indentation and
 * line ends. False when lines of the file that the edit does not show would be lost. */
bool place_text(const Locate *locate, const Match *match, Str new_text, Arena *arena, Str *out);
/* Text with the line ends that most of these lines of the file have; without its last one where the place
 * reaches the end of a file that has none. */
Str place_line_ends(const LineTable *file, size_t first, size_t count, Str text, Arena *arena);

/* The new text of `edit` is in the file once, and says something: *out is where. */
bool place_is_applied(const Locate *locate, Str new_text, Place *out);

/* ---- the other kinds ---- */

bool locate_whole(const LineTable *file, const Edit *edit, const EditHelp *help, Arena *arena, Place *out,
                  Err *err);
bool locate_symbol(const Locate *locate, const Edit *edit, const EditHelp *help, Arena *arena, Place *out,
                   Err *err);
bool locate_lines(const Locate *locate, const Edit *edit, Arena *arena, Place *out, Err *err);

/* ---- sentences: all return false ---- */

bool fail_ambiguous(const Hits *hits, Err *err);
bool fail_not_found(const Locate *locate, Err *err);

/* Typographic quotes, dashes and blanks as ASCII. */
Str fold_punctuation(Str line, Arena *arena);
Str line_indent(Str line);
bool contains_nocase(Str s, Str needle);

/* False with a sentence when text holds a line that stands for text left out ("... rest of the code") and is
 * not in old_text. */
bool check_placeholder(Str text, Str old_text, Err *err);

#endif
