/* Inside the reading of a request: what its two files share. */
#ifndef MUX_PLANNER_REQUEST_INTERNAL_H
#define MUX_PLANNER_REQUEST_INTERNAL_H

#include "planner/request.h"

/* list: words separated by "|"; letter case does not matter. */
bool word_in_list(Str word, const char *list);
/* Whether a word of the request means this path of the repository: in full, its end from a folder on, or its
 * file name. */
bool word_names_path(Str word, Str path);
/* Fill paths and names from the words read before. */
void request_read_paths(Request *request, const Str *listing, size_t listing_count, Arena *arena);
void request_read_names(Request *request, Arena *arena);

#endif
