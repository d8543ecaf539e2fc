/* Lines from a client -> the agent with a planner that has no model. Whatever comes in: the agent lives to
 * the end of its input, writes nothing but JSON-RPC, and answers every request with an id of its own exactly
 * once. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "acp/connection.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Sessions get names that an input can know: mux-0000000000000000, then with 1, 2, 3. */
static unsigned char next_name;

ssize_t getrandom(void *buffer, size_t size, unsigned flags) {
    (void)flags;
    memset(buffer, 0, size);
    memset(buffer, next_name++, size ? 1 : 0);
    return (ssize_t)size;
}

static Planner *planner; /* of one input */

static Planner *the_planner(void *ctx, Err *err) {
    (void)ctx;
    PlannerConfig config = {0};
    if (!planner)
        planner = planner_open(&config, NULL, err);
    return planner;
}

static void require(bool condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static Str read_all(int fd, Arena *arena) {
    off_t size = lseek(fd, 0, SEEK_END);
    char *bytes = arena_alloc(arena, (size_t)size + 1);
    require(pread(fd, bytes, (size_t)size, 0) == size, "the output can be read back");
    return (Str){bytes, (size_t)size};
}

/* Does a message from the client with an id want an answer that carries it? All but answers do, also broken
 * requests. */
static bool wants_answer(const Json *message) {
    bool is_answer =
        !json_find(message, "method") && (json_find(message, "result") || json_find(message, "error"));
    return str_eq(json_str(message, "jsonrpc"), S("2.0")) && !is_answer;
}

static bool is_answer_of_agent(const Json *message) {
    return !json_find(message, "method");
}

/* How many lines of the text have this string id and are of this kind. */
static size_t count_id(Str text, Str id, bool (*is_kind)(const Json *message)) {
    size_t count = 0;
    Str line;
    while (str_next_line(&text, &line)) {
        Json *message = json_parse(line, NULL);
        const Json *own = json_find(message, "id");
        count += cJSON_IsString(own) && str_eq(json_str_value(own), id) && is_kind(message);
        json_free(message);
    }
    return count;
}

/* Lines that cannot be taken, whose id the agent may have made out all the same. */
static size_t count_unreadable(Str text) {
    size_t count = 0;
    Str line;
    while (str_next_line(&text, &line)) {
        Json *message = json_parse(line, NULL);
        count += message == NULL;
        json_free(message);
    }
    return count;
}

static void check_output(Str in, Str out) {
    Str rest = out, line;
    while (str_next_line(&rest, &line)) {
        Json *message = json_parse(line, NULL);
        require(message != NULL, "every line the agent writes is JSON");
        require(str_eq(json_str(message, "jsonrpc"), S("2.0")), "every line says jsonrpc 2.0");
        json_free(message);
    }
    size_t unreadable = count_unreadable(in);
    rest = in;
    for (int lines = 0; lines < 50 && str_next_line(&rest, &line); lines++) {
        Json *message = json_parse(line, NULL);
        const Json *id = json_find(message, "id");
        if (cJSON_IsString(id)) {
            size_t asked = count_id(in, json_str_value(id), wants_answer);
            size_t answered = count_id(out, json_str_value(id), is_answer_of_agent);
            require(answered >= asked && answered <= asked + unreadable, "one answer for each request");
        }
        json_free(message);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
    require(in >= 0 && out >= 0, "memory files can be made");
    require(write(in, data, size) == (ssize_t)size && lseek(in, 0, SEEK_SET) == 0,
            "the input can be written");
    ConnectionConfig config = {.in_fd = in, .out_fd = out, .host = {.planner = the_planner}};
    Connection *connection = connection_open(&config, NULL);
    require(connection != NULL, "a connection can be opened");
    connection_run(connection);
    connection_close(connection);
    planner_close(planner);
    planner = NULL;
    next_name = 0;
    Arena arena = {0};
    check_output((Str){(const char *)data, size}, read_all(out, &arena));
    arena_free(&arena);
    close(in);
    close(out);
    return 0;
}
