/* Hunks on a text. A hunk's place is looked for from the line its header names outwards, the nearest first
 * and forward before backward, as git-apply does it; every line of context and every removed line must be
 * there, and a line that an earlier hunk wrote serves no later one. What may differ beyond that is asked for
 * by the options, and counted. */
#include <string.h>

#include "base/utf8.h"
#include "diff/lines_internal.h"
#include "diff/patch_image_internal.h"
#include "diff/patch_match_internal.h"

typedef struct Job {
    const PatchFile *file;
    const PatchOptions *options;
    Image image;
    Arena scratch;
    size_t added, removed;       /* lines, by the hunks so far */
    size_t drift_down, drift_up; /* how far the last hunk stood from its line */
    PatchReport report;
} Job;

static Str name_of(const PatchFile *file) {
    return str_slice(file->old_path.len ? file->old_path : file->new_path, 0, 160);
}

/* ---- where a hunk goes ---- */

/* git: the first and the last hunk of a file have less context at its ends, so that this tells the ends. */
static Fit hunk_ends(const PatchHunk *hunk, const Window *window, const PatchOptions *options) {
    size_t trailing = hunk->has_void_line;
    for (size_t i = window->last; i > window->first && hunk->lines[i - 1].kind == ' '; i--)
        trailing++;
    return (Fit){.match_beginning = hunk->old_start == 0 || (hunk->old_start == 1 && !options->unidiff_zero),
                 .match_end = !options->unidiff_zero && !trailing};
}

typedef struct Context {
    size_t lead, tail;
} Context;

static Context count_context(const PatchHunk *hunk) {
    Context c = {0, 0};
    while (c.lead < hunk->line_count && hunk->lines[c.lead].kind == ' ')
        c.lead++;
    while (c.tail < hunk->line_count - c.lead && hunk->lines[hunk->line_count - 1 - c.tail].kind == ' ')
        c.tail++;
    if (c.lead == hunk->line_count)
        c.tail = c.lead; /* git counts them on both sides */
    return c;
}

/* GNU patch's fuzz: n outer lines of each side may differ, counted from the longer side. A hunk that must
 * stand at an end of the file must so until it loses lines on that side. Something must be left to find. */
static bool find_with_fuzz(Job *job, const PatchHunk *hunk, size_t expected, Fit fit, Match *out) {
    Context context = count_context(hunk);
    size_t most = context.lead > context.tail ? context.lead : context.tail;
    for (size_t fuzz = 1; fuzz <= (size_t)job->options->fuzz && fuzz <= most; fuzz++) {
        size_t lead = fuzz + context.lead > most ? fuzz + context.lead - most : 0;
        size_t tail = fuzz + context.tail > most ? fuzz + context.tail - most : 0;
        if (lead + tail >= hunk->line_count)
            break;
        Window window = window_of(hunk, lead, tail);
        Fit there = {.match_beginning = fit.match_beginning && fuzz + context.lead < most,
                     .match_end = fit.match_end && fuzz + context.tail < most};
        if (!window.old_count)
            break;
        if (match_find(&job->image, &window, expected + lead, there, job->options, out)) {
            out->is_fuzzy = true;
            return true;
        }
    }
    return false;
}

/* git's -C: drops a line of the longer side, of both when they are equal, until it fits or no more may go.
 * The first thing given up is that it stands at an end of the file. */
static bool find_with_less_context(Job *job, const PatchHunk *hunk, size_t expected, Fit fit, Match *out) {
    Context context = count_context(hunk), left = context;
    size_t least = (size_t)job->options->least_context;
    while (left.lead > least || left.tail > least) {
        if (fit.match_beginning || fit.match_end) {
            fit = (Fit){0};
        } else {
            bool is_lead = left.lead >= left.tail;
            left.lead -= is_lead;
            expected -= is_lead; /* below 0 means the end, as in git */
            left.tail -= left.tail > left.lead;
        }
        if (context.lead - left.lead + context.tail - left.tail >= hunk->line_count)
            return false;
        Window window = window_of(hunk, context.lead - left.lead, context.tail - left.tail);
        if (match_find(&job->image, &window, expected, fit, job->options, out)) {
            out->is_fuzzy = left.lead != context.lead || left.tail != context.tail;
            return true;
        }
    }
    return false;
}

