/* The log: levels, both formats, whole lines from many threads, and no secret in any of them. */
#define _GNU_SOURCE
#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/os.h"
#include "base/redact.h"
#include "base/trace.h"
#include "tests/runner.h"

/* What is logged between capture_begin and capture_end. */
typedef struct Capture {
    Arena arena;
    int stderr_fd;
    const char *path;
} Capture;

static void capture_begin(Capture *capture, const char *level, const char *format) {
    *capture = (Capture){.stderr_fd = dup(STDERR_FILENO)};
    capture->path = str_printf(&capture->arena, "%s/log", test_tmp()).ptr;
    int fd = open(capture->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && capture->stderr_fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
    close(fd);
    log_init(level);
    CHECK(log_set_format(format));
}

static Str capture_end(Capture *capture) {
    dup2(capture->stderr_fd, STDERR_FILENO);
    close(capture->stderr_fd);
    log_init(NULL);
    CHECK(log_set_format(NULL));
    log_scope(S(""), S(""));
    Str text = S("");
    Err err = {0};
    CHECK_OK(os_read_file(capture->path, 1 << 24, &capture->arena, &text, &err), err);
    return text;
}

static void test_levels(void) {
    Capture capture;
    capture_begin(&capture, NULL, NULL);
    log_line(LOG_ERROR, "one");
    log_line(LOG_WARN, "two %d", 2);
    log_line(LOG_INFO, "three");
    log_line(LOG_DEBUG, "four");
    CHECK(!log_is_on(LOG_INFO) && log_is_on(LOG_WARN));
    CHECK_STR(capture_end(&capture), S("mux-acp: error: one\nmux-acp: warn: two 2\n"));
    arena_free(&capture.arena);
    capture_begin(&capture, "debug", "text");
    log_line(LOG_DEBUG, "a\nb\x1b[1m");
    CHECK_STR(capture_end(&capture), S("mux-acp: debug: a\\nb\\x1b[1m\n"));
    CHECK(!log_set_format("xml"));
    arena_free(&capture.arena);
}

static Json *parse_line(Str *rest) {
    Str line;
    CHECK(str_next_line(rest, &line));
    Err err = {0};
    Json *json = json_parse(line, &err);
    CHECK_OK(json != NULL, err);
    return json;
}

static void test_json(void) {
    Capture capture;
    capture_begin(&capture, "info", "json");
    log_line(LOG_INFO, "say \"%s\"\n\x01", "h\xC3\xA9");
    log_scope(S("7"), S("mux-1"));
    log_line(LOG_WARN, "broken \xFF bytes");
    log_scope(S("\"a b\""), S(""));
    log_line(LOG_ERROR, "x");
    Str rest = capture_end(&capture);
    Json *line = parse_line(&rest);
    CHECK_STR(json_str(line, "msg"), S("say \"h\xC3\xA9\"\n\x01"));
    CHECK_STR(json_str(line, "level"), S("info"));
    CHECK(json_num(line, "t", 0) > 1e9 && !json_find(line, "request"));
    json_free(line);
    line = parse_line(&rest);
    CHECK_INT(json_int(line, "request", 0), 7);
    CHECK_STR(json_str(line, "session"), S("mux-1"));
    CHECK_STR(json_str(line, "msg"), S("broken \xEF\xBF\xBD bytes"));
    json_free(line);
    line = parse_line(&rest);
    CHECK_STR(json_str(line, "request"), S("a b"));
    json_free(line);
    CHECK(!rest.len);
    arena_free(&capture.arena);
}

static void test_spans(void) {
    Capture capture;
    capture_begin(&capture, "debug", "json");
    Span *span = span_begin("request", S("session/prompt"), S("\"sk-abcdefghijkl\""), S("mux-1"));
    CHECK(span_has_id(span, S("\"sk-abcdefghijkl\"")));
    span_end(span, S("end_turn"));
    Str rest = capture_end(&capture);
    Json *begin = parse_line(&rest), *end = parse_line(&rest);
    CHECK_STR(json_str(begin, "msg"), S("session/prompt begins"));
    CHECK_STR(json_str(end, "method"), S("session/prompt"));
    CHECK_STR(json_str(end, "span"), S("request"));
    CHECK_STR(json_str(end, "id"), S(REDACTED));
    CHECK_STR(json_str(end, "session"), S("mux-1"));
    CHECK_STR(json_str(end, "outcome"), S("end_turn"));
    CHECK(json_num(end, "ms", -1) >= 0);
    json_free(begin);
    json_free(end);
    arena_free(&capture.arena);
    capture_begin(&capture, "warn", "json");
    CHECK(!span_begin("request", S("x"), S("1"), S("")));
    span_end(NULL, S("ok"));
    CHECK_STR(capture_end(&capture), S(""));
    arena_free(&capture.arena);
}

static void *log_much(void *ctx) {
    for (int i = 0; i < 500; i++)
        log_line(LOG_INFO, "%s %0900d", (const char *)ctx, i);
    return NULL;
}

static void test_whole_lines(void) {
    Capture capture;
    capture_begin(&capture, "info", "json");
    pthread_t threads[4];
    static char NAMES[][2] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, log_much, NAMES[i]) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    log_line(LOG_INFO, "%20000d", 1);
    Str rest = capture_end(&capture);
    size_t lines = 0;
    while (rest.len) {
        Json *line = parse_line(&rest);
        lines++;
        json_free(line);
    }
    CHECK_INT(lines, 2001);
    arena_free(&capture.arena);
}

