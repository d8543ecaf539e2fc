#include "planner/line_check.h"

#include <ctype.h>
#include <string.h>

static bool is_word_char(char c) {
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* Option names such as --dry-run go on at a dash. */
static bool is_bounded(Str text, size_t at, size_t len) {
    bool dashed = len > 2 && text.ptr[at] == '-' && text.ptr[at + 1] == '-';
    size_t end = at + len;
    if (dashed && ((at && text.ptr[at - 1] == '-') || (end < text.len && text.ptr[end] == '-')))
        return false;
    bool left = at == 0 || !is_word_char(text.ptr[at]) || !is_word_char(text.ptr[at - 1]);
    bool right = end >= text.len || !is_word_char(text.ptr[end - 1]) || !is_word_char(text.ptr[end]);
    return left && right;
}

size_t find_word(Str text, Str word, size_t from) {
    if (word.len == 0)
        return STR_NONE;
    for (size_t at = str_find(text, word, from); at != STR_NONE; at = str_find(text, word, at + 1))
        if (is_bounded(text, at, word.len))
            return at;
    return STR_NONE;
}

static bool is_path_char(char c) {
    return is_word_char(c) || (c && strchr("./\\@-", c));
}

static bool is_file_suffix(Str s) {
    static const char *const SUFFIXES[] = {".c",  ".h",  ".cc", ".cpp", ".hpp",  ".py",   ".js",   ".mjs",
                                           ".ts", ".go", ".rs", ".tsx", ".java", ".json", ".toml", ".yaml"};
    for (size_t i = 0; i < sizeof SUFFIXES / sizeof *SUFFIXES; i++)
        if (str_eq(s, str_of(SUFFIXES[i])))
            return true;
    return false;
}

bool mention_is_path(Str text, size_t at, Str name) {
    size_t begin = at, end = at + name.len;
    while (begin > 0 && is_path_char(text.ptr[begin - 1]))
        begin--;
    while (end < text.len && is_path_char(text.ptr[end]))
        end++;
    if (begin == 0 || end >= text.len)
        return false;
    bool quoted = (strchr("\"'`", text.ptr[begin - 1]) && text.ptr[end] == text.ptr[begin - 1]) ||
                  (text.ptr[begin - 1] == '<' && text.ptr[end] == '>');
    Str run = str_slice(text, begin, end);
    return quoted &&
           (str_find_char(run, '/', 0) != STR_NONE || is_file_suffix(str_slice(text, at + name.len, end)));
}

/* A quoted plain word is the name where it stands alone on its line, as in __all__, or where the line says
 * so. */
static bool line_quotes_names(Str text, size_t at, size_t end) {
    size_t begin = at;
    while (begin > 0 && text.ptr[begin - 1] != '\n')
        begin--;
    size_t stop = str_find_char(text, '\n', end);
    Str line = str_trim(str_slice(text, begin, stop == STR_NONE ? text.len : stop));
    return str_contains(line, S("__all__")) || str_contains(line, S("attr(")) ||
           str_contains(line, S("patch(")) || line.len <= end - at + 3;
}

bool mention_is_code(Str text, size_t at, Str name) {
    if (mention_is_path(text, at, name))
        return false;
    if (is_compound(name))
        return true;
    char before = at ? text.ptr[at - 1] : '\n';
    size_t end = at + name.len;
    char after = end < text.len ? text.ptr[end] : '\n';
    bool ticked = (before == '`' || before == ':') && after == '`';
    bool quoted = (before == '"' || before == '\'') && after == before;
    return after == '(' || ticked || (quoted && line_quotes_names(text, at, end));
}

/* ---- one edit against one intent ---- */

size_t find_call(Str text, Str callee, size_t from) {
    for (size_t at = find_word(text, callee, from); at != STR_NONE; at = find_word(text, callee, at + 1))
        if (at + callee.len < text.len && text.ptr[at + callee.len] == '(')
            return at;
    return STR_NONE;
}

/* new must be old with every occurrence of from (as a whole word) replaced by to, at least one. */
static bool is_replaced(Str old_line, Str new_line, Str from, Str to, bool calls_only) {
    size_t o = 0, n = 0, count = 0;
    for (;;) {
        size_t hit = calls_only ? find_call(old_line, from, o) : find_word(old_line, from, o);
        size_t end = hit == STR_NONE ? old_line.len : hit;
        if (!str_eq(str_slice(old_line, o, end), str_slice(new_line, n, n + (end - o))) ||
            n + (end - o) > new_line.len)
            return false;
        n += end - o;
        if (hit == STR_NONE)
            return n == new_line.len && count > 0;
        if (!str_eq(str_slice(new_line, n, n + to.len), to))
            return false;
        n += to.len;
        o = hit + from.len;
        count++;
    }
}

/* As is_replaced, but mentions that are mere prose may keep the old word. */
static bool is_renamed(Str old_line, Str new_line, Str from, Str to) {
    size_t o = 0, n = 0, count = 0;
    for (;;) {
        size_t hit = find_word(old_line, from, o);
        size_t end = hit == STR_NONE ? old_line.len : hit;
        if (n + (end - o) > new_line.len ||
            !str_eq(str_slice(old_line, o, end), str_slice(new_line, n, n + (end - o))))
            return false;
        n += end - o;
        if (hit == STR_NONE)
            return n == new_line.len && count > 0;
        bool to_here = str_eq(str_slice(new_line, n, n + to.len), to);
        if (to_here && mention_is_path(old_line, hit, from))
            return false;
        if (!to_here &&
            (mention_is_code(old_line, hit, from) || !str_eq(str_slice(new_line, n, n + from.len), from)))
            return false;
        n += to_here ? to.len : from.len;
        count += to_here;
        o = hit + from.len;
    }
}

/* CMake: "set(NAME value)". */
static bool is_cmake_set(Str line, size_t at, size_t end) {
    return str_eq(str_trim(str_slice(line, 0, at)), S("set(")) && end < line.len && line.ptr[end] == ' ';
}

bool line_assigns(Str line, Str name, size_t *value_at) {
    for (size_t at = find_word(line, name, 0); at != STR_NONE; at = find_word(line, name, at + 1)) {
        size_t i = at + name.len;
        if (i < line.len && (line.ptr[i] == '"' || line.ptr[i] == '\'') && at &&
            line.ptr[at - 1] == line.ptr[i])
            i++; /* a quoted key */
        Str before = str_trim(str_slice(line, 0, at));
        bool define = str_starts(before, S("#")) && str_ends(before, S("define"));
        if (is_cmake_set(line, at, i)) {
            *value_at = i;
            return true;
        }
        size_t start = i;
        while (i < line.len && line.ptr[i] != '=' && line.ptr[i] != ',' && line.ptr[i] != ';' &&
               line.ptr[i] != '(' && line.ptr[i] != ')')
            i++; /* a type annotation may stand between the name and its sign */
        bool equals = i < line.len && line.ptr[i] == '=' &&
                      (i + 1 >= line.len || (line.ptr[i + 1] != '=' && line.ptr[i + 1] != '>')) &&
                      !strchr("!<>=+-*/|&", i > start ? line.ptr[i - 1] : ' ');
        Str between = str_slice(line, start, i);
        if (equals && (str_trim(between).len == 0 || str_trim(between).ptr[0] == ':' ||
                       str_trim(between).ptr[0] == '[')) {
            *value_at = i + 1;
            return true;
        }
        size_t colon = start;
        while (colon < line.len && line.ptr[colon] == ' ')
            colon++;
        if (define || (colon < line.len && line.ptr[colon] == ':' && colon + 1 < line.len &&
                       line.ptr[colon + 1] != ':')) {
            *value_at = define ? start : colon + 1;
            return true;
        }
    }
    return false;
}

static bool is_value_end(Str line, size_t at) {
    return at >= line.len || strchr(" \t,;)]}#/:", line.ptr[at]) != NULL;
}

static bool value_fits(Str region, const Request *r) {
    if (region.len == 0 || region.len > 80)
        return false;
    if (r->from.len)
        return str_eq(region, r->from) || (region.len == r->from.len + 2 && str_contains(region, r->from));
    return str_find_char(region, '=', 0) == STR_NONE && str_find_char(region, ';', 0) == STR_NONE &&
           brackets_match(S(""), region);
}

/* new is old with one value exchanged for `to`, behind the target's sign. */
static bool is_value_set(const Request *r, Str old_line, Str new_line) {
    size_t value_at = 0;
    bool assigns = line_assigns(old_line, r->target, &value_at);
    if (!assigns && (r->from.len == 0 || !str_contains(old_line, r->target)))
        return false;
    if (!assigns)
        value_at = 0;
    for (size_t p = str_find(new_line, r->to, 0); p != STR_NONE; p = str_find(new_line, r->to, p + 1)) {
        size_t begin = p, end = p + r->to.len; /* the new value, with quotes the request may have left out */
        for (int quotes = 0; quotes < 2; quotes++) {
            Str prefix = str_slice(new_line, 0, begin), suffix = str_from(new_line, end);
            if (prefix.len + suffix.len <= old_line.len && str_starts(old_line, prefix) &&
                str_ends(old_line, suffix) && begin >= value_at) {
                size_t old_end = old_line.len - suffix.len;
                Str region = str_slice(old_line, begin, old_end);
                bool gap_blank = str_trim(str_slice(old_line, value_at, begin)).len == 0 || r->from.len;
                if (gap_blank && value_fits(region, r) && is_bounded(new_line, begin, end - begin) &&
                    is_value_end(new_line, end) && is_bounded(old_line, begin, old_end - begin))
                    return true;
            }
            if (begin == 0 || end >= new_line.len || !strchr("\"'", new_line.ptr[end]) ||
                new_line.ptr[begin - 1] != new_line.ptr[end])
                break;
            begin--;
            end++;
        }
    }
    return false;
}

static Str squeezed(Str s, char *out, size_t capacity) {
    size_t n = 0;
    for (size_t i = 0; i < s.len && n < capacity; i++)
        if (!isspace((unsigned char)s.ptr[i]))
            out[n++] = s.ptr[i];
    return (Str){out, n};
}

static bool same_but_blanks(Str a, Str b) {
    char x[512], y[512];
    return a.len < sizeof x && b.len < sizeof y && str_eq(squeezed(a, x, sizeof x), squeezed(b, y, sizeof y));
}

static Str without_comma(Str s) {
    s = str_trim(s);
    if (s.len && s.ptr[0] == ',')
        return str_trim(str_from(s, 1));
    if (s.len && s.ptr[s.len - 1] == ',')
        return str_trim(str_slice(s, 0, s.len - 1));
    return s;
}

/* Whether byte `at` of the line stands directly between the brackets that hold the parameters of the target:
 * behind its name, or in the last lines of a list that began further up. */
static bool is_in_parameter_list(Str line, Str name, size_t at) {
    size_t i = 0;
    int depth = 1;
    size_t named = find_word(line, name, 0);
    if (named != STR_NONE) {
        i = str_find_char(line, '(', named + name.len);
        if (i == STR_NONE || at <= i)
            return false;
        i++;
    }
    for (; i < at; i++) {
        if (line.ptr[i] && strchr("([{", line.ptr[i]))
            depth++;
        else if (line.ptr[i] && strchr(")]}", line.ptr[i]) && --depth == 0)
            return false;
    }
    return depth == 1;
}

/* The parameter on a line of its own, behind a line that ends in a comma. */
static bool is_param_line_added(const Request *r, Str old_line, Str new_text) {
    size_t cut = str_find_char(new_text, '\n', 0);
    Str last = str_trim(old_line);
    if (cut == STR_NONE || !str_eq(str_slice(new_text, 0, cut), old_line) || !str_ends(last, S(",")) ||
        str_starts(last, S("**")) || !is_in_parameter_list(old_line, r->target, old_line.len))
        return false;
    Str added = str_from(new_text, cut + 1);
    return str_ends(added, S(",")) && same_but_blanks(without_comma(added), r->to);
}

/* new is old with only the parameter put in (or `void` exchanged for it), inside the list's brackets. */
static bool is_param_added(const Request *r, Str old_line, Str new_line) {
    size_t prefix = 0, suffix = 0;
    while (prefix < old_line.len && prefix < new_line.len && old_line.ptr[prefix] == new_line.ptr[prefix])
        prefix++;
    while (suffix < old_line.len && suffix < new_line.len &&
           old_line.ptr[old_line.len - 1 - suffix] == new_line.ptr[new_line.len - 1 - suffix])
        suffix++;
    size_t grown = new_line.len > old_line.len ? new_line.len - old_line.len : 0;
    size_t at = str_find(old_line, S("(void)"), 0);
    for (size_t k = 0; at == STR_NONE && grown && k <= old_line.len && k <= prefix; k++) {
        if (old_line.len - k > suffix)
            continue;
        Str added = str_slice(new_line, k, k + grown);
        bool comma = str_find_char(added, ',', 0) != STR_NONE;
        bool was_empty = k > 0 && old_line.ptr[k - 1] == '(' && k < old_line.len && old_line.ptr[k] == ')';
        if (same_but_blanks(without_comma(added), r->to) && (comma != was_empty) &&
            is_in_parameter_list(old_line, r->target, k))
            return !str_contains(str_slice(old_line, 0, k), S("**"));
    }
    return at != STR_NONE && prefix >= at + 1 && suffix >= old_line.len - (at + 5) &&
           same_but_blanks(str_slice(new_line, at + 1, new_line.len - (old_line.len - (at + 5))), r->to);
}

static bool is_inserted(const Request *r, const LineEdit *edit) {
    size_t cut = str_find_char(edit->new_text, '\n', 0);
    if (cut == STR_NONE)
        return false;
    Str first = str_slice(edit->new_text, 0, cut), second = str_from(edit->new_text, cut + 1);
    Str kept = r->is_after ? first : second, added = r->is_after ? second : first;
    return str_eq(kept, edit->old_line) && str_eq(str_trim(added), str_trim(r->to));
}

/* A call that is a statement of its own: nothing uses its result and the line holds nothing else. */
static bool is_call_statement(Str text, Str callee) {
    if (str_starts(text, S("await ")))
        text = str_trim(str_from(text, 6));
    if (str_starts(text, S("(void)")))
        text = str_trim(str_from(text, 6));
    size_t at = find_call(text, callee, 0);
    if (at == STR_NONE)
        return false;
    for (size_t i = 0; i < at; i++)
        if (!is_word_char(text.ptr[i]) && !strchr(".:>-", text.ptr[i]))
            return false;
    size_t i = at + callee.len, depth = 0;
    for (; i < text.len; i++) {
        depth += text.ptr[i] == '(';
        if (text.ptr[i] == ')' && --depth == 0)
            break;
    }
    Str rest = i < text.len ? str_trim(str_from(text, i + 1)) : S("?");
    if (rest.len && rest.ptr[0] == ';')
        rest = str_trim(str_from(rest, 1));
    return rest.len == 0 || rest.ptr[0] == '#' || str_starts(rest, S("//")) || str_starts(rest, S("/*"));
}

/* An import of the name and of nothing else. */
static bool is_import_of(Str text, Str name) {
    size_t at = find_word(text, name, 0);
    bool imports = str_starts(text, S("import ")) || str_starts(text, S("from ")) ||
                   str_starts(text, S("#include")) || str_starts(text, S("use ")) ||
                   str_contains(text, S("require("));
    if (at == STR_NONE || !imports)
        return false;
    bool many = str_find_char(text, ',', 0) != STR_NONE;
    size_t import = str_find(text, S(" import "), 0);
    bool is_module = str_starts(text, S("from ")) && import != STR_NONE && at < import;
    char before = at ? text.ptr[at - 1] : ' ';
    return !many || is_module || before == '"' || before == '\'';
}

static Str without_semicolon(Str s) {
    return str_ends(s, S(";")) ? str_trim(str_slice(s, 0, s.len - 1)) : s;
}

bool line_is_removable(const Request *r, Str line) {
    Str text = str_trim(line);
    size_t value_at;
    switch (r->remove_kind) {
    case REMOVE_CALL: return is_call_statement(text, r->target);
    case REMOVE_IMPORT: return is_import_of(text, r->target);
    case REMOVE_MENTION: return find_word(line, r->target, 0) != STR_NONE;
    case REMOVE_LINE:
        if (str_eq(without_semicolon(text), without_semicolon(str_trim(r->target))))
            return true;
        return is_identifier(r->target) &&
               (is_import_of(text, r->target) || is_call_statement(text, r->target) ||
                (line_assigns(text, r->target, &value_at) && str_find_char(text, '(', 0) == STR_NONE));
    }
    return false;
}

bool brackets_match(Str before, Str after) {
    static const char PAIRS[] = "()[]{}";
    long depth[2][3] = {{0}};
    Str both[2] = {before, after};
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; i < both[t].len; i++) {
            const char *hit = both[t].ptr[i] ? strchr(PAIRS, both[t].ptr[i]) : NULL;
            if (hit)
                depth[t][(hit - PAIRS) / 2] += (hit - PAIRS) % 2 ? -1 : 1;
        }
    return memcmp(depth[0], depth[1], sizeof depth[0]) == 0;
}

bool line_edit_is_right(const Request *r, const LineEdit *edit) {
    bool one_line = !edit->is_deleted && str_find_char(edit->new_text, '\n', 0) == STR_NONE;
    if (!edit->is_deleted && str_eq(edit->new_text, edit->old_line))
        return false;
    switch (r->intent) {
    case INTENT_RENAME: return one_line && is_renamed(edit->old_line, edit->new_text, r->from, r->to);
    case INTENT_REPLACE:
        return one_line && is_replaced(edit->old_line, edit->new_text, r->from, r->to, r->is_calls);
    case INTENT_SET: return one_line && is_value_set(r, edit->old_line, edit->new_text);
    case INTENT_REMOVE: return edit->is_deleted && line_is_removable(r, edit->old_line);
    case INTENT_PARAM:
        return one_line ? is_param_added(r, edit->old_line, edit->new_text)
                        : !edit->is_deleted && is_param_line_added(r, edit->old_line, edit->new_text);
    case INTENT_INSERT: return !edit->is_deleted && is_inserted(r, edit);
    default: return brackets_match(edit->old_line, edit->is_deleted ? S("") : edit->new_text);
    }
}
