/* The shortest edit script in linear space: E. W. Myers, "An O(ND) Difference Algorithm and Its Variations",
 * 1986, section 4b.
 *
 * Think of a grid, x along the old lines, y along the new ones. A step right deletes a line, a step down
 * inserts one, and where the lines are equal a diagonal step is free. Diagonal k holds the points with x - y
 * == k. Searching from both corners at once, forward[k] and backward[k] are the furthest x reached on
 * diagonal k with d paid steps; where the two meet lies the middle of a shortest path, and the boxes before
 * and after it are solved the same way.
 *
 * Two things keep odd inputs fast: lines that the other side does not have at all are set aside first, and a
 * search that has paid MOST_COST steps takes the furthest point so far as its
 * middle: still a right script, perhaps not the shortest.
 */
#include "diff/compare_internal.h"

enum { MOST_COST = 256 };
#define LOST INT32_MIN /* no path reaches this diagonal within the box */

typedef struct Search {
    const uint32_t *a, *b; /* line names */
    unsigned char *a_changed, *b_changed;
    int32_t *forward, *backward; /* indexed by diagonal, from -(b count) - 1 to a count + 1 */
    int32_t most_cost;
} Search;

typedef struct Box {
    int32_t a0, a1, b0, b1;
} Box;

typedef struct Point {
    int32_t x, y;
} Point;

static int32_t step_forward(const Search *s, const Box *box, int32_t k) {
    int32_t right = s->forward[k - 1], down = s->forward[k + 1], x = LOST;
    if (right != LOST && right < box->a1)
        x = right + 1;
    if (down != LOST && down - k <= box->b1 && down > x)
        x = down;
    if (x == LOST)
        return LOST;
    while (x < box->a1 && x - k < box->b1 && s->a[x] == s->b[x - k])
        x++;
    return x;
}

static int32_t step_backward(const Search *s, const Box *box, int32_t k) {
    int32_t left = s->backward[k + 1], up = s->backward[k - 1], x = LOST;
    if (left != LOST && left > box->a0)
        x = left - 1;
    if (up != LOST && up - k >= box->b0 && (x == LOST || up < x))
        x = up;
    if (x == LOST)
        return LOST;
    while (x > box->a0 && x - k > box->b0 && s->a[x - 1] == s->b[x - k - 1])
        x--;
    return x;
}

/* The diagonals a search has opened: from low to high in steps of two, one wider each round, never outside
 * the box. */
typedef struct Reach {
    int32_t low, high;
} Reach;

static void reach_widen(Reach *reach, const Box *box, int32_t *furthest) {
    if (reach->low > box->a0 - box->b1)
        furthest[--reach->low - 1] = LOST;
    else
        reach->low++;
    if (reach->high < box->a1 - box->b0)
        furthest[++reach->high + 1] = LOST;
    else
        reach->high--;
}

/* The point furthest from its own corner, of either search. */
static Point furthest_point(const Search *s, const Box *box, Reach f, Reach b) {
    Point best = {box->a0, box->b0};
    int64_t most = -1;
    for (int32_t k = f.low; k <= f.high; k += 2) {
        int64_t gain = s->forward[k] == LOST ? -1 : 2 * (int64_t)s->forward[k] - k - box->a0 - box->b0;
        if (gain > most) {
            most = gain;
            best = (Point){s->forward[k], s->forward[k] - k};
        }
    }
    for (int32_t k = b.low; k <= b.high; k += 2) {
        int64_t gain =
            s->backward[k] == LOST ? -1 : (int64_t)box->a1 + box->b1 - 2 * (int64_t)s->backward[k] + k;
        if (gain > most) {
            most = gain;
            best = (Point){s->backward[k], s->backward[k] - k};
        }
    }
    return best;
}

/* A point that a cheap path through the box passes, neither of its corners: the box has two sides and no
 * common ends. */
