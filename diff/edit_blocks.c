/* Search/replace blocks as models really write them:
 *
 *   path/to/file.py            above the opening fence, inside it, on the fence line, or after the opening
 * marker
 *   ```python                  fences may be missing
 *   <<<<<<< SEARCH             or ORIGINAL; 5 to 9 signs
 *   old lines
 *   =======
 *   new lines
 *   >>>>>>> REPLACE            or UPDATED
 *   ```
 *
 * A divider as long as the opening marker is the divider; one of another length is it only when no other is
 * there, so that underlined headings may stand inside a block. */
#include "diff/edit_parse_internal.h"
#include "diff/lines_internal.h"

enum { LEAST_SIGNS = 5, MOST_SIGNS = 9, LONGEST_PATH = 512 };

/* ---- lines ---- */

typedef struct Marker {
    size_t indent, signs;
    Str word; /* what follows the signs, trimmed */
} Marker;

static bool marker_read(Str line, char sign, Marker *out) {
    size_t indent = 0;
    while (indent < line.len && (line.ptr[indent] == ' ' || line.ptr[indent] == '\t'))
        indent++;
    size_t end = indent;
    while (end < line.len && line.ptr[end] == sign)
        end++;
    *out = (Marker){indent, end - indent, str_trim(str_from(line, end))};
    return out->signs >= LEAST_SIGNS && out->signs <= MOST_SIGNS;
}

/* "SEARCH" or "SEARCH path": the rest after the word. */
static bool is_word(Str s, Str word, Str *rest) {
    if (!str_starts(s, word))
        return false;
    *rest = str_trim(str_from(s, word.len));
    return s.len == word.len || s.ptr[word.len] == ' ' || s.ptr[word.len] == '\t' || s.ptr[word.len] == ':';
}

static bool is_opening(Str line, Marker *marker, Str *rest) {
    return marker_read(line, '<', marker) &&
           (is_word(marker->word, S("SEARCH"), rest) || is_word(marker->word, S("ORIGINAL"), rest));
}

static bool is_named_closing(Str line, Marker *marker) {
    Str rest;
    return marker_read(line, '>', marker) &&
           (is_word(marker->word, S("REPLACE"), &rest) || is_word(marker->word, S("UPDATED"), &rest)) &&
           rest.len == 0;
}

static bool is_fence(Str line, Str *info) {
    Str s = str_trim(line);
    size_t n = 0;
    while (n < s.len && s.ptr[n] == (s.ptr[0] == '~' ? '~' : '`'))
        n++;
    *info = str_trim(str_from(s, n));
    return n >= 3 && str_find_char(*info, '`', 0) == STR_NONE;
}

/* ---- paths ---- */

static bool is_path_sign(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (unsigned char)c >= 0x80 ||
           (c && c != '`' && c != '"' && c != '<' && c != '>' && c != '|' && c != '*' && c != '?' &&
            (unsigned char)c > ' ' && c != 0x7f);
}

/* A slash inside, or a dot with something after it. */
static bool looks_like_path(Str s) {
    if (s.len == 0 || s.len > LONGEST_PATH)
        return false;
    bool has_mark = false;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_path_sign(s.ptr[i]) && s.ptr[i] != ' ')
            return false;
        has_mark = has_mark || ((s.ptr[i] == '/' || s.ptr[i] == '.') && i + 1 < s.len && s.ptr[i + 1] != ' ');
    }
    return has_mark;
}

static Str strip_ends(Str s, const char *front, const char *back) {
    while (s.len && str_find_char(str_of(front), s.ptr[0], 0) != STR_NONE)
        s = str_from(s, 1);
    while (s.len && str_find_char(str_of(back), s.ptr[s.len - 1], 0) != STR_NONE)
        s.len--;
    return s;
}

static Str after_word(Str s) {
    static const char *const WORDS[] = {"file:", "path:", "filename:", "filepath:", "file path:"};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        Str word = str_of(WORDS[i]);
        if (str_eq_nocase(str_slice(s, 0, word.len), word))
            return str_trim(str_from(s, word.len));
    }
    return s;
}

