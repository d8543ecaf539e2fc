/* bench-acp [PROGRAM [PINGS [NAME=COMMAND]...]]: the protocol's costs, from a client's side.
 *
 *   initialize       from fork to the answer, 50 starts; each NAME=COMMAND (another agent) the same way, 10
 *   ping             _mux/ping while a model generates on all processors (PINGS, 1,000)
 *   updates          events of a turn -> lines in one outbox, in this process
 *   chunks           tokens in one update, of a model that says 200 in a second
 *   sessions         memory of 1,000 open sessions
 * Prints a line each and rows "csv,what,value,unit,peer,peer's value,ratio". Needs some 500 MB and a minute.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acp/updates.h"
#include "base/os.h"

#define STARTS 50
#define PEER_STARTS 10
#define EVENTS 200000
#define SESSIONS 1000
#define WAIT_MS 120000

static char folder[4096]; /* for everything that is written */

_Noreturn static void die(const char *what) {
    fprintf(stderr, "bench-acp: %s\n", what);
    exit(1);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *values, size_t count, double part) {
    qsort(values, count, sizeof *values, compare);
    size_t at = (size_t)(part * (double)count);
    return values[at < count ? at : count - 1];
}

/* ---- an agent as a program ---- */

typedef struct Agent {
    pid_t pid;
    int to, from;
    Buf in;
    size_t used; /* bytes of in that lines were made of */
} Agent;

static double agent_start(Agent *agent, const char *const *argv) {
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
        die("no pipes");
    double begun = os_monotonic_ms();
    *agent = (Agent){.pid = fork(), .to = to[1], .from = from[0]};
    if (agent->pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        if (dup2(to[0], 0) < 0 || dup2(from[1], 1) < 0 || dup2(null, 2) < 0 || setpgid(0, 0) != 0)
            _exit(126);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    return begun;
}

__attribute__((format(printf, 2, 3))) static void agent_send(Agent *agent, const char *format, ...) {
    Buf line = {0};
    char text[8192];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        die("a request is too long");
    buf_printf(&line, "{\"jsonrpc\":\"2.0\",%s}\n", text);
    if (!os_write_all(agent->to, buf_text(&line), NULL))
        die("the agent takes no input any more");
    buf_free(&line);
}

/* The next line, borrowed until the next call; false at the end or when it takes too long. */
static bool agent_line(Agent *agent, Str *line) {
    buf_consume(&agent->in, agent->used);
    agent->used = 0;
    for (size_t from = 0;;) {
        size_t end = str_find_char(buf_text(&agent->in), '\n', from);
        if (end != STR_NONE) {
            *line = str_slice(buf_text(&agent->in), 0, end);
            agent->used = end + 1;
            return true;
        }
        from = agent->in.len;
        struct pollfd ready = {.fd = agent->from, .events = POLLIN};
        if (!buf_reserve(&agent->in, 65536) || poll(&ready, 1, WAIT_MS) != 1)
            return false;
        ssize_t n = read(agent->from, agent->in.ptr + agent->in.len, 65536);
        if (n <= 0)
            return false;
        agent->in.len += (size_t)n;
    }
}

/* Lines up to the answer with this id; how many there were before it. */
static size_t agent_answer(Agent *agent, int id, Str *line) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, "\"id\":%d,", id);
    for (size_t before = 0; agent_line(agent, line); before++)
        if (str_contains(str_slice(*line, 0, 60), str_of(wanted)) && !str_contains(*line, S("\"method\":")))
            return before;
    die("the agent did not answer");
}

static void agent_end(Agent *agent) {
    close(agent->to);
    struct pollfd ready = {.fd = agent->from, .events = POLLIN};
    char sink[65536];
    while (poll(&ready, 1, 5000) == 1 && read(agent->from, sink, sizeof sink) > 0) {
    }
    close(agent->from);
    kill(-agent->pid, SIGKILL); /* with the children of those that have some */
    waitpid(agent->pid, NULL, 0);
    buf_free(&agent->in);
}

static size_t resident_bytes(pid_t pid) {
    char path[64], text[128] = "";
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "r");
    unsigned long pages = 0;
    if (file && fgets(text, sizeof text, file))
        sscanf(text, "%*u %lu", &pages);
    if (file)
        fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Processor time used so far. */
