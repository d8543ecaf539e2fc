#include "workspace/ignore.h"

#include <ctype.h>
#include <string.h>

static bool in_named_class(Str name, unsigned char c) {
    static const struct {
        const char *name;
        int (*is)(int);
    } CLASSES[] = {{"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"cntrl", iscntrl},
                   {"digit", isdigit}, {"graph", isgraph}, {"lower", islower}, {"print", isprint},
                   {"punct", ispunct}, {"space", isspace}, {"upper", isupper}, {"xdigit", isxdigit}};
    for (size_t i = 0; i < sizeof CLASSES / sizeof *CLASSES; i++)
        if (str_eq(name, str_of(CLASSES[i].name)))
            return CLASSES[i].is(c) != 0;
    return false;
}

/* One character of a set, with its backslash. */
static unsigned char set_char(Str pattern, size_t *at) {
    if (pattern.ptr[*at] == '\\' && *at + 1 < pattern.len)
        *at += 1;
    return (unsigned char)pattern.ptr[(*at)++];
}

/* pattern[*at] is "["; moves *at behind the "]". A set that never ends matches nothing. */
static bool match_set(Str pattern, size_t *at, unsigned char c) {
    size_t i = *at + 1;
    bool is_negated = i < pattern.len && (pattern.ptr[i] == '!' || pattern.ptr[i] == '^');
    bool is_in = false;
    i += is_negated;
    for (bool is_first = true; i < pattern.len && (is_first || pattern.ptr[i] != ']'); is_first = false) {
        size_t end = str_starts(str_from(pattern, i), S("[:")) ? str_find(pattern, S(":]"), i + 2) : STR_NONE;
        if (end != STR_NONE) {
            is_in |= in_named_class(str_slice(pattern, i + 2, end), c);
            i = end + 2;
            continue;
        }
        unsigned char low = set_char(pattern, &i), high = low;
        if (i + 1 < pattern.len && pattern.ptr[i] == '-' && pattern.ptr[i + 1] != ']') {
            i++;
            high = set_char(pattern, &i);
        }
        is_in |= c >= low && c <= high;
    }
    *at = i + 1;
    return i < pattern.len && is_in != is_negated && c != '/';
}

/* Matches one pattern element that is no star against one character; moves *p on. */
static bool match_one(Str pattern, size_t *p, char c) {
    switch (pattern.ptr[*p]) {
    case '?': *p += 1; return c != '/';
    case '[': return match_set(pattern, p, (unsigned char)c);
    case '\\':
        if (*p + 1 < pattern.len)
            *p += 1;
        break;
    default: break;
    }
    return pattern.ptr[(*p)++] == c;
}

static bool is_globstar(Str pattern, size_t p) {
    return (p == 0 || pattern.ptr[p - 1] == '/') && str_starts(str_from(pattern, p), S("**")) &&
           (p + 2 == pattern.len || pattern.ptr[p + 2] == '/');
}

/* Two places to go back to suffice: the last star, which may take one more character of its component, and
 * the last globstar, which may take one more folder. Whatever matched before them can stay as it is. */
bool ignore_glob(Str pattern, Str text) {
    size_t p = 0, t = 0;
    size_t star_p = STR_NONE, star_t = 0, deep_p = STR_NONE, deep_t = 0;
    for (;;) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            if (is_globstar(pattern, p)) {
                if (p + 2 == pattern.len)
                    return t < text.len;
                deep_p = p += 3;
                deep_t = t;
                star_p = STR_NONE;
            } else {
                while (p < pattern.len && pattern.ptr[p] == '*')
                    p++;
                star_p = p;
                star_t = t;
            }
            continue;
        }
        if (p == pattern.len && t == text.len)
            return true;
        size_t next_p = p;
        if (p < pattern.len && t < text.len && match_one(pattern, &next_p, text.ptr[t])) {
            p = next_p;
            t++;
        } else if (star_p != STR_NONE && star_t < text.len && text.ptr[star_t] != '/') {
            p = star_p;
            t = ++star_t;
        } else if (deep_p != STR_NONE && (deep_t = str_find_char(text, '/', deep_t)) != STR_NONE) {
            p = deep_p;
            t = ++deep_t;
            star_p = STR_NONE;
        } else {
            return false;
        }
    }
}

static bool has_wildcard(Str s) {
    for (size_t i = 0; i < s.len; i++)
        if (memchr("*?[\\", s.ptr[i], 4))
            return true;
    return false;
}

/* Trailing blanks go, unless a backslash holds them. */
static Str trim_rule(Str line) {
    while (line.len && line.ptr[line.len - 1] == ' ') {
        size_t slashes = 0;
        while (slashes + 1 < line.len && line.ptr[line.len - 2 - slashes] == '\\')
            slashes++;
        if (slashes % 2)
            break;
        line.len--;
    }
    return line;
}

static bool parse_rule(Str line, IgnoreRule *out) {
    *out = (IgnoreRule){0};
    line = trim_rule(line);
    if (!line.len || line.ptr[0] == '#')
        return false;
    if (line.ptr[0] == '!') {
        out->is_negated = true;
        line = str_from(line, 1);
    }
    if (str_ends(line, S("/"))) {
        out->is_dir_only = true;
        line.len--;
    }
    out->is_anchored = str_find_char(line, '/', 0) != STR_NONE;
    if (str_starts(line, S("/")))
        line = str_from(line, 1);
    out->pattern = line;
    out->is_literal = !has_wildcard(line);
    out->is_suffix =
        !out->is_anchored && line.len > 1 && line.ptr[0] == '*' && !has_wildcard(str_from(line, 1));
    return line.len > 0;
}

void ignore_parse(Str text, Str base, Arena *arena, IgnoreFile *out) {
    *out = (IgnoreFile){.base = base};
    size_t capacity = 0;
    if (str_starts(text, S("\xEF\xBB\xBF")))
        text = str_from(text, 3);
    for (Str line; str_next_line(&text, &line);) {
        IgnoreRule rule;
        if (parse_rule(line, &rule))
            LIST_PUSH(arena, out->rules, out->count, capacity, rule);
    }
}

static bool rule_matches(const IgnoreRule *rule, Str below, Str name) {
    Str text = rule->is_anchored ? below : name;
    if (rule->is_literal)
        return str_eq(text, rule->pattern);
    if (rule->is_suffix)
        return str_ends(text, str_from(rule->pattern, 1));
    return ignore_glob(rule->pattern, text);
}

IgnoreVerdict ignore_match(const IgnoreFile *file, Str path, bool is_dir) {
    if (!file->count)
        return IGNORE_SILENT;
    Str below = file->base.len ? str_from(path, file->base.len + 1) : path;
    size_t slash = str_rfind_char(path, '/');
    Str name = slash == STR_NONE ? path : str_from(path, slash + 1);
    for (size_t i = file->count; i-- > 0;) {
        const IgnoreRule *rule = &file->rules[i];
        if ((is_dir || !rule->is_dir_only) && rule_matches(rule, below, name))
            return rule->is_negated ? IGNORE_NO : IGNORE_YES;
    }
    return IGNORE_SILENT;
}
