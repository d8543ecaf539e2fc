#define _GNU_SOURCE
#include "tests/differential/applying.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/os.h"
#include "tests/differential/git.h"

#define PROGRAM MUX_BINARY_DIR "/mux-acp"

enum { MOST_ARGUMENTS = 24 };

static const char *scratch;

void applying_open(const char *folder) {
    scratch = folder;
}

static size_t put_options(const ApplyCase *test, const char **arguments, Arena *arena) {
    size_t n = 0;
    const PatchOptions *o = &test->options;
    if (!o->guesses_strip)
        arguments[n++] = str_printf(arena, "-p%d", o->strip).ptr;
    if (o->reverse)
        arguments[n++] = "--reverse";
    if (o->recount)
        arguments[n++] = "--recount";
    if (o->unidiff_zero)
        arguments[n++] = "--unidiff-zero";
    if (o->ignore_whitespace)
        arguments[n++] = "--ignore-whitespace";
    if (o->has_least_context)
        arguments[n++] = str_printf(arena, "-C%d", o->least_context).ptr;
    if (test->only_check)
        arguments[n++] = "--check";
    return n;
}

Str case_arguments(const ApplyCase *test, Arena *arena) {
    const char *words[MOST_ARGUMENTS];
    size_t n = put_options(test, words, arena);
    Str line = S("");
    for (size_t i = 0; i < n; i++)
        line = str_printf(arena, "%.*s%s%s", STR_ARG(line), i ? " " : "", words[i]);
    return line;
}

static const char *write_patch(Str patch, Arena *arena) {
    const char *path = str_printf(arena, "%s/patch", scratch).ptr;
    if (!os_write_file(path, patch, NULL)) {
        fprintf(stderr, "cannot write %s\n", path);
        exit(1);
    }
    return path;
}

Outcome apply_with_git(const ApplyCase *test, Arena *arena) {
    const char *arguments[MOST_ARGUMENTS + 4] = {"git", "apply"};
    const char *folder = str_printf(arena, "%s/git", scratch).ptr;
    size_t n = 2 + put_options(test, arguments + 2, arena);
    arguments[n] = write_patch(test->patch, arena);
    tree_write(&test->tree, folder);
    Outcome out = {.is_accepted = program_run(arguments, folder, NULL) == 0};
    tree_read(folder, arena, &out.tree);
    folder_remove(folder);
    return out;
}

Outcome apply_in_memory(const ApplyCase *test, Arena *arena) {
    Patch patch;
    PatchPlan plan;
    Err err = {0};
    Outcome out = {.tree = tree_copy(&test->tree, arena)};
    out.is_accepted = patch_parse(test->patch, &test->options, arena, &patch, &err) &&
                      patch_plan(&patch, &test->options, tree_source(&out.tree), arena, &plan, &err);
    out.reason = str_copy(arena, str_of(err.text));
    if (!out.is_accepted || test->only_check)
        return out;
    for (size_t i = 0; i < plan.count; i++)
        if (!plan.items[i].after.exists)
            tree_remove(&out.tree, plan.items[i].path);
    for (size_t i = 0; i < plan.count; i++) {
        const PatchStep *step = &plan.items[i];
        if (!step->after.exists)
            continue;
        const SmallEntry *there = tree_find(&out.tree, step->path);
        if (there && there->mode == TREE_FOLDER)
            tree_remove(&out.tree, step->path);
        tree_put(&out.tree, arena, step->path, step->after.mode, step->after.text);
    }
    return out;
}

Outcome apply_with_program(const ApplyCase *test, Arena *arena, Str *damage) {
    const char *arguments[MOST_ARGUMENTS + 6] = {PROGRAM, "apply"};
    const char *folder = str_printf(arena, "%s/ours", scratch).ptr;
    const char *output = str_printf(arena, "%s/answer", scratch).ptr;
    size_t n = 2 + put_options(test, arguments + 2, arena);
    arguments[n++] = "--json";
    arguments[n] = write_patch(test->patch, arena);
    tree_write(&test->tree, folder);
    Str before = folder_stamp(folder, arena);
    Outcome out = {.reason = S("")};
    int status = program_run(arguments, folder, output);
    out.is_accepted = status == 0;
    *damage = S("");
    if (status > 1)
        *damage = str_printf(arena, "the program ended with status %d", status);
    else if ((!out.is_accepted || test->only_check) && !str_eq(before, folder_stamp(folder, arena)))
        *damage = str_printf(arena, "a refused patch touched the tree:\n%.*s---- is now\n%.*s",
                             STR_ARG(before), STR_ARG(folder_stamp(folder, arena)));
    os_read_file(output, SIZE_MAX, arena, &out.reason, NULL);
    tree_read(folder, arena, &out.tree);
    folder_remove(folder);
    return out;
}

bool outcomes_agree(const Outcome *git, const Outcome *ours, Arena *arena, Str *why) {
    if (git->is_accepted != ours->is_accepted) {
        *why = git->is_accepted ? str_printf(arena, "git accepts, we refuse: %.*s", STR_ARG(ours->reason))
                                : S("git refuses, we accept");
        return false;
    }
    if (!git->is_accepted)
        return true;
    if (!tree_is_sound(&ours->tree)) {
        *why = S("our tree has a file below a file");
        return false;
    }
    return tree_same(&git->tree, &ours->tree, arena, why);
}
