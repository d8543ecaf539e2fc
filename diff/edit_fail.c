/* What the model is told when an edit has no place, or more than one. */
#include "base/utf8.h"
#include "diff/edit_locate_internal.h"

enum { HITS_NAMED = 6, QUOTED_LINES = 8, QUOTED_BYTES = 330, MOST_ALIKE = 20000 };

bool fail_ambiguous(const Hits *hits, Err *err) {
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
    size_t budget = MOST_ALIKE;
    for (size_t i = 0; i < l->file.count && budget; i++, budget--) {
        double likeness = line_similarity(l->file.lines[i], l->old.lines[*old_line], best);
        if (likeness > best) {
            best = likeness;
            closest = i;
        }
    }
    return closest;
}

/* The first line of the window that differs from the old text, so that the quote shows it. */
static size_t first_difference(const Locate *l, size_t window) {
    for (size_t i = 0; i < l->old.count && window + i < l->file.count; i++)
        if (!str_eq(str_trim(l->file.lines[window + i]), str_trim(l->old.lines[i])))
            return window + i;
    return window;
}

bool fail_not_found(const Locate *l, Err *err) {
    Window window = shared_window(l);
    size_t old_line, at = window.line, above = 0;
    if (at != NO_LINE) {
        at = first_difference(l, window.line);
        above = at - window.line < QUOTED_LINES / 2 ? at - window.line : QUOTED_LINES / 2;
    } else {
        at = closest_line(l, &old_line);
        above = old_line < QUOTED_LINES / 4 ? old_line : QUOTED_LINES / 4;
    }
    if (at == NO_LINE)
        return err_set(
            err, ERR_NOT_FOUND,
            "the SEARCH text is not in the file, nor anything like it; copy lines of the file exactly");
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
