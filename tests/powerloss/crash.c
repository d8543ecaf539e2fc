#define _GNU_SOURCE
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "tests/powerloss/disk_internal.h"
#include "tests/unit/workspace_scenarios.h"

static size_t random_below(size_t n) {
    return n ? (size_t)(test_random() % n) : 0;
}

/* ---- which names survive ---- */

static size_t changes_up_to(const Inode *folder, size_t number) {
    size_t n = folder->sure;
    while (n < folder->change_count && folder->changes[n].number <= number)
        n++;
    return n;
}

/* The last change that some folder is sure of. */
static size_t last_sure(const Disk *disk) {
    size_t last = 0;
    for (const Inode *inode = disk->all; inode; inode = inode->next)
        if (inode->sure && inode->changes[inode->sure - 1].number > last)
            last = inode->changes[inode->sure - 1].number;
    return last;
}

static bool has_kept(const Disk *disk, const Inode *but, size_t number) {
    for (const Inode *inode = disk->all; inode; inode = inode->next)
        for (size_t i = inode == but ? 0 : inode->cut; i-- > 0;)
            if (inode->changes[i].number == number)
                return true;
    return false;
}

/* A rename that reached one folder reached the other, with all that came before it there. */
static void close_over_renames(Disk *disk) {
    for (bool again = true; again;) {
        again = false;
        for (Inode *inode = disk->all; inode; inode = inode->next)
            for (size_t i = inode->change_count; i > inode->cut; i--)
                if (has_kept(disk, inode, inode->changes[i - 1].number)) {
                    inode->cut = i;
                    again = true;
                }
    }
}

static void draw_cuts(Disk *disk, CrashKind kind) {
    size_t first = last_sure(disk), until = first + random_below(disk->number - first + 1);
    for (Inode *inode = disk->all; inode; inode = inode->next) {
        bool is_all = kind == CRASH_ALL_KEPT || kind == CRASH_NO_BYTES;
        inode->cut = inode->sure;
        if (is_all)
            inode->cut = inode->change_count;
        else if (kind == CRASH_JOURNAL)
            inode->cut = changes_up_to(inode, until);
        else if (kind == CRASH_MIXED || kind == CRASH_TORN)
            inode->cut += random_below(inode->change_count - inode->sure + 1);
        size_t cut = inode->cut;
        if (cut && cut < inode->change_count && inode->changes[cut].number == inode->changes[cut - 1].number)
            inode->cut++; /* both halves of a rename within one folder */
    }
    if (kind == CRASH_MIXED || kind == CRASH_NOTHING_KEPT)
        close_over_renames(disk);
}

/* ---- which bytes survive ---- */

/* Block by block the new bytes, or what was there before: old bytes or zeros. */
static Str mixed_blocks(const Inode *inode, size_t size, Arena *arena) {
    enum { BLOCK = 4096 };
    char *p = arena_alloc(arena, size + 1);
    memset(p, 0, size);
    for (size_t at = 0; at < size; at += BLOCK) {
        size_t n = size - at < BLOCK ? size - at : BLOCK;
        Str from = str_slice(random_below(2) ? inode->data : inode->sure_data, at, at + n);
        if (from.len)
            memcpy(p + at, from.ptr, from.len);
    }
    return (Str){p, size};
}

static Str draw_bytes(const Inode *inode, CrashKind kind, Arena *arena) {
    if (!inode->is_dirty || kind == CRASH_ALL_KEPT)
        return inode->data;
    if (kind == CRASH_NOTHING_KEPT)
        return inode->sure_data;
    if (kind == CRASH_NO_BYTES)
        return inode->was_cut ? S("") : inode->sure_data;
    switch (random_below(6)) {
    case 0: return inode->sure_data;
    case 1: return inode->was_cut ? S("") : inode->sure_data;
    case 2: return inode->data;
    case 3: /* sized, but never written */
        return mixed_blocks(&(Inode){.data = S("")}, inode->data.len, arena);
    case 4: return str_slice(inode->data, 0, random_below(inode->data.len + 1));
    default: return mixed_blocks(inode, inode->data.len, arena);
    }
}

/* ---- the image ---- */

static int by_name(const void *a, const void *b) {
    const Str *x = a, *y = b;
    return str_cmp(*x, *y);
}

static void add_folder(Inode *folder, Str path, CrashKind kind, Arena *arena, Image *out) {
    Str *names = ARENA_ARRAY(arena, Str, folder->cut + 1);
    size_t count = 0;
    for (size_t i = 0; i < folder->cut; i++)
        names[count++] = folder->changes[i].name;
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        Inode *inode = disk_entry(folder, folder->cut, names[i]);
        if (!inode || (i && str_eq(names[i], names[i - 1])))
            continue;
        size_t same_as = inode->drawn_at;
        if (!same_as) {
            inode->drawn_at = out->count + 1;
            inode->drawn_data = draw_bytes(inode, kind, arena);
            bool is_new = kind == CRASH_ALL_KEPT || kind == CRASH_NO_BYTES ||
                          (kind != CRASH_NOTHING_KEPT && random_below(2));
            inode->drawn_mode = is_new ? inode->mode : inode->sure_mode;
        }
        ImageEntry entry = {
            .path = path.len ? str_printf(arena, "%.*s/%.*s", STR_ARG(path), STR_ARG(names[i])) : names[i],
            .kind = inode->kind,
            .mode = inode->drawn_mode,
            .data = inode->drawn_data,
            .same_as = same_as};
        LIST_PUSH(arena, out->items, out->count, out->capacity, entry);
        if (inode->kind == 'd')
            add_folder(inode, entry.path, kind, arena, out);
    }
}

