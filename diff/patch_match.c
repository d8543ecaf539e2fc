/* Lines of a hunk beside lines of a text. git's two notions are kept: bytes (also across line ends, when a
 * patch claims a missing newline where there is one), and with blanks ignored; a third one, for patches that
 * went through models and mailers, takes other line ends and a byte order mark. */
#include <string.h>

#include "diff/patch_match_internal.h"

typedef enum Likeness { LINES_DIFFER, LINES_LOOSE, LINES_SAME } Likeness;

#define BYTE_ORDER_MARK S("\xEF\xBB\xBF")

Window window_of(const PatchHunk *hunk, size_t lead_dropped, size_t tail_dropped) {
    Window w = {
        .hunk = hunk, .first = lead_dropped, .last = hunk->line_count - tail_dropped, .left_out = '+'};
    for (size_t i = w.first; i < w.last; i++) {
        const PatchLine *line = &hunk->lines[i];
        w.old_count += line->kind != '+';
        w.new_count += line->kind != '-';
        w.lacks_newline = w.lacks_newline || (line->kind != '+' && line->no_newline);
    }
    return w;
}

/* ---- one line ---- */

/* Both without their blanks. */
static bool same_but_blanks(Str a, Str b) {
    size_t i = 0, j = 0;
    for (;;) {
        while (i < a.len && patch_is_space(a.ptr[i]))
            i++;
        while (j < b.len && patch_is_space(b.ptr[j]))
            j++;
        if (i == a.len || j == b.len)
            return i == a.len && j == b.len;
        if (a.ptr[i++] != b.ptr[j++])
            return false;
    }
}

