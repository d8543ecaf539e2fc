/* Unified diffs with git's headers. The format is the one git-diff(1) documents under "Generating patch text
 * with -p". Work grows with what is printed: lines around a hunk are found from its byte ranges. */
#define _GNU_SOURCE
#include <string.h>

#include "base/utf8.h"
#include "diff/diff.h"
#include "diff/patch_internal.h"
#include "diff/rename_internal.h"

enum { BINARY_PREFIX = 8000, FUNCTION_BYTES = 80 };
enum { MODE_DEFAULT = 0100644, MODE_KIND = 0170000 };

bool text_is_binary(Str text) {
    return text.len && memchr(text.ptr, 0, text.len < BINARY_PREFIX ? text.len : BINARY_PREFIX) != NULL;
}

/* ---- names ---- */

/* git quotes control characters, bytes past 0x7f, quotes and backslashes. It prints " /" as it is, but cannot
 * tell the two names of "diff --git" apart then; it does read them in quotes. */
static bool needs_quotes(Str name) {
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            return true;
    }
    return str_contains(name, S(" /"));
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
    if (!is_absent && str_find_char(name, ' ', 0) != STR_NONE)
        buf_char(out, '\t');
    buf_char(out, '\n');
}

/* ---- headers ---- */

static bool is_renamed(const FileDiff *file) {
    return !file->is_new && !file->is_deleted && !str_eq(file->old_path, file->new_path);
}

static unsigned mode_or_default(unsigned mode) {
    return mode ? mode : MODE_DEFAULT;
}

static bool has_new_mode(const FileDiff *file) {
    return !file->is_new && !file->is_deleted &&
           mode_or_default(file->old_mode) != mode_or_default(file->new_mode);
}

static bool has_new_text(const FileDiff *file) {
    return file->hunks.count || !str_eq(file->hunks.before, file->hunks.after);
}

static void put_headers(const FileDiff *file, Str old_path, Str new_path, Buf *out) {
    unsigned old_mode = mode_or_default(file->old_mode), new_mode = mode_or_default(file->new_mode);
    const char *verb = file->is_copied ? "copy" : "rename";
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
        buf_printf(out, "similarity index %d%%\n%s from ",
                   has_new_text(file) ? text_similarity(file->hunks.before, file->hunks.after) : 100, verb);
        put_name("", old_path, out);
        buf_printf(out, "\n%s to ", verb);
        put_name("", new_path, out);
        buf_char(out, '\n');
    }
}

/* ---- hunks ---- */

/* Lines with a sign in front; the last line of a file may lack its line end. */
static void put_lines(char sign, Str lines, Buf *out) {
    while (lines.len) {
        const char *end = memchr(lines.ptr, '\n', lines.len);
        size_t n = end ? (size_t)(end - lines.ptr) + 1 : lines.len;
        if (!buf_reserve(out, n + 1))
            return;
        out->ptr[out->len++] = sign;
        memcpy(out->ptr + out->len, lines.ptr, n);
        out->len += n;
        if (!end)
            buf_cstr(out, "\n\\ No newline at end of file\n");
        lines = str_from(lines, n);
    }
}

/* Where the line begins that stands `*lines` lines before the line beginning at `at`; *lines becomes how many
 * there were. */
static size_t lines_before(Str text, size_t at, size_t *lines) {
    size_t found = 0;
    for (; found < *lines && at > 0; found++) {
        const char *end = memrchr(text.ptr, '\n', at - 1);
        at = end ? (size_t)(end - text.ptr) + 1 : 0;
    }
    *lines = found;
    return at;
}

static size_t lines_after(Str text, size_t at, size_t *lines) {
    size_t found = 0;
    for (; found < *lines && at < text.len; found++) {
        const char *end = memchr(text.ptr + at, '\n', text.len - at);
        at = end ? (size_t)(end - text.ptr) + 1 : text.len;
    }
    *lines = found;
    return at;
}

/* The heading of a section: the nearest line above it that begins like a definition does. */
typedef struct Heading {
    Str text;
    size_t seen; /* lines before this byte have been looked at */
} Heading;

static bool begins_definition(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
}

static void find_heading(Heading *heading, Str text, size_t at) {
    for (size_t end = at; end > heading->seen;) {
        size_t one = 1, begin = lines_before(text, end, &one);
        if (begins_definition(text.ptr[begin])) {
            Str line = str_slice(text, begin, end);
            if (line.len > FUNCTION_BYTES) {
                line.len = FUNCTION_BYTES;
                line.len = utf8_complete(line);
            }
            heading->text = str_trim_end(line);
            break;
        }
        end = begin;
    }
    heading->seen = at;
}

