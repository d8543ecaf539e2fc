/* apply: a unified diff onto a tree, all files or none. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acp/commands/commands.h"
#include "acp/house.h"
#include "base/os.h"
#include "diff/patch.h"
#include "workspace/workspace.h"

#define PATCH_MAX_BYTES ((size_t)64 << 20)

/* One path that the patch touches: as it was on disk, and as the sections so far leave it. */
typedef struct Target {
    Path path;
    Stamp seen;
    Str text;
    bool exists, is_touched;
    unsigned mode; /* 0: as it is */
} Target;

typedef struct ApplyJob {
    Arena arena;
    Workspace *ws;
    PatchOptions options;
    Patch patch;
    Target **targets;
    size_t count, capacity;
} ApplyJob;

static bool read_stdin(Arena *arena, Str *out, Err *err) {
    Buf text = {0};
    ssize_t n = 1;
    while (n > 0 && text.len <= PATCH_MAX_BYTES && buf_reserve(&text, 65536)) {
        n = read(STDIN_FILENO, text.ptr + text.len, 65536);
        text.len += n > 0 ? (size_t)n : 0;
    }
    *out = buf_copy(&text, arena);
    bool is_whole = n == 0 && !text.failed;
    buf_free(&text);
    return is_whole || err_set(err, n < 0 ? ERR_IO : ERR_LIMIT, "the patch on stdin cannot be read whole");
}

/* The target of a path, read at first sight. */
static Target *find_target(ApplyJob *job, Str name, Err *err) {
    Path path;
    if (!ws_path(job->ws, name, &job->arena, &path, err))
        return NULL;
    for (size_t i = 0; i < job->count; i++)
        if (str_eq(job->targets[i]->path.absolute, path.absolute))
            return job->targets[i];
    Err why = {0};
    FileText file;
    Target *target = ARENA_NEW(&job->arena, Target);
    target->path = path;
    target->text = S("");
    target->exists = ws_read(job->ws, path, &job->arena, &file, &why);
    if (target->exists) {
        target->text = file.text;
        target->seen = file.stamp;
    } else if (why.code != ERR_NOT_FOUND) {
        *err = why;
        return NULL;
    }
    LIST_PUSH(&job->arena, job->targets, job->count, job->capacity, target);
    return target;
}

static bool is_file_mode(unsigned mode) {
    return mode == 0 || (mode & 0170000) == 0100000;
}

static bool apply_section(ApplyJob *job, const PatchFile *file, Err *err) {
    if (!is_file_mode(file->old_mode) || !is_file_mode(file->new_mode))
        return err_set(err, ERR_UNSUPPORTED, "line %zu of the patch is about a link or submodule, not a file",
                       file->line);
    bool has_old = file->kind != PATCH_CREATE, has_new = file->kind != PATCH_DELETE;
    bool is_moved = file->kind == PATCH_RENAME || file->kind == PATCH_COPY;
    /* Names that differ without a word of renaming: git writes the new one and removes the old. */
    bool is_elsewhere = file->kind == PATCH_MODIFY && !str_eq(file->old_path, file->new_path);
    Target *from = has_old ? find_target(job, file->old_path, err) : NULL;
    Target *to = !has_new                                ? from
                 : has_old && !is_moved && !is_elsewhere ? from
                                                         : find_target(job, file->new_path, err);
    if ((has_old && !from) || !to)
        return false;
    if (has_old && !from->exists)
        return err_set(err, ERR_NOT_FOUND, "%.*s is not there", STR_ARG(file->old_path));
    /* Like git, only what is on disk stands in the way, not what the patch itself made before. */
    if ((!has_old || is_moved) && to->exists && to->seen.exists && to != from)
        return err_set(err, ERR_CONFLICT, "%.*s exists already", STR_ARG(file->new_path));
    Str text;
    if (!patch_apply(file, has_old ? from->text : S(""), &job->options, &job->arena, &text, NULL, err))
        return false;
    if (!has_new && text.len)
        return err_set(err, ERR_CONFLICT, "%.*s holds more than the patch deletes", STR_ARG(file->old_path));
    if (file->kind == PATCH_RENAME || is_elsewhere) {
        from->exists = false;
        from->is_touched = true;
    }
    to->text = text;
    to->exists = has_new;
    to->is_touched = true;
    to->mode = has_new ? file->new_mode : 0;
    return true;
}

