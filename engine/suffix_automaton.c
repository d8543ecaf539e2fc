#include "engine/suffix_automaton.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX_BYTES = 1 << 30 };

typedef struct LineText {
    Str text;
    uint32_t line;
} LineText;

typedef struct LineKey {
    uint64_t key;
    uint32_t line;
} LineKey;

static int text_compare(const void *left, const void *right) {
    return str_cmp(((const LineText *)left)->text, ((const LineText *)right)->text);
}

static int key_compare(const void *left, const void *right) {
    uint64_t a = ((const LineKey *)left)->key, b = ((const LineKey *)right)->key;
    return (a > b) - (a < b);
}

static void find_lines(SuffixAutomaton *a, Arena *arena) {
    uint32_t n = 0;
    for (size_t i = 0; i < a->text.len; i++)
        n += a->text.ptr[i] == '\n';
    uint32_t *begins = ARENA_ARRAY(arena, uint32_t, (size_t)n + 1), line = 0;
    for (size_t i = 0; i < a->text.len; i++)
        if (a->text.ptr[i] == '\n')
            begins[++line] = (uint32_t)(i + 1);
    a->line_count = n;
    a->begins = begins;
}

/* Equal lines get equal ids, and ids rise with the bytes of the lines: the "\n" at its end keeps any line
 * from being the beginning of another, so comparing ids one by one is comparing bytes. */
static void number_lines(const SuffixAutomaton *a, uint32_t *ids, Arena *scratch) {
    LineText *lines = ARENA_ARRAY(scratch, LineText, a->line_count);
    for (uint32_t i = 0; i < a->line_count; i++)
        lines[i] = (LineText){str_slice(a->text, a->begins[i], a->begins[i + 1]), i};
    qsort(lines, a->line_count, sizeof *lines, text_compare);
    uint32_t id = 0;
    for (uint32_t i = 0; i < a->line_count; i++) {
        id += i > 0 && !str_eq(lines[i].text, lines[i - 1].text);
        ids[lines[i].line] = id;
    }
}

/* After the round with step k, lines are ordered by the 2k lines from them on. */
static void sort_lines(uint32_t n, const uint32_t *ids, uint32_t *order, uint32_t *rank, Arena *scratch) {
    LineKey *keys = ARENA_ARRAY(scratch, LineKey, n);
    memcpy(rank, ids, n * sizeof *rank);
    for (uint64_t step = 1;; step *= 2) {
        for (uint32_t i = 0; i < n; i++)
            keys[i] = (LineKey){(uint64_t)rank[i] << 32 | (i + step < n ? rank[i + step] + 1 : 0), i};
        qsort(keys, n, sizeof *keys, key_compare);
        uint32_t last = 0;
        for (uint32_t i = 0; i < n; i++) {
            last += i > 0 && keys[i].key != keys[i - 1].key;
            rank[keys[i].line] = last;
        }
        if (last + 1 >= n)
            break;
    }
    for (uint32_t i = 0; i < n; i++)
        order[rank[i]] = i;
}

/* shared[i] = whole lines that order[i - 1] and order[i] have in common. */
static void count_shared(uint32_t n, const uint32_t *ids, const uint32_t *order, const uint32_t *rank,
                         uint32_t *shared) {
    uint32_t common = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (rank[i] == 0) {
            common = 0;
            continue;
        }
        uint32_t other = order[rank[i] - 1];
        while (i + common < n && other + common < n && ids[i + common] == ids[other + common])
            common++;
        shared[rank[i]] = common;
        common -= common > 0;
    }
}

bool suffix_automaton_build(SuffixAutomaton *a, Str text, Arena *arena, Err *err) {
    if (text.len > TEXT_MAX_BYTES)
        return err_set(err, ERR_LIMIT, "a file of %zu bytes is too large for forced edits", text.len);
    *a = (SuffixAutomaton){.text = text};
    find_lines(a, arena);
    uint32_t n = a->line_count;
    Arena scratch = {0};
    uint32_t *ids = ARENA_ARRAY(&scratch, uint32_t, n), *rank = ARENA_ARRAY(&scratch, uint32_t, n);
    uint32_t *shared = ARENA_ARRAY(&scratch, uint32_t, (size_t)n + 1);
    uint32_t *order = ARENA_ARRAY(arena, uint32_t, n), *unique = ARENA_ARRAY(arena, uint32_t, n);
    if (n) {
        number_lines(a, ids, &scratch);
        sort_lines(n, ids, order, rank, &scratch);
        count_shared(n, ids, order, rank, shared);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t most = shared[i] > shared[i + 1] ? shared[i] : shared[i + 1];
        unique[i] = order[i] + most < n ? most + 1 : 0;
    }
    arena_free(&scratch);
    a->order = order;
    a->unique = unique;
    return true;
}

SuffixState suffix_start(const SuffixAutomaton *a) {
    return (SuffixState){0, a->line_count, 0};
}

int suffix_byte(const SuffixAutomaton *a, uint32_t i, uint32_t length) {
    size_t at = (size_t)a->begins[a->order[i]] + length;
    return at < a->text.len ? (uint8_t)a->text.ptr[at] : -1;
}

/* First of [i, last) whose next byte is at least `byte`. */
static uint32_t lower_bound(const SuffixAutomaton *a, uint32_t i, uint32_t last, uint32_t length, int byte) {
    while (i < last) {
        uint32_t middle = i + (last - i) / 2;
        if (suffix_byte(a, middle, length) < byte)
            i = middle + 1;
        else
            last = middle;
    }
    return i;
}

uint32_t suffix_same_byte(const SuffixAutomaton *a, uint32_t i, uint32_t last, uint32_t length) {
    int byte = suffix_byte(a, i, length);
    if (suffix_byte(a, last - 1, length) == byte)
        return last;
    return lower_bound(a, i, last, length, byte + 1);
}

bool suffix_step(const SuffixAutomaton *a, SuffixState *state, uint8_t byte) {
    if (state->first >= state->last)
        return false;
    int low = suffix_byte(a, state->first, state->length),
        high = suffix_byte(a, state->last - 1, state->length);
    if (byte < low || byte > high)
        return false;
    if (low != high) {
        uint32_t first = lower_bound(a, state->first, state->last, state->length, byte);
        if (first == state->last || suffix_byte(a, first, state->length) != byte)
            return false;
        state->last = suffix_same_byte(a, first, state->last, state->length);
        state->first = first;
    }
    state->length++;
    return true;
}
