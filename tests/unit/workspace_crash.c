/* Whatever stops a change, the next start finds the tree as it was before or as it should be after, never
 * between.
 *
 * strace kills the program of tests/fakes/commit_program.c at the N-th call of one kind, or makes that call
 * fail, for every N until the program gets through.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/os.h"
#include "tests/unit/workspace_fixture.h"

#define PROGRAM MUX_BINARY_DIR "/commit_program"

static const char *const CALLS[] = {"openat",    "write",    "fsync",   "renameat",
                                    "renameat2", "unlinkat", "mkdirat", "fchmod"};
enum { CALL_COUNT = sizeof CALLS / sizeof *CALLS };

typedef struct CrashRun {
    Fixture fixture;
    Str before, after;
    int loader_calls[CALL_COUNT]; /* made before the program's own first call */
} CrashRun;

static char far_git[64]; /* a git folder on another mount, or empty */

static void remove_tree(const char *path) {
    const char *const argv[] = {"rm", "-rf", path, NULL};
    CHECK_INT(run_program(argv, NULL), 0);
}

static void reset_tree(Fixture *fixture) {
    remove_tree(fixture->root.ptr);
    CHECK(mkdir(fixture->root.ptr, 0755) == 0);
    if (far_git[0]) {
        Str head = str_printf(&fixture->arena, "%s/HEAD", far_git);
        remove_tree(far_git);
        CHECK(mkdir(far_git, 0700) == 0 && os_write_file(head.ptr, S("ref: refs/heads/x\n"), NULL));
        fixture_write(fixture, ".git", str_printf(&fixture->arena, "gitdir: %s\n", far_git));
    }
    fixture_write(fixture, "a.txt", S("before a\n"));
    fixture_write(fixture, "gone.txt", S("before gone\n"));
    fixture_write(fixture, "other.txt", S("other\n"));
    CHECK(chmod(fixture_path(fixture, "gone.txt"), 0755) == 0);
}

static int run_plain(CrashRun *run, const char *mode) {
    const char *const argv[] = {PROGRAM, run->fixture.root.ptr, mode, NULL};
    return run_program(argv, NULL);
}

/* inject is strace's rule without the call's name, as "signal=SIGKILL:when=3". */
static int run_injected(CrashRun *run, const char *mode, const char *call, const char *inject) {
    Arena *arena = &run->fixture.arena;
    const char *trace = str_printf(arena, "trace=%s", call).ptr;
    const char *rule = str_printf(arena, "inject=%s:%s", call, inject).ptr;
    const char *const argv[] = {"strace", "-f", "-o",    "/dev/null",           "-e", trace,
                                "-e",     rule, PROGRAM, run->fixture.root.ptr, mode, NULL};
    return run_program(argv, str_printf(arena, "%s/output", test_tmp()).ptr);
}

static void count_loader_calls(CrashRun *run) {
    Arena *arena = &run->fixture.arena;
    const char *log = str_printf(arena, "%s/log", test_tmp()).ptr;
    const char *const argv[] = {"strace",  "-f",
                                "-o",      log,
                                "-e",      "trace=chdir,openat,write,fsync,mkdirat,unlinkat,fchmod",
                                PROGRAM,   run->fixture.root.ptr,
                                "recover", NULL};
    Str text = {0}, line;
    if (run_program(argv, NULL) != 0 || !os_read_file(log, 1 << 20, arena, &text, NULL))
        SKIP("strace may not trace here");
    while (str_next_line(&text, &line) && !str_contains(line, S("chdir(")))
        for (int i = 0; i < CALL_COUNT; i++)
            run->loader_calls[i] += str_contains(line, str_printf(arena, " %s(", CALLS[i]));
}

/* These tests ask what the kernel saw, not what a disk kept: memory will do, and there a sync costs nothing.
 */
static void use_memory_folder(void) {
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    log_init("error");
}

