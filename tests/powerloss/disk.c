#include "tests/powerloss/disk_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Inode *disk_entry(const Inode *folder, size_t count, Str name) {
    for (size_t i = count; i-- > 0;)
        if (str_eq(folder->changes[i].name, name))
            return folder->changes[i].inode;
    return NULL;
}

static Inode *entry_now(const Inode *folder, Str name) {
    return disk_entry(folder, folder->change_count, name);
}

static Inode *make_inode(Disk *disk, char kind, unsigned mode) {
    Inode *inode = ARENA_NEW(disk->arena, Inode);
    *inode = (Inode){
        .next = disk->all, .kind = kind, .mode = mode, .sure_mode = mode, .is_dirty = true, .was_cut = true};
    disk->all = inode;
    return inode;
}

static void set_name(Disk *disk, Inode *folder, Str name, Inode *inode) {
    NameChange change = {disk->number, str_copy(disk->arena, name), inode};
    LIST_PUSH(disk->arena, folder->changes, folder->change_count, folder->change_capacity, change);
}

static void make_sure(Inode *inode) {
    inode->sure_data = inode->data;
    inode->sure_mode = inode->mode;
    inode->is_dirty = inode->was_cut = false;
    inode->sure = inode->change_count;
}

Disk *disk_new(Arena *arena, const char *const *roots, size_t root_count) {
    Disk *disk = ARENA_NEW(arena, Disk);
    *disk = (Disk){.arena = arena, .root_count = root_count};
    disk->top = make_inode(disk, 'd', 0755);
    Image image;
    image_read(roots, root_count, arena, &image);
    Inode **inodes = ARENA_ARRAY(arena, Inode *, image.count);
    for (size_t i = 0; i < root_count; i++)
        disk->roots[i] = str_of(roots[i]);
    for (size_t i = 0; i < image.count; i++) {
        const ImageEntry *entry = &image.items[i];
        Inode *folder = disk->top;
        Str rest = entry->path;
        for (size_t slash; (slash = str_find_char(rest, '/', 0)) != STR_NONE;
             rest = str_from(rest, slash + 1))
            folder = entry_now(folder, str_slice(rest, 0, slash));
        Inode *inode =
            entry->same_as ? inodes[entry->same_as - 1] : make_inode(disk, entry->kind, entry->mode);
        inode->data = entry->data;
        set_name(disk, folder, rest, inodes[i] = inode);
    }
    for (Inode *inode = disk->all; inode; inode = inode->next)
        make_sure(inode);
    return disk;
}

/* ---- names ---- */

typedef struct Place {
    Inode *folder; /* NULL: outside of the trees */
    Str name;
    Inode *inode; /* what stands there, or NULL */
} Place;

static Inode *start_of(const Disk *disk, long dir_fd, Str *path) {
    if (!str_starts(*path, S("/")))
        return dir_fd >= 0 && dir_fd < FILES_MAX ? disk->files[dir_fd].inode : NULL;
    for (size_t i = 0; i < disk->root_count; i++) {
        Str root = disk->roots[i];
        if (!str_starts(*path, root) || (path->len > root.len && path->ptr[root.len] != '/'))
            continue;
        char name[2] = {(char)('0' + i), 0};
        *path = str_from(*path, root.len);
        return entry_now(disk->top, str_of(name));
    }
    return NULL;
}

static Place find(const Disk *disk, long dir_fd, Str path) {
    Place place = {.name = S(".")};
    place.folder = place.inode = start_of(disk, dir_fd, &path);
    while (place.inode && path.len) {
        size_t end = str_find_char(path, '/', 0);
        Str name = str_slice(path, 0, end == STR_NONE ? path.len : end);
        path = str_from(path, name.len + 1);
        if (!name.len || str_eq(name, S(".")))
            continue;
        if (str_eq(name, S("..")) || place.inode->kind != 'd')
            return (Place){0};
        place = (Place){place.inode, name, entry_now(place.inode, name)};
        if (!place.inode && path.len)
            return (Place){0};
    }
    return place;
}

static Place find_arg(const Disk *disk, const Call *call, size_t fd_index, Arena *scratch) {
    bool is_at = fd_index < call->arg_count && call->args[fd_index].ptr[0] != '"';
    return find(disk, is_at ? call_number(call, fd_index) : -100,
                call_string(call, fd_index + is_at, scratch));
}

static OpenFile *file_at(Disk *disk, long fd) {
    if (fd < 0 || fd >= FILES_MAX)
        test_fail(__FILE__, __LINE__, "the descriptor %ld is too large for the model", fd);
    return &disk->files[fd];
}

static unsigned octal_after(Str args) {
    return (unsigned)strtoul(str_trim(args).ptr, NULL, 8);
}

/* ---- calls ---- */

static const unsigned UMASK = 022;

