/* Two other writers beside mux, on the same files at random moments: no byte that they finished writing is
 * lost.
 *
 *   eval-writers ROUNDS [SEED]
 *
 * Each round, two processes write whole texts into three files: one in place (truncating when it opens, or
 * opening first and writing later), one into a temporary file that it renames. They take turns per file, as
 * two editors of one user do. A third process makes changes of mux to all three at once, in every fourth
 * round with its renames slowed down. Each text begins with a token of its own; a text of mux names the token
 * of the text it was made from. When a round is over, the last text that the other two finished for a file
 * must be in the file, or read whole by the change of mux whose text is in the file, or in the folder of
 * backups, with a sentence about it in the log; anything else is lost. Exit status 1 when something is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"
#include "workspace/workspace.h"

enum { FILE_COUNT = 3, SLOW_EVERY = 4 };

typedef struct Shared {
    long next;             /* tokens so far */
    long last[FILE_COUNT]; /* of the last text finished for a file by the other writers */
    long writes;
} Shared;

typedef struct Totals {
    long in_place, superseded, kept, lost;
} Totals;

static char base_dir[256], root[300], self[4096];
static Shared *shared;
static uint64_t random_state;

static uint64_t random_next(void) {
    uint64_t z = random_state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static void sleep_up_to(long us) {
    nanosleep(&(struct timespec){.tv_nsec = (long)(random_next() % (uint64_t)us) * 1000}, NULL);
}

_Noreturn static void fail(const char *what) {
    fprintf(stderr, "eval-writers: %s: %s\n", what, strerror(errno));
    _exit(2);
}

/* The text of a token: its number, then lines that depend on nothing else. */
static Str text_of(Arena *arena, long token) {
    size_t lines = 1 + (size_t)(token * 7919 % 400);
    Str line = str_printf(arena, "other %ld\n", token);
    char *p = arena_alloc(arena, line.len * lines);
    for (size_t i = 0; i < lines; i++)
        memcpy(p + i * line.len, line.ptr, line.len);
    return (Str){p, line.len * lines};
}

static const char *file_name(char out[400], const char *folder, const char *name, int index) {
    snprintf(out, 400, "%s/%s%d", folder, name, index);
    return out;
}

/* ---- the other two ---- */

static void write_in_place(const char *path, Str text) {
    bool is_late = random_next() % 2;
    int fd = open(path, O_WRONLY | (is_late ? 0 : O_TRUNC));
    if (fd < 0)
        fail("open");
    sleep_up_to(1500);
    if (is_late && ftruncate(fd, 0) != 0)
        fail("ftruncate");
    for (size_t at = 0, half = text.len / 2 + 1; at < text.len; at += half) {
        if (!os_write_all(fd, str_slice(text, at, at + half), NULL))
            fail("write");
        sleep_up_to(800);
    }
    close(fd);
}

static void write_by_rename(const char *path, Str text) {
    char temp[400];
    snprintf(temp, sizeof temp, "%s/../temp", root);
    if (!os_write_file(temp, text, NULL))
        fail("write");
    sleep_up_to(500);
    if (rename(temp, path) != 0)
        fail("rename");
}

static void write_some(bool in_place) {
    for (int times = 1 + (int)(random_next() % 3); times > 0; times--) {
        Arena arena = {0};
        char name[400];
        int index = (int)(random_next() % FILE_COUNT);
        sleep_up_to(4000);
        int lock = open(file_name(name, base_dir, "lock", index), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (lock < 0 || flock(lock, LOCK_EX) != 0)
            fail("lock");
        long token = __atomic_add_fetch(&shared->next, 1, __ATOMIC_SEQ_CST);
        file_name(name, root, "f", index);
        if (in_place)
            write_in_place(name, text_of(&arena, token));
        else
            write_by_rename(name, text_of(&arena, token));
        shared->last[index] = token;
        __atomic_add_fetch(&shared->writes, 1, __ATOMIC_SEQ_CST);
        close(lock);
        arena_free(&arena);
    }
}

/* ---- mux ---- */

/* The token that a text of either kind stands for; 0 when it is neither, or not whole. */
static long token_in(Arena *arena, Str text, bool *is_ours) {
    char head[64] = {0};
    long token = 0;
    memcpy(head, text.ptr, text.len < sizeof head - 1 ? text.len : sizeof head - 1);
    *is_ours = sscanf(head, "mux read %ld\n", &token) == 1;
    if (*is_ours)
        return token;
    if (sscanf(head, "other %ld\n", &token) != 1 || !str_eq(text, text_of(arena, token)))
        return 0;
    return token;
}

static bool change_all(Workspace *ws, Err *err) {
    Arena arena = {0};
    Change *change = change_begin(ws, err);
    bool ok = change != NULL, is_ours;
    for (int i = 0; ok && i < FILE_COUNT; i++) {
        Path path;
        FileText seen;
        ok = ws_path(ws, str_printf(&arena, "f%d", i), &arena, &path, err) &&
             ws_read(ws, path, &arena, &seen, err);
        if (ok)
            change_put(change, path, seen.stamp,
                       str_printf(&arena, "mux read %ld\n%016llx\n", token_in(&arena, seen.text, &is_ours),
                                  (unsigned long long)random_next()));
    }
    if (ok)
        ok = change_commit(change, NULL, err);
    else
        change_abandon(change);
    arena_free(&arena);
    return ok;
}

/* The process that a round starts: some changes, each told in the log. */
static int run_changes(void) {
    Err err = {0};
    WorkspaceConfig config = {.root = str_of(root)};
    Workspace *ws = ws_open(&config, file_io_disk(), &err);
    if (!ws)
        fail(err.text);
    for (int times = 2 + (int)(random_next() % 4); times > 0; times--) {
        err = (Err){0};
        sleep_up_to(2500);
        bool ok = change_all(ws, &err);
        printf("%s %s\n", ok ? "done" : "refused", err.text);
    }
    ws_close(ws);
    return 0;
}

/* ---- a round ---- */

static pid_t start_changes(bool is_slow) {
    char seed[32], log[400];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)random_next());
    snprintf(log, sizeof log, "%s/log", base_dir);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    if (is_slow)
        execlp("strace", "strace", "-f", "-o", "/dev/null", "-e", "trace=renameat2", "-e",
               "inject=renameat2:delay_enter=2000:delay_exit=2000", self, "--changes", base_dir, seed,
               (char *)NULL);
    execl(self, "eval-writers", "--changes", base_dir, seed, (char *)NULL);
    _exit(127);
}

