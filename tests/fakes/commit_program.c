/* Changes files through the door of the workspace, for tests that kill it or make its system calls fail.
 *
 *   commit_program ROOT commit      three files of ROOT: a.txt rewritten, sub/new.txt made, gone.txt removed
 *   commit_program ROOT recover     opens the workspace, which undoes or finishes what was left
 *   commit_program ROOT undo        takes the newest change back
 *   commit_program ROOT loop        writes the next number into a.txt, b.txt and c.txt until it is killed
 *   commit_program ROOT add NAME N  N times: adds 1 to the number in NAME, trying again after a conflict
 * Exit status: 0 done, 1 refused (the sentence is on stderr), 2 misused.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workspace/workspace.h"

static bool put(Workspace *ws, Change *change, Arena *arena, Str name, Str text, Err *err) {
    Path path;
    FileText old = {0};
    if (!ws_path(ws, name, arena, &path, err))
        return false;
    if (!ws_read(ws, path, arena, &old, err) && err->code != ERR_NOT_FOUND)
        return false;
    change_put(change, path, old.stamp, text);
    return true;
}

static bool drop(Workspace *ws, Change *change, Arena *arena, Str name, Err *err) {
    Path path;
    FileText old;
    if (!ws_path(ws, name, arena, &path, err) || !ws_read(ws, path, arena, &old, err))
        return false;
    change_remove(change, path, old.stamp);
    return true;
}

static bool commit(Workspace *ws, Arena *arena, Err *err) {
    Change *change = change_begin(ws, err);
    if (!change)
        return false;
    if (put(ws, change, arena, S("a.txt"), S("after a\n"), err) &&
        put(ws, change, arena, S("sub/deep/new.txt"), S("after new\n"), err) &&
        drop(ws, change, arena, S("gone.txt"), err))
        return change_commit(change, NULL, err);
    change_abandon(change);
    return false;
}

static long number_in(Workspace *ws, Arena *arena, const char *name) {
    Path path;
    FileText text;
    if (!ws_path(ws, str_of(name), arena, &path, NULL) || !ws_read(ws, path, arena, &text, NULL))
        return 0;
    return strtol(str_cstr(arena, text.text), NULL, 10);
}

static bool loop(Workspace *ws, Err *err) {
    for (;;) {
        Arena arena = {0};
        Str text = str_printf(&arena, "%ld\n", number_in(ws, &arena, "a.txt") + 1);
        Change *change = change_begin(ws, err);
        bool ok = change && put(ws, change, &arena, S("a.txt"), text, err) &&
                  put(ws, change, &arena, S("b.txt"), text, err) &&
                  put(ws, change, &arena, S("c.txt"), text, err);
        ok = ok && change_commit(change, NULL, err);
        arena_free(&arena);
        if (!ok)
            return false;
    }
}

static bool add(Workspace *ws, const char *name, int times, Err *err) {
    for (int done = 0; done < times;) {
        Arena arena = {0};
        Change *change = change_begin(ws, err);
        Path path;
        FileText old;
        bool ok =
            change && ws_path(ws, str_of(name), &arena, &path, err) && ws_read(ws, path, &arena, &old, err);
        if (ok) {
            long number = strtol(str_cstr(&arena, old.text), NULL, 10);
            change_put(change, path, old.stamp, str_printf(&arena, "%ld\n", number + 1));
            ok = change_commit(change, NULL, err);
        } else {
            change_abandon(change);
        }
        arena_free(&arena);
        if (!ok && err->code != ERR_CONFLICT)
            return false;
        done += ok;
    }
    return true;
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    Err err = {0};
    Arena arena = {0};
    /* A landmark for tracers: system calls before this one belong to the loader. */
    if (chdir("/") != 0)
        return 2;
    WorkspaceConfig config = {.root = str_of(argv[1])};
    Workspace *ws = ws_open(&config, file_io_disk(), &err);
    bool ok = ws != NULL;
    if (ok && strcmp(argv[2], "commit") == 0)
        ok = commit(ws, &arena, &err);
    else if (ok && strcmp(argv[2], "undo") == 0)
        ok = ws_undo(ws, S(""), NULL, &err);
    else if (ok && strcmp(argv[2], "loop") == 0)
        ok = loop(ws, &err);
    else if (ok && strcmp(argv[2], "add") == 0 && argc == 5)
        ok = add(ws, argv[3], atoi(argv[4]), &err);
    if (!ok)
        fprintf(stderr, "%s\n", err.text);
    ws_close(ws);
    arena_free(&arena);
    return ok ? 0 : 1;
}