static void crash_init(CrashRun *run) {
    *run = (CrashRun){0};
    use_memory_folder();
    if (!has_program("strace"))
        SKIP("strace is not installed");
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* the leak checker cannot work while traced */
    fixture_init(&run->fixture);
    reset_tree(&run->fixture);
    run->before = fixture_snapshot(&run->fixture);
    count_loader_calls(run);
    CHECK_INT(run_plain(run, "commit"), 0);
    run->after = fixture_snapshot(&run->fixture);
    CHECK(!str_eq(run->before, run->after));
}

static void expect_before_or_after(CrashRun *run, const char *call, const char *what, int n) {
    Str now = fixture_snapshot(&run->fixture);
    CHECK_MSG(str_eq(now, run->before) || str_eq(now, run->after), "%s at %s call %d left\n%.*s", what, call,
              n, STR_ARG(now));
}

/* After a start: one of the two, twice, and still able to change and undo. */
static void check_recovered(CrashRun *run, const char *call, const char *what, int n) {
    Fixture *fixture = &run->fixture;
    Err err = {0};
    RecoverReport report;
    fixture_open(fixture, file_io_disk());
    expect_before_or_after(run, call, what, n);
    bool is_after = str_eq(fixture_snapshot(fixture), run->after);
    CHECK_OK(ws_recover(fixture->ws, &report, &err), err);
    CHECK_INT(report.finished + report.rolled_back + report.cleaned + report.conflicts, 0);
    if (is_after)
        CHECK_OK(ws_undo(fixture->ws, S(""), NULL, &err), err);
    CHECK_STR(fixture_snapshot(fixture), run->before);
    ws_close(fixture->ws);
    fixture->ws = NULL;
}

static void test_kill_at_every_call(void) {
    CrashRun run;
    crash_init(&run);
    int kills = 0;
    for (int i = 0; i < CALL_COUNT; i++) {
        for (int n = run.loader_calls[i] + 1;; n++) {
            reset_tree(&run.fixture);
            int status = run_injected(&run, "commit", CALLS[i],
                                      str_printf(&run.fixture.arena, "signal=SIGKILL:when=%d", n).ptr);
            if (status == 0)
                break;
            CHECK_INT(status, 128 + SIGKILL);
            check_recovered(&run, CALLS[i], "killed", n);
            kills++;
        }
    }
    CHECK_MSG(kills >= 50, "only %d calls were hit", kills);
    fixture_close(&run.fixture);
}

/* Our folder on another mount than the files: they are copied beside their targets first. */
static void test_kill_on_other_mount(void) {
    static const int SOME[] = {0, 2, 4, 5}; /* openat, fsync, renameat2, unlinkat */
    CrashRun run;
    struct stat here, there;
    snprintf(far_git, sizeof far_git, "/tmp/mux-test-far-XXXXXX");
    use_memory_folder();
    if (stat(test_tmp(), &here) != 0 || stat("/tmp", &there) != 0 || here.st_dev == there.st_dev ||
        !mkdtemp(far_git)) {
        far_git[0] = 0;
        SKIP("there is no second file system to try");
    }
    crash_init(&run);
    int kills = 0;
    for (size_t i = 0; i < sizeof SOME / sizeof *SOME; i++) {
        const char *call = CALLS[SOME[i]];
        for (int n = run.loader_calls[SOME[i]] + 1;; n++) {
            reset_tree(&run.fixture);
            int status = run_injected(&run, "commit", call,
                                      str_printf(&run.fixture.arena, "signal=SIGKILL:when=%d", n).ptr);
            if (status == 0)
                break;
            check_recovered(&run, call, "killed", n);
            kills++;
        }
    }
    remove_tree(far_git);
    far_git[0] = 0;
    CHECK_MSG(kills >= 30, "only %d calls were hit", kills);
    fixture_close(&run.fixture);
}

