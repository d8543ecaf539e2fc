#include "tests/differential/making.h"

#include <stdio.h>
#include <stdlib.h>

#include "diff/tree.h"
#include "tests/differential/git.h"
#include "tests/differential/texts.h"

enum { MOST_ARGUMENTS = 20 };

typedef struct Arguments {
    const char *items[MOST_ARGUMENTS];
    size_t count;
} Arguments;

static void add(Arguments *arguments, const char *word) {
    arguments->items[arguments->count++] = word;
}

static void choose_context(Trial *trial) {
    static const int CONTEXTS[] = {3, 3, 3, 3, 1, 2, 5, 0};
    trial->context = CONTEXTS[pick(sizeof CONTEXTS / sizeof *CONTEXTS)];
    if (trial->context == 0)
        trial->test.options.unidiff_zero = chance(75);
}

static void choose_prefixes(Arguments *arguments, PatchOptions *options) {
    static const struct {
        const char *first, *second;
        int strip;
    } FORMS[] = {{"--no-prefix", NULL, 0},
                 {"--src-prefix=x/y/", "--dst-prefix=z/w/", 2},
                 {"--src-prefix=i/", "--dst-prefix=w/", 1},
                 {"--src-prefix=a b/", "--dst-prefix=a b/", 1}};
    options->strip = 1;
    if (!chance(20))
        return;
    size_t form = pick(sizeof FORMS / sizeof *FORMS);
    add(arguments, FORMS[form].first);
    if (FORMS[form].second)
        add(arguments, FORMS[form].second);
    options->strip = FORMS[form].strip;
}

/* The patch, or two one behind the other: the second changes what the first made. */
static Str print_steps(Trial *trial, Str (*print)(const SmallTree *, const SmallTree *, void *, Arena *),
                       void *how, Arena *arena) {
    Str patch = print(&trial->before, &trial->after, how, arena);
    trial->is_two_patches = chance(6);
    if (!trial->is_two_patches)
        return patch;
    SmallTree middle = trial->after;
    trial->after = edited_tree(&middle, arena);
    return str_concat(arena, patch, print(&middle, &trial->after, how, arena));
}

static Str print_with_git(const SmallTree *before, const SmallTree *after, void *how, Arena *arena) {
    const Arguments *arguments = how;
    return git_diff(before, after, arguments->items, arena);
}

static const char *by_git(Trial *trial, Arena *arena) {
    static const struct {
        const char *word;
        unsigned percent;
    } WORDS[] = {{"--binary", 85},         {"-M", 60},        {"-C", 25}, {"--find-copies-harder", 10},
                 {"--full-index", 25},     {"-B", 5},         {"-D", 3},  {"--histogram", 10},
                 {"--patch-with-stat", 5}, {"--summary", 5},  {"-W", 3},  {"--inter-hunk-context=3", 5},
                 {"--no-renames", 5},      {"--abbrev=40", 3}};
    Arguments arguments = {0};
    add(&arguments, str_printf(arena, "-U%d", trial->context).ptr);
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (chance(WORDS[i].percent))
            add(&arguments, WORDS[i].word);
    choose_prefixes(&arguments, &trial->test.options);
    trial->test.patch = print_steps(trial, print_with_git, &arguments, arena);
    return "made by git";
}

static TreeSide side_of(const SmallTree *tree, Arena *arena) {
    TreeEntry *entries = ARENA_ARRAY(arena, TreeEntry, tree->count + 1);
    Str *texts = ARENA_ARRAY(arena, Str, tree->count + 1);
    size_t count = 0;
    for (size_t i = 0; i < tree->count; i++) {
        const SmallEntry *entry = &tree->items[i];
        if (entry->mode == TREE_FOLDER)
            continue;
        texts[count] = entry->text;
        entries[count++] = (TreeEntry){entry->path, entry->mode, entry->text.len};
    }
    return (TreeSide){entries, count, texts, tree_load_text};
}

typedef struct Printing {
    TreeOptions options;
    int context;
} Printing;

static Str print_ourselves(const SmallTree *old, const SmallTree *new, void *how, Arena *arena) {
    const Printing *printing = how;
    TreeSide before = side_of(old, arena), after = side_of(new, arena);
    Err err = {0};
    TreeDiff diff;
    FileDiff file;
    Buf out = {0};
    bool found = true, ok = tree_diff_begin(&before, &after, &printing->options, &diff, &err);
    while (ok && (ok = tree_diff_next(&diff, arena, &file, &found, &err)) && found)
        ok = diff_print_verified(&file, printing->context, &out, &err) ||
             (printing->context == 0 && diff_print_verified(&file, 3, &out, &err)); /* as the program does */
    tree_diff_end(&diff);
    Str patch = buf_copy(&out, arena);
    buf_clear(&out);
    if (!ok) {
        tree_print(old, &out);
        buf_cstr(&out, "----\n");
        tree_print(new, &out);
        fprintf(stderr, "our diff of two trees failed: %s\n%.*s", err.text, STR_ARG(buf_text(&out)));
        exit(1);
    }
    buf_free(&out);
    return patch;
}

static const char *by_us(Trial *trial, Arena *arena) {
    Printing printing = {
        .options = {.no_renames = chance(20), .no_copies = chance(50), .carries_binary = chance(85)},
        .context = trial->context};
    trial->test.options.strip = 1;
    trial->test.patch = print_steps(trial, print_ourselves, &printing, arena);
    return "made by us";
}

const char *make_patch(Trial *trial, Arena *arena) {
    choose_context(trial);
    const char *maker = chance(65) ? by_git(trial, arena) : by_us(trial, arena);
    trial->test.options.guesses_strip = trial->test.options.strip == 1 && chance(30);
    trial->test.options.reverse = chance(15);
    trial->test.tree = tree_copy(trial->test.options.reverse ? &trial->after : &trial->before, arena);
    return maker;
}