/* An empty range is named by the line before it. */
static void put_range(char sign, size_t start, size_t count, Buf *out) {
    buf_printf(out, "%c%zu", sign, count ? start + 1 : start);
    if (count != 1)
        buf_printf(out, ",%zu", count);
}

/* Hunks first..last share one @@ section, with the common lines between and `context` around them. */
static void put_section(const Hunks *hunks, size_t first, size_t last, size_t context, Heading *heading,
                        Buf *out) {
    const Hunk *h = &hunks->items[first], *end = &hunks->items[last];
    size_t lead = context, tail = context;
    size_t from = lines_before(hunks->before, h->old_begin, &lead);
    size_t to = lines_after(hunks->before, end->old_end, &tail);
    size_t old_start = h->old_start - lead, new_start = h->new_start - lead;
    find_heading(heading, hunks->before, from);
    buf_cstr(out, "@@ ");
    put_range('-', old_start, end->old_start + end->old_count + tail - old_start, out);
    buf_char(out, ' ');
    put_range('+', new_start, end->new_start + end->new_count + tail - new_start, out);
    buf_cstr(out, " @@");
    if (heading->text.len) {
        buf_char(out, ' ');
        buf_str(out, heading->text);
    }
    buf_char(out, '\n');
    for (size_t i = first; i <= last; i++) {
        h = &hunks->items[i];
        put_lines(' ', str_slice(hunks->before, from, h->old_begin), out);
        put_lines('-', str_slice(hunks->before, h->old_begin, h->old_end), out);
        put_lines('+', str_slice(hunks->after, h->new_begin, h->new_end), out);
        from = h->old_end;
    }
    put_lines(' ', str_slice(hunks->before, from, to), out);
}

static void put_hunks(const Hunks *hunks, int context, Buf *out) {
    Heading heading = {0};
    for (size_t first = 0, last; first < hunks->count; first = last + 1) {
        last = diff_section_end(hunks, first, context);
        put_section(hunks, first, last, context > 0 ? (size_t)context : 0, &heading, out);
    }
}

/* ---- sections ---- */

static void put_notice(const FileDiff *file, Str old_path, Str new_path, Buf *out) {
    buf_cstr(out, "Binary files ");
    put_name(file->is_new ? "" : "a/", file->is_new ? S("/dev/null") : old_path, out);
    buf_cstr(out, " and ");
    put_name(file->is_deleted ? "" : "b/", file->is_deleted ? S("/dev/null") : new_path, out);
    buf_cstr(out, " differ\n");
}

/* Binary data only applies where the full ids of both texts are told. */
static bool put_binary(const FileDiff *file, Buf *out) {
    char ids[2][PATCH_ID_HEX + 1];
    memset(ids, '0', sizeof ids);
    if (!file->is_new)
        patch_blob_id(file->hunks.before, ids[0]);
    if (!file->is_deleted)
        patch_blob_id(file->hunks.after, ids[1]);
    buf_printf(out, "index %.*s..%.*s\n", PATCH_ID_HEX, ids[0], PATCH_ID_HEX, ids[1]);
    return patch_binary_print(file->hunks.before, file->hunks.after, out);
}

static bool put_file(const FileDiff *file, int context, Buf *out) {
    if (!has_new_text(file) && !file->is_new && !file->is_deleted && !is_renamed(file) && !has_new_mode(file))
        return true;
    Str old_path = file->is_new ? file->new_path : file->old_path;
    Str new_path = file->is_deleted ? file->old_path : file->new_path;
    put_headers(file, old_path, new_path, out);
    if (!has_new_text(file))
        return true;
    if (file->is_binary && file->carries_binary)
        return put_binary(file, out);
    if (file->is_binary) {
        put_notice(file, old_path, new_path, out);
        return true;
    }
    put_name_line("--- ", file->is_new, "a/", old_path, out);
    put_name_line("+++ ", file->is_deleted, "b/", new_path, out);
    put_hunks(&file->hunks, context, out);
    return true;
}

static bool changes_type(const FileDiff *file) {
    return has_new_mode(file) &&
           ((mode_or_default(file->old_mode) ^ mode_or_default(file->new_mode)) & MODE_KIND);
}

static size_t count_lines(Str text) {
    size_t all = SIZE_MAX;
    lines_after(text, 0, &all);
    return all;
}

