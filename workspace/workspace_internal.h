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
    const atomic_bool *cancelled; /* may be NULL */
    Fence *roots;                 /* [0] is the root, then the extra ones */
    size_t root_count;
    Fence anchor; /* the folder that holds .git or .mux; transactions name files relative to it */
    bool has_git;
    Fence git; /* the repository's git folder, the real one also for linked worktrees */
    size_t keep_count, keep_days;
    uint64_t keep_bytes;
    struct git_repository *repository; /* opened at first need */
    bool is_repository_tried;
    int state_fd, lock_fd; /* open between state_enter and state_leave, else -1 */
};

/* ---- paths.c ---- */

bool path_is_inside(Str folder, Str path); /* equal to it or below it */
Str path_below(Str folder, Str path);      /* the rest of a path inside; "." for the folder itself */
bool path_is_protected(Str relative);      /* a component names git's folder or our state */
bool path_is_fixed(Str relative); /* a component names another version control: to be read, never written */
/* Neither read nor written: protected, or inside of the repository's git folder wherever that is. */
bool path_is_forbidden(const Workspace *ws, Str absolute, Str below);
bool path_is_plain(Str relative); /* no empty, "." or ".." component, not absolute, no NUL, not too long */
Str path_parent(Str path);        /* "" when there is no slash */
bool path_resolve(Str absolute, Arena *arena, Str *out,
                  Err *err); /* symlinks followed; the end may be missing */
/* The fence (a root, or the anchor when has_anchor) an absolute canonical path lies in; NULL when in none. */
const Fence *path_fence(const Workspace *ws, Str absolute, bool has_anchor);
/* openat2 below a fence without following any symlink; -1 and errno. */
int open_beneath(int fence_fd, const char *relative, int flags);

/* ---- hash.c ---- */

Stamp stamp_of_link(Str target);
/* Reads fd to its end; copies to copy_fd unless that is -1. */
bool hash_fd(int fd, int copy_fd, unsigned char sha256[32], Err *err);
/* All of `in` to `out` (open for reading too), sharing blocks where the file system can, else leaving holes;
 * the hash of what `out` holds. */
bool file_copy(int in, int out, unsigned char sha256[32], Err *err);
void hash_hex(const unsigned char sha256[32], char out[65]);
bool hash_parse(Str hex, unsigned char sha256[32]);
bool stamp_eq(Stamp a, Stamp b);

/* ---- entry.c ---- */

bool link_target(int dir, const char *name, Arena *arena, Str *out, Err *err);

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
    unsigned mode_before, mode_after; /* permission bits; 0 where the file does not exist or is a link */
    /* told by manifest_mark: */
    bool shares_name; /* a folder of the same name stands there before or afterwards: it counts as no file */
    bool goes_first;  /* a removal that makes room: for a folder, or for a file in place of its folder */
} TxnFile;

typedef struct TxnDir {
    Str path;
    unsigned mode; /* 0: as the umask says */
} TxnDir;

typedef struct Manifest {
    Str id, undoes, title; /* undoes: the id of the change this one takes back, or empty */
    double unix_seconds;
    bool is_by_editor;  /* written through the editor, which may not have saved yet */
    uint64_t old_bytes; /* size of the backup */
    TxnFile *files;
    size_t count;
    TxnDir *cleared_dirs; /* folders that give their name to a file, innermost first */
    size_t cleared_dir_count;
    TxnDir *made_dirs; /* outermost first; same form as TxnFile.path */
    size_t made_dir_count;
    Str *left_dirs; /* removed after the commit if they are empty, innermost first */
    size_t left_dir_count;
} Manifest;

#define MANIFEST_MAX_BYTES ((size_t)64 << 20)

void manifest_print(const Manifest *manifest, Buf *out);
void manifest_mark(Manifest *manifest, Arena *arena);
/* Checks version, checksum and every path; nothing it answers can name a place outside the tree or inside
 * .git. ERR_UNSUPPORTED: written by a newer version. */
bool manifest_parse(Str bytes, Arena *arena, Manifest *out, Err *err);

/* ---- txn_place.c ---- */

/* An open parent folder and a name in it. dir is -1 when the parent folder does not exist; what is beyond a
 * link does not either. */
