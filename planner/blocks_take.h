/* Taking the edits of the full style's replies: every edit is located on its file as it was seen. Edits that
 * fit are kept over the tries of a turn, so that only what failed is asked for again; files change only when
 * all of them fit. */
#ifndef MUX_PLANNER_BLOCKS_TAKE_H
#define MUX_PLANNER_BLOCKS_TAKE_H

#include "planner/planner_internal.h"

typedef struct TakenEdit {
    FileWork *file;
    EditKind kind;
    Place place;      /* not for EDIT_DELETE and EDIT_MOVE */
    Path moved_to;    /* EDIT_MOVE */
    FileWork *target; /* EDIT_MOVE: what stands there, nothing so far */
    size_t reply;     /* which try it came with, from 1 */
} TakenEdit;

typedef struct TakeFailure {
    Str path;
    size_t times;
} TakeFailure;

/* Kept over the tries of a turn; named in Turn, so that tools can add to it. */
typedef struct Taken {
    TakenEdit *items;
    size_t count, capacity;
    TakeFailure *failures; /* files whose edits did not fit, and how often */
    size_t failure_count, failure_capacity;
    FileWork *failed; /* the file of the last problem; NULL: of none */
    size_t failed_times;
    size_t replies;
    bool has_failed; /* not all edits of the last reply or patch fitted */
} Taken;

/* Adds a reply's edits: one that touches what an edit of an earlier reply touched takes its place. True: all
 * fit, and the turn's files hold their new texts. False: problem says why, quoting the file where it helps;
 * no file is changed, and what fitted is remembered. */
bool take_edits(Turn *turn, Taken *taken, const EditList *edits, Err *problem);

/* Drops what is remembered of a file; false when there was nothing. */
bool taken_forget(Taken *taken, const FileWork *file);

/* What is remembered, a line for each edit: "- a.py, lines 3 to 5". */
void taken_list(const Taken *taken, Buf *out);

/* find_symbol of EditHelp; ctx is the FileWork. */
size_t take_find_symbol(void *file, Str text, Str name, TextRange *out, size_t most);

#endif
