/* Replies in any form: prose and fences, and which form begins where.
 *
 * A fence is kept as prose line by line while it is open. When it closes, its first lines tell what it was: a
 * diff, a whole file (when its path stands alone above it or on it), or just something shown to the user. */
#include "diff/edit_parse_internal.h"
#include "diff/lines_internal.h"

enum { COMMON_FENCE = 3 };

/* ---- lines ---- */

bool edit_is_diff_fence(Str info) {
    size_t blank = str_find_char(info, ' ', 0);
    Str word = str_slice(info, 0, blank == STR_NONE ? info.len : blank);
    return str_eq(word, S("diff")) || str_eq(word, S("patch")) || str_eq(word, S("udiff"));
}

static bool is_numbered_hunk(Str line) {
    return str_starts(line, S("@@ -")) && line.len > 4 && line.ptr[4] >= '0' && line.ptr[4] <= '9';
}

/* The text begins like a diff with headers or numbers. */
static bool begins_diff(Str text) {
    Str first = S(""), second = S("");
    for (Str rest = text; first.len == 0 && str_next_line(&rest, &first);) {
        first = str_trim_end(first);
        str_next_line(&(Str){rest.ptr, rest.len}, &second);
    }
    return str_starts(first, S("diff --git ")) || is_numbered_hunk(first) ||
           (str_starts(first, S("--- ")) && str_starts(second, S("+++ ")));
}

/* ---- opening ---- */

/* "Create a new file `a.py`:" above a fence that is no list of commands. */
static bool announces_file(const EditParser *parser, size_t at, Str path, Str info) {
    static const char *const WORDS[] = {"new file", "create `", "create file", "create the file",
                                        "create a file"};
    static const char *const SHELLS[] = {"bash", "sh", "shell", "console", "zsh", "powershell", "diff"};
    Str line = edit_span(parser, parser->state->prose[at].span);
    bool is_said = false, is_shell = false;
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        is_said = is_said || contains_nocase(line, str_of(WORDS[i]));
    for (size_t i = 0; i < sizeof SHELLS / sizeof *SHELLS; i++)
        is_shell = is_shell || str_eq_nocase(info, str_of(SHELLS[i]));
    return is_said && edit_names_file(path) && (!is_shell || str_ends(path, S("sh")));
}

/* The path on the fence or alone on the line above, which then does not stay prose. A diff must fit the file
 * anyway, so for it a name in a sentence will do. */
static void name_form(EditParser *parser, OpenForm *form, bool is_diff) {
    bool is_alone;
    size_t at;
    Str path = path_in_fence(form->info);
    if (!path.len) {
        path = edit_path_above(parser, &is_alone, &at);
        if (!path.len)
            return;
        form->is_new = !is_diff && !is_alone && announces_file(parser, at, path, form->info);
        if (!is_diff && !form->is_new && (!is_alone || !is_file_name(path)))
            return;
        form->prose = is_alone ? at : form->prose;
    }
    form->path = str_copy(parser->arena, path);
}

static OpenForm form_at(const EditParser *parser, Span line) {
    const struct EditParserState *s = parser->state;
    return (OpenForm){
        .line = s->line_number, .begin = line.begin, .prose = s->prose_count, .path = S(""), .info = S("")};
}

static void open_envelope(EditParser *parser, Span line, OpenForm form) {
    struct EditParserState *s = parser->state;
    s->prose_count = form.prose;
    form.line = s->line_number;
    form.begin = line.begin;
    s->form = form;
    s->part = PART_ENVELOPE;
}

static void open_diff(EditParser *parser, Span line) {
    struct EditParserState *s = parser->state;
    s->form = form_at(parser, line);
    name_form(parser, &s->form, true);
    s->prose_count = s->form.prose;
    s->part = PART_DIFF;
}