/* Recovery is killed at every call as well, once it has something to undo. */
static void test_kill_recovery(void) {
    CrashRun run;
    crash_init(&run);
    int kills = 0;
    for (int i = 0; i < CALL_COUNT; i++) {
        for (int n = run.loader_calls[i] + 1;; n++) {
            reset_tree(&run.fixture);
            /* the third exchange of names: two of three files are changed */
            CHECK_INT(run_injected(&run, "commit", "renameat2", "signal=SIGKILL:when=3"), 128 + SIGKILL);
            int status = run_injected(&run, "recover", CALLS[i],
                                      str_printf(&run.fixture.arena, "signal=SIGKILL:when=%d", n).ptr);
            if (status == 0)
                break;
            check_recovered(&run, CALLS[i], "recovery killed", n);
            kills++;
        }
    }
    CHECK_MSG(kills >= 20, "only %d calls were hit", kills);
    fixture_close(&run.fixture);
}

static void check_failure(CrashRun *run, int call, int n, const char *error, bool is_lasting,
                          bool *is_through) {
    Arena *arena = &run->fixture.arena;
    reset_tree(&run->fixture);
    int status = run_injected(run, "commit", CALLS[call],
                              str_printf(arena, "error=%s:when=%d%s", error, n, is_lasting ? "+" : "").ptr);
    CHECK_MSG(status == 0 || status == 1, "%s from %s call %d: status %d", error, CALLS[call], n, status);
    Str now = fixture_snapshot(&run->fixture), said = {0};
    if (status == 0)
        CHECK_STR(now, run->after);
    else if (!is_lasting)
        CHECK_MSG(str_eq(now, run->before), "%s from %s call %d left\n%.*s", error, CALLS[call], n,
                  STR_ARG(now));
    os_read_file(str_printf(arena, "%s/output", test_tmp()).ptr, 4096, arena, &said, NULL);
    CHECK_MSG((said.len > 20) == (status == 1), "%s from %s call %d said: %.*s", error, CALLS[call], n,
              STR_ARG(said));
    check_recovered(run, CALLS[call], error, n);
    *is_through = status == 0;
}

static int count_calls(CrashRun *run, int call) {
    Arena *arena = &run->fixture.arena;
    const char *log = str_printf(arena, "%s/log", test_tmp()).ptr;
    const char *trace = str_printf(arena, "trace=%s", CALLS[call]).ptr;
    const char *const argv[] = {"strace", "-f", "-o", log, "-e", trace, PROGRAM, run->fixture.root.ptr,
                                "commit", NULL};
    Str text = {0}, line;
    int count = 0;
    reset_tree(&run->fixture);
    CHECK_INT(run_program(argv, NULL), 0);
    os_read_file(log, 1 << 20, arena, &text, NULL);
    while (str_next_line(&text, &line))
        count += str_contains(line, str_printf(arena, " %s(", CALLS[call]));
    return count;
}

static void test_failing_calls(void) {
    static const char *const ERRORS[] = {"ENOSPC", "EIO", "EINTR"};
    CrashRun run;
    crash_init(&run);
    int failed = 0, seen = 0;
    for (int i = 0; i < CALL_COUNT; i++) {
        int count = count_calls(&run, i);
        for (int n = run.loader_calls[i] + 1; n <= count; n++) {
            /* a sample: each call fails in one of three ways, once or for good */
            bool is_through, is_eintr = seen % 3 == 2;
            bool has_eintr =
                strcmp(CALLS[i], "renameat2") && strcmp(CALLS[i], "renameat") && strcmp(CALLS[i], "fchmod");
            const char *error = ERRORS[is_eintr && !has_eintr ? 1 : seen % 3];
            check_failure(&run, i, n, error, !is_eintr && seen % 4 == 3, &is_through);
            failed += !is_through;
            seen++;
        }
    }
    CHECK_MSG(failed >= 20, "only %d of %d failed", failed, seen);
    fixture_close(&run.fixture);
}

static void sleep_us(long us) {
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static pid_t start(const char *const *argv) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    CHECK(pid > 0);
    return pid;
}

