#include "diff/tree.h"

#include <stdlib.h>
#include <string.h>

#include "diff/rename_internal.h"

#define NO_ENTRY SIZE_MAX
/* Beyond so many bytes of candidates only equal files are found to be renamed. */
#define SIMILAR_FILE_MAX ((size_t)16 << 20)
#define SIMILAR_TOTAL_MAX ((size_t)256 << 20)

enum { MODE_KIND = 0170000, MODE_FILE = 0100000, NAMES_SEEN = 64 };

typedef struct TreeChange {
    size_t old, new; /* entries, or NO_ENTRY */
    bool is_copied;
    bool is_dropped; /* both sides are equal, or another change tells of this path */
} TreeChange;

/* While renames are looked for: the texts that new files may come from. */
typedef struct Sources {
    size_t *changes; /* indices of diff->changes */
    size_t count;
    bool is_used_up;
} Sources;

bool tree_load_text(void *ctx, size_t index, Buf *room, Str *text, Err *err) {
    (void)room;
    (void)err;
    *text = ((const Str *)ctx)[index];
    return true;
}

static bool load(const TreeSide *side, size_t index, Buf *room, Str *text, Err *err) {
    *text = S("");
    buf_clear(room);
    if (index == NO_ENTRY)
        return true;
    if (!side->load(side->ctx, index, room, text, err))
        return false;
    if (room->failed)
        return err_set(err, ERR_NO_MEMORY, "%.*s does not fit into memory",
                       STR_ARG(str_slice(side->entries[index].path, 0, 200)));
    return true;
}

/* ---- entries of one path ---- */

static bool check_order(const TreeSide *side, Err *err) {
    for (size_t i = 1; i < side->count; i++)
        if (str_cmp(side->entries[i - 1].path, side->entries[i].path) >= 0)
            return err_set(err, ERR_INVALID, "the files to compare are not in order at %.*s",
                           STR_ARG(str_slice(side->entries[i].path, 0, 200)));
    return true;
}

static void pair_paths(TreeDiff *diff) {
    const TreeSide *a = diff->before, *b = diff->after;
    diff->changes = ARENA_ARRAY(&diff->arena, TreeChange, a->count + b->count);
    for (size_t x = 0, y = 0; x < a->count || y < b->count;) {
        int order = x == a->count ? 1 : y == b->count ? -1 : str_cmp(a->entries[x].path, b->entries[y].path);
        TreeChange change = {order <= 0 ? x++ : NO_ENTRY, order >= 0 ? y++ : NO_ENTRY, false, false};
        diff->changes[diff->count++] = change;
    }
}

/* ---- renames and copies ---- */

static bool can_move(const TreeEntry *entry) {
    return (entry->mode & MODE_KIND) == MODE_FILE && entry->size > 0;
}

static bool is_new(const TreeDiff *diff, const TreeChange *change) {
    return change->old == NO_ENTRY && can_move(&diff->after->entries[change->new]);
}

static const TreeEntry *old_entry(const TreeDiff *diff, const TreeChange *change) {
    return &diff->before->entries[change->old];
}

/* A source by its text. The first of several equal ones knows how many of them are taken. */
typedef struct HashedFile {
    size_t size, change, taken;
    uint64_t hash;
} HashedFile;

static int by_text(const void *a, const void *b) {
    const HashedFile *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->change < y->change ? -1 : x->change > y->change;
}