void disk_crash(Disk *disk, CrashKind kind, Arena *arena, Image *out) {
    *out = (Image){0};
    draw_cuts(disk, kind);
    for (Inode *inode = disk->all; inode; inode = inode->next)
        inode->drawn_at = 0;
    add_folder(disk->top, S(""), kind, arena, out);
}

static int by_c_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void read_entry(const char *full, Str path, Arena *arena, Image *out);

static void read_folder(const char *full, Str path, Arena *arena, Image *out) {
    DIR *dir = opendir(full);
    const char **names = NULL;
    size_t count = 0, capacity = 0;
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            LIST_PUSH(arena, names, count, capacity, str_cstr(arena, str_of(entry->d_name)));
    closedir(dir);
    if (count)
        qsort(names, count, sizeof *names, by_c_name);
    for (size_t i = 0; i < count; i++)
        read_entry(str_printf(arena, "%s/%s", full, names[i]).ptr,
                   str_printf(arena, "%.*s/%s", STR_ARG(path), names[i]), arena, out);
}

static void read_entry(const char *full, Str path, Arena *arena, Image *out) {
    struct stat st;
    Err err = {0};
    char target[PATH_MAX];
    ImageEntry entry = {.path = path};
    CHECK(lstat(full, &st) == 0);
    entry.mode = st.st_mode & 07777;
    entry.kind = S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : 'f';
    if (entry.kind == 'l')
        entry.data = str_copy(arena, (Str){target, (size_t)readlink(full, target, sizeof target)});
    else if (entry.kind == 'f')
        CHECK_OK(os_read_file(full, 256 << 20, arena, &entry.data, &err), err);
    entry.inode[0] = st.st_dev;
    entry.inode[1] = st.st_ino;
    for (size_t i = 0; st.st_nlink > 1 && entry.kind == 'f' && i < out->count && !entry.same_as; i++)
        if (memcmp(out->items[i].inode, entry.inode, sizeof entry.inode) == 0)
            entry.same_as = i + 1;
    LIST_PUSH(arena, out->items, out->count, out->capacity, entry);
    if (entry.kind == 'd')
        read_folder(full, path, arena, out);
}

void image_read(const char *const *roots, size_t root_count, Arena *arena, Image *out) {
    *out = (Image){0};
    for (size_t i = 0; i < root_count; i++)
        read_entry(roots[i], str_printf(arena, "%zu", i), arena, out);
}

static void full_path(Str path, const char *const *roots, char out[PATH_MAX]) {
    snprintf(out, PATH_MAX, "%s%.*s", roots[path.ptr[0] - '0'], STR_ARG(str_from(path, 1)));
}

void image_write(const Image *image, const char *const *roots, size_t root_count) {
    Err err = {0};
    char full[PATH_MAX], first[PATH_MAX];
    for (size_t i = 0; i < root_count; i++)
        remove_tree(roots[i]);
    for (size_t i = 0; i < image->count; i++) {
        const ImageEntry *entry = &image->items[i];
        full_path(entry->path, roots, full);
        if (entry->same_as) {
            full_path(image->items[entry->same_as - 1].path, roots, first);
            CHECK(link(first, full) == 0);
        } else if (entry->kind == 'd') {
            CHECK(mkdir(full, 0700) == 0 && chmod(full, entry->mode) == 0);
        } else if (entry->kind == 'l') {
            char target[PATH_MAX];
            snprintf(target, sizeof target, "%.*s", STR_ARG(entry->data));
            CHECK(symlink(target, full) == 0);
        } else {
            CHECK_OK(os_write_file(full, entry->data, &err), err);
            CHECK(chmod(full, entry->mode) == 0);
        }
    }
}

uint64_t image_key(const Image *image) {
    uint64_t key = STR_HASH_START;
    for (size_t i = 0; i < image->count; i++) {
        const ImageEntry *entry = &image->items[i];
        char head[64];
        int n = snprintf(head, sizeof head, "%c%o %zu %zu", entry->kind, entry->mode, entry->data.len,
                         entry->same_as);
        key = str_hash_more(str_hash_more(key, entry->path), (Str){head, (size_t)n});
        key = str_hash_more(key, entry->data);
    }
    return key;
}

Str image_difference(const Image *a, const Image *b, Arena *arena) {
    for (size_t i = 0; i < a->count || i < b->count; i++) {
        const ImageEntry *x = i < a->count ? &a->items[i] : NULL, *y = i < b->count ? &b->items[i] : NULL;
        if (!x || !y)
            return str_printf(arena, "only one has %.*s", STR_ARG((x ? x : y)->path));
        if (!str_eq(x->path, y->path))
            return str_printf(arena, "%.*s against %.*s", STR_ARG(x->path), STR_ARG(y->path));
        if (x->kind != y->kind || x->mode != y->mode || x->same_as != y->same_as || !str_eq(x->data, y->data))
            return str_printf(arena, "%.*s: %c %o, %zu bytes against %c %o, %zu bytes", STR_ARG(x->path),
                              x->kind, x->mode, x->data.len, y->kind, y->mode, y->data.len);
    }
    return S("");
}
