/* Blocks between markers, as models really write them:
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
 * EDIT_ANY also knows them opened like a merge conflict (<<<<<<< HEAD, closed by >>>>>>> and any word), with
 * ------- SEARCH and +++++++ REPLACE, and the SYMBOL and LINES blocks, which have no divider.
 *
 * A divider as long as the opening marker is the divider; one of another length is it only when no other is
 * there, so that underlined headings may stand inside a block. */
#include "diff/edit_parse_internal.h"
#include "diff/lines_internal.h"

/* ---- markers ---- */

/* "SEARCH" or "SEARCH path": the rest after the word. */
static bool is_word(Str s, Str word, Str *rest) {
    if (!str_eq_nocase(str_slice(s, 0, word.len), word))
        return false;
    *rest = str_trim(strip_ends(str_from(s, word.len), ">", ""));
    return s.len == word.len || s.ptr[word.len] == ' ' || s.ptr[word.len] == '\t' || s.ptr[word.len] == ':' ||
           s.ptr[word.len] == '>';
}

static bool is_merge_word(Str word) {
    static const char *const WORDS[] = {"HEAD", "ours",   "current", "old",
                                        "OLD",  "before", "BEFORE",  "Current change"};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (str_eq(word, str_of(WORDS[i])))
            return true;
    return false;
}

/* Fills in the block's kind and marks; *rest is what follows the opening word. */
static bool is_opening(const EditParser *parser, Str line, OpenBlock *block, Str *rest, bool *is_bad) {
    Marker marker;
    bool is_any = parser->format == EDIT_ANY, is_angle = marker_read(line, '<', &marker);
    *block = (OpenBlock){.closing = '>', .kind = EDIT_REPLACE};
    *rest = S("");
    *is_bad = false;
    if (!is_angle && !(is_any && marker_read(line, '-', &marker)))
        return false;
    block->signs = marker.signs;
    block->indent = marker.indent;
    if (is_word(marker.word, S("SEARCH"), rest)) {
        block->closing = is_angle ? '>' : '+';
        return true;
    }
    if (is_angle && is_word(marker.word, S("ORIGINAL"), rest))
        return true;
    if (!is_any || !is_angle)
        return false;
    block->is_merge = is_merge_word(marker.word);
    if (!block->is_merge && special_read(marker.word, &block->edit, is_bad))
        block->kind = block->edit.kind;
    return block->is_merge || block->kind != EDIT_REPLACE || *is_bad;
}

static bool is_named_closing(Str line, char sign, Marker *marker) {
    Str rest;
    if (!marker_read(line, sign, marker))
        return false;
    marker->word = str_trim(strip_ends(marker->word, "", "`"));
    return (is_word(marker->word, S("REPLACE"), &rest) || is_word(marker->word, S("UPDATED"), &rest)) &&
           rest.len == 0;
}

static bool closes_block(const OpenBlock *block, Str line) {
    Marker marker;
    bool is_special = block->kind != EDIT_REPLACE;
    if (is_named_closing(line, block->closing, &marker))
        return true;
    if (!marker_read(line, block->closing, &marker))
        return false;
    if (is_special && str_eq(marker.word, S("END")))
        return true;
    return marker.signs == block->signs &&
           (marker.word.len == 0 || (block->is_merge && marker.indent == block->indent));
}

/* ---- paths ---- */

/* The last prose line that is not blank, from `from` down to the floor; STR_NONE for none. */
static size_t line_above(const EditParser *parser, size_t from) {
    const struct EditParserState *s = parser->state;
    while (from > s->prose_floor)
        if (!line_is_blank(edit_span(parser, s->prose[--from].span)))
            return from;
    return STR_NONE;
}

Str edit_path_above(const EditParser *parser, bool *is_alone, size_t *at) {
    const struct EditParserState *s = parser->state;
    *is_alone = false;
    *at = line_above(parser, s->prose_count);
    if (*at == STR_NONE || s->prose[*at].is_fence)
        return S("");
    return path_in_line(edit_span(parser, s->prose[*at].span), is_alone);
}

