/* Small trees for the tests of the workspace: files by name in the test's folder, and what a tree holds as
 * one text. */
#ifndef MUX_TESTS_WORKSPACE_FIXTURE_H
#define MUX_TESTS_WORKSPACE_FIXTURE_H

#include "tests/runner.h"
#include "workspace/workspace.h"

typedef struct Fixture {
    Arena arena;
    Str root;
    Workspace *ws;
} Fixture;

/* A folder `tree` in the test's folder, not opened yet. */
void fixture_init(Fixture *fixture);
void fixture_open(Fixture *fixture, FileIo io); /* again: closes first */
void fixture_close(Fixture *fixture);
const char *fixture_path(Fixture *fixture, const char *name);     /* absolute */
void fixture_write(Fixture *fixture, const char *name, Str text); /* makes folders too */
void fixture_folder(Fixture *fixture, const char *name);
Str fixture_text(Fixture *fixture, const char *name); /* ptr NULL when there is no such file */
/* "name mode text" of every file, and every folder, sorted; without .git and .mux. */
Str fixture_snapshot(Fixture *fixture);
void fixture_git_init(Fixture *fixture); /* an empty repository, made with libgit2 */

Path fixture_checked(Fixture *fixture, const char *name); /* ws_path that must succeed */
/* change_put of a file as it is now (or of a new one). */
void fixture_put(Fixture *fixture, Change *change, const char *name, Str text);
void fixture_remove(Fixture *fixture, Change *change, const char *name);

bool has_program(const char *name);
/* Runs a program with its output in a file (NULL: nowhere); the exit status, or 128 + signal. */
int run_program(const char *const *argv, const char *output);

#endif
