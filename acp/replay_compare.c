#include "acp/replay_compare.h"

#include <string.h>

#include "diff/diff.h"

/* Members that say nothing about what the agent does. */
static const char *const VOLATILE[] = {"_meta", "messageId", "usage", "version", "requestId"};

#define SHOWN_BYTES 240

static size_t name_index(NameList *list, Arena *arena, Str name, bool may_add) {
    for (size_t i = 0; i < list->count; i++)
        if (str_eq(list->items[i], name))
            return i;
    if (!may_add)
        return STR_NONE;
    LIST_PUSH(arena, list->items, list->count, list->capacity, str_copy(arena, name));
    return list->count - 1;
}

void replay_sessions(const ReplayLog *log, Arena *arena, NameList *out) {
    *out = (NameList){0};
    for (size_t i = 0; i < log->count; i++) {
        const LogMessage *item = &log->items[i];
        Str id = json_str(item->body, "sessionId");
        if (!item->to_agent && item->kind == LOG_ANSWER && id.len)
            name_index(out, arena, id, true);
    }
}

/* ---- without what varies ---- */

typedef struct Plain {
    Arena *arena;
    Str folder;
    NameList *tools;
    NameList sessions;
} Plain;

static Json *plain_text(Plain *plain, Str text) {
    size_t session = name_index(&plain->sessions, plain->arena, text, false);
    if (session != STR_NONE)
        return json_text(str_printf(plain->arena, "<session %zu>", session + 1));
    Buf out = {0};
    for (size_t at = 0, next; plain->folder.len > 1 && at < text.len; at = next) {
        next = str_find(text, plain->folder, at);
        buf_str(&out, str_slice(text, at, next));
        if (next == STR_NONE)
            break;
        buf_cstr(&out, "<folder>");
        next += plain->folder.len;
        if (next >= text.len)
            break;
    }
    Json *value = json_text(plain->folder.len > 1 ? buf_text(&out) : text);
    buf_free(&out);
    return value;
}

static Json *plain_value(Plain *plain, const Json *value) {
    if (cJSON_IsString(value))
        return plain_text(plain, json_str_value(value));
    if (cJSON_IsArray(value)) {
        Json *array = json_array();
        JSON_EACH(item, value)
        json_push(array, plain_value(plain, item));
        return array;
    }
    if (!cJSON_IsObject(value))
        return cJSON_Duplicate(value, true);
    Json *object = json_object();
    JSON_EACH(member, value) {
        bool is_volatile = false;
        for (size_t i = 0; i < sizeof VOLATILE / sizeof *VOLATILE; i++)
            is_volatile = is_volatile || strcmp(member->string, VOLATILE[i]) == 0;
        if (is_volatile)
            continue;
        if (strcmp(member->string, "toolCallId") == 0)
            json_put_int(object, "toolCallId",
                         (int64_t)name_index(plain->tools, plain->arena, json_str_value(member), true) + 1);
        else
            json_put(object, member->string, plain_value(plain, member));
    }
    return object;
}

Json *replay_plain_body(const ReplaySide *side, const LogMessage *message, NameList *tools, Arena *arena) {
    Plain plain = {arena, side->folder, tools, {0}};
    replay_sessions(side->log, arena, &plain.sessions);
    return message->body ? plain_value(&plain, message->body) : cJSON_CreateNull();
}

/* ---- lines to compare ---- */

typedef struct Line {
    const char *kind; /* of a text chunk; NULL for the rest */
    Buf text;         /* of a chunk: its text so far; else the whole line */
    size_t session;   /* 0: none */
    bool is_cancel;   /* the answer of a cancelled prompt */
} Line;

typedef struct LineList {
    Arena arena;
    Line *items;
    size_t count, capacity;
    size_t sessions;
} LineList;

static const char *chunk_kind(const Json *body) {
    const Json *update = json_find(body, "update"), *content = json_find(update, "content");
    if (!str_eq(json_str(content, "type"), S("text")))
        return NULL;
    Str kind = json_str(update, "sessionUpdate");
    return str_eq(kind, S("agent_message_chunk"))   ? "agent_message_chunk"
           : str_eq(kind, S("agent_thought_chunk")) ? "agent_thought_chunk"
                                                    : NULL;
}

static Line *last_of_session(LineList *list, size_t session) {
    for (size_t i = list->count; i-- > 0;)
        if (list->items[i].session == session)
            return &list->items[i];
    return NULL;
}

static void add_line(LineList *list, const LogMessage *item, Json *body, size_t session) {
    static const char *const KINDS[] = {"asks", "tells", "answers", "says"};
    const char *kind = item->kind == LOG_NOTIFICATION ? chunk_kind(body) : NULL;
    Line *last = kind ? last_of_session(list, session) : NULL;
    if (kind && last && last->kind == kind) {
        buf_str(&last->text, json_str(json_find(json_find(body, "update"), "content"), "text"));
        return;
    }
    Line line = {.kind = kind, .session = session};
    if (kind) {
        buf_str(&line.text, json_str(json_find(json_find(body, "update"), "content"), "text"));
    } else {
        buf_printf(&line.text, "%s %.*s%s ", KINDS[item->kind], STR_ARG(item->method),
                   item->is_error ? " (error)" : "");
        json_print(body, &line.text);
        line.is_cancel = item->kind == LOG_ANSWER && str_eq(json_str(body, "stopReason"), S("cancelled"));
    }
    LIST_PUSH(&list->arena, list->items, list->count, list->capacity, line);
}