/* Takes the path, and the lines that only carry it, off the prose above an opening marker. */
static Str take_path(EditParser *parser, bool *is_sentence) {
    struct EditParserState *s = parser->state;
    Str path = S(""), info;
    bool is_alone;
    *is_sentence = false;
    size_t at = line_above(parser, s->prose_count);
    if (at == STR_NONE)
        return path;
    if (s->prose[at].is_fence) {
        fence_read(edit_span(parser, s->prose[at].span), &info);
        path = path_in_fence(info);
        s->is_fence_open = true;
        s->prose_count = at;
        at = line_above(parser, s->prose_count);
        if (path.len || at == STR_NONE || s->prose[at].is_fence)
            return path;
        path = path_in_line(edit_span(parser, s->prose[at].span), &is_alone);
        *is_sentence = !is_alone;
        if (path.len && is_alone)
            s->prose_count = at;
        return path;
    }
    path = path_in_line(edit_span(parser, s->prose[at].span), &is_alone);
    *is_sentence = !is_alone;
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

static const char *closing_name(const OpenBlock *block) {
    return block->kind != EDIT_REPLACE ? ">>>>>>> END"
           : block->closing == '+'     ? "+++++++ REPLACE"
                                       : ">>>>>>> REPLACE";
}

/* "SEARCH line=12". */
static size_t hint_in(Str rest) {
    size_t at = 0, line = 0;
    Str s = str_starts(rest, S("line=")) ? str_from(rest, 5) : S("");
    return number_read(s, &at, &line) && at == s.len ? line : 0;
}

bool edit_open_block(EditParser *parser, Span line) {
    struct EditParserState *s = parser->state;
    OpenBlock block;
    Str rest;
    bool is_bad, is_alone, is_sentence;
    if (!is_opening(parser, edit_span(parser, line), &block, &rest, &is_bad))
        return false;
    block.line = s->line_number;
    block.begin = line.end;
    block.edit.kind = block.kind;
    block.edit.symbol = str_copy(parser->arena, block.edit.symbol);
    block.edit.line_hint = hint_in(rest);
    Str path = take_path(parser, &is_sentence);
    Str given = block.edit.line_hint ? S("") : path_in_line(strip_ends(rest, ":", ""), &is_alone);
    if (given.len)
        path = given;
    path = path_without_lines(path);
    s->block = block;
    s->part = PART_BLOCK;
    bool is_doubtful = path.len && !given.len && is_sentence && s->edit_count && !block.is_merge;
    if (is_doubtful)
        s->block.edit.other_path = s->edits[s->edit_count - 1].edit.path;
    if (path.len)
        s->block.edit.path = str_copy(parser->arena, path);
    else if (s->edit_count && !block.is_merge)
        s->block.edit.path = s->edits[s->edit_count - 1].edit.path;
    else
        edit_wrong(parser, block.line, "no path: put the file's path alone on the line above %s",
                   block.kind == EDIT_SYMBOL  ? "<<<<<<< SYMBOL"
                   : block.kind == EDIT_LINES ? "<<<<<<< LINES"
                                              : "<<<<<<< SEARCH");
    if (is_bad)
        edit_wrong(parser, block.line,
                   "the opening marker must name what is replaced: <<<<<<< SYMBOL name, or <<<<<<< LINES "
                   "12:a1b2-15:c3d4 with the lines' hashes as they were shown");
    return true;
}

bool edit_closes_nothing(EditParser *parser, Str line) {
    Marker marker;
    bool is_plus = parser->format == EDIT_ANY && is_named_closing(line, '+', &marker);
    if (!is_plus && !is_named_closing(line, '>', &marker))
        return false;
    edit_wrong(parser, parser->state->line_number, ">>>>>>> REPLACE without a <<<<<<< SEARCH before it");
    return true;
}

/* ":start_line:12" and "-------" before the old lines, as some prompts teach: a hint. */
static void take_line_head(EditParser *parser, ParsedEdit *edit) {
    Str text = edit_span(parser, edit->old_text), rest = text, line;
    size_t hint = 0, value;
    while (str_next_line(&rest, &line)) {
        Str s = str_trim(line);
        bool is_start = str_starts(s, S(":start_line:")), is_end = str_starts(s, S(":end_line:"));
        size_t at = is_start ? 12 : 10;
        if ((is_start || is_end) && number_read(s, &at, &value) && at == s.len) {
            hint = is_start ? value : hint;
            continue;
        }
        if (hint && s.len >= 5 && strip_ends(s, "-", "").len == 0) {
            edit->edit.line_hint = hint;
            edit->old_text.begin += (size_t)(rest.ptr - text.ptr);
        }
        return;
    }
}

static void push_block(EditParser *parser, const OpenBlock *block, Span old_text, Span new_text) {
    struct EditParserState *s = parser->state;
    ParsedEdit edit = {.edit = block->edit, .old_text = old_text, .new_text = new_text};
    if (parser->format == EDIT_ANY && block->kind == EDIT_REPLACE)
        take_line_head(parser, &edit);
    edit_push(parser, edit);
    s->part = PART_PROSE;
    s->prose_floor = s->prose_count;
    s->is_after_block = true;
}

static void close_block(EditParser *parser, Span line) {
    const OpenBlock *block = &parser->state->block;
    if (str_contains(edit_span(parser, line), S("```")))
        parser->state->is_fence_open = false;
    Span divider = block->dividers ? block->divider : block->loose;
    if (block->kind != EDIT_REPLACE) {
        push_block(parser, block, (Span){block->begin, block->begin}, (Span){block->begin, line.begin});
        return;
    }
    if (block->dividers > 1 || (block->dividers == 0 && block->loose_dividers > 1))
        edit_wrong(parser, block->line,
                   "more than one ======= line; a block has one, and content that holds such a line cannot "
                   "be edited this way");
    else if (block->dividers + block->loose_dividers == 0)
        edit_wrong(parser, block->line, "no ======= line between the text to find and the text to put there");
    else
        push_block(parser, block, (Span){block->begin, divider.begin}, (Span){divider.end, line.begin});
}

/* A marker line of the block's own length, with nothing or a blank behind it. */
static bool is_stray_marker(const OpenBlock *block, Str line) {
    static const char SIGNS[] = {'<', '>', '|'};
    Marker marker;
    for (size_t i = 0; i < sizeof SIGNS; i++)
        if (marker_read(line, SIGNS[i], &marker) && marker.indent == 0 && marker.signs == block->signs &&
            (line_body(line).len == marker.signs || line.ptr[marker.signs] == ' '))
            return true;
    return false;
}

static void block_line(EditParser *parser, Span span) {
    struct EditParserState *s = parser->state;
    OpenBlock *block = &s->block, other;
    Str line = edit_span(parser, span), rest;
    Marker marker;
    bool is_bad;
    if (is_opening(parser, line, &other, &rest, &is_bad) && !other.is_merge) {
        edit_wrong(parser, block->line, "the next block opens before this one is closed by %s",
                   closing_name(block));
    } else if (closes_block(block, line)) {
        close_block(parser, span);
    } else if (marker_read(line, '=', &marker) && marker.word.len == 0) {
        bool is_exact = marker.signs == block->signs && marker.indent <= block->indent;
        *(is_exact ? &block->divider : &block->loose) = span;
        *(is_exact ? &block->dividers : &block->loose_dividers) += 1;
        if (block->kind != EDIT_REPLACE && is_exact)
            edit_wrong(parser, block->line,
                       "a ======= line stands inside; this block holds the new text only");
    } else if (is_stray_marker(block, line)) {
        edit_wrong(
            parser, block->line,
            "a marker line stands inside the block; text with merge markers cannot be edited this way");
    }
}

bool edit_take_closing_fence(EditParser *parser, Str line) {
    struct EditParserState *s = parser->state;
    Str info;
    if (!fence_read(line, &info) || info.len || !s->is_fence_open)
        return false;
    s->is_fence_open = false;
    return true;
}

static void prose_line(EditParser *parser, Span span) {
    struct EditParserState *s = parser->state;
    Str line = edit_span(parser, span), info;
    if (edit_open_block(parser, span) || edit_closes_nothing(parser, line))
        return;
    bool fence = fence_read(line, &info), was_after = s->is_after_block;
    s->is_after_block = was_after && line_is_blank(line);
    if (was_after && edit_take_closing_fence(parser, line))
        return;
    edit_add_prose(parser, span, fence);
}

void edit_block_line(EditParser *parser, Span line) {
    if (parser->state->part == PART_BLOCK)
        block_line(parser, line);
    else
        prose_line(parser, line);
}

void edit_block_end(EditParser *parser) {
    const struct EditParserState *s = parser->state;
    if (s->part == PART_BLOCK)
        edit_wrong(parser, s->block.line, "the reply ends before the block is closed by %s",
                   closing_name(&s->block));
}
