/* What a transaction needs besides its files: folders made on the way, folders that give their name to a
 * file, and names that would be one name on some file system. Decided before anything is written. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>

#include "workspace/workspace_internal.h"

/* ---- sets of paths: open addressing, at most half full ---- */

static size_t slot_of(const StrSet *set, Str key) {
    size_t at = (size_t)str_hash(key) & (set->capacity - 1);
    while (set->slots[at].ptr && !str_eq(set->slots[at], key))
        at = (at + 1) & (set->capacity - 1);
    return at;
}

bool set_has(const StrSet *set, Str key) {
    return set->count && set->slots[slot_of(set, key)].ptr;
}

bool set_add(StrSet *set, Arena *arena, Str key) {
    if (set->count * 2 >= set->capacity) {
        StrSet old = *set;
        set->capacity = old.capacity ? old.capacity * 2 : 64;
        set->slots = ARENA_ARRAY(arena, Str, set->capacity);
        for (size_t i = 0; i < old.capacity; i++)
            if (old.slots[i].ptr)
                set->slots[slot_of(set, old.slots[i])] = old.slots[i];
    }
    size_t at = slot_of(set, key);
    if (set->slots[at].ptr)
        return false;
    set->slots[at] = (Str){key.ptr ? key.ptr : "", key.len};
    set->count++;
    return true;
}

/* ---- folders ---- */

typedef struct Plan {
    Txn *txn;
    const Change *change;
    StrSet removed, put; /* paths of files */
    StrSet known;        /* folders that are there already */
    StrSet made, listed; /* planned folders; folders whose names are in `names` */
    StrSet names;        /* folder/NFC name of what is there, except for what goes */
    size_t made_capacity, cleared_capacity;
} Plan;

static bool is_writable_folder(int dir, Str shown, Err *err) {
    if (faccessat(dir, ".", W_OK | X_OK, AT_EACCESS) == 0)
        return true;
    if (errno == EROFS)
        return err_set(err, ERR_DENIED, "%.*s lies on a file system that is mounted read-only",
                       STR_ARG(shown));
    return err_set(err, ERR_DENIED, "the folder of %.*s is not writable", STR_ARG(shown));
}

bool spot_is_writable(const Spot *spot, Err *err) {
    return spot->dir < 0 || is_writable_folder(spot->dir, spot->shown, err);
}

static unsigned mode_of_dir(const Change *change, Str dir) {
    for (size_t i = 0; i < change->made_mode_count; i++)
        if (str_eq(change->made_modes[i].path, dir))
            return change->made_modes[i].mode;
    return 0;
}

