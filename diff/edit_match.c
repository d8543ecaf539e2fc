#include <string.h>

#include "base/utf8.h"
#include "diff/edit_locate_internal.h"

enum { MOST_STEPS = 50000000, MARK_WORDS = 256, MARK_BITS = 64 * MARK_WORDS };

static const char *ascii_for(uint32_t c) {
    switch (c) {
    case 0x2018:
    case 0x2019:
    case 0x201A:
    case 0x201B:
    case 0x2032: return "'";
    case 0x201C:
    case 0x201D:
    case 0x201E:
    case 0x201F:
    case 0x2033: return "\"";
    case 0x2010:
    case 0x2011:
    case 0x2012:
    case 0x2013:
    case 0x2014:
    case 0x2015:
    case 0x2212: return "-";
    case 0x00A0:
    case 0x2002:
    case 0x2003:
    case 0x2007:
    case 0x2009:
    case 0x202F:
    case 0x3000: return " ";
    case 0x2026: return "...";
    case 0x200B:
    case 0xFEFF: return "";
    default: return NULL;
    }
}

Str fold_punctuation(Str line, Arena *arena) {
    bool is_ascii = true;
    for (size_t i = 0; i < line.len && is_ascii; i++)
        is_ascii = (unsigned char)line.ptr[i] < 0x80;
    if (is_ascii)
        return line;
    Buf out = {0};
    for (size_t at = 0; at < line.len;) {
        size_t begin = at;
        const char *ascii = ascii_for(utf8_next(line, &at));
        if (ascii)
            buf_cstr(&out, ascii);
        else
            buf_str(&out, str_slice(line, begin, at));
    }
    Str folded = buf_copy(&out, arena);
    buf_free(&out);
    return folded;
}

static Str line_key(Str line, MatchLevel level, Arena *arena) {
    switch (level) {
    case MATCH_EXACT: return line;
    case MATCH_LINE_ENDINGS: return line_body(line);
    case MATCH_TRAILING_BLANKS: return str_trim_end(line);
    case MATCH_INDENT:
    case MATCH_BLANK_LINES: return str_trim(line);
    default: return str_trim(fold_punctuation(line, arena));
    }
}

Str line_indent(Str line) {
    size_t n = 0;
    while (n < line.len && (line.ptr[n] == ' ' || line.ptr[n] == '\t'))
        n++;
    return str_slice(line, 0, n);
}

/* The lines looked for as small numbers; lines of the file that are none of them have no number. */
typedef struct KeySlot {
    Str key; /* ptr NULL: free */
    uint64_t hash;
    uint32_t name;
} KeySlot;
typedef struct KeyTable {
    KeySlot *slots;
    size_t mask;
    uint64_t marks[MARK_WORDS]; /* one bit for what the keys look like from afar: spares hashing the others */
} KeyTable;
#define NO_NAME UINT32_MAX

static KeyTable key_table(size_t most, Arena *arena) {
    size_t slots = 16;
    while (slots < 2 * most)
        slots *= 2;
    return (KeyTable){.slots = ARENA_ARRAY(arena, KeySlot, slots), .mask = slots - 1};
}

static size_t key_mark(Str key) {
    uint64_t head = 0, tail = 0;
    size_t n = key.len < sizeof head ? key.len : sizeof head;
    if (n) {
        memcpy(&head, key.ptr, n);
        memcpy(&tail, key.ptr + key.len - n, n);
    }
    uint64_t mixed = (head ^ key.len) * UINT64_C(0x9e3779b97f4a7c15) + tail;
    return (size_t)(mixed * UINT64_C(0xff51afd7ed558ccd) >> 40) % MARK_BITS;
}

static KeySlot *key_slot(const KeyTable *table, Str key) {
    uint64_t hash = str_hash(key);
    size_t at = (size_t)(hash ^ hash >> 29) & table->mask;
    while (table->slots[at].key.ptr && (table->slots[at].hash != hash || !str_eq(table->slots[at].key, key)))
        at = (at + 1) & table->mask;
    table->slots[at].hash = hash;
    return &table->slots[at];
}

static uint32_t key_name(const KeyTable *table, Str key) {
    size_t mark = key_mark(key);
    if (!(table->marks[mark / 64] >> mark % 64 & 1))
        return NO_NAME;
    const KeySlot *slot = key_slot(table, key);
    return slot->key.ptr ? slot->name : NO_NAME;
}

