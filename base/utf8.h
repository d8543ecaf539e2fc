/* UTF-8 (RFC 3629): validity and cutting points. Pure, thread-safe. */
#ifndef MUX_BASE_UTF8_H
#define MUX_BASE_UTF8_H

#include "base/buf.h"

bool utf8_valid(Str s);
/* Decodes the code point at s.ptr[*at] and moves *at on; an invalid byte gives 0xFFFD and moves one byte. */
uint32_t utf8_next(Str s, size_t *at);
/* Appends the 1-4 bytes of a code point (surrogates and values past 0x10FFFF become U+FFFD). */
void utf8_put(Buf *out, uint32_t code_point);
/* How many leading bytes may be sent now: all but an incomplete code point at the very end (0-3 bytes). */
size_t utf8_complete(Str s);
/* Copy with every invalid byte replaced by U+FFFD. */
void utf8_repair(Str s, Buf *out);

#endif
