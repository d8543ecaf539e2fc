/* Params of every method, field by field: left out, of every wrong type, huge, deep, and with fields that
 * nobody knows. Each request gets one answer with the right code, -32602 names the field, and the agent
 * lives. With the published schema the table is also checked to hold every field of every method. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acp/methods/methods.h"
#include "base/os.h"
#include "tests/fakes/client.h"
#include "tests/fakes/params_table.h"
#include "tests/runner.h"

/* Methods of the schema that this agent does not offer. */
static const char *const NOT_OFFERED[] = {"logout"};

static bool is_offered(const char *method) {
    for (size_t i = 0; i < ACP_METHOD_COUNT; i++)
        if (strcmp(ACP_METHODS[i]->name, method) == 0)
            return true;
    return false;
}

/* ---- places inside params ---- */

/* The parent of what the path names; *key or *index is the last step. NULL when the path leads nowhere. */
static Json *parent_of(Json *root, const char *path, char key[64], int *index) {
    Json *parent = root;
    for (const char *p = path;;) {
        size_t n = strcspn(p, ".[");
        bool is_index = *p >= '0' && *p <= '9';
        if (is_index)
            n = strcspn(p, "]") + 1;
        CHECK(n < 64);
        snprintf(key, 64, "%.*s", (int)n, p);
        *index = is_index ? atoi(p) : -1;
        p += n;
        p += *p == '.' || *p == '[';
        if (!*p)
            return parent;
        parent = *index >= 0 ? cJSON_GetArrayItem(parent, *index) : json_find(parent, key);
        if (!parent)
            return NULL;
    }
}

/* value NULL: taken out. value is taken over. */
static void put_at(Json *root, const char *path, Json *value) {
    char key[64];
    int index;
    Json *parent = parent_of(root, path, key, &index);
    CHECK_MSG(parent != NULL, "the path %s leads nowhere", path);
    if (index >= 0 && value)
        cJSON_ReplaceItemInArray(parent, index, value);
    else if (index >= 0)
        cJSON_DeleteItemFromArray(parent, index);
    else if (value)
        json_put(parent, key, value);
    else
        cJSON_DeleteItemFromObjectCaseSensitive(parent, key);
}

static const Json *value_at(Json *root, const char *path) {
    char key[64];
    int index;
    Json *parent = parent_of(root, path, key, &index);
    return index >= 0 ? cJSON_GetArrayItem(parent, index) : json_find(parent, key);
}

/* ---- asking ---- */

typedef struct Bench {
    TestClient client;
    const char *session;
    bool is_session_gone;
    Arena arena;
    int next_id;
    size_t asked;
} Bench;

static Json *ask(Bench *bench, const char *method, const Json *params) {
    Buf line = {0};
    Arena arena = {0};
    int id = ++bench->next_id;
    buf_printf(&line, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":", id, method);
    json_print(params, &line);
    buf_cstr(&line, "}");
    client_send(&bench->client, str_cstr(&arena, buf_text(&line)));
    Json *answer = client_answer(&bench->client, str_printf(&arena, "%d", id).ptr);
    CHECK_MSG(answer != NULL, "no answer to %.*s", STR_ARG(str_slice(buf_text(&line), 0, 600)));
    bench->asked++;
    buf_free(&line);
    arena_free(&arena);
    return answer;
}

static void open_session(Bench *bench) {
    Json *params = json_object();
    json_put_str(params, "cwd", str_of(test_tmp()));
    json_put_array(params, "mcpServers");
    Json *answer = ask(bench, "session/new", params);
    bench->session = str_cstr(&bench->arena, json_str(json_find(answer, "result"), "sessionId"));
    CHECK(*bench->session);
    json_free(params);
    json_free(answer);
}

