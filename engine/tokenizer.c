#include "engine/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/utf8.h"
#include "engine/tokenizer_internal.h"

void *memory_or_end(void *old, size_t count, size_t element_bytes) {
    void *p = count > SIZE_MAX / element_bytes ? NULL : realloc(old, count * element_bytes);
    if (!p && count) {
        log_line(LOG_ERROR,
                 "out of memory while tokenizing (%zu items of %zu bytes); close other programs and retry",
                 count, element_bytes);
        abort();
    }
    return p;
}

void tokens_push(TokenList *list, int32_t id) {
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 64;
        list->ids = memory_or_end(list->ids, list->capacity, sizeof *list->ids);
    }
    list->ids[list->count++] = id;
}

void tokens_free(TokenList *list) {
    free(list->ids);
    *list = (TokenList){0};
}

/* ---- the table of tokens ---- */

static const uint64_t GOLDEN = UINT64_C(0x9E3779B97F4A7C15); /* 2^64 over the golden ratio */

static uint64_t load(const char *bytes, size_t n) {
    uint64_t word = 0;
    memcpy(&word, bytes, n);
    return word;
}

/* Up to eight bytes as they are (loads may overlap: with the length that is still one-to-one), longer ones
 * hashed. */
static uint64_t token_head(const char *bytes, size_t len) {
    if (len >= 4 && len <= 8)
        return load(bytes, 4) | load(bytes + len - 4, 4) << 32;
    if (len < 4)
        return len ? load(bytes, 1) | load(bytes + len / 2, 1) << 8 | load(bytes + len - 1, 1) << 16 : 0;
    uint64_t h = 0;
    for (; len >= 8; bytes += 8, len -= 8) {
        h = (h ^ load(bytes, 8)) * GOLDEN;
        h ^= h >> 32;
    }
    h = (h ^ load(bytes, len)) * GOLDEN;
    return h ^ h >> 29;
}

/* The slot of a token, or the free one where it belongs. */
static TokenSlot *token_slot(const Tokenizer *t, const char *bytes, size_t len) {
    uint64_t head = token_head(bytes, len);
    size_t i = (size_t)((head ^ (uint64_t)len << 56) * GOLDEN >> 32) & t->slot_mask;
    for (;; i = (i + 1) & t->slot_mask) {
        TokenSlot *slot = &t->slots[i];
        if (slot->id == TOKEN_NONE)
            return slot;
        if (slot->head == head && slot->len == len &&
            (len <= 8 || !memcmp(t->texts + t->offsets[slot->id], bytes, len)))
            return slot;
    }
}

uint32_t token_lookup(const Tokenizer *t, const char *bytes, size_t len) {
    return len > t->longest ? TOKEN_NONE : token_slot(t, bytes, len)->id;
}

/* Later tokens of the same bytes are reached by id only. */
static void table_add(Tokenizer *t, uint32_t id) {
    const char *bytes = t->texts + t->offsets[id];
    size_t len = t->offsets[id + 1] - t->offsets[id];
    TokenSlot *slot = token_slot(t, bytes, len);
    if (slot->id != TOKEN_NONE)
        return;
    *slot = (TokenSlot){token_head(bytes, len), id, (uint32_t)len};
    t->longest = len > t->longest ? len : t->longest;
}

/* ---- opening ---- */

