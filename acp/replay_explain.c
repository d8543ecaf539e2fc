/* The first difference as one sentence. */
#include <string.h>

#include "acp/replay_lines.h"

enum { SHOWN_BYTES = 80, PATH_BYTES = 400 };

/* ---- the first member that differs ---- */

typedef struct Difference {
    Buf path;
    const Json *was, *is; /* NULL: absent there */
} Difference;

static bool find_difference(Difference *found, const Json *was, const Json *is);

static bool descend(Difference *found, const Json *was, const Json *is, const char *name, size_t index) {
    size_t kept = found->path.len;
    if (name)
        buf_printf(&found->path, "%s%s", kept ? "." : "", name);
    else
        buf_printf(&found->path, "[%zu]", index);
    if (find_difference(found, was, is))
        return true;
    found->path.len = kept;
    return false;
}

static bool find_in_object(Difference *found, const Json *was, const Json *is) {
    JSON_EACH(member, was) {
        if (descend(found, member, json_find(is, member->string), member->string, 0))
            return true;
    }
    JSON_EACH(member, is) {
        if (!json_find(was, member->string) && descend(found, NULL, member, member->string, 0))
            return true;
    }
    return false;
}

static bool find_difference(Difference *found, const Json *was, const Json *is) {
    if (was && is && cJSON_Compare(was, is, true))
        return false;
    if (cJSON_IsObject(was) && cJSON_IsObject(is))
        return find_in_object(found, was, is);
    if (cJSON_IsArray(was) && cJSON_IsArray(is)) {
        const Json *x = was->child, *y = is->child;
        for (size_t i = 0; x || y; i++, x = x ? x->next : NULL, y = y ? y->next : NULL)
            if (descend(found, x, y, NULL, i))
                return true;
        return false;
    }
    found->was = was;
    found->is = is;
    return true;
}

/* ---- words ---- */

/* A text from a little before the place where it differs from the other; long ones are cut. */
static void print_quoted(Str text, Str other, Buf *out) {
    size_t same = 0;
    while (same < text.len && same < other.len && text.ptr[same] == other.ptr[same])
        same++;
    size_t begin = text.len > SHOWN_BYTES && same > SHOWN_BYTES / 2 ? same - SHOWN_BYTES / 2 : 0;
    while (begin > 0 && ((unsigned char)text.ptr[begin] & 0xC0) == 0x80)
        begin--;
    size_t end = begin + SHOWN_BYTES < text.len ? begin + SHOWN_BYTES : text.len;
    while (end < text.len && ((unsigned char)text.ptr[end] & 0xC0) == 0x80)
        end++;
    buf_cstr(out, begin ? "…" : "");
    json_print_string(str_slice(text, begin, end), out);
    buf_cstr(out, end < text.len ? "…" : "");
}

static void print_value(const Json *value, const Json *other, Buf *out) {
    Buf text = {0};
    if (!value) {
        buf_cstr(out, "nothing");
    } else if (cJSON_IsString(value)) {
        print_quoted(json_str_value(value), json_str_value(other), out);
    } else {
        json_print(value, &text);
        Str shown = str_slice(buf_text(&text), 0, SHOWN_BYTES);
        while (shown.len < text.len && ((unsigned char)text.ptr[shown.len] & 0xC0) == 0x80)
            shown.len--;
        buf_printf(out, "%.*s%s", STR_ARG(shown), shown.len < text.len ? "…" : "");
    }
    buf_free(&text);
}

/* What a message is, in a few words: "session/update tool_call (Edit a.c)". */
static void print_name(const Line *line, Buf *out) {
    if (line->kind) {
        buf_printf(out, "session/update %s ", line->kind);
        print_quoted(buf_text(&line->text), S(""), out);
        return;
    }
    const Json *update = json_find(line->body, "update");
    Str kind = json_str(update, "sessionUpdate"), title = json_str(update, "title");
    if (line->message_kind == LOG_ANSWER)
        buf_cstr(out, line->is_error ? "the error to " : "the answer to ");
    buf_printf(out, "%.*s%s%.*s", STR_ARG(line->method), kind.len ? " " : "", STR_ARG(kind));
    if (title.len) {
        buf_cstr(out, " ");
        print_quoted(title, S(""), out);
    }
    if (line->is_error) {
        buf_cstr(out, " ");
        print_quoted(json_str(line->body, "message"), S(""), out);
    }
}

static bool is_same_kind(const Line *was, const Line *is) {
    if (was->kind || is->kind)
        return was->kind == is->kind;
    return was->message_kind == is->message_kind && was->is_error == is->is_error &&
           str_eq(was->method, is->method) &&
           str_eq(json_str(json_find(was->body, "update"), "sessionUpdate"),
                  json_str(json_find(is->body, "update"), "sessionUpdate"));
}

static void explain_field(const Line *was, const Line *is, Buf *out) {
    Difference found = {0};
    if (was->kind) {
        buf_printf(out, "(session/update %s), field update.content.text: the log has ", was->kind);
        print_quoted(buf_text(&was->text), buf_text(&is->text), out);
        buf_cstr(out, ", mux says ");
        print_quoted(buf_text(&is->text), buf_text(&was->text), out);
    } else if (find_difference(&found, was->body, is->body)) {
        buf_printf(out, "(");
        print_name(was, out);
        Str path = str_slice(buf_text(&found.path), 0, PATH_BYTES);
        buf_printf(out, "), field %.*s: the log has ", STR_ARG(path.len ? path : S("(whole)")));
        print_value(found.was, found.is, out);
        buf_cstr(out, ", mux says ");
        print_value(found.is, found.was, out);
    }
    buf_free(&found.path);
}

void lines_explain(const Line *was, const Line *is, size_t last_number, Buf *out) {
    size_t session = was ? was->session : is->session;
    buf_cstr(out, "First difference: ");
    if (session)
        buf_printf(out, "session %zu, ", session);
    if (was && is && is_same_kind(was, is)) {
        buf_printf(out, "message %zu of the log ", was->number);
        explain_field(was, is, out);
    } else if (was) {
        buf_printf(out, "message %zu of the log: the log has ", was->number);
        print_name(was, out);
        buf_cstr(out, ", mux says ");
        if (is)
            print_name(is, out);
        else
            buf_cstr(out, "nothing more there");
    } else {
        buf_printf(out, "after message %zu of the log: the log has nothing there, mux says ", last_number);
        print_name(is, out);
    }
    buf_cstr(out, ".\n");
}
