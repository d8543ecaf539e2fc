#include "diff/patch_internal.h"

enum { LEAST_NO_NEWLINE = 12, MODE_KIND = 0170000, MODE_FILE = 0100000, MODE_LINK = 0120000 };

Str patch_peek(const PatchReader *r) {
    size_t end = str_find_char(r->rest, '\n', 0);
    return end == STR_NONE ? r->rest : str_slice(r->rest, 0, end + 1);
}

void patch_skip(PatchReader *r) {
    r->rest = str_from(r->rest, patch_peek(r).len);
    r->line++;
}

/* ---- hunks ---- */

/* What no number can hold is the largest: no text has such a line, a count is found wrong. */
static bool read_number(Str s, size_t *at, size_t *value) {
    size_t begin = *at;
    *value = 0;
    for (; *at < s.len && s.ptr[*at] >= '0' && s.ptr[*at] <= '9'; ++*at)
        *value = *value > (SIZE_MAX - 9) / 10 ? SIZE_MAX : *value * 10 + (size_t)(s.ptr[*at] - '0');
    return *at > begin;
}

static bool read_range(Str s, size_t *at, Str end, size_t *start, size_t *count) {
    *count = 1;
    if (!read_number(s, at, start))
        return false;
    if (*at < s.len && s.ptr[*at] == ',') {
        ++*at;
        if (!read_number(s, at, count))
            return false;
    }
    if (!str_starts(str_from(s, *at), end))
        return false;
    *at += end.len;
    return true;
}

bool patch_hunk_head(Str line, PatchHunk *hunk) {
    size_t at = 4;
    *hunk = (PatchHunk){0};
    return str_starts(line, S("@@ -")) && str_ends(line, S("\n")) &&
           read_range(line, &at, S(" +"), &hunk->old_start, &hunk->old_count) &&
           read_range(line, &at, S(" @@"), &hunk->new_start, &hunk->new_count);
}

/* Counts from the lines, up to what ends a hunk; leaves the printed ones when it ends in something else. */
static void recount(PatchReader r, PatchHunk *hunk) {
    size_t old_count = 0, new_count = 0;
    for (; r.rest.len; patch_skip(&r)) {
        char kind = r.rest.ptr[0];
        if (kind == ' ' || kind == '\n')
            old_count++, new_count++;
        else if (kind == '-')
            old_count++;
        else if (kind == '+')
            new_count++;
        else if (kind != '\\') {
            if (!str_starts(r.rest, S("@@ ")) && !str_starts(r.rest, S("diff ")))
                return;
            break;
        }
    }
    hunk->old_count = old_count;
    hunk->new_count = new_count;
}

static bool corrupt(const PatchReader *r, Err *err, const char *what) {
    return err_set(err, ERR_INVALID, "line %zu of the patch: %s", r->line, what);
}

/* Takes one of the hunk's lines off the counts. */
static bool count_line(char kind, size_t *old_left, size_t *new_left) {
    bool is_old = kind == ' ' || kind == '-', is_new = kind == ' ' || kind == '+';
    if (*old_left < is_old || *new_left < is_new)
        return false;
    *old_left -= is_old;
    *new_left -= is_new;
    return true;
}

/* The line above ends without a newline. When that leaves nothing of it, not even the blank of a context
 * line, git counts it and then leaves it out. */
static void mark_no_newline(PatchHunk *hunk, bool is_bare) {
    if (!hunk->line_count)
        return;
    if (is_bare)
        hunk->line_count--;
    else
        hunk->lines[hunk->line_count - 1].no_newline = true;
    hunk->has_void_line = hunk->has_void_line || is_bare;
}