/* The line where the hunk should stand, given those before it. */
static size_t expected_line(const Job *job, const PatchHunk *hunk) {
    size_t line = hunk->new_start ? hunk->new_start - 1 : 0;
    if (!job->options->is_tolerant && !job->options->fuzz)
        return line;
    line = hunk->old_count && hunk->old_start ? hunk->old_start - 1 : hunk->old_start;
    line += job->added + job->drift_down;
    size_t back = job->removed + job->drift_up;
    return line > back ? line - back : 0;
}

static bool find_place(Job *job, const PatchHunk *hunk, Match *out) {
    const PatchOptions *options = job->options;
    Window window = window_of(hunk, 0, 0);
    Fit fit = hunk_ends(hunk, &window, options);
    size_t expected = expected_line(job, hunk);
    if (options->is_tolerant)
        fit = (Fit){0};
    *out = (Match){0};
    if (match_find(&job->image, &window, expected, fit, options, out) ||
        (options->fuzz > 0 && find_with_fuzz(job, hunk, expected, fit, out)) ||
        (options->has_least_context && find_with_less_context(job, hunk, expected, fit, out))) {
        expected += out->window.first;
        out->offset_down = out->line > expected ? out->line - expected : 0;
        out->offset_up = out->line < expected ? expected - out->line : 0;
        return true;
    }
    return false;
}

/* ---- what is told of a hunk that does not go ---- */

static bool fail_applied(const Job *job, size_t index, size_t line, Err *err) {
    return err_set(err, ERR_CONFLICT,
                   "%.*s: hunk %zu does not apply; its result is already there, at line %zu",
                   STR_ARG(name_of(job->file)), index + 1, line + 1);
}

enum { SHOWN_BYTES = 100, SHOWN_BEFORE = 30 };

/* A part of a line for a message, from byte `from` on. */
static Str excerpt(Str line, size_t from) {
    while (from && from < line.len && ((unsigned char)line.ptr[from] & 0xC0) == 0x80)
        from--;
    Str part = str_slice(line, from, from + SHOWN_BYTES);
    return str_slice(part, 0, utf8_complete(part));
}

static Str without_cr(Str line) {
    return str_ends(line, S("\r")) ? str_slice(line, 0, line.len - 1) : line;
}

/* Two lines that differ: of long ones the part where they do. */
static bool fail_text(Str name, size_t hunk, size_t line, Str wanted, Str there, Err *err) {
    if (str_eq(without_cr(wanted), without_cr(there)))
        return err_set(
            err, ERR_CONFLICT,
            "%.*s: hunk %zu does not apply: line %zu ends in %s, but in %s in the patch (a tolerant "
            "apply follows the file's line ends)",
            STR_ARG(name), hunk, line, there.len > wanted.len ? "CRLF" : "LF",
            there.len > wanted.len ? "LF" : "CRLF");
    size_t same = 0;
    while (same < wanted.len && same < there.len && wanted.ptr[same] == there.ptr[same])
        same++;
    size_t from = same + SHOWN_BEFORE > SHOWN_BYTES ? same - SHOWN_BEFORE : 0;
    const char *lead = from ? "..." : "";
    Str a = excerpt(wanted, from), b = excerpt(there, from);
    return err_set(err, ERR_CONFLICT,
                   "%.*s: hunk %zu does not apply: line %zu should be \"%s%.*s\" but is \"%s%.*s\"",
                   STR_ARG(name), hunk, line, lead, STR_ARG(a), lead, STR_ARG(b));
}

/* The first line that differs where the hunk should stand. */
static bool fail_line(Job *job, size_t index, Err *err) {
    const PatchHunk *hunk = &job->file->hunks[index];
    Str name = name_of(job->file);
    Spot spot = image_seek(&job->image, expected_line(job, hunk));
    for (size_t i = 0; i < hunk->line_count; i++) {
        const PatchLine *line = &hunk->lines[i];
        if (line->kind == '+')
            continue;
        Str there = spot_line(&spot), wanted = excerpt(line->text, 0);
        Str body = str_ends(there, S("\n")) ? str_slice(there, 0, there.len - 1) : there;
        if (!there.len)
            return err_set(err, ERR_CONFLICT,
                           "%.*s: hunk %zu does not apply: line %zu should be \"%.*s\", but the file ends",
                           STR_ARG(name), index + 1, spot.line + 1, STR_ARG(wanted));
        if (spot.piece->is_patched)
            return err_set(err, ERR_CONFLICT,
                           "%.*s: hunk %zu does not apply: line %zu was written by the hunk before",
                           STR_ARG(name), index + 1, spot.line + 1);
        if (!str_eq(body, line->text))
            return fail_text(name, index + 1, spot.line + 1, line->text, body, err);
        if (line->no_newline == str_ends(there, S("\n")))
            return err_set(err, ERR_CONFLICT,
                           "%.*s: hunk %zu does not apply: line %zu should %send in a newline", STR_ARG(name),
                           index + 1, spot.line + 1, line->no_newline ? "not " : "");
        spot_next(&spot);
    }
    return err_set(err, ERR_CONFLICT, "%.*s: hunk %zu does not apply: it must stand at the %s of the file",
                   STR_ARG(name), index + 1, hunk->old_start <= 1 ? "beginning" : "end");
}

