/* Workspace: the user's files, seen through a fence and changed all or nothing.
 *
 * Calling sequence:
 *   Workspace *ws = ws_open(&config, file_io_disk(), &err);   // also finishes or undoes what a crash left
 *   ws_path(ws, S("src/a.c"), &arena, &path, &err);  ws_read(ws, path, &arena, &text, &err);
 *   Change *c = change_begin(ws, &err); change_put(c, path, stamp, text); ... change_commit(c, &info, &err);
 *   ws_close(ws);
 * One thread at a time per Workspace; two processes on one tree are kept apart by a lock during commits.
 *
 * A change is journalled before it is made: whatever stops the process, the next start (or ws_recover) finds
 * every file as it was before or as it should be after, and leaves alone what somebody else wrote meanwhile.
 * This relies on the file system doing one rename or exchange of names wholly or not at all.
 *
 * State (journal, backups, lock) lives in .git/mux of the repository's git folder or, without git, in .mux
 * with an ignore entry.
 */
#ifndef MUX_WORKSPACE_WORKSPACE_H
#define MUX_WORKSPACE_WORKSPACE_H

#include <stdatomic.h>

#include "workspace/files.h"

typedef struct Workspace Workspace;

typedef struct WorkspaceConfig {
    Str root;               /* absolute folder */
    const Str *extra_roots; /* absolute folders that may be read and written too */
    size_t extra_root_count;
    bool read_only;      /* no state folder is made, no recovery is run, commits are refused */
    bool recovers_later; /* opening runs no recovery: the caller wants ws_recover's report */
    /* How many backups are kept; 0 = 50 changes, 30 days, 200 MiB. The newest is always kept. */
    size_t backup_count, backup_days, backup_bytes;
    /* May be NULL. Asked while files are listed and between the files of a change: when it is true before the
     * commit point, what was done is undone (ERR_CANCELLED). */
    const atomic_bool *cancelled;
} WorkspaceConfig;

/* ERR_INVALID relative root, ERR_NOT_FOUND, ERR_IO. Leaves the tree untouched except for recovery (skipped
 * when read_only or recovers_later). */
Workspace *ws_open(const WorkspaceConfig *config, FileIo io, Err *err);
void ws_close(Workspace *ws);     /* NULL is fine */
Str ws_root(const Workspace *ws); /* canonical, no final slash */

/* A checked place: canonical absolute path inside a root, and the path relative to ws_root for display
 * (absolute when it lies in an extra root). */
typedef struct Path {
    Str absolute, relative;
} Path;

/* Relative (to the root) or absolute or file:// URI -> Path. ERR_DENIED outside the roots (also through
 * symlinks), inside .git or our own state. The file itself need not exist. */
bool ws_path(Workspace *ws, Str given, Arena *arena, Path *out, Err *err);

/* Hooks and settings that other programs run without asking (.vscode, .zed, .husky, .github/workflows, .envrc
 * and the like): may be written, but not before the user saw that very change, whatever the mode. */
bool ws_needs_consent(Path path);

/* What was seen of a file: its content hash decides. */
typedef struct Stamp {
    bool exists;
    bool is_link; /* a symbolic link; the hash is that of its target's name */
    unsigned char sha256[32];
} Stamp;

typedef struct FileText {
    Str text; /* bytes as they are */
    Stamp stamp;
    bool has_crlf; /* most line ends are CRLF */
} FileText;

/* Through the FileIo. Missing file: ERR_NOT_FOUND. Binary (NUL): ERR_UNSUPPORTED. Over FILE_MAX_BYTES:
 * ERR_LIMIT. */
bool ws_read(Workspace *ws, Path path, Arena *arena, FileText *out, Err *err);
Stamp stamp_of(Str text);

/* What stands at a name, no link followed, neither in the folders above nor at the end: for patches, which
 * name files themselves. Not through the FileIo. */
typedef struct Entry {
    bool exists, is_folder, is_link; /* exists alone: a regular file */
    unsigned mode;                   /* permission bits */
    size_t links;                    /* hard links of a regular file */
    Str text;                        /* bytes (also binary), or a link's target; empty for a folder */
    Stamp stamp;
} Entry;
/* relative: below the root, plain ("a/b", no "." or ".."). Missing: exists false (also when a folder above is
 * missing, or a file). ERR_DENIED: not plain, version control or our own state, a link in a folder above.
 * ERR_UNSUPPORTED: a device, socket or pipe. ERR_LIMIT over max_bytes. out->text is whole: one read of a file
 * that changes meanwhile is ERR_CONFLICT. */
bool ws_entry(Workspace *ws, Str relative, size_t max_bytes, Arena *arena, Path *path, Entry *out, Err *err);

/* ---- finding ---- */

typedef struct FileList {
    Str *paths; /* relative to the root, sorted bytewise */
    size_t count;
    bool is_truncated;
} FileList;
/* Tracked and untracked-not-ignored regular files (libgit2), or a walk honouring .gitignore files without
 * git. Our state and .git are never listed. */
bool ws_list(Workspace *ws, Arena *arena, FileList *out, Err *err);

typedef struct Query {
    Str pattern;
    bool is_fixed; /* a literal, not a PCRE2 regex */
    bool ignore_case;
    bool whole_word;
    bool include_hidden;          /* names that start with a dot too, as in .github */
    size_t max_hits;              /* 0 = 10000 */
    size_t max_text;              /* bytes of a line kept in a hit; 0 = 4 KiB */
    const atomic_bool *cancelled; /* NULL: the workspace's; asked between files */
} Query;

