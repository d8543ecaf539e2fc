#include "diff/rename_internal.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 64, RARE_SOURCES = 8, BEST_VOTES = 4, NAMESAKES = 4, ROUNDS = 8 };

/* One byte of a rare piece outweighs all common pieces of a text. */
enum { RARE_SHIFT = 24 };

/* ---- pieces ---- */

static uint64_t piece_hash(const char *p, size_t n) {
    const uint64_t factor = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t hash = (n + 1) * factor, word;
    for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
        memcpy(&word, p, sizeof word);
        hash = (hash ^ word) * factor;
        hash ^= hash >> 29;
    }
    word = 0;
    memcpy(&word, p, n);
    hash = (hash ^ word) * factor;
    hash ^= hash >> 32;
    return hash ? hash : 1;
}

static size_t piece_length(Str rest) {
    size_t most = rest.len < PIECE_BYTES ? rest.len : PIECE_BYTES;
    const char *end = memchr(rest.ptr, '\n', most);
    return end ? (size_t)(end - rest.ptr) + 1 : most;
}

static PieceSlot *find_piece(const Pieces *pieces, uint64_t hash) {
    size_t at = (size_t)hash & pieces->mask;
    while (pieces->slots[at].hash && pieces->slots[at].hash != hash)
        at = (at + 1) & pieces->mask;
    return &pieces->slots[at];
}

Pieces pieces_of(Str text, Arena *arena) {
    size_t count = 0, slots = 8;
    for (Str rest = text; rest.len; count++)
        rest = str_from(rest, piece_length(rest));
    while (slots < 2 * count)
        slots *= 2;
    Pieces pieces = {ARENA_ARRAY(arena, PieceSlot, slots), slots - 1, text.len};
    for (Str rest = text; rest.len;) {
        size_t n = piece_length(rest), end = n;
        if (n > 1 && rest.ptr[n - 1] == '\n' && rest.ptr[n - 2] == '\r') /* other line ends, same line */
            end -= 2;
        else if (rest.ptr[n - 1] == '\n')
            end--;
        PieceSlot *slot = find_piece(&pieces, piece_hash(rest.ptr, end));
        slot->hash = piece_hash(rest.ptr, end);
        slot->bytes += n;
        rest = str_from(rest, n);
    }
    return pieces;
}

int pieces_similarity(const Pieces *a, const Pieces *b) {
    size_t most = a->text_bytes > b->text_bytes ? a->text_bytes : b->text_bytes, kept = 0;
    for (size_t i = 0; i <= b->mask; i++) {
        if (!b->slots[i].hash)
            continue;
        size_t there = find_piece(a, b->slots[i].hash)->bytes;
        kept += there < b->slots[i].bytes ? there : b->slots[i].bytes;
    }
    return most ? (int)((double)kept * 100.0 / (double)most) : 100;
}

int text_similarity(Str a, Str b) {
    Arena arena = {0};
    Pieces one = pieces_of(a, &arena), two = pieces_of(b, &arena);
    int percent = pieces_similarity(&one, &two);
    arena_free(&arena);
    return percent < 100 ? percent : str_eq(a, b) ? 100 : 99;
}

/* ---- who might be whose source ---- */

Str file_name(Str path) {
    return str_from(path, str_rfind_char(path, '/') + 1);
}

/* The first few free sources under one key: a piece's hash, or a file name's. */
typedef struct RareSlot {
    uint64_t key; /* 0: free */
    uint32_t count;
    bool is_common; /* there are more */
    uint32_t sources[RARE_SOURCES];
} RareSlot;

typedef struct RareIndex {
    RareSlot *slots;
    size_t mask;
} RareIndex;

static RareIndex rare_index(size_t most, Arena *arena) {
    size_t slots = 16;
    while (slots < 2 * most)
        slots *= 2;
    return (RareIndex){ARENA_ARRAY(arena, RareSlot, slots), slots - 1};
}

static RareSlot *find_rare(const RareIndex *index, uint64_t key) {
    size_t at = (size_t)key & index->mask;
    while (index->slots[at].key && index->slots[at].key != key)
        at = (at + 1) & index->mask;
    return &index->slots[at];
}

static void add_rare(RareIndex *index, uint64_t key, size_t source) {
    RareSlot *slot = find_rare(index, key);
    slot->key = key;
    if (slot->count < RARE_SOURCES)
        slot->sources[slot->count++] = (uint32_t)source;
    else
        slot->is_common = true;
}

typedef struct Pair {
    size_t source, target;
    int percent;
    bool is_namesake;
} Pair;

typedef struct Match {
    RenameSource *sources;
    RenameTarget *targets;
    size_t source_count, target_count;
    RareIndex by_piece, by_name;
    uint64_t *votes; /* per source: for what it shares with the target looked at */
    size_t *voted;   /* the sources with votes */
    Pair *pairs;
    size_t count, capacity;
    Arena arena;
} Match;

static uint64_t name_key(Str path) {
    uint64_t key = str_hash(file_name(path));
    return key ? key : 1;
}