static void open_fence(EditParser *parser, Span line, Str info) {
    struct EditParserState *s = parser->state;
    OpenForm form = form_at(parser, line);
    Str trimmed = str_trim(edit_span(parser, line));
    form.info = str_copy(parser->arena, info);
    form.sign = trimmed.ptr[0];
    while (form.signs < trimmed.len && trimmed.ptr[form.signs] == form.sign)
        form.signs++;
    form.begin = line.end;
    name_form(parser, &form, edit_is_diff_fence(info));
    if (s->doubtful.len && s->is_doubt_sure && !form.path.len && !info.len)
        edit_wrong(parser, s->line_number,
                   "the fence of %.*s may have been closed by a fence inside the file; put a longer fence "
                   "(`````) around a file that holds fences",
                   STR_ARG(s->doubtful));
    s->form = form;
    s->part = PART_FENCE;
    s->is_fence_open = false;
    edit_add_prose(parser, line, true);
}

/* ---- prose ---- */

/* "--- a" was prose until "+++ b" follows it. */
static bool open_headed_diff(EditParser *parser, Span span, Str line) {
    struct EditParserState *s = parser->state;
    if (!str_starts(line, S("+++ ")) || s->prose_count <= s->prose_floor)
        return false;
    Span above = s->prose[s->prose_count - 1].span;
    if (above.end != span.begin || !str_starts(edit_span(parser, above), S("--- ")))
        return false;
    s->prose_count--;
    s->line_number--;
    open_diff(parser, above);
    s->line_number++;
    return true;
}

static bool open_bare_diff(EditParser *parser, Span span, Str line) {
    if (open_headed_diff(parser, span, line))
        return true;
    if (!str_starts(line, S("diff --git ")) && !is_numbered_hunk(line))
        return false;
    open_diff(parser, span);
    return true;
}

/* Text right behind a closed file hints that the fence was closed by one of its own lines. */
static void doubt(struct EditParserState *s, bool is_blank) {
    s->is_doubt_sure = s->is_doubt_sure || (s->is_after_file && !is_blank);
    s->is_after_file = false;
}

/* "<<<<<<< FIND": something was meant to begin that would be lost as prose. */
static bool is_unknown_opening(Str line) {
    Marker marker;
    return marker_read(line, '<', &marker) && marker.indent == 0 && marker.signs == 7 &&
           (line_body(line).len == 7 || line.ptr[7] == ' ');
}

static bool opens_unknown(EditParser *parser, Str line) {
    if (is_unknown_opening(line))
        edit_wrong(parser, parser->state->line_number,
                   "a block opens with <<<<<<< SEARCH, SYMBOL or LINES, not with \"%.*s\"",
                   STR_ARG(str_slice(str_trim(line), 0, 40)));
    return is_unknown_opening(line);
}

static void any_prose_line(EditParser *parser, Span span) {
    struct EditParserState *s = parser->state;
    Str line = edit_span(parser, span), info;
    if (edit_take_closing_fence(parser, line)) {
        s->is_after_block = false;
        return;
    }
    if (edit_open_block(parser, span) || edit_closes_nothing(parser, line) || opens_unknown(parser, line))
        return;
    if (is_envelope_opening(line)) {
        open_envelope(parser, span, form_at(parser, span));
        return;
    }
    if (open_bare_diff(parser, span, line))
        return;
    bool is_blank = line_is_blank(line);
    s->is_after_block = s->is_after_block && is_blank;
    if (fence_read(line, &info)) {
        s->is_after_file = false;
        open_fence(parser, span, info);
        return;
    }
    doubt(s, is_blank);
    edit_add_prose(parser, span, false);
}

/* ---- fences ---- */

static size_t fence_signs(Str line, char sign) {
    Str s = str_trim(line);
    size_t n = 0;
    while (n < s.len && s.ptr[n] == sign)
        n++;
    return n;
}

static size_t indent_of(Str line) {
    size_t n = 0;
    while (n < line.len && (line.ptr[n] == ' ' || line.ptr[n] == '\t'))
        n++;
    return n;
}

