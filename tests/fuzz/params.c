/* Bytes -> changes to the valid params of one method -> the agent with a planner that has no model. Values
 * are taken out, replaced, doubled, wrapped and filled with the bytes themselves. The request gets one
 * answer, with a result or with a code that fits; -32602 names a field; the agent answers the next request as
 * well.
 *
 * The first byte names the method; then follow changes: where (a count of values in order), what, with what.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "acp/connection.h"
#include "tests/fakes/params_table.h"

#define CHANGES_MAX 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Sessions get names that an input can know: mux-0000000000000000, then with 1, 2, 3. */
static unsigned char next_name;

ssize_t getrandom(void *buffer, size_t size, unsigned flags) {
    (void)flags;
    memset(buffer, 0, size);
    memset(buffer, next_name++, size ? 1 : 0);
    return (ssize_t)size;
}

typedef struct Bytes {
    const uint8_t *at, *end;
} Bytes;

static unsigned next_byte(Bytes *bytes) {
    return bytes->at < bytes->end ? *bytes->at++ : 0;
}

static Planner *planner; /* of one input */

static Planner *the_planner(void *ctx, Err *err) {
    (void)ctx;
    PlannerConfig config = {0};
    if (!planner)
        planner = planner_open(&config, NULL, err);
    return planner;
}

static void require(bool condition, const char *what, Str line) {
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n%.*s\n", what, STR_ARG(line));
    abort();
}

/* ---- changes ---- */

/* The value with this number below `parent`, parents counted first, and who holds it. */
static Json *nth_value(Json *parent, unsigned *left, Json **holder) {
    JSON_EACH(child, parent) {
        if ((*left)-- == 0) {
            *holder = parent;
            return child;
        }
        Json *found = nth_value(child, left, holder);
        if (found)
            return found;
    }
    return NULL;
}

static Json *text_of_bytes(Bytes *bytes) {
    Buf text = {0};
    for (unsigned n = next_byte(bytes); n && bytes->at < bytes->end; n--)
        buf_char(&text, (char)next_byte(bytes));
    Json *value = json_text(buf_text(&text));
    buf_free(&text);
    return value;
}

static Json *some_value(Bytes *bytes) {
    static const char *const VALUES[] = {
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.5",
        "1e308",
        "\"\"",
        "[]",
        "{}",
        "[null]",
        "\"/\"",
        "\"mux-0000000000000000\"",
        "\"wait\"",
        "\"ask\"",
        "\"mode\"",
        "\"model\"",
        "\"auto\"",
        "{\"type\":\"text\",\"text\":\"say x\"}",
        "{\"type\":\"boolean\",\"value\":true}",
        "{\"name\":\"n\",\"command\":\"/bin/false\",\"args\":[],\"env\":[{\"name\":\"A\",\"value\":\"b\"}]}",
        "{\"type\":\"http\",\"name\":\"n\",\"url\":\"http://x\",\"headers\":[]}",
        "\"file:///tmp/a%2zb#L1:\""};
    unsigned choice = next_byte(bytes), count = sizeof VALUES / sizeof *VALUES;
    return choice % 4 == 3 ? text_of_bytes(bytes) : json_parse(str_of(VALUES[choice / 4 % count]), NULL);
}

static void add_to(Json *value, const char *key, Json *added) {
    if (cJSON_IsObject(value))
        cJSON_AddItemToObject(value, key, added);
    else if (cJSON_IsArray(value))
        json_push(value, added);
    else
        json_free(added);
}

static Json *wrapped(Json *value, unsigned levels) {
    for (unsigned i = 0; i < levels; i++) {
        Json *outer = i % 2 ? json_object() : json_array();
        add_to(outer, "type", value);
        value = outer;
    }
    return value;
}

/* One change below root, which itself stays an object. */
static void change(Json *root, Bytes *bytes) {
    unsigned left = next_byte(bytes) % 40, what = next_byte(bytes);
    Json *holder = root, *value = nth_value(root, &left, &holder);
    if (!value) {
        add_to(root, "surplus", some_value(bytes));
        return;
    }
    switch (what % 6) {
    case 0: json_free(cJSON_DetachItemViaPointer(holder, value)); break;
    case 1: add_to(value, "surplus", some_value(bytes)); break;
    case 2:
        add_to(value, value->child && value->child->string ? value->child->string : "", some_value(bytes));
        break;
    case 3:
        add_to(holder, value->string ? value->string : "", wrapped(some_value(bytes), next_byte(bytes) % 40));
        break;
    default: cJSON_ReplaceItemViaPointer(holder, value, wrapped(some_value(bytes), what / 6 % 3)); break;
    }
}

/* ---- one conversation ---- */

