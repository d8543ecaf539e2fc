/* Where a search/replace edit goes: whole lines, strict to loose, all hits counted, stopping at the first
 * level with one. */
#include <stdlib.h>

#include "base/utf8.h"
#include "diff/edit_locate_internal.h"

enum { QUOTED_LINES = 5, QUOTED_BYTES = 300, NUMBER_DIGITS = 6 };
#define BYTE_ORDER_MARK S("\xEF\xBB\xBF")

static bool is_blank_text(Str text) {
    return str_trim(text).len == 0;
}

static bool has_letters(Str text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c >= 0x80)
            return true;
    }
    return false;
}

/* ---- failures ---- */

static bool fail_ambiguous(const Hits *hits, Err *err) {
    Buf lines = {0};
    size_t named = hits->count < HITS_NAMED ? hits->count : HITS_NAMED;
    for (size_t i = 0; i < named; i++)
        buf_printf(&lines, "%s%zu", i ? ", " : "", hits->lines[i] + 1);
    err_set(
        err, ERR_AMBIGUOUS,
        "the SEARCH text fits more than one place, at lines %.*s%s; add lines around it so that it fits one",
        STR_ARG(buf_text(&lines)), hits->count > HITS_NAMED ? " and more" : "");
    buf_free(&lines);
    return false;
}

/* The file line most like the old line that says most; NO_LINE when none is like it. */
static size_t closest_line(const Locate *l, size_t *old_line) {
    size_t longest = 0, closest = NO_LINE;
    double best = 0.4;
    *old_line = 0;
    for (size_t i = 0; i < l->old.count; i++)
        if (str_trim(l->old.lines[i]).len > longest) {
            longest = str_trim(l->old.lines[i]).len;
            *old_line = i;
        }
    size_t budget = 20000;
    for (size_t i = 0; i < l->file.count && budget; i++, budget--) {
        double likeness = line_similarity(l->file.lines[i], l->old.lines[*old_line], best);
        if (likeness > best) {
            best = likeness;
            closest = i;
        }
    }
    return closest;
}

static bool fail_not_found(const Locate *l, Err *err) {
    size_t old_line, at = closest_line(l, &old_line);
    if (at == NO_LINE)
        return err_set(
            err, ERR_NOT_FOUND,
            "the SEARCH text is not in the file, nor anything like it; copy lines of the file exactly");
    size_t above = old_line < QUOTED_LINES / 2 ? old_line : QUOTED_LINES / 2;
    size_t first = at < above ? 0 : at - above, last = first;
    while (last + 1 < l->file.count && last + 1 < first + QUOTED_LINES)
        last++;
    Str quote = str_slice(l->file.text, line_begin(&l->file, first), line_begin(&l->file, last + 1));
    quote = str_slice(quote, 0, QUOTED_BYTES);
    quote.len = utf8_complete(quote);
    return err_set(
        err, ERR_NOT_FOUND,
        "the SEARCH text is not in the file; copy it exactly. The closest lines, from line %zu, are:\n%.*s",
        first + 1, STR_ARG(str_trim_end(quote)));
}

/* ---- levels ---- */

static bool place_match(const Locate *l, const Match *m, const Edit *edit, Arena *arena, Place *out) {
    *out = (Place){.begin = line_begin(&l->file, m->file_first),
                   .end = line_begin(&l->file, m->file_first + m->file_count),
                   .level = m->level,
                   .new_text = edit->new_text};
    return m->level == MATCH_EXACT || place_text(l, m, edit->new_text, arena, &out->new_text);
}

static Match match_all(const Locate *l, MatchLevel level) {
    Match m = {.level = level, .count = l->old.count};
    while (level >= MATCH_BLANK_LINES && m.count && line_is_blank(l->old.lines[m.first]))
        m.first++, m.count--;
    while (level >= MATCH_BLANK_LINES && m.count && line_is_blank(l->old.lines[m.first + m.count - 1]))
        m.count--;
    m.file_line = ARENA_ARRAY(l->scratch, size_t, m.count + 1);
    return m;
}

/* ERR_NONE with *found false: no level fits. */
static bool try_levels(const Locate *l, const Edit *edit, Arena *arena, Place *out, bool *found, Err *err) {
    *found = false;
    for (MatchLevel level = MATCH_EXACT; level < MATCH_LEVELS; level++) {
        Match m = match_all(l, level);
        Hits hits;
        if (level == MATCH_SIMILAR) {
            hits = match_similar(l, &m);
        } else {
            hits = match_lines(l, &l->old, m.first, m.count, level);
            m.file_first = hits.lines[0];
            m.file_count = m.count;
            for (size_t i = 0; i < m.count; i++)
                m.file_line[i] = m.file_first + i;
        }
        if (hits.count > 1)
            return fail_ambiguous(&hits, err);
        *found = hits.count == 1 && place_match(l, &m, edit, arena, out);
        if (*found)
            return true;
    }
    return true;
}

static bool is_applied(const Locate *l, Str new_text, Place *out) {
    LineTable new = line_table(new_text, l->scratch);
    if (!has_letters(new_text))
        return false;
    for (MatchLevel level = MATCH_EXACT; level <= MATCH_INDENT; level++) {
        Hits hits = match_lines(l, &new, 0, new.count, level);
        if (hits.count > 1)
            return false;
        if (hits.count == 0)
            continue;
        size_t begin = line_begin(&l->file, hits.lines[0]),
               end = line_begin(&l->file, hits.lines[0] + new.count);
        *out = (Place){.begin = begin,
                       .end = end,
                       .level = level,
                       .already_applied = true,
                       .new_text = str_slice(l->file.text, begin, end)};
        return true;
    }
    return false;
}

/* ---- line numbers in front of every line ("12| text", "12: text", "12\ttext") ---- */