static double cpu_ms(pid_t pid) {
    char path[64], text[1024] = "";
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    const char *behind_name = file && fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
    if (behind_name)
        sscanf(behind_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    if (file)
        fclose(file);
    return (double)(user + system) * 1e3 / (double)sysconf(_SC_CLK_TCK);
}

static void agent_initialize(Agent *agent) {
    Str line;
    agent_send(agent, "\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":1,"
                      "\"clientCapabilities\":{}}");
    agent_answer(agent, 0, &line);
}

/* Opens a session in the folder; its id is written to out. */
static void agent_session(Agent *agent, int id, char *out, size_t size) {
    Str line;
    agent_send(agent,
               "\"id\":%d,\"method\":\"session/new\",\"params\":{\"cwd\":\"%s/work\",\"mcpServers\":[]}", id,
               folder);
    agent_answer(agent, id, &line);
    static const Str KEY = STR_INIT("\"sessionId\":\"");
    size_t at = str_find(line, KEY, 0);
    if (at == STR_NONE)
        die("no session is opened");
    Str name = str_from(line, at + KEY.len);
    snprintf(out, size, "%.*s", (int)str_find_char(name, '"', 0), name.ptr);
}

/* ---- initialize ---- */

static bool starts(const char *const *argv, size_t runs, double *ms) {
    for (size_t i = 0; i <= runs; i++) { /* one to warm up */
        Agent agent;
        Str line = S("");
        double begun = agent_start(&agent, argv);
        Str request =
            S("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":1,"
              "\"clientCapabilities\":{\"fs\":{\"readTextFile\":true,\"writeTextFile\":true},"
              "\"terminal\":true}}}\n");
        bool ok = os_write_all(agent.to, request, NULL);
        while (ok && (ok = agent_line(&agent, &line)) && !str_contains(line, S("\"protocolVersion\""))) {
        }
        ms[i ? i - 1 : 0] = os_monotonic_ms() - begun;
        agent_end(&agent);
        if (!ok)
            return false;
    }
    return true;
}

static void bench_initialize(const char *program, int peer_count, char **peers) {
    double ms[STARTS];
    const char *const argv[] = {program, NULL};
    if (!starts(argv, STARTS, ms))
        die("the program does not answer initialize");
    double own = quantile(ms, STARTS, 0.5), last = quantile(ms, STARTS, 0.99);
    printf("initialize: median %.2f ms, best %.2f, p99 %.2f (%d starts)\n", own, ms[0], last, STARTS);
    printf("csv,initialize (median of %d),%.3g,ms,,,\n", STARTS, own);
    for (int i = 0; i < peer_count; i++) {
        char *command = strchr(peers[i], '=');
        if (!command)
            die("a peer is NAME=COMMAND");
        *command++ = 0;
        char exec[4096];
        snprintf(exec, sizeof exec, "exec %s", command);
        const char *const peer[] = {"sh", "-c", exec, NULL};
        if (!starts(peer, PEER_STARTS, ms)) {
            printf("initialize: %s did not answer\n", peers[i]);
            continue;
        }
        double theirs = quantile(ms, PEER_STARTS, 0.5);
        printf("initialize: %s median %.0f ms (%d starts)\n", peers[i], theirs, PEER_STARTS);
        printf("csv,initialize,%.3g,ms,%s,%.4g,%.3g\n", own, peers[i], theirs, theirs / own);
    }
}

/* ---- ping ---- */

static void ask_for_text(Agent *agent, const char *session) {
    agent_send(agent,
               "\"id\":2,\"method\":\"session/"
               "prompt\",\"params\":{\"sessionId\":\"%s\",\"prompt\":[{\"type\":\"text\","
               "\"text\":\"Tell me all about a.c\"}]}",
               session);
}

/* One ping's time; a turn that ends meanwhile is followed by the next. */
static double ping(Agent *agent, size_t id, const char *session, size_t *turns) {
    Str line = S("");
    char wanted[32];
    snprintf(wanted, sizeof wanted, "\"id\":%zu,", id);
    double begun = os_monotonic_ms();
    agent_send(agent, "\"id\":%zu,\"method\":\"_mux/ping\",\"params\":{}", id);
    while (agent_line(agent, &line)) {
        if (str_contains(str_slice(line, 0, 60), str_of(wanted)))
            return os_monotonic_ms() - begun;
        if (str_contains(line, S("\"stopReason\""))) {
            ask_for_text(agent, session);
            ++*turns;
        }
    }
    die("no answer to a ping");
}

/* A model of 80 million random weights computes: reads a prompt, then writes. */
static void bench_ping(const char *program, size_t pings) {
    char model[4200], session[128];
    snprintf(model, sizeof model, "%s/random.gguf", folder);
    const char *const make[] = {"python3", MUX_SOURCE_DIR "/tests/eval/random_model.py", model, NULL};
    const char *const argv[] = {program, "--model", model, "--review", "plan", NULL};
    Agent agent;
    Str line;
    double *ms = calloc(pings, sizeof *ms), cpu = 0;
    agent_start(&agent, make);
    while (agent_line(&agent, &line)) {
    }
    agent_end(&agent);
    if (!ms || access(model, R_OK) != 0)
        die("the model of random weights cannot be made");
    agent_start(&agent, argv);
    agent_initialize(&agent);
    agent_session(&agent, 1, session, sizeof session);
    ask_for_text(&agent, session);
    do
        if (!agent_line(&agent, &line) || str_contains(line, S("\"error\"")))
            die("the model says nothing");
    while (!str_contains(line, S("\"tool_call\""))); /* the files are read, now the model begins */
    poll(NULL, 0, 300);
    size_t turns = 1;
    double begun = os_monotonic_ms(), cpu_before = cpu_ms(agent.pid);
    for (size_t i = 0; i < pings; i++) {
        ms[i] = ping(&agent, 1000 + i, session, &turns);
        poll(NULL, 0, 5); /* not in step with anything */
    }
    cpu = (cpu_ms(agent.pid) - cpu_before) / (os_monotonic_ms() - begun);
    double p50 = quantile(ms, pings, 0.5), p99 = quantile(ms, pings, 0.99);
    printf("ping while a model generates: p50 %.3f ms, p99 %.3f, worst %.3f (%zu pings, %zu turns, %.1f "
           "processors in use)\n",
           p50, p99, ms[pings - 1], pings, turns, cpu);
    printf("csv,_mux/ping p50 while generating,%.3g,ms,,,\n", p50);
    printf("csv,_mux/ping p99 while generating,%.3g,ms,,,\n", p99);
    agent_end(&agent);
    free(ms);
}

/* ---- updates ---- */

static void *read_all(void *ctx) {
    static char sink[1 << 16];
    while (read(*(int *)ctx, sink, sizeof sink) > 0) {
    }
    return NULL;
}

static void *pump(void *ctx) {
    while (peer_pump(ctx, -1)) {
    }
    return NULL;
}

static void send_event(TurnSink sink, size_t i) {
    static const PlanEntry PLAN[] = {{STR_INIT("look"), PLAN_COMPLETED}, {STR_INIT("edit"), PLAN_ACTIVE}};
    ToolLocation location = {.path = S("/tree/src/file.c"), .line = 12};
    ToolEvent tool = {.id = S("call-1"),
                      .is_first = i % 2,
                      .title = S("Read src/file.c"),
                      .kind = TOOL_READ,
                      .status = TOOL_RUNNING,
                      .raw_input = S("{\"path\":\"src/file.c\"}"),
                      .locations = &location,
                      .location_count = 1,
                      .text = S("some lines of it")};
    static const TurnUsage USAGE = {.context_used = 1200, .context_size = 8192};
    /* Text and thought in turn: each ends the piece before, so that every event is an update. */
    TurnEvent events[] = {
        {.kind = TURN_TEXT, .text = S("a piece of text, h\xC3\xA9, \"quoted\"\n")},
        {.kind = TURN_THOUGHT, .text = S("a piece of thought")},
        {.kind = TURN_TEXT, .text = S("another piece of text that is longer than the first")},
        {.kind = TURN_TOOL, .tool = &tool},
        {.kind = TURN_USAGE, .usage = &USAGE},
        {.kind = TURN_PLAN, .plan = PLAN, .plan_count = 2}};
    sink.event(sink.ctx, &events[i % (sizeof events / sizeof *events)]);
}

static void bench_updates(void) {
    int in[2], out[2];
    pthread_t reader, pumping;
    if (pipe(in) || pipe(out))
        die("no pipes");
    Peer *peer = peer_open(in[0], out[1], NULL, 0, NULL, NULL);
    if (!peer || pthread_create(&reader, NULL, read_all, &out[0]) ||
        pthread_create(&pumping, NULL, pump, peer))
        die("no threads");
    Updates updates;
    updates_init(&updates, peer, S("mux-0123456789abcdef"));
    updates_begin(&updates, (RpcId){S("1")});
    double begun = os_monotonic_ms();
    for (size_t i = 0; i < EVENTS; i++)
        send_event(updates_sink(&updates), i);
    TurnDone done = {.stop = TURN_STOP_END};
    TurnEvent last = {.kind = TURN_DONE, .done = &done};
    updates_sink(&updates).event(&updates, &last);
    peer_stop(peer);
    pthread_join(pumping, NULL);
    peer_flush(peer, WAIT_MS);
    double ms = os_monotonic_ms() - begun;
    close(out[1]);
    pthread_join(reader, NULL);
    updates_finish(&updates);
    peer_close(peer);
    printf("updates through one outbox: %.0f a second (%d, of five kinds)\n", EVENTS / ms * 1e3, EVENTS);
    printf("csv,updates through one outbox,%.4g,1/s,,,\n", EVENTS / ms * 1e3);
}

/* ---- chunks ---- */

static void bench_chunks(const char *program) {
    char path[4200], model[4300], session[128];
    snprintf(path, sizeof path, "%s/talk.txt", folder);
    Buf text = {0};
    buf_cstr(&text, "delay: 5\npiece: 4\n--- reply\n");
    for (int i = 0; i < 60; i++)
        buf_printf(&text, "line %2d and what it says\n", i);
    if (!os_write_file(path, buf_text(&text), NULL))
        die("cannot write");
    buf_free(&text);
    snprintf(model, sizeof model, "script:%s", path);
    const char *const argv[] = {program, "--model", model, NULL};
    Agent agent;
    Str line;
    agent_start(&agent, argv);
    agent_initialize(&agent);
    agent_session(&agent, 1, session, sizeof session);
    double begun = os_monotonic_ms();
    agent_send(&agent,
               "\"id\":2,\"method\":\"session/"
               "prompt\",\"params\":{\"sessionId\":\"%s\",\"prompt\":[{\"type\":\"text\","
               "\"text\":\"Talk\"}]}",
               session);
    size_t chunks = 0;
    while (agent_line(&agent, &line) && !str_contains(line, S("\"stopReason\"")))
        chunks += str_contains(line, S("agent_message_chunk"));
    double ms = os_monotonic_ms() - begun, tokens = 60 * 25 / 4.0;
    printf("chunks: %zu of %.1f tokens each, one every %.0f ms\n", chunks, tokens / (double)chunks,
           ms / (double)chunks);
    printf("csv,tokens in one update at 200 a second,%.3g,tokens,,,\n", tokens / (double)chunks);
    agent_end(&agent);
}

/* ---- sessions ---- */

static void bench_sessions(const char *program) {
    const char *const argv[] = {program, NULL};
    Agent agent;
    char session[128];
    agent_start(&agent, argv);
    agent_initialize(&agent);
    double before = (double)resident_bytes(agent.pid) / 1e6, begun = os_monotonic_ms();
    for (int i = 0; i < SESSIONS; i++)
        agent_session(&agent, 1 + i, session, sizeof session);
    double ms = (os_monotonic_ms() - begun) / SESSIONS, after = (double)resident_bytes(agent.pid) / 1e6;
    printf("%d open sessions: %.1f MB resident (%.1f before), %.2f ms to open one\n", SESSIONS, after, before,
           ms);
    printf("csv,%d open sessions,%.3g,MB,,,\ncsv,session/new,%.3g,ms,,,\n", SESSIONS, after, ms);
    agent_end(&agent);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at) {
    (void)info, (void)kind, (void)at;
    return remove(path);
}

int main(int argc, char **argv) {
    char program[4096], path[4200];
    long pings = argc > 2 ? atol(argv[2]) : 1000;
    if (!realpath(argc > 1 ? argv[1] : "./mux-acp", program) || pings < 1 || pings > 1000000 ||
        !getcwd(folder, sizeof folder - 32)) {
        fprintf(stderr, "usage: bench-acp [PROGRAM [PINGS [NAME=COMMAND]...]]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    strcat(folder, "/bench-acp-XXXXXX");
    if (!mkdtemp(folder))
        die("cannot make a folder here");
    snprintf(path, sizeof path, "%s/work", folder);
    if (!os_make_dirs(path, NULL))
        die("cannot make a folder here");
    snprintf(path, sizeof path, "%s/work/a.c", folder);
    os_write_file(path, S("int main(void) {\n    return 0;\n}\n"), NULL);
    setenv("XDG_STATE_HOME", folder, 1);
    bench_initialize(program, argc > 3 ? argc - 3 : 0, argv + 3);
    bench_updates();
    bench_chunks(program);
    bench_sessions(program);
    bench_ping(program, (size_t)pings);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
