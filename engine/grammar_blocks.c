/* FORM_BLOCKS: the reply machine walked together with the vocabulary (docs/decisions/forced-edits.md).
 *
 * Where text is forced the walk is narrow. Where it is free nearly every token is allowed: the regular ones
 * are taken as a set, the rest is walked once per kind of state and remembered.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/grammar_blocks_internal.h"

enum {
    CACHE_ENTRIES = 64,
    FORCED_MOST = 96,  /* bytes looked ahead for text that leaves no choice */
    ENDING_MOST = 512, /* tokens kept to bring a reply to its end */
};

/* All that decides which tokens may come, apart from the tokens in Vocabulary.crossers. */
typedef struct CacheKey {
    uint8_t part, utf8, run, run_byte, component;
    uint8_t line_start, in_margin, indented, limited, may_close, can_open;
    int32_t file;
    uint32_t generation, length;
} CacheKey;

typedef struct CacheEntry {
    bool is_used;
    CacheKey key;
    uint64_t *bits;
} CacheEntry;

struct BlockMask {
    const Vocabulary *vocabulary;
    ReplyRules rules;
    ReplyState state;
    bool has_tails;      /* a code point may be cut between tokens */
    uint32_t generation; /* blocks entered so far: older cache entries about files are stale */
    size_t escaped;
    size_t tokens,
        most_tokens;    /* accepted so far; after how many the reply is brought to its end, 0 = never */
    Buf line, new_path; /* the line being written; the path of the file being made */
    Str *created;       /* paths of the files made */
    size_t created_count, created_capacity;
    CacheEntry cache[CACHE_ENTRIES];
    TokenList forced; /* the tokenizer's spelling of the text that must come... */
    size_t forced_at; /* ...and how much of it was taken */
    ReplyState stack[VOCABULARY_LONGEST_TOKEN + 1];
    uint64_t bytes[VOCABULARY_LONGEST_TOKEN + 1][4];
};

/* May a token of this many bytes lead from one state to the other? Path lines are written in short pieces, so
 * that their length limit is never far passed. */
static bool may_stop(const BlockMask *mask, const ReplyState *from, const ReplyState *to, size_t bytes) {
    return (mask->has_tails || to->utf8 == 0) &&
           (from->part != PART_PATH || bytes <= VOCABULARY_LONGEST_NAME);
}

bool block_mask_allows(const BlockMask *mask, int32_t token) {
    if (bit_is_set(mask->vocabulary->ends, token))
        return reply_may_end(&mask->rules, &mask->state);
    if (!bit_is_set(mask->vocabulary->text, token))
        return false;
    Str bytes = tokenizer_bytes(mask->vocabulary->tokenizer, token);
    ReplyState state = mask->state;
    for (size_t i = 0; i < bytes.len; i++)
        if (!reply_step(&mask->rules, &state, (uint8_t)bytes.ptr[i]))
            return false;
    return may_stop(mask, &mask->state, &state, bytes.len);
}

static void walk(BlockMask *mask, const Trie *trie, const ReplyState *from, uint64_t *bits) {
    const Vocabulary *v = mask->vocabulary;
    ReplyState *stack = mask->stack;
    stack[0] = *from;
    reply_bytes(&mask->rules, from, mask->bytes[0]);
    for (uint32_t i = 1; i < trie->count;) {
        const TrieNode *node = &trie->nodes[i];
        const uint64_t *bytes = mask->bytes[node->depth - 1];
        ReplyState *state = &stack[node->depth];
        bool alive = bytes[node->byte >> 6] >> (node->byte & 63) & 1;
        if (alive) {
            *state = stack[node->depth - 1];
            alive = reply_step(&mask->rules, state, node->byte);
        }
        if (!alive) {
            i = node->skip;
            continue;
        }
        if (node->token >= 0 && may_stop(mask, from, state, node->depth))
            for (int32_t t = node->token; t >= 0; t = v->same[t])
                bit_set(bits, t);
        if (node->skip != ++i)
            reply_bytes(&mask->rules, state, mask->bytes[node->depth]);
    }
}

static void add_set(uint64_t *bits, const uint64_t *set, size_t words) {
    for (size_t w = 0; w < words; w++)
        bits[w] |= set[w];
}

/* ---- states that come again ---- */

static CacheKey key_of(const BlockMask *mask) {
    const ReplyState *s = &mask->state;
    CacheKey key;
    memset(&key, 0, sizeof key); /* compared as bytes */
    key.part = s->part;
    key.utf8 = s->utf8;
    key.run = s->run;
    key.run_byte = s->run ? s->run_byte : 0;
    key.line_start = s->line_start;
    key.in_margin = s->in_margin;
    key.indented = s->run && s->indented;
    key.limited = s->limited;
    key.file = FILE_NONE;
    if (s->part == PART_PATH) {
        key.component = reply_component(s);
        key.length = s->has_mark ? 0 : s->length;
    } else if (s->part == PART_REPLACE) {
        key.may_close = s->may_close;
    } else if (s->part == PART_SEARCH) {
        key.file = s->file;
        key.generation = mask->generation;
    } else if (s->part == PART_PROSE && (s->line_start || s->run)) {
        key.file = s->file;
        key.can_open = s->blocks < mask->rules.max_blocks;
        key.generation = s->file == FILE_NONE ? 0 : mask->generation;
    }
    return key;
}

