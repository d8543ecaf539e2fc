/* Unified diffs from models: numbers are hints, headers may be missing, context may have lost its blank. */
#include "diff/edit_parse_internal.h"
#include "diff/lines_internal.h"

typedef struct Diff {
    EditParser *parser;
    LineTable lines;
    size_t first_line;  /* of the reply, from 1 */
    size_t text_begin;  /* of the diff, in the reply */
    bool is_bare;       /* not in a fence: prose may follow */
    Str path;           /* for hunks without a file */
    bool is_in_section; /* headers were read and not yet ended */
    Str old_name, new_name, rename_from, rename_to;
    bool is_new, is_deleted, has_hunk;
    size_t changes; /* hunks of the section that change something */
    size_t section; /* its first line */
    HunkText hunk;
} Diff;

static void diff_wrong(const Diff *d, size_t at, const char *what) {
    edit_wrong(d->parser, d->first_line + at, "%s", what);
}

/* ---- names ---- */

/* "a/src/x.c<tab>date" without what is not the name. */
static Str name_read(const Diff *d, Str s, size_t at) {
    size_t tab = str_find_char(s, '\t', 0);
    s = str_trim(tab == STR_NONE ? s : str_slice(s, 0, tab));
    if (s.len > 1 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"') {
        s = str_slice(s, 1, s.len - 1);
        if (str_find_char(s, '\\', 0) != STR_NONE)
            diff_wrong(d, at, "a file name with escapes cannot be read; write it plainly");
    }
    return s;
}

static bool is_null(Str name) {
    return str_eq(name, S("/dev/null")) || str_eq(name, S("dev/null"));
}

static void strip_letters(Str *old_name, Str *new_name) {
    bool old_has = str_starts(*old_name, S("a/")) || is_null(*old_name) || !old_name->len;
    bool new_has = str_starts(*new_name, S("b/")) || is_null(*new_name) || !new_name->len;
    if (!old_has || !new_has)
        return;
    if (str_starts(*old_name, S("a/")))
        *old_name = str_from(*old_name, 2);
    if (str_starts(*new_name, S("b/")))
        *new_name = str_from(*new_name, 2);
}

/* "a/x b/x": the only way to cut it in two equal names. */
static Str git_name(Str s) {
    s = str_trim(s);
    if (s.len < 3 || s.len % 2 == 0)
        return S("");
    Str old_name = str_slice(s, 0, s.len / 2), new_name = str_from(s, s.len / 2 + 1);
    strip_letters(&old_name, &new_name);
    return str_eq(old_name, new_name) && s.ptr[s.len / 2] == ' ' ? old_name : S("");
}

/* ---- sections ---- */

static void section_begin(Diff *d, size_t at) {
    d->is_in_section = true;
    d->section = at;
    d->old_name = d->new_name = d->rename_from = d->rename_to = S("");
    d->is_new = d->is_deleted = d->has_hunk = false;
    d->changes = 0;
    d->hunk.path = S("");
}

static void push_file_edit(Diff *d, EditKind kind, Str path, Str new_path) {
    Arena *arena = d->parser->arena;
    ParsedEdit edit = {.has_texts = true,
                       .edit = {.kind = kind,
                                .path = str_copy(arena, path),
                                .new_path = str_copy(arena, new_path),
                                .old_text = S(""),
                                .new_text = S("")}};
    edit_push(d->parser, edit);
}

