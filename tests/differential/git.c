#define _GNU_SOURCE
#include "tests/differential/git.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/sha.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "base/os.h"

enum { OBJECTS_KEPT = 4000, MOST_PATCH_BYTES = 16 << 20 };

typedef struct ObjectId {
    unsigned char bytes[SHA_DIGEST_LENGTH];
} ObjectId;

static struct {
    char folder[PATH_MAX / 2];
    size_t objects;
} repository;

/* ---- programs ---- */

/* Nothing of the user's settings reaches git, and messages are never translated. */
static char *const ENVIRONMENT[] = {(char[]){"PATH=/usr/local/bin:/usr/bin:/bin"},
                                    (char[]){"HOME=/nonexistent"}, (char[]){"GIT_CONFIG_NOSYSTEM=1"},
                                    (char[]){"LC_ALL=C"}, NULL};

int program_run(const char *const *arguments, const char *folder, const char *output) {
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, output ? output : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int failed =
        posix_spawnp(&child, arguments[0], &actions, NULL, (char *const *)(uintptr_t)arguments, ENVIRONMENT);
    posix_spawn_file_actions_destroy(&actions);
    if (failed || waitpid(child, &status, 0) != child)
        return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- objects ---- */

_Noreturn static void repository_failed(const char *path) {
    fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
    exit(1);
}

static void empty_repository(void) {
    char path[PATH_MAX];
    static const char *const FOLDERS[] = {"objects", "refs"};
    for (size_t i = 0; i < sizeof FOLDERS / sizeof *FOLDERS; i++) {
        snprintf(path, sizeof path, "%s/%s", repository.folder, FOLDERS[i]);
        folder_remove(path);
        if (mkdir(path, 0777) != 0)
            repository_failed(path);
    }
    repository.objects = 0;
}

/* A loose object: zlib of "TYPE SIZE\0" and the bytes, named by their SHA-1. */
static ObjectId write_object(const char *type, Str bytes) {
    Buf plain = {0};
    buf_printf(&plain, "%s %zu", type, bytes.len);
    buf_char(&plain, 0);
    buf_str(&plain, bytes);
    ObjectId id;
    SHA1((const unsigned char *)plain.ptr, plain.len, id.bytes);
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/objects/%02x", repository.folder, id.bytes[0]);
    mkdir(path, 0777);
    path[n++] = '/';
    for (size_t i = 1; i < sizeof id.bytes; i++, n += 2)
        snprintf(path + n, 3, "%02x", id.bytes[i]);
    if (access(path, F_OK) != 0) {
        uLongf size = compressBound((uLong)plain.len);
        Buf packed = {0};
        Err err = {0};
        if (!buf_reserve(&packed, size) ||
            compress2((Bytef *)packed.ptr, &size, (const Bytef *)plain.ptr, (uLong)plain.len, 0) != Z_OK ||
            !os_write_file(path, (Str){packed.ptr, size}, &err))
            repository_failed(path);
        buf_free(&packed);
        repository.objects++;
    }
    buf_free(&plain);
    return id;
}

typedef struct TreeRow {
    Str name, key; /* git sorts folders as if their names ended in a slash */
    unsigned mode;
    ObjectId id;
} TreeRow;

static int by_key(const void *a, const void *b) {
    return str_cmp(((const TreeRow *)a)->key, ((const TreeRow *)b)->key);
}

static ObjectId write_tree(const SmallEntry *entries, size_t count, size_t lead, Arena *arena) {
    TreeRow *rows = ARENA_ARRAY(arena, TreeRow, count + 1);
    size_t row_count = 0;
    for (size_t i = 0; i < count; row_count++) {
        Str path = str_from(entries[i].path, lead);
        size_t slash = str_find_char(path, '/', 0), first = i++;
        TreeRow *row = &rows[row_count];
        if (slash == STR_NONE) {
            *row = (TreeRow){path, path, entries[first].mode, write_object("blob", entries[first].text)};
            continue;
        }
        Str inside = str_slice(entries[first].path, 0, lead + slash + 1);
        while (i < count && str_starts(entries[i].path, inside))
            i++;
        *row = (TreeRow){str_slice(path, 0, slash), str_slice(path, 0, slash + 1), TREE_FOLDER,
                         write_tree(entries + first, i - first, inside.len, arena)};
    }
    qsort(rows, row_count, sizeof *rows, by_key);
    Buf out = {0};
    for (size_t i = 0; i < row_count; i++) {
        buf_printf(&out, "%o %.*s", rows[i].mode, STR_ARG(rows[i].name));
        buf_char(&out, 0);
        buf_append(&out, rows[i].id.bytes, sizeof rows[i].id.bytes);
    }
    ObjectId id = write_object("tree", buf_text(&out));
    buf_free(&out);
    return id;
}

static const char *write_whole_tree(const SmallTree *tree, Arena *arena) {
    SmallEntry *files = ARENA_ARRAY(arena, SmallEntry, tree->count + 1);
    size_t count = 0;
    for (size_t i = 0; i < tree->count; i++)
        if (tree->items[i].mode != TREE_FOLDER)
            files[count++] = tree->items[i];
    ObjectId id = write_tree(files, count, 0, arena);
    char *hex = arena_alloc(arena, 2 * sizeof id.bytes + 1);
    for (size_t i = 0; i < sizeof id.bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", id.bytes[i]);
    return hex;
}

bool git_open(const char *folder) {
    const char *const version[] = {"git", "--version", NULL};
    char path[PATH_MAX];
    if (program_run(version, folder, NULL) != 0)
        return false;
    snprintf(repository.folder, sizeof repository.folder, "%s/repository", folder);
    mkdir(repository.folder, 0777);
    empty_repository();
    snprintf(path, sizeof path, "%s/HEAD", repository.folder);
    if (!os_write_file(path, S("ref: refs/heads/main\n"), NULL))
        repository_failed(path);
    snprintf(path, sizeof path, "%s/config", repository.folder);
    if (!os_write_file(path, S("[core]\n\trepositoryformatversion = 0\n\tbare = true\n"), NULL))
        repository_failed(path);
    return true;
}

void git_close(void) {
    folder_remove(repository.folder);
}

Str git_diff(const SmallTree *before, const SmallTree *after, const char *const *arguments, Arena *arena) {
    const char *argv[40] = {"git", str_printf(arena, "--git-dir=%s", repository.folder).ptr, "diff-tree",
                            "-r", "-p"};
    size_t n = 5;
    if (repository.objects > OBJECTS_KEPT)
        empty_repository();
    for (size_t i = 0; arguments[i]; i++)
        argv[n++] = arguments[i];
    argv[n++] = write_whole_tree(before, arena);
    argv[n++] = write_whole_tree(after, arena);
    const char *output = str_printf(arena, "%s/output", repository.folder).ptr;
    Str patch;
    if (program_run(argv, repository.folder, output) != 0 ||
        !os_read_file(output, MOST_PATCH_BYTES, arena, &patch, NULL)) {
        fprintf(stderr, "git diff-tree failed\n");
        exit(1);
    }
    return patch;
}
