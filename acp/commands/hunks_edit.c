/* A hunk in the user's own editor. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "acp/commands/hunks_internal.h"
#include "acp/commands/terminal.h"
#include "base/os.h"

#define EDITED_MAX ((size_t)64 << 20)

static const char GUIDE_TOP[] =
    "# Change this hunk, save, and leave the editor; the lines at the end say how.\n";
static const char GUIDE[] =
    "# ---\n"
    "# A line that is to stay: put a blank in the place of its '-'.\n"
    "# A line that is not to come: delete it (those with '+').\n"
    "# Other lines to add: write them with a '+' in front.\n"
    "# Lines with a blank or '-' in front are the file's; their text must stay as it is.\n"
    "# Lines that begin with # are ignored; a text without any other line leaves the\n"
    "# hunk as it was.\n";

static const char *editor_command(void) {
    const char *visual = getenv("VISUAL"), *editor = getenv("EDITOR"), *kind = getenv("TERM");
    if (visual && *visual && kind && strcmp(kind, "dumb") != 0)
        return visual;
    return editor && *editor ? editor : "vi";
}

/* A shell that waits for the editor would take an interrupt for its own; where the command is plain words the
 * editor stands in its place. */
static Str editor_script(Arena *arena) {
    const char *command = editor_command();
    bool is_plain = command[strcspn(command, "|&;<>()$`\\\"'*?[#~=%\n{}!")] == 0;
    return str_printf(arena, "%s%s \"$@\"", is_plain ? "exec " : "", command);
}

/* The editor gets the terminal as its three streams and no blocked or ignored signals. */
static int spawn_editor(const char *path, pid_t *pid) {
    Arena arena = {0};
    Str script = editor_script(&arena);
    const char *argv[] = {"sh", "-c", script.ptr, "sh", path, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    for (const int *n = (const int[]){SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGTSTP, SIGXFSZ, 0}; *n; n++)
        sigaddset(&defaults, *n);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/tty", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&files, STDIN_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, STDIN_FILENO, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int failed = posix_spawn(pid, "/bin/sh", &files, &attributes, (char *const *)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    arena_free(&arena);
    return failed;
}

static bool was_interrupted(int status) {
    return (WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) ||
           (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGINT);
}

/* Whatever the editor does to the terminal's settings is undone. */
static EditEnd run_editor(HunkDialog *dialog, const char *path) {
    struct termios settings;
    bool has_settings = tcgetattr(dialog->in, &settings) == 0;
    pid_t pid;
    int status = 0;
    dialog_set_editing(dialog, true);
    int failed = spawn_editor(path, &pid);
    while (!failed && waitpid(pid, &status, 0) < 0)
        failed = errno == EINTR ? 0 : errno;
    dialog_set_editing(dialog, false);
    if (has_settings)
        tcsetattr(dialog->in, TCSADRAIN, &settings);
    if (failed) {
        dialog_say(dialog, "The editor could not be started: %s\n", strerror(failed));
        return EDIT_LEFT;
    }
    if (was_interrupted(status))
        return EDIT_STOPPED;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        dialog_say(dialog, "The editor (%s) failed; the hunk is as it was. Set VISUAL or EDITOR.\n",
                   editor_command());
        return EDIT_LEFT;
    }
    return EDIT_DONE;
}

static bool write_temporary(Str text, Arena *arena, char **path, Err *err) {
    const char *folder = getenv("TMPDIR");
    *path =
        str_cstr(arena, str_printf(arena, "%s/mux-hunk-XXXXXX.diff", folder && *folder ? folder : "/tmp"));
    int fd = mkostemps(*path, 5, O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "cannot make a temporary file for the editor (%s)", *path);
    bool ok = os_write_all(fd, text, err);
    if (close(fd) != 0 && ok)
        ok = err_set_errno(err, errno, "cannot write %s", *path);
    if (!ok)
        unlink(*path);
    return ok;
}

/* text, changed by the editor; *out lives in the arena. */
static EditEnd edit_text(HunkDialog *dialog, Str text, Arena *arena, Str *out) {
    Err err = {0};
    char *path;
    EditEnd end = EDIT_LEFT;
    if (write_temporary(text, arena, &path, &err)) {
        end = run_editor(dialog, path);
        if (end == EDIT_DONE && !os_read_file(path, EDITED_MAX, arena, out, &err))
            end = EDIT_LEFT;
        unlink(path);
    }
    if (err.code != ERR_NONE)
        dialog_say(dialog, "%s\n", err.text);
    return end;
}

static bool has_lines(Str text) {
    for (Str line; str_next_line(&text, &line);)
        if (str_trim(line).len && line.ptr[0] != '#' && line.ptr[0] != '@')
            return true;
    return false;
}

/* The edited part is kept; parts behind it move with their hunks. */
static void take_edit(FileChoice *choice, const Hunks *edited, size_t count) {
    HunkPart *part = &choice->parts[choice->at];
    if (count == 0) {
        dialog_say(choice->dialog, "Nothing is left to change here; the hunk is left out.\n");
        part->use = HUNK_DROPPED;
        return;
    }
    size_t moved = count - (part->last - part->first + 1);
    part->use = HUNK_KEPT;
    if (moved == 0 && str_eq(edited->after, choice->hunks.after))
        return; /* saved as it was: the hunks keep their ids */
    choice->hunks = *edited;
    choice->is_edited = true;
    part->last = part->first + count - 1;
    for (size_t i = choice->at + 1; i < choice->count; i++) {
        choice->parts[i].first += moved;
        choice->parts[i].last += moved;
    }
}

EditEnd edit_part(FileChoice *choice) {
    const HunkPart *part = &choice->parts[choice->at];
    Section section;
    Buf buf = {0};
    section_read(&choice->hunks, part->first, part->last, HUNK_CONTEXT, choice->arena, &section);
    buf_cstr(&buf, GUIDE_TOP);
    section_print(&section, &buf);
    buf_cstr(&buf, GUIDE);
    Str text = buf_copy(&buf, choice->arena), line = S("y");
    buf_free(&buf);
    while (line.len && (line.ptr[0] == 'y' || line.ptr[0] == 'Y')) {
        EditEnd end = edit_text(choice->dialog, text, choice->arena, &text);
        if (end != EDIT_DONE)
            return end;
        if (!has_lines(text)) {
            dialog_say(choice->dialog, "The edit was given up; the hunk is as it was.\n");
            return EDIT_LEFT;
        }
        Hunks edited;
        size_t count;
        Err err = {0};
        if (section_edit(&choice->hunks, &section, text, choice->arena, &edited, &count, &err)) {
            take_edit(choice, &edited, count);
            return EDIT_DONE;
        }
        dialog_say(choice->dialog, "Your edited hunk does not apply: %s.\n", err.text);
        LineEnd got =
            dialog_line(choice->dialog, "Edit again (n gives the edit up) [y,n]? ", choice->arena, &line);
        if (got == LINE_STOPPED)
            return EDIT_STOPPED;
        if (got == LINE_CLOSED)
            break;
    }
    return EDIT_LEFT;
}
