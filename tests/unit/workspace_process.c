/* Programs spoken to in lines: how they answer, die, flood and hang. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "tests/runner.h"
#include "workspace/process.h"

#define WAIT_MS 20000 /* only a test that fails waits that long */

typedef struct Heard {
    size_t lines, bytes;
    char last[64];
} Heard;

static void hear(void *ctx, Str line) {
    Heard *heard = ctx;
    heard->lines++;
    heard->bytes += line.len;
    snprintf(heard->last, sizeof heard->last, "%.*s", STR_ARG(line));
}

static Process *start_shell(const char *script, size_t line_max, Heard *heard) {
    Err err = {0};
    Str args[] = {S("-c"), str_of(script)};
    ProcessConfig config = {.command = S("sh"),
                            .args = args,
                            .arg_count = 2,
                            .cwd = str_of(test_tmp()),
                            .line_max = line_max,
                            .ctx = heard,
                            .stderr_line = heard ? hear : NULL};
    Process *process = process_start(&config, &err);
    CHECK_OK(process != NULL, err);
    return process;
}

static Str read_line(Process *process) {
    Err err = {0};
    Str line = S("");
    CHECK_OK(process_read_line(process, WAIT_MS, &line, &err), err);
    return line;
}

static void read_error(Process *process, double timeout_ms, ErrCode code, const char *part) {
    Err err = {0};
    Str line = S("");
    bool ok = process_read_line(process, timeout_ms, &line, &err);
    CHECK_MSG(!ok, "a line came: %.*s", STR_ARG(line));
    CHECK_MSG(err.code == code, "%s: %s", err_name(err.code), err.text);
    CHECK_MSG(strstr(err.text, part), "no \"%s\" in: %s", part, err.text);
}

static int count_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    CHECK(folder);
    int count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void test_echo(void) {
    Err err = {0};
    Process *process = start_shell("exec cat", 0, NULL);
    for (int i = 0; i < 100; i++) {
        char text[32];
        snprintf(text, sizeof text, "line %d", i);
        CHECK_OK(process_write(process, str_of(text), WAIT_MS, &err), err);
        CHECK_STR(read_line(process), str_of(text));
    }
    process_stop(process);
}

static void test_lines(void) {
    Process *process = start_shell("printf 'one\\r\\n\\ntwo\\nrest'", 0, NULL);
    CHECK_STR(read_line(process), S("one"));
    CHECK_STR(read_line(process), S(""));
    CHECK_STR(read_line(process), S("two"));
    CHECK_STR(read_line(process), S("rest"));
    read_error(process, WAIT_MS, ERR_IO, "exit status 0");
    read_error(process, WAIT_MS, ERR_IO, "exit status 0");
    process_stop(process);
}

static void test_not_started(void) {
    Err err = {0};
    char path[512];
    snprintf(path, sizeof path, "%s/plain", test_tmp());
    CHECK_OK(os_write_file(path, S("no program"), &err), err);
    struct {
        const char *command, *cwd;
        ErrCode code;
    } cases[] = {
        {"no-such-program-anywhere", "/", ERR_NOT_FOUND},
        {"/no/such/program", "/", ERR_NOT_FOUND},
        {"./plain", test_tmp(), ERR_DENIED},
        {"", "/", ERR_INVALID},
        {"sh", "/no/such/folder", ERR_IO},
    };
    int before = count_descriptors();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ProcessConfig config = {.command = str_of(cases[i].command), .cwd = str_of(cases[i].cwd)};
        Process *process = process_start(&config, &err);
        CHECK_MSG(!process, "\"%s\" was started", cases[i].command);
        CHECK_MSG(err.code == cases[i].code, "\"%s\": %s: %s", cases[i].command, err_name(err.code),
                  err.text);
    }
    CHECK_INT(count_descriptors(), before);
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

