/* Edits that name what they replace: a definition, or lines with their hashes. */
#include "base/utf8.h"
#include "diff/edit_locate_internal.h"

enum { MOST_DEFINITIONS = 16, QUOTED = 80 };

/* ---- symbols ---- */

static size_t line_of(const LineTable *file, size_t at) {
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (line_begin(file, middle + 1) <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool fail_many(const Locate *l, Str name, const TextRange *found, size_t count, Err *err) {
    Buf lines = {0};
    for (size_t i = 0; i < count && i < MOST_DEFINITIONS; i++)
        buf_printf(&lines, "%s%zu", i ? ", " : "", line_of(&l->file, found[i].begin) + 1);
    err_set(err, ERR_AMBIGUOUS,
            "%.*s is defined more than once, at lines %.*s; name what it stands in (Class.%.*s), or use a "
            "SEARCH block",
            STR_ARG(str_slice(name, 0, QUOTED)), STR_ARG(buf_text(&lines)),
            STR_ARG(str_slice(name, 0, QUOTED)));
    buf_free(&lines);
    return false;
}

/* Without the blank lines around it: those between definitions stay the file's. */
static Str without_outer_blanks(Str text, Arena *scratch) {
    LineTable table = line_table(text, scratch);
    size_t first = 0, last = table.count;
    while (first < last && line_is_blank(table.lines[first]))
        first++;
    while (last > first && line_is_blank(table.lines[last - 1]))
        last--;
    return str_slice(text, line_begin(&table, first), line_begin(&table, last));
}

/* The text moved so that its first line is indented like `model`. */
static Str indent_as(Str text, Str model, Arena *scratch, bool *is_moved) {
    Str base = line_indent(text), indent = line_indent(model), line;
    Buf out = {0};
    *is_moved = !str_eq(base, indent);
    if (!*is_moved)
        return text;
    for (Str rest = text; str_next_line(&rest, &line);) {
        bool moves = !line_is_blank(line) && str_starts(line, base);
        if (moves)
            buf_str(&out, indent);
        buf_str(&out, moves ? str_from(line, base.len) : line);
        buf_char(&out, '\n');
    }
    Str moved = buf_copy(&out, scratch);
    buf_free(&out);
    return moved;
}

static bool put_definition(const Locate *l, const Edit *edit, TextRange range, Arena *arena, Place *out) {
    size_t first = line_of(&l->file, range.begin), end = first;
    bool is_moved = false;
    while (end < l->file.count && line_begin(&l->file, end) < range.end)
        end++;
    while (end > first + 1 && line_is_blank(l->file.lines[end - 1]))
        end--;
    Str text = without_outer_blanks(edit->new_text, l->scratch);
    if (text.len)
        text = indent_as(text, l->file.lines[first], l->scratch, &is_moved);
    *out = (Place){.begin = line_begin(&l->file, first), .end = line_begin(&l->file, end)};
    out->level = is_moved ? MATCH_INDENT : MATCH_EXACT;
    out->new_text = place_line_ends(&l->file, first, end - first, text, arena);
    out->already_applied = str_eq(str_slice(l->file.text, out->begin, out->end), out->new_text);
    return true;
}

bool locate_symbol(const Locate *l, const Edit *edit, const EditHelp *help, Arena *arena, Place *out,
                   Err *err) {
    TextRange found[MOST_DEFINITIONS];
    Str name = str_slice(edit->symbol, 0, QUOTED);
    name.len = utf8_complete(name);
    if (!help || !help->find_symbol)
        return err_set(err, ERR_UNSUPPORTED,
                       "definitions cannot be found by name in this kind of file; use a SEARCH block");
    size_t count = help->find_symbol(help->ctx, l->file.text, edit->symbol, found, MOST_DEFINITIONS);
    if (count > 1)
        return fail_many(l, name, found, count, err);
    if (count == 0 && place_is_applied(l, edit->new_text, out))
        return true;
    if (count == 0)
        return err_set(err, ERR_NOT_FOUND,
                       "the file has no definition of %.*s; use a name that it defines, or a SEARCH block",
                       STR_ARG(name));
    if (found[0].begin >= found[0].end || found[0].end > l->file.text.len)
        return err_set(err, ERR_INTERNAL, "the definition of %.*s lies outside the file", STR_ARG(name));
    return check_placeholder(edit->new_text, str_slice(l->file.text, found[0].begin, found[0].end), err) &&
           put_definition(l, edit, found[0], arena, out);
}

/* ---- lines ---- */

static bool has_hash(const LineTable *file, size_t line, uint16_t hash) {
    return line >= 1 && line <= file->count && edit_line_hash(file->lines[line - 1]) == hash;
}

/* The new lines stand where they should go already. */
static bool are_applied(const Locate *l, const Edit *edit, Place *out) {
    LineTable new = line_table(edit->new_text, l->scratch);
    size_t first = edit->first_line - 1;
    if (new.count == 0 || first + new.count > l->file.count)
        return false;
    for (size_t i = 0; i < new.count; i++)
        if (!str_eq(line_body(new.lines[i]), line_body(l->file.lines[first + i])))
            return false;
    *out = (Place){.begin = line_begin(&l->file, first),
                   .end = line_begin(&l->file, first + new.count),
                   .already_applied = true};
    out->new_text = str_slice(l->file.text, out->begin, out->end);
    return true;
}

static bool fail_hash(const Locate *l, const Edit *edit, Err *err) {
    bool is_first = !has_hash(&l->file, edit->first_line, edit->first_hash);
    size_t line = is_first ? edit->first_line : edit->last_line;
    uint16_t hash = is_first ? edit->first_hash : edit->last_hash;
    Str real = str_slice(str_trim(l->file.lines[line - 1]), 0, QUOTED);
    real.len = utf8_complete(real);
    size_t found = 0, places = 0;
    for (size_t i = 1; i <= l->file.count; i++)
        if (has_hash(&l->file, i, hash)) {
            found = i;
            places++;
        }
    Buf elsewhere = {0};
    if (places == 1)
        buf_printf(&elsewhere, "; the line with hash %04x is line %zu", hash, found);
    err_set(err, ERR_INVALID, "line %zu does not have the hash %04x but %04x (\"%.*s\")%.*s", line, hash,
            edit_line_hash(l->file.lines[line - 1]), STR_ARG(real), STR_ARG(buf_text(&elsewhere)));
    buf_free(&elsewhere);
    return false;
}

bool locate_lines(const Locate *l, const Edit *edit, Arena *arena, Place *out, Err *err) {
    size_t first = edit->first_line, last = edit->last_line;
    if (first == 0 || last < first || last > l->file.count)
        return err_set(err, ERR_INVALID, "lines %zu to %zu are not in the file, which has %zu lines", first,
                       last, l->file.count);
    if (!has_hash(&l->file, first, edit->first_hash) || !has_hash(&l->file, last, edit->last_hash))
        return are_applied(l, edit, out) || fail_hash(l, edit, err);
    *out = (Place){.begin = line_begin(&l->file, first - 1), .end = line_begin(&l->file, last)};
    Str old = str_slice(l->file.text, out->begin, out->end);
    if (!check_placeholder(edit->new_text, old, err))
        return false;
    out->new_text = place_line_ends(&l->file, first - 1, last - first + 1, edit->new_text, arena);
    out->already_applied = str_eq(old, out->new_text);
    return true;
}
