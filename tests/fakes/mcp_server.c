/* A server of the Model Context Protocol with switches for everything servers get wrong.
 *
 *   mcp_server [--name TOOL] [--pages N] [--cursor-loops] [--garbage] [--modern] [--refuses WORDS] [--silent]
 *              [--slow-start MS] [--dies WORDS] [--no-tools] [--bad-tools] [--batches] [--chatty]
 *
 * Its tools are the rows of TOOLS; with --name it has only one more, "echo" under that name.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/os.h"

static struct {
    const char *name, *refuses, *dies;
    long pages, slow_start;
    bool cursor_loops, garbage, modern, silent, no_tools, bad_tools, batches, chatty;
} switches = {.pages = 1};

static bool has_more_tools;
static Arena line_arena;

/* ---- lines ---- */

static void say(Json *message) {
    Buf text = {0};
    if (switches.garbage)
        buf_cstr(&text, "Starting up...\n{\"jsonrpc\":\"2.0\", broken\n\xff\xfe\n[1,2,3]\n42\n\n");
    if (switches.batches)
        buf_char(&text, '[');
    json_print(message, &text);
    if (switches.batches)
        buf_char(&text, ']');
    buf_char(&text, '\n');
    os_write_all(STDOUT_FILENO, buf_text(&text), NULL);
    buf_free(&text);
    json_free(message);
}

static void say_text(const char *text) {
    os_write_all(STDOUT_FILENO, str_of(text), NULL);
}

/* The next message; NULL at the end of stdin. */
static Json *listen(void) {
    static char *line;
    static size_t capacity;
    for (;;) {
        ssize_t length = getline(&line, &capacity, stdin);
        if (length < 0)
            return NULL;
        Json *message = json_parse((Str){line, (size_t)length}, NULL);
        if (message)
            return message;
        fprintf(stderr, "not a message: %s", line);
    }
}

static Json *answer_to(const Json *request) {
    Json *answer = json_object();
    json_put_str(answer, "jsonrpc", S("2.0"));
    json_put(answer, "id", cJSON_Duplicate(json_find(request, "id"), true));
    return answer;
}

static void refuse(const Json *request, int code, const char *words) {
    Json *answer = answer_to(request), *error = json_put_object(answer, "error");
    json_put_int(error, "code", code);
    json_put_str(error, "message", str_of(words));
    say(answer);
}

static Json *ask(const char *method) {
    Json *request = json_object();
    json_put_str(request, "jsonrpc", S("2.0"));
    json_put_str(request, "id", S("from-the-server"));
    json_put_str(request, "method", str_of(method));
    say(request);
    for (;;) {
        Json *message = listen();
        if (!message)
            exit(0);
        if (!json_find(message, "method"))
            return message;
        json_free(message);
    }
}

/* ---- tools ---- */

static void answer_text(const Json *request, Str words, bool is_error) {
    Json *answer = answer_to(request), *result = json_put_object(answer, "result");
    Json *block = json_object();
    json_put_str(block, "type", S("text"));
    json_put_str(block, "text", words);
    json_push(json_put_array(result, "content"), block);
    if (is_error)
        json_put_bool(result, "isError", true);
    say(answer);
}

static void tool_echo(const Json *request, const Json *arguments) {
    Buf text = {0};
    json_print(arguments, &text);
    answer_text(request, buf_text(&text), false);
    buf_free(&text);
}

static void tool_raw(const Json *request, const Json *arguments) {
    (void)request;
    say_text(str_cstr(&line_arena, json_str(arguments, "line")));
}

static void tool_crash(const Json *request, const Json *arguments) {
    (void)request;
    fprintf(stderr, "out of cheese\n");
    exit((int)json_int(arguments, "status", 7));
}

/* No answer before it is cancelled, and none then; the next call learns of it. */
static void tool_slow(const Json *request, const Json *arguments) {
    (void)request, (void)arguments;
}

static void tool_deaf(const Json *request, const Json *arguments) {
    (void)request, (void)arguments;
    for (;;)
        pause();
}

/* Leaves its stdin alone from now on, but answers this call. */
static void tool_stops_reading(const Json *request, const Json *arguments) {
    (void)arguments;
    answer_text(request, S("from here on nothing is read"), false);
    for (;;)
        pause();
}

static void tool_chatters(const Json *request, const Json *arguments) {
    (void)request, (void)arguments;
    for (;;) {
        say_text("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"still "
                 "here\"}}\n");
        usleep(1000);
    }
}

static void tool_huge(const Json *request, const Json *arguments) {
    size_t size = (size_t)json_int(arguments, "bytes", 1 << 20);
    char *text = malloc(size + 1);
    for (size_t i = 0; text && i < size; i++)
        text[i] = "\xe2\x82\xac"[i % 3];
    answer_text(request, text ? (Str){text, size - size % 3} : S(""), false);
    free(text);
}

