#include "acp/replay_compare.h"

#include <string.h>

#include "acp/replay_lines.h"
#include "diff/diff.h"

/* Members that say nothing about what the agent does. */
static const char *const VOLATILE[] = {"_meta", "messageId", "usage", "version", "requestId", "updatedAt"};

#define SHOWN_BYTES 240

/* ---- without what varies ---- */

typedef struct Plain {
    const ReplaySide *side;
    Arena *arena;
    NameList *tools;
} Plain;

size_t replay_folder_of(const Str *folders, size_t count, Str path) {
    size_t found = STR_NONE;
    for (size_t i = 0; i < count; i++) {
        Str folder = folders[i];
        bool is_below =
            folder.len > 1 && str_starts(path, folder) &&
            (path.len == folder.len || path.ptr[folder.len] == '/' || path.ptr[folder.len] == '#');
        if (is_below && (found == STR_NONE || folder.len > folders[found].len))
            found = i;
    }
    return found;
}

static size_t tool_index(Plain *plain, Str name) {
    for (size_t i = 0; i < plain->tools->count; i++)
        if (str_eq(plain->tools->items[i], name))
            return i;
    LIST_PUSH(plain->arena, plain->tools->items, plain->tools->count, plain->tools->capacity,
              str_copy(plain->arena, name));
    return plain->tools->count - 1;
}

/* The first place at or after `from` where a folder's path stands; the longest folder there. */
static size_t find_folder(const ReplaySide *side, Str text, size_t from, size_t *which) {
    size_t best = STR_NONE;
    for (size_t i = 0; i < side->folder_count; i++) {
        Str folder = side->folders[i];
        size_t at = folder.len > 1 ? str_find(text, folder, from) : STR_NONE;
        if (at != STR_NONE &&
            (best == STR_NONE || at < best || (at == best && folder.len > side->folders[*which].len))) {
            best = at;
            *which = i;
        }
    }
    return best;
}

static Json *plain_text(Plain *plain, Str text) {
    size_t session = replay_session_index(plain->side->log, text), which = 0;
    if (session != REPLAY_NO_SESSION)
        return json_text(str_printf(plain->arena, "<session %zu>", session + 1));
    Buf out = {0};
    size_t at = 0;
    for (size_t next; (next = find_folder(plain->side, text, at, &which)) != STR_NONE;) {
        buf_str(&out, str_slice(text, at, next));
        buf_printf(&out, which ? "<folder %zu>" : "<folder>", which + 1);
        at = next + plain->side->folders[which].len;
    }
    buf_str(&out, str_from(text, at));
    Json *value = json_text(buf_text(&out));
    buf_free(&out);
    return value;
}

static bool is_volatile(const char *name) {
    for (size_t i = 0; i < sizeof VOLATILE / sizeof *VOLATILE; i++)
        if (strcmp(name, VOLATILE[i]) == 0)
            return true;
    return false;
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
    bool is_model = str_eq(json_str(value, "category"), S("model")); /* which there are is the machine's */
    JSON_EACH(member, value) {
        if (is_volatile(member->string) || (is_model && (strcmp(member->string, "options") == 0 ||
                                                         strcmp(member->string, "currentValue") == 0)))
            continue;
        if (strcmp(member->string, "toolCallId") == 0)
            json_put_int(object, "toolCallId", (int64_t)tool_index(plain, json_str_value(member)) + 1);
        else
            json_put(object, member->string, plain_value(plain, member));
    }
    return object;
}

Json *replay_plain_body(const ReplaySide *side, const LogMessage *message, NameList *tools, Arena *arena) {
    Plain plain = {side, arena, tools};
    return message->body ? plain_value(&plain, message->body) : cJSON_CreateNull();
}

/* ---- the account ---- */

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

static Str nth_line(Str text, size_t n) {
    Str line = S("");
    for (size_t i = 0; i <= n; i++)
        if (!str_next_line(&text, &line))
            return S("");
    return line;
}

/* The first difference of all sessions. */
typedef struct First {
    bool is_there;
    const Line *was, *is;
    size_t number; /* where in the log; of a missing message: the one before */
} First;

static void note_first(First *first, const LineList *recorded, const LineList *now, size_t session,
                       const Hunk *hunk) {
    const Line *was = hunk->old_count ? lines_at(recorded, session, hunk->old_start) : NULL;
    const Line *is = hunk->new_count ? lines_at(now, session, hunk->new_start) : NULL;
    const Line *before = hunk->old_start ? lines_at(recorded, session, hunk->old_start - 1) : NULL;
    size_t number = was ? was->number : before ? before->number : 0;
    if ((was || is) && (!first->is_there || number < first->number))
        *first = (First){true, was, is, number};
}

static void print_hunk(Str before, Str after, const Hunk *hunk, const Line *was, size_t session, Buf *out) {
    if (session)
        buf_printf(out, "session %zu, ", session);
    buf_printf(out, "message %zu of the agent", hunk->old_start + 1);
    if (was)
        buf_printf(out, " (%zu of the log)", was->number);
    buf_cstr(out, ":\n");
    size_t n = hunk->old_count > hunk->new_count ? hunk->old_count : hunk->new_count;
    for (size_t i = 0; i < n; i++) {
        Str then = i < hunk->old_count ? nth_line(before, hunk->old_start + i) : S("");
        Str now = i < hunk->new_count ? nth_line(after, hunk->new_start + i) : S("");
        if (i < hunk->old_count)
            print_shown("-", then, now, out);
        if (i < hunk->new_count)
            print_shown("+", now, then, out);
    }
}

static size_t compare_session(const LineList *recorded, const LineList *now, size_t session, First *first,
                              Buf *out) {
    Buf before = {0}, after = {0};
    lines_print(recorded, session, &before);
    lines_print(now, session, &after);
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
        const Line *was = hunk->old_count ? lines_at(recorded, session, hunk->old_start) : NULL;
        differences++;
        note_first(first, recorded, now, session, hunk);
        print_hunk(buf_text(&before), buf_text(&after), hunk, was, session, out);
    }
    arena_free(&arena);
    buf_free(&before);
    buf_free(&after);
    return differences;
}

size_t replay_compare(const ReplaySide *recorded, const ReplaySide *now, Buf *out) {
    LineList a, b;
    lines_gather(recorded, &a);
    lines_gather(now, &b);
    lines_forgive(recorded, &a, &b);
    size_t sessions = a.sessions > b.sessions ? a.sessions : b.sessions, differences = 0;
    First first = {0};
    Buf account = {0};
    for (size_t session = 0; session <= sessions; session++)
        differences += compare_session(&a, &b, session, &first, &account);
    if (first.is_there)
        lines_explain(first.was, first.is, first.number, out);
    buf_str(out, buf_text(&account));
    buf_free(&account);
    lines_free(&a);
    lines_free(&b);
    return differences;
}