static void fill_free(BlockMask *mask, uint64_t *bits) {
    const Vocabulary *v = mask->vocabulary;
    const ReplyState *s = &mask->state;
    if (s->part == PART_PATH) {
        add_set(bits, v->names, v->words);
        walk(mask, &v->paths, s, bits);
        return;
    }
    bool regular = s->part != PART_SEARCH && s->utf8 == 0 && !s->limited && s->run < VOCABULARY_MARKER_LENGTH;
    if (regular)
        add_set(bits, v->plain, v->words);
    walk(mask, regular ? &v->irregular : &v->all, s, bits);
}

static void add_cached(BlockMask *mask, uint64_t *bits) {
    const Vocabulary *v = mask->vocabulary;
    CacheKey key = key_of(mask);
    CacheEntry *entry = &mask->cache[str_hash((Str){(const char *)&key, sizeof key}) % CACHE_ENTRIES];
    if (!entry->bits)
        entry->bits = ARENA_ARRAY(&mask->rules.arena, uint64_t, v->words);
    if (!entry->is_used || memcmp(&entry->key, &key, sizeof key) != 0) {
        memset(entry->bits, 0, v->words * sizeof *bits);
        fill_free(mask, entry->bits);
        entry->is_used = true;
        entry->key = key;
    }
    memcpy(bits, entry->bits, v->words * sizeof *bits);
    for (size_t i = 0; i < v->crosser_count; i++) {
        int32_t token = v->crossers[i];
        uint64_t bit = UINT64_C(1) << (token & 63);
        bits[token >> 6] = (bits[token >> 6] & ~bit) | (block_mask_allows(mask, token) ? bit : 0);
    }
}

/* Could the line still become a path that is taken? If not, what may follow depends on little. */
static bool is_near_taken_path(const BlockMask *mask) {
    const ReplyState *s = &mask->state;
    bool near = s->known_first < s->known_last;
    for (size_t i = 0; i < mask->created_count && !near; i++)
        near = str_starts(mask->created[i], buf_text(&mask->line));
    return near;
}

static void add_path(BlockMask *mask, uint64_t *bits) {
    const Vocabulary *v = mask->vocabulary;
    ReplyState state = mask->state;
    if (state.limited || !state.is_new || state.blocks >= mask->rules.max_blocks) {
        walk(mask, &v->all, &state, bits);
    } else if (!is_near_taken_path(mask)) {
        add_cached(mask, bits);
    } else {
        add_set(bits, v->names, v->words);
        walk(mask, &v->paths, &state, bits);
        state.is_new = false; /* known paths may hold any signs */
        walk(mask, &v->all, &state, bits);
    }
}

void block_mask_next(BlockMask *mask, uint64_t *bits) {
    const Vocabulary *v = mask->vocabulary;
    const ReplyState *s = &mask->state;
    memset(bits, 0, v->words * sizeof *bits);
    bool is_search_start = s->part == PART_SEARCH && s->has_text && s->search.length == 0;
    if (s->part == PART_PROSE || s->part == PART_REPLACE || is_search_start)
        add_cached(mask, bits);
    else if (s->part == PART_PATH)
        add_path(mask, bits);
    else
        walk(mask, &v->all, s, bits);
    if (reply_may_end(&mask->rules, s))
        add_set(bits, v->ends, v->words);
}

/* ---- taking a token ---- */

static void follow_line(BlockMask *mask, uint8_t part, uint8_t byte) {
    if (part != PART_PROSE && part != PART_PATH)
        return;
    if (byte != '\n') {
        if (mask->line.len < 4096)
            buf_char(&mask->line, (char)byte);
        return;
    }
    if (mask->state.file == FILE_NEW && !mask->state.is_fenced) {
        buf_clear(&mask->new_path);
        buf_str(&mask->new_path, buf_text(&mask->line));
    }
    buf_clear(&mask->line);
}

