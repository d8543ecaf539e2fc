/* Random edits of random files, written down as models write them: with other line ends, other indentation,
 * line numbers, typographic signs. Shared by a unit test and a fuzz target; whoever includes it says where
 * choices come from. */
#ifndef MUX_TESTS_EDIT_SCENE_H
#define MUX_TESTS_EDIT_SCENE_H

#include "diff/edit.h"

enum { MOST_LINES = 40 };

/* 0 to n - 1. */
static size_t pick(size_t n);

typedef enum Disguise {
    AS_IT_IS,
    OTHER_LINE_ENDS,
    TRAILING_BLANKS,
    INDENT_ADDED,
    INDENT_REMOVED,
    OUTER_BLANKS,
    TYPOGRAPHIC,
    NUMBERED,
    TYPOS,
    DISGUISES
} Disguise;

typedef struct Scene {
    Str lines[MOST_LINES]; /* bodies */
    size_t count;
    bool has_crlf, has_end, has_mark;
    size_t first, last;        /* the lines that the edit shows, [first, last) */
    Str shown_new[MOST_LINES]; /* what becomes of them */
    bool is_kept[MOST_LINES];  /* per new line: a line of the file */
    size_t new_count;
} Scene;

static Str random_line(Arena *arena, size_t unique) {
    static const char *const COMMON[] = {"    }", "", "        return None", "    pass", "{"};
    static const char *const WORDS[] = {"total", "it's \"x\"", "values[i] - 1", "print(name)", "// note"};
    if (pick(3) == 0)
        return str_of(COMMON[pick(5)]);
    return str_printf(arena, "%*s%s = %s_%zu", (int)(4 + 4 * pick(3)), "", WORDS[pick(5)], WORDS[pick(5)],
                      unique);
}

static Scene random_scene(Arena *arena) {
    Scene s = {.has_crlf = pick(3) == 0, .has_end = pick(5) > 0, .has_mark = pick(6) == 0};
    s.count = 3 + pick(MOST_LINES / 2 - 3);
    for (size_t i = 0; i < s.count; i++)
        s.lines[i] = random_line(arena, i);
    s.first = pick(s.count);
    s.last = s.first + 1 + pick(s.count - s.first);
    s.lines[s.first] = str_printf(arena, "    first_%zu = %zu", s.first, pick(1000));
    s.lines[s.last - 1] = str_printf(arena, "    last_%zu = %zu", s.last, pick(1000));
    s.lines[s.count - 1] = s.lines[s.count - 1].len ? s.lines[s.count - 1] : S("    the_end");
    for (size_t i = s.first; i < s.last; i++) {
        size_t what = pick(5);
        if (what == 0)
            s.shown_new[s.new_count++] = str_printf(arena, "        added_%zu()", i);
        if (what <= 2) {
            s.is_kept[s.new_count] = true;
            s.shown_new[s.new_count++] = s.lines[i];
        } else if (what == 3) {
            s.shown_new[s.new_count++] = str_printf(arena, "        changed_%zu = 1", i);
        }
    }
    return s;
}

static void put_line(Buf *out, Str body, bool has_crlf) {
    buf_str(out, body);
    buf_cstr(out, has_crlf ? "\r\n" : "\n");
}

static Str scene_text(const Scene *s, bool is_after, Arena *arena) {
    Buf out = {0};
    if (s->has_mark)
        buf_cstr(&out, "\xEF\xBB\xBF");
    for (size_t i = 0; i < s->first; i++)
        put_line(&out, s->lines[i], s->has_crlf);
    for (size_t i = 0; is_after && i < s->new_count; i++)
        put_line(&out, s->shown_new[i], s->has_crlf);
    for (size_t i = is_after ? s->last : s->first; i < s->count; i++)
        put_line(&out, s->lines[i], s->has_crlf);
    bool ends_in_edit = is_after && s->last == s->count;
    if (!s->has_end && (!ends_in_edit || s->new_count))
        out.len -= s->has_crlf ? 2 : 1;
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

static Str with_typography(Str line, Arena *arena) {
    Buf out = {0};
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] == '\'')
            buf_cstr(&out, "\xE2\x80\x99");
        else if (line.ptr[i] == '-')
            buf_cstr(&out, "\xE2\x80\x93");
        else
            buf_char(&out, line.ptr[i]);
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

/* A line as the model writes it; the same line of the file always the same way. */
static Str disguised(Str line, Disguise how, bool is_kept, Arena *arena) {
    bool is_blank = str_trim(line).len == 0;
    uint64_t dice = str_hash(line);
    switch (how) {
    case TRAILING_BLANKS: return is_kept && dice % 2 ? str_concat(arena, line, S("  ")) : line;
    case INDENT_ADDED: return is_blank ? line : str_concat(arena, S("    "), line);
    case INDENT_REMOVED: return is_blank ? line : str_from(line, 4);
    case TYPOGRAPHIC: return is_kept ? with_typography(line, arena) : line;
    case TYPOS:
        if (!is_kept || line.len < 16 || dice % 6)
            return line;
        return str_printf(arena, "%.*sx%.*s", 12, line.ptr, (int)(line.len - 13), line.ptr + 13);
    default: return line;
    }
}

static Edit disguised_edit(const Scene *s, Disguise how, Arena *arena) {
    Buf old = {0}, new = {0};
    bool crlf = how == OTHER_LINE_ENDS ? !s->has_crlf : how == AS_IT_IS && s->has_crlf;
    if (how == OUTER_BLANKS) {
        put_line(&old, S(""), crlf);
        put_line(&new, S(""), crlf);
    }
    for (size_t i = s->first; i < s->last; i++) {
        if (how == NUMBERED)
            buf_printf(&old, "%zu| ", i + 1);
        put_line(&old, disguised(s->lines[i], how, true, arena), crlf);
    }
    for (size_t i = 0; i < s->new_count; i++) {
        if (how == NUMBERED)
            buf_printf(&new, "%zu| ", s->first + i + 1);
        put_line(&new, disguised(s->shown_new[i], how, s->is_kept[i], arena), crlf);
    }
    Edit edit = {.path = S("a"), .old_text = buf_copy(&old, arena), .new_text = buf_copy(&new, arena)};
    buf_free(&old);
    buf_free(&new);
    return edit;
}

static bool can_remove_indent(const Scene *s) {
    for (size_t i = s->first; i < s->last; i++)
        if (s->lines[i].len && !str_starts(s->lines[i], S("    ")))
            return false;
    return true;
}

/* What must come of it: the line end that goes with a deleted last line of a file without one is left open.
 */
static bool is_intended(const Scene *s, Str result, Str intended) {
    bool is_open = !s->has_end && s->last == s->count && !s->new_count;
    return is_open ? str_eq(str_trim_end(result), str_trim_end(intended)) : str_eq(result, intended);
}

#endif
