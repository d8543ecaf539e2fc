#include <string.h>

#include "diff/compare_internal.h"
#include "diff/diff.h"

#define TEXT_LIMIT ((size_t)INT32_MAX)

typedef struct Pair {
    LineTable old, new;
    uint32_t *old_names, *new_names;
} Pair;

static size_t count_hunks(const CompareSide *a, const CompareSide *b) {
    size_t count = 0, x = 0, y = 0;
    while (x < a->count || y < b->count) {
        bool in_hunk = false;
        for (; x < a->count && a->is_changed[x]; x++)
            in_hunk = true;
        for (; y < b->count && b->is_changed[y]; y++)
            in_hunk = true;
        count += in_hunk;
        x++, y++;
    }
    return count;
}

static void collect_hunks(const CompareSide *a, const CompareSide *b, Arena *arena, Hunks *out) {
    out->items = ARENA_ARRAY(arena, Hunk, count_hunks(a, b) + 1);
    size_t x = 0, y = 0;
    while (x < a->count || y < b->count) {
        Hunk hunk = {.old_start = x, .new_start = y};
        for (; x < a->count && a->is_changed[x]; x++)
            hunk.old_count++;
        for (; y < b->count && b->is_changed[y]; y++)
            hunk.new_count++;
        if (hunk.old_count || hunk.new_count)
            out->items[out->count++] = hunk;
        x++, y++;
    }
}

/* ---- sliding: a pure insertion or deletion may stand at several places; the one that starts a block reads
 * best ---- */

static size_t line_cost(const LineTable *table, size_t i) {
    if (i >= table->count)
        return 0;
    Str line = table->lines[i];
    size_t indent = 0;
    while (indent < line.len && (line.ptr[indent] == ' ' || line.ptr[indent] == '\t'))
        indent += line.ptr[indent] == '\t' ? 8 - indent % 8 : 1;
    if (line_is_blank(line))
        return 3;
    char first = str_trim(line).ptr[0];
    return 2 * indent + (first == '}' || first == ')' || first == ']' ? 4 : 0);
}

/* How far the run of `count` lines at `start` may move within [low, high], and the cheapest place of those.
 */
static size_t best_start(const LineTable *table, const uint32_t *names, size_t start, size_t count,
                         size_t low, size_t high) {
    size_t first = start, last = start;
    while (first > low && names[first - 1] == names[first + count - 1])
        first--;
    while (last < high && names[last] == names[last + count])
        last++;
    size_t best = last, least = SIZE_MAX;
    for (size_t at = last + 1; at-- > first;) {
        size_t cost = line_cost(table, at) + line_cost(table, at + count);
        if (cost < least) {
            least = cost;
            best = at;
        }
    }
    return best;
}

/* Hunks stay apart by at least one common line. */
static void slide_hunk(const Pair *pair, Hunks *hunks, size_t i) {
    Hunk *h = &hunks->items[i];
    bool is_insertion = h->old_count == 0;
    if (!is_insertion && h->new_count)
        return;
    size_t above =
        i ? h->old_start - hunks->items[i - 1].old_start - hunks->items[i - 1].old_count : h->old_start + 1;
    size_t below = i + 1 < hunks->count ? hunks->items[i + 1].old_start - h->old_start - h->old_count
                                        : pair->old.count - h->old_start - h->old_count + 1;
    size_t start = is_insertion ? h->new_start : h->old_start;
    size_t moved = best_start(
        is_insertion ? &pair->new : &pair->old, is_insertion ? pair->new_names : pair->old_names, start,
        is_insertion ? h->new_count : h->old_count, start - (above - 1), start + (below - 1));
    h->old_start = h->old_start + moved - start;
    h->new_start = h->new_start + moved - start;
}

static void finish_hunk(Str path, const Pair *pair, Hunk *h) {
    h->old_begin = line_begin(&pair->old, h->old_start);
    h->old_end = line_begin(&pair->old, h->old_start + h->old_count);
    h->new_begin = line_begin(&pair->new, h->new_start);
    h->new_end = line_begin(&pair->new, h->new_start + h->new_count);
    uint64_t place[2] = {h->old_start, h->old_count};
    uint64_t id = str_hash_more(str_hash_more(STR_HASH_START, path), (Str){"", 1});
    id = str_hash_more(id, (Str){(const char *)place, sizeof place});
    id = str_hash_more(id, str_slice(pair->old.text, h->old_begin, h->old_end));
    id = str_hash_more(id, (Str){"", 1});
    h->id = str_hash_more(id, str_slice(pair->new.text, h->new_begin, h->new_end));
}

bool diff_lines(Str path, Str before, Str after, Arena *arena, Hunks *out, Err *err) {
    *out = (Hunks){.before = before, .after = after};
    if (before.len > TEXT_LIMIT || after.len > TEXT_LIMIT)
        return err_set(err, ERR_LIMIT, "a text of more than 2 GiB cannot be compared");
    Arena scratch = {0};
    Pair pair = {.old = line_table(before, &scratch), .new = line_table(after, &scratch)};
    LineNames names = line_names(pair.old.count + pair.new.count, &scratch);
    pair.old_names = ARENA_ARRAY(&scratch, uint32_t, pair.old.count + 1);
    pair.new_names = ARENA_ARRAY(&scratch, uint32_t, pair.new.count + 1);
    for (size_t i = 0; i < pair.old.count; i++)
        pair.old_names[i] = line_name(&names, pair.old.lines[i]);
    for (size_t i = 0; i < pair.new.count; i++)
        pair.new_names[i] = line_name(&names, pair.new.lines[i]);
    CompareSide a = {pair.old_names, pair.old.count,
                     ARENA_ARRAY(&scratch, unsigned char, pair.old.count + 1)};
    CompareSide b = {pair.new_names, pair.new.count,
                     ARENA_ARRAY(&scratch, unsigned char, pair.new.count + 1)};
    compare_sides(&a, &b, names.count);
    collect_hunks(&a, &b, arena, out);
    for (size_t i = 0; i < out->count; i++)
        slide_hunk(&pair, out, i);
    for (size_t i = 0; i < out->count; i++)
        finish_hunk(path, &pair, &out->items[i]);
    arena_free(&scratch);
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
