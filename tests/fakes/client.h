/* A scripted client for tests: the agent's connection in this process over two pipes, with whatever planner
 * is linked, or a program started with the agent's stdio. Every line the agent writes is checked against the
 * schema. */
#ifndef MUX_TESTS_CLIENT_H
#define MUX_TESTS_CLIENT_H

#include <pthread.h>
#include <sys/types.h>

#include "acp/connection.h"
#include "tests/fakes/schema_check.h"

#define CLIENT_PATIENCE_MS 20000

typedef struct TestClient {
    Arena arena;
    int to_agent, from_agent; /* -1: closed */
    Buf inbox;
    SchemaCheck *schema;
    size_t schema_failures;
    char schema_problem[600];
    /* in process */
    Connection *connection;
    pthread_t thread;
    int agent_in, agent_out;
    /* program */
    pid_t pid;
} TestClient;

/* host may be NULL: the linked planner without an engine. */
void client_open(TestClient *client, const ConnectionHost *host);
/* With other settings; the descriptors are set here. */
void client_open_config(TestClient *client, ConnectionConfig config);
void client_spawn(TestClient *client, const char *const *argv, const char *stderr_path);
void client_send(TestClient *client, const char *line);
void client_send_bytes(TestClient *client, Str bytes);
/* The next message, the caller's to json_free; NULL at the end of the stream or when patience ran out. */
Json *client_next(TestClient *client);
/* Skips session/update until the answer to this id (printed as JSON) arrives; NULL as above. */
Json *client_answer(TestClient *client, const char *raw_id);
/* Closes the agent's input and waits for its end; the exit status of a program, 0 in process, -1 when it
 * hung. */
int client_end(TestClient *client);
/* initialize + session/new; the session's id in the client's arena. Fails the test otherwise. */
const char *client_start_session(TestClient *client, const char *capabilities, const char *cwd);

#endif
