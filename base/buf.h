/* Buf: a growing byte buffer with sticky failure.
 *
 * Buf b = {0}; buf_str(&b, s); ...; Str text = buf_text(&b); ... buf_free(&b);
 * When memory runs out, failed is set, later writes do nothing, and the caller asks once. One thread at a
 * time.
 */
#ifndef MUX_BASE_BUF_H
#define MUX_BASE_BUF_H

#include "base/str.h"

typedef struct Buf {
    char *ptr;
    size_t len;
    size_t capacity;
    bool failed;
} Buf;

void buf_append(Buf *buf, const void *bytes, size_t n);
void buf_str(Buf *buf, Str s);
void buf_cstr(Buf *buf, const char *zero_terminated);
void buf_char(Buf *buf, char c);
void buf_repeat(Buf *buf, char c, size_t n);
void buf_printf(Buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Room for n more bytes at buf->ptr + buf->len; false (and failed) without memory. */
bool buf_reserve(Buf *buf, size_t n);
void buf_consume(Buf *buf, size_t n); /* drops the first n bytes */
Str buf_text(const Buf *buf);         /* borrowed until the next write */
Str buf_copy(const Buf *buf, Arena *arena);
void buf_clear(Buf *buf);
void buf_free(Buf *buf);

#endif