/* The loop is killed at a random moment after its first change, however long that takes to come. */
static void wait_for_change(Fixture *fixture, Str last) {
    Str now = last;
    for (double end = os_monotonic_ms() + 60000; str_eq(now, last) || !now.ptr;
         now = fixture_text(fixture, "a.txt")) {
        CHECK_MSG(os_monotonic_ms() < end, "the loop does nothing");
        sleep_us(300);
    }
}

static void test_random_kills(void) {
    Fixture fixture;
    use_memory_folder();
    fixture_init(&fixture);
    static const char *const NAMES[] = {"a.txt", "b.txt", "c.txt"};
    for (int i = 0; i < 3; i++)
        fixture_write(&fixture, NAMES[i], S("0\n"));
    const char *const argv[] = {PROGRAM, fixture.root.ptr, "loop", NULL};
    for (int i = 0; i < 50; i++) {
        Str last = fixture_text(&fixture, "a.txt");
        pid_t pid = start(argv);
        wait_for_change(&fixture, last);
        sleep_us((long)(test_random() % 15000));
        kill(pid, SIGKILL);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
        fixture_open(&fixture, file_io_disk());
        Str first = fixture_text(&fixture, "a.txt");
        CHECK_STR(fixture_text(&fixture, "b.txt"), first);
        CHECK_STR(fixture_text(&fixture, "c.txt"), first);
    }
    Str names = fixture_snapshot(&fixture);
    CHECK_MSG(!str_contains(names, S(".tmp")), "left behind:\n%.*s", STR_ARG(names));
    fixture_close(&fixture);
}

/* Two processes add to one number: each commit either sees the other's or is refused, so none is lost. */
static void test_two_processes(void) {
    Fixture fixture;
    fixture_init(&fixture);
    fixture_write(&fixture, "n.txt", S("0\n"));
    const char *const argv[] = {PROGRAM, fixture.root.ptr, "add", "n.txt", "12", NULL};
    pid_t pids[2] = {start(argv), start(argv)};
    for (int i = 0; i < 2; i++) {
        int status;
        CHECK(waitpid(pids[i], &status, 0) == pids[i]);
        CHECK_INT(status, 0);
    }
    CHECK_STR(fixture_text(&fixture, "n.txt"), S("24\n"));
    fixture_close(&fixture);
}

static bool has_manifest(Fixture *fixture) {
    const char *command = str_printf(&fixture->arena, "ls %s/.mux/txn/*/manifest", fixture->root.ptr).ptr;
    const char *const argv[] = {"sh", "-c", command, NULL};
    return run_program(argv, NULL) == 0;
}

/* Somebody saves the file in the moment between the last look at it and the exchange, which strace stretches:
 * the text is displaced, seen and put back. Should the machine be so slow that the writer comes too late, its
 * text stays all the same. */
static void test_third_party(void) {
    CrashRun run;
    crash_init(&run);
    Fixture *fixture = &run.fixture;
    for (int by_rename = 0; by_rename < 2; by_rename++) {
        reset_tree(fixture);
        const char *const argv[] = {"strace", "-f",
                                    "-o",     "/dev/null",
                                    "-e",     "trace=renameat2",
                                    "-e",     "inject=renameat2:delay_enter=600000:when=1",
                                    PROGRAM,  fixture->root.ptr,
                                    "commit", NULL};
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            execvp(argv[0], (char *const *)argv);
            _exit(127);
        }
        int status = -1;
        while (!has_manifest(fixture) && waitpid(pid, &status, WNOHANG) == 0)
            sleep_us(1000);
        sleep_us(100000);
        fixture_write(fixture, by_rename ? "beside" : "a.txt", S("third party\n"));
        if (by_rename)
            CHECK(rename(fixture_path(fixture, "beside"), fixture_path(fixture, "a.txt")) == 0);
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_STR(fixture_text(fixture, "a.txt"), S("third party\n"));
        CHECK((WEXITSTATUS(status) != 0) == (fixture_text(fixture, "gone.txt").ptr != NULL));
        fixture_open(fixture, file_io_disk());
        CHECK_STR(fixture_text(fixture, "a.txt"), S("third party\n"));
        ws_close(fixture->ws);
        fixture->ws = NULL;
    }
    fixture_close(fixture);
}

