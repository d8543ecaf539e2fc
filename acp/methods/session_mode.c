/* session/set_mode and session/set_config_option: two ways to choose, kept in step. */
#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

/* A session that names no model works with the one that the agent was started with. */
static Str model_in_use(const V1Choices *choices, Str chosen) {
    if (chosen.len || choices->configured.len)
        return chosen.len ? chosen : choices->configured;
    for (size_t i = 0; i < choices->model_count; i++)
        if (choices->models[i].is_embedded)
            return choices->models[i].name;
    return choices->model_count ? choices->models[0].name : S("");
}

V1Choices session_choices(AcpSession *session) {
    const Connection *connection = session->connection;
    const ConnectionHost *host = &connection->config.host;
    SessionOptions options = session_options(session->session);
    V1Choices choices = {.mode = options.review,
                         .grain = options.grain,
                         .is_terse = options.is_terse,
                         .takes_booleans = connection->client.has_boolean_options,
                         .is_loading = session_is_loading(session->session),
                         .configured = connection->config.model};
    if (host->models)
        choices.model_count = host->models(host->ctx, &choices.models);
    choices.model = model_in_use(&choices, options.model);
    return choices;
}

/* ---- telling ---- */

static Json *update_params(const AcpSession *session, const char *kind, Json **update) {
    Json *params = json_object();
    json_put_str(params, "sessionId", session->id);
    *update = json_put_object(params, "update");
    json_put_str(*update, "sessionUpdate", str_of(kind));
    return params;
}

static void tell_options(AcpSession *session) {
    V1Choices choices = session_choices(session);
    Json *update;
    Json *params = update_params(session, "config_option_update", &update);
    json_put(update, "configOptions", v1_config_options(&choices));
    peer_notify(session->connection->peer, "session/update", params);
}

static void tell_mode(AcpSession *session) {
    Json *update;
    Json *params = update_params(session, "current_mode_update", &update);
    json_put_str(update, "currentModeId", str_of(v1_mode_id(session_options(session->session).review)));
    peer_notify(session->connection->peer, "session/update", params);
}

void session_tell_choices(AcpSession *session) {
    tell_mode(session);
    tell_options(session);
}

/* ---- session/set_mode ---- */

static void choose_mode(AcpSession *session, ReviewMode mode) {
    session_set_review(session->session, mode);
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
    tell_options(session);
}

/* ---- session/set_config_option ---- */

/* A value as it came: the id of a choice, or a boolean. */
typedef struct Value {
    Str id;
    bool is_boolean, is_true;
} Value;

static Value read_value(Wire *wire, const Json *params) {
    const Json *value = json_find(params, "value");
    if (cJSON_IsBool(value))
        return (Value){.is_boolean = true, .is_true = cJSON_IsTrue(value), .id = S("")};
    return (Value){.id = wire_text(wire, params, "value")};
}

static void set_mode_option(Wire *wire, AcpSession *session, const Value *value) {
    ReviewMode mode;
    if (v1_mode_of(value->id, &mode))
        choose_mode(session, mode);
    else
        wire_fail(wire, "must be ask, auto or plan", "value");
}

static void set_grain_option(Wire *wire, AcpSession *session, const Value *value) {
    ReviewGrain grain;
    if (v1_grain_of(value->id, &grain))
        session_set_grain(session->session, grain);
    else
        wire_fail(wire, "must be turn, file or hunk", "value");
}

static void set_model_option(Wire *wire, AcpSession *session, const Value *value) {
    V1Choices choices = session_choices(session);
    bool is_known =
        value->id.len && (str_eq(value->id, choices.configured) || str_eq(value->id, choices.model));
    for (size_t i = 0; i < choices.model_count && !is_known; i++)
        is_known = str_eq(choices.models[i].name, value->id);
    if (!is_known) {
        wire_fail(wire, "names no model that is known here", "value");
        return;
    }
    buf_clear(&session->model);
    buf_str(&session->model, value->id);
    session_set_model(session->session, value->id);
    session->owes_note = false;
}

static void set_thinking_option(Wire *wire, AcpSession *session, const Value *value) {
    V1Choices choices = session_choices(session);
    bool is_on = value->is_boolean ? value->is_true : str_eq(value->id, S("on"));
    if (!v1_has_thinking(&choices))
        wire_fail(wire, "is no option of the chosen model", "configId");
    else if (!value->is_boolean && !is_on && !str_eq(value->id, S("off")))
        wire_fail(wire, "must be true or false, or on or off", "value");
    else
        session_set_terse(session->session, !is_on);
}

static const struct {
    const char *id;
    void (*set)(Wire *wire, AcpSession *session, const Value *value);
} OPTIONS[] = {
    {"mode", set_mode_option},
    {"model", set_model_option},
    {"grain", set_grain_option},
    {"thinking", set_thinking_option},
};

static void set_option(Wire *wire, AcpSession *session, const Json *params) {
    Str option = wire_text(wire, params, "configId");
    Value value = read_value(wire, params);
    for (size_t i = 0; i < sizeof OPTIONS / sizeof *OPTIONS && !wire->problem; i++) {
        if (str_eq(option, str_of(OPTIONS[i].id))) {
            OPTIONS[i].set(wire, session, &value);
            return;
        }
    }
    wire_fail(wire, "must be mode, model, grain or thinking", "configId");
}

static void set_config_option(void *ctx, Peer *peer, const RpcMessage *message) {
    AcpSession *session = connection_session(ctx, message);
    if (!session)
        return;
    Wire wire = {0};
    set_option(&wire, session, message->params);
    if (wire.problem) {
        wire_refuse(peer, message->id, &wire);
        return;
    }
    V1Choices choices = session_choices(session);
    Json *result = json_object();
    json_put(result, "configOptions", v1_config_options(&choices));
    peer_reply(peer, message->id, result);
    if (str_eq(json_str(message->params, "configId"), S("mode")))
        tell_mode(session);
}

const Method METHOD_SET_MODE = {"session/set_mode", METHOD_REQUEST, set_mode};
const Method METHOD_SET_CONFIG_OPTION = {"session/set_config_option", METHOD_REQUEST, set_config_option};
