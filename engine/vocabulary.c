/* The vocabulary seen as bytes: tokens sorted, laid out as flat tries, and sorted into sets that never need a
 * walk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "engine/grammar_internal.h"

enum { LABELS_AT_MOST = 65536 };

typedef struct Entry {
    Str bytes;
    int32_t token;
} Entry;

static int entry_compare(const void *left, const void *right) {
    const Entry *a = left, *b = right;
    int order = str_cmp(a->bytes, b->bytes);
    return order ? order : (a->token > b->token) - (a->token < b->token);
}

static size_t common_prefix(Str a, Str b) {
    size_t n = a.len < b.len ? a.len : b.len, i = 0;
    while (i < n && a.ptr[i] == b.ptr[i])
        i++;
    return i;
}

/* Entries must be sorted; only those in `chosen` (NULL: all) become part of the trie. */
static bool trie_build(Trie *trie, const Entry *entries, size_t count, const uint64_t *chosen) {
    size_t nodes = 1;
    Str last = {0};
    for (size_t i = 0; i < count; i++) {
        if (chosen && !bit_is_set(chosen, entries[i].token))
            continue;
        nodes += entries[i].bytes.len - common_prefix(last, entries[i].bytes);
        last = entries[i].bytes;
    }
    trie->nodes = calloc(nodes, sizeof *trie->nodes);
    if (!trie->nodes || nodes > UINT32_MAX)
        return false;
    uint32_t path[VOCABULARY_LONGEST_TOKEN + 1] = {0}, n = 1;
    size_t open = 0; /* depth of the branch being built */
    trie->nodes[0].token = -1;
    last = (Str){0};
    for (size_t i = 0; i < count; i++) {
        Str bytes = entries[i].bytes;
        if ((chosen && !bit_is_set(chosen, entries[i].token)) || (last.len && str_eq(bytes, last)))
            continue;
        size_t shared = common_prefix(last, bytes);
        for (; open > shared; open--)
            trie->nodes[path[open]].skip = n;
        for (; open < bytes.len; n++) {
            trie->nodes[n] = (TrieNode){-1, 0, (uint8_t)bytes.ptr[open], (uint8_t)(open + 1)};
            path[++open] = n;
        }
        trie->nodes[path[open]].token = entries[i].token;
        last = bytes;
    }
    for (; open > 0; open--)
        trie->nodes[path[open]].skip = n;
    trie->nodes[0].skip = n;
    trie->count = n;
    return true;
}

