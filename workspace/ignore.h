/* Ignore rules: what a .gitignore, .ignore or exclude file says of a path (the format of gitignore(5)).
 *
 *   IgnoreFile rules; ignore_parse(text, S("src"), &arena, &rules);
 *   ignore_match(&rules, S("src/gen/a.c"), false)
 * Paths and bases are relative to one common folder, without a leading or final slash; the base of that
 * folder is "". A folder that is ignored hides all below it: callers ask for folders first and do not
 * descend. Thread-safe once parsed; the rules borrow the text.
 */
#ifndef MUX_WORKSPACE_IGNORE_H
#define MUX_WORKSPACE_IGNORE_H

#include "base/str.h"

typedef enum IgnoreVerdict { IGNORE_SILENT, IGNORE_YES, IGNORE_NO } IgnoreVerdict;

typedef struct IgnoreRule {
    Str pattern;
    bool is_negated, is_dir_only;
    bool is_anchored; /* matched against the path below the base; else against the last component */
    bool is_literal;  /* no wildcard in it */
    bool is_suffix;   /* "*" and then no wildcard */
} IgnoreRule;

typedef struct IgnoreFile {
    Str base;
    IgnoreRule *rules;
    size_t count;
} IgnoreFile;

void ignore_parse(Str text, Str base, Arena *arena, IgnoreFile *out);
/* The last rule that matches decides. path lies below the base. */
IgnoreVerdict ignore_match(const IgnoreFile *file, Str path, bool is_dir);
/* Shell wildcards: * and ? and [...] stop at slashes, ** crosses them where it stands alone between slashes.
 * Linear in text times pattern. */
bool ignore_glob(Str pattern, Str text);

#endif