/* One and the same prefix is added to, or removed from, every line that is not blank. */
static bool is_uniform_shift(const Str *file, const Str *old, size_t count, size_t *steps) {
    Str prefix = S("");
    bool is_set = false, is_added = false;
    for (size_t i = 0; i < count; i++, (*steps)++) {
        if (line_is_blank(old[i]))
            continue;
        Str there = line_indent(file[i]), here = line_indent(old[i]);
        bool longer_there = there.len >= here.len;
        if (is_set && prefix.len)
            longer_there = is_added;
        Str longer = longer_there ? there : here, shorter = longer_there ? here : there;
        if (!str_ends(longer, shorter))
            return false;
        Str this_prefix = str_slice(longer, 0, longer.len - shorter.len);
        if (is_set && !str_eq(prefix, this_prefix))
            return false;
        prefix = this_prefix;
        is_added = longer_there;
        is_set = true;
    }
    return true;
}

static bool is_all(Str s, char c) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != c)
            return false;
    return true;
}

/* Spaces stand for tabs, or tabs for spaces, always as many for one. */
static bool is_tab_swap(const Str *file, const Str *old, size_t count, size_t *steps) {
    size_t unit = 0;
    bool has_tabs = false;
    for (size_t i = 0; i < count; i++, (*steps)++) {
        Str there = line_indent(file[i]), here = line_indent(old[i]);
        if (line_is_blank(old[i]) || (!there.len && !here.len))
            continue;
        bool is_tabs_there = is_all(there, '\t') && is_all(here, ' ');
        Str tabs = is_tabs_there ? there : here, spaces = is_tabs_there ? here : there;
        if (!tabs.len || !is_all(tabs, '\t') || !is_all(spaces, ' ') || spaces.len % tabs.len)
            return false;
        if (unit && (has_tabs != is_tabs_there || unit != spaces.len / tabs.len))
            return false;
        has_tabs = is_tabs_there;
        unit = spaces.len / tabs.len;
    }
    return unit == 2 || unit == 4 || unit == 8;
}

/* Only the first line lost its indentation, as where a quotation began at its first word. */
static bool is_first_bare(const Str *file, const Str *old, size_t count, size_t *steps) {
    bool has_more = false;
    if (line_indent(old[0]).len || line_is_blank(old[0]))
        return false;
    for (size_t i = 1; i < count; i++, (*steps)++) {
        if (!line_is_blank(old[i]) && !str_eq(line_indent(file[i]), line_indent(old[i])))
            return false;
        has_more = has_more || !line_is_blank(old[i]);
    }
    return has_more;
}

static bool is_shifted(const Str *file, const Str *old, size_t count, size_t *steps) {
    return is_uniform_shift(file, old, count, steps) || is_tab_swap(file, old, count, steps) ||
           is_first_bare(file, old, count, steps);
}

/* Where the pattern may start again after a mismatch: Knuth, Morris, Pratt 1977. */
static size_t *failure_links(const uint32_t *pattern, size_t count, Arena *scratch) {
    size_t *links = ARENA_ARRAY(scratch, size_t, count + 1);
    for (size_t i = 1, k = 0; i < count; i++) {
        while (k && pattern[i] != pattern[k])
            k = links[k];
        k += pattern[i] == pattern[k];
        links[i + 1] = k;
    }
    return links;
}

Hits match_lines(const Locate *locate, const LineTable *lines, size_t first, size_t count, MatchLevel level) {
    const LineTable *file = &locate->file;
    Hits hits = {0};
    if (count == 0 || count > file->count)
        return hits;
    KeyTable table = key_table(count, locate->scratch);
    uint32_t *pattern = ARENA_ARRAY(locate->scratch, uint32_t, count);
    for (size_t i = 0; i < count; i++) {
        Str key = line_key(lines->lines[first + i], level, locate->scratch);
        KeySlot *slot = key_slot(&table, key);
        table.marks[key_mark(key) / 64] |= UINT64_C(1) << key_mark(key) % 64;
        if (!slot->key.ptr)
            *slot = (KeySlot){key.ptr ? key : S(""), slot->hash, (uint32_t)i};
        pattern[i] = slot->name;
    }
    size_t *links = failure_links(pattern, count, locate->scratch), steps = 0;
    for (size_t i = 0, k = 0; i < file->count; i++) {
        uint32_t name = key_name(&table, line_key(file->lines[i], level, locate->scratch));
        while (k && (k == count || name != pattern[k]))
            k = links[k];
        k += name == pattern[k];
        if (k == count && (level < MATCH_INDENT ||
                           is_shifted(file->lines + i + 1 - count, lines->lines + first, count, &steps)))
            LIST_PUSH(locate->scratch, hits.lines, hits.count, hits.capacity, i + 1 - count);
        hits.is_exhausted = steps > MOST_STEPS;
        if (hits.is_exhausted)
            break;
    }
    return hits;
}
