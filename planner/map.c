#include "planner/map.h"

#include <math.h>
#include <stdlib.h>

#include "planner/map_internal.h"

/* The wishes are shares of all: of what is asked for by path, by name, and by a part of a path. */
static const double DAMPING = 0.85, FOCUS_WISH = 2, NAME_WISH = 1, PATH_WISH = 0.5, FOCUS_BOOST = 4,
                    NAME_BOOST = 3;
enum { ROUNDS = 20, BYTES_A_TOKEN = 4, LINE_MARKS = 10, FILE_MARKS = 2 };

/* ---- what is asked for ---- */

static bool contains_nocase(Str s, Str needle) {
    for (size_t i = 0; i + needle.len <= s.len; i++)
        if (str_eq_nocase(str_slice(s, i, i + needle.len), needle))
            return true;
    return false;
}

static bool is_focus(const MapOptions *options, Str path) {
    for (size_t i = 0; i < options->focus_count; i++) {
        Str focus = options->focus[i];
        while (str_starts(focus, S("./")))
            focus = str_from(focus, 2);
        while (str_ends(focus, S("/")))
            focus.len--;
        if (str_starts(path, focus) && (path.len == focus.len || path.ptr[focus.len] == '/'))
            return true;
    }
    return false;
}

static bool is_named(const MapOptions *options, Str name) {
    for (size_t i = 0; i < options->name_count; i++)
        if (str_eq_nocase(options->names[i], name))
            return true;
    return false;
}

static bool is_path_named(const MapOptions *options, Str path) {
    for (size_t i = 0; i < options->name_count; i++)
        if (options->names[i].len > 2 && contains_nocase(path, options->names[i]))
            return true;
    return false;
}

/* Shares `wish` among the files that are marked. */
static void spread(MapGraph *graph, const bool *is_marked, double wish) {
    size_t marked = 0;
    for (size_t i = 0; i < graph->source_count; i++)
        marked += is_marked[i];
    for (size_t i = 0; i < graph->source_count; i++)
        graph->sources[i].wish += is_marked[i] ? wish / (double)marked : 0;
}

static void spread_wishes(const MapOptions *options, MapGraph *graph) {
    double sum = 0;
    size_t count = graph->source_count;
    bool *all = ARENA_ARRAY(&graph->arena, bool, count), *focus = ARENA_ARRAY(&graph->arena, bool, count),
         *paths = ARENA_ARRAY(&graph->arena, bool, count), *names = ARENA_ARRAY(&graph->arena, bool, count);
    for (size_t i = 0; i < count; i++) {
        all[i] = true;
        focus[i] = is_focus(options, graph->sources[i].path);
        paths[i] = is_path_named(options, graph->sources[i].path);
    }
    for (size_t i = 0; i < graph->definition_count && options->name_count; i++)
        if (is_named(options, graph->names[graph->definitions[i].name].text))
            names[graph->definitions[i].file] = true;
    spread(graph, all, 1);
    spread(graph, focus, FOCUS_WISH);
    spread(graph, paths, PATH_WISH);
    spread(graph, names, NAME_WISH);
    for (size_t i = 0; i < count; i++)
        sum += graph->sources[i].wish;
    for (size_t i = 0; i < count; i++)
        graph->sources[i].rank = graph->sources[i].wish /= sum;
}

/* ---- ranking ---- */

/* What one file passes on, to the files that define its names and to those definitions. */
static void pass_on(MapGraph *graph, const MapSource *source, double *next, bool is_last) {
    double sum = 0;
    for (size_t i = 0; i < source->reference_count; i++)
        sum += source->references[i].weight;
    for (size_t i = 0; i < source->reference_count; i++) {
        const MapReference *reference = &source->references[i];
        const MapName *name = &graph->names[reference->name];
        double share = DAMPING * source->rank * reference->weight / sum / (double)name->count;
        for (size_t at = name->first; at; at = graph->definitions[at - 1].next) {
            MapDefinition *definition = &graph->definitions[at - 1];
            if (!map_reaches(graph, source, definition))
                continue;
            next[definition->file] += share;
            if (is_last)
                definition->score += share;
        }
    }
}

static bool rank(const MapOptions *options, MapGraph *graph, Err *err) {
    double *next = ARENA_ARRAY(&graph->arena, double, graph->source_count + 1);
    for (int round = 0; round < ROUNDS; round++) {
        double kept = 1 - DAMPING;
        if (options->cancelled && atomic_load(options->cancelled))
            return err_set(err, ERR_CANCELLED, "cancelled");
        for (size_t i = 0; i < graph->source_count; i++) {
            next[i] = 0;
            if (!graph->sources[i].reference_count) /* who refers to nothing passes on as everybody wishes */
                kept += DAMPING * graph->sources[i].rank;
        }
        for (size_t i = 0; i < graph->source_count; i++)
            pass_on(graph, &graph->sources[i], next, round + 1 == ROUNDS);
        for (size_t i = 0; i < graph->source_count; i++)
            graph->sources[i].rank = next[i] + kept * graph->sources[i].wish;
    }
    return true;
}