/* The only word of a sentence that looks like a path; a name in back quotes wins. */
static Str path_in_sentence(Str s) {
    Str found = S("");
    size_t open = str_find_char(s, '`', 0),
           close = open == STR_NONE ? STR_NONE : str_find_char(s, '`', open + 1);
    if (close != STR_NONE && looks_like_path(str_slice(s, open + 1, close)))
        return str_slice(s, open + 1, close);
    size_t count = 0;
    for (size_t i = 0; i < s.len;) {
        size_t end = str_find_char(s, ' ', i);
        end = end == STR_NONE ? s.len : end;
        Str word = strip_ends(str_slice(s, i, end), "(`*\"'", "),:;.`*\"'");
        if (looks_like_path(word)) {
            found = word;
            count++;
        }
        i = end + 1;
    }
    return count == 1 ? found : count ? s : S("");
}

/* The path that a line above a block gives; empty for none. *is_alone: the line says nothing else. */
static Str path_in_line(Str line, bool *is_alone) {
    Str s = str_trim(line);
    bool is_comment = str_starts(s, S("//")) || str_starts(s, S("<!--"));
    s = is_comment ? str_trim(strip_ends(s, "/<!-", "->")) : s;
    s = str_trim(strip_ends(s, "#*-> \t", " \t*"));
    s = str_trim(strip_ends(after_word(s), "*` \t\"'", "*` \t\"'"));
    if (str_ends(s, S(":")))
        s = strip_ends(s, "", ":*`");
    *is_alone = str_find_char(s, ' ', 0) == STR_NONE;
    if (*is_alone) {
        bool is_bare_name = !looks_like_path(s) && s.len && s.len < 64 && str_eq(s, str_trim(line));
        for (size_t i = 0; is_bare_name && i < s.len; i++)
            is_bare_name = is_path_sign(s.ptr[i]) && s.ptr[i] != '.' && s.ptr[i] != '!' && s.ptr[i] != ',';
        return is_bare_name || looks_like_path(s) ? s : S("");
    }
    return looks_like_path(path_in_sentence(s)) ? path_in_sentence(s) : S("");
}

/* "python src/a.py", "python:src/a.py" or "src/a.py" after the fence. */
static Str path_in_fence(Str info) {
    size_t blank = str_rfind_char(info, ' ');
    Str word = blank == STR_NONE ? info : str_from(info, blank + 1);
    size_t colon = str_find_char(word, ':', 0);
    if (colon != STR_NONE)
        word = str_from(word, colon + 1);
    size_t equals = str_find_char(word, '=', 0);
    if (equals != STR_NONE)
        word = strip_ends(str_from(word, equals + 1), "\"'", "\"'");
    return looks_like_path(word) ? word : S("");
}

/* The last prose line that is not blank, from `from` down to the floor; STR_NONE for none. */
static size_t line_above(const EditParser *parser, size_t from) {
    const struct EditParserState *s = parser->state;
    while (from > s->prose_floor)
        if (!line_is_blank(edit_span(parser, s->prose[--from].span)))
            return from;
    return STR_NONE;
}

/* Takes the path, and the lines that only carry it, off the prose above an opening marker. */
static Str take_path(EditParser *parser) {
    struct EditParserState *s = parser->state;
    Str path = S(""), info;
    bool is_alone;
    size_t at = line_above(parser, s->prose_count);
    if (at == STR_NONE)
        return path;
    if (s->prose[at].is_fence) {
        is_fence(edit_span(parser, s->prose[at].span), &info);
        path = path_in_fence(info);
        s->is_fence_open = true;
        s->prose_count = at;
        at = line_above(parser, s->prose_count);
        if (path.len || at == STR_NONE || s->prose[at].is_fence)
            return path;
        path = path_in_line(edit_span(parser, s->prose[at].span), &is_alone);
        if (path.len && is_alone)
            s->prose_count = at;
        return path;
    }
    path = path_in_line(edit_span(parser, s->prose[at].span), &is_alone);
    if (!path.len || !is_alone)
        return path;
    s->prose_count = at;
    size_t fence = line_above(parser, s->prose_count);
    if (fence != STR_NONE && s->prose[fence].is_fence && !s->is_fence_open) {
        s->is_fence_open = true;
        s->prose_count = fence;
    }
    return path;
}

/* ---- the block ---- */

static void wrong(EditParser *parser, const char *what) {
    struct EditParserState *s = parser->state;
    err_set(&s->err, ERR_INVALID, "block %zu (line %zu of the reply): %s", s->edit_count + 1, s->block.line,
            what);
}

