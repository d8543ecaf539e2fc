/* Unified diffs with git's headers. The format is the one git-diff(1) documents under "Generating patch text
 * with -p". */
#include <string.h>

#include "diff/diff.h"
#include "diff/lines_internal.h"

enum { BINARY_PREFIX = 8000, DEFAULT_MODE = 0100644 };

bool text_is_binary(Str text) {
    return text.len && memchr(text.ptr, 0, text.len < BINARY_PREFIX ? text.len : BINARY_PREFIX) != NULL;
}

static bool needs_quotes(Str name) {
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            return true;
    }
    return false;
}

static void put_name(const char *side, Str name, Buf *out) {
    static const char LETTERS[] = "abtnvfr"; /* 0x07 to 0x0d */
    if (!needs_quotes(name)) {
        buf_cstr(out, side);
        buf_str(out, name);
        return;
    }
    buf_char(out, '"');
    buf_cstr(out, side);
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c >= 7 && c <= 13)
            buf_printf(out, "\\%c", LETTERS[c - 7]);
        else if (c < 0x20 || c >= 0x7f)
            buf_printf(out, "\\%03o", c);
        else
            buf_char(out, (char)c);
    }
    buf_char(out, '"');
}

/* A name with a blank is followed by a tab, so that readers do not take its end for a date. */
static void put_name_line(const char *lead, bool is_absent, const char *side, Str name, Buf *out) {
    buf_cstr(out, lead);
    if (is_absent)
        buf_cstr(out, "/dev/null");
    else
        put_name(side, name, out);
    if (!is_absent && !needs_quotes(name) && str_find_char(name, ' ', 0) != STR_NONE)
        buf_char(out, '\t');
    buf_char(out, '\n');
}

static bool is_renamed(const FileDiff *file) {
    return !file->is_new && !file->is_deleted && !str_eq(file->old_path, file->new_path);
}

static unsigned mode_or_default(unsigned mode) {
    return mode ? mode : DEFAULT_MODE;
}

static int similarity(const Hunks *hunks) {
    size_t kept = hunks->before.len,
           most = hunks->before.len > hunks->after.len ? hunks->before.len : hunks->after.len;
    for (size_t i = 0; i < hunks->count; i++)
        kept -= hunks->items[i].old_end - hunks->items[i].old_begin;
    return hunks->count == 0 || most == 0 ? 100 : (int)((double)kept / (double)most * 99.0);
}

static void put_headers(const FileDiff *file, Str old_path, Str new_path, Buf *out) {
    unsigned old_mode = mode_or_default(file->old_mode), new_mode = mode_or_default(file->new_mode);
    buf_cstr(out, "diff --git ");
    put_name("a/", old_path, out);
    buf_char(out, ' ');
    put_name("b/", new_path, out);
    buf_char(out, '\n');
    if (file->is_new)
        buf_printf(out, "new file mode %o\n", new_mode);
    else if (file->is_deleted)
        buf_printf(out, "deleted file mode %o\n", old_mode);
    else if (old_mode != new_mode)
        buf_printf(out, "old mode %o\nnew mode %o\n", old_mode, new_mode);
    if (is_renamed(file)) {
        buf_printf(out, "similarity index %d%%\nrename from ", similarity(&file->hunks));
        put_name("", old_path, out);
        buf_cstr(out, "\nrename to ");
        put_name("", new_path, out);
        buf_char(out, '\n');
    }
}

static void put_line(char kind, Str line, Buf *out) {
    buf_char(out, kind);
    buf_str(out, line);
    if (!str_ends(line, S("\n")))
        buf_cstr(out, "\n\\ No newline at end of file\n");
}

static void put_lines(char kind, const LineTable *table, size_t from, size_t count, Buf *out) {
    for (size_t i = from; i < from + count; i++)
        put_line(kind, table->lines[i], out);
}

/* An empty range is named by the line before it. */
static void put_range(char sign, size_t start, size_t count, Buf *out) {
    buf_printf(out, "%c%zu", sign, count ? start + 1 : start);
    if (count != 1)
        buf_printf(out, ",%zu", count);
}

/* Hunks first..last share one @@ section, with the common lines between and `context` around them. */
static void put_section(const Hunks *hunks, size_t first, size_t last, size_t context, const LineTable *old,
                        const LineTable *new, Buf *out) {
    const Hunk *h = &hunks->items[first], *end = &hunks->items[last];
    size_t lead = h->old_start < context ? h->old_start : context;
    size_t after = old->count - end->old_start - end->old_count;
    size_t tail = after < context ? after : context;
    size_t from = h->old_start - lead;
    buf_cstr(out, "@@ ");
    put_range('-', from, end->old_start + end->old_count + tail - from, out);
    buf_char(out, ' ');
    put_range('+', h->new_start - lead, end->new_start + end->new_count + tail - (h->new_start - lead), out);
    buf_cstr(out, " @@\n");
    for (size_t i = first; i <= last; i++) {
        h = &hunks->items[i];
        put_lines(' ', old, from, h->old_start - from, out);
        put_lines('-', old, h->old_start, h->old_count, out);
        put_lines('+', new, h->new_start, h->new_count, out);
        from = h->old_start + h->old_count;
    }
    put_lines(' ', old, from, tail, out);
}

static void put_hunks(const Hunks *hunks, size_t context, Buf *out) {
    Arena scratch = {0};
    LineTable old = line_table(hunks->before, &scratch), new = line_table(hunks->after, &scratch);
    for (size_t first = 0, last; first < hunks->count; first = last + 1) {
        last = first;
        while (last + 1 < hunks->count && hunks->items[last + 1].old_start - hunks->items[last].old_start -
                                                  hunks->items[last].old_count <=
                                              2 * context)
            last++;
        put_section(hunks, first, last, context, &old, &new, out);
    }
    arena_free(&scratch);
}

void diff_print(const FileDiff *file, int context, Buf *out) {
    bool is_moded = !file->is_new && !file->is_deleted &&
                    mode_or_default(file->old_mode) != mode_or_default(file->new_mode);
    bool is_changed =
        file->hunks.count || (file->is_binary && !str_eq(file->hunks.before, file->hunks.after));
    if (!is_changed && !file->is_new && !file->is_deleted && !is_renamed(file) && !is_moded)
        return;
    Str old_path = file->is_new ? file->new_path : file->old_path;
    Str new_path = file->is_deleted ? file->old_path : file->new_path;
    put_headers(file, old_path, new_path, out);
    if (!is_changed)
        return;
    if (file->is_binary) {
        buf_cstr(out, "Binary files ");
        put_name(file->is_new ? "" : "a/", file->is_new ? S("/dev/null") : old_path, out);
        buf_cstr(out, " and ");
        put_name(file->is_deleted ? "" : "b/", file->is_deleted ? S("/dev/null") : new_path, out);
        buf_cstr(out, " differ\n");
        return;
    }
    put_name_line("--- ", file->is_new, "a/", old_path, out);
    put_name_line("+++ ", file->is_deleted, "b/", new_path, out);
    put_hunks(&file->hunks, context > 0 ? (size_t)context : 0, out);
}