static bool commit(ApplyJob *job, ChangeInfo *info, Err *err) {
    Change *change = change_begin(job->ws, err);
    if (!change)
        return false;
    change_describe(change, S("Apply a patch"));
    for (size_t i = 0; i < job->count; i++) {
        Target *target = job->targets[i];
        if (!target->is_touched)
            continue;
        if (target->exists)
            change_put(change, target->path, target->seen, target->text);
        else if (target->seen.exists)
            change_remove(change, target->path, target->seen);
        if (target->exists && target->mode)
            change_set_mode(change, target->path, target->mode & 0777);
    }
    return change_commit(change, info, err);
}

static bool apply_patch(ApplyJob *job, const Settings *settings, ChangeInfo *info, Err *err) {
    Str text, root;
    const char *file = settings->word_count ? settings->words[0] : "-";
    bool ok = strcmp(file, "-") == 0 ? read_stdin(&job->arena, &text, err)
                                     : os_read_file(file, PATCH_MAX_BYTES, &job->arena, &text, err);
    if (!ok || !patch_parse(text, &job->options, &job->arena, &job->patch, err))
        return false;
    bool only_check = settings_has(settings, OPT_CHECK);
    if (!house_folder(settings_has(settings, OPT_ROOT) ? settings->values[OPT_ROOT] : ".", &job->arena, &root,
                      err))
        return false;
    job->ws = ws_open(&(WorkspaceConfig){.root = root, .read_only = only_check}, file_io_disk(), err);
    if (!job->ws)
        return false;
    for (size_t i = 0; i < job->patch.count; i++)
        if (!apply_section(job, &job->patch.files[i], err))
            return false;
    return only_check || commit(job, info, err);
}

static bool print_result(const ApplyJob *job, bool ok, bool only_check, const ChangeInfo *info,
                         const Err *err) {
    Json *json = json_object();
    json_put_bool(json, "ok", ok);
    json_put_bool(json, "applied", ok && !only_check);
    Json *paths = json_put_array(json, "paths");
    for (size_t i = 0; i < job->count; i++)
        if (job->targets[i]->is_touched)
            json_push(paths, json_text(job->targets[i]->path.relative));
    json_put_int(json, "files", (int64_t)json_len(paths));
    json_put(json, "backup", info->id[0] ? json_text(str_of(info->id)) : cJSON_CreateNull());
    if (!ok)
        json_put_str(json, "error", str_of(err->text));
    return command_print_json(json);
}

static int run(const Settings *settings) {
    if (settings->word_count > 1)
        return command_usage(&COMMAND_APPLY, "one patch at a time");
    ApplyJob job = {.options = {.strip = (int)settings_count(settings, OPT_STRIP, 1),
                                .reverse = settings_has(settings, OPT_REVERSE),
                                .recount = settings_has(settings, OPT_RECOUNT),
                                .unidiff_zero = settings_has(settings, OPT_UNIDIFF_ZERO)}};
    Err err = {0};
    ChangeInfo info = {0};
    bool ok = apply_patch(&job, settings, &info, &err);
    ws_close(job.ws);
    int status = ok ? STATUS_DONE : STATUS_FAILED;
    if (settings_has(settings, OPT_JSON)) {
        if (!print_result(&job, ok, settings_has(settings, OPT_CHECK), &info, &err))
            status = STATUS_FAILED;
    } else if (!ok) {
        command_fail("apply", status, &err);
    } else if (info.id[0]) {
        fprintf(stderr, "%zu file%s changed; mux-acp undo %s takes it back\n", info.files,
                info.files == 1 ? "" : "s", info.id);
    }
    arena_free(&job.arena);
    return status;
}

const Command COMMAND_APPLY = {
    "apply",
    "[--root DIR] [-pN] [--check] [--reverse] [--recount] [--unidiff-zero] [--json] [FILE]",
    "applies a unified diff, all files or none, with a backup",
    OPTION(ROOT) | OPTION(STRIP) | OPTION(CHECK) | OPTION(REVERSE) | OPTION(RECOUNT) | OPTION(UNIDIFF_ZERO) |
        OPTION(JSON),
    run,
};