#define R REDACTED

static void test_secrets(void) {
    static const struct {
        const char *text, *expected; /* NULL: unchanged */
    } ROWS[] = {
        {"API_KEY=abc123 next", "API_KEY=" R " next"},
        {"GITHUB_TOKEN: xyz", "GITHUB_TOKEN: " R},
        {"password='a b'; user=me", "password='" R "'; user=me"},
        {"{\"secret\":\"a\\\"b\",\"n\":1}", "{\"secret\":\"" R "\",\"n\":1}"},
        {"{\"name\":\"MY_TOKEN\",\"value\":\"v w\"}", "{\"name\":\"MY_TOKEN\",\"value\":\"" R "\"}"},
        {"{\"value\":\"v w\",\"name\":\"MY_TOKEN\"}", "{\"value\":\"" R "\",\"name\":\"MY_TOKEN\"}"},
        {"{\"value\":\"v w\",\"name\":\"LANG\"}", NULL},
        {"{\\\"apiKey\\\":\\\"abc\\\",\\\"b\\\":2}", "{\\\"apiKey\\\":\\\"" R "\\\",\\\"b\\\":2}"},
        {"Authorization: Bearer abc.def, more\nnext", "Authorization: " R "\nnext"},
        {"{\"authorization\":\"Basic dXNlcjpw\"}", "{\"authorization\":\"" R "\"}"},
        {"sent Bearer abcdefgh1 to", "sent Bearer " R " to"},
        {"bearer of news", NULL},
        {"run --api-key abc --token=def -x", "run --api-key " R " --token=" R " -x"},
        {"key sk-ant-REDACTED.", "key " R},
        {"(ghp_0123456789abcdef)", "(" R ")"},
        {"github_pat_11ABCDEFG0", R},
        {"risk-averse asking ghp_x", NULL},
        {"https://me:pw@host/x http://host:80/a@b", "https://me:" R "@host/x http://host:80/a@b"},
        {"a -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- b", "a " R " b"},
        {"-----BEGIN PRIVATE KEY-----\nMII", R},
        {"prompt_tokens: 123, \"tokens\": 7", NULL},
        {"tokens: abc", "tokens: " R},
        {"no token here, no key either", NULL},
        {"", NULL},
        {"\\", NULL},
        {"key=", NULL},
        {"key=\"", NULL},
        {"value:", NULL},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        Buf out = {0};
        redact(str_of(ROWS[i].text), &out);
        CHECK_STR(buf_text(&out), str_of(ROWS[i].expected ? ROWS[i].expected : ROWS[i].text));
        buf_free(&out);
    }
    Capture capture;
    capture_begin(&capture, "info", "text");
    log_scope(S("\"sk-0123456789\""), S("ghp_0123456789"));
    log_line(LOG_INFO, "%s %s", "SECRET=hunter2", "sk-0123456789");
    Str text = capture_end(&capture);
    CHECK_STR(text, S("mux-acp: info: SECRET=" R " " R " request=\"" R "\" session=" R "\n"));
    arena_free(&capture.arena);
}

static const TestCase CASES[] = {
    {"levels", test_levels},           {"json", test_json},       {"spans", test_spans},
    {"whole_lines", test_whole_lines}, {"secrets", test_secrets},
};
TEST_SUITE(BASE_LOG_SUITE, "log", CASES);
