/* bench-apply [PROGRAM [RUNS]]: changes of the workspace beside the plainest safe way to write the same
 * files, which is a temporary file, fsync, rename, and one fsync of each folder at the end; and `mux-acp
 * apply` of a patch to a file of 100 MB beside `git apply`. By turns in one run, on the disk of the current
 * folder; medians of RUNS (7) after one to warm up, of 3 for the large file; memory is the largest resident
 * set.
 *
 * Lines that begin with "csv," are the rows of docs/bench, so names hold no comma. The program defaults to
 * ./mux-acp.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "workspace/workspace.h"

enum { MOST_RUNS = 101, FILES_PER_FOLDER = 20, FILE_BYTES = 4096, LARGE_LINES = 2000000 };

static char folder[4096];

static _Noreturn void die(const char *what) {
    fprintf(stderr, "bench-apply: %s\n", what);
    exit(1);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void remove_tree(const char *path) {
    struct stat st;
    if (lstat(path, &st) == 0 && nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        die("cannot remove what was made");
}

/* ---- many small files ---- */

static Str file_name(Arena *arena, int index) {
    return str_printf(arena, "d%d/f%d.txt", index / FILES_PER_FOLDER, index);
}

static Str file_text(Arena *arena, int index, int round) {
    char *p = arena_alloc(arena, FILE_BYTES);
    Str line = str_printf(arena, "line of file %d in round %d\n", index, round);
    for (size_t at = 0; at < FILE_BYTES; at++)
        p[at] = line.ptr[at % line.len];
    return (Str){p, FILE_BYTES};
}

static void make_files(const char *root, int count) {
    Arena arena = {0};
    Err err = {0};
    for (int i = 0; i < count; i++) {
        if (i % FILES_PER_FOLDER == 0 &&
            !os_make_dirs(str_printf(&arena, "%s/d%d", root, i / FILES_PER_FOLDER).ptr, &err))
            die(err.text);
        if (!os_write_file(str_printf(&arena, "%s/%s", root, file_name(&arena, i).ptr).ptr,
                           file_text(&arena, i, -1), &err))
            die(err.text);
    }
    arena_free(&arena);
    sync();
}

static void sync_folder(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        die("cannot sync a folder");
    close(fd);
}

static double write_plainly(const char *root, int count, int round) {
    Arena arena = {0};
    double start = os_monotonic_ms();
    for (int i = 0; i < count; i++) {
        const char *name = str_printf(&arena, "%s/%s", root, file_name(&arena, i).ptr).ptr;
        const char *temp = str_printf(&arena, "%s.tmp", name).ptr;
        int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (fd < 0 || !os_write_all(fd, file_text(&arena, i, round), NULL) || fsync(fd) != 0 ||
            close(fd) != 0 || rename(temp, name) != 0)
            die("cannot write a file");
    }
    for (int i = 0; i < count; i += FILES_PER_FOLDER)
        sync_folder(str_printf(&arena, "%s/d%d", root, i / FILES_PER_FOLDER).ptr);
    double ms = os_monotonic_ms() - start;
    arena_free(&arena);
    return ms;
}

/* What was read of each file is part of a caller's work before a change, not of the change. */
static double change(Workspace *ws, int count, int round) {
    Arena arena = {0};
    Err err = {0};
    Path *paths = ARENA_ARRAY(&arena, Path, (size_t)count);
    FileText *seen = ARENA_ARRAY(&arena, FileText, (size_t)count);
    for (int i = 0; i < count; i++)
        if (!ws_path(ws, file_name(&arena, i), &arena, &paths[i], &err) ||
            !ws_read(ws, paths[i], &arena, &seen[i], &err))
            die(err.text);
    double start = os_monotonic_ms();
    Change *c = change_begin(ws, &err);
    if (!c)
        die(err.text);
    for (int i = 0; i < count; i++)
        change_put(c, paths[i], seen[i].stamp, file_text(&arena, i, round));
    if (!change_commit(c, NULL, &err))
        die(err.text);
    double ms = os_monotonic_ms() - start;
    arena_free(&arena);
    return ms;
}

static void bench_files(int count, int runs) {
    char plain[4200], ours[4200];
    double ms[2][MOST_RUNS + 1];
    Err err = {0};
    snprintf(plain, sizeof plain, "%s/plain", folder);
    snprintf(ours, sizeof ours, "%s/ours", folder);
    make_files(plain, count);
    make_files(ours, count);
    WorkspaceConfig config = {.root = str_of(ours), .backup_count = 3};
    Workspace *ws = ws_open(&config, file_io_disk(), &err);
    if (!ws)
        die(err.text);
    for (int i = 0; i <= runs; i++) {
        ms[0][i] = change(ws, count, i);
        ms[1][i] = write_plainly(plain, count, i);
    }
    ws_close(ws);
    double mine = median(ms[0] + 1, runs), theirs = median(ms[1] + 1, runs);
    printf("%d files of 4 KiB: %.1f ms, plainly %.1f ms: %.2f times as long (median of %d)\n", count, mine,
           theirs, mine / theirs, runs);
    printf("csv,change of %d files of 4 KiB (median of %d),%.4g,ms,temp + fsync + rename,%.4g,%.2f\n", count,
           runs, mine, theirs, mine / theirs);
    remove_tree(plain);
    remove_tree(ours);
}

