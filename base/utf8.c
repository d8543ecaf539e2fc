#include "base/utf8.h"

enum { REPLACEMENT = 0xFFFD };

/* Length of the well-formed sequence at p (RFC 3629 table 3-7), 0 when malformed, -1 when the end cuts it. */
static int sequence_length(const unsigned char *p, size_t left) {
    unsigned char a = p[0];
    if (a < 0x80)
        return 1;
    int need = a >= 0xC2 && a <= 0xDF ? 2 : a >= 0xE0 && a <= 0xEF ? 3 : a >= 0xF0 && a <= 0xF4 ? 4 : 0;
    if (!need)
        return 0;
    unsigned char low = a == 0xE0 ? 0xA0 : a == 0xF0 ? 0x90 : 0x80;
    unsigned char high = a == 0xED ? 0x9F : a == 0xF4 ? 0x8F : 0xBF;
    for (int i = 1; i < need; i++) {
        if ((size_t)i >= left)
            return -1;
        if (p[i] < low || p[i] > high)
            return 0;
        low = 0x80;
        high = 0xBF;
    }
    return need;
}

bool utf8_valid(Str s) {
    const unsigned char *p = (const unsigned char *)s.ptr;
    for (size_t i = 0; i < s.len;) {
        int n = sequence_length(p + i, s.len - i);
        if (n <= 0)
            return false;
        i += (size_t)n;
    }
    return true;
}

uint32_t utf8_next(Str s, size_t *at) {
    const unsigned char *p = (const unsigned char *)s.ptr + *at;
    int n = sequence_length(p, s.len - *at);
    if (n <= 0) {
        *at += 1;
        return REPLACEMENT;
    }
    *at += (size_t)n;
    switch (n) {
    case 1: return p[0];
    case 2: return (uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3Fu);
    case 3: return (uint32_t)(p[0] & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3Fu);
    default:
        return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 | (uint32_t)(p[2] & 0x3F) << 6 |
               (p[3] & 0x3Fu);
    }
}

void utf8_put(Buf *out, uint32_t c) {
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        c = REPLACEMENT;
    char b[4];
    size_t n = 0;
    if (c < 0x80) {
        b[n++] = (char)c;
    } else if (c < 0x800) {
        b[n++] = (char)(0xC0 | c >> 6);
        b[n++] = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        b[n++] = (char)(0xE0 | c >> 12);
        b[n++] = (char)(0x80 | (c >> 6 & 0x3F));
        b[n++] = (char)(0x80 | (c & 0x3F));
    } else {
        b[n++] = (char)(0xF0 | c >> 18);
        b[n++] = (char)(0x80 | (c >> 12 & 0x3F));
        b[n++] = (char)(0x80 | (c >> 6 & 0x3F));
        b[n++] = (char)(0x80 | (c & 0x3F));
    }
    buf_append(out, b, n);
}

size_t utf8_complete(Str s) {
    for (size_t back = 1; back <= 3 && back <= s.len; back++) {
        const unsigned char *p = (const unsigned char *)s.ptr + s.len - back;
        if ((p[0] & 0xC0) == 0x80)
            continue;
        return sequence_length(p, back) < 0 ? s.len - back : s.len;
    }
    return s.len;
}

void utf8_repair(Str s, Buf *out) {
    size_t start = 0;
    for (size_t i = 0; i < s.len;) {
        int n = sequence_length((const unsigned char *)s.ptr + i, s.len - i);
        if (n > 0) {
            i += (size_t)n;
            continue;
        }
        buf_append(out, s.ptr + start, i - start);
        buf_cstr(out, "\xEF\xBF\xBD");
        start = ++i;
    }
    buf_append(out, s.ptr + start, s.len - start);
}
