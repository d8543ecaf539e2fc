/* Two texts as sequences of line names: what both begin and end with is cut off by bytes, the rest is split
 * and hashed in one pass, eight bytes at a time. Only lines of the old text enter the table; a line of the
 * new one that is not there has no name. */
#define _DEFAULT_SOURCE
#include <endian.h>
#include <string.h>

#include "diff/compare_internal.h"

/* ---- common ends ---- */

static size_t common_prefix(Str a, Str b) {
    enum { BLOCK = 4096 };
    size_t most = a.len < b.len ? a.len : b.len, i = 0;
    while (most - i >= BLOCK && memcmp(a.ptr + i, b.ptr + i, BLOCK) == 0)
        i += BLOCK;
    while (i < most && a.ptr[i] == b.ptr[i])
        i++;
    return i;
}

static size_t common_suffix(Str a, Str b) {
    enum { BLOCK = 4096 };
    size_t most = a.len < b.len ? a.len : b.len, i = 0;
    while (most - i >= BLOCK && memcmp(a.ptr + a.len - i - BLOCK, b.ptr + b.len - i - BLOCK, BLOCK) == 0)
        i += BLOCK;
    while (i < most && a.ptr[a.len - 1 - i] == b.ptr[b.len - 1 - i])
        i++;
    return i;
}

/* In blocks of one size whose counts fit into a byte, which compilers turn into wide instructions. */
static size_t count_line_ends(Str text) {
    enum { BLOCK = 64 };
    size_t count = 0, i = 0;
    for (; text.len - i >= BLOCK; i += BLOCK) {
        unsigned char block = 0;
        for (size_t n = 0; n < BLOCK; n++)
            block = (unsigned char)(block + (text.ptr[i + n] == '\n'));
        count += block;
    }
    for (; i < text.len; i++)
        count += text.ptr[i] == '\n';
    return count;
}

static Str cut_common_ends(Str before, Str *after, size_t *first_byte) {
    size_t first = common_prefix(before, *after);
    while (first && before.ptr[first - 1] != '\n')
        first--;
    Str a = str_from(before, first), b = str_from(*after, first);
    size_t last = common_suffix(a, b);
    const char *end = last ? memchr(a.ptr + a.len - last, '\n', last) : NULL;
    last = end ? (size_t)(a.ptr + a.len - end) - 1 : 0;
    *first_byte = first;
    *after = str_slice(b, 0, b.len - last);
    return str_slice(a, 0, a.len - last);
}

/* ---- hashes ---- */

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* The highest bit of each byte that is a line end, and perhaps of bytes after the first one. */
static uint64_t line_end_bits(uint64_t word) {
    uint64_t x = word ^ UINT64_C(0x0a0a0a0a0a0a0a0a);
    return (x - UINT64_C(0x0101010101010101)) & ~x & UINT64_C(0x8080808080808080);
}

/* The length of the line at `at` (with its end); *hash comes with the seed and becomes that of its bytes. */
static size_t hash_line(const char *at, size_t left, uint64_t *hash) {
    uint64_t h = *hash, word = 0;
    size_t done = 0;
    for (; left - done >= 8; done += 8) {
        memcpy(&word, at + done, 8);
        word = le64toh(word);
        uint64_t ends = line_end_bits(word);
        if (ends) {
            unsigned bytes = ((unsigned)__builtin_ctzll(ends) >> 3) + 1;
            *hash = mix(h, word << (64 - 8 * bytes));
            return done + bytes;
        }
        h = mix(h, word);
    }
    word = 0;
    size_t begin = done;
    while (done < left) {
        unsigned char c = (unsigned char)at[done++];
        word |= (uint64_t)c << (8 * (done - begin - 1));
        if (c == '\n')
            break;
    }
    *hash = mix(h, done > begin ? word << (64 - 8 * (done - begin)) : 0);
    return done;
}

/* ---- names ---- */

typedef struct Slot {
    uint32_t tag;  /* the hash's upper half, whose upper bits are the home slot */
    uint32_t line; /* of the old text, from 1; 0: free */
} Slot;