static void gather_lines(const ReplaySide *side, LineList *list) {
    *list = (LineList){0};
    NameList sessions, tools = {0};
    replay_sessions(side->log, &list->arena, &sessions);
    list->sessions = sessions.count;
    for (size_t i = 0; i < side->log->count; i++) {
        const LogMessage *item = &side->log->items[i];
        if (item->to_agent)
            continue;
        size_t session = name_index(&sessions, &list->arena, item->session, false);
        Json *body = replay_plain_body(side, item, &tools, &list->arena);
        add_line(list, item, body, session == STR_NONE ? 0 : session + 1);
        json_free(body);
    }
}

static void free_lines(LineList *list) {
    for (size_t i = 0; i < list->count; i++)
        buf_free(&list->items[i].text);
    arena_free(&list->arena);
}

/* The text in front of the n-th cancelled answer of a session: how far it got is a matter of time. */
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

static void forgive_cancelled_text(LineList *a, LineList *b, size_t session) {
    for (size_t n = 0; n < a->count; n++) {
        Line *x = text_before_cancel(a, session, n), *y = text_before_cancel(b, session, n);
        if (!x || !y || x->kind != y->kind)
            continue;
        size_t shorter = x->text.len < y->text.len ? x->text.len : y->text.len;
        if (shorter == 0 || memcmp(x->text.ptr, y->text.ptr, shorter) == 0)
            x->text.len = y->text.len = shorter;
    }
}

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

static void print_lines(const LineList *list, size_t session, Buf *out) {
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

/* ---- the account ---- */

static Str nth_line(Str text, size_t n) {
    Str line = S("");
    for (size_t i = 0; i <= n; i++)
        if (!str_next_line(&text, &line))
            return S("");
    return line;
}

/* A line from a little before the place where it differs from its counterpart. */
static void print_shown(const char *mark, Str line, Str other, Buf *out) {
    size_t same = 0;
    while (same < line.len && same < other.len && line.ptr[same] == other.ptr[same])
        same++;
    size_t begin = line.len > SHOWN_BYTES && same > 60 ? same - 60 : 0;
    while (begin > 0 && ((unsigned char)line.ptr[begin] & 0xC0) == 0x80)
        begin--;
    size_t end = begin + SHOWN_BYTES;
    while (end < line.len && ((unsigned char)line.ptr[end] & 0xC0) == 0x80)
        end++;
    buf_printf(out, "%s %s%.*s%s\n", mark, begin ? "…" : "", STR_ARG(str_slice(line, begin, end)),
               end < line.len ? "…" : "");
}

static size_t compare_session(LineList *recorded, LineList *now, size_t session, Buf *out) {
    forgive_cancelled_text(recorded, now, session);
    Buf before = {0}, after = {0};
    print_lines(recorded, session, &before);
    print_lines(now, session, &after);
    Arena arena = {0};
    Hunks hunks = {0};
    Err err = {0};
    size_t differences = 0;
    if (!diff_lines(S(""), buf_text(&before), buf_text(&after), &arena, &hunks, &err)) {
        buf_printf(out, "%s\n", err.text);
        differences = 1;
    }
    for (size_t h = 0; h < hunks.count; h++) {
        const Hunk *hunk = &hunks.items[h];
        differences++;
        if (session)
            buf_printf(out, "session %zu, ", session);
        buf_printf(out, "message %zu of the agent:\n", hunk->old_start + 1);
        size_t n = hunk->old_count > hunk->new_count ? hunk->old_count : hunk->new_count;
        for (size_t i = 0; i < n; i++) {
            Str was = i < hunk->old_count ? nth_line(buf_text(&before), hunk->old_start + i) : S("");
            Str is = i < hunk->new_count ? nth_line(buf_text(&after), hunk->new_start + i) : S("");
            if (i < hunk->old_count)
                print_shown("-", was, is, out);
            if (i < hunk->new_count)
                print_shown("+", is, was, out);
        }
    }
    arena_free(&arena);
    buf_free(&before);
    buf_free(&after);
    return differences;
}

size_t replay_compare(const ReplaySide *recorded, const ReplaySide *now, Buf *out) {
    LineList a, b;
    gather_lines(recorded, &a);
    gather_lines(now, &b);
    size_t sessions = a.sessions > b.sessions ? a.sessions : b.sessions, differences = 0;
    for (size_t session = 0; session <= sessions; session++)
        differences += compare_session(&a, &b, session, out);
    free_lines(&a);
    free_lines(&b);
    return differences;
}