static void tool_endless(const Json *request, const Json *arguments) {
    (void)request, (void)arguments;
    char piece[4096];
    memset(piece, 'x', sizeof piece);
    while (os_write_all(STDOUT_FILENO, (Str){piece, sizeof piece}, NULL))
        continue;
}

static void tool_fails(const Json *request, const Json *arguments) {
    (void)arguments;
    answer_text(request, S("the disk is full"), true);
}

static void tool_refuses(const Json *request, const Json *arguments) {
    refuse(request, (int)json_int(arguments, "code", -32602), "there is no city of that name");
}

static void tool_asks(const Json *request, const Json *arguments) {
    Json *answer = ask(str_cstr(&line_arena, json_str(arguments, "method")));
    Buf text = {0};
    const Json *result = json_find(answer, "result");
    json_print(result ? result : json_find(answer, "error"), &text);
    answer_text(request, buf_text(&text), false);
    buf_free(&text);
    json_free(answer);
}

static void tool_grows(const Json *request, const Json *arguments) {
    (void)arguments;
    has_more_tools = true;
    say_text("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n");
    answer_text(request, S("one more"), false);
}

typedef struct FakeTool {
    const char *name;
    void (*run)(const Json *request, const Json *arguments);
} FakeTool;

static const FakeTool TOOLS[] = {
    {"echo", tool_echo},         {"raw", tool_raw},         {"crash", tool_crash},
    {"slow", tool_slow},         {"deaf", tool_deaf},       {"stops-reading", tool_stops_reading},
    {"chatters", tool_chatters}, {"huge", tool_huge},       {"endless", tool_endless},
    {"fails", tool_fails},       {"refuses", tool_refuses}, {"asks", tool_asks},
    {"grows", tool_grows},
};
#define TOOL_TOTAL (sizeof TOOLS / sizeof *TOOLS)

static Json *describe(const char *name) {
    Json *tool = json_object(), *schema = json_put_object(tool, "inputSchema");
    json_put_str(tool, "name", str_of(name));
    json_put_str(tool, "description", str_printf(&line_arena, "The tool %s of the fake server.", name));
    json_put_str(schema, "type", S("object"));
    json_put_bool(json_put_object(tool, "annotations"), "readOnlyHint", strcmp(name, "echo") == 0);
    return tool;
}

