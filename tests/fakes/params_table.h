/* Valid params of every method that an agent may be asked for, with all their optional members, and what is
 * known of each. SESSION, CWD and TMP in the text stand for values of the test. */
#ifndef MUX_TESTS_PARAMS_TABLE_H
#define MUX_TESTS_PARAMS_TABLE_H

#include <stdbool.h>

typedef enum FieldRule {
    OPTIONAL,          /* may be missing or null; of a wrong type it may be ignored or refused */
    REQUIRED,          /* must be there and of its type */
    REQUIRED_OR_EMPTY, /* must be there; null may stand for nothing */
} FieldRule;

typedef struct Field {
    const char *path;
    FieldRule rule;
} Field;

#define FIELDS_MAX 20

typedef struct ParamsRow {
    const char *method, *params;
    int code; /* of the params as they are; 0: a result */
    bool ends_session;
    Field fields[FIELDS_MAX];
} ParamsRow;

static const ParamsRow PARAMS_ROWS[] = {
    {"initialize",
     "{\"protocolVersion\":1,\"clientCapabilities\":{\"fs\":{\"readTextFile\":false,\"writeTextFile\":false},"
     "\"terminal\":false,\"auth\":{\"terminal\":false},\"elicitation\":{},\"session\":{\"configOptions\":{"
     "\"boolean\":{}},\"notices\":{},\"compaction\":{}}},\"clientInfo\":{\"name\":\"t\",\"title\":null,"
     "\"version\":\"1\"}}",
     0,
     false,
     {{"protocolVersion", REQUIRED},
      {"clientCapabilities", OPTIONAL},
      {"clientCapabilities.fs", OPTIONAL},
      {"clientCapabilities.fs.readTextFile", OPTIONAL},
      {"clientCapabilities.terminal", OPTIONAL},
      {"clientCapabilities.elicitation", OPTIONAL},
      {"clientCapabilities.session", OPTIONAL},
      {"clientCapabilities.session.configOptions", OPTIONAL},
      {"clientInfo", OPTIONAL},
      {"clientInfo.version", OPTIONAL}}},
    {"authenticate", "{\"methodId\":\"none\"}", -32602, false, {{"methodId", REQUIRED}}},
    {"session/new",
     "{\"cwd\":\"CWD\",\"mcpServers\":[{\"name\":\"n\",\"command\":\"/bin/false\",\"args\":[\"a\"],"
     "\"env\":[{\"name\":\"A\",\"value\":\"b\"}]}],\"additionalDirectories\":[\"TMP\"]}",
     0,
     false,
     {{"cwd", REQUIRED},
      {"mcpServers", REQUIRED_OR_EMPTY},
      {"mcpServers[0]", REQUIRED},
      {"mcpServers[0].name", REQUIRED},
      {"mcpServers[0].command", REQUIRED},
      {"mcpServers[0].args", REQUIRED_OR_EMPTY},
      {"mcpServers[0].args[0]", REQUIRED},
      {"mcpServers[0].env", REQUIRED_OR_EMPTY},
      {"mcpServers[0].env[0]", REQUIRED},
      {"mcpServers[0].env[0].name", REQUIRED},
      {"mcpServers[0].env[0].value", REQUIRED},
      {"additionalDirectories", OPTIONAL},
      {"additionalDirectories[0]", OPTIONAL}}},
    {"session/load",
     "{\"sessionId\":\"no-such\",\"cwd\":\"CWD\",\"mcpServers\":[],\"additionalDirectories\":[\"TMP\"]}",
     -32002,
     false,
     {{"sessionId", REQUIRED},
      {"cwd", REQUIRED},
      {"mcpServers", REQUIRED_OR_EMPTY},
      {"additionalDirectories", OPTIONAL}}},
    {"session/resume",
     "{\"sessionId\":\"no-such\",\"cwd\":\"CWD\",\"mcpServers\":[],\"additionalDirectories\":[\"TMP\"]}",
     -32002,
     false,
     {{"sessionId", REQUIRED},
      {"cwd", REQUIRED},
      {"mcpServers", OPTIONAL},
      {"additionalDirectories", OPTIONAL}}},
    {"session/list",
     "{\"cwd\":\"CWD\",\"cursor\":null}",
     0,
     false,
     {{"cwd", OPTIONAL}, {"cursor", OPTIONAL}}},
    {"session/close", "{\"sessionId\":\"SESSION\"}", 0, true, {{"sessionId", REQUIRED}}},
    {"session/delete", "{\"sessionId\":\"SESSION\"}", 0, true, {{"sessionId", REQUIRED}}},
    {"session/set_mode",
     "{\"sessionId\":\"SESSION\",\"modeId\":\"auto\"}",
     0,
     false,
     {{"sessionId", REQUIRED}, {"modeId", REQUIRED}}},
    {"session/set_config_option",
     "{\"sessionId\":\"SESSION\",\"configId\":\"mode\",\"value\":\"auto\"}",
     0,
     false,
     {{"sessionId", REQUIRED}, {"configId", REQUIRED}, {"value", REQUIRED}}},
    {"session/prompt",
     "{\"sessionId\":\"SESSION\",\"prompt\":[{\"type\":\"text\",\"text\":\"say hi\",\"annotations\":{}},"
     "{\"type\":\"resource_link\",\"uri\":\"file:///a%20b.c#L1:2\",\"name\":\"a\",\"size\":3},"
     "{\"type\":\"resource\",\"resource\":{\"uri\":\"file:///c\",\"text\":\"x\",\"mimeType\":\"t/p\"}}]}",
     0,
     false,
     {{"sessionId", REQUIRED},
      {"prompt", REQUIRED},
      {"prompt[0]", REQUIRED},
      {"prompt[0].type", REQUIRED},
      {"prompt[0].text", REQUIRED},
      {"prompt[0].annotations", OPTIONAL},
      {"prompt[1]", REQUIRED},
      {"prompt[1].type", REQUIRED},
      {"prompt[1].uri", REQUIRED},
      {"prompt[1].size", OPTIONAL},
      {"prompt[2].resource", REQUIRED},
      {"prompt[2].resource.uri", REQUIRED},
      {"prompt[2].resource.text", REQUIRED},
      {"prompt[2].resource.mimeType", OPTIONAL}}},
    /* Not of the stable protocol. */
    {"session/fork",
     "{\"sessionId\":\"SESSION\",\"cwd\":\"CWD\",\"mcpServers\":[],\"additionalDirectories\":[\"TMP\"]}",
     0,
     false,
     {{"sessionId", REQUIRED},
      {"cwd", REQUIRED},
      {"mcpServers", OPTIONAL},
      {"additionalDirectories", OPTIONAL}}},
    {"session/set_title",
     "{\"sessionId\":\"no-such\",\"title\":\"t\"}",
     -32002,
     false,
     {{"sessionId", REQUIRED}, {"title", REQUIRED}}},
    {"session/status", "{\"sessionId\":\"SESSION\"}", 0, false, {{"sessionId", REQUIRED}}},
    /* Our own. */
    {"_mux/ping", "{}", 0, false, {{NULL, OPTIONAL}}},
    {"_mux/health", "{}", 0, false, {{NULL, OPTIONAL}}},
    {"_mux/stats", "{}", 0, false, {{NULL, OPTIONAL}}},
    {"_mux/list_files", "{\"sessionId\":\"SESSION\"}", 0, false, {{"sessionId", REQUIRED}}},
    {"_mux/apply_patch",
     "{\"sessionId\":\"SESSION\",\"patch\":\"\",\"tolerant\":false,\"checkOnly\":true}",
     0,
     false,
     {{"sessionId", REQUIRED}, {"patch", REQUIRED}, {"tolerant", OPTIONAL}, {"checkOnly", OPTIONAL}}},
    {"_mux/undo",
     "{\"sessionId\":\"SESSION\",\"id\":null}",
     0,
     false,
     {{"sessionId", REQUIRED}, {"id", OPTIONAL}}},
};
#define PARAMS_ROW_COUNT (sizeof PARAMS_ROWS / sizeof *PARAMS_ROWS)

#endif
