/* Blocks that name what they replace: "<<<<<<< SYMBOL Class.method" and "<<<<<<< LINES 12:a1b2-15:c3d4". */
#include "diff/edit_parse_internal.h"

enum { HASH_DIGITS = 4, LONGEST_SYMBOL = 200 };

uint16_t edit_line_hash(Str line) {
    uint64_t hash = str_hash(str_trim(line));
    hash ^= hash >> 32;
    return (uint16_t)(hash ^ hash >> 16);
}

static bool hash_read(Str s, size_t *at, uint16_t *out) {
    unsigned value = 0;
    for (size_t i = 0; i < HASH_DIGITS; i++, (*at)++) {
        char c = *at < s.len ? s.ptr[*at] : '?';
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
            return false;
        value = value * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    *out = (uint16_t)value;
    return true;
}

/* "12:a1b2" */
static bool anchor_read(Str s, size_t *at, size_t *line, uint16_t *hash) {
    if (!number_read(s, at, line) || *line == 0 || *at >= s.len || s.ptr[(*at)++] != ':')
        return false;
    return hash_read(s, at, hash);
}

static bool lines_read(Str s, Edit *edit) {
    size_t at = 0;
    if (!anchor_read(s, &at, &edit->first_line, &edit->first_hash))
        return false;
    edit->last_line = edit->first_line;
    edit->last_hash = edit->first_hash;
    if (at == s.len)
        return true;
    return s.ptr[at++] == '-' && anchor_read(s, &at, &edit->last_line, &edit->last_hash) && at == s.len &&
           edit->last_line >= edit->first_line;
}

static bool after_keyword(Str word, Str keyword, Str *rest) {
    if (!str_starts(word, keyword) || (word.len > keyword.len && word.ptr[keyword.len] != ' '))
        return false;
    *rest = strip_ends(str_trim(str_from(word, keyword.len)), "`", "`()");
    return true;
}

bool special_read(Str word, Edit *edit, bool *is_bad) {
    Str rest;
    *is_bad = false;
    if (after_keyword(word, S("LINES"), &rest)) {
        edit->kind = EDIT_LINES;
        *is_bad = !lines_read(rest, edit);
        return !*is_bad;
    }
    if (!after_keyword(word, S("SYMBOL"), &rest))
        return false;
    edit->kind = EDIT_SYMBOL;
    edit->symbol = rest;
    *is_bad = rest.len == 0 || rest.len > LONGEST_SYMBOL || str_find_char(rest, ' ', 0) != STR_NONE;
    return !*is_bad;
}