static void open_block(EditParser *parser, Span line, const Marker *marker, Str rest) {
    struct EditParserState *s = parser->state;
    s->block = (OpenBlock){
        .line = s->line_number, .begin = line.end, .signs = marker->signs, .indent = marker->indent};
    Str path = take_path(parser);
    bool is_alone;
    Str given = path_in_line(strip_ends(rest, ":", ""), &is_alone);
    if (given.len)
        path = given;
    if (path.len)
        s->block.path = str_copy(parser->arena, path);
    else if (s->edit_count)
        s->block.path = s->edits[s->edit_count - 1].path;
    else
        wrong(parser, "no path: put the file's path alone on the line above <<<<<<< SEARCH");
    s->part = PART_BLOCK;
}

static void close_block(EditParser *parser, Span line) {
    struct EditParserState *s = parser->state;
    OpenBlock *block = &s->block;
    Span divider = block->dividers ? block->divider : block->loose;
    if (block->dividers > 1 || (block->dividers == 0 && block->loose_dividers > 1)) {
        wrong(parser, "more than one ======= line; a block has one, and content that holds such a line "
                      "cannot be edited "
                      "this way");
        return;
    }
    if (block->dividers + block->loose_dividers == 0) {
        wrong(parser, "no ======= line between the text to find and the text to put there");
        return;
    }
    ParsedEdit edit = {.path = block->path,
                       .old_text = {block->begin, divider.begin},
                       .new_text = {divider.end, line.begin}};
    LIST_PUSH(parser->arena, s->edits, s->edit_count, s->edit_capacity, edit);
    s->ready = s->edit_count;
    s->part = PART_PROSE;
    s->prose_floor = s->prose_count;
    s->is_after_block = true;
}

static void block_line(EditParser *parser, Span span) {
    struct EditParserState *s = parser->state;
    Str line = edit_span(parser, span), rest;
    Marker marker;
    if (is_opening(line, &marker, &rest)) {
        wrong(parser, "the next block opens before this one is closed by >>>>>>> REPLACE");
    } else if (is_named_closing(line, &marker) ||
               (marker_read(line, '>', &marker) && marker.signs == s->block.signs && marker.word.len == 0)) {
        close_block(parser, span);
    } else if (marker_read(line, '=', &marker) && marker.word.len == 0) {
        bool is_exact = marker.signs == s->block.signs && marker.indent <= s->block.indent;
        *(is_exact ? &s->block.divider : &s->block.loose) = span;
        *(is_exact ? &s->block.dividers : &s->block.loose_dividers) += 1;
    } else if ((marker_read(line, '<', &marker) || marker_read(line, '>', &marker)) && marker.indent == 0 &&
               marker.signs == s->block.signs &&
               (line_body(line).len == marker.signs || line.ptr[marker.signs] == ' ')) {
        wrong(parser,
              "a marker line stands inside the block; text with merge markers cannot be edited this way");
    }
}

static void prose_line(EditParser *parser, Span span) {
    struct EditParserState *s = parser->state;
    Str line = edit_span(parser, span), rest, info;
    Marker marker;
    if (is_opening(line, &marker, &rest)) {
        open_block(parser, span, &marker, rest);
        return;
    }
    if (is_named_closing(line, &marker)) {
        s->block.line = s->line_number;
        wrong(parser, ">>>>>>> REPLACE without a <<<<<<< SEARCH before it");
        return;
    }
    bool fence = is_fence(line, &info);
    if (s->is_after_block && line_is_blank(line)) {
        edit_add_prose(parser, span, false);
        return;
    }
    bool is_closing_fence = fence && info.len == 0 && s->is_after_block && s->is_fence_open;
    s->is_after_block = false;
    if (is_closing_fence)
        s->is_fence_open = false;
    else
        edit_add_prose(parser, span, fence);
}

void edit_block_line(EditParser *parser, Span line) {
    if (parser->state->part == PART_BLOCK)
        block_line(parser, line);
    else
        prose_line(parser, line);
}

void edit_block_end(EditParser *parser) {
    if (parser->state->part == PART_BLOCK)
        wrong(parser, "the reply ends before the block is closed by >>>>>>> REPLACE");
}