/* The same, but the change was killed before it could put the displaced text back: recovery does. And a file
 * that holds neither text is left as it is, while the others go back. */
static void test_recovery_keeps_foreign_text(void) {
    CrashRun run;
    crash_init(&run);
    Fixture *fixture = &run.fixture;
    for (int is_displaced = 0; is_displaced < 2; is_displaced++) {
        RecoverReport report;
        Err err = {0};
        reset_tree(fixture);
        fixture_open(fixture, file_io_disk());
        CHECK_INT(run_injected(&run, "commit", "renameat2", "signal=SIGKILL:when=3"), 128 + SIGKILL);
        const char *command = str_printf(&fixture->arena, "echo third party > %s/%s", fixture->root.ptr,
                                         is_displaced ? ".mux/txn/1-*/new/0" : "a.txt")
                                  .ptr;
        const char *const argv[] = {"bash", "-c", command, NULL};
        CHECK_INT(run_program(argv, NULL), 0);
        CHECK_OK(ws_recover(fixture->ws, &report, &err), err);
        CHECK_INT(report.conflicts, 1);
        CHECK_STR(fixture_text(fixture, "a.txt"), S("third party\n"));
        CHECK(fixture_text(fixture, "gone.txt").ptr && !fixture_text(fixture, "sub/deep/new.txt").ptr);
        CHECK_OK(ws_recover(fixture->ws, &report, &err), err);
        CHECK_INT(report.conflicts, 0);
        const char *const kept[] = {
            "bash", "-c", str_printf(&fixture->arena, "ls %s/.mux/txn/1-*/kept", fixture->root.ptr).ptr,
            NULL};
        CHECK_INT(run_program(kept, NULL), 0);
    }
    fixture_close(fixture);
}

/* With the backup of a changed file damaged there is no way back, but there is one forward. */
static void test_recovery_goes_forward(void) {
    CrashRun run;
    crash_init(&run);
    Fixture *fixture = &run.fixture;
    RecoverReport report;
    Err err = {0};
    reset_tree(fixture);
    fixture_open(fixture, file_io_disk());
    CHECK_INT(run_injected(&run, "commit", "renameat2", "signal=SIGKILL:when=3"), 128 + SIGKILL);
    const char *command =
        str_printf(&fixture->arena, "echo damaged > %s/.mux/txn/1-*/old/0", fixture->root.ptr).ptr;
    const char *const argv[] = {"bash", "-c", command, NULL};
    CHECK_INT(run_program(argv, NULL), 0);
    CHECK_OK(ws_recover(fixture->ws, &report, &err), err);
    CHECK_INT(report.finished, 1);
    CHECK_STR(fixture_snapshot(fixture), run.after);
    CHECK(!ws_undo(fixture->ws, S(""), NULL, &err) && err.code == ERR_IO && strstr(err.text, "damaged"));
    CHECK_STR(fixture_snapshot(fixture), run.after);
    fixture_close(fixture);
}

static const TestCase TESTS[] = {
    {"kill_at_every_call", test_kill_at_every_call},
    {"kill_recovery", test_kill_recovery},
    {"kill_on_other_mount", test_kill_on_other_mount},
    {"failing_calls", test_failing_calls},
    {"random_kills", test_random_kills},
    {"two_processes", test_two_processes},
    {"third_party", test_third_party},
    {"recovery_keeps_foreign_text", test_recovery_keeps_foreign_text},
    {"recovery_goes_forward", test_recovery_goes_forward},
};
TEST_SUITE(WORKSPACE_CRASH_SUITE, "crash", TESTS);
