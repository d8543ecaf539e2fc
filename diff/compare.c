/* The shortest edit script in linear space: E. W. Myers, "An O(ND) Difference Algorithm and Its Variations",
 * 1986, section 4b.
 *
 * Think of a grid, x along the old lines, y along the new ones. A step right deletes a line, a step down
 * inserts one, and where the lines are equal a diagonal step is free. Diagonal k holds the points with x - y
 * == k. Searching from both corners at once, forward[k] and backward[k] are the furthest x reached on
 * diagonal k with d paid steps; where the two meet lies the middle of a shortest path, and the boxes before
 * and after it are solved the same way.
 *
 * Three things keep odd inputs fast. Lines that the other side does not have at all are set aside first. A
 * box that a moderate search does not solve is cut at its anchors. Where there are none, the search may cost
 * what is left of the work allowed, shared out over the lines of the box, and then goes on from the furthest
 * points so far: still a right script, perhaps not the shortest.
 */
#include "diff/compare_internal.h"

enum { FIRST_COST = 256, LEAST_COST = 64, MOST_COST = 1 << 15 };
#define LOST INT32_MIN /* no path reaches this diagonal within the box */

typedef struct Search {
    const uint32_t *a, *b;                /* names */
    unsigned char *a_changed, *b_changed; /* bit IS_CHANGED */
    int32_t *forward, *backward; /* by diagonal, from the one of the box's own corner; MOST_COST wide */
    int32_t most_cost;
    uint64_t work, most_work;
    AnchorTable anchors;
    size_t name_count;
    Arena *scratch;
} Search;

enum { IS_ALONE = 1, IS_CHANGED = 2 };

typedef struct Box {
    ComparePoint from, to;
} Box;

static int32_t box_size(Box box) {
    return box.to.x - box.from.x + (box.to.y - box.from.y);
}

/* ---- the search from both corners ---- */

/* One search: the diagonals it has opened, from low to high in steps of two, one wider each round, never
 * outside the box; counted from the diagonal of its own corner. */
typedef struct Reach {
    int32_t *furthest;
    int32_t corner; /* the diagonal it starts on */
    int32_t low, high;
} Reach;

static Reach reach_start(int32_t *furthest, ComparePoint corner) {
    furthest[0] = corner.x;
    furthest[-1] = furthest[1] = LOST;
    return (Reach){furthest, corner.x - corner.y, 0, 0};
}

static void reach_widen(Reach *reach, const Box *box) {
    if (reach->corner + reach->low > box->from.x - box->to.y)
        reach->furthest[--reach->low - 1] = LOST;
    else
        reach->low++;
    if (reach->corner + reach->high < box->to.x - box->from.y)
        reach->furthest[++reach->high + 1] = LOST;
    else
        reach->high--;
}

/* What a search has reached on diagonal k, or LOST. */
static int32_t reach_at(const Reach *reach, int32_t k) {
    int32_t i = k - reach->corner;
    return i >= reach->low && i <= reach->high ? reach->furthest[i] : LOST;
}

static int32_t step_forward(Search *s, const Box *box, const Reach *reach, int32_t i) {
    int32_t k = reach->corner + i, right = reach->furthest[i - 1], down = reach->furthest[i + 1], x = LOST;
    if (right != LOST && right < box->to.x)
        x = right + 1;
    if (down != LOST && down - k <= box->to.y && down > x)
        x = down;
    if (x == LOST)
        return LOST;
    int32_t start = x, end = box->to.y + k < box->to.x ? box->to.y + k : box->to.x;
    while (x < end && s->a[x] == s->b[x - k])
        x++;
    s->work += (uint64_t)(x - start);
    return x;
}

static int32_t step_backward(Search *s, const Box *box, const Reach *reach, int32_t i) {
    int32_t k = reach->corner + i, left = reach->furthest[i + 1], up = reach->furthest[i - 1], x = LOST;
    if (left != LOST && left > box->from.x)
        x = left - 1;
    if (up != LOST && up - k >= box->from.y && (x == LOST || up < x))
        x = up;
    if (x == LOST)
        return LOST;
    int32_t start = x, end = box->from.y + k > box->from.x ? box->from.y + k : box->from.x;
    while (x > end && s->a[x - 1] == s->b[x - k - 1])
        x--;
    s->work += (uint64_t)(start - x);
    return x;
}

