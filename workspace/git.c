/* What libgit2 is asked for: the index, the state of the work tree, the user's exclude file. The library is
 * started at first need, never when a workspace is opened. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <git2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "workspace/workspace_internal.h"

git_repository *git_open(Workspace *ws) {
    if (!ws->has_git || ws->is_repository_tried)
        return ws->repository;
    ws->is_repository_tried = true;
    Arena scratch = {0};
    if (git_libgit2_init() < 0) { /* it looks into the home folder, which may be closed to us */
        log_line(LOG_WARN,
                 "libgit2 cannot start, so the git index is not read; make HOME a folder that can be read");
        arena_free(&scratch);
        return NULL;
    }
    /* Whose repository it is does not matter here: nothing it configures is ever run. */
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
    if (git_repository_open(&ws->repository, str_cstr(&scratch, ws->anchor.path)) != 0) {
        ws->repository = NULL;
        git_libgit2_shutdown();
    }
    arena_free(&scratch);
    return ws->repository;
}

static bool git_failed(Err *err, const char *what) {
    const git_error *last = git_error_last();
    return err_set(err, ERR_IO, "git: %s: %s", what,
                   last && last->message ? last->message : "unknown reason");
}

Str git_excludes_file(Workspace *ws, Arena *arena) {
    git_repository *repository = git_open(ws);
    git_config *config = NULL;
    git_buf path = {0};
    Str found = {0};
    if (repository && git_repository_config_snapshot(&config, repository) == 0 &&
        git_config_get_path(&path, config, "core.excludesfile") == 0)
        found = str_copy(arena, str_of(path.ptr));
    git_buf_dispose(&path);
    git_config_free(config);
    if (found.len)
        return found;
    const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (base && *base)
        return str_printf(arena, "%s/git/ignore", base);
    return home && *home ? str_printf(arena, "%s/.config/git/ignore", home) : S("");
}

bool git_tracked(Workspace *ws, Arena *arena, FileList *out, Err *err) {
    *out = (FileList){0};
    git_repository *repository = git_open(ws);
    git_index *index = NULL;
    if (!repository)
        return git_failed(err, "cannot open the repository");
    if (git_repository_index(&index, repository) != 0)
        return git_failed(err, "cannot read the index");
    git_index_read(index, false);
    Str base = path_below(ws->anchor.path, ws->roots[0].path);
    Str prefix = str_eq(base, S(".")) ? S("") : str_concat(arena, base, S("/"));
    size_t capacity = 0, count = git_index_entrycount(index);
    for (size_t i = 0; i < count; i++) {
        const git_index_entry *entry = git_index_get_byindex(index, i);
        Str path = str_of(entry->path);
        struct stat st;
        bool is_file = entry->mode == GIT_FILEMODE_BLOB || entry->mode == GIT_FILEMODE_BLOB_EXECUTABLE;
        if (is_file && str_starts(path, prefix) &&
            fstatat(ws->anchor.fd, entry->path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            LIST_PUSH(arena, out->paths, out->count, capacity, str_copy(arena, str_from(path, prefix.len)));
    }
    git_index_free(index);
    return true;
}

static int stop_at_first(const char *path, unsigned flags, void *found) {
    (void)path;
    (void)flags;
    *(bool *)found = true;
    return GIT_EUSER;
}

static void fill_branch(git_repository *repository, Arena *arena, GitFacts *out) {
    git_reference *head = NULL;
    if (git_repository_head_detached(repository) != 1 && git_repository_head(&head, repository) == 0)
        out->branch = str_copy(arena, str_of(git_reference_shorthand(head)));
    git_reference_free(head);
}

bool ws_git(Workspace *ws, Arena *arena, GitFacts *out, Err *err) {
    *out = (GitFacts){0};
    if (!ws->has_git)
        return true;
    git_repository *repository = git_open(ws);
    if (!repository)
        return git_failed(err, "cannot open the repository");
    out->has_repository = true;
    out->workdir = ws->anchor.path;
    fill_branch(repository, arena, out);
    git_status_options options = {.version = GIT_STATUS_OPTIONS_VERSION,
                                  .flags = GIT_STATUS_OPT_EXCLUDE_SUBMODULES};
    int rc = git_status_foreach_ext(repository, &options, stop_at_first, &out->is_dirty);
    return rc == 0 || rc == GIT_EUSER || git_failed(err, "cannot compare the work tree with the index");
}
