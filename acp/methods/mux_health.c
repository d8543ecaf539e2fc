/* _mux/ping, _mux/health and _mux/stats: answered at once, whatever else is going on. */
#include "acp/connection_internal.h"
#include "acp/methods/methods.h"
#include "acp/version.h"
#include "base/os.h"

static void ping(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)ctx;
    peer_reply(peer, message->id, json_object());
}

static PlannerStats planner_numbers(const Connection *connection) {
    PlannerStats stats = {0};
    if (connection->planner)
        planner_stats(connection->planner, &stats);
    return stats;
}

/* Only what is known without opening anything. */
static void put_models(const Connection *connection, Json *list) {
    const ConnectionHost *host = &connection->config.host;
    const ModelCard *models = NULL;
    size_t count = connection->planner && host->models ? host->models(host->ctx, &models) : 0;
    for (size_t i = 0; i < count; i++) {
        Json *model = json_object();
        json_put_str(model, "name", models[i].name);
        json_put_bool(model, "embedded", models[i].is_embedded);
        json_put_bool(model, "scripted", models[i].is_scripted);
        json_push(list, model);
    }
}

static void health(void *ctx, Peer *peer, const RpcMessage *message) {
    const Connection *connection = ctx;
    PlannerStats stats = planner_numbers(connection);
    Json *result = json_object();
    json_put_str(result, "status", S("ok"));
    json_put_str(result, "version", S(MUX_VERSION));
    json_put_int(result, "uptimeMs", (int64_t)(os_monotonic_ms() - connection->opened_ms));
    json_put_int(result, "sessions", (int64_t)stats.sessions_open);
    json_put_int(result, "runningTurns", (int64_t)stats.turns_running);
    json_put_int(result, "rssBytes", (int64_t)os_resident_bytes());
    int64_t loading = 0;
    for (const AcpSession *session = connection->sessions; session; session = session->next)
        loading += session_is_loading(session->session);
    json_put_int(result, "loadingModels", loading);
    put_models(connection, json_put_array(result, "models"));
    peer_reply(peer, message->id, result);
}

static void put_counts(Json *out, const PlannerStats *stats) {
    json_put_int(out, "sessionsOpen", (int64_t)stats->sessions_open);
    json_put_int(out, "turnsRunning", (int64_t)stats->turns_running);
    json_put_int(out, "turns", (int64_t)stats->turns);
    json_put_int(out, "turnsCancelled", (int64_t)stats->turns_cancelled);
    json_put_int(out, "turnsFailed", (int64_t)stats->turns_failed);
    json_put_int(out, "prompts", (int64_t)stats->prompts);
    json_put_int(out, "promptTokens", (int64_t)stats->prompt_tokens);
    json_put_int(out, "cachedTokens", (int64_t)stats->cached_tokens);
    json_put_int(out, "outputTokens", (int64_t)stats->output_tokens);
    json_put_int(out, "toolCalls", (int64_t)stats->tool_calls);
    json_put_int(out, "filesChanged", (int64_t)stats->files_changed);
}

static void stats(void *ctx, Peer *peer, const RpcMessage *message) {
    const Connection *connection = ctx;
    PlannerStats numbers = planner_numbers(connection);
    PeerStats wire;
    peer_stats(peer, &wire);
    Json *result = json_object(), *protocol = json_object();
    put_counts(json_put_object(result, "planner"), &numbers);
    json_put_int(protocol, "messagesIn", (int64_t)wire.messages_in);
    json_put_int(protocol, "messagesOut", (int64_t)wire.messages_out);
    json_put_int(protocol, "bytesIn", (int64_t)wire.bytes_in);
    json_put_int(protocol, "bytesOut", (int64_t)wire.bytes_out);
    json_put_int(protocol, "refusals", (int64_t)wire.refusals);
    json_put_int(protocol, "openCalls", (int64_t)wire.open_calls);
    json_put_int(protocol, "outboxBytes", (int64_t)wire.outbox_bytes);
    json_put_int(protocol, "outboxBytesMost", (int64_t)wire.outbox_bytes_most);
    json_put(result, "protocol", protocol);
    json_put_int(result, "rssBytes", (int64_t)os_resident_bytes());
    peer_reply(peer, message->id, result);
}

const Method METHOD_MUX_PING = {"_mux/ping", METHOD_REQUEST, ping};
const Method METHOD_MUX_HEALTH = {"_mux/health", METHOD_REQUEST, health};
const Method METHOD_MUX_STATS = {"_mux/stats", METHOD_REQUEST, stats};
