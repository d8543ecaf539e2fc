/* What the files of this room share: roots, safe opening, hashing, the state folder and transactions. */
#ifndef MUX_WORKSPACE_WORKSPACE_INTERNAL_H
#define MUX_WORKSPACE_WORKSPACE_INTERNAL_H

#include <sys/stat.h>

#include "base/buf.h"
#include "workspace/workspace.h"

struct git_repository;

/* A folder nothing may escape from: its canonical path and an O_PATH descriptor that every later open starts
 * at. */
typedef struct Fence {
    Str path;
    int fd;
} Fence;

struct Workspace {
    Arena arena;
    FileIo io;
    bool read_only;
    Fence *roots; /* [0] is the root, then the extra ones */
    size_t root_count;
    Fence anchor; /* the folder that holds .git or .mux; transactions name files relative to it */
    bool has_git;
    Str git_dir;                       /* the real one, also for linked worktrees */
    struct git_repository *repository; /* opened at first need */
    bool is_repository_tried;
    int state_fd, lock_fd; /* open between state_enter and state_leave, else -1 */
};

/* ---- paths.c ---- */

bool path_is_inside(Str folder, Str path); /* equal to it or below it */
Str path_below(Str folder, Str path);      /* the rest of a path inside; "." for the folder itself */
bool path_is_protected(Str relative);      /* a component names version control or our state */
bool path_is_plain(Str relative); /* no empty, "." or ".." component, not absolute, no NUL, not too long */
Str path_parent(Str path);        /* "" when there is no slash */
bool path_resolve(Str absolute, Arena *arena, Str *out,
                  Err *err); /* symlinks followed; the end may be missing */
/* The fence (a root, or the anchor when has_anchor) an absolute canonical path lies in; NULL when in none. */
const Fence *path_fence(const Workspace *ws, Str absolute, bool has_anchor);
/* openat2 below a fence without following any symlink; -1 and errno. */
int open_beneath(int fence_fd, const char *relative, int flags);

/* ---- hash.c ---- */

/* Reads fd to its end; copies to copy_fd unless that is -1. */
bool hash_fd(int fd, int copy_fd, unsigned char sha256[32], Err *err);
void hash_hex(const unsigned char sha256[32], char out[65]);
bool hash_parse(Str hex, unsigned char sha256[32]);
bool stamp_eq(Stamp a, Stamp b);

/* ---- files.c ---- */

bool disk_read(void *ctx, Str path, Arena *arena, Str *text, Err *err);

/* ---- git.c ---- */

struct git_repository *git_open(Workspace *ws);     /* NULL without a repository; owned by the workspace */
Str git_excludes_file(Workspace *ws, Arena *arena); /* core.excludesFile or its default; empty when unknown */
/* Regular files of the index, relative to the work tree. */
bool git_tracked(Workspace *ws, Arena *arena, FileList *out, Err *err);

/* ---- list.c ---- */

typedef struct WalkRules {
    bool has_hidden;       /* names that start with a dot too */
    bool has_search_rules; /* .ignore and .rgignore count */
    bool has_nested;       /* descend into repositories inside this one */
} WalkRules;
/* Regular files below the root that no ignore rule excludes, in no particular order. */
bool list_walk(Workspace *ws, WalkRules rules, Arena *arena, FileList *out, Err *err);

/* ---- state.c: the state folder, its lock, the transactions in it ---- */

/* Opens the state folder and takes its lock. make: create the folder. wait_ms: how long to wait for another
 * process. ERR_NOT_FOUND: there is no state folder; ERR_CONFLICT: another process holds the lock. */
bool state_enter(Workspace *ws, bool make, double wait_ms, Err *err);
void state_leave(Workspace *ws);
/* The state folder without its lock, for reading; -1 when there is none. */
int state_peek(const Workspace *ws);

typedef struct TxnNames {
    Str *ids; /* oldest first */
    size_t count;
} TxnNames;
/* The folders in txn/ whose names are ids. */
bool txn_names(int state_fd, Arena *arena, TxnNames *out, Err *err);
bool remove_below(int dir_fd,
                  const char *name); /* a file, or a folder with all that is in it; no symlink followed */
int open_retry(int dir_fd, const char *name, int flags, unsigned mode); /* openat, EINTR retried */
bool sync_fd(int fd);                                                   /* fsync, EINTR retried */
/* Whole small file below a folder descriptor; ERR_NOT_FOUND, ERR_LIMIT, ERR_IO. */
bool read_at(int dir_fd, const char *name, size_t max_bytes, Arena *arena, Str *out, Err *err);
/* Adds "; note" to the sentence. Returns false. */
bool err_note(Err *err, const char *note);

/* ---- manifest.c ---- */

typedef struct TxnFile {
    Str path; /* relative to the anchor, or absolute in an extra root */
    Stamp before, after;
    unsigned mode_before, mode_after; /* permission bits; 0 where the file does not exist */
} TxnFile;

typedef struct Manifest {
    Str id, undoes, title; /* undoes: the id of the change this one takes back, or empty */
    double unix_seconds;
    bool is_by_editor;  /* written through the editor, which may not have saved yet */
    uint64_t old_bytes; /* size of the backup */
    TxnFile *files;
    size_t count;
    Str *made_dirs; /* outermost first; same form as TxnFile.path */
    size_t made_dir_count;
    Str *left_dirs; /* removed after the commit if they are empty, innermost first */
    size_t left_dir_count;
} Manifest;

