/* bench-diff [PROGRAM [RUNS [REPOSITORY]]]: `mux-acp diff` beside `git diff --no-index` on the same files,
 * made from a fixed seed: a source file with scattered edits, a tree, a file of 100 MB, and texts that are
 * slow for careless comparison. Whole processes by turns, medians of RUNS (15) after one to warm up, a fifth
 * of that for slow cases; processor time counts where others use the machine too; memory is the largest
 * resident set. Then the edits in the history of REPOSITORY (this source tree): changed lines against those
 * of `git diff --minimal`.
 *
 * Lines that begin with "csv," are the rows of docs/bench, so names hold no comma. The program defaults to
 * ./mux-acp.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"
#include "diff/diff.h"

enum { MOST_RUNS = 101, LINE_MAX_BYTES = 200, MOST_EDITS = 2000 };

static _Noreturn void die(const char *what) {
    fprintf(stderr, "bench-diff: %s\n", what);
    exit(1);
}

/* ---- texts ---- */

static uint64_t random_state;

static uint32_t random_below(uint32_t n) {
    random_state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = random_state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) % n);
}

static void make_word(char *out) {
    static const char *const PARTS[] = {"re", "co", "lin", "ta", "ble", "node", "set", "in", "dex", "buf"};
    *out = '\0';
    for (uint32_t parts = 1 + random_below(3); parts > 0; parts--)
        strcat(out, PARTS[random_below(10)]);
}

/* A line as programs have them: a third are the few that stand everywhere. */
static void make_source_line(char *out) {
    static const char *const COMMON[] = {"\n",
                                         "}\n",
                                         "    }\n",
                                         "        break;\n",
                                         "#endif\n",
                                         "    *\n",
                                         "    return 0;\n",
                                         "        return;\n",
                                         "    } else {\n"};
    if (random_below(3) == 0) {
        strcpy(out, COMMON[random_below(9)]);
        return;
    }
    char a[32], b[32], c[32];
    make_word(a), make_word(b), make_word(c);
    snprintf(out, LINE_MAX_BYTES, "%*s%s_%s = %s(%u, %s->%s);\n", (int)random_below(4) * 4, "", a, b, c,
             random_below(1000), a, c);
}

/* Source lines, of which one in `rare` is changed, dropped or followed by a new one; 0: none. */
static void write_edited(FILE *old, FILE *new, size_t lines, uint32_t rare) {
    char line[LINE_MAX_BYTES], other[LINE_MAX_BYTES];
    for (size_t i = 0; i < lines; i++) {
        uint32_t kind = rare && random_below(rare) == 0 ? random_below(3) : 3;
        make_source_line(line);
        fputs(line, old);
        if (kind == 0)
            fprintf(new, "%.*s /* changed */\n", (int)strlen(line) - 1, line);
        if (kind > 1)
            fputs(line, new);
        if (kind == 2) {
            make_source_line(other);
            fputs(other, new);
        }
    }
}

static void write_source(FILE *old, FILE *new) {
    write_edited(old, new, 100000, 100);
}

static void write_hundred_megabytes(FILE *old, FILE *new) {
    while (ftell(old) < 100L << 20)
        write_edited(old, new, 100000, 100);
}

static void write_equal_lines(FILE *old, FILE *new) {
    fputs("old\n", old);
    fputs("new\n", new);
    for (int i = 0; i < 1000000; i++) {
        fputs("x\n", old);
        if (i % 10)
            fputs("x\n", new);
    }
    fputs("end of old\n", old);
    fputs("end of new\n", new);
}

static void write_nothing_common(FILE *old, FILE *new) {
    for (int i = 0; i < 1000000; i++)
        fprintf(old, "%d\n", i), fprintf(new, "n%d\n", i);
}

static void write_four_letters(FILE *old, FILE *new) {
    for (int i = 0; i < 1000000; i++)
        fprintf(old, "%c\n", 'a' + random_below(4)), fprintf(new, "%c\n", 'a' + random_below(4));
}

static void write_alternations(FILE *old, FILE *new) {
    fputs("z\n", new);
    for (int i = 0; i < 500000; i++)
        fputs("x\ny\n", old), fputs(i % 3 ? "y\nx\n" : "y\nx\nx\n", new);
    fputs("w\n", new);
}

static void write_moved_blocks(FILE *old, FILE *new) {
    for (unsigned i = 0; i < 1000000; i++)
        fprintf(old, "line %u\n", i), fprintf(new, "line %u\n", i / 1000 * 387 % 1000 * 1000 + i % 1000);
}

static FILE *open_in(const char *root, unsigned folder, unsigned file) {
    Arena arena = {0};
    Str path = str_printf(&arena, "%s/d%02u", root, folder);
    mkdir(str_cstr(&arena, path), 0700);
    FILE *out = fopen(str_printf(&arena, "%.*s/f%u.c", STR_ARG(path), file).ptr, "w");
    if (!out)
        die("cannot write the tree");
    arena_free(&arena);
    return out;
}