static bool apply_open(Disk *disk, const Call *call, Arena *scratch) {
    bool is_at = call->args[0].ptr[0] != '"';
    Str flags = call->args[is_at + 1u];
    Place place = find_arg(disk, call, 0, scratch);
    OpenFile *file = file_at(disk, call->result);
    *file = (OpenFile){.inode = place.inode, .is_append = str_contains(flags, S("O_APPEND"))};
    bool is_writing = str_contains(flags, S("O_WRONLY")) || str_contains(flags, S("O_RDWR"));
    if (place.inode && place.inode->kind == 'l' && is_writing)
        test_fail(__FILE__, __LINE__, "%.*s is opened for writing through a link", STR_ARG(place.name));
    if (!place.folder)
        return false;
    if (!place.inode && str_contains(flags, S("O_CREAT"))) {
        Inode *inode = make_inode(disk, 'f', octal_after(call->args[is_at + 2u]) & ~UMASK);
        disk->number++;
        set_name(disk, place.folder, place.name, inode);
        file->inode = inode;
        return true;
    }
    if (place.inode && place.inode->kind == 'f' && str_contains(flags, S("O_TRUNC")) &&
        place.inode->data.len) {
        place.inode->data = S("");
        place.inode->is_dirty = place.inode->was_cut = true;
        return true;
    }
    return false;
}

static void put_bytes(Disk *disk, Inode *inode, size_t at, Str bytes) {
    size_t end = at + bytes.len, size = end > inode->data.len ? end : inode->data.len;
    char *p = arena_alloc(disk->arena, size + 1);
    memset(p, 0, size);
    if (inode->data.len)
        memcpy(p, inode->data.ptr, inode->data.len);
    memcpy(p + at, bytes.ptr, bytes.len);
    inode->data = (Str){p, size};
    inode->is_dirty = true;
}

static bool apply_write(Disk *disk, const Call *call, Arena *scratch) {
    OpenFile *file = file_at(disk, call_number(call, 0));
    bool has_place = str_eq(call->name, S("pwrite64"));
    if (!file->inode || call->result == 0)
        return false;
    Str bytes = str_slice(call_string(call, 1, scratch), 0, (size_t)call->result);
    if (file->is_append)
        file->at = file->inode->data.len;
    put_bytes(disk, file->inode, has_place ? (size_t)call_number(call, 3) : file->at, bytes);
    file->at += has_place ? 0 : bytes.len;
    return true;
}

static bool apply_copy(Disk *disk, const Call *call) {
    OpenFile *in = file_at(disk, call_number(call, 0)), *out = file_at(disk, call_number(call, 2));
    if (!str_eq(call->args[1], S("NULL")) || !str_eq(call->args[3], S("NULL")))
        test_fail(__FILE__, __LINE__, "copy_file_range with positions is not in the model");
    if (!out->inode || call->result == 0)
        return false;
    CHECK(in->inode != NULL);
    put_bytes(disk, out->inode, out->at, str_slice(in->inode->data, in->at, in->at + (size_t)call->result));
    in->at += (size_t)call->result;
    out->at += (size_t)call->result;
    return true;
}

static bool apply_clone(Disk *disk, const Call *call) {
    OpenFile *out = file_at(disk, call_number(call, 0));
    if (!str_contains(call->args[1], S("FICLONE")) || !out->inode)
        return false;
    OpenFile *in = file_at(disk, call_number(call, 2));
    CHECK(in->inode != NULL);
    out->inode->data = in->inode->data;
    out->inode->is_dirty = true;
    return true;
}

static bool apply_sync(Disk *disk, const Call *call) {
    bool is_whole = str_ends(call->name, S("syncfs")) || str_eq(call->name, S("sync"));
    if (call->is_injected)
        return false;
    if (is_whole) {
        for (Inode *inode = disk->all; inode; inode = inode->next)
            make_sure(inode);
        return true;
    }
    OpenFile *file = file_at(disk, call_number(call, 0));
    if (file->inode)
        make_sure(file->inode);
    return file->inode != NULL;
}

static bool apply_make(Disk *disk, const Call *call, Arena *scratch, char kind) {
    size_t first = kind == 'l'; /* symlinkat(target, fd, path) */
    Place place = find_arg(disk, call, first, scratch);
    if (!place.folder)
        return false;
    Inode *inode =
        make_inode(disk, kind, kind == 'l' ? 0777 : octal_after(call->args[call->arg_count - 1]) & ~UMASK);
    if (kind == 'l') { /* a target is kept with its name */
        inode->data = str_copy(disk->arena, call_string(call, 0, scratch));
        make_sure(inode);
    }
    disk->number++;
    set_name(disk, place.folder, place.name, inode);
    return true;
}

static bool apply_unlink(Disk *disk, const Call *call, Arena *scratch) {
    Place place = find_arg(disk, call, 0, scratch);
    if (!place.folder)
        return false;
    disk->number++;
    set_name(disk, place.folder, place.name, NULL);
    return true;
}

static bool apply_link(Disk *disk, const Call *call, Arena *scratch) {
    Place from = find_arg(disk, call, 0, scratch), to = find_arg(disk, call, 2, scratch);
    if (!from.folder && !to.folder)
        return false;
    CHECK(from.folder && to.folder && from.inode);
    disk->number++;
    set_name(disk, to.folder, to.name, from.inode);
    return true;
}

