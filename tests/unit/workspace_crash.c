/* Whatever stops a change, the next start finds the tree as it was before or as it should be after, never
 * between.
 *
 * strace kills the program of tests/fakes/commit_program.c at the N-th call of one kind, or makes that call
 * fail, for every N until the program gets through. Without MUX_FULL=1 a sample of those points is taken, by
 * MUX_SEED.
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

#include "base/os.h"
#include "tests/unit/workspace_scenarios.h"

#define PROGRAM COMMIT_PROGRAM

/* Everything that may change a file system, and opening, which may create. */
static const char *const CALLS[] = {
    "openat",    "openat2", "write",     "pwrite64",  "pwritev",         "fsync",     "fdatasync",
    "syncfs",    "rename",  "renameat",  "renameat2", "unlinkat",        "unlink",    "mkdirat",
    "mkdir",     "fchmod",  "fchmodat",  "fchown",    "fchownat",        "ftruncate", "fallocate",
    "symlinkat", "linkat",  "fsetxattr", "ioctl",     "copy_file_range", "flock",     "utimensat",
};
enum { CALL_COUNT = sizeof CALLS / sizeof *CALLS };

/* How often the program makes each call: by itself, after what its loader did. */
typedef struct CallCounts {
    int loader[CALL_COUNT], total[CALL_COUNT];
} CallCounts;

typedef struct Tally {
    int points, befores, afters;
} Tally;

static const char *calls_joined(Arena *arena) {
    Str all = S("trace=chdir");
    for (int i = 0; i < CALL_COUNT; i++)
        all = str_printf(arena, "%.*s,%s", STR_ARG(all), CALLS[i]);
    return all.ptr;
}

static void count_calls(ScenarioRun *run, const char *mode, CallCounts *out) {
    Arena *arena = &run->fixture.arena;
    const char *log = str_printf(arena, "%s/log", test_tmp()).ptr;
    const char *const front[] = {"strace", "-f", "-o", log, "-e", calls_joined(arena), NULL};
    Str text = {0}, line;
    bool is_own = false;
    *out = (CallCounts){0};
    const char *output = str_printf(arena, "%s/output", test_tmp()).ptr;
    if (run_program(scenario_words(run, front, mode), output) != 0 ||
        !os_read_file(log, 1 << 22, arena, &text, NULL))
        SKIP("strace may not trace here");
    while (str_next_line(&text, &line)) {
        is_own |= str_contains(line, S("chdir("));
        for (int i = 0; i < CALL_COUNT; i++) {
            bool is_it = str_contains(line, str_printf(arena, " %s(", CALLS[i]));
            out->total[i] += is_it;
            out->loader[i] += is_it && !is_own;
        }
    }
}

/* inject is strace's rule without the call's name, as "signal=SIGKILL:when=3". mode as in scenario_words. */
static int run_injected(ScenarioRun *run, const char *mode, const char *call, const char *inject) {
    Arena *arena = &run->fixture.arena;
    const char *trace = str_printf(arena, "trace=%s", call).ptr;
    const char *rule = str_printf(arena, "inject=%s:%s", call, inject).ptr;
    const char *const front[] = {"strace", "-f", "-o", "/dev/null", "-e", trace, "-e", rule, NULL};
    return run_program(scenario_words(run, front, mode), str_printf(arena, "%s/output", test_tmp()).ptr);
}

static int run_killed(ScenarioRun *run, const char *mode, const char *call, int n) {
    int status =
        run_injected(run, mode, call, str_printf(&run->fixture.arena, "signal=SIGKILL:when=%d", n).ptr);
    CHECK_MSG(status == 0 || status == 128 + SIGKILL, "%s at %s call %d: status %d", run->scenario->name,
              call, n, status);
    return status;
}

static void crash_init(ScenarioRun *run, const char *name) {
    if (!has_program("strace"))
        SKIP("strace is not installed");
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* the leak checker cannot work while traced */
    scenario_init(run, scenario_named(name));
}

