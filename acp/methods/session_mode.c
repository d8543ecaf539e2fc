/* session/set_mode and session/set_config_option: two ways to choose, kept in step. */
#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

static void choose_mode(AcpSession *session, ReviewMode mode) {
    session->mode = mode;
    session_set_review(session->session, mode);
}

static Json *update_params(const AcpSession *session, const char *kind, Json **update) {
    Json *params = json_object();
    json_put_str(params, "sessionId", session->id);
    *update = json_put_object(params, "update");
    json_put_str(*update, "sessionUpdate", str_of(kind));
    return params;
}

static void set_mode(void *ctx, Peer *peer, const RpcMessage *message) {
    AcpSession *session = connection_session(ctx, message);
    if (!session)
        return;
    Wire wire = {0};
    ReviewMode mode;
    Str id = wire_text(&wire, message->params, "modeId");
    if (!wire.problem && !v1_mode_of(id, &mode))
        wire_fail(&wire, "must be ask, auto or plan", "modeId");
    if (wire.problem) {
        wire_refuse(peer, message->id, &wire);
        return;
    }
    choose_mode(session, mode);
    peer_reply(peer, message->id, json_object());
    V1Choices choices = session_choices(session);
    Json *update;
    Json *params = update_params(session, "config_option_update", &update);
    json_put(update, "configOptions", v1_config_options(&choices));
    peer_notify(peer, "session/update", params);
}

static void choose_model(Wire *wire, AcpSession *session, Str name) {
    V1Choices choices = session_choices(session);
    bool is_known = choices.configured.len && str_eq(name, choices.configured);
    for (size_t i = 0; i < choices.model_count && !is_known; i++)
        is_known = str_eq(choices.models[i].name, name);
    if (!is_known) {
        wire_fail(wire, "names no model that is known here", "value");
        return;
    }
    buf_clear(&session->model);
    buf_str(&session->model, name);
    session_set_model(session->session, name);
    session->owes_note = false;
}

static void set_config_option(void *ctx, Peer *peer, const RpcMessage *message) {
    AcpSession *session = connection_session(ctx, message);
    if (!session)
        return;
    Wire wire = {0};
    Str option = wire_text(&wire, message->params, "configId"),
        value = wire_text(&wire, message->params, "value");
    ReviewMode mode = session->mode;
    bool is_mode = str_eq(option, S("mode"));
    if (wire.problem) {
    } else if (is_mode && !v1_mode_of(value, &mode)) {
        wire_fail(&wire, "must be ask, auto or plan", "value");
    } else if (is_mode) {
        choose_mode(session, mode);
    } else if (str_eq(option, S("model"))) {
        choose_model(&wire, session, value);
    } else {
        wire_fail(&wire, "must be mode or model", "configId");
    }
    if (wire.problem) {
        wire_refuse(peer, message->id, &wire);
        return;
    }
    V1Choices choices = session_choices(session);
    Json *result = json_object();
    json_put(result, "configOptions", v1_config_options(&choices));
    peer_reply(peer, message->id, result);
    if (!is_mode)
        return;
    Json *update;
    Json *params = update_params(session, "current_mode_update", &update);
    json_put_str(update, "currentModeId", str_of(v1_mode_id(mode)));
    peer_notify(peer, "session/update", params);
}

const Method METHOD_SET_MODE = {"session/set_mode", METHOD_REQUEST, set_mode};
const Method METHOD_SET_CONFIG_OPTION = {"session/set_config_option", METHOD_REQUEST, set_config_option};
