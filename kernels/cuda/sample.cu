/* Pick: one token out of a row of logits without sorting it: mask, top-k, top-p, min-p, temperature, draw.
 *
 * Every allowed logit above -infinity is a 64-bit rank: the float's bits, ordered as the floats are, above
 * the complement of the id. Ranks differ from one another, and "the largest logit, the lowest id among
 * equals" is the largest rank; what a filter keeps is always the tokens from some rank on. So each filter is
 * one search for a rank: top-k the largest rank from which on there are k tokens, top-p the largest from
 * which on the probabilities reach p of the whole, min-p the rank of a logit. Probabilities are integers,
 * e^(logit - best) in units of 2^-40: their sums are exact in any order, so the same logits give the same
 * token always.
 *
 * Two launches. pick_groups: one warp per group of 256 ids writes the group's largest rank: 600 KB of logits
 * for 150,000 tokens, read by 147 blocks: 0.13 us at 4.8 TB/s, some 3 us with the launch. pick_finish: one
 * block; the largest of 590 ranks is the greedy answer. A search looks only into groups whose largest rank is
 * not below the bound it tries; it walks down from the best in steps of 1, 2, 4, ... in the logit until the
 * bound is low enough, copies the ranks in question to shared memory and halves the interval there. A few
 * hundred candidates: 5 walks of 1 us, 2 * 30 halvings of 0.15 us: about 15 us. A flat distribution that
 * keeps most of the vocabulary reads all logits, 600 KB by one block (10 us), for each of up to 60 bounds.
 *
 * Twin: sampler_pick of engine/sample.c, up to: e^x in floats there in doubles (2e-7 of a probability), and
 * the draw walks through the kept tokens by id.
 */
#include "kernels/cuda/elements_internal.cuh"

enum {
    GROUP = 256,
    LANE_ITEMS = GROUP / 32,
    GROUP_WARPS = 4,
    MOST_GROUPS = 4096,
    MOST_WARPS = 32,
    LIST = 2048
};

typedef unsigned long long Rank;

