/* tree: what turns one tree of files into another, file by file.
 *
 * Calling sequence:
 *   TreeDiff diff;
 *   bool ok = tree_diff_begin(&before, &after, &options, &diff, err);
 *   for (bool found = true; ok && (ok = tree_diff_next(&diff, &arena, &file, &found, err)) && found;)
 *       diff_print_verified(&file, 3, &out, err);
 *   tree_diff_end(&diff);
 *
 * The room reads no files: a side is a list of entries and a function that loads the text of one. Texts are
 * loaded when they are looked at and not kept: a tree costs the memory of its largest pair of files and,
 * where files came and went, hashes of their lines.
 *
 * Pairing: entries of one path belong together; equal ones are dropped. A new regular file is a rename of a
 * deleted one, or a copy of one that changed in the same comparison, when at least half of its bytes are
 * there: equal texts first, then by shared lines; of equally similar sources the one with the same file name.
 * Empty files and links are never renamed. A path that is a file on one side and a link on the other is one
 * FileDiff with both modes.
 *
 * Ownership: sides, entries and paths are borrowed until tree_diff_end, which is needed after a failure of
 * begin or next, too. Thread-safe: nothing is shared.
 */
#ifndef MUX_DIFF_TREE_H
#define MUX_DIFF_TREE_H

#include "diff/diff.h"

typedef struct TreeEntry {
    Str path;      /* relative, forward slashes */
    unsigned mode; /* 0100644, 0100755, or 0120000: a link, its text is the target */
    size_t size;   /* bytes of the text; a wrong one costs at most a missed rename */
} TreeEntry;

typedef struct TreeSide {
    const TreeEntry *entries; /* ascending by str_cmp of their paths, each path once */
    size_t count;
    void *ctx;
    /* The text of entries[index]: put into room (empty when called), or the caller's own memory, which then
     * outlives the comparison. */
    bool (*load)(void *ctx, size_t index, Buf *room, Str *text, Err *err);
} TreeSide;

typedef struct TreeOptions {
    bool no_renames;     /* neither renames nor copies */
    bool no_copies;      /* renames only */
    bool carries_binary; /* set in every FileDiff of a binary file */
} TreeOptions;

typedef struct TreeDiff {
    const TreeSide *before, *after;
    TreeOptions options;
    struct TreeChange *changes; /* ascending by the path shown */
    size_t count, next;
    Buf old_text, new_text;
    Arena arena;
} TreeDiff;

/* Pairs the entries. Loads only what renames ask for. ERR_INVALID: entries that are not in order; else what
 * load fails with. */
bool tree_diff_begin(const TreeSide *before, const TreeSide *after, const TreeOptions *options, TreeDiff *out,
                     Err *err);
/* The next difference, in order of the paths shown (a renamed file's new one). The hunks live in the arena;
 * the texts until the next call, or as long as memory that load gave. *found is false after the last. Fails
 * as diff_lines and load do. */
bool tree_diff_next(TreeDiff *diff, Arena *arena, FileDiff *file, bool *found, Err *err);
void tree_diff_end(TreeDiff *diff);

/* A `load` for texts in memory: ctx is an array of Str, one per entry. */
bool tree_load_text(void *ctx, size_t index, Buf *room, Str *text, Err *err);

#endif
