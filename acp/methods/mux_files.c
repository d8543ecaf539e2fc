/* _mux/list_files, _mux/apply_patch and _mux/undo: what a turn could do with files, asked for by the client.
 * They wait for files, so they run as tasks; files that may be open in the editor go through it. */
#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

typedef struct FileRequest {
    Session *session;
    Str patch, id;
    bool is_tolerant, check_only;
} FileRequest;

/* ---- params ---- */

static bool optional_bool(Wire *wire, const Json *params, const char *key) {
    const Json *value = json_find(params, key);
    if (value && !cJSON_IsNull(value) && !cJSON_IsBool(value))
        wire_fail(wire, "must be true or false", "%s", key);
    return cJSON_IsTrue(value);
}

static Str optional_text(Wire *wire, const Json *params, const char *key) {
    const Json *value = json_find(params, key);
    if (value && !cJSON_IsNull(value) && !cJSON_IsString(value))
        wire_fail(wire, "must be a string", "%s", key);
    return json_str_value(value);
}

/* ---- answers, on the task's thread ---- */

static void refuse(Task *task, const Err *err, const char *field) {
    Json *data = json_object();
    json_put_str(data, "kind", str_of(err_name(err->code)));
    bool is_theirs = err->code == ERR_INVALID && field;
    if (is_theirs)
        json_put_str(data, "field", str_of(field));
    RpcCode code = is_theirs                    ? RPC_INVALID_PARAMS
                   : err->code == ERR_CANCELLED ? RPC_CANCELLED
                                                : RPC_INTERNAL_ERROR;
    task_over(task);
    peer_refuse(task->peer, task->id, code, str_of(err->text), data);
}

static void reply_applied(Task *task, const Applied *applied, bool was_applied) {
    Json *result = json_object();
    json_put_bool(result, "applied", was_applied);
    Json *paths = json_put_array(result, "paths");
    for (size_t i = 0; i < applied->count; i++)
        json_push(paths, json_text(applied->paths[i]));
    if (applied->backup_id.len)
        json_put_str(result, "backupId", applied->backup_id);
    task_over(task);
    peer_reply(task->peer, task->id, result);
}

static void list_work(Task *task, void *ctx) {
    const FileRequest *request = ctx;
    Err err = {0};
    Str *files;
    size_t count;
    bool is_truncated;
    if (!session_list_files(request->session, &task->arena, &files, &count, &is_truncated, &err)) {
        refuse(task, &err, NULL);
        return;
    }
    Json *result = json_object(), *paths = json_put_array(result, "paths");
    for (size_t i = 0; i < count; i++)
        json_push(paths, json_text(files[i]));
    json_put_bool(result, "truncated", is_truncated);
    task_over(task);
    peer_reply(task->peer, task->id, result);
}

static void patch_work(Task *task, void *ctx) {
    const FileRequest *request = ctx;
    Err err = {0};
    Applied applied;
    if (session_apply_patch(request->session, request->patch, request->is_tolerant, request->check_only,
                            &task->arena, &applied, &err))
        reply_applied(task, &applied, !request->check_only && applied.count > 0);
    else
        refuse(task, &err, "patch");
}

static void undo_work(Task *task, void *ctx) {
    const FileRequest *request = ctx;
    Err err = {0};
    Applied applied;
    if (session_undo(request->session, request->id, &task->arena, &applied, &err))
        reply_applied(task, &applied, true);
    else
        refuse(task, &err, "id");
}

/* ---- starting ---- */

static void start(Connection *connection, const RpcMessage *message, AcpSession *session,
                  const FileRequest *given, void (*work)(Task *task, void *ctx)) {
    bool changes = work != list_work;
    if (changes && (updates_has_prompt(&session->updates) || tasks_has(&connection->tasks, session, false))) {
        peer_refuse(connection->peer, message->id, RPC_INVALID_REQUEST,
                    S("This session is busy. Cancel what it does or wait for its end."), NULL);
        return;
    }
    Task *task = task_begin(&connection->tasks, connection->peer, message->id, session);
    if (task && changes && session->editor)
        editor_files_begin(session->editor);
    FileRequest *request = task ? ARENA_NEW(&task->arena, FileRequest) : NULL;
    if (task) {
        *request = *given;
        request->session = session->session;
        request->patch = str_copy(&task->arena, given->patch);
        request->id = str_copy(&task->arena, given->id);
    }
    if (!task || !task_run(task, work, request))
        peer_refuse(connection->peer, message->id, RPC_INVALID_REQUEST,
                    S("Too many requests about files at once. Wait for their answers."), NULL);
}

static void list_files(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)peer;
    AcpSession *session = connection_session(ctx, message);
    if (session)
        start(ctx, message, session, &(FileRequest){0}, list_work);
}

static void apply_patch(void *ctx, Peer *peer, const RpcMessage *message) {
    AcpSession *session = connection_session(ctx, message);
    if (!session)
        return;
    Wire wire = {0};
    FileRequest request = {.patch = wire_text(&wire, message->params, "patch")};
    request.is_tolerant = optional_bool(&wire, message->params, "tolerant");
    request.check_only = optional_bool(&wire, message->params, "checkOnly");
    if (wire.problem)
        wire_refuse(peer, message->id, &wire);
    else
        start(ctx, message, session, &request, patch_work);
}

static void undo(void *ctx, Peer *peer, const RpcMessage *message) {
    AcpSession *session = connection_session(ctx, message);
    if (!session)
        return;
    Wire wire = {0};
    FileRequest request = {.id = optional_text(&wire, message->params, "id")};
    if (wire.problem)
        wire_refuse(peer, message->id, &wire);
    else
        start(ctx, message, session, &request, undo_work);
}

const Method METHOD_MUX_LIST_FILES = {"_mux/list_files", METHOD_REQUEST, list_files};
const Method METHOD_MUX_APPLY_PATCH = {"_mux/apply_patch", METHOD_REQUEST, apply_patch};
const Method METHOD_MUX_UNDO = {"_mux/undo", METHOD_REQUEST, undo};