/* After a start: one of the two, twice, nothing left over, and still able to undo. */
static void check_recovered(ScenarioRun *run, const char *call, const char *what, int n, Tally *tally) {
    Fixture *fixture = &run->fixture;
    Err err = {0};
    RecoverReport report;
    BackupList backups;
    fixture_open(fixture, file_io_disk());
    Str now = fixture_snapshot(fixture);
    bool is_after = str_eq(now, run->after);
    CHECK_MSG(is_after || str_eq(now, run->before), "%s: %s at %s call %d left\n%.*s", run->scenario->name,
              what, call, n, STR_ARG(now));
    CHECK_OK(ws_recover(fixture->ws, &report, &err), err);
    CHECK_INT(report.finished + report.rolled_back + report.cleaned + report.conflicts, 0);
    CHECK_OK(ws_backups(fixture->ws, &fixture->arena, &backups, &err), err);
    if (is_after) {
        CHECK_MSG(backups.count > 0, "%s: %s at %s call %d left no backup", run->scenario->name, what, call,
                  n);
        CHECK_OK(ws_undo(fixture->ws, backups.items[0].id, NULL, &err), err);
        CHECK_STR(fixture_snapshot(fixture), run->before);
    }
    ws_close(fixture->ws);
    fixture->ws = NULL;
    tally->points++;
    tally->afters += is_after;
    tally->befores += !is_after;
}

/* Every point in a full run, else about `wanted` of `count`, evenly from a random start. */
static int sample_stride(int count, int wanted) {
    return is_full_run() || count <= wanted ? 1 : (count + wanted - 1) / wanted;
}

static int own_calls(const CallCounts *counts) {
    int sum = 0;
    for (int i = 0; i < CALL_COUNT; i++)
        sum += counts->total[i] - counts->loader[i];
    return sum;
}

static void print_tally(const ScenarioRun *run, const char *what, Tally tally) {
    if (is_full_run())
        printf("    %s: %s at %d points: %d before, %d after, 0 between\n", run->scenario->name, what,
               tally.points, tally.befores, tally.afters);
}

static void kill_everywhere(const Scenario *scenario, int wanted, Tally *sum) {
    ScenarioRun run;
    CallCounts counts;
    Tally tally = {0};
    crash_init(&run, scenario->name);
    scenario_reset(&run);
    count_calls(&run, NULL, &counts);
    int stride = sample_stride(own_calls(&counts), wanted), at = (int)(test_random() % (unsigned)stride);
    for (int i = 0; i < CALL_COUNT; i++) {
        for (int n = counts.loader[i] + 1; n <= counts.total[i]; n++) {
            if (at++ % stride)
                continue;
            scenario_reset(&run);
            CHECK_MSG(run_killed(&run, NULL, CALLS[i], n) != 0, "%s: there is no %s call %d", scenario->name,
                      CALLS[i], n);
            check_recovered(&run, CALLS[i], "killed", n, &tally);
        }
    }
    print_tally(&run, "killed", tally);
    sum->points += tally.points;
    sum->befores += tally.befores;
    sum->afters += tally.afters;
    scenario_close(&run);
}

static void test_kill_at_every_call(void) {
    Tally sum = {0};
    for (size_t i = 0; i < SCENARIO_COUNT; i++)
        if (SCENARIOS[i].place != STATE_ON_OTHER_MOUNT)
            kill_everywhere(&SCENARIOS[i], 15, &sum);
    if (is_full_run())
        printf("    killed at %d points in all\n", sum.points);
    CHECK_MSG(sum.points >= (is_full_run() ? 500 : 100), "only %d points", sum.points);
    CHECK(sum.befores > 0 && sum.afters > 0);
}

/* Our folder on another mount than the files: they are copied beside their targets first. */
static void test_kill_on_other_mount(void) {
    Tally sum = {0};
    for (size_t i = 0; i < SCENARIO_COUNT; i++)
        if (SCENARIOS[i].place == STATE_ON_OTHER_MOUNT)
            kill_everywhere(&SCENARIOS[i], 15, &sum);
    CHECK(sum.befores > 0 && sum.afters > 0);
}

/* Recovery stopped at its N-th call, twice; or that call fails once. */
static void stop_recovery(ScenarioRun *run, const char *call, int n, const char *error) {
    if (error) {
        int status = run_injected(run, "recover", call,
                                  str_printf(&run->fixture.arena, "error=%s:when=%d", error, n).ptr);
        CHECK_MSG(status == 0 || status == 1, "%s: recovery ended with %d", run->scenario->name, status);
        return;
    }
    CHECK_INT(run_killed(run, "recover", call, n), 128 + SIGKILL);
    run_killed(run, "recover", call, n); /* the second may have less to do, and get through */
}