void block_mask_accept(BlockMask *mask, int32_t token) {
    if (mask->forced_at < mask->forced.count && mask->forced.ids[mask->forced_at] == token)
        mask->forced_at++;
    else
        mask->forced.count = mask->forced_at = 0;
    if (!block_mask_allows(mask, token) || bit_is_set(mask->vocabulary->ends, token))
        return;
    Str bytes = tokenizer_bytes(mask->vocabulary->tokenizer, token);
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t part = mask->state.part, byte = (uint8_t)bytes.ptr[i];
        reply_step(&mask->rules, &mask->state, byte);
        follow_line(mask, part, byte);
    }
    bool escaped = mask->state.is_done && mask->state.escaped;
    if (mask->state.is_done && mask->state.done_file == FILE_NEW) {
        Str path = buf_copy(&mask->new_path, &mask->rules.arena);
        LIST_PUSH(&mask->rules.arena, mask->created, mask->created_count, mask->created_capacity, path);
    }
    if (reply_settle(&mask->rules, &mask->state, buf_text(&mask->new_path))) {
        mask->generation++;
        mask->escaped += escaped;
    }
    if (++mask->tokens == mask->most_tokens) {
        reply_wind_up(&mask->rules, &mask->state);
        mask->generation++;
    }
}

/* ---- text that leaves no choice ---- */

static int only_byte(const uint64_t *set) {
    int only = -1;
    for (int w = 0; w < 4; w++) {
        if (!set[w])
            continue;
        if (only >= 0 || (set[w] & (set[w] - 1)))
            return -1;
        only = w * 64 + __builtin_ctzll(set[w]);
    }
    return only;
}

/* The last token of the spelling is left out: with the text behind it, it might have been cut elsewhere. */
static void spell_forced(BlockMask *mask) {
    const Tokenizer *tokenizer = mask->vocabulary->tokenizer;
    char text[FORCED_MOST];
    size_t n = 0, spelled = 0;
    ReplyState state = mask->state;
    mask->forced.count = mask->forced_at = 0;
    while (n < FORCED_MOST && !reply_may_end(&mask->rules, &state)) {
        uint64_t set[4];
        int byte = reply_bytes(&mask->rules, &state, set) ? only_byte(set) : -1;
        if (byte < 0 || !reply_step(&mask->rules, &state, (uint8_t)byte))
            break;
        text[n++] = (char)byte;
    }
    if (n < 2)
        return;
    tokenizer_encode(tokenizer, (Str){text, n}, TOKENIZE_PLAIN, &mask->forced);
    mask->forced.count -= mask->forced.count > 0;
    for (size_t i = 0; i < mask->forced.count; i++) {
        Str bytes = tokenizer_bytes(tokenizer, mask->forced.ids[i]);
        if (!bit_is_set(mask->vocabulary->text, mask->forced.ids[i]) || bytes.len > n - spelled ||
            memcmp(bytes.ptr, text + spelled, bytes.len) != 0) {
            mask->forced.count = i; /* a kind of tokenizer that puts a blank in front */
            break;
        }
        spelled += bytes.len;
    }
}

int32_t block_mask_forced(BlockMask *mask) {
    const ReplyState *s = &mask->state;
    bool at_end = s->part == PART_PATH && s->length == 0 &&
                  (s->blocks >= mask->rules.max_blocks ||
                   (!s->is_new && mask->rules.next_offered[0] == mask->rules.file_count));
    if (at_end)
        return mask->vocabulary->first_end;
    if (mask->forced_at >= mask->forced.count)
        spell_forced(mask);
    if (mask->forced_at < mask->forced.count && block_mask_allows(mask, mask->forced.ids[mask->forced_at]))
        return mask->forced.ids[mask->forced_at];
    return -1;
}

size_t block_mask_escaped(const BlockMask *mask) {
    return mask->escaped;
}

/* ---- opening ---- */

static bool can_spell(const Vocabulary *v, const char *text) {
    for (; *text; text++)
        if (!v->has_byte[(uint8_t)*text])
            return false;
    return true;
}

BlockMask *block_mask_open(const Vocabulary *v, const GrammarSpec *spec, Err *err) {
    if (!can_spell(v, "<<<<<<< SEARCH\n=======\n>>>>>>> REPLACE\nabc")) {
        err_set(err, ERR_UNSUPPORTED,
                "the model's vocabulary lacks single characters that forced blocks are spelled with");
        return NULL;
    }
    BlockMask *mask = calloc(1, sizeof *mask);
    if (!mask) {
        err_set(err, ERR_NO_MEMORY, "not enough memory for forced blocks");
        return NULL;
    }
    mask->vocabulary = v;
    mask->has_tails = true;
    for (int b = 0x80; b < 0xc0; b++)
        mask->has_tails = mask->has_tails && v->has_byte[b];
    if (!reply_rules_open(&mask->rules, spec, v->has_byte, err)) {
        free(mask);
        return NULL;
    }
    mask->state = reply_start(&mask->rules);
    size_t ending = spec->max_tokens / 4 < ENDING_MOST ? spec->max_tokens / 4 : ENDING_MOST;
    mask->most_tokens = spec->max_tokens - ending;
    return mask;
}

void block_mask_close(BlockMask *mask) {
    if (!mask)
        return;
    reply_rules_close(&mask->rules);
    buf_free(&mask->line);
    buf_free(&mask->new_path);
    tokens_free(&mask->forced);
    free(mask);
}
