/* Lines that stand for text the model did not write out. */
#include "diff/edit_locate_internal.h"

enum { LONGEST_PLACEHOLDER = 100, LONGEST_ENDING = 32 };

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

bool contains_nocase(Str s, Str needle) {
    for (size_t i = 0; i + needle.len <= s.len; i++)
        if (str_eq_nocase(str_slice(s, i, i + needle.len), needle))
            return true;
    return false;
}

static bool has_any(Str s, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (contains_nocase(s, str_of(words[i])))
            return true;
    return false;
}

/* The phrase opens the comment, or closes a short one. */
static bool has_outer(Str s, size_t longest, const char *const *phrases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        Str phrase = str_of(phrases[i]);
        bool ends =
            s.len >= phrase.len && s.len <= longest && str_eq_nocase(str_from(s, s.len - phrase.len), phrase);
        if (ends || str_eq_nocase(str_slice(s, 0, phrase.len), phrase))
            return true;
    }
    return false;
}

static Str strip_brackets(Str s) {
    bool is_in =
        s.len > 1 && ((s.ptr[0] == '[' && str_ends(s, S("]"))) || (s.ptr[0] == '(' && str_ends(s, S(")"))));
    return is_in ? str_slice(s, 1, s.len - 1) : s;
}

static bool is_dots(Str s) {
    return str_eq(s, S("...")) || str_eq(s, S("\xE2\x80\xA6"));
}

/* Some phrases also stand in comments that mean what they say ("rest of the options"): they need a word for
 * code beside them. Dots at one end need a word for what was there; at both ends they say enough. */
static bool is_placeholder(Str line) {
    static const char *const CLEAR[] = {"existing code", "same as before", "code here",
                                        "previous code", "remaining code", "for brevity"};
    static const char *const VAGUE[] = {"rest of",    "unchanged",        "omitted",
                                        "other code", "remains the same", "remain the same"};
    static const char *const CODE[] = {"code",           "file",      "function", "class",  "method",
                                       "implementation", "module",    "logic",    "script", "body",
                                       "the rest",       "component", "page",     "test",   "section",
                                       "document",       "template",  "import"};
    static const char *const LEFT_OUT[] = {"existing", "rest",     "unchanged", "same", "previous", "remain",
                                           "other ",   "original", "omitted",   "code", "as before"};
    bool is_comment;
    Str s = comment_text(line, &is_comment), mark = S("\xE2\x80\xA6");
    s = is_comment ? str_trim(strip_brackets(s)) : s;
    if (is_dots(s))
        return true;
    bool begins = str_starts(s, S("...")) || str_starts(s, mark);
    bool ends = str_ends(s, S("...")) || str_ends(s, mark);
    if ((!is_comment && (!begins || s.len < 4 || s.ptr[3] != ' ')) || s.len > LONGEST_PLACEHOLDER)
        return false;
    if (begins && ends)
        return true;
    if ((begins || ends) && has_any(s, LEFT_OUT, sizeof LEFT_OUT / sizeof *LEFT_OUT))
        return true;
    if (has_outer(s, LONGEST_PLACEHOLDER, CLEAR, sizeof CLEAR / sizeof *CLEAR))
        return true;
    bool is_about_code = has_any(s, CODE, sizeof CODE / sizeof *CODE) || str_find_char(s, ' ', 0) == STR_NONE;
    return is_about_code && has_outer(s, LONGEST_ENDING, VAGUE, sizeof VAGUE / sizeof *VAGUE);
}

/* The line above line i that is not blank; i for none. */
static size_t line_above(const LineTable *text, size_t i) {
    for (size_t above = i; above-- > 0;)
        if (!line_is_blank(text->lines[above]))
            return above;
    return i;
}

/* Line i, "..." alone, is all there is below a line that opens a body (a stub, a method of a protocol). */
static bool is_stub(const LineTable *text, size_t i) {
    size_t above = line_above(text, i), below = i + 1, indent = line_indent(text->lines[i]).len;
    while (below < text->count && line_is_blank(text->lines[below]))
        below++;
    Str head = str_trim(text->lines[above]);
    return above < i && (str_ends(head, S(":")) || str_ends(head, S("\"\"\""))) &&
           line_indent(text->lines[above]).len <= indent &&
           (below == text->count || line_indent(text->lines[below]).len < indent);
}

/* The first line that stands for text left out and is not in old_text. A stub whose head is in old_text
 * stands for the body that was there. */
static bool find_placeholder(Str new_text, Str old_text, Str *line) {
    Arena scratch = {0};
    bool is_found = false;
    for (Str rest = new_text; !is_found && str_next_line(&rest, line);)
        is_found = is_placeholder(*line);
    if (!is_found)
        return false;
    LineTable new = line_table(new_text, &scratch), old = line_table(old_text, &scratch);
    LineNames names = line_names(new.count + old.count, &scratch);
    for (size_t i = 0; i < old.count; i++)
        line_name(&names, str_trim(old.lines[i]));
    uint32_t known = names.count;
    is_found = false;
    for (size_t i = 0; i < new.count && !is_found; i++) {
        *line = new.lines[i];
        if (!is_placeholder(*line) || line_name(&names, str_trim(*line)) < known)
            continue;
        size_t above = line_above(&new, i);
        is_found = !is_dots(str_trim(*line)) || !is_stub(&new, i) ||
                   line_name(&names, str_trim(new.lines[above])) < known;
    }
    arena_free(&scratch);
    return is_found;
}

bool check_placeholder(Str text, Str old_text, Err *err) {
    Str line;
    return !find_placeholder(text, old_text, &line) ||
           err_set(err, ERR_INVALID,
                   "the new text has a placeholder instead of code (\"%.*s\"); write it out in full",
                   STR_ARG(str_slice(str_trim(line), 0, 80)));
}