typedef struct Table {
    Slot *slots;
    size_t mask;
    unsigned shift;
    uint64_t seed;
} Table;

static Table table_make(size_t most, Arena *arena) {
    Table table = {.shift = 32 - 4};
    /* An address, so that nobody can write lines that fall together; names do not depend on it. */
    table.seed = (uint64_t)(uintptr_t)arena * UINT64_C(0xd6e8feb86659fd93);
    size_t slots = 16;
    for (; slots < most + most / 3; slots *= 2)
        table.shift--;
    table.slots = ARENA_ARRAY(arena, Slot, slots);
    table.mask = slots - 1;
    return table;
}

/* The slot that holds an equal line of the old text, or the free one where it would go. */
static Slot *table_find(const Table *table, const LineIndex *old, Str line, uint32_t tag) {
    for (size_t at = tag >> table->shift;; at = (at + 1) & table->mask) {
        Slot *slot = &table->slots[at];
        if (!slot->line)
            return slot;
        if (slot->tag != tag)
            continue;
        uint32_t begin = old->begins[slot->line - 1];
        if (old->begins[slot->line] - begin == line.len &&
            memcmp(old->text.ptr + begin, line.ptr, line.len) == 0)
            return slot;
    }
}

static void index_start(LineIndex *index, CompareSide *side, Str text, Arena *arena) {
    size_t most = count_line_ends(text) + 1;
    index->text = text;
    index->begins = ARENA_ARRAY(arena, uint32_t, most + 1);
    side->names = ARENA_ARRAY(arena, uint32_t, most + 1);
    side->is_changed = ARENA_ARRAY(arena, unsigned char, most + 1);
}

/* Takes the next line at begins[count]: its tag, and the text of it. */
static Str next_line(LineIndex *index, uint64_t seed, uint32_t *tag) {
    uint32_t begin = index->begins[index->count];
    uint64_t hash = seed;
    size_t len = hash_line(index->text.ptr + begin, index->text.len - begin, &hash);
    index->begins[++index->count] = begin + (uint32_t)len;
    *tag = (uint32_t)(hash >> 32);
    return (Str){index->text.ptr + begin, len};
}

static bool has_more(const LineIndex *index) {
    return index->begins[index->count] < index->text.len;
}

/* A line is named by the first one of the old text that is equal to it. */
static void name_lines(LinePair *pair, const Table *table, unsigned char *is_shared) {
    uint32_t tag;
    while (has_more(&pair->old)) {
        Str line = next_line(&pair->old, table->seed, &tag);
        Slot *slot = table_find(table, &pair->old, line, tag);
        if (!slot->line)
            *slot = (Slot){tag, (uint32_t)pair->old.count};
        pair->a.names[pair->old.count - 1] = slot->line - 1;
    }
    while (has_more(&pair->new)) {
        Str line = next_line(&pair->new, table->seed, &tag);
        const Slot *slot = table_find(table, &pair->old, line, tag);
        uint32_t name = slot->line ? slot->line - 1 : NAME_NONE;
        if (slot->line)
            is_shared[name] = 1;
        pair->b.names[pair->new.count - 1] = name;
    }
    for (size_t i = 0; i < pair->old.count; i++)
        if (!is_shared[pair->a.names[i]])
            pair->a.names[i] = NAME_NONE;
}

void pair_open(Str before, Str after, Arena *arena, LinePair *out) {
    *out = (LinePair){0};
    Str new = after, old = cut_common_ends(before, &new, &out->first_byte);
    out->first_line = count_line_ends(str_slice(before, 0, out->first_byte));
    index_start(&out->old, &out->a, old, arena);
    index_start(&out->new, &out->b, new, arena);
    Arena scratch = {0};
    size_t most = count_line_ends(old) + 1;
    Table table = table_make(most, &scratch);
    name_lines(out, &table, ARENA_ARRAY(&scratch, unsigned char, most));
    out->a.count = out->name_count = out->old.count;
    out->b.count = out->new.count;
    arena_free(&scratch);
}
