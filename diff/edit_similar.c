/* The loosest level: the old lines aligned with the file's by dynamic programming. Lines pair when they are
 * alike enough; both sides may have lines without a partner at a price; the first and the last old line must
 * have one. */
#include <math.h>
#include <string.h>

#include "diff/edit_locate_internal.h"

#define LEAST_ALIKE 0.8  /* per line */
#define LEAST_PAIRED 0.8 /* of the lines that are not blank */
#define LEAST_LEAD 0.15  /* per line, over the second best place */
#define GAP_PRICE 0.3f
#define BLANK_WORTH 0.1f
enum { LEAST_LINES = 3, LONGEST_LINE = 240, MOST_PAIRS = 4000000, MOST_STEPS = 40000000 };

typedef struct Cell {
    float score;
    int32_t start;  /* file line of the first pair */
    int32_t paired; /* pairs of lines that are not blank */
} Cell;

typedef struct Alike {
    Str *file, *old; /* trimmed and folded */
    uint32_t *file_names, *old_names;
    size_t steps; /* spent in comparing characters */
} Alike;

static size_t shared_signs(Str a, Str b) {
    unsigned short seen[256] = {0};
    size_t shared = 0;
    for (size_t i = 0; i < a.len; i++)
        seen[(unsigned char)a.ptr[i]]++;
    for (size_t i = 0; i < b.len; i++)
        if (seen[(unsigned char)b.ptr[i]]) {
            seen[(unsigned char)b.ptr[i]]--;
            shared++;
        }
    return shared;
}

double line_similarity(Str a, Str b, double least) {
    a = str_slice(str_trim(a), 0, LONGEST_LINE);
    b = str_slice(str_trim(b), 0, LONGEST_LINE);
    double both = (double)(a.len + b.len);
    if (both == 0)
        return 1;
    if (2.0 * (double)(a.len < b.len ? a.len : b.len) < least * both ||
        2.0 * (double)shared_signs(a, b) < least * both)
        return 0;
    unsigned short row[LONGEST_LINE + 1] = {0};
    for (size_t i = 0; i < a.len; i++) {
        unsigned short diagonal = 0;
        for (size_t j = 0; j < b.len; j++) {
            unsigned short above = row[j + 1];
            if (a.ptr[i] == b.ptr[j])
                row[j + 1] = (unsigned short)(diagonal + 1);
            else if (row[j] > above)
                row[j + 1] = row[j];
            diagonal = above;
        }
    }
    return 2.0 * row[b.len] / both;
}

/* ---- words ---- */

