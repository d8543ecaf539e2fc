/* Where a search/replace edit goes: whole lines, strict to loose, all hits counted, stopping at the first
 * level with one. The door to the other kinds too. */
#include "diff/edit_locate_internal.h"

enum { NUMBER_DIGITS = 6, LEAST_SAYING = 16 };
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

/* ---- levels ---- */

/* The text of an exact match as it is, unless its missing line end would join two lines of the file. */
static Str exact_text(const Locate *l, size_t end, Str new_text, Arena *arena) {
    bool joins = end < l->file.text.len && new_text.len && !str_ends(new_text, S("\n"));
    return joins ? str_printf(arena, "%.*s\n", STR_ARG(new_text)) : new_text;
}

static bool place_match(const Locate *l, const Match *m, const Edit *edit, Arena *arena, Place *out) {
    *out = (Place){.begin = line_begin(&l->file, m->file_first),
                   .end = line_begin(&l->file, m->file_first + m->file_count),
                   .level = m->level};
    out->new_text = exact_text(l, out->end, edit->new_text, arena);
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

static Hits match_level(const Locate *l, const Edit *edit, const EditHelp *help, MatchLevel level, Match *m) {
    *m = match_all(l, level);
    if (level == MATCH_SIMILAR)
        return match_similar(l, m);
    Hits hits = match_lines(l, &l->old, m->first, m->count, level);
    if (hits.count > 1 && !hits.is_exhausted)
        hits_choose(l, edit, help, m->count, &hits);
    m->file_first = hits.count ? hits.lines[0] : 0;
    m->file_count = m->count;
    for (size_t i = 0; i < m->count; i++)
        m->file_line[i] = m->file_first + i;
    return hits;
}

/* The lines lie between the markers of a merge that is not resolved: old and new text would both stand in
 * the file. */
static bool is_in_conflict(const Locate *l, size_t first) {
    for (size_t i = first; i > 0; i--) {
        if (str_starts(l->file.lines[i - 1], S(">>>>>>> ")))
            return false;
        if (str_starts(l->file.lines[i - 1], S("<<<<<<< ")))
            return true;
    }
    return false;
}

/* True with *found false: no level fits. */
static bool try_levels(const Locate *l, const Edit *edit, const EditHelp *help, Arena *arena, Place *out,
                       bool *found, Err *err) {
    *found = false;
    for (MatchLevel level = MATCH_EXACT; level < MATCH_LEVELS; level++) {
        Match m;
        Hits hits = match_level(l, edit, help, level, &m);
        if (hits.is_exhausted)
            return err_set(err, ERR_LIMIT,
                           "the SEARCH text almost fits in too many places; choose other lines");
        if (hits.count > 1)
            return fail_ambiguous(&hits, err);
        if (hits.count == 1 && is_in_conflict(l, m.file_first))
            return err_set(err, ERR_INVALID,
                           "line %zu lies between merge markers; resolve the conflict by giving the whole "
                           "file",
                           m.file_first + 1);
        *found = hits.count == 1 && place_match(l, &m, edit, arena, out);
        if (*found)
            return true;
    }
    return true;
}

bool place_is_applied(const Locate *l, Str new_text, Place *out) {
    LineTable new = line_table(new_text, l->scratch);
    if (!has_letters(new_text))
        return false;
    for (MatchLevel level = MATCH_EXACT; level <= MATCH_INDENT; level++) {
        Hits hits = match_lines(l, &new, 0, new.count, level);
        if (hits.count > 1 || hits.is_exhausted)
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
    size_t blanks = i;
    while (i < line.len && line.ptr[i] == ' ')
        i++;
    char sign = i < line.len ? line.ptr[i] : 0;
    if (i > blanks && sign != '|')
        return false;
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

/* Some lines begin as a quotation with numbers does. */
static bool has_numbers(Str text) {
    long number;
    size_t len;
    for (Str rest = text, line; str_next_line(&rest, &line);)
        if (number_prefix(line, &number, &len))
            return true;
    return false;
}

static bool try_without_numbers(const Locate *l, const Edit *edit, const EditHelp *help, Arena *arena,
                                Place *out, bool *found, Err *err) {
    Edit bare = *edit;
    *found = false;
    if (!strip_numbers(edit->old_text, true, arena, &bare.old_text))
        return true;
    if (!strip_numbers(edit->new_text, false, arena, &bare.new_text))
        bare.new_text = edit->new_text;
    Locate other = {l->file, line_table(bare.old_text, l->scratch), l->scratch};
    if (is_blank_text(bare.old_text) || !try_levels(&other, &bare, help, arena, out, found, err))
        return is_blank_text(bare.old_text);
    return !*found || bare.new_text.ptr != edit->new_text.ptr || !has_numbers(edit->new_text) ||
           err_set(err, ERR_INVALID,
                   "line numbers stand before some lines of the new text; write the lines without numbers");
}

/* ---- a fence around each of the two texts ---- */

static bool strip_fence(Str text, Arena *scratch, Str *out) {
    LineTable table = line_table(text, scratch);
    size_t last = table.count;
    while (last && line_is_blank(table.lines[last - 1]))
        last--;
    if (last < 2 || !str_starts(table.lines[0], S("```")) ||
        !str_eq(str_trim(table.lines[last - 1]), S("```")))
        return false;
    *out = str_slice(text, line_begin(&table, 1), line_begin(&table, last - 1));
    return true;
}

static bool try_without_fence(const Locate *l, const Edit *edit, const EditHelp *help, Arena *arena,
                              Place *out, bool *found, Err *err) {
    Edit bare = *edit;
    *found = false;
    if (!strip_fence(edit->old_text, l->scratch, &bare.old_text) || is_blank_text(bare.old_text))
        return true;
    if (edit->new_text.len && !strip_fence(edit->new_text, l->scratch, &bare.new_text))
        return true;
    Locate other = {l->file, line_table(bare.old_text, l->scratch), l->scratch};
    return try_levels(&other, &bare, help, arena, out, found, err);
}

/* ---- search/replace ---- */

/* Behind the last line, which gets a line end if it has none. */
static bool locate_end(const Locate *l, const Edit *edit, Arena *arena, Place *out) {
    Str text = place_line_ends(&l->file, 0, l->file.count, edit->new_text, arena), file = l->file.text;
    Str line_end = str_contains(text, S("\r\n")) ? S("\r\n") : S("\n");
    bool has_end = str_ends(file, S("\n"));
    *out = (Place){.begin = file.len, .end = file.len};
    out->already_applied = str_ends(file, text) && has_letters(text);
    out->new_text = has_end ? text : str_concat(arena, line_end, text);
    return true;
}

static bool locate_empty(const Locate *l, const Edit *edit, Arena *arena, Place *out, Err *err) {
    Str file = l->file.text;
    if (is_blank_text(file)) {
        *out = (Place){.begin = 0, .end = file.len, .new_text = edit->new_text};
        return true;
    }
    if (edit->is_at_end)
        return locate_end(l, edit, arena, out);
    if (str_eq(file, edit->new_text)) {
        *out = (Place){.begin = 0, .end = file.len, .new_text = file, .already_applied = true};
        return true;
    }
    return err_set(err, ERR_INVALID,
                   "there is no text to find, but the file has text; give the lines to replace, or the line "
                   "to insert next to");
}

/* Whether finding the new text shows that the edit was made: a short line may stand anywhere. What only
 * takes lines away must show what it leaves on both sides. */
static bool says_enough(const Edit *edit, Arena *scratch) {
    LineTable new = line_table(edit->new_text, scratch), old = line_table(edit->old_text, scratch);
    LineNames names = line_names(new.count + old.count, scratch);
    for (size_t i = 0; i < old.count; i++)
        line_name(&names, str_trim(old.lines[i]));
    uint32_t known = names.count;
    size_t signs = 0, lines = 0, added = 0;
    for (size_t i = 0; i < new.count; i++) {
        Str line = str_trim(new.lines[i]);
        lines += line.len > 0;
        signs += line.len;
        added += line_name(&names, line) >= known;
    }
    return lines >= 2 || (added && signs >= LEAST_SAYING);
}

static bool locate_replace(const Locate *l, const Edit *edit, const EditHelp *help, Arena *arena, Place *out,
                           Err *err) {
    bool found;
    if (!check_placeholder(edit->new_text, edit->old_text, err))
        return false;
    if (is_blank_text(edit->old_text))
        return locate_empty(l, edit, arena, out, err);
    if (!try_levels(l, edit, help, arena, out, &found, err))
        return false;
    if (!found && says_enough(edit, l->scratch) && place_is_applied(l, edit->new_text, out))
        return true;
    if (!found && !try_without_numbers(l, edit, help, arena, out, &found, err))
        return false;
    if (!found && !try_without_fence(l, edit, help, arena, out, &found, err))
        return false;
    return found || fail_not_found(l, err);
}

/* ---- the door ---- */

static bool locate_kind(const Locate *l, const Edit *edit, const EditHelp *help, Arena *arena, Place *out,
                        Err *err) {
    switch (edit->kind) {
    case EDIT_REPLACE: return locate_replace(l, edit, help, arena, out, err);
    case EDIT_WHOLE:
        if (!is_blank_text(l->file.text))
            return check_placeholder(edit->new_text, l->file.text, err) &&
                   locate_whole(&l->file, edit, help, arena, out, err);
        *out = (Place){.begin = 0, .end = l->file.text.len, .new_text = edit->new_text};
        return check_placeholder(edit->new_text, S(""), err);
    case EDIT_SYMBOL: return locate_symbol(l, edit, help, arena, out, err);
    case EDIT_LINES: return locate_lines(l, edit, arena, out, err);
    default:
        return err_set(err, ERR_INVALID, "a deletion, a move or a label has no place in the file's text");
    }
}

/* A byte order mark stays where it is, whether the model wrote one or not. */
static void drop_mark(Str *text) {
    if (str_starts(*text, BYTE_ORDER_MARK))
        *text = str_from(*text, BYTE_ORDER_MARK.len);
}

bool edit_locate(Str file, const Edit *edit, const EditHelp *help, Arena *arena, Place *out, Err *err) {
    Edit e = *edit;
    *out = (Place){0};
    size_t skipped = str_starts(file, BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.len : 0;
    if (skipped) {
        drop_mark(&e.old_text);
        drop_mark(&e.new_text);
    }
    Arena scratch = {0};
    Locate locate = {line_table(str_from(file, skipped), &scratch), line_table(e.old_text, &scratch),
                     &scratch};
    bool ok = locate_kind(&locate, &e, help, arena, out, err);
    arena_free(&scratch);
    out->path = edit->path;
    out->text_hash = str_hash(file);
    out->begin += skipped;
    out->end += skipped;
    return ok;
}