static Str with_values(Str text, Arena *arena) {
    static const struct {
        Str word, value;
    } VALUES[] = {{STR_INIT("SESSION"), STR_INIT("mux-0000000000000000")},
                  {STR_INIT("CWD"), STR_INIT("/tmp")},
                  {STR_INIT("TMP"), STR_INIT("/usr")}};
    for (size_t i = 0; i < sizeof VALUES / sizeof *VALUES; i++)
        for (size_t at; (at = str_find(text, VALUES[i].word, 0)) != STR_NONE;)
            text = str_concat(arena, str_concat(arena, str_slice(text, 0, at), VALUES[i].value),
                              str_from(text, at + VALUES[i].word.len));
    return text;
}

static void add_request(Buf *in, int id, const char *method, const Json *params) {
    buf_printf(in, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":", id, method);
    json_print(params, in);
    buf_cstr(in, "}\n");
}

static void add_plain_request(Buf *in, Arena *arena, int id, const ParamsRow *row) {
    Json *params = json_parse(with_values(str_of(row->params), arena), NULL);
    add_request(in, id, row->method, params);
    json_free(params);
}

static const ParamsRow *row_named(const char *method) {
    for (size_t i = 0; i < PARAMS_ROW_COUNT; i++)
        if (strcmp(PARAMS_ROWS[i].method, method) == 0)
            return &PARAMS_ROWS[i];
    abort();
}

static void check_code(const Json *message, Str line, bool is_prompt) {
    const Json *error = json_find(message, "error");
    int code = (int)json_int(error, "code", 0);
    bool is_known = code == RPC_INVALID_PARAMS || code == RPC_NOT_FOUND || code == RPC_INVALID_REQUEST ||
                    code == RPC_METHOD_NOT_FOUND || code == RPC_PARSE_ERROR ||
                    code == RPC_CANCELLED ||                   /* by the end of the input */
                    (is_prompt && code == RPC_INTERNAL_ERROR); /* the planner can be told to fail */
    require(!error || is_known, "an error that no params deserve", line);
    if (code == RPC_INVALID_PARAMS)
        require(json_find(error, "data") != NULL, "wrong params without the field", line);
}

/* The changed request has the id 2; nesting beyond the limit makes it unreadable, which gives the id null. */
static void check_output(Str out, bool is_prompt) {
    size_t answers[4] = {0}, unreadable = 0;
    Str rest = out, line;
    while (str_next_line(&rest, &line)) {
        Json *message = json_parse(line, NULL);
        require(message && str_eq(json_str(message, "jsonrpc"), S("2.0")), "no JSON-RPC", line);
        int64_t id = json_int(message, "id", -1);
        if (!json_find(message, "method") && id >= 0 && id < 4) {
            answers[id]++;
            check_code(message, line, is_prompt);
        }
        unreadable += cJSON_IsNull(json_find(message, "id"));
        json_free(message);
    }
    require(answers[0] == 1 && answers[1] == 1 && answers[3] == 1, "one answer for each plain request", out);
    require(answers[2] + unreadable == 1, "one answer for the changed request", out);
}

static Str talk(Str in_text, Arena *arena) {
    int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
    require(in >= 0 && out >= 0 && write(in, in_text.ptr, in_text.len) == (ssize_t)in_text.len &&
                lseek(in, 0, SEEK_SET) == 0,
            "memory files can be used", S(""));
    ConnectionConfig config = {.in_fd = in, .out_fd = out, .host = {.planner = the_planner}};
    Connection *connection = connection_open(&config, NULL);
    require(connection != NULL, "a connection can be opened", S(""));
    connection_run(connection);
    connection_close(connection);
    planner_close(planner);
    planner = NULL;
    next_name = 0;
    off_t size = lseek(out, 0, SEEK_END);
    char *bytes = arena_alloc(arena, (size_t)size + 1);
    require(pread(out, bytes, (size_t)size, 0) == size, "the output can be read back", S(""));
    close(in);
    close(out);
    return (Str){bytes, (size_t)size};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Bytes bytes = {data, data + size};
    Arena arena = {0};
    Buf in = {0};
    const ParamsRow *row = &PARAMS_ROWS[next_byte(&bytes) % PARAMS_ROW_COUNT];
    Json *params = json_parse(with_values(str_of(row->params), &arena), NULL);
    for (int i = 0; i < CHANGES_MAX && bytes.at < bytes.end; i++)
        change(params, &bytes);
    add_plain_request(&in, &arena, 0, row_named("initialize"));
    add_plain_request(&in, &arena, 1, row_named("session/new"));
    add_request(&in, 2, row->method, params);
    add_plain_request(&in, &arena, 3, row_named("initialize"));
    json_free(params);
    check_output(talk(buf_text(&in), &arena), strcmp(row->method, "session/prompt") == 0);
    buf_free(&in);
    arena_free(&arena);
    return 0;
}
