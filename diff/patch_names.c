/* File names in patch headers: quoting, leading components, dates behind names. */
#include <string.h>

#include "diff/patch_internal.h"

static const Str NO_NAME = {NULL, 0};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A C-quoted name at the start of text; *used counts both quotes. */
static bool unquote(Str text, Arena *arena, Str *out, size_t *used) {
    static const char LETTERS[] = "abtnvfr";
    char *name = arena_alloc(arena, text.len + 1);
    size_t n = 0, i = 1;
    if (!str_starts(text, S("\"")))
        return false;
    for (; i < text.len && text.ptr[i] != '"' && text.ptr[i] != '\n'; i++) {
        char c = text.ptr[i];
        if (c == '\\') {
            if (++i >= text.len)
                return false;
            c = text.ptr[i];
            const char *letter = c ? strchr(LETTERS, c) : NULL;
            if (letter) {
                c = (char)(7 + (letter - LETTERS));
            } else if (c >= '0' && c <= '3') {
                unsigned value = 0;
                for (size_t digit = 0; digit < 3; digit++, i++) {
                    if (i >= text.len || text.ptr[i] < '0' || text.ptr[i] > '7')
                        return false;
                    value = value * 8 + (unsigned)(text.ptr[i] - '0');
                }
                i--;
                c = (char)value;
            } else if (c != '"' && c != '\\') {
                return false;
            }
        }
        name[n++] = c;
    }
    if (i >= text.len || text.ptr[i] != '"')
        return false;
    *out = (Str){name, n};
    *used = i + 1;
    return memchr(name, 0, n) == NULL;
}

static Str squash_slashes(Str name, Arena *arena) {
    char *out = arena_alloc(arena, name.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] != '/' || n == 0 || out[n - 1] != '/')
            out[n++] = name.ptr[i];
    return (Str){out, n};
}

Str patch_name(Str text, Str otherwise, int strip, bool ends_at_tab, Arena *arena) {
    Str name;
    size_t used, start = strip > 0 ? STR_NONE : 0, i = 0;
    int left = strip;
    if (unquote(text, arena, &name, &used)) {
        for (; left > 0; left--) {
            size_t slash = str_find_char(name, '/', 0);
            if (slash == STR_NONE)
                return otherwise;
            name = str_from(name, slash + 1);
        }
        return squash_slashes(name, arena);
    }
    for (; i < text.len && text.ptr[i] != '\n'; i++) {
        char c = text.ptr[i];
        if (is_space(c) && c != ' ' && (c != '\t' || ends_at_tab))
            break;
        if (c == '/' && --left == 0)
            start = i + 1;
    }
    if (start == STR_NONE || i == start)
        return otherwise;
    name = str_slice(text, start, i);
    if (otherwise.ptr && otherwise.len < name.len && str_starts(name, otherwise))
        return otherwise; /* "file.orig" and "file~" mean "file" */
    return squash_slashes(name, arena);
}

static Str without_lead(Str text, int strip) {
    if (strip <= 0)
        return str_starts(text, S("/")) ? NO_NAME : text;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '/' && --strip <= 0)
            return i ? str_from(text, i + 1) : NO_NAME;
    return NO_NAME;
}

static Str quoted_common_name(Str text, int strip, Arena *arena) {
    Str first, second;
    size_t used;
    if (unquote(text, arena, &first, &used)) {
        Str rest = str_from(text, used);
        first = without_lead(first, strip);
        while (rest.len && is_space(rest.ptr[0]))
            rest = str_from(rest, 1);
        if (!unquote(rest, arena, &second, &used))
            second = str_ends(rest, S("\n")) ? str_slice(rest, 0, rest.len - 1) : rest;
        second = without_lead(second, strip);
        return first.ptr && second.ptr && str_eq(first, second) ? first : NO_NAME;
    }
    size_t quote = str_find_char(text, '"', 0);
    if (!unquote(str_from(text, quote), arena, &second, &used))
        return NO_NAME;
    first = without_lead(text, strip);
    second = without_lead(second, strip);
    bool is_same = first.ptr && second.ptr && str_starts(first, second) && first.len > second.len &&
                   is_space(first.ptr[second.len]);
    return is_same ? second : NO_NAME;
}

