#include "diff/section.h"

#include <string.h>

static size_t line_end(Str text, size_t at, size_t limit) {
    const char *end = at < limit ? memchr(text.ptr + at, '\n', limit - at) : NULL;
    return end ? (size_t)(end - text.ptr) + 1 : limit;
}

/* The byte where up to `count` lines before `at` begin, not below `limit`; *lines: how many. */
static size_t lines_back(Str text, size_t at, size_t limit, size_t count, size_t *lines) {
    for (*lines = 0; at > limit && *lines < count; (*lines)++)
        for (at--; at > limit && text.ptr[at - 1] != '\n';)
            at--;
    return at;
}

static size_t count_lines(Str text, size_t begin, size_t end) {
    size_t count = 0;
    for (size_t at = begin; at < end; count++)
        at = line_end(text, at, end);
    return count;
}

static void add_lines(Section *section, char kind, size_t hunk, Str text, size_t begin, size_t end) {
    for (size_t at = begin, next; at < end; at = next) {
        next = line_end(text, at, end);
        section->lines[section->line_count++] =
            (SectionLine){.kind = kind, .text = str_slice(text, at, next), .hunk = hunk};
    }
}

void section_read(const Hunks *hunks, size_t first, size_t last, size_t context, Arena *arena, Section *out) {
    const Hunk *head = &hunks->items[first], *tail = &hunks->items[last];
    Str before = hunks->before;
    size_t low = first ? head[-1].old_end : 0;
    size_t high = last + 1 < hunks->count ? tail[1].old_begin : before.len;
    size_t lead, trail = 0;
    *out = (Section){.first = first, .last = last, .end = tail->old_end};
    out->begin = lines_back(before, head->old_begin, low, context, &lead);
    for (; trail < context && out->end < high; trail++)
        out->end = line_end(before, out->end, high);
    out->old_start = head->old_start - lead;
    out->new_start = head->new_start - lead;
    out->old_count = tail->old_start + tail->old_count + trail - out->old_start;
    out->new_count = tail->new_start + tail->new_count + trail - out->new_start;
    size_t added = 0;
    for (size_t i = first; i <= last; i++)
        added += hunks->items[i].new_count;
    out->lines = ARENA_ARRAY(arena, SectionLine, out->old_count + added + 1);
    size_t at = out->begin;
    for (size_t i = first; i <= last; i++) {
        const Hunk *h = &hunks->items[i];
        add_lines(out, ' ', i, before, at, h->old_begin);
        add_lines(out, '-', i, before, h->old_begin, h->old_end);
        add_lines(out, '+', i, hunks->after, h->new_begin, h->new_end);
        at = h->old_end;
    }
    add_lines(out, ' ', last, before, at, out->end);
}

/* ---- printing ---- */

static void print_range(char sign, size_t start, size_t count, Buf *out) {
    buf_printf(out, "%c%zu", sign, count ? start + 1 : start);
    if (count != 1)
        buf_printf(out, ",%zu", count);
}

void section_print_head(const Section *section, Buf *out) {
    buf_cstr(out, "@@ ");
    print_range('-', section->old_start, section->old_count, out);
    buf_char(out, ' ');
    print_range('+', section->new_start, section->new_count, out);
    buf_cstr(out, " @@");
}

void section_print(const Section *section, Buf *out) {
    section_print_head(section, out);
    buf_char(out, '\n');
    for (size_t i = 0; i < section->line_count; i++) {
        buf_char(out, section->lines[i].kind);
        buf_str(out, section->lines[i].text);
        if (!str_ends(section->lines[i].text, S("\n")))
            buf_cstr(out, "\n\\ No newline at end of file\n");
    }
}

/* ---- edited by hand ---- */

typedef struct EditedLine {
    char kind;
    Str text; /* with its line end, if it has one */
} EditedLine;

typedef struct EditedText {
    EditedLine *lines;
    size_t count, capacity;
} EditedText;

/* The next line of *rest with its "\n". */
static Str cut_line(Str *rest) {
    size_t end = line_end(*rest, 0, rest->len);
    Str line = str_slice(*rest, 0, end);
    *rest = str_from(*rest, end);
    return line;
}

/* text + "\n", in the arena only where the last line of the edited text lost its own. */
static Str with_line_end(Str text, Arena *arena) {
    return str_ends(text, S("\n")) ? text : str_concat(arena, text, S("\n"));
}

static bool read_edited(Str edited, Arena *arena, EditedText *out, Err *err) {
    *out = (EditedText){0};
    for (size_t number = 1; edited.len; number++) {
        Str line = cut_line(&edited);
        char first = line.ptr[0];
        if (first == '#' || (first == '@' && out->count == 0))
            continue;
        EditedLine entry = {first, str_from(line, 1)};
        if (first == '\n' || str_eq(line, S("\r\n")))
            entry = (EditedLine){' ', line};
        else if (first == '\\' && out->count) {
            Str *last = &out->lines[out->count - 1].text;
            *last = str_slice(*last, 0, last->len - str_ends(*last, S("\n")));
            if (last->len == 0)
                return err_set(err, ERR_INVALID, "line %zu leaves nothing of the empty line before it",
                               number);
            continue;
        } else if (first != ' ' && first != '-' && first != '+')
            return err_set(err, ERR_INVALID, "line %zu begins with none of ' ', '-', '+' and '#': %.80s",
                           number, str_cstr(arena, str_trim_end(line)));
        entry.text = with_line_end(entry.text, arena);
        LIST_PUSH(arena, out->lines, out->count, out->capacity, entry);
    }
    return true;
}

