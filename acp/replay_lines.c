#include "acp/replay_lines.h"

#include <string.h>

/* The same question asked again while something runs: how often is a matter of time. */
#define POLLED S("terminal/output")
/* What these answer with is of the moment, or of a store that is not here. */
static const char *const OPAQUE[] = {"session/list", "_mux/health", "_mux/stats", "_mux/ping"};

/* ---- gathering ---- */

static const char *chunk_kind(const Json *body) {
    static const char *const KINDS[] = {"agent_message_chunk", "agent_thought_chunk", "user_message_chunk"};
    const Json *update = json_find(body, "update"), *content = json_find(update, "content");
    if (!str_eq(json_str(content, "type"), S("text")))
        return NULL;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (str_eq(json_str(update, "sessionUpdate"), str_of(KINDS[i])))
            return KINDS[i];
    return NULL;
}

static Line *last_of_session(LineList *list, size_t session) {
    for (size_t i = list->count; i-- > 0;)
        if (list->items[i].session == session)
            return &list->items[i];
    return NULL;
}

static bool is_opaque(const LogMessage *item) {
    for (size_t i = 0; i < sizeof OPAQUE / sizeof *OPAQUE; i++)
        if (item->kind == LOG_ANSWER && !item->is_error && str_eq(item->method, str_of(OPAQUE[i])))
            return true;
    return false;
}

/* Takes body over. */
static void add_line(LineList *list, const LogMessage *item, Json *body, size_t session) {
    static const char *const KINDS[] = {"asks", "tells", "answers", "says"};
    const char *kind = item->kind == LOG_NOTIFICATION ? chunk_kind(body) : NULL;
    Line *last = last_of_session(list, session);
    Str piece = json_str(json_find(json_find(body, "update"), "content"), "text");
    if (kind && last && last->kind == kind) {
        buf_str(&last->text, piece);
        json_free(body);
        return;
    }
    bool is_polled = item->kind == LOG_REQUEST && str_eq(item->method, POLLED);
    if (is_polled && last && str_eq(last->method, POLLED)) {
        json_free(body);
        return;
    }
    Line line = {.kind = kind,
                 .method = item->method,
                 .message_kind = item->kind,
                 .is_error = item->is_error,
                 .session = session,
                 .number = item->number};
    if (kind) {
        buf_str(&line.text, piece);
        json_free(body);
    } else {
        buf_printf(&line.text, "%s %.*s%s ", KINDS[item->kind], STR_ARG(item->method),
                   item->is_error ? " (error)" : "");
        json_print(body, &line.text);
        line.is_cancel = item->kind == LOG_ANSWER && str_eq(json_str(body, "stopReason"), S("cancelled"));
        line.body = body;
    }
    LIST_PUSH(&list->arena, list->items, list->count, list->capacity, line);
}

void lines_gather(const ReplaySide *side, LineList *list) {
    *list = (LineList){.sessions = side->log->session_count};
    NameList tools = {0};
    for (size_t i = 0; i < side->log->count; i++) {
        const LogMessage *item = &side->log->items[i];
        if (!replay_is_compared(side->log, i))
            continue;
        size_t session = replay_session_index(side->log, item->session);
        Json *body =
            is_opaque(item) ? json_text(S("…")) : replay_plain_body(side, item, &tools, &list->arena);
        add_line(list, item, body, session == REPLAY_NO_SESSION ? 0 : session + 1);
    }
}

void lines_free(LineList *list) {
    for (size_t i = 0; i < list->count; i++) {
        buf_free(&list->items[i].text);
        json_free(list->items[i].body);
    }
    arena_free(&list->arena);
}

/* ---- what time decides ---- */

/* The text in front of the n-th cancelled answer of a session. */
static Line *text_before_cancel(LineList *list, size_t session, size_t n) {
    Line *before = NULL;
    for (size_t i = 0; i < list->count; i++) {
        Line *line = &list->items[i];
        if (line->session != session)
            continue;
        if (line->is_cancel && n-- == 0)
            return before && before->kind ? before : NULL;
        before = line;
    }
    return NULL;
}

static void make_as_long(Line *x, Line *y) {
    size_t shorter = x->text.len < y->text.len ? x->text.len : y->text.len;
    if (x->kind == y->kind && (shorter == 0 || memcmp(x->text.ptr, y->text.ptr, shorter) == 0))
        x->text.len = y->text.len = shorter;
}

static void forgive_cancelled_text(LineList *a, LineList *b, size_t session) {
    for (size_t n = 0; n < a->count; n++) {
        Line *x = text_before_cancel(a, session, n), *y = text_before_cancel(b, session, n);
        if (x && y)
            make_as_long(x, y);
    }
}

/* Does the log end while the agent still owes an answer in this session? */
static bool ends_open(const ReplayLog *log, size_t session) {
    for (size_t i = 0; i < log->count; i++) {
        const LogMessage *item = &log->items[i];
        size_t k = replay_session_index(log, item->session);
        if (item->to_agent && item->kind == LOG_REQUEST && item->partner == STR_NONE &&
            (k == REPLAY_NO_SESSION ? 0 : k + 1) == session)
            return true;
    }
    return false;
}

static size_t count_of(const LineList *list, size_t session) {
    size_t n = 0;
    for (size_t i = 0; i < list->count; i++)
        n += list->items[i].session == session;
    return n;
}

static void cut_after(LineList *list, size_t session, size_t most) {
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        Line *line = &list->items[i];
        if (line->session == session && n++ >= most) {
            buf_free(&line->text);
            json_free(line->body);
        } else {
            list->items[kept++] = *line;
        }
    }
    list->count = kept;
}

void lines_forgive(const ReplaySide *recorded, LineList *before, LineList *now) {
    for (size_t session = 0; session <= before->sessions; session++) {
        forgive_cancelled_text(before, now, session);
        if (!ends_open(recorded->log, session))
            continue;
        size_t count = count_of(before, session);
        cut_after(now, session, count);
        Line *x = last_of_session(before, session), *y = last_of_session(now, session);
        if (x && y && x->kind && count == count_of(now, session))
            make_as_long(x, y);
    }
}

/* ---- printing ---- */

/* The name of a backup holds chance; what takes it back is named in the text. */
static void print_without_backup(Str text, Buf *out) {
    static const char COMMAND[] = "mux-acp undo ";
    for (size_t at; (at = str_find(text, str_of(COMMAND), 0)) != STR_NONE;) {
        at += sizeof COMMAND - 1;
        buf_str(out, str_slice(text, 0, at));
        buf_cstr(out, "<backup>");
        while (at < text.len && (text.ptr[at] == '-' || (text.ptr[at] >= '0' && text.ptr[at] <= '9') ||
                                 (text.ptr[at] >= 'a' && text.ptr[at] <= 'z')))
            at++;
        text = str_from(text, at);
    }
    buf_str(out, text);
}

void lines_print(const LineList *list, size_t session, Buf *out) {
    for (size_t i = 0; i < list->count; i++) {
        const Line *line = &list->items[i];
        if (line->session != session)
            continue;
        Buf text = {0};
        if (line->kind) {
            buf_printf(&text, "tells %s ", line->kind);
            json_print_string(buf_text(&line->text), &text);
        } else {
            buf_str(&text, buf_text(&line->text));
        }
        print_without_backup(buf_text(&text), out);
        buf_char(out, '\n');
        buf_free(&text);
    }
}

const Line *lines_at(const LineList *list, size_t session, size_t n) {
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].session == session && n-- == 0)
            return &list->items[i];
    return NULL;
}
