/* Inside FORM_BLOCKS: the files that may be edited, and the machine that reads a reply byte by byte.
 *
 * grammar_files.c   which texts of a file may be selected (SEARCH), and what may follow
 * grammar_reply.c   one byte of a reply: prose, path, markers, SEARCH, REPLACE
 * grammar_blocks.c  the machine walked together with the vocabulary's tries
 */
#ifndef MUX_ENGINE_GRAMMAR_BLOCKS_INTERNAL_H
#define MUX_ENGINE_GRAMMAR_BLOCKS_INTERNAL_H

#include "engine/grammar_internal.h"
#include "engine/suffix_automaton.h"

/* ---- files ---- */

typedef struct EditFile {
    Str path;
    SuffixAutomaton automaton;
    uint8_t *barred;  /* [line] may not be selected: reads like a marker, cannot be written, or is taken by a
                         block */
    uint32_t *needed; /* [order] bytes until the text occurs once and is not blank; 0 = may not start here */
    uint32_t *reach;  /* [order] bytes until the next barred line or the end */
    uint32_t *next_good, *last_good; /* [order + 1] nearest i with needed[i], at or after i / before i */
    uint32_t most;                   /* SEARCH bytes after which a block closes at the line end */
    bool is_offered;                 /* some block for it may still be written */
    bool is_empty;                   /* its SEARCH part is empty */
    bool only_repeats; /* no text occurs once: one line is selected, the block counts as escaped */
} EditFile;

/* text as in GrammarFile; copied. `writable` says which bytes the vocabulary can spell one by one. */
bool edit_file_open(EditFile *file, Str path, Str text, const bool *writable, uint32_t most, Arena *arena,
                    Err *err);
/* The next byte of SEARCH text; false when no selectable text goes on with it. */
bool edit_file_step(const EditFile *file, SuffixState *state, uint8_t byte);
/* At a line end: may the block close here, may the text go on? */
bool edit_file_may_close(const EditFile *file, SuffixState state);
bool edit_file_may_go_on(const EditFile *file, SuffixState state);
/* Adds the bytes that edit_file_step would take to the set of 256 bits. */
void edit_file_bytes(const EditFile *file, SuffixState state, uint64_t *set);
/* A block took these bytes from this line on: later blocks leave them alone. */
void edit_file_take(EditFile *file, uint32_t line, uint32_t bytes, bool escaped);

/* ---- the reply ---- */

typedef enum ReplyPart {
    PART_PROSE,
    PART_PATH,    /* a path line, nothing else (edits_only) */
    PART_OPEN,    /* the rest of "<<<<<<< SEARCH\n" */
    PART_SEARCH,  /* text of the file, then "=======\n" */
    PART_REPLACE, /* free text, then ">>>>>>>" */
    PART_CLOSE,   /* the rest of ">>>>>>> REPLACE\n" */
} ReplyPart;

enum { FILE_NONE = -1, FILE_NEW = -2 };

/* Copied at every node of a walk: small, no pointers. */
typedef struct ReplyState {
    uint8_t part, utf8;
    uint8_t run, run_byte; /* how much of a marker the line is so far, and of which sign */
    uint8_t at;            /* PART_OPEN, PART_CLOSE: bytes of the marker line read */
    uint8_t ticks;         /* backticks the line begins with */
    uint8_t component;     /* state of the path component being written */
    bool line_start;
    bool in_margin; /* only blanks on this line so far, at least one */
    bool indented;  /* the run stands behind blanks */
    bool has_mark;  /* the path line holds a '/' or a '.' */
    bool ends_dot;  /* and ends in a '.' so far */
    bool limited;   /* too long: only what ends this part may come */
    bool may_close; /* at this line's start the part may end */
    bool has_text;  /* SEARCH: the file's text may go on */
    bool is_equal;  /* REPLACE: the same as the SEARCH text so far */
    bool is_fenced; /* a code fence stands between the path and the block */
    bool is_new;    /* the line so far may become the path of a new file */
    bool is_done;   /* a block was completed by this token and is not entered in the files yet */
    bool escaped;
    int32_t file; /* of the block; in prose: named by the line before */
    int32_t done_file;
    uint32_t known_first, known_last; /* the known paths that begin like the line */
    uint32_t length;                  /* bytes of the path line, or of the REPLACE text */
    uint32_t component_hash;
    uint64_t path_hash;
    SuffixState search;
    uint32_t search_line, search_bytes; /* what was selected */
    uint32_t blocks;
} ReplyState;

typedef struct HashSet {
    uint64_t *items; /* sorted */
    size_t count, capacity;
} HashSet;

typedef struct ReplyRules {
    Arena arena;
    EditFile *files; /* sorted by path */
    uint32_t file_count;
    uint32_t *next_offered;           /* [file_count + 1], as EditFile.next_good */
    HashSet file_paths, folder_paths; /* hashes of every path that is taken */
    bool allow_new_files, edits_only;
    uint32_t max_blocks, max_replace;
    const bool *writable; /* [256] */
} ReplyRules;

bool reply_rules_open(ReplyRules *rules, const GrammarSpec *spec, const bool *writable, Err *err);
void reply_rules_close(ReplyRules *rules);
ReplyState reply_start(const ReplyRules *rules);
/* False when the reply cannot go on with this byte; the state is then undefined. */
bool reply_step(const ReplyRules *rules, ReplyState *state, uint8_t byte);
bool reply_may_end(const ReplyRules *rules, const ReplyState *state);
/* A superset of the bytes that reply_step takes, exact wherever the text is forced: false = every byte. */
bool reply_bytes(const ReplyRules *rules, const ReplyState *state, uint64_t *set);
/* All about the path component being written that decides what may follow it. */
uint8_t reply_component(const ReplyState *state);
/* After a token: enters a completed block (new_path for FILE_NEW) and the length limits. True when a block
 * was entered. */
bool reply_settle(ReplyRules *rules, ReplyState *state, Str new_path);
/* From here on no block begins, and the one being written ends as soon as it may. A reply that must hold a
 * block may still write its first. */
void reply_wind_up(ReplyRules *rules, const ReplyState *state);

#endif
