/* map: the definitions of a repository that matter most, as many as fit a budget of tokens.
 *
 *   RepositoryMap map; map_build(ws, &options, &arena, &map, &err); map_print(&map, &out);
 *
 * Definitions come from tree-sitter. A file refers to another when it holds a name that the other defines;
 * files that much of the rest refers to rank high (damped iteration over those references, Brin & Page 1998,
 * damping 0.85), and so do those that are asked for. A definition ranks by what flows through its name. The
 * same tree and options always give the same map. Cancellable; bounded in files, bytes and references.
 */
#ifndef MUX_PLANNER_MAP_H
#define MUX_PLANNER_MAP_H

#include <stdatomic.h>

#include "base/buf.h"
#include "workspace/workspace.h"

#define MAP_BUDGET 2048 /* tokens, when nobody says */

typedef struct MapOptions {
    size_t budget;    /* tokens (four bytes each) of the printed map; 0 = MAP_BUDGET */
    const Str *focus; /* relative paths whose surroundings are wanted; a folder stands for its files */
    size_t focus_count;
    const Str *names; /* words of a request: definitions and paths that hold them rank higher */
    size_t name_count;
    const atomic_bool *cancelled; /* may be NULL */
} MapOptions;

typedef struct MapLine {
    size_t line; /* from 1 */
    Str text;
} MapLine;

typedef struct MapFile {
    Str path; /* relative */
    double score;
    MapLine *lines; /* in the file's order */
    size_t count;
} MapFile;

typedef struct RepositoryMap {
    MapFile *files; /* most important first; only those of which something fitted */
    size_t count;
    size_t files_read, definitions; /* of the whole repository */
    bool is_truncated;              /* the repository is larger than a map looks at */
} RepositoryMap;

/* ws should read the disk: every source file is read once. ERR_CANCELLED. */
bool map_build(Workspace *ws, const MapOptions *options, Arena *arena, RepositoryMap *out, Err *err);
/* "path:" and below it "  LINE: text", one definition a line. */
void map_print(const RepositoryMap *map, Buf *out);

#endif
