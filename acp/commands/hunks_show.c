/* What the dialog shows: headers, hunks with their changed words marked, one-line summaries. */
#include "acp/commands/hunks_internal.h"
#include "acp/commands/terminal.h"

#define HEAD "\033[1m"
#define PLACE "\033[36m"
#define REMOVED "\033[31m"
#define ADDED "\033[32m"
#define MARK_ON "\033[7m"
#define MARK_OFF "\033[27m"
#define PLAIN "\033[m"

static void put_coloured(const HunkDialog *dialog, const char *colour, Str text, Buf *out) {
    if (dialog->has_colour)
        buf_cstr(out, colour);
    terminal_put(out, text, false);
    buf_cstr(out, dialog->has_colour ? PLAIN "\n" : "\n");
}

void show_file_head(const FileChoice *choice) {
    Buf out = {0};
    Str rest = choice->diff->unified, line;
    while (str_next_line(&rest, &line) && !str_starts(line, S("@@ ")))
        put_coloured(choice->dialog, HEAD, line, &out);
    dialog_flush(choice->dialog, &out);
}

/* A line's text from byte `begin` of its side on, the marked ranges in reverse. */
static void put_marked(Buf *out, Str text, size_t begin, const TextRange *marks, size_t count) {
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (marks[i].end <= begin || marks[i].begin >= begin + text.len)
            continue;
        size_t from = marks[i].begin > begin ? marks[i].begin - begin : 0;
        size_t to = marks[i].end - begin < text.len ? marks[i].end - begin : text.len;
        terminal_put(out, str_slice(text, at, from), false);
        buf_cstr(out, MARK_ON);
        terminal_put(out, str_slice(text, from, to), false);
        buf_cstr(out, MARK_OFF);
        at = to;
    }
    terminal_put(out, str_from(text, at), false);
}

typedef struct Shown {
    WordMarks words;
    size_t hunk; /* whose words; STR_NONE before the first */
    size_t old_mark, new_mark;
} Shown;

/* Marks only say something where both sides have lines. */
static void put_line(const FileChoice *choice, const SectionLine *line, Shown *shown, Arena *arena,
                     Buf *out) {
    bool has_colour = choice->dialog->has_colour, has_end = str_ends(line->text, S("\n"));
    Str text = str_slice(line->text, 0, line->text.len - has_end);
    const Hunk *hunk = &choice->hunks.items[line->hunk];
    if (has_colour && line->kind != ' ')
        buf_cstr(out, line->kind == '-' ? REMOVED : ADDED);
    buf_char(out, line->kind);
    if (has_colour && line->kind != ' ' && hunk->old_count && hunk->new_count) {
        if (shown->hunk != line->hunk) {
            diff_words(&choice->hunks, line->hunk, arena, &shown->words);
            shown->hunk = line->hunk;
            shown->old_mark = shown->new_mark = 0;
        }
        bool is_old = line->kind == '-';
        const TextRange *marks = is_old ? shown->words.old_marks : shown->words.new_marks;
        size_t count = is_old ? shown->words.old_count : shown->words.new_count;
        size_t begin = (size_t)(text.ptr - (is_old ? choice->hunks.before.ptr : choice->hunks.after.ptr));
        size_t *first = is_old ? &shown->old_mark : &shown->new_mark;
        while (*first < count && marks[*first].end <= begin)
            ++*first;
        size_t last = *first;
        while (last < count && marks[last].begin < begin + text.len)
            last++;
        put_marked(out, text, begin, marks + *first, last - *first);
    } else
        terminal_put(out, text, false);
    if (has_colour && line->kind != ' ')
        buf_cstr(out, PLAIN);
    buf_cstr(out, has_end ? "\n" : "\n\\ No newline at end of file\n");
}

static void put_section(const FileChoice *choice, size_t first, size_t last, Buf *out) {
    Arena scratch = {0};
    Section section;
    Buf head = {0};
    Shown shown = {.hunk = STR_NONE};
    section_read(&choice->hunks, first, last, HUNK_CONTEXT, &scratch, &section);
    section_print_head(&section, &head);
    put_coloured(choice->dialog, PLACE, buf_text(&head), out);
    for (size_t i = 0; i < section.line_count; i++)
        put_line(choice, &section.lines[i], &shown, &scratch, out);
    buf_free(&head);
    arena_free(&scratch);
}

void show_part(const FileChoice *choice, size_t part) {
    Buf out = {0};
    put_section(choice, choice->parts[part].first, choice->parts[part].last, &out);
    dialog_flush(choice->dialog, &out);
}

void show_file(const FileChoice *choice) {
    Buf out = {0};
    for (size_t first = 0, last; first < choice->hunks.count; first = last + 1) {
        last = diff_section_end(&choice->hunks, first, HUNK_CONTEXT);
        put_section(choice, first, last, &out);
    }
    dialog_flush(choice->dialog, &out);
}

void show_summary(const FileChoice *choice, size_t part) {
    static const char MARKS[] = {[HUNK_UNDECIDED] = ' ', [HUNK_KEPT] = '+', [HUNK_DROPPED] = '-'};
    const HunkPart *p = &choice->parts[part];
    Arena scratch = {0};
    Section section;
    Buf out = {0};
    section_read(&choice->hunks, p->first, p->last, HUNK_CONTEXT, &scratch, &section);
    buf_printf(&out, "%c%2zu: ", MARKS[p->use], part + 1);
    Buf head = {0};
    section_print_head(&section, &head);
    buf_printf(&out, "%-18.*s ", (int)head.len - 6, head.ptr + 3);
    size_t width = terminal_width(choice->dialog->in);
    size_t line = 0;
    while (section.lines[line].kind == ' ')
        line++;
    if (width > out.len + 2) {
        size_t columns = width - out.len - 2;
        Str text = str_trim_end(section.lines[line].text);
        buf_char(&out, section.lines[line].kind);
        terminal_put_cut(&out, text, columns);
    }
    buf_char(&out, '\n');
    dialog_flush(choice->dialog, &out);
    buf_free(&head);
    arena_free(&scratch);
}