static bool apply_rename(Disk *disk, const Call *call, Arena *scratch) {
    bool is_at = call->args[0].ptr[0] != '"';
    Place from = find_arg(disk, call, 0, scratch), to = find_arg(disk, call, 1u + is_at, scratch);
    if (!from.folder && !to.folder)
        return false;
    CHECK(from.folder && to.folder && from.inode);
    bool is_exchange = call->arg_count > 4 && str_contains(call->args[4], S("RENAME_EXCHANGE"));
    disk->number++;
    set_name(disk, to.folder, to.name, from.inode);
    set_name(disk, from.folder, from.name, is_exchange ? to.inode : NULL);
    return true;
}

static bool apply_mode(Disk *disk, const Call *call, Arena *scratch) {
    bool is_fd = str_eq(call->name, S("fchmod"));
    Inode *inode =
        is_fd ? file_at(disk, call_number(call, 0))->inode : find_arg(disk, call, 0, scratch).inode;
    if (!inode)
        return false;
    inode->mode = octal_after(call->args[is_fd || call->args[0].ptr[0] == '"' ? 1 : 2]);
    inode->is_dirty = true;
    return true;
}

static bool apply_resize(Disk *disk, const Call *call) {
    Inode *inode = file_at(disk, call_number(call, 0))->inode;
    size_t size = (size_t)call_number(call, 1);
    if (!inode || inode->data.len == size)
        return false;
    if (size > inode->data.len)
        put_bytes(disk, inode, size - 1, (Str){"", 1});
    inode->data = str_slice(inode->data, 0, size);
    inode->is_dirty = true;
    inode->was_cut |= size == 0;
    return true;
}

static bool apply_descriptor(Disk *disk, const Call *call) {
    if (str_eq(call->name, S("close")))
        *file_at(disk, call_number(call, 0)) = (OpenFile){0};
    else if (str_starts(call->name, S("dup")) ||
             (call->arg_count > 1 && str_contains(call->args[1], S("F_DUPFD"))))
        *file_at(disk, call->result) = *file_at(disk, call_number(call, 0));
    else if (str_eq(call->name, S("read")))
        file_at(disk, call_number(call, 0))->at += (size_t)call->result;
    else if (str_eq(call->name, S("lseek")))
        file_at(disk, call_number(call, 0))->at = (size_t)call->result;
    return false;
}

static bool is_one_of(Str name, const char *const *names) {
    for (; *names; names++)
        if (str_eq(name, str_of(*names)))
            return true;
    return false;
}

bool disk_apply(Disk *disk, const Call *call) {
    static const char *const
        OPENS[] = {"open", "openat", "openat2", NULL},
        *const WRITES[] = {"write", "pwrite64", NULL},
        *const SYNCS[] = {"fsync", "fdatasync", "syncfs", "sync", NULL},
        *const REMOVALS[] = {"unlink", "unlinkat", "rmdir", NULL},
        *const RENAMES[] = {"rename", "renameat", "renameat2", NULL},
        *const MODES[] = {"chmod", "fchmod", "fchmodat", NULL}, *const FOLDERS[] = {"mkdir", "mkdirat", NULL},
        *const DESCRIPTORS[] = {"close", "dup", "dup2", "dup3", "fcntl", "read", "lseek", "chdir", NULL};
    Arena scratch = {0};
    Str name = call->name;
    bool changes = false;
    if (call->has_failed)
        return false;
    if (is_one_of(name, DESCRIPTORS))
        changes = apply_descriptor(disk, call);
    else if (is_one_of(name, OPENS))
        changes = apply_open(disk, call, &scratch);
    else if (is_one_of(name, WRITES))
        changes = apply_write(disk, call, &scratch);
    else if (is_one_of(name, SYNCS))
        changes = apply_sync(disk, call);
    else if (is_one_of(name, REMOVALS))
        changes = apply_unlink(disk, call, &scratch);
    else if (is_one_of(name, RENAMES))
        changes = apply_rename(disk, call, &scratch);
    else if (is_one_of(name, MODES))
        changes = apply_mode(disk, call, &scratch);
    else if (is_one_of(name, FOLDERS))
        changes = apply_make(disk, call, &scratch, 'd');
    else if (str_eq(name, S("symlinkat")))
        changes = apply_make(disk, call, &scratch, 'l');
    else if (str_eq(name, S("linkat")))
        changes = apply_link(disk, call, &scratch);
    else if (str_eq(name, S("ftruncate")))
        changes = apply_resize(disk, call);
    else if (str_eq(name, S("copy_file_range")))
        changes = apply_copy(disk, call);
    else if (str_eq(name, S("ioctl")))
        changes = apply_clone(disk, call);
    else if (!str_eq(name, S("mmap")) || str_contains(call->args[3], S("MAP_SHARED")))
        if (!str_eq(name, S("mmap")) || str_contains(call->args[2], S("PROT_WRITE")))
            test_fail(__FILE__, __LINE__, "the call %.*s is not in the model", STR_ARG(name));
    arena_free(&scratch);
    return changes;
}
