#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool buf_reserve(Buf *buf, size_t n) {
    if (buf->failed)
        return false;
    if (buf->capacity - buf->len >= n)
        return true;
    size_t capacity = buf->capacity ? buf->capacity : 256;
    while (capacity - buf->len < n) {
        if (capacity > SIZE_MAX / 2) {
            buf->failed = true;
            return false;
        }
        capacity *= 2;
    }
    char *p = realloc(buf->ptr, capacity);
    if (!p) {
        buf->failed = true;
        return false;
    }
    buf->ptr = p;
    buf->capacity = capacity;
    return true;
}

void buf_append(Buf *buf, const void *bytes, size_t n) {
    if (n && buf_reserve(buf, n)) {
        memcpy(buf->ptr + buf->len, bytes, n);
        buf->len += n;
    }
}

void buf_str(Buf *buf, Str s) {
    buf_append(buf, s.ptr, s.len);
}

void buf_cstr(Buf *buf, const char *zero_terminated) {
    buf_str(buf, str_of(zero_terminated));
}

void buf_char(Buf *buf, char c) {
    buf_append(buf, &c, 1);
}

void buf_repeat(Buf *buf, char c, size_t n) {
    if (n && buf_reserve(buf, n)) {
        memset(buf->ptr + buf->len, c, n);
        buf->len += n;
    }
}

void buf_printf(Buf *buf, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n > 0 && buf_reserve(buf, (size_t)n + 1)) {
        vsnprintf(buf->ptr + buf->len, (size_t)n + 1, format, again);
        buf->len += (size_t)n;
    }
    va_end(again);
}

void buf_consume(Buf *buf, size_t n) {
    if (n > buf->len)
        n = buf->len;
    if (n)
        memmove(buf->ptr, buf->ptr + n, buf->len - n);
    buf->len -= n;
}

Str buf_text(const Buf *buf) {
    return buf->ptr ? (Str){buf->ptr, buf->len} : S("");
}

Str buf_copy(const Buf *buf, Arena *arena) {
    return str_copy(arena, buf_text(buf));
}

void buf_clear(Buf *buf) {
    buf->len = 0;
    buf->failed = false;
}

void buf_free(Buf *buf) {
    free(buf->ptr);
    *buf = (Buf){0};
}
