/* /undo and /diff: what was written, and taking it back. */
#include "planner/slash.h"

enum { MOST_DIFF = 64 << 10 };

static Str word_of(Str rest) {
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != ' ' && rest.ptr[end] != '\n')
        end++;
    return str_slice(rest, 0, end);
}

/* ---- /undo ---- */

static bool run_undo(Turn *turn, Str rest, Err *err) {
    Applied done;
    if (!slash_open(turn, false, err) || !workspace_undo(turn->ws, word_of(rest), &turn->arena, &done, err))
        return false;
    turn->was_applied = true;
    turn->backup_id = done.backup_id;
    Buf out = {0};
    buf_printf(&out, "Put back as %s before:\n\n", done.count == 1 ? "it was" : "they were");
    for (size_t i = 0; i < done.count; i++)
        buf_printf(&out, "- `%.*s`\n", STR_ARG(done.paths[i]));
    buf_printf(&out, "\n`/undo %.*s` does the change again.\n", STR_ARG(done.backup_id));
    return slash_say(turn, &out);
}

/* ---- /diff ---- */

/* Appends one file's section; nothing when both sides are the same. */
static bool print_file(Turn *turn, Str path, Str before, Str after, bool is_new, bool is_deleted, Buf *out,
                       Err *err) {
    FileDiff diff = {.old_path = path, .new_path = path, .is_new = is_new, .is_deleted = is_deleted};
    return diff_lines(path, before, after, &turn->arena, &diff.hunks, err) &&
           diff_print_verified(&diff, 3, out, err);
}

/* What stands in the files that this session wrote, beside what stood there before. */
static bool diff_session(Turn *turn, Buf *out, Err *err) {
    const Session *s = turn->session;
    for (size_t i = 0; i < s->written_count && !turn_is_cancelled(turn); i++) {
        const StoredFile *file = &s->written[i];
        Path path;
        FileText now = {.text = S("")};
        Err why = {0};
        if (!ws_path(turn->ws, file->path, &turn->arena, &path, &why))
            continue;
        bool exists = ws_read(turn->ws, path, &turn->arena, &now, &why);
        if (!exists && why.code != ERR_NOT_FOUND)
            continue;
        if (!exists && file->was_new)
            continue;
        if (!print_file(turn, path.relative, file->before, now.text, file->was_new, !exists, out, err))
            return false;
    }
    return true;
}

static bool diff_change(Turn *turn, Str id, Buf *out, Buf *notes, Err *err) {
    BackupFile *files;
    size_t count;
    if (!ws_backup_files(turn->ws, id, &turn->arena, &files, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        const BackupFile *file = &files[i];
        if (!file->has_texts)
            buf_printf(notes, "\n`%.*s` is not shown: it is no text, or was changed again by others.\n",
                       STR_ARG(file->path.relative));
        else if (!print_file(turn, file->path.relative, file->before, file->after, !file->existed,
                             !file->exists, out, err))
            return false;
    }
    return true;
}

static void say_diff(Str unified, Buf *out) {
    bool is_cut = unified.len > MOST_DIFF;
    if (is_cut) {
        size_t end = MOST_DIFF;
        while (end > 0 && unified.ptr[end - 1] != '\n')
            end--;
        unified = str_slice(unified, 0, end);
    }
    slash_fence(out, "diff", unified);
    if (is_cut)
        buf_printf(out, "\nOnly the first %d KiB are shown.\n", MOST_DIFF >> 10);
}

static bool run_diff(Turn *turn, Str rest, Err *err) {
    Buf unified = {0}, notes = {0}, out = {0};
    Str id = word_of(rest);
    bool ok = slash_open(turn, true, err) &&
              (id.len ? diff_change(turn, id, &unified, &notes, err) : diff_session(turn, &unified, err));
    if (ok && unified.len)
        say_diff(buf_text(&unified), &out);
    else if (ok && !notes.len)
        buf_cstr(&out, id.len ? "That change left no difference.\n"
                              : "Nothing that this session wrote differs from what was there before.\n");
    buf_str(&out, buf_text(&notes));
    buf_free(&unified);
    buf_free(&notes);
    if (ok)
        return slash_say(turn, &out);
    buf_free(&out);
    return false;
}

const SlashCommand SLASH_UNDO = {{"undo", "takes a change back, by default the newest", "[CHANGE]"},
                                 run_undo};
const SlashCommand SLASH_DIFF = {
    {"diff", "shows what this session changed, or what one change did", "[CHANGE]"}, run_diff};
