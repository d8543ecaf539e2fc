/* Tokenizer: text to token ids and back, from the metadata of a GGUF file.
 *
 * Kinds: byte-level BPE ("gpt2") with the pre-tokenizers gpt-2, starcoder, qwen2, llama-bpe, deepseek-coder
 * (and others by name, see pretokenize.c), and SPM ("llama"). Facts: llama.cpp's behaviour, tested against
 * its vectors. A Tokenizer is immutable after opening: any number of threads may use it. It copies what it
 * needs.
 */
#ifndef MUX_ENGINE_TOKENIZER_H
#define MUX_ENGINE_TOKENIZER_H

#include "base/buf.h"
#include "base/err.h"

typedef struct Tokenizer Tokenizer;

/* What the model file says (GGUF keys tokenizer.ggml.*); borrowed during tokenizer_open only. */
typedef struct TokenizerSource {
    Str model;            /* "gpt2" or "llama" */
    Str pre;              /* pre-tokenizer name, may be empty */
    Str name;             /* general.name, may be empty: Phi-3 files are known by it */
    const Str *tokens;    /* vocabulary texts, stand-in spelling for byte-level BPE */
    size_t token_count;   /* at most 2^31-1 */
    const int32_t *types; /* token_type per token or NULL (all normal) */
    const float *scores;  /* SPM scores or NULL */
    const Str *merges;    /* "left right" or NULL */
    size_t merge_count;
    int32_t bos, eos, eot, eom, unknown, pad; /* -1 when absent */
    bool add_bos, add_eos, add_space_prefix;
    bool has_add_bos, has_add_space_prefix; /* whether the file says so; otherwise the kind's default */
} TokenizerSource;

typedef struct TokenList {
    int32_t *ids;
    size_t count, capacity;
} TokenList;
void tokens_push(TokenList *list, int32_t id);
void tokens_free(TokenList *list);

/* NULL + sentence for an unknown kind or pre-tokenizer, or inconsistent tables (ids out of range, merges that
 * are no tokens are tolerated and ignored as llama.cpp does). */
Tokenizer *tokenizer_open(const TokenizerSource *source, Err *err);
void tokenizer_close(Tokenizer *tokenizer); /* NULL is fine */

typedef enum TokenizeFlags {
    TOKENIZE_PLAIN = 0,
    TOKENIZE_SPECIAL =
        1, /* control tokens in the text are matched (template text); user-defined ones always are */
    TOKENIZE_BOS = 2, /* put BOS in front when the model wants it */
} TokenizeFlags;

/* Appends the ids of text. Time is O(n log n) in the worst case. Invalid UTF-8 is taken byte by byte. */
void tokenizer_encode(const Tokenizer *tokenizer, Str text, unsigned flags, TokenList *out);

/* The bytes a token stands for (control tokens: their text), borrowed; empty for ids out of range or unused.
 */
Str tokenizer_bytes(const Tokenizer *tokenizer, int32_t id);
/* Bytes to show: as tokenizer_bytes, but empty for control tokens. */
Str tokenizer_shown(const Tokenizer *tokenizer, int32_t id);
size_t tokenizer_count(const Tokenizer *tokenizer);
bool tokenizer_is_control(const Tokenizer *tokenizer, int32_t id);
bool tokenizer_is_end(const Tokenizer *tokenizer, int32_t id); /* in the end-of-generation set */
/* Exact vocabulary entry whose tokenizer_bytes equal text (control and user-defined first); -1 when none. */
int32_t tokenizer_find(const Tokenizer *tokenizer, Str text);
int32_t tokenizer_bos(const Tokenizer *tokenizer); /* -1 when none */
int32_t tokenizer_eos(const Tokenizer *tokenizer);

#endif
