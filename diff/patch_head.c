/* The headers of a patch section: git's ("diff --git" and what follows) and the old "---" / "+++" pair. What
 * is accepted follows git-apply: garbage between sections is skipped, what begins like a header must be
 * right. */
#include <string.h>

#include "diff/patch_internal.h"

enum { MODE_SUBMODULE = 0160000, MODE_KIND = 0170000, MODE_MOST = 0777777, LEAST_HUNK_HEAD = 14 };

static bool wrong_line(const PatchReader *r, Err *err, const char *what) {
    return err_set(err, ERR_INVALID, "line %zu of the patch: %s", r->line, what);
}

static bool open_quote(const PatchReader *r, Err *err) {
    return wrong_line(r, err, "the quoted name does not end on its line");
}

static bool read_mode(const PatchReader *r, Str text, unsigned *mode, Err *err) {
    size_t i = 0, begin;
    *mode = 0;
    while (i < text.len && text.ptr[i] == ' ')
        i++;
    for (begin = i; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '7'; i++)
        *mode = *mode > MODE_MOST ? *mode : *mode * 8 + (unsigned)(text.ptr[i] - '0');
    if (i == begin || i >= text.len || !patch_is_space(text.ptr[i]))
        return wrong_line(r, err, "this is not a file mode");
    if ((*mode & MODE_KIND) == MODE_SUBMODULE)
        return err_set(err, ERR_UNSUPPORTED, "line %zu of the patch: submodules cannot be patched", r->line);
    return true;
}

/* A "---" or "+++" line must agree with what the lines above said. */
static bool check_name(const PatchReader *r, Str text, bool is_absent, Str *name, Err *err) {
    if (!name->ptr && is_absent)
        return patch_is_null_name(text) || wrong_line(r, err, "/dev/null is expected here");
    if (name->ptr && is_absent)
        return wrong_line(r, err, "/dev/null is expected here");
    Str given = patch_name(text, (Str){0}, r->strip, NAME_ENDS_AT_TAB, r->arena);
    if (name->ptr && (!given.ptr || !str_eq(given, *name)))
        return wrong_line(r, err, "the file name is not the one of the lines above");
    *name = given;
    return true;
}

/* "index 123..456 100644" */
static bool read_index(const PatchReader *r, Str text, PatchHead *head, Err *err) {
    size_t dots = str_find_char(text, '.', 0);
    if (dots == STR_NONE || dots > PATCH_ID_HEX || !str_starts(str_from(text, dots), S("..")))
        return true;
    Str rest = str_from(text, dots + 2);
    size_t blank = str_find_char(rest, ' ', 0), end = blank;
    if (blank == STR_NONE) /* to git a \r is part of the id, which is none then */
        end = r->options->is_tolerant ? str_trim_end(rest).len : str_find_char(rest, '\n', 0);
    head->old_id = str_slice(text, 0, dots);
    if (end > PATCH_ID_HEX)
        return true;
    head->new_id = str_slice(rest, 0, end);
    return blank == STR_NONE || read_mode(r, str_from(rest, blank + 1), &head->old_mode, err);
}

typedef enum HeadWord {
    HEAD_OLD,
    HEAD_NEW,
    HEAD_OLD_MODE,
    HEAD_NEW_MODE,
    HEAD_DELETED,
    HEAD_CREATED,
    HEAD_COPY_FROM,
    HEAD_COPY_TO,
    HEAD_RENAME_FROM,
    HEAD_RENAME_TO,
    HEAD_SIMILARITY,
    HEAD_INDEX,
    HEAD_NONE
} HeadWord;

static HeadWord head_word(Str line, Str *rest) {
    static const struct {
        const char *text;
        HeadWord word;
    } WORDS[] = {{"--- ", HEAD_OLD},
                 {"+++ ", HEAD_NEW},
                 {"old mode ", HEAD_OLD_MODE},
                 {"new mode ", HEAD_NEW_MODE},
                 {"deleted file mode ", HEAD_DELETED},
                 {"new file mode ", HEAD_CREATED},
                 {"copy from ", HEAD_COPY_FROM},
                 {"copy to ", HEAD_COPY_TO},
                 {"rename old ", HEAD_RENAME_FROM},
                 {"rename new ", HEAD_RENAME_TO},
                 {"rename from ", HEAD_RENAME_FROM},
                 {"rename to ", HEAD_RENAME_TO},
                 {"similarity index ", HEAD_SIMILARITY},
                 {"dissimilarity index ", HEAD_SIMILARITY},
                 {"index ", HEAD_INDEX}};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (str_starts(line, str_of(WORDS[i].text))) {
            *rest = str_from(line, str_of(WORDS[i].text).len);
            return WORDS[i].word;
        }
    return HEAD_NONE;
}

