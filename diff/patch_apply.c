/* Hunks on lines. A hunk's place is looked for from the line its header names outwards, the nearest first and
 * forward before backward, as git-apply does it; every line of context and every removed line must be there,
 * and a line that an earlier hunk wrote serves no later one. */
#include <string.h>

#include "diff/lines_internal.h"
#include "diff/patch_internal.h"

typedef struct ImageLine {
    Str text; /* with its line end */
    bool is_patched;
} ImageLine;

typedef struct Image {
    ImageLine *lines;
    size_t count, capacity;
} Image;

/* A hunk as the lines it needs and the lines it leaves. */
typedef struct Sides {
    Str *old, *new;
    size_t old_count, new_count, trailing;
    bool lacks_newline; /* some old line has none */
} Sides;

static Str line_text(const PatchLine *line, Arena *scratch) {
    return line->no_newline ? line->text : str_concat(scratch, line->text, S("\n"));
}

static Sides hunk_sides(const PatchHunk *hunk, Arena *scratch) {
    Sides s = {.old = ARENA_ARRAY(scratch, Str, hunk->line_count + 1),
               .new = ARENA_ARRAY(scratch, Str, hunk->line_count + 1)};
    for (size_t i = 0; i < hunk->line_count; i++) {
        const PatchLine *line = &hunk->lines[i];
        Str text = line_text(line, scratch);
        if (line->kind != '+') {
            s.old[s.old_count++] = text;
            s.lacks_newline = s.lacks_newline || line->no_newline;
        }
        if (line->kind != '-')
            s.new[s.new_count++] = text;
        s.trailing = line->kind == ' ' ? s.trailing + 1 : 0;
    }
    return s;
}