static Str replace_all(Arena *arena, Str text, const char *word, const char *by) {
    Buf out = {0};
    for (size_t at; (at = str_find(text, str_of(word), 0)) != STR_NONE;
         text = str_from(text, at + strlen(word))) {
        buf_str(&out, str_slice(text, 0, at));
        buf_cstr(&out, by);
    }
    buf_str(&out, text);
    text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

static Json *valid_params(Bench *bench, const ParamsRow *row) {
    if (bench->is_session_gone)
        open_session(bench);
    bench->is_session_gone = row->ends_session;
    Str text = replace_all(&bench->arena, str_of(row->params), "SESSION", bench->session);
    text = replace_all(&bench->arena, text, "CWD", test_tmp());
    Err err = {0};
    Json *params = json_parse(replace_all(&bench->arena, text, "TMP", "/tmp"), &err);
    CHECK_OK(params != NULL, err);
    return params;
}

static bool is_named(Str field, const char *path) {
    Str wanted = str_of(path);
    return field.len && (str_starts(field, wanted) || str_starts(wanted, field));
}

/* One request with the field changed. must_refuse: -32602 naming the field; otherwise that, or what the valid
 * params give. */
static void check_change(Bench *bench, const ParamsRow *row, const char *path, Json *value, bool must_refuse,
                         const char *what) {
    Json *params = valid_params(bench, row);
    put_at(params, path, value);
    Json *answer = ask(bench, row->method, params);
    const Json *error = json_find(answer, "error");
    int code = (int)json_int(error, "code", 0);
    Str field = json_str(json_find(error, "data"), "field");
    bool is_named_refusal = code == -32602 && is_named(field, path);
    CHECK_MSG(is_named_refusal || !must_refuse, "%s: %s %s gives code %d, field \"%.*s\"", row->method, path,
              what, code, STR_ARG(field));
    bool is_unknown_session = code == -32002 && strcmp(path, "sessionId") == 0;
    CHECK_MSG(is_named_refusal || code == row->code || is_unknown_session,
              "%s: %s %s gives code %d, field \"%.*s\"", row->method, path, what, code, STR_ARG(field));
    json_free(params);
    json_free(answer);
}

static void bench_open(Bench *bench) {
    *bench = (Bench){0};
    client_open(&bench->client, NULL);
    open_session(bench);
}

static void bench_close(Bench *bench) {
    Json *params = json_parse(S("{\"protocolVersion\":1}"), NULL);
    Json *answer = ask(bench, "initialize", params);
    CHECK(json_find(answer, "result"));
    json_free(params);
    json_free(answer);
    CHECK_INT(client_end(&bench->client), 0);
    arena_free(&bench->arena);
}

static void each_field(void (*check)(Bench *bench, const ParamsRow *row, const Field *field)) {
    Bench bench;
    bench_open(&bench);
    for (const ParamsRow *row = PARAMS_ROWS; row < PARAMS_ROWS + PARAMS_ROW_COUNT; row++)
        for (const Field *field = row->fields; field->path && is_offered(row->method); field++)
            check(&bench, row, field);
    bench_close(&bench);
}

/* ---- the variants ---- */

static void check_missing(Bench *bench, const ParamsRow *row, const Field *field) {
    size_t n = strlen(field->path);
    if (field->path[n - 1] != ']') /* an array may be shorter */
        check_change(bench, row, field->path, NULL, field->rule != OPTIONAL, "left out");
}

static void test_missing(void) {
    each_field(check_missing);
}

static void check_types(Bench *bench, const ParamsRow *row, const Field *field) {
    static const char *const VALUES[] = {"17",    "-1.5", "true",      "\"a string\"", "[]",
                                         "[[1]]", "{}",   "{\"a\":1}", "null"};
    Json *params = valid_params(bench, row);
    int type = value_at(params, field->path)->type & 0xFF;
    json_free(params);
    for (size_t i = 0; i < sizeof VALUES / sizeof *VALUES; i++) {
        Json *value = json_parse(str_of(VALUES[i]), NULL);
        bool is_same =
            (value->type & 0xFF) == type || (cJSON_IsBool(value) && (type & (cJSON_True | cJSON_False)));
        bool may_be_null = cJSON_IsNull(value) && field->rule != REQUIRED;
        if (is_same)
            json_free(value);
        else
            check_change(bench, row, field->path, value, field->rule != OPTIONAL && !may_be_null, VALUES[i]);
    }
}

static void test_wrong_types(void) {
    each_field(check_types);
}

static void check_sizes(Bench *bench, const ParamsRow *row, const Field *field) {
    Buf text = {0};
    buf_repeat(&text, 'x', (size_t)1 << 20);
    check_change(bench, row, field->path, json_text(buf_text(&text)), false, "a MiB long");
    buf_clear(&text);
    buf_char(&text, '/');
    buf_repeat(&text, '/', 70000);
    check_change(bench, row, field->path, json_text(buf_text(&text)), false, "many slashes");
    buf_free(&text);
    Json *many = json_array();
    for (int i = 0; i < 20000; i++)
        json_push(many, json_object());
    check_change(bench, row, field->path, many, false, "20,000 objects");
    Json *deep = json_object();
    for (int i = 0; i < JSON_MAX_DEPTH - 12; i++) {
        Json *outer = i % 2 ? json_object() : json_array();
        if (i % 2)
            json_put(outer, "type", deep);
        else
            json_push(outer, deep);
        deep = outer;
    }
    check_change(bench, row, field->path, deep, false, "deep");
    static const char *const NUMBERS[] = {"1e308", "-1e308", "9223372036854775808", "1e-300", "-0"};
    for (size_t i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++)
        check_change(bench, row, field->path, json_parse(str_of(NUMBERS[i]), NULL), false, NUMBERS[i]);
    static const char *const TEXTS[] = {
        "", " ", "/", "..", "file://", "file:///%00%ff", "\xF0\x9F\x98\x80", "a\nb\tc\x7F", "%s%n", "'; --"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        check_change(bench, row, field->path, json_text(str_of(TEXTS[i])), false, TEXTS[i]);
}

static void test_sizes(void) {
    each_field(check_sizes);
}

/* Puts members that nobody knows into every object. */
static void add_extras(Json *value) {
    JSON_EACH(child, value)
    add_extras(child);
    if (!cJSON_IsObject(value))
        return;
    json_put_str(value, "surplus", S("x"));
    json_put_array(json_put_object(value, "futureField"), "list");
    json_put(json_put_object(value, "_meta"), "traceparent", json_text(S("00-0af7")));
}

static void test_unknown_fields(void) {
    Bench bench;
    bench_open(&bench);
    for (const ParamsRow *row = PARAMS_ROWS; row < PARAMS_ROWS + PARAMS_ROW_COUNT; row++) {
        if (!is_offered(row->method))
            continue;
        for (int with_extras = 0; with_extras < 2; with_extras++) {
            Json *params = valid_params(&bench, row);
            if (with_extras)
                add_extras(params);
            Json *answer = ask(&bench, row->method, params);
            CHECK_MSG(json_int(json_find(answer, "error"), "code", 0) == row->code, "%s %s extras: %s",
                      row->method, with_extras ? "with" : "without", cJSON_PrintUnformatted(answer));
            json_free(params);
            json_free(answer);
        }
    }
    bench_close(&bench);
}

static void test_unknown_values(void) {
    static const struct {
        const char *method, *path, *value;
        bool must_refuse;
    } CHANGES[] = {
        {"initialize", "protocolVersion", "99", false},
        {"initialize", "protocolVersion", "0", false},
        {"initialize", "clientCapabilities.elicitation", "{\"voice\":{}}", false},
        {"session/set_mode", "modeId", "\"no-such\"", true},
        {"session/set_config_option", "configId", "\"no-such\"", true},
        {"session/set_config_option", "value", "\"no-such\"", true},
        {"session/prompt", "prompt[0].type", "\"hologram\"", true},
        {"session/prompt", "prompt[0]", "{\"type\":\"image\",\"data\":\"AA==\",\"mimeType\":\"image/png\"}",
         true},
        {"session/prompt", "prompt[0]", "{\"type\":\"audio\",\"data\":\"AA==\",\"mimeType\":\"audio/wav\"}",
         true},
        {"session/prompt", "prompt[0].annotations", "{\"audience\":[\"robots\"],\"priority\":-9}", false},
        {"session/prompt", "prompt", "[]", true},
        {"session/new", "cwd", "\"relative/path\"", true},
        {"session/new", "cwd", "\"\"", true},
        {"session/new", "additionalDirectories[0]", "\"relative\"", true},
        {"session/new", "mcpServers", "[{\"type\":\"carrier-pigeon\",\"name\":\"p\"}]", false},
        {"session/new", "mcpServers",
         "[{\"type\":\"http\",\"name\":\"h\",\"url\":\"http://localhost:1/\",\"headers\":[]}]", false},
        {"session/new", "mcpServers", "[{\"type\":\"acp\",\"name\":\"h\",\"serverId\":\"x\"}]", false},
        {"session/list", "cursor", "\"no such cursor\"", true},
    };
    Bench bench;
    bench_open(&bench);
    for (size_t i = 0; i < sizeof CHANGES / sizeof *CHANGES; i++)
        for (const ParamsRow *row = PARAMS_ROWS; row < PARAMS_ROWS + PARAMS_ROW_COUNT; row++)
            if (strcmp(row->method, CHANGES[i].method) == 0 && is_offered(row->method))
                check_change(&bench, row, CHANGES[i].path, json_parse(str_of(CHANGES[i].value), NULL),
                             CHANGES[i].must_refuse, CHANGES[i].value);
    bench_close(&bench);
}

/* params that are no object at all, or not there. */
static void test_no_object(void) {
    static const char *const PARAMS[] = {"null", "[]", "[1,2]", "7", "\"text\"", "true", "{}"};
    Bench bench;
    bench_open(&bench);
    for (const ParamsRow *row = PARAMS_ROWS; row < PARAMS_ROWS + PARAMS_ROW_COUNT; row++) {
        bool needs_any = false;
        for (const Field *field = row->fields; field->path; field++)
            needs_any = needs_any || field->rule != OPTIONAL;
        for (size_t i = 0; i < sizeof PARAMS / sizeof *PARAMS && is_offered(row->method); i++) {
            Json *params = json_parse(str_of(PARAMS[i]), NULL);
            Json *answer = ask(&bench, row->method, params);
            int code = (int)json_int(json_find(answer, "error"), "code", 0);
            CHECK_MSG(code == (needs_any ? -32602 : 0) || (!needs_any && code == -32602),
                      "%s with params %s gives code %d", row->method, PARAMS[i], code);
            json_free(params);
            json_free(answer);
        }
    }
    bench_close(&bench);
}

/* Notifications with nonsense in them are ignored. */
static void test_notifications(void) {
    static const char *const METHODS[] = {"session/cancel", "$/cancel_request"};
    static const char *const PARAMS[] = {"null",
                                         "[]",
                                         "7",
                                         "{}",
                                         "{\"sessionId\":null,\"requestId\":{}}",
                                         "{\"sessionId\":[],\"requestId\":[1]}",
                                         "{\"sessionId\":\"no-such\",\"requestId\":\"no-such\"}",
                                         "{\"sessionId\":1e308,\"requestId\":-1.5}"};
    Bench bench;
    bench_open(&bench);
    for (size_t m = 0; m < 2; m++)
        for (size_t i = 0; i < sizeof PARAMS / sizeof *PARAMS; i++)
            client_send(&bench.client,
                        str_printf(&bench.arena, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":%s}",
                                   METHODS[m], PARAMS[i])
                            .ptr);
    Json *params = json_parse(S("{\"protocolVersion\":1}"), NULL);
    client_send(&bench.client, "{\"jsonrpc\":\"2.0\",\"id\":1000,\"method\":\"initialize\",\"params\":{"
                               "\"protocolVersion\":1}}");
    Json *next = client_next(&bench.client);
    if (str_eq(json_str(next, "method"), S("session/update"))) { /* what follows session/new */
        json_free(next);
        next = client_next(&bench.client);
    }
    CHECK_INT(json_int(next, "id", 0), 1000); /* nothing came before */
    json_free(next);
    json_free(params);
    bench_close(&bench);
}

/* ---- the table against the published schema ---- */

static const ParamsRow *row_of(Str method) {
    for (size_t i = 0; i < PARAMS_ROW_COUNT; i++)
        if (str_eq(method, str_of(PARAMS_ROWS[i].method)))
            return &PARAMS_ROWS[i];
    return NULL;
}

static void check_definition(const Json *definition, Str method) {
    const ParamsRow *row = row_of(method);
    for (size_t i = 0; i < sizeof NOT_OFFERED / sizeof *NOT_OFFERED; i++)
        if (str_eq(method, str_of(NOT_OFFERED[i])))
            return;
    CHECK_MSG(row != NULL, "%.*s is not in the table", STR_ARG(method));
    Json *params = json_parse(str_of(row->params), NULL);
    JSON_EACH(property, json_find(definition, "properties"))
    CHECK_MSG(strcmp(property->string, "_meta") == 0 || json_find(params, property->string),
              "%s has no %s in the table", row->method, property->string);
    JSON_EACH(name, json_find(definition, "required")) {
        bool is_required = false;
        for (const Field *field = row->fields; field->path; field++)
            is_required =
                is_required || (field->rule != OPTIONAL && str_eq(json_str_value(name), str_of(field->path)));
        CHECK_MSG(is_required, "%s requires %s", row->method, name->valuestring);
    }
    json_free(params);
}

static void test_table_is_whole(void) {
    Arena arena = {0};
    Str path = test_shared(&arena, "acp/schema.json"), text = S("");
    Err err = {0};
    CHECK_OK(os_read_file(path.ptr, (size_t)8 << 20, &arena, &text, &err), err);
    Json *schema = json_parse(text, &err);
    CHECK_OK(schema != NULL, err);
    size_t methods = 0;
    JSON_EACH(definition, json_find(schema, "$defs")) {
        bool is_request = strstr(definition->string, "Request") && !strstr(definition->string, "Response");
        if (!is_request || !str_eq(json_str(definition, "x-side"), S("agent")))
            continue;
        check_definition(definition, json_str(definition, "x-method"));
        methods++;
    }
    CHECK_MSG(methods >= 12, "the schema holds %zu methods of an agent", methods);
    json_free(schema);
    arena_free(&arena);
}

static const TestCase CASES[] = {
    {"missing", test_missing},
    {"wrong_types", test_wrong_types},
    {"sizes", test_sizes},
    {"unknown_fields", test_unknown_fields},
    {"unknown_values", test_unknown_values},
    {"no_object", test_no_object},
    {"notifications", test_notifications},
    {"table_is_whole", test_table_is_whole},
};
TEST_SUITE(ACP_PARAMS_SUITE, "params", CASES);