/* Lines that the hunk leaves, where they would stand: then it is applied already. */
static bool fail_hunk(Job *job, size_t index, Err *err) {
    const PatchHunk *hunk = &job->file->hunks[index];
    Window result = window_of(hunk, 0, 0);
    Match match;
    result.left_out = '-';
    result.old_count = result.new_count;
    if (result.old_count && match_find(&job->image, &result, hunk->new_start ? hunk->new_start - 1 : 0,
                                       (Fit){0}, &(PatchOptions){0}, &match))
        return fail_applied(job, index, match.line, err);
    return fail_line(job, index, err);
}

static bool fail_ambiguous(const Job *job, size_t index, const Match *match, Err *err) {
    return err_set(
        err, ERR_AMBIGUOUS,
        "%.*s: hunk %zu fits at more than one place (lines %zu and %zu), and at none that it names",
        STR_ARG(name_of(job->file)), index + 1, match->line + 1, match->second_line + 1);
}

/* ---- the file ---- */

static bool apply_hunk(Job *job, size_t index, Err *err) {
    const PatchHunk *hunk = &job->file->hunks[index];
    Match match;
    if (job->options->is_tolerant && hunk->old_count == 0 && job->image.lines && !job->options->unidiff_zero)
        return err_set(err, ERR_AMBIGUOUS, "%.*s: hunk %zu has no context that tells where it goes",
                       STR_ARG(name_of(job->file)), index + 1);
    if (!find_place(job, hunk, &match))
        return fail_hunk(job, index, err);
    if (match.is_ambiguous)
        return fail_ambiguous(job, index, &match, err);
    size_t count = match.window.old_count, lines;
    Spot spot = image_seek(&job->image, match.line);
    Str text;
    if (!match_text(&job->image, &match, job->options, &job->scratch, &text, &lines))
        return err_set(err, ERR_NO_MEMORY, "no memory for hunk %zu of %.*s", index + 1,
                       STR_ARG(name_of(job->file)));
    image_replace(&job->image, spot, count, text, lines);
    bool is_moved = match.offset_down || match.offset_up;
    job->drift_down += match.offset_down;
    job->drift_up += match.offset_up;
    job->added += match.window.new_count;
    job->removed += count;
    job->report.offset_hunks += is_moved;
    job->report.fuzzy_hunks += match.is_fuzzy;
    return true;
}

bool patch_apply(const PatchFile *file, Str old_text, const PatchOptions *options, Arena *arena,
                 Str *new_text, PatchReport *report, Err *err) {
    if (file->kind == PATCH_CREATE && old_text.len)
        return err_set(err, ERR_CONFLICT, "%.*s: the patch creates this file, but it is there already",
                       STR_ARG(name_of(file)));
    if (file->is_binary)
        return patch_apply_binary(file, old_text, arena, new_text, err);
    Job job = {.file = file, .options = options};
    bool ok = true;
    *new_text = old_text;
    if (file->hunk_count) {
        image_init(&job.image, old_text, &job.scratch);
        for (size_t i = 0; i < file->hunk_count && ok; i++)
            ok = apply_hunk(&job, i, err);
        if (ok)
            *new_text = image_join(&job.image, arena);
    }
    arena_free(&job.scratch);
    if (ok && file->kind == PATCH_DELETE && new_text->len)
        return err_set(err, ERR_CONFLICT,
                       "%.*s: the patch deletes this file, but it holds more than the patch removes",
                       STR_ARG(name_of(file)));
    if (ok && report) {
        report->offset_hunks += job.report.offset_hunks;
        report->fuzzy_hunks += job.report.fuzzy_hunks;
    }
    return ok;
}
