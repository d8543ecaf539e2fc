/* A machine that is fed byte by byte, so that the split of the stream cannot matter. What may become a call
 * is held until that is certain; when it is not one, its first byte is prose and the rest is looked at again.
 */
#include "planner/tool_calls.h"

#include <string.h>

#include "planner/tool_calls_internal.h"

enum { MOST_HEAD = 400, MOST_CALL = 1 << 20, FENCE = 3, BLOCK_SIGNS = 5 };

enum { STATE_PROSE, STATE_HEAD, STATE_JSON, STATE_TAGS };

typedef struct Mark {
    Str text;
    CallDialect dialect; /* DIALECT_NONE: what may stand behind a call */
} Mark;

static const Mark OPENINGS[] = {
    {STR_INIT("<tool_call>"), DIALECT_HERMES},   {STR_INIT("<function="), DIALECT_FUNCTION},
    {STR_INIT("[TOOL_CALLS]"), DIALECT_MISTRAL}, {STR_INIT("<|channel|>"), DIALECT_HARMONY},
    {STR_INIT("<|start|>"), DIALECT_HARMONY},    {STR_INIT(DSML), DIALECT_DSML},
};

static const Mark CLOSERS[] = {
    {STR_INIT("</tool_call>"), DIALECT_NONE},
    {STR_INIT("</function>"), DIALECT_NONE},
    {STR_INIT("<|call|>"), DIALECT_NONE},
    {STR_INIT("<|end|>"), DIALECT_NONE},
    {STR_INIT(DSML_END "invoke>"), DIALECT_NONE},
    {STR_INIT(DSML_END "function_calls>"), DIALECT_NONE},
    {STR_INIT(DSML_END "tool_calls>"), DIALECT_NONE},
};

enum { OPENING_COUNT = sizeof OPENINGS / sizeof *OPENINGS, CLOSER_COUNT = sizeof CLOSERS / sizeof *CLOSERS };

void tool_calls_begin(ToolCallParser *parser, Arena *arena) {
    *parser = (ToolCallParser){.arena = arena};
}

bool tool_calls_wait(const ToolCallParser *parser) {
    return parser->has_ended;
}

/* ---- prose ---- */

static void end_line(ToolCallParser *p) {
    bool is_fence = p->indent >= FENCE && (p->line_first == '`' || p->line_first == '~');
    if (is_fence && !p->is_block) {
        if (!p->fence) {
            p->fence = p->indent;
            p->fence_char = p->line_first;
        } else if (p->line_first == p->fence_char && p->indent >= p->fence && p->indent == p->line_length) {
            p->fence = 0;
        }
    }
    if (p->indent >= BLOCK_SIGNS && p->line_first == '<')
        p->is_block = true;
    else if (p->indent >= BLOCK_SIGNS && p->line_first == '>')
        p->is_block = false;
    p->line_length = p->ticks = p->indent = 0;
    p->line_first = 0;
}

/* indent: how often the line's first byte that is no blank stands there in a row. */
static void prose_byte(ToolCallParser *p, char c, Buf *prose) {
    bool is_blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
    if (p->count) {
        p->has_ended = p->has_ended || !(is_blank || c == '}');
        return;
    }
    if (p->is_wrapped && is_blank)
        return;
    p->is_wrapped = false;
    buf_char(prose, c);
    if (c == '\n') {
        end_line(p);
        return;
    }
    p->ticks += c == '`';
    if (is_blank)
        return;
    if (p->line_length == 0)
        p->line_first = c;
    if (c == p->line_first && p->indent == p->line_length)
        p->indent++;
    p->line_length++;
}

/* Nothing opens in code, in blocks and on lines of diffs and quotes. */
static bool may_open(const ToolCallParser *p) {
    if (p->count)
        return true;
    bool is_quoted = p->line_first && strchr("+->", p->line_first) != NULL;
    bool is_fence = p->indent >= FENCE && (p->line_first == '`' || p->line_first == '~');
    return !p->fence && !p->is_block && p->ticks % 2 == 0 && !is_quoted && !is_fence;
}

/* ---- openings ---- */

typedef enum Verdict { VERDICT_WAIT, VERDICT_NO, VERDICT_JSON, VERDICT_TAGS, VERDICT_WRAPPER } Verdict;

static Str skip_blanks(Str s) {
    size_t i = 0;
    while (i < s.len && (s.ptr[i] == ' ' || s.ptr[i] == '\t' || s.ptr[i] == '\n' || s.ptr[i] == '\r'))
        i++;
    return str_from(s, i);
}