/* Tokens that end a generation whatever the file calls them. */
static const char *const END_TEXTS[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<eos>",
    "<end_of_utterance>",
    "<turn|>",
    "<|tool_response>",
    "[e~[",
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
    u8"<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
};
/* Tokens that are control tokens whatever the file calls them. */
static const char *const CONTROL_TEXTS[] = {
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    "<fim-prefix>",
    "<fim-suffix>",
    "<fim-middle>",
    "<fim_prefix>",
    "<fim_suffix>",
    "<fim_middle>",
    "<PRE>",
    "<SUF>",
    "<MID>",
    u8"\u2581<PRE>",
    u8"\u2581<SUF>",
    u8"\u2581<MID>",
    "<|code_prefix|>",
    "<|code_suffix|>",
    "<|code_middle|>",
    "<|prefix|>",
    "<|suffix|>",
    "<|middle|>",
    u8"<\uFF5Cfim\u2581begin\uFF5C>",
    u8"<\uFF5Cfim\u2581hole\uFF5C>",
    u8"<\uFF5Cfim\u2581end\uFF5C>",
};
/* Tokens of the harmony format that carry text of the answer, though the files call them control. */
static const char *const SHOWN_TEXTS[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

static bool is_listed(Str text, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (str_eq(text, str_of(list[i])))
            return true;
    return false;
}
#define IS_LISTED(text, list) is_listed((text), (list), sizeof(list) / sizeof *(list))

static bool check_source(const TokenizerSource *s, Err *err) {
    if (!str_eq(s->model, S("gpt2")) && !str_eq(s->model, S("llama")))
        return err_set(
            err, ERR_UNSUPPORTED,
            "tokenizer kind \"%.*s\" is not supported (byte-level BPE \"gpt2\" and SPM \"llama\" are): "
            "use another model file",
            STR_ARG(s->model));
    if (!s->tokens || !s->token_count || s->token_count > INT32_MAX)
        return err_set(err, ERR_INVALID, "the model file holds %zu tokens: it is damaged or not a model",
                       s->token_count);
    if (s->merge_count >= RANK_NONE)
        return err_set(err, ERR_LIMIT, "the model file holds %zu merges: it is damaged", s->merge_count);
    size_t bytes = 0;
    for (size_t i = 0; i < s->token_count; i++) {
        if (s->tokens[i].len > UINT32_MAX - bytes)
            return err_set(err, ERR_LIMIT, "the tokens of the model file exceed 4 GB: it is damaged");
        bytes += s->tokens[i].len;
    }
    const int32_t ids[] = {s->bos, s->eos, s->eot, s->eom, s->unknown, s->pad};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i] >= 0 && (size_t)ids[i] >= s->token_count)
            return err_set(err, ERR_INVALID,
                           "the model file names special token %d, but has only %zu tokens: it is damaged",
                           ids[i], s->token_count);
    return true;
}

static uint8_t token_type(const TokenizerSource *s, size_t i) {
    int32_t type =
        s->types && s->types[i] >= TOKEN_NORMAL && s->types[i] <= TOKEN_BYTE ? s->types[i] : TOKEN_NORMAL;
    Str text = s->tokens[i];
    char last = text.len ? text.ptr[text.len - 1] : 0; /* few tokens end as the listed ones do */
    if (last == '>' || last == ']' || last == '[') {
        if (IS_LISTED(text, END_TEXTS) || IS_LISTED(text, CONTROL_TEXTS))
            return TOKEN_CONTROL;
        if (IS_LISTED(text, SHOWN_TEXTS))
            return TOKEN_USER_DEFINED;
    }
    return (uint8_t)type;
}

