/* Grammar: which tokens may come next, so that every edit a model writes can be applied.
 *
 * The caller describes the form wanted as plain data (GrammarSpec); the engine turns it into a Mask over its
 * vocabulary. Bytes, not token ids, walk the automata, because a file's own tokenisation is not the only one.
 *
 * Calling sequence, per token: mask_forced, else mask_next and the sampler; then mask_accept. An end token is
 * not accepted.
 *
 * Two forms:
 *  - FORM_BLOCKS, for models that answer in search/replace blocks. Free prose is allowed; once a line is
 * exactly a path of the files given (or a new one, where allowed) and the next line begins with "<<<<<" (a
 * code fence may stand between), the block syntax is forced: path
 *        <<<<<<< SEARCH
 *        (verbatim whole lines of that file that no earlier block took; closes only where they occur once)
 *        =======
 *        (free text, bounded; must not equal the SEARCH text)
 *        >>>>>>> REPLACE
 *    Elsewhere no line can begin like a marker. A start that leads to no unique text is not offered, so a
 * block never has to close on text that repeats, except in a file where all text repeats: there one line is
 * selected and the block counts as escaped (the way out). Files that cannot be quoted are not offered.
 * docs/decisions/forced-edits.md tells the rest.
 *  - FORM_LABELS, for mux-tiny: labels <|k|> rise and exist; modes as in docs/decisions/labels.md:
 *    LABELS_FREE (only form), LABELS_GUIDED,
 *    LABELS_STRICT (old line followed token by token, foreign text let in),
 *    LABELS_ANCHORED (foreign text only at words of the old line that the request holds too).
 *
 * A Mask belongs to one generation and one thread; a Vocabulary is shared by any number of them. mask_next
 * costs at most ~50 microseconds on average for a 150k vocabulary and a 2,000-line file (tests/bench/mask).
 */
#ifndef MUX_ENGINE_GRAMMAR_H
#define MUX_ENGINE_GRAMMAR_H

#include "engine/tokenizer.h"

typedef enum GrammarForm { FORM_NONE, FORM_BLOCKS, FORM_LABELS } GrammarForm;
typedef enum LabelMode { LABELS_FREE, LABELS_GUIDED, LABELS_STRICT, LABELS_ANCHORED } LabelMode;

typedef struct GrammarFile {
    Str path; /* as shown to the model */
    Str text; /* as shown to the model, LF line ends; must not hold NUL */
} GrammarFile;

typedef struct GrammarSpec {
    GrammarForm form;
    /* FORM_BLOCKS */
    const GrammarFile *files;
    size_t file_count;
    bool allow_new_files;     /* a path not in files is allowed; its SEARCH part must then be empty */
    bool edits_only;          /* no prose: the reply starts with a path line, and holds at least one block */
    size_t max_blocks;        /* 0 = 64 */
    size_t max_replace_bytes; /* per block, 0 = 64 KiB: then only the closing marker is allowed */
    size_t max_search_bytes;  /* per block, 0 = 16 KiB: then it closes at the next line end; longer lines are
                                 not offered */
    size_t max_tokens; /* of the whole reply, 0 = no limit. Near it blocks are brought to an end and no new
                          one begins, so that a reply is not cut inside a block. The engine fills in what the
                          context holds */
    /* FORM_LABELS */
    Str excerpt; /* lines joined by \n, without a final \n */
    Str request; /* the instruction, for the words that choose lines and the tokens let in */
    LabelMode label_mode;
    int first_label; /* label of the first line, normally 1 */
} GrammarSpec;

typedef struct Vocabulary Vocabulary; /* byte trie over a tokenizer's tokens; immutable, shared by masks */
/* About 50 ms and 12 MB for 150k tokens: once per model. The tokenizer must outlive it. */
Vocabulary *vocabulary_open(const Tokenizer *tokenizer, Err *err);
void vocabulary_close(Vocabulary *vocabulary);

typedef struct Mask Mask;
/* Copies what it needs from spec; the vocabulary must outlive it. NULL + sentence when the form cannot be
 * served (no labels in the vocabulary, ...). */
Mask *mask_open(const Vocabulary *vocabulary, const GrammarSpec *spec, Err *err);
void mask_close(Mask *mask);

/* Bit i of bits set = token i may come next; bits has (tokenizer_count+63)/64 words, all written.
 * At least one bit is always set (an end token when the reply may or must end).
 * Returns false when everything is allowed (bits untouched), so that free text costs nothing. */
bool mask_next(Mask *mask, uint64_t *bits);
/* The token chosen; must be one that mask_next allowed (any when it returned false). */
void mask_accept(Mask *mask, int32_t token);
/* True when exactly one token is allowed now (*only is it): the caller may take it without running the
 * model's sampler. */
bool mask_forced(Mask *mask, int32_t *only);
/* How many blocks were closed where the SEARCH text was not unique. */
size_t mask_escaped(const Mask *mask);

#endif