static bool is_name_byte(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool is_plain(Str bytes) {
    size_t blanks = 0;
    while (blanks < bytes.len && (bytes.ptr[blanks] == ' ' || bytes.ptr[blanks] == '\t'))
        blanks++;
    if ((blanks < bytes.len && strchr("<=>", bytes.ptr[blanks])) || !utf8_valid(bytes))
        return false;
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = (uint8_t)bytes.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* Only letters, digits and '_': may stand anywhere in a path that is not at its length limit. */
static bool is_name(Str bytes) {
    if (bytes.len > VOCABULARY_LONGEST_NAME)
        return false;
    for (size_t i = 0; i < bytes.len; i++)
        if (!is_name_byte((uint8_t)bytes.ptr[i]))
            return false;
    return true;
}

static bool starts_like_path(Str bytes) {
    for (size_t i = 0; i < bytes.len && bytes.ptr[i] != '\n'; i++)
        if (!is_name_byte((uint8_t)bytes.ptr[i]) && !strchr("./+@-", bytes.ptr[i]))
            return false;
    return bytes.ptr[0] != 0;
}

static bool is_crosser(Str bytes) {
    return str_contains(bytes, S("\n<<<<<")) || str_contains(bytes, S("\n>>>>>"));
}

static bool find_labels(Vocabulary *v) {
    size_t capacity = 0;
    for (size_t k = 1; k <= LABELS_AT_MOST; k++) {
        char name[32];
        int n = snprintf(name, sizeof name, "<|%zu|>", k);
        int32_t id = tokenizer_find(v->tokenizer, (Str){name, (size_t)n});
        if (id < 0)
            return true;
        if (v->label_count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            int32_t *grown = realloc(v->labels, capacity * sizeof *grown);
            if (!grown)
                return false;
            v->labels = grown;
        }
        v->labels[v->label_count++] = id;
    }
    return true;
}

static void find_ends(Vocabulary *v) {
    v->first_end = -1;
    for (size_t i = v->count; i-- > 0;)
        if (tokenizer_is_end(v->tokenizer, (int32_t)i)) {
            bit_set(v->ends, (int32_t)i);
            v->first_end = (int32_t)i;
        }
    int32_t eos = tokenizer_eos(v->tokenizer);
    if (eos >= 0 && (size_t)eos < v->count && bit_is_set(v->ends, eos))
        v->first_end = eos;
}

/* Tokens that stand for text, sorted by their bytes; `same` chains equal ones. */
static Entry *list_texts(Vocabulary *v, size_t *count) {
    Entry *entries = calloc(v->count, sizeof *entries);
    if (!entries)
        return NULL;
    uint64_t *labels = calloc(v->words, sizeof *labels);
    if (!labels) {
        free(entries);
        return NULL;
    }
    for (size_t k = 0; k < v->label_count; k++)
        bit_set(labels, v->labels[k]);
    size_t n = 0;
    for (size_t i = 0; i < v->count; i++) {
        int32_t id = (int32_t)i;
        Str bytes = tokenizer_bytes(v->tokenizer, id);
        if (!bytes.len || bytes.len > VOCABULARY_LONGEST_TOKEN || bit_is_set(v->ends, id) ||
            bit_is_set(labels, id) || tokenizer_is_control(v->tokenizer, id) ||
            !str_eq(bytes, tokenizer_shown(v->tokenizer, id)))
            continue;
        entries[n++] = (Entry){bytes, id};
    }
    free(labels);
    qsort(entries, n, sizeof *entries, entry_compare);
    for (size_t i = 0; i < v->count; i++)
        v->same[i] = -1;
    for (size_t i = 0; i + 1 < n; i++)
        if (str_eq(entries[i].bytes, entries[i + 1].bytes))
            v->same[entries[i].token] = entries[i + 1].token;
    *count = n;
    return entries;
}

static bool sort_into_sets(Vocabulary *v, const Entry *entries, size_t count) {
    uint64_t *irregular = calloc(v->words, sizeof *irregular), *paths = calloc(v->words, sizeof *paths);
    v->crossers = calloc(count ? count : 1, sizeof *v->crossers);
    bool ok = irregular && paths && v->crossers;
    for (size_t i = 0; ok && i < count; i++) {
        Str bytes = entries[i].bytes;
        int32_t id = entries[i].token;
        bit_set(v->text, id);
        bit_set(is_plain(bytes) ? v->plain : irregular, id);
        if (is_name(bytes))
            bit_set(v->names, id);
        else if (starts_like_path(bytes))
            bit_set(paths, id);
        if (bytes.len == 1)
            v->has_byte[(uint8_t)bytes.ptr[0]] = true;
        if (is_crosser(bytes))
            v->crossers[v->crosser_count++] = id;
    }
    ok = ok && trie_build(&v->all, entries, count, NULL) &&
         trie_build(&v->irregular, entries, count, irregular) && trie_build(&v->paths, entries, count, paths);
    free(irregular);
    free(paths);
    return ok;
}

Vocabulary *vocabulary_open(const Tokenizer *tokenizer, Err *err) {
    Vocabulary *v = calloc(1, sizeof *v);
    if (!v)
        goto no_memory;
    v->tokenizer = tokenizer;
    v->count = tokenizer_count(tokenizer);
    v->words = (v->count + 63) / 64;
    if (v->count == 0) {
        err_set(err, ERR_INVALID, "the model's vocabulary is empty, so no form can be asked of it");
        vocabulary_close(v);
        return NULL;
    }
    v->same = malloc(v->count * sizeof *v->same);
    v->text = calloc(v->words, sizeof *v->text);
    v->plain = calloc(v->words, sizeof *v->plain);
    v->names = calloc(v->words, sizeof *v->names);
    v->ends = calloc(v->words, sizeof *v->ends);
    if (!v->same || !v->text || !v->plain || !v->names || !v->ends || !find_labels(v))
        goto no_memory;
    find_ends(v);
    size_t count = 0;
    Entry *entries = list_texts(v, &count);
    bool ok = entries && sort_into_sets(v, entries, count);
    free(entries);
    if (ok)
        return v;
no_memory:
    err_set(err, ERR_NO_MEMORY, "not enough memory for the vocabulary's byte tables");
    vocabulary_close(v);
    return NULL;
}

void vocabulary_close(Vocabulary *v) {
    if (!v)
        return;
    free(v->all.nodes);
    free(v->irregular.nodes);
    free(v->paths.nodes);
    free(v->same);
    free(v->text);
    free(v->plain);
    free(v->names);
    free(v->ends);
    free(v->crossers);
    free(v->labels);
    free(v);
}