/* A link becomes a file, or a file a link: the old one goes, the new one comes. */
static bool put_type_change(const FileDiff *file, int context, Buf *out) {
    Str before = file->hunks.before, after = file->hunks.after;
    Hunk gone = {.old_count = count_lines(before), .old_end = before.len};
    Hunk come = {.new_count = count_lines(after), .new_end = after.len};
    FileDiff old = *file, new = *file;
    old.is_deleted = true;
    old.hunks = (Hunks){before, S(""), &gone, before.len > 0};
    old.is_binary = file->is_binary && text_is_binary(before);
    new.is_new = true;
    new.hunks = (Hunks){S(""), after, &come, after.len > 0};
    new.is_binary = file->is_binary &&text_is_binary(after);
    return (file->is_copied || put_file(&old, context, out)) && put_file(&new, context, out);
}

static bool print_file(const FileDiff *file, int context, Buf *out) {
    return changes_type(file) ? put_type_change(file, context, out) : put_file(file, context, out);
}

void diff_print(const FileDiff *file, int context, Buf *out) {
    if (!print_file(file, context, out))
        out->failed = true;
}

/* ---- verified ---- */

static bool fail_check(const FileDiff *file, const char *what, Err *err) {
    return err_set(err, ERR_INTERNAL, "%.*s: the diff was not shown, because %s; please report this",
                   STR_ARG(str_slice(file->is_deleted ? file->old_path : file->new_path, 0, 200)), what);
}

static bool check_head(const FileDiff *file, const PatchFile *read, Err *err) {
    PatchKind kind = file->is_new       ? PATCH_CREATE
                     : file->is_deleted ? PATCH_DELETE
                     : file->is_copied  ? PATCH_COPY
                     : is_renamed(file) ? PATCH_RENAME
                                        : PATCH_MODIFY;
    Str old_path = file->is_new ? S("") : file->old_path;
    Str new_path = file->is_deleted ? S("") : file->new_path;
    if (read->kind != kind || !str_eq(read->old_path, old_path) || !str_eq(read->new_path, new_path))
        return fail_check(file, "reading it back gives other file names", err);
    unsigned mode = mode_or_default(file->is_deleted ? file->old_mode : file->new_mode);
    unsigned given = file->is_deleted ? read->old_mode : read->new_mode;
    if ((file->is_new || file->is_deleted || has_new_mode(file)) && given != mode)
        return fail_check(file, "reading it back gives another file mode", err);
    return true;
}

static bool check_text(const FileDiff *file, const PatchFile *read, const PatchOptions *options, Err *err) {
    Arena arena = {0};
    Str result = S("");
    Err why = {0};
    bool ok = patch_apply(read, file->hunks.before, options, &arena, &result, NULL, &why);
    if (!ok)
        fail_check(file, why.text, err);
    else if (!str_eq(result, file->hunks.after))
        ok = fail_check(file, "applying it to the old text does not give the new text", err);
    arena_free(&arena);
    return ok;
}

/* The sections of one FileDiff as they were meant: one, or two for a change of type. */
static bool check_printed(const FileDiff *file, Str printed, int context, Err *err) {
    PatchOptions options = {.strip = 1, .unidiff_zero = context <= 0};
    FileDiff parts[2] = {*file, *file};
    size_t count = 0;
    if (!changes_type(file)) {
        count = 1;
    } else {
        if (!file->is_copied) {
            parts[count].is_deleted = true;
            parts[count++].hunks.after = S("");
        }
        parts[count] = *file;
        parts[count].is_new = true;
        parts[count++].hunks.before = S("");
    }
    Arena arena = {0};
    Patch patch;
    Err why = {0};
    bool ok = patch_parse(printed, &options, &arena, &patch, &why);
    if (!ok)
        fail_check(file, why.text, err);
    else if (patch.count != count)
        ok = fail_check(file, "reading it back gives another number of sections", err);
    for (size_t i = 0; ok && i < count; i++)
        ok = check_head(&parts[i], &patch.files[i], err) &&
             check_text(&parts[i], &patch.files[i], &options, err);
    arena_free(&arena);
    return ok;
}

bool diff_print_verified(const FileDiff *file, int context, Buf *out, Err *err) {
    size_t begin = out->len;
    bool ok = print_file(file, context, out) && !out->failed;
    if (!ok)
        fail_check(file, "memory ran out", err);
    bool is_notice = file->is_binary && !file->carries_binary && has_new_text(file);
    if (ok && out->len > begin && !is_notice)
        ok = check_printed(file, str_from(buf_text(out), begin), context, err);
    if (!ok)
        out->len = begin;
    return ok;
}