/* The point furthest from the search's own corner. */
static ComparePoint furthest_point(const Reach *reach, bool is_forward) {
    ComparePoint best = {0};
    int64_t most = INT64_MIN;
    for (int32_t i = reach->low; i <= reach->high; i += 2) {
        int32_t x = reach->furthest[i], k = reach->corner + i;
        if (x == LOST)
            continue;
        int64_t sum = 2 * (int64_t)x - k, gain = is_forward ? sum : -sum;
        if (gain > most) {
            most = gain;
            best = (ComparePoint){x, x - k};
        }
    }
    return best;
}

/* Two points, the first not beyond the second, that a cheap path through the box passes: the same one twice,
 * on a shortest path, when at most `cost` steps from each corner meet. A box has two sides and no common
 * ends. False: not met. */
static bool find_middle(Search *s, const Box *box, int32_t most_cost, ComparePoint middle[2]) {
    Reach f = reach_start(s->forward, box->from), b = reach_start(s->backward, box->to);
    bool is_odd = (f.corner - b.corner) & 1;
    for (int32_t cost = 1; cost <= most_cost; cost++) {
        reach_widen(&f, box);
        for (int32_t i = f.high; i >= f.low; i -= 2) {
            int32_t x = f.furthest[i] = step_forward(s, box, &f, i), k = f.corner + i;
            if (is_odd && x != LOST && reach_at(&b, k) != LOST && reach_at(&b, k) <= x) {
                middle[0] = middle[1] = (ComparePoint){x, x - k};
                return true;
            }
        }
        reach_widen(&b, box);
        for (int32_t i = b.high; i >= b.low; i -= 2) {
            int32_t x = b.furthest[i] = step_backward(s, box, &b, i), k = b.corner + i;
            if (!is_odd && x != LOST && x <= reach_at(&f, k)) {
                middle[0] = middle[1] = (ComparePoint){x, x - k};
                return true;
            }
        }
        s->work += (uint64_t)((f.high - f.low) / 2 + (b.high - b.low) / 2 + 2);
    }
    middle[0] = furthest_point(&f, true);
    middle[1] = furthest_point(&b, false);
    if (middle[0].x > middle[1].x || middle[0].y > middle[1].y)
        middle[1] = middle[0];
    return false;
}

/* ---- boxes ---- */

static void trim_box(const Search *s, Box *box) {
    while (box->from.x < box->to.x && box->from.y < box->to.y && s->a[box->from.x] == s->b[box->from.y])
        box->from.x++, box->from.y++;
    while (box->from.x < box->to.x && box->from.y < box->to.y && s->a[box->to.x - 1] == s->b[box->to.y - 1])
        box->to.x--, box->to.y--;
}

static void mark_box(const Search *s, const Box *box) {
    for (int32_t x = box->from.x; x < box->to.x; x++)
        s->a_changed[x] |= IS_CHANGED;
    for (int32_t y = box->from.y; y < box->to.y; y++)
        s->b_changed[y] |= IS_CHANGED;
}

static void solve(Search *s, Box box, int32_t uncut);

/* False: the box has no anchors. */
static bool solve_between_anchors(Search *s, const Box *box, int32_t uncut) {
    if (!s->anchors.seen)
        s->anchors = (AnchorTable){ARENA_ARRAY(s->scratch, unsigned char, s->name_count),
                                   ARENA_ARRAY(s->scratch, uint32_t, s->name_count)};
    Arena arena = {0};
    size_t count;
    s->work += (uint64_t)box_size(*box);
    ComparePoint *anchors = find_anchors(&s->anchors, s->a, s->b, box->from, box->to, &arena, &count);
    ComparePoint from = box->from;
    for (size_t i = 0; i < count; i++) {
        solve(s, (Box){from, anchors[i]}, uncut);
        from = (ComparePoint){anchors[i].x + 1, anchors[i].y + 1};
    }
    if (count)
        solve(s, (Box){from, box->to}, uncut);
    arena_free(&arena);
    return count > 0;
}