/* Killed where some files are changed and others not; then recovery is stopped at every call. */
static void stop_recoveries(const Scenario *scenario, const char *first_call, int first_n, const char *error,
                            int wanted, Tally *sum) {
    ScenarioRun run;
    CallCounts counts;
    Tally tally = {0};
    crash_init(&run, scenario->name);
    scenario_reset(&run);
    if (run_killed(&run, NULL, first_call, first_n) == 0) {
        scenario_close(&run);
        return;
    }
    count_calls(&run, "recover", &counts);
    int stride = sample_stride(own_calls(&counts), wanted), at = (int)(test_random() % (unsigned)stride);
    for (int i = 0; i < CALL_COUNT; i++) {
        for (int n = counts.loader[i] + 1; n <= counts.total[i]; n++) {
            if (at++ % stride)
                continue;
            scenario_reset(&run);
            CHECK_INT(run_killed(&run, NULL, first_call, first_n), 128 + SIGKILL);
            stop_recovery(&run, CALLS[i], n, error);
            check_recovered(&run, CALLS[i], error ? error : "recovery killed", n, &tally);
        }
    }
    print_tally(&run,
                str_printf(&run.fixture.arena, "recovery of %s %d %s", first_call, first_n,
                           error ? "failing" : "killed")
                    .ptr,
                tally);
    sum->points += tally.points;
    scenario_close(&run);
}

static void test_kill_recovery(void) {
    static const char *const FIRST[] = {"renameat2", "unlinkat", "mkdirat"};
    Tally sum = {0};
    for (size_t i = 0; i < SCENARIO_COUNT; i++) {
        if (!is_full_run()) {
            stop_recoveries(&SCENARIOS[i], "renameat2", 2, NULL, 5, &sum);
            continue;
        }
        for (size_t k = 0; k < sizeof FIRST / sizeof *FIRST; k++)
            for (int n = 1; n <= 4; n++)
                stop_recoveries(&SCENARIOS[i], FIRST[k], n, NULL, 0, &sum);
    }
    if (is_full_run())
        printf("    recovery killed at %d points in all\n", sum.points);
    CHECK_MSG(sum.points >= 30, "only %d calls were hit", sum.points);
}

static void test_failing_recovery(void) {
    static const char *const ERRORS[] = {"EIO", "ENOSPC", "EACCES"};
    Tally sum = {0};
    for (size_t i = 0; i < SCENARIO_COUNT; i++)
        for (int n = 1; n <= (is_full_run() ? 3 : 1); n++)
            stop_recoveries(&SCENARIOS[i], "renameat2", is_full_run() ? n : 2, ERRORS[(i + (size_t)n) % 3], 5,
                            &sum);
    if (is_full_run())
        printf("    recovery failing at %d points in all\n", sum.points);
    CHECK_MSG(sum.points >= 30, "only %d calls were hit", sum.points);
}

/* Returns whether the change got through all the same. A failure that lasts may keep it from being undone at
 * once. */
static bool check_failure(ScenarioRun *run, const char *call, int n, const char *error, bool is_lasting,
                          Tally *tally) {
    Arena *arena = &run->fixture.arena;
    const char *name = run->scenario->name;
    scenario_reset(run);
    int status = run_injected(run, NULL, call,
                              str_printf(arena, "error=%s:when=%d%s", error, n, is_lasting ? "+" : "").ptr);
    CHECK_MSG(status == 0 || status == 1, "%s: %s from %s call %d: status %d", name, error, call, n, status);
    Str now = fixture_snapshot(&run->fixture), said = {0};
    CHECK_MSG(status == 0 || is_lasting || str_eq(now, run->before), "%s: %s from %s call %d left\n%.*s",
              name, error, call, n, STR_ARG(now));
    os_read_file(str_printf(arena, "%s/output", test_tmp()).ptr, 4096, arena, &said, NULL);
    bool is_mute = is_lasting && strcmp(call, "write") == 0; /* the sentence was not written either */
    CHECK_MSG(status == 0 || is_mute || said.len > 20, "%s: %s from %s call %d said: %.*s", name, error, call,
              n, STR_ARG(said));
    int afters = tally->afters;
    check_recovered(run, call, error, n, tally);
    /* an emptied folder may stay until the next start */
    CHECK_MSG(status != 0 || tally->afters > afters, "%s: %s from %s call %d: done, and then undone", name,
              error, call, n);
    return status == 0;
}

