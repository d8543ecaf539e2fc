/* Hunks that could stand at several places: an insertion between two functions is the whole function, not the
 * end of one and the start of the next. */
#define _GNU_SOURCE
#include <string.h>

#include "diff/hunks_internal.h"

enum { MOST_PLACES = 100, MOST_INDENT = 200, MOST_BLANKS = 20, TAB = 8 };

/* ---- moving by one line ---- */

static bool is_insertion(const Hunk *h) {
    return h->old_count == 0;
}

static bool is_pure(const Hunk *h) {
    return h->old_count == 0 || h->new_count == 0;
}

static bool is_same_kind(const Hunk *a, const Hunk *b) {
    return is_pure(a) && is_pure(b) && is_insertion(a) == is_insertion(b);
}

/* The text that holds the lines of a pure hunk, and where they are. */
typedef struct Run {
    Str text;
    size_t begin, end;
} Run;

static Run run_of(const Hunks *hunks, const Hunk *h) {
    return is_insertion(h) ? (Run){hunks->after, h->new_begin, h->new_end}
                           : (Run){hunks->before, h->old_begin, h->old_end};
}

/* Where the line that ends at `end` begins. */
static size_t line_start(Str text, size_t end) {
    const char *before = end > 1 ? memrchr(text.ptr, '\n', end - 1) : NULL;
    return before ? (size_t)(before - text.ptr) + 1 : 0;
}

static size_t line_stop(Str text, size_t begin) {
    const char *end = begin < text.len ? memchr(text.ptr + begin, '\n', text.len - begin) : NULL;
    return end ? (size_t)(end - text.ptr) + 1 : text.len;
}

static void move_hunk(Hunk *h, size_t bytes, bool is_down) {
    size_t lines = is_down ? 1 : (size_t)-1;
    bytes = is_down ? bytes : (size_t)0 - bytes;
    h->old_start += lines, h->new_start += lines;
    h->old_begin += bytes, h->old_end += bytes;
    h->new_begin += bytes, h->new_end += bytes;
}

/* Whether the hunk touches the one at its side: then they are one. */
static bool touches(const Hunk *above, const Hunk *below) {
    return above->old_end == below->old_begin && above->new_end == below->new_begin;
}

static bool move_up(const Hunks *hunks, Hunk *h, const Hunk *above) {
    Run run = run_of(hunks, h);
    if (run.begin == 0 || (above && touches(above, h)))
        return false;
    size_t before = line_start(run.text, run.begin), last = line_start(run.text, run.end);
    if (!str_eq(str_slice(run.text, before, run.begin), str_slice(run.text, last, run.end)))
        return false;
    move_hunk(h, run.begin - before, false);
    return true;
}

static bool move_down(const Hunks *hunks, Hunk *h, const Hunk *below) {
    Run run = run_of(hunks, h);
    if (run.end == run.text.len || (below && touches(h, below)))
        return false;
    size_t first = line_stop(run.text, run.begin), after = line_stop(run.text, run.end);
    if (!str_eq(str_slice(run.text, run.begin, first), str_slice(run.text, run.end, after)))
        return false;
    move_hunk(h, after - run.end, true);
    return true;
}

static void join_hunks(Hunk *above, const Hunk *below) {
    above->old_count += below->old_count, above->new_count += below->new_count;
    above->old_end = below->old_end, above->new_end = below->new_end;
}

/* ---- where blocks begin and end ---- */

/* What a reader sees around the gap before a line. */
typedef struct Gap {
    bool is_at_end;
    int indent;       /* of the line after it, blank lines skipped */
    int above_indent; /* of the line before it, blank lines skipped; -1: none */
    int below_indent; /* of the line after the next one, blank lines skipped; -1: none */
    int blanks_above, blanks_below;
} Gap;

/* Columns of blanks before the first other character; -1 for a blank line. */
static int line_indent(Str text, size_t begin, size_t end) {
    int indent = 0;
    for (size_t i = begin; i < end; i++) {
        char c = text.ptr[i];
        if (c == '\t')
            indent += TAB - indent % TAB;
        else if (c == ' ')
            indent++;
        else if (c != '\r' && c != '\n' && c != '\f' && c != '\v')
            return indent;
        if (indent >= MOST_INDENT)
            return MOST_INDENT;
    }
    return -1;
}