/* 3,000 files of one to six hundred lines, three edits in every tenth. */
static void write_tree(const char *old_root, const char *new_root) {
    for (unsigned i = 0; i < 3000; i++) {
        FILE *old = open_in(old_root, i % 40, i), *new = open_in(new_root, i % 40, i);
        uint32_t lines = 100 + random_below(500);
        write_edited(old, new, lines, i % 10 ? 0 : lines / 3);
        fclose(old), fclose(new);
    }
}

/* ---- measuring ---- */

typedef struct Sample {
    double ms, processor_ms, mb;
} Sample;

static double in_ms(struct timeval time) {
    return (double)time.tv_sec * 1e3 + (double)time.tv_usec * 1e-3;
}

static Sample run_once(const char *const *argv) {
    Sample sample = {.ms = os_monotonic_ms()};
    struct rusage usage;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid || !WIFEXITED(status) || WEXITSTATUS(status) > 1)
        die("a program could not be run to its end");
    sample.ms = os_monotonic_ms() - sample.ms;
    sample.processor_ms = in_ms(usage.ru_utime) + in_ms(usage.ru_stime);
    sample.mb = (double)usage.ru_maxrss / 1024;
    return sample;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return values[count / 2];
}

static void print_row(const char *name, const char *what, double ours, const char *unit, const char *peer,
                      double theirs) {
    printf("csv,%s%s,%.6g,%s,%s,%.6g,%.3f\n", name, what, ours, unit, peer, theirs, ours / theirs);
    fflush(stdout);
}

static void measure_processes(const char *name, const char *program, const char *a, const char *b, int runs,
                              bool is_slow) {
    const char *ours[] = {program, "diff", a, b, NULL};
    const char *theirs[] = {"git", "diff", "--no-index", a, b, NULL};
    double ms[2][MOST_RUNS], processor_ms[2][MOST_RUNS], mb = 0, peer_mb = 0;
    if (!is_slow)
        run_once(ours), run_once(theirs);
    for (int i = 0; i < runs; i++) {
        Sample x = run_once(ours), y = run_once(theirs);
        ms[0][i] = x.ms, ms[1][i] = y.ms;
        processor_ms[0][i] = x.processor_ms, processor_ms[1][i] = y.processor_ms;
        mb = x.mb > mb ? x.mb : mb, peer_mb = y.mb > peer_mb ? y.mb : peer_mb;
    }
    print_row(name, "", median(ms[0], runs), "ms", "git diff", median(ms[1], runs));
    print_row(name, ": processor time", median(processor_ms[0], runs), "ms", "git diff",
              median(processor_ms[1], runs));
    print_row(name, ": memory", mb, "MB", "git diff", peer_mb);
}

/* Lines that git's shortest script adds and removes. */
static size_t minimal_lines(const char *a, const char *b, const char *options) {
    char command[1024];
    unsigned long added = 0, removed = 0;
    snprintf(command, sizeof command, "git %s --minimal --numstat '%s' '%s'", options, a, b);
    FILE *pipe = popen(command, "r");
    if (!pipe || fscanf(pipe, "%lu %lu", &added, &removed) != 2)
        added = removed = 0;
    if (pipe)
        pclose(pipe);
    return added + removed;
}

static size_t changed_lines(Str before, Str after) {
    Arena arena = {0};
    Hunks hunks;
    Err err = {0};
    size_t added, removed;
    if (!diff_lines(S("f"), before, after, &arena, &hunks, &err))
        die(err.text);
    diff_count(&hunks, &added, &removed);
    arena_free(&arena);
    return added + removed;
}

/* In a child, so that what is mapped here does not count as the memory of the next programs. */
static void measure_inside(const char *name, const char *a, const char *b, int runs, bool is_minimal_asked) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        MappedFile before, after;
        Err err = {0};
        double ms[MOST_RUNS];
        size_t changed = 0;
        if (!os_map(a, &before, &err) || !os_map(b, &after, &err))
            die(err.text);
        for (int i = 0; i < runs; i++) {
            clock_t start = clock();
            changed = changed_lines(before.bytes, after.bytes);
            ms[i] = (double)(clock() - start) * 1e3 / CLOCKS_PER_SEC;
        }
        printf("csv,%s: comparison alone: processor time,%.6g,ms,,,\n", name, median(ms, runs));
        if (is_minimal_asked)
            print_row(name, ": changed lines", (double)changed, "lines", "git diff --minimal",
                      (double)minimal_lines(a, b, "diff --no-index"));
        fflush(stdout);
        _exit(0);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        die("the comparison failed");
}

/* ---- the history of a repository ---- */

