/* tree_copy: a folder copied aside, so that what runs on it leaves the original alone. */
#ifndef MUX_ACP_TREE_COPY_H
#define MUX_ACP_TREE_COPY_H

#include "base/err.h"
#include "base/str.h"

/* Copies regular files, links and folders of from into a new folder below $TMPDIR; its path in *to. ERR_LIMIT
 * beyond 2 GiB. What is neither (sockets, devices) is left out. */
bool tree_copy(Str from, Arena *arena, Str *to, Err *err);
void tree_remove(Str folder);

#endif