static void test_environment(void) {
    setenv("MUX_TEST_OURS", "ours", 1);
    setenv("MUX_TEST_BOTH", "ours", 1);
    Err err = {0};
    Str args[] = {S("-c"), S("echo $MUX_TEST_OURS $MUX_TEST_BOTH $MUX_TEST_NEW; pwd")};
    Str env[] = {S("MUX_TEST_BOTH=theirs"), S("MUX_TEST_NEW=a=b")};
    ProcessConfig config = {.command = S("sh"),
                            .args = args,
                            .arg_count = 2,
                            .env = env,
                            .env_count = 2,
                            .cwd = str_of(test_tmp())};
    Process *process = process_start(&config, &err);
    CHECK_OK(process != NULL, err);
    CHECK_STR(read_line(process), S("ours theirs a=b"));
    CHECK_STR(read_line(process), str_of(test_tmp()));
    process_stop(process);
}

static void test_dies_at_once(void) {
    Err err = {0};
    Process *process = start_shell("exit 3", 0, NULL);
    read_error(process, WAIT_MS, ERR_IO, "exit status 3");
    CHECK(!process_write(process, S("hello"), WAIT_MS, &err));
    CHECK_INT(err.code, ERR_IO);
    process_stop(process);
    process = start_shell("kill -9 $$", 0, NULL);
    read_error(process, WAIT_MS, ERR_IO, "signal 9");
    process_stop(process);
}

static void test_error_lines(void) {
    Heard heard = {0};
    Process *process =
        start_shell("i=0; while [ $i -lt 20000 ]; do echo some words number $i >&2; i=$((i+1));"
                    "done; echo done; printf last >&2",
                    0, &heard);
    CHECK_STR(read_line(process), S("done"));
    read_error(process, WAIT_MS, ERR_IO, "exit status 0");
    CHECK_MSG(heard.lines > 1000, "%zu lines", heard.lines);
    CHECK_STR(str_of(heard.last), S("last"));
    process_stop(process);
}

/* Nobody reads while stderr and stdout are flooded and a large line is written: all of it must get through.
 */
static void test_full_pipes(void) {
    Err err = {0};
    size_t size = (size_t)1 << 20;
    char *large = malloc(size);
    CHECK(large);
    memset(large, 'x', size);
    Process *process = start_shell("head -c 300000 /dev/zero | tr '\\0' 'e' >&2; "
                                   "head -c 300000 /dev/zero | tr '\\0' 'o'; echo; exec wc -c",
                                   0, NULL);
    CHECK_OK(process_write(process, (Str){large, size}, WAIT_MS, &err), err);
    process_end_input(process);
    CHECK_INT(read_line(process).len, 300000);
    CHECK_STR(str_trim(read_line(process)), S("1048577"));
    process_stop(process);
    free(large);
}

static void test_never_reads(void) {
    Err err = {0};
    static char large[300000];
    memset(large, 'x', sizeof large);
    Process *process = start_shell("exec sleep 100", 0, NULL);
    CHECK(!process_write(process, (Str){large, sizeof large}, 30, &err));
    CHECK_MSG(err.code == ERR_LIMIT, "%s", err.text);
    CHECK(!process_write(process, S("more"), WAIT_MS, &err));
    CHECK_MSG(err.code == ERR_IO, "%s", err.text);
    process_stop(process);
}

static void test_says_nothing(void) {
    Process *process = start_shell("exec cat", 0, NULL);
    read_error(process, 0, ERR_LIMIT, "nothing");
    read_error(process, 10, ERR_LIMIT, "nothing");
    Err err = {0};
    CHECK_OK(process_write(process, S("still here"), WAIT_MS, &err), err);
    CHECK_STR(read_line(process), S("still here"));
    process_stop(process);
}

