#define _GNU_SOURCE
#include "tests/unit/workspace_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/os.h"

void fixture_init(Fixture *fixture) {
    *fixture = (Fixture){0};
    char *base = realpath(test_tmp(), NULL);
    fixture->root = str_printf(&fixture->arena, "%s/tree", base);
    free(base);
    CHECK(mkdir(fixture->root.ptr, 0755) == 0);
}

void fixture_open(Fixture *fixture, FileIo io) {
    Err err = {0};
    ws_close(fixture->ws);
    WorkspaceConfig config = {.root = fixture->root};
    fixture->ws = ws_open(&config, io, &err);
    CHECK_OK(fixture->ws != NULL, err);
}

void fixture_close(Fixture *fixture) {
    ws_close(fixture->ws);
    arena_free(&fixture->arena);
    *fixture = (Fixture){0};
}

const char *fixture_path(Fixture *fixture, const char *name) {
    return str_printf(&fixture->arena, "%.*s/%s", STR_ARG(fixture->root), name).ptr;
}

void fixture_folder(Fixture *fixture, const char *name) {
    Err err = {0};
    CHECK_OK(os_make_dirs(fixture_path(fixture, name), &err), err);
}

void fixture_write(Fixture *fixture, const char *name, Str text) {
    Err err = {0};
    const char *slash = strrchr(name, '/');
    if (slash)
        fixture_folder(fixture, str_cstr(&fixture->arena, str_range(name, slash)));
    CHECK_OK(os_write_file(fixture_path(fixture, name), text, &err), err);
}

Str fixture_text(Fixture *fixture, const char *name) {
    Str text = {0};
    os_read_file(fixture_path(fixture, name), 64 << 20, &fixture->arena, &text, NULL);
    return text;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void snapshot_folder(Arena *arena, const char *path, const char *below, Buf *out) {
    DIR *dir = opendir(path);
    char **names = NULL;
    size_t count = 0, capacity = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && strcmp(entry->d_name, ".git") &&
            strcmp(entry->d_name, ".mux"))
            LIST_PUSH(arena, names, count, capacity, str_cstr(arena, str_of(entry->d_name)));
    if (dir)
        closedir(dir);
    if (count)
        qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        char *full = str_cstr(arena, str_printf(arena, "%s/%s", path, names[i]));
        char *shown = str_cstr(arena, str_printf(arena, "%s%s", below, names[i]));
        struct stat st;
        Str text = {0};
        char target[4096];
        if (lstat(full, &st) != 0)
            continue;
        buf_printf(out, "%s %o", shown, (unsigned)st.st_mode);
        if (S_ISLNK(st.st_mode))
            buf_printf(out, " -> %.*s", (int)readlink(full, target, sizeof target), target);
        if (S_ISREG(st.st_mode) && os_read_file(full, 64 << 20, arena, &text, NULL))
            buf_printf(out, " <%.*s>", STR_ARG(text));
        buf_char(out, '\n');
        if (S_ISDIR(st.st_mode))
            snapshot_folder(arena, full, str_printf(arena, "%s/", shown).ptr, out);
    }
}

Str fixture_snapshot(Fixture *fixture) {
    Buf out = {0};
    snapshot_folder(&fixture->arena, fixture->root.ptr, "", &out);
    Str text = buf_copy(&out, &fixture->arena);
    buf_free(&out);
    return text;
}

void fixture_git_init(Fixture *fixture) {
    git_repository *repository = NULL;
    git_libgit2_init();
    CHECK(git_repository_init(&repository, fixture->root.ptr, 0) == 0);
    git_repository_free(repository);
    git_libgit2_shutdown();
}

Path fixture_checked(Fixture *fixture, const char *name) {
    Path path = {0};
    Err err = {0};
    CHECK_OK(ws_path(fixture->ws, str_of(name), &fixture->arena, &path, &err), err);
    return path;
}

void fixture_put(Fixture *fixture, Change *change, const char *name, Str text) {
    FileText old = {0};
    Path path = fixture_checked(fixture, name);
    ws_read(fixture->ws, path, &fixture->arena, &old, NULL);
    change_put(change, path, old.stamp, text);
}

void fixture_remove(Fixture *fixture, Change *change, const char *name) {
    FileText old = {0};
    Err err = {0};
    Path path = fixture_checked(fixture, name);
    CHECK_OK(ws_read(fixture->ws, path, &fixture->arena, &old, &err), err);
    change_remove(change, path, old.stamp);
}

bool has_program(const char *name) {
    const char *paths = getenv("PATH");
    char full[4096];
    for (Str rest = str_of(paths ? paths : "/usr/bin"); rest.len;) {
        size_t end = str_find_char(rest, ':', 0);
        if (end == STR_NONE)
            end = rest.len;
        snprintf(full, sizeof full, "%.*s/%s", (int)end, rest.ptr, name);
        if (access(full, X_OK) == 0)
            return true;
        rest = str_from(rest, end + 1);
    }
    return false;
}

int run_program(const char *const *argv, const char *output) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(output ? output : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    int status = 0;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