static void close_fence(EditParser *parser, Span line) {
    struct EditParserState *s = parser->state;
    const OpenForm form = s->form;
    Span content = {form.begin, line.begin};
    bool is_diff = edit_is_diff_fence(form.info) || begins_diff(edit_span(parser, content));
    size_t before = s->edit_count;
    s->part = PART_PROSE;
    if (is_diff || form.path.len)
        s->prose_count = form.prose;
    else
        edit_add_prose(parser, line, true);
    s->prose_floor = s->prose_count;
    if (!is_diff && !form.path.len)
        return;
    if (is_diff)
        edit_read_diff(parser, content, form.path, form.line + 1, false);
    else
        edit_push(parser,
                  (ParsedEdit){.edit = {.kind = form.is_new ? EDIT_REPLACE : EDIT_WHOLE, .path = form.path},
                               .old_text = {content.begin, content.begin},
                               .new_text = content});
    if (form.signs > COMMON_FENCE || s->edit_count == before)
        return;
    s->doubtful = s->edits[s->edit_count - 1].edit.path;
    s->is_doubt_sure = is_markdown(s->doubtful);
    s->is_after_file = true;
}

/* A marker line inside a file that is given whole: it may be the file's own, or the start of a block. */
static bool is_marker_line(Str line) {
    static const char SIGNS[] = {'<', '>', '|'};
    Marker marker;
    for (size_t i = 0; i < sizeof SIGNS; i++)
        if (marker_read(line, SIGNS[i], &marker) && marker.indent == 0 && marker.signs == 7 &&
            (line_body(line).len == 7 || line.ptr[7] == ' '))
            return true;
    return false;
}

/* True when the line closes the fence; a fence inside a fence is only possible in Markdown. */
static bool closes_fence(EditParser *parser, Str line) {
    OpenForm *form = &parser->state->form;
    Str info;
    size_t signs = fence_signs(line, form->sign);
    if (!fence_read(line, &info) || signs < COMMON_FENCE || indent_of(line) > COMMON_FENCE)
        return false;
    if (info.len && form->path.len && !edit_is_diff_fence(form->info)) {
        if (is_markdown(form->path))
            form->depth++;
        else if (signs >= form->signs)
            edit_wrong(parser, form->line,
                       "another fence opens inside the text of %.*s; close its fence first, or put a longer "
                       "one around it",
                       STR_ARG(form->path));
        return false;
    }
    if (info.len == 0 && form->depth) {
        form->depth--;
        return false;
    }
    return info.len == 0 && signs >= form->signs;
}

static void fence_line(EditParser *parser, Span span) {
    struct EditParserState *s = parser->state;
    OpenForm *form = &s->form;
    Str line = edit_span(parser, span);
    bool is_named = form->path.len > 0;
    if (closes_fence(parser, line)) {
        close_fence(parser, span);
        return;
    }
    if (s->err.code)
        return;
    if ((!is_named || form->lines <= 1) && edit_open_block(parser, span))
        return;
    if (!edit_is_diff_fence(form->info) && is_named && is_marker_line(line)) {
        edit_wrong(parser, form->line,
                   "a marker line stands inside the text of %.*s; text with merge markers cannot be given "
                   "whole",
                   STR_ARG(form->path));
        return;
    }
    if (edit_closes_nothing(parser, line) || (!is_named && opens_unknown(parser, line)))
        return;
    if (form->lines == 0 && is_envelope_opening(line)) {
        form->is_in_fence = true;
        open_envelope(parser, span, *form);
        return;
    }
    form->lines += !line_is_blank(line);
    edit_add_prose(parser, span, false);
}

/* ---- bare diffs and envelopes ---- */

static void close_diff(EditParser *parser, size_t end) {
    struct EditParserState *s = parser->state;
    s->part = PART_PROSE;
    s->prose_floor = s->prose_count;
    edit_read_diff(parser, (Span){s->form.begin, end}, s->form.path, s->form.line, true);
}

/* A bare diff ends where something begins that no line of a diff looks like. */
static void diff_line(EditParser *parser, Span span) {
    Str line = edit_span(parser, span), info;
    Marker marker;
    bool is_fence = line.len && line.ptr[0] != ' ' && fence_read(line, &info);
    bool is_block = marker_read(line, '<', &marker) && marker.indent == 0;
    if (!is_fence && !is_block && !is_envelope_opening(line))
        return;
    close_diff(parser, span.begin);
    any_prose_line(parser, span);
}

static void close_envelope(EditParser *parser, size_t end) {
    struct EditParserState *s = parser->state;
    const OpenForm form = s->form;
    s->part = PART_PROSE;
    s->prose_floor = s->prose_count;
    edit_read_envelope(parser, (Span){form.begin, end}, form.line);
}