static Str without_end(Str line) {
    while (line.len && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    return line;
}

/* Any run of blanks is like any other, but not like none; line ends do not count. */
static bool same_with_blanks_folded(Str a, Str b) {
    size_t i = 0, j = 0;
    a = without_end(a);
    b = without_end(b);
    while (i < a.len && j < b.len) {
        if (!patch_is_space(a.ptr[i])) {
            if (a.ptr[i++] != b.ptr[j++])
                return false;
            continue;
        }
        if (!patch_is_space(b.ptr[j]))
            return false;
        while (i < a.len && patch_is_space(a.ptr[i]))
            i++;
        while (j < b.len && patch_is_space(b.ptr[j]))
            j++;
    }
    return i == a.len && j == b.len;
}

static bool is_same_line(Str there, const PatchLine *line) {
    size_t end = line->no_newline ? 0 : 1;
    return there.len == line->text.len + end &&
           (line->text.len == 0 || memcmp(there.ptr, line->text.ptr, line->text.len) == 0) &&
           (end == 0 || there.ptr[there.len - 1] == '\n');
}

static Str without_cr(Str body) {
    return str_ends(body, S("\r")) ? str_slice(body, 0, body.len - 1) : body;
}

static Str without_newline(Str line) {
    return str_ends(line, S("\n")) ? str_slice(line, 0, line.len - 1) : line;
}

/* Line ends apart; what they are goes into *match. */
static bool is_tolerably_same(Str there, const PatchLine *line, bool is_first, Match *match) {
    Str body = without_newline(there);
    if (is_first && str_starts(body, BYTE_ORDER_MARK) && !str_starts(line->text, BYTE_ORDER_MARK)) {
        body = str_from(body, 3);
        match->skips_mark = true;
    }
    Str bare = without_cr(body), wanted = without_cr(line->text);
    if (!str_eq(bare, wanted))
        return false;
    match->takes_crlf = match->takes_crlf || (bare.len < body.len && wanted.len == line->text.len);
    match->takes_lf =
        match->takes_lf || (bare.len == body.len && wanted.len < line->text.len && there.len > body.len);
    return true;
}

static Likeness compare_line(Str there, const Spot *spot, const PatchLine *line, const PatchOptions *options,
                             Match *match) {
    if (is_same_line(there, line))
        return LINES_SAME;
    if (options->ignore_whitespace && same_with_blanks_folded(there, line->text))
        return LINES_LOOSE;
    if (options->is_tolerant && is_tolerably_same(there, line, spot->line == 0, match))
        return LINES_LOOSE;
    return LINES_DIFFER;
}

/* ---- all lines ---- */

/* All bytes of the hunk's old lines with what stands from there on, whatever lines they fall into. */
static bool bytes_fit(Spot spot, const Window *w, bool match_end) {
    Str there = spot_line(&spot);
    size_t used = 0;
    for (size_t i = w->first; i < w->last; i++) {
        const PatchLine *line = &w->hunk->lines[i];
        size_t len = line->text.len + (line->no_newline ? 0 : 1);
        for (size_t n = 0; n < len && line->kind != w->left_out; n++, used++) {
            for (; used == there.len; used = 0) {
                if (!spot_next(&spot))
                    return false;
                there = spot_line(&spot);
            }
            if (there.ptr[used] != (n < line->text.len ? line->text.ptr[n] : '\n'))
                return false;
        }
    }
    while (used == there.len && spot_next(&spot)) {
        there = spot_line(&spot);
        used = 0;
    }
    return !match_end || used == there.len;
}

static bool is_at_ends(const Image *image, const Window *w, size_t line, Fit fit) {
    if (line > image->lines || w->old_count > image->lines - line)
        return false;
    if (fit.match_beginning && line != 0)
        return false;
    return !fit.match_end || line + w->old_count == image->lines;
}

bool match_window(const Image *image, const Window *w, Spot spot, Fit fit, const PatchOptions *options,
                  Match *out) {
    Spot begin = spot;
    bool is_same = true, is_loose = true;
    Match match = {.window = *w, .line = spot.line};
    if (!is_at_ends(image, w, spot.line, fit))
        return false;
    for (size_t i = w->first; i < w->last; i++) {
        const PatchLine *line = &w->hunk->lines[i];
        if (line->kind == w->left_out)
            continue;
        Str there = spot_line(&spot);
        if (spot.piece->is_patched)
            return false;
        Likeness likeness = compare_line(there, &spot, line, options, &match);
        is_same = is_same && likeness == LINES_SAME;
        is_loose = is_loose && likeness != LINES_DIFFER;
        if (!is_loose && (!w->lacks_newline || !same_but_blanks(there, line->text)))
            return false;
        spot_next(&spot);
    }
    is_same = is_same || (w->lacks_newline && bytes_fit(begin, w, fit.match_end));
    if (!is_same && !is_loose)
        return false;
    if (is_same)
        match.takes_crlf = match.takes_lf = match.skips_mark = false;
    match.is_fuzzy = !is_same;
    *out = match;
    return true;
}

/* ---- the new text ---- */

static void put_new_line(const PatchLine *line, const Match *match, bool has_newline, Buf *out) {
    Str text = line->text;
    if (match->takes_lf)
        text = without_cr(text);
    buf_str(out, text);
    if (has_newline)
        buf_cstr(out, match->takes_crlf && !str_ends(text, S("\r")) ? "\r\n" : "\n");
}

/* The file may end where the patch does not, and the reverse: a line that others follow ends in a newline. */
static bool has_newline_after(const PatchLine *line, bool is_loose_end, bool is_last) {
    return !line->no_newline || (is_loose_end && !is_last);
}

static void put_context(Str there, const Match *match, bool skips_mark, bool needs_newline, Buf *out) {
    buf_str(out, skips_mark ? str_from(there, BYTE_ORDER_MARK.len) : there);
    if (needs_newline && !str_ends(there, S("\n")))
        buf_cstr(out, match->takes_crlf ? "\r\n" : "\n");
}

bool match_text(Image *image, const Match *match, const PatchOptions *options, Arena *arena, Str *text,
                size_t *lines) {
    const Window *w = &match->window;
    Spot spot = image_seek(image, match->line);
    bool is_at_end = match->line + w->old_count == image->lines;
    Buf out = {0};
    *lines = 0;
    if (match->skips_mark)
        buf_str(&out, BYTE_ORDER_MARK);
    for (size_t i = w->first; i < w->last; i++) {
        const PatchLine *line = &w->hunk->lines[i];
        *lines += line->kind != '-';
        bool is_last = *lines == w->new_count && is_at_end;
        if (line->kind == '+')
            put_new_line(line, match, has_newline_after(line, options->is_tolerant, is_last), &out);
        if (line->kind == ' ' && match->is_fuzzy)
            put_context(spot_line(&spot), match, match->skips_mark && spot.line == 0,
                        options->is_tolerant && !is_last, &out);
        if (line->kind == ' ' && !match->is_fuzzy) {
            buf_str(&out, line->text);
            buf_cstr(&out, line->no_newline ? "" : "\n");
        }
        if (line->kind != '+')
            spot_next(&spot);
    }
    bool ok = !out.failed;
    *text = ok ? buf_copy(&out, arena) : S("");
    buf_free(&out);
    return ok;
}