/* Whether text begins with one of these; it may still when it is a beginning of one itself. */
static Verdict begins(Str text, const char *const *words, size_t count) {
    Verdict verdict = VERDICT_NO;
    for (size_t i = 0; i < count; i++) {
        Str word = str_of(words[i]);
        if (str_starts(text, word))
            return VERDICT_TAGS;
        if (str_starts(word, text))
            verdict = VERDICT_WAIT;
    }
    return verdict;
}

static Verdict json_at(ToolCallParser *p, Str rest) {
    p->body = p->held.len - rest.len;
    return VERDICT_JSON;
}

static Verdict function_head(Str rest) {
    static const char *const NEXT[] = {"<parameter=", "</function>", "</tool_call>"};
    Str name = call_name(rest);
    rest = str_from(rest, name.len);
    if (rest.len == 0)
        return VERDICT_WAIT;
    return name.len && rest.ptr[0] == '>' ? begins(skip_blanks(str_from(rest, 1)), NEXT, 3) : VERDICT_NO;
}

static Verdict hermes_head(ToolCallParser *p, Str rest) {
    static const char *const FUNCTION[] = {"<function="}, *const GLM[] = {"<arg_key>", "</tool_call>"};
    rest = skip_blanks(rest);
    if (rest.len == 0)
        return VERDICT_WAIT;
    if (rest.ptr[0] == '{' || rest.ptr[0] == '[')
        return json_at(p, rest);
    if (rest.ptr[0] == '<') {
        Verdict verdict = begins(rest, FUNCTION, 1);
        verdict = verdict == VERDICT_TAGS ? function_head(str_from(rest, strlen(FUNCTION[0]))) : verdict;
        if (verdict == VERDICT_TAGS)
            p->dialect = DIALECT_FUNCTION;
        return verdict;
    }
    Str name = call_name(rest);
    Verdict verdict = name.len ? begins(skip_blanks(str_from(rest, name.len)), GLM, 2) : VERDICT_NO;
    if (verdict == VERDICT_TAGS)
        p->dialect = DIALECT_GLM;
    return verdict;
}

static Verdict mistral_head(ToolCallParser *p, Str rest) {
    static const char *const NEXT[] = {"[ARGS]", "[CALL_ID]"};
    rest = skip_blanks(rest);
    if (rest.len == 0)
        return VERDICT_WAIT;
    if (rest.ptr[0] == '{' || rest.ptr[0] == '[')
        return json_at(p, rest);
    Str name = call_name(rest);
    rest = skip_blanks(str_from(rest, name.len));
    if (name.len == 0 || rest.len == 0)
        return name.len ? VERDICT_WAIT : VERDICT_NO;
    if (rest.ptr[0] == '{')
        return json_at(p, rest);
    size_t arguments = str_find(rest, S("[ARGS]"), 0);
    if (arguments == STR_NONE)
        return begins(rest, NEXT, 2) == VERDICT_NO ? VERDICT_NO : VERDICT_WAIT;
    rest = skip_blanks(str_from(rest, arguments + 6));
    return rest.len ? json_at(p, rest) : VERDICT_WAIT;
}

/* The recipient makes it a call; it may stand in the role or in the channel's header. */
static Verdict harmony_head(ToolCallParser *p, Str held) {
    size_t message = str_find(held, S("<|message|>"), 0);
    if (message == STR_NONE)
        return str_find_char(held, '\n', 0) == STR_NONE ? VERDICT_WAIT : VERDICT_NO;
    if (str_find(str_slice(held, 0, message), S("to="), 0) == STR_NONE)
        return VERDICT_NO;
    Str rest = skip_blanks(str_from(held, message + 11));
    if (rest.len == 0)
        return VERDICT_WAIT;
    p->body = p->held.len - rest.len;
    return rest.ptr[0] == '{' ? VERDICT_JSON : VERDICT_TAGS;
}

static Verdict dsml_head(Str rest) {
    static const char *const NEXT[] = {DSML "parameter", DSML_END "invoke", DSML_END "function_calls",
                                       DSML_END "tool_calls"};
    size_t end = str_find_char(rest, '>', 0);
    if (end == STR_NONE)
        return str_find_char(rest, '\n', 0) == STR_NONE ? VERDICT_WAIT : VERDICT_NO;
    Str tag = str_slice(rest, 0, end);
    if (str_eq(tag, S("function_calls")) || str_eq(tag, S("tool_calls")))
        return VERDICT_WRAPPER;
    return str_starts(tag, S("invoke name=\"")) ? begins(skip_blanks(str_from(rest, end + 1)), NEXT, 4)
                                                : VERDICT_NO;
}

