/* Anchors: lines that both sides have exactly once are very likely the same line. The longest ascending
 * series among them (patience sorting, as in B. Cohen's patience diff) cuts a large box into small ones. */
#include "diff/compare_internal.h"

/* What seen[] counts: occurrences on each side, up to two. */
enum { OLD_ONE = 1, OLD_MORE = 2, NEW_ONE = 4, NEW_MORE = 8 };

static void count_names(const AnchorTable *table, const uint32_t *names, int32_t from, int32_t to,
                        unsigned char one, unsigned char more) {
    for (int32_t i = from; i < to; i++) {
        unsigned char *seen = &table->seen[names[i]];
        *seen |= *seen & one ? more : one;
    }
}

static size_t collect_unique(const AnchorTable *table, const uint32_t *b, int32_t from, int32_t to,
                             ComparePoint *out) {
    size_t count = 0;
    for (int32_t y = from; y < to; y++)
        if (table->seen[b[y]] == (OLD_ONE | NEW_ONE)) {
            if (out)
                out[count] = (ComparePoint){(int32_t)table->places[b[y]], y};
            count++;
        }
    return count;
}

/* Keeps the longest series of points (ascending in y already) that ascends in x too; returns its length. */
static size_t longest_series(ComparePoint *points, size_t count, Arena *scratch) {
    uint32_t *last = ARENA_ARRAY(scratch, uint32_t, count + 1); /* last[n]: end of the best series of n + 1 */
    uint32_t *previous = ARENA_ARRAY(scratch, uint32_t, count + 1);
    size_t most = 0;
    for (size_t i = 0; i < count; i++) {
        size_t low = 0, high = most;
        if (most && points[last[most - 1]].x < points[i].x)
            low = most; /* the common case: files mostly keep their order */
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (points[last[middle]].x < points[i].x)
                low = middle + 1;
            else
                high = middle;
        }
        last[low] = (uint32_t)i;
        previous[i] = low ? last[low - 1] : 0;
        if (low == most)
            most++;
    }
    uint32_t at = most ? last[most - 1] : 0;
    for (size_t n = most; n-- > 0; at = previous[at])
        last[n] = at;
    for (size_t n = 0; n < most; n++)
        points[n] = points[last[n]];
    return most;
}

ComparePoint *find_anchors(const AnchorTable *table, const uint32_t *a, const uint32_t *b, ComparePoint from,
                           ComparePoint to, Arena *arena, size_t *count) {
    count_names(table, a, from.x, to.x, OLD_ONE, OLD_MORE);
    count_names(table, b, from.y, to.y, NEW_ONE, NEW_MORE);
    for (int32_t x = from.x; x < to.x; x++)
        table->places[a[x]] = (uint32_t)x;
    *count = collect_unique(table, b, from.y, to.y, NULL);
    ComparePoint *points = ARENA_ARRAY(arena, ComparePoint, *count + 1);
    collect_unique(table, b, from.y, to.y, points);
    for (int32_t x = from.x; x < to.x; x++)
        table->seen[a[x]] = 0;
    for (int32_t y = from.y; y < to.y; y++)
        table->seen[b[y]] = 0;
    Arena scratch = {0};
    *count = longest_series(points, *count, &scratch);
    arena_free(&scratch);
    return points;
}