typedef struct Hit {
    Str path;      /* relative */
    size_t line;   /* from 1 */
    size_t column; /* byte, from 0 */
    size_t length; /* bytes matched */
    Str text;      /* the line without a byte order mark and its "\n"; a "\r" before that stays */
} Hit;

typedef struct Hits {
    Hit *items;
    size_t count;
    bool is_truncated;
    size_t files_searched;
} Hits;
/* Lines matching, one hit each (the first), as `rg -n --sort path` finds them: sorted by path (folder by
 * folder, names bytewise) then line; hidden, ignored (also when tracked), binary and over-large files are
 * passed over. The pattern never matches across lines. Bad pattern: ERR_INVALID with the offset; ERR_LIMIT:
 * it backtracks too much; ERR_CANCELLED. */
bool ws_find(Workspace *ws, const Query *query, Arena *arena, Hits *out, Err *err);

/* ---- git facts ---- */

typedef struct GitFacts {
    bool has_repository;
    Str workdir, branch; /* branch empty when detached or unborn */
    bool is_dirty; /* a tracked file differs from the last commit, staged or not; untracked files do not count
                    */
} GitFacts;
bool ws_git(Workspace *ws, Arena *arena, GitFacts *out, Err *err);
bool ws_is_ignored(Workspace *ws, Path path);

/* ---- changing, all or nothing ---- */

typedef struct Change Change;
typedef struct ChangeInfo {
    char id[32]; /* names the backup: mux-acp undo ID (its number alone will do) */
    size_t files;
} ChangeInfo;

Change *change_begin(Workspace *ws, Err *err);
/* Replaces or creates (seen.exists false) a file. Copies nothing: text must live until commit. Sticky error,
 * told by commit. */
void change_put(Change *change, Path path, Stamp seen, Str text);
void change_remove(Change *change, Path path, Stamp seen);
/* A symbolic link to target (at most PATH_MAX - 1 bytes, never followed) where seen was. Through an editor it
 * is made on disk. */
void change_put_link(Change *change, Path path, Stamp seen, Str target);
/* After put: 0644 or 0755. Set-id bits go, as when a program is written to. Of an existing file only the
 * executable bits follow; a new one is made with the umask. */
void change_set_mode(Change *change, Path path, unsigned mode);
/* A sentence for the backup's list ("Rename a to b"). */
void change_describe(Change *change, Str title);

typedef struct ChangedFile {
    Path path;
    Str sent;  /* the text we gave, not copied */
    Str found; /* the text read back after an editor took it; equal to sent unless it was reformatted */
    bool is_reformatted;
    bool had_hard_links; /* other names of the replaced file keep its old text */
} ChangedFile;
typedef struct ChangeReport {
    ChangedFile *items; /* in the order of the calls above; removals have no texts */
    size_t count;
} ChangeReport;
/* Asks commit to fill *out (which lives in arena, and must stay until then) when it succeeds. */
void change_report(Change *change, Arena *arena, ChangeReport *out);
/* On disk: lock, journal, stage + fsync, stale check by content hash (ERR_CONFLICT names the file), exchange,
 * fsync, commit point. Through an editor: backup, re-read and compare every target, write each after one more
 * look, read back; on a failure what was written is put back where nobody changed it since. After a crash
 * what is on disk decides: texts that an editor had not saved are its own. What an editor cannot hold (links,
 * binary and very large files, removals, modes) is done on disk in the same change. A file may become a
 * folder and the reverse when the change says both; other folders stay when they become empty. ERR_CONFLICT:
 * changed since it was read, or open for writing in another program, or a name that differs from one that is
 * there only by its Unicode characters. ERR_DENIED: a read-only file or folder. ERR_UNSUPPORTED: a device,
 * pipe or folder. Frees the change either way. */
bool change_commit(Change *change, ChangeInfo *out, Err *err);
void change_abandon(Change *change); /* NULL is fine */

typedef struct Backup {
    Str id, title;
    double unix_seconds;
    size_t files;
    Str *paths;              /* relative */
    bool is_undone, is_undo; /* taken back; takes another one back */
} Backup;
typedef struct BackupList {
    Backup *items; /* newest first */
    size_t count;
} BackupList;
bool ws_backups(Workspace *ws, Arena *arena, BackupList *out, Err *err);

/* One file of a change. */
typedef struct BackupFile {
    Path path;
    bool existed, exists; /* before and after the change */
    bool has_texts;       /* false: a link, binary or large, or what it became is not kept any more */
    Str before, after;
} BackupFile;
/* What the change with this id did; empty = the newest that is neither undone nor an undo. ERR_NOT_FOUND. */
bool ws_backup_files(Workspace *ws, Str id, Arena *arena, BackupFile **out, size_t *count, Err *err);

/* Takes a change back as a transaction of its own; id empty = the newest that is neither undone nor an undo.
 * Undoing an undo by its id does the change again. ERR_CONFLICT when a file was changed since, ERR_NOT_FOUND,
 * ERR_INVALID when it is undone already, ERR_IO when its backup is damaged. Folders that the change had made
 * go when they are empty. Which backups are kept is WorkspaceConfig's. */
bool ws_undo(Workspace *ws, Str id, ChangeInfo *out, Err *err);

typedef struct RecoverReport {
    size_t finished, rolled_back, cleaned; /* transactions */
    size_t conflicts;                      /* files that a third party wrote: left as they are */
} RecoverReport;
/* Undoes what a crash left, or finishes it when only the commit point was missing or the way back is damaged
 * (ws_open does it too). ERR_CONFLICT while another process holds the lock: nothing is left over then, it is
 * still being made. */
bool ws_recover(Workspace *ws, RecoverReport *out, Err *err);

#endif
