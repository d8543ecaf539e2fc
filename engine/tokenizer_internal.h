/* Inside the tokenizer: the tables, and the steps each file adds to one encode call.
 *
 * tokenizer.c  opening, decoding, and the loop over the stretches between special tokens
 * special.c    where special tokens stand in a text
 * pretokenize.c  cuts a stretch into pieces merges never cross (byte-level BPE)
 * bpe.c, spm.c  the pair tables of the two kinds
 * merge.c      best pair first, shared by both kinds
 *
 * Both kinds work on the bytes a token stands for: the printable stand-ins of byte-level BPE and the U+2581
 * of SPM are undone once, when the file is opened.
 */
#ifndef MUX_ENGINE_TOKENIZER_INTERNAL_H
#define MUX_ENGINE_TOKENIZER_INTERNAL_H

#include "engine/tokenizer.h"

enum { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED, TOKEN_BYTE };

#define TOKEN_NONE UINT32_MAX
#define RANK_NONE UINT32_MAX
/* Longer pieces are cut here, so that offsets fit 32 bits with room for the merge queue. */
#define PIECE_MAX_BYTES ((size_t)1 << 28)

/* Open addressing: token bytes -> id, TOKEN_NONE in a free slot. head holds the bytes of a token of up to
 * eight, so that most look-ups touch one slot and nothing else; of longer ones it holds a hash. */
typedef struct TokenSlot {
    uint64_t head;
    uint32_t id, len;
} TokenSlot;

/* Open addressing: (left id, right id) -> rank; rank is RANK_NONE in a free slot. */
typedef struct PairSlot {
    uint32_t left, right, rank;
} PairSlot;

/* A token matched in the text before anything else, in a list sorted by bytes. */
typedef struct Special {
    Str text;
    uint32_t id;
    uint32_t order;   /* longest first, then by id: who wins where two overlap */
    bool user;        /* matched in any text, not only in template text */
    bool strips_next; /* swallows the blanks after it (Phi-3) */
} Special;

typedef struct PreTokenizer PreTokenizer;

struct Tokenizer {
    Arena arena;
    bool is_spm, add_bos, add_space_prefix;
    bool has_strips; /* some special token swallows blanks */
    const PreTokenizer *pre;
    uint32_t count;
    int32_t bos, eos, unknown;

    const char *texts;       /* the bytes of all tokens, one after the other */
    const uint32_t *offsets; /* [count + 1] into texts */
    uint8_t *types;          /* [count] TOKEN_* */
    uint8_t *ends;           /* [count] 1: ends the generation */
    TokenSlot *slots;
    size_t slot_mask;
    size_t longest; /* bytes of the longest token that text can become */

    Special *specials; /* [special_count] sorted by bytes */
    size_t special_count, special_user_count;
    uint32_t special_first[257]; /* range of specials by first byte */

    uint32_t byte_ids[256]; /* the token of a single byte, TOKEN_NONE when there is none */

    PairSlot *pairs; /* BPE */
    size_t pair_mask;
    const uint32_t *pair_results; /* [rank] id of the joined token */
    uint32_t *byte_pair_ranks;    /* [left byte * 256 + right byte]: most look-ups are these */

    const uint32_t *score_ranks; /* SPM: [count] smaller is better */
    bool has_words;              /* SPM: no token holds a blank after another character: words may be cut */
};

/* One encode call: the tokenizer, the output, and memory reused from piece to piece. */
typedef struct Encoding {
    const Tokenizer *tokenizer;
    TokenList *out;
    struct MergeSymbol *symbols;
    size_t symbol_capacity;
    uint64_t *queue;
    size_t queue_count, queue_capacity;
} Encoding;

/* tokenizer.c */
uint32_t token_lookup(const Tokenizer *tokenizer, const char *bytes, size_t len); /* TOKEN_NONE when absent */
void *memory_or_end(void *old, size_t count,
                    size_t element_bytes); /* realloc that ends the process on failure */

/* special.c */
typedef struct SpecialSpan {
    size_t begin, end, next; /* text[begin, end) is the token, the stretch after it starts at next */
    uint32_t id, order;
} SpecialSpan;
void special_build(Tokenizer *tokenizer, const TokenizerSource *source);
/* Spans in text order, the caller's to free; NULL and *count 0 when there are none. */
SpecialSpan *special_find(const Tokenizer *tokenizer, Str text, bool with_control, size_t *count);
uint32_t special_lookup(const Tokenizer *tokenizer, Str text); /* exact; TOKEN_NONE when absent */

/* pretokenize.c */
const PreTokenizer *pretokenizer_find(Str name); /* NULL when unknown */
bool pretokenizer_ignores_merges(const PreTokenizer *pre);
bool pretokenizer_adds_bos(const PreTokenizer *pre);
typedef void (*PieceSink)(void *context, const char *piece, size_t len);
void pretokenize(const PreTokenizer *pre, Str text, PieceSink sink, void *context);

/* bpe.c */
/* The bytes a stand-in spelling means: at most text.len of them, to out; false when it is none. */
bool bpe_unspell(Str text, char *out, size_t *len);
void bpe_build(Tokenizer *tokenizer, const TokenizerSource *source);
void bpe_encode(Encoding *encoding, Str text);

/* spm.c */
void spm_build(Tokenizer *tokenizer, const TokenizerSource *source);
void spm_encode(Encoding *encoding, Str text);

/* merge.c */
/* Rank of joining text[left, right) and text[right, end), RANK_NONE for never; *joined becomes the id. */
typedef uint32_t (*PairRank)(const Tokenizer *tokenizer, const char *text, size_t left, size_t right,
                             size_t end, uint32_t left_id, uint32_t right_id, uint32_t *joined);
/* The symbol at text[at...]: its length in bytes, *id becomes its token or TOKEN_NONE. */
typedef size_t (*FirstSymbol)(const Tokenizer *tokenizer, const char *text, size_t at, size_t len,
                              uint32_t *id);
/* Joins the best pair, leftmost first among equals, until none is left; appends the ids. */
void merge_piece(Encoding *encoding, const char *text, size_t len, FirstSymbol first, PairRank rank);

#endif
