#define _GNU_SOURCE
#include "tests/fakes/transcript.h"

#include <signal.h>
#include <stdlib.h>

#include "base/os.h"
#include "tests/runner.h"

typedef struct Capture {
    Str name, value;
} Capture;

typedef struct Transcript {
    TestClient *client;
    Arena arena;
    const char *path;
    size_t line;
    Capture *captures;
    size_t count, capacity;
} Transcript;

static Capture *find_capture(Transcript *t, Str name) {
    for (size_t i = 0; i < t->count; i++)
        if (str_eq(t->captures[i].name, name))
            return &t->captures[i];
    return NULL;
}

static void capture(Transcript *t, Str name, Str value) {
    Capture made = {str_copy(&t->arena, name), str_copy(&t->arena, value)};
    LIST_PUSH(&t->arena, t->captures, t->count, t->capacity, made);
}

/* $name -> its value, as long as such a name is known; longest names first is not needed: names end at a
 * non-letter. */
static const char *fill(Transcript *t, Str line) {
    Buf out = {0};
    for (size_t i = 0; i < line.len;) {
        size_t end = i + 1;
        while (line.ptr[i] == '$' && end < line.len &&
               ((line.ptr[end] >= 'a' && line.ptr[end] <= 'z') ||
                (line.ptr[end] >= 'A' && line.ptr[end] <= 'Z')))
            end++;
        Capture *found = line.ptr[i] == '$' ? find_capture(t, str_slice(line, i + 1, end)) : NULL;
        if (found)
            buf_str(&out, found->value);
        else
            buf_str(&out, str_slice(line, i, end));
        i = end;
    }
    const char *text = str_cstr(&t->arena, buf_text(&out));
    buf_free(&out);
    return text;
}

static bool fits(Transcript *t, const Json *pattern, const Json *value) {
    if (!value)
        return false;
    Str text = json_str_value(pattern);
    if (cJSON_IsString(pattern) && str_eq(text, S("*")))
        return true;
    if (cJSON_IsString(pattern) && str_starts(text, S("$")) && cJSON_IsString(value)) {
        Capture *known = find_capture(t, str_from(text, 1));
        if (!known)
            capture(t, str_from(text, 1), json_str_value(value));
        return !known || str_eq(known->value, json_str_value(value));
    }
    if (cJSON_IsString(pattern) && cJSON_IsString(value) && str_ends(text, S("*")))
        return str_starts(json_str_value(value), str_slice(text, 0, text.len - 1));
    if (cJSON_IsObject(pattern)) {
        JSON_EACH(member, pattern) {
            if (!fits(t, member, json_find(value, member->string)))
                return false;
        }
        return cJSON_IsObject(value);
    }
    if (cJSON_IsArray(pattern)) {
        const Json *item = cJSON_IsArray(value) ? value->child : NULL;
        if (json_len(pattern) != json_len(value))
            return false;
        JSON_EACH(part, pattern) {
            if (!fits(t, part, item))
                return false;
            item = item->next;
        }
        return true;
    }
    return cJSON_Compare(pattern, value, true);
}

static void expect(Transcript *t, Str pattern_text, bool may_skip) {
    Json *pattern = json_parse(str_of(fill(t, pattern_text)), NULL);
    CHECK_MSG(pattern != NULL, "%s:%zu: the pattern is no JSON", t->path, t->line);
    for (;;) {
        Json *message = client_next(t->client);
        CHECK_MSG(message != NULL, "%s:%zu: the agent says nothing more", t->path, t->line);
        bool is_it = fits(t, pattern, message);
        bool is_update = str_eq(json_str(message, "method"), S("session/update"));
        Buf text = {0};
        json_print(message, &text);
        Str shown = buf_copy(&text, &t->arena);
        buf_free(&text);
        json_free(message);
        if (is_it)
            break;
        CHECK_MSG(may_skip && is_update, "%s:%zu: expected %.*s\n    the agent said %.*s", t->path, t->line,
                  STR_ARG(pattern_text), STR_ARG(shown));
    }
    json_free(pattern);
}

void transcript_run(TestClient *client, const char *path, const char *cwd) {
    Transcript t = {.client = client, .path = path};
    Err err = {0};
    Str text, line;
    CHECK_OK(os_read_file(path, 1 << 20, &t.arena, &text, &err), err);
    capture(&t, S("CWD"), str_of(cwd));
    bool has_ended = false;
    while (str_next_line(&text, &line) && !has_ended) {
        t.line++;
        if (str_starts(line, S("> ")))
            client_send(client, fill(&t, str_from(line, 2)));
        else if (str_starts(line, S("<* ")))
            expect(&t, str_from(line, 3), true);
        else if (str_starts(line, S("< ")))
            expect(&t, str_from(line, 2), false);
        else if (str_starts(line, S("! kill")) && client->pid > 0)
            kill(client->pid, SIGTERM);
        else if (str_starts(line, S("! exit "))) {
            CHECK_INT(client_end(client), atoi(str_from(line, 7).ptr));
            has_ended = true;
        } else
            CHECK_MSG(!line.len || line.ptr[0] == '#', "%s:%zu: what is this line?", path, t.line);
    }
    if (!has_ended)
        CHECK_INT(client_end(client), 0);
    arena_free(&t.arena);
}