static bool is_word_sign(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static Str next_word(Str s, size_t *at) {
    while (*at < s.len && !is_word_sign(s.ptr[*at]))
        (*at)++;
    size_t begin = *at;
    while (*at < s.len && is_word_sign(s.ptr[*at]))
        (*at)++;
    return str_slice(s, begin, *at);
}

/* All words of `few` stand in `many` in this order; *is_all: it has no others. */
static bool has_words(Str many, Str few, bool *is_all) {
    size_t m = 0, f = 0;
    *is_all = true;
    for (;;) {
        Str word = next_word(few, &f), other = next_word(many, &m);
        while (other.len && !str_eq(other, word)) {
            *is_all = false;
            other = next_word(many, &m);
        }
        if (!word.len)
            return true;
        if (!other.len)
            return false;
    }
}

static bool is_comment(Str line) {
    static const char *const OPENINGS[] = {"//", "# ", "/*", "* ", "-- ", "; ", "<!--", "% ", "\"\"\""};
    Str s = str_trim(line);
    for (size_t i = 0; i < sizeof OPENINGS / sizeof *OPENINGS; i++)
        if (str_starts(s, str_of(OPENINGS[i])))
            return true;
    return false;
}

/* The line without the comment behind its code. */
static Str code_part(Str line) {
    static const char *const OPENINGS[] = {" //", "/*", " # ", " -- "};
    Str code = line;
    for (size_t i = 0; i < sizeof OPENINGS / sizeof *OPENINGS; i++) {
        size_t at = str_find(code, str_of(OPENINGS[i]), 0);
        code = at == STR_NONE || at == 0 ? code : str_slice(code, 0, at);
    }
    return code;
}

/* Two lines of code that differ in a word are two lines, however alike: "test_add_small" is not
 * "test_add_tiny". One may have words that the other left out. */
static bool may_be_same(Str a, Str b) {
    bool is_all;
    if (is_comment(a) && is_comment(b))
        return true;
    a = code_part(a);
    b = code_part(b);
    return has_words(a, b, &is_all) || has_words(b, a, &is_all);
}

bool shows_line(Str old, Str file) {
    bool is_all;
    old = str_trim(old);
    file = str_trim(file);
    if (str_eq(old, file) || (is_comment(old) && is_comment(file)))
        return true;
    bool is_cut = str_starts(file, old) && file.len > old.len;
    return !is_cut && has_words(file, old, &is_all) && is_all;
}

/* What pairing the two lines is worth; 0 when they are not alike. */
static float pair_worth(Alike *alike, size_t old, size_t file) {
    Str a = alike->old[old], b = alike->file[file];
    if (alike->old_names[old] == alike->file_names[file])
        return a.len ? 1 : BLANK_WORTH;
    if (!a.len || !b.len || (a.len > LONGEST_LINE || b.len > LONGEST_LINE))
        return 0;
    alike->steps += a.len + b.len;
    if (2 * (double)(a.len < b.len ? a.len : b.len) >= LEAST_ALIKE * (double)(a.len + b.len))
        alike->steps += a.len * b.len / 8;
    double likeness = alike->steps > MOST_STEPS ? 0 : line_similarity(a, b, LEAST_ALIKE);
    if (likeness >= LEAST_ALIKE && !may_be_same(a, b))
        return 0;
    return likeness >= LEAST_ALIKE ? (float)likeness : 0;
}

static Alike alike_prepare(const Locate *l) {
    Alike alike = {.file = ARENA_ARRAY(l->scratch, Str, l->file.count + 1),
                   .old = ARENA_ARRAY(l->scratch, Str, l->old.count + 1),
                   .file_names = ARENA_ARRAY(l->scratch, uint32_t, l->file.count + 1),
                   .old_names = ARENA_ARRAY(l->scratch, uint32_t, l->old.count + 1)};
    LineNames names = line_names(l->file.count + l->old.count, l->scratch);
    for (size_t i = 0; i < l->file.count; i++) {
        alike.file[i] = str_trim(fold_punctuation(l->file.lines[i], l->scratch));
        alike.file_names[i] = line_name(&names, alike.file[i]);
    }
    for (size_t i = 0; i < l->old.count; i++) {
        alike.old[i] = str_trim(fold_punctuation(l->old.lines[i], l->scratch));
        alike.old_names[i] = line_name(&names, alike.old[i]);
    }
    return alike;
}

static const Cell NOWHERE = {-INFINITY, -1, 0};

/* Fills ends[j]: the best alignment whose last pair is (last old line, file line j - 1). */
static void align(const Locate *l, const Match *m, Alike *alike, Cell *ends) {
    size_t width = l->file.count + 1;
    Cell *above = ARENA_ARRAY(l->scratch, Cell, width), *row = ARENA_ARRAY(l->scratch, Cell, width);
    for (size_t j = 0; j < width; j++)
        above[j] = (Cell){0, (int32_t)j, 0};
    for (size_t i = 0; i < m->count; i++) {
        bool is_last = i + 1 == m->count;
        row[0] = NOWHERE;
        for (size_t j = 1; j < width; j++) {
            float worth = above[j - 1].score == -INFINITY ? 0 : pair_worth(alike, m->first + i, j - 1);
            Cell best = NOWHERE;
            if (worth > 0)
                best = (Cell){above[j - 1].score + worth, above[j - 1].start,
                              above[j - 1].paired + (alike->old[m->first + i].len > 0)};
            if (is_last)
                ends[j] = best;
            if (i && above[j].score - GAP_PRICE > best.score)
                best = (Cell){above[j].score - GAP_PRICE, above[j].start, above[j].paired};
            if (row[j - 1].score - GAP_PRICE > best.score)
                best = (Cell){row[j - 1].score - GAP_PRICE, row[j - 1].start, row[j - 1].paired};
            row[j] = best;
        }
        Cell *swap = above;
        above = row;
        row = swap;
    }
}

/* The same alignment inside the one place found, with the partner of each old line. */
static void pair_lines(const Locate *l, Match *m, Alike *alike) {
    size_t width = m->file_count + 1;
    float *scores = ARENA_ARRAY(l->scratch, float, (m->count + 1) * width);
    for (size_t i = 0; i <= m->count; i++)
        for (size_t j = 0; j < width; j++) {
            float best = i == 0 && j == 0 ? 0 : -INFINITY;
            float worth = i && j ? pair_worth(alike, m->first + i - 1, m->file_first + j - 1) : 0;
            if (worth > 0)
                best = scores[(i - 1) * width + j - 1] + worth;
            if (i && scores[(i - 1) * width + j] - GAP_PRICE > best)
                best = scores[(i - 1) * width + j] - GAP_PRICE;
            if (j && scores[i * width + j - 1] - GAP_PRICE > best)
                best = scores[i * width + j - 1] - GAP_PRICE;
            scores[i * width + j] = best;
        }
    for (size_t i = m->count, j = m->file_count; i > 0;) {
        float here = scores[i * width + j];
        if (j && here == scores[i * width + j - 1] - GAP_PRICE) {
            j--;
        } else if (here == scores[(i - 1) * width + j] - GAP_PRICE) {
            m->file_line[--i] = NO_LINE;
        } else {
            m->file_line[--i] = m->file_first + --j;
        }
    }
}

static bool overlaps(const Cell *ends, size_t a, size_t b) {
    return ends[a].start < (int32_t)b && ends[b].start < (int32_t)a;
}

/* The old text shows a line of code that is not in the file: it is about another place, or another state of
 * the file. */
static bool has_invented(const Locate *l, const Match *m) {
    for (size_t i = 0; i < m->count; i++) {
        Str line = l->old.lines[m->first + i];
        if (m->file_line[i] == NO_LINE && !line_is_blank(line) && !is_comment(line))
            return true;
    }
    return false;
}

static Hits align_all(const Locate *l, Match *m) {
    Hits hits = {0};
    size_t solid = 0;
    for (size_t i = m->first; i < m->first + m->count; i++)
        solid += !line_is_blank(l->old.lines[i]);
    if (solid < LEAST_LINES)
        return hits;
    Alike alike = alike_prepare(l);
    Cell *ends = ARENA_ARRAY(l->scratch, Cell, l->file.count + 1);
    align(l, m, &alike, ends);
    if (alike.steps > MOST_STEPS)
        return hits;
    size_t best = 0, second = 0;
    ends[0] = NOWHERE;
    for (size_t j = 1; j <= l->file.count; j++) {
        if (ends[j].paired < LEAST_PAIRED * (double)solid)
            ends[j] = NOWHERE;
        if (ends[j].score > ends[best].score)
            best = j;
    }
    for (size_t j = 1; j <= l->file.count; j++)
        if (ends[j].score > ends[second].score && !overlaps(ends, j, best))
            second = j;
    if (!best)
        return hits;
    LIST_PUSH(l->scratch, hits.lines, hits.count, hits.capacity, (size_t)ends[best].start);
    if (second && ends[best].score - ends[second].score < LEAST_LEAD * (double)solid)
        LIST_PUSH(l->scratch, hits.lines, hits.count, hits.capacity, (size_t)ends[second].start);
    m->file_first = (size_t)ends[best].start;
    m->file_count = best - m->file_first;
    alike.steps = 0;
    pair_lines(l, m, &alike);
    return has_invented(l, m) ? (Hits){0} : hits;
}

/* In a file too long to align as a whole: only the part that shares most lines with the old text, and only
 * where no other part shares half as many. */
static Hits align_window(const Locate *l, Match *m) {
    Window window = shared_window(l);
    Hits hits = {0};
    if (window.line == NO_LINE || 2 * window.others >= window.votes ||
        m->count > MOST_PAIRS / (4 * m->count + 1))
        return hits;
    size_t first = window.line > m->count ? window.line - m->count : 0, left = l->file.count - first;
    Locate part = *l;
    part.file.lines += first;
    part.file.count = left < 4 * m->count ? left : 4 * m->count;
    hits = align_all(&part, m);
    for (size_t i = 0; i < hits.count; i++)
        hits.lines[i] += first;
    m->file_first += first;
    for (size_t i = 0; hits.count && i < m->count; i++)
        m->file_line[i] += m->file_line[i] == NO_LINE ? 0 : first;
    return hits;
}

Hits match_similar(const Locate *l, Match *m) {
    if (l->file.count == 0 || m->count == 0)
        return (Hits){0};
    return m->count > MOST_PAIRS / l->file.count ? align_window(l, m) : align_all(l, m);
}