/* A definition that nobody refers to still has a little of its file's rank; one that was named has more. */
static void score_definitions(const MapOptions *options, MapGraph *graph) {
    size_t *counts = ARENA_ARRAY(&graph->arena, size_t, graph->source_count + 1);
    for (size_t i = 0; i < graph->definition_count; i++)
        counts[graph->definitions[i].file]++;
    for (size_t i = 0; i < graph->definition_count; i++) {
        MapDefinition *definition = &graph->definitions[i];
        const MapSource *source = &graph->sources[definition->file];
        double own = source->rank / (double)counts[definition->file];
        definition->score += own * 0.1;
        if (is_focus(options, source->path))
            definition->score += own * FOCUS_BOOST;
        if (is_named(options, graph->names[definition->name].text))
            definition->score += own * NAME_BOOST + source->rank;
    }
}

/* ---- choosing ---- */

static int by_score(const void *a, const void *b) {
    const MapDefinition *x = *(MapDefinition *const *)a, *y = *(MapDefinition *const *)b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

static int by_place(const void *a, const void *b) {
    const MapDefinition *x = *(MapDefinition *const *)a, *y = *(MapDefinition *const *)b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

static int by_rank(const void *a, const void *b) {
    const MapFile *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return str_cmp(x->path, y->path);
}

/* The best ones that fit, moved to the front; how many. */
static size_t choose(const MapOptions *options, MapGraph *graph, MapDefinition **all) {
    size_t room = (options->budget ? options->budget : MAP_BUDGET) * BYTES_A_TOKEN, chosen = 0;
    bool *is_open = ARENA_ARRAY(&graph->arena, bool, graph->source_count + 1);
    for (size_t i = 0; i < graph->definition_count; i++) {
        const MapDefinition *definition = all[i];
        size_t cost = definition->text.len + LINE_MARKS;
        if (!is_open[definition->file])
            cost += graph->sources[definition->file].path.len + FILE_MARKS;
        if (cost > room)
            continue;
        room -= cost;
        is_open[definition->file] = true;
        all[chosen++] = all[i];
    }
    return chosen;
}

static void fill(const MapGraph *graph, MapDefinition **chosen, size_t count, Arena *arena,
                 RepositoryMap *out) {
    qsort(chosen, count, sizeof *chosen, by_place);
    out->files = ARENA_ARRAY(arena, MapFile, count + 1);
    for (size_t i = 0; i < count;) {
        const MapSource *source = &graph->sources[chosen[i]->file];
        size_t end = i;
        while (end < count && chosen[end]->file == chosen[i]->file)
            end++;
        MapFile *file = &out->files[out->count++];
        *file = (MapFile){.path = str_copy(arena, source->path), .score = source->rank};
        file->lines = ARENA_ARRAY(arena, MapLine, end - i);
        for (; i < end; i++) {
            size_t line = chosen[i]->line + 1;
            if (!file->count || file->lines[file->count - 1].line != line) /* two names on one line */
                file->lines[file->count++] = (MapLine){line, str_copy(arena, chosen[i]->text)};
        }
    }
    qsort(out->files, out->count, sizeof *out->files, by_rank);
}

bool map_build(Workspace *ws, const MapOptions *options, Arena *arena, RepositoryMap *out, Err *err) {
    MapGraph graph = {0};
    *out = (RepositoryMap){0};
    bool ok = map_read(ws, options, &graph, err);
    if (ok && graph.source_count) {
        spread_wishes(options, &graph);
        ok = rank(options, &graph, err);
    }
    if (ok) {
        score_definitions(options, &graph);
        MapDefinition **all = ARENA_ARRAY(&graph.arena, MapDefinition *, graph.definition_count + 1);
        for (size_t i = 0; i < graph.definition_count; i++)
            all[i] = &graph.definitions[i];
        qsort(all, graph.definition_count, sizeof *all, by_score);
        fill(&graph, all, choose(options, &graph, all), arena, out);
        out->files_read = graph.source_count;
        out->definitions = graph.definition_count;
        out->is_truncated = graph.is_truncated;
    }
    map_graph_free(&graph);
    return ok;
}

void map_print(const RepositoryMap *map, Buf *out) {
    for (size_t i = 0; i < map->count; i++) {
        const MapFile *file = &map->files[i];
        buf_printf(out, "%.*s:\n", STR_ARG(file->path));
        for (size_t j = 0; j < file->count; j++)
            buf_printf(out, "%5zu: %.*s\n", file->lines[j].line, STR_ARG(file->lines[j].text));
    }
}
