/* What is said once: what the agent is and can do. */
#include "acp/v1.h"

#include "acp/version.h"

/* Requests of our own (docs/extensions.md). */
static void put_extensions(Json *mux) {
    static const char *const METHODS[] = {"_mux/ping",       "_mux/health",      "_mux/stats",
                                          "_mux/list_files", "_mux/apply_patch", "_mux/undo"};
    json_put_str(mux, "version", S(MUX_VERSION));
    Json *methods = json_put_array(mux, "methods");
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++)
        json_push(methods, json_text(str_of(METHODS[i])));
}

Json *v1_initialize_result(bool keeps_sessions) {
    Json *result = json_object();
    json_put_int(result, "protocolVersion", 1);
    Json *info = json_put_object(result, "agentInfo");
    json_put_str(info, "name", S("mux-acp"));
    json_put_str(info, "title", S("Mux"));
    json_put_str(info, "version", S(MUX_VERSION));
    json_put_array(result, "authMethods");
    Json *capabilities = json_put_object(result, "agentCapabilities");
    json_put_bool(capabilities, "loadSession", keeps_sessions);
    Json *prompt = json_put_object(capabilities, "promptCapabilities");
    json_put_bool(prompt, "image", false);
    json_put_bool(prompt, "audio", false);
    json_put_bool(prompt, "embeddedContext", true);
    Json *mcp = json_put_object(capabilities, "mcpCapabilities");
    json_put_bool(mcp, "http", false);
    json_put_bool(mcp, "sse", false);
    Json *session = json_put_object(capabilities, "sessionCapabilities");
    json_put_object(session, "close");
    json_put_object(session, "additionalDirectories");
    static const char *const KEEPING[] = {"list", "resume", "delete", "fork", "status", "title"};
    for (size_t i = 0; keeps_sessions && i < sizeof KEEPING / sizeof *KEEPING; i++)
        json_put_object(session, KEEPING[i]);
    put_extensions(json_put_object(json_put_object(capabilities, "_meta"), "mux"));
    return result;
}
