#define _GNU_SOURCE
#include "tests/differential/small_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"

enum { MOST_BYTES = 8 << 20, SHOWN_BYTES = 2000 };

/* ---- in memory ---- */

static size_t entry_place(const SmallTree *tree, Str path) {
    size_t low = 0, high = tree->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (str_cmp(tree->items[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

SmallEntry *tree_find(const SmallTree *tree, Str path) {
    size_t at = entry_place(tree, path);
    return at < tree->count && str_eq(tree->items[at].path, path) ? &tree->items[at] : NULL;
}

void tree_put(SmallTree *tree, Arena *arena, Str path, unsigned mode, Str text) {
    size_t at = entry_place(tree, path);
    SmallEntry entry = {path, mode, text};
    if (at == tree->count || !str_eq(tree->items[at].path, path)) {
        LIST_PUSH(arena, tree->items, tree->count, tree->capacity, entry);
        memmove(tree->items + at + 1, tree->items + at, (tree->count - 1 - at) * sizeof *tree->items);
    }
    tree->items[at] = entry;
}

void tree_remove(SmallTree *tree, Str path) {
    SmallEntry *entry = tree_find(tree, path);
    if (!entry)
        return;
    tree->count--;
    memmove(entry, entry + 1, (size_t)(tree->items + tree->count - entry) * sizeof *entry);
}

SmallTree tree_copy(const SmallTree *tree, Arena *arena) {
    SmallTree copy = {ARENA_ARRAY(arena, SmallEntry, tree->count + 8), tree->count, tree->count + 8};
    if (tree->count)
        memcpy(copy.items, tree->items, tree->count * sizeof *copy.items);
    return copy;
}

static bool is_above(Str folder, Str path) {
    return path.len > folder.len && path.ptr[folder.len] == '/' && str_starts(path, folder);
}

bool tree_has_room(const SmallTree *tree, Str path) {
    for (size_t i = 0; i < tree->count; i++) {
        Str other = tree->items[i].path;
        if (str_eq(other, path) || is_above(other, path) || is_above(path, other))
            return false;
    }
    return true;
}

bool tree_is_sound(const SmallTree *tree) {
    for (size_t i = 0; i < tree->count; i++)
        for (size_t n = 0; n < tree->count; n++)
            if (tree->items[i].mode != TREE_FOLDER && is_above(tree->items[i].path, tree->items[n].path))
                return false;
    return true;
}

static size_t next_file(const SmallTree *tree, size_t i) {
    while (i < tree->count && tree->items[i].mode == TREE_FOLDER)
        i++;
    return i;
}

bool tree_same(const SmallTree *a, const SmallTree *b, Arena *arena, Str *why) {
    size_t i = next_file(a, 0), n = next_file(b, 0);
    for (; i < a->count && n < b->count; i = next_file(a, i + 1), n = next_file(b, n + 1)) {
        const SmallEntry *x = &a->items[i], *y = &b->items[n];
        int order = str_cmp(x->path, y->path);
        if (order != 0) {
            *why = str_printf(arena, "\"%.*s\" is on one side only", STR_ARG(order < 0 ? x->path : y->path));
            return false;
        }
        if (x->mode != y->mode) {
            *why = str_printf(arena, "\"%.*s\" is %o and %o", STR_ARG(x->path), x->mode, y->mode);
            return false;
        }
        if (!str_eq(x->text, y->text)) {
            *why = str_printf(arena, "the bytes of \"%.*s\" differ", STR_ARG(x->path));
            return false;
        }
    }
    if (i < a->count || n < b->count) {
        *why = str_printf(arena, "\"%.*s\" is on one side only",
                          STR_ARG(i < a->count ? a->items[i].path : b->items[n].path));
        return false;
    }
    return true;
}

static bool look(void *ctx, Str path, Arena *arena, PatchEntry *out, Err *err) {
    const SmallTree *tree = ctx;
    (void)arena;
    *out = (PatchEntry){0};
    for (size_t i = 0; i < tree->count; i++) {
        const SmallEntry *entry = &tree->items[i];
        if (entry->mode == TREE_LINK && is_above(entry->path, path))
            return err_set(err, ERR_DENIED, "%.*s lies beyond a link", STR_ARG(path));
        if (is_above(path, entry->path) || (entry->mode == TREE_FOLDER && str_eq(path, entry->path)))
            out->exists = out->is_folder = true;
        else if (str_eq(path, entry->path))
            *out = (PatchEntry){.exists = true, .mode = entry->mode, .text = entry->text};
    }
    return true;
}

static bool list(void *ctx, Str folder, Arena *arena, Str **names, size_t *count, Err *err) {
    const SmallTree *tree = ctx;
    size_t capacity = 0;
    (void)err;
    *names = NULL;
    *count = 0;
    for (size_t i = 0; i < tree->count; i++) {
        if (!is_above(folder, tree->items[i].path))
            continue;
        Str name = str_from(tree->items[i].path, folder.len + 1);
        name = str_slice(name, 0, str_find_char(name, '/', 0));
        bool is_known = false;
        for (size_t n = 0; n < *count; n++)
            is_known = is_known || str_eq((*names)[n], name);
        if (!is_known)
            LIST_PUSH(arena, *names, *count, capacity, name);
    }
    return true;
}

PatchSource tree_source(SmallTree *tree) {
    return (PatchSource){tree, look, list};
}

/* Bytes as C would write them, line by line. */
static void print_text(Str text, Buf *out) {
    for (size_t i = 0; i < text.len && i < SHOWN_BYTES; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (i == 0 || text.ptr[i - 1] == '\n')
            buf_cstr(out, "    |");
        if (c == '\n')
            buf_char(out, '\n');
        else if (c < ' ' || c > 126 || c == '\\')
            buf_printf(out, "\\%03o", c);
        else
            buf_char(out, (char)c);
    }
    if (text.len > SHOWN_BYTES)
        buf_cstr(out, "...\n");
    else if (text.len && text.ptr[text.len - 1] != '\n')
        buf_cstr(out, "<no newline>\n");
}

void tree_print(const SmallTree *tree, Buf *out) {
    for (size_t i = 0; i < tree->count; i++) {
        buf_printf(out, "  %o \"%.*s\"\n", tree->items[i].mode, STR_ARG(tree->items[i].path));
        print_text(tree->items[i].text, out);
    }
}

/* ---- on disk ---- */

_Noreturn static void disk_failed(const char *what, const char *path) {
    fprintf(stderr, "cannot %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

static void make_parents(char *path, size_t from) {
    for (char *slash = strchr(path + from, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            disk_failed("make the folder", path);
        *slash = '/';
    }
}

void tree_write(const SmallTree *tree, const char *folder) {
    char path[PATH_MAX];
    if (mkdir(folder, 0777) != 0)
        disk_failed("make the folder", folder);
    for (size_t i = 0; i < tree->count; i++) {
        const SmallEntry *entry = &tree->items[i];
        snprintf(path, sizeof path, "%s/%.*s", folder, STR_ARG(entry->path));
        make_parents(path, strlen(folder) + 1);
        if (entry->mode == TREE_FOLDER) {
            if (mkdir(path, 0777) != 0 && errno != EEXIST)
                disk_failed("make the folder", path);
        } else if (entry->mode == TREE_LINK) {
            char target[PATH_MAX];
            snprintf(target, sizeof target, "%.*s", STR_ARG(entry->text));
            if (symlink(target, path) != 0)
                disk_failed("make the link", path);
        } else {
            int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, entry->mode & 0777);
            if (fd < 0 || !os_write_all(fd, entry->text, NULL))
                disk_failed("write", path);
            close(fd);
        }
    }
}

static void read_folder(const char *folder, Str relative, Arena *arena, SmallTree *out) {
    char path[PATH_MAX], target[PATH_MAX];
    snprintf(path, sizeof path, "%s/%.*s", folder, STR_ARG(relative));
    DIR *dir = opendir(path);
    if (!dir)
        disk_failed("list", path);
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (!strcmp(name, ".") || !strcmp(name, "..") || (!relative.len && !strcmp(name, ".mux")))
            continue;
        Str inner = relative.len ? str_printf(arena, "%.*s/%s", STR_ARG(relative), name)
                                 : str_copy(arena, str_of(name));
        struct stat st;
        snprintf(path, sizeof path, "%s/%.*s", folder, STR_ARG(inner));
        if (lstat(path, &st) != 0)
            disk_failed("look at", path);
        if (S_ISDIR(st.st_mode)) {
            tree_put(out, arena, inner, TREE_FOLDER, S(""));
            read_folder(folder, inner, arena, out);
        } else if (S_ISLNK(st.st_mode)) {
            ssize_t n = readlink(path, target, sizeof target);
            if (n < 0)
                disk_failed("read the link", path);
            tree_put(out, arena, inner, TREE_LINK, str_copy(arena, (Str){target, (size_t)n}));
        } else {
            Str text;
            if (!os_read_file(path, MOST_BYTES, arena, &text, NULL))
                disk_failed("read", path);
            tree_put(out, arena, inner, st.st_mode & 0100 ? TREE_PROGRAM : TREE_FILE, text);
        }
    }
    closedir(dir);
}

void tree_read(const char *folder, Arena *arena, SmallTree *out) {
    *out = (SmallTree){0};
    read_folder(folder, S(""), arena, out);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st;
    (void)kind;
    (void)walk;
    return remove(path);
}

void folder_remove(const char *folder) {
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static Buf *stamp_out;

static int stamp_one(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)kind;
    buf_printf(stamp_out, "%s %o %llu %lld %lld.%09ld\n", walk->level ? path : "", st->st_mode,
               (unsigned long long)st->st_ino, S_ISDIR(st->st_mode) ? 0 : (long long)st->st_size,
               (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
    return 0;
}

Str folder_stamp(const char *folder, Arena *arena) {
    Buf out = {0};
    stamp_out = &out;
    nftw(folder, stamp_one, 16, FTW_PHYS);
    Str stamp = buf_copy(&out, arena);
    buf_free(&out);
    return stamp;
}