/* The first of the sorted files that does not come before `wanted`. */
static size_t find_text(const HashedFile *files, size_t count, const HashedFile *wanted) {
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (by_text(&files[middle], wanted) < 0)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

static void take_source(TreeDiff *diff, const Sources *sources, size_t source, size_t target) {
    diff->changes[target].old = diff->changes[source].old;
    diff->changes[target].is_copied = !sources->is_used_up;
    if (sources->is_used_up)
        diff->changes[source].is_dropped = true; /* the rename tells of its path */
}

static bool hash_file(TreeDiff *diff, const TreeSide *side, size_t entry, HashedFile *file, Err *err) {
    Str text;
    if (!load(side, entry, &diff->old_text, &text, err))
        return false;
    file->hash = str_hash(text);
    return true;
}

/* Of the equal sources at files[first], one with the target's file name if it is among the next few. */
static void take_equal(TreeDiff *diff, const Sources *sources, HashedFile *files, size_t first, size_t end,
                       size_t target) {
    Str name = file_name(diff->after->entries[diff->changes[target].new].path);
    size_t best = STR_NONE;
    while (first + files[first].taken < end &&
           diff->changes[files[first + files[first].taken].change].is_dropped)
        files[first].taken++;
    for (size_t i = first + files[first].taken, seen = 0; i < end && seen < NAMES_SEEN; i++, seen++) {
        const TreeChange *source = &diff->changes[files[i].change];
        bool is_namesake = str_eq(file_name(old_entry(diff, source)->path), name);
        if (source->is_dropped || (best != STR_NONE && !is_namesake))
            continue;
        best = files[i].change;
        if (is_namesake)
            break;
    }
    if (best != STR_NONE)
        take_source(diff, sources, best, target);
}

/* The sources and, behind them, the targets, ordered by size. */
static HashedFile *list_sizes(TreeDiff *diff, const Sources *sources, size_t *targets, Arena *arena) {
    HashedFile *files = ARENA_ARRAY(arena, HashedFile, sources->count + diff->count + 1);
    size_t count = 0;
    for (; count < sources->count; count++) {
        files[count].change = sources->changes[count];
        files[count].size = old_entry(diff, &diff->changes[files[count].change])->size;
    }
    for (size_t i = 0; i < diff->count; i++)
        if (is_new(diff, &diff->changes[i]))
            files[count++] =
                (HashedFile){.size = diff->after->entries[diff->changes[i].new].size, .change = i};
    *targets = count - sources->count;
    qsort(files, sources->count, sizeof *files, by_text);
    qsort(files + sources->count, *targets, sizeof *files, by_text);
    return files;
}

/* New files whose whole text is that of a source; only files of equal size are read. */
static bool match_equal(TreeDiff *diff, const Sources *sources, Err *err) {
    Arena scratch = {0};
    size_t target_count;
    HashedFile *from = list_sizes(diff, sources, &target_count, &scratch), *to = from + sources->count;
    bool ok = true;
    for (size_t x = 0, y = 0; ok && x < sources->count; x++) { /* sources of a target's size */
        while (y < target_count && to[y].size < from[x].size)
            y++;
        if (y < target_count && to[y].size == from[x].size)
            ok = hash_file(diff, diff->before, diff->changes[from[x].change].old, &from[x], err);
    }
    qsort(from, sources->count, sizeof *from, by_text);
    for (size_t i = 0; ok && i < target_count; i++) {
        HashedFile wanted = {.size = to[i].size};
        size_t first = find_text(from, sources->count, &wanted);
        if (first == sources->count || from[first].size != wanted.size)
            continue;
        ok = hash_file(diff, diff->after, diff->changes[to[i].change].new, &wanted, err);
        first = find_text(from, sources->count, &wanted);
        wanted.change = SIZE_MAX;
        size_t end = find_text(from, sources->count, &wanted);
        if (ok && first < end)
            take_equal(diff, sources, from, first, end, to[i].change);
    }
    arena_free(&scratch);
    return ok;
}

static bool load_pieces(TreeDiff *diff, const TreeSide *side, size_t entry, Pieces *out, Arena *arena,
                        Err *err) {
    Str text;
    if (!load(side, entry, &diff->old_text, &text, err))
        return false;
    *out = pieces_of(text, arena);
    return true;
}

/* What is left of sources and targets, as candidates for rename_match. */
typedef struct Candidates {
    RenameSource *sources;
    RenameTarget *targets;
    size_t *source_changes, *target_changes;
    size_t source_count, target_count;
    size_t bytes;
    Arena arena;
} Candidates;

static void choose_candidates(const TreeDiff *diff, const Sources *sources, Candidates *c) {
    c->sources = ARENA_ARRAY(&c->arena, RenameSource, sources->count + 1);
    c->source_changes = ARENA_ARRAY(&c->arena, size_t, sources->count + 1);
    c->targets = ARENA_ARRAY(&c->arena, RenameTarget, diff->count + 1);
    c->target_changes = ARENA_ARRAY(&c->arena, size_t, diff->count + 1);
    for (size_t i = 0; i < sources->count; i++) {
        const TreeChange *change = &diff->changes[sources->changes[i]];
        const TreeEntry *entry = old_entry(diff, change);
        if (change->is_dropped || entry->size > SIMILAR_FILE_MAX)
            continue;
        c->sources[c->source_count] = (RenameSource){.path = entry->path, .is_free = true};
        c->source_changes[c->source_count++] = sources->changes[i];
        c->bytes += entry->size;
    }
    for (size_t i = 0; i < diff->count; i++) {
        if (!is_new(diff, &diff->changes[i]))
            continue;
        const TreeEntry *entry = &diff->after->entries[diff->changes[i].new];
        if (entry->size > SIMILAR_FILE_MAX)
            continue;
        c->targets[c->target_count] = (RenameTarget){.path = entry->path, .source = STR_NONE};
        c->target_changes[c->target_count++] = i;
        c->bytes += entry->size;
    }
}

static bool match_similar(TreeDiff *diff, const Sources *sources, Err *err) {
    Candidates c = {0};
    bool ok = true;
    choose_candidates(diff, sources, &c);
    bool is_tried = c.source_count && c.target_count && c.bytes <= SIMILAR_TOTAL_MAX;
    for (size_t i = 0; is_tried && ok && i < c.source_count; i++)
        ok = load_pieces(diff, diff->before, diff->changes[c.source_changes[i]].old, &c.sources[i].pieces,
                         &c.arena, err);
    for (size_t i = 0; is_tried && ok && i < c.target_count; i++)
        ok = load_pieces(diff, diff->after, diff->changes[c.target_changes[i]].new, &c.targets[i].pieces,
                         &c.arena, err);
    if (is_tried && ok)
        rename_match(c.sources, c.source_count, c.targets, c.target_count, sources->is_used_up);
    for (size_t i = 0; is_tried && ok && i < c.target_count; i++)
        if (c.targets[i].source != STR_NONE)
            take_source(diff, sources, c.source_changes[c.targets[i].source], c.target_changes[i]);
    arena_free(&c.arena);
    return ok;
}

static size_t count_new(const TreeDiff *diff) {
    size_t count = 0;
    for (size_t i = 0; i < diff->count; i++)
        count += is_new(diff, &diff->changes[i]);
    return count;
}

static bool compare_pair(TreeDiff *diff, const TreeChange *change, bool *is_equal, Err *err) {
    Str before, after;
    *is_equal = false;
    if (old_entry(diff, change)->size != diff->after->entries[change->new].size)
        return true;
    if (!load(diff->before, change->old, &diff->old_text, &before, err) ||
        !load(diff->after, change->new, &diff->new_text, &after, err))
        return false;
    *is_equal = str_eq(before, after);
    return true;
}

static bool find_renames(TreeDiff *diff, Err *err) {
    Sources sources = {ARENA_ARRAY(&diff->arena, size_t, diff->count + 1), 0, true};
    for (size_t i = 0; i < diff->count; i++)
        if (diff->changes[i].new == NO_ENTRY && can_move(old_entry(diff, &diff->changes[i])))
            sources.changes[sources.count++] = i;
    if (!sources.count || !count_new(diff))
        return true;
    return match_equal(diff, &sources, err) && match_similar(diff, &sources, err);
}

/* Sources are the old texts of files that changed or moved; what was renamed keeps serving as a source. */
static bool find_copies(TreeDiff *diff, Err *err) {
    Sources sources = {ARENA_ARRAY(&diff->arena, size_t, diff->count + 1), 0, false};
    if (!count_new(diff))
        return true;
    for (size_t i = 0; i < diff->count; i++) {
        TreeChange *change = &diff->changes[i];
        if (change->old == NO_ENTRY || change->is_dropped || !can_move(old_entry(diff, change)))
            continue;
        bool is_pair = change->new != NO_ENTRY &&str_eq(old_entry(diff, change)->path,
                                                        diff->after->entries[change->new].path);
        bool is_equal = false;
        if (is_pair && !compare_pair(diff, change, &is_equal, err))
            return false;
        if (is_equal)
            change->is_dropped = old_entry(diff, change)->mode == diff->after->entries[change->new].mode;
        else
            sources.changes[sources.count++] = i;
    }
    return match_equal(diff, &sources, err) && match_similar(diff, &sources, err);
}

/* ---- the door ---- */

bool tree_diff_begin(const TreeSide *before, const TreeSide *after, const TreeOptions *options, TreeDiff *out,
                     Err *err) {
    *out = (TreeDiff){.before = before, .after = after, .options = *options};
    if (!check_order(before, err) || !check_order(after, err))
        return false;
    pair_paths(out);
    if (!options->no_renames && !find_renames(out, err))
        return false;
    return options->no_renames || options->no_copies || find_copies(out, err);
}

static bool is_same_pair(const FileDiff *file) {
    return !file->is_new && !file->is_deleted && file->old_mode == file->new_mode &&
           str_eq(file->old_path, file->new_path);
}

static bool read_change(TreeDiff *diff, const TreeChange *change, FileDiff *file, Err *err) {
    const TreeEntry *old = change->old != NO_ENTRY ? old_entry(diff, change) : NULL;
    const TreeEntry *new = change->new != NO_ENTRY ? &diff->after->entries[change->new] : NULL;
    Str before, after;
    *file = (FileDiff){.old_path = (old ? old : new)->path,
                       .new_path = (new ? new : old)->path,
                       .is_new = !old,
                       .is_deleted = !new,
                       .is_copied = change->is_copied,
                       .old_mode = (old ? old : new)->mode,
                       .new_mode = (new ? new : old)->mode};
    if (!load(diff->before, change->old, &diff->old_text, &before, err) ||
        !load(diff->after, change->new, &diff->new_text, &after, err))
        return false;
    file->hunks = (Hunks){.before = before, .after = after};
    return true;
}

bool tree_diff_next(TreeDiff *diff, Arena *arena, FileDiff *file, bool *found, Err *err) {
    for (*found = false; diff->next < diff->count && !*found;) {
        const TreeChange *change = &diff->changes[diff->next++];
        if (change->is_dropped)
            continue;
        if (!read_change(diff, change, file, err))
            return false;
        *found = !is_same_pair(file) || !str_eq(file->hunks.before, file->hunks.after);
    }
    if (!*found)
        return true;
    file->is_binary = text_is_binary(file->hunks.before) || text_is_binary(file->hunks.after);
    file->carries_binary = file->is_binary && diff->options.carries_binary;
    return file->is_binary ||
           diff_lines(file->new_path, file->hunks.before, file->hunks.after, arena, &file->hunks, err);
}

void tree_diff_end(TreeDiff *diff) {
    buf_free(&diff->old_text);
    buf_free(&diff->new_text);
    arena_free(&diff->arena);
    *diff = (TreeDiff){0};
}
