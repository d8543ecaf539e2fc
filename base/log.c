#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/os.h"
#include "base/redact.h"
#include "base/utf8.h"

#define SCOPE_MAX 80
#define MESSAGE_MAX 16384 /* before secrets are replaced */

static const char *const LEVELS[] = {"error", "warn", "info", "debug"};
static _Atomic int current_level = LOG_WARN;
static atomic_bool is_json_format;
static _Thread_local struct {
    char request[SCOPE_MAX], session[SCOPE_MAX];
    size_t request_len, session_len;
} scope;

void log_init(const char *level_name) {
    atomic_store(&current_level, LOG_WARN);
    for (int i = 0; level_name && i < 4; i++)
        if (strcmp(level_name, LEVELS[i]) == 0)
            atomic_store(&current_level, i);
}

bool log_set_format(const char *name) {
    bool is_json = name && strcmp(name, "json") == 0;
    if (name && !is_json && strcmp(name, "text") != 0)
        return false;
    atomic_store(&is_json_format, is_json);
    return true;
}

bool log_is_on(LogLevel level) {
    return (int)level <= atomic_load(&current_level);
}

static size_t copy_cut(char *out, Str text) {
    Str cut = str_slice(text, 0, SCOPE_MAX);
    cut.len = text.len > SCOPE_MAX ? utf8_complete(cut) : cut.len;
    if (cut.len)
        memcpy(out, cut.ptr, cut.len);
    return cut.len;
}

void log_scope(Str request, Str session) {
    /* A cut id would be no JSON any more. */
    scope.request_len = request.len <= SCOPE_MAX ? copy_cut(scope.request, request) : 0;
    scope.session_len = copy_cut(scope.session, session);
}

/* Appends the text with secrets replaced and cut to `most` bytes. */
static void add_clean(Buf *out, Str text, size_t most) {
    Buf clean = {0};
    redact(text, &clean);
    Str shown = buf_text(&clean);
    if (shown.len > most) {
        shown = str_slice(shown, 0, most);
        shown.len = utf8_complete(shown);
    }
    buf_str(out, shown);
    buf_free(&clean);
}

static void add_escaped(Buf *out, Str text, size_t most) {
    Buf clean = {0};
    add_clean(&clean, text, most);
    for (size_t i = 0; i < clean.len; i++) {
        unsigned char c = (unsigned char)clean.ptr[i];
        if (c == '\n')
            buf_cstr(out, "\\n");
        else if (c < 0x20 || c == 0x7F)
            buf_printf(out, "\\x%02x", c);
        else
            buf_char(out, (char)c);
    }
    buf_free(&clean);
}

static void add_json_text(Buf *out, Str text, size_t most) {
    Buf clean = {0};
    add_clean(&clean, text, most);
    json_print_string(buf_text(&clean), out);
    buf_free(&clean);
}

/* A JSON value stays one also when a secret was in it. */
static void add_json_value(Buf *out, Str value) {
    Buf clean = {0};
    redact(value, &clean);
    Json *parsed = value.len <= SCOPE_MAX ? json_parse(buf_text(&clean), NULL) : NULL;
    if (parsed)
        buf_str(out, buf_text(&clean));
    else
        add_json_text(out, value, SCOPE_MAX);
    json_free(parsed);
    buf_free(&clean);
}

static void print_json(Buf *out, LogLevel level, Str msg, const LogField *fields, size_t count) {
    buf_printf(out, "{\"t\":%.6f,\"level\":\"%s\",\"msg\":", os_unix_seconds(), LEVELS[level]);
    add_json_text(out, msg, LOG_LINE_MAX / 4);
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, ",\"%s\":", fields[i].key);
        if (fields[i].is_json)
            add_json_value(out, fields[i].value);
        else
            add_json_text(out, fields[i].value, SCOPE_MAX);
    }
    buf_cstr(out, "}");
}

static void print_text(Buf *out, LogLevel level, Str msg, const LogField *fields, size_t count) {
    buf_printf(out, "mux-acp: %s: ", LEVELS[level]);
    add_escaped(out, msg, LOG_LINE_MAX / 2);
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, " %s=", fields[i].key);
        add_escaped(out, fields[i].value, SCOPE_MAX);
    }
    if (out->len > LOG_LINE_MAX - 1)
        out->len = utf8_complete(str_slice(buf_text(out), 0, LOG_LINE_MAX - 1));
}

void log_fields(LogLevel level, Str msg, const LogField *fields, size_t count) {
    if (!log_is_on(level))
        return;
    int kept = errno;
    Buf line = {0};
    if (atomic_load(&is_json_format))
        print_json(&line, level, msg, fields, count);
    else
        print_text(&line, level, msg, fields, count);
    buf_char(&line, '\n');
    if (!line.failed && write(STDERR_FILENO, line.ptr, line.len) < 0)
        line.failed = true; /* nowhere left to complain */
    buf_free(&line);
    errno = kept;
}

void log_line(LogLevel level, const char *format, ...) {
    if (!log_is_on(level))
        return;
    char text[1024];
    Arena arena = {0};
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(text, sizeof text, format, args);
    Str msg = {text, n < 0 ? 0 : (size_t)n};
    if (msg.len >= sizeof text) { /* a secret is only known when it is whole */
        size_t room = msg.len < MESSAGE_MAX ? msg.len + 1 : MESSAGE_MAX;
        char *longer = arena_alloc(&arena, room);
        vsnprintf(longer, room, format, again);
        msg = (Str){longer, room - 1};
    }
    va_end(again);
    va_end(args);
    LogField fields[2];
    size_t count = 0;
    if (scope.request_len)
        fields[count++] = (LogField){"request", {scope.request, scope.request_len}, true};
    if (scope.session_len)
        fields[count++] = (LogField){"session", {scope.session, scope.session_len}, false};
    log_fields(level, msg, fields, count);
    arena_free(&arena);
}