/* Which file the section is about, before its first hunk; also makes the edits of the file itself. */
static void section_resolve(Diff *d) {
    if (d->hunk.path.len)
        return;
    Str old_name = d->old_name, new_name = d->new_name;
    strip_letters(&old_name, &new_name);
    bool from_nothing = is_null(old_name), to_nothing = is_null(new_name);
    d->is_new |= from_nothing;
    d->is_deleted |= to_nothing;
    Str path = to_nothing || !new_name.len ? old_name : new_name;
    if (d->rename_from.len || d->rename_to.len) {
        if (!d->rename_from.len || !d->rename_to.len)
            diff_wrong(d, d->section, "a rename needs both \"rename from\" and \"rename to\"");
        path = d->rename_from;
        push_file_edit(d, EDIT_MOVE, path, d->rename_to);
    } else if (old_name.len && new_name.len && !from_nothing && !to_nothing && !str_eq(old_name, new_name)) {
        diff_wrong(d, d->section,
                   "the --- and +++ lines name two files; use the same path in both, or say \"rename from\" "
                   "and \"rename to\"");
    }
    if (!path.len || is_null(path))
        path = d->path;
    if (!path.len)
        diff_wrong(d, d->section, "no path: begin the diff with --- and +++ lines that name the file");
    d->hunk.path = str_copy(d->parser->arena, path);
    if (d->is_deleted)
        push_file_edit(d, EDIT_DELETE, path, S(""));
}

static void section_end(Diff *d) {
    if (!d->is_in_section)
        return;
    section_resolve(d);
    if (d->is_new && !d->has_hunk)
        push_file_edit(d, EDIT_REPLACE, d->hunk.path, S(""));
    else if (!d->changes && !d->is_deleted && !d->rename_to.len)
        diff_wrong(d, d->section,
                   d->has_hunk ? "the diff changes nothing: no line begins with + or -"
                               : "a file is named, but no hunk follows that says what changes");
    d->is_in_section = false;
}

/* ---- lines ---- */

static Str line_at(const Diff *d, size_t i) {
    return i < d->lines.count ? d->lines.lines[i] : S("");
}

static bool is_hunk_head(Str line) {
    return str_starts(line, S("@@"));
}

static bool is_file_head(const Diff *d, size_t i) {
    return str_starts(line_at(d, i), S("--- ")) && str_starts(line_at(d, i + 1), S("+++ "));
}

static bool is_boundary(const Diff *d, size_t i) {
    return i >= d->lines.count || is_hunk_head(line_at(d, i)) || is_file_head(d, i) ||
           str_starts(line_at(d, i), S("diff --git "));
}

/* A line that only a hunk holds. After a gap in a bare diff, "- text" may be a list and "---" a rule. */
static bool is_signed(const Diff *d, Str line, bool is_after_gap) {
    char sign = line_body(line).len ? line.ptr[0] : 0;
    if (sign == '+' || sign == '\\')
        return true;
    if (sign == ' ')
        return !is_after_gap || !d->is_bare;
    if (sign != '-')
        return false;
    bool is_item = line.len > 2 && line.ptr[1] == ' ' && line.ptr[2] != ' ';
    bool is_rule = strip_ends(str_trim(line), "-", "").len == 0;
    return !d->is_bare || !is_after_gap || (!is_item && !is_rule);
}

/* Where the hunk's lines end that begin at i: in a fence at the next header, in bare text behind the last
 * line that belongs to a hunk. */
static size_t body_end(const Diff *d, size_t i) {
    size_t end = i;
    bool is_after_gap = false;
    for (; !is_boundary(d, i); i++) {
        Str line = line_at(d, i);
        is_after_gap = is_after_gap || line_is_blank(line);
        if (is_signed(d, line, is_after_gap)) {
            end = i + 1;
            is_after_gap = false;
        } else if (!d->is_bare && !line_is_blank(line)) {
            end = i + 1;
        }
    }
    return end;
}

static size_t read_hunk(Diff *d, size_t i) {
    if (!d->is_in_section)
        section_begin(d, i);
    section_resolve(d);
    d->has_hunk = true;
    if (is_hunk_head(line_at(d, i)))
        hunk_head(d->parser, &d->hunk, line_at(d, i++));
    size_t end = body_end(d, i);
    for (; i < end; i++)
        if (str_starts(line_at(d, i), S("\\")))
            hunk_no_newline(&d->hunk);
        else
            hunk_line(&d->hunk, line_at(d, i));
    if (!d->hunk.last && is_hunk_head(line_at(d, i)))
        return i; /* "@@ class A" above "@@ def f": both say where */
    if (d->is_deleted)
        hunk_drop(&d->hunk);
    else
        d->changes += hunk_end(d->parser, &d->hunk);
    return i;
}