static pid_t start_writer(bool in_place) {
    uint64_t seed = random_next();
    pid_t pid = fork();
    if (pid == 0) {
        random_state = seed;
        write_some(in_place);
        _exit(0);
    }
    return pid;
}

static bool found_token;
static char wanted_line[64];

static int look_for_token(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st;
    (void)walk;
    Arena arena = {0};
    Str text;
    if (kind == FTW_F && os_read_file(path, 1 << 24, &arena, &text, NULL) &&
        str_starts(text, str_of(wanted_line)))
        found_token = true;
    arena_free(&arena);
    return 0;
}

static bool is_kept(long token) {
    char state[400];
    snprintf(state, sizeof state, "%s/.mux", root);
    snprintf(wanted_line, sizeof wanted_line, "other %ld\n", token);
    found_token = false;
    nftw(state, look_for_token, 16, FTW_PHYS);
    return found_token;
}

static void judge(long round, Totals *totals) {
    for (int i = 0; i < FILE_COUNT; i++) {
        Arena arena = {0};
        char name[400];
        Str text = S("");
        bool is_ours = false;
        os_read_file(file_name(name, root, "f", i), 1 << 24, &arena, &text, NULL);
        long token = token_in(&arena, text, &is_ours);
        if (token == shared->last[i]) {
            totals->in_place += !is_ours;
            totals->superseded += is_ours;
        } else if (is_kept(shared->last[i])) {
            totals->kept++;
            printf("round %ld, f%d: text %ld is kept with the backups\n", round, i, shared->last[i]);
        } else {
            totals->lost++;
            printf("round %ld, f%d: text %ld is lost; the file has %.*s\n", round, i, shared->last[i],
                   text.len > 30 ? 30 : (int)text.len, text.ptr);
        }
        if (token != shared->last[i])
            shared->last[i] = token;
        arena_free(&arena);
    }
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void prepare(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(base_dir, sizeof base_dir, "%s/mux-writers-XXXXXX", tmp ? tmp : "/tmp");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!mkdtemp(base_dir) || shared == MAP_FAILED)
        fail("a temporary folder");
    snprintf(root, sizeof root, "%s/tree", base_dir);
    if (mkdir(root, 0755) != 0)
        fail("mkdir");
    for (int i = 0; i < FILE_COUNT; i++) {
        Arena arena = {0};
        char name[400];
        shared->last[i] = ++shared->next;
        if (!os_write_file(file_name(name, root, "f", i), text_of(&arena, shared->last[i]), NULL))
            fail("write");
        arena_free(&arena);
    }
}

static void count_changes(long *done, long *refused) {
    Arena arena = {0};
    char name[400];
    Str text, line;
    snprintf(name, sizeof name, "%s/log", base_dir);
    if (os_read_file(name, 1 << 28, &arena, &text, NULL))
        while (str_next_line(&text, &line)) {
            *done += str_starts(line, S("done"));
            *refused += str_starts(line, S("refused"));
        }
    arena_free(&arena);
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "--changes") == 0) {
        snprintf(base_dir, sizeof base_dir, "%s", argv[2]);
        snprintf(root, sizeof root, "%s/tree", base_dir);
        random_state = strtoull(argv[3], NULL, 10);
        return run_changes();
    }
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 0, done = 0, refused = 0;
    if (rounds <= 0) {
        fprintf(stderr, "usage: eval-writers ROUNDS [SEED]\n");
        return 2;
    }
    Totals totals = {0};
    random_state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        fail("the name of this program");
    prepare();
    for (long round = 0; round < rounds; round++) {
        pid_t pids[] = {start_changes(round % SLOW_EVERY == 0), start_writer(true), start_writer(false)};
        for (int i = 0; i < 3; i++) {
            int status;
            if (waitpid(pids[i], &status, 0) != pids[i] || status != 0)
                fail("a process of the round");
        }
        judge(round, &totals);
    }
    count_changes(&done, &refused);
    printf("%ld rounds, %ld texts of others, %ld changes of mux and %ld refused: of the last texts %ld in "
           "place, "
           "%ld read by a change, %ld kept, %ld lost\n",
           rounds, shared->writes, done, refused, totals.in_place, totals.superseded, totals.kept,
           totals.lost);
    nftw(base_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return totals.lost > 0;
}