static Gap look_around(Str text, size_t at) {
    Gap gap = {.is_at_end = at == text.len, .indent = -1, .above_indent = -1, .below_indent = -1};
    for (size_t end = at; end > 0 && gap.above_indent < 0 && gap.blanks_above < MOST_BLANKS;) {
        size_t begin = line_start(text, end);
        gap.above_indent = line_indent(text, begin, end);
        gap.blanks_above += gap.above_indent < 0;
        end = begin;
    }
    size_t begin = at;
    for (int blanks = 0; begin < text.len && gap.below_indent < 0 && blanks < MOST_BLANKS;) {
        size_t end = line_stop(text, begin);
        int indent = line_indent(text, begin, end);
        blanks += indent < 0;
        if (gap.indent >= 0)
            gap.below_indent = indent;
        else if (indent >= 0)
            gap.indent = indent;
        else
            gap.blanks_below++;
        begin = end;
    }
    return gap;
}

/* How much a block border is missed here. The weights were fitted to where people's edits of real projects
 * begin and end. */
static const int slide_weights[16] = {60, 1, 21, -30, 6, -4, 10, 24, 17, 23, 17};
static int gap_cost(const Gap *gap) {
    const int *w = slide_weights;
    int blanks = gap->blanks_above + gap->blanks_below;
    int cost = w[0] * gap->indent + w[3] * blanks + w[4] * gap->blanks_below;
    if (gap->is_at_end)
        cost += w[2];
    if (gap->above_indent < 0)
        cost += w[1];
    else if (gap->indent < 0 || gap->indent == gap->above_indent)
        cost += 0;
    else if (gap->indent > gap->above_indent)
        cost += blanks ? w[6] : w[5];
    else if (gap->below_indent > gap->indent)
        cost += blanks ? w[8] : w[7];
    else
        cost += blanks ? w[10] : w[9];
    return cost;
}

static int place_cost(const Hunks *hunks, const Hunk *h) {
    Run run = run_of(hunks, h);
    Gap before = look_around(run.text, run.begin), after = look_around(run.text, run.end);
    return gap_cost(&before) + gap_cost(&after);
}

/* From its lowest place, `room` lines above which is its highest one; the lowest of the best. */
static void choose_place(const Hunks *hunks, Hunk *h, size_t room, const Hunk *above) {
    Hunk best = *h;
    int least = place_cost(hunks, h);
    for (size_t i = 0; i < room && i < MOST_PLACES; i++) {
        move_up(hunks, h, above);
        int cost = place_cost(hunks, h);
        if (cost < least) {
            least = cost;
            best = *h;
        }
    }
    *h = best;
}

/* ---- all hunks of a file ---- */

/* Runs of one kind that can meet are one run. Each gap is walked once, so this is linear. */
static void join_downwards(Hunks *hunks) {
    size_t kept = 0;
    for (size_t i = 0; i < hunks->count; i++) {
        Hunk h = hunks->items[i];
        for (; i + 1 < hunks->count && is_same_kind(&h, &hunks->items[i + 1]); i++) {
            const Hunk *next = &hunks->items[i + 1];
            while (move_down(hunks, &h, next))
                ;
            if (!touches(&h, next))
                break;
            join_hunks(&h, next);
        }
        hunks->items[kept++] = h;
    }
    hunks->count = kept;
}

static void join_upwards(Hunks *hunks) {
    size_t kept = hunks->count;
    for (size_t i = hunks->count; i-- > 0;) {
        Hunk h = hunks->items[i];
        for (; i > 0 && is_same_kind(&hunks->items[i - 1], &h); i--) {
            Hunk *previous = &hunks->items[i - 1];
            while (move_up(hunks, &h, previous))
                ;
            if (!touches(previous, &h))
                break;
            join_hunks(previous, &h);
            h = *previous;
        }
        hunks->items[--kept] = h;
    }
    hunks->count -= kept;
    memmove(hunks->items, hunks->items + kept, hunks->count * sizeof *hunks->items);
}

/* Where a pure hunk goes; true when it now touches the one below, which belongs to it then. */
static bool place_hunk(const Hunks *hunks, Hunk *h, const Hunk *above, const Hunk *below) {
    while (move_up(hunks, h, above))
        ;
    size_t room = 0;
    Hunk highest = *h;
    while (move_down(hunks, h, below))
        room++;
    if (below && touches(h, below))
        return true;
    if (above && touches(above, &highest))
        *h = highest;
    else if (room)
        choose_place(hunks, h, room, above);
    return false;
}

void slide_hunks(Hunks *hunks) {
    join_downwards(hunks);
    join_upwards(hunks);
    size_t kept = 0;
    for (size_t i = 0; i < hunks->count; i++) {
        Hunk h = hunks->items[i];
        Hunk *above = kept ? &hunks->items[kept - 1] : NULL;
        const Hunk *below = i + 1 < hunks->count ? &hunks->items[i + 1] : NULL;
        if (is_pure(&h) && place_hunk(hunks, &h, above, below)) {
            join_hunks(&h, below);
            i++;
        }
        if (above && touches(above, &h))
            join_hunks(above, &h);
        else
            hunks->items[kept++] = h;
    }
    hunks->count = kept;
}