/* The lines of a hunk, as many as it counts. */
static bool read_lines(PatchReader *r, PatchHunk *hunk, Err *err) {
    size_t old_left = hunk->old_count, new_left = hunk->new_count, capacity = 0, changes = 0;
    bool is_bare = false;
    while (r->rest.len && (old_left || new_left)) {
        Str line = patch_peek(r);
        size_t end = str_ends(line, S("\n")) ? line.len - 1 : line.len;
        if (end == line.len && !r->options->is_tolerant)
            return corrupt(r, err, "the patch ends in the middle of a hunk");
        char kind = line.ptr[0] == '\n' ? ' ' : line.ptr[0];
        if (kind == '\\') {
            if (line.len < LEAST_NO_NEWLINE || line.ptr[1] != ' ')
                return corrupt(r, err, "a line of a hunk must begin with a blank, - or +");
            mark_no_newline(hunk, is_bare);
            is_bare = false;
            patch_skip(r);
            continue;
        }
        if (kind != ' ' && kind != '-' && kind != '+')
            return corrupt(r, err, "a line of a hunk must begin with a blank, - or +");
        if (!count_line(kind, &old_left, &new_left))
            return corrupt(r, err, "the hunk has more lines than its @@ line says");
        changes += kind != ' ';
        is_bare = line.ptr[0] == '\n';
        Str text = is_bare ? S("") : str_slice(line, 1, end);
        LIST_PUSH(r->arena, hunk->lines, hunk->line_count, capacity,
                  ((PatchLine){.kind = kind, .text = text}));
        patch_skip(r);
    }
    if (old_left || new_left)
        return corrupt(r, err, "the hunk has fewer lines than its @@ line says");
    if (!changes && (!r->options->recount || r->options->is_tolerant))
        return corrupt(r, err, "the hunk above changes nothing");
    if (r->rest.len > LEAST_NO_NEWLINE && str_starts(r->rest, S("\\ "))) {
        mark_no_newline(hunk, is_bare);
        patch_skip(r);
    }
    return true;
}

/* A line that cannot belong to a hunk, or begins another file or a mail's signature. */
static bool ends_hunk(const PatchReader *r) {
    PatchReader ahead = *r;
    Str line = patch_peek(r);
    char kind = line.len ? line.ptr[0] : 0;
    if (kind != ' ' && kind != '-' && kind != '+' && kind != '\\' && kind != '\n')
        return true;
    patch_skip(&ahead);
    return str_eq(line, S("-- \n")) || (str_starts(line, S("--- ")) && str_starts(ahead.rest, S("+++ ")));
}

/* Tolerant: counts are what stands there, without the empty lines at the end. */
static void recount_tolerantly(PatchReader r, PatchHunk *hunk) {
    size_t empty = 0;
    for (hunk->old_count = hunk->new_count = 0; !ends_hunk(&r); patch_skip(&r)) {
        char kind = r.rest.ptr[0];
        empty = kind == '\n' ? empty + 1 : 0;
        hunk->old_count += kind == ' ' || kind == '-' || kind == '\n';
        hunk->new_count += kind == ' ' || kind == '+' || kind == '\n';
    }
    hunk->old_count -= empty;
    hunk->new_count -= empty;
}

bool patch_read_hunk(PatchReader *r, PatchHunk *hunk, Err *err) {
    if (!patch_hunk_head(patch_peek(r), hunk))
        return corrupt(r, err, "a hunk must begin with \"@@ -line,count +line,count @@\"");
    patch_skip(r);
    if (r->options->recount && !r->options->is_tolerant)
        recount(*r, hunk);
    PatchReader begin = *r;
    PatchHunk printed = *hunk;
    bool ok = read_lines(r, hunk, err);
    if (!r->options->is_tolerant || (ok && (ends_hunk(r) || r->rest.ptr[0] == '\n')))
        return ok;
    *r = begin;
    *hunk = printed;
    recount_tolerantly(*r, hunk);
    return read_lines(r, hunk, err);
}

/* ---- sections ---- */

/* A name as some file systems spell it too: in any letter case, with blanks, dots or a stream's name behind
 * it. */