static bool number_prefix(Str line, long *number, size_t *len) {
    size_t i = 0, digits = 0;
    *number = 0;
    while (i < line.len && line.ptr[i] == ' ')
        i++;
    for (; i < line.len && line.ptr[i] >= '0' && line.ptr[i] <= '9' && digits <= NUMBER_DIGITS; i++, digits++)
        *number = *number * 10 + (line.ptr[i] - '0');
    if (digits == 0 || digits > NUMBER_DIGITS || i == line.len)
        return false;
    char sign = line.ptr[i];
    if (sign != '|' && sign != ':' && sign != '\t')
        return false;
    i++;
    if (sign != '\t' && i < line.len && line.ptr[i] == ' ')
        i++;
    *len = i;
    return true;
}

/* is_rising: the numbers must count up by one, as they do in a quotation of the file. */
static bool strip_numbers(Str text, bool is_rising, Arena *arena, Str *out) {
    LineTable table = line_table(text, arena);
    Buf stripped = {0};
    long number, last = 0;
    size_t len;
    bool ok = true;
    for (size_t i = 0; i < table.count && ok; i++) {
        ok = number_prefix(table.lines[i], &number, &len) && (!is_rising || i == 0 || number == last + 1);
        last = number;
        if (ok)
            buf_str(&stripped, str_from(table.lines[i], len));
    }
    *out = buf_copy(&stripped, arena);
    buf_free(&stripped);
    return ok && !stripped.failed;
}

static bool try_without_numbers(const Locate *l, const Edit *edit, Arena *arena, Place *out, bool *found,
                                Err *err) {
    Edit bare = *edit;
    *found = false;
    if (!strip_numbers(edit->old_text, true, arena, &bare.old_text))
        return true;
    if (!strip_numbers(edit->new_text, false, arena, &bare.new_text))
        bare.new_text = edit->new_text;
    Locate other = {l->file, line_table(bare.old_text, l->scratch), l->scratch};
    return is_blank_text(bare.old_text) || try_levels(&other, &bare, arena, out, found, err);
}

/* ---- the door ---- */

static bool locate_lines(const Locate *l, const Edit *edit, Arena *arena, Place *out, Err *err) {
    bool found;
    if (!try_levels(l, edit, arena, out, &found, err))
        return false;
    if (!found && is_applied(l, edit->new_text, out))
        return true;
    if (!found && !try_without_numbers(l, edit, arena, out, &found, err))
        return false;
    return found || fail_not_found(l, err);
}

static bool locate_empty(Str file, const Edit *edit, Place *out, Err *err) {
    if (!is_blank_text(file))
        return err_set(err, ERR_INVALID,
                       "SEARCH is empty but the file has text; give the lines to replace, or the line to "
                       "insert next to");
    *out = (Place){.begin = 0, .end = file.len, .new_text = edit->new_text};
    return true;
}

bool edit_locate(Str file, const Edit *edit, const EditHelp *help, Arena *arena, Place *out, Err *err) {
    Str placeholder;
    Edit e = *edit;
    (void)help;
    *out = (Place){0};
    size_t skipped = str_starts(file, BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.len : 0;
    if (skipped && str_starts(e.old_text, BYTE_ORDER_MARK)) {
        e.old_text = str_from(e.old_text, BYTE_ORDER_MARK.len);
        if (str_starts(e.new_text, BYTE_ORDER_MARK))
            e.new_text = str_from(e.new_text, BYTE_ORDER_MARK.len);
    }
    if (find_placeholder(e.new_text, e.old_text, &placeholder))
        return err_set(err, ERR_INVALID,
                       "the new text has a placeholder instead of code (\"%.*s\"); write it out in full",
                       STR_ARG(str_slice(str_trim(placeholder), 0, 80)));
    bool ok;
    if (is_blank_text(e.old_text)) {
        ok = locate_empty(str_from(file, skipped), &e, out, err);
    } else {
        Arena scratch = {0};
        Locate locate = {line_table(str_from(file, skipped), &scratch), line_table(e.old_text, &scratch),
                         &scratch};
        ok = locate_lines(&locate, &e, arena, out, err);
        arena_free(&scratch);
    }
    out->begin += skipped;
    out->end += skipped;
    return ok;
}

static int compare_places(const void *a, const void *b) {
    const Place *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static size_t line_number(Str file, size_t at) {
    size_t line = 1;
    for (size_t i = 0; i < at && i < file.len; i++)
        line += file.ptr[i] == '\n';
    return line;
}

bool edit_apply(Str file, const Place *places, size_t count, Arena *arena, Str *out, Err *err) {
    Place *sorted = ARENA_ARRAY(arena, Place, count + 1);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!places[i].already_applied)
            sorted[kept++] = places[i];
    qsort(sorted, kept, sizeof *sorted, compare_places);
    Buf text = {0};
    size_t from = 0;
    for (size_t i = 0; i < kept; i++) {
        const Place *p = &sorted[i];
        bool is_outside = p->begin > p->end || p->end > file.len;
        bool is_same_point = i && p->begin == p[-1].begin && p->end == p[-1].end;
        if (is_outside || p->begin < from || is_same_point) {
            buf_free(&text);
            return is_outside ? err_set(err, ERR_INVALID, "an edit lies outside the file")
                              : err_set(err, ERR_CONFLICT,
                                        "two edits change the same text at line %zu; join them in one",
                                        line_number(file, p->begin));
        }
        buf_str(&text, str_slice(file, from, p->begin));
        buf_str(&text, p->new_text);
        from = p->end;
    }
    buf_str(&text, str_from(file, from));
    bool ok = !text.failed;
    *out = buf_copy(&text, arena);
    buf_free(&text);
    return ok || err_set(err, ERR_NO_MEMORY, "not enough memory for the edited file");
}
