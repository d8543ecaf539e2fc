/* The envelope "*** Begin Patch ... *** End Patch": sections that update, add, delete and move files. Hunks
 * have no numbers; "@@ text" names what they stand in, "*** End of File" that they stand at the end. */
#include "diff/edit_parse_internal.h"
#include "diff/lines_internal.h"

typedef enum Section { SECTION_NONE, SECTION_UPDATE, SECTION_ADD, SECTION_DELETE, SECTION_MOVE } Section;

typedef struct Envelope {
    EditParser *parser;
    LineTable lines;
    size_t first_line;
    Section section;
    size_t section_line, changes;
    bool has_moved;
    HunkText hunk;
} Envelope;

/* "*** Update File: path"; SECTION_NONE for anything else. */
static Section section_read(Str line, Str *path) {
    static const struct {
        const char *words;
        Section section;
    } HEADS[] = {{"update file:", SECTION_UPDATE}, {"modify file:", SECTION_UPDATE},
                 {"add file:", SECTION_ADD},       {"create file:", SECTION_ADD},
                 {"delete file:", SECTION_DELETE}, {"remove file:", SECTION_DELETE},
                 {"move to:", SECTION_MOVE},       {"rename to:", SECTION_MOVE}};
    Str s = str_trim(line);
    if (!str_starts(s, S("*** ")))
        return SECTION_NONE;
    s = strip_ends(s, "* ", "* ");
    for (size_t i = 0; i < sizeof HEADS / sizeof *HEADS; i++) {
        Str words = str_of(HEADS[i].words);
        if (!str_eq_nocase(str_slice(s, 0, words.len), words))
            continue;
        *path = strip_ends(str_trim(str_from(s, words.len)), "`\"'", "`\"'");
        return HEADS[i].section;
    }
    return SECTION_NONE;
}

static bool is_line(Str line, Str words) {
    Str s = str_trim(line);
    return str_starts(s, S("***")) && str_eq_nocase(strip_ends(s, "* ", "* "), words);
}

bool is_envelope_opening(Str line) {
    Str path;
    Section section = section_read(line, &path);
    return is_line(line, S("Begin Patch")) || (section != SECTION_NONE && section != SECTION_MOVE);
}

bool is_envelope_closing(Str line) {
    return is_line(line, S("End Patch"));
}

static void envelope_wrong(const Envelope *e, size_t at, const char *what) {
    edit_wrong(e->parser, e->first_line + at, "%s", what);
}

static void push_file_edit(Envelope *e, EditKind kind, Str new_path, Str new_text) {
    ParsedEdit edit = {.has_texts = true,
                       .edit = {.kind = kind,
                                .path = e->hunk.path,
                                .new_path = str_copy(e->parser->arena, new_path),
                                .old_text = S(""),
                                .new_text = new_text}};
    edit_push(e->parser, edit);
}

static void section_end(Envelope *e) {
    if (e->section != SECTION_UPDATE)
        return;
    e->changes += hunk_end(e->parser, &e->hunk);
    if (!e->changes && !e->has_moved)
        envelope_wrong(e, e->section_line,
                       "*** Update File has no line that begins with + or -, so it changes nothing");
}

/* The lines of a new file: all with a leading +, or none of them. */
static size_t read_new_file(Envelope *e, size_t i) {
    Buf text = {0};
    Str path;
    size_t first = i;
    while (first < e->lines.count && line_is_blank(e->lines.lines[first]))
        first++;
    bool has_signs = first < e->lines.count && str_starts(e->lines.lines[first], S("+"));
    for (; i < e->lines.count; i++) {
        Str line = e->lines.lines[i];
        if (section_read(line, &path) || is_envelope_closing(line) || is_line(line, S("End of File")))
            break;
        if (has_signs && !str_starts(line, S("+"))) {
            if (!line_is_blank(line))
                envelope_wrong(e, i, "in a new file every line begins with +");
            continue;
        }
        buf_str(&text, has_signs ? str_from(line, 1) : line);
    }
    if (i < e->lines.count && is_line(e->lines.lines[i], S("End of File")))
        i++;
    push_file_edit(e, EDIT_REPLACE, S(""), buf_copy(&text, e->parser->arena));
    buf_free(&text);
    return i;
}

static size_t open_section(Envelope *e, Section section, Str path, size_t i) {
    if (section == SECTION_MOVE) {
        if (e->section != SECTION_UPDATE || e->has_moved)
            envelope_wrong(e, i, "*** Move to: stands once below an *** Update File: line");
        push_file_edit(e, EDIT_MOVE, path, S(""));
        e->has_moved = true;
        return i + 1;
    }
    section_end(e);
    e->section = section;
    e->section_line = i;
    e->changes = 0;
    e->has_moved = false;
    e->hunk.path = str_copy(e->parser->arena, path);
    if (!path.len)
        envelope_wrong(e, i, "no path behind the colon");
    if (section == SECTION_DELETE)
        push_file_edit(e, EDIT_DELETE, S(""), S(""));
    return section == SECTION_ADD ? read_new_file(e, i + 1) : i + 1;
}

static void update_line(Envelope *e, Str line, size_t i) {
    if (is_line(line, S("End of File"))) {
        e->hunk.is_at_end = true;
        e->changes += hunk_end(e->parser, &e->hunk);
    } else if (str_starts(line, S("*** "))) {
        envelope_wrong(e, i, "a *** line that is no part of an envelope");
    } else if (str_starts(line, S("@@"))) {
        if (e->hunk.last)
            e->changes += hunk_end(e->parser, &e->hunk);
        hunk_head(e->parser, &e->hunk, line);
    } else if (str_starts(line, S("\\"))) {
        hunk_no_newline(&e->hunk);
    } else {
        hunk_line(&e->hunk, line);
    }
}

static size_t read_part(Envelope *e, size_t i) {
    Str line = e->lines.lines[i], path;
    Section section = section_read(line, &path);
    if (section != SECTION_NONE)
        return open_section(e, section, path, i);
    bool is_edge = is_envelope_closing(line) || is_line(line, S("Begin Patch"));
    bool is_head = e->section == SECTION_UPDATE && !e->hunk.last && !e->changes && i + 1 < e->lines.count &&
                   str_starts(line, S("--- ")) && str_starts(e->lines.lines[i + 1], S("+++ "));
    if (is_head)
        return i + 2;
    if (e->section == SECTION_UPDATE && !is_edge)
        update_line(e, line, i);
    else if (!is_edge && !line_is_blank(line))
        envelope_wrong(
            e, i,
            "text that belongs to no file; put *** Update File:, *** Add File: or *** Delete File: "
            "above it");
    return i + 1;
}

void edit_read_envelope(EditParser *parser, Span text, size_t line) {
    Arena scratch = {0};
    Envelope e = {
        .parser = parser, .lines = line_table(edit_span(parser, text), &scratch), .first_line = line};
    size_t before = parser->state->edit_count;
    for (size_t i = 0; i < e.lines.count && !parser->state->err.code;)
        i = read_part(&e, i);
    section_end(&e);
    if (parser->state->edit_count == before)
        envelope_wrong(&e, 0, "the envelope holds no edit");
    hunk_free(&e.hunk);
    arena_free(&scratch);
}