static void test_long_lines(void) {
    Process *process = start_shell("head -c 1000 /dev/zero | tr '\\0' 'a'; echo; "
                                   "head -c 1001 /dev/zero | tr '\\0' 'b'; echo",
                                   1000, NULL);
    CHECK_INT(read_line(process).len, 1000);
    read_error(process, WAIT_MS, ERR_INVALID, "1000 bytes");
    read_error(process, WAIT_MS, ERR_INVALID, "1000 bytes");
    process_stop(process);
    /* Without an end: no more than the limit and a little is taken in. */
    process = start_shell("exec tr '\\0' 'c' </dev/zero", (size_t)1 << 20, NULL);
    read_error(process, WAIT_MS, ERR_INVALID, "1048576 bytes");
    process_stop(process);
}

/* ---- interrupts ---- */

static void *interrupt_soon(void *process) {
    process_interrupt(process);
    return NULL;
}

static void test_interrupt(void) {
    Err err = {0};
    static char large[300000];
    Process *process = start_shell("read word; echo got $word; exec sleep 100", 0, NULL);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, interrupt_soon, process) == 0);
        read_error(process, WAIT_MS, ERR_CANCELLED, "interrupted");
        pthread_join(thread, NULL);
    }
    /* Before anybody waits, twice: one read is ended, and what is there is still read. */
    process_interrupt(process);
    process_interrupt(process);
    read_error(process, WAIT_MS, ERR_CANCELLED, "interrupted");
    CHECK_OK(process_write(process, S("hello"), WAIT_MS, &err), err);
    CHECK_STR(read_line(process), S("got hello"));
    memset(large, 'x', sizeof large);
    CHECK(!process_write(process, (Str){large, sizeof large}, WAIT_MS, &err));
    CHECK_MSG(err.code == ERR_CANCELLED, "%s", err.text);
    process_stop(process);
}

typedef struct Writer {
    Process *process;
    int number;
} Writer;

static void *write_lines(void *ctx) {
    Writer *writer = ctx;
    char text[200];
    memset(text, 'a' + writer->number, sizeof text);
    for (int i = 0; i < 500; i++)
        if (!process_write(writer->process, (Str){text, sizeof text}, WAIT_MS, NULL))
            break;
    return NULL;
}

static void test_many_writers(void) {
    Process *process = start_shell("exec cat", 0, NULL);
    Writer writers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        writers[i] = (Writer){process, i};
        CHECK(pthread_create(&threads[i], NULL, write_lines, &writers[i]) == 0);
    }
    size_t counts[4] = {0};
    for (int i = 0; i < 2000; i++) {
        Str line = read_line(process);
        CHECK_INT(line.len, 200);
        for (size_t at = 1; at < line.len; at++)
            CHECK(line.ptr[at] == line.ptr[0]);
        counts[line.ptr[0] - 'a']++;
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(counts[i], 500);
    }
    process_stop(process);
}

/* ---- the end ---- */

static bool is_alive(pid_t pid) {
    return kill(pid, 0) == 0 || errno != ESRCH;
}

static void wait_until_gone(pid_t pid) {
    double until = os_monotonic_ms() + WAIT_MS;
    while (is_alive(pid) && os_monotonic_ms() < until)
        usleep(1000);
    CHECK(!is_alive(pid));
}

static void test_stop_ends_the_group(void) {
    /* One that ends by its stdin, leaving a child behind; and one that does not want to end. */
    const char *scripts[] = {"sleep 100 & echo $!; exec cat >/dev/null",
                             "trap '' TERM; sleep 100 & echo $!; while true; do sleep 0.05; done"};
    /* What is left behind becomes ours, so that it is seen to be gone. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (size_t i = 0; i < 2; i++) {
        Process *process = start_shell(scripts[i], 0, NULL);
        char number[32];
        Str line = read_line(process);
        snprintf(number, sizeof number, "%.*s", STR_ARG(line));
        pid_t left = (pid_t)atoi(number);
        CHECK(left > 1 && is_alive(left));
        process_stop(process);
        while (waitpid(-1, NULL, 0) > 0)
            continue;
        wait_until_gone(left);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void test_no_leaks(void) {
    Process *first = start_shell("exec cat", 0, NULL); /* the thread that starts programs is there now */
    int before = count_descriptors();
    for (int i = 0; i < 20; i++) {
        Process *process = start_shell(i % 2 ? "exec cat" : "exit 0", 0, NULL);
        if (i % 3 == 0)
            process_write(process, S("x"), WAIT_MS, NULL);
        process_stop(process);
    }
    CHECK_INT(count_descriptors(), before);
    process_stop(first);
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    process_stop(NULL);
}

