/* Lines that stand for text the model did not write out. */
#include "diff/edit_locate_internal.h"

enum { LONGEST_PLACEHOLDER = 100 };

/* The line without what opens and closes a comment; *is_comment says whether there was any. */
static Str comment_text(Str line, bool *is_comment) {
    static const char *const OPENINGS[] = {"<!--", "//", "/*", "#", "--", ";", "%", "*", "{/*"};
    static const char *const CLOSINGS[] = {"*/}", "*/", "-->"};
    Str s = str_trim(line);
    *is_comment = false;
    for (size_t i = 0; i < sizeof OPENINGS / sizeof *OPENINGS; i++)
        if (str_starts(s, str_of(OPENINGS[i]))) {
            s = str_trim(str_from(s, str_of(OPENINGS[i]).len));
            *is_comment = true;
        }
    for (size_t i = 0; i < sizeof CLOSINGS / sizeof *CLOSINGS; i++)
        if (str_ends(s, str_of(CLOSINGS[i])))
            s = str_trim(str_slice(s, 0, s.len - str_of(CLOSINGS[i]).len));
    return s;
}

static bool contains_nocase(Str s, Str needle) {
    for (size_t i = 0; i + needle.len <= s.len; i++)
        if (str_eq_nocase(str_slice(s, i, i + needle.len), needle))
            return true;
    return false;
}

static bool is_placeholder(Str line) {
    static const char *const PHRASES[] = {"rest of",          "existing code",   "unchanged",
                                          "remains the same", "remain the same", "same as before",
                                          "code here",        "previous code",   "remaining code",
                                          "other code",       "omitted"};
    bool is_comment;
    Str s = comment_text(line, &is_comment);
    Str dots[] = {S("..."), S("\xE2\x80\xA6")};
    bool has_dots = false;
    for (size_t i = 0; i < 2; i++) {
        if (str_eq(s, dots[i]))
            return true;
        has_dots = has_dots || str_starts(s, dots[i]) || str_ends(s, dots[i]);
    }
    if ((!is_comment && !str_starts(s, dots[0]) && !str_starts(s, dots[1])) || s.len > LONGEST_PLACEHOLDER)
        return false;
    for (size_t i = 0; i < sizeof PHRASES / sizeof *PHRASES; i++) {
        Str phrase = str_of(PHRASES[i]);
        bool is_outer = str_eq_nocase(str_slice(s, 0, phrase.len), phrase) ||
                        (s.len >= phrase.len && str_eq_nocase(str_from(s, s.len - phrase.len), phrase));
        if (is_outer || (has_dots && contains_nocase(s, phrase)))
            return true;
    }
    return false;
}

static bool has_line(Str text, Str line) {
    for (Str rest = text, other; str_next_line(&rest, &other);)
        if (str_eq(str_trim(other), str_trim(line)))
            return true;
    return false;
}

bool find_placeholder(Str text, Str old_text, Str *line) {
    for (Str rest = text; str_next_line(&rest, line);)
        if (is_placeholder(*line) && !has_line(old_text, *line))
            return true;
    return false;
}

bool check_placeholder(Str text, Str old_text, Err *err) {
    Str line;
    return !find_placeholder(text, old_text, &line) ||
           err_set(err, ERR_INVALID,
                   "the new text has a placeholder instead of code (\"%.*s\"); write it out in full",
                   STR_ARG(str_slice(str_trim(line), 0, 80)));
}
