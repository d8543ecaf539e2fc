#include "acp/methods/methods.h"
#include "acp/session_setup.h"

/* What a prompt's blocks become: one text, and attachments. */
typedef struct Prompt {
    Arena *arena;
    Buf text;
    Attachment *attachments;
    size_t count, capacity;
    Str pending_name; /* of a link that may stand inside a sentence */
} Prompt;

static void add_text(Prompt *prompt, Str text) {
    /* A mention between two pieces of text is part of the sentence; one at the end is only context. */
    if (prompt->pending_name.len && prompt->text.len)
        buf_str(&prompt->text, prompt->pending_name);
    prompt->pending_name = S("");
    buf_str(&prompt->text, text);
}

static void add_attachment(Prompt *prompt, Str uri, Str text, bool has_text) {
    Attachment attachment = {.uri = uri, .text = text, .has_text = has_text};
    if (!wire_lines_of_uri(uri, &attachment.first_line, &attachment.last_line))
        attachment.first_line = attachment.last_line = 0;
    LIST_PUSH(prompt->arena, prompt->attachments, prompt->count, prompt->capacity, attachment);
    Str path = wire_path_of_uri(uri, prompt->arena);
    Str plain = str_slice(path, 0, str_find_char(path, '#', 0));
    size_t slash = str_rfind_char(plain, '/');
    prompt->pending_name = slash == STR_NONE ? plain : str_from(plain, slash + 1);
}

static void add_resource(Wire *wire, Prompt *prompt, const Json *resource, size_t i) {
    const Json *uri = json_find(resource, "uri"), *text = json_find(resource, "text");
    if (!cJSON_IsString(uri))
        wire_fail(wire, "must be a string", "prompt[%zu].resource.uri", i);
    else if (cJSON_IsString(text))
        add_attachment(prompt, json_str_value(uri), json_str_value(text), true);
    else if (cJSON_IsString(json_find(resource, "blob")) && str_starts(json_str_value(uri), S("file://")))
        add_attachment(prompt, json_str_value(uri), S(""),
                       false); /* bytes are of no use; the file may be text */
    else
        wire_fail(wire, "must be a string", "prompt[%zu].resource.text", i);
}

static void add_block(Wire *wire, Prompt *prompt, const Json *block, size_t i) {
    Str type = json_str(block, "type");
    if (str_eq(type, S("text"))) {
        const Json *text = json_find(block, "text");
        if (!cJSON_IsString(text))
            wire_fail(wire, "must be a string", "prompt[%zu].text", i);
        add_text(prompt, json_str_value(text));
    } else if (str_eq(type, S("resource_link"))) {
        const Json *uri = json_find(block, "uri");
        if (!cJSON_IsString(uri))
            wire_fail(wire, "must be a string", "prompt[%zu].uri", i);
        add_attachment(prompt, json_str_value(uri), S(""), false);
    } else if (str_eq(type, S("resource"))) {
        add_resource(wire, prompt, json_find(block, "resource"), i);
    } else {
        wire_fail(
            wire,
            "is a kind of content that this agent does not take (text, resource_link and resource it does)",
            "prompt[%zu].type", i);
    }
}

static void start(AcpSession *session, Peer *peer, const RpcMessage *message, const Ask *ask) {
    if (!updates_begin(&session->updates, message->id)) {
        peer_refuse(peer, message->id, RPC_INVALID_REQUEST,
                    S("This session is still working on the last prompt. Cancel it or wait for its answer."),
                    NULL);
        return;
    }
    turn_wait(session->session); /* the last turn has said its last word; its thread may not have ended yet */
    if (session->editor)
        editor_files_begin(session->editor);
    if (session->terminal)
        editor_terminal_begin(session->terminal);
    if (session->owes_commands)
        session_tell_commands(session);
    session->owes_commands = false;
    if (session->owes_note)
        updates_say(&session->updates, TURN_TEXT, session->connection->config.model_note);
    session->owes_note = false;
    session->had_turn = true;
    Err err = {0};
    if (turn_start(session->session, ask, updates_sink(&session->updates), &err))
        return;
    updates_abandon(&session->updates);
    if (err.code == ERR_CONFLICT)
        peer_refuse(peer, message->id, RPC_INVALID_REQUEST, str_of(err.text), NULL);
    else
        refuse_with(peer, message->id, &err);
}

static void handle(void *ctx, Peer *peer, const RpcMessage *message) {
    Connection *connection = ctx;
    Wire wire = {0};
    const Json *blocks = wire_array(&wire, message->params, "prompt");
    AcpSession *session = connection_session(connection, message);
    if (!session)
        return;
    Arena arena = {0};
    Prompt prompt = {.arena = &arena, .pending_name = S("")};
    size_t i = 0;
    JSON_EACH(block, blocks)
    add_block(&wire, &prompt, block, i++);
    if (!wire.problem && str_trim(buf_text(&prompt.text)).len == 0)
        wire_fail(&wire, "holds no text", "prompt");
    if (wire.problem) {
        wire_refuse(peer, message->id, &wire);
    } else {
        Ask ask = {buf_text(&prompt.text), prompt.attachments, prompt.count};
        start(session, peer, message, &ask);
    }
    buf_free(&prompt.text);
    arena_free(&arena);
}

const Method METHOD_SESSION_PROMPT = {"session/prompt", METHOD_REQUEST, handle};