static Verdict judge_head(ToolCallParser *p) {
    Str held = buf_text(&p->held);
    if (held.len > MOST_HEAD)
        return VERDICT_NO;
    switch ((CallDialect)p->dialect) {
    case DIALECT_GLM: /* both are found behind <tool_call> */
    case DIALECT_HERMES: return hermes_head(p, str_from(held, strlen("<tool_call>")));
    case DIALECT_FUNCTION: return function_head(str_from(held, strlen("<function=")));
    case DIALECT_MISTRAL: return mistral_head(p, str_from(held, strlen("[TOOL_CALLS]")));
    case DIALECT_HARMONY: return harmony_head(p, held);
    case DIALECT_DSML: return dsml_head(str_from(held, strlen(DSML)));
    case DIALECT_NONE: break;
    }
    return VERDICT_NO;
}

/* ---- bodies ---- */

static void clear_held(ToolCallParser *p) {
    buf_clear(&p->held);
    p->state = STATE_PROSE;
    p->dialect = DIALECT_NONE;
    p->body = p->depth = 0;
    p->is_string = p->is_escaped = false;
}

static void end_json(ToolCallParser *p, size_t end, bool is_open) {
    Str held = buf_text(&p->held);
    calls_read_json(p, str_slice(held, 0, p->body), str_slice(held, p->body, end), is_open);
    clear_held(p);
}

static void end_tags(ToolCallParser *p, size_t end, bool is_open) {
    calls_read_tags(p, str_slice(buf_text(&p->held), 0, end), is_open);
    clear_held(p);
}

static bool starts_line(Str held, size_t at) {
    while (at > 0 && (held.ptr[at - 1] == ' ' || held.ptr[at - 1] == '\t'))
        at--;
    return at > 0 && held.ptr[at - 1] == '\n';
}

/* A closer ends broken JSON too: outside of a string always, inside where it begins a line, which no string
 * of JSON can hold. */
static bool closes_json(const ToolCallParser *p, size_t *end) {
    Str held = buf_text(&p->held), closer = S("</tool_call>");
    if (p->dialect == DIALECT_HARMONY) {
        closer = S("<|call|>");
        *end = held.len - closer.len;
        return str_ends(held, closer);
    }
    *end = held.len - closer.len;
    return p->dialect == DIALECT_HERMES && str_ends(held, closer) &&
           (!p->is_string || starts_line(held, *end));
}

static void json_byte(ToolCallParser *p, char c) {
    size_t end;
    if (c == '>' && closes_json(p, &end)) {
        end_json(p, end, false);
        return;
    }
    if (p->is_string) {
        bool was_escaped = p->is_escaped;
        p->is_escaped = c == '\\' && !was_escaped;
        p->is_string = was_escaped || c != '"';
        return;
    }
    p->is_string = c == '"';
    p->depth += c == '{' || c == '[';
    if ((c == '}' || c == ']') && p->depth && --p->depth == 0)
        end_json(p, p->held.len, false);
}

static bool follows(Str before, const char *closer, const char *opening) {
    before = str_trim_end(before);
    return str_ends(before, str_of(closer)) || str_find(before, str_of(opening), 0) == STR_NONE;
}

static bool closes_tags(const ToolCallParser *p, size_t *end) {
    static const Str FUNCTION = STR_INIT("</function>"), CALL = STR_INIT("</tool_call>");
    Str held = buf_text(&p->held);
    if (p->dialect == DIALECT_HARMONY || p->dialect == DIALECT_DSML) {
        static const char *const HARMONY[] = {"<|call|>", "<|end|>", "<|return|>"};
        static const char *const DEEPSEEK[] = {DSML_END "invoke>", DSML_END "function_calls>",
                                               DSML_END "tool_calls>"};
        const char *const *closers = p->dialect == DIALECT_HARMONY ? HARMONY : DEEPSEEK;
        for (size_t i = 0; i < 3; i++)
            if (str_ends(held, str_of(closers[i]))) {
                *end = held.len - strlen(closers[i]);
                return true;
            }
        return false;
    }
    bool is_function = p->dialect == DIALECT_FUNCTION;
    if (is_function && str_ends(held, FUNCTION)) {
        *end = held.len - FUNCTION.len;
        return follows(str_slice(held, 0, *end), "</parameter>", "<parameter=");
    }
    if (!str_ends(held, CALL) || !str_starts(held, S("<tool_call>")))
        return false;
    *end = held.len - CALL.len;
    Str before = str_trim_end(str_slice(held, 0, *end));
    return starts_line(held, *end) ||
           (is_function ? str_ends(before, FUNCTION) || follows(before, "</parameter>", "<parameter=")
                        : follows(before, "</arg_value>", "<arg_key>"));
}

