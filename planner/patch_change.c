#define _GNU_SOURCE
#include "planner/patch_change.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "diff/diff.h"

enum {
    MODE_FILE = 0100644,
    MODE_PROGRAM = 0100755,
    MODE_LINK = 0120000,
    PERMISSIONS = 0777,
    ANY_EXEC = 0100
};

typedef struct Looking {
    Workspace *ws;
    bool is_through_editor;
} Looking;

/* What the workspace told of an entry: the tag of a PatchEntry. */
typedef struct Seen {
    Path path;
    Stamp stamp;
} Seen;

/* ---- the tree ---- */

/* The text as the editor has it, where it is one that an editor can hold. */
static bool look_in_editor(const Looking *looking, Seen *seen, Entry *entry, Arena *arena, Err *err) {
    FileText read;
    Err why = {0};
    if (text_is_binary(entry->text) || entry->text.len > FILE_MAX_BYTES)
        return true;
    if (ws_read(looking->ws, seen->path, arena, &read, &why)) {
        entry->text = read.text;
        seen->stamp = read.stamp;
        return true;
    }
    if (why.code == ERR_LIMIT || why.code == ERR_UNSUPPORTED)
        return true;
    return err_set(err, why.code, "%s", why.text);
}

static bool look(void *ctx, Str path, Arena *arena, PatchEntry *out, Err *err) {
    const Looking *looking = ctx;
    Entry entry;
    Seen *seen = ARENA_NEW(arena, Seen);
    if (!ws_entry(looking->ws, path, PATCH_CHANGE_MAX_BYTES, arena, &seen->path, &entry, err))
        return false;
    seen->stamp = entry.stamp;
    if (looking->is_through_editor && entry.exists && !entry.is_folder && !entry.is_link &&
        !look_in_editor(looking, seen, &entry, arena, err))
        return false;
    *out = (PatchEntry){.exists = entry.exists,
                        .is_folder = entry.is_folder,
                        .mode = entry.is_link           ? MODE_LINK
                                : entry.mode & ANY_EXEC ? MODE_PROGRAM
                                                        : MODE_FILE,
                        .text = entry.text,
                        .tag = seen};
    return true;
}

/* Only asked for folders that look told of; the commit finds out by itself whether they are empty. */
static bool list(void *ctx, Str folder, Arena *arena, Str **names, size_t *count, Err *err) {
    const Looking *looking = ctx;
    Str path = str_printf(arena, "%.*s/%.*s", STR_ARG(ws_root(looking->ws)), STR_ARG(folder));
    DIR *dir = opendir(path.ptr);
    size_t capacity = 0;
    *names = NULL;
    *count = 0;
    if (!dir)
        return err_set_errno(err, errno, "cannot list %.*s", STR_ARG(folder));
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            LIST_PUSH(arena, *names, *count, capacity, str_copy(arena, str_of(entry->d_name)));
    closedir(dir);
    return true;
}

bool patch_change_plan(Workspace *ws, const PatchSourceText *source, Arena *arena, PatchPlan *out, Err *err) {
    Patch patch;
    Looking looking = {ws, source->is_through_editor};
    *out = (PatchPlan){0};
    return patch_parse(source->text, &source->options, arena, &patch, err) &&
           patch_plan(&patch, &source->options, (PatchSource){&looking, look, list}, arena, out, err);
}

/* ---- the change ---- */

static void add_step(const Workspace *ws, Change *change, const PatchStep *step, Arena *arena) {
    const Seen *seen = step->before.tag;
    Stamp stamp = seen ? seen->stamp : (Stamp){0};
    Path path = {str_printf(arena, "%.*s/%.*s", STR_ARG(ws_root(ws)), STR_ARG(step->path)), step->path};
    if (seen && seen->path.absolute.len)
        path = seen->path;
    if (step->before.is_folder)
        stamp = (Stamp){0};
    bool is_new = !step->before.exists || step->before.is_folder || step->before.mode == MODE_LINK;
    if (!step->after.exists) {
        change_remove(change, path, stamp);
    } else if (step->after.mode == MODE_LINK) {
        change_put_link(change, path, stamp, step->after.text);
    } else {
        change_put(change, path, stamp, step->after.text);
        if (is_new || step->before.mode != step->after.mode)
            change_set_mode(change, path, step->after.mode & PERMISSIONS);
    }
}

bool patch_change_commit(Workspace *ws, const PatchPlan *plan, Str title, Arena *arena, ChangeInfo *info,
                         ChangeReport *report, Err *err) {
    if (!plan->count)
        return true;
    Change *change = change_begin(ws, err);
    if (!change)
        return false;
    change_describe(change, title);
    change_report(change, arena, report);
    for (size_t i = 0; i < plan->count; i++)
        add_step(ws, change, &plan->items[i], arena);
    return change_commit(change, info, err);
}