static Point find_middle(const Search *s, const Box *box) {
    int32_t first = box->a0 - box->b0, last = box->a1 - box->b1;
    bool is_odd = (first - last) & 1;
    Reach f = {first, first}, b = {last, last};
    s->forward[first] = box->a0;
    s->backward[last] = box->a1;
    s->forward[first - 1] = s->forward[first + 1] = LOST;
    s->backward[last - 1] = s->backward[last + 1] = LOST;
    for (int32_t cost = 1;; cost++) {
        reach_widen(&f, box, s->forward);
        for (int32_t k = f.low; k <= f.high; k += 2) {
            int32_t x = s->forward[k] = step_forward(s, box, k);
            if (is_odd && x != LOST && k >= b.low && k <= b.high && s->backward[k] != LOST &&
                s->backward[k] <= x)
                return (Point){x, x - k};
        }
        reach_widen(&b, box, s->backward);
        for (int32_t k = b.low; k <= b.high; k += 2) {
            int32_t x = s->backward[k] = step_backward(s, box, k);
            if (!is_odd && x != LOST && k >= f.low && k <= f.high && s->forward[k] != LOST &&
                x <= s->forward[k])
                return (Point){x, x - k};
        }
        if (cost >= s->most_cost)
            return furthest_point(s, box, f, b);
    }
}

/* Recurses into the smaller part and goes on with the larger one, so the depth is logarithmic. */
static void solve(const Search *s, Box box) {
    for (;;) {
        while (box.a0 < box.a1 && box.b0 < box.b1 && s->a[box.a0] == s->b[box.b0])
            box.a0++, box.b0++;
        while (box.a0 < box.a1 && box.b0 < box.b1 && s->a[box.a1 - 1] == s->b[box.b1 - 1])
            box.a1--, box.b1--;
        if (box.a0 == box.a1 || box.b0 == box.b1)
            break;
        Point middle = find_middle(s, &box);
        Box before = {box.a0, middle.x, box.b0, middle.y}, after = {middle.x, box.a1, middle.y, box.b1};
        bool is_before_smaller =
            middle.x - box.a0 + middle.y - box.b0 < box.a1 - middle.x + box.b1 - middle.y;
        solve(s, is_before_smaller ? before : after);
        box = is_before_smaller ? after : before;
    }
    for (int32_t x = box.a0; x < box.a1; x++)
        s->a_changed[x] = 1;
    for (int32_t y = box.b0; y < box.b1; y++)
        s->b_changed[y] = 1;
}

/* The lines of `side` that the other side has too, and where they were. */
typedef struct Kept {
    uint32_t *names;
    size_t *places;
    size_t count;
    unsigned char *is_changed;
} Kept;

static Kept keep_shared(CompareSide *side, const unsigned char *is_in_other, Arena *scratch) {
    Kept kept = {.names = ARENA_ARRAY(scratch, uint32_t, side->count + 1),
                 .places = ARENA_ARRAY(scratch, size_t, side->count + 1),
                 .is_changed = ARENA_ARRAY(scratch, unsigned char, side->count + 1)};
    for (size_t i = 0; i < side->count; i++) {
        if (is_in_other[side->names[i]]) {
            kept.names[kept.count] = side->names[i];
            kept.places[kept.count++] = i;
        } else {
            side->is_changed[i] = 1;
        }
    }
    return kept;
}

static unsigned char *names_present(const CompareSide *side, uint32_t name_count, Arena *scratch) {
    unsigned char *present = ARENA_ARRAY(scratch, unsigned char, (size_t)name_count + 1);
    for (size_t i = 0; i < side->count; i++)
        present[side->names[i]] = 1;
    return present;
}

void compare_sides(CompareSide *a, CompareSide *b, uint32_t name_count) {
    Arena scratch = {0};
    Kept old = keep_shared(a, names_present(b, name_count, &scratch), &scratch);
    Kept new = keep_shared(b, names_present(a, name_count, &scratch), &scratch);
    size_t diagonals = old.count + new.count + 5;
    int32_t *furthest = ARENA_ARRAY(&scratch, int32_t, 2 * diagonals);
    Search search = {.a = old.names,
                     .b = new.names,
                     .a_changed = old.is_changed,
                     .b_changed = new.is_changed,
                     .forward = furthest + new.count + 2,
                     .backward = furthest + diagonals + new.count + 2,
                     .most_cost = MOST_COST};
    solve(&search, (Box){0, (int32_t)old.count, 0, (int32_t) new.count});
    for (size_t i = 0; i < old.count; i++)
        a->is_changed[old.places[i]] = old.is_changed[i];
    for (size_t i = 0; i < new.count; i++)
        b->is_changed[new.places[i]] = new.is_changed[i];
    arena_free(&scratch);
}