/* A descriptor of ours that is not close-on-exec, and a signal that we ignore, are not handed on. */
static void test_gets_nothing_of_ours(void) {
    int ours = open("/dev/null", O_RDONLY);
    CHECK(ours >= 0);
    struct sigaction before;
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, &before);
    /* 0, 1, 2, and the one that looks. */
    Process *process = start_shell("set -- /proc/$$/fd/*; echo $#; grep SigIgn /proc/$$/status", 0, NULL);
    CHECK_STR(read_line(process), S("4"));
    char wanted[64];
    snprintf(wanted, sizeof wanted, "SigIgn:\t%016x", 0);
    CHECK_STR(read_line(process), str_of(wanted));
    process_stop(process);
    sigaction(SIGPIPE, &before, NULL);
    close(ours);
}

/* The thread that asked for a program ends: the program goes on. The whole parent is killed: it goes too. */
static void *start_cat(void *unused) {
    (void)unused;
    Str args[] = {S("-c"), S("trap '' HUP TERM; echo $$; while true; do sleep 0.05; done")};
    ProcessConfig config = {.command = S("sh"), .args = args, .arg_count = 2, .cwd = S("/")};
    return process_start(&config, NULL);
}

static void parent_that_is_killed(int out) {
    pthread_t thread;
    void *process = NULL;
    Str line = S("");
    if (pthread_create(&thread, NULL, start_cat, NULL) != 0)
        _exit(1);
    pthread_join(thread, &process);
    if (!process || !process_read_line(process, WAIT_MS, &line, NULL))
        _exit(1);
    (void)!write(out, line.ptr, line.len);
    close(out);
    for (;;)
        pause();
}

static void test_dies_with_us(void) {
    int ends[2];
    char text[32] = "";
    CHECK(pipe(ends) == 0);
    pid_t parent = fork();
    CHECK(parent >= 0);
    if (parent == 0) {
        close(ends[0]);
        parent_that_is_killed(ends[1]);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t got;
         used < sizeof text - 1 && (got = read(ends[0], text + used, sizeof text - 1 - used)) > 0;)
        used += (size_t)got;
    close(ends[0]);
    pid_t child = (pid_t)atoi(text);
    CHECK(child > 1 && is_alive(child));
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    kill(parent, SIGKILL);
    CHECK(waitpid(parent, NULL, 0) == parent);
    while (waitpid(-1, NULL, 0) > 0)
        continue;
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    wait_until_gone(child);
}

static const TestCase CASES[] = {
    {"a program that dies with us", test_dies_with_us}, /* first: it forks before there are threads */
    {"lines there and back", test_echo},
    {"line ends and a last line without one", test_lines},
    {"programs that cannot be started", test_not_started},
    {"environment and folder", test_environment},
    {"a program that dies at once", test_dies_at_once},
    {"a program that floods its stderr", test_error_lines},
    {"all pipes full at once", test_full_pipes},
    {"a program that never reads", test_never_reads},
    {"a program that says nothing", test_says_nothing},
    {"lines that are too long", test_long_lines},
    {"interrupts from another thread", test_interrupt},
    {"many writers", test_many_writers},
    {"the end of a whole group", test_stop_ends_the_group},
    {"no descriptor and no zombie is left", test_no_leaks},
    {"nothing of ours is handed on", test_gets_nothing_of_ours},
};
TEST_SUITE(WORKSPACE_PROCESS_SUITE, "process", CASES);
