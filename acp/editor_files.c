#include "acp/editor_files.h"

#include <stdlib.h>

#include "acp/client_call.h"

/* How long a client may take over a call after the turn was cancelled, once something was written: what was
 * done has to be known, and taken back. */
#define CANCEL_GRACE_MS 3000
/* A client that left one call of a turn without an answer is not waited for that long again. */
#define LATER_SHARE 0.1

struct EditorFiles {
    Peer *peer;
    ClientCalls *calls;
    double timeout_ms;
    Arena arena;
    Str session_id;
    bool can_read, can_write;
    bool has_written, is_slow; /* in this turn */
    /* Paths whose text the editor gave with LF although the disk has CRLF. */
    Str *normalised;
    size_t normalised_count, normalised_capacity;
};

EditorFiles *editor_files_open(Peer *peer, Str session_id, bool can_read, bool can_write, double timeout_ms) {
    EditorFiles *editor = calloc(1, sizeof *editor);
    if (!editor)
        abort();
    editor->peer = peer;
    editor->calls = client_calls_open(peer, timeout_ms);
    editor->timeout_ms = timeout_ms;
    editor->session_id = str_copy(&editor->arena, session_id);
    editor->can_read = can_read;
    editor->can_write = can_write;
    return editor;
}

void editor_files_close(EditorFiles *editor) {
    if (!editor)
        return;
    client_calls_close(editor->calls);
    arena_free(&editor->arena);
    free(editor);
}

void editor_files_begin(EditorFiles *editor) {
    client_calls_begin(editor->calls);
    editor->has_written = editor->is_slow = false;
}

void editor_files_cancel(EditorFiles *editor) {
    client_calls_cancel(editor->calls);
}

/* ---- one blocking call ---- */

/* what: "read", "write". An error of the client is an answer too. */
static bool ask_client(EditorFiles *editor, const char *method, const char *what, Str path, Json *params,
                       ClientAnswer *answer, Err *err) {
    Err why = {0};
    double limit_ms = editor->is_slow ? editor->timeout_ms * LATER_SHARE : editor->timeout_ms;
    ClientCall call = {.method = method,
                       .params = params,
                       .timeout_ms = limit_ms,
                       .grace_ms = editor->has_written ? CANCEL_GRACE_MS : 0};
    if (client_call(editor->calls, &call, answer, &why))
        return true;
    if (why.code != ERR_LIMIT)
        return err_set(err, why.code, "%s", why.text);
    editor->is_slow = true;
    return err_set(err, ERR_IO, "the editor did not %s %.*s within %.3g s (--client-timeout says how long)",
                   what, STR_ARG(path), limit_ms / 1e3);
}

static bool refused(const ClientAnswer *answer, const char *what, Str path, Err *err) {
    Arena arena = {0};
    Str words = client_error_text(answer->error, &arena);
    err_set(err, ERR_DENIED, "the editor did not %s %.*s: %.*s", what, STR_ARG(path), STR_ARG(words));
    arena_free(&arena);
    return false;
}

/* ---- line ends ---- */

