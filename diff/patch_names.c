/* File names in patch headers: quoting, leading components, dates behind names. */
#include <string.h>

#include "diff/patch_internal.h"

static const Str NO_NAME = {NULL, 0};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool patch_is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
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

bool patch_quote_is_open(Str text) {
    size_t i = 1;
    if (!str_starts(text, S("\"")))
        return false;
    while (i < text.len && text.ptr[i] != '"' && text.ptr[i] != '\n')
        i += text.ptr[i] == '\\' && i + 1 < text.len && text.ptr[i + 1] != '\n' ? 2 : 1;
    return i >= text.len || text.ptr[i] != '"';
}

static Str squash_slashes(Str name, Arena *arena) {
    char *out = arena_alloc(arena, name.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] != '/' || n == 0 || out[n - 1] != '/')
            out[n++] = name.ptr[i];
    return (Str){out, n};
}

static bool drop_folders(Str *name, int count) {
    for (; count > 0; count--) {
        size_t slash = str_find_char(*name, '/', 0);
        if (slash == STR_NONE)
            return false;
        *name = str_from(*name, slash + 1);
    }
    return true;
}

/* A quoted name with too few folders is read once more, as if its quotes were part of it: git does so. */
Str patch_name(Str text, Str otherwise, int strip, NameEnd ends, Arena *arena) {
    Str name;
    size_t used, start = strip > 0 ? STR_NONE : 0, i = 0;
    int left = strip;
    if (unquote(text, arena, &name, &used) && drop_folders(&name, strip))
        return squash_slashes(name, arena);
    for (; i < text.len && text.ptr[i] != '\n'; i++) {
        char c = text.ptr[i];
        if ((c == '\t' && ends == NAME_ENDS_AT_TAB) || (c == '\r' && ends != NAME_ENDS_NOWHERE))
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
        while (rest.len && patch_is_space(rest.ptr[0]))
            rest = str_from(rest, 1);
        if (!unquote(rest, arena, &second, &used))
            return NO_NAME; /* git's own rule: a quoted name and a bare one are never taken for the same */
        second = without_lead(second, strip);
        return first.ptr && second.ptr && str_eq(first, second) ? first : NO_NAME;
    }
    size_t quote = str_find_char(text, '"', 0);
    if (!unquote(str_from(text, quote), arena, &second, &used))
        return NO_NAME;
    first = without_lead(text, strip);
    second = without_lead(second, strip);
    bool is_same = first.ptr && second.ptr && str_starts(first, second) && first.len > second.len &&
                   patch_is_space(first.ptr[second.len]);
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
    return str_starts(text, S("/dev/null")) && text.len > 9 && patch_is_space(text.ptr[9]);
}

/* '0' in a shape stands for a digit, '+' for a sign. */
static bool fits_shape(Str s, const char *shape) {
    for (size_t i = 0; i < s.len; i++) {
        bool fits = shape[i] == '0'   ? is_digit(s.ptr[i])
                    : shape[i] == '+' ? s.ptr[i] == '+' || s.ptr[i] == '-'
                                      : s.ptr[i] == shape[i];
        if (!fits)
            return false;
    }
    return true;
}

static bool drop_end(Str *s, const char *shape) {
    size_t n = strlen(shape);
    if (s->len < n || !fits_shape(str_from(*s, s->len - n), shape))
        return false;
    s->len -= n;
    return true;
}

static void drop_time(Str *s) {
    Str whole = *s;
    if (drop_end(s, " 00:00:00"))
        return;
    while (s->len && is_digit(s->ptr[s->len - 1]))
        s->len--;
    if (s->len == whole.len || !drop_end(s, ".") || !drop_end(s, " 00:00:00"))
        *s = whole;
}

/* How much of a line comes before the date at its end, as git reads one: from the end, time and zone may be
 * missing, the year may have two digits. The whole line when there is none. */
static Str before_date(Str line) {
    Str rest = line;
    if (!rest.len || !is_digit(rest.ptr[rest.len - 1]))
        return line;
    if (!drop_end(&rest, " +0000"))
        drop_end(&rest, " +00:00");
    drop_time(&rest);
    if (!drop_end(&rest, "00-00-00"))
        return line;
    drop_end(&rest, "00");
    if (drop_end(&rest, "\t"))
        return rest;
    if (!drop_end(&rest, " "))
        return line;
    while (drop_end(&rest, " "))
        continue;
    return rest;
}

static int two_digits(Str s, size_t at) {
    return (s.ptr[at] - '0') * 10 + s.ptr[at + 1] - '0';
}

/* Some tools say "does not exist" by the date 1970-01-01 00:00 UTC, whatever the zone. */
bool patch_epoch_name(Str text) {
    size_t tab = str_rfind_char(text, '\t');
    Str date = tab == STR_NONE || !str_ends(text, S("\n")) ? S("") : str_slice(text, tab + 1, text.len - 1);
    bool is_1969 = str_starts(date, S("1969-12-31 "));
    Str time = str_from(date, 11), zone = time;
    if ((!is_1969 && !str_starts(date, S("1970-01-01 "))) || time.len < 8 ||
        !fits_shape(str_slice(time, 0, 8), "00:00:00") || two_digits(time, 3) > 59 || two_digits(time, 6) > 0)
        return false;
    zone = str_from(time, 8);
    if (str_starts(zone, S(".0")))
        for (zone = str_from(zone, 1); str_starts(zone, S("0"));)
            zone = str_from(zone, 1);
    bool has_colon = zone.len == 7;
    if ((zone.len != 6 && !has_colon) || !fits_shape(zone, has_colon ? " +00:00" : " +0000"))
        return false;
    int offset = two_digits(zone, 2) * 60 + two_digits(zone, has_colon ? 5 : 4);
    offset = zone.ptr[1] == '-' ? -offset : offset;
    return two_digits(time, 0) * 60 + two_digits(time, 3) - offset == (is_1969 ? 24 * 60 : 0);
}

Str patch_traditional_name(Str text, Str otherwise, int strip, Arena *arena) {
    Str line = str_ends(text, S("\n")) ? str_slice(text, 0, text.len - 1) : text, name = before_date(line);
    bool has_date = name.len < line.len && !str_starts(text, S("\""));
    return patch_name(has_date ? name : text, otherwise, strip,
                      has_date ? NAME_ENDS_NOWHERE : NAME_ENDS_AT_TAB, arena);
}
