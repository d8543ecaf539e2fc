#define _GNU_SOURCE
#include "tests/fakes/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "tests/runner.h"

static Planner *plain_planner(void *ctx, Err *err) {
    static Planner *planner;
    (void)ctx;
    PlannerConfig config = {0};
    if (!planner)
        planner = planner_open(&config, NULL, err);
    return planner;
}

static void *run_connection(void *ctx) {
    TestClient *client = ctx;
    connection_run(client->connection);
    close(client->agent_out); /* the client sees the end of the stream */
    return NULL;
}

static void open_schema(TestClient *client) {
    const char *shared = getenv("MUX_SHARED");
    char path[4096];
    if (shared)
        snprintf(path, sizeof path, "%s/acp/schema.json", shared);
    else
        snprintf(path, sizeof path, "%s/../shared/acp/schema.json", test_source_dir());
    Err err = {0};
    client->schema = schema_open(access(path, R_OK) == 0 ? path : NULL, &err);
    CHECK_OK(client->schema != NULL, err);
}

void client_open_config(TestClient *client, ConnectionConfig config) {
    *client = (TestClient){.pid = -1};
    open_schema(client);
    int to[2], from[2];
    CHECK(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
    client->to_agent = to[1];
    client->from_agent = from[0];
    client->agent_in = to[0];
    client->agent_out = from[1];
    signal(SIGPIPE, SIG_IGN);
    config.in_fd = to[0];
    config.out_fd = from[1];
    if (!config.host.planner)
        config.host = (ConnectionHost){.planner = plain_planner};
    Err err = {0};
    client->connection = connection_open(&config, &err);
    CHECK_OK(client->connection != NULL, err);
    CHECK(pthread_create(&client->thread, NULL, run_connection, client) == 0);
}

void client_open(TestClient *client, const ConnectionHost *host) {
    ConnectionConfig config = {.review = REVIEW_ASK, .keeps_sessions = true};
    if (host)
        config.host = *host;
    client_open_config(client, config);
}

void client_spawn(TestClient *client, const char *const *argv, const char *stderr_path) {
    *client = (TestClient){.pid = -1};
    open_schema(client);
    int to[2], from[2];
    CHECK(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
    signal(SIGPIPE, SIG_IGN);
    client->pid = fork();
    CHECK(client->pid >= 0);
    if (client->pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        int log = open(stderr_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (dup2(to[0], 0) < 0 || dup2(from[1], 1) < 0 || dup2(log, 2) < 0)
            _exit(126);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    client->to_agent = to[1];
    client->from_agent = from[0];
}

void client_send_bytes(TestClient *client, Str bytes) {
    Err err = {0};
    CHECK_OK(os_write_all(client->to_agent, bytes, &err), err);
}

void client_send(TestClient *client, const char *line) {
    Json *message = json_parse(str_of(line), NULL);
    if (message)
        schema_note_sent(client->schema, message);
    json_free(message);
    client_send_bytes(client, str_of(line));
    client_send_bytes(client, S("\n"));
}

static Json *take_line(TestClient *client, Str line) {
    Err err = {0};
    Json *message = json_parse(line, &err);
    CHECK_MSG(message != NULL, "the agent wrote what is no JSON (%s): %.*s", err.text, STR_ARG(line));
    if (!schema_check(client->schema, message, &err) && !client->schema_failures++)
        snprintf(client->schema_problem, sizeof client->schema_problem, "%s in %.*s", err.text,
                 STR_ARG(str_slice(line, 0, 400)));
    return message;
}

Json *client_next(TestClient *client) {
    double deadline = os_monotonic_ms() + CLIENT_PATIENCE_MS;
    for (;;) {
        size_t end = str_find_char(buf_text(&client->inbox), '\n', 0);
        if (end != STR_NONE) {
            Json *message = take_line(client, str_slice(buf_text(&client->inbox), 0, end));
            buf_consume(&client->inbox, end + 1);
            return message;
        }
        struct pollfd ready = {.fd = client->from_agent, .events = POLLIN};
        double now = os_monotonic_ms();
        if (now >= deadline || poll(&ready, 1, (int)(deadline - now) + 1) <= 0)
            return NULL;
        CHECK(buf_reserve(&client->inbox, 65536));
        ssize_t n = read(client->from_agent, client->inbox.ptr + client->inbox.len, 65536);
        if (n <= 0)
            return NULL;
        client->inbox.len += (size_t)n;
    }
}

Json *client_answer(TestClient *client, const char *raw_id) {
    for (Json *message; (message = client_next(client)); json_free(message)) {
        Buf id = {0};
        if (json_find(message, "id"))
            json_print(json_find(message, "id"), &id);
        bool is_it = !json_find(message, "method") && str_eq(buf_text(&id), str_of(raw_id));
        buf_free(&id);
        if (is_it)
            return message;
    }
    return NULL;
}

static int wait_for_program(pid_t pid) {
    for (double deadline = os_monotonic_ms() + CLIENT_PATIENCE_MS; os_monotonic_ms() < deadline;) {
        int status;
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        poll(NULL, 0, 5);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return -1;
}

int client_end(TestClient *client) {
    int status = 0;
    if (client->to_agent >= 0)
        close(client->to_agent);
    client->to_agent = -1;
    if (client->pid > 0) {
        for (Json *message; (message = client_next(client));)
            json_free(message);
        status = wait_for_program(client->pid);
    } else {
        for (Json *message; (message = client_next(client));)
            json_free(message);
        pthread_join(client->thread, NULL);
        connection_close(client->connection);
        close(client->agent_in);
    }
    close(client->from_agent);
    buf_free(&client->inbox);
    size_t failures = client->schema_failures;
    schema_close(client->schema);
    arena_free(&client->arena);
    CHECK_MSG(failures == 0, "%zu messages break the schema: %s", failures, client->schema_problem);
    return status;
}

const char *client_start_session(TestClient *client, const char *capabilities, const char *cwd) {
    client_send(client, str_printf(&client->arena,
                                   "{\"jsonrpc\":\"2.0\",\"id\":900,\"method\":\"initialize\",\"params\":{"
                                   "\"protocolVersion\":1,\"clientCapabilities\":%s}}",
                                   capabilities)
                            .ptr);
    Json *answer = client_answer(client, "900");
    CHECK(json_find(answer, "result"));
    json_free(answer);
    client_send(client, str_printf(&client->arena,
                                   "{\"jsonrpc\":\"2.0\",\"id\":901,\"method\":\"session/new\",\"params\":{"
                                   "\"cwd\":\"%s\",\"mcpServers\":[]}}",
                                   cwd)
                            .ptr);
    answer = client_answer(client, "901");
    CHECK(json_find(answer, "result"));
    const char *id = str_cstr(&client->arena, json_str(json_find(answer, "result"), "sessionId"));
    json_free(answer);
    answer = client_next(client); /* what the agent says of itself comes right behind */
    CHECK_STR(json_str(json_find(json_find(answer, "params"), "update"), "sessionUpdate"),
              S("available_commands_update"));
    json_free(answer);
    return id;
}