/* The one name of "a/name b/name"; none when the two differ or cannot be told apart. */
Str patch_common_name(Str text, int strip, Arena *arena) {
    if (str_find_char(text, '"', 0) != STR_NONE)
        return quoted_common_name(text, strip, arena);
    Str first = without_lead(text, strip);
    for (size_t n = 0; first.ptr && n < first.len && first.ptr[n] != '\n'; n++) {
        if (first.ptr[n] != ' ' && first.ptr[n] != '\t')
            continue;
        Str second = without_lead(str_from(first, n + 1), strip);
        if (second.ptr && second.len == n + 1 && second.ptr[n] == '\n' &&
            str_starts(second, str_slice(first, 0, n)))
            return str_slice(first, 0, n);
    }
    return NO_NAME;
}

bool patch_is_null_name(Str text) {
    return str_starts(text, S("/dev/null")) && text.len > 9 && is_space(text.ptr[9]);
}

/* "0000-00-00 00:00:00" with digits for zeros, a fraction and a zone; how long it is, 0 for something else.
 */
static size_t date_length(Str s, int *minutes, int *zone) {
    static const char SHAPE[] = "0000-00-00 00:00:00";
    size_t i = 0;
    for (; SHAPE[i]; i++)
        if (i >= s.len || (SHAPE[i] == '0' ? !is_digit(s.ptr[i]) : s.ptr[i] != SHAPE[i]))
            return 0;
    *minutes = ((s.ptr[11] - '0') * 10 + s.ptr[12] - '0') * 60 + (s.ptr[14] - '0') * 10 + s.ptr[15] - '0';
    if (i < s.len && s.ptr[i] == '.')
        for (i++; i < s.len && is_digit(s.ptr[i]);)
            i++;
    if (i + 1 >= s.len || s.ptr[i] != ' ' || (s.ptr[i + 1] != '+' && s.ptr[i + 1] != '-'))
        return 0;
    int sign = s.ptr[i + 1] == '-' ? -1 : 1, digits = 0, value = 0;
    for (i += 2; i < s.len && digits < 4 && (is_digit(s.ptr[i]) || (digits == 2 && s.ptr[i] == ':')); i++)
        if (s.ptr[i] != ':')
            value = value * 10 + s.ptr[i] - '0', digits++;
    *zone = sign * (value / 100 * 60 + value % 100);
    return digits == 4 ? i : 0;
}

/* Some tools say "does not exist" by the date 1970-01-01 00:00 UTC. */
bool patch_epoch_name(Str text) {
    size_t tab = str_find_char(text, '\t', 0);
    Str date = tab == STR_NONE ? S("") : str_from(text, tab + 1);
    int minutes, zone;
    size_t n = date_length(date, &minutes, &zone);
    bool is_1969 = str_starts(date, S("1969-12-31")), is_1970 = str_starts(date, S("1970-01-01"));
    Str seconds = str_slice(date, 17, n);
    return n && n < date.len && date.ptr[n] == '\n' && (is_1969 || is_1970) && str_starts(seconds, S("00")) &&
           (is_1969 ? minutes - 24 * 60 : minutes) == zone;
}

Str patch_traditional_name(Str text, Str otherwise, int strip, Arena *arena) {
    int minutes, zone;
    Str line = str_trim_end(text);
    for (size_t i = 1; i < line.len && !str_starts(text, S("\"")); i++) {
        if ((line.ptr[i - 1] == ' ' || line.ptr[i - 1] == '\t') &&
            date_length(str_from(line, i), &minutes, &zone) == line.len - i)
            return patch_name(str_trim_end(str_slice(line, 0, i)), otherwise, strip, false, arena);
    }
    return patch_name(text, otherwise, strip, true, arena);
}