typedef struct Spot {
    int dir;
    bool is_beyond_link;
    const char *name;
    Str shown; /* for sentences */
} Spot;

typedef struct Look {
    Stamp stamp;
    bool is_other; /* there is something, but neither a regular file nor a link */
    bool is_folder;
    struct stat st;
} Look;

typedef struct Txn {
    Workspace *ws;
    Arena *arena;
    Manifest manifest;
    int txns_fd, fd, old_fd, new_fd; /* txn/, txn/ID, txn/ID/old, txn/ID/new; -1 when closed or missing */
    struct stat *seen;               /* of each target when it was planned */
    bool *is_written;                /* our text was put there, so far */
    bool has_temps;                  /* names beside the targets may be left */
} Txn;

Str txn_path_of(const Workspace *ws, Str absolute);            /* absolute -> the form in manifests */
Str txn_absolute(const Workspace *ws, Str path, Arena *arena); /* and back */
bool spot_open(const Workspace *ws, Str txn_path, Arena *arena, Spot *out, Err *err);
void spot_close(Spot *spot);
bool look_at(int dir, const char *name, Look *out, Err *err);
bool spot_look(const Spot *spot, Look *out, Err *err);
/* What was looked at is what was expected; a folder that shares its name with the file counts as no file. */
bool look_is(const TxnFile *file, const Look *look, Stamp expected);

typedef enum Quiet { QUIET_NO, QUIET_YES, QUIET_UNKNOWN } Quiet;
/* Whether some process has the file open for writing or mapped so, ourselves included; unknown where the file
 * system or its owner does not let us ask. */
Quiet file_quiet(int fd);
bool err_busy(Err *err, Str shown);
bool err_beyond_link(Err *err, Str shown);

/* Puts a staged file (a name below txn/ID) in the spot, or removes what is there when staged is NULL,
 * provided that `expected` is what is there; that ends up staged or as txn_gone_name. ERR_CONFLICT leaves the
 * spot as it was found. */
bool txn_place(Txn *txn, size_t index, const Spot *spot, const char *staged, Stamp expected, Err *err);
/* The same with a name in any folder of the spot's mount. */
bool spot_exchange(const Spot *spot, int dir, const char *name, Stamp expected, Err *err);
bool txn_changed_since(Err *err, const Spot *spot);
void txn_new_name(size_t index, char out[32]);  /* new/N: the new text, after placing the displaced one */
void txn_gone_name(size_t index, char out[32]); /* gone-N: what a removal displaced */
/* Beside the target, where our folder is on another mount: the new text, after placing the displaced one. */
void txn_temp_name(const Txn *txn, size_t index, char out[96]);
/* is_safe: what has that name is spent, not only an unfinished copy. False when one was there and could not
 * be removed; a sync of the folder is the caller's. */
bool txn_unlink_temp(const Txn *txn, size_t index, const Spot *spot, bool is_safe);
/* A copy of a file of the transaction's folder under another name there, with owner, attributes and mode,
 * synced; what it holds in *stamp. */
bool txn_copy(Txn *txn, const char *from, const char *to, unsigned mode, Stamp *stamp, Err *err);

/* ---- txn_plan.c ---- */

typedef struct StrSet {
    Str *slots;
    size_t count, capacity;
} StrSet;
bool set_has(const StrSet *set, Str key);
bool set_add(StrSet *set, Arena *arena, Str key); /* false: it was there */

bool spot_is_writable(const Spot *spot, Err *err); /* ERR_DENIED: the folder is not */
/* Folders to make and to clear, and names that may not stand side by side; reads only. */
bool txn_plan(Txn *txn, const Change *change, Err *err);
bool txn_make_dirs(Txn *txn, Err *err);
bool txn_clear_dirs(Txn *txn, Err *err);
bool txn_restore_dirs(Txn *txn, Err *err);     /* those that were cleared */
bool txn_remove_made_dirs(Txn *txn, Err *err); /* those that are empty */
bool txn_remove_left_dirs(Txn *txn);           /* false: one could not be, though it is empty */
bool txn_sync_dirs(Txn *txn, Err *err);        /* fsync of every folder that the transaction touched */

/* ---- txn.c ---- */

