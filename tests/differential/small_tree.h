/* Little trees of files in memory, for tests: made up, written to a folder, read back, compared.
 *
 * Everything lives in the Arena given. Folders exist through what they hold; an entry of mode TREE_FOLDER is
 * an empty one that something stands in the way of. One thread.
 */
#ifndef MUX_TESTS_DIFFERENTIAL_SMALL_TREE_H
#define MUX_TESTS_DIFFERENTIAL_SMALL_TREE_H

#include "base/buf.h"
#include "diff/patch.h"

enum { TREE_FILE = 0100644, TREE_PROGRAM = 0100755, TREE_LINK = 0120000, TREE_FOLDER = 0040000 };

typedef struct SmallEntry {
    Str path;
    unsigned mode;
    Str text; /* a link's target */
} SmallEntry;

typedef struct SmallTree {
    SmallEntry *items; /* sorted by path, bytewise */
    size_t count, capacity;
} SmallTree;

SmallEntry *tree_find(const SmallTree *tree, Str path); /* NULL: not there */
void tree_put(SmallTree *tree, Arena *arena, Str path, unsigned mode, Str text);
void tree_remove(SmallTree *tree, Str path);
SmallTree tree_copy(const SmallTree *tree, Arena *arena);
/* No entry at the path, above or below it. */
bool tree_has_room(const SmallTree *tree, Str path);
/* A file system can hold it: nothing lies below a file or a link. */
bool tree_is_sound(const SmallTree *tree);
/* Equal but for folders without files; *why names the first difference. */
bool tree_same(const SmallTree *a, const SmallTree *b, Arena *arena, Str *why);
PatchSource tree_source(SmallTree *tree); /* as the workspace sees it */
void tree_print(const SmallTree *tree, Buf *out);

/* On disk. The folder is made; reading passes over ".mux" at its top. They end the process when the disk
 * fails. */
void tree_write(const SmallTree *tree, const char *folder);
void tree_read(const char *folder, Arena *arena, SmallTree *out);
void folder_remove(const char *folder);
/* Sizes, times and inodes of all that lies below, in one text: equal when nothing was touched. */
Str folder_stamp(const char *folder, Arena *arena);

#endif
