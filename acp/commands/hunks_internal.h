/* Inside the dialog: one file's hunks while they are decided about. */
#ifndef MUX_ACP_HUNKS_INTERNAL_H
#define MUX_ACP_HUNKS_INTERNAL_H

#include "acp/commands/hunks.h"
#include "diff/section.h"

enum { HUNK_CONTEXT = 3 };

typedef enum HunkUse { HUNK_UNDECIDED, HUNK_KEPT, HUNK_DROPPED } HunkUse;

/* What is asked about at once: changes that share a section, or fewer after a split. */
typedef struct HunkPart {
    size_t first, last; /* hunks.items[first..last] */
    HunkUse use;
} HunkPart;

typedef struct FileChoice {
    HunkDialog *dialog;
    const ToolDiff *diff;
    Arena *arena;
    Hunks hunks;
    HunkPart *parts;
    size_t count, capacity;
    size_t at; /* the part that is asked about */
    bool is_edited;
    bool was_stopped;
} FileChoice;

/* How a wait for a line of input ended. */
typedef enum LineEnd { LINE_READ, LINE_CLOSED, LINE_STOPPED } LineEnd;
/* Prints the prompt and reads one line, without its line end; *line lives in the arena. */
LineEnd dialog_line(HunkDialog *dialog, const char *prompt, Arena *arena, Str *line);
void dialog_say(HunkDialog *dialog, const char *format, ...) __attribute__((format(printf, 2, 3)));
void dialog_set_editing(HunkDialog *dialog, bool is_editing);
/* Writes out and empties the buffer. */
void dialog_flush(HunkDialog *dialog, Buf *text);

/* Everything that is undecided stays out, here and in the files that follow; a stop drops what was decided
 * too. */
void choice_quit(FileChoice *choice, LineEnd end);

/* hunks_keys.c: asks about the parts, one after the other */
void ask_about_hunks(FileChoice *choice);

/* hunks_show.c */
void show_file_head(const FileChoice *choice);
void show_part(const FileChoice *choice, size_t part);
void show_file(const FileChoice *choice); /* every section of it */
/* "+12: -3,2 +3,4   first changed line", cut to the terminal's width */
void show_summary(const FileChoice *choice, size_t part);

/* hunks_edit.c */
typedef enum EditEnd { EDIT_DONE, EDIT_LEFT /* unchanged, the reason is told */, EDIT_STOPPED } EditEnd;
/* Lets the user's editor change the part that is asked about. */
EditEnd edit_part(FileChoice *choice);

#endif