DEVICE uint32_t key_of(float logit) {
    uint32_t bits = bits_from_float(logit == 0.0f ? 0.0f : logit); /* -0 is 0 */
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
DEVICE float logit_of(uint32_t key) {
    return float_from_bits(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key);
}
DEVICE Rank rank_of(float logit, int64_t id) {
    return (Rank)key_of(logit) << 32 | (uint32_t) ~(uint32_t)id;
}
DEVICE uint32_t key_of_rank(Rank rank) {
    return (uint32_t)(rank >> 32);
}
DEVICE int32_t id_of_rank(Rank rank) {
    return (int32_t) ~(uint32_t)rank;
}
/* Every finite logit is above. */
static const Rank LOWEST = (Rank)0x00800000u << 32;

DEVICE Rank shuffle_rank(Rank value, int mask) {
    uint32_t low = shuffle_xor((uint32_t)value, mask), high = shuffle_xor((uint32_t)(value >> 32), mask);
    return (Rank)high << 32 | low;
}
DEVICE Rank warp_max_rank(Rank value) {
    UNROLL for (int step = 16; step > 0; step /= 2) {
        Rank other = shuffle_rank(value, step);
        value = other > value ? other : value;
    }
    return value;
}
DEVICE unsigned long long warp_sum_long(unsigned long long value) {
    UNROLL for (int step = 16; step > 0; step /= 2) value += shuffle_rank(value, step);
    return value;
}

/* The ranks of LANE_ITEMS ids from `first`, 32 apart; 0 for what may not be chosen. */
DEVICE void load_ranks(Rank out[LANE_ITEMS], const PickArgs &args, int64_t first) {
    float logits[LANE_ITEMS];
    UNROLL for (int j = 0; j < LANE_ITEMS; j++) {
        int64_t id = first + 32 * j;
        logits[j] = id < args.count ? args.logits[id] : -INFINITY;
    }
    UNROLL for (int j = 0; j < LANE_ITEMS; j++) {
        int64_t id = first + 32 * j;
        bool allowed = logits[j] > -INFINITY;
        if (allowed && args.mask)
            allowed = args.mask[id / 64] >> (id % 64) & 1;
        out[j] = allowed ? rank_of(logits[j], id) : 0;
    }
}

typedef struct GroupsArgs {
    PickArgs pick;
    int groups, chunks; /* a group is `chunks` times GROUP ids */
} GroupsArgs;

static __global__ void pick_groups(const GroupsArgs args) {
    int group = (int)blockIdx.x * GROUP_WARPS + warp_id();
    if (group >= args.groups)
        return;
    Rank best = 0;
    for (int c = 0; c < args.chunks; c++) {
        Rank ranks[LANE_ITEMS];
        load_ranks(ranks, args.pick, ((int64_t)group * args.chunks + c) * GROUP + lane_id());
        UNROLL for (int j = 0; j < LANE_ITEMS; j++) best = ranks[j] > best ? ranks[j] : best;
    }
    best = warp_max_rank(best);
    if (lane_id() == 0)
        ((Rank *)args.pick.scratch)[group] = best;
}

/* ---- the block that finishes ---- */

typedef struct Sums {
    unsigned long long count,
        weight; /* tokens, and their probabilities in units of 2^-40 of the best one's */
} Sums;

typedef struct Shared {
    Rank list[LIST]; /* ranks in question, in no order */
    Sums partial[2][MOST_WARPS];
    int list_count;
    int winner;                /* group of the drawn token */
    unsigned long long before; /* weights of the groups in front of it */
    Rank best_of[MOST_GROUPS]; /* per group; only as many as there are */
} Shared;

/* What every thread of the block knows. */
typedef struct Block {
    const GroupsArgs *args;
    Shared *shared;
    Rank best;
    float best_logit;
    int turn; /* which of the two partial arrays is next: one barrier per sum is enough */
} Block;

/* e^((logit - best) / temperature) */
DEVICE unsigned long long weight_of(float logit, float best, float temperature) {
    if (logit == best)
        return 1ull << 40;
    return (unsigned long long)(expf((logit - best) / temperature) * 1099511627776.0f);
}

/* The sums of all threads, in every thread. */
DEVICE Sums block_sums(Block *block, Sums mine) {
    Sums *partial = block->shared->partial[block->turn];
    int warps = (int)blockDim.x / 32;
    block->turn ^= 1;
    mine.count = warp_sum_long(mine.count);
    mine.weight = warp_sum_long(mine.weight);
    if (lane_id() == 0)
        partial[warp_id()] = mine;
    block_sync();
    Sums total = {0, 0};
    for (int w = 0; w < warps; w++) {
        total.count += partial[w].count;
        total.weight += partial[w].weight;
    }
    return total;
}

/* Over all tokens from rank `from` on. */
DEVICE Sums sums_from(Block *block, Rank from) {
    const GroupsArgs &args = *block->args;
    Sums mine = {0, 0};
    for (int g = warp_id(); g < args.groups; g += (int)blockDim.x / 32) {
        if (block->shared->best_of[g] < from)
            continue;
        for (int c = 0; c < args.chunks; c++) {
            Rank ranks[LANE_ITEMS];
            load_ranks(ranks, args.pick, ((int64_t)g * args.chunks + c) * GROUP + lane_id());
            UNROLL for (int j = 0; j < LANE_ITEMS; j++) {
                if (ranks[j] >= from) {
                    mine.count++;
                    mine.weight += weight_of(logit_of(key_of_rank(ranks[j])), block->best_logit, 1.0f);
                }
            }
        }
    }
    return block_sums(block, mine);
}

/* The ranks in [low, high) to the list. */
DEVICE void fill_list(Block *block, Rank low, Rank high) {
    const GroupsArgs &args = *block->args;
    Shared *shared = block->shared;
    if (threadIdx.x == 0)
        shared->list_count = 0;
    block_sync();
    for (int g = warp_id(); g < args.groups; g += (int)blockDim.x / 32) {
        if (shared->best_of[g] < low)
            continue;
        for (int c = 0; c < args.chunks; c++) {
            Rank ranks[LANE_ITEMS];
            load_ranks(ranks, args.pick, ((int64_t)g * args.chunks + c) * GROUP + lane_id());
            UNROLL for (int j = 0; j < LANE_ITEMS; j++) {
                if (ranks[j] >= low && ranks[j] < high)
                    shared->list[atomic_add(&shared->list_count, 1)] = ranks[j];
            }
        }
    }
    block_sync();
}

DEVICE Sums sums_of_list(Block *block, Rank from) {
    const Shared *shared = block->shared;
    Sums mine = {0, 0};
    for (int i = (int)threadIdx.x; i < shared->list_count; i += (int)blockDim.x) {
        Rank rank = shared->list[i];
        if (rank >= from) {
            mine.count++;
            mine.weight += weight_of(logit_of(key_of_rank(rank)), block->best_logit, 1.0f);
        }
    }
    return block_sums(block, mine);
}

typedef struct Kept {
    Rank from;
    Sums sums;
} Kept;

DEVICE bool reaches(Sums sums, unsigned long long count, unsigned long long weight) {
    return sums.count >= count && sums.weight >= weight;
}

/* The largest bound, not below least.from, from which on there are `count` tokens and `weight`; `least`
 * itself when there is none. known: least.sums are. */
DEVICE Kept search(Block *block, Kept least, bool known, unsigned long long count,
                   unsigned long long weight) {
    Kept high = {block->best + 1, {0, 0}}, low = least;
    bool found = false;
    for (float step = 1; step <= 128 && !found; step *= 2) {
        Rank from = (Rank)key_of(block->best_logit - step) << 32;
        if (from <= least.from || from >= high.from)
            continue;
        low.from = from;
        low.sums = sums_from(block, from);
        found = reaches(low.sums, count, weight);
        if (!found)
            high = low;
    }
    if (!found) {
        low = least;
        if (!known)
            low.sums = sums_from(block, least.from);
        if (!reaches(low.sums, count, weight))
            return low;
    }
    bool listed = low.sums.count - high.sums.count <= LIST;
    Sums above = high.sums;
    if (listed)
        fill_list(block, low.from, high.from);
    while (low.sums.count - high.sums.count > 1) {
        Kept middle = {low.from + (high.from - low.from) / 2, {0, 0}};
        middle.sums = listed ? sums_of_list(block, middle.from) : sums_from(block, middle.from);
        if (listed) {
            middle.sums.count += above.count;
            middle.sums.weight += above.weight;
        }
        if (reaches(middle.sums, count, weight))
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The bound of min-p: logits below best + ln(min_p) go. */
DEVICE Rank least_rank(float best_logit, float min_p) {
    double least = (double)best_logit + log((double)min_p);
    float rounded = (float)least;
    return (Rank)(key_of(rounded) + ((double)rounded < least ? 1u : 0u)) << 32;
}

/* Weights of this lane's ids of a chunk, 32 apart, at the temperature; 0 where not kept. */
DEVICE void load_weights(unsigned long long out[LANE_ITEMS], const Block *block, int64_t first, Rank from) {
    Rank ranks[LANE_ITEMS];
    load_ranks(ranks, block->args->pick, first);
    UNROLL for (int j = 0; j < LANE_ITEMS; j++) out[j] =
        ranks[j] && ranks[j] >= from
            ? weight_of(logit_of(key_of_rank(ranks[j])), block->best_logit, block->args->pick.temperature)
            : 0;
}

/* Inclusive sums over the lanes. */
DEVICE unsigned long long scan_lanes(unsigned long long value) {
    UNROLL for (int by = 1; by < 32; by *= 2) {
        uint32_t low = (uint32_t)shuffle_up((int)(uint32_t)value, by);
        uint32_t high = (uint32_t)shuffle_up((int)(uint32_t)(value >> 32), by);
        if (lane_id() >= by)
            value += (unsigned long long)high << 32 | low;
    }
    return value;
}

DEVICE unsigned long long last_lane(unsigned long long value) {
    uint32_t low = (uint32_t)shuffle((int)(uint32_t)value, 31);
    uint32_t high = (uint32_t)shuffle((int)(uint32_t)(value >> 32), 31);
    return (unsigned long long)high << 32 | low;
}

/* One warp: the first lane, over items 32 at a time, where the sum passes `at`. */
DEVICE bool find_lane(unsigned long long value, unsigned long long *before, unsigned long long at,
                      int *lane) {
    unsigned long long sum = *before + scan_lanes(value);
    uint32_t passed = warp_ballot(sum > at);
    if (!passed) {
        *before = last_lane(sum);
        return false;
    }
    *lane = 0;
    while (!(passed >> *lane & 1))
        ++*lane;
    unsigned long long without = sum - value;
    uint32_t low = (uint32_t)shuffle((int)(uint32_t)without, *lane);
    uint32_t high = (uint32_t)shuffle((int)(uint32_t)(without >> 32), *lane);
    *before = (unsigned long long)high << 32 | low;
    return true;
}

/* The group where the draw falls, by the warp that calls; sums: one per group. */
DEVICE void find_group(Block *block, const unsigned long long *sums, unsigned long long at) {
    int groups = block->args->groups, lane = 0;
    unsigned long long before = 0;
    for (int first = 0; first < groups; first += 32) {
        int g = first + lane_id();
        if (find_lane(g < groups ? sums[g] : 0, &before, at, &lane)) {
            if (lane_id() == 0) {
                block->shared->winner = first + lane;
                block->shared->before = before;
            }
            return;
        }
    }
}

/* The token where the draw falls inside the winning group, by the warp that calls. */
DEVICE void find_token(Block *block, Rank from, unsigned long long at) {
    const GroupsArgs &args = *block->args;
    unsigned long long before = block->shared->before;
    int lane = 0;
    for (int c = 0; c < args.chunks; c++) {
        int64_t first = ((int64_t)block->shared->winner * args.chunks + c) * GROUP;
        unsigned long long weights[LANE_ITEMS];
        load_weights(weights, block, first + lane_id(), from);
        for (int j = 0; j < LANE_ITEMS; j++) {
            unsigned long long weight = 0;
            UNROLL for (int k = 0; k < LANE_ITEMS; k++) weight = k == j ? weights[k] : weight;
            if (find_lane(weight, &before, at, &lane)) {
                if (lane_id() == 0)
                    *args.pick.id = (int32_t)(first + 32 * j + lane);
                return;
            }
        }
    }
}

/* Draws among the tokens from `from` on, by id. The ranks of the groups give way to their weights. */
DEVICE void draw(Block *block, Rank from) {
    const GroupsArgs &args = *block->args;
    Shared *shared = block->shared;
    unsigned long long *sums = shared->best_of;
    Sums mine = {0, 0};
    for (int g = warp_id(); g < args.groups; g += (int)blockDim.x / 32) {
        unsigned long long sum = 0;
        if (shared->best_of[g] >= from) {
            for (int c = 0; c < args.chunks; c++) {
                unsigned long long weights[LANE_ITEMS];
                load_weights(weights, block, ((int64_t)g * args.chunks + c) * GROUP + lane_id(), from);
                UNROLL for (int j = 0; j < LANE_ITEMS; j++) sum += weights[j];
            }
            sum = warp_sum_long(sum);
        }
        warp_sync();
        if (lane_id() == 0) {
            sums[g] = sum;
            mine.weight += sum;
        }
    }
    Sums total = block_sums(block, mine);
    unsigned long long at = (unsigned long long)(*args.pick.random * (double)total.weight);
    at = at < total.weight ? at : total.weight - 1;
    if (warp_id() != 0)
        return;
    find_group(block, sums, at);
    warp_sync();
    find_token(block, from, at);
}

/* The bound that top-k, top-p and min-p leave. */
DEVICE Rank filter(Block *block) {
    const PickArgs &pick = block->args->pick;
    Kept kept = {LOWEST, {0, 0}};
    bool known = false, limited = pick.top_p > 0 && pick.top_p < 1;
    if (pick.top_k > 0) {
        kept = search(block, kept, false, (unsigned long long)pick.top_k, 0);
        known = true;
    }
    if (limited) {
        if (!known)
            kept.sums = sums_from(block, kept.from);
        double target = ceil((double)pick.top_p * (double)kept.sums.weight);
        kept = search(block, kept, true, 1, (unsigned long long)target);
    }
    if (pick.min_p > 0) {
        Rank least = least_rank(block->best_logit, pick.min_p);
        kept.from = least > kept.from ? least : kept.from;
        kept.from = kept.from > block->best ? block->best : kept.from;
    }
    return kept.from;
}

static __global__ void __launch_bounds__(1024) pick_finish(const GroupsArgs args) {
    Shared *shared = (Shared *)block_shared();
    const Rank *best_of = (const Rank *)args.pick.scratch;
    Block block = {&args, shared, 0, 0.0f, 0};
    Rank best = 0;
    for (int g = (int)threadIdx.x; g < args.groups; g += (int)blockDim.x) {
        shared->best_of[g] = best_of[g];
        best = best_of[g] > best ? best_of[g] : best;
    }
    best = warp_max_rank(best);
    Sums *partial = shared->partial[0];
    block.turn = 1;
    if (lane_id() == 0)
        partial[warp_id()].count = best;
    block_sync();
    for (int w = 0; w < (int)blockDim.x / 32; w++)
        block.best = partial[w].count > block.best ? partial[w].count : block.best;
    bool is_greedy = args.pick.temperature == 0.0f || args.pick.top_k == 1;
    if (block.best == 0 || is_greedy) {
        if (threadIdx.x == 0)
            *args.pick.id = block.best ? id_of_rank(block.best) : -1;
        return;
    }
    block.best_logit = logit_of(key_of_rank(block.best));
    draw(&block, filter(&block));
}

/* ---- launches ---- */

static void plan_groups(int64_t count, int *groups, int *chunks) {
    int64_t all = (count + GROUP - 1) / GROUP;
    *chunks = (int)((all + MOST_GROUPS - 1) / MOST_GROUPS);
    *groups = (int)((all + *chunks - 1) / *chunks);
}

extern "C" size_t cuda_pick_scratch_bytes(int64_t count) {
    int groups = 0, chunks = 0;
    if (count <= 0)
        return 0;
    plan_groups(count, &groups, &chunks);
    return (size_t)groups * sizeof(Rank);
}

/* Fewer tokens than 2^24, so that no sum passes 64 bits. */
extern "C" bool cuda_pick(CudaQueue *queue, const PickArgs *pick) {
    GroupsArgs args = {*pick, 0, 0};
    if (pick->count <= 0 || pick->count >= 1 << 24)
        return false;
    plan_groups(pick->count, &args.groups, &args.chunks);
    int warps = args.groups < MOST_WARPS ? args.groups : MOST_WARPS;
    Extent grid = {(unsigned)((args.groups + GROUP_WARPS - 1) / GROUP_WARPS), 1, 1}, one = {1, 1, 1};
    Extent block = {32 * GROUP_WARPS, 1, 1}, finish = {(unsigned)(32 * warps), 1, 1};
    LAUNCH(queue, grid, block, 0, args, pick_groups);
    size_t shared = offsetof(Shared, best_of) + (size_t)args.groups * sizeof(Rank);
    LAUNCH(queue, one, finish, shared, args, pick_finish);
    return true;
}