static bool is_spelled(Str part, Str name) {
    size_t at = name.len;
    if (!str_eq_nocase(str_slice(part, 0, name.len), name))
        return false;
    while (at < part.len && (part.ptr[at] == ' ' || part.ptr[at] == '.'))
        at++;
    return at == part.len || part.ptr[at] == ':' || part.ptr[at] == '\\';
}

bool patch_is_safe_name(Str name, unsigned mode) {
    bool is_link = (mode & MODE_KIND) == MODE_LINK;
    for (size_t at = 0; at <= name.len;) {
        size_t end = str_find_char(name, '/', at);
        end = end == STR_NONE ? name.len : end;
        Str part = str_slice(name, at, end);
        if (part.len == 0 || str_eq(part, S(".")) || str_eq(part, S("..")) || is_spelled(part, S(".git")) ||
            is_spelled(part, S("git~1")))
            return false;
        if (is_link && (is_spelled(part, S(".gitmodules")) || is_spelled(part, S("gitmod~1"))))
            return false;
        at = end + 1;
    }
    return true;
}

/* What stands in place of hunks in a section about a binary file: data, or a notice that says nothing. */
static bool read_binary(PatchReader *r, PatchFile *file, Err *err) {
    Str line = patch_peek(r);
    if (str_eq(line, S("GIT binary patch\n")))
        return patch_read_binary(r, file, err);
    file->is_binary = (str_starts(line, S("Binary files ")) || str_starts(line, S("Files "))) &&
                      str_ends(line, S(" differ\n"));
    if (file->is_binary)
        patch_skip(r);
    return true;
}

void patch_reverse_file(PatchFile *file) {
    Str path = file->old_path;
    unsigned mode = file->old_mode;
    file->old_path = file->new_path;
    file->new_path = path;
    file->old_mode = file->new_mode;
    file->new_mode = mode;
    Str id = file->old_id;
    file->old_id = file->new_id;
    file->new_id = id;
    PatchBinary forward = file->forward;
    file->forward = file->backward;
    file->backward = forward;
    if (file->kind == PATCH_CREATE || file->kind == PATCH_DELETE)
        file->kind = file->kind == PATCH_CREATE ? PATCH_DELETE : PATCH_CREATE;
    for (size_t i = 0; i < file->hunk_count; i++) {
        PatchHunk *h = &file->hunks[i], was = *h;
        h->old_start = was.new_start;
        h->old_count = was.new_count;
        h->new_start = was.old_start;
        h->new_count = was.old_count;
        for (size_t n = 0; n < h->line_count; n++)
            if (h->lines[n].kind != ' ')
                h->lines[n].kind = h->lines[n].kind == '-' ? '+' : '-';
    }
}

/* The old file's mode must be one of a file or a link, or none at all. */
static bool is_usable_mode(unsigned mode) {
    return mode == 0 || (mode & MODE_KIND) == MODE_FILE || (mode & MODE_KIND) == MODE_LINK;
}

