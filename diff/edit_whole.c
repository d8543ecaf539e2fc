/* A file given whole becomes the smallest range that differs. Lines that stay keep the file's bytes; the
 * others get its line ends, and its end stays with or without a line end. */
#include "diff/edit_locate_internal.h"

enum { SMALL_FILE = 10 };

static bool same_line(Str a, Str b) {
    return str_eq(line_body(a), line_body(b)) && str_ends(a, S("\n")) == str_ends(b, S("\n"));
}

static bool has_mixed_ends(const LineTable *file) {
    size_t crlf = 0, lf = 0;
    for (size_t i = 0; i < file->count; i++) {
        bool is_crlf = str_ends(file->lines[i], S("\r\n"));
        crlf += is_crlf;
        lf += !is_crlf && str_ends(file->lines[i], S("\n"));
    }
    return crlf && lf;
}

static Str plain_lines(const Str *lines, size_t count, Arena *scratch) {
    Buf text = {0};
    for (size_t i = 0; i < count; i++) {
        buf_str(&text, line_body(lines[i]));
        buf_char(&text, '\n');
    }
    Str plain = buf_copy(&text, scratch);
    buf_free(&text);
    return plain;
}

/* New lines, but the file's bytes where a line stays: matters where line ends are mixed. */
static bool keep_lines(const Str *old, size_t old_count, const Str *new, size_t new_count, Arena *scratch,
                       Buf *out, Err *err) {
    Hunks hunks;
    if (!diff_lines(S(""), plain_lines(old, old_count, scratch), plain_lines(new, new_count, scratch),
                    scratch, &hunks, err))
        return false;
    size_t i = 0, n = 0;
    for (size_t h = 0; h <= hunks.count; h++) {
        size_t stop = h < hunks.count ? hunks.items[h].old_start : old_count;
        for (; i < stop; i++, n++)
            buf_str(out, str_ends(old[i], S("\n")) == str_ends(new[n], S("\n")) ? old[i] : new[n]);
        if (h == hunks.count)
            break;
        i += hunks.items[h].old_count;
        for (size_t end = n + hunks.items[h].new_count; n < end; n++)
            buf_str(out, new[n]);
    }
    return true;
}

/* Half of the lines must remain; of a file of a few lines a third, of one of three lines any. */
static bool check_shrink(const LineTable *file, const LineTable *new, const EditHelp *help, Err *err) {
    size_t most = file->count < SMALL_FILE ? 3 : 2;
    if ((help && help->may_shrink) || (file->count <= 3 && new->count) || most * new->count >= file->count)
        return true;
    return err_set(err, ERR_INVALID,
                   "the whole file given has %zu lines, but the file has %zu: more than %s would be lost; "
                   "give all of it, or replace only the part that changes",
                   new->count, file->count, most == 3 ? "two thirds" : "half");
}

/* Which lines count as lost when they go: those that say something, but not the sides of a merge that is
 * not resolved, of which one must go. */
static bool *counted_lines(const LineTable *file, size_t *total, Arena *scratch) {
    bool *counts = ARENA_ARRAY(scratch, bool, file->count + 1), is_conflict = false;
    *total = 0;
    for (size_t i = 0; i < file->count; i++) {
        is_conflict = is_conflict || str_starts(file->lines[i], S("<<<<<<< "));
        counts[i] = !is_conflict && !line_is_blank(file->lines[i]);
        *total += counts[i];
        is_conflict = is_conflict && !str_starts(file->lines[i], S(">>>>>>> "));
    }
    return counts;
}

/* Lines that go without others in their place. */
static size_t lost_lines(const bool *counts, const Hunk *hunk) {
    size_t lost = 0;
    for (size_t i = hunk->old_start; i < hunk->old_start + hunk->old_count; i++)
        lost += counts[i];
    return hunk->old_count < 4 * hunk->new_count || lost < hunk->new_count ? 0 : lost - hunk->new_count;
}

/* A part of the file is not the file: where much of it is just not there, the reply was cut, or shows only
 * what it is about. A file of which no line stays is a new one. */
static bool check_part(const LineTable *file, Str new_text, const EditHelp *help, Arena *scratch, Err *err) {
    Hunks hunks;
    if (help && (help->may_shrink || help->may_remove))
        return true;
    if (!diff_lines(S(""), plain_lines(file->lines, file->count, scratch), new_text, scratch, &hunks, err))
        return false;
    size_t total, lost = 0, most = 0, changed = 0;
    const bool *counts = counted_lines(file, &total, scratch);
    const Hunk *worst = NULL;
    for (size_t i = 0; i < hunks.count; i++) {
        size_t here = lost_lines(counts, &hunks.items[i]);
        worst = here > most ? &hunks.items[i] : worst;
        most = here > most ? here : most;
        lost += here;
        changed += hunks.items[i].old_count;
    }
    if (lost < 2 || 4 * lost <= total || changed == file->count)
        return true;
    return err_set(
        err, ERR_INVALID,
        "the text given as the whole file lacks %zu of its lines, such as those from line %zu; give "
        "all of it, or replace only the part that changes",
        lost, worst->old_start + 1);
}

bool locate_whole(const LineTable *file, const Edit *edit, const EditHelp *help, Arena *arena, Place *out,
                  Err *err) {
    Arena scratch = {0};
    Str text = place_line_ends(file, 0, file->count, edit->new_text, &scratch);
    LineTable new = line_table(text, &scratch);
    size_t first = 0, old_end = file->count, new_end = new.count;
    while (first < old_end && first < new_end && same_line(file->lines[first], new.lines[first]))
        first++;
    while (old_end > first && new_end > first && same_line(file->lines[old_end - 1], new.lines[new_end - 1]))
        old_end--, new_end--;
    Buf middle = {0};
    bool ok = check_shrink(file, &new, help, err) &&
              check_part(file, plain_lines(new.lines, new.count, &scratch), help, &scratch, err);
    if (ok && has_mixed_ends(file))
        ok = keep_lines(file->lines + first, old_end - first, new.lines + first, new_end - first, &scratch,
                        &middle, err);
    else if (ok)
        buf_str(&middle, str_slice(text, line_begin(&new, first), line_begin(&new, new_end)));
    *out = (Place){.begin = line_begin(file, first),
                   .end = line_begin(file, old_end),
                   .new_text = buf_copy(&middle, arena),
                   .already_applied = ok && old_end == first && new_end == first};
    buf_free(&middle);
    arena_free(&scratch);
    return ok;
}