static void envelope_line(EditParser *parser, Span span) {
    struct EditParserState *s = parser->state;
    Str line = edit_span(parser, span), info;
    bool is_fence = s->form.is_in_fence && fence_read(line, &info) && info.len == 0 &&
                    fence_signs(line, s->form.sign) >= s->form.signs && indent_of(line) == 0;
    if (is_envelope_closing(line)) {
        s->is_fence_open = s->form.is_in_fence;
        s->is_after_block = true;
        close_envelope(parser, span.end);
    } else if (is_fence) {
        close_envelope(parser, span.begin);
    }
}

/* ---- the whole reply ---- */

Str edit_thinking_end(Str line, size_t *begin) {
    Str message = S("<|message|>"), think = S("<think>");
    size_t at = str_find(line, message, 0);
    *begin = 0;
    if (str_starts(str_trim(line), think)) {
        *begin = str_find(line, think, 0) + think.len;
        return S("</think>");
    }
    bool is_channel =
        str_starts(str_trim(line), S("<|channel|>")) || str_starts(str_trim(line), S("<|start|>"));
    *begin = is_channel && at != STR_NONE ? at + message.len : 0;
    return is_channel ? S("<|channel|>final<|message|>") : S("");
}

/* Thinking in front of the answer is neither prose nor edits. */
static bool take_thinking(EditParser *parser, Span *span) {
    struct EditParserState *s = parser->state;
    Str line = edit_span(parser, *span);
    size_t begin;
    if (!s->has_started)
        s->thinking_end = edit_thinking_end(line, &begin);
    s->has_started = s->has_started || !line_is_blank(line);
    if (!s->thinking_end.len)
        return false;
    size_t close = str_find(line, s->thinking_end, 0);
    if (close == STR_NONE)
        return true;
    span->begin += close + s->thinking_end.len;
    s->thinking_end = S("");
    s->has_thought = true;
    return line_is_blank(edit_span(parser, *span));
}

void edit_drop_thinking(EditParser *parser, Span *span) {
    struct EditParserState *s = parser->state;
    Str line = str_trim(edit_span(parser, *span)), end = S("</think>");
    bool is_text = s->part == PART_BLOCK || (s->part == PART_FENCE && s->form.path.len);
    if (!str_starts(line, end) || s->has_thought || s->thinking_end.len || (is_text && !s->err.code))
        return;
    s->edit_count = s->ready = s->prose_count = s->prose_floor = 0;
    s->part = PART_PROSE;
    s->is_fence_open = s->is_after_block = s->is_after_file = s->is_doubt_sure = false;
    s->doubtful = S("");
    s->err = (Err){0};
    s->has_thought = true;
    span->begin += (size_t)(line.ptr - edit_span(parser, *span).ptr) + end.len;
}

void edit_any_line(EditParser *parser, Span span) {
    if (take_thinking(parser, &span))
        return;
    switch (parser->state->part) {
    case PART_PROSE: any_prose_line(parser, span); break;
    case PART_BLOCK: edit_block_line(parser, span); break;
    case PART_FENCE: fence_line(parser, span); break;
    case PART_DIFF: diff_line(parser, span); break;
    case PART_ENVELOPE: envelope_line(parser, span); break;
    }
}

void edit_any_end(EditParser *parser) {
    struct EditParserState *s = parser->state;
    const OpenForm *form = &s->form;
    if (s->thinking_end.len)
        edit_wrong(parser, 1, "the reply ends inside <think>; nothing follows it");
    else if (s->part == PART_BLOCK)
        edit_block_end(parser);
    else if (s->part == PART_DIFF)
        close_diff(parser, s->len);
    else if (s->part == PART_ENVELOPE)
        edit_wrong(parser, form->line, "the reply ends before *** End Patch");
    else if (s->part == PART_FENCE && (form->path.len || edit_is_diff_fence(form->info) ||
                                       begins_diff(edit_span(parser, (Span){form->begin, s->len}))))
        edit_wrong(parser, form->line, "the reply ends before the fence is closed");
}
