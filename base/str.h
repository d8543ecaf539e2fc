/* Strings as {pointer, length}; never zero-terminated unless a function says so.
 *
 * A Str borrows its bytes: whoever made them says how long they live. Functions that make
 * new bytes take the Arena they should live in. All functions are pure and thread-safe.
 */
#ifndef MUX_BASE_STR_H
#define MUX_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

typedef struct Str {
    const char *ptr;
    size_t len;
} Str;

/* A literal as Str: S("text"). For static initialisers use STR_INIT("text"). */
#define S(literal) ((Str){"" literal, sizeof(literal) - 1})
#define STR_INIT(literal)                                                                                    \
    { "" literal, sizeof(literal) - 1 }
/* printf("%.*s", STR_ARG(s)) */
#define STR_ARG(s) (int)(s).len, (s).ptr
#define STR_NONE ((size_t)-1)

Str str_of(const char *zero_terminated); /* NULL gives the empty string */
Str str_range(const char *begin, const char *end);
bool str_eq(Str a, Str b);
bool str_eq_nocase(Str a, Str b); /* ASCII only */
int str_cmp(Str a, Str b);        /* byte order, like memcmp */
bool str_starts(Str s, Str prefix);
bool str_ends(Str s, Str suffix);
bool str_contains(Str s, Str needle);
size_t str_find(Str s, Str needle, size_t from); /* STR_NONE when absent */
size_t str_find_char(Str s, char c, size_t from);
size_t str_rfind_char(Str s, char c);
Str str_slice(Str s, size_t begin, size_t end); /* clamped to the string */
Str str_from(Str s, size_t begin);
Str str_trim(Str s); /* ASCII blanks and line ends at both ends */
Str str_trim_end(Str s);

/* Cuts the next line off *rest: returns it without its line end ("\n" or "\r\n"); false when nothing is left.
 * A final line without "\n" counts as a line; an empty rest does not. */
bool str_next_line(Str *rest, Str *line);

/* Copies into the arena; str_copy's bytes are also followed by a zero byte. */
Str str_copy(Arena *arena, Str s);
char *str_cstr(Arena *arena, Str s);
Str str_printf(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
Str str_concat(Arena *arena, Str a, Str b);

/* FNV-1a 64 bit (Fowler, Noll, Vo): for tables and short ids, never for trust. */
uint64_t str_hash(Str s);
uint64_t str_hash_more(uint64_t hash, Str s);
#define STR_HASH_START UINT64_C(0xcbf29ce484222325)

#endif
