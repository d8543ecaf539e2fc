/* Changes files through the door of the workspace, for tests that kill it or make its system calls fail.
 *
 *   commit_program [OPTION...] ROOT change STEP...  one change; prints "done" once it is committed. Steps:
 *                        put NAME TEXT    the text and a line end
 *                        long NAME TEXT   the text a thousand times
 *                        mode NAME OCTAL  after put or long
 *                        link NAME TARGET
 *                        remove NAME
 *   commit_program ROOT recover     opens the workspace, which undoes or finishes what was left
 *   commit_program ROOT undo        takes the newest change back
 *   commit_program ROOT loop        writes the next number into a.txt, b.txt and c.txt until it is killed
 *   commit_program ROOT add NAME N  N times: adds 1 to the number in NAME, trying again after a conflict
 * Options: --keep N  backups to keep; --short N  the N-th transfer of bytes is cut short, as the kernel may.
 * Exit status: 0 done, 1 refused (the sentence is on stderr), 2 misused.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workspace/workspace.h"

static long transfers, short_transfer = -1;

static size_t cut_short(size_t n) {
    return ++transfers == short_transfer && n > 1 ? n / 2 : n;
}

/* These stand in front of the C library's. */
ssize_t write(int fd, const void *bytes, size_t n) {
    return syscall(SYS_write, fd, bytes, fd > 2 ? cut_short(n) : n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
    return syscall(SYS_pwrite64, fd, bytes, cut_short(n), at);
}

ssize_t read(int fd, void *bytes, size_t n) {
    return syscall(SYS_read, fd, bytes, cut_short(n));
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags) {
    return syscall(SYS_copy_file_range, in, in_at, out, out_at, cut_short(n), flags);
}

typedef struct Job {
    Workspace *ws;
    Change *change;
    Arena arena;
} Job;

/* What stands at a name of the tree, which is not followed when it is a link. */
static bool look(Job *job, const char *name, Path *path, Entry *out, Err *err) {
    return ws_entry(job->ws, str_of(name), (size_t)1 << 30, &job->arena, path, out, err);
}

static bool put(Job *job, const char *name, Str text, bool is_link, Err *err) {
    Path path;
    Entry old;
    if (!look(job, name, &path, &old, err))
        return false;
    if (is_link)
        change_put_link(job->change, path, old.stamp, text);
    else
        change_put(job->change, path, old.stamp, text);
    return true;
}

static bool drop(Job *job, const char *name, Err *err) {
    Path path;
    Entry old;
    if (!look(job, name, &path, &old, err))
        return false;
    change_remove(job->change, path, old.stamp);
    return true;
}

static bool set_mode(Job *job, const char *name, const char *octal, Err *err) {
    Path path;
    Entry old;
    if (!look(job, name, &path, &old, err))
        return false;
    change_set_mode(job->change, path, (unsigned)strtoul(octal, NULL, 8));
    return true;
}

static Str repeated(Job *job, const char *text) {
    enum { TIMES = 1000 };
    size_t n = strlen(text);
    char *p = arena_alloc(&job->arena, n * TIMES);
    for (size_t i = 0; i < TIMES; i++)
        memcpy(p + i * n, text, n);
    return (Str){p, n * TIMES};
}

/* One step; the words it takes, or 0. */
static int step(Job *job, char **words, int count, Err *err) {
    bool has_text = count >= 3;
    const char *what = words[0];
    if (count >= 2 && strcmp(what, "remove") == 0)
        return drop(job, words[1], err) ? 2 : 0;
    if (has_text && strcmp(what, "put") == 0)
        return put(job, words[1], str_printf(&job->arena, "%s\n", words[2]), false, err) ? 3 : 0;
    if (has_text && strcmp(what, "long") == 0)
        return put(job, words[1], repeated(job, words[2]), false, err) ? 3 : 0;
    if (has_text && strcmp(what, "link") == 0)
        return put(job, words[1], str_of(words[2]), true, err) ? 3 : 0;
    if (has_text && strcmp(what, "mode") == 0)
        return set_mode(job, words[1], words[2], err) ? 3 : 0;
    err_set(err, ERR_INVALID, "no such step: %s", what);
    return 0;
}

static bool change_files(Workspace *ws, char **words, int count, Err *err) {
    Job job = {.ws = ws, .change = change_begin(ws, err)};
    bool ok = job.change != NULL;
    for (int used = 1; ok && count > 0; words += used, count -= used)
        ok = (used = step(&job, words, count, err)) > 0;
    if (ok)
        ok = change_commit(job.change, NULL, err);
    else
        change_abandon(job.change);
    arena_free(&job.arena);
    return ok;
}

static long number_in(Workspace *ws, Arena *arena, const char *name) {
    Path path;
    FileText text;
    if (!ws_path(ws, str_of(name), arena, &path, NULL) || !ws_read(ws, path, arena, &text, NULL))
        return 0;
    return strtol(str_cstr(arena, text.text), NULL, 10);
}

static bool loop(Workspace *ws, Err *err) {
    for (;;) {
        Job job = {.ws = ws, .change = change_begin(ws, err)};
        Str text = str_printf(&job.arena, "%ld\n", number_in(ws, &job.arena, "a.txt") + 1);
        bool ok = job.change && put(&job, "a.txt", text, false, err) &&
                  put(&job, "b.txt", text, false, err) && put(&job, "c.txt", text, false, err);
        ok = ok && change_commit(job.change, NULL, err);
        arena_free(&job.arena);
        if (!ok)
            return false;
    }
}

static bool add(Workspace *ws, const char *name, int times, Err *err) {
    for (int done = 0; done < times;) {
        Arena arena = {0};
        Change *change = change_begin(ws, err);
        Path path;
        FileText old;
        bool ok =
            change && ws_path(ws, str_of(name), &arena, &path, err) && ws_read(ws, path, &arena, &old, err);
        if (ok) {
            long number = strtol(str_cstr(&arena, old.text), NULL, 10);
            change_put(change, path, old.stamp, str_printf(&arena, "%ld\n", number + 1));
            ok = change_commit(change, NULL, err);
        } else {
            change_abandon(change);
        }
        arena_free(&arena);
        if (!ok && err->code != ERR_CONFLICT)
            return false;
        done += ok;
    }
    return true;
}

static bool run(Workspace *ws, char **words, int count, Err *err) {
    bool ok = true;
    if (strcmp(words[0], "change") == 0)
        ok = change_files(ws, words + 1, count - 1, err);
    else if (strcmp(words[0], "undo") == 0)
        ok = ws_undo(ws, S(""), NULL, err);
    else if (strcmp(words[0], "loop") == 0)
        ok = loop(ws, err);
    else if (strcmp(words[0], "add") == 0 && count == 3)
        ok = add(ws, words[1], atoi(words[2]), err);
    return ok;
}

int main(int argc, char **argv) {
    Err err = {0};
    WorkspaceConfig config = {0};
    for (; argc > 2 && argv[1][0] == '-'; argc -= 2, argv += 2) {
        if (strcmp(argv[1], "--keep") == 0)
            config.backup_count = (size_t)atoi(argv[2]);
        else if (strcmp(argv[1], "--short") == 0)
            short_transfer = atoi(argv[2]);
    }
    /* A landmark for tracers: system calls before this one belong to the loader. */
    if (argc < 3 || chdir("/") != 0)
        return 2;
    transfers = 0;
    config.root = str_of(argv[1]);
    Workspace *ws = ws_open(&config, file_io_disk(), &err);
    bool ok = ws && run(ws, argv + 2, argc - 2, &err);
    if (ok && strcmp(argv[2], "add") != 0)
        dprintf(1, "done\n"); /* a landmark as well */
    if (!ok)
        fprintf(stderr, "%s\n", err.text);
    ws_close(ws);
    return ok ? 0 : 1;
}