static Str read_blob(const char *repository, const char *id, Arena *arena) {
    char command[1024], piece[65536];
    snprintf(command, sizeof command, "git -C '%s' cat-file blob %s 2>/dev/null", repository, id);
    FILE *pipe = popen(command, "r");
    Buf text = {0};
    size_t n;
    while (pipe && (n = fread(piece, 1, sizeof piece, pipe)) > 0)
        buf_str(&text, (Str){piece, n});
    if (pipe)
        pclose(pipe);
    Str s = buf_copy(&text, arena);
    buf_free(&text);
    return s;
}

static void measure_history(const char *repository) {
    char command[1024], options[512], line[4096], old_id[64], new_id[64];
    snprintf(command, sizeof command,
             "git -C '%s' log --no-merges --diff-filter=M --no-renames --raw --abbrev=40 --format= -n 2000 "
             "2>/dev/null",
             repository);
    snprintf(options, sizeof options, "-C '%s' diff", repository);
    FILE *pipe = popen(command, "r");
    size_t changed = 0, minimal = 0, edits = 0;
    while (pipe && edits < MOST_EDITS && fgets(line, sizeof line, pipe)) {
        if (sscanf(line, ":%*o %*o %40[0-9a-f] %40[0-9a-f] M", old_id, new_id) != 2)
            continue;
        Arena arena = {0};
        Str before = read_blob(repository, old_id, &arena), after = read_blob(repository, new_id, &arena);
        if (before.len && after.len && !text_is_binary(before) && !text_is_binary(after)) {
            changed += changed_lines(before, after);
            minimal += minimal_lines(old_id, new_id, options);
            edits++;
        }
        arena_free(&arena);
    }
    if (pipe)
        pclose(pipe);
    char name[64];
    snprintf(name, sizeof name, "%zu edits of real files: changed lines", edits);
    if (minimal)
        print_row(name, "", (double)changed, "lines", "git diff --minimal", (double)minimal);
    else
        printf("no history in %s: real edits are left out\n", repository);
}

/* ---- cases ---- */

typedef struct Case {
    const char *name;
    void (*write)(FILE *old, FILE *new);
    bool is_slow, is_minimal_asked;
} Case;

static const Case CASES[] = {
    {"diff of 100000 lines with 1 % edits", write_source, false, true},
    {"diff of 1M equal lines and 0.9M", write_equal_lines, true, true},
    {"diff of 1M lines with nothing in common", write_nothing_common, true, false},
    {"diff of 1M lines of an alphabet of four", write_four_letters, true, false},
    {"diff of 1M alternating lines", write_alternations, true, false},
    {"diff of 1000 moved blocks of 1000 lines", write_moved_blocks, true, false},
    {"diff of 100 MB with 1 % edits", write_hundred_megabytes, true, true},
};

static void measure_case(const Case *c, const char *folder, const char *program, int runs) {
    char a[256], b[256];
    snprintf(a, sizeof a, "%s/old", folder);
    snprintf(b, sizeof b, "%s/new", folder);
    FILE *old = fopen(a, "w"), *new = fopen(b, "w");
    if (!old || !new)
        die("cannot write the texts");
    random_state = 1;
    c->write(old, new);
    if (fclose(old) || fclose(new))
        die("cannot write the texts");
    runs = c->is_slow ? (runs + 4) / 5 : runs;
    measure_processes(c->name, program, a, b, runs, c->is_slow);
    measure_inside(c->name, a, b, runs, c->is_minimal_asked);
    unlink(a), unlink(b);
}

static void measure_tree(const char *folder, const char *program, int runs) {
    char a[256], b[256], command[600];
    snprintf(a, sizeof a, "%s/old", folder);
    snprintf(b, sizeof b, "%s/new", folder);
    mkdir(a, 0700), mkdir(b, 0700);
    random_state = 2;
    write_tree(a, b);
    measure_processes("diff of trees of 3000 files; 300 changed", program, a, b, runs, false);
    snprintf(command, sizeof command, "rm -rf '%s' '%s'", a, b);
    if (system(command) != 0)
        die("cannot remove the trees");
}

int main(int argc, char **argv) {
    const char *program = argc > 1 ? argv[1] : "./mux-acp", *base = getenv("TMPDIR");
    int runs = argc > 2 ? atoi(argv[2]) : 15;
    char folder[128];
    snprintf(folder, sizeof folder, "%s/mux-bench-diff-XXXXXX", base ? base : "/tmp");
    if (runs < 1 || runs > MOST_RUNS) {
        fprintf(stderr, "usage: bench-diff [PROGRAM [RUNS [REPOSITORY]]]\n");
        return 2;
    }
    if (!mkdtemp(folder))
        die("cannot make a folder for the texts");
    measure_tree(folder, program, runs);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        measure_case(&CASES[i], folder, program, runs);
    rmdir(folder);
    measure_history(argc > 3 ? argv[3] : MUX_SOURCE_DIR);
    return 0;
}