/* "<0xNN>" as its byte, -1 for anything else. */
static int byte_spelled(Str text) {
    if (text.len != 6 || !str_starts(text, S("<0x")) || text.ptr[5] != '>')
        return -1;
    int value = 0;
    for (size_t i = 3; i < 5; i++) {
        char c = text.ptr[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Appends text with every U+2581 as a blank. */
static size_t spm_unspell(Str text, char *out) {
    size_t n = 0;
    for (size_t at = 0; at < text.len;) {
        if (text.len - at >= 3 && !memcmp(text.ptr + at, "\xE2\x96\x81", 3)) {
            out[n++] = ' ';
            at += 3;
        } else {
            out[n++] = text.ptr[at++];
        }
    }
    return n;
}

/* Writes what token i stands for to out; whether text can become it by merging. */
static bool unspell(Tokenizer *t, const TokenizerSource *s, uint32_t i, char *out, size_t *len) {
    Str text = s->tokens[i];
    int byte = t->types[i] == TOKEN_BYTE ? byte_spelled(text) : -1;
    bool merges = t->types[i] == TOKEN_NORMAL || t->types[i] == TOKEN_UNUSED;
    *len = 0;
    if (byte >= 0) {
        out[(*len)++] = (char)byte;
        if (t->byte_ids[byte] == TOKEN_NONE)
            t->byte_ids[byte] = i;
        return false;
    }
    if (merges && t->is_spm) {
        *len = spm_unspell(text, out);
        return *len && str_find_char(text, ' ', 0) == STR_NONE;
    }
    if (merges && bpe_unspell(text, out, len))
        return *len > 0;
    if (text.len)
        memcpy(out, text.ptr, text.len);
    *len = text.len;
    bool ascii = text.len > 0;
    for (size_t k = 0; k < text.len; k++)
        ascii = ascii && text.ptr[k] > ' ' && text.ptr[k] <= '~';
    return t->types[i] == TOKEN_USER_DEFINED && ascii;
}

static void build_tokens(Tokenizer *t, const TokenizerSource *s) {
    size_t bytes = 0, slots = 16;
    for (size_t i = 0; i < s->token_count; i++)
        bytes += s->tokens[i].len;
    while (slots < s->token_count + s->token_count / 2)
        slots *= 2;
    char *texts = arena_alloc(&t->arena, bytes + 1);
    uint32_t *offsets = ARENA_ARRAY(&t->arena, uint32_t, s->token_count + 1);
    t->texts = texts;
    t->offsets = offsets;
    t->types = ARENA_ARRAY(&t->arena, uint8_t, s->token_count);
    t->ends = ARENA_ARRAY(&t->arena, uint8_t, s->token_count);
    t->slots = ARENA_ARRAY(&t->arena, TokenSlot, slots);
    memset(t->slots, 0xFF, slots * sizeof *t->slots);
    memset(t->byte_ids, 0xFF, sizeof t->byte_ids);
    t->slot_mask = slots - 1;
    for (uint32_t i = 0; i < t->count; i++) {
        size_t len;
        t->types[i] = token_type(s, i);
        bool merges = unspell(t, s, i, texts + offsets[i], &len);
        offsets[i + 1] = offsets[i] + (uint32_t)len;
        if (merges)
            table_add(t, i);
    }
    for (unsigned b = 0; b < 256 && !t->is_spm; b++) {
        char byte = (char)b;
        t->byte_ids[b] = token_lookup(t, &byte, 1);
    }
}

/* End of generation is a set. Where a token of the harmony format closes a turn, <|end|> only closes a
 * channel. */
static void mark_ends(Tokenizer *t, const TokenizerSource *s) {
    const int32_t named[] = {s->eos, s->eot, s->eom};
    bool returns = false, calls = false, flushes = false;
    uint32_t end = TOKEN_NONE;
    for (uint32_t i = 0; i < t->count; i++) {
        Str text = s->tokens[i];
        if (t->types[i] != TOKEN_CONTROL || !IS_LISTED(text, END_TEXTS))
            continue;
        t->ends[i] = 1;
        returns = returns || str_eq(text, S("<|return|>"));
        calls = calls || str_eq(text, S("<|call|>")) || str_eq(text, S("<|calls|>"));
        flushes = flushes || str_eq(text, S("<|flush|>"));
        end = str_eq(text, S("<|end|>")) ? i : end;
    }
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (named[i] >= 0)
            t->ends[named[i]] = 1;
    if (end != TOKEN_NONE && calls && (returns || flushes)) {
        t->ends[end] = 0;
        t->types[end] = TOKEN_USER_DEFINED;
    }
}

Tokenizer *tokenizer_open(const TokenizerSource *source, Err *err) {
    if (!check_source(source, err))
        return NULL;
    Arena arena = {0};
    Tokenizer *t = ARENA_NEW(&arena, Tokenizer);
    t->arena = arena;
    t->is_spm = str_eq(source->model, S("llama"));
    t->count = (uint32_t)source->token_count;
    if (!t->is_spm) {
        t->pre = pretokenizer_find(source->pre.len ? source->pre : S("default"));
        if (!t->pre) {
            err_set(err, ERR_UNSUPPORTED,
                    "pre-tokenizer \"%.*s\" of the model file is not known: its text would be cut wrongly; "
                    "use another model",
                    STR_ARG(source->pre));
            tokenizer_close(t);
            return NULL;
        }
        if (!source->pre.len)
            log_line(LOG_WARN, "the model file names no pre-tokenizer: text is cut by the fallback rule, "
                               "answers may suffer");
    }
    t->bos = source->bos < 0 && t->is_spm && t->count > 1 ? 1 : source->bos;
    t->eos = source->eos < 0 && t->is_spm && t->count > 2 ? 2 : source->eos;
    t->unknown = source->unknown < 0 && t->is_spm ? 0 : source->unknown;
    t->add_bos = source->has_add_bos ? source->add_bos : t->is_spm || pretokenizer_adds_bos(t->pre);
    t->add_space_prefix = t->is_spm && (!source->has_add_space_prefix || source->add_space_prefix);
    build_tokens(t, source);
    mark_ends(t, source);
    special_build(t, source);
    if (t->is_spm)
        spm_build(t, source);
    else
        bpe_build(t, source);
    return t;
}

void tokenizer_close(Tokenizer *t) {
    if (!t)
        return;
    Arena arena = t->arena; /* it holds the tokenizer itself */
    arena_free(&arena);
}

/* ---- encoding ---- */

/* The text before, between and after special tokens; each such stretch is a text of its own. */
static void encode_stretch(Encoding *e, Str text) {
    if (text.len && e->tokenizer->is_spm)
        spm_encode(e, text);
    else if (text.len)
        bpe_encode(e, text);
}

void tokenizer_encode(const Tokenizer *t, Str text, unsigned flags, TokenList *out) {
    if ((flags & TOKENIZE_BOS) && t->add_bos && t->bos >= 0)
        tokens_push(out, t->bos);
    Encoding e = {.tokenizer = t, .out = out};
    size_t count, at = 0;
    SpecialSpan *spans = special_find(t, text, flags & TOKENIZE_SPECIAL, &count);
    for (size_t i = 0; i < count; i++) {
        encode_stretch(&e, str_slice(text, at, spans[i].begin));
        tokens_push(out, (int32_t)spans[i].id);
        at = spans[i].next;
    }
    encode_stretch(&e, str_from(text, at));
    free(spans);
    free(e.symbols);
    free(e.queue);
}

/* ---- looking up ---- */

Str tokenizer_bytes(const Tokenizer *t, int32_t id) {
    if (id < 0 || (uint32_t)id >= t->count || t->types[id] == TOKEN_UNUSED)
        return (Str){"", 0};
    return (Str){t->texts + t->offsets[id], t->offsets[id + 1] - t->offsets[id]};
}

Str tokenizer_shown(const Tokenizer *t, int32_t id) {
    return tokenizer_is_control(t, id) ? (Str){"", 0} : tokenizer_bytes(t, id);
}

size_t tokenizer_count(const Tokenizer *t) {
    return t->count;
}

bool tokenizer_is_control(const Tokenizer *t, int32_t id) {
    return id >= 0 && (uint32_t)id < t->count &&
           (t->types[id] == TOKEN_CONTROL || t->types[id] == TOKEN_UNKNOWN);
}

bool tokenizer_is_end(const Tokenizer *t, int32_t id) {
    return id >= 0 && (uint32_t)id < t->count && t->ends[id];
}

int32_t tokenizer_find(const Tokenizer *t, Str text) {
    uint32_t id = special_lookup(t, text);
    if (id == TOKEN_NONE && text.len)
        id = token_lookup(t, text.ptr, text.len);
    if (id == TOKEN_NONE && text.len == 1)
        id = t->byte_ids[(unsigned char)text.ptr[0]];
    return id == TOKEN_NONE ? -1 : (int32_t)id;
}

int32_t tokenizer_bos(const Tokenizer *t) {
    return t->bos;
}
int32_t tokenizer_eos(const Tokenizer *t) {
    return t->eos;
}
