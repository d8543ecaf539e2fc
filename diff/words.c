/* What changed inside a hunk: its words are compared as lines are, by the same search. */
#include <string.h>

#include "diff/compare_internal.h"
#include "diff/diff.h"
#include "diff/lines_internal.h"

enum { MOST_BYTES = 64 * 1024 };

/* One side of a hunk in words. */
typedef struct Words {
    Str text;
    size_t base; /* where text stands in the whole one */
    uint32_t *ends;
    uint32_t *names;
    unsigned char *is_changed;
    size_t count;
} Words;

/* Characters beyond ASCII count as letters, so that no mark cuts one in two. */
static bool is_word_char(char c) {
    unsigned char u = (unsigned char)c;
    return (u >= '0' && u <= '9') || (u >= 'A' && u <= 'Z') || (u >= 'a' && u <= 'z') || u == '_' ||
           u >= 0x80;
}

static bool is_blank_char(char c) {
    return c == ' ' || c == '\t';
}

static Words split_words(Str text, size_t begin, size_t end, Arena *scratch) {
    Words words = {.text = str_slice(text, begin, end), .base = begin};
    words.ends = ARENA_ARRAY(scratch, uint32_t, words.text.len + 1);
    for (size_t i = 0; i < words.text.len;) {
        bool is_word = is_word_char(words.text.ptr[i]);
        for (i++; is_word && i < words.text.len && is_word_char(words.text.ptr[i]);)
            i++;
        words.ends[words.count++] = (uint32_t)i;
    }
    words.names = ARENA_ARRAY(scratch, uint32_t, words.count + 1);
    words.is_changed = ARENA_ARRAY(scratch, unsigned char, words.count + 1);
    return words;
}

static Str word_text(const Words *words, size_t i) {
    return str_slice(words->text, i ? words->ends[i - 1] : 0, words->ends[i]);
}

static void name_words(Words *words, LineNames *names) {
    for (size_t i = 0; i < words->count; i++)
        words->names[i] = line_name(names, word_text(words, i));
}

typedef struct MarkList {
    TextRange *items;
    size_t count, capacity;
} MarkList;

/* Joins what touches or has only blanks between; no mark reaches over a line end, because none holds one. */
static void add_mark(MarkList *marks, Str text, size_t begin, size_t end, Arena *arena) {
    if (begin == end)
        return;
    if (marks->count) {
        TextRange *last = &marks->items[marks->count - 1];
        size_t at = last->end;
        while (at < begin && is_blank_char(text.ptr[at]))
            at++;
        if (at == begin) {
            last->end = end;
            return;
        }
    }
    TextRange mark = {begin, end};
    LIST_PUSH(arena, marks->items, marks->count, marks->capacity, mark);
}

/* The words of one line, first to last: `last` is its line end or one beyond. */
static void mark_line(const Words *words, Str text, size_t first, size_t last, MarkList *marks,
                      Arena *arena) {
    bool has_common = false;
    for (size_t i = first; i < last; i++)
        has_common |= !words->is_changed[i] && is_word_char(word_text(words, i).ptr[0]);
    size_t base = words->base;
    if (!has_common && first < last) {
        add_mark(marks, text, base + (first ? words->ends[first - 1] : 0), base + words->ends[last - 1],
                 arena);
        return;
    }
    for (size_t i = first; i < last; i++)
        if (words->is_changed[i])
            add_mark(marks, text, base + (i ? words->ends[i - 1] : 0), base + words->ends[i], arena);
}

static MarkList mark_words(const Words *words, Str text, Arena *arena) {
    MarkList marks = {0};
    for (size_t first = 0, i = 0; i <= words->count; i++) {
        if (i < words->count && word_text(words, i).ptr[0] != '\n')
            continue;
        mark_line(words, text, first, i, &marks, arena);
        first = i + 1;
    }
    return marks;
}

static MarkList mark_lines(Str text, size_t begin, size_t end, Arena *arena) {
    MarkList marks = {0};
    while (begin < end) {
        const char *stop = memchr(text.ptr + begin, '\n', end - begin);
        size_t line_end = stop ? (size_t)(stop - text.ptr) : end;
        add_mark(&marks, text, begin, line_end, arena);
        begin = line_end + 1;
    }
    return marks;
}

static void put_marks(MarkList old, MarkList new, WordMarks *out) {
    *out = (WordMarks){old.items, new.items, old.count, new.count};
}

void diff_words(const Hunks *hunks, size_t index, Arena *arena, WordMarks *out) {
    const Hunk *h = &hunks->items[index];
    if (h->old_count == 0 || h->new_count == 0 ||
        h->old_end - h->old_begin + h->new_end - h->new_begin > MOST_BYTES) {
        put_marks(mark_lines(hunks->before, h->old_begin, h->old_end, arena),
                  mark_lines(hunks->after, h->new_begin, h->new_end, arena), out);
        return;
    }
    Arena scratch = {0};
    Words old = split_words(hunks->before, h->old_begin, h->old_end, &scratch);
    Words new = split_words(hunks->after, h->new_begin, h->new_end, &scratch);
    LineNames names = line_names(old.count + new.count, &scratch);
    name_words(&old, &names);
    name_words(&new, &names);
    CompareSide a = {old.names, old.count, old.is_changed}, b = {new.names, new.count, new.is_changed};
    compare_sides(&a, &b, names.count);
    put_marks(mark_words(&old, hunks->before, arena), mark_words(&new, hunks->after, arena), out);
    arena_free(&scratch);
}
