#define _GNU_SOURCE
#include "acp/editor_files.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/os.h"

/* How long a client may take over a write after the turn was cancelled. */
#define CANCEL_GRACE_MS 3000

struct EditorFiles {
    Peer *peer;
    Arena arena;
    Str session_id;
    bool can_read, can_write;
    /* Paths whose text the editor gave with LF although the disk has CRLF. */
    Str *normalised;
    size_t normalised_count, normalised_capacity;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    double cancelled_ms; /* 0: not cancelled */
    bool is_answered, is_cut_off;
    Json *result, *error;
};

EditorFiles *editor_files_open(Peer *peer, Str session_id, bool can_read, bool can_write) {
    EditorFiles *editor = calloc(1, sizeof *editor);
    if (!editor)
        abort();
    editor->peer = peer;
    editor->session_id = str_copy(&editor->arena, session_id);
    editor->can_read = can_read;
    editor->can_write = can_write;
    pthread_mutex_init(&editor->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&editor->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return editor;
}

void editor_files_close(EditorFiles *editor) {
    if (!editor)
        return;
    json_free(editor->result);
    json_free(editor->error);
    pthread_cond_destroy(&editor->changed);
    pthread_mutex_destroy(&editor->lock);
    arena_free(&editor->arena);
    free(editor);
}

void editor_files_begin(EditorFiles *editor) {
    pthread_mutex_lock(&editor->lock);
    editor->cancelled_ms = 0;
    pthread_mutex_unlock(&editor->lock);
}

void editor_files_cancel(EditorFiles *editor) {
    pthread_mutex_lock(&editor->lock);
    if (editor->cancelled_ms == 0)
        editor->cancelled_ms = os_monotonic_ms();
    pthread_cond_broadcast(&editor->changed);
    pthread_mutex_unlock(&editor->lock);
}

/* ---- one blocking call ---- */

static void take_answer(void *ctx, const Json *result, const Json *error) {
    EditorFiles *editor = ctx;
    pthread_mutex_lock(&editor->lock);
    editor->is_answered = true;
    editor->is_cut_off = !result && !error;
    editor->result = result ? cJSON_Duplicate(result, true) : NULL;
    editor->error = error ? cJSON_Duplicate(error, true) : NULL;
    pthread_cond_broadcast(&editor->changed);
    pthread_mutex_unlock(&editor->lock);
}

/* The lock is held. True when waiting any longer makes no sense. */
static bool wait_a_moment(EditorFiles *editor, bool is_write) {
    if (editor->cancelled_ms == 0) {
        pthread_cond_wait(&editor->changed, &editor->lock);
        return false;
    }
    double end_ms = editor->cancelled_ms + (is_write ? CANCEL_GRACE_MS : 0);
    if (os_monotonic_ms() >= end_ms)
        return true;
    struct timespec end = {.tv_sec = (time_t)(end_ms / 1e3)};
    end.tv_nsec = (long)((end_ms - (double)end.tv_sec * 1e3) * 1e6);
    pthread_cond_timedwait(&editor->changed, &editor->lock, &end);
    return false;
}

/* Calls the client and waits. True when an answer is in editor->result or editor->error. */
static bool call_client(EditorFiles *editor, const char *method, Json *params, bool is_write, Err *err) {
    pthread_mutex_lock(&editor->lock);
    json_free(editor->result);
    json_free(editor->error);
    editor->result = editor->error = NULL;
    editor->is_answered = editor->is_cut_off = false;
    pthread_mutex_unlock(&editor->lock);
    CallId call;
    peer_call(editor->peer, method, params, take_answer, editor, &call);
    pthread_mutex_lock(&editor->lock);
    bool gave_up = false;
    while (!editor->is_answered && !gave_up)
        gave_up = wait_a_moment(editor, is_write);
    if (gave_up) {
        pthread_mutex_unlock(&editor->lock);
        bool was_open = peer_withdraw(editor->peer, call);
        pthread_mutex_lock(&editor->lock);
        while (!was_open && !editor->is_answered) /* the answer is being delivered this moment */
            pthread_cond_wait(&editor->changed, &editor->lock);
    }
    bool has_answer = editor->is_answered && !editor->is_cut_off;
    pthread_mutex_unlock(&editor->lock);
    return has_answer ||
           err_set(err, ERR_CANCELLED, "the editor did not answer %s before the turn ended", method);
}

/* The client's words about a failed call: message, and details where it gives them. */
static bool refused(const EditorFiles *editor, const char *what, Str path, Err *err) {
    Str message = json_str(editor->error, "message");
    const Json *data = json_find(editor->error, "data");
    Str details = cJSON_IsString(data) ? json_str_value(data) : json_str(data, "details");
    return err_set(err, ERR_DENIED, "the editor did not %s %.*s: %.*s%s%.*s", what, STR_ARG(path),
                   STR_ARG(str_slice(message, 0, 200)), details.len ? ": " : "",
                   STR_ARG(str_slice(details, 0, 200)));
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

/* The disk is looked at first: what is binary or too large there is not worth opening in an editor. */
static bool read_file(void *ctx, Str path, Arena *arena, Str *text, Err *err) {
    EditorFiles *editor = ctx;
    FileIo disk_io = file_io_disk();
    Err disk_err = {0};
    Str disk = S("");
    bool on_disk = disk_io.read(disk_io.ctx, path, arena, &disk, &disk_err);
    if (!editor->can_read || peer_is_pump_thread(editor->peer) || disk_err.code == ERR_UNSUPPORTED ||
        disk_err.code == ERR_LIMIT) {
        *text = disk;
        return on_disk || err_set(err, disk_err.code, "%s", disk_err.text);
    }
    if (!call_client(editor, "fs/read_text_file", path_params(editor, path), false, err))
        return false;
    if (editor->error) {
        int64_t code = json_int(editor->error, "code", 0);
        if (code == RPC_METHOD_NOT_FOUND)
            editor->can_read = false;
        if (code == RPC_METHOD_NOT_FOUND || code == RPC_NOT_FOUND || disk_err.code == ERR_NOT_FOUND) {
            *text = disk;
            return on_disk || err_set(err, disk_err.code, "%s", disk_err.text);
        }
        return refused(editor, "read", path, err);
    }
    const Json *content = json_find(editor->result, "content");
    if (!cJSON_IsString(content))
        return err_set(err, ERR_IO, "the editor's answer about %.*s holds no text", STR_ARG(path));
    Str given = json_str_value(content);
    if (given.len > FILE_MAX_BYTES)
        return err_set(err, ERR_LIMIT, "%.*s is %zu bytes in the editor, more than the limit of %zu",
                       STR_ARG(path), given.len, FILE_MAX_BYTES);
    given = str_copy(arena, given);
    *text = on_disk ? as_on_disk(editor, path, given, disk, arena) : given;
    return true;
}

static bool write_file(void *ctx, Str path, Str text, Err *err) {
    EditorFiles *editor = ctx;
    Arena scratch = {0};
    Json *params = path_params(editor, path);
    json_put_str(params, "content", is_normalised(editor, path) ? without_cr(text, &scratch) : text);
    arena_free(&scratch);
    if (peer_is_pump_thread(editor->peer)) {
        json_free(params);
        return err_set(err, ERR_INTERNAL, "a file cannot be written through the editor at this moment");
    }
    if (!call_client(editor, "fs/write_text_file", params, true, err))
        return false;
    return editor->error ? refused(editor, "write", path, err) : true;
}

FileIo editor_files_io(EditorFiles *editor) {
    return (FileIo){.ctx = editor, .read = read_file, .write = editor->can_write ? write_file : NULL};
}
