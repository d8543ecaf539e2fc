/* The closing sentences: what was done, what was not, how to take it back. */
#include "planner/planner_internal.h"

static void say_changes(Turn *turn, Buf *out) {
    size_t n = turn->kept_files;
    const char *files = n == 1 ? "file" : "files";
    if (turn->was_applied)
        buf_printf(out, "Changed %zu %s: ", n, files);
    else
        buf_printf(out, "Proposed changes to %zu %s (nothing was written): ", n, files);
    size_t said = 0;
    for (size_t i = 0; i < turn->file_count; i++) {
        const FileWork *file = turn->files[i];
        if (!file->is_accepted)
            continue;
        size_t added, removed;
        diff_count(&file->hunks, &added, &removed);
        buf_printf(out, "%s%.*s", said++ ? ", " : "", STR_ARG(file->path.relative));
        if (file->moved_to.absolute.len)
            buf_printf(out, " to %.*s", STR_ARG(file->moved_to.relative));
        buf_printf(out, " (+%zu -%zu%s)", added, removed, file->is_deleted ? ", deleted" : "");
    }
    buf_cstr(out, ".\n");
}

void report_turn(Turn *turn) {
    Buf out = {0};
    if (turn->kept_files)
        say_changes(turn, &out);
    else if (turn->problem_count || turn->note_count)
        buf_cstr(&out, "Nothing was changed.\n");
    else if (turn->reply.len == 0)
        buf_cstr(&out, "Nothing to change was found.\n");
    for (size_t i = 0; i < turn->problem_count; i++) {
        const char *lead = i == 0 ? "\nNot done:\n" : "";
        buf_printf(&out, "%s- %.*s\n", lead, STR_ARG(turn->problems[i]));
    }
    for (size_t i = 0; i < turn->note_count; i++) {
        const char *lead = i == 0 ? "\nNote:\n" : "";
        buf_printf(&out, "%s- %.*s\n", lead, STR_ARG(turn->notes[i]));
    }
    if (turn->was_applied)
        buf_printf(&out, "\nTo take it back: `mux-acp undo %.*s`.\n", STR_ARG(turn->backup_id));
    turn_text(turn, buf_text(&out));
    buf_free(&out);
}