static bool is_empty_line(const EditedLine *line) {
    return line->kind == ' ' && (str_eq(line->text, S("\n")) || str_eq(line->text, S("\r\n")));
}

/* The old side must be the section's own lines. Empty lines that an editor left at the end do not count. */
static bool check_old_side(const Hunks *hunks, const Section *section, EditedText *edited, Arena *arena,
                           Err *err) {
    Str before = hunks->before;
    size_t at = section->begin;
    for (size_t i = 0; i < edited->count; i++) {
        const EditedLine *line = &edited->lines[i];
        if (line->kind == '+')
            continue;
        if (at == section->end && is_empty_line(line)) {
            size_t rest = i + 1;
            while (rest < edited->count && is_empty_line(&edited->lines[rest]))
                rest++;
            if (rest == edited->count) {
                edited->count = i;
                break;
            }
        }
        Str real = str_slice(before, at, line_end(before, at, section->end));
        if (!str_eq(line->text, real))
            return err_set(err, ERR_CONFLICT, "the file has \"%.80s\" where the edited hunk has \"%.80s\"",
                           real.len ? str_cstr(arena, str_trim_end(real)) : "its next part",
                           str_cstr(arena, str_trim_end(line->text)));
        at += real.len;
    }
    if (at < section->end)
        return err_set(
            err, ERR_CONFLICT, "the edited hunk ends before the line \"%.80s\"",
            str_cstr(arena, str_trim_end(str_slice(before, at, line_end(before, at, section->end)))));
    return true;
}

/* The new side, whole; only the file's last line may lack its line end. */
static bool join_new_side(const Hunks *hunks, const Section *section, const EditedText *edited, Buf *out,
                          Err *err) {
    for (size_t i = 0; i < edited->count; i++) {
        if (edited->lines[i].kind == '-')
            continue;
        if (out->len && out->ptr[out->len - 1] != '\n')
            return err_set(err, ERR_INVALID,
                           "a line without a line end can only be the last one of the file");
        buf_str(out, edited->lines[i].text);
    }
    if (out->len && out->ptr[out->len - 1] != '\n' && section->end < hunks->before.len)
        return err_set(err, ERR_INVALID, "a line without a line end can only be the last one of the file");
    return true;
}

/* Runs of '-' and '+' become hunks. */
static size_t collect_hunks(const Section *section, size_t new_begin, const EditedText *edited, Hunk *items) {
    size_t count = 0;
    bool is_open = false;
    Hunk here = {.old_start = section->old_start,
                 .new_start = section->new_start,
                 .old_begin = section->begin,
                 .new_begin = new_begin};
    for (size_t i = 0; i < edited->count; i++) {
        size_t len = edited->lines[i].text.len;
        char kind = edited->lines[i].kind;
        if (kind != ' ' && !is_open) {
            items[count++] =
                (Hunk){here.old_start, 0, here.new_start, 0, here.old_begin, here.old_begin, here.new_begin,
                       here.new_begin, 0};
        }
        is_open = kind != ' ';
        if (kind != '+') {
            here.old_start++;
            here.old_begin += len;
        }
        if (kind != '-') {
            here.new_start++;
            here.new_begin += len;
        }
        if (is_open) {
            Hunk *h = &items[count - 1];
            h->old_count = here.old_start - h->old_start;
            h->new_count = here.new_start - h->new_start;
            h->old_end = here.old_begin;
            h->new_end = here.new_begin;
        }
    }
    return count;
}

bool section_edit(const Hunks *hunks, const Section *section, Str edited, Arena *arena, Hunks *out,
                  size_t *count, Err *err) {
    EditedText text;
    Buf middle = {0};
    if (!read_edited(edited, arena, &text, err) || !check_old_side(hunks, section, &text, arena, err))
        return false;
    if (!join_new_side(hunks, section, &text, &middle, err)) {
        buf_free(&middle);
        return false;
    }
    size_t first = section->first, rest = hunks->count - section->last - 1;
    size_t new_begin = hunks->items[first].new_begin - (hunks->items[first].old_begin - section->begin);
    size_t new_end =
        hunks->items[section->last].new_end + (section->end - hunks->items[section->last].old_end);
    Str joined = str_concat(arena, str_slice(hunks->after, 0, new_begin), buf_text(&middle));
    *out = (Hunks){hunks->before, str_concat(arena, joined, str_from(hunks->after, new_end)),
                   ARENA_ARRAY(arena, Hunk, first + text.count + rest + 1), 0};
    if (first)
        memcpy(out->items, hunks->items, first * sizeof *out->items);
    *count = collect_hunks(section, new_begin, &text, out->items + first);
    out->count = first + *count;
    size_t bytes = middle.len - (new_end - new_begin);
    size_t lines = count_lines(buf_text(&middle), 0, middle.len) - section->new_count;
    for (size_t i = section->last + 1; i < hunks->count; i++) {
        Hunk h = hunks->items[i];
        h.new_begin += bytes;
        h.new_end += bytes;
        h.new_start += lines;
        out->items[out->count++] = h;
    }
    buf_free(&middle);
    return true;
}