static void index_sources(Match *m) {
    size_t pieces = 0;
    for (size_t i = 0; i < m->source_count; i++)
        pieces += m->sources[i].is_free ? m->sources[i].pieces.mask / 2 + 1 : 0;
    m->by_piece = rare_index(pieces, &m->arena);
    m->by_name = rare_index(m->source_count, &m->arena);
    m->votes = ARENA_ARRAY(&m->arena, uint64_t, m->source_count);
    m->voted = ARENA_ARRAY(&m->arena, size_t, m->source_count);
    for (size_t i = 0; i < m->source_count; i++) {
        const RenameSource *source = &m->sources[i];
        if (!source->is_free)
            continue;
        for (size_t n = 0; n <= source->pieces.mask; n++)
            if (source->pieces.slots[n].hash)
                add_rare(&m->by_piece, source->pieces.slots[n].hash, i);
        add_rare(&m->by_name, name_key(source->path), i);
    }
}

static void consider(Match *m, size_t target, size_t source) {
    const RenameSource *from = &m->sources[source];
    const RenameTarget *to = &m->targets[target];
    size_t a = from->pieces.text_bytes, b = to->pieces.text_bytes;
    if ((a < b ? a : b) * 100 < (a < b ? b : a) * SIMILAR_ENOUGH)
        return;
    int percent = pieces_similarity(&from->pieces, &to->pieces);
    Pair pair = {source, target, percent, str_eq(file_name(from->path), file_name(to->path))};
    if (percent >= SIMILAR_ENOUGH)
        LIST_PUSH(&m->arena, m->pairs, m->count, m->capacity, pair);
}

static size_t count_votes(Match *m, const RenameTarget *to) {
    size_t count = 0;
    for (size_t i = 0; i <= to->pieces.mask; i++) {
        const PieceSlot *piece = &to->pieces.slots[i];
        const RareSlot *slot = piece->hash ? find_rare(&m->by_piece, piece->hash) : NULL;
        for (size_t n = 0; slot && n < slot->count; n++) {
            if (!m->votes[slot->sources[n]])
                m->voted[count++] = slot->sources[n];
            m->votes[slot->sources[n]] += slot->is_common ? 1 : (uint64_t)piece->bytes << RARE_SHIFT;
        }
    }
    return count;
}

/* Votes of shared rare pieces choose the sources that are compared in full. */
static void find_pairs(Match *m, size_t target) {
    const RenameTarget *to = &m->targets[target];
    const RareSlot *names = find_rare(&m->by_name, name_key(to->path));
    size_t best[BEST_VOTES], found = 0, voted = count_votes(m, to);
    for (size_t i = 0; i < voted; i++) {
        size_t source = m->voted[i], at = found < BEST_VOTES ? found++ : BEST_VOTES;
        for (; at > 0 && m->votes[best[at - 1]] < m->votes[source]; at--)
            if (at < BEST_VOTES)
                best[at] = best[at - 1];
        if (at < BEST_VOTES)
            best[at] = source;
    }
    for (size_t i = 0; i < voted; i++)
        m->votes[m->voted[i]] = 0;
    for (size_t i = 0; i < found; i++)
        consider(m, target, best[i]);
    for (size_t i = 0; i < names->count && i < NAMESAKES; i++) {
        size_t n = 0;
        while (n < found && best[n] != names->sources[i])
            n++;
        if (n == found)
            consider(m, target, names->sources[i]);
    }
}

static int better_first(const void *a, const void *b) {
    const Pair *x = a, *y = b;
    if (x->percent != y->percent)
        return y->percent - x->percent;
    if (x->is_namesake != y->is_namesake)
        return y->is_namesake - x->is_namesake;
    if (x->target != y->target)
        return x->target < y->target ? -1 : 1;
    return x->source < y->source ? -1 : x->source > y->source;
}

static size_t take_pairs(Match *m, bool is_used_up) {
    size_t taken = 0;
    if (m->count)
        qsort(m->pairs, m->count, sizeof *m->pairs, better_first);
    for (size_t i = 0; i < m->count; i++) {
        const Pair *pair = &m->pairs[i];
        if (m->targets[pair->target].source != STR_NONE || !m->sources[pair->source].is_free)
            continue;
        m->targets[pair->target].source = pair->source;
        m->targets[pair->target].percent = pair->percent;
        m->sources[pair->source].is_free = !is_used_up;
        taken++;
    }
    return taken;
}

void rename_match(RenameSource *sources, size_t source_count, RenameTarget *targets, size_t target_count,
                  bool is_used_up) {
    size_t taken = source_count && target_count;
    for (int round = 0; taken && round < ROUNDS; round++) { /* used-up sources make room for others */
        Match m = {.sources = sources,
                   .targets = targets,
                   .source_count = source_count,
                   .target_count = target_count};
        index_sources(&m);
        for (size_t i = 0; i < target_count; i++)
            if (targets[i].source == STR_NONE)
                find_pairs(&m, i);
        taken = take_pairs(&m, is_used_up);
        arena_free(&m.arena);
        if (!is_used_up)
            break;
    }
}
