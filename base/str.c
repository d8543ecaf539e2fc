#define _GNU_SOURCE /* memmem */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

Str str_of(const char *zero_terminated) {
    return zero_terminated ? (Str){zero_terminated, strlen(zero_terminated)} : S("");
}

Str str_range(const char *begin, const char *end) {
    return (Str){begin, (size_t)(end - begin)};
}

bool str_eq(Str a, Str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_eq_nocase(Str a, Str b) {
    return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

int str_cmp(Str a, Str b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

bool str_starts(Str s, Str prefix) {
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

bool str_ends(Str s, Str suffix) {
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}

bool str_contains(Str s, Str needle) {
    return str_find(s, needle, 0) != STR_NONE;
}

size_t str_find(Str s, Str needle, size_t from) {
    if (from > s.len)
        return STR_NONE;
    if (needle.len == 0)
        return from;
    if (s.len - from < needle.len)
        return STR_NONE;
    const char *hit = memmem(s.ptr + from, s.len - from, needle.ptr, needle.len);
    return hit ? (size_t)(hit - s.ptr) : STR_NONE;
}

size_t str_find_char(Str s, char c, size_t from) {
    if (from >= s.len)
        return STR_NONE;
    const char *hit = memchr(s.ptr + from, c, s.len - from);
    return hit ? (size_t)(hit - s.ptr) : STR_NONE;
}

size_t str_rfind_char(Str s, char c) {
    for (size_t i = s.len; i-- > 0;)
        if (s.ptr[i] == c)
            return i;
    return STR_NONE;
}

Str str_slice(Str s, size_t begin, size_t end) {
    if (end > s.len)
        end = s.len;
    if (begin > end)
        begin = end;
    return (Str){s.ptr + begin, end - begin};
}

Str str_from(Str s, size_t begin) {
    return str_slice(s, begin, s.len);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

Str str_trim_end(Str s) {
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

Str str_trim(Str s) {
    while (s.len && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    return str_trim_end(s);
}

bool str_next_line(Str *rest, Str *line) {
    if (rest->len == 0)
        return false;
    size_t end = str_find_char(*rest, '\n', 0);
    bool ended = end != STR_NONE;
    if (!ended)
        end = rest->len;
    *line = str_slice(*rest, 0, end);
    *rest = str_from(*rest, end + ended);
    if (ended && line->len && line->ptr[line->len - 1] == '\r')
        line->len--;
    return true;
}

Str str_copy(Arena *arena, Str s) {
    char *p = arena_alloc(arena, s.len + 1);
    if (s.len)
        memcpy(p, s.ptr, s.len);
    return (Str){p, s.len};
}

char *str_cstr(Arena *arena, Str s) {
    return (char *)str_copy(arena, s).ptr;
}

Str str_printf(Arena *arena, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        n = 0;
    char *p = arena_alloc(arena, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return (Str){p, (size_t)n};
}

Str str_concat(Arena *arena, Str a, Str b) {
    char *p = arena_alloc(arena, a.len + b.len + 1);
    if (a.len)
        memcpy(p, a.ptr, a.len);
    if (b.len)
        memcpy(p + a.len, b.ptr, b.len);
    return (Str){p, a.len + b.len};
}

uint64_t str_hash_more(uint64_t hash, Str s) {
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (unsigned char)s.ptr[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t str_hash(Str s) {
    return str_hash_more(STR_HASH_START, s);
}
