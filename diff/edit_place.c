#include "diff/edit_locate_internal.h"

enum { MOST_NEAR = 128 };

typedef struct Writer {
    const Locate *locate;
    const Match *match;
    Str line_end;
    Buf text;
    size_t next_file;     /* the first file line of the place not yet dealt with */
    bool is_after_change; /* since the last line that has a partner in the file */
} Writer;

static Str main_line_end(const LineTable *file, size_t first, size_t count) {
    size_t crlf = 0, lf = 0;
    for (size_t i = first; i < first + count; i++) {
        crlf += str_ends(file->lines[i], S("\r\n"));
        lf += str_ends(file->lines[i], S("\n"));
    }
    if (lf == 0 && file->count)
        crlf = lf = str_ends(file->lines[0], S("\r\n"));
    return 2 * crlf > lf ? S("\r\n") : S("\n");
}

/* The end of a file without a line end there stays without. */
static void end_as_file(const LineTable *file, size_t end, Str line_end, Buf *text) {
    if (end == file->count && end && !str_ends(file->text, S("\n")))
        text->len -= str_ends(buf_text(text), line_end) ? line_end.len : 0;
}

Str place_line_ends(const LineTable *file, size_t first, size_t count, Str text, Arena *arena) {
    Str line_end = main_line_end(file, first, count), line;
    Buf out = {0};
    for (Str rest = text; str_next_line(&rest, &line);) {
        buf_str(&out, line);
        buf_str(&out, line_end);
    }
    end_as_file(file, first + count, line_end, &out);
    Str ended = buf_copy(&out, arena);
    buf_free(&out);
    return ended;
}

/* How the indentation of an old line became that of its file line: what `here` ends in stays, what stands
 * before it changes. */
typedef struct Shift {
    Str removed, added;
} Shift;

static Shift shift_between(Str here, Str there) {
    if (str_ends(there, here))
        return (Shift){S(""), str_slice(there, 0, there.len - here.len)};
    if (str_ends(here, there))
        return (Shift){str_slice(here, 0, here.len - there.len), S("")};
    return (Shift){here, there};
}

/* The shift of the paired old line that a new line goes by: the nearest to old line `near` whose indentation
 * it shares, else the nearest of those that stand deepest at or above its level, else the nearest at all. */
static Shift shift_near(const Writer *w, size_t near, Str indent) {
    const Match *m = w->match;
    Shift best = {S(""), S("")};
    size_t depth = 0;
    bool has_best = false;
    for (size_t step = 0; step < 2 * m->count + 2 && step < MOST_NEAR; step++) {
        size_t away = step / 2, i = step % 2 ? near + away + 1 : near - away;
        if (i >= m->count || m->file_line[i] == NO_LINE || line_is_blank(w->locate->old.lines[m->first + i]))
            continue;
        Str here = line_indent(w->locate->old.lines[m->first + i]);
        Shift shift = shift_between(here, line_indent(w->locate->file.lines[m->file_line[i]]));
        if (str_eq(here, indent))
            return shift;
        size_t this_depth = str_starts(indent, here) ? here.len + 1 : 0;
        if (!str_starts(indent, shift.removed) || (has_best && this_depth <= depth))
            continue;
        best = shift;
        depth = this_depth;
        has_best = true;
    }
    return best;
}

static bool is_only(Str s, char c) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != c)
            return false;
    return s.len > 0;
}

/* Where tabs became spaces or the reverse, what is indented further goes the same way. */
static Str swap_deeper(Writer *w, Shift shift, Str body) {
    bool to_tabs = is_only(shift.removed, ' ') && is_only(shift.added, '\t');
    bool to_spaces = is_only(shift.removed, '\t') && is_only(shift.added, ' ');
    if (!to_tabs && !to_spaces)
        return body;
    size_t from = to_tabs ? shift.removed.len / shift.added.len : 1,
           to = to_tabs ? 1 : shift.added.len / shift.removed.len;
    while (from && body.len >= from && is_only(str_slice(body, 0, from), to_tabs ? ' ' : '\t')) {
        body = str_from(body, from);
        for (size_t i = 0; i < to; i++)
            buf_char(&w->text, to_tabs ? '\t' : ' ');
    }
    return body;
}

