/* Grammar: which tokens may come next, so that every edit a model writes can be applied.
 *
 * The caller describes the form wanted as plain data (GrammarSpec); the engine turns it into a Mask over its
 * vocabulary. Bytes, not token ids, walk the automata, because a file's own tokenisation is not the only one.
 *
 * Two forms:
 *  - FORM_BLOCKS, for models that answer in search/replace blocks. Free prose is allowed; once a line is exactly a known path
 *    (or "new file" path) and a fence/SEARCH marker begins, the block syntax is forced:
 *        path
 *        <<<<<<< SEARCH
 *        (verbatim text of that file: starts at a line start, ends at a line end, closes only where it occurs once)
 *        =======
 *        (free text, bounded; must not equal the SEARCH text)
 *        >>>>>>> REPLACE
 *    A suffix automaton over the file answers "can this byte follow?" and "how often does this text occur?".
 *    When text that repeats to the end of the file can never become unique, the block may be closed anyway at the last
 *    line of the file (the way out), reported by mask_escaped().
 *  - FORM_LABELS, for mux-tiny: labels <|k|> rise and exist; modes as in docs/decisions/labels.md:
 *    LABELS_FREE (only form), LABELS_GUIDED, LABELS_STRICT (old line followed token by token, foreign text let in).
 *
 * A Mask belongs to one generation and one thread. mask_next costs at most ~50 microseconds on average for a 150k
 * vocabulary and a 2,000-line file (tests/bench/mask).
 */
#ifndef MUX_ENGINE_GRAMMAR_H
#define MUX_ENGINE_GRAMMAR_H

#include "engine/tokenizer.h"

typedef enum GrammarForm { FORM_NONE, FORM_BLOCKS, FORM_LABELS } GrammarForm;
typedef enum LabelMode { LABELS_FREE, LABELS_GUIDED, LABELS_STRICT } LabelMode;

typedef struct GrammarFile {
    Str path; /* as shown to the model */
    Str text; /* as shown to the model, LF line ends; must not hold NUL */
} GrammarFile;

typedef struct GrammarSpec {
    GrammarForm form;
    /* FORM_BLOCKS */
    const GrammarFile *files;
    size_t file_count;
    bool allow_new_files;    /* a path not in files is allowed; its SEARCH part must then be empty */
    bool edits_only;         /* no prose: the reply starts with a path line, and holds at least one block */
    size_t max_blocks;       /* 0 = 64 */
    size_t max_replace_bytes; /* per block, 0 = 64 KiB: then only the closing marker is allowed */
    size_t max_search_bytes;  /* per block, 0 = 16 KiB: then it closes at the next line end at which it may */
    /* FORM_LABELS */
    Str excerpt;  /* lines joined by \n, without a final \n */
    Str request;  /* the instruction, for the words that choose lines and the tokens let in */
    LabelMode label_mode;
    int first_label; /* label of the first line, normally 1 */
} GrammarSpec;

typedef struct Vocabulary Vocabulary; /* byte trie over a tokenizer's tokens; immutable, shared by masks */
Vocabulary *vocabulary_open(const Tokenizer *tokenizer, Err *err);
void vocabulary_close(Vocabulary *vocabulary);

typedef struct Mask Mask;
/* Copies what it needs from spec. NULL + sentence when the form cannot be served (no labels in the vocabulary, ...). */
Mask *mask_open(const Vocabulary *vocabulary, const GrammarSpec *spec, Err *err);
void mask_close(Mask *mask);

/* Bit i of bits set = token i may come next; bits has (tokenizer_count+63)/64 words, all written.
 * At least one bit is always set (an end token when the reply may or must end).
 * Returns false when everything is allowed (bits untouched), so that free text costs nothing. */
bool mask_next(Mask *mask, uint64_t *bits);
/* The token chosen; must be one that mask_next allowed (any when it returned false). */
void mask_accept(Mask *mask, int32_t token);
/* True when exactly one token is allowed now (*only is it): the caller may take it without running the model's sampler. */
bool mask_forced(Mask *mask, int32_t *only);
/* How many blocks were closed where the SEARCH text was not unique. */
size_t mask_escaped(const Mask *mask);

#endif
