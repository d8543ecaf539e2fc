/* section: a displayed hunk. Neighbouring changes with the common lines around them, as a list of lines, as
 * text for an editor, and the way back from what the user made of that text.
 *
 * Calling sequence: diff_lines -> diff_section_end -> section_read; section_print and, for a text edited by
 * hand, section_edit, whose Hunks replace the ones it was given. Pure and thread-safe; results live in the
 * Arena given and borrow from the texts of the Hunks.
 */
#ifndef MUX_DIFF_SECTION_H
#define MUX_DIFF_SECTION_H

#include "diff/diff.h"

typedef struct SectionLine {
    char kind;   /* ' ', '-': lines of hunks->before; '+': of hunks->after */
    Str text;    /* with its line end */
    size_t hunk; /* which change a '-' or '+' belongs to */
} SectionLine;

typedef struct Section {
    size_t first, last;                                /* hunks->items[first..last] */
    size_t old_start, old_count, new_start, new_count; /* lines from 0, context included */
    size_t begin, end;                                 /* the same lines as bytes of hunks->before */
    SectionLine *lines;
    size_t line_count;
} Section;

/* Changes first..last (in range, first <= last) with up to `context` common lines at each end, fewer where
 * another change or an end of the file is near. */
void section_read(const Hunks *hunks, size_t first, size_t last, size_t context, Arena *arena, Section *out);
/* "@@ -1,7 +1,8 @@" */
void section_print_head(const Section *section, Buf *out);
/* The head and the lines, as a unified diff shows them. */
void section_print(const Section *section, Buf *out);

/* *out: the hunks with those of the section replaced by the ones in `edited`, *count of them (0: nothing is
 * left to change). `edited` is section_print's text after an editor: lines that begin with '#' are passed
 * over, an empty line is an empty line of context, the numbers after @@ do not matter. Its old side (context
 * and removed lines) must be the section's byte for byte: ERR_CONFLICT names the first line that is not.
 * ERR_INVALID: a line that begins with none of " -+#\", a line without line end before the last. out->before
 * is hunks->before; out->after follows the edit and differs from hunks->after in the section's lines only.
 * New hunks have id 0. */
bool section_edit(const Hunks *hunks, const Section *section, Str edited, Arena *arena, Hunks *out,
                  size_t *count, Err *err);

#endif