static void put_new_line(Writer *w, Str line, size_t near) {
    Str body = line_body(line);
    if (w->match->level >= MATCH_INDENT && !line_is_blank(line)) {
        Str indent = line_indent(body);
        Shift shift = shift_near(w, near, indent);
        if (str_starts(indent, shift.removed)) {
            buf_str(&w->text, shift.added);
            body = swap_deeper(w, shift, str_from(body, shift.removed.len));
        }
    }
    buf_str(&w->text, body);
    buf_str(&w->text, w->line_end);
}

static void put_file_line(Writer *w, size_t i) {
    buf_str(&w->text, w->locate->file.lines[i]);
    if (!str_ends(w->locate->file.lines[i], S("\n")))
        buf_str(&w->text, w->line_end);
}

/* Old line i (of the part) stays or goes. False when file lines without a partner stand where the edit
 * changes something. */
static bool take_old_line(Writer *w, size_t i, bool stays) {
    size_t at = w->match->file_line[i];
    if (at == NO_LINE)
        return true;
    if (at > w->next_file && (w->is_after_change || !stays))
        return false;
    if (!stays && w->match->level == MATCH_SIMILAR &&
        !shows_line(w->locate->old.lines[w->match->first + i], w->locate->file.lines[at]))
        return false;
    for (; w->next_file < at; w->next_file++)
        put_file_line(w, w->next_file);
    if (stays)
        put_file_line(w, at);
    w->next_file = at + 1;
    w->is_after_change = !stays;
    return true;
}

static bool put_all(Writer *w, const Hunks *hunks, const LineTable *new) {
    size_t i = 0;
    for (size_t h = 0; h <= hunks->count; h++) {
        size_t stop = h < hunks->count ? hunks->items[h].old_start : w->match->count;
        for (; i < stop; i++)
            if (!take_old_line(w, i, true))
                return false;
        if (h == hunks->count)
            break;
        const Hunk *hunk = &hunks->items[h];
        for (; i < hunk->old_start + hunk->old_count; i++)
            if (!take_old_line(w, i, false))
                return false;
        w->is_after_change = true;
        size_t near = hunk->old_count ? hunk->old_start : i ? i - 1 : 0;
        for (size_t n = 0; n < hunk->new_count; n++)
            put_new_line(w, new->lines[hunk->new_start + n],
                         near + (n < hunk->old_count ? n
                                 : hunk->old_count   ? hunk->old_count - 1
                                                     : 0));
    }
    return true;
}

/* The new text without the blank lines that were dropped from the old one at either end. */
static Str drop_same_blanks(const Locate *l, const Match *m, Str new_text) {
    LineTable new = line_table(new_text, l->scratch);
    size_t first = 0, last = new.count, tail = l->old.count - m->first - m->count;
    while (first < m->first && first < new.count &&line_is_blank(new.lines[first]))
        first++;
    while (last > first && new.count - last < tail && line_is_blank(new.lines[last - 1]))
        last--;
    return str_slice(new_text, line_begin(&new, first), line_begin(&new, last));
}

bool place_text(const Locate *l, const Match *m, Str new_text, Arena *arena, Str *out) {
    Writer w = {.locate = l,
                .match = m,
                .line_end = main_line_end(&l->file, m->file_first, m->file_count),
                .next_file = m->file_first};
    new_text = drop_same_blanks(l, m, new_text);
    Str old = str_slice(l->old.text, line_begin(&l->old, m->first), line_begin(&l->old, m->first + m->count));
    Hunks hunks;
    LineTable new = line_table(new_text, l->scratch);
    bool ok = diff_lines(S(""), old, new_text, l->scratch, &hunks, NULL) && put_all(&w, &hunks, &new);
    end_as_file(&l->file, m->file_first + m->file_count, w.line_end, &w.text);
    *out = buf_copy(&w.text, arena);
    ok = ok && !w.text.failed;
    buf_free(&w.text);
    return ok;
}
