/* Runs of changed lines as hunks, and what is done with them. */
#include <string.h>

#include "diff/compare_internal.h"
#include "diff/diff.h"
#include "diff/hunks_internal.h"

#define TEXT_LIMIT ((size_t)INT32_MAX)

/* The runs of changed lines, in order; out NULL only counts them. */
static size_t collect_hunks(const LinePair *pair, Hunk *out) {
    const CompareSide *a = &pair->a, *b = &pair->b;
    size_t count = 0, x = 0, y = 0;
    while (x < a->count || y < b->count) {
        size_t x0 = x, y0 = y;
        while (x < a->count && a->is_changed[x])
            x++;
        while (y < b->count && b->is_changed[y])
            y++;
        if ((x > x0 || y > y0) && out)
            out[count] = (Hunk){.old_start = pair->first_line + x0,
                                .old_count = x - x0,
                                .new_start = pair->first_line + y0,
                                .new_count = y - y0,
                                .old_begin = pair->first_byte + pair->old.begins[x0],
                                .old_end = pair->first_byte + pair->old.begins[x],
                                .new_begin = pair->first_byte + pair->new.begins[y0],
                                .new_end = pair->first_byte + pair->new.begins[y]};
        count += x > x0 || y > y0;
        x++, y++;
    }
    return count;
}

static uint64_t hunk_id(Str path, const Hunks *hunks, const Hunk *h) {
    uint64_t place[2] = {h->old_start, h->old_count};
    uint64_t id = str_hash_more(str_hash_more(STR_HASH_START, path), (Str){"", 1});
    id = str_hash_more(id, (Str){(const char *)place, sizeof place});
    id = str_hash_more(id, str_slice(hunks->before, h->old_begin, h->old_end));
    id = str_hash_more(id, (Str){"", 1});
    return str_hash_more(id, str_slice(hunks->after, h->new_begin, h->new_end));
}

bool diff_lines(Str path, Str before, Str after, Arena *arena, Hunks *out, Err *err) {
    *out = (Hunks){.before = before, .after = after};
    if (before.len > TEXT_LIMIT || after.len > TEXT_LIMIT)
        return err_set(err, ERR_LIMIT, "a text of more than 2 GiB cannot be compared");
    Arena scratch = {0};
    LinePair pair;
    pair_open(before, after, &scratch, &pair);
    if (pair.a.count + pair.b.count > TEXT_LIMIT) {
        arena_free(&scratch);
        return err_set(err, ERR_LIMIT, "texts of more than 2^31 lines cannot be compared");
    }
    compare_sides(&pair.a, &pair.b, pair.name_count);
    out->items = ARENA_ARRAY(arena, Hunk, collect_hunks(&pair, NULL) + 1);
    out->count = collect_hunks(&pair, out->items);
    arena_free(&scratch);
    slide_hunks(out);
    for (size_t i = 0; i < out->count; i++)
        out->items[i].id = hunk_id(path, out, &out->items[i]);
    return true;
}

bool diff_keep(const Hunks *hunks, const bool *keep, Arena *arena, Str *out, Err *err) {
    size_t len = hunks->before.len;
    for (size_t i = 0; i < hunks->count; i++) {
        const Hunk *h = &hunks->items[i];
        size_t from = i ? hunks->items[i - 1].old_end : 0;
        if (h->old_begin < from || h->old_end < h->old_begin || h->old_end > hunks->before.len ||
            h->new_end < h->new_begin || h->new_end > hunks->after.len)
            return err_set(err, ERR_INVALID, "hunk %zu does not belong to this text", i + 1);
        if (keep[i])
            len += (h->new_end - h->new_begin) - (h->old_end - h->old_begin);
    }
    char *text = arena_alloc(arena, len + 1);
    size_t at = 0, from = 0;
    for (size_t i = 0; i <= hunks->count; i++) {
        size_t to = i < hunks->count ? hunks->items[i].old_begin : hunks->before.len;
        if (i < hunks->count && !keep[i])
            continue;
        if (to > from)
            memcpy(text + at, hunks->before.ptr + from, to - from);
        at += to - from;
        if (i == hunks->count)
            break;
        const Hunk *h = &hunks->items[i];
        if (h->new_end > h->new_begin)
            memcpy(text + at, hunks->after.ptr + h->new_begin, h->new_end - h->new_begin);
        at += h->new_end - h->new_begin;
        from = h->old_end;
    }
    *out = (Str){text, len};
    return true;
}

void diff_count(const Hunks *hunks, size_t *added, size_t *removed) {
    *added = *removed = 0;
    for (size_t i = 0; i < hunks->count; i++) {
        *added += hunks->items[i].new_count;
        *removed += hunks->items[i].old_count;
    }
}

size_t diff_section_end(const Hunks *hunks, size_t first, int context) {
    size_t last = first, most = context > 0 ? 2 * (size_t)context : 0;
    while (last + 1 < hunks->count) {
        const Hunk *h = &hunks->items[last];
        if (h[1].old_start - h->old_start - h->old_count > most)
            break;
        last++;
    }
    return last;
}