/* Header lines between "diff --git" and the first hunk; false for a line that is none. */
static bool read_header(Diff *d, size_t i) {
    static const char *const IGNORED[] = {"index ", "similarity index ", "dissimilarity index "};
    static const char *const REFUSED[] = {"copy from ", "copy to ",      "old mode ",
                                          "new mode ",  "Binary files ", "GIT binary patch"};
    Str line = line_at(d, i);
    for (size_t k = 0; k < sizeof IGNORED / sizeof *IGNORED; k++)
        if (str_starts(line, str_of(IGNORED[k])))
            return true;
    for (size_t k = 0; k < sizeof REFUSED / sizeof *REFUSED; k++)
        if (str_starts(line, str_of(REFUSED[k]))) {
            diff_wrong(d, i, "copies, modes and binary files cannot be changed by a diff in a reply");
            return true;
        }
    if (str_starts(line, S("rename from ")))
        d->rename_from = name_read(d, str_from(line, 12), i);
    else if (str_starts(line, S("rename to ")))
        d->rename_to = name_read(d, str_from(line, 10), i);
    else if (str_starts(line, S("new file mode ")))
        d->is_new = true;
    else if (str_starts(line, S("deleted file mode ")))
        d->is_deleted = true;
    else
        return false;
    return true;
}

/* A line that belongs to no hunk: prose behind a bare diff, anything else is a mistake that would lose text.
 */
static void stray_line(Diff *d, size_t i) {
    Str line = line_at(d, i);
    if (line_is_blank(line) && !d->is_bare)
        return;
    size_t begin = d->text_begin + line_begin(&d->lines, i);
    if (d->is_bare)
        edit_add_prose(d->parser, (Span){begin, begin + line.len}, false);
}

static size_t read_part(Diff *d, size_t i) {
    Str line = line_at(d, i);
    if (str_starts(line, S("diff --git "))) {
        section_end(d);
        section_begin(d, i);
        d->old_name = d->new_name = git_name(str_from(line, 11));
        return i + 1;
    }
    if (is_file_head(d, i)) {
        if (!d->is_in_section || d->has_hunk) {
            section_end(d);
            section_begin(d, i);
        }
        d->old_name = name_read(d, str_from(line, 4), i);
        d->new_name = name_read(d, str_from(line_at(d, i + 1), 4), i + 1);
        return i + 2;
    }
    if (is_hunk_head(line))
        return read_hunk(d, i);
    if (d->is_in_section && !d->has_hunk && read_header(d, i))
        return i + 1;
    bool is_body = line_body(line).len && (line.ptr[0] == '+' || line.ptr[0] == '-' || line.ptr[0] == ' ');
    if (is_body && !d->has_hunk && (!d->is_bare || d->is_in_section))
        return read_hunk(d, i); /* no @@ line at all */
    stray_line(d, i);
    return i + 1;
}

void edit_read_diff(EditParser *parser, Span text, Str path, size_t line, bool is_bare) {
    Arena scratch = {0};
    Diff d = {.parser = parser,
              .lines = line_table(edit_span(parser, text), &scratch),
              .first_line = line,
              .text_begin = text.begin,
              .is_bare = is_bare,
              .path = path};
    size_t before = parser->state->edit_count;
    for (size_t i = 0; i < d.lines.count && !parser->state->err.code;)
        i = read_part(&d, i);
    section_end(&d);
    if (parser->state->edit_count == before)
        diff_wrong(&d, 0, "the diff changes nothing");
    hunk_free(&d.hunk);
    arena_free(&scratch);
}