static void put_bad_tools(Json *tools) {
    static const char *const BAD[] = {
        "42",
        "null",
        "[]",
        "{}",
        "{\"name\":7}",
        "{\"name\":\"\"}",
        "{\"name\":\"no-schema\"}",
        "{\"name\":\"odd-schema\",\"inputSchema\":\"text\",\"description\":[1],\"annotations\":3}",
        "{\"name\":\"strange name/with: everything \\u00e4\",\"inputSchema\":{\"type\":\"object\"}}",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        json_push(tools, json_parse(str_of(BAD[i]), NULL));
    Json *large = describe("large-schema");
    Buf text = {0};
    buf_repeat(&text, 'x', 20000);
    json_put_str(json_find(large, "inputSchema"), "description", buf_text(&text));
    buf_free(&text);
    json_push(tools, large);
    Json *wordy = describe("wordy");
    buf_repeat(&text, 'w', 5000);
    json_put_str(wordy, "description", buf_text(&text));
    buf_free(&text);
    json_push(tools, wordy);
    json_push(tools, describe("a-name-that-is-longer-than-any-interface-of-a-model-takes-number-one"));
    json_push(tools, describe("a-name-that-is-longer-than-any-interface-of-a-model-takes-number-two"));
}

static void list_tools(const Json *request) {
    long page = strtol(str_cstr(&line_arena, json_str(json_find(request, "params"), "cursor")), NULL, 10);
    if (switches.no_tools) {
        refuse(request, -32601, "no such method");
        return;
    }
    Json *answer = answer_to(request), *result = json_put_object(answer, "result");
    Json *tools = json_put_array(result, "tools");
    for (size_t i = 0; page == 0 && !switches.name && i < TOOL_TOTAL; i++)
        json_push(tools, describe(TOOLS[i].name));
    if (page == 0 && switches.name)
        json_push(tools, describe(switches.name));
    if (page == 0 && has_more_tools)
        json_push(tools, describe("added"));
    if (page == 0 && switches.bad_tools)
        put_bad_tools(tools);
    if (page > 0)
        json_push(tools, describe(str_printf(&line_arena, "page-%ld", page).ptr));
    if (switches.cursor_loops)
        json_put_str(result, "nextCursor", S("7"));
    else if (page + 1 < switches.pages)
        json_put_str(result, "nextCursor", str_printf(&line_arena, "%ld", page + 1));
    say(answer);
}

/* ---- methods ---- */

static void initialize(const Json *request) {
    if (switches.modern) {
        refuse(request, -32601, "no such method");
    } else if (switches.refuses) {
        refuse(request, -32000, switches.refuses);
    } else if (!switches.silent) {
        usleep((useconds_t)switches.slow_start * 1000);
        Json *answer = answer_to(request), *result = json_put_object(answer, "result");
        json_put_str(result, "protocolVersion", json_str(json_find(request, "params"), "protocolVersion"));
        json_put_bool(json_put_object(json_put_object(result, "capabilities"), "tools"), "listChanged", true);
        Json *info = json_put_object(result, "serverInfo");
        json_put_str(info, "name", S("fake"));
        json_put_str(info, "version", S("1"));
        say(answer);
    }
}

static void call_tool(const Json *request) {
    const Json *params = json_find(request, "params");
    Str name = json_str(params, "name");
    if (switches.name || str_starts(name, S("page-")) || str_eq(name, S("added"))) {
        tool_echo(request, json_find(params, "arguments"));
        return;
    }
    for (size_t i = 0; i < TOOL_TOTAL; i++)
        if (str_eq(name, str_of(TOOLS[i].name))) {
            TOOLS[i].run(request, json_find(params, "arguments"));
            return;
        }
    refuse(request, -32602, "no such tool");
}

/* A server of revision 2026-07-28 answers nobody who does not say who he is. */
static bool says_who(const Json *request) {
    const Json *meta = json_find(json_find(request, "params"), "_meta");
    return str_eq(json_str(meta, "io.modelcontextprotocol/protocolVersion"), S("2026-07-28")) &&
           cJSON_IsObject(json_find(meta, "io.modelcontextprotocol/clientCapabilities"));
}

static void hear(const Json *message) {
    static bool is_initialized;
    Str method = json_str(message, "method");
    if (str_eq(method, S("notifications/initialized")))
        is_initialized = true;
    if (str_eq(method, S("notifications/cancelled")))
        fprintf(stderr, "cancelled %lld\n",
                (long long)json_int(json_find(message, "params"), "requestId", -1));
    if (!json_find(message, "id"))
        return;
    if (str_eq(method, S("initialize")))
        initialize(message);
    else if (switches.silent)
        return;
    else if (switches.modern ? !says_who(message) : !is_initialized)
        refuse(message, -32602, "it is not known who asks");
    else if (str_eq(method, S("tools/list")))
        list_tools(message);
    else if (str_eq(method, S("tools/call")))
        call_tool(message);
    else if (str_eq(method, S("ping")) && !switches.modern)
        answer_text(message, S(""), false);
    else
        refuse(message, -32601, "no such method");
}

static bool read_switches(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        const struct {
            const char *name;
            bool *flag;
            long *number;
            const char **text;
        } known[] = {{"--name", NULL, NULL, &switches.name},
                     {"--pages", NULL, &switches.pages, NULL},
                     {"--cursor-loops", &switches.cursor_loops, NULL, NULL},
                     {"--garbage", &switches.garbage, NULL, NULL},
                     {"--modern", &switches.modern, NULL, NULL},
                     {"--refuses", NULL, NULL, &switches.refuses},
                     {"--silent", &switches.silent, NULL, NULL},
                     {"--slow-start", NULL, &switches.slow_start, NULL},
                     {"--dies", NULL, NULL, &switches.dies},
                     {"--no-tools", &switches.no_tools, NULL, NULL},
                     {"--bad-tools", &switches.bad_tools, NULL, NULL},
                     {"--batches", &switches.batches, NULL, NULL},
                     {"--chatty", &switches.chatty, NULL, NULL}};
        size_t n = 0, count = sizeof known / sizeof *known;
        while (n < count && strcmp(known[n].name, argv[i]) != 0)
            n++;
        if (n == count)
            return false;
        if (known[n].flag) {
            *known[n].flag = true;
            continue;
        }
        if (known[n].number)
            *known[n].number = strtol(value, NULL, 10);
        else
            *known[n].text = value;
        i++;
    }
    return true;
}

int main(int argc, char **argv) {
    if (!read_switches(argc, argv)) {
        fprintf(stderr, "mcp_server: unknown switch\n");
        return 2;
    }
    if (switches.dies) {
        fprintf(stderr, "%s\n", switches.dies);
        return 1;
    }
    for (int i = 0; switches.chatty && i < 20000; i++)
        fprintf(stderr, "line %d of far too many that a server writes while it starts\n", i);
    for (Json *message; (message = listen()) != NULL;) {
        hear(message);
        json_free(message);
        arena_free(&line_arena);
    }
    return 0;
}