static Str without_cr(Str text, Arena *arena) {
    char *out = arena_alloc(arena, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        if (!(text.ptr[i] == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n'))
            out[n++] = text.ptr[i];
    return (Str){out, n};
}

static Str with_cr(Str text, Arena *arena) {
    size_t lines = 0;
    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    char *out = arena_alloc(arena, text.len + lines + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n')
            out[n++] = '\r';
        out[n++] = text.ptr[i];
    }
    return (Str){out, n};
}

static bool is_normalised(const EditorFiles *editor, Str path) {
    for (size_t i = 0; i < editor->normalised_count; i++)
        if (str_eq(editor->normalised[i], path))
            return true;
    return false;
}

/* What the turn should see of the editor's text, given the file's bytes on disk. */
static Str as_on_disk(EditorFiles *editor, Str path, Str text, Str disk, Arena *arena) {
    bool disk_has_crlf = str_contains(disk, S("\r\n"));
    if (!disk_has_crlf || str_contains(text, S("\r\n")))
        return text;
    if (!is_normalised(editor, path))
        LIST_PUSH(&editor->arena, editor->normalised, editor->normalised_count, editor->normalised_capacity,
                  str_copy(&editor->arena, path));
    return str_eq(without_cr(disk, arena), text) ? disk : with_cr(text, arena);
}

/* ---- FileIo ---- */

static Json *path_params(const EditorFiles *editor, Str path) {
    Json *params = json_object();
    json_put_str(params, "sessionId", editor->session_id);
    json_put_str(params, "path", path);
    return params;
}

/* The text of an answer; false with a sentence when there is none. */
static bool take_text(const ClientAnswer *answer, Str path, Str *text, Err *err) {
    const Json *content = json_find(answer->result, "content");
    if (!cJSON_IsString(content))
        return err_set(err, ERR_IO, "the editor's answer about %.*s holds no text", STR_ARG(path));
    *text = json_str_value(content);
    return text->len <= FILE_MAX_BYTES ||
           err_set(err, ERR_LIMIT, "%.*s is %zu bytes in the editor, more than the limit of %zu",
                   STR_ARG(path), text->len, FILE_MAX_BYTES);
}

/* The disk is looked at first: what is binary or too large there is not worth opening in an editor. */
static bool read_file(void *ctx, Str path, Arena *arena, Str *text, Err *err) {
    EditorFiles *editor = ctx;
    FileIo disk_io = file_io_disk();
    Err disk_err = {0};
    Str disk = S(""), given = S("");
    bool on_disk = disk_io.read(disk_io.ctx, path, arena, &disk, &disk_err);
    bool by_disk = !editor->can_read || peer_is_pump_thread(editor->peer) ||
                   disk_err.code == ERR_UNSUPPORTED || disk_err.code == ERR_LIMIT;
    ClientAnswer answer = {0};
    if (!by_disk) {
        if (!ask_client(editor, "fs/read_text_file", "read", path, path_params(editor, path), &answer, err))
            return false;
        int64_t code = json_int(answer.error, "code", 0);
        if (code == RPC_METHOD_NOT_FOUND)
            editor->can_read = false;
        by_disk = answer.error &&
                  (code == RPC_METHOD_NOT_FOUND || code == RPC_NOT_FOUND || disk_err.code == ERR_NOT_FOUND);
    }
    bool ok = on_disk;
    if (by_disk) {
        *text = disk;
        if (!on_disk)
            err_set(err, disk_err.code, "%s", disk_err.text);
    } else {
        ok = answer.error ? refused(&answer, "read", path, err) : take_text(&answer, path, &given, err);
        if (ok) {
            given = str_copy(arena, given);
            *text = on_disk ? as_on_disk(editor, path, given, disk, arena) : given;
        }
    }
    client_answer_free(&answer);
    return ok;
}

static bool write_file(void *ctx, Str path, Str text, Err *err) {
    EditorFiles *editor = ctx;
    if (peer_is_pump_thread(editor->peer))
        return err_set(err, ERR_INTERNAL, "a file cannot be written through the editor at this moment");
    Arena scratch = {0};
    Json *params = path_params(editor, path);
    json_put_str(params, "content", is_normalised(editor, path) ? without_cr(text, &scratch) : text);
    arena_free(&scratch);
    editor->has_written = true;
    ClientAnswer answer;
    if (!ask_client(editor, "fs/write_text_file", "write", path, params, &answer, err))
        return false;
    bool ok = !answer.error || refused(&answer, "write", path, err);
    client_answer_free(&answer);
    return ok;
}

FileIo editor_files_io(EditorFiles *editor) {
    return (FileIo){.ctx = editor, .read = read_file, .write = editor->can_write ? write_file : NULL};
}
