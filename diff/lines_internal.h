/* lines: texts as tables of lines, and lines as small numbers. Private to the room.
 *
 * A line holds its line end "\n" (the last one may lack it); an empty text has no lines. LineNames gives
 * equal lines equal numbers, so that everything after it compares integers.
 */
#ifndef MUX_DIFF_LINES_INTERNAL_H
#define MUX_DIFF_LINES_INTERNAL_H

#include "base/str.h"

typedef struct LineTable {
    Str text;
    Str *lines;
    size_t count;
} LineTable;

LineTable line_table(Str text, Arena *arena);
/* Byte where line i begins; the end of the text for i == count. */
size_t line_begin(const LineTable *table, size_t i);

typedef struct LineNames {
    struct LineSlot *slots;
    size_t mask;
    uint32_t count; /* distinct lines so far */
} LineNames;

/* Room for at most `most` distinct lines. */
LineNames line_names(size_t most, Arena *arena);
uint32_t line_name(LineNames *names, Str line);

/* Without "\n", "\r\n" or a final lone "\r". */
Str line_body(Str line);
bool line_is_blank(Str line);

#endif
