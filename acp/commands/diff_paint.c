#include "acp/commands/diff_paint.h"

#include "acp/commands/terminal.h"

#define HEAD "\033[1m"
#define PLACE "\033[36m"
#define REMOVED "\033[31m"
#define ADDED "\033[32m"
#define MARK_ON "\033[7m"
#define MARK_OFF "\033[27m"
#define PLAIN "\033[m"

/* Where the painter stands in the hunks: printed lines come in their order. */
typedef struct Painter {
    const Hunks *hunks;
    Arena *arena;
    Buf *out;
    bool has_marks; /* the sections are those of the hunks */
    size_t hunk;
    bool is_read; /* words are those of the hunk */
    WordMarks words;
    size_t old_at, new_at; /* bytes of the hunk's lines shown so far */
    size_t old_mark, new_mark;
} Painter;

static void put_whole(Painter *p, const char *colour, Str line) {
    buf_cstr(p->out, colour);
    terminal_put(p->out, line, false);
    buf_cstr(p->out, PLAIN "\n");
}

/* text stands at byte `begin` of its side. */
static void put_marked(Painter *p, Str text, size_t begin, const TextRange *marks, size_t count,
                       size_t *mark) {
    size_t at = 0;
    for (; *mark < count && marks[*mark].begin < begin + text.len; ++*mark) {
        size_t from = marks[*mark].begin > begin ? marks[*mark].begin - begin : 0;
        size_t to = marks[*mark].end - begin < text.len ? marks[*mark].end - begin : text.len;
        if (to > from && to - from < text.len) { /* a line that is new as a whole needs no marks */
            terminal_put(p->out, str_slice(text, at, from), false);
            buf_cstr(p->out, MARK_ON);
            terminal_put(p->out, str_slice(text, from, to), false);
            buf_cstr(p->out, MARK_OFF);
            at = to;
        }
        if (marks[*mark].end > begin + text.len) /* goes on in the next line */
            break;
    }
    terminal_put(p->out, str_from(text, at), false);
}

/* Moves to the hunk that the next changed line belongs to. */
static void find_hunk(Painter *p) {
    const Hunks *hunks = p->hunks;
    while (p->hunk < hunks->count) {
        const Hunk *h = &hunks->items[p->hunk];
        if (p->old_at < h->old_end - h->old_begin || p->new_at < h->new_end - h->new_begin)
            break;
        p->hunk++;
        p->is_read = false;
        p->old_at = p->new_at = p->old_mark = p->new_mark = 0;
    }
    if (p->hunk < hunks->count && !p->is_read) {
        diff_words(hunks, p->hunk, p->arena, &p->words);
        p->is_read = true;
    }
}

static void put_change(Painter *p, Str line) {
    bool is_old = line.ptr[0] == '-';
    Str text = str_from(line, 1);
    buf_cstr(p->out, is_old ? REMOVED : ADDED);
    buf_char(p->out, line.ptr[0]);
    if (p->has_marks)
        find_hunk(p);
    if (p->has_marks && p->hunk < p->hunks->count) {
        const Hunk *h = &p->hunks->items[p->hunk];
        size_t *at = is_old ? &p->old_at : &p->new_at, begin = (is_old ? h->old_begin : h->new_begin) + *at;
        bool is_pair = h->old_count && h->new_count; /* else there is nothing to tell the words apart from */
        put_marked(p, text, begin, is_old ? p->words.old_marks : p->words.new_marks,
                   !is_pair ? 0
                   : is_old ? p->words.old_count
                            : p->words.new_count,
                   is_old ? &p->old_mark : &p->new_mark);
        *at += text.len + 1; /* the last line of a text may lack the line end: nothing follows it */
    } else
        terminal_put(p->out, text, false);
    buf_cstr(p->out, PLAIN "\n");
}

/* The old and new lines that a "@@ -a,b +c,d @@" line announces. */
static void read_counts(Str line, size_t *old_left, size_t *new_left) {
    size_t *counts[2] = {old_left, new_left}, at = 3;
    for (int side = 0; side < 2; side++, at++) {
        *counts[side] = 1;
        while (at < line.len && line.ptr[at] != ',' && line.ptr[at] != ' ')
            at++;
        if (at >= line.len || line.ptr[at] != ',')
            continue;
        for (*counts[side] = 0, at++; at < line.len && line.ptr[at] >= '0' && line.ptr[at] <= '9'; at++)
            *counts[side] = *counts[side] * 10 + (size_t)(line.ptr[at] - '0');
    }
}

void diff_paint(const FileDiff *file, Str printed, Buf *out) {
    Arena arena = {0};
    bool changes_type = (file->old_mode ^ file->new_mode) & 0170000;
    Painter p = {.hunks = &file->hunks, .arena = &arena, .out = out, .has_marks = !changes_type};
    size_t old_left = 0, new_left = 0;
    while (printed.len) {
        size_t end = str_find_char(printed, '\n', 0);
        Str line = str_slice(printed, 0, end);
        printed = str_from(printed, line.len + 1);
        char sign = line.len ? line.ptr[0] : ' ';
        if (!old_left && !new_left && sign != '\\') {
            bool is_place = str_starts(line, S("@@ "));
            put_whole(&p, is_place ? PLACE : HEAD, line);
            if (is_place)
                read_counts(line, &old_left, &new_left);
            continue;
        }
        old_left -= sign == ' ' || sign == '-';
        new_left -= sign == ' ' || sign == '+';
        if (sign == '-' || sign == '+')
            put_change(&p, line);
        else {
            terminal_put(out, line, false);
            buf_char(out, '\n');
        }
    }
    arena_free(&arena);
}
