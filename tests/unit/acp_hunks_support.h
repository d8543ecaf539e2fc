/* A folder with files, a scripted model and `mux-acp ask` on a terminal.
 *
 * table_open -> table_write, table_set -> table_start -> table_type -> table_finish -> table_read ->
 * table_close
 */
#ifndef MUX_TESTS_ACP_HUNKS_SUPPORT_H
#define MUX_TESTS_ACP_HUNKS_SUPPORT_H

#include "tests/fakes/pty.h"

#define PROGRAM MUX_BINARY_DIR "/mux-acp"
#define BLOCK(path, old, new) path "\n<<<<<<< SEARCH\n" old "=======\n" new ">>>>>>> REPLACE\n\n"

/* A folder, a model that answers by a script, and the program on a terminal. */
typedef struct Table {
    Arena arena;
    Str tmp;
    const char *model; /* what it answers */
    const char *environment[12];
    int columns;
    bool shows_all; /* stdout and stderr go to the terminal too */
    bool has_no_terminal;
    const char *mode; /* NULL: --hunks */
    Pty pty;
} Table;

void table_open(Table *t, const char *model); /* TERM=xterm, NO_COLOR=1, EDITOR=false */
void table_close(Table *t);
Str table_path(Table *t, const char *name); /* beside the folder "work", in which the turn runs */
void table_write(Table *t, const char *name, Str text);
Str table_read(Table *t, const char *name);
bool table_has(Table *t, const char *name);
void table_set(Table *t, const char *variable); /* "NAME=value", or "NAME": without it */
void table_use_editor(Table *t, const char *script);

void table_start(Table *t, const char *request);
/* The keys, one to a line: "s y n" types three lines; "_" in a word stands for a blank. */
void table_type(Table *t, const char *keys);
void table_finish(Table *t, int status); /* waits for the end, which must be with this status */
Str table_seen(const Table *t);
void table_check_seen(const Table *t, const char *text);

/* a.txt with five changes in four hunks: lines 5 and 8, 30, 50, 70. */
enum { LINES = 80, CHANGES = 5 };
Str numbered_lines(Arena *arena, bool is_changed, const char *line_end);
void table_open_five(Table *t);
/* The file after the changes whose bit is '1'. */
Str table_kept_text(Arena *arena, const char *bits, const char *line_end);
/* text with the first `old` in it made `new` */
Str table_replaced(Table *t, Str text, const char *old, const char *new);

#endif
