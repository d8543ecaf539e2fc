/* Forced edits asked of a model with random weights, and taken: every block of its reply must parse, be found
 * in the file as it is written, and apply. Shared by the unit test and eval-forced. */
#ifndef MUX_TESTS_FORCED_H
#define MUX_TESTS_FORCED_H

#include <stdio.h>

#include "diff/edit.h"
#include "engine/engine.h"

typedef struct ForcedCount {
    size_t requests, ended; /* ended: the reply came to an end before the context did */
    size_t emitted, exact, applied, escaped;
    size_t built, unbuilt; /* files with all edits of a reply together */
    Err first_problem;
} ForcedCount;

typedef struct ForcedTree {
    const GrammarFile *files;
    size_t count;
} ForcedTree;

typedef struct ForcedFile {
    Place *places;
    size_t count, capacity;
} ForcedFile;

static inline bool forced_feed(void *ctx, Str piece) {
    edit_feed(ctx, piece);
    return true;
}

static inline size_t forced_find(ForcedTree tree, Str path) {
    size_t i = 0;
    while (i < tree.count && !str_eq(tree.files[i].path, path))
        i++;
    return i;
}

/* Each edit alone, then all edits of each file together. */
static inline void forced_take(ForcedTree tree, const EditList *edits, Arena *arena, ForcedCount *out) {
    ForcedFile *files = ARENA_ARRAY(arena, ForcedFile, tree.count);
    for (size_t i = 0; i < edits->count; i++) {
        const Edit *edit = &edits->items[i];
        size_t f = forced_find(tree, edit->path);
        Err err = {0};
        Place place;
        Str text;
        out->emitted++;
        if (f == tree.count) { /* a new file */
            bool is_new = edit->old_text.len == 0 && edit->new_text.len > 0;
            out->exact += is_new;
            out->applied += is_new;
            continue;
        }
        bool is_found =
            edit_locate(tree.files[f].text, edit, NULL, arena, &place, &err) && place.level == MATCH_EXACT;
        out->exact += is_found && !place.already_applied;
        if (is_found && edit_apply(tree.files[f].text, &place, 1, arena, &text, &err)) {
            out->applied++;
            LIST_PUSH(arena, files[f].places, files[f].count, files[f].capacity, place);
        } else if (!out->first_problem.text[0]) {
            out->first_problem = err;
        }
    }
    for (size_t f = 0; f < tree.count; f++) {
        Str text;
        Err err = {0};
        if (!files[f].count)
            continue;
        bool is_built = edit_apply(tree.files[f].text, files[f].places, files[f].count, arena, &text, &err);
        out->built += is_built;
        out->unbuilt += !is_built;
        if (!is_built && !out->first_problem.text[0])
            out->first_problem = err;
    }
}

/* One request: the prompt, then a sampled reply of blocks only. False when the reply could not be had or
 * read. */
static inline bool forced_ask(Chat *chat, ForcedTree tree, Str prompt, uint64_t seed, bool allow_new,
                              ForcedCount *out, Err *err) {
    Arena arena = {0};
    EditParser parser;
    EditList edits;
    Usage usage = {0};
    GrammarSpec form = {.form = FORM_BLOCKS,
                        .files = tree.files,
                        .file_count = tree.count,
                        .allow_new_files = allow_new,
                        .edits_only = true};
    Sampling sampling = {.temperature = 1, .seed = seed};
    edit_begin(&parser, EDIT_BLOCKS, &arena);
    Message message = {ROLE_USER, prompt};
    bool ok =
        chat_sync(chat, &message, 1, err) &&
        chat_generate(chat, &sampling, &form, (ChatSink){.ctx = &parser, .text = forced_feed}, &usage, err);
    bool is_read = edit_finish(&parser, &edits, ok ? err : &(Err){0});
    out->requests++;
    out->ended += usage.stop == STOP_END;
    out->escaped += usage.escaped_blocks;
    if (ok && is_read)
        forced_take(tree, &edits, &arena, out);
    arena_free(&arena);
    return ok && is_read;
}

#endif
