/* Small trees for tests of patches: as tables, in memory and on disk, and git-apply beside us. */
#ifndef MUX_TESTS_DIFF_PATCH_SUPPORT_H
#define MUX_TESTS_DIFF_PATCH_SUPPORT_H

#include "diff/patch.h"
#include "tests/unit/diff_git.h"

enum { TREE_MOST = 16, PLAIN = 0100644, PROGRAM = 0100755, LINK = 0120000, FOLDER = 0040000 };

typedef struct TreeItem {
    const char *path, *text;
    unsigned mode; /* 0 = PLAIN; FOLDER: an empty one */
    size_t len;    /* of text; 0 = up to its zero byte */
} TreeItem;

typedef struct TreeFile {
    Str path, text;
    unsigned mode;
} TreeFile;

typedef struct Tree {
    TreeFile files[4 * TREE_MOST];
    size_t count;
    size_t looks; /* how often an entry was asked for */
} Tree;

void tree_from(const TreeItem *items, size_t most, Tree *out); /* up to the first without a path */
TreeFile *tree_find(Tree *tree, Str path);
void tree_put(Tree *tree, Str path, unsigned mode, Str text);
void tree_remove(Tree *tree, Str path);
/* Folders do not count: git removes those that it empties. */
bool tree_same(const Tree *a, const Tree *b);
Str tree_print(const Tree *tree, Arena *arena);
PatchSource tree_source(Tree *tree);
/* patch_parse, patch_plan and its steps; fails the test when a step names what the patch does not. */
bool tree_apply(Tree *tree, Str patch, const PatchOptions *options, Arena *arena, PatchPlan *plan, Err *err);

/* git runs in test_tmp(), its tree is test_tmp()/tree. */
void tree_write(const Tree *tree, Arena *arena); /* replaces what was there */
void tree_read(Tree *out, Arena *arena);
bool git_apply(Tree *tree, Str patch, const PatchOptions *options, Arena *arena);

#endif