static void fail_everywhere(const Scenario *scenario, int wanted, int *failed) {
    static const char *const ERRORS[] = {"ENOSPC", "EIO", "EINTR", "EACCES", "EDQUOT"};
    enum { ERROR_COUNT = sizeof ERRORS / sizeof *ERRORS };
    ScenarioRun run;
    CallCounts counts;
    Tally tally = {0};
    int seen = 0;
    crash_init(&run, scenario->name);
    scenario_reset(&run);
    count_calls(&run, NULL, &counts);
    int stride = sample_stride(own_calls(&counts), wanted), at = (int)(test_random() % (unsigned)stride);
    for (int i = 0; i < CALL_COUNT; i++) {
        for (int n = counts.loader[i] + 1; n <= counts.total[i]; n++) {
            if (at++ % stride)
                continue;
            seen++;
            for (int e = 0; e < ERROR_COUNT; e++) {
                bool is_eintr = strcmp(ERRORS[e], "EINTR") == 0,
                     is_lasting = !is_eintr && (seen + e) % 4 == 3;
                if (is_full_run() || e == seen % ERROR_COUNT)
                    *failed += !check_failure(&run, CALLS[i], n, ERRORS[e], is_lasting, &tally);
            }
        }
    }
    print_tally(&run, "a failing call", tally);
    scenario_close(&run);
}

static void test_failing_calls(void) {
    int failed = 0;
    for (size_t i = 0; i < SCENARIO_COUNT; i++)
        fail_everywhere(&SCENARIOS[i], 12, &failed);
    CHECK_MSG(failed >= 20, "only %d failed", failed);
}