static bool read_head_line(const PatchReader *r, HeadWord word, Str rest, PatchHead *head, Err *err) {
    int strip = r->strip > 0 ? r->strip - 1 : 0; /* these names have no a/ and b/ */
    if (patch_quote_is_open(rest))               /* a mode or an index never begins so */
        return open_quote(r, err);
    switch (word) {
    case HEAD_OLD: return check_name(r, rest, head->is_new == MAYBE_YES, &head->old_name, err);
    case HEAD_NEW: return check_name(r, rest, head->is_deleted == MAYBE_YES, &head->new_name, err);
    case HEAD_OLD_MODE: return read_mode(r, rest, &head->old_mode, err);
    case HEAD_NEW_MODE: return read_mode(r, rest, &head->new_mode, err);
    case HEAD_DELETED:
        head->is_deleted = MAYBE_YES;
        head->old_name = head->common;
        return read_mode(r, rest, &head->old_mode, err);
    case HEAD_CREATED:
        head->is_new = MAYBE_YES;
        head->new_name = head->common;
        return read_mode(r, rest, &head->new_mode, err);
    case HEAD_COPY_FROM:
    case HEAD_RENAME_FROM:
        *(word == HEAD_COPY_FROM ? &head->is_copied : &head->is_renamed) = true;
        head->old_name = patch_name(rest, (Str){0}, strip, NAME_ENDS_AT_CR, r->arena);
        return true;
    case HEAD_COPY_TO:
    case HEAD_RENAME_TO:
        *(word == HEAD_COPY_TO ? &head->is_copied : &head->is_renamed) = true;
        head->new_name = patch_name(rest, (Str){0}, strip, NAME_ENDS_AT_CR, r->arena);
        return true;
    case HEAD_INDEX: return read_index(r, rest, head, err);
    default: return true;
    }
}

static bool read_git_head(PatchReader *r, PatchHead *head, Str stray, Err *err) {
    Str rest;
    *head = (PatchHead){.common = patch_common_name(str_from(patch_peek(r), 11), r->strip, r->arena),
                        .old_name = stray,
                        .new_name = stray};
    patch_skip(r);
    for (;;) {
        Str line = patch_peek(r);
        HeadWord word = str_ends(line, S("\n")) ? head_word(line, &rest) : HEAD_NONE;
        if (word == HEAD_NONE)
            break;
        if (!read_head_line(r, word, rest, head, err))
            return false;
        if ((head->is_new == MAYBE_YES) + (head->is_deleted == MAYBE_YES) + head->is_renamed +
                head->is_copied >
            1)
            return wrong_line(r, err, "a file cannot be created, deleted, renamed and copied at once");
        patch_skip(r);
    }
    if (!head->old_name.ptr && !head->new_name.ptr)
        head->old_name = head->new_name = head->common;
    if ((!head->new_name.ptr && head->is_deleted != MAYBE_YES) ||
        (!head->old_name.ptr && head->is_new != MAYBE_YES))
        return wrong_line(r, err,
                          "the headers above name no file (is the number of leading folders to drop right?)");
    return true;
}

/* git's rule: the new name alone decides, for this section and all that follow. */
static void guess_strip(PatchReader *r, Str new) {
    if (!r->options->guesses_strip || patch_is_null_name(new))
        return;
    Str name = patch_traditional_name(new, (Str){0}, 0, r->arena);
    if (name.ptr && str_find_char(name, '/', 0) == STR_NONE) {
        r->strips_nothing = true;
        r->strip = 0;
    }
}