static bool finish_file(const PatchHead *head, const PatchOptions *options, PatchFile *file, Err *err) {
    size_t old_lines = 0, new_lines = 0;
    for (size_t i = 0; i < file->hunk_count; i++) {
        old_lines += file->hunks[i].old_count > 0;
        new_lines += file->hunks[i].new_count > 0;
    }
    if (head->is_new == MAYBE_YES && old_lines)
        return err_set(err, ERR_INVALID, "line %zu of the patch: the new file has old lines", file->line);
    if (head->is_deleted == MAYBE_YES && new_lines)
        return err_set(err, ERR_INVALID, "line %zu of the patch: the deleted file still has lines",
                       file->line);
    file->kind = head->is_new == MAYBE_YES       ? PATCH_CREATE
                 : head->is_deleted == MAYBE_YES ? PATCH_DELETE
                 : head->is_renamed              ? PATCH_RENAME
                 : head->is_copied               ? PATCH_COPY
                                                 : PATCH_MODIFY;
    Maybe is_creation = options->reverse ? head->is_deleted : head->is_new;
    size_t lines = options->reverse ? new_lines : old_lines;
    file->may_create = is_creation == MAYBE_UNKNOWN && !lines && file->hunk_count < 2;
    if (file->kind == PATCH_DELETE && !options->reverse)
        file->new_path = S("");
    if (file->kind == PATCH_CREATE && options->reverse)
        file->old_path = S("");
    if ((file->kind == PATCH_CREATE && file->old_path.len) ||
        (file->kind == PATCH_DELETE && file->new_path.len))
        return err_set(err, ERR_INVALID,
                       "line %zu of the patch: it creates a file, but a line above names an old one",
                       file->line);
    if (file->kind != (options->reverse ? PATCH_DELETE : PATCH_CREATE) &&
        !is_usable_mode(options->reverse ? file->new_mode : file->old_mode))
        return err_set(err, ERR_INVALID, "line %zu of the patch: a file has no such mode as %o", file->line,
                       options->reverse ? file->new_mode : file->old_mode);
    Str names[] = {file->old_path, file->new_path};
    unsigned modes[] = {file->old_mode, file->new_mode};
    for (size_t i = 0; i < 2; i++)
        if (file->kind != (i ? PATCH_DELETE : PATCH_CREATE) && !patch_is_safe_name(names[i], modes[i]))
            return err_set(err, ERR_INVALID, "line %zu of the patch: %.*s is not a path inside the folder",
                           file->line, STR_ARG(str_slice(names[i], 0, 200)));
    return true;
}

static bool read_file(PatchReader *r, const PatchHead *head, PatchFile *file, Err *err) {
    size_t capacity = 0;
    file->old_path = head->old_name.ptr ? head->old_name : S("");
    file->new_path = head->new_name.ptr ? head->new_name : S("");
    file->old_mode = head->old_mode;
    file->new_mode = head->new_mode;
    file->old_id = head->old_id;
    file->new_id = head->new_id;
    while (r->rest.len > 4 && str_starts(r->rest, S("@@ -"))) {
        PatchHunk hunk;
        if (!patch_read_hunk(r, &hunk, err))
            return false;
        LIST_PUSH(r->arena, file->hunks, file->hunk_count, capacity, hunk);
    }
    if (!file->hunk_count && !read_binary(r, file, err))
        return false;
    bool has_metadata = head->is_renamed || head->is_copied || head->is_new == MAYBE_YES ||
                        head->is_deleted == MAYBE_YES ||
                        (head->old_mode && head->new_mode && head->old_mode != head->new_mode);
    if (!file->hunk_count && !has_metadata && !file->is_binary)
        return corrupt(r, err, "the section above changes nothing");
    return finish_file(head, r->options, file, err);
}

bool patch_parse(Str text, const PatchOptions *options, Arena *arena, Patch *out, Err *err) {
    PatchReader reader = {.options = options, .arena = arena, .rest = text, .line = 1};
    size_t capacity = 0;
    *out = (Patch){0};
    for (;;) {
        PatchHead head;
        PatchFile file = {0};
        bool found;
        if (!patch_find_head(&reader, &head, &file.line, &found, err))
            return false;
        if (!found)
            break;
        if (!read_file(&reader, &head, &file, err))
            return false;
        if (options->reverse)
            patch_reverse_file(&file);
        if (file.is_binary && file.forward.kind == BINARY_NONE && !patch_id_is_null(file.new_id))
            return err_set(
                err, ERR_UNSUPPORTED,
                "line %zu of the patch: it holds no data for this binary file%s (git diff --binary "
                "prints it)",
                file.line, options->reverse ? " in reverse" : "");
        LIST_PUSH(arena, out->files, out->count, capacity, file);
    }
    if (!out->count)
        return err_set(err, ERR_INVALID, "there is no patch in this text");
    for (size_t i = 0; options->reverse && i < out->count / 2; i++) { /* the last change is undone first */
        PatchFile file = out->files[i];
        out->files[i] = out->files[out->count - 1 - i];
        out->files[out->count - 1 - i] = file;
    }
    return true;
}