bool txn_write_manifest(Txn *txn, Err *err);
bool txn_apply_file(Txn *txn, size_t index, Err *err);
bool txn_commit(Txn *txn, Err *err); /* the commit point */
void txn_close(Txn *txn);
void txn_discard(Txn *txn); /* removes the folder of a transaction that is not to be kept */
void txn_tidy(Txn *txn);    /* after the commit point: empty folders, spent files */

/* ---- txn_recover.c ---- */

bool txn_open(Workspace *ws, int state_fd, Str id, const char *manifest_name, Arena *arena, Txn *out,
              Err *err);
/* Restores every file to what it was before; files that hold neither text are left and counted. */
bool txn_roll_back(Txn *txn, size_t *conflicts, Err *err);
/* A third party's text is still in our hands: the transaction is not to be discarded but put aside. */
bool txn_holds_foreign(Txn *txn);
/* After txn_roll_back: somebody wrote over our text, so that nobody but us has the one before it. */
bool txn_holds_before(Txn *txn);
/* Puts a transaction aside that must not be tried again; its backup stays for people to look at. */
bool txn_keep_aside(Txn *txn, Err *err);
bool recover_locked(Workspace *ws, RecoverReport *out, Err *err); /* between state_enter and state_leave */

/* ---- change.c ---- */

typedef struct ChangeFile {
    Path path;
    Stamp seen;
    Str text; /* of a link: its target */
    bool is_removal, is_link;
    bool has_mode, is_exact_mode; /* exact: all bits as given; else only executable or not */
    unsigned mode;
    bool has_backup; /* change->backup_dir's file of that number is copied instead of the text, with its owner
                      * and attributes */
    size_t backup_index;
    Stamp restored; /* what the backup must hold */
    bool had_hard_links, is_reformatted;
    bool is_by_disk; /* although the others go through an editor */
    bool is_taken;   /* the editor has the text: it was read back */
    Str found;       /* read back from an editor */
} ChangeFile;

struct Change {
    Workspace *ws;
    Arena arena;
    ChangeFile *files;
    size_t count, capacity;
    Str title, undoes;
    Str *left_dirs;
    size_t left_dir_count;
    int backup_dir;     /* the old/ of the change that is undone; -1: none */
    TxnDir *made_modes; /* of folders that are made again */
    size_t made_mode_count;
    Arena *report_arena;
    ChangeReport *report;
    Err err;
    bool has_failed;
};

/* ---- txn.c, disk; change_editor.c, editor ---- */

bool txn_begin(Txn *txn, const Change *change, Err *err);
bool txn_stage(Txn *txn, size_t index, const Change *change, ChangeFile *file, Err *err);
/* No two targets are one file under two names (letter case) that is not hard-linked. */
bool txn_check_twins(const Txn *txn, Err *err);
/* Access lists and other attributes, as far as the file system and our rights allow. */
void copy_attributes(int from, int to);
/* old/N or new/N below a folder of the transaction, made anew; -1 and a sentence. */
int txn_create(int dir_fd, size_t index, unsigned mode, Err *err);
bool txn_is_writable(const Spot *spot, const struct stat *st,
                     Err *err);                  /* ERR_DENIED for a read-only file or folder */
bool txn_is_cancelled(const Txn *txn, Err *err); /* true with ERR_CANCELLED */
bool txn_prepare(Txn *txn, Err *err);
bool txn_check(Txn *txn, Err *err);
bool txn_apply(Txn *txn, Err *err);
/* What an editor cannot hold (links, binary and very large files) is staged for the disk. */
bool editor_stage(Txn *txn, size_t index, const Change *change, ChangeFile *file, Err *err);
bool editor_apply(Txn *txn, Change *change, Err *err);
/* Puts back what we sent; files that hold anything else are left and counted. */
bool editor_roll_back(Txn *txn, const Change *change, size_t *conflicts, Err *err);

/* ---- backup.c ---- */

#define BACKUP_KEEP_COUNT 50
#define BACKUP_KEEP_DAYS 30
#define BACKUP_KEEP_BYTES ((uint64_t)200 << 20)
/* Removes the oldest backups beyond the workspace's limits, never the newest; under the lock. */
void backup_prune(const Workspace *ws);

#endif