/* The kernel may take fewer bytes than it was given, at any time. */
static void test_short_transfers(void) {
    for (size_t i = 0; i < SCENARIO_COUNT; i++) {
        ScenarioRun run;
        scenario_init(&run, &SCENARIOS[i]);
        for (int n = 1; n <= (is_full_run() ? 100 : 15); n++) {
            const char *const front[] = {NULL};
            scenario_reset(&run);
            const char **argv = (const char **)(uintptr_t)scenario_words(&run, front, NULL);
            const char *all[72] = {argv[0], "--short", str_printf(&run.fixture.arena, "%d", n).ptr};
            for (size_t k = 1; argv[k]; k++)
                all[k + 2] = argv[k];
            CHECK_INT(run_program(all, NULL), 0);
            CHECK_STR(fixture_snapshot(&run.fixture), run.after);
        }
        scenario_close(&run);
    }
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

/* Two editors save the files of changes at random moments: each text that they finished is found again. */
static void test_two_writers(void) {
    use_memory_folder();
    const char *const argv[] = {MUX_BINARY_DIR "/eval-writers", is_full_run() ? "1000" : "60", NULL};
    Arena arena = {0};
    const char *output = str_printf(&arena, "%s/output", test_tmp()).ptr;
    Str said = {0};
    int status = run_program(argv, output);
    os_read_file(output, 1 << 20, &arena, &said, NULL);
    CHECK_MSG(status == 0, "%.*s", STR_ARG(said));
    if (is_full_run())
        printf("    %.*s\n", STR_ARG(str_trim(said)));
    arena_free(&arena);
}

static bool has_manifest(Fixture *fixture) {
    const char *command = str_printf(&fixture->arena, "ls %s/.mux/txn/*/manifest", fixture->root.ptr).ptr;
    const char *const argv[] = {"sh", "-c", command, NULL};
    return run_program(argv, NULL) == 0;
}

/* Starts the change under strace with this rule and waits until its record stands and an exchange has begun.
 */
static pid_t start_stretched(ScenarioRun *run, const char *rule) {
    const char *const front[] = {"strace",          "-f", "-o", "/dev/null", "-e",
                                 "trace=renameat2", "-e", rule, NULL};
    const char *const *argv = scenario_words(run, front, NULL);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    siginfo_t ended = {0};
    while (!has_manifest(&run->fixture) &&
           waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == 0)
        sleep_us(1000);
    sleep_us(100000);
    return pid;
}

static void save_as(Fixture *fixture, bool by_rename, Str text) {
    fixture_write(fixture, by_rename ? "beside" : "a.txt", text);
    if (by_rename)
        CHECK(rename(fixture_path(fixture, "beside"), fixture_path(fixture, "a.txt")) == 0);
}

/* The change under way ends; what was saved stands, also after the next start. */
static int check_saved(Fixture *fixture, pid_t change, Str saved) {
    int status;
    CHECK(waitpid(change, &status, 0) == change);
    CHECK_STR(fixture_text(fixture, "a.txt"), saved);
    bool is_undone = fixture_text(fixture, "gone.txt").ptr != NULL;
    fixture_open(fixture, file_io_disk());
    CHECK_STR(fixture_text(fixture, "a.txt"), saved);
    CHECK((fixture_text(fixture, "gone.txt").ptr != NULL) == is_undone);
    ws_close(fixture->ws);
    fixture->ws = NULL;
    return status;
}

/* Somebody saves the file in the moment between the last look at it and the exchange, which strace stretches:
 * the text is displaced, seen and put back. Should the machine be so slow that the writer comes too late, its
 * text stays all the same. */
static void test_third_party(void) {
    ScenarioRun run;
    crash_init(&run, "edits");
    Fixture *fixture = &run.fixture;
    for (int by_rename = 0; by_rename < 2; by_rename++) {
        scenario_reset(&run);
        pid_t pid = start_stretched(&run, "inject=renameat2:delay_enter=600000:when=1");
        save_as(fixture, by_rename, S("third party\n"));
        int status = check_saved(fixture, pid, S("third party\n"));
        CHECK((WEXITSTATUS(status) != 0) == (fixture_text(fixture, "gone.txt").ptr != NULL));
    }
    scenario_close(&run);
}

/* Saved twice: before the exchange, and again while the first text is on its way back. The second came last.
 */
static void test_third_party_twice(void) {
    ScenarioRun run;
    crash_init(&run, "edits");
    Fixture *fixture = &run.fixture;
    for (int how = 0; how < 4; how++) {
        scenario_reset(&run);
        pid_t pid = start_stretched(&run, "inject=renameat2:delay_enter=400000:when=1..2");
        save_as(fixture, how & 1, S("third party\n"));
        sleep_us(500000);
        save_as(fixture, how & 2, S("third party again\n"));
        check_saved(fixture, pid, S("third party again\n"));
    }
    scenario_close(&run);
}

/* The same, but the change was killed before it could put the displaced text back: recovery does. And a file
 * that holds neither text is left as it is, while the others go back. */
static void test_recovery_keeps_foreign_text(void) {
    ScenarioRun run;
    crash_init(&run, "edits");
    Fixture *fixture = &run.fixture;
    for (int is_displaced = 0; is_displaced < 2; is_displaced++) {
        RecoverReport report;
        Err err = {0};
        scenario_reset(&run);
        fixture_open(fixture, file_io_disk());
        CHECK_INT(run_killed(&run, NULL, "renameat2", 3), 128 + SIGKILL);
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
    scenario_close(&run);
}

/* With the backup of a changed file damaged there is no way back, but there is one forward. */
static void test_recovery_goes_forward(void) {
    ScenarioRun run;
    crash_init(&run, "edits");
    Fixture *fixture = &run.fixture;
    RecoverReport report;
    Err err = {0};
    scenario_reset(&run);
    fixture_open(fixture, file_io_disk());
    CHECK_INT(run_killed(&run, NULL, "renameat2", 3), 128 + SIGKILL);
    const char *command =
        str_printf(&fixture->arena, "cd %s/.mux/txn/1-* && rm -f old/0 new/0", fixture->root.ptr).ptr;
    const char *const argv[] = {"bash", "-c", command, NULL};
    CHECK_INT(run_program(argv, NULL), 0);
    CHECK_OK(ws_recover(fixture->ws, &report, &err), err);
    CHECK_INT(report.finished, 1);
    CHECK_STR(fixture_snapshot(fixture), run.after);
    CHECK(!ws_undo(fixture->ws, S(""), NULL, &err) && err.code == ERR_IO && strstr(err.text, "damaged"));
    CHECK_STR(fixture_snapshot(fixture), run.after);
    scenario_close(&run);
}

/* Only the mode is missing: that is not done yet. */
static void test_killed_before_a_mode(void) {
    ScenarioRun run;
    Tally tally = {0};
    crash_init(&run, "a mode last");
    for (int n = 1; n <= 2; n++) {
        scenario_reset(&run);
        CHECK_INT(run_killed(&run, NULL, "renameat2", n), 128 + SIGKILL);
        check_recovered(&run, "renameat2", "killed", n, &tally);
    }
    CHECK_INT(tally.points, 2);
    scenario_close(&run);
}

static const TestCase TESTS[] = {
    {"kill_at_every_call", test_kill_at_every_call},
    {"kill_before_a_mode", test_killed_before_a_mode},
    {"kill_recovery", test_kill_recovery},
    {"failing_recovery", test_failing_recovery},
    {"kill_on_other_mount", test_kill_on_other_mount},
    {"failing_calls", test_failing_calls},
    {"short_transfers", test_short_transfers},
    {"random_kills", test_random_kills},
    {"two_processes", test_two_processes},
    {"two_writers", test_two_writers},
    {"third_party", test_third_party},
    {"third_party_twice", test_third_party_twice},
    {"recovery_keeps_foreign_text", test_recovery_keeps_foreign_text},
    {"recovery_goes_forward", test_recovery_goes_forward},
};
TEST_SUITE(WORKSPACE_CRASH_SUITE, "crash", TESTS);
