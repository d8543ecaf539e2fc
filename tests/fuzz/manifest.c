/* Recovery from arbitrary records: whatever the manifest says, nothing outside of the tree and nothing of git
 * changes, and the record is settled or put aside, never a crash. The input is the text above the checksum,
 * which is added here; the tree has files with the texts that the seeds name by hash, a symlink out, and a
 * repository's folder. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/os.h"
#include "workspace/workspace_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char top[64];

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st;
    (void)kind;
    return walk->level ? remove(path) : 0;
}

static void remove_all(void) {
    nftw(top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    rmdir(top);
}

static void write_text(const char *name, Str text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", top, name);
    if (!os_write_file(path, text, NULL))
        abort();
}

static void make_folder(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", top, name);
    if (!os_make_dirs(path, NULL))
        abort();
}

static void check_text(const char *name, Str wanted) {
    char path[256];
    Arena arena = {0};
    Str text = {0};
    snprintf(path, sizeof path, "%s/%s", top, name);
    if (!os_read_file(path, 4096, &arena, &text, NULL) || !str_eq(text, wanted))
        abort();
    arena_free(&arena);
}

static size_t count_entries(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", top, name);
    DIR *dir = opendir(path);
    size_t count = 0;
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

static void make_tree(const uint8_t *data, size_t size) {
    if (!top[0]) {
        log_init("error");
        snprintf(top, sizeof top, "%s/mux-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (!mkdtemp(top))
            abort();
        atexit(remove_all);
    }
    nftw(top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    make_folder("outside");
    make_folder("tree/sub");
    make_folder("tree/.git");
    make_folder("tree/.mux/txn/1-abcdef/old");
    make_folder("tree/.mux/txn/1-abcdef/new");
    write_text("outside/secret", S("old\n"));
    write_text("tree/.git/config", S("new\n"));
    write_text("tree/a", S("new\n"));
    write_text("tree/sub/b", S("old\n"));
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "tree/.mux/txn/1-abcdef/old/%d", i);
        write_text(name, S("old\n"));
        snprintf(name, sizeof name, "tree/.mux/txn/1-abcdef/new/%d", i);
        write_text(name, S("new\n"));
    }
    char link[256], hex[65];
    snprintf(link, sizeof link, "%s/tree/link", top);
    if (symlink("../outside", link) != 0)
        abort();
    Buf manifest = {0};
    buf_append(&manifest, data, size);
    hash_hex(stamp_of((Str){(const char *)data, size}).sha256, hex);
    buf_printf(&manifest, "sha256 %s\n", hex);
    write_text("tree/.mux/txn/1-abcdef/manifest", buf_text(&manifest));
    buf_free(&manifest);
}

/* What was read prints to a record that reads the same. */
static void check_round_trip(void) {
    char path[256];
    Arena arena = {0};
    Manifest first, second;
    Str text;
    snprintf(path, sizeof path, "%s/tree/.mux/txn/1-abcdef/manifest", top);
    if (os_read_file(path, 1 << 24, &arena, &text, NULL) && manifest_parse(text, &arena, &first, NULL)) {
        Buf once = {0}, twice = {0};
        manifest_print(&first, &once);
        if (!manifest_parse(buf_text(&once), &arena, &second, NULL))
            abort();
        manifest_print(&second, &twice);
        if (!str_eq(buf_text(&once), buf_text(&twice)))
            abort();
        buf_free(&once);
        buf_free(&twice);
    }
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 8192)
        return 0;
    make_tree(data, size);
    check_round_trip();
    char root[128];
    snprintf(root, sizeof root, "%s/tree", top);
    Err err = {0};
    WorkspaceConfig config = {.root = str_of(root)};
    Workspace *ws = ws_open(&config, file_io_disk(), &err);
    if (!ws)
        abort();
    ws_close(ws);
    check_text("outside/secret", S("old\n"));
    check_text("tree/.git/config", S("new\n"));
    if (count_entries("outside") != 3 || count_entries("tree/.git") != 3 || count_entries("") != 4)
        abort();
    return 0;
}