/* ---- one large file ---- */

typedef struct Cost {
    double ms, mb;
} Cost;

static Cost run(const char *const *argv, const char *root) {
    struct rusage usage;
    int status;
    double start = os_monotonic_ms();
    pid_t pid = fork();
    if (pid == 0) {
        if (chdir(root) != 0)
            _exit(126);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid || status != 0)
        die("a program that applies the patch failed");
    return (Cost){os_monotonic_ms() - start, (double)usage.ru_maxrss / 1024};
}

static size_t write_large(const char *path, int changed) {
    FILE *out = fopen(path, "w");
    if (!out)
        die("cannot make the large file");
    for (int i = 0; i < LARGE_LINES; i++)
        fprintf(out, "%07d %s of a large file that is patched\n", i,
                i % (LARGE_LINES / 4) == 1000 && changed ? "changed line" : "line number x");
    long size = ftell(out);
    if (fclose(out) != 0)
        die("cannot write the large file");
    return (size_t)size;
}

static void write_patch(const char *path) {
    FILE *out = fopen(path, "w");
    fprintf(out, "--- a/large.txt\n+++ b/large.txt\n");
    for (int i = 1000; i < LARGE_LINES; i += LARGE_LINES / 4) {
        fprintf(out, "@@ -%d,7 +%d,7 @@\n", i - 2, i - 2);
        for (int k = i - 3; k <= i + 3; k++) {
            fprintf(out, "%c%07d line number x of a large file that is patched\n", k == i ? '-' : ' ', k);
            if (k == i)
                fprintf(out, "+%07d changed line of a large file that is patched\n", k);
        }
    }
    if (fclose(out) != 0)
        die("cannot write the patch");
}

static void check_same(const char *a, const char *b) {
    const char *const argv[] = {"cmp", a, b, NULL};
    run(argv, "/");
}

static void bench_large(const char *program, int runs) {
    char root[4200], file[4300], patch[4200], after[4200];
    double ms[2][MOST_RUNS + 1], mb[2][MOST_RUNS + 1];
    snprintf(root, sizeof root, "%s/large", folder);
    snprintf(file, sizeof file, "%s/large.txt", root);
    snprintf(patch, sizeof patch, "%s/patch", folder);
    snprintf(after, sizeof after, "%s/after", folder);
    if (mkdir(root, 0755) != 0)
        die("cannot make a folder");
    write_patch(patch);
    write_large(after, 1);
    const char *const argv[2][6] = {{program, "apply", "--root", root, patch, NULL},
                                    {"git", "apply", patch, NULL}};
    size_t size = 0;
    for (int i = 0; i <= runs; i++) {
        for (int who = 0; who < 2; who++) {
            Cost cost;
            size = write_large(file, 0);
            sync();
            cost = run(argv[who], root);
            ms[who][i] = cost.ms;
            mb[who][i] = cost.mb;
            check_same(file, after);
        }
    }
    double file_mb = (double)size / (1 << 20), mine = median(mb[0] + 1, runs),
           theirs = median(mb[1] + 1, runs);
    double my_ms = median(ms[0] + 1, runs), git_ms = median(ms[1] + 1, runs);
    printf("a patch to a file of %.0f MiB: %.0f ms and %.0f MiB (%.2f times the file), git %.0f ms and %.0f "
           "MiB\n",
           file_mb, my_ms, mine, mine / file_mb, git_ms, theirs);
    printf("csv,apply to a file of %.0f MiB (median of %d),%.4g,ms,git apply,%.4g,%.2f\n", file_mb, runs,
           my_ms, git_ms, my_ms / git_ms);
    printf("csv,memory of that,%.4g,MiB,git apply,%.4g,%.2f\n", mine, theirs, mine / theirs);
    printf("csv,memory of that for each byte of the file,%.3g,,,,\n", mine / file_mb);
    remove_tree(root);
}

int main(int argc, char **argv) {
    char program[4096];
    int runs = argc > 2 ? atoi(argv[2]) : 7;
    if (runs < 1 || runs > MOST_RUNS || !realpath(argc > 1 ? argv[1] : "./mux-acp", program) ||
        !getcwd(folder, sizeof folder - 32)) {
        fprintf(stderr, "usage: bench-apply [PROGRAM [RUNS]]\n");
        return 2;
    }
    strcat(folder, "/bench-apply-XXXXXX");
    if (!mkdtemp(folder))
        die("cannot make a folder here");
    bench_files(1, runs * 3);
    bench_files(3, runs * 3);
    bench_files(1000, runs);
    bench_large(program, runs < 3 ? runs : 3);
    remove_tree(folder);
    return 0;
}