static bool is_blank_sign(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool same_but_blanks(Str a, Str b) {
    size_t i = 0, j = 0;
    for (;;) {
        while (i < a.len && is_blank_sign(a.ptr[i]))
            i++;
        while (j < b.len && is_blank_sign(b.ptr[j]))
            j++;
        if (i == a.len || j == b.len)
            return i == a.len && j == b.len;
        if (a.ptr[i++] != b.ptr[j++])
            return false;
    }
}

/* A patch may claim a missing newline where the file has one. git then compares lines without their blanks,
 * and all bytes of the hunk with what stands from there on, whatever lines they fall into. */
static bool bytes_fit(const Image *image, const Sides *s, size_t at, bool match_end) {
    size_t line = at, used = 0;
    for (size_t i = 0; i < s->old_count; i++) {
        for (size_t n = 0; n < s->old[i].len; n++, used++) {
            for (; line < image->count && used == image->lines[line].text.len; used = 0)
                line++;
            if (line == image->count || image->lines[line].text.ptr[used] != s->old[i].ptr[n])
                return false;
        }
    }
    for (; line < image->count && used == image->lines[line].text.len; used = 0)
        line++;
    return !match_end || line == image->count;
}

typedef struct Fit {
    bool match_beginning, match_end;
} Fit;

static bool hunk_fits(const Image *image, const Sides *s, size_t at, Fit fit) {
    if (at > image->count || s->old_count > image->count - at)
        return false;
    if ((fit.match_beginning && at) || (fit.match_end && at + s->old_count != image->count))
        return false;
    bool is_equal = true;
    for (size_t i = 0; i < s->old_count; i++) {
        const ImageLine *there = &image->lines[at + i];
        bool equal = str_eq(there->text, s->old[i]);
        if (there->is_patched || (!equal && (!s->lacks_newline || !same_but_blanks(there->text, s->old[i]))))
            return false;
        is_equal = is_equal && equal;
    }
    return is_equal || bytes_fit(image, s, at, fit.match_end);
}

static bool find_place(const Image *image, const Sides *s, size_t expected, Fit fit, size_t *place) {
    size_t start = fit.match_beginning           ? 0
                   : !fit.match_end              ? expected
                   : s->old_count > image->count ? image->count
                                                 : image->count - s->old_count;
    start = start > image->count ? image->count : start;
    size_t furthest = start > image->count - start ? start : image->count - start;
    for (size_t away = 0; away <= furthest; away++) {
        if (away <= image->count - start && hunk_fits(image, s, start + away, fit)) {
            *place = start + away;
            return true;
        }
        if (away && away <= start && hunk_fits(image, s, start - away, fit)) {
            *place = start - away;
            return true;
        }
        if (fit.match_beginning || fit.match_end)
            return false; /* there is only one such place */
    }
    return false;
}

static void replace_lines(Image *image, size_t at, const Sides *s, Arena *scratch) {
    size_t tail = image->count - at - s->old_count, count = at + s->new_count + tail;
    if (count > image->capacity) {
        size_t capacity = count + count / 2 + 16;
        image->lines = arena_grow(scratch, image->lines, image->count * sizeof *image->lines,
                                  capacity * sizeof *image->lines);
        image->capacity = capacity;
    }
    if (s->new_count != s->old_count)
        memmove(image->lines + at + s->new_count, image->lines + at + s->old_count,
                tail * sizeof *image->lines);
    for (size_t i = 0; i < s->new_count; i++)
        image->lines[at + i] = (ImageLine){s->new[i], true};
    image->count = count;
}

static Str name_of(const PatchFile *file) {
    return str_slice(file->old_path.len ? file->old_path : file->new_path, 0, 160);
}

/* Whether the lines the hunk leaves stand where they would be: then it is applied already. */
static bool is_applied(const Image *image, const PatchHunk *hunk, const Sides *s) {
    Sides swapped = {.old = s->new, .old_count = s->new_count};
    size_t at = hunk->new_start ? hunk->new_start - 1 : 0;
    return s->new_count && hunk_fits(image, &swapped, at, (Fit){false, false});
}

static bool fail_hunk(const PatchFile *file, size_t index, const Image *image, const Sides *s, Err *err) {
    const PatchHunk *hunk = &file->hunks[index];
    size_t at = hunk->old_start ? hunk->old_start - 1 : 0;
    if (is_applied(image, hunk, s))
        return err_set(err, ERR_CONFLICT,
                       "%.*s: hunk %zu does not apply; its result is already there, at line %zu",
                       STR_ARG(name_of(file)), index + 1, hunk->new_start);
    for (size_t i = 0; i < s->old_count; i++) {
        Str wanted = str_slice(line_body(s->old[i]), 0, 100);
        if (at + i >= image->count)
            return err_set(err, ERR_CONFLICT,
                           "%.*s: hunk %zu does not apply: line %zu should be \"%.*s\", but the file ends",
                           STR_ARG(name_of(file)), index + 1, at + i + 1, STR_ARG(wanted));
        if (!str_eq(image->lines[at + i].text, s->old[i]))
            return err_set(err, ERR_CONFLICT,
                           "%.*s: hunk %zu does not apply: line %zu should be \"%.*s\" but is \"%.*s\"",
                           STR_ARG(name_of(file)), index + 1, at + i + 1, STR_ARG(wanted),
                           STR_ARG(str_slice(line_body(image->lines[at + i].text), 0, 100)));
    }
    return err_set(
        err, ERR_CONFLICT,
        "%.*s: hunk %zu does not apply: it must stand at the %s of the file, or overlaps the hunk before it",
        STR_ARG(name_of(file)), index + 1, hunk->old_start <= 1 ? "beginning" : "end");
}

static Str join_image(const Image *image, Arena *arena) {
    size_t len = 0, at = 0;
    for (size_t i = 0; i < image->count; i++)
        len += image->lines[i].text.len;
    char *text = arena_alloc(arena, len + 1);
    for (size_t i = 0; i < image->count; i++) {
        if (image->lines[i].text.len)
            memcpy(text + at, image->lines[i].text.ptr, image->lines[i].text.len);
        at += image->lines[i].text.len;
    }
    return (Str){text, len};
}

static bool apply_hunks(const PatchFile *file, Image *image, const PatchOptions *options, Arena *scratch,
                        Err *err) {
    for (size_t i = 0; i < file->hunk_count; i++) {
        const PatchHunk *hunk = &file->hunks[i];
        Sides s = hunk_sides(hunk, scratch);
        Fit fit = {.match_beginning =
                       hunk->old_start == 0 || (hunk->old_start == 1 && !options->unidiff_zero),
                   .match_end = !options->unidiff_zero && !s.trailing};
        size_t place;
        if (!find_place(image, &s, hunk->new_start ? hunk->new_start - 1 : 0, fit, &place))
            return fail_hunk(file, i, image, &s, err);
        replace_lines(image, place, &s, scratch);
    }
    return true;
}

bool patch_apply(const PatchFile *file, Str old_text, const PatchOptions *options, Arena *arena,
                 Str *new_text, PatchReport *report, Err *err) {
    (void)report;
    if (file->kind == PATCH_CREATE && old_text.len)
        return err_set(err, ERR_CONFLICT, "%.*s: the patch creates this file, but it is there already",
                       STR_ARG(name_of(file)));
    if (file->is_binary)
        return patch_apply_binary(file, old_text, arena, new_text, err);
    Arena scratch = {0};
    LineTable table = line_table(old_text, &scratch);
    Image image = {.count = table.count, .capacity = table.count + 16};
    image.lines = ARENA_ARRAY(&scratch, ImageLine, image.capacity);
    for (size_t i = 0; i < table.count; i++)
        image.lines[i].text = table.lines[i];
    bool ok = apply_hunks(file, &image, options, &scratch, err);
    if (ok)
        *new_text = join_image(&image, arena);
    arena_free(&scratch);
    if (ok && file->kind == PATCH_DELETE && new_text->len)
        return err_set(err, ERR_CONFLICT,
                       "%.*s: the patch deletes this file, but it holds more than the patch removes",
                       STR_ARG(name_of(file)));
    return ok;
}