/* One folder above a file to be put. */
static bool plan_dir(Plan *plan, Str dir, Str path, Err *err) {
    Txn *txn = plan->txn;
    Spot spot;
    struct stat st;
    if (set_has(&plan->known, dir) || set_has(&plan->made, dir))
        return true;
    if (set_has(&plan->put, dir))
        return err_set(err, ERR_INVALID, "%.*s cannot be made: %.*s is to be a file", STR_ARG(path),
                       STR_ARG(dir));
    if (!spot_open(txn->ws, dir, txn->arena, &spot, NULL))
        return true; /* above the fence */
    bool is_there = spot.dir >= 0 && fstatat(spot.dir, spot.name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    bool is_missing = !is_there || (!S_ISDIR(st.st_mode) && set_has(&plan->removed, dir)), ok = true;
    if (is_missing) {
        set_add(&plan->made, txn->arena, dir);
        TxnDir made = {dir, mode_of_dir(plan->change, dir)};
        LIST_PUSH(txn->arena, txn->manifest.made_dirs, txn->manifest.made_dir_count, plan->made_capacity,
                  made);
        ok = spot_is_writable(&spot, err);
    } else if (S_ISDIR(st.st_mode)) {
        set_add(&plan->known, txn->arena, dir);
    } else if (S_ISLNK(st.st_mode)) {
        ok = err_beyond_link(err, path);
    } else {
        ok = err_set(err, ERR_CONFLICT, "%.*s cannot be made: %.*s is a file, not a folder", STR_ARG(path),
                     STR_ARG(dir));
    }
    spot_close(&spot);
    return ok;
}

/* Folders between the fence and a new file that are not there yet, outermost first. */
static bool plan_dirs_above(Plan *plan, Str path, Err *err) {
    Str parent = path_parent(path);
    if (!parent.len || set_has(&plan->known, parent) || set_has(&plan->made, parent))
        return true;
    for (size_t end = 1; (end = str_find_char(path, '/', end)) != STR_NONE; end++)
        if (!plan_dir(plan, str_slice(path, 0, end), path, err))
            return false;
    return true;
}

static bool clear_entry(Plan *plan, Str folder, const struct dirent *entry, bool *is_emptied, Err *err);

/* A folder in whose place a file is to stand: all that is in it must go in this change. */
static bool plan_cleared(Plan *plan, Str folder, bool is_top, Err *err) {
    Txn *txn = plan->txn;
    Spot spot;
    struct stat st;
    if (!spot_open(txn->ws, folder, txn->arena, &spot, err))
        return false;
    int fd = spot.dir < 0 ? -1 : open_retry(spot.dir, spot.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    bool ok = fd >= 0 || err_set_errno(err, errno, "cannot open the folder %.*s", STR_ARG(folder));
    ok = ok && is_writable_folder(fd, folder, err) && spot_is_writable(&spot, err);
    spot_close(&spot);
    DIR *dir = ok ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return ok ? err_set_errno(err, errno, "cannot read the folder %.*s", STR_ARG(folder)) : false;
    }
    bool is_emptied = is_top;
    for (struct dirent *entry; ok && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = clear_entry(plan, folder, entry, &is_emptied, err);
    if (ok && !is_emptied)
        ok = err_set(err, ERR_CONFLICT, "the empty folder %.*s is in the way of a file", STR_ARG(folder));
    if (ok && fstat(dirfd(dir), &st) == 0) {
        TxnDir cleared = {folder, st.st_mode & 07777};
        LIST_PUSH(txn->arena, txn->manifest.cleared_dirs, txn->manifest.cleared_dir_count,
                  plan->cleared_capacity, cleared);
    }
    closedir(dir);
    return ok;
}

static bool clear_entry(Plan *plan, Str folder, const struct dirent *entry, bool *is_emptied, Err *err) {
    Str path = str_printf(plan->txn->arena, "%.*s/%s", STR_ARG(folder), entry->d_name);
    if (path.len >= PATH_MAX)
        return err_set(err, ERR_LIMIT, "the path %.80s... is too long", path.ptr);
    if (path_is_protected(str_of(entry->d_name)))
        return err_set(err, ERR_DENIED, "%.*s is a repository of its own: no file can take its place",
                       STR_ARG(folder));
    *is_emptied = true;
    if (set_has(&plan->removed, path))
        return true;
    Spot spot;
    struct stat st;
    if (!spot_open(plan->txn->ws, path, plan->txn->arena, &spot, err))
        return false;
    bool is_folder =
        spot.dir >= 0 && fstatat(spot.dir, spot.name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
    spot_close(&spot);
    return is_folder ? plan_cleared(plan, path, false, err)
                     : err_set(err, ERR_UNSUPPORTED, "%.*s is a folder, not a file, and holds %s",
                               STR_ARG(folder), entry->d_name);
}

/* ---- names that look alike ---- */

static bool is_ascii(Str s) {
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return false;
    return true;
}

/* folder/name with the name in normalisation form C (Unicode Standard Annex 15); as it is when it is no
 * UTF-8. */
static Str nfc_key(Arena *arena, Str folder, Str name) {
    utf8proc_uint8_t *composed = NULL;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)name.ptr, (utf8proc_ssize_t)name.len,
                                      &composed, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    Str key = str_printf(arena, "%.*s/%.*s", STR_ARG(folder), n < 0 ? (int)name.len : (int)n,
                         n < 0 ? name.ptr : (const char *)composed);
    free(composed);
    return key;
}

static void list_names(Plan *plan, const Spot *spot, Str folder) {
    Arena *arena = plan->txn->arena;
    int fd = open_retry(spot->dir, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir && fd >= 0)
        close(fd);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        Str name = str_of(entry->d_name);
        Str path = folder.len ? str_printf(arena, "%.*s/%.*s", STR_ARG(folder), STR_ARG(name)) : name;
        if (!is_ascii(name) && !set_has(&plan->removed, path))
            set_add(&plan->names, arena, nfc_key(arena, folder, name));
    }
    if (dir)
        closedir(dir);
}

/* Refuses a new name whose normalised form is there already under another spelling: on one machine they are
 * two files, on another they are one. */
static bool check_spelling(Plan *plan, Str path, Err *err) {
    Txn *txn = plan->txn;
    Str folder = path_parent(path), name = folder.len ? str_from(path, folder.len + 1) : path;
    Spot spot;
    if (is_ascii(name))
        return true;
    if (set_add(&plan->listed, txn->arena, folder)) {
        if (!spot_open(txn->ws, path, txn->arena, &spot, err))
            return false;
        if (spot.dir >= 0)
            list_names(plan, &spot, folder);
        spot_close(&spot);
    }
    return set_add(&plan->names, txn->arena, nfc_key(txn->arena, folder, name)) ||
           err_set(err, ERR_CONFLICT,
                   "%.*s exists already, spelled with other Unicode characters that mean the same",
                   STR_ARG(path));
}

static bool plan_put(Plan *plan, size_t index, Err *err) {
    Txn *txn = plan->txn;
    Str path = txn->manifest.files[index].path;
    Spot spot;
    struct stat st;
    if (!plan_dirs_above(plan, path, err) || !spot_open(txn->ws, path, txn->arena, &spot, err))
        return false;
    bool is_there = spot.dir >= 0 && fstatat(spot.dir, spot.name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    spot_close(&spot);
    if (plan->change->files[index].seen.exists)
        return true; /* what stands there is looked at when it is staged */
    if (is_there && S_ISDIR(st.st_mode))
        return plan_cleared(plan, path, true, err);
    return is_there || check_spelling(plan, path, err);
}

bool txn_plan(Txn *txn, const Change *change, Err *err) {
    Plan plan = {.txn = txn, .change = change};
    Manifest *m = &txn->manifest;
    for (size_t i = 0; i < m->count; i++)
        set_add(change->files[i].is_removal ? &plan.removed : &plan.put, txn->arena, m->files[i].path);
    for (size_t i = 0; i < m->count; i++)
        if (!change->files[i].is_removal && !plan_put(&plan, i, err))
            return false;
    for (size_t i = change->made_mode_count; i-- > 0;) { /* also those that were empty */
        Str dir = change->made_modes[i].path;
        if (!plan_dirs_above(&plan, dir, err) || !plan_dir(&plan, dir, dir, err))
            return false;
    }
    for (size_t i = 0; i < m->count; i++) /* staging tells the rest; the order of steps needs this much */
        m->files[i].after.exists = !change->files[i].is_removal;
    manifest_mark(m, txn->arena);
    return true;
}

/* ---- the folders themselves ---- */

static bool make_dir(const Spot *spot, unsigned mode, Err *err) {
    int failed;
    do
        failed = spot->dir < 0 || mkdirat(spot->dir, spot->name, 0777);
    while (failed && spot->dir >= 0 && errno == EINTR);
    if (failed && (spot->dir < 0 || errno != EEXIST)) {
        if (spot->dir < 0)
            errno = ENOENT;
        return err_set_errno(err, errno, "cannot make the folder %.*s", STR_ARG(spot->shown));
    }
    if (!mode)
        return true;
    struct stat st;
    int fd = open_retry(spot->dir, spot->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0 && failed && errno == ENOTDIR)
        return true; /* a file stands there: the files tell */
    /* also when it was there: whoever made it may have been stopped before this */
    bool ok = fd >= 0 && fstat(fd, &st) == 0 &&
              ((st.st_mode & 07777) == mode || (fchmod(fd, mode) == 0 && sync_fd(fd)));
    if (!ok)
        err_set_errno(err, errno, "cannot restore the mode of the folder %.*s", STR_ARG(spot->shown));
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool make_dirs(Txn *txn, const TxnDir *dirs, size_t count, bool is_reversed, Err *err) {
    for (size_t i = 0; i < count; i++) {
        const TxnDir *dir = &dirs[is_reversed ? count - 1 - i : i];
        Spot spot;
        if (!spot_open(txn->ws, dir->path, txn->arena, &spot, err))
            return false;
        bool ok = make_dir(&spot, dir->mode, err);
        spot_close(&spot);
        if (!ok)
            return false;
    }
    return true;
}

bool txn_make_dirs(Txn *txn, Err *err) {
    return make_dirs(txn, txn->manifest.made_dirs, txn->manifest.made_dir_count, false, err);
}

bool txn_restore_dirs(Txn *txn, Err *err) {
    return make_dirs(txn, txn->manifest.cleared_dirs, txn->manifest.cleared_dir_count, true, err);
}

/* False: errno tells why. What is not there or no folder any more counts as removed. */
static bool remove_dir(Txn *txn, Str path) {
    Spot spot;
    errno = EACCES;
    if (!spot_open(txn->ws, path, txn->arena, &spot, NULL))
        return false;
    int failed = spot.dir < 0 ? 0 : unlinkat(spot.dir, spot.name, AT_REMOVEDIR);
    int e = errno;
    bool ok = !failed || e == ENOENT || e == ENOTDIR;
    if (spot.dir >= 0 && !failed && !sync_fd(spot.dir)) {
        e = errno;
        ok = false;
    }
    spot_close(&spot);
    errno = e;
    return ok;
}

/* Something was put into the folder, or a link in the way to it. */
static bool is_used_by_others(int error) {
    return error == ENOTEMPTY || error == EEXIST || error == ELOOP || error == EXDEV;
}

bool txn_clear_dirs(Txn *txn, Err *err) {
    for (size_t i = 0; i < txn->manifest.cleared_dir_count; i++) {
        Str path = txn->manifest.cleared_dirs[i].path;
        if (remove_dir(txn, path))
            continue;
        if (errno == ENOTEMPTY || errno == EEXIST)
            return err_set(err, ERR_CONFLICT, "something new was put into the folder %.*s meanwhile",
                           STR_ARG(path));
        return err_set_errno(err, errno, "cannot remove the folder %.*s", STR_ARG(path));
    }
    return true;
}

bool txn_remove_made_dirs(Txn *txn, Err *err) {
    for (size_t i = txn->manifest.made_dir_count; i-- > 0;) {
        Str path = txn->manifest.made_dirs[i].path;
        if (!remove_dir(txn, path) && !is_used_by_others(errno))
            return err_set_errno(err, errno, "cannot remove the folder %.*s", STR_ARG(path));
    }
    return true;
}

bool txn_remove_left_dirs(Txn *txn) {
    bool ok = true;
    for (size_t i = 0; i < txn->manifest.left_dir_count; i++)
        if (!remove_dir(txn, txn->manifest.left_dirs[i]) && !is_used_by_others(errno))
            ok = false;
    return ok;
}

static bool sync_folder_of(Txn *txn, Str path, StrSet *done, Err *err) {
    Spot spot;
    if (!set_add(done, txn->arena, path_parent(path)))
        return true;
    if (!spot_open(txn->ws, path, txn->arena, &spot, err))
        return false;
    bool ok = spot.dir < 0 || sync_fd(spot.dir) ||
              err_set_errno(err, errno, "cannot write the folder of %.*s", STR_ARG(path));
    spot_close(&spot);
    return ok;
}

bool txn_sync_dirs(Txn *txn, Err *err) {
    const Manifest *m = &txn->manifest;
    StrSet done = {0};
    for (size_t i = 0; i < m->count; i++)
        if (!sync_folder_of(txn, m->files[i].path, &done, err))
            return false;
    for (size_t i = 0; i < m->made_dir_count; i++)
        if (!sync_folder_of(txn, m->made_dirs[i].path, &done, err))
            return false;
    for (size_t i = 0; i < m->cleared_dir_count; i++)
        if (!sync_folder_of(txn, m->cleared_dirs[i].path, &done, err))
            return false;
    return true;
}