/* What the search of this box may cost, so that all of them together stay within the work allowed. */
static int32_t cost_allowed(const Search *s, const Box *box) {
    uint64_t left = s->most_work > s->work ? s->most_work - s->work : 0;
    uint64_t share = left / (uint64_t)box_size(*box);
    int32_t most = share < (uint64_t)s->most_cost ? (int32_t)share : s->most_cost;
    return most < LEAST_COST ? LEAST_COST : most;
}

/* What is tried before anchors, which may miss the shortest script: about 512 steps a line at most. */
static int32_t first_cost(const Box *box, int32_t most) {
    int32_t cost = FIRST_COST;
    while (cost < most && (int64_t)cost * cost < 256 * (int64_t)box_size(*box))
        cost += cost / 4;
    return cost < most ? cost : most;
}

/* Recurses into all parts but the largest and goes on with that one, so the depth is logarithmic. uncut:
 * boxes up to this size have not been searched for anchors; it halves each time, so that all searches
 * together are linear but for a logarithm. */
static void solve(Search *s, Box box, int32_t uncut) {
    for (;;) {
        trim_box(s, &box);
        if (box.from.x == box.to.x || box.from.y == box.to.y)
            break;
        ComparePoint middle[2];
        int32_t most = cost_allowed(s, &box), first = first_cost(&box, most);
        bool is_met = find_middle(s, &box, first, middle);
        if (!is_met && box_size(box) <= uncut) {
            uncut = box_size(box) / 2;
            if (solve_between_anchors(s, &box, uncut))
                return;
        }
        if (!is_met && most > first)
            find_middle(s, &box, most, middle);
        Box parts[3] = {{box.from, middle[0]}, {middle[0], middle[1]}, {middle[1], box.to}};
        int largest = 0;
        for (int i = 1; i < 3; i++)
            if (box_size(parts[i]) > box_size(parts[largest]))
                largest = i;
        for (int i = 0; i < 3; i++)
            if (i != largest)
                solve(s, parts[i], uncut);
        box = parts[largest];
    }
    mark_box(s, &box);
}

/* ---- sides ---- */

/* Leaves only the names that the other side has too. The flags of what was left out stay at their old
 * places, those of what was kept are set at the new ones: different bits of the same bytes. */
static int32_t set_aside(CompareSide *side) {
    int32_t kept = 0;
    for (size_t i = 0; i < side->count; i++) {
        side->is_changed[i] = side->names[i] == NAME_NONE ? IS_ALONE : 0;
        if (side->names[i] != NAME_NONE)
            side->names[kept++] = side->names[i];
    }
    return kept;
}

/* Backwards, because what was kept never stands after its old place. */
static void put_back(CompareSide *side, int32_t kept) {
    for (size_t i = side->count; i-- > 0;)
        side->is_changed[i] = side->is_changed[i] & IS_ALONE || side->is_changed[--kept] & IS_CHANGED;
}

uint64_t compare_sides(CompareSide *a, CompareSide *b, size_t name_count) {
    Arena scratch = {0};
    uint64_t lines = a->count + b->count;
    /* Half of the bound is shared out; the other is for what the last searches take beyond their share. */
    Search search = {.a = a->names,
                     .b = b->names,
                     .a_changed = a->is_changed,
                     .b_changed = b->is_changed,
                     .name_count = name_count,
                     .most_work = COMPARE_WORK_FREE + COMPARE_WORK_LINE / 2 * lines,
                     .most_cost = lines < MOST_COST ? (int32_t)lines + 1 : MOST_COST,
                     .scratch = &scratch};
    int32_t width = 2 * search.most_cost + 5;
    int32_t *furthest = ARENA_ARRAY(&scratch, int32_t, 2 * (size_t)width);
    search.forward = furthest + width / 2;
    search.backward = search.forward + width;
    Box all = {{0, 0}, {set_aside(a), set_aside(b)}};
    solve(&search, all, INT32_MAX);
    put_back(a, all.to.x);
    put_back(b, all.to.y);
    arena_free(&scratch);
    return search.work;
}