/* ---- the machine ---- */

static void step(ToolCallParser *p, char c, Buf *prose);

static void feed_bytes(ToolCallParser *p, Str bytes, Buf *prose) {
    for (size_t i = 0; i < bytes.len && !p->has_ended; i++)
        step(p, bytes.ptr[i], prose);
}

/* What is held is no call: its first byte is prose, the rest may be anything. */
static void reject(ToolCallParser *p, Buf *prose) {
    Buf held = p->held;
    p->held = (Buf){0};
    clear_held(p);
    prose_byte(p, held.ptr[0], prose);
    feed_bytes(p, str_from(buf_text(&held), 1), prose);
    buf_free(&held);
}

/* What is held is judged against the marks that may stand here. */
static void mark_byte(ToolCallParser *p, Buf *prose) {
    Str held = buf_text(&p->held);
    bool is_behind = p->count || p->is_wrapped, may_grow = false;
    for (size_t i = 0; i < OPENING_COUNT + (is_behind ? CLOSER_COUNT : 0); i++) {
        const Mark *mark = i < OPENING_COUNT ? &OPENINGS[i] : &CLOSERS[i - OPENING_COUNT];
        if (str_eq(held, mark->text)) {
            if (mark->dialect == DIALECT_NONE) {
                p->has_ended = p->has_ended || (p->count && str_eq(held, S("<|call|>")));
                clear_held(p);
            } else {
                p->state = STATE_HEAD;
                p->dialect = (int)mark->dialect;
            }
            return;
        }
        may_grow = may_grow || str_starts(mark->text, held);
    }
    if (!may_grow)
        reject(p, prose);
}

static void tags_byte(ToolCallParser *p, char c) {
    size_t end;
    if (c == '>' && closes_tags(p, &end))
        end_tags(p, end, false);
}

static void head_byte(ToolCallParser *p, char c, Buf *prose) {
    switch (judge_head(p)) {
    case VERDICT_WAIT: break;
    case VERDICT_NO: reject(p, prose); break;
    case VERDICT_JSON:
        p->state = STATE_JSON;
        json_byte(p, c);
        break;
    case VERDICT_TAGS:
        p->state = STATE_TAGS;
        tags_byte(p, c);
        break;
    case VERDICT_WRAPPER:
        clear_held(p);
        p->is_wrapped = true;
        break;
    }
}

static void step(ToolCallParser *p, char c, Buf *prose) {
    if (p->state == STATE_PROSE && p->held.len == 0 && !((c == '<' || c == '[') && may_open(p))) {
        prose_byte(p, c, prose);
        return;
    }
    buf_char(&p->held, c);
    switch (p->state) {
    case STATE_PROSE: mark_byte(p, prose); break;
    case STATE_HEAD: head_byte(p, c, prose); break;
    case STATE_JSON: json_byte(p, c); break;
    default: tags_byte(p, c); break;
    }
    if (p->held.len > MOST_CALL) {
        if (p->state == STATE_JSON)
            end_json(p, p->held.len, true);
        else
            end_tags(p, p->held.len, true);
        p->calls[p->count - 1].problem = S("it is longer than 1 MiB");
        p->has_ended = true;
    }
}

void tool_calls_feed(ToolCallParser *p, Str piece, Buf *prose) {
    feed_bytes(p, piece, prose);
}

/* A string that was never closed may have swallowed the call's end. */
static void finish_json(ToolCallParser *p, Buf *prose) {
    Str closer = p->dialect == DIALECT_HERMES ? S("</tool_call>") : S("");
    size_t end = closer.len ? str_find(buf_text(&p->held), closer, p->body) : STR_NONE;
    if (end == STR_NONE) {
        end_json(p, p->held.len, true);
        return;
    }
    Buf held = p->held;
    p->held = (Buf){0};
    buf_str(&p->held, str_slice(buf_text(&held), 0, end));
    end_json(p, end, false);
    feed_bytes(p, str_from(buf_text(&held), end + closer.len), prose);
    buf_free(&held);
}

void tool_calls_finish(ToolCallParser *p, Buf *prose) {
    while (p->held.len && !p->has_ended) {
        if (p->state == STATE_JSON)
            finish_json(p, prose);
        else if (p->state == STATE_TAGS)
            end_tags(p, p->held.len, true);
        else
            reject(p, prose);
    }
    buf_free(&p->held);
}