static bool read_traditional_head(PatchReader *r, PatchHead *head, Err *err) {
    Str old = str_from(patch_peek(r), 4);
    patch_skip(r);
    Str new = str_from(patch_peek(r), 4), none = {0};
    if (patch_quote_is_open(old) || patch_quote_is_open(new))
        return open_quote(r, err);
    guess_strip(r, new);
    int strip = r->strip;
    *head = (PatchHead){.is_new = MAYBE_UNKNOWN, .is_deleted = MAYBE_UNKNOWN};
    if (patch_is_null_name(old)) {
        head->is_new = MAYBE_YES;
        head->is_deleted = MAYBE_NO;
        head->new_name = patch_traditional_name(new, none, strip, r->arena);
    } else if (patch_is_null_name(new)) {
        head->is_new = MAYBE_NO;
        head->is_deleted = MAYBE_YES;
        head->old_name = patch_traditional_name(old, none, strip, r->arena);
    } else {
        Str first = patch_traditional_name(old, none, strip, r->arena);
        Str name = patch_traditional_name(new, first, strip, r->arena);
        bool was_absent = patch_epoch_name(old), is_absent = !was_absent && patch_epoch_name(new);
        if (was_absent || is_absent) {
            head->is_new = was_absent ? MAYBE_YES : MAYBE_NO;
            head->is_deleted = is_absent ? MAYBE_YES : MAYBE_NO;
        }
        if (!was_absent)
            head->old_name = name;
        if (!is_absent)
            head->new_name = name;
    }
    if (!head->old_name.ptr && !head->new_name.ptr)
        return wrong_line(r, err,
                          "no file name is found here (is the number of leading folders to drop right?)");
    patch_skip(r);
    return true;
}

/* Whether the pair of lines with the old form of names begins here. git counts the room for the shortest
 * "@@" line from the first of them, so a cut one is found and refused. */
static bool is_traditional(const PatchReader *r) {
    PatchReader ahead = *r;
    if (!str_starts(patch_peek(&ahead), S("--- ")))
        return false;
    patch_skip(&ahead);
    Str second = patch_peek(&ahead);
    if (!str_starts(second, S("+++ ")) || r->rest.len < second.len + LEAST_HUNK_HEAD)
        return false;
    patch_skip(&ahead);
    return str_starts(ahead.rest, S("@@ -"));
}

/* Whether a name begins with one letter and a slash, as a/ and b/ do (git also prints c/, i/, o/, w/). */
static bool has_side(Str name) {
    name = str_starts(name, S("\"")) ? str_from(name, 1) : name;
    return name.len > 2 && name.ptr[1] == '/' && strchr("abciow", name.ptr[0]) != NULL;
}

/* Tolerant: nothing is dropped from names that have no side, when both are the same. */
static int section_strip(const PatchReader *r) {
    PatchReader ahead = *r;
    Str text = str_trim_end(patch_peek(r)), name, other;
    if (r->strips_nothing || !r->options->is_tolerant || r->options->strip != 1)
        return r->strips_nothing ? 0 : r->options->strip;
    if (str_starts(text, S("diff --git "))) {
        name = str_from(text, 11);
        other = str_from(name, name.len / 2 + 1);
        name = str_slice(name, 0, name.len / 2);
    } else {
        patch_skip(&ahead);
        name = str_from(text, 4);
        other = str_from(str_trim_end(patch_peek(&ahead)), 4);
        name = str_slice(name, 0, str_find_char(name, '\t', 0));
        other = str_slice(other, 0, str_find_char(other, '\t', 0));
    }
    name = str_eq(name, S("/dev/null")) ? other : name;
    other = str_eq(other, S("/dev/null")) ? name : other;
    return str_eq(name, other) && !has_side(name) ? 0 : 1;
}

bool patch_find_head(PatchReader *r, PatchHead *head, size_t *line, bool *found, Err *err) {
    Str stray = {0};
    for (*found = false; r->rest.len; patch_skip(r)) {
        Str text = patch_peek(r);
        PatchHunk hunk;
        if (text.len < 6)
            continue;
        *line = r->line;
        if (patch_hunk_head(text, &hunk))
            return wrong_line(r, err, "a hunk without file names above it");
        if (r->rest.len < text.len + 6)
            return true;
        r->strip = section_strip(r);
        if (str_starts(text, S("diff --git "))) {
            PatchReader start = *r;
            if (!read_git_head(r, head, stray, err))
                return false;
            if (r->line > start.line + 1) {
                *found = true;
                return true;
            }
            *r = start; /* no header lines below it: a damaged header; as in git its name stays */
            stray = head->common.ptr ? head->common : stray;
            continue;
        }
        if (is_traditional(r)) {
            *found = true;
            if (!read_traditional_head(r, head, err))
                return false;
            head->old_name = head->old_name.ptr ? head->old_name : stray;
            head->new_name = head->new_name.ptr ? head->new_name : stray;
            return true;
        }
    }
    return true;
}
