/* Which files matter for a request: names in it, weighted by how rare they are (BM25, Robertson & Zaragoza
 * 2009, k1 1.2, b 0.75 with file length left out), paths it names far ahead, path words half way. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "planner/planner_internal.h"

static const double K1 = 1.2, PATH_NAMED = 1000, PATH_WORD = 2;
enum { MOST_TERMS = 10, MOST_HITS = 20000 };

typedef struct FileScore {
    Str path;
    double score;
    size_t term_hits;
} FileScore;

static int by_path(const void *a, const void *b) {
    return str_cmp(((const FileScore *)a)->path, ((const FileScore *)b)->path);
}

static int by_score(const void *a, const void *b) {
    const FileScore *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return str_cmp(x->path, y->path);
}

static FileScore *score_of(FileScore *scores, size_t count, Str path) {
    FileScore key = {.path = path};
    return bsearch(&key, scores, count, sizeof *scores, by_path);
}

static bool contains_nocase(Str s, Str needle) {
    for (size_t i = 0; i + needle.len <= s.len; i++)
        if (str_eq_nocase(str_slice(s, i, i + needle.len), needle))
            return true;
    return false;
}

/* Adds one term's share to every file that holds it. Rare terms weigh more; identifiers in full more than
 * prose words. */
static bool add_term(Workspace *ws, Str term, FileScore *scores, size_t count, Arena *scratch, Err *err) {
    bool prose = !is_compound(term);
    Query query = {
        .pattern = term, .is_fixed = true, .whole_word = true, .ignore_case = prose, .max_hits = MOST_HITS};
    Hits hits;
    if (!ws_find(ws, &query, scratch, &hits, err))
        return false;
    for (size_t i = 0; i < count; i++)
        scores[i].term_hits = 0;
    size_t files = 0;
    for (size_t i = 0; i < hits.count; i++) {
        FileScore *s = score_of(scores, count, hits.items[i].path);
        if (s && s->term_hits++ == 0)
            files++;
    }
    if (files == 0)
        return true;
    double idf = log(1 + ((double)count - (double)files + 0.5) / ((double)files + 0.5));
    for (size_t i = 0; i < count; i++) {
        double tf = (double)scores[i].term_hits;
        if (tf > 0)
            scores[i].score += (prose ? 0.5 : 1.0) * idf * tf * (K1 + 1) / (tf + K1);
    }
    return true;
}

static void add_paths(const Request *request, FileScore *scores, size_t count) {
    for (size_t i = 0; i < request->path_count; i++) {
        FileScore *s = score_of(scores, count, request->paths[i]);
        if (s)
            s->score += PATH_NAMED;
    }
    for (size_t t = 0; t < request->name_count; t++)
        for (size_t i = 0; request->names[t].len > 2 && i < count; i++)
            if (contains_nocase(scores[i].path, request->names[t]))
                scores[i].score += PATH_WORD;
}

bool context_rank(Workspace *ws, const Request *request, const FileList *listing, size_t most,
                  const atomic_bool *cancelled, Arena *arena, Ranking *out, Err *err) {
    *out = (Ranking){0};
    Arena scratch = {0};
    size_t count = listing->count;
    FileScore *scores = ARENA_ARRAY(&scratch, FileScore, count + 1);
    for (size_t i = 0; i < count; i++)
        scores[i].path = listing->paths[i];
    bool ok = true;
    for (size_t t = 0;
         ok && t < request->name_count && t < MOST_TERMS && !(cancelled && atomic_load(cancelled)); t++)
        ok = add_term(ws, request->names[t], scores, count, &scratch, err);
    if (ok) {
        add_paths(request, scores, count);
        qsort(scores, count, sizeof *scores, by_score);
        out->items = ARENA_ARRAY(arena, RankedFile, most + 1);
        while (out->count < most && out->count < count && scores[out->count].score > 0) {
            FileScore *s = &scores[out->count];
            out->items[out->count++] = (RankedFile){str_copy(arena, s->path), s->score};
        }
    }
    arena_free(&scratch);
    return ok;
}
