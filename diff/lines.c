#include <string.h>

#include "diff/lines_internal.h"

struct LineSlot {
    Str line; /* ptr NULL: free */
    uint64_t hash;
    uint32_t name;
};

LineTable line_table(Str text, Arena *arena) {
    LineTable table = {.text = text};
    for (size_t i = 0; i < text.len; table.count++) {
        const char *end = memchr(text.ptr + i, '\n', text.len - i);
        i = end ? (size_t)(end - text.ptr) + 1 : text.len;
    }
    table.lines = ARENA_ARRAY(arena, Str, table.count + 1);
    size_t begin = 0;
    for (size_t i = 0; i < table.count; i++) {
        const char *end = memchr(text.ptr + begin, '\n', text.len - begin);
        size_t stop = end ? (size_t)(end - text.ptr) + 1 : text.len;
        table.lines[i] = str_slice(text, begin, stop);
        begin = stop;
    }
    return table;
}

size_t line_begin(const LineTable *table, size_t i) {
    return i < table->count ? (size_t)(table->lines[i].ptr - table->text.ptr) : table->text.len;
}

LineNames line_names(size_t most, Arena *arena) {
    size_t slots = 16;
    while (slots < 2 * most)
        slots *= 2;
    return (LineNames){.slots = arena_array(arena, slots, sizeof(struct LineSlot)), .mask = slots - 1};
}

uint32_t line_name(LineNames *names, Str line) {
    uint64_t hash = str_hash(line);
    size_t at = (size_t)(hash ^ hash >> 29) & names->mask;
    while (names->slots[at].line.ptr) {
        if (names->slots[at].hash == hash && str_eq(names->slots[at].line, line))
            return names->slots[at].name;
        at = (at + 1) & names->mask;
    }
    names->slots[at].line = line.ptr ? line : S("");
    names->slots[at].hash = hash;
    names->slots[at].name = names->count;
    return names->count++;
}

Str line_body(Str line) {
    if (str_ends(line, S("\n")))
        line.len--;
    if (str_ends(line, S("\r")))
        line.len--;
    return line;
}

bool line_is_blank(Str line) {
    return str_trim(line).len == 0;
}