#define MANIFEST_MAX_BYTES ((size_t)64 << 20)

void manifest_print(const Manifest *manifest, Buf *out);
/* Checks version, checksum and every path; nothing it answers can name a place outside the tree or inside
 * .git. */
bool manifest_parse(Str bytes, Arena *arena, Manifest *out, Err *err);

/* ---- txn.c ---- */

/* An open parent folder and a name in it. dir is -1 when the parent folder does not exist. */
typedef struct Spot {
    int dir;
    const char *name;
    Str shown; /* for sentences */
} Spot;

typedef struct Look {
    Stamp stamp;
    bool is_other; /* there is something, but no regular file */
    struct stat st;
} Look;

typedef struct Txn {
    Workspace *ws;
    Arena *arena;
    Manifest manifest;
    int txns_fd, fd, old_fd, new_fd; /* txn/, txn/ID, txn/ID/old, txn/ID/new; -1 when closed or missing */
    struct stat *seen;               /* of each target when it was planned */
    bool *is_written;                /* by the editor, so far */
} Txn;

Str txn_path_of(const Workspace *ws, Str absolute);            /* absolute -> the form in manifests */
Str txn_absolute(const Workspace *ws, Str path, Arena *arena); /* and back */
bool spot_open(const Workspace *ws, Str txn_path, Arena *arena, Spot *out, Err *err);
void spot_close(Spot *spot);
bool spot_look(const Spot *spot, Look *out, Err *err);
/* Puts a staged file (a name below txn/ID) in the spot, or removes what is there when staged is NULL,
 * provided that `expected` is what is there; that ends up staged or as txn_gone_name. ERR_CONFLICT leaves the
 * spot as it was found. */
bool txn_place(Txn *txn, size_t index, const Spot *spot, const char *staged, Stamp expected, Err *err);
void txn_new_name(size_t index, char out[32]);  /* new/N: the new text, after placing the displaced one */
void txn_gone_name(size_t index, char out[32]); /* gone-N: what a removal displaced */
void txn_unlink_temp(const Txn *txn, size_t index, const Spot *spot);
bool txn_write_manifest(Txn *txn, Err *err);
bool txn_sync_dirs(Txn *txn, Err *err); /* fsync of every folder that the transaction touched */
bool txn_commit(Txn *txn, Err *err);    /* the commit point */
void txn_close(Txn *txn);
void txn_discard(Txn *txn); /* removes the folder of a transaction that is not to be kept */
bool txn_make_dirs(Txn *txn, Err *err);
void txn_remove_dirs(Txn *txn, const Str *dirs, size_t count, bool is_reversed); /* those that are empty */
void txn_tidy(Txn *txn); /* after the commit point: empty folders, spent files */
/* A copy of a file of the transaction's folder under another name there, with owner and mode, synced; its
 * hash in out. */
bool txn_copy(Txn *txn, const char *from, const char *to, unsigned mode, unsigned char sha256[32], Err *err);

/* ---- txn_recover.c ---- */

bool txn_open(Workspace *ws, int state_fd, Str id, const char *manifest_name, Arena *arena, Txn *out,
              Err *err);
/* Restores every file to what it was before; files that hold neither text are left and counted. */
bool txn_roll_back(Txn *txn, size_t *conflicts, Err *err);
bool recover_locked(Workspace *ws, RecoverReport *out, Err *err); /* between state_enter and state_leave */

/* ---- change.c ---- */

typedef struct ChangeFile {
    Path path;
    Stamp seen;
    Str text;
    bool is_removal;
    bool has_mode, is_exact_mode; /* exact: all bits as given; else only executable or not */
    unsigned mode;
    const struct stat *owner; /* of a file that is made again, or NULL */
} ChangeFile;

struct Change {
    Workspace *ws;
    Arena arena;
    ChangeFile *files;
    size_t count, capacity;
    Str title, undoes;
    Str *left_dirs;
    size_t left_dir_count;
    Err err;
    bool has_failed;
};

/* ---- txn.c, disk; change_editor.c, editor ---- */

bool txn_begin(Txn *txn, const Change *change, Err *err);
bool txn_stage(Txn *txn, size_t index, const ChangeFile *file, Err *err);
/* old/N or new/N below a folder of the transaction, made anew; -1 and a sentence. */
int txn_create(int dir_fd, size_t index, unsigned mode, Err *err);
bool txn_is_writable(const Spot *spot, const struct stat *st,
                     Err *err); /* ERR_DENIED for a read-only file or folder */
bool txn_prepare(Txn *txn, Err *err);
bool txn_check(Txn *txn, Err *err);
bool txn_apply(Txn *txn, Err *err);
bool editor_stage(Txn *txn, size_t index, const ChangeFile *file, Err *err);
bool editor_apply(Txn *txn, const Change *change, Err *err);
bool editor_roll_back(Txn *txn, const Change *change, Err *err);

/* ---- backup.c ---- */

#define BACKUP_KEEP_COUNT 50
#define BACKUP_KEEP_DAYS 30
#define BACKUP_KEEP_BYTES ((uint64_t)200 << 20)
/* Removes the oldest backups beyond those limits, never the newest; under the lock. */
void backup_prune(int state_fd);

#endif
